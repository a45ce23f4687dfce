//! The ring against a simple model, against a device in another thread, and against hostile ones.

use proptest::prelude::*;
use std::collections::{HashMap, HashSet, VecDeque};
use virtio::fake::{Chain, FakeConfig, FakeDevice, FakeDma, FakeTransport, Hostile};
use virtio::{Buffer, Dma, RingFault, SplitQueue, Transport, Used, feature, init};

/// A ring of `size` that a device works on, with or without the event index.
fn ring(size: u16, features: u64) -> (SplitQueue, FakeDevice, FakeTransport, FakeDma) {
    let dma = FakeDma::new(0x7000_0000_0000);
    let config = FakeConfig { features: feature::VERSION_1 | features, ..FakeConfig::default() };
    let device = FakeDevice::new(config, dma.clone());
    let mut transport = device.transport();
    let accepted = init::negotiate(&mut transport, features, 0).unwrap();
    let queue = SplitQueue::new(size, accepted & feature::EVENT_IDX != 0, &dma).unwrap();
    let (descriptors, driver, used) = queue.device_addresses();
    transport.queue_set(0, size.into(), descriptors, driver, used);
    init::start(&mut transport);
    (queue, device, transport, dma)
}

fn written(device_address: u64, len: u32) -> Buffer {
    Buffer { device_address, len, is_device_written: true }
}

fn read(device_address: u64, len: u32) -> Buffer {
    Buffer { device_address, len, is_device_written: false }
}

#[derive(Clone, Debug)]
enum Step {
    /// Add a chain of so many buffers.
    Add(u16),
    Publish,
    /// The device takes up to so many chains.
    Take(u8),
    /// The device returns one of those it has taken.
    Return(prop::sample::Index),
    Pop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5_u16).prop_map(Step::Add),
        2 => Just(Step::Publish),
        2 => any::<u8>().prop_map(|n| Step::Take(n % 6)),
        4 => any::<prop::sample::Index>().prop_map(Step::Return),
        4 => Just(Step::Pop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is added arrives once, in order, unchanged; whatever the device returns comes back
    /// once, in its order, with its length; descriptors are neither lost nor doubled.
    #[test]
    fn equals_a_model(
        steps in prop::collection::vec(step(), 0..400),
        has_event_idx in any::<bool>(),
        log_size in 0..5_u32,
    ) {
        let size = 1_u16 << log_size;
        let features = if has_event_idx { feature::EVENT_IDX } else { 0 };
        let (mut queue, device, _transport, _) = ring(size, features);
        let mut serial = 0_u64;
        let mut added: VecDeque<(u16, Vec<Buffer>)> = VecDeque::new();
        let mut published: VecDeque<(u16, Vec<Buffer>)> = VecDeque::new();
        let mut taken: Vec<(Chain, u32)> = Vec::new();
        let mut returned: VecDeque<Used> = VecDeque::new();
        let mut chains: HashMap<u16, u16> = HashMap::new();

        for step in steps {
            match step {
                Step::Add(len) => {
                    // The first half is read by the device, the rest written.
                    let chain: Vec<Buffer> = (0..len).map(|at| {
                        serial += 1;
                        let buffer = if at < len / 2 { read } else { written };
                        buffer(serial << 12, 100 + u32::from(at))
                    }).collect();
                    let room = size - chains.values().sum::<u16>();
                    prop_assert_eq!(queue.n_free(), room);
                    let id = queue.add(&chain);
                    prop_assert_eq!(id.is_some(), len <= room);
                    if let Some(id) = id {
                        prop_assert!(chains.insert(id, len).is_none(), "id given twice");
                        added.push_back((id, chain));
                    }
                }
                Step::Publish => {
                    let wants_notify = queue.publish();
                    if added.is_empty() {
                        prop_assert!(!wants_notify);
                    } else if !has_event_idx {
                        prop_assert!(wants_notify);
                    }
                    published.append(&mut added);
                }
                Step::Take(n) => for _ in 0..n {
                    let chain = device.pop(0);
                    prop_assert_eq!(chain.is_some(), !published.is_empty());
                    let Some(chain) = chain else { break };
                    let (id, buffers) = published.pop_front().unwrap();
                    prop_assert_eq!(chain.head, id);
                    let seen: Vec<Buffer> = chain.readable.iter().map(|&(a, l)| read(a, l))
                        .chain(chain.writable.iter().map(|&(a, l)| written(a, l))).collect();
                    prop_assert_eq!(seen, buffers);
                    let room = u32::try_from(chain.room()).unwrap();
                    taken.push((chain, room));
                },
                Step::Return(which) => if !taken.is_empty() {
                    let (chain, room) = taken.swap_remove(which.index(taken.len()));
                    device.push(0, &chain, room);
                    returned.push_back(Used { id: chain.head, written: room });
                },
                Step::Pop => {
                    let popped = queue.pop();
                    prop_assert_eq!(popped, Ok(returned.pop_front()));
                    if let Ok(Some(used)) = popped {
                        chains.remove(&used.id);
                    }
                }
            }
            prop_assert_eq!(usize::from(queue.in_flight()), chains.len());
        }
    }
}

#[test]
fn one_notification_per_burst_and_none_while_the_device_is_busy() {
    let (mut queue, device, _transport, _) = ring(8, feature::EVENT_IDX);
    let mut add = |n: u64| {
        for at in 0..n {
            queue.add_one(read(0x1000 * at, 1)).unwrap();
        }
        queue.publish()
    };
    assert!(add(3), "the first burst wakes the device");
    assert!(!add(1), "it has not said that it sleeps again");
    for _ in 0..4 {
        assert!(device.pop(0).is_some());
    }
    assert!(add(2), "it has caught up, and asked for the next");
    assert!(!add(0), "nothing to tell");
}

#[test]
fn the_driver_never_asks_for_an_interrupt() {
    // §2.7.10: an interrupt is due when `used_event` lies within what the device has just added.
    let (mut queue, device, _transport, dma) = ring(4, feature::EVENT_IDX);
    let (_, driver_area, _) = queue.device_addresses();
    let event = || -> u16 {
        let region = driver_area + 4 + 2 * 4;
        u16::from_le_bytes(dma.peek(region))
    };
    let mut index = 0_u16;
    for round in 0..100_000_u32 {
        let burst = 1 + (round % 4) as u16;
        for _ in 0..burst {
            queue.add_one(written(0x1000, 8)).unwrap();
        }
        let _ = queue.publish();
        let old = index;
        for _ in 0..burst {
            let chain = device.pop(0).unwrap();
            device.push(0, &chain, 0);
            index = index.wrapping_add(1);
        }
        let is_due = index.wrapping_sub(event()).wrapping_sub(1) < index.wrapping_sub(old);
        assert!(!is_due, "round {round}");
        while queue.pop().unwrap().is_some() {}
    }
}

#[test]
fn without_event_index_the_flags_decide() {
    let (mut queue, _device, _transport, dma) = ring(4, 0);
    let (_, driver_area, used_area) = queue.device_addresses();
    assert_eq!(dma.peek(driver_area), [1, 0], "no interrupts, please");
    queue.add_one(read(0, 1)).unwrap();
    assert!(queue.publish());
    dma.poke(used_area, &[1, 0]);
    queue.add_one(read(0, 1)).unwrap();
    assert!(!queue.publish(), "the device asked not to be notified");
}

#[test]
fn an_armed_queue_asks_for_one_interrupt() {
    for features in [0, feature::EVENT_IDX] {
        let has_event_idx = features != 0;
        let (mut queue, device, _transport, dma) = ring(4, features);
        let (_, driver_area, _) = queue.device_addresses();
        let peek = |at: u64| u16::from_le_bytes(dma.peek(driver_area + at));
        // §2.7.7: by the flag, or when `used_event` lies within what was added (§2.7.10).
        let is_due = |old: u16, new: u16| match has_event_idx {
            false => peek(0) & 1 == 0,
            true => new.wrapping_sub(peek(4 + 2 * 4)).wrapping_sub(1) < new.wrapping_sub(old),
        };
        for index in (0..=u16::MAX).chain(0..100) {
            queue.add_one(written(0x1000, 8)).unwrap();
            let _ = queue.publish();
            assert!(!is_due(index, index.wrapping_add(1)), "not armed");
            assert!(queue.arm(), "nothing is back");
            assert!(is_due(index, index.wrapping_add(1)), "armed");
            let chain = device.pop(0).unwrap();
            device.push(0, &chain, 0);
            assert!(!queue.arm(), "one is back, perhaps without an interrupt");
            assert!(queue.pop().unwrap().is_some());
            assert_eq!(queue.pop(), Ok(None));
        }
        let chain = {
            queue.add_one(written(0x1000, 8)).unwrap();
            let _ = queue.publish();
            device.pop(0).unwrap()
        };
        device.misbehave(0, Hostile::BadId);
        device.push(0, &chain, 0);
        assert!(queue.pop().is_err());
        assert!(!queue.arm(), "a dead queue wakes nobody");
    }
}

#[test]
fn every_hostile_device_is_caught_and_the_queue_stays_dead() {
    let cases = [
        (Hostile::BadId, RingFault::BadId),
        (Hostile::BadLength, RingFault::BadLength),
        (Hostile::IndexJump(1), RingFault::NotInFlight),
        (Hostile::IndexJump(4), RingFault::BadIndex),
        (Hostile::IndexJump(0x8000), RingFault::BadIndex),
        (Hostile::IndexJump(u16::MAX - 1), RingFault::BadIndex),
        (Hostile::DoubleCompletion, RingFault::NotInFlight),
    ];
    for (hostile, fault) in cases {
        for features in [0, feature::EVENT_IDX] {
            let (mut queue, device, _transport, _) = ring(4, features);
            for at in 0..3 {
                queue.add_one(written(0x1000 * at, 64)).unwrap();
            }
            let _ = queue.publish();
            device.misbehave(0, hostile);
            let chain = device.pop(0).unwrap();
            device.push(0, &chain, 64);
            let found = (0..4).find_map(|_| queue.pop().err());
            assert_eq!(found, Some(fault), "{hostile:?}");
            assert_eq!((queue.pop(), queue.fault()), (Err(fault), Some(fault)));
            assert_eq!(queue.add_one(written(0, 1)), None);
        }
    }
}

#[test]
fn a_device_that_never_answers_costs_nothing_but_its_buffers() {
    let (mut queue, device, _transport, _) = ring(4, 0);
    for _ in 0..4 {
        queue.add_one(written(0, 64)).unwrap();
    }
    let _ = queue.publish();
    device.misbehave(0, Hostile::Never);
    device.push(0, &device.pop(0).unwrap(), 64);
    assert_eq!((queue.pop(), queue.n_free(), queue.in_flight()), (Ok(None), 0, 4));
    device.push(0, &device.pop(0).unwrap(), 64);
    assert!(queue.pop().unwrap().is_some());
    assert_eq!(queue.n_free(), 1);
}

/// Used entries that say anything at all: a fault or an entry, never a panic, and each chain at
/// most once.
#[test]
fn any_used_ring_contents_are_survived() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(500));
    let entries = prop::collection::vec((0..6_u32, 0..80_u32), 4);
    runner
        .run(&(entries, any::<u16>(), 0..8_u16), |(entries, wild, small)| {
            let (mut queue, _device, _transport, dma) = ring(4, 0);
            let mut flying = HashSet::new();
            for _ in 0..4 {
                flying.insert(queue.add_one(written(0, 64)).unwrap());
            }
            let _ = queue.publish();
            let (_, _, used) = queue.device_addresses();
            for (at, (id, len)) in (0..).zip(entries) {
                dma.poke(used + 4 + 8 * at, &id.to_le_bytes());
                dma.poke(used + 8 + 8 * at, &len.to_le_bytes());
            }
            let index = if small < 6 { small } else { wild };
            dma.poke(used + 2, &index.to_le_bytes());
            for _ in 0..10 {
                match queue.pop() {
                    Ok(Some(used)) => {
                        prop_assert!(flying.remove(&used.id) && used.written <= 64);
                    }
                    Ok(None) => prop_assert!(index <= 4),
                    Err(_) => prop_assert!(queue.fault().is_some()),
                }
            }
            Ok(())
        })
        .unwrap();
}

/// The device in a thread of its own, copying what it reads into what it may write. If an index
/// ran ahead of what it covers on either side, the bytes or the addresses would be wrong.
#[test]
fn orderings_hold_against_a_device_in_another_thread() {
    let (mut queue, device, _transport, dma) = ring(16, feature::EVENT_IDX);
    let cells = dma.alloc(16 * 16, 64).unwrap();
    let total = 30_000_u32;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut done = 0;
            while done < total {
                let Some(chain) = device.pop(0) else {
                    std::thread::yield_now();
                    continue;
                };
                let bytes = device.read(&chain);
                let n = device.write(&chain, &bytes);
                device.push(0, &chain, u32::try_from(n).unwrap());
                done += 1;
            }
        });
        let mut expected: HashMap<u16, (usize, u32)> = HashMap::new();
        let mut free: Vec<usize> = (0..8).collect();
        let (mut sent, mut received) = (0, 0);
        while received < total {
            while sent < total {
                let Some(cell) = free.pop() else { break };
                let base = cells.device_address() + 32 * cell as u64;
                cells.write(32 * cell, &sent.to_le_bytes());
                cells.write(32 * cell + 16, &[0xff; 4]);
                let id = queue.add(&[read(base, 4), written(base + 16, 4)]).unwrap();
                expected.insert(id, (cell, sent));
                sent += 1;
            }
            let _ = queue.publish();
            while let Some(used) = queue.pop().unwrap() {
                let (cell, number) = expected.remove(&used.id).unwrap();
                assert_eq!(used.written, 4);
                let echo: Vec<u8> = (0..4).map(|at| cells.read(32 * cell + 16 + at)).collect();
                assert_eq!(echo, number.to_le_bytes());
                free.push(cell);
                received += 1;
            }
            std::thread::yield_now();
        }
    });
    assert_eq!((queue.n_free(), queue.in_flight()), (16, 0));
}

#[test]
fn memory_is_used_again_after_a_reset() {
    let (mut queue, device, mut transport, _) = ring(8, 0);
    for _ in 0..8 {
        queue.add_one(written(0, 64)).unwrap();
    }
    let _ = queue.publish();
    init::reset(&mut transport).unwrap();
    let region = queue.into_region();
    let mut queue = SplitQueue::in_region(8, false, region).unwrap();
    let (descriptors, driver, used) = queue.device_addresses();
    transport.queue_set(0, 8, descriptors, driver, used);
    assert!(device.pop(0).is_none(), "nothing of the old ring is left");
    queue.add_one(written(0, 64)).unwrap();
    let _ = queue.publish();
    device.push(0, &device.pop(0).unwrap(), 1);
    assert_eq!(queue.pop().map(|used| used.map(|used| used.written)), Ok(Some(1)));
    let region = queue.into_region();
    assert!(SplitQueue::in_region(16, false, region).is_none(), "too small for another size");
}

#[test]
fn sizes() {
    let cases = [
        (0, 1024, None),
        (1, 1024, Some(1)),
        (256, 1024, Some(256)),
        (1000, 1024, Some(512)),
        (32768, 1024, Some(1024)),
        (u32::MAX, u16::MAX, Some(32768)),
        (256, 100, Some(64)),
    ];
    for (device_max, wanted, size) in cases {
        assert_eq!(SplitQueue::choose_size(device_max, wanted), size, "{device_max} {wanted}");
    }
    let dma = FakeDma::default();
    assert!(SplitQueue::new(12, false, &dma).is_none());
    assert!(SplitQueue::new(0, false, &dma).is_none());
}

#[test]
fn chains_that_cannot_be_are_refused() {
    let (mut queue, _device, _transport, _) = ring(4, 0);
    assert_eq!(queue.add(&[]), None);
    assert_eq!(queue.add(&[written(0, 1); 5]), None);
    assert!(queue.add(&[written(0, 1); 4]).is_some());
    assert_eq!(queue.add_one(written(0, 1)), None);
}
