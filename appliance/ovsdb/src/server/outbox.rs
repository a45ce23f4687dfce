//! Bytes on their way to a client, some of which have to wait for the disk.
//!
//! Whatever a client is told after a commit may show that commit, so it is held back until the log
//! has it: a power cut must not take back what anybody was told. The bytes are already there, only the
//! end of what may be sent moves.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The output of one session.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Bytes before this place are sent.
    sent: usize,
    /// From a place on (counted from the session's first byte), the log must have so many records.
    gates: VecDeque<(u64, u64)>,
    /// Bytes removed from the front of `bytes` since the beginning.
    removed: u64,
    /// Records that the log has.
    durable: u64,
}

/// Sent bytes are removed when they are at least so many.
const REMOVE_FROM: usize = 64 * 1024;

impl Outbox {
    /// Bytes that may be sent.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..self.open_end()).unwrap_or_default()
    }

    /// The caller sent so many of the pending bytes.
    pub fn consume(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n).min(self.open_end());
        if self.sent == self.bytes.len() {
            self.removed += count(self.sent);
            self.bytes = Vec::new();
            self.sent = 0;
        } else if self.sent >= REMOVE_FROM {
            self.removed += count(self.sent);
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Bytes that are not sent, those that wait included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// True when everything is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes that may be sent when the log has `records` records.
    pub(crate) fn write(&mut self, bytes: &[u8], records: u64) {
        let last = self.gates.back().map_or(self.durable, |&(_, records)| records);
        if records > last {
            self.gates.push_back((self.removed + count(self.bytes.len()), records));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The log has so many records.
    pub(crate) fn durable(&mut self, records: u64) {
        self.durable = records;
        while self.gates.front().is_some_and(|&(_, wanted)| wanted <= records) {
            self.gates.pop_front();
        }
    }

    fn open_end(&self) -> usize {
        let place =
            |&(at, _): &(u64, u64)| usize::try_from(at - self.removed).unwrap_or(usize::MAX);
        self.gates.front().map_or(self.bytes.len(), place)
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_durable_waits() {
        let mut outbox = Outbox::default();
        outbox.write(b"ab", 0);
        outbox.write(b"cd", 2);
        outbox.write(b"e", 2);
        outbox.write(b"f", 3);
        assert_eq!(outbox.pending(), b"ab");
        outbox.consume(5);
        assert_eq!((outbox.pending(), outbox.len()), (&b""[..], 4));
        outbox.durable(1);
        assert_eq!(outbox.pending(), b"");
        outbox.durable(2);
        assert_eq!(outbox.pending(), b"cde");
        outbox.consume(1);
        outbox.durable(3);
        assert_eq!(outbox.pending(), b"def");
        outbox.consume(3);
        assert!(outbox.is_empty());
        outbox.write(b"g", 3);
        outbox.write(b"h", 4);
        assert_eq!(outbox.pending(), b"g");
    }
}
