//! Reading tables that firmware and loaders left in physical memory.
//!
//! Parsers take a [`PhysicalMemory`], so they run on byte vectors in tests and on the machine's
//! memory in the image. Everything read is copied out at once: nothing keeps a reference.

use core::ptr;

/// Bytes by physical address.
pub trait PhysicalMemory {
    /// Copies the bytes at `address` into `into`; false when they cannot be read.
    fn read(&self, address: u64, into: &mut [u8]) -> bool;

    /// A little-endian word of `N` bytes.
    fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes).then_some(bytes)
    }

    /// A little-endian 32-bit word.
    fn u32(&self, address: u64) -> Option<u32> {
        self.bytes(address).map(u32::from_le_bytes)
    }

    /// A little-endian 64-bit word.
    fn u64(&self, address: u64) -> Option<u64> {
        self.bytes(address).map(u64::from_le_bytes)
    }
}

/// The first 4 GiB of the machine, as the boot page tables map them.
///
/// Only before the final page tables are in force: those map less.
#[derive(Debug)]
pub struct BootMapping(());

impl BootMapping {
    /// The mapping of the boot page tables.
    ///
    /// # Safety
    /// The boot page tables (first 4 GiB, identity) are in force while this value is used.
    pub unsafe fn new() -> Self {
        Self(())
    }
}

impl PhysicalMemory for BootMapping {
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        let Some(end) = address.checked_add(into.len() as u64) else { return false };
        if address == 0 || end > 1 << 32 {
            return false;
        }
        let Ok(address) = usize::try_from(address) else { return false };
        for (offset, byte) in into.iter_mut().enumerate() {
            // SAFETY: the address is mapped (constructor's promise and the bound above); a
            // volatile read of any byte pattern is a valid `u8`, whoever else may write it.
            *byte = unsafe { ptr::read_volatile(ptr::with_exposed_provenance(address + offset)) };
        }
        true
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! Physical memory in a vector.
    use super::PhysicalMemory;
    use alloc::vec::Vec;

    /// Bytes that start at a physical address.
    #[derive(Debug, Default)]
    pub(crate) struct FakeMemory {
        pub(crate) base: u64,
        pub(crate) bytes: Vec<u8>,
    }

    impl PhysicalMemory for FakeMemory {
        fn read(&self, address: u64, into: &mut [u8]) -> bool {
            let Some(start) = address.checked_sub(self.base) else { return false };
            let Ok(start) = usize::try_from(start) else { return false };
            let Some(end) = start.checked_add(into.len()) else { return false };
            match self.bytes.get(start..end) {
                Some(bytes) => {
                    into.copy_from_slice(bytes);
                    true
                }
                None => false,
            }
        }
    }
}
