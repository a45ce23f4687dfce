//! The memory that a front end shares: where the rings and the buffers of its driver are.
//!
//! A front end names memory in two ways: rings by its own addresses, buffers by those of the guest
//! (vhost-user, "Memory region description"). Both lead here to the same mapping.

use std::fs::File;
use vhost::vhost_user::message::VhostUserMemoryRegion;
use vm_memory::mmap::FromRangesError;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

/// What is mapped.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Region>);

#[derive(Debug)]
struct Region {
    /// Its address in the guest.
    guest: u64,
    /// Its address in the front end.
    user: u64,
    len: u64,
    /// The file from its beginning, since huge pages are mapped as a whole.
    mapping: MmapRegion,
    /// Where the region begins in it.
    offset: u64,
}

impl Memory {
    /// Maps what a front end handed over.
    pub(crate) fn map(
        table: &[VhostUserMemoryRegion],
        files: Vec<File>,
    ) -> Result<Self, FromRangesError> {
        let one = |(region, file): (&VhostUserMemoryRegion, File)| {
            let (len, offset) = (region.memory_size, region.mmap_offset);
            let all = usize::try_from(len.saturating_add(offset)).unwrap_or(usize::MAX);
            let mapping = MmapRegion::from_file(FileOffset::new(file, 0), all)?;
            Ok(Region {
                guest: region.guest_phys_addr,
                user: region.user_addr,
                len,
                mapping,
                offset,
            })
        };
        table.iter().zip(files).map(one).collect::<Result<_, _>>().map(Self)
    }

    /// `len` bytes at an address of the guest.
    pub(crate) fn of_guest(&self, address: u64, len: usize) -> Option<VolatileSlice<'_>> {
        self.find(address, len, |region| region.guest)
    }

    /// `len` bytes at an address of the front end.
    pub(crate) fn of_user(&self, address: u64, len: usize) -> Option<VolatileSlice<'_>> {
        self.find(address, len, |region| region.user)
    }

    fn find(
        &self,
        address: u64,
        len: usize,
        base: impl Fn(&Region) -> u64,
    ) -> Option<VolatileSlice<'_>> {
        self.0.iter().find_map(|region| {
            let at = address.checked_sub(base(region)).filter(|&at| at < region.len)?;
            let end = at.checked_add(len as u64).filter(|&end| end <= region.len)?;
            let first = usize::try_from(region.offset + end - len as u64).ok()?;
            region.mapping.get_slice(first, len).ok()
        })
    }
}
