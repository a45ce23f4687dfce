//! Takes everything out of a linked image that no loader reads.
//!
//! Loaders (QEMU's `-kernel`, GRUB) look at program headers alone. The linker puts what they load
//! first in the file and symbols, debug lines and section headers after it, so stripping is: keep
//! the file up to the end of the last segment, and forget the section headers. Nothing moves, so
//! nothing has to be relocated, and no `strip` program is needed.

use core::fmt;

use object::LittleEndian as LE;
use object::elf::FileHeader64;
use object::pod;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// Why a file could not be stripped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StripError {
    /// It is no 64-bit little-endian ELF, or its headers are broken.
    NotElf(String),
    /// A segment reaches past the end of the file.
    Truncated,
}

impl fmt::Display for StripError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf(why) => write!(f, "not an x86-64 ELF: {why}"),
            Self::Truncated => f.write_str("a segment reaches past the end of the file"),
        }
    }
}

impl core::error::Error for StripError {}

/// The same program without symbols, debug lines and section headers.
///
/// # Errors
/// When `elf` is not a whole 64-bit little-endian ELF file.
pub fn strip(elf: &[u8]) -> Result<Vec<u8>, StripError> {
    let not_elf = |why: object::Error| StripError::NotElf(why.to_string());
    let header = FileHeader64::<LE>::parse(elf).map_err(not_elf)?;
    let segments = header.program_headers(LE, elf).map_err(not_elf)?;
    let table = header.e_phoff.get(LE)
        + u64::from(header.e_phentsize.get(LE)) * u64::from(header.e_phnum.get(LE));
    let ends = segments.iter().map(|s| s.p_offset(LE).saturating_add(s.p_filesz(LE)));
    let end = ends.fold(table, u64::max);
    let kept = usize::try_from(end).ok().and_then(|end| elf.get(..end));
    let mut kept = kept.ok_or(StripError::Truncated)?.to_vec();
    let mut header = *header;
    header.e_shoff.set(LE, 0);
    header.e_shnum.set(LE, 0);
    header.e_shstrndx.set(LE, 0);
    kept[..size_of_val(&header)].copy_from_slice(pod::bytes_of(&header));
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::Elf;

    #[test]
    fn keeps_what_is_loaded_and_nothing_else() {
        let elf = Elf::good().build();
        let stripped = strip(&elf).unwrap();
        assert!(stripped.len() < elf.len());
        let header = FileHeader64::<LE>::parse(&*stripped).unwrap();
        assert_eq!(header.e_shnum.get(LE), 0);
        // Only the three header fields that named the section headers differ.
        let fields = [(40, 8), (60, 2), (62, 2)];
        for (at, (new, old)) in stripped.iter().zip(&elf).enumerate() {
            let is_field = fields.iter().any(|(from, len)| (*from..from + len).contains(&at));
            assert!(is_field || new == old, "byte {at:#x}");
        }
        assert_eq!(strip(&stripped).as_ref(), Ok(&stripped), "stripping twice changes nothing");
    }

    #[test]
    fn refuses_what_is_not_whole() {
        assert!(matches!(strip(b"#!/bin/sh\n"), Err(StripError::NotElf(_))));
        let stripped = strip(&Elf::good().build()).unwrap();
        assert_eq!(strip(&stripped[..stripped.len() - 1]), Err(StripError::Truncated));
    }
}
