//! Statistics triggers: rules that tell of themselves when their statistics cross thresholds (OpenFlow
//! 1.5.1 §5.5, §7.2.5), which Open vSwitch does not have.
//!
//! # When
//! The packets of cached flows reach the statistics of rules when the revalidator reads them. So the
//! thresholds are looked at behind each full round, every half second, and a report comes so much later
//! than its crossing at the most. It tells of the counts of that moment, not of the threshold.
//!
//! # What a crossing is
//! A threshold is crossed when its statistic was below it, and is there or above it now: what a rule's counters have
//! passed already when it is added or modified is not crossed any more, and 0 never is. Idle time starts
//! anew with each packet, and so does its threshold. With *periodic*, a multiple is a threshold like the
//! one that it is of; multiples passed at once are one report. With *only first*, the one crossed first
//! remains (with *periodic*, its multiples too) and the others are forgotten; of those crossed at once it is the first in the order of
//! the specification's fields.
//!
//! # Cost
//! Nothing for packets, and nothing for rules without triggers. A look is a few comparisons; [`BATCH`] of
//! them are done in a call, and none while [`MAX_REPORTS`] reports wait to be taken.

use crate::bridge::Bridge;
use crate::events::BridgeEvent;
use crate::rule::Rule;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound;
use openflow::{FlowStats, FlowStatsReason, Instructions, StatTriggerFlags};
use sync::time::Nanos;

/// Rules looked at in one call.
const BATCH: usize = 256;
/// Reports that wait to be taken, beyond which no more are made.
const MAX_REPORTS: usize = 4096;

/// A threshold: as the rule says it, and what is to be reached next.
#[derive(Clone, Copy, Debug)]
struct Threshold {
    of: u64,
    next: u64,
}

impl Threshold {
    /// One that is still to be reached, if there is such.
    fn ahead(of: u64, value: u64, is_periodic: bool) -> Option<Self> {
        let next = match value.checked_div(of)? {
            0 => of,
            n if is_periodic => n.checked_add(1)?.checked_mul(of)?,
            _ => return None,
        };
        Some(Self { of, next })
    }
}

/// The statistics that have thresholds, in the order of the specification's fields.
type Values = [u64; 4];
const IDLE_TIME: usize = 1;

/// A rule that is watched.
#[derive(Debug)]
struct Armed {
    rule: Arc<Rule>,
    flags: StatTriggerFlags,
    thresholds: [Option<Threshold>; 4],
    /// Its threshold of idle time, for the next time that it is idle.
    idle: u64,
    /// The last packet that is known.
    used: Nanos,
}

impl Armed {
    fn new(rule: &Arc<Rule>, now: Nanos) -> Option<Self> {
        let trigger = rule.instructions.stat_trigger.as_deref()?;
        let nanos =
            |(sec, nanos): (u32, u32)| (Nanos::from_secs(sec.into()) + Nanos(nanos.into())).0;
        let idle = trigger.idle_time.map_or(0, nanos);
        let all = [
            trigger.duration.map_or(0, nanos),
            idle,
            trigger.packet_count.unwrap_or(0),
            trigger.byte_count.unwrap_or(0),
        ];
        let is_periodic = trigger.flags.contains(StatTriggerFlags::PERIODIC);
        let mut values = values(rule, now, now).into_iter();
        let thresholds =
            all.map(|of| Threshold::ahead(of, values.next().unwrap_or(0), is_periodic));
        let (rule, flags, used) = (Arc::clone(rule), trigger.flags, rule.stats.used());
        Some(Self { rule, flags, thresholds, idle, used })
    }

    /// Whether a threshold was crossed since the last look.
    fn look(&mut self, values: Values) -> bool {
        let used = self.rule.stats.used();
        if used != self.used {
            self.used = used;
            self.thresholds[IDLE_TIME] = Threshold::ahead(self.idle, 0, false);
        }
        let is_periodic = self.flags.contains(StatTriggerFlags::PERIODIC);
        let mut crossed = None;
        for (k, (threshold, value)) in self.thresholds.iter_mut().zip(values).enumerate() {
            let Some(Threshold { of, .. }) = threshold.filter(|one| one.next <= value) else {
                continue;
            };
            *threshold = Threshold::ahead(of, value, is_periodic);
            crossed = crossed.or(Some(k));
        }
        if let Some(first) = crossed
            && self.flags.contains(StatTriggerFlags::ONLY_FIRST)
        {
            self.idle = if first == IDLE_TIME && is_periodic { self.idle } else { 0 };
            for (k, threshold) in self.thresholds.iter_mut().enumerate() {
                *threshold = threshold.filter(|_| k == first);
            }
        }
        crossed.is_some()
    }

    /// Whether it can be crossed any more.
    fn is_live(&self) -> bool {
        self.idle != 0 || self.thresholds.iter().any(Option::is_some)
    }
}

/// Its statistics at `now`, those of packets as they were read at `as_of`.
fn values(rule: &Rule, as_of: Nanos, now: Nanos) -> Values {
    let age = now.saturating_sub(rule.created);
    let idle = as_of.saturating_sub(rule.stats.used());
    [age.0, idle.0, rule.stats.packets(), rule.stats.bytes()]
}

/// The rules with triggers that can be crossed, by their order numbers.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    armed: BTreeMap<u64, Armed>,
    /// Behind which rule the look at all of them goes on, while one is under way.
    looking: Option<Bound<u64>>,
}

impl Triggers {
    /// A rule is there, or has taken another's place.
    pub(crate) fn insert(&mut self, rule: &Arc<Rule>, now: Nanos) {
        if let Some(armed) = Armed::new(rule, now).filter(Armed::is_live) {
            self.armed.insert(rule.seq, armed);
        }
    }

    /// Whether no rule has any.
    pub(crate) fn is_empty(&self) -> bool {
        self.armed.is_empty()
    }

    pub(crate) fn remove(&mut self, rule: &Rule) {
        if !self.armed.is_empty() {
            self.armed.remove(&rule.seq);
        }
    }

    /// All statistics were read: looks at all rules are due.
    pub(crate) fn begin(&mut self) {
        if self.looking.is_none() && !self.armed.is_empty() {
            self.looking = Some(Bound::Unbounded);
        }
    }
}

impl Bridge {
    /// Goes on with the look at thresholds, a bounded part of it.
    pub(crate) fn look_at_triggers(&mut self, now: Nanos) {
        for _ in 0..BATCH {
            if !self.looks_at_triggers() {
                return;
            }
            let Triggers { armed, looking } = &mut self.triggers;
            let Some(behind) = looking else { return };
            let mut rest = armed.range_mut((*behind, Bound::Unbounded));
            let Some((&seq, one)) = rest.next() else {
                *looking = None;
                return;
            };
            *looking = Some(Bound::Excluded(seq));
            if !one.look(values(&one.rule, self.reval.stats_as_of, now)) {
                continue;
            }
            let stats = one.rule.flow_stats(now);
            if !one.is_live() {
                armed.remove(&seq);
            }
            self.events.push(BridgeEvent::FlowStats(FlowStats {
                reason: FlowStatsReason::Trigger,
                // Counters are told, not what the rule does.
                instructions: Instructions::default(),
                ..stats
            }));
        }
    }

    /// Whether there are thresholds to be looked at now.
    pub(crate) fn looks_at_triggers(&self) -> bool {
        self.triggers.looking.is_some() && self.events.n_others() < MAX_REPORTS
    }
}
