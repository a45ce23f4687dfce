//! The packed virtqueue (virtio 1.2 §2.8), for a driver that polls in bursts.
//!
//! # Shape
//! One ring of descriptors that both sides write, and two words of four bytes on lines of their own: our
//! wish for interrupts and the device's for notifications. A descriptor says itself whose it is: two
//! bits of its flags, `AVAIL` and `USED`, are compared with a *wrap counter*, which turns over each time
//! the ring comes round. `AVAIL` as the counter and `USED` not: the device's. Both as the counter: ours
//! again. So a chain costs one line for both directions, where the split ring has three.
//!
//! A returned descriptor is written where the device is in the ring, not where the chain stood: its *id*
//! says which chain it is, and we move on by as many descriptors as that chain had.
//!
//! # One publication for a burst
//! The device takes descriptors strictly in the order of the ring, so nothing behind the first one of a
//! burst is looked at before that one. All descriptors are written with their flags, but for the flags
//! of the first: these are what [`publish`](Ring::publish) stores.
//!
//! # Distrust
//! All that we must remember is in private memory (`slots`, the positions and their wrap counters); what
//! stands in the ring is never read back as ours. From the device come only: the flags, which are as they
//! must be or say nothing; an id, accepted if it is that of a chain in flight; and a length, accepted if
//! not more than was posted as writable (for a chain that it only reads, the length means nothing,
//! §2.8.6). Anything else is a [`RingFault`]: the ring is dead. A device that confuses its wrap counter
//! returns nothing, or a chain once more, which is not in flight. Its wish for notifications is a hint.
//!
//! # Memory ordering
//! - *Publish:* the flags of the first descriptor are a release store; what is behind it was written
//!   before. A device that reads these flags (acquire) sees the burst (§2.8.21.1).
//! - *Notify or not:* our flags and our load of the device's wish must not pass each other: it writes its
//!   wish, then looks at the next descriptor. A sequentially consistent fence orders it (§2.8.21.3).
//! - *Collect:* the flags are an acquire load: id, length, and the bytes of the buffers are visible after.
//!
//! # No interrupts, or one
//! Our wish is "none" (§2.8.14) but after [`arm`](Ring::arm): then it is the position of the next
//! descriptor to come back, where the event index was negotiated, otherwise "any". Wish and flags of
//! four bytes are one store. What comes back takes the wish back.
//!
//! # Cost and concurrency
//! A chain of one buffer is two stores into one line, and one load when it is back: what is not the address is one word,
//! read and written at once, so who sees its flags sees its id and length. A line that came back whole is asked for to be
//! written, before its turn comes. No allocation after
//! `new`, no lock; owned by one core through `&mut`.

use crate::DmaRegion;
use crate::ring::{Buffer, MAX_QUEUE_SIZE, Ring, RingFault, RingTerms, Used};
use crate::shared::{Descriptor, Shared};
use alloc::boxed::Box;
use alloc::vec;
use core::sync::atomic::{Ordering, fence};

/// Descriptor flag: the chain goes on with the next descriptor (§2.8.7).
const DESC_NEXT: u16 = 1;
/// Descriptor flag: the device writes into this buffer.
const DESC_WRITE: u16 = 2;
/// Descriptor flag: the wrap counter of who made it available (§2.8.1).
const DESC_AVAIL: u16 = 1 << 7;
/// Descriptor flag: the wrap counter of the device when it returned it; the other value before.
const DESC_USED: u16 = 1 << 15;
/// Flags of a wish (§2.8.10): any event, none, the one at a descriptor.
const EVENTS_ANY: u32 = 0;
const EVENTS_NONE: u32 = 1;
const EVENTS_AT: u32 = 2;

/// Where one side is in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    at: u16,
    /// The wrap counter: true in the first round.
    wrap: bool,
}

impl Position {
    const START: Self = Self { at: 0, wrap: true };

    /// `by` is at most `size`, a power of two.
    #[inline(always)]
    fn advance(&mut self, by: u16, size: u16) {
        let at = self.at + by;
        self.wrap ^= at >= size;
        self.at = at & (size - 1);
    }

    /// Flags of a descriptor that is the device's from here on.
    #[inline]
    fn available(self) -> u16 {
        if self.wrap { DESC_AVAIL } else { DESC_USED }
    }

    /// Whether a descriptor with these flags is back.
    #[inline]
    fn is_used(self, flags: u16) -> bool {
        flags & (DESC_AVAIL | DESC_USED) == if self.wrap { DESC_AVAIL | DESC_USED } else { 0 }
    }

    /// As a wish has it: the position, and the wrap counter in the highest of 16 bits.
    fn as_event(self) -> u32 {
        u32::from(self.at) | u32::from(self.wrap) << 15
    }
}

/// All of a descriptor but the address, in one word: who sees the flags sees the rest.
#[derive(Clone, Copy, Debug)]
struct Rest {
    len: u32,
    id: u16,
    flags: u16,
}

impl Rest {
    /// As it stands in the ring.
    #[inline]
    fn to_word(self) -> u64 {
        let Self { len, id, flags } = self;
        (u64::from(len) | u64::from(id) << 32 | u64::from(flags) << 48).to_le()
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each takes its bits")]
    fn of_word(word: u64) -> Self {
        let word = u64::from_le(word);
        Self { len: word as u32, id: (word >> 32) as u16, flags: (word >> 48) as u16 }
    }
}

/// What we remember of the chain with an id.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Its descriptors while it is in flight; 0 otherwise.
    chain: u16,
    /// The next free id; of no use in order.
    next: u16,
    /// Bytes that the device may write into it.
    writable: u32,
}

/// What has come back in a burst, and where the ring stands by it.
#[derive(Clone, Copy, Debug)]
struct Back {
    next: Position,
    free: u16,
    n_chains: u16,
    n_descriptors: u16,
}

/// Asks for a line of the ring when its last descriptor came back (§2.8.13: 16 bytes each): the device needs it no more,
/// and we write there next.
#[inline(always)]
fn own_again(memory: &Shared, at: Position) {
    if at.at & 3 == 3 {
        memory.own_soon(16 * usize::from(at.at));
    }
}

/// Byte offsets of the three areas; the descriptors are at 0.
#[derive(Clone, Copy, Debug)]
struct Layout {
    driver: usize,
    device: usize,
    total: usize,
}

impl Layout {
    /// §2.8: 16 bytes a descriptor, 4 bytes for each wish.
    fn new(size: u16) -> Self {
        let driver = (16 * usize::from(size)).next_multiple_of(64);
        Self { driver, device: driver + 64, total: driver + 64 + 4 }
    }
}

/// A packed virtqueue, driver side.
#[derive(Debug)]
pub struct PackedQueue {
    region: DmaRegion,
    layout: Layout,
    size: u16,
    terms: RingTerms,
    /// By id. In order the id is the position of the first descriptor.
    slots: Box<[Slot]>,
    /// First free id; meaningful while `n_free > 0`, and not in order.
    free: u16,
    /// Descriptors that can be written.
    n_free: u16,
    /// Chains in flight.
    in_flight: u16,
    /// Where the next descriptor goes.
    next_avail: Position,
    /// Where the next used descriptor will be.
    next_used: Position,
    /// Descriptors written and not published.
    n_unpublished: u16,
    /// The first of them, and what is to stand there.
    first: (u16, u64),
    /// In order: the last chain of a batch that the device returned and we have not yet given.
    batch_end: Option<Used>,
    /// An interrupt was asked for and has not been taken back.
    is_armed: bool,
    /// Why the queue is dead, when it is.
    fault: Option<RingFault>,
}

impl Ring for PackedQueue {
    fn required_bytes(size: u16) -> usize {
        Layout::new(size).total
    }

    fn in_region(size: u16, terms: RingTerms, region: DmaRegion) -> Option<Self> {
        let layout = Layout::new(size);
        // Any size would do (§2.8.10.1); one rule for both rings is simpler.
        let is_usable = size.is_power_of_two()
            && size <= MAX_QUEUE_SIZE
            && region.len() >= layout.total
            && region.start().addr().get().is_multiple_of(64);
        if !is_usable {
            return None;
        }
        let mut slots = vec![Slot::default(); usize::from(size)].into_boxed_slice();
        for (next, slot) in (1..).zip(&mut slots) {
            slot.next = next;
        }
        let mut queue = Self {
            region,
            layout,
            size,
            terms,
            slots,
            free: 0,
            n_free: size,
            in_flight: 0,
            next_avail: Position::START,
            next_used: Position::START,
            n_unpublished: 0,
            first: (0, 0),
            batch_end: None,
            is_armed: true,
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
        (base, base + self.layout.driver as u64, base + self.layout.device as u64)
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
        let id = if self.terms.is_in_order { self.next_avail.at } else { self.free };
        let mut writable = 0_u32;
        for (left, buffer) in (0..len).rev().zip(chain) {
            let next = if left > 0 { DESC_NEXT } else { 0 };
            if buffer.is_device_written {
                writable = writable.saturating_add(buffer.len);
            }
            self.write_descriptor(id, buffer, next);
        }
        self.take_id(id, len, writable);
        Some(id)
    }

    #[inline(always)]
    fn add_each(&mut self, mut next: impl FnMut(u16) -> Option<Buffer>) -> u16 {
        if self.fault.is_some() {
            return 0;
        }
        let (size, n_free, is_in_order) = (self.size, self.n_free, self.terms.is_in_order);
        let slots = &mut *self.slots;
        let ring = self.region.shared().table::<Descriptor>(0, size);
        let (mut place, mut free) = (self.next_avail, self.free);
        let mut is_first = self.n_unpublished == 0;
        let mut n_added = 0;
        while n_added < n_free {
            let id = if is_in_order { place.at } else { free };
            let Some(buffer) = next(id) else { break };
            let write = if buffer.is_device_written { DESC_WRITE } else { 0 };
            let rest = Rest { len: buffer.len, id, flags: place.available() | write };
            let descriptor = &ring[usize::from(place.at)];
            descriptor.address.store(buffer.device_address.to_le(), Ordering::Relaxed);
            if is_first {
                is_first = false;
                self.first = (place.at, rest.to_word());
            } else {
                descriptor.rest.store(rest.to_word(), Ordering::Relaxed);
            }
            let writable = if buffer.is_device_written { buffer.len } else { 0 };
            let slot = &mut slots[usize::from(id)];
            free = slot.next;
            *slot = Slot { chain: 1, next: free, writable };
            place.advance(1, size);
            n_added += 1;
        }
        (self.next_avail, self.free) = (place, free);
        self.n_free -= n_added;
        self.in_flight += n_added;
        self.n_unpublished += n_added;
        n_added
    }

    fn publish(&mut self) -> bool {
        let n_new = core::mem::take(&mut self.n_unpublished);
        if n_new == 0 {
            return false;
        }
        let memory = self.region.shared();
        let (at, rest) = self.first;
        let first = &memory.table::<Descriptor>(0, self.size)[usize::from(at)];
        first.rest.store(rest, Ordering::Release);
        // Between our flags and the device's wish; see "Memory ordering".
        fence(Ordering::SeqCst);
        let wish = u32::from_le(memory.u32(self.layout.device).load(Ordering::Relaxed));
        match wish >> 16 & 3 {
            EVENTS_NONE => false,
            EVENTS_AT if self.terms.has_event_idx => {
                let [event, new] = [wish & 0x7fff, self.next_avail.at.into()];
                // §2.8.10: positions of the round before are that much further back. When the event lies
                // within the descriptors just published.
                let is_this_round = (wish >> 15 & 1 != 0) == self.next_avail.wrap;
                let back = if is_this_round { 0 } else { u32::from(self.size) };
                let since = new.wrapping_add(back).wrapping_sub(event).wrapping_sub(1);
                since & 0xffff < u32::from(n_new)
            }
            _ => true,
        }
    }

    #[inline(always)]
    fn pop_each(&mut self, most: u16, mut take: impl FnMut(Used)) -> Result<(), RingFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut back =
            Back { next: self.next_used, free: self.free, n_chains: 0, n_descriptors: 0 };
        let outcome = match self.terms.is_in_order {
            true => self.pop_in_order(most, &mut back, &mut take),
            false => self.pop_by_id(most, &mut back, &mut take),
        };
        let Back { next, free, n_chains, n_descriptors } = back;
        (self.next_used, self.free) = (next, free);
        self.n_free += n_descriptors;
        self.in_flight -= n_chains;
        if n_chains > 0 && self.is_armed {
            self.suppress_interrupts();
        }
        outcome.inspect_err(|fault| self.fault = Some(*fault))
    }

    fn arm(&mut self) -> bool {
        if self.fault.is_some() || self.batch_end.is_some() {
            return false;
        }
        let memory = self.region.shared();
        self.is_armed = true;
        let wish = match self.terms.has_event_idx {
            true => EVENTS_AT << 16 | self.next_used.as_event(),
            false => EVENTS_ANY << 16,
        };
        memory.u32(self.layout.driver).store(wish.to_le(), Ordering::Relaxed);
        // Between our wish and the device's flags; see the module's head.
        fence(Ordering::SeqCst);
        let next = &memory.table::<Descriptor>(0, self.size)[usize::from(self.next_used.at)];
        !self.next_used.is_used(Rest::of_word(next.rest.load(Ordering::Acquire)).flags)
    }
}

impl PackedQueue {
    fn clear(&mut self) {
        let memory = self.region.shared();
        for at in (0..self.layout.total).step_by(4) {
            memory.u32(at).store(0, Ordering::Relaxed);
        }
        self.suppress_interrupts();
    }

    /// Writes the next descriptor, of the chain `id`. The first of a burst stays ours until [`publish`](Ring::publish).
    fn write_descriptor(&mut self, id: u16, buffer: &Buffer, next: u16) {
        let position = self.next_avail;
        let write = if buffer.is_device_written { DESC_WRITE } else { 0 };
        let rest = Rest { len: buffer.len, id, flags: position.available() | next | write };
        let ring = self.region.shared().table::<Descriptor>(0, self.size);
        let descriptor = &ring[usize::from(position.at)];
        descriptor.address.store(buffer.device_address.to_le(), Ordering::Relaxed);
        if self.n_unpublished == 0 {
            self.first = (position.at, rest.to_word());
        } else {
            descriptor.rest.store(rest.to_word(), Ordering::Relaxed);
        }
        self.n_unpublished += 1;
        self.next_avail.advance(1, self.size);
    }

    /// Remembers the chain of that free id, whose descriptors have been written.
    fn take_id(&mut self, id: u16, chain: u16, writable: u32) {
        self.n_free -= chain;
        self.in_flight += 1;
        let slot = &mut self.slots[usize::from(id)];
        self.free = slot.next;
        slot.chain = chain;
        slot.writable = writable;
    }

    /// What the device says of the next chain that came back, if it is one in flight.
    #[inline(always)]
    fn look(
        ring: &[Descriptor],
        slots: &[Slot],
        next: Position,
    ) -> Result<Option<Used>, RingFault> {
        let word = ring[usize::from(next.at)].rest.load(Ordering::Acquire);
        let Rest { len, id, flags } = Rest::of_word(word);
        if !next.is_used(flags) {
            return Ok(None);
        }
        let slot = slots.get(usize::from(id)).ok_or(RingFault::BadId)?;
        if slot.chain == 0 {
            return Err(RingFault::NotInFlight);
        }
        let written = if slot.writable == 0 { 0 } else { len };
        if written > slot.writable {
            return Err(RingFault::BadLength);
        }
        Ok(Some(Used { id, written }))
    }

    /// [`pop_each`](Ring::pop_each) where the device names any chain.
    ///
    /// As with the split ring, a chain that was added and not published, returned by a device that guessed its id, is
    /// ours again.
    #[inline(always)]
    fn pop_by_id(
        &mut self,
        most: u16,
        back: &mut Back,
        take: &mut impl FnMut(Used),
    ) -> Result<(), RingFault> {
        let (size, memory, slots) = (self.size, self.region.shared(), &mut *self.slots);
        let ring = memory.table::<Descriptor>(0, size);
        while back.n_chains < most {
            let Some(used) = Self::look(ring, slots, back.next)? else { break };
            let slot = &mut slots[usize::from(used.id)];
            let chain = core::mem::take(&mut slot.chain);
            slot.next = core::mem::replace(&mut back.free, used.id);
            own_again(memory, back.next);
            back.next.advance(chain, size);
            back.n_chains += 1;
            back.n_descriptors += chain;
            take(used);
        }
        Ok(())
    }

    /// [`pop_each`](Ring::pop_each) where chains come back in order, and the one that the device names stands for all up
    /// to it.
    #[inline(always)]
    fn pop_in_order(
        &mut self,
        most: u16,
        back: &mut Back,
        take: &mut impl FnMut(Used),
    ) -> Result<(), RingFault> {
        let (size, memory, slots) = (self.size, self.region.shared(), &mut *self.slots);
        let ring = memory.table::<Descriptor>(0, size);
        while back.n_chains < most {
            let end = match self.batch_end.take() {
                Some(end) => end,
                None => match Self::look(ring, slots, back.next)? {
                    Some(end) => end,
                    None => break,
                },
            };
            loop {
                let id = back.next.at;
                let slot = &mut slots[usize::from(id)];
                let chain = core::mem::take(&mut slot.chain);
                if chain == 0 {
                    return Err(RingFault::NotInFlight);
                }
                let written = slot.writable;
                own_again(memory, back.next);
                back.next.advance(chain, size);
                back.n_chains += 1;
                back.n_descriptors += chain;
                if id == end.id {
                    take(end);
                    break;
                }
                take(Used { id, written });
                if back.n_chains == most {
                    self.batch_end = Some(end);
                    break;
                }
            }
        }
        Ok(())
    }

    fn suppress_interrupts(&mut self) {
        let driver = self.region.shared().u32(self.layout.driver);
        driver.store((EVENTS_NONE << 16).to_le(), Ordering::Relaxed);
        self.is_armed = false;
    }
}
