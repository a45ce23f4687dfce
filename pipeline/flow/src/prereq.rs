//! What a packet must be for a field to exist (OpenFlow 1.3.5 §7.2.3.8, table 12).

use crate::field::Field;
use crate::flow::Flow;
use crate::mask::Mask;
use crate::proto::{
    FRAG_LATER, ND_ADVERT, ND_SOLICIT, VLAN_PRESENT, eth_type as ethertype, ip_proto,
};

/// A condition on the packet that a field depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prereq {
    /// Every packet has the field.
    None,
    /// The packet is an Ethernet frame.
    Ethernet,
    /// There is a VLAN tag.
    Vlan,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// IPv4 or IPv6.
    Ip,
    /// ARP or RARP.
    Arp,
    /// MPLS.
    Mpls,
    /// A PBB service tag (802.1ah I-TAG).
    Pbb,
    /// TCP over either IP, not a later fragment.
    Tcp,
    /// UDP over either IP, not a later fragment.
    Udp,
    /// SCTP over either IP, not a later fragment.
    Sctp,
    /// ICMP over IPv4.
    Icmpv4,
    /// ICMPv6 over IPv6.
    Icmpv6,
    /// A neighbour solicitation or advertisement.
    Nd,
    /// A neighbour solicitation.
    NdSolicit,
    /// A neighbour advertisement.
    NdAdvert,
}

impl Prereq {
    /// Whether the packet with this flow satisfies the condition. For a match, ask with the
    /// match's flow: its wildcarded bits are zero, and no zero satisfies any condition.
    #[must_use]
    pub fn holds(self, flow: &Flow) -> bool {
        let ty = flow.eth_type();
        match self {
            Prereq::None => true,
            Prereq::Ethernet => flow.packet_type() == 0,
            Prereq::Vlan => flow.vlan_tci() & VLAN_PRESENT != 0,
            Prereq::Ipv4 => ty == ethertype::IPV4,
            Prereq::Ipv6 => ty == ethertype::IPV6,
            Prereq::Ip => flow.is_ip(),
            Prereq::Arp => flow.is_arp(),
            Prereq::Mpls => flow.is_mpls(),
            Prereq::Pbb => ty == ethertype::PBB,
            Prereq::Tcp => has_l4(flow, ip_proto::TCP),
            Prereq::Udp => has_l4(flow, ip_proto::UDP),
            Prereq::Sctp => has_l4(flow, ip_proto::SCTP),
            Prereq::Icmpv4 => ty == ethertype::IPV4 && has_l4(flow, ip_proto::ICMP),
            Prereq::Icmpv6 => is_icmpv6(flow),
            Prereq::Nd => {
                is_nd_code(flow) && (flow.tp_src() == ND_SOLICIT || flow.tp_src() == ND_ADVERT)
            }
            Prereq::NdSolicit => is_nd_code(flow) && flow.tp_src() == ND_SOLICIT,
            Prereq::NdAdvert => is_nd_code(flow) && flow.tp_src() == ND_ADVERT,
        }
    }

    /// Marks as examined every bit that [`holds`](Self::holds) can depend on.
    pub fn unwildcard(self, mask: &mut Mask) {
        let fields: &[Field] = match self {
            Prereq::None => &[],
            Prereq::Ethernet => &[Field::PacketType],
            Prereq::Vlan => {
                mask.set_vlan_tci(mask.vlan_tci() | VLAN_PRESENT);
                &[]
            }
            Prereq::Ipv4 | Prereq::Ipv6 | Prereq::Ip | Prereq::Arp | Prereq::Mpls | Prereq::Pbb => {
                &[Field::EthType]
            }
            Prereq::Tcp | Prereq::Udp | Prereq::Sctp | Prereq::Icmpv4 | Prereq::Icmpv6 => {
                &[Field::EthType, Field::IpProto, Field::IpFrag]
            }
            Prereq::Nd | Prereq::NdSolicit | Prereq::NdAdvert => &[
                Field::EthType,
                Field::IpProto,
                Field::IpFrag,
                Field::Icmpv6Type,
                Field::Icmpv6Code,
            ],
        };
        for field in fields {
            mask.set_exact(*field);
        }
    }
}

fn has_l4(flow: &Flow, proto: u8) -> bool {
    flow.is_ip() && flow.nw_proto() == proto && flow.nw_frag() & FRAG_LATER == 0
}

fn is_icmpv6(flow: &Flow) -> bool {
    flow.eth_type() == ethertype::IPV6 && has_l4(flow, ip_proto::ICMPV6)
}

fn is_nd_code(flow: &Flow) -> bool {
    is_icmpv6(flow) && flow.tp_dst() == 0
}
