//! The fields that have prefix tries, and the tries of a classifier.
//!
//! Addresses are where rules overlap by prefix (routes, access lists), so that is where a miss can
//! be proved by few bits. Ports have a trie too, but one per subtable (see `subtable.rs`): their
//! values are not prefixes of each other.

use flow::layout::{IPV6_DST, IPV6_SRC, NW_ADDR};
use flow::{Flow, Mask, WordMap};

use crate::shape::examine;
use crate::trie::{Found, Trie};

/// How many fields have a trie.
pub(crate) const N_TRIES: usize = 4;

/// A field with a trie, and where it lies in a flow.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The upper or lower half of a word: IPv4 (and ARP protocol) addresses.
    Half { word: usize, shift: u32 },
    /// Two words: IPv6 addresses.
    Double { word: usize },
}

const PLACES: [Place; N_TRIES] = [
    Place::Half { word: NW_ADDR, shift: 32 },
    Place::Half { word: NW_ADDR, shift: 0 },
    Place::Double { word: IPV6_SRC },
    Place::Double { word: IPV6_DST },
];

impl Place {
    /// The word in which the field begins.
    const fn word(self) -> usize {
        match self {
            Self::Half { word, .. } | Self::Double { word } => word,
        }
    }

    /// The field's value, its first bit the most significant of the 128, of what has these words.
    fn get(self, words: impl Fn(usize) -> u64) -> u128 {
        match self {
            Self::Half { word, shift } => {
                u128::from(words(word) >> shift & u64::from(u32::MAX)) << 96
            }
            Self::Double { word } => u128::from(words(word)) << 64 | u128::from(words(word + 1)),
        }
    }

    /// The `len` leading bits of the field, as a mask in the field's words.
    fn prefix_words(self, len: u32) -> [(usize, u64); 2] {
        let prefix = !u128::MAX.checked_shr(len).unwrap_or(0);
        let high = (prefix >> 64) as u64;
        match self {
            Self::Half { word, shift } => [(word, high >> 32 << shift), (word, 0)],
            Self::Double { word } => [(word, high), (word + 1, (prefix << 64 >> 64) as u64)],
        }
    }

    /// The length of the mask of this field when it is a prefix, else 0: no trie for this mask.
    fn prefix_len(self, mask: &Mask) -> u32 {
        let bits = self.get(|word| mask.words()[word]);
        if bits.leading_ones() == bits.count_ones() { bits.leading_ones() } else { 0 }
    }
}

/// The prefix length of each trie's field in one mask; 0 where the trie does not apply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldLens([u32; N_TRIES]);

impl FieldLens {
    pub(crate) fn of(mask: &Mask) -> Self {
        Self(PLACES.map(|place| place.prefix_len(mask)))
    }
}

/// The tries that a subtable asks in one stage, a bit each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageTries(u8);

impl FieldLens {
    /// The tries to ask before the words of a stage are looked at: of the fields that begin in one.
    pub(crate) fn in_stage(self, stage: WordMap) -> StageTries {
        let fields = PLACES.iter().zip(self.0).enumerate();
        StageTries(fields.fold(0, |bits, (n, (place, len))| {
            bits | u8::from(len != 0 && stage.contains(place.word())) << n
        }))
    }
}

/// One trie per field.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tries {
    ipv4: [Trie<u32>; 2],
    ipv6: [Trie<u128>; 2],
}

impl Tries {
    /// Counts the prefixes of a rule that matches these words.
    pub(crate) fn insert(&mut self, lens: FieldLens, words: impl Fn(usize) -> u64) {
        for (n, (place, len)) in PLACES.into_iter().zip(lens.0).enumerate() {
            if len == 0 {
                continue;
            }
            let value = place.get(&words);
            match n {
                0 | 1 => self.ipv4[n].insert((value >> 96) as u32, len),
                _ => self.ipv6[n - 2].insert(value, len),
            }
        }
    }

    /// Takes back [`insert`](Self::insert).
    pub(crate) fn remove(&mut self, lens: FieldLens, words: impl Fn(usize) -> u64) {
        for (n, (place, len)) in PLACES.into_iter().zip(lens.0).enumerate() {
            if len == 0 {
                continue;
            }
            let value = place.get(&words);
            match n {
                0 | 1 => self.ipv4[n].remove((value >> 96) as u32, len),
                _ => self.ipv6[n - 2].remove(value, len),
            }
        }
    }

    fn lookup(&self, n: usize, flow: &Flow) -> Found {
        match n {
            0 => self.ipv4[0].lookup(flow.nw_src()),
            1 => self.ipv4[1].lookup(flow.nw_dst()),
            _ => self.ipv6[n - 2].lookup(PLACES[n].get(|word| flow.words()[word])),
        }
    }
}

/// The tries as one lookup sees them: each is walked at most once, when first asked.
#[derive(Debug)]
pub(crate) struct TrieWalk<'a> {
    tries: &'a Tries,
    found: [Option<Found>; N_TRIES],
}

impl<'a> TrieWalk<'a> {
    pub(crate) fn new(tries: &'a Tries) -> Self {
        Self { tries, found: [None; N_TRIES] }
    }

    /// Whether a trie proves that no rule with prefix lengths `lens` matches `flow`, at no more
    /// cost in wildcards than looking into the subtable would have. If so, the bits that prove it
    /// are set in `wildcards`. Only the tries of the stage are asked.
    #[inline]
    pub(crate) fn rules_out(
        &mut self,
        stage: StageTries,
        lens: FieldLens,
        flow: &Flow,
        wildcards: &mut Mask,
    ) -> bool {
        // Most stages have none.
        stage.0 != 0 && self.any_rules_out(stage, lens, flow, wildcards)
    }

    fn any_rules_out(
        &mut self,
        stage: StageTries,
        lens: FieldLens,
        flow: &Flow,
        wildcards: &mut Mask,
    ) -> bool {
        let mut left = stage.0;
        while left != 0 {
            let n = left.trailing_zeros() as usize % N_TRIES;
            left &= left - 1;
            let len = lens.0[n];
            let tries = self.tries;
            let found = self.found[n].get_or_insert_with(|| tries.lookup(n, flow));
            if found.lens.contains(len) {
                continue;
            }
            // The trie is shared by all subtables: it may have looked at bits for the sake of
            // rules with longer prefixes. Those bits must not be charged to this subtable, unless
            // they are examined anyhow.
            let proof = PLACES[n].prefix_words(found.examined);
            let examined_anyhow =
                proof.iter().all(|&(word, bits)| wildcards.word(word) & bits == bits);
            if found.examined <= len || examined_anyhow {
                for (word, bits) in proof {
                    examine(wildcards, word, bits);
                }
                return true;
            }
        }
        false
    }
}
