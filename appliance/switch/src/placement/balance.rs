//! What queues and cores took lately, and when queues are assigned anew.
//!
//! # Measuring
//! Each [`INTERVAL`] the control core reads what each queue and each core has counted, and keeps the last
//! [`N_INTERVALS`] differences: a minute, as Open vSwitch does.
//!
//! # By itself
//! With `pmd-auto-lb`, each `pmd-auto-lb-rebal-interval`: if a core was busy for `pmd-auto-lb-load-threshold` of the last
//! minute, and one has more than one queue, it is tried out on paper what an assignment would bring. If the
//! variance of the loads would sink by `pmd-auto-lb-improvement-threshold`, it is carried out.
//!
//! # Cost
//! A few words each five seconds; nothing on polling cores but an addition a burst.

use super::{Assign, Assignment, PlacementConfig, Queue, assign, improvement, isolated};
use crate::dpif::RingDpif;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use datapath::PortNo;
use sync::time::Nanos;

/// Between two readings.
const INTERVAL: Nanos = Nanos::from_secs(5);
/// Readings that are kept.
const N_INTERVALS: usize = 12;

/// The differences of a count.
#[derive(Clone, Debug, Default)]
struct History {
    last: u64,
    /// The latest first.
    differences: VecDeque<u64>,
}

impl History {
    fn note(&mut self, count: u64) {
        self.differences.truncate(N_INTERVALS - 1);
        self.differences.push_front(count.wrapping_sub(self.last));
        self.last = count;
    }

    fn sum(&self, n: usize) -> u64 {
        self.differences.iter().take(n).fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// What a core took lately.
#[derive(Clone, Debug, Default)]
struct CoreHistory {
    busy: History,
    all: History,
}

/// The control core's part of placement.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    config: PlacementConfig,
    queues: BTreeMap<(PortNo, usize), History>,
    cores: Vec<CoreHistory>,
    /// `pmd-rxq-affinity` of ports: which queue on which core.
    pins: BTreeMap<PortNo, Vec<(usize, usize)>>,
    next_reading: Nanos,
    next_look: Nanos,
    /// Queues are to be assigned anew.
    is_due: bool,
    /// Queues of devices, when they were last looked at.
    n_queues: usize,
}

impl Balance {
    pub(crate) fn config(&self) -> &PlacementConfig {
        &self.config
    }

    pub(crate) fn configure(&mut self, config: PlacementConfig) {
        let before = core::mem::replace(&mut self.config, config);
        self.is_due |= (before.assign, before.isolates) != (config.assign, config.isolates);
        if config.is_auto && !before.is_auto {
            self.next_look = Nanos::ZERO;
        }
    }

    /// Pins queues of a port to cores.
    pub(crate) fn pin(&mut self, port: PortNo, pins: Vec<(usize, usize)>) {
        let before = match pins.is_empty() {
            true => self.pins.remove(&port).unwrap_or_default(),
            false => self.pins.insert(port, pins.clone()).unwrap_or_default(),
        };
        self.is_due |= before != pins;
    }

    /// Has queues assigned anew.
    pub(crate) fn ask(&mut self) {
        self.is_due = true;
    }

    /// Reads, looks, and moves what is due. To be called once a round.
    pub(crate) fn run(&mut self, dpif: &mut RingDpif, now: Nanos) {
        if now >= self.next_reading {
            self.read(dpif);
            self.next_reading = now.saturating_add(INTERVAL);
        }
        let n_queues = dpif.rx_places().len();
        if n_queues != self.n_queues {
            self.n_queues = n_queues;
            // Those of a device that was opened again may be pinned.
            self.is_due |= !self.pins.is_empty();
        }
        if self.config.is_auto && now >= self.next_look {
            let is_first = self.next_look == Nanos::ZERO;
            let minutes = u64::from(self.config.interval_min.max(1));
            self.next_look = now.saturating_add(Nanos::from_secs(60 * minutes));
            self.is_due |= !is_first && self.would_gain(dpif);
        }
        // One after another: queues on their way are not counted twice.
        if self.is_due && !dpif.is_moving() {
            self.is_due = false;
            self.carry_out(dpif);
        }
    }

    fn read(&mut self, dpif: &RingDpif) {
        self.queues.retain(|key, _| {
            dpif.rx_places().iter().any(|place| (place.port, place.number) == *key)
        });
        for place in dpif.rx_places() {
            self.queues.entry((place.port, place.number)).or_default().note(place.cycles.get());
        }
        self.cores.resize(dpif.n_cores(), CoreHistory::default());
        for (core, history) in self.cores.iter_mut().enumerate() {
            let Some(read) = dpif.reading_since_boot(core) else { continue };
            history.busy.note(read.busy);
            history.all.note(read.busy.wrapping_add(read.idle));
        }
    }

    /// All queues with what they took lately.
    fn measured(&self, dpif: &RingDpif) -> Vec<Queue> {
        let queue = |place: &crate::dpif::RxPlace| {
            let (port, number) = (place.port, place.number);
            let mut pins = self.pins.get(&port).into_iter().flatten().rev();
            let pin = pins.find(|(queue, _)| *queue == number).map(|(_, core)| *core);
            let pin = pin.filter(|core| *core < dpif.n_cores());
            let cycles = self.queues.get(&(port, number)).map_or(0, |of| of.sum(N_INTERVALS));
            Queue { port, number, pin, cycles }
        };
        dpif.rx_places().iter().map(queue).collect()
    }

    /// Whether a core is overloaded, and another assignment is so much better.
    fn would_gain(&self, dpif: &RingDpif) -> bool {
        let queues = self.measured(dpif);
        let cores: Vec<usize> = dpif.rx_places().iter().map(|place| place.core).collect();
        let then = assign(&queues, dpif.n_cores(), &self.config);
        let open = || then.is_isolated.iter().enumerate().filter(|(_, is)| !**is).map(|(k, _)| k);
        let n_of = |core: usize| cores.iter().filter(|at| **at == core).count();
        let is_overloaded = |core: usize| {
            self.cores.get(core).is_some_and(|of| {
                let (busy, all) = (of.busy.sum(N_INTERVALS), of.all.sum(N_INTERVALS));
                let threshold = u128::from(self.config.load_threshold);
                all > 0 && u128::from(busy) * 100 >= u128::from(all) * threshold
            })
        };
        if self.config.assign == Assign::RoundRobin
            || open().count() < 2
            || !open().any(|core| n_of(core) > 1)
            || !open().any(is_overloaded)
        {
            return false;
        }
        let gain = improvement(&queues, &cores, &then);
        let is_enough = gain >= self.config.improvement_threshold && then.cores != cores;
        log::info!(
            "pmd-auto-lb: another assignment of queues would lower the variance of loads by {gain} %: {}",
            if is_enough { "they move" } else { "not enough" }
        );
        is_enough
    }

    fn carry_out(&self, dpif: &mut RingDpif) {
        let queues = self.measured(dpif);
        let Assignment { cores, .. } = assign(&queues, dpif.n_cores(), &self.config);
        for (queue, core) in queues.iter().zip(cores) {
            if dpif.move_queue(queue.port, queue.number, core) {
                log::info!(
                    "core {core} polls queue {} of port {} from now on ({} cycles lately)",
                    queue.number,
                    queue.port,
                    queue.cycles
                );
            }
        }
    }

    /// Which cores are kept for what is pinned to them.
    pub(crate) fn isolated(&self, dpif: &RingDpif) -> Vec<bool> {
        isolated(&self.measured(dpif), dpif.n_cores(), &self.config)
    }

    /// Cycles of a queue in the last `n` intervals.
    pub(crate) fn of_queue(&self, port: PortNo, number: usize, n: usize) -> u64 {
        self.queues.get(&(port, number)).map_or(0, |of| of.sum(n))
    }

    /// Cycles of a core in the last `n` intervals: busy ones, and all.
    pub(crate) fn of_core(&self, core: usize, n: usize) -> (u64, u64) {
        self.cores.get(core).map_or((0, 0), |of| (of.busy.sum(n), of.all.sum(n)))
    }

    /// How many intervals cover so many seconds, and how many seconds those are.
    pub(crate) fn intervals(secs: u64) -> (usize, u64) {
        let each = INTERVAL.as_secs();
        let n = secs.div_ceil(each).clamp(1, N_INTERVALS as u64);
        (usize::try_from(n).unwrap_or(N_INTERVALS), n * each)
    }
}
