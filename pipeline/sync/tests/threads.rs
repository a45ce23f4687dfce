//! The same structures under real threads, for long and with real memory.

#![cfg(not(loom))]

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use sync::{
    big_reader::Writer, counter::Counter, qsbr::Domain, snapshot, spsc, turnstile::Turnstile,
};

#[test]
fn spsc_keeps_order_and_loses_nothing() {
    const N: u64 = 200_000;
    for capacity in [1, 2, 3, 64] {
        let (mut producer, mut consumer) = spsc::channel(capacity);
        assert_eq!((producer.capacity(), consumer.capacity()), (capacity, capacity));
        let pusher = thread::spawn(move || {
            for n in 0..N {
                let mut value = Box::new(n);
                while let Err(back) = producer.push(value) {
                    value = back;
                    thread::yield_now();
                }
            }
        });
        for n in 0..N {
            loop {
                assert!(consumer.len() <= capacity);
                match consumer.pop() {
                    Some(value) => {
                        assert_eq!(*value, n);
                        break;
                    }
                    None => thread::yield_now(),
                }
            }
        }
        pusher.join().unwrap();
        assert!(consumer.is_empty());
    }
}

#[test]
fn spsc_is_full_exactly_at_its_capacity() {
    let (mut producer, mut consumer) = spsc::channel(3);
    assert!(consumer.pop().is_none());
    for round in 0..10 {
        assert_eq!(producer.room(), 3);
        (0..3).for_each(|n| assert_eq!(producer.push(n), Ok(())));
        assert_eq!(producer.push(9), Err(9), "round {round}");
        assert_eq!((producer.len(), consumer.len()), (3, 3));
        assert_eq!(consumer.pop(), Some(0));
        assert_eq!(producer.push(3), Ok(()));
        (1..4).for_each(|n| assert_eq!(consumer.pop(), Some(n)));
        assert_eq!(consumer.pop(), None);
    }
    assert_eq!(spsc::channel::<u8>(0).0.capacity(), 1);
}

/// Counts how many of it live.
struct Alive(Arc<AtomicUsize>, u64);

impl Alive {
    fn new(count: &Arc<AtomicUsize>, n: u64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone(), n)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1 = u64::MAX;
    }
}

#[test]
fn spsc_drops_what_is_left() {
    let count = Arc::new(AtomicUsize::new(0));
    let (mut producer, mut consumer) = spsc::channel(8);
    for n in 0..5 {
        assert!(producer.push(Alive::new(&count, n)).is_ok());
    }
    drop(consumer.pop());
    assert_eq!(count.load(Ordering::Relaxed), 4);
    drop(consumer);
    assert_eq!(count.load(Ordering::Relaxed), 4, "the producer may still look at its length");
    drop(producer);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn snapshots_reach_readers_whole_and_in_order_and_are_freed() {
    const N_READERS: usize = 3;
    const N: u64 = 20_000;
    let alive = Arc::new(AtomicUsize::new(0));
    let domain = Domain::new(N_READERS);
    let (mut publisher, published) = snapshot::publish(&domain, Alive::new(&alive, 0));
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..N_READERS)
        .map(|seat| {
            let mut reader = domain.register().expect("a seat for each");
            let (published, stop) = (published.clone(), stop.clone());
            thread::spawn(move || {
                let (mut last, mut n_reads) = (0, 0_u64);
                while !stop.load(Ordering::Relaxed) {
                    let now = published.read(&reader).1;
                    assert!(now >= last && now <= N, "{now} after {last}");
                    last = now;
                    n_reads += 1;
                    if n_reads.is_multiple_of(7 + seat as u64) {
                        reader.offline(thread::yield_now);
                    } else {
                        reader.quiesce();
                    }
                }
                last
            })
        })
        .collect();
    assert!(domain.register().is_none(), "all seats are taken");
    for n in 1..=N {
        publisher.publish(Alive::new(&alive, n));
        if n.is_multiple_of(64) {
            thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() <= N);
    }
    // All readers are gone: nothing old is held.
    assert_eq!(publisher.reclaim(), 0);
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    assert_eq!(publisher.current().1, N);
    drop((publisher, published));
    assert_eq!(alive.load(Ordering::Relaxed), 0);
}

#[test]
fn a_reader_that_does_not_rest_holds_the_old_value() {
    let alive = Arc::new(AtomicUsize::new(0));
    let domain = Domain::new(2);
    let (mut publisher, published) = snapshot::publish(&domain, Alive::new(&alive, 1));
    let (mut busy, mut idle) = (domain.register().unwrap(), domain.register().unwrap());
    let held = published.read(&busy);
    publisher.publish(Alive::new(&alive, 2));
    idle.quiesce();
    assert_eq!((publisher.reclaim(), held.1), (1, 1));
    assert_eq!(published.read(&idle).1, 2);
    busy.quiesce();
    assert_eq!(publisher.reclaim(), 0);
    assert_eq!(alive.load(Ordering::Relaxed), 1);
    // A seat that was given back can be taken again, and its former reader holds nothing.
    drop(busy);
    publisher.publish(Alive::new(&alive, 3));
    idle.quiesce();
    assert_eq!(publisher.reclaim(), 0);
    assert!(domain.register().is_some());
}

#[test]
#[should_panic(expected = "another domain")]
fn a_reader_of_another_domain_is_refused() {
    let (_publisher, published) = snapshot::publish(&Domain::new(1), 1);
    let stranger = Domain::new(1).register().unwrap();
    let _ = published.read(&stranger);
}

#[test]
fn counters_are_read_while_they_are_written() {
    let counter = Arc::new(Counter::new());
    let writer = {
        let counter = counter.clone();
        thread::spawn(move || (0..100_000).for_each(|_| counter.add(3)))
    };
    let mut last = 0;
    while !writer.is_finished() {
        let now = counter.get();
        assert!(now >= last && now.is_multiple_of(3));
        last = now;
    }
    writer.join().unwrap();
    assert_eq!(counter.get(), 300_000);
}

#[test]
fn a_big_reader_never_sees_half_of_a_change() {
    const N: u64 = 20_000;
    let mut writer = Writer::new(vec![0_u64; 64]);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3).map(|_| writer.reader()).collect();
    assert_eq!(writer.n_readers(), 3);
    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            let done = done.clone();
            thread::spawn(move || {
                let (mut last, mut n_read) = (0, 0_u64);
                while !done.load(Ordering::Relaxed) {
                    let Some(words) = reader.try_read() else {
                        thread::yield_now();
                        continue;
                    };
                    assert!(words.iter().all(|word| *word == words[0]), "half of a change");
                    assert!(words[0] >= last, "time does not go back");
                    (last, n_read) = (words[0], n_read + 1);
                }
                let words = reader.try_read().expect("nobody writes");
                assert_eq!(words[0], N);
                n_read
            })
        })
        .collect();
    for n in 1..=N {
        writer.write().iter_mut().for_each(|word| *word = n);
        assert_eq!(writer[63], n, "the writer reads freely");
    }
    done.store(true, Ordering::Relaxed);
    for thread in reading {
        thread.join().unwrap();
    }
}

#[test]
fn a_big_reader_is_refused_while_the_writer_is_inside_and_only_then() {
    let mut writer = Writer::new(1);
    let mut reader = writer.reader();
    let mut guard = writer.write();
    assert!(reader.try_read().is_none());
    *guard += 1;
    assert!(reader.try_read().is_none());
    drop(guard);
    assert_eq!(reader.try_read().as_deref(), Some(&2));
    drop(writer);
    assert_eq!(reader.try_read().as_deref(), Some(&2), "the value lives with its last end");
}

#[test]
fn turns_are_had_one_at_a_time_and_by_all() {
    const N: usize = 50_000;
    // Whoever is in the middle of a turn leaves the two apart.
    let shared = Arc::new(Turnstile::new((0_usize, Box::new(0_usize))));
    let begin = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (shared, begin) = (shared.clone(), begin.clone());
            thread::spawn(move || {
                // None is done before the next one has begun.
                begin.wait();
                for _ in 0..N {
                    let turn = || {
                        shared.try_turn(|(n, other)| {
                            assert_eq!(*n, **other);
                            *n += 1;
                            // Now and then a core is stopped here.
                            if n.is_multiple_of(100) {
                                thread::yield_now();
                            }
                            **other += 1;
                        })
                    };
                    while turn().is_none() {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(shared.try_turn(|(n, other)| (*n, **other)), Some((4 * N, 4 * N)));
}
