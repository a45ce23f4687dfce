//! The interrupt descriptor table and the assembly behind its 256 entries.
//!
//! One table serves all CPUs: the stacks differ by CPU, and those are named in each CPU's TSS.

use core::arch::asm;
use core::cell::UnsafeCell;

use super::{Frame, VECTOR_DOUBLE_FAULT, VECTOR_MACHINE_CHECK, VECTOR_NMI, handle};
use crate::cpu::stacks::TrapStack;
use crate::cpu::{CODE, TablePointer};

const VECTORS: usize = 256;
const TABLE_BYTES: u16 = 256 * 16;
/// The distance of two entry stubs in the assembly.
const STUB_BYTES: usize = 16;
const _: () = assert!(size_of::<Frame>() == 22 * 8, "the assembly saves 15 registers");

#[repr(C, align(16))]
struct Table(UnsafeCell<[[u64; 2]; VECTORS]>);

// SAFETY: filled once by the boot CPU before it runs anything else; only the hardware reads it.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([[0; 2]; VECTORS]));

/// Fills the table. Once, on the boot CPU, before [`load_table`].
pub(crate) fn fill_table() {
    unsafe extern "C" {
        static runtime_trap_stubs: [u8; 0];
    }
    let stubs = (&raw const runtime_trap_stubs).addr();
    // SAFETY: the boot CPU runs alone, and the hardware does not read the table yet.
    let entries = unsafe { &mut *TABLE.0.get() };
    for (entry, vector) in entries.iter_mut().zip(0_u8..=u8::MAX) {
        let handler = (stubs + usize::from(vector) * STUB_BYTES) as u64;
        *entry = gate(handler, stack_of(vector).slot());
    }
}

/// Makes the table that of the executing CPU.
pub(crate) fn load_table() {
    let limit = TABLE_BYTES - 1;
    let pointer = TablePointer { limit, base: TABLE.0.get().addr() as u64 };
    // SAFETY: the table is static and filled with handlers that run on stacks of their own.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack, readonly)) };
}

/// The stack a vector runs on. What may interrupt a report must not share its stack.
fn stack_of(vector: u8) -> TrapStack {
    match vector {
        VECTOR_NMI => TrapStack::NonMaskable,
        VECTOR_DOUBLE_FAULT => TrapStack::Double,
        VECTOR_MACHINE_CHECK => TrapStack::MachineCheck,
        vector if vector < super::EXCEPTIONS => TrapStack::Fault,
        _ => TrapStack::Interrupt,
    }
}

/// A 64-bit interrupt gate (Intel SDM 3A §6.14.1): present, interrupts off while it runs.
fn gate(handler: u64, stack: u8) -> [u64; 2] {
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e << 40;
    let low = handler & 0xffff
        | u64::from(CODE) << 16
        | u64::from(stack) << 32
        | PRESENT_INTERRUPT_GATE
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

// Each stub makes the stack the same for all vectors: an error code (pushed by the CPU for some
// exceptions, else zero) and the vector; then the registers, in the order of `Frame`.
core::arch::global_asm!(
    r#"
.section .text.runtime_trap, "ax", @progbits
.balign 16
.global runtime_trap_stubs
.hidden runtime_trap_stubs
runtime_trap_stubs:
.set vector, 0
.rept 256
    .balign 16
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    pushq $0
    .endif
    pushq $vector
    jmp runtime_trap_common
    .set vector, vector + 1
.endr

runtime_trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    cld
    # A trap that returns must keep the vector registers that compiled code uses.
    subq $512, %rsp
    fxsave64 (%rsp)
    call {handle}
    fxrstor64 (%rsp)
    addq $512, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq
"#,
    handle = sym handle,
    options(att_syntax)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gate_spreads_the_handler() {
        let [low, high] = gate(0x1234_5678_9abc_def0, 3);
        assert_eq!(low, 0x9abc_8e03_0008_def0);
        assert_eq!(high, 0x1234_5678);
    }

    #[test]
    fn a_fault_in_a_fault_has_another_stack() {
        assert_ne!(stack_of(VECTOR_DOUBLE_FAULT), stack_of(super::super::VECTOR_PAGE_FAULT));
        assert_ne!(stack_of(VECTOR_NMI), stack_of(13));
    }
}
