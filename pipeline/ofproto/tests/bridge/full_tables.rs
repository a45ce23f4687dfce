//! Tables that are full: refusal, eviction, and news of how much is free.

use crate::lab::*;
use ofproto::{BridgeEvent, TableSettings};
use openflow::{
    FlowMod, FlowModCommand, FlowModFlags, FlowRemovedReason, OfErrorKind, Subfield, TableConfig,
    TableMod, TableReason, Vacancy, Version,
};
use sync::time::Nanos;

/// Rules of table 0 by their cookies.
fn cookies(lab: &mut Lab) -> Vec<u64> {
    let mut cookies: Vec<u64> = lab.rules().iter().map(|rule| rule.cookie).collect();
    cookies.sort_unstable();
    cookies
}

/// A rule of its own match, known by its cookie.
fn numbered(cookie: u64) -> FlowMod {
    let flags = FlowModFlags::SEND_FLOW_REM;
    FlowMod { new_cookie: Some(cookie), flags, ..add(1, &format!("reg0={cookie}")) }
}

fn settings(flow_limit: u32, evicts: bool) -> TableSettings {
    TableSettings { flow_limit: Some(flow_limit), evicts, ..TableSettings::default() }
}

fn evicted(lab: &mut Lab) -> Vec<u64> {
    lab.settle();
    let mut cookies = Vec::new();
    for event in lab.events() {
        if let BridgeEvent::FlowRemoved(removed) = event {
            assert_eq!(removed.reason, FlowRemovedReason::Eviction);
            cookies.push(removed.cookie);
        }
    }
    cookies
}

#[test]
fn a_full_table_refuses_and_replaces() {
    let mut lab = Lab::secure(2);
    lab.bridge.configure_table(0, settings(2, false), lab.now);
    lab.flow_mod(&numbered(1)).unwrap();
    lab.flow_mod(&numbered(2)).unwrap();
    assert_eq!(lab.flow_mod(&numbered(3)), Err(OfErrorKind::FlowModTableFull));
    let again = FlowMod { new_cookie: Some(9), ..add(1, "reg0=2") };
    lab.flow_mod(&again).unwrap();
    assert_eq!(cookies(&mut lab), [1, 9], "what takes a place needs none");
    lab.flow_mod(&FlowMod { table_id: 1, ..numbered(3) }).unwrap();
}

#[test]
fn what_ends_first_makes_room_and_what_never_ends_stays() {
    let mut lab = Lab::secure(2);
    lab.bridge.configure_table(0, settings(4, true), lab.now);
    for (cookie, hard_timeout, importance) in [(1, 0, 0), (2, 30, 0), (3, 20, 0), (4, 10, 7)] {
        lab.flow_mod(&FlowMod { hard_timeout, importance, ..numbered(cookie) }).unwrap();
    }
    let mut order = Vec::new();
    for cookie in 5..8 {
        lab.flow_mod(&numbered(cookie)).unwrap();
        order.extend(evicted(&mut lab));
    }
    assert_eq!(order, [3, 2, 4], "the least important first, then the shortest life");
    assert_eq!(lab.flow_mod(&numbered(8)), Err(OfErrorKind::FlowModTableFull));
    assert_eq!(cookies(&mut lab), [1, 5, 6, 7]);
}

#[test]
fn use_pushes_the_end_of_a_rule_back() {
    let mut lab = Lab::secure(2);
    lab.bridge.configure_table(0, settings(2, true), lab.now);
    let used = FlowMod { idle_timeout: 100, ..add(1, "in_port=1") };
    lab.flow_mod(&FlowMod { new_cookie: Some(1), ..used }).unwrap();
    lab.flow_mod(&FlowMod { idle_timeout: 105, ..numbered(2) }).unwrap();
    for _ in 0..20 {
        lab.send(1, &ether(1, 2));
        lab.advance(Nanos::from_secs(1));
    }
    lab.flow_mod(&FlowMod { idle_timeout: 100, ..numbered(3) }).unwrap();
    assert_eq!(evicted(&mut lab), [2]);
}

#[test]
fn the_largest_group_makes_room() {
    let mut lab = Lab::secure(4);
    let by_port = TableSettings {
        eviction_fields: vec![Subfield::whole(flow::Field::InPort)],
        ..settings(4, true)
    };
    lab.bridge.configure_table(0, by_port, lab.now);
    for (cookie, port) in [(1, 1), (2, 2), (3, 2), (4, 2)] {
        let match_ = format!("in_port={port},reg0={cookie}");
        let timed = FlowMod { hard_timeout: u16::try_from(cookie).unwrap(), ..add(1, &match_) };
        let flags = FlowModFlags::SEND_FLOW_REM;
        lab.flow_mod(&FlowMod { new_cookie: Some(cookie), flags, ..timed }).unwrap();
    }
    lab.flow_mod(&numbered(5)).unwrap();
    assert_eq!(evicted(&mut lab), [2], "not 1, which ends earlier and is alone");
}

#[test]
fn a_lower_limit_evicts_at_once() {
    let mut lab = Lab::secure(2);
    for cookie in 1..=5 {
        let hard_timeout = u16::try_from(10 * cookie).unwrap();
        lab.flow_mod(&FlowMod { hard_timeout, ..numbered(cookie) }).unwrap();
    }
    lab.bridge.configure_table(0, settings(2, true), lab.now);
    assert_eq!(evicted(&mut lab), [1, 2, 3]);
    assert_eq!(cookies(&mut lab), [4, 5]);
}

#[test]
fn a_refused_bundle_puts_evicted_rules_back() {
    let mut lab = Lab::secure(2);
    lab.bridge.configure_table(0, settings(2, true), lab.now);
    for cookie in [1, 2] {
        lab.flow_mod(&FlowMod { hard_timeout: 50, ..numbered(cookie) }).unwrap();
    }
    let mut bundle = ofproto::Bundle::new(openflow::Dialect::plain(Version::V14));
    for cookie in 3..=5 {
        let mut bytes = Vec::new();
        let message =
            openflow::Message::FlowMod(Box::new(FlowMod { table_id: 0, ..numbered(cookie) }));
        message.encode(Version::V14, 1, &mut bytes).unwrap();
        bundle.add(&bytes).unwrap();
    }
    lab.commit(bundle);
    lab.settle();
    let outcome = lab.bridge.take_bundle_outcome().unwrap().1;
    let error = OfErrorKind::FlowModTableFull;
    assert!(matches!(outcome, ofproto::BundleOutcome::Refused { error: e, .. } if e == error));
    assert_eq!(cookies(&mut lab), [1, 2]);
    assert_eq!(evicted(&mut lab), []);
    // They can be evicted as before.
    lab.flow_mod(&numbered(6)).unwrap();
    assert_eq!(evicted(&mut lab), [1]);
}

#[test]
fn vacancy_is_told_once_each_way() {
    let mut lab = Lab::secure(2);
    lab.bridge.configure_table(0, settings(10, false), lab.now);
    let watch = TableMod {
        table_id: 0,
        config: TableConfig::VACANCY_EVENTS | TableConfig::EVICTION,
        eviction: None,
        vacancy: Some(Vacancy { down: 30, up: 60, current: 0 }),
    };
    lab.bridge.table_mod(&watch, Version::V14, lab.now).unwrap();
    let desc = lab.bridge.table_descs()[0];
    assert_eq!(desc.config, watch.config);
    assert_eq!(desc.vacancy, Some(Vacancy { down: 30, up: 60, current: 100 }));
    let told = |lab: &mut Lab| {
        let mut told = Vec::new();
        for event in lab.events() {
            if let BridgeEvent::TableStatus(status) = event {
                told.push((status.reason, status.table.vacancy.unwrap().current));
            }
        }
        told
    };
    (1..=7).for_each(|cookie| lab.flow_mod(&numbered(cookie)).unwrap());
    assert_eq!(told(&mut lab), [], "30 % are free, which is not less than 30 %");
    (8..=10).for_each(|cookie| lab.flow_mod(&numbered(cookie)).unwrap());
    assert_eq!(told(&mut lab), [(TableReason::VacancyDown, 20)]);
    let delete = |n: u64| change(FlowModCommand::Delete, &format!("reg0={n}"));
    (5..=10).for_each(|cookie| lab.flow_mod(&delete(cookie)).unwrap());
    assert_eq!(told(&mut lab), []);
    lab.flow_mod(&delete(4)).unwrap();
    assert_eq!(told(&mut lab), [(TableReason::VacancyUp, 70)]);
    let off = TableMod { table_id: 0, ..TableMod::default() };
    lab.bridge.table_mod(&off, Version::V14, lab.now).unwrap();
    (11..=17).for_each(|cookie| lab.flow_mod(&numbered(cookie)).unwrap());
    assert_eq!(told(&mut lab), []);
}
