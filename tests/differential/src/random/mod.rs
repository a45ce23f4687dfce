//! Random rules and packets in the words of `ovs-ofctl`.
//!
//! Everything comes from a seed. Packets come first: a rule's match is taken from one of them, or
//! from a small change of it, so that packets hit, nearly hit and miss. No two rules of a table have
//! one priority (but the parts of a conjunction), since what wins then is nobody's promise.

#![expect(clippy::cast_possible_truncation, reason = "numbers drawn below small bounds")]

mod actions;
mod frames;
mod groups;
mod matches;

use datapath::KeyText;
use flow::layout::TP;
use flow::proto::{eth_type as ethertype, ip_proto};
use flow::{EtherAddr, Field, Flow, FlowMeta, Mask, compose, extract};
use openflow::OfPort;
use oracle::random::{Rng, World};

/// Ports 1 to this.
pub const N_PORTS: u32 = 6;
/// The number that Open vSwitch's dummy datapath gives to LOCAL.
pub(crate) const DP_LOCAL: u32 = 100;
/// Tables that rules are in: 0 to this.
pub(crate) const LAST_TABLE: u8 = 4;
/// Stations that both switches know from the start.
pub const STATIONS: &[(u32, EtherAddr)] = &[
    (1, EtherAddr([2, 0, 0, 0, 0, 1])),
    (2, EtherAddr([2, 0, 0, 0, 0, 2])),
    (2, EtherAddr([2, 0, 0, 0, 0, 3])),
];
/// The meters that both switches have.
pub const METERS: &[&str] = &[
    "meter=1,pktps,bands=type=drop,rate=1000",
    "meter=2,kbps,burst,bands=type=drop,rate=100,burst_size=10",
];

/// A set of rules, and what to send through them.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// The version in which the tool speaks to Open vSwitch.
    pub version: &'static str,
    /// Groups as `add-group` takes them.
    pub groups: Vec<String>,
    /// Rules as `add-flow` takes them.
    pub flows: Vec<String>,
    /// The packets.
    pub packets: Vec<Packet>,
}

/// What is traced.
#[derive(Clone, Debug)]
pub enum Packet {
    /// A frame that comes in on a port.
    Frame {
        /// Where.
        in_port: OfPort,
        /// What.
        bytes: Vec<u8>,
    },
    /// A flow in words, which may have registers and metadata that no frame has.
    Flow(Box<Flow>),
}

impl Packet {
    /// The packet as `ofproto/trace` takes it: where, and which flow. (Given a frame too, Open vSwitch
    /// would learn from it.)
    #[must_use]
    pub fn words(&self) -> Option<(&'static str, String)> {
        let key = self.key();
        if has_words(&key) {
            return Some(("br0", flow_words(&key)));
        }
        // A datapath knows no type of frames with a length.
        (key.eth_type() != ethertype::NONE).then(|| ("ovs-dummy", datapath_words(&key)))
    }

    /// A packet with another key, if there is one that has just this.
    #[must_use]
    pub fn with_key(&self, key: &Flow) -> Option<Self> {
        if let Self::Flow(_) = self {
            return has_words(key).then(|| Self::Flow(Box::new(*key)));
        }
        let in_port = OfPort(key.in_port());
        [0, 20, 60].into_iter().find_map(|len| {
            let packet = Self::Frame { in_port, bytes: compose(key, len) };
            (packet.key() == *key).then_some(packet)
        })
    }

    /// Its key, with an OpenFlow port number.
    #[must_use]
    pub fn key(&self) -> Flow {
        let mut key = match self {
            Self::Flow(flow) => **flow,
            Self::Frame { in_port, bytes } => extract(bytes, &FlowMeta::of_port(in_port.0)).flow,
        };
        if key.eth_type() == ethertype::IPV4 && key.nw_proto() == ip_proto::IGMP {
            // No words say what is in it.
            key.set_word(TP, 0);
        }
        key
    }
}

/// Leaves out which extension headers there are, of which Open vSwitch does not speak.
#[must_use]
pub fn without_exthdr(text: &str) -> String {
    match text.split_once(",ipv6_exthdr=") {
        Some((front, rest)) => {
            let (_, rest) = rest.split_once(',').unwrap_or(("", ""));
            format!("{front},{rest}")
        }
        None => text.to_owned(),
    }
}

/// A flow in words that are read again: Open vSwitch prints some that it does not read.
fn flow_words(flow: &Flow) -> String {
    let text = without_exthdr(&flow.to_string()).replace("vlan_tci1=0x0000,", "");
    let (proto, is_v6) = (flow.nw_proto(), flow.eth_type() == ethertype::IPV6);
    match proto {
        ip_proto::UDP => text.replace("tp_", "udp_"),
        ip_proto::SCTP => text.replace("tp_", "sctp_"),
        ip_proto::IGMP if !is_v6 => text.replace(",tp_src=0,tp_dst=0", ""),
        ip_proto::ICMPV6 if is_v6 => text.replace("icmp_", "icmpv6_"),
        _ => text,
    }
}

/// A flow in the words of a datapath, which has other numbers for ports.
fn datapath_words(flow: &Flow) -> String {
    let mut key = *flow;
    if flow.in_port() == OfPort::LOCAL.0 {
        key.set_in_port(DP_LOCAL);
    }
    let mut mask = Mask::of_packet(flow);
    mask.set_vlan_tpid(u16::MAX);
    mask.set_vlan_tpid1(u16::MAX);
    KeyText { key: &key, mask: &mask, names: None }.to_string()
}

fn port_word(port: OfPort) -> String {
    if port == OfPort::LOCAL { "LOCAL".to_owned() } else { port.0.to_string() }
}

impl RuleSet {
    /// The rules and packets of a number; the same number gives the same ones.
    #[must_use]
    pub fn new(seed: u64, n_packets: usize) -> Self {
        let mut rng = Rng::new(seed);
        let rng = &mut rng;
        let world = World::new(N_PORTS);
        let n_bases = 1 + rng.below(5);
        let bases: Vec<Packet> = (0..n_bases).map(|_| packet(rng, &world)).collect();
        let packets: Vec<Packet> = (0..n_packets)
            .map(|n| match bases.get(n) {
                Some(base) => base.clone(),
                None if rng.one_in(3) => packet(rng, &world),
                None => {
                    let base = rng.below(bases.len());
                    frames::varied(rng, &world, &bases[base])
                }
            })
            .collect();
        let keys: Vec<Flow> = packets.iter().map(Packet::key).collect();
        let groups = groups::groups(rng, &world);
        let n_groups = groups.len();
        let mut flows = Vec::new();
        let n_rules = 4 + rng.below(24);
        for n in 0..n_rules {
            // The first tables have the most rules.
            let n_tables = 1 + rng.below(usize::from(LAST_TABLE) + 1);
            let table = rng.below(n_tables) as u8;
            // No two of one priority: some low, some high, in no order.
            let priority = 1 + (n * 7919) % 1021 + 1021 * rng.below(3);
            let key = keys[rng.below(keys.len())];
            if rng.one_in(16) {
                flows.extend(conjunction(rng, &world, n_groups, &keys, (table, priority)));
            } else {
                let mut maker = actions::Maker::new(rng, &world, n_groups, table);
                flows.push(maker.rule(&key, priority));
            }
        }
        // What misses goes somewhere most of the time.
        for table in 0..=LAST_TABLE {
            if !rng.one_in(3) {
                let mut maker = actions::Maker::new(rng, &world, n_groups, table);
                flows.push(maker.miss());
            }
        }
        // Only the last version can say how a group selects.
        let is_old =
            rng.one_in(2) && !groups.iter().any(|group| group.contains("selection_method"));
        // Nicira's ingress port can be written in the versions before.
        if !is_old {
            flows.retain(|flow| !flow.contains("->NXM_OF_IN_PORT[]"));
        }
        let version = if is_old { "OpenFlow14" } else { "OpenFlow15" };
        Self { version, groups, flows, packets }
    }
}

/// A rule that matches a conjunction, and the parts of it.
fn conjunction(
    rng: &mut Rng,
    world: &World,
    n_groups: usize,
    keys: &[Flow],
    (table, priority): (u8, usize),
) -> Vec<String> {
    // One conjunction has one priority, so its number is free.
    let id = priority;
    let n_clauses = 2 + rng.below(2);
    let mut flows: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for clause in 1..=n_clauses {
        for _ in 0..1 + rng.below(3) {
            let key = keys[rng.below(keys.len())];
            let words = matches::text(&matches::narrow(rng, world, &key));
            // The same match twice is one rule.
            if !seen.contains(&words) {
                flows.push(format!(
                    "table={table},priority={priority},{words},actions=conjunction({id},{clause}/{n_clauses})"
                ));
                seen.push(words);
            }
        }
    }
    let mut maker = actions::Maker::new(rng, world, n_groups, table);
    flows.push(maker.of_conjunction(id, priority));
    flows
}

fn packet(rng: &mut Rng, world: &World) -> Packet {
    let in_port = if rng.one_in(12) { OfPort::LOCAL } else { world.port(rng) };
    let bytes = frames::frame(rng, world);
    let packet = Packet::Frame { in_port, bytes };
    if !rng.one_in(4) {
        return packet;
    }
    let mut flow = packet.key();
    for _ in 0..rng.below(4) {
        let field = rng.pick(&[
            Field::Reg0,
            Field::Reg1,
            Field::Reg7,
            Field::Xreg5,
            Field::Metadata,
            Field::TunnelId,
            Field::PktMark,
        ]);
        flow.set(field, small(rng));
    }
    if has_words(&flow) { Packet::Flow(Box::new(flow)) } else { packet }
}

/// Whether all of a flow can be said in words that are read again: inner tags and labels cannot.
fn has_words(flow: &Flow) -> bool {
    let is_discovery = flow::Prereq::Nd.holds(flow);
    let has_one_label = !flow.is_mpls() || flow.n_mpls() == 1 && flow.get(Field::MplsBos) == 1;
    !is_discovery
        && has_one_label
        && flow.n_vlans() < 2
        && (flow.n_vlans() == 0 || flow.vlan_tpid() == 0x8100)
}

/// A small number, so that values meet.
fn small(rng: &mut Rng) -> u128 {
    rng.pick(&[0, 1, 2, 3, 5, 0xff, 0x100, 0xabcd])
}
