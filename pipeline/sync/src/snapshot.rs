//! A whole immutable value that one core replaces and the others read without cost.
//!
//! # What
//! Configuration, port tables and the like: built aside, then published at one instant. A reader
//! sees the old value or the new one, never half of each, and pays one acquire load per read.
//!
//! # Concurrency
//! Writer: the one [`Publisher`]. It swaps the pointer, then retires the old value in the
//! [`Domain`]; old values are freed by [`Publisher::reclaim`] after their grace period. Readers:
//! any [`Reader`] of that domain through a [`Published`]. The borrow that [`Published::read`]
//! returns holds the `Reader`, so it ends before the reader can rest; and it holds the `Published`,
//! which keeps the shared part, and with it every value not yet freed, alive.

use alloc::{boxed::Box, collections::VecDeque};
use core::fmt;

use crate::{
    primitive::{Arc, AtomicPtr, Ordering},
    qsbr::{Domain, GracePeriod, Reader},
};

/// Makes a published value; every [`Reader`] of `domain` may read it.
#[must_use]
pub fn publish<T: Send + Sync>(domain: &Domain, value: T) -> (Publisher<T>, Published<T>) {
    let cell = Arc::new(Cell {
        current: AtomicPtr::new(Box::into_raw(Box::new(value))),
        domain: domain.clone(),
    });
    let published = Published { cell: cell.clone() };
    (Publisher { cell, retired: VecDeque::new() }, published)
}

/// The writing end; there is one.
pub struct Publisher<T: Send + Sync> {
    cell: Arc<Cell<T>>,
    /// Values no longer current, oldest first, each with what it waits for.
    retired: VecDeque<(GracePeriod, Retired<T>)>,
}

impl<T: Send + Sync> Publisher<T> {
    /// Replaces the value at one instant, and frees old ones whose time has come.
    pub fn publish(&mut self, value: T) {
        let new = Box::into_raw(Box::new(value));
        // Release: a reader that sees the pointer sees the value behind it.
        let old = self.cell.current.swap(new, Ordering::AcqRel);
        self.retired.push_back((self.cell.domain.retire(), Retired(old)));
        self.reclaim();
    }

    /// Frees what no reader can hold any more; returns how many old values still wait.
    pub fn reclaim(&mut self) -> usize {
        while let Some((period, _)) = self.retired.front()
            && self.cell.domain.is_past(*period)
        {
            if let Some((_, retired)) = self.retired.pop_front() {
                // SAFETY: 1. The pointer came from `Box::into_raw` and left `current` for good, so
                // it is freed only here.
                // 2. No reader holds it: its grace period is past, see `qsbr`.
                drop(unsafe { Box::from_raw(retired.0) });
            }
        }
        self.retired.len()
    }

    /// The current value. Only this end can replace it, so the borrow of `self` keeps it alive.
    #[must_use]
    pub fn current(&self) -> &T {
        let current = self.cell.current.load(Ordering::Relaxed);
        // SAFETY: the pointer is a live box: it is freed only after a later `publish`, which needs
        // `&mut self`, or with the cell.
        unsafe { &*current }
    }
}

impl<T: Send + Sync> Drop for Publisher<T> {
    fn drop(&mut self) {
        // A reader may still look at a retired value, and nobody will come back to free it: values
        // that still wait are leaked, once per lifetime of a publisher, which is the lifetime of
        // the switch.
        self.reclaim();
    }
}

/// A value that left `current`, on its way to be freed by the publisher.
struct Retired<T>(*mut T);

// SAFETY: it owns a box of `T`, and `T: Send` may be dropped on another thread.
unsafe impl<T: Send> Send for Retired<T> {}

/// The reading end. Clone it for each reader.
pub struct Published<T: Send + Sync> {
    cell: Arc<Cell<T>>,
}

impl<T: Send + Sync> Published<T> {
    /// The value as of now. The borrow must end before `reader` rests, and the compiler sees to it.
    ///
    /// # Panics
    /// If `reader` is of another domain than the value: its rest would mean nothing to the
    /// publisher.
    #[inline]
    #[must_use]
    pub fn read<'a>(&'a self, reader: &'a Reader) -> &'a T {
        assert!(reader.is_in(&self.cell.domain), "the reader is of another domain");
        let current = self.cell.current.load(Ordering::Acquire);
        // SAFETY: 1. The pointer is a box that was complete when it was released into `current`;
        // the acquire load saw that.
        // 2. It is not freed while the borrow lives: freeing needs every reader of the domain to
        // rest after the value was replaced, and `reader` cannot rest while it is borrowed; the
        // cell, which frees the last value, is kept by `&self`.
        unsafe { &*current }
    }
}

impl<T: Send + Sync> Clone for Published<T> {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone() }
    }
}

struct Cell<T: Send + Sync> {
    /// A box, never null; written by the publisher only.
    current: AtomicPtr<T>,
    domain: Domain,
}

impl<T: Send + Sync> Drop for Cell<T> {
    fn drop(&mut self) {
        let current = self.current.load(Ordering::Relaxed);
        // SAFETY: the pointer came from `Box::into_raw` and is current, so nobody freed it; with
        // `&mut self` no reader is left.
        drop(unsafe { Box::from_raw(current) });
    }
}

impl<T: Send + Sync + fmt::Debug> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("current", self.current())
            .field("n_retired", &self.retired.len())
            .finish()
    }
}

impl<T: Send + Sync> fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").finish_non_exhaustive()
    }
}
