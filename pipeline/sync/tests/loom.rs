//! The orderings of `spsc`, `qsbr`, `snapshot`, `big_reader` and `turnstile`, and the steps of `bucket`, in every
//! interleaving that the memory model allows.
//!
//! The files are compiled here once more, on `loom`'s atomics and cells in the place of `core`'s, so that plain
//! `cargo test` runs the models. Only the bucket's, which has a constant that `loom` cannot have, wants
//! `RUSTFLAGS="--cfg loom" cargo test -p sync --test loom --release`.

#![expect(
    dead_code,
    unreachable_pub,
    reason = "the files are the library's, of which a part is asked here"
)]

extern crate alloc;

#[path = "../src/big_reader.rs"]
mod big_reader;
#[path = "../src/pad.rs"]
mod pad;
#[path = "../src/qsbr.rs"]
mod qsbr;
#[path = "../src/snapshot.rs"]
mod snapshot;
#[path = "../src/spsc.rs"]
mod spsc;
#[path = "../src/turnstile.rs"]
mod turnstile;

/// What the library has in its place is `core`'s.
mod primitive {
    pub(crate) use loom::{
        cell::UnsafeCell,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence},
        },
        thread::yield_now as spin,
    };
}

use big_reader::Writer;
use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use qsbr::Domain;
use turnstile::Turnstile;

fn check(body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(2);
    model.check(body);
}

#[test]
fn spsc_hands_values_over_in_order() {
    check(|| {
        let (mut producer, mut consumer) = spsc::channel::<Box<usize>>(2);
        let pusher = thread::spawn(move || {
            for n in 0..3 {
                let mut value = Box::new(n);
                while let Err(back) = producer.push(value) {
                    value = back;
                    thread::yield_now();
                }
            }
        });
        for n in 0..3 {
            let value = loop {
                match consumer.pop() {
                    Some(value) => break value,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(*value, n);
        }
        pusher.join().unwrap();
        assert!(consumer.pop().is_none());
    });
}

#[test]
fn spsc_drops_what_is_left() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    check(|| {
        let n_dropped = Arc::new(AtomicUsize::new(0));
        let (mut producer, mut consumer) = spsc::channel(4);
        let counted = n_dropped.clone();
        let pusher = thread::spawn(move || {
            for _ in 0..2 {
                assert!(producer.push(Counted(counted.clone())).is_ok());
            }
        });
        drop(consumer.pop());
        drop(consumer);
        pusher.join().unwrap();
        assert_eq!(n_dropped.load(Ordering::Relaxed), 2);
    });
}

/// A value that knows whether it was dropped, and says so to whoever looks at it.
struct Marked(loom::cell::UnsafeCell<usize>);

// SAFETY: only for the model: `loom` reports any access that races.
unsafe impl Sync for Marked {}
// SAFETY: as above.
unsafe impl Send for Marked {}

impl Marked {
    fn new(n: usize) -> Self {
        Self(loom::cell::UnsafeCell::new(n))
    }

    fn look(&self) -> usize {
        // SAFETY: a plain read; `loom` checks that nobody writes meanwhile.
        self.0.with(|n| unsafe { *n })
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        // SAFETY: a plain write: freeing as `loom` can see it. It fails the model if a reader may
        // still look.
        self.0.with_mut(|n| unsafe { *n = usize::MAX });
    }
}

#[test]
fn snapshot_is_not_freed_under_a_reader() {
    check(|| {
        let domain = Domain::new(1);
        let (mut publisher, published) = snapshot::publish(&domain, Marked::new(1));
        let mut reader = domain.register().unwrap();
        let reading = thread::spawn(move || {
            let first = published.read(&reader).look();
            reader.quiesce();
            let second = published.read(&reader).look();
            assert!((1..=2).contains(&first) && (1..=2).contains(&second));
            assert!(first <= second, "time does not go back");
            reader.quiesce();
        });
        publisher.publish(Marked::new(2));
        publisher.reclaim();
        reading.join().unwrap();
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(publisher.current().look(), 2);
    });
}

#[test]
fn an_offline_reader_holds_nothing_and_comes_back_safely() {
    check(|| {
        let domain = Domain::new(1);
        let (mut publisher, published) = snapshot::publish(&domain, Marked::new(1));
        let mut reader = domain.register().unwrap();
        let reading = thread::spawn(move || {
            reader.offline(thread::yield_now);
            let n = published.read(&reader).look();
            assert!((1..=2).contains(&n));
        });
        publisher.publish(Marked::new(2));
        publisher.reclaim();
        reading.join().unwrap();
        assert_eq!(publisher.reclaim(), 0);
    });
}

/// Two words that change together, as `loom` can see it.
struct Pair(loom::cell::UnsafeCell<usize>, loom::cell::UnsafeCell<usize>);

// SAFETY: only for the model: `loom` reports any access that races.
unsafe impl Sync for Pair {}
// SAFETY: as above.
unsafe impl Send for Pair {}

impl Pair {
    fn set(&mut self, n: usize) {
        // SAFETY: a plain write; `loom` checks that nobody looks meanwhile.
        self.0.with_mut(|word| unsafe { *word = n });
        // SAFETY: as above.
        self.1.with_mut(|word| unsafe { *word = n });
    }

    fn look(&self) -> usize {
        // SAFETY: a plain read; `loom` checks that nobody writes meanwhile.
        let first = self.0.with(|word| unsafe { *word });
        // SAFETY: as above.
        let second = self.1.with(|word| unsafe { *word });
        assert_eq!(first, second, "half of a change");
        first
    }
}

#[test]
fn a_big_reader_meets_no_change() {
    check(|| {
        let cell = loom::cell::UnsafeCell::new;
        let mut writer = Writer::new(Pair(cell(0), cell(0)));
        let readers = [writer.reader(), writer.reader()];
        let reading = readers.map(|mut reader| {
            thread::spawn(move || {
                let mut last = 0;
                for _ in 0..2 {
                    if let Some(pair) = reader.try_read() {
                        let seen = pair.look();
                        assert!(seen >= last, "time does not go back");
                        last = seen;
                    }
                }
            })
        });
        for n in 1..=2 {
            writer.write().set(n);
            assert_eq!(writer.look(), n);
        }
        for thread in reading {
            thread.join().unwrap();
        }
    });
}

#[test]
fn what_a_big_reader_passed_on_is_there_when_the_writer_writes() {
    check(|| {
        let cell = loom::cell::UnsafeCell::new;
        let mut writer = Writer::new(Pair(cell(0), cell(0)));
        let mut reader = writer.reader();
        let (mut producer, mut consumer) = spsc::channel::<usize>(2);
        let reading = thread::spawn(move || {
            if let Some(pair) = reader.try_read() {
                assert!(producer.push(pair.look()).is_ok());
            }
        });
        writer.write().set(1);
        // Whatever was concluded from the old value is in the ring by now.
        let passed_on = consumer.pop();
        reading.join().unwrap();
        if passed_on.is_none() {
            assert!(consumer.pop().is_none_or(|seen| seen == 1));
        }
    });
}

#[cfg(loom)]
#[test]
fn a_bucket_pays_every_interval_in_once_and_every_token_out_once() {
    check(|| {
        let bucket = Arc::new(sync::bucket::TokenBucket::new(2, 0));
        let cores: Vec<_> = (0..2)
            .map(|_| {
                let bucket = bucket.clone();
                thread::spawn(move || {
                    // One token for each unit of time, five at the most.
                    bucket.fill(1, 5, 3);
                    u64::from(bucket.take(2)) * 2 + bucket.take_each(1, 1)
                })
            })
            .collect();
        let taken: u64 = cores.into_iter().map(|core| core.join().unwrap()).sum();
        assert_eq!(taken + bucket.tokens(), 5, "two at first, and three that were filled in");
    });
}

#[test]
fn turns_do_not_overlap_and_see_what_those_before_wrote() {
    check(|| {
        // The cell reports accesses that overlap or that nothing orders.
        let shared = Arc::new(Turnstile::new(loom::cell::UnsafeCell::new(Box::new(0_usize))));
        let turn = |shared: &Turnstile<loom::cell::UnsafeCell<Box<usize>>>| {
            let done = shared.try_turn(|cell| {
                cell.with_mut(|value| {
                    // SAFETY: only for the model: `loom` reports any access that races.
                    **unsafe { &mut *value } += 1;
                });
            });
            usize::from(done.is_some())
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || turn(&shared))
            })
            .collect();
        let mut n_turns = turn(&shared);
        for other in others {
            n_turns += other.join().unwrap();
        }
        assert!((1..=3).contains(&n_turns), "one of those who come finds it free");
        // All are through: the next one finds it free, and every turn before it done.
        let sum = shared.try_turn(|cell| {
            // SAFETY: as above.
            cell.with(|value| **unsafe { &*value })
        });
        assert_eq!(sum, Some(n_turns));
    });
}
