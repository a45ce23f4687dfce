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
use crate::handler::{Seen, credit};
use crate::translate::{Start, TranslateIn, translate};
use crate::ukey::{Names, Slot, Ukey, UkeyState};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Dpif, Fate, Megaflow, PortNo};
use openflow::OfPort;
use sync::time::Nanos;

/// Ukeys that one call looks at, at most.
pub const BATCH: usize = 512;
/// MAC entries that one call ages out, at most.
const MAC_BATCH: usize = 1024;
/// The flow limit starts here and never falls below [`MIN_FLOW_LIMIT`] (OVS's constants).
const FIRST_FLOW_LIMIT: usize = 10_000;
/// The lowest flow limit.
const MIN_FLOW_LIMIT: usize = 1_000;
/// Idle limit while there are more cached flows than the limit (ovs-facts E6).
const PRESSED_IDLE: Nanos = Nanos::from_millis(100);

/// Counts the changes that translations could notice, by what they concern.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    seq: u64,
    tables: u64,
    macs: u64,
}

impl Changes {
    /// Tables, ports or options changed: every conclusion may be wrong.
    pub(crate) fn tables_changed(&mut self) {
        self.seq += 1;
        self.tables = self.seq;
    }

    /// The MAC table changed: conclusions that looked at it may be wrong.
    pub(crate) fn macs_changed(&mut self) {
        self.seq += 1;
        self.macs = self.seq;
    }

    /// The number of the last change.
    #[must_use]
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn concern(&self, ukey: &Ukey) -> bool {
        ukey.seq < self.tables || (ukey.uses_macs && ukey.seq < self.macs)
    }
}

/// What the revalidator does with a ukey (ovs-facts E1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Keep,
    Modify,
    Delete,
}

/// Where the revalidator is in a round.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until this time, or until something changes.
    Resting { until: Nanos },
    /// Walking the ukeys.
    Dumping { next: Slot, target: u64, started: Nanos },
}

/// An old conclusion that packets may still hit.
#[derive(Debug)]
struct Retiring {
    fence: u64,
    ukeys: Vec<Ukey>,
}

/// A moment that a barrier waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncTicket(u64);

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
    fencing: VecDeque<(u64, u64)>,
    in_force: u64,
    /// All statistics were read at this time or later.
    stats_as_of: Nanos,
    retiring: VecDeque<Retiring>,
    /// Evicted or replaced since the last fence.
    leaving: Vec<Ukey>,
    n_retiring: usize,
    flow_limit: usize,
    dump_seq: u64,
    last_duration: Nanos,
    stats: RevalidatorStats,
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
        self.finish_retiring(dpif, now);
        if self.state.macs.expire(now, MAC_BATCH) > 0 {
            self.changes.macs_changed();
        }
        self.state.frozen.run(now);
        self.state.packet_ins.run(now);
        self.expire_rules(self.reval.stats_as_of, now);
        self.revalidate(dpif, now);
        self.fence_leaving(dpif);
        self.finish_retiring(dpif, now);
        self.send_farewells();
        self.next_deadline(now)
    }

    fn next_deadline(&self, now: Nanos) -> Nanos {
        let is_settled = self.reval.in_force == self.changes.seq
            && self.reval.fencing.is_empty()
            && self.reval.retiring.is_empty();
        match self.reval.phase {
            Phase::Resting { until } if is_settled => {
                let macs = self.state.macs.next_expiry().unwrap_or(Nanos::MAX);
                // A rule whose idle time is over waits for the statistics of the next round.
                let rules = self.timeouts.next().filter(|deadline| *deadline > now);
                let rules = rules.unwrap_or(Nanos::MAX);
                until.min(macs).min(rules).max(now)
            }
            _ => now,
        }
    }

    /// Names this moment: see [`Self::reached`].
    #[must_use]
    pub fn sync_point(&self) -> SyncTicket {
        SyncTicket(self.changes.seq)
    }

    /// Whether every change made before the ticket was drawn is in force in all caches: no packet
    /// received from now on is handled by an older conclusion.
    #[must_use]
    pub fn reached(&self, ticket: SyncTicket) -> bool {
        ticket.0 <= self.reval.in_force
    }

    fn revalidate(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        if let Phase::Resting { until } = self.reval.phase {
            let last_target =
                self.reval.fencing.back().map_or(self.reval.in_force, |round| round.0);
            if now < until && last_target == self.changes.seq {
                return;
            }
            self.reval.dump_seq += 1;
            self.reval.phase = Phase::Dumping { next: 0, target: self.changes.seq, started: now };
        }
        let Phase::Dumping { mut next, target, started } = self.reval.phase else {
            return;
        };
        let mut n_looked_at = 0;
        while n_looked_at < BATCH && next < self.ukeys.end() {
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
    }

    /// Looks at one ukey. An error is a full command queue; then nothing has changed but that its
    /// packets are credited.
    fn visit(&mut self, slot: Slot, dpif: &mut dyn Dpif, now: Nanos) -> Result<(), ()> {
        self.credit_slot(slot, now);
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
        }
        Ok(())
    }

    /// Whether translating a ukey again costs less than an upcall if it is needed (ovs-facts E8).
    fn is_worth_translating(&self, ukey: &Ukey, seen_before: bool, now: Nanos) -> bool {
        let is_quick =
            self.reval.last_duration.as_nanos() < self.config.max_revalidator.as_nanos() / 2;
        if is_quick || !seen_before {
            return true;
        }
        let read = ukey.stats().read();
        let interval = (now - ukey.created).as_millis() / read.packets.max(1);
        read.packets > 0 && interval < 1_000 / self.config.min_revalidate_pps.max(1)
    }

    /// Translates a ukey's key again and acts on the difference (ovs-facts E9).
    fn judge(&mut self, slot: Slot, dpif: &mut dyn Dpif, now: Nanos) -> Result<(), ()> {
        let seq = self.changes.seq;
        let Some(ukey) = self.ukeys.get(slot) else {
            return Ok(());
        };
        self.reval.stats.translated += 1;
        let key = &ukey.megaflow.key;
        let frozen = match key.recirc_id() {
            0 => None,
            id => match self.state.frozen.get(id) {
                Some(frozen) => Some(Arc::clone(frozen)),
                None => return self.discredit(slot, dpif),
            },
        };
        let port = self.state.ports.by_dp(PortNo(key.in_port()));
        let input = TranslateIn {
            state: &self.state,
            flow: key,
            in_port: port.map_or(OfPort::ANY, crate::port::Port::number),
            start: frozen.as_deref().map_or(Start::Tables, Start::Resume),
            is_traced: false,
        };
        let out = translate(&input);
        let judgement = if !ukey.megaflow.mask.covers(&out.mask) {
            Judgement::Delete
        } else if *out.actions != *ukey.megaflow.actions {
            Judgement::Modify
        } else {
            Judgement::Keep
        };
        match judgement {
            Judgement::Keep => {
                self.reval.stats.kept += 1;
                if let Some(ukey) = self.ukeys.get_mut(slot) {
                    ukey.credits = out.credits.into();
                    ukey.uses_macs = out.uses_macs;
                    ukey.seq = seq;
                }
                Ok(())
            }
            Judgement::Delete => self.discredit(slot, dpif),
            Judgement::Modify => {
                let (core, used) = (ukey.core, ukey.used());
                let key = ukey.megaflow.key;
                let megaflow =
                    Arc::new(Megaflow::new(&key, ukey.megaflow.mask, out.actions.clone()));
                let Ok(names) = self.hold_names(&out, key.recirc_id(), now) else {
                    return self.discredit(slot, dpif);
                };
                if dpif.flow_put(core, Arc::clone(&megaflow)).is_err() {
                    self.release_names(&names, now);
                    return Err(());
                }
                let credits = out.credits.into();
                // Other actions are no use of the flow: it goes on idling.
                let ukey = Ukey::new(core, megaflow, credits, out.uses_macs, seq, names, used);
                if let Some(mut old) = self.ukeys.replace(slot, ukey) {
                    old.transition(UkeyState::Evicting);
                    self.reval.leaving.push(old);
                }
                self.reval.stats.modified += 1;
                Ok(())
            }
        }
    }

    fn discredit(&mut self, slot: Slot, dpif: &mut dyn Dpif) -> Result<(), ()> {
        self.evict(slot, dpif)?;
        self.reval.stats.deleted += 1;
        Ok(())
    }

    /// Takes a megaflow out of the datapath.
    pub(crate) fn evict(&mut self, slot: Slot, dpif: &mut dyn Dpif) -> Result<(), ()> {
        let Some(ukey) = self.ukeys.get(slot) else {
            return Ok(());
        };
        dpif.flow_delete(ukey.core, ukey.megaflow.ufid).map_err(|_| ())?;
        if let Some(mut ukey) = self.ukeys.remove(slot) {
            ukey.transition(UkeyState::Evicting);
            self.reval.leaving.push(ukey);
        }
        Ok(())
    }

    /// Drops a ukey whose megaflow the core does not have.
    fn forget(&mut self, slot: Slot, dpif: &mut dyn Dpif) {
        if let Some(mut ukey) = self.ukeys.remove(slot) {
            ukey.transition(UkeyState::Evicting);
            self.reval.leaving.push(ukey);
        }
        self.fence_leaving(dpif);
    }

    /// Draws a fence behind those that left since the last one.
    pub(crate) fn fence_leaving(&mut self, dpif: &mut dyn Dpif) {
        if !self.reval.leaving.is_empty() {
            let ukeys = core::mem::take(&mut self.reval.leaving);
            self.reval.n_retiring += ukeys.len();
            self.reval.retiring.push_back(Retiring { fence: dpif.fence(), ukeys });
        }
    }

    fn finish_retiring(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        while self.reval.retiring.front().is_some_and(|front| dpif.fence_passed(front.fence)) {
            let Some(Retiring { ukeys, .. }) = self.reval.retiring.pop_front() else {
                break;
            };
            self.reval.n_retiring -= ukeys.len();
            for mut ukey in ukeys {
                credit_ukey(&mut self.state, &mut self.changes, &mut ukey, now);
                ukey.transition(UkeyState::Evicted);
                let names = core::mem::take(&mut ukey.names);
                self.release_names(&names, now);
                ukey.transition(UkeyState::Deleted);
            }
        }
        self.pass_fences(dpif);
    }

    fn pass_fences(&mut self, dpif: &dyn Dpif) {
        while let Some(&(target, fence)) = self.reval.fencing.front()
            && dpif.fence_passed(fence)
        {
            // Everything retired before this fence was credited, or is at once: its fence is older.
            let is_behind = self.reval.retiring.front().is_some_and(|front| front.fence <= fence);
            if is_behind {
                break;
            }
            self.reval.in_force = self.reval.in_force.max(target);
            self.reval.fencing.pop_front();
        }
    }

    // ---- Statistics ----

    /// Credits what all cached flows counted up to now.
    pub fn credit_cached(&mut self, now: Nanos) {
        for ukey in self.ukeys.iter_mut() {
            credit_ukey(&mut self.state, &mut self.changes, ukey, now);
        }
        for ukey in self.reval.leaving.iter_mut() {
            credit_ukey(&mut self.state, &mut self.changes, ukey, now);
        }
        for ukey in self.reval.retiring.iter_mut().flat_map(|retiring| &mut retiring.ukeys) {
            credit_ukey(&mut self.state, &mut self.changes, ukey, now);
        }
    }

    fn credit_slot(&mut self, slot: Slot, now: Nanos) {
        if let Some(ukey) = self.ukeys.get_mut(slot) {
            credit_ukey(&mut self.state, &mut self.changes, ukey, now);
        }
    }

    // ---- Names ----

    /// Takes references to the numbers that a translation's actions and its key name.
    pub(crate) fn hold_names(
        &mut self,
        out: &crate::translate::TranslateOut,
        recirc_id: u32,
        now: Nanos,
    ) -> Result<Names, ()> {
        let mut names = Names::default();
        let own = self.state.frozen.get(recirc_id).cloned().map(|frozen| (recirc_id, frozen));
        for (id, frozen) in out.frozen.iter().chain(own.as_ref()) {
            if self.state.frozen.acquire(*id, frozen).is_err() {
                self.release_names(&names, now);
                return Err(());
            }
            names.frozen.push(*id);
        }
        for (id, spec) in &out.packet_ins {
            if self.state.packet_ins.acquire(*id, spec).is_err() {
                self.release_names(&names, now);
                return Err(());
            }
            names.packet_ins.push(*id);
        }
        Ok(names)
    }

    pub(crate) fn release_names(&mut self, names: &Names, now: Nanos) {
        for id in &names.frozen {
            self.state.frozen.release(*id, now);
        }
        for id in &names.packet_ins {
            self.state.packet_ins.release(*id, now);
        }
    }
}

/// Credits what a cached flow counted since the last time.
fn credit_ukey(
    state: &mut crate::bridge::BridgeState,
    changes: &mut Changes,
    ukey: &mut Ukey,
    now: Nanos,
) {
    let (n_packets, n_bytes, used) = ukey.take_delta();
    if n_packets > 0 {
        let seen = Seen::Earlier { used, now };
        credit(state, changes, &ukey.credits, n_packets, n_bytes, seen);
    }
}
