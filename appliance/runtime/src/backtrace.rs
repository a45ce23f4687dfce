//! Who called whom, by the chain of frame pointers.
//!
//! The image is compiled with frame pointers: each function's `rbp` points to its caller's, next to
//! the return address. The walk believes nothing: a link must stay inside the stack it began on,
//! be aligned and lead upwards, so a broken chain ends the list and cannot fault or loop.

use core::arch::asm;
use core::fmt;
use core::ops::Range;
use core::ptr;

use crate::{cpu, symbols};

/// The most callers that are listed.
const MAX_FRAMES: usize = 32;

/// A walk that starts at an instruction and a frame pointer; `Display` lists it.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace {
    rip: Option<u64>,
    rbp: u64,
}

impl Backtrace {
    /// The callers of the function that calls this.
    #[must_use]
    #[inline(always)]
    pub fn here() -> Self {
        let rbp: u64;
        // SAFETY: reads a register.
        unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack)) };
        Self { rip: None, rbp }
    }

    /// The function that was at `rip` with this frame pointer, and its callers.
    pub(crate) fn from(rip: u64, rbp: u64) -> Self {
        Self { rip: Some(rip), rbp }
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = 0;
        let mut line = |address| {
            number += 1;
            writeln!(f, "  {number:2}: {}", symbols::At(address))
        };
        if let Some(rip) = self.rip {
            line(rip)?;
        }
        let Some(stack) = cpu::stack_containing(self.rbp) else { return Ok(()) };
        let callers = Callers { stack, rbp: self.rbp, read: word_at };
        for caller in callers.take(MAX_FRAMES) {
            // The call is before the address it returns to.
            line(caller - 1)?;
        }
        Ok(())
    }
}

/// A word of a stack.
pub(crate) fn word_at(address: u64) -> u64 {
    let Ok(address) = usize::try_from(address) else { return 0 };
    // SAFETY: callers give addresses inside a stack of a CPU, which is always mapped; any bytes
    // are a valid word.
    unsafe { ptr::with_exposed_provenance::<u64>(address).read_unaligned() }
}

/// Return addresses up the chain.
struct Callers<R> {
    stack: Range<u64>,
    rbp: u64,
    read: R,
}

impl<R: Fn(u64) -> u64> Iterator for Callers<R> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let return_at = self.rbp.checked_add(8)?;
        let is_inside = self.stack.contains(&self.rbp) && return_at + 8 <= self.stack.end;
        if !is_inside || !self.rbp.is_multiple_of(8) {
            return None;
        }
        let caller = (self.read)(return_at);
        let above = (self.read)(self.rbp);
        self.rbp = if above > self.rbp { above } else { 0 };
        (caller != 0).then_some(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn walk(words: &[u64], rbp: u64) -> Vec<u64> {
        let stack = 0x1000..0x1000 + words.len() as u64 * 8;
        let read = |address: u64| words[usize::try_from((address - 0x1000) / 8).unwrap()];
        Callers { stack, rbp, read }.take(MAX_FRAMES).collect()
    }

    #[test]
    fn follows_the_chain_to_its_end() {
        let words = [0x1018, 0xa, 0, 0x1028, 0xb, 0, 0xc];
        assert_eq!(walk(&words, 0x1018), [0xb, 0xc]);
        let words = [0x1010, 0xa, 0x1020, 0xb, 0, 0xc];
        assert_eq!(walk(&words, 0x1000), [0xa, 0xb, 0xc]);
    }

    #[test]
    fn ends_where_the_chain_is_broken() {
        let cases: [(&[u64], u64, &[u64]); 6] = [
            (&[0x1000, 0xa], 0x1000, &[0xa]),
            (&[0xdead, 0xa], 0x1000, &[0xa]),
            (&[0x1004, 0xa, 1, 1], 0x1000, &[0xa]),
            (&[0, 0], 0x1000, &[]),
            (&[0x1008, 0xa], 0x1008, &[]),
            (&[0, 0xa], u64::MAX - 3, &[]),
        ];
        for (words, rbp, expected) in cases {
            assert_eq!(walk(words, rbp), expected);
        }
    }
}
