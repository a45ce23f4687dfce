//! The megaflows of one core: found by packet, by masked key, and by ufid.
//!
//! # What
//! One [`PortTable`] per ingress port, in it one subtable per distinct mask, in it the megaflows
//! with that mask in a hash table. A lookup tries the subtables one by one: it takes the mask's words
//! of the packet's flow, masks them, hashes them and probes. Megaflows have no priorities
//! (translation resolved those), so the first hit is the answer.
//!
//! # Cost
//! A probe costs the mask's nonzero words, not the flow's: a subtable knows which words matter and
//! stores just those of its keys, side by side, with the slot of the megaflow behind them (a *row*).
//! The hash table holds row numbers, so a probe is one line of the table and one or two of the row.
//! A batch goes through the first subtable as a whole before the next one is touched, in three
//! passes: all hashes, which ask for their lines of the table; all lines, which ask for their rows; all
//! rows. (Masks with one megaflow each are told apart by a word: `signpost.rs`.) So what up to 32 packets wait for comes at once. (Loops unrolled for masks of three to seven
//! words were measured against this one loop, and were 3 to 5 % slower.) Subtables stand in the order of their recent
//! hits ([`PortTable::sort`], once a second): what most packets hit is tried first. Worst case, a
//! miss, is one probe per mask, and [`crate::census`] bounds the masks.
//!
//! Nothing on the way of a lookup allocates. Installing and removing never rebuild or move more than a
//! chunk of some ten KiB, however many megaflows there are (crate `gradual`): a core that is
//! told to install keeps polling.
//!
//! # Identity
//! At most one megaflow per masked key and mask: installing twice replaces. Two megaflows of
//! different masks may overlap if translation changed between them; either is a valid conclusion of
//! its moment, and the revalidator removes the one that is not any more.
//!
//! # Concurrency
//! Owned by one core, reached only through `&mut`; there are no atomics in this file. Statistics
//! are in the shared [`Megaflow`].

mod flows;
mod hits;
mod signpost;
mod subtable;

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use flow::{Flow, Keys, Mask};

pub(crate) use self::{
    flows::{At, Flows, Generation, Slot, forwards_to},
    hits::{Hit, Hits, Packets, steps},
};
use self::{signpost::Signpost, subtable::Subtable};
use crate::{
    census::{Fingerprint, MAX_LIMIT, MaskCensus, N_ROUNDED},
    ids::PortNo,
    mask::SharedMask,
    megaflow::{Fate, Megaflow, PutError},
};

/// How much a core holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLimits {
    /// Megaflows, over all ports.
    pub flows: usize,
    /// Masks, for each port, apart from rounded ones: see [`crate::census`].
    pub masks_per_port: usize,
}

impl Default for TableLimits {
    fn default() -> Self {
        Self { flows: 200_000, masks_per_port: crate::census::DEFAULT_LIMIT }
    }
}

/// The megaflows of one ingress port.
#[derive(Debug)]
pub(crate) struct PortTable {
    /// By place, which a subtable keeps while it lives.
    subtables: Vec<Option<Box<Subtable>>>,
    /// Places, those with most hits first, as of the last sort.
    order: Vec<u32>,
    /// The place that a megaflow was installed in last.
    newest: u32,
    /// What the last sweep of the census left to look at again.
    unused: Box<[bool; MAX_LIMIT]>,
    /// Which masks with one megaflow may be a packet's.
    signpost: Box<Signpost>,
}

impl Default for PortTable {
    fn default() -> Self {
        let unused = Box::new([false; MAX_LIMIT]);
        let signpost = Box::new(Signpost::NEW);
        Self { subtables: Vec::new(), order: Vec::new(), newest: u32::MAX, unused, signpost }
    }
}

/// What the lookup of a batch took.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Probed {
    /// Subtables, once for each packet.
    pub(crate) n_probes: u64,
    /// The part of them that was for packets that hit.
    pub(crate) n_hit_probes: u64,
    /// In [`steps`].
    pub(crate) cost: u64,
}

/// Packets that a mask is worth to be tried for at once.
const MANY: u64 = 8;

/// Whether a lookup asks the signposts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    NotYet,
    Next,
    Done,
    No,
}

/// Finds those of the missing packets whose megaflow is posted; how many.
#[inline]
fn follow(
    signpost: &Signpost,
    subtables: &mut [Option<Box<Subtable>>],
    keys: &Keys,
    hits: &mut Hits,
    cost: u32,
) -> u64 {
    let mut n_found = 0;
    for packet in hits.missing() {
        for place in signpost.named(keys, packet) {
            let Some(Some(subtable)) = subtables.get_mut(usize::from(place)) else { continue };
            if let Some(slot) = subtable.only_if(keys, packet) {
                hits.put(packet, Hit { slot, cost });
                subtable.n_hits += 1;
                n_found += 1;
                break;
            }
        }
    }
    n_found
}

/// What is known of a flow that was not found: what it hashes to in the subtable in which a megaflow was
/// installed last, where its own is likely to go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Missed {
    place: u32,
    hash: u32,
}

/// A port's table with what it shares: its number and its census.
pub(crate) struct Scope<'a> {
    pub(crate) port: PortNo,
    pub(crate) census: &'a MaskCensus,
    pub(crate) basis: u32,
}

impl PortTable {
    /// Finds the megaflows of those of up to 32 packets that have not hit, and counts hits for the
    /// order of subtables.
    pub(crate) fn lookup(&mut self, keys: &Keys, basis: u32, hits: &mut Hits) -> Probed {
        let mut probed = Probed::default();
        let mut cost = 0;
        let mut n_missing = hits.missing().len();
        // As long as masks find many packets each, they are tried one after another.
        let mut asks = Asks::NotYet;
        let mut rank = 0;
        for place in &self.order {
            if n_missing == 0 {
                break;
            }
            if asks == Asks::Next {
                asks = Asks::No;
                if self.signpost.is_ready(&self.subtables) {
                    asks = Asks::Done;
                    cost += steps::POSTED;
                    let found = follow(&self.signpost, &mut self.subtables, keys, hits, cost);
                    rank += 1;
                    probed.n_probes += n_missing;
                    probed.n_hit_probes += rank * found;
                    probed.cost += u64::from(cost) * found;
                    n_missing -= found;
                    if n_missing == 0 {
                        break;
                    }
                }
            }
            if asks == Asks::Done && self.signpost.has(*place) {
                continue;
            }
            let missing = hits.missing();
            rank += 1;
            probed.n_probes += n_missing;
            let Some(Some(subtable)) = self.subtables.get_mut(*place as usize) else { continue };
            cost += subtable.cost();
            subtable.lookup_all(keys, missing, hits, cost, basis);
            let n_found = match hits.missing() == missing {
                true => 0,
                false => missing.without(hits.missing()).len(),
            };
            if n_found > 0 {
                subtable.n_hits += n_found;
                n_missing -= n_found;
                probed.n_hit_probes += rank * n_found;
                probed.cost += u64::from(cost) * n_found;
            }
            if asks == Asks::NotYet && n_found < MANY {
                asks = Asks::Next;
            }
        }
        probed.cost += u64::from(cost) * n_missing;
        probed
    }

    /// The megaflow of one flow; and how many subtables were probed for it.
    pub(crate) fn find(&self, flow: &Flow, basis: u32) -> (Result<Slot, Missed>, u64) {
        let mut missed = Missed { place: u32::MAX, hash: 0 };
        let mut n_probes = 0;
        for place in &self.order {
            let Some(subtable) = self.at(*place) else { continue };
            n_probes += 1;
            let value_of = |word| flow.word(word);
            let hash = subtable.hash(value_of, basis);
            if let Some(slot) = subtable.find_hashed(value_of, hash) {
                return (Ok(slot), n_probes);
            }
            if *place == self.newest {
                missed = Missed { place: *place, hash };
            }
        }
        (Err(missed), n_probes)
    }

    /// Whether the megaflow at this place, which is of this port, is the packet's.
    #[inline]
    pub(crate) fn is_at(&self, at: At, keys: &Keys, packet: usize) -> bool {
        matches!(self.subtables.get(at.subtable as usize), Some(Some(subtable)) if subtable.is_in(at.row, keys, packet))
    }

    /// Asks for what [`Self::is_at`] will look at.
    #[inline]
    pub(crate) fn prefetch(&self, at: At) {
        if let Some(Some(subtable)) = self.subtables.get(at.subtable as usize) {
            subtable.prefetch(at.row);
        }
    }

    /// Puts the subtables that were hit most since the last time first, and sweeps the census.
    pub(crate) fn sort(&mut self, census: &MaskCensus) {
        let Self { subtables, order, unused, .. } = self;
        let subtable = |place: u32| subtables.get(place as usize).and_then(Option::as_deref);
        // Unstable, because the stable sort allocates.
        order.sort_unstable_by_key(|place| {
            (core::cmp::Reverse(subtable(*place).map_or(0, |subtable| subtable.n_hits)), *place)
        });
        census.sweep(unused, |print| {
            subtables.iter().flatten().any(|subtable| subtable.print() == print)
        });
        subtables.iter_mut().flatten().for_each(|subtable| subtable.n_hits = 0);
    }

    /// The mask that a megaflow was installed with last.
    pub(crate) fn newest_mask(&self) -> Option<&SharedMask> {
        Some(&self.at(self.newest)?.mask)
    }

    /// The mask, if some megaflow has it.
    pub(crate) fn known_mask(&self, mask: &Mask, print: Fingerprint) -> Option<&SharedMask> {
        let all = self.order.iter().filter_map(|place| self.at(*place));
        let masks = all.map(|subtable| &subtable.mask);
        masks.into_iter().find(|known| known.print() == print && ***known == *mask)
    }

    /// Installs `megaflow`, in place of one with the same masked key and mask, and of the one that is
    /// `named` as it is. The flow that it was made for may be known to have `missed` just before.
    ///
    /// # Errors
    /// The megaflow, and why not.
    pub(crate) fn put(
        &mut self,
        flows: &mut Flows,
        megaflow: Arc<Megaflow>,
        named: Option<Slot>,
        missed: Option<(&Flow, Missed)>,
        limits: TableLimits,
        scope: &Scope<'_>,
    ) -> Result<(), (PutError, Arc<Megaflow>)> {
        let known = self.place_of(&megaflow.mask);
        let word_of = |word| megaflow.key.word(word);
        // The same for all of this mask.
        let mut hash = None;
        let mut old = None;
        if let Some(place) = known
            && let Some(subtable) = self.at(place)
        {
            match missed {
                Some((flow, missed))
                    if missed.place == place && subtable.are_alike(flow, &megaflow.key) =>
                {
                    hash = Some(missed.hash);
                }
                _ => {
                    let own = subtable.hash(word_of, scope.basis);
                    old = subtable.find_hashed(word_of, own);
                    hash = Some(own);
                }
            }
        }
        if old.is_none() && flows.len() >= limits.flows {
            return Err((PutError::TableFull, megaflow));
        }
        if known.is_none() && self.order.len() >= limits.masks_per_port + N_ROUNDED {
            return Err((PutError::TooManyMasks, megaflow));
        }
        if let Some(old) = old {
            self.remove(flows, old, scope);
        }
        // A ufid that the control core gave to two keys names the later one.
        if let Some(other) = named.filter(|named| Some(*named) != old) {
            self.remove(flows, other, scope);
        }
        // What was removed may have been the last of its mask.
        let known = match old.or(named) {
            Some(_) => self.place_of(&megaflow.mask),
            None => known,
        };
        let place = known.unwrap_or_else(|| self.make(&megaflow.mask, scope.census));
        let reserved = self.at_mut(place).and_then(|of| Some((of.reserve()?, of)));
        let Some((row, subtable)) = reserved else { return Err((PutError::TableFull, megaflow)) };
        // Nobody finds it before it has a slot.
        let hash = hash.unwrap_or_else(|| subtable.hash(word_of, scope.basis));
        subtable.write(row, &megaflow.key);
        megaflow.stats.set_fate(Fate::Installed);
        match flows.add(megaflow, At { port: scope.port, subtable: place, row }) {
            Ok(slot) => {
                subtable.publish(row, slot, hash);
                if subtable.len() <= 2 {
                    self.signpost.make_stale();
                }
            }
            Err(megaflow) => {
                subtable.give_back(row);
                self.drop_if_empty(place, scope.census);
                return Err((PutError::TableFull, megaflow));
            }
        }
        self.newest = place;
        Ok(())
    }

    /// Removes a megaflow of this port.
    pub(crate) fn remove(&mut self, flows: &mut Flows, slot: Slot, scope: &Scope<'_>) {
        // A ufid that two ports share names the megaflow of another table.
        if flows.get(slot).is_none_or(|installed| installed.at.port != scope.port) {
            return;
        }
        let Some(installed) = flows.take(slot) else { return };
        if let Some(subtable) = self.at_mut(installed.at.subtable) {
            subtable.remove(&installed.megaflow.key, installed.at.row, scope.basis);
            if subtable.len() <= 1 {
                self.signpost.make_stale();
            }
        }
        self.drop_if_empty(installed.at.subtable, scope.census);
    }

    /// Removes all megaflows of this port.
    pub(crate) fn clear(&mut self, flows: &mut Flows, census: &MaskCensus) {
        self.order.clear();
        self.signpost.make_stale();
        for subtable in self.subtables.drain(..).flatten() {
            census.release(subtable.print());
            subtable.slots().for_each(|slot| drop(flows.take(slot)));
        }
    }

    /// The masks and how many megaflows each has, in the order in which they are tried.
    pub(crate) fn masks(&self) -> impl Iterator<Item = (&Mask, usize)> {
        self.order
            .iter()
            .filter_map(|place| self.at(*place))
            .map(|subtable| (&*subtable.mask, subtable.len()))
    }

    /// Bytes of memory that rows and hash tables have.
    pub(crate) fn n_bytes(&self) -> usize {
        self.subtables.iter().flatten().map(|subtable| subtable.n_bytes()).sum()
    }

    fn at(&self, place: u32) -> Option<&Subtable> {
        self.subtables.get(place as usize)?.as_deref()
    }

    fn at_mut(&mut self, place: u32) -> Option<&mut Subtable> {
        self.subtables.get_mut(place as usize)?.as_deref_mut()
    }

    fn place_of(&self, mask: &SharedMask) -> Option<u32> {
        let is_it = |place: &u32| self.at(*place).is_some_and(|subtable| subtable.mask == *mask);
        if is_it(&self.newest) {
            return Some(self.newest);
        }
        self.order.iter().copied().find(is_it)
    }

    /// Makes the mask's subtable; its place.
    fn make(&mut self, mask: &SharedMask, census: &MaskCensus) -> u32 {
        // Whoever made the megaflow has claimed it; one that came by another way does now, as far as
        // there is room.
        let _ = census.claim(mask.print());
        let new = Some(Box::new(Subtable::new(mask.clone())));
        let place = match self.subtables.iter().position(Option::is_none) {
            Some(place) => place,
            None => {
                self.subtables.push(None);
                self.subtables.len() - 1
            }
        };
        if let Some(free) = self.subtables.get_mut(place) {
            *free = new;
        }
        // There are a few hundred at the most.
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        self.order.push(place);
        place
    }

    fn drop_if_empty(&mut self, place: u32, census: &MaskCensus) {
        if self.at(place).is_some_and(|subtable| subtable.len() == 0) {
            if let Some(gone) = self.subtables.get_mut(place as usize).and_then(Option::take) {
                census.release(gone.print());
            }
            self.order.retain(|other| *other != place);
        }
    }
}

#[cfg(test)]
mod tests;
