//! Each line of the table is what OVS prints for the same action.

extern crate std;
use std::{sync::Arc, vec::Vec};

use super::*;
use crate::{
    CheckPktLen, CoreId, DropReason, HashAction, PacketInReason, PushMpls, PushVlan, SetArp,
    SetEth, SetIcmp, SetIpv4, SetIpv6, SetNd, SetNdExt, SetPorts, SlowPath, TtlCopy,
};

fn mac(last: u8) -> [u8; 6] {
    [0, 0x11, 0x22, 0x33, 0x44, last]
}

#[test]
fn prints_as_dpctl_does() {
    let eth = SetEth { src: Masked::exact(mac(1)), dst: Masked::exact(mac(2)) };
    let cases: Vec<(DpAction, &str)> = std::vec![
        (DpAction::Output(PortNo(1)), "1"),
        (DpAction::SetEth(eth), "set(eth(src=00:11:22:33:44:01,dst=00:11:22:33:44:02))"),
        (
            DpAction::SetEth(SetEth {
                dst: Masked { value: [1, 0, 0, 0, 0, 0], mask: [1, 0, 0, 0, 0, 0] },
                ..SetEth::default()
            }),
            "set(eth(dst=01:00:00:00:00:00/01:00:00:00:00:00))",
        ),
        (
            DpAction::SetIpv4(SetIpv4 {
                src: Masked::exact(0x0a00_0001),
                dst: Masked { value: 0x0a00_0000, mask: 0xff00_0000 },
                tos: Masked { value: 0, mask: 0xfc },
                ttl: Masked::exact(63),
            }),
            "set(ipv4(src=10.0.0.1,dst=10.0.0.0/255.0.0.0,tos=0/0xfc,ttl=63))",
        ),
        (
            DpAction::SetIpv6(SetIpv6 {
                src: Masked::exact(1),
                label: Masked { value: 0x12, mask: 0xf_ffff },
                hlimit: Masked::exact(9),
                ..SetIpv6::default()
            }),
            "set(ipv6(src=::1,label=0x12,hlimit=9))",
        ),
        (
            DpAction::SetTcp(SetPorts { src: Masked::exact(80), dst: Masked::default() }),
            "set(tcp(src=80))",
        ),
        (
            DpAction::SetUdp(SetPorts {
                src: Masked::exact(80),
                dst: Masked { value: 0x80, mask: 0xfff0 },
            }),
            "set(udp(src=80,dst=128/0xfff0))",
        ),
        (
            DpAction::SetSctp(SetPorts { dst: Masked::exact(7), src: Masked::default() }),
            "set(sctp(dst=7))",
        ),
        (
            DpAction::SetIcmp(SetIcmp { kind: Masked::exact(8), code: Masked::exact(0) }),
            "set(icmp(type=8,code=0))",
        ),
        (
            DpAction::SetArp(SetArp {
                op: Masked::exact(2),
                spa: Masked::exact(0xc0a8_0001),
                tha: Masked::exact(mac(3)),
                ..SetArp::default()
            }),
            "set(arp(sip=192.168.0.1,op=2,tha=00:11:22:33:44:03))",
        ),
        (
            DpAction::SetNd(SetNd {
                target: Masked::exact(2),
                tll: Masked::exact(mac(4)),
                ..SetNd::default()
            }),
            "set(nd(target=::2,tll=00:11:22:33:44:04))",
        ),
        (
            DpAction::SetNdExt(SetNdExt {
                reserved: Masked::exact(0x2000_0000),
                options_type: Masked::exact(2),
            }),
            "set(nd_ext(nd_reserved=0x20000000,nd_options_type=2))",
        ),
        (
            DpAction::SetMpls(Masked::exact(100 << 12 | 3 << 9 | 1 << 8 | 64)),
            "set(mpls(label=100,tc=3,ttl=64,bos=1))",
        ),
        (DpAction::SetMpls(Masked { value: 63, mask: 0xff }), "set(mpls(ttl=63))"),
        (DpAction::SetMeta(SetMeta::PktMark(Masked::exact(1))), "set(skb_mark(0x1))"),
        (DpAction::SetMeta(SetMeta::SkbPriority(Masked::exact(0x10))), "set(skb_priority(0x10))",),
        (DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1005 }), "push_vlan(vid=5,pcp=0)"),
        (
            DpAction::PushVlan(PushVlan { tpid: 0x88a8, tci: 0x6005 }),
            "push_vlan(tpid=0x88a8,vid=5,pcp=3,cfi=0)",
        ),
        (DpAction::PopVlan, "pop_vlan"),
        (
            DpAction::PushMpls(PushMpls { ethertype: 0x8847, lse: 10 << 12 | 0x100 | 64 }),
            "push_mpls(label=10,tc=0,ttl=64,bos=1,eth_type=0x8847)",
        ),
        (DpAction::PopMpls(0x0800), "pop_mpls(eth_type=0x800)"),
        (DpAction::PushPbb(0xa812_3456), "push_pbb(isid=1193046,uca=1,pcp=5)"),
        (DpAction::PopPbb, "pop_pbb"),
        (
            DpAction::SetPbb(Masked { value: 0x0800_0001, mask: 0x0800_00ff }),
            "set(pbb(isid=1/0xff,uca=1))",
        ),
        (DpAction::CopyTtl(TtlCopy::Out), "copy_ttl_out"),
        (DpAction::CopyTtl(TtlCopy::In), "copy_ttl_in"),
        (DpAction::SetEthType(0x800), "set(eth_type(0x0800))"),
        (DpAction::SetIpProto(17), "set(ip_proto(17))"),
        (DpAction::SetTcpFlags(Masked { value: 0x12, mask: 0xfff }), "set(tcp_flags(0x12))"),
        (DpAction::SetTcpFlags(Masked { value: 2, mask: 0x12 }), "set(tcp_flags(0x2/0x12))"),
        (DpAction::Truncate(100), "trunc(100)"),
        (DpAction::Recirc(0x1f), "recirc(0x1f)"),
        (DpAction::Hash(HashAction { kind: HashKind::L4, basis: 0 }), "hash(l4(0))",),
        (DpAction::Meter(3), "meter(3)"),
        (DpAction::Police(4), "police(4)"),
        (DpAction::Drop(DropReason::NoRule), "drop"),
        (DpAction::SlowPath(SlowPath::Action), "userspace(pid=0,slow_path(action))"),
        (
            DpAction::Upcall(UpcallAction {
                reason: PacketInReason::Action,
                cookie: 1,
                rule_cookie: 0,
                controller_id: 0,
                max_len: 65535,
            }),
            "userspace(pid=0,controller(reason=1,dont_send=0,continuation=0,recirc_id=1,\
             rule_cookie=0,controller_id=0,max_len=65535))",
        ),
    ];
    for (action, text) in cases {
        assert_eq!(std::format!("{action}"), text);
    }
}

#[test]
fn lists_and_clones_and_names() {
    struct Names;
    impl PortNames for Names {
        fn port_name(&self, port: PortNo) -> Option<&str> {
            (port == PortNo(2)).then_some("p2")
        }
    }
    let inner: Arc<[DpAction]> = Arc::from([DpAction::PopVlan, DpAction::Output(PortNo(2))]);
    let actions = [DpAction::Clone(inner), DpAction::Output(PortNo(3))];
    assert_eq!(std::format!("{}", Actions::new(&actions)), "clone(pop_vlan,2),3");
    assert_eq!(std::format!("{}", Actions::with_names(&actions, &Names)), "clone(pop_vlan,p2),3");
    let check = DpAction::CheckPktLen(CheckPktLen {
        len: 200,
        greater: Arc::from([DpAction::Output(PortNo(2))]),
        less_equal: Arc::from([]),
    });
    let with_names = std::format!("{}", Actions::with_names(core::slice::from_ref(&check), &Names));
    assert_eq!(std::format!("{check}"), "check_pkt_len(size=200,gt(2),le(drop))");
    assert_eq!(with_names, "check_pkt_len(size=200,gt(p2),le(drop))");
    assert_eq!(std::format!("{}", Actions::new(&[])), "drop");
    assert_eq!(std::format!("{}", CoreId(3)), "3");
}
