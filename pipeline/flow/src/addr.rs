//! Ethernet addresses.

use core::fmt;
use core::str::FromStr;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherAddr(pub [u8; 6]);

impl EtherAddr {
    /// All zero.
    pub const ZERO: EtherAddr = EtherAddr([0; 6]);
    /// All ones.
    pub const BROADCAST: EtherAddr = EtherAddr([0xff; 6]);

    /// The address in the low 48 bits of `value`.
    #[must_use]
    #[inline]
    pub const fn from_u64(value: u64) -> EtherAddr {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        EtherAddr([a, b, c, d, e, f])
    }

    /// The address as a number.
    #[must_use]
    #[inline]
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// Whether the group bit is set (multicast and broadcast).
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this is the broadcast address.
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// Whether this is a bridge-protocol address (01:80:c2:00:00:00 to :0f), which a bridge
    /// does not forward (802.1D §7.12.6).
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        self.to_u64() & 0xffff_ffff_fff0 == 0x0180_c200_0000
    }
}

impl fmt::Display for EtherAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for EtherAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 6]> for EtherAddr {
    fn from(bytes: [u8; 6]) -> Self {
        EtherAddr(bytes)
    }
}

/// The text was not six hexadecimal bytes with colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseEtherAddrError;

impl fmt::Display for ParseEtherAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write an Ethernet address as aa:bb:cc:dd:ee:ff")
    }
}

impl core::error::Error for ParseEtherAddrError {}

impl FromStr for EtherAddr {
    type Err = ParseEtherAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(ParseEtherAddrError)?;
            if part.is_empty() || part.len() > 2 || part.starts_with('+') {
                return Err(ParseEtherAddrError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| ParseEtherAddrError)?;
        }
        if parts.next().is_some() { Err(ParseEtherAddrError) } else { Ok(EtherAddr(bytes)) }
    }
}
