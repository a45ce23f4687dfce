//! Messages about the map of tunnel options (Nicira).

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{OfErrorKind, TlvMapping, TlvTableCommand, TlvTableMod, TlvTableReply};

/// Reads a change.
pub(super) fn read_mod(r: &mut Reader<'_>) -> Result<TlvTableMod> {
    let command = match r.u16()? {
        0 => TlvTableCommand::Add,
        1 => TlvTableCommand::Delete,
        2 => TlvTableCommand::Clear,
        _ => return Err(OfErrorKind::NxTlvBadCommand),
    };
    r.skip(6)?;
    Ok(TlvTableMod { command, mappings: read_mappings(r)? })
}

/// Reads the map.
pub(super) fn read_reply(r: &mut Reader<'_>) -> Result<TlvTableReply> {
    let max_option_space = r.u32()?;
    let max_fields = r.u16()?;
    r.skip(10)?;
    Ok(TlvTableReply { max_option_space, max_fields, mappings: read_mappings(r)? })
}

fn read_mappings(r: &mut Reader<'_>) -> Result<Vec<TlvMapping>> {
    let mut mappings = Vec::new();
    while !r.is_empty() {
        mappings.push(TlvMapping { class: r.u16()?, kind: r.u8()?, len: r.u8()?, index: r.u16()? });
        r.skip(2)?;
    }
    Ok(mappings)
}

/// Writes a change.
pub(super) fn put_mod(out: &mut Vec<u8>, change: &TlvTableMod) {
    out.u16(match change.command {
        TlvTableCommand::Add => 0,
        TlvTableCommand::Delete => 1,
        TlvTableCommand::Clear => 2,
    });
    out.zeros(6);
    put_mappings(out, &change.mappings);
}

/// Writes the map.
pub(super) fn put_reply(out: &mut Vec<u8>, reply: &TlvTableReply) {
    out.u32(reply.max_option_space);
    out.u16(reply.max_fields);
    out.zeros(10);
    put_mappings(out, &reply.mappings);
}

fn put_mappings(out: &mut Vec<u8>, mappings: &[TlvMapping]) {
    for mapping in mappings {
        out.u16(mapping.class);
        out.u8(mapping.kind);
        out.u8(mapping.len);
        out.u16(mapping.index);
        out.zeros(2);
    }
}
