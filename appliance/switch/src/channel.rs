//! Byte channels other than the network: virtio consoles, on which unixctl clients come and go.

use agent::unixctl::Unixctl;
use alloc::boxed::Box;
use core::fmt::Debug;
use sync::time::Nanos;

/// Bytes taken from a channel in one round.
const READ_BYTES: usize = 4096;

/// A channel of bytes that never blocks.
pub trait ByteChannel: Debug + Send {
    /// Takes bytes that have arrived, as many as fit; returns how many.
    fn read(&mut self, into: &mut [u8]) -> usize;

    /// Gives bytes to send; returns how many were accepted.
    fn write(&mut self, bytes: &[u8]) -> usize;
}

/// A channel with a unixctl server on it.
#[derive(Debug)]
pub(crate) struct ControlChannel {
    channel: Box<dyn ByteChannel>,
    pub(crate) server: Unixctl,
}

impl ControlChannel {
    pub(crate) fn new(channel: Box<dyn ByteChannel>) -> Self {
        Self { channel, server: Unixctl::new() }
    }

    /// Brings in what has arrived.
    pub(crate) fn read(&mut self, now: Nanos) -> bool {
        if !self.server.wants_input() {
            return false;
        }
        let mut buffer = [0; READ_BYTES];
        let n = self.channel.read(&mut buffer);
        self.server.received(buffer.get(..n).unwrap_or(&buffer), now);
        n > 0
    }

    /// Sends what the channel takes of the pending answers; true when none is left.
    pub(crate) fn write(&mut self) -> bool {
        let output = self.server.output();
        if !output.is_empty() {
            let n = self.channel.write(output).min(output.len());
            output.drain(..n);
        }
        output.is_empty()
    }
}
