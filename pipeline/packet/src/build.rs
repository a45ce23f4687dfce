//! Frames from scratch, with right lengths and checksums: for tests, built-in hosts and benches.
//!
//! Each function wraps a payload and gives the longer bytes; they nest from the inside out:
//!
//! ```
//! use packet::build::{Ipv4, ethernet, udp};
//! use packet::wire::ethernet::ethertype;
//!
//! let ip = Ipv4 { src: 0x0a00_0001, dst: 0x0a00_0002, ..Ipv4::default() };
//! let frame = ethernet([2; 6], [4; 6], ethertype::IPV4, &udp(&ip.into(), 53, 1053, b"hello"));
//! assert_eq!(frame.len(), 14 + 20 + 8 + 5);
//! ```

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths of frames that a program builds from its own constants"
)]

use crate::bytes::put;
use crate::checksum::{crc32c, finish, pseudo_ipv4, pseudo_ipv6, sum};
use crate::wire::{arp, ethernet, icmp, ipv4, ipv6, mpls, proto, sctp, tcp, udp, vlan};
use alloc::vec;
use alloc::vec::Vec;

/// IPv4 header fields of a built frame.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4 {
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
    /// Type of service.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// Flags and fragment offset.
    pub fragment: u16,
}

impl Default for Ipv4 {
    fn default() -> Self {
        Self { src: 0x0a00_0001, dst: 0x0a00_0002, tos: 0, ttl: 64, fragment: 0 }
    }
}

/// IPv6 header fields of a built frame.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6 {
    /// Source address.
    pub src: u128,
    /// Destination address.
    pub dst: u128,
    /// Traffic class.
    pub class: u8,
    /// Flow label.
    pub label: u32,
    /// Hop limit.
    pub hop_limit: u8,
}

impl Default for Ipv6 {
    fn default() -> Self {
        Self { src: 0xfd00 << 112 | 1, dst: 0xfd00 << 112 | 2, class: 0, label: 0, hop_limit: 64 }
    }
}

/// Either network header.
#[derive(Clone, Copy, Debug)]
pub enum Ip {
    /// IPv4.
    V4(Ipv4),
    /// IPv6.
    V6(Ipv6),
}

impl From<Ipv4> for Ip {
    fn from(ip: Ipv4) -> Self {
        Self::V4(ip)
    }
}

impl From<Ipv6> for Ip {
    fn from(ip: Ipv6) -> Self {
        Self::V6(ip)
    }
}

impl Ip {
    fn pseudo(&self, proto: u8, len: usize) -> u32 {
        match self {
            Self::V4(ip) => pseudo_ipv4(ip.src, ip.dst, proto, len as u16),
            Self::V6(ip) => pseudo_ipv6(ip.src, ip.dst, proto, len as u32),
        }
    }
}

/// A header of `len` bytes, filled by `emit`, in front of `payload`.
fn prepend<E>(
    len: usize,
    payload: &[u8],
    emit: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes.extend_from_slice(payload);
    // Cannot fail: the header's own length is there.
    let _ = emit(&mut bytes);
    bytes
}

/// An Ethernet frame.
#[must_use]
pub fn ethernet(dst: [u8; 6], src: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    prepend(ethernet::LEN, payload, |b| ethernet::Repr { dst, src, ethertype }.emit(b))
}

/// A frame with a tag pushed onto it.
#[must_use]
pub fn vlan(tpid: u16, tci: u16, frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ethernet::TYPE.min(frame.len()));
    let mut tag = [0; vlan::LEN];
    let _ = vlan::Repr { tpid, tci }.emit(&mut tag);
    [addresses, &tag, rest].concat()
}

/// A label stack entry in front of a payload.
#[must_use]
pub fn mpls(entry: mpls::Repr, payload: &[u8]) -> Vec<u8> {
    prepend(mpls::LEN, payload, |b| entry.emit(b))
}

/// An ARP packet.
#[must_use]
pub fn arp(packet: arp::Repr) -> Vec<u8> {
    prepend(arp::LEN, &[], |b| packet.emit(b))
}

/// An IP packet around any payload.
#[must_use]
pub fn ip(ip: &Ip, proto: u8, payload: &[u8]) -> Vec<u8> {
    let payload_len = payload.len() as u16;
    match *ip {
        Ip::V4(Ipv4 { src, dst, tos, ttl, fragment }) => prepend(ipv4::MIN_LEN, payload, |b| {
            ipv4::Repr { tos, ident: 1, fragment, ttl, proto, src, dst, payload_len }.emit(b)
        }),
        Ip::V6(Ipv6 { src, dst, class, label, hop_limit }) => prepend(ipv6::LEN, payload, |b| {
            ipv6::Repr {
                traffic_class: class,
                flow_label: label,
                payload_len,
                next_header: proto,
                hop_limit,
                src,
                dst,
            }
            .emit(b)
        }),
    }
}

/// A TCP segment in an IP packet.
#[must_use]
pub fn tcp(header: &Ip, segment: tcp::Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = prepend(tcp::MIN_LEN, payload, |b| segment.emit(b));
    let total = finish(sum(&bytes, header.pseudo(proto::TCP, bytes.len())));
    put(&mut bytes, tcp::CHECKSUM, total.to_be_bytes());
    ip(header, proto::TCP, &bytes)
}

/// A UDP datagram in an IP packet.
#[must_use]
pub fn udp(header: &Ip, src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let length = (udp::LEN + payload.len()) as u16;
    let mut bytes = prepend(udp::LEN, payload, |b| udp::Repr { src, dst, length }.emit(b));
    let total = match finish(sum(&bytes, header.pseudo(proto::UDP, bytes.len()))) {
        0 => 0xffff,
        total => total,
    };
    put(&mut bytes, udp::CHECKSUM, total.to_be_bytes());
    ip(header, proto::UDP, &bytes)
}

/// An SCTP packet in an IP packet.
#[must_use]
pub fn sctp(header: &Ip, common: sctp::Repr, chunks: &[u8]) -> Vec<u8> {
    let mut bytes = prepend(sctp::LEN, chunks, |b| common.emit(b));
    put(&mut bytes, sctp::CHECKSUM, [0; 4]);
    let crc = crc32c(&bytes);
    put(&mut bytes, sctp::CHECKSUM, crc.to_le_bytes());
    ip(header, proto::SCTP, &bytes)
}

/// An ICMP message in an IPv4 packet, or an ICMPv6 message in an IPv6 packet.
#[must_use]
pub fn icmp(header: &Ip, head: icmp::Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = prepend(icmp::LEN, payload, |b| head.emit(b));
    let (proto, start) = match header {
        Ip::V4(_) => (proto::ICMP, 0),
        Ip::V6(_) => (proto::ICMPV6, header.pseudo(proto::ICMPV6, bytes.len())),
    };
    let total = finish(sum(&bytes, start));
    put(&mut bytes, icmp::CHECKSUM, total.to_be_bytes());
    ip(header, proto, &bytes)
}
