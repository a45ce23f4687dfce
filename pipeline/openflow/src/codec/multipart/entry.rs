//! Entries of replies about the switch, flows and tables.

use alloc::vec::Vec;

use super::super::flow_mod::{put_match_nxm, put_match13, read_match_nxm, read_match13};
use super::super::oxm::Unknown;
use super::super::oxs::{self, Oxs};
use super::super::wire::{Put, Reader, Result};
use super::super::{instruction, match10};
use super::alike::{Alike, Written};
use crate::{
    AggregateStats, FlowFormat, FlowModFlags, FlowRecord, FlowStats, FlowStatsReason, OfErrorKind,
    SwitchDesc, TableStats, Version,
};

/// Bytes of the long and the short texts of a description (`DESC_STR_LEN`, `SERIAL_NUM_LEN`).
const DESC_BYTES: usize = 256;
const SERIAL_BYTES: usize = 32;
/// Bytes of a table's name in 1.0.
const TABLE_NAME_BYTES: usize = 32;

/// 1.3.5 §7.3.5.1.
pub(super) fn read_desc(r: &mut Reader<'_>) -> Result<SwitchDesc> {
    Ok(SwitchDesc {
        manufacturer: r.text(DESC_BYTES)?,
        hardware: r.text(DESC_BYTES)?,
        software: r.text(DESC_BYTES)?,
        serial: r.text(SERIAL_BYTES)?,
        datapath: r.text(DESC_BYTES)?,
    })
}

pub(super) fn put_desc(out: &mut Vec<u8>, desc: &SwitchDesc) {
    out.text(&desc.manufacturer, DESC_BYTES);
    out.text(&desc.hardware, DESC_BYTES);
    out.text(&desc.software, DESC_BYTES);
    out.text(&desc.serial, SERIAL_BYTES);
    out.text(&desc.datapath, DESC_BYTES);
}

/// 1.0.1 §5.3.5, `NXST_FLOW`, 1.3.5 §7.3.5.2. Instructions are not checked against the match: that is
/// for whoever accepts a rule.
pub(super) fn read_flow(
    r: &mut Reader<'_>,
    format: FlowFormat,
    version: Version,
) -> Result<FlowStats> {
    let mut length = *r;
    let len = usize::from(length.u16()?);
    let mut entry = r.sub(len, OfErrorKind::RequestBadLen)?;
    entry.skip(2)?;
    if version == Version::V15 {
        return read_flow15(&mut entry);
    }
    let mut flow = FlowStats { table_id: entry.u8()?, ..FlowStats::default() };
    entry.skip(1)?;
    let v10_match = version == Version::V10 && format == FlowFormat::Standard;
    if v10_match {
        flow.match_ = match10::read_match(&mut entry)?.match_;
    }
    (flow.duration_sec, flow.duration_nsec) = (entry.u32()?, entry.u32()?);
    flow.priority = entry.u16()?;
    (flow.idle_timeout, flow.hard_timeout) = (entry.u16()?, entry.u16()?);
    let mut match_len = 0;
    match (version, format) {
        (Version::V10, FlowFormat::Standard) => entry.skip(6)?,
        (Version::V10, FlowFormat::Nxm) => {
            match_len = entry.u16()?;
            flow.idle_age = entry.u16()?.checked_sub(1);
            flow.hard_age = entry.u16()?.checked_sub(1);
        }
        _ => {
            // Padding where the version has none of it.
            let (flags, importance) = (entry.u16()?, entry.u16()?);
            entry.skip(2)?;
            if version >= Version::V13 {
                flow.flags = FlowModFlags::from_bits_truncate(flags);
            }
            if version >= Version::V14 {
                flow.importance = importance;
            }
        }
    }
    flow.cookie = entry.u64()?;
    (flow.packet_count, flow.byte_count) = (entry.u64()?, entry.u64()?);
    match (version, format) {
        (Version::V10, FlowFormat::Standard) => {}
        (Version::V10, FlowFormat::Nxm) => {
            flow.match_ = read_match_nxm(&mut entry, match_len, Unknown::Skip)?.0;
        }
        _ => flow.match_ = read_match13(&mut entry, Unknown::Skip, version)?,
    }
    let table = Some(flow.table_id).filter(|table| *table != crate::TABLE_ALL);
    flow.instructions = instruction::read(entry, &flow.match_, table, version)?;
    Ok(flow)
}

/// 1.5.1 §7.3.5.2, after the length.
fn read_flow15(r: &mut Reader<'_>) -> Result<FlowStats> {
    let version = Version::V15;
    r.skip(2)?;
    let table_id = r.u8()?;
    r.skip(1)?;
    let mut flow = FlowStats {
        table_id,
        priority: r.u16()?,
        idle_timeout: r.u16()?,
        hard_timeout: r.u16()?,
        flags: FlowModFlags::from_bits_truncate(r.u16()?),
        importance: r.u16()?,
        cookie: r.u64()?,
        match_: read_match13(r, Unknown::Skip, version)?,
        ..FlowStats::default()
    };
    read_oxs(r, &mut flow)?;
    let table = Some(table_id).filter(|table| *table != crate::TABLE_ALL);
    let list = Reader::new(r.take_all(), OfErrorKind::RequestBadLen);
    flow.instructions = instruction::read(list, &flow.match_, table, version)?;
    Ok(flow)
}

fn read_oxs(r: &mut Reader<'_>, flow: &mut FlowStats) -> Result<()> {
    let stats = oxs::read(r)?;
    (flow.duration_sec, flow.duration_nsec) = stats.duration.unwrap_or((0, 0));
    let seconds = |(age, _)| u16::try_from(age).unwrap_or(MOST_AGE).min(MOST_AGE);
    flow.idle_age = stats.idle_time.map(seconds);
    flow.packet_count = stats.packet_count.unwrap_or(u64::MAX);
    flow.byte_count = stats.byte_count.unwrap_or(u64::MAX);
    Ok(())
}

/// The greatest age that Nicira's format can say.
const MOST_AGE: u16 = 65534;

fn put_flow15(out: &mut Vec<u8>, flow: &FlowStats) {
    let start = out.len();
    out.u16(0);
    out.zeros(2);
    out.u8(flow.table_id);
    out.zeros(1);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    out.u16(flow.flags.bits());
    out.u16(flow.importance);
    out.u64(flow.cookie);
    put_match13(out, &flow.match_, Version::V15);
    put_oxs(out, flow);
    instruction::put(out, &flow.instructions, &flow.match_, Version::V15);
    out.patch_len(start, start);
}

fn put_oxs(out: &mut Vec<u8>, flow: &FlowStats) {
    let stats = Oxs {
        duration: Some((flow.duration_sec, flow.duration_nsec)),
        idle_time: flow.idle_age.map(|age| (age.into(), 0)),
        packet_count: oxs::known(flow.packet_count),
        byte_count: oxs::known(flow.byte_count),
        flow_count: None,
    };
    oxs::put(out, &stats);
}

/// The reason of counters that a statistics trigger sent.
const TRIGGERED: u8 = FlowStatsReason::Trigger as u8;

/// A rule's counters (1.5.1 §7.3.5.3).
pub(super) fn read_counters(r: &mut Reader<'_>) -> Result<FlowStats> {
    let bad_len = OfErrorKind::RequestBadLen;
    let len = usize::from(r.u16()?);
    let mut entry = r.sub(len.checked_sub(2).ok_or(bad_len)?, bad_len)?;
    entry.skip(2)?;
    let table_id = entry.u8()?;
    let reason = match entry.u8()? {
        TRIGGERED => FlowStatsReason::Trigger,
        _ => FlowStatsReason::Request,
    };
    let priority = entry.u16()?;
    let match_ = read_match13(&mut entry, Unknown::Skip, Version::V15)?;
    let mut flow = FlowStats { table_id, priority, match_, reason, ..FlowStats::default() };
    read_oxs(&mut entry, &mut flow)?;
    if entry.is_empty() { Ok(flow) } else { Err(bad_len) }
}

pub(super) fn put_counters(out: &mut Vec<u8>, flow: &FlowStats) {
    let start = out.len();
    out.u16(0);
    out.zeros(2);
    out.u8(flow.table_id);
    out.u8(flow.reason as u8);
    out.u16(flow.priority);
    put_match13(out, &flow.match_, Version::V15);
    put_oxs(out, flow);
    out.patch_len(start, start);
}

pub(super) fn put_flow(out: &mut Vec<u8>, flow: &FlowStats, format: FlowFormat, version: Version) {
    if version == Version::V15 {
        put_flow15(out, flow);
        return;
    }
    let start = out.len();
    let match_len_at = put_flow_head(out, flow, format, version);
    match (version, format) {
        (Version::V10, FlowFormat::Standard) => {}
        (Version::V10, FlowFormat::Nxm) => {
            let len = put_match_nxm(out, &flow.match_, (0, 0));
            out.patch_u16(match_len_at, len);
        }
        _ => put_match13(out, &flow.match_, version),
    }
    instruction::put(out, &flow.instructions, &flow.match_, version);
    out.patch_len(start, start);
}

/// The same of a rule where it is kept, faster where it looks like others that were written to this `format`
/// and `version`.
pub(super) fn put_record(
    out: &mut Vec<u8>,
    flow: &FlowRecord<'_>,
    format: FlowFormat,
    version: Version,
    last: &mut Alike,
) {
    let Some(written) = last.find(flow) else {
        put_flow(out, &flow.to_stats(), format, version);
        last.learn(flow, format, version);
        return;
    };
    if version == Version::V15 {
        put_record15(out, flow, written);
        return;
    }
    let len = u16::try_from(HEAD_BYTES + written.len()).unwrap_or(u16::MAX);
    let in_order =
        |words: [u16; 4]| words.into_iter().fold(0, |word, half| word << 16 | u64::from(half));
    let last_of_head = match version {
        Version::V10 => {
            let (idle_age, hard_age) = (age(flow.idle_age), age(flow.hard_age));
            [flow.hard_timeout, written.n_entry_bytes(), idle_age, hard_age]
        }
        Version::V11 | Version::V12 => [flow.hard_timeout, 0, 0, 0],
        Version::V13 => [flow.hard_timeout, flow.flags.bits(), 0, 0],
        _ => [flow.hard_timeout, flow.flags.bits(), flow.importance, 0],
    };
    let head = [
        u64::from(len) << 48 | u64::from(flow.table_id) << 40 | u64::from(flow.duration_sec),
        u64::from(flow.duration_nsec) << 32
            | u64::from(flow.priority) << 16
            | u64::from(flow.idle_timeout),
        in_order(last_of_head),
        flow.cookie,
        flow.packet_count,
        flow.byte_count,
    ];
    out.extend_from_slice(head.map(u64::to_be_bytes).as_flattened());
    written.put(out, flow.match_);
}

/// Bytes before the match in versions from 1.2 to 1.4, and in Nicira's format.
const HEAD_BYTES: usize = 48;

fn put_record15(out: &mut Vec<u8>, flow: &FlowRecord<'_>, written: Written<'_>) {
    let start = out.len();
    let head = [
        u64::from(flow.table_id) << 24 | u64::from(flow.priority),
        u64::from(flow.idle_timeout) << 48
            | u64::from(flow.hard_timeout) << 32
            | u64::from(flow.flags.bits()) << 16
            | u64::from(flow.importance),
        flow.cookie,
    ];
    out.extend_from_slice(head.map(u64::to_be_bytes).as_flattened());
    written.put_around(out, flow.match_, |out| {
        let stats = Oxs {
            duration: Some((flow.duration_sec, flow.duration_nsec)),
            idle_time: flow.idle_age.map(|age| (age.into(), 0)),
            packet_count: oxs::known(flow.packet_count),
            byte_count: oxs::known(flow.byte_count),
            flow_count: None,
        };
        oxs::put(out, &stats);
    });
    out.patch_len(start, start);
}

/// What is before the extensible match; returns where Nicira's format has the length of that.
fn put_flow_head(
    out: &mut Vec<u8>,
    flow: &FlowStats,
    format: FlowFormat,
    version: Version,
) -> usize {
    out.u16(0);
    out.u8(flow.table_id);
    out.zeros(1);
    if version == Version::V10 && format == FlowFormat::Standard {
        match10::put_match(out, &flow.match_);
    }
    out.u32(flow.duration_sec);
    out.u32(flow.duration_nsec);
    out.u16(flow.priority);
    out.u16(flow.idle_timeout);
    out.u16(flow.hard_timeout);
    let match_len_at = out.len();
    match (version, format) {
        (Version::V10, FlowFormat::Standard) => out.zeros(6),
        (Version::V10, FlowFormat::Nxm) => {
            out.u16(0);
            out.u16(age(flow.idle_age));
            out.u16(age(flow.hard_age));
        }
        _ => {
            out.u16(if version >= Version::V13 { flow.flags.bits() } else { 0 });
            out.u16(if version >= Version::V14 { flow.importance } else { 0 });
            out.zeros(2);
        }
    }
    out.u64(flow.cookie);
    out.u64(flow.packet_count);
    out.u64(flow.byte_count);
    match_len_at
}

/// Ages are one more than they are, so that zero means unknown.
fn age(age: Option<u16>) -> u16 {
    age.map_or(0, |age| age.saturating_add(1))
}

/// 1.3.5 §7.3.5.3, 1.5.1 §7.3.5.4.
pub(super) fn read_aggregate(r: &mut Reader<'_>, version: Version) -> Result<AggregateStats> {
    if version == Version::V15 {
        let stats = oxs::read(r)?;
        return Ok(AggregateStats {
            packet_count: stats.packet_count.unwrap_or(u64::MAX),
            byte_count: stats.byte_count.unwrap_or(u64::MAX),
            flow_count: stats.flow_count.unwrap_or(0),
        });
    }
    let sum = AggregateStats { packet_count: r.u64()?, byte_count: r.u64()?, flow_count: r.u32()? };
    r.skip(4)?;
    Ok(sum)
}

pub(super) fn put_aggregate(out: &mut Vec<u8>, sum: &AggregateStats, version: Version) {
    if version == Version::V15 {
        let stats = Oxs {
            packet_count: oxs::known(sum.packet_count),
            byte_count: oxs::known(sum.byte_count),
            flow_count: Some(sum.flow_count),
            ..Oxs::default()
        };
        oxs::put(out, &stats);
        return;
    }
    out.u64(sum.packet_count);
    out.u64(sum.byte_count);
    out.u32(sum.flow_count);
    out.zeros(4);
}

/// 1.0.1 §5.3.5, 1.1 §A.3.5.4, 1.2 §A.3.6.4, 1.3.5 §7.3.5.4.
pub(super) fn read_table(r: &mut Reader<'_>, version: Version) -> Result<TableStats> {
    let mut table = TableStats { table_id: r.u8()?, ..TableStats::default() };
    let can = &mut table.abilities;
    match version {
        Version::V10 => {
            r.skip(3)?;
            table.name = r.text(TABLE_NAME_BYTES)?;
            table.wildcards = r.u32()?;
            table.max_entries = r.u32()?;
        }
        Version::V11 => {
            r.skip(7)?;
            table.name = r.text(TABLE_NAME_BYTES)?;
            (can.wildcards, can.match_fields) = (r.u32()?.into(), r.u32()?.into());
            can.instructions = r.u32()?;
            (can.write_actions, can.apply_actions) = (r.u32()?, r.u32()?);
            can.config = r.u32()?;
            table.max_entries = r.u32()?;
        }
        Version::V12 => {
            r.skip(7)?;
            table.name = r.text(TABLE_NAME_BYTES)?;
            (can.match_fields, can.wildcards) = (r.u64()?, r.u64()?);
            (can.write_actions, can.apply_actions) = (r.u32()?, r.u32()?);
            (can.write_setfields, can.apply_setfields) = (r.u64()?, r.u64()?);
            (can.metadata_match, can.metadata_write) = (r.u64()?, r.u64()?);
            can.instructions = r.u32()?;
            can.config = r.u32()?;
            table.max_entries = r.u32()?;
        }
        _ => r.skip(3)?,
    }
    table.active_count = r.u32()?;
    table.lookup_count = r.u64()?;
    table.matched_count = r.u64()?;
    Ok(table)
}

pub(super) fn put_table(out: &mut Vec<u8>, table: &TableStats, version: Version) {
    let can = &table.abilities;
    let low = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
    out.u8(table.table_id);
    match version {
        Version::V10 => {
            out.zeros(3);
            out.text(&table.name, TABLE_NAME_BYTES);
            out.u32(table.wildcards);
            out.u32(table.max_entries);
        }
        Version::V11 => {
            out.zeros(7);
            out.text(&table.name, TABLE_NAME_BYTES);
            out.u32(low(can.wildcards));
            out.u32(low(can.match_fields));
            out.u32(can.instructions);
            out.u32(can.write_actions);
            out.u32(can.apply_actions);
            out.u32(can.config);
            out.u32(table.max_entries);
        }
        Version::V12 => {
            out.zeros(7);
            out.text(&table.name, TABLE_NAME_BYTES);
            out.u64(can.match_fields);
            out.u64(can.wildcards);
            out.u32(can.write_actions);
            out.u32(can.apply_actions);
            out.u64(can.write_setfields);
            out.u64(can.apply_setfields);
            out.u64(can.metadata_match);
            out.u64(can.metadata_write);
            out.u32(can.instructions);
            out.u32(can.config);
            out.u32(table.max_entries);
        }
        _ => out.zeros(3),
    }
    out.u32(table.active_count);
    out.u64(table.lookup_count);
    out.u64(table.matched_count);
}
