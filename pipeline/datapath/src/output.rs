//! Where packets go from a core's datapath.

use flow::Flow;
use packet::{Batch, Packet, PoolCache};

use crate::{
    drop_reason::DropReason,
    ids::PortNo,
    upcall::{Check, Upcall},
};

/// What a core's datapath needs of its surroundings. Nothing here may block.
pub trait Output {
    /// Takes a packet that is to leave by `port`, which exists.
    ///
    /// The implementor answers for it from here: it counts the packet as transmitted when it enters
    /// the device's ring, or under a transmit reason of [`crate::DropReason`] when it does not.
    fn transmit(&mut self, port: PortNo, packet: Packet);

    /// Takes all of `packets` as [`Self::transmit`] takes one, in their order, and leaves none.
    fn transmit_all(&mut self, port: PortNo, packets: &mut Batch) {
        for packet in packets.drain(..) {
            self.transmit(port, packet);
        }
    }

    /// Whether a packet of `flow` that came in by `port` and missed every table would be refused by
    /// [`Self::upcall`], and the reason to count it under. Asked first, so that a storm of packets that
    /// nobody has time for costs little more than their lookup.
    fn refuses(&mut self, port: PortNo, flow: &Flow) -> Option<DropReason> {
        let _ = (port, flow);
        None
    }

    /// Takes an upcall, to the control core or to be answered on this one
    /// ([`crate::PmdDatapath::answer`]); or gives it back if there is no room, and the datapath counts
    /// the packet as dropped.
    ///
    /// # Errors
    /// The upcall, and the reason to count its packet under.
    #[expect(clippy::result_large_err, reason = "the refused value goes back to its owner")]
    fn upcall(&mut self, upcall: Upcall) -> Result<(), (Upcall, DropReason)>;

    /// Whether there is room for a sample for the self check.
    fn has_room_for_check(&self) -> bool {
        false
    }

    /// Takes a sample for the self check, for which there was room just before.
    fn check(&mut self, check: Check) {
        drop(check);
    }

    /// The processor's cycle counter, where there is one: only differences count.
    fn cycles(&self) -> u64 {
        0
    }

    /// This core's packet buffers.
    fn cache(&mut self) -> &mut PoolCache;
}
