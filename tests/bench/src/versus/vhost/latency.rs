//! How long frames take between two vhost-user ports, at half of what either switch gets through.
//!
//! In the place of testpmd stands `vhost-back`, on the same core. Its rings are split ones, on both sides. The load is
//! half of the slower switch's rate, the same for both; where that is more than the generator can send, the load is what
//! it sent, and the line says so.

use super::super::{CONTROL_CORE, Terms};
use super::{Case, Result, Ring, ours, ovs};
use crate::latency::{Middle, to_json};
use crate::report::median;
use crate::testpmd::socket;
use core_affinity::CoreId;
use serde_json::{Value, json};
use std::path::Path;
use std::thread;
use std::time::Duration;
use vhost_back::{Back, Outcome, Plan, exchange};

/// Until a switch has set up both ports.
const PATIENCE: Duration = Duration::from_secs(30);
/// From then until its rules are there, and before counting.
const RULES_BY: Duration = Duration::from_millis(300);
const WARM_UP: Duration = Duration::from_millis(200);
/// What a switch runs longer.
const SPARE: f64 = 1.0;
const DRAIN: Duration = Duration::from_millis(200);
/// A generator that skipped more of a hundred frames did not keep the pace.
const MOST_SKIPPED: f64 = 1.0;

/// Whether frames of this case fit into the generator's buffers.
pub(super) fn is_measured(case: &Case) -> bool {
    case.pairs == 1 && case.is_mergeable && case.frame_len <= 1_514
}

/// Measures both by turns at half of `rate`, in frames a second; prints a line for each and gives all rounds.
pub(super) fn compare(case: &Case, rate: f64, terms: &Terms) -> Result<Value> {
    let plan = Plan {
        frame_len: case.frame_len.into(),
        pace: rate / 4.0,
        warm_up: WARM_UP,
        time: Duration::from_secs_f64(terms.seconds),
        patience: DRAIN,
    };
    // The switches run until the last frame is through.
    let terms = &Terms { seconds: terms.seconds + SPARE, ..*terms };
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..terms.n_rounds.min(3) {
        theirs.push(beside(&plan, |dir| ovs::run(dir, case, Ring::Split, terms).map(drop))?);
        ours.push(beside(&plan, |dir| ours::in_a_child(dir, case, Ring::Split, terms).map(drop))?);
    }
    for (name, outcomes) in [("OVS", &theirs), ("ours", &ours)] {
        let Middle { micros: [half, most, nearly], lost, skipped } = Middle::of(outcomes);
        let sent = outcomes.iter().map(|one| one.sent as f64 / plan.time.as_secs_f64());
        let load = median(sent.collect());
        let late = if skipped > MOST_SKIPPED { ", all that the generator can send" } else { "" };
        println!(
            "    {name:<4} at {:.2} Mpps{late}: 50 % {half:.1} us, 99 % {most:.1} us, 99.9 % {nearly:.1} us, lost {lost:.3} %",
            load / 1e6
        );
    }
    Ok(json!({"pace_each_way": plan.pace, "ovs": to_json(&theirs), "ours": to_json(&ours)}))
}

/// What frames take through a switch that runs meanwhile.
fn beside(plan: &Plan, switch: impl FnOnce(&Path) -> Result<()>) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    let back = |port| Back::listen(&socket(dir.path(), port));
    let backs = [back(0)?, back(1)?];
    let [first, second] = &backs;
    thread::scope(|scope| {
        let measured = scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
            let is_up = first.wait_up(PATIENCE) && second.wait_up(PATIENCE);
            thread::sleep(RULES_BY);
            is_up.then(|| exchange([first, second], plan))
        });
        let ran = switch(dir.path());
        let outcome = measured.join().map_err(|_| "the generator panicked")?;
        ran?;
        let outcome = outcome.ok_or("the switch does not set up its ports")?;
        match outcome.received {
            0 => Err("no frame came through".into()),
            _ => Ok(outcome),
        }
    })
}
