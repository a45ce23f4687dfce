//! What the device's header says of a frame that its sender has not finished (virtio 1.2 §5.1.6).
//!
//! ```text
//! 0 flags   1 gso_type   2 hdr_len   4 gso_size   6 csum_start   8 csum_offset   10 num_buffers
//! ```
//! Ordinary frames have flags and type 0, which is one comparison. Of what a device says nothing is believed:
//! places are checked against the frame ([`packet::Packet::leave_unfinished`]), the length of headers is
//! found in the frame, and a length that the header gives is not looked at (§5.1.6.4.2 forbids to rely on
//! it). That a device has looked at a checksum (`DATA_VALID`) is of no use to the switch: it passes the
//! checksum on.

use crate::{HEADER_LEN, config::feature};
use packet::{BadOffload, Large, LargeKind, OffloadSet, Packet, Unfinished};

/// Flag: the checksum is to be finished.
const NEEDS_CSUM: u8 = 1;
/// Types of large frames, and the bit that goes with the flag CWR.
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const ECN: u8 = 0x80;

/// Places of the fields that are written.
const HDR_LEN: usize = 2;
const GSO_SIZE: usize = 4;
const CSUM_START: usize = 6;
const CSUM_OFFSET: usize = 8;

/// Which unfinished frames the driver has said it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The bits of flags and type that say that a frame is one of them. None if the driver takes none: the
    /// device must set none then (§5.1.6.4.1), and what an old one leaves there is not looked at.
    mask: u16,
    v4: bool,
    v6: bool,
}

impl Taken {
    pub(crate) fn of(features: u64) -> Self {
        let has = |bit| features & bit != 0;
        let mask = u16::from_le_bytes([NEEDS_CSUM, 0xff]);
        let mask = if has(feature::GUEST_CSUM) { mask } else { 0 };
        Self { mask, v4: has(feature::GUEST_TSO4), v6: has(feature::GUEST_TSO6) }
    }
}

/// The header in front of a received frame, as two words: what is read byte by byte and looked at in pairs makes the
/// processor wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Bytes 0 to 7.
    low: u64,
    /// Bytes 8 to 11.
    high: u32,
}

impl Header {
    /// That of the frame in a buffer as it came.
    #[inline(always)]
    pub(crate) fn of(packet: &Packet) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = packet.data().first_chunk()?;
        let [a, b, c, d, e, f, g, h, high @ ..] = *bytes;
        let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Some(Self { low, high: u32::from_le_bytes(high) })
    }

    /// Two bytes of the first eight.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "it takes its bits")]
    fn half(self, at: usize) -> u16 {
        (self.low >> (8 * at)) as u16
    }

    /// What is written at byte 10.
    #[inline(always)]
    pub(crate) fn num_buffers(self) -> u16 {
        (self.high >> 16) as u16
    }

    /// Whether the frame is as it should be.
    #[inline(always)]
    pub(crate) fn is_finished(self, taken: Taken) -> bool {
        self.half(0) & taken.mask == 0
    }

    /// Whether it is of several frames' bytes.
    pub(crate) fn is_large(self) -> bool {
        let [_, kind] = self.half(0).to_le_bytes();
        kind != 0
    }

    /// What is left to do.
    pub(crate) fn unfinished(self, taken: Taken) -> Result<Unfinished, BadOffload> {
        let [flags, kind] = self.half(0).to_le_bytes();
        if flags & NEEDS_CSUM == 0 {
            // §5.1.6.4.1: a large frame's checksum is never finished.
            return Err(BadOffload);
        }
        let (has_cwr, size) = (kind & ECN != 0, self.half(GSO_SIZE));
        let large = |kind| Some(Large { kind, has_cwr, size });
        let large = match kind & !ECN {
            0 if !has_cwr => None,
            TCP_V4 if taken.v4 => large(LargeKind::TcpV4),
            TCP_V6 if taken.v6 => large(LargeKind::TcpV6),
            _ => return Err(BadOffload),
        };
        let checksum_start = self.half(CSUM_START).into();
        // What is at byte 8.
        let [offset @ .., _, _] = self.high.to_le_bytes();
        let checksum_offset = u16::from_le_bytes(offset).into();
        Ok(Unfinished { checksum_start, checksum_offset, large })
    }
}

/// The header for a packet that is not finished (§5.1.6.2); `None` if the device does not do what is left.
#[inline(never)]
pub(crate) fn header(packet: &Packet, offloads: OffloadSet) -> Option<[u8; HEADER_LEN]> {
    let Unfinished { checksum_start, checksum_offset, large } =
        packet.unfinished().filter(|_| packet.passes(offloads))?;
    let mut header = [0; HEADER_LEN];
    let mut half = |at: usize, value: u16| {
        if let Some(place) = header.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *place = value.to_le_bytes();
        }
    };
    half(CSUM_START, u16::try_from(checksum_start).ok()?);
    half(CSUM_OFFSET, u16::try_from(checksum_offset).ok()?);
    let mut kind = 0;
    if let Some(Large { kind: of, has_cwr, size }) = large {
        half(HDR_LEN, u16::try_from(packet.large_header_len()?).ok()?);
        half(GSO_SIZE, size);
        kind = match of {
            LargeKind::TcpV4 => TCP_V4,
            LargeKind::TcpV6 => TCP_V6,
        };
        kind |= if has_cwr { ECN } else { 0 };
    }
    half(0, u16::from_le_bytes([NEEDS_CSUM, kind]));
    Some(header)
}
