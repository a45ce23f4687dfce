//! The revalidator's rounds, with made-up time: when they begin, what they do to whom, and how they
//! are stopped (ovs-facts E3 to E8).

use crate::lab::{Lab, change, frame};
use openflow::FlowModCommand;
use sync::time::Nanos;

const MS: fn(u64) -> Nanos = Nanos::from_millis;

/// A frame of the flow number `n`, each a cached flow of its own.
fn numbered(n: u32) -> Vec<u8> {
    let [_, a, b, c] = n.to_be_bytes();
    frame(&format!("udp,nw_src=10.{a}.{b}.{c},nw_dst=10.0.0.1,nw_ttl=64,tp_src=1,tp_dst=2"))
}

/// One call of the bridge after an interval.
fn step(lab: &mut Lab, interval: Nanos) {
    lab.now += interval;
    lab.dpif.set_now(lab.now);
    lab.bridge.run(&mut lab.dpif, lab.now);
}

/// A bridge that has cached one flow for each of `n` sources.
fn exact(n: u32) -> Lab {
    let mut lab = Lab::secure(2);
    lab.bridge.set_flow_limit(100_000);
    let copy = "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:2";
    let does = openflow::text::parse_instructions(copy, &flow::text::NoNames).unwrap();
    lab.rule_in(0, 1, "ip", does);
    lab.settle();
    for n in 0..n {
        lab.send(1, &numbered(n));
    }
    assert_eq!(lab.bridge.ukeys().len(), n as usize);
    lab
}

#[test]
fn a_full_round_begins_every_half_second() {
    let mut lab = exact(3);
    lab.settle();
    lab.advance(MS(500));
    let first = lab.bridge.revalidator().dump_seq();
    for round in 1..=5 {
        step(&mut lab, MS(499));
        assert_eq!(lab.bridge.revalidator().dump_seq(), first + round - 1);
        step(&mut lab, MS(1));
        assert_eq!(lab.bridge.revalidator().dump_seq(), first + round);
    }
    assert_eq!(lab.bridge.revalidator().n_flows().1, 3);
}

#[test]
fn a_change_begins_a_partial_round_that_touches_whom_it_concerns() {
    let mut lab = exact(100);
    lab.advance(MS(1000));
    let before = lab.bridge.revalidator().stats();
    lab.rule(9, "ip,nw_src=10.0.0.7", vec![]);
    // Nobody waits for it: it comes within 5 ms.
    step(&mut lab, MS(5));
    let after = lab.bridge.revalidator().stats();
    assert_eq!((after.partial_rounds, after.rounds), (before.partial_rounds + 1, before.rounds));
    assert_eq!(after.outdated - before.outdated, 100);
    assert_eq!(after.concerned - before.concerned, 1);
    assert_eq!(after.modified - before.modified, 1);
    assert_eq!(lab.ports(1, &numbered(7)), []);
    assert_eq!(lab.ports(1, &numbered(8)), [2]);
}

#[test]
fn a_pause_ends_the_round_first_and_holds_everything() {
    let mut lab = exact(3000);
    lab.advance(MS(500));
    // In the middle of a round.
    step(&mut lab, MS(500));
    let dump_seq = lab.bridge.revalidator().dump_seq();
    lab.bridge.pause_revalidator();
    assert!(!lab.bridge.revalidator().is_paused());
    (0..20).for_each(|_| step(&mut lab, MS(1)));
    assert!(lab.bridge.revalidator().is_paused());
    assert_eq!(lab.bridge.revalidator().dump_seq(), dump_seq + 1);
    // Nothing is revalidated, nothing evicted.
    lab.flow_mod(&change(FlowModCommand::Delete, "ip")).unwrap();
    let ticket = lab.bridge.sync_point();
    (0..20).for_each(|_| step(&mut lab, Nanos::from_secs(1)));
    assert!(!lab.bridge.reached(ticket));
    assert_eq!((lab.ports(1, &numbered(1)), lab.bridge.ukeys().len()), (vec![2], 3000));
    lab.bridge.resume_revalidator();
    assert!(!lab.bridge.revalidator().is_paused());
    lab.settle();
    assert!(lab.bridge.reached(ticket));
    assert_eq!(lab.ports(1, &numbered(1)), []);
    // A pause that is taken back before it begins is none.
    lab.bridge.pause_revalidator();
    lab.bridge.resume_revalidator();
    step(&mut lab, MS(1));
    assert!(!lab.bridge.revalidator().is_paused());
}

#[test]
fn a_purge_takes_everything_in_bounded_steps_and_loses_no_count() {
    let mut lab = exact(3000);
    for n in 0..3000 {
        lab.send(1, &numbered(n));
    }
    lab.bridge.purge_cached();
    assert!(lab.bridge.revalidator().is_purging());
    let mut n_before = lab.bridge.ukeys().len();
    while lab.bridge.revalidator().is_purging() {
        step(&mut lab, Nanos::ZERO);
        let n_now = lab.bridge.ukeys().len();
        assert!(n_before - n_now <= 2048, "{n_before} {n_now}");
        n_before = n_now;
    }
    assert_eq!((lab.bridge.ukeys().len(), lab.dpif.pmd().n_megaflows()), (0, 0));
    assert_eq!(lab.bridge.revalidator().stats().purged, 3000);
    assert_eq!(lab.rules()[0].stats().packets(), 6000);
    assert_eq!(lab.ports(1, &numbered(1)), [2]);
}

#[test]
fn a_stopped_revalidator_begins_no_round() {
    let mut lab = exact(3);
    lab.bridge.stop_revalidator();
    step(&mut lab, MS(600));
    assert!(lab.bridge.revalidator().has_stopped());
    let dump_seq = lab.bridge.revalidator().dump_seq();
    (0..60).for_each(|_| step(&mut lab, Nanos::from_secs(1)));
    assert_eq!(lab.bridge.revalidator().dump_seq(), dump_seq);
    assert_eq!(lab.bridge.ukeys().len(), 3);
}

#[test]
fn twice_the_limit_is_an_emergency_that_ends_at_the_limit() {
    let mut lab = exact(2000);
    lab.bridge.set_flow_limit(500);
    lab.advance(MS(500));
    let stats = lab.bridge.revalidator().stats();
    // Judged anew for each batch of 50: any go down to twice the limit, then idle ones to the limit.
    let n = lab.bridge.ukeys().len();
    assert!((451..=500).contains(&n), "{n}");
    assert!(stats.limit_kill > 0 && stats.limit_hit >= stats.limit_kill, "{stats:?}");
    assert_eq!(lab.dpif.pmd().n_megaflows(), n);
    // Nothing is lost but cache.
    for n in 0..2000 {
        assert_eq!(lab.ports(1, &numbered(n)), [2]);
    }
    assert_eq!(lab.rules()[0].stats().packets(), 4000);
}

#[test]
fn above_the_limit_idle_flows_go_after_100_ms() {
    let mut lab = exact(1500);
    lab.bridge.set_flow_limit(1200);
    lab.advance(MS(400));
    for n in 0..100 {
        lab.send(1, &numbered(n));
    }
    lab.advance(MS(100));
    // It stops evicting when there are no more than the limit; whoever was busy stays.
    assert!(lab.bridge.ukeys().len() <= 1200, "{}", lab.bridge.ukeys().len());
    let upcalls = lab.bridge.stats().upcalls;
    for n in 0..100 {
        lab.send(1, &numbered(n));
    }
    assert_eq!(lab.bridge.stats().upcalls, upcalls);
}

#[test]
fn the_limit_grows_while_rounds_are_short() {
    let mut lab = exact(20);
    lab.bridge.set_flow_limit(10_000);
    let limits: Vec<usize> = (0..3)
        .map(|_| {
            lab.advance(MS(500));
            lab.bridge.revalidator().flow_limit()
        })
        .collect();
    assert_eq!(limits, [11_000, 12_000, 13_000]);
    assert_eq!(lab.bridge.revalidator().stats().limit_grew, 3);
}

#[test]
fn slow_flows_are_not_worth_a_translation_while_rounds_are_long() {
    const N: u32 = 3000;
    for (n_packets, survives) in [(0, false), (1, false), (50, true)] {
        let mut lab = exact(N);
        lab.advance(MS(1000));
        // A round that takes 300 ms or more.
        lab.now += MS(500);
        let dump_seq = lab.bridge.revalidator().dump_seq();
        while lab.bridge.revalidator().dump_seq() == dump_seq {
            step(&mut lab, MS(100));
        }
        assert!(lab.bridge.revalidator().last_duration() >= MS(250));
        for _ in 0..n_packets {
            lab.send(1, &numbered(1));
        }
        // More than 200 ms since the dump.
        lab.now += MS(300);
        lab.dpif.set_now(lab.now);
        let before = lab.bridge.revalidator().stats();
        lab.rule(9, "ip,nw_src=10.0.0.1", vec![]);
        lab.settle();
        let after = lab.bridge.revalidator().stats();
        let translated = after.translated - before.translated;
        let expensive = after.too_expensive - before.too_expensive;
        assert_eq!((translated, expensive), if survives { (1, 0) } else { (0, 1) }, "{n_packets}");
        assert_eq!(lab.ports(1, &numbered(1)), []);
    }
}

#[test]
fn a_sample_of_the_unconcerned_is_translated_all_the_same() {
    let mut lab = exact(10);
    for _ in 0..140 {
        (0..10).for_each(|n| drop(lab.send(1, &numbered(n))));
        lab.advance(Nanos::from_secs(1));
    }
    let stats = lab.bridge.revalidator().stats();
    // Each once in 256 rounds.
    assert!((10..=20).contains(&stats.sampled), "{stats:?}");
    assert_eq!((stats.sampled_wrong, stats.translated), (0, 0));
    assert_eq!(lab.bridge.stats().upcalls, 10);
}
