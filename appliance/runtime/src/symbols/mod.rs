//! The names of the image's functions, for backtraces.
//!
//! The image reserves a read-only section (`.symbols`, [`ROOM`] bytes) that linking leaves zero.
//! The image builder then calls [`embed()`] on the linked ELF, which fills the section from the
//! file's own symbol table; after that the file can be stripped. As long as the section is empty,
//! addresses print as bare numbers.
//!
//! # Format (little-endian)
//! ```text
//! 0   4  magic "USYM"                       12  4  number of blocks
//! 4   4  version, 1                         16  8  base address
//! 8   4  number of symbols
//! 24     block index: for each block  u32 address - base of its first symbol, u32 offset of it
//! ...    symbols, ascending; blocks of 16
//! ```
//! A symbol is: address minus the one before in its block (LEB128), the number of bytes its name
//! shares with the name before in its block (u8), the number of further bytes (u8), these bytes.
//! Looking up is a binary search over blocks and a walk over at most 16 symbols; it allocates
//! nothing and believes nothing, so it works in a panic and on a damaged section.

mod embed;
mod encode;
#[cfg(test)]
mod tests;

use core::fmt;
use core::ops::Range;

pub use self::embed::{EmbedError, Embedded, embed};
pub use self::encode::{Symbol, encode};

/// The bytes that the image reserves for its symbols.
pub const ROOM: usize = 160 * 1024;

const MAGIC: [u8; 4] = *b"USYM";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
const BLOCK_SYMBOLS: usize = 16;
/// The longest name that is kept.
const MAX_NAME: usize = 160;

/// The image's code and symbols, once known.
static IMAGE: spin::Once<(Range<u64>, Table<'static>)> = spin::Once::new();

/// Says where the image's code is and hands in its symbol section.
pub fn init(code: Range<u64>, section: &'static [u8]) {
    IMAGE.call_once(|| (code, Table::new(section)));
}

/// Whether an address is inside the image's code.
pub(crate) fn is_code(address: u64) -> bool {
    IMAGE.get().is_some_and(|(code, _)| code.contains(&address))
}

/// An address that prints as `0x2046f0 module::function+0x1c`.
#[derive(Clone, Copy, Debug)]
pub struct At(pub u64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)?;
        let Some((code, table)) = IMAGE.get() else { return Ok(()) };
        match table.find(self.0).filter(|_| code.contains(&self.0)) {
            Some(found) => write!(f, " {}+{:#x}", found.name.as_str(), found.offset),
            None => Ok(()),
        }
    }
}

/// A symbol section, read as far as it makes sense.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    bytes: &'a [u8],
    blocks: usize,
    symbols: usize,
    base: u64,
}

/// The function an address is in.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: Name,
    /// How far into it the address is.
    pub offset: u64,
}

/// A name, decoded without allocation.
#[derive(Clone)]
pub struct Name {
    bytes: [u8; MAX_NAME],
    len: usize,
}

impl Name {
    const fn empty() -> Self {
        Self { bytes: [0; MAX_NAME], len: 0 }
    }

    /// The name; empty if it is not text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// Keeps `shared` bytes and appends `rest`; `None` if that is not possible.
    fn advance(&mut self, shared: usize, rest: &[u8]) -> Option<()> {
        if shared > self.len {
            return None;
        }
        let end = shared.checked_add(rest.len())?;
        self.bytes.get_mut(shared..end)?.copy_from_slice(rest);
        self.len = end;
        Some(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<'a> Table<'a> {
    /// The table in these bytes; an empty one if they are not a table.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let empty = Self { bytes: &[], blocks: 0, symbols: 0, base: 0 };
        let header = || {
            let is_ours = bytes.get(0..4)? == MAGIC && u32_at(bytes, 4)? == VERSION;
            let symbols = usize::try_from(u32_at(bytes, 8)?).ok()?;
            let blocks = usize::try_from(u32_at(bytes, 12)?).ok()?;
            let base = u64::from_le_bytes(*bytes.get(16..)?.first_chunk()?);
            let is_whole = blocks == symbols.div_ceil(BLOCK_SYMBOLS)
                && bytes.len() >= HEADER_BYTES.checked_add(blocks.checked_mul(8)?)?;
            (is_ours && is_whole).then_some(Self { bytes, blocks, symbols, base })
        };
        header().unwrap_or(empty)
    }

    /// How many symbols there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.symbols
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.symbols == 0
    }

    /// The last symbol at or before an address.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Found> {
        let target = address.checked_sub(self.base)?;
        // The first block that begins after the address; the one before has it.
        let (mut low, mut high) = (0, self.blocks);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.block(middle)?.0 <= target {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.find_in(low.checked_sub(1)?, target)
    }

    fn find_in(&self, block: usize, target: u64) -> Option<Found> {
        let (mut at, offset) = self.block(block)?;
        let mut rest = self.bytes.get(offset..)?;
        let in_block = self.symbols.checked_sub(block * BLOCK_SYMBOLS)?.min(BLOCK_SYMBOLS);
        let mut name = Name::empty();
        let mut found = None;
        for _ in 0..in_block {
            at = at.checked_add(take_leb128(&mut rest)?)?;
            if at > target {
                break;
            }
            let (&shared, tail) = rest.split_first()?;
            let (&more, tail) = tail.split_first()?;
            let (more, tail) = tail.split_at_checked(usize::from(more))?;
            name.advance(usize::from(shared), more)?;
            rest = tail;
            found = Some(target - at);
        }
        found.map(|offset| Found { name, offset })
    }

    /// A block's first address, relative to the base, and where its symbols begin.
    fn block(&self, index: usize) -> Option<(u64, usize)> {
        let entry = HEADER_BYTES + index * 8;
        let offset = usize::try_from(u32_at(self.bytes, entry + 4)?).ok()?;
        Some((u64::from(u32_at(self.bytes, entry)?), offset))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn take_leb128(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
