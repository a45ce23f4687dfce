//! NICs with packed rings, beside some with split ones: round and round the rings, through a reset, and
//! with processors that rest.

use std::thread;
use std::time::Duration;

use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config};

/// Longer than it takes until processors halt.
const PAUSE: Duration = Duration::from_millis(20);
/// In flight at once: less than a ring, and more than a socket holds, so that QEMU has to wait for us.
const WINDOW: u32 = 64;
/// Windows: the frames go round a ring of 1,024 more than twice.
const WINDOWS: u32 = 40;

#[test]
fn packed_and_split() {
    let bench = Bench::boot(Config::new(3).packed(&[0, 1, 3]).mtu(1, 9000).mtu(3, 9000));
    bench.case("negotiated where it is offered");
    assert_eq!(negotiated(&bench), 3);
    forwards(&bench);
    jumbo(&bench);
    reset(&bench);
    rests(&bench);
    bench.shutdown();
}

#[test]
fn several_processors() {
    let bench = Bench::boot(Config::new(3).packed(&[1, 2, 3]).smp(3));
    assert_eq!(negotiated(&bench), 3);
    forwards(&bench);
    rests(&bench);
    bench.shutdown();
}

#[test]
fn not_where_it_is_refused() {
    let refused = |seed: &mut seed::BootConfig| seed.nic_without = vec!["packed".into()];
    let bench = Bench::boot(Config::new(2).packed(&[0, 1, 2]).seed(refused));
    assert_eq!(negotiated(&bench), 0);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 0), &[2]);
    bench.shutdown();
}

/// NICs whose driver says that it uses packed rings.
fn negotiated(bench: &Bench) -> usize {
    let text = bench.serial().text();
    let said = |line: &&str| line.contains("virtio-net") && line.contains("\"packed\"");
    text.lines().filter(said).count()
}

fn forwards(bench: &Bench) {
    bench.case("learning");
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 0), &[2, 3]);
    bench.forwards(2, &plain(host(1), host(2), 60, 0), &[1]);
    bench.forwards(3, &plain(host(1), host(3), 60, 0), &[1]);
    bench.case("round the rings, all ways");
    for window in 0..WINDOWS {
        let (from, to) = [(1, 3), (3, 2), (2, 1)][window as usize % 3];
        let frame = |tag| {
            let len = 60 + (window * WINDOW + tag) as usize * 37 % 1400;
            plain(host(to), host(from), len, window * WINDOW + tag)
        };
        (0..WINDOW).for_each(|tag| bench.send(from.into(), &frame(tag)));
        let sent: Vec<_> = (0..WINDOW).map(frame).collect();
        bench.expect(&sent.iter().map(|frame| (to.into(), &frame[..])).collect::<Vec<_>>());
    }
}

fn jumbo(bench: &Bench) {
    bench.case("frames over several buffers");
    for (tag, len) in (0..).zip([1_959, 1_960, 1_961, 4_000, 9_014]) {
        bench.forwards(1, &plain(host(3), host(1), len, tag), &[3]);
        bench.forwards(3, &plain(host(1), host(3), len, tag), &[1]);
    }
}

fn reset(bench: &Bench) {
    for tag in 0..3 {
        bench.case("the port goes, and its device is reset");
        bench.vsctl(&["del-port", "br0", "p1"]);
        bench.forwards(2, &plain(BROADCAST, host(2), 60, tag), &[3]);
        bench.case("the port comes back");
        bench.vsctl(&["add-port", "br0", "p1"]);
        bench.until("the link is up", |state| {
            let ports = state["ports"].as_array().map_or(&[][..], Vec::as_slice);
            ports.iter().any(|port| port["name"] == "p1" && port["link"] == true)
        });
        bench.forwards(1, &plain(BROADCAST, host(1), 60, tag), &[2, 3]);
        bench.forwards(3, &plain(BROADCAST, host(3), 1514, tag), &[1, 2]);
    }
}

fn rests(bench: &Bench) {
    bench.case(
        "a frame after a pause: a rest that only its timer ended would be the longest there is",
    );
    bench.appctl("uniswitch/set", &["pmd-sleep-max", "100000"]);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 0), &[2, 3]);
    bench.forwards(2, &plain(host(1), host(2), 60, 0), &[1]);
    for tag in 1..=30 {
        thread::sleep(PAUSE);
        bench.send(1, &plain(host(2), host(1), 60, tag));
        bench.expect(&[(2, &plain(host(2), host(1), 60, tag))]);
        thread::sleep(PAUSE);
        bench.send(2, &plain(host(1), host(2), 60, tag));
        bench.expect(&[(1, &plain(host(1), host(2), 60, tag))]);
    }
    let text = bench.appctl("dpif-netdev/pmd-perf-show", &[]);
    let counts = text.lines().filter_map(|line| {
        let count = line.trim().strip_prefix("- sleep iterations:")?;
        count.split_whitespace().next()?.parse::<u64>().ok()
    });
    assert!(counts.sum::<u64>() > 0, "no core rested");
}
