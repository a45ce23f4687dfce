//! Statistics and abilities of groups (1.3.5 §7.3.5.8 and §7.3.5.10).

use alloc::vec::Vec;

use super::super::wire::{Put, Reader, Result};
use crate::{GroupCapabilities, GroupFeatures, GroupStats, OfErrorKind, Version};

/// Whether a version tells the age of groups.
fn has_age(version: Version) -> bool {
    !matches!(version, Version::V11 | Version::V12)
}

pub(crate) fn read_stats(r: &mut Reader<'_>, version: Version) -> Result<GroupStats> {
    let fixed_bytes = if has_age(version) { 40 } else { 32 };
    let len = usize::from(r.u16()?);
    r.skip(2)?;
    let group_id = r.u32()?;
    let ref_count = r.u32()?;
    r.skip(4)?;
    let (packet_count, byte_count) = (r.u64()?, r.u64()?);
    let (duration_sec, duration_nsec) =
        if has_age(version) { (r.u32()?, r.u32()?) } else { (0, 0) };
    let body = len.checked_sub(fixed_bytes).ok_or(OfErrorKind::RequestBadLen)?;
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

pub(crate) fn put_stats(out: &mut Vec<u8>, stats: &GroupStats, version: Version) {
    let start = out.len();
    out.u16(0);
    out.zeros(2);
    out.u32(stats.group_id);
    out.u32(stats.ref_count);
    out.zeros(4);
    out.u64(stats.packet_count);
    out.u64(stats.byte_count);
    if has_age(version) {
        out.u32(stats.duration_sec);
        out.u32(stats.duration_nsec);
    }
    for (packets, bytes) in &stats.buckets {
        out.u64(*packets);
        out.u64(*bytes);
    }
    out.patch_len(start, start);
}

pub(crate) fn read_features(r: &mut Reader<'_>) -> Result<GroupFeatures> {
    let types = r.u32()?;
    let capabilities = GroupCapabilities::from_bits_truncate(r.u32()?);
    let mut four = || -> Result<[u32; 4]> { Ok([r.u32()?, r.u32()?, r.u32()?, r.u32()?]) };
    Ok(GroupFeatures { types, capabilities, max_groups: four()?, actions: four()? })
}

pub(crate) fn put_features(out: &mut Vec<u8>, features: &GroupFeatures) {
    out.u32(features.types);
    out.u32(features.capabilities.bits());
    for number in features.max_groups.iter().chain(&features.actions) {
        out.u32(*number);
    }
}
