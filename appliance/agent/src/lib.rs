#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod agent;
pub mod bridge_config;
mod bundles;
mod connection;
mod events;
mod long_reply;
mod monitor;
mod multipart;
mod outbox;
mod peer_settings;
mod remote;
mod requests;
mod role;
mod table_features;
pub mod unixctl;

pub use agent::{Agent, AgentConfig, ControllerView, NetRequest, PacketInLimit};
pub use outbox::Outbox;
pub use peer_settings::{PeerSettings, Way};
pub use remote::{Remote, RemoteState};

/// A connection, by the number that the network layer gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub u32);
