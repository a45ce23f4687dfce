//! The transmit queue.
//!
//! Each call first takes back what the device has finished with, then adds as many packets as the
//! ring has room for, publishes them with one index store and notifies at most once. It never waits
//! for the device: packets that find no room stay in the caller's batch.

use crate::offload;
use crate::queue::PacketQueue;
use crate::{FRAME_OVERHEAD, HEADER_LEN};
use netdev::{QueueFault, TxQueue, TxStats, take_front};
use packet::{BATCH, Batch, OffloadSet, Packet, PoolCache};
use virtio::{Ring, Transport};

/// Completions taken at once, at most: enough to keep up, bounded if the device is fast.
const RECLAIM: usize = 2 * BATCH;

#[derive(Debug)]
pub(crate) struct Tx<T: Transport, R: Ring> {
    queue: PacketQueue<T, R>,
    max_frame: usize,
    /// What the device takes over of packets that are not finished.
    offloads: OffloadSet,
    stats: TxStats,
}

impl<T: Transport, R: Ring> Tx<T, R> {
    pub(crate) fn new(queue: PacketQueue<T, R>, mtu: u16, offloads: OffloadSet) -> Self {
        let max_frame = usize::from(mtu) + FRAME_OVERHEAD;
        Self { queue, max_frame, offloads, stats: TxStats::default() }
    }

    #[inline(always)]
    fn collect(&mut self, most: usize, cache: &mut PoolCache) -> Result<(), QueueFault> {
        let collected = self.queue.pop_each(most, |packet, _| cache.free(packet));
        collected.inspect_err(|_| self.stats.faults += 1)
    }
}

/// The packet with the device's header in front of the frame: all zeros, as nothing is asked of the device
/// for a finished frame (§5.1.6.2). Without headroom, which only deep encapsulation uses up, a copy is made. `None`
/// when there is no memory for it.
#[inline(always)]
fn with_header(mut packet: Packet, cache: &mut PoolCache) -> Option<Packet> {
    if let Some(header) = packet.push_front(HEADER_LEN) {
        header.fill(0);
        return Some(packet);
    }
    with_copy(packet, cache)
}

/// As [`with_header`], in a buffer of its own.
#[inline(never)]
fn with_copy(packet: Packet, cache: &mut PoolCache) -> Option<Packet> {
    let copy = cache.alloc_for(packet.len()).and_then(|mut copy| {
        if !copy.extend(packet.data()) {
            return None;
        }
        copy.push_front(HEADER_LEN)?.fill(0);
        Some(copy)
    });
    cache.free(packet);
    copy
}

/// The packet as it goes to the device; `None` when it cannot be sent: it is freed and counted then.
#[inline(always)]
fn prepare(
    packet: Packet,
    max_frame: usize,
    offloads: OffloadSet,
    stats: &mut TxStats,
    cache: &mut PoolCache,
) -> Option<Packet> {
    let len = packet.len();
    // Of a large frame, its segments are measured.
    if packet.is_empty() || len > max_frame && packet.wire_len() > max_frame {
        let count = if len == 0 { &mut stats.refused } else { &mut stats.too_long };
        *count += 1;
        cache.free(packet);
        return None;
    }
    let prepared = match packet.offload().is_none() {
        true => with_header(packet, cache),
        false => with_wishes(packet, offloads, cache),
    };
    if prepared.is_none() {
        stats.refused += 1;
    }
    prepared
}

/// As [`with_header`], for a packet that is not finished; `None` also if the device does not do what is left.
#[inline(never)]
fn with_wishes(packet: Packet, offloads: OffloadSet, cache: &mut PoolCache) -> Option<Packet> {
    let Some(header) = offload::header(&packet, offloads) else {
        cache.free(packet);
        return None;
    };
    let mut packet = with_header(packet, cache)?;
    *packet.data_mut().first_chunk_mut()? = header;
    Some(packet)
}

impl<T: Transport + Send + core::fmt::Debug, R: Ring> TxQueue for Tx<T, R> {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        self.queue.check()?;
        self.collect(RECLAIM, cache)?;
        let taken = from.len().min(usize::from(self.queue.n_free()));
        if taken < from.len() {
            self.stats.full += 1;
        }
        let Self { queue, max_frame, offloads, stats } = self;
        let mut packets = take_front(from, taken);
        let mut n_bytes = 0;
        let n_added = queue.add_each(false, || {
            let prepared =
                packets.find_map(|packet| prepare(packet, *max_frame, *offloads, stats, cache))?;
            n_bytes += (prepared.len() - HEADER_LEN) as u64;
            // A frame and its header are at most some 64 KiB.
            let bytes = u32::try_from(prepared.len()).unwrap_or(0);
            Some((prepared, bytes))
        });
        stats.frames += u64::from(n_added);
        stats.bytes += n_bytes;
        // None is left: there was room for all.
        drop(packets);
        if self.queue.publish() {
            self.stats.notifies += 1;
            self.queue.notify();
        }
        Ok(taken)
    }

    fn reclaim(&mut self, cache: &mut PoolCache) -> Result<(), QueueFault> {
        self.queue.check()?;
        self.collect(self.queue.size().into(), cache)
    }

    fn n_in_flight(&self) -> usize {
        self.queue.size().saturating_sub(self.queue.n_free()).into()
    }

    fn stats(&self) -> TxStats {
        self.stats
    }
}
