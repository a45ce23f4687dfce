//! Where every header lives in the words of a [`Flow`](crate::Flow).
//!
//! The words are ordered by protocol layer so that a lookup can stop after the first layer that
//! nothing matches (staged lookup). All values are numbers in the usual sense: a field that is
//! big-endian on the wire sits in its word with its most significant bit first.
//!
//! ```text
//! word                 63 ........................................... 0
//! METADATA   0  metadata
//!            1  tunnel_id
//!            2  tun_src (32)                 | tun_dst (32)
//!            3  reg0 (32)                    | reg1 (32)      word 3 is xreg0, words 3-4 are xxreg0
//!               ...
//!           10  reg14 (32)                   | reg15 (32)
//!           11  in_port (32)                 | recirc_id (32)
//!           12  dp_hash (32)                 | pkt_mark (32)
//!           13  skb_priority (32)            | actset_output (32)
//!           14  packet_type (32)             | conj_id (32)
//! L2        15  eth_dst (48)                                   | eth_type (16)
//!           16  eth_src (48)                                   | 0
//!           17  tpid0 (16) | tci0 (16)       | tpid1 (16) | tci1 (16)
//!           18  mpls lse0 (32)               | mpls lse1 (32)
//!           19  mpls lse2 (32)               | 0 (7) | pbb_uca (1) | pbb_isid (24)
//! L3        20  nw_src (32)                  | nw_dst (32)
//!        21-22  ipv6_src
//!        23-24  ipv6_dst
//!           25  0 (3) | ipv6_exthdr (9) | ipv6_label (20) | frag (8) | tos (8) | ttl (8) | proto (8)
//!        26-27  nd_target
//!           28  arp_sha (48)                                   | tcp_flags (16)
//!           29  arp_tha (48)                                   | nd_options_type (8) | 0
//! L4        30  tp_src (16)  | tp_dst (16)   | igmp_group or nd_reserved (32)
//!           31  tun_metadata0 (32)          | tun_metadata1 (32)       never from a frame
//! ```

use core::ops::Range;

/// Number of words in a flow.
pub const FLOW_WORDS: usize = 32;

/// Word of `metadata`.
pub const METADATA: usize = 0;
/// Word of `tunnel_id`.
pub const TUNNEL_ID: usize = 1;
/// Word of `tun_src` and `tun_dst`.
pub const TUN_ADDR: usize = 2;
/// First of the eight register words.
pub const REGS: usize = 3;
/// Word of `in_port` and `recirc_id`.
pub const PORT: usize = 11;
/// Word of `dp_hash` and `pkt_mark`.
pub const MARKS: usize = 12;
/// Word of `skb_priority` and `actset_output`.
pub const PRIORITY: usize = 13;
/// Word of `packet_type` and `conj_id`.
pub const PACKET_TYPE: usize = 14;
/// Word of `eth_dst` and `eth_type`.
pub const ETH_DST: usize = 15;
/// Word of `eth_src`.
pub const ETH_SRC: usize = 16;
/// Word of both VLAN tags.
pub const VLAN: usize = 17;
/// Word of the first two MPLS label stack entries.
pub const MPLS: usize = 18;
/// Word of the third MPLS label stack entry and of what a PBB tag says.
pub const MPLS2: usize = 19;
/// Word of the IPv4 (or ARP) addresses.
pub const NW_ADDR: usize = 20;
/// First word of the IPv6 source.
pub const IPV6_SRC: usize = 21;
/// First word of the IPv6 destination.
pub const IPV6_DST: usize = 23;
/// Word of the extension header bits, the flow label, fragment, TOS, TTL and protocol.
pub const NW: usize = 25;
/// First word of the ND target.
pub const ND_TARGET: usize = 26;
/// Word of `arp_sha` and `tcp_flags`.
pub const ARP_SHA: usize = 28;
/// Word of `arp_tha` and `nd_options_type`.
pub const ARP_THA: usize = 29;
/// Word of the ports and the IGMP group.
pub const TP: usize = 30;

/// Word of the fields that are mapped to tunnel options.
pub const TUN_METADATA: usize = 31;

/// Whether a word is the pipeline's own: metadata, tunnel and registers, which no frame says. They
/// begin with zero, or with what a recirculation kept.
#[must_use]
pub const fn is_of_pipeline(word: usize) -> bool {
    word < PORT || word == TUN_METADATA
}

/// The words that are the pipeline's own ([`is_of_pipeline`]).
pub fn pipeline_words() -> impl Iterator<Item = usize> {
    (0..PORT).chain(core::iter::once(TUN_METADATA))
}

/// A protocol layer's words: the unit of staged lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Segment {
    /// What the packet carries besides its bytes: port, registers, marks.
    Metadata,
    /// Ethernet, VLAN, MPLS.
    L2,
    /// IPv4, IPv6, ARP, ND.
    L3,
    /// Ports.
    L4,
}

impl Segment {
    /// All segments, in lookup order.
    pub const ALL: [Segment; 4] = [Segment::Metadata, Segment::L2, Segment::L3, Segment::L4];

    /// The words of this segment.
    #[must_use]
    pub const fn words(self) -> Range<usize> {
        match self {
            Segment::Metadata => 0..ETH_DST,
            Segment::L2 => ETH_DST..NW_ADDR,
            Segment::L3 => NW_ADDR..TP,
            Segment::L4 => TP..FLOW_WORDS,
        }
    }

    /// The words of this segment as a bit set.
    #[must_use]
    pub const fn map(self) -> WordMap {
        let words = self.words();
        WordMap(((1 << words.end) - 1) & !((1 << words.start) - 1))
    }
}

/// A set of flow words, one bit a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordMap(pub u64);

impl WordMap {
    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The number of words in the set.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether `word` is in the set.
    #[must_use]
    pub const fn contains(self, word: usize) -> bool {
        word < FLOW_WORDS && self.0 >> word & 1 != 0
    }

    /// The words in both sets.
    #[must_use]
    pub const fn and(self, other: WordMap) -> WordMap {
        WordMap(self.0 & other.0)
    }

    /// The words in either set.
    #[must_use]
    pub const fn or(self, other: WordMap) -> WordMap {
        WordMap(self.0 | other.0)
    }

    /// The part of the set that lies in `segment`.
    #[must_use]
    pub const fn in_segment(self, segment: Segment) -> WordMap {
        self.and(segment.map())
    }
}

impl IntoIterator for WordMap {
    type Item = usize;
    type IntoIter = Words;

    fn into_iter(self) -> Words {
        Words(self.0)
    }
}

/// Iterates over the words of a [`WordMap`], lowest first.
#[derive(Clone, Debug)]
pub struct Words(u64);

impl Iterator for Words {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let word = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(word)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.0.count_ones() as usize;
        (n, Some(n))
    }
}
