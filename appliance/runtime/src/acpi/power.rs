//! How to power off and reset, from the fixed description table (ACPI 6.5 §5.2.9).

use super::Table;
use crate::physical::PhysicalMemory;

/// Offsets in the table.
mod field {
    pub(super) const DSDT: u64 = 40;
    pub(super) const PM1A_CONTROL: u64 = 64;
    pub(super) const PM1B_CONTROL: u64 = 68;
    pub(super) const PM_TIMER: u64 = 76;
    pub(super) const FLAGS: u64 = 112;
    pub(super) const RESET_REGISTER: u64 = 116;
    pub(super) const RESET_VALUE: u64 = 128;
    pub(super) const X_DSDT: u64 = 140;
    pub(super) const SLEEP_CONTROL: u64 = 244;
}

const FLAG_RESET_REGISTER: u32 = 1 << 10;
const FLAG_HARDWARE_REDUCED: u32 = 1 << 20;

/// Where a register is (generic address structure, ACPI 6.5 §5.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// An I/O port.
    Port(u16),
    /// A byte in memory.
    Memory(u64),
}

/// How to power off and reset this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerFacts {
    /// The ports of the power management control registers A and B.
    pub control_ports: [Option<u16>; 2],
    /// The sleep control register of machines with reduced hardware.
    pub sleep_control: Option<Register>,
    /// What to write there for "off" (sleep type S5).
    pub off_type: u8,
    /// Where to write what to reset.
    pub reset: Option<(Register, u8)>,
    /// The port of the ACPI timer.
    pub timer_port: Option<u16>,
    /// Whether this machine has none of the PC's old hardware by its own account.
    pub is_hardware_reduced: bool,
}

impl PowerFacts {
    pub(super) const fn none() -> Self {
        Self {
            control_ports: [None; 2],
            sleep_control: None,
            off_type: 0,
            reset: None,
            timer_port: None,
            is_hardware_reduced: false,
        }
    }
}

/// Reads the table.
pub(super) fn parse(table: Table, physical: &impl PhysicalMemory) -> PowerFacts {
    let flags = table.u32(field::FLAGS, physical).unwrap_or(0);
    let is_hardware_reduced = flags & FLAG_HARDWARE_REDUCED != 0;
    let port = |offset| {
        let port = table.u32(offset, physical)?;
        u16::try_from(port).ok().filter(|&port| port != 0 && !is_hardware_reduced)
    };
    let reset = (flags & FLAG_RESET_REGISTER != 0)
        .then(|| {
            let register = register(table, field::RESET_REGISTER, physical)?;
            Some((register, table.u8(field::RESET_VALUE, physical)?))
        })
        .flatten();
    PowerFacts {
        control_ports: [port(field::PM1A_CONTROL), port(field::PM1B_CONTROL)],
        sleep_control: is_hardware_reduced
            .then(|| register(table, field::SLEEP_CONTROL, physical))
            .flatten(),
        off_type: off_type(table, physical).unwrap_or(if is_hardware_reduced { 5 } else { 0 }),
        reset,
        timer_port: port(field::PM_TIMER),
        is_hardware_reduced,
    }
}

/// A generic address structure: space, width, offset, access size, address.
fn register(table: Table, at: u64, physical: &impl PhysicalMemory) -> Option<Register> {
    const MEMORY: u8 = 0;
    const PORT: u8 = 1;
    let address = table.u64(at + 4, physical).filter(|&address| address != 0)?;
    match table.u8(at, physical)? {
        MEMORY => Some(Register::Memory(address)),
        PORT => u16::try_from(address).ok().map(Register::Port),
        _ => None,
    }
}

/// The sleep type for "off": the first element of the package `_S5_` in the machine's AML.
///
/// Looking for its encoding (name, PackageOp, length, count, then ZeroOp, OneOp or BytePrefix and a
/// byte; ACPI 6.5 §20.2) instead of interpreting AML is enough, since firmware writes it plainly.
fn off_type(table: Table, physical: &impl PhysicalMemory) -> Option<u8> {
    let address = match table.u64(field::X_DSDT, physical) {
        Some(address) if address != 0 => address,
        _ => u64::from(table.u32(field::DSDT, physical)?),
    };
    let dsdt = Table::open(address, physical).filter(|dsdt| dsdt.signature == *b"DSDT")?;
    (super::HEADER_BYTES..dsdt.len).find_map(|at| off_type_at(dsdt, at, physical))
}

fn off_type_at(dsdt: Table, at: u64, physical: &impl PhysicalMemory) -> Option<u8> {
    const PACKAGE: u8 = 0x12;
    const BYTE: u8 = 0x0a;
    if dsdt.u8(at, physical)? != b'_' {
        return None;
    }
    let bytes: [u8; 9] = dsdt.bytes(at, physical)?;
    let rest = bytes.strip_prefix(b"_S5_")?;
    // The package's length is one byte unless its two highest bits say more follow.
    let [PACKAGE, length, _count, first, second] = *rest else { return None };
    if length & 0xc0 != 0 {
        return None;
    }
    let value = match first {
        0 | 1 => first,
        BYTE => second,
        _ => return None,
    };
    (value < 8).then_some(value)
}
