//! The log on a disk that may lose power at any moment.
//!
//! # What
//! A [`Store`] keeps the text of a log (`crate::log`) on a [`BlockDevice`]: it appends records, flushes,
//! and now and then begins anew with a snapshot. After a power cut it opens with every record whose
//! flush was reported, and nothing half.
//!
//! # Layout
//! ```text
//! sector 0, 1        one head each: which half holds the log, its generation, the length of a half
//! from sector 2      two halves of equal length, each a run of sectors of one log
//! behind them        the rest of the disk, for others ([`Store::rest`])
//! ```
//! The head with the higher generation and a right checksum counts. A new generation is written into
//! the half that does not hold the log, flushed, and then the head that does not count is overwritten:
//! whatever is cut off, one head and its half are whole.
//!
//! The halves take a disk to themselves if it is small, else half of it. The head has the last word, so
//! a disk on which they have all of it opens, and moves to the shorter halves with the next
//! generation whose text fits there and does not lie on the old one.
//!
//! # Sectors of the log
//! Each begins with a header: generation, place, length of the text in it, checksum of the sector
//! before, and of itself. Text that was reported durable is never written again, for each append begins
//! with a fresh sector, so a torn write hurts nothing old. The chain of checksums tells a sector that
//! belongs here from one that a lost or reordered write of former times left behind. The log ends
//! before the first sector that does not fit; a record that is cut off there was never reported.
//!
//! # Cost
//! An append writes its text in sectors of 512 bytes and flushes once. A half should hold several times
//! the database; when it is full or mostly waste, a snapshot is due ([`Store::is_crowded`]).

mod crc;
mod device;
mod fake;
mod rest;
mod sector;

pub use crc::Crc32;
pub use device::{BlockDevice, DeviceError, SECTOR};
pub use fake::{FakeDevice, PowerCut};
pub use rest::Rest;

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use sector::{Head, LogSector, TEXT};

/// Sectors of the two heads.
const HEADS: u64 = 2;
/// Fewest sectors of a half: less is no disk for a database.
const MIN_HALF: u64 = 64;
/// Disks with so many sectors are shared with others: 16 MiB.
const SHARED: u64 = 16 << 20 >> SECTOR.ilog2();
/// Sectors of a request: what a small database needs at once.
const RUN: usize = 64;
/// Most text of a log that is read, in bytes.
const MAX_TEXT: usize = 64 * 1024 * 1024;

/// Why a store does not open or take more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreError {
    /// The device refused.
    Device(DeviceError),
    /// The disk is too small for any database.
    TooSmall,
    /// The text does not fit in half of the disk.
    Full,
    /// An earlier write failed, so nobody knows what is on the disk: open it again.
    Broken,
}

impl From<DeviceError> for StoreError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::TooSmall => f.write_str("the disk is too small"),
            Self::Full => f.write_str("the database does not fit on the disk"),
            Self::Broken => f.write_str("an earlier write failed"),
        }
    }
}

/// What the disk held when it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// No log: a new disk, or one of something else.
    Nothing,
    /// The text of a log, which may end with a record that is not whole.
    Log(Vec<u8>),
}

/// A log on a device.
#[derive(Debug)]
pub struct Store<D> {
    device: D,
    /// Sectors of each half as they should be.
    wanted_half: u64,
    head: Head,
    /// Where the next append begins, counted from the start of the half.
    next: u64,
    /// Checksum of the sector before it.
    chain: u32,
    /// Sectors of the snapshot that this generation began with.
    snapshot: u64,
    is_broken: bool,
}

impl<D: BlockDevice> Store<D> {
    /// Looks at what the device holds. A store that found nothing takes no records before
    /// [`Store::begin`].
    pub fn open(mut device: D) -> Result<(Self, Found), StoreError> {
        let n_sectors = device.n_sectors();
        let most = n_sectors.saturating_sub(HEADS) / 2;
        if most < MIN_HALF {
            return Err(StoreError::TooSmall);
        }
        let wanted_half = if n_sectors >= SHARED { most / 2 } else { most };
        let mut newest: Option<Head> = None;
        for at in 0..HEADS {
            let mut sector = [0; SECTOR];
            device.read(at, &mut sector)?;
            let head =
                Head::parse(&sector).filter(|head| (MIN_HALF..=most).contains(&head.half_sectors));
            if head
                .is_some_and(|head| newest.is_none_or(|other| head.generation > other.generation))
            {
                newest = head;
            }
        }
        let head = newest.unwrap_or(Head { generation: 0, half_sectors: wanted_half });
        let chain = head.first_chain();
        let mut store =
            Self { device, wanted_half, head, next: 0, chain, snapshot: 0, is_broken: false };
        if newest.is_none() {
            return Ok((store, Found::Nothing));
        }
        let text = store.read_log()?;
        Ok((store, Found::Log(text)))
    }

    fn read_log(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut text = Vec::new();
        let mut run = vec![[0; SECTOR]; RUN];
        'log: while text.len() < MAX_TEXT {
            let left = self.head.half_sectors.saturating_sub(self.next);
            let n = usize::try_from(left).unwrap_or(RUN).min(RUN);
            let Some(sectors) = run.get_mut(..n).filter(|sectors| !sectors.is_empty()) else {
                break;
            };
            self.device.read_run(self.place(self.next), sectors)?;
            for sector in sectors {
                let expected = (self.head.generation, self.next, self.chain);
                let Some(found) = LogSector::parse(sector, expected) else { break 'log };
                text.extend_from_slice(found.text);
                self.chain = found.sum;
                self.next += 1;
            }
        }
        self.snapshot = self.next;
        Ok(text)
    }

    /// Begins a new generation that holds just these records, and reports when it is on the disk for
    /// good. Until then the old one counts.
    pub fn begin(&mut self, records: &[Vec<u8>]) -> Result<(), StoreError> {
        let text = records.concat();
        let head = self.next_head(sectors_for(text.len())).ok_or(StoreError::Full)?;
        let (old_head, old_next, old_chain) = (self.head, self.next, self.chain);
        (self.head, self.next, self.chain) = (head, 0, head.first_chain());
        let written = self.write_text(&text).and_then(|()| {
            self.device.flush()?;
            self.device.write(head.generation % HEADS, &head.emit())?;
            self.device.flush()?;
            if head.half_sectors != old_head.half_sectors {
                // What the other head calls its half may be the rest of the disk by now.
                self.device.write((head.generation + 1) % HEADS, &[0; SECTOR])?;
                self.device.flush()?;
            }
            Ok(())
        });
        match written {
            Ok(()) => {
                self.snapshot = self.next;
                self.is_broken = false;
            }
            Err(_) => {
                // The new head may or may not be there: appending to either would be a guess.
                (self.head, self.next, self.chain) = (old_head, old_next, old_chain);
                self.is_broken = true;
            }
        }
        written
    }

    /// Appends records, and reports when they are on the disk for good. [`StoreError::Full`] asks for
    /// [`Store::begin`] with a snapshot that has them.
    pub fn append(&mut self, records: &[Vec<u8>]) -> Result<(), StoreError> {
        if self.is_broken || self.next == 0 {
            return Err(StoreError::Broken);
        }
        let text = records.concat();
        if text.is_empty() {
            return Ok(());
        }
        if self.next + sectors_for(text.len()) > self.head.half_sectors {
            return Err(StoreError::Full);
        }
        let written = self.write_text(&text).and_then(|()| Ok(self.device.flush()?));
        self.is_broken = written.is_err();
        written
    }

    /// True when a snapshot is due: the log has grown to several times what it began with.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        let half = self.head.half_sectors;
        self.next > self.snapshot.saturating_mul(4).max(MIN_HALF) || self.next > half / 8 * 7
    }

    /// True when a snapshot would move the log to the halves that it should have, now or with the
    /// one after it.
    #[must_use]
    pub fn wants_move(&self) -> bool {
        self.head.half_sectors != self.wanted_half && self.next <= self.wanted_half
    }

    /// The part of the disk that the log leaves to others; none as long as the log has all of it.
    pub fn rest(&mut self) -> Option<Rest<'_, D>> {
        let is_settled = self.next > 0 && self.head.half_sectors == self.wanted_half;
        let first = HEADS + 2 * self.wanted_half;
        let n_sectors = self.device.n_sectors().saturating_sub(first);
        (is_settled && self.device.n_sectors() >= SHARED)
            .then(|| Rest::new(&mut self.device, first, n_sectors))
    }

    /// The generation: how often the log has begun anew.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.head.generation
    }

    /// The device, for whoever takes it back.
    pub fn into_device(self) -> D {
        self.device
    }

    fn write_text(&mut self, text: &[u8]) -> Result<(), StoreError> {
        let mut run = Vec::with_capacity(RUN.min(text.len().div_ceil(TEXT)));
        for text in text.chunks(RUN * TEXT) {
            let first = self.place(self.next);
            run.clear();
            for piece in text.chunks(TEXT) {
                let header = (self.head.generation, self.next, self.chain);
                let (sector, sum) = LogSector::emit(header, piece);
                run.push(sector);
                self.chain = sum;
                self.next += 1;
            }
            self.device.write_run(first, &run)?;
        }
        Ok(())
    }

    /// The head of a new generation with so many sectors, if it can be.
    fn next_head(&self, n_sectors: u64) -> Option<Head> {
        let generation = self.head.generation + 1;
        let halves = [self.wanted_half, self.head.half_sectors];
        let mut heads = halves.map(|half_sectors| Head { generation, half_sectors }).into_iter();
        let old = self.head.first_sector()..self.head.first_sector() + self.next;
        heads.find(|new| {
            let first = new.first_sector();
            let is_apart = first >= old.end || first + n_sectors <= old.start;
            n_sectors <= new.half_sectors && is_apart
        })
    }

    /// The sector of the device at a place of the half that holds the log.
    fn place(&self, at: u64) -> u64 {
        self.head.first_sector() + at
    }
}

impl Head {
    /// Where on the device its half begins.
    fn first_sector(self) -> u64 {
        HEADS + self.generation % 2 * self.half_sectors
    }
}

fn sectors_for(n_bytes: usize) -> u64 {
    u64::try_from(n_bytes.div_ceil(TEXT)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
