//! What the row of one controller says holds for it and for no other (columns of the `Controller` table).

use agent::{Agent, AgentConfig, ConnId, NetRequest, PacketInLimit, PeerSettings, Way};
use core::net::SocketAddr;
use datapath::LocalDpif;
use ofproto::{Bridge, BridgeConfig};
use openflow::{
    AsyncConfig, AsyncMasks, ControllerRole, Dialect, FlowMod, Hello, Message, Origin, PortConfig,
    PortFeatures, PortMod, Role, SwitchConfig, Version,
};
use sync::time::Nanos;

const DIALECT: Dialect = Dialect::plain(Version::V13);
/// As a bridge has it where no row says otherwise.
const USUAL: PeerSettings = PeerSettings {
    inactivity_probe: Nanos::ZERO,
    max_backoff: Nanos::from_secs(8),
    packet_in_limit: None,
    is_quiet: false,
    is_service: false,
};

fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 2, 2], u16::try_from(6653 + n).expect("few")))
}

struct Stage {
    agent: Agent,
    bridge: Bridge,
    dpif: LocalDpif,
    now: Nanos,
}

impl Stage {
    /// Controllers with these settings.
    fn new(own: &[PeerSettings]) -> Self {
        let config = AgentConfig {
            controllers: (0..own.len()).map(address).collect(),
            own: own.iter().enumerate().map(|(n, of)| (Way::Connect(address(n)), *of)).collect(),
            ..AgentConfig::default()
        };
        Self::of(config)
    }

    fn of(config: AgentConfig) -> Self {
        let now = Nanos::from_secs(1);
        let (agent, mut bridge) = (Agent::new(config), Bridge::new(BridgeConfig::default(), now));
        let spec = ofproto::PortSpec {
            dp: Some(datapath::PortNo(1)),
            of: openflow::OfPort(1),
            name: "p1".to_owned(),
            hw_addr: flow::EtherAddr([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            link: ofproto::Link::UP,
        };
        bridge.add_port(spec, now).expect("a new port");
        let mut dpif = LocalDpif::new();
        dpif.add_port(datapath::PortNo(1));
        Self { agent, bridge, dpif, now }
    }

    /// All of them connected and through their handshake.
    fn connected(own: &[PeerSettings]) -> Self {
        let mut stage = Self::new(own);
        stage.pass(0);
        for (n, conn) in (1..).enumerate().take(own.len()) {
            assert!(stage.agent.connected(ConnId(conn), n, stage.now));
            let hello = Message::Hello(Hello { bitmap: Some(Version::V13.bit()) });
            stage.say(ConnId(conn), &hello);
        }
        stage.pass(20);
        for conn in 1..=own.len() {
            stage.hear(ConnId(u32::try_from(conn).expect("few")));
        }
        stage
    }

    /// One peer at each door, as connection 1 and on, through their handshake.
    fn entered(doors: &[(u16, PeerSettings)]) -> Self {
        let mut stage = Self::of(behind(doors));
        for (&(door, _), conn) in doors.iter().zip(1..) {
            let peer = address(usize::from(door));
            assert!(stage.agent.accepted(ConnId(conn), peer, door, stage.now));
            let hello = Message::Hello(Hello { bitmap: Some(Version::V13.bit()) });
            stage.say(ConnId(conn), &hello);
        }
        stage.pass(20);
        (1..).take(doors.len()).for_each(|conn| drop(stage.hear(ConnId(conn))));
        stage
    }

    /// Lets `millis` pass in steps of 10 ms; gives what the network layer is asked to do.
    fn pass(&mut self, millis: u64) -> Vec<NetRequest> {
        let mut requests = Vec::new();
        for _ in 0..=millis / 10 {
            self.now = self.now.saturating_add(Nanos::from_millis(10));
            self.dpif.set_now(self.now);
            self.agent.poll(self.now, &mut self.bridge, &mut self.dpif);
            while let Some(upcall) = self.dpif.next_upcall() {
                self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
            }
            self.bridge.run(&mut self.dpif, self.now);
            requests.extend(core::iter::from_fn(|| self.agent.next_request()));
        }
        requests
    }

    fn say(&mut self, conn: ConnId, message: &Message) {
        let mut bytes = Vec::new();
        DIALECT.encode(message, 1, &mut bytes).expect("short enough");
        assert_eq!(self.agent.received(conn, &bytes, self.now), bytes.len());
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

    /// Every frame goes to the controllers.
    fn send_all_to_controllers(&mut self) {
        let to = openflow::Action::Output { port: openflow::OfPort::CONTROLLER, max_len: 0xffff };
        let rule =
            FlowMod { instructions: openflow::Instructions::apply(vec![to]), ..FlowMod::default() };
        self.bridge.flow_mod(&rule, Version::V13, self.now).expect("a rule");
        self.pass(20);
    }

    fn frame(&mut self) {
        let mut frame = vec![0; 60];
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        self.dpif.receive(datapath::PortNo(1), &frame);
        self.pass(10);
    }
}

/// Doors with settings of their own.
fn behind(doors: &[(u16, PeerSettings)]) -> AgentConfig {
    let own = doors.iter().map(|(door, settings)| (Way::Listen(*door), *settings)).collect();
    AgentConfig { own, ..AgentConfig::default() }
}

fn n_packet_ins(heard: &[Message]) -> usize {
    heard.iter().filter(|message| matches!(message, Message::PacketIn(_))).count()
}

#[test]
fn each_is_called_again_after_its_own_time() {
    let patient = PeerSettings { max_backoff: Nanos::from_secs(32), ..USUAL };
    let hasty = PeerSettings { max_backoff: Nanos::from_secs(1), ..USUAL };
    let mut stage = Stage::new(&[patient, hasty]);
    let mut attempts = [0, 0];
    // A minute, in which nobody answers.
    for _ in 0..6_000 {
        for request in stage.pass(0) {
            let NetRequest::Connect(n, to) = request else { panic!("{request:?}") };
            assert_eq!(to, address(n));
            attempts[n] += 1;
            stage.agent.connect_failed(n, stage.now);
        }
    }
    // After 1, 2, 4, 8, 16 and (not within the minute) 32 seconds; each second.
    assert_eq!(attempts[0], 6, "{attempts:?}");
    assert!((50..=60).contains(&attempts[1]), "{attempts:?}");
}

#[test]
fn each_is_probed_after_its_own_silence() {
    let seconds = |n| PeerSettings { inactivity_probe: Nanos::from_secs(n), ..USUAL };
    let mut stage = Stage::connected(&[seconds(2), seconds(5), seconds(0)]);
    let is_asked = |stage: &mut Stage, conn| {
        stage.hear(ConnId(conn)).iter().any(|message| matches!(message, Message::EchoRequest(_)))
    };
    assert_eq!(stage.pass(2_500), []);
    assert_eq!([1, 2, 3].map(|conn| is_asked(&mut stage, conn)), [true, false, false]);
    // Nobody answers: the first is given up after as long again.
    assert_eq!(stage.pass(2_000), [NetRequest::Close(ConnId(1))]);
    assert_eq!(stage.pass(1_000), []);
    assert_eq!([2, 3].map(|conn| is_asked(&mut stage, conn)), [true, false]);
    let later: Vec<_> = stage.pass(60_000);
    assert!(later.contains(&NetRequest::Close(ConnId(2))), "{later:?}");
    assert!(!later.contains(&NetRequest::Close(ConnId(3))), "{later:?}");
    assert!(stage.agent.controllers()[2].connected, "one that is never probed stays");
}

#[test]
fn one_that_wants_no_messages_unasked_gets_none_until_it_asks() {
    let quiet = PeerSettings { is_quiet: true, ..USUAL };
    let mut stage = Stage::connected(&[quiet, USUAL]);
    stage.send_all_to_controllers();
    let change = |config| PortMod {
        port: openflow::OfPort(1),
        hw_addr: [2, 0, 0, 0, 0, 1],
        config,
        mask: PortConfig::NO_FLOOD,
        advertise: PortFeatures::empty(),
    };
    stage.frame();
    stage.bridge.port_mod(&change(PortConfig::NO_FLOOD)).expect("a port");
    stage.pass(20);
    let (of_quiet, of_other) = (stage.hear(ConnId(1)), stage.hear(ConnId(2)));
    assert_eq!(of_quiet, []);
    assert_eq!(n_packet_ins(&of_other), 1, "{of_other:?}");
    assert!(of_other.iter().any(|message| matches!(message, Message::PortStatus(_))));
    // A role alone does not make it hear; it says what it wants.
    let role =
        Role { role: ControllerRole::NoChange, generation_id: Some(0), origin: Origin::Standard };
    stage.say(ConnId(1), &Message::RoleRequest(role));
    stage.frame();
    assert_eq!(n_packet_ins(&stage.hear(ConnId(1))), 0);
    let masks = AsyncMasks { packet_in: 0b111, ..AsyncMasks::default() };
    let wants = AsyncConfig { primary: masks, secondary: masks, origin: Origin::Standard };
    stage.say(ConnId(1), &Message::SetAsync(wants));
    stage.pass(20);
    stage.frame();
    stage.bridge.port_mod(&change(PortConfig::empty())).expect("a port");
    stage.pass(20);
    let heard = stage.hear(ConnId(1));
    assert_eq!((heard.len(), n_packet_ins(&heard)), (1, 1), "{heard:?}");
}

/// Rows with `type=service`.
#[test]
fn one_for_service_hears_nothing_before_it_says_how_much_of_packets_it_wants() {
    let service = PeerSettings { is_service: true, ..USUAL };
    for is_door in [false, true] {
        let mut stage = match is_door {
            true => Stage::entered(&[(6653, service), (6654, USUAL)]),
            false => Stage::connected(&[service, USUAL]),
        };
        stage.send_all_to_controllers();
        stage.frame();
        let got = [1, 2].map(|conn| n_packet_ins(&stage.hear(ConnId(conn))));
        assert_eq!(got, [0, 1]);
        stage.say(ConnId(1), &Message::SetConfig(SwitchConfig { flags: 0, miss_send_len: 64 }));
        stage.frame();
        let got = [1, 2].map(|conn| n_packet_ins(&stage.hear(ConnId(conn))));
        assert_eq!(got, [1, 1]);
    }
}

/// Only one that controls the bridge takes it from the fail mode.
#[test]
fn one_for_service_does_not_control_the_bridge() {
    let service = PeerSettings { is_service: true, ..USUAL };
    for (settings, is_door, controls) in
        [(USUAL, false, true), (service, false, false), (USUAL, true, true), (service, true, false)]
    {
        let mut stage = match is_door {
            true => Stage::of(behind(&[(6653, settings)])),
            false => Stage::new(&[settings]),
        };
        stage.pass(0);
        // Of a bridge that nobody controls the first rule makes it a learning switch.
        assert_eq!(stage.bridge.state().tables.n_rules() == 0, controls, "{settings:?} {is_door}");
    }
}

#[test]
fn each_has_its_own_share_of_packet_ins() {
    let limit = |per_second, burst| PeerSettings {
        packet_in_limit: Some(PacketInLimit { per_second, burst }),
        ..USUAL
    };
    let mut stage = Stage::connected(&[limit(100, 25), limit(100, 5), USUAL]);
    stage.send_all_to_controllers();
    // All at one moment.
    let mut frame = vec![0; 60];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
    for _ in 0..40 {
        stage.dpif.receive(datapath::PortNo(1), &frame);
    }
    while let Some(upcall) = stage.dpif.next_upcall() {
        stage.bridge.handle_upcall(upcall, &mut stage.dpif, stage.now);
    }
    stage.agent.poll(stage.now, &mut stage.bridge, &mut stage.dpif);
    let got = [1, 2, 3].map(|conn| n_packet_ins(&stage.hear(ConnId(conn))));
    assert_eq!(got, [25, 5, 40]);
}

/// Rows with `ptcp:`: who comes by a port of the switch is dealt with as the row of that port says.
#[test]
fn each_door_has_its_own_settings() {
    let quiet = PeerSettings { is_quiet: true, ..USUAL };
    let limited =
        PeerSettings { packet_in_limit: Some(PacketInLimit { per_second: 1, burst: 1 }), ..USUAL };
    let probed = PeerSettings { inactivity_probe: Nanos::from_secs(2), ..USUAL };
    let doors = [(6653, quiet), (6654, limited), (6655, probed)];
    let mut stage = Stage::entered(&doors);
    stage.send_all_to_controllers();
    (0..3).for_each(|_| stage.frame());
    let got = [1, 2, 3].map(|conn| n_packet_ins(&stage.hear(ConnId(conn))));
    assert_eq!(got, [0, 1, 3]);
    let later = stage.pass(10_000);
    let is_of_3 = |request: &NetRequest| {
        matches!(request, NetRequest::Close(ConnId(3)) | NetRequest::Abort(ConnId(3)))
    };
    assert!(!later.is_empty() && later.iter().all(is_of_3), "it alone is probed: {later:?}");
    let roles = |stage: &Stage, door| stage.agent.accepted_roles(door).collect::<Vec<_>>();
    assert_eq!([6653, 6654, 1].map(|door| roles(&stage, door).len()), [1, 1, 0]);
    let primary =
        Role { role: ControllerRole::Primary, generation_id: Some(0), origin: Origin::Standard };
    stage.say(ConnId(2), &Message::RoleRequest(primary));
    stage.pass(20);
    assert_eq!(roles(&stage, 6654), ["master"]);
    assert_eq!(roles(&stage, 6653), ["other"]);
}

/// Settings that change hold at once; who came by a door that is gone has to go, and nobody else.
#[test]
fn doors_change_and_close() {
    let quiet = PeerSettings { is_quiet: true, ..USUAL };
    let mut stage = Stage::entered(&[(6653, USUAL), (6654, USUAL), (6655, USUAL)]);
    assert!(stage.agent.accepted(ConnId(9), address(9), 7000, stage.now), "by no row's door");
    // Connection 2 said what it wants to hear: no row changes that.
    let masks = AsyncMasks { packet_in: 0b111, ..AsyncMasks::default() };
    let wants = AsyncConfig { primary: masks, secondary: masks, origin: Origin::Standard };
    stage.say(ConnId(2), &Message::SetAsync(wants));
    stage.send_all_to_controllers();
    stage.agent.reconfigure(behind(&[(6653, quiet), (6654, quiet)]), false);
    assert_eq!(stage.pass(20), [NetRequest::Close(ConnId(3))]);
    stage.frame();
    let got = [1, 2].map(|conn| n_packet_ins(&stage.hear(ConnId(conn))));
    assert_eq!(got, [0, 1]);
    stage.agent.reconfigure(behind(&[(6653, USUAL)]), false);
    assert_eq!(stage.pass(20), [NetRequest::Close(ConnId(2))]);
    stage.frame();
    assert_eq!(n_packet_ins(&stage.hear(ConnId(1))), 1);
}
