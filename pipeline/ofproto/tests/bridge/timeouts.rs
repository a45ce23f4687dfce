//! Timeouts and flow-removed messages, with made-up time (OpenFlow 1.3.5 §5.5, §7.4.2).

use crate::lab::{Lab, add, change, ether, output};
use ofproto::{BridgeConfig, BridgeEvent, FailMode};
use openflow::{
    FlowMod, FlowModCommand, FlowModFlags, FlowRemoved, FlowRemovedReason, Instructions,
};
use sync::time::Nanos;

const S: fn(u64) -> Nanos = Nanos::from_secs;

fn mortal(idle_timeout: u16, hard_timeout: u16) -> FlowMod {
    FlowMod {
        idle_timeout,
        hard_timeout,
        flags: FlowModFlags::SEND_FLOW_REM,
        instructions: Instructions::apply(vec![output(2)]),
        new_cookie: Some(7),
        ..add(9, "")
    }
}

fn removed(lab: &mut Lab) -> Vec<FlowRemoved> {
    let events = lab.events().into_iter();
    events
        .map(|event| match event {
            BridgeEvent::FlowRemoved(removed) => removed,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn hard_timeouts_end_a_rule_in_use() {
    let mut lab = Lab::secure(2);
    lab.flow_mod(&mortal(0, 3)).unwrap();
    for _ in 0..29 {
        lab.send(1, &ether(1, 2));
        lab.advance(Nanos::from_millis(100));
    }
    assert_eq!(lab.rules().len(), 1);
    lab.advance(Nanos::from_millis(100));
    assert_eq!(lab.rules().len(), 0);
    let removed = removed(&mut lab);
    let frame_len = ether(1, 2).len() as u64;
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].reason, FlowRemovedReason::HardTimeout);
    assert_eq!((removed[0].duration_sec, removed[0].duration_nsec), (3, 0));
    assert_eq!((removed[0].packet_count, removed[0].byte_count), (29, 29 * frame_len));
    assert_eq!((removed[0].cookie, removed[0].priority, removed[0].table_id), (7, 9, 0));
    assert_eq!((removed[0].idle_timeout, removed[0].hard_timeout), (0, 3));
}

#[test]
fn idle_timeouts_count_from_the_last_packet_even_a_cached_one() {
    let mut lab = Lab::secure(2);
    lab.flow_mod(&mortal(2, 0)).unwrap();
    for _ in 0..10 {
        lab.advance(Nanos::from_millis(1900));
        lab.send(1, &ether(1, 2));
    }
    assert_eq!(lab.bridge.stats().upcalls, 1);
    let last = lab.now;
    while lab.rules().len() == 1 {
        lab.advance(Nanos::from_millis(100));
    }
    let idle = lab.now - last;
    assert!(idle >= S(2) && idle <= Nanos::from_millis(2600), "{idle}");
    let removed = removed(&mut lab);
    assert_eq!(removed[0].reason, FlowRemovedReason::IdleTimeout);
    assert_eq!(removed[0].packet_count, 10);
}

#[test]
fn an_unused_rule_idles_from_its_creation() {
    let mut lab = Lab::secure(2);
    lab.flow_mod(&mortal(1, 100)).unwrap();
    lab.advance(Nanos::from_millis(900));
    assert_eq!(lab.rules().len(), 1);
    lab.advance(S(1));
    assert_eq!(removed(&mut lab)[0].reason, FlowRemovedReason::IdleTimeout);
}

#[test]
fn a_modify_restarts_the_hard_timeout_and_keeps_the_rest() {
    let mut lab = Lab::secure(3);
    lab.flow_mod(&mortal(0, 3)).unwrap();
    lab.advance(S(2));
    let instructions = Instructions::apply(vec![output(3)]);
    lab.flow_mod(&FlowMod { instructions, ..change(FlowModCommand::Modify, "") }).unwrap();
    lab.advance(S(2));
    assert_eq!(lab.rules().len(), 1);
    lab.advance(S(1));
    let removed = removed(&mut lab);
    assert_eq!(removed.len(), 1);
    assert_eq!(removed[0].duration_sec, 5);
}

#[test]
fn a_delete_reports_final_counts() {
    let mut lab = Lab::secure(2);
    lab.flow_mod(&mortal(0, 0)).unwrap();
    lab.flow_mod(&FlowMod {
        flags: FlowModFlags::empty(),
        ..FlowMod { priority: 3, ..mortal(0, 0) }
    })
    .unwrap();
    for _ in 0..10 {
        lab.send(1, &ether(1, 2));
    }
    lab.flow_mod(&change(FlowModCommand::Delete, "")).unwrap();
    // Cached and not revalidated: these two still go the old way, and still count.
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert_eq!(lab.events(), [], "not before the counts are final");
    lab.settle();
    let removed = removed(&mut lab);
    assert_eq!(removed.len(), 1, "only the one that asked");
    assert_eq!(removed[0].reason, FlowRemovedReason::Delete);
    assert_eq!(removed[0].packet_count, 12);
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
}

#[test]
fn many_rules_end_in_time() {
    let mut lab = Lab::secure(2);
    for n in 0..3000_u32 {
        let priority = u16::try_from(n % 7).unwrap();
        let match_ = format!("ip,nw_src=10.0.{}.{}", n / 256, n % 256);
        let timeout = u16::try_from(1 + n % 3).unwrap();
        let rule =
            mortal(if n % 2 == 0 { timeout } else { 0 }, if n % 2 == 1 { timeout } else { 0 });
        lab.flow_mod(&FlowMod { priority, match_: add(0, &match_).match_, ..rule }).unwrap();
    }
    lab.advance(Nanos::from_millis(1700));
    assert_eq!(lab.rules().len(), 2000);
    lab.advance(S(1));
    assert_eq!(lab.rules().len(), 1000);
    lab.advance(S(1));
    assert_eq!(lab.rules().len(), 0);
    assert_eq!(removed(&mut lab).len(), 3000);
}

#[test]
fn a_clock_that_jumps_loses_nothing_but_cache() {
    let mut lab = Lab::standalone(2);
    lab.send(1, &ether(1, 2));
    lab.now += S(1_000_000);
    lab.dpif.set_now(lab.now);
    lab.settle();
    assert_eq!(lab.bridge.ukeys().len(), 0);
    assert_eq!(lab.rules().len(), 1);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert_eq!(lab.rules()[0].stats().packets(), 2);
}

#[test]
fn hard_timeouts_do_not_wait_behind_idle_ones_that_wait_for_statistics() {
    let config = BridgeConfig {
        fail_mode: FailMode::Secure,
        max_revalidator: S(60),
        max_idle: S(60),
        ..BridgeConfig::default()
    };
    let mut lab = Lab::with(config, 2);
    for priority in 1..=1100 {
        lab.flow_mod(&FlowMod { priority, ..mortal(1, 0) }).unwrap();
    }
    lab.flow_mod(&FlowMod { priority: 2000, ..mortal(0, 2) }).unwrap();
    lab.settle();
    lab.now += S(3);
    lab.dpif.set_now(lab.now);
    lab.bridge.run(&mut lab.dpif, lab.now);
    assert!(lab.rules().iter().all(|rule| rule.priority != 2000));
}

#[test]
fn reports_of_removed_rules_are_made_as_they_are_taken() {
    let mut lab = Lab::secure(2);
    for priority in 0..6_000 {
        lab.flow_mod(&FlowMod { priority, ..mortal(0, 0) }).unwrap();
    }
    lab.flow_mod(&change(FlowModCommand::Delete, "")).unwrap();
    let mut n_reports = 0;
    for _ in 0..10 {
        lab.settle();
        assert!(lab.bridge.n_events() < 5_000, "{} wait", lab.bridge.n_events());
        n_reports += removed(&mut lab).len();
    }
    assert_eq!(n_reports, 6_000);
}
