//! The steps of a change, in their order.
//!
//! Most changes are one flow-mod, and so one step: the first has its place in the change itself, and only
//! those behind it take memory. Removals that nobody needs to hear of are most of any large change; those of
//! one table, one after another, are one step ([`Run`]).

use crate::rule::Rule;
use alloc::sync::Arc;
use gradual::Queue;
use openflow::FlowRemovedReason;

use crate::change::Use;

/// What becomes of one rule, or of some.
#[derive(Debug)]
pub(crate) enum Step {
    Put { rule: Arc<Rule>, old: Option<Arc<Rule>>, used: Use },
    TakeOut { rule: Arc<Rule>, reason: FlowRemovedReason },
    Run(Run),
}

/// Rules that were taken out of a table one after another, of which nothing is kept but their table itself: no
/// timeouts, no report, no clauses of conjunctive matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Of the removals of its table, the number of its first.
    pub(crate) first: u64,
    pub(crate) n: u32,
    pub(crate) table_id: u8,
    pub(crate) reason: FlowRemovedReason,
}

impl Step {
    fn n_rules(&self) -> usize {
        match self {
            Self::Put { .. } | Self::TakeOut { .. } => 1,
            Self::Run(run) => run.n as usize,
        }
    }

    /// The rule that comes or goes, if it is at hand.
    pub(crate) fn rule(&self) -> Option<&Arc<Rule>> {
        match self {
            Self::Put { rule, .. } | Self::TakeOut { rule, .. } => Some(rule),
            Self::Run(_) => None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    first: Option<Step>,
    others: Queue<Step>,
    n_rules: usize,
}

impl Steps {
    /// How many rules they are about.
    pub(crate) fn n_rules(&self) -> usize {
        self.n_rules
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_rules == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Step> {
        self.first.iter().chain(self.others.iter())
    }

    /// The step `n` behind the first of those that have no place of their own.
    pub(crate) fn ahead(&self, n: usize) -> Option<&Step> {
        self.others.get(n)
    }

    pub(crate) fn push_back(&mut self, step: Step) {
        let was_empty = self.is_empty();
        self.n_rules += step.n_rules();
        if was_empty {
            self.first = Some(step);
        } else {
            self.others.push_back(step);
        }
    }

    /// One removal more: part of the last step, if that is the run of those before it.
    pub(crate) fn push_removal(&mut self, table_id: u8, reason: FlowRemovedReason, number: u64) {
        let last = match self.others.back_mut() {
            Some(last) => Some(last),
            None => self.first.as_mut(),
        };
        if let Some(Step::Run(run)) = last
            && (run.table_id, run.reason) == (table_id, reason)
            && run.first + u64::from(run.n) == number
            && run.n < u32::MAX
        {
            run.n += 1;
            self.n_rules += 1;
            return;
        }
        self.push_back(Step::Run(Run { first: number, n: 1, table_id, reason }));
    }

    pub(crate) fn pop_front(&mut self) -> Option<Step> {
        let step = self.first.take().or_else(|| self.others.pop_front());
        self.taken(step)
    }

    pub(crate) fn pop_back(&mut self) -> Option<Step> {
        let step = self.others.pop_back().or_else(|| self.first.take());
        self.taken(step)
    }

    /// Puts what is left of a step back that was the first.
    pub(crate) fn put_back_front(&mut self, step: Step) {
        self.n_rules += step.n_rules();
        self.first = Some(step);
    }

    fn taken(&mut self, step: Option<Step>) -> Option<Step> {
        self.n_rules -= step.as_ref().map_or(0, Step::n_rules);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn removals_one_after_another_are_one_step() {
        let mut steps = Steps::default();
        let (delete, evict) = (FlowRemovedReason::Delete, FlowRemovedReason::Eviction);
        let removals =
            [(0, delete, 7), (0, delete, 8), (1, delete, 9), (0, delete, 9), (0, evict, 10)];
        for (table_id, reason, number) in removals {
            steps.push_removal(table_id, reason, number);
        }
        steps.push_removal(0, evict, 12);
        let run = |first, n, table_id, reason| Run { first, n, table_id, reason };
        let runs = [
            run(7, 2, 0, delete),
            run(9, 1, 1, delete),
            run(9, 1, 0, delete),
            run(10, 1, 0, evict),
            run(12, 1, 0, evict),
        ];
        let seen: Vec<Run> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Run(run) => Some(*run),
                _ => None,
            })
            .collect();
        assert_eq!(seen, runs);
        assert_eq!(steps.n_rules(), 6);
        assert!(matches!(steps.pop_front(), Some(Step::Run(first)) if first == runs[0]));
        steps.put_back_front(Step::Run(run(8, 1, 0, delete)));
        assert_eq!(steps.n_rules(), 5);
        assert!(matches!(steps.pop_back(), Some(Step::Run(last)) if last == runs[4]));
        while steps.pop_front().is_some() {}
        assert!(steps.is_empty());
    }
}
