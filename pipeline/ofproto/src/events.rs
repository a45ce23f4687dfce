//! What the bridge tells the agent, in a bounded queue.

use alloc::collections::VecDeque;
use openflow::{FlowRemoved, FlowStats, PacketIn, PortStatus, TableStatus};

/// How a packet-in came about, which decides who gets it and what reason it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MissKind {
    /// A rule's action: for everybody.
    None,
    /// No rule matched: for controllers of OpenFlow 1.2 and earlier alone, since from 1.3 on a
    /// miss drops (1.3.5 §5.4).
    Implicit,
    /// The table-miss entry's action: reason "no match" from 1.3 on, "action" before.
    Explicit,
}

/// A packet for controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketInEvent {
    /// The message, with the whole frame in `data`.
    pub packet_in: PacketIn,
    /// At most this many bytes of the frame are for the controller; 0xffff is all. For an implicit
    /// miss the connection's `miss_send_len` rules instead.
    pub max_len: u16,
    /// The controllers with this id (0: those that set none) get it.
    pub controller_id: u16,
    /// Whether it is a table miss.
    pub miss: MissKind,
}

/// Something that controllers may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BridgeEvent {
    /// A packet for controllers.
    PacketIn(PacketInEvent),
    /// A rule that asked for it is gone; its counts are final.
    FlowRemoved(FlowRemoved),
    /// The counters of a rule crossed a threshold of its statistics trigger.
    FlowStats(FlowStats),
    /// A port came, went or changed.
    PortStatus(PortStatus),
    /// A table has become full, or no longer is.
    TableStatus(TableStatus),
}

/// The queue of events.
///
/// Packet-ins are what traffic can cause, so they have a bound of their own and are dropped and
/// counted beyond it. The others follow from commands and configuration and are few.
#[derive(Debug)]
pub(crate) struct Events {
    queue: VecDeque<BridgeEvent>,
    n_packet_ins: usize,
    n_dropped: u64,
}

/// Packet-ins that wait at most.
pub(crate) const MAX_PACKET_INS: usize = 1024;
/// Other events that wait at most.
pub(crate) const MAX_OTHERS: usize = 1 << 18;

impl Events {
    pub(crate) fn new() -> Self {
        Self { queue: VecDeque::new(), n_packet_ins: 0, n_dropped: 0 }
    }

    pub(crate) fn push(&mut self, event: BridgeEvent) {
        let is_packet_in = matches!(event, BridgeEvent::PacketIn(_));
        let n_others = self.n_others();
        let has_room =
            if is_packet_in { self.n_packet_ins < MAX_PACKET_INS } else { n_others < MAX_OTHERS };
        if has_room {
            self.n_packet_ins += usize::from(is_packet_in);
            self.queue.push_back(event);
        } else {
            self.n_dropped += 1;
        }
    }

    /// The oldest event.
    pub(crate) fn pop(&mut self) -> Option<BridgeEvent> {
        let event = self.queue.pop_front()?;
        self.n_packet_ins -= usize::from(matches!(event, BridgeEvent::PacketIn(_)));
        Some(event)
    }

    /// Waiting events that are not packet-ins.
    pub(crate) fn n_others(&self) -> usize {
        self.queue.len() - self.n_packet_ins
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn n_dropped(&self) -> u64 {
        self.n_dropped
    }
}
