//! Each datapath action on whole frames: what comes out is compared with a frame built from
//! scratch, checksums included.

use std::sync::Arc;

use crate::common::{DST, SRC, catch_all, out, put, udp_frame, with_ports};
use datapath::{
    CheckPktLen, DpAction, Dpif, DropReason, LocalConfig, LocalDpif, Masked, PacketInReason,
    PortNo, PushMpls, PushVlan, SetArp, SetEth, SetIcmp, SetIpv4, SetIpv6, SetNd, SetPorts,
    SlowPath, TtlCopy, UpcallAction, UpcallReason,
};
use flow::Flow;
use packet::{
    PoolConfig,
    build::{Ipv4, Ipv6, arp, ethernet, icmp, mpls, sctp, tcp, udp, vlan},
    wire,
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// Receives `frame` on port 1 of four with a catch-all megaflow, and checks what leaves and what is
/// dropped; then that a packet-out of the same frame with the same actions does the same.
fn check(frame: &[u8], actions: &[DpAction], expected: &[(u32, &[u8])], drops: &[DropReason]) {
    let mut dpif = with_ports(4);
    put(&mut dpif, catch_all(1, 0, actions));
    dpif.receive(PortNo(1), frame);
    let forwarded = dpif.take_transmitted();
    let expected: Vec<_> =
        expected.iter().map(|(port, frame)| (PortNo(*port), frame.to_vec())).collect();
    assert_eq!(forwarded, expected, "forwarded by {actions:?}");
    let dropped: Vec<_> =
        dpif.port_stats(PortNo(1)).drops.iter().map(|(reason, _)| reason).collect();
    assert_eq!(dropped, drops, "{actions:?}");

    let packet = dpif.packet_from(frame).expect("the pool has buffers");
    let mut flow = Flow::ZERO;
    flow.set_in_port(1);
    dpif.execute(packet, &flow, &Arc::from(actions));
    assert_eq!(dpif.take_transmitted(), expected, "executed {actions:?}");
    assert!(dpif.accounting().holds(), "{:?} after {actions:?}", dpif.accounting());
}

fn eth(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(DST, SRC, ethertype, payload)
}

fn tcp4(ip: Ipv4, src: u16, dst: u16) -> Vec<u8> {
    let segment = wire::tcp::Repr { src, dst, seq: 1, ack: 2, flags: 0x10, window: 100 };
    eth(0x0800, &tcp(&ip.into(), segment, b"data"))
}

fn udp6(ip: Ipv6, src: u16, dst: u16) -> Vec<u8> {
    eth(0x86dd, &udp(&ip.into(), src, dst, b"data"))
}

#[test]
fn what_would_leave_by_a_port_without_link_is_counted_there_and_not_copied() {
    let frame = udp_frame(7);
    // Which ports have no link, what leaves, of a frame that is to leave by 2, 3 and 4.
    let cases: [(&[u32], &[u32]); 5] =
        [(&[], &[2, 3, 4]), (&[2], &[3, 4]), (&[3, 4], &[2]), (&[2, 3], &[4]), (&[2, 3, 4], &[])];
    for (dark, lit) in cases {
        // Room for the two frames, and two copies of which each leaves before the next is made.
        let pool = PoolConfig { small: 4, jumbo: 0 };
        let mut dpif = LocalDpif::with(LocalConfig { pool, ..LocalConfig::default() });
        (1..=4).for_each(|port| dpif.add_port(PortNo(port)));
        put(&mut dpif, catch_all(1, 0, &[out(2), out(3), out(4)]));
        dark.iter().for_each(|port| dpif.set_link(PortNo(*port), false));
        dpif.receive_batch(PortNo(1), [&frame[..]; 2]);
        let mut ports: Vec<u32> = dpif.take_transmitted().iter().map(|(port, _)| port.0).collect();
        ports.sort_unstable();
        let expected: Vec<u32> = lit.iter().flat_map(|port| [*port; 2]).collect();
        assert_eq!(ports, expected, "{dark:?} without link");
        for port in 2..=4 {
            let stats = dpif.port_stats(PortNo(port));
            let n = if dark.contains(&port) { 2 } else { 0 };
            let drops = stats.drops.get(DropReason::TxPortDown);
            assert_eq!((drops, stats.tx_dropped()), (n, n), "{dark:?} without link, port {port}");
        }
        assert_eq!(dpif.port_stats(PortNo(1)).drops.total(), 0);
        assert!(dpif.accounting().holds(), "{:?}", dpif.accounting());

        dark.iter().for_each(|port| dpif.set_link(PortNo(*port), true));
        dpif.receive(PortNo(1), &frame);
        assert_eq!(dpif.take_transmitted().len(), 3, "links are back");
    }
}

#[test]
fn outputs_move_and_copy() {
    let frame = tcp4(Ipv4::default(), 1, 2);
    check(&frame, &[out(2)], &[(2, &frame)], &[]);
    check(&frame, &[out(2), out(3), out(4)], &[(2, &frame), (3, &frame), (4, &frame)], &[]);
    check(&frame, &[out(1)], &[(1, &frame)], &[]);
    check(&frame, &[out(9)], &[], &[DropReason::NoSuchPort]);
    check(&frame, &[out(9), out(2)], &[(2, &frame)], &[DropReason::NoSuchPort]);
    check(&frame, &[], &[], &[DropReason::EmptyActions]);
    check(&frame, &[DpAction::PopVlan], &[], &[DropReason::EmptyActions]);
    check(&frame, &[DpAction::Drop(DropReason::NoRule)], &[], &[DropReason::NoRule]);
    let then_drop = [out(2), DpAction::Drop(DropReason::ActionDrop)];
    check(&frame, &then_drop, &[(2, &frame)], &[DropReason::ActionDrop]);
}

#[test]
fn truncates_the_next_output_only() {
    let frame = tcp4(Ipv4::default(), 1, 2);
    let actions = [DpAction::Truncate(20), out(2), out(3)];
    check(&frame, &actions, &[(2, &frame[..20]), (3, &frame)], &[]);
    check(&frame, &[DpAction::Truncate(20), out(2)], &[(2, &frame[..20])], &[]);
    check(&frame, &[DpAction::Truncate(2000), out(2)], &[(2, &frame)], &[]);
}

#[test]
fn clones_see_and_change_their_own_copy() {
    let frame = tcp4(Ipv4::default(), 1, 2);
    let tagged = vlan(0x8100, 5, &frame);
    let push = DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1005 });
    let clone = DpAction::Clone(Arc::from([push.clone(), out(2)]));
    check(&frame, &[clone.clone(), out(3)], &[(2, &tagged), (3, &frame)], &[]);
    check(&frame, &[out(3), clone], &[(3, &frame), (2, &tagged)], &[]);
    let empty = DpAction::Clone(Arc::from([push]));
    check(&frame, &[empty, out(3)], &[(3, &frame)], &[DropReason::EmptyActions]);
}

#[test]
fn sets_ethernet_addresses() {
    let set = SetEth { src: Masked::exact(MAC), dst: Masked::default() };
    let frame = tcp4(Ipv4::default(), 1, 2);
    let changed = ethernet(DST, MAC, 0x0800, &frame[14..]);
    check(&frame, &[DpAction::SetEth(set), out(2)], &[(2, &changed)], &[]);
    let set = SetEth {
        src: Masked::default(),
        dst: Masked { value: [1, 0, 0, 0, 0, 0], mask: [1, 0, 0, 0, 0, 0] },
    };
    let changed = ethernet([3, 0, 0, 0, 0, 2], SRC, 0x0800, &frame[14..]);
    check(&frame, &[DpAction::SetEth(set), out(2)], &[(2, &changed)], &[]);
    check(&frame[..9], &[DpAction::SetEth(set), out(2)], &[(2, &[3, 0, 0, 0, 0, 2, 2, 0, 0])], &[]);
    check(&frame[..5], &[DpAction::SetEth(set), out(2)], &[], &[DropReason::TooShort]);
}

#[test]
fn sets_ipv4_and_ports_with_checksums() {
    let ip = Ipv4::default();
    let new = Ipv4 { src: 0xc0a8_0001, dst: 0xc0a8_0002, tos: 0x20, ttl: 63, ..ip };
    let set = DpAction::SetIpv4(SetIpv4 {
        src: Masked::exact(new.src),
        dst: Masked::exact(new.dst),
        tos: Masked { value: 0x20, mask: 0xfc },
        ttl: Masked::exact(63),
    });
    let ports = SetPorts { src: Masked::exact(80), dst: Masked { value: 0x0100, mask: 0xff00 } };
    let actions = [set.clone(), DpAction::SetTcp(ports), out(2)];
    check(&tcp4(ip, 1, 2), &actions, &[(2, &tcp4(new, 80, 0x0102))], &[]);

    let frame = |ip: Ipv4, src, dst| eth(0x0800, &udp(&ip.into(), src, dst, b"data"));
    let actions = [set.clone(), DpAction::SetUdp(ports), out(2)];
    check(&frame(ip, 1, 2), &actions, &[(2, &frame(new, 80, 0x0102))], &[]);

    let frame = |ip: Ipv4, src, dst| {
        eth(0x0800, &sctp(&ip.into(), wire::sctp::Repr { src, dst, tag: 7 }, b"chunk"))
    };
    let actions = [set.clone(), DpAction::SetSctp(ports), out(2)];
    check(&frame(ip, 1, 2), &actions, &[(2, &frame(new, 80, 0x0102))], &[]);

    // The header is not there: nothing half-written leaves.
    let short = eth(0x0800, &[0x45, 0, 0, 20]);
    check(&short, &[set.clone(), out(2)], &[], &[DropReason::TooShort]);
    check(&tcp4(ip, 1, 2)[..40], &[DpAction::SetTcp(ports), out(2)], &[], &[DropReason::TooShort]);
}

#[test]
fn sets_icmp() {
    let frame = |kind, code| {
        let head = wire::icmp::Repr { kind, code, rest: 7 };
        eth(0x0800, &icmp(&Ipv4::default().into(), head, b"ping"))
    };
    let set = SetIcmp { kind: Masked::exact(0), code: Masked::exact(3) };
    check(&frame(8, 0), &[DpAction::SetIcmp(set), out(2)], &[(2, &frame(0, 3))], &[]);
}

#[test]
fn sets_ipv6_and_neighbour_discovery() {
    let ip = Ipv6::default();
    let new = Ipv6 { src: 5, dst: 6, class: 0x28, label: 0x12345, hop_limit: 9 };
    let set = DpAction::SetIpv6(SetIpv6 {
        src: Masked::exact(new.src),
        dst: Masked::exact(new.dst),
        label: Masked::exact(new.label),
        tclass: Masked::exact(new.class),
        hlimit: Masked::exact(new.hop_limit),
    });
    check(&udp6(ip, 1, 2), &[set, out(2)], &[(2, &udp6(new, 1, 2))], &[]);

    // A neighbour solicitation (RFC 4861 §4.3): target, then a source link-layer address.
    let solicit = |target: u128, sll: [u8; 6]| {
        let mut body = target.to_be_bytes().to_vec();
        body.extend([1, 1]);
        body.extend(sll);
        let head = wire::icmp::Repr { kind: 135, code: 0, rest: 0 };
        eth(0x86dd, &icmp(&Ipv6 { hop_limit: 255, ..ip }.into(), head, &body))
    };
    let set = SetNd { target: Masked::exact(77), sll: Masked::exact(MAC), tll: Masked::default() };
    let nd = DpAction::SetNd(set);
    check(&solicit(5, SRC), &[nd, out(2)], &[(2, &solicit(77, MAC))], &[]);
    let kind = SetIcmp { kind: Masked::default(), code: Masked::exact(1) };
    let mut expected = solicit(5, SRC);
    let at = 14 + 40;
    expected[at + 1] = 1;
    // One more in the sum is one less in the checksum.
    let checksum = u16::from_be_bytes([expected[at + 2], expected[at + 3]]) - 1;
    expected[at + 2..at + 4].copy_from_slice(&checksum.to_be_bytes());
    check(&solicit(5, SRC), &[DpAction::SetIcmpv6(kind), out(2)], &[(2, &expected)], &[]);
}

#[test]
fn sets_arp() {
    let repr = wire::arp::Repr { op: 1, sha: SRC, spa: 1, tha: [0; 6], tpa: 2 };
    let new = wire::arp::Repr { op: 2, sha: MAC, spa: 3, tha: DST, tpa: 4 };
    let set = SetArp {
        op: Masked::exact(new.op),
        spa: Masked::exact(new.spa),
        tpa: Masked::exact(new.tpa),
        sha: Masked::exact(new.sha),
        tha: Masked::exact(new.tha),
    };
    let frame = |repr| eth(0x0806, &arp(repr));
    check(&frame(repr), &[DpAction::SetArp(set), out(2)], &[(2, &frame(new))], &[]);
}

#[test]
fn pushes_and_pops_tags_and_labels() {
    let frame = tcp4(Ipv4::default(), 1, 2);
    let push = |tpid, tci| DpAction::PushVlan(PushVlan { tpid, tci });
    // The "present" bit of the action does not reach the wire.
    let inner = vlan(0x8100, 0x6005, &frame);
    let outer = vlan(0x88a8, 7, &inner);
    let actions = [push(0x8100, 0x7005), out(2), push(0x88a8, 0x1007), out(3)];
    check(&frame, &actions, &[(2, &inner), (3, &outer)], &[]);
    let pops = [DpAction::PopVlan, out(2), DpAction::PopVlan, out(3)];
    // What gets shorter than 60 bytes is filled up.
    let mut padded = frame.clone();
    padded.resize(60, 0);
    check(&outer, &pops, &[(2, &inner), (3, &padded)], &[]);
    check(&frame, &[DpAction::PopVlan, out(2)], &[], &[DropReason::TooShort]);

    let tag = |vid: u16| DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1000 | vid });
    let entry = wire::mpls::Repr { label: 100, tc: 0, bos: true, ttl: 64 };
    let labelled = eth(0x8847, &mpls(entry, &frame[14..]));
    let push = DpAction::PushMpls(PushMpls { ethertype: 0x8847, lse: 100 << 12 | 0x100 | 64 });
    check(&frame, &[push, out(2)], &[(2, &labelled)], &[]);
    check(&labelled, &[DpAction::PopMpls(0x0800), out(2)], &[(2, &padded)], &[]);
    // A tag that is only rewritten leaves the length as it is.
    let short = vlan(0x8100, 5, &ethernet(DST, SRC, 0x1234, &[1; 20]));
    let rewritten = vlan(0x8100, 6, &ethernet(DST, SRC, 0x1234, &[1; 20]));
    let rewrite = [DpAction::PopVlan, tag(6), out(2)];
    check(&short, &rewrite, &[(2, &rewritten)], &[]);
    let less = eth(0x8847, &mpls(wire::mpls::Repr { ttl: 63, ..entry }, &frame[14..]));
    let set = DpAction::SetMpls(Masked { value: 63, mask: 0xff });
    check(&labelled, &[set, out(2)], &[(2, &less)], &[]);
    check(&frame, &[DpAction::PopMpls(0x0800), out(2)], &[], &[DropReason::TooShort]);
}

/// A backbone header with this control information in front of a frame.
fn pbb(dst: [u8; 6], src: [u8; 6], tci: u32, frame: &[u8]) -> Vec<u8> {
    ethernet(dst, src, 0x88e7, &[&tci.to_be_bytes()[..], frame].concat())
}

#[test]
fn pushes_sets_and_pops_backbone_headers() {
    let frame = vlan(0x8100, 5, &tcp4(Ipv4::default(), 1, 2));
    let wrapped = pbb(DST, SRC, 0xa012_3456, &frame);
    check(&frame, &[DpAction::PushPbb(0xa012_3456), out(2)], &[(2, &wrapped)], &[]);
    check(&wrapped, &[DpAction::PopPbb, out(2)], &[(2, &frame)], &[]);
    // A backbone VLAN tag stays in front.
    let tagged = vlan(0x88a8, 100, &wrapped);
    check(&tagged, &[DpAction::PopPbb, out(2)], &[(2, &vlan(0x88a8, 100, &frame))], &[]);
    let set = DpAction::SetPbb(Masked { value: 0x0800_0001, mask: 0x0800_00ff });
    let changed = pbb(DST, SRC, 0xa812_3401, &frame);
    check(&wrapped, &[set.clone(), out(2)], &[(2, &changed)], &[]);
    for action in [set, DpAction::PopPbb] {
        check(&frame, &[action.clone(), out(2)], &[], &[DropReason::TooShort]);
        check(&wrapped[..31], &[action, out(2)], &[], &[DropReason::TooShort]);
    }
}

#[test]
fn copies_ttls_between_headers() {
    let copy = |way| [DpAction::CopyTtl(way), out(2)];
    let ip = |ttl| tcp4(Ipv4 { ttl, ..Ipv4::default() }, 1, 2);
    let entry = |ttl, bos| wire::mpls::Repr { label: 100, tc: 0, bos, ttl };
    let labelled = |outer, inner| eth(0x8847, &mpls(entry(outer, true), &ip(inner)[14..]));
    check(&labelled(9, 64), &copy(TtlCopy::In), &[(2, &labelled(9, 9))], &[]);
    check(&labelled(9, 64), &copy(TtlCopy::Out), &[(2, &labelled(64, 64))], &[]);
    let two = |outer, inner| eth(0x8847, &mpls(entry(outer, false), &labelled(inner, 3)[14..]));
    check(&two(9, 64), &copy(TtlCopy::In), &[(2, &two(9, 9))], &[]);
    check(&two(9, 64), &copy(TtlCopy::Out), &[(2, &two(64, 64))], &[]);
    // What carries nothing with a TTL stays as it is.
    let alone = eth(0x8847, &mpls(entry(9, true), &[0; 40]));
    for frame in [ip(7), alone] {
        check(&frame, &copy(TtlCopy::In), &[(2, &frame)], &[]);
        check(&frame, &copy(TtlCopy::Out), &[(2, &frame)], &[]);
    }
}

#[test]
fn gives_headers_other_meanings() {
    let frame = tcp4(Ipv4::default(), 1, 2);
    let other = [&frame[..12], &[0x88, 0xb5], &frame[14..]].concat();
    check(&frame, &[DpAction::SetEthType(0x88b5), out(2)], &[(2, &other)], &[]);
    let tagged = vlan(0x8100, 5, &frame);
    let set = [DpAction::SetEthType(0x88b5), out(2)];
    check(&tagged, &set, &[(2, &vlan(0x8100, 5, &other))], &[]);

    // TCP is 6; the header's checksum goes down by as much as the protocol goes up.
    let mut proto = frame.clone();
    proto[23] = 8;
    let sum = u16::from_be_bytes([proto[24], proto[25]]) - 2;
    proto[24..26].copy_from_slice(&sum.to_be_bytes());
    check(&frame, &[DpAction::SetIpProto(8), out(2)], &[(2, &proto)], &[]);

    let flags = |flags| {
        let segment = wire::tcp::Repr { src: 1, dst: 2, seq: 1, ack: 2, flags, window: 100 };
        eth(0x0800, &tcp(&Ipv4::default().into(), segment, b"data"))
    };
    let set = DpAction::SetTcpFlags(Masked { value: 0x002, mask: 0x012 });
    check(&flags(0x018), &[set, out(2)], &[(2, &flags(0x00a))], &[]);
}

#[test]
fn edits_after_a_push_find_their_header() {
    let ip = Ipv4::default();
    let set = DpAction::SetIpv4(SetIpv4 { ttl: Masked::exact(9), ..SetIpv4::default() });
    let push = DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1005 });
    let expected = vlan(0x8100, 5, &tcp4(Ipv4 { ttl: 9, ..ip }, 1, 2));
    check(&tcp4(ip, 1, 2), &[push, set, out(2)], &[(2, &expected)], &[]);
}

#[test]
fn runs_out_of_headroom_by_name() {
    let frame = tcp4(Ipv4::default(), 1, 2);
    let push = DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1005 });
    let mut actions = vec![push; 33];
    actions.push(out(2));
    check(&frame, &actions, &[], &[DropReason::NoHeadroom]);
}

#[test]
fn upcall_actions_give_a_copy_or_the_packet() {
    let action = UpcallAction {
        reason: PacketInReason::Action,
        cookie: 42,
        rule_cookie: 0,
        controller_id: 0,
        max_len: 128,
    };
    let frame = tcp4(Ipv4::default(), 1, 2);
    let push = DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1005 });
    let mut dpif = with_ports(2);
    put(&mut dpif, catch_all(1, 0, &[push, DpAction::Upcall(action), out(2)]));
    dpif.receive(PortNo(1), &frame);
    let upcall = dpif.next_upcall().expect("one upcall");
    assert_eq!(upcall.reason, UpcallReason::Action(action));
    assert_eq!(upcall.flow.vlan_vid(), 5, "the flow is that of the packet at this point");
    assert_eq!(upcall.packet.data(), vlan(0x8100, 5, &frame));
    assert_eq!(dpif.take_transmitted().len(), 1);
    assert!(dpif.accounting().holds());
    assert_eq!((dpif.accounting().copies, dpif.accounting().consumed), (1, 1));
}

#[test]
fn slow_path_lends_the_packet() {
    let frame = tcp4(Ipv4::default(), 1, 2);
    let mut dpif = with_ports(2);
    put(&mut dpif, catch_all(1, 0, &[DpAction::SlowPath(SlowPath::Action)]));
    dpif.receive(PortNo(1), &frame);
    assert_eq!(dpif.accounting().in_flight(), 1);
    let upcall = dpif.next_upcall().expect("one upcall");
    assert_eq!(upcall.reason, UpcallReason::SlowPath(SlowPath::Action));
    dpif.discard(upcall.packet, &upcall.flow, DropReason::TtlExceeded);
    assert!(dpif.accounting().holds());
    assert_eq!(dpif.port_stats(PortNo(1)).drops.get(DropReason::TtlExceeded), 1);
}

#[test]
fn the_length_of_a_packet_chooses_its_program() {
    let mut dpif = with_ports(5);
    let short = udp_frame(1);
    let mut long = udp_frame(1);
    long.extend([0; 100]);
    let len = u16::try_from(short.len()).expect("short");
    let check = |len| {
        DpAction::CheckPktLen(CheckPktLen {
            len,
            greater: Arc::from([DpAction::PopVlan, out(2)]),
            less_equal: Arc::from([out(3)]),
        })
    };
    let ports = |dpif: &mut LocalDpif, frames: [&[u8]; 2]| {
        dpif.receive_batch(PortNo(1), frames);
        dpif.take_transmitted().into_iter().map(|(port, _)| port.0).collect::<Vec<_>>()
    };
    // At the end of a program the packets go on, before it copies do.
    put(&mut dpif, catch_all(1, 0, &[check(len)]));
    assert_eq!(ports(&mut dpif, [&short, &short]), [3, 3]);
    put(&mut dpif, catch_all(1, 0, &[check(len - 1), out(4)]));
    assert_eq!(ports(&mut dpif, [&short, &short]), [4, 4], "no tag to pop");
    let tagged = DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x1005 });
    put(&mut dpif, catch_all(1, 0, &[tagged.clone(), check(len + 4), out(4)]));
    assert_eq!(ports(&mut dpif, [&long, &short]), [2, 3, 4, 4]);
    // What will be cut counts as it will be sent.
    put(&mut dpif, catch_all(1, 0, &[tagged, DpAction::Truncate(40), check(40)]));
    assert_eq!(ports(&mut dpif, [&long, &long]), [3, 3]);
    assert!(dpif.accounting().holds());
}
