//! Generators for the property tests.

use crate::addr::EtherAddr;
use crate::field::{Field, Maskable};
use crate::flow::Flow;
use crate::matching::Match;
use crate::prereq::Prereq;
use crate::proto::{eth_type as ethertype, ip_proto};
use alloc::vec::Vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Random words: any bits at all.
pub(crate) fn any_flow() -> impl Strategy<Value = Flow> {
    proptest::collection::vec(any::<u64>(), crate::layout::FLOW_WORDS).prop_map(|words| {
        let mut flow = Flow::ZERO;
        for (index, word) in words.iter().enumerate() {
            flow.set_word(index, *word);
        }
        flow
    })
}

/// A flow that some whole frame has.
pub(crate) fn legal_flow() -> impl Strategy<Value = Flow> {
    let types = [
        ethertype::IPV4,
        ethertype::IPV4,
        ethertype::IPV6,
        ethertype::IPV6,
        ethertype::ARP,
        ethertype::RARP,
        ethertype::MPLS,
        ethertype::MPLS_MULTICAST,
        ethertype::NONE,
        ethertype::PBB,
        0x1234,
    ];
    let protos = [6, 17, 132, 1, 2, 58, 47, 50, 59];
    let shape =
        (select(types.to_vec()), select(protos.to_vec()), select(alloc::vec![0u8, 0, 1, 3]));
    let tags = (0usize..3, select(alloc::vec![ethertype::VLAN, ethertype::QINQ]), any::<u16>());
    (any_flow(), shape, tags, 0usize..4).prop_map(|(bits, (ty, proto, frag), tags, labels)| {
        let mut flow = Flow::ZERO;
        flow.set_in_port(bits.in_port());
        flow.set_recirc_id(bits.recirc_id());
        flow.set_eth_dst(bits.eth_dst());
        flow.set_eth_src(bits.eth_src());
        flow.set_eth_type(ty);
        let (n_tags, tpid, tci) = tags;
        for _ in 0..n_tags {
            flow.push_vlan(tpid, tci);
        }
        match ty {
            ethertype::ARP | ethertype::RARP => {
                flow.set_nw_src(bits.nw_src());
                flow.set_nw_dst(bits.nw_dst());
                flow.set_nw_proto(bits.nw_proto());
                flow.set_arp_sha(bits.arp_sha());
                flow.set_arp_tha(bits.arp_tha());
            }
            ethertype::MPLS | ethertype::MPLS_MULTICAST => {
                // Three labels without a bottom, or fewer with one.
                for n in 0..labels.clamp(1, 3) {
                    flow.set_mpls_lse(n, bits.mpls_lse(n) & !0x100 | 0x1000);
                }
                if labels < 3 {
                    let last = labels.clamp(1, 3) - 1;
                    flow.set_mpls_lse(last, flow.mpls_lse(last) | 0x100);
                }
            }
            ethertype::PBB => {
                flow.set_pbb_isid(bits.pbb_isid());
                flow.set_pbb_uca(bits.pbb_uca());
            }
            ethertype::IPV4 | ethertype::IPV6 => ip(&mut flow, &bits, proto, frag),
            _ => {}
        }
        flow
    })
}

fn ip(flow: &mut Flow, bits: &Flow, proto: u8, frag: u8) {
    let is_ipv6 = flow.eth_type() == ethertype::IPV6;
    if is_ipv6 {
        flow.set_ipv6_src(bits.ipv6_src());
        flow.set_ipv6_dst(bits.ipv6_dst());
        flow.set_ipv6_label(bits.ipv6_label());
    } else {
        flow.set_nw_src(bits.nw_src());
        flow.set_nw_dst(bits.nw_dst());
    }
    flow.set_nw_tos(bits.nw_tos());
    flow.set_nw_ttl(bits.nw_ttl());
    flow.set_nw_frag(frag);
    if is_ipv6 {
        flow.set_ipv6_exthdr(exthdr(bits.ipv6_exthdr(), proto, frag));
    }
    if frag == 3 {
        flow.set_nw_proto(if is_ipv6 { ip_proto::FRAGMENT } else { proto });
        return;
    }
    flow.set_nw_proto(proto);
    match proto {
        ip_proto::TCP | ip_proto::UDP | ip_proto::SCTP => {
            flow.set_tp_src(bits.tp_src());
            flow.set_tp_dst(bits.tp_dst());
            if proto == ip_proto::TCP {
                flow.set_tcp_flags(bits.tcp_flags() & 0xfff);
            }
        }
        ip_proto::ICMP | ip_proto::IGMP => {
            flow.set_tp_src(bits.tp_src() & 0xff);
            flow.set_tp_dst(bits.tp_dst() & 0xff);
            if proto == ip_proto::IGMP {
                flow.set_igmp_group(bits.igmp_group());
            }
        }
        ip_proto::ICMPV6 if is_ipv6 && bits.tp_src() & 1 == 0 => {
            flow.set_tp_src(135 + (bits.tp_src() >> 1 & 1));
            flow.set_nd_target(bits.nd_target());
            flow.set_nd_reserved(bits.nd_reserved());
            match bits.tp_dst() & 3 {
                0 => {}
                1 => nd_option(flow, 1, bits.arp_sha(), EtherAddr::ZERO),
                2 => nd_option(flow, 2, EtherAddr::ZERO, bits.arp_tha()),
                _ => nd_option(flow, 1, bits.arp_sha(), bits.arp_tha()),
            }
        }
        ip_proto::ICMPV6 => flow.set_tp_src(128),
        _ => {}
    }
}

/// Extension headers that some packet has.
fn exthdr(bits: u16, proto: u8, frag: u8) -> u16 {
    use crate::proto::ext_hdr::{AUTH, DEST, ESP, FRAG, HOP, NO_NEXT, ROUTER, UNREP, UNSEQ};
    let mut bits = bits & (HOP | DEST | ROUTER | AUTH | FRAG | UNSEQ | UNREP);
    bits |= if frag == 0 { 0 } else { FRAG };
    if bits & (DEST | ROUTER) != DEST | ROUTER || bits & AUTH != 0 || frag != 0 {
        // Disorder and repetition are for the packets that have little else.
        bits &= !(UNSEQ | UNREP);
    }
    if bits & (UNSEQ | UNREP) != 0 {
        bits &= !FRAG;
    }
    if frag == 3 {
        return bits & !AUTH;
    }
    bits | match proto {
        50 => ESP,
        59 => NO_NEXT,
        _ => 0,
    }
}

fn nd_option(flow: &mut Flow, first: u8, source: EtherAddr, target: EtherAddr) {
    flow.set_nd_options_type(first);
    flow.set_arp_sha(source);
    flow.set_arp_tha(target);
}

/// A match without contradictions: some bits of some fields that a legal flow has.
pub(crate) fn legal_match() -> impl Strategy<Value = Match> {
    (legal_flow(), proptest::collection::vec((any::<u8>(), any::<u128>()), Field::COUNT)).prop_map(
        |(flow, choices)| {
            let mut match_ = Match::CATCHALL;
            match_.set_exact(Field::EthType, u128::from(flow.eth_type()));
            if flow.is_ip() {
                match_.set_exact(Field::IpProto, u128::from(flow.nw_proto()));
            }
            if Prereq::Nd.holds(&flow) {
                match_.set_exact(Field::Icmpv6Type, u128::from(flow.tp_src()));
            }
            let fields: Vec<Field> = Field::all()
                .filter(|field| *field != Field::PacketType && field.spec().prereq.holds(&flow))
                .collect();
            for (field, (die, bits)) in fields.into_iter().zip(choices) {
                let mask = match (die % 4, field.spec().maskable) {
                    (0, _) => u128::MAX,
                    (1, Maskable::Bitwise) => bits & field.ones(),
                    _ => continue,
                };
                let is_untagged = !flow.has_vlan()
                    && matches!(field, Field::DlVlan | Field::DlVlanPcp | Field::VlanPcp);
                if !is_untagged {
                    match_.set(field, flow.get(field), mask);
                }
            }
            // "no" and "later" are written alike for both masks and read as the wider one.
            if matches!(match_.get(Field::IpFrag), (0, 1) | (2, 2)) {
                match_.wildcard(Field::IpFrag);
            }
            match_
        },
    )
}
