//! What the bridge tells controllers, as one line of words each.

use ofproto::{BridgeEvent, MissKind};
use openflow::{FlowRemovedReason, PortReason};

/// The event as words; an expectation lists some of them.
pub(crate) fn words(event: &BridgeEvent) -> Vec<String> {
    match event {
        BridgeEvent::PacketIn(event) => {
            let packet = &event.packet_in;
            let mut words = vec![
                "packet-in".to_owned(),
                format!("reason={}", packet.reason.name()),
                format!("table={}", packet.table_id),
                format!("cookie={:#x}", packet.cookie),
                format!("total_len={}", packet.total_len),
                format!("max_len={}", event.max_len),
                format!("id={}", event.controller_id),
                format!(
                    "miss={}",
                    match event.miss {
                        MissKind::None => "none",
                        MissKind::Implicit => "implicit",
                        MissKind::Explicit => "explicit",
                    }
                ),
            ];
            words.extend(packet.metadata.to_string().split(',').map(str::to_owned));
            if !packet.userdata.is_empty() {
                let hex: String = packet.userdata.iter().map(|b| format!("{b:02x}")).collect();
                words.push(format!("userdata={hex}"));
            }
            words
        }
        BridgeEvent::FlowStats(stats) => vec![
            "flow-stats".to_owned(),
            format!("table={}", stats.table_id),
            format!("priority={}", stats.priority),
            format!("n_packets={}", stats.packet_count),
            format!("n_bytes={}", stats.byte_count),
            format!("match={}", stats.match_),
        ],
        BridgeEvent::FlowRemoved(removed) => {
            let reason = match removed.reason {
                FlowRemovedReason::IdleTimeout => "idle",
                FlowRemovedReason::HardTimeout => "hard",
                FlowRemovedReason::Delete => "delete",
                FlowRemovedReason::GroupDelete => "group_delete",
                FlowRemovedReason::MeterDelete => "meter_delete",
                FlowRemovedReason::Eviction => "eviction",
            };
            vec![
                "flow-removed".to_owned(),
                format!("reason={reason}"),
                format!("table={}", removed.table_id),
                format!("priority={}", removed.priority),
                format!("cookie={:#x}", removed.cookie),
                format!(
                    "duration={}.{:03}",
                    removed.duration_sec,
                    removed.duration_nsec / 1_000_000
                ),
                format!("idle_timeout={}", removed.idle_timeout),
                format!("hard_timeout={}", removed.hard_timeout),
                format!("n_packets={}", removed.packet_count),
                format!("n_bytes={}", removed.byte_count),
                format!("match={}", removed.match_),
            ]
        }
        BridgeEvent::PortStatus(status) => {
            let reason = match status.reason {
                PortReason::Add => "add",
                PortReason::Delete => "delete",
                PortReason::Modify => "modify",
            };
            let (config, state) = (status.desc.config, status.desc.state);
            let mut words = vec![
                "port-status".to_owned(),
                format!("reason={reason}"),
                format!("port={}", status.desc.port),
                format!("name={}", status.desc.name),
            ];
            words.extend(config.iter_names().map(|(name, _)| format!("config={name}")));
            words.extend(state.iter_names().map(|(name, _)| format!("state={name}")));
            words
        }
        BridgeEvent::TableStatus(status) => {
            let vacancy = status.table.vacancy.unwrap_or_default();
            vec![
                "table-status".to_owned(),
                format!("reason={:?}", status.reason),
                format!("table={}", status.table.table_id),
                format!("vacancy={}", vacancy.current),
            ]
        }
    }
}
