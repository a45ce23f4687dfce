//! Random rules: actions that fit what their rule matches, as the tool and the switch demand.

use flow::proto::{eth_type as ethertype, ip_proto};
use flow::text::{NoNames, ValueText};
use flow::{Field, Flow, Match};
use oracle::random::{Rng, World};

use super::frames::value;
use super::{LAST_TABLE, matches, port_word};

/// Makes rules of one table.
#[derive(Debug)]
pub(super) struct Maker<'a> {
    rng: &'a mut Rng,
    world: &'a World,
    n_groups: usize,
    table: u8,
    /// What is known of the packets when an action sees them.
    known: Flow,
    /// How many lists of actions are open.
    depth: usize,
}

impl<'a> Maker<'a> {
    pub(super) fn new(rng: &'a mut Rng, world: &'a World, n_groups: usize, table: u8) -> Self {
        Self { rng, world, n_groups, table, known: Flow::ZERO, depth: 0 }
    }

    /// A rule that such a packet may meet.
    pub(super) fn rule(&mut self, key: &Flow, priority: usize) -> String {
        let match_ = matches::any(self.rng, self.world, key);
        self.known = known(&match_);
        let words = matches::text(&match_);
        let (table, actions) = (self.table, self.instructions());
        format!("table={table},priority={priority},{words},actions={actions}")
    }

    /// The rule for what meets no other.
    pub(super) fn miss(&mut self) -> String {
        let (table, actions) = (self.table, self.instructions());
        format!("table={table},priority=0,actions={actions}")
    }

    /// The rule that a conjunction leads to.
    pub(super) fn of_conjunction(&mut self, id: usize, priority: usize) -> String {
        let (table, actions) = (self.table, self.instructions());
        format!("table={table},priority={},conj_id={id},actions={actions}", priority + 5000)
    }

    fn instructions(&mut self) -> String {
        if self.rng.one_in(16) {
            return "drop".to_owned();
        }
        let mut words = Vec::new();
        if self.rng.one_in(12) {
            words.push(format!("meter:{}", 1 + self.rng.below(2)));
        }
        let n = self.rng.pick(&[1, 1, 2, 2, 3, 4, 6]);
        let tables = self.known;
        words.extend(self.list(n));
        // What is written is done to the packet as it came in, as far as the switch can know.
        self.known = tables;
        if self.rng.one_in(8) {
            words.push("clear_actions".to_owned());
        }
        if self.rng.one_in(6) {
            words.push(format!("write_actions({})", self.written()));
        }
        if self.rng.one_in(8) {
            let value = self.rng.below(16);
            words.push(format!("write_metadata:{value:#x}/0xff"));
        }
        if self.table < LAST_TABLE && self.rng.one_in(3) {
            words.push(format!("goto_table:{}", self.later_table()));
        }
        words.join(",")
    }

    fn later_table(&mut self) -> u8 {
        let n = usize::from(LAST_TABLE - self.table);
        self.table + 1 + self.rng.below(n) as u8
    }

    fn list(&mut self, n: usize) -> Vec<String> {
        (0..n).map(|_| self.action()).collect()
    }

    /// An action of the action set, at most one of a kind.
    fn written(&mut self) -> String {
        let mut words = vec![format!("output:{}", port_word(self.world.port(self.rng)))];
        if self.rng.one_in(3) {
            words.push("set_field:02:00:00:00:00:0c->eth_src".to_owned());
        }
        if self.rng.one_in(4) {
            words
                .push("push_vlan:0x8100,set_field:4116->vlan_vid,set_field:1->vlan_pcp".to_owned());
        }
        if self.rng.one_in(4) && self.n_groups > 0 {
            words.push(format!("group:{}", 1 + self.rng.below(self.n_groups)));
        }
        if self.rng.one_in(4) && self.known.is_ip() {
            words.push("dec_ttl".to_owned());
        }
        words.join(",")
    }

    fn action(&mut self) -> String {
        loop {
            if let Some(words) = self.maybe_action() {
                return words;
            }
        }
    }

    /// An action, unless the one that was drawn does not fit.
    fn maybe_action(&mut self) -> Option<String> {
        Some(match self.rng.below(40) {
            0..=7 => self.output(),
            8..=13 => self.set_field()?,
            14 | 15 => self.load()?,
            16 | 17 => self.move_()?,
            18 | 19 if self.table < LAST_TABLE => {
                let table = self.later_table();
                if self.rng.one_in(3) {
                    format!("resubmit({},{table})", self.port())
                } else {
                    format!("resubmit(,{table})")
                }
            }
            20 | 21 => self.vlan()?,
            22 | 23 => self.mpls()?,
            24 | 25 if self.known.is_ip() => match self.rng.below(3) {
                0 => "dec_ttl(1,2)".to_owned(),
                1 => format!("mod_nw_ttl:{}", self.rng.pick(&[1, 64])),
                _ => "dec_ttl".to_owned(),
            },
            26 if self.n_groups > 0 => format!("group:{}", 1 + self.rng.below(self.n_groups)),
            27 if self.depth < 3 => {
                self.depth += 1;
                let outer = self.known;
                let n = 1 + self.rng.below(3);
                let inner = self.list(n).join(",");
                self.known = outer;
                self.depth -= 1;
                format!("clone({inner})")
            }
            28 if self.depth == 0 => self.learn(),
            29 => self.multipath(),
            30 => self.bundle(),
            31 => {
                let field =
                    self.rng.pick(&["NXM_NX_REG0[]", "NXM_NX_REG3[0..15]", "NXM_OF_ETH_SRC[]"]);
                let back = if field.contains("ETH") { "NXM_OF_ETH_DST[]" } else { field };
                format!("push:{field},pop:{back}")
            }
            32 => format!("set_queue:{}", self.rng.below(3)),
            33 => "pop_queue".to_owned(),
            34 => format!("set_tunnel:{:#x}", self.rng.below(9)),
            35 => format!("note:0{}.ff", self.rng.below(9)),
            36 if self.rng.one_in(3) => "exit".to_owned(),
            37 if self.known.is_ip() && self.known.nw_proto() == ip_proto::TCP => {
                "fin_timeout(idle_timeout=5)".to_owned()
            }
            38 => self.controller(),
            39 if self.rng.one_in(2) => {
                format!("output(port={},max_len={})", self.port(), self.rng.pick(&[64, 100, 1500]))
            }
            _ => return None,
        })
    }

    fn port(&mut self) -> String {
        port_word(self.world.port(self.rng))
    }

    fn output(&mut self) -> String {
        match self.rng.below(16) {
            0 => "in_port".to_owned(),
            1 => "flood".to_owned(),
            2 => "all".to_owned(),
            3 => "local".to_owned(),
            4 => "normal".to_owned(),
            5 => "controller".to_owned(),
            6 => self.rng.pick(&["output:NXM_NX_REG0[0..15]", "output:NXM_NX_REG1[]"]).to_owned(),
            7 => format!("enqueue:{}:{}", self.port(), self.rng.below(3)),
            8 => "output:99".to_owned(),
            _ => format!("output:{}", self.port()),
        }
    }

    fn controller(&mut self) -> String {
        let words = self.rng.pick(&[
            "controller:100",
            "controller(reason=no_match,max_len=50)",
            "controller(userdata=01.02)",
            "controller(id=7)",
            "controller(reason=invalid_ttl,userdata=00)",
        ]);
        words.to_owned()
    }

    /// Fields that may be written to such packets.
    fn writable(&mut self) -> Vec<Field> {
        let no = [
            Field::InPort,
            Field::TunSrc,
            Field::TunDst,
            Field::TunMetadata0,
            Field::TunMetadata1,
            // Open vSwitch does not write what says how to read the rest.
            Field::EthType,
            Field::IpProto,
            Field::MplsBos,
            Field::TcpFlags,
            Field::DlVlan,
            Field::DlVlanPcp,
            Field::IpDscpShifted,
            Field::VlanTci,
            Field::Ipv6Exthdr,
            Field::PbbIsid,
            Field::PbbUca,
        ];
        let mut fields: Vec<Field> = Field::all()
            .filter(|field| field.spec().writable && !no.contains(field))
            .filter(|field| field.spec().prereq.holds(&self.known))
            .filter(|field| *field != Field::VlanVid || self.known.has_vlan())
            .collect();
        // Registers are many.
        if !self.rng.one_in(3) {
            fields
                .retain(|field| field.spec().prereq != flow::Prereq::None || *field == Field::Reg0);
        }
        fields
    }

    fn set_field(&mut self) -> Option<String> {
        let fields = self.writable();
        let field = self.rng.pick(&fields);
        let value = value(self.rng, self.world, field);
        let mut mask = matches::mask(self.rng, field);
        if field == Field::VlanVid {
            mask = field.ones();
        }
        let value = value & mask;
        let text = ValueText { field, value, mask, ports: &NoNames };
        Some(format!("set_field:{text}->{}", field.name()))
    }

    /// Some bits of a field.
    fn subfield(&mut self, field: Field, most: u8) -> (u8, u8) {
        let n_bits = width(field);
        let len = 1 + self.rng.below(usize::from(n_bits.min(most))) as u8;
        let len = if self.rng.one_in(2) { n_bits.min(most) } else { len };
        let first = self.rng.below(usize::from(n_bits - len) + 1) as u8;
        (first, len)
    }

    fn load(&mut self) -> Option<String> {
        let fields = self.writable();
        let field = self.rng.pick(&fields);
        if self.rng.one_in(12) {
            return Some(format!("load:{}->NXM_OF_IN_PORT[]", self.rng.below(7)));
        }
        if matches!(field, Field::VlanVid | Field::IpDscp) {
            return None;
        }
        let (first, len) = self.subfield(field, 64);
        let most = u64::MAX >> (64 - u32::from(len));
        let value = if self.rng.one_in(2) { self.rng.next_u64() } else { self.rng.next_u64() & 7 };
        Some(format!("load:{:#x}->{}", value & most, bits(field, first, len)))
    }

    fn move_(&mut self) -> Option<String> {
        let fields = self.writable();
        let dst = self.rng.pick(&fields);
        let sources: Vec<Field> = Field::all()
            .filter(|field| field.spec().prereq.holds(&self.known) && is_readable(*field))
            .collect();
        let src = self.rng.pick(&sources);
        if matches!(dst, Field::VlanVid | Field::IpDscp)
            || matches!(src, Field::VlanVid | Field::IpDscp)
        {
            return None;
        }
        let most = width(src).min(width(dst));
        let (to, len) = self.subfield(dst, most);
        let from = self.rng.below(usize::from(width(src) - len) + 1) as u8;
        Some(format!("move:{}->{}", bits(src, from, len), bits(dst, to, len)))
    }

    fn vlan(&mut self) -> Option<String> {
        Some(match self.rng.below(6) {
            0 | 1 => {
                let tpid = self.rng.pick(&["0x8100", "0x8100", "0x88a8"]);
                let vid = self.rng.pick(&self.world.vlans);
                // What one may say of a packet with two tags is that it has one.
                self.known.set_vlan_tci(0x1000);
                let pcp = self.rng.below(8);
                // Both parts of the new tag: what it has before is not the same for both.
                format!(
                    "push_vlan:{tpid},set_field:{}->vlan_vid,set_field:{pcp}->vlan_pcp",
                    vid | 0x1000
                )
            }
            2 | 3 => {
                self.known.set_vlan_tci(0);
                self.rng.pick(&["pop_vlan", "strip_vlan"]).to_owned()
            }
            4 if self.known.has_vlan() => {
                format!("mod_vlan_vid:{}", self.rng.pick(&self.world.vlans))
            }
            5 if self.known.has_vlan() => format!("mod_vlan_pcp:{}", self.rng.below(8)),
            _ => return None,
        })
    }

    fn mpls(&mut self) -> Option<String> {
        Some(if self.known.is_mpls() {
            match self.rng.below(6) {
                0 => "dec_mpls_ttl".to_owned(),
                1 => format!("set_mpls_label:{}", self.rng.pick(&self.world.labels)),
                2 => format!("set_mpls_tc:{}", self.rng.below(8)),
                3 => format!("set_mpls_ttl:{}", self.rng.pick(&[1, 64])),
                4 => {
                    let kind = self.rng.pick(&[ethertype::IPV4, ethertype::IPV6, ethertype::MPLS]);
                    self.known = Flow::ZERO;
                    self.known.set_eth_type(kind);
                    format!("pop_mpls:{kind:#x}")
                }
                _ => {
                    let kind = self.known.eth_type();
                    format!("push_mpls:{kind:#x}")
                }
            }
        } else {
            let vlan = self.known.vlan_tci();
            self.known = Flow::ZERO;
            self.known.set_vlan_tci(vlan);
            self.known.set_eth_type(ethertype::MPLS);
            "push_mpls:0x8847".to_owned()
        })
    }

    fn learn(&mut self) -> String {
        let what = self.rng.pick(&[
            "NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]",
            "NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:NXM_OF_IN_PORT[]->NXM_NX_REG0[0..15]",
            "eth_type=0x800,load:5->NXM_NX_REG1[]",
            "in_port=1,load:0x7->NXM_NX_REG2[0..3]",
        ]);
        let table = if self.table < LAST_TABLE { self.later_table() } else { LAST_TABLE + 1 };
        format!("learn(table={table},hard_timeout=60,{what})")
    }

    fn multipath(&mut self) -> String {
        let fields = self.rng.pick(&[
            "eth_src",
            "symmetric_l4",
            "symmetric_l3l4",
            "symmetric_l3l4+udp",
            "nw_src",
            "nw_dst",
            "symmetric_l3",
        ]);
        let algorithm = self.rng.pick(&["modulo_n", "hash_threshold", "hrw"]);
        // With one link there is no choice.
        format!("multipath({fields},50,{algorithm},1,0,NXM_NX_REG2[0..7])")
    }

    fn bundle(&mut self) -> String {
        let fields =
            self.rng.pick(&["eth_src", "symmetric_l4", "symmetric_l3l4", "nw_src", "nw_dst"]);
        let port = self.port();
        match self.rng.below(3) {
            0 => format!("bundle({fields},0,active_backup,ofport,members:77,{port})"),
            1 => format!("bundle({fields},0,hrw,ofport,members:{port})"),
            _ => format!(
                "bundle_load({fields},0,active_backup,ofport,NXM_NX_REG0[0..15],members:{port},2)"
            ),
        }
    }
}

/// Bits that can be written: an ARP operation above 255 is none, and Nicira's `in_port` has 16.
fn width(field: Field) -> u8 {
    match field {
        Field::ArpOp => 8,
        Field::InPort => 16,
        _ => field.spec().n_bits,
    }
}

/// `name[first..last]`.
fn bits(field: Field, first: u8, len: u8) -> String {
    let name = field.name();
    if first == 0 && len == field.spec().n_bits && field != Field::InPort {
        return format!("{name}[]");
    }
    format!("{name}[{first}..{}]", first + len - 1)
}

/// Whether a move may read it.
fn is_readable(field: Field) -> bool {
    field.spec().wire_ids().next().is_some()
        && !matches!(
            field,
            Field::DpHash
                | Field::RecircId
                | Field::PacketType
                | Field::ConjId
                | Field::TunSrc
                | Field::TunDst
                | Field::TunMetadata0
                | Field::TunMetadata1
                | Field::ActsetOutput
                | Field::IpDscpShifted
                | Field::Ipv6Exthdr
                | Field::PbbIsid
                | Field::PbbUca
        )
}

/// What a match says of its packets: a flow that has just that.
fn known(match_: &Match) -> Flow {
    let mut flow = Flow::ZERO;
    for field in [
        Field::EthType,
        Field::IpProto,
        Field::Icmpv6Type,
        Field::Icmpv6Code,
        Field::VlanTci,
        Field::IpFrag,
    ] {
        let (value, mask) = match_.get(field);
        if field == Field::VlanTci
            || field == Field::IpFrag
            || mask & field.value_ones() == field.value_ones()
        {
            flow.set(field, value);
        }
    }
    flow
}
