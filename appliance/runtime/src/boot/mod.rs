//! How the image is started, whoever starts it.
//!
//! Two boot protocols lead into the same 32-bit entry: PVH (`qemu -kernel`, Cloud Hypervisor,
//! Firecracker) and multiboot2 (GRUB from a disk). [`entry`] turns the CPU to long mode and calls
//! the program; [`BootInfo::collect`] copies what the loader left behind into one normal form, so
//! that afterwards all of memory may be used without care for the loader's structures.

pub mod command_line;
pub mod entry;
pub mod memory_map;
mod multiboot2;
mod pvh;
#[cfg(test)]
mod tests;

use core::fmt;

use self::command_line::CommandLine;
use self::memory_map::MemoryMap;
use crate::physical::PhysicalMemory;

/// Who loaded the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootProtocol {
    /// Xen's PVH entry, as used by `qemu -kernel` and the small VMMs.
    Pvh,
    /// multiboot2, as used by GRUB.
    Multiboot2,
}

impl fmt::Display for BootProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pvh => "PVH",
            Self::Multiboot2 => "multiboot2",
        })
    }
}

/// What the loader told, in one form for all loaders, owned by us.
#[derive(Clone, Debug)]
pub struct BootInfo {
    /// Who loaded the image.
    pub protocol: BootProtocol,
    /// The machine's memory.
    pub memory: MemoryMap,
    /// The kernel command line.
    pub command_line: CommandLine,
    /// Where the ACPI root pointer stands, if the loader said.
    pub rsdp: Option<u64>,
    /// The ACPI root pointer itself, where the loader passed a copy of it (multiboot2).
    pub rsdp_copy: Option<[u8; 36]>,
}

/// Why the boot information could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootInfoError {
    /// The registers do not say PVH or multiboot2.
    UnknownProtocol,
    /// The structure lies outside readable memory or contradicts itself.
    Malformed,
    /// There is no memory map, or no usable memory in it.
    NoMemory,
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownProtocol => "started by neither PVH nor multiboot2",
            Self::Malformed => "the loader's boot information is malformed",
            Self::NoMemory => "the loader's memory map has no usable memory",
        })
    }
}

impl BootInfo {
    /// Reads the boot information that the entry's two registers point to.
    pub fn collect(
        magic: u32,
        address: u32,
        physical: &impl PhysicalMemory,
    ) -> Result<Self, BootInfoError> {
        let info = if magic == multiboot2::MAGIC {
            multiboot2::parse(u64::from(address), physical)?
        } else {
            pvh::parse(u64::from(address), physical)?
        };
        if info.memory.usable_bytes() == 0 {
            return Err(BootInfoError::NoMemory);
        }
        Ok(info)
    }
}
