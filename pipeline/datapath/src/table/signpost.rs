//! Signposts: which of many masks with one megaflow each may be a packet's, told by one word.
//!
//! # Why
//! A mask with a single megaflow is a comparison. With fifty of them that is fifty comparisons a packet, of
//! which one hits. But such masks usually have some bits of a word in common (a destination, say), in which
//! their megaflows differ: then those bits of the packet say which of them it may be.
//!
//! # What
//! Of all words the one is chosen in whose common bits the single megaflows have most values. A small hash
//! table of these values names the masks, a chain for each value. Whoever examines none of the bits is not *posted*, and
//! is tried as ever.
//!
//! # Why it is sound
//! The common bits are part of each posted mask. So a packet that differs there from a mask's only megaflow is
//! not that megaflow's, and one that does not is compared in full.
//!
//! # When it is made
//! What changes which masks have one megaflow makes it *stale*, and nobody looks at it; it is made anew by a later lookup,
//! once in [`EVERY`] at the most: so a table that changes all the time spends next to nothing on it.
//!
//! # Cost
//! Making it takes some instructions for each word of each mask, twice. Looking a packet up takes a multiplication, a line of
//! the table, and the comparison with what is named there.

use flow::{Keys, layout::FLOW_WORDS};

use super::subtable::Subtable;
use crate::census::{MAX_LIMIT, N_ROUNDED};

/// Values of the word, and so masks, from which on it pays.
const FEWEST: usize = 10;
/// Lookups after which it may be made anew.
const EVERY: u32 = 256;
/// Chains: a power of two.
const CHAINS: usize = 512;
/// Places of masks that can be posted.
const PLACES: usize = MAX_LIMIT + N_ROUNDED;
/// The end of a chain.
const END: u16 = u16::MAX;

/// The signposts of a port. See the head of the file.
#[derive(Debug)]
pub(super) struct Signpost {
    is_stale: bool,
    /// Lookups since it was made.
    n_lookups: u32,
    /// How many masks are posted: none, or enough.
    n_posted: usize,
    /// What is looked at of a packet.
    word: usize,
    bits: u64,
    first: [u16; CHAINS],
    next: [u16; PLACES],
    posted: [bool; PLACES],
}

impl Signpost {
    pub(super) const NEW: Self = Self {
        is_stale: false,
        n_lookups: 0,
        n_posted: 0,
        word: 0,
        bits: 0,
        first: [END; CHAINS],
        next: [END; PLACES],
        posted: [false; PLACES],
    };

    /// Which masks have one megaflow may have changed.
    pub(super) fn make_stale(&mut self) {
        self.is_stale = true;
    }

    /// Whether it can be asked. Makes it anew if it is time.
    #[inline]
    pub(super) fn is_ready(&mut self, subtables: &[Option<alloc::boxed::Box<Subtable>>]) -> bool {
        if self.is_stale {
            self.n_lookups += 1;
            if self.n_lookups < EVERY {
                return false;
            }
            self.make(subtables);
        }
        self.n_posted > 0
    }

    /// Whether the mask at a place is posted: who asked the signposts need not try it.
    #[inline]
    pub(super) fn has(&self, place: u32) -> bool {
        self.posted.get(place as usize).is_some_and(|posted| *posted)
    }

    /// The places of the masks that may be a packet's.
    #[inline]
    pub(super) fn named(&self, keys: &Keys, packet: usize) -> impl Iterator<Item = u16> {
        let mut place = self.chain(keys.word(packet, self.word) & self.bits);
        core::iter::from_fn(move || {
            let named = Some(place).filter(|place| *place != END)?;
            place = self.next.get(usize::from(named)).copied().unwrap_or(END);
            Some(named)
        })
    }

    #[inline]
    fn chain(&self, value: u64) -> u16 {
        self.first.get(chain_of(value)).copied().unwrap_or(END)
    }

    #[cold]
    fn make(&mut self, subtables: &[Option<alloc::boxed::Box<Subtable>>]) {
        *self = Self::NEW;
        let singles = || {
            let places = (0_u16..).zip(subtables).take(PLACES);
            places.filter_map(|(place, subtable)| Some((place, subtable.as_deref()?.only_key()?)))
        };
        // The bits that those have in common which examine the word at all.
        let mut common = [u64::MAX; FLOW_WORDS];
        for (_, key) in singles() {
            for (word, bits, _) in key {
                if let Some(common) = common.get_mut(word) {
                    *common &= bits;
                }
            }
        }
        let mut seen = [[0_u64; CHAINS / 64]; FLOW_WORDS];
        for (_, key) in singles() {
            for (word, _, value) in key {
                let chain = common.get(word).map_or(0, |common| chain_of(value & common));
                if let Some(seen) = seen.get_mut(word).and_then(|seen| seen.get_mut(chain / 64)) {
                    *seen |= 1 << (chain % 64);
                }
            }
        }
        let n_values = seen.map(|seen| seen.iter().map(|bits| bits.count_ones()).sum::<u32>());
        let most = n_values.iter().copied().max().unwrap_or(0);
        if (most as usize) < FEWEST {
            return;
        }
        self.word = n_values.iter().position(|n| *n == most).unwrap_or(0);
        self.bits = common.get(self.word).copied().unwrap_or(0);
        for (place, key) in singles() {
            let mut words = key;
            let Some((_, _, value)) = words.find(|(word, ..)| *word == self.word) else {
                continue;
            };
            let at = usize::from(place);
            let (Some(first), Some(next), Some(posted)) = (
                self.first.get_mut(chain_of(value & self.bits)),
                self.next.get_mut(at),
                self.posted.get_mut(at),
            ) else {
                continue;
            };
            *next = core::mem::replace(first, place);
            *posted = true;
            self.n_posted += 1;
        }
    }
}

/// The chain of a value.
#[inline]
fn chain_of(value: u64) -> usize {
    const SHIFT: u32 = u64::BITS - CHAINS.trailing_zeros();
    // So few bits fit anywhere.
    usize::try_from(value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> SHIFT).unwrap_or(0)
}
