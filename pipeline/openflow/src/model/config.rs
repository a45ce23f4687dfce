//! Handshake, configuration, roles.

use alloc::vec::Vec;

use bitflags::bitflags;

use super::PortDesc;
use crate::OfPort;
use crate::errors::WireCode;

/// Version negotiation (1.3.5 §7.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// One bit for each version; absent from peers older than 1.3.1.
    pub bitmap: Option<u32>,
}

/// An error with numbers unknown here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownError {
    /// Its numbers.
    pub code: WireCode,
    /// What came with it.
    pub data: Vec<u8>,
}

/// A message of a vendor or kind that is unknown here (1.3.5 §7.5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Experimenter {
    /// Whose it is.
    pub vendor: u32,
    /// Which of theirs.
    pub subtype: u32,
    /// What it says.
    pub data: Vec<u8>,
}

/// What the switch is (1.0.1 §5.3.1, 1.3.5 §7.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeaturesReply {
    /// The bridge's number.
    pub datapath_id: u64,
    /// How many frames it can keep for the controller.
    pub n_buffers: u32,
    /// How many tables it has.
    pub n_tables: u8,
    /// 0 on a main connection.
    pub auxiliary_id: u8,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Which actions it knows, by their 1.0 numbers (1.0 only).
    pub actions: u32,
    /// Its ports (1.0 only; later versions ask with a multipart request).
    pub ports: Vec<PortDesc>,
}

bitflags! {
    /// Abilities of a switch (1.3.5 §7.3.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Capabilities: u32 {
        /// Flow statistics.
        const FLOW_STATS = 1 << 0;
        /// Table statistics.
        const TABLE_STATS = 1 << 1;
        /// Port statistics.
        const PORT_STATS = 1 << 2;
        /// Group statistics (1.1+) or spanning tree (1.0).
        const GROUP_STATS = 1 << 3;
        /// Reassembles fragments.
        const IP_REASM = 1 << 5;
        /// Queue statistics.
        const QUEUE_STATS = 1 << 6;
        /// Matches addresses in ARP packets (1.0 and 1.1).
        const ARP_MATCH_IP = 1 << 7;
        /// Blocks looping ports (1.2+).
        const PORT_BLOCKED = 1 << 8;
        /// What later versions define is kept.
        const _ = !0;
    }
}

/// Configuration of a connection's packet-ins and of fragments (1.3.5 §7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchConfig {
    /// Bits 0 and 1: fragment handling ([`frag`]); bit 2: packet-in for frames with invalid TTL.
    pub flags: u16,
    /// How many bytes of a frame go in a packet-in for a table miss.
    pub miss_send_len: u16,
}

/// Values of the fragment bits in [`SwitchConfig::flags`].
pub mod frag {
    /// Ports of fragments are zero.
    pub const NORMAL: u16 = 0;
    /// Fragments are dropped.
    pub const DROP: u16 = 1;
    /// Fragments are reassembled.
    pub const REASM: u16 = 2;
    /// Nicira: the first fragment has its ports.
    pub const NX_MATCH: u16 = 3;
    /// The bits.
    pub const MASK: u16 = 3;
    /// Frames with invalid TTL go to the controller (1.1, 1.2, and Nicira's 1.0).
    pub const INVALID_TTL_TO_CONTROLLER: u16 = 4;
}

/// The number of default bytes in a packet-in for a table miss.
pub const DEFAULT_MISS_SEND_LEN: u16 = 128;
/// `OFPCML_NO_BUFFER`: all of the frame, and no buffer.
pub const NO_BUFFER_LEN: u16 = 0xffff;

/// A controller's part among several (1.3.5 §6.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerRole {
    /// No change (a question).
    NoChange,
    /// Full access, the default (Nicira's "other").
    Equal,
    /// Full access, alone.
    Primary,
    /// Read-only.
    Secondary,
}

/// A role request or reply (1.3.5 §7.3.9; Nicira's in any version).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which.
    pub role: ControllerRole,
    /// Guards against late requests of former primaries; Nicira's has none.
    pub generation_id: Option<u64>,
    /// Whether it is the standard's message or Nicira's; a reply is like its request.
    pub origin: Origin,
}

/// Whether a message is the standard's or Nicira's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The standard's.
    #[default]
    Standard,
    /// Nicira's.
    Nicira,
}

/// Which asynchronous messages a connection gets (1.3.5 §7.3.10): one bit for each reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncConfig {
    /// As primary or equal.
    pub primary: AsyncMasks,
    /// As secondary.
    pub secondary: AsyncMasks,
    /// Whether it is the standard's message or Nicira's.
    pub origin: Origin,
}

/// One bit for each reason of a message kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsyncMasks {
    /// Bits by [`PacketInReason`](super::PacketInReason).
    pub packet_in: u32,
    /// Bits by [`PortReason`](super::PortReason).
    pub port_status: u32,
    /// Bits by [`FlowRemovedReason`](super::FlowRemovedReason).
    pub flow_removed: u32,
}

impl AsyncConfig {
    /// What a new connection gets (1.3.5 §7.3.10; the same as Open vSwitch gives in 1.0).
    #[must_use]
    pub const fn initial() -> AsyncConfig {
        let primary = AsyncMasks { packet_in: 0b1_1011, port_status: 0b111, flow_removed: 0b1111 };
        let secondary = AsyncMasks { packet_in: 0, port_status: 0b111, flow_removed: 0 };
        AsyncConfig { primary, secondary, origin: Origin::Standard }
    }
}

/// One property of an asynchronous configuration (1.4's form, `SET_ASYNC_CONFIG2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncProperty {
    /// Number of the property: 0 packet-in secondary, 1 packet-in primary, 2 and 3 port status,
    /// 4 and 5 flow removed, and so on.
    pub kind: u16,
    /// One bit for each reason.
    pub mask: u32,
}

/// How flows are written in OpenFlow 1.0 messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowFormat {
    /// With the fixed match of OpenFlow 1.0.
    #[default]
    Standard,
    /// With Nicira's extensible match.
    Nxm,
}

/// How packet-ins are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketInFormat {
    /// As the version says.
    #[default]
    Standard,
    /// `NXT_PACKET_IN`.
    Nxt,
    /// `NXT_PACKET_IN2`.
    Nxt2,
}

/// The queues of a port (1.3.5 §7.3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueGetConfigReply {
    /// Which port.
    pub port: OfPort,
    /// Its queues.
    pub queues: Vec<QueueConfig>,
}

/// A queue (1.3.5 §7.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its number.
    pub queue_id: u32,
    /// Guaranteed rate in tenths of a per cent.
    pub min_rate: Option<u16>,
    /// Highest rate in tenths of a per cent.
    pub max_rate: Option<u16>,
}

/// Change of a table's configuration (1.3.5 §7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMod {
    /// Which table; 0xff is all.
    pub table_id: u8,
    /// Deprecated bits.
    pub config: u32,
}

/// A bundle message as the ONF extension for 1.3 has it (experimenter 0x4f4e4600).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleMessage {
    /// Open, close, commit, discard and their replies.
    Control {
        /// The controller's number for the bundle.
        bundle_id: u32,
        /// `OFPBCT_…`: even numbers are requests, odd ones replies.
        kind: u16,
        /// Atomic, ordered.
        flags: u16,
    },
    /// A message for the bundle.
    Add {
        /// The controller's number for the bundle.
        bundle_id: u32,
        /// Atomic, ordered.
        flags: u16,
        /// The message with its header.
        message: Vec<u8>,
    },
}
