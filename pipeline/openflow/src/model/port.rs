//! Ports.

use alloc::string::String;

use bitflags::bitflags;

use crate::OfPort;

bitflags! {
    /// How a port is configured (1.0.1 §5.2.1, 1.3.5 §7.2.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PortConfig: u32 {
        /// Administratively down.
        const PORT_DOWN = 1 << 0;
        /// No spanning tree (1.0).
        const NO_STP = 1 << 1;
        /// Drops what it receives, but for spanning tree.
        const NO_RECV = 1 << 2;
        /// Drops spanning tree that it receives (1.0).
        const NO_RECV_STP = 1 << 3;
        /// Not part of a flood (1.0).
        const NO_FLOOD = 1 << 4;
        /// Sends nothing.
        const NO_FWD = 1 << 5;
        /// No packet-in for what it receives.
        const NO_PACKET_IN = 1 << 6;
    }
}

impl PortConfig {
    /// The bits that OpenFlow 1.1 and later have.
    pub const V11: PortConfig = PortConfig::PORT_DOWN
        .union(PortConfig::NO_RECV)
        .union(PortConfig::NO_FWD)
        .union(PortConfig::NO_PACKET_IN);
}

bitflags! {
    /// The state of a port (1.3.5 §7.2.1); spanning tree states are 1.0's.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PortState: u32 {
        /// No link.
        const LINK_DOWN = 1 << 0;
        /// Blocked by a protocol outside OpenFlow.
        const BLOCKED = 1 << 1;
        /// Live for fast failover.
        const LIVE = 1 << 2;
        /// Spanning tree state, low bit (1.0).
        const STP_LOW = 1 << 8;
        /// Spanning tree state, high bit (1.0).
        const STP_HIGH = 1 << 9;
    }
}

bitflags! {
    /// Abilities of a port, with the bits of 1.1 and later (1.3.5 §7.2.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PortFeatures: u32 {
        /// 10 Mb/s half duplex.
        const HD_10M = 1 << 0;
        /// 10 Mb/s full duplex.
        const FD_10M = 1 << 1;
        /// 100 Mb/s half duplex.
        const HD_100M = 1 << 2;
        /// 100 Mb/s full duplex.
        const FD_100M = 1 << 3;
        /// 1 Gb/s half duplex.
        const HD_1G = 1 << 4;
        /// 1 Gb/s full duplex.
        const FD_1G = 1 << 5;
        /// 10 Gb/s.
        const FD_10G = 1 << 6;
        /// 40 Gb/s.
        const FD_40G = 1 << 7;
        /// 100 Gb/s.
        const FD_100G = 1 << 8;
        /// 1 Tb/s.
        const FD_1T = 1 << 9;
        /// Another rate.
        const OTHER = 1 << 10;
        /// Copper.
        const COPPER = 1 << 11;
        /// Fibre.
        const FIBER = 1 << 12;
        /// Auto-negotiation.
        const AUTONEG = 1 << 13;
        /// Pause.
        const PAUSE = 1 << 14;
        /// Asymmetric pause.
        const PAUSE_ASYM = 1 << 15;
    }
}

impl PortFeatures {
    /// The bits of media and flow control, which 1.0 has four places lower.
    const MEDIA: u32 = 0xf800;
    /// The bits of speeds that 1.0 has.
    const SPEEDS_V10: u32 = 0x7f;

    /// The bits in OpenFlow 1.0 (1.0.1 §5.2.1): no speeds above 10 Gb/s.
    #[must_use]
    pub const fn to_v10(self) -> u32 {
        (self.bits() & Self::SPEEDS_V10) | (self.bits() & Self::MEDIA) >> 4
    }

    /// From the bits in OpenFlow 1.0.
    #[must_use]
    pub const fn from_v10(bits: u32) -> PortFeatures {
        PortFeatures::from_bits_truncate(
            (bits & Self::SPEEDS_V10) | ((bits & (Self::MEDIA >> 4)) << 4),
        )
    }
}

/// A port's description (1.0.1 §5.2.1, 1.3.5 §7.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortDesc {
    /// Its number.
    pub port: OfPort,
    /// Its Ethernet address.
    pub hw_addr: [u8; 6],
    /// Its name: at most 15 bytes go out.
    pub name: String,
    /// How it is configured.
    pub config: PortConfig,
    /// How it is.
    pub state: PortState,
    /// What it does now.
    pub curr: PortFeatures,
    /// What it offers to the other end.
    pub advertised: PortFeatures,
    /// What it could.
    pub supported: PortFeatures,
    /// What the other end offers.
    pub peer: PortFeatures,
    /// Its bit rate in kb/s (1.1+).
    pub curr_speed: u32,
    /// Its highest bit rate in kb/s (1.1+).
    pub max_speed: u32,
}

/// Change of a port (1.3.5 §7.3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMod {
    /// Which port.
    pub port: OfPort,
    /// Its address, as a check that the controller means this one.
    pub hw_addr: [u8; 6],
    /// New values of the bits in `mask`.
    pub config: PortConfig,
    /// Which bits change.
    pub mask: PortConfig,
    /// What to offer to the other end; empty for no change.
    pub advertise: PortFeatures,
}

/// What happened to a port (1.3.5 §7.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PortReason {
    /// It came.
    Add = 0,
    /// It went.
    Delete = 1,
    /// It changed.
    Modify = 2,
}

/// A port came, went or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// Which of these.
    pub reason: PortReason,
    /// The port as it is (or was).
    pub desc: PortDesc,
}
