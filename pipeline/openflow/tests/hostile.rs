//! No bytes make a decoder panic, hang, or hold more than a multiple of what came in.

mod common;

use openflow::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn encode(message: &Message, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(version, 7, &mut bytes).expect("short enough");
    bytes
}

/// What is accepted can be written and read again with the same meaning; what is refused is refused
/// with an error that can be sent.
fn feed(bytes: &[u8]) -> Result<(), TestCaseError> {
    match decode(bytes) {
        Ok((header, message)) => {
            // A message of another version is a hello, echo or error.
            let Some(version) = Version::from_wire(header.version) else {
                return Ok(());
            };
            let mut again = Vec::new();
            prop_assert!(message.encode(version, header.xid, &mut again).is_ok());
            let (_, second) = decode(&again).map_err(|error| {
                TestCaseError::fail(format!("{}: {message:?}", error.error.kind))
            })?;
            let mut third = Vec::new();
            prop_assert!(second.encode(version, header.xid, &mut third).is_ok());
            prop_assert_eq!(again, third, "{:?}", message);
        }
        Err(error) => {
            prop_assert!(error.error.data.len() <= ERROR_DATA_BYTES);
            prop_assert!(bytes.starts_with(&error.error.data));
            for version in Version::ALL {
                let refusal = Message::Error(error.error.clone());
                prop_assert!(decode(&encode(&refusal, version)).is_ok());
            }
        }
    }
    Ok(())
}

fn mutated(version: Version) -> impl Strategy<Value = Vec<u8>> {
    let edits = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    (common::message(version), edits, any::<bool>()).prop_map(move |(message, edits, small)| {
        let mut bytes = encode(&message, version);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            // Small changes to lengths and types get further than wild ones.
            bytes[at] = if small { bytes[at].wrapping_add(byte % 9).wrapping_sub(4) } else { byte };
        }
        fix_len(&mut bytes);
        bytes
    })
}

/// The same messages each time: a gate is to say whether a change broke something. A search for new
/// ones is asked for:
///
/// ```text
/// PROPTEST_CASES=200000 PROPTEST_RNG_SEED=77 cargo test -p openflow --test hostile
/// ```
///
/// What it finds is written down in `damaged.rs`, byte for byte.
fn effort() -> ProptestConfig {
    let asked = |name| std::env::var_os(name).is_some();
    let ProptestConfig { cases, rng_seed, .. } = ProptestConfig::default();
    ProptestConfig {
        cases: if asked("PROPTEST_CASES") { cases } else { 4096 },
        rng_seed: if asked("PROPTEST_RNG_SEED") { rng_seed } else { RngSeed::Fixed(1) },
        ..ProptestConfig::default()
    }
}

fn fix_len(bytes: &mut [u8]) {
    let len = u16::try_from(bytes.len()).expect("short enough");
    if let Some(place) = bytes.get_mut(2..4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

proptest! {
    #![proptest_config(effort())]

    #[test]
    fn random_bytes(
        version in prop_oneof![9 => 1u8..=6, 1 => any::<u8>()],
        kind in 0u8..37,
        body in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = vec![version, kind, 0, 0, 0, 0, 0, 1];
        bytes.extend(body);
        fix_len(&mut bytes);
        feed(&bytes)?;
    }

    #[test]
    fn damaged_v10_messages(bytes in mutated(Version::V10)) {
        feed(&bytes)?;
    }

    #[test]
    fn damaged_v11_messages(bytes in mutated(Version::V11)) {
        feed(&bytes)?;
    }

    #[test]
    fn damaged_v12_messages(bytes in mutated(Version::V12)) {
        feed(&bytes)?;
    }

    #[test]
    fn damaged_v13_messages(bytes in mutated(Version::V13)) {
        feed(&bytes)?;
    }

    #[test]
    fn damaged_v14_messages(bytes in mutated(Version::V14)) {
        feed(&bytes)?;
    }

    #[test]
    fn damaged_v15_messages(bytes in mutated(Version::V15)) {
        feed(&bytes)?;
    }

    #[test]
    fn every_prefix(
        (version, message) in common::version()
            .prop_flat_map(|version| (Just(version), common::message(version))),
        seed in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&message, version);
        bytes.truncate(seed.index(bytes.len()));
        // As it is, the length in the header is wrong; corrected, the end of the message is missing.
        prop_assert!(decode(&bytes).is_err());
        fix_len(&mut bytes);
        feed(&bytes)?;
    }

    #[test]
    fn texts(text in "[a-z_0-9:=,\\[\\]()./> -]{0,40}") {
        let _ = text::parse_flow(&text, FlowModCommand::Add);
        if let Ok(parsed) = text::parse_actions(&text, &flow::text::NoNames) {
            let ports = &flow::text::NoNames;
            let printed = text::ActionsText { actions: &parsed, ports }.to_string();
            prop_assert_eq!(text::parse_actions(&printed, ports), Ok(parsed));
        }
    }
}

#[test]
fn short_and_empty_input_is_a_bad_length() {
    for bytes in [&[][..], &[4], &[4, 0, 0, 8, 0, 0, 0]] {
        let error = decode(bytes).expect_err("too short");
        assert_eq!(error.error.kind, OfErrorKind::RequestBadLen);
        assert_eq!(frame_len(bytes), None);
    }
}
