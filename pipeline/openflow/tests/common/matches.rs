//! Arbitrary matches.

use flow::{Field, Match};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn set(match_: &mut Match, field: Field, (value, mask): (u128, u128)) {
    let mask = mask & field.ones();
    match_.set(field, value & mask, mask);
}

/// A match with the fields of one protocol stack.
pub(super) fn any_match() -> impl Strategy<Value = Match> {
    let bits = || (any::<u128>(), prop_oneof![Just(0), Just(u128::MAX), any::<u128>()]);
    let exact = || (any::<u128>(), prop_oneof![Just(0), Just(u128::MAX)]);
    (
        (option::of(1u32..0xff00), vec(bits(), 22), vec(bits(), 8), vec(exact(), 8)),
        (0usize..8, 0usize..6, any::<u16>()),
    )
        .prop_map(|((in_port, meta, many, single), (l3, l4, vid))| {
            let mut m = Match::default();
            if let Some(port) = in_port {
                m.set_exact(Field::InPort, port.into());
            }
            for (n, bits) in meta.iter().take(16).enumerate() {
                set(&mut m, Field::reg(u8::try_from(n).unwrap()).unwrap(), *bits);
            }
            set(&mut m, Field::Metadata, meta[16]);
            set(&mut m, Field::TunnelId, meta[17]);
            set(&mut m, Field::PktMark, meta[18]);
            set(&mut m, Field::TunSrc, meta[19]);
            set(&mut m, Field::EthSrc, meta[20]);
            set(&mut m, Field::EthDst, meta[21]);
            match vid % 5 {
                0 => m.set_exact(Field::VlanVid, u128::from(0x1000 | vid & 0xfff)),
                1 => m.set(Field::VlanVid, 0x1000, 0x1000),
                2 => m.set_exact(Field::VlanVid, 0),
                3 => {
                    m.set_exact(Field::VlanVid, u128::from(0x1000 | vid & 0xfff));
                    m.set_exact(Field::VlanPcp, u128::from(vid >> 13));
                }
                _ => {}
            }
            let ip = |m: &mut Match, v6: bool| {
                set(m, Field::IpDscp, (single[0].0 & 0xfc, single[0].1));
                set(m, Field::IpEcn, single[1]);
                set(m, Field::IpTtl, single[2]);
                let (proto, src, dst) = match l4 {
                    0 => (6, Field::TcpSrc, Field::TcpDst),
                    1 => (17, Field::UdpSrc, Field::UdpDst),
                    2 => (132, Field::SctpSrc, Field::SctpDst),
                    3 if v6 => (58, Field::Icmpv6Type, Field::Icmpv6Code),
                    3 => (1, Field::Icmpv4Type, Field::Icmpv4Code),
                    _ => return,
                };
                m.set_exact(Field::IpProto, proto);
                if l4 == 3 {
                    // Types of ND need more fields to mean what they say.
                    set(m, src, (single[3].0 & 0x7f, single[3].1));
                    set(m, dst, (single[4].0 & 0xff, single[4].1));
                } else {
                    set(m, src, many[4]);
                    set(m, dst, many[5]);
                }
                if l4 == 0 {
                    set(m, Field::TcpFlags, many[6]);
                }
            };
            match l3 {
                0 | 1 => {
                    m.set_exact(Field::EthType, 0x800);
                    set(&mut m, Field::Ipv4Src, many[0]);
                    set(&mut m, Field::Ipv4Dst, many[1]);
                    ip(&mut m, false);
                }
                2 | 3 => {
                    m.set_exact(Field::EthType, 0x86dd);
                    set(&mut m, Field::Ipv6Src, many[0]);
                    set(&mut m, Field::Ipv6Dst, many[1]);
                    set(&mut m, Field::Ipv6Label, many[2]);
                    ip(&mut m, true);
                }
                4 => {
                    m.set_exact(Field::EthType, 0x806);
                    set(&mut m, Field::ArpOp, (single[0].0 & 0xff, single[0].1));
                    set(&mut m, Field::ArpSpa, many[0]);
                    set(&mut m, Field::ArpTpa, many[1]);
                    set(&mut m, Field::ArpSha, many[2]);
                    set(&mut m, Field::ArpTha, many[3]);
                }
                5 => {
                    m.set_exact(Field::EthType, 0x8847);
                    set(&mut m, Field::MplsLabel, single[0]);
                    set(&mut m, Field::MplsTc, single[1]);
                    set(&mut m, Field::MplsBos, single[2]);
                    set(&mut m, Field::MplsTtl, single[3]);
                }
                6 => {
                    m.set_exact(Field::EthType, 0x86dd);
                    m.set_exact(Field::IpProto, 58);
                    m.set_exact(Field::Icmpv6Type, 135);
                    m.set_exact(Field::Icmpv6Code, 0);
                    set(&mut m, Field::NdTarget, many[0]);
                    set(&mut m, Field::NdSll, many[1]);
                }
                _ => {}
            }
            m
        })
}

/// What the fixed match of 1.0 can say of a match.
pub(super) fn fixed_match(match_: &Match) -> Match {
    let mut out = Match::default();
    for field in [Field::InPort, Field::EthType] {
        let (value, mask) = match_.get(field);
        if mask == field.ones() {
            out.set_exact(field, value);
        }
    }
    if out.get(Field::EthType).0 == 0x800 {
        out.set(Field::Ipv4Src, 0x0a00_0000, 0xff00_0000);
        out.set_exact(Field::IpProto, 17);
        out.set_exact(Field::UdpDst, 53);
    }
    out
}
