//! Changes that translations could notice, and moments that barriers wait for.

use crate::bridge::Bridge;
use crate::ukey::Ukey;
use alloc::sync::Arc;
use sync::counter::Milestone;

/// Counts the changes that translations could notice, by what they concern. To be told of a change
/// *after* it was made.
///
/// # Concurrency
/// Owned by the control core; the number is published for the cores that translate. One that reads
/// the state and then the number may find the number of an earlier change than the last that it
/// saw, never of a later one: its conclusion passes for older than it is, and is judged again.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    seq: u64,
    tables: u64,
    macs: u64,
    published: Arc<Milestone>,
}

impl Changes {
    /// Tables, ports or options changed: every conclusion may be wrong.
    pub(crate) fn tables_changed(&mut self) {
        self.next();
        self.tables = self.seq;
    }

    /// The MAC table changed: conclusions that looked at it may be wrong.
    pub(crate) fn macs_changed(&mut self) {
        self.next();
        self.macs = self.seq;
    }

    fn next(&mut self) {
        self.seq += 1;
        self.published.reach(self.seq);
    }

    /// The number of the last change.
    #[must_use]
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn concern(&self, ukey: &Ukey) -> bool {
        ukey.seq < self.tables || (ukey.uses_macs && ukey.seq < self.macs)
    }
}

/// A moment that a barrier waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SyncTicket(u64);

impl Bridge {
    /// Names this moment: see [`Self::reached`].
    #[must_use]
    pub fn sync_point(&self) -> SyncTicket {
        SyncTicket(self.changes.seq)
    }

    /// Whether every change made before the ticket was drawn is in force in all caches: no packet
    /// received from now on is handled by an older conclusion.
    #[must_use]
    pub fn reached(&self, ticket: SyncTicket) -> bool {
        ticket.0 <= self.reval.in_force
    }
}
