//! What the bridge knows, as text for people: the commands of `ovs-appctl`.

use crate::bridge::Bridge;
use alloc::string::String;
use core::fmt::Write as _;
use datapath::Actions;
use flow::Match;
use sync::time::Nanos;

impl Bridge {
    /// The cached flows as `ovs-appctl dpctl/dump-flows -m` prints them, one a line; no more than
    /// `limit`.
    #[must_use]
    pub fn dump_megaflows(&self, limit: usize, now: Nanos) -> String {
        let mut text = String::new();
        for ukey in self.ukeys.iter().take(limit) {
            let megaflow = &ukey.megaflow;
            let read = megaflow.stats.read();
            let key = Match::new(&megaflow.key, &megaflow.mask);
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "ufid:{}, {key}, packets:{}, bytes:{}, used:",
                megaflow.ufid, read.packets, read.bytes
            );
            let _ = match read.used {
                Some(used) => write!(text, "{}", now - used),
                None => text.write_str("never"),
            };
            let _ = writeln!(text, ", actions:{}", Actions::new(&megaflow.actions));
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
