//! What a second polling core brings.

use super::Terms;
use super::cases::{Outcome, figure};
use super::machine::{Plan, assemble};
use super::sources::repeat;
use crate::versus::cpu_time;
use crate::versus::frames::Frames;
use core_affinity::CoreId;
use netdev::fake::StreamHandle;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use switch::Switch;
use sync::time::Nanos;

/// Ports that send; neighbours begin on neighbouring cores. Each has one queue pair, and there is one more port.
pub(super) const PORTS: u32 = 4;

/// Where the frames of a port go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
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

pub(super) fn plan(n_cores: usize, to: To) -> Plan {
    let rule = |port| format!("in_port={port},ip,actions=output:{}", to.port(port));
    let plan = Plan { n_cores, ..Plan::new((1..=PORTS).map(rule)) };
    (0..PORTS).fold(plan, |plan, _| plan.receiving(repeat(Frames::by_source(1_000))))
}

pub(super) fn now(begun: Instant) -> Nanos {
    Nanos(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
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
