//! A picture of the OpenFlow state, as a disk may give it.
//!
//! Asserted: whatever its bytes are, reading ends, and a bridge that takes what can be read of it is as one
//! that controllers configured: all that it has then can be kept, and another bridge that takes that has
//! the same.

use std::cell::RefCell;

use datapath::{LocalConfig, LocalDpif};
use keep::{Encoder, Item, Reading, Region};
use ofproto::{Bridge, BridgeConfig, Piece, Restored};
use openflow::text::{parse_flow, parse_group, parse_meter};
use openflow::{
    Dialect, FlowModCommand, GroupModCommand, Message, MeterMod, MeterModCommand, Version,
};
use ovsdb::store::FakeDevice;
use packet::PoolConfig;
use sync::time::Nanos;

use crate::corpus::{self, Input};
use crate::{Behaviour, behaviour};

thread_local! {
    static DATAPATH: RefCell<Option<LocalDpif>> = const { RefCell::new(None) };
}

const NOW: Nanos = Nanos::from_secs(100_000);
/// Sectors of the disk: room for any input.
const SECTORS: usize = 1_000;

/// Runs the target.
pub fn kept_picture(data: &[u8]) -> Behaviour {
    let Some((items, error)) = read(data) else { return 0 };
    let pool = PoolConfig { small: 64, jumbo: 8 };
    let dpif = || LocalDpif::with(LocalConfig { pool, ..LocalConfig::default() });
    let mut dpif = DATAPATH.take().unwrap_or_else(dpif);
    let (first, outcomes) = lived(&items, &mut dpif);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::default();
    encoder.start(1, &mut bytes);
    encoder.bridge("br0", 1, &mut bytes);
    for piece in &first {
        assert_eq!(encoder.piece(piece, &mut bytes), Ok(()), "{piece:?}");
    }
    encoder.end(&mut bytes);
    if let Some((items, error)) = read(&bytes) {
        assert_eq!(error, 0, "our own picture");
        let (second, _) = lived(&items, &mut dpif);
        assert_eq!(sorted(&second), sorted(&first));
    }
    DATAPATH.set(Some(dpif));
    behaviour(&[&[error, first.len().min(5) as u64], &outcomes[..]].concat())
}

/// The items of a picture, and how reading ended; none if it is too long for the disk.
fn read(data: &[u8]) -> Option<(Vec<Item>, u64)> {
    let mut disk = FakeDevice::new(SECTORS);
    let mut region = Region::open(&mut disk).expect("a disk");
    if data.len() as u64 > region.capacity() {
        return None;
    }
    let mut writing = region.write();
    writing.records().extend_from_slice(data);
    writing.close();
    while !writing.step(&mut region, &mut disk).expect("room") {}
    let mut reading = Reading::open(&region, &mut disk).expect("a whole picture");
    let mut items = Vec::new();
    loop {
        match reading.next_item(&mut disk) {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return Some((items, 0)),
            Err(error) => {
                let text = error.to_string();
                return Some((items, 1 + u64::from(text.starts_with("record"))));
            }
        }
    }
}

/// What a bridge has that took these items, and what it said to them.
fn lived(items: &[Item], dpif: &mut LocalDpif) -> (Vec<Piece>, Vec<u64>) {
    let mut bridge = Bridge::new(BridgeConfig::default(), NOW);
    bridge.clear_openflow(dpif, NOW);
    let mut outcomes = Vec::new();
    for item in items {
        let Item::Piece(piece, version) = item else { continue };
        let outcome = match bridge.restore(piece, *version, dpif, NOW) {
            Ok(Restored::Done) => 0,
            Ok(Restored::Expired) => 1,
            Err(why) => 2 + why.to_string().len() as u64,
        };
        if outcomes.len() < 4 {
            outcomes.push(u64::from(version.wire()) << 8 | outcome);
        }
    }
    let mut capture = bridge.begin_capture(NOW);
    assert!(bridge.capture(&mut capture, usize::MAX, NOW));
    let pieces = std::iter::from_fn(|| capture.next_piece()).collect();
    bridge.retire(dpif);
    (pieces, outcomes)
}

fn sorted(pieces: &[Piece]) -> Vec<String> {
    let mut lines: Vec<String> = pieces.iter().map(|piece| format!("{piece:?}")).collect();
    lines.sort();
    lines
}

/// Pictures of the rules in the corpus of flow lines, with some groups and meters.
pub(super) fn pictures() -> Vec<Input> {
    let lines = corpus::load("corpus", "flow_line").into_iter();
    let rule = |input: &Input| {
        let text = String::from_utf8(input.bytes.clone()).ok()?;
        let flow_mod = parse_flow(&text, FlowModCommand::Add).ok()?;
        // As a controller says it.
        let mut bytes = Vec::new();
        Message::FlowMod(flow_mod.into()).encode(Version::V13, 1, &mut bytes).ok()?;
        match Dialect::plain(Version::V13).decode(&bytes).ok()?.1 {
            Message::FlowMod(flow_mod) => Some(Piece::Rule(ofproto::RulePiece {
                flow_mod,
                age: Nanos::from_secs(3),
                unmodified: Nanos::from_secs(2),
            })),
            _ => None,
        }
    };
    lines
        .filter_map(|input| {
            let mut pieces = Vec::new();
            let config = parse_meter("meter=1,pktps,band=type=drop,rate=5").ok()?;
            pieces.push(Piece::Meter(MeterMod { command: MeterModCommand::Add, config }));
            for text in [
                "group_id=1,type=all,bucket=actions=output:2",
                "group_id=2,type=select,bucket=weight:3,actions=group:1",
            ] {
                let group = parse_group(text, GroupModCommand::Add, &flow::text::NoNames).ok()?;
                pieces.push(Piece::Group(group));
            }
            pieces.push(rule(&input)?);
            let (mut encoder, mut bytes) = (Encoder::default(), Vec::new());
            encoder.start(1, &mut bytes);
            encoder.bridge("br0", 1, &mut bytes);
            for piece in &pieces {
                encoder.piece(piece, &mut bytes).ok()?;
            }
            encoder.end(&mut bytes);
            Some(Input { origin: format!("picture of {}", input.origin), bytes })
        })
        .collect()
}

/// Makes the lengths of records and of the messages in them right, as far as they are found.
pub(super) fn repair(data: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = data.get(at..at + 4) {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let left = data.len() - at - 4;
        // A length that leads nowhere becomes one that leads to the end.
        if length > left {
            let left = u32::try_from(left).unwrap_or(0);
            data[at..at + 4].copy_from_slice(&left.to_le_bytes());
            return;
        }
        at += 4 + length;
    }
}
