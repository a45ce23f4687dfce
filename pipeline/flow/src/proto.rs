//! Protocol numbers that a flow key is made of.

/// Ethernet types.
pub mod eth_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// Reverse ARP.
    pub const RARP: u16 = 0x8035;
    /// 802.1Q tag.
    pub const VLAN: u16 = 0x8100;
    /// 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// MPLS unicast.
    pub const MPLS: u16 = 0x8847;
    /// MPLS multicast.
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// Provider backbone bridging: the service instance tag of 802.1ah.
    pub const PBB: u16 = 0x88e7;
    /// Smallest value that is a type and not an 802.3 length.
    pub const MIN: u16 = 0x0600;
    /// What the key holds for an 802.2 frame without SNAP (OpenFlow's `OFP_DL_TYPE_NOT_ETH_TYPE`).
    pub const NONE: u16 = 0x05ff;
}

/// IP protocol numbers.
pub mod ip_proto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating security payload.
    pub const ESP: u8 = 50;
    /// Authentication header.
    pub const AH: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6: nothing follows.
    pub const NO_NEXT: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// The bits of `ipv6_exthdr`: which extension headers an IPv6 packet has (OpenFlow 1.3.5 §7.2.3.8).
pub mod ext_hdr {
    /// Nothing follows the headers.
    pub const NO_NEXT: u16 = 1;
    /// Encapsulating security payload.
    pub const ESP: u16 = 1 << 1;
    /// Authentication header.
    pub const AUTH: u16 = 1 << 2;
    /// One or two headers of destination options.
    pub const DEST: u16 = 1 << 3;
    /// Fragment header.
    pub const FRAG: u16 = 1 << 4;
    /// Routing header.
    pub const ROUTER: u16 = 1 << 5;
    /// Hop-by-hop options, as the first extension header.
    pub const HOP: u16 = 1 << 6;
    /// A header came more often than expected.
    pub const UNREP: u16 = 1 << 7;
    /// The headers are not in the order of RFC 8200 §4.1.
    pub const UNSEQ: u16 = 1 << 8;
}

/// The bit of a VLAN TCI in a flow that says that there is a tag at all (`OFPVID_PRESENT`).
pub const VLAN_PRESENT: u16 = 0x1000;
/// The VLAN id bits of a TCI.
pub const VLAN_VID_MASK: u16 = 0x0fff;
/// The priority bits of a TCI.
pub const VLAN_PCP_MASK: u16 = 0xe000;

/// Set in `nw_frag` when the packet is a fragment.
pub const FRAG_ANY: u8 = 1;
/// Set in `nw_frag` when the packet is a fragment other than the first.
pub const FRAG_LATER: u8 = 2;

/// ICMPv6 type of a neighbour solicitation.
pub const ND_SOLICIT: u16 = 135;
/// ICMPv6 type of a neighbour advertisement.
pub const ND_ADVERT: u16 = 136;
