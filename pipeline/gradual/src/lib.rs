#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod chunks;
mod index;
mod queue;
mod slab;

pub use chunks::{CHUNK, Chunks};
pub use index::Index;
pub use queue::Queue;
pub use slab::Slab;
