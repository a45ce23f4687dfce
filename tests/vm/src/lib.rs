#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bench;
mod client;
mod config;
pub mod frame;
mod lease;
mod masked;
mod ofctl;
pub mod os_ken;
mod port;
mod reference;
mod spawned;
pub mod taps;
pub mod tool;

pub use bench::{Bench, Refused, WAIT, elf, vsctl};
pub use client::{Client, HOST, rule};
pub use config::{Config, Plug};
pub use lease::Lease;
pub use masked::masked;
pub use ofctl::{Monitor, Ofctl, VERSIONS};
pub use port::{Arrivals, mac};
pub use reference::Reference;
pub use spawned::Spawned;
