//! Writing a symbol section; runs on the host, in the image builder.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::{BLOCK_SYMBOLS, HEADER_BYTES, MAGIC, MAX_NAME, VERSION};

/// A function of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Where it begins.
    pub address: u64,
    /// How many bytes it has.
    pub size: u64,
    /// Its name, readable.
    pub name: String,
}

/// Encodes functions into at most `room` bytes.
///
/// Where they do not all fit, the smallest functions are left out: a backtrace then names the
/// function before, with a larger offset. Functions beyond 4 GiB from the first are left out too.
#[must_use]
pub fn encode(mut symbols: Vec<Symbol>, room: usize) -> Vec<u8> {
    symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    symbols.dedup_by_key(|symbol| symbol.address);
    loop {
        let bytes = encode_all(&symbols);
        if bytes.len() <= room || symbols.is_empty() {
            return bytes;
        }
        let mut sizes: Vec<u64> = symbols.iter().map(|symbol| symbol.size).collect();
        sizes.sort_unstable();
        let limit = sizes.get(sizes.len() / 16).copied().unwrap_or(0);
        let before = symbols.len();
        symbols.retain(|symbol| symbol.size > limit);
        if symbols.len() == before {
            symbols.truncate(before / 2);
        }
    }
}

fn encode_all(symbols: &[Symbol]) -> Vec<u8> {
    let base = symbols.first().map_or(0, |symbol| symbol.address);
    let symbols: Vec<(u32, Cow<'_, str>)> = symbols
        .iter()
        .filter_map(|symbol| {
            let offset = u32::try_from(symbol.address - base).ok()?;
            Some((offset, shortened(&symbol.name)))
        })
        .collect();
    let blocks = symbols.chunks(BLOCK_SYMBOLS);
    let index_bytes = blocks.len() * 8;

    let mut index = Vec::new();
    let mut data = Vec::new();
    for block in blocks.clone() {
        let first = block.first().map_or(0, |(offset, _)| *offset);
        index.extend(first.to_le_bytes());
        index.extend(as_u32(HEADER_BYTES + index_bytes + data.len()).to_le_bytes());
        let mut before = (first, "");
        for (offset, name) in block {
            put_leb128(&mut data, offset - before.0);
            let shared = name.bytes().zip(before.1.bytes()).take_while(|(a, b)| a == b).count();
            let rest = name.as_bytes().get(shared..).unwrap_or(&[]);
            data.push(as_u8(shared));
            data.push(as_u8(rest.len()));
            data.extend(rest);
            before = (*offset, name);
        }
    }

    let mut bytes = Vec::with_capacity(HEADER_BYTES + index.len() + data.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(as_u32(symbols.len()).to_le_bytes());
    bytes.extend(as_u32(blocks.len()).to_le_bytes());
    bytes.extend(base.to_le_bytes());
    bytes.extend(index);
    bytes.extend(data);
    bytes
}

/// A name of at most [`MAX_NAME`] bytes: what is too long loses its middle.
fn shortened(name: &str) -> Cow<'_, str> {
    const HEAD: usize = MAX_NAME / 2;
    const TAIL: usize = MAX_NAME - HEAD - 2;
    if name.len() <= MAX_NAME {
        return Cow::Borrowed(name);
    }
    let head = (0..=HEAD).rev().find_map(|end| name.get(..end)).unwrap_or("");
    let tail = (name.len() - TAIL..=name.len()).find_map(|start| name.get(start..)).unwrap_or("");
    Cow::Owned(alloc::format!("{head}..{tail}"))
}

/// Sections and names are bounded far below these types' ends; beyond them the end is written.
fn as_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn as_u8(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn put_leb128(bytes: &mut Vec<u8>, mut value: u32) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}
