//! What is told about groups (OpenFlow 1.3.5 §7.3.5.8 to §7.3.5.10).

use super::change::groups_of;
use super::{Group, MAX_GROUPS};
use crate::bridge::Bridge;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use openflow::{GROUP_ALL, GroupCapabilities, GroupDesc, GroupFeatures, GroupStats, TABLE_ALL};
use sync::time::Nanos;

impl Bridge {
    /// The statistics of a group, or of all for [`GROUP_ALL`]; nothing if there is no such group, as
    /// in Open vSwitch.
    pub fn group_stats(&mut self, id: u32, now: Nanos) -> Vec<GroupStats> {
        self.credit_cached(now);
        let groups = self.groups_named(id);
        let mut uses: BTreeMap<u32, u32> = BTreeMap::new();
        let mut count = |id| *uses.entry(id).or_default() += 1;
        for rule in self.state.tables.collect(TABLE_ALL, |_| true) {
            groups_of(&rule).for_each(&mut count);
        }
        for group in self.state.groups.iter() {
            group.neighbours().for_each(&mut count);
        }
        let stats = |group: Arc<Group>| {
            let age = now - group.created;
            let counters = group.buckets.iter().map(|bucket| &bucket.counts);
            GroupStats {
                group_id: group.id,
                ref_count: uses.get(&group.id).copied().unwrap_or(0),
                packet_count: group.counts.packets(),
                byte_count: group.counts.bytes(),
                duration_sec: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
                duration_nsec: age.subsec_nanos(),
                buckets: counters.map(|counts| (counts.packets(), counts.bytes())).collect(),
            }
        };
        groups.into_iter().map(stats).collect()
    }

    /// The descriptions of a group, or of all for [`GROUP_ALL`].
    #[must_use]
    pub fn group_descs(&self, id: u32) -> Vec<GroupDesc> {
        self.groups_named(id).into_iter().map(|group| group.desc()).collect()
    }

    /// What groups can do here.
    #[must_use]
    pub fn group_features(&self) -> GroupFeatures {
        /// Numbers of the standard actions that buckets take: output, copying TTLs not, MPLS TTL,
        /// pushing and popping, queue, group, IP TTL, set-field.
        const ACTIONS: u32 = 1
            | 1 << 15
            | 1 << 16
            | 1 << 17
            | 1 << 18
            | 1 << 19
            | 1 << 20
            | 1 << 21
            | 1 << 22
            | 1 << 23
            | 1 << 24
            | 1 << 25;
        GroupFeatures {
            types: 0xf,
            capabilities: GroupCapabilities::all(),
            max_groups: [u32::try_from(MAX_GROUPS).unwrap_or(u32::MAX); 4],
            actions: [ACTIONS; 4],
        }
    }

    fn groups_named(&self, id: u32) -> Vec<Arc<Group>> {
        match id {
            GROUP_ALL => self.state.groups.iter().cloned().collect(),
            _ => self.state.groups.get(id).cloned().into_iter().collect(),
        }
    }
}
