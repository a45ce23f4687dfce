//! One field's value and mask as text.

use super::port::{NoNames, PortNames, PortText, parse_port};
use crate::addr::EtherAddr;
use crate::field::{Field, Format, ones};
use crate::mask::prefix_len;
use alloc::borrow::ToOwned;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::parse::{ParseError, Problem};

/// Names of the TCP flags, lowest bit first (RFC 9293 §3.1, RFC 3540).
const TCP_FLAGS: [&str; 12] =
    ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
const ALL_TCP_FLAGS: u128 = 0xfff;

/// The fragment words: name, mask, value (bit 0 "any", bit 1 "later").
const FRAGS: [(&str, u128, u128); 7] = [
    ("no", 3, 0),
    ("first", 3, 1),
    ("later", 3, 3),
    ("no", 1, 0),
    ("yes", 1, 1),
    ("not_later", 2, 0),
    ("later", 2, 2),
];

/// Reads `value` or `value/mask` of a field. `*` is anything.
///
/// # Errors
/// When the text is not a value of the field, or the field cannot be masked so.
pub fn parse_value(
    field: Field,
    text: &str,
    ports: &dyn PortNames,
) -> Result<(u128, u128), ParseError> {
    let fail = |problem| ParseError { problem, text: text.to_owned(), field: Some(field) };
    if text == "*" {
        return Ok((0, 0));
    }
    let (value, mask) = match field.spec().format {
        Format::Decimal | Format::Hexadecimal => masked(text, parse_integer, parse_integer),
        Format::Ethernet => masked(text, parse_ether, parse_ether),
        Format::Ipv4 => masked(text, parse_ipv4, |mask| parse_prefix(mask, 32, parse_ipv4)),
        Format::Ipv6 => masked(text, parse_ipv6, |mask| parse_prefix(mask, 128, parse_ipv6)),
        Format::Port => {
            let port = parse_port(text, ports).ok_or_else(|| fail(Problem::UnknownPort))?;
            Some((u128::from(port), u128::MAX))
        }
        Format::Frag => parse_frag(text),
        Format::TcpFlags => parse_tcp_flags(text),
        Format::PacketType => parse_packet_type(text),
    }
    .ok_or_else(|| fail(Problem::BadValue))?;
    let no_tag = field == Field::DlVlan && value == crate::matching::OFP10_VLAN_NONE;
    if !field.is_valid(value) && !no_tag {
        return Err(fail(Problem::OutOfRange));
    }
    if !crate::matching::Match::mask_is_allowed(field, mask) {
        return Err(fail(Problem::BadMask));
    }
    Ok((value, mask))
}

fn masked(
    text: &str,
    value: impl Fn(&str) -> Option<u128>,
    mask: impl Fn(&str) -> Option<u128>,
) -> Option<(u128, u128)> {
    match text.split_once('/') {
        Some((head, tail)) => Some((value(head)?, mask(tail)?)),
        None => Some((value(text)?, u128::MAX)),
    }
}

/// Reads a number as C does: decimal, `0x` hexadecimal, leading-zero octal.
pub(super) fn parse_integer(text: &str) -> Option<u128> {
    let (digits, radix) = if let Some(hex) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        (hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        (text.get(1..)?, 8)
    } else {
        (text, 10)
    };
    if digits.starts_with('+') { None } else { u128::from_str_radix(digits, radix).ok() }
}

fn parse_ether(text: &str) -> Option<u128> {
    let addr: EtherAddr = text.parse().ok()?;
    Some(u128::from(addr.to_u64()))
}

fn parse_ipv4(text: &str) -> Option<u128> {
    let addr: Ipv4Addr = text.parse().ok()?;
    Some(u128::from(addr.to_bits()))
}

fn parse_ipv6(text: &str) -> Option<u128> {
    let addr: Ipv6Addr = text.parse().ok()?;
    Some(addr.to_bits())
}

fn parse_prefix(text: &str, width: u8, address: impl Fn(&str) -> Option<u128>) -> Option<u128> {
    match text.parse::<u8>() {
        Ok(len) if len <= width => Some(crate::mask::prefix_mask(len, width)),
        Ok(_) => None,
        Err(_) => address(text),
    }
}

fn parse_frag(text: &str) -> Option<(u128, u128)> {
    let (_, mask, value) = FRAGS.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(text))?;
    Some((*value, *mask))
}

/// `+syn-ack`, `syn|ack`, `0x12`, `0x12/0x3f`.
fn parse_tcp_flags(text: &str) -> Option<(u128, u128)> {
    if text.starts_with(['+', '-']) {
        let (mut value, mut mask) = (0, 0);
        for part in text.split_inclusive(['+', '-']).skip(1).map(|p| p.trim_end_matches(['+', '-']))
        {
            mask |= tcp_flag(part).filter(|bit| mask & bit == 0)?;
        }
        for part in text.split('+').skip(1) {
            value |= tcp_flag(part.split('-').next()?)?;
        }
        return Some((value, mask));
    }
    if let Some((value, mask)) = text.split_once('/') {
        return Some((parse_integer(value)?, parse_integer(mask)?));
    }
    let mut value = 0;
    for part in text.split('|') {
        value |= tcp_flag(part).or_else(|| parse_integer(part))?;
    }
    Some((value, u128::MAX))
}

fn tcp_flag(name: &str) -> Option<u128> {
    let bit = TCP_FLAGS.iter().position(|flag| *flag == name)?;
    Some(1 << bit)
}

fn parse_packet_type(text: &str) -> Option<(u128, u128)> {
    let inner = text.strip_prefix('(').unwrap_or(text);
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    let (namespace, ty) = inner.split_once(',')?;
    let (namespace, ty) = (parse_integer(namespace.trim())?, parse_integer(ty.trim())?);
    if namespace > 0xffff || ty > 0xffff { None } else { Some((namespace << 16 | ty, u128::MAX)) }
}

/// A value (and mask) of a field, in the form that [`parse_value`] reads.
#[expect(missing_debug_implementations, reason = "holds a caller's trait object")]
pub struct ValueText<'a> {
    /// The field.
    pub field: Field,
    /// The value.
    pub value: u128,
    /// The mask; all ones when exact.
    pub mask: u128,
    /// Who knows port names.
    pub ports: &'a dyn PortNames,
}

impl ValueText<'static> {
    /// An exact value, ports as numbers.
    #[must_use]
    pub fn exact(field: Field, value: u128) -> Self {
        ValueText { field, value, mask: u128::MAX, ports: &NoNames }
    }
}

impl fmt::Display for ValueText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = self.field.spec();
        let all = self.field.value_ones();
        let mask = self.mask & all;
        let exact = mask == all;
        if mask == 0 {
            return f.write_str("ANY");
        }
        match spec.format {
            Format::Decimal if exact => write!(f, "{}", self.value),
            Format::Decimal => write!(f, "{}/{:#x}", self.value, mask),
            Format::Hexadecimal if exact => write!(f, "{}", Hex(self.value)),
            Format::Hexadecimal => write!(f, "{}/{}", Hex(self.value), Hex(mask)),
            Format::Ethernet => ether(self.value, mask).fmt(f),
            Format::Ipv4 => ipv4(self.value, mask).fmt(f),
            Format::Ipv6 => Ipv6Masked(self.value, mask).fmt(f),
            Format::Port => match u32::try_from(self.value) {
                Ok(port) => PortText { port, ports: self.ports }.fmt(f),
                Err(_) => write!(f, "{}", self.value),
            },
            Format::Frag => f.write_str(frag_name(self.value, mask)),
            Format::TcpFlags => TcpFlagsText(self.value, mask).fmt(f),
            Format::PacketType => {
                write!(f, "({},{})", small(self.value >> 16), small(self.value & 0xffff))
            }
        }
    }
}

/// Decimal up to nine, hexadecimal beyond.
fn small(value: u128) -> Small {
    Small(value)
}

struct Small(u128);

impl fmt::Display for Small {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > 9 { write!(f, "{:#x}", self.0) } else { write!(f, "{}", self.0) }
    }
}

/// Hexadecimal with `0x`, but a bare zero.
pub(super) struct Hex(pub(super) u128);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("0") } else { write!(f, "{:#x}", self.0) }
    }
}

pub(super) struct EtherMasked(u128, u128);

pub(super) fn ether(value: u128, mask: u128) -> EtherMasked {
    EtherMasked(value, mask)
}

impl fmt::Display for EtherMasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ether_addr(self.0 & self.1))?;
        if self.1 == ones(48) { Ok(()) } else { write!(f, "/{}", ether_addr(self.1)) }
    }
}

fn ether_addr(value: u128) -> EtherAddr {
    EtherAddr::from_u64(u64::try_from(value & ones(48)).unwrap_or_default())
}

pub(super) struct Ipv4Masked(u128, u128);

pub(super) fn ipv4(value: u128, mask: u128) -> Ipv4Masked {
    Ipv4Masked(value, mask)
}

impl fmt::Display for Ipv4Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ipv4_addr(self.0))?;
        match prefix_len(self.1, 32) {
            Some(32) => Ok(()),
            Some(len) => write!(f, "/{len}"),
            None => write!(f, "/{}", ipv4_addr(self.1)),
        }
    }
}

fn ipv4_addr(value: u128) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::try_from(value & ones(32)).unwrap_or_default())
}

pub(super) struct Ipv6Masked(pub(super) u128, pub(super) u128);

impl fmt::Display for Ipv6Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ipv6_addr(self.0, f)?;
        match prefix_len(self.1, 128) {
            Some(128) => Ok(()),
            Some(len) => write!(f, "/{len}"),
            None => {
                f.write_str("/")?;
                ipv6_addr(self.1, f)
            }
        }
    }
}

/// As `inet_ntop`, which writes addresses below 2^32 (but not below 2^16) with a dotted quad.
fn ipv6_addr(value: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value >> 32 == 0 && value >> 16 != 0 {
        write!(f, "::{}", ipv4_addr(value))
    } else {
        write!(f, "{}", Ipv6Addr::from_bits(value))
    }
}

pub(super) fn frag_name(value: u128, mask: u128) -> &'static str {
    let found = FRAGS.iter().find(|(_, m, v)| *m == mask && *v == value & mask);
    found.map_or("<error>", |(name, _, _)| name)
}

pub(super) struct TcpFlagsText(pub(super) u128, pub(super) u128);

impl fmt::Display for TcpFlagsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, mask) = (self.0 & ALL_TCP_FLAGS, self.1 & ALL_TCP_FLAGS);
        let exact = mask == ALL_TCP_FLAGS;
        if exact && value == 0 {
            return f.write_str("0");
        }
        let mut first = true;
        for (bit, name) in TCP_FLAGS.iter().enumerate() {
            if exact && value >> bit & 1 != 0 {
                f.write_str(if first { "" } else { "|" })?;
                f.write_str(name)?;
                first = false;
            } else if !exact && mask >> bit & 1 != 0 {
                f.write_str(if value >> bit & 1 != 0 { "+" } else { "-" })?;
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}
