//! The page tables and the plan on vectors, checked page by page.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::paging::{Access, MapError, Mapper, TableStore};
use super::plan::{self, ImageLayout};
use crate::boot::memory_map::{MemoryMap, MemoryMapBuilder, PAGE, PhysicalRange};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Tables in a vector; a table's address is its index, in pages.
#[derive(Debug)]
struct VectorTables {
    tables: Vec<[u64; 512]>,
    limit: usize,
}

impl VectorTables {
    fn new(limit: usize) -> Self {
        Self { tables: vec![[0; 512]], limit }
    }
}

fn table_index(table: u64) -> usize {
    usize::try_from(table / PAGE).unwrap()
}

impl TableStore for VectorTables {
    fn new_table(&mut self) -> Option<u64> {
        if self.tables.len() >= self.limit {
            return None;
        }
        self.tables.push([0; 512]);
        Some((self.tables.len() as u64 - 1) * PAGE)
    }

    fn get(&self, table: u64, index: usize) -> u64 {
        self.tables[table_index(table)][index]
    }

    fn set(&mut self, table: u64, index: usize, entry: u64) {
        self.tables[table_index(table)][index] = entry;
    }
}

fn mapper(has_1_gib_pages: bool) -> Mapper<VectorTables> {
    Mapper::new(0, VectorTables::new(64), has_1_gib_pages)
}

fn range(start: u64, end: u64) -> PhysicalRange {
    PhysicalRange { start, end }
}

#[test]
fn takes_the_largest_pages_that_fit() {
    let mut with = mapper(true);
    with.map(range(GIB, 3 * GIB + 4 * MIB), Access::ReadWrite).unwrap();
    assert_eq!(with.lookup(GIB + 5), Some((GIB + 5, Access::ReadWrite, GIB)));
    assert_eq!(with.lookup(3 * GIB + 9), Some((3 * GIB + 9, Access::ReadWrite, 2 * MIB)));
    assert_eq!(with.lookup(3 * GIB + 4 * MIB), None);

    let mut without = mapper(false);
    without.map(range(GIB, 2 * GIB + PAGE), Access::ReadWrite).unwrap();
    assert_eq!(without.lookup(GIB), Some((GIB, Access::ReadWrite, 2 * MIB)));
    assert_eq!(without.lookup(2 * GIB), Some((2 * GIB, Access::ReadWrite, PAGE)));
}

#[test]
fn refuses_what_it_cannot_map() {
    let mut mapper = mapper(true);
    assert_eq!(mapper.map(range(1, PAGE), Access::ReadWrite), Err(MapError::NotPages));
    let beyond = range(1 << 47, (1 << 47) + PAGE);
    assert_eq!(mapper.map(beyond, Access::Device), Err(MapError::OutOfRange));
    let mut poor = Mapper::new(0, VectorTables::new(2), false);
    assert_eq!(poor.map(range(0, PAGE), Access::ReadWrite), Err(MapError::NoMemory));
}

proptest! {
    /// Whatever is mapped over whatever: every page has the access it was given last, at its own
    /// address, and no page is ever writable and executable.
    #[test]
    fn the_last_mapping_wins(
        has_1_gib_pages: bool,
        steps in prop::collection::vec((0_u64..6000, 1_u64..3000, 0_usize..5), 1..12),
        near_gib: bool,
    ) {
        let accesses = [
            Access::None, Access::ReadOnly, Access::ReadWrite, Access::ReadExecute, Access::Device,
        ];
        let base = if near_gib { GIB - 2000 * PAGE } else { 0 };
        let mut mapper = mapper(has_1_gib_pages);
        mapper.map(range(0, 4 * GIB), Access::ReadWrite).unwrap();
        let mut twin = vec![Access::ReadWrite; 10_000];
        for (first, count, access) in steps {
            let access = accesses[access];
            let start = base + first * PAGE;
            mapper.map(PhysicalRange::new(start, count * PAGE), access).unwrap();
            for page in first..first + count {
                twin[usize::try_from(page).unwrap()] = access;
            }
        }
        for (expected, number) in twin.iter().zip(0_u64..) {
            let address = base + number * PAGE + 0x123;
            match mapper.lookup(address) {
                None => prop_assert_eq!(*expected, Access::None),
                Some((physical, access, _)) => {
                    prop_assert_eq!(physical, address);
                    prop_assert_eq!(access, *expected);
                }
            }
        }
    }
}

fn small_machine() -> (MemoryMap, ImageLayout) {
    let mut builder = MemoryMapBuilder::default();
    builder.add_usable(range(0, 0x9fc00));
    builder.add_usable(range(MIB, 64 * MIB));
    let image = ImageLayout {
        start: 2 * MIB,
        text_start: 2 * MIB + 3 * PAGE,
        text_end: 2 * MIB + 9 * PAGE,
        data_start: 2 * MIB + 9 * PAGE,
        end: 3 * MIB,
    };
    (builder.build(), image)
}

#[test]
fn the_heap_is_all_ram_but_image_and_first_megabyte() {
    let (ram, image) = small_machine();
    let heap = plan::heap(&ram, &image);
    assert_eq!(heap.usable(), [range(MIB, 2 * MIB), range(3 * MIB, 64 * MIB)]);
}

#[test]
fn the_plan_keeps_writing_and_executing_apart() {
    let (ram, image) = small_machine();
    let page = plan::trampoline(&ram).unwrap();
    assert_eq!(page, 0x8000);
    let mut mapper = mapper(true);
    for (range, access) in plan::mappings(&ram, &image, Some(page)) {
        mapper.map(range, access).unwrap();
    }
    let access = |address| mapper.lookup(address).map(|(_, access, _)| access);
    let cases = [
        (0, None),
        (PAGE, Some(Access::ReadWrite)),
        (page, Some(Access::ReadExecute)),
        (0x9f000, None),
        (MIB, Some(Access::ReadWrite)),
        (image.start, Some(Access::ReadOnly)),
        (image.text_start, Some(Access::ReadExecute)),
        (image.text_end - 1, Some(Access::ReadExecute)),
        (image.data_start, Some(Access::ReadWrite)),
        (image.end, Some(Access::ReadWrite)),
        (64 * MIB - 1, Some(Access::ReadWrite)),
        (64 * MIB, None),
    ];
    for (address, expected) in cases {
        assert_eq!(access(address), expected, "{address:#x}");
    }
}

#[test]
fn the_trampoline_is_below_640_kib_or_absent() {
    let map = |start, end| {
        let mut builder = MemoryMapBuilder::default();
        builder.add_usable(range(start, end));
        builder.build()
    };
    assert_eq!(plan::trampoline(&map(0, 0x5000)), Some(0x1000));
    assert_eq!(plan::trampoline(&map(0x20000, 0x90000)), Some(0x20000));
    assert_eq!(plan::trampoline(&map(MIB, 64 * MIB)), None);
    assert_eq!(plan::trampoline(&map(0, 0x1000)), None);
}

#[test]
fn ranges_are_split_where_the_boot_tables_end() {
    let border = 4 * GIB;
    let [low, high] = plan::split_at_4_gib(range(GIB, 5 * GIB));
    assert_eq!((low, high), (range(GIB, border), range(border, 5 * GIB)));
    let [low, high] = plan::split_at_4_gib(range(GIB, 2 * GIB));
    assert_eq!((low, high.is_empty()), (range(GIB, 2 * GIB), true));
    let [low, high] = plan::split_at_4_gib(range(5 * GIB, 6 * GIB));
    assert_eq!((low.is_empty(), high), (true, range(5 * GIB, 6 * GIB)));
}
