//! Checksums of a frame, verified the slow way and without the code under test.

/// What a checksum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// There is none, or it cannot be verified from this frame alone.
    None,
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
}

/// Checksums of the network and the transport header of a frame whose layers begin there.
#[must_use]
pub fn of_frame(frame: &[u8], eth_type: u16, l3: usize) -> (Sum, Sum) {
    let Some(packet) = frame.get(l3..) else {
        return (Sum::None, Sum::None);
    };
    match eth_type {
        0x0800 => of_ipv4(packet),
        0x86dd => (Sum::None, of_ipv6(packet)),
        _ => (Sum::None, Sum::None),
    }
}

fn of_ipv4(packet: &[u8]) -> (Sum, Sum) {
    let Some(header) = packet.first_chunk::<20>() else {
        return (Sum::None, Sum::None);
    };
    let header_len = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header_len < 20 || total < header_len || total > packet.len() {
        return (Sum::None, Sum::None);
    }
    let network = judge(add(&packet[..header_len], 0));
    if (header[6] & 0x3f, header[7]) != (0, 0) {
        return (network, Sum::None);
    }
    let segment = &packet[header_len..total];
    (network, of_segment(header[9], segment, &header[12..20]))
}

fn of_ipv6(packet: &[u8]) -> Sum {
    let Some(header) = packet.first_chunk::<40>() else {
        return Sum::None;
    };
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    match packet.get(40..40 + len) {
        Some(segment) => of_segment(header[6], segment, &header[8..40]),
        None => Sum::None,
    }
}

fn of_segment(proto: u8, segment: &[u8], addresses: &[u8]) -> Sum {
    let len = segment.len() as u64;
    let pseudo = add(addresses, u64::from(proto) + len);
    match (proto, segment.len()) {
        (1 | 2, 8..) => judge(add(segment, 0)),
        (6, 20..) | (58, 8..) => judge(add(segment, pseudo)),
        (17, 8..) => {
            let says = u16::from_be_bytes([segment[4], segment[5]]);
            if (segment[6], segment[7]) == (0, 0) || u64::from(says) != len {
                Sum::None
            } else {
                judge(add(segment, pseudo))
            }
        }
        (132, 12..) => {
            let mut zeroed = segment.to_vec();
            zeroed[8..12].fill(0);
            if crc32c(&zeroed).to_le_bytes() == segment[8..12] { Sum::Right } else { Sum::Wrong }
        }
        _ => Sum::None,
    }
}

/// Sum of 16-bit words, an odd byte at the end padded with zero (RFC 1071).
fn add(bytes: &[u8], start: u64) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .fold(start, |sum, word| sum + word)
}

fn judge(mut sum: u64) -> Sum {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    if sum == 0xffff { Sum::Right } else { Sum::Wrong }
}

/// CRC-32C, bit by bit (RFC 9260 appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
