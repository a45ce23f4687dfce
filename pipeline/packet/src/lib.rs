#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod build;
mod bytes;
mod cache;
pub mod checksum;
pub mod edit;
mod offload;
mod offsets;
mod packet;
mod pool;
mod region;
mod segment;
pub mod wire;

pub use cache::PoolCache;
pub use offload::{BadOffload, Covered, Large, LargeKind, Offload, OffloadSet, Unfinished};
pub use offsets::Offsets;
pub use packet::{Packet, PacketMeta};
pub use pool::{JUMBO_BYTES, LARGE_BYTES, Pool, PoolConfig, PoolError, SMALL_BYTES};
pub use region::Region;
pub use segment::{MAX_SEGMENTS, NoBuffer, Segments};

/// Bytes kept free in front of a fresh frame: room for a device header, VLAN and MPLS tags and
/// tunnel headers, so that growing at the front needs no copy.
pub const HEADROOM: usize = 128;

/// Packets that travel together through the pipeline.
pub const BATCH: usize = 32;

/// Up to [`BATCH`] packets, processed stage by stage.
pub type Batch = heapless::Vec<Packet, BATCH>;
