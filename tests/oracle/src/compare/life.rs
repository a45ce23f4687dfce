//! A life: everything that happens to one switch, drawn from one seed before anything happens.
//!
//! A life is data, so that one that ends in a difference can be lived again with parts of it left
//! out (`shrink.rs`). An operation names rules by cookie and frames by index; one whose object is
//! not there (any more) does nothing.

use datapath::{EmcConfig, TableLimits};
use flow::FlowMeta;
use openflow::{
    Action, GroupMod, GroupModCommand, Instructions, MeterMod, MeterModCommand, OfPort, PortConfig,
};
use packet::Unfinished;
use sync::time::Nanos;

use super::left::Left;
use crate::random::{Rng, RuleOptions, World};
use crate::{PortVlan, Rule};
use ofproto::vlan::{PriorityTags, VlanMode};

/// Where misses are answered (ovs-facts D1, D2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// By the control core.
    Thread,
    /// On the polling core, whose ring takes so many conclusions. The control core looks into it
    /// after each frame, or only when it has something to do (`is_late`).
    Inline { ring: usize, is_late: bool },
}

/// What a switch is made with.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) n_ports: u32,
    pub(super) options: RuleOptions,
    pub(super) mode: Mode,
    pub(super) emc: EmcConfig,
    pub(super) has_smc: bool,
    pub(super) limits: TableLimits,
    pub(super) flow_limit: usize,
    /// One in so many cache hits is translated again.
    pub(super) sample_one_in: u32,
    /// Whether ports carry VLANs in all ways.
    pub(super) vlans: bool,
    /// Whether senders leave checksums to do: then those ports of which the bit of the number is set finish them.
    pub(super) offloads: Option<u64>,
}

/// A change that controllers, or whoever owns the ports, makes.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Add(Box<Rule>),
    Delete(u64),
    Modify(u64, Instructions),
    /// The port's link goes or comes.
    Link(OfPort, bool),
    Configure(OfPort, PortConfig),
    /// The port carries VLANs otherwise.
    Vlan(OfPort, PortVlan),
    RemovePort(OfPort),
    AddPort(OfPort),
    ForgetStations,
    Groups(Vec<GroupMod>),
    Meters(Vec<MeterMod>),
}

/// One step of a life.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Frames come in: one by one, or as many at once as share a port.
    Traffic { frames: Vec<usize>, is_batched: bool },
    /// A change, with a barrier behind it.
    Change(Change),
    /// A change without barrier: each frame behind it is handled by the old rules or by the new
    /// ones.
    Race(Change, Vec<usize>),
    /// Time passes, all of it at once.
    Wait(Nanos),
    /// The datapath loses all cached flows; nobody is told.
    LoseAll,
    /// The datapath loses one in so many.
    LoseOneIn(usize, u64),
    /// A controller sends a frame.
    PacketOut(usize, Vec<Action>),
    /// Flips bits outside the masks of cached flows that frames hit.
    CheckMasks(u64),
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) setup: Setup,
    pub(super) groups: Vec<GroupMod>,
    pub(super) meters: Vec<MeterMod>,
    pub(super) rules: Vec<Rule>,
    /// Frames and where they come in.
    pub(super) frames: Vec<(OfPort, Vec<u8>)>,
    /// Of each, how the switch is given it, if not as it is.
    left: Vec<Option<Left>>,
    pub(super) ops: Vec<Op>,
}

impl Life {
    /// The life of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut setup = Setup::random(&mut rng);
        let mut more = Rng::new(seed ^ 1);
        setup.offloads = more.one_in(2).then(|| more.next_u64());
        let mut world = World::new(setup.n_ports);
        // The key shows two tags, so no rule may push a third.
        world.has_double_tags = setup.vlans && !setup.options.resizes;
        if rng.one_in(3) {
            // Many addresses: many flows for one mask.
            world.ipv4.extend((0..60).map(|n| 0x0a00_0200 + n * 3));
            world.tp_ports.extend((0..30).map(|n| 1024 + n * 17));
        }
        let (groups, meters) = world.groups(&mut rng, &setup.options);
        let rules = world.rules(&mut rng, &setup.options);
        let next_cookie = rules.len() as u64;
        let mut author = Author {
            alive: rules.iter().map(|rule| (rule.cookie, rule.table_id, rule.priority)).collect(),
            life: Self {
                setup,
                groups,
                meters,
                rules,
                frames: Vec::new(),
                left: Vec::new(),
                ops: Vec::new(),
            },
            n_frames: rng.pick(&[4, 30, 200, 1500]),
            tempo: rng.pick(&[4, 30, 200, 2000]),
            world,
            rng,
            next_cookie,
        };
        if author.life.setup.vlans {
            for port in author.world.ports.clone() {
                let vlan = author.vlan();
                author.life.ops.push(Op::Change(Change::Vlan(port, vlan)));
            }
        }
        let n_packets = author.rng.pick(&[200, 2_000, 20_000]);
        let mut n = 0;
        while n < n_packets {
            n += author.traffic();
            author.event();
        }
        author.traffic();
        author.life.leave_unfinished(seed);
        author.life
    }

    /// Leaves half of the checksums that can be left, where the life has such senders.
    fn leave_unfinished(&mut self, seed: u64) {
        if self.setup.offloads.is_none() {
            return;
        }
        // Numbers of its own: the life is as it would be without.
        let mut rng = Rng::new(!seed);
        let leave = |(_, frame): &mut (OfPort, Vec<u8>)| {
            if rng.one_in(2) { Left::of(frame) } else { None }
        };
        self.left = self.frames.iter_mut().map(leave).collect();
    }

    /// A frame as it comes in.
    pub(super) fn arriving(&self, index: usize) -> (&[u8], Option<Unfinished>) {
        match self.left.get(index) {
            Some(Some(left)) => (&left.bytes, Some(left.what)),
            _ => (&self.frames[index].1, None),
        }
    }
}

impl Setup {
    fn random(rng: &mut Rng) -> Self {
        let mut options = RuleOptions {
            n_groups: rng.pick(&[0, 0, 3, 6]),
            selects: rng.one_in(2),
            n_meters: rng.pick(&[0, 0, 0, 2]),
            n_rules: rng.pick(&[1, 4, 12, 30]),
            n_tables: rng.pick(&[1, 2, 3, 5]),
            normal: rng.one_in(2),
            controller: rng.one_in(2),
            resizes: true,
            mpls: rng.one_in(3),
            nicira: rng.one_in(2),
        };
        // Whether a packet that a meter drops teaches something is the switch's business.
        options.normal &= options.n_meters == 0;
        // A meter for bits counts a tag when it is written, as Open vSwitch's: later than the rule says.
        options.resizes = options.n_meters == 0;
        // What several ways teach or use up, no list of them can say.
        options.selects &= !options.normal && options.n_meters == 0;
        // Caches of all sizes: none, tiny, ordinary.
        let emc = match rng.below(4) {
            0 => EmcConfig::OFF,
            1 => EmcConfig { entries: 4, insert_inv_prob: 1, seed: rng.next_u64() },
            2 => EmcConfig { insert_inv_prob: 1, ..EmcConfig::default() },
            _ => EmcConfig::default(),
        };
        let mut limits = TableLimits::default();
        if rng.one_in(4) {
            limits.flows = rng.pick(&[0, 1, 5, 30]);
        }
        if rng.one_in(4) {
            limits.masks_per_port = rng.pick(&[1, 2, 5]);
        }
        let vlans = options.normal && rng.one_in(2);
        options.resizes &= !(vlans && rng.one_in(2));
        // Stations are learned when the control core hears of them.
        let is_late = !options.normal && rng.one_in(2);
        let inline = Mode::Inline { ring: rng.pick(&[1, 8, 256]), is_late };
        Self {
            n_ports: rng.pick(&[2, 4, 4, 7]),
            options,
            mode: if rng.one_in(2) { inline } else { Mode::Thread },
            emc,
            has_smc: rng.one_in(2),
            limits,
            flow_limit: if rng.one_in(4) { rng.pick(&[1, 3, 20]) } else { 200_000 },
            sample_one_in: rng.pick(&[0, 1, 7, 50]),
            vlans,
            offloads: None,
        }
    }
}

/// Who writes a life.
struct Author {
    rng: Rng,
    world: World,
    life: Life,
    /// Cookie, table and priority of the rules that are there.
    alive: Vec<(u64, u8, u16)>,
    next_cookie: u64,
    /// Different frames, about.
    n_frames: usize,
    /// Packets between events, about.
    tempo: usize,
}

impl Author {
    /// Frames come in; returns how many.
    fn traffic(&mut self) -> usize {
        let n = 1 + self.rng.below(2 * self.tempo);
        let is_batched = self.rng.one_in(3);
        let frames = (0..n).map(|_| self.frame()).collect();
        self.life.ops.push(Op::Traffic { frames, is_batched });
        n
    }

    /// A frame: new, nearly one that was there, or one that was there, likelier an early one.
    fn frame(&mut self) -> usize {
        let n_known = self.life.frames.len();
        let may_be_new = n_known < self.n_frames && self.rng.one_in(2);
        if n_known == 0 || may_be_new && self.rng.one_in(2) {
            let (port, mut frame) = self.world.arrival(&mut self.rng);
            self.make_ineligible(&mut frame);
            self.life.frames.push((port, frame));
            return n_known;
        }
        let range = 1 + self.rng.below(n_known);
        let known = self.rng.below(range);
        if may_be_new && let Some(near) = self.near(known) {
            self.life.frames.push(near);
            return n_known;
        }
        known
    }

    /// A frame that differs from a known one in one bit of its headers, or in its port.
    fn near(&mut self, known: usize) -> Option<(OfPort, Vec<u8>)> {
        let (port, frame) = self.life.frames[known].clone();
        if self.rng.one_in(8) {
            return Some((self.world.port(&mut self.rng), frame));
        }
        let mut frame = (0..4).find_map(|_| flip(&mut self.rng, &frame))?;
        self.make_ineligible(&mut frame);
        Some((port, frame))
    }

    /// Clears the drop-eligible bit of the tags where ports have VLAN modes: a tag that is taken off for
    /// one port and put back for the next loses it, as in Open vSwitch, since the key has no place for it.
    fn make_ineligible(&self, frame: &mut [u8]) {
        if !self.life.setup.vlans {
            return;
        }
        let is_tag = |tpid: &[u8]| matches!(tpid, [0x81, 0x00] | [0x88, 0xa8]);
        for at in [12, 16] {
            match frame.get_mut(at..at + 3) {
                Some([tpid @ .., tci]) if is_tag(tpid) => *tci &= !0x10,
                _ => break,
            }
        }
    }

    fn event(&mut self) {
        let op = match self.rng.below(24) {
            0..=8 => Op::Change(self.flow_mod()),
            9..=12 => {
                let change = self.flow_mod();
                // Where a station is learned, a meter drawn upon, or a packet taken in anew half way,
                // old and new rules do not exclude each other.
                let RuleOptions { normal, mpls, selects, n_meters, .. } = self.life.setup.options;
                if normal || mpls || selects || n_meters > 0 {
                    Op::Change(change)
                } else {
                    let n = 1 + self.rng.below(6);
                    Op::Race(change, (0..n).map(|_| self.frame()).collect())
                }
            }
            13 | 14 => Op::Wait(Nanos::from_millis(self.rng.pick(&[1, 100, 600, 2_000, 12_000]))),
            15 => Op::Wait(Nanos::from_secs(400)),
            16 => Op::LoseAll,
            17 => Op::LoseOneIn(1 + self.rng.below(4), self.rng.next_u64()),
            18 | 19 => Op::CheckMasks(self.rng.next_u64()),
            20 => {
                let frame = self.frame();
                let actions = vec![Action::output(self.world.port(&mut self.rng))];
                Op::PacketOut(frame, actions)
            }
            _ => Op::Change(self.port_change()),
        };
        self.life.ops.push(op);
    }

    /// A change of a group or meter, or its end and a new beginning.
    fn group_mod(&mut self) -> Option<Change> {
        let Self { rng, world, life, .. } = self;
        let options = &life.setup.options;
        let RuleOptions { n_groups, n_meters, .. } = *options;
        let is_deletion = rng.one_in(3);
        if n_groups > 0 && (n_meters == 0 || rng.one_in(2)) {
            // No other group leads to the last one, so it may go.
            let id = if is_deletion { n_groups } else { 1 + rng.below(n_groups as usize) as u32 };
            let group = world.group(rng, options, id, GroupModCommand::Modify);
            if !is_deletion {
                return Some(Change::Groups(vec![group]));
            }
            let buckets = Vec::new();
            let deletion = GroupMod { command: GroupModCommand::Delete, buckets, ..group.clone() };
            let addition = GroupMod { command: GroupModCommand::Add, ..group };
            return Some(Change::Groups(vec![deletion, addition]));
        }
        if n_meters == 0 {
            return None;
        }
        let id = 1 + rng.below(n_meters as usize) as u32;
        let meter = world.meter(rng, id, MeterModCommand::Modify);
        if !is_deletion {
            return Some(Change::Meters(vec![meter]));
        }
        let deletion = MeterMod { command: MeterModCommand::Delete, ..meter.clone() };
        let addition = MeterMod { command: MeterModCommand::Add, ..meter };
        Some(Change::Meters(vec![deletion, addition]))
    }

    fn flow_mod(&mut self) -> Change {
        if self.rng.one_in(4)
            && let Some(change) = self.group_mod()
        {
            return change;
        }
        let Self { rng, world, life, alive, .. } = self;
        match rng.below(5) {
            0 | 1 if !alive.is_empty() => {
                let (cookie, ..) = alive.swap_remove(rng.below(alive.len()));
                return Change::Delete(cookie);
            }
            2 if !alive.is_empty() => {
                // What another rule of its table does may not suit its match, so it is as good as
                // a rule for everything: a few outputs.
                let (cookie, ..) = alive[rng.below(alive.len())];
                let n = rng.below(3);
                let outputs = (0..n).map(|_| world.output(rng, &life.setup.options)).collect();
                return Change::Modify(cookie, Instructions::apply(outputs));
            }
            _ => {}
        }
        let options = RuleOptions { n_rules: 1, ..life.setup.options };
        let mut rules = world.rules(rng, &options);
        let mut rule = rules.swap_remove(rng.below(rules.len()));
        if rule.priority == 0 {
            rule = rules.into_iter().next().unwrap_or(rule);
        }
        if rule.priority > 0 {
            // Anywhere among the others, but beside none.
            let most = 10 * life.setup.options.n_rules + 200;
            loop {
                rule.priority = 1 + rng.below(most + alive.len()) as u16;
                let place = (rule.table_id, rule.priority);
                if !alive.iter().any(|&(_, table, priority)| (table, priority) == place) {
                    break;
                }
            }
        }
        rule.cookie = self.next_cookie;
        self.next_cookie += 1;
        alive.retain(|&(_, table, priority)| (table, priority) != (rule.table_id, rule.priority));
        alive.push((rule.cookie, rule.table_id, rule.priority));
        Change::Add(Box::new(rule))
    }

    /// Some way in which a port carries VLANs.
    fn vlan(&mut self) -> PortVlan {
        let rng = &mut self.rng;
        let sets: [Option<&'static [u16]>; 5] =
            [None, Some(&[0, 10]), Some(&[10, 20]), Some(&[20, 4094]), Some(&[])];
        PortVlan {
            mode: rng.pick(&[
                VlanMode::Access,
                VlanMode::Trunk,
                VlanMode::NativeTagged,
                VlanMode::NativeUntagged,
                VlanMode::Dot1qTunnel,
            ]),
            tag: rng.pick(&[0, 10, 10, 20, 4094]),
            trunks: rng.pick(&sets),
            cvlans: rng.pick(&sets),
            priority_tags: rng.pick(&[
                PriorityTags::Never,
                PriorityTags::Never,
                PriorityTags::IfNonzero,
                PriorityTags::Always,
            ]),
            is_protected: rng.one_in(6),
        }
    }

    fn port_change(&mut self) -> Change {
        let port = self.world.port(&mut self.rng);
        if self.life.setup.vlans && self.rng.one_in(3) {
            return Change::Vlan(port, self.vlan());
        }
        match self.rng.below(8) {
            0 => Change::Link(port, false),
            1 | 2 => Change::Link(port, true),
            3 => Change::RemovePort(port),
            4 | 5 => Change::AddPort(port),
            6 => Change::ForgetStations,
            _ => {
                let one = [
                    PortConfig::empty(),
                    PortConfig::empty(),
                    PortConfig::NO_RECV,
                    PortConfig::NO_FWD,
                    PortConfig::NO_FLOOD,
                    PortConfig::PORT_DOWN,
                ];
                Change::Configure(port, self.rng.pick(&one))
            }
        }
    }
}

/// Flips one bit of a frame's headers such that it has the same headers still.
fn flip(rng: &mut Rng, frame: &[u8]) -> Option<Vec<u8>> {
    let mut near = frame.to_vec();
    let at = rng.below(frame.len().min(70));
    near[at] ^= 1 << rng.below(8);
    let (old, new) = (extract(frame), extract(&near));
    let shape = |flow: &flow::Flow| {
        let bottoms = [0, 1, 2].map(|n| flow.mpls_lse(n) & 0x100);
        (flow.eth_type(), flow.nw_proto(), flow.nw_frag(), flow.vlan_tci() >> 12 & 1, bottoms)
    };
    let is_alike = new.malformed.is_none()
        && old.malformed.is_none()
        && old.offsets == new.offsets
        && shape(&old.flow) == shape(&new.flow);
    is_alike.then_some(near)
}

fn extract(frame: &[u8]) -> flow::Extracted {
    flow::extract(frame, &FlowMeta::default())
}
