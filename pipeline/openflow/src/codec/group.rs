//! Groups (1.3.5 §7.3.4.2; statistics §7.3.5.8 to §7.3.5.10).

use alloc::vec::Vec;

use super::action;
use super::wire::{Put, Reader, Result};
use crate::{
    Bucket, GROUP_MAX, GroupCapabilities, GroupDesc, GroupFeatures, GroupMod, GroupModCommand,
    GroupStats, GroupType, OfErrorKind, OfPort, Version,
};

/// Bytes of a bucket before its actions.
const BUCKET_BYTES: usize = 16;

pub(super) fn read_mod(r: &mut Reader<'_>, version: Version) -> Result<GroupMod> {
    let command = match r.u16()? {
        0 => GroupModCommand::Add,
        1 => GroupModCommand::Modify,
        2 => GroupModCommand::Delete,
        _ => return Err(OfErrorKind::GroupModBadCommand),
    };
    let group_type = group_type(r.u8()?)?;
    r.skip(1)?;
    let group_id = r.u32()?;
    let buckets = read_buckets(r, version)?;
    check_mod(command, group_type, group_id, &buckets)?;
    Ok(GroupMod { command, group_type, group_id, buckets })
}

/// What is wrong whatever groups there are (§6.4, §7.3.4.2).
fn check_mod(
    command: GroupModCommand,
    group_type: GroupType,
    group_id: u32,
    buckets: &[Bucket],
) -> Result<()> {
    if command == GroupModCommand::Delete {
        return Ok(());
    }
    if group_id > GROUP_MAX {
        return Err(OfErrorKind::GroupModInvalidGroup);
    }
    if group_type == GroupType::Indirect && buckets.len() != 1 {
        return Err(OfErrorKind::GroupModInvalidGroup);
    }
    for bucket in buckets {
        if bucket.weight != 0 && group_type != GroupType::Select {
            return Err(OfErrorKind::GroupModInvalidGroup);
        }
        let is_watched = bucket.watch_port != OfPort::ANY || bucket.watch_group != crate::GROUP_ANY;
        if group_type == GroupType::FastFailover && !is_watched {
            return Err(OfErrorKind::GroupModInvalidGroup);
        }
    }
    Ok(())
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

pub(super) fn put_mod(out: &mut Vec<u8>, group: &GroupMod, version: Version) {
    out.u16(group.command as u16);
    out.u8(group.group_type as u8);
    out.zeros(1);
    out.u32(group.group_id);
    put_buckets(out, &group.buckets, version);
}

fn read_buckets(r: &mut Reader<'_>, version: Version) -> Result<Vec<Bucket>> {
    let bad_bucket = OfErrorKind::GroupModBadBucket;
    let mut buckets = Vec::new();
    while !r.is_empty() {
        let mut header = *r;
        let len = usize::from(header.u16().map_err(|_| bad_bucket)?);
        if len < BUCKET_BYTES || len % 8 != 0 {
            return Err(bad_bucket);
        }
        let mut bucket = r.sub(len, bad_bucket)?;
        bucket.skip(2)?;
        let weight = bucket.u16()?;
        let watch_port = OfPort(bucket.u32()?);
        let watch_group = bucket.u32()?;
        bucket.skip(4)?;
        let list = Reader::new(bucket.take_all(), OfErrorKind::ActionBadLen);
        let actions = action::read_actions(list, version)?;
        buckets.push(Bucket { weight, watch_port, watch_group, actions });
    }
    Ok(buckets)
}

fn put_buckets(out: &mut Vec<u8>, buckets: &[Bucket], version: Version) {
    for bucket in buckets {
        let start = out.len();
        out.u16(0);
        out.u16(bucket.weight);
        out.u32(bucket.watch_port.0);
        out.u32(bucket.watch_group);
        out.zeros(4);
        action::put_actions(out, &bucket.actions, None, version);
        out.patch_len(start, start);
    }
}

pub(super) fn read_desc(r: &mut Reader<'_>, version: Version) -> Result<GroupDesc> {
    let len = usize::from(r.u16()?);
    let group_type = group_type(r.u8()?)?;
    r.skip(1)?;
    let group_id = r.u32()?;
    let body = len.checked_sub(8).ok_or(OfErrorKind::RequestBadLen)?;
    let mut body = r.sub(body, OfErrorKind::RequestBadLen)?;
    Ok(GroupDesc { group_type, group_id, buckets: read_buckets(&mut body, version)? })
}

pub(super) fn put_desc(out: &mut Vec<u8>, desc: &GroupDesc, version: Version) {
    let start = out.len();
    out.u16(0);
    out.u8(desc.group_type as u8);
    out.zeros(1);
    out.u32(desc.group_id);
    put_buckets(out, &desc.buckets, version);
    out.patch_len(start, start);
}

pub(super) fn read_stats(r: &mut Reader<'_>) -> Result<GroupStats> {
    const FIXED_BYTES: usize = 40;
    let len = usize::from(r.u16()?);
    r.skip(2)?;
    let group_id = r.u32()?;
    let ref_count = r.u32()?;
    r.skip(4)?;
    let (packet_count, byte_count) = (r.u64()?, r.u64()?);
    let (duration_sec, duration_nsec) = (r.u32()?, r.u32()?);
    let body = len.checked_sub(FIXED_BYTES).ok_or(OfErrorKind::RequestBadLen)?;
    let mut body = r.sub(body, OfErrorKind::RequestBadLen)?;
    let mut buckets = Vec::new();
    while !body.is_empty() {
        buckets.push((body.u64()?, body.u64()?));
    }
    Ok(GroupStats {
        group_id,
        ref_count,
        packet_count,
        byte_count,
        duration_sec,
        duration_nsec,
        buckets,
    })
}

pub(super) fn put_stats(out: &mut Vec<u8>, stats: &GroupStats) {
    let start = out.len();
    out.u16(0);
    out.zeros(2);
    out.u32(stats.group_id);
    out.u32(stats.ref_count);
    out.zeros(4);
    out.u64(stats.packet_count);
    out.u64(stats.byte_count);
    out.u32(stats.duration_sec);
    out.u32(stats.duration_nsec);
    for (packets, bytes) in &stats.buckets {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.patch_len(start, start);
}

pub(super) fn read_features(r: &mut Reader<'_>) -> Result<GroupFeatures> {
    let types = r.u32()?;
    let capabilities = GroupCapabilities::from_bits_truncate(r.u32()?);
    let mut four = || -> Result<[u32; 4]> { Ok([r.u32()?, r.u32()?, r.u32()?, r.u32()?]) };
    Ok(GroupFeatures { types, capabilities, max_groups: four()?, actions: four()? })
}

pub(super) fn put_features(out: &mut Vec<u8>, features: &GroupFeatures) {
    out.u32(features.types);
    out.u32(features.capabilities.bits());
    for number in features.max_groups.iter().chain(&features.actions) {
        out.u32(*number);
    }
}
