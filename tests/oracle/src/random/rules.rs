//! Random rules: valid ones, whose actions suit what they match (OpenFlow 1.3.5 §6.4).

use flow::proto::VLAN_PRESENT;
use flow::proto::eth_type as ethertype;
use flow::{Field, Flow, FlowMeta, Match, Prereq};
use openflow::{Action, Instructions, OfPort, Subfield};

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
    /// Whether rules push and pop VLAN tags, and with `mpls` labels.
    pub resizes: bool,
    /// Whether rules push and pop MPLS labels.
    pub mpls: bool,
    /// Whether rules use Nicira's actions: resubmit, moves, registers, truncation.
    pub nicira: bool,
    /// Groups 1 to this are there, and rules lead to them.
    pub n_groups: u32,
    /// Whether some of them are select groups.
    pub selects: bool,
    /// Meters 1 to this are there, and rules use them.
    pub n_meters: u32,
}

impl Default for RuleOptions {
    fn default() -> Self {
        Self {
            n_rules: 12,
            n_tables: 3,
            normal: true,
            controller: true,
            resizes: true,
            mpls: true,
            nicira: true,
            n_groups: 0,
            selects: false,
            n_meters: 0,
        }
    }
}

/// Fields that a match takes over from a frame, with the masks that it may have. Prerequisites
/// come before what needs them.
const MATCHED: &[(Field, &[u128])] = &[
    (Field::InPort, &[u128::MAX]),
    (Field::Metadata, &[u128::MAX, 0xf, 0x80]),
    (Field::Reg0, &[u128::MAX, 0x8000, 0x1]),
    (Field::EthDst, &[u128::MAX, 0x0100_0000_0000]),
    (Field::EthSrc, &[u128::MAX]),
    (Field::VlanVid, &[u128::MAX, VLAN_PRESENT as u128]),
    (Field::VlanPcp, &[u128::MAX, 4, 3]),
    (Field::ActsetOutput, &[u128::MAX]),
    (Field::PbbIsid, &[u128::MAX, 0xff, 0xf0_0000]),
    (Field::PbbUca, &[u128::MAX]),
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
    (Field::Ipv6Exthdr, &[u128::MAX, 0x40, 0x50]),
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

/// Fields that moves copy low bits between.
const MOVES: &[(Field, Field, u8)] = &[
    (Field::EthSrc, Field::EthDst, 8),
    (Field::EthDst, Field::EthSrc, 40),
    (Field::Ipv4Src, Field::Ipv4Dst, 32),
    (Field::Ipv4Dst, Field::Ipv4Src, 8),
    (Field::Ipv6Dst, Field::Ipv6Src, 64),
    (Field::TcpSrc, Field::TcpDst, 16),
    (Field::UdpDst, Field::UdpSrc, 9),
    (Field::TcpDst, Field::Reg0, 16),
    (Field::IpTtl, Field::Reg0, 1),
    (Field::VlanVid, Field::Reg0, 2),
    (Field::InPort, Field::Reg1, 16),
    (Field::Reg0, Field::Metadata, 16),
    (Field::Metadata, Field::Reg0, 32),
    (Field::Reg0, Field::EthSrc, 4),
    (Field::ArpSpa, Field::ArpTpa, 32),
    (Field::EthSrc, Field::ArpTha, 48),
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
        flow.set(Field::Reg0, rng.pick(&[0, 0, 1, 0x8001]));
        flow.set_actset_output(rng.pick(&[OfPort::UNSET, port]).0);
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
            if options.nicira && rng.one_in(3) {
                // What is known of the packet behind a resubmit is less, so it comes last.
                let n_later = usize::from(options.n_tables - 1 - table_id);
                instructions.apply.extend(self.nicira_end(rng, table_id, n_later));
            }
        }
        if !is_last && !rng.one_in(3) {
            instructions.goto_table = Some(table_id + 1);
            if rng.one_in(3) {
                instructions.metadata = Some((rng.pick(&[1, 0x81, 0x80]), rng.pick(&[0xff, 0x81])));
            }
        }
        instructions.clear = rng.one_in(8);
        if options.n_meters > 0 && rng.one_in(4) {
            instructions.meter = Some(1 + rng.below(options.n_meters as usize) as u32);
        }
        if rng.one_in(3) {
            // Set-fields only: the order of the others in a set is not that of writing.
            instructions.write.extend(self.set_field(rng, &known));
            instructions.write.push(self.output(rng, options));
        }
        Rule { table_id, priority, match_, instructions, cookie: 0 }
    }

    /// An output: to a port, most of the time, or to a group.
    pub fn output(&self, rng: &mut Rng, options: &RuleOptions) -> Action {
        if options.n_groups > 0 && rng.one_in(4) {
            return Action::Group(1 + rng.below(options.n_groups as usize) as u32);
        }
        self.output_to(rng, options)
    }

    pub(super) fn output_to(&self, rng: &mut Rng, options: &RuleOptions) -> Action {
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
            0 | 1 if !options.resizes => self.set_field(rng, known).into_iter().collect(),
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
            2 if options.mpls && options.resizes && rng.one_in(3) => pbb_change(rng, known),
            2 if options.mpls && options.resizes => mpls_change(rng, known).into_iter().collect(),
            3 if known.is_ip() => vec![Action::DecTtl(vec![0])],
            3 if known.is_mpls() => vec![Action::DecMplsTtl],
            4 | 5 if options.nicira => {
                let mut actions = self.nicira_change(rng, known);
                // What either branch of a check would learn is learned, as in Open vSwitch, and the
                // oracle goes one way only.
                let forks = |action: &Action| matches!(action, Action::CheckPktLarger { .. });
                actions.retain(|action| !(options.normal && forks(action)));
                actions
            }
            _ => self.set_field(rng, known).into_iter().collect(),
        }
    }

    /// Registers, moves, outputs that Nicira added, and what OpenFlow 1.0 has for changes.
    fn nicira_change(&self, rng: &mut Rng, known: &Flow) -> Vec<Action> {
        let tp = rng.pick(&self.tp_ports);
        let port = self.port(rng);
        let reg1 = Subfield::whole(Field::Reg1);
        match rng.below(11) {
            0 => vec![Action::SetField { field: Field::Reg0, value: 0x8000, mask: 0x8000 }],
            // Lengths that a frame does not pass by being filled up.
            9 => Subfield::new(Field::Reg0, rng.pick(&[0, 15]), 1)
                .map(|dst| Action::CheckPktLarger { len: rng.pick(&[100, 150, 250]), dst })
                .into_iter()
                .collect(),
            10 => masked_set_field(rng, known).into_iter().collect(),
            1 => Subfield::new(Field::Reg0, 0, 4)
                .map(|dst| Action::Load { dst, value: rng.below(2) as u64 })
                .into_iter()
                .collect(),
            2 => vec![
                Action::Load { dst: reg1, value: port.0.into() },
                Action::OutputReg { src: reg1, max_len: u16::MAX },
            ],
            3 => vec![Action::OutputTrunc { port, max_len: rng.pick(&[14, 20, 60, 1000]) }],
            4 if has_ports(known) => vec![Action::SetTpSrc(tp)],
            5 if has_ports(known) => vec![Action::SetTpDst(tp)],
            6 if known.has_vlan() => vec![Action::SetVlanPcp(rng.below(8) as u8)],
            7 if known.has_vlan() => vec![Action::SetVlanVid(rng.pick(&self.vlans))],
            _ => {
                let (from, to, n_bits) = rng.pick(MOVES);
                let holds = |field: Field| {
                    field.spec().prereq.holds(known)
                        && (field != Field::VlanVid || known.has_vlan())
                };
                let ends = (Subfield::new(from, 0, n_bits), Subfield::new(to, 0, n_bits));
                match ends {
                    (Some(src), Some(dst)) if holds(from) && holds(to) => {
                        vec![Action::Move { src, dst }]
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    /// What ends a list of actions: resubmits to one of the `n_later` tables behind this, and exits.
    fn nicira_end(&self, rng: &mut Rng, table_id: u8, n_later: usize) -> Vec<Action> {
        let mut actions = Vec::new();
        if n_later > 0 && !rng.one_in(4) {
            let port = if rng.one_in(2) { OfPort::IN_PORT } else { self.port(rng) };
            let table = table_id + 1 + rng.below(n_later) as u8;
            actions.push(Action::Resubmit { port, table });
            if rng.one_in(2) {
                actions.push(Action::output(self.port(rng)));
            }
        }
        if rng.one_in(4) {
            actions.push(Action::Exit);
        }
        actions
    }

    fn set_field(&self, rng: &mut Rng, known: &Flow) -> Option<Action> {
        let tp = rng.pick(&self.tp_ports).into();
        let (field, value): (Field, u128) = match rng.below(23) {
            20 => (Field::TcpFlags, rng.below(0x1000) as u128),
            21 => (Field::PbbIsid, rng.below(1 << 24) as u128),
            22 => (Field::PbbUca, rng.below(2) as u128),
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
    if known.is_mpls() && rng.one_in(3) {
        return Some(if rng.one_in(2) { Action::CopyTtlIn } else { Action::CopyTtlOut });
    }
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

/// Puts a backbone header in front, or takes one off; or gives the payload another name.
fn pbb_change(rng: &mut Rng, known: &mut Flow) -> Vec<Action> {
    if known.eth_type() == ethertype::PBB && rng.one_in(2) {
        // What the customer sends is not known.
        *known = Flow::ZERO;
        return vec![Action::PopPbb];
    }
    if known.is_ip() && rng.one_in(2) {
        known.clear_above_l2();
        known.set_nw_proto(253);
        return vec![Action::set_field(Field::IpProto, 253)];
    }
    if known.eth_type() == 0x9000 {
        known.set_eth_type(0x9001);
        return vec![Action::set_field(Field::EthType, 0x9001)];
    }
    if known.eth_type() == 0 {
        return Vec::new();
    }
    *known = Flow::ZERO;
    known.set_eth_type(ethertype::PBB);
    let isid = rng.below(1 << 24) as u128;
    vec![Action::PushPbb(ethertype::PBB), Action::set_field(Field::PbbIsid, isid)]
}

/// Some bits of a field.
fn masked_set_field(rng: &mut Rng, known: &Flow) -> Option<Action> {
    let fields = [
        Field::EthSrc,
        Field::VlanPcp,
        Field::Ipv4Dst,
        Field::Ipv6Src,
        Field::TcpDst,
        Field::TcpFlags,
        Field::UdpSrc,
        Field::ArpSpa,
        Field::PbbIsid,
    ];
    let field = rng.pick(&fields);
    let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let (mask, value) = (bits & field.ones(), bits.rotate_left(7));
    let is_set = mask != 0 && field.spec().prereq.holds(known);
    is_set.then_some(Action::SetField { field, value: value & mask, mask })
}

fn has_ports(known: &Flow) -> bool {
    [Field::TcpSrc, Field::UdpSrc, Field::SctpSrc]
        .iter()
        .any(|field| field.spec().prereq.holds(known))
}

fn has_transport_prereq(field: Field) -> bool {
    matches!(
        field.spec().prereq,
        Prereq::Tcp | Prereq::Udp | Prereq::Sctp | Prereq::Icmpv4 | Prereq::Icmpv6
    )
}

pub(super) fn mac(address: [u8; 6]) -> u128 {
    flow::EtherAddr(address).to_u64().into()
}
