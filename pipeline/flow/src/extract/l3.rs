//! IPv4, IPv6 with extension headers, ARP.

use super::cursor::{Cursor, be16};
use super::{Extracted, Malformed, Put};
use crate::layout::{ARP_SHA, ARP_THA, IPV6_DST, IPV6_SRC, NW, NW_ADDR};
use crate::proto::{FRAG_ANY, FRAG_LATER, eth_type as ethertype, ext_hdr, ip_proto};

const IPV4_HEADER: usize = 20;
const IPV4_MORE_FRAGMENTS: u16 = 0x2000;
const IPV4_OFFSET: u16 = 0x1fff;
const IPV6_OFFSET: u16 = 0xfff8;
const MAX_PADDING: usize = 0xffff;

impl Extracted {
    /// Reads the network header and what it carries.
    #[inline]
    pub(super) fn network(&mut self, ty: u16, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        match ty {
            ethertype::IPV4 => self.ipv4(cursor),
            ethertype::IPV6 => self.ipv6(cursor),
            ethertype::ARP | ethertype::RARP => self.arp(cursor),
            _ => self.rare(ty, cursor),
        }
    }

    /// Types that only some networks have, out of the way of the others.
    #[inline(never)]
    fn rare(&mut self, ty: u16, cursor: &Cursor<'_>) -> Result<(), Malformed> {
        if ty == ethertype::PBB { self.pbb(cursor) } else { Ok(()) }
    }

    #[inline]
    fn ipv4(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let header = cursor.peek::<IPV4_HEADER>().ok_or(Malformed::Ipv4)?;
        let [
            ver_ihl,
            tos,
            len_high,
            len_low,
            _,
            _,
            frag_high,
            frag_low,
            ttl,
            proto,
            _,
            _,
            addrs @ ..,
        ] = *header;
        let header_len = usize::from(ver_ihl & 0xf) * 4;
        let total = usize::from(be16(len_high, len_low));
        let fits = header_len >= IPV4_HEADER
            && header_len <= total
            && total <= cursor.len()
            && cursor.len() - total <= MAX_PADDING;
        if !fits {
            return Err(Malformed::Ipv4);
        }
        cursor.truncate(total);
        cursor.skip(header_len).ok_or(Malformed::Ipv4)?;

        let flags = be16(frag_high, frag_low);
        let frag = match (flags & IPV4_OFFSET, flags & IPV4_MORE_FRAGMENTS) {
            (0, 0) => 0,
            (0, _) => FRAG_ANY,
            _ => FRAG_ANY | FRAG_LATER,
        };
        self.put(NW_ADDR, u64::from_be_bytes(addrs));
        self.put(NW, u64::from(u32::from_be_bytes([frag, tos, ttl, proto])));
        self.transport(proto, frag, cursor)
    }

    #[inline]
    fn ipv6(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let header = cursor.pull::<40>().ok_or(Malformed::Ipv6)?;
        let [a, b, c, d, len_high, len_low, next, hop_limit, addresses @ ..] = *header;
        let payload = usize::from(be16(len_high, len_low));
        if payload > cursor.len() || cursor.len() - payload > MAX_PADDING {
            return Err(Malformed::Ipv6);
        }
        cursor.truncate(payload);
        let (pairs, _) = addresses.as_chunks::<8>();
        if let [src_high, src_low, dst_high, dst_low] = pairs {
            self.put(IPV6_SRC, u64::from_be_bytes(*src_high));
            self.put(IPV6_SRC + 1, u64::from_be_bytes(*src_low));
            self.put(IPV6_DST, u64::from_be_bytes(*dst_high));
            self.put(IPV6_DST + 1, u64::from_be_bytes(*dst_low));
        }

        let (proto, frag, found) = if is_extension(next) {
            skip_extensions(next, cursor).ok_or(Malformed::Ipv6Extension)?
        } else {
            (next, 0, 0)
        };
        let class_and_label = u32::from_be_bytes([a, b, c, d]);
        let [class, ..] = (class_and_label << 4).to_be_bytes();
        let label = u64::from(class_and_label & 0xf_ffff);
        let rest = u32::from_be_bytes([frag, class, hop_limit, proto]);
        self.put(NW, u64::from(found) << 52 | label << 32 | u64::from(rest));
        self.transport(proto, frag, cursor)
    }

    #[inline(never)]
    fn arp(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
        let packet = cursor.pull::<28>().ok_or(Malformed::Arp)?;
        let [hrd0, hrd1, pro0, pro1, hln, pln, op_high, op_low, addresses @ ..] = *packet;
        let is_ipv4_over_ethernet =
            be16(hrd0, hrd1) == 1 && be16(pro0, pro1) == ethertype::IPV4 && (hln, pln) == (6, 4);
        if !is_ipv4_over_ethernet {
            return Err(Malformed::Arp);
        }
        let [s0, s1, s2, s3, s4, s5, spa @ .., t0, t1, t2, t3, t4, t5, p0, p1, p2, p3] = addresses;
        let [p4, p5, p6, p7] = spa;
        self.put(NW_ADDR, u64::from_be_bytes([p4, p5, p6, p7, p0, p1, p2, p3]));
        self.put(ARP_SHA, u64::from_be_bytes([s0, s1, s2, s3, s4, s5, 0, 0]));
        self.put(ARP_THA, u64::from_be_bytes([t0, t1, t2, t3, t4, t5, 0, 0]));
        // The key has room for the low byte; an operation beyond it reads as none.
        if op_high == 0 {
            self.put(NW, u64::from(op_low));
        }
        Ok(())
    }
}

/// The extension headers, and the two protocols that `ipv6_exthdr` calls so.
#[inline]
fn is_extension(proto: u8) -> bool {
    matches!(
        proto,
        ip_proto::HOP_BY_HOP
            | ip_proto::ROUTING
            | ip_proto::DESTINATION
            | ip_proto::AH
            | ip_proto::FRAGMENT
            | ip_proto::ESP
            | ip_proto::NO_NEXT
    )
}

/// Walks the extension headers (RFC 8200 §4). Returns the protocol behind them, the fragment bits
/// and which headers there were; a later fragment ends the walk, with the fragment header as its
/// protocol.
#[inline(never)]
fn skip_extensions(mut proto: u8, cursor: &mut Cursor<'_>) -> Option<(u8, u8, u16)> {
    let mut frag = 0;
    let mut seen = Seen::default();
    while is_extension(proto) {
        seen.add(proto);
        if matches!(proto, ip_proto::ESP | ip_proto::NO_NEXT) {
            break;
        }
        let [next, len, off_high, off_low, ..] = *cursor.peek::<8>()?;
        let size = match proto {
            ip_proto::FRAGMENT => 8,
            ip_proto::AH => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
        cursor.skip(size)?;
        if proto == ip_proto::FRAGMENT {
            let offset = be16(off_high, off_low);
            if offset != 0 {
                frag = FRAG_ANY;
            }
            if offset & IPV6_OFFSET != 0 {
                return Some((ip_proto::FRAGMENT, FRAG_ANY | FRAG_LATER, seen.bits));
            }
        }
        proto = next;
    }
    Some((proto, frag, seen.bits))
}

/// The extension headers of a packet so far, as OpenFlow 1.3.5 §7.2.3.8 tells of them.
#[derive(Default)]
struct Seen {
    bits: u16,
    /// Place of the last one in the order of RFC 8200 §4.1.
    rank: u8,
    n_destination: u8,
}

impl Seen {
    fn add(&mut self, proto: u8) {
        const BEFORE_ROUTING: u8 = 2;
        const LAST: u8 = 7;
        let is_first = self.rank == 0;
        let (bit, rank) = match proto {
            ip_proto::HOP_BY_HOP => (ext_hdr::HOP, 1),
            // Destination options stand before the routing header, at the end, or in both places.
            ip_proto::DESTINATION if self.rank < BEFORE_ROUTING => (ext_hdr::DEST, BEFORE_ROUTING),
            ip_proto::DESTINATION => (ext_hdr::DEST, LAST),
            ip_proto::ROUTING => (ext_hdr::ROUTER, 3),
            ip_proto::FRAGMENT => (ext_hdr::FRAG, 4),
            ip_proto::AH => (ext_hdr::AUTH, 5),
            ip_proto::ESP => (ext_hdr::ESP, 6),
            _ => (ext_hdr::NO_NEXT, LAST),
        };
        let is_destination = bit == ext_hdr::DEST;
        self.n_destination = self.n_destination.saturating_add(u8::from(is_destination));
        if if is_destination { self.n_destination > 2 } else { self.bits & bit != 0 } {
            self.bits |= ext_hdr::UNREP;
        }
        if rank < self.rank {
            self.bits |= ext_hdr::UNSEQ;
        }
        // Hop-by-hop options count as such in the first place only.
        if bit != ext_hdr::HOP || is_first {
            self.bits |= bit;
        }
        self.rank = rank;
    }
}
