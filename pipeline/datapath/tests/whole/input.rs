//! The life of packets: hits, misses, groups, recirculation, limits, statistics, ports.

use std::sync::Arc;

use crate::common::{CORE, catch_all, for_udp, out, put, udp_frame, with_ports};
use datapath::{
    Command, CoreId, DatapathConfig, DpAction, Dpif, DropReason, EmcConfig, Fate, HashAction,
    HashKind, LocalConfig, LocalDpif, MAX_DEPTH, Masked, Megaflow, PortNo, PutError, SetMeta,
    SmcEnable, TableLimits, UpcallReason,
};
use flow::{Field, Flow, Mask};
use packet::PoolConfig;
use sync::time::Nanos;

#[test]
fn a_miss_goes_up_and_its_answer_is_a_hit_from_then_on() {
    let mut dpif = with_ports(2);
    dpif.receive(PortNo(1), &udp_frame(7));
    assert_eq!(dpif.take_transmitted(), []);
    let upcall = dpif.next_upcall().expect("a miss");
    assert_eq!((upcall.reason, upcall.port, upcall.core), (UpcallReason::Miss, PortNo(1), CORE));
    assert_eq!((upcall.flow.tp_src(), upcall.flow.in_port()), (7, 1));

    let flow = for_udp(1, 7, &[out(2)]);
    put(&mut dpif, flow.clone());
    dpif.execute(upcall.packet, &upcall.flow, &flow.actions);
    assert_eq!(dpif.take_transmitted(), [(PortNo(2), udp_frame(7))]);
    assert_eq!(flow.stats.read().packets, 0, "the first packet is the handler's to credit");

    dpif.set_now(Nanos::from_secs(5));
    dpif.receive(PortNo(1), &udp_frame(7));
    assert_eq!(dpif.take_transmitted(), [(PortNo(2), udp_frame(7))]);
    let stats = flow.stats.read();
    assert_eq!((stats.packets, stats.bytes), (1, udp_frame(7).len() as u64));
    assert_eq!(stats.used, Some(Nanos::from_secs(5)));
    assert!(dpif.accounting().holds());
}

#[test]
fn a_batch_is_forwarded_in_groups_that_keep_their_order() {
    let mut dpif = with_ports(4);
    put(&mut dpif, for_udp(1, 1, &[out(2)]));
    put(&mut dpif, for_udp(1, 2, &[out(3)]));
    let frames = [1, 2, 3, 1, 2, 3, 1].map(udp_frame);
    dpif.receive_batch(PortNo(1), frames.iter().map(Vec::as_slice));
    let ports: Vec<_> = dpif.take_transmitted().into_iter().map(|(port, _)| port.0).collect();
    assert_eq!(ports, [2, 2, 2, 3, 3]);
    assert_eq!(dpif.pmd().counters().hits.get(), 5);
    assert_eq!(dpif.pmd().counters().misses.get(), 2);
    assert_eq!(std::iter::from_fn(|| dpif.next_upcall()).count(), 2);
}

#[test]
fn tcp_flags_are_gathered() {
    let mut dpif = with_ports(2);
    let flow = catch_all(1, 0, &[out(2)]);
    put(&mut dpif, flow.clone());
    for flags in [0x002, 0x011] {
        let segment = packet::wire::tcp::Repr { src: 1, dst: 2, seq: 0, ack: 0, flags, window: 0 };
        let ip = packet::build::Ipv4::default().into();
        let frame = packet::build::ethernet(
            crate::common::DST,
            crate::common::SRC,
            0x0800,
            &packet::build::tcp(&ip, segment, b""),
        );
        dpif.receive(PortNo(1), &frame);
    }
    assert_eq!(flow.stats.read().tcp_flags, 0x013);
}

#[test]
fn a_full_upcall_queue_drops_by_name() {
    let mut dpif = LocalDpif::with(LocalConfig { upcall_queue_len: 3, ..LocalConfig::default() });
    dpif.add_port(PortNo(1));
    let frame = udp_frame(1);
    dpif.receive_batch(PortNo(1), std::iter::repeat_n(frame.as_slice(), 40));
    let stats = dpif.port_stats(PortNo(1));
    assert_eq!((stats.rx_packets, stats.drops.get(DropReason::UpcallQueueFull)), (40, 37));
    assert_eq!(dpif.accounting().in_flight(), 3);
}

#[test]
fn recirculates_with_metadata() {
    let mut dpif = with_ports(3);
    let hash = HashAction { kind: HashKind::SymL4, basis: 0 };
    let mark = SetMeta::PktMark(Masked::exact(9));
    let first = [DpAction::Hash(hash), DpAction::SetMeta(mark), DpAction::Recirc(5), out(2)];
    put(&mut dpif, catch_all(1, 0, &first));
    dpif.receive(PortNo(1), &udp_frame(1));
    assert_eq!(dpif.take_transmitted(), [(PortNo(2), udp_frame(1))]);
    let upcall = dpif.next_upcall().expect("a miss of the second pass");
    assert_eq!((upcall.flow.recirc_id(), upcall.flow.pkt_mark()), (5, 9));
    assert_ne!(upcall.flow.dp_hash(), 0);

    put(&mut dpif, catch_all(1, 5, &[out(3)]));
    dpif.execute(upcall.packet, &upcall.flow, &Arc::from([out(3)]));
    dpif.receive(PortNo(1), &udp_frame(1));
    let ports: Vec<_> = dpif.take_transmitted().into_iter().map(|(port, _)| port.0).collect();
    assert_eq!(ports, [3, 2, 3]);
    assert!(dpif.accounting().holds());
}

#[test]
fn endless_recirculation_ends() {
    let mut dpif = with_ports(2);
    put(&mut dpif, catch_all(1, 0, &[DpAction::Recirc(1)]));
    put(&mut dpif, catch_all(1, 1, &[out(2), DpAction::Recirc(1)]));
    dpif.receive(PortNo(1), &udp_frame(1));
    assert_eq!(dpif.take_transmitted().len(), usize::from(MAX_DEPTH));
    assert_eq!(dpif.port_stats(PortNo(1)).drops.get(DropReason::RecursionTooDeep), 1);
    assert!(dpif.accounting().holds());

    // Each pass would double the packets: the stage bounds them.
    let mut dpif = with_ports(2);
    put(&mut dpif, catch_all(1, 0, &[DpAction::Recirc(1)]));
    let recirc = DpAction::Recirc(1);
    put(&mut dpif, catch_all(1, 1, &[recirc.clone(), recirc.clone(), recirc]));
    let frame = udp_frame(1);
    dpif.receive_batch(PortNo(1), std::iter::repeat_n(frame.as_slice(), 32));
    let drops = dpif.port_stats(PortNo(1)).drops;
    assert!(drops.get(DropReason::RecirculationQueueFull) > 0);
    assert!(drops.get(DropReason::RecursionTooDeep) > 0);
    assert!(dpif.accounting().holds());
}

#[test]
fn putting_twice_replaces() {
    let mut dpif = with_ports(3);
    let first = for_udp(1, 7, &[out(2)]);
    let second = for_udp(1, 7, &[out(3)]);
    assert_eq!(first.ufid, second.ufid);
    put(&mut dpif, first.clone());
    put(&mut dpif, second.clone());
    assert_eq!(dpif.pmd().n_megaflows(), 1);
    assert_eq!((first.stats.fate(), second.stats.fate()), (Fate::Removed, Fate::Installed));
    dpif.receive(PortNo(1), &udp_frame(7));
    assert_eq!(dpif.take_transmitted(), [(PortNo(3), udp_frame(7))]);
    assert_eq!((first.stats.read().packets, second.stats.read().packets), (0, 1));
    // The same one again, as by a duplicate miss: its statistics stay.
    put(&mut dpif, second.clone());
    assert_eq!((second.stats.fate(), second.stats.read().packets), (Fate::Installed, 1));
}

#[test]
fn modifies_and_deletes_by_name() {
    let mut dpif = with_ports(3);
    let flow = for_udp(1, 7, &[out(2)]);
    let ufid = put(&mut dpif, flow.clone());
    assert_eq!(dpif.flow_modify(CORE, ufid, Arc::from([out(3)])), Ok(()));
    dpif.receive(PortNo(1), &udp_frame(7));
    assert_eq!(dpif.take_transmitted(), [(PortNo(3), udp_frame(7))]);
    assert_eq!(flow.stats.read().packets, 1, "statistics go on");
    assert_eq!(dpif.flow_delete(CORE, ufid), Ok(()));
    let fence = dpif.fence();
    assert!(dpif.fence_passed(fence) && !dpif.fence_passed(fence + 1));
    assert_eq!(flow.stats.fate(), Fate::Removed);
    assert_eq!((dpif.pmd().n_megaflows(), dpif.pmd().n_masks(PortNo(1))), (0, 0));
    dpif.receive(PortNo(1), &udp_frame(7));
    assert_eq!(dpif.take_transmitted(), []);
    assert_eq!(dpif.pmd().counters().stale_commands.get(), 0);
    assert_eq!(dpif.flow_delete(CORE, ufid), Ok(()));
    assert_eq!(dpif.pmd().counters().stale_commands.get(), 1);
}

#[test]
fn a_modification_that_cannot_run_ends_the_megaflow() {
    let mut dpif = with_ports(2);
    let flow = for_udp(1, 7, &[out(2)]);
    let ufid = put(&mut dpif, flow.clone());
    let endless: Arc<[DpAction]> = Arc::from([DpAction::Drop(DropReason::NoRule), out(2)]);
    let refused = PutError::BadActions(datapath::ActionError::DropNotLast);
    assert_eq!(dpif.flow_modify(CORE, ufid, endless.clone()), Err(refused));
    assert_eq!(flow.stats.fate(), Fate::Installed, "refused before it reached the core");
    dpif.apply(Command::FlowModify(ufid, endless));
    assert_eq!(flow.stats.fate(), Fate::Removed);
    dpif.receive(PortNo(1), &udp_frame(7));
    assert_eq!(dpif.next_upcall().map(|upcall| upcall.reason), Some(UpcallReason::Miss));
}

#[test]
fn a_port_has_no_more_masks_than_its_own_and_the_rounded_ones() {
    let limits = TableLimits { masks_per_port: 2, ..TableLimits::default() };
    let mut dpif = LocalDpif::with(LocalConfig { limits, ..LocalConfig::default() });
    dpif.add_port(PortNo(1));
    let looking_at = |bits: u128| {
        let mut mask = Mask::ZERO;
        mask.set(Field::Ipv4Dst, bits);
        let mut key = Flow::ZERO;
        key.set_in_port(1);
        Arc::new(Megaflow::new(&key, mask, Arc::from([])))
    };
    // Whoever does not ask which mask to install meets the bound of the table.
    let room = 2 + datapath::census::N_ROUNDED as u128;
    for bits in 1..=room {
        put(&mut dpif, looking_at(bits));
    }
    assert_eq!(dpif.flow_put(CORE, looking_at(room + 1)), Err(PutError::TooManyMasks));
    // Whoever asks does not.
    assert_eq!(dpif.admit_mask(CORE, PortNo(1), &looking_at(1).mask), *looking_at(1).mask);
    let mask = dpif.admit_mask(CORE, PortNo(1), &looking_at(room + 1).mask);
    assert!(mask.is_exact(Field::Ipv4Dst));
    assert_eq!(dpif.flow_delete(CORE, looking_at(9).ufid), Ok(()));
    put(&mut dpif, Arc::new(Megaflow::new(&Flow::clone(&looking_at(1).key), mask, Arc::from([]))));
    assert_eq!(dpif.pmd().n_masks(PortNo(1)) as u128, room);
}

#[test]
fn configuration_is_in_force_at_once() {
    let mut dpif = with_ports(2);
    for port in 1..=100 {
        put(&mut dpif, for_udp(1, port, &[out(2)]));
    }
    let configure = |dpif: &mut LocalDpif, key, value| {
        let mut config = DatapathConfig::default();
        assert_eq!(config.set(key, value), Ok(()));
        dpif.apply(Command::Configure(config));
    };
    let hits = |dpif: &mut LocalDpif| {
        (0..3).for_each(|_| dpif.receive(PortNo(1), &udp_frame(7)));
        assert_eq!(dpif.take_transmitted().len(), 3);
        let counters = dpif.pmd().counters();
        (counters.emc_hits.get(), counters.smc_hits.get())
    };
    assert_eq!(hits(&mut dpif), (2, 0));
    configure(&mut dpif, "emc-insert-inv-prob", "0");
    assert_eq!(hits(&mut dpif), (2, 0));
    let mut config = DatapathConfig { emc_insert_inv_prob: 0, ..DatapathConfig::default() };
    config.smc_enable = SmcEnable::On;
    dpif.apply(Command::Configure(config));
    assert_eq!(hits(&mut dpif), (2, 2));
    configure(&mut dpif, "max-megaflows", "100");
    assert_eq!(dpif.flow_put(CORE, for_udp(1, 101, &[])), Err(PutError::TableFull));
    configure(&mut dpif, "max-subtables", "1");
    let one = for_udp(1, 1, &[]).mask.clone();
    assert_eq!(dpif.admit_mask(CORE, PortNo(1), &one), *one, "it is there");
    assert_ne!(dpif.admit_mask(CORE, PortNo(1), &Mask::EXACT), *one);
}

#[test]
fn refuses_what_does_not_fit() {
    let limits = TableLimits { flows: 3, masks_per_port: 2 };
    let mut dpif = LocalDpif::with(LocalConfig { limits, ..LocalConfig::default() });
    dpif.add_port(PortNo(1));
    put(&mut dpif, for_udp(1, 1, &[]));
    put(&mut dpif, catch_all(1, 0, &[]));
    put(&mut dpif, for_udp(1, 2, &[]));
    let refused = for_udp(1, 3, &[]);
    assert_eq!(dpif.flow_put(CORE, refused.clone()), Err(PutError::TableFull));
    assert_eq!(refused.stats.fate(), Fate::Refused);
    // Replacing needs no room.
    put(&mut dpif, for_udp(1, 2, &[out(1)]));
    assert_eq!(dpif.flow_put(CORE, for_udp(9, 1, &[])), Err(PutError::NoSuchPort));
    assert_eq!(dpif.flow_put(CoreId(1), for_udp(1, 1, &[])), Err(PutError::NoSuchCore));
    let endless = for_udp(1, 1, &[DpAction::Drop(DropReason::NoRule), out(1)]);
    let bad = PutError::BadActions(datapath::ActionError::DropNotLast);
    assert_eq!(dpif.flow_put(CORE, endless), Err(bad));
    let mut odd = Arc::into_inner(for_udp(1, 9, &[])).expect("nobody else has it");
    odd.key.set_nw_ttl(3);
    assert_eq!(dpif.flow_put(CORE, Arc::new(odd)), Err(PutError::KeyNotMasked));
    assert_eq!(dpif.pmd().n_megaflows(), 3);
    assert_eq!(dpif.pmd().counters().puts_refused.get(), 4);
}

#[test]
fn removing_a_port_takes_its_megaflows_and_its_outputs() {
    let mut dpif = with_ports(3);
    let from_3 = catch_all(3, 0, &[out(1)]);
    put(&mut dpif, from_3.clone());
    put(&mut dpif, catch_all(1, 0, &[out(3)]));
    dpif.remove_port(PortNo(3));
    assert_eq!(from_3.stats.fate(), Fate::Removed);
    assert_eq!(dpif.pmd().n_megaflows(), 1);
    dpif.receive(PortNo(1), &udp_frame(1));
    dpif.receive(PortNo(3), &udp_frame(1));
    assert_eq!(dpif.take_transmitted(), []);
    assert_eq!(dpif.port_stats(PortNo(1)).drops.get(DropReason::NoSuchPort), 1);
    assert!(dpif.accounting().holds());
    // A new port of that number starts from nothing.
    dpif.add_port(PortNo(3));
    assert_eq!(dpif.port_stats(PortNo(3)).rx_packets, 0);
    dpif.receive(PortNo(1), &udp_frame(1));
    assert_eq!(dpif.take_transmitted(), [(PortNo(3), udp_frame(1))]);
}

#[test]
fn a_full_transmit_ring_and_an_empty_pool_drop_by_name() {
    let pool = PoolConfig { small: 2, jumbo: 0 };
    let mut dpif = LocalDpif::with(LocalConfig { pool, ..LocalConfig::default() });
    (1..=3).for_each(|port| dpif.add_port(PortNo(port)));
    put(&mut dpif, catch_all(1, 0, &[out(2), out(3)]));
    dpif.set_tx_full(PortNo(3), true);
    let frame = udp_frame(1);
    dpif.receive_batch(PortNo(1), [frame.as_slice(); 3]);
    let stats = dpif.port_stats(PortNo(1));
    // Two of three found a buffer; none was left for copies.
    assert_eq!(stats.rx_packets, 3);
    assert_eq!(stats.drops.get(DropReason::RxNoBuffer), 1);
    assert_eq!(stats.drops.get(DropReason::PoolExhausted), 2);
    assert_eq!(dpif.port_stats(PortNo(3)).drops.get(DropReason::TxRingFull), 2);
    assert_eq!(dpif.port_stats(PortNo(3)).tx_dropped(), 2);
    assert!(dpif.accounting().holds());
}

#[test]
fn samples_hits_for_the_self_check() {
    let config = LocalConfig { sample_one_in: 10, ..LocalConfig::default() };
    let mut dpif = LocalDpif::with(config);
    (1..=2).for_each(|port| dpif.add_port(PortNo(port)));
    let ufid = put(&mut dpif, for_udp(1, 7, &[out(2)]));
    for _ in 0..100 {
        dpif.receive(PortNo(1), &udp_frame(7));
    }
    let checks = dpif.take_checks();
    assert_eq!(checks.len(), 10);
    assert!(checks.iter().all(|check| check.ufid == ufid && check.flow.tp_src() == 7));
    let frames = checks.iter().filter_map(|check| check.packet.as_ref());
    assert_eq!(frames.filter(|packet| packet.data() == udp_frame(7)).count(), 10);
    assert!(dpif.accounting().holds(), "samples are in nobody's account");
}

#[test]
fn subtables_are_put_in_the_order_of_their_hits() {
    let config = LocalConfig { emc: EmcConfig::OFF, ..LocalConfig::default() };
    let mut dpif = LocalDpif::with(config);
    (1..=2).for_each(|port| dpif.add_port(PortNo(port)));
    put(&mut dpif, for_udp(1, 1, &[out(2)]));
    let mut mask = Mask::ZERO;
    mask.set_exact(Field::EthSrc);
    let mut key = Flow::ZERO;
    key.set_in_port(1);
    key.set_eth_src(flow::EtherAddr::from_u64(0x0200_0000_0001));
    put(&mut dpif, Arc::new(Megaflow::new(&key, mask, Arc::from([out(2)]))));

    let probes_of_one = |dpif: &mut LocalDpif| {
        let before = dpif.pmd().counters().subtable_probes.get();
        dpif.receive(PortNo(1), &udp_frame(5));
        dpif.pmd().counters().subtable_probes.get() - before
    };
    assert_eq!(probes_of_one(&mut dpif), 2);
    dpif.set_now(Nanos::from_millis(100));
    assert_eq!(probes_of_one(&mut dpif), 1, "the first tick sorts");
    // The other one is hit more, but the second is not over.
    for _ in 0..5 {
        let mut frame = udp_frame(1);
        frame[11] = 9;
        dpif.receive(PortNo(1), &frame);
    }
    dpif.set_now(Nanos::from_millis(1_000));
    assert_eq!(probes_of_one(&mut dpif), 1);
    dpif.set_now(Nanos::from_millis(1_200));
    assert_eq!(probes_of_one(&mut dpif), 2);
}
