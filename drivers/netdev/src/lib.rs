#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod fake;
mod fault;
mod stats;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;
use packet::{Batch, OffloadSet, Packet, Pool, PoolCache};

pub use fault::{FaultKind, OpenError, QueueFault};
pub use stats::{RxStats, TxStats};

/// The receiving half of a queue pair.
pub trait RxQueue: Send + Debug {
    /// Appends frames that have arrived to `into`, as many as there are and as fit, and returns
    /// how many. Buffers for later frames come from `cache`.
    ///
    /// # Errors
    ///
    /// When the device broke its protocol; the queue is dead then.
    fn receive(&mut self, into: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault>;

    /// Asks the device for an interrupt when the next frame arrives. `false` when a frame is there
    /// already or the device has no interrupts: whoever rests then does so at its own risk.
    fn arm(&mut self) -> bool {
        false
    }

    /// Takes all frames that had arrived when the device was stopped ([`Netdev::stop`]); it is given no more
    /// buffers. A queue that is dead gives none: what its ring says is not believed. Nor is there anything
    /// where frames wait outside until they are asked for.
    fn drain(&mut self, into: &mut VecDeque<Packet>, cache: &mut PoolCache) {
        let _ = (into, cache);
    }

    /// Counters since `open`.
    fn stats(&self) -> RxStats;
}

/// The transmitting half of a queue pair.
pub trait TxQueue: Send + Debug {
    /// Takes packets from the front of `from` and returns how many. Those that stay in the batch
    /// did not fit: try again later or drop them.
    ///
    /// # Errors
    ///
    /// When the device broke its protocol; the queue is dead then.
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault>;

    /// Frees what the device has finished with. `transmit` does it too; this is for quiet times.
    ///
    /// # Errors
    ///
    /// When the device broke its protocol; the queue is dead then.
    fn reclaim(&mut self, cache: &mut PoolCache) -> Result<(), QueueFault>;

    /// Frames that were given to the device and of which it has not said that it is done with them, or not been
    /// asked ([`reclaim`](Self::reclaim)).
    fn n_in_flight(&self) -> usize {
        0
    }

    /// Counters since `open`.
    fn stats(&self) -> TxStats;
}

/// One queue of each direction.
#[derive(Debug)]
pub struct QueuePair {
    /// Frames that arrive.
    pub rx: Box<dyn RxQueue>,
    /// Frames that leave.
    pub tx: Box<dyn TxQueue>,
}

/// What a netdev is. Fixed while the netdev lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetdevInfo {
    /// Name as the machine knows it, unique among the netdevs (for example `pci-0000:00:04.0`).
    pub name: String,
    /// The device's own Ethernet address.
    pub mac: [u8; 6],
    /// Largest payload of an Ethernet frame.
    pub mtu: u16,
    /// How many queue pairs `open` can give.
    pub max_queue_pairs: u16,
    /// Which driver this is, for example `virtio-net`.
    pub driver: &'static str,
    /// Names of what was negotiated with the device.
    pub features: Vec<&'static str>,
    /// What its transmit queues take over of packets that are not finished ([`packet::Offload`]). They refuse
    /// any other such packet.
    pub offloads: OffloadSet,
}

/// Whether frames can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The link is up.
    pub up: bool,
    /// Its speed in Mbit/s, when the device says so.
    pub speed_mbps: Option<u32>,
}

/// A device that frames enter and leave by.
pub trait Netdev: Send + Debug {
    /// What this netdev is.
    fn info(&self) -> &NetdevInfo;

    /// Makes queue pairs, fills their receive rings from `pool` and starts the device. Also used
    /// again after [`reset`](Self::reset), to open with another number of pairs for example.
    ///
    /// # Errors
    ///
    /// When the device does not come up; it is stopped then and may be opened again.
    fn open(&mut self, n_pairs: u16, pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError>;

    /// The link as the device reports it at the moment.
    fn link(&mut self) -> LinkState;

    /// Stops the device: it writes to no buffer any more. Its queues may be drained then
    /// ([`RxQueue::drain`]), and go back by [`reset`](Self::reset).
    ///
    /// # Errors
    ///
    /// When the device does not stop.
    fn stop(&mut self) -> Result<(), OpenError>;

    /// Stops the device, if it is not stopped, and takes its queues back, every one that `open` gave; their
    /// buffers go back to the pool, with all that is in them: frames that were not drained, and frames on
    /// a transmit ring that the device has not sent. `open` may follow.
    ///
    /// # Errors
    ///
    /// When the device does not stop. The buffers that it may still write are then lost to the
    /// pool for good, rather than reused.
    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError>;
}

/// Takes the first `n` packets (at most all) off a batch, in order.
pub fn take_front(batch: &mut Batch, n: usize) -> impl Iterator<Item = Packet> + '_ {
    let n = n.min(batch.len());
    batch.drain(..n)
}
