//! All megaflows of a port with the same mask.

use alloc::{boxed::Box, vec::Vec};

use flow::{Flow, Keys, hash};
use gradual::Index;
use packet::BATCH;
use sync::{lanes, prefetch::prefetch};

use super::{Hit, Hits, Packets, flows::Slot, steps};
use crate::{census::Fingerprint, mask::SharedMask};

/// Rows of a chunk.
const CHUNK: usize = 512;

/// A word of the flow that the mask examines.
#[derive(Debug, Clone, Copy)]
struct Examined {
    bits: u64,
    word: usize,
}

#[derive(Debug)]
pub(super) struct Subtable {
    /// The mask's nonzero words.
    words: Box<[Examined]>,
    /// Row numbers, hashed by the row's words.
    index: Index,
    rows: Rows,
    /// The row that was filled last.
    newest: u32,
    /// Which of the words told the last packet that did not match from the only row.
    tell: usize,
    /// Hits since the last sort.
    pub(super) n_hits: u64,
    pub(super) mask: SharedMask,
}

impl Subtable {
    pub(super) fn new(mask: SharedMask) -> Self {
        let words = mask.words().into_iter().map(|word| Examined { bits: mask.word(word), word });
        let words: Box<[_]> = words.collect();
        Self {
            rows: Rows::new(words.len()),
            words,
            index: Index::default(),
            newest: NO_ROW,
            tell: 0,
            n_hits: 0,
            mask,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of memory that rows and index have.
    pub(super) fn n_bytes(&self) -> usize {
        self.index.n_bytes() + self.rows.n_bytes()
    }

    /// What it takes to look for a packet, in [`steps`].
    #[inline]
    pub(super) fn cost(&self) -> u32 {
        if self.len() == 1 { 1 } else { steps::HASHED }
    }

    /// Finds the megaflows of the packets in `missing`, as far as they are here. What is found has cost
    /// `cost`.
    pub(super) fn lookup_all(
        &mut self,
        keys: &Keys,
        missing: Packets,
        hits: &mut Hits,
        cost: u32,
        basis: u32,
    ) {
        if let Some((slot, row)) = self.only_row() {
            self.tell = compare_all((slot, row), &self.words, self.tell, keys, missing, hits, cost);
            return;
        }
        let mut hashes = [0; BATCH];
        for (hash, packet) in hashes.iter_mut().zip(missing) {
            *hash = self.hash(|word| keys.word(packet, word), basis);
            self.index.prefetch(*hash);
        }
        let mut rows = [None; BATCH];
        for ((row, hash), _) in rows.iter_mut().zip(hashes).zip(missing) {
            *row = self.index.find(hash, |_| true);
            if let Some(row) = *row {
                self.rows.prefetch(row);
            }
        }
        for ((first, hash), packet) in rows.into_iter().zip(hashes).zip(missing) {
            let found = first.and_then(|first| {
                // Different words with one hash are rare: then all rows of the hash are tried.
                let value_of = |word| keys.word(packet, word);
                match self.rows.slot_if(first, self.masked(value_of)) {
                    Some(slot) => Some(slot),
                    None => self.find_hashed(value_of, hash),
                }
            });
            if let Some(slot) = found {
                hits.put(packet, Hit { slot, cost });
            }
        }
    }

    /// The only megaflow's row, if there is just one: then nothing has to be hashed. (If it is not the
    /// newest row it is not known here, which costs only time.)
    #[inline]
    fn only_row(&self) -> Option<(Slot, &[u64])> {
        let (slot, key) = self.rows.get(self.newest).filter(|_| self.len() == 1)?;
        Some((slot_of(*slot)?, key))
    }

    /// The key of the only megaflow, if there is just one: words by number, each with the bits that are
    /// examined and their value.
    pub(super) fn only_key(&self) -> Option<impl Iterator<Item = (usize, u64, u64)>> {
        let (_, key) = self.only_row()?;
        Some(self.words.iter().zip(key).map(|(at, value)| (at.word, at.bits, *value)))
    }

    /// The only megaflow, if it is the packet's.
    #[inline]
    pub(super) fn only_if(&self, keys: &Keys, packet: usize) -> Option<Slot> {
        let (slot, key) = self.only_row()?;
        is_equal(key, self.masked(|word| keys.word(packet, word))).then_some(slot)
    }

    pub(super) fn print(&self) -> Fingerprint {
        self.mask.print()
    }

    /// Whether the megaflow in this row is the packet's.
    #[inline]
    pub(super) fn is_in(&self, row: u32, keys: &Keys, packet: usize) -> bool {
        self.rows.slot_if(row, self.masked(|word| keys.word(packet, word))).is_some()
    }

    /// Asks for a row.
    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        self.rows.prefetch(row);
    }

    /// A row for one more megaflow, not yet found.
    pub(super) fn reserve(&mut self) -> Option<u32> {
        self.rows.reserve()
    }

    /// Gives a row back that was reserved and not filled.
    pub(super) fn give_back(&mut self, row: u32) {
        self.rows.release(row);
    }

    /// Writes the key of a reserved row.
    pub(super) fn write(&mut self, row: u32, key: &Flow) {
        let Self { words, rows, .. } = self;
        rows.write(row, words.iter().map(|at| key.word(at.word) & at.bits));
    }

    /// Lets a row be found that was written.
    pub(super) fn publish(&mut self, row: u32, slot: Slot, hash: u32) {
        self.rows.name(row, slot);
        self.index.insert(hash, row);
        self.newest = row;
    }

    pub(super) fn remove(&mut self, key: &Flow, row: u32, basis: u32) {
        if self.index.remove(self.hash(|word| key.word(word), basis), row) {
            self.rows.release(row);
        }
    }

    /// The slots of all its megaflows.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.rows.slots()
    }

    /// Whether the examined bits of two flows are the same.
    pub(super) fn are_alike(&self, one: &Flow, other: &Flow) -> bool {
        let differ = |at: &Examined| (one.word(at.word) ^ other.word(at.word)) & at.bits;
        self.words.iter().fold(0, |any, at| any | differ(at)) == 0
    }

    /// The megaflow of a key with this hash.
    pub(super) fn find_hashed(&self, value_of: impl Fn(usize) -> u64, hash: u32) -> Option<Slot> {
        let slot_if = |row| self.rows.slot_if(row, self.masked(&value_of));
        slot_if(self.index.find(hash, |row| slot_if(row).is_some())?)
    }

    /// The examined bits of a key, word by word.
    #[inline]
    fn masked(&self, value_of: impl Fn(usize) -> u64) -> impl Iterator<Item = u64> {
        self.words.iter().map(move |at| value_of(at.word) & at.bits)
    }

    /// The hash of a flow's examined bits.
    #[inline]
    pub(super) fn hash(&self, value_of: impl Fn(usize) -> u64, basis: u32) -> u32 {
        hash::finish(self.masked(value_of).fold(hash::start(basis), hash::mix))
    }
}

/// Masked keys side by side, each with its slot behind it; in chunks, so that growing moves little.
#[derive(Debug)]
struct Rows {
    chunks: Vec<Vec<u64>>,
    /// Words of a row: the key's, and one for the slot.
    width: usize,
    n: u32,
    /// The free row that is used next; each names another behind its key.
    free: u32,
}

impl Rows {
    fn new(n_words: usize) -> Self {
        Self { chunks: Vec::new(), width: n_words + 1, n: 0, free: NO_ROW }
    }

    fn n_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() * size_of::<u64>()
    }

    #[inline]
    fn get(&self, row: u32) -> Option<(&u64, &[u64])> {
        let start = row as usize % CHUNK * self.width;
        let chunk = self.chunks.get(row as usize / CHUNK)?;
        chunk.get(start..start + self.width)?.split_last()
    }

    fn get_mut(&mut self, row: u32) -> Option<&mut [u64]> {
        let start = row as usize % CHUNK * self.width;
        self.chunks.get_mut(row as usize / CHUNK)?.get_mut(start..start + self.width)
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        if let Some((slot, key)) = self.get(row) {
            if let Some(first) = key.first() {
                prefetch(first);
            }
            prefetch(slot);
        }
    }

    /// The slot of a row with just these words.
    #[inline]
    fn slot_if(&self, row: u32, words: impl Iterator<Item = u64>) -> Option<Slot> {
        let (slot, key) = self.get(row)?;
        slot_of(*slot).filter(|_| is_equal(key, words))
    }

    fn reserve(&mut self) -> Option<u32> {
        if let Some((next, _)) = self.get(self.free) {
            let row = self.free;
            self.free = next_free(*next);
            return Some(row);
        }
        let row = self.n;
        self.n = row.checked_add(1)?;
        if (row as usize).is_multiple_of(CHUNK) {
            let capacity = if row == 0 { 0 } else { CHUNK * self.width };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.resize(last.len() + self.width, FREE);
        }
        Some(row)
    }

    fn write(&mut self, row: u32, words: impl Iterator<Item = u64>) {
        if let Some((_, key)) = self.get_mut(row).and_then(<[u64]>::split_last_mut) {
            key.iter_mut().zip(words).for_each(|(place, word)| *place = word);
        }
    }

    fn name(&mut self, row: u32, slot: Slot) {
        if let Some(last) = self.get_mut(row).and_then(<[u64]>::last_mut) {
            *last = slot.0.into();
        }
    }

    fn release(&mut self, row: u32) {
        let next = FREE | u64::from(self.free);
        if let Some(slot) = self.get_mut(row).and_then(<[u64]>::last_mut) {
            *slot = next;
        }
        self.free = row;
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        (0..self.n).filter_map(|row| slot_of(*self.get(row)?.0))
    }
}

/// Finds the packets that match the only row. What told the last one that did not will tell the next
/// one, most likely, so that word is looked at first: the one behind is returned.
#[inline]
fn compare_all(
    (slot, row): (Slot, &[u64]),
    words: &[Examined],
    mut tell: usize,
    keys: &Keys,
    missing: Packets,
    hits: &mut Hits,
    cost: u32,
) -> usize {
    let hit = Hit { slot, cost };
    let mut left = missing;
    // Few packets are compared one by one, others a word of all at once.
    if !left.is_few() {
        if let (Some(at), Some(value)) = (words.get(tell), row.get(tell)) {
            left = agreeing(left, keys, at, *value);
        }
        for (k, (at, value)) in words.iter().zip(row).enumerate() {
            if left.is_few() {
                break;
            }
            if k != tell {
                left = agreeing(left, keys, at, *value);
                if left.is_few() {
                    tell = k;
                }
            }
        }
        if !left.is_few() {
            hits.put_all(left, hit);
            return tell;
        }
    }
    for packet in left {
        let differs =
            |(at, value): (&Examined, &u64)| keys.word(packet, at.word) & at.bits != *value;
        let telling = words.get(tell).zip(row.get(tell));
        if telling.is_some_and(differs) {
            continue;
        }
        match words.iter().zip(row).position(differs) {
            Some(other) => tell = other,
            None => hits.put(packet, hit),
        }
    }
    tell
}

/// Those packets in whose keys the examined bits of a word have this value.
#[inline]
fn agreeing(packets: Packets, keys: &Keys, at: &Examined, value: u64) -> Packets {
    packets.and(Packets::from_bits(lanes::equal_under(keys.column(at.word), at.bits, value)))
}

/// Whether a key has just these words.
#[inline]
fn is_equal(key: &[u64], words: impl Iterator<Item = u64>) -> bool {
    key.iter().zip(words).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// Behind the key of a free row stands this bit and the number of the next one.
const FREE: u64 = 1 << 32;
/// No row.
const NO_ROW: u32 = u32::MAX;

fn next_free(word: u64) -> u32 {
    u32::try_from(word & !FREE).unwrap_or(NO_ROW)
}

/// No slot, if the row is not in use.
#[inline]
fn slot_of(word: u64) -> Option<Slot> {
    u32::try_from(word).ok().map(Slot)
}
