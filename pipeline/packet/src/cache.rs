//! A core's own stock of free buffers.
//!
//! Allocation and release touch only this stock: no lock, no shared cache line. When it runs dry or
//! full, [`STEP`] buffers move under the pool's lock at once, so a core that receives and transmits in balance
//! hardly ever takes it. A burst that leaves by two ports needs two bursts of buffers before it gives any back,
//! and one packet that is kept somewhere shifts the level for good: so a stock holds two steps more.
//!
//! A stock is also a hoard: buffers in it are of no use to other cores. So it may hold at most
//! one in [`SHARE`] of the pool's buffers; without that, a few idle cores could keep all of a small
//! pool to themselves and starve the busy one.

use crate::pool::{Class, JUMBO_BYTES, Pool, SMALL_BYTES};
use crate::{HEADROOM, Packet};
use alloc::sync::Arc;

/// Free buffers that a core may hold at most, each size.
const STOCK: usize = 128;
/// Buffers that move at once, at most.
const STEP: usize = 32;
/// A core may hold one in so many of all buffers, each size.
const SHARE: usize = 16;

/// Per-core allocator of packets. Not shared: each core has its own, reached through `&mut`.
#[derive(Debug)]
pub struct PoolCache {
    pool: Arc<Pool>,
    small: Stock,
    jumbo: Stock,
    large: Stock,
}

/// Free buffers of one size.
#[derive(Debug)]
struct Stock {
    /// Lines of the pool where they begin.
    lines: heapless::Vec<u32, STOCK>,
    /// How many it may hold; at least one.
    most: usize,
}

impl Stock {
    fn new(of_all: usize) -> Self {
        Self { lines: heapless::Vec::new(), most: (of_all / SHARE).clamp(1, STOCK) }
    }

    /// How many move at once.
    fn step(&self) -> usize {
        self.most.div_ceil(2).min(STEP)
    }

    #[cold]
    fn refill(&mut self, pool: &Pool, class: Class) {
        pool.take(class, self.step(), &mut self.lines);
    }

    #[cold]
    fn relieve(&mut self, pool: &Pool, class: Class) {
        pool.bring_home(class, self.step(), &mut self.lines);
    }

    /// Takes the packet's slot, which begins at `line`.
    #[inline]
    fn put(&mut self, pool: &Pool, class: Class, line: u32, packet: Packet) {
        if self.lines.len() >= self.most {
            self.relieve(pool, class);
        }
        // There is room; if not, the packet would go home by itself.
        if self.lines.push(line).is_ok() {
            packet.forget();
        }
    }
}

impl PoolCache {
    /// An empty stock; the first allocation fills it.
    #[must_use]
    pub fn new(pool: Arc<Pool>) -> Self {
        let config = pool.config();
        let (_, n_large) = pool.available_large();
        let [small, jumbo, large] = [config.small, config.jumbo, n_large].map(Stock::new);
        Self { pool, small, jumbo, large }
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
        } else if len <= JUMBO_BYTES - HEADROOM {
            self.alloc_jumbo()
        } else if len <= Class::Large.bytes() - HEADROOM {
            self.alloc_class(Class::Large)
        } else {
            None
        }
    }

    /// An empty jumbo packet, or `None` when the pool has none left.
    #[must_use]
    pub fn alloc_jumbo(&mut self) -> Option<Packet> {
        self.alloc_class(Class::Jumbo)
    }

    /// A second packet with the same frame, headroom, offsets and metadata, and as much left to do.
    #[must_use]
    #[inline]
    pub fn copy(&mut self, packet: &Packet) -> Option<Packet> {
        let needed = packet.headroom() + packet.len();
        if needed <= SMALL_BYTES {
            self.copy_into(Class::Small, packet)
        } else if needed <= JUMBO_BYTES {
            self.copy_long(Class::Jumbo, packet)
        } else {
            self.copy_long(Class::Large, packet)
        }
    }

    #[inline(never)]
    fn copy_long(&mut self, class: Class, packet: &Packet) -> Option<Packet> {
        self.copy_into(class, packet)
    }

    /// A packet with these bytes as its frame.
    #[must_use]
    #[inline]
    pub fn from_bytes(&mut self, frame: &[u8]) -> Option<Packet> {
        if frame.len() > SMALL_BYTES - HEADROOM {
            return self.alloc_with(frame);
        }
        let mut packet = self.alloc()?;
        packet.extend(frame).then_some(packet)
    }

    #[inline(never)]
    fn alloc_with(&mut self, frame: &[u8]) -> Option<Packet> {
        let mut packet = self.alloc_for(frame.len())?;
        packet.extend(frame).then_some(packet)
    }

    /// Gives a packet's buffer back to this core's stock (the fast way home).
    #[inline(always)]
    pub fn free(&mut self, packet: Packet) {
        match self.pool.small_line_of(&packet) {
            Some(line) => self.small.put(&self.pool, Class::Small, line, packet),
            None => self.free_other(packet),
        }
    }

    /// Gives a jumbo buffer back, or one of another pool, which goes home by itself.
    #[inline(never)]
    fn free_other(&mut self, packet: Packet) {
        match self.pool.line_of(&packet) {
            Some((class, line)) => {
                let (pool, stock) = self.stock(class);
                stock.put(pool, class, line, packet);
            }
            None => drop(packet),
        }
    }

    /// Brings this core's whole stock home.
    pub fn flush(&mut self) {
        for class in [Class::Small, Class::Jumbo, Class::Large] {
            let (pool, stock) = self.stock(class);
            let count = stock.lines.len();
            pool.bring_home(class, count, &mut stock.lines);
        }
    }

    #[inline(always)]
    fn alloc_class(&mut self, class: Class) -> Option<Packet> {
        let line = self.take(class)?;
        Some(self.pool.wrap(class, line))
    }

    /// A copy in a buffer of a class in which the packet's place and bytes find room.
    #[inline(always)]
    fn copy_into(&mut self, class: Class, packet: &Packet) -> Option<Packet> {
        let line = self.take(class)?;
        let copy = self.pool.wrap_copy(class, line, packet);
        if copy.is_none() {
            // It stands where it was.
            let _ = self.stock(class).1.lines.push(line);
        }
        copy
    }

    /// Takes a slot out of the stock.
    #[inline(always)]
    fn take(&mut self, class: Class) -> Option<u32> {
        let (pool, stock) = self.stock(class);
        if stock.lines.is_empty() {
            stock.refill(pool, class);
        }
        stock.lines.pop()
    }

    #[inline]
    fn stock(&mut self, class: Class) -> (&Pool, &mut Stock) {
        match class {
            Class::Small => (&self.pool, &mut self.small),
            Class::Jumbo => (&self.pool, &mut self.jumbo),
            Class::Large => (&self.pool, &mut self.large),
        }
    }
}

impl Drop for PoolCache {
    fn drop(&mut self) {
        self.flush();
    }
}
