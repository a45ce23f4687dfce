//! The two kinds of sectors: heads and pieces of the log. Numbers are little endian.
//!
//! ```text
//! head   0 magic "USWDBHD1"   8 generation u64   16 sectors of a half u64   508 CRC-32 of 0..508
//! log    0 CRC-32 of 4..512   4 CRC-32 of the sector before   8 generation u64   16 place u64
//!       24 length of the text u16   26 text
//! ```

use super::{Crc32, SECTOR};

const MAGIC: [u8; 8] = *b"USWDBHD1";
const HEADER: usize = 26;
/// Bytes of text in a sector.
pub(super) const TEXT: usize = SECTOR - HEADER;

/// Says which half of the disk holds the log: the one of the generation's parity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) generation: u64,
    pub(super) half_sectors: u64,
}

impl Head {
    pub(super) fn parse(sector: &[u8; SECTOR]) -> Option<Self> {
        let (body, sum) = sector.split_last_chunk::<4>()?;
        let is_whole = body.starts_with(&MAGIC) && crc32(body) == u32::from_le_bytes(*sum);
        let head = Self { generation: number(sector, 8)?, half_sectors: number(sector, 16)? };
        // The next generation must have a number.
        (is_whole && head.generation < u64::MAX).then_some(head)
    }

    pub(super) fn emit(self) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        put(&mut sector, 0, &MAGIC);
        put(&mut sector, 8, &self.generation.to_le_bytes());
        put(&mut sector, 16, &self.half_sectors.to_le_bytes());
        let sum = crc32(sector.get(..SECTOR - 4).unwrap_or_default());
        put(&mut sector, SECTOR - 4, &sum.to_le_bytes());
        sector
    }

    /// What stands for the checksum before the first sector.
    pub(super) fn first_chain(self) -> u32 {
        crc32(&self.generation.to_le_bytes())
    }
}

/// A piece of the log.
pub(super) struct LogSector<'a> {
    pub(super) text: &'a [u8],
    /// The checksum that the next sector continues.
    pub(super) sum: u32,
}

/// Generation, place in the half, checksum of the sector before.
pub(super) type Header = (u64, u64, u32);

impl<'a> LogSector<'a> {
    /// The sector, if it is the one expected.
    pub(super) fn parse(sector: &'a [u8; SECTOR], expected: Header) -> Option<Self> {
        let (sum, body) = sector.split_first_chunk::<4>()?;
        let sum = u32::from_le_bytes(*sum);
        let chain = u32::from_le_bytes(*body.first_chunk::<4>()?);
        let header = (number(sector, 8)?, number(sector, 16)?, chain);
        if header != expected || crc32(body) != sum {
            return None;
        }
        let length = sector.get(24..HEADER)?.first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let text = sector.get(HEADER..HEADER.checked_add(length)?)?;
        Some(Self { text, sum })
    }

    /// The sector with this text, of which there must be room for it, and its checksum.
    pub(super) fn emit((generation, place, chain): Header, text: &[u8]) -> ([u8; SECTOR], u32) {
        let mut sector = [0; SECTOR];
        let length = u16::try_from(text.len().min(TEXT)).unwrap_or(0);
        put(&mut sector, 4, &chain.to_le_bytes());
        put(&mut sector, 8, &generation.to_le_bytes());
        put(&mut sector, 16, &place.to_le_bytes());
        put(&mut sector, 24, &length.to_le_bytes());
        put(&mut sector, HEADER, text.get(..usize::from(length)).unwrap_or_default());
        let sum = crc32(sector.get(4..).unwrap_or_default());
        put(&mut sector, 0, &sum.to_le_bytes());
        (sector, sum)
    }
}

fn put(sector: &mut [u8; SECTOR], at: usize, bytes: &[u8]) {
    if let Some(place) = sector.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn number(sector: &[u8; SECTOR], at: usize) -> Option<u64> {
    sector.get(at..)?.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes))
}

fn crc32(bytes: &[u8]) -> u32 {
    Crc32::new().with(bytes).value()
}
