//! What may differ from controller to controller.

use crate::{AgentConfig, PacketInLimit};
use core::net::SocketAddr;
use sync::time::Nanos;

/// How the agent deals with one peer (columns of the `Controller` table).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerSettings {
    /// Silence after which it is asked whether it is there; zero is never.
    pub inactivity_probe: Nanos,
    /// Longest wait between two attempts to connect.
    pub max_backoff: Nanos,
    /// How many packet-ins it gets; all of them without it.
    pub packet_in_limit: Option<PacketInLimit>,
    /// It gets nothing unasked until it says what it wants (`enable_async_messages=false`).
    pub is_quiet: bool,
    /// It is there for occasional service and controls nothing (`type=service`): its absence leaves packets to no
    /// fail mode, and it hears of nothing unasked before it sets how much of packets it wants (`miss_send_len`).
    pub is_service: bool,
}

/// How a peer and the agent came together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// We connect to it.
    Connect(SocketAddr),
    /// It connects to us, to this TCP port.
    Listen(u16),
}

impl AgentConfig {
    /// What holds for peers of this way.
    pub(crate) fn settings_for(&self, way: Way) -> PeerSettings {
        let usual = PeerSettings {
            inactivity_probe: self.inactivity_probe,
            max_backoff: self.max_backoff,
            packet_in_limit: self.packet_in_limit,
            is_quiet: self.is_quiet,
            is_service: false,
        };
        self.own_settings(way).unwrap_or(usual)
    }

    /// Whether peers of this way control the bridge: those of a row that says so, and those that we connect to.
    pub(crate) fn is_primary(&self, way: Way) -> bool {
        match self.own_settings(way) {
            Some(settings) => !settings.is_service,
            None => matches!(way, Way::Connect(_)),
        }
    }

    /// What a row of its own says for peers of this way.
    pub(crate) fn own_settings(&self, way: Way) -> Option<PeerSettings> {
        self.own.iter().find(|(of, _)| *of == way).map(|(_, settings)| *settings)
    }
}
