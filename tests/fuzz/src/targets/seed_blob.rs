//! What the image is told at boot: the blob and the words of the command line.
//!
//! Asserted: a blob that is accepted is the one blob of its configuration; a configuration read
//! from text is valid, and its blob reads back as it; the same text reads the same.

use seed::BootConfig;

use crate::corpus::Input;
use crate::{Behaviour, behaviour};

/// Runs the target on a blob.
pub fn seed_blob(data: &[u8]) -> Behaviour {
    match BootConfig::decode(data) {
        Ok(config) => {
            let again = config.encode().expect("what was decoded is valid");
            assert_eq!(again, data, "two blobs for {config:?}");
            behaviour(&[
                1,
                config.ports.len() as u64,
                config.controllers.len() as u64,
                config.management.is_some().into(),
            ])
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let text = format!("{error:?}");
            let kind = text.split(['{', ' ']).next().unwrap_or_default();
            behaviour(
                &kind
                    .bytes()
                    .chain(match error {
                        seed::SeedError::Invalid(_) => text.bytes(),
                        _ => "".bytes(),
                    })
                    .map(u64::from)
                    .collect::<Vec<_>>(),
            )
        }
    }
}

/// Keys and values of the command line.
pub(super) const WORDS: &[&[u8]] = &[
    b" bridge=",
    b" dpid=",
    b" fail-mode=",
    b"standalone",
    b"secure",
    b" controller=tcp:",
    b"[::1]:6653",
    b" listen=",
    b"off",
    b" mgmt=",
    b"index:0",
    b"mac:",
    b"none",
    b" ip=",
    b"dhcp",
    b"10.0.0.1/24",
    b" gw=",
    b" port=",
    b"p1@index:1#7",
    b" mac-age=",
    b" mac-table=",
    b" self-check=",
    b" log=",
    b" on-panic=",
    b"02:00:00:00:00:01",
    b"4294967296",
    b"65536",
    b"-1",
];

/// Runs the target on a command line.
pub fn boot_text(data: &[u8]) -> Behaviour {
    let Ok(text) = core::str::from_utf8(data) else {
        return 0;
    };
    let read = BootConfig::from_text(text);
    assert_eq!(read, BootConfig::from_text(text));
    match read {
        Ok(read) => {
            assert_eq!(read.config.validate(), Ok(()));
            let blob = read.config.encode().expect("valid");
            assert_eq!(BootConfig::decode(&blob), Ok(read.config.clone()));
            let n_words = text.split_ascii_whitespace().count();
            assert!(read.unknown.len() <= n_words);
            // What stands in quotes is one word.
            if !text.contains('"') {
                assert_eq!(read.is_configured, read.unknown.len() < n_words);
            }
            behaviour(&[
                1,
                read.config.ports.len().min(4) as u64,
                read.config.controllers.len().min(4) as u64,
                read.config.management.is_some().into(),
                read.unknown.len().min(4) as u64,
            ])
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            let expected = text.rsplit(": ").next().unwrap_or_default();
            behaviour(&expected.bytes().map(u64::from).collect::<Vec<_>>())
        }
    }
}

/// Blobs of configurations written as text.
pub(super) fn encoded() -> Vec<Input> {
    crate::corpus::load("corpus", "boot_text")
        .into_iter()
        .filter_map(|input| {
            let text = String::from_utf8(input.bytes).ok()?;
            let config = BootConfig::from_text(&text).ok()?.config;
            Some(Input {
                origin: format!("blob of {}", input.origin),
                bytes: config.encode().ok()?,
            })
        })
        .collect()
}

/// Makes length and checksum right.
pub(super) fn repair(blob: &mut [u8]) {
    const FRAME: usize = 16;
    let Some(payload) = blob.len().checked_sub(FRAME) else {
        return;
    };
    blob[..4].copy_from_slice(&seed::MAGIC);
    blob[4..6].copy_from_slice(&seed::FORMAT.to_le_bytes());
    let len = u32::try_from(payload).unwrap_or(0);
    blob[8..12].copy_from_slice(&len.to_le_bytes());
    let end = blob.len() - 4;
    let crc = crc32(&blob[..end]);
    blob[end..].copy_from_slice(&crc.to_le_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
