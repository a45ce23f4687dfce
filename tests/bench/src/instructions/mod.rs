//! Instructions per packet on the hot paths, against a stored baseline.
//!
//! # Why
//! A machine with other work makes times vary by more than a change of a few cycles. Instructions are
//! the same in every run, so a change that adds some is seen, and for certain. They are not cycles: a
//! change may well spend instructions to save cache lines. Then the baseline is written anew
//! (`--update`), and the commit says so.
//!
//! # How
//! Each path runs twice in a process of its own under valgrind, with few packets and with many more; the
//! difference, divided by the packets that it is made of, has neither start nor warm-up in it. Time is an argument
//! of the switch and goes by steps here, so the runs do the same.

mod paths;
mod rules;

use crate::versus::fair;
use clap::Args;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Rounds of a short run and of a long one, a burst of packets each.
const SHORT: u32 = 400;
const LONG: u32 = 2_400;
/// How much more a path may take before it fails.
const TOLERANCE: f64 = 0.03;
/// The baseline, in this package.
const BASELINE: &str = "instructions.txt";

/// Counts instructions per packet with valgrind, which is installed if it is missing.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write what is counted as the new baseline.
    #[arg(long)]
    update: bool,
    /// Count only this path; may be repeated. A wrong name prints all of them.
    #[arg(long = "case")]
    cases: Vec<String>,
    /// Run one path for so many rounds: what is counted.
    #[arg(long, hide = true, requires = "cases")]
    rounds: Option<u32>,
}

/// Counts, compares and prints.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let known = paths::names();
    if let Some(wrong) = options.cases.iter().find(|name| !known.contains(name)) {
        return Err(format!("no case {wrong:?}; there are: {}", known.join(", ")).into());
    }
    if let Some(rounds) = options.rounds {
        return options.cases.iter().try_for_each(|name| paths::run(name, rounds));
    }
    fair::start_anew()?;
    ensure_installed()?;
    let old = read()?;
    let mut counted = BTreeMap::new();
    let mut n_worse = 0;
    println!("{:<24} {:>8} {:>8}", "instructions/packet", "counted", "before");
    for name in known {
        if !options.cases.is_empty() && !options.cases.contains(&name) {
            continue;
        }
        let n = count(&name)?;
        let before = old.get(&name).copied();
        let change = before.map_or(0.0, |before| n / before - 1.0);
        let word = match before {
            None => "new",
            Some(_) if change > TOLERANCE => "MORE",
            Some(_) if change < -TOLERANCE => "less",
            Some(_) => "",
        };
        n_worse += usize::from(change > TOLERANCE);
        let before = before.map_or("-".into(), |before| format!("{before:.1}"));
        println!("{name:<24} {n:>8.1} {before:>8} {:>+6.1} % {word}", change * 100.0);
        counted.insert(name, n);
    }
    if options.update {
        let mut all = old;
        all.extend(counted);
        return write(&all);
    }
    match n_worse {
        0 => Ok(()),
        _ => Err(format!("{n_worse} paths take more than {:.0} % more instructions; if that is meant, `--update`", TOLERANCE * 100.0).into()),
    }
}

fn count(name: &str) -> Result<f64, Box<dyn Error>> {
    let (few, many) = (counted(name, SHORT)?, counted(name, LONG)?);
    let packets = f64::from((LONG - SHORT) * paths::BURST);
    Ok((many - few) / packets)
}

/// Instructions of one run.
fn counted(name: &str, rounds: u32) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["instructions", "--case", name, "--rounds", &rounds.to_string()])
        .env_remove("GLIBC_TUNABLES")
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{name} under valgrind: {} {said}", output.status).into());
    }
    // `==1234== I   refs:      12,345,678`
    let line = said.lines().find(|line| line.contains("refs:"));
    let digits = line.and_then(|line| line.rsplit(' ').next()).map(|n| n.replace(',', ""));
    Ok(digits.and_then(|n| n.parse().ok()).ok_or(format!("no count in: {said}"))?)
}

fn ensure_installed() -> Result<(), Box<dyn Error>> {
    if qemu::probe::find_program("valgrind").is_some() {
        return Ok(());
    }
    eprintln!("installing valgrind …");
    let script = "set -e; s=; [ $(id -u) = 0 ] || s='sudo -n'; $s apt-get update -q; \
                  DEBIAN_FRONTEND=noninteractive $s apt-get install -q -y --no-install-recommends valgrind";
    let output = Command::new("sh").args(["-c", script]).output()?;
    if qemu::probe::find_program("valgrind").is_some() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("package valgrind cannot be installed: {said}").into())
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(BASELINE)
}

/// The baseline; lines of a name and a number, and remarks after `#`.
fn read() -> Result<BTreeMap<String, f64>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, n) = line.split_once(' ').ok_or(format!("{BASELINE}: {line:?}"))?;
        all.insert(name.to_string(), n.trim().parse()?);
    }
    Ok(all)
}

fn write(all: &BTreeMap<String, f64>) -> Result<(), Box<dyn Error>> {
    let compiler = Command::new("rustc").arg("--version").output()?;
    let mut text = format!(
        "# Instructions per packet, by `bench -- instructions --update`.\n# {}, profile image\n",
        String::from_utf8_lossy(&compiler.stdout).trim()
    );
    for (name, n) in all {
        writeln!(text, "{name} {n:.1}")?;
    }
    Ok(std::fs::write(path(), text)?)
}
