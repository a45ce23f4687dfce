//! IPv6 and its extension headers (RFC 8200).

use super::{Malformed, proto};
use crate::bytes::{put, u8_at, u16_at, u32_at, u128_at};

/// Length of the fixed header.
pub const LEN: usize = 40;
/// Offset of the payload length.
pub const PAYLOAD_LEN: usize = 4;
/// Offset of the next-header number.
pub const NEXT_HEADER: usize = 6;
/// Offset of the hop limit.
pub const HOP_LIMIT: usize = 7;
/// Offset of the source address.
pub const SRC: usize = 8;
/// Offset of the destination address.
pub const DST: usize = 24;
/// Bits of the first word that hold the flow label.
pub const LABEL_MASK: u32 = 0x000f_ffff;
/// Where the traffic class starts in the first word.
pub const CLASS_SHIFT: u32 = 20;

/// A view of an IPv6 packet.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// A view, when the version is right and header and payload are all there.
    ///
    /// # Errors
    ///
    /// When not.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let view = Self { bytes };
        let right = bytes.len() >= LEN
            && u8_at(bytes, 0) >> 4 == 6
            && LEN + view.payload_len() <= bytes.len();
        if right { Ok(view) } else { Err(Malformed) }
    }

    fn first_word(&self) -> u32 {
        u32_at(self.bytes, 0)
    }

    /// Traffic class: DSCP and ECN.
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        let [_, class, ..] = (self.first_word() << 4 >> 8).to_be_bytes();
        class
    }

    /// Flow label, 20 bits.
    #[must_use]
    pub fn flow_label(&self) -> u32 {
        self.first_word() & LABEL_MASK
    }

    /// Bytes after the fixed header.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        u16_at(self.bytes, PAYLOAD_LEN).into()
    }

    /// Number of the first header after the fixed one.
    #[must_use]
    pub fn next_header(&self) -> u8 {
        u8_at(self.bytes, NEXT_HEADER)
    }

    /// Hop limit.
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        u8_at(self.bytes, HOP_LIMIT)
    }

    /// Source address.
    #[must_use]
    pub fn src(&self) -> u128 {
        u128_at(self.bytes, SRC)
    }

    /// Destination address.
    #[must_use]
    pub fn dst(&self) -> u128 {
        u128_at(self.bytes, DST)
    }

    /// What follows the fixed header, without link padding.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..LEN + self.payload_len()).unwrap_or(&[])
    }

    /// Walks the extension headers.
    ///
    /// # Errors
    ///
    /// When one of them is cut off.
    pub fn upper(&self) -> Result<Upper, Malformed> {
        walk(self.next_header(), self.payload(), LEN)
    }
}

/// Where the extension headers end, and what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// Protocol of what follows them.
    pub proto: u8,
    /// Where it begins, from the start of the fixed header.
    pub offset: usize,
    /// Offset and flags of the fragment header, when there is one.
    pub fragment: Option<u16>,
    /// A routing header still has segments to visit: the destination address is not the final one,
    /// for which the transport checksum was made (RFC 8200 §8.1).
    pub has_segments_left: bool,
}

impl Upper {
    /// Whether this is a fragment other than the first: nothing of the transport header is here.
    #[must_use]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|word| word & 0xfff8 != 0)
    }
}

/// Walks extension headers in `rest`, which starts `offset` bytes after the fixed header's start,
/// until one that is not an extension header, or a later fragment's data.
pub(crate) fn walk(first: u8, rest: &[u8], offset: usize) -> Result<Upper, Malformed> {
    let mut upper = Upper { proto: first, offset, fragment: None, has_segments_left: false };
    let mut rest = rest;
    loop {
        // RFC 8200 §4: length in 8-byte units without the first; RFC 4302 §2.2: authentication
        // counts 4-byte units without the first two.
        let len = match upper.proto {
            proto::HOP_BY_HOP | proto::ROUTING | proto::DESTINATION => {
                (usize::from(u8_at(rest, 1)) + 1) * 8
            }
            proto::AUTHENTICATION => (usize::from(u8_at(rest, 1)) + 2) * 4,
            proto::FRAGMENT => 8,
            _ => return Ok(upper),
        };
        if rest.len() < 8 {
            return Err(Malformed);
        }
        match upper.proto {
            proto::ROUTING => upper.has_segments_left |= u8_at(rest, 3) != 0,
            proto::FRAGMENT => upper.fragment = Some(u16_at(rest, 2)),
            _ => {}
        }
        upper.proto = u8_at(rest, 0);
        upper.offset += len;
        rest = rest.get(len..).ok_or(Malformed)?;
        if upper.is_later_fragment() {
            return Ok(upper);
        }
    }
}

/// The fixed header's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Bytes after the fixed header.
    pub payload_len: u16,
    /// Number of the next header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
}

impl Repr {
    /// The header's meaning.
    #[must_use]
    pub fn parse(view: &View<'_>) -> Self {
        Self {
            traffic_class: view.traffic_class(),
            flow_label: view.flow_label(),
            payload_len: u16_at(view.bytes, PAYLOAD_LEN),
            next_header: view.next_header(),
            hop_limit: view.hop_limit(),
            src: view.src(),
            dst: view.dst(),
        }
    }

    /// Writes the header at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn emit(&self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let header = bytes.get_mut(..LEN).ok_or(Malformed)?;
        let word =
            6 << 28 | u32::from(self.traffic_class) << CLASS_SHIFT | self.flow_label & LABEL_MASK;
        put(header, 0, word.to_be_bytes());
        put(header, PAYLOAD_LEN, self.payload_len.to_be_bytes());
        put(header, NEXT_HEADER, [self.next_header, self.hop_limit]);
        put(header, SRC, self.src.to_be_bytes());
        put(header, DST, self.dst.to_be_bytes());
        Ok(())
    }
}
