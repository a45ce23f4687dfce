//! The caches in front of the megaflow table, the exact-match and the signature cache, must not be
//! seen: two datapaths, one with them and one without, get the same packets and commands, and everything that can be observed is compared after each step, but for
//! the counters that tell the tiers apart.
//!
//! All megaflows look at the UDP destination, and that decides what else they look at. So there are
//! several masks and yet one right answer for each packet, whatever the order of subtables.

use std::{fmt::Debug, sync::Arc};

use crate::common::{CORE, DST, out};
use datapath::{
    Command, DpAction, Dpif, EmcConfig, Fate, LocalConfig, LocalDpif, Megaflow, PortNo, SmcEnable,
};
use flow::{Field, Flow, FlowMeta, Mask, extract};
use packet::build::{Ipv4, ethernet, udp};
use proptest::{collection::vec, prelude::*, sample::Index};
use sync::time::Nanos;

/// A packet's UDP destination, UDP source, IP source and Ethernet source, as small numbers.
type Small = [u8; 4];

#[derive(Debug, Clone)]
enum Step {
    Receive(u32, Vec<Small>),
    /// A megaflow for packets like this one on this port and pass.
    Put(u32, u32, Small, Program),
    Modify(Index, Program),
    Delete(Index),
    Flush,
    RemovePort(u32),
    AddPort(u32),
    /// Time passes: subtables are sorted.
    Tick,
}

#[derive(Debug, Clone, Copy)]
enum Program {
    Nothing,
    Output(u32),
    Recirculate,
}

fn frame([dst, src, ip, eth]: Small) -> Vec<u8> {
    let ip = Ipv4 { src: 0x0a00_0000 + u32::from(ip), ..Ipv4::default() };
    let datagram = udp(&ip.into(), 1000 + u16::from(src), 2000 + u16::from(dst), b"x");
    ethernet(DST, [2, 0, 0, 0, 0, eth], 0x0800, &datagram)
}

/// Where nothing is said the signature cache finds out by itself that it is of use, and is quiet where
/// it is of none. Either way all frames go where they should.
#[test]
fn the_signature_cache_is_asked_where_packets_take_much_without_it() {
    for (n_masks, is_of_use) in [(1, false), (20, true)] {
        let mut dpif = with_caches(EmcConfig::OFF, SmcEnable::Auto);
        let flow = |n: u32| {
            let mut key = Flow::ZERO;
            key.set_in_port(1);
            key.set_eth_type(0x0800);
            key.set_nw_src(n);
            key.set_nw_dst(n % n_masks);
            let mut mask = Mask::ZERO;
            mask.set_exact(Field::Ipv4Src);
            mask.set(Field::Ipv4Dst, u128::from(u32::MAX >> (n % n_masks)));
            Arc::new(Megaflow::new(&key, mask, actions(Program::Output(2))))
        };
        let frames: Vec<_> = (0..100_u32)
            .map(|n| {
                let ip = Ipv4 { src: n, dst: n % n_masks, ..Ipv4::default() };
                ethernet(DST, [2; 6], 0x0800, &udp(&ip.into(), 1, 2, b""))
            })
            .collect();
        (0..100).for_each(|n| assert_eq!(dpif.flow_put(CORE, flow(n)), Ok(())));
        for round in 0..400 {
            dpif.receive_batch(PortNo(1), frames.iter().map(Vec::as_slice));
            assert_eq!(dpif.take_transmitted().len(), frames.len());
            dpif.set_now(Nanos::from_secs(round));
        }
        let counters = dpif.pmd().counters();
        assert_eq!(counters.hits.get(), 40_000);
        let hits = counters.smc_hits.get();
        assert_eq!(hits > 20_000, is_of_use, "{hits} hits under {n_masks} masks");
        assert_eq!(hits > 0, is_of_use);
    }
}

fn megaflow(port: u32, recirc_id: u32, small: Small, program: Program) -> Arc<Megaflow> {
    let mut key = extract(&frame(small), &FlowMeta::of_port(port)).flow;
    key.set_recirc_id(recirc_id);
    let mut mask = Mask::ZERO;
    mask.set_exact(Field::UdpDst);
    for (bit, field) in [Field::UdpSrc, Field::Ipv4Src, Field::EthSrc].into_iter().enumerate() {
        if small[0] >> bit & 1 != 0 {
            mask.set_exact(field);
        }
    }
    Arc::new(Megaflow::new(&key, mask, actions(program)))
}

fn actions(program: Program) -> Arc<[DpAction]> {
    match program {
        Program::Nothing => Arc::from([]),
        Program::Output(port) => Arc::from([out(port)]),
        Program::Recirculate => Arc::from([out(4), DpAction::Recirc(1)]),
    }
}

fn with_emc(emc: EmcConfig) -> LocalDpif {
    with_caches(emc, SmcEnable::Off)
}

fn with_caches(emc: EmcConfig, smc_enable: SmcEnable) -> LocalDpif {
    let mut dpif = LocalDpif::with(LocalConfig { emc, smc_enable, ..LocalConfig::default() });
    (1..=4).for_each(|port| dpif.add_port(PortNo(port)));
    dpif
}

/// Everything that came of a step, in order.
#[derive(Debug, PartialEq)]
struct Seen {
    transmitted: Vec<(PortNo, Vec<u8>)>,
    upcalls: Vec<(PortNo, Flow)>,
    megaflows: Vec<String>,
    fates: Vec<Fate>,
    ports: Vec<String>,
    core: [u64; 4],
    accounting: datapath::Accounting,
}

fn text(what: &impl Debug) -> String {
    format!("{what:?}")
}

/// Looks at a datapath, and answers its upcalls with drops.
fn look(dpif: &mut LocalDpif, puts: &[Arc<Megaflow>]) -> Seen {
    let transmitted = dpif.take_transmitted();
    let mut upcalls = Vec::new();
    while let Some(upcall) = dpif.next_upcall() {
        upcalls.push((upcall.port, upcall.flow));
        let reason = datapath::DropReason::NoRule;
        dpif.execute(upcall.packet, &upcall.flow, &Arc::from([DpAction::Drop(reason)]));
    }
    let mut megaflows: Vec<_> = dpif
        .pmd()
        .megaflows()
        .map(|(flow, actions)| text(&(flow.ufid, text(&actions), flow.stats.read())))
        .collect();
    megaflows.sort();
    let counters = dpif.pmd().counters();
    assert_eq!(
        counters.emc_hits.get() + counters.emc_misses.get() + counters.emc_skipped.get(),
        counters.hits.get() + counters.misses.get(),
        "each packet was a hit, a miss, or passed by"
    );
    let by_tier = [&counters.emc_hits, &counters.smc_hits, &counters.megaflow_hits];
    assert_eq!(by_tier.map(sync::counter::Counter::get).iter().sum::<u64>(), counters.hits.get());
    Seen {
        transmitted,
        upcalls,
        megaflows,
        fates: puts.iter().map(|put| put.stats.fate()).collect(),
        ports: (1..=4).map(|port| text(&dpif.port_stats(PortNo(port)))).collect(),
        core: [&counters.hits, &counters.misses, &counters.recirculated, &counters.stale_commands]
            .map(sync::counter::Counter::get),
        accounting: dpif.accounting(),
    }
}

/// Does one step. `puts` are the megaflows that this datapath was ever given.
fn take(dpif: &mut LocalDpif, puts: &mut Vec<Arc<Megaflow>>, step: &Step, second: u64) {
    match step {
        Step::Receive(port, burst) => {
            let frames: Vec<_> = burst.iter().map(|small| frame(*small)).collect();
            dpif.receive_batch(PortNo(*port), frames.iter().map(Vec::as_slice));
        }
        Step::Put(port, recirc_id, small, program) => {
            let flow = megaflow(*port, *recirc_id, *small, *program);
            puts.push(flow.clone());
            // Refused while the port is not there.
            let _ = dpif.flow_put(CORE, flow);
        }
        Step::Modify(..) | Step::Delete(_) if puts.is_empty() => {}
        Step::Modify(index, program) => {
            let ufid = index.get(puts).ufid;
            assert_eq!(dpif.flow_modify(CORE, ufid, actions(*program)), Ok(()));
        }
        Step::Delete(index) => {
            assert_eq!(dpif.flow_delete(CORE, index.get(puts).ufid), Ok(()));
        }
        Step::Flush => dpif.apply(Command::FlowFlush),
        Step::RemovePort(port) => dpif.remove_port(PortNo(*port)),
        Step::AddPort(port) => dpif.add_port(PortNo(*port)),
        Step::Tick => dpif.set_now(Nanos::from_secs(second)),
    }
}

fn run(emc: EmcConfig, smc_enable: SmcEnable, steps: &[Step]) {
    let mut with = (with_caches(emc, smc_enable), Vec::new());
    let mut without = (with_emc(EmcConfig::OFF), Vec::new());
    for (second, step) in (1..).zip(steps) {
        take(&mut with.0, &mut with.1, step, second);
        take(&mut without.0, &mut without.1, step, second);
        let seen = look(&mut with.0, &with.1);
        assert_eq!(seen, look(&mut without.0, &without.1));
        assert!(seen.accounting.holds());
    }
    assert_eq!(without.0.pmd().counters().emc_hits.get(), 0);
}

fn small() -> impl Strategy<Value = Small> {
    [0_u8..8, 0_u8..2, 0_u8..2, 0_u8..2]
}

fn program() -> impl Strategy<Value = Program> {
    prop_oneof![
        1 => Just(Program::Nothing),
        4 => (2_u32..5).prop_map(Program::Output),
        2 => Just(Program::Recirculate),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1_u32..3, vec(small(), 1..70)).prop_map(|(port, burst)| Step::Receive(port, burst)),
        12 => (1_u32..3, 0_u32..2, small(), program())
            .prop_map(|(port, id, small, program)| Step::Put(port, id, small, program)),
        3 => (any::<Index>(), program()).prop_map(|(index, program)| Step::Modify(index, program)),
        4 => any::<Index>().prop_map(Step::Delete),
        1 => Just(Step::Flush),
        1 => (1_u32..5).prop_map(Step::RemovePort),
        2 => (1_u32..5).prop_map(Step::AddPort),
        2 => Just(Step::Tick),
    ]
}

/// Small caches, so that entries collide, and the cache rests and wakes within a run; and the
/// default.
fn emc() -> impl Strategy<Value = EmcConfig> {
    let entries = prop::sample::select(vec![2_usize, 4, 16, 64, 1024, 8192]);
    let insert_inv_prob = prop::sample::select(vec![1_u32, 2, 100]);
    (entries, insert_inv_prob, any::<u64>())
        .prop_map(|(entries, insert_inv_prob, seed)| EmcConfig { entries, insert_inv_prob, seed })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn is_not_seen(emc in emc(), steps in vec(step(), 1..80)) {
        run(emc, SmcEnable::Off, &steps);
    }

    #[test]
    fn the_signature_cache_is_not_seen(steps in vec(step(), 1..80)) {
        run(EmcConfig::OFF, SmcEnable::On, &steps);
    }

    #[test]
    fn both_are_not_seen(emc in emc(), steps in vec(step(), 1..80)) {
        run(emc, SmcEnable::On, &steps);
    }
}

#[test]
fn a_deleted_or_replaced_megaflow_is_not_used_after_its_fence() {
    let mut dpif = with_emc(EmcConfig::default());
    let small = [7, 0, 0, 0];
    let receive = |dpif: &mut LocalDpif| {
        dpif.receive(PortNo(1), &frame(small));
        let ports: Vec<_> = dpif.take_transmitted().into_iter().map(|(port, _)| port.0).collect();
        ports
    };
    let emc_hits = |dpif: &LocalDpif| dpif.pmd().counters().emc_hits.get();

    let first = megaflow(1, 0, small, Program::Output(2));
    assert_eq!(dpif.flow_put(CORE, first.clone()), Ok(()));
    assert_eq!((receive(&mut dpif), receive(&mut dpif)), (vec![2], vec![2]));
    assert_eq!(emc_hits(&dpif), 1);

    assert_eq!(dpif.flow_modify(CORE, first.ufid, actions(Program::Output(3))), Ok(()));
    assert_eq!(receive(&mut dpif), [3]);
    assert_eq!(emc_hits(&dpif), 2, "a modification leaves it known");

    let second = megaflow(1, 0, small, Program::Output(4));
    assert_eq!(dpif.flow_put(CORE, second.clone()), Ok(()));
    assert_eq!(receive(&mut dpif), [4]);
    assert_eq!(emc_hits(&dpif), 2, "a replacement does not");
    assert_eq!((first.stats.read().packets, second.stats.read().packets), (3, 1));

    assert_eq!(dpif.flow_delete(CORE, second.ufid), Ok(()));
    let other = megaflow(1, 0, [6, 0, 0, 0], Program::Output(2));
    assert_eq!(dpif.flow_put(CORE, other.clone()), Ok(()), "in the same slot");
    assert_eq!(receive(&mut dpif), []);
    assert!(dpif.next_upcall().is_some());
    assert_eq!((second.stats.read().packets, other.stats.read().packets), (1, 0));
}

#[test]
fn the_signature_cache_knows_more_flows_than_sixteen_bits_count() {
    let mut dpif = with_caches(EmcConfig::OFF, SmcEnable::On);
    // Two masks, so that the table takes two probes for every second megaflow.
    let flow = |n: u32| {
        let mut key = Flow::ZERO;
        key.set_in_port(1);
        key.set_eth_type(0x0800);
        key.set_nw_proto(17);
        key.set_nw_src(0x0a00_0000 + n);
        let mut mask = Mask::ZERO;
        mask.set_exact(Field::Ipv4Src);
        mask.set(Field::IpProto, u128::from(n % 2) * 0xff);
        Arc::new(Megaflow::new(&key, mask, actions(Program::Output(2))))
    };
    let n_flows = 70_000;
    let frame = |n: u32| {
        let ip = Ipv4 { src: 0x0a00_0000 + n, ..Ipv4::default() };
        ethernet(DST, [2; 6], 0x0800, &udp(&ip.into(), 1, 2, b""))
    };
    for n in 0..n_flows {
        assert_eq!(dpif.flow_put(CORE, flow(n)), Ok(()));
    }
    let late = 66_000..n_flows;
    for _ in 0..2 {
        for n in late.clone() {
            dpif.receive(PortNo(1), &frame(n));
        }
    }
    let hits = dpif.pmd().counters().smc_hits.get();
    assert_eq!(hits, u64::from(late.end - late.start), "each the second time");
    // Entries outlive their megaflows and mislead nobody.
    for n in (66_000..n_flows).filter(|n| n % 3 == 0) {
        assert_eq!(dpif.flow_delete(CORE, flow(n).ufid), Ok(()));
    }
    for n in 100_000..101_000 {
        assert_eq!(dpif.flow_put(CORE, flow(n)), Ok(()), "in slots of the dead");
    }
    dpif.take_transmitted();
    for n in late.clone() {
        dpif.receive(PortNo(1), &frame(n));
        assert_eq!(dpif.next_upcall().is_some(), n % 3 == 0, "{n}");
    }
}
