//! The generator against our own driver: what goes in on one side comes out on the other.

mod fronts;

use fronts::{Fronts, socket};
use netdev::Netdev;
use packet::Batch;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use vhost_back::{Back, Plan, Traffic, exchange};

const PATIENCE: Duration = Duration::from_secs(120);

/// What comes in on one port leaves by the other, until told otherwise.
fn forward(mut fronts: Fronts, is_over: &AtomicBool) {
    let mut batch = Batch::new();
    while !is_over.load(Ordering::Relaxed) {
        for (from, to) in [(0, 1), (1, 0)] {
            fronts.queues[from].rx.receive(&mut batch, &mut fronts.cache).expect("a sound ring");
            while !batch.is_empty() && !is_over.load(Ordering::Relaxed) {
                let to = &mut fronts.queues[to].tx;
                to.transmit(&mut batch, &mut fronts.cache).expect("a sound ring");
            }
        }
        thread::yield_now();
    }
    for (netdev, queues) in fronts.netdevs.iter_mut().zip(fronts.queues) {
        netdev.reset(vec![queues]).expect("it stops");
    }
}

#[test]
fn what_is_sent_comes_back_with_its_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let back = |k: u8| Back::listen(&socket(dir.path(), k)).expect("a socket");
    let backs = [back(0), back(1)];
    let is_over = AtomicBool::new(false);
    // Twice: a front end may go and another one come.
    for frame_len in [64, 1514] {
        is_over.store(false, Ordering::Relaxed);
        let fronts = Fronts::open(dir.path());
        assert!(backs.iter().all(|back| back.wait_up(PATIENCE)), "the rings are not set up");
        let outcome = thread::scope(|scope| {
            scope.spawn(|| forward(fronts, &is_over));
            let plan = Plan {
                frame_len,
                pace: 20_000.0,
                warm_up: Duration::from_millis(20),
                time: Duration::from_millis(300),
                patience: PATIENCE,
            };
            let begun = Instant::now();
            let outcome = loop {
                let outcome = exchange([&backs[0], &backs[1]], &plan);
                // On a busy machine this thread may have had no turn in all that time.
                if outcome.sent > 0 || begun.elapsed() > PATIENCE {
                    break outcome;
                }
            };
            is_over.store(true, Ordering::Relaxed);
            outcome
        });
        assert!(outcome.sent > 0, "{} refused, {} skipped", outcome.refused, outcome.skipped);
        assert_eq!(outcome.received, outcome.sent);
        assert_eq!(outcome.latencies.count(), outcome.received);
        assert!(outcome.latencies.at(0.5) <= outcome.latencies.at(0.999));
    }
}

#[test]
fn what_is_given_at_one_port_is_there_to_be_swallowed_at_the_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let back = |k: u8| Back::listen(&socket(dir.path(), k)).expect("a socket");
    let backs = [back(0), back(1)];
    let fronts = Fronts::open(dir.path());
    assert!(backs.iter().all(|back| back.wait_up(PATIENCE)), "the rings are not set up");
    let is_over = AtomicBool::new(false);
    let (given, taken) = thread::scope(|scope| {
        scope.spawn(|| forward(fronts, &is_over));
        let (given, mut taken) = (backs[0].give_many(&mut Traffic::new(0, 64), 100), 0);
        let begun = Instant::now();
        while taken < given && begun.elapsed() < PATIENCE {
            taken += backs[1].swallow(32);
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
        (given, taken)
    });
    assert!(given > 0 && taken == given, "{taken} of {given}");
}

#[test]
fn what_was_given_before_a_stop_is_drained() {
    let dir = tempfile::tempdir().expect("a folder");
    let back = |k: u8| Back::listen(&socket(dir.path(), k)).expect("a socket");
    let backs = [back(0), back(1)];
    let mut fronts = Fronts::open(dir.path());
    assert!(backs.iter().all(|back| back.wait_up(PATIENCE)), "the rings are not set up");
    let given = backs[0].give_many(&mut Traffic::new(0, 64), 100);
    fronts.netdevs[0].stop().expect("it stops");
    let mut left = VecDeque::new();
    fronts.queues[0].rx.drain(&mut left, &mut fronts.cache);
    assert_eq!((given, left.len()), (100, 100));
    fronts.netdevs[0].reset(vec![fronts.queues.remove(0)]).expect("all queues are back");
}

#[test]
fn nobody_in_front() {
    let dir = tempfile::tempdir().expect("a folder");
    let back = |k: u8| Back::listen(&socket(dir.path(), k)).expect("a socket");
    let backs = [back(0), back(1)];
    assert!(!backs[0].wait_up(Duration::ZERO));
    let plan = Plan {
        frame_len: 64,
        pace: 1e9,
        warm_up: Duration::ZERO,
        time: Duration::from_millis(1),
        patience: Duration::ZERO,
    };
    let outcome = exchange([&backs[0], &backs[1]], &plan);
    assert_eq!((outcome.sent, outcome.received), (0, 0));
    assert!(outcome.refused > 0, "{outcome:?}");
}
