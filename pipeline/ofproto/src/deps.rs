//! What a conclusion depends on, so that a change leaves alone what it cannot touch.
//!
//! # What is noted
//! Translation looks at six kinds of things beside the packet: tables, the rules found in them,
//! stations of the MAC table, ports, groups and meters. [`Deps`] says which. Rules need no list
//! here: the conclusion is credited to every rule that it found.
//!
//! # When an added rule can matter
//! A rule changes a lookup if it matches the key of that lookup and does not lose to the rule found
//! there. For each lookup [`Deps`] keeps the table, the priority found, and the words in which the
//! key differed from the flow of the packet (registers, rewritten headers). Of such a key the
//! *known bits* are those that the megaflow's mask covers, and all of metadata and registers.
//!
//! Claim: a known bit has the same value in the key of that lookup for every packet of the
//! megaflow. A bit that was not rewritten is the packet's own, and the packets of a megaflow agree
//! in the bits of its mask. A bit that was rewritten got a constant, or a copy of bits that were
//! un-wildcarded when they were read; either is the same for all these packets, as the same
//! argument, applied to the earlier bits, shows. Metadata and registers start from zero, or from
//! what the recirculation id says, and the id is exact in each mask.
//!
//! So a rule that differs from the key in one known bit that it examines matches in no packet of
//! the megaflow: the conclusion stands, and stands with the same lookups, so the argument can be
//! used again for the next change. A fresh translation of the same packet may examine more bits (it
//! has one more rule to tell apart), but it does the same to every packet of the megaflow.
//!
//! # Bounded
//! Ports, groups and meters are kept as 64 buckets each; a conclusion of more than [`MAX_LOOKUPS`]
//! lookups or [`MAX_STATIONS`] stations depends on everything.

use crate::mac_learning::Station;
use crate::rule::RuleStats;
use alloc::vec::Vec;
use classifier::Priority;
use flow::layout::{
    ETH_DST, PACKET_TYPE, PORT, PRIORITY, TUN_METADATA, is_of_pipeline, pipeline_words,
};
use flow::{CompactMatch, Flow, Mask, WordMap};

/// Lookups that a conclusion remembers.
const MAX_LOOKUPS: usize = 256;
/// Stations that a conclusion remembers.
const MAX_STATIONS: usize = 64;

/// A set of numbers as 64 buckets: it may say "in it" wrongly, but not "not in it".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buckets(u64);

impl Buckets {
    /// Every number.
    pub(crate) const ALL: Buckets = Buckets(u64::MAX);

    /// The bucket of `n`.
    #[must_use]
    pub(crate) fn of(n: u32) -> Self {
        Self(1 << (n % 64))
    }

    /// The bucket of a rule's statistics, which stand for the rule.
    #[must_use]
    pub(crate) fn of_rule(stats: &RuleStats) -> Self {
        let address = core::ptr::from_ref(stats).addr() as u64;
        Self(1 << (address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58))
    }

    pub(crate) fn add(&mut self, other: Buckets) {
        self.0 |= other.0;
    }

    #[must_use]
    pub(crate) fn meets(self, other: Buckets) -> bool {
        self.0 & other.0 != 0
    }

    /// The numbers of the buckets that are in it.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |bucket| self.0 >> bucket & 1 != 0)
    }
}

/// One lookup of a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lookup {
    table_id: u8,
    /// Words of its key that differ from the packet's flow; they lie in [`Deps::words`].
    n_words: u8,
    /// The priority of what was found; nothing beats nothing.
    found: Option<Priority>,
}

/// What a conclusion depends on; see the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deps {
    lookups: Vec<Lookup>,
    /// Index and value of the words that lookups saw other than the packet's, in their order.
    words: Vec<(u8, u64)>,
    /// Stations that were looked up.
    stations: Vec<Station>,
    pub(crate) tables: Buckets,
    pub(crate) rules: Buckets,
    pub(crate) ports: Buckets,
    pub(crate) groups: Buckets,
    pub(crate) meters: Buckets,
    is_unbounded: bool,
}

impl Deps {
    // ---- Noting, by translation ----

    /// A lookup of `key` in a table, by a packet with `flow`, found a rule of priority `found`.
    pub(crate) fn note_lookup(
        &mut self,
        table_id: u8,
        key: &Flow,
        flow: &Flow,
        found: Option<Priority>,
    ) {
        self.tables.add(Buckets::of(table_id.into()));
        if self.lookups.len() >= MAX_LOOKUPS {
            self.is_unbounded = true;
            return;
        }
        let n_before = self.words.len();
        for word in differing(key, flow) {
            // Where the action set sends to is in no mask, so every rule that asks for it counts as found.
            let seen = match word {
                PRIORITY => key.word(word) & !u64::from(u32::MAX),
                _ => key.word(word),
            };
            if word != PRIORITY || seen != flow.word(word) {
                // There are fewer words than a byte counts.
                self.words.push((u8::try_from(word).unwrap_or(u8::MAX), seen));
            }
        }
        let n_words = u8::try_from(self.words.len() - n_before).unwrap_or(u8::MAX);
        self.lookups.push(Lookup { table_id, n_words, found });
    }

    /// A rule was found.
    pub(crate) fn note_rule(&mut self, stats: &RuleStats) {
        self.rules.add(Buckets::of_rule(stats));
    }

    /// A station was looked up, whether known or not.
    pub(crate) fn note_station(&mut self, station: Station) {
        if self.stations.contains(&station) {
            return;
        }
        if self.stations.len() >= MAX_STATIONS {
            self.is_unbounded = true;
            return;
        }
        self.stations.push(station);
    }

    /// A port's existence, configuration or state was looked at.
    pub(crate) fn note_port(&mut self, number: openflow::OfPort) {
        self.ports.add(Buckets::of(number.0));
    }

    /// A group's existence or contents were looked at.
    pub(crate) fn note_group(&mut self, id: u32) {
        self.groups.add(Buckets::of(id));
    }

    /// A meter's existence or configuration was looked at.
    pub(crate) fn note_meter(&mut self, id: u32) {
        self.meters.add(Buckets::of(id));
    }

    /// All ports were looked at.
    pub(crate) fn note_all_ports(&mut self) {
        self.ports = Buckets::ALL;
    }

    /// Something was looked at that changes in ways of which no note is taken.
    pub(crate) fn note_everything(&mut self) {
        self.is_unbounded = true;
    }

    // ---- Asking, by the change log ----

    /// Whether it depends on more than it remembers.
    #[must_use]
    pub(crate) fn is_unbounded(&self) -> bool {
        self.is_unbounded
    }

    /// The stations that it looked up.
    #[must_use]
    pub(crate) fn stations(&self) -> &[Station] {
        &self.stations
    }

    /// Whether it looked in a table.
    #[must_use]
    pub(crate) fn looked_in(&self, table_id: u8) -> bool {
        self.lookups.iter().any(|lookup| lookup.table_id == table_id)
    }

    /// Whether some packet of the megaflow with this key and mask might find a rule that was added
    /// to a table; see the module for why a "no" is sure.
    #[must_use]
    pub(crate) fn may_find(
        &self,
        key: &Flow,
        mask: &Mask,
        table_id: u8,
        priority: Priority,
        match_: &CompactMatch,
    ) -> bool {
        let mut rest = &self.words[..];
        for lookup in &self.lookups {
            let (words, others) = rest.split_at_checked(lookup.n_words.into()).unwrap_or_default();
            rest = others;
            let beats = lookup.found.is_none_or(|found| priority >= found);
            if lookup.table_id != table_id || !beats {
                continue;
            }
            let agrees = match_.words().iter().all(|(word, value, bits)| {
                let known = match word {
                    _ if is_of_pipeline(word) => u64::MAX,
                    // The low halves are the translation's own, whatever a mask that was rounded up
                    // says of them: where the action set sends to, and which conjunction was found.
                    PRIORITY | PACKET_TYPE => mask.word(word) & !u64::from(u32::MAX),
                    _ => mask.word(word),
                };
                let seen = words.iter().find(|(index, _)| usize::from(*index) == word);
                let seen = seen.map_or_else(|| key.word(word), |(_, value)| *value);
                (seen ^ value) & bits & known == 0
            });
            if agrees {
                return true;
            }
        }
        false
    }

    /// Forgets all, and keeps the room.
    pub(crate) fn clear(&mut self) {
        let Self { lookups, words, stations, tables, rules, ports, groups, meters, is_unbounded } =
            self;
        lookups.clear();
        words.clear();
        stations.clear();
        for buckets in [tables, rules, ports, groups, meters] {
            *buckets = Buckets::default();
        }
        *is_unbounded = false;
    }
}

/// The words in which a lookup's key is not the packet's flow. Metadata and registers of a packet start from
/// zero: there the key is all that differs.
fn differing(key: &Flow, flow: &Flow) -> WordMap {
    let (key, flow) = (key.words(), flow.words());
    let one = |word: usize, bits: u64| u64::from(bits != 0) << word;
    // Mostly whole ranges are the same: each is looked at as a whole first.
    let of_pipeline = key[..PORT].iter().fold(key[TUN_METADATA], |any, bits| any | bits);
    let mut map = match of_pipeline {
        0 => 0,
        _ => pipeline_words().fold(0, |map, word| map | one(word, key[word])),
    };
    for word in PORT..ETH_DST {
        map |= one(word, key[word] ^ flow[word]);
    }
    let headers = ETH_DST..TUN_METADATA;
    let pairs = key[headers.clone()].iter().zip(&flow[headers.clone()]);
    if pairs.fold(0, |any, (a, b)| any | (a ^ b)) != 0 {
        map |= headers.fold(0, |map, word| map | one(word, key[word] ^ flow[word]));
    }
    WordMap(map)
}
