//! Whether the exact-match cache pays, and what follows from it.
//!
//! # What
//! Asking the cache costs the hash of the whole key for every packet, and a miss more, because it
//! may insert and displaces other data from the processor's caches; each hit spares the lookup in
//! the next tiers, whose cost its entry remembers. All is counted, not timed, in [`steps`]: a *window*
//! of lookups pays if what it spared is at least [`steps::EMC`] for each lookup and
//! [`steps::EMC_MISS`] for each miss. So it pays for busy flows under several masks, and neither for a
//! scan of short flows (no hits) nor under one mask (little spared).
//!
//! # States
//! ```text
//!        cleared             a window               pays
//! off ------------> warming ----------> judged <----------+
//!  ^                   ^                  |  |            |
//!  |                   +------------------+  +------------+
//!  |                    RELEARN windows   |
//!  +--------------------------------------+
//!               does not pay: for REST, twice as long each time in a row
//! ```
//! A cache that has rested starts empty: what it held is old, and free places fill at once. A cache
//! that pays is emptied from time to time as well, because what its entries remember to spare was
//! true when they were inserted; since then the subtables may have been put in a better order.
//!
//! # Cost
//! While it rests, one subtraction a batch. A trial is two windows; under a lasting scan there is
//! one in [`MAX_REST`], so that what trials cost is below all measuring.

use super::Pairs;
use crate::table::steps;

/// Windows that a cache rests, the first time.
const REST: u64 = 16;

/// Windows that it rests at most.
pub(super) const MAX_REST: u64 = 1024;

/// Windows after which even a cache that pays begins anew.
const RELEARN: u64 = 64;

/// Counts what lookups in the cache cost and spare.
#[derive(Debug)]
pub(super) struct Worth {
    state: State,
    /// Lookups until the state ends.
    n_left: u64,
    /// Lookups in a window.
    window: u64,
    /// Windows of the next rest.
    rest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is asked, but what it spares proves nothing: it was empty.
    Warming,
    /// It is asked, and the window decides.
    Judged {
        /// What was counted in this window.
        tally: Tally,
        /// Windows that have paid.
        n_paid: u64,
    },
    /// It is not asked.
    Off,
}

/// What lookups cost and spared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) n_lookups: u64,
    pub(super) n_misses: u64,
    /// Steps in the next tiers that hits did without.
    pub(super) spared: u64,
}

impl Tally {
    fn pays(self) -> bool {
        let (lookup, miss) = (u64::from(steps::EMC), u64::from(steps::EMC_MISS));
        self.spared >= self.n_lookups * lookup + self.n_misses * miss
    }
}

impl Worth {
    /// For a cache of so many entries.
    pub(super) fn new(n_entries: u64) -> Self {
        let window = 2 * n_entries;
        Self { state: State::Warming, n_left: window, window, rest: REST }
    }

    /// Whether the cache is to be asked for the next `n` packets. May clear it.
    #[inline]
    pub(super) fn asks(&mut self, n: u64, pairs: &mut Pairs) -> bool {
        match self.n_left.checked_sub(n) {
            Some(n_left) => self.n_left = n_left,
            None => self.advance(pairs),
        }
        self.state != State::Off
    }

    /// Adds what a batch has cost and spared.
    #[inline]
    pub(super) fn count(&mut self, batch: Tally) {
        if let State::Judged { tally, .. } = &mut self.state {
            tally.n_lookups += batch.n_lookups;
            tally.n_misses += batch.n_misses;
            tally.spared += batch.spared;
        }
    }

    /// The end of a state; see the picture above.
    #[cold]
    fn advance(&mut self, pairs: &mut Pairs) {
        self.n_left = self.window;
        self.state = match self.state {
            State::Off => {
                pairs.clear();
                State::Warming
            }
            State::Warming => State::Judged { tally: Tally::default(), n_paid: 0 },
            State::Judged { tally, .. } if !tally.pays() => {
                self.n_left = self.window * self.rest;
                self.rest = (self.rest * 2).min(MAX_REST);
                State::Off
            }
            State::Judged { n_paid: RELEARN.., .. } => {
                self.rest = REST;
                pairs.clear();
                State::Warming
            }
            State::Judged { n_paid, .. } => {
                self.rest = REST;
                State::Judged { tally: Tally::default(), n_paid: n_paid + 1 }
            }
        };
    }
}
