//! Lines of `dpctl/dump-flows`.

use std::sync::Arc;

use datapath::{DpAction, DumpLine, KeyText, Megaflow, PortNames, PortNo, UfidShown};
use flow::{EtherAddr, Field, Flow, Mask};
use sync::time::Nanos;

use crate::common::out;

/// A field, its value, and the bits that count.
type Masked = (Field, u128, u128);

/// A key with its mask, built field by field.
fn key(fields: &[Masked]) -> (Flow, Mask) {
    let (mut key, mut mask) = (Flow::ZERO, Mask::ZERO);
    for (field, value, bits) in fields {
        key.set(*field, *value);
        mask.add(*field, *bits);
    }
    mask.set_exact(Field::InPort);
    mask.set_exact(Field::RecircId);
    (key, mask)
}

const ALL: u128 = u128::MAX;

#[test]
fn keys_print_as_dpctl_prints_them() {
    use Field::{
        ArpOp, ArpTpa, DpHash, EthDst, EthSrc, EthType, Icmpv6Type, InPort, IpFrag, IpProto, IpTtl,
        Ipv4Dst, Ipv4Src, Ipv6Dst, MplsLabel, NdTarget, PktMark, RecircId, TcpDst, TcpFlags,
        UdpSrc, VlanTci,
    };
    let mac = u128::from(EtherAddr::from_u64(0x0050_5400_0009).to_u64());
    let cases: &[(&[Masked], &str)] = &[
        (&[(InPort, 1, ALL)], "recirc_id(0),in_port(1)"),
        (
            &[(RecircId, 0x1f, ALL), (DpHash, 3, 0xf), (PktMark, 1, ALL)],
            "skb_mark(0x1),recirc_id(0x1f),dp_hash(0x3/0xf),in_port(0)",
        ),
        (
            &[(EthSrc, mac, ALL), (EthDst, 1 << 40, 1 << 40), (EthType, 0x0800, ALL)],
            "recirc_id(0),in_port(0),eth(src=00:50:54:00:00:09,\
             dst=01:00:00:00:00:00/01:00:00:00:00:00),eth_type(0x0800)",
        ),
        (
            &[
                (EthType, 0x0800, ALL),
                (Ipv4Src, 0x0a00_0001, ALL),
                (Ipv4Dst, 0x0a00_0000, 0xff00_0000),
                (IpProto, 6, ALL),
                (IpTtl, 64, ALL),
                (IpFrag, 0, ALL),
                (TcpDst, 80, 0xfff0),
                (TcpFlags, 2, 0x12),
            ],
            "recirc_id(0),in_port(0),eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.0/255.0.0.0,\
             proto=6,ttl=64,frag=no),tcp(dst=80/0xfff0),tcp_flags(+syn-ack)",
        ),
        (
            &[
                (EthType, 0x86dd, ALL),
                (IpProto, 58, ALL),
                (Icmpv6Type, 135, ALL),
                (NdTarget, 1, ALL),
            ],
            "recirc_id(0),in_port(0),eth_type(0x86dd),ipv6(proto=58),icmpv6(type=135),nd(target=::1)",
        ),
        (
            &[(EthType, 0x86dd, ALL), (Ipv6Dst, 0, 1 << 127), (IpFrag, 3, ALL)],
            "recirc_id(0),in_port(0),eth_type(0x86dd),ipv6(dst=::/8000::,frag=later)",
        ),
        (
            &[(EthType, 0x0806, ALL), (ArpTpa, 0x0a00_0001, ALL), (ArpOp, 1, ALL)],
            "recirc_id(0),in_port(0),eth_type(0x0806),arp(tip=10.0.0.1,op=1)",
        ),
        (
            &[
                (VlanTci, 0x7005, ALL),
                (EthType, 0x0800, ALL),
                (IpProto, 17, ALL),
                (UdpSrc, 53, ALL),
            ],
            "recirc_id(0),in_port(0),vlan(vid=5,pcp=3),encap(eth_type(0x0800),ipv4(proto=17),\
             udp(src=53))",
        ),
        (
            &[(EthType, 0x8847, ALL), (MplsLabel, 100, ALL)],
            "recirc_id(0),in_port(0),eth_type(0x8847),mpls(label=100)",
        ),
    ];
    for (fields, text) in cases {
        let (key, mask) = key(fields);
        assert_eq!(format!("{}", KeyText { key: &key, mask: &mask, names: None }), *text);
    }
}

#[test]
fn lines_have_statistics_and_actions() {
    struct Names;
    impl PortNames for Names {
        fn port_name(&self, port: PortNo) -> Option<&str> {
            ["", "p1", "p2"].get(port.0 as usize).copied()
        }
    }
    let (key, mask) = key(&[(Field::InPort, 1, ALL)]);
    let actions: Arc<[DpAction]> = Arc::from([out(2)]);
    let megaflow = Megaflow::new(&key, mask, actions.clone());
    let mut line = DumpLine {
        megaflow: &megaflow,
        actions: &actions,
        now: Nanos::from_millis(2_500),
        names: None,
        ufid: UfidShown::No,
    };
    let fresh = "recirc_id(0),in_port(1), packets:0, bytes:0, used:never, actions:2";
    assert_eq!(line.to_string(), fresh);
    megaflow.stats.credit(3, 180, Nanos::from_millis(2_000), 0x1b);
    line.names = Some(&Names);
    line.ufid = UfidShown::Yes;
    let used =
        "recirc_id(0),in_port(p1), packets:3, bytes:180, used:0.500s, flags:SFP., actions:p2";
    assert_eq!(line.to_string(), format!("ufid:{}, {used}", megaflow.ufid));
}
