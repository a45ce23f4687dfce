//! The switch: ports, tables, MAC table; and what it answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flow::{Field, Match};
use openflow::{
    Action, Bucket, FlowMod, GROUP_ANY, GroupMod, GroupModCommand, GroupType, Instructions,
    MeterMod, MeterModCommand, OfPort, PacketInReason,
};
use sync::time::Nanos;

use crate::Frame;
use crate::meter::Meter;
use crate::run::{Choices, Run};
use crate::vlan::PortVlan;

/// A port and its configuration (OpenFlow 1.3.5 §7.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Its number; [`OfPort::LOCAL`] is one too.
    pub number: OfPort,
    /// Frames that come in are dropped.
    pub no_recv: bool,
    /// Frames that should leave are dropped.
    pub no_fwd: bool,
    /// FLOOD and NORMAL do not flood it.
    pub no_flood: bool,
    /// Its table misses are not announced.
    pub no_packet_in: bool,
    /// Whether it has a link: what watches it is live then, and frames leave.
    pub has_link: bool,
    /// Whether it is switched off.
    pub is_down: bool,
    /// How it carries VLANs.
    pub vlan: PortVlan,
}

impl Port {
    /// An ordinary port.
    #[must_use]
    pub fn new(number: OfPort) -> Self {
        Self {
            number,
            no_recv: false,
            no_fwd: false,
            no_flood: false,
            no_packet_in: false,
            has_link: true,
            is_down: false,
            vlan: PortVlan::TRUNK,
        }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The table that it is in.
    pub table_id: u8,
    /// The highest matching one wins.
    pub priority: u16,
    /// Which packets.
    pub match_: Match,
    /// What to do with them.
    pub instructions: Instructions,
    /// The controller's mark.
    pub cookie: u64,
}

impl Rule {
    /// The message that adds it to a real switch.
    #[must_use]
    pub fn to_flow_mod(&self) -> FlowMod {
        FlowMod {
            table_id: self.table_id,
            priority: self.priority,
            match_: self.match_,
            instructions: self.instructions.clone(),
            cookie: self.cookie,
            new_cookie: Some(self.cookie),
            ..FlowMod::default()
        }
    }

    /// Whether it is the table-miss entry (OpenFlow 1.3.5 §5.4).
    #[must_use]
    pub fn is_table_miss(&self) -> bool {
        self.priority == 0 && self.match_.is_catchall()
    }
}

/// What becomes of a packet that no rule of a table matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TableMiss {
    /// It is dropped (OpenFlow 1.3.5 §5.4).
    #[default]
    Drop,
    /// It is announced to the controller (OpenFlow 1.0.1 §3.4).
    Controller,
}

/// A frame that leaves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Output {
    /// Where.
    pub port: OfPort,
    /// Its bytes.
    pub frame: Vec<u8>,
}

/// A frame for the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketIn {
    /// Why.
    pub reason: PacketInReason,
    /// The table whose rule (or miss) sent it.
    pub table_id: u8,
    /// That rule's cookie; all ones for a miss.
    pub cookie: u64,
    /// How many bytes the controller asked for. `frame` is whole.
    pub max_len: u16,
    /// Where the packet came in.
    pub in_port: OfPort,
    /// The metadata field.
    pub metadata: u64,
    /// The frame as the actions before left it.
    pub frame: Vec<u8>,
}

/// What became of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The frames that leave, in order.
    pub outputs: Vec<Output>,
    /// The ports without link that a frame was to leave by: once for each frame that dies there.
    pub lost: Vec<OfPort>,
    /// The frames for the controller, in order.
    pub packet_ins: Vec<PacketIn>,
    /// The rules that matched, by their index in [`Oracle::rules`].
    pub rules: Vec<usize>,
    /// Two rules of one priority matched: the specification leaves open which one counts
    /// (OpenFlow 1.3.5 §5.3), so this verdict is one of several.
    pub is_ambiguous: bool,
    /// The packet's length was looked at: what is behind counts packets of either length, as it does in
    /// Open vSwitch.
    pub is_forked: bool,
    /// The packet met a meter: later it may fare otherwise.
    pub is_metered: bool,
    /// Where in `rules` a meter dropped it. Whether the ones behind count it is the switch's business.
    pub dropped_at: Option<usize>,
}

impl Verdict {
    /// The frames that leave each port, in order. Between ports no order is promised.
    #[must_use]
    pub fn by_port(&self) -> BTreeMap<OfPort, Vec<&[u8]>> {
        let mut by_port = BTreeMap::<_, Vec<&[u8]>>::new();
        for output in &self.outputs {
            by_port.entry(output.port).or_default().push(&output.frame);
        }
        by_port
    }
}

/// An action of a rule that the oracle does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported(pub Action);

impl core::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the oracle does not know the action {:?}", self.0)
    }
}

impl core::error::Error for Unsupported {}

/// The naive switch. See the crate's documentation.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    /// All ports.
    pub ports: Vec<Port>,
    /// What a table without a matching rule does.
    pub table_miss: TableMiss,
    rules: Vec<Rule>,
    /// Where each station was seen, by VLAN and MAC address.
    macs: HashMap<(u16, [u8; 6]), OfPort>,
    n_lessons: u64,
    pub(crate) groups: BTreeMap<u32, Group>,
    pub(crate) meters: BTreeMap<u32, Meter>,
    /// The time, which only meters ask for.
    pub now: Nanos,
    /// The senders of the frames that come in leave checksums to the switch. The oracle sees them finished; who
    /// finishes one of TCP writes ones for zero.
    pub is_unfinished: bool,
}

/// A group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) group_type: GroupType,
    pub(crate) buckets: Vec<Bucket>,
}

/// Ways that are tried for one frame.
const MOST_WAYS: usize = 1024;

impl Oracle {
    /// A switch with ordinary ports and no rules.
    #[must_use]
    pub fn new(ports: impl IntoIterator<Item = OfPort>) -> Self {
        Self { ports: ports.into_iter().map(Port::new).collect(), ..Self::default() }
    }

    /// A switch that forwards as an ordinary learning switch (ovs-facts F2 `standalone`).
    #[must_use]
    pub fn standalone(ports: impl IntoIterator<Item = OfPort>) -> Self {
        let normal = Action::output(OfPort::NORMAL);
        let rule = Rule {
            table_id: 0,
            priority: 0,
            match_: Match::CATCHALL,
            instructions: Instructions::apply(vec![normal]),
            cookie: 0,
        };
        Self { rules: vec![rule], ..Self::new(ports) }
    }

    /// All rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Adds a rule, in place of the one with the same table, match and priority if there is one.
    ///
    /// # Errors
    /// When an action is not known; nothing is changed then.
    pub fn add(&mut self, rule: Rule) -> Result<(), Unsupported> {
        let all = rule.instructions.apply.iter().chain(&rule.instructions.write);
        if let Some(unknown) = all.clone().find(|action| !crate::run::is_known(action)) {
            return Err(Unsupported(unknown.clone()));
        }
        self.rules.retain(|old| {
            (old.table_id, old.priority, old.match_) != (rule.table_id, rule.priority, rule.match_)
        });
        self.rules.push(rule);
        Ok(())
    }

    /// Removes the rules for which `chosen` holds.
    pub fn remove(&mut self, chosen: impl Fn(&Rule) -> bool) {
        self.rules.retain(|rule| !chosen(rule));
    }

    /// Forgets all stations.
    pub fn flush_macs(&mut self) {
        self.macs.clear();
    }

    /// Forgets the stations of a port.
    pub fn forget_port(&mut self, port: OfPort) {
        self.macs.retain(|_, at| *at != port);
    }

    /// How often it learned that a station is where it was not known to be.
    #[must_use]
    pub fn n_lessons(&self) -> u64 {
        self.n_lessons
    }

    /// The known stations: VLAN, address, port.
    #[must_use]
    pub fn macs(&self) -> BTreeSet<(u16, [u8; 6], OfPort)> {
        self.macs.iter().map(|(&(vlan, mac), &port)| (vlan, mac, port)).collect()
    }

    /// Adds, changes or deletes a group; with one that is deleted go the rules that lead to it.
    ///
    /// # Panics
    /// When single buckets are to be inserted or removed, which it does not know.
    pub fn group_mod(&mut self, group_mod: &GroupMod) {
        let id = group_mod.group_id;
        match group_mod.command {
            GroupModCommand::Delete => {
                self.groups.remove(&id);
                let uses = |actions: &[Action]| actions.iter().any(|action| action.uses_group(id));
                self.rules.retain(|rule| {
                    !uses(&rule.instructions.apply) && !uses(&rule.instructions.write)
                });
            }
            command => {
                assert!(command.sets_group(), "{command:?} is not known");
                let GroupMod { group_type, buckets, .. } = group_mod.clone();
                self.groups.insert(id, Group { group_type, buckets });
            }
        }
    }

    /// Adds, changes or deletes a meter; with one that is deleted go the rules that use it.
    pub fn meter_mod(&mut self, meter_mod: &MeterMod) {
        let id = meter_mod.config.meter_id;
        if meter_mod.command == MeterModCommand::Delete {
            self.meters.remove(&id);
            self.rules.retain(|rule| rule.instructions.meter != Some(id));
        } else {
            self.meters.insert(id, Meter::new(&meter_mod.config, self.now));
        }
    }

    /// Whether a bucket is live (OpenFlow 1.3.5 §6.4): it watches nothing, or a port that is up, or
    /// a group with a live bucket.
    pub(crate) fn is_live(&self, bucket: &Bucket) -> bool {
        let port = self.port(bucket.watch_port);
        let watched = self.groups.get(&bucket.watch_group);
        (bucket.watch_port, bucket.watch_group) == (OfPort::ANY, GROUP_ANY)
            || port.is_some_and(|port| port.has_link && !port.is_down)
            || watched.is_some_and(|group| group.buckets.iter().any(|bucket| self.is_live(bucket)))
    }

    /// A frame comes in. In select groups it takes the first way.
    pub fn receive(&mut self, in_port: OfPort, frame: &[u8]) -> Verdict {
        self.receive_by(in_port, frame, &mut Choices::default())
    }

    /// A frame comes in: all that may become of it, as select groups choose. Nothing is learned or
    /// metered in more than the first case. Groups that lead to groups have ways without number: then
    /// the first verdict says that there are others.
    pub fn receive_all(&mut self, in_port: OfPort, frame: &[u8]) -> Vec<Verdict> {
        let mut choices = Choices::default();
        let mut all = vec![self.receive_by(in_port, frame, &mut choices)];
        let mut n_ways = 1;
        while choices.next() {
            n_ways += 1;
            if n_ways > MOST_WAYS {
                all[0].is_ambiguous = true;
                break;
            }
            let verdict = self.clone().receive_by(in_port, frame, &mut choices);
            if !all.contains(&verdict) {
                all.push(verdict);
            }
        }
        all
    }

    fn receive_by(&mut self, in_port: OfPort, frame: &[u8], choices: &mut Choices) -> Verdict {
        match self.port(in_port) {
            Some(port) if !port.no_recv && Frame::parse(frame).is_some() => {
                let mut run = Run::new(self, in_port, frame, choices);
                run.table(0);
                run.finish()
            }
            _ => Verdict::default(),
        }
    }

    /// The controller sends a frame (OpenFlow 1.3.5 §7.3.7).
    pub fn packet_out(&mut self, in_port: OfPort, actions: &[Action], frame: &[u8]) -> Verdict {
        let mut choices = Choices::default();
        let mut run = Run::new(self, in_port, frame, &mut choices);
        run.packet_out(actions);
        run.finish()
    }

    pub(crate) fn port(&self, number: OfPort) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// The best matching rule of a table, and whether another is as good.
    pub(crate) fn lookup(&self, table_id: u8, flow: &flow::Flow) -> Option<(usize, bool)> {
        let matching = || {
            (self.rules.iter().enumerate())
                .filter(|(_, rule)| rule.table_id == table_id && rule.match_.matches(flow))
        };
        let best = matching().map(|(_, rule)| rule.priority).max()?;
        let mut all = matching().filter(|(_, rule)| rule.priority == best);
        let (index, _) = all.next()?;
        Some((index, all.next().is_some()))
    }

    pub(crate) fn learn(&mut self, vlan: u16, mac: [u8; 6], port: OfPort) {
        let known = self.macs.insert((vlan, mac), port);
        self.n_lessons += u64::from(known != Some(port));
    }

    pub(crate) fn station(&self, vlan: u16, mac: [u8; 6]) -> Option<OfPort> {
        // A station on a port that is gone is not known any more.
        self.macs.get(&(vlan, mac)).copied().filter(|port| self.port(*port).is_some())
    }

    /// The value of a field as a frame from `in_port` has it, for tests that explain themselves.
    #[must_use]
    pub fn field(in_port: OfPort, frame: &[u8], field: Field) -> u128 {
        flow::extract(frame, &flow::FlowMeta::of_port(in_port.0)).flow.get(field)
    }
}
