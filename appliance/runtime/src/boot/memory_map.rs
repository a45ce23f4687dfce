//! The machine's memory: which ranges are RAM that we may use.
//!
//! Loaders give ranges in any order, overlapping, with odd ends. The normal form here is what the
//! rest of the runtime relies on: usable ranges are whole pages, sorted, disjoint, and every byte
//! that any entry calls reserved is in none of them.

use core::fmt;

/// The size of a page.
pub const PAGE: u64 = 4096;

/// How many ranges are kept; a loader's further entries are ignored (never treated as usable).
pub const MAX_RANGES: usize = 64;

/// Bytes `start..end` of physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysicalRange {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl PhysicalRange {
    /// The range from `start` of `len` bytes, cut at the end of the address space.
    #[must_use]
    pub const fn new(start: u64, len: u64) -> Self {
        Self { start, end: start.saturating_add(len) }
    }

    /// Its number of bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it holds no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// Whether the two ranges share a byte.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The whole pages inside.
    const fn shrunk_to_pages(&self) -> Self {
        let start = match self.start.checked_add(PAGE - 1) {
            Some(start) => start & !(PAGE - 1),
            None => !(PAGE - 1),
        };
        Self { start, end: self.end & !(PAGE - 1) }
    }

    /// The whole pages that it touches.
    pub(crate) const fn grown_to_pages(&self) -> Self {
        let end = match self.end.checked_add(PAGE - 1) {
            Some(end) => end & !(PAGE - 1),
            None => !(PAGE - 1),
        };
        Self { start: self.start & !(PAGE - 1), end }
    }
}

impl fmt::Display for PhysicalRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// The usable memory of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryMap {
    usable: Ranges,
}

/// A bounded list of ranges.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ranges {
    items: [PhysicalRange; MAX_RANGES],
    len: usize,
}

impl Default for Ranges {
    fn default() -> Self {
        Self { items: [PhysicalRange { start: 0, end: 0 }; MAX_RANGES], len: 0 }
    }
}

impl fmt::Debug for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl Ranges {
    fn as_slice(&self) -> &[PhysicalRange] {
        self.items.get(..self.len).unwrap_or(&[])
    }

    /// Appends a range; false when there is no room.
    fn push(&mut self, range: PhysicalRange) -> bool {
        match self.items.get_mut(self.len) {
            Some(slot) => {
                *slot = range;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// Sorts and joins what touches or overlaps.
    fn join(&mut self) {
        let Some(items) = self.items.get_mut(..self.len) else { return };
        items.sort_unstable();
        let mut joined = Self::default();
        for &range in items.iter() {
            match joined.len.checked_sub(1).and_then(|last| joined.items.get_mut(last)) {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => {
                    joined.push(range);
                }
            }
        }
        *self = joined;
    }
}

/// Collects a loader's entries and normalises them.
#[derive(Clone, Debug, Default)]
pub struct MemoryMapBuilder {
    usable: Ranges,
    reserved: Ranges,
    is_overfull: bool,
}

impl MemoryMapBuilder {
    /// Adds a range of RAM.
    pub fn add_usable(&mut self, range: PhysicalRange) {
        if !range.is_empty() {
            // Usable memory that does not fit the list is only lost.
            self.usable.push(range);
        }
    }

    /// Adds a range that must not be used, whatever other entries say.
    pub fn add_reserved(&mut self, range: PhysicalRange) {
        if !range.is_empty() && !self.reserved.push(range) {
            self.is_overfull = true;
        }
    }

    /// The normal form. Empty when there were too many reserved ranges to honour them all.
    #[must_use]
    pub fn build(mut self) -> MemoryMap {
        if self.is_overfull {
            return MemoryMap::default();
        }
        self.usable.join();
        self.reserved.join();
        let mut usable = Ranges::default();
        for &range in self.usable.as_slice() {
            let mut rest = range;
            for hole in self.reserved.as_slice() {
                if !hole.overlaps(&rest) {
                    continue;
                }
                let below = PhysicalRange { start: rest.start, end: hole.start.max(rest.start) }
                    .shrunk_to_pages();
                if !below.is_empty() {
                    usable.push(below);
                }
                rest.start = hole.end.min(rest.end).max(rest.start);
            }
            let rest = rest.shrunk_to_pages();
            if !rest.is_empty() {
                usable.push(rest);
            }
        }
        MemoryMap { usable }
    }
}

impl MemoryMap {
    /// The usable ranges: whole pages, ascending, disjoint.
    #[must_use]
    pub fn usable(&self) -> &[PhysicalRange] {
        self.usable.as_slice()
    }

    /// How much memory is usable.
    #[must_use]
    pub fn usable_bytes(&self) -> u64 {
        self.usable().iter().map(PhysicalRange::len).sum()
    }

    /// One past the last usable byte below 4 GiB: where the hole for devices may begin.
    #[must_use]
    pub fn end_below_4_gib(&self) -> u64 {
        let low = self.usable().iter().filter(|range| range.start < 1 << 32);
        low.map(|range| range.end.min(1 << 32)).max().unwrap_or(0)
    }

    /// Whether any usable memory lies in the range.
    #[must_use]
    pub fn overlaps(&self, range: &PhysicalRange) -> bool {
        self.usable().iter().any(|usable| usable.overlaps(range))
    }

    /// The same map without the given range.
    #[must_use]
    pub fn without(&self, range: PhysicalRange) -> Self {
        let mut builder = MemoryMapBuilder { usable: self.usable, ..Default::default() };
        builder.add_reserved(range);
        builder.build()
    }
}
