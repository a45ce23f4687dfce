//! Flow monitors: Nicira's of 1.0 to 1.2, the ONF's of 1.3, the standard's of 1.4 and later.

use alloc::vec::Vec;

use super::flow_mod::{put_match_nxm, put_match13, read_match_nxm, read_match13};
use super::flow_removed;
use super::instruction;
use super::oxm::Unknown;
use super::port::put_port;
use super::wire::{Put, Reader, Result};
use crate::{
    FlowEvent, FlowMonitorRequest, FlowUpdate, GROUP_ANY, Instructions, MonitorCommand,
    MonitorFlags, OfErrorKind, OfPort, TABLE_ALL, Version,
};

/// Reads a request to watch.
pub(super) fn read_request(r: &mut Reader<'_>, version: Version) -> Result<FlowMonitorRequest> {
    let monitor_id = r.u32()?;
    let mut command = MonitorCommand::Add;
    let mut out_group = GROUP_ANY;
    let (out_port, flags, table_id, match_);
    match version {
        Version::V14 | Version::V15 => {
            out_port = OfPort(r.u32()?);
            out_group = r.u32()?;
            flags = r.u16()?;
            table_id = r.u8()?;
            command = match r.u8()? {
                0 => MonitorCommand::Add,
                1 => MonitorCommand::Modify,
                2 => MonitorCommand::Delete,
                _ => return Err(OfErrorKind::MonitorBadCommand),
            };
            match_ = read_match13(r, Unknown::Refuse, version)?;
        }
        Version::V13 => {
            flags = r.u16()?;
            // The match says its length itself.
            r.skip(2)?;
            out_port = OfPort(r.u32()?);
            table_id = r.u8()?;
            must_be_zero(r, 3)?;
            match_ = read_match13(r, Unknown::Refuse, version)?;
        }
        _ => {
            flags = r.u16()?;
            out_port = OfPort::from_u16(r.u16()?);
            let match_len = r.u16()?;
            table_id = r.u8()?;
            must_be_zero(r, 5)?;
            match_ = read_match_nxm(r, match_len, Unknown::Refuse)?.0;
        }
    }
    if command == MonitorCommand::Delete {
        return Ok(delete_request(monitor_id));
    }
    let what = MonitorFlags::ADD | MonitorFlags::REMOVED | MonitorFlags::MODIFY;
    let flags = MonitorFlags::from_bits(flags)
        .filter(|flags| flags.intersects(what))
        .filter(|flags| version >= Version::V14 || !flags.contains(MonitorFlags::ONLY_OWN))
        .ok_or(OfErrorKind::MonitorBadFlags)?;
    Ok(FlowMonitorRequest { monitor_id, command, flags, out_port, out_group, table_id, match_ })
}

/// A request that only names a monitor.
pub(super) fn delete_request(monitor_id: u32) -> FlowMonitorRequest {
    FlowMonitorRequest {
        monitor_id,
        command: MonitorCommand::Delete,
        flags: MonitorFlags::empty(),
        out_port: OfPort::ANY,
        out_group: GROUP_ANY,
        table_id: TABLE_ALL,
        match_: flow::Match::default(),
    }
}

fn must_be_zero(r: &mut Reader<'_>, n: usize) -> Result<()> {
    if r.zeros(n)? { Ok(()) } else { Err(OfErrorKind::NxRequestMustBeZero) }
}

/// Writes what [`read_request`] reads. The end of a monitor has a message of its own before 1.4.
pub(super) fn put_request(out: &mut Vec<u8>, request: &FlowMonitorRequest, version: Version) {
    let FlowMonitorRequest { flags, table_id, match_, .. } = request;
    out.u32(request.monitor_id);
    match version {
        Version::V14 | Version::V15 => {
            out.u32(request.out_port.0);
            out.u32(request.out_group);
            out.u16(flags.bits());
            out.u8(*table_id);
            out.u8(request.command as u8);
            put_match13(out, match_, version);
        }
        Version::V13 => {
            out.u16(flags.bits());
            let len_at = out.len();
            out.u16(0);
            out.u32(request.out_port.0);
            out.u8(*table_id);
            out.zeros(3);
            let start = out.len();
            put_match13(out, match_, version);
            out.patch_len(len_at, start);
        }
        _ => {
            out.u16(flags.bits());
            put_port(out, request.out_port, Version::V10);
            let len_at = out.len();
            out.u16(0);
            out.u8(*table_id);
            out.zeros(5);
            let len = put_match_nxm(out, match_, (0, 0));
            out.patch_u16(len_at, len);
        }
    }
}

/// Numbers of events, Nicira's and the ONF's, then the standard's.
mod event {
    pub(super) const NX_ADDED: u16 = 0;
    pub(super) const NX_REMOVED: u16 = 1;
    pub(super) const NX_MODIFIED: u16 = 2;
    pub(super) const NX_ABBREV: u16 = 3;
    pub(super) const INITIAL: u16 = 0;
    pub(super) const ADDED: u16 = 1;
    pub(super) const REMOVED: u16 = 2;
    pub(super) const MODIFIED: u16 = 3;
    pub(super) const ABBREV: u16 = 4;
    pub(super) const PAUSED: u16 = 5;
    pub(super) const RESUMED: u16 = 6;
}

/// Bytes of an update that has no rule.
const SHORT_BYTES: u16 = 8;

/// Reads an update.
pub(super) fn read_update(r: &mut Reader<'_>, version: Version) -> Result<FlowUpdate> {
    let bad_len = OfErrorKind::RequestBadLen;
    let len = usize::from(r.u16()?);
    if len % 8 != 0 {
        return Err(bad_len);
    }
    let mut body = r.sub(len.checked_sub(2).ok_or(bad_len)?, bad_len)?;
    let event = body.u16()?;
    let update = match version {
        Version::V14 | Version::V15 => read_standard(&mut body, event, version)?,
        _ => read_nicira(&mut body, event, version)?,
    };
    if body.is_empty() { Ok(update) } else { Err(bad_len) }
}

fn read_standard(r: &mut Reader<'_>, event: u16, version: Version) -> Result<FlowUpdate> {
    match event {
        event::ABBREV => return Ok(FlowUpdate::Abbrev { xid: r.u32()? }),
        event::PAUSED => return r.skip(4).map(|()| FlowUpdate::Paused),
        event::RESUMED => return r.skip(4).map(|()| FlowUpdate::Resumed),
        _ => {}
    }
    let (table_id, reason) = (r.u8()?, r.u8()?);
    let (idle_timeout, hard_timeout) = (r.u16()?, r.u16()?);
    let priority = r.u16()?;
    r.skip(4)?;
    let cookie = r.u64()?;
    let event = match event {
        event::INITIAL => FlowEvent::Initial,
        event::ADDED => FlowEvent::Added,
        event::REMOVED => FlowEvent::Removed(flow_removed::reason(reason)?),
        event::MODIFIED => FlowEvent::Modified,
        _ => return Err(OfErrorKind::NxRequestFmBadEvent),
    };
    let match_ = read_match13(r, Unknown::Skip, version)?;
    let list = Reader::new(r.take_all(), OfErrorKind::RequestBadLen);
    let instructions = instruction::read(list, &match_, known(table_id), version)?;
    Ok(FlowUpdate::Full {
        event,
        table_id,
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        match_,
        instructions,
    })
}

fn read_nicira(r: &mut Reader<'_>, event: u16, version: Version) -> Result<FlowUpdate> {
    if event == event::NX_ABBREV {
        return Ok(FlowUpdate::Abbrev { xid: r.u32()? });
    }
    let reason = r.u16()?;
    let priority = r.u16()?;
    let (idle_timeout, hard_timeout) = (r.u16()?, r.u16()?);
    let match_len = r.u16()?;
    let table_id = r.u8()?;
    r.skip(1)?;
    let cookie = r.u64()?;
    let event = match event {
        event::NX_ADDED => FlowEvent::Added,
        event::NX_REMOVED => {
            FlowEvent::Removed(flow_removed::reason(u8::try_from(reason).unwrap_or(u8::MAX))?)
        }
        event::NX_MODIFIED => FlowEvent::Modified,
        _ => return Err(OfErrorKind::NxRequestFmBadEvent),
    };
    let (match_, instructions);
    if version == Version::V13 {
        match_ = read_match13(r, Unknown::Skip, version)?;
        let list = Reader::new(r.take_all(), OfErrorKind::RequestBadLen);
        instructions = instruction::read(list, &match_, known(table_id), version)?;
    } else {
        match_ = read_match_nxm(r, match_len, Unknown::Skip)?.0;
        let list = Reader::new(r.take_all(), OfErrorKind::ActionBadLen);
        instructions = instruction::read_list(list, &match_, version)?;
    }
    Ok(FlowUpdate::Full {
        event,
        table_id,
        idle_timeout,
        hard_timeout,
        priority,
        cookie,
        match_,
        instructions,
    })
}

fn known(table_id: u8) -> Option<u8> {
    Some(table_id).filter(|table| *table != TABLE_ALL)
}

/// Writes an update. Pauses are messages of their own before 1.4 and left out here then.
pub(super) fn put_update(out: &mut Vec<u8>, update: &FlowUpdate, version: Version) {
    let is_standard = version >= Version::V14;
    let start = out.len();
    match update {
        FlowUpdate::Abbrev { xid } => {
            out.u16(SHORT_BYTES);
            out.u16(if is_standard { event::ABBREV } else { event::NX_ABBREV });
            out.u32(*xid);
        }
        FlowUpdate::Paused | FlowUpdate::Resumed if !is_standard => {}
        FlowUpdate::Paused | FlowUpdate::Resumed => {
            let is_paused = *update == FlowUpdate::Paused;
            out.u16(SHORT_BYTES);
            out.u16(if is_paused { event::PAUSED } else { event::RESUMED });
            out.zeros(4);
        }
        FlowUpdate::Full {
            event,
            table_id,
            idle_timeout,
            hard_timeout,
            priority,
            cookie,
            match_,
            instructions,
        } => {
            let reason = match event {
                FlowEvent::Removed(reason) => flow_removed::wire_reason(*reason, version),
                _ => 0,
            };
            out.u16(0);
            out.u16(wire_event(*event, is_standard));
            if is_standard {
                out.u8(*table_id);
                out.u8(reason);
                out.u16(*idle_timeout);
                out.u16(*hard_timeout);
                out.u16(*priority);
                out.zeros(4);
                out.u64(*cookie);
                put_match13(out, match_, version);
                instruction::put(out, instructions, match_, version);
            } else {
                out.u16(reason.into());
                out.u16(*priority);
                out.u16(*idle_timeout);
                out.u16(*hard_timeout);
                let len_at = out.len();
                out.u16(0);
                out.u8(*table_id);
                out.zeros(1);
                out.u64(*cookie);
                put_old_rule(out, len_at, match_, instructions, version);
            }
            out.patch_len(start, start);
        }
    }
}

/// Match and actions as 1.0 to 1.3 have them in an update.
fn put_old_rule(
    out: &mut Vec<u8>,
    len_at: usize,
    match_: &flow::Match,
    instructions: &Instructions,
    version: Version,
) {
    let start = out.len();
    if version == Version::V13 {
        put_match13(out, match_, version);
        out.patch_len(len_at, start);
        instruction::put(out, instructions, match_, version);
    } else {
        let len = put_match_nxm(out, match_, (0, 0));
        out.patch_u16(len_at, len);
        instruction::put_list(out, instructions, match_, version);
    }
}

fn wire_event(event: FlowEvent, is_standard: bool) -> u16 {
    match (event, is_standard) {
        (FlowEvent::Initial, true) => event::INITIAL,
        (FlowEvent::Added, true) => event::ADDED,
        (FlowEvent::Removed(_), true) => event::REMOVED,
        (FlowEvent::Modified, true) => event::MODIFIED,
        (FlowEvent::Initial | FlowEvent::Added, false) => event::NX_ADDED,
        (FlowEvent::Removed(_), false) => event::NX_REMOVED,
        (FlowEvent::Modified, false) => event::NX_MODIFIED,
    }
}
