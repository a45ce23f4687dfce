//! The driver end to end, against the device in software.

use super::ALL;
use crate::common::{Bench, MAC, OFFSET, ROOM};
use netdev::{Netdev, OpenError};
use packet::{Batch, PoolConfig};
use std::collections::VecDeque;
use virtio_net::{HEADER_LEN, VirtioNet, feature, optional_feature};

fn frame(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

#[test]
fn says_who_it_is() {
    let bench = Bench::new(ALL, 9000, 4);
    let net = bench.net().unwrap();
    let info = net.info();
    assert_eq!((info.mac, info.mtu, info.max_queue_pairs), (MAC, 9000, 4));
    assert_eq!((info.driver, info.name.as_str()), ("virtio-net", "net0"));
    for name in ["version-1", "mac", "mtu", "status", "mrg-rxbuf", "ctrl-vq", "mq"] {
        assert!(info.features.contains(&name), "{name}");
    }
    let is_packed = ALL & feature::RING_PACKED != 0;
    assert_eq!(info.features.contains(&"packed"), is_packed);
    assert_eq!(info.features.contains(&"event-idx"), !is_packed, "QEMU loses wake-ups by both");
    assert!(!bench.device.is_running(), "opened only on request");
}

#[test]
fn does_without_what_is_refused() {
    let bench = Bench::new(ALL, 1500, 1);
    let names = ["packed", "in-order", "event-idx", "mrg-rxbuf"];
    let refused = names.iter().fold(0, |bits, name| bits | optional_feature(name).unwrap());
    let transport = bench.device.transport();
    let mut net = VirtioNet::new("net0".into(), transport, bench.dma.clone(), refused).unwrap();
    let pair = net.open(1, &bench.pool).unwrap();
    let accepted = bench.device.driver_features();
    assert_eq!((accepted & refused, accepted & !refused), (0, ALL & !refused));
    assert!(names.iter().all(|name| !net.info().features.contains(name)));
    net.reset(pair).unwrap();
    assert_eq!((optional_feature("version-1"), optional_feature("tso")), (None, None));
}

#[test]
fn does_without_what_is_not_offered() {
    let bench = Bench::new(feature::VERSION_1, 9000, 4);
    let (mut net, _) = (bench.net().unwrap(), ());
    assert_eq!((net.info().mtu, net.info().max_queue_pairs), (1500, 1));
    let [first, ..] = net.info().mac;
    assert_eq!(first & 3, 2, "locally administered, not multicast");
    assert!(net.link().up);
    // Many pairs need the control queue.
    let bench = Bench::new(feature::VERSION_1 | feature::MQ, 1500, 4);
    assert_eq!(bench.net().unwrap().info().max_queue_pairs, 1);
}

#[test]
fn devices_that_cannot_be_driven() {
    let old = Bench::new(feature::MAC, 1500, 1);
    assert_eq!(old.net().err(), Some(OpenError::Unsupported("feature version-1")));
    let block = Bench::new(ALL, 1500, 1);
    block.device.configure(|c| c.device_type = virtio::DeviceType::Block);
    assert_eq!(block.net().err(), Some(OpenError::Unsupported("device type network")));
    let short = Bench::new(ALL, 1500, 1);
    short.device.configure(|c| c.config_space.truncate(4));
    assert_eq!(short.net().err(), Some(OpenError::Config));
    let refusing = Bench::new(ALL, 1500, 1);
    let mut net = refusing.net().unwrap();
    refusing.device.configure(|c| c.refuses_features = true);
    assert_eq!(net.open(1, &refusing.pool).err(), Some(OpenError::FeaturesRefused));
    let none = Bench::new(ALL, 1500, 1);
    let mut net = none.net().unwrap();
    none.device.configure(|c| c.queue_size_max = 0);
    assert_eq!(net.open(1, &none.pool).err(), Some(OpenError::QueueSize));
}

#[test]
fn a_frame_is_passed_on_where_the_device_wrote_it() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    let chain = bench.device.pop(0).unwrap();
    bench.device.write(&chain, &[&[0; 10][..], &[1, 0], &frame(1, 60)].concat());
    bench.device.push(0, &chain, 72);
    let mut batch = Batch::new();
    pair.rx.receive(&mut batch, &mut bench.cache).unwrap();
    let (posted, room) = chain.writable[0];
    assert_eq!(batch[0].data().as_ptr() as u64 + OFFSET, posted + HEADER_LEN as u64);
    assert_eq!((batch[0].data(), room), (&frame(1, 60)[..], ROOM as u32));
}

#[test]
fn frames_come_in_unchanged() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    for round in 0..20 {
        let frames: Vec<_> = (0..7).map(|n| frame(round ^ n, 14 + 71 * n as usize)).collect();
        frames.iter().for_each(|frame| bench.deliver(0, frame));
        assert_eq!(bench.receive(&mut pair), Ok(frames));
    }
    assert_eq!(bench.receive(&mut pair), Ok(vec![]));
    let stats = pair.rx.stats();
    assert_eq!((stats.frames, stats.dropped(), stats.faults), (140, 0, 0));
}

#[test]
fn a_batch_is_thirty_two_and_the_rest_waits() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    for n in 0..60 {
        bench.deliver(0, &frame(n, 60));
    }
    for expected in [32, 28, 0] {
        assert_eq!(bench.receive(&mut pair).unwrap().len(), expected);
    }
    assert_eq!(bench.device.waiting(0), 64, "the ring is full again");
}

#[test]
fn refilling_is_one_notification_a_burst_at_most() {
    let mut bench = Bench::new(ALL & !feature::EVENT_IDX, 1500, 1);
    let (_net, mut pair) = bench.open();
    assert_eq!(bench.device.take_notified(0), 1, "buffers were posted before the start");
    for n in 0..32 {
        bench.deliver(0, &frame(n, 60));
    }
    bench.receive(&mut pair).unwrap();
    assert_eq!(bench.device.take_notified(0), 1);
    bench.receive(&mut pair).unwrap();
    assert_eq!(bench.device.take_notified(0), 0);
}

#[test]
fn jumbo_frames_over_several_buffers_are_gathered() {
    // So few jumbo buffers that none is posted.
    let mut bench = Bench::with_pool(ALL, 9000, 1, PoolConfig { small: 1024, jumbo: 3 });
    let (_net, mut pair) = bench.open();
    let frames: Vec<_> = [9022, 60, ROOM - 12, ROOM - 11, 5000].map(|len| frame(3, len)).to_vec();
    frames.iter().for_each(|frame| bench.deliver(0, frame));
    assert_eq!(bench.receive(&mut pair), Ok(frames));
    assert_eq!(bench.away().1, 0);
}

#[test]
fn a_large_mtu_posts_jumbo_buffers_and_gathers_what_finds_none() {
    let mut bench = Bench::new(ALL, 9000, 1);
    let (_net, mut pair) = bench.open();
    // A quarter of all.
    assert_eq!(bench.away(), (48, 16));
    for round in 0..5 {
        let frames: Vec<_> = (0..20).map(|n| frame(round * 20 + n, 9022)).collect();
        frames.iter().for_each(|frame| bench.deliver(0, frame));
        assert_eq!(bench.receive(&mut pair), Ok(frames));
        assert_eq!(bench.away().1, 16, "{round}");
    }
    let stats = pair.rx.stats();
    assert_eq!((stats.frames, stats.dropped(), stats.faults), (100, 0, 0));
}

#[test]
fn parts_may_come_over_several_calls() {
    let mut bench = Bench::new(ALL, 9000, 1);
    let (_net, mut pair) = bench.open();
    let parts: Vec<_> = (0..3).map(|_| bench.device.pop(0).unwrap()).collect();
    let mut first = vec![0; 12];
    first[10] = 3;
    first.extend([1; 100]);
    for (chain, bytes) in parts.iter().zip([first, vec![2; 50], vec![3; 7]]) {
        assert_eq!(bench.receive(&mut pair), Ok(vec![]));
        bench.device.write(chain, &bytes);
        bench.device.push(0, chain, bytes.len() as u32);
    }
    let whole = [vec![1; 100], vec![2; 50], vec![3; 7]].concat();
    assert_eq!(bench.receive(&mut pair), Ok(vec![whole]));
}

#[test]
fn without_mergeable_buffers_a_large_mtu_posts_large_buffers() {
    let mut bench = Bench::new(ALL & !feature::MRG_RXBUF, 9000, 1);
    let (_net, mut pair) = bench.open();
    assert_eq!(bench.away(), (0, 64));
    bench.deliver(0, &frame(1, 9022));
    // The pool has no 65th jumbo buffer, so the ring is refilled with what comes back.
    assert_eq!(bench.receive(&mut pair), Ok(vec![frame(1, 9022)]));
    bench.deliver(0, &frame(2, 60));
    assert_eq!(bench.receive(&mut pair), Ok(vec![frame(2, 60)]));
}

#[test]
fn frames_that_cannot_be_used_are_counted_and_their_buffers_used_again() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    for len in [13, 0, 1523, 5000, 20_000, 1522, 14] {
        bench.deliver(0, &frame(1, len));
    }
    assert_eq!(bench.receive(&mut pair), Ok(vec![frame(1, 1522), frame(1, 14)]));
    // A buffer without even the device's header.
    let chain = bench.device.pop(0).unwrap();
    bench.device.push(0, &chain, 11);
    assert_eq!(bench.receive(&mut pair), Ok(vec![]));
    let stats = pair.rx.stats();
    assert_eq!((stats.frames, stats.malformed, stats.truncated, stats.no_buffer), (2, 3, 3, 0));
    for _ in 0..64 {
        bench.deliver(0, &frame(1, 60));
        assert_eq!(bench.receive(&mut pair).unwrap().len(), 1);
    }
    assert_eq!(bench.away().1, 0, "a jumbo buffer is lost");
}

#[test]
fn a_dry_pool_starves_the_ring_but_loses_no_frame_that_has_a_buffer() {
    let mut bench = Bench::with_pool(ALL, 1500, 1, PoolConfig { small: 40, jumbo: 1 });
    let (_net, mut pair) = bench.open();
    assert_eq!(bench.device.waiting(0), 40);
    let mut held = Batch::new();
    for n in 0..40 {
        bench.deliver(0, &frame(n, 60));
    }
    pair.rx.receive(&mut held, &mut bench.cache).unwrap();
    let mut more = Batch::new();
    pair.rx.receive(&mut more, &mut bench.cache).unwrap();
    assert_eq!((held.len(), more.len(), bench.device.waiting(0)), (32, 8, 0));
    assert!(pair.rx.stats().starved > 0);
    drop((held, more));
    bench.receive(&mut pair).unwrap();
    bench.deliver(0, &frame(9, 60));
    assert_eq!(bench.receive(&mut pair), Ok(vec![frame(9, 60)]));
}

#[test]
fn frames_go_out_with_an_empty_header_in_one_buffer() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    let mut batch = bench.batch(&[frame(1, 60), frame(2, 1522)]);
    assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(2));
    for expected in [frame(1, 60), frame(2, 1522)] {
        let chain = bench.device.pop(1).unwrap();
        assert_eq!((chain.readable.len(), chain.writable.len()), (1, 0));
        let bytes = bench.device.read(&chain);
        assert_eq!((&bytes[..12], &bytes[12..]), (&[0; HEADER_LEN][..], &expected[..]));
        bench.device.push(1, &chain, 0);
    }
    assert_eq!(pair.tx.n_in_flight(), 2);
    pair.tx.reclaim(&mut bench.cache).unwrap();
    assert_eq!(pair.tx.n_in_flight(), 0);
    assert_eq!(bench.away().0, 64, "only the receive ring's buffers are away");
    let stats = pair.tx.stats();
    assert_eq!((stats.frames, stats.bytes, stats.notifies, stats.refused), (2, 1582, 1, 0));
}

#[test]
fn a_frame_without_headroom_is_copied() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    let mut packet = bench.cache.alloc().unwrap();
    packet.push_front(120).unwrap().copy_from_slice(&frame(5, 120));
    let mut batch = Batch::new();
    batch.push(packet).unwrap();
    assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(1));
    assert_eq!(bench.device.consume(1).unwrap()[12..], frame(5, 120));
}

#[test]
fn a_full_ring_leaves_packets_and_never_waits() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    let frames = vec![frame(1, 60); 32];
    for expected in [32, 32, 0] {
        let mut batch = bench.batch(&frames);
        assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(expected));
        assert_eq!(batch.len(), 32 - expected);
    }
    for _ in 0..5 {
        assert!(bench.device.consume(1).is_some());
    }
    let mut batch = bench.batch(&frames);
    batch[0].data_mut()[0] = 0xee;
    assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(5));
    assert_eq!((batch.len(), pair.tx.stats().full), (27, 2));
    assert!(batch.iter().all(|packet| packet.data()[0] != 0xee), "taken from the front");
}

#[test]
fn frames_that_cannot_be_sent_are_refused_and_counted() {
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    let mut batch = bench.batch(&[vec![], frame(1, 1523), frame(2, 60)]);
    assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(3));
    let stats = pair.tx.stats();
    assert_eq!((stats.refused, stats.too_long, stats.frames), (1, 1, 1));
    assert_eq!(bench.device.consume(1).unwrap()[12..], frame(2, 60));
    assert!(bench.device.pop(1).is_none());
}

#[test]
fn several_pairs_are_asked_for_on_the_control_queue() {
    let bench = Bench::new(ALL, 1500, 4);
    let commands = bench.answer_control(8, 0);
    let mut net = bench.net().unwrap();
    assert_eq!(net.open(5, &bench.pool).err(), Some(OpenError::QueuePairs));
    let pairs = net.open(3, &bench.pool).unwrap();
    assert_eq!((pairs.len(), commands.lock().clone()), (3, vec![vec![4, 0, 3, 0]]));
    for queue in 0..9 {
        assert_eq!(bench.device.queue_size(queue) != 0, queue < 6 || queue == 8, "{queue}");
    }
    // One pair is the default and needs no command.
    net.reset(pairs).unwrap();
    net.open(1, &bench.pool).unwrap();
    assert_eq!(commands.lock().len(), 1);
}

#[test]
fn more_pairs_than_were_reckoned_with_have_shorter_rings() {
    let mut bench = Bench::new(ALL, 1500, 4);
    let _commands = bench.answer_control(8, 0);
    let mut net = bench.net().unwrap().with_queue_size(64).with_full_pairs(2);
    for (n_pairs, size) in [(1, 64), (2, 64), (3, 32), (4, 32), (2, 64)] {
        let pairs = net.open(n_pairs, &bench.pool).unwrap();
        for queue in 0..2 * n_pairs {
            assert_eq!(bench.device.queue_size(queue), size, "{queue} of {n_pairs} pairs");
        }
        assert_eq!(bench.away().0, usize::from(n_pairs) * size as usize, "{n_pairs} pairs");
        net.reset(pairs).unwrap();
    }
}

#[test]
fn a_refused_command_fails_the_open_and_gives_all_back() {
    let mut bench = Bench::new(ALL, 1500, 2);
    bench.answer_control(4, 1);
    let mut net = bench.net().unwrap();
    assert_eq!(net.open(2, &bench.pool).err(), Some(OpenError::CommandFailed));
    assert_eq!(bench.away(), (0, 0));
    assert_eq!(net.open(1, &bench.pool).unwrap().len(), 1);
}

#[test]
fn a_device_that_ignores_commands_does_not_hang_the_open() {
    let mut bench = Bench::new(ALL, 1500, 2);
    let mut net = bench.net().unwrap();
    assert_eq!(net.open(2, &bench.pool).err(), Some(OpenError::CommandFailed));
    assert_eq!(bench.away(), (0, 0));
}

#[test]
fn an_empty_pool_cannot_open() {
    let mut bench = Bench::with_pool(ALL, 1500, 1, PoolConfig { small: 4, jumbo: 0 });
    let mut net = bench.net().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| bench.cache.alloc()).collect();
    assert_eq!(net.open(1, &bench.pool).err(), Some(OpenError::NoBuffers));
    drop(held);
    assert!(net.open(1, &bench.pool).is_ok());
}

#[test]
fn the_link_is_what_the_device_says() {
    let bench = Bench::new(ALL, 1500, 1);
    let mut net = bench.net().unwrap();
    assert_eq!((net.link().up, net.link().speed_mbps), (true, None));
    bench.device.configure(|c| c.config_space[6] = 0);
    assert!(!net.link().up);
    let bench = Bench::new(ALL | feature::SPEED_DUPLEX, 1500, 1);
    let mut net = bench.net().unwrap();
    assert_eq!(net.link().speed_mbps, Some(10_000));
    bench.device.configure(|c| c.config_space[12..16].fill(0xff));
    assert_eq!(net.link().speed_mbps, None);
}

#[test]
fn pairs_work_from_different_threads() {
    let bench = Bench::new(ALL, 1500, 2);
    bench.answer_control(4, 0);
    let mut net = bench.net().unwrap();
    let pairs = net.open(2, &bench.pool).unwrap();
    let (device, pool) = (&bench.device, &bench.pool);
    let back: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0_u16..)
            .zip(pairs)
            .map(|(number, mut pair)| {
                scope.spawn(move || {
                    let mut cache = packet::PoolCache::new(pool.clone());
                    let mut echoed = 0_u32;
                    while echoed < 5000 {
                        let sent = [vec![0; 12], frame(number as u8, 60)].concat();
                        let mut sent = sent;
                        sent[10] = 1;
                        assert!(device.produce(2 * number, &sent));
                        let mut batch = Batch::new();
                        assert_eq!(pair.rx.receive(&mut batch, &mut cache), Ok(1));
                        assert_eq!(pair.tx.transmit(&mut batch, &mut cache), Ok(1));
                        let out = device.consume(2 * number + 1).unwrap();
                        assert_eq!(out[12..], frame(number as u8, 60));
                        echoed += 1;
                    }
                    pair
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    net.reset(back).unwrap();
    assert_eq!(bench.pool.available(), (1024, 64));
}

#[test]
fn what_came_before_the_device_stopped_is_there_afterwards() {
    let mut bench = Bench::new(ALL, 9000, 1);
    let (mut net, mut pair) = bench.open();
    let mut left = VecDeque::new();
    // More than a burst, the last over two buffers, and one that is none.
    let mut frames: Vec<_> = (0..40).map(|k| frame(k, 60)).collect();
    frames.push(frame(99, ROOM + 100));
    for frame in &frames {
        bench.deliver(0, frame);
    }
    bench.deliver(0, &[1; 13]);
    pair.rx.drain(&mut left, &mut bench.cache);
    assert!(left.is_empty(), "the device runs");
    let _ = bench.device.take_notified(0);
    net.stop().unwrap();
    pair.rx.drain(&mut left, &mut bench.cache);
    let got: Vec<_> = left.iter().map(|packet| packet.data().to_vec()).collect();
    assert_eq!(got, frames);
    assert_eq!((pair.rx.stats().frames, pair.rx.stats().malformed), (41, 1));
    pair.rx.drain(&mut left, &mut bench.cache);
    assert_eq!(left.len(), 41, "none twice");
    assert_eq!((bench.device.take_notified(0), bench.device.waiting(0)), (0, 0), "no more buffers");
    net.reset(vec![pair]).unwrap();
    drop(left);
    assert_eq!(bench.away(), (0, 0));
    // And it comes up again.
    let mut pair = net.open(1, &bench.pool).unwrap().remove(0);
    bench.deliver(0, &frames[0]);
    assert_eq!(bench.receive(&mut pair).unwrap(), frames[..1]);
}
