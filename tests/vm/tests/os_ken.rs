//! The stock applications of os-ken in OpenFlow 1.0 to 1.5: learning switches, a firewall, a router, queues
//! (by OVSDB) with rules that use them, and groups and meters by REST.
//!
//! Not here: `simple_switch_stp` and `_lacp`, which bring protocols of their own.

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use openflow::Version;
use serde_json::json;
use vm::frame::{
    ARP, BROADCAST, ICMP, IPV4, UDP, arp, completed, ethernet, host, icmp, ipv4, plain, tagged, udp,
};
use vm::os_ken::{Application, OsKen};
use vm::{Bench, Config, HOST, Lease};

/// The switch as the applications call it.
const SWITCH: &str = "0000525400000000";
/// The same as a number.
const DPID: u64 = 0x0000_5254_0000_0000;

fn start(application: Application, lease: &Lease) -> OsKen {
    OsKen::start(application, lease, Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// A switch that calls the application.
fn with(application: Application) -> (Bench, OsKen, Lease) {
    let lease = Lease::take();
    let os_ken = start(application, &lease);
    let bench = Bench::boot(Config::new(3).seed(|seed| {
        seed.controllers = vec![seed::Controller { address: HOST.into(), port: lease.port }];
    }));
    bench.has_controller(true);
    (bench, os_ken, lease)
}

#[test]
fn learning_in_10() {
    let (bench, _os_ken, _lease) = with(Application::SimpleSwitch);
    bench.learns(host(1), host(2));
    for (in_port, from, to, out) in [(1, 1, 2, 2), (2, 2, 1, 1)] {
        bench.has_rule(&format!(
            "in_port=p{in_port},dl_src=02:00:00:00:00:0{from},dl_dst=02:00:00:00:00:0{to} actions=output:p{out}"
        ));
    }
    bench.barrier();
    bench.forwards(1, &plain(host(2), host(1), 60, 9), &[2]);
    bench.shutdown();
}

#[test]
fn learning_in_12() {
    learning(Application::SimpleSwitch12);
}

#[test]
fn learning_in_14() {
    learning(Application::SimpleSwitch14);
}

#[test]
fn learning_in_15() {
    learning(Application::SimpleSwitch15);
}

fn learning(application: Application) {
    let (bench, _os_ken, _lease) = with(application);
    if application != Application::SimpleSwitch12 {
        // In 1.2 what has no rule goes to the controller anyway.
        bench.case("the application's table-miss entry");
        bench.has_rule("priority=0 actions=CONTROLLER");
        bench.barrier();
    }
    bench.learns(host(1), host(2));
    bench.has_rule("dl_dst=02:00:00:00:00:01 actions=output:p1");
    bench.has_rule("dl_dst=02:00:00:00:00:02 actions=output:p2");
    bench.barrier();
    bench.case("what has a rule goes without the controller");
    bench.forwards(1, &plain(host(2), host(1), 60, 9), &[2]);
    bench.shutdown();
}

#[test]
fn learning_in_13_and_without() {
    let (bench, controller, lease) = with(Application::SimpleSwitch13);
    bench.case("the application's table-miss entry");
    bench.has_rule("priority=0 actions=CONTROLLER:65535");
    bench.learns(host(1), host(2));
    for (in_port, from, to, out) in [(1, 1, 2, 2), (2, 2, 1, 1)] {
        bench.has_rule(
            &format!(
                "priority=1,in_port=p{in_port},dl_src=02:00:00:00:00:0{from},dl_dst=02:00:00:00:00:0{to} actions=output:p{out}"
            ),
        );
    }
    bench.case("what has a rule goes without the controller");
    bench.forwards(1, &plain(host(2), host(1), 60, 9), &[2]);

    bench.case("controller lost: rules work on at once, strangers once the bridge is on its own");
    drop(controller);
    bench.has_controller(false);
    bench.forwards(2, &plain(host(1), host(2), 60, 10), &[1]);
    let mut tag = 100;
    let arrived = bench.wait_until(|| {
        tag += 1;
        let frame = plain(BROADCAST, host(8), 60, tag);
        bench.send(3, &frame);
        bench.settle();
        let got = [1, 2].map(|port| bench.arrivals(port).take());
        thread::sleep(Duration::from_millis(100));
        got.iter().all(|frames| frames.last() == Some(&frame))
    });
    assert!(arrived, "it does not become a learning switch");
    bench.forwards(1, &plain(host(8), host(7), 60, 11), &[3]);
    bench.forwards(3, &plain(host(7), host(8), 60, 12), &[1]);

    bench.case("controller back");
    let _controller = start(Application::SimpleSwitch13, &lease);
    bench.has_controller(true);
    bench.has_rule("priority=0 actions=CONTROLLER:65535");
    bench.learns(host(5), host(6));
    bench.has_rule("dl_src=02:00:00:00:00:05,dl_dst=02:00:00:00:00:06");
    bench.shutdown();
}

/// The same, and they speak this version of those that the application knows. Others may be spoken with the
/// bridge besides.
fn speaking(application: Application, protocols: &str, version: &str) -> (Bench, OsKen, Lease) {
    let (bench, os_ken, lease) = with(application);
    bench.case(format!("{application:?} in {version}"));
    bench.vsctl(&["set", "bridge", "br0", &format!("protocols={protocols}")]);
    let is_so = || bench.serial().text().contains(&format!("connected, {version}"));
    assert!(bench.wait_until(is_so), "{}", os_ken.log());
    bench.has_controller(true);
    (bench, os_ken, lease)
}

/// Whatever is asked of the firewall is asked until it knows the switch.
#[track_caller]
fn tells(bench: &Bench, os_ken: &OsKen, method: &str, path: &str, body: &str) {
    let mut last = String::new();
    let done = bench.wait_until(|| {
        let (status, said) = os_ken.rest(method, path, body);
        last = format!("{status} {said}");
        let is_refused = last.contains("failure") || last.contains("NG");
        if matches!(status, 200 | 201) && !is_refused {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
        false
    });
    if !done {
        bench.fail(format!("{method} {path} {body}: {last}\n{}", os_ken.log()));
    }
}

#[test]
fn firewall_in_13() {
    let (bench, os_ken, _lease) = with(Application::Firewall);
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let to_b =
        |protocol, payload: &[u8]| ethernet(host(2), host(1), IPV4, &ipv4(a, b, protocol, payload));
    let ping = to_b(ICMP, &icmp(8, 0, &[0, 1, 0, 2]));
    let datagram = to_b(UDP, &udp(1000, 2000, b"not allowed"));
    let pong = ethernet(host(1), host(2), IPV4, &ipv4(b, a, ICMP, &icmp(0, 0, &[0, 1, 0, 2])));

    bench.case("enabled: nothing but ARP passes");
    tells(&bench, &os_ken, "PUT", &format!("/firewall/module/enable/{SWITCH}"), "");
    bench.has_rule("priority=65534,arp actions=NORMAL");
    bench.barrier();
    bench.forwards(1, &ping, &[]);
    let question = arp(1, host(1), Ipv4Addr::from(a), [0; 6], Ipv4Addr::from(b));
    bench.forwards(1, &ethernet(BROADCAST, host(1), ARP, &question), &[2, 3]);

    bench.case("what a rule allows passes");
    let path = format!("/firewall/rules/{SWITCH}");
    for (from, to) in [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")] {
        let body = json!({
            "nw_src": format!("{from}/32"), "nw_dst": format!("{to}/32"), "nw_proto": "ICMP"
        });
        tells(&bench, &os_ken, "POST", &path, &body.to_string());
    }
    bench.has_rule("icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2 actions=NORMAL");
    bench.has_rule("icmp,nw_src=10.0.0.2,nw_dst=10.0.0.1 actions=NORMAL");
    bench.barrier();
    bench.forwards(1, &ping, &[2, 3]);
    bench.forwards(2, &pong, &[1]);
    bench.forwards(1, &datagram, &[]);

    bench.case("and no longer when the rule is gone");
    tells(&bench, &os_ken, "DELETE", &path, r#"{"rule_id": "all"}"#);
    let is_gone = bench.wait_until(|| !bench.ofctl(&["dump-flows"]).contains("icmp"));
    assert!(is_gone, "{}", bench.ofctl(&["dump-flows"]));
    bench.barrier();
    bench.forwards(1, &ping, &[]);
    bench.shutdown();
}

#[test]
fn router_in_13() {
    let (bench, os_ken, _lease) = with(Application::Router);
    let router = vm::mac(1).0;
    let (gateway, a, b) = ([10, 0, 1, 1], [10, 0, 1, 5], [10, 0, 2, 5]);
    bench.case("addresses of two networks");
    for address in ["10.0.1.1/24", "10.0.2.1/24"] {
        let body = json!({ "address": address }).to_string();
        tells(&bench, &os_ken, "POST", &format!("/router/{SWITCH}"), &body);
    }
    bench.has_rule("nw_dst=10.0.2.1");
    bench.barrier();

    bench.case("it answers for its address");
    let ip = Ipv4Addr::from;
    let question = arp(1, host(1), ip(a), [0; 6], ip(gateway));
    bench.send(1, &ethernet(BROADCAST, host(1), ARP, &question));
    let answer = bench.awaits_any(1, |frame| frame[12..14] == [8, 6] && frame[21] == 2);
    assert_eq!((&answer[..6], &answer[22..28]), (&host(1)[..], &router[..]), "{answer:02x?}");

    bench.case("a first packet makes it ask for the other host, and goes there");
    let packet =
        |tag: u8| ethernet(router, host(1), IPV4, &ipv4(a, b, UDP, &udp(1000, 2000, &[tag; 30])));
    bench.send(1, &packet(1));
    let asked = bench.awaits_any(2, |frame| frame[12..14] == [8, 6] && frame[38..42] == b);
    assert_eq!(asked[21], 1, "{asked:02x?}");
    let answer = arp(2, host(2), ip(b), router, ip([10, 0, 2, 1]));
    bench.send(2, &ethernet(router, host(2), ARP, &answer));
    bench.awaits_any(2, |frame| frame[12..14] == [8, 0] && frame[30..34] == b);

    bench.case("the next goes by a rule: new addresses, a shorter life");
    bench.has_rule("nw_dst=10.0.2.5");
    bench.barrier();
    let mut routed = packet(2);
    routed[..6].copy_from_slice(&host(2));
    routed[6..12].copy_from_slice(&vm::mac(2).0);
    routed[22] = 63;
    let routed = completed(&routed);
    bench.send(1, &packet(2));
    bench.awaits(2, &routed);
    bench.shutdown();
}

#[test]
fn queues_in_13() {
    let (bench, os_ken, _lease) = with(Application::Qos);
    bench.case("the application makes queues in the database");
    // An address of the database that it is told before it knows the switch it forgets.
    let has_joined = bench.wait_until(|| os_ken.log().contains("Join qos switch"));
    assert!(has_joined, "{}", os_ken.log());
    let path = format!("/v1.0/conf/switches/{SWITCH}/ovsdb_addr");
    tells(&bench, &os_ken, "PUT", &path, &json!(bench.ovsdb()).to_string());
    let queues = json!({
        "port_name": "p2", "type": "linux-htb", "max_rate": "100000000",
        "queues": [{ "max_rate": "50000000" }, { "min_rate": "8000000" }],
    });
    tells(&bench, &os_ken, "POST", &format!("/qos/queue/{SWITCH}"), &queues.to_string());
    let config = || bench.ofctl(&["queue-get-config", "p2"]);
    let are_there = bench.wait_until(|| {
        let text = config();
        ["queue 0:", "max_rate:50.0%", "queue 1:", "min_rate:8.0%"]
            .iter()
            .all(|word| text.contains(word))
    });
    assert!(are_there, "{}", config());

    bench.case("and a rule that uses one of them");
    let rule = json!({
        "match": { "nw_dst": "10.0.0.2", "nw_proto": "UDP", "tp_dst": "5002" },
        "actions": { "queue": "1" },
    });
    tells(&bench, &os_ken, "POST", &format!("/qos/rules/{SWITCH}"), &rule.to_string());
    bench.has_rule("tp_dst=5002 actions=set_queue:1");
    bench.ofctl(&["add-flow", "table=1,priority=1,actions=output:2"]);
    let datagram = |port: u16, tag: u8| {
        let packet = ipv4([10, 0, 0, 1], [10, 0, 0, 2], UDP, &udp(1000, port, &[tag; 30]));
        ethernet(host(2), host(1), IPV4, &packet)
    };
    for tag in 0..5 {
        bench.forwards(1, &datagram(5002, tag), &[2]);
    }
    bench.forwards(1, &datagram(5003, 9), &[2]);
    let stats = || bench.ofctl(&["queue-stats", "p2", "1"]);
    let is_counted = bench.wait_until(|| stats().contains("pkts=5"));
    assert!(is_counted, "{}", stats());
    bench.shutdown();
}

#[test]
fn groups_and_meters_in_13() {
    groups_and_meters("OpenFlow13", "OpenFlow1.3");
}

#[test]
fn groups_and_meters_in_14() {
    groups_and_meters("OpenFlow13,OpenFlow14", "OpenFlow1.4");
}

#[test]
fn groups_and_meters_in_15() {
    groups_and_meters("OpenFlow13,OpenFlow15", "OpenFlow1.5");
}

/// 1.0 has neither: rules and their statistics.
#[test]
fn rules_in_10() {
    let (bench, os_ken, _lease) = speaking(Application::Ofctl, "OpenFlow10", "OpenFlow1.0");
    let ofctl = |words: &[&str]| bench.try_ofctl("OpenFlow10", words).expect("ovs-ofctl");
    let is_known = bench.wait_until(|| os_ken.rest("GET", "/stats/switches", "").1[0] == DPID);
    assert!(is_known, "{}", os_ken.log());
    let add = json!({
        "dpid": DPID, "priority": 10, "match": { "in_port": 1, "dl_vlan": 5 },
        "actions": [{ "type": "STRIP_VLAN" }, { "type": "OUTPUT", "port": 2 }],
    });
    tells(&bench, &os_ken, "POST", "/stats/flowentry/add", &add.to_string());
    let has_rule =
        || ofctl(&["dump-flows"]).contains("in_port=1,dl_vlan=5 actions=strip_vlan,output:2");
    assert!(bench.wait_until(has_rule), "{}", ofctl(&["dump-flows"]));
    bench.client(Version::V10).barrier();
    let bare = plain(host(2), host(1), 60, 1);
    for _ in 0..5 {
        bench.send(1, &tagged(&bare, 0x8100, 5, 0));
        bench.expect(&[(2, &bare)]);
    }
    let stats = |what: &str, is_so: &dyn Fn(&serde_json::Value) -> bool| {
        let mut last = serde_json::Value::Null;
        let came = bench.wait_until(|| {
            let all = os_ken.rest("GET", &format!("/stats/{what}/{DPID}"), "").1;
            last = all[&DPID.to_string()].clone();
            is_so(&last)
        });
        assert!(came, "{what}: {last}");
    };
    stats("flow", &|rules| {
        rules.as_array().is_some_and(|rules| rules.iter().any(|rule| rule["packet_count"] == 5))
    });
    stats("port", &|ports| {
        ports.as_array().is_some_and(|ports| ports.iter().any(|port| port["rx_packets"] == 5))
    });
    let all = json!({ "dpid": DPID, "match": {} }).to_string();
    tells(&bench, &os_ken, "POST", "/stats/flowentry/delete", &all);
    assert!(bench.wait_until(|| !has_rule()), "{}", ofctl(&["dump-flows"]));
    bench.shutdown();
}

fn groups_and_meters(protocols: &str, version: &str) {
    let (bench, os_ken, _lease) = speaking(Application::Ofctl, protocols, version);
    let is_15 = version == "OpenFlow1.5";
    let post = |path: &str, body: serde_json::Value| {
        tells(&bench, &os_ken, "POST", &format!("/stats/{path}"), &body.to_string());
    };
    bench.case("a group, a meter and a rule that uses both");
    let output = |port: u32| json!([{ "type": "OUTPUT", "port": port }]);
    let is_known = bench.wait_until(|| os_ken.rest("GET", "/stats/switches", "").1[0] == DPID);
    assert!(is_known, "{}", os_ken.log());
    post(
        "groupentry/add",
        match is_15 {
            true => json!({
                "dpid": DPID, "type": "ALL", "group_id": 1, "command_bucket_id": u32::MAX,
                "buckets": [
                    { "bucket_id": 1, "actions": output(2) },
                    { "bucket_id": 2, "actions": output(3) },
                ],
            }),
            false => json!({
                "dpid": DPID, "type": "ALL", "group_id": 1,
                "buckets": [{ "actions": output(2) }, { "actions": output(3) }],
            }),
        },
    );
    let bands = json!([{ "type": "DROP", "rate": 1_000_000 }]);
    post(
        "meterentry/add",
        json!({ "dpid": DPID, "flags": ["KBPS"], "meter_id": 1, "bands": bands }),
    );
    let (of_meter, of_group) =
        (json!({ "type": "METER", "meter_id": 1 }), json!({ "type": "GROUP", "group_id": 1 }));
    let how = match version {
        "OpenFlow1.3" => ("actions", json!([of_meter, of_group])),
        "OpenFlow1.4" => {
            let apply = json!({ "type": "APPLY_ACTIONS", "actions": [of_group] });
            ("instructions", json!([of_meter, apply]))
        }
        _ => {
            let apply = json!({ "type": "APPLY_ACTIONS", "actions": [of_meter, of_group] });
            ("instructions", json!([apply]))
        }
    };
    let rule = json!({ "dpid": DPID, "priority": 10, "match": { "in_port": 1 }, how.0: how.1 });
    post("flowentry/add", rule);
    bench.has_rule("in_port=p1 actions=meter:1,group:1");
    bench.barrier();
    for tag in 0..5 {
        bench.forwards(1, &plain(host(2), host(1), 60, tag), &[2, 3]);
    }

    bench.case("what the application is told of them");
    let dpid = DPID.to_string();
    let stats = |what: &str, is_so: &dyn Fn(&serde_json::Value) -> bool| {
        let mut last = serde_json::Value::Null;
        let came = bench.wait_until(|| {
            last = os_ken.rest("GET", &format!("/stats/{what}/{DPID}"), "").1[&dpid][0].clone();
            is_so(&last)
        });
        assert!(came, "{what}: {last}");
    };
    stats("desc", &|_| true);
    stats("group", &|group| group["packet_count"] == 5 && group["byte_count"] == 300);
    stats("meter", &|meter| meter["packet_in_count"] == 5 && meter["byte_in_count"] == 300);
    stats("flow", &|flow| flow["priority"] == 10);
    stats("port", &|port| port["port_no"] == 1 && port["rx_packets"] == 5);

    bench.case("and gone");
    post(
        "groupentry/delete",
        match is_15 {
            true => json!({ "dpid": DPID, "group_id": 1, "command_bucket_id": u32::MAX }),
            false => json!({ "dpid": DPID, "group_id": 1 }),
        },
    );
    let is_gone = bench.wait_until(|| !bench.ofctl(&["dump-flows"]).contains("group:1"));
    assert!(is_gone, "its rule goes with it: {}", bench.ofctl(&["dump-flows"]));
    bench.shutdown();
}
