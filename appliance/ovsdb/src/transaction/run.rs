//! A transaction that runs in steps.
//!
//! # What
//! [`Running`] holds everything that a transaction under way has: the next operation, results so far,
//! changed rows, and after the last operation how far the changes are settled. Between two steps it
//! borrows nothing, so the control core can do whatever else is due. The caller keeps the database as it
//! is meanwhile: one transaction at a time, the others wait their turn.
//!
//! # Cost
//! A step ends with the first piece of work after which its budget is spent. Pieces are an operation, or
//! one row in one phase of settling. An operation that looks at many rows is one piece; within it
//! [`Client::breathe`] is called every [`ROWS_A_BREATH`] rows, and [`Bounds::max_steps`] bounds it. Results
//! are kept as text: a tree of them would take ten times the memory.

use super::execute::{Run, Stop};
use super::settle::{Settled, Settling};
use super::{Draft, Transaction};
use crate::atom::{KnownNames, Names};
use crate::budget::Budget;
use crate::database::{Commit, Database};
use crate::error::{Error, ErrorKind};
use crate::trash::Trash;
use crate::uuid::Uuids;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use serde_json::Value;

/// What a transaction may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Operations of one transaction.
    pub max_operations: usize,
    /// Rows that the conditions of one transaction look at, together, each as often as it has clauses.
    pub max_steps: usize,
    /// Memory of the rows that its `select`s answer, in bytes.
    pub max_selected: usize,
    /// Memory of all rows of the database, in bytes.
    pub max_weight: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_operations: 20_000,
            max_steps: 2_000_000,
            max_selected: 8 * 1024 * 1024,
            max_weight: 16 * 1024 * 1024,
        }
    }
}

/// Rows that an operation looks at between two calls of [`Client::breathe`].
pub(super) const ROWS_A_BREATH: usize = 256;
/// What an operation costs beside the rows that it looks at, in units of a [`Budget`].
const OPERATION: usize = 64;

/// Who asks, as far as operations want to know.
pub trait Client {
    /// It owns this lock.
    fn owns(&self, lock: &str) -> bool;
    /// It may change this database.
    fn may_write(&self) -> bool;
    /// Milliseconds since it asked.
    fn waited_ms(&self) -> u64;
    /// Called now and then in a long operation, for whatever else has to go on.
    fn breathe(&self) {}
}

/// What came of the operations.
#[derive(Debug)]
pub enum Executed {
    /// They ran to an end: the results for the client, and the changes if there are any.
    Finished(Results, Option<Commit>),
    /// A `wait` is not true yet. To be tried again when the database has changed, and at the latest
    /// after so many milliseconds from the request.
    Waiting(Option<u64>),
}

/// The results of operations, as the text of a JSON array.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Results {
    elements: String,
    n: usize,
}

impl Results {
    pub(crate) fn push(&mut self, result: &Value) {
        let comma = if self.n > 0 { "," } else { "" };
        // Writing into memory does not fail.
        let _ = write!(self.elements, "{comma}{result}");
        self.n += 1;
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("[{}]", self.elements)
    }

    /// The results as values.
    #[must_use]
    pub fn to_vec(&self) -> Vec<Value> {
        serde_json::from_str(&self.text()).unwrap_or_default()
    }
}

/// A transaction under way.
#[derive(Debug, Default)]
pub(crate) struct Running {
    draft: Draft,
    names: KnownNames,
    /// Memory that `select`s may still answer, in bytes.
    selected_left: usize,
    next: usize,
    results: Results,
    settling: Option<Settling>,
}

impl Running {
    /// A transaction before its first operation.
    pub(crate) fn new(database: &Database, bounds: &Bounds) -> Self {
        Self {
            draft: Draft::new(database, bounds.max_steps),
            selected_left: bounds.max_selected,
            ..Self::default()
        }
    }

    /// Goes on; `None` when the budget is spent before the end. Database, operations, client and bounds are
    /// the same each time.
    pub(crate) fn step(
        &mut self,
        database: &Database,
        operations: &[Value],
        (client, bounds): (&dyn Client, &Bounds),
        uuids: &mut Uuids,
        budget: &mut Budget,
    ) -> Option<Executed> {
        if operations.len() > bounds.max_operations {
            let details = format!("more than {} operations", bounds.max_operations);
            return Some(self.failed(&Error::new(ErrorKind::ResourcesExhausted, details), 0));
        }
        while self.settling.is_none() {
            let Some(operation) = operations.get(self.next) else {
                self.settling = Some(Settling::new());
                break;
            };
            if budget.is_spent() {
                return None;
            }
            let draft = core::mem::take(&mut self.draft);
            let mut run = Run {
                transaction: draft.over(database),
                names: Names::with(uuids, core::mem::take(&mut self.names)),
                client,
                selected_left: self.selected_left,
            };
            let before = run.transaction.steps_left;
            let outcome = run.operation(operation);
            budget.spend(OPERATION + (before - run.transaction.steps_left));
            self.selected_left = run.selected_left;
            self.names = run.names.into_known();
            self.draft = run.transaction.into_draft();
            self.next += 1;
            match outcome {
                Ok(result) => self.results.push(&result),
                Err(Stop::Wait(timeout_ms)) => return Some(Executed::Waiting(timeout_ms)),
                Err(Stop::Error(error)) => {
                    return Some(self.failed(&error, operations.len() - self.next));
                }
            }
        }
        let settling = self.settling.as_mut()?;
        let mut transaction = core::mem::take(&mut self.draft).over(database);
        let settled = settling.step(&mut transaction, uuids, bounds.max_weight, budget);
        self.draft = transaction.into_draft();
        match settled? {
            Settled::Commit(commit) => {
                Some(Executed::Finished(core::mem::take(&mut self.results), commit))
            }
            Settled::Refused(error) => Some(self.failed(&error, 0)),
        }
    }

    /// RFC 7047 §4.1.3: the error, and null for what was not tried.
    fn failed(&mut self, error: &Error, n_untried: usize) -> Executed {
        let mut results = core::mem::take(&mut self.results);
        results.push(&error.to_json());
        results.elements.push_str(&",null".repeat(n_untried));
        results.n += n_untried;
        Executed::Finished(results, None)
    }

    /// What is left when it is over, or given up.
    pub(crate) fn discard(self, trash: &mut Trash) {
        self.draft.discard(trash);
        self.settling.into_iter().for_each(|settling| settling.discard(trash));
    }
}

/// Runs the operations of a `transact` request over a database, without a pause.
pub fn execute(
    database: &Database,
    operations: &[Value],
    client: &dyn Client,
    bounds: &Bounds,
    uuids: &mut Uuids,
) -> Executed {
    let mut running = Running::new(database, bounds);
    let mut budget = Budget::endless();
    loop {
        let step = running.step(database, operations, (client, bounds), uuids, &mut budget);
        if let Some(executed) = step {
            return executed;
        }
    }
}

impl Transaction<'_> {
    /// Settles the transaction without a pause; `None` when it changes nothing.
    pub fn prepare(
        mut self,
        uuids: &mut Uuids,
        max_weight: usize,
    ) -> Result<Option<Commit>, Error> {
        let mut settling = Settling::new();
        loop {
            match settling.step(&mut self, uuids, max_weight, &mut Budget::endless()) {
                Some(Settled::Commit(commit)) => return Ok(commit),
                Some(Settled::Refused(error)) => return Err(error),
                None => {}
            }
        }
    }
}
