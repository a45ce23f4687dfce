//! Datapath actions: what a megaflow does to its packets.
//!
//! A flat program, prepared when the megaflow is installed and run in order by the executor. There
//! is no policy in it: `ofproto` has resolved ports, groups, VLAN modes and TTL checks before.
//! Header changes are masked sets, each of one header, as a translation commits them just before an
//! output. Their text ([`Actions`]) is what `ovs-dpctl` and `ofproto/trace` print.

mod text;
mod validate;

use alloc::sync::Arc;

pub use packet::edit::{Masked, SetEth, SetIpv4, SetPorts};
pub use text::{Actions, PortNames};
pub use validate::{ActionError, validate};

use crate::{drop_reason::DropReason, ids::PortNo, upcall::UpcallAction};

/// One step of a datapath program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DpAction {
    /// Send the packet out of a port.
    Output(PortNo),
    /// Send a copy (or the packet, if nothing else needs it) to the control core, for controllers.
    Upcall(UpcallAction),
    /// Hand the packet to the control core, which translates it and executes the result: for what
    /// cannot be cached.
    SlowPath(SlowPath),
    /// Change the Ethernet addresses.
    SetEth(SetEth),
    /// Change IPv4 fields.
    SetIpv4(SetIpv4),
    /// Change IPv6 fields.
    SetIpv6(SetIpv6),
    /// Change TCP ports.
    SetTcp(SetPorts),
    /// Change UDP ports.
    SetUdp(SetPorts),
    /// Change SCTP ports.
    SetSctp(SetPorts),
    /// Change ICMP type and code.
    SetIcmp(SetIcmp),
    /// Change ICMPv6 type and code.
    SetIcmpv6(SetIcmp),
    /// Change ARP fields.
    SetArp(SetArp),
    /// Change fields of a neighbour solicitation or advertisement.
    SetNd(SetNd),
    /// Change further fields of a neighbour solicitation or advertisement.
    SetNdExt(SetNdExt),
    /// Change the outermost MPLS label stack entry.
    SetMpls(Masked<u32>),
    /// Change what travels beside the packet.
    SetMeta(SetMeta),
    /// Add a VLAN tag.
    PushVlan(PushVlan),
    /// Remove the outermost VLAN tag.
    PopVlan,
    /// Add an MPLS label stack entry.
    PushMpls(PushMpls),
    /// Remove the outermost MPLS label stack entry; what follows it is of this Ethernet type.
    PopMpls(u16),
    /// Add a PBB service tag with this control information (802.1ah: priority 3 bits, drop
    /// eligibility 1, use of customer addresses 1, reserved 3, service 24).
    PushPbb(u32),
    /// Remove the PBB service tag, and with it the backbone's addresses.
    PopPbb,
    /// Change bits of a PBB tag's control information.
    SetPbb(Masked<u32>),
    /// Copy a TTL between the outermost header that has one and the next.
    CopyTtl(TtlCopy),
    /// Change the type of what follows the addresses and tags.
    SetEthType(u16),
    /// Change the IP protocol.
    SetIpProto(u8),
    /// Change TCP flags (12 bits).
    SetTcpFlags(Masked<u16>),
    /// Cut the packet to at most this many bytes at the next output.
    Truncate(u32),
    /// Run these actions on a copy.
    Clone(Arc<[DpAction]>),
    /// Run one of two programs, by the length of the packet, on a copy.
    CheckPktLen(CheckPktLen),
    /// Look the packet, as it is at this point, up again with this recirculation id.
    Recirc(u32),
    /// Compute `dp_hash` for a later lookup.
    Hash(HashAction),
    /// Pass the packet through this meter of the datapath ([`crate::Dpif::meter_set`]). Where there
    /// is none, packets are dropped as [`DropReason::NoSuchMeter`].
    Meter(u32),
    /// As [`Self::Meter`], for what a port or a queue of it may send: what is too much is dropped as
    /// [`DropReason::EgressPoliced`], and where there is no such meter everything passes.
    Police(u32),
    /// Count the packet under a reason, and be done with it.
    Drop(DropReason),
}

/// New IPv6 fields. Checksums follow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the header fields are")]
pub struct SetIpv6 {
    pub src: Masked<u128>,
    pub dst: Masked<u128>,
    /// 20 bits.
    pub label: Masked<u32>,
    pub tclass: Masked<u8>,
    pub hlimit: Masked<u8>,
}

/// New ICMP or ICMPv6 type and code.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the header fields are")]
pub struct SetIcmp {
    pub kind: Masked<u8>,
    pub code: Masked<u8>,
}

/// New ARP fields.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as ovs-fields names them")]
pub struct SetArp {
    pub op: Masked<u16>,
    pub spa: Masked<u32>,
    pub tpa: Masked<u32>,
    pub sha: Masked<[u8; 6]>,
    pub tha: Masked<[u8; 6]>,
}

/// New neighbour discovery fields.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as ovs-fields names them")]
pub struct SetNd {
    pub target: Masked<u128>,
    pub sll: Masked<[u8; 6]>,
    pub tll: Masked<[u8; 6]>,
}

/// New neighbour discovery fields that OpenFlow calls extensions.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as ovs-fields names them")]
pub struct SetNdExt {
    pub reserved: Masked<u32>,
    pub options_type: Masked<u8>,
}

/// A change of what travels beside the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetMeta {
    /// `pkt_mark`, kept over recirculation.
    PktMark(Masked<u32>),
    /// `skb_priority`: the output queue, kept over recirculation.
    SkbPriority(Masked<u32>),
}

/// A VLAN tag to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushVlan {
    /// 0x8100 or 0x88a8.
    pub tpid: u16,
    /// Priority, drop eligibility (by convention of matches: 1 = tag present) and VLAN id.
    pub tci: u16,
}

/// An MPLS label stack entry to add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushMpls {
    /// 0x8847 or 0x8848.
    pub ethertype: u16,
    /// Label, traffic class, bottom of stack, TTL.
    pub lse: u32,
}

/// Which way a TTL is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TtlCopy {
    /// From the inner header to the outer one.
    Out,
    /// From the outer header to the inner one.
    In,
}

/// What to do by a packet's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckPktLen {
    /// Bytes from the Ethernet header to the end of the payload, as far as the packet would be sent.
    pub len: u16,
    /// For packets longer than that.
    pub greater: Arc<[DpAction]>,
    /// For all others.
    pub less_equal: Arc<[DpAction]>,
}

/// Which hash to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashAction {
    /// Over which fields.
    pub kind: HashKind,
    /// Seed.
    pub basis: u32,
}

/// Fields that a hash covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// The five-tuple as it is.
    L4,
    /// The five-tuple with source and destination interchangeable, so both directions agree.
    SymL4,
}

/// Why a megaflow sends its packets through the control core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as OVS prints them")]
pub enum SlowPath {
    Cfm,
    Bfd,
    Lacp,
    Lldp,
    Stp,
    /// Actions that only the control core can execute.
    Action,
    /// A packet-in that must see the packet as it is inside a longer program.
    Controller,
    /// A match on fields that the datapath does not extract.
    Match,
}

impl SlowPath {
    /// The reason's name in text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cfm => "cfm",
            Self::Bfd => "bfd",
            Self::Lacp => "lacp",
            Self::Lldp => "lldp",
            Self::Stp => "stp",
            Self::Action => "action",
            Self::Controller => "controller",
            Self::Match => "match",
        }
    }
}
