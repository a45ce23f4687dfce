//! What the split ring has in memory: wishes for interrupts, and what hostile devices write.

use crate::common::{self, TERMS, read, written};
use crate::laws::every_case_is_caught;
use proptest::prelude::*;
use std::collections::HashSet;
use virtio::fake::{FakeDevice, FakeDma, FakeTransport, Hostile};
use virtio::{Ring as _, RingFault, SplitQueue, Used, feature};

fn ring(size: u16, features: u64) -> (SplitQueue, FakeDevice, FakeTransport, FakeDma) {
    common::ring(size, features)
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
        (Hostile::IndexJump(4), RingFault::BadIndex),
        (Hostile::IndexJump(0x8000), RingFault::BadIndex),
        (Hostile::IndexJump(u16::MAX - 1), RingFault::BadIndex),
        (Hostile::DoubleCompletion, RingFault::NotInFlight),
    ];
    every_case_is_caught::<SplitQueue>(&cases, &TERMS);
    let jump = [(Hostile::IndexJump(1), RingFault::NotInFlight)];
    every_case_is_caught::<SplitQueue>(&jump, &TERMS[..2]);
}

#[test]
fn a_batch_that_does_not_fit_its_index_is_a_fault() {
    // It names the third chain, and moves its index on by two.
    let (mut queue, device, _transport, _) = ring(4, feature::IN_ORDER);
    for at in 0..4 {
        queue.add_one(written(0x1000 * at, 64)).unwrap();
    }
    let _ = queue.publish();
    let chains: Vec<_> = (0..3).map(|_| device.pop(0).unwrap()).collect();
    device.push_batch(0, &chains[1..], 5);
    assert_eq!(queue.pop(), Ok(Some(Used { id: 0, written: 64 })));
    assert_eq!(queue.pop(), Ok(Some(Used { id: 1, written: 64 })));
    assert_eq!(queue.pop(), Err(RingFault::BadIndex));
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
