//! A picture on a disk that may lose power at any moment.
//!
//! # Layout
//! ```text
//! sector 0, 1     one head each: generation, length and checksum of a picture
//! from sector 2   two halves of equal length; a generation lies in the half of its parity
//!
//! head   0 magic "USWKEEP1"   8 format u16   16 generation u64   24 sectors of a half u64
//!       32 length u64   40 CRC-32 of the picture   508 CRC-32 of 0..508      (little endian)
//! ```
//! The head with the higher generation and a right checksum counts. A new picture goes into the half
//! that does not count and is flushed; then the head that does not count is overwritten and flushed.
//! Wherever the power goes, one head and its half are whole: the picture before, or the new one.
//!
//! # In steps
//! [`Writing`] does one request to the disk in a step, and takes records between steps, so that a picture
//! of a hundred thousand rules is written beside everything else. It never holds more than some
//! [`RUN`] sectors.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use ovsdb::store::{BlockDevice, Crc32, DeviceError, SECTOR};

/// The form of pictures that this code reads and writes.
pub const FORMAT: u16 = 1;

const MAGIC: [u8; 8] = *b"USWKEEP1";
const HEADS: u64 = 2;
/// Fewest sectors of a half that are of any use.
const MIN_HALF: u64 = 16;
/// Sectors of one request: 32 KiB.
pub(crate) const RUN: usize = 64;
const RUN_BYTES: usize = RUN * SECTOR;

/// Why a picture is not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RegionError {
    /// The device refused.
    Device(DeviceError),
    /// There is no room for any picture.
    TooSmall,
    /// The picture is larger than its half.
    Full,
}

impl From<DeviceError> for RegionError {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::TooSmall => f.write_str("the disk is too small"),
            Self::Full => f.write_str("it does not fit on the disk"),
        }
    }
}

/// What a head says of its picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) format: u16,
    pub(crate) generation: u64,
    pub(crate) half_sectors: u64,
    pub(crate) length: u64,
    pub(crate) sum: u32,
}

impl Head {
    fn parse(sector: &[u8; SECTOR]) -> Option<Self> {
        let (body, sum) = sector.split_last_chunk::<4>()?;
        let is_whole =
            body.starts_with(&MAGIC) && Crc32::new().with(body).value() == u32::from_le_bytes(*sum);
        let number = |at: usize| Some(u64::from_le_bytes(*sector.get(at..)?.first_chunk::<8>()?));
        let head = Self {
            format: u16::from_le_bytes(*sector.get(8..)?.first_chunk::<2>()?),
            generation: number(16)?,
            half_sectors: number(24)?,
            length: number(32)?,
            sum: u32::from_le_bytes(*sector.get(40..)?.first_chunk::<4>()?),
        };
        (is_whole && head.generation < u64::MAX).then_some(head)
    }

    fn emit(self) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = sector.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(0, &MAGIC);
        put(8, &self.format.to_le_bytes());
        put(16, &self.generation.to_le_bytes());
        put(24, &self.half_sectors.to_le_bytes());
        put(32, &self.length.to_le_bytes());
        put(40, &self.sum.to_le_bytes());
        let sum = Crc32::new().with(sector.get(..SECTOR - 4).unwrap_or_default()).value();
        if let Some(place) = sector.last_chunk_mut::<4>() {
            *place = sum.to_le_bytes();
        }
        sector
    }

    /// Where its half begins.
    pub(crate) fn first_sector(self) -> u64 {
        HEADS + self.generation % 2 * self.half_sectors
    }
}

/// The part of a disk that holds pictures.
#[derive(Clone, Debug)]
pub struct Region {
    half: u64,
    /// The head that counts.
    pub(crate) head: Option<Head>,
}

impl Region {
    /// Looks at what a disk holds.
    ///
    /// # Errors
    /// The disk refuses, or is too small.
    pub fn open<D: BlockDevice>(disk: &mut D) -> Result<Self, RegionError> {
        let half = disk.n_sectors().saturating_sub(HEADS) / 2;
        if half < MIN_HALF {
            return Err(RegionError::TooSmall);
        }
        let mut newest: Option<Head> = None;
        for at in 0..HEADS {
            let mut sector = [0; SECTOR];
            disk.read(at, &mut sector)?;
            let head = Head::parse(&sector).filter(|head| head.half_sectors == half);
            if head.is_some_and(|head| newest.is_none_or(|old| head.generation > old.generation)) {
                newest = head;
            }
        }
        Ok(Self { half, head: newest })
    }

    /// How often a picture was written; 0 when there is none.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.head.map_or(0, |head| head.generation)
    }

    /// Bytes that a picture can have.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.half * SECTOR as u64
    }

    /// Begins a new picture. Until it is at its end, the old one counts.
    #[must_use]
    pub fn write(&self) -> Writing {
        let generation = self.generation() + 1;
        let head = Head { format: FORMAT, generation, half_sectors: self.half, length: 0, sum: 0 };
        Writing { head, sum: Crc32::new(), pending: Vec::new(), n_written: 0, phase: Phase::Open }
    }
}

/// How far a picture is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// More may come.
    Open,
    /// All that comes is there.
    Closed,
    Flushed,
    Headed,
}

/// A picture that is being written.
#[derive(Debug)]
pub struct Writing {
    head: Head,
    sum: Crc32,
    pending: Vec<u8>,
    /// Sectors.
    n_written: u64,
    phase: Phase,
}

impl Writing {
    /// Where records are to be appended to; nothing must be taken away.
    pub fn records(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Whether records should come before the next step.
    #[must_use]
    pub fn is_hungry(&self) -> bool {
        self.phase == Phase::Open && self.pending.len() < RUN_BYTES
    }

    /// All records are there.
    pub fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closed;
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.head.length + self.pending.len() as u64
    }

    /// Does one request to the disk, if there is one to do. Returns true when the picture counts: `region`
    /// knows it then. After an error the old one counts, as far as anybody knows.
    ///
    /// # Errors
    /// The disk refuses, or the picture is too large; this one is to be given up then.
    pub fn step<D: BlockDevice>(
        &mut self,
        region: &mut Region,
        disk: &mut D,
    ) -> Result<bool, RegionError> {
        match self.phase {
            Phase::Open if self.pending.len() < RUN_BYTES => {}
            Phase::Open | Phase::Closed if !self.pending.is_empty() => self.write_run(disk)?,
            Phase::Open => {}
            Phase::Closed => {
                disk.flush()?;
                self.phase = Phase::Flushed;
            }
            Phase::Flushed => {
                self.head.sum = self.sum.value();
                disk.write(self.head.generation % HEADS, &self.head.emit())?;
                self.phase = Phase::Headed;
            }
            Phase::Headed => {
                disk.flush()?;
                region.head = Some(self.head);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write_run<D: BlockDevice>(&mut self, disk: &mut D) -> Result<(), RegionError> {
        let len = self.pending.len().min(RUN_BYTES);
        let mut sectors = vec![[0; SECTOR]; len.div_ceil(SECTOR)];
        let bytes = self.pending.get(..len).unwrap_or_default();
        for (sector, piece) in sectors.iter_mut().zip(bytes.chunks(SECTOR)) {
            if let Some(place) = sector.get_mut(..piece.len()) {
                place.copy_from_slice(piece);
            }
        }
        let n_sectors = sectors.len() as u64;
        if self.n_written + n_sectors > self.head.half_sectors {
            return Err(RegionError::Full);
        }
        disk.write_run(self.head.first_sector() + self.n_written, &sectors)?;
        self.n_written += n_sectors;
        self.sum = self.sum.with(bytes);
        self.head.length += len as u64;
        self.pending.drain(..len);
        Ok(())
    }
}
