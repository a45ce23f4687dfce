//! UDP (RFC 768).

use super::Malformed;
use crate::bytes::{put, u16_at};

/// Length of the header.
pub const LEN: usize = 8;
/// Offset of the source port.
pub const SRC: usize = 0;
/// Offset of the destination port.
pub const DST: usize = 2;
/// Offset of the length.
pub const LENGTH: usize = 4;
/// Offset of the checksum.
pub const CHECKSUM: usize = 6;

/// A view of a UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// A view, when the length field is possible and all of it is there.
    ///
    /// # Errors
    ///
    /// When not.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let view = Self { bytes };
        if bytes.len() >= LEN && view.length() >= LEN && view.length() <= bytes.len() {
            Ok(view)
        } else {
            Err(Malformed)
        }
    }

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

    /// Length of header and payload.
    #[must_use]
    pub fn length(&self) -> usize {
        u16_at(self.bytes, LENGTH).into()
    }

    /// Checksum as it stands; 0 is none.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes, CHECKSUM)
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..self.length()).unwrap_or(&[])
    }
}

/// A header's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Length of header and payload.
    pub length: u16,
}

impl Repr {
    /// The header's meaning.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self { src: view.src(), dst: view.dst(), length: u16_at(view.bytes, LENGTH) }
    }

    /// Writes the header, checksum 0, at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let header = bytes.get_mut(..LEN).ok_or(Malformed)?;
        put(header, SRC, self.src.to_be_bytes());
        put(header, DST, self.dst.to_be_bytes());
        put(header, LENGTH, self.length.to_be_bytes());
        put(header, CHECKSUM, [0; 2]);
        Ok(())
    }
}
