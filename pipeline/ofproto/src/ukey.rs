//! Ukeys: what the bridge remembers of each megaflow that it installed (ovs-facts E2).
//!
//! # Life
//! ```text
//! Created --> Visible --> Operational --> Evicting --> Evicted --> Deleted
//!                |                           ^
//!                +---------------------------+
//! ```
//! A ukey is *created* with its translation, *visible* once the map holds it, *operational* once
//! its core said that the megaflow is installed, *evicting* from the command to remove it (or from the
//! core's word that it does not have it) until a fence says that no packet can hit it any more, *evicted* when its last packets are credited, and
//! *deleted* when nothing refers to it. [`Ukey::transition`] is the one place where states change;
//! an edge that is not drawn is refused and counted
//! ([`illegal_transitions`](crate::RevalidatorStats::illegal_transitions)), which no test survives.
//!
//! # Exactly once
//! A packet that missed is credited by the handler. A packet that hit is counted by the megaflow,
//! and the difference since the last look is credited to the credits of its path: the rules, tables and MAC
//! entries that the translation passed. When a conclusion changes, the new megaflow gets fresh
//! statistics, so packets that still hit the old one are credited to what the old one passed.

use crate::group::PacketCounts;
use crate::learn::Learned;
use crate::mac_learning::Station;
use crate::rule::Rule;
use crate::tally::Tally;
use crate::translate::Path;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{CoreId, FlowStats, Megaflow};
use openflow::OfPort;
use sync::time::Nanos;

/// Something that cached packets are credited to.
#[derive(Clone, Debug)]
pub enum Credit {
    /// They passed this rule.
    Rule(Tally),
    /// They passed a group, or a bucket of one.
    Counts(Arc<PacketCounts>),
    /// They were looked up in this table.
    Table {
        /// Which.
        id: u8,
        /// Whether a rule was found.
        matched: bool,
    },
    /// They teach this rule.
    Learn(Arc<Learned>),
    /// They ended a TCP connection that this rule matches, and lower its timeouts.
    Fin {
        /// Which.
        rule: Arc<Rule>,
        /// Seconds, or 0 for no change.
        idle_timeout: u16,
        /// Seconds, or 0 for no change.
        hard_timeout: u16,
    },
    /// They showed that this station is on this port.
    Mac {
        /// Source address and VLAN.
        station: Station,
        /// Ingress port.
        port: OfPort,
    },
}

/// The same if they credit the same rule or count: not one that looks like it.
impl PartialEq for Credit {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Credit::Rule(one), Credit::Rule(other)) => one == other,
            (Credit::Counts(one), Credit::Counts(other)) => Arc::ptr_eq(one, other),
            (Credit::Table { id, matched }, Credit::Table { id: other, matched: found }) => {
                id == other && matched == found
            }
            (Credit::Learn(one), Credit::Learn(other)) => Arc::ptr_eq(one, other),
            (
                Credit::Fin { rule, idle_timeout, hard_timeout },
                Credit::Fin { rule: other, idle_timeout: idle, hard_timeout: hard },
            ) => Arc::ptr_eq(rule, other) && idle_timeout == idle && hard_timeout == hard,
            (Credit::Mac { station, port }, Credit::Mac { station: other, port: number }) => {
                station == other && port == number
            }
            _ => false,
        }
    }
}

/// Where a ukey is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the module draws and explains them")]
pub enum UkeyState {
    Created,
    Visible,
    Operational,
    Evicting,
    Evicted,
    Deleted,
}

impl UkeyState {
    /// Whether a ukey may go from this state to `next`.
    #[must_use]
    pub const fn may_become(self, next: UkeyState) -> bool {
        use UkeyState::{Created, Deleted, Evicted, Evicting, Operational, Visible};
        matches!(
            (self, next),
            (Created, Visible)
                | (Visible, Operational)
                | (Visible | Operational, Evicting)
                | (Evicting, Evicted)
                | (Evicted, Deleted)
        )
    }
}

/// The numbers that a megaflow's actions and key name, and that therefore must live.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Recirculation ids.
    pub(crate) frozen: Vec<u32>,
    /// Upcall cookies.
    pub(crate) packet_ins: Vec<u32>,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.frozen.is_empty() && self.packet_ins.is_empty()
    }
}

/// What the bridge remembers of a megaflow; see the module.
#[derive(Debug)]
pub struct Ukey {
    /// The core that has it.
    pub core: CoreId,
    /// Key, mask, actions, statistics.
    pub megaflow: Arc<Megaflow>,
    /// When it was made.
    pub created: Nanos,
    state: UkeyState,
    /// Transitions that were refused.
    n_refused: u8,
    /// Whom its packets are credited to, and what its conclusion depends on.
    pub(crate) path: Arc<Path>,
    /// The last change that its conclusion knows of.
    pub(crate) seq: u64,
    /// The last round that has looked at it.
    pub(crate) dump_seq: u64,
    /// None, for most.
    pub(crate) names: Option<Box<Names>>,
    n_credited: (u64, u64),
    /// Packets and last use as of the last dump.
    dumped: Option<(u64, Nanos)>,
}

impl Ukey {
    pub(crate) fn new(
        core: CoreId,
        megaflow: Arc<Megaflow>,
        path: Arc<Path>,
        seq: u64,
        names: Names,
        now: Nanos,
    ) -> Self {
        Self {
            core,
            megaflow,
            created: now,
            state: UkeyState::Created,
            n_refused: 0,
            path,
            seq,
            dump_seq: 0,
            names: (!names.is_empty()).then(|| Box::new(names)),
            n_credited: (0, 0),
            dumped: None,
        }
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> UkeyState {
        self.state
    }

    /// Goes on to `next`; `false`, and nothing happens, if there is no such edge.
    pub(crate) fn transition(&mut self, next: UkeyState) -> bool {
        let may = self.state.may_become(next);
        if may {
            self.state = next;
        } else {
            self.n_refused = self.n_refused.saturating_add(1);
        }
        may
    }

    /// How often it was to go where no edge leads: a bug, each time.
    pub(crate) fn n_refused(&self) -> u8 {
        self.n_refused
    }

    pub(crate) fn stats(&self) -> &FlowStats {
        &self.megaflow.stats
    }

    /// The last hit, or the installation.
    #[must_use]
    pub fn used(&self) -> Nanos {
        self.stats().read().used.unwrap_or(self.created).max(self.created)
    }

    /// Notes the statistics of this dump, for the next one to compare with.
    pub(crate) fn note_dump(&mut self) {
        self.dumped = Some((self.stats().read().packets, self.used()));
    }

    /// Packets since the last dump, and the last use as it was known then; `None` if it was never
    /// dumped.
    pub(crate) fn since_dump(&self) -> Option<(u64, Nanos)> {
        let (packets, used) = self.dumped?;
        Some((self.stats().read().packets.saturating_sub(packets), used))
    }

    /// Packets and bytes since this was asked last, and the last hit.
    pub(crate) fn take_delta(&mut self) -> (u64, u64, Nanos) {
        let read = self.stats().read();
        let (packets, bytes) = self.n_credited;
        self.n_credited = (read.packets, read.bytes);
        let used = read.used.unwrap_or(self.created);
        (read.packets.wrapping_sub(packets), read.bytes.wrapping_sub(bytes), used)
    }
}

#[cfg(test)]
mod tests {
    use super::UkeyState::{Created, Deleted, Evicted, Evicting, Operational, Visible};
    use super::*;
    use flow::{Flow, Mask};

    #[test]
    fn an_edge_that_is_not_drawn_is_refused_and_counted() {
        let megaflow = Arc::new(Megaflow::new(&Flow::ZERO, Mask::ZERO, [].into()));
        let names = Names::default();
        let mut ukey = Ukey::new(CoreId(0), megaflow, Path::empty(), 0, names, Nanos::ZERO);
        assert!(!ukey.transition(Operational) && !ukey.transition(Deleted));
        assert_eq!((ukey.state(), ukey.n_refused()), (Created, 2));
        for next in [Visible, Operational, Evicting, Evicted, Deleted] {
            assert!(ukey.transition(next));
            assert_eq!(ukey.state(), next);
        }
        assert!(!ukey.transition(Visible));
        assert_eq!(ukey.n_refused(), 3);
    }

    #[test]
    fn only_the_drawn_edges_exist() {
        let states = [Created, Visible, Operational, Evicting, Evicted, Deleted];
        let edges = [
            (Created, Visible),
            (Visible, Operational),
            (Visible, Evicting),
            (Operational, Evicting),
            (Evicting, Evicted),
            (Evicted, Deleted),
        ];
        for from in states {
            for to in states {
                assert_eq!(from.may_become(to), edges.contains(&(from, to)), "{from:?} {to:?}");
            }
        }
    }
}
