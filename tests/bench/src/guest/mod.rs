//! The image in QEMU beside a Linux guest that forwards.
//!
//! # What is compared
//! Two virtual machines from the same command line: accelerator, CPU model, vCPUs, memory, machine, and two
//! NICs with vhost-user behind them. In one boots our image as it comes, which is a learning switch; in the other a
//! Linux with dpdk-testpmd in mode `io` (`linux.rs`), which looks at no frame: the least that forwarding costs in a
//! guest, with DPDK's driver of the same NICs.
//!
//! Each boots once. Their time stands still but while they are measured, by turns, so neither takes anything from the other.
//!
//! # Frames a second
//! dpdk-testpmd on the host is the back end of both ports: it sends on both as much as it can and counts what
//! comes back. The middle of the rounds counts.
//!
//! # Latency
//! At half of that rate another back end (`vhost-back`) sends frames that say when they were given to the guest's ring,
//! and takes them from the ring behind the other port. Percentiles are of both ways together; the middle of the rounds
//! counts. Each guest is taken at half of its own rate, and the faster one at half of the slower one's besides: the same
//! load for both.
//!
//! # Cores
//! What is on the host has the first core, QEMU the others. Under TCG, which emulates each instruction, this compares
//! the work that has to be emulated, and says little about hardware.

mod archive;
mod linux;

use crate::boot::wait_ready;
use crate::daemon::{self, run as run_command};
use crate::latency::{Middle, to_json};
use crate::machine::Machine;
use crate::report::{cpu_model, median};
use crate::testpmd::{self, Testpmd, Traffic, socket};
use crate::versus::CONTROL_CORE;
use clap::Args;
use core_affinity::CoreId;
use linux::Linux;
use qemu::{Accel, Backend, Boot, Nic, Role, Running};
use seed::Mac;
use serde_json::{Value, json};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use vhost_back::{Back, Outcome, Plan, exchange};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A guest that takes longer to boot or to find its back end has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// Seconds before counting.
const WARM_UP: f64 = 1.0;
/// What is still under way at the end of a run arrives by then.
const DRAIN: Duration = Duration::from_secs(1);

/// Compares with a Linux guest; fetches what that needs from the distribution.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// One short round: a first impression.
    #[arg(long)]
    quick: bool,
    /// Rounds of each guest.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds of traffic for each figure.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// vCPUs of either guest.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    smp: u16,
    /// Memory of either guest in MiB.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(384..=65_536))]
    memory: u32,
    /// Bytes of a frame without its checksum; may be repeated [default: 64 and 1514].
    #[arg(long = "size", value_parser = clap::value_parser!(u16).range(64..=1514))]
    sizes: Vec<u16>,
    /// Leave the Linux guest out.
    #[arg(long)]
    ours_only: bool,
    /// Write the figures of all rounds to this file as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What boots.
#[derive(Clone, Debug)]
enum Guest {
    Linux(Linux),
    Ours,
}

impl Guest {
    fn name(&self) -> &'static str {
        match self {
            Self::Linux(_) => "linux",
            Self::Ours => "ours",
        }
    }
}

/// How to measure.
struct Terms {
    machine: Machine,
    smp: u16,
    memory: u32,
    seconds: f64,
}

/// A guest, by its place in the list, at a load.
#[derive(Clone, Copy, Debug)]
struct Load {
    guest: usize,
    /// Frames a second, both ways together.
    pace: f64,
}

/// Runs the comparison and prints its table, row by row.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !testpmd::is_there() {
        daemon::install(&[testpmd::PACKAGE], testpmd::is_there)?;
    }
    let machine = Machine::prepare()?;
    let (n_rounds, seconds) =
        if options.quick { (1, 2.0) } else { (options.rounds, options.seconds.into()) };
    let dir = tempfile::tempdir()?;
    let mut guests = vec![Guest::Ours];
    if !options.ours_only {
        let linux = linux::prepare(&cache()?, dir.path(), options.smp)?;
        guests.insert(0, Guest::Linux(linux));
    }
    let sizes = if options.sizes.is_empty() { vec![64, 1514] } else { options.sizes.clone() };
    let terms = Terms { machine, smp: options.smp, memory: options.memory, seconds };
    let head = describe(&terms, &guests, n_rounds);
    println!("{head}");
    let clock = Clock(Instant::now());
    let mut booted = Vec::new();
    for guest in &guests {
        clock.note(&format!("{} boots", guest.name()));
        booted.push(Booted::start(&terms, guest)?);
    }
    clock.note("ready; a guest runs only while it is measured");

    let (mut all_rates, mut all_latencies) = (Vec::new(), Vec::new());
    for &frame_len in &sizes {
        let measured = Measured::take(&booted, frame_len, n_rounds, seconds, &clock)?;
        measured.print();
        all_rates.push(measured.rates_as_json());
        all_latencies.extend(measured.latencies_as_json());
    }
    clock.note("done");
    if let Some(path) = &options.json {
        let text = json!({"what": head, "rates": all_rates, "latencies": all_latencies});
        fs::write(path, text.to_string()).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(())
}

/// Tells what is being done, with the seconds since the beginning.
struct Clock(Instant);

impl Clock {
    fn note(&self, what: &str) {
        eprintln!("[{:>4} s] {what}", self.0.elapsed().as_secs());
    }
}

/// Everything at one size.
struct Measured {
    frame_len: u16,
    names: Vec<&'static str>,
    /// By guest: all rounds.
    rates: Vec<Vec<f64>>,
    /// Each with all rounds.
    latencies: Vec<(Load, Vec<Outcome>)>,
}

impl Measured {
    fn take(
        guests: &[Booted],
        frame_len: u16,
        n_rounds: u16,
        seconds: f64,
        clock: &Clock,
    ) -> Result<Self> {
        let mut rates = vec![Vec::new(); guests.len()];
        for round in 1..=n_rounds {
            for (guest, rates) in guests.iter().zip(&mut rates) {
                let rate = guest.awake(|| guest.rate(frame_len, seconds))?;
                let name = guest.name;
                clock
                    .note(&format!("{frame_len} bytes, round {round}, {name}: {rate:.0} frames/s"));
                rates.push(rate);
            }
        }
        let middle: Vec<f64> = rates.iter().map(|rates| median(rates.clone())).collect();
        let mut latencies: Vec<_> =
            loads(&middle).into_iter().map(|load| (load, Vec::new())).collect();
        for round in 1..=n_rounds {
            for (load, outcomes) in &mut latencies {
                let Some(guest) = guests.get(load.guest) else { continue };
                let outcome = guest.awake(|| guest.latency(frame_len, load.pace, seconds))?;
                let half = outcome.latencies.at(0.5).unwrap_or_default();
                clock.note(&format!(
                    "{frame_len} bytes, round {round}, {} at {:.0} frames/s: half take no longer than {half:.0?}",
                    guest.name, load.pace
                ));
                outcomes.push(outcome);
            }
        }
        let names = guests.iter().map(|guest| guest.name).collect();
        Ok(Self { frame_len, names, rates, latencies })
    }

    fn print(&self) {
        let Self { frame_len, names, rates, latencies } = self;
        println!("\n{:<34} {:>12}", format!("{frame_len} bytes, both ways"), "frames/s");
        let rates: Vec<f64> = rates.iter().map(|rates| median(rates.clone())).collect();
        for (name, rate) in names.iter().zip(&rates) {
            println!("{name:<34} {rate:>12.0}");
        }
        if let [linux, ours] = rates[..] {
            println!("{:<34} {:>12.2}", "ours, times linux", ours / linux);
        }
        println!(
            "{:<34} {:>12} {:>9} {:>9} {:>9} {:>9}",
            "latency, us", "frames/s", "50 %", "99 %", "99.9 %", "lost, %"
        );
        for (Load { guest, pace }, outcomes) in latencies {
            let Middle { micros: [half, most, nearly], lost, skipped } = Middle::of(outcomes);
            let name = names[*guest];
            print!("{name:<34} {pace:>12.0} {half:>9.0} {most:>9.0} {nearly:>9.0} {lost:>9.3}");
            match skipped {
                1.0.. => println!("  the generator missed {skipped:.0} % of its pace"),
                _ => println!(),
            }
        }
    }

    fn rates_as_json(&self) -> Value {
        let Self { frame_len, names, rates, .. } = self;
        let guests: Vec<_> = names.iter().zip(rates).collect();
        json!({"frame_bytes": frame_len, "frames_per_second": guests})
    }

    fn latencies_as_json(&self) -> impl Iterator<Item = Value> {
        self.latencies.iter().map(|(load, outcomes)| {
            json!({
                "guest": self.names[load.guest], "frame_bytes": self.frame_len,
                "frames_per_second": load.pace, "rounds": to_json(outcomes),
            })
        })
    }
}

/// Half of each guest's own rate, and half of the slowest one's for the others.
fn loads(rates: &[f64]) -> Vec<Load> {
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let mut all = Vec::new();
    for (guest, &own) in rates.iter().enumerate() {
        all.push(Load { guest, pace: own / 2.0 });
        if own > least {
            all.push(Load { guest, pace: least / 2.0 });
        }
    }
    all
}

fn describe(terms: &Terms, guests: &[Guest], n_rounds: u16) -> String {
    let Terms { machine, smp, memory, seconds } = terms;
    let (accel, why_not) = qemu::probe::accelerator();
    let why_not = why_not.map_or_else(String::new, |why| format!(" ({why})"));
    let meaning = match accel {
        Accel::Tcg => {
            "\neach instruction is emulated: this compares work, not what hardware would do"
        }
        Accel::Kvm => "",
    };
    let linux = guests.iter().find_map(|guest| match guest {
        Guest::Linux(linux) => Some(linux.name.as_str()),
        Guest::Ours => None,
    });
    let dpdk =
        run_command(Command::new("dpkg-query").args(["-W", "-f", "${Version}", testpmd::PACKAGE]));
    format!(
        "QEMU {}.{}, accelerator {}{why_not}, on {}\n\
         {smp} vCPU, {memory} MiB, q35; {}; DPDK {}; {n_rounds} rounds of {seconds} s{meaning}",
        machine.qemu.version.major,
        machine.qemu.version.minor,
        accel.name(),
        cpu_model(),
        linux.unwrap_or("no Linux guest"),
        dpdk.as_deref().unwrap_or("of unknown version"),
    )
}

/// Where fetched packages are kept: beside what cargo builds.
fn cache() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let target = this.parent().and_then(Path::parent).ok_or("a program without a folder")?;
    Ok(target.join("bench-guest"))
}

/// A guest with two ports whose back ends may come and go. Its time stands still between two measurements.
struct Booted {
    name: &'static str,
    dir: tempfile::TempDir,
    running: Running,
}

impl Booted {
    /// Boots it with back ends that only let it start.
    fn start(terms: &Terms, guest: &Guest) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut vm = terms.machine.vm(dir.path(), "mgmt=none log=error");
        vm.smp = terms.smp;
        vm.memory_mib = terms.memory;
        for k in 0..2_u8 {
            let backend =
                Backend::VhostUser { path: socket(dir.path(), k.into()), role: Role::Client };
            vm.nics.push(Nic::new(format!("p{k}"), Mac([2, 0, 0, 0, 1, k]), backend));
        }
        if let Guest::Linux(Linux { kernel, initrd, .. }) = guest {
            vm.boot = Boot::Kernel { path: kernel.clone(), cmdline: linux::CMDLINE.into() };
            vm.extra = vec!["-initrd".into(), initrd.display().to_string()];
        }
        let backs = backs(dir.path())?;
        let running = terms.machine.start(&vm)?;
        pin(running.id())?;
        match guest {
            Guest::Ours => {
                wait_ready(&running)?;
            }
            Guest::Linux(_) => {
                if !running.serial().wait_for(linux::READY, PATIENCE) {
                    let said = running.serial().tail(20).join("\n");
                    return Err(format!("the Linux guest does not forward:\n{said}").into());
                }
            }
        }
        drop(backs);
        let booted = Self { name: guest.name(), dir, running };
        booted.tell("stop")?;
        Ok(booted)
    }

    /// Lets its time go on while something is done.
    fn awake<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.tell("cont")?;
        let done = act().map_err(|why| {
            let said = self.running.serial().tail(10).join("\n");
            format!("{}: {why}\n{said}\n{}", self.name, self.running.said().text())
        })?;
        self.tell("stop")?;
        Ok(done)
    }

    fn tell(&self, what: &str) -> Result<()> {
        let done = self.running.qmp().and_then(|mut qmp| qmp.execute(what, json!({})));
        done.map_err(|why| format!("{}: {what}: {why}", self.name))?;
        Ok(())
    }

    /// Frames a second that testpmd gets through it.
    fn rate(&self, frame_len: u16, seconds: f64) -> Result<f64> {
        let traffic = Traffic { frame_len, pairs: 1, has_huge_pages: false };
        let testpmd = Testpmd::start(self.dir.path(), traffic)?;
        let rate = testpmd.rate(WARM_UP, seconds);
        drop(testpmd);
        // It leaves its sockets behind.
        for k in 0..2 {
            let _ = fs::remove_file(socket(self.dir.path(), k));
        }
        rate
    }

    /// How long frames take through it at a load.
    fn latency(&self, frame_len: u16, pace: f64, seconds: f64) -> Result<Outcome> {
        let plan = Plan {
            frame_len: frame_len.into(),
            // Each way.
            pace: pace / 2.0,
            warm_up: Duration::from_secs_f64(WARM_UP),
            time: Duration::from_secs_f64(seconds),
            patience: DRAIN,
        };
        let [first, second] = &backs(self.dir.path())?;
        if !(first.wait_up(PATIENCE) && second.wait_up(PATIENCE)) {
            return Err("the guest does not come back to its ports".into());
        }
        let outcome = std::thread::scope(|scope| {
            let measured = scope.spawn(|| {
                core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
                exchange([first, second], &plan)
            });
            measured.join()
        });
        let outcome = outcome.map_err(|_| "the generator panicked")?;
        match outcome.received {
            0 => Err("no frame came through".into()),
            _ => Ok(outcome),
        }
    }
}

fn backs(dir: &Path) -> Result<[Back; 2]> {
    Ok([Back::listen(&socket(dir, 0))?, Back::listen(&socket(dir, 1))?])
}

/// Keeps a process off the first core, where the host's end of the ports is.
fn pin(process: u32) -> Result<()> {
    let n_cores = std::thread::available_parallelism()?.get();
    if n_cores > 1 {
        let cores = format!("{}-{}", CONTROL_CORE + 1, n_cores - 1);
        run_command(Command::new("taskset").args([
            "-a",
            "-c",
            "-p",
            &cores,
            &process.to_string(),
        ]))?;
    }
    Ok(())
}
