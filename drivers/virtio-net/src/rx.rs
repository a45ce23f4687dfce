//! The receive queue.
//!
//! # Life of a frame
//! A posted packet comes back with a length. Its first 12 bytes are the device's header, which is
//! pulled off; `num_buffers` in it says over how many buffers the frame is spread (§5.1.6.4). One,
//! the usual case: the packet goes to the switch as it is. More (mergeable buffers only): the parts
//! are gathered into one jumbo packet, or a large one. Where the MTU allows frames that a small buffer does not hold, some of the
//! buffers that are posted are jumbo ones, so that most of these frames come in one piece. A frame that its sender has not finished says so in
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
use crate::queue::PacketQueue;
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
    /// Where frames may be spread: how many of the buffers may be jumbo ones all the same, in which the longest frames
    /// find room in one piece.
    pub(crate) n_jumbo: u16,
    /// Unfinished frames that may come.
    pub(crate) taken: Taken,
}

impl RxConfig {
    fn max_frame(self) -> usize {
        usize::from(self.mtu) + FRAME_OVERHEAD
    }

    /// Over how many buffers a frame is spread (§5.1.6.4).
    #[inline(always)]
    fn n_buffers(self, header: Header) -> u16 {
        if self.is_mergeable { header.num_buffers() } else { 1 }
    }

    /// Makes the frame of a buffer as it came, if it is a finished one in this buffer alone and neither too short nor
    /// too long, and gives its length; no change otherwise, except that the packet may be as long as what was written.
    #[inline(always)]
    fn usual(self, packet: &mut Packet, written: u32) -> Option<usize> {
        let written = usize::try_from(written).ok()?;
        let is_held = packet.set_received_len(written);
        let header = Header::of(packet).filter(|_| is_held)?;
        let len = written - HEADER_LEN;
        let is_usual = self.n_buffers(header) == 1
            && header.is_finished(self.taken)
            && len >= MIN_FRAME
            && len <= self.max_frame();
        (is_usual && packet.pull_front(HEADER_LEN)).then_some(len)
    }

    /// How many buffers of a queue may be jumbo ones, where frames may be spread. None if a small one holds any frame;
    /// and no more than a quarter of those that are left, so that a frame that is spread finds one, too, however many
    /// queues there are.
    pub(crate) fn jumbo_share(mtu: u16, n_available: usize) -> u16 {
        match has_long_frames(mtu) {
            true => u16::try_from(n_available / 4).unwrap_or(u16::MAX),
            false => 0,
        }
    }
}

/// Whether frames may come with this MTU, in bytes, that a small buffer does not hold.
#[must_use]
pub fn has_long_frames(mtu: u16) -> bool {
    HEADER_LEN + usize::from(mtu) + FRAME_OVERHEAD > SMALL_BUFFER
}

/// Bytes of a frame and its header that a small buffer holds.
const SMALL_BUFFER: usize = SMALL_BYTES - HEADROOM;

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
    /// Jumbo buffers that the device has, where they are counted.
    n_jumbo: u16,
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
        let stats = RxStats::default();
        Self { queue, config, gather: None, n_jumbo: 0, stats, is_stopped: false }
    }

    /// Posts buffers until the ring is full or the pool dry, and publishes them; how many, and
    /// whether to notify.
    pub(crate) fn fill(&mut self, cache: &mut PoolCache) -> (u16, bool) {
        let Self { queue, config, stats, n_jumbo, .. } = self;
        let posted = match (config.is_mergeable, config.n_jumbo) {
            (true, 0) => post(queue, stats, || cache.alloc()),
            (true, most) => post(queue, stats, || {
                let jumbo = if *n_jumbo < most { cache.alloc_jumbo() } else { None };
                *n_jumbo += u16::from(jumbo.is_some());
                jumbo.or_else(|| cache.alloc())
            }),
            (false, _) => post(queue, stats, || cache.alloc_for(HEADER_LEN + config.max_frame())),
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

    /// Makes a frame of each buffer from `first` on that came back. Most are one each, and stay where they are.
    #[inline(always)]
    fn look_at(
        &mut self,
        into: &mut Batch,
        first: usize,
        written: &[u32; BATCH],
        cache: &mut PoolCache,
    ) -> Result<(), QueueFault> {
        let (mut n_usual, mut n_bytes) = (0, 0);
        if self.gather.is_none() && self.config.n_jumbo == 0 {
            let returned = into.iter_mut().zip(written).skip(first);
            for (packet, written) in returned {
                let Some(len) = self.config.usual(packet, *written) else { break };
                n_usual += 1;
                n_bytes += len as u64;
            }
        }
        self.stats.frames += n_usual as u64;
        self.stats.bytes += n_bytes;
        match first + n_usual == into.len() {
            true => Ok(()),
            false => self.look_closer(into, first + n_usual, written, cache),
        }
    }

    /// As [`look_at`](Self::look_at), where they may be anything.
    #[inline(never)]
    fn look_closer(
        &mut self,
        into: &mut Batch,
        first: usize,
        written: &[u32; BATCH],
        cache: &mut PoolCache,
    ) -> Result<(), QueueFault> {
        let returned: Batch = into.drain(first..).collect();
        let mut taken = Ok(());
        for (packet, written) in returned.into_iter().zip(written.iter().skip(first)) {
            if self.config.n_jumbo > 0 && packet.buffer_capacity() > SMALL_BUFFER {
                self.n_jumbo = self.n_jumbo.saturating_sub(1);
            }
            if taken.is_err() {
                // The device gave it back before it failed.
                cache.free(packet);
                continue;
            }
            match self.buffer(packet, *written, cache) {
                // There is room for as many as were taken.
                Ok(Some(packet)) => drop(into.push(packet)),
                Ok(None) => {}
                Err(fault) => taken = Err(fault),
            }
        }
        taken
    }

    /// One buffer that came back. Gives a packet when a frame is complete with it.
    #[inline]
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
        let Some(header) = Header::of(&packet).filter(|_| packet.pull_front(HEADER_LEN)) else {
            self.stats.malformed += 1;
            cache.free(packet);
            return Ok(None);
        };
        let n_buffers = self.config.n_buffers(header);
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
        let mut written = [0; BATCH];
        // Once more where several buffers were a frame; bounded even if the device completes them as fast as we look.
        for _ in 0..2 {
            let first = into.len();
            let popped = self.queue.pop_burst(into, &mut written);
            let popped = popped.inspect_err(|_| self.stats.faults += 1);
            let is_all = into.len() < BATCH;
            // Frames already in the batch are good ones; the fault is reported by the next call.
            match popped.and(self.look_at(into, first, &written, cache)) {
                Err(fault) if into.len() == before => return Err(fault),
                Err(_) => return Ok(into.len() - before),
                Ok(()) if is_all || into.is_full() => break,
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
