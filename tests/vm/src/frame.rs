//! Frames, made and checked without any code of the switch.
//!
//! A frame is built from the inside out: `udp(…)` gives a datagram, [`ipv4`] puts a packet around it and
//! completes the checksums, [`ethernet`] a frame around that.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An address of a station. `host(1)` is the first one behind port 1, by habit.
#[must_use]
pub const fn host(n: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 0, n]
}

/// The broadcast address.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// EtherTypes.
pub const IPV4: u16 = 0x0800;
#[expect(missing_docs, reason = "the name says it")]
pub const ARP: u16 = 0x0806;
#[expect(missing_docs, reason = "the name says it")]
pub const IPV6: u16 = 0x86dd;
#[expect(missing_docs, reason = "the name says it")]
pub const MPLS: u16 = 0x8847;

/// IP protocols.
pub const ICMP: u8 = 1;
#[expect(missing_docs, reason = "the name says it")]
pub const TCP: u8 = 6;
#[expect(missing_docs, reason = "the name says it")]
pub const UDP: u8 = 17;
#[expect(missing_docs, reason = "the name says it")]
pub const ICMP6: u8 = 58;
#[expect(missing_docs, reason = "the name says it")]
pub const SCTP: u8 = 132;

/// A frame with a payload of `len` bytes of a pattern that `tag` makes its own; 60 bytes or more.
#[must_use]
pub fn plain(dst: [u8; 6], src: [u8; 6], len: usize, tag: u32) -> Vec<u8> {
    let mut payload = tag.to_be_bytes().to_vec();
    while payload.len() < len.saturating_sub(14) {
        payload.push(payload.len().to_le_bytes()[0] ^ tag.to_le_bytes()[0]);
    }
    // A local experimental EtherType (IEEE 802).
    ethernet(dst, src, 0x88b5, &payload)
}

/// A frame around `payload`, filled up to 60 bytes.
#[must_use]
pub fn ethernet(dst: [u8; 6], src: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&dst[..], &src, &ethertype.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// The frame with a VLAN tag in front of its EtherType.
#[must_use]
pub fn tagged(frame: &[u8], tpid: u16, vid: u16, pcp: u16) -> Vec<u8> {
    let tci = (pcp << 13) | vid;
    [&frame[..12], &tpid.to_be_bytes(), &tci.to_be_bytes(), &frame[12..]].concat()
}

/// The frame with an MPLS label stack entry behind its EtherType, which becomes `ethertype`.
#[must_use]
pub fn labelled(frame: &[u8], ethertype: u16, label: u32, tc: u32, bos: u32, ttl: u32) -> Vec<u8> {
    let entry = (label << 12) | (tc << 9) | (bos << 8) | ttl;
    [&frame[..12], &ethertype.to_be_bytes(), &entry.to_be_bytes(), &frame[14..]].concat()
}

/// An IPv4 packet around `payload`, TTL 64, checksums completed.
#[must_use]
pub fn ipv4(src: [u8; 4], dst: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).expect("a packet that fits");
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(src);
    packet.extend(dst);
    packet.extend(payload);
    complete_ipv4(&mut packet);
    packet
}

/// An IPv6 packet around `payload`, hop limit 64, checksums completed.
#[must_use]
pub fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a packet that fits");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(payload);
    complete_ipv6(&mut packet);
    packet
}

/// A UDP datagram, to be completed by the packet around it.
#[must_use]
pub fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("a datagram that fits");
    [&src.to_be_bytes()[..], &dst.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat()
}

/// A TCP segment, to be completed by the packet around it.
#[must_use]
pub fn tcp(src: u16, dst: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let rest = [0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
    [&src.to_be_bytes()[..], &dst.to_be_bytes(), &rest, payload].concat()
}

/// An SCTP packet with one data chunk's worth of bytes, to be completed by the packet around it.
#[must_use]
pub fn sctp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    [&src.to_be_bytes()[..], &dst.to_be_bytes(), &[1, 2, 3, 4, 0, 0, 0, 0], payload].concat()
}

/// An ICMP or ICMPv6 message, to be completed by the packet around it.
#[must_use]
pub fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0][..], rest].concat()
}

/// An ARP packet for IPv4 over Ethernet.
#[must_use]
pub fn arp(op: u16, sha: [u8; 6], spa: Ipv4Addr, tha: [u8; 6], tpa: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    [&head[..], &op.to_be_bytes(), &sha, &spa.octets(), &tha, &tpa.octets()].concat()
}

/// Completes the checksums of an IPv4 packet and of what is in it.
pub fn complete_ipv4(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let header_len = usize::from(packet[0] & 15) * 4;
    let sum = checksum(&[&packet[..header_len]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let (header, payload) = packet[..len].split_at_mut(header_len);
    let protocol = header[9];
    let pseudo = [&header[12..20], &[0, protocol], &u16_len(payload)].concat();
    complete_l4(protocol, &pseudo, payload);
}

/// Completes the checksum in an IPv6 packet without extension headers.
pub fn complete_ipv6(packet: &mut [u8]) {
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let (header, payload) = packet[..40 + len].split_at_mut(40);
    let protocol = header[6];
    let pseudo = [&header[8..40], &[0, 0], &u16_len(payload), &[0, 0, 0, protocol]].concat();
    complete_l4(protocol, &pseudo, payload);
}

/// The packet of an untagged frame with its checksums completed again: what a switch that changed
/// it must have made of it.
#[must_use]
pub fn completed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    match u16::from_be_bytes([frame[12], frame[13]]) {
        IPV4 => complete_ipv4(&mut frame[14..]),
        IPV6 => complete_ipv6(&mut frame[14..]),
        _ => {}
    }
    frame
}

fn complete_l4(protocol: u8, pseudo: &[u8], payload: &mut [u8]) {
    let place = match protocol {
        ICMP | ICMP6 => 2,
        TCP => 16,
        UDP => 6,
        SCTP => {
            payload[8..12].fill(0);
            let sum = crc32c(payload);
            return payload[8..12].copy_from_slice(&sum.to_le_bytes());
        }
        _ => return,
    };
    payload[place..place + 2].fill(0);
    let pseudo = if protocol == ICMP { &[][..] } else { pseudo };
    let sum = match (protocol, checksum(&[pseudo, payload])) {
        // Zero would say "not computed" (RFC 768).
        (UDP, 0) => 0xffff,
        (_, sum) => sum,
    };
    payload[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

fn u16_len(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("a packet that fits").to_be_bytes()
}

/// The Internet checksum (RFC 1071) over parts of which all but the last have even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or(0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let folded = (folded & 0xffff) + (folded >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).expect("folded to 16 bits")
}

/// CRC-32C, bit by bit (RFC 9260 appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        // RFC 1071 §3 and the check value of CRC-32C.
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn completed_packets_sum_to_zero() {
        let packet = ipv4([10, 0, 0, 1], [10, 0, 0, 2], UDP, &udp(1, 2, b"odd"));
        assert_eq!(checksum(&[&packet[..20]]), 0);
        let pseudo = [&packet[12..20], &[0, UDP], &[0, 11]].concat();
        assert_eq!(checksum(&[&pseudo, &packet[20..]]), 0);
    }

    #[test]
    fn tags_and_labels_stand_where_they_should() {
        let frame = plain(BROADCAST, host(1), 60, 7);
        let tagged = tagged(&frame, 0x8100, 5, 3);
        assert_eq!(tagged[12..18], [0x81, 0, 0x60, 5, 0x88, 0xb5]);
        let labelled = labelled(&frame, MPLS, 1, 0, 1, 64);
        assert_eq!(labelled[12..18], [0x88, 0x47, 0, 0, 0x11, 64]);
    }
}
