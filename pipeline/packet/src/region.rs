//! Memory that a pool cuts into buffers.

use alloc::alloc::alloc_zeroed;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Buffers start at this alignment: a cache line, so that two buffers never share one.
pub(crate) const REGION_ALIGN: usize = 64;

/// A contiguous, initialised stretch of memory that a device may reach.
///
/// `device_offset` turns a pointer into the address that the device uses for the same byte:
/// `device = pointer + device_offset` (wrapping). It is 0 where memory is mapped one to one, and
/// anything else for a vhost-user back end or behind an IOMMU.
#[derive(Debug)]
pub struct Region {
    pub(crate) start: NonNull<u8>,
    pub(crate) len: usize,
    pub(crate) device_offset: u64,
    /// Set when the region came from the heap and goes back to it with the pool.
    pub(crate) heap: Option<Layout>,
}

// SAFETY: a region is exclusive memory (see `Region::new`), not tied to the thread that made it.
unsafe impl Send for Region {}

impl Region {
    /// A region over memory that somebody else set aside.
    ///
    /// # Safety
    ///
    /// 1. `start..start + len` is one allocation, readable, writable and initialised.
    /// 2. It stays so for ever, and nobody else touches it, except devices that were given the
    ///    address of a buffer out of it.
    #[must_use]
    pub unsafe fn new(start: NonNull<u8>, len: usize, device_offset: u64) -> Self {
        Self { start, len, device_offset, heap: None }
    }

    /// A region on the heap that is never given back: for host programs that hand its addresses
    /// to another process. Aborts as any allocation does when memory is out.
    #[must_use]
    pub fn leak_heap(len: usize) -> Self {
        let region = Self::owned_heap(len);
        Self { heap: None, ..region }
    }

    /// A region on the heap that the pool frees when its last buffer has come home.
    pub(crate) fn owned_heap(len: usize) -> Self {
        let layout = Layout::from_size_align(len.max(1), REGION_ALIGN)
            .unwrap_or(Layout::new::<[u64; REGION_ALIGN / 8]>());
        // SAFETY: the layout's size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            alloc::alloc::handle_alloc_error(layout);
        };
        Self { start, len: layout.size(), device_offset: 0, heap: Some(layout) }
    }

    /// The same region, seen by the device at another address.
    #[must_use]
    pub fn with_device_offset(mut self, device_offset: u64) -> Self {
        self.device_offset = device_offset;
        self
    }

    /// First byte.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
