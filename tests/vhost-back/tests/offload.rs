//! Checksums that are left to the device, both ways: our driver between two back ends of which each may offer it or not.

use netdev::{Netdev, QueuePair};
use packet::checksum::{finish, is_valid, pseudo_ipv4, sum};
use packet::{Batch, OffloadSet, Pool, PoolCache, PoolConfig};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use vhost_back::{Back, Offloads};
use vhost_front::{Device, Front, Memory};
use virtio_net::VirtioNet;

const PATIENCE: Duration = Duration::from_secs(120);
const BUFFERS: PoolConfig = PoolConfig { small: 4_096, jumbo: 16 };
const BOTH: Offloads = Offloads::TAKES_CHECKSUMS.and(Offloads::LEAVES_CHECKSUMS);
/// Where UDP begins, and its checksum, counted from there.
const UDP: usize = 34;
const CHECKSUM: usize = 6;
/// In front of a finished frame, and of one whose checksum is left to do (virtio 1.2 §5.1.6).
const PLAIN: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const PARTIAL: [u8; 12] = [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 1, 0];

/// UDP over IPv4, with the sum of the pseudo header in the place of the checksum.
fn partial(len: usize) -> Vec<u8> {
    let mut frame = vec![0; UDP + 8];
    frame.extend((0..len).map(|at| at.to_le_bytes()[0]));
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    let half = |n: usize| u16::try_from(n).expect("short").to_be_bytes();
    let [ip_len, udp_len] = [half(len + 28), half(len + 8)];
    frame[14..24].copy_from_slice(&[0x45, 0, ip_len[0], ip_len[1], 0, 0, 0, 0, 64, 17]);
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let header = finish(sum(&frame[14..34], 0));
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    frame[UDP..UDP + 6].copy_from_slice(&[0, 7, 0, 9, udp_len[0], udp_len[1]]);
    let begun = !finish(pseudo(len));
    frame[UDP + CHECKSUM..UDP + 8].copy_from_slice(&begun.to_be_bytes());
    frame
}

fn pseudo(len: usize) -> u32 {
    pseudo_ipv4(0x0a00_0001, 0x0a00_0002, 17, u16::try_from(len + 8).expect("short"))
}

/// Whether the checksum is what the receiver of [`partial`] computes.
fn is_right(frame: &[u8]) -> bool {
    is_valid(sum(&frame[UDP..], pseudo(frame.len() - UDP - 8)))
}

/// Our driver in front of two back ends.
struct Pair {
    backs: [Back; 2],
    netdevs: Vec<VirtioNet<Front, Memory>>,
    queues: Vec<QueuePair>,
    cache: PoolCache,
}

impl Pair {
    fn open(dir: &Path, offered: [Offloads; 2]) -> Self {
        let socket = |k: usize| dir.join(format!("v{k}"));
        let back = |k: usize| Back::listen_with(&socket(k), offered[k]).expect("a socket");
        let backs = [back(0), back(1)];
        let bytes = Pool::required_bytes(&BUFFERS);
        let memory = Memory::new(bytes + (4 << 20)).expect("memory");
        let region = memory.region(bytes).expect("room");
        let pool: Arc<Pool> = Pool::new(BUFFERS, region).expect("a pool");
        let (mut netdevs, mut queues) = (Vec::new(), Vec::new());
        for k in 0..2_u8 {
            let device =
                Device { mac: [2, 0, 0, 0, 2, k], mtu: 1500, pairs: 1, is_mergeable: true };
            let front = Front::connect(&socket(k.into()), memory.clone(), device);
            let front = front.expect("a back end");
            let mut netdev =
                VirtioNet::new(format!("v{k}"), front, memory.clone(), 0).expect("a device");
            queues.extend(netdev.open(1, &pool).expect("queues"));
            netdevs.push(netdev);
        }
        assert!(backs.iter().all(|back| back.wait_up(PATIENCE)), "the rings are not set up");
        Self { backs, netdevs, queues, cache: PoolCache::new(pool) }
    }

    /// What comes out behind the second port of a frame that the first one's back end gives; none if the driver drops it.
    /// As in the switch, what the second one does not finish is finished before.
    fn forward(&mut self, header: [u8; 12], frame: &[u8]) -> Option<([u8; 12], Vec<u8>)> {
        let begun = Instant::now();
        while !self.backs[0].give(header, frame) {
            assert!(begun.elapsed() < PATIENCE, "there are no buffers");
            thread::yield_now();
        }
        let before = self.queues[0].rx.stats();
        let mut batch = Batch::new();
        while batch.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nothing is received");
            self.queues[0].rx.receive(&mut batch, &mut self.cache).expect("a sound ring");
            if self.queues[0].rx.stats().dropped() > before.dropped() {
                return None;
            }
        }
        let offloads = self.netdevs[1].info().offloads;
        let finished = batch.into_iter().map(|mut packet| {
            assert!(packet.passes(offloads) || packet.finish_checksum());
            packet
        });
        let mut batch: Batch = finished.collect();
        let sent = self.queues[1].tx.transmit(&mut batch, &mut self.cache);
        assert_eq!(sent, Ok(1));
        let mut got = None;
        while got.is_none() {
            assert!(begun.elapsed() < PATIENCE, "nothing is sent");
            got = self.backs[1].take();
        }
        got
    }
}

#[test]
fn checksums_are_left_where_both_ends_agree() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut pair = Pair::open(dir.path(), [BOTH, BOTH]);
    for (back, netdev) in pair.backs.iter().zip(&pair.netdevs) {
        assert_eq!(back.agreed(), BOTH);
        assert_eq!(netdev.info().offloads, OffloadSet::CHECKSUM);
    }
    for len in [0, 1, 22, 700, 1472] {
        let (header, frame) = pair.forward(PARTIAL, &partial(len)).expect("a frame");
        assert_eq!(header[..10], PARTIAL[..10], "{len}");
        assert!(frame == partial(len), "{len}: as it is");
        // One that is finished stays so.
        let (header, frame) = pair.forward(PLAIN, &partial(len)).expect("a frame");
        assert_eq!(header[..10], [0; 10], "{len}");
        assert!(frame == partial(len), "{len}: as it is");
    }
}

#[test]
fn checksums_are_finished_for_who_does_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut pair = Pair::open(dir.path(), [BOTH, Offloads::default()]);
    assert_eq!(pair.backs[1].agreed(), Offloads::default());
    assert_eq!(pair.netdevs[1].info().offloads, OffloadSet::NONE);
    for len in [0, 1, 22, 700, 1472] {
        let (header, frame) = pair.forward(PARTIAL, &partial(len)).expect("a frame");
        assert_eq!(header[..10], [0; 10], "{len}");
        assert!(is_right(&frame), "{len}");
        assert!(!is_right(&partial(len)), "{len}: it was not before");
    }
}

#[test]
fn what_was_not_agreed_on_is_not_looked_at() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut pair = Pair::open(dir.path(), [Offloads::TAKES_CHECKSUMS, BOTH]);
    assert_eq!(pair.backs[0].agreed(), Offloads::TAKES_CHECKSUMS);
    let (header, frame) = pair.forward(PARTIAL, &partial(100)).expect("a frame");
    assert_eq!((&header[..10], frame), (&[0; 10][..], partial(100)));
}

#[test]
fn a_back_end_that_lies_loses_its_frame_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut pair = Pair::open(dir.path(), [BOTH, BOTH]);
    for (start, offset) in [(142, 6), (34, 107), (0xffff, 0xffff), (141, 0)] {
        let mut header = PARTIAL;
        header[6..8].copy_from_slice(&u16::to_le_bytes(start));
        header[8..10].copy_from_slice(&u16::to_le_bytes(offset));
        assert_eq!(pair.forward(header, &partial(100)), None, "{start} {offset}");
        assert!(pair.forward(PARTIAL, &partial(100)).is_some());
    }
}
