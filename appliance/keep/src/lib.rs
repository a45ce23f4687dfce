#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod reading;
mod record;
mod region;

pub use reading::{Reading, Unfit};
pub use record::{Encoder, Item, NotKept};
pub use region::{FORMAT, Region, RegionError, Writing};
