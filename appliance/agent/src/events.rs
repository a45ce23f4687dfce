//! What nobody asked for: packet-ins, removed rules, port changes, each to the connections that
//! want it in their role (OpenFlow 1.3.5 §6.1.1, §7.3.10).

use crate::PacketInLimit;
use crate::connection::Connection;
use alloc::vec::Vec;
use ofproto::{Bridge, BridgeEvent, MissKind, PacketInEvent};
use openflow::{Message, MultipartBody, MultipartReply, PacketInReason, RequestForward, Version};
use sync::time::Nanos;

/// Events dealt with in one call: what one poll may add to the outboxes.
const PER_CALL: usize = 256;

/// Carries events of the bridge to the connections; true when there was any.
pub(crate) fn deliver(connections: &mut [Connection], bridge: &mut Bridge, now: Nanos) -> bool {
    for n in 0..PER_CALL {
        let Some(event) = bridge.take_event() else {
            return n > 0;
        };
        match event {
            BridgeEvent::PacketIn(event) => {
                for connection in connections.iter_mut() {
                    packet_in(connection, &event, now);
                }
            }
            BridgeEvent::FlowRemoved(removed) => {
                let bit = 1 << removed.reason as u8;
                let message = Message::FlowRemoved(removed.into());
                for connection in connections.iter_mut() {
                    if connection.async_masks().flow_removed & bit != 0 {
                        tell(connection, &message);
                    }
                }
            }
            BridgeEvent::FlowStats(stats) => {
                let bit = 1 << stats.reason as u8;
                let body = MultipartBody::FlowCounters([stats].into());
                let message = Message::MultipartReply(MultipartReply { more: false, body });
                for connection in connections.iter_mut() {
                    let has_it = connection.version() >= Some(Version::V15);
                    if has_it && connection.async_masks().flow_stats & bit != 0 {
                        tell(connection, &message);
                    }
                }
            }
            BridgeEvent::PortStatus(status) => {
                let bit = 1 << status.reason as u8;
                let message = Message::PortStatus(status);
                for connection in connections.iter_mut() {
                    if connection.async_masks().port_status & bit != 0 {
                        tell(connection, &message);
                    }
                }
            }
            BridgeEvent::TableStatus(status) => {
                let bit = 1 << status.reason as u8;
                let message = Message::TableStatus(status);
                for connection in connections.iter_mut() {
                    let has_it = connection.version() >= Some(Version::V14);
                    if has_it && connection.async_masks().table_status & bit != 0 {
                        tell(connection, &message);
                    }
                }
            }
        }
    }
    true
}

/// What a connection may still have of packet-ins, in packets times nanoseconds of a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PacketInBucket {
    tokens: u128,
    filled: Nanos,
}

/// What a packet-in takes.
const TOKENS_PER_PACKET: u128 = 1_000_000_000;

impl PacketInBucket {
    /// A full one.
    pub(crate) fn full(now: Nanos) -> Self {
        Self { tokens: u128::MAX, filled: now }
    }

    /// Whether another packet-in may go.
    fn take(&mut self, limit: PacketInLimit, now: Nanos) -> bool {
        let elapsed = u128::from(now.saturating_sub(self.filled).0);
        let most = u128::from(limit.burst) * TOKENS_PER_PACKET;
        let gained = elapsed * u128::from(limit.per_second);
        self.tokens = self.tokens.saturating_add(gained).min(most);
        self.filled = now;
        let left = self.tokens.checked_sub(TOKENS_PER_PACKET);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }
}

/// The packet-in as this connection should see it, if it should.
fn packet_in(connection: &mut Connection, event: &PacketInEvent, now: Nanos) {
    let Some(version) = connection.version() else {
        return;
    };
    let reason = match event.miss {
        // From 1.3 on a miss without table-miss entry drops (§5.4); before, it was a packet-in.
        MissKind::Implicit if version >= Version::V13 => return,
        MissKind::Implicit => PacketInReason::NoMatch,
        MissKind::Explicit if version >= Version::V13 => PacketInReason::NoMatch,
        MissKind::Explicit => PacketInReason::Action,
        MissKind::None => match event.packet_in.reason {
            // Reasons of OpenFlow 1.4, said as their nearest older one.
            PacketInReason::ActionSet | PacketInReason::Group | PacketInReason::PacketOut
                if version < Version::V14 =>
            {
                PacketInReason::Action
            }
            reason => reason,
        },
    };
    let wanted = connection.async_masks().packet_in & (1 << reason as u8) != 0;
    if !wanted || connection.controller_id != event.controller_id {
        return;
    }
    if let Some(limit) = connection.settings.packet_in_limit
        && !connection.packet_ins.take(limit, now)
    {
        connection.n_lost += 1;
        return;
    }
    let mut message = event.packet_in.clone();
    message.reason = reason;
    // There are no buffers, so a miss carries the whole frame (§7.4.1: "If the packet is not
    // buffered, the entire packet is included"). An action's max_len is kept, as Open vSwitch does.
    // A packet that waits for its controller is whole: it comes back.
    let is_cut = event.miss == MissKind::None && message.continuation.is_empty();
    if is_cut && event.max_len != openflow::NO_BUFFER_LEN {
        message.data.truncate(usize::from(event.max_len));
    }
    tell(connection, &Message::PacketIn(message.into()));
}

/// Forwards a request of connection `from`, if it is still there, to those that want to hear of its kind (1.4.1 §7.4.6).
pub(crate) fn forward(
    from: Option<usize>,
    connections: &mut [Connection],
    xid: u32,
    request: &Message,
) {
    let bit = match request {
        Message::GroupMod(_) => 1 << 0,
        Message::MeterMod(_) => 1 << 1,
        _ => return,
    };
    for (k, connection) in connections.iter_mut().enumerate() {
        if Some(k) == from || connection.async_masks().request_forward & bit == 0 {
            continue;
        }
        let mut bytes = Vec::new();
        let Some(dialect) = connection.dialect else { continue };
        if dialect.encode(request, xid, &mut bytes).is_ok() {
            tell(connection, &Message::RequestForward(RequestForward { request: bytes }));
        }
    }
}

fn tell(connection: &mut Connection, message: &Message) {
    if connection.dialect.is_none() {
        return;
    }
    if connection.out.is_clogged() {
        connection.n_lost += 1;
        return;
    }
    connection.say(0, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_ins_come_at_their_rate_and_in_their_burst() {
        let limit = PacketInLimit { per_second: 100, burst: 25 };
        let mut bucket = PacketInBucket::full(Nanos::ZERO);
        let passing = |bucket: &mut PacketInBucket, now: Nanos, n: u32| {
            (0..n).filter(|_| bucket.take(limit, now)).count()
        };
        assert_eq!(passing(&mut bucket, Nanos::ZERO, 1000), 25);
        assert_eq!(passing(&mut bucket, Nanos::from_millis(9), 10), 0);
        assert_eq!(passing(&mut bucket, Nanos::from_millis(10), 10), 1);
        assert_eq!(passing(&mut bucket, Nanos::from_millis(110), 1000), 10);
        assert_eq!(passing(&mut bucket, Nanos::from_secs(3600), 1000), 25);
        assert_eq!(passing(&mut bucket, Nanos::MAX, 1000), 25, "no clock is too late");
    }
}
