//! Time as an argument: nanoseconds since boot.
//!
//! There is no clock in the pipeline. Whoever runs a body reads a clock once and passes the reading
//! down, so a run can be replayed exactly and every timeout is tested by hand-made time. Arithmetic
//! saturates: a clock that jumps (a VM that was paused and resumed) gives long or zero intervals,
//! never a wrapped one.

use core::{
    fmt,
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

/// A point in time, or an interval: nanoseconds, monotonic, since boot. 2^64 of them are 584 years.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Boot, or no interval at all.
    pub const ZERO: Self = Self(0);
    /// Later than every other point: "never" as a deadline.
    pub const MAX: Self = Self(u64::MAX);

    /// From microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// The nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds, rounded down.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// The nanoseconds beyond the last whole second (for OpenFlow's `duration_nsec`).
    #[must_use]
    pub const fn subsec_nanos(self) -> u32 {
        // A remainder below 10^9 fits in 32 bits.
        (self.0 % 1_000_000_000) as u32
    }

    /// This point `interval` later, or [`Self::MAX`].
    #[must_use]
    pub const fn saturating_add(self, interval: Self) -> Self {
        Self(self.0.saturating_add(interval.0))
    }

    /// The interval from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Nanos {
    type Output = Self;

    /// Saturating.
    fn add(self, interval: Self) -> Self {
        self.saturating_add(interval)
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, interval: Self) {
        *self = self.saturating_add(interval);
    }
}

impl Sub for Nanos {
    type Output = Self;

    /// Saturating: zero when the clock went backwards.
    fn sub(self, earlier: Self) -> Self {
        self.saturating_sub(earlier)
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

impl From<Duration> for Nanos {
    /// Durations beyond 584 years become [`Nanos::MAX`].
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Seconds with three decimals, as OVS prints intervals: `12.345s`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.as_secs(), self.as_millis() % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree() {
        assert_eq!(Nanos::from_secs(3), Nanos::from_millis(3_000));
        assert_eq!(Nanos::from_millis(3), Nanos::from_micros(3_000));
        assert_eq!(Nanos::from_micros(3), Nanos(3_000));
        assert_eq!(Nanos(1_234_567_890).as_millis(), 1_234);
        assert_eq!(Nanos(1_234_567_890).subsec_nanos(), 234_567_890);
        assert_eq!(Nanos::from(Duration::from_millis(7)), Nanos::from_millis(7));
        assert_eq!(Nanos::from(Duration::MAX), Nanos::MAX);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Nanos(1) - Nanos(2), Nanos::ZERO);
        assert_eq!(Nanos::MAX + Nanos(1), Nanos::MAX);
        assert_eq!(Nanos::from_secs(u64::MAX), Nanos::MAX);
    }

    #[test]
    fn displays_seconds() {
        extern crate std;
        assert_eq!(std::format!("{}", Nanos::from_millis(12_345)), "12.345s");
        assert_eq!(std::format!("{}", Nanos::from_micros(45_999)), "0.045s");
    }
}
