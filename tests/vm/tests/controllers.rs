//! Controllers: those that the switch connects to and those that connect to it, several at once, their
//! roles and what they want to hear.

use std::process::Command;
use std::time::Duration;

use openflow::{
    AsyncConfig, AsyncMasks, ControllerRole, Message, OfErrorKind, OfPort, Origin, PacketInReason,
    Role, SwitchConfig, Version,
};
use seed::FailMode;
use serde_json::json;
use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Client, Config, HOST, Lease, Spawned, WAIT, rule, tool};

#[test]
fn secure_keeps_only_what_was_installed() {
    let lease = Lease::take();
    let listener = lease.listen();
    let port = lease.port;
    let bench = Bench::boot(Config::new(3).seed(|seed| {
        seed.fail_mode = FailMode::Secure;
        seed.controllers = vec![seed::Controller { address: HOST.into(), port }];
    }));
    bench.case("the bridge connects, and is told what to do");
    let mut client = Client::accept(&listener);
    bench.has_controller(true);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[]);
    client.send(&Message::FlowMod(Box::new(rule("in_port=1,actions=2")))).expect("sent");
    client.barrier();
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 2), &[2]);

    bench.case("controller lost for longer than the bridge waits");
    drop((client, listener));
    bench.has_controller(false);
    let lost = bench.telemetry()["uptime_us"].as_u64().expect("a number");
    bench.until("20 seconds", |state| state["uptime_us"].as_u64() > Some(lost + 20_000_000));
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 3), &[2]);
    bench.forwards(2, &plain(BROADCAST, host(2), 60, 4), &[]);
    bench.forwards(3, &plain(BROADCAST, host(3), 60, 5), &[]);

    bench.case("controller back");
    let listener = lease.listen();
    let mut client = Client::accept(&listener);
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

/// Rows with `ptcp:`, several of a bridge: each is a door with settings of its own.
#[test]
fn several_passive_rows() {
    let bench = Bench::boot(Config::new(2));
    bench.set_flows(&["priority=0,actions=controller"]);
    bench.case("stock set-controller of two");
    bench.vsctl(&["set-controller", "br0", "ptcp:6653", "ptcp:6654"]);
    assert_eq!(bench.vsctl(&["get-controller", "br0"]), "ptcp:6653\nptcp:6654");
    let door = Lease::take();
    let forward = format!("hostfwd_add mgmt tcp:127.0.0.1:{}-:6654", door.port);
    let said = bench.qmp().execute("human-monitor-command", json!({ "command-line": forward }));
    assert_eq!(said.expect("an answer"), "");
    let other = format!("tcp:127.0.0.1:{}", door.port);
    let at_other = |version| Client::connect(&other, version).expect("a second door");
    drop((bench.client(Version::V13), at_other(Version::V10)));

    bench.case(
        "who comes by a door that no row calls primary says first how much of packets it wants",
    );
    let mut service = bench.client(Version::V13);
    service.barrier();
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[]);
    assert_eq!(service.packet_ins(), []);
    let config = SwitchConfig { flags: 0, miss_send_len: 128 };
    service.send(&Message::SetConfig(config)).expect("sent");
    service.barrier();
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 2), &[]);
    assert_eq!(service.packet_ins().len(), 1);
    drop(service);

    bench.case("one of them tells nothing unasked");
    bench.vsctl(&[
        "--",
        "--id=@a",
        "create",
        "Controller",
        "target=\"ptcp:6653\"",
        "type=primary",
        "--",
        "--id=@b",
        "create",
        "Controller",
        "target=\"ptcp:6654\"",
        "type=primary",
        "enable_async_messages=false",
        "--",
        "set",
        "bridge",
        "br0",
        "controller=[@a,@b]",
    ]);
    // Whom somebody controls for the first time has lost its rules.
    bench.set_flows(&["priority=0,actions=controller"]);
    let mut loud = bench.client(Version::V13);
    let mut quiet = at_other(Version::V14);
    for client in [&mut loud, &mut quiet] {
        client.barrier();
    }
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 3), &[]);
    assert_eq!((loud.packet_ins().len(), quiet.packet_ins().len()), (1, 0));
    let states = || {
        bench.vsctl(&[
            "--columns=target,is_connected",
            "--format=csv",
            "--no-headings",
            "list",
            "Controller",
        ])
    };
    let both = bench.wait_until(|| states().matches("true").count() == 2);
    assert!(both, "{}", states());

    bench.case("a door that closes ends the connections that came by it, and no other");
    bench.vsctl(&["set-controller", "br0", "ptcp:6653"]);
    assert!(quiet.is_closed(WAIT));
    loud.barrier();
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
    let is_awake = (0..30).any(|_| {
        bench.send(1, &hello);
        bench.arrivals(2).next(Duration::from_secs(2)).is_some()
    });
    assert!(is_awake && bench.arrivals(3).next(WAIT).is_some(), "it floods a broadcast");
    bench.learns(host(1), host(2));
    bench.has_rule("dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02");
    drop(controller);
    bench.until("nobody to be connected", |state| {
        state["controllers"].as_array().is_some_and(Vec::is_empty)
    });
}

fn several_at_once(bench: &Bench) {
    bench.case("each of several controllers gets packet-ins, in its own version");
    bench.set_flows(&["priority=0,actions=controller"]);
    let mut old = bench.client(Version::V10);
    let mut new = bench.client(Version::V13);
    let mut other = bench.client(Version::V13);
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
        let got = client.packet_ins();
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
    let mut a = bench.client(Version::V13);
    let mut b = bench.client(Version::V13);
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
    assert_eq!((a.packet_ins().len(), b.packet_ins().len()), (1, 0));
    assert!(matches!(b.ask(&Message::FeaturesRequest), Message::FeaturesReply(_)));

    bench.case("a stale generation");
    assert_eq!(b.refused(&request(ControllerRole::Primary, 9)), OfErrorKind::RoleStale);

    bench.case("a new primary makes the old one secondary");
    became(b.ask(&request(ControllerRole::Primary, 11)), ControllerRole::Primary);
    became(a.ask(&request(ControllerRole::NoChange, 0)), ControllerRole::Secondary);
    assert_eq!(a.refused(&add), OfErrorKind::RequestIsSecondary);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 2), &[]);
    assert_eq!((a.packet_ins().len(), b.packet_ins().len()), (0, 1));
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
    assert_eq!((a.packet_ins().len(), b.packet_ins().len()), (1, 1));
}

fn asynchronous_messages(bench: &Bench) {
    bench.case("what a controller does not want to hear it does not hear");
    bench.set_flows(&["priority=1,in_port=1,actions=controller", "priority=0,actions=controller"]);
    let mut client = bench.client(Version::V13);
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
