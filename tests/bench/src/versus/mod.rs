//! Open vSwitch with DPDK and our switch, side by side on one machine.
//!
//! # What is compared
//! Both take the same frames from a port in memory, one copy each, look them up, act, and give them to
//! ports that swallow them, with one polling thread pinned to the same core. They run by turns, so
//! that what else the machine does falls on both. A figure is the median of the rounds. Of each switch the best setting
//! counts; one that took a quarter more than the best in two rounds has no others.
//!
//! # The same chances
//! Our code is compiled as for the image (profile `image`: the program as a whole), and its memory is
//! in huge pages like Open vSwitch's, because the image maps everything with such pages: the bench
//! builds itself anew and starts itself anew for both (`fair.rs`).
//!
//! # Cycles
//! The time that the polling thread really ran (`schedstat`), so that a busy machine disturbs the
//! figure little, at the nominal clock. The ratio does not depend on that clock.

//!
//! # New flows
//! Where each packet is a flow that was never seen, what is measured is the stretch in which the frames
//! come in for the first time: the polling thread's time for each flow, which it makes known itself in
//! both switches (`pass.rs`).

pub(crate) mod case;
pub(crate) mod fair;
pub(crate) mod frames;
mod measured;
mod memory;
pub(crate) mod ours;
pub(crate) mod ovs;
mod pass;
mod plot;
mod port_alone;
mod stages;
mod vhost;

use crate::report::cpu_model;
use case::Case;
use clap::Args;
use measured::{Outcome, Rounds, best};
use serde_json::{Value, json};
use std::error::Error;
use std::path::{Path, PathBuf};
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
    /// With `--ours-only`: where the cycles go, stage by stage, of cases with ports in memory.
    #[arg(long, requires = "ours_only")]
    stages: bool,
    /// Write the figures of all rounds to this file as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the ratios into this file as SVG, too.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Run ours once between the vhost-user ports in this directory, for the case that is named.
    #[arg(long, hide = true, requires = "cases")]
    vhost_run: Option<PathBuf>,
    /// That run with packed rings.
    #[arg(long, hide = true, requires = "vhost_run")]
    vhost_packed: bool,
    /// How long.
    #[arg(long, hide = true, requires = "vhost_run")]
    vhost_seconds: Option<f64>,
}

/// Seconds of a round, of a short one, and before either: every cache is as it will be by then.
const FULL: f64 = 1.0;
const QUICK: f64 = 0.5;
const WARM_UP: f64 = 0.5;
/// A setting that in the first rounds took so much more than the best one is not tried again.
const TRIALS: usize = 2;
const HOPELESS: f64 = 1.25;
/// Free huge pages of 2 MiB with which Open vSwitch gets them: it takes 1 GiB. Ours has taken its own by
/// then.
const OVS_HUGE_PAGES: u64 = 520;

pub(crate) const NO_CLOCK: &str = "no `cpu MHz` in /proc/cpuinfo";

/// Runs the comparison and prints its table.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let (cases, vhost_cases) = chosen(&options.cases)?;
    fair::start_anew()?;
    let (n_rounds, seconds) = if options.quick { (1, QUICK) } else { (5, FULL) };
    if let (Some(dir), [case, ..]) = (&options.vhost_run, &vhost_cases[..]) {
        let seconds = options.vhost_seconds.unwrap_or(seconds);
        return vhost::ours::run_and_tell(dir, case, options.vhost_packed, seconds);
    }
    if options.ours_only {
        return ours_only(&cases, options);
    }
    ovs::ensure_installed()?;
    let terms = Terms {
        hertz: clock().ok_or(NO_CLOCK)?,
        has_huge_pages: has_huge_pages(),
        n_rounds,
        seconds,
    };
    let Terms { hertz, has_huge_pages, .. } = terms;
    let huge = if has_huge_pages { "with" } else { "no" };
    let apart =
        if fair::is_like_the_image() { "" } else { ", ours compiled apart (no cargo at hand)" };
    let machine =
        format!("{}, {huge} huge pages, {n_rounds} rounds of {seconds} s{apart}", cpu_model());
    println!("{machine}");
    println!(
        "of 100 packets: e exact-match cache, s signature cache, m megaflows, d none needed, u upcall"
    );
    let port = match options.cases.is_empty() {
        true => Some(port_alone::compare(&terms)?),
        false => None,
    };
    println!(
        "{:<14} {:>7} {:<9} {:<10} {:>6} {:<9} {:<10} {:>5}  aim",
        "cycles/packet", "OVS", "best", "found by", "ours", "best", "found by", "ratio"
    );
    let (mut all, mut outcomes): (Vec<Value>, Vec<Outcome>) = (Vec::new(), Vec::new());
    for case in &cases {
        let (theirs, ours) = rounds(case, &terms)?;
        let json = |all: &[Rounds]| all.iter().map(|one| one.to_json(hertz)).collect::<Vec<_>>();
        all.push(json!({"case": case.name, "ovs": json(&theirs), "ours": json(&ours)}));
        let no_settings = "a case without settings";
        let theirs = best(&theirs, hertz).ok_or(no_settings)?;
        let ours = best(&ours, hertz).ok_or(no_settings)?;
        let outcome = Outcome {
            case: case.name,
            about: case.about.to_owned(),
            aim: Some(case.aim),
            ovs: (theirs.cycles(hertz), theirs.setting),
            ours: (ours.cycles(hertz), ours.setting),
        };
        println!(
            "{:<14} {:>7.0} {:<9} {:<10} {:>6.0} {:<9} {:<10} {:>5.2}  {:<4}  {}",
            outcome.case,
            outcome.ovs.0,
            theirs.setting,
            theirs.found(),
            outcome.ours.0,
            ours.setting,
            ours.found(),
            outcome.ratio(),
            case.aim,
            case.about
        );
        outcomes.push(outcome);
    }
    let (more, vhost) = vhost::compare(&vhost_cases, &terms)?;
    outcomes.extend(more);
    if let Some(path) = &options.json {
        let text = json!({
            "cpu": cpu_model(), "hertz": hertz, "huge_pages": has_huge_pages,
            "port_alone": port, "cycles_per_packet": all,
            "vhost_user": vhost,
        });
        write(path, &text.to_string())?;
    }
    if let Some(path) = &options.plot {
        write(path, &plot::svg(&outcomes, &machine))?;
    }
    Ok(())
}

/// How to measure.
#[derive(Clone, Copy, Debug)]
struct Terms {
    hertz: f64,
    has_huge_pages: bool,
    n_rounds: usize,
    seconds: f64,
}

/// All rounds of a case, of Open vSwitch and of ours, setting by setting.
fn rounds(case: &Case, terms: &Terms) -> Result<(Vec<Rounds>, Vec<Rounds>), Box<dyn Error>> {
    let none = || case.caches.iter().map(|cache| Rounds::new(cache.name())).collect::<Vec<_>>();
    let (mut theirs, mut ours) = (none(), none());
    for _ in 0..terms.n_rounds {
        let skipped = hopeless(&theirs, terms.hertz);
        for ((&cache, rounds), _) in
            case.caches.iter().zip(&mut theirs).zip(skipped).filter(|(_, is_skipped)| !is_skipped)
        {
            let dir = tempfile::tempdir()?;
            let ports = ovs::Ports::in_memory(dir.path(), case)?;
            let ovs = ovs::Ovs::start(dir.path(), &ports, cache, terms.has_huge_pages)?;
            rounds.add(ovs.measure(case, terms.seconds)?);
        }
        let skipped = hopeless(&ours, terms.hertz);
        for ((&cache, rounds), _) in
            case.caches.iter().zip(&mut ours).zip(skipped).filter(|(_, is_skipped)| !is_skipped)
        {
            rounds.add(ours::run(case, cache, terms.seconds)?);
        }
    }
    Ok((theirs, ours))
}

/// Which settings need not be tried again.
fn hopeless(all: &[Rounds], hertz: f64) -> Vec<bool> {
    let least = best(all, hertz).map_or(f64::NAN, |rounds| rounds.cycles(hertz));
    let is_hopeless =
        |rounds: &Rounds| rounds.n_runs() >= TRIALS && rounds.cycles(hertz) > HOPELESS * least;
    all.iter().map(is_hopeless).collect()
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))
}

/// Our switch alone, one round a case: cycles over all, and in undisturbed stretches.
fn ours_only(cases: &[Case], options: &Options) -> Result<(), Box<dyn Error>> {
    let hertz = clock().ok_or(NO_CLOCK)?;
    let seconds = if options.quick { QUICK } else { FULL };
    if options.stages {
        stages::head();
        let are_cached = |case: &&Case| case.kind != case::Kind::NewFlows;
        return cases.iter().filter(are_cached).try_for_each(|case| stages::tell(case, seconds));
    }
    for case in cases {
        let measured = ours::run(case, case::Cache::Default, seconds)?;
        let (all, undisturbed) =
            (measured.cycles(hertz), measured.undisturbed.unwrap_or(0.0) * hertz);
        println!("{:<12} {all:>6.0} {undisturbed:>6.0}  {}", case.name, case.about);
    }
    Ok(())
}

/// The cases with ports in memory and those with vhost-user that are asked for: all, if none is named.
fn chosen(names: &[String]) -> Result<(Vec<Case>, Vec<vhost::Case>), String> {
    let (mut cases, mut vhost) = (case::all(), vhost::all());
    let known = cases.iter().map(|case| case.name).chain(vhost.iter().map(|case| case.name));
    let known: Vec<_> = known.collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("no case {name:?}; there are: {}", known.join(", ")));
    }
    let is_asked_for = |known: &str| names.is_empty() || names.iter().any(|name| name == known);
    cases.retain(|case| is_asked_for(case.name));
    vhost.retain(|case| is_asked_for(case.name));
    Ok((cases, vhost))
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

/// Whether Open vSwitch gets huge pages.
pub(crate) fn has_huge_pages() -> bool {
    free_huge_pages() >= OVS_HUGE_PAGES
}

/// Free huge pages of 2 MiB.
fn free_huge_pages() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
}
