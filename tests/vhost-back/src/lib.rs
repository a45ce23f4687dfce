#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod back;
mod frame;
mod latencies;
mod load;
mod memory;
mod port;
mod ring;

pub use back::{Back, Traffic};
pub use latencies::Latencies;
pub use load::{Outcome, Plan, exchange};
pub use port::Offloads;
