//! ICMP (RFC 792). The head of an IGMP message (RFC 3376 §4) reads the same way.

use super::{Malformed, view_of_len};
use crate::bytes::{put, u8_at, u16_at, u32_at};

/// Length of the header with the rest-of-header word.
pub const LEN: usize = 8;
/// Offset of the type.
pub const TYPE: usize = 0;
/// Offset of the code.
pub const CODE: usize = 1;
/// Offset of the checksum.
pub const CHECKSUM: usize = 2;
/// Echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Echo request.
pub const ECHO_REQUEST: u8 = 8;

/// A view of an ICMP message.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    view_of_len!(LEN);

    /// Message type.
    #[must_use]
    pub fn kind(&self) -> u8 {
        u8_at(self.bytes, TYPE)
    }

    /// Message code.
    #[must_use]
    pub fn code(&self) -> u8 {
        u8_at(self.bytes, CODE)
    }

    /// Checksum as it stands.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes, CHECKSUM)
    }

    /// The word after the checksum: identifier and sequence number of an echo.
    #[must_use]
    pub fn rest(&self) -> u32 {
        u32_at(self.bytes, 4)
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or(&[])
    }
}

/// A message head's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Message type.
    pub kind: u8,
    /// Message code.
    pub code: u8,
    /// The word after the checksum.
    pub rest: u32,
}

impl Repr {
    /// The head's meaning.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self { kind: view.kind(), code: view.code(), rest: view.rest() }
    }

    /// Writes the head, checksum 0, at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let header = bytes.get_mut(..LEN).ok_or(Malformed)?;
        put(header, TYPE, [self.kind, self.code, 0, 0]);
        put(header, 4, self.rest.to_be_bytes());
        Ok(())
    }
}
