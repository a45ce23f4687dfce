//! A bridge with its agent, and peers that talk to it.

#![allow(dead_code, reason = "each test file uses its part")]

use agent::{Agent, AgentConfig, ConnId};
use datapath::{LocalDpif, PortNo};
use flow::{EtherAddr, Field, Match};
use ofproto::{Bridge, BridgeConfig, Link, PortSpec};
use openflow::{
    Action, Dialect, FlowMod, FlowStatsRequest, Hello, Instructions, Message, MultipartRequest,
    OfErrorKind, OfPort, Version,
};
use sync::time::Nanos;

const MS: Nanos = Nanos::from_millis(1);
/// The TCP port to which peers come.
pub(crate) const DOOR: u16 = 6653;

pub(crate) struct Stage {
    pub(crate) agent: Agent,
    pub(crate) bridge: Bridge,
    pub(crate) dpif: LocalDpif,
    pub(crate) now: Nanos,
}

/// The other end of a connection.
pub(crate) struct Peer {
    pub(crate) conn: ConnId,
    pub(crate) dialect: Dialect,
    pub(crate) xid: u32,
}

impl Stage {
    pub(crate) fn new(config: AgentConfig) -> Self {
        Self::of(config, BridgeConfig::default(), 3)
    }

    /// With a bridge made so, of so many ports.
    pub(crate) fn of(config: AgentConfig, bridge: BridgeConfig, n_ports: u32) -> Self {
        let now = Nanos::from_secs(1);
        let mut bridge = Bridge::new(bridge, now);
        let mut dpif = LocalDpif::new();
        for k in 1..=n_ports {
            let spec = PortSpec {
                dp: Some(PortNo(k)),
                of: OfPort(k),
                name: format!("p{k}"),
                hw_addr: EtherAddr([2, 0, 0, 0, 0, u8::try_from(k).expect("small")]),
                mtu: 1500,
                link: Link::UP,
            };
            bridge.add_port(spec, now).expect("a new port");
            dpif.add_port(PortNo(k));
        }
        while bridge.take_event().is_some() {}
        Self { agent: Agent::new(config), bridge, dpif, now }
    }

    /// Lets time pass and everybody work, until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..50 {
            self.now = self.now.saturating_add(MS);
            self.dpif.set_now(self.now);
            self.agent.poll(self.now, &mut self.bridge, &mut self.dpif);
            while let Some(upcall) = self.dpif.next_upcall() {
                self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
            }
            self.bridge.run(&mut self.dpif, self.now);
        }
    }

    /// A peer that connected to us and shook hands.
    pub(crate) fn peer(&mut self, conn: u32, version: Version) -> Peer {
        let conn = ConnId(conn);
        let peer = "10.0.2.2:40000".parse().expect("address");
        assert!(self.agent.accepted(conn, peer, DOOR, self.now));
        let mut peer = Peer { conn, dialect: Dialect::plain(version), xid: 100 };
        let hello = Hello { bitmap: Some(version.bit()) };
        let heard = self.say(&mut peer, &Message::Hello(hello));
        assert!(matches!(heard.as_slice(), [(_, Message::Hello(_))]), "{heard:?}");
        peer
    }

    pub(crate) fn send_bytes(&mut self, peer: &Peer, bytes: &[u8]) -> Vec<(u32, Message)> {
        assert_eq!(self.agent.received(peer.conn, bytes, self.now), bytes.len());
        self.settle();
        self.hear(peer)
    }

    pub(crate) fn say(&mut self, peer: &mut Peer, message: &Message) -> Vec<(u32, Message)> {
        let mut bytes = Vec::new();
        peer.xid += 1;
        peer.dialect.encode(message, peer.xid, &mut bytes).expect("short enough");
        self.send_bytes(peer, &bytes)
    }

    /// What the peer has been sent since it was asked last.
    pub(crate) fn hear(&mut self, peer: &Peer) -> Vec<(u32, Message)> {
        let Some(outbox) = self.agent.output(peer.conn) else { return Vec::new() };
        let bytes = outbox.pending().to_vec();
        outbox.consume(bytes.len());
        let (mut rest, mut heard) = (bytes.as_slice(), Vec::new());
        while let Some(len) = openflow::frame_len(rest) {
            let (message, after) = rest.split_at(len);
            let version = Version::from_wire(message[0]).expect("a version");
            let dialect = Dialect { version, ..peer.dialect };
            let (header, message) = dialect.decode(message).expect("what we say is well-formed");
            heard.push((header.xid, message));
            rest = after;
        }
        assert!(rest.is_empty(), "only whole messages");
        heard
    }

    /// Says something that must be refused.
    pub(crate) fn refused(&mut self, peer: &mut Peer, message: &Message) -> OfErrorKind {
        let heard = self.say(peer, message);
        match heard.as_slice() {
            [(xid, Message::Error(error))] => {
                assert_eq!(*xid, peer.xid);
                error.kind
            }
            other => panic!("{message:?} is answered by {other:?}"),
        }
    }
}

pub(crate) fn output_rule(in_port: u32, out: u32) -> FlowMod {
    let mut match_ = Match::default();
    match_.set_exact(Field::InPort, u128::from(in_port));
    let apply = vec![Action::Output { port: OfPort(out), max_len: 0 }];
    FlowMod {
        match_,
        instructions: Instructions { apply, ..Default::default() },
        ..FlowMod::default()
    }
}

pub(crate) fn all_flows() -> Message {
    Message::MultipartRequest(MultipartRequest::Flow(Box::new(FlowStatsRequest {
        table_id: openflow::TABLE_ALL,
        out_port: OfPort::ANY,
        out_group: openflow::GROUP_ANY,
        cookie: 0,
        cookie_mask: 0,
        match_: Match::default(),
        format: openflow::FlowFormat::Standard,
    })))
}
