//! The queues of devices: dealt to cores, moved, taken back.
//!
//! A *receive* queue is polled by one core and moves when placement says so. *Transmit* queues stay: where a device
//! has one for each core, each core has its own; where it has fewer, all cores share them
//! ([`crate::outlet::exit`]). A core sends by the queue of the pair from which it receives, as far as it can,
//! since devices tend to receive what belongs to a flow by the pair by which they were given it (virtio 1.2
//! §5.1.6.5.5: automatic receive steering).

use super::{Counts, RingDpif};
use crate::outlet::exit::{Exit, SharedQueues};
use crate::rings::{Order, PortQueues, RxPart, TakenQueue, TxRoute};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{DropReason, PortCounters, PortNo};
use netdev::{QueuePair, RxStats, TxQueue};
use packet::Packet;
use sync::counter::Counter;

/// Which core polls a receive queue.
#[derive(Clone, Debug)]
pub(crate) struct RxPlace {
    pub(crate) port: PortNo,
    /// Of the queue in its device.
    pub(crate) number: usize,
    pub(crate) core: usize,
    /// Spent on its frames since it was opened.
    pub(crate) cycles: Arc<Counter>,
    /// On its way to that core.
    is_moving: bool,
}

/// Frames that stood in a device's rings when it was reset, by the number of their queue.
#[derive(Debug, Default)]
pub(crate) struct Left(pub(crate) Vec<(usize, VecDeque<Packet>)>);

impl Left {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The part of the queue `number` of `n_queues`.
    fn deal(&mut self, number: usize, n_queues: usize) -> VecDeque<Packet> {
        let mut part = VecDeque::new();
        for (queue, frames) in &mut self.0 {
            if *queue % n_queues.max(1) == number {
                part.append(frames);
            }
        }
        part
    }
}

/// Transmit queues of a device that no core has for itself.
#[derive(Debug)]
pub(super) enum TxKept {
    /// There are fewer than cores.
    Shared(Arc<SharedQueues>),
    /// There are more than cores: nobody uses these.
    Unused(Vec<Box<dyn TxQueue>>),
}

impl RingDpif {
    /// Makes `port` known to every core. The first of its queue pairs is polled by the core `first`, the others
    /// by those behind it, round and round; what the control core sends goes by way of the first one's.
    /// What is `left` of the time before goes first: each queue's frames by one queue, so that those of a flow stay
    /// in their order.
    pub(crate) fn add_port(
        &mut self,
        port: PortNo,
        pairs: Vec<QueuePair>,
        first: usize,
        mut left: Left,
    ) {
        let n_cores = self.links.len();
        let (n_queues, first) = (pairs.len(), first % n_cores.max(1));
        let mut rx: Vec<Vec<RxPart>> = (0..n_cores).map(|_| Vec::new()).collect();
        let mut tx: Vec<Box<dyn TxQueue>> = Vec::new();
        for (number, QueuePair { rx: queue, tx: other }) in pairs.into_iter().enumerate() {
            let core = (first + number) % n_cores.max(1);
            let cycles = Arc::<Counter>::default();
            let place = RxPlace { port, number, core, cycles: cycles.clone(), is_moving: false };
            self.rx_places.push(place);
            if let Some(of_core) = rx.get_mut(core) {
                let left = left.deal(number, n_queues);
                of_core.push(RxPart { number, queue, cycles, seen: RxStats::default(), left });
            }
            tx.push(other);
        }
        // The pair that is dealt to a core, if there are so many.
        let pair_of = |core: usize| (core + n_cores - first) % n_cores.max(1);
        let mut exits: Vec<Option<Exit>> = (0..n_cores).map(|_| None).collect();
        let kept = if n_queues < n_cores {
            let shared = SharedQueues::new(tx, n_cores);
            for (core, exit) in exits.iter_mut().enumerate() {
                let at = pair_of(core) % n_queues.max(1);
                *exit = Some(Exit::Shared(shared.end_of(core, at)));
            }
            TxKept::Shared(shared)
        } else {
            let unused = tx.split_off(n_cores);
            for (pair, queue) in tx.into_iter().enumerate() {
                if let Some(exit) = exits.get_mut((first + pair) % n_cores.max(1)) {
                    *exit = Some(Exit::Own(queue));
                }
            }
            TxKept::Unused(unused)
        };
        self.tx_kept.insert(port, kept);
        let policing = self.policing.get(&port).copied().unwrap_or_default();
        let policing = (policing, u32::try_from(n_queues).unwrap_or(u32::MAX));
        let max_frame = self.max_frames.get(&port).copied();
        let counts = self
            .ports
            .entry(port)
            .or_insert_with(|| (0..=n_cores).map(|_| Counts::default()).collect());
        let cores = self.links.iter_mut().zip(counts.iter()).zip(rx.into_iter().zip(exits));
        for ((link, counts), (rx, exit)) in cores {
            let Some(exit) = exit else { continue };
            let Counts { frames: counters, upcalls } = counts.clone();
            let tx = TxRoute::Exit(exit);
            let queues = PortQueues { port, counters, upcalls, rx, tx, policing, max_frame };
            link.orders.send(Order::TakePort(Box::new(queues)));
        }
        if let Some(Counts { frames, upcalls }) = counts.last().cloned() {
            self.outlet.add_port(port, frames, upcalls, TxRoute::Core(first));
        }
    }

    /// Drops what is `left` of a port that does not come up.
    pub(crate) fn drop_left(&mut self, port: PortNo, left: &mut Left) {
        let n: usize = left.0.drain(..).map(|(_, frames)| frames.len()).sum();
        if let Some(counters) = self.own_counters(port).filter(|_| n > 0) {
            counters.lost_at_rx(DropReason::RxPortReset, n as u64);
        }
    }

    /// What the control core counts for a port.
    pub(crate) fn own_counters(&self, port: PortNo) -> Option<&PortCounters> {
        self.ports.get(&port)?.last().map(|counts| &*counts.frames)
    }

    /// Receive queues of a port, and as many transmit queues.
    pub(crate) fn n_queues(&self, port: PortNo) -> u32 {
        let n = self.rx_places.iter().filter(|place| place.port == port).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// Takes `port` from every core. Each answers with a report that returns its queues.
    pub(crate) fn release_port(&mut self, port: PortNo) {
        self.rx_places.retain(|place| place.port != port);
        for link in &mut self.links {
            link.orders.send(Order::ReleasePort(port));
        }
        self.outlet.remove_port(port);
    }

    /// When all cores have answered: the transmit queues that were none's alone.
    pub(crate) fn take_kept(&mut self, port: PortNo) -> Vec<Box<dyn TxQueue>> {
        match self.tx_kept.remove(&port) {
            Some(TxKept::Shared(shared)) => shared.take_all().collect(),
            Some(TxKept::Unused(unused)) => unused,
            None => Vec::new(),
        }
    }

    /// Has a queue polled by another core, if it is not there already; whether it moves.
    pub(crate) fn move_queue(&mut self, port: PortNo, number: usize, core: usize) -> bool {
        let is_it = |place: &&mut RxPlace| (place.port, place.number) == (port, number);
        let Some(place) = self.rx_places.iter_mut().find(is_it) else { return false };
        if place.core == core || place.is_moving || core >= self.links.len() {
            return false;
        }
        let Some(link) = self.links.get_mut(place.core) else { return false };
        link.orders.send(Order::ReleaseQueue(port, number));
        (place.core, place.is_moving) = (core, true);
        true
    }

    /// Whether a queue is on its way.
    pub(crate) fn is_moving(&self) -> bool {
        self.rx_places.iter().any(|place| place.is_moving)
    }

    /// Hands a queue that a core has given back to the one that is to poll it.
    pub(crate) fn hand_over(&mut self, port: PortNo, part: RxPart) {
        let policing = (self.policing.get(&port).copied().unwrap_or_default(), self.n_queues(port));
        let number = part.number;
        let is_it = |place: &&mut RxPlace| (place.port, place.number) == (port, number);
        let Some(place) = self.rx_places.iter_mut().find(is_it) else { return };
        place.is_moving = false;
        let counts = self.ports.get(&port).and_then(|cores| cores.get(place.core));
        let (Some(counts), Some(link)) = (counts, self.links.get_mut(place.core)) else { return };
        let counters = counts.frames.clone();
        let taken = TakenQueue { port, counters, policing, part };
        link.orders.send(Order::TakeQueue(Box::new(taken)));
    }

    /// Which core polls which receive queue.
    pub(crate) fn rx_places(&self) -> &[RxPlace] {
        &self.rx_places
    }
}
