//! What a controller matches on: values and masks together.

use crate::field::{Field, Maskable};
use crate::flow::Flow;
use crate::mask::Mask;
use crate::prereq::Prereq;
use crate::proto::{
    ND_ADVERT, ND_SOLICIT, VLAN_PRESENT, VLAN_VID_MASK, eth_type as ethertype, ip_proto,
};

/// A value and a mask. Bits of the value that the mask does not examine are always zero, so
/// two matches of the same packets are equal.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Match {
    flow: Flow,
    mask: Mask,
}

impl Match {
    /// Matches every packet.
    pub const CATCHALL: Match = Match { flow: Flow::ZERO, mask: Mask::ZERO };

    /// Matches packets that agree with `flow` in the bits of `mask`.
    #[must_use]
    pub fn new(flow: &Flow, mask: &Mask) -> Match {
        Match { flow: flow.masked(mask), mask: *mask }
    }

    /// The value; bits not examined are zero.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The examined bits.
    #[must_use]
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Whether every packet matches.
    #[must_use]
    pub fn is_catchall(&self) -> bool {
        self.mask.is_catchall()
    }

    /// Whether a packet matches.
    #[must_use]
    #[inline]
    pub fn matches(&self, flow: &Flow) -> bool {
        self.flow.eq_in(flow, &self.mask)
    }

    /// Whether every packet that matches `other` matches this too.
    #[must_use]
    pub fn covers(&self, other: &Match) -> bool {
        other.mask.covers(&self.mask) && self.matches(&other.flow)
    }

    /// Whether some packet can match both.
    #[must_use]
    pub fn overlaps(&self, other: &Match) -> bool {
        self.flow.eq_in(&other.flow, &self.mask.intersection(&other.mask))
    }

    /// Value and mask of a field.
    #[must_use]
    pub fn get(&self, field: Field) -> (u128, u128) {
        (self.flow.get(field), self.mask.get(field))
    }

    /// Matches a field exactly.
    pub fn set_exact(&mut self, field: Field, value: u128) {
        self.set(field, value, u128::MAX);
    }

    /// Matches the bits of `mask` in a field; the other bits become wildcards.
    ///
    /// The VLAN fields of OpenFlow 1.0 and the VLAN priority also ask for a tag to be there
    /// (but `dl_vlan` of 0xffff asks for none).
    pub fn set(&mut self, field: Field, value: u128, mask: u128) {
        match field {
            Field::DlVlan if value == OFP10_VLAN_NONE => {
                self.put(Field::VlanTci, 0, u128::MAX);
            }
            Field::DlVlan => {
                let present = u128::from(VLAN_PRESENT);
                self.put(Field::VlanVid, value & u128::from(VLAN_VID_MASK) | present, u128::MAX);
            }
            Field::DlVlanPcp | Field::VlanPcp => {
                self.put(field, value, mask);
                self.flow.set_vlan_tci(self.flow.vlan_tci() | VLAN_PRESENT);
                self.mask.set_vlan_tci(self.mask.vlan_tci() | VLAN_PRESENT);
            }
            _ => self.put(field, value, mask),
        }
    }

    fn put(&mut self, field: Field, value: u128, mask: u128) {
        // An ICMP type is written with 8 bits and kept in 16.
        let is_whole = field.spec().maskable == Maskable::Exact && mask != 0;
        let mask = if is_whole { u128::MAX } else { mask };
        self.mask.set(field, mask);
        self.flow.words.set(field, value & mask);
    }

    /// Stops matching on a field.
    pub fn wildcard(&mut self, field: Field) {
        self.put(field, 0, 0);
    }

    /// Whether the match fulfils what `field` needs (OpenFlow error `OFPBMC_BAD_PREREQ`).
    #[must_use]
    pub fn satisfies(&self, prereq: Prereq) -> bool {
        prereq.holds(&self.flow)
    }

    /// Whether this match may be put on the wire for a field: its mask fits the registry's rule.
    #[must_use]
    pub fn mask_is_allowed(field: Field, mask: u128) -> bool {
        match field.spec().maskable {
            Maskable::Bitwise => true,
            Maskable::Exact => {
                let all = field.value_ones();
                mask & all == all || mask & all == 0
            }
        }
    }

    /// Ethernet is what every packet is: unless this match is a megaflow's (it looks at the
    /// recirculation id), asking for it asks for nothing.
    pub fn forget_default_packet_type(&mut self) {
        if self.flow.packet_type() == 0 && self.mask.recirc_id() == 0 {
            self.wildcard(Field::PacketType);
        }
    }

    /// Drops everything that cannot be matched because the match does not ask for the protocol
    /// that has it. OpenFlow 1.0 and Nicira's match tolerate such fields; standard OXM refuses them.
    pub fn normalize(&mut self) {
        let mut mask = self.mask;
        let may = Normal::of(&self.flow);
        let mut drop = |fields: &[Field], keep: bool| {
            if !keep {
                for field in fields {
                    mask.set(*field, 0);
                }
            }
        };
        drop(&[Field::EthSrc, Field::EthDst], self.flow.packet_type() == 0);
        drop(&[Field::Ipv4Src, Field::Ipv4Dst], may.nw_addr);
        drop(&[Field::TcpSrc, Field::TcpDst], may.tp);
        drop(&[Field::IpProto], may.nw_addr || may.ipv6);
        drop(&[Field::IpDscp, Field::IpEcn, Field::IpTtl], may.ip);
        drop(&[Field::ArpSha], may.arp_sha);
        drop(&[Field::ArpTha], may.arp_tha);
        drop(&[Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Label, Field::Ipv6Exthdr], may.ipv6);
        drop(&[Field::PbbIsid, Field::PbbUca], self.flow.eth_type() == ethertype::PBB);
        drop(&[Field::NdTarget], may.nd_target);
        drop(
            &[
                Field::MplsLabel,
                Field::MplsTc,
                Field::MplsBos,
                Field::MplsTtl,
                Field::MplsLse1,
                Field::MplsLse2,
            ],
            may.mpls,
        );
        *self = Match::new(&self.flow, &mask);
    }
}

/// `dl_vlan` of a packet without a tag in OpenFlow 1.0 (`OFP_VLAN_NONE`).
pub const OFP10_VLAN_NONE: u128 = 0xffff;

/// Which groups of fields a match may use.
#[derive(Default)]
struct Normal {
    nw_addr: bool,
    ip: bool,
    tp: bool,
    arp_sha: bool,
    arp_tha: bool,
    ipv6: bool,
    nd_target: bool,
    mpls: bool,
}

impl Normal {
    fn of(flow: &Flow) -> Normal {
        let proto = flow.nw_proto();
        let has_ports = matches!(proto, ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP);
        let mut may = Normal::default();
        match flow.eth_type() {
            ethertype::IPV4 => {
                (may.nw_addr, may.ip) = (true, true);
                may.tp = has_ports || proto == ip_proto::ICMP;
            }
            ethertype::IPV6 => {
                (may.ipv6, may.ip) = (true, true);
                may.tp = has_ports || proto == ip_proto::ICMPV6;
                if proto == ip_proto::ICMPV6 {
                    may.arp_sha = flow.tp_src() == ND_SOLICIT;
                    may.arp_tha = flow.tp_src() == ND_ADVERT;
                    may.nd_target = may.arp_sha || may.arp_tha;
                }
            }
            ethertype::ARP | ethertype::RARP => {
                (may.nw_addr, may.arp_sha, may.arp_tha) = (true, true, true);
            }
            _ => may.mpls = flow.is_mpls(),
        }
        may
    }
}
