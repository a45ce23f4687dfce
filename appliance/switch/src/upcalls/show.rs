//! The counts of upcalls, as text.

use super::UpcallStats;
use crate::control::Control;
use alloc::string::String;
use core::fmt::Write as _;

/// Where the upcalls of each port went, below what `upcall/show` says of the bridge.
pub(crate) fn show(control: &Control) -> String {
    let config = control.upcall_config();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "  upcalls       : mode {}, rate {} burst {} per-burst {}, core-rate {}",
        config.mode, config.rate, config.burst, config.per_burst, config.core_rate
    );
    let mut sum = UpcallStats::default();
    for (number, ..) in control.ports.iter() {
        let stats = control.dpif.upcall_stats(number);
        sum.add(&stats);
        line(&mut text, control.bridges.port_name(number), &stats);
    }
    line(&mut text, "total", &sum);
    text
}

fn line(text: &mut String, name: &str, stats: &UpcallStats) {
    let _ = writeln!(
        text,
        "    {name:<12}: inline {} cached {} ring {} (under way {}) protocol {} declined: budget {} busy {} no-room {} unnamed {} dropped {}",
        stats.inline,
        stats.cached,
        stats.by_ring,
        stats.under_way,
        stats.protocol,
        stats.over_budget,
        stats.busy,
        stats.no_room,
        stats.unnamed,
        stats.dropped,
    );
}
