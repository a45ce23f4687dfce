//! Packet-ins and packet-outs (OpenFlow 1.3.5 §6.1.2, §7.3.7, §7.4.1).

use crate::lab::{Lab, add, ether, frame, normal, output};
use flow::Field;
use ofproto::{BridgeEvent, MissKind, PacketInEvent};
use openflow::{
    Action, ControllerAction, FlowMod, Instructions, OfErrorKind, OfPort, PacketInReason,
    PacketOut, PortConfig, PortFeatures, PortMod, Version,
};

fn to_controller(max_len: u16) -> Action {
    Action::Output { port: OfPort::CONTROLLER, max_len }
}

fn packet_ins(lab: &mut Lab) -> Vec<PacketInEvent> {
    let events = lab.events().into_iter();
    events
        .filter_map(|event| match event {
            BridgeEvent::PacketIn(packet_in) => Some(packet_in),
            _ => None,
        })
        .collect()
}

#[test]
fn an_action_sends_the_frame_with_its_circumstances() {
    let mut lab = Lab::secure(2);
    let actions = vec![
        Action::set_field(Field::Reg3, 5),
        Action::set_field(Field::EthSrc, 0x0200_0000_0099),
        to_controller(64),
        output(2),
    ];
    let instructions = Instructions::apply(actions);
    let flow_mod = FlowMod { new_cookie: Some(0xabc), instructions, ..add(4, "dl_type=0x1234") };
    lab.flow_mod(&flow_mod).unwrap();
    // The first by upcall, the second by the cached flow: both alike.
    for _ in 0..2 {
        assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
        let got = packet_ins(&mut lab);
        assert_eq!(got.len(), 1);
        let PacketInEvent { packet_in, max_len, controller_id, miss } = &got[0];
        assert_eq!((*max_len, *controller_id, *miss), (64, 0, MissKind::None));
        assert_eq!(packet_in.reason, PacketInReason::Action);
        assert_eq!((packet_in.table_id, packet_in.cookie), (0, 0xabc));
        assert_eq!(packet_in.in_port(), OfPort(1));
        assert_eq!(packet_in.metadata.get(Field::Reg3).0, 5);
        assert_eq!(packet_in.data.len(), ether(1, 2).len());
        assert_eq!(packet_in.data[6..12], [2, 0, 0, 0, 0, 0x99]);
        assert_eq!(packet_in.total_len as usize, packet_in.data.len());
        assert_eq!(packet_in.buffer_id, None);
    }
    assert_eq!(lab.bridge.stats().upcalls, 1);
}

#[test]
fn a_miss_goes_to_those_who_ask_for_it() {
    let mut lab = Lab::secure(2);
    lab.send(1, &ether(1, 2));
    assert_eq!(packet_ins(&mut lab), []);
    lab.bridge.set_miss_to_controllers(true);
    lab.settle();
    for _ in 0..2 {
        lab.send(1, &ether(1, 2));
        let got = packet_ins(&mut lab);
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].miss, MissKind::Implicit);
        assert_eq!(got[0].packet_in.reason, PacketInReason::NoMatch);
        assert_eq!(got[0].packet_in.cookie, u64::MAX);
    }
    // A port can be excluded.
    let hw_addr = lab.bridge.state().ports.get(OfPort(1)).unwrap().hw_addr().0;
    let bits = PortConfig::NO_PACKET_IN;
    let change = PortMod {
        port: OfPort(1),
        hw_addr,
        config: bits,
        mask: bits,
        advertise: PortFeatures::empty(),
    };
    lab.bridge.port_mod(&change).unwrap();
    lab.settle();
    lab.send(1, &ether(1, 2));
    assert_eq!(packet_ins(&mut lab), []);
    lab.send(2, &ether(1, 2));
    assert_eq!(packet_ins(&mut lab).len(), 1);
    // A resubmit that misses is none.
    lab.rule(1, "", vec![Action::Resubmit { port: OfPort::IN_PORT, table: 3 }]);
    lab.settle();
    lab.send(2, &ether(1, 2));
    assert_eq!(packet_ins(&mut lab), []);
}

#[test]
fn the_table_miss_entry_says_so() {
    let mut lab = Lab::secure(2);
    lab.rule(0, "", vec![to_controller(0xffff)]);
    lab.send(1, &ether(1, 2));
    let got = packet_ins(&mut lab);
    assert_eq!(
        (got[0].miss, got[0].packet_in.reason),
        (MissKind::Explicit, PacketInReason::Action)
    );
    // An action set speaks for itself.
    let write = Instructions { write: vec![to_controller(9)], ..Instructions::default() };
    lab.rule_in(0, 0, "", write);
    lab.settle();
    lab.send(1, &ether(1, 2));
    let got = packet_ins(&mut lab);
    assert_eq!((got[0].miss, got[0].packet_in.reason), (MissKind::None, PacketInReason::ActionSet));
    assert_eq!(got[0].max_len, 9);
}

#[test]
fn the_controller_action_chooses_reason_and_controller() {
    let mut lab = Lab::secure(2);
    let action = ControllerAction {
        max_len: 7,
        controller_id: 3,
        reason: PacketInReason::InvalidTtl,
        userdata: vec![1, 2, 3],
        ..ControllerAction::default()
    };
    lab.rule(1, "", vec![Action::Controller(action)]);
    lab.send(1, &ether(1, 2));
    let got = packet_ins(&mut lab).remove(0);
    assert_eq!((got.max_len, got.controller_id), (7, 3));
    assert_eq!(
        (got.packet_in.reason, &*got.packet_in.userdata),
        (PacketInReason::InvalidTtl, &[1, 2, 3][..])
    );
}

#[test]
fn ttl_that_runs_out_is_told_to_those_who_ask() {
    let dying = frame("udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=1,tp_src=1,tp_dst=2");
    let mut lab = Lab::secure(2);
    lab.rule(1, "ip", vec![Action::DecTtl(vec![4, 5]), output(2)]);
    lab.send(1, &dying);
    assert_eq!(packet_ins(&mut lab), []);
    lab.bridge.set_invalid_ttl_to_controllers(true);
    lab.settle();
    lab.send(1, &dying);
    let got = packet_ins(&mut lab);
    assert_eq!(got.iter().map(|event| event.controller_id).collect::<Vec<_>>(), [4, 5]);
    assert!(got.iter().all(|event| event.packet_in.reason == PacketInReason::InvalidTtl));
}

#[test]
fn packet_ins_are_bounded() {
    let mut lab = Lab::secure(2);
    lab.rule(1, "", vec![to_controller(0xffff)]);
    for _ in 0..3000 {
        lab.send(1, &ether(1, 2));
    }
    let n_dropped = lab.bridge.n_events_dropped();
    let got = packet_ins(&mut lab).len() as u64;
    assert_eq!(got + n_dropped, 3000);
    assert!(got <= 1024);
}

#[test]
fn numbers_of_packet_ins_live_as_long_as_their_flows() {
    let mut lab = Lab::secure(2);
    // The metadata of each packet-in is another: the source port.
    let part = |name: &str| openflow::Subfield::whole(Field::from_name(name).unwrap());
    let load = Action::Move {
        src: openflow::Subfield::new(Field::EthSrc, 0, 32).unwrap(),
        dst: part("reg0"),
    };
    lab.rule(1, "", vec![load, to_controller(0xffff)]);
    for n in 0..100 {
        lab.send(1, &ether(n, 200));
    }
    let regs: Vec<u128> = packet_ins(&mut lab)
        .iter()
        .map(|event| event.packet_in.metadata.get(Field::Reg0).0)
        .collect();
    assert_eq!(regs, (0..100).collect::<Vec<_>>());
    assert!(
        lab.bridge.memory_show().contains("packet-in-ids:100 "),
        "{}",
        lab.bridge.memory_show()
    );
    lab.advance(sync::time::Nanos::from_secs(14));
    assert!(lab.bridge.memory_show().contains("packet-in-ids:0 "), "{}", lab.bridge.memory_show());
}

fn packet_out(
    lab: &mut Lab,
    in_port: OfPort,
    actions: Vec<Action>,
) -> Result<Vec<u32>, OfErrorKind> {
    let packet_out =
        PacketOut { buffer_id: None, in_port, metadata: None, actions, data: ether(1, 2) };
    lab.bridge.packet_out(&packet_out, Version::V13, &mut lab.dpif, lab.now)?;
    lab.pump();
    Ok(lab.sent().into_iter().map(|(port, _)| port).collect())
}

#[test]
fn packet_outs_run_their_actions() {
    let cases: [(OfPort, Vec<Action>, &[u32]); 9] = [
        (OfPort::CONTROLLER, vec![output(2)], &[2]),
        (OfPort::CONTROLLER, vec![output(2), output(1)], &[2, 1]),
        (OfPort::CONTROLLER, vec![Action::output(OfPort::ALL)], &[1, 2, 3]),
        (OfPort::ANY, vec![Action::output(OfPort::FLOOD)], &[1, 2, 3]),
        (OfPort(1), vec![Action::output(OfPort::FLOOD)], &[2, 3]),
        (OfPort(1), vec![output(1)], &[]),
        (OfPort(1), vec![Action::output(OfPort::IN_PORT)], &[1]),
        (OfPort(2), vec![Action::output(OfPort::TABLE)], &[3]),
        (OfPort(1), vec![], &[]),
    ];
    for (in_port, actions, expected) in cases {
        let mut lab = Lab::secure(3);
        lab.rule(1, "in_port=2", vec![output(3)]);
        assert_eq!(
            packet_out(&mut lab, in_port, actions.clone()).unwrap(),
            expected,
            "{in_port} {actions:?}"
        );
    }
}

#[test]
fn packet_outs_through_the_tables_count_and_learn() {
    let mut lab = Lab::secure(3);
    lab.rule(1, "", vec![normal()]);
    let table = vec![Action::output(OfPort::TABLE)];
    assert_eq!(packet_out(&mut lab, OfPort(1), table).unwrap(), [2, 3]);
    assert_eq!(lab.rules()[0].stats().packets(), 1);
    assert_eq!(lab.bridge.state().macs.len(), 1);
    assert_eq!(lab.ports(2, &ether(2, 1)), [1]);
    assert_eq!(lab.bridge.table_stats(lab.now)[0].matched_count, 2);
}

#[test]
fn a_packet_out_can_recirculate() {
    let mut lab = Lab::secure(2);
    let data = frame("udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1,tp_dst=2");
    let actions =
        vec![Action::PushMpls(0x8847), Action::PopMpls(0x0800), Action::DecTtl(vec![0]), output(2)];
    let packet_out =
        PacketOut { buffer_id: None, in_port: OfPort::CONTROLLER, metadata: None, actions, data };
    lab.bridge.packet_out(&packet_out, Version::V13, &mut lab.dpif, lab.now).unwrap();
    lab.pump();
    let sent = lab.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1[22], 63);
    lab.settle();
}

#[test]
fn bad_packet_outs_are_refused() {
    let mut lab = Lab::secure(2);
    let refused = |result: Result<Vec<u32>, OfErrorKind>| result.err();
    let bad = Action::output(OfPort::ANY);
    assert_eq!(
        refused(packet_out(&mut lab, OfPort(1), vec![bad])),
        Some(OfErrorKind::ActionBadOutPort)
    );
    assert_eq!(
        refused(packet_out(&mut lab, OfPort::FLOOD, vec![])),
        Some(OfErrorKind::RequestBadPort)
    );
    assert_eq!(refused(packet_out(&mut lab, OfPort(0), vec![])), Some(OfErrorKind::RequestBadPort));
    let inconsistent = vec![Action::DecTtl(vec![0])];
    assert_eq!(
        refused(packet_out(&mut lab, OfPort(1), inconsistent)),
        Some(OfErrorKind::ActionMatchInconsistent)
    );
    let kept = PacketOut {
        buffer_id: Some(5),
        in_port: OfPort(1),
        metadata: None,
        actions: vec![],
        data: vec![],
    };
    let result = lab.bridge.packet_out(&kept, Version::V13, &mut lab.dpif, lab.now);
    assert_eq!(result, Err(OfErrorKind::RequestBufferUnknown));
    // An empty frame is none, where the version has a word for that.
    let empty = PacketOut {
        buffer_id: None,
        in_port: OfPort(1),
        metadata: None,
        actions: vec![output(2)],
        data: vec![],
    };
    let result = lab.bridge.packet_out(&empty, Version::V13, &mut lab.dpif, lab.now);
    assert_eq!(result, Err(OfErrorKind::RequestBadPacket));
    lab.bridge.packet_out(&empty, Version::V10, &mut lab.dpif, lab.now).unwrap();
    lab.sent();
}
