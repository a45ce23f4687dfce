//! The local interrupt controller (Intel SDM 3A ch. 11): who I am, messages between CPUs, a timer.
//!
//! Both register sets are spoken: x2APIC (registers) where there is one, else xAPIC (memory).
//! Devices are polled; the only interrupts of theirs are messages that end a wait. The old 8259 pair is silenced, with its
//! vectors moved clear of the exceptions for the spurious interrupt it may still raise.

use core::ptr;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::features;
use crate::io::{out8, read_msr, write_msr};
use crate::{memory, time, trap};

const MSR_APIC_BASE: u32 = 0x1b;
const BASE_ENABLED: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const MSR_X2APIC: u32 = 0x800;
const MSR_TSC_DEADLINE: u32 = 0x6e0;

/// Registers, by their offset in the memory form (the register form divides it by 16).
mod register {
    pub(super) const ID: u32 = 0x20;
    pub(super) const END_OF_INTERRUPT: u32 = 0xb0;
    pub(super) const SPURIOUS: u32 = 0xf0;
    pub(super) const COMMAND: u32 = 0x300;
    pub(super) const COMMAND_HIGH: u32 = 0x310;
    pub(super) const TIMER: u32 = 0x320;
    pub(super) const LINT0: u32 = 0x350;
    pub(super) const TIMER_INITIAL: u32 = 0x380;
    pub(super) const TIMER_CURRENT: u32 = 0x390;
    pub(super) const TIMER_DIVIDE: u32 = 0x3e0;
}

const SOFTWARE_ENABLED: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
const TIMER_TSC_DEADLINE: u32 = 2 << 17;
const DIVIDE_BY_1: u32 = 0b1011;
/// Interrupt command: delivery modes, level "assert", pending flag, "all but me".
const DELIVER_NMI: u32 = 4 << 8;
const DELIVER_INIT: u32 = 5 << 8;
const DELIVER_STARTUP: u32 = 6 << 8;
const ASSERT: u32 = 1 << 14;
const PENDING: u32 = 1 << 12;
const ALL_BUT_SELF: u32 = 3 << 18;

/// Address of the memory form; 0 before [`init`], [`X2APIC`] in the register form.
static REGISTERS: AtomicUsize = AtomicUsize::new(0);
const X2APIC: usize = 1;
/// Timer ticks in 2^20 ns, measured once.
static TIMER_RATE: AtomicU64 = AtomicU64::new(0);

/// Silences the 8259 pair and enables this CPU's local APIC. Once, on the boot CPU.
pub(super) fn init(address: u64) -> Result<(), memory::MapError> {
    silence_8259();
    if features::has_x2apic() {
        REGISTERS.store(X2APIC, Ordering::Relaxed);
    } else {
        let registers = memory::map_mmio(address, 4096)?;
        REGISTERS.store(registers.as_ptr().expose_provenance(), Ordering::Relaxed);
    }
    enable();
    Ok(())
}

/// Enables the local APIC of the executing CPU.
pub(super) fn enable() {
    let mut base = read_msr(MSR_APIC_BASE) | BASE_ENABLED;
    if REGISTERS.load(Ordering::Relaxed) == X2APIC {
        base |= BASE_X2APIC;
    }
    // SAFETY: the register exists on every 64-bit CPU; the register form is enabled only where
    // CPUID has it.
    unsafe { write_msr(MSR_APIC_BASE, base) };
    write(register::SPURIOUS, SOFTWARE_ENABLED | u32::from(trap::VECTOR_SPURIOUS));
    write(register::LINT0, MASKED);
    write(register::TIMER, MASKED);
}

/// The APIC id of the executing CPU.
pub(super) fn id() -> u32 {
    match REGISTERS.load(Ordering::Relaxed) {
        X2APIC => read(register::ID),
        _ => read(register::ID) >> 24,
    }
}

/// Says that the interrupt in progress has been handled.
pub(crate) fn end_of_interrupt() {
    write(register::END_OF_INTERRUPT, 0);
}

/// Resets another CPU; it then waits for [`send_startup`].
pub(super) fn send_init(id: u32) {
    command(id, DELIVER_INIT | ASSERT);
}

/// Makes a CPU that was reset run the 16-bit code at `page`, which lies below 1 MiB.
pub(super) fn send_startup(id: u32, page: u64) {
    let vector = u32::try_from(page >> 12 & 0xff).unwrap_or(0);
    command(id, DELIVER_STARTUP | ASSERT | vector);
}

/// Ends another CPU's wait.
pub(super) fn send_wake(id: u32) {
    command(id, ASSERT | u32::from(trap::VECTOR_WAKE));
}

/// Interrupts all other CPUs, whatever they do.
pub(crate) fn send_nmi_to_others() {
    if REGISTERS.load(Ordering::Relaxed) != 0 {
        command(0, DELIVER_NMI | ASSERT | ALL_BUT_SELF);
    }
}

/// Sends one timer interrupt to this CPU after about `ns`.
pub(super) fn arm_timer(ns: u64) {
    if REGISTERS.load(Ordering::Relaxed) == 0 {
        return;
    }
    let vector = u32::from(trap::VECTOR_TIMER);
    if features::has_tsc_deadline() {
        write(register::TIMER, TIMER_TSC_DEADLINE | vector);
        // SAFETY: the register exists where CPUID has this timer mode.
        unsafe { write_msr(MSR_TSC_DEADLINE, time::tsc_after(ns)) };
        return;
    }
    let rate = match TIMER_RATE.load(Ordering::Relaxed) {
        0 => measure_timer(),
        rate => rate,
    };
    let ticks = (u128::from(ns) * u128::from(rate)) >> 20;
    write(register::TIMER_DIVIDE, DIVIDE_BY_1);
    write(register::TIMER, vector);
    write(register::TIMER_INITIAL, u32::try_from(ticks).unwrap_or(u32::MAX).max(1));
}

/// Stops the timer.
pub(super) fn disarm_timer() {
    if REGISTERS.load(Ordering::Relaxed) == 0 {
        return;
    }
    write(register::TIMER, MASKED);
    if features::has_tsc_deadline() {
        // SAFETY: as in `arm_timer`; zero disarms.
        unsafe { write_msr(MSR_TSC_DEADLINE, 0) };
    } else {
        write(register::TIMER_INITIAL, 0);
    }
}

/// Counts the timer's ticks over a twentieth of a millisecond, at its first use.
fn measure_timer() -> u64 {
    const SPAN_NS: u64 = 50_000;
    write(register::TIMER_DIVIDE, DIVIDE_BY_1);
    write(register::TIMER, MASKED);
    write(register::TIMER_INITIAL, u32::MAX);
    let start = time::now();
    while time::now() - start < SPAN_NS {
        core::hint::spin_loop();
    }
    let ticks = u64::from(u32::MAX - read(register::TIMER_CURRENT));
    let span = time::now() - start;
    write(register::TIMER_INITIAL, 0);
    let rate = ((ticks << 20) / span.max(1)).max(1);
    TIMER_RATE.store(rate, Ordering::Relaxed);
    rate
}

/// Moves the 8259 pair's vectors to 0x20..0x30 and masks all of its lines.
fn silence_8259() {
    const MASTER: u16 = 0x20;
    const SLAVE: u16 = 0xa0;
    for (port, vector, wiring) in [(MASTER, 0x20, 4), (SLAVE, 0x28, 2)] {
        out8(port, 0x11);
        out8(port + 1, vector);
        out8(port + 1, wiring);
        out8(port + 1, 1);
        out8(port + 1, 0xff);
    }
}

fn command(id: u32, command: u32) {
    match REGISTERS.load(Ordering::Relaxed) {
        0 => {}
        // SAFETY: the interrupt command register exists in this form; what it sends to CPUs is
        // this module's business: start, wake and stop, each handled.
        X2APIC => unsafe {
            write_msr(
                MSR_X2APIC + register::COMMAND / 16,
                u64::from(id) << 32 | u64::from(command),
            );
        },
        _ => {
            write(register::COMMAND_HIGH, id << 24);
            write(register::COMMAND, command);
            // Delivery takes microseconds at most; a bound keeps a broken controller from hanging.
            for _ in 0..100_000 {
                if read(register::COMMAND) & PENDING == 0 {
                    break;
                }
                core::hint::spin_loop();
            }
        }
    }
}

fn read(offset: u32) -> u32 {
    match REGISTERS.load(Ordering::Relaxed) {
        0 => 0,
        X2APIC => {
            let [low, _] = crate::io::halves(read_msr(MSR_X2APIC + offset / 16));
            low
        }
        base => {
            let register = ptr::with_exposed_provenance::<u32>(base + offset as usize);
            // SAFETY: `init` mapped the registers, for good; the offset is one of them.
            unsafe { register.read_volatile() }
        }
    }
}

fn write(offset: u32, value: u32) {
    match REGISTERS.load(Ordering::Relaxed) {
        0 => {}
        // SAFETY: these registers hold settings of the interrupt controller only.
        X2APIC => unsafe { write_msr(MSR_X2APIC + offset / 16, u64::from(value)) },
        base => {
            let register = ptr::with_exposed_provenance_mut::<u32>(base + offset as usize);
            // SAFETY: as in `read`.
            unsafe { register.write_volatile(value) };
        }
    }
}
