//! Handshake, configuration, roles.

use alloc::vec::Vec;

use bitflags::bitflags;

use super::PortDesc;
use crate::errors::WireCode;
use crate::{OfPort, Version};

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
    /// Its ports (1.0 to 1.2; later versions ask with a multipart request).
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
        /// Bundles (1.4+).
        const BUNDLES = 1 << 9;
        /// Flow monitors (1.4+).
        const FLOW_MONITORING = 1 << 10;
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
    /// Bits by [`RoleReason`] (1.4).
    pub role_status: u32,
    /// Bits by [`TableReason`](super::TableReason) (1.4).
    pub table_status: u32,
    /// Bit 0 for group-mods, bit 1 for meter-mods (1.4).
    pub request_forward: u32,
    /// Bits by [`FlowStatsReason`](super::FlowStatsReason) (1.5).
    pub flow_stats: u32,
}

impl AsyncMasks {
    /// Nothing at all.
    pub const NONE: AsyncMasks = AsyncMasks {
        packet_in: 0,
        port_status: 0,
        flow_removed: 0,
        role_status: 0,
        table_status: 0,
        request_forward: 0,
        flow_stats: 0,
    };
    /// Every reason that there is.
    pub const ALL: AsyncMasks = AsyncMasks {
        packet_in: 0b11_1111,
        port_status: 0b111,
        flow_removed: 0b11_1111,
        role_status: 0b111,
        table_status: 0b1_1000,
        request_forward: 0b11,
        flow_stats: 0b11,
    };

    /// The mask that a property of 1.4 is about, by half its number (see [`AsyncProperty::kind`]).
    #[must_use]
    pub fn of_property(&mut self, half: u16) -> Option<&mut u32> {
        Some(match half {
            0 => &mut self.packet_in,
            1 => &mut self.port_status,
            2 => &mut self.flow_removed,
            3 => &mut self.role_status,
            4 => &mut self.table_status,
            5 => &mut self.request_forward,
            6 => &mut self.flow_stats,
            _ => return None,
        })
    }
}

impl AsyncConfig {
    /// What a new connection gets in every version, as in Open vSwitch (1.3.5 §7.3.10): the reasons
    /// that came with 1.4 are finer names of older ones, which older versions hear of by those.
    #[must_use]
    pub const fn initial() -> AsyncConfig {
        let primary = AsyncMasks {
            packet_in: 0b11_1011,
            port_status: 0b111,
            flow_removed: 0b11_1111,
            flow_stats: 0b11,
            ..AsyncMasks::NONE
        };
        let secondary = AsyncMasks { port_status: 0b111, ..AsyncMasks::NONE };
        AsyncConfig { primary, secondary, origin: Origin::Standard }
    }

    /// Changes what one property is about: even numbers are for a secondary, odd ones for the other
    /// roles. False if the property is unknown.
    pub fn set(&mut self, property: AsyncProperty) -> bool {
        let masks = match property.kind % 2 {
            0 => &mut self.secondary,
            _ => &mut self.primary,
        };
        let mask = masks.of_property(property.kind / 2);
        mask.map(|mask| *mask = property.mask).is_some()
    }

    /// Every property that `version` has.
    #[must_use]
    pub fn properties(&self, version: Version) -> Vec<AsyncProperty> {
        let AsyncConfig { mut primary, mut secondary, .. } = *self;
        let mut all = Vec::new();
        for half in 0..AsyncProperty::n_pairs(version) {
            let masks = [secondary.of_property(half), primary.of_property(half)];
            for (kind, mask) in (2 * half..).zip(masks) {
                all.extend(mask.map(|mask| AsyncProperty { kind, mask: *mask }));
            }
        }
        all
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

impl AsyncProperty {
    /// Kinds of messages that the properties of a version are about; each has two.
    #[must_use]
    pub const fn n_pairs(version: Version) -> u16 {
        if matches!(version, Version::V15) { 7 } else { 6 }
    }
}

/// Why a controller's role changed (1.4.1 §7.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RoleReason {
    /// Another controller asked to be primary.
    PrimaryRequest = 0,
    /// The switch was configured so.
    Config = 1,
    /// An experimenter's.
    Experimenter = 2,
}

/// A controller's role was changed by another (1.4.1 §7.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleStatus {
    /// What it is.
    pub role: ControllerRole,
    /// Why.
    pub reason: RoleReason,
    /// The generation that was asked for last; `None` if there was none.
    pub generation_id: Option<u64>,
}

/// A request of another controller (1.4.1 §7.4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestForward {
    /// The whole message, a group-mod or a meter-mod.
    pub request: Vec<u8>,
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

/// A bundle message (1.4.1 §7.3.9), which the ONF made an extension of 1.3 (experimenter 0x4f4e4600).
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
        /// Atomic, ordered ([`bundle_flags`]).
        flags: u16,
        /// The message with its header; properties may follow it.
        message: Vec<u8>,
    },
}

/// Values of the type of a bundle control message: requests are even, their replies one more.
pub mod bundle_control {
    /// `OFPBCT_OPEN_REQUEST`.
    pub const OPEN: u16 = 0;
    /// `OFPBCT_CLOSE_REQUEST`.
    pub const CLOSE: u16 = 2;
    /// `OFPBCT_COMMIT_REQUEST`.
    pub const COMMIT: u16 = 4;
    /// `OFPBCT_DISCARD_REQUEST`.
    pub const DISCARD: u16 = 6;
}

/// Bits of a bundle's flags.
pub mod bundle_flags {
    /// `OFPBF_ATOMIC`: packets see all of it or nothing.
    pub const ATOMIC: u16 = 1 << 0;
    /// `OFPBF_ORDERED`: in the order in which they were added.
    pub const ORDERED: u16 = 1 << 1;
    /// `OFPBF_TIME`: at a given time (1.5).
    pub const TIME: u16 = 1 << 2;
}
