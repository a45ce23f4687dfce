//! Upcalls answered on their core: what follows, what declines, and what two answers at once do.

use crate::lab::{Lab, Mode, add, ether, frame, normal, output};
use datapath::{CoreId, DropReason, PortNo};
use ofproto::{Bridge, BridgeConfig, Declined, FailMode};
use openflow::{Action, ControllerAction, FlowMod, Instructions};
use sync::time::Nanos;

/// A secure bridge with ports 1 to `n_ports`, whose core answers itself.
fn lab(n_ports: u32) -> Lab {
    let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
    Lab::in_mode(Mode::Inline, config, n_ports, Nanos::from_secs(1))
}

/// A frame comes in and misses; its core answers it. The control core hears nothing yet.
fn miss(lab: &mut Lab, port: u32, bytes: &[u8]) -> Vec<u32> {
    lab.dpif.receive(PortNo(port + crate::lab::DP_OFFSET), bytes);
    let upcall = lab.dpif.next_upcall().expect("a miss");
    assert!(lab.answer_inline(upcall).is_none(), "answered");
    lab.sent().into_iter().map(|(port, _)| port).collect()
}

#[test]
fn a_core_answers_and_the_control_core_follows() {
    let mut lab = lab(3);
    lab.flow_mod(&FlowMod { new_cookie: Some(7), ..rule("", vec![normal()]) }).unwrap();
    assert_eq!(miss(&mut lab, 1, &ether(1, 2)), [2, 3]);
    assert_eq!(lab.dpif.pmd().n_megaflows(), 1, "installed at once");
    assert_eq!(lab.bridge.stats().upcalls, 0, "and not known yet");
    assert_eq!(lab.counts(7).0, 1, "statistics follow when they are asked for");
    assert_eq!(lab.bridge.state().macs.len(), 1);
    let stats = lab.bridge.stats();
    assert_eq!((stats.upcalls, stats.inline, stats.installed), (1, 1, 1));
    assert_eq!(miss(&mut lab, 2, &ether(2, 1)), [1], "the station was learned");
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert_eq!(lab.counts(7).0, 3);
}

fn rule(match_: &str, actions: Vec<Action>) -> FlowMod {
    FlowMod { instructions: Instructions::apply(actions), ..add(5, match_) }
}

#[test]
fn no_conclusion_survives_a_barrier_unseen() {
    let mut lab = lab(3);
    lab.rule(5, "", vec![output(2)]);
    assert_eq!(miss(&mut lab, 1, &ether(1, 2)), [2]);
    // The change comes before the control core has heard of the conclusion.
    lab.rule(5, "", vec![output(3)]);
    let ticket = lab.bridge.sync_point();
    while !lab.bridge.reached(ticket) {
        lab.bridge.run(&mut lab.dpif, lab.now);
    }
    assert_eq!(lab.ports(1, &ether(1, 2)), [3]);
    assert_eq!(lab.rules()[0].stats().packets(), 2);
}

#[test]
fn a_translator_declines_what_it_cannot_answer() {
    let now = Nanos::from_secs(1);
    let mut bridge = Bridge::new(BridgeConfig::default(), now);
    let mut translator = bridge.inline_translator(CoreId(0), 3);
    let mut flow = crate::lab::flow("dl_type=0x1234");
    for _ in 0..3 {
        assert!(translator.answer(&flow, 60, &|mask| (*mask).into(), now).is_ok());
    }
    assert_eq!(
        translator.answer(&flow, 60, &|mask| (*mask).into(), now).err(),
        Some(Declined::NoRoom)
    );
    assert_eq!(bridge.take_conclusions(now), 3);
    assert!(translator.answer(&flow, 60, &|mask| (*mask).into(), now).is_ok());
    flow.set_recirc_id(99);
    assert_eq!(
        translator.answer(&flow, 60, &|mask| (*mask).into(), now).err(),
        Some(Declined::Unnamed)
    );
}

#[test]
fn the_first_packet_in_goes_by_the_control_core_and_the_next_ones_find_its_number() {
    let mut lab = lab(2);
    lab.rule(5, "", vec![Action::Controller(ControllerAction::default())]);
    for (src, is_declined) in [(1, true), (2, false), (3, false)] {
        lab.rule(6, &format!("dl_src=02:00:00:00:00:{:02x}", 0x80 + src), vec![]);
        lab.dpif.receive(PortNo(1 + crate::lab::DP_OFFSET), &ether(src, 9));
        let upcall = lab.dpif.next_upcall().expect("a miss");
        let declined = lab.answer_inline(upcall);
        assert_eq!(declined.is_some(), is_declined, "{src}");
        if let Some(upcall) = declined {
            lab.bridge.handle_upcall(upcall, &mut lab.dpif, lab.now);
        }
        lab.pump();
        assert_eq!(lab.events().len(), 1);
    }
    assert_eq!(lab.bridge.stats().inline, 2);
}

#[test]
fn two_conclusions_of_one_name_both_go_and_every_packet_counts() {
    // The control core's megaflow comes second, or first.
    for is_core_first in [true, false] {
        let mut lab = lab(2);
        lab.rule(5, "", vec![output(2)]);
        let in_port = PortNo(1 + crate::lab::DP_OFFSET);
        let (bytes, again) = (ether(1, 2), ether(1, 2));
        lab.dpif.receive_batch(in_port, [&bytes[..], &again[..]]);
        let (first, second) = (lab.dpif.next_upcall().unwrap(), lab.dpif.next_upcall().unwrap());
        if is_core_first {
            assert!(lab.answer_inline(first).is_none());
            // Hits the core's own megaflow.
            lab.dpif.receive(in_port, &ether(1, 2));
            lab.bridge.handle_upcall(second, &mut lab.dpif, lab.now);
            lab.dpif.receive(in_port, &ether(1, 2));
            assert_eq!(lab.bridge.take_conclusions(lab.now), 1);
            assert_eq!(lab.bridge.stats().disputed, 1);
            lab.dpif.receive(in_port, &ether(1, 2));
        } else {
            lab.bridge.handle_upcall(first, &mut lab.dpif, lab.now);
            assert!(lab.answer_inline(second).is_none(), "it hits what is installed by now");
            assert_eq!(lab.bridge.stats().disputed, 0);
        }
        let n_sent = if is_core_first { 5 } else { 2 };
        lab.settle();
        assert_eq!(lab.sent().len(), n_sent);
        assert_eq!(lab.rules()[0].stats().packets(), n_sent as u64);
        assert_eq!(lab.ports(1, &ether(1, 2)), [2], "and the next packet concludes anew");
        lab.settle();
        assert_eq!(lab.rules()[0].stats().packets(), n_sent as u64 + 1);
    }
}

#[test]
fn what_the_core_lost_with_its_port_is_concluded_anew() {
    let mut lab = lab(2);
    lab.rule(5, "", vec![output(2)]);
    let dp = PortNo(1 + crate::lab::DP_OFFSET);
    assert_eq!(miss(&mut lab, 1, &ether(1, 2)), [2]);
    lab.bridge.take_conclusions(lab.now);
    lab.dpif.remove_port(dp);
    lab.dpif.add_port(dp);
    assert_eq!(miss(&mut lab, 1, &ether(1, 2)), [2]);
    lab.bridge.take_conclusions(lab.now);
    let stats = lab.bridge.stats();
    assert_eq!((stats.installed, stats.disputed, lab.bridge.ukeys().len()), (2, 0, 1));
    lab.settle();
    assert_eq!(lab.rules()[0].stats().packets(), 2);
}

#[test]
fn a_greedy_port_leaves_room_for_the_others() {
    for mode in [Mode::Thread, Mode::Inline] {
        let fail_mode = FailMode::Secure;
        let config = BridgeConfig { flow_limit: 900, fail_mode, ..BridgeConfig::default() };
        let mut lab = Lab::in_mode(mode, config, 3, Nanos::from_secs(1));
        // Every source address is looked at.
        lab.rule(9, "dl_src=02:00:00:00:ff:ff", vec![]);
        lab.rule(5, "", vec![output(3)]);
        let storm = |n: u32| {
            let [.., a, b] = n.to_be_bytes();
            frame(&format!(
                "dl_src={:02x}:00:00:00:{a:02x}:{b:02x},dl_type=0x1234",
                (b & 0x3f) << 2
            ))
        };
        for n in 0..2_000 {
            lab.rule(
                10,
                &format!("dl_src={:02x}:00:00:00:{:02x}:{:02x}", (n & 0x3f) << 2, n >> 8, n & 0xff),
                vec![output(2)],
            );
            assert_eq!(lab.ports(1, &storm(n)), [2]);
        }
        let quota = &lab.bridge.state().quota;
        assert_eq!(quota.of(PortNo(1 + crate::lab::DP_OFFSET)), 800, "8/9 of the limit");
        assert_eq!(quota.total(), lab.bridge.ukeys().len() as u64);
        let before = lab.bridge.stats();
        for n in 0..50 {
            assert_eq!(lab.ports(2, &storm(n)), [], "its ingress port");
        }
        assert_eq!(lab.bridge.stats().not_installed, before.not_installed, "{mode:?}");
        assert_eq!(lab.drops(DropReason::UpcallQueueFull), 0);
        let total: u64 = lab.rules().iter().map(|rule| rule.stats().packets()).sum();
        assert_eq!(total, 2_050);
    }
}

#[test]
fn when_the_limit_falls_the_greedy_port_makes_room() {
    let fail_mode = FailMode::Secure;
    let config = BridgeConfig { flow_limit: 5_000, fail_mode, ..BridgeConfig::default() };
    let mut lab = Lab::in_mode(Mode::Inline, config, 3, Nanos::from_secs(1));
    lab.rule(9, "dl_src=02:00:00:00:ff:ff", vec![]);
    lab.rule(5, "", vec![output(3)]);
    let of = |port: u32, n: u32| {
        frame(&format!("dl_src=02:00:00:{port:02x}:{:02x}:{:02x},dl_type=0x1234", n >> 8, n & 0xff))
    };
    for n in 0..2_500 {
        lab.send(1, &of(1, n));
        if n < 50 {
            lab.send(2, &of(2, n));
        }
    }
    lab.bridge.set_flow_limit(1_000);
    lab.advance(Nanos::from_secs(2));
    let quota = lab.bridge.state().quota.clone();
    let dp = |port| PortNo(port + crate::lab::DP_OFFSET);
    assert!(quota.total() <= 2_000, "{}", quota.total());
    assert_eq!(quota.of(dp(2)), 50, "nobody evicts the flows of a modest port");
}
