//! Groups and meters in bundles, beside the rules that use them.

use crate::lab::*;
use flow::text::NoNames;
use ofproto::{BridgeEvent, Bundle, BundleOutcome};
use openflow::text::{parse_group, parse_meter};
use openflow::{
    Action, Dialect, FlowMod, FlowModFlags, FlowRemovedReason, GROUP_ALL, GroupModCommand,
    Instructions, METER_ALL, Message, MeterMod, MeterModCommand, OfErrorKind, Version,
};

fn rule(match_: &str, does: Instructions) -> Message {
    let flags = FlowModFlags::SEND_FLOW_REM;
    Message::FlowMod(Box::new(FlowMod { instructions: does, flags, ..add(5, match_) }))
}

fn to_group(match_: &str, group: u32) -> Message {
    rule(match_, Instructions::apply(vec![Action::Group(group)]))
}

fn metered(match_: &str, meter: u32, port: u32) -> Message {
    let does = Instructions { meter: Some(meter), ..Instructions::apply(vec![output(port)]) };
    rule(match_, does)
}

fn group(command: GroupModCommand, text: &str) -> Message {
    Message::GroupMod(parse_group(text, command, &NoNames).expect(text))
}

fn meter(command: MeterModCommand, text: &str) -> Message {
    Message::MeterMod(MeterMod { command, config: parse_meter(text).expect(text) })
}

fn commit(lab: &mut Lab, messages: &[Message]) -> BundleOutcome {
    let mut bundle = Bundle::new(Dialect::plain(Version::V15));
    for message in messages {
        let mut bytes = Vec::new();
        message.encode(Version::V15, 1, &mut bytes).unwrap();
        bundle.add(&bytes).unwrap();
    }
    let id = lab.commit(bundle);
    loop {
        lab.bridge.run(&mut lab.dpif, lab.now);
        if let Some((ended, outcome)) = lab.bridge.take_bundle_outcome() {
            assert_eq!(ended, id);
            lab.settle();
            return outcome;
        }
    }
}

#[track_caller]
fn done(lab: &mut Lab, messages: &[Message]) -> Vec<Message> {
    match commit(lab, messages) {
        BundleOutcome::Done { forwards, .. } => forwards,
        BundleOutcome::Refused { error, message } => panic!("{error}: {message:?}"),
    }
}

#[track_caller]
fn refused(lab: &mut Lab, messages: &[Message]) -> OfErrorKind {
    let before = everything_seen(lab);
    let BundleOutcome::Refused { error, .. } = commit(lab, messages) else { panic!("accepted") };
    assert_eq!(everything_seen(lab), before, "no trace is left");
    error
}

fn everything_seen(lab: &mut Lab) -> Vec<String> {
    let now = lab.now;
    let mut lines: Vec<String> =
        lab.rules().iter().map(|rule| rule.flow_stats(now).to_string()).collect();
    lines.push(format!("{:?}", lab.bridge.group_stats(GROUP_ALL, now)));
    lines.push(format!("{:?}", lab.bridge.group_descs(GROUP_ALL)));
    lines.push(format!("{:?}", lab.bridge.meter_stats(METER_ALL, &lab.dpif, now)));
    lines.push(format!("{:?}", lab.bridge.meter_configs(METER_ALL)));
    lines
}

use GroupModCommand as G;
use MeterModCommand as M;

#[test]
fn a_rule_may_use_what_came_before_it_in_the_bundle() {
    let mut lab = Lab::secure(4);
    let forwards = done(
        &mut lab,
        &[
            group(G::Add, "group_id=1,type=all,bucket=actions=output:2,bucket=actions=output:3"),
            meter(M::Add, "meter=7,pktps,bands=type=drop,rate=1000000"),
            to_group("in_port=1", 1),
            metered("in_port=2", 7, 4),
        ],
    );
    assert_eq!(forwards.len(), 2, "other controllers hear of the group and the meter");
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3]);
    assert_eq!(lab.ports(2, &ether(1, 2)), [4]);
    let stats = lab.bridge.meter_stats(7, &lab.dpif, lab.now).unwrap();
    assert_eq!((stats[0].packet_in_count, stats[0].flow_count), (1, 1));
}

#[test]
fn buckets_come_and_go_in_bundles() {
    let mut lab = Lab::secure(4);
    done(
        &mut lab,
        &[
            group(G::Add, "group_id=1,type=all,bucket=bucket_id:1,actions=output:2"),
            group(
                G::InsertBucket,
                "group_id=1,command_bucket_id=last,bucket=bucket_id:2,actions=output:3",
            ),
            to_group("in_port=1", 1),
        ],
    );
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3]);
    done(&mut lab, &[group(G::RemoveBucket, "group_id=1,command_bucket_id=first")]);
    assert_eq!(lab.ports(1, &ether(1, 2)), [3]);
}

#[test]
fn what_a_bundle_changes_twice_is_as_the_last_request_says() {
    let mut lab = Lab::secure(4);
    done(&mut lab, &[group(G::Add, "group_id=1,type=indirect,bucket=actions=output:2")]);
    done(
        &mut lab,
        &[
            to_group("in_port=1", 1),
            group(G::Delete, "group_id=1"),
            group(G::Add, "group_id=1,type=indirect,bucket=actions=output:3"),
            to_group("in_port=2", 1),
            meter(M::Add, "meter=1,kbps,bands=type=drop,rate=5"),
            meter(M::Delete, "meter=1"),
            meter(M::Add, "meter=1,pktps,bands=type=drop,rate=6"),
        ],
    );
    assert_eq!(lab.ports(1, &ether(1, 2)), [], "its rule went with the first group");
    assert_eq!(lab.ports(2, &ether(1, 2)), [3]);
    assert_eq!(lab.bridge.meter_configs(1).unwrap()[0].bands[0].rate, 6);
}

#[test]
fn rules_go_with_their_group_and_their_meter() {
    let mut lab = Lab::secure(4);
    let setup = [
        group(G::Add, "group_id=1,type=indirect,bucket=actions=output:2"),
        meter(M::Add, "meter=1,kbps,bands=type=drop,rate=1000"),
        to_group("in_port=1", 1),
        metered("in_port=2", 1, 3),
    ];
    done(&mut lab, &setup);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    lab.events();
    done(&mut lab, &[group(G::Delete, "group_id=1"), meter(M::Delete, "meter=1")]);
    assert_eq!((lab.ports(1, &ether(1, 2)), lab.ports(2, &ether(1, 2))), (vec![], vec![]));
    let mut reasons: Vec<FlowRemovedReason> = Vec::new();
    for event in lab.events() {
        if let BridgeEvent::FlowRemoved(removed) = event {
            reasons.push(removed.reason);
        }
    }
    assert_eq!(reasons, [FlowRemovedReason::GroupDelete, FlowRemovedReason::MeterDelete]);
    assert!(lab.bridge.group_descs(GROUP_ALL).is_empty());
    assert!(lab.bridge.meter_configs(METER_ALL).unwrap().is_empty());
}

#[test]
fn a_refused_bundle_leaves_no_group_and_no_meter() {
    let mut lab = Lab::secure(4);
    done(
        &mut lab,
        &[
            group(G::Add, "group_id=1,type=indirect,bucket=actions=output:2"),
            meter(M::Add, "meter=1,kbps,bands=type=drop,rate=1000"),
            to_group("in_port=1", 1),
            metered("in_port=2", 1, 3),
        ],
    );
    assert_eq!((lab.ports(1, &ether(1, 2)), lab.ports(2, &ether(1, 2))), (vec![2], vec![3]));
    let good = [
        group(G::Modify, "group_id=1,type=all,bucket=actions=output:3,bucket=actions=output:4"),
        group(G::Add, "group_id=2,type=indirect,bucket=actions=group:1"),
        meter(M::Modify, "meter=1,pktps,bands=type=drop,rate=1"),
        meter(M::Add, "meter=2,pktps,bands=type=drop,rate=1"),
        to_group("in_port=3", 2),
        group(G::Delete, "group_id=1"),
        meter(M::Delete, "meter=1"),
        meter(M::Add, "meter=1,pktps,bands=type=drop,rate=9"),
    ];
    let bad = [
        (group(G::Add, "group_id=2,type=all"), OfErrorKind::GroupModExists),
        (group(G::Modify, "group_id=9,type=all"), OfErrorKind::GroupModUnknownGroup),
        (to_group("in_port=4", 1), OfErrorKind::ActionBadOutGroup),
        (metered("in_port=4", 5, 1), OfErrorKind::MeterModInvalidMeter),
        (meter(M::Add, "meter=2,kbps,bands=type=drop,rate=1"), OfErrorKind::MeterModExists),
        (
            meter(M::Modify, "meter=8,kbps,bands=type=drop,rate=1"),
            OfErrorKind::MeterModUnknownMeter,
        ),
        (meter(M::Add, "meter=3,kbps,bands=type=drop,rate=0"), OfErrorKind::MeterModBadRate),
    ];
    for (message, error) in bad {
        let mut messages = good.to_vec();
        messages.push(message);
        messages.push(meter(M::Add, "meter=77,pktps,bands=type=drop,rate=1"));
        assert_eq!(refused(&mut lab, &messages), error);
    }
    assert_eq!((lab.ports(1, &ether(1, 2)), lab.ports(2, &ether(1, 2))), (vec![2], vec![3]));
    lab.settle();
    lab.bridge.run(&mut lab.dpif, lab.now);
    let n_left = (0..64).filter(|dp| datapath::Dpif::meter_stats(&lab.dpif, *dp).is_some()).count();
    assert_eq!(n_left, 1, "no meter of the datapath is left behind");
}
