//! What flow monitors want to know: each rule that came, changed or went, in a bounded queue.
//!
//! Events come up where a change of the tables settles ([`crate::change`]), hidden rules left out, and only
//! while somebody watches. Whoever watches takes them after each thing that it had the bridge do, and so
//! knows whose doing they are.

use crate::bridge::Bridge;
use crate::rule::Rule;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use flow::Match;
use openflow::FlowEvent;

/// Events that wait at most.
const MAX_EVENTS: usize = 1 << 20;

/// A rule came, changed or went.
#[derive(Clone, Debug)]
pub struct RuleEvent {
    /// The rule, as it is or was.
    pub rule: Arc<Rule>,
    /// What it was before it changed.
    pub old: Option<Arc<Rule>>,
    /// Which of these.
    pub event: FlowEvent,
}

/// The queue of rule events.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    is_on: bool,
    events: VecDeque<RuleEvent>,
    has_lost: bool,
}

impl Watched {
    /// Whether anybody wants to hear.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(crate) fn push(&mut self, event: FlowEvent, rule: &Arc<Rule>, old: Option<&Arc<Rule>>) {
        if !self.is_on || rule.is_hidden() {
            return;
        }
        if self.events.len() >= MAX_EVENTS {
            self.has_lost = true;
            return;
        }
        self.events.push_back(RuleEvent { rule: Arc::clone(rule), old: old.cloned(), event });
    }
}

impl Bridge {
    /// Says whether anybody wants rule events.
    pub fn watch_rules(&mut self, is_on: bool) {
        if !is_on {
            self.watched.events.clear();
            self.watched.has_lost = false;
        }
        self.watched.is_on = is_on;
    }

    /// The oldest rule event that was not taken yet.
    pub fn take_rule_event(&mut self) -> Option<RuleEvent> {
        self.watched.events.pop_front()
    }

    /// Whether rule events were lost since it was asked last, because nobody took the earlier ones.
    pub fn take_rule_events_lost(&mut self) -> bool {
        core::mem::take(&mut self.watched.has_lost)
    }
}

impl Rule {
    /// Whether it is at least as specific as `match_`: a request for the rules of `match_` means it too.
    #[must_use]
    pub fn is_within(&self, match_: &Match) -> bool {
        match_.covers(&self.match_.expand())
    }
}
