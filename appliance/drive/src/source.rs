//! Bytes of a disk at any place, by way of its sectors.

use crate::{DriveError, SECTOR, Sectors};
use alloc::vec;
use alloc::vec::Vec;

/// Sectors that one look at the volume may read: enough for a file of 1 MiB and the longest way there, and
/// an end to all ways that lead nowhere.
pub(crate) const MAX_READS: u32 = 8192;

/// A disk, with the sector that was read last.
#[derive(Debug)]
pub(crate) struct Source<S> {
    sectors: S,
    n_left: u32,
    last: Option<u64>,
    sector: [u8; SECTOR],
}

impl<S: Sectors> Source<S> {
    pub(crate) fn new(sectors: S) -> Self {
        Self { sectors, n_left: MAX_READS, last: None, sector: [0; SECTOR] }
    }

    /// Begins a new look.
    pub(crate) fn begin(&mut self) {
        self.n_left = MAX_READS;
    }

    /// Fills `into` with what stands at a place, in bytes.
    pub(crate) fn read(&mut self, mut at: u64, into: &mut [u8]) -> Result<(), DriveError> {
        let mut rest = into;
        while !rest.is_empty() {
            let (number, within) = (at / SECTOR as u64, at % SECTOR as u64);
            let sector = self.sector(number)?;
            let from = usize::try_from(within).ok().and_then(|within| sector.get(within..));
            let from = from.ok_or(DriveError::Unreadable)?;
            let n = from.len().min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(from.get(..n).ok_or(DriveError::Unreadable)?);
            rest = later;
            at = at.checked_add(n as u64).ok_or(DriveError::Unreadable)?;
        }
        Ok(())
    }

    /// So many bytes from a place. Memory is taken only for what the disk has.
    pub(crate) fn take(&mut self, at: u64, bytes: u32) -> Result<Vec<u8>, DriveError> {
        let end = at.checked_add(bytes.into()).ok_or(DriveError::Unreadable)?;
        if end > self.sectors.n_sectors().saturating_mul(SECTOR as u64) {
            return Err(DriveError::Unreadable);
        }
        let mut taken = vec![0; usize::try_from(bytes).map_err(|_| DriveError::Unreadable)?];
        self.read(at, &mut taken)?;
        Ok(taken)
    }

    fn sector(&mut self, number: u64) -> Result<&[u8; SECTOR], DriveError> {
        if self.last != Some(number) {
            self.last = None;
            if number >= self.sectors.n_sectors() {
                return Err(DriveError::Unreadable);
            }
            let left = self.n_left.checked_sub(1);
            self.n_left = left.ok_or(DriveError::Malformed("the way to a file is too long"))?;
            let read = self.sectors.read(number, &mut self.sector);
            read.map_err(|_| DriveError::Unreadable)?;
            self.last = Some(number);
        }
        Ok(&self.sector)
    }
}

/// The little-endian number of 16 bits at a place.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The little-endian number of 32 bits at a place.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
