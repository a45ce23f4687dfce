//! One packet on its way through the tables (OpenFlow 1.3.5 §5).

use flow::layout::TUN_METADATA;
use flow::{Field, Flow, FlowMeta, Segment};
use openflow::{Action, Bucket, GroupType, OfPort, PacketInReason, Subfield};

use crate::Frame;
use crate::action_set::ActionSet;
use crate::checksum::TcpZero;
use crate::meter::{Metered, remarked};
use crate::switch::{Oracle, Output, PacketIn, TableMiss, Verdict};
use crate::vlan::{self, PortVlan};

/// Lookups that may be nested, as in Open vSwitch.
const MAX_DEPTH: usize = 64;

/// Meters that a packet may pass. Behind one that remarks the switch takes the packet in anew, which
/// it does so often at most (and then counts a drop); so the oracle is not certain beyond.
const MAX_METERS: usize = 5;

/// Destinations that a bridge does not forward (IEEE 802.1Q table 8-1), as Open vSwitch's NORMAL.
const RESERVED: [u8; 5] = [0x01, 0x80, 0xc2, 0x00, 0x00];

/// How a list of actions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All were executed.
    Done,
    /// The rest of the rule is skipped.
    Stopped,
    /// Everything but the action set is skipped.
    Exited,
}

/// Whose actions are executed.
#[derive(Debug, Clone, Copy)]
struct Origin {
    table_id: u8,
    cookie: u64,
    reason: PacketInReason,
    /// They are a bucket's.
    is_bucket: bool,
}

pub(crate) struct Run<'a> {
    switch: &'a mut Oracle,
    in_port: OfPort,
    frame: Vec<u8>,
    /// The metadata words of the key: what the frame does not say.
    metadata: Flow,
    set: ActionSet,
    origin: Origin,
    depth: usize,
    /// A meter has dropped the packet: what follows has no effect outside.
    is_dropped: bool,
    n_metered: usize,
    choices: &'a mut Choices,
    verdict: Verdict,
}

/// Which ways a packet takes where there are several: all of them, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    /// For each decision, in order: the way, and how many there are.
    made: Vec<(usize, usize)>,
    n_asked: usize,
}

impl Choices {
    /// Goes on to the next combination; `false` if there is none.
    pub(crate) fn next(&mut self) -> bool {
        self.n_asked = 0;
        while let Some((way, n)) = self.made.pop() {
            if way + 1 < n {
                self.made.push((way + 1, n));
                return true;
            }
        }
        false
    }

    /// One of `n` ways, which are not none.
    fn choose(&mut self, n: usize) -> usize {
        if self.made.len() == self.n_asked {
            self.made.push((0, n));
        }
        self.n_asked += 1;
        self.made[self.n_asked - 1].0
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        switch: &'a mut Oracle,
        in_port: OfPort,
        frame: &[u8],
        choices: &'a mut Choices,
    ) -> Self {
        let mut metadata = Flow::ZERO;
        metadata.set_in_port(in_port.0);
        let reason = PacketInReason::PacketOut;
        let origin = Origin { table_id: 0, cookie: u64::MAX, reason, is_bucket: false };
        Self {
            switch,
            in_port,
            frame: frame.to_vec(),
            metadata,
            set: ActionSet::default(),
            origin,
            depth: 0,
            is_dropped: false,
            n_metered: 0,
            choices,
            verdict: Verdict::default(),
        }
    }

    pub(crate) fn packet_out(&mut self, actions: &[Action]) {
        self.execute(actions);
    }

    /// Executes the action set at the end of the pipeline (OpenFlow 1.3.5 §5.10). As in Open vSwitch
    /// that happens too when the last lookup missed or an action list ended early.
    pub(crate) fn finish(mut self) -> Verdict {
        self.origin.reason = PacketInReason::ActionSet;
        let actions = self.set.in_order();
        self.execute(&actions);
        self.verdict
    }

    /// Looks the packet up in a table and does what the rule says.
    pub(crate) fn table(&mut self, table_id: u8) {
        self.lookup(table_id, true);
    }

    fn lookup(&mut self, table_id: u8, is_pipeline: bool) -> End {
        self.lookup_as(self.key_port(), table_id, is_pipeline)
    }

    /// Looks up as if the packet had come in on `port`; the actions then see where it really did.
    fn lookup_as(&mut self, port: OfPort, table_id: u8, is_pipeline: bool) -> End {
        let mut key = self.key();
        key.set_in_port(port.0);
        if key.nw_frag() != 0 {
            // Fragments have no ports to match on (`OFPC_FRAG_NORMAL`).
            key.set_tp_src(0);
            key.set_tp_dst(0);
        }
        let Some((index, is_ambiguous)) = self.switch.lookup(table_id, &key) else {
            if is_pipeline {
                self.miss(table_id);
            }
            return End::Done;
        };
        self.verdict.rules.push(index);
        self.verdict.is_ambiguous |= is_ambiguous;
        let rule = self.switch.rules()[index].clone();
        let is_miss = rule.is_table_miss();
        let reason = if is_miss { PacketInReason::NoMatch } else { PacketInReason::Action };
        self.origin = Origin { table_id, cookie: rule.cookie, reason, is_bucket: false };
        let instructions = &rule.instructions;
        if let Some(meter) = instructions.meter {
            self.meter(meter);
        }
        match self.execute(&instructions.apply) {
            End::Done => {}
            End::Stopped => return End::Done,
            End::Exited => return End::Exited,
        }
        if instructions.clear {
            self.set.clear();
        }
        self.set.write(&instructions.write);
        if let Some((value, mask)) = instructions.metadata {
            let metadata = self.metadata.metadata() & !mask | value & mask;
            self.metadata.set_metadata(metadata);
        }
        match instructions.goto_table {
            Some(next) => self.lookup(next, true),
            None => End::Done,
        }
    }

    fn miss(&mut self, table_id: u8) {
        let is_silent = self.switch.port(self.in_port).is_some_and(|port| port.no_packet_in);
        if self.switch.table_miss == TableMiss::Controller && !is_silent {
            let reason = PacketInReason::NoMatch;
            self.origin = Origin { table_id, cookie: u64::MAX, reason, is_bucket: false };
            self.announce(PacketInReason::NoMatch, u16::MAX);
        }
    }

    /// The packet's key as it is.
    fn key(&self) -> Flow {
        let mut key = flow::extract(&self.frame, &FlowMeta::default()).flow;
        for word in Segment::Metadata.words().chain([TUN_METADATA]) {
            key.set_word(word, self.metadata.word(word));
        }
        key.set_actset_output(self.set.output().0);
        key
    }

    fn execute(&mut self, actions: &[Action]) -> End {
        for action in actions {
            match self.act(action) {
                End::Done => {}
                end => return end,
            }
        }
        End::Done
    }

    fn act(&mut self, action: &Action) -> End {
        match action {
            Action::Output { port, max_len } => return self.output(*port, *max_len),
            Action::OutputReg { src, max_len } => {
                let port = src.get(self.key().get(src.field)) as u32;
                return self.output(OfPort(port), *max_len);
            }
            // As Open vSwitch, which does not truncate for the ingress port by whichever name.
            Action::OutputTrunc { port: OfPort::IN_PORT, .. } => {}
            Action::OutputTrunc { port, max_len } => {
                let whole = self.frame.clone();
                self.frame.truncate(usize::try_from(*max_len).unwrap_or(usize::MAX));
                self.output(*port, 0);
                self.frame = whole;
            }
            Action::Enqueue { port, .. } => return self.output(*port, 0),
            Action::Controller(to) => {
                let is_own = to.reason == PacketInReason::Action;
                let reason = if is_own { self.origin.reason } else { to.reason };
                self.announce(reason, to.max_len);
            }
            Action::SetVlanVid(vid) => self.edit(|frame| frame.set_or_push_vlan(*vid, 0x0fff)),
            Action::SetVlanPcp(pcp) => {
                self.edit(|frame| frame.set_or_push_vlan(u16::from(*pcp) << 13, 0xe000));
            }
            Action::PopVlan => self.pop(Frame::pop_vlan),
            Action::PushVlan(tpid) => self.edit(|frame| frame.push_vlan(*tpid)),
            Action::PushMpls(ethertype) => {
                let key = self.key();
                self.edit(|frame| frame.push_mpls(*ethertype, &key));
            }
            Action::PopMpls(ethertype) => self.pop(|frame| frame.pop_mpls(*ethertype)),
            Action::PushPbb(_) => {
                let key = self.key();
                self.edit(|frame| frame.push_pbb(&key));
            }
            Action::PopPbb => self.pop(Frame::pop_pbb),
            // As Open vSwitch: the length of the packet as it is here.
            Action::CheckPktLarger { len, dst } => {
                self.verdict.is_forked = true;
                let is_larger = self.frame.len() > usize::from(*len);
                self.set_field(dst.field, u128::from(is_larger) << dst.offset, dst.mask());
            }
            Action::CopyTtlIn => self.edit(Frame::copy_ttl_in),
            Action::CopyTtlOut => self.edit(Frame::copy_ttl_out),
            Action::DecMplsTtl => {
                return self.decrement(Field::MplsTtl, |key| key.is_mpls(), 1);
            }
            Action::DecTtl(ids) => {
                return self.decrement(Field::IpTtl, |key| key.is_ip(), ids.len());
            }
            Action::SetTpSrc(port) => self.set_port(TP_SRC, *port),
            Action::SetTpDst(port) => self.set_port(TP_DST, *port),
            Action::Move { src, dst } => {
                let value = src.get(self.key().get(src.field));
                self.set_field(dst.field, dst.put(0, value), dst.mask());
            }
            Action::Resubmit { port, table } => return self.resubmit(*port, *table),
            Action::Group(id) => return self.group(*id),
            Action::Exit => return End::Exited,
            other => {
                if let Some((field, value, mask)) = other.written() {
                    self.set_field(field, value, mask);
                }
            }
        }
        End::Done
    }

    // ---- Changes ----

    fn edit(&mut self, change: impl FnOnce(&mut Frame)) {
        if let Some(mut frame) = Frame::parse(&self.frame) {
            let zero = if self.switch.is_unfinished { TcpZero::Ones } else { TcpZero::Zero };
            frame = frame.spelling(zero);
            change(&mut frame);
            self.frame = frame.to_bytes();
        }
    }

    /// Takes a tag off. What is then shorter than Ethernet allows is filled up with zeros.
    fn pop(&mut self, change: impl FnOnce(&mut Frame)) {
        const MINIMUM: usize = 60;
        let len = self.frame.len();
        self.edit(change);
        if self.frame.len() < len && self.frame.len() < MINIMUM {
            self.frame.resize(MINIMUM, 0);
        }
    }

    /// Writes a field; one that the packet does not have is left alone.
    fn set_field(&mut self, field: Field, value: u128, mask: u128) {
        let old = self.key();
        // A match on `vlan_vid` may ask for no tag, so the field has no prerequisite; setting it
        // needs one (OpenFlow 1.3.5 §5.12: set-field applies to the outermost header there is).
        let is_missing = field == Field::VlanVid && !old.has_vlan();
        // A frame with a length has no type.
        let is_missing = is_missing || field == Field::EthType && old.eth_type() == NO_TYPE;
        if is_missing || !field.spec().prereq.holds(&old) {
            return;
        }
        let mut new = old;
        new.set_masked(field, value, mask);
        for word in Segment::Metadata.words().chain([TUN_METADATA]) {
            self.metadata.set_word(word, new.word(word));
        }
        self.edit(|frame| frame.rewrite(&old, &new));
    }

    /// Sets the port of whichever transport protocol the packet has.
    fn set_port(&mut self, fields: [Field; 3], port: u16) {
        for field in fields {
            self.set_field(field, port.into(), field.ones());
        }
    }

    /// Decrements a TTL. A packet whose TTL runs out goes to the controllers and no further.
    fn decrement(&mut self, field: Field, has_ttl: impl Fn(&Flow) -> bool, n_ids: usize) -> End {
        let key = self.key();
        if !has_ttl(&key) {
            return End::Done;
        }
        let ttl = key.get(field);
        if ttl > 1 {
            self.set_field(field, ttl - 1, field.ones());
            return End::Done;
        }
        for _ in 0..n_ids.max(1) {
            self.announce(PacketInReason::InvalidTtl, u16::MAX);
        }
        End::Stopped
    }

    fn resubmit(&mut self, port: OfPort, table: u8) -> End {
        if self.depth >= MAX_DEPTH {
            return End::Exited;
        }
        let origin = self.origin;
        let port = if port == OfPort::IN_PORT { self.key_port() } else { port };
        let table = if table == u8::MAX { origin.table_id } else { table };
        self.depth += 1;
        let end = self.lookup_as(port, table, false);
        self.depth -= 1;
        self.origin = origin;
        end
    }

    // ---- Groups and meters ----

    /// Through a group (OpenFlow 1.3.5 §5.6): each bucket has a copy of the packet.
    fn group(&mut self, id: u32) -> End {
        if self.depth >= MAX_DEPTH {
            return End::Exited;
        }
        let Some(group) = self.switch.groups.get(&id).cloned() else {
            return End::Stopped;
        };
        let is_live = |bucket: &&Bucket| self.switch.is_live(bucket);
        let buckets: Vec<&Bucket> = match group.group_type {
            GroupType::All | GroupType::Indirect => group.buckets.iter().collect(),
            GroupType::FastFailover => group.buckets.iter().find(is_live).into_iter().collect(),
            GroupType::Select => {
                let live: Vec<&Bucket> =
                    group.buckets.iter().filter(is_live).filter(|b| b.weight > 0).collect();
                if live.is_empty() {
                    Vec::new()
                } else {
                    vec![live[self.choices.choose(live.len())]]
                }
            }
        };
        for bucket in buckets {
            let (frame, metadata, origin) = (self.frame.clone(), self.metadata, self.origin);
            self.origin.is_bucket = true;
            self.depth += 1;
            let mut set = ActionSet::default();
            set.write(&bucket.actions);
            self.execute(&set.in_order());
            self.depth -= 1;
            (self.frame, self.metadata, self.origin) = (frame, metadata, origin);
        }
        End::Done
    }

    /// Through a meter (OpenFlow 1.3.5 §5.7).
    fn meter(&mut self, id: u32) {
        self.verdict.is_metered = true;
        self.n_metered += 1;
        self.verdict.is_ambiguous |= self.n_metered > MAX_METERS;
        if self.is_dropped {
            return;
        }
        let (n_bytes, now) = (self.frame.len(), self.switch.now);
        let metered = self.switch.meters.get_mut(&id).map(|meter| meter.pass(n_bytes, now));
        match metered {
            None | Some(Metered::Passed) => {}
            Some(Metered::Dropped) => {
                self.is_dropped = true;
                self.verdict.dropped_at = Some(self.verdict.rules.len());
            }
            Some(Metered::Remarked(levels)) => {
                let dscp = self.key().get(Field::IpDscpShifted) as u8;
                let value = remarked(dscp, levels);
                self.set_field(Field::IpDscpShifted, value.into(), Field::IpDscpShifted.ones());
            }
        }
    }

    // ---- Outputs ----

    fn output(&mut self, port: OfPort, max_len: u16) -> End {
        match port {
            OfPort::IN_PORT => self.send(self.key_port()),
            OfPort::TABLE => {
                let origin = self.origin;
                self.lookup(0, true);
                self.origin = origin;
            }
            OfPort::NORMAL => self.normal(),
            OfPort::FLOOD => self.flood(|port| !port.no_flood),
            OfPort::ALL => self.flood(|_| true),
            // The reason of 1.4, whose older form is the session's business.
            OfPort::CONTROLLER if self.origin.is_bucket => {
                self.announce(PacketInReason::Group, max_len);
            }
            OfPort::CONTROLLER => self.announce(self.origin.reason, max_len),
            OfPort::ANY | OfPort::UNSET => {}
            // OpenFlow 1.3.5 §4.5: back out of the ingress port only by IN_PORT.
            port if port == self.key_port() => {}
            port => self.send(port),
        }
        End::Done
    }

    /// The ingress port as actions may have changed it.
    fn key_port(&self) -> OfPort {
        OfPort(self.metadata.in_port())
    }

    fn send(&mut self, port: OfPort) {
        if self.is_dropped {
            return;
        }
        let from = self.switch.port(self.key_port()).is_some_and(|port| port.vlan.is_protected);
        let may = |to: &&crate::Port| !(to.no_fwd || from && to.vlan.is_protected);
        match self.switch.port(port).filter(may) {
            None => {}
            Some(dark) if !dark.has_link => self.verdict.lost.push(port),
            Some(_) => self.verdict.outputs.push(Output { port, frame: self.frame.clone() }),
        }
    }

    fn flood(&mut self, takes_part: impl Fn(&crate::Port) -> bool) {
        let in_port = self.key_port();
        let ports: Vec<OfPort> = (self.switch.ports.iter())
            .filter(|port| port.number != in_port && takes_part(port))
            .map(|port| port.number)
            .collect();
        for port in ports {
            self.send(port);
        }
    }

    fn announce(&mut self, reason: PacketInReason, max_len: u16) {
        if self.is_dropped {
            return;
        }
        let is_output = [PacketInReason::Action, PacketInReason::ActionSet].contains(&reason);
        let reason =
            if self.origin.is_bucket && is_output { PacketInReason::Group } else { reason };
        self.verdict.packet_ins.push(PacketIn {
            reason,
            table_id: self.origin.table_id,
            cookie: self.origin.cookie,
            max_len,
            in_port: self.key_port(),
            metadata: self.metadata.metadata(),
            frame: self.frame.clone(),
        });
    }

    /// Forwards as a learning bridge does (ovs-facts B1 to B6).
    fn normal(&mut self) {
        let key = self.key();
        let (src, dst) = (key.eth_src(), key.eth_dst());
        let in_port = self.key_port();
        let tags = Frame::parse(&self.frame).map_or([None; 2], |frame| frame.outer_tags());
        let from = self.switch.port(in_port).map_or(PortVlan::TRUNK, |port| port.vlan);
        let Some(inside) = vlan::come_in(&from, tags) else { return };
        if dst.0[..5] == RESERVED && dst.0[5] & 0xf0 == 0 {
            return;
        }
        if !src.is_multicast() && self.switch.port(in_port).is_some() {
            self.switch.learn(inside.vlan, src.0, in_port);
        }
        let known = self.switch.station(inside.vlan, dst.0).filter(|_| !dst.is_multicast());
        let all = self.switch.ports.iter().filter(|port| match known {
            Some(known) => port.number == known,
            None => !port.no_flood && vlan::is_member(&port.vlan, &inside),
        });
        let to: Vec<_> = all.filter(|port| port.number != in_port).copied().collect();
        let whole = self.frame.clone();
        for port in to {
            self.pop(|frame| frame.set_outer_tags(&vlan::go_out(&port.vlan, &inside, tags[0])));
            self.send(port.number);
            self.frame.clone_from(&whole);
        }
    }
}

/// What the key has for a frame with a length in the place of its type.
const NO_TYPE: u16 = flow::proto::eth_type::NONE;
const TP_SRC: [Field; 3] = [Field::TcpSrc, Field::UdpSrc, Field::SctpSrc];
const TP_DST: [Field; 3] = [Field::TcpDst, Field::UdpDst, Field::SctpDst];

/// Whether the oracle knows what the action does.
pub(crate) fn is_known(action: &Action) -> bool {
    let is_simple = |subfield: &Subfield| subfield.n_bits > 0;
    match action {
        Action::StackPush(_) | Action::StackPop(_) | Action::FinTimeout { .. } => false,
        Action::Move { src, dst } => is_simple(src) && is_simple(dst),
        _ => true,
    }
}
