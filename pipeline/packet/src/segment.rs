//! Cutting a large frame into those that its sender means (the software side of TCP segmentation offload).
//!
//! Each segment has the headers of the whole with what differs: IP lengths and the header checksum, IPv4's
//! identification counted on, the sequence number, FIN and PSH on the last alone, CWR on the first alone
//! (RFC 3168 §6.1.2). The checksum stays unfinished: the pseudo header's sum that the sender left covers the
//! length of the whole, so it is corrected for that of the segment, and the rest is left to the device by
//! which it leaves, or to [`Packet::finish_checksum`].
//!
//! What leaves does not depend on the length fields that the sender wrote: the end of the frame is the end.

use crate::bytes::{put, u8_at, u16_at, u32_at};
use crate::checksum::{finish, sum};
use crate::offload::{Large, LargeKind, Layers, Unfinished};
use crate::wire::{ipv4, ipv6, tcp};
use crate::{Packet, PoolCache};

/// Segments that are made of one frame, at most: senders with usual sizes need 128. A frame that asks for more
/// would cost a core the time of hundreds.
pub const MAX_SEGMENTS: usize = 256;

/// Place of the identification in IPv4 (RFC 791 §3.1).
const IDENT: usize = 4;
/// Place of the sequence number in TCP (RFC 9293 §3.1).
const SEQ: usize = 4;
/// Place of the flags, and those that not every segment has.
const FLAGS: usize = 13;
const CWR: u8 = 0x80;
const PSH_FIN: u8 = 0x08 | 0x01;

/// The segments of a large frame, one after the other.
#[derive(Debug)]
pub struct Segments<'a> {
    whole: &'a Packet,
    large: Large,
    layers: Layers,
    /// How many there are, and how many of them were made.
    n: usize,
    done: usize,
}

/// There is no buffer for the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoBuffer;

impl<'a> Segments<'a> {
    /// Those of `whole`; `None` if it is not large, if its headers are gone, or if there are more than
    /// [`MAX_SEGMENTS`].
    #[must_use]
    pub fn of(whole: &'a Packet) -> Option<Self> {
        let (large, layers) = whole.large_layers()?;
        let n = (whole.len() - layers.payload).div_ceil(large.size.into());
        (1..=MAX_SEGMENTS).contains(&n).then_some(Self { whole, large, layers, n, done: 0 })
    }

    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// When there is no buffer for it. It is still the next.
    pub fn next(&mut self, cache: &mut PoolCache) -> Result<Option<Packet>, NoBuffer> {
        if self.done >= self.n {
            return Ok(None);
        }
        let Self { whole, large, layers, n, done } = *self;
        let size = usize::from(large.size);
        let (headers, stream) = whole.data().split_at_checked(layers.payload).ok_or(NoBuffer)?;
        let part = stream.get(done * size..).unwrap_or(&[]);
        let part = part.get(..size).unwrap_or(part);
        let mut segment = cache.alloc_for(headers.len() + part.len()).ok_or(NoBuffer)?;
        if !segment.extend(headers) || !segment.extend(part) {
            cache.free(segment);
            return Err(NoBuffer);
        }
        self.write_headers(segment.data_mut(), part.len(), done + 1 == n);
        segment.set_offsets(whole.offsets());
        *segment.meta_mut() = *whole.meta();
        let unfinished =
            Unfinished { checksum_start: layers.l4, checksum_offset: tcp::CHECKSUM, large: None };
        // The place was found in the same headers.
        let _ = segment.leave_unfinished(&unfinished);
        self.done += 1;
        Ok(Some(segment))
    }

    /// Makes the headers of the whole those of a segment with `len` bytes of the stream.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "lengths of a frame: below 2^17, and by the \
        standards' own limits below 2^16 for a segment"
    )]
    fn write_headers(&self, frame: &mut [u8], len: usize, is_last: bool) {
        let Self { whole, large, layers: Layers { l3, l4, payload }, done, .. } = *self;
        let ip_len = payload + len - l3;
        match large.kind {
            LargeKind::TcpV4 => {
                let ident = u16_at(frame, l3 + IDENT).wrapping_add(done as u16);
                put(frame, l3 + ipv4::TOTAL_LEN, (ip_len as u16).to_be_bytes());
                put(frame, l3 + IDENT, ident.to_be_bytes());
                put(frame, l3 + ipv4::CHECKSUM, [0; 2]);
                let total = finish(sum(frame.get(l3..l4).unwrap_or(&[]), 0));
                put(frame, l3 + ipv4::CHECKSUM, total.to_be_bytes());
            }
            LargeKind::TcpV6 => {
                let payload_len = (ip_len - ipv6::LEN) as u16;
                put(frame, l3 + ipv6::PAYLOAD_LEN, payload_len.to_be_bytes());
            }
        }
        let offset = (done * usize::from(large.size)) as u32;
        let seq = u32_at(frame, l4 + SEQ).wrapping_add(offset);
        put(frame, l4 + SEQ, seq.to_be_bytes());
        let mut flags = u8_at(frame, l4 + FLAGS);
        flags &= if done > 0 { !CWR } else { !0 };
        flags &= if is_last { !0 } else { !PSH_FIN };
        put(frame, l4 + FLAGS, [flags]);
        // The length in the pseudo header becomes that of the segment.
        let (old, new) = ((whole.len() - l4) as u32, (payload + len - l4) as u32);
        let pseudo = u32::from(u16_at(frame, l4 + tcp::CHECKSUM));
        let length = |of: u32| (of & 0xffff) + (of >> 16);
        let corrected = !finish(pseudo + (0xffff - length(old) % 0xffff) + length(new));
        put(frame, l4 + tcp::CHECKSUM, corrected.to_be_bytes());
    }
}
