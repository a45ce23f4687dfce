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

    /// The state of upcalls and revalidation as `ovs-appctl upcall/show` prints it.
    #[must_use]
    pub fn upcall_show(&self) -> String {
        let mut text = String::new();
        let revalidator = self.revalidator();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}:", self.name());
        let _ = writeln!(
            text,
            "  flows         : (current {}) (limit {})",
            self.ukeys.len(),
            revalidator.flow_limit()
        );
        let _ = writeln!(
            text,
            "  dump duration : {}ms",
            revalidator.last_duration().as_millis().max(1)
        );
        let stats = revalidator.stats();
        let _ = writeln!(
            text,
            "  rounds        : {} (translated {}, kept {}, modified {}, deleted {}, evicted {})",
            stats.rounds,
            stats.translated,
            stats.kept,
            stats.modified,
            stats.deleted,
            stats.evicted
        );
        text
    }

    /// What the bridge keeps, as `ovs-appctl memory/show` prints it.
    #[must_use]
    pub fn memory_show(&self) -> String {
        let state = self.state();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "events:{} macs:{} packet-in-ids:{} ports:{} recirculation-ids:{} retiring:{} rules:{} udpif keys:{}",
            self.n_events(),
            state.macs.len(),
            state.packet_ins.len(),
            state.ports.len(),
            state.frozen.len(),
            self.reval.n_retiring,
            state.tables.n_rules(),
            self.ukeys.len()
        );
        text
    }
}
