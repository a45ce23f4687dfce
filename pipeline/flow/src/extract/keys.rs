//! The keys of a batch, word by word.
//!
//! # Why
//! A lookup compares one word of all packets with one value, mask after mask. Here the same word of 32
//! packets stands side by side, a *column*, so that a few wide instructions compare them, and a batch of
//! usual frames touches eight columns of four cache lines instead of four or five lines for each
//! packet.
//!
//! # What is in a column
//! Each packet's value, zero where it has none. Written are only the words that a frame fills, and
//! cleared only those that the last frame in this place filled and this one does not, which the
//! packet's *map* tells. Behind the packets of the batch stands what earlier ones left.

use super::usual::{Put, usual};
use super::{Extracted, FlowMeta, metadata};
use crate::flow::Flow;
use crate::layout::{ARP_SHA, FLOW_WORDS, WordMap};
use packet::{BATCH, Offsets};

const _: () = assert!(BATCH.is_power_of_two());

/// The keys of up to [`BATCH`] packets.
#[derive(Debug)]
pub struct Keys {
    columns: [[u64; BATCH]; FLOW_WORDS],
    /// The words of each packet that may be other than zero: see [`Extracted::map`].
    maps: [WordMap; BATCH],
    n: usize,
    /// Words that any packet of the batch may have.
    all: WordMap,
    /// Takes unusual frames apart.
    general: Extracted,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            columns: [[0; BATCH]; FLOW_WORDS],
            maps: [WordMap(0); BATCH],
            n: 0,
            all: WordMap(0),
            general: Extracted::EMPTY,
        }
    }
}

impl Keys {
    /// Forgets all packets, and makes room for `n` others, up to [`BATCH`], that are to be set.
    #[inline]
    pub fn begin(&mut self, n: usize) {
        (self.n, self.all) = (n.min(BATCH), WordMap(0));
    }

    /// How many packets there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Takes the frame of a packet apart, and says where its layers begin.
    #[inline(always)]
    pub fn set(&mut self, packet: usize, frame: &[u8], meta: &FlowMeta) -> Offsets {
        let mut row = Row { columns: &mut self.columns, packet, map: WordMap(0) };
        metadata(meta, &mut row);
        match usual(frame, &mut row) {
            Some(offsets) => {
                let map = row.map;
                self.finish(packet, map);
                offsets
            }
            None => self.set_generally(packet, frame, meta),
        }
    }

    #[inline(never)]
    fn set_generally(&mut self, packet: usize, frame: &[u8], meta: &FlowMeta) -> Offsets {
        self.general.refill(frame, meta);
        let Extracted { flow, map, offsets, .. } = self.general;
        self.set_words(packet, &flow, map);
        offsets
    }

    /// Takes the key of a packet that is known already.
    pub fn set_flow(&mut self, packet: usize, flow: &Flow) {
        self.set_words(packet, flow, flow.map());
    }

    fn set_words(&mut self, packet: usize, flow: &Flow, map: WordMap) {
        let mut row = Row { columns: &mut self.columns, packet, map: WordMap(0) };
        for word in map {
            row.put(word, flow.word(word));
        }
        self.finish(packet, map);
    }

    /// Clears what the last frame in this place had and this one has not.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a power of two of them")]
    fn finish(&mut self, packet: usize, map: WordMap) {
        let before = core::mem::replace(&mut self.maps[packet & (BATCH - 1)], map);
        for word in WordMap(before.0 & !map.0) {
            self.columns[word & (FLOW_WORDS - 1)][packet & (BATCH - 1)] = 0;
        }
        self.all.0 |= map.0;
    }

    /// A word of a packet's key.
    #[must_use]
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "powers of two")]
    pub fn word(&self, packet: usize, word: usize) -> u64 {
        self.columns[word & (FLOW_WORDS - 1)][packet & (BATCH - 1)]
    }

    /// A word of all packets' keys; behind them, anything.
    #[must_use]
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a power of two of them")]
    pub fn column(&self, word: usize) -> &[u64; BATCH] {
        &self.columns[word & (FLOW_WORDS - 1)]
    }

    /// The words of a packet's key that may be other than zero.
    #[must_use]
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a power of two of them")]
    pub fn map(&self, packet: usize) -> WordMap {
        self.maps[packet & (BATCH - 1)]
    }

    /// A packet's key, put together.
    #[must_use]
    pub fn flow(&self, packet: usize) -> Flow {
        let mut flow = Flow::ZERO;
        for word in self.map(packet) {
            flow.set_word(word, self.word(packet, word));
        }
        flow
    }

    /// The TCP flags that any of these packets has.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "flags are the low bits of their word")]
    pub fn tcp_flags(&self, mut packets: impl Iterator<Item = usize>) -> u16 {
        if self.all.0 & 1 << ARP_SHA == 0 {
            return 0;
        }
        packets.by_ref().fold(0, |flags, packet| flags | self.word(packet, ARP_SHA) as u16)
    }
}

/// A packet's place in the columns.
struct Row<'a> {
    columns: &'a mut [[u64; BATCH]; FLOW_WORDS],
    packet: usize,
    map: WordMap,
}

impl Put for Row<'_> {
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "powers of two")]
    fn put(&mut self, word: usize, value: u64) {
        self.columns[word & (FLOW_WORDS - 1)][self.packet & (BATCH - 1)] = value;
        self.map.0 |= 1 << (word & (FLOW_WORDS - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::any_frame;
    use super::*;
    use crate::extract::extract;
    use proptest::prelude::*;

    proptest! {
        /// Batches in one place after the other, against keys made one by one.
        #[test]
        fn keys_of_a_batch_are_the_keys_of_its_frames(
            batches in proptest::collection::vec(proptest::collection::vec(any_frame(), 1..=BATCH), 1..4),
            recirc_id in 0_u32..2,
        ) {
            let mut keys = Keys::default();
            for frames in batches {
                keys.begin(frames.len());
                let mut tcp_flags = 0;
                for (packet, (k, frame)) in (1..).zip(&frames).enumerate() {
                    let meta = FlowMeta { recirc_id, ..FlowMeta::of_port(k) };
                    prop_assert_eq!(keys.set(packet, frame, &meta), extract(frame, &meta).offsets);
                }
                prop_assert_eq!(keys.len(), frames.len());
                for (packet, (k, frame)) in (1..).zip(&frames).enumerate() {
                    let meta = FlowMeta { recirc_id, ..FlowMeta::of_port(k) };
                    let alone = extract(frame, &meta);
                    prop_assert_eq!(keys.flow(packet), alone.flow);
                    prop_assert_eq!(keys.map(packet), alone.map);
                    for word in 0..FLOW_WORDS {
                        prop_assert_eq!(keys.column(word)[packet], alone.flow.word(word));
                    }
                    tcp_flags |= alone.flow.tcp_flags();
                }
                prop_assert_eq!(keys.tcp_flags(0..frames.len()), tcp_flags);
            }
        }
    }
}
