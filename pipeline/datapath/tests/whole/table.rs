//! The megaflow table against its linear twin.
//!
//! Megaflows come about as in life: a list of rules is tried from the top, and what was looked at
//! on the way becomes the mask. Such megaflows are disjoint, so each packet has one right answer.
//! Random packets, removals, changes and floods of duplicates go to a datapath and to a plain list
//! of the same megaflows, which are compared after each step: who hits, what happens, what is
//! counted. A port may have few masks, so that most runs round some of them up; caches are on or off.

use std::sync::Arc;

use crate::common::{CORE, DST};
use datapath::{Command, DatapathConfig, Dpif, LocalDpif, Megaflow, PortNo, SmcEnable, census};
use flow::{Field, Flow, FlowMeta, Mask, extract};
use packet::build::{Ipv4, ethernet, udp};
use proptest::{collection::vec, prelude::*};
use sync::time::Nanos;

/// One line of the "OpenFlow table": some bits of a few small fields.
#[derive(Debug, Clone)]
struct Rule {
    values: [u8; 4],
    masks: [u8; 4],
    /// Outputs 2 to 4.
    port: u32,
}

#[derive(Debug, Clone)]
enum Step {
    /// Packets that come together, by their small fields; misses are translated and installed.
    Receive(u32, Vec<[u8; 4]>),
    /// Install again what is there.
    PutAgain(prop::sample::Index),
    Delete(prop::sample::Index),
    Modify(prop::sample::Index, u32),
    Flush,
    Sort,
}

const FIELDS: [Field; 4] = [Field::EthSrc, Field::Ipv4Src, Field::UdpSrc, Field::UdpDst];
const BASE: [u128; 4] = [0x0200_0000_0000, 0x0a00_0000, 1000, 2000];

fn frame(small: [u8; 4]) -> Vec<u8> {
    let ip = Ipv4 { src: 0x0a00_0000 + u32::from(small[1]), ..Ipv4::default() };
    let ports = (1000 + u16::from(small[2]), 2000 + u16::from(small[3]));
    let datagram = udp(&ip.into(), ports.0, ports.1, b"x");
    ethernet(DST, [2, 0, 0, 0, 0, small[0]], 0x0800, &datagram)
}

fn key(in_port: u32, small: [u8; 4]) -> Flow {
    extract(&frame(small), &FlowMeta::of_port(in_port)).flow
}

/// Tries the rules from the top: the output, and the bits looked at.
fn translate(rules: &[Rule], flow: &Flow) -> (u32, Mask) {
    let mut mask = Mask::ZERO;
    for rule in rules {
        let is_match = (0..4).all(|i| {
            let bits = u128::from(rule.masks[i]);
            mask.add(FIELDS[i], bits);
            flow.get(FIELDS[i]).wrapping_sub(BASE[i]) & bits == u128::from(rule.values[i]) & bits
        });
        if is_match {
            return (rule.port, mask);
        }
    }
    (4, mask)
}

/// The twin: a list, and what each entry should do and have counted.
#[derive(Default)]
struct Twin(Vec<Entry>);

struct Entry {
    megaflow: Arc<Megaflow>,
    port: u32,
    packets: u64,
}

impl Twin {
    /// The entries that cover a packet. They are disjoint, but for one case: a packet whose mask was
    /// rounded up, and another of its kind that came when there was room again. Either is right then.
    fn find(&self, flow: &Flow) -> Vec<usize> {
        let covers = |entry: &Entry| flow.eq_in(&entry.megaflow.key, &entry.megaflow.mask);
        (0..self.0.len()).filter(|n| covers(&self.0[*n])).collect()
    }
}

fn receive(dpif: &mut LocalDpif, twin: &mut Twin, rules: &[Rule], in_port: u32, burst: &[[u8; 4]]) {
    let frames: Vec<_> = burst.iter().map(|small| frame(*small)).collect();
    dpif.receive_batch(PortNo(in_port), frames.iter().map(Vec::as_slice));

    let mut forwarded = dpif.take_transmitted();
    // For each entry, packets that only it covers, and packets that others cover as well.
    let mut counts = vec![(0, 0); twin.0.len()];
    let mut n_missed = 0;
    for small in burst {
        let found = twin.find(&key(in_port, *small));
        for n in &found {
            if found.len() == 1 { counts[*n].0 += 1 } else { counts[*n].1 += 1 }
        }
        if found.is_empty() {
            n_missed += 1;
            continue;
        }
        let is_right = |(to, sent): &(PortNo, Vec<u8>)| {
            *sent == frame(*small) && found.iter().any(|n| twin.0[*n].port == to.0)
        };
        let sent = forwarded.iter().position(is_right);
        forwarded.swap_remove(sent.expect("a packet that hits is forwarded"));
    }
    assert_eq!(forwarded, [], "and nothing else is");
    let mut n_counted = 0;
    for (entry, (alone, shared)) in twin.0.iter_mut().zip(counts) {
        let packets = entry.megaflow.stats.read().packets;
        let n = packets - entry.packets;
        assert!((alone..=alone + shared).contains(&n), "{n} of {alone} and {shared}");
        n_counted += n;
        entry.packets = packets;
    }
    assert_eq!(n_counted, (burst.len() - n_missed) as u64);

    let upcalls: Vec<_> = std::iter::from_fn(|| dpif.next_upcall()).collect();
    assert_eq!(upcalls.len(), n_missed);
    for upcall in upcalls {
        let (port, mask) = translate(rules, &upcall.flow);
        // Rounded up where the port has too many.
        let mask = dpif.admit_mask(CORE, upcall.port, &mask);
        // Two misses of one batch make the same megaflow: the second one replaces the first.
        let megaflow =
            Arc::new(Megaflow::new(&upcall.flow, mask, Arc::from([crate::common::out(port)])));
        assert_eq!(dpif.flow_put(CORE, megaflow.clone()), Ok(()));
        twin.0.retain(|entry| entry.megaflow.ufid != megaflow.ufid);
        dpif.execute(upcall.packet, &upcall.flow, &megaflow.actions);
        twin.0.push(Entry { megaflow, port, packets: 0 });
    }
    dpif.take_transmitted();
}

fn run(rules: &[Rule], steps: Vec<Step>, config: DatapathConfig) {
    let mut dpif = crate::common::with_ports(4);
    dpif.apply(Command::Configure(config));
    let mut twin = Twin::default();
    for (second, step) in (1..).zip(steps) {
        let n = twin.0.len();
        match step {
            Step::Receive(in_port, burst) => {
                receive(&mut dpif, &mut twin, rules, in_port, &burst);
            }
            Step::Flush => {
                dpif.apply(Command::FlowFlush);
                twin.0.clear();
            }
            Step::Sort => dpif.set_now(Nanos::from_secs(second)),
            Step::PutAgain(_) | Step::Delete(_) | Step::Modify(..) if n == 0 => {}
            Step::PutAgain(index) => {
                let entry = &twin.0[index.index(n)];
                assert_eq!(dpif.flow_put(CORE, entry.megaflow.clone()), Ok(()));
                // Installed as it was first made.
                let entry = &mut twin.0[index.index(n)];
                entry.port = translate(rules, &entry.megaflow.key).0;
            }
            Step::Delete(index) => {
                let entry = twin.0.swap_remove(index.index(n));
                assert_eq!(dpif.flow_delete(CORE, entry.megaflow.ufid), Ok(()));
            }
            Step::Modify(index, port) => {
                let entry = &mut twin.0[index.index(n)];
                entry.port = port;
                let actions = Arc::from([crate::common::out(port)]);
                assert_eq!(dpif.flow_modify(CORE, entry.megaflow.ufid, actions), Ok(()));
            }
        }
        assert_eq!(dpif.pmd().n_megaflows(), twin.0.len());
        for entry in &twin.0 {
            assert_eq!(entry.megaflow.stats.read().packets, entry.packets);
        }
        let mut masks: Vec<_> =
            twin.0.iter().map(|entry| (entry.megaflow.in_port(), *entry.megaflow.mask)).collect();
        masks.sort();
        masks.dedup();
        let n_masks: usize = (1..=4).map(|port| dpif.pmd().n_masks(PortNo(port))).sum();
        assert_eq!(n_masks, masks.len(), "an empty subtable goes");
        for port in 1..=4 {
            let n = dpif.pmd().n_masks(PortNo(port));
            assert!(n <= config.max_subtables + census::N_ROUNDED, "{n} masks");
        }
        assert_eq!(dpif.pmd().counters().stale_commands.get(), 0);
        assert!(dpif.accounting().holds());
    }
}

fn rule() -> impl Strategy<Value = Rule> {
    let masks = prop::array::uniform4(prop::sample::select(vec![0_u8, 0, 1, 2, 4, 6, 7]));
    (prop::array::uniform4(0_u8..8), masks, 2_u32..5).prop_map(|(values, masks, port)| Rule {
        values,
        masks,
        port,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let burst = vec(prop::array::uniform4(0_u8..8), 1..40);
    prop_oneof![
        12 => (1_u32..3, burst).prop_map(|(port, burst)| Step::Receive(port, burst)),
        2 => any::<prop::sample::Index>().prop_map(Step::PutAgain),
        6 => any::<prop::sample::Index>().prop_map(Step::Delete),
        3 => (any::<prop::sample::Index>(), 2_u32..5).prop_map(|(i, port)| Step::Modify(i, port)),
        1 => Just(Step::Flush),
        2 => Just(Step::Sort),
    ]
}

fn smc_enable() -> impl Strategy<Value = SmcEnable> {
    prop_oneof![Just(SmcEnable::Auto), Just(SmcEnable::On), Just(SmcEnable::Off)]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_with_a_list(
        rules in vec(rule(), 0..8), steps in vec(step(), 1..60), max_subtables in 1_usize..6,
        smc_enable in smc_enable(), emc_insert_inv_prob in 0_u32..3,
    ) {
        let config = DatapathConfig {
            max_subtables, smc_enable, emc_insert_inv_prob, ..DatapathConfig::default()
        };
        run(&rules, steps, config);
    }
}
