//! A transaction under way: the database as it is, and over it what the operations changed.
//!
//! # What
//! Operations (`execute.rs`) read and write through [`Transaction`], which keeps changed rows beside
//! the database and never touches it. [`settle::Settling`] then works out what follows from the changes:
//! references, garbage, limits, indexes. What comes out is a [`crate::Commit`], which cannot fail any
//! more, so it can be written to a log first and be applied after. [`run::Running`] does all of it in
//! steps of bounded work.
//!
//! # Cost
//! By the rows that it touches, but for conditions, which look at every row of their table unless they
//! name a `_uuid`.

mod condition;
mod execute;
mod integrity;
mod mutation;
mod run;
mod settle;

pub(crate) use condition::Condition;
pub(crate) use run::Running;
pub use run::{Bounds, Client, Executed, Results, execute};

use crate::atom::Names;
use crate::database::Database;
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::row::Row;
use crate::schema::{FIRST_COLUMN, TableSchema, UUID_COLUMN, VERSION_COLUMN};
use crate::trash::Trash;
use crate::uuid::Uuid;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde_json::Value;

/// A row that the transaction has looked after.
#[derive(Debug)]
struct Change {
    /// In the database.
    old: Option<Arc<Row>>,
    /// After the transaction.
    new: Option<Arc<Row>>,
    /// Strong references to it; kept up by `prepare`.
    references: usize,
}

/// Changes over a database.
#[derive(Debug)]
pub struct Transaction<'a> {
    database: &'a Database,
    /// By table.
    changes: Vec<BTreeMap<Uuid, Change>>,
    comment: String,
    /// Rows that conditions may still look at.
    steps_left: usize,
}

/// What a transaction has beside the database that it runs over.
#[derive(Debug, Default)]
struct Draft {
    changes: Vec<BTreeMap<Uuid, Change>>,
    comment: String,
    steps_left: usize,
}

impl Draft {
    fn new(database: &Database, max_steps: usize) -> Self {
        Transaction::new(database, max_steps).into_draft()
    }

    /// The transaction over the database that it was begun on.
    fn over(self, database: &Database) -> Transaction<'_> {
        let Self { changes, comment, steps_left } = self;
        Transaction { database, changes, comment, steps_left }
    }

    /// Has the rows dropped that are nowhere else.
    fn discard(self, trash: &mut Trash) {
        trash.add_rows(
            self.changes
                .into_iter()
                .map(BTreeMap::into_values)
                .flat_map(|changes| changes.filter_map(|change| change.new).collect::<Vec<_>>())
                .collect(),
        );
    }
}

impl<'a> Transaction<'a> {
    fn into_draft(self) -> Draft {
        let Self { changes, comment, steps_left, .. } = self;
        Draft { changes, comment, steps_left }
    }

    /// A transaction that changes nothing so far. Its conditions may look at `max_steps` rows in all.
    #[must_use]
    pub fn new(database: &'a Database, max_steps: usize) -> Self {
        let changes = database.tables.iter().map(|_| BTreeMap::new()).collect();
        Self { database, changes, comment: String::new(), steps_left: max_steps }
    }

    /// The schema of a table.
    fn table(&self, table: usize) -> Result<&'a TableSchema, Error> {
        let schema = self.database.schema().tables.get(table);
        schema.ok_or_else(|| Error::new(ErrorKind::UnknownTable, "no such table"))
    }

    /// A row as the transaction sees it.
    pub fn row(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        match self.changes.get(table)?.get(&uuid) {
            Some(change) => change.new.as_ref(),
            None => self.database.row(table, uuid),
        }
    }

    /// Adds to the comment, on a line of its own.
    pub fn comment(&mut self, comment: &str) {
        if !self.comment.is_empty() {
            self.comment.push('\n');
        }
        self.comment.push_str(comment);
    }

    /// True when a row of that name can be inserted: there is none, and none was deleted here.
    fn may_insert(&self, table: usize, uuid: Uuid) -> bool {
        let is_touched = self.changes.get(table).is_some_and(|changes| changes.contains_key(&uuid));
        !is_touched && self.database.row(table, uuid).is_none()
    }

    /// Inserts a row, or puts it in the place of what the transaction has there.
    pub fn put(&mut self, table: usize, uuid: Uuid, mut row: Row) {
        for (column, name) in [(UUID_COLUMN, uuid), (VERSION_COLUMN, Uuid::ZERO)] {
            if let Some(cell) = row.cells.get_mut(column) {
                *cell = Datum::of(name);
            }
        }
        if let Some(change) = self.touch(table, uuid) {
            change.new = Some(Arc::new(row));
        }
    }

    /// A row to change; `None` when there is none.
    pub fn modify(&mut self, table: usize, uuid: Uuid) -> Option<&mut Row> {
        self.row(table, uuid)?;
        self.touch(table, uuid)?.new.as_mut().map(Arc::make_mut)
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: usize, uuid: Uuid) {
        let Some(change) = self.touch(table, uuid) else { return };
        change.new = None;
        if change.old.is_none()
            && let Some(changes) = self.changes.get_mut(table)
        {
            changes.remove(&uuid);
        }
    }

    /// The change of a row, at first without any.
    fn touch(&mut self, table: usize, uuid: Uuid) -> Option<&mut Change> {
        let database = self.database;
        let change = self.changes.get_mut(table)?.entry(uuid);
        Some(change.or_insert_with(|| match database.stored(table, uuid) {
            None => Change { old: None, new: None, references: 0 },
            Some(stored) => Change {
                old: Some(stored.row.clone()),
                new: Some(stored.row.clone()),
                references: stored.references,
            },
        }))
    }

    /// The rows of a table that a condition holds for.
    fn matching(
        &mut self,
        table: usize,
        condition: &Condition,
        breathe: impl Fn(),
    ) -> Result<Vec<Uuid>, Error> {
        if let Some(uuid) = condition.names_row() {
            let row = self.row(table, uuid).filter(|row| condition.matches_all(row));
            return Ok(row.map(|_| uuid).into_iter().collect());
        }
        let n_changes = self.changes.get(table).map_or(0, BTreeMap::len);
        let n_rows = self.database.n_rows(table) + n_changes;
        self.charge(n_rows.saturating_mul(condition.n_clauses().max(1)))?;
        let changes = self.changes.get(table);
        let is_changed = |uuid: &Uuid| changes.is_some_and(|changes| changes.contains_key(uuid));
        let untouched = self.database.rows(table).filter(|row| !is_changed(&row.uuid()));
        let touched = changes.into_iter().flat_map(|c| c.values().filter_map(|c| c.new.as_ref()));
        let interval = (run::ROWS_A_BREATH / condition.n_clauses().max(1)).max(1);
        let rows = untouched.chain(touched).enumerate().filter(|(k, row)| {
            if k % interval == interval - 1 {
                breathe();
            }
            condition.matches_all(row)
        });
        Ok(rows.map(|(_, row)| row.uuid()).collect())
    }

    /// Takes so many steps of those that the transaction has.
    fn charge(&mut self, steps: usize) -> Result<(), Error> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or_else(|| {
            Error::new(ErrorKind::ResourcesExhausted, "the transaction looks at too many rows")
        })?;
        Ok(())
    }
}

/// A row of defaults.
pub(crate) fn default_row(table: &TableSchema) -> Row {
    Row { cells: table.columns.iter().map(|column| Datum::default_of(&column.kind)).collect() }
}

/// Reads a `<row>` over `row`; the columns that it mentions.
pub(crate) fn row_from_json(
    row: &mut Row,
    table: &TableSchema,
    value: &Value,
    mut names: Option<&mut Names<'_>>,
) -> Result<Vec<usize>, Error> {
    let Some(object) = value.as_object() else {
        return Err(Error::syntax(value, "row must be JSON object"));
    };
    let mut mentioned = Vec::new();
    for (name, cell) in object {
        let (place, column) = find_column(table, name).map_err(|error| error.at(value))?;
        let datum = Datum::from_json(&column.kind, cell, names.as_deref_mut())?;
        if let Some(cell) = row.cells.get_mut(place) {
            *cell = datum;
        }
        mentioned.push(place);
    }
    Ok(mentioned)
}

/// A column by its name, with its place.
pub(crate) fn find_column<'a>(
    table: &'a TableSchema,
    name: &str,
) -> Result<(usize, &'a crate::schema::Column), Error> {
    let place = table.column(name);
    place.and_then(|place| Some((place, table.columns.get(place)?))).ok_or_else(|| {
        let details = format!("No column {name} in table {}.", table.name);
        Error::new(ErrorKind::UnknownColumn, details)
    })
}

/// Reads an array of names of columns, all different.
pub(crate) fn columns_from_json(value: &Value, table: &TableSchema) -> Result<Vec<usize>, Error> {
    let bad = || Error::syntax(value, "array of distinct column names expected");
    let mut columns = Vec::new();
    for name in value.as_array().ok_or_else(bad)? {
        let name = name.as_str().ok_or_else(bad)?;
        let column = table
            .column(name)
            .ok_or_else(|| Error::syntax(value, format!("{name} is not a valid column name")))?;
        if columns.contains(&column) {
            return Err(bad());
        }
        columns.push(column);
    }
    Ok(columns)
}

/// True when two versions of a row differ in what clients gave.
fn differ(a: &Row, b: &Row) -> bool {
    a.cells.get(FIRST_COLUMN..) != b.cells.get(FIRST_COLUMN..)
}

#[cfg(test)]
mod tests;
