//! A token bucket that several cores draw from.
//!
//! # Design
//! Two words: the tokens, and the time up to which they were filled. Whoever wants tokens first
//! fills: it moves the time forward with a compare-and-swap, and only the core that succeeds adds
//! the tokens of just that interval. Taking is one compare-and-swap that never goes below zero.
//! So every interval is paid in exactly once and every token is paid out at most once: over any
//! stretch of time no more than `capacity + rate * time` leaves the bucket, however many cores
//! draw, and nothing is lost to rounding, because tokens are whole units of the caller's choice.
//!
//! Between a core's two steps the others see a little less than there is: never more.
//!
//! # Concurrency
//! Any core may fill and take; a swap that fails means that another core's succeeded, so there is
//! always progress and nobody waits. All operations are relaxed: tokens guard no other memory.
//! [`TokenBucket::reset`] is for the one who configures; drawn upon meanwhile, it may lose or
//! keep what is drawn in that instant, no more.

use crate::primitive::{AtomicU64, Ordering};

/// A bucket of tokens; see the module.
#[derive(Debug)]
pub struct TokenBucket {
    tokens: AtomicU64,
    /// Time up to which `tokens` was filled, in the caller's unit.
    filled: AtomicU64,
}

impl TokenBucket {
    /// A bucket without tokens at time zero.
    #[cfg(not(loom))]
    #[expect(clippy::declare_interior_mutable_const, reason = "to fill arrays with")]
    pub const EMPTY: Self = Self { tokens: AtomicU64::new(0), filled: AtomicU64::new(0) };

    /// A bucket with so many tokens at time `now`.
    #[must_use]
    pub fn new(tokens: u64, now: u64) -> Self {
        Self { tokens: AtomicU64::new(tokens), filled: AtomicU64::new(now) }
    }

    /// From now on it has so many tokens and was filled at `now`.
    pub fn reset(&self, tokens: u64, now: u64) {
        self.tokens.store(tokens, Ordering::Relaxed);
        self.filled.store(now, Ordering::Relaxed);
    }

    /// Adds `rate` tokens for each unit of time since it was last filled, up to `capacity`. A time
    /// that is past adds nothing.
    #[inline]
    pub fn fill(&self, rate: u64, capacity: u64, now: u64) {
        let filled = self.filled.load(Ordering::Relaxed);
        if now <= filled {
            return;
        }
        let moved = self.filled.compare_exchange(filled, now, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_err() {
            // Another core fills; what is left of the interval comes with the next filling.
            return;
        }
        let more = rate.saturating_mul(now - filled);
        self.update(|tokens| Some(tokens.saturating_add(more).min(capacity)));
    }

    /// Takes `n` tokens if there are so many.
    #[inline]
    #[must_use]
    pub fn take(&self, n: u64) -> bool {
        self.update(|tokens| tokens.checked_sub(n)).is_some()
    }

    /// Takes up to `n` times `each` tokens; how often there were enough.
    #[inline]
    #[must_use]
    pub fn take_each(&self, each: u64, n: u64) -> u64 {
        let times = |tokens: u64| tokens.checked_div(each).map_or(n, |times| times.min(n));
        self.update(|tokens| Some(tokens - times(tokens) * each)).map_or(0, times)
    }

    /// The tokens now.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Replaces the tokens by what `change` makes of them; the old ones, unless it made nothing.
    #[inline]
    fn update(&self, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut tokens = self.tokens.load(Ordering::Relaxed);
        loop {
            let new = change(tokens)?;
            match self.tokens.compare_exchange_weak(
                tokens,
                new,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(tokens),
                Err(seen) => tokens = seen,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn fills_up_to_its_capacity_and_pays_out_what_it_has() {
        let bucket = TokenBucket::new(10, 100);
        assert!(bucket.take(4));
        assert!(!bucket.take(7), "only six are left");
        bucket.fill(2, 100, 101);
        assert_eq!(bucket.tokens(), 8);
        bucket.fill(2, 100, 50);
        assert_eq!(bucket.tokens(), 8, "time does not run backwards");
        assert_eq!(bucket.take_each(3, 5), 2);
        assert_eq!(bucket.take_each(0, 5), 5, "what costs nothing passes");
        bucket.fill(u64::MAX, 100, u64::MAX);
        assert_eq!(bucket.tokens(), 100);
    }
}
