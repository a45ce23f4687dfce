//! The few facts that we take from ACPI: which CPUs there are, how to power off and reset, where
//! PCI configuration space and the ACPI timer are.
//!
//! The tables are read once, at boot, while the boot page tables still map them, and only as far
//! as fixed tables go: no AML is interpreted (one constant is looked for in it, see [`power`]).
//! Every length is bounded, every checksum is verified, nothing is trusted to be there.

mod cpus;
mod mp_table;
pub mod power;
#[cfg(test)]
mod tests;

pub use self::cpus::Topology;
use self::power::PowerFacts;
use crate::boot::BootInfo;
use crate::physical::PhysicalMemory;

/// Where the local APIC's registers are unless a table says otherwise.
const DEFAULT_APIC_ADDRESS: u64 = 0xfee0_0000;
/// No table that we read is longer; DSDTs are the longest.
const MAX_TABLE_BYTES: u32 = 4 << 20;
/// No root table has more entries.
const MAX_TABLES: u64 = 128;
/// A table's common header (ACPI 6.5 §5.2.6).
const HEADER_BYTES: u64 = 36;

/// Memory-mapped PCI configuration space of segment 0 (PCI firmware specification 3.3 §4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciConfigSpace {
    /// Where bus 0 would begin.
    pub address: u64,
    /// The first and the last bus that it has.
    pub buses: (u8, u8),
}

/// What ACPI told.
#[derive(Clone, Debug)]
pub struct AcpiFacts {
    /// The CPUs.
    pub topology: Topology,
    /// How to power off and reset.
    pub power: PowerFacts,
    /// Memory-mapped PCI configuration space.
    pub pci: Option<PciConfigSpace>,
    /// Whether tables were found at all.
    pub has_tables: bool,
}

impl AcpiFacts {
    /// What holds where there is no ACPI: one CPU, default places.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            topology: Topology::alone(DEFAULT_APIC_ADDRESS),
            power: PowerFacts::none(),
            pci: None,
            has_tables: false,
        }
    }

    /// Reads the tables that boot information or the search of low memory lead to.
    #[must_use]
    pub fn collect(info: &BootInfo, physical: &impl PhysicalMemory) -> Self {
        let mut facts = Self::none();
        if let Some(root) = root(info, physical) {
            facts.has_tables = true;
            root.for_each_table(physical, |table| facts.take(table, physical));
        }
        if facts.topology.apic_ids().is_empty()
            && let Some(topology) = mp_table::collect(physical)
        {
            facts.topology = topology;
        }
        facts
    }

    fn take(&mut self, table: Table, physical: &impl PhysicalMemory) {
        match &table.signature {
            b"APIC" => self.topology = cpus::parse(table, physical),
            b"FACP" => self.power = power::parse(table, physical),
            b"MCFG" => self.pci = parse_pci(table, physical).or(self.pci),
            _ => {}
        }
    }
}

/// A table whose header and checksum are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Table {
    signature: [u8; 4],
    address: u64,
    len: u64,
}

impl Table {
    /// The table at an address.
    fn open(address: u64, physical: &impl PhysicalMemory) -> Option<Self> {
        let len = physical.u32(address.checked_add(4)?)?;
        if u64::from(len) < HEADER_BYTES || len > MAX_TABLE_BYTES {
            return None;
        }
        let table = Self { signature: physical.bytes(address)?, address, len: u64::from(len) };
        (sum(address, table.len, physical)? == 0).then_some(table)
    }

    /// `N` bytes at an offset, if the table has them.
    fn bytes<const N: usize>(
        &self,
        offset: u64,
        physical: &impl PhysicalMemory,
    ) -> Option<[u8; N]> {
        if offset.checked_add(N as u64)? > self.len {
            return None;
        }
        physical.bytes(self.address.checked_add(offset)?)
    }

    fn u8(&self, offset: u64, physical: &impl PhysicalMemory) -> Option<u8> {
        self.bytes::<1>(offset, physical).map(|[byte]| byte)
    }

    fn u16(&self, offset: u64, physical: &impl PhysicalMemory) -> Option<u16> {
        self.bytes(offset, physical).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: u64, physical: &impl PhysicalMemory) -> Option<u32> {
        self.bytes(offset, physical).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: u64, physical: &impl PhysicalMemory) -> Option<u64> {
        self.bytes(offset, physical).map(u64::from_le_bytes)
    }
}

/// The sum of bytes, which is zero over anything with a checksum.
fn sum(address: u64, len: u64, physical: &impl PhysicalMemory) -> Option<u8> {
    let mut sum = 0_u8;
    let mut chunk = [0; 256];
    let mut done = 0;
    while done < len {
        let step = usize::try_from(len - done).map_or(chunk.len(), |left| left.min(chunk.len()));
        let part = chunk.get_mut(..step)?;
        if !physical.read(address.checked_add(done)?, part) {
            return None;
        }
        sum = part.iter().fold(sum, |sum, byte| sum.wrapping_add(*byte));
        done += step as u64;
    }
    Some(sum)
}

/// The table of tables: 32-bit addresses (RSDT) or 64-bit addresses (XSDT).
#[derive(Clone, Copy, Debug)]
struct Root {
    table: Table,
    entry_bytes: u64,
}

impl Root {
    fn for_each_table(&self, physical: &impl PhysicalMemory, mut take: impl FnMut(Table)) {
        let count = (self.table.len - HEADER_BYTES) / self.entry_bytes;
        for index in 0..count.min(MAX_TABLES) {
            let offset = HEADER_BYTES + index * self.entry_bytes;
            let address = if self.entry_bytes == 8 {
                self.table.u64(offset, physical)
            } else {
                self.table.u32(offset, physical).map(u64::from)
            };
            if let Some(table) = address.and_then(|address| Table::open(address, physical)) {
                take(table);
            }
        }
    }
}

/// The root pointer (ACPI 6.5 §5.2.5.3): 20 bytes with a checksum, 36 with another since 2.0.
fn root(info: &BootInfo, physical: &impl PhysicalMemory) -> Option<Root> {
    let pointer = info
        .rsdp_copy
        .or_else(|| physical.bytes(info.rsdp?))
        .filter(is_root_pointer)
        .or_else(|| search_root_pointer(physical))?;
    let rsdt = u32::from_le_bytes(*pointer.get(16..)?.first_chunk()?);
    let xsdt = u64::from_le_bytes(*pointer.get(24..)?.first_chunk()?);
    let revision = *pointer.get(15)?;
    let xsdt = (revision >= 2 && xsdt != 0).then_some(xsdt);
    let by_xsdt = xsdt.and_then(|address| Table::open(address, physical));
    match by_xsdt.filter(|table| table.signature == *b"XSDT") {
        Some(table) => Some(Root { table, entry_bytes: 8 }),
        None => {
            let table = Table::open(u64::from(rsdt), physical)?;
            (table.signature == *b"RSDT").then_some(Root { table, entry_bytes: 4 })
        }
    }
}

fn is_root_pointer(bytes: &[u8; 36]) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let (old, _) = bytes.split_at(20);
    bytes.starts_with(b"RSD PTR ") && sum(old) == 0
}

/// Where a BIOS leaves the root pointer when no loader hands it on (ACPI 6.5 §5.2.5.1).
fn search_root_pointer(physical: &impl PhysicalMemory) -> Option<[u8; 36]> {
    const BIOS: core::ops::Range<u64> = 0xe_0000..0x10_0000 - 36;
    let mut places = BIOS.step_by(16);
    places.find_map(|address| {
        physical.bytes::<8>(address).filter(|start| start == b"RSD PTR ")?;
        physical.bytes(address).filter(is_root_pointer)
    })
}

/// MCFG: allocations of address, segment, first and last bus, from offset 44.
fn parse_pci(table: Table, physical: &impl PhysicalMemory) -> Option<PciConfigSpace> {
    const ENTRIES: u64 = 44;
    const ENTRY_BYTES: u64 = 16;
    let count = table.len.saturating_sub(ENTRIES) / ENTRY_BYTES;
    (0..count).map(|index| ENTRIES + index * ENTRY_BYTES).find_map(|at| {
        let address = table.u64(at, physical)?;
        let segment = table.u16(at + 8, physical)?;
        let [first, last] = table.bytes(at + 10, physical)?;
        (segment == 0 && first <= last && address.is_multiple_of(1 << 20) && address != 0)
            .then_some(PciConfigSpace { address, buses: (first, last) })
    })
}
