//! A database in memory: tables of rows, and what is kept beside them so that a commit costs by what
//! it changes and not by what is there.
//!
//! Rows are immutable and shared (`Arc`): the history, monitors that lag behind and a transaction under
//! way hold on to old versions without copying. Beside each row stands the number of strong references
//! to it; beside each table its indexes, and for each row of it who refers to it weakly.

use crate::atom::Atom;
use crate::budget::Breath;
use crate::datum::Datum;
use crate::history::History;
use crate::row::{Row, RowChange};
use crate::schema::Schema;
use crate::types::{ColumnType, Strength};
use crate::uuid::Uuid;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A transaction that has passed all checks and can no longer fail.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its name in `monitor_cond_since`.
    pub id: Uuid,
    /// What it changes, ordered by table and row.
    pub changes: Arc<[RowChange]>,
    /// The comments of its operations, one a line.
    pub comment: String,
    /// New counts of strong references, of every row where they changed.
    pub(crate) references: Vec<(usize, Uuid, usize)>,
}

#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) row: Arc<Row>,
    /// Strong references of other rows.
    pub(crate) references: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rows: BTreeMap<Uuid, Stored>,
    /// One map for each index of the schema.
    pub(crate) indexes: Vec<BTreeMap<Vec<Datum>, Uuid>>,
    /// For rows of this table: which rows of which tables refer to them weakly.
    pub(crate) weak: BTreeMap<Uuid, BTreeSet<(usize, Uuid)>>,
}

/// A database.
#[derive(Debug)]
pub struct Database {
    schema: Arc<Schema>,
    pub(crate) tables: Vec<Table>,
    pub(crate) history: History,
    weight: usize,
    n_commits: u64,
}

impl Database {
    /// An empty database. `id` names its state before the first commit.
    #[must_use]
    pub fn new(schema: Schema, id: Uuid) -> Self {
        let table = |of: &crate::schema::TableSchema| Table {
            indexes: of.indexes.iter().map(|_| BTreeMap::new()).collect(),
            ..Table::default()
        };
        let tables = schema.tables.iter().map(table).collect();
        let history = History::new(id);
        Self { schema: Arc::new(schema), tables, history, weight: 0, n_commits: 0 }
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Commits so far: a change of it says that something changed.
    #[must_use]
    pub fn n_commits(&self) -> u64 {
        self.n_commits
    }

    /// Memory that the rows take, in bytes, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The rows of a table in the order of their UUIDs; none of a table that there is not.
    pub fn rows(&self, table: usize) -> impl Iterator<Item = &Arc<Row>> {
        self.tables.get(table).into_iter().flat_map(|t| t.rows.values()).map(|stored| &stored.row)
    }

    /// Rows of a table.
    #[must_use]
    pub fn n_rows(&self, table: usize) -> usize {
        self.tables.get(table).map_or(0, |table| table.rows.len())
    }

    /// A row.
    #[must_use]
    pub fn row(&self, table: usize, uuid: Uuid) -> Option<&Arc<Row>> {
        self.stored(table, uuid).map(|stored| &stored.row)
    }

    pub(crate) fn stored(&self, table: usize, uuid: Uuid) -> Option<&Stored> {
        self.tables.get(table)?.rows.get(&uuid)
    }

    /// The name of the state that the last commit made.
    #[must_use]
    pub fn last_commit(&self) -> Uuid {
        self.history.last()
    }

    /// Makes a commit come true. It must have been prepared on the database as it is.
    pub fn apply(&mut self, commit: &Commit) {
        self.apply_breathing(commit, Breath::none());
    }

    pub(crate) fn apply_breathing(&mut self, commit: &Commit, mut breath: Breath) {
        // Out with everything old first: rows may swap the values that an index keeps apart.
        for change in commit.changes.iter() {
            breath.row();
            if let Some(old) = &change.old {
                self.weight = self.weight.saturating_sub(old.weight());
                self.note(change.table, change.uuid, old, Note::Forget);
            }
        }
        for change in commit.changes.iter() {
            breath.row();
            let Some(table) = self.tables.get_mut(change.table) else { continue };
            let Some(new) = &change.new else {
                table.rows.remove(&change.uuid);
                continue;
            };
            match table.rows.get_mut(&change.uuid) {
                Some(stored) => stored.row = new.clone(),
                None => {
                    table.rows.insert(change.uuid, Stored { row: new.clone(), references: 0 });
                }
            }
            self.weight += new.weight();
            self.note(change.table, change.uuid, new, Note::Remember);
        }
        for &(table, uuid, references) in &commit.references {
            let stored = self.tables.get_mut(table).and_then(|table| table.rows.get_mut(&uuid));
            if let Some(stored) = stored {
                stored.references = references;
            }
        }
        self.n_commits += 1;
        let n_rows = self.tables.iter().map(|table| table.rows.len()).sum();
        self.history.add(commit.id, commit.changes.clone(), n_rows);
    }

    /// Keeps indexes and the lists of weak references in step with a row.
    fn note(&mut self, table: usize, uuid: Uuid, row: &Row, note: Note) {
        let Some(schema) = self.schema.tables.get(table) else { return };
        let indexes = self.tables.get_mut(table).map(|table| &mut table.indexes);
        for (index, columns) in indexes.into_iter().flatten().zip(&schema.indexes) {
            match note {
                Note::Remember => index.insert(index_key(row, columns), uuid),
                Note::Forget => index.remove(&index_key(row, columns)),
            };
        }
        for (place, column) in schema.named_columns() {
            for (target_table, target) in references(&column.kind, row.cell(place), Strength::Weak)
            {
                let Some(weak) = self.tables.get_mut(target_table).map(|table| &mut table.weak)
                else {
                    continue;
                };
                match note {
                    Note::Remember => {
                        weak.entry(target).or_default().insert((table, uuid));
                    }
                    Note::Forget => {
                        if let Some(sources) = weak.get_mut(&target) {
                            sources.remove(&(table, uuid));
                            if sources.is_empty() {
                                weak.remove(&target);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Note {
    Remember,
    Forget,
}

/// The cells of a row that an index compares.
pub(crate) fn index_key(row: &Row, columns: &[usize]) -> Vec<Datum> {
    columns.iter().map(|&column| row.cell(column).clone()).collect()
}

/// The rows that a cell refers to with a strength: table and UUID.
pub(crate) fn references<'a>(
    kind: &ColumnType,
    cell: &'a Datum,
    strength: Strength,
) -> impl Iterator<Item = (usize, Uuid)> + use<'a> {
    let targets = |table: Option<usize>, atoms: &'a [Atom]| {
        let atoms = if table.is_some() { atoms } else { &[] };
        atoms.iter().filter_map(move |atom| match atom {
            Atom::Uuid(uuid) => table.map(|table| (table, *uuid)),
            _ => None,
        })
    };
    let value = kind.value.as_ref().and_then(|value| value.refers_to(strength));
    targets(kind.key.refers_to(strength), &cell.keys).chain(targets(value, &cell.values))
}
