//! What becomes of one cached flow (ovs-facts E1, E8, E9).

use crate::bridge::Bridge;
use crate::ukey::{Slot, Ukey, UkeyState};
use alloc::sync::Arc;
use datapath::{Dpif, Megaflow};
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
    pub(crate) fn is_worth_translating(&self, ukey: &Ukey, seen_before: bool, now: Nanos) -> bool {
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
        let Some(out) = self.translate_flow(&ukey.megaflow.key) else {
            return self.discredit(slot, dpif);
        };
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
                    ukey.deps = out.deps;
                    ukey.deps.shrink();
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
                    return Err(QueueFull);
                }
                let credits = out.credits.into();
                // Other actions are no use of the flow: it goes on idling.
                let ukey = Ukey::new(core, megaflow, credits, out.deps, seq, names, used);
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
    pub(crate) fn forget(&mut self, slot: Slot, dpif: &mut dyn Dpif) {
        if let Some(mut ukey) = self.ukeys.remove(slot) {
            ukey.transition(UkeyState::Evicting);
            self.reval.leaving.push(ukey);
        }
        self.fence_leaving(dpif);
    }
}
