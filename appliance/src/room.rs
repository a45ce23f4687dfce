//! How the heap is shared out at boot: what the switch needs besides packets comes first.
//!
//! Packet buffers get half of the heap at the most, dealt evenly over the queue pairs of NICs: twice a ring for
//! each, so that a full transmit ring does not starve reception. Little memory or many NICs make rings shorter,
//! down to [`MIN_RING`]. What remains must hold the rest of the switch, which is reckoned here from what
//! was measured, with room to work in: a machine that has less is told so, in a sentence with a
//! number, and is not started to fail later in the middle of something.

use alloc::sync::Arc;
use core::fmt;

use packet::{Pool, PoolConfig, PoolError, Region};
use runtime::memory;
use virtio_drivers::PAGE_SIZE;

/// Shortest rings that a boot gives: less would lose whole bursts.
const MIN_RING: usize = 128;
/// Longest rings that are asked for.
const MAX_RING: usize = 1024;
/// Jumbo buffers, at the least and at the most.
const JUMBO: core::ops::RangeInclusive<usize> = 64..=1024;
/// Large buffers, of 64 KiB, at the least and at the most, where there are any: a few for each NIC to receive
/// by, and what its device has not sent yet.
const LARGE: core::ops::RangeInclusive<usize> = 16..=128;
/// A core's caches and rings, in bytes; the control core has its own. 490 KiB were measured.
const PER_CORE: usize = 576 << 10;
/// What a queue pair takes beside its ring entries. 30 KiB were measured.
const PER_PAIR: usize = 40 << 10;
/// What an entry of both rings of a pair takes. 43 bytes were measured.
const PER_ENTRY: usize = 64;
/// Bridge, agent, database and management begin with some 300 KiB; the rest is to work with.
const TO_WORK: usize = 3 << 20;

/// Why packets find no room.
#[derive(Debug)]
pub(crate) enum RoomError {
    /// The machine has less than the least.
    TooLittle { n_nics: usize, needed_bytes: usize, has_bytes: usize },
    /// The buffers must stand side by side, and nowhere is so much free.
    Scattered { needed_bytes: usize },
    /// The buffers were refused.
    Pool(PoolError),
}

impl fmt::Display for RoomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLittle { n_nics, needed_bytes, has_bytes } => {
                // What firmware keeps for itself is not ours to count, so the next whole number may be it.
                let has = has_bytes.div_ceil(1 << 20);
                let needed = needed_bytes.div_ceil(1 << 20).max(has + 1);
                write!(
                    f,
                    "too little memory: packet buffers and all else for {n_nics} NICs need \
                     {needed} MiB, the machine has {has}; give it more, or fewer NICs"
                )
            }
            Self::Scattered { needed_bytes } => write!(
                f,
                "too little memory: no {} MiB in one piece for packet buffers; give the machine more",
                needed_bytes.div_ceil(1 << 20),
            ),
            Self::Pool(error) => write!(f, "packet buffers: {error:?}"),
        }
    }
}

/// What there is to share out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand {
    /// NICs, the management's included.
    pub(crate) n_nics: usize,
    /// Queue pairs that they will have together.
    pub(crate) n_pairs: usize,
    /// Those of them whose frames may be longer than small buffers.
    pub(crate) n_jumbo_pairs: usize,
    /// Cores that poll.
    pub(crate) n_cores: usize,
    /// Frames are taken that their sender has not cut.
    pub(crate) takes_large: bool,
    /// Bytes of the heap that are free.
    pub(crate) free_bytes: usize,
    /// Bytes of the machine's memory that are not.
    pub(crate) taken_bytes: usize,
}

/// How long rings are and how many buffers there are.
#[derive(Debug)]
pub(crate) struct Rings {
    pub(crate) len: u16,
    buffers: PoolConfig,
    n_large: usize,
}

impl Rings {
    /// Shares the heap out.
    pub(crate) fn plan(demand: &Demand) -> Result<Self, RoomError> {
        let Demand {
            n_nics,
            n_pairs,
            n_jumbo_pairs,
            n_cores,
            takes_large,
            free_bytes,
            taken_bytes,
        } = *demand;
        let bytes = |small, jumbo| Pool::required_bytes(&PoolConfig { small, jumbo });
        let bytes_of_large = |n| Pool::required_bytes_with_large(&PoolConfig::default(), n);
        let rest = TO_WORK + (n_cores + 1) * PER_CORE + n_pairs * PER_PAIR;
        let half = free_bytes / 2;
        let budget = half.min(free_bytes.saturating_sub(rest));
        // Their rings are filled with such buffers as far as there is memory.
        let most_jumbo = *JUMBO.end() + 4 * MAX_RING * n_jumbo_pairs;
        let jumbo = (budget / 4 / bytes(0, 1)).clamp(*JUMBO.start(), most_jumbo);
        let n_large = (budget / 4 / bytes_of_large(1)).clamp(*LARGE.start(), *LARGE.end());
        let n_large = if takes_large { n_large } else { 0 };
        let rings =
            core::iter::successors(Some(MAX_RING), |ring| (*ring > MIN_RING).then_some(*ring / 2));
        // The last resort is the least that there can be.
        let least = (MIN_RING, *JUMBO.start());
        let mut needed = 0;
        for (ring, jumbo) in rings.map(|ring| (ring, jumbo)).chain([least]) {
            let small = 2 * ring * n_pairs.max(1) + 256;
            let buffers = bytes(small, jumbo) + bytes_of_large(n_large);
            needed = buffers + rest + n_pairs * ring * PER_ENTRY;
            if needed <= free_bytes && (buffers <= half || ring <= MIN_RING) {
                let len = u16::try_from(ring).unwrap_or(u16::MAX);
                return Ok(Self { len, buffers: PoolConfig { small, jumbo }, n_large });
            }
        }
        let (needed_bytes, has_bytes) = (needed + taken_bytes, free_bytes + taken_bytes);
        Err(RoomError::TooLittle { n_nics, needed_bytes, has_bytes })
    }

    /// The packet buffers.
    pub(crate) fn pool(&self) -> Result<Arc<Pool>, RoomError> {
        let needed_bytes = Pool::required_bytes_with_large(&self.buffers, self.n_large);
        let memory = memory::dma_alloc_uncleared(needed_bytes.div_ceil(PAGE_SIZE), PAGE_SIZE);
        let memory = memory.ok_or(RoomError::Scattered { needed_bytes })?;
        let offset =
            memory::device_address(memory).wrapping_sub(memory.as_ptr().expose_provenance() as u64);
        // Buffers are written before they are read, and clearing them would cost boot time.
        // SAFETY: freshly allocated pages of at least this length, never freed and referred to by
        // nothing else; the offset turns their addresses into the device's.
        let region = unsafe { Region::new(memory, needed_bytes, offset) };
        log::info!(
            "{} packet buffers, {} jumbo and {} large ones in {} KiB, rings of {}",
            self.buffers.small,
            self.buffers.jumbo,
            self.n_large,
            needed_bytes >> 10,
            self.len,
        );
        Pool::with_large(self.buffers, self.n_large, region).map_err(RoomError::Pool)
    }
}
