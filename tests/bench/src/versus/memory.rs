//! A port in memory: what the comparison feeds our switch from, and lets it send to.
#![expect(clippy::cast_possible_truncation, reason = "there are few ports")]

use netdev::{
    LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, RxQueue, RxStats, TxQueue,
    TxStats, take_front,
};
use packet::{Batch, Packet, Pool, PoolCache};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A port in memory: gives frames, one copy each, without end unless it is told otherwise; and swallows
/// what it gets.
#[derive(Debug)]
pub(crate) struct Memory {
    info: NetdevInfo,
    frames: Arc<[Box<[u8]>]>,
    is_endless: bool,
    received: Arc<AtomicU64>,
}

impl Memory {
    pub(crate) fn new(k: u32, frames: Arc<[Box<[u8]>]>, received: &Arc<AtomicU64>) -> Self {
        let info = NetdevInfo {
            name: format!("memory{k}"),
            mac: [2, 0, 0, 0, 1, k as u8],
            mtu: 1500,
            max_queue_pairs: 1,
            driver: "memory",
            features: Vec::new(),
            offloads: packet::OffloadSet::NONE,
        };
        Self { info, frames, is_endless: true, received: received.clone() }
    }

    /// Its frames come once, if `is_endless` denies that they come again.
    pub(crate) fn with_end(self, is_endless: bool) -> Self {
        Self { is_endless, ..self }
    }
}

impl Netdev for Memory {
    fn info(&self) -> &NetdevInfo {
        &self.info
    }

    fn open(&mut self, _n_pairs: u16, _pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        let (frames, received) = (self.frames.clone(), self.received.clone());
        let rx = Box::new(Feed {
            frames,
            is_endless: self.is_endless,
            next: 0,
            n_received: 0,
            received,
        });
        Ok(vec![QueuePair { rx, tx: Box::new(Sink { frames: 0 }) }])
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
struct Feed {
    frames: Arc<[Box<[u8]>]>,
    is_endless: bool,
    next: usize,
    n_received: u64,
    /// Read by the measurement.
    received: Arc<AtomicU64>,
}

impl RxQueue for Feed {
    fn receive(&mut self, into: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let before = into.len();
        while !into.is_full() {
            let Some(frame) = self.frames.get(self.next) else { break };
            let Some(packet) = cache.from_bytes(frame) else { break };
            // There is room.
            let _ = into.push(packet);
            self.next += 1;
            if self.next == self.frames.len() && self.is_endless {
                self.next = 0;
            }
        }
        let n = into.len() - before;
        if n > 0 {
            self.n_received += n as u64;
            self.received.store(self.n_received, Ordering::Relaxed);
        }
        Ok(n)
    }

    fn stats(&self) -> RxStats {
        RxStats { frames: self.n_received, ..RxStats::default() }
    }
}

#[derive(Debug)]
struct Sink {
    frames: u64,
}

impl TxQueue for Sink {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let n = from.len();
        self.frames += n as u64;
        take_front(from, n).for_each(|packet: Packet| cache.free(packet));
        Ok(n)
    }

    fn reclaim(&mut self, _cache: &mut PoolCache) -> Result<(), QueueFault> {
        Ok(())
    }

    fn stats(&self) -> TxStats {
        TxStats { frames: self.frames, ..TxStats::default() }
    }
}
