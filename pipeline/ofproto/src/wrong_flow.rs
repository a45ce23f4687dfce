//! Cached flows that were found wrong, kept for inspection.
//!
//! A wrong cached flow is a bug of the switch. It dies at once; what is kept is what somebody needs
//! to find the bug: the packet, what the cache did to it and what the tables say.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use datapath::{CoreId, Ufid};
use flow::Flow;
use sync::time::Nanos;

/// Wrong flows that are kept; the oldest give way.
pub const MAX_KEPT: usize = 16;

/// Who found a wrong flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// The self check, by a packet that hit it.
    SelfCheck,
    /// The revalidator, which translates a sample of the flows that no change concerns.
    Sample,
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SelfCheck => "self check",
            Self::Sample => "revalidator's sample",
        })
    }
}

/// A cached flow that was found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFlow {
    /// When.
    pub at: Nanos,
    /// By whom.
    pub found_by: FoundBy,
    /// The megaflow,
    pub ufid: Ufid,
    /// ... and the core that had it.
    pub core: CoreId,
    /// The flow that was translated; its ingress port is a datapath number.
    pub flow: Flow,
    /// What the cached flow did.
    pub cached: String,
    /// What the tables say.
    pub right: String,
    /// The beginning of the packet; empty if there was none.
    pub frame: Box<[u8]>,
}

impl fmt::Display for WrongFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on core {}, found by {}", self.ufid, self.core.0, self.found_by)?;
        writeln!(f, "  at   : {} ms after boot", self.at.as_millis())?;
        writeln!(f, "  flow : {}", self.flow)?;
        writeln!(f, "  did  : {}", self.cached)?;
        writeln!(f, "  right: {}", self.right)?;
        if !self.frame.is_empty() {
            f.write_str("  frame: ")?;
            self.frame.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_char('\n')?;
        }
        Ok(())
    }
}

/// The last wrong flows, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct WrongFlows {
    kept: VecDeque<WrongFlow>,
    n_found: u64,
    n_told: u64,
}

impl WrongFlows {
    pub(crate) fn push(&mut self, wrong: WrongFlow) {
        self.n_found += 1;
        if self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(wrong);
    }

    /// Those that are kept, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &WrongFlow> {
        self.kept.iter()
    }

    /// Those that are kept and that an earlier call did not return.
    pub(crate) fn take_news(&mut self) -> Vec<WrongFlow> {
        let n_new = usize::try_from(self.n_found - self.n_told).unwrap_or(MAX_KEPT);
        self.n_told = self.n_found;
        let n_old = self.kept.len().saturating_sub(n_new);
        self.kept.iter().skip(n_old).cloned().collect()
    }

    /// How many were found since boot.
    pub(crate) fn n_found(&self) -> u64 {
        self.n_found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(n: u128) -> WrongFlow {
        WrongFlow {
            at: Nanos::from_millis(1500),
            found_by: FoundBy::SelfCheck,
            ufid: Ufid(n),
            core: CoreId(1),
            flow: Flow::ZERO,
            cached: "2".into(),
            right: "drop".into(),
            frame: Box::new([0xab, 0x01]),
        }
    }

    #[test]
    fn the_last_ones_are_kept_and_each_is_told_once() {
        let mut all = WrongFlows::default();
        assert!(all.take_news().is_empty());
        all.push(wrong(0));
        assert_eq!(all.take_news(), [wrong(0)]);
        assert!(all.take_news().is_empty());
        (1..=20).for_each(|n| all.push(wrong(n)));
        let ufids = |flows: Vec<WrongFlow>| flows.iter().map(|w| w.ufid.0).collect::<Vec<_>>();
        assert_eq!(ufids(all.take_news()), (5..=20).collect::<Vec<_>>());
        assert_eq!(ufids(all.iter().cloned().collect()), (5..=20).collect::<Vec<_>>());
        assert_eq!(all.n_found(), 21);
    }

    #[test]
    fn it_says_what_somebody_needs() {
        let text = alloc::format!("{}", wrong(7));
        for part in ["on core 1", "1500 ms", "did  : 2\n", "right: drop\n", "frame: ab01\n"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
