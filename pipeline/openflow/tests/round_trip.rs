//! Whatever a version can say comes back as it was, and re-encodes to the same bytes.

mod common;

use openflow::*;
use proptest::prelude::*;

fn encode(message: &Message, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(version, 7, &mut bytes).expect("short enough");
    bytes
}

fn round_trip(message: &Message, version: Version) -> Result<(), TestCaseError> {
    let bytes = encode(message, version);
    let (header, decoded) = decode(&bytes).map_err(|error| {
        TestCaseError::fail(format!("{version}: {} {bytes:02x?}", error.error.kind))
    })?;
    prop_assert_eq!(header.xid, 7);
    prop_assert_eq!(usize::from(header.len), bytes.len());
    prop_assert_eq!(&decoded, message);
    prop_assert_eq!(encode(&decoded, version), bytes);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn v10_messages_come_back(message in common::message(Version::V10)) {
        round_trip(&message, Version::V10)?;
    }

    #[test]
    fn v11_messages_come_back(message in common::message(Version::V11)) {
        round_trip(&message, Version::V11)?;
    }

    #[test]
    fn v12_messages_come_back(message in common::message(Version::V12)) {
        round_trip(&message, Version::V12)?;
    }

    #[test]
    fn v13_messages_come_back(message in common::message(Version::V13)) {
        round_trip(&message, Version::V13)?;
    }

    #[test]
    fn v14_messages_come_back(message in common::message(Version::V14)) {
        round_trip(&message, Version::V14)?;
    }

    #[test]
    fn v15_messages_come_back(message in common::message(Version::V15)) {
        round_trip(&message, Version::V15)?;
    }
}

#[test]
fn a_packet_that_waits_comes_back() {
    let packet = PacketIn {
        buffer_id: None,
        total_len: 20,
        reason: PacketInReason::Action,
        table_id: 3,
        cookie: 7,
        metadata: metadata_of(OfPort(5)),
        userdata: vec![1, 2, 3],
        continuation: vec![0x80, 0x20, 0, 12, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0],
        data: vec![0xaa; 20],
    };
    for version in [Version::V10, Version::V13, Version::V15] {
        round_trip(&Message::NxResume(Box::new(packet.clone())), version).unwrap();
        let dialect = Dialect { packet_in_format: PacketInFormat::Nxt2, ..Dialect::plain(version) };
        let message = Message::PacketIn(Box::new(packet.clone()));
        let mut bytes = Vec::new();
        dialect.encode(&message, 7, &mut bytes).unwrap();
        assert_eq!(dialect.decode(&bytes).unwrap().1, message, "{version}");
    }
}
