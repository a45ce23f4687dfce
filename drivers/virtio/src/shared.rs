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

/// What may stand in shared memory: atomics, without padding.
///
/// # Safety
///
/// Any bytes are one, and all of it may change under a shared reference.
pub(crate) unsafe trait Plain {}

/// A descriptor, of either ring: an address, and all the rest in one word, so that it is written and read at once.
#[derive(Debug)]
#[repr(C, align(16))]
pub(crate) struct Descriptor {
    pub(crate) address: AtomicU64,
    pub(crate) rest: AtomicU64,
}

// SAFETY: two atomics of 8 bytes in 16.
unsafe impl Plain for Descriptor {}

/// What a split ring's device says of a chain that it returned (virtio 1.2 §2.7.8).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct UsedElement {
    pub(crate) id: AtomicU32,
    pub(crate) len: AtomicU32,
}

// SAFETY: two atomics of 4 bytes in 8.
unsafe impl Plain for UsedElement {}
// SAFETY: an atomic.
unsafe impl Plain for AtomicU16 {}

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

    /// Asks for the line with byte `at`, to write it: nobody else needs it for now.
    #[inline(always)]
    pub(crate) fn own_soon(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            let place = self.start.as_ptr().wrapping_add(at);
            // SAFETY: a prefetch writes nothing that a program can see and cannot fault, wherever it is; and a processor
            // that does not know this kind does nothing.
            unsafe {
                core::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// `n` of something, one behind the other from byte `at` on.
    ///
    /// # Panics
    ///
    /// As the fields: when they are misaligned or out of range.
    #[inline(always)]
    pub(crate) fn table<T: Plain>(&self, at: usize, n: u16) -> &[T] {
        let n = usize::from(n);
        assert!(at <= self.len && n * size_of::<T>() <= self.len - at, "outside");
        // SAFETY: `at` is within the allocation, or its end (just checked).
        let first = unsafe { self.start.add(at) }.cast::<T>();
        assert!(first.is_aligned(), "misaligned");
        // SAFETY: 1. In range and aligned, both just checked; initialised and there for ever (`new`).
        // 2. Any bytes are one, and it may change under a shared reference (`Plain`); on this side all access
        // is through these atomics (`new`).
        unsafe { core::slice::from_raw_parts(first.as_ptr(), n) }
    }

    field!(u8, AtomicU8);
    field!(u16, AtomicU16);
    field!(u32, AtomicU32);
}
