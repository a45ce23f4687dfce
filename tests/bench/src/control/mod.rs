//! The control side beside Open vSwitch: how fast rules come, how much each weighs, how soon an echo is
//! answered.
//!
//! # What is compared
//! One client speaks the same OpenFlow 1.4 over a Unix socket with two processes: our agent and bridge
//! without an image around them but compiled as for it, and `ovs-vswitchd --enable-dummy`. They run by turns, with
//! the same heap of the C library. A measurement ends
//! with a barrier reply, a commit's reply or the last part of a statistics reply, so it includes all that
//! the switch says is done; ours then is in force in all caches, that of Open vSwitch trails behind.
//!
//! # Beside a data plane
//! Echoes are also measured beside frames from memory to memory, as many as a polling core can take, which Open
//! vSwitch with DPDK and our whole switch forward on the other core (`traffic.rs`).
//!
//! # Memory
//! What a process holds more after the rules than before them, by the number of rules.

mod cases;
mod client;
mod door;
mod ours;
mod ovs;
mod traffic;

use crate::report::{cpu_model, median};
use crate::versus::fair;
use cases::Case;
use clap::Args;
use client::Client;
use serde_json::{Value, json};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Compares with `ovs-vswitchd`, which must be installed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Few rules, once: a first impression.
    #[arg(long)]
    quick: bool,
    /// Leave Open vSwitch out: for a profiler.
    #[arg(long)]
    ours_only: bool,
    /// One case alone.
    #[arg(long)]
    case: Option<String>,
    /// Write the figures of all rounds to this file as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Be the switch that is measured, at this socket.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
    /// With a data plane that is never idle.
    #[arg(long, hide = true, requires = "serve")]
    traffic: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rules: u32,
    /// Rules of the great bundle.
    many: u32,
    packets: u32,
    echoes: u32,
    rounds: usize,
}

/// Runs the comparison and prints its table.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    match &options.serve {
        Some(path) if options.traffic => return traffic::serve(path),
        Some(path) => return ours::serve(path),
        None => {}
    }
    fair::start_anew()?;
    let scale = if options.quick {
        Scale { rules: 20_000, many: 100_000, packets: 5_000, echoes: 200, rounds: 1 }
    } else {
        Scale { rules: 100_000, many: 1_000_000, packets: 50_000, echoes: 2_000, rounds: 3 }
    };
    println!("{}, {} rounds", cpu_model(), scale.rounds);
    println!("{:<44} {:>12} {:>12}  ours/OVS", "", "OVS", "ours");
    let mut all: Vec<Value> = Vec::new();
    let is_wanted = |case: &Case| options.case.as_ref().is_none_or(|name| name == case.name());
    if !Case::ALL.iter().any(is_wanted) {
        let names: Vec<_> = Case::ALL.iter().map(|case| case.name()).collect();
        return Err(format!("no such case; there are {}", names.join(", ")).into());
    }
    for case in Case::ALL.into_iter().filter(is_wanted) {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            if !options.ours_only {
                theirs.push(of_ovs(case, scale)?);
            }
            let dir = tempfile::tempdir()?;
            let switch = ours::Ours::start(dir.path(), case.has_traffic())?;
            ours.push(case.measure(&switch.socket, switch.pid(), scale)?);
        }
        all.push(json!({"case": case.name(), "unit": case.unit(), "ovs": theirs, "ours": ours}));
        let ours = median(ours);
        let label = format!("{}, {}", case.describe(scale), case.unit());
        if options.ours_only {
            println!("{label:<44} {:>12} {ours:>12.1}", "");
        } else {
            let theirs = median(theirs);
            println!("{label:<44} {theirs:>12.1} {ours:>12.1}  {:.2}", ours / theirs);
        }
    }
    if let Some(path) = &options.json {
        let text = json!({"cpu": cpu_model(), "cases": all}).to_string();
        std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}

fn of_ovs(case: Case, scale: Scale) -> Result<f64, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    if case.has_traffic() {
        let switch = traffic::BusyOvs::start(dir.path())?;
        return case.measure(&switch.socket, 0, scale);
    }
    let switch = ovs::Ovs::start(dir.path())?;
    case.measure(&switch.socket, switch.pid(), scale)
}

/// Bytes that a process holds in memory.
fn resident(pid: u32) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("0").parse()?;
    Ok(kib * 1024.0)
}

/// Connects as soon as somebody listens.
fn connect(path: &Path) -> Result<Client, Box<dyn Error>> {
    for _ in 0..600 {
        if let Ok(client) = Client::connect(path) {
            return Ok(client);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Err(format!("nobody listens at {}", path.display()).into())
}
