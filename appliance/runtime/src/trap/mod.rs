//! Traps: exceptions, interrupts between CPUs, and what becomes of them.
//!
//! Every vector runs on an IST stack of its CPU (see [`crate::cpu::stacks`]). Exceptions are bugs
//! or broken hardware: they are reported and the image ends as configured. Three interrupts are
//! expected: the wake-up and the timer, which have done their work by ending a halt, and the NMI by
//! which a dying CPU stops the others.

mod report;
mod table;

pub(crate) use self::table::{fill_table, load_table};
use crate::cpu::{self, apic};
use crate::{io, panic};

/// Ends a wait, sent by another CPU or a device.
pub(crate) const VECTOR_WAKE: u8 = 0xf0;
/// Ends a wait, sent by this CPU's timer.
pub(crate) const VECTOR_TIMER: u8 = 0xf1;
/// Raised by the local APIC for an interrupt that went away.
pub(crate) const VECTOR_SPURIOUS: u8 = 0xff;

pub(crate) const VECTOR_NMI: u8 = 2;
pub(crate) const VECTOR_DOUBLE_FAULT: u8 = 8;
pub(crate) const VECTOR_PAGE_FAULT: u8 = 14;
pub(crate) const VECTOR_MACHINE_CHECK: u8 = 18;
/// Exceptions are the vectors below this.
const EXCEPTIONS: u8 = 32;
/// Where the silenced 8259 pair would raise a spurious interrupt.
const LEGACY: core::ops::Range<u8> = 0x20..0x30;

/// The interrupted registers, as the assembly in [`table`] saves them, lowest address first.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Frame {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) rdx: u64,
    pub(crate) rcx: u64,
    pub(crate) rax: u64,
    pub(crate) vector: u64,
    pub(crate) error: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
}

/// Called by the assembly for every trap.
extern "C" fn handle(frame: &Frame) {
    let vector = u8::try_from(frame.vector).unwrap_or(VECTOR_SPURIOUS);
    match vector {
        VECTOR_NMI if panic::is_ending() => io::halt_forever(),
        // A watchdog's or an operator's: nothing here answers to it.
        VECTOR_NMI | VECTOR_SPURIOUS => {}
        vector if vector < EXCEPTIONS => {
            panic::end(|console| report::write(console, frame, io::fault_address()));
        }
        vector if LEGACY.contains(&vector) => {}
        vector => {
            if vector == VECTOR_WAKE {
                cpu::note_wake();
            }
            apic::end_of_interrupt();
        }
    }
}
