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

    fn collect(&mut self, most: usize, cache: &mut PoolCache) -> Result<(), QueueFault> {
        for _ in 0..most {
            match self.queue.pop() {
                Ok(Some((packet, _))) => cache.free(packet),
                Ok(None) => break,
                Err(fault) => {
                    self.stats.faults += 1;
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// Adds one packet; there is room. A packet that cannot be sent is freed and counted.
    fn send(&mut self, packet: Packet, cache: &mut PoolCache) {
        let len = packet.len();
        // Of a large frame, its segments are measured.
        if packet.is_empty() || len > self.max_frame && packet.wire_len() > self.max_frame {
            let count = if len == 0 { &mut self.stats.refused } else { &mut self.stats.too_long };
            *count += 1;
            cache.free(packet);
            return;
        }
        let mut unfinished = None;
        if !packet.offload().is_none() {
            unfinished = offload::header(&packet, self.offloads);
            if unfinished.is_none() {
                self.stats.refused += 1;
                return cache.free(packet);
            }
        }
        let Some(mut packet) = with_header(packet, cache) else {
            self.stats.refused += 1;
            return;
        };
        if let Some(header) = unfinished
            && let Some(place) = packet.data_mut().first_chunk_mut()
        {
            *place = header;
        }
        // A frame and its header are at most some 64 KiB.
        let bytes = u32::try_from(packet.len()).unwrap_or(0);
        match self.queue.add(packet, bytes, false) {
            Ok(()) => {
                self.stats.frames += 1;
                self.stats.bytes += len as u64;
            }
            Err(packet) => {
                self.stats.refused += 1;
                cache.free(packet);
            }
        }
    }
}

/// The packet with the device's header in front of the frame: all zeros, as nothing is asked of the device
/// for a finished frame (§5.1.6.2). Without headroom, which only deep encapsulation uses up, a copy is made.
#[inline(always)]
fn with_header(mut packet: Packet, cache: &mut PoolCache) -> Option<Packet> {
    if let Some(header) = packet.push_front(HEADER_LEN) {
        header.fill(0);
        return Some(packet);
    }
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

impl<T: Transport + Send + core::fmt::Debug, R: Ring> TxQueue for Tx<T, R> {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        self.queue.check()?;
        self.collect(RECLAIM, cache)?;
        let taken = from.len().min(usize::from(self.queue.n_free()));
        if taken < from.len() {
            self.stats.full += 1;
        }
        for packet in take_front(from, taken) {
            self.send(packet, cache);
        }
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

    fn stats(&self) -> TxStats {
        self.stats
    }
}
