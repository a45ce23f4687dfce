//! A rule: one entry of an OpenFlow table.
//!
//! # What changes and what does not
//! A rule is immutable but for its statistics and its next deadline: a modify makes a new rule that
//! takes the old one's place in one version. Counts that must survive the modify live in
//! [`RuleStats`], which both share; so a packet that a cached flow credits late, to the old rule,
//! is not lost.
//!
//! # Memory
//! A match is 512 bytes when spread out and a few dozen as stored here ([`CompactMatch`]): a
//! million rules must fit.

use crate::shared::Shared;
use crate::tally::Tally;
use alloc::sync::Arc;
use classifier::{Clause, Priority};
use flow::{CompactMask, CompactMatch, Match};
use openflow::{
    DEFAULT_PRIORITY, FlowModFlags, FlowRecord, FlowRemoved, FlowRemovedReason, FlowStats,
    Instructions, OfPort,
};
use sync::counter::{Counter, Gauge};
use sync::prefetch::prefetch;
use sync::time::Nanos;

/// The largest priority that OpenFlow can say; rules above it are the switch's own and hidden.
pub const MAX_PRIORITY: Priority = 0xffff;

/// Packets, bytes and last use, shared by a rule and the rules that it was modified into.
#[derive(Debug, Default)]
pub struct RuleStats {
    packets: Counter,
    bytes: Counter,
    used: Gauge,
    /// The last change of a rule that has these statistics: its modification or removal.
    changed: Gauge,
}

impl RuleStats {
    /// Credits packets that passed the rule, the last one at `used`.
    pub fn credit(&self, n_packets: u64, n_bytes: u64, used: Nanos) {
        self.packets.add(n_packets);
        self.bytes.add(n_bytes);
        self.touch(used);
    }

    /// Notes a use.
    pub fn touch(&self, used: Nanos) {
        self.used.set(self.used.get().max(used.0));
    }

    /// Notes that the rule was modified or removed in change `seq`: what is credited here and is
    /// older must be judged again.
    pub(crate) fn set_changed(&self, seq: u64) {
        self.changed.set(seq);
    }

    /// The change in which the rule was modified or removed last.
    pub(crate) fn changed(&self) -> u64 {
        self.changed.get()
    }

    /// Packets credited.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.get()
    }

    /// Bytes credited.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// The last use.
    #[must_use]
    pub fn used(&self) -> Nanos {
        Nanos(self.used.get())
    }
}

/// The masks that matches have in common.
pub(crate) type SharedMasks = Shared<CompactMask>;

/// The compact form of a match, with its mask in common with others where possible.
pub(crate) fn compact(match_: &Match, masks: &mut SharedMasks) -> CompactMatch {
    CompactMatch::sharing(match_, |map| {
        let bits = || map.into_iter().map(|word| match_.mask().word(word));
        let is_it = |known: &CompactMask| known.is(map, bits());
        let new = || Arc::new(CompactMask::of(match_.mask()));
        masks.find(&CompactMask::digest(map, bits()), is_it, new)
    })
}

/// An entry of an OpenFlow table; see the module.
#[derive(Debug)]
pub struct Rule {
    /// The table that it is in.
    pub table_id: u8,
    /// The highest one wins; above [`MAX_PRIORITY`] hidden.
    pub priority: Priority,
    /// Which packets.
    pub match_: CompactMatch,
    /// The controller's mark.
    pub cookie: u64,
    /// Order of eviction (1.4).
    pub importance: u16,
    /// As the flow-mod said.
    pub flags: FlowModFlags,
    /// What to do.
    pub instructions: Arc<Instructions>,
    /// When it was added.
    pub created: Nanos,
    /// The order in which rules came to be.
    pub(crate) seq: u64,
    pub(crate) timeouts: RuleTimeouts,
    pub(crate) stats: Tally,
}

/// The timeouts of a rule, and where they stand.
#[derive(Debug, Default)]
pub(crate) struct RuleTimeouts {
    /// Seconds without packets after which it goes, in the upper half, and seconds after which it goes
    /// all the same; 0 for never.
    limits: Gauge,
    /// When it was added, modified or learned last: the hard timeout counts from here.
    modified: Gauge,
    /// When its idle timeout must be looked at next.
    pub(crate) idle_deadline: Gauge,
    /// When its hard timeout must be looked at next.
    pub(crate) hard_deadline: Gauge,
}

/// Two timeouts in one word.
fn limits(idle: u16, hard: u16) -> u64 {
    u64::from(idle) << 16 | u64::from(hard)
}

impl RuleTimeouts {
    pub(crate) fn new(idle_timeout: u16, hard_timeout: u16, modified: Nanos) -> Self {
        Self {
            limits: Gauge::new(limits(idle_timeout, hard_timeout)),
            modified: Gauge::new(modified.0),
            ..Self::default()
        }
    }
}

impl Rule {
    /// Whether nothing outside of its table hears of its end: it has no timeouts, is not reported, no part of a
    /// conjunctive match, and not the switch's own.
    pub(crate) fn ends_quietly(&self) -> bool {
        self.timeouts.limits.get() == 0
            && !self.flags.contains(FlowModFlags::SEND_FLOW_REM)
            && !self.is_hidden()
            && !self.is_part()
    }

    /// Seconds without packets after which it goes, or 0.
    #[must_use]
    pub fn idle_timeout(&self) -> u16 {
        u16::try_from(self.timeouts.limits.get() >> 16).unwrap_or(u16::MAX)
    }

    /// Seconds after which it goes, or 0.
    #[must_use]
    pub fn hard_timeout(&self) -> u16 {
        u16::try_from(self.timeouts.limits.get() & 0xffff).unwrap_or(u16::MAX)
    }

    /// When it was added, modified or learned last: the hard timeout counts from here.
    #[must_use]
    pub fn modified(&self) -> Nanos {
        Nanos(self.timeouts.modified.get())
    }

    /// It was learned once more, from a packet seen at `used`.
    pub(crate) fn refresh(&self, used: Nanos) {
        self.timeouts.modified.set(self.timeouts.modified.get().max(used.0));
    }

    /// Whether [`reduce`](Self::reduce) would change anything.
    pub(crate) fn may_reduce(&self, idle_timeout: u16, hard_timeout: u16) -> bool {
        let is_less = |new: u16, old: u16| new != 0 && (old == 0 || new < old);
        is_less(idle_timeout, self.idle_timeout()) || is_less(hard_timeout, self.hard_timeout())
    }

    /// Lowers the timeouts to these, where they are not 0. Whoever keeps it by its deadlines must take
    /// it out before.
    pub(crate) fn reduce(&self, idle_timeout: u16, hard_timeout: u16) {
        let least = |new: u16, old: u16| match (new, old) {
            (0, old) => old,
            (new, 0) => new,
            (new, old) => new.min(old),
        };
        let idle = least(idle_timeout, self.idle_timeout());
        self.timeouts.limits.set(limits(idle, least(hard_timeout, self.hard_timeout())));
    }

    /// Whether it is the switch's own, neither shown nor changed by OpenFlow.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.priority > MAX_PRIORITY
    }

    /// Whether it is the rule that OpenFlow 1.3 calls the table-miss entry (1.3.5 §5.4).
    #[must_use]
    pub fn is_table_miss(&self) -> bool {
        self.priority == 0 && self.match_.is_catchall()
    }

    /// Asks for what a change looks at when it settles.
    pub(crate) fn prefetch(&self) {
        prefetch(&self.flags);
        prefetch(&self.timeouts);
    }

    /// Asks for its counters. It is looked at itself.
    pub(crate) fn prefetch_stats(&self) {
        prefetch(&*self.stats);
    }

    /// The clauses of conjunctive matches that it is part of.
    pub(crate) fn clauses(&self) -> impl Iterator<Item = Clause> {
        self.instructions.conjunctions().map(|(id, index, n_clauses)| Clause {
            id,
            index,
            n_clauses,
        })
    }

    /// Whether it is part of a conjunctive match.
    pub(crate) fn is_part(&self) -> bool {
        self.clauses().next().is_some()
    }

    /// Its statistics.
    #[must_use]
    pub fn stats(&self) -> &RuleStats {
        &self.stats
    }

    /// Whether it sends to `port` ([`OfPort::ANY`]: any rule does) and uses `group`
    /// (`GROUP_ANY`: any rule does).
    #[must_use]
    pub fn leads_to(&self, port: OfPort, group: u32) -> bool {
        (port == OfPort::ANY || self.instructions.output_to(port))
            && (group == openflow::GROUP_ANY || self.instructions.output_to_group(group))
    }

    /// When its hard timeout ends it.
    pub(crate) fn hard_deadline(&self) -> Nanos {
        match self.hard_timeout() {
            0 => Nanos::MAX,
            seconds => self.modified() + Nanos::from_secs(seconds.into()),
        }
    }

    /// When its idle timeout ends it, as far as is known of its use.
    pub(crate) fn idle_deadline(&self) -> Nanos {
        match self.idle_timeout() {
            0 => Nanos::MAX,
            seconds => self.stats.used() + Nanos::from_secs(seconds.into()),
        }
    }

    fn priority_u16(&self) -> u16 {
        u16::try_from(self.priority).unwrap_or(DEFAULT_PRIORITY)
    }

    /// What a flow statistics reply says of it.
    #[must_use]
    pub fn flow_stats(&self, now: Nanos) -> FlowStats {
        self.record(now).to_stats()
    }

    /// The same where it stands.
    #[must_use]
    #[inline]
    pub fn record(&self, now: Nanos) -> FlowRecord<'_> {
        let age = now - self.created;
        let seconds =
            |interval: Nanos| u16::try_from(interval.as_secs()).unwrap_or(u16::MAX).min(65534);
        FlowRecord {
            table_id: self.table_id,
            duration_sec: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
            duration_nsec: age.subsec_nanos(),
            priority: self.priority_u16(),
            idle_timeout: self.idle_timeout(),
            hard_timeout: self.hard_timeout(),
            idle_age: Some(seconds(now - self.stats.used())),
            hard_age: Some(seconds(now - self.modified())),
            flags: self.flags,
            importance: self.importance,
            cookie: self.cookie,
            packet_count: self.stats.packets(),
            byte_count: self.stats.bytes(),
            match_: &self.match_,
            instructions: &self.instructions,
        }
    }

    /// The message that tells of its removal at `removed`, with the counts of this moment.
    #[must_use]
    pub fn flow_removed(&self, reason: FlowRemovedReason, removed: Nanos) -> FlowRemoved {
        let age = removed - self.created;
        FlowRemoved {
            match_: self.match_.expand(),
            cookie: self.cookie,
            priority: self.priority_u16(),
            reason,
            table_id: self.table_id,
            duration_sec: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
            duration_nsec: age.subsec_nanos(),
            idle_timeout: self.idle_timeout(),
            hard_timeout: self.hard_timeout(),
            packet_count: self.stats.packets(),
            byte_count: self.stats.bytes(),
        }
    }
}
