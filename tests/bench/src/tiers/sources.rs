//! What comes in.

use crate::versus::frames::Frames;
use flow::{Field, Flow, compose};
use netdev::fake::{Repeat, Source};

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
