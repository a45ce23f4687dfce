//! The serial console as a terminal: what is typed there is a command of `ovs-appctl`, answered in text.
//!
//! The UART is asked for a byte rarely, as each question is an exit to the hypervisor; answers go the
//! way of the log, as far as there is room, so neither keeps a poll loop waiting.

use runtime::{console, time};
use switch::ByteChannel;
use sync::time::Nanos;

/// Nanoseconds between two looks for a key.
const LOOK_NS: u64 = 10_000_000;
/// ... and while somebody types.
const TYPING_NS: u64 = 1_000_000;
/// So long after the last key somebody does.
const TYPING_FOR_NS: u64 = 1_000_000_000;
/// Between two looks of a processor that rests: no key ends that, and a finger does not feel it.
const RESTING: Nanos = Nanos::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SerialLine {
    /// When to look next.
    next: u64,
    /// Until when somebody types.
    typing_until: u64,
}

impl ByteChannel for SerialLine {
    fn read(&mut self, into: &mut [u8]) -> usize {
        let now = time::now();
        if now < self.next {
            return 0;
        }
        let mut n = 0;
        for (place, byte) in into.iter_mut().zip(core::iter::from_fn(console::read)) {
            *place = byte;
            n += 1;
        }
        if n > 0 {
            self.typing_until = now + TYPING_FOR_NS;
        }
        self.next = now + if now < self.typing_until { TYPING_NS } else { LOOK_NS };
        n
    }

    fn look_within(&self) -> Option<Nanos> {
        let is_typing = time::now() < self.typing_until;
        Some(if is_typing { Nanos(TYPING_NS) } else { RESTING })
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        console::offer(bytes)
    }

    fn is_terminal(&self) -> bool {
        true
    }
}
