//! The narrow waist: how `ofproto` reaches the datapath.
//!
//! Above this trait there is policy and no packets per second; below it there are megaflows and no
//! policy. The trait is implemented by `switch` over rings of [`Command`]s to the polling cores,
//! and by [`crate::LocalDpif`] for one core without rings. Calls return at once; when their effect
//! matters, a [`fence`](Dpif::fence) tells.

use alloc::{boxed::Box, sync::Arc};

use flow::{Flow, Mask};
use packet::{OffloadSet, Packet};
use sync::time::Nanos;

use crate::{
    action::DpAction,
    config::DatapathConfig,
    drop_reason::DropReason,
    ids::{CoreId, PortNo, Ufid},
    megaflow::{Megaflow, PutError},
    meter::{MeterConfig, MeterError, MeterStats, MeterTable},
    port::{PortCounters, PortStats},
};

/// The datapath as `ofproto` sees it.
pub trait Dpif {
    /// Installs a megaflow on a core, or replaces the one with the same masked key and mask (its
    /// statistics too: they are those of `flow` from then on).
    ///
    /// # Errors
    /// What can be said at once. A core that finds no room says so by the [`crate::Fate`] in the
    /// megaflow's statistics.
    fn flow_put(&mut self, core: CoreId, flow: Arc<Megaflow>) -> Result<(), PutError>;

    /// The mask with which a conclusion that needs `mask` is to be installed on a core, for packets of
    /// `port`: itself, or one that examines more, where the port has as many masks as it may (see
    /// [`crate::census`]). To be asked just before the megaflow is made, because the answer keeps a place
    /// for a new mask.
    fn admit_mask(&self, core: CoreId, port: PortNo, mask: &Mask) -> Mask;

    /// Replaces the actions of a megaflow; statistics go on. Nothing happens if there is no such
    /// megaflow.
    ///
    /// # Errors
    /// As [`Self::flow_put`].
    fn flow_modify(
        &mut self,
        core: CoreId,
        ufid: Ufid,
        actions: Arc<[DpAction]>,
    ) -> Result<(), PutError>;

    /// Removes a megaflow; its statistics are final when a later fence has passed. Nothing happens
    /// if there is no such megaflow.
    ///
    /// # Errors
    /// [`PutError::QueueFull`] or [`PutError::NoSuchCore`]: it is still there.
    fn flow_delete(&mut self, core: CoreId, ufid: Ufid) -> Result<(), PutError>;

    /// Runs actions on a packet whose flow is `flow`: the answer to an upcall, or a packet-out.
    /// Takes the packet in any case.
    fn execute(&mut self, packet: Packet, flow: &Flow, actions: &Arc<[DpAction]>);

    /// Answers an upcall for which there are no actions: counts the packet under `reason`.
    fn discard(&mut self, packet: Packet, flow: &Flow, reason: DropReason) {
        self.execute(packet, flow, &Arc::from([DpAction::Drop(reason)]));
    }

    /// A packet with these bytes, for a packet-out. It counts as originated, so it must be executed
    /// or discarded. `None` if no buffer is free or the frame is longer than the largest.
    fn packet_from(&mut self, frame: &[u8]) -> Option<Packet>;

    /// Draws a line after all commands given so far, on every core; returns its number.
    fn fence(&mut self) -> u64;

    /// Whether every core has passed the line: what was commanded before it is in force, and what
    /// was removed before it is used no more.
    fn fence_passed(&self, fence: u64) -> bool;

    /// A port's statistics, over all cores; zeros if there is no such port.
    fn port_stats(&self, port: PortNo) -> PortStats;

    /// From now on this holds, on every core.
    fn configure(&mut self, config: &DatapathConfig);

    /// What holds.
    fn config(&self) -> DatapathConfig;

    /// The meters that [`DpAction::Meter`] names, shared by all cores.
    fn meters(&self) -> &MeterTable;

    /// Makes or replaces a meter, in force on every core at once. Its statistics begin anew.
    ///
    /// # Errors
    /// Why not; nothing has changed then.
    fn meter_set(&mut self, id: u32, config: &MeterConfig, now: Nanos) -> Result<(), MeterError> {
        self.meters().set(id, config, now)
    }

    /// Removes a meter; what it counted, if it was there. Megaflows that name it drop their packets
    /// from now on, so they are to be removed before.
    fn meter_delete(&mut self, id: u32) -> Option<MeterStats> {
        self.meters().delete(id)
    }

    /// What a meter has counted; `None` if there is none.
    fn meter_stats(&self, id: u32) -> Option<MeterStats> {
        self.meters().stats(id)
    }
}

/// What the control core tells a polling core, in order.
#[derive(Debug)]
pub enum Command {
    /// From now on there is this port; count into these.
    AddPort(PortNo, Arc<PortCounters>),
    /// The port and its megaflows go.
    RemovePort(PortNo),
    /// From now on the port's device has a link, or has none: what would leave by it is then dropped.
    /// A new port has one, and is given finished packets only.
    SetLink {
        /// Which port.
        port: PortNo,
        /// Whether there is a link.
        has_link: bool,
        /// What its device does for packets that are not finished.
        offloads: OffloadSet,
    },
    /// From now on the port is one end of a cable: what would leave by it comes in by the other.
    Plug {
        /// Which port.
        port: PortNo,
        /// The other end.
        peer: PortNo,
    },
    /// See [`Dpif::flow_put`].
    FlowPut(Arc<Megaflow>),
    /// See [`Dpif::flow_modify`].
    FlowModify(Ufid, Arc<[DpAction]>),
    /// See [`Dpif::flow_delete`].
    FlowDelete(Ufid),
    /// All megaflows go.
    FlowFlush,
    /// See [`Dpif::execute`].
    Execute(Box<Execute>),
    /// Sample one in so many hit packets for the self check; 0 is none.
    SetSampling(u32),
    /// From now on this holds.
    Configure(DatapathConfig),
    /// Announce this number: everything before it is done.
    Fence(u64),
}

/// A packet with a program to run.
#[derive(Debug)]
pub struct Execute {
    /// The packet.
    pub packet: Packet,
    /// Its flow.
    pub flow: Flow,
    /// The program.
    pub actions: Arc<[DpAction]>,
}
