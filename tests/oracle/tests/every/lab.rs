//! The switch and the oracle side by side, both told what the same bytes say.

use agent::{Agent, AgentConfig, ConnId};
use datapath::{LocalDpif, PortNo};
use flow::EtherAddr;
use ofproto::{Bridge, BridgeConfig, FailMode, Link, PortSpec};
use openflow::{Dialect, Message, OfPort, Version};
use oracle::{Oracle, Rule};
use sync::time::Nanos;

use crate::wire::{self, Wire};

/// Ports 1 to 4.
pub(crate) const N_PORTS: u8 = 4;
const CONN: ConnId = ConnId(1);
const MS: Nanos = Nanos::from_millis(1);

/// What became of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Port and bytes of what left, in order.
    pub(crate) sent: Vec<(u32, Vec<u8>)>,
    /// What the controller was told: whole messages.
    pub(crate) told: Vec<Vec<u8>>,
}

pub(crate) struct Lab {
    version: Wire,
    agent: Agent,
    bridge: Bridge,
    dpif: LocalDpif,
    now: Nanos,
    oracle: Oracle,
    dialect: Dialect,
    /// Whether the oracle can say what becomes of frames.
    is_oracle_asked: bool,
}

impl Lab {
    /// A switch without rules, with a controller of this version.
    pub(crate) fn new(version: Wire) -> Self {
        let now = Nanos::from_secs(1);
        let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
        let mut bridge = Bridge::new(config, now);
        let mut dpif = LocalDpif::new();
        for number in 1..=N_PORTS {
            let spec = PortSpec {
                dp: Some(PortNo(number.into())),
                of: OfPort(number.into()),
                name: format!("p{number}"),
                hw_addr: EtherAddr([2, 0xaa, 0, 0, 0, number]),
                mtu: 1500,
                link: Link::UP,
            };
            bridge.add_port(spec, now).expect("a new port");
            dpif.add_port(PortNo(number.into()));
        }
        while bridge.take_event().is_some() {}
        let mut agent = Agent::new(AgentConfig::default());
        let peer = "10.0.2.2:40000".parse().expect("an address");
        assert!(agent.accepted(CONN, peer, 6653, now), "the first connection");
        let oracle = Oracle::new((1..=N_PORTS).map(|number| OfPort(number.into())));
        let spoken = Version::from_wire(version).expect("a version");
        // In the oracle's rules tables have names from the start.
        let dialect = Dialect { flow_mod_table_id: true, ..Dialect::plain(spoken) };
        let is_oracle_asked = true;
        let mut lab = Self { version, agent, bridge, dpif, now, oracle, dialect, is_oracle_asked };
        lab.ask(&wire::hello(version)).expect("a version that it speaks");
        if version <= 2 {
            lab.ask(&wire::name_tables(version)).expect("an extension that it has");
        }
        lab
    }

    /// From now on the oracle is not asked: what is told it would not understand.
    pub(crate) fn without_oracle(&mut self) {
        self.is_oracle_asked = false;
    }

    /// Sends a message and a barrier. The error's type and code if it is refused.
    pub(crate) fn tell(&mut self, bytes: &[u8]) -> Result<(), (u16, u16)> {
        self.ask(bytes)?;
        if !self.is_oracle_asked {
            return Ok(());
        }
        let (_, message) = self.dialect.decode(bytes).expect("what the switch has taken");
        match message {
            Message::FlowMod(rule) => {
                let rule = Rule {
                    table_id: if rule.table_id == u8::MAX { 0 } else { rule.table_id },
                    priority: rule.priority,
                    match_: rule.match_,
                    instructions: rule.instructions.clone(),
                    cookie: rule.new_cookie.unwrap_or(0),
                };
                self.oracle.add(rule).expect("an action that the oracle knows");
            }
            Message::GroupMod(group_mod) => self.oracle.group_mod(&group_mod),
            Message::MeterMod(meter_mod) => self.oracle.meter_mod(&meter_mod),
            _ => {}
        }
        Ok(())
    }

    fn ask(&mut self, bytes: &[u8]) -> Result<(), (u16, u16)> {
        let bytes = [bytes, &wire::barrier(self.version)].concat();
        assert_eq!(self.agent.received(CONN, &bytes, self.now), bytes.len());
        let mut result = Ok(());
        for _ in 0..1000 {
            self.settle();
            for message in self.hear() {
                match message[1] {
                    1 => {
                        let word = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
                        result = Err((word(8), word(10)));
                    }
                    kind if kind == wire::barrier_reply(self.version) => return result,
                    _ => {}
                }
            }
        }
        panic!("the barrier is not answered");
    }

    fn settle(&mut self) {
        self.now = self.now.saturating_add(MS);
        self.dpif.set_now(self.now);
        self.oracle.now = self.now;
        self.agent.poll(self.now, &mut self.bridge, &mut self.dpif);
        while let Some(upcall) = self.dpif.next_upcall() {
            self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
        }
        self.bridge.run(&mut self.dpif, self.now);
    }

    /// The messages that wait for the controller.
    fn hear(&mut self) -> Vec<Vec<u8>> {
        let Some(outbox) = self.agent.output(CONN) else { return Vec::new() };
        let bytes = outbox.pending().to_vec();
        outbox.consume(bytes.len());
        let (mut rest, mut heard) = (bytes.as_slice(), Vec::new());
        while let Some(len) = openflow::frame_len(rest) {
            let (message, after) = rest.split_at(len);
            heard.push(message.to_vec());
            rest = after;
        }
        heard
    }

    /// A frame comes in twice, not cached and cached, with the same fate, which is one that the oracle
    /// foresees.
    #[track_caller]
    pub(crate) fn frame(&mut self, port: u8, frame: &[u8]) -> Fate {
        let first = self.once(port, frame);
        let second = self.once(port, frame);
        assert_eq!(first.sent, second.sent, "cached, the frame has another fate");
        assert_eq!(first.told.len(), second.told.len(), "cached, the controller hears otherwise");
        if self.is_oracle_asked {
            let verdicts = self.oracle.receive_all(OfPort(port.into()), frame);
            let foreseen = verdicts.iter().any(|verdict| {
                let outputs = verdict.outputs.iter();
                let sent: Vec<_> = outputs.map(|out| (out.port.0, out.frame.clone())).collect();
                sent == first.sent && verdict.packet_ins.len() == first.told.len()
            });
            assert!(foreseen, "the oracle foresees {verdicts:02x?}, not {first:02x?}");
        }
        first
    }

    /// A frame comes in once; the oracle is not asked.
    pub(crate) fn once(&mut self, port: u8, frame: &[u8]) -> Fate {
        self.dpif.receive(PortNo(port.into()), frame);
        for _ in 0..4 {
            self.settle();
        }
        let sent = self.dpif.take_transmitted().into_iter();
        let sent = sent.map(|(port, frame)| (port.0, frame)).collect();
        Fate { sent, told: self.hear() }
    }

    /// How many rules there are.
    pub(crate) fn n_rules(&mut self) -> u64 {
        self.bridge.table_stats(self.now).iter().map(|table| u64::from(table.active_count)).sum()
    }
}

impl Drop for Lab {
    /// Every frame is accounted for.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let sums = self.dpif.accounting();
            assert!(sums.holds() && sums.in_flight() == 0, "{sums:?}");
        }
    }
}
