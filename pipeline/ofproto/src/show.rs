//! What the bridge knows, as text for people: the commands of `ovs-appctl`.

use crate::bridge::Bridge;
use alloc::string::String;
use core::fmt::Write as _;
use datapath::{DumpLine, UfidShown};
use sync::time::Nanos;

impl Bridge {
    /// The cached flows as `ovs-appctl dpctl/dump-flows` prints them, one a line; no more than
    /// `limit`.
    #[must_use]
    pub fn dump_megaflows(&self, limit: usize, ufid: UfidShown, now: Nanos) -> String {
        let mut text = String::new();
        for ukey in self.ukeys.iter().take(limit) {
            let (megaflow, actions) = (&*ukey.megaflow, &*ukey.megaflow.actions);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", DumpLine { megaflow, actions, now, names: None, ufid });
        }
        text
    }

    /// The state of upcalls and revalidation: what `ovs-appctl upcall/show` prints, in its words,
    /// then what incremental revalidation saved.
    #[must_use]
    pub fn upcall_show(&self) -> String {
        let mut text = String::new();
        let revalidator = self.revalidator();
        let (average, most) = revalidator.n_flows();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "uniswitch@{}:", self.name());
        let _ = writeln!(
            text,
            "  flows         : (current {}) (avg {average}) (max {most}) (limit {})",
            self.ukeys.len(),
            revalidator.flow_limit()
        );
        let duration = revalidator.last_duration().as_millis().max(1);
        let _ = writeln!(text, "  dump duration : {duration}ms");
        let _ = writeln!(text, "  ufid enabled : true\n");
        let n_workers = revalidator.n_workers();
        for worker in 0..n_workers {
            let n_keys = self.ukeys.len_of(worker, n_workers);
            let _ = writeln!(text, "  {worker}: (keys {n_keys})");
        }
        let stats = revalidator.stats();
        let _ = writeln!(
            text,
            "\n  rounds        : full {} partial {}{}",
            stats.rounds,
            stats.partial_rounds,
            if revalidator.is_paused() { " (paused)" } else { "" }
        );
        // Of the looks at flows that were older than a change, those at flows that it could touch.
        let touched = stats.concerned.saturating_mul(1000) / stats.outdated.max(1);
        let _ = writeln!(
            text,
            "  revalidated   : {} of {} ({}.{} % touched; kept {} modified {} deleted {})",
            stats.concerned,
            stats.outdated,
            touched / 10,
            touched % 10,
            stats.kept,
            stats.modified,
            stats.deleted
        );
        let _ = writeln!(
            text,
            "  evicted       : {} (idle or too many), missing {}, purged {}",
            stats.evicted, stats.missing, stats.purged
        );
        text
    }

    /// What the bridge keeps, by name in the order of names (Open vSwitch's where it has one).
    #[must_use]
    pub fn memory_usage(&self) -> [(&'static str, u64); 9] {
        let state = self.state();
        [
            ("events", self.n_events() as u64),
            ("macs", state.macs.len() as u64),
            ("packet-in-ids", state.packet_ins.len() as u64),
            ("ports", state.ports.len() as u64),
            ("recirculation-ids", state.frozen.len() as u64),
            ("retiring", self.reval.n_retiring as u64),
            ("revalidators", self.reval.n_workers() as u64),
            ("rules", state.tables.n_rules() as u64),
            ("udpif keys", self.ukeys.len() as u64),
        ]
    }

    /// What the bridge keeps, as `ovs-appctl memory/show` prints it.
    #[must_use]
    pub fn memory_show(&self) -> String {
        let words = self.memory_usage().map(|(name, n)| alloc::format!("{name}:{n}"));
        words.join(" ") + "\n"
    }
}
