//! Statistics that one core writes and any core reads; and, where several write, [`SharedCounter`].
//!
//! # Design
//! A counter is one atomic word with a *single* writer, so adding is a plain load, add and store:
//! no locked instruction on the packet path. What a reader sees is at some instant true and never
//! torn. Two words read one after the other may belong to different instants; whoever compares sums
//! does so when the writers rest.
//!
//! # Concurrency
//! Writer: the one core that owns the thing counted. If two cores did write, counts would be lost
//! but nothing worse: that is why this needs no `unsafe` and takes `&self`. Readers: any. All
//! operations are relaxed, because a count guards no other memory.

use core::sync::atomic::{AtomicU64, Ordering};

/// A count that only grows (wrapping after 2^64).
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. To be called by the owning core alone.
    #[inline]
    pub fn add(&self, n: u64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(n), Ordering::Relaxed);
    }

    /// The count as of some recent instant.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count that several cores add to: a meter's packets, say. Adding is a locked instruction, so this
/// is for what is shared anyway; what one core counts is a [`Counter`].
#[derive(Debug, Default)]
pub struct SharedCounter(AtomicU64);

impl SharedCounter {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`. By any core.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count as of some recent instant.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Begins anew at zero.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A word that its owner sets and anyone reads: a last-used time, a state, a number in use.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// A gauge that shows `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Shows `value` from now on. To be called by the owning core alone.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What the owner showed last, as of some recent instant.
    #[inline]
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sequence number that its owner advances *after* it did something, so that who sees the number
/// also sees the deed.
///
/// This is how a core acknowledges: it stores with release, the observer loads with acquire, and
/// everything the owner wrote before is visible to who saw the number.
#[derive(Debug, Default)]
pub struct Milestone(AtomicU64);

impl Milestone {
    /// A milestone at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Announces that everything up to `number` is done. To be called by the owning core alone.
    #[inline]
    pub fn reach(&self, number: u64) {
        self.0.store(number, Ordering::Release);
    }

    /// The last number announced.
    #[inline]
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_wraps() {
        let counter = Counter::new();
        counter.add(u64::MAX);
        assert_eq!(counter.get(), u64::MAX);
        counter.add(3);
        assert_eq!(counter.get(), 2);
    }

    #[test]
    fn gauge_and_milestone_show_the_last() {
        let gauge = Gauge::new(7);
        assert_eq!(gauge.get(), 7);
        gauge.set(3);
        assert_eq!(gauge.get(), 3);
        let milestone = Milestone::new();
        assert_eq!(milestone.reached(), 0);
        milestone.reach(9);
        assert_eq!(milestone.reached(), 9);
    }
}
