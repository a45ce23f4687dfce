//! What rules cost on the control core: from the bytes of a controller's messages to their place in the
//! tables, and back to bytes.
//!
//! Each "packet" is a rule. `flow-mods` adds rules one by one, `bundle` in one bundle; `come-and-go` adds
//! [`MANY`] one by one and deletes all at once, in turn; `dump` has [`MANY`] rules told again and again. There is
//! no socket: bytes are handed to the agent as a network layer does, some 64 KiB at a time.

use super::paths::BURST;
use agent::{Agent, AgentConfig, ConnId};
use datapath::{LocalDpif, PortNo};
use flow::{EtherAddr, Match};
use ofproto::{Bridge, BridgeConfig, FailMode, Link, OfPort, PortSpec};
use openflow::{
    BundleMessage, Dialect, FlowFormat, FlowMod, FlowModCommand, FlowStatsRequest, Hello, Message,
    MultipartRequest, Version, bundle_control, bundle_flags,
};
use std::error::Error;
use std::mem::forget;
use sync::time::Nanos;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is spoken.
const VERSION: Version = Version::V14;
/// Rules at a time where they go again, or are told.
const MANY: u32 = 1_600;
/// Bytes that arrive together.
const CHUNK: usize = 65_536;
/// The connection.
const CONN: ConnId = ConnId(1);
/// What a turn of the control core takes.
const TURN: Nanos = Nanos::from_micros(20);
/// Turns after which an answer is missing.
const PATIENCE: u32 = 1_000_000;

/// What all of these are called.
pub(super) const NAMES: [&str; 4] = ["flow-mods", "bundle", "come-and-go", "dump"];

/// Runs one of them for so many rounds of [`BURST`] rules.
pub(super) fn run(name: &str, rounds: u32) -> Result<()> {
    let mut served = Served::new()?;
    let rules = rounds * BURST;
    match name {
        "flow-mods" => {
            served.send_rules(rules, &[])?;
            served.expect_rules(rules)?;
        }
        "bundle" => {
            let flags = bundle_flags::ATOMIC | bundle_flags::ORDERED;
            let control =
                |kind| Message::Bundle(BundleMessage::Control { bundle_id: 1, kind, flags });
            served.send(&encode(&control(bundle_control::OPEN))?);
            let add = BundleMessage::Add { bundle_id: 1, flags, message: Vec::new() };
            served.send_rules(rules, &encode(&Message::Bundle(add))?)?;
            served.send(&encode(&control(bundle_control::COMMIT))?);
            served.expect_rules(rules)?;
        }
        "come-and-go" => {
            let all = FlowMod {
                command: FlowModCommand::Delete,
                table_id: openflow::TABLE_ALL,
                new_cookie: None,
                ..FlowMod::default()
            };
            let delete = encode(&Message::FlowMod(Box::new(all)))?;
            for _ in 0..rules / MANY {
                served.send_rules(MANY, &[])?;
                served.expect_rules(MANY)?;
                served.send(&delete);
                served.expect_rules(0)?;
            }
        }
        "dump" => {
            served.send_rules(MANY, &[])?;
            served.expect_rules(MANY)?;
            let request = encode(&Message::MultipartRequest(MultipartRequest::Flow(Box::new(
                FlowStatsRequest {
                    table_id: openflow::TABLE_ALL,
                    out_port: OfPort::ANY,
                    out_group: openflow::GROUP_ANY,
                    cookie: 0,
                    cookie_mask: 0,
                    match_: Match::default(),
                    format: FlowFormat::Standard,
                },
            ))))?;
            for _ in 0..rules / MANY {
                let before = served.n_sent;
                served.send(&request);
                served.expect_rules(MANY)?;
                if served.n_sent - before < u64::from(MANY) * 64 {
                    return Err("a dump without rules".into());
                }
            }
        }
        _ => return Err("no such path".into()),
    }
    // Taking it down is not what is counted.
    forget(served);
    Ok(())
}

fn encode(message: &Message) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Dialect::plain(VERSION).encode(message, 7, &mut bytes)?;
    Ok(bytes)
}

/// The agent, its bridge, and one controller that reads all that it is told.
struct Served {
    agent: Agent,
    bridge: Bridge,
    dpif: LocalDpif,
    now: Nanos,
    /// Bytes to the controller.
    n_sent: u64,
}

impl Served {
    fn new() -> Result<Self> {
        let now = Nanos::from_secs(1);
        let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
        let mut bridge = Bridge::new(config, now);
        let mut dpif = LocalDpif::new();
        let spec = PortSpec {
            dp: Some(PortNo(1)),
            of: OfPort(1),
            name: "p1".into(),
            hw_addr: EtherAddr([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            link: Link::UP,
        };
        bridge.add_port(spec, now).map_err(|why| format!("{why:?}"))?;
        dpif.add_port(PortNo(1));
        let mut agent =
            Agent::new(AgentConfig { max_bundled_bytes: 1 << 30, ..AgentConfig::default() });
        let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        if !agent.accepted(CONN, nobody, 6653, now) {
            return Err("not accepted".into());
        }
        let mut served = Self { agent, bridge, dpif, now, n_sent: 0 };
        served.send(&encode(&Message::Hello(Hello { bitmap: Some(VERSION.bit()) }))?);
        Ok(served)
    }

    /// Hands bytes over as fast as they are taken.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.agent.received(CONN, bytes, self.now);
            bytes = &bytes[taken..];
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += TURN;
        self.dpif.set_now(self.now);
        self.agent.poll(self.now, &mut self.bridge, &mut self.dpif);
        let _when = self.bridge.run(&mut self.dpif, self.now);
        if let Some(outbox) = self.agent.output(CONN) {
            let n = outbox.pending().len();
            outbox.consume(n);
            self.n_sent += n as u64;
        }
    }

    /// Waits until all that was asked for is done, and counts the rules.
    fn expect_rules(&mut self, n: u32) -> Result<()> {
        let before = self.n_sent;
        let barrier = encode(&Message::BarrierRequest)?;
        self.send(&barrier);
        // The reply is the last of what is sent.
        let mut last = before;
        let mut n_idle = 0;
        for _ in 0..PATIENCE {
            self.turn();
            n_idle = if self.n_sent == last && last > before { n_idle + 1 } else { 0 };
            last = self.n_sent;
            if n_idle > 2 {
                break;
            }
        }
        let there = self.bridge.state().tables.n_rules();
        if there != n as usize {
            return Err(format!("{there} rules instead of {n}").into());
        }
        Ok(())
    }

    /// Sends the messages that add rules, each with `head` before it if there is one, in chunks. All are
    /// made of one, so that making them costs next to nothing.
    fn send_rules(&mut self, n: u32, head: &[u8]) -> Result<()> {
        let text = "priority=100,tcp,nw_src=10.11.12.13,nw_dst=172.16.0.1,tp_dst=80,actions=1";
        let mut rule = openflow::text::parse_flow(text, FlowModCommand::Add)?;
        rule.table_id = 0;
        let mut message = head.to_vec();
        message.extend(encode(&Message::FlowMod(Box::new(rule)))?);
        if !head.is_empty() {
            let len = u16::try_from(message.len())?.to_be_bytes();
            message[2..4].copy_from_slice(&len);
        }
        let at = message.windows(4).position(|bytes| bytes == [10, 11, 12, 13]);
        let at = at.ok_or("no address")?;
        let mut chunk = Vec::with_capacity(CHUNK + message.len());
        for k in 0..n {
            message[at..at + 4].copy_from_slice(&(10 << 24 | k).to_be_bytes());
            chunk.extend_from_slice(&message);
            if chunk.len() >= CHUNK || k + 1 == n {
                self.send(&chunk);
                chunk.clear();
            }
        }
        Ok(())
    }
}
