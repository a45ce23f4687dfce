//! PCI configuration space: by memory where the machine has that (one access), else by ports (two).
//!
//! Only reading and writing words; what devices there are and what they mean is the drivers' side.

use core::ptr;

use spin::{Mutex, Once};

use crate::acpi::PciConfigSpace;
use crate::io::{in32, out32};
use crate::memory::{self, MapError};

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;

/// The address and data port belong together.
static PORTS: Mutex<()> = Mutex::new(());
static MAPPED: Once<(PciConfigSpace, usize)> = Once::new();

/// A function of a device on a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The bus.
    pub bus: u8,
    /// The device on it, below 32.
    pub device: u8,
    /// The function of it, below 8.
    pub function: u8,
}

impl Location {
    const fn index(self) -> u32 {
        (self.bus as u32) << 8 | (self.device as u32 & 0x1f) << 3 | self.function as u32 & 7
    }
}

/// Uses memory-mapped configuration space from now on.
pub fn init(space: PciConfigSpace) -> Result<(), MapError> {
    let (first, last) = space.buses;
    let start = space.address + (u64::from(first) << 20);
    let len = (usize::from(last - first) + 1) << 20;
    memory::map_mmio(start, len)?;
    let address = usize::try_from(space.address).map_err(|_| MapError::OutOfRange)?;
    MAPPED.call_once(|| (space, address));
    Ok(())
}

/// Reads the word at a register, a multiple of 4; all ones where there is nothing.
#[must_use]
pub fn read(location: Location, register: u8) -> u32 {
    match mapped(location, register) {
        // SAFETY: `init` mapped the configuration space of this bus; words in it are aligned.
        Some(word) => unsafe { word.read_volatile() },
        None => {
            let _both_ports = PORTS.lock();
            out32(ADDRESS_PORT, by_port(location, register));
            in32(DATA_PORT)
        }
    }
}

/// Writes the word at a register, a multiple of 4.
pub fn write(location: Location, register: u8, value: u32) {
    match mapped(location, register) {
        // SAFETY: as in `read`.
        Some(word) => unsafe { word.write_volatile(value) },
        None => {
            let _both_ports = PORTS.lock();
            out32(ADDRESS_PORT, by_port(location, register));
            out32(DATA_PORT, value);
        }
    }
}

fn mapped(location: Location, register: u8) -> Option<*mut u32> {
    let (space, address) = MAPPED.get()?;
    let (first, last) = space.buses;
    if !(first..=last).contains(&location.bus) {
        return None;
    }
    let offset = (location.index() as usize) << 12 | usize::from(register & !3);
    Some(ptr::with_exposed_provenance_mut(address + offset))
}

const fn by_port(location: Location, register: u8) -> u32 {
    1 << 31 | location.index() << 8 | (register & !3) as u32
}

#[cfg(test)]
mod tests {
    use super::{Location, by_port};

    #[test]
    fn port_addresses_are_packed() {
        let location = Location { bus: 0x12, device: 0x1f, function: 7 };
        assert_eq!(by_port(location, 0x47), 0x8012_ff44);
    }
}
