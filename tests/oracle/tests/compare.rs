//! The whole switch against the oracle, for a minute; the binary compares for longer.

use std::time::Duration;

use oracle::compare::{Plan, compare};

#[test]
fn the_switch_does_what_linear_tables_do() {
    let plan = Plan { packets: 3_500_000, seed: 1, time: Some(Duration::from_secs(55)) };
    let mut told = Vec::new();
    let sum = compare(&plan, |text| told.push(text.to_owned()), |_| ());
    assert_eq!(sum.differences, 0, "{}", told.join("\n\n"));
    // Few frames have more ways to go than can be tried.
    assert!(sum.excused * 1_000 < sum.packets, "{sum}");
    // Nothing was left out.
    for (n, what) in [
        (sum.packets, "packets"),
        (sum.changes, "changes"),
        (sum.races, "changes without barrier"),
        (sum.waits, "jumps of time"),
        (sum.losses, "losses of cached flows"),
        (sum.flips, "flipped bits"),
        (sum.self_checks, "self checks"),
        (sum.emc_hits, "hits of the exact-match cache"),
        (sum.hits - sum.emc_hits, "hits of megaflows"),
        (sum.misses, "misses"),
        (sum.inline, "misses answered inline"),
    ] {
        assert!(n > 500, "only {n} {what} in {sum}");
    }
}

#[test]
fn a_seed_says_everything() {
    let tally = |seed| {
        let plan = Plan { packets: 3_000, seed, time: None };
        compare(&plan, |text| panic!("{text}"), |_| ())
    };
    assert_eq!(tally(7), tally(7));
    assert_ne!(tally(7), tally(8));
}
