//! A share of the comparison for every run of the tests; the program runs longer ones.

use differential::compare::{Plan, compare};
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
