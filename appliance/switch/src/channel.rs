//! Byte channels other than the network: virtio consoles, on which unixctl clients come and go, and the
//! serial line, at which a person may sit.

use agent::unixctl::Unixctl;
use alloc::boxed::Box;
use core::fmt::Debug;
use sync::time::Nanos;

/// Bytes taken from a channel in one round.
const READ_BYTES: usize = 4096;

/// Sent bytes that stay in the output before the rest is moved to its front.
const MOVE_BYTES: usize = 256 * 1024;

/// Between two looks at a channel that tells of nothing by itself.
const LOOK: Nanos = Nanos::from_millis(4);

/// A channel of bytes that never blocks.
pub trait ByteChannel: Debug + Send {
    /// Takes bytes that have arrived, as many as fit; returns how many.
    fn read(&mut self, into: &mut [u8]) -> usize;

    /// Gives bytes to send; returns how many were accepted.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// After what time bytes that have come are to be looked for; `None`: a device wakes who rests.
    fn look_within(&self) -> Option<Nanos> {
        Some(LOOK)
    }

    /// Whether a person is at the other end, who types commands and reads text.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// A channel with a unixctl server on it.
#[derive(Debug)]
pub(crate) struct ControlChannel {
    channel: Box<dyn ByteChannel>,
    pub(crate) server: Unixctl,
    /// Bytes of the server's output that are sent already.
    n_sent: usize,
}

impl ControlChannel {
    pub(crate) fn new(channel: Box<dyn ByteChannel>) -> Self {
        let server = if channel.is_terminal() { Unixctl::on_terminal() } else { Unixctl::new() };
        Self { channel, server, n_sent: 0 }
    }

    /// As [`ByteChannel::look_within`]; nothing tells when a device takes more of an answer.
    pub(crate) fn look_within(&self) -> Option<Nanos> {
        if self.n_unsent() > 0 { Some(LOOK) } else { self.channel.look_within() }
    }

    /// Bytes of answers that are not sent yet.
    pub(crate) fn n_unsent(&self) -> usize {
        self.server.n_pending().saturating_sub(self.n_sent)
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

    /// Sends what the channel takes of the pending answers; true when it took anything.
    pub(crate) fn write(&mut self) -> bool {
        let n_before = self.n_unsent();
        let output = self.server.output();
        let pending = output.get(self.n_sent..).unwrap_or_default();
        if !pending.is_empty() {
            self.n_sent += self.channel.write(pending).min(pending.len());
        }
        // Moved to the front rarely, so that a long answer costs linear time.
        if self.n_sent == output.len() || self.n_sent >= MOVE_BYTES {
            output.drain(..self.n_sent);
            self.n_sent = 0;
        }
        self.n_unsent() < n_before
    }
}
