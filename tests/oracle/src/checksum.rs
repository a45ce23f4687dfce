//! Checksums, the slow way: over all bytes, every time.
//!
//! A frame may arrive with a checksum that is wrong, or that covers bytes of other fragments. A
//! switch must not make a wrong one right. So what is kept is the *total* over the bytes with the
//! checksum in them, which edits must not change: for a right checksum that means a right one.

/// How a TCP checksum of zero is written. An edit of a finished one makes zero of it; who computes it
/// for a sender that left it to do writes all ones, as for UDP (`packet`'s `offload.rs`; so does Linux).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TcpZero {
    #[default]
    Zero,
    Ones,
}

/// The one's complement sum of big-endian words; an odd last byte is padded with zero (RFC 1071).
pub(crate) fn ones_sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum with which the sum over everything becomes `total` again, where `rest` is the sum
/// without it. `old` stays if it does so already.
pub(crate) fn restore(total: u16, rest: u16, old: u16) -> u16 {
    let modulus = 0xffff;
    let wanted = (u32::from(total) + modulus - u32::from(rest)) % modulus;
    // 0 and 0xffff are the same number here; a computed checksum is never 0xffff, as the sum of
    // anything is never zero.
    if u32::from(old) % modulus == wanted { old } else { wanted as u16 }
}

/// CRC-32C, bit by bit (RFC 9260 appendix A).
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_the_specifications() {
        // RFC 1071 §3.
        assert_eq!(ones_sum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), 0xddf2);
        // RFC 3720 appendix B.4: 32 bytes of zeros, of ones.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn totals_are_restored() {
        // Bytes 1 and 2 with a right checksum sum up to 0xffff.
        assert_eq!(restore(0xffff, 0x1234, 0), !0x1234);
        assert_eq!(restore(0xffff, 0xffff, 7), 0);
        // Off by three before, off by three after.
        assert_eq!(restore(3, 0x1000, 0), 0xf002);
        assert_eq!(ones_sum(&[&0x1000u16.to_be_bytes(), &0xf002u16.to_be_bytes()]), 3);
    }
}
