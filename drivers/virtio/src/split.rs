//! The split virtqueue (virtio 1.2 §2.7), for a driver that polls in bursts.
//!
//! # Shape
//! Three areas in one DMA region, each on cache lines of its own: the descriptor table (we write,
//! the device reads), the available ring (we write) and the used ring (the device writes).
//!
//! To [`add`](Ring::add) writes descriptors and entries of the available ring; [`publish`](Ring::publish)
//! is a single index store. [`pop_each`](Ring::pop_each) reads the device's index once per burst.
//!
//! In order, descriptors are taken and come back round the table (§2.7.9). A used element that names a
//! later chain than the oldest stands for all up to it: the device has moved its index on by as many.
//!
//! # Distrust
//! All that we must remember is in private memory (`slots`, `free`, the free-running indices).
//! From the device come only: `used.idx`, accepted if it does not run ahead of what is in flight;
//! the used element's id, accepted if it is the head of a chain in flight; and its length, accepted
//! if not more than was posted as writable. Anything else is a [`RingFault`]: the ring is dead and
//! says so from then on, since nothing about it can be known any more. `avail_event` and the used
//! flags are hints on notification; wrong ones cost the device its own wake-ups.
//!
//! # Memory ordering
//! - *Publish:* descriptors and ring entries are relaxed stores, the index is a release store:
//!   a device that reads the index (acquire) sees all that it covers (§2.7.13.3.1).
//! - *Notify or not:* our index store and our load of the device's `avail_event` (or flags) must
//!   not pass each other, or both sides go to sleep: the device writes its event, then looks at
//!   our index; we write our index, then look at its event. That is store-load, which only a
//!   sequentially consistent fence orders (§2.7.13.4.1).
//! - *Collect:* `used.idx` is an acquire load: the used elements, and the bytes of the buffers that
//!   the device wrote before it stored the index, are visible after it.
//!
//! # No interrupts, or one
//! The driver polls. Without the event index, the flag `NO_INTERRUPT` says so (§2.7.7). With it, the
//! flag must stay 0 and `used_event` names the entry after which we want an interrupt; we keep it
//! on the entry just consumed, the one that is the full 65,536 entries away. A core that is about to
//! rest asks for one interrupt by [`arm`](Ring::arm); what it finds afterwards takes the wish
//! back. As with notifying, wish and look must not pass each other: a fence stands between.
//!
//! # Cost and concurrency
//! No allocation after `new`, no lock; owned by one core through `&mut`.

use crate::DmaRegion;
use crate::ring::{Buffer, MAX_QUEUE_SIZE, Ring, RingFault, RingTerms, Used};
use crate::shared::{Descriptor, UsedElement};
use alloc::boxed::Box;
use alloc::vec;
use core::sync::atomic::{AtomicU16, Ordering, fence};

/// Descriptor flag: the chain goes on at `next` (§2.7.5).
const DESC_NEXT: u16 = 1;
/// Descriptor flag: the device writes into this buffer.
const DESC_WRITE: u16 = 2;
/// Available ring flag: no interrupts, please (§2.7.6).
const AVAIL_NO_INTERRUPT: u16 = 1;
/// Used ring flag: no notifications, please (§2.7.8).
const USED_NO_NOTIFY: u16 = 1;

/// What we remember of one descriptor.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Descriptors in the chain that starts here while it is in flight; 0 otherwise.
    chain: u16,
    /// The next descriptor of the chain, or of the free list.
    next: u16,
    /// Bytes that the device may write into the chain.
    writable: u32,
}

/// What has come back in a burst, and where the ring stands by it.
#[derive(Clone, Copy, Debug)]
struct Back {
    next_used: u16,
    free: u16,
    n_chains: u16,
    n_descriptors: u16,
}

/// Byte offsets of the three areas.
#[derive(Clone, Copy, Debug)]
struct Layout {
    avail: usize,
    used: usize,
    total: usize,
}

impl Layout {
    /// §2.7: 16 bytes a descriptor; flags, index, entries and one event word in each ring.
    fn new(size: u16) -> Self {
        let size = usize::from(size);
        let avail = (16 * size).next_multiple_of(64);
        let used = (avail + 6 + 2 * size).next_multiple_of(64);
        Self { avail, used, total: used + 6 + 8 * size }
    }
}

/// A split virtqueue, driver side.
#[derive(Debug)]
pub struct SplitQueue {
    region: DmaRegion,
    layout: Layout,
    size: u16,
    terms: RingTerms,
    slots: Box<[Slot]>,
    /// First free descriptor; meaningful while `n_free > 0`.
    free: u16,
    n_free: u16,
    /// In order: the head of the oldest chain in flight.
    oldest: u16,
    /// In order: the last chain of a batch that the device returned and we have not yet given.
    batch_end: Option<Used>,
    /// Chains in flight.
    in_flight: u16,
    /// Free-running index of the next available entry to write.
    next_avail: u16,
    /// What `avail.idx` says.
    published: u16,
    /// Free-running index of the next used entry to read.
    next_used: u16,
    /// `used.idx` as last read and accepted.
    seen_used: u16,
    /// An interrupt was asked for and has not been taken back.
    is_armed: bool,
    /// Why the queue is dead, when it is.
    fault: Option<RingFault>,
}

impl Ring for SplitQueue {
    fn required_bytes(size: u16) -> usize {
        Layout::new(size).total
    }

    fn in_region(size: u16, terms: RingTerms, region: DmaRegion) -> Option<Self> {
        let layout = Layout::new(size);
        let is_usable = size.is_power_of_two()
            && size <= MAX_QUEUE_SIZE
            && region.len() >= layout.total
            && region.start().addr().get().is_multiple_of(64);
        if !is_usable {
            return None;
        }
        let mut slots = vec![Slot::default(); usize::from(size)].into_boxed_slice();
        for (next, slot) in (1..).zip(&mut slots) {
            // Round the table: in order, descriptors are taken and come back like that for ever.
            slot.next = next & (size - 1);
        }
        let mut queue = Self {
            region,
            layout,
            size,
            terms,
            slots,
            free: 0,
            n_free: size,
            oldest: 0,
            batch_end: None,
            in_flight: 0,
            next_avail: 0,
            published: 0,
            next_used: 0,
            seen_used: 0,
            is_armed: false,
            fault: None,
        };
        queue.clear();
        Some(queue)
    }

    fn into_region(self) -> DmaRegion {
        self.region
    }

    fn device_addresses(&self) -> (u64, u64, u64) {
        let base = self.region.device_address();
        (base, base + self.layout.avail as u64, base + self.layout.used as u64)
    }

    #[inline]
    fn size(&self) -> u16 {
        self.size
    }

    #[inline]
    fn n_free(&self) -> u16 {
        self.n_free
    }

    fn in_flight(&self) -> u16 {
        self.in_flight
    }

    fn fault(&self) -> Option<RingFault> {
        self.fault
    }

    #[inline]
    fn add(&mut self, chain: &[Buffer]) -> Option<u16> {
        let len = u16::try_from(chain.len()).ok()?;
        if len == 0 || len > self.n_free || self.fault.is_some() {
            return None;
        }
        let head = self.free;
        let mut at = head;
        let mut writable = 0_u32;
        for (left, buffer) in (0..len).rev().zip(chain) {
            let next = self.slots[usize::from(at)].next;
            let mut flags = if left > 0 { DESC_NEXT } else { 0 };
            if buffer.is_device_written {
                flags |= DESC_WRITE;
                writable = writable.saturating_add(buffer.len);
            }
            let descriptors = self.region.shared().table::<Descriptor>(0, self.size);
            let next_or_none = if left > 0 { next } else { 0 };
            write_descriptor(&descriptors[usize::from(at)], buffer, flags, next_or_none);
            at = next;
        }
        self.free = at;
        self.n_free -= len;
        let slot = &mut self.slots[usize::from(head)];
        slot.chain = len;
        slot.writable = writable;

        let entry = self.layout.avail + 4 + 2 * usize::from(self.next_avail & (self.size - 1));
        self.region.shared().u16(entry).store(head.to_le(), Ordering::Relaxed);
        self.next_avail = self.next_avail.wrapping_add(1);
        self.in_flight += 1;
        Some(head)
    }

    #[inline(always)]
    fn add_each(&mut self, mut next: impl FnMut(u16) -> Option<Buffer>) -> u16 {
        if self.fault.is_some() {
            return 0;
        }
        let (size, n_free, slots) = (self.size, self.n_free, &mut *self.slots);
        let memory = self.region.shared();
        let descriptors = memory.table::<Descriptor>(0, size);
        let entries = memory.table::<AtomicU16>(self.layout.avail + 4, size);
        let (mut free, mut next_avail) = (self.free, self.next_avail);
        let mut n_added = 0;
        while n_added < n_free {
            let Some(buffer) = next(free) else { break };
            let flags = if buffer.is_device_written { DESC_WRITE } else { 0 };
            write_descriptor(&descriptors[usize::from(free)], &buffer, flags, 0);
            let entry = &entries[usize::from(next_avail & (size - 1))];
            entry.store(free.to_le(), Ordering::Relaxed);
            let slot = &mut slots[usize::from(free)];
            slot.chain = 1;
            slot.writable = if buffer.is_device_written { buffer.len } else { 0 };
            free = slot.next;
            next_avail = next_avail.wrapping_add(1);
            n_added += 1;
        }
        (self.free, self.next_avail) = (free, next_avail);
        self.n_free -= n_added;
        self.in_flight += n_added;
        n_added
    }

    fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.next_avail);
        if old == new {
            return false;
        }
        let memory = self.region.shared();
        memory.u16(self.layout.avail + 2).store(new.to_le(), Ordering::Release);
        self.published = new;
        // Between our index and the device's wish; see "Memory ordering".
        fence(Ordering::SeqCst);
        if self.terms.has_event_idx {
            let at = self.layout.used + 4 + 8 * usize::from(self.size);
            let event = u16::from_le(memory.u16(at).load(Ordering::Relaxed));
            // §2.7.10: when the event lies within the entries just published.
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            let flags = u16::from_le(memory.u16(self.layout.used).load(Ordering::Relaxed));
            flags & USED_NO_NOTIFY == 0
        }
    }

    /// The device's index is read only when all that the last read covered has been taken.
    #[inline(always)]
    fn pop_each(&mut self, most: u16, mut take: impl FnMut(Used)) -> Result<(), RingFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut left = most;
        while left > 0 {
            if self.next_used == self.seen_used && self.batch_end.is_none() && !self.look()? {
                break;
            }
            let mut back =
                Back { next_used: self.next_used, free: self.free, n_chains: 0, n_descriptors: 0 };
            let popped = match self.terms.is_in_order {
                true => self.pop_in_order(left, &mut back, &mut take),
                false => self.pop_by_id(left, &mut back, &mut take),
            };
            let Back { next_used, free, n_chains, n_descriptors } = back;
            (self.next_used, self.free) = (next_used, free);
            self.n_free += n_descriptors;
            self.in_flight -= n_chains;
            left -= n_chains;
            popped.map_err(|fault| self.kill(fault))?;
        }
        Ok(())
    }

    fn arm(&mut self) -> bool {
        if self.fault.is_some() || self.next_used != self.seen_used {
            return false;
        }
        let memory = self.region.shared();
        self.is_armed = true;
        if self.terms.has_event_idx {
            memory.u16(self.used_event()).store(self.next_used.to_le(), Ordering::Relaxed);
        } else {
            memory.u16(self.layout.avail).store(0, Ordering::Relaxed);
        }
        // Between our wish and the device's index; see the module's head.
        fence(Ordering::SeqCst);
        let index = u16::from_le(memory.u16(self.layout.used + 2).load(Ordering::Acquire));
        index == self.next_used
    }
}

impl SplitQueue {
    fn clear(&mut self) {
        let memory = self.region.shared();
        for at in (0..self.layout.total / 2 * 2).step_by(2) {
            memory.u16(at).store(0, Ordering::Relaxed);
        }
        self.is_armed = !self.terms.has_event_idx;
        self.suppress_interrupts();
    }

    /// Reads the device's index; whether there is anything new.
    fn look(&mut self) -> Result<bool, RingFault> {
        let at = self.layout.used + 2;
        let index = u16::from_le(self.region.shared().u16(at).load(Ordering::Acquire));
        let fresh = index.wrapping_sub(self.next_used);
        if fresh > self.in_flight {
            return Err(self.kill(RingFault::BadIndex));
        }
        if fresh != 0 {
            self.seen_used = index;
            self.suppress_interrupts();
        }
        Ok(fresh != 0)
    }

    /// What the device says of the next chain that came back, if it is one in flight.
    #[inline(always)]
    fn told(elements: &[UsedElement], slots: &[Slot], next_used: u16) -> Result<Used, RingFault> {
        let element = &elements[usize::from(next_used) & (elements.len() - 1)];
        let id = u32::from_le(element.id.load(Ordering::Relaxed));
        let written = u32::from_le(element.len.load(Ordering::Relaxed));
        let id = u16::try_from(id).map_err(|_| RingFault::BadId)?;
        let slot = slots.get(usize::from(id)).ok_or(RingFault::BadId)?;
        if slot.chain == 0 {
            return Err(RingFault::NotInFlight);
        }
        if written > slot.writable {
            return Err(RingFault::BadLength);
        }
        Ok(Used { id, written })
    }

    /// [`pop_each`](Ring::pop_each) where the device names any chain, of those that its index covers.
    ///
    /// Chains added but not published count as in flight for nobody but us; a device that returns one of those guessed an
    /// id that it was never told, which `chain != 0` cannot tell apart and which harms nobody: the buffer is ours again
    /// either way.
    #[inline(always)]
    fn pop_by_id(
        &mut self,
        most: u16,
        back: &mut Back,
        take: &mut impl FnMut(Used),
    ) -> Result<(), RingFault> {
        let (seen_used, memory, slots) = (self.seen_used, self.region.shared(), &mut *self.slots);
        let elements = memory.table::<UsedElement>(self.layout.used + 4, self.size);
        while back.n_chains < most && back.next_used != seen_used {
            let used = Self::told(elements, slots, back.next_used)?;
            let slot = &mut slots[usize::from(used.id)];
            let (chain, mut after) = (core::mem::take(&mut slot.chain), slot.next);
            let mut last = used.id;
            for _ in 1..chain {
                (last, after) = (after, slots[usize::from(after)].next);
            }
            slots[usize::from(last)].next = core::mem::replace(&mut back.free, used.id);
            // It is used again next; the device, which only reads it, is done with it.
            memory.own_soon(16 * usize::from(used.id));
            back.next_used = back.next_used.wrapping_add(1);
            back.n_chains += 1;
            back.n_descriptors += chain;
            take(used);
        }
        Ok(())
    }

    /// [`pop_each`](Ring::pop_each) where chains come back in order, and the one that the device names stands for all up
    /// to it. Each of them is one of those by which it moved its index on.
    #[inline(always)]
    fn pop_in_order(
        &mut self,
        most: u16,
        back: &mut Back,
        take: &mut impl FnMut(Used),
    ) -> Result<(), RingFault> {
        let (size, seen_used) = (self.size, self.seen_used);
        let (memory, slots) = (self.region.shared(), &mut *self.slots);
        let elements = memory.table::<UsedElement>(self.layout.used + 4, size);
        while back.n_chains < most {
            if back.next_used == seen_used {
                return if self.batch_end.is_some() { Err(RingFault::BadIndex) } else { Ok(()) };
            }
            let end = match self.batch_end.take() {
                Some(end) => end,
                None => Self::told(elements, slots, back.next_used)?,
            };
            let id = self.oldest;
            let slot = &mut slots[usize::from(id)];
            let (chain, writable) = (core::mem::take(&mut slot.chain), slot.writable);
            if chain == 0 {
                return Err(RingFault::NotInFlight);
            }
            memory.own_soon(16 * usize::from(id));
            self.oldest = id.wrapping_add(chain) & (size - 1);
            back.next_used = back.next_used.wrapping_add(1);
            back.n_chains += 1;
            back.n_descriptors += chain;
            if id == end.id {
                take(end);
            } else {
                self.batch_end = Some(end);
                take(Used { id, written: writable });
            }
        }
        Ok(())
    }

    /// With the event index: keeps `used_event` on the last entry already seen: an interrupt is due
    /// only a whole turn of the index later, and we are here again before. Without: says so in the
    /// flags, if it was otherwise.
    fn suppress_interrupts(&mut self) {
        let memory = self.region.shared();
        if self.terms.has_event_idx {
            let event = self.seen_used.wrapping_sub(1);
            memory.u16(self.used_event()).store(event.to_le(), Ordering::Relaxed);
        } else if self.is_armed {
            memory.u16(self.layout.avail).store(AVAIL_NO_INTERRUPT.to_le(), Ordering::Relaxed);
        }
        self.is_armed = false;
    }

    /// Where `used_event` is: behind the available ring.
    fn used_event(&self) -> usize {
        self.layout.avail + 4 + 2 * usize::from(self.size)
    }

    fn kill(&mut self, fault: RingFault) -> RingFault {
        self.fault = Some(fault);
        fault
    }
}

/// Writes a descriptor of the table.
#[inline(always)]
fn write_descriptor(descriptor: &Descriptor, buffer: &Buffer, flags: u16, next: u16) {
    let rest = u64::from(buffer.len) | u64::from(flags) << 32 | u64::from(next) << 48;
    descriptor.address.store(buffer.device_address.to_le(), Ordering::Relaxed);
    descriptor.rest.store(rest.to_le(), Ordering::Relaxed);
}
