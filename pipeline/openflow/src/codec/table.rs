//! Configuration of tables: table-mods, table descriptions, table status (1.1 §A.3.3, 1.4.1 §7.3.4.1,
//! §7.3.5.17, §7.4.5).

use alloc::vec::Vec;

use super::wire::{Put, Reader, Result};
use crate::{OfErrorKind, TableConfig, TableMod, TableReason, TableStatus, Vacancy, Version};

const EVICTION: u16 = 2;
const VACANCY: u16 = 3;
const EXPERIMENTER: u16 = 0xffff;
/// Bytes of either property.
const PROPERTY_BYTES: u16 = 8;
/// Bits of the reasons to evict that 1.4 has.
const EVICTION_FLAGS: u32 = 7;

pub(super) fn read_mod(r: &mut Reader<'_>, version: Version) -> Result<TableMod> {
    let table_id = r.u8()?;
    r.skip(3)?;
    let config = TableConfig::from_bits_retain(r.u32()?);
    let mut table = TableMod { table_id, config, ..TableMod::default() };
    if version >= Version::V14 {
        read_properties(r, &mut table)?;
    }
    // How much is free is for the switch to say.
    match table.vacancy {
        Some(Vacancy { current: 1.., .. }) => Err(OfErrorKind::PropertyBadValue),
        _ => Ok(table),
    }
}

pub(super) fn put_mod(out: &mut Vec<u8>, table: &TableMod, version: Version) {
    out.u8(table.table_id);
    out.zeros(3);
    out.u32(table.config.bits());
    if version >= Version::V14 {
        put_properties(out, table);
    }
}

pub(super) fn read_desc(r: &mut Reader<'_>) -> Result<TableMod> {
    const FIXED_BYTES: usize = 8;
    let len = usize::from(r.u16()?);
    let table_id = r.u8()?;
    r.skip(1)?;
    let config = TableConfig::from_bits_retain(r.u32()?);
    let body = len.checked_sub(FIXED_BYTES).ok_or(OfErrorKind::RequestBadLen)?;
    let mut body = r.sub(body, OfErrorKind::RequestBadLen)?;
    let mut table = TableMod { table_id, config, ..TableMod::default() };
    read_properties(&mut body, &mut table)?;
    Ok(table)
}

pub(super) fn put_desc(out: &mut Vec<u8>, table: &TableMod) {
    let start = out.len();
    out.u16(0);
    out.u8(table.table_id);
    out.zeros(1);
    out.u32(table.config.bits());
    put_properties(out, table);
    out.patch_len(start, start);
}

pub(super) fn read_status(r: &mut Reader<'_>) -> Result<TableStatus> {
    let reason = match r.u8()? {
        3 => TableReason::VacancyDown,
        4 => TableReason::VacancyUp,
        _ => return Err(OfErrorKind::NxRequestBadReason),
    };
    r.skip(7)?;
    Ok(TableStatus { reason, table: read_desc(r)? })
}

pub(super) fn put_status(out: &mut Vec<u8>, status: &TableStatus) {
    out.u8(status.reason as u8);
    out.zeros(7);
    put_desc(out, &status.table);
}

fn read_properties(r: &mut Reader<'_>, table: &mut TableMod) -> Result<()> {
    while !r.is_empty() {
        let kind = r.u16()?;
        let len = r.u16()?;
        if kind == EXPERIMENTER {
            return Err(OfErrorKind::PropertyBadExperimenter);
        }
        if len != PROPERTY_BYTES {
            return Err(OfErrorKind::PropertyBadLen);
        }
        match kind {
            EVICTION => {
                let flags = r.u32()?;
                if flags & !EVICTION_FLAGS != 0 {
                    return Err(OfErrorKind::PropertyBadValue);
                }
                table.eviction = Some(flags);
            }
            VACANCY => {
                let (down, up, current) = (r.u8()?, r.u8()?, r.u8()?);
                r.skip(1)?;
                if down > 100 || up > 100 || down > up {
                    return Err(OfErrorKind::PropertyBadValue);
                }
                table.vacancy = Some(Vacancy { down, up, current });
            }
            _ => return Err(OfErrorKind::PropertyBadType),
        }
    }
    Ok(())
}

fn put_properties(out: &mut Vec<u8>, table: &TableMod) {
    if let Some(flags) = table.eviction {
        out.u16(EVICTION);
        out.u16(PROPERTY_BYTES);
        out.u32(flags);
    }
    if let Some(Vacancy { down, up, current }) = table.vacancy {
        out.u16(VACANCY);
        out.u16(PROPERTY_BYTES);
        out.bytes(&[down, up, current, 0]);
    }
}
