//! Purging: rules that are gone leave the structures of their tables, in slices.
//!
//! # Why later
//! A removed rule is invisible from the flip of its change on; to take it out of hash tables and tries
//! costs several times what the removal did. So what removes many rules leaves this to later calls of
//! [`Bridge::run`], [`BATCH`] rules each. A change of a few rules does its share at once: whoever adds and
//! removes in turn cannot outrun it.
//!
//! While a change is on its way into the tables somebody waits for it, and nobody for this: purging waits
//! too, until [`MAX_LEFT`] rules are left.
//!
//! # Walks
//! A walk over the rules as they were at some instant ([`crate::walk`]) pins that version: what went
//! later stays until the walk is over. A peer that asks for a dump and does not read it could keep any
//! number of them so; beyond [`MAX_HELD`] of a table the pin does not count, and the walk passes over
//! what is gone.

use crate::bridge::Bridge;
use crate::change::TableSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use classifier::Version;

/// Rules purged in one call of [`Bridge::run`].
const BATCH: usize = 256;
/// Removed rules that are left while changes are under way.
const MAX_LEFT: usize = 65_536;
/// Removed rules of a table that are kept for walks.
const MAX_HELD: usize = 65_536;

/// What is to be purged, and who is in the way.
#[derive(Debug, Default)]
pub(crate) struct Purging {
    /// Tables that may have removed rules.
    tables: TableSet,
    /// Whether a change is settling that needs the rules which it removed.
    is_held: bool,
    /// Whether the last call did something and left something.
    is_busy: bool,
    /// The versions that walks look at. A walk holds a reference to its own.
    pins: Vec<Arc<Version>>,
}

impl Purging {
    /// Rules of these tables were removed.
    pub(crate) fn add(&mut self, tables: TableSet) {
        self.is_busy |= !tables.is_empty();
        self.tables = self.tables.or(tables);
    }

    /// Keeps what is removed until it is let go.
    pub(crate) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Keeps what is visible in `version` until the result is dropped.
    pub(crate) fn pin(&mut self, version: Version) -> Arc<Version> {
        if let Some(pin) = self.pins.iter().find(|pin| ***pin == version) {
            return Arc::clone(pin);
        }
        let pin = Arc::new(version);
        self.pins.push(Arc::clone(&pin));
        pin
    }

    /// Whether there is something to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// The oldest version that a walk looks at.
    fn oldest_pin(&mut self) -> Option<Version> {
        let n_before = self.pins.len();
        self.pins.retain(|pin| Arc::strong_count(pin) > 1);
        self.is_busy |= self.pins.len() < n_before && !self.tables.is_empty();
        self.pins.iter().map(|pin| **pin).min()
    }
}

impl Bridge {
    /// Does the part of a call of [`Bridge::run`].
    pub(crate) fn go_on_purging(&mut self) {
        if self.bundles.holds_tables() {
            let tables = self.purging.tables.iter().filter_map(|id| self.state.tables.get(id));
            if tables.map(|table| table.rules.n_removed()).sum::<usize>() <= MAX_LEFT {
                return;
            }
        }
        self.purge(BATCH);
    }

    /// Purges up to `max` rules.
    pub(crate) fn purge(&mut self, max: usize) {
        let pinned = self.purging.oldest_pin();
        if !self.purging.is_busy || self.purging.is_held {
            return;
        }
        let mut left = max;
        let mut remaining = TableSet::default();
        for id in self.purging.tables.iter() {
            let version = self.state.tables.version;
            let n_removed = |bridge: &Self| {
                bridge.state.tables.get(id).map_or(0, |table| table.rules.n_removed())
            };
            let n_before = n_removed(self);
            let (oldest, n_most) = match pinned {
                Some(pinned) if n_before <= MAX_HELD => (pinned.min(version), left),
                Some(_) => (version, left.min(n_before - MAX_HELD)),
                None => (version, left),
            };
            if n_before > 0
                && n_most > 0
                && let Some(table) = self.state.write().tables.get_mut(id)
            {
                left = left.saturating_sub(table.rules.purge(oldest, n_most));
            }
            if n_removed(self) > 0 {
                remaining.insert(id);
            }
        }
        self.purging.tables = remaining;
        self.purging.is_busy = left < max && !remaining.is_empty();
    }
}
