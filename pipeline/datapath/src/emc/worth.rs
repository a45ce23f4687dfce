//! Whether the exact-match cache pays, and what follows from it.
//!
//! # What
//! Asking the cache costs the hash of the whole key for every packet; each hit spares the probes of
//! the megaflow table that its entry remembers. Both are counted, not timed: a *window* of lookups
//! pays if the probes spared are more than [`COST`] for each lookup. So it pays for busy flows under
//! many masks, and neither for a scan of short flows (no hits) nor under one mask (little spared).
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

/// What a lookup in the cache costs, in quarters of a probe of the megaflow table.
const COST: u64 = 6;

/// Windows that a cache rests, the first time.
const REST: u64 = 16;

/// Windows that it rests at most.
const MAX_REST: u64 = 1024;

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
        /// Probes spared in this window.
        n_spared: u64,
        /// Windows that have paid.
        n_paid: u64,
    },
    /// It is not asked.
    Off,
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

    /// Adds what hits have spared.
    #[inline]
    pub(super) fn spared(&mut self, n_probes: u64) {
        if let State::Judged { n_spared, .. } = &mut self.state {
            *n_spared += n_probes;
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
            State::Warming => State::Judged { n_spared: 0, n_paid: 0 },
            State::Judged { n_spared, .. } if n_spared * 4 < self.window * COST => {
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
                State::Judged { n_spared: 0, n_paid: n_paid + 1 }
            }
        };
    }
}
