//! Eviction: which rule makes room where a table is full (OpenFlow 1.4.1 §5.5, ovs-vswitchd.conf.db,
//! table Flow_Table).
//!
//! # What
//! A table that evicts takes out a rule when another is added and none fits any more. Rules are grouped
//! by the values of some of their fields (all of them are one group where none are named); the largest
//! group gives the rule. In it the one of least importance goes, and among equals the one that its
//! timeouts would end first. As in Open vSwitch, a rule without timeouts is never evicted.
//!
//! # Design
//! Only tables that evict pay for it: each keeps its rules with timeouts in groups, ordered. Packets push
//! an idle timeout back without telling anybody, so a rule's place may be too early, never too late:
//! whoever is found first is looked at again, and moved if it is not due yet ([`MAX_MOVES`] times, then
//! the next best goes). Only `fin_timeout` brings an end nearer, which is not looked for.
//!
//! # Cost
//! O(log n) for each rule that comes or goes; about a hundred bytes a rule.

use crate::rule::Rule;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use openflow::Subfield;
use sync::time::Nanos;

/// Rules looked at again in search of one.
const MAX_MOVES: usize = 64;

/// A number for the values of the fields that make groups. Two groups of one number are one group.
type GroupKey = u64;

/// Where a rule stands in its group: the first goes first. The order of creation decides among equals.
type Place = (u16, Nanos, u64);

/// The rules of a table that can be evicted; see the module.
#[derive(Debug)]
pub(crate) struct Evictable {
    /// The fields that make groups.
    fields: Vec<Subfield>,
    groups: BTreeMap<GroupKey, BTreeMap<Place, Arc<Rule>>>,
    /// The groups by size.
    sizes: BTreeSet<(usize, GroupKey)>,
    /// Where each rule is, by its order of creation.
    places: BTreeMap<u64, (GroupKey, Place)>,
}

impl Evictable {
    /// None yet; these fields make groups.
    pub(crate) fn new(fields: Vec<Subfield>) -> Self {
        let (groups, sizes, places) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Self { fields, groups, sizes, places }
    }

    /// A rule came; it counts if it has timeouts.
    pub(crate) fn insert(&mut self, rule: &Arc<Rule>) {
        let place = place(rule);
        if rule.is_hidden() || place.1 == Nanos::MAX {
            return;
        }
        let key = self.key(rule);
        let group = self.groups.entry(key).or_default();
        self.sizes.remove(&(group.len(), key));
        group.insert(place, Arc::clone(rule));
        self.sizes.insert((group.len(), key));
        self.places.insert(rule.seq, (key, place));
    }

    /// A rule went.
    pub(crate) fn remove(&mut self, rule: &Rule) {
        let Some((key, place)) = self.places.remove(&rule.seq) else { return };
        let Some(group) = self.groups.get_mut(&key) else { return };
        self.sizes.remove(&(group.len(), key));
        group.remove(&place);
        if group.is_empty() {
            self.groups.remove(&key);
        } else {
            self.sizes.insert((group.len(), key));
        }
    }

    /// The rule that is to make room, if any can.
    pub(crate) fn choose(&mut self) -> Option<Arc<Rule>> {
        for _ in 0..MAX_MOVES {
            let (known, rule) = self.first()?;
            if place(&rule) <= known {
                return Some(rule);
            }
            // It was used since it was put there.
            self.remove(&rule);
            self.insert(&rule);
        }
        self.first().map(|(_, rule)| rule)
    }

    /// The first of the largest group.
    fn first(&self) -> Option<(Place, Arc<Rule>)> {
        let (_, key) = self.sizes.last()?;
        let (place, rule) = self.groups.get(key)?.first_key_value()?;
        Some((*place, Arc::clone(rule)))
    }

    /// FNV-1a over the fields that make groups.
    fn key(&self, rule: &Rule) -> GroupKey {
        if self.fields.is_empty() {
            return 0;
        }
        let match_ = rule.match_.expand();
        let parts = self.fields.iter().flat_map(|part| {
            let (value, mask) = match_.get(part.field);
            [part.get(value & mask), part.get(mask)]
        });
        let bytes = parts.flat_map(u128::to_le_bytes);
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// Where a rule stands, as far as is known of its use.
fn place(rule: &Rule) -> Place {
    (rule.importance, rule.hard_deadline().min(rule.idle_deadline()), rule.seq)
}
