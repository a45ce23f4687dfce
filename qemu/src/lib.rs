#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod backend;
pub mod command;
pub mod database;
pub mod hosts;
pub mod pcap;
pub mod ports;
pub mod probe;
pub mod qmp;
pub mod running;
pub mod serial;
pub mod telemetry;
pub mod unixctl;
pub mod vm;

mod spawn;

pub use backend::{Backend, Nic, Role};
pub use running::{Ended, Running, StartError};
pub use vm::{Accel, Boot, DiskFormat, Machine, Vm};
