//! The numbers that name things in a datapath, each its own type so that they cannot mix.

use core::fmt;

use flow::{Flow, Mask, WordMap, hash};

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
        Naming::of(mask).name(key, mask)
    }
}

/// The part that a mask has in the names of all megaflows that have it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    words: WordMap,
    high: u64,
    low: u64,
}

impl Naming {
    pub(crate) fn of(mask: &Mask) -> Self {
        let words = mask.map();
        let (high, low) = (0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);
        words.into_iter().fold(Self { words, high, low }, |naming, word| {
            let (bits, index) = (mask.word(word), word as u64);
            let high = hash::mix(hash::mix(naming.high, index), bits);
            let low = hash::mix(naming.low ^ index, bits.rotate_left(32));
            Self { high, low, ..naming }
        })
    }

    /// The words in which the mask has bits.
    pub(crate) fn words(&self) -> WordMap {
        self.words
    }

    /// See [`Ufid::of`]; `mask` is the one that this is of.
    pub(crate) fn name(&self, key: &Flow, mask: &Mask) -> Ufid {
        let (mut high, mut low) = (self.high, self.low);
        for word in self.words {
            let value = key.word(word) & mask.word(word);
            high = hash::mix(high, value);
            low = hash::mix(low, value.rotate_left(32));
        }
        Ufid(u128::from(high) << 64 | u128::from(low))
    }
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
