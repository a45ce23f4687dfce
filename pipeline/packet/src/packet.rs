//! The owned packet: one buffer, the frame within it, and what is known about the frame.
//!
//! ```text
//! slot:  | head | headroom ........ | data: the frame ...... | tailroom ...... |
//!               0                 offset                offset + len        capacity
//! ```
//!
//! A packet is one pointer to its slot of the pool; where the frame lies and what is known about it
//! stands in the slot's first cache line, the *head*. So a packet moves by value through batches and
//! rings at the price of a word. It is the only owner of its slot: it is not `Clone`, and giving it
//! away ([`PoolCache::free`](crate::PoolCache::free), a queue) takes it by value, so a double free
//! cannot be written down.
//!
//! While a packet waits in a device queue the device writes its buffer, never its head. No Rust
//! reference to the bytes exists meanwhile, because references only come from `data()` and its like,
//! which the queue that owns the packet does not call before the device has given it back.

#![expect(
    clippy::cast_possible_truncation,
    reason = "offsets and lengths within a buffer: bounded by LARGE_BYTES, which fits u32"
)]

use crate::pool::{Class, Inner, LARGE_BYTES};
use crate::{HEADROOM, Offload, Offsets};
use core::fmt;
use core::ptr::NonNull;

const _: () = assert!(LARGE_BYTES <= u32::MAX as usize && HEADROOM <= u16::MAX as usize);
const _: () = assert!(size_of::<Option<Packet>>() == size_of::<usize>());

/// Bytes of a slot before its buffer: one cache line.
pub(crate) const HEAD_BYTES: usize = size_of::<Head>();
const _: () = assert!(HEAD_BYTES == 64);

/// What travels with a frame but is not in its bytes. The port stands first, so that what a device
/// gives, which is the port and zeros, is written in three pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PacketMeta {
    /// Datapath port on which the frame came in; `u32::MAX` for none.
    pub in_port: u32,
    /// Recirculation id: 0 on first entry.
    pub recirc_id: u32,
    /// Hash computed by a hash action, matchable as `dp_hash`.
    pub dp_hash: u32,
    /// How many cables between bridges it went through.
    pub n_cables: u32,
    /// `pkt_mark`.
    pub pkt_mark: u32,
    /// `skb_priority`: the output queue.
    pub skb_priority: u32,
    /// `tunnel_id`.
    pub tunnel_id: u64,
}

/// The first line of a slot in use. Written anew each time that the slot leaves the pool.
#[repr(align(64))]
struct Head {
    /// The pool to return to; alive because this slot is away from home.
    pool: NonNull<Inner>,
    /// First byte of the frame, from the start of the buffer.
    offset: u16,
    class: Class,
    /// Bytes of the frame.
    len: u32,
    /// Where the frame's layers begin, as far as somebody has looked.
    offsets: Offsets,
    /// What is left to do before the frame is one.
    offload: Offload,
    meta: PacketMeta,
}

/// A frame in a pool buffer.
pub struct Packet {
    /// The slot: the head, and the buffer behind it.
    head: NonNull<Head>,
}

// SAFETY: a packet owns its slot exclusively, and the pool behind it is `Sync`.
unsafe impl Send for Packet {}
// SAFETY: `&Packet` only reads bytes that cannot change while it is borrowed.
unsafe impl Sync for Packet {}

impl Packet {
    /// An empty frame with [`HEADROOM`] in front.
    ///
    /// # Safety
    ///
    /// `slot` is aligned as a [`Head`], names a slot of `class` in the region of `pool`, is valid
    /// for the whole of it, and nobody else owns it.
    #[inline]
    pub(crate) unsafe fn over(slot: NonNull<u8>, class: Class, pool: NonNull<Inner>) -> Self {
        let head = slot.cast::<Head>();
        let new = Head {
            pool,
            offset: HEADROOM as u16,
            class,
            len: 0,
            offsets: Offsets::NONE,
            offload: Offload::NONE,
            meta: PacketMeta::default(),
        };
        // SAFETY: the caller's promise: writable, aligned, owned by nobody else.
        unsafe { head.write(new) };
        Self { head }
    }

    /// A copy of `of`: its frame at the same place, and all that is known about it.
    ///
    /// # Safety
    ///
    /// As for [`over`](Self::over), and buffers of `class` are no shorter than headroom and frame of `of`.
    #[inline(always)]
    pub(crate) unsafe fn copy_over(
        slot: NonNull<u8>,
        class: Class,
        pool: NonNull<Inner>,
        of: &Self,
    ) -> Self {
        let head = slot.cast::<Head>();
        let Head { offset, len, offsets, offload, meta, .. } = *of.head();
        // SAFETY: the caller's promise: writable, aligned, owned by nobody else.
        unsafe { head.write(Head { pool, offset, class, len, offsets, offload, meta }) };
        let copy = Self { head };
        let (from, to) = (of.first(), copy.first());
        let room = of.buffer_capacity().min(copy.buffer_capacity());
        // SAFETY: both buffers have `room` bytes from there on, initialised (`Region`), and `len` is no more
        // by the caller's promise; `of` is borrowed and the slot owned, so they are two.
        unsafe { copy_bytes(from, to, of.len(), room) };
        copy
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: written by `over`, owned by this packet, and no device or slice of the buffer
        // reaches it. Borrowed by `&self`.
        unsafe { self.head.as_ref() }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut Head {
        // SAFETY: as in `head`; `&mut self` makes the borrow exclusive.
        unsafe { self.head.as_mut() }
    }

    /// First byte of the buffer.
    #[inline]
    fn start(&self) -> NonNull<u8> {
        // SAFETY: a slot is a head and the buffer behind it.
        unsafe { self.head.cast::<u8>().add(HEAD_BYTES) }
    }

    /// First byte of the frame.
    #[inline]
    fn first(&self) -> NonNull<u8> {
        // SAFETY: `offset <= capacity` always.
        unsafe { self.start().add(self.head().offset as usize) }
    }

    /// What is known about the frame.
    #[must_use]
    #[inline]
    pub fn meta(&self) -> &PacketMeta {
        &self.head().meta
    }

    /// What is known about the frame, to change.
    #[must_use]
    #[inline]
    pub fn meta_mut(&mut self) -> &mut PacketMeta {
        &mut self.head_mut().meta
    }

    /// Where the layers begin, as was found out last ([`set_offsets`](Self::set_offsets)); none in a
    /// fresh packet. Nothing here looks at them: who changes the frame keeps them true.
    #[must_use]
    #[inline]
    pub fn offsets(&self) -> Offsets {
        self.head().offsets
    }

    /// Remembers where the layers begin.
    #[inline]
    pub fn set_offsets(&mut self, offsets: Offsets) {
        self.head_mut().offsets = offsets;
    }

    /// What its sender has left to the device.
    #[must_use]
    #[inline]
    pub fn offload(&self) -> Offload {
        self.head().offload
    }

    pub(crate) fn set_offload(&mut self, offload: Offload) {
        self.head_mut().offload = offload;
    }

    /// The frame.
    #[must_use]
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: 1. `offset + len <= capacity` always, so the bytes lie in our buffer.
        // 2. They are initialised (`Region`) and exclusive to this packet, borrowed by `&self`.
        unsafe { core::slice::from_raw_parts(self.first().as_ptr(), self.len()) }
    }

    /// The frame, to change.
    #[must_use]
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`; `&mut self` makes the borrow exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.first().as_ptr(), self.len()) }
    }

    /// Bytes of the frame.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.head().len as usize
    }

    /// Whether the frame has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes by which the frame can grow at its front.
    #[must_use]
    #[inline]
    pub fn headroom(&self) -> usize {
        self.head().offset as usize
    }

    /// Bytes by which the frame can grow at its end.
    #[must_use]
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.capacity() - self.headroom() - self.len()
    }

    /// Grows the frame by `n` bytes at its front and returns them, or `None` when there is no such
    /// headroom. They hold whatever the buffer held: fill all of them.
    #[must_use]
    #[inline]
    pub fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        let head = self.head_mut();
        if n > head.offset as usize {
            return None;
        }
        head.offset -= n as u16;
        head.len += n as u32;
        self.data_mut().get_mut(..n)
    }

    /// Takes `n` bytes off the front; `false` (and no change) when the frame is shorter.
    #[must_use]
    #[inline]
    pub fn pull_front(&mut self, n: usize) -> bool {
        let head = self.head_mut();
        let offset = head.offset as usize + n;
        // The first byte of a frame is never so far behind that its place would not fit.
        if n > head.len as usize || offset > u16::MAX as usize {
            return false;
        }
        head.offset = offset as u16;
        head.len -= n as u32;
        true
    }

    /// Cuts the frame to `n` bytes, or grows it to `n` with zeros; `false` (and no change) when
    /// the buffer is too small.
    #[must_use]
    pub fn set_len(&mut self, n: usize) -> bool {
        let old = self.len();
        if !self.set_received_len(n) {
            return false;
        }
        if let Some(grown) = self.data_mut().get_mut(old..) {
            grown.fill(0);
        }
        true
    }

    /// As [`set_len`](Self::set_len) without clearing: a device wrote these bytes behind our back.
    #[must_use]
    #[inline]
    pub fn set_received_len(&mut self, n: usize) -> bool {
        if n > self.buffer_capacity() {
            return false;
        }
        self.head_mut().len = n as u32;
        true
    }

    /// Appends `bytes`; `false` (and no change) when they do not fit.
    #[must_use]
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let old = self.len();
        if bytes.len() > self.tailroom() {
            return false;
        }
        self.head_mut().len += bytes.len() as u32;
        if let Some(room) = self.data_mut().get_mut(old..) {
            room.copy_from_slice(bytes);
        }
        true
    }

    /// Makes the frame empty with [`HEADROOM`] in front, and forgets what was known about it.
    pub fn clear(&mut self) {
        let head = self.head_mut();
        head.offset = HEADROOM as u16;
        head.len = 0;
        head.offsets = Offsets::NONE;
        head.offload = Offload::NONE;
        head.meta = PacketMeta::default();
    }

    /// Asks for the line in which a frame behind the usual headroom begins, to read and to write it: a device has written
    /// it, so another core has it. Looks at nothing of the packet but where it is, and changes nothing but time.
    #[inline(always)]
    pub fn prefetch_frame(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            let place = self.head.as_ptr().wrapping_byte_add(HEAD_BYTES + HEADROOM);
            // SAFETY: a prefetch writes nothing that a program can see and cannot fault, wherever it is; and a processor
            // that does not know this kind does nothing.
            unsafe {
                core::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
            }
        }
    }

    /// Where the device finds the first byte of the frame.
    #[must_use]
    #[inline]
    pub fn device_address(&self) -> u64 {
        self.buffer_device_address()
    }

    /// Where a device may write, for posting a receive buffer: everything from the start of the
    /// frame on, [`buffer_capacity`](Self::buffer_capacity) bytes.
    #[must_use]
    #[inline]
    pub fn buffer_device_address(&self) -> u64 {
        // Exposed: from here on a device, which Rust does not see, may use the address.
        let address = self.first().as_ptr().expose_provenance() as u64;
        // SAFETY: the pool is alive, since our slot is away from home.
        let device_offset = unsafe { self.head().pool.as_ref() }.device_offset();
        address.wrapping_add(device_offset)
    }

    /// Bytes from the start of the frame to the end of the buffer.
    #[must_use]
    #[inline]
    pub fn buffer_capacity(&self) -> usize {
        self.capacity() - self.headroom()
    }

    /// Bytes of the buffer.
    #[inline]
    fn capacity(&self) -> usize {
        self.head().class.bytes()
    }

    /// The slot, which names the pool it is of by its address.
    #[inline]
    pub(crate) fn slot(&self) -> NonNull<u8> {
        self.head.cast()
    }

    /// Gives up ownership without going home: the caller now owns the slot.
    #[inline]
    pub(crate) fn forget(self) {
        core::mem::forget(self);
    }
}

/// Copies `len` bytes, and perhaps more. A short frame goes in whole lines, which is less work than to find out
/// where exactly it ends; what is behind it belongs to nobody.
///
/// # Safety
///
/// `from` is valid for reads and `to` for writes of `room` bytes, which do not overlap, and `len <= room`.
#[inline(always)]
unsafe fn copy_bytes(from: NonNull<u8>, to: NonNull<u8>, len: usize, room: usize) {
    const LINE: usize = 64;
    const SHORT: usize = 4 * LINE;
    if len > SHORT || len.next_multiple_of(LINE) > room {
        // SAFETY: the caller's promise.
        return unsafe { from.copy_to_nonoverlapping(to, len) };
    }
    for at in (0..len).step_by(LINE) {
        // SAFETY: a whole line from `at` on is within `room`, as was just seen.
        let from = unsafe { from.add(at) };
        // SAFETY: the same.
        let to = unsafe { to.add(at) };
        // SAFETY: the same.
        unsafe { from.copy_to_nonoverlapping(to, LINE) };
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let Head { pool, .. } = *self.head();
        // SAFETY: this packet owned the slot, so the pool is alive; the slot is given up here.
        unsafe { Inner::return_one(pool, self.slot()) };
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("len", &self.len())
            .field("headroom", &self.headroom())
            .field("meta", self.meta())
            .finish_non_exhaustive()
    }
}
