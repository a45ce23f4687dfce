//! The instructions that only a kernel uses: ports, model-specific registers, control registers.
//!
//! Each is wrapped once, here, with its safety argument. Port functions are safe to call within
//! this crate because the devices that we drive through ports (serial line, timers, interrupt
//! controller, PCI configuration, fw_cfg) do not write our memory on their own; the callers keep
//! to those ports. They must not be executed on the host, and hosted tests do not.

use core::arch::asm;

/// Reads one byte from an I/O port.
pub(crate) fn in8(port: u16) -> u8 {
    let value: u8;
    // SAFETY: reading a port touches no memory of the program.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}

/// Writes one byte to an I/O port.
pub(crate) fn out8(port: u16, value: u8) {
    // SAFETY: writing the ports used in this crate touches no memory of the program.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

/// Reads two bytes from an I/O port.
pub(crate) fn in16(port: u16) -> u16 {
    let value: u16;
    // SAFETY: as for `in8`.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack)) };
    value
}

/// Writes two bytes to an I/O port.
pub(crate) fn out16(port: u16, value: u16) {
    // SAFETY: as for `out8`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack)) };
}

/// Reads four bytes from an I/O port.
pub(crate) fn in32(port: u16) -> u32 {
    let value: u32;
    // SAFETY: as for `in8`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack)) };
    value
}

/// Writes four bytes to an I/O port.
pub(crate) fn out32(port: u16, value: u32) {
    // SAFETY: as for `out8`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack)) };
}

/// Reads a model-specific register that the caller knows to exist (else the CPU traps).
pub(crate) fn read_msr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading a register has no effect on memory.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
///
/// # Safety
/// The register exists and the value keeps the program's memory and control flow sound.
pub(crate) unsafe fn write_msr(register: u32, value: u64) {
    let [low, high] = halves(value);
    // SAFETY: the caller answers for register and value.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") low, in("edx") high, options(nostack));
    }
}

/// The low and the high half of a word, as instructions with `edx:eax` want them.
pub(crate) fn halves(value: u64) -> [u32; 2] {
    let bytes = value.to_le_bytes();
    [
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
    ]
}

/// The time-stamp counter, ordered after all earlier loads.
pub(crate) fn read_tsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter; `lfence` only orders.
    unsafe {
        asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nomem, nostack));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// The address of the last page fault (CR2).
pub(crate) fn fault_address() -> u64 {
    let value: u64;
    // SAFETY: reading CR2 has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack)) };
    value
}

/// Makes page tables the ones in use and forgets every cached translation.
///
/// # Safety
/// The tables map all memory in use as it is used.
pub(crate) unsafe fn set_page_table_root(root: u64) {
    // SAFETY: the caller answers for the tables.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack)) };
}

/// Stops this CPU for good: only a reset ends it (a non-maskable interrupt just comes back here).
pub(crate) fn halt_forever() -> ! {
    loop {
        // SAFETY: with interrupts off, nothing runs on this CPU any more.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
