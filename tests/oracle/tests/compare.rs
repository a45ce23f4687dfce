//! The whole switch against the oracle, for a minute; the binary compares for longer.

use std::time::Duration;

use oracle::compare::{Plan, compare, live};

#[test]
fn the_switch_does_what_linear_tables_do() {
    let plan = Plan { packets: 20_000_000, seed: 1, time: Some(Duration::from_secs(55)) };
    let mut told = Vec::new();
    let sum = compare(&plan, |text| told.push(text.to_owned()), |_| ());
    assert_eq!(sum.differences, 0, "{}", told.join("\n\n"));
    assert_eq!(sum.excused, 0);
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

/// Lives that once ended in a difference.
#[test]
fn past_differences_stay_away() {
    for seed in [
        // Two ports told of one station in one round of the revalidator, the later one first.
        0xb7f3_8a48_f6ce_17a9,
        0x57e4_1a31_67f9_dba5,
        // A truncated output to the ingress port.
        0xb63e_2d8f_305c_487f,
    ] {
        live(seed).unwrap_or_else(|text| panic!("{text}"));
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
