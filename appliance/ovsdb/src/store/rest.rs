//! The part of a disk that the log leaves to others, as a disk of its own.

use super::{BlockDevice, DeviceError, SECTOR};

/// A part of a device; see [`super::Store::rest`].
#[derive(Debug)]
pub struct Rest<'a, D> {
    device: &'a mut D,
    first: u64,
    n_sectors: u64,
}

impl<'a, D> Rest<'a, D> {
    pub(super) fn new(device: &'a mut D, first: u64, n_sectors: u64) -> Self {
        Self { device, first, n_sectors }
    }

    /// The sector of the device, if these are all of this part.
    fn place(&self, sector: u64, n_sectors: usize) -> Result<u64, DeviceError> {
        let end = u64::try_from(n_sectors).ok().and_then(|n| sector.checked_add(n));
        let is_within = end.is_some_and(|end| end <= self.n_sectors);
        if is_within { Ok(self.first + sector) } else { Err(DeviceError::OutOfRange) }
    }
}

impl<D: BlockDevice> BlockDevice for Rest<'_, D> {
    fn n_sectors(&self) -> u64 {
        self.n_sectors
    }

    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError> {
        self.device.read(self.place(sector, 1)?, into)
    }

    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError> {
        self.device.write(self.place(sector, 1)?, from)
    }

    fn read_run(&mut self, first: u64, into: &mut [[u8; SECTOR]]) -> Result<(), DeviceError> {
        self.device.read_run(self.place(first, into.len())?, into)
    }

    fn write_run(&mut self, first: u64, from: &[[u8; SECTOR]]) -> Result<(), DeviceError> {
        self.device.write_run(self.place(first, from.len())?, from)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.device.flush()
    }
}
