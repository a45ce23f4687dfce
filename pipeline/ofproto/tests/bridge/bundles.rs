//! Bundles: all or nothing, at one instant, in slices.

use crate::lab::*;
use ofproto::{BridgeEvent, Bundle, BundleId, BundleOutcome};
use openflow::{
    Action, Dialect, FlowMod, FlowModCommand, FlowModFlags, Instructions, Message, OfErrorKind,
    OfPort, PacketOut, PortConfig, PortMod, Version,
};
use proptest::prelude::*;
use sync::time::Nanos;

fn bytes(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(Version::V13, 1, &mut bytes).unwrap();
    bytes
}

fn bundle(messages: &[Message]) -> Bundle {
    let mut bundle = Bundle::new(Dialect::plain(Version::V13));
    for message in messages {
        bundle.add(&bytes(message)).unwrap();
    }
    bundle
}

fn flow_mods(flow_mods: &[FlowMod]) -> Vec<Message> {
    flow_mods.iter().map(|flow_mod| Message::FlowMod(Box::new(flow_mod.clone()))).collect()
}

fn rule(table_id: u8, priority: u16, match_: &str, actions: Vec<Action>) -> FlowMod {
    FlowMod { table_id, instructions: Instructions::apply(actions), ..add(priority, match_) }
}

fn resubmit(table: u8) -> Action {
    Action::Resubmit { port: OfPort::IN_PORT, table }
}

/// Lets the bridge work until the bundle has ended.
fn finish(lab: &mut Lab, id: BundleId) -> BundleOutcome {
    for _ in 0..100_000 {
        lab.bridge.run(&mut lab.dpif, lab.now);
        if let Some((ended, outcome)) = lab.bridge.take_bundle_outcome() {
            assert_eq!(ended, id);
            return outcome;
        }
    }
    panic!("the bundle does not end");
}

/// Everything of the tables that anybody can see.
fn snapshot(lab: &mut Lab) -> Vec<String> {
    let now = lab.now;
    let mut lines: Vec<String> =
        lab.rules().iter().map(|rule| rule.flow_stats(now).to_string()).collect();
    lines.push(format!("{:?}", lab.bridge.table_stats(now)));
    lines.push(format!("{} events", lab.bridge.n_events()));
    lines
}

#[test]
fn requests_take_effect_together() {
    let mut lab = Lab::secure(3);
    lab.rule(1, "", vec![output(2)]);
    let wanted = FlowMod { flags: FlowModFlags::SEND_FLOW_REM, ..rule(0, 2, "in_port=1", vec![]) };
    lab.flow_mod(&wanted).unwrap();
    let id = lab.commit(bundle(&flow_mods(&[
        change(FlowModCommand::Delete, ""),
        rule(0, 5, "in_port=1", vec![output(3)]),
        rule(0, 5, "in_port=1", vec![output(2), output(3)]),
    ])));
    assert!(lab.bridge.is_committing());
    assert_eq!(lab.rules().len(), 2, "nothing is seen before the bridge runs");
    let BundleOutcome::Done { ticket, .. } = finish(&mut lab, id) else { panic!("refused") };
    lab.settle();
    assert!(lab.bridge.reached(ticket));
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3]);
    assert_eq!(lab.rules().len(), 1);
    let removed = lab.events().into_iter().filter(|e| matches!(e, BridgeEvent::FlowRemoved(_)));
    assert_eq!(removed.count(), 1);
}

#[test]
fn a_refused_bundle_leaves_no_trace() {
    let mut lab = Lab::secure(3);
    let timed = FlowMod {
        idle_timeout: 5,
        flags: FlowModFlags::SEND_FLOW_REM,
        ..rule(0, 3, "in_port=1", vec![output(2)])
    };
    lab.flow_mod(&timed).unwrap();
    lab.rule(1, "", vec![]);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    lab.advance(Nanos::from_secs(2));
    let before = snapshot(&mut lab);
    let bad = rule(0, 9, "", vec![Action::SetVlanVid(5), Action::Group(7)]);
    let messages = flow_mods(&[
        rule(0, 3, "in_port=1", vec![output(3)]),
        rule(0, 3, "in_port=1", vec![]),
        rule(0, 4, "in_port=2", vec![output(3)]),
        change(FlowModCommand::Delete, ""),
        rule(0, 4, "in_port=2", vec![output(1)]),
        bad.clone(),
        rule(0, 7, "", vec![]),
    ]);
    let id = lab.commit(bundle(&messages));
    let outcome = finish(&mut lab, id);
    // What an error quotes at least.
    let message = bytes(&Message::FlowMod(Box::new(bad)))[..64].into();
    assert_eq!(outcome, BundleOutcome::Refused { error: OfErrorKind::ActionBadOutGroup, message });
    assert_eq!(snapshot(&mut lab), before);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    // Its timeout is what it was: 5 s after the packet of this moment.
    lab.advance(Nanos::from_millis(4000));
    assert_eq!(lab.rules().len(), 2);
    lab.advance(Nanos::from_millis(1800));
    assert_eq!(lab.rules().len(), 1);
    assert_eq!(lab.events().len(), 1);
}

#[test]
fn no_packet_sees_a_mixture() {
    let mut lab = Lab::secure(3);
    // Two tables that must agree: each packet goes to 2 by the old rules, to 3 by the new ones.
    let n = 1500u64;
    let both = |mark: u64, port: u32| -> Vec<FlowMod> {
        let mut rules = Vec::new();
        for vlan in 0..n {
            let set = Action::set_field(flow::Field::Reg0, mark.into());
            rules.push(rule(0, 5, &format!("dl_vlan={vlan}"), vec![set, resubmit(1)]));
            rules.push(rule(1, 5, &format!("reg0={mark},dl_vlan={vlan}"), vec![output(port)]));
        }
        rules
    };
    for flow_mod in both(1, 2) {
        lab.flow_mod(&flow_mod).unwrap();
    }
    lab.settle();
    let mut requests = vec![FlowMod { table_id: 1, ..change(FlowModCommand::Delete, "") }];
    requests.extend(both(2, 3));
    let id = lab.commit(bundle(&flow_mods(&requests)));
    let mut n_calls = 0;
    let mut flipped_at = None;
    let outcome = loop {
        n_calls += 1;
        lab.bridge.run(&mut lab.dpif, lab.now);
        for vlan in [0, n / 2, n - 1] {
            let frame = frame(&format!("dl_src=02:00:00:00:00:01,dl_vlan={vlan},dl_type=0x1234"));
            let ports = lab.ports(1, &frame);
            assert!(ports == [2] || ports == [3], "a mixture: {ports:?} in call {n_calls}");
            if ports == [3] {
                flipped_at.get_or_insert(n_calls);
            }
        }
        if let Some((ended, outcome)) = lab.bridge.take_bundle_outcome() {
            assert_eq!(ended, id);
            break outcome;
        }
    };
    let BundleOutcome::Done { ticket, .. } = outcome else { panic!("refused") };
    assert!(n_calls > 10, "it was done in slices");
    assert!(flipped_at.is_some());
    while !lab.bridge.reached(ticket) {
        lab.bridge.run(&mut lab.dpif, lab.now);
    }
    for vlan in 0..n {
        let frame = frame(&format!("dl_src=02:00:00:00:00:01,dl_vlan={vlan},dl_type=0x1234"));
        assert_eq!(lab.ports(1, &frame), [3], "the ticket is reached");
    }
}

#[test]
fn others_have_the_bundle_finished_first() {
    let mut lab = Lab::secure(2);
    let many: Vec<FlowMod> =
        (0..1000).map(|vlan| rule(0, 5, &format!("dl_vlan={vlan}"), vec![output(1)])).collect();
    let id = lab.commit(bundle(&flow_mods(&many)));
    lab.bridge.run(&mut lab.dpif, lab.now);
    assert!(lab.bridge.is_committing());
    lab.flow_mod(&change(FlowModCommand::Delete, "dl_vlan=7")).unwrap();
    assert!(!lab.bridge.is_committing());
    assert_eq!(lab.rules().len(), 999);
    assert!(matches!(finish(&mut lab, id), BundleOutcome::Done { .. }));
}

#[test]
fn ports_and_packets_go_with_the_rules() {
    let mut lab = Lab::secure(3);
    let hw_addr = lab.bridge.ports().next().unwrap().desc().hw_addr;
    let no_flood = PortMod {
        port: OfPort(1),
        hw_addr,
        config: PortConfig::NO_FWD,
        mask: PortConfig::NO_FWD,
        advertise: openflow::PortFeatures::empty(),
    };
    let packet_out = PacketOut {
        buffer_id: None,
        in_port: OfPort::CONTROLLER,
        metadata: None,
        actions: vec![Action::output(OfPort::TABLE)],
        data: ether(1, 2),
    };
    let mut messages = vec![Message::PortMod(no_flood), Message::PacketOut(packet_out.clone())];
    messages.extend(flow_mods(&[rule(0, 1, "", vec![output(1), output(2)])]));
    let id = lab.commit(bundle(&messages));
    assert!(matches!(finish(&mut lab, id), BundleOutcome::Done { .. }));
    let sent: Vec<u32> = lab.sent().into_iter().map(|(port, _)| port).collect();
    assert_eq!(sent, [2], "by the new rules, and port 1 forwards nothing");

    // Refused: the port is not touched and the packet not sent.
    let before = snapshot(&mut lab);
    let nowhere = PortMod { port: OfPort(77), ..no_flood };
    let back = PortMod { config: PortConfig::empty(), ..no_flood };
    let messages =
        [Message::PortMod(back), Message::PacketOut(packet_out), Message::PortMod(nowhere)];
    let id = lab.commit(bundle(&messages));
    let outcome = finish(&mut lab, id);
    assert!(matches!(outcome, BundleOutcome::Refused { error: OfErrorKind::PortModBadPort, .. }));
    assert!(lab.sent().is_empty());
    assert_eq!(snapshot(&mut lab), before);
    assert_eq!(lab.bridge.ports().next().unwrap().config(), PortConfig::NO_FWD);
}

#[test]
fn what_cannot_be_bundled_is_refused_when_added() {
    let mut bundle = Bundle::new(Dialect::plain(Version::V13));
    assert_eq!(bundle.add(&bytes(&Message::BarrierRequest)), Err(OfErrorKind::BundleMsgUnsup));
    assert_eq!(bundle.add(&[4, 14]), Err(OfErrorKind::BundleMsgBadLen));
    let mut cut = bytes(&Message::FlowMod(Box::default()));
    cut.truncate(20);
    assert!(bundle.add(&cut).is_err());
    assert!(bundle.is_empty());
}

/// Flow-mods over few matches, so that they meet; some are refused.
fn some_flow_mod() -> impl Strategy<Value = FlowMod> {
    let match_ = prop::sample::select(vec!["", "in_port=1", "in_port=2", "in_port=1,dl_vlan=3"]);
    (match_, 1u16..4, 0u8..3, 0u32..5, 0u16..3).prop_map(|(match_, priority, kind, port, idle)| {
        let command = [
            FlowModCommand::Add,
            FlowModCommand::Modify,
            FlowModCommand::DeleteStrict,
            FlowModCommand::Add,
            FlowModCommand::ModifyStrict,
        ][usize::from(kind) + usize::from(idle)];
        let flags = match idle {
            0 => FlowModFlags::CHECK_OVERLAP,
            1 => FlowModFlags::RESET_COUNTS,
            _ => FlowModFlags::SEND_FLOW_REM,
        };
        let actions = vec![Action::output(OfPort(port + 1))];
        // From 1.2 on a modify never adds, and decoded ones have no cookie.
        let new_cookie = (command == FlowModCommand::Add).then_some(0);
        let rule = rule(0, priority, match_, actions);
        FlowMod { command, new_cookie, flags, idle_timeout: idle, ..rule }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_bundle_is_its_requests_one_after_another_or_nothing(
        first in prop::collection::vec(some_flow_mod(), 0..6),
        then in prop::collection::vec(some_flow_mod(), 1..10),
    ) {
        let (mut bundled, mut single) = (Lab::secure(2), Lab::secure(2));
        for flow_mod in &first {
            let a = bundled.flow_mod(flow_mod);
            prop_assert_eq!(a, single.flow_mod(flow_mod));
        }
        bundled.advance(Nanos::from_millis(300));
        single.advance(Nanos::from_millis(300));
        let before = snapshot(&mut bundled);
        let id = bundled.commit(bundle(&flow_mods(&then)));
        let outcome = finish(&mut bundled, id);
        let refused = then.iter().find_map(|flow_mod| single.flow_mod(flow_mod).err());
        match (outcome, refused) {
            (BundleOutcome::Done { .. }, None) => {
                bundled.settle();
                single.settle();
                prop_assert_eq!(snapshot(&mut bundled), snapshot(&mut single));
            }
            (BundleOutcome::Refused { error, .. }, Some(refused)) => {
                prop_assert_eq!(error, refused);
                prop_assert_eq!(snapshot(&mut bundled), before);
            }
            other => prop_assert!(false, "{other:?}"),
        }
        // What expires and is reported afterwards is the same as well.
        bundled.advance(Nanos::from_secs(4));
        single.advance(Nanos::from_secs(4));
        if refused.is_none() {
            prop_assert_eq!(snapshot(&mut bundled), snapshot(&mut single));
        }
    }
}
