//! What became of the wanted state.

use super::ports::Attachment;
use crate::bridges::Member;
use crate::control::Control;
use agent::bridge_config::{
    Applied, BridgeApplied, BridgeWanted, ControllerApplied, ControllerWanted, ControllerWay,
    InterfaceApplied, MirrorApplied,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use datapath::{Dpif, PortStats};
use ofproto::Port;
use packet::OffloadSet;
use sync::time::Nanos;

pub(super) fn applied(control: &Control, now: Nanos) -> Applied {
    let intent = &control.intent;
    let bridges = intent.wanted.bridges.iter().map(|wanted| bridge(control, wanted, now)).collect();
    let is_settled = !intent.is_blocked && intent.marks.is_empty() && !control.ports.is_changing();
    Applied { bridges, is_settled, refused: intent.refused.clone() }
}

fn bridge(control: &Control, wanted: &BridgeWanted, now: Nanos) -> BridgeApplied {
    let mut applied = BridgeApplied { name: wanted.name.clone(), ..BridgeApplied::default() };
    applied.error = control.intent.bridge_errors.get(&wanted.name).cloned();
    let Some(member) = control.bridges.by_name(&wanted.name) else {
        return applied;
    };
    applied.datapath_id = member.bridge.datapath_id();
    let names = wanted.ports.iter().flat_map(|port| &port.interfaces).map(|iface| &iface.name);
    let names = names.filter(|name| **name != wanted.name);
    let mut interfaces = vec![interface(control, member, &wanted.name)];
    interfaces.extend(names.map(|name| interface(control, member, name)));
    applied.interfaces = interfaces;
    applied.controllers = controllers(member, wanted, now);
    let mirrors = wanted.mirrors.iter().map(|mirror| {
        let key = (wanted.name.clone(), mirror.name.clone());
        let error = control.intent.mirror_errors.get(&key).cloned();
        let (tx_packets, tx_bytes) = member.bridge.mirror_stats(&mirror.name).unwrap_or((0, 0));
        MirrorApplied { name: mirror.name.clone(), tx_packets, tx_bytes, error }
    });
    applied.mirrors = mirrors.collect();
    applied
}

fn interface(control: &Control, member: &Member, name: &str) -> InterfaceApplied {
    let mut applied = InterfaceApplied { name: name.to_string(), ..InterfaceApplied::default() };
    applied.error = control.intent.errors.get(name).cloned();
    let Some(port) = member.bridge.state().ports.by_name(name) else {
        return applied;
    };
    let link = port.link();
    applied.ofport = u16::try_from(port.number().0 & 0xffff).ok();
    applied.mac_in_use = Some(port.hw_addr().0);
    applied.link_is_up = Some(link.up);
    applied.link_resets = port.dp().map_or(0, |dp| control.ports.n_link_changes(dp));
    applied.link_speed_bps = link.speed_mbps.map(|mbps| u64::from(mbps) * 1_000_000);
    applied.admin_is_up = Some(port.is_admin_up());
    applied.mtu = Some(port.mtu());
    applied.ifindex = port.dp().map(|dp| dp.0);
    applied.status = device(control, port);
    let attachment = control.intent.attached.get(name);
    applied.ignored = attachment.and_then(|attachment| ignored(control, port, attachment));
    let stats = port.dp().map(|dp| control.dpif.port_stats(dp));
    applied.statistics = statistics(&stats.unwrap_or_default());
    applied
}

/// What was asked of an interface and cannot be had.
fn ignored(control: &Control, port: &Port, attachment: &Attachment) -> Option<String> {
    let mtu = attachment.mtu_request.filter(|mtu| *mtu != u32::from(port.mtu()));
    let mtu = mtu.map(|_| format!("mtu_request: it carries {}", port.mtu()));
    let pairs = port.dp().and_then(|dp| control.ports.n_pairs(dp, &control.dpif));
    let pairs = pairs.filter(|n| attachment.n_rxq.is_some_and(|asked| asked != *n));
    let pairs = pairs.map(|n| format!("options:n_rxq: it has {n}"));
    let all: Vec<_> = mtu.into_iter().chain(pairs).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What is known of the device behind a port.
fn device(control: &Control, port: &Port) -> Vec<(&'static str, String)> {
    let dp = port.dp();
    let Some((netdev, _)) = dp.and_then(|dp| control.ports.get(dp)) else {
        return vec![("driver_name", "openvswitch".to_string())];
    };
    let info = netdev.info();
    let n_queues = dp.map_or(0, |dp| control.dpif.n_queues(dp)).to_string();
    let does = |offload| info.offloads.has(offload).to_string();
    vec![
        ("driver_name", info.driver.to_string()),
        ("bus_info", info.name.clone()),
        ("features", info.features.join(" ")),
        ("max_rx_queues", info.max_queue_pairs.to_string()),
        ("max_tx_queues", info.max_queue_pairs.to_string()),
        ("n_rxq", n_queues.clone()),
        ("n_txq", n_queues),
        ("tx_tcp_csum_offload", does(OffloadSet::CHECKSUM)),
        ("tx_tcp_seg_offload", does(OffloadSet::TCP_V4.and(OffloadSet::TCP_V6))),
        ("tx_udp_csum_offload", does(OffloadSet::CHECKSUM)),
    ]
}

/// A port's counters under Open vSwitch's names.
fn statistics(stats: &PortStats) -> Vec<(&'static str, u64)> {
    vec![
        ("collisions", 0),
        ("rx_bytes", stats.rx_bytes),
        ("rx_crc_err", 0),
        ("rx_dropped", stats.rx_dropped()),
        ("rx_errors", stats.rx_errors()),
        ("rx_frame_err", 0),
        ("rx_over_err", 0),
        ("rx_packets", stats.rx_packets),
        ("tx_bytes", stats.tx_bytes),
        ("tx_dropped", stats.tx_dropped()),
        ("tx_errors", 0),
        ("tx_packets", stats.tx_packets),
    ]
}

fn controllers(member: &Member, wanted: &BridgeWanted, now: Nanos) -> Vec<ControllerApplied> {
    let one = |wanted: &ControllerWanted| {
        let mut applied =
            ControllerApplied { target: wanted.target.clone(), ..ControllerApplied::default() };
        match wanted.way {
            ControllerWay::Connect(target) => {
                let Some((remote, role)) = member.agent.remote(target) else {
                    applied.state = "IDLE";
                    return applied;
                };
                applied.state = remote.state_name();
                applied.is_connected = role.is_some();
                applied.role = role;
                applied.sec_since_connect = remote.since_connect(now).map(Nanos::as_secs);
                applied.sec_since_disconnect = remote.since_disconnect(now).map(Nanos::as_secs);
                applied.last_error = remote.last_error().map(ToString::to_string);
            }
            ControllerWay::Listen(port) => {
                let mut roles = member.agent.accepted_roles(port);
                let first = roles.next();
                applied.is_connected = first.is_some();
                applied.state = if applied.is_connected { "ACTIVE" } else { "IDLE" };
                // Several may have several roles.
                applied.role = first.filter(|_| roles.next().is_none());
            }
            ControllerWay::Unsupported => {
                applied.state = "VOID";
                applied.last_error = Some("this kind of connection is not built in".to_string());
            }
        }
        applied
    };
    wanted.controllers.iter().map(one).collect()
}
