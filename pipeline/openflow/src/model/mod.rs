//! Messages, without regard to version.
//!
//! Each struct holds the union of what the versions say; what a version cannot say is left out
//! when it is encoded and has its neutral value when it is decoded.

mod config;
mod flow_mod;
mod group;
mod meter;
mod monitor;
mod multipart;
mod packet;
mod port;
mod table;
mod table_features;
mod tlv;

pub use config::*;
pub use flow_mod::*;
pub use group::*;
pub use meter::*;
pub use monitor::*;
pub use multipart::*;
pub use packet::*;
pub use port::*;
pub use table::*;
pub use table_features::*;
pub use tlv::*;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::errors::OfError;

/// An OpenFlow message without its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Version negotiation; the bitmap of versions if the peer sent one (1.3.5 §7.5.1).
    Hello(Hello),
    /// A request was refused.
    Error(OfError),
    /// An error whose numbers have no [`OfErrorKind`](crate::OfErrorKind).
    UnknownError(UnknownError),
    /// Are you there?
    EchoRequest(Vec<u8>),
    /// I am.
    EchoReply(Vec<u8>),
    /// Another vendor's message, or one of a known vendor that has no meaning here.
    Experimenter(Experimenter),
    /// What are you?
    FeaturesRequest,
    /// This.
    FeaturesReply(FeaturesReply),
    /// What is the switch configuration?
    GetConfigRequest,
    /// This.
    GetConfigReply(SwitchConfig),
    /// Let it be this.
    SetConfig(SwitchConfig),
    /// A frame for the controller.
    PacketIn(Box<PacketIn>),
    /// A rule is gone.
    FlowRemoved(Box<FlowRemoved>),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A frame from the controller.
    PacketOut(PacketOut),
    /// Change rules.
    FlowMod(Box<FlowMod>),
    /// Change a group.
    GroupMod(GroupMod),
    /// Change a port.
    PortMod(PortMod),
    /// Change a table.
    TableMod(TableMod),
    /// Change a meter.
    MeterMod(MeterMod),
    /// Statistics and descriptions, please.
    MultipartRequest(MultipartRequest),
    /// A part of them.
    MultipartReply(MultipartReply),
    /// Finish all before, then answer.
    BarrierRequest,
    /// Done.
    BarrierReply,
    /// Which queues does the port have?
    QueueGetConfigRequest(crate::OfPort),
    /// These.
    QueueGetConfigReply(QueueGetConfigReply),
    /// The controller wants this role.
    RoleRequest(Role),
    /// It has this role.
    RoleReply(Role),
    /// It has this role now, by somebody else's doing (1.4; the ONF's in 1.3).
    RoleStatus(RoleStatus),
    /// A table has become full, or no longer is (1.4).
    TableStatus(TableStatus),
    /// Another controller asked this, and got it (1.4; the ONF's in 1.3, Nicira's before).
    RequestForward(RequestForward),
    /// Which asynchronous messages do I get?
    GetAsyncRequest,
    /// These.
    GetAsyncReply(AsyncConfig),
    /// Send me these (1.3 `SET_ASYNC`, Nicira's `SET_ASYNC_CONFIG`).
    SetAsync(AsyncConfig),
    /// Change some of them (1.4's `SET_ASYNC`, before it Nicira's `SET_ASYNC_CONFIG2`).
    SetAsyncProperties(Vec<AsyncProperty>),
    /// Flow-mods name the table in the upper half of the command (Nicira, 1.0).
    NxFlowModTableId(bool),
    /// The form of flow-removed messages (Nicira, 1.0).
    NxSetFlowFormat(FlowFormat),
    /// The form of packet-in messages (Nicira).
    NxSetPacketInFormat(PacketInFormat),
    /// Go on with a packet where `controller(pause)` stopped; what is said of the packet may differ from
    /// the packet-in (Nicira).
    NxResume(Box<PacketIn>),
    /// The number that `controller(id=…)` means by this connection (Nicira).
    NxSetControllerId(u16),
    /// Nothing here ages any more: obsolete, does nothing (Nicira `FLOW_AGE`).
    NxFlowAge,
    /// Change which options of tunnels are which fields (Nicira).
    NxTlvTableMod(TlvTableMod),
    /// Which are? (Nicira)
    NxTlvTableRequest,
    /// These (Nicira).
    NxTlvTableReply(TlvTableReply),
    /// Watch no more (before 1.4; the ONF's or Nicira's).
    FlowMonitorCancel(u32),
    /// Updates of flow monitors stop, as the peer reads too slowly.
    FlowMonitorPaused,
    /// And they go on.
    FlowMonitorResumed,
    /// A bundle message (ONF extension of 1.3, standard from 1.4 on).
    Bundle(BundleMessage),
}
