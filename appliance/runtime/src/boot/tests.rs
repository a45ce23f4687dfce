//! Boot information from byte vectors: what loaders say, and what they should not.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::command_line::{CommandLine, MAX_COMMAND_LINE};
use super::memory_map::{MAX_RANGES, MemoryMapBuilder, PAGE, PhysicalRange};
use super::{BootInfo, BootInfoError, BootProtocol};
use crate::physical::fake::FakeMemory;

const BASE: u64 = 0x1000;

fn range(start: u64, end: u64) -> PhysicalRange {
    PhysicalRange { start, end }
}

/// A PVH start information at [`BASE`] with command line and memory map behind it.
fn pvh(command_line: &[u8], entries: &[(u64, u64, u32)]) -> FakeMemory {
    let map_at = BASE + 0x100;
    let line_at = BASE + 0x1000;
    let mut bytes = vec![0; 0x2000];
    bytes[0..4].copy_from_slice(&0x336e_c578_u32.to_le_bytes());
    bytes[4..8].copy_from_slice(&1_u32.to_le_bytes());
    bytes[24..32].copy_from_slice(&line_at.to_le_bytes());
    bytes[32..40].copy_from_slice(&0xf5aa0_u64.to_le_bytes());
    bytes[40..48].copy_from_slice(&map_at.to_le_bytes());
    bytes[48..52].copy_from_slice(&u32::try_from(entries.len()).unwrap().to_le_bytes());
    for (index, (start, len, kind)) in entries.iter().enumerate() {
        let at = 0x100 + index * 24;
        bytes[at..at + 8].copy_from_slice(&start.to_le_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&len.to_le_bytes());
        bytes[at + 16..at + 20].copy_from_slice(&kind.to_le_bytes());
    }
    bytes[0x1000..0x1000 + command_line.len()].copy_from_slice(command_line);
    FakeMemory { base: BASE, bytes }
}

fn collect(magic: u32, memory: &FakeMemory) -> Result<BootInfo, BootInfoError> {
    BootInfo::collect(magic, u32::try_from(BASE).unwrap(), memory)
}

#[test]
fn pvh_is_read() {
    let entries = [(0, 0x9fc00, 1), (0x9fc00, 0x400, 2), (0x10_0000, 0x3ee_0000, 1)];
    let info = collect(0, &pvh(b"a=1 log=debug", &entries)).unwrap();
    assert_eq!(info.protocol, BootProtocol::Pvh);
    assert_eq!(info.rsdp, Some(0xf5aa0));
    assert_eq!(info.command_line.as_str(), "a=1 log=debug");
    assert_eq!(info.memory.usable(), [range(0, 0x9f000), range(0x10_0000, 0x3fe_0000)]);
}

#[test]
fn pvh_that_makes_no_sense_is_refused() {
    let good = || pvh(b"", &[(0x10_0000, 0x10_0000, 1)]);
    let mut magic = good();
    magic.bytes[0] ^= 1;
    assert_eq!(collect(0, &magic).unwrap_err(), BootInfoError::UnknownProtocol);
    let mut old = good();
    old.bytes[4] = 0;
    assert_eq!(collect(0, &old).unwrap_err(), BootInfoError::NoMemory);
    let mut map_beyond = good();
    map_beyond.bytes[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(collect(0, &map_beyond).unwrap_err(), BootInfoError::Malformed);
    assert_eq!(collect(0, &pvh(b"", &[])).unwrap_err(), BootInfoError::NoMemory);
    let mut line_beyond = good();
    line_beyond.bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(collect(0, &line_beyond).unwrap().command_line.as_str(), "");
}

/// A multiboot2 information at [`BASE`] with these tags.
fn multiboot2(tags: &[(u32, Vec<u8>)]) -> FakeMemory {
    let mut bytes = vec![0; 8];
    for (kind, content) in tags {
        bytes.extend(kind.to_le_bytes());
        bytes.extend((u32::try_from(content.len()).unwrap() + 8).to_le_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.extend([0, 0, 0, 0, 8, 0, 0, 0]);
    let len = u32::try_from(bytes.len()).unwrap();
    bytes[0..4].copy_from_slice(&len.to_le_bytes());
    FakeMemory { base: BASE, bytes }
}

fn memory_tag(entries: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut content = vec![24, 0, 0, 0, 0, 0, 0, 0];
    for (start, len, kind) in entries {
        content.extend(start.to_le_bytes());
        content.extend(len.to_le_bytes());
        content.extend(kind.to_le_bytes());
        content.extend([0; 4]);
    }
    content
}

#[test]
fn multiboot2_is_read() {
    let rsdp: Vec<u8> = (0..36).collect();
    let memory = multiboot2(&[
        (1, b"on-panic=halt\0".to_vec()),
        (14, rsdp[..20].to_vec()),
        (15, rsdp.clone()),
        (6, memory_tag(&[(0x10_0000, 0x10_0000, 1), (0x18_0000, 0x1000, 2)])),
        (99, vec![1, 2, 3]),
    ]);
    let info = collect(0x36d7_6289, &memory).unwrap();
    assert_eq!(info.protocol, BootProtocol::Multiboot2);
    assert_eq!(info.command_line.get("on-panic"), Some("halt"));
    assert_eq!(info.rsdp_copy.map(|copy| copy.to_vec()), Some(rsdp));
    assert_eq!(info.memory.usable(), [range(0x10_0000, 0x18_0000), range(0x18_1000, 0x20_0000)]);
}

#[test]
fn multiboot2_that_makes_no_sense_is_refused() {
    let memory = || multiboot2(&[(6, memory_tag(&[(0x10_0000, 0x10_0000, 1)]))]);
    for (at, byte, expected) in [
        (3, 0xff, BootInfoError::Malformed),
        (0, 8, BootInfoError::Malformed),
        (12, 7, BootInfoError::Malformed),
        (13, 0xff, BootInfoError::Malformed),
        (16, 8, BootInfoError::Malformed),
    ] {
        let mut memory = memory();
        memory.bytes[at] = byte;
        assert_eq!(collect(0x36d7_6289, &memory).unwrap_err(), expected, "byte {at}");
    }
}

#[test]
fn reserved_wins_over_usable() {
    let cases: [(&[PhysicalRange], &[PhysicalRange], &[PhysicalRange]); 6] = [
        (&[range(0, 0x8000)], &[], &[range(0, 0x8000)]),
        (&[range(0x4000, 0x8000), range(0, 0x4000)], &[], &[range(0, 0x8000)]),
        (&[range(0, 0x8000)], &[range(0x3001, 0x3002)], &[range(0, 0x3000), range(0x4000, 0x8000)]),
        (&[range(0, 0x8000)], &[range(0, u64::MAX)], &[]),
        (&[range(0x800, 0x1800)], &[], &[]),
        (&[range(0, 0x8000)], &[range(0x7000, 0x9000), range(0, 0x1000)], &[range(0x1000, 0x7000)]),
    ];
    for (usable, reserved, expected) in cases {
        let mut builder = MemoryMapBuilder::default();
        usable.iter().for_each(|&range| builder.add_usable(range));
        reserved.iter().for_each(|&range| builder.add_reserved(range));
        assert_eq!(builder.build().usable(), expected);
    }
}

#[test]
fn too_many_reserved_ranges_leave_nothing_rather_than_too_much() {
    let mut builder = MemoryMapBuilder::default();
    builder.add_usable(range(0, 1 << 30));
    for index in 0..=MAX_RANGES as u64 {
        builder.add_reserved(PhysicalRange::new(index * 0x10000, 1));
    }
    assert_eq!(builder.build().usable_bytes(), 0);
}

proptest! {
    /// Against a byte-wise view of the same entries, page by page.
    #[test]
    fn usable_pages_are_those_all_of_whose_bytes_are_usable(
        usable in prop::collection::vec((0_u64..0x20_000, 1_u64..0x8_000), 0..8),
        reserved in prop::collection::vec((0_u64..0x20_000, 1_u64..0x8_000), 0..8),
    ) {
        let mut builder = MemoryMapBuilder::default();
        for &(start, len) in &usable {
            builder.add_usable(PhysicalRange::new(start, len));
        }
        for &(start, len) in &reserved {
            builder.add_reserved(PhysicalRange::new(start, len));
        }
        let map = builder.build();
        let is_in = |list: &[(u64, u64)], byte| {
            list.iter().any(|&(start, len)| (start..start + len).contains(&byte))
        };
        for page in 0..0x28_u64 {
            let page = PhysicalRange::new(page * PAGE, PAGE);
            let expected = (page.start..page.end)
                .all(|byte| is_in(&usable, byte) && !is_in(&reserved, byte));
            let actual = map.usable().iter()
                .any(|range| range.start <= page.start && page.end <= range.end);
            prop_assert_eq!(actual, expected, "page {}", page);
        }
        prop_assert!(map.usable().windows(2).all(|pair| pair[0].end <= pair[1].start));
    }

    /// No bytes make the parsers panic or loop.
    #[test]
    fn garbage_is_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..600), is_pvh: bool) {
        if is_pvh && bytes.len() >= 4 {
            bytes[0..4].copy_from_slice(&0x336e_c578_u32.to_le_bytes());
        }
        let memory = FakeMemory { base: BASE, bytes };
        let _ = collect(if is_pvh { 0 } else { 0x36d7_6289 }, &memory);
    }
}

#[test]
fn command_lines_are_words() {
    let line = CommandLine::from_bytes(b"quiet log=info  ip=10.0.0.1/24 log=debug\0hidden=1");
    assert_eq!(line.words().count(), 4);
    assert_eq!(line.get("log"), Some("debug"));
    assert_eq!(line.get("ip"), Some("10.0.0.1/24"));
    assert_eq!(line.get("i"), None);
    assert_eq!(line.get("quiet"), None);
    assert_eq!(line.get("hidden"), None);
    assert_eq!(CommandLine::from_bytes(b"a=\xff\x07z").get("a"), Some("??z"));
    assert_eq!(CommandLine::from_bytes(&[b'x'; 9000]).as_str().len(), MAX_COMMAND_LINE);
}
