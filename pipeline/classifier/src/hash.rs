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

    /// Half of the hash, for sets that only ever answer "perhaps" or "no".
    pub(crate) fn finish_short(self) -> u32 {
        (self.finish() >> 32) as u32
    }
}

/// Spreads a short hash over the bits that a hash table looks at.
pub(crate) fn spread(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
