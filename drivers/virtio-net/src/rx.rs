//! The receive queue.
//!
//! # Life of a frame
//! A posted packet comes back with a length. Its first 12 bytes are the device's header, which is
//! pulled off; `num_buffers` in it says over how many buffers the frame is spread (§5.1.6.4). One,
//! the usual case: the packet goes to the switch as it is. More (mergeable buffers only): the parts
//! are gathered into one jumbo packet, or a large one. A frame that its sender has not finished says so in
//! the header, and the packet remembers it ([`packet::Offload`]). The parts may arrive over several calls; the device should
//! show them at once, but nothing here depends on it.
//!
//! # A burst
//! First all buffers that came back are taken off the ring, then their headers are looked at: a frame's first line is in the
//! cache of the core that wrote it, and all of a burst are asked for before the first is needed.
//!
//! # Refilling
//! Buffers are posted again when at least a quarter of the ring, or a batch, is empty: one index
//! store and at most one notification for all of them. If the pool is dry, the ring stays short and
//! is filled later (`starved` counts it); no frame is lost by it as long as some buffers are posted.
//!
//! # The end
//! What the device has put into the ring is there when it has been stopped, and is received then like everything
//! before ([`RxQueue::drain`]). Of what it had begun and not shown nobody knows: to us it never came.

use crate::offload::{Header, Taken};
use crate::queue::{PacketQueue, Returned};
use crate::{FRAME_OVERHEAD, HEADER_LEN};
use alloc::collections::VecDeque;
use netdev::{FaultKind, QueueFault, RxQueue, RxStats};
use packet::{BATCH, Batch, HEADROOM, JUMBO_BYTES, LARGE_BYTES, Packet, PoolCache, SMALL_BYTES};
use virtio::{Ring, Transport};

/// Shortest frame that is one: an Ethernet header.
const MIN_FRAME: usize = 14;

/// How receive buffers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RxConfig {
    /// Frames may be spread over several buffers.
    pub(crate) is_mergeable: bool,
    pub(crate) mtu: u16,
    /// Unfinished frames that may come.
    pub(crate) taken: Taken,
}

impl RxConfig {
    fn max_frame(self) -> usize {
        usize::from(self.mtu) + FRAME_OVERHEAD
    }
}

/// Posts buffers while there are any, and room; how many.
#[inline(always)]
fn post<T: Transport, R: Ring>(
    queue: &mut PacketQueue<T, R>,
    stats: &mut RxStats,
    mut alloc: impl FnMut() -> Option<Packet>,
) -> u16 {
    queue.add_each(true, || {
        let Some(packet) = alloc() else {
            stats.starved += 1;
            return None;
        };
        // A buffer is at most some 64 KiB.
        let len = u32::try_from(packet.buffer_capacity()).unwrap_or(0);
        Some((packet, len))
    })
}

#[derive(Debug)]
pub(crate) struct Rx<T: Transport, R: Ring> {
    queue: PacketQueue<T, R>,
    config: RxConfig,
    gather: Option<Gather>,
    stats: RxStats,
    /// The device is stopped: it gets no more buffers.
    is_stopped: bool,
}

/// A frame of which not all buffers have come yet.
#[derive(Debug)]
struct Gather {
    /// What has come; `None` when the frame is being dropped.
    packet: Option<Packet>,
    /// Buffers still to come; at least one.
    left: u16,
    /// The frame's, if it is not finished.
    header: Option<Header>,
}

impl<T: Transport, R: Ring> Rx<T, R> {
    pub(crate) fn new(queue: PacketQueue<T, R>, config: RxConfig) -> Self {
        Self { queue, config, gather: None, stats: RxStats::default(), is_stopped: false }
    }

    /// Posts buffers until the ring is full or the pool dry, and publishes them; how many, and
    /// whether to notify.
    pub(crate) fn fill(&mut self, cache: &mut PoolCache) -> (u16, bool) {
        let Self { queue, config, stats, .. } = self;
        let posted = match config.is_mergeable {
            true => post(queue, stats, || cache.alloc()),
            false => post(queue, stats, || cache.alloc_for(HEADER_LEN + config.max_frame())),
        };
        (posted, queue.publish())
    }

    pub(crate) fn notify(&self) {
        self.queue.notify();
    }

    fn refill(&mut self, cache: &mut PoolCache) {
        let batch = u16::try_from(BATCH).unwrap_or(u16::MAX);
        if self.queue.n_free() >= batch.min(self.queue.size() / 4).max(1) && !self.is_stopped {
            let (_, wants_notify) = self.fill(cache);
            if wants_notify {
                self.queue.notify();
            }
        }
    }

    /// One buffer that came back. Gives a packet when a frame is complete with it.
    #[inline(always)]
    fn buffer(
        &mut self,
        mut packet: Packet,
        written: u32,
        cache: &mut PoolCache,
    ) -> Result<Option<Packet>, QueueFault> {
        // The ring has checked that no more was written than was posted.
        let written = usize::try_from(written).unwrap_or(usize::MAX);
        if self.gather.is_some() || !packet.set_received_len(written) {
            return self.part(packet, written, cache);
        }
        let Some(header) = packet.take_front().map(Header::of) else {
            self.stats.malformed += 1;
            cache.free(packet);
            return Ok(None);
        };
        let n_buffers = if self.config.is_mergeable { header.num_buffers() } else { 1 };
        match n_buffers == 1 && header.is_finished(self.config.taken) {
            true => Ok(self.finish(packet, cache)),
            false => self.unusual(packet, header, n_buffers, cache),
        }
    }

    /// A buffer that came back while others of its frame are still to come, or with more bytes than it has.
    #[inline(never)]
    fn part(
        &mut self,
        mut packet: Packet,
        written: usize,
        cache: &mut PoolCache,
    ) -> Result<Option<Packet>, QueueFault> {
        if !packet.set_received_len(written) {
            cache.free(packet);
            return Err(self.fault(FaultKind::BadLength));
        }
        Ok(match self.gather.take() {
            Some(gather) => self.gather_more(gather, packet, cache),
            None => None,
        })
    }

    /// The first buffer of a frame that is not finished, or of several buffers.
    #[inline(never)]
    fn unusual(
        &mut self,
        packet: Packet,
        header: Header,
        n_buffers: u16,
        cache: &mut PoolCache,
    ) -> Result<Option<Packet>, QueueFault> {
        match n_buffers {
            1 => Ok(self.take_unfinished(packet, header, cache)),
            // §5.1.6.4: at least one; and the device cannot have more than the ring holds.
            n if n != 0 && n <= self.queue.size() => {
                let is_finished = header.is_finished(self.config.taken);
                let header = (!is_finished).then_some(header);
                let is_large = header.is_some_and(Header::is_large);
                let whole = self.start_gather(packet, if is_large { n } else { 1 }, cache);
                self.gather = Some(Gather { packet: whole, left: n - 1, header });
                Ok(None)
            }
            _ => {
                cache.free(packet);
                Err(self.fault(FaultKind::BadChain))
            }
        }
    }

    /// Takes the first of the buffers of a frame, which may be large if there are several.
    fn start_gather(
        &mut self,
        first: Packet,
        n_buffers: u16,
        cache: &mut PoolCache,
    ) -> Option<Packet> {
        let most = usize::from(n_buffers) * (SMALL_BYTES - HEADROOM);
        let whole = cache
            .alloc_for(most.clamp(JUMBO_BYTES - HEADROOM, LARGE_BYTES - HEADROOM))
            .and_then(|mut whole| if whole.extend(first.data()) { Some(whole) } else { None });
        if whole.is_none() {
            self.stats.no_buffer += 1;
        }
        cache.free(first);
        whole
    }

    fn gather_more(
        &mut self,
        mut gather: Gather,
        part: Packet,
        cache: &mut PoolCache,
    ) -> Option<Packet> {
        if let Some(whole) = &mut gather.packet
            && !whole.extend(part.data())
        {
            self.stats.truncated += 1;
            if let Some(whole) = gather.packet.take() {
                cache.free(whole);
            }
        }
        cache.free(part);
        gather.left -= 1;
        if gather.left != 0 {
            self.gather = Some(gather);
            return None;
        }
        let whole = gather.packet?;
        match gather.header {
            None => self.finish(whole, cache),
            Some(header) => self.take_unfinished(whole, header, cache),
        }
    }

    /// As [`finish`](Self::finish), for a frame that its sender has not finished.
    #[inline(never)]
    fn take_unfinished(
        &mut self,
        mut packet: Packet,
        header: Header,
        cache: &mut PoolCache,
    ) -> Option<Packet> {
        let wishes = header.unfinished(self.config.taken);
        if wishes.and_then(|wishes| packet.leave_unfinished(&wishes)).is_err() {
            self.stats.bad_offload += 1;
            cache.free(packet);
            return None;
        }
        self.finish(packet, cache)
    }

    /// The last checks before the switch sees the frame.
    #[inline(always)]
    fn finish(&mut self, packet: Packet, cache: &mut PoolCache) -> Option<Packet> {
        let counter = if packet.len() < MIN_FRAME {
            &mut self.stats.malformed
        } else if packet.len() > self.config.max_frame()
            && packet.wire_len() > self.config.max_frame()
        {
            &mut self.stats.truncated
        } else {
            self.stats.frames += 1;
            self.stats.bytes += packet.len() as u64;
            return Some(packet);
        };
        *counter += 1;
        cache.free(packet);
        None
    }

    fn fault(&mut self, kind: FaultKind) -> QueueFault {
        self.stats.faults += u64::from(self.queue.check().is_ok());
        self.queue.kill(kind)
    }
}

impl<T: Transport + Send + core::fmt::Debug, R: Ring> RxQueue for Rx<T, R> {
    fn receive(&mut self, into: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        self.queue.check()?;
        let before = into.len();
        let mut returned = Returned { packets: Batch::new(), written: [0; BATCH] };
        // Once more where several buffers were a frame; bounded even if the device completes them as fast as we look.
        for _ in 0..2 {
            let room = BATCH - into.len();
            let popped =
                self.queue.pop_burst(room, &mut returned).inspect_err(|_| self.stats.faults += 1);
            let n_returned = returned.packets.len();
            let mut taken = Ok(());
            for (packet, written) in returned.packets.drain(..).zip(returned.written) {
                if taken.is_err() {
                    // The device gave it back before it failed.
                    cache.free(packet);
                    continue;
                }
                match self.buffer(packet, written, cache) {
                    // There is room for as many as were taken.
                    Ok(Some(packet)) => drop(into.push(packet)),
                    Ok(None) => {}
                    Err(fault) => taken = Err(fault),
                }
            }
            // Frames already in the batch are good ones; the fault is reported by the next call.
            match popped.and(taken) {
                Err(fault) if into.len() == before => return Err(fault),
                Err(_) => return Ok(into.len() - before),
                Ok(()) if n_returned < room || into.is_full() => break,
                Ok(()) => {}
            }
        }
        self.refill(cache);
        Ok(into.len() - before)
    }

    fn arm(&mut self) -> bool {
        self.queue.arm()
    }

    fn drain(&mut self, into: &mut VecDeque<Packet>, cache: &mut PoolCache) {
        if !self.queue.is_device_stopped() {
            return;
        }
        self.is_stopped = true;
        let mut batch = Batch::new();
        // Each round takes what the device had and does not get back: it ends after a ring's length at the latest.
        loop {
            let n_free = self.queue.n_free();
            let received = self.receive(&mut batch, cache);
            into.extend(batch.drain(..));
            if received.is_err() || self.queue.n_free() == n_free {
                break;
            }
        }
        // The rest of it does not come any more.
        if let Some(part) = self.gather.take().and_then(|gather| gather.packet) {
            self.stats.malformed += 1;
            cache.free(part);
        }
    }

    fn stats(&self) -> RxStats {
        self.stats
    }
}
