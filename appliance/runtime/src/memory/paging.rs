//! Page tables (Intel SDM 3A §4.5): four levels, pages of 4 KiB, 2 MiB and 1 GiB.
//!
//! [`Mapper::map`] is the one operation: from then on the range has this access, whatever it had
//! before. It takes the largest pages that fit and splits a large page where a border goes through
//! it. Tables are reached through a [`TableStore`], so tests run on plain vectors.

use core::fmt;

use crate::boot::memory_map::{PAGE, PhysicalRange};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLED: u64 = 1 << 4;
/// In a table of level 1 or 2: the entry is a page, not a table.
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const ENTRIES: usize = 512;
/// Level 0 has 4 KiB pages, 1 has 2 MiB, 2 has 1 GiB; the root is level 3.
const ROOT_LEVEL: u32 = 3;
/// Identity mapping reaches the lower half: 47 bits.
const END: u64 = 1 << 47;

/// What may be done with mapped memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: not mapped.
    None,
    /// Reading.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    ReadExecute,
    /// Reading and writing device registers, uncached.
    Device,
}

impl Access {
    const fn flags(self) -> u64 {
        match self {
            Self::None => 0,
            Self::ReadOnly => PRESENT | NO_EXECUTE,
            Self::ReadWrite => PRESENT | WRITABLE | NO_EXECUTE,
            Self::ReadExecute => PRESENT,
            Self::Device => PRESENT | WRITABLE | NO_EXECUTE | WRITE_THROUGH | CACHE_DISABLED,
        }
    }
}

/// Why something could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The page tables are not set up yet.
    NotReady,
    /// No memory for a table.
    NoMemory,
    /// The range is not whole pages.
    NotPages,
    /// The range is beyond what can be identity mapped.
    OutOfRange,
    /// The range is RAM or the null page: no device may be there.
    NotADevice,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReady => "the page tables are not set up yet",
            Self::NoMemory => "no memory is left for a page table",
            Self::NotPages => "the range is not whole pages",
            Self::OutOfRange => "the address cannot be mapped",
            Self::NotADevice => "there is RAM at the device's address",
        })
    }
}

/// Where page tables are kept.
pub(super) trait TableStore {
    /// A new table, all entries zero: its physical address.
    fn new_table(&mut self) -> Option<u64>;
    /// An entry of a table.
    fn get(&self, table: u64, index: usize) -> u64;
    /// Changes an entry of a table.
    fn set(&mut self, table: u64, index: usize, entry: u64);
}

/// Builds and changes one set of page tables.
#[derive(Debug)]
pub(super) struct Mapper<S> {
    root: u64,
    store: S,
    /// The highest level that may have pages: 1, or 2 where the CPU has 1 GiB pages.
    largest: u32,
}

impl<S: TableStore> Mapper<S> {
    pub(super) fn new(root: u64, store: S, has_1_gib_pages: bool) -> Self {
        Self { root, store, largest: if has_1_gib_pages { 2 } else { 1 } }
    }

    pub(super) fn root(&self) -> u64 {
        self.root
    }

    /// Gives the range, whole pages, this access.
    pub(super) fn map(&mut self, range: PhysicalRange, access: Access) -> Result<(), MapError> {
        if !range.start.is_multiple_of(PAGE) || !range.end.is_multiple_of(PAGE) {
            return Err(MapError::NotPages);
        }
        if range.end > END {
            return Err(MapError::OutOfRange);
        }
        self.map_in(self.root, ROOT_LEVEL, range, access)
    }

    /// Maps what of the range lies under a table; `range` is inside it.
    fn map_in(
        &mut self,
        table: u64,
        level: u32,
        range: PhysicalRange,
        access: Access,
    ) -> Result<(), MapError> {
        let mut at = range.start;
        while at < range.end {
            let index = index_at(at, level);
            let entry_start = at & !(span(level) - 1);
            let part = PhysicalRange { start: at, end: range.end.min(entry_start + span(level)) };
            let entry = self.store.get(table, index);
            let covers = part.len() == span(level);
            if covers && level <= self.largest && !is_table(entry, level) {
                self.store.set(table, index, page(part.start, level, access));
            } else if entry & PRESENT == 0 && access == Access::None {
                // Nothing is mapped there, as wanted.
            } else {
                let below = self.table_below(table, index, level)?;
                self.map_in(below, level - 1, part, access)?;
            }
            at = part.end;
        }
        Ok(())
    }

    /// The table an entry leads to: there already, new, or a large page split into smaller ones.
    fn table_below(&mut self, table: u64, index: usize, level: u32) -> Result<u64, MapError> {
        let entry = self.store.get(table, index);
        if is_table(entry, level) {
            return Ok(entry & ADDRESS);
        }
        let below = self.store.new_table().ok_or(MapError::NoMemory)?;
        if entry & PRESENT != 0 {
            let flags = entry & !ADDRESS & !LARGE | if level > 1 { LARGE } else { 0 };
            let start = entry & ADDRESS;
            for (step, number) in (0..ENTRIES).zip(0_u64..) {
                self.store.set(below, step, (start + number * span(level - 1)) | flags);
            }
        }
        // Rights are given by the page alone: tables on the way allow everything.
        self.store.set(table, index, below | PRESENT | WRITABLE);
        Ok(below)
    }

    /// What an address may be used for and the size of its page.
    #[cfg(test)]
    pub(super) fn lookup(&self, address: u64) -> Option<(u64, Access, u64)> {
        let mut table = self.root;
        let mut level = ROOT_LEVEL;
        loop {
            let entry = self.store.get(table, index_at(address, level));
            if entry & PRESENT == 0 {
                return None;
            }
            if is_table(entry, level) {
                table = entry & ADDRESS;
                level -= 1;
                continue;
            }
            let flags = entry & !ADDRESS & !LARGE;
            let access = [Access::ReadOnly, Access::ReadWrite, Access::ReadExecute, Access::Device]
                .into_iter()
                .find(|access| access.flags() == flags)?;
            let base = entry & ADDRESS;
            return Some((base + (address & (span(level) - 1)), access, span(level)));
        }
    }
}

/// The bytes that one entry of a table covers.
const fn span(level: u32) -> u64 {
    PAGE << (9 * level)
}

/// Which entry of a table covers an address.
fn index_at(address: u64, level: u32) -> usize {
    usize::try_from(address / span(level) % ENTRIES as u64).unwrap_or(0)
}

fn is_table(entry: u64, level: u32) -> bool {
    entry & PRESENT != 0 && level > 0 && (level == ROOT_LEVEL || entry & LARGE == 0)
}

fn page(address: u64, level: u32, access: Access) -> u64 {
    match access {
        Access::None => 0,
        access => address | access.flags() | if level > 0 { LARGE } else { 0 },
    }
}
