//! Peers that fall silent, do not read, come twice or come in crowds.

use agent::{Agent, AgentConfig, ConnId, NetRequest};
use core::net::SocketAddr;
use datapath::LocalDpif;
use ofproto::{Bridge, BridgeConfig};
use openflow::{
    Dialect, FlowMod, FlowStatsRequest, Hello, Message, MultipartRequest, OfPort, Version,
};
use sync::time::Nanos;

struct Stage {
    agent: Agent,
    bridge: Bridge,
    dpif: LocalDpif,
    now: Nanos,
}

const DIALECT: Dialect = Dialect::plain(Version::V13);

fn address() -> SocketAddr {
    "10.0.2.2:6653".parse().expect("an address")
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    DIALECT.encode(message, 1, &mut bytes).expect("short enough");
    bytes
}

fn hello() -> Vec<u8> {
    bytes(&Message::Hello(Hello { bitmap: Some(Version::V13.bit()) }))
}

fn dump() -> Vec<u8> {
    bytes(&Message::MultipartRequest(MultipartRequest::Flow(Box::new(FlowStatsRequest {
        table_id: openflow::TABLE_ALL,
        out_port: OfPort::ANY,
        out_group: openflow::GROUP_ANY,
        cookie: 0,
        cookie_mask: 0,
        match_: flow::Match::default(),
        format: openflow::FlowFormat::Standard,
    }))))
}

impl Stage {
    fn new(controllers: usize) -> Self {
        let now = Nanos::from_secs(1);
        let config =
            AgentConfig { controllers: vec![address(); controllers], ..AgentConfig::default() };
        let (agent, bridge) = (Agent::new(config), Bridge::new(BridgeConfig::default(), now));
        Self { agent, bridge, dpif: LocalDpif::new(), now }
    }

    /// Lets `millis` pass in steps of 10 ms; gives what the network layer is asked to do.
    fn pass(&mut self, millis: u64) -> Vec<NetRequest> {
        let mut requests = Vec::new();
        for _ in 0..=millis / 10 {
            self.now = self.now.saturating_add(Nanos::from_millis(10));
            self.dpif.set_now(self.now);
            self.agent.poll(self.now, &mut self.bridge, &mut self.dpif);
            self.bridge.run(&mut self.dpif, self.now);
            requests.extend(core::iter::from_fn(|| self.agent.next_request()));
        }
        requests
    }

    fn hear(&mut self, conn: ConnId) -> Vec<Message> {
        let Some(outbox) = self.agent.output(conn) else { return Vec::new() };
        let pending = outbox.pending().to_vec();
        outbox.consume(pending.len());
        let (mut rest, mut heard) = (pending.as_slice(), Vec::new());
        while let Some(len) = openflow::frame_len(rest) {
            let (message, after) = rest.split_at(len);
            heard.push(DIALECT.decode(message).expect("well-formed").1);
            rest = after;
        }
        heard
    }
}

#[test]
fn a_controller_that_does_not_answer_echoes_counts_as_gone_before_its_socket_is() {
    let mut stage = Stage::new(1);
    assert_eq!(stage.pass(0), [NetRequest::Connect(0, address())]);
    assert!(stage.agent.connected(ConnId(1), 0, stage.now));
    stage.agent.received(ConnId(1), &hello(), stage.now);
    assert_eq!(stage.pass(9_000), []);
    assert_eq!(stage.pass(2_000), [NetRequest::Close(ConnId(1))]);
    // The peer's TCP keeps the socket open. The fail mode does not wait for it.
    stage.pass(16_000);
    assert!(stage.bridge.is_fail_open());
}

#[test]
fn an_attempt_given_up_does_not_come_back_as_a_second_connection() {
    let mut stage = Stage::new(1);
    assert_eq!(stage.pass(0), [NetRequest::Connect(0, address())]);
    assert_eq!(stage.pass(11_000), [NetRequest::Connect(0, address())], "the first is given up");
    assert!(stage.agent.connected(ConnId(2), 0, stage.now));
    assert!(!stage.agent.connected(ConnId(1), 0, stage.now), "one is enough");
    // Nor does its end count as the end of the second.
    stage.agent.connect_failed(0, stage.now);
    stage.agent.received(ConnId(2), &hello(), stage.now);
    assert_eq!(stage.pass(4_000), []);
    assert!(stage.agent.controllers()[0].connected);
}

#[test]
fn a_crowd_of_peers_leaves_room_for_the_controllers() {
    let mut stage = Stage::new(2);
    stage.pass(0);
    let n =
        (10..100).filter(|&k| stage.agent.accepted(ConnId(k), address(), 6653, stage.now)).count();
    assert_eq!(n, 62);
    assert!(stage.agent.connected(ConnId(1), 0, stage.now));
    assert!(stage.agent.connected(ConnId(2), 1, stage.now));
    assert!(!stage.agent.accepted(ConnId(3), address(), 6653, stage.now), "64 are open");
    stage.agent.closed(ConnId(10), stage.now);
    assert!(stage.agent.accepted(ConnId(4), address(), 6653, stage.now));
}

#[test]
fn a_peer_that_asks_and_never_reads_is_given_up() {
    let mut stage = Stage::new(0);
    let conn = ConnId(1);
    assert!(stage.agent.accepted(conn, address(), 6653, stage.now));
    stage.agent.received(conn, &hello(), stage.now);
    let echo = bytes(&Message::EchoRequest(vec![7; 60_000]));
    let mut requests = Vec::new();
    for _ in 0..2_000 {
        stage.agent.received(conn, &echo, stage.now);
        requests.extend(stage.pass(10));
    }
    assert_eq!(requests, [NetRequest::Close(conn), NetRequest::Abort(conn)]);
}

#[test]
fn a_peer_that_only_reads_a_long_reply_is_not_given_up() {
    let mut stage = Stage::new(0);
    let conn = ConnId(1);
    assert!(stage.agent.accepted(conn, address(), 6653, stage.now));
    stage.agent.received(conn, &hello(), stage.now);
    for priority in 0..10_000 {
        let rule = FlowMod { priority, ..FlowMod::default() };
        stage.bridge.flow_mod(&rule, Version::V13, stage.now).expect("a rule");
    }
    stage.pass(100);
    stage.agent.received(conn, &dump(), stage.now);
    // Ten thousand records of 56 bytes, 8 KiB every quarter of a second: 17 seconds.
    let mut n_rounds = 0;
    loop {
        assert_eq!(stage.pass(250), [], "after {n_rounds} rounds");
        let outbox = stage.agent.output(conn).expect("open");
        if outbox.pending().is_empty() {
            break;
        }
        outbox.consume(8 * 1024);
        n_rounds += 1;
    }
    assert!(n_rounds > 65);
}

#[test]
fn requests_that_look_at_everything_are_one_a_turn() {
    let mut stage = Stage::new(0);
    let conn = ConnId(1);
    assert!(stage.agent.accepted(conn, address(), 6653, stage.now));
    stage.agent.received(conn, &hello(), stage.now);
    stage.pass(10);
    stage.hear(conn);
    let request = bytes(&Message::MultipartRequest(MultipartRequest::Table));
    stage.agent.received(conn, &request.repeat(8), stage.now);
    for left in (0..8).rev() {
        stage.agent.poll(stage.now, &mut stage.bridge, &mut stage.dpif);
        let heard = stage.hear(conn);
        let is_last = |message: &&Message| matches!(message, Message::MultipartReply(r) if !r.more);
        assert_eq!(heard.iter().filter(is_last).count(), 1, "{left} left");
    }
}
