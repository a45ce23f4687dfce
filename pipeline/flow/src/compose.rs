//! Flow in, frame out: the inverse of [`extract`](crate::extract).
//!
//! Used to give `trace` a frame for a flow that a person typed, and to generate traffic. Lengths
//! and checksums are right. For every flow that extraction of a whole frame can yield,
//! `extract(&compose(&flow, n), &FlowMeta::of_flow(&flow)).flow == flow` (registers and OpenFlow
//! metadata aside, which are no packet's).
//!
//! Choices where the key does not say: an IPv4 or IPv6 later fragment has offset 8 bytes; a frame
//! with type 0x05ff is an 802.2 frame as spanning tree sends it; more labels than the key holds
//! become one more label; the customer's part of a PBB frame is empty; the extension headers of IPv6 are
//! as short as they can be.

use crate::flow::Flow;
use crate::prereq::Prereq;
use crate::proto::{FRAG_ANY, FRAG_LATER, eth_type as ethertype, ext_hdr, ip_proto};
use alloc::vec::Vec;
use packet::checksum;

const BOTTOM_OF_STACK: u32 = 0x100;
const MORE_FRAGMENTS: u16 = 0x2000;

/// Builds a frame with this key and `payload_len` bytes behind the last header.
#[must_use]
pub fn compose(flow: &Flow, payload_len: usize) -> Vec<u8> {
    let mut body = Vec::new();
    match flow.eth_type() {
        ethertype::IPV4 => ipv4(flow, payload_len, &mut body),
        ethertype::IPV6 => ipv6(flow, payload_len, &mut body),
        ethertype::ARP | ethertype::RARP => arp(flow, &mut body),
        ethertype::MPLS | ethertype::MPLS_MULTICAST => mpls(flow, payload_len, &mut body),
        ethertype::PBB => pbb(flow, payload_len, &mut body),
        ethertype::NONE => {
            body.extend([0x42, 0x42, 0x03]);
            payload(payload_len, &mut body);
        }
        _ => payload(payload_len, &mut body),
    }

    let mut frame = Vec::with_capacity(22 + body.len());
    frame.extend(flow.eth_dst().0);
    frame.extend(flow.eth_src().0);
    let tags = [(flow.vlan_tpid(), flow.vlan_tci()), (flow.vlan_tpid1(), flow.vlan_tci1())];
    for (tpid, tci) in tags.into_iter().take(flow.n_vlans()) {
        let tpid = if tpid == 0 { ethertype::VLAN } else { tpid };
        frame.extend(tpid.to_be_bytes());
        // The bit that says "present" in the key is the drop-eligible bit on the wire.
        frame.extend((tci & !crate::proto::VLAN_PRESENT).to_be_bytes());
    }
    let ty = if flow.eth_type() == ethertype::NONE { len16(&body) } else { flow.eth_type() };
    frame.extend(ty.to_be_bytes());
    frame.extend(body);
    frame
}

fn payload(len: usize, out: &mut Vec<u8>) {
    out.extend((0u8..=255).cycle().take(len));
}

/// Length of a part of a frame; what is longer than a length field can say is not a frame.
fn len16(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX)
}

fn patch(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(slot) = bytes.get_mut(at..at + 2) {
        slot.copy_from_slice(&value.to_be_bytes());
    }
}

fn arp(flow: &Flow, out: &mut Vec<u8>) {
    out.extend([0, 1, 8, 0, 6, 4, 0, flow.nw_proto()]);
    out.extend(flow.arp_sha().0);
    out.extend(flow.nw_src().to_be_bytes());
    out.extend(flow.arp_tha().0);
    out.extend(flow.nw_dst().to_be_bytes());
}

fn mpls(flow: &Flow, payload_len: usize, out: &mut Vec<u8>) {
    let n = flow.n_mpls();
    for index in 0..n {
        out.extend(flow.mpls_lse(index).to_be_bytes());
    }
    if n == 0 || flow.mpls_lse(n - 1) & BOTTOM_OF_STACK == 0 {
        out.extend(BOTTOM_OF_STACK.to_be_bytes());
    }
    payload(payload_len, out);
}

/// Control information, the customer's addresses and type, and what the customer sends (802.1ah §9.7).
fn pbb(flow: &Flow, payload_len: usize, out: &mut Vec<u8>) {
    let tci = u32::from(flow.pbb_uca()) << 27 | flow.pbb_isid();
    out.extend(tci.to_be_bytes());
    out.extend([0; 12]);
    out.extend(ethertype::NONE.to_be_bytes());
    payload(payload_len, out);
}

fn ipv4(flow: &Flow, payload_len: usize, out: &mut Vec<u8>) {
    let mut transport = Vec::new();
    let offset = match flow.nw_frag() & (FRAG_ANY | FRAG_LATER) {
        0 => 0,
        FRAG_ANY => MORE_FRAGMENTS,
        _ => 1,
    };
    l4(flow, payload_len, &mut transport);
    let pseudo =
        checksum::pseudo_ipv4(flow.nw_src(), flow.nw_dst(), flow.nw_proto(), len16(&transport));
    sum_l4(flow, pseudo, &mut transport);

    let total = len16(&transport).saturating_add(20);
    let mut header = Vec::with_capacity(20);
    header.extend([0x45, flow.nw_tos()]);
    header.extend(total.to_be_bytes());
    header.extend([0, 0]);
    header.extend(u16::to_be_bytes(offset));
    header.extend([flow.nw_ttl(), flow.nw_proto(), 0, 0]);
    header.extend(flow.nw_src().to_be_bytes());
    header.extend(flow.nw_dst().to_be_bytes());
    let sum = checksum::finish(checksum::sum(&header, 0));
    patch(&mut header, 10, sum);
    out.extend(header);
    out.extend(transport);
}

fn ipv6(flow: &Flow, payload_len: usize, out: &mut Vec<u8>) {
    let mut transport = Vec::new();
    l4(flow, payload_len, &mut transport);
    let pseudo = checksum::pseudo_ipv6(
        flow.ipv6_src().to_bits(),
        flow.ipv6_dst().to_bits(),
        flow.nw_proto(),
        u32::from(len16(&transport)),
    );
    sum_l4(flow, pseudo, &mut transport);

    let (next, extensions) = extensions(flow);
    let len = len16(&transport).saturating_add(len16(&extensions));
    let class_and_label = 6 << 28 | u32::from(flow.nw_tos()) << 20 | flow.ipv6_label();
    out.extend(class_and_label.to_be_bytes());
    out.extend(len.to_be_bytes());
    out.extend([next, flow.nw_ttl()]);
    out.extend(flow.ipv6_src().octets());
    out.extend(flow.ipv6_dst().octets());
    out.extend(extensions);
    out.extend(transport);
}

/// The extension headers, and the protocol number of the first.
fn extensions(flow: &Flow) -> (u8, Vec<u8>) {
    let has = |bit: u16| flow.ipv6_exthdr() & bit != 0;
    let is_later = flow.nw_frag() & FRAG_LATER != 0;
    let is_fragment = has(ext_hdr::FRAG) || flow.nw_frag() != 0;
    let mut order = Vec::new();
    for (bit, proto) in [
        (ext_hdr::HOP, ip_proto::HOP_BY_HOP),
        (ext_hdr::DEST, ip_proto::DESTINATION),
        (ext_hdr::ROUTER, ip_proto::ROUTING),
        (ext_hdr::AUTH, ip_proto::AH),
    ] {
        if has(bit) {
            order.push(proto);
        }
    }
    if has(ext_hdr::UNREP) {
        // Two of any are one too many, but for destination options.
        let n = if order.last() == Some(&ip_proto::DESTINATION) { 2 } else { 1 };
        order.extend(order.last().copied().into_iter().cycle().take(n));
    }
    if has(ext_hdr::UNSEQ) {
        // Hop-by-hop options belong to the front, and the second destination options to the end.
        match order.iter().position(|proto| *proto == ip_proto::DESTINATION) {
            Some(at) if has(ext_hdr::HOP) => order.insert(at, ip_proto::DESTINATION),
            _ => order.push(ip_proto::HOP_BY_HOP),
        }
    }
    if is_fragment {
        // Behind what routers look at; a later fragment ends with it.
        let before_auth = order.iter().position(|proto| *proto == ip_proto::AH);
        let at = if is_later { order.len() } else { before_auth.unwrap_or(order.len()) };
        order.insert(at, ip_proto::FRAGMENT);
    }

    // A later fragment's key has the fragment header as protocol; behind it is "no next header".
    let last = if is_later { ip_proto::NO_NEXT } else { flow.nw_proto() };
    let mut bytes = Vec::new();
    for (index, proto) in order.iter().enumerate() {
        let next = order.get(index + 1).copied().unwrap_or(last);
        bytes.extend(match (*proto, flow.nw_frag() & (FRAG_ANY | FRAG_LATER)) {
            (ip_proto::FRAGMENT, 0) => [next, 0, 0, 0, 0, 0, 0, 0],
            (ip_proto::FRAGMENT, FRAG_ANY) => [next, 0, 0, 1, 0, 0, 0, 0],
            (ip_proto::FRAGMENT, _) => [next, 0, 0, 8, 0, 0, 0, 0],
            // An authentication header counts its length in other units, from two up.
            (ip_proto::AH, _) => [next, 0, 0, 0, 0, 0, 0, 0],
            // One padding option of six bytes; for a routing header, no segments left.
            (ip_proto::ROUTING, _) => [next, 0, 0, 0, 0, 0, 0, 0],
            _ => [next, 0, 1, 4, 0, 0, 0, 0],
        });
    }
    (order.first().copied().unwrap_or(last), bytes)
}

/// The transport header without its checksum, and the payload.
fn l4(flow: &Flow, payload_len: usize, out: &mut Vec<u8>) {
    if flow.nw_frag() & FRAG_LATER == 0 {
        let (src, dst) = (flow.tp_src().to_be_bytes(), flow.tp_dst().to_be_bytes());
        let [_, ty] = src;
        let [_, code] = dst;
        match flow.nw_proto() {
            ip_proto::TCP => {
                out.extend(src);
                out.extend(dst);
                out.extend([0; 8]);
                out.extend((5 << 12 | flow.tcp_flags() & 0xfff).to_be_bytes());
                out.extend([0xff, 0xff, 0, 0, 0, 0]);
            }
            ip_proto::UDP => {
                out.extend(src);
                out.extend(dst);
                let len = u16::try_from(payload_len).unwrap_or(u16::MAX).saturating_add(8);
                out.extend(len.to_be_bytes());
                out.extend([0; 2]);
            }
            ip_proto::SCTP => {
                out.extend(src);
                out.extend(dst);
                out.extend([0; 8]);
            }
            ip_proto::ICMP => out.extend([ty, code, 0, 0, 0, 0, 0, 0]),
            ip_proto::IGMP => {
                out.extend([ty, code, 0, 0]);
                out.extend(flow.igmp_group().to_be_bytes());
            }
            ip_proto::ICMPV6 => {
                out.extend([ty, code, 0, 0]);
                out.extend(flow.nd_reserved().to_be_bytes());
                if Prereq::Nd.holds(flow) {
                    // Anything behind the target would be read as options.
                    return nd(flow, out);
                }
            }
            _ => {}
        }
    }
    payload(payload_len, out);
}

/// Target and options of a neighbour discovery message (RFC 4861 §4.3, §4.4).
fn nd(flow: &Flow, out: &mut Vec<u8>) {
    out.extend(flow.nd_target().octets());
    let source = (1, flow.arp_sha());
    let target = (2, flow.arp_tha());
    let first = flow.nd_options_type();
    let order = if first == 2 { [target, source] } else { [source, target] };
    for (ty, addr) in order {
        if ty == first || addr != crate::EtherAddr::ZERO {
            out.extend([ty, 1]);
            out.extend(addr.0);
        }
    }
}

/// Puts the checksum into a transport header.
fn sum_l4(flow: &Flow, pseudo: u32, transport: &mut [u8]) {
    if flow.nw_frag() & FRAG_LATER != 0 {
        return;
    }
    let (at, start) = match flow.nw_proto() {
        ip_proto::TCP => (16, pseudo),
        ip_proto::UDP => (6, pseudo),
        ip_proto::ICMPV6 => (2, pseudo),
        ip_proto::ICMP | ip_proto::IGMP => (2, 0),
        ip_proto::SCTP => {
            let crc = checksum::crc32c(transport).to_le_bytes();
            if let Some(slot) = transport.get_mut(8..12) {
                slot.copy_from_slice(&crc);
            }
            return;
        }
        _ => return,
    };
    let mut sum = checksum::finish(checksum::sum(transport, start));
    if flow.nw_proto() == ip_proto::UDP && sum == 0 {
        sum = 0xffff;
    }
    patch(transport, at, sum);
}
