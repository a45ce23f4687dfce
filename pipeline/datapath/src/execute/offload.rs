//! Packets that their sender left unfinished: a checksum to be computed, a large frame to be cut.
//!
//! They go through programs as they are, and leave as they are by a port whose device does the rest.
//! For everybody else they are finished first: a port whose device does not, a controller, an output that
//! cuts them short. A large frame that is cut counts as one packet made into several: each but the first is a
//! copy to the accounting.
//!
//! # Cost
//! Nothing for finished packets: whether a burst has others is known before its programs run. The edits are
//! those of finished packets, seen through [`Packet::edit_unfinished`].

use packet::{Batch, Covered, NoBuffer, OffloadSet, Packet, Segments};

use super::{Executor, edit};
use crate::{
    action::DpAction, drop_reason::DropReason, ids::PortNo, output::Output, upcall::UpcallReason,
};

impl<O: Output> Executor<'_, O> {
    /// As [`Self::send`], where some packets are not finished.
    #[cold]
    pub(super) fn send_unfinished(
        &mut self,
        group: &mut Batch,
        is_last: bool,
        port: PortNo,
        max_len: usize,
    ) {
        let offloads = self.ports.get(port).map_or(OffloadSet::NONE, |port| port.offloads);
        let mut ready = Batch::new();
        let mut send = |this: &mut Self, mut packet: Packet| {
            if packet.len() > max_len {
                // Shortening cannot fail.
                let _ = packet.set_len(max_len);
            }
            if let Err(packet) = ready.push(packet) {
                this.out.transmit_all(port, &mut ready);
                // Empty now.
                let _ = ready.push(packet);
            }
        };
        // What is cut off could not be summed any more.
        let offered = |packet: &Packet| match packet.len() > max_len {
            true => OffloadSet::NONE,
            false => offloads,
        };
        if is_last {
            for packet in group.drain(..) {
                let offered = offered(&packet);
                self.finish(packet, offered, &mut send);
            }
        } else {
            for packet in group.iter() {
                let offered = offered(packet);
                if packet.is_large() && !packet.passes(offered) {
                    // Its segments are the copy.
                    self.counters.copies.add(1);
                    self.cut(packet, offered, &mut send);
                } else if let Some(copy) = self.copy(packet) {
                    self.finish(copy, offered, &mut send);
                }
            }
        }
        self.out.transmit_all(port, &mut ready);
    }

    /// Finishes a packet for controllers.
    #[cold]
    pub(super) fn upcall_unfinished(&mut self, packet: Packet, reason: UpcallReason) {
        self.finish(packet, OffloadSet::NONE, &mut |this, packet| this.upcall(packet, reason));
    }

    /// As [`Self::edit`], where some packets are not finished.
    #[cold]
    pub(super) fn edit_unfinished(&mut self, group: &mut Batch, action: &DpAction) {
        let covered = match action {
            DpAction::SetIpv4(_) | DpAction::SetIpv6(_) => Covered::Addresses,
            _ => Covered::Bytes,
        };
        self.edit_each(group, |packet, at| match packet.offload().is_none() {
            true => edit::edit(action, packet, at),
            false => packet.edit_unfinished(covered, |packet| edit::edit(action, packet, at)),
        });
    }

    /// Gives `sink` what a device can be given that does all of `offered`: the packet as it is, finished, or
    /// its segments. What cannot be finished is counted.
    pub(crate) fn finish(
        &mut self,
        mut packet: Packet,
        offered: OffloadSet,
        sink: &mut impl FnMut(&mut Self, Packet),
    ) {
        if packet.passes(offered) {
            sink(self, packet);
        } else if packet.is_large() {
            self.cut(&packet, offered, sink);
            self.out.cache().free(packet);
        } else if packet.finish_checksum() {
            sink(self, packet);
        } else {
            self.drop_one(packet, DropReason::OffloadLost);
        }
    }

    /// Gives `sink` the segments of a large packet, which count as the packet and copies of it. What is left of
    /// it when there is no buffer dies as one packet.
    fn cut(
        &mut self,
        whole: &Packet,
        offered: OffloadSet,
        sink: &mut impl FnMut(&mut Self, Packet),
    ) {
        let Some(mut segments) = Segments::of(whole) else {
            return self.port_counters.dropped(DropReason::OffloadLost, 1);
        };
        let mut is_first = true;
        loop {
            let segment = match segments.next(self.out.cache()) {
                Ok(None) => return,
                Ok(Some(segment)) => Some(segment),
                Err(NoBuffer) => None,
            };
            self.counters.copies.add(u64::from(!is_first));
            is_first = false;
            match segment {
                Some(segment) => self.finish(segment, offered, sink),
                None => return self.port_counters.dropped(DropReason::NoSegmentBuffer, 1),
            }
        }
    }
}
