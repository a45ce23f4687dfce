//! Reading actions and instructions.

use alloc::boxed::Box;
use alloc::vec::Vec;

use flow::Field;
use flow::proto::VLAN_PRESENT;
use flow::text::{KeyValues, PortNames, parse_port, parse_value};

use super::error::{TextError, TextProblem};
use super::{nicira, number, stat_trigger};
use crate::actions::TRUNCATE_MIN;
use crate::codec::MAX_NESTING;
use crate::{
    Action, ControllerAction, Instructions, OfErrorKind, OfPort, PacketInReason, Subfield,
};

type Result<T> = core::result::Result<T, TextError>;

/// Reads a list of actions: `output:2,set_field:5->reg0`. `drop` and nothing are the empty list.
///
/// # Errors
/// When a piece is no action.
pub fn parse_actions(text: &str, ports: &dyn PortNames) -> Result<Vec<Action>> {
    parse_list(text, ports, 0)
}

/// Reads a list of actions inside `depth` others.
fn parse_list(text: &str, ports: &dyn PortNames, depth: u8) -> Result<Vec<Action>> {
    if depth > MAX_NESTING {
        return Err(bad("clone", "fewer lists in each other"));
    }
    let instructions = parse_nested(text, ports, depth)?;
    let apply = instructions.apply.clone();
    if instructions == Instructions::apply(apply.clone()) {
        Ok(apply)
    } else {
        Err(TextError::new(TextProblem::MisplacedInstruction, text))
    }
}

/// Reads actions and instructions: `output:2,write_metadata:0x1,goto_table:3`.
///
/// # Errors
/// When a piece is neither.
pub fn parse_instructions(text: &str, ports: &dyn PortNames) -> Result<Instructions> {
    parse_nested(text, ports, 0)
}

fn parse_nested(text: &str, ports: &dyn PortNames, depth: u8) -> Result<Instructions> {
    let mut out = Instructions::default();
    let mut drops = false;
    let mut n_pieces = 0;
    for (key, value) in KeyValues::new(text) {
        n_pieces += 1;
        let misplaced = || TextError::new(TextProblem::MisplacedInstruction, key);
        match key {
            "drop" => drops = true,
            "meter" => match out.meter {
                None => out.meter = Some(int(value)?),
                Some(_) => return Err(misplaced()),
            },
            "clear_actions" if out.clear => return Err(misplaced()),
            "clear_actions" => out.clear = true,
            "write_actions" if !out.write.is_empty() => return Err(misplaced()),
            "write_actions" => out.write = parse_list(value, ports, depth + 1)?,
            "write_metadata" if out.metadata.is_some() => return Err(misplaced()),
            "write_metadata" => {
                let (value, mask) = value.split_once('/').unwrap_or((value, "0xffffffffffffffff"));
                let mask = int(mask)?;
                out.metadata = Some((int::<u64>(value)? & mask, mask));
            }
            "goto_table" if out.goto_table.is_some() => return Err(misplaced()),
            "goto_table" => out.goto_table = Some(int(value)?),
            "stat_trigger" if out.stat_trigger.is_some() => return Err(misplaced()),
            "stat_trigger" => out.stat_trigger = Some(Box::new(stat_trigger::parse(value)?)),
            _ => out.apply.push(parse_action(key, value, ports, depth)?),
        }
    }
    if drops && n_pieces > 1 {
        return Err(TextError::new(TextProblem::DropNotAlone, text));
    }
    if out.has_misplaced_conjunction() {
        let problem = TextProblem::Inconsistent(OfErrorKind::NxActionBadConjunction);
        return Err(TextError::new(problem, text));
    }
    Ok(out)
}

fn parse_action(key: &str, value: &str, ports: &dyn PortNames, depth: u8) -> Result<Action> {
    let lower = key.to_ascii_lowercase();
    let field = |field: Field| -> Result<Action> {
        let (number, mask) = parse_value(field, value, ports)?;
        if mask & field.ones() != field.ones() {
            return Err(bad(value, "an address without a mask"));
        }
        Ok(Action::set_field(field, number))
    };
    Ok(match lower.as_str() {
        "output" => parse_output(value, ports)?,
        "controller" => parse_controller(value)?,
        "enqueue" => {
            let form = "enqueue:PORT:QUEUE";
            let (port, queue) = split(value, &[',', ':'], form)?;
            Action::Enqueue { port: port_of(port, ports)?, queue: int(queue)? }
        }
        "group" => Action::Group(int(value)?),
        "mod_vlan_vid" => Action::SetVlanVid(at_most(value, 0xfff)?),
        "mod_vlan_pcp" => Action::SetVlanPcp(at_most(value, 7)?),
        "set_vlan_vid" => {
            let vid: u16 = at_most(value, 0xfff)?;
            Action::set_field(Field::VlanVid, (vid | VLAN_PRESENT).into())
        }
        "set_vlan_pcp" => Action::set_field(Field::VlanPcp, at_most::<u8>(value, 7)?.into()),
        "strip_vlan" | "pop_vlan" => Action::PopVlan,
        "push_vlan" => Action::PushVlan(int(value)?),
        "mod_dl_src" => field(Field::EthSrc)?,
        "mod_dl_dst" => field(Field::EthDst)?,
        "mod_nw_src" => field(Field::Ipv4Src)?,
        "mod_nw_dst" => field(Field::Ipv4Dst)?,
        "mod_nw_tos" => match int::<u8>(value)? {
            tos if tos & 3 == 0 => Action::set_field(Field::IpDscp, tos.into()),
            _ => return Err(bad(value, "a multiple of 4 up to 252")),
        },
        "mod_nw_ecn" => Action::set_field(Field::IpEcn, at_most::<u8>(value, 3)?.into()),
        "mod_nw_ttl" => Action::SetNwTtl(int(value)?),
        "mod_tp_src" => Action::SetTpSrc(int(value)?),
        "mod_tp_dst" => Action::SetTpDst(int(value)?),
        "set_mpls_label" => {
            Action::set_field(Field::MplsLabel, at_most::<u32>(value, 0xf_ffff)?.into())
        }
        "set_mpls_tc" => Action::set_field(Field::MplsTc, at_most::<u8>(value, 7)?.into()),
        "set_mpls_ttl" => Action::SetMplsTtl(int(value)?),
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "push_mpls" => Action::PushMpls(int(value)?),
        "pop_mpls" => Action::PopMpls(int(value)?),
        "dec_ttl" if value.is_empty() => Action::DecTtl(Vec::from([0])),
        "dec_ttl" => {
            let ids: Result<Vec<u16>> = value.split(',').map(|id| int(id.trim())).collect();
            Action::DecTtl(ids?)
        }
        "copy_ttl_in" => Action::CopyTtlIn,
        "copy_ttl_out" => Action::CopyTtlOut,
        "push_pbb" => Action::PushPbb(int(value)?),
        "pop_pbb" => Action::PopPbb,
        "set_tunnel" | "set_tunnel64" => {
            Action::set_field(Field::TunnelId, int::<u64>(value)?.into())
        }
        "set_queue" => Action::SetQueue(int(value)?),
        "pop_queue" => Action::PopQueue,
        "resubmit" => parse_resubmit(value, ports)?,
        "note" => parse_note(value)?,
        "exit" => Action::Exit,
        "fin_timeout" => parse_fin_timeout(value)?,
        "learn" => nicira::parse_learn(value, ports)?,
        "conjunction" => nicira::parse_conjunction(value)?,
        "multipath" => nicira::parse_multipath(value)?,
        "bundle" | "bundle_load" => nicira::parse_bundle(value, lower == "bundle_load", ports)?,
        "clone" => Action::Clone(parse_list(value, ports, depth + 1)?),
        "sample" => nicira::parse_sample(value, ports)?,
        "delete_field" => Action::DeleteField(field_named(value)?),
        "ct" | "nat" | "ct_clear" => {
            let problem = TextProblem::Inconsistent(OfErrorKind::NxActionCtDatapathSupport);
            return Err(TextError::new(problem, key));
        }
        "check_pkt_larger" => parse_check_pkt_larger(value)?,
        "set_field" => parse_set_field(value, ports)?,
        "load" | "reg_load" => parse_load(value)?,
        "move" | "reg_move" => {
            let (src, dst) = arrow(value, "move:SRC[]->DST[]")?;
            let (src, dst) = (subfield(src)?, subfield(dst)?);
            if src.n_bits != dst.n_bits {
                return Err(bad(value, "two fields of the same width"));
            }
            Action::Move { src, dst }
        }
        "push" => Action::StackPush(subfield(value)?),
        "pop" => Action::StackPop(subfield(value)?),
        // A port on its own is an output: `2`, `NORMAL`, `eth0`.
        _ if value.is_empty() => match parse_port(key, ports) {
            Some(port) => output(OfPort(port)),
            None => return Err(TextError::new(TextProblem::UnknownAction, key)),
        },
        _ => return Err(TextError::new(TextProblem::UnknownAction, key)),
    })
}

fn output(port: OfPort) -> Action {
    let max_len = if port == OfPort::CONTROLLER { u16::MAX } else { 0 };
    Action::Output { port, max_len }
}

/// `output:2`, `output:NXM_NX_REG0[0..15]`, `output(port=2,max_len=100)`.
fn parse_output(value: &str, ports: &dyn PortNames) -> Result<Action> {
    if value.contains('[') {
        return Ok(Action::OutputReg { src: subfield(value)?, max_len: u16::MAX });
    }
    if !value.contains("port=") {
        return port_of(value, ports).map(output);
    }
    let (mut port, mut max_len) = (None, None);
    for (key, value) in KeyValues::new(value) {
        match key {
            "port" => port = Some(port_of(value, ports)?),
            "max_len" => max_len = Some(int(value)?),
            _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
        }
    }
    match (port, max_len) {
        (Some(port), Some(max_len)) if max_len >= TRUNCATE_MIN => {
            Ok(Action::OutputTrunc { port, max_len })
        }
        _ => Err(bad(value, "output(port=PORT,max_len=BYTES) with at least 14 bytes")),
    }
}

/// `controller`, `controller:100`, `controller(reason=…,max_len=…,id=…,userdata=…,pause)`.
fn parse_controller(value: &str) -> Result<Action> {
    let mut controller = ControllerAction::default();
    if value.is_empty() {
        return Ok(output(OfPort::CONTROLLER));
    }
    if let Some(max_len) = number(value) {
        let max_len =
            u16::try_from(max_len).map_err(|_| TextError::new(TextProblem::BadNumber, value))?;
        return Ok(Action::Output { port: OfPort::CONTROLLER, max_len });
    }
    for (key, value) in KeyValues::new(value) {
        match key {
            "reason" => {
                let named = (0..=5)
                    .filter_map(PacketInReason::from_wire)
                    .find(|reason| reason.name() == value);
                controller.reason =
                    named.ok_or_else(|| bad(value, "no_match, action or invalid_ttl"))?;
            }
            "max_len" => controller.max_len = int(value)?,
            "id" => controller.controller_id = int(value)?,
            "userdata" => controller.userdata = hex(value)?,
            "pause" => controller.pause = true,
            "meter_id" => controller.meter_id = Some(int(value)?),
            _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
        }
    }
    let max_len = controller.max_len;
    if controller == (ControllerAction { max_len, ..ControllerAction::default() }) {
        return Ok(Action::Output { port: OfPort::CONTROLLER, max_len });
    }
    Ok(Action::Controller(controller))
}

/// `resubmit:PORT`, `resubmit(PORT,TABLE)`, either part of which may be left out.
fn parse_resubmit(value: &str, ports: &dyn PortNames) -> Result<Action> {
    let (port, table) = value.split_once(',').unwrap_or((value, ""));
    let port = match port.trim() {
        "" => OfPort::IN_PORT,
        port => port_of(port, ports)?,
    };
    let table = match table.trim() {
        "" => u8::MAX,
        table => int(table)?,
    };
    if port == OfPort::IN_PORT && table == u8::MAX {
        return Err(bad(value, "resubmit(PORT,TABLE) with at least one of them"));
    }
    Ok(Action::Resubmit { port, table })
}

/// Bytes in hexadecimal with dots; zeros fill up to the length that the wire has.
fn parse_note(value: &str) -> Result<Action> {
    /// Bytes of an action before its note.
    const HEADER_BYTES: usize = 10;
    let mut note = hex(value)?;
    let len = (HEADER_BYTES + note.len()).next_multiple_of(8) - HEADER_BYTES;
    note.resize(len, 0);
    Ok(Action::Note(note))
}

fn parse_fin_timeout(value: &str) -> Result<Action> {
    let (mut idle_timeout, mut hard_timeout) = (0, 0);
    for (key, value) in KeyValues::new(value) {
        match key {
            "idle_timeout" => idle_timeout = int(value)?,
            "hard_timeout" => hard_timeout = int(value)?,
            _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
        }
    }
    Ok(Action::FinTimeout { idle_timeout, hard_timeout })
}

/// `check_pkt_larger(LEN)->FIELD[BIT]`.
fn parse_check_pkt_larger(value: &str) -> Result<Action> {
    let form = "check_pkt_larger(LEN)->FIELD[BIT]";
    let (len, dst) = arrow(value, form)?;
    let dst = subfield(dst)?;
    if dst.n_bits != 1 || !dst.field.spec().writable {
        return Err(bad(value, form));
    }
    let len = len.trim_matches(['(', ')']);
    Ok(Action::CheckPktLarger { len: int(len)?, dst })
}

/// `set_field:VALUE[/MASK]->FIELD`.
fn parse_set_field(value: &str, ports: &dyn PortNames) -> Result<Action> {
    let form = "set_field:VALUE[/MASK]->FIELD";
    let (value, name) = arrow(value, form)?;
    let field = field_named(name.strip_suffix("[]").unwrap_or(name))?;
    if !field.spec().writable {
        return Err(bad(name, "a field that can be written"));
    }
    let (value, mask) = parse_value(field, value, ports)?;
    let mask = mask & field.ones();
    if mask == 0 {
        return Err(bad(name, form));
    }
    Ok(Action::SetField { field, value: value & mask, mask })
}

/// `load:VALUE->FIELD[BITS]`.
fn parse_load(value: &str) -> Result<Action> {
    let (value, dst) = arrow(value, "load:VALUE->FIELD[BITS]")?;
    let dst = subfield(dst)?;
    if !dst.field.spec().writable {
        return Err(bad(value, "a field that can be written"));
    }
    let value: u64 = int(value)?;
    if u128::from(value) > dst.max_value() {
        return Err(TextError::new(TextProblem::BadNumber, value_text(dst)));
    }
    Ok(Action::Load { dst, value })
}

fn value_text(dst: Subfield) -> &'static str {
    dst.field.name()
}

/// Reads the name of a field or of a part of it: `NXM_NX_REG0[0..15]`, `reg0[3]`, `reg0[]`, `reg0`.
///
/// # Errors
/// No such field, or no such part of it.
pub fn subfield(text: &str) -> Result<Subfield> {
    let fail = || TextError::new(TextProblem::BadSubfield, text);
    let (name, bits) = match text.split_once('[') {
        Some((name, bits)) => (name, bits.strip_suffix(']').ok_or_else(fail)?),
        None => (text, ""),
    };
    let field = field_named(name)?;
    // Nicira's ingress port has 16 bits, that of OpenFlow 1.1 and later 32.
    let is_short = matches!(name, "in_port" | "NXM_OF_IN_PORT");
    if bits.is_empty() {
        return Ok(if is_short { Subfield::SHORT_IN_PORT } else { Subfield::whole(field) });
    }
    let (first, last) = bits.split_once("..").unwrap_or((bits, bits));
    let (first, last) = (int::<u8>(first)?, int::<u8>(last)?);
    let n_bits = last.checked_sub(first).and_then(|n| n.checked_add(1)).ok_or_else(fail)?;
    let part = Subfield::new(field, first, n_bits).ok_or_else(fail)?;
    if is_short && !part.is_short_port() { Err(fail()) } else { Ok(part) }
}

fn field_named(name: &str) -> Result<Field> {
    Field::from_wire_name(name)
        .or_else(|| Field::from_name(name))
        .ok_or_else(|| TextError::new(TextProblem::BadSubfield, name))
}

fn port_of(text: &str, ports: &dyn PortNames) -> Result<OfPort> {
    parse_port(text, ports)
        .map(OfPort)
        .ok_or_else(|| TextError::new(TextProblem::UnknownPort, text))
}

pub(super) fn int<T: TryFrom<u128>>(text: &str) -> Result<T> {
    number(text)
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| TextError::new(TextProblem::BadNumber, text))
}

fn at_most<T: TryFrom<u128> + PartialOrd + Copy>(text: &str, most: T) -> Result<T> {
    let value: T = int(text)?;
    if value <= most { Ok(value) } else { Err(TextError::new(TextProblem::BadNumber, text)) }
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'.').collect();
    let fail = || TextError::new(TextProblem::BadNumber, text);
    let byte = |pair: &[u8]| {
        let text = core::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        text.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        u8::from_str_radix(text, 16).ok()
    };
    digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>().ok_or_else(fail)
}

fn split<'a>(text: &'a str, at: &[char], form: &'static str) -> Result<(&'a str, &'a str)> {
    text.split_once(at).ok_or_else(|| bad(text, form))
}

pub(super) fn arrow<'a>(text: &'a str, form: &'static str) -> Result<(&'a str, &'a str)> {
    text.split_once("->").ok_or_else(|| bad(text, form))
}

pub(super) fn bad(text: &str, form: &'static str) -> TextError {
    TextError::new(TextProblem::BadArgument(form), text)
}
