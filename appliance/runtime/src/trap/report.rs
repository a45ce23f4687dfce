//! What a fatal trap prints: what it was, where, what it most likely means, registers, backtrace.

use core::fmt::{self, Write};

use super::{Frame, VECTOR_PAGE_FAULT};
use crate::backtrace::{self, Backtrace};
use crate::{cpu, symbols};

/// Page fault error code bits (Intel SDM 3A §4.7).
const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const INSTRUCTION: u64 = 1 << 4;

/// Writes the report of a fatal trap.
pub(super) fn write(out: &mut dyn Write, frame: &Frame, fault_address: u64) -> fmt::Result {
    let name = exception_name(frame.vector);
    writeln!(out, "\nfatal trap on cpu{}: {name}", cpu::current())?;
    if frame.vector == u64::from(VECTOR_PAGE_FAULT) {
        let access = access(frame.error);
        writeln!(out, "  {access} {fault_address:#x}: {}", Cause::of(frame, fault_address))?;
    } else if frame.vector == u64::from(super::VECTOR_DOUBLE_FAULT)
        && let Some((cpu, stack)) = cpu::guard_at(fault_address).or(cpu::guard_at(frame.rsp - 8))
    {
        writeln!(out, "  stack overflow on cpu {cpu} ({stack} stack)")?;
    }
    writeln!(out, "  at {}", symbols::At(frame.rip))?;
    registers(out, frame, fault_address)?;
    writeln!(out, "backtrace:")?;
    // A call through a bad pointer leaves its caller on the stack only.
    if cpu::stack_containing(frame.rsp).is_some() && !symbols::is_code(frame.rip) {
        writeln!(out, "   called from {}", symbols::At(backtrace::word_at(frame.rsp)))?;
    }
    write!(out, "{}", Backtrace::from(frame.rip, frame.rbp))
}

/// Why a page fault most likely happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    StackOverflow { cpu: usize, stack: &'static str },
    NullPointer,
    NotMapped,
    NotWritable,
    NotExecutable,
    NotReadable,
}

impl Cause {
    fn of(frame: &Frame, address: u64) -> Self {
        match cpu::guard_at(address) {
            Some((cpu, stack)) => Self::StackOverflow { cpu, stack },
            None => Self::of_error(frame.error, address),
        }
    }

    fn of_error(error: u64, address: u64) -> Self {
        match () {
            () if address < crate::memory::NULL_BYTES => Self::NullPointer,
            () if error & PRESENT == 0 => Self::NotMapped,
            () if error & INSTRUCTION != 0 => Self::NotExecutable,
            () if error & WRITE != 0 => Self::NotWritable,
            () => Self::NotReadable,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StackOverflow { cpu, stack } => {
                write!(f, "stack overflow on cpu {cpu} ({stack} stack)")
            }
            Self::NullPointer => f.write_str("null pointer dereference"),
            Self::NotMapped => f.write_str("no memory is mapped there"),
            Self::NotWritable => f.write_str("this memory is read-only"),
            Self::NotExecutable => f.write_str("this memory is not executable"),
            Self::NotReadable => f.write_str("this memory may not be accessed so"),
        }
    }
}

/// What the CPU was doing at the faulting address.
fn access(error: u64) -> &'static str {
    match () {
        () if error & INSTRUCTION != 0 => "executing",
        () if error & WRITE != 0 => "writing",
        () => "reading",
    }
}

fn registers(out: &mut dyn Write, frame: &Frame, fault_address: u64) -> fmt::Result {
    let registers = [
        ("rax", frame.rax),
        ("rbx", frame.rbx),
        ("rcx", frame.rcx),
        ("rdx", frame.rdx),
        ("rsi", frame.rsi),
        ("rdi", frame.rdi),
        ("rbp", frame.rbp),
        ("rsp", frame.rsp),
        ("r8 ", frame.r8),
        ("r9 ", frame.r9),
        ("r10", frame.r10),
        ("r11", frame.r11),
        ("r12", frame.r12),
        ("r13", frame.r13),
        ("r14", frame.r14),
        ("r15", frame.r15),
        ("rip", frame.rip),
        ("flg", frame.rflags),
        ("err", frame.error),
        ("cr2", fault_address),
    ];
    writeln!(out, "registers (cs {:#x}, ss {:#x}):", frame.cs, frame.ss)?;
    for row in registers.chunks(4) {
        for (name, value) in row {
            write!(out, "  {name} {value:016x}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The names of Intel SDM 3A table 6-1.
fn exception_name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        14 => "page fault",
        16 => "x87 floating point error",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating point error",
        20 => "virtualization exception",
        21 => "control protection exception",
        _ => "reserved exception",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_faults_are_explained() {
        let cases = [
            (0, 0, "reading", Cause::NullPointer),
            (WRITE, 8, "writing", Cause::NullPointer),
            (INSTRUCTION, 0, "executing", Cause::NullPointer),
            (0, 0x10_0000_0000, "reading", Cause::NotMapped),
            (PRESENT | WRITE, 0x20_0000, "writing", Cause::NotWritable),
            (PRESENT | INSTRUCTION, 0x30_0000, "executing", Cause::NotExecutable),
            (PRESENT, 0x30_0000, "reading", Cause::NotReadable),
        ];
        for (error, address, expected_access, expected_cause) in cases {
            assert_eq!(access(error), expected_access);
            assert_eq!(Cause::of_error(error, address), expected_cause, "{error:#x} {address:#x}");
        }
    }
}
