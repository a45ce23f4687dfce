//! The operations of `transact` (RFC 7047 §5.2), one after another.

use super::mutation::Mutation;
use super::{Client, Condition, Transaction, columns_from_json, default_row, row_from_json};
use crate::atom::Names;
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::json::{Members, integer, is_id};
use crate::row::Row;
use crate::schema::{TableSchema, UUID_COLUMN};
use crate::uuid::Uuid;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde_json::{Map, Value, json};

/// Why the operations do not go on.
pub(super) enum Stop {
    Error(Error),
    /// A `wait` with this timeout is not true.
    Wait(Option<u64>),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

pub(super) struct Run<'a, 'u> {
    pub(super) transaction: Transaction<'a>,
    pub(super) names: Names<'u>,
    pub(super) client: &'u dyn Client,
    pub(super) selected_left: usize,
}

impl<'a> Run<'a, '_> {
    pub(super) fn operation(&mut self, operation: &Value) -> Result<Value, Stop> {
        let mut members = Members::of(operation, "ovsdb operation")?;
        let name = members.id("op")?;
        let (result, writes) = match name {
            "insert" => (self.insert(&mut members)?, true),
            "select" => (self.select(&mut members)?, false),
            "update" => (self.update(&mut members)?, true),
            "mutate" => (self.mutate(&mut members)?, true),
            "delete" => (self.delete(&mut members)?, true),
            "wait" => (self.wait(&mut members)?, false),
            "commit" => (commit(&mut members)?, true),
            "abort" => {
                members.finish()?;
                return Err(Error::new(ErrorKind::Aborted, "aborted by request").into());
            }
            "comment" => {
                self.comment(&mut members)?;
                (json!({}), false)
            }
            "assert" => {
                self.assert(&mut members)?;
                (json!({}), false)
            }
            other => {
                return Err(Error::syntax(operation, format!("No operation \"{other}\"")).into());
            }
        };
        members.finish()?;
        if writes && !self.client.may_write() {
            let database = &self.transaction.database.schema().name;
            let details = format!("{name} operation not allowed on database {database}");
            return Err(Error::new(ErrorKind::NotAllowed, details).into());
        }
        Ok(result)
    }

    fn table(&self, members: &mut Members<'_>) -> Result<(usize, &'a TableSchema), Error> {
        let name = members.id("table")?;
        let table = self.transaction.database.schema().table(name);
        let table = table
            .ok_or_else(|| Error::syntax(members.value(), format!("No table named {name}.")))?;
        Ok((table, self.transaction.table(table)?))
    }

    fn rows(
        &mut self,
        members: &mut Members<'_>,
        (table, schema): (usize, &TableSchema),
    ) -> Result<Vec<Uuid>, Error> {
        let clauses = members.array("where")?;
        let condition = Condition::from_json(schema, clauses, Some(&mut self.names))?;
        let client = self.client;
        self.transaction.matching(table, &condition, || client.breathe())
    }

    /// §5.2.1.
    fn insert(&mut self, members: &mut Members<'_>) -> Result<Value, Error> {
        let (table, schema) = self.table(members)?;
        let wanted = match members.optional("uuid") {
            None => None,
            Some(value) => {
                let uuid = value.as_str().and_then(Uuid::parse);
                let uuid = uuid.ok_or_else(|| Error::syntax(value, "bad uuid"))?;
                if !self.transaction.may_insert(table, uuid) {
                    let details = "the UUID is or was in use in this table";
                    return Err(Error::new(ErrorKind::DuplicateUuid, details).at(value));
                }
                Some(uuid)
            }
        };
        let uuid = match members.optional("uuid-name") {
            None => wanted.unwrap_or_else(|| self.names.fresh()),
            Some(value) => {
                let name = value.as_str().filter(|name| is_id(name));
                let name =
                    name.ok_or_else(|| members.wrong("uuid-name", "must be an identifier"))?;
                self.names.define(name, wanted).ok_or_else(|| {
                    let details = "This \"uuid-name\" appeared on an earlier \"insert\" operation.";
                    Error::new(ErrorKind::DuplicateUuidName, details).at(value)
                })?
            }
        };
        let mut row = default_row(schema);
        let values = members.required("row")?;
        row_from_json(&mut row, schema, values, Some(&mut self.names))?;
        // Defaults may be outside their type.
        for (place, column) in schema.named_columns() {
            row.cell(place).check(&column.kind)?;
        }
        self.transaction.put(table, uuid, row);
        Ok(json!({"uuid": ["uuid", uuid.to_string()]}))
    }

    /// §5.2.2.
    fn select(&mut self, members: &mut Members<'_>) -> Result<Value, Error> {
        let (table, schema) = self.table(members)?;
        let rows = self.rows(members, (table, schema))?;
        let columns = optional_columns(members.optional("columns"), schema)?;
        let mut rows: Vec<Arc<Row>> =
            rows.iter().filter_map(|&uuid| self.transaction.row(table, uuid).cloned()).collect();
        if let Some(sort) = members.optional("sort") {
            let sort = columns_from_json(sort, schema)?;
            rows.sort_by(|a, b| projection(a, &sort).cmp(&projection(b, &sort)));
        }
        if !columns.contains(&UUID_COLUMN) {
            let mut seen = BTreeSet::new();
            rows =
                rows.iter().filter(|row| seen.insert(projection(row, &columns))).cloned().collect();
        }
        let weight: usize = rows.iter().map(|row| row.weight() + 64 * columns.len()).sum();
        self.selected_left = self.selected_left.checked_sub(weight).ok_or_else(|| {
            Error::new(ErrorKind::ResourcesExhausted, "the transaction selects too much")
        })?;
        let rows: Vec<Value> = rows.iter().map(|row| row_to_json(row, schema, &columns)).collect();
        Ok(json!({"rows": rows}))
    }

    /// §5.2.3.
    fn update(&mut self, members: &mut Members<'_>) -> Result<Value, Error> {
        let (table, schema) = self.table(members)?;
        let mut values = default_row(schema);
        let row = members.required("row")?;
        let columns = row_from_json(&mut values, schema, row, Some(&mut self.names))?;
        for &column in &columns {
            if let Some(column) = schema.columns.get(column).filter(|column| !column.mutable) {
                let (name, table) = (&column.name, &schema.name);
                let details = format!("Cannot update immutable column {name} in table {table}.");
                return Err(Error::constraint(details).at(members.value()));
            }
        }
        let rows = self.rows(members, (table, schema))?;
        for &uuid in &rows {
            let Some(row) = self.transaction.row(table, uuid) else { continue };
            if columns.iter().all(|&column| row.cell(column) == values.cell(column)) {
                continue;
            }
            if let Some(row) = self.transaction.modify(table, uuid) {
                for &column in &columns {
                    if let Some(cell) = row.cells.get_mut(column) {
                        cell.clone_from(values.cell(column));
                    }
                }
            }
        }
        Ok(json!({"count": rows.len()}))
    }

    /// §5.2.4.
    fn mutate(&mut self, members: &mut Members<'_>) -> Result<Value, Error> {
        let (table, schema) = self.table(members)?;
        let mutations = members.array("mutations")?.iter();
        let mutations = mutations.map(|json| Mutation::from_json(schema, json, &mut self.names));
        let mutations = mutations.collect::<Result<Vec<_>, _>>()?;
        let rows = self.rows(members, (table, schema))?;
        self.transaction.charge(rows.len().saturating_mul(mutations.len()))?;
        for &uuid in rows.iter().filter(|_| !mutations.is_empty()) {
            if let Some(row) = self.transaction.modify(table, uuid) {
                mutations.iter().try_for_each(|mutation| mutation.apply(row))?;
            }
        }
        Ok(json!({"count": rows.len()}))
    }

    /// §5.2.5.
    fn delete(&mut self, members: &mut Members<'_>) -> Result<Value, Error> {
        let (table, schema) = self.table(members)?;
        let rows = self.rows(members, (table, schema))?;
        for &uuid in &rows {
            self.transaction.delete(table, uuid);
        }
        Ok(json!({"count": rows.len()}))
    }

    /// §5.2.6.
    fn wait(&mut self, members: &mut Members<'_>) -> Result<Value, Stop> {
        let (table, schema) = self.table(members)?;
        let timeout_ms = match members.optional("timeout") {
            None => None,
            Some(value) => {
                let ms = integer(value).and_then(|ms| u64::try_from(ms).ok());
                Some(ms.ok_or_else(|| Error::syntax(value, "timeout must be nonnegative"))?)
            }
        };
        let rows = self.rows(members, (table, schema))?;
        let columns = optional_columns(members.optional("columns"), schema)?;
        let wants_equal = match members.string("until")? {
            "==" => true,
            "!=" => false,
            _ => return Err(members.wrong("until", "must be \"==\" or \"!=\"").into()),
        };
        let mut expected = Vec::new();
        for value in members.array("rows")? {
            let mut row = default_row(schema);
            row_from_json(&mut row, schema, value, Some(&mut self.names))?;
            expected.push(row);
        }
        let expected: BTreeSet<_> = expected.iter().map(|row| projection(row, &columns)).collect();
        let actual = rows.iter().filter_map(|&uuid| self.transaction.row(table, uuid));
        let actual: BTreeSet<_> = actual.map(|row| projection(row, &columns)).collect();
        if (actual == expected) == wants_equal {
            return Ok(json!({}));
        }
        let waited_ms = self.client.waited_ms();
        if timeout_ms.is_none_or(|ms| waited_ms < ms) {
            return Err(Stop::Wait(timeout_ms));
        }
        let details = match waited_ms {
            0 => "\"where\" clause test failed".to_string(),
            ms => format!("\"wait\" timed out after {ms} ms"),
        };
        Err(Error::new(ErrorKind::TimedOut, details).into())
    }

    /// §5.2.9. Comments end in the log, where Open vSwitch takes no NUL.
    fn comment(&mut self, members: &mut Members<'_>) -> Result<(), Error> {
        let comment = members.string("comment")?;
        if comment.contains('\0') {
            return Err(members.wrong("comment", "must not contain a null byte"));
        }
        self.transaction.comment(comment);
        Ok(())
    }

    /// §5.2.10.
    fn assert(&mut self, members: &mut Members<'_>) -> Result<(), Error> {
        let lock = members.id("lock")?;
        if self.client.owns(lock) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotOwner, format!("Asserted lock {lock} not held.")))
    }
}

/// §5.2.7. Every commit is durable before it is answered, so `durable` asks for nothing more.
fn commit(members: &mut Members<'_>) -> Result<Value, Error> {
    match members.required("durable")? {
        Value::Bool(_) => Ok(json!({})),
        _ => Err(members.wrong("durable", "must be true or false")),
    }
}

fn projection<'r>(row: &'r Row, columns: &[usize]) -> Vec<&'r Datum> {
    columns.iter().map(|&column| row.cell(column)).collect()
}

/// The columns that a request names; without it, all.
fn optional_columns(value: Option<&Value>, schema: &TableSchema) -> Result<Vec<usize>, Error> {
    match value {
        Some(value) => columns_from_json(value, schema),
        None => Ok((0..schema.columns.len()).collect()),
    }
}

/// A `<row>` of some columns.
pub(crate) fn row_to_json(row: &Row, schema: &TableSchema, columns: &[usize]) -> Value {
    let cell = |&place: &usize| {
        let column = schema.columns.get(place)?;
        Some((column.name.clone(), row.cell(place).to_json(&column.kind)))
    };
    Value::Object(columns.iter().filter_map(cell).collect::<Map<_, _>>())
}
