//! Laws of translation, on random rules and packets.
//!
//! *Soundness of the mask*: a packet that agrees with another in every examined bit is treated
//! alike. *Purity*: translating twice gives the same. *Truth of the caches*: whatever was cached,
//! and whatever changed since, a packet leaves as if there were no cache.

use crate::lab::{DP_OFFSET, Lab};
use flow::text::NoNames;
use flow::{FLOW_WORDS, Flow, FlowMeta, compose, extract};
use ofproto::translate::{Start, TranslateIn, TranslateOut, translate};
use openflow::text::parse_instructions;
use openflow::{FlowMod, FlowModCommand, OfPort, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sync::time::Nanos;

const MATCHES: [&str; 30] = [
    "",
    "in_port=1",
    "in_port=2",
    "ip",
    "arp",
    "ipv6",
    "tcp",
    "udp6",
    "mpls",
    "icmp",
    "ip,nw_src=10.0.0.0/8",
    "ip,nw_src=10.0.0.0/24",
    "ip,nw_dst=10.0.0.2",
    "ip,nw_dst=0.0.0.2/0.0.0.3",
    "ip,nw_frag=no",
    "ip,nw_ttl=1",
    "tcp,tp_dst=80",
    "tcp,tp_dst=0x50/0xfff0",
    "udp,tp_src=53",
    "tcp6,ipv6_dst=fd00::/64",
    "icmp6,icmp_type=135,nd_target=fd00::2",
    "arp,arp_tpa=10.0.0.2",
    "dl_vlan=5",
    "vlan_tci=0",
    "dl_vlan_pcp=3",
    "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
    "dl_src=02:00:00:00:00:01",
    "mpls,mpls_label=100",
    "metadata=0x5",
    "reg0=0x7",
];

const ACTIONS: [&str; 39] = [
    "output:1",
    "output:2",
    "output:3",
    "IN_PORT",
    "ALL",
    "FLOOD",
    "NORMAL",
    "CONTROLLER:100",
    "mod_vlan_vid:5",
    "mod_vlan_vid:9",
    "mod_vlan_pcp:3",
    "strip_vlan",
    "push_vlan:0x8100",
    "push_vlan:0x88a8",
    "mod_dl_src:02:00:00:00:00:01",
    "mod_dl_dst:02:00:00:00:00:07",
    "mod_nw_src:10.0.0.9",
    "mod_nw_dst:10.0.0.2",
    "mod_nw_tos:32",
    "mod_tp_dst:80",
    "mod_tp_src:53",
    "dec_ttl",
    "set_field:10.7.0.0/16->ip_dst",
    "set_field:fd00::5->ipv6_src",
    "set_field:2->arp_op",
    "set_field:fd00::2->nd_target",
    "push_mpls:0x8847",
    "pop_mpls:0x0800",
    "pop_mpls:0x8847",
    "set_mpls_label:100",
    "dec_mpls_ttl",
    "load:7->NXM_NX_REG0[]",
    "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]",
    "move:NXM_OF_TCP_DST[0..7]->NXM_NX_REG0[0..7]",
    "move:NXM_OF_ETH_SRC[0..7]->NXM_OF_ETH_DST[0..7]",
    "resubmit(,1)",
    "resubmit(2,2)",
    "exit",
    "set_queue:5",
];

const INSTRUCTIONS: [&str; 5] = [
    "goto_table:2",
    "write_metadata:0x5,goto_table:1",
    "write_actions(output:3,dec_ttl)",
    "clear_actions",
    "write_actions(mod_dl_src:02:00:00:00:00:33)",
];

const PACKETS: [&str; 16] = [
    "dl_type=0x1234",
    "dl_vlan=5,dl_vlan_pcp=3,dl_type=0x1234",
    "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1,tp_dst=80",
    "tcp,nw_src=10.0.1.1,nw_dst=10.0.0.3,nw_ttl=1,tp_src=1,tp_dst=81",
    "tcp,dl_vlan=5,nw_src=11.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1,tp_dst=80",
    "udp,nw_src=10.0.0.1,nw_dst=10.0.0.6,nw_ttl=2,tp_src=53,tp_dst=53",
    "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,nw_frag=first,tp_src=53,tp_dst=53",
    "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,nw_frag=later",
    "icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,icmp_type=8",
    "ip,nw_proto=0,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64",
    "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2",
    "tcp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=64,tp_src=1,tp_dst=80",
    "udp6,ipv6_src=fd00::1,ipv6_dst=fd01::2,nw_ttl=1,tp_src=53,tp_dst=80",
    "icmp6,ipv6_src=fd00::1,ipv6_dst=ff02::1,nw_ttl=255,icmp_type=135,nd_target=fd00::2",
    "mpls,mpls_label=100,mpls_bos=1,mpls_ttl=9",
    "mpls,mpls_label=7,mpls_bos=0,mpls_ttl=1",
];

/// Table, priority, match and actions.
pub(crate) type RuleText = (u8, u16, &'static str, String);

pub(crate) fn rule() -> impl Strategy<Value = RuleText> {
    let last = proptest::option::of(select(&INSTRUCTIONS[..]));
    let actions = (vec(select(&ACTIONS[..]), 0..5), last).prop_map(|(actions, last)| {
        let list: Vec<&str> = actions.into_iter().chain(last).collect();
        if list.is_empty() { "drop".to_owned() } else { list.join(",") }
    });
    (0..3_u8, 0..4_u16, select(&MATCHES[..]), actions).prop_map(
        |(table, level, match_, actions)| (table, priority(level, match_), match_, actions),
    )
}

/// A priority that no rule with another match has: which of two rules of one priority a packet finds
/// is not defined, and may change with rules that it does not match.
pub(crate) fn priority(level: u16, match_: &str) -> u16 {
    let place = MATCHES.iter().position(|known| *known == match_).unwrap_or(0);
    level * u16::try_from(MATCHES.len()).unwrap() + u16::try_from(place).unwrap()
}

/// A flow as the datapath would extract it from some frame.
pub(crate) fn packet() -> impl Strategy<Value = Flow> {
    (1..4_u32, select(&PACKETS[..]), 0..4_u8, 0..8_u8).prop_map(|(port, text, src, dst)| {
        let text = format!(
            "in_port={port},dl_src=02:00:00:00:00:{src:02x},dl_dst=02:00:00:00:00:{dst:02x},{text}"
        );
        legal(&crate::lab::flow(&text), port)
    })
}

/// The flow of the frame that has these headers, on a port.
pub(crate) fn legal(flow: &Flow, port: u32) -> Flow {
    extract(&compose(flow, 46), &FlowMeta::of_port(port + DP_OFFSET)).flow
}

pub(crate) fn lab_with(rules: &[RuleText]) -> Lab {
    let mut lab = Lab::secure(3);
    for text in rules {
        add(&mut lab, text);
    }
    lab.settle();
    lab
}

/// Adds a rule, if it is one.
pub(crate) fn add(lab: &mut Lab, (table_id, priority, match_, actions): &RuleText) {
    let flow_mod = FlowMod {
        table_id: *table_id,
        instructions: parse_instructions(actions, &NoNames).unwrap(),
        ..crate::lab::add(*priority, match_)
    };
    // A goto backwards is refused, for instance; that leaves a switch with fewer rules.
    let _ = lab.bridge.flow_mod(&flow_mod, Version::V10, lab.now);
}

fn conclude(lab: &Lab, flow: &Flow) -> TranslateOut {
    translate(&TranslateIn {
        state: lab.bridge.state(),
        flow,
        in_port: OfPort(flow.in_port() - DP_OFFSET),
        start: Start::Tables,
        is_traced: false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn packets_that_agree_in_the_mask_are_treated_alike(
        rules in vec(rule(), 1..12),
        packets in vec(packet(), 1..6),
        noise in vec(any::<u64>(), FLOW_WORDS),
        flips in vec((0..FLOW_WORDS, 0..64_u32), 24),
    ) {
        let mut lab = lab_with(&rules);
        // Something is learned.
        lab.send(1, &crate::lab::ether(1, 7));
        for flow in &packets {
            let out = conclude(&lab, flow);
            let again = conclude(&lab, flow);
            prop_assert_eq!(&out.path.actions, &again.path.actions);
            prop_assert_eq!(&out.mask, &again.mask);
            let mut others = Vec::new();
            for other in &packets {
                // Everything not examined from another packet, or at random.
                let (mut mixed, mut noisy) = (*flow, *flow);
                for (word, bits) in noise.iter().enumerate() {
                    let mask = out.mask.word(word);
                    mixed.set_word(word, flow.word(word) & mask | other.word(word) & !mask);
                    noisy.set_word(word, flow.word(word) & mask | bits & !mask);
                }
                others.extend([mixed, noisy]);
            }
            for (word, bit) in &flips {
                let mut flipped = *flow;
                flipped.set_word(*word, flow.word(*word) ^ (1 << bit) & !out.mask.word(*word));
                others.push(flipped);
            }
            for other in others {
                let other = legal(&other, flow.in_port() - DP_OFFSET);
                if other.eq_in(flow, &out.mask) {
                    let alike = conclude(&lab, &other);
                    prop_assert_eq!(
                        &out.path.actions, &alike.path.actions,
                        "\n{}\n{}\nmask {:?}", flow, other, out.mask
                    );
                }
            }
        }
    }

    #[test]
    fn cached_or_not_packets_leave_alike(
        rules in vec(rule(), 1..10),
        changes in vec((rule(), any::<bool>(), vec(packet(), 1..6)), 1..6),
    ) {
        // One switch keeps its caches, the other loses them before each packet.
        let mut cached = lab_with(&rules);
        let mut fresh = lab_with(&rules);
        for (change, is_deletion, packets) in &changes {
            for lab in [&mut cached, &mut fresh] {
                if *is_deletion {
                    lab.flow_mod(&crate::lab::change(FlowModCommand::Delete, change.2)).unwrap();
                } else {
                    add(lab, change);
                }
                lab.settle();
            }
            for flow in packets {
                let port = flow.in_port() - DP_OFFSET;
                let frame = compose(flow, 46);
                for _ in 0..2 {
                    fresh.forget_cached();
                    // A cached move of a station is noticed when the revalidator reads it.
                    cached.advance(Nanos::from_millis(600));
                    prop_assert_eq!(cached.send(port, &frame), fresh.send(port, &frame), "{}", flow);
                    cached.settle();
                    fresh.settle();
                }
            }
        }
        let counts = |lab: &mut Lab| -> Vec<(u64, u64)> {
            lab.rules().iter().map(|rule| (rule.stats().packets(), rule.stats().bytes())).collect()
        };
        prop_assert_eq!(counts(&mut cached), counts(&mut fresh));
        let macs = |lab: &Lab| {
            let macs = lab.bridge.state().macs.iter();
            let mut macs: Vec<_> = macs.map(|(station, port, _)| (station, port)).collect();
            macs.sort();
            macs
        };
        prop_assert_eq!(macs(&cached), macs(&fresh));
    }
}
