//! What a run of a case on a switch gave.

use crate::report::median;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Packets, or what else the case counts.
    pub(crate) packets: u64,
    /// Time that the polling thread ran.
    pub(crate) time: Duration,
    /// Time a packet took in the undisturbed stretches of the run, in seconds; none if it was not
    /// looked at.
    pub(crate) undisturbed: Option<f64>,
    /// Where the packets were found.
    pub(crate) found: Found,
}

impl Measured {
    pub(crate) fn cycles(self, hertz: f64) -> f64 {
        self.time.as_secs_f64() * hertz / self.packets.max(1) as f64
    }
}

/// How many packets each table found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// The exact-match cache.
    pub(crate) emc: u64,
    /// The signature cache.
    pub(crate) smc: u64,
    /// The megaflows.
    pub(crate) megaflow: u64,
    /// What Open vSwitch does without a table: ports whose flows ask for little.
    pub(crate) simple: u64,
    /// None of them.
    pub(crate) upcalls: u64,
}

impl Found {
    fn shares(&self) -> [(char, f64); 5] {
        let Self { emc, smc, megaflow, simple, upcalls } = *self;
        let counts = [('e', emc), ('s', smc), ('m', megaflow), ('d', simple), ('u', upcalls)];
        let all = counts.iter().map(|(_, n)| n).sum::<u64>().max(1);
        counts.map(|(name, n)| (name, n as f64 / all as f64))
    }
}

/// As `e98 m2`: percentages of those tables that found anything.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = self.shares();
        let shown = shares.iter().filter(|(_, share)| *share >= 0.005);
        let words: Vec<_> =
            shown.map(|(name, share)| format!("{name}{:.0}", share * 100.0)).collect();
        f.pad(&words.join(" "))
    }
}

/// All rounds of one setting.
#[derive(Clone, Debug)]
pub(crate) struct Rounds {
    /// What was set.
    pub(crate) setting: &'static str,
    runs: Vec<Measured>,
}

impl Rounds {
    pub(crate) fn new(setting: &'static str) -> Self {
        Self { setting, runs: Vec::new() }
    }

    pub(crate) fn add(&mut self, run: Measured) {
        self.runs.push(run);
    }

    pub(crate) fn n_runs(&self) -> usize {
        self.runs.len()
    }

    /// The middle of the rounds, in cycles for a packet.
    pub(crate) fn cycles(&self, hertz: f64) -> f64 {
        median(self.runs.iter().map(|run| run.cycles(hertz)).collect())
    }

    /// Where packets were found, in the last round.
    pub(crate) fn found(&self) -> Found {
        self.runs.last().map(|run| run.found).unwrap_or_default()
    }

    pub(crate) fn to_json(&self, hertz: f64) -> Value {
        let cycles: Vec<_> = self.runs.iter().map(|run| run.cycles(hertz)).collect();
        let found = self.found().shares();
        let share = |k: usize| found[k].1;
        json!({
            "setting": self.setting, "cycles": cycles,
            "found": {
                "emc": share(0), "smc": share(1), "megaflow": share(2), "without": share(3),
                "upcall": share(4),
            },
        })
    }
}

/// A case on both switches, each with the setting that suits it best.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) case: &'static str,
    pub(crate) about: String,
    /// What the ratio should be at most, if anything was aimed at.
    pub(crate) aim: Option<f64>,
    pub(crate) ovs: (f64, &'static str),
    pub(crate) ours: (f64, &'static str),
}

impl Outcome {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.0 / self.ovs.0
    }
}

/// The setting with the fewest cycles.
pub(crate) fn best(all: &[Rounds], hertz: f64) -> Option<&Rounds> {
    all.iter().min_by(|a, b| a.cycles(hertz).total_cmp(&b.cycles(hertz)))
}
