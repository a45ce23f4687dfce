//! Whether the signature cache pays, where it may decide for itself.
//!
//! # What
//! While it is not asked, what packets take in the megaflow table is added up, which costs nothing,
//! in [`steps`]. If packets took [`PAYS`] each over a *window*, the cache is asked for a *term*; then
//! there is another window without it, in which it may turn out that it is not needed any more. What it
//! holds stays good meanwhile.
//!
//! ```text
//!           a window that took much
//! watching -------------------------> asked
//!     ^                                 |
//!     +---------------------------------+
//!                 end of a term
//! ```

use crate::table::steps;

/// Packets of a window.
pub(super) const WINDOW: u64 = 16_384;
/// Packets for which it is asked before there is another window.
pub(super) const TERM: u64 = 64 * WINDOW;
/// Steps a packet in the megaflow table from which on the cache pays: what it costs, and somewhat more.
const PAYS: u64 = steps::SMC as u64 * 6 / 5;

/// Counts what packets take without the cache.
#[derive(Debug, Default)]
pub(super) struct Worth {
    /// Packets for which it is still asked; 0 while watching.
    n_left: u64,
    n_lookups: u64,
    cost: u64,
}

impl Worth {
    /// Whether the cache is to be asked for the next `n` packets.
    #[inline]
    pub(super) fn asks(&mut self, n: u64) -> bool {
        self.n_left = self.n_left.saturating_sub(n);
        self.is_asked()
    }

    /// Whether it is asked.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        self.n_left > 0
    }

    /// Adds what packets have taken without it.
    #[inline]
    pub(super) fn count(&mut self, n_lookups: u64, cost: u64) {
        self.n_lookups += n_lookups;
        self.cost += cost;
        if self.n_lookups >= WINDOW {
            if self.cost >= self.n_lookups * PAYS {
                self.n_left = TERM;
            }
            (self.n_lookups, self.cost) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_asked_for_a_term_where_a_window_took_much() {
        let mut worth = Worth::default();
        let watch = |worth: &mut Worth, cost: u64| {
            for _ in 0..WINDOW / 32 {
                assert!(!worth.asks(32));
                worth.count(32, 32 * cost);
            }
        };
        watch(&mut worth, PAYS - 1);
        assert!(!worth.is_asked());
        watch(&mut worth, PAYS);
        let n_asked = (0..2 * TERM / 32).take_while(|_| worth.asks(32)).count() as u64;
        assert!((TERM / 32 - 1..=TERM / 32).contains(&n_asked), "{n_asked}");
        watch(&mut worth, 1);
        assert!(!worth.asks(1));
    }
}
