//! What a second polling core brings, and how long polling waits for the control body where both have one
//! processor.

use super::cases::{Outcome, figure};
use super::machine::{Plan, assemble};
use super::sources::repeat;
use super::{Figure, Terms};
use crate::versus::cpu_time;
use crate::versus::frames::Frames;
use core_affinity::CoreId;
use netdev::fake::StreamHandle;
use ofproto::Bundle;
use openflow::text::parse_flow;
use openflow::{Dialect, FlowModCommand, Message, Version};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use switch::Switch;
use sync::time::Nanos;

/// Ports that send; neighbours begin on neighbouring cores. Each has one queue pair, and there is one more port.
const PORTS: u32 = 4;

/// Where the frames of a port go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// To a port that the same core polls.
    Own,
    /// To a port that the other core polls, by whose only queue nobody else sends.
    Other,
    /// All to one port, by whose only queue both cores send.
    One,
}

impl To {
    fn port(self, from: u32) -> u32 {
        match self {
            Self::Own => (from + 1) % PORTS + 1,
            Self::Other => from % PORTS + 1,
            Self::One => PORTS + 1,
        }
    }
}

/// Rules of a bundle.
const RULES: u32 = 50_000;

fn plan(n_cores: usize, to: To) -> Plan {
    let rule = |port| format!("in_port={port},ip,actions=output:{}", to.port(port));
    let plan = Plan { n_cores, ..Plan::new((1..=PORTS).map(rule)) };
    (0..PORTS).fold(plan, |plan, _| plan.receiving(repeat(Frames::by_source(1_000))))
}

fn now(begun: Instant) -> Nanos {
    Nanos(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The time that this thread ran: what others take of the processor is not the control body's doing.
fn ran() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

fn sent(ports: &[StreamHandle]) -> u64 {
    ports.iter().map(StreamHandle::n_sent).sum()
}

/// Packets a second that all polling threads forward, of the time that each of them ran.
fn rate(terms: &Terms, n_cores: usize, to: To) -> Result<f64, Box<dyn Error>> {
    let (Switch { mut control, pmds }, ports) = assemble(plan(n_cores, to))?;
    ports.iter().take(PORTS as usize).for_each(|port| port.set_burst(packet::BATCH));
    let (begun, done) = (Instant::now(), AtomicBool::new(false));
    thread::scope(|scope| {
        let polling: Vec<_> = (0..)
            .zip(pmds)
            .map(|(id, mut pmd)| {
                let done = &done;
                scope.spawn(move || {
                    core_affinity::set_for_current(CoreId { id });
                    let before = cpu_time("/proc/thread-self/schedstat");
                    while !done.load(Ordering::Relaxed) {
                        for _ in 0..64 {
                            pmd.poll(now(begun));
                        }
                    }
                    cpu_time("/proc/thread-self/schedstat") - before
                })
            })
            .collect();
        while begun.elapsed().as_secs_f64() < terms.seconds {
            control.poll(now(begun));
            thread::sleep(Duration::from_micros(200));
        }
        done.store(true, Ordering::Relaxed);
        let n = sent(&ports) as f64;
        let ran: Vec<f64> =
            polling.into_iter().filter_map(|core| Some(core.join().ok()?.as_secs_f64())).collect();
        // Each core's part in the time that it had, brought to a whole second of each.
        let all: f64 = ran.iter().sum();
        Ok(n / all * ran.len() as f64)
    })
}

/// By turns, so that what else the machine does is in all of them.
pub(super) fn scaling(terms: &Terms) -> Outcome {
    let cases = [(1, To::Own), (2, To::Own), (2, To::Other), (1, To::One), (2, To::One)];
    let mut rates = [const { Vec::new() }; 5];
    for _ in 0..terms.n_stretches {
        for ((n_cores, to), rates) in cases.into_iter().zip(&mut rates) {
            rates.push(rate(terms, n_cores, to)?);
        }
    }
    let [one, own, other, one_to_one, two_to_one] = rates.map(|mut rates| {
        rates.sort_unstable_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    Ok(vec![
        figure("one polling core", one / 1e6, "Mpps"),
        figure("two, each with its ports, for a second of both", own / 1e6, "Mpps"),
        figure("two over one", own / one, ""),
        figure("two, each frame to a port of the other core", other / 1e6, "Mpps"),
        figure("two over one", other / one, ""),
        figure("one, all frames to one port", one_to_one / 1e6, "Mpps"),
        figure("two, all frames to one port", two_to_one / 1e6, "Mpps"),
        figure("two over one", two_to_one / one_to_one, ""),
    ])
}

/// Polling and control by turns, as in a VM with one vCPU, while a bundle is committed and rules come one by
/// one: how long polling waits at most, and how often longer than it is to.
pub(super) fn gaps(terms: &Terms) -> Outcome {
    let (Switch { mut control, mut pmds }, ports) = assemble(plan(1, To::Own))?;
    ports.iter().take(PORTS as usize).for_each(|port| port.set_burst(packet::BATCH));
    let begun = Instant::now();
    let dialect = Dialect::plain(Version::V13);
    let rule = |n: u32| {
        let text =
            format!("table=1,priority=5,ip,nw_src={},actions=drop", std::net::Ipv4Addr::from(n));
        parse_flow(&text, FlowModCommand::Add).map_err(|why| format!("{text}: {why}"))
    };
    let mut bundle = Bundle::new(dialect);
    for n in 0..RULES {
        let mut bytes = Vec::new();
        let message = Message::FlowMod(Box::new(rule(0x0a00_0000 + n)?));
        dialect.encode(&message, 1, &mut bytes).map_err(|why| format!("{why:?}"))?;
        bundle.add(&bytes).map_err(|why| format!("{why:?}"))?;
    }
    control.configure(|bridge, dpif| bridge.commit_bundle(bundle, dpif, now(begun)));
    let mut waits: Vec<Duration> = Vec::new();
    let mut is_done = false;
    let (mut n_single, end) = (0, Instant::now() + Duration::from_secs_f64(terms.seconds));
    while Instant::now() < end {
        for pmd in &mut pmds {
            pmd.poll(now(begun));
        }
        is_done |= control.configure(|bridge, _| bridge.take_bundle_outcome()).is_some();
        // What one connection may bring in a round; behind the bundle, which they would end at once.
        let n = if is_done { 32 } else { 0 };
        let singles = (0..n).map(|k| rule(0x0b00_0000 + n_single + k));
        let singles = singles.collect::<Result<Vec<_>, _>>()?;
        n_single += n;
        let before = ran();
        let at = now(begun);
        for flow_mod in &singles {
            // Refused when memory ends, which is as good.
            let _ = control.configure(|bridge, _| bridge.flow_mod(flow_mod, Version::V13, at));
        }
        control.poll(at);
        waits.push(ran().saturating_sub(before));
    }
    waits.sort_unstable();
    let micros = |wait: Option<&Duration>| wait.map_or(0.0, |wait| wait.as_secs_f64() * 1e6);
    let budget = Duration::from_nanos(datapath::Cycles::GAP_BUDGET.0);
    let late = waits.iter().filter(|wait| **wait > budget).count();
    let figures: Vec<Figure> = vec![
        figure("rules that came in a bundle", f64::from(RULES), ""),
        figure("rules that came one by one", f64::from(n_single), ""),
        figure("longest wait for the control body", micros(waits.last()), "us"),
        figure(
            "999 of 1,000 waits are shorter than",
            micros(waits.get(waits.len() * 999 / 1_000)),
            "us",
        ),
        figure("waits beyond the budget of 1 ms", late as f64, ""),
    ];
    Ok(figures)
}
