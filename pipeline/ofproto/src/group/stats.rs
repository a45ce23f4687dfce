//! What is told about groups (OpenFlow 1.3.5 §7.3.5.8 to §7.3.5.10).

use super::{Group, MAX_GROUPS};
use crate::bridge::Bridge;
use crate::census::{Census, Counted};
use alloc::sync::Arc;
use alloc::vec::Vec;
use openflow::{GROUP_ALL, GroupCapabilities, GroupDesc, GroupFeatures, GroupStats, Version};
use sync::time::Nanos;

impl Bridge {
    /// The statistics of a group, or of all for [`GROUP_ALL`]; nothing if there is no such group, as
    /// in Open vSwitch.
    pub fn group_stats(&mut self, id: u32, now: Nanos) -> Vec<GroupStats> {
        self.credit_cached(now);
        let census = self.census(Counted::Groups);
        self.groups_named(id).iter().map(|group| group.stats(&census, now)).collect()
    }

    /// The descriptions of a group, or of all for [`GROUP_ALL`].
    #[must_use]
    pub fn group_descs(&self, id: u32) -> Vec<GroupDesc> {
        self.groups_named(id).into_iter().map(|group| group.desc()).collect()
    }

    /// What groups can do here, in the terms of a version.
    #[must_use]
    pub fn group_features(&self, version: Version) -> GroupFeatures {
        GroupFeatures {
            types: 0xf,
            capabilities: GroupCapabilities::all(),
            max_groups: [u32::try_from(MAX_GROUPS).unwrap_or(u32::MAX); 4],
            actions: [bucket_actions(version); 4],
        }
    }

    fn groups_named(&self, id: u32) -> Vec<Arc<Group>> {
        match id {
            GROUP_ALL => self.state.groups.iter().cloned().collect(),
            _ => self.state.groups.get(id).cloned().into_iter().collect(),
        }
    }
}

impl Group {
    /// Its statistics, as they are known.
    #[must_use]
    pub fn stats(&self, census: &Census, now: Nanos) -> GroupStats {
        let age = now - self.created;
        let counters = self.buckets.iter().map(|bucket| &bucket.counts);
        GroupStats {
            group_id: self.id,
            ref_count: census.uses(self.id),
            packet_count: self.counts.packets(),
            byte_count: self.counts.bytes(),
            duration_sec: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
            duration_nsec: age.subsec_nanos(),
            buckets: counters.map(|counts| (counts.packets(), counts.bytes())).collect(),
        }
    }
}

/// The numbers that a version has for the actions that buckets take, one bit each.
fn bucket_actions(version: Version) -> u32 {
    let bits = |numbers: &[core::ops::RangeInclusive<u32>]| {
        numbers.iter().flat_map(Clone::clone).fold(0, |bits, number| bits | 1 << number)
    };
    match version {
        // All but enqueue, which no action set has (1.0.1 §5.2.4).
        Version::V10 => bits(&[0..=10]),
        // 1.1 §A.2.5.
        Version::V11 => bits(&[0..=24]),
        // Output, TTLs of MPLS and copied ones, tags and labels, queue, group, TTL, set-field (1.2 §A.2.5).
        Version::V12 => bits(&[0..=0, 11..=12, 15..=25]),
        // PBB too (1.3.5 §7.2.5).
        Version::V13 | Version::V14 => bits(&[0..=0, 11..=12, 15..=27]),
        // And copy-field and meter (1.5.1 §7.2.6).
        Version::V15 => bits(&[0..=0, 11..=12, 15..=29]),
    }
}
