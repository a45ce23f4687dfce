//! Glue: the runtime's memory as `virtio` and `virtio-drivers` want it.

use core::ptr::NonNull;

use runtime::memory;
use virtio::{Dma, DmaRegion};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Devices see memory as the program does: identity mapped, no IOMMU, coherent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceMemory;

// SAFETY: `dma_alloc` gives zeroed pages of the heap that are its caller's alone; device registers
// are mapped by the runtime, which refuses RAM; sharing needs nothing where addresses are the same.
unsafe impl Hal for DeviceMemory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match memory::dma_alloc(pages, PAGE_SIZE) {
            Some(memory) => (memory::device_address(memory), memory),
            // Address 0 is how the crate wants to be told.
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_address: PhysAddr, memory: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller gives back what `dma_alloc` gave, with the same number of pages.
        unsafe { memory::dma_free(memory, pages, PAGE_SIZE) };
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, size: usize) -> NonNull<u8> {
        // `devices` maps every window before a transport is made, so this only asks again.
        #[expect(clippy::expect_used, reason = "the crate has no way to refuse here")]
        memory::map_mmio(address, size).expect("device registers were checked before")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        memory::device_address(buffer)
    }

    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

impl Dma for DeviceMemory {
    fn alloc(&self, bytes: usize, align: usize) -> Option<DmaRegion> {
        let pages = bytes.div_ceil(PAGE_SIZE);
        let memory = memory::dma_alloc(pages, align.max(PAGE_SIZE))?;
        let address = memory::device_address(memory);
        // SAFETY: zeroed pages of the heap that are never given back, the caller's alone, where
        // the device sees them too.
        Some(unsafe { DmaRegion::new(memory, address, pages * PAGE_SIZE) })
    }
}
