//! A value that several cores use by turns, and for which none of them ever waits.
//!
//! # What
//! A transmit queue of a device that has fewer of them than there are cores, say. Whoever finds the
//! value in use is told so, keeps its work, and comes again: there is no way to wait in this file, so a
//! core that is stopped in the middle of its turn (a virtual processor may be, for milliseconds) holds
//! up what goes through the value and nobody's anything else.
//!
//! # Cost
//! One locked instruction a turn and a plain store at its end, on a line that stays where it is while
//! one core has all the turns. A look at the word comes first, so that who comes in vain does not take
//! the line from who is at it.
//!
//! # Fairness
//! None: turns are had by who comes at the right time. Who uses this bounds what a turn may take.
//!
//! # Concurrency
//! `is_taken` is changed from false to true by one core at a time, with acquire, and set to false by
//! that core alone, with release. So each turn sees what the turns before it wrote, and no two overlap.

use core::fmt;

use crate::primitive::{AtomicBool, Ordering, UnsafeCell};

/// A value used by turns; see the module.
pub struct Turnstile<T> {
    is_taken: AtomicBool,
    value: UnsafeCell<T>,
}

impl<T> Turnstile<T> {
    /// A turnstile before `value`.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { is_taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Has a turn, if nobody else has one: `work` and what it gave, or `None` and it was not called.
    ///
    /// A `work` that panics ends all turns for good, as nobody knows what it left behind.
    #[inline]
    pub fn try_turn<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let is_mine = !self.is_taken.load(Ordering::Relaxed)
            && self
                .is_taken
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !is_mine {
            return None;
        }
        let done = self.value.with_mut(|value| {
            // SAFETY: 1. The pointer is valid: it comes from the live `UnsafeCell` of `self`.
            // 2. Nobody else accesses the value: `is_taken` went from false to true here, and nobody
            // else's exchange succeeds before the store below; that of the turn before was acquired.
            let value = unsafe { &mut *value };
            work(value)
        });
        self.is_taken.store(false, Ordering::Release);
        Some(done)
    }
}

impl<T> fmt::Debug for Turnstile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_taken = self.is_taken.load(Ordering::Relaxed);
        f.debug_struct("Turnstile").field("is_taken", &is_taken).finish_non_exhaustive()
    }
}

// SAFETY: sharing it lets one core at a time have `&mut T`, as the section on concurrency shows: that
// moves a `T` between cores, which `T: Send` allows; no `&T` is ever shared, so `T: Sync` is not needed.
unsafe impl<T: Send> Sync for Turnstile<T> {}
