//! Bytes on their way to one peer.

use alloc::vec::Vec;

/// While more than this waits, the peer's requests are left unread.
const BUSY_BYTES: usize = 128 * 1024;
/// Asynchronous messages beyond this are dropped.
const ASYNC_LIMIT_BYTES: usize = 512 * 1024;

/// A queue of bytes; the network layer takes from its front.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// What of `bytes` has been taken already.
    taken: usize,
}

impl Outbox {
    /// What waits to be sent.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// The first `n` pending bytes have been sent.
    pub fn consume(&mut self, n: usize) {
        self.taken = self.taken.saturating_add(n).min(self.bytes.len());
        // Moved to the front rarely, so that sending costs linear time.
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken >= BUSY_BYTES {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// So much waits that the peer should read before it asks for more.
    pub(crate) fn is_busy(&self) -> bool {
        self.pending().len() > BUSY_BYTES
    }

    /// So much waits that nothing unasked for should be added.
    pub(crate) fn is_clogged(&self) -> bool {
        self.pending().len() > ASYNC_LIMIT_BYTES
    }

    /// Makes room for so many more bytes, and takes no more memory than that; false when there is none
    /// now.
    pub(crate) fn make_room(&mut self, n: usize) -> bool {
        if self.bytes.capacity() - self.bytes.len() < n {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.try_reserve_exact(n).is_ok()
    }

    /// Where encoders write.
    pub(crate) fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_of_what_was_sent_first() {
        let mut outbox = Outbox::default();
        assert!(outbox.make_room(1_000));
        outbox.tail().extend_from_slice(&[1; 1_000]);
        outbox.consume(900);
        assert!(outbox.make_room(900));
        assert!(outbox.bytes.capacity() < 1_900 && outbox.pending() == [1; 100]);
        assert!(!outbox.make_room(usize::MAX), "more than there is");
        assert_eq!(outbox.pending(), [1; 100]);
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut outbox = Outbox::default();
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for round in 0..2000_u32 {
            let bytes = round.to_be_bytes().repeat(50);
            outbox.tail().extend_from_slice(&bytes);
            sent.extend(bytes);
            let n = usize::try_from(round * 7919 % 257).expect("small");
            got.extend_from_slice(&outbox.pending()[..n.min(outbox.pending().len())]);
            outbox.consume(n);
        }
        got.extend_from_slice(outbox.pending());
        outbox.consume(usize::MAX);
        assert!(got == sent && outbox.pending().is_empty());
    }
}
