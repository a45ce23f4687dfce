//! The shape of a subtable: its mask, reduced to the words that are not zero, and cut into stages.

use alloc::vec::Vec;
use core::ops::Range;

use flow::layout::{Segment, WordMap};
use flow::{Flow, Mask, MatchWords};

use crate::hash::{Hash, short};

/// One word of a mask that is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaskWord {
    pub(crate) index: usize,
    pub(crate) bits: u64,
}

/// The mask words that one stage of the lookup adds to those before it.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// Their positions in the shape's words.
    range: Range<usize>,
    /// Which flow words these are.
    pub(crate) map: WordMap,
}

/// A mask, compact. A key of a subtable is the flow's words under it, in the same order.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    words: Vec<MaskWord>,
    /// Which words these are.
    map: WordMap,
    /// One per segment that has mask bits, in order; one empty stage for the empty mask.
    stages: Vec<Stage>,
}

impl Shape {
    pub(crate) fn of(mask: &Mask) -> Self {
        let words: Vec<MaskWord> = (mask.words().iter().enumerate())
            .filter(|&(_, &bits)| bits != 0)
            .map(|(index, &bits)| MaskWord { index, bits })
            .collect();
        let mut stages = Vec::new();
        for segment in Segment::ALL {
            let before = |end: usize| words.partition_point(|word| word.index < end);
            let Range { start, end } = segment.words();
            let range = before(start)..before(end);
            if !range.is_empty() {
                let map = words[range.clone()].iter().fold(0, |map, word| map | 1 << word.index);
                stages.push(Stage { range, map: WordMap(map) });
            }
        }
        if stages.is_empty() {
            stages.push(Stage { range: 0..0, map: WordMap(0) });
        }
        Self { words, map: mask.map(), stages }
    }

    /// The mask words that are not zero.
    pub(crate) fn words(&self) -> &[MaskWord] {
        &self.words
    }

    /// The number of words in a key.
    pub(crate) fn n_words(&self) -> usize {
        self.words.len()
    }

    /// The last stage; its hash is the hash of the whole key.
    pub(crate) fn last_stage(&self) -> &Stage {
        &self.stages[self.stages.len() - 1]
    }

    /// The stages before the last one.
    pub(crate) fn early_stages(&self) -> &[Stage] {
        &self.stages[..self.stages.len() - 1]
    }

    /// The key words of `flow`.
    pub(crate) fn key_of(&self, flow: &Flow) -> impl Iterator<Item = u64> {
        let flow = flow.words();
        self.words.iter().map(move |word| flow[word.index] & word.bits)
    }

    /// Continues `hash` over the words of `stage` in a key.
    pub(crate) fn hash_stage_of(stage: &Stage, key: &[u64], hash: Hash) -> Hash {
        key[stage.range.clone()].iter().fold(hash, |hash, &word| hash.add(word))
    }

    /// Continues `hash` over the words of `stage`.
    pub(crate) fn hash_stage(&self, stage: &Stage, flow: &Flow, hash: Hash) -> Hash {
        let flow = flow.words();
        self.words[stage.range.clone()]
            .iter()
            .fold(hash, |hash, word| hash.add(flow[word.index] & word.bits))
    }

    /// The hash of a key, or of a flow's key: the same as all stages after another.
    pub(crate) fn hash_key(key: impl Iterator<Item = u64>, seed: u64) -> u64 {
        key.fold(Hash::new(seed), Hash::add).finish()
    }

    /// Whether `flow` has this key.
    pub(crate) fn key_matches(&self, key: &[u64], flow: &Flow) -> bool {
        self.key_of(flow).eq(key.iter().copied())
    }

    /// Sets in `wildcards` the mask bits of the first `n_stages` stages.
    pub(crate) fn examine_stages(&self, n_stages: usize, wildcards: &mut Mask) {
        let end = n_stages.checked_sub(1).map_or(0, |last| self.stages[last].range.end);
        for word in &self.words[..end] {
            examine(wildcards, word.index, word.bits);
        }
    }

    /// Sets in `wildcards` the whole mask.
    pub(crate) fn examine(&self, wildcards: &mut Mask) {
        self.examine_stages(self.stages.len(), wildcards);
    }

    /// The mask bits of the flow word at `index`.
    pub(crate) fn mask_word(&self, index: usize) -> u64 {
        self.words.iter().find(|word| word.index == index).map_or(0, |word| word.bits)
    }

    /// The hash of the mask.
    pub(crate) fn hash_mask(&self, seed: u64) -> u32 {
        short(Self::hash_key(self.words.iter().map(|word| word.bits).chain([self.map.0]), seed))
    }

    pub(crate) fn to_mask(&self) -> Mask {
        let mut mask = Mask::default();
        self.examine(&mut mask);
        mask
    }

    /// The flow whose words under the mask are `key`, and zero elsewhere.
    pub(crate) fn to_flow(&self, key: &[u64]) -> Flow {
        let mut flow = Flow::default();
        for (word, &value) in self.words.iter().zip(key) {
            flow.set_word(word.index, value);
        }
        flow
    }

    /// Whether this is the shape of the mask of `match_`.
    pub(crate) fn is_of(&self, match_: MatchWords<'_>) -> bool {
        self.map == match_.map()
            && self.words.iter().zip(match_.bits()).all(|(word, &bits)| word.bits == bits)
    }

    /// The word at `index` of a flow with this key under the mask.
    pub(crate) fn word_of(&self, key: &[u64], index: usize) -> u64 {
        if !self.map.contains(index) {
            return 0;
        }
        let below = WordMap(self.map.0 & ((1 << index) - 1));
        key.get(below.count()).copied().unwrap_or(0)
    }
}

/// Sets bits of one word of `wildcards`.
pub(crate) fn examine(wildcards: &mut Mask, index: usize, bits: u64) {
    wildcards.set_word(index, wildcards.word(index) | bits);
}
