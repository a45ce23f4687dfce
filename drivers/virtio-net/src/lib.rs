#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
mod control;
mod device;
mod offload;
mod queue;
mod rx;
mod tx;

pub use config::{SEGMENTATION, feature, optional_feature};
pub use device::VirtioNet;
pub use rx::has_long_frames;

/// Length of the header in front of each frame: with `VERSION_1`, `num_buffers` is always there
/// (virtio 1.2 §5.1.6.1).
pub const HEADER_LEN: usize = 12;

/// Ethernet header and two VLAN tags: what a frame may have over the MTU.
pub const FRAME_OVERHEAD: usize = 14 + 8;

/// Largest MTU that the driver takes on: what a jumbo packet has room for.
pub const MAX_MTU: u16 = 9216;
