//! The CPUs of a machine without ACPI tables, from the older MultiProcessor table (MPS 1.4 §4):
//! small VMMs and `microvm,acpi=off` still have it.

use super::{Topology, sum};
use crate::physical::PhysicalMemory;

/// Where the floating pointer may be (§4.1): at the end of base memory, and in the BIOS.
const PLACES: [core::ops::Range<u64>; 2] = [0x9_fc00..0xa_0000, 0xf_0000..0x10_0000];
const POINTER_BYTES: u64 = 16;
const HEADER_BYTES: u64 = 44;
const PROCESSOR: u8 = 0;
const PROCESSOR_BYTES: u64 = 20;
const OTHER_BYTES: u64 = 8;
const ENABLED: u8 = 1 << 0;

/// Looks for the table and reads it.
pub(super) fn collect(physical: &impl PhysicalMemory) -> Option<Topology> {
    let pointer = PLACES.into_iter().flat_map(|place| place.step_by(16)).find(|&address| {
        physical.bytes(address) == Some(*b"_MP_")
            && sum(address, POINTER_BYTES, physical) == Some(0)
    })?;
    parse(u64::from(physical.u32(pointer + 4)?), physical)
}

/// The configuration table (§4.2): a header, then entries whose type gives their length.
fn parse(table: u64, physical: &impl PhysicalMemory) -> Option<Topology> {
    let len = u64::from(physical.bytes(table + 4).map(u16::from_le_bytes)?);
    let is_good = physical.bytes(table) == Some(*b"PCMP")
        && len >= HEADER_BYTES
        && sum(table, len, physical) == Some(0);
    if !is_good {
        return None;
    }
    let count = physical.bytes(table + 34).map(u16::from_le_bytes)?;
    let mut topology = Topology::alone(u64::from(physical.u32(table + 36)?));
    let mut at = HEADER_BYTES;
    for _ in 0..count {
        let [kind, id, _version, flags] = physical.bytes(table + at)?;
        let entry_bytes = if kind == PROCESSOR { PROCESSOR_BYTES } else { OTHER_BYTES };
        if at + entry_bytes > len {
            break;
        }
        if kind == PROCESSOR && flags & ENABLED != 0 {
            topology.push(u32::from(id));
        }
        at += entry_bytes;
    }
    Some(topology)
}
