//! A flow without its zeros.
//!
//! A packet of a usual protocol fills 7 to 12 of a flow's 32 words. A miniflow keeps a bit map of
//! those and their values side by side, so that a cache can hold more of them to the line and
//! compare them faster. `N` is the room for values: an exact-match cache picks one that fits
//! usual packets and leaves the others to the next tier.
//!
//! The form is canonical (exactly the words that are not zero), so equal flows have equal
//! miniflows.

use crate::flow::Flow;
use crate::hash::{finish, mix, start};
use crate::layout::{FLOW_WORDS, WordMap};

/// The words of a flow that are not zero.
#[derive(Clone, Copy, Debug)]
pub struct Miniflow<const N: usize = FLOW_WORDS> {
    map: WordMap,
    /// Values of the words in `map`, lowest first; zero behind them.
    values: [u64; N],
}

impl<const N: usize> Miniflow<N> {
    /// The miniflow of a flow, unless it has more than `N` words.
    #[must_use]
    pub fn new(flow: &Flow) -> Option<Self> {
        Self::of_words(flow.map(), |word| flow.word(word))
    }

    /// A flow's words in `map`, zeros among them included, unless they are more than `N`. That is not
    /// the canonical form, but where equal flows come with equal maps it compares as well.
    #[must_use]
    #[inline]
    pub fn of_words(map: WordMap, value_of: impl Fn(usize) -> u64) -> Option<Self> {
        if map.count() > N {
            return None;
        }
        let mut values = [0; N];
        for (slot, word) in values.iter_mut().zip(map) {
            *slot = value_of(word);
        }
        Some(Miniflow { map, values })
    }

    /// The flow.
    #[must_use]
    pub fn expand(&self) -> Flow {
        let mut flow = Flow::ZERO;
        for (value, word) in self.values.iter().zip(self.map) {
            flow.set_word(word, *value);
        }
        flow
    }

    /// Which words it has.
    #[must_use]
    pub fn map(&self) -> WordMap {
        self.map
    }

    /// The values of the words it has.
    #[must_use]
    pub fn values(&self) -> &[u64] {
        self.values.get(..self.map.count()).unwrap_or(&self.values)
    }

    /// Whether this is the miniflow of `flow`.
    #[must_use]
    pub fn is_of(&self, flow: &Flow) -> bool {
        self.map == flow.map()
            && self.values.iter().zip(self.map).all(|(value, word)| flow.word(word) == *value)
    }

    /// The same number as [`Flow::hash`] of the flow.
    #[must_use]
    pub fn hash(&self, basis: u32) -> u32 {
        finish(self.values().iter().fold(start(basis), |state, value| mix(state, *value)))
    }
}

impl From<&Flow> for Miniflow<FLOW_WORDS> {
    fn from(flow: &Flow) -> Self {
        Miniflow::new(flow).unwrap_or(Miniflow { map: WordMap(0), values: [0; FLOW_WORDS] })
    }
}

impl<const N: usize> PartialEq for Miniflow<N> {
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map && self.values() == other.values()
    }
}

impl<const N: usize> Eq for Miniflow<N> {}
