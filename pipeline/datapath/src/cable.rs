//! Cables between bridges: what leaves by a patch port comes in by its peer.
//!
//! # What
//! A patch port is a port without a device. A packet that is output to it enters the datapath anew, as
//! if a device had received it on the peer: with a lookup of its own, in the table of the peer, by the
//! megaflows of the peer's bridge. So no conclusion of one bridge is part of another's, and each judges
//! its own cache alone. What the packet does behind the cable happens to a copy if the program has more
//! to do with it, which goes on unchanged.
//!
//! # Accounting
//! The one end transmits, the other receives: both sides of the law grow by one. A packet that may not
//! go on is dropped by the end that received it.
//!
//! # How it ends
//! Bridges may be cabled in a ring. A packet and its copies go through [`MAX_CABLES`] at most, counted
//! in the packet, so that an upcall on the way does not begin anew; and no more of them wait at once
//! than the stage holds.

use packet::{Batch, OffloadSet, Packet, PacketMeta};

use crate::{drop_reason::DropReason, execute::Executor, ids::PortNo, output::Output};

/// Cables that a packet and its copies go through, at most.
pub const MAX_CABLES: u32 = 8;

impl<O: Output> Executor<'_, O> {
    /// Takes the packets, or copies of them if the group is still needed, from one end of a cable to the
    /// other, cut to `max_len` bytes.
    pub(crate) fn pass_through(
        &mut self,
        group: &mut Batch,
        is_last: bool,
        (from, to): (PortNo, PortNo),
        max_len: usize,
    ) {
        if !is_last {
            let mut copies = self.copies(group);
            return self.pass_through(&mut copies, true, (from, to), max_len);
        }
        // In the order in which they came.
        for packet in group.drain(..) {
            if packet.len() > max_len && !packet.offload().is_none() {
                // What is cut off could not be summed any more.
                self.finish(packet, OffloadSet::NONE, &mut |this: &mut Self, packet| {
                    this.pass_one(packet, from, to, max_len);
                });
            } else {
                self.pass_one(packet, from, to, max_len);
            }
        }
    }

    fn pass_one(&mut self, mut packet: Packet, from: PortNo, to: PortNo, max_len: usize) {
        let (Some(near), Some(far)) = (self.ports.counters(from), self.ports.counters(to)) else {
            self.port_counters.dropped(DropReason::NoSuchPort, 1);
            return self.out.cache().free(packet);
        };
        if packet.len() > max_len {
            // Shortening cannot fail.
            let _ = packet.set_len(max_len);
        }
        let n_bytes = packet.len() as u64;
        near.transmitted(1, n_bytes);
        far.received(1, n_bytes);
        let meta = packet.meta_mut();
        let n_cables = meta.n_cables + 1;
        // The marks stay with the packet, as in Open vSwitch.
        let PacketMeta { pkt_mark, skb_priority, .. } = *meta;
        *meta =
            PacketMeta { in_port: to.0, pkt_mark, skb_priority, n_cables, ..PacketMeta::default() };
        let staged = match n_cables {
            0..=MAX_CABLES => self.stage.push(to, 0, packet),
            _ => Err((packet, DropReason::RecursionTooDeep)),
        };
        if let Err((packet, reason)) = staged {
            far.dropped(reason, 1);
            self.out.cache().free(packet);
        }
    }
}
