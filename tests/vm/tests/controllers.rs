//! Controllers: those that the switch connects to and those that connect to it, stock programs and
//! ones in the test's hands, well-behaved and not.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use openflow::{
    AsyncConfig, AsyncMasks, ControllerRole, FlowMod, FlowModCommand, Message, OfErrorKind, OfPort,
    Origin, PacketIn, PacketInReason, Role, Version,
};
use seed::FailMode;
use serde_json::Value;
use vm::frame::{BROADCAST, host, plain};
use vm::os_ken::{self, Application};
use vm::{Bench, Client, Config, Spawned, WAIT, tool};

/// Where the guest sees the host's loopback.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

#[test]
fn os_ken_13() {
    let port = free_port();
    let controller = start_os_ken(Application::SimpleSwitch13, port);
    let bench = Bench::boot(Config::new(3).seed(|seed| {
        seed.controllers = vec![seed::Controller { address: HOST.into(), port }];
    }));
    is_connected(&bench, true);
    bench.case("the application's table-miss entry");
    has_flow(&bench, "priority=0 actions=CONTROLLER:65535");
    learns(&bench, host(1), host(2));
    for (in_port, from, to, out) in [(1, 1, 2, 2), (2, 2, 1, 1)] {
        has_flow(
            &bench,
            &format!(
                "priority=1,in_port=p{in_port},dl_src=02:00:00:00:00:0{from},dl_dst=02:00:00:00:00:0{to} actions=output:p{out}"
            ),
        );
    }
    bench.case("what has a rule goes without the controller");
    bench.forwards(1, &plain(host(2), host(1), 60, 9), &[2]);

    bench.case("controller lost: rules work on at once, strangers once the bridge is on its own");
    drop(controller);
    is_connected(&bench, false);
    bench.forwards(2, &plain(host(1), host(2), 60, 10), &[1]);
    let mut tag = 100;
    let arrived = bench.wait_until(|| {
        tag += 1;
        let frame = plain(BROADCAST, host(8), 60, tag);
        bench.send(3, &frame);
        bench.settle();
        let got = [1, 2].map(|port| bench.arrivals(port).take());
        std::thread::sleep(Duration::from_millis(100));
        got.iter().all(|frames| frames.last() == Some(&frame))
    });
    assert!(arrived, "it does not become a learning switch");
    bench.forwards(1, &plain(host(8), host(7), 60, 11), &[3]);
    bench.forwards(3, &plain(host(7), host(8), 60, 12), &[1]);

    bench.case("controller back");
    let _controller = start_os_ken(Application::SimpleSwitch13, port);
    is_connected(&bench, true);
    has_flow(&bench, "priority=0 actions=CONTROLLER:65535");
    learns(&bench, host(5), host(6));
    has_flow(&bench, "dl_src=02:00:00:00:00:05,dl_dst=02:00:00:00:00:06");
    bench.shutdown();
}

#[test]
fn os_ken_10() {
    let port = free_port();
    let _controller = start_os_ken(Application::SimpleSwitch, port);
    let bench = Bench::boot(Config::new(3).seed(|seed| {
        seed.controllers = vec![seed::Controller { address: HOST.into(), port }];
    }));
    is_connected(&bench, true);
    learns(&bench, host(1), host(2));
    has_flow(
        &bench,
        "in_port=p1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02 actions=output:p2",
    );
    has_flow(
        &bench,
        "in_port=p2,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01 actions=output:p1",
    );
    bench.forwards(1, &plain(host(2), host(1), 60, 9), &[2]);
    bench.shutdown();
}

#[test]
fn secure_keeps_only_what_was_installed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let bench = Bench::boot(Config::new(3).seed(|seed| {
        seed.fail_mode = FailMode::Secure;
        seed.controllers = vec![seed::Controller { address: HOST.into(), port }];
    }));
    bench.case("the bridge connects, and is told what to do");
    let mut client = accept(&listener);
    is_connected(&bench, true);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[]);
    client.send(&Message::FlowMod(Box::new(rule("in_port=1,actions=2")))).expect("sent");
    client.barrier();
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 2), &[2]);

    bench.case("controller lost for longer than the bridge waits");
    drop((client, listener));
    is_connected(&bench, false);
    let lost = bench.telemetry()["uptime_us"].as_u64().expect("a number");
    bench.until("20 seconds", |state| state["uptime_us"].as_u64() > Some(lost + 20_000_000));
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 3), &[2]);
    bench.forwards(2, &plain(BROADCAST, host(2), 60, 4), &[]);
    bench.forwards(3, &plain(BROADCAST, host(3), 60, 5), &[]);

    bench.case("controller back");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the same port");
    let mut client = accept(&listener);
    client.send(&Message::FlowMod(Box::new(rule("in_port=2,actions=1")))).expect("sent");
    client.barrier();
    bench.forwards(2, &plain(BROADCAST, host(2), 60, 6), &[1]);
    bench.shutdown();
}

#[test]
fn controllers_that_connect() {
    let bench = Bench::boot(Config::new(3));
    stock_test_controller(&bench);
    several_at_once(&bench);
    roles(&bench);
    asynchronous_messages(&bench);
    bench.shutdown();
}

#[test]
fn peers_that_misbehave() {
    let bench = Bench::boot(Config::new(3));
    broken_streams(&bench);
    refusals_13(&bench);
    refusals_10(&bench);
    a_peer_that_never_reads(&bench);
    one_too_many(&bench);
    bench.shutdown();
}

fn stock_test_controller(bench: &Bench) {
    bench.case("ovs-testcontroller");
    bench.set_flows(&[]);
    let mut command = Command::new(tool::need("ovs-testcontroller", "openvswitch-testcontroller"));
    command.arg(bench.target()).arg(format!("--unixctl={}", bench.dir().join("tc").display()));
    command.env("OVS_RUNDIR", bench.dir());
    let controller = Spawned::new(command);
    bench.until("it to be connected", |state| state["controllers"][0]["connected"] == true);
    // It passes over packet-ins until it has read our features: a first frame is offered till then.
    let hello = plain(BROADCAST, host(7), 60, 7);
    let is_awake = (0..15).any(|_| {
        bench.send(1, &hello);
        bench.arrivals(2).next(Duration::from_secs(2)).is_some()
    });
    assert!(is_awake && bench.arrivals(3).next(WAIT).is_some(), "it floods a broadcast");
    learns(bench, host(1), host(2));
    has_flow(bench, "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02");
    drop(controller);
    bench.until("nobody to be connected", |state| n_controllers(state) == 0);
}

fn several_at_once(bench: &Bench) {
    bench.case("each of several controllers gets packet-ins, in its own version");
    bench.set_flows(&["priority=0,actions=controller"]);
    let mut old = connect(bench, Version::V10);
    let mut new = connect(bench, Version::V13);
    let mut other = connect(bench, Version::V13);
    for client in [&mut old, &mut new, &mut other] {
        client.barrier();
    }
    let frame = plain(BROADCAST, host(1), 200, 1);
    bench.forwards(1, &frame, &[]);
    for (client, reason) in [
        (&mut old, PacketInReason::Action),
        (&mut new, PacketInReason::NoMatch),
        (&mut other, PacketInReason::NoMatch),
    ] {
        let got = packet_ins(client);
        assert_eq!(got.len(), 1, "{got:?}");
        assert_eq!((got[0].reason, got[0].in_port()), (reason, OfPort(1)));
        assert_eq!((&got[0].data, got[0].buffer_id), (&frame, None));
    }
    bench.case("port status and flow-removed as well");
    bench.ofctl(&["mod-port", "2", "down"]);
    bench.ofctl(&["mod-port", "2", "up"]);
    bench.ofctl(&["add-flow", "cookie=0x5,priority=7,send_flow_rem,actions=1"]);
    bench.ofctl(&["del-flows", "cookie=0x5/-1"]);
    for client in [&mut old, &mut new, &mut other] {
        let got = client.so_far();
        let n = |is: fn(&Message) -> bool| got.iter().filter(|message| is(message)).count();
        assert_eq!(n(|message| matches!(message, Message::PortStatus(_))), 2, "{got:?}");
        assert_eq!(n(|message| matches!(message, Message::FlowRemoved(_))), 1, "{got:?}");
    }
}

fn roles(bench: &Bench) {
    bench.case("roles");
    bench.set_flows(&["priority=0,actions=controller"]);
    let mut a = connect(bench, Version::V13);
    let mut b = connect(bench, Version::V13);
    let request = |role, generation| {
        Message::RoleRequest(Role {
            role,
            generation_id: Some(generation),
            origin: Origin::Standard,
        })
    };
    let became = |reply: Message, role| {
        assert!(matches!(&reply, Message::RoleReply(reply) if reply.role == role), "{reply:?}");
    };
    became(a.ask(&request(ControllerRole::NoChange, 0)), ControllerRole::Equal);
    became(a.ask(&request(ControllerRole::Primary, 10)), ControllerRole::Primary);
    became(b.ask(&request(ControllerRole::Secondary, 10)), ControllerRole::Secondary);

    bench.case("a secondary changes nothing and hears of no packets");
    let add = Message::FlowMod(Box::new(rule("priority=5,actions=2")));
    assert_eq!(b.refused(&add), OfErrorKind::RequestIsSecondary);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[]);
    assert_eq!((packet_ins(&mut a).len(), packet_ins(&mut b).len()), (1, 0));
    assert!(matches!(b.ask(&Message::FeaturesRequest), Message::FeaturesReply(_)));

    bench.case("a stale generation");
    assert_eq!(b.refused(&request(ControllerRole::Primary, 9)), OfErrorKind::RoleStale);

    bench.case("a new primary makes the old one secondary");
    became(b.ask(&request(ControllerRole::Primary, 11)), ControllerRole::Primary);
    became(a.ask(&request(ControllerRole::NoChange, 0)), ControllerRole::Secondary);
    assert_eq!(a.refused(&add), OfErrorKind::RequestIsSecondary);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 2), &[]);
    assert_eq!((packet_ins(&mut a).len(), packet_ins(&mut b).len()), (0, 1));
    let state = bench.telemetry();
    let mut roles: Vec<&str> = state["controllers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|c| c["role"].as_str())
        .collect();
    roles.sort_unstable();
    assert_eq!(roles, ["master", "slave"]);
    became(a.ask(&request(ControllerRole::Equal, 0)), ControllerRole::Equal);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 3), &[]);
    assert_eq!((packet_ins(&mut a).len(), packet_ins(&mut b).len()), (1, 1));
}

fn asynchronous_messages(bench: &Bench) {
    bench.case("what a controller does not want to hear it does not hear");
    bench.set_flows(&["priority=1,in_port=1,actions=controller", "priority=0,actions=controller"]);
    let mut client = connect(bench, Version::V13);
    let masks =
        AsyncMasks { packet_in: 1 << PacketInReason::Action as u8, ..AsyncMasks::default() };
    let config = AsyncConfig { primary: masks, secondary: masks, origin: Origin::Standard };
    client.send(&Message::SetAsync(config)).expect("sent");
    let reply = client.ask(&Message::GetAsyncRequest);
    assert!(matches!(&reply, Message::GetAsyncReply(got) if got.primary == masks), "{reply:?}");
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[]);
    bench.forwards(2, &plain(BROADCAST, host(2), 60, 2), &[]);
    bench.ofctl(&["mod-port", "3", "down"]);
    bench.ofctl(&["mod-port", "3", "up"]);
    let got = client.so_far();
    assert!(
        matches!(&got[..], [Message::PacketIn(only)] if only.in_port() == OfPort(1)),
        "{got:?}"
    );
}

fn broken_streams(bench: &Bench) {
    bench.set_flows(&["priority=0,actions=NORMAL"]);
    let mut good = connect(bench, Version::V13);
    let alive = |good: &mut Client| {
        let reply = good.ask(&Message::EchoRequest(vec![1, 2, 3]));
        assert_eq!(reply, Message::EchoReply(vec![1, 2, 3]));
    };
    bench.case("a stream that is no OpenFlow is closed, the others do not notice");
    for bytes in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0xff; 100], &[4, 5, 0, 8, 0, 0, 0, 1]] {
        let mut stream = Client::dial(&bench.target()).expect("a connection");
        stream.write_all(bytes).expect("sent");
        let mut rest = Vec::new();
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        // The switch's hello, then its end.
        let end = std::io::Read::read_to_end(&mut stream, &mut rest);
        assert!(
            end.is_ok() || end.is_err_and(|why| why.kind() == std::io::ErrorKind::ConnectionReset)
        );
        alive(&mut good);
    }
    bench.case("a message shorter than its header ends the connection");
    let mut bad = connect(bench, Version::V13);
    bad.send_bytes(&[4, 2, 0, 7, 0, 0, 0, 1]).expect("sent");
    assert!(bad.is_closed(WAIT));
    alive(&mut good);
    bench.case("half a message, then nothing");
    let mut half = connect(bench, Version::V13);
    half.send_bytes(&[4, 2, 0, 100, 0, 0]).expect("sent");
    alive(&mut good);
    bench.case("versions that are not spoken");
    let mut stream = Client::dial(&bench.target()).expect("a connection");
    stream.write_all(&[9, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 2, 0]).expect("sent");
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("We support versions"), "OFPHFC_INCOMPATIBLE with a text: {answer:02x?}");
    alive(&mut good);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2, 3]);
}

/// A request's type and body, and the error that the specification names for it.
type Case<'a> = (&'a str, u8, Vec<u8>, OfErrorKind);

fn refusals_13(bench: &Bench) {
    use OfErrorKind as E;
    const TCP_PORT: [u8; 6] = [0x80, 0, 26, 2, 0, 80];
    const ETH_IP: [u8; 6] = [0x80, 0, 10, 2, 8, 0];
    const ETH_ARP: [u8; 6] = [0x80, 0, 10, 2, 8, 6];
    let flow =
        |oxm: &[u8], rest: &[u8]| FlowMod13 { oxm, instructions: rest, ..FlowMod13::NEW }.body();
    let apply = |action: &[u8]| instruction(4, &[&[0; 4][..], action].concat());
    let act = |action: &[u8]| flow(&[], &apply(action));
    let output = |port: u32| [&[0, 0, 0, 16][..], &port.to_be_bytes(), &[0; 8]].concat();
    let multipart = |kind: u16, rest: &[u8]| [&kind.to_be_bytes()[..], &[0; 6], rest].concat();
    let port_mod = |port: u32, mac: [u8; 6]| {
        [&port.to_be_bytes()[..], &[0; 4], &mac, &[0; 2], &[0; 16]].concat()
    };
    let experimenter = |vendor: u32, kind: u32| [vendor.to_be_bytes(), kind.to_be_bytes()].concat();
    let packet_out = |buffer: u32, in_port: u32, actions: &[u8]| {
        let len = u16::try_from(actions.len()).expect("few");
        [
            &buffer.to_be_bytes()[..],
            &in_port.to_be_bytes(),
            &len.to_be_bytes(),
            &[0; 6],
            actions,
            &[0; 60],
        ]
        .concat()
    };
    let cases: Vec<Case<'_>> = vec![
        ("an unknown message", 99, vec![], E::RequestBadType),
        ("a message only a switch sends", 21, vec![], E::RequestBadType),
        ("a barrier with a body", 20, vec![0; 8], E::RequestBadLen),
        ("a flow-mod cut short", 14, vec![0; 20], E::RequestBadLen),
        ("an unknown multipart", 18, multipart(99, &[]), E::RequestBadStat),
        ("an unknown experimenter", 4, experimenter(0x00ab_cdef, 1), E::RequestBadVendor),
        ("an unknown message of Nicira", 4, experimenter(0x2320, 9999), E::RequestBadSubtype),
        ("statistics of no port", 18, multipart(4, &[0, 0, 0, 99, 0, 0, 0, 0]), E::RequestBadPort),
        (
            "a match of another type",
            14,
            FlowMod13 { match_type: 0, ..FlowMod13::NEW }.body(),
            E::MatchBadType,
        ),
        ("a TCP port without TCP", 14, flow(&TCP_PORT, &[]), E::MatchBadPrereq),
        (
            "a TCP port of ARP",
            14,
            flow(&[&ETH_ARP[..], &TCP_PORT].concat(), &[]),
            E::MatchBadPrereq,
        ),
        ("a field twice", 14, flow(&[ETH_IP, ETH_IP].concat(), &[]), E::MatchDupField),
        ("an unknown field", 14, flow(&[0x80, 0, 0xfe, 2, 8, 0], &[]), E::MatchBadField),
        ("a field of a wrong length", 14, flow(&[0x80, 0, 10, 4, 8, 0, 0, 0], &[]), E::MatchBadLen),
        (
            "a field that takes no mask",
            14,
            flow(&[0x80, 0, 11, 4, 8, 0, 0xff, 0], &[]),
            E::MatchBadMask,
        ),
        (
            "a value outside its mask",
            14,
            flow(&[0x80, 0, 5, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], &[]),
            E::MatchBadWildcards,
        ),
        (
            "a VLAN priority above 7",
            14,
            flow(&[0x80, 0, 12, 2, 0x10, 5, 0x80, 0, 14, 1, 9], &[]),
            E::MatchBadValue,
        ),
        (
            "an unknown instruction",
            14,
            flow(&[], &instruction(77, &[0; 4])),
            E::InstructionUnknownInst,
        ),
        ("an instruction of a wrong length", 14, flow(&[], &[0, 1, 0, 4]), E::InstructionBadLen),
        (
            "an instruction twice",
            14,
            flow(&[], &[apply(&[]), apply(&[])].concat()),
            E::InstructionDupInst,
        ),
        (
            "a goto to no table",
            14,
            flow(&[], &instruction(1, &[255, 0, 0, 0])),
            E::InstructionBadTableId,
        ),
        (
            "a goto backwards",
            14,
            FlowMod13 { table: 5, instructions: &instruction(1, &[5, 0, 0, 0]), ..FlowMod13::NEW }
                .body(),
            E::InstructionBadTableId,
        ),
        (
            "a meter that is not there",
            14,
            flow(&[], &instruction(6, &[0, 0, 0, 1])),
            E::MeterModInvalidMeter,
        ),
        ("an unknown action", 14, act(&[0, 99, 0, 8, 0, 0, 0, 0]), E::ActionBadType),
        ("an action of a wrong length", 14, act(&[0, 0, 0, 8, 0, 0, 0, 1]), E::ActionBadLen),
        ("an output to port 0", 14, act(&output(0)), E::ActionBadOutPort),
        ("an output to ANY", 14, act(&output(0xffff_ffff)), E::ActionBadOutPort),
        ("an unknown group", 14, act(&[0, 22, 0, 8, 0, 0, 0, 5]), E::ActionBadOutGroup),
        (
            "an unknown vendor's action",
            14,
            act(&[0xff, 0xff, 0, 8, 0, 1, 2, 3]),
            E::ActionBadVendor,
        ),
        (
            "a TCP port set in what may not be TCP",
            14,
            act(&[0, 25, 0, 16, 0x80, 0, 26, 2, 0, 80, 0, 0, 0, 0, 0, 0]),
            E::ActionMatchInconsistent,
        ),
        (
            "a set of a field that cannot be set",
            14,
            act(&[0, 25, 0, 16, 0x80, 0, 10, 2, 8, 0, 0, 0, 0, 0, 0, 0]),
            E::ActionBadSetArgument,
        ),
        (
            "a set of no field",
            14,
            act(&[0, 25, 0, 16, 0x80, 0, 0xfe, 2, 8, 0, 0, 0, 0, 0, 0, 0]),
            E::ActionBadSetType,
        ),
        ("a push of what is no tag", 14, act(&[0, 17, 0, 8, 8, 0, 0, 0]), E::ActionBadArgument),
        (
            "a table that is not there",
            14,
            FlowMod13 { command: 0, table: 255, ..FlowMod13::NEW }.body(),
            E::FlowModBadTableId,
        ),
        (
            "an unknown command",
            14,
            FlowMod13 { command: 9, ..FlowMod13::NEW }.body(),
            E::FlowModBadCommand,
        ),
        (
            "unknown flags",
            14,
            FlowMod13 { flags: 0x8000, ..FlowMod13::NEW }.body(),
            E::FlowModBadFlags,
        ),
        (
            "an overlap",
            14,
            FlowMod13 { flags: 2, priority: 0, oxm: &ETH_IP, ..FlowMod13::NEW }.body(),
            E::FlowModOverlap,
        ),
        (
            "a buffer that is not there",
            14,
            FlowMod13 { buffer: 7, ..FlowMod13::NEW }.body(),
            E::RequestBufferUnknown,
        ),
        (
            "a packet-out of no buffer",
            13,
            packet_out(7, 0xffff_fffd, &output(1)),
            E::RequestBufferUnknown,
        ),
        (
            "a packet-out from no port",
            13,
            packet_out(u32::MAX, 0xffff_ff33, &output(1)),
            E::RequestBadPort,
        ),
        (
            "a packet-out with an unknown action",
            13,
            packet_out(u32::MAX, 0xffff_fffd, &[0, 99, 0, 8, 0, 0, 0, 0]),
            E::ActionBadType,
        ),
        ("a port that is not there", 16, port_mod(99, [0; 6]), E::PortModBadPort),
        ("a port of another address", 16, port_mod(1, [2; 6]), E::PortModBadHwAddr),
        ("a table's unknown configuration", 17, vec![0, 0, 0, 0, 0, 0, 0, 9], E::TableModBadConfig),
        ("frames to be put together", 9, vec![0, 2, 0, 128], E::ConfigBadFlags),
        ("an unknown role", 24, [&[0, 0, 0, 9][..], &[0; 12]].concat(), E::RoleBadRole),
        ("queues of no port", 22, vec![0, 0, 0, 99, 0, 0, 0, 0], E::QueueBadPort),
        (
            "queue statistics of no port",
            18,
            multipart(5, &[0, 0, 0, 99, 0xff, 0xff, 0xff, 0xff]),
            E::QueueBadPort,
        ),
        ("a statistic of no queue", 18, multipart(5, &[0, 0, 0, 1, 0, 0, 0, 3]), E::QueueBadQueue),
        ("a change of tables' features", 18, multipart(12, &[0; 4]), E::RequestBadLen),
    ];
    run_refusals(bench, Version::V13, cases);
}

fn refusals_10(bench: &Bench) {
    use OfErrorKind as E;
    let flow = |command: u16, actions: &[u8]| {
        [
            &0x003f_ffff_u32.to_be_bytes()[..],
            &[0; 36],
            &[0; 8],
            &command.to_be_bytes(),
            &[0; 4],
            &[0x80, 0],
            &[0xff; 4],
            &[0xff; 2],
            &[0; 2],
            actions,
        ]
        .concat()
    };
    let cases: Vec<Case<'_>> = vec![
        ("an unknown message", 99, vec![], E::RequestBadType),
        ("a flow-mod cut short", 14, vec![0; 20], E::RequestBadLen),
        ("unknown statistics", 16, vec![0, 99, 0, 0], E::RequestBadStat),
        ("an unknown vendor", 4, vec![0, 0xab, 0xcd, 0xef, 0, 0, 0, 1], E::RequestBadVendor),
        ("an unknown command", 14, flow(9, &[]), E::FlowModBadCommand),
        ("an unknown action", 14, flow(0, &[0, 99, 0, 8, 0, 0, 0, 0]), E::ActionBadType),
        ("an action of a wrong length", 14, flow(0, &[0, 0, 0, 4]), E::ActionBadLen),
        ("an output to port 0", 14, flow(0, &[0, 0, 0, 8, 0, 0, 0, 0]), E::ActionBadOutPort),
        ("a VLAN id of 13 bits", 14, flow(0, &[0, 1, 0, 8, 0x10, 0, 0, 0]), E::ActionBadArgument),
        ("a port that is not there", 15, [&[0, 99][..], &[0; 22]].concat(), E::PortModBadPort),
    ];
    run_refusals(bench, Version::V10, cases);
}

/// Every request is refused as it should be, on one connection that lives on, and changes nothing.
fn run_refusals(bench: &Bench, version: Version, cases: Vec<Case<'_>>) {
    bench.set_flows(&["priority=0,actions=NORMAL", "priority=3,in_port=3,actions=1"]);
    let before = (bench.ofctl(&["dump-flows", "--no-stats"]), bench.ofctl(&["dump-ports-desc"]));
    let mut client = connect(bench, version);
    let mut wrong = Vec::new();
    for (name, kind, body, expected) in cases {
        bench.case(format!("{version}: {name}"));
        let xid = client.send_raw(kind, &body).expect("sent");
        client.barrier();
        let answers: Vec<_> =
            std::iter::from_fn(|| client.next(Duration::ZERO).ok().flatten()).collect();
        match &answers[..] {
            [(header, Message::Error(error))] if header.xid == xid && error.kind == expected => {
                assert_eq!(error.data[..2], [version.wire(), kind], "it quotes another");
            }
            other => wrong.push(format!("{name}: expected {expected}, got {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let after = (bench.ofctl(&["dump-flows", "--no-stats"]), bench.ofctl(&["dump-ports-desc"]));
    assert_eq!(after, before, "a refused request changed something");
}

fn a_peer_that_never_reads(bench: &Bench) {
    bench.case("a peer that asks and never reads");
    bench.set_flows(&["priority=1,in_port=3,actions=controller", "priority=0,actions=NORMAL"]);
    let mut good = connect(bench, Version::V13);
    let mut dead = connect(bench, Version::V13);
    good.barrier();
    let used = |state: &Value| state["memory"]["used"].as_u64().expect("a number");
    let before = used(&bench.telemetry());
    dead.stream().set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut n_taken = 0;
    while dead.send(&Message::EchoRequest(vec![0; 60_000])).is_ok() {
        n_taken += 1;
        assert!(n_taken < 100_000, "the switch takes requests without end");
    }
    bench.case("… while thousands of packet-ins are for it as well");
    for tag in 0..3000 {
        bench.send(3, &plain(BROADCAST, host(3), 1000, tag));
        if tag % 64 == 0 {
            bench.settle();
            good.barrier();
        }
    }
    bench.settle();
    let grown = used(&bench.telemetry()).saturating_sub(before);
    assert!(grown < 4 << 20, "memory in use grew by {grown} bytes");
    bench.case("… others are served");
    let reply = good.ask(&Message::EchoRequest(vec![9; 1000]));
    assert_eq!(reply, Message::EchoReply(vec![9; 1000]));
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2, 3]);
    bench.case("… and it is given up");
    drop(good);
    bench.until("the dead peer to be gone", |state| n_controllers(state) == 0);
    let kept = used(&bench.telemetry()).saturating_sub(before);
    assert!(kept < 1 << 20, "{kept} bytes stay in use");
}

fn one_too_many(bench: &Bench) {
    bench.case("64 connections, and one more");
    bench.until("nobody to be connected", |state| n_controllers(state) == 0);
    let mut clients: Vec<Client> = (0..64).map(|_| connect(bench, Version::V13)).collect();
    bench.until("all of them", |state| n_controllers(state) == 64);
    assert!(Client::connect(&bench.target(), Version::V13).is_err(), "a 65th was served");
    for client in &mut clients {
        client.barrier();
    }
    bench.case("room again");
    clients.pop();
    bench.until("one to be gone", |state| n_controllers(state) == 63);
    connect(bench, Version::V13).barrier();
}

// What the cases are made of.

fn connect(bench: &Bench, version: Version) -> Client {
    Client::connect(&bench.target(), version).unwrap_or_else(|why| bench.fail(why.to_string()))
}

/// The switch's connection, once it comes.
fn accept(listener: &TcpListener) -> Client {
    listener.set_nonblocking(true).expect("a listener");
    let deadline = Instant::now() + WAIT;
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).expect("a stream");
            return Client::over(stream, Version::V13).expect("a handshake");
        }
        assert!(Instant::now() < deadline, "the switch does not connect");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn packet_ins(client: &mut Client) -> Vec<PacketIn> {
    let messages = client.so_far().into_iter();
    messages
        .filter_map(|message| match message {
            Message::PacketIn(packet_in) => Some(*packet_in),
            _ => None,
        })
        .collect()
}

fn rule(text: &str) -> FlowMod {
    openflow::text::parse_flow(text, FlowModCommand::Add).expect("a rule")
}

fn n_controllers(state: &Value) -> usize {
    state["controllers"].as_array().map_or(0, Vec::len)
}

fn is_connected(bench: &Bench, wanted: bool) {
    bench.until(if wanted { "a controller" } else { "no controller" }, |state| {
        state["controllers"][0]["connected"] == wanted
    });
}

fn has_flow(bench: &Bench, part: &str) {
    let mut last = String::new();
    let found = bench.wait_until(|| {
        last = bench.ofctl(&["dump-flows", "--names", "--no-stats"]);
        last.contains(part)
    });
    assert!(found, "no rule {part}: {last}");
}

/// A frame from `a` behind port 1 is flooded, the answer of `b` behind port 2 and all after it go to
/// their port alone, though each goes by way of the controller.
fn learns(bench: &Bench, a: [u8; 6], b: [u8; 6]) {
    bench.case("the controller learns");
    let arrives = |port: usize, frame: &[u8]| {
        let got = bench.arrivals(port).next(WAIT);
        assert_eq!(got.as_deref(), Some(frame), "on port {port}");
    };
    let question = plain(b, a, 60, 1);
    bench.send(1, &question);
    arrives(2, &question);
    arrives(3, &question);
    let answer = plain(a, b, 60, 2);
    bench.send(2, &answer);
    arrives(1, &answer);
    let third = plain(b, a, 60, 3);
    bench.send(1, &third);
    arrives(2, &third);
    bench.expect_nothing();
}

fn start_os_ken(application: Application, port: u16) -> Spawned {
    let controller = os_ken::start(application, port, Path::new(env!("CARGO_TARGET_TMPDIR")));
    let is_up = || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    let deadline = Instant::now() + WAIT;
    while !is_up() {
        assert!(
            Instant::now() < deadline,
            "os-ken does not listen: {}",
            controller.errors().text()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    controller
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a TCP port");
    listener.local_addr().expect("an address").port()
}

/// An instruction of 1.3 (§7.2.4).
fn instruction(kind: u16, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + rest.len()).expect("short");
    [&kind.to_be_bytes()[..], &len.to_be_bytes(), rest].concat()
}

/// The body of a flow-mod of 1.3 (§7.3.4.1), right but for what a case makes wrong.
#[derive(Clone, Copy)]
struct FlowMod13<'a> {
    table: u8,
    command: u8,
    priority: u16,
    buffer: u32,
    flags: u16,
    match_type: u16,
    oxm: &'a [u8],
    instructions: &'a [u8],
}

impl FlowMod13<'_> {
    const NEW: FlowMod13<'static> = FlowMod13 {
        table: 0,
        command: 0,
        priority: 77,
        buffer: u32::MAX,
        flags: 0,
        match_type: 1,
        oxm: &[],
        instructions: &[],
    };

    fn body(self) -> Vec<u8> {
        let mut body = vec![0; 16];
        body.extend([self.table, self.command, 0, 0, 0, 0]);
        body.extend(self.priority.to_be_bytes());
        body.extend(self.buffer.to_be_bytes());
        body.extend([0xff; 8]);
        body.extend(self.flags.to_be_bytes());
        body.extend([0; 2]);
        body.extend(self.match_type.to_be_bytes());
        let len = u16::try_from(4 + self.oxm.len()).expect("short");
        body.extend(len.to_be_bytes());
        body.extend(self.oxm);
        body.resize(body.len().next_multiple_of(8), 0);
        body.extend(self.instructions);
        body
    }
}
