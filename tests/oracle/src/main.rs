//! Compares the switch with the oracle; see `oracle::compare`.
#![forbid(unsafe_code)]
use clap::{Parser, Subcommand};
use oracle::compare::{self, Plan, Tally};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The naive switch, and what it says of the real one.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares the whole switch with the oracle on random lives.
    Compare {
        /// Packets to compare, at least.
        #[arg(long, default_value_t = 1_000_000)]
        packets: u64,
        /// Where lives are drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Stop after so many seconds, compared or not.
        #[arg(long)]
        seconds: Option<u64>,
        /// Live only this life.
        #[arg(long, value_parser = parse_seed)]
        life: Option<u64>,
        /// Say every minute on standard error how far it is.
        #[arg(long)]
        progress: bool,
    },
}

fn main() -> ExitCode {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        usual(info);
        let life = compare::current_life();
        eprintln!("again: cargo run --release -p oracle -- compare --life {life:#x}");
    }));
    let Command::Compare { packets, seed, seconds, life, progress } = Options::parse().command;
    let tally = match life {
        Some(life) => compare::live(life).unwrap_or_else(|text| {
            println!("{text}");
            Tally { lives: 1, differences: 1, ..Tally::default() }
        }),
        None => {
            let plan = Plan { packets, seed, time: seconds.map(Duration::from_secs) };
            let mut told = Instant::now();
            let tell = |sum: &Tally| {
                if progress && told.elapsed() > Duration::from_secs(60) {
                    told = Instant::now();
                    eprintln!("{} packets, {} differences", sum.packets, sum.differences);
                }
            };
            compare::compare(&plan, |text| println!("{text}\n"), tell)
        }
    };
    println!("{tally}");
    println!("compared {} packets, {} differences", tally.packets, tally.differences);
    if tally.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse_seed(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    }
}
