#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod boot;
mod control;
mod daemon;
mod guest;
mod idle;
mod instructions;
mod latency;
mod machine;
mod rate;
mod report;
mod scaling;
mod testpmd;
mod tiers;
mod versus;
mod vswitchd;

use clap::{Parser, Subcommand, ValueEnum};
use machine::Machine;
use report::Report;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures the image: size, boot, memory, frames a second.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    /// Run only this case; may be repeated.
    #[arg(long = "case", value_enum)]
    cases: Vec<Case>,
    /// Boots per figure; the median is printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Seconds of traffic for the rate, and of idleness.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Write the figures to this file as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    comparison: Option<Comparison>,
}

#[derive(Debug, Subcommand)]
enum Comparison {
    /// Cycles per packet beside Open vSwitch with DPDK, natively on this machine.
    VersusOvs(versus::Options),
    /// Frames a second and latency of the image in QEMU, beside a Linux guest that forwards.
    Guest(guest::Options),
    /// Flow-mods, bundles, dumps and echoes beside `ovs-vswitchd`, natively on this machine.
    Control(control::Options),
    /// Instructions per packet on the hot paths, beside a stored baseline.
    Instructions(instructions::Options),
    /// Cycles per packet of each table, of upcalls, and under attack, natively on this machine.
    Tiers(tiers::Options),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    Size,
    Boot,
    Memory,
    Idle,
    Rate,
    Scaling,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    match &options.comparison {
        Some(Comparison::VersusOvs(options)) => return versus::run(options),
        Some(Comparison::Guest(options)) => return guest::run(options),
        Some(Comparison::Instructions(options)) => return instructions::run(options),
        Some(Comparison::Control(options)) => return control::run(options),
        Some(Comparison::Tiers(options)) => return tiers::run(options),
        None => {}
    }
    let wants = |case| options.cases.is_empty() || options.cases.contains(&case);
    let machine = Machine::prepare()?;
    let mut report = Report::new(&machine);
    if wants(Case::Size) {
        let kib = machine.image_bytes.div_ceil(1024);
        report.add("image, stripped ELF", kib as f64, "KiB");
    }
    if wants(Case::Boot) {
        boot::first_frame(&machine, options.runs, &mut report)?;
    }
    if wants(Case::Memory) {
        boot::memory(&machine, 4, 64, &mut report)?;
        boot::memory(&machine, 16, 128, &mut report)?;
    }
    if wants(Case::Idle) {
        idle::rest(&machine, options.seconds, &mut report)?;
    }
    if wants(Case::Rate) {
        rate::vhost_user(&machine, options.seconds, &mut report)?;
    }
    if wants(Case::Scaling) {
        scaling::vcpus(&machine, options.seconds, &mut report)?;
    }
    print!("{report}");
    if let Some(path) = &options.json {
        std::fs::write(path, report.to_json())
            .map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}
