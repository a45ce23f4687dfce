//! Open vSwitch with DPDK and our switch, side by side on one machine.
//!
//! # What is compared
//! Both take the same frames from a port in memory, one copy each, look them up, act, and give them to
//! ports that swallow them, with one polling thread pinned to the same core. They run by turns, so
//! that what else the machine does falls on both. A figure is the median of the rounds.
//!
//! # The same chances
//! Our code is compiled as for the image (profile `image`: the program as a whole), and its memory is
//! in huge pages like Open vSwitch's, because the image maps everything with such pages: the bench
//! builds itself anew and starts itself anew for both (`fair.rs`).
//!
//! # Cycles
//! The time that the polling thread really ran (`schedstat`), so that a busy machine disturbs the
//! figure little, at the nominal clock. The ratio does not depend on that clock.

mod case;
mod fair;
pub(crate) mod frames;
mod ours;
mod ovs;

use crate::report::{cpu_model, median};
use case::Case;
use clap::Args;
use serde_json::{Value, json};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Where the polling threads of both run.
pub(crate) const POLLING_CORE: usize = 1;
/// Where everything else of both runs.
pub(crate) const CONTROL_CORE: usize = 0;

/// Compares with Open vSwitch with DPDK, which is installed if it is missing.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Short rounds: a first impression.
    #[arg(long)]
    quick: bool,
    /// Run only this case; may be repeated. A wrong name prints all of them.
    #[arg(long = "case")]
    cases: Vec<String>,
    /// Leave Open vSwitch out: for a profiler.
    #[arg(long)]
    ours_only: bool,
    /// Write the figures of all rounds to this file as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Free huge pages of 2 MiB with which Open vSwitch gets them: it takes 1 GiB. Ours has taken its own by
/// then.
const OVS_HUGE_PAGES: u64 = 520;

pub(crate) const NO_CLOCK: &str = "no `cpu MHz` in /proc/cpuinfo";

/// What a run of one case on one switch gave.
#[derive(Clone, Copy, Debug)]
struct Measured {
    packets: u64,
    /// Time that the polling thread ran.
    time: Duration,
    /// Time a packet took in the undisturbed stretches of the run, in seconds; none if it was not
    /// looked at.
    undisturbed: Option<f64>,
}

impl Measured {
    fn cycles(self, hertz: f64) -> f64 {
        self.time.as_secs_f64() * hertz / self.packets.max(1) as f64
    }
}

/// Runs the comparison and prints its table.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let cases = chosen(&options.cases)?;
    fair::start_anew()?;
    if options.ours_only {
        return ours_only(&cases, options);
    }
    ovs::ensure_installed()?;
    let hertz = clock().ok_or(NO_CLOCK)?;
    let has_huge_pages = free_huge_pages() >= OVS_HUGE_PAGES;
    let (rounds, seconds) = if options.quick { (1, 0.5) } else { (5, 2.0) };
    println!(
        "{}, {} huge pages, {rounds} rounds of {seconds} s",
        cpu_model(),
        if has_huge_pages { "with" } else { "no" }
    );
    println!("cycles/packet  OVS (best cache)   ours  ratio");
    let mut all: Vec<Value> = Vec::new();
    for case in &cases {
        let mut theirs = vec![Vec::new(); case.caches.len()];
        let mut ours = Vec::new();
        for _ in 0..rounds {
            for (&cache, theirs) in case.caches.iter().zip(&mut theirs) {
                let dir = tempfile::tempdir()?;
                let ovs = ovs::Ovs::start(dir.path(), case, cache, has_huge_pages)?;
                theirs.push(ovs.measure(case, seconds)?.cycles(hertz));
            }
            ours.push(ours::run(case, seconds)?.cycles(hertz));
        }
        all.push(json!({"case": case.name, "ovs": theirs, "ours": ours}));
        let best =
            theirs.into_iter().map(median).zip(case.caches).min_by(|a, b| a.0.total_cmp(&b.0));
        let (theirs, cache) = best.ok_or("a case without settings")?;
        let ours = median(ours);
        println!(
            "{:<12} {theirs:>9.0} {:<10} {ours:>6.0} {:>6.2}  {}",
            case.name,
            format!("({})", cache.name()),
            ours / theirs,
            case.about
        );
    }
    if let Some(path) = &options.json {
        let text = json!({"cpu": cpu_model(), "hertz": hertz, "huge_pages": has_huge_pages, "cycles_per_packet": all});
        std::fs::write(path, text.to_string())
            .map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}

/// Our switch alone, one round a case: cycles over all, and in undisturbed stretches.
fn ours_only(cases: &[Case], options: &Options) -> Result<(), Box<dyn Error>> {
    let hertz = clock().ok_or(NO_CLOCK)?;
    let seconds = if options.quick { 0.5 } else { 2.0 };
    for case in cases {
        let measured = ours::run(case, seconds)?;
        let (all, undisturbed) =
            (measured.cycles(hertz), measured.undisturbed.unwrap_or(0.0) * hertz);
        println!("{:<12} {all:>6.0} {undisturbed:>6.0}  {}", case.name, case.about);
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Case>, String> {
    let mut cases = case::all();
    let known: Vec<_> = cases.iter().map(|case| case.name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no case {name:?}; there are: {}", known.join(", ")));
    }
    if !names.is_empty() {
        cases.retain(|case| names.iter().any(|name| name == case.name));
    }
    Ok(cases)
}

/// Time that a thread has run, by its file `schedstat` under `/proc`.
pub(crate) fn cpu_time(path: &str) -> Duration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The processor's nominal clock in hertz.
pub(crate) fn clock() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("cpu MHz"))?;
    let megahertz: f64 = line.rsplit(' ').next()?.parse().ok()?;
    Some(megahertz * 1e6)
}

/// Free huge pages of 2 MiB.
fn free_huge_pages() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
}
