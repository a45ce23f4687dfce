//! Exact-match cache (EMC): the first table a packet meets.
//!
//! # What
//! Maps a packet's complete key, as a miniflow, to the megaflow that it hit last. A packet of a
//! busy flow then costs one hash and one compare, however many masks its port has. A miss here is
//! no miss: the megaflow table is asked next, and what it finds may be inserted.
//!
//! # Why staleness is harmless
//! An entry names its megaflow by slot and [`Generation`], and each installation has
//! a generation of its own. Where a megaflow was deleted or replaced, its slot is empty or has a
//! tenant of another generation, so a stale entry misses (and its place becomes free). Nothing here is
//! ever invalidated from outside, and a fence needs to know nothing of this cache. A modified megaflow
//! keeps its generation: its actions and statistics are read where they are, not here.
//!
//! # Insertion
//! Two candidate places per hash, side by side. A free one is taken at once; where both are taken,
//! one packet in [`EmcConfig::insert_inv_prob`] replaces either, by a throw of dice: a scan of short
//! flows must not flush the busy ones, and a busy flow throws often. Keys of more than
//! [`KEY_WORDS`] words (about an IPv6 packet in one VLAN tag after recirculation) are left to the
//! megaflow table.
//!
//! # Cost
//! The hash is computed once, for lookup and insertion, here and in the signature cache. A lookup reads one word of eight bytes with
//! both tags; only where a tag agrees it reads that entry, two lines, so a miss touches no entry.
//! 8,192 entries are 1 MiB of entries and 32 KiB of tags, taken in one piece when the first
//! megaflow is installed; no packet ever allocates. When it does not pay it is not asked: see
//! [`worth`].
//!
//! # Concurrency
//! Owned by one core, reached only through `&mut`; the only atomics are the counters it is given.

mod worth;

use alloc::vec::Vec;

use flow::{Flow, Keys, Miniflow};
use sync::prefetch::prefetch;

use self::worth::{Tally, Worth};
use crate::{
    accounting::CoreCounters,
    probe::{Probe, Probes},
    table::{Flows, Generation, Hit, Hits, Packets, Slot},
};

/// How large a core's exact-match cache is and whom it takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmcConfig {
    /// Entries of 132 bytes: rounded up to a power of two, at most [`EmcConfig::MAX_ENTRIES`]. 0:
    /// there is no cache.
    pub entries: usize,
    /// Where both candidate places are taken, one packet in so many replaces an entry, as Open
    /// vSwitch's `emc-insert-inv-prob`: 1 is each one, 0 is never, and then there is no cache.
    pub insert_inv_prob: u32,
    /// Seed of the dice.
    pub seed: u64,
}

impl EmcConfig {
    /// No cache.
    pub const OFF: Self = Self { entries: 0, insert_inv_prob: 0, seed: 0 };

    /// The largest cache: somewhat more than 4 MiB.
    pub const MAX_ENTRIES: usize = 32_768;

    fn is_off(self) -> bool {
        self.entries == 0 || self.insert_inv_prob == 0
    }

    fn n_pairs(self) -> usize {
        self.entries.clamp(2, Self::MAX_ENTRIES).next_power_of_two() / 2
    }
}

/// The defaults of Open vSwitch (ovs-facts C1).
impl Default for EmcConfig {
    fn default() -> Self {
        Self { entries: 8_192, insert_inv_prob: 100, seed: 0 }
    }
}

/// One core's exact-match cache.
#[derive(Debug)]
pub(crate) struct Emc {
    pairs: Pairs,
    worth: Worth,
    dice: Dice,
    config: EmcConfig,
}

impl Emc {
    pub(crate) fn new(config: EmcConfig) -> Self {
        Self {
            pairs: Pairs::default(),
            worth: Worth::new(config.n_pairs() as u64 * 2),
            dice: Dice(config.seed),
            config,
        }
    }

    /// Takes its memory, unless it has it. To be called when a megaflow is installed: before that
    /// there is nothing to remember.
    pub(crate) fn make_ready(&mut self) {
        if !self.config.is_off() && self.pairs.is_empty() {
            // Without memory there is no cache; the next installation tries again.
            self.pairs = Pairs::new(self.config.n_pairs()).unwrap_or_default();
        }
    }

    /// From now on one packet in so many replaces an entry; 0 turns the cache off, and what it held is
    /// forgotten.
    pub(crate) fn set_insert_inv_prob(&mut self, insert_inv_prob: u32) {
        self.config.insert_inv_prob = insert_inv_prob;
        if self.config.is_off() {
            self.pairs = Pairs::default();
        }
    }

    /// Whether it is to be asked for the next `n` packets; counts them if not.
    #[inline]
    pub(crate) fn asks(&mut self, n: u64, counters: &CoreCounters) -> bool {
        let asks = !self.pairs.is_empty() && self.worth.asks(n, &mut self.pairs);
        if !asks {
            counters.emc_skipped.add(n);
        }
        asks
    }

    /// Finds the megaflows of `keys`, as far as they are known here.
    #[inline]
    pub(crate) fn lookup(
        &mut self,
        probes: &Probes,
        keys: &Keys,
        flows: &Flows,
        hits: &mut Hits,
        counters: &CoreCounters,
    ) {
        for probe in probes {
            self.pairs.prefetch(probe);
        }
        let mut tally = Tally { n_lookups: keys.len() as u64, ..Tally::default() };
        for (packet, probe) in probes.iter().enumerate() {
            match self.pairs.find(probe, |word| keys.word(packet, word), flows) {
                Some(entry) => {
                    hits.put(packet, Hit { slot: entry.slot, cost: 0 });
                    tally.spared += u64::from(entry.cost);
                }
                None => tally.n_misses += 1,
            }
        }
        self.worth.count(tally);
        counters.emc_hits.add(tally.n_lookups - tally.n_misses);
        counters.emc_misses.add(tally.n_misses);
    }

    /// Considers for insertion what the next tiers have `found` for keys of the last lookup.
    #[inline]
    pub(crate) fn insert_found(
        &mut self,
        probes: &Probes,
        keys: &Keys,
        flows: &Flows,
        (found, hits): (Packets, &Hits),
        counters: &CoreCounters,
    ) {
        for packet in found {
            let Some(probe) = probes.get(packet) else { break };
            let Some(place) = self.pairs.place_for(probe, &mut self.dice, &self.config) else {
                continue;
            };
            let (slot, cost) = (hits.slot(packet), hits.cost(packet));
            let (Some(key), Some(generation)) = (
                Miniflow::of_words(probe.map, |word| keys.word(packet, word)),
                flows.generation(slot),
            ) else {
                continue;
            };
            self.pairs.fill(place, probe, Entry { key, generation, slot, cost });
            counters.emc_inserts.add(1);
            if place.is_taken {
                counters.emc_replaces.add(1);
            }
        }
    }
}

/// Words that a key may have: with the rest of an entry two cache lines.
const KEY_WORDS: usize = 13;

/// Tag of a free place.
const FREE: u32 = 0;

/// A remembered key.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Entry {
    key: Miniflow<KEY_WORDS>,
    generation: Generation,
    slot: Slot,
    /// What the lookup in the next tiers took: what a hit here spares.
    cost: u32,
}

const _: () = assert!(size_of::<Entry>() == 128, "two cache lines");

impl Entry {
    #[inline]
    fn is_of(&self, probe: &Probe, value_of: impl Fn(usize) -> u64) -> bool {
        self.key.map() == probe.map
            && self.key.values().iter().zip(probe.map).all(|(value, word)| *value == value_of(word))
    }
}

/// A place for an entry.
#[derive(Debug, Clone, Copy)]
struct Place {
    pair: usize,
    way: usize,
    /// Whether another entry loses it.
    is_taken: bool,
}

/// The places, two and two.
#[derive(Debug, Default)]
struct Pairs {
    /// The hash of each entry, [`FREE`] if there is none.
    tags: Vec<[u32; 2]>,
    entries: Vec<[Entry; 2]>,
}

impl Pairs {
    /// `n` pairs, all free; nothing if there is no memory for them.
    fn new(n: usize) -> Option<Self> {
        let entry = Entry {
            key: Miniflow::new(&Flow::ZERO)?,
            generation: Generation::default(),
            slot: Slot::NONE,
            cost: 0,
        };
        let mut new = Self::default();
        new.tags.try_reserve_exact(n).ok()?;
        new.entries.try_reserve_exact(n).ok()?;
        new.tags.resize(n, [FREE; 2]);
        new.entries.resize(n, [entry; 2]);
        Some(new)
    }

    fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Forgets everything.
    fn clear(&mut self) {
        self.tags.fill([FREE; 2]);
    }

    /// The pair of a hash; there is a power of two of them.
    #[inline]
    fn index(&self, tag: u32) -> usize {
        tag as usize & self.tags.len().wrapping_sub(1)
    }

    /// Asks for the tags of a key.
    #[inline]
    fn prefetch(&self, probe: &Probe) {
        if let Some(tags) = self.tags.get(self.index(probe.tag())) {
            prefetch(tags);
        }
    }

    /// The entry of the key, if its megaflow is still in force.
    #[inline]
    fn find(
        &mut self,
        probe: &Probe,
        value_of: impl Fn(usize) -> u64,
        flows: &Flows,
    ) -> Option<&Entry> {
        let index = self.index(probe.tag());
        let (tags, entries) = (self.tags.get_mut(index)?, self.entries.get(index)?);
        for (tag, entry) in tags.iter_mut().zip(entries) {
            if *tag == probe.tag() && entry.is_of(probe, &value_of) {
                if flows.generation(entry.slot) == Some(entry.generation) {
                    return Some(entry);
                }
                *tag = FREE;
            }
        }
        None
    }

    /// Where a key that was not found, and of which a packet has come, may go.
    fn place_for(&self, probe: &Probe, dice: &mut Dice, config: &EmcConfig) -> Option<Place> {
        let pair = self.index(probe.tag());
        let tags = self.tags.get(pair)?;
        if tags.contains(&probe.tag()) {
            // Another packet of the batch was here before.
            return None;
        }
        match tags.iter().position(|tag| *tag == FREE) {
            Some(way) => Some(Place { pair, way, is_taken: false }),
            None if dice.one_in(config.insert_inv_prob) => {
                Some(Place { pair, way: usize::from(dice.one_in(2)), is_taken: true })
            }
            None => None,
        }
    }

    fn fill(&mut self, place: Place, probe: &Probe, entry: Entry) {
        let Place { pair, way, .. } = place;
        let tag = self.tags.get_mut(pair).and_then(|pair| pair.get_mut(way));
        let old = self.entries.get_mut(pair).and_then(|pair| pair.get_mut(way));
        if let (Some(tag), Some(old)) = (tag, old) {
            (*tag, *old) = (probe.tag(), entry);
        }
    }
}

/// Pseudo-random numbers (splitmix64): cheap, and the same for the same seed. Nobody gains by
/// guessing them.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// True once in `n` throws.
    fn one_in(&mut self, n: u32) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        n != 0 && ((bits >> 32) * u64::from(n)) >> 32 == 0
    }
}

#[cfg(test)]
mod tests;
