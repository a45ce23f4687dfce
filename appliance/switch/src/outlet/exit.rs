//! The transmit queue by which frames of a core leave: one of its own, or one that cores share.
//!
//! # Which
//! A device with a queue for each core gives each core one, which nobody else touches: no lock, no line
//! of another core. One with fewer shares them all: a core takes the queue that fewest others use, and
//! keeps it while it has frames for it, so that these stay in order; after [`PAUSE`] without any it
//! chooses anew. (Open vSwitch: a static queue for each PMD thread, else XPS.)
//!
//! # Why a core sends itself
//! The other way, frames handed over to the core that owns the queue, costs a line for each frame and
//! one for each head that the other core then reads, and takes buffers out of one core's stock and puts
//! them into another's, by the pool's lock; and it keeps the other core busy. Two cores did less
//! together than one. By turns at the queue a core that has all of them (two ports, each polled by one
//! core and sent to by the other) pays one locked instruction a burst.
//!
//! # Nobody waits
//! A queue that is in use is come back to in the next round. Meanwhile full bursts wait here,
//! which is bounded; beyond it frames are dropped, as `tx-contended`. A turn is a burst, or as many as
//! were kept.
//!
//! # Concurrency
//! The queues stand behind [`Turnstile`]s. The device takes them back when every core has let go of its
//! end ([`SharedQueues::take_all`]).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use netdev::{QueueFault, TxQueue};
use packet::PoolCache;
use sync::pad::CachePadded;
use sync::time::Nanos;
use sync::turnstile::Turnstile;

/// After so long without frames a core may use another queue (`XPS_TIMEOUT` of Open vSwitch).
const PAUSE: Nanos = Nanos::from_millis(500);
/// A core that sends says so once in so long.
const TELL: Nanos = Nanos::from_millis(250);

/// Where a core's frames for a port leave.
#[derive(Debug)]
pub(crate) enum Exit {
    /// A queue that no other core uses.
    Own(Box<dyn TxQueue>),
    /// One of several cores.
    Shared(SharedExit),
}

impl Exit {
    /// Frames leave before the round has ended, when it may be chosen.
    pub(super) fn bind(&mut self) {
        if let Self::Shared(shared) = self {
            shared.is_bound = true;
        }
    }

    /// What is staged at the end of a round leaves at `now`.
    pub(super) fn choose(&mut self, now: Nanos) {
        if let Self::Shared(shared) = self {
            shared.choose(now);
        }
    }

    /// Frees what the device has sent, if nobody else is at it.
    pub(super) fn reclaim(&mut self, cache: &mut PoolCache) -> Result<(), QueueFault> {
        match self {
            Self::Own(queue) => queue.reclaim(cache),
            Self::Shared(shared) => shared.try_turn(|queue| queue.reclaim(cache)).unwrap_or(Ok(())),
        }
    }
}

/// Where a queue stands until it is taken back.
type Place = Turnstile<Option<Box<dyn TxQueue>>>;

/// The transmit queues of a device that has fewer than there are cores.
#[derive(Debug)]
pub(crate) struct SharedQueues {
    queues: Vec<CachePadded<Place>>,
    /// Of each core, the queue that it uses and when it said so last.
    uses: Turnstile<Vec<Option<(usize, Nanos)>>>,
}

impl SharedQueues {
    pub(crate) fn new(queues: Vec<Box<dyn TxQueue>>, n_cores: usize) -> Arc<Self> {
        let queues = queues.into_iter().map(|queue| CachePadded(Turnstile::new(Some(queue))));
        Arc::new(Self {
            queues: queues.collect(),
            uses: Turnstile::new(alloc::vec![None; n_cores]),
        })
    }

    /// The end of `core`, which begins with queue `at`.
    pub(crate) fn end_of(self: &Arc<Self>, core: usize, at: usize) -> SharedExit {
        SharedExit { all: self.clone(), core, at, told: None, is_bound: false }
    }

    /// Takes the queues back, which no core uses any more.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = Box<dyn TxQueue>> + '_ {
        self.queues.iter().filter_map(|queue| queue.try_turn(Option::take).flatten())
    }
}

/// One core's end of [`SharedQueues`].
#[derive(Debug)]
pub(crate) struct SharedExit {
    all: Arc<SharedQueues>,
    core: usize,
    /// The queue that it uses.
    at: usize,
    /// When it said so.
    told: Option<Nanos>,
    /// Frames of this round have left already, by the queue as it is.
    is_bound: bool,
}

impl SharedExit {
    /// Uses the queue, if no other core does.
    #[inline]
    pub(super) fn try_turn<R>(&self, work: impl FnOnce(&mut dyn TxQueue) -> R) -> Option<R> {
        let queue = self.all.queues.get(self.at)?;
        queue.try_turn(|queue| queue.as_mut().map(|queue| work(&mut **queue))).flatten()
    }

    /// Stays with the queue while there are frames for it; after a pause, the one that fewest use.
    fn choose(&mut self, now: Nanos) {
        let is_bound = core::mem::take(&mut self.is_bound);
        let n_queues = self.all.queues.len();
        let since = self.told.map(|told| now.saturating_sub(told));
        if n_queues < 2 || since.is_some_and(|since| since < TELL) {
            return;
        }
        let may_change = !is_bound && since.is_none_or(|since| since >= PAUSE.saturating_add(TELL));
        let (core, at) = (self.core, self.at);
        let chosen = self.all.uses.try_turn(|uses| {
            let n_users = |queue: usize| {
                let others = uses.iter().enumerate().filter(|(other, _)| *other != core);
                let uses_it = |(_, of): &(usize, &Option<(usize, Nanos)>)| {
                    of.is_some_and(|(of, told)| of == queue && now.saturating_sub(told) < PAUSE)
                };
                others.filter(uses_it).count()
            };
            let first = (0..n_queues).map(|step| (at + step) % n_queues);
            let least = if may_change { first.min_by_key(|queue| n_users(*queue)) } else { None };
            let chosen = least.unwrap_or(at);
            if let Some(of) = uses.get_mut(core) {
                *of = Some((chosen, now));
            }
            chosen
        });
        if let Some(chosen) = chosen {
            (self.at, self.told) = (chosen, Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use netdev::TxStats;
    use packet::Batch;

    #[derive(Debug)]
    struct Nothing;

    impl TxQueue for Nothing {
        fn transmit(&mut self, _: &mut Batch, _: &mut PoolCache) -> Result<usize, QueueFault> {
            Ok(0)
        }

        fn reclaim(&mut self, _: &mut PoolCache) -> Result<(), QueueFault> {
            Ok(())
        }

        fn stats(&self) -> TxStats {
            TxStats::default()
        }
    }

    fn queues(n: usize) -> Vec<Box<dyn TxQueue>> {
        (0..n).map(|_| Box::new(Nothing) as Box<dyn TxQueue>).collect()
    }

    /// A burst of `exit` at this time, in ms; the queue that it left by.
    fn burst(exit: &mut SharedExit, ms: u64) -> usize {
        exit.choose(Nanos::from_millis(ms));
        exit.try_turn(|_| ()).expect("nobody else is at it");
        exit.at
    }

    #[test]
    fn who_sends_takes_the_queue_that_fewest_use_and_stays_with_it() {
        let all = SharedQueues::new(queues(2), 4);
        let mut cores: Vec<_> = (0..4).map(|core| all.end_of(core, core % 2)).collect();
        // Cores 0 and 2 would begin with the same one.
        assert_eq!([burst(&mut cores[0], 0), burst(&mut cores[2], 1)], [0, 1]);
        for ms in (2..5_000).step_by(100) {
            assert_eq!([burst(&mut cores[0], ms), burst(&mut cores[2], ms)], [0, 1]);
        }
        assert_eq!([burst(&mut cores[1], 5_000), burst(&mut cores[3], 5_000)], [1, 0]);
        // Only core 2 goes on, so core 1 comes back to a queue that nobody uses.
        for ms in (5_000..6_000).step_by(100) {
            burst(&mut cores[2], ms);
        }
        assert_eq!(burst(&mut cores[1], 6_001), 0);
        // Nor does it change in the middle of a round.
        for ms in (6_100..9_000).step_by(100) {
            assert_eq!(burst(&mut cores[0], ms), 0);
        }
        cores[1].is_bound = true;
        assert_eq!([burst(&mut cores[1], 9_000), burst(&mut cores[3], 9_000)], [0, 1]);
    }

    #[test]
    fn who_has_frames_stays_though_another_queue_is_free() {
        let all = SharedQueues::new(queues(2), 3);
        let mut cores: Vec<_> = (0..3).map(|core| all.end_of(core, core % 2)).collect();
        let first: Vec<_> = cores.iter_mut().map(|core| burst(core, 0)).collect();
        assert_eq!(first, [0, 1, 0]);
        // Core 1 has stopped.
        for ms in (100..3_000).step_by(100) {
            assert_eq!([burst(&mut cores[0], ms), burst(&mut cores[2], ms)], [0, 0], "{ms} ms");
        }
        for ms in (3_000..4_000).step_by(100) {
            assert_eq!(burst(&mut cores[0], ms), 0, "{ms} ms");
        }
        assert_eq!(burst(&mut cores[2], 4_000), 1, "after a pause");
    }

    #[test]
    fn a_queue_that_was_taken_back_is_nobodys() {
        let all = SharedQueues::new(queues(1), 2);
        let exit = all.end_of(1, 0);
        assert_eq!(exit.try_turn(|_| ()), Some(()));
        assert_eq!(all.take_all().count(), 1);
        assert_eq!(exit.try_turn(|_| ()), None);
        assert_eq!(all.take_all().count(), 0);
    }

    #[test]
    fn who_comes_in_vain_is_told() {
        let all = SharedQueues::new(queues(1), 2);
        let (one, other) = (all.end_of(0, 0), all.end_of(1, 0));
        let inner = one.try_turn(|_| other.try_turn(|_| ()));
        assert_eq!(inner, Some(None));
        assert_eq!(other.try_turn(|_| ()), Some(()));
    }

    #[test]
    fn one_that_is_alone_chooses_itself() {
        let all = SharedQueues::new(queues(1), 2);
        let mut exit = all.end_of(0, 0);
        assert_eq!(vec![burst(&mut exit, 0), burst(&mut exit, 9_000)], [0, 0]);
    }
}
