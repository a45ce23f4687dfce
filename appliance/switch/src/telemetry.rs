//! Everything that a dashboard wants to know, as one JSON text (`uniswitch/telemetry`).

use crate::control::Control;
use crate::order::gathered;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use datapath::Dpif;
use serde_json::{Map, Value, json};
use sync::time::Nanos;

/// The state of the switch at `now`.
pub(crate) fn report(control: &Control, now: Nanos) -> String {
    let (used, total) = (control.memory)();
    let (small, jumbo) = control.pool.available();
    let since_power_on = |at: Nanos| at.saturating_sub(control.databases.power_on).as_micros();
    let ready = control.ready.map(since_power_on);
    let first = control.first_forward.get().map(since_power_on);
    let sums = control.accounting();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_us": since_power_on(now),
        "boot": {"ready_us": ready, "first_forward_us": first},
        "memory": {"total": total, "used": used, "free_buffers": {"small": small, "jumbo": jumbo}},
        "openflow": listeners(control),
        "management": management(control),
        "ports": ports(control),
        "flows": {
            "rules": control.bridges.sum(|bridge| bridge.state().tables.n_rules() as u64),
            "megaflows": control.bridges.ukeys().count(),
        },
        "controllers": controllers(control),
        "self_check": {
            "passed": control.bridges.sum(|bridge| bridge.stats().self_check_passed),
            "failed": control.bridges.sum(|bridge| bridge.stats().self_check_failed),
        },
        "accounting": {
            "received": sums.received,
            "originated": sums.originated,
            "copies": sums.copies,
            "transmitted": sums.transmitted,
            "dropped": sums.dropped,
            "consumed": sums.consumed,
        },
    })
    .to_string()
}

fn listeners(control: &Control) -> Vec<String> {
    let doors = control.network.iter().flat_map(|network| network.doors());
    doors.map(|port| alloc::format!("ptcp:{port}")).collect()
}

fn management(control: &Control) -> Value {
    let Some(network) = &control.network else {
        return Value::Null;
    };
    let info = network.info();
    json!({
        "nic": info.name,
        "mac": flow::EtherAddr(info.mac).to_string(),
        "address": network.stack.address().map(|address| address.to_string()),
    })
}

fn ports(control: &Control) -> Vec<Value> {
    let described = control.ports.iter().map(|(number, netdev, link, n_resets)| {
        let stats = control.dpif.port_stats(number);
        let drops = stats.drops.iter().filter(|&(_, n)| n > 0);
        let drops: Map<String, Value> =
            gathered(drops.map(|(reason, n)| (reason.name().to_string(), n.into())));
        let port = control.bridges.port(number);
        json!({
            "name": port.map(ofproto::Port::name),
            "ofport": port.map(|port| port.number().0),
            "nic": netdev.info().name,
            "features": netdev.info().features,
            "mtu": netdev.info().mtu,
            "link": link.up,
            "resets": n_resets,
            "rx_packets": stats.rx_packets,
            "rx_bytes": stats.rx_bytes,
            "tx_packets": stats.tx_packets,
            "tx_bytes": stats.tx_bytes,
            "drops": drops,
        })
    });
    described.collect()
}

fn controllers(control: &Control) -> Vec<Value> {
    let views = control.bridges.iter().flat_map(|member| member.agent.controllers());
    views
        .map(|view| json!({"target": view.target, "connected": view.connected, "role": view.role}))
        .collect()
}
