//! QEMU's firmware configuration device: files that the host hands to the guest
//! (`-fw_cfg name=opt/...,file=...`; QEMU `docs/specs/fw_cfg.rst`).

use alloc::vec;
use alloc::vec::Vec;

use spin::Mutex;

use crate::io::{in8, out16};

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;
const KEY_SIGNATURE: u16 = 0x0000;
const KEY_DIRECTORY: u16 = 0x0019;
/// The longest file that is read.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The most files that are looked through.
const MAX_FILES: u32 = 1024;
const NAME_BYTES: usize = 56;

/// Selecting and reading belong together.
static DEVICE: Mutex<()> = Mutex::new(());

/// A file of this name, if the device and the file are there and it is not too long.
#[must_use]
pub fn read(name: &str) -> Option<Vec<u8>> {
    let _alone = DEVICE.lock();
    let next = || in8(DATA);
    out16(SELECTOR, KEY_SIGNATURE);
    if [next(), next(), next(), next()] != *b"QEMU" {
        return None;
    }
    out16(SELECTOR, KEY_DIRECTORY);
    let file = find(name, next)?;
    let len = usize::try_from(file.bytes).ok().filter(|&len| len <= MAX_FILE_BYTES);
    let Some(len) = len else {
        log::warn!("{name}: {} bytes are too long to be read", file.bytes);
        return None;
    };
    out16(SELECTOR, file.key);
    let mut content = vec![0; len];
    content.iter_mut().for_each(|byte| *byte = in8(DATA));
    Some(content)
}

/// An entry of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    bytes: u32,
    key: u16,
}

/// Looks a name up in the directory, which comes byte by byte: a big-endian count, then entries of
/// big-endian size, big-endian key, two reserved bytes and a NUL-terminated name.
fn find(name: &str, mut next: impl FnMut() -> u8) -> Option<File> {
    let count = u32::from_be_bytes([next(), next(), next(), next()]);
    for _ in 0..count.min(MAX_FILES) {
        let bytes = u32::from_be_bytes([next(), next(), next(), next()]);
        let key = u16::from_be_bytes([next(), next()]);
        let _reserved = [next(), next()];
        let mut entry_name = [0; NAME_BYTES];
        entry_name.iter_mut().for_each(|byte| *byte = next());
        let len = entry_name.iter().position(|&byte| byte == 0).unwrap_or(NAME_BYTES);
        if entry_name.get(..len) == Some(name.as_bytes()) {
            return Some(File { bytes, key });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, u32, u16)]) -> Vec<u8> {
        let mut bytes = u32::try_from(files.len()).unwrap().to_be_bytes().to_vec();
        for (name, size, key) in files {
            bytes.extend(size.to_be_bytes());
            bytes.extend(key.to_be_bytes());
            bytes.extend([0, 0]);
            let mut padded = name.as_bytes().to_vec();
            padded.resize(NAME_BYTES, 0);
            bytes.extend(padded);
        }
        bytes
    }

    fn find_in(bytes: &[u8], name: &str) -> Option<File> {
        let mut bytes = bytes.iter().copied();
        find(name, || bytes.next().unwrap_or(0xff))
    }

    #[test]
    fn files_are_found_by_their_whole_name() {
        let bytes = directory(&[
            ("etc/e820", 20, 32),
            ("opt/uniswitch/config2", 1, 33),
            ("opt/uniswitch/config", 77, 0x1234),
        ]);
        let expected = File { bytes: 77, key: 0x1234 };
        assert_eq!(find_in(&bytes, "opt/uniswitch/config"), Some(expected));
        assert_eq!(find_in(&bytes, "opt/uniswitch"), None);
        assert_eq!(find_in(&bytes, ""), None);
    }

    #[test]
    fn a_name_may_fill_its_field() {
        let name = "x".repeat(NAME_BYTES);
        assert!(find_in(&directory(&[(&name, 1, 2)]), &name).is_some());
    }

    #[test]
    fn an_endless_directory_ends() {
        assert_eq!(find_in(&[], "a"), None);
    }
}
