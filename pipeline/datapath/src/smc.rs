//! Signature match cache (SMC): between the exact-match cache and the megaflow table.
//!
//! # What
//! Maps a signature, sixteen bits of the hash of a packet's whole key, to the slot of the megaflow that
//! the packet hit last. An entry is six bytes where the exact-match cache has 132, so a million packets'
//! keys fit into some megabytes; in return a signature proves nothing, and the packet is compared with
//! the megaflow under its mask, which is one probe. So where there are more flows than the exact-match
//! cache holds, and several masks, a packet costs one probe instead of one for every mask. Off unless
//! configured (`smc-enable`).
//!
//! # Why staleness is harmless
//! What an entry says is believed only after the packet was found to match the megaflow that is in the
//! slot *now*, in the packet's own port. If the slot has another tenant since, that one matches, and
//! then it is right, or it does not, and the entry misses. Nothing is invalidated from outside.
//!
//! # More than 65,536 flows
//! Open vSwitch keeps sixteen bits of an index that counts its flows, and so cannot name the flows
//! beyond 65,536. Here a slot is named whole, with 32 bits.
//!
//! # Cost
//! A line of 64 bytes has ten entries, and a key belongs to one line: a lookup is that line, then the row
//! of each megaflow whose signature agrees (a wrong one in ten of 65,536). Lines of a batch are asked
//! for together, and so are the rows. 131,072 lines, 8 MiB, are taken when the first megaflow is
//! installed with the cache on; no packet ever allocates.
//!
//! # Concurrency
//! Owned by one core, reached only through `&mut`; the only atomics are the counters it is given.

use alloc::vec::Vec;

use flow::Extracted;
use packet::BATCH;
use sync::prefetch::prefetch;

use crate::{
    accounting::CoreCounters,
    ids::PortNo,
    probe::{Probe, Probes},
    table::{Flows, Hit, Hits, PortTable, Slot},
};

/// Lines of a cache.
const LINES: usize = 1 << 17;
/// Entries of a line.
const WAYS: usize = 10;

/// One core's signature cache.
#[derive(Debug)]
pub(crate) struct Smc {
    /// None as long as it is off, or nothing was installed.
    lines: Vec<Line>,
    is_on: bool,
    /// Which way of a full line is replaced next: any will do.
    hand: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line {
    signatures: [u16; WAYS],
    slots: [Slot; WAYS],
}

const _: () = assert!(size_of::<Line>() == 64, "a cache line");

impl Line {
    const EMPTY: Self = Self { signatures: [0; WAYS], slots: [Slot::NONE; WAYS] };

    /// Which ways have this signature, a bit each.
    #[inline]
    fn ways_of(&self, signature: u16) -> u32 {
        let all = self.signatures.iter().enumerate();
        all.fold(0, |ways, (way, other)| ways | u32::from(*other == signature) << way)
    }

    fn slots_of(&self, signature: u16) -> impl Iterator<Item = Slot> {
        let mut ways = self.ways_of(signature);
        core::iter::from_fn(move || {
            let way = ways.trailing_zeros() as usize;
            ways &= ways.wrapping_sub(1);
            self.slots.get(way).copied()
        })
    }
}

impl Smc {
    pub(crate) fn new(is_on: bool) -> Self {
        Self { lines: Vec::new(), is_on, hand: 0 }
    }

    /// Turns it on or off; off it has no memory.
    pub(crate) fn turn(&mut self, is_on: bool) {
        self.is_on = is_on;
        if !is_on {
            self.lines = Vec::new();
        }
    }

    /// Takes its memory, unless it has it. To be called when a megaflow is installed.
    pub(crate) fn make_ready(&mut self) {
        // Without memory there is no cache; the next installation tries again.
        if self.is_on && self.lines.is_empty() && self.lines.try_reserve_exact(LINES).is_ok() {
            self.lines.resize(LINES, Line::EMPTY);
        }
    }

    /// Whether it is asked.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Finds the megaflows of those keys that have not hit, as far as they are known here.
    pub(crate) fn lookup(
        &self,
        probes: &Probes,
        keys: &[Extracted],
        table: (PortNo, &PortTable),
        flows: &Flows,
        hits: &mut Hits,
        counters: &CoreCounters,
    ) {
        let missing = hits.missing();
        for packet in missing {
            if let Some(line) = probes.get(packet).and_then(|probe| self.line(probe)) {
                prefetch(line);
            }
        }
        // The first candidate of each; a second one with the same signature is rare.
        let mut first = [Slot::NONE; BATCH];
        for (slot, packet) in first.iter_mut().zip(missing) {
            let candidate = probes
                .get(packet)
                .and_then(|probe| self.line(probe)?.slots_of(signature(probe)).next());
            *slot = candidate.unwrap_or(Slot::NONE);
            flows.prefetch(*slot);
        }
        for (slot, _) in first.into_iter().zip(missing) {
            if let Some(installed) = flows.get(slot) {
                table.1.prefetch(installed.at());
            }
        }
        for (first, packet) in first.into_iter().zip(missing) {
            let (Some(probe), Some(key)) = (probes.get(packet), keys.get(packet)) else { break };
            let is_right = |slot: &Slot| {
                flows.get(*slot).is_some_and(|installed| {
                    installed.at().port == table.0 && table.1.is_at(installed.at(), &key.flow)
                })
            };
            let found = Some(first).filter(&is_right).or_else(|| {
                let line = self.line(probe).filter(|_| first != Slot::NONE)?;
                line.slots_of(signature(probe)).skip(1).find(is_right)
            });
            if let Some(slot) = found {
                // As one subtable: that is what it costs.
                hits.put(packet, Hit { slot, n_probes: 1 });
            }
        }
        let n_misses = hits.missing().len();
        let n_hits = missing.len() - n_misses;
        counters.smc_hits.add(n_hits);
        counters.smc_misses.add(n_misses);
    }

    /// Remembers where the megaflow table has found a key.
    #[inline]
    pub(crate) fn insert(&mut self, probe: &Probe, slot: Slot, counters: &CoreCounters) {
        let hand = self.hand;
        self.hand = (hand + 1) % WAYS;
        let index = self.index(probe);
        let Some(line) = self.lines.get_mut(index) else { return };
        let signature = signature(probe);
        let same = line.ways_of(signature).trailing_zeros() as usize;
        let way = if same < WAYS {
            // This key's megaflow has changed, or another key has the same signature.
            same
        } else {
            let free = line.slots.iter().position(|slot| *slot == Slot::NONE);
            if free.is_none() {
                counters.smc_replaces.add(1);
            }
            free.unwrap_or(hand)
        };
        if let (Some(place), Some(of)) = (line.slots.get_mut(way), line.signatures.get_mut(way)) {
            (*place, *of) = (slot, signature);
            counters.smc_inserts.add(1);
        }
    }

    #[inline]
    fn line(&self, probe: &Probe) -> Option<&Line> {
        self.lines.get(self.index(probe))
    }

    /// The line of a key; there is a power of two of them.
    #[inline]
    fn index(&self, probe: &Probe) -> usize {
        usize::try_from(probe.wide() >> 40).unwrap_or(0) & self.lines.len().wrapping_sub(1)
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "sixteen bits of a hash")]
fn signature(probe: &Probe) -> u16 {
    probe.wide() as u16
}
