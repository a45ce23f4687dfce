//! The numbers that name things in a datapath, each its own type so that they cannot mix.

use core::fmt;

use flow::{Flow, Mask, WordMap};

/// Number of a port in a datapath. Not an OpenFlow port number: `ofproto` maps between the two.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortNo(pub u32);

impl PortNo {
    /// No port: the ingress "port" of a frame that a controller made.
    pub const NONE: Self = Self(u32::MAX);
    /// The largest number that a port can have.
    pub const MAX: Self = Self(0xffff);
}

impl fmt::Display for PortNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a core, from zero.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

impl CoreId {
    /// The core as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Unique id of a megaflow: 128 bits derived from its masked key and mask, so that translating the
/// same miss twice names the same megaflow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ufid(pub u128);

impl Ufid {
    /// The id of the megaflow that matches `key` under `mask`.
    ///
    /// Two independent 64-bit mixes over the words. This is a name and no defence: a controller can
    /// at most make its own megaflows collide, and then the later one replaces the earlier one,
    /// which only costs upcalls.
    #[must_use]
    pub fn of(key: &Flow, mask: &Mask) -> Self {
        Self::in_words(key, mask, mask.map())
    }

    /// As [`of`](Self::of), where `mask` has bits in these words.
    pub(crate) fn in_words(key: &Flow, mask: &Mask, words: WordMap) -> Self {
        let mut high = 0x9e37_79b9_7f4a_7c15_u64;
        let mut low = 0xc2b2_ae3d_27d4_eb4f_u64;
        for word in words {
            let (bits, index) = (mask.word(word), word as u64);
            let value = key.word(word) & bits;
            high = mix(high ^ value, bits ^ index);
            low = mix(low ^ bits, value.rotate_left(32) ^ index);
        }
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

/// Folded multiplication: every input bit reaches every output bit.
fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ 0xa076_1d64_78bd_642f)
        * u128::from(word.wrapping_mul(0xe703_7ed1_a0b4_28db) ^ 0x8ebc_6af0_9c88_c6e3);
    let folded = (product >> 64) ^ (product & u128::from(u64::MAX));
    // The upper half was folded in: what is left fits.
    u64::try_from(folded).unwrap_or_default().wrapping_add(state)
}

/// As OVS prints it: `ufid:01234567-89ab-cdef-0123-456789abcdef` without the prefix.
impl fmt::Display for Ufid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            self.0 >> 96,
            (self.0 >> 80) & 0xffff,
            (self.0 >> 64) & 0xffff,
            (self.0 >> 48) & 0xffff,
            self.0 & 0xffff_ffff_ffff
        )
    }
}
