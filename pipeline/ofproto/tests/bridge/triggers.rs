//! Statistics triggers, with made-up time (OpenFlow 1.5.1 §5.5, §7.2.5).

use crate::lab::{Lab, add, change, ether, output};
use ofproto::BridgeEvent;
use openflow::{
    FlowMod, FlowModCommand, FlowModFlags, FlowStats, FlowStatsReason, Instructions, StatTrigger,
    StatTriggerFlags,
};
use sync::time::Nanos;

const S: fn(u64) -> Nanos = Nanos::from_secs;

fn watched(trigger: StatTrigger) -> Instructions {
    Instructions { stat_trigger: Some(Box::new(trigger)), ..Instructions::apply(vec![output(2)]) }
}

/// A bridge with one rule that has the trigger.
fn lab(trigger: StatTrigger) -> Lab {
    let mut lab = Lab::secure(2);
    lab.flow_mod(&FlowMod { instructions: watched(trigger), ..add(9, "") }).unwrap();
    lab
}

fn told(lab: &mut Lab) -> Vec<FlowStats> {
    let events = lab.events().into_iter();
    let all: Vec<FlowStats> = events
        .map(|event| match event {
            BridgeEvent::FlowStats(stats) => stats,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(all.iter().all(|stats| stats.reason == FlowStatsReason::Trigger));
    all
}

/// Sends so many packets and lets statistics be read; returns the packet counts that were told.
fn counts_after(lab: &mut Lab, n_packets: usize) -> Vec<u64> {
    for _ in 0..n_packets {
        lab.send(1, &ether(1, 2));
    }
    lab.advance(S(1));
    told(lab).iter().map(|stats| stats.packet_count).collect()
}

#[test]
fn a_threshold_is_crossed_once() {
    let mut lab = lab(StatTrigger { packet_count: Some(10), ..StatTrigger::default() });
    assert_eq!(counts_after(&mut lab, 9), []);
    assert_eq!(counts_after(&mut lab, 3), [12]);
    assert_eq!(counts_after(&mut lab, 30), []);
}

#[test]
fn a_report_tells_which_rule_and_its_counts() {
    let mut lab = lab(StatTrigger { byte_count: Some(1), ..StatTrigger::default() });
    lab.send(1, &ether(1, 2));
    lab.advance(S(1));
    let [stats] = &told(&mut lab)[..] else { panic!("one report") };
    assert_eq!((stats.table_id, stats.priority, stats.packet_count), (0, 9, 1));
    assert_eq!(stats.byte_count, ether(1, 2).len() as u64);
    assert_eq!(stats.match_, add(9, "").match_);
    assert!(stats.duration_sec <= 1);
}

#[test]
fn multiples_are_thresholds_of_a_periodic_one_and_several_at_once_are_one_report() {
    let flags = StatTriggerFlags::PERIODIC;
    let mut lab = lab(StatTrigger { flags, packet_count: Some(10), ..StatTrigger::default() });
    assert_eq!(counts_after(&mut lab, 10), [10]);
    assert_eq!(counts_after(&mut lab, 9), []);
    assert_eq!(counts_after(&mut lab, 26), [45]);
    assert_eq!(counts_after(&mut lab, 4), []);
    assert_eq!(counts_after(&mut lab, 1), [50]);
}

#[test]
fn of_thresholds_of_only_first_the_one_crossed_first_remains() {
    let thresholds = StatTrigger {
        packet_count: Some(10),
        byte_count: Some(15 * ether(1, 2).len() as u64),
        ..StatTrigger::default()
    };
    for (flags, expected) in [
        (StatTriggerFlags::empty(), [vec![10], vec![15], vec![]]),
        (StatTriggerFlags::ONLY_FIRST, [vec![10], vec![], vec![]]),
        (StatTriggerFlags::PERIODIC, [vec![10], vec![15], vec![20]]),
        (StatTriggerFlags::all(), [vec![10], vec![], vec![20]]),
    ] {
        let mut lab = lab(StatTrigger { flags, ..thresholds });
        let told: Vec<_> = [10, 5, 5].map(|n| counts_after(&mut lab, n)).into();
        assert_eq!(told, expected, "{flags:?}");
    }
}

#[test]
fn ages_are_told_when_statistics_are_read_next() {
    let flags = StatTriggerFlags::PERIODIC;
    let duration = Some((2, 500_000_000));
    let mut lab = lab(StatTrigger { flags, duration, ..StatTrigger::default() });
    lab.advance(Nanos::from_millis(2400));
    assert_eq!(told(&mut lab), []);
    lab.advance(Nanos::from_millis(700));
    assert_eq!(told(&mut lab).len(), 1);
    lab.advance(S(5));
    assert_eq!(told(&mut lab).len(), 2);
}

#[test]
fn idle_time_begins_anew_with_each_packet() {
    let mut lab = lab(StatTrigger { idle_time: Some((3, 0)), ..StatTrigger::default() });
    for _ in 0..4 {
        assert_eq!(counts_after(&mut lab, 1), [] as [u64; 0], "used each second");
    }
    lab.advance(S(4));
    assert_eq!(told(&mut lab).len(), 1);
    lab.advance(S(10));
    assert_eq!(told(&mut lab).len(), 0, "told already");
    assert_eq!(counts_after(&mut lab, 1), [] as [u64; 0]);
    lab.advance(S(4));
    assert_eq!(told(&mut lab).len(), 1);
}

#[test]
fn what_was_passed_before_is_not_crossed_by_a_change_of_the_rule() {
    let trigger = |n| StatTrigger { packet_count: Some(n), ..StatTrigger::default() };
    let mut lab = lab(trigger(5));
    assert_eq!(counts_after(&mut lab, 6), [6]);
    let modify = |lab: &mut Lab, n, flags| {
        let instructions = watched(trigger(n));
        let change = change(FlowModCommand::Modify, "");
        lab.flow_mod(&FlowMod { instructions, flags, ..change }).unwrap();
        // Until it is in force, packets count where they did.
        lab.settle();
    };
    modify(&mut lab, 5, FlowModFlags::empty());
    assert_eq!(counts_after(&mut lab, 1), []);
    modify(&mut lab, 10, FlowModFlags::empty());
    assert_eq!(counts_after(&mut lab, 3), [10]);
    modify(&mut lab, 5, FlowModFlags::RESET_COUNTS);
    assert_eq!(counts_after(&mut lab, 5), [5]);
}

#[test]
fn a_rule_that_is_gone_tells_nothing() {
    let mut lab = lab(StatTrigger { packet_count: Some(1), ..StatTrigger::default() });
    lab.send(1, &ether(1, 2));
    lab.flow_mod(&change(FlowModCommand::Delete, "")).unwrap();
    lab.advance(S(2));
    assert_eq!(told(&mut lab), []);
}

#[test]
fn many_rules_are_looked_at_in_slices_and_all_tell() {
    let mut lab = Lab::secure(2);
    let trigger = StatTrigger { duration: Some((1, 0)), ..StatTrigger::default() };
    for priority in 1..=6000 {
        lab.flow_mod(&FlowMod { instructions: watched(trigger), ..add(priority, "") }).unwrap();
    }
    lab.advance(S(2));
    let first = told(&mut lab);
    assert!((1..6000).contains(&first.len()), "as many as may wait: {}", first.len());
    lab.advance(S(1));
    let mut all: Vec<u16> = first.into_iter().chain(told(&mut lab)).map(|s| s.priority).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(1..=6000), "each once");
}
