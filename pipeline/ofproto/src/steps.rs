//! The steps of a change, in their order.
//!
//! Most changes are one flow-mod, and so one step: the first has its place in the change itself, and only
//! those behind it take memory.

use crate::rule::Rule;
use alloc::sync::Arc;
use gradual::Queue;
use openflow::FlowRemovedReason;

use crate::change::Use;

/// What becomes of one rule.
#[derive(Debug)]
pub(crate) enum Step {
    Put { rule: Arc<Rule>, old: Option<Arc<Rule>>, used: Use },
    TakeOut { rule: Arc<Rule>, reason: FlowRemovedReason },
}

impl Step {
    /// The rule that comes or goes.
    pub(crate) fn rule(&self) -> &Arc<Rule> {
        let (Self::Put { rule, .. } | Self::TakeOut { rule, .. }) = self;
        rule
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    first: Option<Step>,
    others: Queue<Step>,
}

impl Steps {
    pub(crate) fn len(&self) -> usize {
        self.others.len() + usize::from(self.first.is_some())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Step> {
        self.first.iter().chain(self.others.iter())
    }

    /// The step `n` behind the first of those that have no place of their own.
    pub(crate) fn ahead(&self, n: usize) -> Option<&Step> {
        self.others.get(n)
    }

    pub(crate) fn push_back(&mut self, step: Step) {
        if self.is_empty() {
            self.first = Some(step);
        } else {
            self.others.push_back(step);
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<Step> {
        self.first.take().or_else(|| self.others.pop_front())
    }

    pub(crate) fn pop_back(&mut self) -> Option<Step> {
        self.others.pop_back().or_else(|| self.first.take())
    }
}
