//! Groups (1.3.5 §7.3.4.2; statistics §7.3.5.8 to §7.3.5.10; 1.5.1 §7.3.4.3 and §7.3.5.9).
//!
//! Two forms of a group exist: that of 1.1 to 1.4, and that of 1.5, which Nicira also gives to 1.0.
//! In the second, buckets have numbers, and weight and watches are properties ([`bucket`]); how a
//! select group chooses is a property of the group ([`selection`]).

mod bucket;
mod selection;
mod stats;

pub(super) use stats::{put_features, put_stats, read_features, read_stats};

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, BUCKET_MAX, Bucket, GROUP_MAX, GroupDesc, GroupMod,
    GroupModCommand, GroupType, OfErrorKind, Selection, Version,
};

/// Whether groups have the form of 1.5.
fn has_numbered_buckets(version: Version) -> bool {
    matches!(version, Version::V10 | Version::V15)
}

pub(super) fn read_mod(r: &mut Reader<'_>, version: Version) -> Result<GroupMod> {
    let command = command(r.u16()?)?;
    let group_type = group_type(r.u8()?)?;
    r.skip(1)?;
    let group_id = r.u32()?;
    let mut group = GroupMod { command, group_type, group_id, ..GroupMod::default() };
    if has_numbered_buckets(version) {
        let len = usize::from(r.u16()?);
        r.skip(2)?;
        group.command_bucket_id = r.u32()?;
        check_command_bucket(command, group.command_bucket_id)?;
        let mut buckets = r.sub(len, OfErrorKind::RequestBadLen)?;
        group.buckets = bucket::read_numbered(&mut buckets, group_type, version)?;
        group.selection = selection::read(r, group_type, command)?;
    } else {
        let has_command = command.sets_group() || command == GroupModCommand::Delete;
        if !has_command {
            return Err(OfErrorKind::GroupModBadCommand);
        }
        group.buckets = bucket::read_plain(r, version)?;
    }
    check_mod(&group, version)?;
    Ok(group)
}

pub(super) fn put_mod(out: &mut Vec<u8>, group: &GroupMod, version: Version) {
    out.u16(group.command as u16);
    out.u8(group.group_type as u8);
    out.zeros(1);
    out.u32(group.group_id);
    if has_numbered_buckets(version) {
        let len_at = out.len();
        out.zeros(4);
        out.u32(group.command_bucket_id);
        let start = out.len();
        bucket::put_numbered(out, &group.buckets, group.group_type, version);
        out.patch_len(len_at, start);
        selection::put(out, &group.selection, version);
    } else {
        bucket::put_plain(out, &group.buckets, version);
    }
}

fn command(wire: u16) -> Result<GroupModCommand> {
    let known = GroupModCommand::ALL.into_iter().find(|command| *command as u16 == wire);
    known.ok_or(OfErrorKind::GroupModBadCommand)
}

fn group_type(wire: u8) -> Result<GroupType> {
    Ok(match wire {
        0 => GroupType::All,
        1 => GroupType::Select,
        2 => GroupType::Indirect,
        3 => GroupType::FastFailover,
        _ => return Err(OfErrorKind::GroupModBadType),
    })
}

/// Which buckets a command can name.
fn check_command_bucket(command: GroupModCommand, id: u32) -> Result<()> {
    let is_one = id <= BUCKET_MAX || matches!(id, BUCKET_FIRST | BUCKET_LAST);
    let is_right = match command {
        GroupModCommand::InsertBucket => is_one,
        GroupModCommand::RemoveBucket => is_one || id == BUCKET_ALL,
        _ => id == BUCKET_ALL,
    };
    if is_right { Ok(()) } else { Err(OfErrorKind::GroupModBadBucket) }
}

/// What is wrong whatever groups there are (1.3.5 §6.4, §7.3.4.2). Buckets that are inserted are
/// checked against the group's type by whoever knows it.
fn check_mod(group: &GroupMod, version: Version) -> Result<()> {
    match group.command {
        GroupModCommand::Delete => {
            let must_be_empty = version >= Version::V13;
            if must_be_empty && !group.buckets.is_empty() {
                return Err(OfErrorKind::GroupModInvalidGroup);
            }
            Ok(())
        }
        GroupModCommand::RemoveBucket if !group.buckets.is_empty() => {
            Err(OfErrorKind::GroupModBadBucket)
        }
        _ if group.group_id > GROUP_MAX => Err(OfErrorKind::GroupModInvalidGroup),
        GroupModCommand::InsertBucket | GroupModCommand::RemoveBucket => Ok(()),
        _ => group.group_type.check_buckets(&group.buckets),
    }
}

impl GroupType {
    /// What is wrong with buckets of a group of this type (1.3.5 §6.4, §7.3.4.2).
    ///
    /// # Errors
    /// The specification's reason to refuse them.
    pub fn check_buckets(self, buckets: &[Bucket]) -> core::result::Result<(), OfErrorKind> {
        if self == GroupType::Indirect && buckets.len() != 1 {
            return Err(OfErrorKind::GroupModInvalidGroup);
        }
        for bucket in buckets {
            // Select buckets must have a share, others cannot.
            if (bucket.weight != 0) != (self == GroupType::Select) {
                return Err(OfErrorKind::GroupModInvalidGroup);
            }
            match self {
                GroupType::All | GroupType::Indirect if bucket.has_liveness() => {
                    return Err(OfErrorKind::GroupModWatchUnsupported);
                }
                GroupType::FastFailover if !bucket.has_liveness() => {
                    return Err(OfErrorKind::GroupModInvalidGroup);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) fn read_desc(r: &mut Reader<'_>, version: Version) -> Result<GroupDesc> {
    const HEADER_BYTES: usize = 8;
    let len = usize::from(r.u16()?);
    let group_type = group_type(r.u8()?)?;
    r.skip(1)?;
    let group_id = r.u32()?;
    let body = len.checked_sub(HEADER_BYTES).ok_or(OfErrorKind::RequestBadLen)?;
    let mut body = r.sub(body, OfErrorKind::RequestBadLen)?;
    let (buckets, selection) = if has_numbered_buckets(version) {
        let len = usize::from(body.u16()?);
        body.skip(6)?;
        let mut buckets = body.sub(len, OfErrorKind::RequestBadLen)?;
        let buckets = bucket::read_numbered(&mut buckets, group_type, version)?;
        (buckets, selection::read(&mut body, group_type, GroupModCommand::Add)?)
    } else {
        (bucket::read_plain(&mut body, version)?, Selection::default())
    };
    Ok(GroupDesc { group_type, group_id, buckets, selection })
}

pub(super) fn put_desc(out: &mut Vec<u8>, desc: &GroupDesc, version: Version) {
    let start = out.len();
    out.u16(0);
    out.u8(desc.group_type as u8);
    out.zeros(1);
    out.u32(desc.group_id);
    if has_numbered_buckets(version) {
        let len_at = out.len();
        out.zeros(8);
        let buckets = out.len();
        bucket::put_numbered(out, &desc.buckets, desc.group_type, version);
        out.patch_len(len_at, buckets);
        selection::put(out, &desc.selection, version);
    } else {
        bucket::put_plain(out, &desc.buckets, version);
    }
    out.patch_len(start, start);
}
