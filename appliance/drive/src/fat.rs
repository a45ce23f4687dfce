//! FAT12, FAT16 and FAT32 (Microsoft's "FAT: General Overview of On-Disk Format", 1.03), with the long
//! names of Windows 95.
//!
//! # Bounds
//! A chain of clusters is followed for as many steps as there are bytes to be read, so a chain that bites
//! its tail ends as well; for a directory that number is [`MAX_DIRECTORY_BYTES`].

use crate::source::{Source, u16_at, u32_at};
use crate::{DriveError, MAX_DIRECTORY_BYTES, SECTOR, Sectors, from_bytes, from_ucs2};
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of a directory entry.
const ENTRY: usize = 32;
/// Attributes of entries.
const VOLUME_ID: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;
/// Entries that a long name takes at most, of 13 units each.
const MAX_PARTS: usize = 20;
const PART_UNITS: usize = 13;
/// Clusters are counted from here.
const FIRST_CLUSTER: u32 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

/// What there is to know of a volume; places in bytes.
#[derive(Debug)]
pub(crate) struct Fat {
    pub(crate) label: String,
    width: Width,
    table: u64,
    root: Root,
    data: u64,
    cluster_bytes: u32,
    n_clusters: u32,
}

#[derive(Clone, Copy, Debug)]
enum Root {
    /// FAT12 and FAT16: a place and its length.
    Fixed(u64, u32),
    /// FAT32: a chain.
    Chain(u32),
}

/// What an entry leads to.
#[derive(Clone, Copy, Debug)]
struct Found {
    cluster: u32,
    bytes: u32,
    is_directory: bool,
}

/// The volume, if the disk has one of this kind.
pub(crate) fn open<S: Sectors>(source: &mut Source<S>) -> Result<Option<Fat>, DriveError> {
    let mut boot = [0; SECTOR];
    source.read(0, &mut boot)?;
    let Some(mut fat) = parse(&boot) else { return Ok(None) };
    let at = if fat.width == Width::Fat32 { 66 } else { 38 };
    // The label in the root directory is the one that tools change.
    let listed = fat.root_entries(source)?;
    let listed = listed.chunks_exact(ENTRY).take_while(|entry| entry.first() != Some(&0));
    let named = listed.filter(|entry| {
        entry.first() != Some(&0xe5)
            && entry.get(11).is_some_and(|a| a & VOLUME_ID != 0 && *a != LONG_NAME)
    });
    let own = || (boot.get(at) == Some(&0x29)).then(|| boot.get(at + 5..at + 16)).flatten();
    let label = named.filter_map(|entry| entry.get(..11)).next().or_else(own);
    fat.label = from_bytes(label.unwrap_or_default());
    Ok(Some(fat))
}

/// The boot sector (§3.1 to §3.5).
fn parse(boot: &[u8; SECTOR]) -> Option<Fat> {
    let sector: u32 = u16_at(boot, 11)?.into();
    let per_cluster: u32 = (*boot.get(13)?).into();
    let reserved: u32 = u16_at(boot, 14)?.into();
    let n_tables: u32 = (*boot.get(16)?).into();
    let root_entries: u32 = u16_at(boot, 17)?.into();
    let is_sane = u16_at(boot, 510)? == 0xaa55
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && per_cluster.is_power_of_two()
        && reserved > 0
        && (1..=2).contains(&n_tables);
    if !is_sane {
        return None;
    }
    let either = |short: u16, long: u32| if short != 0 { u32::from(short) } else { long };
    let total = either(u16_at(boot, 19)?, u32_at(boot, 32)?);
    let table_sectors = either(u16_at(boot, 22)?, u32_at(boot, 36)?);
    let root_bytes = root_entries * u32::try_from(ENTRY).ok()?;
    let root_at = n_tables.checked_mul(table_sectors)?.checked_add(reserved)?;
    let data_at = root_at.checked_add(root_bytes.div_ceil(sector))?;
    let n_clusters = total.checked_sub(data_at)? / per_cluster;
    let width = match n_clusters {
        0 => return None,
        1..4085 => Width::Fat12,
        4085..65525 => Width::Fat16,
        _ => Width::Fat32,
    };
    let place = |at: u32| u64::from(at) * u64::from(sector);
    let root = match width {
        Width::Fat32 => Root::Chain(u32_at(boot, 44)?),
        _ => Root::Fixed(place(root_at), root_bytes),
    };
    Some(Fat {
        label: String::new(),
        width,
        table: place(reserved),
        root,
        data: place(data_at),
        cluster_bytes: per_cluster * sector,
        n_clusters,
    })
}

impl Fat {
    pub(crate) fn read_file<S: Sectors>(
        &self,
        source: &mut Source<S>,
        path: &str,
        max_bytes: u32,
    ) -> Result<Vec<u8>, DriveError> {
        let mut entries = self.root_entries(source)?;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let found = find(&entries, name).ok_or(DriveError::NotFound)?;
            if found.is_directory != names.peek().is_some() {
                return Err(DriveError::NotFound);
            }
            if found.is_directory {
                entries = self.read_chain(source, found.cluster, None)?;
            } else if found.bytes > max_bytes {
                return Err(DriveError::TooLarge { bytes: found.bytes });
            } else {
                return self.read_chain(source, found.cluster, Some(found.bytes));
            }
        }
        Err(DriveError::NotFound)
    }

    fn root_entries<S: Sectors>(&self, source: &mut Source<S>) -> Result<Vec<u8>, DriveError> {
        match self.root {
            Root::Fixed(place, bytes) => source.take(place, bytes.min(MAX_DIRECTORY_BYTES)),
            Root::Chain(cluster) => self.read_chain(source, cluster, None),
        }
    }

    /// The content of a chain: of a file with so many bytes, or of a directory, which its last cluster
    /// ends.
    fn read_chain<S: Sectors>(
        &self,
        source: &mut Source<S>,
        first: u32,
        bytes: Option<u32>,
    ) -> Result<Vec<u8>, DriveError> {
        let mut left = bytes.unwrap_or(MAX_DIRECTORY_BYTES);
        let mut content = Vec::new();
        let mut cluster = first;
        while left > 0 {
            let number = cluster.checked_sub(FIRST_CLUSTER).filter(|n| *n < self.n_clusters);
            let Some(number) = number else {
                // A file must be as long as its entry says.
                let is_whole = bytes.is_none() && !content.is_empty();
                return if is_whole { Ok(content) } else { Err(BROKEN_CHAIN) };
            };
            let place = self.data + u64::from(number) * u64::from(self.cluster_bytes);
            let n = left.min(self.cluster_bytes);
            content.extend_from_slice(&source.take(place, n)?);
            left -= n;
            if left > 0 {
                cluster = self.next(source, cluster)?;
            }
        }
        Ok(content)
    }

    /// What the table has for a cluster: the next one, or something that is none.
    fn next<S: Sectors>(&self, source: &mut Source<S>, cluster: u32) -> Result<u32, DriveError> {
        let at = u64::from(cluster);
        let mut bytes = [0; 4];
        let place = match self.width {
            Width::Fat12 => at + at / 2,
            Width::Fat16 => at * 2,
            Width::Fat32 => at * 4,
        };
        let len = if self.width == Width::Fat32 { 4 } else { 2 };
        source.read(self.table + place, bytes.get_mut(..len).unwrap_or_default())?;
        let value = u32::from_le_bytes(bytes);
        Ok(match self.width {
            Width::Fat12 if cluster % 2 == 1 => value >> 4,
            Width::Fat12 => value & 0xfff,
            Width::Fat16 => value,
            Width::Fat32 => value & 0x0fff_ffff,
        })
    }
}

const BROKEN_CHAIN: DriveError = DriveError::Malformed("a chain of clusters ends too early");

/// The entry of that name, long or short.
fn find(entries: &[u8], wanted: &str) -> Option<Found> {
    let mut long = LongName::default();
    for entry in entries.chunks_exact(ENTRY) {
        let attributes = *entry.get(11)?;
        match entry.first() {
            Some(0) => break,
            Some(0xe5) => long = LongName::default(),
            Some(&order) if attributes & 0x3f == LONG_NAME => long.add(order, entry),
            _ if attributes & VOLUME_ID != 0 => long = LongName::default(),
            _ => {
                let short = entry.get(..11)?;
                let name = core::mem::take(&mut long).finish(short);
                let is_it = name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
                    || short_name(short).eq_ignore_ascii_case(wanted);
                if is_it {
                    let high = u32::from(u16_at(entry, 20)?) << 16;
                    return Some(Found {
                        cluster: high | u32::from(u16_at(entry, 26)?),
                        bytes: u32_at(entry, 28)?,
                        is_directory: attributes & DIRECTORY != 0,
                    });
                }
            }
        }
    }
    None
}

/// `NAME.EXT` of the eleven bytes of an entry.
fn short_name(bytes: &[u8]) -> String {
    let (name, extension) = bytes.split_at_checked(8).unwrap_or((bytes, &[]));
    let (mut name, extension) = (from_bytes(name), from_bytes(extension));
    if !extension.is_empty() {
        name.push('.');
        name.push_str(&extension);
    }
    name
}

/// A long name on its way: its entries stand before that of the short name, the last part first (§7).
#[derive(Default)]
struct LongName {
    units: Vec<u16>,
    checksum: u8,
    /// The number of the part that must come next.
    next: usize,
}

impl LongName {
    fn add(&mut self, order: u8, entry: &[u8]) {
        const LAST: u8 = 0x40;
        let part = usize::from(order & !LAST);
        let checksum = entry.get(13).copied().unwrap_or_default();
        if order & LAST != 0 && (1..=MAX_PARTS).contains(&part) {
            *self = Self { units: alloc::vec![0; part * PART_UNITS], checksum, next: part };
        }
        if part == 0 || part != self.next || checksum != self.checksum {
            *self = Self::default();
            return;
        }
        self.next -= 1;
        let places = [1..11, 14..26, 28..32].into_iter().flat_map(|range| range.step_by(2));
        let units = self.units.get_mut((part - 1) * PART_UNITS..part * PART_UNITS);
        for (unit, place) in units.into_iter().flatten().zip(places) {
            *unit = u16_at(entry, place).unwrap_or_default();
        }
    }

    /// The name, if it is whole and belongs to this short one.
    fn finish(self, short: &[u8]) -> Option<String> {
        let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let is_whole = self.next == 0 && !self.units.is_empty() && sum == self.checksum;
        is_whole.then(|| from_ucs2(self.units.into_iter().take_while(|unit| *unit != 0)))
    }
}
