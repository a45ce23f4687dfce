//! The device's side of a split ring.

use super::device::Chain;
use super::queue::{DeviceMemory, DeviceQueue};
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

pub(super) fn waiting(queue: &DeviceQueue, dma: &impl DeviceMemory) -> u16 {
    avail_index(dma, queue).wrapping_sub(queue.next_avail)
}

pub(super) fn take(queue: &mut DeviceQueue, dma: &impl DeviceMemory) -> Option<Chain> {
    let index = avail_index(dma, queue);
    if index == queue.next_avail {
        return None;
    }
    let [descriptors, avail, used] = queue.areas;
    let slot = u64::from(queue.next_avail) % u64::from(queue.size);
    let head = dma.load_u16(avail + 4 + 2 * slot);
    queue.next_avail = queue.next_avail.wrapping_add(1);
    if queue.has_event_idx {
        // Wants to hear of whatever comes after what it has taken (§2.7.10).
        let at = used + 4 + 8 * u64::from(queue.size);
        dma.store_u16(at, queue.next_avail);
        fence(Ordering::SeqCst);
    }
    Some(read_chain(dma, descriptors, queue.size, head))
}

pub(super) fn put_used(queue: &DeviceQueue, dma: &impl DeviceMemory, id: u32, written: u32) {
    let slot = u64::from(queue.next_used) % u64::from(queue.size);
    let at = queue.areas[2] + 4 + 8 * slot;
    dma.store_u32(at, id);
    dma.store_u32(at + 4, written);
}

pub(super) fn publish(queue: &DeviceQueue, dma: &impl DeviceMemory) {
    fence(Ordering::Release);
    dma.store_u16(queue.areas[2] + 2, queue.next_used);
}

fn avail_index(dma: &impl DeviceMemory, queue: &DeviceQueue) -> u16 {
    let index = dma.load_u16(queue.areas[1] + 2);
    // What the index covers is read after it.
    fence(Ordering::Acquire);
    index
}

fn read_chain(dma: &impl DeviceMemory, descriptors: u64, size: u32, head: u16) -> Chain {
    let mut chain = Chain { head, readable: Vec::new(), writable: Vec::new() };
    let mut at = head;
    for _ in 0..size {
        assert!(u32::from(at) < size, "descriptor {at} of {size}");
        let base = descriptors + 16 * u64::from(at);
        let flags = dma.load_u16(base + 12);
        chain.take_buffer(dma.load_u64(base), dma.load_u32(base + 8), flags);
        if flags & 1 == 0 {
            return chain;
        }
        at = dma.load_u16(base + 14);
    }
    panic!("chain at {head} has no end");
}
