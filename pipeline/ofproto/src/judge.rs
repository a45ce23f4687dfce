//! What becomes of one cached flow (ovs-facts E1, E8, E9).

use crate::bridge::Bridge;
use crate::ukey::{Ukey, UkeyState};
use crate::umap::Slot;
use crate::wrong_flow::{FoundBy, WrongFlow};
use alloc::sync::Arc;
use datapath::{Actions, Dpif, Megaflow};
use sync::time::Nanos;

/// The ring of commands to a core is full: try again later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;

/// What the revalidator does with a ukey (ovs-facts E1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Keep,
    Modify,
    Delete,
}

impl Bridge {
    /// Whether translating a ukey again costs less than an upcall if it is needed (ovs-facts E8).
    ///
    /// It does for a flow that was never dumped, and while rounds are short; else for a flow whose
    /// packets since the last dump come faster than `min-revalidate-pps`, on average since its last
    /// use before that.
    pub(crate) fn is_worth_translating(&self, ukey: &Ukey, now: Nanos) -> bool {
        let Some((n_packets, used)) = ukey.since_dump() else {
            return true;
        };
        let is_quick =
            self.reval.last_duration.as_millis() < self.config.max_revalidator.as_millis() / 2;
        let pps = self.config.min_revalidate_pps;
        if is_quick || pps == 0 {
            return true;
        }
        let interval_ms = now.saturating_sub(used).as_millis() / n_packets.max(1);
        interval_ms < 1_000 / pps
    }

    /// Translates a ukey's key again although no change concerns it. Other actions mean that a
    /// change was missed: the megaflow dies. A wider mask does not: see [`crate::deps`].
    pub(crate) fn sample(
        &mut self,
        slot: Slot,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), QueueFull> {
        let Some(ukey) = self.ukeys.get(slot) else {
            return Ok(());
        };
        self.reval.stats.sampled += 1;
        let (core, megaflow) = (ukey.core, Arc::clone(&ukey.megaflow));
        let out = self.translate_flow(&megaflow.key);
        let Some(out) = out.filter(|out| out.path.actions != megaflow.actions) else {
            return Ok(());
        };
        self.discredit(slot, dpif)?;
        self.reval.stats.sampled_wrong += 1;
        self.wrong_flows.push(WrongFlow {
            at: now,
            found_by: FoundBy::Sample,
            ufid: megaflow.ufid,
            core,
            flow: megaflow.key,
            cached: alloc::format!("{}", Actions::new(&megaflow.actions)),
            right: alloc::format!("{}", Actions::new(&out.path.actions)),
            frame: [].into(),
        });
        Ok(())
    }

    /// Translates a ukey's key again and acts on the difference (ovs-facts E9).
    pub(crate) fn judge(
        &mut self,
        slot: Slot,
        dpif: &mut dyn Dpif,
        now: Nanos,
    ) -> Result<(), QueueFull> {
        let seq = self.changes.seq();
        self.reval.stats.translated += 1;
        let Some(ukey) = self.ukeys.get(slot) else {
            return Ok(());
        };
        // The key has zeros where the mask does not look: a translation that looks there now says
        // so by its mask, and the conclusion is too wide.
        let (core, used, old) = (ukey.core, ukey.used(), Arc::clone(&ukey.megaflow));
        let Some(out) = self.translate_flow(&old.key) else {
            return self.discredit(slot, dpif);
        };
        let judgement = if !old.mask.covers(&out.mask) {
            Judgement::Delete
        } else if *out.path.actions != *old.actions {
            Judgement::Modify
        } else {
            Judgement::Keep
        };
        match judgement {
            Judgement::Keep => {
                self.reval.stats.kept += 1;
                if let Some(ukey) = self.ukeys.get_mut(slot) {
                    ukey.path = out.path;
                    ukey.seq = seq;
                }
                Ok(())
            }
            Judgement::Delete => self.discredit(slot, dpif),
            Judgement::Modify => {
                let actions = Arc::clone(&out.path.actions);
                let megaflow = Arc::new(Megaflow::new(&old.key, old.mask.clone(), actions));
                let Ok(names) = self.hold_names(&out.path, old.key.recirc_id(), now) else {
                    return self.discredit(slot, dpif);
                };
                if dpif.flow_put(core, Arc::clone(&megaflow)).is_err() {
                    self.release_names(&names, now);
                    return Err(QueueFull);
                }
                // Other actions are no use of the flow: it goes on idling.
                let ukey = Ukey::new(core, megaflow, out.path, seq, names, used);
                if let Some(mut old) = self.ukeys.replace(slot, ukey) {
                    old.transition(UkeyState::Evicting);
                    self.reval.leaving.push(old);
                }
                self.reval.stats.modified += 1;
                Ok(())
            }
        }
    }

    fn discredit(&mut self, slot: Slot, dpif: &mut dyn Dpif) -> Result<(), QueueFull> {
        self.evict(slot, dpif)?;
        self.reval.stats.deleted += 1;
        Ok(())
    }

    /// Takes a megaflow out of the datapath.
    pub(crate) fn evict(&mut self, slot: Slot, dpif: &mut dyn Dpif) -> Result<(), QueueFull> {
        let Some(ukey) = self.ukeys.get(slot) else {
            return Ok(());
        };
        dpif.flow_delete(ukey.core, ukey.megaflow.ufid).map_err(|_| QueueFull)?;
        if let Some(mut ukey) = self.ukeys.remove(slot) {
            ukey.transition(UkeyState::Evicting);
            self.reval.leaving.push(ukey);
        }
        Ok(())
    }

    /// Drops a ukey whose megaflow the core does not have.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(mut ukey) = self.ukeys.remove(slot) {
            ukey.transition(UkeyState::Evicting);
            self.reval.leaving.push(ukey);
        }
    }
}
