//! Frames written by hand, and the checksums that they need, worked out here from the RFCs and not by any
//! code of the switch.

/// Makes a frame.
pub(crate) type Make = fn() -> Vec<u8>;

/// Bytes of a text in hexadecimal; spaces are for the reader.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "an odd number of digits: {text}");
    let byte = |pair: &[u8]| {
        let pair = core::str::from_utf8(pair).expect("digits are ASCII");
        u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("{pair} of {text}"))
    };
    digits.chunks(2).map(byte).collect()
}

/// Stations 2 (destination) and 1 (source).
const MACS: &str = "020000000002 020000000001";
/// DSCP 46, ECN 1, TTL 64, 10.0.0.1 to 10.0.0.2; length, protocol and checksum are zero.
const IPV4: &str = "45b9 0000 1234 0000 4000 0000 0a000001 0a000002";
/// Class 0xb9, label 0x54321, hop limit 64, fd00::1 to fd00::2; length and next header are zero.
const IPV6: &str =
    "6b954321 0000 00 40 fd000000000000000000000000000001 fd000000000000000000000000000002";
/// Behind every header that has no other payload.
const PAYLOAD: &str = "000102030405060708090a0b0c0d0e0f1011";

const UDP: &str = "1388 0035 001a 0000";
const TCP: &str = "1388 0050 00000003 00000004 5019 0005 0000 0000";
const SCTP: &str = "1388 0035 00000006 00000000";
const ECHO: &str = "08 00 0000 0007 0001";
const ECHO6: &str = "80 00 0000 0007 0001";
const TARGET: &str = "fd000000000000000000000000000009";

/// An Ethernet frame.
fn ethernet(ethertype: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = [hex(MACS), hex(ethertype), payload.to_vec()].concat();
    frame.resize(frame.len().max(60), 0);
    seal(frame)
}

fn ipv4(protocol: u8, transport: &str) -> Vec<u8> {
    let mut packet = [hex(IPV4), hex(transport), hex(PAYLOAD)].concat();
    let len = packet.len();
    put16(&mut packet, 2, len);
    packet[9] = protocol;
    packet
}

fn ipv6(next: u8, rest: &str) -> Vec<u8> {
    let mut packet = [hex(IPV6), hex(rest), hex(PAYLOAD)].concat();
    let len = packet.len() - 40;
    put16(&mut packet, 4, len);
    packet[6] = next;
    packet
}

pub(crate) fn udp() -> Vec<u8> {
    ethernet("0800", &ipv4(17, UDP))
}

pub(crate) fn tcp() -> Vec<u8> {
    ethernet("0800", &ipv4(6, TCP))
}

pub(crate) fn sctp() -> Vec<u8> {
    ethernet("0800", &ipv4(132, SCTP))
}

pub(crate) fn icmp() -> Vec<u8> {
    ethernet("0800", &ipv4(1, ECHO))
}

pub(crate) fn udp6() -> Vec<u8> {
    ethernet("86dd", &ipv6(17, UDP))
}

pub(crate) fn tcp6() -> Vec<u8> {
    ethernet("86dd", &ipv6(6, TCP))
}

pub(crate) fn sctp6() -> Vec<u8> {
    ethernet("86dd", &ipv6(132, SCTP))
}

pub(crate) fn icmp6() -> Vec<u8> {
    ethernet("86dd", &ipv6(58, ECHO6))
}

/// A neighbour solicitation with the sender's address, without payload behind it.
pub(crate) fn solicit() -> Vec<u8> {
    neighbour(&format!("87 00 0000 00000000 {TARGET} 01 01 020000000001"))
}

/// A neighbour advertisement with the target's address.
pub(crate) fn advert() -> Vec<u8> {
    neighbour(&format!("88 00 0000 60000000 {TARGET} 02 01 020000000009"))
}

fn neighbour(icmp: &str) -> Vec<u8> {
    let mut packet = [hex(IPV6), hex(icmp)].concat();
    packet[4..8].copy_from_slice(&[0, 32, 58, 255]);
    ethernet("86dd", &packet)
}

pub(crate) fn arp() -> Vec<u8> {
    ethernet("0806", &hex("0001 0800 06 04 0001 020000000001 0a000001 000000000000 0a000002"))
}

/// Priority 5, VLAN 0x123.
pub(crate) fn tagged() -> Vec<u8> {
    ethernet("8100", &[hex("a123 0800"), ipv4(17, UDP)].concat())
}

/// A service tag (priority 3, VLAN 7) around the tag of [`tagged`].
pub(crate) fn tagged_twice() -> Vec<u8> {
    ethernet("88a8", &[hex("6007 8100 a123 0800"), ipv4(17, UDP)].concat())
}

/// Label 0x54321, class 5, bottom of stack, TTL 9.
pub(crate) fn mpls() -> Vec<u8> {
    ethernet("8847", &[hex("54321b09"), ipv4(17, UDP)].concat())
}

/// Label 0x6, class 1, TTL 8 around the label of [`mpls`].
pub(crate) fn mpls_twice() -> Vec<u8> {
    ethernet("8847", &[hex("00006208 54321b09"), ipv4(17, UDP)].concat())
}

/// Service instance 0x123456, the customers' addresses used, around [`udp`].
pub(crate) fn pbb() -> Vec<u8> {
    ethernet("88e7", &[hex("08123456"), udp()].concat())
}

/// IPv4 UDP fragments: what the 16 bits of flags and offset say.
pub(crate) fn fragment(bits: usize) -> Vec<u8> {
    let mut packet = ipv4(17, UDP);
    put16(&mut packet, 6, bits);
    ethernet("0800", &packet)
}

/// An IPv6 packet with this first header and these bytes behind the fixed one.
pub(crate) fn extended(next: u8, rest: &str) -> Vec<u8> {
    ethernet("86dd", &ipv6(next, rest))
}

fn put16(bytes: &mut [u8], at: usize, value: usize) {
    let value = u16::try_from(value).expect("16 bits");
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// The frame with `n` bits from bit `at` on (0 is the first on the wire) replaced by the low ones of
/// `value`. Checksums are left.
pub(crate) fn with_bits(frame: &[u8], at: usize, n: usize, value: u128) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for k in 0..n {
        let (bit, is_set) = (at + n - 1 - k, value >> k & 1 == 1);
        let flag = 0x80 >> (bit % 8);
        frame[bit / 8] = frame[bit / 8] & !flag | if is_set { flag } else { 0 };
    }
    frame
}

/// `n` bits from bit `at` on.
pub(crate) fn bits(frame: &[u8], at: usize, n: usize) -> u128 {
    (at..at + n).fold(0, |value, bit| value << 1 | u128::from(frame[bit / 8] >> (7 - bit % 8) & 1))
}

/// The frame with its right checksums, as a host would send it.
pub(crate) fn seal(mut frame: Vec<u8>) -> Vec<u8> {
    seal_from(&mut frame, 12);
    frame
}

/// From the Ethernet type at `at` on.
fn seal_from(frame: &mut [u8], at: usize) {
    let ethertype = u16::from_be_bytes([frame[at], frame[at + 1]]);
    match ethertype {
        0x8100 | 0x88a8 => seal_from(frame, at + 4),
        0x0800 => seal_v4(&mut frame[at + 2..]),
        0x86dd => seal_v6(&mut frame[at + 2..]),
        0x88e7 => seal_from(frame, at + 2 + 4 + 12),
        0x8847 | 0x8848 => {
            let mut inner = at + 2;
            while frame[inner + 2] & 1 == 0 {
                inner += 4;
            }
            inner += 4;
            match frame[inner] >> 4 {
                4 => seal_v4(&mut frame[inner..]),
                6 => seal_v6(&mut frame[inner..]),
                _ => {}
            }
        }
        _ => {}
    }
}

/// RFC 1071.
fn sum(bytes: &[u8]) -> u32 {
    let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| low.into());
    bytes.chunks(2).map(pair).sum()
}

fn checksum(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("16 bits")
}

fn seal_v4(packet: &mut [u8]) {
    let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    put16(packet, 10, 0);
    let header = checksum(sum(&packet[..20]));
    put16(packet, 10, header.into());
    let fragment = u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff;
    if fragment == 0 {
        let protocol = packet[9];
        let addresses = sum(&packet[12..20]);
        seal_transport(&mut packet[20..len], protocol, addresses);
    }
}

fn seal_v6(packet: &mut [u8]) {
    let len = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let addresses = sum(&packet[8..40]);
    let (mut next, mut at) = (packet[6], 40);
    loop {
        // Hop-by-hop options, routing, destination options; authentication counts in words.
        let size = match next {
            0 | 43 | 60 => 8 * (1 + usize::from(packet[at + 1])),
            51 => 4 * (2 + usize::from(packet[at + 1])),
            _ => break,
        };
        next = packet[at];
        at += size;
    }
    seal_transport(&mut packet[at..len], next, addresses);
}

fn seal_transport(segment: &mut [u8], protocol: u8, addresses: u32) {
    let len = u32::try_from(segment.len()).expect("short");
    let pseudo = addresses + u32::from(protocol) + len;
    let (at, pseudo) = match protocol {
        1 => (2, 0),
        6 => (16, pseudo),
        17 => (6, pseudo),
        58 => (2, pseudo),
        132 => {
            segment[8..12].fill(0);
            let crc = crc32c(segment);
            segment[8..12].copy_from_slice(&crc.to_le_bytes());
            return;
        }
        _ => return,
    };
    put16(segment, at, 0);
    let value = checksum(sum(segment) + pseudo);
    // A UDP checksum of zero means that there is none (RFC 768).
    let value = if protocol == 17 && value == 0 { u16::MAX } else { value };
    put16(segment, at, value.into());
}

/// RFC 9260, appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let polynomial = if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
            crc >> 1 ^ polynomial
        })
    })
}
