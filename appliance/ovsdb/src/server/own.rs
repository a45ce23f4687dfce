//! Cells that the switch itself writes: its status.
//!
//! Typed, without JSON, and only where something differs, so that a status that is written again and
//! again costs a comparison and nobody is told twice.

use super::Server;
use crate::datum::Datum;
use crate::error::Error;
use crate::transaction::Transaction;
use crate::uuid::Uuid;
use alloc::vec::Vec;

/// A new value for a cell.
#[derive(Clone, Debug)]
pub struct CellChange {
    /// The table, by its place in the schema.
    pub table: usize,
    /// The row.
    pub row: Uuid,
    /// The column, by its place in the table.
    pub column: usize,
    /// What it is to hold.
    pub value: Datum,
}

impl Server {
    /// Writes cells of a database in one commit; not while [`Server::is_transacting`], when nothing is
    /// written. Cells that hold the value already, and those of rows that
    /// are gone, do not count; true when anything changed.
    ///
    /// # Errors
    /// What is wrong with the values, or with the log; then nothing has changed.
    pub fn write_cells(
        &mut self,
        database: &str,
        cells: Vec<CellChange>,
        wall_ms: u64,
    ) -> Result<bool, Error> {
        if self.is_transacting() {
            return Ok(false);
        }
        let Self { databases, uuids, limits, .. } = self;
        let at = databases.iter().position(|served| served.database.schema().name == database);
        let Some((at, served)) = at.and_then(|at| Some((at, databases.get(at)?))) else {
            return Ok(false);
        };
        let mut transaction = Transaction::new(&served.database, 0);
        for cell in cells {
            let old = transaction.row(cell.table, cell.row);
            if old.is_none_or(|row| *row.cell(cell.column) == cell.value) {
                continue;
            }
            let row = transaction.modify(cell.table, cell.row);
            if let Some(place) = row.and_then(|row| row.cells.get_mut(cell.column)) {
                *place = cell.value;
            }
        }
        match transaction.prepare(uuids, limits.bounds.max_weight)? {
            Some(commit) => self.commit(at, &commit, wall_ms).map(|()| true),
            None => Ok(false),
        }
    }
}
