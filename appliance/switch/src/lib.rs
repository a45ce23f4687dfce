#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod assemble;
mod bridges;
mod channel;
mod commands;
mod control;
mod coverage;
mod database;
mod dpif;
mod due;
mod keeping;
mod memory;
pub mod mgmt;
mod network;
mod order;
mod outlet;
mod placement;
mod pmd;
mod policing;
mod ports;
mod reconfigure;
mod rings;
mod seeded;
mod settings;
mod telemetry;
mod turns;
mod upcalls;
mod waiting;

pub use assemble::{PortParts, Switch, SwitchParts};
pub use channel::ByteChannel;
pub use control::Control;
pub use database::{Birth, DatabaseParts, Disk, ReadDatabase, SeedBridge, SeedPort, Seeding};
pub use dpif::{Hits, RingDpif, StageCycles};
pub use outlet::FirstForward;
pub use pmd::Pmd;
pub use seeded::{Machine, SeedRefused};
pub use settings::takes_large_frames;
pub use upcalls::{UpcallConfig, UpcallConfigError, UpcallMode, UpcallStats};
