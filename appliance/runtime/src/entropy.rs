//! Random seeds: from the CPU's generator where there is one, always mixed with timing.
//!
//! For hash seeds, transaction numbers and the like. Keys would want the virtio entropy device.

use core::arch::asm;

use crate::cpu::features;
use crate::io::read_tsc;

/// A seed that differs from boot to boot and from call to call.
#[must_use]
pub fn seed() -> u64 {
    let from_cpu = rdseed().or_else(rdrand).unwrap_or(0);
    mix(from_cpu ^ mix(timing()))
}

/// How long small pieces of work take varies in the low bits; 64 of them are folded together.
fn timing() -> u64 {
    let mut folded = read_tsc();
    for _ in 0..64 {
        let before = read_tsc();
        let spun = core::hint::black_box(mix(before));
        folded = folded.rotate_left(7) ^ spun ^ read_tsc().wrapping_sub(before);
    }
    folded
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// The instruction may fail for a moment when it is asked often.
const TRIES: u32 = 16;

fn rdseed() -> Option<u64> {
    features::has_rdseed().then(|| (0..TRIES).find_map(|_| try_rdseed())).flatten()
}

fn rdrand() -> Option<u64> {
    features::has_rdrand().then(|| (0..TRIES).find_map(|_| try_rdrand())).flatten()
}

fn try_rdseed() -> Option<u64> {
    let (value, is_good): (u64, u8);
    // SAFETY: the caller asked CPUID for the instruction; it only changes the two registers.
    unsafe {
        asm!("rdseed {}", "setc {}", out(reg) value, out(reg_byte) is_good, options(nomem, nostack));
    }
    (is_good == 1).then_some(value)
}

fn try_rdrand() -> Option<u64> {
    let (value, is_good): (u64, u8);
    // SAFETY: as in `try_rdseed`.
    unsafe {
        asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) is_good, options(nomem, nostack));
    }
    (is_good == 1).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{mix, seed};

    #[test]
    fn seeds_differ() {
        // RDTSC and RDRAND are ordinary instructions, so this runs on the host as well.
        assert_ne!(seed(), seed());
        assert_ne!(mix(0), mix(1));
    }
}
