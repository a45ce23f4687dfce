//! How long the control body may be left alone when nothing comes: its processor rests meanwhile.
//!
//! # Three kinds of things
//! - What has a time of its own is looked at then and not later: timeouts of rules, ageing, rounds of the
//!   revalidator, TCP, probes, attempts to connect, status in the database.
//! - What is *under way* here or with the cores, and is seen by looking only, is looked at each
//!   [`UNDER_WAY`].
//! - What is looked at now and then (links, memory, rates, what is to be kept on the disk) has no time here.
//!   Whoever lets the body rest bounds each rest, and it may be late by that.
//!
//! What comes by a device or from a core ends a rest. What a round brings about is told by the next one at
//! the latest, so this is asked behind a round that follows another one and had nothing to do.
//!
//! # Cost
//! A look at each connection, bridge and channel; nothing where nobody rests.

use crate::bridges::Member;
use crate::control::Control;
use sync::time::Nanos;

/// Between two looks at what is under way.
const UNDER_WAY: Nanos = Nanos::from_millis(1);

impl Control {
    /// When the next round has to be, if nothing comes; always later than `now`.
    pub fn next_deadline(&mut self, now: Nanos) -> Nanos {
        let soon = now.saturating_add(UNDER_WAY);
        if self.is_under_way() {
            return soon;
        }
        let mut due = self.databases.next_deadline(now);
        if let Some(network) = &mut self.network {
            due = due.min(network.stack.next_deadline(now).unwrap_or(Nanos::MAX));
        }
        for Member { bridge, agent, .. } in self.bridges.iter_mut() {
            due = due.min(agent.next_deadline().unwrap_or(Nanos::MAX));
            due = due.min(bridge.next_deadline(now));
        }
        for within in self.channels().filter_map(|channel| channel.look_within()) {
            due = due.min(now.saturating_add(within));
        }
        // The round before has left it undone, so doing it needs something else to happen.
        if due <= now { soon } else { due }
    }

    fn is_under_way(&self) -> bool {
        !self.waiting.is_empty()
            || self.intent.is_settling()
            || self.ports.is_changing()
            || self.dpif.is_unheard()
            || self.network.as_ref().is_some_and(|network| network.stack.has_unsent())
    }
}
