//! One controller queues 100,000 flow-mods; another asks for echoes meanwhile, and has its answers.
//!
//! Judged by order, not by a clock: marks in the flood tell how far the switch is with it, so an answer can be
//! seen to come long before its end. The times are printed for people.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use openflow::{Message, Version};
use vm::{Bench, Config, rule};

const FLOOD: u32 = 100_000;
/// Flow-mods between two marks, and marks of which the switch may get on during an echo.
const MARK: u32 = 1_000;
const PASSED: usize = 10;
/// Echoes that are answered before the flood has been worked off.
const ANSWERED: usize = 20;
/// And no more: something is wrong where so many are.
const MOST: usize = 1_000_000;
/// Above all transaction ids that a client chooses.
const FIRST_MARK: u32 = 1 << 24;

#[test]
fn echoes_beside_100_000_flow_mods() {
    let bench = Bench::boot(Config::new(2).memory(512));
    for version in [Version::V13, Version::V10] {
        beside_flood(&bench, version);
    }
    bench.shutdown();
}

fn beside_flood(bench: &Bench, version: Version) {
    bench.case(format!("{version}: an idle switch"));
    bench.set_flows(&[]);
    let mut asker = bench.client(version);
    let echo = Message::EchoRequest(vec![7; 8]);
    let mut round_trip = || {
        let begun = Instant::now();
        assert!(matches!(asker.ask(&echo), Message::EchoReply(_)));
        begun.elapsed()
    };
    report(&format!("{version} idle"), (0..100).map(|_| round_trip()).collect());

    bench.case(format!("{version}: beside {FLOOD} flow-mods"));
    let mut flooder = bench.client(version);
    let mut bytes = Vec::new();
    for k in 0..FLOOD {
        let [_, b, c, d] = k.to_be_bytes();
        let add = rule(&format!("priority=5,dl_dst=02:00:00:{b:02x}:{c:02x}:{d:02x},actions=drop"));
        let message = Message::FlowMod(Box::new(add));
        flooder.dialect.encode(&message, 1, &mut bytes).expect("short");
        if (k + 1) % MARK == 0 {
            let xid = FIRST_MARK + k / MARK;
            flooder.dialect.encode(&echo, xid, &mut bytes).expect("short");
        }
    }
    let mut stream = flooder.stream().try_clone().expect("a stream");
    let passed = AtomicUsize::new(0);
    let n_marks = (FLOOD / MARK) as usize;
    let mut seen = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&bytes).expect("the switch reads on"));
        scope.spawn(|| {
            for mark in 0..FLOOD / MARK {
                flooder.answer(FIRST_MARK + mark);
                passed.fetch_add(1, Ordering::Relaxed);
            }
        });
        let now = || passed.load(Ordering::Relaxed);
        assert!(bench.wait_until(|| now() > 0), "the switch does not begin");
        while now() < n_marks && seen.len() < MOST {
            let before = now();
            let time = round_trip();
            seen.push((now() - before, time));
        }
    });
    let times = seen.iter().map(|(_, time)| *time).collect();
    report(&format!("{version} beside the flood"), times);
    assert!(seen.len() >= ANSWERED, "{version}: only {} echoes answered meanwhile", seen.len());
    // Not the worst one: this process too may have had no time when the answer was there.
    let mut marks: Vec<usize> = seen.iter().map(|(marks, _)| *marks).collect();
    marks.sort_unstable();
    let usual = marks[marks.len() / 2];
    assert!(usual <= PASSED, "{version}: an echo waits for {usual} marks of {n_marks}");
    flooder.barrier();
    let text = bench.ofctl(&["dump-aggregate"]);
    assert!(text.contains(&format!("flow_count={FLOOD}")), "{text}");
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else { return };
    let of = |share: usize| times[(last * share).div_ceil(100)];
    println!(
        "{what}: {} echoes, 50 % {:?}, 99 % {:?}, worst {:?}",
        last + 1,
        of(50),
        of(99),
        of(100)
    );
}
