//! ACPI tables built byte by byte, good ones and bad ones.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::power::Register;
use super::{AcpiFacts, PciConfigSpace};
use crate::boot::command_line::CommandLine;
use crate::boot::memory_map::MemoryMap;
use crate::boot::{BootInfo, BootProtocol};
use crate::physical::fake::FakeMemory;

const BASE: u64 = 0xf_0000;

fn boot_info() -> BootInfo {
    BootInfo {
        protocol: BootProtocol::Pvh,
        memory: MemoryMap::default(),
        command_line: CommandLine::empty(),
        rsdp: Some(BASE),
        rsdp_copy: None,
    }
}

fn fix_checksum(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = 0_u8.wrapping_sub(sum);
}

/// A table with its header.
fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    bytes[..4].copy_from_slice(signature);
    bytes.extend(body);
    let len = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&len.to_le_bytes());
    fix_checksum(&mut bytes, 9);
    bytes
}

/// Memory with a root pointer at [`BASE`] that leads to these tables.
fn memory(tables: &[Vec<u8>], has_xsdt: bool) -> FakeMemory {
    let root_at = 64;
    let entry_bytes = if has_xsdt { 8 } else { 4 };
    let mut at = root_at + 36 + tables.len() * entry_bytes;
    let mut entries = Vec::new();
    for table in tables {
        let address = (BASE + at as u64).to_le_bytes();
        entries.extend(&address[..entry_bytes]);
        at += table.len();
    }
    let mut bytes = vec![0; root_at];
    bytes[..8].copy_from_slice(b"RSD PTR ");
    let root_address = BASE + root_at as u64;
    if has_xsdt {
        bytes[15] = 2;
        bytes[24..32].copy_from_slice(&root_address.to_le_bytes());
    } else {
        bytes[16..20].copy_from_slice(&root_address.to_le_bytes()[..4]);
    }
    fix_checksum(&mut bytes[..20], 8);
    bytes.extend(table(if has_xsdt { b"XSDT" } else { b"RSDT" }, &entries));
    tables.iter().for_each(|table| bytes.extend(table));
    FakeMemory { base: BASE, bytes }
}

fn collect(tables: &[Vec<u8>]) -> AcpiFacts {
    AcpiFacts::collect(&boot_info(), &memory(tables, true))
}

/// A MADT with these structures.
fn madt(structures: &[&[u8]]) -> Vec<u8> {
    let mut body = 0xfee0_0000_u32.to_le_bytes().to_vec();
    body.extend([0; 4]);
    structures.iter().for_each(|structure| body.extend(*structure));
    table(b"APIC", &body)
}

const fn local_apic(id: u8, flags: u8) -> [u8; 8] {
    [0, 8, id, id, flags, 0, 0, 0]
}

#[test]
fn cpus_are_listed_once_and_only_if_enabled() {
    let x2apic = [9, 16, 0, 0, 0x34, 0x12, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let other = [1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let facts = collect(&[madt(&[
        &local_apic(0, 1),
        &other,
        &local_apic(2, 1),
        &local_apic(2, 1),
        &local_apic(3, 0),
        &local_apic(0xff, 1),
        &x2apic,
    ])]);
    assert_eq!(facts.topology.apic_ids(), [0, 2, 0x1234]);
    assert_eq!(facts.topology.apic_address, 0xfee0_0000);
    assert_eq!(facts.topology.starting_with(2).apic_ids(), [2, 0, 0x1234]);
}

#[test]
fn a_64_bit_apic_address_wins() {
    let mut address = vec![5, 12, 0, 0];
    address.extend(0x1_fee0_0000_u64.to_le_bytes());
    assert_eq!(collect(&[madt(&[&address])]).topology.apic_address, 0x1_fee0_0000);
}

#[test]
fn structures_that_do_not_fit_end_the_list() {
    for bad in [&[0_u8, 0][..], &[0, 1], &[0, 200, 0], &[0]] {
        let facts = collect(&[madt(&[&local_apic(1, 1), bad])]);
        assert_eq!(facts.topology.apic_ids(), [1], "{bad:?}");
    }
    // A structure shorter than its kind takes nothing from what follows it in the table.
    let facts = collect(&[madt(&[&local_apic(1, 1), &[0, 3, 9]])]);
    assert_eq!(facts.topology.apic_ids(), [1]);
}

#[test]
fn more_cpus_than_we_use_are_left_out() {
    let many: Vec<[u8; 8]> = (0..200).map(|id| local_apic(id, 1)).collect();
    let many: Vec<&[u8]> = many.iter().map(<[u8; 8]>::as_slice).collect();
    assert_eq!(collect(&[madt(&many)]).topology.apic_ids().len(), crate::cpu::MAX_CPUS);
}

/// A FADT of the length that ACPI 5 gave it.
fn fadt(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = table(b"FACP", &[0; 232]);
    change(&mut bytes);
    fix_checksum(&mut bytes, 9);
    bytes
}

#[test]
fn a_pc_powers_off_by_port() {
    let facts = collect(&[fadt(|bytes| {
        bytes[64..68].copy_from_slice(&0x604_u32.to_le_bytes());
        bytes[76..80].copy_from_slice(&0x608_u32.to_le_bytes());
        bytes[112..116].copy_from_slice(&(1_u32 << 10).to_le_bytes());
        bytes[116] = 1;
        bytes[120..128].copy_from_slice(&0xcf9_u64.to_le_bytes());
        bytes[128] = 0x0f;
    })]);
    assert_eq!(facts.power.control_ports, [Some(0x604), None]);
    assert_eq!(facts.power.timer_port, Some(0x608));
    assert_eq!(facts.power.reset, Some((Register::Port(0xcf9), 0x0f)));
    assert_eq!((facts.power.sleep_control, facts.power.off_type), (None, 0));
}

#[test]
fn reduced_hardware_powers_off_by_its_sleep_register() {
    let facts = collect(&[fadt(|bytes| {
        bytes[64..68].copy_from_slice(&0x604_u32.to_le_bytes());
        bytes[112..116].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        bytes[248..256].copy_from_slice(&0xfea0_0200_u64.to_le_bytes());
    })]);
    assert!(facts.power.is_hardware_reduced);
    assert_eq!(facts.power.control_ports, [None, None]);
    assert_eq!(facts.power.sleep_control, Some(Register::Memory(0xfea0_0200)));
    assert_eq!(facts.power.off_type, 5);
    assert_eq!(facts.power.reset, None);
}

#[test]
fn the_sleep_type_is_found_in_aml() {
    let cases: [(&[u8], u8); 6] = [
        (b"\x08_S5_\x12\x06\x04\x0a\x07\x00\x00\x00", 7),
        (b"\x08_S5_\x12\x06\x04\x01\x00\x00\x00", 1),
        (b"_S5X_S5_\x12\x06\x04\x00\x00\x00", 0),
        (b"_S5_\x12\x06\x04\x0a\x09\x00", 0),
        (b"_S5_\x12\x46\x04\x0a\x05\x00", 0),
        (b"\x08_S5_", 0),
    ];
    for (aml, expected) in cases {
        let dsdt = table(b"DSDT", aml);
        // The FADT must know where the DSDT will be: after root pointer, root table and itself.
        let dsdt_at = BASE + 64 + 36 + 16 + 268;
        let fadt = fadt(|bytes| {
            bytes[40..44].copy_from_slice(&u32::try_from(dsdt_at).unwrap().to_le_bytes());
        });
        assert_eq!(collect(&[fadt, dsdt]).power.off_type, expected, "{aml:?}");
    }
}

#[test]
fn a_short_fadt_gives_what_it_has() {
    let mut body = vec![0; 80];
    body[28..32].copy_from_slice(&0xb004_u32.to_le_bytes());
    let facts = collect(&[table(b"FACP", &body)]);
    assert_eq!(facts.power.control_ports, [Some(0xb004), None]);
    assert_eq!(facts.power.reset, None);
}

#[test]
fn pci_configuration_space_is_that_of_segment_0() {
    let mut body = vec![0; 8];
    for (address, segment, last) in [(0xd000_0000_u64, 1_u16, 0xff_u8), (0xb000_0000, 0, 0x7f)] {
        body.extend(address.to_le_bytes());
        body.extend(segment.to_le_bytes());
        body.extend([0, last, 0, 0, 0, 0]);
    }
    let expected = PciConfigSpace { address: 0xb000_0000, buses: (0, 0x7f) };
    assert_eq!(collect(&[table(b"MCFG", &body)]).pci, Some(expected));
    assert_eq!(collect(&[table(b"MCFG", &body[..20])]).pci, None);
}

#[test]
fn old_and_new_root_tables_lead_to_the_same_facts() {
    let tables = [madt(&[&local_apic(5, 1)])];
    for has_xsdt in [false, true] {
        let facts = AcpiFacts::collect(&boot_info(), &memory(&tables, has_xsdt));
        assert_eq!(facts.topology.apic_ids(), [5]);
    }
}

#[test]
fn the_root_pointer_is_searched_where_no_one_names_it() {
    let info = BootInfo { rsdp: None, ..boot_info() };
    let facts = AcpiFacts::collect(&info, &memory(&[madt(&[&local_apic(5, 1)])], true));
    assert!(facts.has_tables);
    let nothing = FakeMemory { base: BASE, bytes: vec![0; 0x1000] };
    assert!(!AcpiFacts::collect(&info, &nothing).has_tables);
}

#[test]
fn without_acpi_the_older_table_lists_the_cpus() {
    let mut config = vec![0; 44];
    config[..4].copy_from_slice(b"PCMP");
    config[34..36].copy_from_slice(&4_u16.to_le_bytes());
    config[36..40].copy_from_slice(&0xfee0_0000_u32.to_le_bytes());
    for (id, flags) in [(0, 3), (1, 1), (2, 0)] {
        let mut processor = vec![0; 20];
        processor[1..4].copy_from_slice(&[id, 0x14, flags]);
        config.extend(processor);
    }
    config.extend([1, 0, b'P', b'C', b'I', 0, 0, 0]);
    let len = u16::try_from(config.len()).unwrap();
    config[4..6].copy_from_slice(&len.to_le_bytes());
    fix_checksum(&mut config, 7);
    let mut bytes = vec![0; 16];
    bytes[..4].copy_from_slice(b"_MP_");
    bytes[4..8].copy_from_slice(&0xf_0010_u32.to_le_bytes());
    fix_checksum(&mut bytes, 10);
    bytes.extend(config);
    let mut memory = FakeMemory { base: 0xf_0000, bytes };
    let facts = AcpiFacts::collect(&boot_info(), &memory);
    assert_eq!(facts.topology.apic_ids(), [0, 1]);
    assert!(!facts.has_tables);
    for at in 0..memory.bytes.len() {
        memory.bytes[at] ^= 0x5a;
        let damaged = AcpiFacts::collect(&boot_info(), &memory).topology;
        assert!(damaged.apic_ids().is_empty(), "byte {at}");
        memory.bytes[at] ^= 0x5a;
    }
}

#[test]
fn wrong_checksums_are_not_believed() {
    let mut bad = madt(&[&local_apic(5, 1)]);
    bad[47] ^= 1;
    assert!(collect(&[bad]).topology.apic_ids().is_empty());
    let mut pointer = memory(&[madt(&[&local_apic(5, 1)])], true);
    pointer.bytes[9] ^= 1;
    assert!(!AcpiFacts::collect(&boot_info(), &pointer).has_tables);
}

proptest! {
    /// Any byte of good tables may change, with or without a checksum to match.
    #[test]
    fn damage_is_survived(at in 0_usize..700, byte: u8, is_fixed: bool, cut in 0_usize..700) {
        let tables = [madt(&[&local_apic(0, 1), &local_apic(1, 1)]), fadt(|_| {})];
        let mut memory = memory(&tables, true);
        memory.bytes.truncate(memory.bytes.len().saturating_sub(cut / 8));
        if let Some(slot) = memory.bytes.get_mut(at) {
            *slot = byte;
        }
        if is_fixed && memory.bytes.len() > 200 {
            let len = memory.bytes.len().min(116 + 60);
            fix_checksum(&mut memory.bytes[116..len], 9);
        }
        let _ = AcpiFacts::collect(&boot_info(), &memory);
    }
}
