//! Whatever is too much, and changes of tables, which need what the switch says of them.

use crate::cases::{group, meter, output};
use crate::common::{Peer, Stage};
use crate::{stage, state};
use flow::Match;
use openflow::OfErrorKind as E;
use openflow::*;
use std::collections::BTreeSet;

/// Changes of what tables are called are requests that look like the reply.
pub(crate) fn table_features(
    stage: &mut Stage,
    version: Version,
    seen: &mut BTreeSet<&'static str>,
) {
    if version < Version::V13 {
        return;
    }
    let mut peer = stage.peer(7, version);
    let ask =
        |tables| Message::MultipartRequest(MultipartRequest::TableFeatures { tables, more: false });
    let heard = stage.say(&mut peer, &ask(Vec::new()));
    let one = heard.iter().find_map(|(_, message)| match message {
        Message::MultipartReply(MultipartReply {
            body: MultipartBody::TableFeatures(all), ..
        }) => all.first().cloned(),
        _ => None,
    });
    let one = one.expect("a table");
    let no_table = TableFeatures { table_id: 100, ..one.clone() };
    let more = TableFeatures { max_entries: u32::MAX, ..one.clone() };
    let mut wrong = vec![
        (vec![no_table], E::TableFeaturesBadTable),
        (vec![more], E::TableFeaturesEperm),
        (vec![one.clone(), one.clone()], E::NxTableFeaturesDupTable),
    ];
    if version == Version::V15 {
        wrong.push((vec![TableFeatures { command: 9, ..one }], E::TableFeaturesBadCommand));
    }
    for (tables, kind) in wrong {
        let before = state(stage);
        assert_eq!(stage.refused(&mut peer, &ask(tables)), kind, "{version}");
        assert_eq!(state(stage), before, "{version} {kind}");
        seen.insert(kind.name());
    }
}

/// Whatever is too much is refused by the error for that, and what was there stays.
#[test]
fn limits_have_errors_of_their_own() {
    let version = Version::V15;
    let (mut stage, mut peer) = stage(version);
    let refused = |stage: &mut Stage, peer: &mut Peer, message: &Message, kind: E| {
        let before = state(stage);
        assert_eq!(stage.refused(peer, message), kind);
        assert_eq!(state(stage), before, "{kind}");
    };
    for bundle_id in 0..16 {
        let open = BundleMessage::Control { bundle_id, kind: bundle_control::OPEN, flags: 3 };
        assert_eq!(stage.say(&mut peer, &Message::Bundle(open)).len(), 1);
    }
    let open = BundleMessage::Control { bundle_id: 16, kind: bundle_control::OPEN, flags: 3 };
    refused(&mut stage, &mut peer, &Message::Bundle(open), E::BundleOutOfBundles);

    let monitor = |monitor_id| FlowMonitorRequest {
        monitor_id,
        command: MonitorCommand::Add,
        flags: MonitorFlags::ADD,
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        table_id: TABLE_ALL,
        match_: Match::default(),
    };
    let monitors = MultipartRequest::FlowMonitor((10..80).map(monitor).collect());
    refused(&mut stage, &mut peer, &Message::MultipartRequest(monitors), E::MonitorUnknown);

    // A chain of groups that is too long, each of which leads to the one before.
    let mut chain_ends = None;
    for id in 100..1300 {
        let lead = vec![Bucket::new(0, vec![Action::Group(id - 1)])];
        let first = vec![Bucket::new(0, output(1))];
        let one = group(GroupModCommand::Add, id, if id == 100 { first } else { lead });
        if let Err(kind) = stage.bridge.group_mod(&one, version, stage.now) {
            chain_ends = Some((one, kind));
            break;
        }
    }
    let (one, kind) = chain_ends.expect("an end");
    assert_eq!(kind, E::GroupModChainingUnsupported);
    refused(&mut stage, &mut peer, &Message::GroupMod(one), E::GroupModChainingUnsupported);

    let buckets =
        |from: u32, n: u32| (from..from + n).map(|id| Bucket::new(id, output(1))).collect();
    let wide = group(GroupModCommand::Add, 50, buckets(0, 2000));
    assert_eq!(stage.say(&mut peer, &Message::GroupMod(wide)), []);
    let wider = |from| GroupMod {
        command_bucket_id: BUCKET_LAST,
        ..group(GroupModCommand::InsertBucket, 50, buckets(from, 2000))
    };
    assert_eq!(stage.say(&mut peer, &Message::GroupMod(wider(2000))), []);
    refused(&mut stage, &mut peer, &Message::GroupMod(wider(4000)), E::GroupModOutOfBuckets);

    for meter_id in 2..=datapath::MAX_METERS {
        let one = meter(MeterModCommand::Add, meter_id, MeterFlags::KBPS, 1, 5);
        stage.bridge.meter_mod(&one, &mut stage.dpif, stage.now).expect("room");
    }
    let one_more = meter(MeterModCommand::Add, datapath::MAX_METERS + 1, MeterFlags::KBPS, 1, 5);
    assert_eq!(stage.refused(&mut peer, &Message::MeterMod(one_more)), E::MeterModOutOfMeters);

    stage.bridge.set_room(ofproto::Room { for_flows: 1 << 20, for_rules: 0 });
    let no_room = group(GroupModCommand::Add, 51, buckets(0, 1));
    assert_eq!(stage.refused(&mut peer, &Message::GroupMod(no_room)), E::GroupModOutOfGroups);
    let rule = FlowMod { priority: 9, ..FlowMod::default() };
    assert_eq!(stage.refused(&mut peer, &Message::FlowMod(rule.into())), E::FlowModTableFull);
}
