//! Text that people type: matches and flows.
//!
//! Asserted: what is accepted is written as text that is accepted and means the same; errors say
//! something; the same text reads the same.

use flow::text::{NoNames, parse_flow, parse_match};
use flow::{Field, Match};

use crate::{Behaviour, behaviour};

/// Names and values of `ovs-ofctl`.
pub(super) const WORDS: &[&[u8]] = &[
    b"tcp,",
    b"udp6,",
    b"icmp6,",
    b"arp,",
    b"rarp,",
    b"mpls,",
    b"ip,",
    b"ipv6,",
    b"sctp,",
    b"in_port=",
    b"LOCAL",
    b"nw_src=",
    b"10.0.0.0/8",
    b"10.0.0.1/255.0.255.0",
    b"ipv6_dst=",
    b"2001:db8::/32",
    b"dl_src=",
    b"01:00:00:00:00:00/01:00:00:00:00:00",
    b"dl_vlan=",
    b"0xffff",
    b"vlan_tci=",
    b"0x1000/0x1000",
    b"dl_vlan_pcp=",
    b"vlan_vid=",
    b"dl_type=",
    b"nw_proto=",
    b"nw_frag=",
    b"not_later",
    b"tcp_flags=",
    b"+syn-ack",
    b"tp_dst=",
    b"80",
    b"0x50/0xf0",
    b"metadata=",
    b"reg0=",
    b"xreg1=",
    b"xxreg2=",
    b"tun_id=",
    b"nd_target=",
    b"icmp_type=",
    b"mpls_label=",
    b"ct_state=",
    b"recirc_id=",
    b"packet_type=(0,0)",
    b"eth()",
    b"nw_tos=",
    b"nw_ecn=",
    b"nw_ttl=",
    b"arp_sha=",
    b"pkt_mark=",
    b"actset_output=",
    b"dl_vlan1=",
];

/// Runs the target.
pub fn flow_text(data: &[u8]) -> Behaviour {
    let Ok(text) = core::str::from_utf8(data) else {
        return 0;
    };
    let read = parse_match(text, &NoNames);
    assert_eq!(read, parse_match(text, &NoNames));
    let kind = match &read {
        Ok(read) => {
            matches(text, read);
            let set = Field::all()
                .filter(|field| read.get(*field).1 != 0)
                .fold(0, |set: u64, field| set.rotate_left(7) ^ field as u64);
            behaviour(&[1, set])
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            behaviour(&[2, error.problem as u64, error.field.map_or(999, |f| f as u64)])
        }
    };
    if let Err(error) = parse_flow(text, &NoNames) {
        assert!(!error.to_string().is_empty());
    }
    kind
}

fn matches(text: &str, read: &Match) {
    // Fields without their protocol have no text; a normal match has none of those.
    let mut normal = *read;
    normal.normalize();
    let mut twice = normal;
    twice.normalize();
    assert_eq!(twice, normal, "{text}: normalizing twice");
    assert!(normal.covers(read), "{text}: normalizing narrowed the match");
    let is_icmp =
        matches!((normal.flow().eth_type(), normal.flow().nw_proto()), (0x0800, 1) | (0x86dd, 58));
    let is_port = |value, mask| value > 0xff || !matches!(mask, 0 | 0xffff);
    let (flow, mask) = (normal.flow(), normal.mask());
    if is_icmp && (is_port(flow.tp_src(), mask.tp_src()) || is_port(flow.tp_dst(), mask.tp_dst())) {
        // Ports were given before the protocol changed to one that has none.
        return;
    }
    let written = normal.to_string();
    let again = parse_match(&written, &NoNames)
        .unwrap_or_else(|error| panic!("{text} is written {written}: {error}"));
    assert_eq!(again.to_string(), written, "{text}");
}
