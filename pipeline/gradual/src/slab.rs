//! Elements at numbers that they keep, in chunks.
//!
//! # What
//! An element that is inserted gets a number, which is its own until it is removed; then another one
//! may get it. Beside each element stands the same number of words: keys whose length is only known at
//! run time, without an allocation each.
//!
//! # Design
//! Numbers are dealt out from chunks that have room, which are in a list; each chunk knows which of its
//! places are free, a bit each. A chunk whose last element goes gives its memory back at once. So a
//! million elements that are removed one after another leave nothing to be given back in the end, and
//! what one operation moves, allocates or gives back is one chunk.
//!
//! # Cost
//! Reading is two dependent loads: the list of chunks (24 bytes each, so usually cached) and the element. A place
//! costs one bit beside its element and words.

use alloc::vec::Vec;
use core::ops;

use crate::{CHUNK, Chunks};

/// No chunk, as a link.
const NONE: u32 = u32::MAX;
/// Words of free places in a chunk.
const N_FREE: usize = CHUNK / u64::BITS as usize;

/// What is known of a chunk.
#[derive(Debug, Clone)]
struct Head {
    /// Places that had an element and have none, a bit each. Those behind the elements that a chunk ever had
    /// are free too, and not marked.
    free: [u64; N_FREE],
    n_used: usize,
    /// Its neighbours among the chunks that have room, if it has.
    next: u32,
    before: u32,
}

impl Head {
    const NEW: Self = Self { free: [0; N_FREE], n_used: 0, next: NONE, before: NONE };

    /// A place that is marked as free, no more.
    fn take_free(&mut self) -> Option<usize> {
        let at = self.free.iter().position(|bits| *bits != 0)?;
        let bits = self.free.get_mut(at)?;
        let place = at * u64::BITS as usize + bits.trailing_zeros() as usize;
        *bits &= *bits - 1;
        Some(place)
    }

    fn is_free(&self, place: usize) -> bool {
        let bits = self.free.get(place / u64::BITS as usize);
        bits.is_none_or(|bits| bits >> (place % u64::BITS as usize) & 1 == 1)
    }

    fn set_free(&mut self, place: usize) {
        if let Some(bits) = self.free.get_mut(place / u64::BITS as usize) {
            *bits |= 1 << (place % u64::BITS as usize);
        }
    }
}

/// Elements by number. See the head of the file.
#[derive(Debug, Clone)]
pub struct Slab<T> {
    /// Elements, the default where there is none; a chunk in which there is none at all is empty.
    chunks: Vec<Vec<T>>,
    /// `width` words for each of them.
    words: Vec<Vec<u64>>,
    heads: Chunks<Head>,
    width: usize,
    /// The first chunk that has room.
    open: u32,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::with_words(0)
    }
}

impl<T> Slab<T> {
    /// An empty one, with `width` words beside each element. Takes no memory yet.
    #[must_use]
    pub fn with_words(width: usize) -> Self {
        let (chunks, words, heads) = (Vec::new(), Vec::new(), Chunks::default());
        Self { chunks, words, heads, width, open: NONE, len: 0 }
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// No element has this number or a higher one.
    #[must_use]
    pub fn end(&self) -> u32 {
        let end = self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len());
        u32::try_from(end).unwrap_or(u32::MAX)
    }

    /// What is at a place: an element, or perhaps the default where there is none.
    #[inline]
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)
    }

    /// What is at a place, to be changed.
    #[inline]
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)
    }

    /// The words beside an element; none for a number that is nobody's.
    #[inline]
    #[must_use]
    pub fn words(&self, number: u32) -> &[u64] {
        let start = number as usize % CHUNK * self.width;
        let chunk = self.words.get(number as usize / CHUNK);
        chunk.and_then(|words| words.get(start..start + self.width)).unwrap_or_default()
    }

    /// Bytes of memory that elements and words have.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        let elements = self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>());
        let words = self.words.iter().map(|chunk| chunk.capacity() * size_of::<u64>());
        elements.chain(words).sum()
    }
}

impl<T: Default> Slab<T> {
    /// Adds an element with its words; its number. `None` when there is no number left.
    pub fn insert(&mut self, element: T, words: impl IntoIterator<Item = u64>) -> Option<u32> {
        let at = if self.open == NONE { self.add_chunk()? } else { self.open };
        let index = at as usize;
        let (chunk, keys) = (self.chunks.get_mut(index)?, self.words.get_mut(index)?);
        let head = self.heads.get_mut(index)?;
        if index > 0 && chunk.capacity() == 0 {
            // The first chunk grows as it is needed: most slabs are small.
            chunk.reserve_exact(CHUNK);
            keys.reserve_exact(CHUNK * self.width);
        }
        // Most chunks have only ever been added to.
        let free = if head.n_used < chunk.len() { head.take_free() } else { None };
        let place = match free {
            Some(place) => {
                *chunk.get_mut(place)? = element;
                place
            }
            None => {
                chunk.push(element);
                chunk.len() - 1
            }
        };
        if self.width > 0 {
            let words = words.into_iter().chain(core::iter::repeat(0)).take(self.width);
            let start = place * self.width;
            match keys.get_mut(start..start + self.width) {
                Some(old) => old.iter_mut().zip(words).for_each(|(old, word)| *old = word),
                None => keys.extend(words),
            }
        }
        head.n_used += 1;
        if head.n_used == CHUNK {
            self.unlink(at);
        }
        self.len += 1;
        u32::try_from(index * CHUNK + place).ok()
    }

    /// Takes an element out; `None` if there is none.
    pub fn remove(&mut self, number: u32) -> Option<T> {
        let (index, place) = (number as usize / CHUNK, number as usize % CHUNK);
        let head = self.heads.get_mut(index).filter(|head| !head.is_free(place))?;
        let chunk = self.chunks.get_mut(index)?;
        let element = core::mem::take(chunk.get_mut(place)?);
        head.set_free(place);
        head.n_used -= 1;
        let (is_empty, was_full) = (head.n_used == 0, head.n_used == CHUNK - 1);
        if is_empty {
            head.free = [0; N_FREE];
            *chunk = Vec::new();
            if let Some(words) = self.words.get_mut(index) {
                *words = Vec::new();
            }
        }
        if was_full {
            self.link(u32::try_from(index).unwrap_or(NONE));
        }
        self.len -= 1;
        self.drop_last_chunks();
        Some(element)
    }

    /// A chunk more, with room.
    fn add_chunk(&mut self) -> Option<u32> {
        let at = u32::try_from(self.chunks.len()).ok()?;
        // The last number of all is nobody's.
        at.checked_add(1)?.checked_mul(u32::try_from(CHUNK).ok()?)?;
        self.chunks.push(Vec::new());
        self.words.push(Vec::new());
        self.heads.push(Head::NEW);
        self.link(at);
        Some(at)
    }

    /// Chunks without elements at the end go.
    fn drop_last_chunks(&mut self) {
        while let Some(last) = self.heads.len().checked_sub(1)
            && self.heads.get(last).is_some_and(|last| last.n_used == 0)
        {
            self.unlink(u32::try_from(last).unwrap_or(NONE));
            self.heads.pop();
            self.chunks.pop();
            self.words.pop();
        }
        if self.heads.is_empty() {
            *self = Self::with_words(self.width);
        }
    }

    /// Puts a chunk in front of those that have room.
    fn link(&mut self, at: u32) {
        let next = self.open;
        if let Some(head) = self.heads.get_mut(at as usize) {
            (head.next, head.before) = (next, NONE);
        }
        if let Some(next) = self.heads.get_mut(next as usize) {
            next.before = at;
        }
        self.open = at;
    }

    /// Takes a chunk out of those that have room.
    fn unlink(&mut self, at: u32) {
        let Some(head) = self.heads.get_mut(at as usize) else { return };
        let (next, before) = (head.next, head.before);
        (head.next, head.before) = (NONE, NONE);
        if let Some(next) = self.heads.get_mut(next as usize) {
            next.before = before;
        }
        match self.heads.get_mut(before as usize) {
            Some(before) => before.next = next,
            None => self.open = next,
        }
    }
}

/// What is at a place.
///
/// # Panics
/// If the slab does not reach so far: no element has this number.
impl<T> ops::Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, number: u32) -> &T {
        &self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

impl<T> ops::IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u32),
        Remove(prop::sample::Index, u32, u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (0_u32..1_500).prop_map(Step::Insert),
            1 => (any::<prop::sample::Index>(), 0_u32..1_500, 1_u32..4)
                .prop_map(|(at, n, step)| Step::Remove(at, n, step)),
        ]
    }

    proptest! {
        /// Against a map: numbers stay while elements are there, and nobody else has them.
        #[test]
        fn agrees_with_a_map(steps in vec(step(), 1..30), width in 0_usize..3) {
            let (mut slab, mut twin, mut next) = (Slab::with_words(width), BTreeMap::new(), 0_u64);
            for step in steps {
                match step {
                    Step::Insert(n) => for _ in 0..n {
                        next += 1;
                        let number = slab.insert(Some(next), [next, !next]).expect("numbers are left");
                        prop_assert!(twin.insert(number, next).is_none(), "{} is somebody's", number);
                    },
                    Step::Remove(at, n, step) => {
                        let numbers: Vec<_> = twin.keys().copied().collect();
                        let first = if numbers.is_empty() { 0 } else { at.index(numbers.len()) };
                        let gone = numbers.into_iter().skip(first).step_by(step as usize).take(n as usize);
                        for number in gone {
                            prop_assert_eq!(slab.remove(number).flatten(), twin.remove(&number));
                            prop_assert!(slab.remove(number).is_none(), "{} is nobody's", number);
                        }
                    }
                }
                prop_assert_eq!((slab.len(), slab.is_empty()), (twin.len(), twin.is_empty()));
                for (number, element) in &twin {
                    prop_assert_eq!(slab.get(*number), Some(&Some(*element)));
                    prop_assert_eq!(slab[*number], Some(*element));
                    prop_assert_eq!(slab.words(*number), &[*element, !*element][..width]);
                    prop_assert!(*number < slab.end());
                }
                let found = (0..slab.end()).filter(|number| slab.get(*number).is_some_and(Option::is_some));
                prop_assert!(found.eq(twin.keys().copied()));
            }
            for number in twin.into_keys() {
                slab.remove(number);
            }
            prop_assert_eq!((slab.n_bytes(), slab.end()), (0, 0));
        }
    }

    #[test]
    fn memory_comes_and_goes_by_chunks() {
        let a_chunk = CHUNK * (size_of::<u32>() + 2 * size_of::<u64>());
        let mut slab = Slab::with_words(2);
        for number in 0..100_000_u32 {
            let before = slab.n_bytes();
            assert_eq!(slab.insert(number, [1, 2]), Some(number));
            assert!(slab.n_bytes() - before <= a_chunk, "a chunk at the most");
        }
        for number in 0..100_000_u32 {
            let before = slab.n_bytes();
            assert_eq!(slab.remove(number), Some(number));
            assert!(before - slab.n_bytes() <= a_chunk, "a chunk at the most");
        }
        assert_eq!(slab.n_bytes(), 0);
        assert_eq!(slab.heads.n_bytes(), 0);
    }
}
