//! The generators: they repeat themselves, they are valid, and what they make is worth comparing.

use std::collections::BTreeSet;

use openflow::{Action, PacketInReason};
use oracle::Oracle;
use oracle::random::{Rng, RuleOptions, World};

#[test]
fn a_seed_says_everything() {
    let make = |seed| {
        let (world, mut rng) = (World::new(4), Rng::new(seed));
        (world.rules(&mut rng, &RuleOptions::default()), world.arrival(&mut rng))
    };
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
}

#[test]
fn verdicts_are_certain_and_various() {
    let world = World::new(4);
    let (mut n_frames, mut n_forwarded, mut n_changed, mut n_later_tables) = (0, 0, 0, 0);
    let mut reasons = BTreeSet::new();
    let mut names = BTreeSet::new();
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut switch = Oracle::new(world.ports.iter().copied());
        for rule in world.rules(&mut rng, &RuleOptions::default()) {
            for action in rule.instructions.apply.iter().chain(&rule.instructions.write) {
                let name = format!("{action:?}");
                let end = name.find(['(', ' ']).unwrap_or(name.len());
                names.insert(name[..end].to_owned());
            }
            switch.add(rule).expect("generated actions are known");
        }
        for _ in 0..50 {
            let (port, frame) = world.arrival(&mut rng);
            let verdict = switch.receive(port, &frame);
            assert!(!verdict.is_ambiguous, "seed {seed}");
            assert!(verdict.rules.len() <= 7, "a table resubmits once and goes on once");
            n_frames += 1;
            n_forwarded += usize::from(!verdict.outputs.is_empty());
            n_changed += usize::from(verdict.outputs.iter().any(|output| output.frame != frame));
            n_later_tables += usize::from(verdict.rules.len() > 1);
            reasons.extend(verdict.packet_ins.iter().map(|packet_in| packet_in.reason as u8));
            // Damaged frames are forwarded too, and nothing breaks.
            switch.receive(port, &world.damaged_frame(&mut rng));
        }
    }
    let share = |n: usize| n * 100 / n_frames;
    assert!(share(n_forwarded) > 40, "{}% are forwarded", share(n_forwarded));
    assert!(share(n_changed) > 15, "{}% are changed", share(n_changed));
    assert!(share(n_later_tables) > 25, "{}% get beyond table 0", share(n_later_tables));
    for reason in [PacketInReason::Action, PacketInReason::ActionSet, PacketInReason::InvalidTtl] {
        assert!(reasons.contains(&(reason as u8)), "no {reason:?}");
    }
    let expected = [
        "DecMplsTtl",
        "DecTtl",
        "Exit",
        "Load",
        "Move",
        "Output",
        "OutputReg",
        "OutputTrunc",
        "PopMpls",
        "PopVlan",
        "PushMpls",
        "PushVlan",
        "Resubmit",
        "SetTpDst",
    ];
    for name in expected {
        assert!(names.contains(name), "no {name} in {names:?}");
    }
}

#[test]
fn options_leave_things_out() {
    let world = World::new(2);
    let options = RuleOptions {
        n_tables: 1,
        normal: false,
        controller: false,
        mpls: false,
        nicira: false,
        n_rules: 40,
        ..RuleOptions::default()
    };
    for seed in 0..50 {
        for rule in world.rules(&mut Rng::new(seed), &options) {
            assert_eq!((rule.table_id, rule.instructions.goto_table), (0, None));
            for action in rule.instructions.apply.iter().chain(&rule.instructions.write) {
                let is_left_out = match action {
                    Action::Output { port, .. } => {
                        [openflow::OfPort::NORMAL, openflow::OfPort::CONTROLLER].contains(port)
                    }
                    Action::PushMpls(_) | Action::PopMpls(_) | Action::Resubmit { .. } => true,
                    _ => false,
                };
                assert!(!is_left_out, "{action:?}");
            }
        }
    }
}
