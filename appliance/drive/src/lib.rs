#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod fat;
mod iso;
mod source;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use fat::Fat;
use iso::Iso;
use source::Source;

/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// Bytes of a directory that are looked through.
pub const MAX_DIRECTORY_BYTES: u32 = 256 * 1024;

/// A disk to read from.
pub trait Sectors {
    /// Sectors that it has.
    fn n_sectors(&self) -> u64;
    /// Reads a sector.
    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), ReadFailed>;
}

/// The disk did not give the sector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadFailed;

/// Why a file cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriveError {
    /// The disk refused, or the volume says there is more than the disk has.
    Unreadable,
    /// No volume of a kind that is known.
    NoVolume,
    /// The volume contradicts itself; where.
    Malformed(&'static str),
    /// There is no such file.
    NotFound,
    /// The file is longer than the caller allows.
    TooLarge {
        /// Bytes that it has.
        bytes: u32,
    },
}

impl fmt::Display for DriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the disk cannot be read as far as its volume says"),
            Self::NoVolume => f.write_str("neither ISO9660 nor FAT"),
            Self::Malformed(what) => write!(f, "the volume is damaged: {what}"),
            Self::NotFound => f.write_str("there is no such file"),
            Self::TooLarge { bytes } => write!(f, "the file is too long, {bytes} bytes"),
        }
    }
}

impl core::error::Error for DriveError {}

/// A volume on a disk.
#[derive(Debug)]
pub struct Volume<S> {
    source: Source<S>,
    format: Format,
}

#[derive(Debug)]
enum Format {
    Iso(Iso),
    Fat(Fat),
}

impl<S: Sectors> Volume<S> {
    /// Looks at what the disk holds.
    ///
    /// # Errors
    /// When that is no volume, or a broken one.
    pub fn open(sectors: S) -> Result<Self, DriveError> {
        let mut source = Source::new(sectors);
        let format = match iso::open(&mut source)? {
            Some(iso) => Format::Iso(iso),
            None => Format::Fat(fat::open(&mut source)?.ok_or(DriveError::NoVolume)?),
        };
        Ok(Self { source, format })
    }

    /// The volume's name, as it was given to it.
    #[must_use]
    pub fn label(&self) -> &str {
        match &self.format {
            Format::Iso(iso) => &iso.label,
            Format::Fat(fat) => &fat.label,
        }
    }

    /// The content of the file at a path of names with `/` between them.
    ///
    /// # Errors
    /// When there is none, it is longer than `max_bytes`, or the way there is broken.
    pub fn read_file(&mut self, path: &str, max_bytes: u32) -> Result<Vec<u8>, DriveError> {
        self.source.begin();
        match &self.format {
            Format::Iso(iso) => iso.read_file(&mut self.source, path, max_bytes),
            Format::Fat(fat) => fat.read_file(&mut self.source, path, max_bytes),
        }
    }
}

/// A name in UCS-2.
fn from_ucs2(units: impl Iterator<Item = u16>) -> String {
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A label in an 8-bit code, without the spaces that fill its field.
fn from_bytes(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    String::from(text.trim_end_matches([' ', '\0']))
}
