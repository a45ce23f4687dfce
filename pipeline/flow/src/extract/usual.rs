//! The usual headers at one look: Ethernet, at most one 802.1Q tag, IPv4 without options and
//! fragments, UDP or TCP.
//!
//! # What
//! Where a header lies in such a frame is known beforehand. So its bytes are read as whole words, all
//! that could be wrong is asked in a few comparisons, and each word of the key is written once. A
//! frame that is anything else, or damaged, is left to the general way, which reads header by
//! header; a test compares the two.
#![expect(clippy::cast_possible_truncation, reason = "header fields are cut from larger numbers")]

use super::Extracted;
use crate::layout::{ARP_SHA, ETH_DST, ETH_SRC, NW, NW_ADDR, TP, VLAN};
use crate::proto::{VLAN_PRESENT, eth_type as ethertype, ip_proto};
use packet::Offsets;

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
/// In the first eight bytes of an IPv4 header: length of the header, more fragments, offset.
const SHAPE: u64 = 0x0f00_0000_0000_3fff;
/// Five words long, not a fragment.
const PLAIN: u64 = 0x0500_0000_0000_0000;
const LOW_16: u64 = 0xffff;

impl Extracted {
    /// Reads a usual frame wholly; `false`, and nothing is written, if it is none.
    #[inline]
    pub(super) fn usual(&mut self, frame: &[u8]) -> bool {
        let Some((header, rest)) = frame.split_first_chunk::<14>() else { return false };
        // Overlapping, so that each is one load.
        let (Some(dst), Some(src)) = (header.first_chunk(), header.last_chunk()) else {
            return false;
        };
        let (dst, src) = (u64::from_be_bytes(*dst), u64::from_be_bytes(*src));
        match src as u16 {
            ethertype::IPV4 => self.usual_ipv4((dst, src), None, rest, 14),
            ethertype::VLAN => {
                let Some((tag, rest)) = rest.split_first_chunk::<4>() else { return false };
                let [tci_high, tci_low, ty @ ..] = *tag;
                let tci = u16::from_be_bytes([tci_high, tci_low]);
                u16::from_be_bytes(ty) == ethertype::IPV4
                    && self.usual_ipv4((dst, src), Some(tci), rest, 18)
            }
            _ => false,
        }
    }

    /// `dst` and `src` have two more bytes behind the address; `rest` is what follows the Ethernet
    /// type, and begins at `l3`.
    #[inline(always)]
    fn usual_ipv4(
        &mut self,
        (dst, src): (u64, u64),
        tci: Option<u16>,
        rest: &[u8],
        l3: u16,
    ) -> bool {
        // Room for a TCP header, which a minimal Ethernet frame has.
        let Some(headers) = rest.first_chunk::<40>() else { return false };
        let (words, _) = headers.as_chunks::<8>();
        let [first, second, third, _, fifth] = words else { return false };
        let first = u64::from_be_bytes(*first);
        let second = u64::from_be_bytes(*second);
        let third = u64::from_be_bytes(*third);
        let fifth = u64::from_be_bytes(*fifth);
        let total = usize::from((first >> 32) as u16);
        if first & SHAPE != PLAIN || total > rest.len() || rest.len() > usize::from(u16::MAX) {
            return false;
        }
        let proto = (second >> 48) as u8;
        let tcp_flags = match proto {
            ip_proto::UDP if total >= IPV4_HEADER + 8 => None,
            ip_proto::TCP => {
                let header_len = usize::from((fifth >> 60) as u8) * 4;
                if header_len < 20 || IPV4_HEADER + header_len > total {
                    return false;
                }
                Some(fifth >> 48 & 0x0fff)
            }
            _ => return false,
        };
        self.put(ETH_DST, dst & !LOW_16 | u64::from(ethertype::IPV4));
        self.put(ETH_SRC, src & !LOW_16);
        if let Some(tci) = tci {
            let tag = u64::from(ethertype::VLAN) << 16 | u64::from(tci | VLAN_PRESENT);
            self.put(VLAN, tag << 32);
        }
        self.put(NW_ADDR, second << 32 | third >> 32);
        self.put(NW, first >> 32 & 0x00ff_0000 | second >> 48);
        self.put(TP, third << 32);
        if let Some(tcp_flags) = tcp_flags {
            self.put(ARP_SHA, tcp_flags);
        }
        self.offsets = Offsets::new(None, Some(l3), Some(l3 + 20));
        true
    }
}
