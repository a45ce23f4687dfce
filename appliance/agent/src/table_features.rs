//! What every table can do (OpenFlow 1.3.5 §7.3.5.5): the same for all of them, and the truth.
//!
//! A controller can ask for other features. What the tables can do is fixed, so it gets what it asks for
//! if that is no more than they can, and their names are as it says; else it is refused.

use crate::connection::Connection;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use flow::{Field, Maskable, WireId};
use ofproto::{Bridge, Table, Tables};
use openflow::{
    ControllerRole, OfErrorKind, RuleKind, TableAbilities, TableConfig, TableFeatures,
    TableProperty, Version,
};

/// Instructions (§5.9): goto-table, write-metadata, write-, apply- and clear-actions.
const INSTRUCTIONS: [u16; 5] = [1, 2, 3, 4, 5];
/// The instruction to pass a meter, of 1.3 and 1.4.
const METER: u16 = 6;
/// The action that it is from 1.5 on (1.5.1 §7.2.6).
const METER_ACTION: u16 = 29;
/// The instruction that came in its place: statistics triggers (1.5.1 §7.2.5).
const STAT_TRIGGER: u16 = 7;
/// The instruction that only a table with a table behind it has.
const GOTO_TABLE: u16 = 1;
/// Actions (§7.2.5): output; TTL of MPLS set and decremented; VLAN and MPLS pushed and popped;
/// set-queue; group; IP TTL set and decremented; set-field.
const ACTIONS: [u16; 12] = [0, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25];
/// `OFPTFF_INGRESS_TABLE`: what every table is (1.5.1 §7.3.5.18).
const INGRESS_TABLE: u32 = 1;
/// `oxm_class` of fields whose header goes on for another word; the lists here have no room for it.
const EXPERIMENTER_CLASS: u16 = 0xffff;

/// The names that the parts of a change so far give to tables.
#[derive(Debug)]
pub(crate) struct TableNames {
    xid: u32,
    names: BTreeMap<u8, String>,
}

/// Takes up a change of tables, or a part of one. Whether it is whole, or no change: then the answer
/// is how the tables are.
pub(crate) fn change(
    xid: u32,
    wanted: &[TableFeatures],
    more: bool,
    connection: &mut Connection,
    bridge: &mut Bridge,
    version: Version,
) -> Result<bool, OfErrorKind> {
    let before = connection.table_names.take();
    if before.as_ref().is_some_and(|before| before.xid != xid) {
        // Another request while one is not complete: 1.3.5 §7.3.5 leaves it to the switch.
        return Err(OfErrorKind::RequestMultipartBufferOverflow);
    }
    if wanted.is_empty() && before.is_none() && !more {
        return Ok(true);
    }
    if connection.role == ControllerRole::Secondary {
        return Err(OfErrorKind::RequestIsSecondary);
    }
    let mut names = before.map(|before| before.names).unwrap_or_default();
    if !wanted.is_empty() {
        let tables = describe(&bridge.state().tables, version);
        for wanted in wanted {
            let table = tables.iter().find(|table| table.table_id == wanted.table_id);
            let table = table.ok_or(OfErrorKind::TableFeaturesBadTable)?;
            if wanted.command > DISABLE {
                return Err(OfErrorKind::TableFeaturesBadCommand);
            }
            if !is_within(wanted, table) {
                return Err(OfErrorKind::TableFeaturesEperm);
            }
            if names.insert(wanted.table_id, wanted.name.clone()).is_some() {
                return Err(OfErrorKind::NxTableFeaturesDupTable);
            }
        }
    }
    if more {
        connection.table_names = Some(TableNames { xid, names });
        return Ok(false);
    }
    for (id, name) in &names {
        bridge.call_table(*id, name);
    }
    Ok(true)
}

/// `OFPTFC_DISABLE`: the last command (1.5.1 §7.3.5.18).
const DISABLE: u8 = 3;

/// Whether a table that can do `most` can do what is wanted.
fn is_within(wanted: &TableFeatures, most: &TableFeatures) -> bool {
    /// `OFPTFC_MODIFY`: the last command (1.5.1 §7.3.5.18) that leaves the table switched on.
    const MODIFY: u8 = 1;
    let all = |wanted: &[u32], most: &[u32]| {
        // Whether a field can be masked is not asked for where nothing is matched.
        wanted.iter().all(|field| most.iter().any(|other| (field ^ other) >> 9 == 0))
    };
    let has = |wanted: &TableProperty| {
        most.properties.iter().any(|most| match (wanted, most) {
            (TableProperty::Instructions(a, wanted), TableProperty::Instructions(b, most))
            | (TableProperty::WriteActions(a, wanted), TableProperty::WriteActions(b, most))
            | (TableProperty::ApplyActions(a, wanted), TableProperty::ApplyActions(b, most)) => {
                a == b && wanted.iter().all(|id| most.contains(id))
            }
            (TableProperty::NextTables(a, wanted), TableProperty::NextTables(b, most)) => {
                a == b && wanted.iter().all(|id| most.contains(id))
            }
            (TableProperty::Match(wanted), TableProperty::Match(most))
            | (TableProperty::Wildcards(wanted), TableProperty::Wildcards(most)) => {
                all(wanted, most)
            }
            (TableProperty::WriteSetField(a, wanted), TableProperty::WriteSetField(b, most))
            | (TableProperty::ApplySetField(a, wanted), TableProperty::ApplySetField(b, most)) => {
                a == b && all(wanted, most)
            }
            _ => false,
        })
    };
    wanted.command <= MODIFY
        && wanted.max_entries <= most.max_entries
        && wanted.properties.iter().all(has)
}

/// The features of all `tables`, for a peer of `version`.
fn describe(tables: &Tables, version: Version) -> Vec<TableFeatures> {
    tables.iter().map(|(id, table)| describe_one(id, table, tables, version)).collect()
}

/// The features of one of `tables`.
pub(crate) fn describe_one(
    id: u8,
    table: &Table,
    tables: &Tables,
    version: Version,
) -> TableFeatures {
    let matchable = fields(version, |_| true, true);
    let wildcards = fields(version, |_| true, false);
    let settable = fields(version, |field| field.spec().writable, false);
    let last = tables.n_tables().saturating_sub(1);
    let abilities = (TableConfig::EVICTION | TableConfig::VACANCY_EVENTS).bits();
    let is_action = version >= Version::V15;
    let last_instruction = if is_action { STAT_TRIGGER } else { METER };
    let actions: Vec<u16> = ACTIONS.into_iter().chain(is_action.then_some(METER_ACTION)).collect();
    let next: Vec<u8> = (id.saturating_add(1)..=last).collect();
    let instructions: Vec<u16> = INSTRUCTIONS
        .into_iter()
        .filter(|&instruction| instruction != GOTO_TABLE || !next.is_empty())
        .chain([last_instruction])
        .collect();
    let mut properties = Vec::new();
    for kind in [RuleKind::Regular, RuleKind::Miss] {
        properties.push(TableProperty::Instructions(kind, instructions.clone()));
        properties.push(TableProperty::NextTables(kind, next.clone()));
        properties.push(TableProperty::WriteActions(kind, actions.clone()));
        properties.push(TableProperty::ApplyActions(kind, actions.clone()));
        properties.push(TableProperty::WriteSetField(kind, settable.clone()));
        properties.push(TableProperty::ApplySetField(kind, settable.clone()));
    }
    properties.push(TableProperty::Match(matchable));
    properties.push(TableProperty::Wildcards(wildcards));
    TableFeatures {
        table_id: id,
        // As Open vSwitch: tables have no names until somebody names them.
        name: String::from(table.name()),
        command: 0,
        features: if version >= Version::V15 { INGRESS_TABLE } else { 0 },
        metadata_match: u64::MAX,
        metadata_write: u64::MAX,
        config: if version >= Version::V14 { abilities } else { 0 },
        max_entries: u32::try_from(table.max_rules()).unwrap_or(u32::MAX),
        properties,
    }
}

/// What every table can do, as table statistics of 1.1 and 1.2 say, which is said in no other way
/// there (1.1 §A.3.5.4, 1.2 §A.3.6.4). Fields of experimenters have no bits.
pub(crate) fn abilities(version: Version, config: TableConfig) -> TableAbilities {
    let bits = |numbers: &[u16]| numbers.iter().fold(0, |bits, number| bits | 1 << number);
    let early = TableAbilities {
        instructions: bits(&INSTRUCTIONS),
        config: config.bits(),
        ..TableAbilities::default()
    };
    match version {
        Version::V11 => TableAbilities {
            match_fields: OFPFMF11_ALL,
            wildcards: OFPFMF11_ALL,
            write_actions: ACTIONS_V11,
            apply_actions: ACTIONS_V11,
            ..early
        },
        Version::V12 => TableAbilities {
            match_fields: basic_bits(version, |_| true),
            wildcards: basic_bits(version, |_| true),
            write_actions: bits(&ACTIONS),
            apply_actions: bits(&ACTIONS),
            write_setfields: basic_bits(version, |field| field.spec().writable),
            apply_setfields: basic_bits(version, |field| field.spec().writable),
            metadata_match: u64::MAX,
            metadata_write: u64::MAX,
            ..early
        },
        _ => TableAbilities::default(),
    }
}

/// All fields that 1.1 can match.
const OFPFMF11_ALL: u64 = 0xffff;
/// The actions of 1.1 (§A.2.5) but for copying TTLs (11 and 12).
const ACTIONS_V11: u32 = ((1 << 25) - 1) & !(0b11 << 11);

/// One bit for each standard field, by its number.
fn basic_bits(version: Version, chosen: impl Fn(Field) -> bool) -> u64 {
    let headers = fields(version, chosen, false).into_iter();
    let basic = headers.filter(|header| header >> 16 == OPENFLOW_BASIC);
    basic.fold(0, |bits, header| bits | 1_u64.checked_shl(header >> 9 & 0x7f).unwrap_or(0))
}

/// `OFPXMC_OPENFLOW_BASIC`.
const OPENFLOW_BASIC: u32 = 0x8000;

/// Headers of the fields that `version` has and `chosen` wants, with the mask bit where it may be
/// set and is asked for.
fn fields(version: Version, chosen: impl Fn(Field) -> bool, masks: bool) -> Vec<u32> {
    let known = |id: &&WireId| id.class != EXPERIMENTER_CLASS && id.since <= version.wire();
    Field::all()
        .filter(|&field| chosen(field))
        .filter_map(|field| {
            let id = field.wire_id(version.wire()).filter(known)?;
            let has_mask = masks && field.spec().maskable != Maskable::Exact;
            Some(header(id, has_mask))
        })
        .collect()
}

/// An OXM header (§7.2.3.2).
fn header(id: &WireId, has_mask: bool) -> u32 {
    let len = if has_mask { 2 * u32::from(id.len) } else { u32::from(id.len) };
    u32::from(id.class) << 16 | u32::from(id.field) << 9 | u32::from(has_mask) << 8 | len
}
