//! The revalidator: keeps the caches true to the tables, and the statistics true to the caches
//! (ovs-facts E1 to E11).
//!
//! # What
//! It walks all ukeys in *rounds*. For each it credits the packets counted since the last look,
//! then keeps it, gives it other actions, or evicts it:
//!
//! - older than a change that concerns it: translate its key again; same actions and no wider
//!   match needed, keep; other actions, replace; wider match, evict;
//! - unused for longer than the idle limit, or too many cached flows: evict.
//!
//! A round starts every `max_revalidator`, and at once when something changed ([`Changes`]). One
//! call does at most [`BATCH`] ukeys, so a round is spread over many calls while everything else
//! on the control core goes on.
//!
//! # When a change is in force
//! A round knows the change number `target` at which it started, and every ukey that it leaves
//! behind is at least as young. After its last command it draws a fence. When the fence has
//! passed, no core uses a conclusion older than `target`: [`Revalidator::in_force`].
//!
//! # Replacing and evicting
//! Both leave an old conclusion behind that packets may hit until a fence passes. It waits in
//! `retiring`, is credited one last time, and only then gives up the numbers that it names.
//!
//! # Cost
//! A ukey that needs no translation costs one map-free read of its statistics. Translation is what
//! costs; a change of the MAC table alone revalidates only ukeys that looked at the MAC table.
//!
//! # Concurrency
//! A task on the control core; the datapath's statistics are its only shared words.

use crate::bridge::{Bridge, BridgeConfig};
use crate::judge::QueueFull;
use crate::retire::Retiring;
use crate::ukey::{Slot, Ukey, UkeyState};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use datapath::{Dpif, Fate};
use sync::time::Nanos;

/// Ukeys that one call looks at, at most.
pub const BATCH: usize = 512;
/// Slots of ukeys, empty or not, that one call passes over, at most.
const SLOT_BATCH: usize = 8 * BATCH;
/// MAC entries that one call ages out, at most.
const MAC_BATCH: usize = 1024;
/// The flow limit starts here and never falls below [`MIN_FLOW_LIMIT`] (OVS's constants).
const FIRST_FLOW_LIMIT: usize = 10_000;
/// The lowest flow limit.
const MIN_FLOW_LIMIT: usize = 1_000;
/// Idle limit while there are more cached flows than the limit (ovs-facts E6).
const PRESSED_IDLE: Nanos = Nanos::from_millis(100);

/// Where the revalidator is in a round.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until this time, or until something changes.
    Resting { until: Nanos },
    /// Walking the ukeys.
    Dumping { next: Slot, target: u64, started: Nanos },
}

/// What the revalidator did since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevalidatorStats {
    /// Rounds finished.
    pub rounds: u64,
    /// Ukeys translated again.
    pub translated: u64,
    /// Of these, those that stayed as they were.
    pub kept: u64,
    /// Those that got other actions.
    pub modified: u64,
    /// Ukeys evicted because their conclusion was wrong.
    pub deleted: u64,
    /// Ukeys evicted because they were idle or too many.
    pub evicted: u64,
}

/// The revalidator's state; see the module.
#[derive(Debug)]
pub struct Revalidator {
    phase: Phase,
    /// Finished rounds that wait for their fence: target and fence.
    pub(crate) fencing: VecDeque<(u64, u64)>,
    pub(crate) in_force: u64,
    /// All statistics were read at this time or later.
    pub(crate) stats_as_of: Nanos,
    pub(crate) retiring: VecDeque<Retiring>,
    /// Evicted or replaced since the last fence.
    pub(crate) leaving: Vec<Ukey>,
    pub(crate) n_retiring: usize,
    pub(crate) flow_limit: usize,
    pub(crate) dump_seq: u64,
    pub(crate) last_duration: Nanos,
    pub(crate) stats: RevalidatorStats,
}

impl Revalidator {
    pub(crate) fn new(config: &BridgeConfig, now: Nanos) -> Self {
        Self {
            phase: Phase::Resting { until: now + config.max_revalidator },
            fencing: VecDeque::new(),
            in_force: 0,
            stats_as_of: now,
            retiring: VecDeque::new(),
            leaving: Vec::new(),
            n_retiring: 0,
            flow_limit: FIRST_FLOW_LIMIT.min(config.flow_limit),
            dump_seq: 0,
            last_duration: Nanos::ZERO,
            stats: RevalidatorStats::default(),
        }
    }

    /// Every core has forgotten the conclusions older than this change.
    pub(crate) fn in_force(&self) -> u64 {
        self.in_force
    }

    /// Cached flows above which nothing more is installed (ovs-facts E7).
    #[must_use]
    pub fn flow_limit(&self) -> usize {
        self.flow_limit
    }

    /// How long the last round took.
    #[must_use]
    pub fn last_duration(&self) -> Nanos {
        self.last_duration
    }

    /// What it did since boot.
    #[must_use]
    pub fn stats(&self) -> RevalidatorStats {
        self.stats
    }
}

impl Bridge {
    /// The revalidator.
    #[must_use]
    pub fn revalidator(&self) -> &Revalidator {
        &self.reval
    }

    /// The cached flows.
    #[must_use]
    pub fn ukeys(&self) -> &crate::ukey::Ukeys {
        &self.ukeys
    }

    /// Does what is due, a bounded part of it: revalidation, statistics, timeouts, ageing. Returns
    /// when to call again at the latest (at once is `now`); any other call on the bridge may make
    /// it earlier.
    pub fn run(&mut self, dpif: &mut dyn Dpif, now: Nanos) -> Nanos {
        self.take_conclusions(now);
        self.settle_disputes(dpif);
        self.finish_retiring(dpif, now);
        if self.state.macs.next_expiry().is_some_and(|expiry| expiry <= now) {
            let mut state = self.state.write();
            state.macs.expire(now, MAC_BATCH);
            let news = state.macs.take_news();
            drop(state);
            self.changes.hear(news);
        }
        if self.state.frozen.is_due(now) || self.state.packet_ins.is_due(now) {
            let mut state = self.state.write();
            state.frozen.run(now);
            state.packet_ins.run(now);
        }
        self.work_on_bundles(dpif, now);
        self.apply_lessons(now);
        self.expire_rules(self.reval.stats_as_of, now);
        self.revalidate(dpif, now);
        self.fence_leaving(dpif);
        self.finish_retiring(dpif, now);
        self.send_farewells();
        self.next_deadline(now)
    }

    fn next_deadline(&self, now: Nanos) -> Nanos {
        let is_settled = self.reval.in_force == self.changes.seq()
            && self.reval.fencing.is_empty()
            && self.reval.retiring.is_empty();
        match self.reval.phase {
            _ if self.bundles.is_busy() || !self.lessons.is_empty() => now,
            Phase::Resting { until } if is_settled => {
                let macs = self.state.macs.next_expiry().unwrap_or(Nanos::MAX);
                // A rule whose idle time is over waits for the statistics of the next round.
                let rules = self.timeouts.next_after(now).unwrap_or(Nanos::MAX);
                until.min(macs).min(rules).max(now)
            }
            _ => now,
        }
    }

    fn revalidate(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        if let Phase::Resting { until } = self.reval.phase {
            let last_target =
                self.reval.fencing.back().map_or(self.reval.in_force, |round| round.0);
            if now < until && last_target == self.changes.seq() {
                return;
            }
            let Some(target) = self.settled_target(dpif, now) else {
                return;
            };
            self.reval.dump_seq += 1;
            self.changes.round_begins(last_target);
            self.reval.phase = Phase::Dumping { next: 0, target, started: now };
        }
        let Phase::Dumping { mut next, target, started } = self.reval.phase else {
            return;
        };
        let mut n_looked_at = 0;
        // After a peak most slots are empty, and passing over them is work too.
        let end = self.ukeys.end().min(next.saturating_add(SLOT_BATCH));
        while n_looked_at < BATCH && next < end {
            if self.ukeys.get(next).is_some() {
                n_looked_at += 1;
                if self.visit(next, dpif, now).is_err() {
                    // The ring to a core is full: go on from here when it has drained.
                    break;
                }
            }
            next += 1;
        }
        self.reval.phase = Phase::Dumping { next, target, started };
        if next >= self.ukeys.end() {
            self.finish_round(target, started, dpif, now);
        }
    }

    fn finish_round(&mut self, target: u64, started: Nanos, dpif: &mut dyn Dpif, now: Nanos) {
        self.fence_leaving(dpif);
        self.reval.fencing.push_back((target, dpif.fence()));
        self.reval.stats.rounds += 1;
        self.reval.stats_as_of = started;
        self.reval.last_duration = now - started;
        self.adapt_flow_limit();
        let until = started + self.config.max_revalidator.min(self.config.max_idle);
        self.reval.phase = Phase::Resting { until };
        self.pass_fences(dpif);
        self.expire_rules(started, now);
    }

    /// Lets the flow limit follow the time that a round takes (ovs-facts E7, with OVS's numbers).
    fn adapt_flow_limit(&mut self) {
        let millis = self.reval.last_duration.as_millis().max(1);
        let limit = self.reval.flow_limit;
        let n_flows = self.ukeys.len() as u64;
        let limit = if millis > 2_000 {
            limit / usize::try_from(millis / 1_000).unwrap_or(1)
        } else if millis > 1_300 {
            limit / 4 * 3
        } else if millis < 1_000 && (limit as u64) < n_flows.saturating_mul(1_000) / millis {
            limit + 1_000
        } else {
            limit
        };
        let floor = MIN_FLOW_LIMIT.min(self.config.flow_limit);
        self.reval.flow_limit = limit.clamp(floor, self.config.flow_limit);
        self.state.quota.set_limit(self.reval.flow_limit);
    }

    /// Looks at one ukey. An error is a full command queue; then nothing has changed but that its
    /// packets are credited.
    fn visit(&mut self, slot: Slot, dpif: &mut dyn Dpif, now: Nanos) -> Result<(), QueueFull> {
        self.credit_slot(slot);
        let Some(ukey) = self.ukeys.get_mut(slot) else {
            return Ok(());
        };
        let seen_before = ukey.dump_seq != 0;
        ukey.dump_seq = self.reval.dump_seq;
        match ukey.stats().fate() {
            Fate::Pending => {}
            Fate::Installed if ukey.state() == UkeyState::Visible => {
                ukey.transition(UkeyState::Operational);
            }
            Fate::Installed => {}
            Fate::Refused | Fate::Removed => {
                // The core does not have it: there is nothing to evict.
                self.forget(slot, dpif);
                return Ok(());
            }
        }
        let Some(ukey) = self.ukeys.get(slot) else {
            return Ok(());
        };
        let n_flows = self.ukeys.len();
        let limit = self.reval.flow_limit;
        let max_idle = if n_flows > limit { PRESSED_IDLE } else { self.config.max_idle };
        if n_flows > limit.saturating_mul(2) || now - ukey.used() >= max_idle {
            self.evict(slot, dpif)?;
            self.reval.stats.evicted += 1;
            return Ok(());
        }
        if self.changes.concern(ukey) {
            if self.is_worth_translating(ukey, seen_before, now) {
                self.judge(slot, dpif, now)?;
            } else {
                self.evict(slot, dpif)?;
                self.reval.stats.deleted += 1;
            }
        } else {
            let seq = self.changes.seq();
            if let Some(ukey) = self.ukeys.get_mut(slot) {
                ukey.seq = seq;
            }
        }
        Ok(())
    }
}
