//! The last commits, so that a client that comes back is told only what it missed
//! (`monitor_cond_since`, ovsdb-server.7 §4.1.15).

use crate::row::RowChange;
use crate::uuid::Uuid;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

/// Commits kept at most, as in Open vSwitch.
const MAX_COMMITS: usize = 100;
/// Row changes that are kept even when the database has fewer rows.
const MIN_CHANGES: usize = 64;

/// The commits that can still be told, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    /// The state before the oldest commit kept.
    base: Uuid,
    commits: VecDeque<(Uuid, Arc<[RowChange]>)>,
    n_changes: usize,
}

/// Changes of rows over several commits, each row once: from its oldest to its newest version.
pub(crate) type Merged = BTreeMap<(usize, Uuid), RowChange>;

impl History {
    pub(crate) fn new(base: Uuid) -> Self {
        Self { base, commits: VecDeque::new(), n_changes: 0 }
    }

    /// The newest state.
    pub(crate) fn last(&self) -> Uuid {
        self.commits.back().map_or(self.base, |(id, _)| *id)
    }

    /// Remembers a commit of a database that has so many rows. More changes than the database has rows
    /// are not worth keeping: sending it all is cheaper.
    pub(crate) fn add(&mut self, id: Uuid, changes: Arc<[RowChange]>, n_rows: usize) {
        self.n_changes += changes.len();
        self.commits.push_back((id, changes));
        while self.commits.len() > MAX_COMMITS || self.n_changes > n_rows.max(MIN_CHANGES) {
            let Some((id, changes)) = self.commits.pop_front() else { break };
            self.base = id;
            self.n_changes -= changes.len();
        }
    }

    /// All changes after a state; `None` when it is not known, or no longer.
    pub(crate) fn since(&self, id: Uuid) -> Option<Merged> {
        let skip = match self.commits.iter().position(|(commit, _)| *commit == id) {
            Some(at) => at + 1,
            None if id == self.base => 0,
            None => return None,
        };
        let mut merged = Merged::new();
        for (_, changes) in self.commits.iter().skip(skip) {
            merge(&mut merged, changes);
        }
        Some(merged)
    }
}

/// Adds the changes of a later commit. A row that came and went is forgotten.
pub(crate) fn merge(merged: &mut Merged, changes: &[RowChange]) {
    for change in changes {
        let key = (change.table, change.uuid);
        match merged.get_mut(&key) {
            None => {
                merged.insert(key, change.clone());
            }
            Some(earlier) => {
                earlier.new.clone_from(&change.new);
                if earlier.old.is_none() && earlier.new.is_none() {
                    merged.remove(&key);
                }
            }
        }
    }
}
