//! A peer on an OpenFlow connection: the agent with a bridge and a datapath behind it.
//!
//! The first byte says which version the peer speaks and how its bytes are cut into pieces; the rest
//! is what it sends after its hello. Asserted:
//! - whatever it sends, all that it is sent are whole messages of the version, which decode;
//! - as long as the stream can still be cut into messages, the connection stays and an echo request
//!   is answered, after everything before it;
//! - a second connection, opened beforehand, is answered all the same;
//! - the bridge comes to rest, and the accounting law holds.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::cell::RefCell;

use agent::{Agent, AgentConfig, ConnId, NetRequest};
use datapath::{LocalConfig, LocalDpif, PortNo};
use flow::EtherAddr;
use ofproto::{Bridge, BridgeConfig, Link, PortSpec};
use openflow::{Dialect, HEADER_BYTES, Hello, Message, OfPort, Version, frame_len};
use packet::PoolConfig;
use sync::time::Nanos;

use crate::corpus::Input;
use crate::{Behaviour, behaviour, corpus};

const N_PORTS: u32 = 3;
const PEER: ConnId = ConnId(1);
const OTHER: ConnId = ConnId(2);
/// The number of our own echo requests.
const XID: u32 = 0xfeed_beef;

thread_local! {
    /// Empty until needed, and after a law was broken.
    static DATAPATH: RefCell<Option<LocalDpif>> = const { RefCell::new(None) };
}

fn datapath() -> LocalDpif {
    let mut dpif = LocalDpif::with(LocalConfig {
        pool: PoolConfig { small: 128, jumbo: 8 },
        ..LocalConfig::default()
    });
    for port in 1..=N_PORTS {
        dpif.add_port(PortNo(port));
    }
    dpif
}

/// Messages by the crate's other corpus, as a peer of each version sends them.
pub(super) fn messages() -> Vec<Input> {
    let messages = corpus::load("corpus", "openflow_message");
    let streams = messages.into_iter().filter(|input| input.bytes.len() >= HEADER_BYTES);
    streams
        .map(|Input { origin, mut bytes }| {
            bytes.insert(0, if bytes[0] == 1 { 0x40 } else { 0xc0 });
            Input { origin, bytes }
        })
        .collect()
}

/// Makes the length of the first message right.
pub(super) fn repair(data: &mut [u8]) {
    if let Some((_, message)) = data.split_first_mut() {
        super::openflow::repair(message);
    }
}

/// Runs the target.
pub fn controller(data: &[u8]) -> Behaviour {
    let (&how, stream) = data.split_first().unwrap_or((&0, &[]));
    // The version of the first message is that of the connection.
    let version = stream.first().and_then(|&wire| Version::from_wire(wire));
    let version = version.unwrap_or(Version::V13);
    let mut dpif = DATAPATH.take().unwrap_or_else(datapath);
    let mut talk = Talk::new(version, &mut dpif);
    talk.send(PEER, &hello(version));
    talk.send(OTHER, &hello(Version::V13));
    talk.settle();
    let mut kinds = vec![u64::from(version.wire())];

    for piece in stream.chunks(usize::from(how & 0x7f).max(1)) {
        talk.send(PEER, piece);
        talk.settle();
    }
    if is_whole(stream) {
        talk.send(PEER, &echo(version));
        talk.settle();
        assert!(!talk.is_closing(PEER), "the connection was given up");
        assert_eq!(talk.last(PEER), Some((3, XID)), "the echo is not answered");
    }
    talk.send(OTHER, &echo(Version::V13));
    talk.settle();
    assert_eq!(talk.last(OTHER), Some((3, XID)), "another peer is not answered");

    talk.dpif.receive(PortNo(1), &[2; 60]);
    talk.settle();
    kinds.extend(talk.said(PEER));
    let Talk { mut bridge, .. } = talk;
    // What the peer installed goes with its bridge.
    bridge.fdb_flush();
    drop(bridge);
    dpif.apply(datapath::Command::FlowFlush);
    assert!(dpif.accounting().holds(), "{:?}", dpif.accounting());
    DATAPATH.set(Some(dpif));
    behaviour(&kinds)
}

/// Whether a stream is whole messages, none of them a hello (which belongs to the start).
fn is_whole(mut stream: &[u8]) -> bool {
    while !stream.is_empty() {
        match frame_len(stream) {
            Some(len) if len >= HEADER_BYTES && len <= stream.len() && stream[1] != 0 => {
                stream = &stream[len..];
            }
            _ => return false,
        }
    }
    true
}

fn encode(message: &Message, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(version, XID, &mut bytes).expect("short");
    bytes
}

fn hello(version: Version) -> Vec<u8> {
    encode(&Message::Hello(Hello { bitmap: None }), version)
}

fn echo(version: Version) -> Vec<u8> {
    encode(&Message::EchoRequest(Vec::new()), version)
}

struct Talk<'a> {
    agent: Agent,
    bridge: Bridge,
    dpif: &'a mut LocalDpif,
    now: Nanos,
    version: Version,
    closing: Vec<ConnId>,
    /// Connection, type and xid of what was said.
    heard: Vec<(ConnId, u8, u32)>,
}

impl<'a> Talk<'a> {
    fn new(version: Version, dpif: &'a mut LocalDpif) -> Self {
        let now = Nanos::from_secs(1000);
        let mut bridge = Bridge::new(BridgeConfig { n_tables: 8, ..BridgeConfig::default() }, now);
        for number in 1..=N_PORTS {
            let spec = PortSpec {
                dp: Some(PortNo(number)),
                of: OfPort(number),
                name: format!("p{number}"),
                hw_addr: EtherAddr([2, 0xaa, 0, 0, 0, number.to_be_bytes()[3]]),
                mtu: 1500,
                link: Link::UP,
            };
            bridge.add_port(spec, now).expect("a port of its own");
        }
        dpif.set_now(now);
        let mut agent = Agent::new(AgentConfig::default());
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
        assert!(agent.accepted(PEER, from, 6653, now) && agent.accepted(OTHER, from, 6653, now));
        let (closing, heard) = (Vec::new(), Vec::new());
        Self { agent, bridge, dpif, now, version, closing, heard }
    }

    /// Offers bytes until all are taken.
    fn send(&mut self, conn: ConnId, mut bytes: &[u8]) {
        for _ in 0..1000 {
            let n = self.agent.received(conn, bytes, self.now);
            bytes = &bytes[n..];
            if bytes.is_empty() {
                return;
            }
            self.settle();
            if self.is_closing(conn) {
                return;
            }
        }
        panic!("the agent takes no more bytes");
    }

    fn is_closing(&self, conn: ConnId) -> bool {
        self.closing.contains(&conn)
    }

    /// Until nobody has anything to do at this moment.
    fn settle(&mut self) {
        for _ in 0..2000 {
            while let Some(upcall) = self.dpif.next_upcall() {
                self.bridge.handle_upcall(upcall, self.dpif, self.now);
            }
            let next = self.bridge.run(self.dpif, self.now);
            let worked = self.agent.poll(self.now, &mut self.bridge, self.dpif);
            while let Some(request) = self.agent.next_request() {
                if let NetRequest::Close(conn) = request {
                    self.closing.push(conn);
                }
            }
            let heard = self.hear(PEER) | self.hear(OTHER);
            drop(self.dpif.take_transmitted());
            if !worked && !heard && next > self.now {
                return;
            }
        }
        panic!("no end");
    }

    /// Takes what the agent says, message by message.
    fn hear(&mut self, conn: ConnId) -> bool {
        let Some(out) = self.agent.output(conn) else {
            return false;
        };
        let bytes = out.pending().to_vec();
        out.consume(bytes.len());
        let version = if conn == PEER { self.version } else { Version::V13 };
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            let len = frame_len(rest).expect("a whole header");
            let (message, tail) = rest.split_at(len);
            let decoded = Dialect::plain(version).decode(message);
            let (header, _) = decoded.unwrap_or_else(|error| {
                panic!("{} of {}", error.error.kind, corpus::to_hex(message))
            });
            self.heard.push((conn, header.kind, header.xid));
            rest = tail;
        }
        !bytes.is_empty()
    }

    /// The last reply; port status and the like are no replies.
    fn last(&self, conn: ConnId) -> Option<(u8, u32)> {
        let replies = self.heard.iter().rev().filter(|(to, kind, _)| *to == conn && *kind != 12);
        replies.map(|(_, kind, xid)| (*kind, *xid)).find(|(kind, _)| !matches!(kind, 10 | 11))
    }

    /// Types of messages said, each once.
    fn said(&self, conn: ConnId) -> Vec<u64> {
        let said = self.heard.iter().filter(|(to, ..)| *to == conn);
        let mut kinds: Vec<u64> = said.map(|(_, kind, _)| u64::from(*kind)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.push(u64::from(self.is_closing(conn)));
        kinds.push(self.bridge.state().tables.n_rules().min(5) as u64);
        kinds
    }
}
