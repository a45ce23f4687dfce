//! Memory that the driver and the fake device share.

use super::DeviceMemory;
use crate::{Dma, DmaRegion};
use alloc::alloc::alloc_zeroed;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use spin::Mutex;

/// DMA memory on the heap, leaked. A clone is the same memory.
///
/// `device_offset` is what the device adds to our addresses, so that a driver that confuses the two
/// is caught.
#[derive(Clone, Debug, Default)]
pub struct FakeDma {
    device_offset: u64,
    /// Start and end, in device addresses, of what the device may touch.
    allowed: Arc<Mutex<Vec<(u64, u64)>>>,
}

/// The atomic at a device address, of the width that both sides use for the field.
macro_rules! atomic {
    ($self:ident, $atomic:ty, $int:ty, $address:ident) => {{
        let here: *mut $int = $self.here($address, size_of::<$int>() as u64).cast();
        assert!(here.is_aligned(), "the driver gave the device {:#x}: misaligned", $address);
        // SAFETY: as in `byte`, and aligned.
        unsafe { <$atomic>::from_ptr(here) }
    }};
}

macro_rules! fields {
    ($atomic:ty, $int:ty, $load:ident) => {
        fn $load(&self, address: u64) -> $int {
            <$int>::from_le(atomic!(self, $atomic, $int, address).load(Ordering::Relaxed))
        }
    };
}

macro_rules! stores {
    ($atomic:ty, $int:ty, $store:ident) => {
        fn $store(&self, address: u64, value: $int) {
            atomic!(self, $atomic, $int, address).store(value.to_le(), Ordering::Relaxed);
        }
    };
}

impl FakeDma {
    /// Memory that the device sees `device_offset` further up (wrapping).
    #[must_use]
    pub fn new(device_offset: u64) -> Self {
        Self { device_offset, allowed: Arc::default() }
    }

    /// What the device adds to our addresses.
    #[must_use]
    pub fn device_offset(&self) -> u64 {
        self.device_offset
    }

    /// Lets the device touch memory that was allocated elsewhere and lives for ever: the region
    /// of a packet pool.
    pub fn allow(&self, start: NonNull<u8>, len: usize) {
        let start = (start.expose_provenance().get() as u64).wrapping_add(self.device_offset);
        self.allowed.lock().push((start, start.wrapping_add(len as u64)));
    }

    /// What the device reads at an address: two bytes, a ring field.
    ///
    /// # Panics
    ///
    /// When nobody allowed the device to touch them.
    #[must_use]
    pub fn peek(&self, address: u64) -> [u8; 2] {
        self.load_u16(address).to_le_bytes()
    }

    /// Writes bytes at an address, as the device might at any moment.
    ///
    /// # Panics
    ///
    /// When nobody allowed the device to touch them.
    pub fn poke(&self, address: u64, bytes: &[u8]) {
        self.write(address, bytes);
    }

    /// Our pointer to `len` bytes at a device address.
    ///
    /// # Panics
    ///
    /// When nobody allowed the device to touch them.
    fn here(&self, address: u64, len: u64) -> *mut u8 {
        let is_allowed = self
            .allowed
            .lock()
            .iter()
            .any(|&(start, end)| start <= address && address.saturating_add(len) <= end);
        assert!(is_allowed, "the driver gave the device {address:#x}, which is nobody's memory");
        let here = usize::try_from(address.wrapping_sub(self.device_offset)).unwrap_or(0);
        core::ptr::with_exposed_provenance_mut(here)
    }

    fn byte(&self, address: u64) -> &AtomicU8 {
        // SAFETY: part of a leaked allocation whose provenance was exposed (`allow`); the driver
        // does not look at memory that it has given to the device, except by atomics.
        unsafe { AtomicU8::from_ptr(self.here(address, 1)) }
    }

    pub(super) fn read_slice(&self, address: u64, into: &mut Vec<u8>, len: u32) {
        into.extend((address..).take(len as usize).map(|at| self.byte(at).load(Ordering::Relaxed)));
    }

    pub(super) fn write(&self, address: u64, bytes: &[u8]) {
        for (at, byte) in (address..).zip(bytes) {
            self.byte(at).store(*byte, Ordering::Relaxed);
        }
    }
}

impl DeviceMemory for FakeDma {
    fields!(AtomicU16, u16, load_u16);
    fields!(AtomicU32, u32, load_u32);
    fields!(AtomicU64, u64, load_u64);
    stores!(AtomicU16, u16, store_u16);
    stores!(AtomicU32, u32, store_u32);
}

impl Dma for FakeDma {
    fn alloc(&self, bytes: usize, align: usize) -> Option<DmaRegion> {
        let layout = Layout::from_size_align(bytes.max(1), align).ok()?;
        // SAFETY: the size is not 0.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        self.allow(ptr, layout.size());
        let address = (ptr.addr().get() as u64).wrapping_add(self.device_offset);
        // SAFETY: 1. Fresh, zeroed, never freed. 2. Ours alone. 3. The fake device adds the same
        // offset.
        Some(unsafe { DmaRegion::new(ptr, address, layout.size()) })
    }
}
