//! virtio over MMIO (virtio 1.2 §4.2): windows of registers at known addresses.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::ptr::NonNull;

use runtime::boot::command_line::CommandLine;
use runtime::memory;
use virtio::MmioDoorbells;
use virtio_drivers::transport::mmio::{MmioTransport, MmioVersion, VirtIOHeader};

use super::Device;

/// QEMU's `microvm` has its windows in a row, which its ACPI names and its command line may not.
const MICROVM_FIRST: u64 = 0xfeb0_0000;
const MICROVM_WINDOWS: u64 = 24;
const WINDOW_BYTES: usize = 0x200;
/// The shortest window that makes sense: the registers before the device's own.
const SHORTEST_BYTES: usize = 0x100;
const MAGIC: u32 = 0x7472_6976;
const NO_DEVICE: u32 = 0;

/// The devices behind the windows that the command line names, else behind the fixed row.
pub(super) fn find(line: &CommandLine, is_hardware_reduced: bool) -> Vec<Device> {
    let named = line.words().filter_map(|word| word.strip_prefix("virtio_mmio.device="));
    let mut windows: Vec<_> = named.filter_map(parse_window).collect();
    if windows.is_empty() && is_hardware_reduced {
        // `microvm` gives the last window to the first device.
        let row = (0..MICROVM_WINDOWS).rev();
        windows.extend(row.map(|i| (MICROVM_FIRST + i * WINDOW_BYTES as u64, WINDOW_BYTES)));
    }
    windows.into_iter().filter_map(|(address, len)| open(address, len)).collect()
}

/// `512@0xfeb00e00:12` (size, address, interrupt; Linux `virtio_mmio.device=`).
fn parse_window(text: &str) -> Option<(u64, usize)> {
    let (len, rest) = text.split_once('@')?;
    let address = rest.split(':').next()?;
    let address = match address.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => address.parse().ok()?,
    };
    let len = match len.strip_suffix(['K', 'k']) {
        Some(kib) => kib.parse::<usize>().ok()?.checked_mul(1024)?,
        None => len.parse().ok()?,
    };
    ((SHORTEST_BYTES..=1 << 20).contains(&len) && address.is_multiple_of(4))
        .then_some((address, len))
}

fn open(address: u64, len: usize) -> Option<Device> {
    let window = match memory::map_mmio(address, len) {
        Ok(window) => window,
        Err(error) => {
            log::warn!("virtio-mmio window {address:#x}: {error}");
            return None;
        }
    };
    if read(window, 0) != MAGIC || read(window, 2) == NO_DEVICE {
        return None;
    }
    // SAFETY: the window is mapped as device memory for good, `len` bytes long, and each window is
    // opened once, so the transport is the only one that uses it.
    let transport = unsafe { MmioTransport::new(window.cast::<VirtIOHeader>(), len) };
    match transport {
        Ok(transport) if transport.version() == MmioVersion::Legacy => {
            log::warn!(
                "virtio-mmio device at {address:#x} is a legacy one: \
                 give QEMU -global virtio-mmio.force-legacy=false"
            );
            None
        }
        Ok(transport) => {
            // SAFETY: the window is mapped for good.
            let doorbells = unsafe { MmioDoorbells::new(window.cast()) };
            Some(Device {
                location: format!("mmio {address:#x}"),
                transport: transport.into(),
                doorbells: Some(Box::new(doorbells)),
            })
        }
        Err(error) => {
            log::warn!("virtio-mmio window {address:#x}: {error}");
            None
        }
    }
}

/// A 32-bit register by its number.
fn read(window: NonNull<u8>, register: usize) -> u32 {
    // SAFETY: both registers asked for are in the first bytes of the window.
    let register = unsafe { window.cast::<u32>().add(register) };
    // SAFETY: the window is mapped; device registers may be read at any time.
    unsafe { register.read_volatile() }
}
