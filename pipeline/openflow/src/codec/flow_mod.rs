//! Flow-mods: the standard's of each version and Nicira's.

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::Match;

use super::oxm::{self, Flavour, Unknown};
use super::wire::{Put, Reader, Result};
use super::{Dialect, Kind, instruction, match10, match11, nicira};
use crate::actions::{self, CheckContext};
use crate::{
    FlowFormat, FlowMod, FlowModCommand, FlowModFlags, GROUP_ANY, Instructions, NICIRA,
    OfErrorKind, OfPort, TABLE_ALL, Version,
};

/// `OFP_NO_BUFFER`.
const NO_BUFFER: u32 = 0xffff_ffff;
/// The new cookie that leaves the cookie alone, in 1.0.
const KEEP_COOKIE: u64 = u64::MAX;
/// 1.0's emergency flows (1.0.1 §5.3.3: optional).
const FLAG_EMERG_V10: u16 = 1 << 2;

/// Rules whose actions take more bytes than this are checked to fit a reply in every version: the
/// longest forms are three times as long as the shortest.
const EASY_BYTES: usize = 20_000;
/// The most that the actions or instructions of a rule may take in any version, so that a statistics
/// reply with a single rule can be sent.
const MOST_BYTES: usize = 62_000;

/// A match as 1.2 and later have it (1.3.5 §7.2.3.1): type, length, entries, padding to 8 bytes. The
/// fixed match of 1.1 has another type; either is understood in 1.1.
pub(super) fn read_match13(
    r: &mut Reader<'_>,
    unknown: Unknown,
    version: Version,
) -> Result<Match> {
    let mut out = Match::default();
    read_match13_into(&mut out, r, unknown, version)?;
    Ok(out)
}

/// The same into `out`, which matches everything so far.
fn read_match13_into(
    out: &mut Match,
    r: &mut Reader<'_>,
    unknown: Unknown,
    version: Version,
) -> Result<()> {
    let kind = r.u16()?;
    let len = usize::from(r.u16()?);
    if kind == match11::TYPE && version == Version::V11 {
        if len != usize::from(match11::MATCH_BYTES) {
            return Err(OfErrorKind::MatchBadLen);
        }
        let mut body = r.sub(len - 4, OfErrorKind::MatchBadLen)?;
        *out = match11::read(&mut body)?;
        return Ok(());
    }
    if kind != oxm::MATCH_TYPE {
        return Err(OfErrorKind::MatchBadType);
    }
    let body = len.checked_sub(4).ok_or(OfErrorKind::MatchBadLen)?;
    let mut padded = sub_padded(r, body, len)?;
    let entries = padded.sub(body, OfErrorKind::MatchBadLen)?;
    match oxm::read_match_into(out, entries, unknown)? {
        (_, 0) => Ok(()),
        _ => Err(OfErrorKind::MatchBadField),
    }
}

/// `body` bytes and the padding that rounds `len` up to 8.
fn sub_padded<'a>(r: &mut Reader<'a>, body: usize, len: usize) -> Result<Reader<'a>> {
    let padding = len.next_multiple_of(8) - len;
    r.sub(body + padding, OfErrorKind::MatchBadLen)
}

/// Writes a match as the version has it. What the fixed match of 1.1 cannot say is written as 1.2 has
/// it, which is better than to say something else.
pub(super) fn put_match13(out: &mut Vec<u8>, match_: &Match, version: Version) {
    if version == Version::V11 && match11::can_say(match_) {
        match11::put(out, match_);
        return;
    }
    let version = version.max(Version::V12);
    let start = out.len();
    out.u16(oxm::MATCH_TYPE);
    out.u16(0);
    oxm::put_match(out, match_, Flavour::Oxm(version));
    out.patch_len(start + 2, start);
    out.pad8(start);
}

/// The entries of an NXM match of `len` bytes and their padding.
pub(super) fn read_match_nxm(
    r: &mut Reader<'_>,
    len: u16,
    unknown: Unknown,
) -> Result<(Match, oxm::Cookie)> {
    let len = usize::from(len);
    let mut padded = sub_padded(r, len, len)?;
    oxm::read_match(padded.sub(len, OfErrorKind::MatchBadLen)?, unknown)
}

/// Writes the entries of an NXM match, padded, and returns their length.
pub(super) fn put_match_nxm(out: &mut Vec<u8>, match_: &Match, cookie: oxm::Cookie) -> u16 {
    let start = out.len();
    oxm::put_match(out, match_, Flavour::Nxm);
    oxm::put_cookie(out, cookie);
    let len = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
    out.pad8(start);
    len
}

/// Reads a standard flow-mod.
pub(super) fn read(r: &mut Reader<'_>, dialect: &Dialect) -> Result<Box<FlowMod>> {
    match dialect.version {
        Version::V10 => read_v10(r, dialect).map(Box::new),
        _ => read_v11(r, dialect),
    }
}

/// 1.0.1 §5.3.3.
fn read_v10(r: &mut Reader<'_>, dialect: &Dialect) -> Result<FlowMod> {
    let match10::Read { match_, is_exact } = match10::read_match(r)?;
    let cookie = r.u64()?;
    let command = r.u16()?;
    let idle_timeout = r.u16()?;
    let hard_timeout = r.u16()?;
    // A rule without wildcards has the highest priority (1.0.1 §3.4).
    let priority = r.u16()?;
    let priority = if is_exact { u16::MAX } else { priority };
    let buffer_id = buffer(r.u32()?);
    let out_port = OfPort::from_u16(r.u16()?);
    let raw_flags = r.u16()?;
    let mut flow_mod = FlowMod {
        new_cookie: (cookie != KEEP_COOKIE).then_some(cookie),
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        match_,
        ..FlowMod::default()
    };
    finish(r, &mut flow_mod, Command::Combined(command), raw_flags, dialect)?;
    Ok(flow_mod)
}

/// `NXT_FLOW_MOD`, which has its cookie filter in the match.
pub(super) fn read_nxm(r: &mut Reader<'_>, dialect: &Dialect) -> Result<FlowMod> {
    let new_cookie = r.u64()?;
    let command = r.u16()?;
    let idle_timeout = r.u16()?;
    let hard_timeout = r.u16()?;
    let priority = r.u16()?;
    let buffer_id = buffer(r.u32()?);
    let out_port = OfPort::from_u16(r.u16()?);
    let raw_flags = r.u16()?;
    let match_len = r.u16()?;
    r.skip(6)?;
    let (match_, (cookie, cookie_mask)) = read_match_nxm(r, match_len, Unknown::Refuse)?;
    let mut flow_mod = FlowMod {
        new_cookie: (new_cookie != KEEP_COOKIE).then_some(new_cookie),
        cookie,
        cookie_mask,
        idle_timeout,
        hard_timeout,
        priority,
        buffer_id,
        out_port,
        match_,
        ..FlowMod::default()
    };
    finish(r, &mut flow_mod, Command::Combined(command), raw_flags, dialect)?;
    // An add gives a cookie; it has none to compare.
    if flow_mod.command == FlowModCommand::Add && cookie_mask != 0 {
        return Err(OfErrorKind::NxRequestNxmInvalid);
    }
    Ok(flow_mod)
}

/// 1.1 §A.3.4.1, 1.3.5 §7.3.4.1, 1.4.1 §7.3.4.2.
fn read_v11(r: &mut Reader<'_>, dialect: &Dialect) -> Result<Box<FlowMod>> {
    // Read in place: it is large because of its match.
    let mut flow_mod = Box::<FlowMod>::default();
    let cookie = r.u64()?;
    let cookie_mask = r.u64()?;
    let table_id = r.u8()?;
    let command = r.u8()?;
    let idle_timeout = r.u16()?;
    let hard_timeout = r.u16()?;
    let priority = r.u16()?;
    let buffer_id = buffer(r.u32()?);
    let out_port = OfPort(r.u32()?);
    let out_group = r.u32()?;
    let raw_flags = r.u16()?;
    // Padding before 1.4.
    let importance = r.u16()?;
    let importance = if dialect.version < Version::V14 { 0 } else { importance };
    read_match13_into(&mut flow_mod.match_, r, Unknown::Refuse, dialect.version)?;
    flow_mod.importance = importance;
    (flow_mod.cookie, flow_mod.cookie_mask, flow_mod.new_cookie) = (cookie, cookie_mask, None);
    (flow_mod.idle_timeout, flow_mod.hard_timeout) = (idle_timeout, hard_timeout);
    flow_mod.priority = priority;
    flow_mod.buffer_id = buffer_id;
    (flow_mod.out_port, flow_mod.out_group) = (out_port, out_group);
    finish(r, &mut flow_mod, Command::Separate(command, table_id), raw_flags, dialect)?;
    // In 1.1 a modify that does not filter by cookie adds when it finds nothing (1.1 §4.6).
    let may_add = dialect.version == Version::V11
        && flow_mod.command.is_modify()
        && flow_mod.cookie_mask == 0;
    if flow_mod.command == FlowModCommand::Add || may_add {
        flow_mod.new_cookie = Some(cookie);
        (flow_mod.cookie, flow_mod.cookie_mask) = (0, 0);
    }
    // All tables are for deletes, says 1.3.5 §7.3.4.1; Open vSwitch takes them in modifies too, and
    // `ovs-ofctl mod-flows` without a table sends them.
    if table_id == TABLE_ALL && flow_mod.command == FlowModCommand::Add {
        return Err(OfErrorKind::FlowModBadTableId);
    }
    Ok(flow_mod)
}

/// Where the command stands, and whether the table is with it.
enum Command {
    /// 16 bits; the upper half is the table where the connection has switched that on.
    Combined(u16),
    /// Command and table.
    Separate(u8, u8),
}

/// Reads the instructions and checks all that versions have in common.
fn finish(
    r: &mut Reader<'_>,
    flow_mod: &mut FlowMod,
    command: Command,
    raw_flags: u16,
    dialect: &Dialect,
) -> Result<()> {
    let version = dialect.version;
    let (command, table) = match command {
        Command::Separate(command, table) => (command.into(), Some(table)),
        Command::Combined(both) if dialect.flow_mod_table_id => {
            let [table, command] = both.to_be_bytes();
            (command.into(), Some(table))
        }
        Command::Combined(command) => (command, None),
    };
    flow_mod.command = match command {
        0 => FlowModCommand::Add,
        1 => FlowModCommand::Modify,
        2 => FlowModCommand::ModifyStrict,
        3 => FlowModCommand::Delete,
        4 => FlowModCommand::DeleteStrict,
        _ => return Err(OfErrorKind::FlowModBadCommand),
    };
    flow_mod.table_id = table.unwrap_or(TABLE_ALL);
    flow_mod.flags = read_flags(raw_flags, flow_mod, version)?;
    if !flow_mod.command.is_delete() {
        // The filters are for deletes (1.3.5 §6.4).
        (flow_mod.out_port, flow_mod.out_group) = (OfPort::ANY, GROUP_ANY);
    }
    let len = r.len();
    let list = Reader::new(r.take_all(), OfErrorKind::RequestBadLen);
    let goes_on_from = table.filter(|table| *table != TABLE_ALL);
    flow_mod.instructions = instruction::read(list, &flow_mod.match_, goes_on_from, version)?;
    let context = CheckContext::for_version(version);
    actions::check_instructions(&flow_mod.instructions, flow_mod.match_.flow(), context)?;
    if len > EASY_BYTES {
        check_size(&flow_mod.instructions, &flow_mod.match_)?;
    }
    Ok(())
}

fn read_flags(raw: u16, flow_mod: &FlowMod, version: Version) -> Result<FlowModFlags> {
    let known = known_flags(version);
    if version == Version::V10 && raw & FLAG_EMERG_V10 != 0 {
        let has_timeout = flow_mod.idle_timeout != 0 || flow_mod.hard_timeout != 0;
        return Err(match has_timeout {
            true => OfErrorKind::FlowModBadEmergTimeout,
            false => OfErrorKind::FlowModTableFull,
        });
    }
    let mut flags = FlowModFlags::from_bits(raw)
        .filter(|flags| known.contains(*flags))
        .ok_or(OfErrorKind::FlowModBadFlags)?;
    // Before 1.2 an add always resets counters.
    if version < Version::V12 && flow_mod.command == FlowModCommand::Add {
        flags |= FlowModFlags::RESET_COUNTS;
    }
    Ok(flags)
}

/// The flags that a version has.
fn known_flags(version: Version) -> FlowModFlags {
    let old = FlowModFlags::SEND_FLOW_REM | FlowModFlags::CHECK_OVERLAP;
    match version {
        Version::V10 | Version::V11 => old,
        Version::V12 => old | FlowModFlags::RESET_COUNTS,
        _ => FlowModFlags::all(),
    }
}

fn check_size(instructions: &Instructions, match_: &Match) -> Result<()> {
    for version in Version::ALL {
        let mut bytes = Vec::new();
        instruction::put(&mut bytes, instructions, match_, version);
        if bytes.len() > MOST_BYTES {
            return Err(OfErrorKind::ActionTooMany);
        }
    }
    Ok(())
}

fn buffer(id: u32) -> Option<u32> {
    (id != NO_BUFFER).then_some(id)
}

/// Writes a flow-mod and returns the message type that it has become.
pub(super) fn put(out: &mut Vec<u8>, flow_mod: &FlowMod, dialect: &Dialect) -> Kind {
    match dialect.version {
        Version::V10 => put_v10(out, flow_mod, dialect),
        version => {
            put_v11(out, flow_mod, version);
            Kind::FlowMod
        }
    }
}

fn put_v10(out: &mut Vec<u8>, flow_mod: &FlowMod, dialect: &Dialect) -> Kind {
    let new_cookie = flow_mod.new_cookie.unwrap_or(KEEP_COOKIE);
    let command = match dialect.flow_mod_table_id {
        true => u16::from_be_bytes([flow_mod.table_id, command(flow_mod.command)]),
        false => command(flow_mod.command).into(),
    };
    let flags = flow_mod.flags.intersection(known_flags(Version::V10)).bits();
    let out_port = flow_mod.out_port.to_u16().unwrap_or(u16::MAX);
    let cookie = (flow_mod.cookie, flow_mod.cookie_mask);
    let is_standard = dialect.flow_format == FlowFormat::Standard
        && flow_mod.cookie_mask == 0
        && match10::can_say(&flow_mod.match_);
    if is_standard {
        match10::put_match(out, &flow_mod.match_);
    } else {
        nicira::put_header(out, NICIRA, nicira::FLOW_MOD);
    }
    out.u64(new_cookie);
    out.u16(command);
    out.u16(flow_mod.idle_timeout);
    out.u16(flow_mod.hard_timeout);
    out.u16(flow_mod.priority);
    out.u32(flow_mod.buffer_id.unwrap_or(NO_BUFFER));
    out.u16(out_port);
    out.u16(flags);
    if !is_standard {
        let len_at = out.len();
        out.u16(0);
        out.zeros(6);
        let len = put_match_nxm(out, &flow_mod.match_, cookie);
        out.patch_u16(len_at, len);
    }
    instruction::put(out, &flow_mod.instructions, &flow_mod.match_, Version::V10);
    if is_standard { Kind::FlowMod } else { Kind::Experimenter }
}

fn put_v11(out: &mut Vec<u8>, flow_mod: &FlowMod, version: Version) {
    let gives_cookie = flow_mod.command == FlowModCommand::Add
        || version == Version::V11 && flow_mod.command.is_modify() && flow_mod.cookie_mask == 0;
    out.u64(match flow_mod.new_cookie {
        Some(cookie) if gives_cookie => cookie,
        _ => flow_mod.cookie,
    });
    out.u64(flow_mod.cookie_mask);
    // "You choose", which only 1.0 has, is table 0.
    let chooses = flow_mod.command == FlowModCommand::Add && flow_mod.table_id == TABLE_ALL;
    out.u8(if chooses { 0 } else { flow_mod.table_id });
    out.u8(command(flow_mod.command));
    out.u16(flow_mod.idle_timeout);
    out.u16(flow_mod.hard_timeout);
    out.u16(flow_mod.priority);
    out.u32(flow_mod.buffer_id.unwrap_or(NO_BUFFER));
    out.u32(flow_mod.out_port.0);
    out.u32(flow_mod.out_group);
    out.u16((flow_mod.flags & known_flags(version)).bits());
    out.u16(if version < Version::V14 { 0 } else { flow_mod.importance });
    put_match13(out, &flow_mod.match_, version);
    instruction::put(out, &flow_mod.instructions, &flow_mod.match_, version);
}

fn command(command: FlowModCommand) -> u8 {
    match command {
        FlowModCommand::Add => 0,
        FlowModCommand::Modify => 1,
        FlowModCommand::ModifyStrict => 2,
        FlowModCommand::Delete => 3,
        FlowModCommand::DeleteStrict => 4,
    }
}
