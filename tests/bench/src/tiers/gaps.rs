//! How long polling waits for the control body where both have one processor.
//!
//! # What runs
//! Polling and control by turns, as in a VM with one vCPU, while a controller brings half a million rules (a
//! bundle, then one by one), and then deletes them all with one request.
//!
//! # What is measured
//! The time that this thread ran in the control body's turn, which other work on the machine disturbs somewhat: it empties
//! caches. And what other work does not disturb at all: the bytes that one turn allocates and gives
//! back at the most. A table that doubles is seen there as what it is.

use super::cases::{Outcome, figure};
use super::cores::{PORTS, To, now, plan};
use super::machine::assemble;
use super::{Figure, Terms};
use allocation_counter::measure;
use flow::Field;
use netdev::fake::StreamHandle;
use ofproto::Bundle;
use openflow::text::parse_flow;
use openflow::{Dialect, FlowMod, FlowModCommand, Message, Version};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::time::{Duration, Instant};
use switch::{Control, Pmd, Switch};

/// Rules that come in a bundle, and one by one.
const BUNDLED: u32 = 50_000;
const SINGLE: u32 = 500_000;
/// What one connection may bring in a round.
const A_ROUND: u32 = 32;
/// Rounds in which all that was deleted is purged.
const PURGING: u32 = 4_000;

/// What turns of the control body took.
#[derive(Default)]
struct Turns {
    waits: Vec<Duration>,
    most_allocated: u64,
    most_freed: u64,
}

impl Turns {
    /// A round: polling, and a turn of the control body that begins with `work`.
    fn round(
        &mut self,
        (pmds, control): (&mut [Pmd], &mut Control),
        begun: Instant,
        work: impl FnOnce(&mut Control),
    ) {
        for pmd in pmds {
            pmd.poll(now(begun));
        }
        let before = ran();
        let memory = measure(|| {
            work(control);
            control.poll(now(begun));
        });
        self.waits.push(ran().saturating_sub(before));
        self.most_allocated = self.most_allocated.max(memory.bytes_total);
        let freed = i64::try_from(memory.bytes_total).unwrap_or(0) - memory.bytes_current;
        self.most_freed = self.most_freed.max(freed.unsigned_abs());
    }

    fn figures(mut self, names: [&'static str; 5]) -> [Figure; 5] {
        self.waits.sort_unstable();
        let budget = Duration::from_nanos(datapath::Cycles::GAP_BUDGET.0);
        let late = self.waits.iter().filter(|wait| **wait > budget).count();
        let micros = |wait: Option<&Duration>| wait.map_or(0.0, |wait| wait.as_secs_f64() * 1e6);
        let [longest, usual, beyond, allocated, freed] = names;
        [
            figure(longest, micros(self.waits.last()), "us"),
            figure(usual, micros(self.waits.get(self.waits.len() * 999 / 1_000)), "us"),
            figure(beyond, late as f64, ""),
            figure(allocated, self.most_allocated as f64 / 1024.0, "KiB"),
            figure(freed, self.most_freed as f64 / 1024.0, "KiB"),
        ]
    }
}

/// The time that this thread ran: what others take of the processor is not the control body's doing.
fn ran() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

fn bundle_of(flow_mods: impl Iterator<Item = FlowMod>) -> Result<Bundle, Box<dyn Error>> {
    let dialect = Dialect::plain(Version::V13);
    let mut bundle = Bundle::new(dialect);
    for flow_mod in flow_mods {
        let mut bytes = Vec::new();
        let message = Message::FlowMod(Box::new(flow_mod));
        dialect.encode(&message, 1, &mut bytes).map_err(|why| format!("{why:?}"))?;
        bundle.add(&bytes).map_err(|why| format!("{why:?}"))?;
    }
    Ok(bundle)
}

pub(super) fn gaps(_terms: &Terms) -> Outcome {
    let (Switch { mut control, mut pmds }, ports) = assemble(plan(1, To::Own))?;
    ports.iter().take(PORTS as usize).for_each(|port: &StreamHandle| port.set_burst(packet::BATCH));
    let begun = Instant::now();
    let text = "table=1,priority=5,ip,nw_src=10.0.0.0,actions=drop";
    let model = parse_flow(text, FlowModCommand::Add).map_err(|why| format!("{text}: {why}"))?;
    let rule = |n: u32| {
        let mut flow_mod = model.clone();
        flow_mod.match_.set_exact(Field::Ipv4Src, n.into());
        flow_mod
    };
    let mut adding = Turns::default();
    let bundle = bundle_of((0..BUNDLED).map(|n| rule(0x0a00_0000 + n)))?;
    control.configure(|bridge, dpif| bridge.commit_bundle(bundle, dpif, now(begun)));
    let is_done =
        |control: &mut Control| control.configure(|b, _| b.take_bundle_outcome()).is_some();
    // A step of a bundle is a rule; twice, as it is prepared and settled.
    for _ in 0..BUNDLED {
        adding.round((&mut pmds, &mut control), begun, |_| {});
        if is_done(&mut control) {
            break;
        }
    }
    let mut n_single = 0;
    while n_single < SINGLE {
        let singles: Vec<_> = (0..A_ROUND).map(|k| rule(0x0b00_0000 + n_single + k)).collect();
        n_single += A_ROUND;
        adding.round((&mut pmds, &mut control), begun, |control| {
            for flow_mod in &singles {
                let at = now(begun);
                // Refused when memory ends, which is as good.
                let _ = control.configure(|bridge, _| bridge.flow_mod(flow_mod, Version::V13, at));
            }
        });
    }
    let n_rules = control.configure(|bridge, _| bridge.state().tables.n_rules());
    let mut deleting = Turns::default();
    let all = "table=1";
    let delete = parse_flow(all, FlowModCommand::Delete).map_err(|why| format!("{all}: {why}"))?;
    let bundle = bundle_of([delete].into_iter())?;
    control.configure(|bridge, dpif| bridge.commit_bundle(bundle, dpif, now(begun)));
    for _ in 0..SINGLE {
        deleting.round((&mut pmds, &mut control), begun, |_| {});
        if is_done(&mut control) {
            break;
        }
    }
    for _ in 0..PURGING {
        deleting.round((&mut pmds, &mut control), begun, |_| {});
    }
    let n_left = control.configure(|bridge, _| bridge.state().tables.n_rules());
    let mut figures: Vec<Figure> = vec![
        figure("rules that came in a bundle", f64::from(BUNDLED), ""),
        figure("rules that came one by one", f64::from(n_single), ""),
        figure("rules that went", (n_rules - n_left) as f64, ""),
    ];
    figures.extend(adding.figures([
        "rules come: longest wait for the control body",
        "999 of 1,000 waits are shorter than",
        "waits beyond the budget of 1 ms",
        "most that a turn allocates",
        "most that a turn gives back",
    ]));
    figures.extend(deleting.figures([
        "rules go: longest wait for the control body",
        "999 of 1,000 waits are shorter than",
        "waits beyond the budget of 1 ms",
        "most that a turn allocates",
        "most that a turn gives back",
    ]));
    Ok(figures)
}
