//! Random frames of all kinds that the keys know.

use flow::proto::{eth_type as ethertype, ip_proto};
use flow::{EtherAddr, Field, Flow, FlowMeta, compose, extract};
use oracle::random::{Rng, World};
use packet::build::{self, Ip, Ipv4, Ipv6};
use packet::wire::mpls;

use super::{Packet, small};

/// Addresses that NORMAL does not forward to, and one that it does.
const RESERVED: [[u8; 6]; 3] = [
    [0x01, 0x80, 0xc2, 0, 0, 0],
    [0x01, 0x80, 0xc2, 0, 0, 0x0e],
    [0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcc],
];

/// A frame.
pub(super) fn frame(rng: &mut Rng, world: &World) -> Vec<u8> {
    loop {
        let frame = any_frame(rng, world);
        // Open vSwitch does not read service tags.
        if extract(&frame, &FlowMeta::of_port(1)).flow.eth_type() != ethertype::PBB {
            return frame;
        }
    }
}

fn any_frame(rng: &mut Rng, world: &World) -> Vec<u8> {
    let mut frame = match rng.below(12) {
        0..=5 => world.frame(rng),
        6 => discovery(rng, world),
        7 => extended(rng, world),
        8 => labels(rng, world),
        9 => odd(rng, world),
        10 => world.damaged_frame(rng),
        _ => igmp_or_other(rng, world),
    };
    if rng.one_in(16) {
        frame[..6].copy_from_slice(&rng.pick(&RESERVED));
    }
    if frame[..6] == frame[6..12] && !rng.one_in(16) {
        // Few send to themselves.
        frame[5] ^= 4;
    }
    match rng.below(8) {
        0 => tagged(rng, world, 0x8100, &frame),
        1 => {
            let inner = tagged(rng, world, 0x8100, &frame);
            let outer = rng.pick(&[0x88a8, 0x88a8, 0x8100]);
            tagged(rng, world, outer, &inner)
        }
        _ => frame,
    }
}

fn tagged(rng: &mut Rng, world: &World, tpid: u16, frame: &[u8]) -> Vec<u8> {
    // A tag that says only the priority has VLAN 0.
    let vid = if rng.one_in(4) { 0 } else { rng.pick(&world.vlans) };
    build::vlan(tpid, vid | (rng.below(8) as u16) << 13, frame)
}

fn addresses(rng: &mut Rng, world: &World) -> ([u8; 6], [u8; 6]) {
    (rng.pick(&world.macs), rng.pick(&world.macs))
}

/// Neighbour discovery, and other ICMPv6.
fn discovery(rng: &mut Rng, world: &World) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    let (dst, src) = addresses(rng, world);
    flow.set_eth_dst(EtherAddr(dst));
    flow.set_eth_src(EtherAddr(src));
    flow.set_eth_type(ethertype::IPV6);
    flow.set(Field::Ipv6Src, rng.pick(&world.ipv6));
    flow.set(Field::Ipv6Dst, rng.pick(&world.ipv6));
    flow.set_nw_proto(ip_proto::ICMPV6);
    flow.set_nw_ttl(255);
    flow.set(Field::Icmpv6Type, rng.pick(&[135, 135, 136, 136, 133, 134, 1]));
    if rng.one_in(8) {
        flow.set(Field::Icmpv6Code, 1);
    }
    flow.set(Field::NdTarget, rng.pick(&world.ipv6));
    let option = rng.pick(&[0, 1, 2]);
    flow.set(Field::NdOptionsType, option);
    if option == 1 {
        flow.set(Field::NdSll, 0x0200_0000_0000 | u128::from(rng.next_u64() & 7));
    }
    if option == 2 {
        flow.set(Field::NdTll, 0x0200_0000_0000 | u128::from(rng.next_u64() & 7));
    }
    compose(&flow, 0)
}

/// IPv6 with extension headers.
fn extended(rng: &mut Rng, world: &World) -> Vec<u8> {
    let header = Ipv6 {
        src: rng.pick(&world.ipv6),
        dst: rng.pick(&world.ipv6),
        class: rng.pick(&[0, 0xb8]),
        label: 0,
        hop_limit: 64,
    };
    let inner =
        build::udp(&header.into(), rng.pick(&world.tp_ports), rng.pick(&world.tp_ports), &[7; 20]);
    let mut payload = inner[40..].to_vec();
    let mut next = ip_proto::UDP;
    for _ in 0..1 + rng.below(3) {
        let (kind, bytes) = match rng.below(4) {
            0 => (0, [next, 0, 1, 4, 0, 0, 0, 0]),
            1 => (43, [next, 0, 0, 0, 0, 0, 0, 0]),
            2 => (60, [next, 0, 1, 4, 0, 0, 0, 0]),
            // A fragment header: whole, first, later.
            _ => {
                let offset = rng.pick(&[0u16, 1, 0x40, 0x41]).to_be_bytes();
                (44, [next, 0, offset[0], offset[1], 0, 0, 0, 9])
            }
        };
        payload.splice(0..0, bytes);
        next = kind;
    }
    let packet = build::ip(&Ip::V6(header), next, &payload);
    let (dst, src) = addresses(rng, world);
    build::ethernet(dst, src, ethertype::IPV6, &packet)
}

/// Up to five labels over anything.
fn labels(rng: &mut Rng, world: &World) -> Vec<u8> {
    let inner = world.frame(rng);
    let mut payload = inner[14..].to_vec();
    for depth in 0..1 + rng.below(5) {
        let entry = mpls::Repr {
            label: rng.pick(&world.labels),
            tc: rng.below(8) as u8,
            bos: depth == 0,
            ttl: rng.pick(&[64, 2, 1, 0]),
        };
        payload = build::mpls(entry, &payload);
    }
    let (dst, src) = addresses(rng, world);
    let kind = if rng.one_in(4) { ethertype::MPLS_MULTICAST } else { ethertype::MPLS };
    build::ethernet(dst, src, kind, &payload)
}

/// 802.2, RARP, types that nobody knows, and those of protocols.
fn odd(rng: &mut Rng, world: &World) -> Vec<u8> {
    let (dst, src) = addresses(rng, world);
    match rng.below(4) {
        0 => {
            let mut body = vec![0x42, 0x42, 0x03];
            body.resize(46, 0);
            build::ethernet(dst, src, 46, &body)
        }
        1 => {
            // SNAP, with the type behind it.
            let mut body = vec![0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00];
            body.extend(&world.frame(rng)[14..]);
            let len = body.len() as u16;
            build::ethernet(dst, src, len.min(1500), &body)
        }
        2 => {
            let mut frame = build::ethernet(dst, src, ethertype::RARP, &[0; 46]);
            frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 3]);
            frame
        }
        _ => {
            build::ethernet(dst, src, rng.pick(&[0x8809, 0x88cc, 0x05ff, 0x0600, 0x86dc]), &[0; 46])
        }
    }
}

/// Other protocols over IP.
fn igmp_or_other(rng: &mut Rng, world: &World) -> Vec<u8> {
    let header = Ipv4 { src: rng.pick(&world.ipv4), dst: 0xe000_0001, tos: 0, ttl: 1, fragment: 0 };
    let proto = rng.pick(&[ip_proto::IGMP, ip_proto::IGMP, 47, 50, 0, 255]);
    let mut payload = vec![0x16, 0, 0, 0, 0xe0, 0, 0, 1];
    payload.resize(8 + rng.below(20), 0);
    let packet = build::ip(&header.into(), proto, &payload);
    let (dst, src) = addresses(rng, world);
    build::ethernet(dst, src, ethertype::IPV4, &packet)
}

/// A packet that differs from `base` in a field or two.
pub(super) fn varied(rng: &mut Rng, world: &World, base: &Packet) -> Packet {
    let mut flow = base.key();
    for _ in 0..1 + rng.below(2) {
        vary(rng, world, &mut flow);
    }
    match base {
        Packet::Flow(_) if super::has_words(&flow) => Packet::Flow(Box::new(flow)),
        Packet::Flow(_) => base.clone(),
        Packet::Frame { in_port, .. } => {
            let in_port = if rng.one_in(4) { world.port(rng) } else { *in_port };
            let bytes = compose(&flow, rng.pick(&[0, 10, 46]));
            Packet::Frame { in_port, bytes }
        }
    }
}

/// Changes a field that a packet of this kind has.
fn vary(rng: &mut Rng, world: &World, flow: &mut Flow) {
    let fields: Vec<Field> = Field::all()
        .filter(|field| is_of_frames(*field) && field.spec().prereq.holds(flow))
        .collect();
    let field = rng.pick(&fields);
    flow.set(field, value(rng, world, field));
    // What such a frame is read as.
    let (tunnel, mark, metadata) = (flow.tunnel_id(), flow.pkt_mark(), flow.metadata());
    let port = flow.in_port();
    let frame = compose(flow, 20);
    let mut again = extract(&frame, &FlowMeta::of_port(port)).flow;
    again.set_tunnel_id(tunnel);
    again.set_pkt_mark(mark);
    again.set_metadata(metadata);
    *flow = again;
}

/// Whether a frame has the field, and a change of it leaves the frame one.
fn is_of_frames(field: Field) -> bool {
    !matches!(field.spec().prereq, flow::Prereq::None)
        && !matches!(
            field,
            Field::EthType
                | Field::IpProto
                | Field::DlVlan
                | Field::DlVlanPcp
                | Field::VlanTci
                | Field::VlanTci1
                | Field::VlanVid
                | Field::MplsBos
                | Field::MplsLse1
                | Field::MplsLse2
                | Field::NdOptionsType
                | Field::NdReserved
                | Field::Ipv6Exthdr
                | Field::PbbIsid
                | Field::PbbUca
                | Field::IpFrag
        )
}

/// A value for a field: one of the world's, or a small one.
pub(super) fn value(rng: &mut Rng, world: &World, field: Field) -> u128 {
    let value = match field {
        Field::EthSrc
        | Field::EthDst
        | Field::ArpSha
        | Field::ArpTha
        | Field::NdSll
        | Field::NdTll => u128::from(EtherAddr(rng.pick(&world.macs)).to_u64()),
        Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa => {
            rng.pick(&world.ipv4).into()
        }
        Field::Ipv6Src | Field::Ipv6Dst | Field::NdTarget => rng.pick(&world.ipv6),
        Field::VlanVid => u128::from(rng.pick(&world.vlans) | 0x1000),
        Field::MplsLabel => rng.pick(&world.labels).into(),
        Field::IpTtl | Field::MplsTtl => rng.pick(&[64, 2, 1, 255]),
        Field::TcpSrc
        | Field::TcpDst
        | Field::UdpSrc
        | Field::UdpDst
        | Field::SctpSrc
        | Field::SctpDst => rng.pick(&world.tp_ports).into(),
        Field::IpDscp => u128::from(rng.next_u64()) & 0xfc,
        _ if rng.one_in(2) => small(rng),
        _ => u128::from(rng.next_u64()),
    };
    value & field.value_ones()
}
