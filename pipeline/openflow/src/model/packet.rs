//! Frames to and from the controller.

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::{Field, Match};

use crate::{Action, OfPort};

/// Why a frame goes to the controller (1.3.5 §7.4.1, with those of later versions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketInReason {
    /// No rule matched, or the table-miss rule did.
    NoMatch = 0,
    /// A rule's action.
    Action = 1,
    /// TTL ran out.
    InvalidTtl = 2,
    /// An output in the action set (1.4).
    ActionSet = 3,
    /// An output in a group bucket (1.4).
    Group = 4,
    /// An output in a packet-out (1.4).
    PacketOut = 5,
}

impl PacketInReason {
    /// The reason with this number.
    #[must_use]
    pub const fn from_wire(wire: u8) -> Option<PacketInReason> {
        Some(match wire {
            0 => PacketInReason::NoMatch,
            1 => PacketInReason::Action,
            2 => PacketInReason::InvalidTtl,
            3 => PacketInReason::ActionSet,
            4 => PacketInReason::Group,
            5 => PacketInReason::PacketOut,
            _ => return None,
        })
    }

    /// The name in text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PacketInReason::NoMatch => "no_match",
            PacketInReason::Action => "action",
            PacketInReason::InvalidTtl => "invalid_ttl",
            PacketInReason::ActionSet => "action_set",
            PacketInReason::Group => "group",
            PacketInReason::PacketOut => "packet_out",
        }
    }
}

/// A frame for the controller (1.0.1 §5.4.1, 1.3.5 §7.4.1, `NXT_PACKET_IN`, `NXT_PACKET_IN2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    /// Where the whole frame is kept; `None` when all of it is here or none is kept.
    pub buffer_id: Option<u32>,
    /// Length of the frame.
    pub total_len: u32,
    /// Why.
    pub reason: PacketInReason,
    /// The table of the rule that sent it; 0 where the message does not say.
    pub table_id: u8,
    /// That rule's cookie; all ones where there is none.
    pub cookie: u64,
    /// Ingress port, tunnel, metadata, registers: what the frame does not say by itself.
    pub metadata: Match,
    /// What the controller action wants to have back (`NXT_PACKET_IN2`).
    pub userdata: Vec<u8>,
    /// What the switch wants to have back to go on with the packet: properties of its own
    /// (`NXT_PACKET_IN2`, `NXT_RESUME`). Empty where nothing waits.
    pub continuation: Vec<u8>,
    /// The frame, or the start of it.
    pub data: Vec<u8>,
}

impl PacketIn {
    /// The ingress port.
    #[must_use]
    pub fn in_port(&self) -> OfPort {
        let value = self.metadata.get(Field::InPort).0;
        OfPort(u32::try_from(value).unwrap_or(0))
    }
}

/// A frame from the controller (1.0.1 §5.3.6, 1.3.5 §7.3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// The kept frame to send; `None` when it is in `data`.
    pub buffer_id: Option<u32>,
    /// Where it is to have come in: a port, or [`OfPort::CONTROLLER`], LOCAL, or ANY in 1.0.
    pub in_port: OfPort,
    /// Tunnel, metadata, registers that it is to have (1.5); no ingress port.
    pub metadata: Option<Box<Match>>,
    /// What to do with it.
    pub actions: Vec<Action>,
    /// The frame.
    pub data: Vec<u8>,
}

/// The metadata of a frame of which only the ingress port is known.
#[must_use]
pub fn metadata_of(port: OfPort) -> Match {
    let mut metadata = Match::default();
    metadata.set_exact(Field::InPort, u128::from(port.0));
    metadata
}
