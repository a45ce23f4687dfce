//! The subtables of a classifier: which there are, by their masks, and in which order lookups ask them.

use alloc::boxed::Box;
use core::cmp::Reverse;

use flow::MatchWords;

use crate::Priority;
use crate::classifier::{Classifier, InsertError};
use crate::hash::short;
use crate::shape::Shape;
use crate::subtable::Subtable;

/// A subtable in the order of lookups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank {
    pub(crate) max_priority: Priority,
    pub(crate) subtable: u32,
}

impl<R> Classifier<R> {
    /// The index of the subtable with the mask of this match.
    pub(crate) fn subtable_of(&self, match_: MatchWords<'_>) -> Option<u32> {
        let is_it =
            |index| self.subtable(index).is_some_and(|subtable| subtable.shape().is_of(match_));
        // Rules that look alike come one after the other.
        if is_it(self.recent) {
            return Some(self.recent);
        }
        self.by_mask.find(hash_mask(match_, self.seed), is_it)
    }

    /// A new one with the mask of this match.
    pub(crate) fn create_subtable(&mut self, match_: MatchWords<'_>) -> Result<u32, InsertError> {
        let index = match self.free_subtables.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.subtables.len()).map_err(|_| InsertError::Full)?;
                self.subtables.push(None);
                index
            }
        };
        self.subtables[index as usize] =
            Some(Box::new(Subtable::new(match_.to_match().mask(), self.seed)));
        self.by_mask.insert(hash_mask(match_, self.seed), index);
        Ok(index)
    }

    /// Forgets one without rules.
    pub(crate) fn delete_subtable(&mut self, index: u32) {
        let Some(subtable) = self.subtables[index as usize].take() else {
            return;
        };
        self.by_mask.remove(subtable.shape().hash_mask(self.seed), index);
        self.free_subtables.push(index);
    }

    /// Moves a subtable to its place in the order of lookups after its maximum priority changed.
    pub(crate) fn rank(
        &mut self,
        subtable: u32,
        before: Option<Priority>,
        after: Option<Priority>,
    ) {
        if before == after {
            return;
        }
        let key = |rank: &Rank| (Reverse(rank.max_priority), rank.subtable);
        if let Some(max_priority) = before
            && let Ok(at) =
                self.order.binary_search_by_key(&key(&Rank { max_priority, subtable }), key)
        {
            self.order.remove(at);
        }
        if let Some(max_priority) = after {
            let rank = Rank { max_priority, subtable };
            let at = self.order.binary_search_by_key(&key(&rank), key).unwrap_or_else(|at| at);
            self.order.insert(at, rank);
        }
    }
}

/// The hash of a match's mask: of the few words that it has, and which they are.
fn hash_mask(match_: MatchWords<'_>, seed: u64) -> u32 {
    short(Shape::hash_key(match_.bits().iter().copied().chain([match_.map().0]), seed))
}
