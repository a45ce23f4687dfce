//! Signature match cache (SMC): between the exact-match cache and the megaflow table.
//!
//! # What
//! Maps a signature, sixteen bits of the hash of a packet's whole key, to the slot of the megaflow that
//! the packet hit last. An entry is six bytes where the exact-match cache has 132, so a million packets'
//! keys fit into some megabytes; in return a signature proves nothing, and the packet is compared with
//! the megaflow under its mask, which is one probe. So where there are more flows than the exact-match
//! cache holds, and several masks, a packet costs one probe instead of one for every mask.
//!
//! # On or off
//! As `smc-enable` says: off, as in Open vSwitch, unless it is turned on, or is to find out itself (`auto`):
//! then it is asked as long as packets take more in the megaflow table than they would here, see [`worth`].
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
//! installed with the cache on; one that decides for itself takes an eighth of that, between two
//! bursts, when it is wanted for the first time. No packet ever allocates.
//!
//! # Concurrency
//! Owned by one core, reached only through `&mut`; the only atomics are the counters it is given.

mod worth;

use alloc::vec::Vec;

use flow::Keys;
use packet::BATCH;
use sync::prefetch::prefetch;

use self::worth::Worth;
use crate::{
    accounting::CoreCounters,
    ids::PortNo,
    probe::{Probe, Probes},
    table::{Flows, Hit, Hits, PortTable, Slot, steps},
};

/// Lines of a cache that is on.
const LINES: usize = 1 << 17;
/// Lines of one that decides for itself.
const AUTO_LINES: usize = 1 << 14;
/// Entries of a line.
const WAYS: usize = 10;

/// Whether there is a signature cache: `smc-enable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SmcEnable {
    /// While it pays.
    Auto,
    /// Always.
    On,
    /// Never.
    #[default]
    Off,
}

impl SmcEnable {
    /// As it is written in `other_config`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "true",
            Self::Off => "false",
        }
    }

    fn n_lines(self) -> usize {
        match self {
            Self::Auto => AUTO_LINES,
            Self::On => LINES,
            Self::Off => 0,
        }
    }
}

/// One core's signature cache.
#[derive(Debug)]
pub(crate) struct Smc {
    /// None as long as it is off, or nothing was installed.
    lines: Vec<Line>,
    enable: SmcEnable,
    worth: Worth,
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
    pub(crate) fn new(enable: SmcEnable) -> Self {
        Self { lines: Vec::new(), enable, worth: Worth::default(), hand: 0 }
    }

    /// Turns it on, off, or lets it decide. What it held is forgotten if that changes its size.
    pub(crate) fn turn(&mut self, enable: SmcEnable) {
        if self.enable.n_lines() != enable.n_lines() {
            self.lines = Vec::new();
        }
        self.enable = enable;
    }

    /// Takes its memory, unless it has it or does not want it. To be called when a megaflow is
    /// installed, and between bursts.
    pub(crate) fn make_ready(&mut self) {
        let is_wanted = match self.enable {
            SmcEnable::Auto => self.worth.is_asked(),
            SmcEnable::On => true,
            SmcEnable::Off => false,
        };
        let n = self.enable.n_lines();
        // Without memory there is no cache; the next call tries again.
        if is_wanted && self.lines.is_empty() && self.lines.try_reserve_exact(n).is_ok() {
            self.lines.resize(n, Line::EMPTY);
        }
    }

    /// Whether it is to be asked for the next `n` packets.
    #[inline]
    pub(crate) fn asks(&mut self, n: u64) -> bool {
        let pays = self.enable == SmcEnable::On || self.worth.asks(n);
        pays && !self.lines.is_empty()
    }

    /// Learns what packets took in the megaflow table without it.
    #[inline]
    pub(crate) fn consider(&mut self, n_lookups: u64, cost: u64) {
        if self.enable == SmcEnable::Auto && !self.worth.is_asked() {
            self.worth.count(n_lookups, cost);
        }
    }

    /// Finds the megaflows of those keys that have not hit, as far as they are known here.
    pub(crate) fn lookup(
        &self,
        probes: &Probes,
        keys: &Keys,
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
            let Some(probe) = probes.get(packet) else { break };
            let is_right = |slot: &Slot| {
                flows.get(*slot).is_some_and(|installed| {
                    installed.at().port == table.0 && table.1.is_at(installed.at(), keys, packet)
                })
            };
            let found = Some(first).filter(&is_right).or_else(|| {
                let line = self.line(probe).filter(|_| first != Slot::NONE)?;
                line.slots_of(signature(probe)).skip(1).find(is_right)
            });
            if let Some(slot) = found {
                hits.put(packet, Hit { slot, cost: steps::SMC });
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
