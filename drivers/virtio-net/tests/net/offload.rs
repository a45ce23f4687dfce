//! Frames that their sender has not finished, in and out.

use super::ALL;
use crate::common::{Bench, LARGE};
use netdev::{Netdev, QueuePair};
use packet::build::{Ipv4, ethernet, tcp};
use packet::checksum::{finish, pseudo_ipv4};
use packet::wire::tcp::Repr;
use packet::{Batch, Large, LargeKind, OffloadSet, Packet, PoolConfig, Unfinished};
use proptest::prelude::*;
use virtio_net::{SEGMENTATION, VirtioNet, feature, optional_feature};

const CHECKSUMS: u64 = feature::CSUM | feature::GUEST_CSUM;

/// TCP over IPv4 as a guest sends it that leaves the checksum to its device.
fn stream(len: usize) -> Vec<u8> {
    let payload: Vec<_> = (0..len).map(|at| at as u8).collect();
    let ip = Ipv4::default();
    let segment = Repr { src: 1, dst: 2, seq: 3, ack: 4, flags: 0x18, window: 5 };
    let mut frame = ethernet([2; 6], [4; 6], 0x0800, &tcp(&ip.into(), segment, &payload));
    let pseudo = pseudo_ipv4(ip.src, ip.dst, 6, (frame.len() - 34) as u16);
    frame[50..52].copy_from_slice(&(!finish(pseudo)).to_be_bytes());
    frame
}

fn header(flags: u8, kind: u8, size: u16, start: u16, offset: u16) -> [u8; 10] {
    let [size, start, offset] = [size, start, offset].map(u16::to_le_bytes);
    // The length of headers is a lie, which nobody looks at.
    let fields = [[flags, kind], [0xff, 0xff], size, start, offset];
    fields.concat().try_into().unwrap()
}

fn receive(bench: &mut Bench, pair: &mut QueuePair) -> Vec<Packet> {
    let mut batch = Batch::new();
    pair.rx.receive(&mut batch, &mut bench.cache).unwrap();
    batch.into_iter().collect()
}

fn wishes(size: Option<u16>) -> Unfinished {
    let large = size.map(|size| Large { kind: LargeKind::TcpV4, has_cwr: false, size });
    Unfinished { checksum_start: 34, checksum_offset: 16, large }
}

/// The header in front of what was sent, and the frame.
fn sent(bench: &Bench) -> ([u8; 12], Vec<u8>) {
    let bytes = bench.device.consume(1).unwrap();
    (bytes[..12].try_into().unwrap(), bytes[12..].to_vec())
}

#[test]
fn what_is_not_usable_alone_is_not_negotiated() {
    let has = |offered: u64, refused: u64| {
        let bench = Bench::new(offered, 1500, 1);
        let transport = bench.device.transport();
        let mut net = VirtioNet::new("net0".into(), transport, bench.dma.clone(), refused).unwrap();
        let offloads = net.info().offloads;
        net.open(1, &bench.pool).unwrap();
        (bench.device.driver_features() & (CHECKSUMS | SEGMENTATION), offloads)
    };
    let checksum = OffloadSet::CHECKSUM;
    let all = checksum.and(OffloadSet::TCP_V4).and(OffloadSet::TCP_V6).and(OffloadSet::CWR);
    let everything = ALL | CHECKSUMS | SEGMENTATION;
    assert_eq!(has(everything, 0), (CHECKSUMS | SEGMENTATION, all));
    assert_eq!(has(everything, SEGMENTATION), (CHECKSUMS, checksum));
    let guests = feature::GUEST_TSO4 | feature::GUEST_TSO6 | feature::GUEST_ECN;
    let not = optional_feature("mrg-rxbuf").unwrap();
    assert_eq!(has(everything, not), ((CHECKSUMS | SEGMENTATION) & !guests, all));
    let not = optional_feature("guest-csum").unwrap();
    assert_eq!(has(everything, not).0, feature::CSUM | SEGMENTATION & !guests);
    let not = optional_feature("csum").unwrap();
    assert_eq!(has(everything, not), (feature::GUEST_CSUM | guests, OffloadSet::NONE));
    assert_eq!(has(ALL | feature::HOST_ECN | feature::GUEST_ECN, 0), (0, OffloadSet::NONE));
}

#[test]
fn unfinished_checksums_come_and_go() {
    let mut bench = Bench::new(ALL | CHECKSUMS, 1500, 1);
    let (_net, mut pair) = bench.open();
    // The flag that the device has looked at a checksum changes nothing.
    for (flags, unfinished) in [(0, None), (1, Some(wishes(None))), (2, None), (3, Some(wishes(None)))] {
        bench.deliver_with(0, header(flags, 0, 77, 34, 16), &stream(100));
        let [packet] = receive(&mut bench, &mut pair).try_into().unwrap();
        assert_eq!((packet.unfinished(), packet.data()), (unfinished, &stream(100)[..]));
        let mut batch: Batch = [packet].into_iter().collect();
        assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(1));
        let (front, frame) = sent(&bench);
        let wanted = match unfinished {
            Some(_) => [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0],
            None => [0; 12],
        };
        assert_eq!((front, frame), (wanted, stream(100)));
    }
}

#[test]
fn large_frames_come_and_go() {
    let mut bench = Bench::new(ALL | CHECKSUMS | SEGMENTATION, 1500, 1);
    let (_net, mut pair) = bench.open();
    for len in [1461, 3000, 8000, 20_000, 65_535 - 40] {
        bench.deliver_with(0, header(1, 1, 1460, 34, 16), &stream(len));
        let [packet] = receive(&mut bench, &mut pair).try_into().unwrap();
        assert_eq!((packet.unfinished(), packet.data()), (Some(wishes(Some(1460))), &stream(len)[..]));
        let mut batch: Batch = [packet].into_iter().collect();
        assert_eq!(pair.tx.transmit(&mut batch, &mut bench.cache), Ok(1));
        let (front, frame) = sent(&bench);
        assert_eq!(front, [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]);
        assert!(frame == stream(len));
    }
    pair.tx.reclaim(&mut bench.cache).unwrap();
    bench.cache.flush();
    assert_eq!(bench.pool.available_large(), (LARGE, LARGE));
    let stats = (pair.rx.stats(), pair.tx.stats());
    assert_eq!((stats.0.frames, stats.0.dropped(), stats.1.frames), (5, 0, 5));
}

#[test]
fn of_large_frames_the_segments_are_measured() {
    let mut bench = Bench::new(ALL | CHECKSUMS | SEGMENTATION, 1500, 1);
    let (_net, mut pair) = bench.open();
    for (size, n_received) in [(1468, 1), (1469, 0)] {
        bench.deliver_with(0, header(1, 1, size, 34, 16), &stream(5000));
        assert_eq!(receive(&mut bench, &mut pair).len(), n_received);
    }
    assert_eq!(pair.rx.stats().truncated, 1);
    let mut large = |size| {
        let mut packet = bench.cache.from_bytes(&stream(5000)).unwrap();
        packet.leave_unfinished(&wishes(Some(size))).unwrap();
        packet
    };
    let mut batch: Batch = [large(1468), large(1469)].into_iter().collect();
    pair.tx.transmit(&mut batch, &mut bench.cache).unwrap();
    assert_eq!((pair.tx.stats().frames, pair.tx.stats().too_long), (1, 1));
}

#[test]
fn nothing_is_left_to_a_device_that_does_not_do_it() {
    for (features, frames) in [(0, 0), (feature::CSUM, 1), (feature::CSUM | feature::HOST_TSO6, 1)] {
        let mut bench = Bench::new(ALL | features, 1500, 1);
        let (_net, mut pair) = bench.open();
        let mut batch = Batch::new();
        for (len, size) in [(100, None), (3000, Some(1000))] {
            let mut packet = bench.cache.from_bytes(&stream(len)).unwrap();
            packet.leave_unfinished(&wishes(size)).unwrap();
            let _ = batch.push(packet);
        }
        pair.tx.transmit(&mut batch, &mut bench.cache).unwrap();
        let stats = pair.tx.stats();
        assert_eq!((stats.frames, stats.refused), (frames, 2 - frames));
    }
}

#[test]
fn headers_that_make_no_sense_are_counted() {
    let bad = [
        // No such place, or only half of it.
        header(1, 0, 0, 200, 0),
        header(1, 0, 0, 34, 119),
        header(1, 0, 0, 0xffff, 0xffff),
        // Segments of no bytes, with a finished checksum, of unknown kinds.
        header(1, 1, 0, 34, 16),
        header(0, 1, 1460, 34, 16),
        header(1, 3, 1460, 34, 6),
        header(1, 5, 1460, 34, 6),
        header(1, 0x80, 1460, 34, 16),
        header(1, 0x7f, 1460, 34, 16),
        // Not what it is.
        header(1, 4, 1460, 34, 16),
        header(1, 1, 1460, 35, 16),
        header(1, 1, 1460, 34, 6),
    ];
    let mut bench = Bench::new(ALL | CHECKSUMS | SEGMENTATION, 1500, 1);
    let (_net, mut pair) = bench.open();
    for (k, header) in bad.into_iter().enumerate() {
        bench.deliver_with(0, header, &stream(100));
        assert!(receive(&mut bench, &mut pair).is_empty(), "{header:?}");
        assert_eq!(pair.rx.stats().bad_offload, k as u64 + 1);
    }
    bench.deliver(0, &stream(100));
    assert_eq!(receive(&mut bench, &mut pair).len(), 1);
    // Large frames that were not agreed on.
    let mut bench = Bench::new(ALL | CHECKSUMS, 1500, 1);
    let (_net, mut pair) = bench.open();
    bench.deliver_with(0, header(1, 1, 1000, 34, 16), &stream(1200));
    assert!(receive(&mut bench, &mut pair).is_empty());
    assert_eq!(pair.rx.stats().bad_offload, 1);
    // Where nothing was agreed on, what is in the header is not looked at.
    let mut bench = Bench::new(ALL, 1500, 1);
    let (_net, mut pair) = bench.open();
    bench.deliver_with(0, header(1, 1, 1000, 34, 16), &stream(1200));
    let [packet] = receive(&mut bench, &mut pair).try_into().unwrap();
    assert!(packet.offload().is_none());
}

#[test]
fn without_large_buffers_large_frames_are_counted() {
    let mut bench = Bench::new(ALL | CHECKSUMS | SEGMENTATION, 1500, 1);
    let (_net, mut pair) = bench.open();
    let held: Vec<_> = (0..LARGE).map(|_| bench.cache.alloc_for(60_000).unwrap()).collect();
    bench.deliver_with(0, header(1, 1, 1460, 34, 16), &stream(30_000));
    assert!(receive(&mut bench, &mut pair).is_empty());
    assert_eq!(pair.rx.stats().no_buffer, 1);
    held.into_iter().for_each(|packet| bench.cache.free(packet));
    bench.deliver_with(0, header(1, 1, 1460, 34, 16), &stream(30_000));
    assert_eq!(receive(&mut bench, &mut pair).len(), 1);
}

/// What a device says of a frame, and the frame's bytes of the stream and in all.
type Said = ([u8; 10], usize, usize);

fn said() -> impl Strategy<Value = Said> {
    let kind = prop_oneof![Just(0_u8), Just(1), Just(4), Just(0x81), any::<u8>()];
    let near = (0..4_u8, kind, 0..3000_u16).prop_map(|(f, kind, size)| header(f, kind, size, 34, 16));
    (prop_oneof![any::<[u8; 10]>(), near], 0..6000_usize, 1..6100_usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A device may say what it likes.
    #[test]
    fn any_header(all in prop::collection::vec(said(), 1..60)) {
        let buffers = PoolConfig { small: 128, jumbo: 4 };
        let mut bench = Bench::with_pool(ALL | CHECKSUMS | SEGMENTATION, 1500, 1, buffers);
        let (_net, mut pair) = bench.open();
        for (n, (header, len, cut)) in (1..).zip(all) {
            let mut frame = stream(len);
            frame.truncate(cut);
            bench.deliver_with(0, header, &frame);
            let mut batch: Batch = receive(&mut bench, &mut pair).into_iter().collect();
            let stats = pair.rx.stats();
            prop_assert_eq!((stats.frames + stats.dropped(), stats.faults), (n, 0));
            pair.tx.transmit(&mut batch, &mut bench.cache).unwrap();
            let sent = pair.tx.stats();
            prop_assert_eq!(sent.frames + sent.refused + sent.too_long, stats.frames);
            while bench.device.consume(1).is_some() {}
        }
    }
}
