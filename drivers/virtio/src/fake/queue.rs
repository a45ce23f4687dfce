//! A queue as the device sees it, of either layout.

use super::device::{Chain, Hostile};
use super::{packed, split};
use crate::feature;
use alloc::vec::Vec;

/// Memory as a device reaches it: one access of the width that the field has, in little-endian order.
pub trait DeviceMemory {
    /// Reads two bytes.
    fn load_u16(&self, address: u64) -> u16;
    /// Reads four bytes.
    fn load_u32(&self, address: u64) -> u32;
    /// Reads eight bytes.
    fn load_u64(&self, address: u64) -> u64;
    /// Writes two bytes.
    fn store_u16(&self, address: u64, value: u16);
    /// Writes four bytes.
    fn store_u32(&self, address: u64, value: u32);
}

/// The device's side of one queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceQueue {
    pub(super) size: u32,
    pub(super) notified: u64,
    pub(super) hostile: Option<Hostile>,
    /// Descriptors, the driver's area, the device's area.
    pub(super) areas: [u64; 3],
    pub(super) has_event_idx: bool,
    is_packed: bool,
    /// Split: free-running indices. Packed: positions.
    pub(super) next_avail: u16,
    pub(super) next_used: u16,
    /// Packed: the wrap counters of these positions.
    pub(super) avail_wrap: bool,
    pub(super) used_wrap: bool,
    /// Packed: descriptors that the device has taken and not returned.
    pub(super) n_taken: u32,
    /// Packed: the flags that make what was returned visible, and where they go.
    pub(super) held: Option<(u64, u16)>,
}

impl DeviceQueue {
    /// A queue of `size` in these areas (descriptors, the driver's, the device's), with the features that
    /// the driver accepted. One of size 0 is not to be used.
    #[must_use]
    pub fn new(size: u32, areas: [u64; 3], features: u64) -> Self {
        Self {
            size,
            areas,
            has_event_idx: features & feature::EVENT_IDX != 0,
            is_packed: features & feature::RING_PACKED != 0,
            avail_wrap: true,
            used_wrap: true,
            ..Self::default()
        }
    }

    /// Chains that are there to take.
    pub(super) fn waiting(&self, dma: &impl DeviceMemory) -> u16 {
        if self.is_packed { packed::waiting(self, dma) } else { split::waiting(self, dma) }
    }

    /// Takes the next chain that the driver made available.
    ///
    /// # Panics
    ///
    /// When the driver made a chain that is none: a loop, or a descriptor out of range.
    pub fn take(&mut self, dma: &impl DeviceMemory) -> Option<Chain> {
        if self.is_packed { packed::take(self, dma) } else { split::take(self, dma) }
    }

    pub(super) fn used_ring(&self) -> Option<(u64, u32)> {
        if self.is_packed { None } else { Some((self.areas[2], 6 + 8 * self.size)) }
    }

    pub(super) fn forge(&self, dma: &impl DeviceMemory, id: u16, len: u32, flags: u16) {
        if self.is_packed && self.n_taken > 0 {
            packed::write(dma, packed::address(self, self.next_used), id.into(), len, flags);
        }
    }

    /// Returns a chain, to be published; or misbehaves as told.
    pub fn give_back(&mut self, dma: &impl DeviceMemory, chain: &Chain, written: u32) {
        let head = u32::from(chain.head);
        let room = u32::try_from(chain.room()).unwrap_or(u32::MAX);
        match self.hostile.take() {
            None => self.put_used(dma, head, written, chain.len()),
            Some(Hostile::Never) => {}
            Some(Hostile::BadId) => self.put_used(dma, self.size, written, chain.len()),
            Some(Hostile::BadLength) => {
                self.put_used(dma, head, room.saturating_add(1), chain.len());
            }
            Some(Hostile::IndexJump(by)) => {
                self.put_used(dma, head, written, chain.len());
                self.skip(by);
            }
            Some(Hostile::DoubleCompletion) => {
                self.put_used(dma, head, written, chain.len());
                self.put_used(dma, head, written, chain.len());
            }
            Some(Hostile::WrongWrap) if self.is_packed => {
                self.used_wrap = !self.used_wrap;
                self.put_used(dma, head, written, chain.len());
                self.used_wrap = !self.used_wrap;
            }
            Some(Hostile::WrongWrap) => {
                self.put_used(dma, head, written, chain.len());
                self.next_used = self.next_used.wrapping_sub(1);
            }
        }
    }

    pub(super) fn give_back_batch(
        &mut self,
        dma: &impl DeviceMemory,
        chains: &[Chain],
        written: u32,
    ) {
        let Some((last, before)) = chains.split_last() else {
            return;
        };
        if self.is_packed {
            let lens: Vec<u16> = chains.iter().map(Chain::len).collect();
            self.put_used(dma, last.head.into(), written, lens.iter().sum());
        } else {
            self.put_used(dma, last.head.into(), written, last.len());
            self.skip(u16::try_from(before.len()).unwrap_or(u16::MAX));
        }
    }

    fn put_used(&mut self, dma: &impl DeviceMemory, id: u32, written: u32, n_descriptors: u16) {
        if self.is_packed {
            packed::put_used(self, dma, id, written);
            self.skip(n_descriptors);
        } else {
            split::put_used(self, dma, id, written);
            self.skip(1);
        }
    }

    fn skip(&mut self, by: u16) {
        if !self.is_packed {
            self.next_used = self.next_used.wrapping_add(by);
            return;
        }
        self.n_taken = self.n_taken.saturating_sub(by.into());
        let at = u32::from(self.next_used) + u32::from(by);
        self.used_wrap ^= !(at / self.size).is_multiple_of(2);
        self.next_used = u16::try_from(at % self.size).unwrap_or(0);
    }

    /// Makes what was returned visible.
    pub fn publish(&mut self, dma: &impl DeviceMemory) {
        if self.is_packed { packed::publish(self, dma) } else { split::publish(self, dma) }
    }
}
