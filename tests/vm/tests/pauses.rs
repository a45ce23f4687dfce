//! The machine stands still for some seconds, by QEMU's monitor or because its host has no time for it,
//! while frames and controllers wait. Afterwards nothing is lost but cache.

use std::thread;
use std::time::Duration;

use openflow::{Message, Version};
use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config, Spawned, WAIT};

/// Frames for each port before and again after the clock stops. The queues of the host's sockets hold ten,
/// and of what QEMU could not put there it forgets one when it stops.
const WAITING: u32 = 4;

/// How time stands still.
#[derive(Clone, Copy, Debug)]
enum Still {
    /// `stop` and `cont`: the guest's clock stands still as well.
    Monitor,
    /// Signals to QEMU: the guest's clock has jumped when it goes on.
    Host,
}

impl Still {
    /// For how long. Where the clock goes on, longer than cached flows (10 s) and silent peers (5 s) are kept.
    fn duration(self) -> Duration {
        match self {
            Self::Monitor => Duration::from_secs(2),
            Self::Host => Duration::from_secs(11),
        }
    }

    fn begin(self, bench: &Bench) {
        match self {
            Self::Monitor => bench.pause(),
            Self::Host => bench.freeze(),
        }
    }

    fn end(self, bench: &Bench) {
        match self {
            Self::Monitor => bench.resume(),
            Self::Host => bench.thaw(),
        }
    }
}

#[test]
fn one_cpu() {
    on(1);
}

#[test]
fn three_cpus() {
    on(3);
}

fn on(n_cpus: u16) {
    let bench = Bench::boot(Config::new(3).smp(n_cpus).seed(|seed| seed.self_check_one_in = 1));
    bench.set_flows(&[
        "priority=2,in_port=1,actions=3",
        "priority=2,in_port=2,actions=3",
        "priority=1,in_port=3,actions=NORMAL",
    ]);
    for still in [Still::Monitor, Still::Host, Still::Monitor] {
        stands_still(&bench, still);
    }
    bench.shutdown();
}

fn stands_still(bench: &Bench, still: Still) {
    bench.case(format!("{still:?}: learning, a controller, frames under way"));
    bench.forwards(3, &plain(BROADCAST, host(3), 60, 1), &[1, 2]);
    let mut client = bench.client(Version::V13);
    client.barrier();
    let frame = |port: u8, tag: u32| plain(host(9), host(port), 60, tag);
    // Not waited for: they are somewhere in rings and caches when time ends.
    for tag in 0..WAITING {
        bench.send(1, &frame(1, tag));
        bench.send(2, &frame(2, tag));
    }
    still.begin(bench);

    bench.case(format!("{still:?}: frames, a message and a new connection wait"));
    for tag in WAITING..2 * WAITING {
        bench.send(1, &frame(1, tag));
        bench.send(2, &frame(2, tag));
    }
    let asked = client.send(&Message::EchoRequest(vec![1, 2, 3])).expect("sent");
    let mut tool = bench.spawn_ofctl(&["add-flow", "table=7,priority=7,cookie=0x7,actions=drop"]);
    thread::sleep(still.duration());
    still.end(bench);

    bench.case(format!("{still:?}: whatever waited is there, in its order"));
    bench.settle();
    let arrived = bench.arrivals(3).take();
    for port in [1, 2] {
        let of_port: Vec<_> = arrived.iter().filter(|bytes| source(bytes) == host(port)).collect();
        let wanted: Vec<_> = (0..2 * WAITING).map(|tag| frame(port, tag)).collect();
        assert_eq!(of_port, wanted.iter().collect::<Vec<_>>(), "from port {port}");
    }
    let of_others = arrived.iter().filter(|bytes| ![host(1), host(2)].contains(&source(bytes)));
    assert_eq!(of_others.count(), 0);
    bench.expect_nothing();
    assert_eq!(client.answer(asked), Message::EchoReply(vec![1, 2, 3]));
    finishes(bench, &mut tool);

    bench.case(format!("{still:?}: rules, stations and what comes later"));
    client.barrier();
    let flows = bench.ofctl(&["dump-flows", "--no-stats"]);
    assert_eq!(flows.lines().filter(|line| line.contains("actions=")).count(), 4, "{flows}");
    bench.ofctl(&["del-flows", "table=7"]);
    for tag in 0..50 {
        bench.forwards(1, &frame(1, 100 + tag), &[3]);
    }
    bench.forwards(3, &plain(BROADCAST, host(3), 60, 2), &[1, 2]);
    bench.ofctl(&["add-flow", "priority=2,in_port=1,actions=2"]);
    bench.forwards(1, &frame(1, 200), &[2]);
    bench.ofctl(&["add-flow", "priority=2,in_port=1,actions=3"]);
    bench.forwards(1, &frame(1, 201), &[3]);
    assert!(bench.appctl("fdb/show", &["br0"]).contains("02:00:00:00:00:03"));
    bench.ofctl(&["dump-aggregate"]);
}

fn source(frame: &[u8]) -> [u8; 6] {
    frame[6..12].try_into().expect("six bytes")
}

fn finishes(bench: &Bench, tool: &mut Spawned) {
    let status = tool.wait(WAIT);
    if !status.is_some_and(|status| status.success()) {
        bench.fail(format!("ovs-ofctl: {status:?} {}", tool.errors().text()));
    }
}
