//! How a select group chooses: Netronome's experimenter property of groups, which Open vSwitch
//! speaks. Vendor and subtype, four bytes of padding, the method's name in 16 bytes, a parameter,
//! and the masks of the fields as entries of a match without masks of their own.

use alloc::vec::Vec;

use flow::Field;

use super::super::oxm::{self, Flavour};
use super::super::wire::{Put, Reader, Result};
use crate::{GroupModCommand, GroupType, OfErrorKind, Selection, SelectionMethod, Version};

const EXPERIMENTER: u16 = 0xffff;
const NETRONOME: u32 = 0x0000_154d;
/// The number that Open vSwitch used for it before.
const NETRONOME_COMPAT: u32 = 0x0000_1540;
const SELECTION_METHOD: u32 = 1;
/// Bytes of the property before its fields.
const FIXED_BYTES: usize = 40;
/// Bytes of the method's name, with a zero behind it.
const NAME_BYTES: usize = 16;

pub(super) fn read(
    r: &mut Reader<'_>,
    group_type: GroupType,
    command: GroupModCommand,
) -> Result<Selection> {
    let mut selection = Selection::default();
    while !r.is_empty() {
        let mut header = *r;
        let short = |_| OfErrorKind::PropertyBadLen;
        let kind = header.u16().map_err(short)?;
        let len = usize::from(header.u16().map_err(short)?);
        if len < 4 {
            return Err(OfErrorKind::PropertyBadLen);
        }
        let padded = r.sub(len.next_multiple_of(8), OfErrorKind::PropertyBadLen)?;
        let bytes = padded.rest().get(..len).unwrap_or_default();
        let mut property = Reader::new(bytes, OfErrorKind::PropertyBadLen);
        property.skip(4)?;
        if kind != EXPERIMENTER {
            return Err(OfErrorKind::PropertyBadType);
        }
        if !matches!(property.u32()?, NETRONOME | NETRONOME_COMPAT) {
            return Err(OfErrorKind::PropertyBadExperimenter);
        }
        if property.u32()? != SELECTION_METHOD {
            return Err(OfErrorKind::PropertyBadExpType);
        }
        if group_type != GroupType::Select || !command.sets_group() {
            return Err(OfErrorKind::PropertyBadValue);
        }
        selection = read_method(&mut property)?;
    }
    Ok(selection)
}

fn read_method(property: &mut Reader<'_>) -> Result<Selection> {
    property.skip(4)?;
    let name = property.take(NAME_BYTES)?;
    let end = name.iter().position(|byte| *byte == 0).ok_or(OfErrorKind::PropertyBadValue)?;
    let method = match name.get(..end) {
        Some(b"hash") => SelectionMethod::Hash,
        Some(b"dp_hash") => SelectionMethod::DpHash,
        _ => return Err(OfErrorKind::PropertyBadValue),
    };
    let param = property.u64()?;
    if method != SelectionMethod::Hash && !property.is_empty() {
        return Err(OfErrorKind::PropertyBadValue);
    }
    let list = Reader::new(property.take_all(), OfErrorKind::MatchBadLen);
    Ok(Selection { method, param, fields: read_fields(list)? })
}

fn read_fields(mut r: Reader<'_>) -> Result<Vec<(Field, u128)>> {
    let mut fields: Vec<(Field, u128)> = Vec::new();
    while !r.is_empty() {
        let (field, mask) = oxm::read_mask(&mut r)?;
        if fields.iter().any(|(other, _)| *other == field) {
            return Err(OfErrorKind::MatchDupField);
        }
        fields.push((field, mask));
    }
    fields.sort_by_key(|(field, _)| *field as usize);
    Ok(fields)
}

pub(super) fn put(out: &mut Vec<u8>, selection: &Selection, version: Version) {
    if selection.method == SelectionMethod::Default {
        return;
    }
    let start = out.len();
    out.u16(EXPERIMENTER);
    out.u16(0);
    out.u32(NETRONOME);
    out.u32(SELECTION_METHOD);
    out.zeros(4);
    out.text(selection.method.name(), NAME_BYTES);
    out.u64(selection.param);
    debug_assert_eq!(out.len() - start, FIXED_BYTES);
    let flavour = match version {
        Version::V10 => Flavour::Nxm,
        _ => Flavour::Oxm(version),
    };
    for (field, mask) in &selection.fields {
        oxm::put_mask(out, *field, *mask, flavour);
    }
    out.patch_len(start + 2, start);
    out.pad8(start);
}
