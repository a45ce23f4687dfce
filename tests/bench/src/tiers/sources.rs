//! What comes in.

use crate::versus::frames::Frames;
use flow::{Field, Flow, compose};
use netdev::fake::{Repeat, Source};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tick_counter::x86_64_tick_counter;

/// The list that the tuple-space explosion is aimed at allows these values.
pub(super) const ALLOWED: [(Field, u128); 3] =
    [(Field::Ipv4Src, 0x0a00_0001), (Field::UdpSrc, 12_345), (Field::UdpDst, 80)];

/// The same frames over and over.
pub(super) fn repeat(frames: Frames) -> Repeat {
    Repeat::new(frames.make().iter().map(|frame| frame.to_vec()))
}

/// The packets of the tuple-space explosion against [`ALLOWED`], in an order that jumps.
pub(super) fn explosion() -> Vec<Vec<u8>> {
    let mut base = Flow::ZERO;
    base.set(Field::EthSrc, 0x0200_0000_0001);
    base.set(Field::EthDst, 0x0200_0000_0002);
    base.set(Field::EthType, 0x0800);
    base.set(Field::Ipv4Dst, 0x0b00_0001);
    base.set(Field::IpProto, 17);
    base.set(Field::IpTtl, 64);
    let packets = oracle::explosion(&base, &ALLOWED);
    // A step that has no divisor in common with the number of packets meets each of them once.
    let jump = |k: usize| compose(&packets[k * 4_099 % packets.len()], 18);
    (0..packets.len()).map(jump).collect()
}

/// Two lists by turns.
pub(super) fn mixed(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) -> Repeat {
    let n = one.len().max(other.len());
    let (one, other) = (one.into_iter().cycle(), other.into_iter().cycle());
    Repeat::new(one.zip(other).take(n).flat_map(|(a, b)| [a, b]).collect::<Vec<_>>())
}

/// Frames of ever new hosts.
#[derive(Debug)]
pub(super) struct Strangers {
    frame: Vec<u8>,
    /// The first byte of their addresses.
    network: u8,
    n: u32,
}

impl Strangers {
    pub(super) fn new() -> Self {
        Self::of(10)
    }

    fn of(network: u8) -> Self {
        let frame = Frames::by_source(1).make()[0].to_vec();
        Self { frame, network, n: 0 }
    }
}

impl Source for Strangers {
    fn next(&mut self) -> Option<&[u8]> {
        // All of a /8, then again: longer than they are remembered.
        self.n = (self.n + 1) % 0x0100_0000;
        self.frame[26..30].copy_from_slice(&self.n.to_be_bytes());
        self.frame[26] = self.network;
        Some(&self.frame)
    }
}

/// Known hosts, and now and then one of [`Self::NETWORK`] that nobody has met.
#[derive(Debug)]
pub(super) struct Visited {
    known: Repeat,
    visitors: Strangers,
    n: u32,
}

impl Visited {
    /// One frame in so many is of a new host.
    pub(super) const ONE_IN: u32 = 2_000;
    pub(super) const NETWORK: &str = "12.0.0.0/8";

    pub(super) fn new(known: Repeat) -> Self {
        Self { known, visitors: Strangers::of(12), n: 0 }
    }
}

impl Source for Visited {
    fn next(&mut self) -> Option<&[u8]> {
        self.n = (self.n + 1) % Self::ONE_IN;
        if self.n == 0 { self.visitors.next() } else { self.known.next() }
    }
}

/// Frames at a steady pace, and a ring in which they wait to be received, as a device has one.
///
/// # Time
/// That of the polling thread, so that what the thread was kept from running costs no frames. To ask
/// for it takes a while; in between the cycle counter tells.
#[derive(Debug)]
pub(super) struct Paced {
    frames: Repeat,
    hertz: f64,
    shared: Arc<SharedPace>,
    /// The pace that the rest is about, in frames a second.
    per_second: f64,
    /// When the thread's time was asked for, by the cycle counter, and what it was in seconds.
    asked: (u64, f64),
    /// Up to when frames have come.
    until: f64,
    /// What came of a frame that has not come yet.
    part: f64,
    n_waiting: u64,
    n_until_look: u64,
}

#[derive(Debug, Default)]
struct SharedPace {
    /// The bits of a number of frames a second; 0 is all that is asked for.
    per_second: AtomicU64,
    offered: AtomicU64,
    lost: AtomicU64,
}

/// What came at a steady pace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) offered: u64,
    /// Those for which the ring had no room.
    pub(super) lost: u64,
}

/// Sets the pace.
#[derive(Clone, Debug)]
pub(super) struct PaceHandle(Arc<SharedPace>);

impl PaceHandle {
    pub(super) fn set(&self, per_second: f64) {
        self.0.per_second.store(per_second.to_bits(), Relaxed);
    }

    /// What came since the last time.
    pub(super) fn take(&self) -> Pace {
        let [offered, lost] = [&self.0.offered, &self.0.lost].map(|n| n.swap(0, Relaxed));
        Pace { offered, lost }
    }
}

impl Paced {
    /// Places of the ring.
    const RING: u64 = 1_024;
    /// Frames between two looks at the time.
    const LOOK: u64 = packet::BATCH as u64;
    /// Seconds between two questions for the thread's time.
    const ASK: f64 = 20e-6;

    /// All frames that are asked for, at first.
    pub(super) fn new(frames: Repeat, hertz: f64) -> (Self, PaceHandle) {
        let shared = Arc::new(SharedPace::default());
        let handle = PaceHandle(shared.clone());
        let paced = Self {
            frames,
            hertz,
            shared,
            per_second: 0.0,
            asked: (0, 0.0),
            until: 0.0,
            part: 0.0,
            n_waiting: 0,
            n_until_look: 0,
        };
        (paced, handle)
    }

    fn now(&mut self) -> f64 {
        let ticks = x86_64_tick_counter();
        let since = ticks.wrapping_sub(self.asked.0) as f64 / self.hertz;
        if since < Self::ASK {
            return self.asked.1 + since;
        }
        let time = clock_gettime(ClockId::ThreadCPUTime);
        self.asked = (ticks, time.tv_sec as f64 + time.tv_nsec as f64 / 1e9);
        self.asked.1
    }

    /// Lets come what is due.
    fn look(&mut self) {
        let per_second = f64::from_bits(self.shared.per_second.load(Relaxed));
        let now = self.now();
        if per_second != self.per_second {
            (self.per_second, self.until) = (per_second, now);
        }
        let due = self.part + (now - self.until).max(0.0) * per_second;
        self.until = self.until.max(now);
        self.part = due.fract();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the fraction is kept for the next time"
        )]
        let came = due as u64;
        self.n_waiting += came;
        let lost = self.n_waiting.saturating_sub(Self::RING);
        self.n_waiting -= lost;
        self.shared.offered.fetch_add(came, Relaxed);
        self.shared.lost.fetch_add(lost, Relaxed);
    }
}

impl Source for Paced {
    fn next(&mut self) -> Option<&[u8]> {
        if self.n_until_look == 0 || (self.per_second > 0.0 && self.n_waiting == 0) {
            self.n_until_look = Self::LOOK;
            self.look();
        }
        self.n_until_look -= 1;
        if self.per_second > 0.0 {
            self.n_waiting = self.n_waiting.checked_sub(1)?;
        }
        self.frames.next()
    }
}
