//! Rows of QoS and Queue: what a port may send.
//!
//! # Units
//! As Open vSwitch documents them (ovs-vswitchd.conf.db): `cir` of `egress-policer` in bytes a second and
//! `cbs` in bytes; `max-rate`, `min-rate` and `burst` of `linux-htb` and `linux-hfsc` in bits. Where these have no
//! burst, a tenth of a second counts, and at least ten full frames.

use super::extract::Reading;
use super::view::Record;
use agent::bridge_config::{QosWanted, QueueWanted, RateWanted};
use alloc::collections::BTreeMap;
use alloc::format;

/// The least burst that a rate without one has.
const MIN_BURST_BYTES: u64 = 15_140;

impl Reading {
    /// What the row at which a port's `qos` points comes to; what of it has no effect is told at the port.
    pub(super) fn qos(&mut self, port: Record<'_>, row: Record<'_>) -> Option<QosWanted> {
        let kind = row.string("type").unwrap_or_default();
        let number = |key| row.pair("other_config", key).and_then(|value| value.parse().ok());
        let total = match kind {
            "egress-policer" => {
                self.remark_others(port, row, &["cir", "cbs"]);
                let total = number("cir").zip(number("cbs"));
                if total.is_none() {
                    self.remark(port, "qos: egress-policer needs other_config:cir and :cbs");
                }
                total.map(|(bytes_per_s, burst_bytes)| RateWanted { bytes_per_s, burst_bytes })
            }
            "linux-htb" | "linux-hfsc" => {
                self.remark_others(port, row, &["max-rate"]);
                number("max-rate").map(|bps: u64| rate(bps, None))
            }
            "" | "linux-noop" => None,
            _ => {
                let text = format!("qos: type {kind} is not built in, nothing is bounded");
                self.remark(port, text);
                return None;
            }
        };
        let mut queues = BTreeMap::new();
        for (id, queue) in row.numbered_refs("queues", "Queue") {
            let Ok(id) = u32::try_from(id) else { continue };
            queues.insert(id, self.queue(port, queue));
        }
        Some(QosWanted { total, queues })
    }

    /// These tables have no column for a status: the port tells.
    fn remark_others(&mut self, port: Record<'_>, row: Record<'_>, known: &[&str]) {
        for (key, _) in row.pairs("other_config").filter(|(key, _)| !known.contains(key)) {
            self.remark(port, format!("qos: other_config:{key}"));
        }
    }

    fn queue(&mut self, port: Record<'_>, row: Record<'_>) -> QueueWanted {
        self.remark_others(port, row, &["min-rate", "max-rate", "burst"]);
        if row.is_set("dscp") {
            self.remark(port, "qos: queue: dscp");
        }
        let number = |key| row.pair("other_config", key).and_then(|value| value.parse().ok());
        QueueWanted {
            min_rate_bps: number("min-rate"),
            max: number("max-rate").map(|bps| rate(bps, number("burst"))),
        }
    }
}

/// A rate from bits.
fn rate(bps: u64, burst_bits: Option<u64>) -> RateWanted {
    let bytes_per_s = bps.div_ceil(8);
    let burst_bytes = match burst_bits {
        Some(bits) => bits.div_ceil(8),
        None => (bytes_per_s / 10).max(MIN_BURST_BYTES),
    };
    RateWanted { bytes_per_s, burst_bytes }
}
