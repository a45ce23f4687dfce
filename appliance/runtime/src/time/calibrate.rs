//! The rate of the time-stamp counter: asked for, else measured.
//!
//! Measuring compares the counter with a timer of known rate over a millisecond. Reading a timer is
//! itself slow (a VM exit), and a busy host can stop us between two instructions, so each end of
//! the span is the quickest of several readings, stamped in the middle.

use core::arch::x86_64::CpuidResult;
use core::ptr;

use super::{Clock, ClockSource};
use crate::cpu::features::{self, leaf};
use crate::io::{in8, in32, out8, read_tsc, write_msr};

/// The ACPI timer's rate (ACPI 6.5 §4.8.2.1) and width that is always there.
const ACPI_TIMER_HZ: u64 = 3_579_545;
const ACPI_TIMER_MASK: u32 = 0x00ff_ffff;
/// The interval timer's rate and width.
const INTERVAL_TIMER_HZ: u64 = 1_193_182;
const INTERVAL_TIMER_MASK: u32 = 0xffff;
/// How long to compare.
const SPAN_US: u64 = 1_000;
/// What is assumed when nothing else works.
const GUESS_HZ: u64 = 2_000_000_000;

/// The best answer there is.
pub(super) fn clock(acpi_timer: Option<u16>) -> Clock {
    if let Some(hertz) = kvm_clock() {
        return Clock { hertz, source: ClockSource::KvmClock };
    }
    if let Some(hertz) = from_cpuid(leaf(0x15), leaf(0x4000_0000), leaf(0x4000_0010)) {
        return Clock { hertz, source: ClockSource::Cpuid };
    }
    if let Some(port) = acpi_timer {
        let timer = || in32(port) & ACPI_TIMER_MASK;
        if let Some(hertz) = measure(timer, ACPI_TIMER_HZ, ACPI_TIMER_MASK) {
            return Clock { hertz, source: ClockSource::AcpiTimer };
        }
    }
    start_interval_timer();
    if let Some(hertz) = measure(read_interval_timer, INTERVAL_TIMER_HZ, INTERVAL_TIMER_MASK) {
        return Clock { hertz, source: ClockSource::IntervalTimer };
    }
    Clock { hertz: GUESS_HZ, source: ClockSource::Guess }
}

/// CPUID 0x15: numerator, denominator and crystal. CPUID 0x4000_0010: kHz, if leaf 0x4000_0000
/// says that it exists.
fn from_cpuid(clocks: CpuidResult, range: CpuidResult, timing: CpuidResult) -> Option<u64> {
    let by_crystal = u64::from(clocks.ecx) * u64::from(clocks.ebx) / u64::from(clocks.eax.max(1));
    if clocks.eax != 0 && by_crystal != 0 {
        return Some(by_crystal);
    }
    (range.eax >= 0x4000_0010 && timing.eax != 0).then(|| u64::from(timing.eax) * 1_000)
}

/// What the hypervisor's clock page says about the counter (Linux `Documentation/virt/kvm`:
/// `MSR_KVM_SYSTEM_TIME_NEW`, `struct pvclock_vcpu_time_info`).
fn kvm_clock() -> Option<u64> {
    const SIGNATURE: [u32; 3] = [0x4b4d_564b, 0x564b_4d56, 0x0000_004d];
    const FEATURE_CLOCK: u32 = 1 << 3;
    const MSR_SYSTEM_TIME: u32 = 0x4b56_4d01;
    const ENABLE: u64 = 1;

    #[repr(C, align(64))]
    struct ClockPage([u32; 8]);

    if !features::is_hypervised() {
        return None;
    }
    let who = leaf(0x4000_0000);
    if [who.ebx, who.ecx, who.edx] != SIGNATURE || leaf(0x4000_0001).eax & FEATURE_CLOCK == 0 {
        return None;
    }
    let mut page = ClockPage([0; 8]);
    let address = (&raw mut page).expose_provenance() as u64;
    // SAFETY: the hypervisor has this register; it writes to `page`, which outlives the next write.
    unsafe { write_msr(MSR_SYSTEM_TIME, address | ENABLE) };
    // SAFETY: `page` is ours; the hypervisor may have just written it, hence volatile.
    let words = unsafe { ptr::read_volatile(&raw const page.0) };
    // SAFETY: switches the writing off again.
    unsafe { write_msr(MSR_SYSTEM_TIME, 0) };
    let [.., scale, shift_and_flags] = words;
    let [shift, ..] = shift_and_flags.to_le_bytes();
    from_pvclock(scale, shift.cast_signed())
}

/// `ns = (ticks << shift) * scale >> 32`, turned around.
fn from_pvclock(scale: u32, shift: i8) -> Option<u64> {
    if scale == 0 || !(-31..=31).contains(&shift) {
        return None;
    }
    let hertz = (1_000_000_000_u128 << 32) / u128::from(scale);
    let hertz = if shift >= 0 { hertz >> shift } else { hertz << -shift };
    u64::try_from(hertz).ok().filter(|&hertz| hertz > 0)
}

/// A timer's value and the counter's at the same moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    timer: u32,
    tsc: u64,
    /// How long the reading took: the less, the better.
    width: u64,
}

/// Compares the counter with a timer that counts up; `None` if the timer does not run.
fn measure(timer: impl Fn() -> u32, timer_hz: u64, mask: u32) -> Option<u64> {
    /// Far more readings than a span has; then the timer stands.
    const PATIENCE: u32 = 100_000;
    let wanted = timer_hz * SPAN_US / 1_000_000;
    let start = best_sample(&timer);
    for _ in 0..PATIENCE {
        let elapsed = timer().wrapping_sub(start.timer) & mask;
        if u64::from(elapsed) >= wanted {
            return rate(start, best_sample(&timer), timer_hz, mask);
        }
    }
    None
}

fn best_sample(timer: &impl Fn() -> u32) -> Sample {
    let sample = || {
        let before = read_tsc();
        let timer = timer();
        let width = read_tsc().wrapping_sub(before);
        Sample { timer, tsc: before.wrapping_add(width / 2), width }
    };
    let mut best = sample();
    for _ in 0..4 {
        let next = sample();
        if next.width < best.width {
            best = next;
        }
    }
    best
}

fn rate(start: Sample, end: Sample, timer_hz: u64, mask: u32) -> Option<u64> {
    let elapsed = u128::from(end.timer.wrapping_sub(start.timer) & mask);
    let ticks = u128::from(end.tsc.wrapping_sub(start.tsc));
    u64::try_from(ticks * u128::from(timer_hz) / elapsed.max(1)).ok().filter(|&hertz| hertz > 0)
}

const INTERVAL_TIMER_0: u16 = 0x40;
const INTERVAL_TIMER_CONTROL: u16 = 0x43;

/// Lets channel 0 run freely through 65,536 counts; its interrupt line is masked.
fn start_interval_timer() {
    out8(INTERVAL_TIMER_CONTROL, 0x34);
    out8(INTERVAL_TIMER_0, 0);
    out8(INTERVAL_TIMER_0, 0);
}

/// The interval timer as one that counts up.
fn read_interval_timer() -> u32 {
    out8(INTERVAL_TIMER_CONTROL, 0x00);
    let low = in8(INTERVAL_TIMER_0);
    let high = in8(INTERVAL_TIMER_0);
    u32::from(u16::MAX - u16::from_le_bytes([low, high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };

    #[test]
    fn cpuid_tells_the_rate_if_it_knows() {
        let crystal = CpuidResult { eax: 2, ebx: 250, ecx: 24_000_000, edx: 0 };
        assert_eq!(from_cpuid(crystal, NO, NO), Some(3_000_000_000));
        let no_crystal = CpuidResult { ecx: 0, ..crystal };
        let range = CpuidResult { eax: 0x4000_0010, ..NO };
        let timing = CpuidResult { eax: 2_600_000, ..NO };
        assert_eq!(from_cpuid(no_crystal, range, timing), Some(2_600_000_000));
        assert_eq!(from_cpuid(no_crystal, NO, timing), None);
        assert_eq!(from_cpuid(NO, range, NO), None);
    }

    #[test]
    fn pvclock_is_turned_around() {
        // 2.5 GHz: 0.4 ns a tick, as 0.8 of 2^32 shifted right once.
        let hertz = from_pvclock(3_435_973_836, -1).unwrap();
        assert!(hertz.abs_diff(2_500_000_000) < 10, "{hertz}");
        assert_eq!(from_pvclock(1 << 31, 1), Some(1_000_000_000));
        assert_eq!(from_pvclock(0, 0), None);
        assert_eq!(from_pvclock(1, 127), None);
    }

    #[test]
    fn a_timer_that_wraps_still_measures() {
        let start = Sample { timer: 0xff_fff0, tsc: u64::MAX - 500, width: 0 };
        let end = Sample { timer: 0x00_0df0, tsc: 999_499, width: 0 };
        let hertz = rate(start, end, 3_579_545, 0xff_ffff).unwrap();
        assert!(hertz.abs_diff(1_000_000 * 3_579_545 / 0xe00) < 2, "{hertz}");
    }

    #[test]
    fn a_timer_that_stands_does_not() {
        assert_eq!(measure(|| 7, 3_579_545, 0xff_ffff), None);
    }
}
