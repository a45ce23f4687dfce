//! Checksums that are left to the device, both ways: our driver between two back ends of which each may offer it or not.

mod fronts;

use fronts::{Fronts, socket};
use netdev::Netdev;
use packet::checksum::{finish, is_valid, pseudo_ipv4, sum};
use packet::{Batch, OffloadSet};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use vhost_back::{Back, Offloads};

const PATIENCE: Duration = Duration::from_secs(120);
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
    fronts: Fronts,
}

impl Pair {
    fn open(dir: &Path, offered: [Offloads; 2]) -> Self {
        let back = |k: u8| Back::listen_with(&socket(dir, k), offered[usize::from(k)]);
        let backs = [0, 1].map(|k| back(k).expect("a socket"));
        let fronts = Fronts::open(dir);
        assert!(backs.iter().all(|back| back.wait_up(PATIENCE)), "the rings are not set up");
        Self { backs, fronts }
    }

    /// What comes out behind the second port of a frame that the first one's back end gives; none if the driver drops it.
    /// As in the switch, what the second one does not finish is finished before.
    fn forward(&mut self, header: [u8; 12], frame: &[u8]) -> Option<([u8; 12], Vec<u8>)> {
        let Fronts { netdevs, queues, cache } = &mut self.fronts;
        let begun = Instant::now();
        while !self.backs[0].give(header, frame) {
            assert!(begun.elapsed() < PATIENCE, "there are no buffers");
            thread::yield_now();
        }
        let before = queues[0].rx.stats();
        let mut batch = Batch::new();
        while batch.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "nothing is received");
            queues[0].rx.receive(&mut batch, cache).expect("a sound ring");
            if queues[0].rx.stats().dropped() > before.dropped() {
                return None;
            }
        }
        let offloads = netdevs[1].info().offloads;
        let finished = batch.into_iter().map(|mut packet| {
            assert!(packet.passes(offloads) || packet.finish_checksum());
            packet
        });
        let mut batch: Batch = finished.collect();
        let sent = queues[1].tx.transmit(&mut batch, cache);
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
    for (back, netdev) in pair.backs.iter().zip(&pair.fronts.netdevs) {
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
    assert_eq!(pair.fronts.netdevs[1].info().offloads, OffloadSet::NONE);
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
