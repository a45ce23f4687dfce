//! What a receive and a transmit queue have in common: a ring, the packets that the device holds,
//! the way to notify, and the rules for going away.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use netdev::{FaultKind, QueueFault};
use packet::{BATCH, Batch, Packet};
use spin::Mutex;
use virtio::{Buffer, DmaRegion, Doorbell, Ring, RingFault, Transport, Used};

/// What the netdev and its queues share. Only opening and resetting touch it, except for `notify`
/// of a transport without doorbells.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    pub(crate) transport: Mutex<T>,
    /// The device has confirmed a reset since the queues were made: their memory is ours again.
    /// Written by the netdev with release, read by queues that go away with acquire.
    pub(crate) is_stopped: AtomicBool,
    /// Queues in other hands.
    pub(crate) live: AtomicUsize,
    /// Ring memory that stopped queues left, to use again, by queue number.
    pub(crate) rings: Mutex<Vec<(u16, DmaRegion)>>,
}

/// A ring and the packets in flight on it.
#[derive(Debug)]
pub(crate) struct PacketQueue<T: Transport, R: Ring> {
    /// `None` only while dropping.
    ring: Option<R>,
    /// By the id of their chain.
    packets: Box<[Option<Packet>]>,
    number: u16,
    doorbell: Option<Doorbell>,
    has_interrupt: bool,
    shared: Arc<Shared<T>>,
    fault: Option<QueueFault>,
}

impl<T: Transport, R: Ring> PacketQueue<T, R> {
    pub(crate) fn new(
        ring: R,
        number: u16,
        doorbell: Option<Doorbell>,
        shared: Arc<Shared<T>>,
    ) -> Self {
        shared.live.fetch_add(1, Ordering::AcqRel);
        let packets = (0..ring.size()).map(|_| None).collect();
        let ring = Some(ring);
        Self { ring, packets, number, doorbell, has_interrupt: false, shared, fault: None }
    }

    /// Says whether the device can interrupt for this queue.
    pub(crate) fn set_interrupt(&mut self, has_interrupt: bool) {
        self.has_interrupt = has_interrupt;
    }

    /// As [`netdev::RxQueue::arm`].
    pub(crate) fn arm(&mut self) -> bool {
        self.has_interrupt && self.ring.as_mut().is_some_and(R::arm)
    }

    pub(crate) fn size(&self) -> u16 {
        self.ring.as_ref().map_or(0, R::size)
    }

    pub(crate) fn n_free(&self) -> u16 {
        self.ring.as_ref().map_or(0, R::n_free)
    }

    /// Whether all that the device had is ours again.
    pub(crate) fn is_device_stopped(&self) -> bool {
        self.shared.is_stopped.load(Ordering::Acquire)
    }

    pub(crate) fn check(&self) -> Result<(), QueueFault> {
        self.fault.map_or(Ok(()), Err)
    }

    /// Kills the queue; of one that is dead the first fault is told.
    pub(crate) fn kill(&mut self, kind: FaultKind) -> QueueFault {
        *self.fault.get_or_insert(QueueFault { kind, queue: self.number })
    }

    /// Hands packets to the device while there is room, each with all of `next`'s bytes from the start of its frame.
    /// How many.
    #[inline(always)]
    pub(crate) fn add_each(
        &mut self,
        is_device_written: bool,
        mut next: impl FnMut() -> Option<(Packet, u32)>,
    ) -> u16 {
        let Self { ring: Some(ring), packets, .. } = self else { return 0 };
        ring.add_each(|id| {
            // Ids are below the ring's size, which is the number of slots.
            let slot = packets.get_mut(usize::from(id))?;
            let (packet, len) = next()?;
            let device_address = packet.buffer_device_address();
            // Nothing was there: the id was free.
            core::mem::forget(slot.replace(packet));
            Some(Buffer { device_address, len, is_device_written })
        })
    }

    /// Publishes what was added; whether the device wants to be notified.
    pub(crate) fn publish(&mut self) -> bool {
        self.ring.as_mut().is_some_and(R::publish)
    }

    pub(crate) fn notify(&self) {
        match &self.doorbell {
            Some(doorbell) => doorbell.ring(),
            None => self.shared.transport.lock().notify(self.number),
        }
    }

    /// Gives up to `most` packets that the device gave back to `take`, and how much it wrote into each. What came before
    /// a fault has been given then.
    #[inline(always)]
    pub(crate) fn pop_each(
        &mut self,
        most: usize,
        mut take: impl FnMut(Packet, u32),
    ) -> Result<(), QueueFault> {
        let Self { ring: Some(ring), packets, .. } = self else { return Ok(()) };
        let most = u16::try_from(most).unwrap_or(u16::MAX);
        let mut is_known = true;
        let popped = ring.pop_each(most, |Used { id, written }| {
            match packets.get_mut(usize::from(id)).and_then(Option::take) {
                Some(packet) => take(packet, written),
                None => is_known = false,
            }
        });
        match popped {
            Ok(()) if is_known => Ok(()),
            // The ring knows what is in flight, so this is its word against the packets'.
            Ok(()) => Err(self.kill(FaultKind::NotInFlight)),
            Err(fault) => Err(self.kill(kind(fault))),
        }
    }

    /// Takes packets that the device gave back while there is room for them, says what it wrote into each, and asks for
    /// their frames: they come together, and not one after the other when each is looked at. What came before a fault is
    /// in `into` then.
    #[inline(always)]
    pub(crate) fn pop_burst(
        &mut self,
        into: &mut Batch,
        written: &mut [u32; BATCH],
    ) -> Result<(), QueueFault> {
        self.pop_each(BATCH - into.len(), |packet, n_written| {
            packet.prefetch_frame();
            if let Some(place) = written.get_mut(into.len()) {
                *place = n_written;
            }
            // There is room for each.
            drop(into.push(packet));
        })
    }
}

impl<T: Transport, R: Ring> Drop for PacketQueue<T, R> {
    fn drop(&mut self) {
        if self.is_device_stopped() {
            if let Some(ring) = self.ring.take() {
                self.shared.rings.lock().push((self.number, ring.into_region()));
            }
        } else {
            // The device may still write to all of it: leave it to the device for good.
            for packet in self.packets.iter_mut().filter_map(Option::take) {
                core::mem::forget(packet);
            }
        }
        self.shared.live.fetch_sub(1, Ordering::AcqRel);
    }
}

fn kind(fault: RingFault) -> FaultKind {
    match fault {
        RingFault::BadIndex => FaultKind::BadIndex,
        RingFault::BadId => FaultKind::BadId,
        RingFault::NotInFlight => FaultKind::NotInFlight,
        RingFault::BadLength => FaultKind::BadLength,
    }
}
