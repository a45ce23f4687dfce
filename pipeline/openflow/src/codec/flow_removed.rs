//! Flow-removed messages.

use alloc::vec::Vec;

use super::flow_mod::{put_match_nxm, put_match13, read_match_nxm, read_match13};
use super::oxm::Unknown;
use super::oxs::{self, Oxs};
use super::wire::{Put, Reader, Result};
use super::{Dialect, Kind, match10, nicira};
use crate::{FlowFormat, FlowRemoved, FlowRemovedReason, NICIRA, OfErrorKind, TABLE_ALL, Version};

pub(super) fn read(r: &mut Reader<'_>, version: Version) -> Result<FlowRemoved> {
    match version {
        Version::V10 => read_v10(r),
        Version::V15 => read_v15(r),
        _ => read_v11(r, version),
    }
}

/// 1.0.1 §5.4.3.
fn read_v10(r: &mut Reader<'_>) -> Result<FlowRemoved> {
    let match_ = match10::read_match(r)?.match_;
    let cookie = r.u64()?;
    let priority = r.u16()?;
    let reason = reason(r.u8()?)?;
    r.skip(1)?;
    let (duration_sec, duration_nsec) = (r.u32()?, r.u32()?);
    let idle_timeout = r.u16()?;
    r.skip(2)?;
    Ok(FlowRemoved {
        match_,
        cookie,
        priority,
        reason,
        table_id: TABLE_ALL,
        duration_sec,
        duration_nsec,
        idle_timeout,
        hard_timeout: 0,
        packet_count: r.u64()?,
        byte_count: r.u64()?,
    })
}

/// 1.1 §A.4.2, 1.3.5 §7.4.2.
fn read_v11(r: &mut Reader<'_>, version: Version) -> Result<FlowRemoved> {
    let cookie = r.u64()?;
    let priority = r.u16()?;
    let reason = reason(r.u8()?)?;
    let table_id = r.u8()?;
    let (duration_sec, duration_nsec) = (r.u32()?, r.u32()?);
    let (idle_timeout, hard_timeout) = (r.u16()?, r.u16()?);
    let hard_timeout = if version == Version::V11 { 0 } else { hard_timeout };
    let (packet_count, byte_count) = (r.u64()?, r.u64()?);
    Ok(FlowRemoved {
        match_: read_match13(r, Unknown::Skip, version)?,
        cookie,
        priority,
        reason,
        table_id,
        duration_sec,
        duration_nsec,
        idle_timeout,
        hard_timeout,
        packet_count,
        byte_count,
    })
}

/// 1.5.1 §7.4.2.
fn read_v15(r: &mut Reader<'_>) -> Result<FlowRemoved> {
    let table_id = r.u8()?;
    let reason = reason(r.u8()?)?;
    let priority = r.u16()?;
    let (idle_timeout, hard_timeout) = (r.u16()?, r.u16()?);
    let cookie = r.u64()?;
    let match_ = read_match13(r, Unknown::Skip, Version::V15)?;
    let stats = oxs::read(r)?;
    let (duration_sec, duration_nsec) = stats.duration.unwrap_or((0, 0));
    Ok(FlowRemoved {
        match_,
        cookie,
        priority,
        reason,
        table_id,
        duration_sec,
        duration_nsec,
        idle_timeout,
        hard_timeout,
        packet_count: stats.packet_count.unwrap_or(u64::MAX),
        byte_count: stats.byte_count.unwrap_or(u64::MAX),
    })
}

/// `NXT_FLOW_REMOVED`: the table is one more than it is, so that zero means none.
pub(super) fn read_nxm(r: &mut Reader<'_>) -> Result<FlowRemoved> {
    let cookie = r.u64()?;
    let priority = r.u16()?;
    let reason = reason(r.u8()?)?;
    let table_id = r.u8()?.wrapping_sub(1);
    let (duration_sec, duration_nsec) = (r.u32()?, r.u32()?);
    let idle_timeout = r.u16()?;
    let match_len = r.u16()?;
    let (packet_count, byte_count) = (r.u64()?, r.u64()?);
    Ok(FlowRemoved {
        match_: read_match_nxm(r, match_len, Unknown::Skip)?.0,
        cookie,
        priority,
        reason,
        table_id,
        duration_sec,
        duration_nsec,
        idle_timeout,
        hard_timeout: 0,
        packet_count,
        byte_count,
    })
}

/// The reason with this number.
pub(super) fn reason(wire: u8) -> Result<FlowRemovedReason> {
    Ok(match wire {
        0 => FlowRemovedReason::IdleTimeout,
        1 => FlowRemovedReason::HardTimeout,
        2 => FlowRemovedReason::Delete,
        3 => FlowRemovedReason::GroupDelete,
        4 => FlowRemovedReason::MeterDelete,
        5 => FlowRemovedReason::Eviction,
        _ => return Err(OfErrorKind::NxRequestBadReason),
    })
}

/// The number of a reason; one that the version lacks is a deletion.
pub(super) fn wire_reason(reason: FlowRemovedReason, version: Version) -> u8 {
    let last = match version {
        Version::V10 => FlowRemovedReason::Delete,
        Version::V11 | Version::V12 | Version::V13 => FlowRemovedReason::GroupDelete,
        Version::V14 | Version::V15 => FlowRemovedReason::Eviction,
    };
    if reason as u8 <= last as u8 { reason as u8 } else { FlowRemovedReason::Delete as u8 }
}

/// Writes the message and returns the type that it has become.
pub(super) fn put(out: &mut Vec<u8>, removed: &FlowRemoved, dialect: &Dialect) -> Kind {
    let reason = wire_reason(removed.reason, dialect.version);
    match (dialect.version, dialect.flow_format) {
        (Version::V10, FlowFormat::Standard) => {
            match10::put_match(out, &removed.match_);
            out.u64(removed.cookie);
            out.u16(removed.priority);
            out.u8(reason);
            out.zeros(1);
            out.u32(removed.duration_sec);
            out.u32(removed.duration_nsec);
            out.u16(removed.idle_timeout);
            out.zeros(2);
            out.u64(removed.packet_count);
            out.u64(removed.byte_count);
            Kind::FlowRemoved
        }
        (Version::V10, FlowFormat::Nxm) => {
            nicira::put_header(out, NICIRA, nicira::FLOW_REMOVED);
            out.u64(removed.cookie);
            out.u16(removed.priority);
            out.u8(reason);
            out.u8(removed.table_id.wrapping_add(1));
            out.u32(removed.duration_sec);
            out.u32(removed.duration_nsec);
            out.u16(removed.idle_timeout);
            let len_at = out.len();
            out.u16(0);
            out.u64(removed.packet_count);
            out.u64(removed.byte_count);
            let len = put_match_nxm(out, &removed.match_, (0, 0));
            out.patch_u16(len_at, len);
            Kind::Experimenter
        }
        (Version::V15, _) => {
            out.u8(removed.table_id);
            out.u8(reason);
            out.u16(removed.priority);
            out.u16(removed.idle_timeout);
            out.u16(removed.hard_timeout);
            out.u64(removed.cookie);
            put_match13(out, &removed.match_, Version::V15);
            let stats = Oxs {
                duration: Some((removed.duration_sec, removed.duration_nsec)),
                packet_count: oxs::known(removed.packet_count),
                byte_count: oxs::known(removed.byte_count),
                ..Oxs::default()
            };
            oxs::put(out, &stats);
            Kind::FlowRemoved
        }
        (version, _) => {
            out.u64(removed.cookie);
            out.u16(removed.priority);
            out.u8(reason);
            out.u8(removed.table_id);
            out.u32(removed.duration_sec);
            out.u32(removed.duration_nsec);
            out.u16(removed.idle_timeout);
            out.u16(if version == Version::V11 { 0 } else { removed.hard_timeout });
            out.u64(removed.packet_count);
            out.u64(removed.byte_count);
            put_match13(out, &removed.match_, version);
            Kind::FlowRemoved
        }
    }
}
