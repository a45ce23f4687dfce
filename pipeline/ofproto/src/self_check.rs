//! The self check (DESIGN §4): a cache hit is translated again, and the answers compared.
//!
//! The datapath samples hits ([`datapath::Check`]). The complete flow of a sampled packet goes
//! through the tables as they are; its megaflow must do what they say. A megaflow that is older
//! than the last change is the revalidator's business and is not judged.

use crate::bridge::Bridge;
use alloc::string::String;
use datapath::{Actions, Check, Dpif};

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
    pub fn self_check(&mut self, check: &Check, dpif: &mut dyn Dpif) -> CheckResult {
        let Some(slot) = self.ukeys.find(check.core, check.ufid) else {
            return CheckResult::Stale;
        };
        let Some(ukey) = self.ukeys.get(slot) else {
            return CheckResult::Stale;
        };
        if self.changes.concern(ukey) {
            return CheckResult::Stale;
        }
        let Some(out) = self.translate_flow(&check.flow) else {
            return CheckResult::Stale;
        };
        let Some(ukey) = self.ukeys.get(slot) else {
            return CheckResult::Stale;
        };
        if *out.actions == *ukey.megaflow.actions {
            self.stats.self_check_passed += 1;
            return CheckResult::Same;
        }
        let cached = alloc::format!("{}", Actions::new(&ukey.megaflow.actions));
        let right = alloc::format!("{}", Actions::new(&out.actions));
        self.stats.self_check_failed += 1;
        // If the command queue is full the next sample of this megaflow finds it again.
        let _ = self.evict(slot, dpif);
        self.fence_leaving(dpif);
        CheckResult::Different { cached, right }
    }
}
