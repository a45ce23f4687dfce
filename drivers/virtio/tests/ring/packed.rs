//! What the packed ring has in memory: wishes for interrupts, one publication for a burst, and what hostile
//! devices write.

use crate::common::{self, TERMS, read, written};
use crate::laws::every_case_is_caught;
use proptest::prelude::*;
use std::collections::HashSet;
use virtio::fake::{FakeDevice, FakeDma, FakeTransport, Hostile};
use virtio::{PackedQueue, Ring as _, RingFault, Used, feature};

fn ring(size: u16, features: u64) -> (PackedQueue, FakeDevice, FakeTransport, FakeDma) {
    common::ring(size, features)
}

/// A wish: the position and wrap counter, and the flags.
fn wish(dma: &FakeDma, area: u64) -> (u16, u16) {
    let word = |at| u16::from_le_bytes(dma.peek(area + at));
    (word(0), word(2))
}

/// Has the device ask for notifications so.
fn ask(dma: &FakeDma, area: u64, event: u16, flags: u16) {
    dma.poke(area, &event.to_le_bytes());
    dma.poke(area + 2, &flags.to_le_bytes());
}

#[test]
fn a_burst_shows_when_its_first_descriptor_does() {
    for features in TERMS {
        let (mut queue, device, _transport, dma) = ring(8, features);
        let (descriptors, ..) = queue.device_addresses();
        // §2.8.1: the bits AVAIL and USED, in the order of the ring.
        let available = |wrap| {
            let flags = |at: u64| u16::from_le_bytes(dma.peek(descriptors + 16 * at + 14));
            let expected = if wrap { 1 << 7 } else { 1 << 15 };
            (0..8).map(|at| flags(at) & (1 << 7 | 1 << 15) == expected).collect::<Vec<_>>()
        };
        for wrap in [true, false, true] {
            queue.add(&[read(0, 1), written(0, 1)]).unwrap();
            queue.add_one(written(0, 1)).unwrap();
            queue.add(&[written(0, 1); 3]).unwrap();
            assert_eq!((device.waiting(0), available(wrap)[0]), (0, false));
            assert!(available(wrap)[1..6].iter().all(|&is| is), "all but the first");
            assert!(queue.publish());
            assert_eq!(device.waiting(0), 3);
            queue.add(&[read(0, 1); 2]).unwrap();
            assert!(!available(wrap)[6], "the first of the next");
            let _ = queue.publish();
            for _ in 0..4 {
                let chain = device.pop(0).unwrap();
                device.push(0, &chain, 0);
                assert!(queue.pop().unwrap().is_some());
            }
            assert_eq!(queue.n_free(), 8);
        }
    }
}

#[test]
fn the_driver_asks_for_no_interrupt_but_one_when_armed() {
    for features in TERMS {
        let (mut queue, device, _transport, dma) = ring(4, features);
        let (_, driver, _) = queue.device_addresses();
        let has_event_idx = features & feature::EVENT_IDX != 0;
        for index in 0..1000_u16 {
            queue.add_one(written(0x1000, 8)).unwrap();
            let _ = queue.publish();
            assert_eq!(wish(&dma, driver).1, 1, "none (§2.8.10)");
            assert!(queue.arm(), "nothing is back");
            let wrap = u16::from((index / 4).is_multiple_of(2));
            let expected = if has_event_idx { (index % 4 + (wrap << 15), 2) } else { (0, 0) };
            assert_eq!(wish(&dma, driver), expected, "{index}");
            device.push(0, &device.pop(0).unwrap(), 0);
            assert!(!queue.arm(), "one is back, perhaps without an interrupt");
            assert!(queue.pop().unwrap().is_some());
            assert_eq!((queue.pop(), wish(&dma, driver).1), (Ok(None), 1));
        }
    }
}

#[test]
fn the_device_is_notified_as_it_wishes() {
    // Without the event index: 0 is always, 1 never; what cannot be is always.
    let (mut queue, _device, _transport, dma) = ring(8, 0);
    let (.., area) = queue.device_addresses();
    for (flags, expected) in [(0, true), (1, false), (2, true), (3, true), (0xfffd, false)] {
        ask(&dma, area, 0, flags);
        queue.add_one(read(0, 1)).unwrap();
        assert_eq!(queue.publish(), expected, "{flags}");
    }
    // With it: when the position is among those just published, in this round or over its end.
    let (mut queue, device, _transport, dma) = ring(8, feature::EVENT_IDX);
    let (.., area) = queue.device_addresses();
    let mut at = 0_u32;
    for round in 0..3000_u32 {
        let n = 1 + round % 5;
        let offset = round / 5 % 12;
        // So many further than the first that is published; over twice round it cannot say.
        let event = at + offset;
        let wrap = u16::from((event / 8).is_multiple_of(2));
        ask(&dma, area, (event % 8) as u16 + (wrap << 15), 2);
        for _ in 0..n {
            queue.add_one(written(0, 1)).unwrap();
        }
        let wants = queue.publish();
        // An event beyond what is published, a whole round or more, is one that has not come.
        assert_eq!(wants, offset < n, "round {round}: {n} from {at}, event {event}");
        at += n;
        for _ in 0..n {
            let chain = device.pop(0).unwrap();
            device.push(0, &chain, 0);
            assert!(queue.pop().unwrap().is_some());
        }
    }
}

#[test]
fn every_hostile_device_is_caught_and_the_queue_stays_dead() {
    let cases = [
        (Hostile::BadId, RingFault::BadId),
        (Hostile::BadLength, RingFault::BadLength),
        (Hostile::DoubleCompletion, RingFault::NotInFlight),
    ];
    every_case_is_caught::<PackedQueue>(&cases, &TERMS);
}

#[test]
fn a_device_that_confuses_its_place_returns_nothing() {
    for hostile in [Hostile::WrongWrap, Hostile::IndexJump(1), Hostile::IndexJump(4)] {
        for features in TERMS {
            let (mut queue, device, _transport, _) = ring(4, features);
            for _ in 0..4 {
                queue.add_one(written(0, 64)).unwrap();
            }
            let _ = queue.publish();
            let taken: Vec<_> = (0..4).map(|_| device.pop(0).unwrap()).collect();
            device.misbehave(0, hostile);
            let mut back = 0;
            for chain in &taken {
                device.push(0, chain, 64);
                back += u16::from(queue.pop().is_ok_and(|used| used.is_some()));
            }
            assert!(back <= 1, "{hostile:?} {features:#x}");
            assert!(queue.in_flight() >= 3 && queue.in_flight() == 4 - back);
        }
    }
}

#[test]
fn what_is_only_read_has_no_length() {
    // §2.8.6: reserved, and QEMU writes what it likes.
    let (mut queue, device, _transport, _) = ring(4, 0);
    let id = queue.add_one(read(0, 64)).unwrap();
    let _ = queue.publish();
    device.push(0, &device.pop(0).unwrap(), 64);
    assert_eq!(queue.pop(), Ok(Some(Used { id, written: 0 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Used descriptors that say anything at all: a fault or an entry, never a panic, and each chain at
    /// most once; then the ring is dead, or waits.
    #[test]
    fn anything_that_comes_back_is_survived(
        lies in prop::collection::vec((0..6_u16, 0..80_u32, any::<u16>(), 0..4_u8), 0..20),
        features in prop::sample::select(&TERMS[..]),
        offset in 0..6_u64,
    ) {
        let (mut queue, device, _transport, _) = ring(4, features);
        for _ in 0..offset {
            queue.add_one(written(0, 1)).unwrap();
            let _ = queue.publish();
            device.push(0, &device.pop(0).unwrap(), 1);
            prop_assert!(queue.pop().unwrap().is_some());
        }
        let mut flying = HashSet::new();
        for _ in 0..4 {
            flying.insert(queue.add_one(written(0, 64)).unwrap());
        }
        let _ = queue.publish();
        let _taken: Vec<_> = (0..4).map(|_| device.pop(0).unwrap()).collect();
        for (id, len, flags, how) in lies {
            let flags = match how {
                0 => 1 << 7 | 1 << 15,
                1 => 0,
                _ => flags,
            };
            device.forge(0, id, len, flags);
            for _ in 0..5 {
                match queue.pop() {
                    Ok(Some(used)) => {
                        prop_assert!(flying.remove(&used.id) && used.written <= 64);
                    }
                    Ok(None) => break,
                    Err(_) => prop_assert!(queue.fault().is_some()),
                }
            }
        }
        prop_assert!(queue.fault().is_some() || usize::from(queue.in_flight()) == flying.len());
    }
}
