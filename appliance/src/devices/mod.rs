//! Finding the virtio devices of the machine and opening a transport to each.
//!
//! Two places are looked at: PCI (modern virtio, over bridges too) and virtio-mmio windows, which
//! the kernel command line names or, on machines with reduced hardware, stand in a fixed row.
//! The order is the one in which devices were given to the VMM, as far as the machine keeps it, so
//! "the second NIC" means the same on both sides.

mod bars;
mod mmio;
mod pci;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use runtime::acpi::AcpiFacts;
use runtime::boot::BootInfo;
use virtio::Doorbells;
use virtio_drivers::transport::{DeviceType, SomeTransport, Transport};

/// A virtio device that answers.
pub(crate) struct Device {
    /// Where it is: `pci 00:03.0` or `mmio 0xfeb00e00`.
    pub(crate) location: String,
    /// The way to it.
    pub(crate) transport: SomeTransport<'static>,
    /// The short way to notify it, where there is one.
    pub(crate) doorbells: Option<Box<dyn Doorbells>>,
}

impl Device {
    /// What kind of device it is.
    pub(crate) fn kind(&self) -> DeviceType {
        self.transport.device_type()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtio {:?} at {}", self.kind(), self.location)
    }
}

/// All virtio devices.
pub(crate) fn find(info: &BootInfo, acpi: &AcpiFacts) -> Vec<Device> {
    let mut devices = pci::find(&info.memory, acpi);
    devices.extend(mmio::find(&info.command_line, acpi.power.is_hardware_reduced));
    devices
}
