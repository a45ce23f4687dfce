//! Compares us with the real Open vSwitch; see the library.
#![forbid(unsafe_code)]
use clap::Parser;
use differential::compare::{Plan, compare};
use differential::keys::compare_keys;
use std::process::ExitCode;

/// Judges our switch by the real Open vSwitch.
#[derive(Debug, Parser)]
struct Options {
    /// Cases to compare, at least.
    #[arg(long, default_value_t = 2_000)]
    cases: u64,
    /// Where they are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show at most so many differences in full.
    #[arg(long, default_value_t = 10)]
    show: u64,
    /// Only this set of rules.
    #[arg(long)]
    set: Option<u64>,
    /// Compare no rules, but the keys of so many frames.
    #[arg(long)]
    keys: Option<u64>,
}

fn main() -> ExitCode {
    let Options { cases, seed, show, set, keys } = Options::parse();
    let mut shown = 0;
    let tell = |text: &str| {
        shown += 1;
        if shown <= show {
            println!("{text}\n");
        }
    };
    let compared = match keys {
        Some(n) => compare_keys(n, seed, tell).map(|tally| (tally.to_string(), tally.unexplained)),
        None => compare(&Plan { cases, seed, set }, tell)
            .map(|tally| (tally.to_string(), tally.unexplained)),
    };
    match compared {
        Ok((tally, unexplained)) => {
            println!("{tally}");
            if unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
