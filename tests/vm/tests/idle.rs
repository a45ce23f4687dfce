//! Processors without work halt, and what ends that: single frames with pauses between them, on one and
//! on several processors, with devices that interrupt and with such that cannot.

use std::thread;
use std::time::Duration;

use qemu::Machine;
use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config};

/// Longer than it takes until processors halt.
const PAUSE: Duration = Duration::from_millis(20);
const FRAMES: u32 = 60;

#[test]
fn one_cpu() {
    rests(Config::new(2));
}

#[test]
fn three_cpus() {
    rests(Config::new(2).smp(3));
}

#[test]
fn devices_that_do_not_interrupt() {
    rests(Config::new(2).machine(Machine::Microvm));
}

fn rests(config: Config) {
    let bench = Bench::boot(config);
    // A rest that only its timer ended would be the longest there is.
    bench.appctl("uniswitch/set", &["pmd-sleep-max", "100000"]);
    bench.case("a frame after a pause, forwarded by a miss and by cached flows");
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 0), &[2]);
    bench.forwards(2, &plain(host(1), host(2), 60, 0), &[1]);
    for tag in 1..=FRAMES {
        thread::sleep(PAUSE);
        bench.send(1, &plain(host(2), host(1), 60, tag));
        bench.expect(&[(2, &plain(host(2), host(1), 60, tag))]);
    }

    bench.case("cores rested meanwhile");
    let rests = slept(&bench);
    assert!(rests > 0, "no core rested");

    bench.case("a barrier, whose fence wakes every core");
    for _ in 0..10 {
        thread::sleep(PAUSE);
        bench.barrier();
    }

    bench.case("no rest where none is wanted");
    bench.appctl("uniswitch/set", &["pmd-sleep-max", "0"]);
    // Those that rest when it is set wake up once more, on a busy host some time after that.
    let no_more = bench.wait_until(|| {
        let before = slept(&bench);
        for tag in 0..5 {
            thread::sleep(PAUSE);
            bench.send(1, &plain(host(2), host(1), 60, tag));
            bench.expect(&[(2, &plain(host(2), host(1), 60, tag))]);
        }
        slept(&bench) == before
    });
    assert!(no_more, "cores go on resting");
    bench.shutdown();
}

/// Rests of all cores since the boot.
fn slept(bench: &Bench) -> u64 {
    let text = bench.appctl("dpif-netdev/pmd-perf-show", &[]);
    let counts = text.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("- sleep iterations:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    counts.sum()
}
