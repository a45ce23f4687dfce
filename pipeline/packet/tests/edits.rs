//! An edited frame equals the frame built from scratch with the edit in it, checksums included.

#![expect(
    clippy::cast_possible_truncation,
    reason = "test values are cut to the width of a field on purpose"
)]

use packet::build::{self, Ip, Ipv4, Ipv6};
use packet::edit::{self, Masked, SetEth, SetIpv4, SetPorts};
use packet::wire::ethernet::ethertype;
use packet::wire::{arp, icmp, mpls, proto, sctp, tcp};
use packet::{Offsets, Packet, Pool, PoolCache, PoolConfig};
use proptest::prelude::*;

/// Everything that a test frame is made from.
#[derive(Clone, Debug)]
struct Recipe {
    dst: [u8; 6],
    src: [u8; 6],
    tags: Vec<u16>,
    labels: Vec<u32>,
    ip: Ip,
    l4: L4,
    payload: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum L4 {
    Tcp(u16, u16),
    Udp(u16, u16),
    Sctp(u16, u16),
    Icmp(u8, u8),
}

impl Recipe {
    fn network(&self) -> Vec<u8> {
        match self.l4 {
            L4::Tcp(src, dst) => {
                let segment = tcp::Repr { src, dst, seq: 1, ack: 2, flags: 0x18, window: 3 };
                build::tcp(&self.ip, segment, &self.payload)
            }
            L4::Udp(src, dst) => build::udp(&self.ip, src, dst, &self.payload),
            L4::Sctp(src, dst) => {
                build::sctp(&self.ip, sctp::Repr { src, dst, tag: 77 }, &self.payload)
            }
            L4::Icmp(kind, code) => {
                build::icmp(&self.ip, icmp::Repr { kind, code, rest: 9 }, &self.payload)
            }
        }
    }

    fn frame(&self) -> (Vec<u8>, Offsets) {
        let ethertype = match self.ip {
            Ip::V4(_) => ethertype::IPV4,
            Ip::V6(_) => ethertype::IPV6,
        };
        let l3_len: u16 = if matches!(self.ip, Ip::V4(_)) { 20 } else { 40 };
        let mut payload = self.network();
        for (at, lse) in self.labels.iter().enumerate().rev() {
            let bos = if at + 1 == self.labels.len() { mpls::BOS } else { 0 };
            let entry = mpls::Repr::from_lse(lse & !mpls::BOS | bos);
            payload = build::mpls(entry, &payload);
        }
        let l2 = if self.labels.is_empty() { ethertype } else { ethertype::MPLS };
        let mut frame = build::ethernet(self.dst, self.src, l2, &payload);
        for tci in self.tags.iter().rev() {
            frame = build::vlan(ethertype::VLAN, *tci, &frame);
        }
        let end_of_l2 = 14 + 4 * self.tags.len() as u16;
        let l3 = end_of_l2 + 4 * self.labels.len() as u16;
        let l2_5 = (!self.labels.is_empty()).then_some(end_of_l2);
        (frame, Offsets::new(l2_5, Some(l3), Some(l3 + l3_len)))
    }

    fn packet(&self) -> (Packet, Offsets) {
        let pool = Pool::on_heap(PoolConfig { small: 2, jumbo: 0 });
        let (frame, at) = self.frame();
        (PoolCache::new(pool).from_bytes(&frame).unwrap(), at)
    }
}

fn ip() -> impl Strategy<Value = Ip> {
    // Checksums meet their corner cases with many zeros and ones.
    let v4 = prop_oneof![any::<u32>(), Just(0), Just(u32::MAX)];
    let v6 = prop_oneof![any::<u128>(), Just(0), Just(u128::MAX)];
    prop_oneof![
        (v4.clone(), v4, any::<u8>(), any::<u8>())
            .prop_map(|(src, dst, tos, ttl)| { Ip::V4(Ipv4 { src, dst, tos, ttl, fragment: 0 }) }),
        (v6.clone(), v6, any::<u8>(), 0..=0xf_ffff_u32, any::<u8>()).prop_map(
            |(src, dst, class, label, hop_limit)| Ip::V6(Ipv6 {
                src,
                dst,
                class,
                label,
                hop_limit
            })
        ),
    ]
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let port = || prop_oneof![any::<u16>(), Just(0), Just(u16::MAX)];
    let l4 = prop_oneof![
        (port(), port()).prop_map(|(s, d)| L4::Tcp(s, d)),
        (port(), port()).prop_map(|(s, d)| L4::Udp(s, d)),
        (port(), port()).prop_map(|(s, d)| L4::Sctp(s, d)),
        (any::<u8>(), any::<u8>()).prop_map(|(t, c)| L4::Icmp(t, c)),
    ];
    (
        any::<[u8; 6]>(),
        any::<[u8; 6]>(),
        prop::collection::vec(any::<u16>(), 0..3),
        prop::collection::vec(any::<u32>(), 0..3),
        ip(),
        l4,
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(dst, src, tags, labels, ip, l4, payload)| Recipe {
            dst,
            src,
            tags,
            labels,
            ip,
            l4,
            payload,
        })
}

/// One change, made both ways.
fn apply(
    recipe: &mut Recipe,
    packet: &mut Packet,
    at: &mut Offsets,
    which: u8,
    bits: u128,
) -> bool {
    let byte = Masked { value: bits as u8, mask: (bits >> 64) as u8 };
    let half = Masked { value: bits as u16, mask: (bits >> 64) as u16 };
    let word = Masked { value: bits as u32, mask: (bits >> 64) as u32 };
    let long = Masked { value: bits, mask: bits.rotate_left(37) };
    let mac = |shift: u32| {
        let [.., a, b, c, d, e, f] = (bits >> shift).to_be_bytes();
        [a, b, c, d, e, f]
    };
    let address = Masked { value: mac(0), mask: mac(64) };
    match (which % 16, &mut recipe.ip, &mut recipe.l4) {
        (0, ..) => {
            recipe.dst = address.over(recipe.dst);
            edit::set_eth(packet, &SetEth { dst: address, ..SetEth::default() })
        }
        (1, ..) => {
            let other = Masked { value: mac(17), mask: mac(80) };
            (recipe.src, recipe.dst) = (address.over(recipe.src), other.over(recipe.dst));
            edit::set_eth(packet, &SetEth { src: address, dst: other })
        }
        (2, ..) if recipe.tags.len() < 3 => {
            recipe.tags.insert(0, half.value);
            edit::push_vlan(packet, at, ethertype::VLAN, half.value)
        }
        (3, ..) if !recipe.tags.is_empty() => {
            let tci = recipe.tags.remove(0);
            edit::pop_vlan(packet, at) == Some((ethertype::VLAN, tci))
        }
        (4, ..) if !recipe.tags.is_empty() => {
            recipe.tags[0] = half.over(recipe.tags[0]);
            edit::set_vlan_tci(packet, half)
        }
        (5, ..) if recipe.labels.len() < 3 => {
            let bos = if recipe.labels.is_empty() { mpls::BOS } else { 0 };
            recipe.labels.insert(0, word.value);
            edit::push_mpls(packet, at, ethertype::MPLS, word.value & !mpls::BOS | bos)
        }
        (6, ip, _) if !recipe.labels.is_empty() => {
            recipe.labels.remove(0);
            let inner = match (recipe.labels.is_empty(), ip) {
                (false, _) => ethertype::MPLS,
                (true, Ip::V4(_)) => ethertype::IPV4,
                (true, Ip::V6(_)) => ethertype::IPV6,
            };
            edit::pop_mpls(packet, at, inner)
        }
        (7, ..) if !recipe.labels.is_empty() => {
            let word = Masked { mask: word.mask & !mpls::BOS, ..word };
            recipe.labels[0] = word.over(recipe.labels[0]);
            edit::set_mpls_lse(packet, at, word)
        }
        (8, Ip::V4(ip), _) => {
            ip.src = word.over(ip.src);
            edit::set_ipv4(packet, at, &SetIpv4 { src: word, ..SetIpv4::default() })
        }
        (9, Ip::V4(ip), _) => {
            let src = Masked { value: !word.value, mask: (bits >> 96) as u32 };
            (ip.src, ip.dst) = (src.over(ip.src), word.over(ip.dst));
            (ip.tos, ip.ttl) = (byte.over(ip.tos), byte.over(ip.ttl));
            edit::set_ipv4(packet, at, &SetIpv4 { src, dst: word, tos: byte, ttl: byte })
        }
        (10, Ip::V4(ip), _) => {
            ip.tos = byte.over(ip.tos);
            edit::set_ipv4(packet, at, &SetIpv4 { tos: byte, ..SetIpv4::default() })
        }
        (11, Ip::V4(ip), _) => {
            ip.ttl = byte.over(ip.ttl);
            edit::set_ipv4(packet, at, &SetIpv4 { ttl: byte, ..SetIpv4::default() })
        }
        (8, Ip::V6(ip), _) => {
            ip.src = long.over(ip.src);
            edit::set_ipv6_src(packet, at, long)
        }
        (9, Ip::V6(ip), _) => {
            ip.dst = long.over(ip.dst);
            edit::set_ipv6_dst(packet, at, long)
        }
        (10, Ip::V6(ip), _) => {
            ip.class = byte.over(ip.class);
            edit::set_ipv6_class(packet, at, byte)
        }
        (11, Ip::V6(ip), _) => {
            ip.hop_limit = byte.over(ip.hop_limit);
            edit::set_ipv6_hop_limit(packet, at, byte)
        }
        (12, Ip::V6(ip), _) => {
            ip.label = word.over(ip.label) & 0xf_ffff;
            edit::set_ipv6_label(packet, at, word)
        }
        (13, _, L4::Tcp(src, _)) => {
            *src = half.over(*src);
            edit::set_tcp(packet, at, &SetPorts { src: half, ..SetPorts::default() })
        }
        (14, _, L4::Tcp(src, dst)) => {
            let other = Masked { value: half.mask, mask: half.value };
            (*src, *dst) = (other.over(*src), half.over(*dst));
            edit::set_tcp(packet, at, &SetPorts { src: other, dst: half })
        }
        (13, _, L4::Udp(src, _)) => {
            *src = half.over(*src);
            edit::set_udp(packet, at, &SetPorts { src: half, ..SetPorts::default() })
        }
        (14, _, L4::Udp(src, dst)) => {
            let other = Masked { value: half.mask, mask: half.value };
            (*src, *dst) = (other.over(*src), half.over(*dst));
            edit::set_udp(packet, at, &SetPorts { src: other, dst: half })
        }
        (13, _, L4::Sctp(src, _)) => {
            *src = half.over(*src);
            edit::set_sctp_src(packet, at, half)
        }
        (14, _, L4::Sctp(_, dst)) => {
            *dst = half.over(*dst);
            edit::set_sctp_dst(packet, at, half)
        }
        (13, Ip::V4(_), L4::Icmp(kind, _)) => {
            *kind = byte.over(*kind);
            edit::set_icmp_type(packet, at, byte)
        }
        (13, Ip::V6(_), L4::Icmp(kind, _)) => {
            *kind = byte.over(*kind);
            edit::set_icmpv6_type(packet, at, byte)
        }
        (14, Ip::V4(_), L4::Icmp(_, code)) => {
            *code = byte.over(*code);
            edit::set_icmp_code(packet, at, byte)
        }
        (14, Ip::V6(_), L4::Icmp(_, code)) => {
            *code = byte.over(*code);
            edit::set_icmpv6_code(packet, at, byte)
        }
        _ => true,
    }
}

proptest! {
    #[test]
    fn edited_equals_rebuilt(
        start in recipe(),
        changes in prop::collection::vec((any::<u8>(), any::<u128>()), 1..12),
    ) {
        let (mut packet, mut at) = start.packet();
        let mut recipe = start;
        for (which, bits) in changes {
            prop_assert!(apply(&mut recipe, &mut packet, &mut at, which, bits), "refused {which}");
            let (frame, expected_at) = recipe.frame();
            prop_assert_eq!(packet.data(), &frame[..], "after change {}", which % 16);
            prop_assert_eq!(at, expected_at);
        }
    }

    /// Edits of frames that are not what the caller thinks: no panic, and the length stays.
    #[test]
    fn no_edit_panics_on_any_bytes(
        frame in prop::collection::vec(any::<u8>(), 0..90),
        l2_5 in prop::option::of(0..100_u16),
        l3 in prop::option::of(0..100_u16),
        l4 in prop::option::of(0..100_u16),
        which in any::<u8>(),
        ip in ip(),
        bits in any::<u128>(),
    ) {
        let pool = Pool::on_heap(PoolConfig { small: 1, jumbo: 0 });
        let mut packet = PoolCache::new(pool).from_bytes(&frame).unwrap();
        let mut at = Offsets::new(l2_5, l3, l4);
        let mut recipe = Recipe {
            dst: [0; 6], src: [0; 6], tags: vec![1], labels: vec![1], ip, l4: L4::Tcp(0, 0),
            payload: vec![],
        };
        for l4 in [L4::Tcp(0, 0), L4::Udp(0, 0), L4::Sctp(0, 0), L4::Icmp(0, 0)] {
            recipe.l4 = l4;
            let before = packet.len();
            let mut changed = recipe.clone();
            apply(&mut changed, &mut packet, &mut at, which, bits);
            prop_assert!(packet.len().abs_diff(before) <= 4);
        }
        let all = Masked::exact([0xff; 6]);
        let _ = edit::set_nd_sll(&mut packet, &at, all);
        let _ = edit::set_nd_tll(&mut packet, &at, all);
        let _ = edit::set_nd_target(&mut packet, &at, Masked::exact(bits));
        let _ = edit::set_nd_reserved(&mut packet, &at, Masked::exact(1));
        let _ = edit::set_nd_options_type(&mut packet, &at, Masked::exact(1));
        let _ = edit::set_arp_op(&mut packet, &at, Masked::exact(1));
        let _ = edit::set_arp_spa(&mut packet, &at, Masked::exact(1));
        let _ = edit::set_arp_tpa(&mut packet, &at, Masked::exact(1));
        let _ = edit::set_arp_sha(&mut packet, &at, all);
        let _ = edit::set_arp_tha(&mut packet, &at, all);
        let _ = edit::set_tcp_flags(&mut packet, &at, Masked::exact(1));
        edit::copy_ttl_in(&mut packet, &at);
        edit::copy_ttl_out(&mut packet, &at);
        let _ = edit::set_pbb_tci(&mut packet, &at, Masked::exact(1));
        let mut moved = at;
        let _ = edit::pop_pbb(&mut packet, &mut moved);
        let _ = edit::set_ip_proto(&mut packet, &mut at, 6);
        let _ = edit::set_eth_type(&mut packet, &mut at, 0x88e7);
        let _ = edit::push_pbb(&mut packet, &mut at, 7);
    }
}

/// One edit.
type Change = fn(&mut Packet, &Offsets) -> bool;

/// A frame in a packet, edited by `change`, compared with the expected bytes.
fn check(
    frame: &[u8],
    at: Offsets,
    change: impl FnOnce(&mut Packet, &Offsets) -> bool,
    expect: &[u8],
) {
    let pool = Pool::on_heap(PoolConfig { small: 1, jumbo: 0 });
    let mut packet = PoolCache::new(pool).from_bytes(frame).unwrap();
    assert!(change(&mut packet, &at), "refused");
    assert_eq!(packet.data(), expect);
}

fn ipv4_src(src: u32) -> SetIpv4 {
    SetIpv4 { src: src.into(), ..SetIpv4::default() }
}

fn ipv4_dst(dst: u32) -> SetIpv4 {
    SetIpv4 { dst: dst.into(), ..SetIpv4::default() }
}

fn from_port(src: u16) -> SetPorts {
    SetPorts { src: src.into(), ..SetPorts::default() }
}

fn l3_l4(l3: u16, l4: Option<u16>) -> Offsets {
    Offsets::new(None, Some(l3), l4)
}

fn ipv4_frame(payload: &[u8]) -> Vec<u8> {
    build::ethernet([1; 6], [2; 6], ethertype::IPV4, payload)
}

fn ipv6_frame(payload: &[u8]) -> Vec<u8> {
    build::ethernet([1; 6], [2; 6], ethertype::IPV6, payload)
}

#[test]
fn udp_without_checksum_stays_without() {
    let ip = Ipv4::default();
    let without = |ip: Ipv4, port| {
        let mut frame = ipv4_frame(&build::udp(&ip.into(), port, 53, b"x"));
        frame[40..42].fill(0);
        frame
    };
    let moved = Ipv4 { src: 1, ..ip };
    let at = l3_l4(14, Some(34));
    check(&without(ip, 1), at, |p, at| edit::set_ipv4(p, at, &ipv4_src(1)), &without(moved, 1));
    check(&without(ip, 1), at, |p, at| edit::set_udp(p, at, &from_port(2)), &without(ip, 2));
}

/// Sums that come out as zero are sent as all ones, and move on from there.
#[test]
fn udp_zero_sum_is_sent_as_ones() {
    let ip = Ipv4 { src: 0, dst: 0, ..Ipv4::default() };
    // Protocol 17 and length 10 twice leave 0xffff - 37 to be filled by ports and payload.
    let datagram = |port: u16| {
        let rest = (0xffff - 37 - u32::from(port)) as u16;
        build::udp(&ip.into(), port, 0, &rest.to_be_bytes())
    };
    let sum = |frame: &[u8]| u16::from_be_bytes([frame[40], frame[41]]);
    let zero = ipv4_frame(&datagram(5));
    assert_eq!(sum(&zero), 0xffff);
    let mut other = zero.clone();
    other[35] = 6;
    other[40..42].copy_from_slice(&0xfffe_u16.to_be_bytes());
    let at = l3_l4(14, Some(34));
    check(&zero, at, |p, at| edit::set_udp(p, at, &from_port(6)), &other);
    check(&other, at, |p, at| edit::set_udp(p, at, &from_port(5)), &zero);
}

#[test]
fn later_fragments_keep_their_payload() {
    let later = |src| {
        let ip = Ipv4 { src, fragment: 100, ..Ipv4::default() };
        ipv4_frame(&build::ip(&ip.into(), proto::TCP, &[0x55; 24]))
    };
    check(&later(1), l3_l4(14, None), |p, at| edit::set_ipv4(p, at, &ipv4_src(2)), &later(2));
}

#[test]
fn damage_stays_damage() {
    let segment = tcp::Repr { src: 1, dst: 2, seq: 0, ack: 0, flags: 2, window: 0 };
    let damaged = |src, by: u16| {
        let ip = Ipv4 { src, ..Ipv4::default() };
        let mut frame = ipv4_frame(&build::tcp(&ip.into(), segment, b"payload"));
        frame[60] ^= by as u8;
        frame
    };
    let at = l3_l4(14, Some(34));
    check(&damaged(5, 0x40), at, |p, at| edit::set_ipv4(p, at, &ipv4_src(6)), &damaged(6, 0x40));
}

#[test]
fn icmp_over_ipv4_does_not_cover_addresses() {
    let ping = |dst| {
        let ip = Ipv4 { dst, ..Ipv4::default() };
        ipv4_frame(&build::icmp(&ip.into(), icmp::Repr { kind: 8, code: 0, rest: 1 }, b"ping"))
    };
    check(&ping(3), l3_l4(14, Some(34)), |p, at| edit::set_ipv4(p, at, &ipv4_dst(4)), &ping(4));
}

/// A UDP datagram behind a routing header; the checksum is made for the final destination.
fn routed(src: u128, dst: u128, last: u128, left: u8) -> Vec<u8> {
    let pseudo = Ipv6 { src, dst: if left > 0 { last } else { dst }, ..Ipv6::default() };
    let datagram = build::udp(&pseudo.into(), 7, 8, b"data").split_off(40);
    let mut payload = vec![proto::UDP, 2, 0, left, 0, 0, 0, 0];
    payload.extend(last.to_be_bytes());
    payload.extend(datagram);
    let ip = Ipv6 { src, dst, ..Ipv6::default() };
    ipv6_frame(&build::ip(&ip.into(), proto::ROUTING, &payload))
}

#[test]
fn a_destination_on_the_way_is_not_in_the_checksum() {
    let at = l3_l4(14, Some(78));
    let dst = |to: u128| move |p: &mut Packet, at: &Offsets| edit::set_ipv6_dst(p, at, to.into());
    let src = |to: u128| move |p: &mut Packet, at: &Offsets| edit::set_ipv6_src(p, at, to.into());
    check(&routed(1, 2, 3, 1), at, dst(9), &routed(1, 9, 3, 1));
    check(&routed(1, 2, 3, 0), at, dst(9), &routed(1, 9, 3, 0));
    check(&routed(1, 2, 3, 1), at, src(9), &routed(9, 2, 3, 1));
}

#[test]
fn arp_fields() {
    let start = arp::Repr { op: 1, sha: [1; 6], spa: 2, tha: [3; 6], tpa: 4 };
    let frame = |packet| build::ethernet([0xff; 6], [1; 6], ethertype::ARP, &build::arp(packet));
    let at = l3_l4(14, None);
    let cases: [(arp::Repr, Change); 5] = [
        (arp::Repr { op: 2, ..start }, |p, at| edit::set_arp_op(p, at, 2.into())),
        (arp::Repr { spa: 9, ..start }, |p, at| edit::set_arp_spa(p, at, 9.into())),
        (arp::Repr { tpa: 9, ..start }, |p, at| edit::set_arp_tpa(p, at, 9.into())),
        (arp::Repr { sha: [9; 6], ..start }, |p, at| edit::set_arp_sha(p, at, [9; 6].into())),
        (arp::Repr { tha: [9; 6], ..start }, |p, at| edit::set_arp_tha(p, at, [9; 6].into())),
    ];
    for (expected, change) in cases {
        check(&frame(start), at, change, &frame(expected));
    }
}

#[test]
fn neighbor_fields() {
    #[derive(Clone, Copy)]
    struct Nd {
        reserved: u32,
        target: u128,
        kind: u8,
        sll: [u8; 6],
        tll: [u8; 6],
    }
    let frame = |nd: Nd| {
        let mut body = nd.target.to_be_bytes().to_vec();
        body.extend([nd.kind, 1]);
        body.extend(nd.sll);
        body.extend([2, 1]);
        body.extend(nd.tll);
        let head = icmp::Repr { kind: 135, code: 0, rest: nd.reserved };
        ipv6_frame(&build::icmp(&Ipv6::default().into(), head, &body))
    };
    let start = Nd { reserved: 0, target: 5, kind: 1, sll: [6; 6], tll: [7; 6] };
    let at = l3_l4(14, Some(54));
    let cases: [(Nd, Change); 5] = [
        (Nd { target: 8 << 64, ..start }, |p, at| edit::set_nd_target(p, at, (8 << 64).into())),
        (Nd { sll: [8; 6], ..start }, |p, at| edit::set_nd_sll(p, at, [8; 6].into())),
        (Nd { tll: [8; 6], ..start }, |p, at| edit::set_nd_tll(p, at, [8; 6].into())),
        (Nd { reserved: 0xe000_0000, ..start }, |p, at| {
            edit::set_nd_reserved(p, at, 0xe000_0000.into())
        }),
        (Nd { kind: 3, ..start }, |p, at| edit::set_nd_options_type(p, at, 3.into())),
    ];
    for (expected, change) in cases {
        check(&frame(start), at, change, &frame(expected));
    }
    // An option that is not there cannot be written.
    let pool = Pool::on_heap(PoolConfig { small: 1, jumbo: 0 });
    let other = frame(Nd { kind: 3, ..start });
    let mut packet = PoolCache::new(pool).from_bytes(&other).unwrap();
    assert!(!edit::set_nd_sll(&mut packet, &at, [8; 6].into()));
    assert_eq!(packet.data(), other);
}

#[test]
fn what_does_not_fit_is_refused_and_left_alone() {
    let pool = Pool::on_heap(PoolConfig { small: 1, jumbo: 0 });
    let mut packet = PoolCache::new(pool).from_bytes(&[0x11; 13]).unwrap();
    let mut at = l3_l4(14, Some(34));
    assert!(!edit::push_vlan(&mut packet, &mut at, ethertype::VLAN, 1));
    assert_eq!(edit::pop_vlan(&mut packet, &mut at), None);
    assert!(!edit::set_vlan_tci(&mut packet, 1.into()));
    assert!(!edit::push_mpls(&mut packet, &mut at, ethertype::MPLS, 1));
    assert!(!edit::pop_mpls(&mut packet, &mut at, ethertype::IPV4));
    assert!(!edit::set_ipv4(&mut packet, &at, &ipv4_src(1)));
    assert!(!edit::set_ipv6_dst(&mut packet, &at, 1.into()));
    assert!(!edit::set_tcp(&mut packet, &at, &from_port(1)));
    assert!(!edit::set_icmp_type(&mut packet, &at, 1.into()));
    assert_eq!((packet.data(), at), (&[0x11; 13][..], l3_l4(14, Some(34))));

    // Headroom runs out after 32 tags.
    let pool = Pool::on_heap(PoolConfig { small: 1, jumbo: 0 });
    let mut packet = PoolCache::new(pool).from_bytes(&[0; 60]).unwrap();
    let pushed = (0..100).take_while(|_| edit::push_vlan(&mut packet, &mut at, ethertype::VLAN, 1));
    assert_eq!(pushed.count(), 32);
    assert_eq!(packet.len(), 60 + 32 * 4);
}

/// The key goes by the Ethernet type, and so does the checksum.
#[test]
fn an_sctp_checksum_does_not_believe_the_version() {
    let with_port = |dst| Recipe {
        dst: [2; 6],
        src: [4; 6],
        tags: Vec::new(),
        labels: Vec::new(),
        ip: Ip::V4(Ipv4 { src: 1, dst: 2, tos: 0, ttl: 64, fragment: 0 }),
        l4: L4::Sctp(7, dst),
        payload: vec![9; 18],
    };
    let claim_version_6 = |packet: &mut Packet| packet.data_mut()[14] = 0x65;
    let (mut packet, at) = with_port(80).packet();
    claim_version_6(&mut packet);
    assert!(edit::set_sctp_dst(&mut packet, &at, Masked::exact(8080)));
    let (mut expected, _) = with_port(8080).packet();
    claim_version_6(&mut expected);
    assert_eq!(packet.data(), expected.data());
}
