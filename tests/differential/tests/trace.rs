//! A share of the comparison for every run of the tests; the program runs longer ones.

use differential::compare::{Plan, compare};
use differential::keys::compare_keys;
use differential::ovs;

#[test]
fn rules_and_packets_mean_the_same() {
    if !ovs::is_installed() {
        eprintln!("skipped: Open vSwitch is not installed (package openvswitch-switch)");
        return;
    }
    let mut told = Vec::new();
    let plan = Plan { cases: 300, seed: 20_261_122, set: None };
    let tally = compare(&plan, |text| told.push(text.to_owned())).expect("Open vSwitch runs");
    assert_eq!(tally.unexplained, 0, "{}\n{tally}", told.join("\n\n"));
    // It would be a poor judge who explained everything away.
    assert!(tally.same > tally.passes / 2, "{tally}");
    assert!(tally.refused.values().sum::<u64>() < tally.cases, "{tally}");
}

#[test]
fn frames_have_the_same_keys() {
    if !ovs::is_installed() {
        eprintln!("skipped: Open vSwitch is not installed (package openvswitch-switch)");
        return;
    }
    let mut told = Vec::new();
    let tally =
        compare_keys(2_000, 1, |text| told.push(text.to_owned())).expect("Open vSwitch runs");
    assert_eq!(tally.unexplained, 0, "{}\n{tally}", told.join("\n\n"));
    let explained = tally.explained.values().sum::<u64>();
    assert!(explained < tally.frames / 10, "{tally}");
}
