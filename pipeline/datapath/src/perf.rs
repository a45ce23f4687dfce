//! Where a core's cycles go.
//!
//! Cycles are read by whoever can ([`crate::Output::cycles`]); here they are only added up. How many a
//! core was busy or idle is counted always, once a round. Which stage took them costs a reading a stage
//! and batch, and is counted when `pmd-perf-metrics` says so.

use sync::counter::{Counter, Gauge};
use sync::time::Nanos;

/// The stages of a packet's way through a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Taking frames out of a receive queue.
    Rx,
    /// Making the key.
    Extract,
    /// The exact-match cache, insertions included.
    Emc,
    /// The signature cache, insertions included.
    Smc,
    /// The megaflow table.
    Megaflow,
    /// Handing misses up.
    Upcall,
    /// Running programs, up to staging for transmission.
    Actions,
    /// Handing staged frames to transmit queues.
    Tx,
}

impl Stage {
    /// All stages, in a packet's order.
    pub const ALL: [Self; 8] = [
        Self::Rx,
        Self::Extract,
        Self::Emc,
        Self::Smc,
        Self::Megaflow,
        Self::Upcall,
        Self::Actions,
        Self::Tx,
    ];

    /// The stage's name in statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rx => "rx",
            Self::Extract => "extract",
            Self::Emc => "emc",
            Self::Smc => "smc",
            Self::Megaflow => "megaflow",
            Self::Upcall => "upcall",
            Self::Actions => "actions",
            Self::Tx => "tx",
        }
    }
}

/// One core's cycles. Written by that core, read by any.
#[derive(Debug, Default)]
pub struct Cycles {
    /// Rounds in which there was something to do.
    pub busy_rounds: Counter,
    /// Rounds in which there was not.
    pub idle_rounds: Counter,
    /// Cycles of busy rounds.
    pub busy: Counter,
    /// Cycles of idle rounds.
    pub idle: Counter,
    /// Rests after a round without work.
    pub rests: Counter,
    /// Microseconds of those rests.
    pub rested_us: Counter,
    /// Cycles by stage, while they are counted.
    by_stage: [Counter; Stage::ALL.len()],
    /// Packets, passes of recirculated ones included, whose stages were counted.
    pub measured: Counter,
    /// The longest time between the beginnings of two rounds, in nanoseconds: so long the ports waited
    /// at most for the core to come back from whatever else it does. Who reads it may set it back to
    /// zero; a round that ends just then may be missed.
    pub longest_gap: Gauge,
    /// How often that time was more than [`Self::GAP_BUDGET`].
    pub long_gaps: Counter,
}

impl Cycles {
    /// What is done beside polling is to take no longer at once.
    pub const GAP_BUDGET: Nanos = Nanos::from_millis(1);

    /// Notes that a round begins so long after the last one began. By the owning core alone.
    #[inline]
    pub fn gap(&self, gap: Nanos) {
        if gap.0 > self.longest_gap.get() {
            self.longest_gap.set(gap.0);
        }
        self.long_gaps.add(u64::from(gap > Self::GAP_BUDGET));
    }

    /// Adds cycles to a stage. By the owning core alone.
    #[inline]
    pub fn spend(&self, stage: Stage, n: u64) {
        if let Some(counter) = self.by_stage.get(stage as usize) {
            counter.add(n);
        }
    }

    /// Cycles spent in a stage.
    #[must_use]
    pub fn spent(&self, stage: Stage) -> u64 {
        self.by_stage.get(stage as usize).map_or(0, Counter::get)
    }

    /// Adds a round. By the owning core alone.
    #[inline]
    pub fn round(&self, was_busy: bool, n: u64) {
        let (rounds, cycles) = match was_busy {
            true => (&self.busy_rounds, &self.busy),
            false => (&self.idle_rounds, &self.idle),
        };
        rounds.add(1);
        cycles.add(n);
    }
}

/// Reads the cycle counter between stages, if at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Option<u64>);

impl Stopwatch {
    /// Starts at `now`, or not at all.
    pub(crate) fn start(is_on: bool, now: impl FnOnce() -> u64) -> Self {
        Self(is_on.then(now))
    }

    /// The time since the last lap is the stage's.
    #[inline]
    pub(crate) fn lap(&mut self, stage: Stage, cycles: &Cycles, now: impl FnOnce() -> u64) {
        if let Some(last) = &mut self.0 {
            let now = now();
            cycles.spend(stage, now.wrapping_sub(*last));
            *last = now;
        }
    }
}
