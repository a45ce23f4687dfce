//! The device's side of a packed ring.

use super::device::Chain;
use super::queue::{DeviceMemory, DeviceQueue};
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Where the descriptor at a position is.
pub(super) fn address(queue: &DeviceQueue, at: u16) -> u64 {
    queue.areas[0] + 16 * u64::from(at)
}

/// Flags of the descriptor, when it is the device's.
fn available(queue: &DeviceQueue, dma: &impl DeviceMemory, at: u16, wrap: bool) -> Option<u16> {
    let flags = dma.load_u16(address(queue, at) + 14);
    // What the flags cover is read after them.
    fence(Ordering::Acquire);
    let expected = if wrap { AVAIL } else { USED };
    (flags & (AVAIL | USED) == expected).then_some(flags)
}

fn next(queue: &DeviceQueue, (at, wrap): (u16, bool)) -> (u16, bool) {
    if u32::from(at) + 1 == queue.size { (0, !wrap) } else { (at + 1, wrap) }
}

pub(super) fn waiting(queue: &DeviceQueue, dma: &impl DeviceMemory) -> u16 {
    let mut place = (queue.next_avail, queue.avail_wrap);
    let mut chains = 0;
    for _ in 0..queue.size {
        let Some(flags) = available(queue, dma, place.0, place.1) else {
            break;
        };
        chains += u16::from(flags & 1 == 0);
        place = next(queue, place);
    }
    chains
}

pub(super) fn take(queue: &mut DeviceQueue, dma: &impl DeviceMemory) -> Option<Chain> {
    let mut place = (queue.next_avail, queue.avail_wrap);
    available(queue, dma, place.0, place.1)?;
    let mut chain = Chain { head: 0, readable: Vec::new(), writable: Vec::new() };
    for _ in 0..queue.size {
        // The flags of the first covered all of the chain.
        let base = address(queue, place.0);
        let flags = available(queue, dma, place.0, place.1);
        let flags = flags.expect("the driver published a chain of which a part is not available");
        chain.head = dma.load_u16(base + 12);
        chain.take_buffer(dma.load_u64(base), dma.load_u32(base + 8), flags);
        place = next(queue, place);
        if flags & 1 == 0 {
            (queue.next_avail, queue.avail_wrap) = place;
            queue.n_taken += u32::from(chain.len());
            if queue.has_event_idx {
                // Wants to hear of whatever comes after what it has taken (§2.8.10).
                let event = u32::from(place.0) | u32::from(place.1) << 15;
                dma.store_u32(queue.areas[2], event | 2 << 16);
                fence(Ordering::SeqCst);
            }
            return Some(chain);
        }
    }
    panic!("a chain has no end");
}

/// Writes a used descriptor at the device's position, all but its flags if it is the first that is not
/// published.
pub(super) fn put_used(queue: &mut DeviceQueue, dma: &impl DeviceMemory, id: u32, written: u32) {
    let at = address(queue, queue.next_used);
    let flags = if queue.used_wrap { AVAIL | USED } else { 0 };
    if queue.held.is_some() {
        write(dma, at, id, written, flags);
    } else {
        dma.store_u32(at + 8, written);
        dma.store_u16(at + 12, u16::try_from(id).unwrap_or(u16::MAX));
        queue.held = Some((at + 14, flags));
    }
}

pub(super) fn write(dma: &impl DeviceMemory, at: u64, id: u32, written: u32, flags: u16) {
    dma.store_u32(at + 8, written);
    dma.store_u16(at + 12, u16::try_from(id).unwrap_or(u16::MAX));
    fence(Ordering::Release);
    dma.store_u16(at + 14, flags);
}

pub(super) fn publish(queue: &mut DeviceQueue, dma: &impl DeviceMemory) {
    if let Some((at, flags)) = queue.held.take() {
        fence(Ordering::Release);
        dma.store_u16(at, flags);
    }
}
