//! Between two vhost-user ports, natively on this machine.
//!
//! dpdk-testpmd (`net_vhost`) is the back end of both ports: some hundreds of frames of up to 256 flows circulate for
//! ever, out of each port, through the switch, and out of the other ([`Testpmd::circulating`]). It runs on the core
//! where everything else does. The switch has the other core: ours
//! with its own driver in front of the rings (`vhost-front` in the place of a hypervisor), Open vSwitch
//! with DPDK's (`net_virtio_user`).
//!
//! # Cycles
//! As with ports in memory, less the rounds in which nothing came in: a figure is the polling thread's time by the share
//! of it in which it had work, for each packet; and packets a second are what both ways together reached.
//!
//! # Who limits
//! Frames gather before who is slower. So where a switch was always busy and took full bursts of 32, it was the slower one,
//! and both figures are its own. Where it had rounds without work, or short bursts, testpmd was: packets a second are then
//! testpmd's, and cycles those of a switch that waits. A line below each case tells both shares.
//!
//! # How far apart
//! Most of the work is that lines go from core to core, so only runs count in which these are near (`near.rs`). A run that
//! was not, after some tries, is left out; where no run of a switch is left, all its runs count, and a line says so.
//!
//! # Latency
//! At half of the slower switch's rate, for the cases that `latency.rs` can measure.

mod latency;
mod near;
pub(super) mod ours;
mod ovs;

use self::near::Near;
use super::measured::{Found, Outcome};
use super::{HOPELESS, TRIALS, Terms};
use crate::report::median;
use crate::testpmd::{self, Testpmd, Traffic};
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Its name for `--case`.
    pub(super) name: &'static str,
    about: &'static str,
    /// Without checksum.
    frame_len: u16,
    /// Whether a frame may be spread over several receive buffers.
    is_mergeable: bool,
    pairs: u16,
}

impl Case {
    fn mtu(self) -> u16 {
        self.frame_len.saturating_sub(14).max(1_500)
    }
}

/// The ring that a switch asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Split,
    Packed,
}

/// The case for which a ratio of cycles is aimed at, and that.
const AIMED: &str = "vhost-64";
const AIM: f64 = 0.6;

const RINGS: [Ring; 2] = [Ring::Split, Ring::Packed];

impl Ring {
    fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Packed => "packed",
        }
    }
}

/// What a run gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    packets: u64,
    elapsed: Duration,
    /// Time that the polling thread ran, and the share of it in which there was work.
    time: Duration,
    busy: f64,
    /// Frames of a burst, on average.
    burst: f64,
    found: Found,
    /// Whether the cores were near, as [`one`] found them.
    is_near: bool,
}

impl Run {
    fn cycles(self, hertz: f64) -> f64 {
        self.time.as_secs_f64() * self.busy * hertz / self.packets.max(1) as f64
    }

    fn megapackets(self) -> f64 {
        self.packets as f64 / self.elapsed.as_secs_f64() / 1e6
    }
}

/// All cases, in the order of the table.
pub(super) fn all() -> Vec<Case> {
    let case = |name, about, frame_len, is_mergeable, pairs| Case {
        name,
        about,
        frame_len,
        is_mergeable,
        pairs,
    };
    vec![
        case("vhost-64", "64 bytes", 64, true, 1),
        case("vhost-512", "512 bytes", 512, true, 1),
        case("vhost-1514", "1,514 bytes", 1_514, true, 1),
        case("vhost-9000", "9,000 bytes", 9_000, true, 1),
        case("vhost-64-whole", "64 bytes, each frame in one buffer", 64, false, 1),
        case("vhost-1514-whole", "1,514 bytes, each frame in one buffer", 1_514, false, 1),
        case("vhost-9000-whole", "9,000 bytes, each frame in one buffer", 9_000, false, 1),
        case("vhost-64-pairs", "64 bytes, two queue pairs", 64, true, 2),
    ]
}

/// Runs the cases and prints their table; what came of it, and the figures as JSON.
pub(super) fn compare(cases: &[Case], terms: &Terms) -> Result<(Vec<Outcome>, Vec<Value>)> {
    if cases.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    if !testpmd::is_there() {
        println!(
            "no {}: package {} has it; vhost-user is left out",
            testpmd::NAME,
            testpmd::PACKAGE
        );
        return Ok((Vec::new(), Vec::new()));
    }
    let near = Near::learn();
    println!(
        "vhost-user to vhost-user, both ways, testpmd on core {}, {} ns from core to core and back",
        super::CONTROL_CORE,
        near.shortest.as_nanos()
    );
    println!(
        "{:<17} {:>8} {:>6} {:<7} {:<10} {:>8} {:>6} {:<7} {:<10} {:>5}",
        "cycles, Mpps", "OVS", "", "best", "found by", "ours", "", "best", "found by", "ratio"
    );
    let (mut outcomes, mut all) = (Vec::new(), Vec::new());
    for case in cases {
        let mut theirs = [Vec::new(), Vec::new()];
        let mut ours = [Vec::new(), Vec::new()];
        let mut failed: Option<String> = None;
        for _ in 0..terms.n_rounds {
            let skipped = hopeless(&theirs, terms);
            for ((ring, runs), is_skipped) in RINGS.into_iter().zip(&mut theirs).zip(skipped) {
                if is_skipped {
                    continue;
                }
                match one(terms, case, near, |dir| ovs::run(dir, case, ring, terms)) {
                    Ok(run) => runs.push(run),
                    Err(why) => failed = Some(format!("{}: {why}", ring.name())),
                }
            }
            let skipped = hopeless(&ours, terms);
            for ((ring, runs), is_skipped) in RINGS.into_iter().zip(&mut ours).zip(skipped) {
                if is_skipped {
                    continue;
                }
                let run = |dir: &Path| ours::in_a_child(dir, case, ring, terms);
                runs.push(one(terms, case, near, run)?);
            }
        }
        let [best, our_best] = [&theirs, &ours].map(|rings| Best::of(rings, terms));
        let ratio = our_best.cycles / best.cycles;
        println!("{:<17} {best} {our_best} {ratio:>5.2}  {}", case.name, case.about);
        let [theirs_did, ours_did] = [&best, &our_best].map(Best::effort);
        println!("    OVS {theirs_did}; ours {ours_did}");
        if let Some(why) = failed.as_ref().and_then(|why| why.lines().next()) {
            println!("    a run of Open vSwitch failed, {why}");
        }
        if best.cycles.is_finite() {
            outcomes.push(Outcome {
                case: case.name,
                about: format!("vhost-user: {}", case.about),
                aim: (case.name == AIMED).then_some(AIM),
                ovs: (best.cycles, best.ring),
                ours: (our_best.cycles, our_best.ring),
            });
        }
        let slower = best.rate.min(our_best.rate) * 1e6;
        let is_measured = latency::is_measured(case) && slower.is_finite();
        let latency = is_measured.then(|| latency::compare(case, slower, terms)).transpose()?;
        let json = |runs: &[Run]| -> Vec<Value> {
            let one = |run: &Run| {
                let Run { busy, burst, is_near, .. } = *run;
                let (cycles, mpps) = (run.cycles(terms.hertz), run.megapackets());
                json!({"cycles": cycles, "mpps": mpps, "busy": busy, "burst": burst, "near": is_near})
            };
            runs.iter().map(one).collect()
        };
        all.push(json!({
            "case": case.name, "ovs-split": json(&theirs[0]), "ovs-packed": json(&theirs[1]),
            "ours-split": json(&ours[0]), "ours-packed": json(&ours[1]), "ovs-failed": failed,
            "latency": latency,
        }));
    }
    Ok((outcomes, all))
}

fn middle(runs: &[Run], terms: &Terms) -> f64 {
    median(near_ones(runs).iter().map(|run| run.cycles(terms.hertz)).collect())
}

/// Which layouts need not be tried again.
fn hopeless(rings: &[Vec<Run>; 2], terms: &Terms) -> [bool; 2] {
    let cycles = rings.each_ref().map(|runs| middle(runs, terms));
    let least = cycles[0].min(cycles[1]);
    [0, 1].map(|k| rings[k].len() >= TRIALS && cycles[k] > HOPELESS * least)
}

/// The layout that took fewer cycles.
struct Best {
    ring: &'static str,
    cycles: f64,
    rate: f64,
    busy: f64,
    burst: f64,
    is_near: bool,
    found: Found,
}

impl Best {
    /// Of the runs with each of [`RINGS`]; no cycles at all (NaN) where there are no runs.
    fn of(rings: &[Vec<Run>; 2], terms: &Terms) -> Self {
        let of = |(ring, runs): (Ring, Vec<Run>)| Self {
            ring: ring.name(),
            cycles: middle(&runs, terms),
            rate: median(runs.iter().map(|run| run.megapackets()).collect()),
            busy: median(runs.iter().map(|run| run.busy).collect()),
            burst: median(runs.iter().map(|run| run.burst).collect()),
            is_near: runs.iter().all(|run| run.is_near),
            found: runs.last().map(|run| run.found).unwrap_or_default(),
        };
        let rings = rings.each_ref().map(|runs| near_ones(runs));
        let with_runs = RINGS.into_iter().zip(rings).filter(|(_, runs)| !runs.is_empty()).map(of);
        let (found, [cycles, rate, busy, burst]) = (Found::default(), [f64::NAN; 4]);
        let none = Self { ring: "-", cycles, rate, busy, burst, is_near: true, found };
        with_runs.min_by(|a, b| a.cycles.total_cmp(&b.cycles)).unwrap_or(none)
    }

    /// Whether it was the one that limits; see the head of this file.
    fn effort(&self) -> String {
        let far = if self.is_near { "" } else { ", cores far apart" };
        format!("busy {:.0} %, bursts of {:.1}{far}", self.busy * 100.0, self.burst)
    }
}

impl fmt::Display for Best {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ring, cycles, rate, found, .. } = self;
        write!(f, "{cycles:>8.0} {rate:>6.2} {ring:<7} {:<10}", found.to_string())
    }
}

/// A run between two ports of a testpmd of its own, with the cores near if they ever are.
fn one(terms: &Terms, case: &Case, near: Near, run: impl Fn(&Path) -> Result<Run>) -> Result<Run> {
    let once = || {
        let was_near = near.wait();
        let dir = tempfile::tempdir()?;
        let Case { frame_len, pairs, .. } = *case;
        let traffic = Traffic { frame_len, pairs, has_huge_pages: terms.has_huge_pages };
        let testpmd = Testpmd::circulating(dir.path(), traffic)?;
        let done = run(dir.path())
            .map_err(|why| format!("{}: {why}\n{}", case.name, testpmd.last_words()))?;
        drop(testpmd);
        Ok(Run { is_near: was_near && near.is_so(), ..done })
    };
    let mut done = once();
    for _ in 1..near::TRIES {
        if done.as_ref().map_or(true, |run: &Run| run.is_near) {
            break;
        }
        done = once();
    }
    done
}

/// Those in which the cores were near; all, if there is none.
fn near_ones(runs: &[Run]) -> Vec<Run> {
    let near: Vec<_> = runs.iter().copied().filter(|run| run.is_near).collect();
    if near.is_empty() { runs.to_vec() } else { near }
}
