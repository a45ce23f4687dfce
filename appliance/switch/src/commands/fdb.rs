//! `fdb/…`: the MAC tables of the bridges.

use super::{Outcome, bridge};
use crate::control::Control;
use alloc::format;
use alloc::string::{String, ToString};
use flow::EtherAddr;
use ofproto::Bridge;
use ofproto::mac_learning::Station;
use sync::time::Nanos;

/// `fdb/show [bridge]`.
pub(super) fn show(control: &mut Control, params: &[String], now: Nanos) -> Outcome {
    Ok(bridge(control, params.first())?.fdb_show(now))
}

/// `fdb/flush [bridge]`: of one bridge, or of all.
pub(super) fn flush(control: &mut Control, params: &[String], now: Nanos) -> Outcome {
    let flush = |bridge: &mut Bridge| {
        // Else packets from before the flush, counted after it, would teach their addresses anew.
        bridge.credit_cached(now);
        bridge.fdb_flush();
    };
    match params.first() {
        Some(name) => flush(bridge(control, Some(name))?),
        None => control.bridges.iter_mut().for_each(|member| flush(&mut member.bridge)),
    }
    Ok("table successfully flushed\n".to_string())
}

/// `fdb/stats-show [bridge]`.
pub(super) fn stats_show(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    Ok(bridge(control, params.first())?.fdb_stats_show())
}

/// `fdb/stats-clear [bridge]`: of one bridge, or of all.
pub(super) fn stats_clear(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    match params.first() {
        Some(name) => bridge(control, Some(name))?.fdb_stats_clear(),
        None => control.bridges.iter_mut().for_each(|member| member.bridge.fdb_stats_clear()),
    }
    Ok("statistics successfully cleared\n".to_string())
}

/// `fdb/add bridge port vlan mac`.
pub(super) fn add(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let [name, port, vlan, mac] = params else { return Err("expected four words".to_string()) };
    let bridge = bridge(control, Some(name))?;
    let number = bridge.state().ports.by_name(port).map(ofproto::Port::number);
    let number = number.ok_or_else(|| format!("{port}: no such port"))?;
    let before = bridge.fdb_add(station(vlan, mac)?, number);
    match before.map_err(|_| "too many static entries".to_string())? {
        Some(before) => Ok(format!("Overriding already existing static entry on {}\n", before.0)),
        None => Ok(String::new()),
    }
}

/// `fdb/del bridge vlan mac`.
pub(super) fn del(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let [name, vlan, mac] = params else { return Err("expected three words".to_string()) };
    let station = station(vlan, mac)?;
    match bridge(control, Some(name))?.fdb_del(station) {
        true => Ok(String::new()),
        false => Err("could not find static mac entry".to_string()),
    }
}

fn station(vlan: &str, mac: &str) -> Result<Station, String> {
    let vlan = vlan.parse().ok().filter(|vlan| *vlan < 4096);
    let vlan = vlan.ok_or_else(|| "the VLAN must be a number from 0 to 4095".to_string())?;
    let mac = ether(mac).ok_or_else(|| "bad MAC address".to_string())?;
    Ok(Station { vlan, mac })
}

/// The address that six pairs of hexadecimal digits spell.
fn ether(text: &str) -> Option<EtherAddr> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| matches!(part.len(), 1 | 2))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(EtherAddr(bytes))
}
