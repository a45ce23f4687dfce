//! Old conclusions: credited to the last packet, then forgotten; and the numbers that they name.

use crate::bridge::Bridge;
use crate::handler::{Ledger, Seen};
use crate::intern::Full;
use crate::translate::Path;
use crate::ukey::{Names, Ukey, UkeyState};
use crate::umap::{N_UMAPS, Slot};
use alloc::vec::Vec;
use datapath::Dpif;
use sync::time::Nanos;

/// An old conclusion that packets may still hit.
#[derive(Debug)]
pub(crate) struct Retiring {
    pub(crate) fence: u64,
    pub(crate) ukeys: Vec<Ukey>,
}

/// Cached flows whose statistics are read in one go.
const FEW_FLOWS: usize = 1024;

/// How far the reading of all statistics is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crediting {
    next: Slot,
}

impl Bridge {
    /// Draws a fence behind those that left since the last one.
    pub(crate) fn fence_leaving(&mut self, dpif: &mut dyn Dpif) {
        if !self.reval.leaving.is_empty() {
            let ukeys = core::mem::take(&mut self.reval.leaving);
            self.reval.n_retiring += ukeys.len();
            self.reval.retiring.push_back(Retiring { fence: dpif.fence(), ukeys });
        }
    }

    pub(crate) fn finish_retiring(&mut self, dpif: &mut dyn Dpif, now: Nanos) {
        while self.reval.retiring.front().is_some_and(|front| dpif.fence_passed(front.fence)) {
            let Some(Retiring { ukeys, .. }) = self.reval.retiring.pop_front() else {
                break;
            };
            self.reval.n_retiring -= ukeys.len();
            for mut ukey in ukeys {
                credit_ukey(&mut self.ledger(), &mut ukey);
                ukey.transition(UkeyState::Evicted);
                if let Some(names) = ukey.names.take() {
                    self.release_names(&names, now);
                }
                ukey.transition(UkeyState::Deleted);
                self.reval.stats.illegal_transitions += u64::from(ukey.n_refused());
            }
        }
        self.pass_fences(dpif);
    }

    pub(crate) fn pass_fences(&mut self, dpif: &dyn Dpif) {
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
        self.take_conclusions(now);
        let ledger = &mut Ledger {
            state: &mut self.state,
            changes: &mut self.changes,
            lessons: &mut self.lessons,
        };
        let retiring = self.reval.retiring.iter_mut().flat_map(|retiring| &mut retiring.ukeys);
        let going = self.reval.leaving.iter_mut().chain(self.conclusions.disputed_mut());
        let all = self.ukeys.iter_mut().chain(going).chain(retiring);
        all.for_each(|ukey| credit_ukey(ledger, ukey));
    }

    /// Whether so many flows are cached that their statistics are better read in slices.
    #[must_use]
    pub fn has_many_cached(&self) -> bool {
        self.ukeys.len() > FEW_FLOWS
    }

    /// Goes on reading the statistics of all cached flows, at most `max` of them. Returns whether there
    /// are more. When there are none, everything that was counted before the beginning is known.
    pub fn credit_on(&mut self, crediting: &mut Crediting, max: usize, now: Nanos) -> bool {
        self.take_conclusions(now);
        let Crediting { next } = crediting;
        for _ in 0..max {
            while next.umap < N_UMAPS && next.place >= self.ukeys.end(next.umap) {
                *next = Slot { umap: next.umap + 1, place: 0 };
            }
            if next.umap >= N_UMAPS {
                // What is on its way out, which are few.
                let ledger = &mut Ledger {
                    state: &mut self.state,
                    changes: &mut self.changes,
                    lessons: &mut self.lessons,
                };
                let retiring = self.reval.retiring.iter_mut();
                let retiring = retiring.flat_map(|retiring| &mut retiring.ukeys);
                let going = self.reval.leaving.iter_mut().chain(self.conclusions.disputed_mut());
                retiring.chain(going).for_each(|ukey| credit_ukey(ledger, ukey));
                return false;
            }
            self.credit_slot(*next);
            next.place += 1;
        }
        true
    }

    pub(crate) fn credit_slot(&mut self, slot: Slot) {
        if let Some(ukey) = self.ukeys.get_mut(slot) {
            let ledger = &mut Ledger {
                state: &mut self.state,
                changes: &mut self.changes,
                lessons: &mut self.lessons,
            };
            credit_ukey(ledger, ukey);
        }
    }

    // ---- Names ----

    /// Takes references to the numbers that a translation's actions and its key name.
    pub(crate) fn hold_names(
        &mut self,
        path: &Path,
        recirc_id: u32,
        now: Nanos,
    ) -> Result<Names, Full> {
        let mut names = Names::default();
        if path.frozen.is_empty() && path.packet_ins.is_empty() && recirc_id == 0 {
            // The common case needs no write guard.
            return Ok(names);
        }
        let own = self.state.frozen.get(recirc_id).cloned().map(|frozen| (recirc_id, frozen));
        for (id, frozen) in path.frozen.iter().chain(own.as_ref()) {
            if self.state.write().frozen.acquire(*id, frozen).is_err() {
                self.release_names(&names, now);
                return Err(Full);
            }
            names.frozen.push(*id);
        }
        for (id, spec) in &path.packet_ins {
            if self.state.write().packet_ins.acquire(*id, spec).is_err() {
                self.release_names(&names, now);
                return Err(Full);
            }
            names.packet_ins.push(*id);
        }
        Ok(names)
    }

    pub(crate) fn release_names(&mut self, names: &Names, now: Nanos) {
        for id in &names.frozen {
            self.state.write().frozen.release(*id, now);
        }
        for id in &names.packet_ins {
            self.state.write().packet_ins.release(*id, now);
        }
    }
}

/// Credits what a cached flow counted since the last time.
fn credit_ukey(ledger: &mut Ledger<'_>, ukey: &mut Ukey) {
    let (n_packets, n_bytes, used) = ukey.take_delta();
    if n_packets > 0 {
        ledger.credit(&ukey.path.credits, n_packets, n_bytes, Seen::Earlier(used));
    }
}
