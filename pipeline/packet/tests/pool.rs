//! Buffers are never lost, never given twice, and the pool lives exactly as long as it must.

use packet::{
    Batch, HEADROOM, JUMBO_BYTES, Packet, Pool, PoolCache, PoolConfig, PoolError, Region,
};
use packet::{SMALL_BYTES, edit};
use std::collections::HashSet;
use std::sync::{Arc, mpsc};

fn config(small: usize, jumbo: usize) -> PoolConfig {
    PoolConfig { small, jumbo }
}

#[test]
fn exhaustion_gives_none_and_every_buffer_comes_home() {
    let pool = Pool::on_heap(config(100, 3));
    let mut cache = PoolCache::new(pool.clone());
    let held: Vec<Packet> = std::iter::from_fn(|| cache.alloc()).collect();
    assert_eq!(held.len(), 100);
    assert_eq!(pool.available().0, 0);
    assert!(cache.from_bytes(&[1; 60]).is_none());
    let addresses: HashSet<u64> = held.iter().map(Packet::device_address).collect();
    assert_eq!(addresses.len(), 100, "two packets share a buffer");
    let jumbos: Vec<Packet> = std::iter::from_fn(|| cache.alloc_for(9000)).collect();
    assert_eq!(jumbos.len(), 3);
    for packet in held {
        cache.free(packet);
    }
    drop(jumbos);
    drop(cache);
    assert_eq!(pool.available(), (100, 3));
}

#[test]
fn counts_stay_exact_when_packets_wander_between_threads() {
    let pool = Pool::on_heap(config(512, 16));
    let (to_b, from_a) = mpsc::sync_channel::<Packet>(64);
    let (to_c, from_b) = mpsc::sync_channel::<Packet>(64);
    let (a, b, c) = (pool.clone(), pool.clone(), pool.clone());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut cache = PoolCache::new(a);
            let mut sent = 0;
            while sent < 20_000_u32 {
                let len = if sent.is_multiple_of(50) { 5000 } else { 60 };
                let Some(mut packet) = cache.alloc_for(len) else {
                    std::thread::yield_now();
                    continue;
                };
                assert!(packet.extend(&sent.to_be_bytes()));
                to_b.send(packet).unwrap();
                sent += 1;
            }
        });
        scope.spawn(move || {
            let mut cache = PoolCache::new(b);
            for packet in from_a {
                // Passes a copy on when it can get one, the original otherwise.
                match cache.copy(&packet) {
                    Some(copy) => {
                        cache.free(packet);
                        to_c.send(copy).unwrap();
                    }
                    None => to_c.send(packet).unwrap(),
                }
            }
        });
        scope.spawn(move || {
            let mut cache = PoolCache::new(c);
            for (expected, packet) in (0_u32..).zip(from_b) {
                assert_eq!(packet.data(), expected.to_be_bytes());
                if expected.is_multiple_of(3) {
                    drop(packet);
                } else {
                    cache.free(packet);
                }
            }
        });
    });
    assert_eq!(pool.available(), (512, 16));
}

#[test]
fn a_packet_keeps_its_pool_alive() {
    let pool = Pool::on_heap(config(4, 1));
    let mut cache = PoolCache::new(pool.clone());
    let mut packet = cache.from_bytes(b"still here").unwrap();
    let jumbo = cache.alloc_jumbo().unwrap();
    drop(cache);
    drop(pool);
    assert_eq!(packet.data(), b"still here");
    drop(jumbo);
    packet.data_mut()[0] = b'S';
    assert_eq!(packet.data(), b"Still here");
}

#[test]
fn a_packet_of_another_pool_goes_to_its_own_home() {
    let (one, two) = (Pool::on_heap(config(4, 0)), Pool::on_heap(config(4, 0)));
    let packet = PoolCache::new(one.clone()).alloc().unwrap();
    let mut cache = PoolCache::new(two.clone());
    cache.free(packet);
    assert_eq!((one.available().0, two.available().0), (4, 4));
}

#[test]
fn regions_are_checked() {
    let need = Pool::required_bytes(&config(2, 1));
    assert_eq!(need, 2 * (64 + SMALL_BYTES) + 64 + JUMBO_BYTES);
    let short = Pool::new(config(2, 1), Region::leak_heap(need - 1));
    assert_eq!(short.err(), Some(PoolError::RegionTooSmall));
    let many = Pool::new(config(usize::MAX, 1), Region::leak_heap(64));
    assert_eq!(many.err(), Some(PoolError::TooMany));
    assert!(Pool::new(config(2, 1), Region::leak_heap(need)).is_ok());
}

#[test]
fn device_addresses_follow_the_frame_and_the_offset() {
    let region = Region::leak_heap(Pool::required_bytes(&config(2, 0)));
    // The buffer begins behind the head of its slot.
    let here = region.start().as_ptr() as u64 + 64;
    let offset = 0xffff_ffff_0000_0000_u64;
    let pool = Pool::new(config(2, 0), region.with_device_offset(offset)).unwrap();
    let mut packet = PoolCache::new(pool).alloc().unwrap();
    let start = here.wrapping_add(offset);
    assert_eq!(packet.device_address(), start + HEADROOM as u64);
    assert_eq!(packet.buffer_capacity(), SMALL_BYTES - HEADROOM);
    packet.push_front(12).unwrap().fill(0);
    assert_eq!(packet.device_address(), start + HEADROOM as u64 - 12);
    assert_eq!(packet.data().as_ptr() as u64, start.wrapping_sub(offset) + HEADROOM as u64 - 12);
}

#[test]
fn room_at_both_ends_is_respected() {
    let pool = Pool::on_heap(config(1, 0));
    let mut cache = PoolCache::new(pool);
    let mut packet = cache.alloc().unwrap();
    assert!(packet.push_front(HEADROOM + 1).is_none());
    packet.push_front(HEADROOM).unwrap().fill(7);
    assert!(packet.push_front(1).is_none());
    assert!(!packet.set_len(SMALL_BYTES + 1));
    assert!(packet.set_len(SMALL_BYTES));
    assert_eq!(packet.tailroom(), 0);
    assert!(!packet.extend(&[1]));
    assert_eq!(packet.data()[HEADROOM - 1..HEADROOM + 1], [7, 0]);
    assert!(!packet.pull_front(SMALL_BYTES + 1));
    assert!(packet.pull_front(SMALL_BYTES));
    assert!(packet.is_empty() && packet.data().is_empty());
    packet.clear();
    assert_eq!((packet.headroom(), packet.len()), (HEADROOM, 0));
}

#[test]
fn growing_never_shows_old_bytes() {
    let pool = Pool::on_heap(config(1, 0));
    let mut cache = PoolCache::new(pool);
    let packet = cache.from_bytes(&[0xaa; 200]).unwrap();
    cache.free(packet);
    let mut packet = cache.from_bytes(&[1; 20]).unwrap();
    assert!(edit::pad_to_minimum(&mut packet, 60));
    assert_eq!(packet.data()[20..], [0; 40]);
    assert!(edit::pad_to_minimum(&mut packet, 10));
    assert_eq!(packet.len(), 60);
}

#[test]
fn copies_are_complete_and_apart() {
    let pool = Pool::on_heap(config(2, 2));
    let mut cache = PoolCache::new(pool);
    let mut packet = cache.from_bytes(&[9; 3000]).unwrap();
    assert!(packet.pull_front(100));
    packet.meta_mut().in_port = 5;
    packet.meta_mut().tunnel_id = u64::MAX;
    let mut copy = cache.copy(&packet).unwrap();
    assert_eq!(copy.data(), packet.data());
    assert_eq!((copy.headroom(), copy.meta()), (packet.headroom(), packet.meta()));
    copy.data_mut()[0] = 1;
    assert_eq!(packet.data()[0], 9);
    assert!(cache.copy(&packet).is_none(), "no third jumbo");
}

#[test]
fn a_batch_holds_thirty_two() {
    let pool: Arc<Pool> = Pool::on_heap(config(33, 0));
    let mut cache = PoolCache::new(pool);
    let mut batch = Batch::new();
    for _ in 0..32 {
        batch.push(cache.alloc().unwrap()).unwrap();
    }
    assert!(batch.push(cache.alloc().unwrap()).is_err());
}

/// Wherever a frame begins and ends in its buffer, up to the very end of it, a copy has its bytes and no other
/// slot is touched: the head of the next one stands right behind.
#[test]
fn copies_at_every_place() {
    let pool = Pool::on_heap_with_large(config(6, 6), 6);
    let mut cache = PoolCache::new(pool);
    let lens =
        (0..=300).chain([1500, SMALL_BYTES - HEADROOM, 9000, JUMBO_BYTES - HEADROOM, 65_000]);
    for (len, at_end) in lens.flat_map(|len| [(len, true), (len, false)]) {
        let bytes: Vec<u8> = (1..=251).cycle().take(len).collect();
        let mut packet = cache.alloc_for(len).unwrap();
        if at_end {
            // As far behind as there is room, or a place in a packet goes.
            let lead = packet.tailroom() - len;
            assert!(packet.extend(&vec![9; lead]) && packet.pull_front(lead));
        }
        assert!(packet.extend(&bytes));
        let spare = cache.alloc_for(len).unwrap();
        let others: Vec<Packet> = std::iter::from_fn(|| cache.from_bytes(&bytes)).collect();
        assert_eq!(others.len(), 4);
        cache.free(spare);
        let copy = cache.copy(&packet).unwrap();
        assert_eq!((copy.data(), copy.headroom()), (&bytes[..], packet.headroom()), "{len}");
        assert!(others.iter().all(|other| other.data() == bytes), "beside {len} bytes");
        others.into_iter().chain([copy, packet]).for_each(|packet| cache.free(packet));
    }
}
