//! A disk in memory that a test keeps while switches come and go.

use ovsdb::store::{BlockDevice, DeviceError, FakeDevice, SECTOR};
use std::sync::{Arc, Mutex};

/// A disk that outlives the switch.
#[derive(Clone, Debug)]
pub(crate) struct Disk(pub(crate) Arc<Mutex<FakeDevice>>);

impl Disk {
    pub(crate) fn new(n_sectors: usize) -> Self {
        Self(Arc::new(Mutex::new(FakeDevice::new(n_sectors))))
    }
}

impl BlockDevice for Disk {
    fn n_sectors(&self) -> u64 {
        self.0.lock().unwrap().n_sectors()
    }

    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError> {
        self.0.lock().unwrap().read(sector, into)
    }

    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError> {
        self.0.lock().unwrap().write(sector, from)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.0.lock().unwrap().flush()
    }
}
