//! A netdev around a netdev that misbehaves as planned.

use crate::{
    FaultKind, LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, RxQueue, RxStats,
    TxQueue, TxStats,
};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use packet::{Batch, Packet, Pool, PoolCache};

/// What to do wrong, and how often. The default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// Of the received frames, drop one in so many (0: none).
    pub drop_one_in: u32,
    /// Of the received frames, flip a bit in one in so many (0: none).
    pub corrupt_one_in: u32,
    /// The receive queue faults after so many frames.
    pub rx_fault_after: Option<u64>,
    /// The transmit queue faults after so many frames.
    pub tx_fault_after: Option<u64>,
    /// Start of the random sequence: the same seed misbehaves in the same way.
    pub seed: u64,
}

/// Wraps a netdev and misbehaves on its receive and transmit paths. A reset heals a faulted queue;
/// the plan then starts anew.
#[derive(Debug)]
pub struct Fault {
    inner: Box<dyn Netdev>,
    plan: FaultPlan,
}

impl Fault {
    /// `inner`, misbehaving by `plan`.
    #[must_use]
    pub fn new(inner: Box<dyn Netdev>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }
}

impl Netdev for Fault {
    fn info(&self) -> &NetdevInfo {
        self.inner.info()
    }

    fn open(&mut self, n_pairs: u16, pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        let pairs = self.inner.open(n_pairs, pool)?;
        let wrap = |(number, pair): (u16, QueuePair)| QueuePair {
            rx: Box::new(FaultRx {
                inner: pair.rx,
                plan: self.plan,
                queue: number,
                random: Random(self.plan.seed ^ u64::from(number) ^ 0x9e37_79b9_7f4a_7c15),
                frames: 0,
                dropped: 0,
            }),
            tx: Box::new(FaultTx {
                inner: pair.tx,
                fault_after: self.plan.tx_fault_after,
                queue: number,
                frames: 0,
            }),
        };
        Ok((0..).zip(pairs).map(wrap).collect())
    }

    fn link(&mut self) -> LinkState {
        self.inner.link()
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        self.inner.stop()
    }

    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError> {
        // Dropping a wrapped queue drops the inner one, which is all that a reset asks for.
        self.inner.reset(returned)
    }
}

/// Xorshift: enough to scatter faults.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_in(&mut self, n: u32) -> bool {
        n != 0 && self.next().is_multiple_of(u64::from(n))
    }
}

#[derive(Debug)]
struct FaultRx {
    inner: Box<dyn RxQueue>,
    plan: FaultPlan,
    queue: u16,
    random: Random,
    frames: u64,
    dropped: u64,
}

impl FaultRx {
    fn is_dead(&self) -> bool {
        self.plan.rx_fault_after.is_some_and(|after| self.frames >= after)
    }
}

impl RxQueue for FaultRx {
    fn receive(&mut self, into: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        if self.is_dead() {
            return Err(QueueFault { kind: FaultKind::Injected, queue: self.queue });
        }
        let mut fresh = Batch::new();
        self.frames += self.inner.receive(&mut fresh, cache)? as u64;
        let before = into.len();
        for mut packet in fresh {
            if self.random.one_in(self.plan.drop_one_in) || into.is_full() {
                self.dropped += 1;
                cache.free(packet);
                continue;
            }
            if self.random.one_in(self.plan.corrupt_one_in) && !packet.is_empty() {
                let bit = self.random.next();
                let at = usize::try_from(bit >> 3).unwrap_or(0) % packet.len();
                packet.data_mut()[at] ^= 1 << (bit & 7);
            }
            let _ = into.push(packet);
        }
        Ok(into.len() - before)
    }

    fn drain(&mut self, into: &mut VecDeque<Packet>, cache: &mut PoolCache) {
        if !self.is_dead() {
            self.inner.drain(into, cache);
        }
    }

    /// As if the device had lost what was dropped: counted as frames without a buffer.
    fn stats(&self) -> RxStats {
        let inner = self.inner.stats();
        RxStats {
            frames: inner.frames - self.dropped,
            no_buffer: inner.no_buffer + self.dropped,
            ..inner
        }
    }
}

#[derive(Debug)]
struct FaultTx {
    inner: Box<dyn TxQueue>,
    fault_after: Option<u64>,
    queue: u16,
    frames: u64,
}

impl TxQueue for FaultTx {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        if self.fault_after.is_some_and(|after| self.frames >= after) {
            return Err(QueueFault { kind: FaultKind::Injected, queue: self.queue });
        }
        let taken = self.inner.transmit(from, cache)?;
        self.frames += taken as u64;
        Ok(taken)
    }

    fn reclaim(&mut self, cache: &mut PoolCache) -> Result<(), QueueFault> {
        self.inner.reclaim(cache)
    }

    fn n_in_flight(&self) -> usize {
        self.inner.n_in_flight()
    }

    fn stats(&self) -> TxStats {
        self.inner.stats()
    }
}
