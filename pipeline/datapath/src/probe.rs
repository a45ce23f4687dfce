//! What the caches in front of the megaflow table need to know of a packet's key, computed once.

use flow::{
    Keys, WordMap,
    hash::{finish, mix, start},
};
use packet::BATCH;

/// One for each key of a batch, or none where nobody asks.
pub(crate) type Probes = heapless::Vec<Probe, BATCH>;

/// Hash and shape of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) map: WordMap,
    pub(crate) state: u64,
}

impl Probe {
    #[inline]
    pub(crate) fn of(keys: &Keys, packet: usize, basis: u32) -> Self {
        let map = keys.map(packet);
        let words = map.into_iter().map(|word| keys.word(packet, word));
        let state = words.fold(start(basis), mix);
        Self { map, state }
    }

    /// Those of all keys of a batch.
    #[inline]
    pub(crate) fn all(keys: &Keys, basis: u32) -> Probes {
        (0..keys.len()).map(|packet| Self::of(keys, packet, basis)).collect()
    }

    /// The hash for the exact-match cache; never 0.
    #[inline]
    pub(crate) fn tag(&self) -> u32 {
        finish(self.state).max(1)
    }

    /// The hash for the signature cache: place from one end, signature from the other.
    #[inline]
    pub(crate) fn wide(&self) -> u64 {
        mix(self.state, 0x2545_f491_4f6c_dd1d)
    }
}
