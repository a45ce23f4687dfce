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
}

impl AgentConfig {
    /// What holds for a controller, or without one for a peer that connects to us.
    pub(crate) fn settings_for(&self, controller: Option<SocketAddr>) -> PeerSettings {
        let own = self.own.iter().find(|(target, _)| Some(*target) == controller);
        own.map_or(
            PeerSettings {
                inactivity_probe: self.inactivity_probe,
                max_backoff: self.max_backoff,
                packet_in_limit: self.packet_in_limit,
                is_quiet: self.is_quiet,
            },
            |(_, settings)| *settings,
        )
    }
}
