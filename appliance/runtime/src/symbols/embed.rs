//! Filling the symbol section of a linked ELF file; runs on the host, in the image builder.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Symbol, Table, encode};

/// What was embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// How many functions the file has, by place.
    pub functions: usize,
    /// How many of them found room.
    pub kept: usize,
    /// How many bytes of the section are used.
    pub bytes: usize,
    /// How many bytes the section has.
    pub room: usize,
}

/// Why symbols could not be embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedError {
    /// Not a little-endian ELF64 file, or a damaged one.
    NotElf64,
    /// The file has no symbol table: it was stripped too early.
    NoSymbolTable,
    /// The file has no `.symbols` section to fill.
    NoRoom,
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotElf64 => "not an ELF64 file, or a damaged one",
            Self::NoSymbolTable => "the file has no symbol table (it was stripped too early)",
            Self::NoRoom => "the file has no .symbols section",
        })
    }
}

/// Fills the `.symbols` section of a linked image from its symbol table. `readable` turns a linker
/// symbol into the name to show (demangling it, or not).
pub fn embed(elf: &mut [u8], readable: impl Fn(&str) -> String) -> Result<Embedded, EmbedError> {
    let sections = sections(elf).ok_or(EmbedError::NotElf64)?;
    let room = sections
        .iter()
        .find(|section| section.name == ".symbols" && section.kind != KIND_NO_BITS)
        .ok_or(EmbedError::NoRoom)?
        .place
        .clone();
    let table = sections
        .iter()
        .find(|section| section.kind == KIND_SYMBOLS)
        .ok_or(EmbedError::NoSymbolTable)?;
    let names = sections.get(table.link).ok_or(EmbedError::NotElf64)?;
    let functions = functions(elf, table, names, readable).ok_or(EmbedError::NotElf64)?;

    // The linker folds functions that are alike: one place, one name.
    let count = functions.iter().map(|symbol| symbol.address).collect::<BTreeSet<_>>().len();
    let encoded = encode(functions, room.len());
    let section = elf.get_mut(room).ok_or(EmbedError::NotElf64)?;
    section.fill(0);
    let room = section.len();
    section.get_mut(..encoded.len()).ok_or(EmbedError::NoRoom)?.copy_from_slice(&encoded);
    let kept = Table::new(&encoded).len();
    Ok(Embedded { functions: count, kept, bytes: encoded.len(), room })
}

/// `sh_type` values (ELF-64 object file format, table 8).
const KIND_SYMBOLS: u32 = 2;
const KIND_NO_BITS: u32 = 8;
/// `st_info` type of a function.
const TYPE_FUNCTION: u8 = 2;
const SYMBOL_BYTES: usize = 24;

struct Section {
    name: String,
    kind: u32,
    place: core::ops::Range<usize>,
    link: usize,
}

/// The sections of a file.
fn sections(elf: &[u8]) -> Option<Vec<Section>> {
    const ELF64_LITTLE_ENDIAN: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
    if elf.get(0..6)? != ELF64_LITTLE_ENDIAN {
        return None;
    }
    let table = usize::try_from(u64_at(elf, 40)?).ok()?;
    let entry_bytes = usize::from(u16_at(elf, 58)?);
    let count = usize::from(u16_at(elf, 60)?);
    let names_index = usize::from(u16_at(elf, 62)?);
    let header = |index: usize| {
        let at = table.checked_add(index.checked_mul(entry_bytes)?)?;
        elf.get(at..at.checked_add(64)?)
    };
    let place = |header: &[u8]| {
        let start = usize::try_from(u64_at(header, 24)?).ok()?;
        let len = usize::try_from(u64_at(header, 32)?).ok()?;
        Some(start..start.checked_add(len)?)
    };
    let names = elf.get(place(header(names_index)?)?)?;
    (0..count)
        .map(|index| {
            let header = header(index)?;
            Some(Section {
                name: string_at(names, usize::try_from(u32_at(header, 0)?).ok()?)?.into(),
                kind: u32_at(header, 4)?,
                place: place(header)?,
                link: usize::try_from(u32_at(header, 40)?).ok()?,
            })
        })
        .collect()
}

/// The functions in a symbol table.
fn functions(
    elf: &[u8],
    table: &Section,
    names: &Section,
    readable: impl Fn(&str) -> String,
) -> Option<Vec<Symbol>> {
    let names = elf.get(names.place.clone())?;
    let mut functions = Vec::new();
    for entry in elf.get(table.place.clone())?.chunks_exact(SYMBOL_BYTES) {
        let address = u64_at(entry, 8)?;
        if entry.get(4)? & 0xf != TYPE_FUNCTION || address == 0 {
            continue;
        }
        let name = string_at(names, usize::try_from(u32_at(entry, 0)?).ok()?)?;
        functions.push(Symbol { address, size: u64_at(entry, 16)?, name: readable(name) });
    }
    Some(functions)
}

fn string_at(strings: &[u8], at: usize) -> Option<&str> {
    let bytes = strings.get(at..)?;
    let end = bytes.iter().position(|&byte| byte == 0)?;
    str::from_utf8(bytes.get(..end)?).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
