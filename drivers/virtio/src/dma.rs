//! Memory that a device can reach.

use crate::shared::Shared;
use core::ptr::NonNull;

/// Where memory for rings comes from; the machine implements it.
pub trait Dma: Send + Sync + core::fmt::Debug {
    /// Physically contiguous, zeroed memory of at least `bytes`, starting at a multiple of `align`
    /// (a power of two) both for us and for the device; `None` when there is none. It is never
    /// given back: drivers keep their rings and use them again.
    fn alloc(&self, bytes: usize, align: usize) -> Option<DmaRegion>;
}

/// Exclusive, permanent memory that a device can reach. Not `Clone`: who holds it owns the memory.
#[derive(Debug)]
pub struct DmaRegion {
    memory: Shared,
    device_address: u64,
}

impl DmaRegion {
    /// A region.
    ///
    /// # Safety
    ///
    /// 1. `ptr..ptr + len` is one allocation, readable, writable and initialised, for ever.
    /// 2. Nobody but the holder of the region, and devices that it tells, touches it.
    /// 3. The device finds the same bytes at `device_address`.
    #[must_use]
    pub unsafe fn new(ptr: NonNull<u8>, device_address: u64, len: usize) -> Self {
        // SAFETY: the caller's duties 1 and 2 are those of `Shared::new`.
        let memory = unsafe { Shared::new(ptr, len) };
        Self { memory, device_address }
    }

    /// Where the device finds it.
    #[must_use]
    pub fn device_address(&self) -> u64 {
        self.device_address
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First byte, for the machine's own bookkeeping.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.memory.start()
    }

    /// Writes bytes at `offset`, to be seen by the device once a ring has published them. Bytes
    /// beyond the end are left out.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        for (at, byte) in (offset..self.len()).zip(bytes) {
            self.memory.u8(at).store(*byte, core::sync::atomic::Ordering::Relaxed);
        }
    }

    /// The byte at `offset`, 0 beyond the end.
    #[must_use]
    pub fn read(&self, offset: usize) -> u8 {
        if offset >= self.len() {
            return 0;
        }
        self.memory.u8(offset).load(core::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.memory
    }
}
