//! The CPUs of the machine, from the multiple APIC description table (ACPI 6.5 §5.2.12).

use core::fmt;

use super::{DEFAULT_APIC_ADDRESS, Table};
use crate::cpu::MAX_CPUS;
use crate::physical::PhysicalMemory;

/// Interrupt controller structures begin here, after the address and flags.
const STRUCTURES: u64 = 44;
const LOCAL_APIC: u8 = 0;
const LOCAL_APIC_ADDRESS: u8 = 5;
const LOCAL_X2APIC: u8 = 9;
/// The CPU is ready to be used (as opposed to a slot for hot plugging).
const ENABLED: u32 = 1 << 0;

/// The CPUs by their APIC ids.
#[derive(Clone, PartialEq, Eq)]
pub struct Topology {
    ids: [u32; MAX_CPUS],
    len: usize,
    /// Where the local APICs' registers are.
    pub apic_address: u64,
}

impl fmt::Debug for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "APIC at {:#x}, CPUs {:?}", self.apic_address, self.apic_ids())
    }
}

impl Topology {
    /// No CPU but the one that boots.
    pub(super) const fn alone(apic_address: u64) -> Self {
        Self { ids: [0; MAX_CPUS], len: 0, apic_address }
    }

    /// The APIC ids, in firmware's order.
    #[must_use]
    pub fn apic_ids(&self) -> &[u32] {
        self.ids.get(..self.len).unwrap_or(&[])
    }

    /// The same CPUs with the one that boots as the first.
    pub(crate) fn starting_with(&self, boot_id: u32) -> Self {
        let mut topology = Self::alone(self.apic_address);
        topology.push(boot_id);
        self.apic_ids().iter().filter(|&&id| id != boot_id).for_each(|&id| topology.push(id));
        topology
    }

    /// Adds a CPU, unless it is there already or there are too many.
    pub(super) fn push(&mut self, id: u32) {
        if self.apic_ids().contains(&id) {
            return;
        }
        if let Some(slot) = self.ids.get_mut(self.len) {
            *slot = id;
            self.len += 1;
        }
    }
}

/// Reads the table.
pub(super) fn parse(table: Table, physical: &impl PhysicalMemory) -> Topology {
    let address = table.u32(36, physical).map_or(DEFAULT_APIC_ADDRESS, u64::from);
    let mut topology = Topology::alone(address);
    let mut at = STRUCTURES;
    while let Some([kind, len]) = table.bytes(at, physical) {
        if len < 2 || at + u64::from(len) > table.len {
            break;
        }
        parse_structure(kind, at, table, physical, &mut topology);
        at += u64::from(len);
    }
    topology
}

fn parse_structure(
    kind: u8,
    at: u64,
    table: Table,
    physical: &impl PhysicalMemory,
    topology: &mut Topology,
) -> Option<()> {
    match kind {
        LOCAL_APIC => {
            let id = table.u8(at + 3, physical)?;
            let flags = table.u32(at + 4, physical)?;
            if flags & ENABLED != 0 && id != 0xff {
                topology.push(u32::from(id));
            }
        }
        LOCAL_X2APIC => {
            let id = table.u32(at + 4, physical)?;
            let flags = table.u32(at + 8, physical)?;
            if flags & ENABLED != 0 && id != u32::MAX {
                topology.push(id);
            }
        }
        LOCAL_APIC_ADDRESS => topology.apic_address = table.u64(at + 4, physical)?,
        _ => {}
    }
    Some(())
}
