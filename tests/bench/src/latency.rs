//! How long frames took, of some rounds.

use crate::report::median;
use serde_json::{Value, json};
use vhost_back::Outcome;

const SHARES: [f64; 3] = [0.5, 0.99, 0.999];

/// The middle of the rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Middle {
    /// Half of the frames, 99 % and 99.9 % took no longer than so many microseconds.
    pub(crate) micros: [f64; 3],
    /// Frames that did not come back, of a hundred.
    pub(crate) lost: f64,
    /// Frames that the generator was too late to send, of a hundred.
    pub(crate) skipped: f64,
}

impl Middle {
    pub(crate) fn of(rounds: &[Outcome]) -> Self {
        let middle = |of: &dyn Fn(&Outcome) -> f64| median(rounds.iter().map(of).collect());
        Self {
            micros: SHARES.map(|share| middle(&|round| micros(round, share))),
            lost: middle(&|round| 100.0 * round.lost()),
            skipped: middle(&|round| 100.0 * round.missed()),
        }
    }
}

/// All rounds.
pub(crate) fn to_json(rounds: &[Outcome]) -> Vec<Value> {
    let one = |round: &Outcome| {
        let Outcome { sent, received, refused, skipped, .. } = round;
        let us = SHARES.map(|share| micros(round, share));
        json!({
            "sent": sent, "received": received, "refused": refused, "skipped": skipped,
            "us_50": us[0], "us_99": us[1], "us_99.9": us[2],
        })
    };
    rounds.iter().map(one).collect()
}

fn micros(outcome: &Outcome, share: f64) -> f64 {
    outcome.latencies.at(share).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
