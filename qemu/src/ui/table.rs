//! The once-a-second table: ports with their counters and drops, then what the hosts saw.

use std::collections::BTreeMap;

use qemu::telemetry::{Port, Telemetry};

use super::millis;

/// Answers to questions between two hosts.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    n_answered: u64,
    n_lost: u64,
    last_us: Option<u64>,
}

/// What the hosts told since the last table, and the last result of each pair.
#[derive(Debug, Default)]
pub(super) struct Table {
    pings: BTreeMap<(String, String), Answers>,
    n_echoed: u64,
    n_not_echoed: u64,
}

impl Table {
    pub(super) fn ping(&mut self, from: &str, to: &str, rtt_us: Option<u64>) {
        let pair = self.pings.entry((from.into(), to.into())).or_default();
        pair.last_us = rtt_us;
        match rtt_us {
            Some(_) => pair.n_answered += 1,
            None => pair.n_lost += 1,
        }
    }

    pub(super) fn udp(&mut self, _from: &str, _to: &str, rtt_us: Option<u64>) {
        match rtt_us {
            Some(_) => self.n_echoed += 1,
            None => self.n_not_echoed += 1,
        }
    }

    pub(super) fn lines(&self, now: &Telemetry) -> Vec<String> {
        let mut lines = vec![format!(
            "{:6} {:>4} {:>11} {:>13} {:>11} {:>13}  drops",
            "port", "link", "rx packets", "rx bytes", "tx packets", "tx bytes"
        )];
        lines.extend(now.ports.iter().map(port_line));
        lines.push(format!(
            "up {} s, {} rules, {} megaflows, memory {} of {} MiB{}",
            now.uptime_us / 1_000_000,
            now.flows.rules,
            now.flows.megaflows,
            now.memory.used.div_ceil(1 << 20),
            now.memory.total >> 20,
            controllers(now),
        ));
        lines.extend(self.hosts());
        lines
    }

    /// One line of pings per host that asks, then the sums.
    fn hosts(&self) -> Vec<String> {
        let mut by_host: BTreeMap<&str, String> = BTreeMap::new();
        for ((from, to), answers) in &self.pings {
            let last = answers.last_us.map_or("lost".into(), millis);
            let line = by_host.entry(from).or_insert_with(|| format!("ping {from}:"));
            *line += &format!("  {to} {last}");
        }
        let mut lines: Vec<_> = by_host.into_values().collect();
        if !lines.is_empty() {
            let sum = |count: fn(&Answers) -> u64| self.pings.values().map(count).sum::<u64>();
            lines.push(format!(
                "pings {} answered, {} lost; UDP echoes {} answered, {} lost",
                sum(|a| a.n_answered),
                sum(|a| a.n_lost),
                self.n_echoed,
                self.n_not_echoed
            ));
        }
        lines
    }
}

fn port_line(port: &Port) -> String {
    let drops: Vec<_> = port
        .drops
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(reason, n)| format!("{reason} {n}"))
        .collect();
    let line = format!(
        "{:6} {:>4} {:>11} {:>13} {:>11} {:>13}  {}",
        port.name,
        if port.link { "up" } else { "down" },
        port.rx_packets,
        port.rx_bytes,
        port.tx_packets,
        port.tx_bytes,
        drops.join(", ")
    );
    line.trim_end().to_owned()
}

fn controllers(now: &Telemetry) -> String {
    let one = |c: &qemu::telemetry::Controller| {
        let state = if c.connected { "connected" } else { "not connected" };
        format!(", {} {state}", c.target)
    };
    now.controllers.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_shows_counters_drops_and_pings() {
        let mut table = Table::default();
        table.ping("h1", "h2", Some(812));
        table.ping("h1", "h3", None);
        table.udp("h1", "h2", Some(400));
        let mut now = Telemetry { uptime_us: 3_000_000, ..Telemetry::default() };
        let mut port = Port { name: "p1".into(), link: true, rx_packets: 12, ..Port::default() };
        port.drops = [("no-rule".into(), 2), ("ring-full".into(), 0)].into();
        now.ports = vec![port];
        assert_eq!(
            table.lines(&now),
            [
                "port   link  rx packets      rx bytes  tx packets      tx bytes  drops",
                "p1       up          12             0           0             0  no-rule 2",
                "up 3 s, 0 rules, 0 megaflows, memory 0 of 0 MiB",
                "ping h1:  h2 812 us  h3 lost",
                "pings 1 answered, 1 lost; UDP echoes 1 answered, 0 lost",
            ]
        );
    }
}
