//! Masked values as text: the value, and the mask behind a slash unless it is whole.

use core::{
    fmt::{self, Display, Formatter},
    net::{Ipv4Addr, Ipv6Addr},
};

/// A masked value, and how it is written.
pub(super) struct Value {
    value: u128,
    mask: u128,
    /// The mask that means all of it.
    ones: u128,
    style: Style,
}

enum Style {
    Decimal,
    Hex,
    EthType,
    Mac,
    Ip4,
    Ip6,
    Frag,
}

impl Value {
    pub(super) fn is_none(&self) -> bool {
        self.mask == 0
    }

    fn write(&self, value: u128, f: &mut Formatter<'_>) -> fmt::Result {
        match self.style {
            Style::Decimal => write!(f, "{value}"),
            Style::Hex if value == 0 => f.write_str("0"),
            Style::Hex => write!(f, "{value:#x}"),
            Style::EthType => write!(f, "0x{value:04x}"),
            Style::Mac => {
                let [.., a, b, c, d, e, g] = value.to_be_bytes();
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
            Style::Ip4 => {
                let [.., a, b, c, d] = value.to_be_bytes();
                Ipv4Addr::new(a, b, c, d).fmt(f)
            }
            Style::Ip6 => Ipv6Addr::from_bits(value).fmt(f),
            Style::Frag => f.write_str(match value & 3 {
                0 => "no",
                1 => "first",
                _ => "later",
            }),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(self.value, f)?;
        if self.mask == self.ones || matches!(self.style, Style::Frag) {
            return Ok(());
        }
        f.write_str("/")?;
        match self.style {
            Style::Decimal => write!(f, "{:#x}", self.mask),
            _ => self.write(self.mask, f),
        }
    }
}

fn value<T: Into<u128>>(value: T, mask: T, ones: T, style: Style) -> Value {
    Value { value: value.into(), mask: mask.into(), ones: ones.into(), style }
}

pub(super) fn dec<T: Into<u128>>(of: T, mask: T, ones: T) -> Value {
    value(of, mask, ones, Style::Decimal)
}

pub(super) fn hex<T: Into<u128>>(of: T, mask: T, ones: T) -> Value {
    value(of, mask, ones, Style::Hex)
}

pub(super) fn type_of(of: u16, mask: u16) -> Value {
    value(of, mask, u16::MAX, Style::EthType)
}

pub(super) fn mac(of: u64, mask: u64) -> Value {
    value(of, mask, 0xffff_ffff_ffff, Style::Mac)
}

pub(super) fn ip4(of: u32, mask: u32) -> Value {
    value(of, mask, u32::MAX, Style::Ip4)
}

pub(super) fn ip6(of: Ipv6Addr, mask: Ipv6Addr) -> Value {
    value(of.to_bits(), mask.to_bits(), u128::MAX, Style::Ip6)
}

pub(super) fn frag(of: u8, mask: u8) -> Value {
    value(of, mask, mask, Style::Frag)
}

/// A TCP flag's bit, its name, and what stands for it in statistics.
const TCP_FLAGS: [(u16, &str, &str); 12] = [
    (0x001, "fin", "F"),
    (0x002, "syn", "S"),
    (0x004, "rst", "R"),
    (0x008, "psh", "P"),
    (0x010, "ack", "."),
    (0x020, "urg", "U"),
    (0x040, "ece", "E"),
    (0x080, "cwr", "C"),
    (0x100, "ns", "N"),
    (0x200, "[200]", "[200]"),
    (0x400, "[400]", "[400]"),
    (0x800, "[800]", "[800]"),
];

/// The order of the letters, which is `tcpdump`'s.
const LETTER_ORDER: [usize; 12] = [1, 0, 3, 2, 5, 4, 6, 7, 8, 9, 10, 11];

/// `SFP.`
pub(super) struct TcpFlagLetters(pub(super) u16);

impl Display for TcpFlagLetters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let flags = LETTER_ORDER.iter().filter_map(|index| TCP_FLAGS.get(*index));
        flags
            .filter(|(bit, ..)| self.0 & bit != 0)
            .try_for_each(|(_, _, letter)| f.write_str(letter))
    }
}

/// `syn|ack` if all flags count, else `+syn-ack`.
pub(super) struct TcpFlagNames {
    pub(super) flags: u16,
    pub(super) mask: u16,
}

impl Display for TcpFlagNames {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let counted = TCP_FLAGS.iter().filter(|(bit, ..)| self.mask & bit != 0);
        if self.mask & 0xfff != 0xfff {
            return counted.into_iter().try_for_each(|(bit, name, _)| {
                f.write_str(if self.flags & bit != 0 { "+" } else { "-" })?;
                f.write_str(name)
            });
        }
        let mut separator = "";
        for (_, name, _) in counted.filter(|(bit, ..)| self.flags & bit != 0) {
            write!(f, "{separator}{name}")?;
            separator = "|";
        }
        if separator.is_empty() { f.write_str("0") } else { Ok(()) }
    }
}
