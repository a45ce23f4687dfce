//! Frames taken apart and put together: nothing is lost, and edits are those of a builder.

use flow::proto::eth_type as ethertype;
use flow::{Field, FlowMeta};
use openflow::{Action, Instructions, OfPort};
use oracle::random::{Rng, World};
use oracle::{Frame, Oracle, Rule};
use packet::build::{self, Ip, Ipv4, Ipv6};
use packet::wire::{arp, icmp, mpls, sctp, tcp};

const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
const B: [u8; 6] = [2, 0, 0, 0, 0, 2];
const IN: OfPort = OfPort(1);
const OUT: OfPort = OfPort(2);

/// The frame that leaves a switch whose only rule runs these actions.
#[track_caller]
fn after(actions: &[Action], frame: &[u8]) -> Vec<u8> {
    let mut actions = actions.to_vec();
    actions.push(Action::output(OUT));
    let mut switch = Oracle::new([IN, OUT]);
    let rule = Rule {
        table_id: 0,
        priority: 1,
        match_: flow::Match::CATCHALL,
        instructions: Instructions::apply(actions),
        cookie: 0,
    };
    switch.add(rule).expect("the actions are known");
    let verdict = switch.receive(IN, frame);
    assert_eq!(verdict.outputs.len(), 1);
    verdict.outputs[0].frame.clone()
}

fn set(field: Field, value: u128) -> Action {
    Action::set_field(field, value)
}

#[test]
fn any_frame_survives_being_taken_apart() {
    let world = World::new(4);
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        for frame in [world.frame(&mut rng), world.damaged_frame(&mut rng)] {
            let parsed = Frame::parse(&frame).expect("there is an Ethernet header");
            assert_eq!(parsed.to_bytes(), frame, "seed {seed}");
        }
    }
    assert_eq!(Frame::parse(&[0; 13]), None);
}

#[test]
fn set_field_gives_the_frame_that_a_builder_would_have_built() {
    let v4 = Ipv4 { src: 0x0a00_0001, dst: 0x0a00_0002, tos: 0x29, ttl: 64, fragment: 0 };
    let v6 = Ipv6 { src: 1, dst: 2, class: 0x29, label: 5, hop_limit: 64 };
    let new_v4 = Ipv4 { src: 0xc0a8_0101, dst: 0xffff_0000, tos: 0xb9, ttl: 7, fragment: 0 };
    let new_v6 =
        Ipv6 { src: u128::MAX - 1, dst: 7 << 100, class: 0xb9, label: 0xf_ffff, hop_limit: 7 };
    let ip_fields = [set(Field::IpDscpShifted, 0xb8 >> 2), set(Field::IpTtl, 7)];
    let v4_fields = [set(Field::Ipv4Src, 0xc0a8_0101), set(Field::Ipv4Dst, 0xffff_0000)];
    let v6_fields = [
        set(Field::Ipv6Src, u128::MAX - 1),
        set(Field::Ipv6Dst, 7 << 100),
        set(Field::Ipv6Label, 0xf_ffff),
    ];
    let l4 = |source: Field, destination: Field| [set(source, 0xfffe), set(destination, 1)];
    for payload in [&b""[..], b"x", b"odd payload", &[0xff; 64]] {
        let packets = |ip: &Ip, src: u16, dst: u16, kind: u8| {
            let segment = tcp::Repr { src, dst, seq: 3, ack: 4, flags: 0x18, window: 5 };
            [
                build::tcp(ip, segment, payload),
                build::udp(ip, src, dst, payload),
                build::sctp(ip, sctp::Repr { src, dst, tag: 6 }, payload),
                build::icmp(ip, icmp::Repr { kind, code: u8::from(src == 9), rest: 7 }, payload),
            ]
        };
        let icmp4 = [set(Field::Icmpv4Type, 3), set(Field::Icmpv4Code, 0)];
        let icmp6 = [set(Field::Icmpv6Type, 3), set(Field::Icmpv6Code, 0)];
        let transports = [
            l4(Field::TcpSrc, Field::TcpDst),
            l4(Field::UdpSrc, Field::UdpDst),
            l4(Field::SctpSrc, Field::SctpDst),
        ];
        for n in 0..4 {
            let check = |ethertype, old: &Ip, new: &Ip, ip: &[Action], icmp: &[Action; 2]| {
                let transport = transports.get(n).unwrap_or(icmp);
                let before = build::ethernet(A, B, ethertype, &packets(old, 9, 443, 8)[n]);
                let expected = build::ethernet(A, B, ethertype, &packets(new, 0xfffe, 1, 3)[n]);
                let changed = after(&[&ip_fields, ip, transport].concat(), &before);
                assert_eq!(changed, expected, "transport {n}, payload {payload:x?}");
            };
            check(ethertype::IPV4, &v4.into(), &new_v4.into(), &v4_fields, &icmp4);
            check(ethertype::IPV6, &v6.into(), &new_v6.into(), &v6_fields, &icmp6);
        }
    }
}

#[test]
fn arp_and_addresses_are_set() {
    let old = arp::Repr { op: 1, sha: A, spa: 1, tha: [0; 6], tpa: 2 };
    let new = arp::Repr { op: 2, sha: B, spa: 3, tha: A, tpa: 4 };
    let number = |mac: [u8; 6]| u128::from(flow::EtherAddr(mac).to_u64());
    let actions = [
        set(Field::EthDst, number(A)),
        set(Field::EthSrc, number(B)),
        set(Field::ArpOp, 2),
        set(Field::ArpSha, number(B)),
        set(Field::ArpSpa, 3),
        set(Field::ArpTha, number(A)),
        set(Field::ArpTpa, 4),
    ];
    let frame = |dst, src, packet| build::ethernet(dst, src, ethertype::ARP, &build::arp(packet));
    assert_eq!(after(&actions, &frame([0xff; 6], A, old)), frame(A, B, new));
}

#[test]
fn a_udp_datagram_without_checksum_stays_without() {
    let ip = Ipv4::default();
    let mut frame = build::ethernet(A, B, ethertype::IPV4, &build::udp(&ip.into(), 1, 2, b"abc"));
    frame[14 + 20 + 6..14 + 20 + 8].fill(0);
    let changed = after(&[set(Field::UdpDst, 99), set(Field::Ipv4Dst, 5)], &frame);
    assert_eq!(changed[14 + 20 + 6..14 + 20 + 8], [0, 0]);
    assert_eq!(changed[14 + 20 + 2..14 + 20 + 4], [0, 99]);
}

#[test]
fn wrong_checksums_stay_as_wrong_as_they_were() {
    let ip = Ipv4::default();
    let mut frame = build::ethernet(A, B, ethertype::IPV4, &build::udp(&ip.into(), 1, 2, b"abc"));
    frame[14 + 20 + 7] ^= 0x10;
    // Setting a field there and back gives the same bytes.
    let there = after(&[set(Field::Ipv4Dst, 5)], &frame);
    assert_ne!(there, frame);
    assert_eq!(after(&[set(Field::Ipv4Dst, ip.dst.into())], &there), frame);
}

#[test]
fn fragments_keep_the_checksum_of_the_whole() {
    let whole = build::ip(&Ipv4::default().into(), 17, &[7; 64]);
    for (fragment, has_ports) in [(0x2000u16, true), (0x0008, false)] {
        let mut packet = whole.clone();
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        let frame = build::ethernet(A, B, ethertype::IPV4, &packet);
        let changed = after(&[set(Field::Ipv4Src, 9), set(Field::UdpDst, 99)], &frame);
        assert_eq!(changed[14 + 12..14 + 16], [0, 0, 0, 9]);
        // Only the first fragment has ports and a checksum.
        let transport = 14 + 20..14 + 28;
        assert_eq!(changed[transport.clone()] != frame[transport], has_ports);
    }
}

/// Filled up to the least that Ethernet sends.
fn padded(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.resize(frame.len().max(60), 0);
    frame
}

#[test]
fn vlan_tags_are_pushed_and_popped() {
    let bare = build::ethernet(A, B, 0x9000, b"payload");
    let tag = |tci, frame: &[u8]| build::vlan(ethertype::VLAN, tci, frame);
    let vid = |vid: u128| set(Field::VlanVid, 0x1000 | vid);
    let check = |actions: &[Action], frame: &[u8], expected: &[u8]| {
        assert_eq!(after(actions, frame), expected, "{actions:?}");
    };
    check(&[Action::PushVlan(ethertype::VLAN)], &bare, &tag(0, &bare));
    check(&[Action::PushVlan(ethertype::VLAN), vid(5)], &bare, &tag(5, &bare));
    let push = [Action::PushVlan(ethertype::VLAN)];
    check(&push, &tag(0x6007, &bare), &tag(0x6007, &tag(0x6007, &bare)));
    // What gets shorter than 60 bytes is filled up.
    check(&[Action::PopVlan], &tag(7, &tag(8, &bare)), &padded(&tag(8, &bare)));
    check(&[Action::PopVlan], &bare, &bare);
    // Setting a field of a tag that is not there does nothing; OpenFlow 1.0's action adds it.
    check(&[vid(5)], &bare, &bare);
    check(&[Action::SetVlanVid(5), Action::SetVlanPcp(2)], &bare, &tag(0x4005, &bare));
    check(&[set(Field::VlanPcp, 7)], &tag(9, &bare), &tag(0xe009, &bare));
    check(&[Action::SetVlanVid(5)], &tag(0x6009, &bare), &tag(0x6005, &bare));
}

#[test]
fn labels_are_pushed_and_popped() {
    let ip: Ip = Ipv4 { tos: 0xb8, ttl: 33, ..Ipv4::default() }.into();
    let packet = build::udp(&ip, 1, 2, b"x");
    let labelled = |entries: &[(u32, u8, bool, u8)], packet: &[u8]| {
        entries.iter().rev().fold(packet.to_vec(), |inner, &(label, tc, bos, ttl)| {
            build::mpls(mpls::Repr { label, tc, bos, ttl }, &inner)
        })
    };
    let mpls = |entries: &[(u32, u8, bool, u8)]| {
        build::ethernet(A, B, ethertype::MPLS, &labelled(entries, &packet))
    };
    let bare = build::ethernet(A, B, ethertype::IPV4, &packet);
    let check = |actions: &[Action], frame: &[u8], expected: &[u8]| {
        assert_eq!(after(actions, frame), expected, "{actions:?}");
    };
    let push = Action::PushMpls(ethertype::MPLS);
    // The class is the low half of the DSCP (46), the TTL that of the packet.
    check(core::slice::from_ref(&push), &bare, &mpls(&[(0, 6, true, 33)]));
    let set_label = set(Field::MplsLabel, 77);
    check(&[push.clone(), set_label.clone()], &bare, &mpls(&[(77, 6, true, 33)]));
    check(
        &[push, set_label],
        &mpls(&[(5, 1, true, 9)]),
        &mpls(&[(77, 1, false, 9), (5, 1, true, 9)]),
    );
    check(&[Action::PopMpls(ethertype::IPV4)], &mpls(&[(5, 1, true, 9)]), &padded(&bare));
    let two = mpls(&[(6, 1, false, 9), (5, 2, true, 8)]);
    let one = padded(&mpls(&[(5, 2, true, 8)]));
    check(&[Action::PopMpls(ethertype::MPLS)], &two, &one);
    // After the last label is gone the packet is IP again, with fields to set.
    let pop_and_set = [Action::PopMpls(ethertype::IPV4), Action::DecTtl(vec![0])];
    let ip = Ipv4 { tos: 0xb8, ttl: 32, ..Ipv4::default() }.into();
    let older = build::ethernet(A, B, ethertype::IPV4, &build::udp(&ip, 1, 2, b"x"));
    check(&pop_and_set, &mpls(&[(5, 1, true, 9)]), &padded(&older));
    // TTLs, outer and inner.
    check(&[Action::SetMplsTtl(3)], &two, &mpls(&[(6, 1, false, 3), (5, 2, true, 8)]));
    check(&[Action::DecMplsTtl], &two, &mpls(&[(6, 1, false, 8), (5, 2, true, 8)]));
    check(&[Action::CopyTtlIn], &two, &mpls(&[(6, 1, false, 9), (5, 2, true, 9)]));
    check(&[Action::CopyTtlOut], &two, &mpls(&[(6, 1, false, 8), (5, 2, true, 8)]));
    check(&[Action::CopyTtlOut], &mpls(&[(5, 2, true, 8)]), &mpls(&[(5, 2, true, 33)]));
    let copied_in = after(&[Action::CopyTtlIn], &mpls(&[(5, 2, true, 8)]));
    let ip = Ipv4 { tos: 0xb8, ttl: 8, ..Ipv4::default() }.into();
    let inner = build::mpls(
        mpls::Repr { label: 5, tc: 2, bos: true, ttl: 8 },
        &build::udp(&ip, 1, 2, b"x"),
    );
    assert_eq!(copied_in, build::ethernet(A, B, ethertype::MPLS, &inner));
}

#[test]
fn what_a_frame_does_not_have_is_not_set() {
    let frame = build::ethernet(A, B, 0x9000, b"payload");
    let actions = [
        set(Field::Ipv4Src, 1),
        set(Field::TcpDst, 2),
        set(Field::MplsLabel, 3),
        set(Field::ArpOp, 2),
        Action::DecTtl(vec![0]),
        Action::DecMplsTtl,
        Action::PopMpls(ethertype::IPV4),
        Action::SetTpSrc(4),
    ];
    assert_eq!(after(&actions, &frame), frame);
}

#[test]
fn the_key_says_what_was_set() {
    let ip = Ipv4::default();
    let frame = build::ethernet(A, B, ethertype::IPV4, &build::udp(&ip.into(), 1, 2, b""));
    let changed = after(&[Action::SetTpSrc(4), Action::SetNwTtl(9)], &frame);
    let key = flow::extract(&changed, &FlowMeta::of_port(1)).flow;
    assert_eq!((key.tp_src(), key.nw_ttl()), (4, 9));
}
