//! The megaflows of one core: found by packet, by masked key, and by ufid.
//!
//! # What
//! One [`PortTable`] per ingress port, in it one [`Subtable`] per distinct mask, in it the
//! megaflows with that mask in a hash table. A lookup tries the subtables one by one: it takes the
//! mask's words of the packet's flow, masks them, hashes them and probes. Megaflows have no
//! priorities (translation resolved those), so the first hit is the answer.
//!
//! # Cost
//! A probe costs the mask's nonzero words, not the flow's: a subtable knows which words matter and
//! stores just those of its keys, side by side (a *row*). The hash table holds row numbers of four
//! bytes, so a probe is one line of the table and one or two of the row. A batch goes through the
//! first subtable as a whole before the next one is touched, so each subtable's mask and table are
//! warm for up to 32 packets. Subtables stand in the order of their recent hits
//! ([`PortTable::sort`], once a second): what most packets hit is tried first. Worst case, a miss,
//! is one probe per mask; [`TableLimits`] bounds the masks.
//!
//! Nothing on the way of a lookup allocates.
//!
//! # Identity
//! At most one megaflow per masked key and mask: installing twice replaces. Two megaflows of
//! different masks may overlap if translation changed between them; either is a valid conclusion of
//! its moment, and the revalidator removes the one that is not any more.
//!
//! # Concurrency
//! Owned by one core, reached only through `&mut`; there are no atomics in this file. Statistics
//! are in the shared [`Megaflow`].

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use flow::{Flow, Mask, hash};
use hashbrown::HashTable;

use crate::{
    action::DpAction,
    ids::Ufid,
    megaflow::{Fate, FlowStats, Megaflow, PutError},
};

/// How much a core holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLimits {
    /// Megaflows, over all ports.
    pub flows: usize,
    /// Masks, for each port.
    pub masks_per_port: usize,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self { flows: 200_000, masks_per_port: 256 }
    }
}

/// Where a megaflow is kept, until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    /// None that there is.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// Which installation of all that a core ever made; from 1 on. Slots are used again, generations
/// are not: 64 bits never wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Generation(u64);

/// A megaflow in force.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) megaflow: Arc<Megaflow>,
    /// What it does: at first as the megaflow says, later as modified.
    pub(crate) actions: Arc<[DpAction]>,
    /// The megaflow's statistics, at hand: a hit touches nothing else of it.
    pub(crate) stats: Arc<FlowStats>,
    /// Its row in its subtable.
    row: u32,
    generation: Generation,
}

/// All megaflows of a core, by slot and by ufid.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    slots: Vec<Option<Installed>>,
    free: Vec<Slot>,
    /// Slots, hashed by the low half of the ufid.
    by_ufid: HashTable<Slot>,
    /// Of the latest installation.
    generation: Generation,
}

impl Flows {
    pub(crate) fn len(&self) -> usize {
        self.by_ufid.len()
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<&Installed> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// What tells the megaflow in `slot` from all that were or will be there.
    #[inline]
    pub(crate) fn generation(&self, slot: Slot) -> Option<Generation> {
        self.get(slot).map(|installed| installed.generation)
    }

    pub(crate) fn find(&self, ufid: Ufid) -> Option<Slot> {
        self.by_ufid.find(ufid_hash(ufid), |slot| self.has_ufid(*slot, ufid)).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Installed> {
        self.slots.iter().flatten()
    }

    /// Replaces the actions; `false` if there is no such megaflow.
    pub(crate) fn modify(&mut self, ufid: Ufid, actions: Arc<[DpAction]>) -> bool {
        let slot = self.find(ufid);
        match slot.and_then(|slot| self.slots.get_mut(slot.0 as usize)?.as_mut()) {
            Some(installed) => {
                installed.actions = actions;
                true
            }
            None => false,
        }
    }

    fn has_ufid(&self, slot: Slot, ufid: Ufid) -> bool {
        self.get(slot).is_some_and(|installed| installed.megaflow.ufid == ufid)
    }

    fn add(
        &mut self,
        megaflow: Arc<Megaflow>,
        actions: Arc<[DpAction]>,
        stats: Arc<FlowStats>,
        row: u32,
    ) -> Option<Slot> {
        self.generation.0 += 1;
        let generation = self.generation;
        let installed = Installed { megaflow, actions, stats, row, generation };
        let ufid = installed.megaflow.ufid;
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.slots.get_mut(slot.0 as usize)? = Some(installed);
                slot
            }
            None => {
                let slot = Slot(u32::try_from(self.slots.len()).ok()?);
                self.slots.push(Some(installed));
                slot
            }
        };
        let slots = &self.slots;
        self.by_ufid.insert_unique(ufid_hash(ufid), slot, |slot| {
            slots
                .get(slot.0 as usize)
                .and_then(Option::as_ref)
                .map_or(0, |installed| ufid_hash(installed.megaflow.ufid))
        });
        Some(slot)
    }

    fn take(&mut self, slot: Slot) -> Option<Installed> {
        let installed = self.slots.get_mut(slot.0 as usize)?.take()?;
        let ufid = installed.megaflow.ufid;
        if let Ok(entry) = self.by_ufid.find_entry(ufid_hash(ufid), |other| *other == slot) {
            entry.remove();
        }
        self.free.push(slot);
        installed.megaflow.stats.set_fate(Fate::Removed);
        Some(installed)
    }
}

/// The lower half of a ufid is a good hash already; it only has to fit.
fn ufid_hash(ufid: Ufid) -> u64 {
    u64::try_from(ufid.0 & u128::from(u64::MAX)).unwrap_or_default()
}

/// The megaflows of one ingress port.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    /// Most hit first, as of the last sort.
    subtables: Vec<Subtable>,
}

/// What a packet has hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) slot: Slot,
    /// Subtables that were probed for it; 0 if the exact-match cache knew it.
    pub(crate) n_probes: u32,
}

/// The result of a batch lookup, for each packet.
pub(crate) type Hits = [Option<Hit>; packet::BATCH];

impl PortTable {
    /// Finds the megaflows of those of up to 32 packets that have not hit, and counts hits for the
    /// order of subtables. Returns the number of probes.
    pub(crate) fn lookup<'a>(
        &mut self,
        packets: impl Iterator<Item = &'a Flow> + Clone,
        basis: u32,
        hits: &mut Hits,
    ) -> u64 {
        let mut n_missing = packets.clone().zip(&*hits).filter(|(_, hit)| hit.is_none()).count();
        let mut n_probes = 0;
        for (rank, subtable) in (1..).zip(&mut self.subtables) {
            if n_missing == 0 {
                break;
            }
            for (flow, hit) in packets.clone().zip(hits.iter_mut()) {
                if hit.is_some() {
                    continue;
                }
                n_probes += 1;
                *hit = subtable.lookup(flow, basis).map(|slot| Hit { slot, n_probes: rank });
                if hit.is_some() {
                    subtable.n_hits += 1;
                    n_missing -= 1;
                }
            }
        }
        n_probes
    }

    /// Puts the subtables that were hit most since the last time first.
    pub(crate) fn sort(&mut self) {
        self.subtables.sort_by_key(|subtable| core::cmp::Reverse(subtable.n_hits));
        for subtable in &mut self.subtables {
            subtable.n_hits = 0;
        }
    }

    /// Installs `megaflow`, in place of one with the same masked key and mask.
    pub(crate) fn put(
        &mut self,
        flows: &mut Flows,
        megaflow: Arc<Megaflow>,
        basis: u32,
        limits: TableLimits,
    ) -> Result<(), PutError> {
        let old = self.find(flows, &megaflow, basis);
        if old.is_none() && flows.len() >= limits.flows {
            return Err(PutError::TableFull);
        }
        let is_new_mask = !self.subtables.iter().any(|subtable| subtable.mask == megaflow.mask);
        if is_new_mask && self.subtables.len() >= limits.masks_per_port {
            return Err(PutError::TooManyMasks);
        }
        if let Some(old) = old {
            self.remove(flows, old, basis);
        }
        // A ufid that the control core gave to two keys names the later one.
        if let Some(other) = flows.find(megaflow.ufid) {
            self.remove(flows, other, basis);
        }
        let subtable = self.subtable(&megaflow.mask);
        let key = megaflow.key;
        let actions = megaflow.actions.clone();
        let stats = megaflow.stats.clone();
        let row = subtable.reserve_row().ok_or(PutError::TableFull)?;
        let slot = flows.add(megaflow, actions, stats.clone(), row).ok_or(PutError::TableFull)?;
        subtable.fill(row, &key, slot, basis);
        stats.set_fate(Fate::Installed);
        Ok(())
    }

    /// Removes a megaflow of this port.
    pub(crate) fn remove(&mut self, flows: &mut Flows, slot: Slot, basis: u32) {
        let Some(installed) = flows.take(slot) else {
            return;
        };
        let mask = &installed.megaflow.mask;
        let Some(index) = self.subtables.iter().position(|subtable| subtable.mask == *mask) else {
            return;
        };
        if let Some(subtable) = self.subtables.get_mut(index) {
            subtable.remove(&installed, basis);
            if subtable.index.is_empty() {
                self.subtables.remove(index);
            }
        }
    }

    /// Removes all megaflows of this port.
    pub(crate) fn clear(&mut self, flows: &mut Flows) {
        for subtable in self.subtables.drain(..) {
            for row in &subtable.index {
                if let Some(slot) = subtable.slots.get(*row as usize) {
                    flows.take(*slot);
                }
            }
        }
    }

    /// The masks and how many megaflows each has, in the order in which they are tried.
    pub(crate) fn masks(&self) -> impl Iterator<Item = (&Mask, usize)> {
        self.subtables.iter().map(|subtable| (&subtable.mask, subtable.index.len()))
    }

    fn find(&self, flows: &Flows, megaflow: &Megaflow, basis: u32) -> Option<Slot> {
        let subtable = self.subtables.iter().find(|subtable| subtable.mask == megaflow.mask)?;
        let slot = subtable.lookup(&megaflow.key, basis)?;
        flows.get(slot).map(|_| slot)
    }

    fn subtable(&mut self, mask: &Mask) -> &mut Subtable {
        let index = match self.subtables.iter().position(|subtable| subtable.mask == *mask) {
            Some(index) => index,
            None => {
                self.subtables.push(Subtable::new(mask));
                self.subtables.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.subtables[index]
    }
}

/// All megaflows of a port with the same mask.
#[derive(Debug)]
struct Subtable {
    /// The mask's nonzero words: which, and their bits.
    words: Box<[(u8, u64)]>,
    /// Row numbers, hashed by the row's words.
    index: HashTable<u32>,
    /// The rows: for row `r` the masked words from `r * words.len()` on.
    keys: Vec<u64>,
    /// For each row the megaflow.
    slots: Vec<Slot>,
    /// Rows not in use.
    free_rows: Vec<u32>,
    /// Hits since the last sort.
    n_hits: u64,
    mask: Mask,
}

impl Subtable {
    fn new(mask: &Mask) -> Self {
        let words = (0_u8..)
            .zip(mask.words())
            .filter(|(_, bits)| **bits != 0)
            .map(|(word, bits)| (word, *bits))
            .collect();
        Self {
            words,
            index: HashTable::new(),
            keys: Vec::new(),
            slots: Vec::new(),
            free_rows: Vec::new(),
            n_hits: 0,
            mask: *mask,
        }
    }

    #[inline]
    fn lookup(&self, flow: &Flow, basis: u32) -> Option<Slot> {
        let row = self.index.find(self.hash(flow, basis), |row| self.is_equal(*row, flow))?;
        self.slots.get(*row as usize).copied()
    }

    /// The mask's words of `flow`, masked.
    #[inline]
    fn masked<'a>(&'a self, flow: &'a Flow) -> impl Iterator<Item = u64> + 'a {
        self.words.iter().map(|(word, bits)| flow.word(usize::from(*word)) & bits)
    }

    #[inline]
    fn hash(&self, flow: &Flow, basis: u32) -> u64 {
        hash_words(self.masked(flow), basis)
    }

    #[inline]
    fn is_equal(&self, row: u32, flow: &Flow) -> bool {
        let row = row_of(&self.keys, self.words.len(), row);
        row.iter().zip(self.masked(flow)).all(|(word, masked)| *word == masked)
    }

    /// A row for one more megaflow, not yet in the index.
    fn reserve_row(&mut self) -> Option<u32> {
        if let Some(row) = self.free_rows.pop() {
            return Some(row);
        }
        let row = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot::NONE);
        self.keys.resize(self.keys.len() + self.words.len(), 0);
        Some(row)
    }

    /// Puts a reserved row into the index.
    fn fill(&mut self, row: u32, key: &Flow, slot: Slot, basis: u32) {
        let n_words = self.words.len();
        let start = row as usize * n_words;
        let words = self.words.iter().map(|(word, bits)| key.word(usize::from(*word)) & bits);
        for (place, word) in self.keys.iter_mut().skip(start).zip(words) {
            *place = word;
        }
        if let Some(place) = self.slots.get_mut(row as usize) {
            *place = slot;
        }
        let hash = self.hash(key, basis);
        let keys = &self.keys;
        self.index.insert_unique(hash, row, |row| {
            hash_words(row_of(keys, n_words, *row).iter().copied(), basis)
        });
    }

    fn remove(&mut self, installed: &Installed, basis: u32) {
        let hash = self.hash(&installed.megaflow.key, basis);
        if let Ok(entry) = self.index.find_entry(hash, |row| *row == installed.row) {
            entry.remove();
            self.free_rows.push(installed.row);
        }
    }
}

#[inline]
fn row_of(keys: &[u64], n_words: usize, row: u32) -> &[u64] {
    let start = row as usize * n_words;
    keys.get(start..start + n_words).unwrap_or_default()
}

/// 64 bits, because the table takes a bucket from one end of the hash and a tag from the other.
#[inline]
fn hash_words(words: impl Iterator<Item = u64>, basis: u32) -> u64 {
    words.fold(hash::start(basis), hash::mix)
}
