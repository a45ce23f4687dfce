//! Where recirculated packets wait for their next pass.
//!
//! One program may recirculate a packet several times, and each of those again: the number of
//! packets could grow with each pass. So the stage holds a fixed number, allocated once, and passes
//! are limited to [`MAX_DEPTH`]; what exceeds either is dropped by name. Packets wait in order, so
//! those of one flow stay in order.

use alloc::collections::VecDeque;

use packet::{Batch, Packet};

use crate::{drop_reason::DropReason, ids::PortNo, input::MAX_DEPTH};

/// Packets that may wait at once.
const CAPACITY: usize = 256;

#[derive(Debug)]
pub(crate) struct Stage(VecDeque<Staged>);

#[derive(Debug)]
struct Staged {
    port: PortNo,
    depth: u8,
    packet: Packet,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self(VecDeque::with_capacity(CAPACITY))
    }

    /// Lets a packet wait that was looked up at `depth`, or gives it back with the reason for which
    /// it must not.
    pub(crate) fn push(
        &mut self,
        port: PortNo,
        depth: u8,
        packet: Packet,
    ) -> Result<(), (Packet, DropReason)> {
        if depth >= MAX_DEPTH {
            return Err((packet, DropReason::RecursionTooDeep));
        }
        if self.0.len() >= CAPACITY {
            return Err((packet, DropReason::RecirculationQueueFull));
        }
        self.0.push_back(Staged { port, depth: depth + 1, packet });
        Ok(())
    }

    /// Moves the packets that wait longest and have port and depth in common into `batch`.
    pub(crate) fn take_batch(&mut self, batch: &mut Batch) -> Option<(PortNo, u8)> {
        let first = self.0.front()?;
        let (port, depth) = (first.port, first.depth);
        while !batch.is_full()
            && self.0.front().is_some_and(|next| (next.port, next.depth) == (port, depth))
            && let Some(staged) = self.0.pop_front()
        {
            // Not full, as just checked.
            let _ = batch.push(staged.packet);
        }
        Some((port, depth))
    }
}
