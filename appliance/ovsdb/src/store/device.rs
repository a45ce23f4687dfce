//! What a store wants of a disk.

use alloc::boxed::Box;
use core::fmt;

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// Why a device did not do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceError {
    /// A sector beyond the end.
    OutOfRange,
    /// The device says so.
    Failed,
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "no such sector",
            Self::Failed => "the disk refused",
        })
    }
}

/// A disk of sectors. What was written is there for good when a later flush has returned; before that
/// a power cut may lose it, keep it, or keep some bytes of it, in any order.
pub trait BlockDevice {
    /// Sectors that it has.
    fn n_sectors(&self) -> u64;
    /// Reads a sector.
    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError>;
    /// Writes a sector.
    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError>;
    /// Returns when everything written before is there for good.
    fn flush(&mut self) -> Result<(), DeviceError>;

    /// Reads sectors that follow each other.
    fn read_run(&mut self, first: u64, into: &mut [[u8; SECTOR]]) -> Result<(), DeviceError> {
        (first..).zip(into).try_for_each(|(sector, into)| self.read(sector, into))
    }

    /// Writes sectors that follow each other. A power cut may leave some of them.
    fn write_run(&mut self, first: u64, from: &[[u8; SECTOR]]) -> Result<(), DeviceError> {
        (first..).zip(from).try_for_each(|(sector, from)| self.write(sector, from))
    }
}

impl<D: BlockDevice + ?Sized> BlockDevice for &mut D {
    fn n_sectors(&self) -> u64 {
        (**self).n_sectors()
    }
    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError> {
        (**self).read(sector, into)
    }
    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError> {
        (**self).write(sector, from)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        (**self).flush()
    }
    fn read_run(&mut self, first: u64, into: &mut [[u8; SECTOR]]) -> Result<(), DeviceError> {
        (**self).read_run(first, into)
    }
    fn write_run(&mut self, first: u64, from: &[[u8; SECTOR]]) -> Result<(), DeviceError> {
        (**self).write_run(first, from)
    }
}

impl<D: BlockDevice + ?Sized> BlockDevice for Box<D> {
    fn n_sectors(&self) -> u64 {
        (**self).n_sectors()
    }
    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError> {
        (**self).read(sector, into)
    }
    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError> {
        (**self).write(sector, from)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        (**self).flush()
    }
    fn read_run(&mut self, first: u64, into: &mut [[u8; SECTOR]]) -> Result<(), DeviceError> {
        (**self).read_run(first, into)
    }
    fn write_run(&mut self, first: u64, from: &[[u8; SECTOR]]) -> Result<(), DeviceError> {
        (**self).write_run(first, from)
    }
}
