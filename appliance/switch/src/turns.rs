//! Whose burst comes next: how the ports that a core polls share its time.
//!
//! # What
//! A burst of each port a round would be fair if bursts cost the same. They do not: a port that sends
//! nothing but new flows has them translated, installed and dropped, and a round would last as long as
//! its burst takes. So each port has an account of the cycles that were spent on it, and a port that is
//! ahead of the others waits while these have frames.
//!
//! # How
//! [`Turns::level`] is the lowest account of the ports that had frames in the last round. A port whose
//! account is more than [`LEAD`] above it is passed over. One that has no frames is lifted to the level:
//! silence earns nothing. If a round finds work on none of the others, the ports that were passed over
//! have their turn in the same round, so a core never rests while frames wait; and where one port alone
//! has frames, the level goes up with it. (Start-time fair queueing, Goyal 1996.)
//!
//! # New flows count more
//! A cycle that is spent on a frame without a cached flow counts `upcall-weight` times: of a burst the part
//! that missed, whether it was then answered, passed on or refused; answers on this core; and what the
//! control core sends for them. So a port that brings nothing but new flows has the right of one eighth
//! of a port (with the default of 8), as much as it can use where nobody else wants the core, and beside *n*
//! ports whose frames are cached and that never rest it takes one part in 8 *n* + 1. A port that needs less
//! than its even share of a core has all that it needs, whoever storms beside it. A port's few new flows
//! among cached frames weigh little; the port of the storm loses cached traffic of its own.
//! (An even share would leave a port's traffic half of a core, which is less than most need; a fixed limit on
//! translations would idle where nobody else has work.)
//!
//! # What is for whose account
//! Each burst, and the answers to it; frames that other cores send by queues of this one, and
//! frames of the control core: the port where they came in. Handing staged frames to devices is divided among
//! those whose frames these are. Orders of the control core that install a megaflow or carry a packet are for the
//! account of the port, and all orders together ([`Orders`]) wait when they have taken more than an eighth
//! of what the frames took, while there are frames: nobody's upcalls, deletions or rounds of the
//! revalidator take the core from those who only forward.
//!
//! # Cost
//! A comparison for each port and round; an addition for each burst, upcall and order. The cycle counter
//! is read once for each of these. Where it stands still, every port has its turn in each round.
//!
//! # Concurrency
//! Owned by one core.

use alloc::vec::Vec;
use datapath::PortNo;

/// Cycles that a port may be ahead and still have its turn: some ten bursts of cached traffic, so that
/// ports that cost alike share rounds, and with them notifications.
const LEAD: u64 = 1 << 15;
/// The most cycles that one burst, upcall or order can have taken, a tenth of a millisecond: if the core
/// itself was kept from running for a while, that is not the fault of the port that it was serving.
const MOST: u64 = 1 << 18;
/// How far a port can be ahead at most.
const MOST_AHEAD: u64 = 1 << 25;
/// Orders may take one cycle for so many that frames take.
const FRAMES_BEFORE_ORDERS: u64 = 8;
/// Cycles of orders that are obeyed at once where none came for a while.
const ORDERS_AT_ONCE: i64 = 1 << 16;
/// What orders may owe: one that took longest.
const ORDERS_DEBT: i64 = 1 << 18;

/// The accounts of the ports of one core.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Cycles, by port number.
    spent: Vec<u64>,
    level: u64,
    /// The lowest account of those that had frames in this round.
    lowest: Option<u64>,
    /// How often a cycle counts that is spent on a frame without a cached flow.
    weight: u64,
    /// Frames of this round that are on their way to devices, by the port where they came in.
    staged: Vec<(PortNo, u64)>,
    orders: Orders,
}

/// Whether a port may have its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Now,
    /// When the others have no frames.
    Later,
}

/// A burst that a core has dealt with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Burst {
    pub(crate) cycles: u64,
    pub(crate) n_frames: u64,
    /// Those of them without a cached flow.
    pub(crate) n_missed: u64,
}

/// What orders may still take while frames wait.
#[derive(Debug, Default)]
struct Orders {
    /// Cycles; below zero they wait.
    credit: i64,
    /// Frames came in this round.
    have_frames: bool,
}

impl Turns {
    pub(crate) fn new(weight: u32) -> Self {
        Self {
            spent: Vec::new(),
            level: 0,
            lowest: None,
            weight: weight.max(1).into(),
            staged: Vec::new(),
            orders: Orders::default(),
        }
    }

    /// From now on cycles spent on frames without a cached flow count so often.
    pub(crate) fn set_weight(&mut self, weight: u32) {
        self.weight = weight.max(1).into();
    }

    /// Opens an account for `port`, or gives it a new one.
    pub(crate) fn add_port(&mut self, port: PortNo) {
        let k = port.0 as usize;
        if self.spent.len() <= k && port <= PortNo::MAX {
            self.spent.resize(k + 1, 0);
            self.staged.reserve(self.spent.len());
        }
        if let Some(spent) = self.spent.get_mut(k) {
            *spent = self.level;
        }
    }

    /// Another round begins.
    pub(crate) fn next_round(&mut self) {
        if let Some(lowest) = self.lowest.take() {
            self.level = lowest;
        }
        self.orders.have_frames = false;
    }

    /// Whether `port` may have its turn in this round before the others have had theirs.
    pub(crate) fn turn(&mut self, port: PortNo) -> Turn {
        match self.spent.get(port.0 as usize) {
            Some(&spent) if spent > self.level + LEAD => {
                self.note(spent);
                Turn::Later
            }
            _ => Turn::Now,
        }
    }

    /// The port had its turn and no frames.
    pub(crate) fn rested(&mut self, port: PortNo) {
        if let Some(spent) = self.spent.get_mut(port.0 as usize) {
            *spent = self.level.max(*spent);
        }
    }

    /// The port had its turn.
    pub(crate) fn worked(&mut self, port: PortNo, burst: Burst) {
        let Burst { cycles, n_frames, n_missed } = burst;
        let cycles = cycles.min(MOST);
        // Recirculated frames may miss again.
        let n_missed = n_missed.min(n_frames);
        let more = match n_missed {
            0 => 0,
            _ => cycles * n_missed / n_frames * (self.weight - 1),
        };
        let spent = self.add(port, cycles.saturating_add(more));
        self.note(spent);
        self.pay_for_orders(cycles);
        self.stage(port, n_frames - n_missed);
    }

    /// So many cycles were spent on a frame of the port that has no cached flow.
    pub(crate) fn upcall(&mut self, port: PortNo, cycles: u64) {
        let cycles = cycles.min(MOST);
        self.add(port, cycles.saturating_mul(self.weight));
        self.pay_for_orders(cycles);
        self.stage(port, 1);
    }

    /// So many cycles were spent on frames of the port that this core only sends.
    pub(crate) fn forwarded(&mut self, port: PortNo, n_frames: u64, cycles: u64) {
        self.add(port, cycles.min(MOST));
        self.stage(port, n_frames);
    }

    /// So many cycles went into handing staged frames to devices.
    pub(crate) fn flushed(&mut self, cycles: u64) {
        let cycles = cycles.min(MOST);
        let n_all: u64 = self.staged.iter().map(|(_, n)| n).sum();
        if n_all > 0 {
            self.pay_for_orders(cycles);
        }
        while let Some((port, n)) = self.staged.pop() {
            let share = if n == n_all { cycles } else { cycles * n / n_all.max(1) };
            self.add(port, share);
        }
    }

    /// Whether an order may be obeyed now.
    pub(crate) fn may_obey(&self) -> bool {
        !self.orders.have_frames || self.orders.credit >= 0
    }

    /// An order took so many cycles; one for an upcall of `port`, if there is one.
    pub(crate) fn obeyed(&mut self, port: Option<PortNo>, cycles: u64) {
        let cycles = cycles.min(MOST);
        if let Some(port) = port {
            self.add(port, cycles.saturating_mul(self.weight));
        }
        let credit = &mut self.orders.credit;
        *credit = credit.saturating_sub_unsigned(cycles).max(-ORDERS_DEBT);
    }

    /// Work on frames earns orders theirs.
    fn pay_for_orders(&mut self, cycles: u64) {
        let Orders { credit, have_frames } = &mut self.orders;
        *have_frames = true;
        *credit = credit.saturating_add_unsigned(cycles / FRAMES_BEFORE_ORDERS).min(ORDERS_AT_ONCE);
    }

    fn stage(&mut self, port: PortNo, n_frames: u64) {
        // One place for each port: more never come without a flush.
        match self.staged.iter_mut().find(|(other, _)| *other == port) {
            Some((_, n)) => *n += n_frames,
            None => self.staged.push((port, n_frames)),
        }
    }

    fn add(&mut self, port: PortNo, cycles: u64) -> u64 {
        let most = self.level.saturating_add(MOST_AHEAD);
        let Some(spent) = self.spent.get_mut(port.0 as usize) else { return self.level };
        *spent = spent.saturating_add(cycles).min(most);
        *spent
    }

    fn note(&mut self, spent: u64) {
        self.lowest = Some(self.lowest.map_or(spent, |lowest| lowest.min(spent)));
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
