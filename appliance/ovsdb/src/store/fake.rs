//! A disk in memory that loses power on demand.

use super::{BlockDevice, DeviceError, SECTOR};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// What becomes of what was not flushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerCut {
    /// All of it is lost.
    Lost,
    /// All of it is there.
    Kept,
    /// Each sector is there or not, as the seed says.
    Reordered(u64),
    /// As before, and sectors may be half old and half new.
    Torn(u64),
}

/// A disk in memory with a write cache.
#[derive(Clone, Debug)]
pub struct FakeDevice {
    sectors: Vec<[u8; SECTOR]>,
    cache: BTreeMap<u64, [u8; SECTOR]>,
    /// Writes and flushes so far.
    n_steps: u64,
    /// At this step the power goes.
    cut_at: Option<u64>,
    is_off: bool,
}

impl FakeDevice {
    /// A disk of zeros.
    #[must_use]
    pub fn new(n_sectors: usize) -> Self {
        let sectors = vec![[0; SECTOR]; n_sectors];
        Self { sectors, cache: BTreeMap::new(), n_steps: 0, cut_at: None, is_off: false }
    }

    /// Lets the power go at the n-th write or flush from the beginning: it and all later ones fail.
    pub fn cut_at(&mut self, step: u64) {
        self.cut_at = Some(step);
    }

    /// Writes and flushes so far.
    #[must_use]
    pub fn n_steps(&self) -> u64 {
        self.n_steps
    }

    /// The power comes back.
    pub fn power_on(&mut self, cut: PowerCut) {
        let mut random = match cut {
            PowerCut::Lost | PowerCut::Kept => 0,
            PowerCut::Reordered(seed) | PowerCut::Torn(seed) => seed,
        };
        for (sector, new) in core::mem::take(&mut self.cache) {
            // A linear congruential generator; its high bits are good enough here.
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let choice = random >> 61;
            let kept = match cut {
                PowerCut::Lost => 0,
                PowerCut::Kept => SECTOR,
                PowerCut::Reordered(_) => SECTOR * usize::from(choice < 4),
                PowerCut::Torn(_) => usize::try_from(choice).unwrap_or(0) * SECTOR / 7,
            };
            let old = usize::try_from(sector).ok().and_then(|at| self.sectors.get_mut(at));
            if let (Some(old), Some(new)) = (old, new.get(..kept)) {
                old[..kept].copy_from_slice(new);
            }
        }
        (self.cut_at, self.is_off) = (None, false);
    }

    fn step(&mut self) -> Result<(), DeviceError> {
        self.is_off |= self.cut_at.is_some_and(|at| at <= self.n_steps);
        self.n_steps += 1;
        if self.is_off { Err(DeviceError::Failed) } else { Ok(()) }
    }
}

impl BlockDevice for FakeDevice {
    fn n_sectors(&self) -> u64 {
        u64::try_from(self.sectors.len()).unwrap_or(u64::MAX)
    }

    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError> {
        let stored = usize::try_from(sector).ok().and_then(|at| self.sectors.get(at));
        *into = *self.cache.get(&sector).or(stored).ok_or(DeviceError::OutOfRange)?;
        Ok(())
    }

    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError> {
        if sector >= self.n_sectors() {
            return Err(DeviceError::OutOfRange);
        }
        let powered = self.step();
        // The write during which the power goes may still reach the disk, or a part of it.
        if powered.is_ok() || self.cut_at.is_some_and(|at| at + 1 == self.n_steps) {
            self.cache.insert(sector, *from);
        }
        powered
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.step()?;
        for (sector, bytes) in core::mem::take(&mut self.cache) {
            if let Some(stored) =
                usize::try_from(sector).ok().and_then(|at| self.sectors.get_mut(at))
            {
                *stored = bytes;
            }
        }
        Ok(())
    }
}
