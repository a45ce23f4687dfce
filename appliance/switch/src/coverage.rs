//! How often each event happened, and how often it happens: the counters of `coverage/show`.
//!
//! # What
//! Every drop reason and every main event of the datapath, the handler and the revalidator, summed
//! over cores and ports. A sample each [`INTERVAL`] gives average rates over the last 5 seconds, minute
//! and hour, as Open vSwitch shows them.
//!
//! # Cost
//! One walk over the counters each 5 seconds; 72 words a counter.
//!
//! # Concurrency
//! Owned by the control core, which reads the words that the polling cores write.

use crate::control::Control;
use crate::order;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;
use datapath::{CoreCounters, Dpif, DropReason};
use ofproto::Bridge;
use sync::time::Nanos;

/// Between two samples (OVS's `COVERAGE_RUN_INTERVAL`).
const INTERVAL: Nanos = Nanos::from_secs(5);
/// Samples in a minute.
const IN_MINUTE: usize = 12;
/// Minutes in an hour.
const IN_HOUR: usize = 60;

/// The history of one counter.
#[derive(Clone, Debug)]
struct History {
    last: u64,
    minute: [u64; IN_MINUTE],
    hour: [u64; IN_HOUR],
}

impl Default for History {
    fn default() -> Self {
        Self { last: 0, minute: [0; IN_MINUTE], hour: [0; IN_HOUR] }
    }
}

impl History {
    /// Notes `count` events in the sample number `index`.
    fn note(&mut self, index: usize, count: u64) {
        let in_minute = index % IN_MINUTE;
        if let Some(sample) = self.minute.get_mut(in_minute) {
            *sample = count;
        }
        if let Some(sum) = self.hour.get_mut(index / IN_MINUTE % IN_HOUR) {
            *sum = if in_minute == 0 { count } else { *sum + count };
        }
    }

    /// Events a second over the last 5 s, minute and hour.
    fn rates(&self, last_index: usize) -> [f64; 3] {
        let last = self.minute.get(last_index % IN_MINUTE).copied().unwrap_or(0);
        let sum = |samples: &[u64]| samples.iter().sum::<u64>() as f64;
        [
            last as f64 / INTERVAL.as_secs() as f64,
            sum(&self.minute) / 60.0,
            sum(&self.hour) / 3600.0,
        ]
    }
}

/// The histories of all counters; see the module.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    histories: Vec<History>,
    /// The number of the next sample.
    index: usize,
    /// When it is due; not set before the first call.
    next: Option<Nanos>,
}

impl Coverage {
    /// Whether a sample is due.
    pub(crate) fn is_due(&mut self, now: Nanos) -> bool {
        *self.next.get_or_insert(now + INTERVAL) <= now
    }

    /// Takes the sample that is due. After a gap, as when the machine stood still, the events are
    /// spread evenly over the samples that were missed.
    pub(crate) fn sample(&mut self, totals: &[(String, u64)], now: Nanos) {
        let late = now.saturating_sub(self.next.unwrap_or(now));
        let n_slots = late.as_nanos() / INTERVAL.as_nanos() + 1;
        self.next = Some(now + INTERVAL);
        self.histories.resize(totals.len(), History::default());
        // Older samples than an hour's would be overwritten.
        let n_written = n_slots.min((IN_MINUTE * IN_HOUR) as u64);
        for (history, (_, total)) in self.histories.iter_mut().zip(totals) {
            // A port that goes takes its counts along.
            let count = total.saturating_sub(history.last);
            history.last = *total;
            for slot in 0..n_written {
                let is_last = slot + 1 == n_written;
                let rest = if is_last { count % n_slots } else { 0 };
                let index = self.index + usize::try_from(slot).unwrap_or(0);
                history.note(index, count / n_slots + rest);
            }
        }
        self.index = (self.index + usize::try_from(n_written).unwrap_or(0)) % (IN_MINUTE * IN_HOUR);
    }

    /// The counters that ever moved, as `ovs-appctl coverage/show` prints them.
    pub(crate) fn show(&self, totals: &[(String, u64)]) -> String {
        let mut text = format!(
            "Event coverage, avg rate over last: {} seconds, last minute, last hour,  hash={:08x}:\n",
            INTERVAL.as_secs(),
            hash(totals)
        );
        let all = IN_MINUTE * IN_HOUR;
        let last_index = (self.index + all - 1) % all;
        for (index, (name, total)) in totals.iter().enumerate().filter(|(_, (_, n))| *n > 0) {
            let history = self.histories.get(index);
            let [now, minute, hour] = history.map_or([0.0; 3], |h| h.rates(last_index));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{name:<24} {now:5.1}/sec {minute:9.3}/sec {hour:13.4}/sec   total: {total}"
            );
        }
        let n_quiet = totals.iter().filter(|(_, total)| *total == 0).count();
        let _ = writeln!(text, "{n_quiet} events never hit");
        text
    }
}

/// A number that is the same for two reports with the same counters in the same order of size.
fn hash(totals: &[(String, u64)]) -> u32 {
    let mut moved: Vec<_> = totals.iter().filter(|(_, total)| *total > 0).collect();
    order::sort(&mut moved, |(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    let mut hash = 0x811c_9dc5_u32;
    for (name, _) in moved {
        for byte in name.bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
    hash
}

/// Every counter with its name, always in the same order.
pub(crate) fn totals(control: &Control) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    let mut add = |name: &str, total: u64| all.push((name.to_string(), total));
    for (name, counter) in CORE_COUNTERS {
        let cores = control.dpif.core_counters();
        add(name, cores.map(counter).fold(0, u64::wrapping_add));
    }
    for reason in DropReason::ALL {
        let ports = control.ports.iter();
        let of_ports = ports.map(|(port, ..)| control.dpif.port_stats(port).drops.get(reason));
        // Packets of no port: from a port that is gone, or a controller's.
        let cores = control.dpif.core_counters();
        let strays = cores.map(|core| core.stray.read().drops.get(reason));
        let n = of_ports.chain(strays).fold(0, u64::wrapping_add);
        add(&format!("drop_{}", reason.name().replace('-', "_")), n);
    }
    add("memory_short", control.memory_watch.n_shortages);
    let mut of = |name: &str, count: fn(&Bridge) -> u64| add(name, control.bridges.sum(count));
    of("handler_upcall", |b| b.stats().upcalls);
    of("handler_upcall_inline", |b| b.stats().inline);
    of("handler_installed", |b| b.stats().installed);
    of("handler_not_installed", |b| b.stats().not_installed);
    of("handler_disputed", |b| b.stats().disputed);
    of("packet_in", |b| b.stats().packet_ins);
    of("packet_in_orphaned", |b| b.stats().packet_ins_orphaned);
    of("packet_in_dropped", |b| b.n_events_dropped());
    of("translation_error", |b| b.stats().translation_errors);
    of("self_check_passed", |b| b.stats().self_check_passed);
    of("self_check_failed", |b| b.stats().self_check_failed);
    of("upcall_flow_limit_hit", |b| b.revalidator().stats().limit_hit);
    of("upcall_flow_limit_kill", |b| b.revalidator().stats().limit_kill);
    of("upcall_flow_limit_scaled", |b| b.revalidator().stats().limit_scaled);
    of("upcall_flow_limit_reduced", |b| b.revalidator().stats().limit_reduced);
    of("upcall_flow_limit_grew", |b| b.revalidator().stats().limit_grew);
    of("ukey_illegal_transition", |b| b.revalidator().stats().illegal_transitions);
    of("revalidate_round", |b| b.revalidator().stats().rounds);
    of("revalidate_partial_round", |b| b.revalidator().stats().partial_rounds);
    of("revalidate_outdated", |b| b.revalidator().stats().outdated);
    of("revalidate_concerned", |b| b.revalidator().stats().concerned);
    of("revalidate_translated", |b| b.revalidator().stats().translated);
    of("revalidate_kept", |b| b.revalidator().stats().kept);
    of("revalidate_modified", |b| b.revalidator().stats().modified);
    of("revalidate_deleted", |b| b.revalidator().stats().deleted);
    of("revalidate_too_expensive", |b| b.revalidator().stats().too_expensive);
    of("revalidate_evicted", |b| b.revalidator().stats().evicted);
    of("revalidate_missing_dp_flow", |b| b.revalidator().stats().missing);
    of("revalidate_purged", |b| b.revalidator().stats().purged);
    of("revalidate_sampled", |b| b.revalidator().stats().sampled);
    of("revalidate_sampled_wrong", |b| b.revalidator().stats().sampled_wrong);
    of("mac_learning_learned", |b| b.state().macs.stats().learned);
    of("mac_learning_expired", |b| b.state().macs.stats().expired);
    of("mac_learning_evicted", |b| b.state().macs.stats().evicted);
    of("mac_learning_moved", |b| b.state().macs.stats().moved);
    all
}

/// A counter of one core.
type CoreCounter = fn(&CoreCounters) -> u64;

/// The counters of the polling cores.
const CORE_COUNTERS: [(&str, CoreCounter); 21] = [
    ("datapath_hit", |c| c.hits.get()),
    ("datapath_miss", |c| c.misses.get()),
    ("datapath_emc_hit", |c| c.emc_hits.get()),
    ("datapath_emc_miss", |c| c.emc_misses.get()),
    ("datapath_emc_skipped", |c| c.emc_skipped.get()),
    ("datapath_emc_insert", |c| c.emc_inserts.get()),
    ("datapath_emc_replace", |c| c.emc_replaces.get()),
    ("datapath_upcall", |c| c.upcalls.get()),
    ("datapath_smc_hit", |c| c.smc_hits.get()),
    ("datapath_smc_miss", |c| c.smc_misses.get()),
    ("datapath_smc_insert", |c| c.smc_inserts.get()),
    ("datapath_smc_replace", |c| c.smc_replaces.get()),
    ("datapath_megaflow_hit", |c| c.megaflow_hits.get()),
    ("datapath_subtable_probe", |c| c.subtable_probes.get()),
    ("datapath_recirculated", |c| c.recirculated.get()),
    ("datapath_copy", |c| c.copies.get()),
    ("datapath_consumed", |c| c.consumed.get()),
    ("datapath_tx_contended", |c| c.tx_contended.get()),
    ("datapath_put_refused", |c| c.puts_refused.get()),
    ("datapath_stale_command", |c| c.stale_commands.get()),
    ("datapath_check_lost", |c| c.checks_lost.get()),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(a: u64, b: u64) -> Vec<(String, u64)> {
        Vec::from([("some_event".into(), a), ("rare".into(), b), ("never".into(), 0)])
    }

    #[test]
    fn rates_are_averages_over_five_seconds_a_minute_and_an_hour() {
        let mut coverage = Coverage::default();
        let mut now = Nanos::from_secs(1);
        assert!(!coverage.is_due(now));
        // Ten a second for a minute, then half a minute of silence.
        for sample in 1..=18_u64 {
            now += INTERVAL;
            assert!(coverage.is_due(now));
            coverage.sample(&totals(50 * sample.min(12), 1), now);
            assert!(!coverage.is_due(now));
            if sample == 12 {
                let text = coverage.show(&totals(600, 1));
                let line = "some_event                10.0/sec    10.000/sec        0.1667/sec   total: 600";
                assert_eq!(text.lines().nth(1), Some(line));
            }
        }
        let text = coverage.show(&totals(600, 1));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with(
            "Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash="
        ));
        assert_eq!(
            lines[1..],
            [
                "some_event                 0.0/sec     5.000/sec        0.1667/sec   total: 600",
                "rare                       0.0/sec     0.000/sec        0.0003/sec   total: 1",
                "1 events never hit",
            ]
        );
    }

    #[test]
    fn a_gap_is_filled_evenly_and_a_count_that_falls_is_no_event() {
        let mut coverage = Coverage::default();
        assert!(!coverage.is_due(Nanos::ZERO));
        // Due at 5 s, taken at 60 s: twelve samples.
        coverage.sample(&totals(121, 0), Nanos::from_secs(60));
        assert_eq!(coverage.histories[0].minute, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11]);
        assert_eq!(coverage.histories[0].hour[0], 121);
        coverage.sample(&totals(20, 0), Nanos::from_secs(65));
        assert_eq!(coverage.histories[0].minute[0], 0);
        // A year's gap takes no longer than an hour's.
        coverage.sample(&totals(21, 0), Nanos::from_secs(31_536_000));
        assert_eq!(coverage.histories[0].minute.iter().sum::<u64>(), 1);
    }

    #[test]
    fn the_hash_tells_reports_apart() {
        assert_eq!(hash(&totals(5, 3)), hash(&totals(900, 2)));
        assert_ne!(hash(&totals(5, 3)), hash(&totals(3, 5)));
        assert_ne!(hash(&totals(5, 3)), hash(&totals(5, 0)));
    }
}
