//! How processors without work rest, so that an idle switch does not heat its host, and how they are
//! woken, so that no frame waits for the end of a rest.
//!
//! ```text
//! busy ──2 ms without work──► quiet ──nobody is busy, all queues armed──► halted
//!  ▲                            │ ▲                                          │
//!  └────────── work ────────────┘ └── a frame, a message, its next deadline ─┘
//! ```
//! A processor is *busy* until it has had nothing to do for [`RESTLESS`]: forwarding at any rate worth
//! the name is polling and nothing else. When it is quiet it asks each of its receive queues for one
//! interrupt, looks once more, and halts. An interrupt, a message of another processor, or its timer
//! ends that; the ring has kept what came meanwhile.
//!
//! The timer goes off when a body has something to do by the clock (a timeout of a rule, a round of the
//! revalidator, TCP), at the latest after `pmd-sleep-max`. Such *chores* are done at once and the processor
//! halts again: they do not let expect more, so nobody polls for two milliseconds behind them.
//!
//! The interrupts of all devices go to the boot processor (see `virtio::Message`). If one ends its rest
//! it therefore wakes the others that rest: the frame may be theirs. They look, and
//! those that find nothing halt again.
//!
//! What comes by the rings between processors wakes nobody. So only when *all* of them are quiet do
//! they halt for long, and the first that has anything to do again wakes the others. As long as one is busy,
//! the quiet ones look every [`NAP_NS`]; so do those whose devices cannot interrupt (virtio-mmio).
//!
//! # The host's turn
//! What a device is told, some thread of the host does, and that thread may have been put on the very processor of the host
//! that runs this one (it has just woken us from there): then it waits until its scheduler takes the processor from one that
//! polls, a millisecond or two. So when the first frames behind a rest are with their devices, a processor halts once
//! more, [`NAP_NS`] at the most, its queues armed.
//!
//! # No wake-up is lost
//! A frame: the queue's own protocol (`virtio::Ring::arm`) tells whether one came before the wish.
//! Another processor's work: it adds itself to [`BUSY`] and then looks who rests; who rests says so in
//! [`RESTING`] first, and then looks at `BUSY`, and at its rings by a whole round. Both sides store
//! before they load, in one order for all (`SeqCst`): one of them sees the other. Interrupts are let
//! in by the halt alone, so one that comes between the last look and the halt ends it at once, and one that
//! comes together with the timer's is told apart (`cpu::wait`).
//!
//! Nor is news: between two rests there are two rounds at least, and what one brings about (a rule's end, a
//! link's change) the next one tells.
//!
//! # Cost
//! None while busy: `BUSY` and `RESTING` are touched when a processor becomes busy or quiet.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use runtime::{cpu, time};
use sync::time::Nanos;

/// A processor that had nothing to do for so long is quiet.
const RESTLESS: Nanos = Nanos::from_millis(2);
/// How long a quiet processor rests while another one is busy, or while nothing would wake it.
const NAP_NS: u64 = 20_000;

/// Processors that are not quiet.
static BUSY: AtomicUsize = AtomicUsize::new(0);
/// Processors that are about to halt until they are woken.
static RESTING: [AtomicBool; cpu::MAX_CPUS] = [const { AtomicBool::new(false) }; cpu::MAX_CPUS];
/// The longest rest in nanoseconds; 0 is none at all.
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// Sets how long a rest may last; zero is no rest.
pub(crate) fn set_longest(rest: Nanos) {
    // Others read it: it is written when it changes, not each round.
    if LONGEST.load(Ordering::Relaxed) != rest.0 {
        LONGEST.store(rest.0, Ordering::Relaxed);
    }
}

/// What there was to do in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Round {
    Nothing,
    /// What was due or was asked for by another processor: others may have to do with it, but it does not
    /// let expect more.
    Chores,
    /// Frames, messages: more may follow soon.
    Work,
}

impl Round {
    /// Of a body that says whether it did anything, and whether that was chores alone.
    pub(crate) fn of(did_anything: bool, did_chores: bool) -> Self {
        match (did_anything, did_chores) {
            (false, _) => Self::Nothing,
            (true, true) => Self::Chores,
            (true, false) => Self::Work,
        }
    }
}

/// What a processor does in a round, as far as resting goes.
pub(crate) trait Work {
    /// A round.
    fn round(&mut self) -> Round;

    /// Has every device that this processor polls interrupt at its next frame; whether all will.
    fn arm(&mut self) -> bool;

    /// How long there need be no round, if nothing comes.
    fn patience(&mut self) -> Nanos;

    /// A rest that lasted so long is over.
    fn rested(&mut self, time: Nanos);
}

/// The rests of one processor.
#[derive(Debug)]
pub(crate) struct Rest {
    number: usize,
    /// Since when there was nothing to do.
    since: Option<Nanos>,
    is_busy: bool,
    /// There was no work since the last rest.
    is_behind_rest: bool,
    /// The first work behind a rest is done.
    is_hosts_turn: bool,
}

impl Rest {
    /// A processor begins, busy.
    pub(crate) fn new(number: usize) -> Self {
        BUSY.fetch_add(1, Ordering::SeqCst);
        Self { number, since: None, is_busy: true, is_behind_rest: false, is_hosts_turn: false }
    }

    /// A round, and a rest if there was nothing to do for long enough.
    pub(crate) fn round(&mut self, work: &mut impl Work) {
        match work.round() {
            Round::Nothing => {}
            did => return self.worked(did),
        }
        let longest = LONGEST.load(Ordering::Relaxed);
        if core::mem::take(&mut self.is_hosts_turn) && longest != 0 && work.arm() {
            return self.nap(work, NAP_NS.min(longest));
        }
        let now = now();
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) <= RESTLESS || longest == 0 {
            cpu::pause();
            return;
        }
        if self.is_busy {
            (self.is_busy, self.is_behind_rest) = (false, true);
            BUSY.fetch_sub(1, Ordering::SeqCst);
        }
        if !self.halt(work, longest) {
            self.nap(work, NAP_NS.min(longest));
        }
    }

    fn worked(&mut self, did: Round) {
        if did == Round::Work {
            self.since = None;
            self.is_hosts_turn |= core::mem::take(&mut self.is_behind_rest);
        }
        if !self.is_busy {
            self.is_busy = true;
            BUSY.fetch_add(1, Ordering::SeqCst);
            self.wake_others();
        }
    }

    fn wake_others(&self) {
        for (number, is_resting) in RESTING.iter().enumerate().take(cpu::count()) {
            if number != self.number && is_resting.load(Ordering::SeqCst) {
                cpu::wake(number);
            }
        }
    }

    /// Halts until something comes; whether it did or something had come before.
    fn halt(&mut self, work: &mut impl Work, longest_ns: u64) -> bool {
        let Some(resting) = RESTING.get(self.number) else { return false };
        resting.store(true, Ordering::SeqCst);
        let is_possible = work.arm() && BUSY.load(Ordering::SeqCst) == 0;
        if is_possible {
            let did = work.round();
            if did != Round::Nothing {
                resting.store(false, Ordering::SeqCst);
                self.worked(did);
                return true;
            }
            let ns = work.patience().0.clamp(NAP_NS.min(longest_ns), longest_ns);
            // Another one may have become busy while this one looked at its rings.
            if BUSY.load(Ordering::SeqCst) == 0 {
                self.nap(work, ns);
            }
        }
        resting.store(false, Ordering::SeqCst);
        is_possible
    }

    /// Halts until an interrupt comes, so many nanoseconds at the most.
    fn nap(&self, work: &mut impl Work, ns: u64) {
        let began = now();
        let is_woken = cpu::wait(ns);
        work.rested(now().saturating_sub(began));
        if is_woken && self.number == 0 {
            self.wake_others();
        }
    }
}

fn now() -> Nanos {
    Nanos(time::now())
}
