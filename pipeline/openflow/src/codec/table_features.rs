//! Table features (1.3.5 §7.3.5.5, 1.5.1 §7.3.5.18).

use alloc::vec::Vec;

use flow::Field;

use super::oxm;
use super::wire::{Put, Reader, Result};
use crate::{OfErrorKind, RuleKind, TableFeatures, TableProperty, Version};

const NAME_BYTES: usize = 32;
const FIXED_BYTES: usize = 64;

const INSTRUCTIONS: u16 = 0;
const NEXT_TABLES: u16 = 2;
const WRITE_ACTIONS: u16 = 4;
const APPLY_ACTIONS: u16 = 6;
const MATCH: u16 = 8;
const WILDCARDS: u16 = 10;
const WRITE_SETFIELD: u16 = 12;
const APPLY_SETFIELD: u16 = 14;
const SYNC_FROM: u16 = 16;
const WRITE_COPYFIELD: u16 = 18;
const APPLY_COPYFIELD: u16 = 20;
const PACKET_TYPES: u16 = 22;
/// What the number of a property about the table-miss rule is more than that of the other.
const MISS: u16 = 1;

pub(super) fn read(r: &mut Reader<'_>, version: Version) -> Result<TableFeatures> {
    let len = usize::from(r.u16()?);
    let table_id = r.u8()?;
    let (command, features) = (r.u8()?, r.u32()?);
    let (command, features) = if version < Version::V15 { (0, 0) } else { (command, features) };
    let name = r.text(NAME_BYTES)?;
    let (metadata_match, metadata_write) = (r.u64()?, r.u64()?);
    let (config, max_entries) = (r.u32()?, r.u32()?);
    let body = len.checked_sub(FIXED_BYTES).ok_or(OfErrorKind::PropertyBadLen)?;
    let mut body = r.sub(body, OfErrorKind::PropertyBadLen)?;
    let mut properties = Vec::new();
    while !body.is_empty() {
        properties.push(read_property(&mut body, version)?);
    }
    Ok(TableFeatures {
        table_id,
        name,
        command,
        features,
        metadata_match,
        metadata_write,
        config,
        max_entries,
        properties,
    })
}

fn read_property(r: &mut Reader<'_>, version: Version) -> Result<TableProperty> {
    let kind = r.u16()?;
    let len = usize::from(r.u16()?);
    let body = len.checked_sub(4).ok_or(OfErrorKind::PropertyBadLen)?;
    let value = r.sub(body, OfErrorKind::PropertyBadLen)?;
    r.skip(len.next_multiple_of(8) - len)?;
    let rule = if kind & MISS == 0 { RuleKind::Regular } else { RuleKind::Miss };
    Ok(match kind & !MISS {
        INSTRUCTIONS => TableProperty::Instructions(rule, read_ids(value)?),
        NEXT_TABLES => TableProperty::NextTables(rule, value.rest().to_vec()),
        WRITE_ACTIONS => TableProperty::WriteActions(rule, read_ids(value)?),
        APPLY_ACTIONS => TableProperty::ApplyActions(rule, read_ids(value)?),
        _ if kind == MATCH => TableProperty::Match(read_headers(value)?),
        _ if kind == WILDCARDS => TableProperty::Wildcards(read_headers(value)?),
        WRITE_SETFIELD => TableProperty::WriteSetField(rule, read_headers(value)?),
        APPLY_SETFIELD => TableProperty::ApplySetField(rule, read_headers(value)?),
        _ if kind == SYNC_FROM && version >= Version::V14 => {
            TableProperty::SyncFrom(value.rest().to_vec())
        }
        WRITE_COPYFIELD if version >= Version::V15 => {
            TableProperty::WriteCopyField(rule, read_headers(value)?)
        }
        APPLY_COPYFIELD if version >= Version::V15 => {
            TableProperty::ApplyCopyField(rule, read_headers(value)?)
        }
        _ if kind == PACKET_TYPES && version >= Version::V15 => {
            TableProperty::PacketTypes(value.rest().to_vec())
        }
        _ => return Err(OfErrorKind::PropertyBadType),
    })
}

/// Numbers of instructions or actions, each with a length of 4; experimenters' are longer and left
/// out.
fn read_ids(mut r: Reader<'_>) -> Result<Vec<u16>> {
    const EXPERIMENTER: u16 = 0xffff;
    let mut ids = Vec::new();
    while !r.is_empty() {
        let id = r.u16()?;
        let len = usize::from(r.u16()?);
        r.skip(len.checked_sub(4).ok_or(OfErrorKind::PropertyBadLen)?)?;
        if id != EXPERIMENTER {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// Headers of fields; experimenters' have 64 bits and are left out.
fn read_headers(mut r: Reader<'_>) -> Result<Vec<u32>> {
    const CLASS_EXPERIMENTER: u32 = 0xffff;
    let mut headers = Vec::new();
    while !r.is_empty() {
        let header = r.u32()?;
        if header >> 16 == CLASS_EXPERIMENTER {
            r.skip(4)?;
        } else {
            headers.push(header);
        }
    }
    Ok(headers)
}

pub(super) fn put(out: &mut Vec<u8>, features: &TableFeatures, version: Version) {
    let start = out.len();
    out.u16(0);
    out.u8(features.table_id);
    let has_command = version >= Version::V15;
    out.u8(if has_command { features.command } else { 0 });
    out.u32(if has_command { features.features } else { 0 });
    out.text(&features.name, NAME_BYTES);
    out.u64(features.metadata_match);
    out.u64(features.metadata_write);
    out.u32(features.config);
    out.u32(features.max_entries);
    for property in &features.properties {
        put_property(out, property);
    }
    out.patch_len(start, start);
}

fn put_property(out: &mut Vec<u8>, property: &TableProperty) {
    let start = out.len();
    out.u16(match property {
        TableProperty::Instructions(rule, _) => INSTRUCTIONS + miss(*rule),
        TableProperty::NextTables(rule, _) => NEXT_TABLES + miss(*rule),
        TableProperty::WriteActions(rule, _) => WRITE_ACTIONS + miss(*rule),
        TableProperty::ApplyActions(rule, _) => APPLY_ACTIONS + miss(*rule),
        TableProperty::Match(_) => MATCH,
        TableProperty::Wildcards(_) => WILDCARDS,
        TableProperty::WriteSetField(rule, _) => WRITE_SETFIELD + miss(*rule),
        TableProperty::ApplySetField(rule, _) => APPLY_SETFIELD + miss(*rule),
        TableProperty::SyncFrom(_) => SYNC_FROM,
        TableProperty::WriteCopyField(rule, _) => WRITE_COPYFIELD + miss(*rule),
        TableProperty::ApplyCopyField(rule, _) => APPLY_COPYFIELD + miss(*rule),
        TableProperty::PacketTypes(_) => PACKET_TYPES,
    });
    out.u16(0);
    match property {
        TableProperty::NextTables(_, bytes)
        | TableProperty::SyncFrom(bytes)
        | TableProperty::PacketTypes(bytes) => out.bytes(bytes),
        TableProperty::Instructions(_, ids)
        | TableProperty::WriteActions(_, ids)
        | TableProperty::ApplyActions(_, ids) => {
            for id in ids {
                out.u16(*id);
                out.u16(4);
            }
        }
        TableProperty::Match(headers)
        | TableProperty::Wildcards(headers)
        | TableProperty::WriteSetField(_, headers)
        | TableProperty::ApplySetField(_, headers)
        | TableProperty::WriteCopyField(_, headers)
        | TableProperty::ApplyCopyField(_, headers) => {
            headers.iter().for_each(|header| out.u32(*header));
        }
    }
    out.patch_len(start + 2, start);
    out.pad8(start);
}

fn miss(rule: RuleKind) -> u16 {
    match rule {
        RuleKind::Regular => 0,
        RuleKind::Miss => MISS,
    }
}

impl TableProperty {
    /// The headers of `fields` in a version, for the properties that list fields. Fields of
    /// experimenters with long headers have none.
    #[must_use]
    pub fn headers(fields: impl IntoIterator<Item = Field>, version: Version) -> Vec<u32> {
        fields.into_iter().filter_map(|field| oxm::header_word(field, version)).collect()
    }
}
