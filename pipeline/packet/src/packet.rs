//! The owned packet: one buffer, the frame within it, and what is known about the frame.
//!
//! ```text
//! buffer:  | headroom ........ | data: the frame ...... | tailroom ...... |
//!          0                 offset                offset + len        capacity
//! ```
//!
//! A packet is 64 bytes, one cache line, and moves by value. It is the only owner of its buffer:
//! it is not `Clone`, and giving it away ([`PoolCache::free`](crate::PoolCache::free), a queue)
//! takes it by value, so a double free cannot be written down.
//!
//! While a packet waits in a device queue the device writes its buffer. No Rust reference to the
//! bytes exists meanwhile, because references only come from `data()` and its like, which the
//! queue that owns the packet does not call before the device has given it back.

#![expect(
    clippy::cast_possible_truncation,
    reason = "offsets and lengths within a buffer: bounded by JUMBO_BYTES, which fits u16"
)]

use crate::HEADROOM;
use crate::pool::{Class, Inner, JUMBO_BYTES};
use core::fmt;
use core::ptr::NonNull;

const _: () = assert!(JUMBO_BYTES <= u16::MAX as usize);
const _: () = assert!(size_of::<Packet>() == 64);

/// What travels with a frame but is not in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketMeta {
    /// Datapath port on which the frame came in; `u32::MAX` for none.
    pub in_port: u32,
    /// Recirculation id: 0 on first entry.
    pub recirc_id: u32,
    /// Hash computed by a hash action, matchable as `dp_hash`.
    pub dp_hash: u32,
    /// Hash of the flow, computed once on entry and reused; 0 when not known.
    pub rss_hash: u32,
    /// `pkt_mark`.
    pub pkt_mark: u32,
    /// `skb_priority`: the output queue.
    pub skb_priority: u32,
    /// `tunnel_id`.
    pub tunnel_id: u64,
}

/// A frame in a pool buffer.
pub struct Packet {
    /// First byte of the buffer.
    start: NonNull<u8>,
    /// The pool to return to; alive because this buffer is away from home.
    pool: NonNull<Inner>,
    /// First byte of the frame, from `start`.
    offset: u16,
    /// Bytes of the frame.
    len: u16,
    class: Class,
    /// Which buffer of its class.
    index: u32,
    /// What is known about the frame.
    pub meta: PacketMeta,
}

// SAFETY: a packet owns its buffer exclusively, and the pool behind `pool` is `Sync`.
unsafe impl Send for Packet {}
// SAFETY: `&Packet` only reads bytes that cannot change while it is borrowed.
unsafe impl Sync for Packet {}

impl Packet {
    /// An empty frame with [`HEADROOM`] in front, over a buffer that nobody else owns.
    pub(crate) fn over(start: NonNull<u8>, class: Class, index: u32, pool: NonNull<Inner>) -> Self {
        Self {
            start,
            pool,
            offset: HEADROOM as u16,
            len: 0,
            class,
            index,
            meta: PacketMeta::default(),
        }
    }

    /// The frame.
    #[must_use]
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `offset <= capacity` always.
        let first = unsafe { self.start.add(self.offset as usize) };
        // SAFETY: 1. `offset + len <= capacity` always, so the bytes lie in our buffer.
        // 2. They are initialised (`Region`) and exclusive to this packet, borrowed by `&self`.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), self.len as usize) }
    }

    /// The frame, to change.
    #[must_use]
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: `offset <= capacity` always.
        let first = unsafe { self.start.add(self.offset as usize) };
        // SAFETY: as in `data`; `&mut self` makes the borrow exclusive.
        unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), self.len as usize) }
    }

    /// Bytes of the frame.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the frame has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes by which the frame can grow at its front.
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.offset as usize
    }

    /// Bytes by which the frame can grow at its end.
    #[must_use]
    pub fn tailroom(&self) -> usize {
        self.class.bytes() - self.offset as usize - self.len as usize
    }

    /// Grows the frame by `n` bytes at its front and returns them, or `None` when there is no such
    /// headroom. They hold whatever the buffer held: fill all of them.
    #[must_use]
    #[inline]
    pub fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.offset as usize {
            return None;
        }
        self.offset -= n as u16;
        self.len += n as u16;
        self.data_mut().get_mut(..n)
    }

    /// Takes `n` bytes off the front; `false` (and no change) when the frame is shorter.
    #[must_use]
    #[inline]
    pub fn pull_front(&mut self, n: usize) -> bool {
        if n > self.len as usize {
            return false;
        }
        self.offset += n as u16;
        self.len -= n as u16;
        true
    }

    /// Cuts the frame to `n` bytes, or grows it to `n` with zeros; `false` (and no change) when
    /// the buffer is too small.
    #[must_use]
    pub fn set_len(&mut self, n: usize) -> bool {
        let old = self.len as usize;
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
        if n > self.class.bytes() - self.offset as usize {
            return false;
        }
        self.len = n as u16;
        true
    }

    /// Appends `bytes`; `false` (and no change) when they do not fit.
    #[must_use]
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let old = self.len as usize;
        if bytes.len() > self.tailroom() {
            return false;
        }
        self.len += bytes.len() as u16;
        if let Some(room) = self.data_mut().get_mut(old..) {
            room.copy_from_slice(bytes);
        }
        true
    }

    /// Makes the frame empty with [`HEADROOM`] in front, and forgets the metadata.
    pub fn clear(&mut self) {
        self.offset = HEADROOM as u16;
        self.len = 0;
        self.meta = PacketMeta::default();
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
        let address = self.start.as_ptr().expose_provenance() as u64;
        // SAFETY: the pool is alive, since our buffer is away from home.
        let device_offset = unsafe { self.pool.as_ref() }.device_offset();
        address.wrapping_add(u64::from(self.offset)).wrapping_add(device_offset)
    }

    /// Bytes from the start of the frame to the end of the buffer.
    #[must_use]
    #[inline]
    pub fn buffer_capacity(&self) -> usize {
        self.class.bytes() - self.offset as usize
    }

    /// Moves the start of an empty frame so that `n` bytes lie in front of it (at most the whole
    /// buffer).
    pub(crate) fn set_headroom(&mut self, n: usize) {
        debug_assert!(self.len == 0, "the frame would be left behind");
        self.offset = n.min(self.class.bytes()) as u16;
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// The pool's identity.
    pub(crate) fn pool(&self) -> NonNull<Inner> {
        self.pool
    }

    /// Gives up ownership without going home: the caller now owns buffer `index` of `class`.
    pub(crate) fn into_index(self) -> (Class, u32) {
        let this = core::mem::ManuallyDrop::new(self);
        (this.class, this.index)
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        // SAFETY: this packet owned the buffer, so the pool is alive; the buffer is given up here.
        unsafe { Inner::return_one(self.pool, self.class, self.index) };
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("len", &self.len)
            .field("headroom", &self.offset)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
