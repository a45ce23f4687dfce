//! What crosses between cores, and the rings that carry it.
//!
//! ```text
//!  control ── orders ──► core       megaflow commands, queues to take over, whose a port is, fences
//!  control ◄─ upcalls ── core       packets without a conclusion, samples for the self check
//!  control ◄─ protocol ─ core       such packets of protocols that go before all others
//!  control ◄─ conclusions core      what the core concluded itself (made by ofproto)
//!  control ◄─ reports ── core       queues given back, queue faults
//!  control ─ forwards ─► core       frames that the control core sends
//! ```
//! Every ring has one producer and one consumer and a fixed length. A full ring of upcalls or forwards
//! drops frames, each under its reason; orders and reports are never lost: they wait with the sender.

use crate::bridges::BridgeId;
use crate::outlet::exit::Exit;
use crate::policing::Policing;
use crate::upcalls::{UpcallConfig, UpcallCounters};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Check, Command, DropReason, PortCounters, PortNo, Upcall};
use netdev::{QueueFault, RxQueue, RxStats, TxQueue};
use ofproto::InlineTranslator;
use packet::{BATCH, Batch, OffloadSet, Packet, PoolCache};
use sync::counter::Counter;
use sync::spsc::Producer;

/// Upcalls that may wait for the control core, per polling core.
pub(crate) const UPCALL_RING: usize = 1024;
/// Upcalls of protocols that may wait, per core.
pub(crate) const PROTOCOL_RING: usize = 128;
/// Conclusions that may wait for the control core, per polling core.
pub(crate) const CONCLUSION_RING: usize = 512;
/// Frames of the control core that may wait for a core.
pub(crate) const FORWARD_RING: usize = 512;
/// Orders that may be under way to a core; more of them wait with the control core.
pub(crate) const ORDER_RING: usize = 1024;
/// Reports under way from a core; more of them wait with the core.
pub(crate) const REPORT_RING: usize = 64;

/// From the control core to a polling core.
#[derive(Debug)]
pub(crate) enum Order {
    /// For the core's datapath.
    Datapath(Command),
    /// A port appears on this core, with the queues that this core is to poll.
    TakePort(Box<PortQueues>),
    /// Stop using the port's queues and give them back.
    ReleasePort(PortNo),
    /// Poll one more queue of a port that this core knows.
    TakeQueue(Box<TakenQueue>),
    /// Poll this queue of a port no more, and give it back.
    ReleaseQueue(PortNo, usize),
    /// Answer upcalls like this from now on.
    Upcalls(UpcallConfig),
    /// A bridge appears; with this its misses are answered here.
    AddBridge(BridgeId, Box<InlineTranslator>),
    /// A bridge is gone.
    RemoveBridge(BridgeId),
    /// From now on the port belongs to this bridge: frames may come from it and go there.
    Bind(Box<Binding>),
    /// What the port may receive from now on, and how many queues share that.
    Police(PortNo, (Policing, u32)),
    /// Longer frames than this do not leave by the port.
    LimitFrames(PortNo, Option<usize>),
    /// The port belongs to no bridge: its megaflows go, and frames that come from it are dropped.
    Unbind(PortNo),
}

/// What a core needs of a port.
#[derive(Debug)]
pub(crate) struct PortQueues {
    pub(crate) port: PortNo,
    pub(crate) counters: Arc<PortCounters>,
    pub(crate) upcalls: Arc<UpcallCounters>,
    pub(crate) rx: Vec<RxPart>,
    pub(crate) tx: TxRoute,
    /// What the port may receive, and how many queues share that.
    pub(crate) policing: (Policing, u32),
    /// The longest frame that may leave, in bytes, where the device would take longer ones.
    pub(crate) max_frame: Option<usize>,
}

/// A receive queue on its way to the core that is to poll it, or back.
#[derive(Debug)]
pub(crate) struct RxPart {
    /// Its number in its device.
    pub(crate) number: usize,
    pub(crate) queue: Box<dyn RxQueue>,
    /// Cycles spent on its frames since boot; written by the core that polls it.
    pub(crate) cycles: Arc<Counter>,
    /// The queue's own counts when they were last carried over to the port's.
    pub(crate) seen: RxStats,
    /// What stood in the device's rings when it was reset, and goes first.
    pub(crate) left: VecDeque<Packet>,
}

impl RxPart {
    /// As [`RxQueue::receive`].
    #[inline]
    pub(crate) fn receive(
        &mut self,
        into: &mut Batch,
        cache: &mut PoolCache,
    ) -> Result<usize, QueueFault> {
        if self.left.is_empty() {
            self.queue.receive(into, cache)
        } else {
            Ok(self.take_left(into))
        }
    }

    #[cold]
    fn take_left(&mut self, into: &mut Batch) -> usize {
        let n = self.left.len().min(BATCH - into.len());
        // There is room for so many.
        self.left.drain(..n).for_each(|packet| drop(into.push(packet)));
        if self.left.is_empty() {
            self.left = VecDeque::new();
        }
        n
    }

    /// Takes what the device, which is stopped, had brought.
    pub(crate) fn drain(&mut self, cache: &mut PoolCache) {
        self.queue.drain(&mut self.left, cache);
    }

    /// Adds what the queue lost since the last time to the port's counts, so that no frame is lost
    /// without a reason to its name.
    pub(crate) fn carry_over(&mut self, counters: &PortCounters) {
        let Self { queue, seen, .. } = self;
        let stats = queue.stats();
        let lost = [
            (DropReason::RxNoBuffer, stats.no_buffer, seen.no_buffer),
            (DropReason::RxOversize, stats.truncated, seen.truncated),
            (DropReason::RxMalformed, stats.malformed, seen.malformed),
            (DropReason::RxBadOffload, stats.bad_offload, seen.bad_offload),
        ];
        for (reason, counted, seen) in lost {
            let n = counted.saturating_sub(seen);
            if n > 0 {
                counters.lost_at_rx(reason, n);
            }
        }
        *seen = stats;
    }
}

/// A queue that comes to a core from another one.
#[derive(Debug)]
pub(crate) struct TakenQueue {
    pub(crate) port: PortNo,
    pub(crate) counters: Arc<PortCounters>,
    pub(crate) policing: (Policing, u32),
    pub(crate) part: RxPart,
}

/// A port that comes to a bridge, as a core sees it.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) port: PortNo,
    pub(crate) bridge: BridgeId,
    pub(crate) counters: Arc<PortCounters>,
    pub(crate) way: BoundWay,
}

/// What is behind a port that is bound.
#[derive(Debug)]
pub(crate) enum BoundWay {
    /// A device, with a link or without, and what it does for packets that are not finished.
    Device { has_link: bool, offloads: OffloadSet },
    /// The other end of a cable.
    Cable { peer: PortNo, upcalls: Arc<UpcallCounters> },
}

impl BoundWay {
    /// What it means for the datapath, behind the command that adds the port.
    pub(crate) fn command(&self, port: PortNo) -> Command {
        match *self {
            Self::Device { has_link, offloads } => Command::SetLink { port, has_link, offloads },
            Self::Cable { peer, .. } => Command::Plug { port, peer },
        }
    }
}

/// How frames for a port leave this core.
#[derive(Debug)]
pub(crate) enum TxRoute {
    /// From a polling core.
    Exit(Exit),
    /// From the control core: over the ring to this polling core, by index.
    Core(usize),
}

/// A frame that a polling core is to send for the control core.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) port: PortNo,
    pub(crate) packet: Packet,
}

/// From a core's datapath to the control core.
#[derive(Debug)]
pub(crate) enum ToHandler {
    Upcall(Upcall),
    Check(Check),
}

/// From a polling core to the control core.
#[derive(Debug)]
pub(crate) enum Report {
    /// The queues of a port that were this core's alone, given back as ordered; it has let go of the others.
    Released { port: PortNo, rx: Vec<RxPart>, tx: Option<Box<dyn TxQueue>> },
    /// A queue that is to be polled by another core.
    QueueReleased { port: PortNo, part: RxPart },
    /// The device behind a queue broke its protocol; the queue is dead.
    Fault { port: PortNo, fault: QueueFault },
}

/// A sender that loses nothing: what does not fit into the ring waits here, in order.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    ring: Producer<T>,
    waiting: VecDeque<T>,
}

impl<T> Sender<T> {
    pub(crate) fn new(ring: Producer<T>) -> Self {
        Self { ring, waiting: VecDeque::new() }
    }

    pub(crate) fn send(&mut self, item: T) {
        self.flush();
        if !self.waiting.is_empty() {
            self.waiting.push_back(item);
        } else if let Err(item) = self.ring.push(item) {
            self.waiting.push_back(item);
        }
    }

    /// Moves what waits into the ring, as far as there is room.
    pub(crate) fn flush(&mut self) {
        while let Some(item) = self.waiting.pop_front() {
            if let Err(item) = self.ring.push(item) {
                self.waiting.push_front(item);
                return;
            }
        }
    }

    /// Whether the receiver has not taken all of it.
    pub(crate) fn is_unheard(&self) -> bool {
        !self.waiting.is_empty() || !self.ring.is_empty()
    }

    /// Items that wait for room.
    pub(crate) fn n_waiting(&self) -> usize {
        self.waiting.len()
    }
}
