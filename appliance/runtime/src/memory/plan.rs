//! What is mapped how, and what becomes heap: pure decisions from the memory map and the image.

use alloc::vec::Vec;

use super::paging::Access;
use super::{NULL_BYTES, TRAMPOLINE_BYTES};
use crate::boot::memory_map::{MemoryMap, PAGE, PhysicalRange};

/// The first megabyte belongs to firmware habits: it is mapped, but never heap.
const LOW_MEMORY: PhysicalRange = PhysicalRange { start: 0, end: 1 << 20 };
/// Where the code that starts other CPUs stands if that page is free; any other will do.
const PREFERRED_TRAMPOLINE: u64 = 0x8000;

/// Where the image stands, by the linker script's borders.
#[derive(Clone, Copy, Debug)]
pub struct ImageLayout {
    /// The first byte: read-only data begins.
    pub start: u64,
    /// Code begins.
    pub text_start: u64,
    /// Code ends.
    pub text_end: u64,
    /// Writable data begins.
    pub data_start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ImageLayout {
    /// All of it.
    #[must_use]
    pub const fn whole(&self) -> PhysicalRange {
        PhysicalRange { start: self.start, end: self.end }
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> core::ops::Range<u64> {
        self.text_start..self.text_end
    }

    /// Its parts with what may be done with each.
    fn parts(&self) -> [(PhysicalRange, Access); 3] {
        let range = |start, end| PhysicalRange { start, end }.grown_to_pages();
        [
            (range(self.start, self.text_start), Access::ReadOnly),
            (range(self.text_start, self.text_end), Access::ReadExecute),
            (range(self.data_start, self.end), Access::ReadWrite),
        ]
    }
}

/// The RAM that becomes heap: all but the first megabyte and the image.
pub(super) fn heap(ram: &MemoryMap, image: &ImageLayout) -> MemoryMap {
    ram.without(LOW_MEMORY).without(image.whole().grown_to_pages())
}

/// The part of a range below and the part above what the boot page tables map.
pub(super) fn split_at_4_gib(range: PhysicalRange) -> [PhysicalRange; 2] {
    const BORDER: u64 = 1 << 32;
    [
        PhysicalRange { start: range.start, end: range.end.min(BORDER) },
        PhysicalRange { start: range.start.max(BORDER), end: range.end },
    ]
}

/// Every mapping, in the order in which they must be made: later ones win.
pub(super) fn mappings(
    ram: &MemoryMap,
    image: &ImageLayout,
    trampoline: Option<u64>,
) -> Vec<(PhysicalRange, Access)> {
    let mut mappings = Vec::new();
    for &range in ram.usable() {
        mappings.push((range, Access::ReadWrite));
    }
    mappings.extend(image.parts());
    mappings.push((PhysicalRange { start: 0, end: NULL_BYTES }, Access::None));
    if let Some(page) = trampoline {
        mappings.push((PhysicalRange::new(page, TRAMPOLINE_BYTES as u64), Access::ReadExecute));
    }
    mappings
}

/// A free page that a CPU in 16-bit mode can start at: below 640 KiB.
pub(super) fn trampoline(ram: &MemoryMap) -> Option<u64> {
    let is_free = |page: &u64| {
        let page = PhysicalRange::new(*page, TRAMPOLINE_BYTES as u64);
        ram.usable().iter().any(|range| range.start <= page.start && page.end <= range.end)
    };
    core::iter::once(PREFERRED_TRAMPOLINE)
        .chain((1..0xa0).map(|number| number * PAGE))
        .find(is_free)
}
