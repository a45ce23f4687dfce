//! What holds for both rings: against a simple model, against a device in another thread, and when
//! memory runs out or is used again.

use crate::common::{Kind, TERMS, read, ring, terms, written};
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};
use virtio::fake::{Chain, FakeDma, Hostile};
use virtio::{
    Buffer, Dma as _, PackedQueue, Ring, RingFault, RingTerms, SplitQueue, Transport as _, Used,
    choose_size, feature, init,
};

#[derive(Clone, Debug)]
enum Step {
    /// Add a chain of so many buffers.
    Add(u16),
    /// Add up to so many chains of one buffer, as a burst.
    AddOnes(u16),
    Publish,
    /// The device takes up to so many chains.
    Take(u8),
    /// The device returns one of those it has taken; in order, the oldest.
    Return(prop::sample::Index),
    /// In order: the device returns so many at once.
    ReturnBatch(u8),
    /// Take up to so many that came back.
    Pop(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..5_u16).prop_map(Step::Add),
        2 => (0..6_u16).prop_map(Step::AddOnes),
        2 => Just(Step::Publish),
        2 => any::<u8>().prop_map(|n| Step::Take(n % 6)),
        4 => any::<prop::sample::Index>().prop_map(Step::Return),
        1 => (1..5_u8).prop_map(Step::ReturnBatch),
        5 => (0..6_u16).prop_map(Step::Pop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn split_equals_a_model(
        steps in prop::collection::vec(step(), 0..400),
        features in prop::sample::select(&TERMS[..]),
        log_size in 0..5_u32,
    ) {
        equals_a_model::<SplitQueue>(steps, features, 1 << log_size)?;
    }

    #[test]
    fn packed_equals_a_model(
        steps in prop::collection::vec(step(), 0..400),
        features in prop::sample::select(&TERMS[..]),
        log_size in 0..5_u32,
    ) {
        equals_a_model::<PackedQueue>(steps, features, 1 << log_size)?;
    }
}

/// Whatever is added arrives once, in order, unchanged; whatever the device returns comes back once, in
/// its order, with its length; descriptors are neither lost nor doubled.
fn equals_a_model<R: Kind>(
    steps: Vec<Step>,
    features: u64,
    size: u16,
) -> Result<(), TestCaseError> {
    let RingTerms { has_event_idx, is_in_order } = terms(features);
    let (mut queue, device, _transport, _) = ring::<R>(size, features);
    let mut serial = 0_u64;
    let mut added: VecDeque<(u16, Vec<Buffer>)> = VecDeque::new();
    let mut published: VecDeque<(u16, Vec<Buffer>)> = VecDeque::new();
    let mut taken: Vec<Chain> = Vec::new();
    let mut returned: VecDeque<Used> = VecDeque::new();
    let mut chains: HashMap<u16, u16> = HashMap::new();
    let room_of = |chain: &Chain| u32::try_from(chain.room()).unwrap();
    let used = |chain: &Chain| Used { id: chain.head, written: room_of(chain) };

    for step in steps {
        match step {
            Step::Add(len) => {
                // The first half is read by the device, the rest written.
                let buffer = |at| {
                    serial += 1;
                    let buffer = if at < len / 2 { read } else { written };
                    buffer(serial << 12, 100 + u32::from(at))
                };
                let chain: Vec<Buffer> = (0..len).map(buffer).collect();
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
                prop_assert_eq!(usize::from(device.waiting(0)), published.len());
            }
            Step::Take(n) => {
                for _ in 0..n {
                    let chain = device.pop(0);
                    prop_assert_eq!(chain.is_some(), !published.is_empty());
                    let Some(chain) = chain else { break };
                    let (id, buffers) = published.pop_front().unwrap();
                    prop_assert_eq!(chain.head, id);
                    let to_read = chain.readable.iter().map(|&(a, l)| read(a, l));
                    let to_write = chain.writable.iter().map(|&(a, l)| written(a, l));
                    prop_assert_eq!(to_read.chain(to_write).collect::<Vec<_>>(), buffers);
                    taken.push(chain);
                }
            }
            Step::Return(which) => {
                if !taken.is_empty() {
                    let at = if is_in_order { 0 } else { which.index(taken.len()) };
                    let chain = taken.remove(at);
                    device.push(0, &chain, room_of(&chain));
                    returned.push_back(used(&chain));
                }
            }
            Step::ReturnBatch(n) => {
                if is_in_order && !taken.is_empty() {
                    let n = usize::from(n).min(taken.len());
                    let batch: Vec<Chain> = taken.drain(..n).collect();
                    device.push_batch(0, &batch, room_of(&batch[n - 1]));
                    returned.extend(batch.iter().map(used));
                }
            }
            Step::AddOnes(n) => {
                let room = size - chains.values().sum::<u16>();
                let mut given = Vec::new();
                let n_added = queue.add_each(|id| {
                    if given.len() == usize::from(n) {
                        return None;
                    }
                    serial += 1;
                    let buffer = if serial.is_multiple_of(2) { read } else { written };
                    given.push((id, vec![buffer(serial << 12, 100)]));
                    given.last().map(|(_, buffers)| buffers[0])
                });
                prop_assert_eq!((n_added, given.len()), (n.min(room), n.min(room).into()));
                for (id, _) in &given {
                    prop_assert!(chains.insert(*id, 1).is_none(), "id given twice");
                }
                added.extend(given);
            }
            Step::Pop(most) => {
                let mut popped = Vec::new();
                prop_assert_eq!(queue.pop_each(most, |used| popped.push(used)), Ok(()));
                let n = returned.len().min(most.into());
                prop_assert_eq!(&popped, &returned.drain(..n).collect::<Vec<_>>());
                for used in popped {
                    chains.remove(&used.id);
                }
            }
        }
        prop_assert_eq!(usize::from(queue.in_flight()), chains.len());
    }
    Ok(())
}

#[test]
fn one_notification_per_burst_and_none_while_the_device_is_busy() {
    one_notification::<SplitQueue>();
    one_notification::<PackedQueue>();
}

fn one_notification<R: Kind>() {
    let (mut queue, device, _transport, _) = ring::<R>(8, feature::EVENT_IDX);
    // Until it has said otherwise, a packed device wants to hear of everything.
    queue.add_one(read(0, 1)).unwrap();
    assert!(queue.publish());
    device.push(0, &device.pop(0).unwrap(), 0);
    assert!(queue.pop().unwrap().is_some());
    // Often enough to come round the ring, and round the index.
    for round in 0..20_000 {
        let mut add = |n: u64| {
            for at in 0..n {
                queue.add_one(read(0x1000 * at, 1)).unwrap();
            }
            queue.publish()
        };
        assert!(add(3), "the first burst wakes the device: {round}");
        assert!(!add(1), "it has not said that it sleeps again: {round}");
        let taken: Vec<_> = (0..4).map(|_| device.pop(0).unwrap()).collect();
        assert!(add(2), "it has caught up, and asked for the next");
        assert!(!add(0), "nothing to tell");
        taken.iter().for_each(|chain| device.push(0, chain, 0));
        (0..2).for_each(|_| device.push(0, &device.pop(0).unwrap(), 0));
        (0..6).for_each(|_| assert!(queue.pop().unwrap().is_some()));
    }
}

#[test]
fn a_device_that_never_answers_costs_nothing_but_its_buffers() {
    never_answers::<SplitQueue>();
    never_answers::<PackedQueue>();
}

fn never_answers<R: Kind>() {
    let (mut queue, device, _transport, _) = ring::<R>(4, 0);
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

/// The device in a thread of its own, copying what it reads into what it may write. If something ran
/// ahead of what it covers on either side, the bytes or the addresses would be wrong.
#[test]
fn orderings_hold_against_a_device_in_another_thread() {
    for features in [feature::EVENT_IDX, feature::IN_ORDER] {
        orderings::<SplitQueue>(features);
        orderings::<PackedQueue>(features);
    }
}

fn orderings<R: Kind>(features: u64) {
    let (mut queue, device, _transport, dma) = ring::<R>(16, features);
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
    used_again::<SplitQueue>();
    used_again::<PackedQueue>();
}

fn used_again<R: Kind>() {
    let (mut queue, device, mut transport, _) = ring::<R>(8, 0);
    for _ in 0..8 {
        queue.add_one(written(0, 64)).unwrap();
    }
    let _ = queue.publish();
    init::reset(&mut transport).unwrap();
    let region = queue.into_region();
    init::negotiate(&mut transport, R::FEATURE, R::FEATURE).unwrap();
    let mut queue = R::in_region(8, RingTerms::default(), region).unwrap();
    let (descriptors, driver, used) = queue.device_addresses();
    transport.queue_set(0, 8, descriptors, driver, used);
    assert!(device.pop(0).is_none(), "nothing of the old ring is left");
    queue.add_one(written(0, 64)).unwrap();
    let _ = queue.publish();
    device.push(0, &device.pop(0).unwrap(), 1);
    assert_eq!(queue.pop().map(|used| used.map(|used| used.written)), Ok(Some(1)));
    let region = queue.into_region();
    assert!(R::in_region(16, RingTerms::default(), region).is_none(), "too small for another size");
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
        assert_eq!(choose_size(device_max, wanted), size, "{device_max} {wanted}");
    }
    let dma = FakeDma::default();
    for size in [0, 12, u16::MAX] {
        assert!(SplitQueue::new(size, RingTerms::default(), &dma).is_none());
        assert!(PackedQueue::new(size, RingTerms::default(), &dma).is_none());
    }
    // The position of the last descriptor still has a bit for the wrap counter beside it.
    assert!(PackedQueue::new(32768, RingTerms::default(), &dma).is_some());
}

#[test]
fn chains_that_cannot_be_are_refused() {
    refused::<SplitQueue>();
    refused::<PackedQueue>();
}

fn refused<R: Kind>() {
    let (mut queue, _device, _transport, _) = ring::<R>(4, 0);
    assert_eq!(queue.add(&[]), None);
    assert_eq!(queue.add(&[written(0, 1); 5]), None);
    assert!(queue.add(&[written(0, 1); 4]).is_some());
    assert_eq!(queue.add_one(written(0, 1)), None);
}

/// Faults that both rings find, with whatever was negotiated; a dead queue stays dead.
pub(crate) fn every_case_is_caught<R: Kind>(cases: &[(Hostile, RingFault)], all_features: &[u64]) {
    for &(hostile, fault) in cases {
        for &features in all_features {
            let (mut queue, device, _transport, _) = ring::<R>(4, features);
            for at in 0..3 {
                queue.add_one(written(0x1000 * at, 64)).unwrap();
            }
            let _ = queue.publish();
            device.misbehave(0, hostile);
            let chain = device.pop(0).unwrap();
            device.push(0, &chain, 64);
            let found = (0..4).find_map(|_| queue.pop().err());
            assert_eq!(found, Some(fault), "{hostile:?} {features:#x}");
            assert_eq!((queue.pop(), queue.fault()), (Err(fault), Some(fault)));
            assert_eq!(queue.add_one(written(0, 1)), None);
            assert!(!queue.arm(), "a dead queue wakes nobody");
        }
    }
}
