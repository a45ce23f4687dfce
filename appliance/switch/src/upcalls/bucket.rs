//! A token bucket in one word.
//!
//! Instead of a level it keeps the time at which it would be full again: each token taken moves that on
//! by the interval of the rate, and a token is there while it is less than a burst ahead of now. (As in
//! the cell rate algorithm of ITU-T I.371.)

use sync::time::Nanos;

/// How fast tokens come, and how many there are at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Nanoseconds a token; the largest number if none come.
    interval: u64,
    /// How far ahead of now the bucket may be and still have a token.
    slack: u64,
}

impl Pace {
    /// `rate` tokens a second, up to `burst` at once.
    pub(crate) fn new(rate: u32, burst: u32) -> Self {
        let interval = 1_000_000_000_u64.checked_div(u64::from(rate)).unwrap_or(u64::MAX);
        let slack = interval.saturating_mul(u64::from(burst.saturating_sub(1)));
        Self { interval, slack }
    }
}

/// A bucket, full at first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    full_at: u64,
}

impl Bucket {
    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, pace: Pace, now: Nanos) -> bool {
        let has_token = self.has_token(pace, now);
        if has_token {
            self.full_at = self.full_at.saturating_add(pace.interval);
        }
        has_token
    }

    /// Whether there is a token to take.
    pub(crate) fn has_token(&mut self, pace: Pace, now: Nanos) -> bool {
        if pace.interval == u64::MAX {
            return false;
        }
        // A clock that went back leaves no debt greater than a burst.
        let latest = now.0.saturating_add(pace.slack).saturating_add(pace.interval);
        self.full_at = self.full_at.clamp(now.0, latest);
        self.full_at - now.0 <= pace.slack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(bucket: &mut Bucket, pace: Pace, now: Nanos) -> u32 {
        (0..).take_while(|_| bucket.take(pace, now)).count().try_into().unwrap()
    }

    #[test]
    fn gives_a_burst_and_then_the_rate() {
        let pace = Pace::new(1_000, 10);
        let mut bucket = Bucket::default();
        let start = Nanos::from_secs(100);
        assert_eq!(take_all(&mut bucket, pace, start), 10);
        assert_eq!(take_all(&mut bucket, pace, start + Nanos::from_micros(999)), 0);
        assert_eq!(take_all(&mut bucket, pace, start + Nanos::from_millis(1)), 1);
        assert_eq!(take_all(&mut bucket, pace, start + Nanos::from_millis(4)), 3);
        assert_eq!(take_all(&mut bucket, pace, start + Nanos::from_secs(9)), 10, "never more");
        let total: u32 = (1..=1_000)
            .map(|ms| take_all(&mut bucket, pace, start + Nanos::from_millis(10_000 + ms)))
            .sum();
        assert!((1_000..=1_010).contains(&total), "{total}");
    }

    #[test]
    fn a_rate_of_zero_gives_nothing_and_a_clock_that_goes_back_ends_nothing() {
        let mut bucket = Bucket::default();
        assert!(!bucket.take(Pace::new(0, 10), Nanos::from_secs(1)));
        let pace = Pace::new(1_000, 2);
        assert_eq!(take_all(&mut bucket, pace, Nanos::from_secs(1_000)), 2);
        assert_eq!(take_all(&mut bucket, pace, Nanos::from_secs(1)), 0);
        assert!(bucket.take(pace, Nanos::from_secs(1) + Nanos::from_millis(3)));
    }
}
