//! Frames that their sender has not finished, from a device that may lie in every field of its header, through
//! the driver, to a device that takes some of them as they are.
//!
//! The first byte picks the features; then each step is a frame with its header, delivered, received, finished as
//! far as the device does not do it, sent, and taken by the device. Asserted:
//! - nothing panics, and no queue faults: the rings are honest;
//! - each frame is received, or counted by its reason; each packet is sent, or counted;
//! - a header that leaves nothing to do leaves the bytes as they are, and any other changes two of them at most;
//! - what is left to the device is what it offered, with places within the frame;
//! - what an honest sender left comes out with right checksums, and all of its stream in order, whoever did it.

use std::cell::RefCell;

use netdev::{Netdev, QueuePair};
use packet::build::{Ip, Ipv4, Ipv6, ethernet, tcp, udp, vlan};
use packet::checksum::{finish, pseudo_ipv4, pseudo_ipv6};
use packet::wire::tcp::Repr;
use packet::{Batch, OffloadSet, Packet, PoolCache, PoolConfig, Segments};
use virtio::fake::FakeDevice;
use virtio_net::{FRAME_OVERHEAD, HEADER_LEN, feature};

use crate::bytes::Bytes;
use crate::rig::{Rig, Sizes};
use crate::sums::{Sum, of_frame};
use crate::{Behaviour, behaviour};

const RX: u16 = 0;
const TX: u16 = 1;
const MTU: u16 = 1500;
/// So long that a large frame finds room in small buffers.
const QUEUE_SIZE: u16 = 64;
const MAX_STEPS: usize = 12;
const KINDS: usize = 32;
/// Fields of the device's header.
const NEEDS_CSUM: u8 = 1;
const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const ECN: u8 = 0x80;

thread_local! {
    /// Empty until needed, and after a law was broken.
    static RIGS: RefCell<[Option<Rig>; KINDS]> = const { RefCell::new([const { None }; KINDS]) };
}

/// Runs the target.
pub fn offload(data: &[u8]) -> Behaviour {
    let mut script = Bytes::new(data);
    let kind = usize::from(script.u8()) % KINDS;
    let mut rig = RIGS.with_borrow_mut(|rigs| rigs[kind].take()).unwrap_or_else(|| rig(kind));
    let (pair, cache) = rig.open();
    let mut run = Run {
        device: rig.device.clone(),
        pair,
        cache,
        features: rig.device.driver_features(),
        offered: rig.netdev.info().offloads,
        seen: 0,
    };
    for _ in 0..MAX_STEPS {
        if script.is_empty() {
            break;
        }
        run.step(&mut script);
    }
    let Run { pair, cache, seen, .. } = run;
    rig.close(pair, cache);
    RIGS.with_borrow_mut(|rigs| rigs[kind] = Some(rig));
    behaviour(&[kind as u64, seen])
}

/// The device of this kind.
fn rig(kind: usize) -> Rig {
    let mut features = 0;
    let large_in = feature::GUEST_TSO4 | feature::GUEST_TSO6 | feature::GUEST_ECN;
    let large_out = feature::HOST_TSO4 | feature::HOST_TSO6 | feature::HOST_ECN;
    for (bit, adds) in [
        (1, feature::GUEST_CSUM | large_in),
        (2, feature::CSUM),
        (4, large_out),
        (8, feature::MRG_RXBUF),
    ] {
        features |= if kind & bit != 0 { adds } else { 0 };
    }
    if kind & 16 != 0 {
        // The newer halves are missing.
        let missing = feature::GUEST_TSO6 | feature::GUEST_ECN | feature::HOST_TSO6;
        features &= !(missing | feature::HOST_ECN);
        features |= feature::RING_PACKED;
    }
    let buffers = PoolConfig { small: 512, jumbo: 80 };
    Rig::new(kind, features, &Sizes { mtu: MTU, queue_size: QUEUE_SIZE, buffers, n_large: 6 })
}

/// What an honest sender meant.
struct Meant {
    is_v4: bool,
    is_tcp: bool,
    n_tags: usize,
    payload: Vec<u8>,
}

impl Meant {
    fn l3(&self) -> usize {
        14 + 4 * self.n_tags
    }

    fn l4(&self) -> usize {
        self.l3() + if self.is_v4 { 20 } else { 40 }
    }

    fn place(&self) -> usize {
        if self.is_tcp { 16 } else { 6 }
    }

    fn header_len(&self) -> usize {
        self.l4() + if self.is_tcp { 20 } else { 8 }
    }

    /// The frame with the sum of its pseudo header where the checksum goes.
    fn bytes(&self, flags: u16) -> Vec<u8> {
        let ip: Ip = if self.is_v4 { Ipv4::default().into() } else { Ipv6::default().into() };
        let packet = match self.is_tcp {
            true => {
                let segment = Repr { src: 1, dst: 2, seq: u32::MAX - 99, ack: 4, flags, window: 5 };
                tcp(&ip, segment, &self.payload)
            }
            false => udp(&ip, 1, 2, &self.payload),
        };
        let mut frame = ethernet([2; 6], [4; 6], self.eth_type(), &packet);
        for tag in 0..self.n_tags {
            frame = vlan(0x8100, 5 + u16::from(tag != 0), &frame);
        }
        let len = frame.len() - self.l4();
        let proto = if self.is_tcp { 6 } else { 17 };
        let sum = match &ip {
            Ip::V4(ip) => pseudo_ipv4(ip.src, ip.dst, proto, u16::try_from(len).unwrap_or(0)),
            Ip::V6(ip) => pseudo_ipv6(ip.src, ip.dst, proto, u32::try_from(len).unwrap_or(0)),
        };
        frame[self.l4() + self.place()..][..2].copy_from_slice(&(!finish(sum)).to_be_bytes());
        frame
    }

    fn eth_type(&self) -> u16 {
        if self.is_v4 { 0x0800 } else { 0x86dd }
    }
}

/// The device's header as it writes it, and where what it says stands.
fn header(flags: u8, kind: u8, halves: [u16; 5]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    [header[0], header[1]] = [flags, kind];
    for (place, half) in header[2..].chunks_exact_mut(2).zip(halves) {
        place.copy_from_slice(&half.to_le_bytes());
    }
    header
}

fn half(header: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([header[at], header[at + 1]])
}

struct Run {
    device: FakeDevice,
    pair: Vec<QueuePair>,
    cache: PoolCache,
    features: u64,
    offered: OffloadSet,
    /// What happened, a bit each.
    seen: u64,
}

impl Run {
    fn step(&mut self, script: &mut Bytes<'_>) {
        let shape = script.u8();
        let meant = Meant {
            is_v4: shape & 1 != 0,
            is_tcp: shape & 2 != 0,
            n_tags: usize::from(shape >> 2) % 3,
            payload: {
                let len = script.u16();
                // Short ones are as likely as long ones.
                let len = if len & 1 == 0 { len % 1400 } else { len % 64_000 };
                let fill = script.u8();
                (0..len).map(|at| at.wrapping_mul(0x9e37).to_be_bytes()[0] ^ fill).collect()
            },
        };
        let (has_cwr, size) = (script.u8() & 1 != 0, script.u16());
        let mut frame = meant.bytes(if has_cwr { 0x98 } else { 0x18 });
        let wants_large = meant.is_tcp && meant.payload.len() > usize::from(size) && size > 0;
        let mut kind = if wants_large { if meant.is_v4 { TCP_V4 } else { TCP_V6 } } else { 0 };
        kind |= if wants_large && has_cwr { ECN } else { 0 };
        let [start, place, len] =
            [meant.l4(), meant.place(), meant.header_len()].map(|n| u16::try_from(n).unwrap_or(0));
        let mut header = header(NEEDS_CSUM, kind, [len, size, start, place, 1]);
        // Lies in some bytes of header and frame, and about the frame's end.
        let n_lies = script.u8() % 8;
        for _ in 0..n_lies.saturating_sub(3) {
            let (at, value) = (usize::from(script.u8()), script.u8());
            match at {
                ..10 => header[at] = value,
                10..100 => {
                    if let Some(byte) = frame.get_mut(at - 10) {
                        *byte = value;
                    }
                }
                _ => frame.truncate(usize::from(value)),
            }
        }
        let is_honest = n_lies <= 3;
        self.pass(&meant, frame, header, is_honest);
    }

    fn pass(
        &mut self,
        meant: &Meant,
        mut frame: Vec<u8>,
        mut header: [u8; HEADER_LEN],
        mut is_honest: bool,
    ) {
        let has = |bit| self.features & bit != 0;
        let kind = header[1];
        is_honest &= has(feature::GUEST_CSUM)
            && match kind & !ECN {
                0 => true,
                TCP_V4 => has(feature::GUEST_TSO4),
                _ => has(feature::GUEST_TSO6),
            };
        let before = self.pair[0].rx.stats();
        is_honest &= self.deliver(&mut frame, &mut header);
        let mut batch = Batch::new();
        let received = self.pair[0].rx.receive(&mut batch, &mut self.cache);
        assert_eq!(received, Ok(batch.len()));
        let after = self.pair[0].rx.stats();
        let n_known = |stats: netdev::RxStats| stats.frames + stats.dropped();
        assert_eq!(n_known(after) - n_known(before), 1, "one frame");
        let Some(packet) = batch.pop() else {
            let reason = [
                (after.truncated, before.truncated),
                (after.no_buffer, before.no_buffer),
                (after.malformed, before.malformed),
                (after.bad_offload, before.bad_offload),
            ];
            for (k, (now, then)) in reason.into_iter().enumerate() {
                self.seen |= u64::from(now != then) << k;
            }
            // Too long in one piece, or in segments; or no buffer is so large.
            assert!(!is_honest || after.bad_offload == before.bad_offload, "{header:?}");
            return;
        };
        self.seen |=
            1 << (8 + u64::from(!packet.offload().is_none()) + 2 * u64::from(packet.is_large()));
        self.check_received(&packet, &frame, &header);
        let outcome = self.send(packet);
        if is_honest {
            self.check_honest(meant, &outcome, header[0] & NEEDS_CSUM != 0);
        }
    }

    /// Delivers a frame in as many buffers as it needs, cut to what fits; whether it was not.
    fn deliver(&mut self, frame: &mut Vec<u8>, header: &mut [u8; HEADER_LEN]) -> bool {
        let is_mergeable = self.features & feature::MRG_RXBUF != 0;
        let mut chains = Vec::new();
        let mut rest = HEADER_LEN + frame.len();
        while rest > 0 && (is_mergeable || chains.is_empty()) {
            let Some(chain) = self.device.pop(RX) else { break };
            let n = rest.min(usize::try_from(chain.room()).unwrap_or(0));
            chains.push((chain, u32::try_from(n).unwrap_or(0)));
            rest -= n;
        }
        frame.truncate(frame.len() - rest.min(frame.len()));
        let n = if is_mergeable { u16::try_from(chains.len()).unwrap_or(0) } else { 1 };
        header[10..12].copy_from_slice(&n.to_le_bytes());
        let bytes = [&header[..], frame].concat();
        let mut left = &bytes[..];
        for (chain, n) in &chains {
            let (now, later) = left.split_at(usize::try_from(*n).unwrap_or(0));
            self.device.write(chain, now);
            left = later;
        }
        self.device.push_all(RX, &chains);
        rest == 0
    }

    fn check_received(&self, packet: &Packet, frame: &[u8], header: &[u8; HEADER_LEN]) {
        assert_eq!(packet.len(), frame.len());
        let differ: Vec<_> =
            frame.iter().zip(packet.data()).enumerate().filter(|(_, (a, b))| a != b).collect();
        let takes = self.features & feature::GUEST_CSUM != 0;
        if !takes || header[0] & NEEDS_CSUM == 0 || !packet.offload().is_none() {
            assert!(differ.is_empty(), "bytes changed on receipt");
        }
        let place = usize::from(half(header, 6)) + usize::from(half(header, 8));
        assert!(differ.iter().all(|(at, _)| (place..place + 2).contains(at)), "elsewhere");
        if !packet.offload().is_none() {
            assert!(takes && packet.unfinished().is_some());
        }
        assert!(packet.wire_len() <= usize::from(MTU) + FRAME_OVERHEAD);
    }

    /// Finishes what the device does not, sends it, and gives what is on the wire then: by its own word, all of it
    /// but large frames finished.
    fn send(&mut self, mut packet: Packet) -> Outcome {
        let mut outcome = Outcome::default();
        let mut ready = Vec::new();
        if packet.passes(self.offered) {
            ready.push(packet);
        } else if packet.is_large() {
            match Segments::of(&packet) {
                None => outcome.n_lost += 1,
                Some(mut segments) => loop {
                    match segments.next(&mut self.cache) {
                        Ok(Some(mut segment)) => {
                            if !segment.passes(self.offered) {
                                assert!(segment.finish_checksum(), "a segment is in order");
                            }
                            ready.push(segment);
                        }
                        Ok(None) => break,
                        Err(_) => {
                            outcome.n_lost += 1;
                            break;
                        }
                    }
                },
            }
            self.seen |= 1 << 16 << ready.len().min(3);
            self.cache.free(packet);
        } else if packet.finish_checksum() {
            ready.push(packet);
        } else {
            outcome.n_lost += 1;
            self.cache.free(packet);
        }
        for packet in ready {
            let before = self.pair[0].tx.stats();
            let mut batch: Batch = [packet].into_iter().collect();
            assert_eq!(self.pair[0].tx.transmit(&mut batch, &mut self.cache), Ok(1));
            let after = self.pair[0].tx.stats();
            assert_eq!((after.refused, after.too_long), (before.refused, before.too_long));
            let chain = self.device.pop(TX).expect("it was sent");
            let bytes = self.device.read(&chain);
            self.device.push(TX, &chain, 0);
            self.take(&bytes, &mut outcome);
        }
        outcome
    }

    /// What the device makes of what it is given.
    fn take(&mut self, bytes: &[u8], outcome: &mut Outcome) {
        let (header, frame) = bytes.split_at(HEADER_LEN);
        let (mut frame, kind) = (frame.to_vec(), header[1]);
        if header[0] == 0 {
            assert_eq!(header, [0; HEADER_LEN]);
        } else {
            assert_eq!(header[0], NEEDS_CSUM);
            assert!(self.features & feature::CSUM != 0, "not offered");
            let (start, offset) = (usize::from(half(header, 6)), usize::from(half(header, 8)));
            assert!(start + offset + 2 <= frame.len(), "outside of the frame");
            let total = finish(packet::checksum::sum(&frame[start..], 0));
            let total = if total == 0 { 0xffff } else { total };
            frame[start + offset..][..2].copy_from_slice(&total.to_be_bytes());
            let wanted = match kind & !ECN {
                0 => 0,
                TCP_V4 => feature::HOST_TSO4,
                TCP_V6 => feature::HOST_TSO6,
                other => panic!("type {other}"),
            };
            let wanted = wanted | if kind & ECN != 0 { feature::HOST_ECN } else { 0 };
            assert_eq!(self.features & wanted, wanted, "not offered");
            if kind != 0 {
                let (len, size) = (usize::from(half(header, 2)), usize::from(half(header, 4)));
                assert!(size > 0 && len < frame.len() && len >= start + 20);
                assert!(frame.len() - len > size, "not large");
                self.seen |= 1 << 24;
            }
            self.seen |= 1 << 25;
        }
        outcome.frames.push((frame, kind != 0));
    }

    fn check_honest(&self, meant: &Meant, outcome: &Outcome, was_unfinished: bool) {
        if outcome.n_lost > 0 || !was_unfinished {
            return;
        }
        let mut stream = Vec::new();
        for (frame, is_large) in &outcome.frames {
            let (network, transport) = of_frame(frame, meant.eth_type(), meant.l3());
            assert!(network != Sum::Wrong, "IPv4's of {} bytes", frame.len());
            assert_eq!(transport, Sum::Right, "of {} bytes, large: {is_large}", frame.len());
            stream.extend_from_slice(&frame[meant.header_len()..]);
        }
        assert!(stream == meant.payload, "another stream");
    }
}

/// What became of a packet.
#[derive(Default)]
struct Outcome {
    /// Frames that the device took, and whether it is to cut them.
    frames: Vec<(Vec<u8>, bool)>,
    n_lost: usize,
}
