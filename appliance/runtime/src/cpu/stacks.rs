//! The stacks of one CPU, each with a guard page below it.
//!
//! Every exception and interrupt runs on an interrupt-stack-table (IST) stack, because compiled
//! code keeps live data below its stack pointer (the red zone), and because a fault caused by a
//! full stack must still find room to report itself.

use core::cell::UnsafeCell;
use core::mem::offset_of;

/// The bytes of a page, as an array can have them.
const PAGE: usize = 4096;
/// The main stack: room for deep translations and for formatting.
pub const MAIN_BYTES: usize = 256 * 1024;
/// Each trap stack: room to format a report with a backtrace.
pub const TRAP_BYTES: usize = 16 * 1024;

/// The memory of all stacks of one CPU. Pages named `guard` are unmapped before they are needed.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Stacks {
    main_guard: UnsafeCell<[u8; PAGE]>,
    main: UnsafeCell<[u8; MAIN_BYTES]>,
    trap: [GuardedTrapStack; TrapStack::COUNT],
}

#[derive(Debug)]
#[repr(C, align(4096))]
struct GuardedTrapStack {
    guard: UnsafeCell<[u8; PAGE]>,
    stack: UnsafeCell<[u8; TRAP_BYTES]>,
}

// SAFETY: the bytes are only used as machine stacks, each by one CPU at a time; this type gives
// out addresses and never a reference to the bytes.
unsafe impl Sync for Stacks {}

/// Which IST stack a vector runs on; the order is that of the IST slots, from slot 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapStack {
    /// Ordinary faults, page faults among them.
    Fault,
    /// Double fault: a fault while a fault was being delivered.
    Double,
    /// Non-maskable interrupt: may come at any instant, also inside another trap.
    NonMaskable,
    /// Machine check.
    MachineCheck,
    /// Device, timer and inter-processor interrupts.
    Interrupt,
}

impl TrapStack {
    /// How many there are.
    pub const COUNT: usize = 5;
    /// All of them, in the order of their slots.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Fault, Self::Double, Self::NonMaskable, Self::MachineCheck, Self::Interrupt];

    /// The IST slot, 1 to 7.
    pub(crate) const fn slot(self) -> u8 {
        self as u8 + 1
    }

    /// What a report calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Double => "double fault",
            Self::NonMaskable => "NMI",
            Self::MachineCheck => "machine check",
            Self::Interrupt => "interrupt",
        }
    }
}

/// The offset of the main stack's top in [`Stacks`].
#[doc(hidden)]
pub const MAIN_TOP: usize = offset_of!(Stacks, main) + MAIN_BYTES;

/// The stacks of the CPU that boots.
#[doc(hidden)]
pub static BOOT_STACKS: Stacks = Stacks::new();

impl Stacks {
    /// Stacks full of zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            main_guard: UnsafeCell::new([0; PAGE]),
            main: UnsafeCell::new([0; MAIN_BYTES]),
            trap: [const {
                GuardedTrapStack {
                    guard: UnsafeCell::new([0; PAGE]),
                    stack: UnsafeCell::new([0; TRAP_BYTES]),
                }
            }; TrapStack::COUNT],
        }
    }

    /// Where the main stack begins (it grows down).
    pub(crate) fn main_top(&self) -> u64 {
        self.main.get().addr() as u64 + MAIN_BYTES as u64
    }

    /// Where a trap stack begins (it grows down).
    pub(crate) fn trap_top(&self, which: TrapStack) -> u64 {
        self.trap[which as usize].stack.get().addr() as u64 + TRAP_BYTES as u64
    }

    /// The addresses of the guard pages, with the name of the stack above each.
    pub(crate) fn guards(&self) -> impl Iterator<Item = (u64, &'static str)> + '_ {
        let main = (self.main_guard.get().addr() as u64, "main");
        let traps = TrapStack::ALL
            .into_iter()
            .map(|which| (self.trap[which as usize].guard.get().addr() as u64, which.name()));
        core::iter::once(main).chain(traps)
    }

    /// The mapped bytes of the stack that contains this address, if it is one of these.
    pub(crate) fn containing(&self, address: u64) -> Option<core::ops::Range<u64>> {
        let main = self.main_top() - MAIN_BYTES as u64..self.main_top();
        let traps = TrapStack::ALL
            .into_iter()
            .map(|which| self.trap_top(which) - TRAP_BYTES as u64..self.trap_top(which));
        core::iter::once(main).chain(traps).find(|stack| stack.contains(&address))
    }
}

impl Default for Stacks {
    fn default() -> Self {
        Self::new()
    }
}
