//! The serial console as a terminal: what is typed there is a command of `ovs-appctl`, answered in text.
//!
//! The UART is asked for a byte rarely, as each question is an exit to the hypervisor; answers go the
//! way of the log, as far as there is room, so neither keeps a poll loop waiting.

use runtime::{console, time};
use switch::ByteChannel;

/// Nanoseconds between two looks for a key.
const LOOK_NS: u64 = 10_000_000;
/// ... and while somebody types.
const TYPING_NS: u64 = 1_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SerialLine {
    /// When to look next.
    next: u64,
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
        self.next = now + if n > 0 { TYPING_NS } else { LOOK_NS };
        n
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        console::offer(bytes)
    }

    fn is_terminal(&self) -> bool {
        true
    }
}
