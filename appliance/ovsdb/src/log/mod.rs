//! The log: what a database file of Open vSwitch holds (ovsdb(5), "Standalone Format").
//!
//! # What
//! A text of records, each a line with length and SHA-1 and a line of JSON. The first record is the
//! schema, every other one a transaction: for each row that came or changed its columns, for each that
//! went a null. [`commit_record`] and [`snapshot`] write it, [`Reader`] and [`load`] read it, a file of
//! stock `ovsdb-server` as well. Where it is kept is [`crate::store`]'s matter.
//!
//! # A torn tail
//! A record that is not whole, or whose SHA-1 is wrong, ends the log: everything before it counts,
//! nothing after.

mod record;
mod replay;

use record::record_text;
pub use record::{ReadError, Reader, write_record};
pub use replay::{LoadError, Loaded, load, load_text};

use crate::budget::Breath;
use crate::database::{Commit, Database};
use crate::datum::Datum;
use crate::row::Row;
use crate::schema::{Schema, TableSchema};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// The record of a commit at a time in milliseconds since 1970; `None` when it changes only columns
/// that are not kept.
#[must_use]
pub fn commit_record(schema: &Schema, commit: &Commit, wall_ms: u64) -> Option<Vec<u8>> {
    commit_text(schema, commit, wall_ms, Breath::none())
}

pub(crate) fn commit_text(
    schema: &Schema,
    commit: &Commit,
    wall_ms: u64,
    mut breath: Breath,
) -> Option<Vec<u8>> {
    let mut tables = Map::new();
    for change in commit.changes.iter() {
        breath.row();
        let Some(table) = schema.tables.get(change.table) else { continue };
        let row = match (&change.old, &change.new) {
            (_, None) => Value::Null,
            (None, Some(new)) => new_row(table, new),
            (Some(old), Some(new)) => {
                let changed = cells(table, new, |place, cell| old.cell(place) != cell);
                if changed.is_empty() {
                    continue;
                }
                Value::Object(changed)
            }
        };
        put(&mut tables, &table.name, change.uuid.to_string(), row);
    }
    if tables.is_empty() {
        return None;
    }
    tables.insert("_date".to_string(), wall_ms.into());
    if !commit.comment.is_empty() {
        tables.insert("_comment".to_string(), commit.comment.as_str().into());
    }
    Some(record_text(&Value::Object(tables), breath))
}

/// The records of a log that says no more than what the database is: schema, and if there are any all
/// rows.
#[must_use]
pub fn snapshot(database: &Database, comment: &str, wall_ms: u64) -> Vec<Vec<u8>> {
    snapshot_texts(database, comment, wall_ms, Breath::none())
}

pub(crate) fn snapshot_texts(
    database: &Database,
    comment: &str,
    wall_ms: u64,
    mut breath: Breath,
) -> Vec<Vec<u8>> {
    let schema = database.schema();
    let mut records = alloc::vec![write_record(&schema.to_json())];
    let mut tables = Map::new();
    for (at, table) in schema.tables.iter().enumerate() {
        for row in database.rows(at) {
            breath.row();
            put(&mut tables, &table.name, row.uuid().to_string(), new_row(table, row));
        }
    }
    if !tables.is_empty() {
        tables.insert("_date".to_string(), wall_ms.into());
        tables.insert("_comment".to_string(), comment.into());
        records.push(record_text(&Value::Object(tables), breath));
    }
    records
}

fn put(tables: &mut Map<String, Value>, table: &str, uuid: String, row: Value) {
    let rows = tables.entry(table).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(rows) = rows {
        rows.insert(uuid, row);
    }
}

/// The columns of a new row that do not have their defaults.
fn new_row(table: &TableSchema, row: &Row) -> Value {
    Value::Object(cells(table, row, |place, cell| {
        table.columns.get(place).is_some_and(|column| *cell != Datum::default_of(&column.kind))
    }))
}

fn cells(
    table: &TableSchema,
    row: &Row,
    wanted: impl Fn(usize, &Datum) -> bool,
) -> Map<String, Value> {
    let kept = table.named_columns().filter(|(_, column)| column.persistent);
    let wanted = kept.filter(|&(place, _)| wanted(place, row.cell(place)));
    wanted.map(|(place, c)| (c.name.clone(), row.cell(place).to_json(&c.kind))).collect()
}

#[cfg(test)]
mod tests;
