//! SCTP common header (RFC 9260 §3.1).

use super::{Malformed, view_of_len};
use crate::bytes::{array, put, u16_at, u32_at};
use crate::checksum::crc32c;

/// Length of the common header.
pub const LEN: usize = 12;
/// Offset of the source port.
pub const SRC: usize = 0;
/// Offset of the destination port.
pub const DST: usize = 2;
/// Offset of the CRC32c.
pub const CHECKSUM: usize = 8;

/// A view of an SCTP packet.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    view_of_len!(LEN);

    /// Source port.
    #[must_use]
    pub fn src(&self) -> u16 {
        u16_at(self.bytes, SRC)
    }

    /// Destination port.
    #[must_use]
    pub fn dst(&self) -> u16 {
        u16_at(self.bytes, DST)
    }

    /// Verification tag.
    #[must_use]
    pub fn tag(&self) -> u32 {
        u32_at(self.bytes, 4)
    }

    /// Checksum as it stands.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        u32::from_le_bytes(array(self.bytes, CHECKSUM))
    }

    /// What follows the common header: the chunks.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or(&[])
    }
}

/// The common header's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Verification tag.
    pub tag: u32,
}

impl Repr {
    /// The header's meaning.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self { src: view.src(), dst: view.dst(), tag: view.tag() }
    }

    /// Writes the header at the front of `bytes`, with the checksum of all of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let header = bytes.get_mut(..LEN).ok_or(Malformed)?;
        put(header, SRC, self.src.to_be_bytes());
        put(header, DST, self.dst.to_be_bytes());
        put(header, 4, self.tag.to_be_bytes());
        put(header, CHECKSUM, [0; 4]);
        let crc = crc32c(bytes);
        put(bytes, CHECKSUM, crc.to_le_bytes());
        Ok(())
    }
}
