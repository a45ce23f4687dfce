//! Ukeys: what the bridge remembers of each megaflow that it installed (ovs-facts E2).
//!
//! # Life
//! ```text
//! Created --> Visible --> Operational --> Evicting --> Evicted --> Deleted
//!    |           |                           ^
//!    +-----------+------ put refused ------> Deleted
//! ```
//! A ukey is *created* with its translation, *visible* once the map holds it, *operational* once
//! its core said that the megaflow is installed, *evicting* from the command to remove it until a
//! fence says that no packet can hit it any more, *evicted* when its last packets are credited, and
//! *deleted* when nothing refers to it. [`Ukey::transition`] is the one place where states change;
//! an edge that is not drawn is refused and counted.
//!
//! # Exactly once
//! A packet that missed is credited by the handler. A packet that hit is counted by the megaflow,
//! and the difference since the last look is credited to `credits`: the rules, tables and MAC
//! entries that the translation passed. When a conclusion changes, the new megaflow gets fresh
//! statistics, so packets that still hit the old one are credited to what the old one passed.

use crate::deps::Deps;
use crate::learn::Learned;
use crate::mac_learning::Station;
use crate::quota::FlowQuota;
use crate::rule::{Rule, RuleStats};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use datapath::{CoreId, FlowStats, Megaflow, Ufid};
use openflow::OfPort;
use sync::time::Nanos;

/// Something that cached packets are credited to.
#[derive(Clone, Debug)]
pub enum Credit {
    /// They passed this rule.
    Rule(Arc<RuleStats>),
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
                | (Created | Visible, Deleted)
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
    /// Whom its packets are credited to.
    pub(crate) credits: Box<[Credit]>,
    /// What its conclusion depends on.
    pub(crate) deps: Deps,
    /// The last change that its conclusion knows of.
    pub(crate) seq: u64,
    /// The last round that has looked at it.
    pub(crate) dump_seq: u64,
    pub(crate) names: Names,
    n_credited: (u64, u64),
}

impl Ukey {
    pub(crate) fn new(
        core: CoreId,
        megaflow: Arc<Megaflow>,
        credits: Box<[Credit]>,
        mut deps: Deps,
        seq: u64,
        names: Names,
        now: Nanos,
    ) -> Self {
        deps.shrink();
        Self {
            core,
            megaflow,
            created: now,
            state: UkeyState::Created,
            credits,
            deps,
            seq,
            dump_seq: 0,
            names,
            n_credited: (0, 0),
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
        debug_assert!(may, "{:?} to {next:?}", self.state);
        if may {
            self.state = next;
        }
        may
    }

    pub(crate) fn stats(&self) -> &FlowStats {
        &self.megaflow.stats
    }

    /// The last hit, or the installation.
    #[must_use]
    pub fn used(&self) -> Nanos {
        self.stats().read().used.unwrap_or(self.created).max(self.created)
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

/// The index of a ukey in [`Ukeys`].
pub(crate) type Slot = usize;

/// The ukeys of installed megaflows: found by core and ufid, walked by slot.
///
/// Slots are stable while ukeys come and go, so the revalidator's walk can stop anywhere and go on
/// later; a ukey made meanwhile in a slot already passed is younger than the round.
#[derive(Debug)]
pub struct Ukeys {
    slots: Vec<Option<Ukey>>,
    /// Empty slots; the lowest is filled first, so that the last ones can go.
    free: BTreeSet<Slot>,
    by_ufid: BTreeMap<(CoreId, Ufid), Slot>,
    /// Counts them.
    quota: Arc<FlowQuota>,
}

impl Ukeys {
    /// None yet.
    pub(crate) fn new(quota: Arc<FlowQuota>) -> Self {
        Self { slots: Vec::new(), free: BTreeSet::new(), by_ufid: BTreeMap::new(), quota }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_ufid.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ufid.is_empty()
    }

    /// One past the last slot.
    pub(crate) fn end(&self) -> Slot {
        self.slots.len()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Ukey> {
        self.slots.get(slot)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Ukey> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// The slot of the megaflow `ufid` on `core`.
    pub(crate) fn find(&self, core: CoreId, ufid: Ufid) -> Option<Slot> {
        self.by_ufid.get(&(core, ufid)).copied()
    }

    /// Makes a ukey visible. There must be none of its name.
    pub(crate) fn insert(&mut self, mut ukey: Ukey) {
        ukey.transition(UkeyState::Visible);
        let name = (ukey.core, ukey.megaflow.ufid);
        self.quota.add(ukey.megaflow.in_port());
        let slot = self.free.pop_first().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.by_ufid.insert(name, slot);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(ukey);
        }
    }

    /// Takes a ukey out.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Ukey> {
        let ukey = self.slots.get_mut(slot)?.take()?;
        self.by_ufid.remove(&(ukey.core, ukey.megaflow.ufid));
        self.quota.sub(ukey.megaflow.in_port());
        self.free.insert(slot);
        while let Some(None) = self.slots.last() {
            self.slots.pop();
            self.free.remove(&self.slots.len());
        }
        if self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
        Some(ukey)
    }

    /// Puts another conclusion in the place of the ukey in `slot`; returns the old one.
    pub(crate) fn replace(&mut self, slot: Slot, mut ukey: Ukey) -> Option<Ukey> {
        ukey.transition(UkeyState::Visible);
        self.slots.get_mut(slot)?.replace(ukey)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Ukey> {
        self.slots.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Ukey> {
        self.slots.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::UkeyState::{Created, Deleted, Evicted, Evicting, Operational, Visible};
    use super::*;
    use flow::{Flow, Mask};

    #[test]
    fn slots_go_when_ukeys_do() {
        let mut ukeys = Ukeys::new(Arc::new(FlowQuota::new(1000)));
        for port in 0..1000 {
            let mut flow = Flow::ZERO;
            flow.set_in_port(port);
            let mut mask = Mask::ZERO;
            mask.set_exact(flow::Field::InPort);
            let megaflow = Arc::new(Megaflow::new(&flow, mask, Arc::new([])));
            let (names, now) = (Names::default(), Nanos::ZERO);
            ukeys.insert(Ukey::new(
                CoreId(0),
                megaflow,
                Box::new([]),
                Deps::default(),
                0,
                names,
                now,
            ));
        }
        let holes = (0..1000).filter(|slot| slot % 100 != 0);
        holes.for_each(|slot| drop(ukeys.remove(slot)));
        assert_eq!((ukeys.len(), ukeys.end()), (10, 901));
        (100..=900).step_by(100).for_each(|slot| drop(ukeys.remove(slot)));
        assert_eq!((ukeys.len(), ukeys.end(), ukeys.free.len()), (1, 1, 0));
        assert!(ukeys.slots.capacity() < 100, "memory of a peak is given back");
        assert_eq!(ukeys.quota.total(), 1);
    }

    #[test]
    fn only_the_drawn_edges_exist() {
        let states = [Created, Visible, Operational, Evicting, Evicted, Deleted];
        let edges = [
            (Created, Visible),
            (Created, Deleted),
            (Visible, Deleted),
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
