//! Bit access to the words that [`Flow`](crate::Flow) and [`Mask`](crate::Mask) share.
#![expect(clippy::cast_possible_truncation, reason = "packing narrow fields into words")]

use crate::addr::EtherAddr;
use crate::field::{Field, ones};
use crate::flow::Flow;
use crate::layout::{
    ARP_SHA, ARP_THA, ETH_DST, ETH_SRC, FLOW_WORDS, IPV6_DST, IPV6_SRC, MARKS, METADATA, MPLS,
    MPLS2, ND_TARGET, NW, NW_ADDR, PACKET_TYPE, PORT, PRIORITY, REGS, TP, TUN_ADDR, TUNNEL_ID,
    VLAN, WordMap,
};
use crate::mask::Mask;
use core::net::{Ipv4Addr, Ipv6Addr};

/// The words of a key. Every index is taken modulo [`FLOW_WORDS`], which costs nothing and
/// leaves no bounds check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Words(pub(crate) [u64; FLOW_WORDS]);

impl Words {
    pub(crate) const ZERO: Words = Words([0; FLOW_WORDS]);

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "FLOW_WORDS is a power of two")]
    pub(crate) const fn word(&self, index: usize) -> u64 {
        self.0[index & (FLOW_WORDS - 1)]
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "FLOW_WORDS is a power of two")]
    pub(crate) const fn set_word(&mut self, index: usize, value: u64) {
        self.0[index & (FLOW_WORDS - 1)] = value;
    }

    /// The `bits` bits above `shift` of word `index`.
    #[inline]
    pub(crate) const fn bits(&self, index: usize, shift: u32, bits: u32) -> u64 {
        self.word(index) >> shift & (u64::MAX >> (64 - bits))
    }

    #[inline]
    pub(crate) const fn set_bits(&mut self, index: usize, shift: u32, bits: u32, value: u64) {
        let kept = (u64::MAX >> (64 - bits)) << shift;
        let word = self.word(index) & !kept | value << shift & kept;
        self.set_word(index, word);
    }

    #[inline]
    pub(crate) const fn pair(&self, index: usize) -> u128 {
        (self.word(index) as u128) << 64 | self.word(index + 1) as u128
    }

    #[inline]
    pub(crate) const fn set_pair(&mut self, index: usize, value: u128) {
        self.set_word(index, (value >> 64) as u64);
        self.set_word(index + 1, value as u64);
    }

    pub(crate) fn get(&self, field: Field) -> u128 {
        let at = field.spec().location;
        let value = if at.bits > 64 {
            self.pair(usize::from(at.word))
        } else {
            u128::from(self.bits(usize::from(at.word), u32::from(at.shift), u32::from(at.bits)))
        };
        value << at.scale
    }

    pub(crate) fn set(&mut self, field: Field, value: u128) {
        let at = field.spec().location;
        let value = value >> at.scale & ones(at.bits);
        if at.bits > 64 {
            self.set_pair(usize::from(at.word), value);
        } else {
            let (word, shift) = (usize::from(at.word), u32::from(at.shift));
            self.set_bits(word, shift, u32::from(at.bits), value as u64);
        }
    }

    /// Sets these bits of a field, and leaves the others.
    pub(crate) fn add(&mut self, field: Field, value: u128) {
        let at = field.spec().location;
        let value = value >> at.scale & ones(at.bits);
        let word = usize::from(at.word);
        if at.bits > 64 {
            self.set_pair(word, self.pair(word) | value);
        } else {
            self.set_word(word, self.word(word) | (value as u64) << at.shift);
        }
    }

    /// Sets all bits of a field.
    pub(crate) fn fill(&mut self, field: Field) {
        let at = field.spec().location;
        let word = usize::from(at.word);
        if at.bits > 64 {
            self.set_pair(word, ones(at.bits));
        } else {
            let bits = u64::MAX >> (64 - u32::from(at.bits)) << at.shift;
            self.set_word(word, self.word(word) | bits);
        }
    }

    /// The words that are not zero.
    #[inline]
    pub(crate) fn nonzero(&self) -> WordMap {
        let mut map = 0;
        for (index, word) in self.0.iter().enumerate() {
            map |= u64::from(*word != 0) << index;
        }
        WordMap(map)
    }
}

/// Writes one accessor pair: name, setter, type, word, shift, bits.
macro_rules! accessors {
    ($owner:ident: $($(#[$doc:meta])* $get:ident $set:ident $ty:ty = $word:expr, $shift:expr, $bits:expr;)*) => {
        impl $owner {
            $(
                $(#[$doc])*
                #[must_use]
                #[inline]
                pub const fn $get(&self) -> $ty {
                    self.words.bits($word, $shift, $bits) as $ty
                }

                $(#[$doc])*
                #[inline]
                pub const fn $set(&mut self, value: $ty) {
                    self.words.set_bits($word, $shift, $bits, value as u64);
                }
            )*
        }
    };
}

/// The typed accessors are the same for a flow and for a mask.
macro_rules! key_type {
    ($owner:ident) => {
        accessors! { $owner:
            /// OpenFlow metadata.
            metadata set_metadata u64 = METADATA, 0, 64;
            /// Tunnel key.
            tunnel_id set_tunnel_id u64 = TUNNEL_ID, 0, 64;
            /// Ingress port.
            in_port set_in_port u32 = PORT, 32, 32;
            /// Recirculation id.
            recirc_id set_recirc_id u32 = PORT, 0, 32;
            /// Hash computed by the datapath.
            dp_hash set_dp_hash u32 = MARKS, 32, 32;
            /// Packet mark.
            pkt_mark set_pkt_mark u32 = MARKS, 0, 32;
            /// Queueing priority.
            skb_priority set_skb_priority u32 = PRIORITY, 32, 32;
            /// Output port of the action set.
            actset_output set_actset_output u32 = PRIORITY, 0, 32;
            /// Packet type; 0 is Ethernet.
            packet_type set_packet_type u32 = PACKET_TYPE, 32, 32;
            /// Number of a conjunctive match.
            conj_id set_conj_id u32 = PACKET_TYPE, 0, 32;
            /// Ethernet type of the payload after all tags.
            eth_type set_eth_type u16 = ETH_DST, 0, 16;
            /// TPID of the outer tag.
            vlan_tpid set_vlan_tpid u16 = VLAN, 48, 16;
            /// TCI of the outer tag, with [`VLAN_PRESENT`](crate::proto::VLAN_PRESENT).
            vlan_tci set_vlan_tci u16 = VLAN, 32, 16;
            /// TPID of the second tag.
            vlan_tpid1 set_vlan_tpid1 u16 = VLAN, 16, 16;
            /// TCI of the second tag.
            vlan_tci1 set_vlan_tci1 u16 = VLAN, 0, 16;
            /// Service instance of a PBB tag.
            pbb_isid set_pbb_isid u32 = MPLS2, 0, 24;
            /// Whether the customer addresses of a PBB tag are in use (1 bit).
            pbb_uca set_pbb_uca u8 = MPLS2, 24, 1;
            /// Source of the IPv4 or ARP packet.
            nw_src set_nw_src u32 = NW_ADDR, 32, 32;
            /// Destination of the IPv4 or ARP packet.
            nw_dst set_nw_dst u32 = NW_ADDR, 0, 32;
            /// IPv6 flow label.
            ipv6_label set_ipv6_label u32 = NW, 32, 20;
            /// Which IPv6 extension headers there are ([`ext_hdr`](crate::proto::ext_hdr)).
            ipv6_exthdr set_ipv6_exthdr u16 = NW, 52, 9;
            /// Fragment bits.
            nw_frag set_nw_frag u8 = NW, 24, 8;
            /// DSCP and ECN.
            nw_tos set_nw_tos u8 = NW, 16, 8;
            /// TTL or hop limit.
            nw_ttl set_nw_ttl u8 = NW, 8, 8;
            /// IP protocol, or the low byte of the ARP operation.
            nw_proto set_nw_proto u8 = NW, 0, 8;
            /// TCP flags.
            tcp_flags set_tcp_flags u16 = ARP_SHA, 0, 16;
            /// Type of the first link-layer option of an ND message.
            nd_options_type set_nd_options_type u8 = ARP_THA, 8, 8;
            /// Source port, or ICMP type.
            tp_src set_tp_src u16 = TP, 48, 16;
            /// Destination port, or ICMP code.
            tp_dst set_tp_dst u16 = TP, 32, 16;
            /// IGMP group.
            igmp_group set_igmp_group u32 = TP, 0, 32;
            /// Reserved word of an ND message.
            nd_reserved set_nd_reserved u32 = TP, 0, 32;
            /// Outer source of the tunnel.
            tun_src set_tun_src u32 = TUN_ADDR, 32, 32;
            /// Outer destination of the tunnel.
            tun_dst set_tun_dst u32 = TUN_ADDR, 0, 32;
        }

        impl $owner {
            /// Reads a field.
            #[must_use]
            pub fn get(&self, field: Field) -> u128 {
                self.words.get(field)
            }

            /// One word.
            #[must_use]
            #[inline]
            pub const fn word(&self, index: usize) -> u64 {
                self.words.word(index)
            }

            /// Replaces one word.
            #[inline]
            pub const fn set_word(&mut self, index: usize, value: u64) {
                self.words.set_word(index, value);
            }

            /// All words.
            #[must_use]
            #[inline]
            pub const fn words(&self) -> &[u64; FLOW_WORDS] {
                &self.words.0
            }

            /// The words that are not zero.
            #[must_use]
            #[inline]
            pub fn map(&self) -> WordMap {
                self.words.nonzero()
            }

            /// Ethernet destination.
            #[must_use]
            pub const fn eth_dst(&self) -> EtherAddr {
                EtherAddr::from_u64(self.words.bits(ETH_DST, 16, 48))
            }

            /// Ethernet destination.
            pub const fn set_eth_dst(&mut self, addr: EtherAddr) {
                self.words.set_bits(ETH_DST, 16, 48, addr.to_u64());
            }

            /// Ethernet source.
            #[must_use]
            pub const fn eth_src(&self) -> EtherAddr {
                EtherAddr::from_u64(self.words.bits(ETH_SRC, 16, 48))
            }

            /// Ethernet source.
            pub const fn set_eth_src(&mut self, addr: EtherAddr) {
                self.words.set_bits(ETH_SRC, 16, 48, addr.to_u64());
            }

            /// ARP sender (or ND source link-layer) address.
            #[must_use]
            pub const fn arp_sha(&self) -> EtherAddr {
                EtherAddr::from_u64(self.words.bits(ARP_SHA, 16, 48))
            }

            /// ARP sender (or ND source link-layer) address.
            pub const fn set_arp_sha(&mut self, addr: EtherAddr) {
                self.words.set_bits(ARP_SHA, 16, 48, addr.to_u64());
            }

            /// ARP target (or ND target link-layer) address.
            #[must_use]
            pub const fn arp_tha(&self) -> EtherAddr {
                EtherAddr::from_u64(self.words.bits(ARP_THA, 16, 48))
            }

            /// ARP target (or ND target link-layer) address.
            pub const fn set_arp_tha(&mut self, addr: EtherAddr) {
                self.words.set_bits(ARP_THA, 16, 48, addr.to_u64());
            }

            /// IPv4 (or ARP) source as an address.
            #[must_use]
            pub const fn ipv4_src(&self) -> Ipv4Addr {
                Ipv4Addr::from_bits(self.nw_src())
            }

            /// IPv4 (or ARP) destination as an address.
            #[must_use]
            pub const fn ipv4_dst(&self) -> Ipv4Addr {
                Ipv4Addr::from_bits(self.nw_dst())
            }

            /// IPv6 source.
            #[must_use]
            pub const fn ipv6_src(&self) -> Ipv6Addr {
                Ipv6Addr::from_bits(self.words.pair(IPV6_SRC))
            }

            /// IPv6 source.
            pub const fn set_ipv6_src(&mut self, addr: Ipv6Addr) {
                self.words.set_pair(IPV6_SRC, addr.to_bits());
            }

            /// IPv6 destination.
            #[must_use]
            pub const fn ipv6_dst(&self) -> Ipv6Addr {
                Ipv6Addr::from_bits(self.words.pair(IPV6_DST))
            }

            /// IPv6 destination.
            pub const fn set_ipv6_dst(&mut self, addr: Ipv6Addr) {
                self.words.set_pair(IPV6_DST, addr.to_bits());
            }

            /// ND target.
            #[must_use]
            pub const fn nd_target(&self) -> Ipv6Addr {
                Ipv6Addr::from_bits(self.words.pair(ND_TARGET))
            }

            /// ND target.
            pub const fn set_nd_target(&mut self, addr: Ipv6Addr) {
                self.words.set_pair(ND_TARGET, addr.to_bits());
            }

            /// MPLS label stack entry `n` (0..=2).
            #[must_use]
            pub const fn mpls_lse(&self, n: usize) -> u32 {
                match n {
                    0 => self.words.bits(MPLS, 32, 32) as u32,
                    1 => self.words.bits(MPLS, 0, 32) as u32,
                    2 => self.words.bits(MPLS2, 32, 32) as u32,
                    _ => 0,
                }
            }

            /// MPLS label stack entry `n`; nothing happens above 2.
            pub const fn set_mpls_lse(&mut self, n: usize, lse: u32) {
                match n {
                    0 => self.words.set_bits(MPLS, 32, 32, lse as u64),
                    1 => self.words.set_bits(MPLS, 0, 32, lse as u64),
                    2 => self.words.set_bits(MPLS2, 32, 32, lse as u64),
                    _ => {}
                }
            }

            /// Register `n`; 0 above 15.
            #[must_use]
            pub const fn reg(&self, n: usize) -> u32 {
                if n < 16 {
                    self.words.bits(REGS + n / 2, if n % 2 == 0 { 32 } else { 0 }, 32) as u32
                } else {
                    0
                }
            }

            /// Register `n`; nothing happens above 15.
            pub const fn set_reg(&mut self, n: usize, value: u32) {
                if n < 16 {
                    let shift = if n % 2 == 0 { 32 } else { 0 };
                    self.words.set_bits(REGS + n / 2, shift, 32, value as u64);
                }
            }
        }
    };
}

key_type!(Flow);
key_type!(Mask);
