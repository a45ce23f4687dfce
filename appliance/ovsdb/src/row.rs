//! Versions of rows. They are immutable and shared (`Arc`), so that old ones stay for those who lag behind.

use crate::atom::Atom;
use crate::datum::Datum;
use crate::schema::UUID_COLUMN;
use crate::uuid::Uuid;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A version of a row: one cell a column, by the column's place in the schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The cells; `_uuid` and `_version` are the first two.
    pub cells: Vec<Datum>,
}

impl Row {
    /// The cell of a column; of a column that there is not, an empty one.
    #[must_use]
    pub fn cell(&self, column: usize) -> &Datum {
        const EMPTY: &Datum = &Datum::empty();
        self.cells.get(column).unwrap_or(EMPTY)
    }

    /// The row's name.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        match self.cell(UUID_COLUMN).single() {
            Some(&Atom::Uuid(uuid)) => uuid,
            _ => Uuid::ZERO,
        }
    }

    /// Memory that it takes, in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        self.cells.iter().map(|cell| size_of::<Datum>() + cell.weight()).sum()
    }
}

/// What a commit does to one row. Both `None` never occurs.
#[derive(Clone, Debug)]
pub struct RowChange {
    /// The table, by its place in the schema.
    pub table: usize,
    /// The row.
    pub uuid: Uuid,
    /// As it was; `None` when the commit inserts it.
    pub old: Option<Arc<Row>>,
    /// As it is; `None` when the commit deletes it.
    pub new: Option<Arc<Row>>,
}
