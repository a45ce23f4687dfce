//! What each table costs, and what an attack costs the others.
//!
//! # What runs
//! The whole switch without devices: a polling thread and a control thread, pinned, on ports that
//! receive without end what a source makes (one copy a frame) and swallow what they are given.
//!
//! # Cycles
//! The time that the polling thread really ran (`schedstat`) at the nominal clock, as in
//! [`crate::versus`]: work in between of other programs disturbs the figure little. With each figure stands
//! which table found the packets, so that one sees what was measured.
//!
//! # Shares
//! What is left of the throughput of a port's cached traffic while another port storms: its packets per
//! second of the polling thread, over those when it is alone. A port that sends as much cached traffic takes
//! half, so that is printed beside it.

mod cases;
mod cores;
mod gaps;
mod machine;
mod sources;
mod storm;

use crate::report::cpu_model;
use crate::versus::{NO_CLOCK, clock};
use clap::Args;
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;

/// Measures each table of the switch by itself.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Short stretches: a first impression.
    #[arg(long)]
    quick: bool,
    /// Run only this case; may be repeated. A wrong name prints all of them.
    #[arg(long = "case")]
    cases: Vec<String>,
    /// Write the figures to this file as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One figure of a case.
#[derive(Clone, Debug)]
struct Figure {
    what: &'static str,
    value: f64,
    unit: &'static str,
}

/// How to measure.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// Of a stretch; the median of several counts.
    seconds: f64,
    n_stretches: usize,
    hertz: f64,
}

/// Runs the cases and prints their figures.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let all = cases::all();
    let is_chosen =
        |name: &str| options.cases.is_empty() || options.cases.iter().any(|c| c == name);
    if let Some(wrong) = options.cases.iter().find(|name| !all.iter().any(|c| c.name == **name)) {
        let known: Vec<_> = all.iter().map(|case| case.name).collect();
        return Err(format!("no case {wrong:?}; there are: {}", known.join(", ")).into());
    }
    let hertz = clock().ok_or(NO_CLOCK)?;
    let (seconds, n_stretches) = if options.quick { (0.3, 1) } else { (1.0, 5) };
    let terms = Terms { seconds, n_stretches, hertz };
    println!("{}, {n_stretches} stretches of {seconds} s a figure", cpu_model());
    let mut values = Vec::new();
    for case in all.into_iter().filter(|case| is_chosen(case.name)) {
        println!("{}: {}", case.name, case.about);
        for Figure { what, value, unit } in (case.run)(&terms)? {
            println!("  {what:<52} {value:>10.2} {unit}");
            values.push(json!({"case": case.name, "what": what, "value": value, "unit": unit}));
        }
    }
    if let Some(path) = &options.json {
        let text = json!({"cpu": cpu_model(), "hertz": hertz, "figures": values}).to_string();
        std::fs::write(path, text).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}
