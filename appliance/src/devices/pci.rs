//! virtio over PCI (virtio 1.2 §4.1): enumeration, address windows, transports.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use runtime::acpi::{AcpiFacts, PciConfigSpace};
use runtime::boot::memory_map::{MemoryMap, PhysicalRange};
use runtime::pci::{self, Location};
use runtime::{cpu, memory};
use virtio::{Doorbells, Message, PciDoorbells};
use virtio_drivers::transport::pci::bus::{Command, DeviceFunction, PciRoot};
use virtio_drivers::transport::pci::{PciTransport, VirtioPciError};
use virtio_drivers::transport::{DeviceType, Transport};

use super::Device;
use super::bars::{Bars, Configuration, FreeAddresses, register};
use crate::dma::DeviceMemory;

const VIRTIO_VENDOR: u16 = 0x1af4;
/// Device ids of virtio: transitional ones, then modern ones.
const VIRTIO_DEVICES: core::ops::RangeInclusive<u16> = 0x1000..=0x107f;
const MULTI_FUNCTION: u32 = 0x80;
const BRIDGE: u32 = 1;
/// Windows of virtio devices are small; a larger one is not mapped.
const MAX_WINDOW_BYTES: u64 = 64 << 20;

/// QEMU's `microvm` with `pcie=on` tells the place of its configuration space in AML only.
const MICROVM_SPACE: PciConfigSpace = PciConfigSpace { address: 0xe000_0000, buses: (0, 0xff) };
const MICROVM_HOST: [u16; 2] = [0x1b36, 0x0008];

/// All virtio devices on PCI, by location.
pub(super) fn find(ram: &MemoryMap, acpi: &AcpiFacts) -> Vec<Device> {
    if acpi.pci.is_none() && acpi.power.is_hardware_reduced {
        use_microvm_space();
    }
    let functions = enumerate();
    if functions.is_empty() {
        return Vec::new();
    }
    let is_virtio = |&location: &Location| {
        let [vendor, device] = ids(location);
        vendor == VIRTIO_VENDOR && VIRTIO_DEVICES.contains(&device)
    };
    // Where no firmware ran, no window has an address yet.
    let has_firmware = functions.iter().any(|&location| has_memory_window(location));
    let mut free = if has_firmware { FreeAddresses::none() } else { FreeAddresses::above(ram) };

    let mut devices = Vec::new();
    for location in functions.into_iter().filter(is_virtio) {
        match open(location, &mut free) {
            Ok((transport, doorbells)) => devices.push(Device {
                location: format!("pci {}", Name(location)),
                transport: transport.into(),
                doorbells,
            }),
            Err(error) => log::warn!("virtio device at pci {}: {error}", Name(location)),
        }
    }
    devices
}

/// Uses `microvm`'s configuration space if its host bridge answers there.
fn use_microvm_space() {
    let is_there = memory::map_mmio(MICROVM_SPACE.address, 4096).is_ok_and(|window| {
        // SAFETY: the window is mapped, whole pages long; registers may be read at any time.
        let id = unsafe { window.cast::<u32>().read_volatile() };
        id == u32::from(MICROVM_HOST[1]) << 16 | u32::from(MICROVM_HOST[0])
    });
    if is_there && let Err(error) = pci::init(MICROVM_SPACE) {
        log::warn!("PCI configuration space: {error}");
    }
}

/// Every function on every bus that bridges lead to, ascending.
///
/// Functions beyond the first are asked for only where a device says it has several: each question
/// is a VM exit.
fn enumerate() -> Vec<Location> {
    let mut functions = Vec::new();
    let mut is_seen = [false; 256];
    let mut buses = Vec::from([0_u8]);
    while let Some(bus) = buses.pop() {
        if core::mem::replace(&mut is_seen[usize::from(bus)], true) {
            continue;
        }
        for device in 0..32 {
            for function in 0..8 {
                let location = Location { bus, device, function };
                // Nothing answers with all ones, or with zeros where it is a hole in memory.
                let is_there = !matches!(ids(location)[0], 0xffff | 0);
                let header = if is_there { pci::read(location, register::HEADER) >> 16 } else { 0 };
                if is_there {
                    functions.push(location);
                }
                if is_there && header & 0x7f == BRIDGE {
                    let [_, secondary, ..] = pci::read(location, register::BUSES).to_le_bytes();
                    buses.push(secondary);
                }
                if function == 0 && header & MULTI_FUNCTION == 0 {
                    break;
                }
            }
        }
    }
    functions.sort_unstable();
    functions
}

/// Vendor and device id.
fn ids(location: Location) -> [u16; 2] {
    let [a, b, c, d] = pci::read(location, register::ID).to_le_bytes();
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
}

/// Whether one of the windows into memory has an address.
fn has_memory_window(location: Location) -> bool {
    let header = pci::read(location, register::HEADER) >> 16;
    let bars = if header & 0x7f == BRIDGE { 0 } else { 6 };
    (0..bars).any(|index| {
        let bar = pci::read(location, register::FIRST_BAR + 4 * index);
        bar & 1 == 0 && bar & !0xf != 0
    })
}

/// Why a virtio device cannot be used.
#[derive(Debug)]
pub(super) enum OpenError {
    Pci(VirtioPciError),
    NoAddress,
    BadWindow(PhysicalRange),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(error) => error.fmt(f),
            Self::NoAddress => f.write_str("no address for its registers"),
            Self::BadWindow(range) => write!(f, "its registers cannot be at {range}"),
        }
    }
}

impl From<VirtioPciError> for OpenError {
    fn from(error: VirtioPciError) -> Self {
        Self::Pci(error)
    }
}

/// Gives the device addresses where it has none, maps its registers, switches it on.
fn open(
    location: Location,
    free: &mut FreeAddresses,
) -> Result<(PciTransport, Option<Box<dyn Doorbells>>), OpenError> {
    let function =
        DeviceFunction { bus: location.bus, device: location.device, function: location.function };
    let mut bars = Bars::read(location);
    bars.place(location, free).ok_or(OpenError::NoAddress)?;
    for window in bars.windows() {
        let len = usize::try_from(window.len()).ok().filter(|_| window.len() <= MAX_WINDOW_BYTES);
        len.and_then(|len| memory::map_mmio(window.start, len).ok())
            .ok_or(OpenError::BadWindow(window))?;
    }
    let mut root = PciRoot::new(Configuration { bars });
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command | Command::MEMORY_SPACE | Command::BUS_MASTER);
    let mut transport = PciTransport::new::<DeviceMemory, _>(&mut root, function)?;
    let message = match transport.device_type() {
        DeviceType::Network => wake_message(&mut transport),
        // It is QEMU itself that carries it out.
        DeviceType::Console => own_message(),
        // Others tell of nothing by themselves; each register read of theirs would cost boot time.
        _ => return Ok((transport, None)),
    };
    // SAFETY: the windows have addresses and are mapped.
    let found = unsafe {
        PciDoorbells::new::<DeviceMemory, _>(&mut Configuration { bars }, function, message)
    };
    Ok((transport, found.map(|doorbells| Box::new(doorbells) as Box<dyn Doorbells>)))
}

/// What the interrupts of a NIC say: they go to the boot processor, which this runs on.
///
/// QEMU 7.2 without KVM crashes at the interrupts of a device that another process carries out
/// (vhost-user), so there only those have interrupts that QEMU carries out itself: they offer to reset a
/// single ring (virtio 1.2 §6.2), and processes behind vhost-user do not.
fn wake_message(transport: &mut PciTransport) -> Option<Message> {
    const RING_RESET: u64 = 1 << 40;
    if cpu::is_emulated() && transport.read_device_features() & RING_RESET == 0 {
        return None;
    }
    own_message()
}

/// What wakes the boot processor.
fn own_message() -> Option<Message> {
    cpu::wake_message().map(|(address, data)| Message { address, data })
}

/// `00:03.0`
struct Name(Location);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { bus, device, function } = self.0;
        write!(f, "{bus:02x}:{device:02x}.{function}")
    }
}
