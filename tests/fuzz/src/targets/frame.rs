//! A frame from a port: extraction, the views of the wire formats, text, composing.
//!
//! Asserted:
//! - the same bytes give the same key, whatever the metadata; the metadata is in the key;
//! - layers begin inside the frame, in order;
//! - every prefix of the frame has a key, and that key says nothing of bytes that are cut off: a
//!   prefix that ends before a layer has no fields of it;
//! - bytes behind an IP packet's own length change nothing;
//! - a whole frame's key is that of the frame composed from it, and of the text written from it;
//! - a miniflow expands to its flow;
//! - after a view's `new_checked`, every accessor answers; `emit` of what `parse` found gives the
//!   same meaning.

use flow::layout::{MPLS, TP, VLAN};
use flow::proto::ext_hdr;
use flow::text::{NoNames, parse_flow};
use flow::{Extracted, Flow, FlowMeta, Malformed, Miniflow, Prereq, compose, extract};
use packet::wire;

use crate::corpus::{Input, from_hex};
use crate::{Behaviour, behaviour};

/// Header fields at which parsers decide.
pub(super) const WORDS: &[&[u8]] = &[
    &[0x08, 0x00],
    &[0x86, 0xdd],
    &[0x08, 0x06],
    &[0x81, 0x00],
    &[0x88, 0xa8],
    &[0x88, 0x47],
    &[0x88, 0x48],
    &[0x80, 0x35],
    &[0x45, 0x00],
    &[0xaa, 0xaa, 0x03, 0, 0, 0],
    &[0x81, 0x00, 0x20, 0x07, 0x81, 0x00],
    &[6],
    &[17],
    &[132],
    &[58],
    &[44],
    &[51],
    &[60],
    &[135, 0],
    &[136, 0],
    &[1, 1, 2, 2, 2, 2, 2, 2],
    &[2, 1, 4, 4, 4, 4, 4, 4],
    &[0x00, 0x01, 0x21, 0xff],
];

/// Frames with the keys that Open vSwitch extracts: see the crate `flow`.
pub(super) fn golden() -> Vec<Input> {
    let text = include_str!("../../../../pipeline/flow/tests/data/ovs-extract.txt");
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.starts_with('#'))
        .filter_map(|(number, line)| {
            let bytes = from_hex(line.split(' ').next()?)?;
            Some(Input { origin: format!("ovs-extract.txt:{number}"), bytes })
        })
        .collect()
}

/// Runs the target.
pub fn frame(data: &[u8]) -> Behaviour {
    let meta = FlowMeta { in_port: 7, recirc_id: 3, ..FlowMeta::default() };
    let found = extract(data, &meta);
    assert_eq!((found.flow.in_port(), found.flow.recirc_id()), (7, 3));
    let bare = extract(data, &FlowMeta::default());
    let mut named = bare.flow;
    named.set_in_port(7);
    named.set_recirc_id(3);
    assert_eq!(found.flow, named, "metadata changed what the bytes say");
    assert_eq!(found.malformed, bare.malformed);

    layers(data, &found);
    prefixes(data, &found);
    padding(data, &meta, &found);
    composed(&found, &meta);
    text(&found);
    if let Some(mini) = Miniflow::<{ flow::FLOW_WORDS }>::new(&found.flow) {
        assert_eq!(mini.expand(), found.flow);
        assert!(mini.is_of(&found.flow));
    } else {
        panic!("a miniflow of full size has no room");
    }
    views(data);
    views(data.get(14..).unwrap_or(&[]));
    for layer in [found.offsets.l2_5(), found.offsets.l3(), found.offsets.l4()] {
        views(&data[usize::from(layer.unwrap_or(0))..]);
    }
    kind(&found)
}

/// Which headers a frame has and how it is damaged.
pub(super) fn kind(found: &Extracted) -> Behaviour {
    let flow = &found.flow;
    let known = [0x0800, 0x86dd, 0x0806, 0x8035, 0x8847, 0x8848, 0x8100, 0x88a8, 0x05ff, 0];
    let protos = [0, 1, 2, 6, 17, 44, 58, 132];
    behaviour(&[
        known.iter().position(|ty| *ty == flow.eth_type()).unwrap_or(99) as u64,
        protos.iter().position(|proto| *proto == flow.nw_proto()).unwrap_or(99) as u64,
        flow.n_vlans() as u64,
        flow.n_mpls() as u64,
        u64::from(flow.nw_frag()),
        u64::from(flow.nd_options_type()),
        found.malformed.map_or(99, |damage| damage as u64),
        u64::from(found.offsets.l4().is_some()),
    ])
}

fn layers(data: &[u8], found: &Extracted) {
    let mut last = 0;
    for layer in [found.offsets.l2_5(), found.offsets.l3(), found.offsets.l4()] {
        let Some(at) = layer.map(usize::from) else {
            continue;
        };
        assert!(at >= last.max(14) && at <= data.len(), "{:?} in {}", found.offsets, data.len());
        last = at;
    }
    if found.offsets.l4().is_some() {
        assert!(found.flow.is_ip(), "a transport header without IP");
    }
    let has_transport = found.flow.word(TP) != 0;
    assert!(!has_transport || found.offsets.l4().is_some());
}

/// Cuts where something may change: everywhere in the first headers.
fn prefixes(data: &[u8], found: &Extracted) {
    for len in 0..data.len().min(200) {
        let cut = extract(&data[..len], &FlowMeta::default());
        if len < 14 {
            assert_eq!(cut.flow, Flow::ZERO);
            assert_eq!(cut.malformed, Some(Malformed::Ethernet));
            continue;
        }
        assert_eq!(cut.flow.eth_src(), found.flow.eth_src());
        assert_eq!(cut.flow.eth_dst(), found.flow.eth_dst());
        if len < 18 {
            assert_eq!(cut.flow.word(VLAN), 0, "a tag in {len} bytes");
        }
        if len < 18 {
            assert_eq!(cut.flow.word(MPLS), 0, "a label in {len} bytes");
        }
        if len < 14 + 20 {
            assert!(cut.flow.nw_src() == 0 && cut.flow.ipv6_src().to_bits() == 0);
        }
        if len < 14 + 28 {
            assert_eq!(cut.flow.word(TP), 0, "a transport header in {len} bytes");
        }
    }
}

fn padding(data: &[u8], meta: &FlowMeta, found: &Extracted) {
    let has_length = found.flow.is_ip()
        && !matches!(found.malformed, Some(Malformed::Ipv4 | Malformed::Ipv6 | Malformed::Vlan));
    if !has_length || data.len() > 9000 {
        return;
    }
    for filler in [0, 0xff, 0x11] {
        let mut padded = data.to_vec();
        padded.extend([filler; 46]);
        let again = extract(&padded, meta);
        assert_eq!(again.flow, found.flow, "padding of {filler:#x} was read");
        assert_eq!(again.offsets, found.offsets);
    }
}

fn composed(found: &Extracted, meta: &FlowMeta) {
    let flow = &found.flow;
    let is_ambiguous =
        // An entry of zero bits looks like the end of the stack in a key.
        flow.is_mpls() && (0..3).any(|n| flow.mpls_lse(n) == 0) && flow.mpls_lse(0) & 0x100 == 0
        // Which extension headers came too often or too early, the key does not say.
        || flow.ipv6_exthdr() & (ext_hdr::UNREP | ext_hdr::UNSEQ) != 0
        // Neighbour discovery in IPv4 has no meaning, but a key.
        || flow.eth_type() == 0x0800 && flow.nw_proto() == 58;
    if found.malformed.is_some() || is_ambiguous {
        return;
    }
    // A SNAP header may say that the packet is a tag; what the key cannot say is what is in it.
    let payloads = if matches!(flow.eth_type(), 0x8100 | 0x88a8) { 1 } else { 2 };
    for payload in [0, 33].into_iter().take(payloads) {
        let frame = compose(flow, payload);
        assert_eq!(&extract(&frame, meta).flow, flow, "composed with {payload} bytes");
    }
}

fn text(found: &Extracted) {
    let flow = found.flow;
    // The text does not say the type of a tag, and fields of no known protocol cannot be asked for.
    let is_unsaid = flow.vlan_tpid() == 0x88a8
        || flow.n_vlans() == 2
        || flow.is_mpls()
        || flow.nw_proto() == 2
        || Prereq::Nd.holds(&flow)
        || flow.eth_type() == 0x0800 && flow.nw_proto() == 58
        || flow.eth_type() == 0x86dd && flow.nw_proto() == 1;
    let text = flow.to_string();
    if found.malformed.is_some() || is_unsaid {
        return;
    }
    let read = parse_flow(&text, &NoNames).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(read, flow, "{text}");
}

/// Every accessor of every view that takes these bytes.
fn views(bytes: &[u8]) {
    if let Ok(view) = wire::ethernet::View::new_checked(bytes) {
        let repr = wire::ethernet::Repr::parse(&view);
        let mut again = [0; 14];
        assert_eq!(repr.emit(&mut again), Ok(()));
        assert_eq!(again, bytes[..14]);
        assert_eq!(view.payload().len(), bytes.len() - 14);
    }
    if let Ok(view) = wire::vlan::View::new_checked(bytes) {
        assert_eq!(view.tci() & 0x0fff, view.vid());
        assert_eq!(view.tci() >> 13, u16::from(view.pcp()));
        let _ = (view.tpid(), view.payload());
    }
    if let Ok(view) = wire::mpls::View::new_checked(bytes) {
        assert_eq!(wire::mpls::Repr::from_lse(view.lse()).to_lse(), view.lse());
        let _ = view.payload();
    }
    if let Ok(view) = wire::arp::View::new_checked(bytes) {
        let mut again = [0; 28];
        assert_eq!(wire::arp::Repr::parse(&view).emit(&mut again), Ok(()));
        assert_eq!(again, bytes[..28]);
    }
    if let Ok(view) = wire::ipv4::View::new_checked(bytes) {
        assert!(view.header_len() >= 20 && view.header_len() <= view.total_len());
        assert_eq!(view.payload().len(), view.total_len() - view.header_len());
        let _ = (view.tos(), view.ident(), view.fragment(), view.ttl());
        let _ = (view.proto(), view.checksum(), view.is_checksum_valid());
        let _ = (view.src(), view.dst(), wire::ipv4::Repr::parse(&view));
        assert!(view.is_fragment() || !view.is_later_fragment());
    }
    if let Ok(view) = wire::ipv6::View::new_checked(bytes) {
        assert_eq!(view.payload().len(), view.payload_len());
        let _ = (view.traffic_class(), view.flow_label(), view.upper());
        let repr = wire::ipv6::Repr::parse(&view);
        let mut again = [0; 40];
        assert_eq!(repr.emit(&mut again), Ok(()));
        assert_eq!(again, bytes[..40]);
    }
    if let Ok(view) = wire::tcp::View::new_checked(bytes) {
        assert!(view.header_len() >= 20);
        assert_eq!(view.payload().len(), bytes.len() - view.header_len());
        let _ = (wire::tcp::Repr::parse(&view), view.checksum());
    }
    if let Ok(view) = wire::udp::View::new_checked(bytes) {
        assert!(view.length() <= bytes.len() || view.payload().len() <= bytes.len());
        let _ = (wire::udp::Repr::parse(&view), view.checksum());
    }
    if let Ok(view) = wire::sctp::View::new_checked(bytes) {
        let _ = (wire::sctp::Repr::parse(&view), view.payload());
        let _ = view.checksum();
    }
    if let Ok(view) = wire::icmp::View::new_checked(bytes) {
        let _ = (wire::icmp::Repr::parse(&view), view.payload());
    }
    if let Ok(view) = wire::icmpv6::View::new_checked(bytes) {
        let _ = (view.kind(), view.code(), view.checksum(), view.rest());
        if let Some(neighbor) = view.neighbor() {
            let mut options = neighbor.options();
            let n = options.by_ref().count();
            assert!(n <= bytes.len() / 8);
            let _ = (neighbor.target(), neighbor.reserved());
            let _ = options.is_malformed();
        }
        let _ = view.payload();
    }
}
