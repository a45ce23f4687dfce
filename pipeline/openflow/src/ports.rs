//! OpenFlow port numbers.
//!
//! Inside, every number has the 32 bits of OpenFlow 1.1 and later. OpenFlow 1.0 has 16: its
//! reserved numbers (0xff00 and up) stand for those at 0xffffff00 and up.

use core::fmt;

/// An OpenFlow port number (1.3.5 §7.2.1); not a datapath port number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfPort(pub u32);

impl OfPort {
    /// The highest number of a port that is not reserved.
    pub const MAX: OfPort = OfPort(0xffff_ff00);
    /// The highest port number that OpenFlow 1.0 can say, and so the highest that a bridge gives.
    pub const MAX_V10: OfPort = OfPort(0xff00 - 1);
    /// Not set (only as the value of `actset_output`).
    pub const UNSET: OfPort = OfPort(0xffff_fff7);
    /// Back out of the port that it came in on.
    pub const IN_PORT: OfPort = OfPort(0xffff_fff8);
    /// Through the flow tables; in packet-out only.
    pub const TABLE: OfPort = OfPort(0xffff_fff9);
    /// Ordinary learning-switch forwarding.
    pub const NORMAL: OfPort = OfPort(0xffff_fffa);
    /// All ports but the ingress port and those with flooding off.
    pub const FLOOD: OfPort = OfPort(0xffff_fffb);
    /// All ports but the ingress port.
    pub const ALL: OfPort = OfPort(0xffff_fffc);
    /// To the controllers, as packet-in.
    pub const CONTROLLER: OfPort = OfPort(0xffff_fffd);
    /// The bridge's own port.
    pub const LOCAL: OfPort = OfPort(0xffff_fffe);
    /// Any port, as a wildcard; `NONE` in OpenFlow 1.0.
    pub const ANY: OfPort = OfPort(0xffff_ffff);

    /// The first reserved number in 16 bits.
    const RESERVED_V10: u16 = 0xff00;
    /// What lies between a reserved number in 32 bits and in 16.
    const V10_OFFSET: u32 = 0xffff_0000;

    /// The 16-bit form, if there is one.
    #[must_use]
    pub fn to_u16(self) -> Option<u16> {
        match u16::try_from(self.0) {
            Ok(low) if low < Self::RESERVED_V10 => Some(low),
            Ok(_) => None,
            Err(_) => {
                let low = u16::try_from(self.0.checked_sub(Self::V10_OFFSET)?).ok()?;
                (low >= Self::RESERVED_V10).then_some(low)
            }
        }
    }

    /// The port that a 16-bit number stands for.
    #[must_use]
    pub const fn from_u16(low: u16) -> OfPort {
        if low < Self::RESERVED_V10 {
            OfPort(low as u32)
        } else {
            OfPort(low as u32 + Self::V10_OFFSET)
        }
    }

    /// Whether the number can be that of a real port (not 0, not reserved; LOCAL counts as one).
    #[must_use]
    pub const fn is_physical(self) -> bool {
        self.0 != 0 && (self.0 <= Self::MAX.0 || self.0 == Self::LOCAL.0)
    }

    /// Whether an output action may name it (1.3.5 §7.2.5: not 0, ANY or an unassigned number).
    #[must_use]
    pub const fn is_output(self) -> bool {
        self.is_physical() || (self.0 >= Self::IN_PORT.0 && self.0 < Self::ANY.0)
    }

    /// The name of a reserved number, as `ovs-ofctl` prints it.
    #[must_use]
    pub fn reserved_name(self) -> Option<&'static str> {
        Some(match self {
            OfPort::UNSET => "UNSET",
            OfPort::IN_PORT => "IN_PORT",
            OfPort::TABLE => "TABLE",
            OfPort::NORMAL => "NORMAL",
            OfPort::FLOOD => "FLOOD",
            OfPort::ALL => "ALL",
            OfPort::CONTROLLER => "CONTROLLER",
            OfPort::LOCAL => "LOCAL",
            OfPort::ANY => "ANY",
            _ => return None,
        })
    }

    /// Parses a number or a reserved name in any case; 16-bit reserved numbers are understood.
    #[must_use]
    pub fn parse(text: &str) -> Option<OfPort> {
        const NAMED: [OfPort; 9] = [
            OfPort::UNSET,
            OfPort::IN_PORT,
            OfPort::TABLE,
            OfPort::NORMAL,
            OfPort::FLOOD,
            OfPort::ALL,
            OfPort::CONTROLLER,
            OfPort::LOCAL,
            OfPort::ANY,
        ];
        if let Some(number) = crate::text::number(text) {
            let number = u32::try_from(number).ok()?;
            return Some(match u16::try_from(number) {
                Ok(low) => OfPort::from_u16(low),
                Err(_) => OfPort(number),
            });
        }
        if text.eq_ignore_ascii_case("NONE") {
            return Some(OfPort::ANY);
        }
        let is_named = |port: &OfPort| {
            port.reserved_name().is_some_and(|name| name.eq_ignore_ascii_case(text))
        };
        NAMED.into_iter().find(is_named)
    }
}

impl fmt::Display for OfPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reserved_name() {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}
