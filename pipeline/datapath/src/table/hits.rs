//! What the packets of a batch have hit, and which of them have not hit yet.

use packet::BATCH;
use sync::lanes;

use super::Slot;

/// What a packet has hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) slot: Slot,
    /// What it took to find it, in [`steps`]; 0 if the exact-match cache knew it.
    pub(crate) cost: u32,
}

/// What lookups cost, as far as caches decide by it whether they pay. A step is the comparison with a
/// megaflow that is the only one of its mask: two or three cycles. The other figures are as they were
/// measured beside it.
pub(crate) mod steps {
    /// Looking for a packet among several megaflows of a mask, whether it is there or not.
    pub(crate) const HASHED: u32 = 16;
    /// Looking for a packet among the masks that signposts name.
    pub(crate) const POSTED: u32 = 8;
    /// Finding a packet in the signature cache, and comparing it with what that says.
    pub(crate) const SMC: u32 = 20;
    /// Asking the exact-match cache.
    pub(crate) const EMC: u32 = 18;
    /// Asking it in vain, besides: a key may be inserted, and other data goes from the processor's
    /// caches.
    pub(crate) const EMC_MISS: u32 = 32;
}

/// Packets of a batch, by number, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packets(u32);

const _: () = assert!(BATCH == u32::BITS as usize);

impl Packets {
    /// The first `n`.
    #[inline]
    pub(crate) fn first_of(n: usize) -> Self {
        Self(
            u32::MAX
                .checked_shl(u32::try_from(n).unwrap_or(u32::BITS))
                .map_or(u32::MAX, |rest| !rest),
        )
    }

    /// Those whose bits are set.
    #[inline]
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) fn len(self) -> u64 {
        // Often one, and counting takes long where the processor may lack an instruction for it.
        match self.0 & self.0.wrapping_sub(1) {
            0 => u64::from(self.0 != 0),
            _ => self.0.count_ones().into(),
        }
    }

    /// Whether they are four at the most: cheaper than counting them where the processor may lack an
    /// instruction for that.
    #[inline]
    pub(crate) fn is_few(mut self) -> bool {
        for _ in 0..4 {
            self.next();
        }
        self.is_empty()
    }

    /// Those that are not in `other`.
    #[inline]
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those and the ones in `other`.
    #[inline]
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are in `other` too.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The one with the lowest number.
    #[inline]
    pub(crate) fn first(mut self) -> Option<usize> {
        self.next()
    }

    #[inline]
    pub(crate) fn remove(&mut self, packet: usize) {
        self.0 &= !(1 << (packet & (BATCH - 1)));
    }
}

/// Their numbers, lowest first.
impl Iterator for Packets {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let first = self.0.trailing_zeros() as usize;
        let had_one = self.0 != 0;
        self.0 &= self.0.wrapping_sub(1);
        had_one.then_some(first)
    }
}

/// The result of a batch lookup.
#[derive(Debug)]
pub(crate) struct Hits {
    /// By packet; [`Slot::NONE`] where there is none.
    slots: [u32; BATCH],
    costs: [u32; BATCH],
    /// Those without.
    missing: Packets,
}

impl Hits {
    /// Of `n` packets that have hit nothing.
    #[inline]
    pub(crate) fn new(n: usize) -> Self {
        Self { slots: [Slot::NONE.0; BATCH], costs: [0; BATCH], missing: Packets::first_of(n) }
    }

    /// Those that have not hit.
    #[inline]
    pub(crate) fn missing(&self) -> Packets {
        self.missing
    }

    /// A packet has hit.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a power of two of them")]
    pub(crate) fn put(&mut self, packet: usize, hit: Hit) {
        self.slots[packet & (BATCH - 1)] = hit.slot.0;
        self.costs[packet & (BATCH - 1)] = hit.cost;
        self.missing.remove(packet);
    }

    /// Packets have hit the same.
    #[inline]
    pub(crate) fn put_all(&mut self, packets: Packets, hit: Hit) {
        if packets == Packets::first_of(BATCH) {
            (self.slots, self.costs) = ([hit.slot.0; BATCH], [hit.cost; BATCH]);
            self.missing = Packets::first_of(0);
            return;
        }
        packets.for_each(|packet| self.put(packet, hit));
    }

    /// What a packet has hit; [`Slot::NONE`] if nothing.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a power of two of them")]
    pub(crate) fn slot(&self, packet: usize) -> Slot {
        Slot(self.slots[packet & (BATCH - 1)])
    }

    /// What it took.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a power of two of them")]
    pub(crate) fn cost(&self, packet: usize) -> u32 {
        self.costs[packet & (BATCH - 1)]
    }

    /// The packets that have hit `slot`.
    #[inline]
    pub(crate) fn of_slot(&self, slot: Slot) -> Packets {
        Packets(lanes::equal_to(&self.slots, slot.0))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list of options.
        #[test]
        fn agrees_with_a_list(n in 0_usize..=BATCH, puts in proptest::collection::vec((0_usize..BATCH, 0_u32..3), 0..40)) {
            let (mut hits, mut twin) = (Hits::new(n), [None; BATCH]);
            for (packet, slot) in puts.into_iter().filter(|(packet, _)| *packet < n) {
                let before = hits.missing();
                hits.put(packet, Hit { slot: Slot(slot), cost: slot + 1 });
                prop_assert_eq!(before.without(hits.missing()).len(), u64::from(twin[packet].is_none()));
                twin[packet] = Some(slot);
            }
            let missing: Vec<_> = (0..n).filter(|packet| twin[*packet].is_none()).collect();
            prop_assert_eq!(hits.missing().len(), missing.len() as u64);
            prop_assert_eq!(hits.missing().is_few(), missing.len() <= 4);
            prop_assert_eq!(hits.missing().first(), missing.first().copied());
            prop_assert_eq!(hits.missing().collect::<Vec<_>>(), missing);
            for slot in 0..3 {
                let of: Vec<_> = (0..n).filter(|packet| twin[*packet] == Some(slot)).collect();
                prop_assert_eq!(hits.of_slot(Slot(slot)).collect::<Vec<_>>(), of);
            }
            let mut again = Hits::new(n);
            for slot in 0..3 {
                again.put_all(hits.of_slot(Slot(slot)), Hit { slot: Slot(slot), cost: slot + 1 });
            }
            prop_assert_eq!(again.missing(), hits.missing());
            for (packet, slot) in twin.into_iter().enumerate() {
                prop_assert_eq!(again.slot(packet), hits.slot(packet));
                prop_assert_eq!(hits.slot(packet), slot.map_or(Slot::NONE, Slot));
                prop_assert_eq!(hits.cost(packet), slot.map_or(0, |slot| slot + 1));
            }
        }
    }
}
