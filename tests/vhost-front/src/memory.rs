//! Memory that two processes map.

use packet::Region;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use virtio::fake::DeviceMemory;
use virtio::{Dma, DmaRegion};

/// Size of the pages that are asked for first, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// A stretch of memory with a file descriptor, mapped for ever, of which parts are handed out once and
/// never come back. The back end finds everything at our own addresses. A clone is the same memory.
#[derive(Clone, Debug)]
pub struct Memory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    /// Address of the first byte; its provenance is exposed.
    start: usize,
    len: usize,
    /// What has been handed out.
    used: Mutex<usize>,
}

impl Memory {
    /// At least `len` bytes of zeros: in huge pages if there are enough, otherwise in ordinary ones.
    ///
    /// # Errors
    /// When there is not as much.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.next_multiple_of(HUGE_PAGE);
        Self::with(len, MemfdFlags::HUGETLB).or_else(|_| Self::with(len, MemfdFlags::empty()))
    }

    fn with(len: usize, flags: MemfdFlags) -> io::Result<Self> {
        let file = File::from(memfd_create("vhost-front", flags | MemfdFlags::CLOEXEC)?);
        file.set_len(len as u64)?;
        let (access, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else is there.
        let start =
            unsafe { mmap(ptr::null_mut(), len, access, shared | MapFlags::POPULATE, &file, 0) }?;
        let start = start.expose_provenance();
        Ok(Self { inner: Arc::new(Inner { file, start, len, used: Mutex::new(0) }) })
    }

    /// Memory for the buffers of a pool; `None` when there is not as much left.
    #[must_use]
    pub fn region(&self, len: usize) -> Option<Region> {
        let start = self.carve(len, HUGE_PAGE)?;
        // SAFETY: 1. Within the mapping, which is zeroed and never unmapped. 2. Handed out once; the
        // back end touches it only where the driver tells it to.
        Some(unsafe { Region::new(start, len, 0) })
    }

    fn carve(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        let mut used = self.inner.used.lock().unwrap_or_else(PoisonError::into_inner);
        let at = used.checked_next_multiple_of(align)?;
        let end = at.checked_add(len).filter(|&end| end <= self.inner.len)?;
        *used = end;
        NonNull::new(ptr::with_exposed_provenance_mut(self.inner.start + at))
    }

    /// Address of the first byte, for both sides, length in bytes, and the file.
    pub(crate) fn whole(&self) -> (u64, u64, RawFd) {
        let Inner { file, start, len, .. } = &*self.inner;
        (*start as u64, *len as u64, file.as_raw_fd())
    }

    /// The bytes at an address, as the device reads them; zeros outside.
    fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        for (at, byte) in (address..).zip(&mut bytes) {
            *byte = self.byte(at).map_or(0, |place| place.load(Ordering::Acquire));
        }
        bytes
    }

    /// Writes bytes at an address, as the device does; those outside are left out.
    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        for (at, byte) in (address..).zip(bytes) {
            if let Some(place) = self.byte(at) {
                place.store(*byte, Ordering::Release);
            }
        }
    }

    fn byte(&self, address: u64) -> Option<&AtomicU8> {
        let address = usize::try_from(address).ok()?;
        let Inner { start, len, .. } = *self.inner;
        if address.checked_sub(start)? >= len {
            return None;
        }
        // SAFETY: within the mapping, which is never unmapped. This is the device's side: the driver
        // looks at what it shares with the device by atomics alone.
        Some(unsafe { AtomicU8::from_ptr(ptr::with_exposed_provenance_mut(address)) })
    }
}

/// Bytewise: for the control queue, on which driver and device are one thread.
impl DeviceMemory for Memory {
    fn load_u16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.read(address))
    }

    fn load_u32(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.read(address))
    }

    fn load_u64(&self, address: u64) -> u64 {
        u64::from_le_bytes(self.read(address))
    }

    fn store_u16(&self, address: u64, value: u16) {
        self.write(address, &value.to_le_bytes());
    }

    fn store_u32(&self, address: u64, value: u32) {
        self.write(address, &value.to_le_bytes());
    }
}

impl Dma for Memory {
    fn alloc(&self, bytes: usize, align: usize) -> Option<DmaRegion> {
        let start = self.carve(bytes, align)?;
        let address = start.addr().get() as u64;
        // SAFETY: 1. Within the mapping, zeroed and never unmapped. 2. Handed out once. 3. The back
        // end was told that it is at our address.
        Some(unsafe { DmaRegion::new(start, address, bytes) })
    }
}
