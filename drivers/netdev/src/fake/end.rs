//! The one fake device under `wire` and `Replay`: frames come from one line and go to another.

use crate::{
    LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, RxQueue, RxStats, TxQueue,
    TxStats, take_front,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use packet::{Batch, Packet, Pool, PoolCache};
use spin::Mutex;

/// Frames that a line holds before it is full.
pub(super) const LINE_FRAMES: usize = 1024;
/// Ethernet header and two tags: what a frame may have over the MTU.
const OVERHEAD: usize = 14 + 8;
/// Shortest frame that is one.
const MIN_FRAME: usize = 14;

/// One direction: a bounded queue of frames for each of the receiver's queues.
#[derive(Debug)]
pub(super) struct Line {
    queues: Vec<VecDeque<Vec<u8>>>,
    up: bool,
}

/// A line as both its ends hold it.
pub(super) type SharedLine = Arc<Mutex<Line>>;

impl Line {
    pub(super) fn shared() -> SharedLine {
        let queues = alloc::vec![VecDeque::new()];
        Arc::new(Mutex::new(Self { queues, up: true }))
    }

    /// Deals the waiting frames over `n` queues, as a device does when it is opened.
    fn open(&mut self, n: usize) {
        let waiting: Vec<_> = self.drain();
        self.queues = (0..n.max(1)).map(|_| VecDeque::new()).collect();
        for frame in waiting {
            let queue = self.steer(&frame);
            self.queues[queue].push_back(frame);
        }
    }

    /// Frames of the same two Ethernet addresses stay on the same queue, so their order stays.
    fn steer(&self, frame: &[u8]) -> usize {
        let hash = frame
            .iter()
            .take(12)
            .fold(0_usize, |hash, &byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        hash % self.queues.len()
    }

    /// `false` when the queue for this frame is full. A line that is down swallows everything.
    pub(super) fn send(&mut self, frame: &[u8]) -> bool {
        if !self.up {
            return true;
        }
        let queue = self.steer(frame);
        if self.queues[queue].len() >= LINE_FRAMES {
            return false;
        }
        self.queues[queue].push_back(frame.to_vec());
        true
    }

    fn receive(&mut self, queue: usize) -> Option<Vec<u8>> {
        self.queues.get_mut(queue)?.pop_front()
    }

    /// Everything on the line, queue by queue.
    pub(super) fn drain(&mut self) -> Vec<Vec<u8>> {
        self.queues.iter_mut().flat_map(core::mem::take).collect()
    }

    fn is_empty(&self, queue: usize) -> bool {
        self.queues.get(queue).is_none_or(VecDeque::is_empty)
    }

    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    pub(super) fn set_up(&mut self, up: bool) {
        self.up = up;
        if !up {
            self.drain();
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up
    }
}

/// A device between two lines.
#[derive(Debug)]
pub(super) struct End {
    info: NetdevInfo,
    inbound: SharedLine,
    outbound: SharedLine,
    open: bool,
    /// Queues handed out and not dropped yet.
    live: Arc<AtomicUsize>,
}

impl End {
    pub(super) fn new(name: &str, mac: [u8; 6], lines: (SharedLine, SharedLine)) -> Self {
        let info = NetdevInfo {
            name: name.to_string(),
            mac,
            mtu: 1500,
            max_queue_pairs: 8,
            driver: "fake",
            features: Vec::new(),
            offloads: packet::OffloadSet::NONE,
        };
        let (inbound, outbound) = lines;
        Self { info, inbound, outbound, open: false, live: Arc::default() }
    }

    pub(super) fn set_mtu(&mut self, mtu: u16) {
        self.info.mtu = mtu;
    }
}

impl Netdev for End {
    fn info(&self) -> &NetdevInfo {
        &self.info
    }

    fn open(&mut self, n_pairs: u16, _pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        if self.open {
            return Err(OpenError::AlreadyOpen);
        }
        if n_pairs == 0 || n_pairs > self.info.max_queue_pairs {
            return Err(OpenError::QueuePairs);
        }
        self.open = true;
        self.inbound.lock().open(n_pairs.into());
        let max_frame = usize::from(self.info.mtu) + OVERHEAD;
        let pairs = (0..n_pairs).map(|queue| QueuePair {
            rx: Box::new(EndRx {
                line: self.inbound.clone(),
                queue: queue.into(),
                max_frame,
                stats: RxStats::default(),
                _live: Live::new(&self.live),
            }),
            tx: Box::new(EndTx {
                line: self.outbound.clone(),
                max_frame,
                stats: TxStats::default(),
                _live: Live::new(&self.live),
            }),
        });
        Ok(pairs.collect())
    }

    fn link(&mut self) -> LinkState {
        LinkState { up: self.inbound.lock().is_up(), speed_mbps: None }
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        Ok(())
    }

    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError> {
        drop(returned);
        if self.live.load(Ordering::Acquire) != 0 {
            return Err(OpenError::WrongQueues);
        }
        self.open = false;
        Ok(())
    }
}

/// Counts a queue while it lives, so that `reset` knows whether all came back.
#[derive(Debug)]
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct EndRx {
    line: SharedLine,
    queue: usize,
    max_frame: usize,
    stats: RxStats,
    _live: Live,
}

impl RxQueue for EndRx {
    fn receive(&mut self, into: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let before = into.len();
        while !into.is_full() {
            let Some(frame) = self.line.lock().receive(self.queue) else {
                break;
            };
            if frame.len() < MIN_FRAME {
                self.stats.malformed += 1;
            } else if frame.len() > self.max_frame {
                self.stats.truncated += 1;
            } else if let Some(packet) = cache.from_bytes(&frame) {
                self.stats.frames += 1;
                self.stats.bytes += frame.len() as u64;
                // There is room: the loop's condition.
                let _ = into.push(packet);
            } else {
                self.stats.no_buffer += 1;
            }
        }
        Ok(into.len() - before)
    }

    /// As if the device had put all that is on the line into its ring.
    fn drain(&mut self, into: &mut VecDeque<Packet>, cache: &mut PoolCache) {
        let mut batch = Batch::new();
        while !self.line.lock().is_empty(self.queue) {
            // It has no faults.
            let _ = self.receive(&mut batch, cache);
            into.extend(batch.drain(..));
        }
    }

    fn stats(&self) -> RxStats {
        self.stats
    }
}

#[derive(Debug)]
struct EndTx {
    line: SharedLine,
    max_frame: usize,
    stats: TxStats,
    _live: Live,
}

impl TxQueue for EndTx {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let mut line = self.line.lock();
        let mut taken = 0;
        for packet in from.iter() {
            if packet.is_empty() {
                self.stats.refused += 1;
            } else if packet.len() > self.max_frame {
                self.stats.too_long += 1;
            } else if line.send(packet.data()) {
                self.stats.frames += 1;
                self.stats.bytes += packet.len() as u64;
            } else {
                self.stats.full += 1;
                break;
            }
            taken += 1;
        }
        self.stats.notifies += u64::from(taken != 0);
        take_front(from, taken).for_each(|packet| cache.free(packet));
        Ok(taken)
    }

    fn reclaim(&mut self, _cache: &mut PoolCache) -> Result<(), QueueFault> {
        Ok(())
    }

    fn stats(&self) -> TxStats {
        self.stats
    }
}

/// Forwards `Netdev` to the `End` inside.
macro_rules! netdev_by_end {
    ($name:ty) => {
        impl crate::Netdev for $name {
            fn info(&self) -> &crate::NetdevInfo {
                self.end.info()
            }

            fn open(
                &mut self,
                n_pairs: u16,
                pool: &alloc::sync::Arc<packet::Pool>,
            ) -> Result<alloc::vec::Vec<crate::QueuePair>, crate::OpenError> {
                self.end.open(n_pairs, pool)
            }

            fn link(&mut self) -> crate::LinkState {
                self.end.link()
            }

            fn stop(&mut self) -> Result<(), crate::OpenError> {
                self.end.stop()
            }

            fn reset(
                &mut self,
                returned: alloc::vec::Vec<crate::QueuePair>,
            ) -> Result<(), crate::OpenError> {
                self.end.reset(returned)
            }
        }
    };
}
pub(super) use netdev_by_end;
