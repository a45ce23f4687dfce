//! Dialogues with the agent over a real bridge: what a peer sends, what it hears.

mod common;

use agent::{AgentConfig, ConnId, NetRequest};
use common::{Peer, Stage, all_flows, output_rule};
use datapath::PortNo;
use flow::Field;
use openflow::{
    Action, ControllerRole, Dialect, FlowMod, Hello, Instructions, Message, MultipartBody,
    OfErrorKind, OfPort, Origin, PacketInFormat, PacketOut, Role, Version,
};
use sync::time::Nanos;

fn role(role: ControllerRole, generation: u64) -> Message {
    Message::RoleRequest(Role { role, generation_id: Some(generation), origin: Origin::Standard })
}

#[test]
fn versions_are_negotiated_and_strangers_are_refused() {
    let old = Version::V10.bit() | Version::V13.bit();
    let all = AgentConfig::default().versions;
    for (versions, bitmap, header, agreed) in [
        (old, Some(Version::V13.bit() | Version::V10.bit()), Version::V13, Some(Version::V13)),
        (old, Some(Version::V14.bit() | Version::V10.bit()), Version::V14, Some(Version::V10)),
        (old, None, Version::V10, Some(Version::V10)),
        (old, None, Version::V15, Some(Version::V13)),
        (old, Some(Version::V14.bit()), Version::V14, None),
        (old, None, Version::V12, None),
        (all, Some(Version::V14.bit() | Version::V10.bit()), Version::V14, Some(Version::V14)),
        (all, Some(Version::V11.bit()), Version::V15, Some(Version::V11)),
        (all, None, Version::V12, Some(Version::V12)),
        (all, None, Version::V15, Some(Version::V15)),
        (all, Some(1 << 7), Version::V15, None),
    ] {
        let config = AgentConfig { versions, ..AgentConfig::default() };
        let mut stage = Stage::new(config);
        let conn = ConnId(7);
        stage.agent.accepted(conn, "10.0.2.2:1".parse().expect("address"), 6653, stage.now);
        let mut peer = Peer { conn, dialect: Dialect::plain(header), xid: 0 };
        let heard = stage.say(&mut peer, &Message::Hello(Hello { bitmap }));
        match agreed {
            Some(version) => {
                peer.dialect = Dialect::plain(version);
                let heard = stage.say(&mut peer, &Message::EchoRequest(b"hey".to_vec()));
                assert_eq!(heard, [(peer.xid, Message::EchoReply(b"hey".to_vec()))], "{bitmap:?}");
            }
            None => {
                let kinds: Vec<_> = heard
                    .iter()
                    .filter_map(|(_, message)| match message {
                        Message::Error(error) => Some((error.kind, error.data.clone())),
                        _ => None,
                    })
                    .collect();
                let [(OfErrorKind::HelloIncompatible, text)] = &kinds[..] else {
                    panic!("{bitmap:?} {header}: {kinds:?}");
                };
                let text = String::from_utf8_lossy(text);
                assert!(text.starts_with("We support ver"), "{text}");
                assert!(text.ends_with(", no common versions."), "{text}");
                assert_eq!(stage.agent.next_request(), Some(NetRequest::Close(conn)));
            }
        }
    }
}

#[test]
fn bad_requests_get_their_error_and_change_nothing() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut peer = stage.peer(1, Version::V13);
    let before = stage.say(&mut peer, &all_flows());
    let cases: [(&str, Vec<u8>, OfErrorKind); 6] = [
        ("unknown type", vec![4, 99, 0, 8, 0, 0, 0, 1], OfErrorKind::RequestBadType),
        ("other version", vec![1, 18, 0, 8, 0, 0, 0, 1], OfErrorKind::RequestBadVersion),
        ("unknown version", vec![9, 2, 0, 8, 0, 0, 0, 1], OfErrorKind::RequestBadVersion),
        ("short flow-mod", vec![4, 14, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0], OfErrorKind::RequestBadLen),
        (
            "unknown experimenter",
            vec![4, 4, 0, 16, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 1],
            OfErrorKind::RequestBadVendor,
        ),
        (
            "unknown multipart",
            vec![4, 18, 0, 16, 0, 0, 0, 1, 0, 99, 0, 0, 0, 0, 0, 0],
            OfErrorKind::RequestBadStat,
        ),
    ];
    for (what, bytes, kind) in cases {
        let heard = stage.send_bytes(&peer, &bytes);
        let [(xid, Message::Error(error))] = heard.as_slice() else { panic!("{what}: {heard:?}") };
        assert_eq!((*xid, error.kind), (1, kind), "{what}");
        assert_eq!(error.data, bytes, "{what}: the offending message is quoted");
    }
    let bad_port = PacketOut {
        buffer_id: Some(5),
        in_port: OfPort::CONTROLLER,
        metadata: None,
        actions: Vec::new(),
        data: Vec::new(),
    };
    let refused = stage.refused(&mut peer, &Message::PacketOut(bad_port));
    assert_eq!(refused, OfErrorKind::RequestBufferUnknown);
    let goto_back = FlowMod {
        table_id: 5,
        instructions: Instructions { goto_table: Some(5), ..Default::default() },
        ..FlowMod::default()
    };
    let refused = stage.refused(&mut peer, &Message::FlowMod(goto_back.into()));
    assert_eq!(refused, OfErrorKind::InstructionBadTableId);
    let strip = |heard: Vec<(u32, Message)>| match heard.into_iter().next() {
        Some((_, Message::MultipartReply(reply))) => match reply.body {
            MultipartBody::Flow(_, flows) => flows.len(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let after = stage.say(&mut peer, &all_flows());
    assert_eq!(strip(after), strip(before));
}

#[test]
fn messages_cut_anywhere_are_put_together_again() {
    let mut bytes = Vec::new();
    for xid in 1..=5 {
        Message::EchoRequest(vec![0; 13]).encode(Version::V13, xid, &mut bytes).expect("short");
    }
    for cut in 1..bytes.len() {
        let mut stage = Stage::new(AgentConfig::default());
        let peer = stage.peer(1, Version::V13);
        let (head, tail) = bytes.split_at(cut);
        let mut heard = stage.send_bytes(&peer, head);
        heard.extend(stage.send_bytes(&peer, tail));
        let xids: Vec<u32> = heard.iter().map(|(xid, _)| *xid).collect();
        assert_eq!(xids, [1, 2, 3, 4, 5], "cut at {cut}");
    }
}

#[test]
fn a_barrier_is_answered_in_order_and_when_the_change_is_in_force() {
    let mut stage = Stage::new(AgentConfig::default());
    let peer = stage.peer(1, Version::V13);
    let mut bytes = Vec::new();
    let flow_mod = Message::FlowMod(output_rule(1, 2).into());
    flow_mod.encode(Version::V13, 1, &mut bytes).expect("short");
    Message::BarrierRequest.encode(Version::V13, 2, &mut bytes).expect("short");
    Message::EchoRequest(Vec::new()).encode(Version::V13, 3, &mut bytes).expect("short");
    let ticket_before = stage.bridge.sync_point();
    let heard = stage.send_bytes(&peer, &bytes);
    assert_eq!(heard, [(2, Message::BarrierReply), (3, Message::EchoReply(Vec::new()))]);
    assert!(
        stage.bridge.sync_point() > ticket_before
            && stage.bridge.reached(stage.bridge.sync_point())
    );
}

#[test]
fn one_primary_at_a_time_and_a_secondary_changes_nothing() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut first = stage.peer(1, Version::V13);
    let mut second = stage.peer(2, Version::V13);
    let flow_mod = Message::FlowMod(output_rule(1, 2).into());
    assert!(stage.say(&mut first, &role(ControllerRole::Primary, 1)).len() == 1);
    assert!(stage.say(&mut first, &flow_mod).is_empty(), "the primary may");
    stage.say(&mut second, &role(ControllerRole::Primary, 2));
    let heard = stage.say(&mut first, &role(ControllerRole::NoChange, 0));
    let [(_, Message::RoleReply(now))] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((now.role, now.generation_id), (ControllerRole::Secondary, Some(2)));
    assert_eq!(stage.refused(&mut first, &flow_mod), OfErrorKind::RequestIsSecondary);
    assert_eq!(
        stage.refused(&mut first, &role(ControllerRole::Primary, 1)),
        OfErrorKind::RoleStale
    );
    assert!(stage.say(&mut second, &flow_mod).is_empty());
}

#[test]
fn packet_ins_reach_those_who_want_them_in_their_own_format() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut old = stage.peer(1, Version::V10);
    let new = stage.peer(2, Version::V13);
    let mut secondary = stage.peer(3, Version::V13);
    let mut nicira = stage.peer(4, Version::V10);
    stage.say(&mut secondary, &role(ControllerRole::Secondary, 1));
    stage.say(&mut nicira, &Message::NxSetPacketInFormat(PacketInFormat::Nxt2));
    nicira.dialect.packet_in_format = PacketInFormat::Nxt2;
    let mut rule = output_rule(1, 0);
    rule.instructions.apply = vec![Action::Output { port: OfPort::CONTROLLER, max_len: 20 }];
    stage.say(&mut old, &Message::FlowMod(rule.into()));
    for peer in [&old, &new, &secondary, &nicira] {
        stage.hear(peer);
    }
    stage.dpif.receive(PortNo(1), &[0x5a; 100]);
    stage.settle();
    for peer in [&old, &new, &nicira] {
        let heard = stage.hear(peer);
        let [(0, Message::PacketIn(packet_in))] = heard.as_slice() else { panic!("{heard:?}") };
        assert_eq!((packet_in.total_len, packet_in.data.len()), (100, 20));
        assert_eq!(packet_in.in_port(), OfPort(1));
    }
    assert_eq!(stage.hear(&secondary), []);
    // A miss is a packet-in for OpenFlow 1.0 alone (1.3.5 §5.4).
    let none = FlowMod { command: openflow::FlowModCommand::Delete, ..FlowMod::default() };
    stage.say(&mut old, &Message::FlowMod(none.into()));
    stage.dpif.receive(PortNo(2), &[0x5b; 100]);
    stage.settle();
    let heard = stage.hear(&old);
    assert!(
        matches!(heard.as_slice(), [(0, Message::PacketIn(p))] if p.data.len() == 100),
        "{heard:?}"
    );
    assert_eq!(stage.hear(&new), []);
}

#[test]
fn a_silent_peer_is_probed_and_then_dropped() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut peer = stage.peer(1, Version::V13);
    stage.now = stage.now.saturating_add(Nanos::from_secs(5));
    stage.settle();
    assert_eq!(stage.hear(&peer), [(0, Message::EchoRequest(Vec::new()))]);
    stage.say(&mut peer, &Message::EchoReply(Vec::new()));
    stage.now = stage.now.saturating_add(Nanos::from_secs(5));
    stage.settle();
    assert_eq!(stage.hear(&peer).len(), 1, "asked again");
    assert_eq!(stage.agent.next_request(), None);
    stage.now = stage.now.saturating_add(Nanos::from_secs(5));
    stage.settle();
    assert_eq!(stage.agent.next_request(), Some(NetRequest::Close(peer.conn)));
}

#[test]
fn a_dump_longer_than_a_message_comes_in_parts_as_the_peer_reads() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut peer = stage.peer(1, Version::V13);
    const RULES: u32 = 5000;
    for k in 0..RULES {
        let mut rule = output_rule(1, 2);
        rule.match_.set_exact(Field::EthDst, u128::from(k));
        stage.bridge.flow_mod(&rule, Version::V13, stage.now).expect("a rule");
    }
    let mut heard = stage.say(&mut peer, &all_flows());
    let mut bytes_at_once = 0;
    let mut rules = 0;
    let mut last_more = true;
    while !heard.is_empty() {
        for (xid, message) in heard {
            assert_eq!(xid, peer.xid);
            let Message::MultipartReply(reply) = message else { panic!("{message:?}") };
            let MultipartBody::Flow(_, flows) = reply.body else { panic!() };
            assert!(last_more, "nothing after the last part");
            rules += flows.len();
            last_more = reply.more;
        }
        stage.settle();
        let pending = stage.agent.output(peer.conn).map_or(0, |outbox| outbox.pending().len());
        bytes_at_once = bytes_at_once.max(pending);
        heard = stage.hear(&peer);
    }
    assert_eq!((rules, last_more), (RULES as usize + 1, false), "and the default rule");
    assert!(bytes_at_once < 512 * 1024, "{bytes_at_once} bytes waited at once");
}

#[test]
fn a_flood_from_one_peer_does_not_keep_another_waiting() {
    let mut stage = Stage::new(AgentConfig::default());
    let flooder = stage.peer(1, Version::V13);
    let other = stage.peer(2, Version::V13);
    let mut flood = Vec::new();
    while flood.len() < 100_000 {
        let rule = Message::FlowMod(output_rule(1, 2).into());
        rule.encode(Version::V13, 9, &mut flood).expect("short");
    }
    let taken = stage.agent.received(flooder.conn, &flood, stage.now);
    assert!(taken > 50_000);
    let mut echo = Vec::new();
    Message::EchoRequest(Vec::new()).encode(Version::V13, 5, &mut echo).expect("short");
    stage.agent.received(other.conn, &echo, stage.now);
    stage.agent.poll(stage.now, &mut stage.bridge, &mut stage.dpif);
    assert_eq!(stage.hear(&other), [(5, Message::EchoReply(Vec::new()))], "after one turn");
}

#[test]
fn a_lost_controller_is_called_again_and_the_fail_mode_decides_meanwhile() {
    let target = "10.0.2.2:6653".parse().expect("address");
    let config = AgentConfig { controllers: vec![target], ..AgentConfig::default() };
    let mut stage = Stage::new(config);
    stage.settle();
    assert_eq!(stage.agent.next_request(), Some(NetRequest::Connect(0, target)));
    let conn = ConnId(1);
    assert!(stage.agent.connected(conn, 0, stage.now));
    let mut peer = Peer { conn, dialect: Dialect::plain(Version::V13), xid: 0 };
    stage.say(&mut peer, &Message::Hello(Hello::default()));
    assert!(!stage.bridge.is_fail_open());
    stage.agent.closed(conn, stage.now);
    stage.settle();
    assert_eq!(stage.agent.next_request(), None, "not at once");
    stage.now = stage.now.saturating_add(Nanos::from_secs(16));
    stage.settle();
    assert_eq!(stage.agent.next_request(), Some(NetRequest::Connect(0, target)));
    assert!(stage.bridge.is_fail_open(), "after three probes' time without contact");
    assert!(stage.agent.connected(ConnId(2), 0, stage.now));
    let mut peer = Peer { conn: ConnId(2), dialect: Dialect::plain(Version::V13), xid: 0 };
    stage.say(&mut peer, &Message::Hello(Hello::default()));
    assert!(!stage.bridge.is_fail_open());
}
