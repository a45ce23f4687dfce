//! Random rules: valid ones, whose actions suit what they match (OpenFlow 1.3.5 §6.4).

use flow::proto::VLAN_PRESENT;
use flow::proto::eth_type as ethertype;
use flow::{Field, Flow, FlowMeta, Match, Prereq};
use openflow::{Action, Instructions, OfPort};

use super::{Rng, World};
use crate::Rule;

/// What rules may do.
#[derive(Debug, Clone, Copy)]
pub struct RuleOptions {
    /// Rules in each table.
    pub n_rules: usize,
    /// Tables 0 to `n_tables - 1`; more than one makes goto, metadata and action sets.
    pub n_tables: u8,
    /// Whether rules use NORMAL.
    pub normal: bool,
    /// Whether rules send to the controller.
    pub controller: bool,
    /// Whether rules push and pop MPLS labels.
    pub mpls: bool,
}

impl Default for RuleOptions {
    fn default() -> Self {
        Self { n_rules: 12, n_tables: 3, normal: true, controller: true, mpls: true }
    }
}

/// Fields that a match takes over from a frame, with the masks that it may have. Prerequisites
/// come before what needs them.
const MATCHED: &[(Field, &[u128])] = &[
    (Field::InPort, &[u128::MAX]),
    (Field::Metadata, &[u128::MAX, 0xf, 0x80]),
    (Field::EthDst, &[u128::MAX, 0x0100_0000_0000]),
    (Field::EthSrc, &[u128::MAX]),
    (Field::VlanVid, &[u128::MAX, VLAN_PRESENT as u128]),
    (Field::VlanPcp, &[u128::MAX]),
    (Field::MplsLabel, &[u128::MAX]),
    (Field::MplsTc, &[u128::MAX]),
    (Field::MplsBos, &[u128::MAX]),
    (Field::IpDscpShifted, &[u128::MAX]),
    (Field::IpEcn, &[u128::MAX]),
    (Field::IpTtl, &[u128::MAX]),
    (Field::IpFrag, &[u128::MAX]),
    (Field::Ipv4Src, &[u128::MAX, 0xff00_0000, 0xffff_ff00, 0xff]),
    (Field::Ipv4Dst, &[u128::MAX, 0x8000_0000, 0xffff_0000]),
    (Field::Ipv6Src, &[u128::MAX, !(u128::MAX >> 32)]),
    (Field::Ipv6Dst, &[u128::MAX, !(u128::MAX >> 48)]),
    (Field::Ipv6Label, &[u128::MAX]),
    (Field::ArpOp, &[u128::MAX]),
    (Field::ArpSpa, &[u128::MAX, 0xffff_0000]),
    (Field::ArpTpa, &[u128::MAX]),
    (Field::ArpSha, &[u128::MAX]),
    (Field::TcpSrc, &[u128::MAX, 0xfff0]),
    (Field::TcpDst, &[u128::MAX, 0xff00]),
    (Field::TcpFlags, &[u128::MAX, 0x2]),
    (Field::UdpSrc, &[u128::MAX]),
    (Field::UdpDst, &[u128::MAX, 0x8000]),
    (Field::SctpDst, &[u128::MAX]),
    (Field::Icmpv4Type, &[u128::MAX]),
    (Field::Icmpv6Type, &[u128::MAX]),
];

impl World {
    /// A set of rules. Priorities within a table differ, so that what a packet does is certain; table
    /// 0 has a table-miss rule, the others often.
    pub fn rules(&self, rng: &mut Rng, options: &RuleOptions) -> Vec<Rule> {
        let mut rules = Vec::new();
        for table_id in 0..options.n_tables {
            for n in 0..options.n_rules {
                let match_ = self.match_(rng);
                let priority = 10 + 10 * n as u16 + rng.below(9) as u16;
                rules.push(self.rule(rng, options, table_id, priority, match_));
            }
            if table_id == 0 || rng.one_in(2) {
                rules.push(self.rule(rng, options, table_id, 0, Match::CATCHALL));
            }
        }
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.cookie = index as u64;
        }
        rules
    }

    /// A match that some frame of this world fulfils.
    pub fn match_(&self, rng: &mut Rng) -> Match {
        let (port, frame) = (self.port(rng), self.frame(rng));
        let mut flow = flow::extract(&frame, &FlowMeta::of_port(port.0)).flow;
        flow.set_metadata(rng.pick(&[0, 1, 0x81]));
        let mut match_ = Match::CATCHALL;
        if !rng.one_in(5) {
            match_.set_exact(Field::EthType, flow.eth_type().into());
        }
        if flow.is_ip() && match_.mask().eth_type() != 0 && rng.one_in(2) {
            match_.set_exact(Field::IpProto, flow.nw_proto().into());
        }
        for _ in 0..1 + rng.below(3) {
            let (field, masks) = rng.pick(MATCHED);
            let mask = rng.pick(masks) & field.ones();
            // A later fragment has no ports, and the lookup sees none in a first one.
            let is_transport = has_transport_prereq(field);
            let fits = field.spec().prereq.holds(&flow) && match_.satisfies(field.spec().prereq);
            if fits && !(is_transport && flow.nw_frag() != 0) {
                match_.set(field, flow.get(field) & mask, mask);
            }
        }
        match_
    }

    fn rule(
        &self,
        rng: &mut Rng,
        options: &RuleOptions,
        table_id: u8,
        priority: u16,
        match_: Match,
    ) -> Rule {
        let mut instructions = Instructions::default();
        // What is known of the packet while the actions run.
        let mut known = *match_.flow();
        let is_last = table_id + 1 >= options.n_tables;
        if is_last || !rng.one_in(4) {
            for _ in 0..rng.below(4) {
                instructions.apply.extend(self.change(rng, options, table_id, &mut known));
                if rng.one_in(2) {
                    instructions.apply.push(self.output(rng, options));
                }
            }
            if is_last && !rng.one_in(4) {
                instructions.apply.push(self.output(rng, options));
            }
        }
        if !is_last && !rng.one_in(3) {
            instructions.goto_table = Some(table_id + 1);
            if rng.one_in(3) {
                instructions.metadata = Some((rng.pick(&[1, 0x81, 0x80]), rng.pick(&[0xff, 0x81])));
            }
        }
        instructions.clear = rng.one_in(8);
        if rng.one_in(3) {
            // Set-fields only: the order of the others in a set is not that of writing.
            instructions.write.extend(self.set_field(rng, &known));
            instructions.write.push(self.output(rng, options));
        }
        Rule { table_id, priority, match_, instructions, cookie: 0 }
    }

    fn output(&self, rng: &mut Rng, options: &RuleOptions) -> Action {
        let port = match rng.below(12) {
            0 => OfPort::ALL,
            1 => OfPort::FLOOD,
            2 => OfPort::IN_PORT,
            3 if options.normal => OfPort::NORMAL,
            4 if options.controller => OfPort::CONTROLLER,
            _ => self.port(rng),
        };
        let max_len = if port == OfPort::CONTROLLER { u16::MAX } else { 0 };
        Action::Output { port, max_len }
    }

    /// Actions that change a packet of which `known` is known, or none; updates `known`.
    fn change(
        &self,
        rng: &mut Rng,
        options: &RuleOptions,
        table_id: u8,
        known: &mut Flow,
    ) -> Vec<Action> {
        match rng.below(8) {
            // Frames come with one tag at most and only table 0 adds one, so there are never more
            // than the two that a key holds. A tag gets an id: what NORMAL does to one without is
            // nobody's business here.
            0 if table_id == 0 && !known.has_vlan() && known.eth_type() != 0 => {
                known.push_vlan(ethertype::VLAN, 0);
                let id = VLAN_PRESENT | rng.pick(&self.vlans);
                vec![
                    Action::PushVlan(ethertype::VLAN),
                    Action::set_field(Field::VlanVid, id.into()),
                ]
            }
            1 if known.has_vlan() => {
                known.pop_vlan();
                vec![Action::PopVlan]
            }
            2 if options.mpls => mpls_change(rng, known).into_iter().collect(),
            3 if known.is_ip() => vec![Action::DecTtl(vec![0])],
            3 if known.is_mpls() => vec![Action::DecMplsTtl],
            _ => self.set_field(rng, known).into_iter().collect(),
        }
    }

    fn set_field(&self, rng: &mut Rng, known: &Flow) -> Option<Action> {
        let tp = rng.pick(&self.tp_ports).into();
        let (field, value): (Field, u128) = match rng.below(20) {
            0 => (Field::EthSrc, mac(rng.pick(&self.macs))),
            1 => (Field::EthDst, mac(rng.pick(&self.macs))),
            2 => (Field::VlanVid, (VLAN_PRESENT | rng.pick(&self.vlans)).into()),
            3 => (Field::VlanPcp, rng.below(8) as u128),
            4 => (Field::MplsLabel, rng.pick(&self.labels).into()),
            5 => (Field::MplsTc, rng.below(8) as u128),
            6 => (Field::Ipv4Src, rng.pick(&self.ipv4).into()),
            7 => (Field::Ipv4Dst, rng.pick(&self.ipv4).into()),
            8 => (Field::Ipv6Src, rng.pick(&self.ipv6)),
            9 => (Field::Ipv6Dst, rng.pick(&self.ipv6)),
            10 => (Field::Ipv6Label, 0x777),
            11 => (Field::IpDscpShifted, rng.below(64) as u128),
            12 => (Field::IpEcn, rng.below(4) as u128),
            13 => (Field::ArpSpa, rng.pick(&self.ipv4).into()),
            14 => (Field::ArpTha, mac(rng.pick(&self.macs))),
            15 => (Field::TcpSrc, tp),
            16 => (Field::TcpDst, tp),
            17 => (Field::UdpDst, tp),
            18 => (Field::SctpSrc, tp),
            _ => (Field::UdpSrc, tp),
        };
        let is_missing = field == Field::VlanVid && !known.has_vlan();
        (!is_missing && field.spec().prereq.holds(known)).then(|| Action::set_field(field, value))
    }
}

/// Pushes a label, or pops one where it is known what is behind it.
fn mpls_change(rng: &mut Rng, known: &mut Flow) -> Option<Action> {
    if known.eth_type() == ethertype::IPV4 && rng.one_in(2) {
        known.set_mpls_lse(0, 0x100);
        known.set_eth_type(ethertype::MPLS);
        known.clear_above_l2();
        return Some(Action::PushMpls(ethertype::MPLS));
    }
    let is_bottom = known.mpls_lse(0) & 0x100 != 0;
    if known.is_mpls() && is_bottom {
        // Frames of this world carry IPv4 below their labels, and rules push labels on IPv4 only.
        known.set_mpls_lse(0, 0);
        known.set_eth_type(ethertype::IPV4);
        return Some(Action::PopMpls(ethertype::IPV4));
    }
    None
}

fn has_transport_prereq(field: Field) -> bool {
    matches!(
        field.spec().prereq,
        Prereq::Tcp | Prereq::Udp | Prereq::Sctp | Prereq::Icmpv4 | Prereq::Icmpv6
    )
}

fn mac(address: [u8; 6]) -> u128 {
    flow::EtherAddr(address).to_u64().into()
}
