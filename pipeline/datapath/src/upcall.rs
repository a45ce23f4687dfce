//! What the datapath hands to the control core: packets that it has no conclusion for, or that
//! someone wants to see.
//!
//! # Who accounts for the packet
//! A [`UpcallReason::Miss`] or [`UpcallReason::SlowPath`] lends the packet: the control core
//! answers each with exactly one `execute` ([`crate::Dpif::execute`], or [`crate::Dpif::discard`]
//! when it has no actions for it), and until then the packet is in flight. A
//! [`UpcallReason::Action`] gives the packet away: it counts as consumed when the upcall is
//! accepted.

use flow::Flow;
use packet::Packet;

use crate::{
    action::SlowPath,
    ids::{CoreId, PortNo, Ufid},
};

/// A packet on its way up.
#[derive(Debug)]
pub struct Upcall {
    /// The packet as it was when the upcall was made.
    pub packet: Packet,
    /// Its flow, extracted from these bytes and metadata.
    pub flow: Flow,
    /// The core that asks, to whose table the answer belongs.
    pub core: CoreId,
    /// The ingress port.
    pub port: PortNo,
    /// Why.
    pub reason: UpcallReason,
}

/// Why a packet goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpcallReason {
    /// No megaflow matched.
    Miss,
    /// A megaflow says that the control core must handle each packet.
    SlowPath(SlowPath),
    /// An action sends it to controllers.
    Action(UpcallAction),
}

/// A copy for controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpcallAction {
    /// The reason to tell the controller.
    pub reason: PacketInReason,
    /// `ofproto`'s handle to whatever else its packet-in needs (table, metadata).
    pub cookie: u64,
    /// Cookie of the rule that sends it.
    pub rule_cookie: u64,
    /// At most this many bytes of the packet are for the controller; 0xffff is all.
    pub max_len: u16,
    /// Which controller, 0 is any.
    pub controller_id: u16,
}

/// The reason of a packet-in (OpenFlow 1.3.5 §7.4.1; the later ones of 1.4+).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketInReason {
    /// No matching flow.
    NoMatch = 0,
    /// Action output to the controller.
    Action = 1,
    /// The packet has an invalid TTL.
    InvalidTtl = 2,
    /// Output in the action set.
    ActionSet = 3,
    /// Output in a group bucket.
    Group = 4,
    /// Output in a packet-out.
    PacketOut = 5,
}

/// A cache hit picked for the self check: the control core translates `flow` again and compares the
/// result with the megaflow that was hit.
#[derive(Debug, Clone)]
pub struct Check {
    /// The packet's complete flow.
    pub flow: Flow,
    /// The megaflow that it hit.
    pub ufid: Ufid,
    /// On which core.
    pub core: CoreId,
}
