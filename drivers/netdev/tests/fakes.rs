//! The fakes keep the rules of real netdevs.

use netdev::fake::{Fault, FaultPlan, Replay, wire};
use netdev::{FaultKind, Netdev, OpenError, QueueFault, QueuePair, RxStats};
use packet::{Batch, Pool, PoolCache, PoolConfig};
use std::sync::Arc;

fn pool() -> Arc<Pool> {
    Pool::on_heap(PoolConfig { small: 256, jumbo: 4 })
}

fn one(netdev: &mut dyn Netdev, pool: &Arc<Pool>) -> QueuePair {
    netdev.open(1, pool).unwrap().remove(0)
}

fn frame(number: u8) -> Vec<u8> {
    vec![number; 60]
}

fn send(pair: &mut QueuePair, cache: &mut PoolCache, frames: &[Vec<u8>]) -> usize {
    let mut batch = Batch::new();
    for frame in frames {
        batch.push(cache.from_bytes(frame).unwrap()).unwrap();
    }
    pair.tx.transmit(&mut batch, cache).unwrap()
}

fn receive(pair: &mut QueuePair, cache: &mut PoolCache) -> Result<Vec<Vec<u8>>, QueueFault> {
    let mut batch = Batch::new();
    pair.rx.receive(&mut batch, cache)?;
    Ok(batch.iter().map(|packet| packet.data().to_vec()).collect())
}

#[test]
fn a_wire_carries_both_ways_and_loses_what_is_on_it_when_cut() {
    let pools = [pool(), pool()];
    let mut caches = pools.clone().map(PoolCache::new);
    let (mut a, mut b, plug) = wire("w");
    let mut ends = [one(&mut a, &pools[0]), one(&mut b, &pools[1])];
    for (from, to) in [(0, 1), (1, 0)] {
        assert_eq!(send(&mut ends[from], &mut caches[from], &[frame(1), frame(2)]), 2);
        assert_eq!(receive(&mut ends[to], &mut caches[to]), Ok(vec![frame(1), frame(2)]));
        assert_eq!(receive(&mut ends[to], &mut caches[to]), Ok(vec![]));
    }
    send(&mut ends[0], &mut caches[0], &[frame(3)]);
    plug.set_link(false);
    assert!(!a.link().up && !b.link().up);
    send(&mut ends[0], &mut caches[0], &[frame(4)]);
    plug.set_link(true);
    assert!(a.link().up && b.link().up);
    send(&mut ends[0], &mut caches[0], &[frame(5)]);
    assert_eq!(receive(&mut ends[1], &mut caches[1]), Ok(vec![frame(5)]));
}

#[test]
fn a_full_line_leaves_packets_in_the_batch() {
    let pool = pool();
    let mut cache = PoolCache::new(pool.clone());
    let (mut netdev, test) = Replay::new("r", [2; 6], vec![]);
    let mut pair = one(&mut netdev, &pool);
    for _ in 0..1024 / 32 {
        assert_eq!(send(&mut pair, &mut cache, &vec![frame(1); 32]), 32);
    }
    let mut batch = Batch::new();
    batch.push(cache.from_bytes(&frame(2)).unwrap()).unwrap();
    assert_eq!(pair.tx.transmit(&mut batch, &mut cache), Ok(0));
    assert_eq!((batch.len(), pair.tx.stats().full), (1, 1));
    assert_eq!(test.captured().len(), 1024);
    assert_eq!(pair.tx.transmit(&mut batch, &mut cache), Ok(1));
    assert_eq!(test.captured(), vec![frame(2)]);
    assert_eq!((pair.tx.stats().frames, pair.tx.stats().bytes), (1025, 1025 * 60));
}

#[test]
fn bad_frames_are_counted() {
    let pool = Pool::on_heap(PoolConfig { small: 1, jumbo: 0 });
    let mut cache = PoolCache::new(pool.clone());
    let frames = vec![vec![1; 13], vec![1; 1523], vec![1; 1522], frame(1)];
    let (netdev, test) = Replay::new("r", [2; 6], frames);
    let mut netdev = netdev.with_mtu(1500);
    let mut pair = one(&mut netdev, &pool);
    let mut batch = Batch::new();
    assert_eq!(pair.rx.receive(&mut batch, &mut cache), Ok(1));
    assert_eq!(batch[0].len(), 1522);
    let expected = RxStats {
        frames: 1,
        bytes: 1522,
        truncated: 1,
        no_buffer: 1,
        malformed: 1,
        ..RxStats::default()
    };
    assert_eq!((pair.rx.stats(), test.waiting()), (expected, 0));
    assert_eq!(expected.dropped(), 3);
}

#[test]
fn frames_of_a_pair_of_hosts_stay_in_order_on_one_queue() {
    let pool = pool();
    let mut cache = PoolCache::new(pool.clone());
    let frames: Vec<Vec<u8>> = (0..60_u8)
        .map(|n| {
            let mut frame = vec![n; 60];
            frame[..12].fill(n % 7);
            frame
        })
        .collect();
    let (mut netdev, test) = Replay::new("r", [2; 6], frames);
    let mut pairs = netdev.open(3, &pool).unwrap();
    let mut seen = 0;
    for pair in &mut pairs {
        let mut got = receive(pair, &mut cache).unwrap();
        got.extend(receive(pair, &mut cache).unwrap());
        seen += got.len();
        for host in 0..7 {
            let order: Vec<u8> = got.iter().filter(|f| f[0] == host).map(|f| f[12]).collect();
            assert!(order.is_empty() || order.len() >= 8, "host {host} on two queues");
            assert!(order.is_sorted());
        }
    }
    assert_eq!((seen, test.waiting()), (60, 0));
}

#[test]
fn all_queues_must_come_back() {
    let pool = pool();
    let (mut netdev, _test) = Replay::new("r", [2; 6], vec![]);
    assert_eq!(netdev.open(0, &pool).err(), Some(OpenError::QueuePairs));
    assert_eq!(netdev.open(9, &pool).err(), Some(OpenError::QueuePairs));
    let mut pairs = netdev.open(2, &pool).unwrap();
    assert_eq!(netdev.open(1, &pool).err(), Some(OpenError::AlreadyOpen));
    let kept = pairs.pop().unwrap();
    assert_eq!(netdev.reset(pairs), Err(OpenError::WrongQueues));
    assert_eq!(netdev.reset(vec![kept]), Ok(()));
    assert_eq!(netdev.open(1, &pool).unwrap().len(), 1);
}

#[test]
fn planned_faults_happen_and_a_reset_heals() {
    let pool = pool();
    let mut cache = PoolCache::new(pool.clone());
    let frames = vec![frame(0); 200];
    let (netdev, _test) = Replay::new("r", [2; 6], frames);
    let plan = FaultPlan {
        drop_one_in: 5,
        corrupt_one_in: 4,
        rx_fault_after: Some(100),
        tx_fault_after: Some(1),
        seed: 42,
    };
    let mut netdev = Fault::new(Box::new(netdev), plan);
    let mut pair = one(&mut netdev, &pool);

    let mut got = Vec::new();
    let fault = loop {
        match receive(&mut pair, &mut cache) {
            Ok(frames) => got.extend(frames),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, QueueFault { kind: FaultKind::Injected, queue: 0 });
    let stats = pair.rx.stats();
    assert_eq!(stats.frames, got.len() as u64);
    assert_eq!(stats.frames + stats.no_buffer, 128, "the fault comes with the batch after");
    assert!((10..50).contains(&stats.no_buffer), "{}", stats.no_buffer);
    let flipped: Vec<u32> = got.iter().map(|f| f.iter().map(|b| b.count_ones()).sum()).collect();
    assert!(flipped.iter().all(|&bits| bits <= 1) && flipped.contains(&1) && flipped.contains(&0));

    assert_eq!(send(&mut pair, &mut cache, &[frame(1)]), 1);
    let mut batch = Batch::new();
    batch.push(cache.from_bytes(&frame(1)).unwrap()).unwrap();
    assert!(pair.tx.transmit(&mut batch, &mut cache).is_err());
    assert_eq!(batch.len(), 1, "nothing is taken by a dead queue");

    netdev.reset(vec![pair]).unwrap();
    let mut pair = one(&mut netdev, &pool);
    assert!(!receive(&mut pair, &mut cache).unwrap().is_empty());
}
