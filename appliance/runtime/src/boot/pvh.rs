//! PVH start information (Xen `arch-x86/hvm/start_info.h`).

use super::command_line::{CommandLine, MAX_COMMAND_LINE};
use super::memory_map::{MemoryMapBuilder, PhysicalRange};
use super::{BootInfo, BootInfoError, BootProtocol};
use crate::physical::PhysicalMemory;

/// `hvm_start_info.magic`.
const MAGIC: u32 = 0x336e_c578;
/// Version 1 brought the memory map.
const FIRST_WITH_MEMORY_MAP: u32 = 1;
/// `hvm_memmap_table_entry.type` for RAM, the numbers of E820.
const TYPE_RAM: u32 = 1;
/// More entries than any machine has: a bound against garbage.
const MAX_ENTRIES: u32 = 1024;

/// Offsets in `hvm_start_info`.
mod field {
    pub(super) const VERSION: u64 = 4;
    pub(super) const COMMAND_LINE: u64 = 24;
    pub(super) const RSDP: u64 = 32;
    pub(super) const MEMORY_MAP: u64 = 40;
    pub(super) const MEMORY_MAP_ENTRIES: u64 = 48;
}

/// The size of one `hvm_memmap_table_entry`: address, size, type, reserved.
const ENTRY_BYTES: u64 = 24;

/// Reads the start information at `address`.
pub(super) fn parse(
    address: u64,
    physical: &impl PhysicalMemory,
) -> Result<BootInfo, BootInfoError> {
    if physical.u32(address) != Some(MAGIC) {
        return Err(BootInfoError::UnknownProtocol);
    }
    let u32_at = |offset| physical.u32(address + offset).ok_or(BootInfoError::Malformed);
    let u64_at = |offset| physical.u64(address + offset).ok_or(BootInfoError::Malformed);
    if u32_at(field::VERSION)? < FIRST_WITH_MEMORY_MAP {
        return Err(BootInfoError::NoMemory);
    }

    let table = u64_at(field::MEMORY_MAP)?;
    let mut memory = MemoryMapBuilder::default();
    for index in 0..u32_at(field::MEMORY_MAP_ENTRIES)?.min(MAX_ENTRIES) {
        let entry =
            table.checked_add(u64::from(index) * ENTRY_BYTES).ok_or(BootInfoError::Malformed)?;
        let word = |offset| {
            entry
                .checked_add(offset)
                .and_then(|at| physical.u64(at))
                .ok_or(BootInfoError::Malformed)
        };
        let range = PhysicalRange::new(word(0)?, word(8)?);
        let kind = physical.u32(entry.saturating_add(16)).ok_or(BootInfoError::Malformed)?;
        if kind == TYPE_RAM {
            memory.add_usable(range);
        } else {
            memory.add_reserved(range);
        }
    }

    let rsdp = u64_at(field::RSDP)?;
    Ok(BootInfo {
        protocol: BootProtocol::Pvh,
        memory: memory.build(),
        command_line: read_command_line(u64_at(field::COMMAND_LINE)?, physical),
        rsdp: (rsdp != 0).then_some(rsdp),
        rsdp_copy: None,
    })
}

/// The NUL-terminated string at `address`, cut at our limit.
fn read_command_line(address: u64, physical: &impl PhysicalMemory) -> CommandLine {
    let mut line = CommandLine::empty();
    if address == 0 {
        return line;
    }
    for offset in 0..MAX_COMMAND_LINE as u64 {
        match address.checked_add(offset).and_then(|at| physical.bytes::<1>(at)) {
            Some([0]) | None => break,
            Some([byte]) => line.push(byte),
        };
    }
    line
}
