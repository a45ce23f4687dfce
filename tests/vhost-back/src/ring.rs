//! The device's side of a split ring (virtio 1.2 §2.7), for a device that gives each chain back as soon as it has
//! taken it.
//!
//! # Cost
//! An index is read and one is written for each burst; each chain costs a few checked reads of shared memory. The
//! driver is asked not to notify: whoever polls needs no notifications.

use crate::memory::Memory;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU16, Ordering, fence};
use vm_memory::{VolatileMemory, VolatileSlice};

/// Largest ring (virtio 1.2 §2.7).
const MAX_SIZE: u16 = 1 << 15;
/// Descriptor flags (§2.7.5): another one follows; the device writes.
const NEXT: u16 = 1;
const WRITE: u16 = 2;
/// In the used ring: the driver need not notify (§2.7.8). In the available ring: the device need not (§2.7.6).
const SILENCE: u16 = 1;
/// Buffers of a chain that are looked at. Drivers use a header and a frame.
const MAX_BUFFERS: usize = 4;
const DESCRIPTOR: usize = 16;

/// The driver wrote what makes no sense; nothing more is read from the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lie;

/// One queue.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pub(crate) size: u16,
    /// Descriptors, the driver's area and the device's, by addresses of the front end.
    pub(crate) areas: [u64; 3],
    /// The next chain to take.
    pub(crate) next: u16,
    /// The next entry to give back.
    used: u16,
    pub(crate) is_started: bool,
    pub(crate) is_broken: bool,
    /// Interrupts the driver.
    pub(crate) call: Option<File>,
}

/// Buffers that belong together.
#[derive(Debug)]
pub(crate) struct Chain<'a> {
    memory: &'a Memory,
    buffers: [(u64, u32); MAX_BUFFERS],
    len: usize,
    is_writable: bool,
}

impl Chain<'_> {
    /// Copies its beginning, as far as it goes, and says how much that was.
    pub(crate) fn read(&self, into: &mut [u8]) -> usize {
        let mut done = 0;
        if self.is_writable {
            return 0;
        }
        for &(address, len) in self.buffers.iter().take(self.len) {
            let rest = into.get_mut(done..).unwrap_or_default();
            let n = rest.len().min(len as usize);
            let Some(slice) = self.memory.of_guest(address, n) else { break };
            slice.copy_to(rest.get_mut(..n).unwrap_or_default());
            done += n;
        }
        done
    }

    /// Writes all of `bytes`, if there is room.
    pub(crate) fn write(&self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        for &(address, len) in self.buffers.iter().take(self.len) {
            let (now, later) = rest.split_at(rest.len().min(len as usize));
            let Some(slice) = self.memory.of_guest(address, now.len()) else { return false };
            slice.copy_from(now);
            rest = later;
        }
        self.is_writable && rest.is_empty()
    }
}

/// The three areas.
struct Places<'a> {
    descriptors: VolatileSlice<'a>,
    available: VolatileSlice<'a>,
    used: VolatileSlice<'a>,
}

impl Ring {
    /// Begins to work, where the device's index stands.
    pub(crate) fn start(&mut self, memory: &Memory) -> Result<(), Lie> {
        let places = self.places(memory).ok_or(Lie)?;
        let index = word(&places.used, 2)?.load(Ordering::Acquire);
        word(&places.used, 0)?.store(SILENCE, Ordering::Release);
        self.used = index;
        (self.is_started, self.is_broken) = (true, false);
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        let call = self.call.take();
        *self = Self { next: self.next, call, ..Self::default() };
    }

    /// Whether it can be worked on.
    pub(crate) fn is_up(&self) -> bool {
        self.is_started && !self.is_broken
    }

    /// Takes up to `most` chains and gives each back with as many bytes as `work` says it wrote; how many
    /// there were.
    pub(crate) fn each(
        &mut self,
        memory: &Memory,
        most: u16,
        work: impl FnMut(&Chain<'_>) -> u32,
    ) -> u16 {
        if !self.is_up() {
            return 0;
        }
        self.burst(memory, most, work).unwrap_or_else(|Lie| {
            self.is_broken = true;
            0
        })
    }

    fn burst(
        &mut self,
        memory: &Memory,
        most: u16,
        mut work: impl FnMut(&Chain<'_>) -> u32,
    ) -> Result<u16, Lie> {
        let places = self.places(memory).ok_or(Lie)?;
        let waiting = word(&places.available, 2)?.load(Ordering::Acquire).wrapping_sub(self.next);
        if waiting > self.size {
            return Err(Lie);
        }
        let n = waiting.min(most);
        if n == 0 {
            return Ok(0);
        }
        for _ in 0..n {
            let slot = usize::from(self.next % self.size);
            let head = word(&places.available, 4 + 2 * slot)?.load(Ordering::Relaxed);
            let written = work(&places.chain(memory, self.size, head)?);
            let slot = usize::from(self.used % self.size);
            let entry = u64::from(head) | u64::from(written) << 32;
            let place = places.used.subslice(4 + 8 * slot, 8).map_err(|_| Lie)?;
            place.copy_from(&entry.to_le_bytes());
            self.next = self.next.wrapping_add(1);
            self.used = self.used.wrapping_add(1);
        }
        word(&places.used, 2)?.store(self.used, Ordering::Release);
        // The index is out before the driver's wish is looked at (§2.7.13.3.1).
        fence(Ordering::SeqCst);
        let wish = word(&places.available, 0)?.load(Ordering::Relaxed);
        if wish & SILENCE == 0
            && let Some(mut call) = self.call.as_ref()
        {
            // A counter that is full has interrupted already.
            let _ = call.write(&1_u64.to_ne_bytes());
        }
        Ok(n)
    }

    fn places<'a>(&self, memory: &'a Memory) -> Option<Places<'a>> {
        let size = usize::from(self.size);
        if !self.size.is_power_of_two() || self.size > MAX_SIZE {
            return None;
        }
        let [descriptors, available, used] = self.areas;
        Some(Places {
            descriptors: memory.of_user(descriptors, DESCRIPTOR * size)?,
            available: memory.of_user(available, 4 + 2 * size)?,
            used: memory.of_user(used, 4 + 8 * size)?,
        })
    }
}

impl Places<'_> {
    fn chain<'m>(&self, memory: &'m Memory, size: u16, head: u16) -> Result<Chain<'m>, Lie> {
        let (mut buffers, mut at) = ([(0, 0); MAX_BUFFERS], head);
        let mut is_writable = true;
        for (k, buffer) in buffers.iter_mut().enumerate() {
            if at >= size {
                return Err(Lie);
            }
            let mut raw = [0; DESCRIPTOR];
            let place = self.descriptors.subslice(DESCRIPTOR * usize::from(at), DESCRIPTOR);
            place.map_err(|_| Lie)?.copy_to(&mut raw[..]);
            // §2.7.5: address, length, flags, next.
            let raw = u128::from_le_bytes(raw);
            #[expect(clippy::cast_possible_truncation, reason = "fields are cut out")]
            let (address, len, flags, next) =
                (raw as u64, (raw >> 64) as u32, (raw >> 96) as u16, (raw >> 112) as u16);
            *buffer = (address, len);
            is_writable &= flags & WRITE != 0;
            if flags & NEXT == 0 {
                return Ok(Chain { memory, buffers, len: k + 1, is_writable });
            }
            at = next;
        }
        Err(Lie)
    }
}

fn word<'a>(slice: &'a VolatileSlice<'_>, at: usize) -> Result<&'a AtomicU16, Lie> {
    slice.get_atomic_ref(at).map_err(|_| Lie)
}
