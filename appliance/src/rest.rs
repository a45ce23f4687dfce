//! How processors without work rest, so that an idle switch does not heat its host, and how they are
//! woken, so that no frame waits for the end of a rest.
//!
//! ```text
//! busy ──2 ms without work──► quiet ──nobody is busy, all queues armed──► halted
//!  ▲                            │ ▲                                          │
//!  └────────── work ────────────┘ └── a frame, a message, pmd-sleep-max ─────┘
//! ```
//! A processor is *busy* until it has had nothing to do for [`RESTLESS`]: forwarding at any rate worth
//! the name is polling and nothing else. When it is quiet it asks each of its receive queues for one
//! interrupt, looks once more, and halts. An interrupt, a message of another processor, or its timer
//! ends that; the ring has kept what came meanwhile.
//!
//! The interrupts of all devices go to the boot processor (see `virtio::Message`). If its rest ends
//! before its time it therefore wakes the others that rest: the frame may be theirs. They look, and
//! those that find nothing halt again.
//!
//! What comes by the rings between processors wakes nobody. So only when *all* of them are quiet do
//! they halt for long, and the first that has work again wakes the others. As long as one is busy, the
//! quiet ones look every [`NAP_NS`]; so do those whose devices cannot interrupt (virtio-mmio).
//!
//! # No wake-up is lost
//! A frame: the queue's own protocol (`virtio::Ring::arm`) tells whether one came before the wish.
//! Another processor's work: it adds itself to [`BUSY`] and then looks who rests; who rests says so in
//! [`RESTING`] first, and then looks at `BUSY`, and at its rings by a whole round. Both sides store
//! before they load, in one order for all (`SeqCst`): one of them sees the other. Interrupts are let
//! in by the halt alone, so one that comes between the last look and the halt ends it at once.
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

/// What a processor does in a round, as far as resting goes.
pub(crate) trait Work {
    /// A round; whether there was anything to do.
    fn round(&mut self) -> bool;

    /// Has every device that this processor polls interrupt at its next frame; whether all will.
    fn arm(&mut self) -> bool;

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
}

impl Rest {
    /// A processor begins, busy.
    pub(crate) fn new(number: usize) -> Self {
        BUSY.fetch_add(1, Ordering::SeqCst);
        Self { number, since: None, is_busy: true }
    }

    /// A round, and a rest if there was nothing to do for long enough.
    pub(crate) fn round(&mut self, work: &mut impl Work) {
        if work.round() {
            self.worked();
            return;
        }
        let now = now();
        let since = *self.since.get_or_insert(now);
        let longest = LONGEST.load(Ordering::Relaxed);
        if now.saturating_sub(since) <= RESTLESS || longest == 0 {
            cpu::pause();
            return;
        }
        if self.is_busy {
            self.is_busy = false;
            BUSY.fetch_sub(1, Ordering::SeqCst);
        }
        if !self.halt(work, longest) {
            self.nap(work, NAP_NS.min(longest));
        }
    }

    fn worked(&mut self) {
        self.since = None;
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
            if work.round() {
                resting.store(false, Ordering::SeqCst);
                self.worked();
                return true;
            }
            // Another one may have become busy while this one looked at its rings.
            if BUSY.load(Ordering::SeqCst) == 0 {
                self.nap(work, longest_ns);
            }
        }
        resting.store(false, Ordering::SeqCst);
        is_possible
    }

    /// Halts until an interrupt comes, so many nanoseconds at the most.
    fn nap(&self, work: &mut impl Work, ns: u64) {
        let began = now();
        cpu::wait(ns);
        let rested = now().saturating_sub(began);
        work.rested(rested);
        if rested.0 < ns && self.number == 0 {
            self.wake_others();
        }
    }
}

fn now() -> Nanos {
    Nanos(time::now())
}
