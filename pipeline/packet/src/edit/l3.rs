//! Edits of IPv4, IPv6 and ARP headers.

use super::{Masked, change};
use crate::bytes::{u8_at, u16_at};
use crate::checksum::{Change, correct_at, correct_udp_at};
use crate::wire::ethernet::ethertype;
use crate::wire::{arp, icmpv6, ipv4, ipv6, proto, tcp, udp};
use crate::{Offsets, Packet};

/// New IPv4 fields. Checksums follow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the header fields are")]
pub struct SetIpv4 {
    pub src: Masked<u32>,
    pub dst: Masked<u32>,
    pub tos: Masked<u8>,
    pub ttl: Masked<u8>,
}

/// Writes fields of the IPv4 header. Each checksum is corrected once for all of them.
#[must_use]
#[inline]
pub fn set_ipv4(packet: &mut Packet, at: &Offsets, to: &SetIpv4) -> bool {
    let Some(l3) = at.l3().map(usize::from) else { return false };
    let frame = packet.data_mut();
    let header = frame.get_mut(l3..).and_then(<[u8]>::first_chunk_mut::<{ ipv4::MIN_LEN }>);
    let Some(header) = header else { return false };
    let mut addresses = Change::default();
    for (field, to) in [(ipv4::SRC, &to.src), (ipv4::DST, &to.dst)] {
        if !to.is_none() {
            let write = |old| to.over(u32::from_be_bytes(old)).to_be_bytes();
            addresses = addresses.and(write_word(header, field, write));
        }
    }
    let mut all = addresses;
    if !to.tos.is_none() {
        let write = |[version, tos]: [u8; 2]| [version, to.tos.over(tos)];
        all = all.and(write_word(header, 0, write));
    }
    if !to.ttl.is_none() {
        let write = |[ttl, proto]: [u8; 2]| [to.ttl.over(ttl), proto];
        all = all.and(write_word(header, ipv4::TTL, write));
    }
    if !all.is_none() {
        correct_at(header, ipv4::CHECKSUM, all);
    }
    let proto = u8_at(header, ipv4::PROTO);
    // ICMP has no pseudo header over IPv4 (RFC 792).
    if !addresses.is_none()
        && proto != proto::ICMPV6
        && let Some(l4) = at.l4()
    {
        fix_transport(frame, l4.into(), proto, addresses);
    }
    true
}

/// Writes bytes of a header that are there, and says what that changes.
#[inline(always)]
fn write_word<const N: usize>(
    header: &mut [u8; ipv4::MIN_LEN],
    at: usize,
    write: impl FnOnce([u8; N]) -> [u8; N],
) -> Change {
    change(header, at, write).map_or(Change::default(), |(old, new)| Change::of(&old, &new))
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
        let frame = packet.data_mut();
        let changed = change(frame, l3 + ipv4::TTL, |[ttl, _]: [u8; 2]| [ttl, to]);
        changed.is_some_and(|(old, new)| {
            correct_at(frame, l3 + ipv4::CHECKSUM, Change::of(&old, &new));
            true
        })
    } else if let Some(place) = ipv6_proto(packet, at) {
        change(packet.data_mut(), place, |[_]| [to]).is_some()
    } else {
        false
    };
    at.set_l4(None);
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
    at.l3().map(usize::from).filter(|l3| l3 + len <= packet.len())
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
    let Some(l4) = at.l4().map(usize::from) else {
        return true;
    };
    let extensions = frame.get(l3 + ipv6::LEN..).unwrap_or(&[]);
    let first = u8_at(frame, l3 + ipv6::NEXT_HEADER);
    let Ok(upper) = ipv6::walk(first, extensions, l3 + ipv6::LEN) else {
        return true;
    };
    let is_covered = field == ipv6::SRC || !upper.has_segments_left;
    if is_covered && upper.offset == l4 && !upper.is_later_fragment() {
        fix_transport(frame, l4, upper.proto, Change::of(&old, &new));
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
fn fix_transport(frame: &mut [u8], l4: usize, proto: u8, change: Change) {
    match proto {
        proto::UDP => correct_udp_at(frame, l4 + udp::CHECKSUM, change),
        proto::TCP => correct_at(frame, l4 + tcp::CHECKSUM, change),
        proto::ICMPV6 => correct_at(frame, l4 + icmpv6::CHECKSUM, change),
        _ => {}
    }
}
