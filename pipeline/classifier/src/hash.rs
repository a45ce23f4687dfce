//! The hash of masked words.
//!
//! Incremental, word by word, so that the staged lookup pays for each word once. Each step is a
//! bijection of the word for a given state; the seed is the classifier's, so that who chooses the
//! rules cannot choose colliding ones without knowing it.

/// The state of a hash in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn add(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        Self((mixed ^ (mixed >> 32)).rotate_left(23))
    }

    /// The value for a hash table: well mixed in the high and in the low bits.
    pub(crate) fn finish(self) -> u64 {
        let mixed = self.0.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 29)
    }

    /// As much of it as hash tables keep.
    pub(crate) fn finish_short(self) -> u32 {
        short(self.finish())
    }
}

/// As much of a hash as hash tables keep.
pub(crate) fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}
