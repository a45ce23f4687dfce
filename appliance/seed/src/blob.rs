//! The binary spelling: a small frame around a postcard payload.
//!
//! ```text
//! 0  "USWC"     magic
//! 4  u16        format version (little endian, as all numbers here)
//! 6  u16        reserved, 0
//! 8  u32        length of the payload in bytes
//! 12 payload    postcard of BootConfig
//!    u32        CRC-32 (IEEE) of everything before it
//! ```
//!
//! The version stands before the checksum is looked at, so that a blob of another format is
//! called that, whatever else that format changed.

use alloc::vec::Vec;
use core::fmt;

use crate::{BootConfig, Invalid};

/// First four bytes of a blob.
pub const MAGIC: [u8; 4] = *b"USWC";
/// The format that this code reads and writes.
pub const FORMAT: u16 = 4;
/// Largest blob accepted; a full configuration needs a tenth of it.
pub const MAX_BLOB_BYTES: usize = 64 * 1024;

const HEADER_BYTES: usize = 12;
const CRC_BYTES: usize = 4;

/// Why a blob was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedError {
    /// Shorter than its frame.
    Truncated {
        /// Bytes that it has.
        len: usize,
    },
    /// Longer than [`MAX_BLOB_BYTES`].
    TooLarge {
        /// Bytes that it has.
        len: usize,
    },
    /// Does not start with [`MAGIC`].
    NotASeed,
    /// Of another format version.
    Version {
        /// The version it says.
        found: u16,
    },
    /// The length field does not fit the bytes.
    Length {
        /// Payload bytes that it says.
        says: u32,
        /// Payload bytes that are there.
        has: usize,
    },
    /// The checksum does not fit the bytes.
    Checksum,
    /// The payload does not spell a configuration.
    Malformed,
    /// It does, but one that makes no sense.
    Invalid(Invalid),
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { len } => {
                write!(f, "config blob ends after {len} bytes: write it again with the launcher")
            }
            Self::TooLarge { len } => {
                write!(f, "config blob has {len} bytes, at most {MAX_BLOB_BYTES} are read")
            }
            Self::NotASeed => {
                f.write_str("config blob does not start with \"USWC\": not written by the launcher")
            }
            Self::Version { found } => write!(
                f,
                "config blob is of format {found}, this image reads {FORMAT}: \
                 rebuild launcher and image together"
            ),
            Self::Length { says, has } => {
                write!(f, "config blob says {says} bytes of payload but has {has}: write it again")
            }
            Self::Checksum => {
                f.write_str("config blob fails its checksum: it was damaged, write it again")
            }
            Self::Malformed => f.write_str(
                "config blob has a right checksum but a wrong payload: \
                 rebuild launcher and image together",
            ),
            Self::Invalid(why) => write!(f, "config blob: {why}"),
        }
    }
}

impl core::error::Error for SeedError {}

impl BootConfig {
    /// The blob of this configuration.
    ///
    /// # Errors
    /// What [`Self::validate`] finds: what is not fit to be read is not written.
    pub fn encode(&self) -> Result<Vec<u8>, Invalid> {
        self.validate()?;
        let mut blob = Vec::with_capacity(256);
        blob.extend_from_slice(&MAGIC);
        blob.extend_from_slice(&FORMAT.to_le_bytes());
        blob.extend_from_slice(&[0; 6]);
        // Writing to a vector cannot fail, and a validated configuration is far below 4 GiB.
        let mut blob = postcard::to_extend(self, blob).unwrap_or_default();
        let payload = u32::try_from(blob.len().saturating_sub(HEADER_BYTES)).unwrap_or(u32::MAX);
        if let Some(length) = blob.get_mut(8..HEADER_BYTES) {
            length.copy_from_slice(&payload.to_le_bytes());
        }
        let crc = crc32(&blob);
        blob.extend_from_slice(&crc.to_le_bytes());
        Ok(blob)
    }

    /// Reads a blob.
    ///
    /// # Errors
    /// One variant per way in which bytes fail to be a configuration.
    pub fn decode(blob: &[u8]) -> Result<Self, SeedError> {
        if blob.len() > MAX_BLOB_BYTES {
            return Err(SeedError::TooLarge { len: blob.len() });
        }
        let truncated = SeedError::Truncated { len: blob.len() };
        let magic: [u8; 4] = field(blob, 0).ok_or(truncated)?;
        if magic != MAGIC {
            return Err(SeedError::NotASeed);
        }
        let found = u16::from_le_bytes(field(blob, 4).ok_or(truncated)?);
        if found != FORMAT {
            return Err(SeedError::Version { found });
        }
        let says = u32::from_le_bytes(field(blob, 8).ok_or(truncated)?);
        let has = blob.len().checked_sub(HEADER_BYTES + CRC_BYTES).ok_or(truncated)?;
        if usize::try_from(says).ok() != Some(has) {
            return Err(SeedError::Length { says, has });
        }
        let (framed, crc) = blob.split_at(HEADER_BYTES + has);
        if crc != crc32(framed).to_le_bytes() {
            return Err(SeedError::Checksum);
        }
        let payload = framed.get(HEADER_BYTES..).ok_or(truncated)?;
        let (config, rest) =
            postcard::take_from_bytes::<Self>(payload).map_err(|_| SeedError::Malformed)?;
        if !rest.is_empty() {
            return Err(SeedError::Malformed);
        }
        config.validate().map_err(SeedError::Invalid)?;
        // A configuration has one blob: reserved bytes are 0, and numbers take no needless bytes.
        if config.encode().as_deref() != Ok(blob) {
            return Err(SeedError::Malformed);
        }
        Ok(config)
    }
}

fn field<const N: usize>(blob: &[u8], at: usize) -> Option<[u8; N]> {
    blob.get(at..at + N)?.try_into().ok()
}

/// CRC-32 as in IEEE 802.3, bit by bit: a blob is read once per boot and is small.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
