//! IP packets taken apart: header, extension headers, transport, padding.

use flow::proto::{FRAG_LATER, ip_proto};
use flow::{Field, Flow};

use super::put;
use crate::checksum::{TcpZero, crc32c, ones_sum, restore};

/// The fixed header.
const IPV6_HEADER: usize = 40;

/// An IPv4 packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ipv4 {
    /// With options.
    header: Vec<u8>,
    /// The sum over the header as it came.
    total: u16,
    transport: Transport,
    padding: Vec<u8>,
}

impl Ipv4 {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header_len = usize::from(bytes.first()? & 0xf) * 4;
        let total_len = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
        if header_len < 20 || total_len < header_len || total_len > bytes.len() {
            return None;
        }
        let header = bytes[..header_len].to_vec();
        let is_later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
        let pseudo = header[12..20].to_vec();
        let payload = &bytes[header_len..total_len];
        Some(Self {
            total: ones_sum(&[&header]),
            transport: Transport::parse(header[9], is_later, &pseudo, payload),
            padding: bytes[total_len..].to_vec(),
            header,
        })
    }

    pub(super) fn header_mut(&mut self) -> &mut [u8] {
        &mut self.header
    }

    pub(super) fn emit(&self, zero: TcpZero, into: &mut Vec<u8>) {
        let mut header = self.header.clone();
        let old = u16::from_be_bytes([header[10], header[11]]);
        header[10..12].fill(0);
        let checksum = restore(self.total, ones_sum(&[&header]), old);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        into.extend_from_slice(&header);
        self.transport.emit(&header[12..20], zero, into);
        into.extend_from_slice(&self.padding);
    }

    /// Copies the TTL to the IP packet inside, or from it.
    pub(super) fn copy_ttl(&mut self, inwards: bool) {
        self.transport.copy_inner_ttl(&mut self.header[8], inwards);
    }

    pub(super) fn rewrite(&mut self, old: &Flow, new: &Flow) {
        let header = &mut self.header;
        put(&mut header[1..2], &[old.nw_tos()], &[new.nw_tos()]);
        put(&mut header[8..9], &[old.nw_ttl()], &[new.nw_ttl()]);
        put(&mut header[9..10], &[old.nw_proto()], &[new.nw_proto()]);
        put(&mut header[12..16], &old.nw_src().to_be_bytes(), &new.nw_src().to_be_bytes());
        put(&mut header[16..20], &old.nw_dst().to_be_bytes(), &new.nw_dst().to_be_bytes());
        self.transport.rewrite(old, new);
    }
}

/// An IPv6 packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ipv6 {
    header: Vec<u8>,
    extensions: Vec<u8>,
    /// Where the last of them begins.
    last_extension: Option<usize>,
    /// The destination is an intermediate one, which checksums do not cover (RFC 8200 §8.1).
    is_source_routed: bool,
    transport: Transport,
    padding: Vec<u8>,
}

impl Ipv6 {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..IPV6_HEADER)?.to_vec();
        let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let payload = bytes.get(IPV6_HEADER..IPV6_HEADER + payload_len)?;
        let mut proto = header[6];
        let (mut at, mut is_later, mut is_source_routed) = (0, false, false);
        let mut last_extension = None;
        // RFC 8200 §4: each extension header names the next and (but for fragments) its own length.
        while let Some(&[next, len, third, fourth]) = payload.get(at..at + 4) {
            let size = match proto {
                ip_proto::HOP_BY_HOP | ip_proto::DESTINATION => 8 + usize::from(len) * 8,
                ip_proto::ROUTING => {
                    is_source_routed |= fourth > 0;
                    8 + usize::from(len) * 8
                }
                ip_proto::AH => 8 + usize::from(len) * 4,
                ip_proto::FRAGMENT => {
                    is_later |= u16::from_be_bytes([third, fourth]) & 0xfff8 != 0;
                    8
                }
                _ => break,
            };
            if at + size > payload.len() {
                break;
            }
            last_extension = Some(at);
            (proto, at) = (next, at + size);
            if is_later {
                break;
            }
        }
        let pseudo = pseudo_addresses(&header, is_source_routed);
        Some(Self {
            transport: Transport::parse(proto, is_later, pseudo, &payload[at..]),
            extensions: payload[..at].to_vec(),
            last_extension,
            is_source_routed,
            padding: bytes[IPV6_HEADER + payload_len..].to_vec(),
            header,
        })
    }

    pub(super) fn header_mut(&mut self) -> &mut [u8] {
        &mut self.header
    }

    pub(super) fn emit(&self, zero: TcpZero, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.header);
        into.extend_from_slice(&self.extensions);
        let pseudo = pseudo_addresses(&self.header, self.is_source_routed);
        self.transport.emit(pseudo, zero, into);
        into.extend_from_slice(&self.padding);
    }

    /// Copies the hop limit to the IP packet inside, or from it.
    pub(super) fn copy_ttl(&mut self, inwards: bool) {
        if self.extensions.is_empty() {
            self.transport.copy_inner_ttl(&mut self.header[7], inwards);
        }
    }

    pub(super) fn rewrite(&mut self, old: &Flow, new: &Flow) {
        let header = &mut self.header;
        // Version (4 bits), traffic class (8), flow label (20).
        let version = u32::from(header[0] & 0xf0) << 24;
        let first = |flow: &Flow| {
            (version | u32::from(flow.nw_tos()) << 20 | flow.ipv6_label() & 0xf_ffff).to_be_bytes()
        };
        put(&mut header[..4], &first(old), &first(new));
        put(&mut header[7..8], &[old.nw_ttl()], &[new.nw_ttl()]);
        put(&mut header[8..24], &old.ipv6_src().octets(), &new.ipv6_src().octets());
        put(&mut header[24..40], &old.ipv6_dst().octets(), &new.ipv6_dst().octets());
        // A later fragment does not show where its protocol is.
        if old.nw_frag() & FRAG_LATER == 0 {
            let place = match self.last_extension {
                Some(at) => &mut self.extensions[at..=at],
                None => &mut self.header[6..7],
            };
            put(place, &[old.nw_proto()], &[new.nw_proto()]);
        }
        self.transport.rewrite(old, new);
    }
}

/// The addresses that a transport checksum covers.
fn pseudo_addresses(header: &[u8], is_source_routed: bool) -> &[u8] {
    if is_source_routed { &header[8..24] } else { &header[8..40] }
}

/// What an IP packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Transport {
    proto: u8,
    /// A header that the key knows of; later fragments and damaged headers have none.
    has_header: bool,
    /// The one's complement sum, or for SCTP the difference between the checksum and the right one.
    total: u32,
    bytes: Vec<u8>,
}

impl Transport {
    fn parse(proto: u8, is_later: bool, pseudo: &[u8], bytes: &[u8]) -> Self {
        let needed = match proto {
            ip_proto::TCP => 20.max(bytes.get(12).map_or(20, |byte| usize::from(byte >> 4) * 4)),
            ip_proto::UDP | ip_proto::ICMP | ip_proto::ICMPV6 | ip_proto::IGMP => 8,
            ip_proto::SCTP => 12,
            _ => usize::MAX,
        };
        let is_bad_tcp = proto == ip_proto::TCP && bytes.get(12).is_some_and(|byte| byte >> 4 < 5);
        let has_header = !is_later && !is_bad_tcp && bytes.len() >= needed;
        let mut transport = Self { proto, has_header, total: 0, bytes: bytes.to_vec() };
        transport.total = transport.current_total(pseudo, bytes);
        transport
    }

    /// Where the Internet checksum is.
    fn checksum_at(&self) -> Option<usize> {
        let at = match self.proto {
            ip_proto::TCP => 16,
            ip_proto::UDP => 6,
            ip_proto::ICMP | ip_proto::ICMPV6 | ip_proto::IGMP => 2,
            _ => return None,
        };
        self.has_header.then_some(at)
    }

    fn current_total(&self, pseudo: &[u8], bytes: &[u8]) -> u32 {
        if self.proto == ip_proto::SCTP && self.has_header {
            let mut cleared = bytes.to_vec();
            cleared[8..12].fill(0);
            let stored = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
            return stored ^ crc32c(&cleared);
        }
        let length = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
        match self.proto {
            // Without a pseudo header (RFC 792, RFC 3376).
            ip_proto::ICMP | ip_proto::IGMP => ones_sum(&[bytes]).into(),
            proto => ones_sum(&[pseudo, &[0, proto], &length, bytes]).into(),
        }
    }

    fn emit(&self, pseudo: &[u8], zero: TcpZero, into: &mut Vec<u8>) {
        let mut bytes = self.bytes.clone();
        if let Some(at) = self.checksum_at() {
            let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            let is_udp = self.proto == ip_proto::UDP;
            let is_ones = is_udp || self.proto == ip_proto::TCP && zero == TcpZero::Ones;
            // RFC 768: zero means that there is none, so a computed zero is sent as its twin.
            if !(is_udp && old == 0) {
                bytes[at..at + 2].fill(0);
                let rest = self.current_total(pseudo, &bytes) as u16;
                let mut checksum = restore(self.total as u16, rest, old);
                if is_ones && checksum == 0 {
                    checksum = 0xffff;
                }
                bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
            }
        } else if self.proto == ip_proto::SCTP && self.has_header {
            bytes[8..12].fill(0);
            let checksum = crc32c(&bytes) ^ self.total;
            bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        }
        into.extend_from_slice(&bytes);
    }

    /// Of IP in IP (protocols 4 and 41, RFC 2003 and RFC 2473).
    fn copy_inner_ttl(&mut self, outer: &mut u8, inwards: bool) {
        let mut copy = |inner: &mut u8| {
            if inwards {
                *inner = *outer;
            } else {
                *outer = *inner;
            }
        };
        let mut bytes = Vec::new();
        let version = self.bytes.first().map(|byte| byte >> 4);
        match (self.proto, version) {
            (4, Some(4)) => {
                let Some(mut inner) = Ipv4::parse(&self.bytes) else { return };
                copy(&mut inner.header[8]);
                inner.emit(TcpZero::Zero, &mut bytes);
            }
            (41, Some(6)) => {
                let Some(mut inner) = Ipv6::parse(&self.bytes) else { return };
                copy(&mut inner.header[7]);
                inner.emit(TcpZero::Zero, &mut bytes);
            }
            _ => return,
        }
        self.bytes = bytes;
    }

    fn rewrite(&mut self, old: &Flow, new: &Flow) {
        if !self.has_header {
            return;
        }
        match self.proto {
            ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP => {
                let bytes = &mut self.bytes;
                put(&mut bytes[..2], &old.tp_src().to_be_bytes(), &new.tp_src().to_be_bytes());
                put(&mut bytes[2..4], &old.tp_dst().to_be_bytes(), &new.tp_dst().to_be_bytes());
                if self.proto == ip_proto::TCP && new.tcp_flags() != old.tcp_flags() {
                    let control = u16::from_be_bytes([bytes[12], bytes[13]]);
                    let control = control & 0xf000 | new.tcp_flags() & 0x0fff;
                    bytes[12..14].copy_from_slice(&control.to_be_bytes());
                }
            }
            ip_proto::ICMP | ip_proto::ICMPV6 => {
                put(&mut self.bytes[..1], &[old.tp_src() as u8], &[new.tp_src() as u8]);
                put(&mut self.bytes[1..2], &[old.tp_dst() as u8], &[new.tp_dst() as u8]);
                if self.proto == ip_proto::ICMPV6 {
                    self.rewrite_nd(old, new);
                }
            }
            _ => {}
        }
    }

    /// Neighbour discovery: target and link-layer addresses (RFC 4861 §4.3, §4.4, §4.6.1).
    fn rewrite_nd(&mut self, old: &Flow, new: &Flow) {
        if self.bytes.len() < 24 {
            return;
        }
        let target = |flow: &Flow| flow.get(Field::NdTarget).to_be_bytes();
        let reserved = |flow: &Flow| flow.nd_reserved().to_be_bytes();
        put(&mut self.bytes[4..8], &reserved(old), &reserved(new));
        put(&mut self.bytes[8..24], &target(old), &target(new));
        let addresses = [(1, old.arp_sha(), new.arp_sha()), (2, old.arp_tha(), new.arp_tha())];
        let mut at = 24;
        while at + 8 <= self.bytes.len() {
            let size = usize::from(self.bytes[at + 1]) * 8;
            if size == 0 || at + size > self.bytes.len() {
                return;
            }
            for (option, old, new) in addresses {
                if self.bytes[at] == option && size == 8 {
                    put(&mut self.bytes[at + 2..at + 8], &old.0, &new.0);
                }
            }
            at += size;
        }
        // The type of the first option (`ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE`), whose address was found above.
        if self.bytes.len() >= 24 + 8 {
            let (old, new) = (old.nd_options_type(), new.nd_options_type());
            put(&mut self.bytes[24..25], &[old], &[new]);
        }
    }
}
