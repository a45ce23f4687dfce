//! The revalidator: keeps the caches true to the tables, and the statistics true to the caches
//! (ovs-facts E1 to E11).
//!
//! # What
//! It looks at cached flows in *rounds*. For each it credits the packets counted since the last
//! look, then keeps it, gives it other actions, or evicts it:
//!
//! - a change since concerns it: translate its key again; same actions and no wider match needed,
//!   keep; other actions, replace; wider match, evict;
//! - unused for longer than the idle limit, or too many cached flows: evict;
//! - the core no longer has it: forget it.
//!
//! # Rounds
//! A *full* round starts every `max-revalidator` (or `max-idle`, if that is shorter) and looks at
//! all of them: dump, barrier, sweep, barrier ([`crate::crew`]). A *partial* round starts when
//! something changed, and acts on those alone that the change may concern ([`crate::changes`]); not
//! sooner than 5 ms after the last round, unless a barrier waits for it. As a net under the partial
//! ones, a full round translates a sample of the others again, and says so if that finds a wrong one.
//!
//! The dump is *terse* (ovs-facts E10): a core shares the statistics of each megaflow with the ukey,
//! so key, mask and actions never travel back.
//!
//! # The leader
//! ```text
//!              due or changed
//!   Resting ----------------------> Round -----> Resting
//!      |  ^                                         requests are heard between rounds:
//!      |  +--- resume --- Paused <--- pause
//!      +----------------> Purging ------> Resting or Paused
//!      +----------------> Stopped         for good
//! ```
//! While it is paused nothing that changes comes in force, so barriers wait.
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
//! One call spends [`BUDGET`] units: a look is one, a translation [`TRANSLATION`]. So a round is
//! spread over many calls, and on a processor that also polls none of them keeps the ports waiting
//! for long. A look reads a few words of the ukey and of its statistics.
//!
//! # Concurrency
//! Tasks on the control core; the datapath's statistics are their only shared words.

use crate::bridge::{Bridge, BridgeConfig};
use crate::crew::{Crew, Round, Task};
use crate::flow_limit::{Adapted, FlowCount, FlowLimit};
use crate::retire::Retiring;
use crate::ukey::Ukey;
use crate::umap::Slot;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cell::Cell;
use datapath::Dpif;
use sync::time::Nanos;

/// Units of work that one call does, about: as much as a few hundred microseconds.
pub(crate) const BUDGET: u32 = 1024;
/// What a translation costs, in looks at a ukey.
pub(crate) const TRANSLATION: u32 = 16;
/// MAC entries that one call ages out, at most.
const MAC_BATCH: usize = 1024;
/// A round that nobody waits for starts so long after the last one, at the earliest (OVS's).
const SPACING: Nanos = Nanos::from_millis(5);

/// What the leader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leader {
    /// Until the next full round is due, or something changes.
    Resting,
    /// A round: what it is to bring in force, when it began, flows there were, where the dump is.
    Round { target: u64, started: Nanos, n_flows: usize, next: Slot },
    /// Evicting everything, from here on.
    Purging { next: Slot },
    /// Until somebody resumes.
    Paused,
    /// For good.
    Stopped,
}

/// What somebody wants of the leader.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Requests {
    pub(crate) pause: bool,
    purge: bool,
    exit: bool,
}

/// What the revalidator did since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevalidatorStats {
    /// Full rounds finished.
    pub rounds: u64,
    /// Partial rounds finished.
    pub partial_rounds: u64,
    /// Looks at a ukey that was older than some change.
    pub outdated: u64,
    /// Of these, ukeys that a change could touch.
    pub concerned: u64,
    /// Ukeys translated again because of that.
    pub translated: u64,
    /// Of these, those that stayed as they were.
    pub kept: u64,
    /// Those that got other actions.
    pub modified: u64,
    /// Ukeys evicted because their conclusion was wrong, or not worth a translation.
    pub deleted: u64,
    /// Of these, those that were not worth it.
    pub too_expensive: u64,
    /// Ukeys evicted because they were idle or too many.
    pub evicted: u64,
    /// Ukeys whose megaflow the core did not have.
    pub missing: u64,
    /// Ukeys evicted by a purge.
    pub purged: u64,
    /// Ukeys that no change concerned and that were translated again all the same.
    pub sampled: u64,
    /// Of these, those that were wrong: revalidation had missed them.
    pub sampled_wrong: u64,
    /// Ukeys that were to go where no edge of their life leads, counted at its end: bugs.
    pub illegal_transitions: u64,
    /// Batches looked at while there were as many flows as the limit, or more.
    pub limit_hit: u64,
    /// Batches looked at while there were more than twice as many.
    pub limit_kill: u64,
    /// Times that the limit was divided,
    pub limit_scaled: u64,
    /// ... cut by a quarter,
    pub limit_reduced: u64,
    /// ... raised.
    pub limit_grew: u64,
}

/// The revalidator's state; see the module.
#[derive(Debug)]
pub struct Revalidator {
    pub(crate) leader: Leader,
    pub(crate) crew: Crew,
    pub(crate) requests: Requests,
    /// The time of the next full round.
    full_due: Nanos,
    /// When the last round began.
    last_started: Nanos,
    /// The change that the last finished round was for.
    last_target: u64,
    /// The last change that somebody waits for.
    pub(crate) wanted: Cell<u64>,
    /// Finished rounds that wait for their fence: target and fence.
    pub(crate) fencing: VecDeque<(u64, u64)>,
    pub(crate) in_force: u64,
    /// All statistics were read at this time or later.
    pub(crate) stats_as_of: Nanos,
    pub(crate) retiring: VecDeque<Retiring>,
    /// Evicted or replaced since the last fence.
    pub(crate) leaving: Vec<Ukey>,
    pub(crate) n_retiring: usize,
    pub(crate) flow_limit: FlowLimit,
    pub(crate) n_flows: FlowCount,
    n_flows_average: usize,
    n_flows_max: usize,
    /// The number of the full round that is under way, or comes next.
    pub(crate) dump_seq: u64,
    pub(crate) last_duration: Nanos,
    pub(crate) stats: RevalidatorStats,
}

/// What is left of the work that one call may do.
#[derive(Debug)]
pub(crate) struct Budget(u32);

impl Budget {
    pub(crate) fn spend(&mut self, units: u32) {
        self.0 = self.0.saturating_sub(units);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

impl Revalidator {
    pub(crate) fn new(config: &BridgeConfig, now: Nanos) -> Self {
        Self {
            leader: Leader::Resting,
            crew: Crew::new(config.n_revalidator_threads),
            requests: Requests::default(),
            full_due: now + config.max_revalidator.min(config.max_idle),
            last_started: now,
            last_target: 0,
            wanted: Cell::new(0),
            fencing: VecDeque::new(),
            in_force: 0,
            stats_as_of: now,
            retiring: VecDeque::new(),
            leaving: Vec::new(),
            n_retiring: 0,
            flow_limit: FlowLimit::new(config.flow_limit),
            n_flows: FlowCount::default(),
            n_flows_average: 0,
            n_flows_max: 0,
            dump_seq: 1,
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
        self.flow_limit.get()
    }

    /// Cached flows at the beginning of full rounds: a running average, and the most.
    #[must_use]
    pub fn n_flows(&self) -> (usize, usize) {
        (self.n_flows_average, self.n_flows_max)
    }

    /// How long the last full round took.
    #[must_use]
    pub fn last_duration(&self) -> Nanos {
        self.last_duration
    }

    /// How many full rounds have ended: grows when all statistics were read again.
    #[must_use]
    pub fn dump_seq(&self) -> u64 {
        self.dump_seq
    }

    /// The number of workers, the leader among them.
    #[must_use]
    pub fn n_workers(&self) -> usize {
        self.crew.len()
    }

    /// Whether it is paused: no round is under way, and none begins.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.leader == Leader::Paused
    }

    /// Whether somebody wants it paused.
    #[must_use]
    pub fn is_pause_wanted(&self) -> bool {
        self.requests.pause
    }

    /// Whether a purge was asked for and is not finished.
    #[must_use]
    pub fn is_purging(&self) -> bool {
        self.requests.purge || matches!(self.leader, Leader::Purging { .. })
    }

    /// Whether it has ended for good.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.leader == Leader::Stopped
    }

    /// What it did since boot.
    #[must_use]
    pub fn stats(&self) -> RevalidatorStats {
        self.stats
    }

    /// Changes the number of workers, as soon as no round is under way.
    fn resize(&mut self, n_workers: usize) {
        if self.crew.is_resting() && self.crew.len() != n_workers {
            self.crew = Crew::new(n_workers);
        }
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
    pub fn ukeys(&self) -> &crate::umap::Ukeys {
        &self.ukeys
    }

    // ---- Requests ----

    /// Asks the revalidator to begin no more rounds; it is so when
    /// [`is_paused`](Revalidator::is_paused) says so. Until it is resumed, no change comes in force
    /// and no statistics of cached flows are read but on request.
    pub fn pause_revalidator(&mut self) {
        self.reval.requests.pause = true;
    }

    /// Takes a pause back.
    pub fn resume_revalidator(&mut self) {
        self.reval.requests.pause = false;
        if self.reval.leader == Leader::Paused {
            self.reval.leader = Leader::Resting;
        }
    }

    /// Asks for the eviction of all cached flows, paused or not; it is done when
    /// [`is_purging`](Revalidator::is_purging) says so.
    pub fn purge_cached(&mut self) {
        self.reval.requests.purge = true;
    }

    /// Asks the revalidator to end for good, behind the round that is under way.
    pub fn stop_revalidator(&mut self) {
        self.reval.requests.exit = true;
    }

    /// Sets the flow limit until the next full round adapts it (`upcall/set-flow-limit`).
    pub fn set_flow_limit(&mut self, limit: usize) {
        self.reval.flow_limit.set(limit);
        self.state.quota.set_limit(limit);
    }

    // ---- Work ----

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
        self.go_on_purging();
        self.apply_lessons(now);
        self.expire_rules(self.reval.stats_as_of, now);
        self.revalidate(dpif, now);
        self.look_at_triggers(now);
        self.fence_leaving(dpif);
        self.finish_retiring(dpif, now);
        self.bury_meters(dpif);
        self.send_farewells();
        self.next_deadline(now)
    }

    /// When to call [`Self::run`] at the latest, at `now` at the earliest.
    #[must_use]
    pub fn next_deadline(&self, now: Nanos) -> Nanos {
        let reval = &self.reval;
        let until = match reval.leader {
            Leader::Round { .. } | Leader::Purging { .. } => return now,
            Leader::Resting if reval.requests.pause || self.is_round_wanted() => return now,
            Leader::Resting if reval.last_target != self.changes.seq() => {
                reval.full_due.min(reval.last_started + SPACING)
            }
            Leader::Resting => reval.full_due,
            Leader::Paused | Leader::Stopped => Nanos::MAX,
        };
        let is_waiting = !reval.fencing.is_empty() || !reval.retiring.is_empty();
        let is_busy = reval.is_purging()
            || self.bundles.is_busy()
            || self.purging.is_busy()
            || !self.lessons.is_empty()
            || !self.cookie_counts.is_empty()
            || self.looks_at_triggers();
        if is_waiting || is_busy {
            return now;
        }
        let macs = self.state.macs.next_expiry().unwrap_or(Nanos::MAX);
        // A rule whose idle time is over waits for the statistics of the next round.
        let rules = self.timeouts.next_after(now).unwrap_or(Nanos::MAX);
        until.min(macs).min(rules).max(now)
    }

    /// Whether somebody waits for a change that no round was for.
    fn is_round_wanted(&self) -> bool {
        self.reval.wanted.get() > self.reval.last_target
    }

    fn revalidate(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        let mut budget = Budget(BUDGET);
        self.lead(dpif, now);
        // A full ring to a core ends the turn: it goes on when the ring has drained.
        let mut goes_on = Ok(());
        while goes_on.is_ok() && !budget.is_spent() {
            goes_on = match (self.reval.leader, self.reval.crew.turn()) {
                (Leader::Purging { next }, _) => self.purge_some(next, &mut budget, dpif),
                (Leader::Round { .. }, Some((worker, Task::Sweeping { umap }))) => {
                    self.sweep(umap, &mut budget, dpif);
                    self.reval.crew.swept(worker, umap);
                    Ok(())
                }
                (Leader::Round { .. }, Some((worker, _))) => {
                    self.dump_batch(worker, &mut budget, dpif, now)
                }
                (Leader::Round { target, started, n_flows, .. }, None) => {
                    self.finish_round(target, started, n_flows, dpif, now);
                    self.lead(dpif, now);
                    Ok(())
                }
                (Leader::Resting | Leader::Paused | Leader::Stopped, _) => return,
            };
        }
    }

    /// The leader's decision between rounds.
    fn lead(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        if !matches!(self.reval.leader, Leader::Resting | Leader::Paused) {
            return;
        }
        self.reval.resize(self.config.n_revalidator_threads);
        let Requests { pause, purge, exit } = self.reval.requests;
        if exit {
            self.reval.leader = Leader::Stopped;
        } else if purge {
            self.reval.requests.purge = false;
            self.reval.leader = Leader::Purging { next: Slot::default() };
        } else if pause {
            self.reval.leader = Leader::Paused;
        } else if now >= self.reval.full_due {
            self.begin(Round::Full, dpif, now);
        } else if self.reval.last_target != self.changes.seq() {
            let is_spaced = now >= self.reval.last_started + SPACING;
            if is_spaced || self.is_round_wanted() {
                self.begin(Round::Partial, dpif, now);
            }
        }
    }

    /// Begins a round, if all that was concluded before it is among the ukeys.
    fn begin(&mut self, round: Round, dpif: &mut dyn Dpif, now: Nanos) {
        let Some(target) = self.settled_target(dpif, now) else {
            return;
        };
        let reval = &mut self.reval;
        reval.crew.begin(round);
        reval.last_started = now;
        self.changes.round_begins(reval.last_target);
        let n_flows = reval.n_flows.get(now, || self.ukeys.len());
        if round == Round::Full {
            reval.n_flows_max = reval.n_flows_max.max(n_flows);
            reval.n_flows_average = usize::midpoint(reval.n_flows_average, n_flows);
            let interval = self.config.max_revalidator.min(self.config.max_idle);
            reval.full_due = now + interval;
        }
        let next = Slot::default();
        reval.leader = Leader::Round { target, started: now, n_flows, next };
    }

    fn finish_round(
        &mut self,
        target: u64,
        started: Nanos,
        n_flows: usize,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) {
        self.fence_leaving(dpif);
        let reval = &mut self.reval;
        reval.fencing.push_back((target, dpif.fence()));
        reval.last_target = target;
        reval.leader = Leader::Resting;
        if reval.crew.round() == Round::Partial {
            reval.stats.partial_rounds += 1;
            self.pass_fences(dpif);
            return;
        }
        reval.dump_seq += 1;
        reval.stats.rounds += 1;
        reval.stats_as_of = started;
        reval.last_duration = now.saturating_sub(started);
        match reval.flow_limit.adapt(n_flows, reval.last_duration) {
            Adapted::Same => {}
            Adapted::Scaled => reval.stats.limit_scaled += 1,
            Adapted::Reduced => reval.stats.limit_reduced += 1,
            Adapted::Grew => reval.stats.limit_grew += 1,
        }
        self.state.quota.set_limit(self.reval.flow_limit());
        self.pass_fences(dpif);
        self.expire_rules(started, now);
        self.triggers.begin();
    }
}
