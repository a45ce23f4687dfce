//! From the changes of a transaction to a commit, or to the reason why there is none.
//!
//! In the order of Open vSwitch (whose results, and error when several rules are broken, are thereby
//! ours): rows that did not change are left out; strong references are counted and must point at rows;
//! rows outside the root set that nobody refers to are deleted, and what only they referred to; tables
//! keep to their sizes; weak references to rows that are gone go too; indexes stay unique. Each of these
//! is a phase that goes over the changed rows; between any two rows it can stop and go on later.

use super::Transaction;
use crate::budget::Budget;
use crate::database::Commit;
use crate::datum::Datum;
use crate::error::Error;
use crate::row::RowChange;
use crate::schema::VERSION_COLUMN;
use crate::trash::Trash;
use crate::uuid::{Uuid, Uuids};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What a row costs in one phase, in units of a [`Budget`].
const ROW: usize = 8;

/// What is done with each changed row.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Phase {
    /// Before the first.
    #[default]
    Start,
    LeaveOutUnchanged,
    CountNew,
    CountOld,
    CheckGone,
    CollectGarbage,
    TouchSources,
    DropWeak,
    CheckIndexes,
    Weigh,
    Collect,
}

/// How far a transaction is settled.
#[derive(Debug, Default)]
pub(super) struct Settling {
    phase: Phase,
    /// The rows that the phase goes over: all that were changed when it began.
    rows: Vec<(usize, Uuid)>,
    at: usize,
    /// Rows that may have lost their last reference.
    suspects: Vec<(usize, Uuid)>,
    /// Values of changed rows, by table and index.
    keys: BTreeMap<(usize, usize, Vec<Datum>), Uuid>,
    /// Memory of the changed rows now, and before.
    weights: [usize; 2],
    changes: Vec<RowChange>,
    references: Vec<(usize, Uuid, usize)>,
}

/// The end of it.
#[derive(Debug)]
pub(super) enum Settled {
    /// `None` when nothing changed.
    Commit(Option<Commit>),
    Refused(Error),
}

impl Settling {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Goes on; `None` when the budget is spent before the end.
    pub(super) fn step(
        &mut self,
        transaction: &mut Transaction<'_>,
        uuids: &mut Uuids,
        max_weight: usize,
        budget: &mut Budget,
    ) -> Option<Settled> {
        loop {
            let outcome = self.pass(transaction, uuids, budget);
            if let Err(error) = outcome {
                return Some(Settled::Refused(error));
            }
            if budget.is_spent() {
                return None;
            }
            budget.spend(1);
            match self.next_phase(transaction, max_weight) {
                Ok(true) => {}
                Ok(false) => return Some(Settled::Commit(self.commit(transaction, uuids))),
                Err(error) => return Some(Settled::Refused(error)),
            }
        }
    }

    /// Goes over the rows of the phase, as far as the budget goes.
    fn pass(
        &mut self,
        transaction: &mut Transaction<'_>,
        uuids: &mut Uuids,
        budget: &mut Budget,
    ) -> Result<(), Error> {
        while !budget.is_spent() {
            let row = match self.suspects.pop() {
                Some(suspect) => suspect,
                None => {
                    let Some(&row) = self.rows.get(self.at) else { break };
                    self.at += 1;
                    row
                }
            };
            budget.spend(ROW);
            match self.phase {
                Phase::Start => {}
                Phase::LeaveOutUnchanged => transaction.leave_out_unchanged(row),
                Phase::CountNew => transaction.count_new(row)?,
                Phase::CountOld => transaction.count_old(row),
                Phase::CheckGone => transaction.check_gone(row)?,
                Phase::CollectGarbage => transaction.collect(row, &mut self.suspects),
                Phase::TouchSources => transaction.touch_sources(row),
                Phase::DropWeak => transaction.drop_weak(row)?,
                Phase::CheckIndexes => transaction.check_indexes(row, &mut self.keys)?,
                Phase::Weigh => {
                    let [more, less] = transaction.weigh(row);
                    self.weights[0] = self.weights[0].saturating_add(more);
                    self.weights[1] = self.weights[1].saturating_add(less);
                }
                Phase::Collect => self.take(transaction, row, uuids),
            }
        }
        Ok(())
    }

    /// The phase is over; false when it was the last, or nothing changed.
    fn next_phase(
        &mut self,
        transaction: &Transaction<'_>,
        max_weight: usize,
    ) -> Result<bool, Error> {
        self.at = 0;
        self.phase = match self.phase {
            Phase::Start => Phase::LeaveOutUnchanged,
            Phase::LeaveOutUnchanged => {
                if transaction.changes.iter().all(BTreeMap::is_empty) {
                    return Ok(false);
                }
                Phase::CountNew
            }
            // Over the same rows: those that were touched meanwhile have no references of their own
            // to be counted.
            Phase::CountNew => {
                self.phase = Phase::CountOld;
                return Ok(true);
            }
            Phase::CountOld => Phase::CheckGone,
            Phase::CheckGone => Phase::CollectGarbage,
            Phase::CollectGarbage => {
                transaction.check_sizes()?;
                Phase::TouchSources
            }
            Phase::TouchSources => Phase::DropWeak,
            Phase::DropWeak => Phase::CheckIndexes,
            Phase::CheckIndexes => Phase::Weigh,
            Phase::Weigh => {
                transaction.check_weight(self.weights, max_weight)?;
                Phase::Collect
            }
            Phase::Collect => return Ok(false),
        };
        self.rows = transaction.touched();
        Ok(true)
    }

    /// Takes what a row became into the commit.
    fn take(
        &mut self,
        transaction: &mut Transaction<'_>,
        (table, uuid): (usize, Uuid),
        uuids: &mut Uuids,
    ) {
        let changes = transaction.changes.get_mut(table);
        let Some(mut change) = changes.and_then(|changes| changes.remove(&uuid)) else { return };
        if change.new.is_some() {
            self.references.push((table, uuid, change.references));
        }
        if !change.is_real() {
            return;
        }
        if let Some(row) = change.new.as_mut().map(Arc::make_mut)
            && let Some(version) = row.cells.get_mut(VERSION_COLUMN)
        {
            *version = Datum::of(uuids.fresh());
        }
        self.changes.push(RowChange { table, uuid, old: change.old, new: change.new });
    }

    fn commit(&mut self, transaction: &mut Transaction<'_>, uuids: &mut Uuids) -> Option<Commit> {
        let changes = core::mem::take(&mut self.changes);
        if changes.is_empty() {
            return None;
        }
        let references = core::mem::take(&mut self.references);
        let comment = core::mem::take(&mut transaction.comment);
        Some(Commit { id: uuids.fresh(), changes: changes.into(), comment, references })
    }

    /// What is left when it is given up.
    pub(super) fn discard(self, trash: &mut Trash) {
        trash.add_rows(self.changes.into_iter().filter_map(|change| change.new).collect());
    }
}
