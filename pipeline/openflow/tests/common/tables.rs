//! Arbitrary descriptions and changes of tables.

use flow::Field;
use openflow::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::ports::name;

pub(super) fn abilities(version: Version, n: u32, many: u64) -> TableAbilities {
    let early = TableAbilities {
        match_fields: n.into(),
        wildcards: n.into(),
        instructions: n,
        write_actions: n,
        apply_actions: !n,
        config: n,
        ..TableAbilities::default()
    };
    match version {
        Version::V11 => early,
        Version::V12 => TableAbilities {
            match_fields: many,
            wildcards: !many,
            write_setfields: many,
            apply_setfields: many,
            metadata_match: many,
            metadata_write: !many,
            ..early
        },
        _ => TableAbilities::default(),
    }
}

pub(super) fn table_mod(version: Version) -> impl Strategy<Value = TableMod> {
    let vacancy = (0u8..=100, 0u8..=100, any::<u8>()).prop_map(|(a, b, current)| Vacancy {
        down: a.min(b),
        up: a.max(b),
        current,
    });
    (any::<(u8, u32)>(), option::of(0u32..8), option::of(vacancy)).prop_map(
        move |((table_id, config), eviction, vacancy)| TableMod {
            table_id,
            config: TableConfig::from_bits_retain(config),
            eviction: eviction.filter(|_| version >= Version::V14),
            vacancy: vacancy.filter(|_| version >= Version::V14),
        },
    )
}

pub(super) fn table_features(version: Version) -> impl Strategy<Value = TableFeatures> {
    let rule = || prop_oneof![Just(RuleKind::Regular), Just(RuleKind::Miss)];
    let ids = || vec(0u16..27, 0..5);
    let headers = || {
        vec(prop::sample::select(vec![Field::InPort, Field::EthDst, Field::Reg3]), 0..4)
            .prop_map(|fields| TableProperty::headers(fields, Version::V13))
    };
    let property = prop_oneof![
        (rule(), ids()).prop_map(|(rule, ids)| TableProperty::Instructions(rule, ids)),
        (rule(), vec(any::<u8>(), 0..9))
            .prop_map(|(rule, tables)| TableProperty::NextTables(rule, tables)),
        (rule(), ids()).prop_map(|(rule, ids)| TableProperty::WriteActions(rule, ids)),
        (rule(), ids()).prop_map(|(rule, ids)| TableProperty::ApplyActions(rule, ids)),
        headers().prop_map(TableProperty::Match),
        headers().prop_map(TableProperty::Wildcards),
        (rule(), headers()).prop_map(|(rule, ids)| TableProperty::WriteSetField(rule, ids)),
        (rule(), headers()).prop_map(|(rule, ids)| TableProperty::ApplySetField(rule, ids)),
    ];
    (any::<u8>(), name(), any::<(u64, u64, u32, u32)>(), vec(property, 0..8)).prop_map(
        move |(table_id, name, n, properties)| TableFeatures {
            table_id,
            name,
            command: if version == Version::V15 { 2 } else { 0 },
            features: if version == Version::V15 { n.2 >> 4 } else { 0 },
            metadata_match: n.0,
            metadata_write: n.1,
            config: n.2,
            max_entries: n.3,
            properties,
        },
    )
}
