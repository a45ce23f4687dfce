//! Edits of transport headers, ICMP and neighbour discovery.

use super::{Masked, change};
use crate::bytes::{array, put, u8_at, u16_at};
use crate::checksum::{Change, correct_at, correct_udp_at, crc32c_difference};
use crate::wire::ethernet::ethertype;
use crate::wire::{icmp, icmpv6, ipv4, ipv6, sctp, tcp, udp};
use crate::{Offsets, Packet};

/// New transport ports. Checksums follow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the header fields are")]
pub struct SetPorts {
    pub src: Masked<u16>,
    pub dst: Masked<u16>,
}

/// Writes TCP ports.
#[must_use]
#[inline]
pub fn set_tcp(packet: &mut Packet, at: &Offsets, to: &SetPorts) -> bool {
    let Some(header) = header_of::<{ tcp::MIN_LEN }>(packet, at) else { return false };
    let change = write_ports(header, to);
    if !change.is_none() {
        correct_at(header, tcp::CHECKSUM, change);
    }
    true
}

/// Writes UDP ports.
#[must_use]
#[inline]
pub fn set_udp(packet: &mut Packet, at: &Offsets, to: &SetPorts) -> bool {
    let Some(header) = header_of::<{ udp::LEN }>(packet, at) else { return false };
    let change = write_ports(header, to);
    if !change.is_none() {
        correct_udp_at(header, udp::CHECKSUM, change);
    }
    true
}

/// Writes bits of the TCP flags (the low 12 of `to`).
#[must_use]
pub fn set_tcp_flags(packet: &mut Packet, at: &Offsets, to: Masked<u16>) -> bool {
    let Some(l4) = at.l4().map(usize::from).filter(|l4| l4 + tcp::MIN_LEN <= packet.len()) else {
        return false;
    };
    let to = Masked { mask: to.mask & tcp::FLAGS_MASK, ..to };
    let frame = packet.data_mut();
    let write = |old| to.over(u16::from_be_bytes(old)).to_be_bytes();
    let Some((old, new)) = change(frame, l4 + tcp::FLAGS, write) else {
        return false;
    };
    correct_at(frame, l4 + tcp::CHECKSUM, Change::of(&old, &new));
    true
}

/// Writes the SCTP source port.
#[must_use]
pub fn set_sctp_src(packet: &mut Packet, at: &Offsets, to: Masked<u16>) -> bool {
    set_sctp_port(packet, at, sctp::SRC, to)
}

/// Writes the SCTP destination port.
#[must_use]
pub fn set_sctp_dst(packet: &mut Packet, at: &Offsets, to: Masked<u16>) -> bool {
    set_sctp_port(packet, at, sctp::DST, to)
}

/// Writes the ICMP type.
#[must_use]
pub fn set_icmp_type(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    set_summed(packet, at, icmp::LEN, icmp::TYPE, |[kind, code]: [u8; 2]| [to.over(kind), code])
}

/// Writes the ICMP code.
#[must_use]
pub fn set_icmp_code(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    set_summed(packet, at, icmp::LEN, icmp::TYPE, |[kind, code]: [u8; 2]| [kind, to.over(code)])
}

/// Writes the ICMPv6 type.
#[must_use]
pub fn set_icmpv6_type(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    set_icmp_type(packet, at, to)
}

/// Writes the ICMPv6 code.
#[must_use]
pub fn set_icmpv6_code(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    set_icmp_code(packet, at, to)
}

/// Writes the target address of a neighbour message.
#[must_use]
pub fn set_nd_target(packet: &mut Packet, at: &Offsets, to: Masked<u128>) -> bool {
    let write = |old| to.over(u128::from_be_bytes(old)).to_be_bytes();
    set_summed(packet, at, icmpv6::ND_OPTIONS, icmpv6::ND_TARGET, write)
}

/// Writes the flags and reserved bits of a neighbour message.
#[must_use]
pub fn set_nd_reserved(packet: &mut Packet, at: &Offsets, to: Masked<u32>) -> bool {
    let write = |old| to.over(u32::from_be_bytes(old)).to_be_bytes();
    set_summed(packet, at, icmpv6::ND_OPTIONS, icmpv6::ND_RESERVED, write)
}

/// Writes the type of the first option of a neighbour message.
#[must_use]
pub fn set_nd_options_type(packet: &mut Packet, at: &Offsets, to: Masked<u8>) -> bool {
    let write = |[kind, len]: [u8; 2]| [to.over(kind), len];
    set_summed(packet, at, icmpv6::ND_OPTIONS + 8, icmpv6::ND_OPTIONS, write)
}

/// Writes the source link-layer address option of a neighbour message; `false` when it has none.
#[must_use]
pub fn set_nd_sll(packet: &mut Packet, at: &Offsets, to: Masked<[u8; 6]>) -> bool {
    set_nd_option(packet, at, icmpv6::OPTION_SLL, to)
}

/// Writes the target link-layer address option of a neighbour message; `false` when it has none.
#[must_use]
pub fn set_nd_tll(packet: &mut Packet, at: &Offsets, to: Masked<[u8; 6]>) -> bool {
    set_nd_option(packet, at, icmpv6::OPTION_TLL, to)
}

/// Where the transport header begins, when `len` bytes of it are there.
fn header(packet: &Packet, at: &Offsets, len: usize) -> Option<usize> {
    at.l4().map(usize::from).filter(|l4| l4 + len <= packet.len())
}

/// The transport header, when `N` bytes of it are there.
#[inline(always)]
fn header_of<'a, const N: usize>(packet: &'a mut Packet, at: &Offsets) -> Option<&'a mut [u8; N]> {
    packet.data_mut().get_mut(at.l4()?.into()..)?.first_chunk_mut()
}

/// Writes ports, which TCP and UDP have in the same place, and says what that changes.
#[inline(always)]
fn write_ports<const N: usize>(header: &mut [u8; N], to: &SetPorts) -> Change {
    let mut all = Change::default();
    for (field, to) in [(udp::SRC, to.src), (udp::DST, to.dst)] {
        if !to.is_none()
            && let Some((old, new)) = change(header, field, write_port(to))
        {
            all = all.and(Change::of(&old, &new));
        }
    }
    all
}

fn write_port(to: Masked<u16>) -> impl FnOnce([u8; 2]) -> [u8; 2] {
    move |old| to.over(u16::from_be_bytes(old)).to_be_bytes()
}

fn set_sctp_port(packet: &mut Packet, at: &Offsets, field: usize, to: Masked<u16>) -> bool {
    let Some(l4) = header(packet, at, sctp::LEN) else {
        return false;
    };
    let len = sctp_len(packet.data(), at, l4);
    let frame = packet.data_mut();
    let before: [u8; 4] = array(frame, l4);
    if change(frame, l4 + field, write_port(to)).is_none() {
        return false;
    }
    let after: [u8; 4] = array(frame, l4);
    let difference = u32::from_ne_bytes(before) ^ u32::from_ne_bytes(after);
    if difference != 0 {
        let crc = u32::from_le_bytes(array(frame, l4 + sctp::CHECKSUM));
        let crc = crc ^ crc32c_difference(difference.to_ne_bytes(), len);
        put(frame, l4 + sctp::CHECKSUM, crc.to_le_bytes());
    }
    true
}

/// Bytes that the SCTP checksum covers: to the end of the IP packet, not into link padding. Which IP
/// it is says the Ethernet type before it, as for the key, whatever version the header claims; only
/// behind labels there is none to ask.
fn sctp_len(frame: &[u8], at: &Offsets, l4: usize) -> usize {
    let l3 = at.l3().map_or(l4, usize::from);
    let announced = l3.checked_sub(2).map_or(0, |before| u16_at(frame, before));
    let version = match (at.l2_5(), announced) {
        (None, ethertype::IPV4) => 4,
        (None, ethertype::IPV6) => 6,
        _ => u8_at(frame, l3) >> 4,
    };
    let end = match version {
        4 => l3 + usize::from(u16_at(frame, l3 + ipv4::TOTAL_LEN)),
        6 => l3 + ipv6::LEN + usize::from(u16_at(frame, l3 + ipv6::PAYLOAD_LEN)),
        _ => frame.len(),
    };
    end.min(frame.len()).saturating_sub(l4).max(sctp::LEN)
}

/// Changes bytes of a message whose checksum is the third and fourth byte (ICMP, ICMPv6). `len`
/// bytes of it must be there; the change is at an even offset.
fn set_summed<const N: usize>(
    packet: &mut Packet,
    at: &Offsets,
    len: usize,
    field: usize,
    write: impl FnOnce([u8; N]) -> [u8; N],
) -> bool {
    let Some(l4) = header(packet, at, len) else {
        return false;
    };
    let frame = packet.data_mut();
    let Some((old, new)) = change(frame, l4 + field, write) else {
        return false;
    };
    correct_at(frame, l4 + icmpv6::CHECKSUM, Change::of(&old, &new));
    true
}

fn set_nd_option(packet: &mut Packet, at: &Offsets, kind: u8, to: Masked<[u8; 6]>) -> bool {
    let Some(l4) = header(packet, at, icmpv6::ND_OPTIONS) else {
        return false;
    };
    let message = packet.data().get(l4..).unwrap_or(&[]);
    let Some(options) = icmpv6::View::new_checked(message)
        .ok()
        .and_then(|view| view.neighbor())
        .map(|neighbor| neighbor.options())
    else {
        return false;
    };
    // Only a link-layer address of Ethernet's length (RFC 4861 §4.6.1).
    let Some(found) = options.into_iter().find(|option| option.kind == kind && option.len == 8)
    else {
        return false;
    };
    set_summed(packet, at, found.offset + 8, found.offset + 2, |old| to.over(old))
}
