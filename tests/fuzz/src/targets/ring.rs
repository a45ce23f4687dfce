//! What a virtio device does to its rings, scripted: honest deliveries, and every kind of lie.
//!
//! The first byte picks the device (mergeable buffers, event index, packed ring, in order, offloads), the rest is a script of what
//! device and driver do in turn. Asserted:
//! - nothing panics; a fault, once reported, is reported by every later call;
//! - a frame that reaches the switch has a legal length, and what is left to do of it is within it; it can be sent
//!   on, as it is or finished;
//! - as long as the device was honest there is no fault, and every frame arrives, or leaves, as it
//!   was, in order, or is counted;
//! - after a reset all buffers are back in the pool, and the device opens again.

use std::cell::RefCell;
use std::collections::VecDeque;

use netdev::{Netdev, QueueFault, QueuePair};
use packet::{Batch, OffloadSet, Packet, PoolCache, PoolConfig, Segments};
use virtio::fake::{Chain, FakeDevice, Hostile};
use virtio_net::{FRAME_OVERHEAD, HEADER_LEN, feature};

use crate::bytes::Bytes;
use crate::rig::{Rig, Sizes};
use crate::{Behaviour, behaviour};

const RX: u16 = 0;
const TX: u16 = 1;
const MTU: u16 = 3000;
/// Small, so that scripts wrap around it.
const QUEUE_SIZE: u16 = 8;
const MAX_STEPS: usize = 300;
const KINDS: usize = 32;

thread_local! {
    /// Empty until needed, and after a law was broken.
    static RIGS: RefCell<[Option<Rig>; KINDS]> = const { RefCell::new([const { None }; KINDS]) };
}

/// Runs the target.
pub fn ring(data: &[u8]) -> Behaviour {
    let mut script = Bytes::new(data);
    let kind = usize::from(script.u8()) % KINDS;
    let mut rig = RIGS.with_borrow_mut(|rigs| rigs[kind].take()).unwrap_or_else(|| rig(kind));
    let (pairs, cache) = rig.open();
    let mut run = Run::new(&rig, pairs, cache);
    for _ in 0..MAX_STEPS {
        if script.is_empty() {
            break;
        }
        run.step(&mut script);
    }
    let Run { pairs, cache, seen, .. } = run.finish();
    rig.close(pairs, cache);
    RIGS.with_borrow_mut(|rigs| rigs[kind] = Some(rig));
    behaviour(&[kind as u64, seen])
}

/// The device of this kind.
fn rig(kind: usize) -> Rig {
    let large_in = feature::GUEST_TSO4 | feature::GUEST_TSO6 | feature::GUEST_ECN;
    let large_out = feature::HOST_TSO4 | feature::HOST_TSO6 | feature::HOST_ECN;
    let mut features = 0;
    for (bit, adds) in [
        (1, feature::MRG_RXBUF),
        (2, feature::EVENT_IDX),
        (4, feature::RING_PACKED),
        (8, feature::IN_ORDER),
        (16, feature::GUEST_CSUM | feature::CSUM | large_in | large_out),
    ] {
        features |= if kind & bit != 0 { adds } else { 0 };
    }
    let buffers = PoolConfig { small: 48, jumbo: 32 };
    let n_large = if kind & 16 != 0 { 16 } else { 0 };
    Rig::new(kind, features, &Sizes { mtu: MTU, queue_size: QUEUE_SIZE, buffers, n_large })
}

struct Run {
    device: FakeDevice,
    pairs: Vec<QueuePair>,
    cache: PoolCache,
    offered: OffloadSet,
    is_mergeable: bool,
    is_in_order: bool,
    /// The device has not lied so far.
    is_honest: bool,
    /// Frames that an honest device delivered and the driver has not shown.
    arriving: VecDeque<Vec<u8>>,
    /// Frames that the driver took and an honest device has not seen.
    leaving: VecDeque<Vec<u8>>,
    /// Chains that the device keeps.
    kept: Vec<(u16, Chain)>,
    faults: [Option<QueueFault>; 2],
    /// What happened, a bit each.
    seen: u64,
}

impl Run {
    fn new(rig: &Rig, pairs: Vec<QueuePair>, cache: PoolCache) -> Self {
        let features = rig.device.driver_features();
        Self {
            device: rig.device.clone(),
            pairs,
            cache,
            offered: rig.netdev.info().offloads,
            is_mergeable: features & feature::MRG_RXBUF != 0,
            is_in_order: features & feature::IN_ORDER != 0,
            is_honest: true,
            arriving: VecDeque::new(),
            leaving: VecDeque::new(),
            kept: Vec::new(),
            faults: [None; 2],
            seen: 0,
        }
    }

    fn step(&mut self, script: &mut Bytes<'_>) {
        let op = script.u8() % 20;
        match op {
            0..=2 => self.deliver(script),
            3 => self.lie_about_length(script),
            4 => self.misbehave(script),
            5 => self.scribble(script),
            6..=9 => self.receive(),
            10..=12 => self.transmit(script),
            13 | 14 => self.collect(),
            15 => self.reclaim(),
            16 => self.keep(script),
            17 => self.give_back(script),
            18 => self.lie_about_buffers(script),
            _ => self.write_without_returning(script),
        }
        self.seen |= 1 << op;
    }

    /// An honest device delivers a frame, in as many buffers as it needs.
    fn deliver(&mut self, script: &mut Bytes<'_>) {
        let len = usize::from(script.u16() % 4000);
        let fill = script.u8();
        let frame: Vec<u8> = (0..len).map(|at| fill.wrapping_add(at.to_le_bytes()[0])).collect();
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend(&frame);
        let mut chains = Vec::new();
        let mut rest: &[u8] = &bytes;
        while !rest.is_empty() {
            // What an honest device does when buffers run out: it drops.
            let Some(chain) = self.device.pop(RX) else {
                self.is_honest &= !self.is_in_order;
                for (chain, _) in chains {
                    self.kept.push((RX, chain));
                }
                return;
            };
            let room = usize::try_from(chain.room()).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(room));
            self.device.write(&chain, now);
            chains.push((chain, u32::try_from(now.len()).unwrap_or(0)));
            rest = later;
            if !self.is_mergeable && !rest.is_empty() {
                rest = &[];
                // Cannot be: the buffers are for the MTU, so the frame is too long; an honest
                // device would not deliver it.
                self.is_honest = false;
            }
        }
        let n = u16::try_from(chains.len()).unwrap_or(0);
        bytes[10..12].copy_from_slice(&n.to_le_bytes());
        if let Some((first, _)) = chains.first() {
            self.device.write(first, &bytes[..HEADER_LEN]);
        }
        self.device.push_all(RX, &chains);
        if n > 1 {
            self.seen |= 1 << 32;
        }
        let max = usize::from(MTU) + FRAME_OVERHEAD;
        if (14..=max).contains(&len) {
            self.arriving.push_back(frame);
        }
    }

    /// The header says something about the number of buffers, and the length is anything.
    fn lie_about_buffers(&mut self, script: &mut Bytes<'_>) {
        self.is_honest = false;
        let Some(chain) = self.device.pop(RX) else {
            return;
        };
        let mut header = script.array::<HEADER_LEN>();
        if script.u8().is_multiple_of(2) {
            header[11] = 0;
            header[10] %= 10;
        }
        self.device.write(&chain, &header);
        self.device.push(RX, &chain, u32::from(script.u16() % 2200));
    }

    fn lie_about_length(&mut self, script: &mut Bytes<'_>) {
        self.is_honest = false;
        let queue = u16::from(script.u8() % 2);
        if let Some(chain) = self.device.pop(queue) {
            if queue == TX {
                self.leaving.pop_front();
            }
            self.device.push(queue, &chain, script.u32());
        }
    }

    fn misbehave(&mut self, script: &mut Bytes<'_>) {
        self.is_honest = false;
        let how = match script.u8() % 6 {
            0 => Hostile::BadId,
            1 => Hostile::BadLength,
            2 => Hostile::IndexJump(script.u16()),
            3 => Hostile::DoubleCompletion,
            4 => Hostile::WrongWrap,
            _ => Hostile::Never,
        };
        self.device.misbehave(u16::from(script.u8() % 2), how);
    }

    /// Writes anything anywhere into a used ring, or into what a packed ring returns next.
    fn scribble(&mut self, script: &mut Bytes<'_>) {
        self.is_honest = false;
        let queue = u16::from(script.u8() % 2);
        let Some((address, len)) = self.device.used_ring(queue) else {
            let [id, len, flags] = [script.u16() % 10, script.u16() % 2200, script.u16()];
            let flags = if id.is_multiple_of(2) { 1 << 7 | 1 << 15 } else { flags };
            self.device.forge(queue, id, len.into(), flags);
            return;
        };
        // Two bytes are often enough, and entries and index are aligned to them.
        let at = u32::from(script.u8()) * 2 % (len - 4);
        let bytes = match script.u8() % 3 {
            0 => script.array::<2>().to_vec(),
            1 => u16::from(script.u8() % 10).to_le_bytes().to_vec(),
            _ => script.array::<4>().to_vec(),
        };
        let target = Chain {
            head: 0,
            readable: Vec::new(),
            writable: vec![(address + u64::from(at), len - at)],
        };
        self.device.write(&target, &bytes);
    }

    /// A device that still writes into a buffer that it has not returned.
    fn write_without_returning(&mut self, script: &mut Bytes<'_>) {
        if let Some((RX, chain)) = self.kept.last() {
            self.device.write(chain, script.take(40));
        }
    }

    fn keep(&mut self, script: &mut Bytes<'_>) {
        let queue = u16::from(script.u8() % 2);
        if let Some(chain) = self.device.pop(queue) {
            if queue == TX {
                // The frame is lost to us; it is not a lie to take one's time.
                self.leaving.pop_front();
            }
            // But it is to break the order that was promised.
            self.is_honest &= !self.is_in_order;
            self.kept.push((queue, chain));
        }
    }

    /// Returns kept chains in another order.
    fn give_back(&mut self, script: &mut Bytes<'_>) {
        if self.kept.is_empty() {
            return;
        }
        let at = usize::from(script.u8()) % self.kept.len();
        let (queue, chain) = self.kept.swap_remove(at);
        if queue == RX {
            // What was written is old or nothing: too short to be a frame.
            self.device.write(&chain, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
            self.device.push(RX, &chain, 12);
        } else {
            self.device.push(TX, &chain, 0);
        }
    }

    fn receive(&mut self) {
        let mut batch = Batch::new();
        let result = self.pairs[0].rx.receive(&mut batch, &mut self.cache);
        self.note(0, result.map(|n| assert_eq!(n, batch.len())));
        let max = usize::from(MTU) + FRAME_OVERHEAD;
        for packet in batch {
            let len = packet.wire_len();
            assert!((14..=max).contains(&len), "a frame of {len} bytes");
            if self.is_honest {
                let expected = self.arriving.pop_front();
                assert_eq!(Some(packet.data()), expected.as_deref());
            }
            if packet.offload().is_none() {
                self.cache.free(packet);
            } else {
                assert!(!self.is_honest && packet.unfinished().is_some());
                self.send_on(packet);
            }
        }
    }

    /// Sends a packet on that a device has left unfinished, which none here does that is honest.
    fn send_on(&mut self, mut packet: Packet) {
        let mut batch = Batch::new();
        self.seen |= 1 << (34 + u64::from(packet.is_large()));
        if packet.passes(self.offered) {
            // It is the first.
            drop(batch.push(packet));
        } else {
            if let Some(mut segments) = Segments::of(&packet) {
                while let Ok(Some(segment)) = segments.next(&mut self.cache) {
                    assert!(segment.passes(OffloadSet::CHECKSUM));
                    if let Err(segment) = batch.push(segment) {
                        self.cache.free(segment);
                    }
                }
            } else if !packet.is_large() {
                assert!(packet.finish_checksum(), "nothing took its header away");
            }
            self.cache.free(packet);
        }
        let result = self.pairs[0].tx.transmit(&mut batch, &mut self.cache);
        self.note(1, result.map(drop));
        for packet in batch {
            self.cache.free(packet);
        }
    }

    fn transmit(&mut self, script: &mut Bytes<'_>) {
        let mut batch = Batch::new();
        let mut frames = Vec::new();
        for _ in 0..script.u8() % 4 {
            let len = usize::from(script.u16() % 3100);
            let frame = vec![script.u8(); len];
            if let Some(packet) = self.cache.from_bytes(&frame) {
                frames.push(frame);
                // Three fit.
                drop(batch.push(packet));
            }
        }
        let before = self.pairs[0].tx.stats();
        let offered = batch.len();
        let result = self.pairs[0].tx.transmit(&mut batch, &mut self.cache);
        if let Ok(taken) = result {
            assert_eq!(taken + batch.len(), offered);
            let max = usize::from(MTU) + FRAME_OVERHEAD;
            let sent = frames.into_iter().take(taken);
            self.leaving.extend(sent.filter(|frame| !frame.is_empty() && frame.len() <= max));
            let after = self.pairs[0].tx.stats();
            let counted = |stats: netdev::TxStats| stats.frames + stats.refused + stats.too_long;
            assert_eq!(counted(after) - counted(before), taken as u64);
        }
        self.note(1, result.map(drop));
        for packet in batch {
            self.cache.free(packet);
        }
    }

    fn collect(&mut self) {
        let Some(chain) = self.device.pop(TX) else {
            assert!(!self.is_honest || self.leaving.is_empty());
            return;
        };
        let bytes = self.device.read(&chain);
        self.device.push(TX, &chain, 0);
        let expected = self.leaving.pop_front();
        // A device that returned what it did not have may find something else there.
        if self.is_honest {
            assert_eq!(bytes[..HEADER_LEN], [0; HEADER_LEN]);
            assert_eq!(Some(&bytes[HEADER_LEN..]), expected.as_deref());
        }
    }

    fn reclaim(&mut self) {
        let result = self.pairs[0].tx.reclaim(&mut self.cache);
        self.note(1, result);
    }

    fn note(&mut self, half: usize, result: Result<(), QueueFault>) {
        match (self.faults[half], result) {
            (None, Ok(())) => {}
            (Some(old), now) => assert_eq!(now, Err(old), "a dead queue"),
            (None, Err(fault)) => {
                assert!(!self.is_honest, "{fault} without reason");
                self.faults[half] = Some(fault);
                self.seen |= 1 << (40 + 10 * half as u64 + fault.kind as u64);
            }
        }
    }

    /// The end of the script.
    fn finish(mut self) -> Self {
        if self.is_honest {
            for _ in 0..4 {
                self.receive();
            }
            assert_eq!(self.arriving, [] as [Vec<u8>; 0], "frames were lost");
        }
        self
    }
}
