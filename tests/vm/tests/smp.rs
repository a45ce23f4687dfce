//! One, two and four vCPUs: ports belong to different cores, and frames cross between them.

use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config};

/// Frames in flight for each port: less than the shortest ring between them.
const WINDOW: usize = 32;

#[test]
fn one_cpu() {
    on(1);
}

#[test]
fn two_cpus() {
    on(2);
}

#[test]
fn four_cpus() {
    on(4);
}

fn on(n_cpus: u16) {
    let config = Config::new(4).smp(n_cpus).seed(|seed| seed.self_check_one_in = 1);
    let bench = Bench::boot(config);
    bench.case(format!("{n_cpus} CPUs start"));
    assert!(!bench.serial().text().contains("does not start"));

    bench.case(format!("{n_cpus} CPUs: learning"));
    for (port, station) in (1..=4).zip(1..) {
        let others: Vec<usize> = (1..=4).filter(|&other| other != port).collect();
        bench.forwards(port, &plain(BROADCAST, host(station), 60, 1), &others);
    }

    bench.case(format!("{n_cpus} CPUs: every port sends to every other, nothing is lost"));
    let pairs: Vec<(u8, u8)> = (1..=4)
        .flat_map(|from| (1..=4).map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
        .collect();
    let mut n = 0;
    for round in 0..12 {
        let mut sent: Vec<(usize, Vec<u8>)> = Vec::new();
        for tag in 0..WINDOW {
            let (from, to) = pairs[(tag + round) % pairs.len()];
            let tag = u32::try_from(round * WINDOW + tag).expect("a small number");
            let frame = plain(host(to), host(from), 60 + (tag as usize * 37) % 1400, tag);
            bench.send(from.into(), &frame);
            sent.push((to.into(), frame));
        }
        n += sent.len();
        bench.settle();
        for port in 1..=4 {
            let mut arrived = bench.arrivals(port).take();
            let mut wanted: Vec<Vec<u8>> =
                sent.iter().filter(|(to, _)| *to == port).map(|(_, f)| f.clone()).collect();
            // Between frames of different ports there is no order.
            arrived.sort();
            wanted.sort();
            if arrived != wanted {
                bench.fail(format!("port {port}: {} of {} frames", arrived.len(), wanted.len()));
            }
        }
    }
    assert_eq!(n, 12 * WINDOW);

    bench.case(format!("{n_cpus} CPUs: frames of one flow stay in order"));
    let flow: Vec<Vec<u8>> = (0..512).map(|tag| plain(host(2), host(1), 60, tag)).collect();
    for window in flow.chunks(WINDOW) {
        for frame in window {
            bench.send(1, frame);
        }
        bench.expect(&window.iter().map(|frame| (2, &frame[..])).collect::<Vec<_>>());
    }

    bench.case(format!("{n_cpus} CPUs: cached conclusions were checked, and hold"));
    let checks = bench.until("self checks", |state| {
        state["self_check"]["passed"].as_u64().is_some_and(|passed| passed > 100)
    });
    assert_eq!(checks["self_check"]["failed"], 0);
    bench.shutdown();
}
