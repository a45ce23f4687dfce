//! The usual headers at one look: Ethernet, at most one 802.1Q tag, IPv4 without options and
//! fragments or IPv6 without extension headers, UDP or TCP.
//!
//! # What
//! Where a header lies in such a frame is known beforehand. So its bytes are read as whole words, all
//! that could be wrong is asked in a few comparisons, and each word of the key is written once. A
//! frame that is anything else, or damaged, is left to the general way, which reads header by
//! header; a test compares the two.
#![expect(clippy::cast_possible_truncation, reason = "header fields are cut from larger numbers")]

use crate::layout::{ARP_SHA, ETH_DST, ETH_SRC, IPV6_DST, IPV6_SRC, NW, NW_ADDR, TP, VLAN};
use crate::proto::{VLAN_PRESENT, eth_type as ethertype, ip_proto};
use packet::Offsets;

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
/// In the first eight bytes of an IPv4 header: length of the header, more fragments, offset.
const SHAPE: u64 = 0x0f00_0000_0000_3fff;
/// Five words long, not a fragment.
const PLAIN: u64 = 0x0500_0000_0000_0000;
const LOW_16: u64 = 0xffff;
/// Bytes behind the Ethernet type, so that what is padding can be counted.
const MAX_LEN: usize = 0xffff;

const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;

/// What takes the words of a key.
pub(super) trait Put {
    /// Writes a word of the key, all of it: what stood there is of another frame.
    fn put(&mut self, word: usize, value: u64);
}

/// Reads a usual frame wholly; `None`, and nothing is written, if it is none.
#[inline(always)]
pub(super) fn usual(frame: &[u8], key: &mut impl Put) -> Option<Offsets> {
    let (header, rest) = frame.split_first_chunk::<14>()?;
    // Overlapping, so that each is one load.
    let (dst, src) = (header.first_chunk()?, header.last_chunk()?);
    let ethernet = Ethernet {
        dst: u64::from_be_bytes(*dst),
        src: u64::from_be_bytes(*src),
        tci: None,
        l3: 14,
    };
    match ethernet.src as u16 {
        ethertype::IPV4 => ipv4(&ethernet, rest, key),
        ethertype::IPV6 => ipv6(&ethernet, rest, key),
        ethertype::VLAN => {
            let (tag, rest) = rest.split_first_chunk::<4>()?;
            let [tci_high, tci_low, ty @ ..] = *tag;
            let tci = Some(u16::from_be_bytes([tci_high, tci_low]));
            let ethernet = Ethernet { tci, l3: 18, ..ethernet };
            match u16::from_be_bytes(ty) {
                ethertype::IPV4 => ipv4(&ethernet, rest, key),
                ethertype::IPV6 => ipv6(&ethernet, rest, key),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What stands before the network header.
struct Ethernet {
    /// Each with two more bytes behind the address.
    dst: u64,
    src: u64,
    tci: Option<u16>,
    /// Where the network header begins.
    l3: u16,
}

impl Ethernet {
    #[inline(always)]
    fn put(&self, ty: u16, key: &mut impl Put) {
        key.put(ETH_DST, self.dst & !LOW_16 | u64::from(ty));
        key.put(ETH_SRC, self.src & !LOW_16);
        if let Some(tci) = self.tci {
            let tag = u64::from(ethertype::VLAN) << 16 | u64::from(tci | VLAN_PRESENT);
            key.put(VLAN, tag << 32);
        }
    }

    #[inline(always)]
    fn offsets(&self, header_len: u16) -> Offsets {
        Offsets::new(None, Some(self.l3), Some(self.l3 + header_len))
    }
}

/// `rest` is what follows the Ethernet type.
#[inline(always)]
fn ipv4(ethernet: &Ethernet, rest: &[u8], key: &mut impl Put) -> Option<Offsets> {
    // Room for a TCP header, which a minimal Ethernet frame has.
    let headers = rest.first_chunk::<{ IPV4_HEADER + TCP_HEADER }>()?;
    let (words, _) = headers.as_chunks::<8>();
    let [first, second, third, _, fifth] = words else { return None };
    let first = u64::from_be_bytes(*first);
    let second = u64::from_be_bytes(*second);
    let third = u64::from_be_bytes(*third);
    let fifth = u64::from_be_bytes(*fifth);
    let total = usize::from((first >> 32) as u16);
    if first & SHAPE != PLAIN || total > rest.len() || rest.len() > MAX_LEN {
        return None;
    }
    let tcp_flags = match (second >> 48) as u8 {
        ip_proto::UDP if total >= IPV4_HEADER + UDP_HEADER => None,
        ip_proto::TCP => {
            let n_carried = total.checked_sub(IPV4_HEADER)?;
            Some(tcp_flags((fifth >> 48) as u16, n_carried)?)
        }
        _ => return None,
    };
    ethernet.put(ethertype::IPV4, key);
    key.put(NW_ADDR, second << 32 | third >> 32);
    key.put(NW, first >> 32 & 0x00ff_0000 | second >> 48);
    key.put(TP, third << 32);
    if let Some(tcp_flags) = tcp_flags {
        key.put(ARP_SHA, tcp_flags);
    }
    Some(ethernet.offsets(IPV4_HEADER as u16))
}

/// `rest` is what follows the Ethernet type.
#[inline(always)]
fn ipv6(ethernet: &Ethernet, rest: &[u8], key: &mut impl Put) -> Option<Offsets> {
    let headers = rest.first_chunk::<{ IPV6_HEADER + UDP_HEADER }>()?;
    let (words, _) = headers.as_chunks::<8>();
    let [first, src_high, src_low, dst_high, dst_low, transport] = words else { return None };
    let first = u64::from_be_bytes(*first);
    let payload = usize::from((first >> 16) as u16);
    if payload > rest.len() - IPV6_HEADER || rest.len() > MAX_LEN {
        return None;
    }
    let (proto, hop_limit) = (first >> 8 & 0xff, first & 0xff);
    let tcp_flags = match proto as u8 {
        ip_proto::UDP if payload >= UDP_HEADER => None,
        ip_proto::TCP => {
            let (_, transport) = rest.split_first_chunk::<IPV6_HEADER>()?;
            let [.., high, low, _, _, _, _, _, _] = transport.first_chunk::<TCP_HEADER>()?;
            Some(tcp_flags(u16::from_be_bytes([*high, *low]), payload)?)
        }
        _ => return None,
    };
    ethernet.put(ethertype::IPV6, key);
    key.put(IPV6_SRC, u64::from_be_bytes(*src_high));
    key.put(IPV6_SRC + 1, u64::from_be_bytes(*src_low));
    key.put(IPV6_DST, u64::from_be_bytes(*dst_high));
    key.put(IPV6_DST + 1, u64::from_be_bytes(*dst_low));
    let (class, label) = (first >> 52 & 0xff, first >> 32 & 0xf_ffff);
    key.put(NW, label << 32 | class << 16 | hop_limit << 8 | proto);
    key.put(TP, u64::from_be_bytes(*transport) & !0xffff_ffff);
    if let Some(tcp_flags) = tcp_flags {
        key.put(ARP_SHA, tcp_flags);
    }
    Some(ethernet.offsets(IPV6_HEADER as u16))
}

/// The flags, if the header with this control word fits into what IP carries.
#[inline(always)]
fn tcp_flags(control: u16, n_carried: usize) -> Option<u64> {
    let header_len = usize::from(control >> 12) * 4;
    let fits = header_len >= TCP_HEADER && header_len <= n_carried;
    fits.then_some(u64::from(control & 0x0fff))
}
