//! Groups (OpenFlow 1.3.5 §5.6 and §6.4): ways to go on that rules share.
//!
//! # What
//! A group has buckets, each an action set that runs on its own copy of the packet. *All* runs every
//! bucket, *indirect* its only one, *select* one that a hash picks in proportion to weights
//! (`choose.rs`), *fast failover* the first live one (`liveness.rs`). `change.rs` has the group-mods,
//! `translate/group.rs` what a group does to a flow.
//!
//! # What changes and what does not
//! As a rule, a group is immutable but for its counters: a group-mod puts another in its place. The
//! group's own counters go on in its successor, a bucket's where buckets are inserted or removed
//! around it; a modify begins the buckets' anew (1.3.5 §6.4). Packets of cached flows are credited
//! to the counters that the conclusion saw, so none is lost to a change.
//!
//! # Bounds
//! [`MAX_GROUPS`] groups and [`MAX_BUCKETS`] buckets in all. What a group leads to, through other
//! groups or by watching them, never leads back to it; a change that would make it so is refused
//! (`OFPGMFC_LOOP`, ahead of Open vSwitch).
//!
//! # Concurrency
//! Part of the bridge's state: changed by the control core alone, read by every core that
//! translates. Counters are written by the control core alone.

mod change;
pub(crate) mod choose;
mod liveness;
mod stats;

pub(crate) use change::groups_of;
pub(crate) use liveness::Liveness;

use crate::translate::ordered_actions;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use choose::Chooser;
use openflow::{Action, Bucket, GROUP_ANY, GroupDesc, GroupType, OfErrorKind, Selection};
use sync::counter::Counter;
use sync::time::Nanos;

/// Groups that can be, of all types together. (Open vSwitch says 0xffffff00 and has no bound.)
pub const MAX_GROUPS: usize = 1 << 18;
/// Buckets that can be, in all groups together; 64 slots of select groups count as one.
pub const MAX_BUCKETS: usize = 1 << 20;
/// Buckets that one group can have: as many as a group-mod can bring.
pub const MAX_BUCKETS_PER_GROUP: usize = 4096;
/// Groups that one can lead to through others.
const MAX_REACHED: usize = 1024;

/// Packets and bytes.
#[derive(Debug, Default)]
pub struct PacketCounts {
    packets: Counter,
    bytes: Counter,
}

impl PacketCounts {
    /// Credits packets.
    pub fn credit(&self, n_packets: u64, n_bytes: u64) {
        self.packets.add(n_packets);
        self.bytes.add(n_bytes);
    }

    /// Packets credited.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.get()
    }

    /// Bytes credited.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

/// A bucket with what translation needs of it.
#[derive(Clone, Debug)]
pub struct GroupBucket {
    /// As it was set.
    pub desc: Bucket,
    /// Its actions in the order of execution.
    pub(crate) list: Arc<[Action]>,
    pub(crate) counts: Arc<PacketCounts>,
}

/// A group; see the module.
#[derive(Debug)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// How it works.
    pub group_type: GroupType,
    /// Its buckets, in order.
    pub buckets: Box<[GroupBucket]>,
    /// How it chooses, as it was set.
    pub selection: Selection,
    /// When it was added.
    pub created: Nanos,
    pub(crate) counts: Arc<PacketCounts>,
    pub(crate) chooser: Option<Chooser>,
}

/// Groups are alike for a translation when they do the same.
impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        let alike = |(a, b): (&GroupBucket, &GroupBucket)| a.desc == b.desc;
        core::ptr::eq(self, other)
            || (self.id == other.id
                && self.group_type == other.group_type
                && self.selection == other.selection
                && self.buckets.len() == other.buckets.len()
                && self.buckets.iter().zip(&other.buckets).all(alike))
    }
}

impl Eq for Group {}

impl Group {
    /// A group with these buckets, whose counters begin.
    fn new(
        id: u32,
        group_type: GroupType,
        selection: Selection,
        buckets: Vec<Bucket>,
        now: Nanos,
    ) -> Result<Self, OfErrorKind> {
        let buckets: Result<Box<[GroupBucket]>, OfErrorKind> = buckets
            .into_iter()
            .map(|desc| {
                let list = ordered_actions(&desc.actions).ok_or(OfErrorKind::ActionTooMany)?;
                Ok(GroupBucket { list: list.into(), desc, counts: Arc::default() })
            })
            .collect();
        let buckets = buckets?;
        let chooser = (group_type == GroupType::Select).then(|| Chooser::new(&selection, &buckets));
        Ok(Self {
            id,
            group_type,
            buckets,
            selection,
            created: now,
            counts: Arc::default(),
            chooser,
        })
    }

    /// As a description request shows it.
    #[must_use]
    pub fn desc(&self) -> GroupDesc {
        GroupDesc {
            group_type: self.group_type,
            group_id: self.id,
            buckets: self.buckets.iter().map(|bucket| bucket.desc.clone()).collect(),
            selection: self.selection.clone(),
        }
    }

    /// What it takes of [`MAX_BUCKETS`].
    fn size(&self) -> usize {
        self.buckets.len() + self.chooser.as_ref().map_or(0, Chooser::n_slots) / 64
    }

    /// The groups that it leads to or watches.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = u32> {
        self.buckets.iter().flat_map(|bucket| neighbours(&bucket.desc))
    }
}

/// The groups that a bucket leads to or watches.
fn neighbours(bucket: &Bucket) -> impl Iterator<Item = u32> {
    let watched = (bucket.watch_group != GROUP_ANY).then_some(bucket.watch_group);
    groups_in(&bucket.actions).into_iter().chain(watched)
}

/// The groups that actions name.
pub(crate) fn groups_in(actions: &[Action]) -> Vec<u32> {
    let named = actions.iter().flat_map(|action| match action {
        Action::Group(group) => Vec::from([*group]),
        Action::Clone(inner) => groups_in(inner),
        _ => Vec::new(),
    });
    named.collect()
}

/// The groups of a bridge.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    by_id: BTreeMap<u32, Arc<Group>>,
    n_buckets: usize,
}

impl Groups {
    /// The group with this number.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<&Arc<Group>> {
        self.by_id.get(&id)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.by_id.values()
    }

    /// Those from a number on, by number.
    pub fn from(&self, id: u32) -> impl Iterator<Item = &Arc<Group>> {
        self.by_id.range(id..).map(|(_, group)| group)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Puts a group in its place; the one that was there.
    pub(crate) fn put(&mut self, group: Arc<Group>) -> Option<Arc<Group>> {
        self.n_buckets += group.size();
        let old = self.by_id.insert(group.id, group);
        self.forget(old)
    }

    /// Takes a group out.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Arc<Group>> {
        let old = self.by_id.remove(&id);
        self.forget(old)
    }

    fn forget(&mut self, old: Option<Arc<Group>>) -> Option<Arc<Group>> {
        if let Some(old) = &old {
            self.n_buckets -= old.size();
        }
        old
    }

    /// Whether a group in the place of its number would fit and lead to no loop.
    fn check(&self, group: &Group) -> Result<(), OfErrorKind> {
        let old = self.get(group.id);
        if old.is_none() && self.len() >= MAX_GROUPS {
            return Err(OfErrorKind::GroupModOutOfGroups);
        }
        let n_others = self.n_buckets - old.map_or(0, |old| old.size());
        let is_too_long = group.buckets.len() > MAX_BUCKETS_PER_GROUP;
        if is_too_long || n_others + group.size() > MAX_BUCKETS {
            return Err(OfErrorKind::GroupModOutOfBuckets);
        }
        self.check_reach(group)
    }

    /// Walks over all groups that this one leads to or watches.
    fn check_reach(&self, group: &Group) -> Result<(), OfErrorKind> {
        let mut reached = BTreeSet::new();
        let mut to_visit: Vec<u32> = group.neighbours().collect();
        while let Some(id) = to_visit.pop() {
            if id == group.id {
                return Err(OfErrorKind::GroupModLoop);
            }
            if !reached.insert(id) {
                continue;
            }
            if reached.len() > MAX_REACHED {
                return Err(OfErrorKind::GroupModChainingUnsupported);
            }
            if let Some(next) = self.get(id) {
                to_visit.extend(next.neighbours());
            }
        }
        Ok(())
    }
}
