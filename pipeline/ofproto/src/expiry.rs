//! Timeouts of rules, and the last word on removed ones.
//!
//! # Why both wait for the revalidator
//! The packets of cached flows are credited to rules when the revalidator reads them. So an idle
//! timeout is judged only against statistics that were read after the rule would have expired, and
//! a flow-removed message leaves only when no cached flow can credit the rule any more: its counts
//! are final and exact.

use crate::bridge::Bridge;
use crate::events::BridgeEvent;
use crate::rule::Rule;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use openflow::FlowRemovedReason;
use sync::time::Nanos;

/// The rules with timeouts, by the time at which they must be looked at.
#[derive(Debug, Default)]
pub(crate) struct Timeouts {
    by_deadline: BTreeMap<(Nanos, u64), Arc<Rule>>,
}

impl Timeouts {
    pub(crate) fn insert(&mut self, rule: &Arc<Rule>) {
        let deadline = rule.hard_deadline().min(rule.idle_deadline());
        rule.deadline.set(deadline.0);
        if deadline < Nanos::MAX {
            self.by_deadline.insert((deadline, rule.seq), Arc::clone(rule));
        }
    }

    pub(crate) fn remove(&mut self, rule: &Rule) {
        self.by_deadline.remove(&(Nanos(rule.deadline.get()), rule.seq));
    }

    pub(crate) fn next(&self) -> Option<Nanos> {
        self.by_deadline.first_key_value().map(|((deadline, _), _)| *deadline)
    }
}

/// Rules that are gone but not yet reported.
#[derive(Debug, Default)]
pub(crate) struct Farewells(VecDeque<Farewell>);

#[derive(Debug)]
struct Farewell {
    rule: Arc<Rule>,
    reason: FlowRemovedReason,
    removed: Nanos,
    /// The change that no cached flow may be older than.
    seq: u64,
}

impl Farewells {
    pub(crate) fn push(
        &mut self,
        rule: Arc<Rule>,
        reason: FlowRemovedReason,
        removed: Nanos,
        seq: u64,
    ) {
        self.0.push_back(Farewell { rule, reason, removed, seq });
    }
}

/// Rules looked at in one call at most.
const BATCH: usize = 1024;

impl Bridge {
    /// Removes the rules whose time is over. Statistics are known as of `stats_as_of`: a rule
    /// whose idle time was over later than that waits for the next round.
    pub(crate) fn expire_rules(&mut self, stats_as_of: Nanos, now: Nanos) {
        let mut due = Vec::new();
        while due.len() < BATCH && self.timeouts.next().is_some_and(|deadline| deadline <= now) {
            due.extend(self.timeouts.by_deadline.pop_first().map(|(_, rule)| rule));
        }
        let (mut hard, mut idle) = (Vec::new(), Vec::new());
        for rule in due {
            let idle_deadline = rule.idle_deadline();
            if rule.hard_deadline() <= now {
                hard.push(rule);
            } else if idle_deadline <= stats_as_of {
                idle.push(rule);
            } else {
                self.timeouts.insert(&rule);
            }
        }
        self.remove_rules(&hard, FlowRemovedReason::HardTimeout, now);
        self.remove_rules(&idle, FlowRemovedReason::IdleTimeout, now);
    }

    /// Reports the removed rules whose counts are final.
    pub(crate) fn send_farewells(&mut self) {
        let settled = self.reval.in_force();
        while self.farewells.0.front().is_some_and(|farewell| farewell.seq <= settled) {
            let Some(Farewell { rule, reason, removed, .. }) = self.farewells.0.pop_front() else {
                return;
            };
            self.events.push(BridgeEvent::FlowRemoved(rule.flow_removed(reason, removed)));
        }
    }
}
