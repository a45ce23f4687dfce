#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod dma;
mod doorbell;
pub mod fake;
pub mod init;
mod interrupt;
mod packed;
mod ring;
mod shared;
mod split;

pub use dma::{Dma, DmaRegion};
pub use doorbell::{Doorbell, Doorbells, MmioDoorbells, PciDoorbells};
pub use interrupt::Message;
pub use packed::PackedQueue;
pub use ring::{Buffer, MAX_QUEUE_SIZE, Ring, RingFault, RingTerms, Used, choose_size};
pub use split::SplitQueue;
pub use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
pub use virtio_drivers::{self, Hal};

/// Feature bits that concern the ring and the device as such (virtio 1.2 §6).
pub mod feature {
    /// The device follows virtio 1.0 or later.
    pub const VERSION_1: u64 = 1 << 32;
    /// Notifications are suppressed by index (§2.7.7, §2.7.10).
    pub const EVENT_IDX: u64 = 1 << 29;
    /// Rings are packed (§2.8), not split.
    pub const RING_PACKED: u64 = 1 << 34;
    /// The device uses buffers in the order in which they were made available (§2.7.9, §2.8.9).
    pub const IN_ORDER: u64 = 1 << 35;
}
