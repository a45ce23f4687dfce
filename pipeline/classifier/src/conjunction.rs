//! Conjunctive matches: `(a or b) and (c or d)` at the cost of a + b + c + d rules (Open vSwitch's
//! `conjunction` action).
//!
//! # What
//! A rule with [`Clause`]s is a *part*: it says that a packet which matches it satisfies a clause of
//! the conjunctive match `id`. When the parts of one priority that a packet matches satisfy all the
//! clauses of an id, the packet is looked up once more with that id in its field `conj_id`; the rule
//! found there speaks.
//!
//! # Priorities
//! A *hard* match (of a rule that is no part) of at least the priority of a *soft* one (a part) wins.
//! Otherwise the soft matches of the highest priority are put together. When they make nothing whole,
//! each gives way to the next rule with the very same match, which may be hard or soft, and the next
//! priority is tried, until only the hard match is left.
//!
//! # Un-wildcarding
//! All is decided from which parts a packet matches, and the lookups that found them reported what
//! they examined; the second lookup reports likewise. A flow that agrees on those bits finds the same
//! parts, in the same order, and ends at the same rule.
//!
//! # Cost
//! Nothing where no part matches. Otherwise O(clauses of the parts matched), and one more lookup for
//! each conjunctive match that is whole.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use flow::{Flow, Mask};

use crate::classifier::{Classifier, Place};
use crate::version::Version;
use crate::{Entry, Priority};

/// One clause of a conjunctive match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clause {
    /// Of which conjunctive match.
    pub id: u32,
    /// Which one, from 0.
    pub index: u8,
    /// How many there are, 2 to 64.
    pub n_clauses: u8,
}

impl Clause {
    fn bit(self) -> u64 {
        1u64.checked_shl(self.index.into()).unwrap_or(0)
    }

    fn all_bits(self) -> u64 {
        1u64.checked_shl(self.n_clauses.into()).map_or(u64::MAX, |bit| bit - 1)
    }
}

impl<R> Classifier<R> {
    /// Makes matches whole out of `soft`, where `hard` is the best certain match.
    pub(crate) fn conjoin<'a>(
        &'a self,
        version: Version,
        flow: &Flow,
        mut wildcards: Option<&mut Mask>,
        mut hard: Option<Entry<'a, R>>,
        mut soft: Vec<Place>,
    ) -> Option<Entry<'a, R>> {
        loop {
            let floor = hard.map(|hard| hard.priority());
            let is_above = |priority: Priority| floor.is_none_or(|floor| priority > floor);
            soft.retain(|place| self.priority_at(*place).is_some_and(is_above));
            let Some(top) = soft.iter().filter_map(|place| self.priority_at(*place)).max() else {
                return hard;
            };
            for id in self.whole_ids(&soft, top) {
                let mut named = *flow;
                named.set_conj_id(id);
                let found = self.lookup_hard(version, &named, wildcards.as_deref_mut());
                if found.is_some() {
                    return found;
                }
            }
            for place in &mut soft {
                if self.priority_at(*place) != Some(top) {
                    continue;
                }
                let next = self.next_visible(*place, version);
                *place = next.unwrap_or(Place::NOWHERE);
                let entry = next.and_then(|next| self.entry_at(next));
                if let Some(entry) = entry.filter(|entry| entry.clauses().is_empty()) {
                    *place = Place::NOWHERE;
                    if hard.is_none_or(|hard| entry.priority() > hard.priority()) {
                        hard = Some(entry);
                    }
                }
            }
        }
    }

    /// The conjunctive matches of which the soft matches of priority `top` satisfy all clauses, in the
    /// order in which they do.
    fn whole_ids(&self, soft: &[Place], top: Priority) -> Vec<u32> {
        let at_top = || {
            let entries = soft.iter().filter_map(|place| self.entry_at(*place));
            entries.filter(move |entry| entry.priority() == top)
        };
        let n_parts = at_top().count();
        let mut missing: BTreeMap<u32, u64> = BTreeMap::new();
        let mut whole = Vec::new();
        for clause in at_top().flat_map(|entry| entry.clauses()) {
            // A part may not stand for more than one clause.
            if usize::from(clause.n_clauses) > n_parts {
                continue;
            }
            let missing = missing.entry(clause.id).or_insert(clause.all_bits());
            let was_whole = *missing == 0;
            *missing &= !clause.bit();
            if *missing == 0 && !was_whole {
                whole.push(clause.id);
            }
        }
        whole
    }
}
