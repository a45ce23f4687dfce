//! Numbers found by hash, in a table that grows one bucket at a time.
//!
//! # What
//! Linear hashing: there are `n` buckets, `2^level <= n < 2^(level + 1)`. A hash belongs to the bucket
//! of its low `level + 1` bits, or, where there is no such bucket yet, to that of its low `level` bits.
//! Each insertion above [`LOAD`] entries a bucket splits one bucket in two, each removal below
//! [`LOW_LOAD`] joins two; the entries of no other bucket move. So the table is never rebuilt, and the
//! longest that an insertion takes is what two buckets take.
//!
//! # Cost
//! A bucket is one cache line: seven hashes, seven numbers. A bucket that is full continues in a line
//! of the overflow, which at this load one in seven does. Whole hashes are kept, so that a number is
//! looked at only where it is almost surely the right one, and splitting reads nothing but buckets.

use sync::prefetch::prefetch;

use crate::Chunks;

/// Entries of a bucket.
const WAYS: usize = 7;
/// Entries a bucket, on average, above which the table grows.
const LOAD: usize = 5;
/// Entries a bucket, on average, below which it shrinks.
const LOW_LOAD: usize = 2;
/// No overflow.
const NONE: u32 = u32::MAX;

/// Numbers by hash. See the head of the file.
#[derive(Debug)]
pub struct Index {
    buckets: Chunks<Bucket>,
    overflow: Chunks<Bucket>,
    /// The first free line of the overflow; each names the next.
    free: u32,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    hashes: [u32; WAYS],
    numbers: [u32; WAYS],
    n: u32,
    next: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64, "a cache line");

impl Bucket {
    const EMPTY: Self = Self { hashes: [0; WAYS], numbers: [0; WAYS], n: 0, next: NONE };

    /// Which ways have this hash, a bit each.
    #[inline]
    fn ways_of(&self, hash: u32) -> u32 {
        let same = self.hashes.iter().enumerate();
        let ways = same.fold(0, |ways, (way, other)| ways | u32::from(*other == hash) << way);
        ways & ((1 << self.n) - 1)
    }

    fn push(&mut self, hash: u32, number: u32) -> bool {
        let way = self.n as usize;
        let (Some(h), Some(n)) = (self.hashes.get_mut(way), self.numbers.get_mut(way)) else {
            return false;
        };
        (*h, *n) = (hash, number);
        self.n += 1;
        true
    }

    /// Takes the last entry off.
    fn pop(&mut self) -> Option<(u32, u32)> {
        let way = self.n.checked_sub(1)?;
        self.n = way;
        Some((*self.hashes.get(way as usize)?, *self.numbers.get(way as usize)?))
    }
}

impl Default for Index {
    fn default() -> Self {
        let mut buckets = Chunks::default();
        buckets.push(Bucket::EMPTY);
        Self { buckets, overflow: Chunks::default(), free: NONE, len: 0 }
    }
}

impl Index {
    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that it has.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.buckets.n_bytes() + self.overflow.n_bytes()
    }

    /// Asks for the bucket of a hash.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        if let Some(bucket) = self.buckets.get(self.home(hash)) {
            prefetch(bucket);
        }
    }

    /// A number that was inserted with this hash and is the right one.
    #[inline]
    pub fn find(&self, hash: u32, mut is_right: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut bucket = self.buckets.get(self.home(hash))?;
        loop {
            let mut ways = bucket.ways_of(hash);
            while ways != 0 {
                let number = *bucket.numbers.get(ways.trailing_zeros() as usize)?;
                if is_right(number) {
                    return Some(number);
                }
                ways &= ways - 1;
            }
            if bucket.next == NONE {
                return None;
            }
            bucket = self.overflow.get(bucket.next as usize)?;
        }
    }

    /// A number that was inserted with this hash and is the right one, to be changed: for whoever keeps
    /// something else than a number that must stay what it is.
    pub fn find_mut(
        &mut self,
        hash: u32,
        mut is_right: impl FnMut(u32) -> bool,
    ) -> Option<&mut u32> {
        let mut line = Line::Bucket(self.home(hash));
        loop {
            let bucket = match line {
                Line::Bucket(index) => self.buckets.get(index)?,
                Line::Overflow(index) => self.overflow.get(index as usize)?,
            };
            let mut ways = bucket.ways_of(hash);
            while ways != 0 {
                let way = ways.trailing_zeros() as usize;
                if is_right(*bucket.numbers.get(way)?) {
                    return self.line_mut(line)?.numbers.get_mut(way);
                }
                ways &= ways - 1;
            }
            line = Line::Overflow(bucket.next);
        }
    }

    /// Adds a number.
    pub fn insert(&mut self, hash: u32, number: u32) {
        self.place(self.home(hash), hash, number);
        self.len += 1;
        if self.len > self.buckets.len() * LOAD {
            self.split();
        }
    }

    /// Removes a number that was inserted with this hash; `false` if it is not there.
    pub fn remove(&mut self, hash: u32, number: u32) -> bool {
        let home = self.home(hash);
        let mut line = Line::Bucket(home);
        loop {
            let Some(bucket) = self.line_mut(line) else { return false };
            let n = bucket.n as usize;
            let entries = bucket.hashes.iter().zip(&bucket.numbers).take(n);
            let way = entries.into_iter().position(|entry| entry == (&hash, &number));
            let next = bucket.next;
            match way {
                Some(way) => {
                    // The last entry of this line fills the gap.
                    if let Some((last_hash, last_number)) = bucket.pop()
                        && way + 1 < n
                        && let (Some(h), Some(n)) =
                            (bucket.hashes.get_mut(way), bucket.numbers.get_mut(way))
                    {
                        (*h, *n) = (last_hash, last_number);
                    }
                    break;
                }
                None if next == NONE => return false,
                None => line = Line::Overflow(next),
            }
        }
        self.len -= 1;
        if self.buckets.len() > 1 && self.len < self.buckets.len() * LOW_LOAD {
            self.join();
        }
        true
    }

    /// The bucket that a hash belongs to.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        let n = self.buckets.len();
        let low = (1_usize << n.ilog2()) - 1;
        let home = hash as usize & (low << 1 | 1);
        if home < n { home } else { hash as usize & low }
    }

    fn line_mut(&mut self, line: Line) -> Option<&mut Bucket> {
        match line {
            Line::Bucket(index) => self.buckets.get_mut(index),
            Line::Overflow(index) => self.overflow.get_mut(index as usize),
        }
    }

    /// Puts an entry into a bucket or its overflow.
    fn place(&mut self, bucket: usize, hash: u32, number: u32) {
        let Some(first) = self.buckets.get_mut(bucket) else { return };
        if first.push(hash, number) {
            return;
        }
        let mut line = first.next;
        while let Some(overflow) = self.overflow.get_mut(line as usize) {
            if overflow.push(hash, number) {
                return;
            }
            line = overflow.next;
        }
        // A new line goes in front of the others.
        let next = first_next(&self.buckets, bucket);
        let mut new = Bucket { next, ..Bucket::EMPTY };
        new.push(hash, number);
        let at = self.add_line(new);
        if let Some(first) = self.buckets.get_mut(bucket) {
            first.next = at;
        }
    }

    /// A line more in the overflow.
    fn add_line(&mut self, line: Bucket) -> u32 {
        match self.overflow.get_mut(self.free as usize) {
            Some(free) => {
                let at = self.free;
                self.free = free.next;
                *free = line;
                at
            }
            None => u32::try_from(self.overflow.push(line)).unwrap_or(NONE),
        }
    }

    /// Empties a line of the overflow and gives it back; what it had, and the next line.
    fn take_line(&mut self, at: u32) -> Option<Bucket> {
        let line = self.overflow.get_mut(at as usize)?;
        let taken = core::mem::replace(line, Bucket { next: self.free, ..Bucket::EMPTY });
        self.free = at;
        Some(taken)
    }

    /// Puts all entries of a bucket that was taken out where they belong.
    fn place_all(&mut self, mut taken: Bucket) {
        loop {
            while let Some((hash, number)) = taken.pop() {
                self.place(self.home(hash), hash, number);
            }
            match self.take_line(taken.next) {
                Some(next) => taken = next,
                None => return,
            }
        }
    }

    /// One more bucket, with entries of the one that it was split from.
    fn split(&mut self) {
        let n = self.buckets.len();
        let bit = n.ilog2();
        let from = n - (1 << bit);
        self.buckets.push(Bucket::EMPTY);
        let Some(bucket) = self.buckets.get_mut(from) else { return };
        let mut taken = core::mem::replace(bucket, Bucket::EMPTY);
        // One more bit of the hash tells who stays and who goes.
        let mut both = [Bucket::EMPTY; 2];
        let [stays, goes] = &mut both;
        loop {
            while let Some((hash, number)) = taken.pop() {
                let side = if hash >> bit & 1 == 0 { &mut *stays } else { &mut *goes };
                if !side.push(hash, number) {
                    let next = self.add_line(*side);
                    *side = Bucket { next, ..Bucket::EMPTY };
                    side.push(hash, number);
                }
            }
            match self.take_line(taken.next) {
                Some(next) => taken = next,
                None => break,
            }
        }
        for (index, side) in [from, n].into_iter().zip(both) {
            if let Some(bucket) = self.buckets.get_mut(index) {
                *bucket = side;
            }
        }
    }

    /// One bucket less.
    fn join(&mut self) {
        if let Some(taken) = self.buckets.pop() {
            self.place_all(taken);
        }
    }
}

fn first_next(buckets: &Chunks<Bucket>, bucket: usize) -> u32 {
    buckets.get(bucket).map_or(NONE, |bucket| bucket.next)
}

#[derive(Debug, Clone, Copy)]
enum Line {
    Bucket(usize),
    Overflow(u32),
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{collections::BTreeSet, vec::Vec};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// So many numbers from here on.
        Insert(u32, u32),
        Remove(prop::sample::Index, u32),
        Drain,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u32..1_000_000, 1_u32..200).prop_map(|(from, n)| Step::Insert(from, n)),
            3 => (any::<prop::sample::Index>(), 1_u32..200).prop_map(|(at, n)| Step::Remove(at, n)),
            1 => Just(Step::Drain),
        ]
    }

    proptest! {
        /// Against a set, with a hash that collides wholly, in its low bits, or hardly.
        #[test]
        fn agrees_with_a_set(steps in vec(step(), 1..40), hash_of in 0_u32..3) {
            let hash = |number: u32| match hash_of {
                0 => number % 3,
                1 => number << 16,
                _ => number.wrapping_mul(0x9e37_79b1),
            };
            let (mut index, mut twin) = (Index::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(from, n) => {
                        for number in from..from + n {
                            if twin.insert(number) {
                                index.insert(hash(number), number);
                            }
                        }
                    }
                    Step::Remove(at, n) if !twin.is_empty() => {
                        let first = *twin.iter().nth(at.index(twin.len())).expect("within");
                        let gone: Vec<_> = twin.range(first..).take(n as usize).copied().collect();
                        for number in gone {
                            prop_assert!(index.remove(hash(number), number));
                            prop_assert!(!index.remove(hash(number), number));
                            twin.remove(&number);
                        }
                    }
                    Step::Remove(..) => {}
                    Step::Drain => {
                        twin.iter().for_each(|number| assert!(index.remove(hash(*number), *number)));
                        twin.clear();
                        prop_assert_eq!(index.buckets.len(), 1, "all room is given back");
                    }
                }
                prop_assert_eq!(index.len(), twin.len());
                for number in &twin {
                    let found = index.find(hash(*number), |other| other == *number);
                    prop_assert_eq!(found, Some(*number));
                    let found = index.find_mut(hash(*number), |other| other == *number);
                    prop_assert_eq!(found.copied(), Some(*number));
                }
                prop_assert_eq!(index.find(hash(7_000_000), |other| other == 7_000_000), None);
            }
        }
    }

    #[test]
    fn grows_by_lines_and_not_by_leaps() {
        let mut index = Index::default();
        for number in 0..100_000_u32 {
            let before = index.n_bytes();
            index.insert(number.wrapping_mul(0x9e37_79b1), number);
            assert!(index.n_bytes() - before <= 2 * 512 * 64, "two chunks at the most");
        }
        let per_entry = index.n_bytes() as f64 / 100_000.0;
        assert!((12.0..20.0).contains(&per_entry), "{per_entry} bytes an entry");
    }
}
