//! Buckets: those of 1.1 to 1.4, whose weight and watches are in the header (1.3.5 §7.3.4.2), and
//! those of 1.5, which have numbers and properties (1.5.1 §7.3.4.3.1).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::super::action;
use super::super::wire::{Put, Reader, Result};
use crate::{BUCKET_MAX, Bucket, GroupType, OfErrorKind, OfPort, Version};

const BAD: OfErrorKind = OfErrorKind::GroupModBadBucket;
/// Bytes of a bucket of 1.1 to 1.4 before its actions.
const PLAIN_BYTES: usize = 16;
/// Bytes of a bucket of 1.5 before its actions.
const NUMBERED_BYTES: usize = 8;

/// Kinds of properties.
const WEIGHT: u16 = 0;
const WATCH_PORT: u16 = 1;
const WATCH_GROUP: u16 = 2;
const EXPERIMENTER: u16 = 0xffff;

pub(super) fn read_plain(r: &mut Reader<'_>, version: Version) -> Result<Vec<Bucket>> {
    let mut buckets = Vec::new();
    for bucket_id in 0.. {
        if r.is_empty() {
            break;
        }
        let mut bucket = sub(r, PLAIN_BYTES)?;
        bucket.skip(2)?;
        let weight = bucket.u16()?;
        let watch_port = watch_port(bucket.u32()?)?;
        let watch_group = bucket.u32()?;
        bucket.skip(4)?;
        let list = Reader::new(bucket.take_all(), OfErrorKind::ActionBadLen);
        let actions = action::read_actions(list, version)?;
        buckets.push(Bucket { bucket_id, weight, watch_port, watch_group, actions });
    }
    Ok(buckets)
}

pub(super) fn put_plain(out: &mut Vec<u8>, buckets: &[Bucket], version: Version) {
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

pub(super) fn read_numbered(
    r: &mut Reader<'_>,
    group_type: GroupType,
    version: Version,
) -> Result<Vec<Bucket>> {
    let mut buckets = Vec::new();
    let mut ids = BTreeSet::new();
    while !r.is_empty() {
        let mut bytes = sub(r, NUMBERED_BYTES)?;
        bytes.skip(2)?;
        let actions_len = usize::from(bytes.u16()?);
        let bucket_id = bytes.u32()?;
        if bucket_id > BUCKET_MAX || !ids.insert(bucket_id) {
            return Err(BAD);
        }
        let list = bytes.sub(actions_len, BAD)?;
        let list = Reader::new(list.rest(), OfErrorKind::ActionBadLen);
        let mut bucket = Bucket::new(bucket_id, action::read_actions(list, version)?);
        bucket.weight = default_weight(group_type);
        read_properties(&mut bytes, &mut bucket)?;
        buckets.push(bucket);
    }
    Ok(buckets)
}

pub(super) fn put_numbered(
    out: &mut Vec<u8>,
    buckets: &[Bucket],
    group_type: GroupType,
    version: Version,
) {
    for bucket in buckets {
        let start = out.len();
        out.zeros(4);
        out.u32(bucket.bucket_id);
        let actions = out.len();
        action::put_actions(out, &bucket.actions, None, version);
        out.patch_len(start + 2, actions);
        if group_type == GroupType::Select || bucket.weight != 0 {
            out.u16(WEIGHT);
            out.u16(8);
            out.u16(bucket.weight);
            out.zeros(2);
        }
        let watches = [(WATCH_PORT, bucket.watch_port.0), (WATCH_GROUP, bucket.watch_group)];
        for (kind, number) in watches.into_iter().filter(|(_, number)| *number != NOTHING) {
            out.u16(kind);
            out.u16(8);
            out.u32(number);
        }
        out.patch_len(start, start);
    }
}

/// The number of no port, and of no group.
const NOTHING: u32 = u32::MAX;

/// The weight of a bucket that does not say one.
fn default_weight(group_type: GroupType) -> u16 {
    u16::from(group_type == GroupType::Select)
}

fn read_properties(r: &mut Reader<'_>, bucket: &mut Bucket) -> Result<()> {
    while !r.is_empty() {
        let mut header = *r;
        let short = |_| OfErrorKind::PropertyBadLen;
        let kind = header.u16().map_err(short)?;
        let len = usize::from(header.u16().map_err(short)?);
        if len < 4 {
            return Err(OfErrorKind::PropertyBadLen);
        }
        let mut property = r.sub(len.next_multiple_of(8), OfErrorKind::PropertyBadLen)?;
        property.skip(4)?;
        let needs = |n: usize| if len == n { Ok(()) } else { Err(OfErrorKind::PropertyBadLen) };
        match kind {
            // As Open vSwitch writes it, with padding counted in, and without.
            WEIGHT if len == 6 || len == 8 => bucket.weight = property.u16()?,
            WEIGHT => return Err(OfErrorKind::PropertyBadLen),
            WATCH_PORT => {
                needs(8)?;
                bucket.watch_port = watch_port(property.u32()?)?;
            }
            WATCH_GROUP => {
                needs(8)?;
                bucket.watch_group = property.u32()?;
            }
            EXPERIMENTER => return Err(OfErrorKind::PropertyBadExperimenter),
            _ => return Err(OfErrorKind::PropertyBadType),
        }
    }
    Ok(())
}

/// Takes a bucket of at least `min` bytes, its length included, which stands first.
fn sub<'a>(r: &mut Reader<'a>, min: usize) -> Result<Reader<'a>> {
    let mut header = *r;
    let len = usize::from(header.u16().map_err(|_| BAD)?);
    if len < min || len % 8 != 0 {
        return Err(BAD);
    }
    r.sub(len, BAD)
}

fn watch_port(wire: u32) -> Result<OfPort> {
    let port = OfPort(wire);
    let is_possible = port == OfPort::ANY || port.is_physical();
    if is_possible { Ok(port) } else { Err(OfErrorKind::GroupModBadWatch) }
}
