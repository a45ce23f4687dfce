//! ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861).

use super::view_of_len;
use crate::bytes::{array, u8_at, u16_at, u32_at, u128_at};

/// Length of the header with its message-specific word.
pub const LEN: usize = 8;
/// Offset of the type.
pub const TYPE: usize = 0;
/// Offset of the code.
pub const CODE: usize = 1;
/// Offset of the checksum.
pub const CHECKSUM: usize = 2;
/// Offset of the flags and reserved bits of a neighbour message.
pub const ND_RESERVED: usize = 4;
/// Offset of the target address of a neighbour message.
pub const ND_TARGET: usize = 8;
/// Offset of the options of a neighbour message.
pub const ND_OPTIONS: usize = 24;

/// Echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Neighbour solicitation.
pub const NEIGHBOR_SOLICIT: u8 = 135;
/// Neighbour advertisement.
pub const NEIGHBOR_ADVERT: u8 = 136;
/// Option: source link-layer address.
pub const OPTION_SLL: u8 = 1;
/// Option: target link-layer address.
pub const OPTION_TLL: u8 = 2;

/// A view of an ICMPv6 message.
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

    /// The word after the checksum.
    #[must_use]
    pub fn rest(&self) -> u32 {
        u32_at(self.bytes, ND_RESERVED)
    }

    /// The message as a neighbour solicitation or advertisement: those types, code 0 (RFC 4861
    /// §4.3, §4.4), with all of the target address there.
    #[must_use]
    pub fn neighbor(&self) -> Option<Neighbor<'a>> {
        let right = matches!(self.kind(), NEIGHBOR_SOLICIT | NEIGHBOR_ADVERT)
            && self.code() == 0
            && self.bytes.len() >= ND_OPTIONS;
        right.then_some(Neighbor { bytes: self.bytes })
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or(&[])
    }
}

/// A view of a neighbour solicitation or advertisement.
#[derive(Clone, Copy, Debug)]
pub struct Neighbor<'a> {
    bytes: &'a [u8],
}

impl<'a> Neighbor<'a> {
    /// Flags and reserved bits.
    #[must_use]
    pub fn reserved(&self) -> u32 {
        u32_at(self.bytes, ND_RESERVED)
    }

    /// Target address.
    #[must_use]
    pub fn target(&self) -> u128 {
        u128_at(self.bytes, ND_TARGET)
    }

    /// The options, until the end or the first one that cannot be.
    #[must_use]
    pub fn options(&self) -> Options<'a> {
        Options { bytes: self.bytes, at: ND_OPTIONS }
    }
}

/// One option of a neighbour message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NdOption {
    /// Option type.
    pub kind: u8,
    /// Length in bytes, type and length included; a multiple of 8 and not 0.
    pub len: usize,
    /// Where it begins, from the start of the message.
    pub offset: usize,
    /// The six bytes after type and length: a link-layer address, if the type says so.
    pub address: [u8; 6],
}

/// Walks the options of a neighbour message.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Options<'_> {
    /// Whether the walk ended before the end of the message: an option of length 0 or cut off.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.at < self.bytes.len()
    }
}

impl Iterator for Options<'_> {
    type Item = NdOption;

    fn next(&mut self) -> Option<NdOption> {
        let option = self.bytes.get(self.at..).filter(|rest| rest.len() >= 8)?;
        let len = usize::from(u8_at(option, 1)) * 8;
        if len == 0 || len > option.len() {
            return None;
        }
        let found =
            NdOption { kind: u8_at(option, 0), len, offset: self.at, address: array(option, 2) };
        self.at += len;
        Some(found)
    }
}
