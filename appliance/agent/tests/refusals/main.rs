//! Each error of the specifications, in each version that has a number for it, from a request that is wrong in
//! that way: the type and code of that version, the request quoted, nothing changed; and the same in a bundle.
//!
//! Every error that a version knows is provoked here, or stands in [`never::ELSEWHERE`] with the test that does, or in
//! [`never::NEVER`] with the reason why no request can be answered by it.

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod limits;
mod never;
mod objects;

use agent::AgentConfig;
use cases::{cases, encoded, group, ip, meter, output, role};
use common::{Peer, Stage};
use flow::{Field, Match};
use limits::table_features;
use never::{ELSEWHERE, NEVER, NEVER_IN};
use ofproto::BridgeConfig;
use openflow::OfErrorKind as E;
use openflow::*;
use std::collections::BTreeSet;

/// A switch with something of everything, and a peer.
fn stage(v: Version) -> (Stage, Peer) {
    let config = BridgeConfig {
        n_tables: 8,
        fail_mode: ofproto::FailMode::Secure,
        ..BridgeConfig::default()
    };
    let mut stage = Stage::of(AgentConfig::default(), config, 3);
    let Stage { bridge, dpif, now, .. } = &mut stage;
    bridge
        .tlv_table_mod(&TlvTableMod {
            command: TlvTableCommand::Add,
            mappings: vec![TlvMapping { class: 0xffff, kind: 1, len: 4, index: 0 }],
        })
        .expect("an option");
    bridge
        .group_mod(&group(GroupModCommand::Add, 1, vec![Bucket::new(0, output(2))]), v, *now)
        .expect("a group");
    let of_1 = meter(MeterModCommand::Add, 1, MeterFlags::KBPS, 1, 100);
    bridge.meter_mod(&of_1, dpif, *now).expect("a meter");
    let mut optional = Match::default();
    optional.set_exact(Field::TunMetadata0, 7);
    for (table_id, priority, match_) in [(0, 5, Match::default()), (6, 1, ip()), (1, 1, optional)] {
        let instructions = Instructions::apply(output(2));
        let flow_mod = FlowMod { table_id, priority, match_, instructions, ..FlowMod::default() };
        bridge.flow_mod(&flow_mod, Version::V13, *now).expect("a rule");
    }
    let full = ofproto::TableSettings { flow_limit: Some(1), ..Default::default() };
    bridge.configure_table(6, full, *now);
    let mut peer = stage.peer(1, v);
    if v >= Version::V12 {
        let mut other = stage.peer(3, v);
        stage.say(&mut other, &role(10));
    }
    let request = FlowMonitorRequest {
        monitor_id: 5,
        command: MonitorCommand::Add,
        flags: MonitorFlags::ADD | MonitorFlags::MODIFY | MonitorFlags::REMOVED,
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        table_id: TABLE_ALL,
        match_: Match::default(),
    };
    let watch = MultipartRequest::FlowMonitor(vec![request]);
    stage.say(&mut peer, &Message::MultipartRequest(watch));
    (stage, peer)
}

/// All that a request could have changed.
fn state(stage: &mut Stage) -> String {
    let bridge = &stage.bridge;
    let rules = bridge.known_flow_stats(&FlowStatsRequest {
        table_id: TABLE_ALL,
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        cookie: 0,
        cookie_mask: 0,
        match_: Match::default(),
        format: FlowFormat::Standard,
    });
    let rules: Vec<_> = rules
        .expect("all tables")
        .iter()
        .map(|rule| {
            (
                rule.table_id,
                rule.priority,
                rule.match_.expand(),
                rule.instructions.clone(),
                rule.cookie,
            )
        })
        .collect();
    let ports: Vec<_> = bridge.ports().map(|port| port.desc()).collect();
    let tables: Vec<_> = (0..8).map(|id| bridge.table_config(id)).collect();
    format!(
        "{rules:?}\n{:?}\n{:?}\n{ports:?}\n{tables:?}\n{:?}\n{:?}",
        bridge.group_descs(GROUP_ALL),
        bridge.meter_configs(METER_ALL),
        bridge.table_descs(),
        bridge.tlv_table(),
    )
}

/// What is heard of a kind: where two kinds have one number, the first.
fn as_heard(kind: E, version: Version) -> E {
    E::from_code(version, kind.code(version)).expect("a number")
}

#[test]
fn each_error_of_each_version() {
    let mut wrong = Vec::new();
    for version in Version::ALL {
        let mut seen = BTreeSet::new();
        let (mut stage, mut peer) = stage(version);
        let before = state(&mut stage);
        for (what, bytes, kind) in cases(version) {
            let heard = stage.send_bytes(&peer, &bytes);
            match heard.as_slice() {
                [(1, Message::Error(error))] if error.kind == as_heard(kind, version) => {
                    let quoted = bytes.get(..2048).unwrap_or(&bytes);
                    assert_eq!(error.data, quoted, "{version}: {what}: it quotes another");
                }
                other => wrong.push(format!("{version}: {what}: not {kind}: {other:?}")),
            }
            // What the version has no number for is said by one of Nicira's that says so.
            let is_known = kind.exists_in(version);
            seen.insert(if is_known { kind } else { E::NxRequestUnencodableError }.name());
            if state(&mut stage) != before {
                wrong.push(format!("{version}: {what}: it changed something"));
                (stage, peer) = self::stage(version);
            }
        }
        // What a secondary may not do.
        let mut secondary = stage.peer(2, version);
        let origin = if version >= Version::V12 { Origin::Standard } else { Origin::Nicira };
        let request = Role { role: ControllerRole::Secondary, generation_id: Some(10), origin };
        stage.say(&mut secondary, &Message::RoleRequest(request));
        let kind = stage.refused(&mut secondary, &Message::FlowMod(FlowMod::default().into()));
        assert_eq!(kind, as_heard(E::RequestIsSecondary, version), "{version}");
        seen.insert(E::RequestIsSecondary.name());
        table_features(&mut stage, version, &mut seen);

        for kind in E::ALL.iter().filter(|kind| kind.exists_in(version)) {
            let is_never = NEVER.iter().any(|(never, _)| never == kind);
            let of_version = |(never, versions, _): &&(E, &[Version], &str)| {
                never == kind && versions.contains(&version)
            };
            let is_known = ELSEWHERE.iter().any(|(known, _)| known == kind)
                || NEVER_IN.iter().any(|one| of_version(&one));
            match (seen.contains(kind.name()), is_never) {
                (true, true) => wrong.push(format!("{version}: {kind} can be provoked")),
                (false, false) if !is_known => wrong.push(format!("{version}: {kind} has no case")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Types of messages that bundles take: packet-outs, flow-mods, changes of groups, ports and meters.
const BUNDLED: [u8; 5] = [13, 14, 15, 16, 29];

#[test]
fn in_a_bundle() {
    for version in [Version::V13, Version::V14, Version::V15] {
        let (mut stage, peer) = stage(version);
        let before = state(&mut stage);
        let bundle = |message| encoded(version, &Message::Bundle(message));
        let control = |kind| bundle(BundleMessage::Control { bundle_id: 9, kind, flags: 3 });
        let add = |message| bundle(BundleMessage::Add { bundle_id: 9, flags: 3, message });
        let good = [
            encoded(
                version,
                &Message::FlowMod(FlowMod { priority: 77, ..FlowMod::default() }.into()),
            ),
            encoded(version, &Message::GroupMod(group(GroupModCommand::Add, 77, vec![]))),
            encoded(
                version,
                &Message::MeterMod(meter(MeterModCommand::Add, 77, MeterFlags::KBPS, 1, 5)),
            ),
        ];
        let mut n_late = 0;
        for (what, bad, kind) in cases(version) {
            if !BUNDLED.contains(&bad[1]) || bad[0] != version.wire() {
                continue;
            }
            stage.send_bytes(&peer, &control(bundle_control::OPEN));
            for message in &good {
                assert_eq!(stage.send_bytes(&peer, &add(message.clone())), [], "{version} {what}");
            }
            let heard = stage.send_bytes(&peer, &add(bad));
            let heard = match heard.is_empty() {
                // What is wrong is found as it is carried out.
                true => {
                    n_late += 1;
                    let heard = stage.send_bytes(&peer, &control(bundle_control::COMMIT));
                    let [first, (_, Message::Error(failed))] = heard.as_slice() else {
                        panic!("{version} {what}: {heard:?}")
                    };
                    assert_eq!(failed.kind, E::BundleMsgFailed, "{version} {what}");
                    vec![first.clone()]
                }
                false => {
                    stage.send_bytes(&peer, &control(bundle_control::DISCARD));
                    heard
                }
            };
            let [(1, Message::Error(error))] = heard.as_slice() else {
                panic!("{version} {what}: {heard:?}")
            };
            assert_eq!(error.kind, as_heard(kind, version), "{version} {what}");
            assert_eq!(state(&mut stage), before, "{version} {what}: the bundle left a trace");
        }
        assert!(n_late > 10, "{version}: only {n_late} found late");
    }
}
