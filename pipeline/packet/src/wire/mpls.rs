//! MPLS label stack entries (RFC 3032 §2.1).

use super::{Malformed, ethernet::ethertype, view_of_len};
use crate::bytes::{put, u32_at};

/// Length of an entry.
pub const LEN: usize = 4;
/// Where the label starts.
pub const LABEL_SHIFT: u32 = 12;
/// Where the traffic class starts.
pub const TC_SHIFT: u32 = 9;
/// The bottom-of-stack bit.
pub const BOS: u32 = 1 << 8;

/// Whether an EtherType announces an MPLS label stack.
#[must_use]
pub fn is_mpls(value: u16) -> bool {
    matches!(value, ethertype::MPLS | ethertype::MPLS_MULTICAST)
}

/// A view of one entry and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    view_of_len!(LEN);

    /// The whole entry.
    #[must_use]
    pub fn lse(&self) -> u32 {
        u32_at(self.bytes, 0)
    }

    /// What follows the entry.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or(&[])
    }
}

/// An entry's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Label, 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits.
    pub tc: u8,
    /// Bottom of stack.
    pub bos: bool,
    /// Time to live.
    pub ttl: u8,
}

impl Repr {
    /// The meaning of an entry.
    #[must_use]
    pub fn from_lse(lse: u32) -> Self {
        let [_, _, tc_bos, ttl] = lse.to_be_bytes();
        Self { label: lse >> LABEL_SHIFT, tc: (tc_bos >> 1) & 7, bos: lse & BOS != 0, ttl }
    }

    /// The entry as a word; bits of the fields beyond their width are cut off.
    #[must_use]
    pub fn to_lse(&self) -> u32 {
        (self.label & 0xf_ffff) << LABEL_SHIFT
            | u32::from(self.tc & 7) << TC_SHIFT
            | if self.bos { BOS } else { 0 }
            | u32::from(self.ttl)
    }

    /// Writes the entry at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        if put(bytes, 0, self.to_lse().to_be_bytes()) { Ok(()) } else { Err(Malformed) }
    }
}
