//! Sixteen ports, and little memory.

use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config};

#[test]
fn sixteen_ports_flood_and_learn() {
    let n = 16;
    let bench = Bench::boot(Config::new(n).memory(128));
    let station = |port: usize| host(u8::try_from(port).expect("a small number"));

    for port in 1..=n {
        bench.case(format!("broadcast from port {port} reaches the other 15"));
        let others: Vec<usize> = (1..=n).filter(|&other| other != port).collect();
        bench.forwards(port, &plain(BROADCAST, station(port), 60, 1), &others);
    }
    for port in 1..=n {
        let to = port % n + 1;
        bench.case(format!("from port {port} to the station behind port {to}"));
        bench.forwards(port, &plain(station(to), station(port), 1514, 2), &[to]);
        bench.forwards(to, &plain(station(port), station(to), 60, 3), &[port]);
    }
    bench.case("all 16 stations are in the table, and all ports in the description");
    let fdb = bench.appctl("fdb/show", &["br0"]);
    assert_eq!(fdb.lines().count(), 1 + n, "{fdb}");
    let show = bench.ofctl(&["dump-ports-desc"]);
    for port in 1..=n {
        assert!(show.contains(&format!("{port}(p{port}): addr:{}", vm::mac(port))), "{show}");
    }
    bench.shutdown();
}

#[test]
fn four_ports_in_64_mib() {
    let bench = Bench::boot(Config::new(4).memory(64));
    let mut frames = Vec::new();
    for tag in 0..500 {
        frames.push(plain(BROADCAST, host(1), 1514, tag));
    }
    bench.case("500 broadcasts");
    for window in frames.chunks(32) {
        for frame in window {
            bench.send(1, frame);
        }
        let expected = window.iter().flat_map(|frame| [2, 3, 4].map(|port| (port, &frame[..])));
        bench.expect(&expected.collect::<Vec<_>>());
    }
    println!("memory: {}", bench.telemetry()["memory"]);
    bench.shutdown();
}
