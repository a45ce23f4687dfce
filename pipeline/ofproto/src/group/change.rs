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
use crate::change::Change;
use crate::check::{Known, check_bucket};
use crate::rule::Rule;
use crate::sweep::Sweep;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use openflow::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, Bucket, GROUP_ALL, GroupMod, GroupModCommand, GroupType,
    OfErrorKind, Version,
};
use sync::time::Nanos;

/// What a group-mod comes to.
enum Effect {
    /// This group in its place.
    Put(Group),
    /// These go.
    Delete(Vec<u32>),
}

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
        match effect(group_mod, Known::now(&self.state), version, now)? {
            Effect::Put(group) => {
                self.check_room_for(&group)?;
                let id = group.id;
                let group = Arc::new(group);
                let old = self.state.write().groups.put(group);
                drop(old);
                self.changes.group_changed(id);
            }
            Effect::Delete(ids) => {
                if !ids.is_empty() {
                    let mut change = self.begin_change();
                    let sweep = self.sweep_of_group(group_mod.group_id);
                    self.sweep_at_once(&mut change, Ok(Some(Box::new(sweep))), now)?;
                    self.commit(change, now);
                }
                for id in ids {
                    let old = self.state.write().groups.remove(id);
                    drop(old);
                    self.changes.group_changed(id);
                }
            }
        }
        Ok(())
    }

    /// Executes a group-mod as part of a change. One that deletes comes to a sweep that is to be made.
    ///
    /// # Errors
    /// The reason to refuse it; the change is to be taken back then.
    pub(crate) fn stage_group_mod(
        &mut self,
        change: &mut Change,
        group_mod: &GroupMod,
        version: Version,
        now: Nanos,
    ) -> Result<Option<Sweep>, OfErrorKind> {
        match effect(group_mod, Known::after(change, &self.state), version, now)? {
            Effect::Put(group) => {
                self.check_room_for(&group)?;
                self.stage_group(change, group);
            }
            Effect::Delete(ids) => {
                self.stage_group_removal(change, &ids);
                return Ok((!ids.is_empty()).then(|| self.sweep_of_group(group_mod.group_id)));
            }
        }
        Ok(None)
    }
}

/// What a group-mod comes to, among what there is.
fn effect(
    group_mod: &GroupMod,
    known: Known<'_>,
    version: Version,
    now: Nanos,
) -> Result<Effect, OfErrorKind> {
    let old = known.groups.get(group_mod.group_id);
    let group = match (group_mod.command, old) {
        (GroupModCommand::Delete, _) => {
            let ids = match group_mod.group_id {
                GROUP_ALL => known.groups.iter().map(|group| group.id).collect(),
                id => old.map(|_| id).into_iter().collect(),
            };
            return Ok(Effect::Delete(ids));
        }
        (GroupModCommand::Add, Some(_)) => return Err(OfErrorKind::GroupModExists),
        (GroupModCommand::Add | GroupModCommand::AddOrModify, None) => {
            make_group(group_mod, known, version, now)?
        }
        (_, None) => return Err(OfErrorKind::GroupModUnknownGroup),
        (GroupModCommand::Modify | GroupModCommand::AddOrModify, Some(old)) => {
            let mut group = make_group(group_mod, known, version, now)?;
            group.created = old.created;
            group.counts = Arc::clone(&old.counts);
            group
        }
        (GroupModCommand::InsertBucket | GroupModCommand::RemoveBucket, Some(old)) => {
            change_buckets(group_mod, old, known, version)?
        }
    };
    known.groups.check(&group)?;
    Ok(Effect::Put(group))
}

/// The group that a message describes.
fn make_group(
    group_mod: &GroupMod,
    known: Known<'_>,
    version: Version,
    now: Nanos,
) -> Result<Group, OfErrorKind> {
    let GroupMod { group_id, group_type, selection, buckets, .. } = group_mod;
    if *group_id > openflow::GROUP_MAX {
        return Err(OfErrorKind::GroupModInvalidGroup);
    }
    group_type.check_buckets(buckets)?;
    for bucket in buckets {
        check_bucket(&bucket.actions, version, known)?;
    }
    Group::new(*group_id, *group_type, selection.clone(), buckets.clone(), now)
}

/// Inserts or removes buckets. Type and selection stay, and so do the counters of the buckets that
/// stay.
fn change_buckets(
    group_mod: &GroupMod,
    old: &Group,
    known: Known<'_>,
    version: Version,
) -> Result<Group, OfErrorKind> {
    let buckets = if group_mod.command == GroupModCommand::InsertBucket {
        for bucket in &group_mod.buckets {
            check_bucket(&bucket.actions, version, known)?;
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
    Ok(group)
}

/// The groups that a rule uses.
pub(crate) fn groups_of(rule: &Rule) -> impl Iterator<Item = u32> {
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
