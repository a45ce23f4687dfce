//! Matches without their wildcarded words.
//!
//! # What
//! A [`Match`] is 512 bytes, of which a rule examines a few words. A [`CompactMatch`] has the values of those
//! and, in common with other matches, a [`CompactMask`]: which words they are, and which of their bits.
//! [`MatchWords`] is either of them, borrowed: what tables are asked with.
//!
//! # Why the mask is apart
//! A table has many matches and few masks. Who reads a thousand rules that look alike ([`Arc::ptr_eq`])
//! knows of all of them what it knows of one.

use crate::field::Field;
use crate::flow::Flow;
use crate::layout::{FLOW_WORDS, WordMap};
use crate::mask::Mask;
use crate::matching::Match;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hash::{Hash, Hasher};

/// The bits that a match examines: which words they are in, and the words, none of them zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactMask {
    map: WordMap,
    bits: Box<[u64]>,
}

impl CompactMask {
    /// The compact form of `mask`.
    #[must_use]
    pub fn of(mask: &Mask) -> Self {
        let map = mask.map();
        Self { map, bits: map.into_iter().map(|word| mask.word(word)).collect() }
    }

    /// The words that it has.
    #[must_use]
    pub fn map(&self) -> WordMap {
        self.map
    }

    /// The words, lowest first.
    #[must_use]
    pub fn bits(&self) -> &[u64] {
        &self.bits
    }

    /// A number that tells masks apart, most of the time; that of the equal mask whose words are
    /// `bits`.
    #[must_use]
    pub fn digest(map: WordMap, bits: impl IntoIterator<Item = u64>) -> u64 {
        bits.into_iter().fold(map.0, |digest, bits| digest.rotate_left(7) ^ bits)
    }

    /// Whether it has these words.
    #[must_use]
    pub fn is(&self, map: WordMap, bits: impl IntoIterator<Item = u64>) -> bool {
        self.map == map && bits.into_iter().eq(self.bits.iter().copied())
    }
}

impl Hash for CompactMask {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(Self::digest(self.map, self.bits.iter().copied()));
    }
}

/// Words that need no memory of their own: those of addresses and ports behind an Ethernet type, and
/// one more.
const FEW: usize = 5;

/// The values of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    /// Up to [`FEW`]; zeros behind them.
    Few(u8, [u64; FEW]),
    /// More.
    Many(Box<[u64]>),
}

impl Values {
    const NONE: Self = Self::Few(0, [0; FEW]);

    fn of(values: &[u64]) -> Self {
        let mut few = [0; FEW];
        match (few.get_mut(..values.len()), u8::try_from(values.len())) {
            (Some(place), Ok(n)) => {
                place.copy_from_slice(values);
                Self::Few(n, few)
            }
            _ => Self::Many(values.into()),
        }
    }

    #[inline]
    fn words(&self) -> &[u64] {
        match self {
            Self::Few(n, words) => words.get(..usize::from(*n)).unwrap_or_default(),
            Self::Many(words) => words,
        }
    }
}

/// A match without its wildcarded words: the values, and the bits in common with other matches. Nothing at
/// all for the match that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactMatch {
    mask: Option<Arc<CompactMask>>,
    values: Values,
}

impl CompactMatch {
    /// The compact form of `match_`.
    #[must_use]
    pub fn of(match_: &Match) -> Self {
        Self::sharing(match_, |_| Arc::new(CompactMask::of(match_.mask())))
    }

    /// The same with the mask that `mask` has for these words.
    #[must_use]
    pub fn sharing(match_: &Match, mask: impl FnOnce(WordMap) -> Arc<CompactMask>) -> Self {
        let map = match_.mask().map();
        if map.is_empty() {
            return Self { mask: None, values: Values::NONE };
        }
        let mut values = [0; FLOW_WORDS];
        for (value, word) in values.iter_mut().zip(map) {
            *value = match_.flow().word(word);
        }
        Self::new(&mask(map), &values)
    }

    /// The match of these values in the words of `mask`, as many as there are. Their bits outside the
    /// mask are zero.
    #[must_use]
    pub fn new(mask: &Arc<CompactMask>, values: &[u64]) -> Self {
        match values.get(..mask.bits.len()) {
            Some(values) if !values.is_empty() => {
                Self { mask: Some(Arc::clone(mask)), values: Values::of(values) }
            }
            _ => Self { mask: None, values: Values::NONE },
        }
    }

    /// The match.
    #[must_use]
    pub fn expand(&self) -> Match {
        self.words().to_match()
    }

    /// Borrowed.
    #[must_use]
    pub fn words(&self) -> MatchWords<'_> {
        let (map, bits) =
            self.mask.as_ref().map_or((WordMap(0), &[][..]), |mask| (mask.map, &mask.bits[..]));
        MatchWords { map, bits, values: self.values.words() }
    }

    /// The value of each word.
    #[must_use]
    #[inline]
    pub fn values(&self) -> &[u64] {
        self.values.words()
    }

    /// Its mask, if it has one.
    #[must_use]
    #[inline]
    pub fn mask(&self) -> Option<&Arc<CompactMask>> {
        self.mask.as_ref()
    }

    /// The same with the mask that `shared` says equals its own.
    #[must_use]
    pub fn shared_with(self, shared: impl FnOnce(&Arc<CompactMask>) -> Arc<CompactMask>) -> Self {
        Self { mask: self.mask.as_ref().map(shared), ..self }
    }

    /// Whether it looks at a field.
    #[must_use]
    pub fn examines(&self, field: Field) -> bool {
        self.words().examines(field)
    }

    /// Bytes of memory that it takes besides itself, without what it has in common with others.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        match &self.values {
            Values::Few(..) => 0,
            Values::Many(words) => size_of_val(&**words),
        }
    }

    /// Whether it matches every packet.
    #[must_use]
    pub fn is_catchall(&self) -> bool {
        self.mask.is_none()
    }
}

/// The words in which a match examines bits.
#[derive(Clone, Copy, Debug)]
pub struct MatchWords<'a> {
    map: WordMap,
    bits: &'a [u64],
    values: &'a [u64],
}

impl<'a> MatchWords<'a> {
    /// The match of these values in the words of `mask`. Their bits outside the mask are zero.
    #[must_use]
    pub fn new(mask: &'a CompactMask, values: &'a [u64]) -> Self {
        let values = values.get(..mask.bits.len()).unwrap_or_default();
        match values.is_empty() {
            true => MatchWords { map: WordMap(0), bits: &[], values },
            false => MatchWords { map: mask.map, bits: &mask.bits, values },
        }
    }

    /// Which words they are.
    #[must_use]
    pub fn map(&self) -> WordMap {
        self.map
    }

    /// The examined bits of each word.
    #[must_use]
    pub fn bits(&self) -> &'a [u64] {
        self.bits
    }

    /// The value of each word.
    #[must_use]
    pub fn values(&self) -> &'a [u64] {
        self.values
    }

    /// Each word's number, value and bits.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64, u64)> + use<'a> {
        let pairs = self.values.iter().zip(self.bits);
        self.map.into_iter().zip(pairs).map(|(word, (&value, &bits))| (word, value, bits))
    }

    /// The match's flow: its values, zero elsewhere.
    #[must_use]
    pub fn to_flow(&self) -> Flow {
        let mut flow = Flow::ZERO;
        for (word, value) in self.map.into_iter().zip(self.values) {
            flow.set_word(word, *value);
        }
        flow
    }

    /// Whether it looks at a field.
    #[must_use]
    pub fn examines(&self, field: Field) -> bool {
        let at = field.spec().location;
        let first = usize::from(at.word);
        let last = first + usize::from(at.bits > 64);
        if !(first..=last).any(|word| self.map.contains(word)) {
            return false;
        }
        let mut mask = Mask::ZERO;
        for (word, _, bits) in self.iter() {
            mask.set_word(word, bits);
        }
        mask.get(field) != 0
    }

    /// The match.
    #[must_use]
    pub fn to_match(&self) -> Match {
        let mut mask = Mask::ZERO;
        for (word, bits) in self.map.into_iter().zip(self.bits) {
            mask.set_word(word, *bits);
        }
        Match::new(&self.to_flow(), &mask)
    }
}

/// A match's words side by side, for a moment.
#[derive(Clone, Copy, Debug)]
pub struct PackedMatch {
    map: WordMap,
    bits: [u64; FLOW_WORDS],
    values: [u64; FLOW_WORDS],
}

impl PackedMatch {
    /// Those of `match_`.
    #[must_use]
    pub fn of(match_: &Match) -> Self {
        let map = match_.mask().map();
        let mut packed = Self { map, bits: [0; FLOW_WORDS], values: [0; FLOW_WORDS] };
        for ((bits, value), word) in packed.bits.iter_mut().zip(&mut packed.values).zip(map) {
            (*bits, *value) = (match_.mask().word(word), match_.flow().word(word));
        }
        packed
    }

    /// The same, borrowed.
    #[must_use]
    pub fn words(&self) -> MatchWords<'_> {
        let n = self.map.count();
        let (bits, values) = (self.bits.get(..n), self.values.get(..n));
        MatchWords {
            map: self.map,
            bits: bits.unwrap_or_default(),
            values: values.unwrap_or_default(),
        }
    }
}
