//! What both virtqueues have in common: the way a driver uses them, in bursts.
//!
//! A burst is: [`add_each`](Ring::add_each) for any number of chains, which only writes what the device does not
//! look at yet; then one [`publish`](Ring::publish), which makes them visible with a single store and says whether
//! one notification is needed. The other way, [`pop_each`](Ring::pop_each) gives the chains that came back. While a
//! burst is under way, where the ring stands is kept in registers, and remembered once at its end.
//!
//! # In order
//! A device may promise to use chains in the order in which they were made available
//! (`VIRTIO_F_IN_ORDER`, virtio 1.2 §2.7.9 and §2.8.9). Then the place of a descriptor is all that has to
//! be remembered, there is no list of free ones, and the device may return a whole batch by naming its
//! last chain: [`pop_each`](Ring::pop_each) still gives one after the other. The chains before the last count as
//! used completely (§2.7.9), so as fully written.

use crate::{Dma, DmaRegion};
use core::fmt::Debug;

/// Largest queue that the spec allows (§2.7, §2.8.10.1).
pub const MAX_QUEUE_SIZE: u16 = 32768;

/// What the device did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFault {
    /// It returned more chains than it had, or than it said.
    BadIndex,
    /// A used id that is no descriptor.
    BadId,
    /// A used id that is not that of a chain in flight (returned twice, for example).
    NotInFlight,
    /// More bytes written than were posted.
    BadLength,
}

/// A chain that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// What [`Ring::add`] gave for it.
    pub id: u16,
    /// Bytes that the device says it wrote; at most what was posted as writable.
    pub written: u32,
}

/// One buffer of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Where the device finds it.
    pub device_address: u64,
    /// Its length in bytes.
    pub len: u32,
    /// Whether the device writes it (or reads it).
    pub is_device_written: bool,
}

/// What was negotiated about a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingTerms {
    /// Notifications are suppressed by index (`VIRTIO_F_EVENT_IDX`).
    pub has_event_idx: bool,
    /// The device uses chains in order (`VIRTIO_F_IN_ORDER`).
    pub is_in_order: bool,
}

/// A virtqueue, driver side. Owned by one core through `&mut`; allocates nothing after it was made.
pub trait Ring: Debug + Send + Sized {
    /// Bytes of memory that a queue of `size` needs.
    #[must_use]
    fn required_bytes(size: u16) -> usize;

    /// An empty queue in memory that an earlier queue left; `None` when it does not fit, or `size` is
    /// no power of two. The device must have been reset since.
    #[must_use]
    fn in_region(size: u16, terms: RingTerms, region: DmaRegion) -> Option<Self>;

    /// An empty queue of `size` (a power of two) in fresh memory; `None` when there is none.
    #[must_use]
    fn new(size: u16, terms: RingTerms, dma: &dyn Dma) -> Option<Self> {
        Self::in_region(size, terms, dma.alloc(Self::required_bytes(size), 64)?)
    }

    /// Gives the memory back, for another queue. It is the device's until that has been reset.
    #[must_use]
    fn into_region(self) -> DmaRegion;

    /// Addresses of the descriptors, the driver's area and the device's area, for the transport.
    #[must_use]
    fn device_addresses(&self) -> (u64, u64, u64);

    /// Number of descriptors.
    #[must_use]
    fn size(&self) -> u16;

    /// Descriptors that can be added.
    #[must_use]
    fn n_free(&self) -> u16;

    /// Chains that the device holds.
    #[must_use]
    fn in_flight(&self) -> u16;

    /// The fault that killed the queue, if one did.
    #[must_use]
    fn fault(&self) -> Option<RingFault>;

    /// Adds a chain, to be published later, and gives its id; `None` when the descriptors do not
    /// suffice, the chain is empty, or the queue is dead. Buffers that the device reads come first
    /// (§2.7.4.2). The memory belongs to the device until [`pop`](Self::pop) gives the id back.
    fn add(&mut self, chain: &[Buffer]) -> Option<u16>;

    /// Adds chains of one buffer each, as [`add`](Self::add), while there is room: `next` is told the id that a
    /// chain will have, and gives its buffer, or `None` when there is none left. How many it were.
    fn add_each(&mut self, next: impl FnMut(u16) -> Option<Buffer>) -> u16;

    /// Adds a chain of one buffer; see [`add`](Self::add).
    fn add_one(&mut self, buffer: Buffer) -> Option<u16> {
        let (mut left, mut given) = (Some(buffer), None);
        self.add_each(|id| {
            given = given.or(Some(id).filter(|_| left.is_some()));
            left.take()
        });
        given
    }

    /// Makes all added chains visible to the device; `true` when it wants to be notified of it.
    #[must_use = "the device may sleep until it is notified"]
    fn publish(&mut self) -> bool;

    /// Gives up to `most` chains that came back to `take`, in the order in which they did.
    ///
    /// # Errors
    ///
    /// When the device broke the protocol, now or earlier. What came back before has been given then.
    fn pop_each(&mut self, most: u16, take: impl FnMut(Used)) -> Result<(), RingFault>;

    /// The next chain that came back, or `None` when there is no more.
    ///
    /// # Errors
    ///
    /// As [`pop_each`](Self::pop_each).
    fn pop(&mut self) -> Result<Option<Used>, RingFault> {
        let mut first = None;
        self.pop_each(1, |used| first = Some(used))?;
        Ok(first)
    }

    /// Asks the device for an interrupt when the next chain comes back. `false` when one is back
    /// already, or the queue is dead: there may be no interrupt then, and it is no time to rest.
    fn arm(&mut self) -> bool;
}

/// The size to use for a queue of which the device allows `device_max`: a power of two, at most
/// `wanted`; `None` when the device has no such queue.
#[must_use]
pub fn choose_size(device_max: u32, wanted: u16) -> Option<u16> {
    let most = device_max.min(u32::from(wanted)).min(u32::from(MAX_QUEUE_SIZE));
    let log = most.checked_ilog2()?;
    u16::try_from(1_u32 << log).ok()
}
