//! Commands whose answer waits for something.

use crate::bridges::BridgeId;
use crate::control::Control;
use agent::unixctl::Request;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sync::time::Nanos;

/// Answers that wait at most.
const MAX_WAITING: usize = 64;

/// What an answer waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The end of each bridge's full round with this number.
    DumpsArePast(Vec<(BridgeId, u64)>),
    /// The revalidators are paused, or were resumed.
    Paused,
    /// No purge is under way.
    Purged,
    /// What the OpenFlow state was at this time is on the disk.
    Kept(Nanos),
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The channel that it came by.
    pub(crate) channel: usize,
    pub(crate) request: Request,
    pub(crate) until: Until,
}

impl Control {
    /// Has the command that is running answered with nothing once `until` holds.
    ///
    /// # Errors
    /// Too many wait.
    pub(crate) fn answer_later(&mut self, until: Until) -> Result<String, String> {
        if self.waiting.len() >= MAX_WAITING {
            return Err("too many commands wait already".to_string());
        }
        self.later = Some(until);
        Ok(String::new())
    }

    fn holds(&self, until: &Until) -> bool {
        if let Until::Kept(at) = until {
            return self.keeping.has_kept(*at);
        }
        let mut all = self.bridges.iter().map(|member| (member.id, member.bridge.revalidator()));
        all.all(|(id, revalidator)| match until {
            Until::DumpsArePast(dumps) => {
                let before = dumps.iter().find(|(of, _)| *of == id);
                revalidator.is_paused()
                    || before.is_none_or(|(_, seq)| revalidator.dump_seq() != *seq)
            }
            Until::Paused => revalidator.is_paused() || !revalidator.is_pause_wanted(),
            Until::Purged => !revalidator.is_purging(),
            Until::Kept(_) => true,
        })
    }

    /// Takes out the requests that can be answered.
    pub(crate) fn take_answerable(&mut self) -> Vec<Waiting> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let all = core::mem::take(&mut self.waiting);
        let (ready, waiting) = all.into_iter().partition(|waiting| self.holds(&waiting.until));
        self.waiting = waiting;
        ready
    }
}
