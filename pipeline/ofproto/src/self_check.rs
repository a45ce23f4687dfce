//! The self check (DESIGN §4): a cache hit is translated again, and the answers compared.
//!
//! The datapath samples hits ([`datapath::Check`]). The complete flow of a sampled packet goes
//! through the tables as they are; its megaflow must do to it what they say (`same_effect.rs`). A megaflow that a change
//! concerns is the revalidator's business and is not judged. A wrong one dies, and is kept for
//! inspection with its packet ([`crate::wrong_flow`]).

use crate::bridge::Bridge;
use crate::same_effect::same_effect;
use crate::wrong_flow::{FoundBy, WrongFlow};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{Actions, Check, Dpif};
use sync::time::Nanos;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Cache and tables agree.
    Same,
    /// The megaflow is gone, or about to be revalidated.
    Stale,
    /// They differ: the megaflow was evicted. What it did, and what it should have done.
    Different {
        /// The cached actions.
        cached: String,
        /// The actions that the tables say.
        right: String,
    },
}

impl Bridge {
    /// Judges a sampled cache hit.
    pub fn self_check(&mut self, check: Check, dpif: &mut dyn Dpif, now: Nanos) -> CheckResult {
        let Some(slot) = self.ukeys.find(check.core, check.ufid) else {
            return CheckResult::Stale;
        };
        let Some(ukey) = self.ukeys.get(slot).filter(|ukey| !self.changes.concern(ukey)) else {
            return CheckResult::Stale;
        };
        let cached = Arc::clone(&ukey.megaflow.actions);
        let Some(out) = self.translate_flow(&check.flow) else {
            return CheckResult::Stale;
        };
        if *out.path.actions == *cached || same_effect(&out.path.actions, &cached, &check.flow) {
            self.stats.self_check_passed += 1;
            return CheckResult::Same;
        }
        let cached = alloc::format!("{}", Actions::new(&cached));
        let right = alloc::format!("{}", Actions::new(&out.path.actions));
        self.stats.self_check_failed += 1;
        let Check { flow, ufid, core, packet } = check;
        self.wrong_flows.push(WrongFlow {
            at: now,
            found_by: FoundBy::SelfCheck,
            ufid,
            core,
            flow,
            cached: cached.clone(),
            right: right.clone(),
            frame: packet.map_or_else(Box::default, |packet| packet.data().into()),
        });
        // If the command queue is full the next sample of this megaflow finds it again.
        let _ = self.evict(slot, dpif);
        self.fence_leaving(dpif);
        CheckResult::Different { cached, right }
    }

    /// The last cached flows that were found wrong, oldest first; and how many there ever were.
    pub fn wrong_flows(&self) -> (impl Iterator<Item = &WrongFlow>, u64) {
        (self.wrong_flows.iter(), self.wrong_flows.n_found())
    }

    /// Cached flows that were found wrong since the last call, for the log; the oldest of many are
    /// left out.
    pub fn take_wrong_flows(&mut self) -> Vec<WrongFlow> {
        self.wrong_flows.take_news()
    }
}
