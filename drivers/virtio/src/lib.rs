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
mod shared;
mod split;

pub use dma::{Dma, DmaRegion};
pub use doorbell::{Doorbell, Doorbells, MmioDoorbells, PciDoorbells};
pub use interrupt::Message;
pub use split::{Buffer, MAX_QUEUE_SIZE, RingFault, SplitQueue, Used};
pub use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};
pub use virtio_drivers::{self, Hal};

/// Feature bits that concern the ring and the device as such (virtio 1.2 §6).
pub mod feature {
    /// The device follows virtio 1.0 or later.
    pub const VERSION_1: u64 = 1 << 32;
    /// Notifications are suppressed by index (§2.7.7, §2.7.10).
    pub const EVENT_IDX: u64 = 1 << 29;
}
