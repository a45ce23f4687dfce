//! What this CPU can do, and switching it on.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use core::fmt;

use crate::io::halves;

/// CR4: XSAVE and the extended state registers may be used.
const CR4_OSXSAVE: u64 = 1 << 18;
/// Extended state we let the CPU use: x87, SSE, AVX, and the three parts of AVX-512.
const WANTED_STATE: u64 = 0b1110_0111;
const STATE_X87_SSE: u64 = 0b11;
const STATE_AVX: u64 = 0b100;
const STATE_AVX512: u64 = 0b1110_0000;

/// CPUID leaf 1, ecx.
const LEAF1_ECX_X2APIC: u32 = 1 << 21;
const LEAF1_ECX_TSC_DEADLINE: u32 = 1 << 24;
const LEAF1_ECX_XSAVE: u32 = 1 << 26;
const LEAF1_ECX_RDRAND: u32 = 1 << 30;
const LEAF1_ECX_HYPERVISOR: u32 = 1 << 31;
/// CPUID leaf 0x8000_0001, edx.
const EXTENDED_EDX_1_GIB_PAGES: u32 = 1 << 26;

/// One CPUID leaf, or zeros where the CPU has no such leaf.
pub(crate) fn leaf(number: u32) -> CpuidResult {
    const NOTHING: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    let class = number & 0xf000_0000;
    if class == 0x4000_0000 && !is_hypervised() {
        return NOTHING;
    }
    if number <= __cpuid(class).eax { __cpuid(number) } else { NOTHING }
}

/// Whether a hypervisor announces itself.
pub(crate) fn is_hypervised() -> bool {
    __cpuid(1).ecx & LEAF1_ECX_HYPERVISOR != 0
}

/// Whether QEMU emulates every instruction (TCG), as it says itself.
#[must_use]
pub fn is_emulated() -> bool {
    let who = leaf(0x4000_0000);
    [who.ebx, who.ecx, who.edx].map(u32::to_le_bytes).concat() == *b"TCGTCGTCGTCG"
}

/// Whether the local APIC has its register-based mode.
pub(crate) fn has_x2apic() -> bool {
    leaf(1).ecx & LEAF1_ECX_X2APIC != 0
}

/// Whether the local APIC's timer can wait for a TSC value.
pub(crate) fn has_tsc_deadline() -> bool {
    leaf(1).ecx & LEAF1_ECX_TSC_DEADLINE != 0
}

/// Whether there is a hardware random number generator.
pub(crate) fn has_rdrand() -> bool {
    leaf(1).ecx & LEAF1_ECX_RDRAND != 0
}

/// Whether there is the seed source behind that generator.
pub(crate) fn has_rdseed() -> bool {
    const LEAF7_EBX_RDSEED: u32 = 1 << 18;
    leaf(7).ebx & LEAF7_EBX_RDSEED != 0
}

/// Whether page tables can have 1 GiB pages.
pub(crate) fn has_1_gib_pages() -> bool {
    leaf(0x8000_0001).edx & EXTENDED_EDX_1_GIB_PAGES != 0
}

/// What of the optional is in use, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// The bits of XCR0: which register state is enabled.
    state: u64,
    has_x2apic: bool,
    has_1_gib_pages: bool,
}

impl Features {
    /// Those of the executing CPU.
    #[must_use]
    pub fn of_this_cpu() -> Self {
        Self {
            state: enabled_state(),
            has_x2apic: has_x2apic(),
            has_1_gib_pages: has_1_gib_pages(),
        }
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vectors = match self.state {
            state if state & STATE_AVX512 == STATE_AVX512 => "AVX-512",
            state if state & STATE_AVX != 0 => "AVX",
            _ => "SSE",
        };
        let apic = if self.has_x2apic { "x2APIC" } else { "xAPIC" };
        let pages = if self.has_1_gib_pages { "1 GiB" } else { "2 MiB" };
        write!(f, "{vectors}, {apic}, pages up to {pages}")
    }
}

/// XCR0, or what holds without it.
fn enabled_state() -> u64 {
    const LEAF1_ECX_OSXSAVE: u32 = 1 << 27;
    if leaf(1).ecx & LEAF1_ECX_OSXSAVE == 0 {
        return STATE_X87_SSE;
    }
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE is on, so the register can be read; that has no effect.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Enables AVX and AVX-512 registers where they exist, so that code selected by CPUID may use them.
/// The entry code enabled SSE before the first compiled instruction.
pub(super) fn enable_extended_state() {
    if leaf(1).ecx & LEAF1_ECX_XSAVE == 0 {
        return;
    }
    // SAFETY: XSAVE exists, so the bit may be set; it gives access to registers and takes none.
    unsafe {
        asm!("mov {t}, cr4", "or {t}, {bit}", "mov cr4, {t}", t = out(reg) _,
            bit = in(reg) CR4_OSXSAVE, options(nomem, nostack));
    }
    let supported = __cpuid_count(0xd, 0);
    let state = usable_state(u64::from(supported.edx) << 32 | u64::from(supported.eax));
    let [low, high] = halves(state);
    // SAFETY: OSXSAVE is set, and `usable_state` gives a combination that the CPU accepts.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") low, in("edx") high, options(nomem, nostack));
    }
}

/// The largest consistent part of the wanted state: AVX-512 needs all its parts and AVX.
fn usable_state(supported: u64) -> u64 {
    let mut state = supported & WANTED_STATE | STATE_X87_SSE;
    if state & STATE_AVX == 0 || state & STATE_AVX512 != STATE_AVX512 {
        state &= !STATE_AVX512;
    }
    state
}

#[cfg(test)]
mod tests {
    use super::usable_state;

    #[test]
    fn extended_state_is_consistent() {
        let cases = [
            (0b11, 0b11),
            (0b111, 0b111),
            (0b1110_0111, 0b1110_0111),
            (0b0110_0111, 0b111),
            (0b1110_0011, 0b11),
            (0x2_02e7, 0xe7),
            (0, 0b11),
        ];
        for (supported, expected) in cases {
            assert_eq!(usable_state(supported), expected, "{supported:#b}");
        }
    }
}
