//! multiboot2 boot information (Multiboot2 specification 2.0, §3.6).

use super::command_line::{CommandLine, MAX_COMMAND_LINE};
use super::memory_map::{MemoryMapBuilder, PhysicalRange};
use super::{BootInfo, BootInfoError, BootProtocol};
use crate::physical::PhysicalMemory;

/// What a multiboot2 loader leaves in `eax` (§3.5).
pub(super) const MAGIC: u32 = 0x36d7_6289;
/// No loader's information is longer: a bound against garbage.
const MAX_BYTES: u64 = 1 << 20;
/// Memory map entry type for RAM (§3.6.8).
const TYPE_RAM: u32 = 1;

/// Tag numbers (§3.6).
mod tag {
    pub(super) const END: u32 = 0;
    pub(super) const COMMAND_LINE: u32 = 1;
    pub(super) const MEMORY_MAP: u32 = 6;
    pub(super) const ACPI_OLD_RSDP: u32 = 14;
    pub(super) const ACPI_NEW_RSDP: u32 = 15;
}

/// Reads the boot information at `address`.
pub(super) fn parse(
    address: u64,
    physical: &impl PhysicalMemory,
) -> Result<BootInfo, BootInfoError> {
    let total = u64::from(physical.u32(address).ok_or(BootInfoError::Malformed)?);
    if !(16..=MAX_BYTES).contains(&total) {
        return Err(BootInfoError::Malformed);
    }
    let mut memory = MemoryMapBuilder::default();
    let mut command_line = CommandLine::empty();
    let mut rsdp_copy = None;

    let end = address + total;
    let mut at = address + 8;
    while at + 8 <= end {
        let kind = physical.u32(at).ok_or(BootInfoError::Malformed)?;
        let size = u64::from(physical.u32(at + 4).ok_or(BootInfoError::Malformed)?);
        if size < 8 || at + size > end {
            return Err(BootInfoError::Malformed);
        }
        match kind {
            tag::END => break,
            tag::COMMAND_LINE => command_line = read_command_line(at + 8, size - 8, physical),
            tag::MEMORY_MAP => read_memory_map(at, size, physical, &mut memory)?,
            tag::ACPI_OLD_RSDP if rsdp_copy.is_none() => {
                rsdp_copy = read_rsdp(at + 8, size - 8, physical);
            }
            tag::ACPI_NEW_RSDP => {
                rsdp_copy = read_rsdp(at + 8, size - 8, physical).or(rsdp_copy);
            }
            _ => {}
        }
        at += size.next_multiple_of(8);
    }
    Ok(BootInfo {
        protocol: BootProtocol::Multiboot2,
        memory: memory.build(),
        command_line,
        rsdp: None,
        rsdp_copy,
    })
}

/// Memory map tag (§3.6.8): entry size and version, then base, length, type, reserved.
fn read_memory_map(
    at: u64,
    size: u64,
    physical: &impl PhysicalMemory,
    memory: &mut MemoryMapBuilder,
) -> Result<(), BootInfoError> {
    let entry_bytes = u64::from(physical.u32(at + 8).ok_or(BootInfoError::Malformed)?);
    if entry_bytes < 24 {
        return Err(BootInfoError::Malformed);
    }
    let mut entry = at + 16;
    while entry + entry_bytes <= at + size {
        let base = physical.u64(entry).ok_or(BootInfoError::Malformed)?;
        let len = physical.u64(entry + 8).ok_or(BootInfoError::Malformed)?;
        let kind = physical.u32(entry + 16).ok_or(BootInfoError::Malformed)?;
        let range = PhysicalRange::new(base, len);
        if kind == TYPE_RAM {
            memory.add_usable(range);
        } else {
            memory.add_reserved(range);
        }
        entry += entry_bytes;
    }
    Ok(())
}

fn read_command_line(at: u64, size: u64, physical: &impl PhysicalMemory) -> CommandLine {
    let mut bytes = [0; MAX_COMMAND_LINE];
    let len = usize::try_from(size).map_or(MAX_COMMAND_LINE, |size| size.min(MAX_COMMAND_LINE));
    let is_read = bytes.get_mut(..len).is_some_and(|bytes| physical.read(at, bytes));
    if is_read { CommandLine::from_bytes(&bytes) } else { CommandLine::empty() }
}

/// ACPI tags (§3.6.14, §3.6.15) carry a copy of the root pointer: 20 bytes old, 36 new.
fn read_rsdp(at: u64, size: u64, physical: &impl PhysicalMemory) -> Option<[u8; 36]> {
    let mut bytes = [0; 36];
    let len = usize::try_from(size).ok()?.min(36);
    (len >= 20 && physical.read(at, bytes.get_mut(..len)?)).then_some(bytes)
}
