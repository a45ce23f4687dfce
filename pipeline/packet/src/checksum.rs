//! The Internet checksum, whole and incremental, and SCTP's CRC.
//!
//! Edits never sum a frame again: they correct the checksum by what changed (RFC 1624, equation 3,
//! `HC' = ~(~HC + ~m + m')`). So an edit costs the same for any frame, and a frame that arrived
//! with a wrong checksum leaves with one that is wrong by the same amount: damage stays visible.

/// Ones' complement sum of `data` as big-endian 16-bit words added to `sum`, not yet folded.
#[must_use]
pub fn sum(data: &[u8], sum: u32) -> u32 {
    let (words, rest) = data.as_chunks::<2>();
    let mut wide = u64::from(sum);
    for word in words {
        wide += u64::from(u16::from_be_bytes(*word));
    }
    if let [last] = rest {
        wide += u64::from(u16::from_be_bytes([*last, 0]));
    }
    fold64(wide)
}

/// The checksum field for a sum: folded and complemented.
#[must_use]
pub fn finish(sum: u32) -> u16 {
    !fold(sum)
}

/// Whether data that contains its checksum field adds up.
#[must_use]
pub fn is_valid(total: u32) -> bool {
    fold(total) == 0xffff
}

/// Sum of the pseudo header of TCP, UDP over IPv4 (RFC 9293 §3.1, RFC 768).
#[must_use]
pub fn pseudo_ipv4(src: u32, dst: u32, proto: u8, len: u16) -> u32 {
    let mut total = u32::from(proto) + u32::from(len);
    total = sum(&src.to_be_bytes(), total);
    sum(&dst.to_be_bytes(), total)
}

/// Sum of the pseudo header over IPv6 (RFC 8200 §8.1).
#[must_use]
pub fn pseudo_ipv6(src: u128, dst: u128, proto: u8, len: u32) -> u32 {
    let mut total = sum(&len.to_be_bytes(), u32::from(proto));
    total = sum(&src.to_be_bytes(), total);
    sum(&dst.to_be_bytes(), total)
}

/// A checksum after bytes that it covers changed from `old` to `new`. Both start at an even
/// offset of the summed data and are of the same, even length.
#[must_use]
#[inline]
pub fn update(checksum: u16, old: &[u8], new: &[u8]) -> u16 {
    u16::from_be_bytes(Change::of(old, new).corrected(checksum.to_be_bytes()))
}

/// What a change of bytes adds to the sum that covers them. Changes add up, so a header that is edited
/// in several places has its checksum corrected once.
///
/// In the machine's byte order, which a ones' complement sum does not mind (RFC 1071 §2 (B)), and four
/// bytes at a time, since 2^32 and 2^16 are both 1 modulo 65535. Sums of fewer than 2^16 words of 16
/// bits cannot overflow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change(u64);

impl Change {
    /// From `old` to `new`: as for [`update`].
    #[inline]
    pub(crate) fn of(old: &[u8], new: &[u8]) -> Self {
        let ((old, old_rest), (new, new_rest)) = (old.as_chunks::<4>(), new.as_chunks::<4>());
        let longs = old.iter().zip(new).fold(Self(0), |sum, (old, new)| {
            let (old, new) = (u32::from_ne_bytes(*old), u32::from_ne_bytes(*new));
            sum.and(Self(u64::from(!old) + u64::from(new)))
        });
        let ((old, _), (new, _)) = (old_rest.as_chunks::<2>(), new_rest.as_chunks::<2>());
        old.iter().zip(new).fold(longs, |sum, (old, new)| {
            let (old, new) = (u16::from_ne_bytes(*old), u16::from_ne_bytes(*new));
            sum.and(Self(u64::from(!old) + u64::from(new)))
        })
    }

    /// This one and another.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Whether nothing has changed.
    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The checksum field behind the change.
    #[inline]
    pub(crate) fn corrected(self, checksum: [u8; 2]) -> [u8; 2] {
        let sum = u64::from(!u16::from_ne_bytes(checksum)) + self.0;
        // Below 2^32 and a little; the rest is folded twice.
        let sum = (sum & 0xffff_ffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let [a, b, ..] = (!sum).to_le_bytes();
        u16::from_le_bytes([a, b]).to_ne_bytes()
    }
}

/// Corrects the checksum field at `at` in `data`; does nothing when it is not there.
#[inline]
pub(crate) fn correct_at(data: &mut [u8], at: usize, change: Change) {
    if let Some(field) = field_at(data, at) {
        *field = change.corrected(*field);
    }
}

/// As [`correct_at`] for UDP (RFC 768): a field of 0 means "none" and stays; a result of 0 is sent
/// as all ones.
#[inline]
pub(crate) fn correct_udp_at(data: &mut [u8], at: usize, change: Change) {
    if let Some(field) = field_at(data, at).filter(|field| **field != [0; 2]) {
        *field = match change.corrected(*field) {
            [0, 0] => [0xff; 2],
            other => other,
        };
    }
}

#[inline]
fn field_at(data: &mut [u8], at: usize) -> Option<&mut [u8; 2]> {
    data.get_mut(at..)?.first_chunk_mut()
}

fn fold64(wide: u64) -> u32 {
    let once = (wide & 0xffff_ffff) + (wide >> 32);
    let twice = (once & 0xffff_ffff) + (once >> 32);
    fold(u32::try_from(twice).unwrap_or(u32::MAX)).into()
}

#[inline]
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    u16::try_from(twice).unwrap_or(u16::MAX)
}

/// CRC32c (Castagnoli, reflected, as RFC 9260 appendix A) of `data`, continuing from `state`.
/// Start with `!0` and complement the end for a CRC proper; start with 0 for the linear part.
fn crc32c_continue(mut state: u32, data: &[u8]) -> u32 {
    for &byte in data {
        let [low, ..] = (state ^ u32::from(byte)).to_le_bytes();
        state = CRC32C.get(usize::from(low)).copied().unwrap_or(0) ^ (state >> 8);
    }
    state
}

/// CRC32c of `data`, as SCTP puts it on the wire (least significant byte first: use
/// `to_le_bytes`).
#[must_use]
pub fn crc32c(data: &[u8]) -> u32 {
    !crc32c_continue(!0, data)
}

/// How the CRC32c of `len` bytes changes when the first four change by the bits of `difference`:
/// CRC is linear, so this is the CRC, with zero start, of the difference followed by zeros.
#[must_use]
pub(crate) fn crc32c_difference(difference: [u8; 4], len: usize) -> u32 {
    let mut state = crc32c_continue(0, &difference);
    for _ in difference.len()..len {
        state = crc32c_continue(state, &[0]);
    }
    state
}

const CRC32C: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut start = 0_u32;
    let mut byte = 0;
    while byte < 256 {
        let mut crc = start;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte] = crc;
        }
        byte += 1;
        start += 1;
    }
    table
};
