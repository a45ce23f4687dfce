//! IPv4 (RFC 791 §3.1).

use super::Malformed;
use crate::bytes::{put, u8_at, u16_at, u32_at};
use crate::checksum;

/// Length of a header without options.
pub const MIN_LEN: usize = 20;
/// Offset of the type-of-service byte: DSCP and ECN.
pub const TOS: usize = 1;
/// Offset of the total length.
pub const TOTAL_LEN: usize = 2;
/// Offset of flags and fragment offset.
pub const FRAGMENT: usize = 6;
/// Offset of the time to live.
pub const TTL: usize = 8;
/// Offset of the protocol.
pub const PROTO: usize = 9;
/// Offset of the header checksum.
pub const CHECKSUM: usize = 10;
/// Offset of the source address.
pub const SRC: usize = 12;
/// Offset of the destination address.
pub const DST: usize = 16;

/// "More fragments" in the fragment word.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Bits of the fragment word that hold the offset.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

/// A view of an IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// A view, when version, header length and total length are possible and all of it is there.
    ///
    /// # Errors
    ///
    /// When one of them is not.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let view = Self { bytes };
        let (header, total) = (view.header_len(), view.total_len());
        let right = bytes.len() >= MIN_LEN
            && u8_at(bytes, 0) >> 4 == 4
            && header >= MIN_LEN
            && header <= total
            && total <= bytes.len();
        if right { Ok(view) } else { Err(Malformed) }
    }

    /// Length of the header with options.
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(u8_at(self.bytes, 0) & 0x0f) * 4
    }

    /// Length of header and payload.
    #[must_use]
    pub fn total_len(&self) -> usize {
        u16_at(self.bytes, TOTAL_LEN).into()
    }

    /// Type of service: DSCP and ECN.
    #[must_use]
    pub fn tos(&self) -> u8 {
        u8_at(self.bytes, TOS)
    }

    /// Identification.
    #[must_use]
    pub fn ident(&self) -> u16 {
        u16_at(self.bytes, 4)
    }

    /// Flags and fragment offset.
    #[must_use]
    pub fn fragment(&self) -> u16 {
        u16_at(self.bytes, FRAGMENT)
    }

    /// Whether this is a fragment at all.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fragment() & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }

    /// Whether this is a fragment other than the first: no transport header.
    #[must_use]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment() & FRAGMENT_OFFSET != 0
    }

    /// Time to live.
    #[must_use]
    pub fn ttl(&self) -> u8 {
        u8_at(self.bytes, TTL)
    }

    /// Protocol of the payload.
    #[must_use]
    pub fn proto(&self) -> u8 {
        u8_at(self.bytes, PROTO)
    }

    /// Header checksum as it stands.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes, CHECKSUM)
    }

    /// Whether the header adds up.
    #[must_use]
    pub fn is_checksum_valid(&self) -> bool {
        let header = self.bytes.get(..self.header_len()).unwrap_or(&[]);
        checksum::is_valid(checksum::sum(header, 0))
    }

    /// Source address.
    #[must_use]
    pub fn src(&self) -> u32 {
        u32_at(self.bytes, SRC)
    }

    /// Destination address.
    #[must_use]
    pub fn dst(&self) -> u32 {
        u32_at(self.bytes, DST)
    }

    /// What follows the header, without link padding.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len()..self.total_len()).unwrap_or(&[])
    }
}

/// The meaning of a header without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// DSCP and ECN.
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub proto: u8,
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Length of the payload.
    pub payload_len: u16,
}

impl Repr {
    /// The header's meaning; `None` when it has options, which this type cannot say.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Option<Self> {
        if view.header_len() != MIN_LEN {
            return None;
        }
        Some(Self {
            tos: view.tos(),
            ident: view.ident(),
            fragment: view.fragment(),
            ttl: view.ttl(),
            proto: view.proto(),
            src: view.src(),
            dst: view.dst(),
            payload_len: u16::try_from(view.payload().len()).ok()?,
        })
    }

    /// Writes the header, with its checksum, at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit, or the payload is too long.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let header = bytes.get_mut(..MIN_LEN).ok_or(Malformed)?;
        let total = self.payload_len.checked_add(20).ok_or(Malformed)?;
        put(header, 0, [0x45, self.tos]);
        put(header, TOTAL_LEN, total.to_be_bytes());
        put(header, 4, self.ident.to_be_bytes());
        put(header, FRAGMENT, self.fragment.to_be_bytes());
        put(header, TTL, [self.ttl, self.proto, 0, 0]);
        put(header, SRC, self.src.to_be_bytes());
        put(header, DST, self.dst.to_be_bytes());
        let sum = checksum::finish(checksum::sum(header, 0));
        put(header, CHECKSUM, sum.to_be_bytes());
        Ok(())
    }
}
