//! The CPUs of the machine.

pub mod stacks;

/// The number of the CPU that runs this code.
#[must_use]
pub fn current() -> usize {
    0
}
