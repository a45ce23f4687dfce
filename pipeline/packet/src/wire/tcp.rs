//! TCP (RFC 9293 §3.1).

use super::Malformed;
use crate::bytes::{put, u8_at, u16_at, u32_at};

/// Length of a header without options.
pub const MIN_LEN: usize = 20;
/// Offset of the source port.
pub const SRC: usize = 0;
/// Offset of the destination port.
pub const DST: usize = 2;
/// Offset of data offset and flags.
pub const FLAGS: usize = 12;
/// Offset of the checksum.
pub const CHECKSUM: usize = 16;
/// Bits of the word at [`FLAGS`] that are flags.
pub const FLAGS_MASK: u16 = 0x0fff;

/// A view of a TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// A view, when the header with its options is all there.
    ///
    /// # Errors
    ///
    /// When not.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let view = Self { bytes };
        let header = view.header_len();
        if header >= MIN_LEN && header <= bytes.len() { Ok(view) } else { Err(Malformed) }
    }

    /// Length of the header with options.
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(u8_at(self.bytes, FLAGS) >> 4) * 4
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

    /// Sequence number.
    #[must_use]
    pub fn seq(&self) -> u32 {
        u32_at(self.bytes, 4)
    }

    /// Acknowledgement number.
    #[must_use]
    pub fn ack(&self) -> u32 {
        u32_at(self.bytes, 8)
    }

    /// The twelve bits after the data offset: reserved ones and flags.
    #[must_use]
    pub fn flags(&self) -> u16 {
        u16_at(self.bytes, FLAGS) & FLAGS_MASK
    }

    /// Receive window.
    #[must_use]
    pub fn window(&self) -> u16 {
        u16_at(self.bytes, 14)
    }

    /// Checksum as it stands.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes, CHECKSUM)
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len()..).unwrap_or(&[])
    }
}

/// The meaning of a header without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags, 12 bits.
    pub flags: u16,
    /// Receive window.
    pub window: u16,
}

impl Repr {
    /// The header's meaning, options left out.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self {
            src: view.src(),
            dst: view.dst(),
            seq: view.seq(),
            ack: view.ack(),
            flags: view.flags(),
            window: view.window(),
        }
    }

    /// Writes a header of 20 bytes, checksum 0, at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let header = bytes.get_mut(..MIN_LEN).ok_or(Malformed)?;
        put(header, SRC, self.src.to_be_bytes());
        put(header, DST, self.dst.to_be_bytes());
        put(header, 4, self.seq.to_be_bytes());
        put(header, 8, self.ack.to_be_bytes());
        put(header, FLAGS, (5 << 12 | self.flags & FLAGS_MASK).to_be_bytes());
        put(header, 14, self.window.to_be_bytes());
        put(header, CHECKSUM, [0; 4]);
        Ok(())
    }
}
