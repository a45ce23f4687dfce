//! Entries of replies about the switch, flows, tables, ports and queues.

use alloc::string::String;
use alloc::vec::Vec;

use super::super::flow_mod::{put_match_nxm, put_match13, read_match_nxm, read_match13};
use super::super::oxm::Unknown;
use super::super::wire::{Put, Reader, Result};
use super::super::{instruction, match10, port};
use crate::{
    AggregateStats, FlowFormat, FlowModFlags, FlowStats, OfErrorKind, PortStats, QueueStats,
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
            flow.flags = FlowModFlags::from_bits_truncate(entry.u16()?);
            entry.skip(4)?;
        }
    }
    flow.cookie = entry.u64()?;
    (flow.packet_count, flow.byte_count) = (entry.u64()?, entry.u64()?);
    match (version, format) {
        (Version::V10, FlowFormat::Standard) => {}
        (Version::V10, FlowFormat::Nxm) => {
            flow.match_ = read_match_nxm(&mut entry, match_len, Unknown::Skip)?.0;
        }
        _ => flow.match_ = read_match13(&mut entry, Unknown::Skip)?,
    }
    let table = Some(flow.table_id).filter(|table| *table != crate::TABLE_ALL);
    flow.instructions = instruction::read(entry, &flow.match_, table, version)?;
    Ok(flow)
}

pub(super) fn put_flow(out: &mut Vec<u8>, flow: &FlowStats, format: FlowFormat, version: Version) {
    let start = out.len();
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
            out.u16(flow.flags.bits());
            out.zeros(4);
        }
    }
    out.u64(flow.cookie);
    out.u64(flow.packet_count);
    out.u64(flow.byte_count);
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

/// Ages are one more than they are, so that zero means unknown.
fn age(age: Option<u16>) -> u16 {
    age.map_or(0, |age| age.saturating_add(1))
}

/// 1.3.5 §7.3.5.3.
pub(super) fn read_aggregate(r: &mut Reader<'_>) -> Result<AggregateStats> {
    let sum = AggregateStats { packet_count: r.u64()?, byte_count: r.u64()?, flow_count: r.u32()? };
    r.skip(4)?;
    Ok(sum)
}

pub(super) fn put_aggregate(out: &mut Vec<u8>, sum: &AggregateStats) {
    out.u64(sum.packet_count);
    out.u64(sum.byte_count);
    out.u32(sum.flow_count);
    out.zeros(4);
}

/// 1.0.1 §5.3.5, 1.3.5 §7.3.5.4.
pub(super) fn read_table(r: &mut Reader<'_>, version: Version) -> Result<TableStats> {
    let v10 = version == Version::V10;
    let table_id = r.u8()?;
    r.skip(3)?;
    Ok(TableStats {
        table_id,
        name: if v10 { r.text(TABLE_NAME_BYTES)? } else { String::new() },
        wildcards: if v10 { r.u32()? } else { 0 },
        max_entries: if v10 { r.u32()? } else { 0 },
        active_count: r.u32()?,
        lookup_count: r.u64()?,
        matched_count: r.u64()?,
    })
}

pub(super) fn put_table(out: &mut Vec<u8>, table: &TableStats, version: Version) {
    out.u8(table.table_id);
    out.zeros(3);
    if version == Version::V10 {
        out.text(&table.name, TABLE_NAME_BYTES);
        out.u32(table.wildcards);
        out.u32(table.max_entries);
    }
    out.u32(table.active_count);
    out.u64(table.lookup_count);
    out.u64(table.matched_count);
}

/// 1.0.1 §5.3.5, 1.3.5 §7.3.5.6.
pub(super) fn read_port(r: &mut Reader<'_>, version: Version) -> Result<PortStats> {
    let v10 = version == Version::V10;
    let port = port::read_port(r, version)?;
    r.skip(if v10 { 6 } else { 4 })?;
    Ok(PortStats {
        port,
        rx_packets: r.u64()?,
        tx_packets: r.u64()?,
        rx_bytes: r.u64()?,
        tx_bytes: r.u64()?,
        rx_dropped: r.u64()?,
        tx_dropped: r.u64()?,
        rx_errors: r.u64()?,
        tx_errors: r.u64()?,
        rx_frame_err: r.u64()?,
        rx_over_err: r.u64()?,
        rx_crc_err: r.u64()?,
        collisions: r.u64()?,
        duration_sec: if v10 { 0 } else { r.u32()? },
        duration_nsec: if v10 { 0 } else { r.u32()? },
    })
}

pub(super) fn put_port(out: &mut Vec<u8>, stats: &PortStats, version: Version) {
    let v10 = version == Version::V10;
    port::put_port(out, stats.port, version);
    out.zeros(if v10 { 6 } else { 4 });
    for counter in [
        stats.rx_packets,
        stats.tx_packets,
        stats.rx_bytes,
        stats.tx_bytes,
        stats.rx_dropped,
        stats.tx_dropped,
        stats.rx_errors,
        stats.tx_errors,
        stats.rx_frame_err,
        stats.rx_over_err,
        stats.rx_crc_err,
        stats.collisions,
    ] {
        out.u64(counter);
    }
    if !v10 {
        out.u32(stats.duration_sec);
        out.u32(stats.duration_nsec);
    }
}

/// 1.0.1 §5.3.5, 1.3.5 §7.3.5.7.
pub(super) fn read_queue(r: &mut Reader<'_>, version: Version) -> Result<QueueStats> {
    let v10 = version == Version::V10;
    let port = port::read_port(r, version)?;
    r.skip(if v10 { 2 } else { 0 })?;
    Ok(QueueStats {
        port,
        queue_id: r.u32()?,
        tx_bytes: r.u64()?,
        tx_packets: r.u64()?,
        tx_errors: r.u64()?,
        duration_sec: if v10 { 0 } else { r.u32()? },
        duration_nsec: if v10 { 0 } else { r.u32()? },
    })
}

pub(super) fn put_queue(out: &mut Vec<u8>, stats: &QueueStats, version: Version) {
    let v10 = version == Version::V10;
    port::put_port(out, stats.port, version);
    out.zeros(if v10 { 2 } else { 0 });
    out.u32(stats.queue_id);
    out.u64(stats.tx_bytes);
    out.u64(stats.tx_packets);
    out.u64(stats.tx_errors);
    if !v10 {
        out.u32(stats.duration_sec);
        out.u32(stats.duration_nsec);
    }
}
