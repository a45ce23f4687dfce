//! The buffer pool: all packet memory of the switch, in two sizes, or three.
//!
//! # What
//! One [`Region`] is cut into slots: a head of one cache line and a buffer, `small` of them with
//! buffers of [`SMALL_BYTES`] followed by `jumbo` of [`JUMBO_BYTES`] and, where frames are taken in that their
//! sender has not cut ([`Pool::with_large`]), some of [`LARGE_BYTES`]. A free slot is a number on its
//! class's free list, the *line* of the region in which it begins; a slot in use is owned by exactly one
//! [`Packet`](crate::Packet). Its line is a matter of its address, so a packet goes home without its
//! head being read, and a subtraction and a shift are all that it takes.
//!
//! # Why these sizes
//! A small buffer holds a 1,518-byte frame with tags, a device header and [`HEADROOM`]. With its head
//! it is 33 cache lines, an odd number: with a power of two, the headers of all packets would compete
//! for the same few sets of the first-level cache. The same reason makes the jumbo slot 147 lines, and the
//! large one 1,029, in which 64 KiB of IP with their Ethernet header and tags find room.
//!
//! # Cost
//! The free lists sit under one spin lock. Cores do not meet there per packet: a
//! [`PoolCache`](crate::PoolCache) takes and returns 32 at a time. Only `Packet::drop` (the slow,
//! always correct way home) takes the lock for one buffer.
//!
//! # Concurrency and lifetime
//! `Inner` is shared by raw pointer. It is alive while the `Pool` handle lives *or* any buffer is
//! away from home; whoever brings that state to its end frees it. Both facts (`abandoned`, and
//! the lists being full) are only ever read and written under the lock, so exactly one party sees
//! the end. So a packet needs no reference count: holding a buffer *is* the reference.

use crate::packet::HEAD_BYTES;
use crate::region::{REGION_ALIGN, Region};
use crate::{HEADROOM, Packet};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;
use spin::Mutex;

/// Bytes of a small buffer, headroom included.
pub const SMALL_BYTES: usize = 32 * 64;

/// Bytes of a jumbo buffer, headroom included: a 9,018-byte frame with two tags and a device
/// header fits.
pub const JUMBO_BYTES: usize = 146 * 64;

/// Bytes of a large buffer, headroom included: the longest IPv4 packet in a frame with two tags fits.
pub const LARGE_BYTES: usize = 1028 * 64;

const _: () = assert!(LARGE_BYTES >= HEADROOM + 12 + 14 + 8 + 65_535);
const _: () = assert!(JUMBO_BYTES >= 9216 + HEADROOM && SMALL_BYTES - HEADROOM >= 1518 + 8 + 12);

/// How many buffers of each size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolConfig {
    /// Buffers of [`SMALL_BYTES`].
    pub small: usize,
    /// Buffers of [`JUMBO_BYTES`].
    pub jumbo: usize,
}

/// Why a pool could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The region is smaller than [`Pool::required_bytes`].
    RegionTooSmall,
    /// The region does not start at a multiple of 64.
    Misaligned,
    /// More than 2^32 lines of 64 bytes were asked for (256 GiB).
    TooMany,
}

/// A size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Small,
    Jumbo,
    Large,
}

impl Class {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::Small => SMALL_BYTES,
            Self::Jumbo => JUMBO_BYTES,
            Self::Large => LARGE_BYTES,
        }
    }

    /// Bytes from one slot to the next.
    const fn stride(self) -> usize {
        HEAD_BYTES + self.bytes()
    }
}

const _: () =
    assert!((Class::Small.stride() / 64) % 2 == 1 && (Class::Jumbo.stride() / 64) % 2 == 1);
const _: () = assert!((Class::Large.stride() / 64) % 2 == 1);

/// All packet memory; share it as `Arc<Pool>` and give each core a [`PoolCache`](crate::PoolCache).
pub struct Pool {
    inner: NonNull<Inner>,
}

// SAFETY: all mutable state of `Inner` is behind its lock, the rest is constant.
unsafe impl Send for Pool {}
// SAFETY: as for `Send`.
unsafe impl Sync for Pool {}

/// Bytes of a line: what slots begin at.
const LINE: usize = REGION_ALIGN;

/// The line that begins at a byte of the region.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "`new` admits no more than 2^32 lines")]
const fn line_of(at: usize) -> u32 {
    (at / LINE) as u32
}

/// What packets and caches point to.
pub(crate) struct Inner {
    region: Region,
    config: PoolConfig,
    n_large: usize,
    /// Where the jumbo slots begin, the large ones, and where these end, in bytes from the start of the
    /// region.
    first_jumbo: usize,
    first_large: usize,
    end: usize,
    home: OwnLine<Mutex<Home>>,
}

/// Keeps the lock's cache line apart from the constants that every core reads.
#[repr(align(64))]
struct OwnLine<T>(T);

/// The free lists, of lines. Their capacity is reserved at the start: coming home never allocates.
struct Home {
    small: Vec<u32>,
    jumbo: Vec<u32>,
    large: Vec<u32>,
    /// The `Pool` handle is gone; the last buffer to come home frees everything.
    abandoned: bool,
}

impl Home {
    fn list(&mut self, class: Class) -> &mut Vec<u32> {
        match class {
            Class::Small => &mut self.small,
            Class::Jumbo => &mut self.jumbo,
            Class::Large => &mut self.large,
        }
    }

    fn all_home(&self, of: &Inner) -> bool {
        let all = (of.config.small, of.config.jumbo, of.n_large);
        (self.small.len(), self.jumbo.len(), self.large.len()) == all
    }
}

impl Pool {
    /// Bytes that a region needs for `config` (saturating).
    #[must_use]
    pub fn required_bytes(config: &PoolConfig) -> usize {
        Self::required_bytes_with_large(config, 0)
    }

    /// Bytes that a region needs for `config` and so many buffers of [`LARGE_BYTES`] (saturating).
    #[must_use]
    pub fn required_bytes_with_large(config: &PoolConfig, n_large: usize) -> usize {
        let classes =
            [(Class::Small, config.small), (Class::Jumbo, config.jumbo), (Class::Large, n_large)];
        classes
            .into_iter()
            .fold(0, |sum: usize, (class, n)| sum.saturating_add(n.saturating_mul(class.stride())))
    }

    /// Cuts `region` into buffers, none of them large.
    ///
    /// # Errors
    ///
    /// When the region cannot hold them; the region is lost then (it is memory for ever anyway).
    pub fn new(config: PoolConfig, region: Region) -> Result<Arc<Self>, PoolError> {
        Self::with_large(config, 0, region)
    }

    /// Cuts `region` into buffers, `n_large` of [`LARGE_BYTES`] among them.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_large(
        config: PoolConfig,
        n_large: usize,
        region: Region,
    ) -> Result<Arc<Self>, PoolError> {
        let need = Self::required_bytes_with_large(&config, n_large);
        if need == usize::MAX || u32::try_from(need / LINE).is_err() {
            return Err(PoolError::TooMany);
        }
        if region.len < need {
            return Err(PoolError::RegionTooSmall);
        }
        if !region.start.addr().get().is_multiple_of(REGION_ALIGN) {
            return Err(PoolError::Misaligned);
        }
        // Reversed, so that the lowest buffers leave first and a quiet switch stays in few pages.
        let first_jumbo = config.small * Class::Small.stride();
        let first_large = first_jumbo + config.jumbo * Class::Jumbo.stride();
        let lines = |class: Class, first: usize, n: usize| {
            (0..n).rev().map(|slot| line_of(first + slot * class.stride())).collect()
        };
        let home = Home {
            small: lines(Class::Small, 0, config.small),
            jumbo: lines(Class::Jumbo, first_jumbo, config.jumbo),
            large: lines(Class::Large, first_large, n_large),
            abandoned: false,
        };
        let home = OwnLine(Mutex::new(home));
        let inner = Inner { region, config, n_large, first_jumbo, first_large, end: need, home };
        let inner = Box::new(inner);
        Ok(Arc::new(Self { inner: NonNull::from(Box::leak(inner)) }))
    }

    /// A pool on the heap, freed with its last packet: for tests and host programs.
    ///
    /// # Panics
    ///
    /// When `config` asks for more than the address space.
    #[must_use]
    pub fn on_heap(config: PoolConfig) -> Arc<Self> {
        Self::on_heap_with_large(config, 0)
    }

    /// As [`on_heap`](Self::on_heap), with large buffers too.
    ///
    /// # Panics
    ///
    /// When `config` asks for more than the address space.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a host program's own constant, no input reaches it")]
    pub fn on_heap_with_large(config: PoolConfig, n_large: usize) -> Arc<Self> {
        let region = Region::owned_heap(Self::required_bytes_with_large(&config, n_large));
        Self::with_large(config, n_large, region).expect("a region made to measure")
    }

    /// Buffers at home, `(small, jumbo)`. Those in packets and in per-core caches do not count.
    #[must_use]
    pub fn available(&self) -> (usize, usize) {
        let home = self.inner().home.0.lock();
        (home.small.len(), home.jumbo.len())
    }

    /// Large buffers at home, and in all.
    #[must_use]
    pub fn available_large(&self) -> (usize, usize) {
        (self.inner().home.0.lock().large.len(), self.inner().n_large)
    }

    /// How many small and jumbo buffers there are in all.
    #[must_use]
    pub fn config(&self) -> PoolConfig {
        self.inner().config
    }

    #[inline]
    fn inner(&self) -> &Inner {
        // SAFETY: `Inner` is freed only after this handle's drop marked the pool abandoned.
        unsafe { self.inner.as_ref() }
    }

    /// Moves up to `want` free buffers of `class` into `into`; they are away from home then.
    pub(crate) fn take<const N: usize>(
        &self,
        class: Class,
        want: usize,
        into: &mut heapless::Vec<u32, N>,
    ) {
        let mut home = self.inner().home.0.lock();
        let list = home.list(class);
        for _ in 0..want.min(into.capacity() - into.len()) {
            let Some(line) = list.pop() else { break };
            if into.push(line).is_err() {
                list.push(line);
                break;
            }
        }
    }

    /// Takes the last `count` lines off `from` and brings them home.
    pub(crate) fn bring_home<const N: usize>(
        &self,
        class: Class,
        count: usize,
        from: &mut heapless::Vec<u32, N>,
    ) {
        let mut home = self.inner().home.0.lock();
        for _ in 0..count {
            let Some(line) = from.pop() else { break };
            home.list(class).push(line);
        }
    }

    /// Wraps a slot that is away from home into the packet that owns it from here on.
    #[inline]
    pub(crate) fn wrap(&self, class: Class, line: u32) -> Packet {
        let slot = self.slot(line);
        // SAFETY: slots begin at whole lines; the line is off the free list of its class, so the slot
        // is of that class and nobody else's.
        unsafe { Packet::over(slot, class, self.inner) }
    }

    /// Wraps a slot that is away from home into a copy of `packet`, with its bytes at the same place; `None`,
    /// and the slot stays the caller's, when the class has no room for them there.
    #[inline(always)]
    pub(crate) fn wrap_copy(&self, class: Class, line: u32, packet: &Packet) -> Option<Packet> {
        if packet.headroom() + packet.len() > class.bytes() {
            return None;
        }
        let slot = self.slot(line);
        // SAFETY: as in `wrap`; and there is room, as was just seen.
        Some(unsafe { Packet::copy_over(slot, class, self.inner, packet) })
    }

    /// Where the slot begins that begins at a line off a free list.
    #[inline]
    fn slot(&self, line: u32) -> NonNull<u8> {
        // SAFETY: lines come from the free lists, so the slot is within `required_bytes`, which `new`
        // checked against the region.
        unsafe { self.inner().region.start.add(line as usize * LINE) }
    }

    /// Where the slot of a packet begins, if it is a small one of this pool.
    #[inline]
    pub(crate) fn small_line_of(&self, packet: &Packet) -> Option<u32> {
        let inner = self.inner();
        let at = inner.place_of(packet.slot());
        (at < inner.first_jumbo).then(|| line_of(at))
    }

    /// Where the slot of a packet begins, and of which size it is; `None` if it is of another pool.
    pub(crate) fn line_of(&self, packet: &Packet) -> Option<(Class, u32)> {
        self.inner().line_of(packet.slot())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut home = self.inner().home.0.lock();
        home.abandoned = true;
        let last = home.all_home(self.inner());
        drop(home);
        if last {
            // SAFETY: no buffer is away, so no packet or cache points here, and this handle ends.
            unsafe { Inner::free(self.inner) };
        }
    }
}

impl Inner {
    pub(crate) fn device_offset(&self) -> u64 {
        self.region.device_offset
    }

    /// Bytes from the start of the region; larger than the region for a slot of another pool.
    #[inline]
    fn place_of(&self, slot: NonNull<u8>) -> usize {
        slot.addr().get().wrapping_sub(self.region.start.addr().get())
    }

    /// Line and class of the slot at this address, if it is in this pool's region.
    fn line_of(&self, slot: NonNull<u8>) -> Option<(Class, u32)> {
        let at = self.place_of(slot);
        let class = match at {
            at if at < self.first_jumbo => Class::Small,
            at if at < self.first_large => Class::Jumbo,
            _ => Class::Large,
        };
        (at < self.end).then(|| (class, line_of(at)))
    }

    /// Brings one slot home; frees the pool if it was abandoned and this was the last.
    ///
    /// # Safety
    ///
    /// `inner` is alive and `slot` is one of its slots, which the caller owned and gives up.
    pub(crate) unsafe fn return_one(inner: NonNull<Self>, slot: NonNull<u8>) {
        // SAFETY: alive, since a slot is still away (the caller's).
        let this = unsafe { inner.as_ref() };
        let Some((class, line)) = this.line_of(slot) else {
            debug_assert!(false, "the caller promised a slot of this pool");
            return;
        };
        let mut home = this.home.0.lock();
        home.list(class).push(line);
        let last = home.abandoned && home.all_home(this);
        drop(home);
        if last {
            // SAFETY: abandoned and all home: nobody else points here, and only one party can
            // have seen both under the lock.
            unsafe { Self::free(inner) };
        }
    }

    /// # Safety
    ///
    /// Nobody uses `inner` or any buffer of its region any more.
    unsafe fn free(inner: NonNull<Self>) {
        // SAFETY: made by `Box::leak` in `Pool::new`; the caller ends its life.
        let inner = unsafe { Box::from_raw(inner.as_ptr()) };
        if let Some(layout) = inner.region.heap {
            // SAFETY: allocated by `Region::owned_heap` with this layout; no buffer is in use.
            unsafe { alloc::alloc::dealloc(inner.region.start.as_ptr(), layout) };
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (small, jumbo) = self.available();
        f.debug_struct("Pool")
            .field("config", &self.inner().config)
            .field("small_home", &small)
            .field("jumbo_home", &jumbo)
            .finish()
    }
}
