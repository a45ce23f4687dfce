//! Reading flows: match, timeouts and actions.

use flow::Match;
use flow::text::{KeyValues, NoNames, PortNames, apply, parse_port};

use super::error::{TextError, TextProblem};
use super::parse_action::{int, parse_instructions};
use crate::actions::{CheckContext, check_instructions};
use crate::{FlowMod, FlowModCommand, FlowModFlags, OfPort, TABLE_ALL};

type Result<T> = core::result::Result<T, TextError>;

/// Reads a flow without port names; see [`parse_flow_with`].
///
/// # Errors
/// When the text is no flow.
pub fn parse_flow(text: &str, command: FlowModCommand) -> Result<FlowMod> {
    parse_flow_with(text, command, &NoNames)
}

/// Reads a line of a flow file, which may begin with `add`, `modify`, `modify_strict`, `delete` or
/// `delete_strict`.
///
/// # Errors
/// When the text is no flow.
pub fn parse_flow_line(text: &str, ports: &dyn PortNames) -> Result<FlowMod> {
    let text = text.trim_start();
    let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let command = match word {
        "add" => FlowModCommand::Add,
        "modify" => FlowModCommand::Modify,
        "modify_strict" => FlowModCommand::ModifyStrict,
        "delete" => FlowModCommand::Delete,
        "delete_strict" => FlowModCommand::DeleteStrict,
        _ => return parse_flow_with(text, FlowModCommand::Add, ports),
    };
    parse_flow_with(rest, command, ports)
}

/// Reads a flow as `ovs-ofctl add-flow`, `mod-flows` or `del-flows` takes it:
/// `table=0,priority=10,tcp,nw_dst=1.2.3.4 idle_timeout=60 cookie=0x1 actions=output:2`.
///
/// Lines of `dump-flows` are flows: what only a dump says (counters, age) is passed over. An add
/// without table means table 0; a modify or delete without, all tables.
///
/// # Errors
/// When the text is no flow, or its actions cannot be done to what it matches.
pub fn parse_flow_with(
    text: &str,
    command: FlowModCommand,
    ports: &dyn PortNames,
) -> Result<FlowMod> {
    let is_add = command == FlowModCommand::Add;
    let mut out = FlowMod {
        command,
        table_id: if is_add { 0 } else { TABLE_ALL },
        new_cookie: is_add.then_some(0),
        ..FlowMod::default()
    };
    let (text, actions) = split_actions(text);
    for (key, value) in KeyValues::new(text) {
        read_keyword(&mut out, key, value, ports)?;
    }
    out.match_.forget_default_packet_type();
    match actions {
        Some(actions) => out.instructions = parse_instructions(actions, ports)?,
        None if command.is_delete() => {}
        None => return Err(TextError::new(TextProblem::NoActions, text)),
    }
    resolve(&mut out);
    // Strict as 1.1 and later are only where the text could not have been meant for 1.0.
    let context = CheckContext { needs_prerequisites: false };
    check_instructions(&out.instructions, out.match_.flow(), context)
        .map_err(|kind| TextError::new(TextProblem::Inconsistent(kind), text))?;
    Ok(out)
}

fn resolve(out: &mut FlowMod) {
    let match_: Match = out.match_;
    crate::codec::resolve_ports(&mut out.instructions.apply, &match_);
    crate::codec::resolve_ports(&mut out.instructions.write, &match_);
}

/// Cuts the text at `actions=` (or `action=`), a word of its own.
fn split_actions(text: &str) -> (&str, Option<&str>) {
    for word in ["actions", "action"] {
        for (at, _) in text.match_indices(word) {
            let (front, rest) = text.split_at(at);
            let starts_word = front.is_empty() || front.ends_with([',', ' ', '\t', '\n', '\r']);
            let rest = rest.strip_prefix(word).map(str::trim_start);
            let value = rest.and_then(|rest| rest.strip_prefix('='));
            if let (true, Some(value)) = (starts_word, value) {
                return (front, Some(value));
            }
        }
    }
    (text, None)
}

fn read_keyword(out: &mut FlowMod, key: &str, value: &str, ports: &dyn PortNames) -> Result<()> {
    match key {
        "send_flow_rem" => out.flags |= FlowModFlags::SEND_FLOW_REM,
        "check_overlap" => out.flags |= FlowModFlags::CHECK_OVERLAP,
        "reset_counts" => out.flags |= FlowModFlags::RESET_COUNTS,
        "no_packet_counts" => out.flags |= FlowModFlags::NO_PKT_COUNTS,
        "no_byte_counts" => out.flags |= FlowModFlags::NO_BYT_COUNTS,
        "table" => out.table_id = int(value)?,
        "priority" => out.priority = int(value)?,
        "idle_timeout" => out.idle_timeout = int(value)?,
        "hard_timeout" => out.hard_timeout = int(value)?,
        "importance" => out.importance = int(value)?,
        "out_port" => {
            let port = parse_port(value, ports).map(OfPort);
            out.out_port = port.ok_or_else(|| TextError::new(TextProblem::UnknownPort, value))?;
        }
        "out_group" => out.out_group = int(value)?,
        "cookie" => read_cookie(out, value)?,
        "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
        "no_readonly_table" | "allow_hidden_fields" => {}
        _ if apply(&mut out.match_, key, value, ports)? => {}
        _ => return Err(TextError::new(TextProblem::UnknownKeyword, key)),
    }
    Ok(())
}

/// `cookie=VALUE` sets, `cookie=VALUE/MASK` selects; a mask of -1 is all bits.
fn read_cookie(out: &mut FlowMod, value: &str) -> Result<()> {
    let bad = || TextError::new(TextProblem::BadCookie, value);
    match value.split_once('/') {
        Some(_) if out.command == FlowModCommand::Add => Err(bad()),
        Some((cookie, mask)) => {
            out.cookie_mask = if mask == "-1" { u64::MAX } else { int(mask)? };
            out.cookie = int::<u64>(cookie)? & out.cookie_mask;
            Ok(())
        }
        None if out.command.is_delete() => Err(bad()),
        None => {
            out.new_cookie = Some(int(value)?);
            Ok(())
        }
    }
}
