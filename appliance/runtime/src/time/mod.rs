//! Monotonic time since the image's first instruction, from the time-stamp counter.
//!
//! The counter is taken to run at one rate on all CPUs, as virtual machines give it. Its rate comes
//! from the hypervisor or the CPU where they tell it, else it is measured (see `calibrate.rs`).

mod calibrate;
mod wall;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

pub use self::wall::wall_clock;
use crate::boot::entry::ENTRY_TSC;
use crate::io;

/// Nanoseconds per tick, times 2^32; 0 until the rate is known.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);

/// How the counter's rate became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The hypervisor's paravirtual clock.
    KvmClock,
    /// The CPU's description of its clocks.
    Cpuid,
    /// Measured against the ACPI timer.
    AcpiTimer,
    /// Measured against the programmable interval timer.
    IntervalTimer,
    /// Nothing told and nothing could be measured: a guess.
    Guess,
}

impl fmt::Display for ClockSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KvmClock => "told by kvmclock",
            Self::Cpuid => "told by CPUID",
            Self::AcpiTimer => "measured by the ACPI timer",
            Self::IntervalTimer => "measured by the interval timer",
            Self::Guess => "guessed",
        })
    }
}

/// The time-stamp counter's rate.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Ticks per second.
    pub hertz: u64,
    /// How that is known.
    pub source: ClockSource,
}

/// Finds the counter's rate; time stands still before. `acpi_timer` is the ACPI timer's port.
pub fn init(acpi_timer: Option<u16>) -> Clock {
    let clock = calibrate::clock(acpi_timer);
    NS_PER_TICK.store(scale(clock.hertz), Ordering::Relaxed);
    clock
}

/// Nanoseconds since the image's first instruction.
#[must_use]
pub fn now() -> u64 {
    let ticks = tsc().wrapping_sub(ENTRY_TSC.load(Ordering::Relaxed));
    to_ns(ticks, NS_PER_TICK.load(Ordering::Relaxed))
}

/// The time-stamp counter.
#[must_use]
pub fn tsc() -> u64 {
    io::read_tsc()
}

/// What the time-stamp counter will be after some nanoseconds.
pub(crate) fn tsc_after(ns: u64) -> u64 {
    let ns_per_tick = NS_PER_TICK.load(Ordering::Relaxed).max(1);
    let ticks = (u128::from(ns) << 32) / u128::from(ns_per_tick);
    tsc().saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
}

/// Nanoseconds per tick, times 2^32.
fn scale(hertz: u64) -> u64 {
    (1_000_000_000 << 32) / hertz.max(1)
}

fn to_ns(ticks: u64, ns_per_tick: u64) -> u64 {
    u64::try_from((u128::from(ticks) * u128::from(ns_per_tick)) >> 32).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{scale, to_ns};

    #[test]
    fn ticks_become_nanoseconds() {
        assert_eq!(to_ns(3_000_000_000, scale(1_000_000_000)), 3_000_000_000);
        assert!(to_ns(1_250_000, scale(2_500_000_000)).abs_diff(500_000) <= 1);
        // A hundred days at 4 GHz, within a microsecond a day.
        let ticks = 4_000_000_000 * 86_400 * 100;
        let error = to_ns(ticks, scale(4_000_000_000)).abs_diff(86_400 * 100 * 1_000_000_000);
        assert!(error < 8_640_000, "{error}");
        assert_eq!(to_ns(12345, 0), 0);
    }
}
