//! Batches against a list of megaflows: with masks of one megaflow and of many, while they come and go.

extern crate std;

use std::vec::Vec;

use flow::Field;
use packet::BATCH;
use proptest::{collection::vec, prelude::*};

use super::*;

const PORT: PortNo = PortNo(1);

/// Masks that examine the last `bits` of a source, and a destination or not: all but the fifth have bits of one word
/// in common.
fn mask(n: u8) -> Mask {
    let mut mask = Mask::ZERO;
    mask.set_exact(Field::InPort);
    match n {
        5 => mask.set_exact(Field::EthDst),
        _ => mask.set(Field::Ipv4Src, u32::MAX.into()),
    }
    mask.set(Field::TcpSrc, u128::from(n));
    mask
}

/// A packet's key: one of few of each field, so that megaflows of several masks may be right.
fn key(n: u16) -> Flow {
    let mut flow = Flow::ZERO;
    flow.set_in_port(PORT.0);
    flow.set_nw_src(u32::from(n % 64));
    flow.set(Field::EthDst, u128::from(n % 3));
    flow.set_tp_src(n / 64);
    flow
}

#[derive(Debug, Clone)]
enum Step {
    /// A megaflow for this key and mask.
    Put(u16, u8),
    Remove(prop::sample::Index),
    /// So many batches, of keys from here on.
    Look(u16, u16),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u16..1_024, 0_u8..40).prop_map(|(key, mask)| Step::Put(key, mask)),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        2 => (0_u16..1_024, 1_u16..400).prop_map(|(from, n)| Step::Look(from, n)),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn batches_find_what_a_list_has(steps in vec(step(), 1..80)) {
        let (mut flows, mut table, census) =
            (Flows::default(), PortTable::default(), MaskCensus::default());
        let scope = Scope { port: PORT, census: &census, basis: 3 };
        let limits = TableLimits { masks_per_port: MAX_LIMIT, ..TableLimits::default() };
        let mut twin: Vec<Arc<Megaflow>> = Vec::new();
        let mut keys = Keys::default();
        for step in steps {
            match step {
                Step::Put(n, m) => {
                    let megaflow = Arc::new(Megaflow::new(&key(n), mask(m), Arc::from([])));
                    let named = flows.find(megaflow.ufid);
                    // Most come behind a miss, whose hash is used again.
                    let flow = key(n);
                    let missed = table.find(&flow, scope.basis).0.err().map(|missed| (&flow, missed));
                    let put = table.put(&mut flows, megaflow.clone(), named, missed, limits, &scope);
                    prop_assert!(put.is_ok());
                    twin.retain(|other| other.ufid != megaflow.ufid);
                    twin.push(megaflow);
                }
                Step::Remove(at) if !twin.is_empty() => {
                    let gone = twin.swap_remove(at.index(twin.len()));
                    let slot = flows.find(gone.ufid).expect("it is there");
                    table.remove(&mut flows, slot, &scope);
                }
                Step::Remove(_) => {}
                Step::Clear => {
                    table.clear(&mut flows, &census);
                    twin.clear();
                }
                Step::Look(from, n) => for round in 0..n {
                    let first = from + round * 7;
                    keys.begin(BATCH);
                    (0..BATCH).zip(first..).for_each(|(k, n)| keys.set_flow(k, &key(n)));
                    let mut hits = Hits::new(BATCH);
                    let probed = table.lookup(&keys, scope.basis, &mut hits);
                    let n_hits = BATCH as u64 - hits.missing().len();
                    prop_assert!(probed.n_hit_probes >= n_hits && probed.n_probes >= n_hits);
                    // The first of many is as good as each.
                    if round > 0 && round + 1 < n {
                        continue;
                    }
                    for (k, n) in (0..BATCH).zip(first..) {
                        let is_right = |of: &Megaflow| key(n).masked(&of.mask) == of.key;
                        match flows.get(hits.slot(k)) {
                            Some(found) => prop_assert!(is_right(&found.megaflow), "{}", n),
                            None => prop_assert!(!twin.iter().any(|of| is_right(of)), "{}", n),
                        }
                    }
                },
            }
        }
    }
}

/// Fifty masks of one megaflow each are asked by signposts once they have stood for a while, and not
/// while one comes or goes.
#[test]
fn single_megaflows_of_many_masks_are_told_apart_by_a_word() {
    let (mut flows, mut table, census) =
        (Flows::default(), PortTable::default(), MaskCensus::default());
    let scope = Scope { port: PORT, census: &census, basis: 3 };
    let limits = TableLimits::default();
    let put = |table: &mut PortTable, flows: &mut Flows, n: u16| {
        let key = key(n);
        let mask = mask(6 + u8::try_from(n).expect("few"));
        let megaflow = Arc::new(Megaflow::new(&key, mask, Arc::from([])));
        assert!(table.put(flows, megaflow, None, None, limits, &scope).is_ok());
    };
    (0..50).for_each(|n| put(&mut table, &mut flows, n));
    let mut keys = Keys::default();
    keys.begin(BATCH);
    (0..BATCH).zip(10..).for_each(|(k, n)| keys.set_flow(k, &key(n)));
    let probes = |table: &mut PortTable| {
        let mut hits = Hits::new(BATCH);
        let probed = table.lookup(&keys, scope.basis, &mut hits);
        assert!(hits.missing().is_empty());
        probed.n_probes
    };
    let at_first = probes(&mut table);
    for _ in 0..1_000 {
        probes(&mut table);
    }
    assert!(probes(&mut table) <= 2 * BATCH as u64 && at_first > 20 * BATCH as u64);
    put(&mut table, &mut flows, 50);
    assert_eq!(probes(&mut table), at_first, "stale signposts are not asked");
}
