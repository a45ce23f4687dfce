#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod bench;
mod config;
pub mod frame;
mod port;
pub mod tool;

pub use bench::{Bench, Refused, WAIT, elf};
pub use config::{Config, Plug};
pub use port::{Arrivals, mac};
