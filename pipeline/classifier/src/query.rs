//! Walks over many rules: dumps, OpenFlow's loose matching, overlap checks.
//!
//! All are linear in the rules of the subtables that can hold an answer; whether one can is decided
//! once per subtable.

use flow::{Mask, Match};

use crate::classifier::{Classifier, Place};
use crate::version::Version;
use crate::{Entry, Priority};

/// Places between the one that is looked at and the one whose rule is asked for.
const AHEAD: u32 = 8;

/// How far a walk in parts has come ([`Classifier::walk`]). The first part begins with the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    subtable: u32,
    slot: u32,
}

impl<R> Classifier<R> {
    /// A part of a walk over the rules that [`iter_matching`](Self::iter_matching) yields: goes on at
    /// `cursor` and looks at `max` places at most, which are taken off `max`. Returns whether there may
    /// be more.
    ///
    /// Between two parts rules may come, go and be purged: one that is there all the time in `version`
    /// is found once, and none is found twice.
    pub fn walk<'a>(
        &'a self,
        cursor: &mut Cursor,
        criteria: &Match,
        version: Version,
        max: &mut usize,
        mut found: impl FnMut(Place, Entry<'a, R>),
    ) -> bool {
        let is_any = *criteria.mask() == Mask::ZERO;
        while *max > 0 {
            if cursor.subtable as usize >= self.subtables.len() {
                return false;
            }
            let subtable = self.subtable(cursor.subtable);
            let subtable =
                subtable.filter(|subtable| subtable.is_at_least_as_specific_as(criteria.mask()));
            let Some(subtable) = subtable.filter(|subtable| cursor.slot < subtable.end()) else {
                *max -= 1;
                *cursor = Cursor { subtable: cursor.subtable + 1, slot: 0 };
                continue;
            };
            let n_looked_at =
                (subtable.end() - cursor.slot).min(u32::try_from(*max).unwrap_or(u32::MAX));
            let end = cursor.slot + n_looked_at;
            for slot in cursor.slot..end {
                subtable.prefetch_rule(slot.saturating_add(AHEAD));
                if let Some(entry) = subtable.entry(slot)
                    && entry.lifetime.includes(version)
                    && (is_any || entry.has_values_of(criteria))
                {
                    found(Self::place(cursor.subtable, slot), entry);
                }
            }
            cursor.slot = end;
            *max -= n_looked_at as usize;
        }
        true
    }

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

    /// A part of the search for a rule visible in `version` that has this priority and matches some packet
    /// that `match_` also matches (OpenFlow's `OFPFF_CHECK_OVERLAP`): goes on at `cursor` and looks at `max`
    /// places at most, which are taken off `max`. A rule with the same match counts. Between two parts no
    /// rule may come or go in `version`.
    pub fn overlap_on(
        &self,
        cursor: &mut Cursor,
        match_: &Match,
        priority: Priority,
        version: Version,
        max: &mut usize,
    ) -> Overlap {
        while *max > 0 {
            if cursor.subtable as usize >= self.subtables.len() {
                return Overlap::Absent;
            }
            let subtable = self.subtable(cursor.subtable);
            let subtable = subtable.filter(|subtable| subtable.has_priority(priority));
            let Some(subtable) = subtable.filter(|subtable| cursor.slot < subtable.end()) else {
                *max -= 1;
                *cursor = Cursor { subtable: cursor.subtable + 1, slot: 0 };
                continue;
            };
            if subtable.is_at_most_as_specific_as(match_.mask()) {
                // A rule there has all packets of `match_` or none: one look tells.
                *max -= 1;
                if subtable.has_rule_of(match_.flow(), priority, version) {
                    return Overlap::Found;
                }
                *cursor = Cursor { subtable: cursor.subtable + 1, slot: 0 };
                continue;
            }
            let n_looked_at =
                (subtable.end() - cursor.slot).min(u32::try_from(*max).unwrap_or(u32::MAX));
            let slots = cursor.slot..cursor.slot + n_looked_at;
            cursor.slot = slots.end;
            *max -= n_looked_at as usize;
            let mut entries = slots.filter_map(|slot| subtable.entry(slot));
            if entries.any(|entry| {
                entry.priority() == priority
                    && entry.lifetime.includes(version)
                    && entry.overlaps(match_)
            }) {
                return Overlap::Found;
            }
        }
        Overlap::Unknown
    }

    /// Whether a search for overlaps looks at more than `n` places.
    #[must_use]
    pub fn is_long_to_overlap(&self, match_: &Match, priority: Priority, n: usize) -> bool {
        let mut left = n;
        for subtable in self.subtables.iter().flatten() {
            let is_scanned = subtable.has_priority(priority)
                && !subtable.is_at_most_as_specific_as(match_.mask());
            let n_places = if is_scanned { subtable.end() as usize } else { 1 };
            match left.checked_sub(n_places) {
                Some(rest) => left = rest,
                None => return true,
            }
        }
        false
    }
}

/// What a search for an overlap has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Nothing was found yet.
    Unknown,
    /// There is none.
    Absent,
    /// There is one.
    Found,
}
