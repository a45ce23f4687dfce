//! Frames of every length up to an MTU of 9000, and what happens to longer ones.
//!
//! The MTU counts what is behind the Ethernet header of 14 bytes; two VLAN tags are let through
//! besides, so a port takes and sends 22 bytes more than its MTU.

use vm::frame::{host, plain, tagged};
use vm::{Bench, Config};

#[test]
fn frames_up_to_the_mtu() {
    let config = Config::new(3).mtu(1, 9000).mtu(2, 9000).mtu(3, 1500);
    let bench = Bench::boot(config);
    bench.case("the ports say which MTU they have");
    let mtus = bench.telemetry()["ports"].as_array().expect("ports").clone();
    assert_eq!(
        mtus.iter().map(|p| p["mtu"].as_u64()).collect::<Vec<_>>(),
        [9000, 9000, 1500].map(Some)
    );
    bench.forwards(1, &plain([0xff; 6], host(1), 60, 0), &[2, 3]);
    bench.forwards(2, &plain([0xff; 6], host(2), 60, 0), &[1, 3]);
    bench.forwards(3, &plain([0xff; 6], host(3), 60, 0), &[1, 2]);

    // Around the ends of buffers, of the ordinary MTU and of the jumbo one.
    let lens = [
        60, 61, 64, 127, 128, 1500, 1513, 1514, 1515, 1518, 1900, 1920, 2035, 2036, 2037, 2047,
        2048, 2049, 4095, 4096, 4097, 6000, 8191, 8192, 9000, 9013, 9014,
    ];
    for len in lens {
        bench.case(format!("a frame of {len} bytes, both ways"));
        bench.forwards(1, &plain(host(2), host(1), len, 1), &[2]);
        bench.forwards(2, &plain(host(1), host(2), len, 2), &[1]);
    }

    bench.case("a burst of all lengths keeps its order and its bytes");
    let burst: Vec<_> = lens.iter().map(|&len| plain(host(2), host(1), len, 3)).collect();
    for frame in &burst {
        bench.send(1, frame);
    }
    bench.expect(&burst.iter().map(|frame| (2, &frame[..])).collect::<Vec<_>>());

    bench.case("a VLAN tag does not count");
    let frame = tagged(&plain(host(9), host(1), 9014, 0), 0x8100, 5, 0);
    let to_port_3 = bench.drops(3, "mtu-exceeded");
    bench.send(1, &frame);
    bench.expect(&[(2, &frame)]);
    assert_eq!(bench.drops(3, "mtu-exceeded"), to_port_3 + 1, "flooded to a port too small for it");

    bench.case("longer than the MTU of the ingress port: dropped under that reason");
    for len in [9023, 9100, 12_000, 60_000] {
        let before = bench.drops(1, "rx-oversize");
        bench.forwards(1, &plain(host(2), host(1), len, 4), &[]);
        assert_eq!(bench.drops(1, "rx-oversize"), before + 1, "{len} bytes");
    }
    bench.case("and the next frame passes");
    bench.forwards(1, &plain(host(2), host(1), 9014, 5), &[2]);

    bench.case("longer than the MTU of the egress port: dropped under that reason");
    for len in [1523, 2000, 9014] {
        let before = bench.drops(3, "mtu-exceeded");
        bench.forwards(1, &plain(host(3), host(1), len, 6), &[]);
        assert_eq!(bench.drops(3, "mtu-exceeded"), before + 1, "{len} bytes");
    }
    bench.forwards(1, &plain(host(3), host(1), 1514, 7), &[3]);
    bench.case("no buffer was lost on the way");
    let free = |bench: &Bench| bench.telemetry()["memory"]["free_buffers"].clone();
    let before = free(&bench);
    for tag in 0..200 {
        bench.forwards(1, &plain(host(2), host(1), 9014, tag), &[2]);
    }
    bench.until("buffers to come back", |state| {
        let jumbo = |buffers: &serde_json::Value| buffers["jumbo"].as_u64().unwrap_or(0);
        // Caches of cores and rings hold some.
        jumbo(&state["memory"]["free_buffers"]) + 64 >= jumbo(&before)
    });
    bench.shutdown();
}
