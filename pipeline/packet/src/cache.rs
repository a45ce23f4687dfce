//! A core's own stock of free buffers.
//!
//! Allocation and release touch only this stock: no lock, no shared cache line. When it runs dry or
//! full, [`REFILL`] buffers move under the pool's lock at once, so a core that receives and
//! transmits in balance hardly ever takes it.

use crate::pool::{Class, Pool, SMALL_BYTES};
use crate::{HEADROOM, Packet};
use alloc::sync::Arc;

/// Free buffers that a core may hold, each size.
const STOCK: usize = 64;
/// Buffers moved at once between a core and the pool.
const REFILL: usize = 32;

/// Per-core allocator of packets. Not shared: each core has its own, reached through `&mut`.
#[derive(Debug)]
pub struct PoolCache {
    pool: Arc<Pool>,
    small: heapless::Vec<u32, STOCK>,
    jumbo: heapless::Vec<u32, STOCK>,
}

impl PoolCache {
    /// An empty stock; the first allocation fills it.
    #[must_use]
    pub fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            small: heapless::Vec::new(),
            jumbo: heapless::Vec::new(),
        }
    }

    /// The pool behind.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// An empty small packet, or `None` when the pool is exhausted.
    #[must_use]
    #[inline]
    pub fn alloc(&mut self) -> Option<Packet> {
        self.alloc_class(Class::Small)
    }

    /// An empty packet with room for `len` bytes behind the usual headroom, or `None` when the
    /// pool is exhausted or no buffer is so large.
    #[must_use]
    pub fn alloc_for(&mut self, len: usize) -> Option<Packet> {
        if len <= SMALL_BYTES - HEADROOM {
            self.alloc()
        } else if len <= Class::Jumbo.bytes() - HEADROOM {
            self.alloc_class(Class::Jumbo)
        } else {
            None
        }
    }

    /// An empty jumbo packet, or `None` when the pool has none left.
    #[must_use]
    pub fn alloc_jumbo(&mut self) -> Option<Packet> {
        self.alloc_class(Class::Jumbo)
    }

    /// A second packet with the same frame, headroom and metadata.
    #[must_use]
    pub fn copy(&mut self, packet: &Packet) -> Option<Packet> {
        let needed = packet.headroom() + packet.len();
        let class = if needed <= SMALL_BYTES {
            Class::Small
        } else {
            Class::Jumbo
        };
        let mut copy = self.alloc_class(class)?;
        copy.set_headroom(packet.headroom());
        if !copy.extend(packet.data()) {
            self.free(copy);
            return None;
        }
        copy.meta = packet.meta;
        Some(copy)
    }

    /// A packet with these bytes as its frame.
    #[must_use]
    pub fn from_bytes(&mut self, frame: &[u8]) -> Option<Packet> {
        let mut packet = self.alloc_for(frame.len())?;
        if packet.extend(frame) {
            Some(packet)
        } else {
            None
        }
    }

    /// Gives a packet's buffer back to this core's stock (the fast way home).
    #[inline]
    pub fn free(&mut self, packet: Packet) {
        if packet.pool() != self.pool.inner_ptr() {
            drop(packet);
            return;
        }
        let class = packet.class();
        let (pool, stock) = self.stock(class);
        if stock.is_full() {
            pool.bring_home(class, REFILL, stock);
        }
        if !stock.is_full() {
            let (_, index) = packet.into_index();
            // Cannot be full: checked just above; the buffer would be lost, not misused.
            let _ = stock.push(index);
        }
    }

    /// Brings this core's whole stock home.
    pub fn flush(&mut self) {
        for class in [Class::Small, Class::Jumbo] {
            let (pool, stock) = self.stock(class);
            let count = stock.len();
            pool.bring_home(class, count, stock);
        }
    }

    #[inline]
    fn alloc_class(&mut self, class: Class) -> Option<Packet> {
        let (pool, stock) = self.stock(class);
        if stock.is_empty() {
            pool.take(class, REFILL, stock);
        }
        let index = stock.pop()?;
        Some(pool.wrap(class, index))
    }

    fn stock(&mut self, class: Class) -> (&Pool, &mut heapless::Vec<u32, STOCK>) {
        match class {
            Class::Small => (&self.pool, &mut self.small),
            Class::Jumbo => (&self.pool, &mut self.jumbo),
        }
    }
}

impl Drop for PoolCache {
    fn drop(&mut self) {
        self.flush();
    }
}
