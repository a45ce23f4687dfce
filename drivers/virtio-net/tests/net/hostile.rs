//! Devices that break the protocol: caught, counted, and the port comes back after a reset.

use super::ALL;
use crate::common::{Bench, ROOM};
use netdev::{FaultKind, Netdev, OpenError, QueueFault};
use proptest::prelude::*;
use std::collections::VecDeque;
use virtio::fake::Hostile;
use virtio_net::feature;

const IS_PACKED: bool = ALL & feature::RING_PACKED != 0;

/// What a device does, what comes of it, and whether a packed ring shows it: there is no index, and what
/// the device only reads has no length.
const CASES: [(Hostile, FaultKind, bool); 5] = [
    (Hostile::BadId, FaultKind::BadId, true),
    (Hostile::DoubleCompletion, FaultKind::NotInFlight, true),
    (Hostile::BadLength, FaultKind::BadLength, true),
    (Hostile::IndexJump(1), FaultKind::NotInFlight, false),
    (Hostile::IndexJump(1000), FaultKind::BadIndex, false),
];

fn cases() -> impl Iterator<Item = (Hostile, FaultKind)> {
    let shown = CASES.iter().filter(|(.., in_packed)| *in_packed || !IS_PACKED);
    shown.map(|&(hostile, kind, _)| (hostile, kind))
}

#[test]
fn a_receive_queue_faults_and_a_reset_brings_it_back() {
    for (hostile, kind) in cases() {
        let mut bench = Bench::new(ALL, 1500, 1);
        let (mut net, mut pair) = bench.open();
        bench.deliver(0, &[1; 60]);
        assert_eq!(bench.receive(&mut pair), Ok(vec![vec![1; 60]]));
        bench.device.misbehave(0, hostile);
        bench.deliver(0, &[2; 60]);
        // A frame that came whole before the fault is good, and comes first.
        let fault = (0..3).find_map(|_| bench.receive(&mut pair).err()).unwrap();
        assert_eq!(fault, QueueFault { kind, queue: 0 }, "{hostile:?}");
        assert_eq!(bench.receive(&mut pair), Err(fault), "the queue stays dead");
        assert_eq!(pair.rx.stats().faults, 1);

        net.reset(vec![pair]).unwrap();
        assert_eq!(bench.away(), (0, 0), "all buffers are home: {hostile:?}");
        let mut pair = net.open(1, &bench.pool).unwrap().remove(0);
        bench.deliver(0, &[3; 60]);
        assert_eq!(bench.receive(&mut pair), Ok(vec![vec![3; 60]]));
    }
}

#[test]
fn a_transmit_queue_faults_and_a_reset_brings_it_back() {
    for (hostile, kind) in cases().filter(|(how, _)| !IS_PACKED || *how != Hostile::BadLength) {
        let mut bench = Bench::new(ALL, 1500, 1);
        let (mut net, mut pair) = bench.open();
        let mut batch = bench.batch(&[vec![1; 60], vec![2; 60]]);
        pair.tx.transmit(&mut batch, &mut bench.cache).unwrap();
        bench.device.misbehave(1, hostile);
        let _ = bench.device.consume(1);
        let fault = pair.tx.reclaim(&mut bench.cache).unwrap_err();
        assert_eq!(fault, QueueFault { kind, queue: 1 }, "{hostile:?}");
        let mut batch = bench.batch(&[vec![3; 60]]);
        assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Err(fault));
        assert_eq!(batch.len(), 1, "a dead queue takes nothing");
        drop(batch);

        net.reset(vec![pair]).unwrap();
        assert_eq!(bench.away(), (0, 0), "{hostile:?}");
        let mut pair = net.open(1, &bench.pool).unwrap().remove(0);
        let mut batch = bench.batch(&[vec![4; 60]]);
        assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(1));
        assert_eq!(bench.device.consume(1).unwrap()[12..], [4; 60]);
    }
}

#[test]
fn frames_over_impossibly_many_buffers() {
    for (n_buffers, is_fault) in [(0, true), (65, true), (u16::MAX, true), (64, false)] {
        let mut bench = Bench::new(ALL, 1500, 1);
        let (_net, mut pair) = bench.open();
        let chain = bench.device.pop(0).unwrap();
        let mut bytes = vec![0; 72];
        bytes[10..12].copy_from_slice(&u16::to_le_bytes(n_buffers));
        bench.device.write(&chain, &bytes);
        bench.device.push(0, &chain, 72);
        let expected = if is_fault {
            Err(QueueFault { kind: FaultKind::BadChain, queue: 0 })
        } else {
            Ok(vec![])
        };
        assert_eq!(bench.receive(&mut pair), expected, "{n_buffers}");
    }
}

#[test]
fn an_endless_frame_takes_one_buffer_at_most() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (mut net, mut pair) = bench.open();
    // 64 full buffers claim to be one frame: over the limit after the fifth.
    let mut first = vec![0; ROOM];
    first[10] = 64;
    for at in 0..64 {
        let chain = bench.device.pop(0).unwrap();
        let bytes = if at == 0 { first.clone() } else { vec![1; ROOM] };
        bench.device.write(&chain, &bytes);
        bench.device.push(0, &chain, ROOM as u32);
        assert_eq!(bench.receive(&mut pair), Ok(vec![]));
        assert!(bench.away().1 <= 1);
    }
    assert_eq!((pair.rx.stats().truncated, bench.away()), (1, (64, 0)));
    bench.deliver(0, &[1; 60]);
    assert_eq!(bench.receive(&mut pair).unwrap().len(), 1);
    net.reset(vec![pair]).unwrap();
    assert_eq!(bench.away(), (0, 0));
}

#[test]
fn half_a_frame_and_a_dead_ring_leave_nothing_behind_a_stop() {
    for is_dead in [false, true] {
        let mut bench = Bench::new(ALL, 1500, 1);
        let (mut net, mut pair) = bench.open();
        if is_dead {
            bench.device.misbehave(0, Hostile::BadId);
            bench.deliver(0, &[1; 60]);
            assert!(bench.receive(&mut pair).is_err());
        } else {
            let chain = bench.device.pop(0).unwrap();
            let mut first = vec![1; ROOM];
            first[10..12].copy_from_slice(&[2, 0]);
            bench.device.write(&chain, &first);
            bench.device.push(0, &chain, ROOM as u32);
        }
        net.stop().unwrap();
        let mut left = VecDeque::new();
        pair.rx.drain(&mut left, &mut bench.cache);
        assert!(left.is_empty());
        assert_eq!(pair.rx.stats().malformed, u64::from(!is_dead));
        net.reset(vec![pair]).unwrap();
        assert_eq!(bench.away(), (0, 0));
    }
}

#[test]
fn a_device_that_does_not_stop_keeps_its_buffers_for_good() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (mut net, pair) = bench.open();
    bench.device.configure(|c| c.is_stuck = true);
    assert_eq!(net.reset(vec![pair]), Err(OpenError::NotStopping));
    assert_eq!(bench.away(), (64, 0), "the device may still write to these");
    assert_eq!(net.open(1, &bench.pool).err(), Some(OpenError::NotStopping));
    // Should it come to its senses, it gets other buffers and another ring.
    bench.device.configure(|c| c.is_stuck = false);
    let mut pair = net.open(1, &bench.pool).unwrap().remove(0);
    assert_eq!(bench.away(), (128, 0));
    bench.deliver(0, &[1; 60]);
    assert_eq!(bench.receive(&mut pair).unwrap().len(), 1);
}

#[test]
fn queues_dropped_while_the_device_runs_leave_it_their_memory() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (mut net, pair) = bench.open();
    drop(pair);
    assert_eq!(bench.away(), (64, 0));
    // The device still writes, into memory that nobody else uses.
    bench.deliver(0, &[1; 60]);
    net.reset(vec![]).unwrap();
    assert!(net.open(1, &bench.pool).is_ok());
}

#[test]
fn queues_that_do_not_come_back_block_the_next_open() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (mut net, pair) = bench.open();
    assert_eq!(net.open(1, &bench.pool).err(), Some(OpenError::AlreadyOpen));
    assert_eq!(net.reset(vec![]), Err(OpenError::WrongQueues));
    assert_eq!(net.open(1, &bench.pool).err(), Some(OpenError::WrongQueues));
    drop(pair);
    assert_eq!(bench.away(), (0, 0), "the device was stopped before the queue went away");
    assert!(net.open(1, &bench.pool).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Random frames, random lengths reported, random `num_buffers`: the driver never panics, what
    /// it passes on has the length of a frame, and after a reset every buffer is home.
    #[test]
    fn any_device_is_survived(
        moves in prop::collection::vec((any::<u8>(), 0..2000_u32, 0..6_u16), 0..80),
    ) {
        let mut bench = Bench::new(ALL, 1500, 1);
        let (mut net, mut pair) = bench.open();
        for (what, written, n_buffers) in moves {
            if what == 0 {
                bench.device.misbehave(0, Hostile::DoubleCompletion);
            }
            if let Some(chain) = bench.device.pop(0) {
                let mut bytes = vec![what; 200];
                bytes[10..12].copy_from_slice(&n_buffers.to_le_bytes());
                bench.device.write(&chain, &bytes);
                bench.device.push(0, &chain, written);
            }
            if what % 3 == 0 && let Ok(frames) = bench.receive(&mut pair) {
                prop_assert!(frames.iter().all(|frame| (14..=1522).contains(&frame.len())));
            }
        }
        let mut left = VecDeque::new();
        net.stop().unwrap();
        pair.rx.drain(&mut left, &mut bench.cache);
        prop_assert!(left.iter().all(|packet| (14..=1522).contains(&packet.len())));
        net.reset(vec![pair]).unwrap();
        drop(left);
        prop_assert_eq!(bench.away(), (0, 0));
    }
}
