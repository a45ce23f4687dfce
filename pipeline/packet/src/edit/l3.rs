//! Edits of IPv4, IPv6 and ARP headers.

use super::{Masked, change};
use crate::bytes::{u8_at, u16_at};
use crate::checksum::{update_at, update_udp_at};
use crate::wire::ethernet::ethertype;
use crate::wire::{arp, icmpv6, ipv4, ipv6, proto, tcp, udp};
use crate::{Offsets, Packet};

/// Writes the IPv4 source address.
#[must_use]
#[inline]
pub fn set_ipv4_src(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    set_ipv4_address(packet, at, ipv4::SRC, to)
}

/// Writes the IPv4 destination address.
#[must_use]
#[inline]
pub fn set_ipv4_dst(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    set_ipv4_address(packet, at, ipv4::DST, to)
}

/// Writes bits of the IPv4 type of service.
#[must_use]
pub fn set_ipv4_tos(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    let write = |[version, tos]: [u8; 2]| [version, to.over(tos)];
    set_ipv4_word(packet, at, 0, write)
}

/// Writes the IPv4 time to live.
#[must_use]
#[inline]
pub fn set_ipv4_ttl(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    let write = |[ttl, proto]: [u8; 2]| [to.over(ttl), proto];
    set_ipv4_word(packet, at, ipv4::TTL, write)
}

/// Writes the IPv6 source address.
#[must_use]
pub fn set_ipv6_src(packet: &mut Packet, at: &Offsets, to: Masked<u128>) -> bool {
    set_ipv6_address(packet, at, ipv6::SRC, to)
}

/// Writes the IPv6 destination address.
#[must_use]
pub fn set_ipv6_dst(packet: &mut Packet, at: &Offsets, to: Masked<u128>) -> bool {
    set_ipv6_address(packet, at, ipv6::DST, to)
}

/// Writes bits of the IPv6 traffic class.
#[must_use]
pub fn set_ipv6_class(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    let shift = |bits: u8| u32::from(bits) << ipv6::CLASS_SHIFT;
    set_ipv6_word(packet, at, Masked { value: shift(to.value), mask: shift(to.mask) })
}

/// Writes bits of the IPv6 flow label (the low 20 of `to`).
#[must_use]
pub fn set_ipv6_label(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    set_ipv6_word(packet, at, Masked { mask: to.mask & ipv6::LABEL_MASK, ..to })
}

/// Writes the IPv6 hop limit.
#[must_use]
pub fn set_ipv6_hop_limit(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    let Some(l3) = header(packet, at, ipv6::LEN) else {
        return false;
    };
    change(packet.data_mut(), l3 + ipv6::HOP_LIMIT, |[old]| [to.over(old)]).is_some()
}

/// Writes the IP protocol: of IPv4, or of IPv6 behind its extension headers. What the packet carries
/// must be found out anew.
#[must_use]
pub fn set_ip_proto(packet: &mut Packet, at: &mut Offsets, to: u8) -> bool {
    let Some(l3) = header(packet, at, ipv4::MIN_LEN) else {
        return false;
    };
    // The type says what it is: a version that says otherwise is damage.
    let ethertype = l3.checked_sub(2).map_or(0, |place| u16_at(packet.data(), place));
    let is_done = if ethertype == ethertype::IPV4 {
        set_ipv4_word(packet, at, ipv4::TTL, |[ttl, _]: [u8; 2]| [ttl, to])
    } else if let Some(place) = ipv6_proto(packet, at) {
        change(packet.data_mut(), place, |[_]| [to]).is_some()
    } else {
        false
    };
    at.l4 = None;
    is_done
}

/// Where the last header of an IPv6 packet names the protocol behind it.
fn ipv6_proto(packet: &Packet, at: &Offsets) -> Option<usize> {
    let l3 = header(packet, at, ipv6::LEN)?;
    let frame = packet.data();
    let (mut place, mut next) = (l3 + ipv6::NEXT_HEADER, l3 + ipv6::LEN);
    loop {
        let extension = frame.get(next..)?;
        let units = usize::from(u8_at(extension, 1));
        let size = match u8_at(frame, place) {
            proto::HOP_BY_HOP | proto::ROUTING | proto::DESTINATION => (units + 1) * 8,
            proto::AUTHENTICATION => (units + 2) * 4,
            proto::FRAGMENT => 8,
            _ => return Some(place),
        };
        (place, next) = (next, next + size);
    }
}

/// Writes the ARP operation.
#[must_use]
pub fn set_arp_op(packet: &mut Packet, at: &Offsets, to: Masked<u16>) -> bool {
    set_arp(packet, at, arp::OP, |old| to.over(u16::from_be_bytes(old)).to_be_bytes())
}

/// Writes the ARP sender's protocol address.
#[must_use]
pub fn set_arp_spa(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    set_arp(packet, at, arp::SPA, |old| to.over(u32::from_be_bytes(old)).to_be_bytes())
}

/// Writes the ARP target's protocol address.
#[must_use]
pub fn set_arp_tpa(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    set_arp(packet, at, arp::TPA, |old| to.over(u32::from_be_bytes(old)).to_be_bytes())
}

/// Writes the ARP sender's hardware address.
#[must_use]
pub fn set_arp_sha(packet: &mut Packet, at: &Offsets, to: Masked<[u8; 6]>) -> bool {
    set_arp(packet, at, arp::SHA, |old| to.over(old))
}

/// Writes the ARP target's hardware address.
#[must_use]
pub fn set_arp_tha(packet: &mut Packet, at: &Offsets, to: Masked<[u8; 6]>) -> bool {
    set_arp(packet, at, arp::THA, |old| to.over(old))
}

/// Where the network header begins, when `len` bytes of it are there.
#[inline]
fn header(packet: &Packet, at: &Offsets, len: usize) -> Option<usize> {
    at.l3.map(usize::from).filter(|l3| l3 + len <= packet.len())
}

#[inline]
fn set_ipv4_address(packet: &mut Packet, at: &Offsets, field: usize, to: Masked<u32>) -> bool {
    let Some(l3) = header(packet, at, ipv4::MIN_LEN) else {
        return false;
    };
    let frame = packet.data_mut();
    let write = |old| to.over(u32::from_be_bytes(old)).to_be_bytes();
    let Some((old, new)) = change(frame, l3 + field, write) else {
        return false;
    };
    update_at(frame, l3 + ipv4::CHECKSUM, &old, &new);
    if let Some(l4) = at.l4 {
        let proto = u8_at(frame, l3 + ipv4::PROTO);
        // ICMP has no pseudo header over IPv4 (RFC 792).
        if proto != proto::ICMPV6 {
            fix_transport(frame, l4.into(), proto, &old, &new);
        }
    }
    true
}

#[inline]
fn set_ipv4_word(
    packet: &mut Packet,
    at: &Offsets,
    field: usize,
    write: impl FnOnce([u8; 2]) -> [u8; 2],
) -> bool {
    let Some(l3) = header(packet, at, ipv4::MIN_LEN) else {
        return false;
    };
    let frame = packet.data_mut();
    let Some((old, new)) = change(frame, l3 + field, write) else {
        return false;
    };
    update_at(frame, l3 + ipv4::CHECKSUM, &old, &new);
    true
}

fn set_ipv6_address(packet: &mut Packet, at: &Offsets, field: usize, to: Masked<u128>) -> bool {
    let Some(l3) = header(packet, at, ipv6::LEN) else {
        return false;
    };
    let frame = packet.data_mut();
    let write = |old| to.over(u128::from_be_bytes(old)).to_be_bytes();
    let Some((old, new)) = change(frame, l3 + field, write) else {
        return false;
    };
    let Some(l4) = at.l4.map(usize::from) else {
        return true;
    };
    let extensions = frame.get(l3 + ipv6::LEN..).unwrap_or(&[]);
    let first = u8_at(frame, l3 + ipv6::NEXT_HEADER);
    let Ok(upper) = ipv6::walk(first, extensions, l3 + ipv6::LEN) else {
        return true;
    };
    let is_covered = field == ipv6::SRC || !upper.has_segments_left;
    if is_covered && upper.offset == l4 && !upper.is_later_fragment() {
        fix_transport(frame, l4, upper.proto, &old, &new);
    }
    true
}

fn set_ipv6_word(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    let Some(l3) = header(packet, at, ipv6::LEN) else {
        return false;
    };
    let write = |old| to.over(u32::from_be_bytes(old)).to_be_bytes();
    change(packet.data_mut(), l3, write).is_some()
}

fn set_arp<const N: usize>(
    packet: &mut Packet,
    at: &Offsets,
    field: usize,
    write: impl FnOnce([u8; N]) -> [u8; N],
) -> bool {
    let Some(l3) = header(packet, at, arp::LEN) else {
        return false;
    };
    change(packet.data_mut(), l3 + field, write).is_some()
}

/// Corrects a transport checksum for a change in its pseudo header.
#[inline]
fn fix_transport(frame: &mut [u8], l4: usize, proto: u8, old: &[u8], new: &[u8]) {
    match proto {
        proto::TCP => update_at(frame, l4 + tcp::CHECKSUM, old, new),
        proto::UDP => update_udp_at(frame, l4 + udp::CHECKSUM, old, new),
        proto::ICMPV6 => update_at(frame, l4 + icmpv6::CHECKSUM, old, new),
        _ => {}
    }
}
