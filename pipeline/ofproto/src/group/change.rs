//! Group-mods (OpenFlow 1.3.5 §6.4 and §7.3.4.2, 1.5.1 §7.3.4.3).
//!
//! # All or nothing
//! The group as it would be is made and checked first; then it takes its place at one instant.
//!
//! # Deleting
//! With a group go the rules that use it, reported as `OFPRR_GROUP_DELETE`. Buckets of other groups
//! that name it stay and do nothing, as in Open vSwitch: groups can be set in any order.

use super::{Group, groups_in};
use crate::bridge::Bridge;
use crate::check::check_bucket;
use crate::rule::Rule;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use openflow::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, Bucket, FlowRemovedReason, GROUP_ALL, GroupMod,
    GroupModCommand, GroupType, OfErrorKind, TABLE_ALL, Version,
};
use sync::time::Nanos;

impl Bridge {
    /// Executes a group-mod of a peer that speaks `version`.
    ///
    /// # Errors
    /// The reason to refuse it; nothing has changed then.
    pub fn group_mod(
        &mut self,
        group_mod: &GroupMod,
        version: Version,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        // What a bundle prepares counts on the groups that there are.
        self.finish_bundles(now);
        let old = self.state.groups.get(group_mod.group_id).cloned();
        match (group_mod.command, old) {
            (GroupModCommand::Delete, _) => {
                self.delete_groups(group_mod.group_id, now);
                Ok(())
            }
            (GroupModCommand::Add, Some(_)) => Err(OfErrorKind::GroupModExists),
            (GroupModCommand::Add | GroupModCommand::AddOrModify, None) => {
                let group = self.make_group(group_mod, version, now)?;
                self.put_group(group)
            }
            (_, None) => Err(OfErrorKind::GroupModUnknownGroup),
            (GroupModCommand::Modify | GroupModCommand::AddOrModify, Some(old)) => {
                let mut group = self.make_group(group_mod, version, now)?;
                group.created = old.created;
                group.counts = Arc::clone(&old.counts);
                self.put_group(group)
            }
            (GroupModCommand::InsertBucket | GroupModCommand::RemoveBucket, Some(old)) => {
                self.change_buckets(group_mod, &old, version)
            }
        }
    }

    /// The group that a message describes.
    fn make_group(
        &self,
        group_mod: &GroupMod,
        version: Version,
        now: Nanos,
    ) -> Result<Group, OfErrorKind> {
        let GroupMod { group_id, group_type, selection, buckets, .. } = group_mod;
        if *group_id > openflow::GROUP_MAX {
            return Err(OfErrorKind::GroupModInvalidGroup);
        }
        group_type.check_buckets(buckets)?;
        for bucket in buckets {
            check_bucket(&bucket.actions, version, &self.state)?;
        }
        Group::new(*group_id, *group_type, selection.clone(), buckets.clone(), now)
    }

    /// Puts a group in its place.
    fn put_group(&mut self, group: Group) -> Result<(), OfErrorKind> {
        self.state.groups.check(&group)?;
        let id = group.id;
        let group = Arc::new(group);
        let old = self.state.write().groups.put(group);
        drop(old);
        self.changes.group_changed(id);
        Ok(())
    }

    /// Inserts or removes buckets. Type and selection stay, and so do the counters of the buckets
    /// that stay.
    fn change_buckets(
        &mut self,
        group_mod: &GroupMod,
        old: &Group,
        version: Version,
    ) -> Result<(), OfErrorKind> {
        let buckets = if group_mod.command == GroupModCommand::InsertBucket {
            for bucket in &group_mod.buckets {
                check_bucket(&bucket.actions, version, &self.state)?;
            }
            with_inserted(old, &group_mod.buckets, group_mod.command_bucket_id)?
        } else {
            without(old, group_mod.command_bucket_id)?
        };
        old.group_type.check_buckets(&buckets)?;
        let mut group =
            Group::new(old.id, old.group_type, old.selection.clone(), buckets, old.created)?;
        group.counts = Arc::clone(&old.counts);
        for bucket in &mut group.buckets {
            let id = bucket.desc.bucket_id;
            if let Some(old) = old.buckets.iter().find(|old| old.desc.bucket_id == id) {
                bucket.counts = Arc::clone(&old.counts);
            }
        }
        self.put_group(group)
    }

    /// Deletes a group, or all, with the rules that use them.
    fn delete_groups(&mut self, id: u32, now: Nanos) {
        let doomed = |group: u32| id == GROUP_ALL || group == id;
        if id != GROUP_ALL && self.state.groups.get(id).is_none() {
            return;
        }
        let rules = self.state.tables.collect(TABLE_ALL, |rule| groups_of(rule).any(doomed));
        self.remove_rules(&rules, FlowRemovedReason::GroupDelete, now);
        let ids: Vec<u32> = match id {
            GROUP_ALL => self.state.groups.iter().map(|group| group.id).collect(),
            _ => [id].into(),
        };
        for id in ids {
            let old = self.state.write().groups.remove(id);
            drop(old);
            self.changes.group_changed(id);
        }
    }
}

/// The groups that a rule uses.
pub(super) fn groups_of(rule: &Rule) -> impl Iterator<Item = u32> {
    let instructions = &rule.instructions;
    groups_in(&instructions.apply).into_iter().chain(groups_in(&instructions.write))
}

/// The buckets of `old` with others behind the one that the command names, or at an end.
fn with_inserted(old: &Group, new: &[Bucket], place: u32) -> Result<Vec<Bucket>, OfErrorKind> {
    let mut buckets: Vec<Bucket> = old.buckets.iter().map(|bucket| bucket.desc.clone()).collect();
    let at = match place {
        BUCKET_FIRST => 0,
        BUCKET_LAST => buckets.len(),
        id => {
            let found = buckets.iter().position(|bucket| bucket.bucket_id == id);
            found.ok_or(OfErrorKind::GroupModUnknownBucket)? + 1
        }
    };
    let mut ids: BTreeSet<u32> = buckets.iter().map(|bucket| bucket.bucket_id).collect();
    if !new.iter().all(|bucket| ids.insert(bucket.bucket_id)) {
        return Err(OfErrorKind::GroupModBucketExists);
    }
    let new = new.iter().cloned().map(|mut bucket| {
        // `ovs-ofctl insert-buckets` does not know the group's type, and so says no weight.
        if old.group_type == GroupType::Select && bucket.weight == 0 {
            bucket.weight = 1;
        }
        bucket
    });
    buckets.splice(at..at, new);
    Ok(buckets)
}

/// The buckets of `old` without the one that the command names, or none.
fn without(old: &Group, place: u32) -> Result<Vec<Bucket>, OfErrorKind> {
    let mut buckets: Vec<Bucket> = old.buckets.iter().map(|bucket| bucket.desc.clone()).collect();
    match place {
        BUCKET_ALL => buckets.clear(),
        // There may be none: then none goes, as in Open vSwitch.
        BUCKET_FIRST => drop(buckets.drain(..buckets.len().min(1))),
        BUCKET_LAST => drop(buckets.pop()),
        id => {
            let found = buckets.iter().position(|bucket| bucket.bucket_id == id);
            buckets.remove(found.ok_or(OfErrorKind::GroupModUnknownBucket)?);
        }
    }
    Ok(buckets)
}
