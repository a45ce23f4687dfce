//! Instructions (1.3.5 §7.2.4), and what stands for them in OpenFlow 1.0.
//!
//! The meter is an instruction in 1.3 and 1.4 and an action in 1.5; first of all in a rule, it means
//! the same.
//!
//! OpenFlow 1.0 has a list of actions only. Nicira's write-metadata may end it; a goto becomes a
//! resubmit when a 1.0 client asks about a rule that a 1.3 controller made, as in Open vSwitch.

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::Match;

use super::action::{self, WRITE_METADATA};
use super::oxs::{self, Oxs};
use super::wire::{Put, Reader, Result};
use crate::{
    Action, Instructions, METER_MAX, NICIRA, OfErrorKind, OfPort, StatTrigger, StatTriggerFlags,
    Version,
};

const GOTO_TABLE: u16 = 1;
const WRITE_METADATA_INSTRUCTION: u16 = 2;
const WRITE_ACTIONS: u16 = 3;
const APPLY_ACTIONS: u16 = 4;
const CLEAR_ACTIONS: u16 = 5;
const METER: u16 = 6;
const STAT_TRIGGER: u16 = 7;
const EXPERIMENTER: u16 = 0xffff;

/// Nanoseconds of a second.
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Bytes of Nicira's write-metadata action.
const NX_WRITE_METADATA_BYTES: usize = 32;

/// Reads instructions (or the actions of 1.0), all of `reader`, for a rule with `match_` in `table`;
/// `None` for a table that the message does not name.
pub(crate) fn read(
    reader: Reader<'_>,
    match_: &Match,
    table: Option<u8>,
    version: Version,
) -> Result<Instructions> {
    let mut instructions = match version {
        Version::V10 => read_v10(reader, version)?,
        _ => read_v11(reader, table, version)?,
    };
    if instructions.has_misplaced_conjunction() {
        return Err(OfErrorKind::NxActionBadConjunction);
    }
    action::resolve_ports(&mut instructions.apply, match_);
    action::resolve_ports(&mut instructions.write, match_);
    Ok(instructions)
}

/// Reads a list of actions as a rule of 1.0 has it, in the actions of `version`.
pub(crate) fn read_list(
    reader: Reader<'_>,
    match_: &Match,
    version: Version,
) -> Result<Instructions> {
    let mut instructions = read_v10(reader, version)?;
    action::resolve_ports(&mut instructions.apply, match_);
    Ok(instructions)
}

/// Actions, and at their end perhaps Nicira's write-metadata.
fn read_v10(reader: Reader<'_>, version: Version) -> Result<Instructions> {
    let (actions, metadata) = split_write_metadata(reader)?;
    Ok(Instructions {
        apply: action::read_actions(actions, version)?,
        metadata,
        ..Instructions::default()
    })
}

fn split_write_metadata(mut reader: Reader<'_>) -> Result<(Reader<'_>, Option<(u64, u64)>)> {
    let mut last = reader;
    let mut front = 0;
    // Lengths are checked again where the actions are read; here they only lead to the last one.
    loop {
        let mut header = last;
        let (Ok(_), Ok(len)) = (header.u16(), header.u16()) else {
            return Ok((reader, None));
        };
        let len = usize::from(len);
        if len < 8 || len > last.len() {
            return Ok((reader, None));
        }
        if len == last.len() {
            break;
        }
        last.skip(len)?;
        front += len;
    }
    let mut body = last;
    body.skip(4)?;
    let is_write_metadata = last.len() == NX_WRITE_METADATA_BYTES
        && last.rest().starts_with(&EXPERIMENTER.to_be_bytes())
        && body.u32()? == NICIRA
        && body.u16()? == WRITE_METADATA;
    if !is_write_metadata {
        return Ok((reader, None));
    }
    if !body.zeros(6)? {
        return Err(OfErrorKind::NxActionMustBeZero);
    }
    let metadata = (body.u64()?, body.u64()?);
    let actions = reader.sub(front, OfErrorKind::ActionBadLen)?;
    Ok((actions, Some((metadata.0 & metadata.1, metadata.1))))
}

fn read_v11(mut reader: Reader<'_>, table: Option<u8>, version: Version) -> Result<Instructions> {
    let mut out = Instructions::default();
    let mut seen: u32 = 0;
    while !reader.is_empty() {
        let bad_len = OfErrorKind::InstructionBadLen;
        let mut header = reader;
        let kind = header.u16().map_err(|_| bad_len)?;
        let len = usize::from(header.u16().map_err(|_| bad_len)?);
        if len < 8 || len % 8 != 0 {
            return Err(bad_len);
        }
        let mut body = reader.sub(len, bad_len)?;
        body.skip(4)?;
        if kind == EXPERIMENTER {
            return Err(OfErrorKind::InstructionBadExperimenter);
        }
        let last = match version {
            Version::V10 | Version::V11 | Version::V12 => CLEAR_ACTIONS,
            Version::V13 | Version::V14 => METER,
            Version::V15 => STAT_TRIGGER,
        };
        if !(GOTO_TABLE..=last).contains(&kind) {
            return Err(OfErrorKind::InstructionUnknownInst);
        }
        // The meter of 1.5 is an action (1.5.1 §5.5).
        if kind == METER && version == Version::V15 {
            return Err(OfErrorKind::InstructionUnsupInst);
        }
        if seen & 1 << kind != 0 {
            return Err(OfErrorKind::InstructionDupInst);
        }
        seen |= 1 << kind;
        match kind {
            GOTO_TABLE => {
                out.goto_table = Some(goto(body.u8()?, table)?);
                body.skip(3)?;
            }
            WRITE_METADATA_INSTRUCTION => {
                body.skip(4)?;
                let (value, mask) = (body.u64()?, body.u64()?);
                out.metadata = Some((value & mask, mask));
            }
            WRITE_ACTIONS | APPLY_ACTIONS => {
                body.skip(4)?;
                let list = body.take_all();
                let list = Reader::new(list, OfErrorKind::ActionBadLen);
                let actions = action::read_actions(list, version)?;
                if kind == APPLY_ACTIONS {
                    out.apply = actions;
                } else {
                    out.write = actions;
                }
            }
            CLEAR_ACTIONS => {
                body.skip(4)?;
                out.clear = true;
            }
            STAT_TRIGGER => out.stat_trigger = Some(Box::new(read_trigger(&mut body)?)),
            _ => match body.u32()? {
                meter @ 1..=METER_MAX => out.meter = Some(meter),
                _ => return Err(OfErrorKind::MeterModInvalidMeter),
            },
        }
        if !body.is_empty() {
            return Err(bad_len);
        }
    }
    if let (Some(Action::Meter(meter)), None) = (out.apply.first(), out.meter) {
        out.meter = Some(*meter);
        out.apply.remove(0);
    }
    Ok(out)
}

/// A statistics trigger behind its header (1.5.1 §7.2.5).
fn read_trigger(body: &mut Reader<'_>) -> Result<StatTrigger> {
    let bad_len = |_| OfErrorKind::InstructionBadLen;
    let flags = StatTriggerFlags::from_bits(body.u32().map_err(bad_len)?)
        .ok_or(OfErrorKind::InstructionUnsupInst)?;
    let mut list = Reader::new(body.take_all(), OfErrorKind::InstructionBadLen);
    let Oxs { duration, idle_time, packet_count, byte_count, .. } =
        oxs::read_thresholds(&mut list)?;
    if !list.is_empty() {
        return Err(OfErrorKind::InstructionBadLen);
    }
    let is_time = |time: Option<(u32, u32)>| time.is_none_or(|(_, nanos)| nanos < NANOS_PER_SECOND);
    if !is_time(duration) || !is_time(idle_time) {
        return Err(OfErrorKind::InstructionUnsupInst);
    }
    Ok(StatTrigger { flags, duration, idle_time, packet_count, byte_count })
}

/// Goto leads forward only (1.3.5 §5.1).
fn goto(to: u8, from: Option<u8>) -> Result<u8> {
    if to == crate::TABLE_ALL || from.is_some_and(|from| to <= from) {
        return Err(OfErrorKind::InstructionBadTableId);
    }
    Ok(to)
}

/// Writes instructions (or the actions of 1.0) of a rule with `match_`.
pub(crate) fn put(
    out: &mut Vec<u8>,
    instructions: &Instructions,
    match_: &Match,
    version: Version,
) {
    match version {
        Version::V10 => put_list(out, instructions, match_, version),
        _ => put_v11(out, instructions, match_, version),
    }
}

/// Writes the actions of a rule as 1.0 has them, in the actions of `version`. The action set and meters
/// have no such form and are left out.
pub(crate) fn put_list(
    out: &mut Vec<u8>,
    instructions: &Instructions,
    match_: &Match,
    version: Version,
) {
    action::put_actions(out, &instructions.apply, Some(match_), version);
    if let Some(table) = instructions.goto_table {
        let goto = [Action::Resubmit { port: OfPort::IN_PORT, table }];
        action::put_actions(out, &goto, Some(match_), version);
    }
    // As an action it is there in 1.0 alone.
    let metadata = instructions.metadata.filter(|_| version == Version::V10);
    if let Some((value, mask)) = metadata {
        action::put_nicira(out, WRITE_METADATA, |out| {
            out.zeros(6);
            out.u64(value);
            out.u64(mask);
        });
    }
}

fn put_v11(out: &mut Vec<u8>, instructions: &Instructions, match_: &Match, version: Version) {
    let Instructions { meter, apply, clear, write, metadata, goto_table, stat_trigger } =
        instructions;
    // Before 1.3 there are no meters and no way to tell of them.
    let meter = meter.filter(|_| version >= Version::V13);
    let is_action = version >= Version::V15;
    if let Some(meter) = meter.filter(|_| !is_action) {
        put_instruction(out, METER, |out| out.u32(meter));
    }
    let meter = meter.filter(|_| is_action).map(Action::Meter);
    if !apply.is_empty() || meter.is_some() {
        put_instruction(out, APPLY_ACTIONS, |out| {
            out.zeros(4);
            action::put_actions(out, meter.as_slice(), Some(match_), version);
            action::put_actions(out, apply, Some(match_), version);
        });
    }
    if *clear {
        put_instruction(out, CLEAR_ACTIONS, |out| out.zeros(4));
    }
    if !write.is_empty() {
        put_instruction(out, WRITE_ACTIONS, |out| {
            out.zeros(4);
            action::put_actions(out, write, Some(match_), version);
        });
    }
    if let Some((value, mask)) = metadata {
        put_instruction(out, WRITE_METADATA_INSTRUCTION, |out| {
            out.zeros(4);
            out.u64(*value);
            out.u64(*mask);
        });
    }
    if let Some(table) = goto_table {
        put_instruction(out, GOTO_TABLE, |out| {
            out.u8(*table);
            out.zeros(3);
        });
    }
    if let Some(trigger) = stat_trigger.as_ref().filter(|_| version >= Version::V15) {
        let StatTrigger { flags, duration, idle_time, packet_count, byte_count } = **trigger;
        put_instruction(out, STAT_TRIGGER, |out| {
            out.u32(flags.bits());
            oxs::put(out, &Oxs { duration, idle_time, packet_count, byte_count, flow_count: None });
        });
    }
}

fn put_instruction(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    out.patch_len(start + 2, start);
}
