//! The text of updates: `<table-updates>` of RFC 7047 §4.1.6 and `<table-updates2>` of ovsdb-server.7
//! §4.1.14.

use super::{Version, Wanted, select};
use crate::budget::Breath;
use crate::database::Database;
use crate::datum::Datum;
use crate::row::Row;
use crate::uuid::Uuid;
use alloc::string::{String, ToString};
use serde_json::{Map, Value, json};

/// What there is to tell of a row.
#[derive(Clone, Copy)]
pub(super) enum Moment<'a> {
    /// It is there, and the client knows nothing yet.
    Initial(&'a Row),
    /// It was this and is that; and whether each is in the client's sight.
    Change { old: Option<&'a Row>, new: Option<&'a Row>, conditions: (bool, bool) },
}

/// Updates, by table and row.
pub(super) struct TableUpdates<'d> {
    database: &'d Database,
    version: Version,
    breath: Breath,
    tables: Map<String, Value>,
}

impl<'d> TableUpdates<'d> {
    pub(super) fn new(database: &'d Database, version: Version, breath: Breath) -> Self {
        Self { database, version, breath, tables: Map::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub(super) fn into_json(self) -> Value {
        Value::Object(self.tables)
    }

    /// Adds what there is to tell of a row, if anything.
    pub(super) fn add(&mut self, table: usize, wanted: &Wanted, uuid: Uuid, moment: Moment<'_>) {
        self.breath.row();
        let (kind, old, new) = match moment {
            Moment::Initial(row) => {
                if !wanted.condition.matches_any(row) {
                    return;
                }
                (select::INITIAL, None, Some(row))
            }
            Moment::Change { old, new, conditions } => match conditions {
                (false, false) => return,
                (false, true) => (select::INSERT, None, new),
                (true, false) => (select::DELETE, old, None),
                (true, true) => (select::MODIFY, old, new),
            },
        };
        if wanted.select & kind == 0 {
            return;
        }
        let is_same = |&(column, _): &(usize, u8)| {
            old.map(|row| row.cell(column)) == new.map(|row| row.cell(column))
        };
        if kind == select::MODIFY && wanted.columns.iter().all(is_same) {
            return;
        }
        let Some(schema) = self.database.schema().tables.get(table) else { return };
        let update = match self.version {
            Version::One => row_update(schema, wanted, kind, old, new),
            Version::Two | Version::Three => row_update2(schema, wanted, kind, old, new),
        };
        let rows = self.tables.entry(schema.name.clone()).or_insert_with(|| json!({}));
        if let Value::Object(rows) = rows {
            rows.insert(uuid.to_string(), update);
        }
    }
}

type Schema = crate::schema::TableSchema;

/// The columns that want to hear of a kind of change, with their names and types.
fn columns<'a>(
    schema: &'a Schema,
    wanted: &'a Wanted,
    kind: u8,
) -> impl Iterator<Item = (usize, &'a crate::schema::Column)> {
    let wanted = wanted.columns.iter().filter(move |(_, select)| select & kind != 0);
    wanted.filter_map(|&(place, _)| Some((place, schema.columns.get(place)?)))
}

fn row_update(
    schema: &Schema,
    wanted: &Wanted,
    kind: u8,
    old: Option<&Row>,
    new: Option<&Row>,
) -> Value {
    let mut update = Map::new();
    if let Some(old) = old {
        let cells = columns(schema, wanted, kind)
            .filter(|&(place, _)| new.is_none_or(|new| new.cell(place) != old.cell(place)));
        let cells = cells.map(|(k, c)| (c.name.clone(), old.cell(k).to_json(&c.kind)));
        update.insert("old".to_string(), Value::Object(cells.collect()));
    }
    if let Some(new) = new {
        let cells = columns(schema, wanted, kind);
        let cells = cells.map(|(k, c)| (c.name.clone(), new.cell(k).to_json(&c.kind)));
        update.insert("new".to_string(), Value::Object(cells.collect()));
    }
    Value::Object(update)
}

fn row_update2(
    schema: &Schema,
    wanted: &Wanted,
    kind: u8,
    old: Option<&Row>,
    new: Option<&Row>,
) -> Value {
    let mut row = Map::new();
    for (place, column) in columns(schema, wanted, kind) {
        let cell = match (old, new) {
            (_, None) => continue,
            (None, Some(new)) if *new.cell(place) == Datum::default_of(&column.kind) => continue,
            (None, Some(new)) => new.cell(place).to_json(&column.kind),
            (Some(old), Some(new)) if old.cell(place) == new.cell(place) => continue,
            (Some(old), Some(new)) => {
                Datum::difference(old.cell(place), new.cell(place), &column.kind)
                    .to_json(&column.kind)
            }
        };
        row.insert(column.name.clone(), cell);
    }
    match kind {
        select::INITIAL => json!({"initial": row}),
        select::INSERT => json!({"insert": row}),
        select::MODIFY => json!({"modify": row}),
        _ => json!({"delete": null}),
    }
}
