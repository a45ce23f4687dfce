//! Bridge rules B1–B6 (ordinary L2 forwarding), one by one, on real frames. Every case is done
//! twice where its outcome may not change, so that the caches are asked as well as the tables.

use vm::frame::{self, BROADCAST, host, plain, tagged};
use vm::{Bench, Config};

#[test]
fn bridge_rules() {
    let bench = Bench::boot(Config::new(3));
    learning(&bench);
    group_addresses(&bench);
    moving(&bench);
    promiscuity(&bench);
    vlans_learn_apart(&bench);
    malformed(&bench);
    the_books(&bench);
    bench.shutdown();
}

fn learning(bench: &Bench) {
    bench.case("B4: an unknown destination is flooded to all but the ingress port");
    bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2, 3]);
    bench.forwards(1, &plain(host(2), host(1), 61, 2), &[2, 3]);

    bench.case("B2, B5: the source was learned, and is reached through its port alone");
    bench.forwards(2, &plain(host(1), host(2), 60, 3), &[1]);
    bench.forwards(2, &plain(host(1), host(2), 1514, 4), &[1]);
    // What was flooded is cached, and is judged again some milliseconds after the news.
    bench.barrier();
    bench.forwards(1, &plain(host(2), host(1), 62, 5), &[2]);

    bench.case("B2: fdb/show tells what was learned");
    let fdb = bench.appctl("fdb/show", &["br0"]);
    for (port, n) in [(1, 1), (2, 2)] {
        let is_entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[..3] == [&port.to_string(), "0", &format!("02:00:00:00:00:0{n}")]
        };
        assert!(fdb.lines().any(is_entry), "host {n}: {fdb}");
    }

    bench.case("B1, B5: a known destination behind the ingress port: dropped");
    let before = bench.drops(1, "mac-on-in-port");
    for tag in 0..3 {
        bench.forwards(1, &plain(host(1), host(4), 60, tag), &[]);
    }
    assert_eq!(bench.drops(1, "mac-on-in-port"), before + 3);
    bench.forwards(3, &plain(host(4), host(3), 60, 6), &[1]);

    bench.case("B4: after fdb/flush everything is unknown again");
    bench.appctl("fdb/flush", &["br0"]);
    bench.barrier();
    bench.forwards(3, &plain(host(1), host(3), 60, 7), &[1, 2]);
}

fn group_addresses(bench: &Bench) {
    bench.case("B3: broadcast goes everywhere but back");
    for tag in 0..2 {
        bench.forwards(3, &plain(BROADCAST, host(3), 60, tag), &[1, 2]);
        bench.forwards(1, &plain(BROADCAST, host(1), 1514, tag), &[2, 3]);
    }

    bench.case("B3: multicast goes everywhere but back");
    for dst in [[0x01, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
        bench.forwards(2, &plain(dst, host(2), 60, 1), &[1, 3]);
        bench.forwards(2, &plain(dst, host(2), 60, 2), &[1, 3]);
    }

    bench.case("reserved multicast is not forwarded, the address after it is");
    let before = bench.drops(1, "reserved-multicast");
    for last in [0, 2, 3, 0x0e, 0x0f] {
        bench.forwards(1, &plain([1, 0x80, 0xc2, 0, 0, last], host(1), 60, 1), &[]);
    }
    assert_eq!(bench.drops(1, "reserved-multicast"), before + 5);
    bench.forwards(1, &plain([1, 0x80, 0xc2, 0, 0, 0x10], host(1), 60, 1), &[2, 3]);
}

fn moving(bench: &Bench) {
    bench.case("B2: a station that moves is followed");
    for (round, port) in (0..).zip([1, 2, 1, 2]) {
        bench.forwards(port, &plain(BROADCAST, host(7), 60, round), &[[2, 3], [1, 3]][port - 1]);
        // Where a cached flow saw the station, the next look at statistics tells.
        let is_followed = bench.wait_until(|| {
            let fdb = bench.appctl("fdb/show", &["br0"]);
            let entry = fdb.lines().find(|line| line.contains("02:00:00:00:00:07"));
            entry.is_some_and(|line| line.trim_start().starts_with(&port.to_string()))
        });
        assert!(is_followed, "to port {port}");
        bench.barrier();
        bench.forwards(3, &plain(host(7), host(3), 60, round), &[port]);
        bench.forwards(3, &plain(host(7), host(3), 70, round), &[port]);
    }
}

fn promiscuity(bench: &Bench) {
    bench.case("B6: frames for any address are handled, the NIC's own and strangers' alike");
    for dst in [vm::mac(1).0, vm::mac(2).0, vm::mac(0).0, [0x00, 0x11, 0x22, 0x33, 0x44, 0x55]] {
        bench.forwards(1, &plain(dst, host(1), 60, 1), &[2, 3]);
        bench.forwards(1, &plain(dst, host(1), 60, 2), &[2, 3]);
    }
}

fn vlans_learn_apart(bench: &Bench) {
    let in_vlan = |vid, dst, src| tagged(&plain(dst, src, 60, 0), 0x8100, vid, 0);
    bench.case("B2: learning is per VLAN, tags stay on");
    bench.forwards(2, &plain(BROADCAST, host(9), 60, 1), &[1, 3]);
    bench.forwards(1, &in_vlan(5, host(9), host(1)), &[2, 3]);
    bench.forwards(3, &in_vlan(5, BROADCAST, host(9)), &[1, 2]);
    bench.barrier();
    bench.forwards(1, &in_vlan(5, host(9), host(1)), &[3]);
    bench.forwards(1, &in_vlan(6, host(9), host(1)), &[2, 3]);
    bench.forwards(1, &plain(host(9), host(1), 60, 2), &[2]);

    bench.case("a priority tag is VLAN 0, and does not stay on");
    for _ in 0..2 {
        bench.send(1, &in_vlan(0, host(9), host(1)));
        bench.expect(&[(2, &plain(host(9), host(1), 60, 0))]);
    }
}

fn malformed(bench: &Bench) {
    bench.case("a frame without a whole Ethernet header is counted and dropped");
    let before = bench.drops(1, "rx-malformed");
    bench.forwards(1, &[0xff; 13], &[]);
    assert_eq!(bench.drops(1, "rx-malformed"), before + 1);

    bench.case("headers cut short are switched by what is there");
    let whole = frame::ethernet(
        BROADCAST,
        host(1),
        frame::IPV4,
        &frame::ipv4([10, 0, 0, 1], [10, 0, 0, 2], frame::TCP, &frame::tcp(1, 2, 2, b"")),
    );
    for len in [14, 15, 20, 33, 34, 40, 53] {
        bench.forwards(1, &whole[..len], &[2, 3]);
    }
}

fn the_books(bench: &Bench) {
    bench.case("accounting: counters of ports add up to what the bench saw");
    bench.settle();
    let state = bench.telemetry();
    let sum = |field: &str| -> u64 {
        let ports = state["ports"].as_array().expect("ports");
        ports.iter().filter_map(|port| port[field].as_u64()).sum()
    };
    let books = &state["accounting"];
    let dropped: u64 = state["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .flat_map(|port| port["drops"].as_object().expect("drops").values())
        .filter_map(serde_json::Value::as_u64)
        .sum();
    assert_eq!(books["transmitted"].as_u64(), Some(sum("tx_packets")), "{state}");
    assert_eq!(books["dropped"].as_u64(), Some(dropped), "{state}");
    let arrived: u64 = bench.port_numbers().iter().map(|&port| bench.arrivals(port).total()).sum();
    assert_eq!(sum("tx_packets"), arrived);
}
