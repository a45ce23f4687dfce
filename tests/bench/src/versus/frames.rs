//! The frames of the cases: made here, the same for both switches.
#![expect(clippy::cast_possible_truncation, reason = "header fields are cut from larger numbers")]

use std::io::{self, Write};
use std::path::Path;

/// Length of a minimal Ethernet frame without its checksum, as drivers see it.
const FRAME_LEN: usize = 60;
/// Ethernet addresses of the first host and of the second.
const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/// Frames of UDP over IPv4, 60 bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    /// How many there are.
    pub(crate) n: u32,
    /// IPv4 source of frame `k`: 10.0.0.0 plus `k`, if set.
    pub(crate) by_source: bool,
    /// IPv4 destination of frame `k`: 11.0.0.0 plus `k` modulo this.
    pub(crate) n_destinations: u32,
    /// UDP source port of frame `k`: 1000 plus `k`, if set.
    pub(crate) by_port: bool,
    /// Whether they come again and again.
    pub(crate) is_endless: bool,
}

impl Frames {
    /// `n` flows that differ in their IPv4 source.
    pub(crate) const fn by_source(n: u32) -> Self {
        Self { n, by_source: true, n_destinations: 1, by_port: false, is_endless: true }
    }

    /// `n` flows that differ in their UDP source port and go to `n_destinations` in turn.
    pub(crate) const fn by_port(n: u32, n_destinations: u32) -> Self {
        Self { n, by_source: false, n_destinations, by_port: true, is_endless: true }
    }

    /// All frames, each as often as it takes to fill a burst.
    pub(crate) fn make(&self) -> Vec<[u8; FRAME_LEN]> {
        let n = self.n.max(32).next_multiple_of(self.n);
        (0..n).map(|k| self.frame(k % self.n)).collect()
    }

    fn frame(&self, k: u32) -> [u8; FRAME_LEN] {
        let source = 0x0a00_0000 + if self.by_source { k } else { 0 };
        let destination = 0x0b00_0000 + k % self.n_destinations;
        let port = 1000_u16.wrapping_add(if self.by_port { k as u16 } else { 0 });
        let mut frame = [0; FRAME_LEN];
        frame[..12].copy_from_slice(&ETHERNET);
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]);
        frame[26..30].copy_from_slice(&source.to_be_bytes());
        frame[30..34].copy_from_slice(&destination.to_be_bytes());
        let sum: u32 =
            frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        frame[36..38].copy_from_slice(&2000_u16.to_be_bytes());
        frame[38..40].copy_from_slice(&26_u16.to_be_bytes());
        frame
    }

    /// Writes them as a capture file.
    pub(crate) fn write_pcap(&self, path: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(std::fs::File::create(path)?);
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            file.write_all(&word.to_le_bytes())?;
        }
        let len = FRAME_LEN as u32;
        for frame in self.make() {
            for word in [0, 0, len, len] {
                file.write_all(&word.to_le_bytes())?;
            }
            file.write_all(&frame)?;
        }
        file.flush()
    }
}
