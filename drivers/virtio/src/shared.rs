//! Memory shared with a device, seen as atomics only.
//!
//! The device (another CPU, another process, or hardware) may read and write at any moment. So no
//! Rust reference to plain data in it is ever made; each access is one relaxed or ordered atomic
//! operation of the width that the spec gives the field. All multi-byte fields are little-endian
//! (virtio 1.2 §1.4); the callers convert.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// A stretch of shared memory.
#[derive(Debug)]
pub(crate) struct Shared {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: all access is atomic.
unsafe impl Send for Shared {}
// SAFETY: all access is atomic.
unsafe impl Sync for Shared {}

macro_rules! field {
    ($name:ident, $atomic:ty) => {
        /// The field at byte `at`.
        ///
        /// # Panics
        ///
        /// When it is misaligned or out of range, which only a wrong layout in this crate can
        /// cause: offsets never come from the device.
        #[inline]
        pub(crate) fn $name(&self, at: usize) -> &$atomic {
            let width = size_of::<$atomic>();
            assert!(at.checked_add(width).is_some_and(|end| end <= self.len), "outside");
            // SAFETY: `at` is within the allocation (just checked).
            let field = unsafe { self.start.add(at) }.cast();
            assert!(field.is_aligned(), "misaligned");
            // SAFETY: 1. In range and aligned, both just checked; the memory is there for ever
            // (`new`). 2. On this side all access to it is through these atomics (`new`).
            unsafe { <$atomic>::from_ptr(field.as_ptr()) }
        }
    };
}

impl Shared {
    /// # Safety
    ///
    /// `start..start + len` is one allocation, readable, writable and initialised, for ever, and
    /// on this side of the device accessed through this value alone.
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len }
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    field!(u8, AtomicU8);
    field!(u16, AtomicU16);
    field!(u32, AtomicU32);
    field!(u64, AtomicU64);
}
