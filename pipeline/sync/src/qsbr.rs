//! Quiescent-state-based reclamation: when may the old version of shared data be freed?
//!
//! # What
//! A polling core reads shared snapshots with a plain load: no reference count, no lock, no fence.
//! In return it says once per loop "I hold nothing" ([`Reader::quiesce`]). Data that was unlinked
//! before every reader said so can be reached by nobody and may go. The interval from unlinking to
//! that moment is a *grace period*.
//!
//! # Why QSBR
//! The readers are loops with an obvious point of rest, so this is the cheapest scheme there is:
//! one load and one store per loop, none per read. Its price is that a reader which never rests
//! delays all freeing; a core that is about to halt must say so first ([`Reader::offline`]), and
//! then delays nothing.
//!
//! # Design
//! The domain has an epoch that each retirement advances. Each reader has a word: the epoch that it
//! saw at its last rest, or `OFFLINE`. What was retired at epoch `e` is free when no word is below
//! `e`.
//!
//! # Concurrency
//! *Rest.* The writer unlinks, then advances the epoch (release). A reader loads the epoch
//! (acquire) and stores it in its word (release). If the writer reads a word `>= e` (acquire),
//! then: the reader's earlier reads happened before that store; and its later reads see the
//! unlinking, because it had acquired an epoch written after it. So nothing it holds is the retired
//! data.
//!
//! *Offline and back.* A reader that comes back stores its word and then reads; the writer unlinks
//! and then reads the words. Without order between store and load both could miss each other, so
//! both put a sequentially consistent fence between: either the writer sees the reader's word, or
//! the reader sees the unlinking. That fence is on the way back online and in the writer's scan,
//! never in [`Reader::quiesce`].

use alloc::boxed::Box;
use core::fmt;

use crate::{
    pad::CachePadded,
    primitive::{Arc, AtomicBool, AtomicU64, Ordering, fence},
};

/// The word of a reader that holds nothing and promises to take nothing before it comes back.
const OFFLINE: u64 = u64::MAX;

/// The set of readers whose rest decides. Cheap to clone: all clones are the same domain.
#[derive(Clone)]
pub struct Domain(Arc<Shared>);

struct Shared {
    /// Advanced once per retirement. Starts at one, so that a word is never zero by accident.
    epoch: CachePadded<AtomicU64>,
    seats: Box<[CachePadded<Seat>]>,
}

struct Seat {
    taken: AtomicBool,
    /// Epoch at the last rest, or `OFFLINE`.
    word: AtomicU64,
}

impl Domain {
    /// A domain with seats for `n_readers` cores. The number is fixed: cores are counted at boot.
    #[must_use]
    pub fn new(n_readers: usize) -> Self {
        let seats = (0..n_readers)
            .map(|_| {
                CachePadded(Seat { taken: AtomicBool::new(false), word: AtomicU64::new(OFFLINE) })
            })
            .collect();
        Self(Arc::new(Shared { epoch: CachePadded(AtomicU64::new(1)), seats }))
    }

    /// Takes a free seat; `None` if all are taken. The seat is given back when the reader is
    /// dropped.
    #[must_use]
    pub fn register(&self) -> Option<Reader> {
        let seat = self.0.seats.iter().position(|seat| {
            seat.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        })?;
        let mut reader = Reader { domain: self.clone(), seat };
        reader.online();
        Some(reader)
    }

    /// Starts a grace period for what was just unlinked: it ends when [`Self::is_past`] holds for
    /// the result.
    #[must_use]
    pub fn retire(&self) -> GracePeriod {
        // Release: whoever sees this epoch sees the unlinking before it.
        GracePeriod(self.0.epoch.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Whether every reader rested (or was offline) since `period` began. Once true, always true.
    #[must_use]
    pub fn is_past(&self, period: GracePeriod) -> bool {
        // Pairs with the fence in `Reader::online`.
        fence(Ordering::SeqCst);
        self.0.seats.iter().all(|seat| seat.word.load(Ordering::Acquire) >= period.0)
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({} seats)", self.0.seats.len())
    }
}

/// A moment that every reader must rest after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GracePeriod(u64);

/// One core's membership. References read under it end before it rests: resting takes `&mut self`,
/// reading borrows `&self`.
pub struct Reader {
    domain: Domain,
    seat: usize,
}

impl Reader {
    /// Says "I hold nothing": once per loop.
    #[inline]
    pub fn quiesce(&mut self) {
        let epoch = self.domain.0.epoch.load(Ordering::Acquire);
        self.word().store(epoch, Ordering::Release);
    }

    /// Runs `halt` while this core counts as resting, however long it takes. For halting until an
    /// interrupt.
    pub fn offline<R>(&mut self, halt: impl FnOnce() -> R) -> R {
        self.word().store(OFFLINE, Ordering::Release);
        let result = halt();
        self.online();
        result
    }

    /// Whether this reader belongs to `domain`.
    #[inline]
    #[must_use]
    pub fn is_in(&self, domain: &Domain) -> bool {
        self.domain.is_same(domain)
    }

    fn online(&mut self) {
        let epoch = self.domain.0.epoch.load(Ordering::Acquire);
        self.word().store(epoch, Ordering::Release);
        // The word must be visible before anything is read: pairs with the fence in
        // `Domain::is_past`.
        fence(Ordering::SeqCst);
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        &self.domain.0.seats[self.seat].word
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.word().store(OFFLINE, Ordering::Release);
        self.domain.0.seats[self.seat].taken.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader(seat {})", self.seat)
    }
}
