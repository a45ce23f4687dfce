//! A netdev without end: it receives what a source makes, and swallows what it is given.
//!
//! For measurements: nothing here allocates, waits or takes a lock while frames pass, so what a switch
//! between two of these costs is the switch's, but for one copy of each frame.

use crate::{
    LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, RxQueue, RxStats, TxQueue,
    TxStats, take_front,
};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use packet::{BATCH, Batch, Pool, PoolCache};

/// Where the frames of a [`Stream`] come from.
pub trait Source: Send + Debug {
    /// The next frame; `None` if there is none at the moment.
    fn next(&mut self) -> Option<&[u8]>;
}

impl Source for Box<dyn Source> {
    fn next(&mut self) -> Option<&[u8]> {
        (**self).next()
    }
}

/// The same frames over and over.
#[derive(Clone, Debug)]
pub struct Repeat {
    frames: Arc<[Box<[u8]>]>,
    next: usize,
}

impl Repeat {
    /// A source of these frames, in this order.
    #[must_use]
    pub fn new(frames: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { frames: frames.into_iter().map(Vec::into_boxed_slice).collect(), next: 0 }
    }
}

impl Source for Repeat {
    fn next(&mut self) -> Option<&[u8]> {
        let frame = self.frames.get(self.next)?;
        self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
        Some(frame)
    }
}

/// A netdev with one queue pair; it opens once.
#[derive(Debug)]
pub struct Stream {
    info: NetdevInfo,
    source: Option<Box<dyn Source>>,
    shared: Arc<Shared>,
}

impl Stream {
    /// A netdev that receives what `source` makes, in full bursts until its handle says otherwise.
    #[must_use]
    pub fn new(name: &str, mac: [u8; 6], source: impl Source + 'static) -> (Self, StreamHandle) {
        let info = NetdevInfo {
            name: name.to_string(),
            mac,
            mtu: 1500,
            max_queue_pairs: 1,
            driver: "stream",
            features: Vec::new(),
            offloads: packet::OffloadSet::NONE,
        };
        let shared =
            Arc::new(Shared { n_per_burst: OwnLine(AtomicUsize::new(BATCH)), ..Shared::default() });
        let handle = StreamHandle { shared: shared.clone() };
        (Self { info, source: Some(Box::new(source)), shared }, handle)
    }
}

/// # Concurrency
/// The counts are written by the core that receives and the one that sends, the pace by whoever holds the
/// handle; they lie apart, as the rings of a device do. None of them orders anything else.
#[derive(Debug, Default)]
struct Shared {
    n_per_burst: OwnLine<AtomicUsize>,
    n_received: OwnLine<AtomicU64>,
    n_sent: OwnLine<AtomicU64>,
}

/// A word that no other one shares a cache line with, nor the pair of lines that is fetched at once.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OwnLine<T>(T);

/// The other side of a [`Stream`].
#[derive(Clone, Debug)]
pub struct StreamHandle {
    shared: Arc<Shared>,
}

impl StreamHandle {
    /// From now on a burst has so many frames, 32 at most; 0 is silence.
    pub fn set_burst(&self, n: usize) {
        self.shared.n_per_burst.0.store(n.min(BATCH), Relaxed);
    }

    /// Frames that the netdev received so far.
    #[must_use]
    pub fn n_received(&self) -> u64 {
        self.shared.n_received.0.load(Relaxed)
    }

    /// Frames that it was given to send so far.
    #[must_use]
    pub fn n_sent(&self) -> u64 {
        self.shared.n_sent.0.load(Relaxed)
    }
}

impl Netdev for Stream {
    fn info(&self) -> &NetdevInfo {
        &self.info
    }

    fn open(&mut self, _n_pairs: u16, _pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        let source = self.source.take().ok_or(OpenError::AlreadyOpen)?;
        let rx = Receive { source, shared: self.shared.clone(), n_frames: 0, n_bytes: 0 };
        let tx = Swallow { shared: self.shared.clone(), stats: TxStats::default() };
        Ok(vec![QueuePair { rx: Box::new(rx), tx: Box::new(tx) }])
    }

    fn link(&mut self) -> LinkState {
        LinkState { up: true, speed_mbps: Some(10_000) }
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        Ok(())
    }

    fn reset(&mut self, _returned: Vec<QueuePair>) -> Result<(), OpenError> {
        Ok(())
    }
}

#[derive(Debug)]
struct Receive {
    source: Box<dyn Source>,
    shared: Arc<Shared>,
    n_frames: u64,
    n_bytes: u64,
}

impl RxQueue for Receive {
    fn receive(&mut self, into: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let before = into.len();
        let wanted = self.shared.n_per_burst.0.load(Relaxed).min(BATCH - before);
        for _ in 0..wanted {
            let Some(frame) = self.source.next() else { break };
            let Some(packet) = cache.from_bytes(frame) else { break };
            self.n_bytes += frame.len() as u64;
            // There is room.
            let _ = into.push(packet);
        }
        let n = into.len() - before;
        if n > 0 {
            self.n_frames += n as u64;
            self.shared.n_received.0.store(self.n_frames, Relaxed);
        }
        Ok(n)
    }

    fn stats(&self) -> RxStats {
        RxStats { frames: self.n_frames, bytes: self.n_bytes, ..RxStats::default() }
    }
}

#[derive(Debug)]
struct Swallow {
    shared: Arc<Shared>,
    stats: TxStats,
}

impl TxQueue for Swallow {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let n = from.len();
        self.stats.frames += n as u64;
        self.stats.bytes += from.iter().map(|packet| packet.len() as u64).sum::<u64>();
        take_front(from, n).for_each(|packet| cache.free(packet));
        self.shared.n_sent.0.store(self.stats.frames, Relaxed);
        Ok(n)
    }

    fn reclaim(&mut self, _cache: &mut PoolCache) -> Result<(), QueueFault> {
        Ok(())
    }

    fn stats(&self) -> TxStats {
        self.stats
    }
}
