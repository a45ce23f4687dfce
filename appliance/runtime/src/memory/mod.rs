//! Memory: the heap, the page tables, memory for devices.
//!
//! # Model
//! One address space, identity mapped: a pointer's address is its physical address. Mapped are the
//! machine's usable RAM, the image, and the device registers that were asked for; everything else
//! faults, page zero and the guard pages among it. No page is both writable and executable.
//!
//! # One allocator
//! All usable RAM becomes the heap (the global allocator lives in the binary, which hands in a
//! function that gives memory to it). Page tables, stacks and device memory are allocated from it
//! like everything else, so nothing needs a size chosen beforehand. RAM below 4 GiB, which the boot
//! page tables reach, is given first; the rest follows when the final tables map it.
//!
//! # Concurrency
//! The page tables stand behind a lock. Mapping more is safe at any time. Unmapping happens only
//! for guard pages of stacks no CPU has used, so no CPU can hold a stale translation that matters.

mod paging;
mod plan;
#[cfg(test)]
mod tests;

use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::arch::asm;
use core::fmt;
use core::ptr::{self, NonNull};

use spin::Mutex;

pub use self::paging::{Access, MapError};
use self::paging::{Mapper, TableStore};
pub use self::plan::ImageLayout;
use crate::boot::memory_map::{MemoryMap, PAGE, PhysicalRange};
use crate::cpu::features;
use crate::cpu::stacks::{BOOT_STACKS, Stacks};
use crate::io;

/// Addresses below this are never mapped, so that a null pointer's fields fault as well.
pub(crate) const NULL_BYTES: u64 = PAGE;
/// The room for the code that starts other CPUs.
pub(crate) const TRAMPOLINE_BYTES: usize = 4096;

/// The final page tables and what they must not be asked to map as a device.
struct Space {
    mapper: Mapper<HeapTables>,
    ram: MemoryMap,
    trampoline: Option<u64>,
}

static SPACE: Mutex<Option<Space>> = Mutex::new(None);

/// What there is, for the log.
#[derive(Clone, Copy, Debug)]
pub struct MemorySummary {
    /// Bytes of usable RAM, the image's own included.
    pub ram_bytes: u64,
    /// Bytes given to the heap.
    pub heap_bytes: u64,
    /// Bytes that the image takes.
    pub image_bytes: u64,
}

/// Why memory could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// Too little usable memory.
    TooLittle,
    /// The page tables could not be built.
    Map(MapError),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLittle => f.write_str("too little memory: give the machine at least 32 MiB"),
            Self::Map(error) => write!(f, "the page tables could not be built: {error}"),
        }
    }
}

impl From<MapError> for MemoryError {
    fn from(error: MapError) -> Self {
        Self::Map(error)
    }
}

/// Gives all usable RAM to the heap and puts the final page tables in force. Once, at boot, after
/// everything worth keeping was copied out of the loader's and firmware's memory.
///
/// # Safety
/// `image` is where this image stands; `ram` is usable as it says; `give` keeps what it is given
/// for the global allocator; nothing refers to memory outside the image any more.
pub unsafe fn init(
    ram: &MemoryMap,
    image: &ImageLayout,
    give: &mut dyn FnMut(NonNull<u8>, usize),
) -> Result<MemorySummary, MemoryError> {
    const SMALLEST_HEAP: u64 = 4 << 20;
    let heap = plan::heap(ram, image);
    if heap.usable_bytes() < SMALLEST_HEAP {
        return Err(MemoryError::TooLittle);
    }
    for &range in heap.usable() {
        let [low, _] = plan::split_at_4_gib(range);
        give_range(low, give);
    }

    let trampoline = plan::trampoline(ram);
    let root = HeapTables.new_table().ok_or(MapError::NoMemory)?;
    let mut mapper = Mapper::new(root, HeapTables, features::has_1_gib_pages());
    for (range, access) in plan::mappings(ram, image, trampoline) {
        mapper.map(range, access)?;
    }
    for (guard, _) in BOOT_STACKS.guards() {
        mapper.map(PhysicalRange::new(guard, PAGE), Access::None)?;
    }
    if let Some(page) = trampoline {
        // SAFETY: the page is RAM that no one uses, and the boot page tables let us write it.
        unsafe { crate::cpu::install_trampoline(page, root) };
    }
    // SAFETY: the tables map the image, the stack in use and the heap as they are used.
    unsafe { io::set_page_table_root(root) };
    for &range in heap.usable() {
        let [_, high] = plan::split_at_4_gib(range);
        give_range(high, give);
    }

    *SPACE.lock() = Some(Space { mapper, ram: ram.clone(), trampoline });
    Ok(MemorySummary {
        ram_bytes: ram.usable_bytes(),
        heap_bytes: heap.usable_bytes(),
        image_bytes: image.whole().len(),
    })
}

/// Zeroed memory that devices may access, whole pages, aligned to `align` bytes (at least a page).
#[must_use]
pub fn dma_alloc(pages: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = dma_layout(pages, align)?;
    // SAFETY: the layout has bytes in it.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

/// Like [`dma_alloc`], but the bytes are whatever the RAM held: for buffers that are written before
/// they are read. The pages are not touched here, so a large region costs nothing until it is used.
#[must_use]
pub fn dma_alloc_uncleared(pages: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = dma_layout(pages, align)?;
    // SAFETY: the layout has bytes in it.
    let mut memory = unsafe { alloc(layout) };
    // RAM always holds some bytes. The compiler must not take them for undefined ones: this may
    // have written all of them, for all that it knows.
    // SAFETY: no instruction.
    unsafe { asm!("/* {} */", inout(reg) memory, options(nostack, preserves_flags)) };
    NonNull::new(memory)
}

/// Gives back memory of [`dma_alloc`] or [`dma_alloc_uncleared`].
///
/// # Safety
/// The memory came from one of the two with the same arguments, and neither program nor device uses
/// it any more.
pub unsafe fn dma_free(memory: NonNull<u8>, pages: usize, align: usize) {
    if let Some(layout) = dma_layout(pages, align) {
        // SAFETY: the caller answers for origin and arguments.
        unsafe { dealloc(memory.as_ptr(), layout) };
    }
}

fn dma_layout(pages: usize, align: usize) -> Option<Layout> {
    let page = Layout::from_size_align(4096, 4096).ok()?;
    let bytes = pages.checked_mul(page.size()).filter(|&bytes| bytes > 0)?;
    Layout::from_size_align(bytes, align.max(page.align())).ok()
}

/// The address by which a device knows this memory.
#[must_use]
pub fn device_address<T: ?Sized>(memory: NonNull<T>) -> u64 {
    memory.as_ptr().cast::<u8>().expose_provenance() as u64
}

/// Maps device registers, uncached. The same registers may be mapped again.
pub fn map_mmio(address: u64, len: usize) -> Result<NonNull<u8>, MapError> {
    let registers = PhysicalRange::new(address, len as u64);
    let mut space = SPACE.lock();
    let space = space.as_mut().ok_or(MapError::NotReady)?;
    if len == 0 || address < NULL_BYTES || space.ram.overlaps(&registers) {
        return Err(MapError::NotADevice);
    }
    space.mapper.map(registers.grown_to_pages(), Access::Device)?;
    flush_translations(space);
    let address = usize::try_from(address).map_err(|_| MapError::OutOfRange)?;
    NonNull::new(ptr::with_exposed_provenance_mut(address)).ok_or(MapError::NotADevice)
}

/// Whether usable RAM lies anywhere in the range: a device must not be put there.
#[must_use]
pub fn is_ram(range: &PhysicalRange) -> bool {
    SPACE.lock().as_ref().is_none_or(|space| space.ram.overlaps(range))
}

/// The page of the code that starts other CPUs.
pub(crate) fn trampoline() -> Option<u64> {
    SPACE.lock().as_ref()?.trampoline
}

/// Stacks for one CPU, forever, with their guard pages unmapped.
pub(crate) fn allocate_stacks() -> Option<&'static Stacks> {
    // SAFETY: the layout has bytes in it. What a stack holds before it is used does not matter, so
    // its pages are not touched here.
    let memory = NonNull::new(unsafe { alloc(Layout::new::<Stacks>()) })?.cast::<Stacks>();
    // SAFETY: the memory has the type's layout, is never freed, and any bytes are valid for it:
    // arrays of `u8` in cells, which are only ever used as machine stacks.
    let stacks: &'static Stacks = unsafe { memory.as_ref() };
    let mut space = SPACE.lock();
    let space = space.as_mut()?;
    for (guard, _) in stacks.guards() {
        space.mapper.map(PhysicalRange::new(guard, PAGE), Access::None).ok()?;
    }
    flush_translations(space);
    Some(stacks)
}

/// Makes this CPU forget translations that changed.
fn flush_translations(space: &Space) {
    // SAFETY: these are the tables in force already.
    unsafe { io::set_page_table_root(space.mapper.root()) };
}

fn give_range(range: PhysicalRange, give: &mut dyn FnMut(NonNull<u8>, usize)) {
    if range.is_empty() {
        return;
    }
    let (Ok(start), Ok(len)) = (usize::try_from(range.start), usize::try_from(range.len())) else {
        return;
    };
    if let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(start)) {
        give(start, len);
    }
}

/// Page tables in pages of the heap.
#[derive(Debug)]
struct HeapTables;

impl HeapTables {
    fn entry(table: u64, index: usize) -> *mut u64 {
        debug_assert!(index < 512);
        let table = usize::try_from(table).unwrap_or(0);
        ptr::with_exposed_provenance_mut(table + index * 8)
    }
}

impl TableStore for HeapTables {
    fn new_table(&mut self) -> Option<u64> {
        dma_alloc(1, 4096).map(device_address)
    }

    fn get(&self, table: u64, index: usize) -> u64 {
        // SAFETY: tables come from `new_table` only, so they are pages of ours, identity mapped.
        unsafe { Self::entry(table, index).read_volatile() }
    }

    fn set(&mut self, table: u64, index: usize, entry: u64) {
        // SAFETY: as in `get`; what the entry means is the mapper's business.
        unsafe { Self::entry(table, index).write_volatile(entry) };
    }
}
