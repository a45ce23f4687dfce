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
///
/// Hard and idle timeouts are apart, because they are judged at different times: rules whose idle
/// time is over wait for statistics, and would be looked at again in every call until then.
#[derive(Debug, Default)]
pub(crate) struct Timeouts {
    hard: BTreeMap<(Nanos, u64), Arc<Rule>>,
    idle: BTreeMap<(Nanos, u64), Arc<Rule>>,
}

impl Timeouts {
    pub(crate) fn insert(&mut self, rule: &Arc<Rule>) {
        self.insert_hard(rule);
        self.insert_idle(rule);
    }

    fn insert_hard(&mut self, rule: &Arc<Rule>) {
        let hard = rule.hard_deadline();
        rule.timeouts.hard_deadline.set(hard.0);
        if hard < Nanos::MAX {
            self.hard.insert((hard, rule.seq), Arc::clone(rule));
        }
    }

    fn insert_idle(&mut self, rule: &Arc<Rule>) {
        let idle = rule.idle_deadline();
        rule.timeouts.idle_deadline.set(idle.0);
        if idle < Nanos::MAX {
            self.idle.insert((idle, rule.seq), Arc::clone(rule));
        }
    }

    pub(crate) fn remove(&mut self, rule: &Rule) {
        self.hard.remove(&(Nanos(rule.timeouts.hard_deadline.get()), rule.seq));
        self.idle.remove(&(Nanos(rule.timeouts.idle_deadline.get()), rule.seq));
    }

    /// The next time after `now` at which something is due. What is due already waits for
    /// statistics.
    pub(crate) fn next_after(&self, now: Nanos) -> Option<Nanos> {
        let first = |of: &BTreeMap<(Nanos, u64), Arc<Rule>>| of.first_key_value().map(|(k, _)| k.0);
        let both = first(&self.hard).into_iter().chain(first(&self.idle));
        both.filter(|&deadline| deadline > now).min()
    }

    /// Rules whose hard time is over, a bounded number. What was learned again in the meantime has a
    /// new deadline.
    fn hard_due(&mut self, now: Nanos) -> Vec<Arc<Rule>> {
        let mut due = Vec::new();
        for _ in 0..BATCH {
            let Some(first) = self.hard.first_entry() else { break };
            if first.key().0 > now {
                break;
            }
            let rule = first.remove();
            if rule.hard_deadline() <= now {
                due.push(rule);
            } else {
                self.insert_hard(&rule);
            }
        }
        due
    }

    /// Rules whose idle time was over when the statistics were read, a bounded number. What was
    /// used in the meantime has a new deadline.
    fn idle_due(&mut self, stats_as_of: Nanos) -> Vec<Arc<Rule>> {
        let mut due = Vec::new();
        for _ in 0..BATCH {
            let Some(first) = self.idle.first_entry() else { break };
            if first.key().0 > stats_as_of {
                break;
            }
            let rule = first.remove();
            if rule.idle_deadline() <= stats_as_of {
                due.push(rule);
            } else {
                self.insert_idle(&rule);
            }
        }
        due
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

/// Rules of each kind looked at in one call at most.
const BATCH: usize = 256;
/// Reports that wait to be taken, beyond which no more are made.
const MAX_REPORTS: usize = 4096;

impl Bridge {
    /// Removes the rules whose time is over. Statistics are known as of `stats_as_of`: a rule
    /// whose idle time was over later than that waits for the next round.
    pub(crate) fn expire_rules(&mut self, stats_as_of: Nanos, now: Nanos) {
        if self.bundles.holds_tables() {
            return;
        }
        let hard = self.timeouts.hard_due(now);
        self.remove_rules(&hard, FlowRemovedReason::HardTimeout, now);
        let idle = self.timeouts.idle_due(stats_as_of.min(now));
        self.remove_rules(&idle, FlowRemovedReason::IdleTimeout, now);
    }

    /// Reports the removed rules whose counts are final, as fast as somebody takes the reports: a
    /// report is larger than what waits here for it.
    pub(crate) fn send_farewells(&mut self) {
        let settled = self.reval.in_force();
        while self.events.n_others() < MAX_REPORTS
            && self.farewells.0.front().is_some_and(|farewell| farewell.seq <= settled)
        {
            let Some(Farewell { rule, reason, removed, .. }) = self.farewells.0.pop_front() else {
                return;
            };
            self.events.push(BridgeEvent::FlowRemoved(rule.flow_removed(reason, removed)));
        }
    }
}
