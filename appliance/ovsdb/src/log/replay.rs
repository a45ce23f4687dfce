//! A database out of its log.

use super::{ReadError, Reader};
use crate::database::Database;
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::row::Row;
use crate::schema::{FIRST_COLUMN, Schema, TableSchema};
use crate::transaction::{Transaction, default_row};
use crate::uuid::{Uuid, Uuids};
use alloc::format;
use alloc::string::String;
use core::fmt;
use serde_json::{Map, Value};

/// Why a log gives no database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// Not even the schema can be read.
    NoSchema(ReadError),
    /// The schema is none.
    BadSchema(Error),
    /// A whole record says what cannot be: its number from 1, and what is wrong.
    BadRecord(usize, Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchema(error) => write!(f, "no schema: {error}"),
            Self::BadSchema(error) => write!(f, "bad schema: {error}"),
            Self::BadRecord(n, error) => write!(f, "record {n}: {error}"),
        }
    }
}

/// A database that was read.
#[derive(Debug)]
pub struct Loaded {
    /// As it was after the last whole record.
    pub database: Database,
    /// Bytes of the whole records.
    pub length: usize,
    /// Whole records, the schema included.
    pub n_records: usize,
    /// Why the bytes after them do not count, if there are any.
    pub torn: Option<ReadError>,
    /// The log's own schema is not the wanted one: rows were converted.
    pub converted: bool,
}

/// Reads a log with its own schema.
pub fn load_text(bytes: &[u8], uuids: &mut Uuids) -> Result<Loaded, LoadError> {
    load(bytes, None, uuids)
}

/// Reads a log. With `wanted` the database gets that schema: tables and columns that it does not have
/// are left out, new ones have their defaults.
pub fn load(bytes: &[u8], wanted: Option<&Schema>, uuids: &mut Uuids) -> Result<Loaded, LoadError> {
    let mut reader = Reader::new(bytes);
    let (schema, converting) = read_schema(&mut reader, wanted)?;
    let mut database = Database::new(schema, uuids.fresh());
    let mut n_records = 1;
    let torn = loop {
        let record = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => break None,
            Err(error) => break Some(error),
        };
        n_records += 1;
        replay(&mut database, &record, converting, uuids)
            .map_err(|error| LoadError::BadRecord(n_records, error))?;
    };
    Ok(Loaded { database, length: reader.position(), n_records, torn, converted: converting })
}

/// The schema that the database is to have, and whether rows must be converted to it.
fn read_schema(
    reader: &mut Reader<'_>,
    wanted: Option<&Schema>,
) -> Result<(Schema, bool), LoadError> {
    // A log of this switch begins with the schema that is built in: not to read it halves the time of
    // a boot from a disk.
    if let Some(wanted) = wanted
        && let Some(sha1) = wanted.sha1
        && reader.skip(sha1).map_err(LoadError::NoSchema)?
    {
        return Ok((wanted.clone(), false));
    }
    let first = reader.next_record().map_err(LoadError::NoSchema)?;
    let first = first.ok_or(LoadError::NoSchema(ReadError::Short))?;
    let schema = Schema::from_json(&first).map_err(LoadError::BadSchema)?;
    match wanted {
        Some(wanted) if wanted.name != schema.name => {
            let details = format!("it is of database {}", schema.name);
            Err(LoadError::BadSchema(Error::new(ErrorKind::SyntaxError, details)))
        }
        Some(wanted) if *wanted != schema => Ok((wanted.clone(), true)),
        _ => Ok((schema, false)),
    }
}

fn replay(
    database: &mut Database,
    record: &Value,
    converting: bool,
    uuids: &mut Uuids,
) -> Result<(), Error> {
    let Value::Object(tables) = record else {
        return Err(Error::syntax(record, "object expected"));
    };
    let is_difference = tables.get("_is_diff") == Some(&Value::Bool(true));
    let schema = database.schema().clone();
    let mut transaction = Transaction::new(database, 0);
    for (name, rows) in tables {
        let Some(at) = schema.table(name) else {
            if converting || matches!(name.as_str(), "_date" | "_comment" | "_is_diff") {
                continue;
            }
            let details = format!("No table named {name}.");
            return Err(Error::new(ErrorKind::UnknownTable, details));
        };
        let Some(table) = schema.tables.get(at) else { continue };
        let rows = object(rows)?;
        for (uuid, cells) in rows {
            let uuid = Uuid::parse(uuid)
                .ok_or_else(|| Error::syntax(&Value::from(uuid.as_str()), "not a valid UUID"))?;
            let old = transaction.row(at, uuid).map(|row| Row::clone(row));
            if cells.is_null() {
                if old.is_none() {
                    let details = format!("transaction deletes row {uuid} that does not exist");
                    return Err(Error::new(ErrorKind::SyntaxError, details));
                }
                transaction.delete(at, uuid);
                continue;
            }
            // Differences are to a row that is there; a new row is written as it is.
            let reading =
                Reading { table, is_difference: is_difference && old.is_some(), converting };
            let mut row = old.unwrap_or_else(|| default_row(table));
            reading.update(&mut row, object(cells)?)?;
            transaction.put(at, uuid, row);
        }
    }
    if let Some(commit) = transaction.prepare(uuids, usize::MAX)? {
        database.apply(&commit);
    }
    Ok(())
}

fn object(value: &Value) -> Result<&Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| Error::syntax(value, "object expected"))
}

struct Reading<'a> {
    table: &'a TableSchema,
    is_difference: bool,
    converting: bool,
}

impl Reading<'_> {
    fn update(&self, row: &mut Row, cells: &Map<String, Value>) -> Result<(), Error> {
        for (name, value) in cells {
            let place = self.table.column(name).filter(|&place| place >= FIRST_COLUMN);
            let column = place.and_then(|place| Some((place, self.table.columns.get(place)?)));
            let Some((place, column)) = column else {
                if self.converting {
                    continue;
                }
                let details = format!("No column {name} in table {}.", self.table.name);
                return Err(Error::new(ErrorKind::UnknownColumn, details));
            };
            let Some(cell) = row.cells.get_mut(place) else { continue };
            if self.is_difference {
                let difference = Datum::difference_from_json(&column.kind, value)?;
                cell.apply_difference(&difference, &column.kind);
                // A part of a value may be what the whole may not, and is not checked as it is read.
                cell.check(&column.kind)?;
            } else {
                *cell = Datum::from_json(&column.kind, value, None)?;
            }
        }
        Ok(())
    }
}
