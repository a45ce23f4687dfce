#![doc = include_str!("../README.md")]

mod front;
mod memory;

pub use front::{Device, Front};
pub use memory::Memory;
