//! Where the statistics of rules stand.
//!
//! # Why not in the rule
//! A rule and those that it is modified into share their statistics, and so do the cached flows that credit
//! them late. So they have an owner of their own: whoever holds a [`Tally`].
//!
//! # Design
//! They come in chunks of [`CHUNK`], one allocation each, that go with the last holder of any of theirs: a rule that
//! outlives its neighbours keeps half a KiB at the most. An allocation for each would take twice
//! the memory, and much of the time that a rule takes to add.

use crate::rule::RuleStats;
use alloc::sync::Arc;
use core::ops::Deref;
use sync::time::Nanos;

/// Statistics in one allocation.
const CHUNK: usize = 16;

/// The statistics of a rule, shared. Two are equal if they are the same, not if they say the same.
#[derive(Clone, Debug)]
pub struct Tally {
    chunk: Arc<[RuleStats; CHUNK]>,
    at: u8,
}

impl Deref for Tally {
    type Target = RuleStats;

    #[inline]
    fn deref(&self) -> &RuleStats {
        &self.chunk[usize::from(self.at) % CHUNK]
    }
}

impl PartialEq for Tally {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at && Arc::ptr_eq(&self.chunk, &other.chunk)
    }
}

/// Gives out statistics that nobody has.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    /// Of a chunk, those from `at` on are nobody's.
    rest: Option<Tally>,
}

impl Tallies {
    /// New ones: no packets yet; "used" starts at creation, so that the idle timeout counts from there.
    pub(crate) fn begin(&mut self, created: Nanos) -> Tally {
        let tally = self.rest.take().unwrap_or_else(|| Tally { chunk: Arc::default(), at: 0 });
        if usize::from(tally.at) + 1 < CHUNK {
            self.rest = Some(Tally { at: tally.at + 1, ..tally.clone() });
        }
        tally.touch(created);
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn each_has_its_own_and_copies_share() {
        let mut tallies = Tallies::default();
        let all: Vec<Tally> = (0..100).map(|k| tallies.begin(Nanos(k))).collect();
        for (k, tally) in (0..).zip(&all) {
            assert_eq!((tally.packets(), tally.bytes(), tally.used()), (0, 0, Nanos(k)));
            tally.clone().credit(k + 1, 60 * k, Nanos(1_000 + k));
        }
        for (k, tally) in (0..).zip(&all) {
            assert_eq!(
                (tally.packets(), tally.bytes(), tally.used()),
                (k + 1, 60 * k, Nanos(1_000 + k))
            );
            let same: Vec<u64> =
                (0..).zip(&all).filter(|(_, other)| *other == tally).map(|(n, _)| n).collect();
            assert_eq!(same, [k]);
        }
    }

    #[test]
    fn a_chunk_goes_with_the_last_of_its_holders() {
        let mut tallies = Tallies::default();
        let mut all: Vec<Tally> = (0..CHUNK).map(|_| tallies.begin(Nanos::ZERO)).collect();
        let chunk = Arc::downgrade(&all[0].chunk);
        assert!(tallies.rest.is_none() && chunk.strong_count() == CHUNK);
        let last = all.pop();
        drop(all);
        assert_eq!(chunk.strong_count(), 1);
        drop(last);
        assert_eq!(chunk.strong_count(), 0);
    }
}
