//! The bridge, the datapath and the clock of one scenario.
//!
//! Datapath port numbers are the OpenFlow ones plus [`DP_OFFSET`], so that a mix-up shows. Every
//! cache hit is sampled for the self check. Flow-mods, packet-outs and port-mods go through the
//! codec of the version, as from a controller.

use crate::Mode;
use datapath::{
    Admit, CoreId, DropReason, Drops, LocalConfig, LocalDpif, PortNo, Upcall, UpcallReason,
};
use flow::EtherAddr;
use flow::text::NoNames;
use ofproto::{
    Bridge, BridgeConfig, BridgeEvent, CheckResult, FailMode, InlineTranslator, Link, Port,
    PortSpec, Rule,
};
use openflow::text::parse_flow;
use openflow::{
    Dialect, FlowFormat, FlowModCommand, FlowStatsRequest, GROUP_ANY, GroupModCommand, Message,
    MeterMod, MeterModCommand, OfErrorKind, OfPort, PacketOut, PortConfig, PortFeatures, PortMod,
    Selection, TABLE_ALL, Version,
};
use std::sync::Arc;
use sync::time::Nanos;

/// What datapath numbers are above OpenFlow's.
pub(crate) const DP_OFFSET: u32 = 100;
/// The datapath number of LOCAL.
const DP_LOCAL: u32 = 99;
/// Conclusions that may wait.
const CONCLUSIONS: usize = 64;
/// How often the bridge is run while time passes.
const STEP: Nanos = Nanos::from_millis(100);

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The text is wrong.
    Text(String),
    /// The switch refused it.
    Error(OfErrorKind),
}

pub(crate) struct World {
    pub(crate) bridge: Bridge,
    translator: Option<InlineTranslator>,
    pub(crate) dpif: LocalDpif,
    pub(crate) now: Nanos,
    pub(crate) start: Nanos,
    pub(crate) version: Version,
    /// Frames that left and were not looked at.
    pub(crate) sent: Vec<(OfPort, Vec<u8>)>,
    /// Frames that the last `expect out` looked at.
    pub(crate) last_sent: Vec<(OfPort, Vec<u8>)>,
    /// Events that were not looked at.
    pub(crate) events: Vec<BridgeEvent>,
    /// What self checks found wrong.
    pub(crate) wrong: Vec<String>,
}

impl World {
    pub(crate) fn new(config: BridgeConfig, mode: Mode) -> World {
        let now = Nanos::from_secs(1000);
        let mut bridge = Bridge::new(config, now);
        let translator =
            (mode == Mode::Inline).then(|| bridge.inline_translator(CoreId(0), CONCLUSIONS));
        let local = LocalConfig { sample_one_in: 1, ..LocalConfig::default() };
        let mut world = World {
            bridge,
            translator,
            dpif: LocalDpif::with(local),
            now,
            start: now,
            version: Version::V13,
            sent: Vec::new(),
            last_sent: Vec::new(),
            events: Vec::new(),
            wrong: Vec::new(),
        };
        world.dpif.set_now(now);
        world
    }

    // ---- Ports ----

    pub(crate) fn add_port(&mut self, number: OfPort, name: &str, mtu: u16) -> Result<(), String> {
        let dp = PortNo(dp_of(number));
        self.dpif.add_port(dp);
        let last = number.0.to_be_bytes()[3];
        let spec = PortSpec {
            dp: Some(dp),
            of: number,
            name: name.to_owned(),
            hw_addr: EtherAddr([0x02, 0xaa, 0, 0, 0, last]),
            mtu,
            link: Link::UP,
        };
        self.bridge.add_port(spec, self.now).map_err(|error| format!("{error:?}"))
    }

    pub(crate) fn remove_port(&mut self, number: OfPort) -> bool {
        self.dpif.remove_port(PortNo(dp_of(number)));
        self.bridge.remove_port(number)
    }

    pub(crate) fn set_link(&mut self, number: OfPort, link: Link) {
        self.dpif.set_link(PortNo(dp_of(number)), link.up);
        self.bridge.port_changed(number, link);
    }

    pub(crate) fn port_mod(
        &mut self,
        number: OfPort,
        mask: PortConfig,
        is_set: bool,
    ) -> Result<(), Refused> {
        let port = self.bridge.state().ports.get(number);
        let hw_addr = port.map_or([0; 6], |port| port.hw_addr().0);
        let config = if is_set { mask } else { PortConfig::empty() };
        let advertise = PortFeatures::empty();
        let change = PortMod { port: number, hw_addr, config, mask, advertise };
        let Message::PortMod(change) = self.over_the_wire(Message::PortMod(change))? else {
            return Err(Refused::Text("not a port-mod any more".to_owned()));
        };
        self.bridge.port_mod(&change).map_err(Refused::Error)
    }

    // ---- Controllers ----

    pub(crate) fn flow_mod(&mut self, command: FlowModCommand, text: &str) -> Result<(), Refused> {
        let flow_mod =
            parse_flow(text, command).map_err(|error| Refused::Text(error.to_string()))?;
        let message = self.over_the_wire(Message::FlowMod(Box::new(flow_mod)))?;
        let Message::FlowMod(flow_mod) = message else {
            return Err(Refused::Text("not a flow-mod any more".to_owned()));
        };
        self.bridge.flow_mod(&flow_mod, self.version, self.now).map_err(Refused::Error)
    }

    /// Groups travel in Nicira's message of 1.0, which can say all of them, unless the version is
    /// one that has groups of its own.
    pub(crate) fn group_mod(
        &mut self,
        command: GroupModCommand,
        text: &str,
    ) -> Result<(), Refused> {
        let group_mod = openflow::text::parse_group(text, command, &NoNames)
            .map_err(|error| Refused::Text(error.to_string()))?;
        let is_plain = command.sets_group() || command == GroupModCommand::Delete;
        let needs_v15 = group_mod.selection != Selection::default() || !is_plain;
        let version = if needs_v15 { Version::V10 } else { self.version };
        let message = over_the_wire_of(version, Message::GroupMod(group_mod))?;
        let Message::GroupMod(group_mod) = message else {
            return Err(Refused::Text("not a group-mod any more".to_owned()));
        };
        self.bridge.group_mod(&group_mod, self.version, self.now).map_err(Refused::Error)
    }

    pub(crate) fn meter_mod(
        &mut self,
        command: MeterModCommand,
        text: &str,
    ) -> Result<(), Refused> {
        let config =
            openflow::text::parse_meter(text).map_err(|error| Refused::Text(error.to_string()))?;
        let message = Message::MeterMod(MeterMod { command, config });
        let Message::MeterMod(meter_mod) = over_the_wire_of(Version::V13, message)? else {
            return Err(Refused::Text("not a meter-mod any more".to_owned()));
        };
        self.bridge.meter_mod(&meter_mod, &mut self.dpif, self.now).map_err(Refused::Error)
    }

    pub(crate) fn packet_out(
        &mut self,
        in_port: OfPort,
        actions: &str,
        frame: &[u8],
    ) -> Result<(), Refused> {
        let actions = openflow::text::parse_actions(actions, &NoNames)
            .map_err(|error| Refused::Text(error.to_string()))?;
        let out =
            PacketOut { buffer_id: None, in_port, metadata: None, actions, data: frame.to_vec() };
        let Message::PacketOut(out) = self.over_the_wire(Message::PacketOut(out))? else {
            return Err(Refused::Text("not a packet-out any more".to_owned()));
        };
        self.bridge.packet_out(&out, self.version, &mut self.dpif, self.now).map_err(Refused::Error)
    }

    /// Encodes a message and decodes it again, in the dialect that `ovs-ofctl` uses.
    fn over_the_wire(&self, message: Message) -> Result<Message, Refused> {
        over_the_wire_of(self.version, message)
    }

    // ---- Frames and time ----

    /// Frames come in together.
    pub(crate) fn receive(&mut self, port: OfPort, frame: &[u8], n: usize) {
        self.dpif.receive_batch(PortNo(dp_of(port)), core::iter::repeat_n(frame, n));
        self.pump();
    }

    /// Lets the clock go on.
    pub(crate) fn advance_to(&mut self, end: Nanos) -> Result<(), String> {
        while self.now < end {
            self.now = (self.now + STEP).min(end);
            self.dpif.set_now(self.now);
            self.settle()?;
        }
        Ok(())
    }

    /// Lets the bridge work until it has nothing to do at this moment.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..1000 {
            self.pump();
            let next = self.bridge.run(&mut self.dpif, self.now);
            // What cached traffic taught just then is to be in force as well.
            if next > self.now && self.bridge.reached(self.bridge.sync_point()) {
                self.collect();
                return Ok(());
            }
        }
        Err("the bridge does not come to rest".to_owned())
    }

    /// Answers upcalls and judges sampled hits until there are none.
    fn pump(&mut self) {
        for _ in 0..10_000 {
            for check in self.dpif.take_checks() {
                let flow = check.flow;
                let result = self.bridge.self_check(check, &mut self.dpif, self.now);
                if let CheckResult::Different { cached, right } = result {
                    self.wrong.push(format!("{flow} does {cached}, not {right}"));
                }
            }
            let Some(upcall) = self.dpif.next_upcall() else { break };
            if let Some(upcall) = self.answer_inline(upcall) {
                self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
            }
            self.bridge.take_conclusions(self.now);
        }
        self.collect();
    }

    /// Answers a miss on its core, if that can and shall; else gives it back.
    fn answer_inline(&mut self, upcall: Upcall) -> Option<Upcall> {
        let (true, Some(translator)) = (upcall.reason == UpcallReason::Miss, &mut self.translator)
        else {
            return Some(upcall);
        };
        let now = self.now;
        let translate = |upcall: &Upcall, admit: Admit<'_>| {
            translator.answer(&upcall.flow, upcall.packet.len() as u64, admit, now)
        };
        self.dpif.answer(upcall, translate).err().map(|(upcall, _)| upcall)
    }

    fn collect(&mut self) {
        let sent = self.dpif.take_transmitted();
        self.sent.extend(sent.into_iter().map(|(port, frame)| (of_of(port), frame)));
        self.events.extend(self.bridge.take_events());
    }

    /// What holds after every statement.
    pub(crate) fn check_laws(&mut self) -> Result<(), String> {
        if let Some(wrong) = self.wrong.first() {
            return Err(format!("self check: {wrong}"));
        }
        let sums = self.dpif.accounting();
        if !sums.holds() {
            return Err(format!("frames are unaccounted for: {sums:?}"));
        }
        let installed = self.dpif.pmd().n_megaflows();
        let known = self.bridge.ukeys().len();
        if installed != known {
            return Err(format!("{installed} megaflows installed, {known} known to the bridge"));
        }
        Ok(())
    }

    // ---- State, as text ----

    pub(crate) fn rules(&mut self) -> Result<Vec<Arc<Rule>>, String> {
        let everything = FlowStatsRequest {
            table_id: TABLE_ALL,
            out_port: OfPort::ANY,
            out_group: GROUP_ANY,
            cookie: 0,
            cookie_mask: 0,
            match_: flow::Match::CATCHALL,
            format: FlowFormat::Standard,
        };
        self.bridge.flow_stats(&everything, self.now).map_err(|error| error.to_string())
    }

    /// Megaflows as match and actions, sorted.
    pub(crate) fn megaflows(&self) -> Vec<String> {
        let mut texts: Vec<String> = self
            .dpif
            .pmd()
            .megaflows()
            .map(|(megaflow, actions)| {
                let key = flow::Match::new(&megaflow.key, &megaflow.mask);
                format!("{key}, actions:{}", datapath::Actions::new(actions))
            })
            .collect();
        texts.sort();
        texts
    }

    /// Frames that died, over all ports there are, and those of no port.
    pub(crate) fn drops(&self) -> Drops {
        use datapath::Dpif;
        let mut sum = self.dpif.pmd().counters().stray.read().drops;
        for port in self.bridge.ports().filter_map(Port::dp) {
            for (reason, n) in self.dpif.port_stats(port).drops.iter() {
                sum.add(reason, n);
            }
        }
        sum
    }
}

/// Encodes a message and decodes it again, in the dialect that `ovs-ofctl` uses.
fn over_the_wire_of(version: Version, message: Message) -> Result<Message, Refused> {
    let dialect = Dialect {
        flow_mod_table_id: version == Version::V10,
        flow_format: FlowFormat::Nxm,
        ..Dialect::plain(version)
    };
    let mut bytes = Vec::new();
    dialect
        .encode(&message, 1, &mut bytes)
        .map_err(|_| Refused::Text("too long for a message".to_owned()))?;
    match dialect.decode(&bytes) {
        Ok((_, message)) => Ok(message),
        Err(error) => Err(Refused::Error(error.error.kind)),
    }
}

/// The reason of this name.
pub(crate) fn reason(name: &str) -> Option<DropReason> {
    DropReason::ALL.into_iter().find(|reason| reason.name() == name)
}

pub(crate) fn fail_mode(text: &str) -> Option<FailMode> {
    match text {
        "standalone" => Some(FailMode::Standalone),
        "secure" => Some(FailMode::Secure),
        _ => None,
    }
}

fn dp_of(port: OfPort) -> u32 {
    if port == OfPort::LOCAL { DP_LOCAL } else { port.0.saturating_add(DP_OFFSET) }
}

fn of_of(port: PortNo) -> OfPort {
    if port.0 == DP_LOCAL { OfPort::LOCAL } else { OfPort(port.0.saturating_sub(DP_OFFSET)) }
}
