//! Where the cycles of a packet go in ours, stage by stage: the table of ARCHITECTURE.md.
//!
//! The stages are those of `dpif-netdev/pmd-perf-show` (`pmd-perf-metrics=true`). Reading the counter between them
//! takes cycles too, so the sum is a little more than what a case takes without. Other work on the machine only adds
//! to a stretch of rounds: the mean of the eighth that took least is told.

use super::case::{Cache, Case};
use super::ours::{assemble_with, config};
use super::{POLLING_CORE, WARM_UP};
use core_affinity::CoreId;
use datapath::{DatapathConfig, Stage};
use std::error::Error;
use std::time::Instant;
use switch::{StageCycles, Switch};
use sync::time::Nanos;
use tick_counter::x86_64_tick_counter as ticks;

/// Rounds of a stretch.
const ROUNDS: u32 = 256;
/// Of so many stretches the one that took least counts.
const ONE_IN: usize = 8;
/// Stages, and what is in none of them.
const N_COLUMNS: usize = Stage::ALL.len() + 1;

/// Cycles of the counter for each packet of one stretch.
type Stretch = [f64; N_COLUMNS];

/// Prints what the columns are.
pub(super) fn head() {
    print!("{:<14}", "cycles/packet");
    for stage in Stage::ALL {
        print!(" {:>8}", stage.name());
    }
    println!(" {:>8} {:>8}", "rest", "sum");
}

/// Runs one case and prints its line.
pub(super) fn tell(case: &Case, seconds: f64) -> Result<(), Box<dyn Error>> {
    core_affinity::set_for_current(CoreId { id: POLLING_CORE });
    let datapath = DatapathConfig { pmd_perf_metrics: true, ..config(Cache::Default) };
    let (mut switch, _) = assemble_with(case, datapath, ticks)?;
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < WARM_UP {
        stretch(&mut switch, begun);
    }
    let mut stretches = Vec::new();
    while begun.elapsed().as_secs_f64() < WARM_UP + seconds {
        stretches.extend(stretch(&mut switch, begun));
    }
    let sum = |stretch: &Stretch| stretch.iter().sum::<f64>();
    stretches.sort_unstable_by(|a, b| sum(a).total_cmp(&sum(b)));
    stretches.truncate(stretches.len().div_ceil(ONE_IN));
    let n = stretches.len();
    let mean = |k: usize| stretches.iter().map(|stretch| stretch[k]).sum::<f64>() / n as f64;
    let means: Vec<_> = (0..N_COLUMNS).map(mean).collect();
    print!("{:<14}", case.name);
    for mean in &means {
        print!(" {mean:>8.1}");
    }
    println!(" {:>8.1}  {}", means.iter().sum::<f64>(), case.about);
    Ok(())
}

/// Polls for a while; none, if nothing came in.
fn stretch(Switch { control, pmds }: &mut Switch, begun: Instant) -> Option<Stretch> {
    let now = || Nanos(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    control.poll(now());
    let (before, first) = (control.stage_cycles(), ticks());
    for _ in 0..ROUNDS {
        for pmd in &mut *pmds {
            pmd.poll(now());
        }
    }
    let all = ticks() - first;
    let StageCycles { by_stage, measured } = control.stage_cycles();
    let n = (measured - before.measured) as f64;
    let mut cycles = [0.0; N_COLUMNS];
    for (cycles, (after, before)) in
        cycles.iter_mut().zip(by_stage.into_iter().zip(before.by_stage))
    {
        *cycles = (after - before) as f64 / n;
    }
    cycles[N_COLUMNS - 1] = all as f64 / n - cycles.iter().sum::<f64>();
    (n > 0.0).then_some(cycles)
}
