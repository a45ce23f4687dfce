//! What came with OpenFlow 1.4 and 1.5, message by message: bundles, flow monitors, role status, request
//! forwarding; and the table-miss configuration that 1.3 did away with.

mod common;

use agent::AgentConfig;
use common::{Peer, Stage, all_flows, output_rule};
use datapath::PortNo;
use flow::{Field, Match};
use openflow::*;
use sync::time::Nanos;

fn control(kind: u16, flags: u16) -> Message {
    Message::Bundle(BundleMessage::Control { bundle_id: 7, kind, flags })
}

/// Adds a message to bundle 7.
fn add(stage: &mut Stage, peer: &mut Peer, message: &Message) -> Vec<(u32, Message)> {
    let mut inner = Vec::new();
    peer.dialect.encode(message, peer.xid + 1, &mut inner).expect("short");
    let add = BundleMessage::Add { bundle_id: 7, flags: 3, message: inner };
    stage.say(peer, &Message::Bundle(add))
}

fn n_flows(stage: &mut Stage, peer: &mut Peer) -> u32 {
    let Message::MultipartRequest(MultipartRequest::Flow(filter)) = all_flows() else { panic!() };
    let request = Message::MultipartRequest(MultipartRequest::Aggregate(filter));
    let heard = stage.say(peer, &request);
    let [(_, Message::MultipartReply(reply))] = heard.as_slice() else { panic!("{heard:?}") };
    let MultipartBody::Aggregate(_, sum) = &reply.body else { panic!("{reply:?}") };
    sum.flow_count
}

fn rule(k: u32) -> Message {
    let mut rule = output_rule(1, 2);
    rule.match_.set_exact(Field::Reg0, k.into());
    Message::FlowMod(rule.into())
}

#[test]
fn a_bundle_is_seen_when_it_is_committed_and_not_before() {
    for version in [Version::V10, Version::V13, Version::V14, Version::V15] {
        let mut stage = Stage::new(AgentConfig::default());
        let mut peer = stage.peer(1, version);
        let before = n_flows(&mut stage, &mut peer);
        let opened = stage.say(&mut peer, &control(bundle_control::OPEN, 3));
        assert_eq!(opened, [(peer.xid, control(bundle_control::OPEN | 1, 3))], "{version}");
        for k in 0..1000 {
            assert_eq!(add(&mut stage, &mut peer, &rule(k)), [], "{version}");
        }
        assert_eq!(n_flows(&mut stage, &mut peer), before, "{version}");
        stage.say(&mut peer, &control(bundle_control::CLOSE, 3));
        let committed = stage.say(&mut peer, &control(bundle_control::COMMIT, 3));
        assert_eq!(committed, [(peer.xid, control(bundle_control::COMMIT | 1, 3))], "{version}");
        assert_eq!(n_flows(&mut stage, &mut peer), before + 1000, "{version}");
        let gone = stage.refused(&mut peer, &control(bundle_control::COMMIT, 3));
        // 1.0 has no word for that.
        let expected = match version {
            Version::V10 => OfErrorKind::NxRequestUnencodableError,
            _ => OfErrorKind::BundleBadId,
        };
        assert_eq!(gone, expected);
    }
}

#[test]
fn a_bundle_with_a_bad_message_leaves_no_trace() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut peer = stage.peer(1, Version::V14);
    let before = n_flows(&mut stage, &mut peer);
    stage.say(&mut peer, &control(bundle_control::OPEN, 3));
    for k in 0..10 {
        add(&mut stage, &mut peer, &rule(k));
    }
    let mut bad = output_rule(1, 2);
    bad.table_id = 9;
    bad.instructions.goto_table = Some(254);
    bad.instructions.apply = vec![Action::Group(99)];
    assert_eq!(add(&mut stage, &mut peer, &Message::FlowMod(bad.into())), []);
    let bad_xid = peer.xid;
    let heard = stage.say(&mut peer, &control(bundle_control::COMMIT, 3));
    let [(inner, Message::Error(why)), (outer, Message::Error(failed))] = heard.as_slice() else {
        panic!("{heard:?}")
    };
    assert_eq!((*inner, why.kind), (bad_xid, OfErrorKind::ActionBadOutGroup));
    assert_eq!((*outer, failed.kind), (peer.xid, OfErrorKind::BundleMsgFailed));
    assert_eq!(n_flows(&mut stage, &mut peer), before);
}

#[test]
fn bundles_are_refused_by_their_own_errors() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut peer = stage.peer(1, Version::V14);
    let mut refused = |peer: &mut Peer, message: &Message| stage.refused(peer, message);
    use OfErrorKind::*;
    assert_eq!(refused(&mut peer, &control(bundle_control::COMMIT, 3)), BundleBadId);
    assert_eq!(refused(&mut peer, &control(bundle_control::DISCARD, 3)), BundleBadId);
    assert_eq!(refused(&mut peer, &control(bundle_control::OPEN, 0x10)), BundleBadFlags);
    assert_eq!(refused(&mut peer, &control(9, 3)), BundleBadType);
    let add_raw =
        |message: Vec<u8>| Message::Bundle(BundleMessage::Add { bundle_id: 7, flags: 3, message });
    assert_eq!(refused(&mut peer, &add_raw(vec![5, 14, 0])), BundleMsgBadLen);
    assert_eq!(refused(&mut peer, &add_raw(vec![5, 20, 0, 8, 0, 0, 0, 99])), BundleMsgBadXid);
    assert_eq!(refused(&mut peer, &add_raw(vec![4, 20, 0, 8, 0, 0, 0, 0])), BundleBadVersion);
    let mut barrier = vec![5, 20, 0, 8];
    barrier.extend((peer.xid + 1).to_be_bytes());
    assert_eq!(refused(&mut peer, &add_raw(barrier)), BundleMsgUnsup);
    // It is open by now: once more is an error, and ends it.
    assert_eq!(refused(&mut peer, &control(bundle_control::OPEN, 3)), BundleExist);
    assert_eq!(refused(&mut peer, &control(bundle_control::CLOSE, 3)), BundleBadId);
    stage.say(&mut peer, &control(bundle_control::OPEN, 3));
    assert_eq!(stage.refused(&mut peer, &control(bundle_control::CLOSE, 1)), BundleBadFlags);
    stage.say(&mut peer, &control(bundle_control::OPEN, 3));
    stage.say(&mut peer, &control(bundle_control::CLOSE, 3));
    let heard = add(&mut stage, &mut peer, &rule(1));
    assert!(matches!(heard.as_slice(), [(_, Message::Error(e))] if e.kind == BundleClosed));
}

/// How much of bundles is kept depends on the machine: where there is much memory for rules, more.
#[test]
fn a_bundle_may_be_half_of_what_rules_may_still_take() {
    for (for_rules, fits) in [(usize::MAX, false), (1 << 20, true), (4 << 10, false), (0, false)] {
        let config = AgentConfig { max_bundled_bytes: 1024, ..AgentConfig::default() };
        let mut stage = Stage::new(config);
        stage.bridge.set_room(ofproto::Room { for_flows: 1 << 20, for_rules });
        let mut peer = stage.peer(1, Version::V14);
        stage.say(&mut peer, &control(bundle_control::OPEN, 3));
        let all: Vec<_> = (0..100).flat_map(|k| add(&mut stage, &mut peer, &rule(k))).collect();
        let is_full = |(_, message): &(u32, Message)| matches!(message, Message::Error(why) if why.kind == OfErrorKind::BundleMsgTooMany);
        assert_eq!(all.is_empty(), fits, "{for_rules}: {all:?}");
        assert!(all.iter().all(is_full), "{for_rules}: {all:?}");
    }
}

#[test]
fn a_bundle_that_nobody_goes_on_with_is_given_up() {
    let mut stage =
        Stage::new(AgentConfig { inactivity_probe: Nanos::ZERO, ..AgentConfig::default() });
    let mut peer = stage.peer(1, Version::V14);
    stage.say(&mut peer, &control(bundle_control::OPEN, 3));
    let opened = peer.xid;
    stage.now = stage.now.saturating_add(Nanos::from_secs(11));
    stage.settle();
    let heard = stage.hear(&peer);
    let [(xid, Message::Error(error))] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((*xid, error.kind), (opened, OfErrorKind::BundleTimeout));
    assert_eq!(
        stage.refused(&mut peer, &control(bundle_control::COMMIT, 3)),
        OfErrorKind::BundleBadId
    );
}

fn watch(flags: MonitorFlags) -> Message {
    let request = FlowMonitorRequest {
        monitor_id: 1,
        command: MonitorCommand::Add,
        flags,
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        table_id: TABLE_ALL,
        match_: Match::default(),
    };
    Message::MultipartRequest(MultipartRequest::FlowMonitor(vec![request]))
}

fn updates(heard: &[(u32, Message)]) -> Vec<FlowUpdate> {
    let mut all = Vec::new();
    for (_, message) in heard {
        match message {
            Message::MultipartReply(MultipartReply {
                body: MultipartBody::FlowMonitor(some),
                ..
            }) => {
                all.extend(some.iter().cloned());
            }
            Message::FlowMonitorPaused => all.push(FlowUpdate::Paused),
            Message::FlowMonitorResumed => all.push(FlowUpdate::Resumed),
            _ => {}
        }
    }
    all
}

const CHANGES: MonitorFlags =
    MonitorFlags::ADD.union(MonitorFlags::REMOVED).union(MonitorFlags::MODIFY);

#[test]
fn own_changes_are_told_by_their_number() {
    for version in Version::ALL {
        let mut stage = Stage::new(AgentConfig::default());
        let mut watcher = stage.peer(1, version);
        let mut other = stage.peer(2, version);
        stage.say(&mut watcher, &watch(CHANGES));
        let heard = stage.say(&mut watcher, &rule(1));
        assert_eq!(updates(&heard), [FlowUpdate::Abbrev { xid: watcher.xid }], "{version}");
        stage.say(&mut other, &rule(2));
        let heard = updates(&stage.hear(&watcher));
        assert!(
            matches!(heard.as_slice(), [FlowUpdate::Full { event: FlowEvent::Added, .. }]),
            "{version}: {heard:?}"
        );
        if version < Version::V14 {
            assert_eq!(stage.say(&mut watcher, &Message::FlowMonitorCancel(1)), []);
            stage.say(&mut other, &rule(3));
            assert_eq!(stage.hear(&watcher), [], "{version}");
        }
    }
}

#[test]
fn a_slow_reader_misses_nothing() {
    for version in [Version::V10, Version::V13, Version::V15] {
        let mut stage =
            Stage::new(AgentConfig { inactivity_probe: Nanos::ZERO, ..AgentConfig::default() });
        let mut watcher = stage.peer(1, version);
        let mut other = stage.peer(2, version);
        stage.say(&mut watcher, &watch(CHANGES | MonitorFlags::INITIAL));
        // It reads nothing of all this.
        for k in 0..3000 {
            stage.bridge.flow_mod(&only(rule(k)), version, stage.now).expect("a rule");
            if k % 100 == 0 {
                stage.settle();
            }
        }
        let mut none = output_rule(1, 2);
        none.command = FlowModCommand::Delete;
        none.new_cookie = None;
        none.match_.set(Field::Reg0, 0, 1);
        stage.say(&mut other, &Message::FlowMod(none.into()));
        let mut known = std::collections::BTreeSet::new();
        let (mut has_paused, mut has_resumed) = (false, false);
        for _ in 0..100 {
            for update in updates(&stage.hear(&watcher)) {
                match update {
                    FlowUpdate::Paused => has_paused = true,
                    FlowUpdate::Resumed => has_resumed = true,
                    FlowUpdate::Abbrev { .. } => panic!("nothing is its own"),
                    FlowUpdate::Full { event, match_, .. } => {
                        let key = match_.get(Field::Reg0).0;
                        match event {
                            FlowEvent::Removed(_) => drop(known.remove(&key)),
                            _ => drop(known.insert(key)),
                        }
                    }
                }
            }
            stage.settle();
        }
        assert!(has_paused && has_resumed, "{version}");
        let expected: std::collections::BTreeSet<u128> = (0..3000).filter(|k| k % 2 == 1).collect();
        // Whatever else there is besides is the rule that the fail mode put there.
        known.remove(&0);
        assert_eq!(known, expected, "{version}");
    }
}

/// The rules of a bundle come up in slices, and are older than the instant at which they are seen: a pause that
/// begins between them loses none.
#[test]
fn a_slow_reader_misses_nothing_of_a_bundle() {
    const N: u128 = 6000;
    for version in [Version::V10, Version::V13, Version::V15] {
        let mut stage =
            Stage::new(AgentConfig { inactivity_probe: Nanos::ZERO, ..AgentConfig::default() });
        let mut watcher = stage.peer(1, version);
        stage.say(&mut watcher, &watch(CHANGES));
        let mut bundle = ofproto::Bundle::new(Dialect::plain(Version::V14));
        for k in 0..N {
            let mut flow_mod = output_rule(1, 2);
            flow_mod.match_.set_exact(Field::Reg0, k);
            let mut bytes = Vec::new();
            let message = Message::FlowMod(flow_mod.into());
            message.encode(Version::V14, 1, &mut bytes).expect("short");
            bundle.add(&bytes).expect("room");
        }
        let Stage { bridge, dpif, now, .. } = &mut stage;
        bridge.commit_bundle(bundle, dpif, *now);
        // It reads nothing of all this.
        (0..10).for_each(|_| stage.settle());
        let mut known = std::collections::BTreeSet::new();
        let mut n_told = 0;
        for _ in 0..100 {
            for update in updates(&stage.hear(&watcher)) {
                if let FlowUpdate::Full { event: FlowEvent::Added, match_, .. } = update {
                    known.insert(match_.get(Field::Reg0).0);
                    n_told += 1;
                }
            }
            stage.settle();
        }
        assert!(known.into_iter().eq(0..N), "{version}: {n_told} told");
    }
}

fn only(message: Message) -> FlowMod {
    match message {
        Message::FlowMod(flow_mod) => *flow_mod,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_primary_that_loses_its_role_is_told_if_it_asked_for_that() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut first = stage.peer(1, Version::V14);
    let mut second = stage.peer(2, Version::V14);
    let property = AsyncProperty { kind: 7, mask: 1 };
    stage.say(&mut first, &Message::SetAsyncProperties(vec![property]));
    let primary = |generation| {
        Message::RoleRequest(Role {
            role: ControllerRole::Primary,
            generation_id: Some(generation),
            origin: Origin::Standard,
        })
    };
    stage.say(&mut first, &primary(1));
    stage.say(&mut second, &primary(2));
    let status = RoleStatus {
        role: ControllerRole::Secondary,
        reason: RoleReason::PrimaryRequest,
        generation_id: Some(2),
    };
    assert_eq!(stage.hear(&first), [(0, Message::RoleStatus(status))]);
}

#[test]
fn a_table_of_1_1_does_on_a_miss_what_it_was_told() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut peer = stage.peer(1, Version::V11);
    let none = FlowMod { command: FlowModCommand::Delete, ..FlowMod::default() };
    stage.say(&mut peer, &Message::FlowMod(none.into()));
    let mut second = output_rule(1, 2);
    second.table_id = 1;
    stage.say(&mut peer, &Message::FlowMod(second.into()));
    let table_mod = |config: TableConfig| {
        Message::TableMod(TableMod { table_id: 0, config, ..TableMod::default() })
    };
    let mut after = |config: TableConfig| {
        assert_eq!(stage.say(&mut peer, &table_mod(config)), []);
        stage.dpif.receive(PortNo(1), &[0x5a; 60]);
        stage.settle();
        let is_told = !stage.hear(&peer).is_empty();
        let sent = stage.dpif.take_transmitted();
        (is_told, sent.len())
    };
    assert_eq!(after(TableConfig::MISS_DROP), (false, 0));
    assert_eq!(after(TableConfig::MISS_CONTINUE), (false, 1));
    assert_eq!(after(TableConfig::empty()), (true, 0));
    let bits = TableConfig::MISS_DROP | TableConfig::MISS_CONTINUE;
    assert_eq!(stage.refused(&mut peer, &table_mod(bits)), OfErrorKind::TableModBadConfig);
}

#[test]
fn group_features_name_the_actions_of_the_version() {
    // By the numbers of each version: all but enqueue; all; then what later versions took away.
    let expected = [
        (Version::V10, 0x0000_07ff),
        (Version::V11, 0x01ff_ffff),
        (Version::V12, 0x03ff_9801),
        (Version::V13, 0x0fff_9801),
        (Version::V14, 0x0fff_9801),
        (Version::V15, 0x3fff_9801),
    ];
    for (version, actions) in expected {
        let mut stage = Stage::new(AgentConfig::default());
        let mut peer = stage.peer(1, version);
        let request = Message::MultipartRequest(MultipartRequest::GroupFeatures);
        let heard = stage.say(&mut peer, &request);
        let [(_, Message::MultipartReply(reply))] = heard.as_slice() else { panic!("{heard:?}") };
        let MultipartBody::GroupFeatures(features) = &reply.body else { panic!("{reply:?}") };
        assert_eq!(features.actions, [actions; 4], "{version}");
    }
}

#[test]
fn a_crossed_threshold_is_told_to_who_speaks_1_5_and_wants_it_in_its_role() {
    let mut stage = Stage::new(AgentConfig::default());
    let mut first = stage.peer(1, Version::V15);
    let mut deaf = stage.peer(2, Version::V15);
    let older = stage.peer(3, Version::V14);
    let mut second = stage.peer(4, Version::V15);
    // The property of a primary for statistics (1.5.1 §7.3.10), which 1.4 does not have.
    let property = |mask| Message::SetAsyncProperties(vec![AsyncProperty { kind: 13, mask }]);
    assert_eq!(stage.say(&mut deaf, &property(0)), []);
    let secondary =
        Role { role: ControllerRole::Secondary, generation_id: Some(1), origin: Origin::Standard };
    assert_eq!(stage.say(&mut second, &Message::RoleRequest(secondary)).len(), 1);
    let mut rule = output_rule(1, 2);
    let packet_count = Some(2);
    rule.instructions.stat_trigger =
        Some(Box::new(StatTrigger { packet_count, ..StatTrigger::default() }));
    assert_eq!(stage.say(&mut first, &Message::FlowMod(rule.clone().into())), []);
    for _ in 0..3 {
        stage.dpif.receive(PortNo(1), &[0x5a; 60]);
        stage.settle();
    }
    // Statistics are read each half second.
    for _ in 0..20 {
        stage.settle();
    }
    let heard = stage.hear(&first);
    let [(0, Message::MultipartReply(MultipartReply { more: false, body }))] = &heard[..] else {
        panic!("{heard:?}")
    };
    let MultipartBody::FlowCounters(told) = body else { panic!("{body:?}") };
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].reason, told[0].packet_count), (FlowStatsReason::Trigger, 3));
    assert_eq!(told[0].match_, rule.match_);
    for other in [&deaf, &older, &second] {
        assert_eq!(stage.hear(other), []);
    }
}

#[test]
fn counts_are_exact_also_where_many_flows_are_cached() {
    const N: u16 = 1500;
    let mut stage = Stage::new(AgentConfig::default());
    let mut peer = stage.peer(1, Version::V13);
    let none = FlowMod { command: FlowModCommand::Delete, ..FlowMod::default() };
    stage.say(&mut peer, &Message::FlowMod(none.into()));
    let to = |k: u16| {
        let [a, b] = k.to_be_bytes();
        [2, 0, 0, 0, a, b]
    };
    for k in 0..N {
        let mut rule = output_rule(1, 2);
        rule.match_.set_exact(Field::EthDst, 0x0200_0000_0000 | u128::from(k));
        let mut bytes = Vec::new();
        peer.dialect.encode(&Message::FlowMod(rule.into()), 1, &mut bytes).expect("short");
        assert_eq!(stage.agent.received(peer.conn, &bytes, stage.now), bytes.len());
        stage.agent.poll(stage.now, &mut stage.bridge, &mut stage.dpif);
    }
    stage.settle();
    for _ in 0..2 {
        for k in 0..N {
            let mut frame = [0x5a; 60];
            frame[..6].copy_from_slice(&to(k));
            stage.dpif.receive(PortNo(1), &frame);
            while let Some(upcall) = stage.dpif.next_upcall() {
                stage.bridge.handle_upcall(upcall, &mut stage.dpif, stage.now);
            }
        }
    }
    assert!(stage.bridge.has_many_cached(), "{}", stage.bridge.ukeys().len());
    let Message::MultipartRequest(MultipartRequest::Flow(filter)) = all_flows() else { panic!() };
    let request = Message::MultipartRequest(MultipartRequest::Aggregate(filter));
    let heard = stage.say(&mut peer, &request);
    let [(_, Message::MultipartReply(reply))] = heard.as_slice() else { panic!("{heard:?}") };
    let MultipartBody::Aggregate(_, sum) = &reply.body else { panic!("{reply:?}") };
    assert_eq!((sum.flow_count, sum.packet_count), (N.into(), 2 * u64::from(N)));
}
