#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![expect(clippy::cast_possible_truncation, reason = "packs narrow fields into bytes throughout")]

mod action_set;
mod checksum;
pub mod compare;
mod explosion;
mod frame;
mod meter;
pub mod random;
mod run;
mod switch;
mod vlan;

pub use explosion::explosion;
pub use frame::Frame;
pub use switch::{Oracle, Output, PacketIn, Port, Rule, TableMiss, Unsupported, Verdict};
pub use vlan::PortVlan;
