//! A virtio device in software, to test drivers against.
//!
//! [`FakeDevice`] is the device's side of everything: features, configuration space, status, and
//! the rings, which it works on in the same memory as the driver ([`FakeDma`]), with atomics, from
//! any thread. [`FakeDevice::transport`] gives the driver's side. [`Hostile`] modes break the
//! protocol on purpose. [`DeviceQueue`] is the rings alone, for a device with memory of another kind.
//!
//! The fake checks each address that it is given against the memory it was told about, and panics
//! with the address if a driver gives another: that is a bug in the driver under test.

mod device;
mod memory;
mod packed;
mod queue;
mod split;
mod transport;

pub use device::{Chain, FakeConfig, FakeDevice, Hostile};
pub use memory::FakeDma;
pub use queue::{DeviceMemory, DeviceQueue};
pub use transport::FakeTransport;
