//! The two phases of a round, batch by batch, and purging (ovs-facts E3, E6, E8, E10).
//!
//! Each function does a bounded part and says where it stopped: see [`crate::revalidator`].

use crate::bridge::Bridge;
use crate::crew::Round;
use crate::flow_limit::Pressure;
use crate::judge::QueueFull;
use crate::revalidator::{Budget, Leader, TRANSLATION};
use crate::ukey::{Ukey, UkeyState};
use crate::umap::{N_UMAPS, Slot};
use datapath::{Dpif, Fate};
use sync::time::Nanos;

/// Slots, empty or not, that are passed over for one unit.
const SLOTS_A_UNIT: u32 = 16;
/// Flows that a worker takes from the dump at once (OVS's `REVALIDATE_MAX_BATCH`).
const BATCH: usize = 50;
/// One in so many of the flows that no change concerns is translated again in a full round.
const SAMPLE: u64 = 256;

impl Bridge {
    /// One batch of the dump; the worker goes to the barrier when there is none left.
    pub(crate) fn dump_batch(
        &mut self,
        worker: usize,
        budget: &mut Budget,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), QueueFull> {
        let pressure = self.pressure(now);
        let is_full = self.reval.crew.round() == Round::Full;
        let mut n_looked_at = 0;
        while n_looked_at < BATCH && !budget.is_spent() {
            let Leader::Round { next: slot, .. } = self.reval.leader else {
                return Ok(());
            };
            if slot.umap >= N_UMAPS {
                self.reval.crew.dumped(worker);
                return Ok(());
            }
            if slot.place >= self.ukeys.end(slot.umap) {
                budget.spend(u32::from(slot.umap.is_multiple_of(SLOTS_A_UNIT as usize)));
                self.dump_from(Slot { umap: slot.umap + 1, place: 0 });
                continue;
            }
            if self.ukeys.get(slot).is_some() {
                n_looked_at += 1;
                budget.spend(1);
                if is_full {
                    self.look_at(slot, pressure, budget, dpif, now)?;
                } else {
                    self.follow_changes(slot, budget, dpif, now)?;
                }
            } else {
                budget.spend(u32::from(slot.place.is_multiple_of(SLOTS_A_UNIT as usize)));
            }
            self.dump_from(Slot { place: slot.place + 1, ..slot });
        }
        Ok(())
    }

    fn dump_from(&mut self, slot: Slot) {
        if let Leader::Round { next, .. } = &mut self.reval.leader {
            *next = slot;
        }
    }

    /// How hard the cached flows press, for the next batch: so an emergency ends before all are
    /// gone.
    fn pressure(&mut self, now: Nanos) -> Pressure {
        let n_flows = self.ukeys.len();
        let n_flows = self.reval.n_flows.get(now, || n_flows).min(n_flows);
        let pressure = self.reval.flow_limit.pressure(n_flows);
        self.reval.stats.limit_hit += u64::from(n_flows >= self.reval.flow_limit.get());
        self.reval.stats.limit_kill += u64::from(pressure == Pressure::Double);
        pressure
    }

    /// Looks at one flow of a full dump. An error is a full command queue; then nothing has changed
    /// but that its packets are credited, and it is looked at again.
    fn look_at(
        &mut self,
        slot: Slot,
        pressure: Pressure,
        budget: &mut Budget,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), QueueFull> {
        let dump_seq = self.reval.dump_seq;
        let Some(ukey) = self.ukeys.get_mut(slot) else {
            return Ok(());
        };
        match ukey.stats().fate() {
            Fate::Pending => {}
            Fate::Installed if ukey.state() == UkeyState::Visible => {
                ukey.transition(UkeyState::Operational);
            }
            Fate::Installed => {}
            // The core does not have it: it is not in the dump, and the sweep finds it.
            Fate::Refused | Fate::Removed => return Ok(()),
        }
        if ukey.dump_seq == dump_seq {
            return Ok(());
        }
        let used = ukey.used();
        let is_modest = self.state.quota.is_modest(ukey.megaflow.in_port());
        let pressure = if is_modest { Pressure::None } else { pressure };
        self.credit_slot(slot);
        if pressure.evicts(used, self.config.max_idle, now) {
            self.evict(slot, dpif)?;
            self.reval.stats.evicted += 1;
            return Ok(());
        }
        let is_concerned = self.follow_changes(slot, budget, dpif, now)?;
        let is_sampled = (slot.place as u64).wrapping_add(dump_seq).is_multiple_of(SAMPLE);
        if is_sampled && !is_concerned {
            budget.spend(TRANSLATION);
            self.sample(slot, dpif, now)?;
        }
        if let Some(ukey) = self.ukeys.get_mut(slot) {
            ukey.dump_seq = dump_seq;
            ukey.note_dump();
        }
        Ok(())
    }

    /// Translates a flow again if some change since concerns it; returns whether one did.
    fn follow_changes(
        &mut self,
        slot: Slot,
        budget: &mut Budget,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<bool, QueueFull> {
        let seq = self.changes.seq();
        let Some(ukey) = self.ukeys.get_mut(slot) else {
            return Ok(false);
        };
        if ukey.seq == seq {
            return Ok(false);
        }
        self.reval.stats.outdated += 1;
        if !self.changes.concern(ukey) {
            ukey.seq = seq;
            return Ok(false);
        }
        if matches!(ukey.stats().fate(), Fate::Refused | Fate::Removed) {
            self.forget(slot);
            self.reval.stats.missing += 1;
            return Ok(true);
        }
        self.reval.stats.concerned += 1;
        let Some(ukey) = self.ukeys.get(slot) else {
            return Ok(false);
        };
        if self.is_worth_translating(ukey, now) {
            budget.spend(TRANSLATION);
            self.credit_slot(slot);
            self.judge(slot, dpif, now)?;
        } else {
            self.evict(slot, dpif)?;
            self.reval.stats.deleted += 1;
            self.reval.stats.too_expensive += 1;
        }
        Ok(true)
    }

    /// Forgets the ukeys of a umap that the dump did not find in the datapath.
    pub(crate) fn sweep(&mut self, umap: usize, budget: &mut Budget, dpif: &mut dyn Dpif) {
        let end = self.ukeys.end(umap);
        budget.spend(1 + u32::try_from(end).unwrap_or(u32::MAX) / SLOTS_A_UNIT);
        for place in 0..end {
            let slot = Slot { umap, place };
            let is_gone =
                |ukey: &Ukey| matches!(ukey.stats().fate(), Fate::Refused | Fate::Removed);
            if self.ukeys.get(slot).is_some_and(is_gone) {
                self.forget(slot);
                self.reval.stats.missing += 1;
            }
        }
        self.fence_leaving(dpif);
    }

    /// Evicts from `next` on.
    pub(crate) fn purge_some(
        &mut self,
        mut next: Slot,
        budget: &mut Budget,
        dpif: &mut dyn Dpif,
    ) -> Result<(), QueueFull> {
        while next.umap < N_UMAPS && !budget.is_spent() {
            let end = self.ukeys.end(next.umap);
            budget.spend(1);
            for place in next.place..end {
                let slot = Slot { place, ..next };
                if self.ukeys.get(slot).is_some() {
                    budget.spend(1);
                    if let Err(full) = self.evict(slot, dpif) {
                        self.reval.leader = Leader::Purging { next: slot };
                        return Err(full);
                    }
                    self.reval.stats.purged += 1;
                }
            }
            next = Slot { umap: next.umap + 1, place: 0 };
        }
        self.reval.leader = match next.umap < N_UMAPS {
            true => Leader::Purging { next },
            false if self.reval.requests.pause => Leader::Paused,
            false => Leader::Resting,
        };
        Ok(())
    }
}
