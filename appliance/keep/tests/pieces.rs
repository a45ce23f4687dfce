//! Every piece that a controller can make has a form that says the same.

#[path = "../../../pipeline/openflow/tests/common/mod.rs"]
mod common;

use keep::{Encoder, Item, Region};
use ofproto::{Fragments, Piece, RulePiece};
use openflow::{
    FlowMod, FlowModCommand, GroupModCommand, Message, MeterModCommand, TableMod, TlvTableCommand,
    Vacancy, Version,
};
use ovsdb::store::FakeDevice;
use proptest::prelude::*;
use sync::time::Nanos;

/// The piece that such a request makes, if it makes one.
fn piece_of(message: Message) -> Option<Piece> {
    Some(match message {
        Message::FlowMod(flow_mod) if flow_mod.command == FlowModCommand::Add => {
            let rule = FlowMod { table_id: 5, buffer_id: None, ..*flow_mod };
            let (age, unmodified) = (Nanos(rule.cookie | 7), Nanos(u64::from(rule.priority)));
            Piece::Rule(RulePiece { flow_mod: rule.into(), age, unmodified })
        }
        Message::GroupMod(group_mod) if group_mod.command == GroupModCommand::Add => {
            Piece::Group(group_mod)
        }
        Message::MeterMod(meter_mod) if meter_mod.command == MeterModCommand::Add => {
            Piece::Meter(meter_mod)
        }
        Message::NxTlvTableMod(change) if change.command == TlvTableCommand::Add => {
            Piece::Tlvs(change)
        }
        _ => return None,
    })
}

/// Writes pieces to a disk, and reads them back.
fn kept(pieces: &[Piece]) -> Vec<Piece> {
    let mut disk = FakeDevice::new(4_000);
    let mut region = Region::open(&mut disk).unwrap();
    let (mut writing, mut encoder) = (region.write(), Encoder::default());
    encoder.start(1, writing.records());
    encoder.bridge("br0", 7, writing.records());
    for piece in pieces {
        assert_eq!(encoder.piece(piece, writing.records()), Ok(()), "{piece:?}");
        assert!(!writing.step(&mut region, &mut disk).unwrap());
    }
    encoder.end(writing.records());
    writing.close();
    while !writing.step(&mut region, &mut disk).unwrap() {}
    let region = Region::open(&mut disk).unwrap();
    let mut reading = keep::Reading::open(&region, &mut disk).unwrap();
    let mut found = Vec::new();
    while let Some(item) = reading.next_item(&mut disk).unwrap() {
        if let Item::Piece(piece, _) = item {
            found.push(piece);
        }
    }
    found
}

fn add(version: Version) -> impl Strategy<Value = Piece> {
    common::message(version).prop_filter_map("nothing that stays", piece_of)
}

proptest! {
    #![proptest_config(ProptestConfig { max_local_rejects: 1 << 20, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn what_is_kept_is_what_was(
        old in proptest::collection::vec(add(Version::V10), 1..4),
        early in proptest::collection::vec(add(Version::V11), 1..4),
        usual in proptest::collection::vec(add(Version::V13), 1..4),
        new in proptest::collection::vec(add(Version::V15), 1..4),
    ) {
        let pieces = [old, early, usual, new].concat();
        prop_assert_eq!(kept(&pieces), pieces);
    }
}

#[test]
fn what_is_no_rule_comes_back() {
    let vacancy = Some(Vacancy { down: 10, up: 80, current: 0 });
    let config = openflow::TableConfig::EVICTION | openflow::TableConfig::VACANCY_EVENTS;
    let pieces = [
        Piece::Fragments(Fragments::Drop),
        Piece::Fragments(Fragments::NxMatch),
        Piece::Table(
            TableMod {
                table_id: 3,
                config: openflow::TableConfig::MISS_DROP,
                ..Default::default()
            },
            Version::V11,
        ),
        Piece::Table(TableMod { table_id: 9, config, eviction: None, vacancy }, Version::V14),
    ];
    assert_eq!(kept(&pieces), pieces);
}
