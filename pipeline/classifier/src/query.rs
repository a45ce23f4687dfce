//! Walks over many rules: dumps, OpenFlow's loose matching, overlap checks.
//!
//! All are linear in the rules of the subtables that can hold an answer; whether one can is decided
//! once per subtable.

use alloc::sync::Arc;
use alloc::vec::Vec;

use flow::Match;

use crate::classifier::Classifier;
use crate::version::Version;
use crate::{Entry, Priority};

impl<R> Classifier<R> {
    /// All rules visible in `version`, in no particular order.
    pub fn iter(&self, version: Version) -> impl Iterator<Item = Entry<'_, R>> {
        self.subtables.iter().flatten().flat_map(move |subtable| subtable.entries(version))
    }

    /// The rules visible in `version` that are at least as specific as `criteria`: they match no
    /// packet that `criteria` does not match (OpenFlow 1.3.5 §6.4, non-strict).
    pub fn iter_matching(
        &self,
        criteria: &Match,
        version: Version,
    ) -> impl Iterator<Item = Entry<'_, R>> {
        (self.subtables.iter().flatten())
            .filter(move |subtable| subtable.is_at_least_as_specific_as(criteria.mask()))
            .flat_map(move |subtable| subtable.entries(version))
            .filter(move |entry| entry.has_values_of(criteria))
    }

    /// Removes, from `version` on, the rules that [`iter_matching`](Self::iter_matching) yields and
    /// `chosen` picks. Returns them.
    pub fn remove_matching(
        &mut self,
        criteria: &Match,
        version: Version,
        mut chosen: impl FnMut(&Entry<'_, R>) -> bool,
    ) -> Vec<Arc<R>> {
        let mut places = Vec::new();
        for (index, subtable) in (0u32..).zip(&self.subtables) {
            let Some(subtable) = subtable else { continue };
            if !subtable.is_at_least_as_specific_as(criteria.mask()) {
                continue;
            }
            for slot in subtable.visible_slots(version) {
                let entry = subtable.entry(slot).filter(|entry| entry.removed() == Version::NEVER);
                if entry.is_some_and(|entry| entry.has_values_of(criteria) && chosen(&entry)) {
                    places.push(Self::place(index, slot));
                }
            }
        }
        places.into_iter().filter_map(|place| self.close(place, version)).collect()
    }

    /// A rule visible in `version` that has this priority and matches some packet that `match_` also
    /// matches (OpenFlow's `OFPFF_CHECK_OVERLAP`). A rule with the same match counts.
    #[must_use]
    pub fn check_overlap(
        &self,
        match_: &Match,
        priority: Priority,
        version: Version,
    ) -> Option<Entry<'_, R>> {
        (self.subtables.iter().flatten())
            .filter(|subtable| subtable.has_priority(priority))
            .flat_map(|subtable| subtable.entries(version))
            .find(|entry| entry.priority() == priority && entry.overlaps(match_))
    }
}
