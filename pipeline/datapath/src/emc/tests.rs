//! The pairs against a plain list, staleness by generation, insertion, and when the cache rests.

extern crate std;

use alloc::{sync::Arc, vec::Vec};
use std::collections::HashMap;

use flow::{Flow, Mask};
use packet::BATCH;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::table::steps;
use crate::{
    census::MaskCensus,
    ids::PortNo,
    megaflow::Megaflow,
    table::{PortTable, Scope, Slot, TableLimits},
};

const BASIS: u32 = 7;

/// The key of number `n`.
fn key(n: u32) -> Flow {
    let mut flow = Flow::ZERO;
    flow.set_in_port(1);
    flow.set_nw_src(n);
    flow
}

/// Megaflows, each for one key, and the cache in front of them.
struct Bench {
    flows: Flows,
    table: PortTable,
    emc: Emc,
    counters: CoreCounters,
    census: MaskCensus,
}

impl Bench {
    fn new(config: EmcConfig) -> Self {
        let mut emc = Emc::new(config);
        emc.make_ready();
        Self {
            flows: Flows::default(),
            table: PortTable::default(),
            emc,
            counters: CoreCounters::default(),
            census: MaskCensus::default(),
        }
    }

    fn scope(census: &MaskCensus) -> Scope<'_> {
        Scope { port: PortNo(1), census, basis: BASIS }
    }

    /// Installs the megaflow of key `n`, in place of the one that is there.
    fn put(&mut self, n: u32) -> Arc<Megaflow> {
        let mut mask = Mask::ZERO;
        mask.set_exact(flow::Field::Ipv4Src);
        let megaflow = Arc::new(Megaflow::new(&key(n), mask, Arc::from([])));
        let limits = TableLimits::default();
        let scope = Self::scope(&self.census);
        let named = self.flows.find(megaflow.ufid);
        let put = self.table.put(&mut self.flows, megaflow.clone(), named, None, limits, &scope);
        assert!(put.is_ok());
        megaflow
    }

    fn remove(&mut self, megaflow: &Megaflow) {
        if let Some(slot) = self.flows.find(megaflow.ufid) {
            self.table.remove(&mut self.flows, slot, &Self::scope(&self.census));
        }
    }

    /// What the cache says of a batch of keys; what it does not know is looked up as if
    /// `n_probes` subtables had to be probed, and offered to it.
    fn lookup(&mut self, numbers: &[u32], n_probes: u32) -> Vec<Option<Slot>> {
        let mut keys = Keys::default();
        keys.begin(numbers.len());
        numbers.iter().enumerate().for_each(|(packet, n)| keys.set_flow(packet, &key(*n)));
        let mut hits = Hits::new(keys.len());
        let asks = self.emc.asks(keys.len() as u64, &self.counters);
        let probes = if asks { Probe::all(&keys, BASIS) } else { Probes::new() };
        if asks {
            self.emc.lookup(&probes, &keys, &self.flows, &mut hits, &self.counters);
        }
        let known =
            (0..keys.len()).map(|k| hits.slot(k)).map(|slot| (slot != Slot::NONE).then_some(slot));
        let known = known.collect();
        let unknown = hits.missing();
        self.table.lookup(&keys, BASIS, &mut hits);
        let found = unknown.without(hits.missing());
        for packet in found {
            hits.put(packet, Hit { slot: hits.slot(packet), cost: n_probes * steps::HASHED });
        }
        self.emc.insert_found(&probes, &keys, &self.flows, (found, &hits), &self.counters);
        known
    }

    /// Lookups of one key, many times, in full batches.
    fn lookup_many(&mut self, numbers: impl Iterator<Item = u32>, n_probes: u32) {
        let numbers: Vec<_> = numbers.collect();
        for batch in numbers.chunks(BATCH) {
            self.lookup(batch, n_probes);
        }
    }

    /// Hits, misses, skipped, inserts, replaces.
    fn counts(&self) -> [u64; 5] {
        let c = &self.counters;
        [&c.emc_hits, &c.emc_misses, &c.emc_skipped, &c.emc_inserts, &c.emc_replaces]
            .map(sync::counter::Counter::get)
    }
}

fn config(entries: usize, insert_inv_prob: u32) -> EmcConfig {
    EmcConfig { entries, insert_inv_prob, seed: 1 }
}

#[test]
fn remembers_what_the_table_found() {
    let mut bench = Bench::new(config(8, 1));
    let megaflow = bench.put(1);
    let slot = bench.flows.find(megaflow.ufid);
    assert_eq!(bench.lookup(&[1, 2], 1), [None, None]);
    assert_eq!(bench.lookup(&[1, 2], 1), [slot, None], "what nothing has found is not remembered");
    assert_eq!(bench.counts(), [1, 3, 0, 1, 0]);
}

#[test]
fn a_batch_of_one_flow_inserts_it_once() {
    let mut bench = Bench::new(config(8, 1));
    bench.put(1);
    bench.lookup(&[1; 32], 1);
    assert_eq!(bench.counts(), [0, 32, 0, 1, 0]);
}

#[test]
fn a_stale_entry_misses_and_frees_its_place() {
    let mut bench = Bench::new(config(8, 1));
    let old = bench.put(1);
    bench.lookup(&[1], 1);
    // Another megaflow in the same slot: the old key does not lead to it.
    let old_slot = bench.flows.find(old.ufid);
    bench.remove(&old);
    assert_eq!(bench.lookup(&[1], 1), [None]);
    let tenant = bench.put(2);
    assert_eq!(bench.flows.find(tenant.ufid), old_slot, "the slot is used again");
    assert_eq!(bench.lookup(&[1], 1), [None]);
    // The same key again, in the same slot: it is known by its new generation only.
    bench.remove(&tenant);
    bench.put(1);
    assert_eq!(bench.lookup(&[1], 1), [None]);
    assert_eq!(bench.lookup(&[1], 1), [old_slot]);
    // Replaced in place.
    bench.put(1);
    assert_eq!(bench.lookup(&[1], 1), [None]);
    assert_eq!(bench.lookup(&[1], 1), [old_slot]);
    assert_eq!(bench.counts()[4], 0, "stale places are free ones");
}

#[test]
fn equal_hashes_do_not_make_equal_keys() {
    let mut bench = Bench::new(config(2, 1));
    bench.put(1);
    bench.lookup(&[1], 1);
    let other = key(2);
    let mut keys = Keys::default();
    keys.begin(2);
    keys.set_flow(0, &key(1));
    keys.set_flow(1, &other);
    let probe = Probe { map: other.map(), ..Probe::of(&keys, 0, BASIS) };
    assert!(bench.emc.pairs.find(&probe, |word| keys.word(1, word), &bench.flows).is_none());
    let probe = Probe::of(&keys, 0, BASIS);
    assert!(bench.emc.pairs.find(&probe, |word| keys.word(0, word), &bench.flows).is_some());
}

#[test]
fn a_key_with_too_many_words_is_left_to_the_table() {
    let mut bench = Bench::new(config(8, 1));
    let mut wide = key(1);
    for word in 0..KEY_WORDS {
        wide.set_word(word, wide.word(word) | 1 << 63);
    }
    assert!(wide.map().count() > KEY_WORDS);
    let mut keys = Keys::default();
    keys.begin(1);
    keys.set_flow(0, &wide);
    let slot = bench.put(1);
    let slot = bench.flows.find(slot.ufid).expect("installed");
    for _ in 0..2 {
        let mut hits = Hits::new(1);
        assert!(bench.emc.asks(1, &bench.counters));
        let probes = Probe::all(&keys, BASIS);
        bench.emc.lookup(&probes, &keys, &bench.flows, &mut hits, &bench.counters);
        assert_eq!(hits.slot(0), Slot::NONE);
        let found = hits.missing();
        hits.put(0, Hit { slot, cost: steps::HASHED });
        bench.emc.insert_found(&probes, &keys, &bench.flows, (found, &hits), &bench.counters);
    }
    assert_eq!(bench.counts(), [0, 2, 0, 0, 0]);
}

#[test]
fn replaces_as_rarely_as_it_is_told() {
    let replaced = |insert_inv_prob| {
        let mut bench = Bench::new(config(2, insert_inv_prob));
        (0..1_000).for_each(|n| drop(bench.put(n)));
        // Below a trial's length, so that the cache is asked for every packet.
        let mut n_asked = 0;
        for n in 0..1_000 {
            bench.emc.worth = Worth::new(1 << 30);
            n_asked += bench.lookup(&[n], 1).len();
        }
        assert_eq!((n_asked, bench.counts()[3]), (1_000, bench.counts()[4] + 2));
        bench.counts()[4]
    };
    assert_eq!(replaced(1), 998, "each one, after the free places");
    let rarely = replaced(100);
    assert!((2..30).contains(&rarely), "{rarely} of 998 in place of about 10");
    assert_eq!(replaced(u32::MAX), 0);
    assert_eq!(replaced(100), rarely, "the same seed, the same dice");
}

#[test]
fn off_is_off() {
    for config in [EmcConfig::OFF, config(8, 0), config(0, 1)] {
        let mut bench = Bench::new(config);
        bench.put(1);
        bench.lookup(&[1], 1);
        assert_eq!(bench.lookup(&[1], 1), [None]);
        assert_eq!(bench.counts(), [0, 0, 2, 0, 0]);
        assert_eq!(bench.emc.pairs.entries.capacity(), 0, "and takes no memory");
    }
}

#[test]
fn takes_the_memory_it_says() {
    for (entries, n_pairs) in [(1, 1), (2, 1), (3, 2), (8_192, 4_096), (usize::MAX, 16_384)] {
        let bench = Bench::new(config(entries, 1));
        assert_eq!((bench.emc.pairs.tags.len(), bench.emc.pairs.entries.len()), (n_pairs, n_pairs));
    }
}

#[test]
fn stays_on_while_hits_spare_probes() {
    let mut bench = Bench::new(config(64, 100));
    bench.put(1);
    bench.lookup_many((0..1_000_000).map(|_| 1), 10);
    let [hits, misses, skipped, inserts, replaces] = bench.counts();
    assert_eq!((hits + misses, skipped, replaces), (1_000_000, 0, 0));
    // Learned anew from time to time, at a batch of misses each.
    assert!(inserts > 10 && misses == 32 * inserts, "{misses} misses, {inserts} inserts");
}

#[test]
fn rests_where_hits_spare_little() {
    let mut bench = Bench::new(config(64, 100));
    bench.put(1);
    bench.lookup_many((0..1_000_000).map(|_| 1), 1);
    let [hits, misses, skipped, ..] = bench.counts();
    assert_eq!(hits + misses + skipped, 1_000_000);
    assert!(hits + misses < 10_000, "{hits} hits");
}

#[test]
fn rests_longer_and_longer_under_a_scan_and_wakes_up_after_it() {
    let mut bench = Bench::new(config(64, 100));
    (0..2_000).for_each(|n| drop(bench.put(n)));
    let scan = (0_u32..).map(|n| n % 2_000);
    bench.lookup_many(scan.clone().take(100_000), 10);
    let [.., skipped, _, _] = bench.counts();
    assert!(skipped > 90_000, "asked for {} of 100000", 100_000 - skipped);
    bench.lookup_many(scan.take(2_000_000), 10);
    let [hits, misses, skipped, ..] = bench.counts();
    assert!(hits + misses < 2_100_000 / 200, "asked for {} of {skipped}", hits + misses);

    // After at most the longest rest, and a trial, it serves every packet.
    bench.lookup_many((0..(worth::MAX_REST + 3) * 128).map(|_| 1).map(|n| n % 50), 10);
    let before = bench.counts()[2];
    bench.lookup_many((0..100_000).map(|n| n % 50), 10);
    assert_eq!(bench.counts()[2], before);
    assert!(bench.counts()[0] > 90_000);
}

/// One step of the comparison with a list.
#[derive(Debug, Clone)]
enum Step {
    Put(u32),
    Remove(u32),
    Lookup(Vec<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u32..12).prop_map(Step::Put),
        2 => (0_u32..12).prop_map(Step::Remove),
        5 => vec(0_u32..12, 1..=BATCH).prop_map(Step::Lookup),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The twin is a list of the megaflows in force. The cache may know less, never otherwise.
    #[test]
    fn agrees_with_a_list(
        n_entries in 1_usize..40,
        insert_inv_prob in 1_u32..4,
        steps in vec(step(), 1..80),
    ) {
        let mut bench = Bench::new(config(n_entries, insert_inv_prob));
        let mut twin: HashMap<u32, Arc<Megaflow>> = HashMap::new();
        let mut n_asked = 0;
        for step in steps {
            match step {
                Step::Put(n) => drop(twin.insert(n, bench.put(n))),
                Step::Remove(n) => {
                    if let Some(megaflow) = twin.remove(&n) {
                        bench.remove(&megaflow);
                    }
                }
                Step::Lookup(numbers) => {
                    n_asked += numbers.len() as u64;
                    for (n, known) in numbers.iter().zip(bench.lookup(&numbers, 2)) {
                        let Some(slot) = known else { continue };
                        let installed = bench.flows.get(slot).expect("in force");
                        prop_assert!(Arc::ptr_eq(&installed.megaflow, &twin[n]));
                    }
                }
            }
            let [hits, misses, skipped, inserts, replaces] = bench.counts();
            prop_assert_eq!(hits + misses + skipped, n_asked);
            prop_assert!(replaces <= inserts && inserts <= misses);
        }
    }
}
