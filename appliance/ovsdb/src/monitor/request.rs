//! `<monitor-requests>` and `<monitor-cond-update-requests>`: what a client wants to be told.

use super::{Monitor, Version, Wanted, select};
use crate::database::Database;
use crate::error::Error;
use crate::json::Members;
use crate::schema::{TableSchema, UUID_COLUMN};
use crate::transaction::{Condition, columns_from_json};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use serde_json::Value;

/// Reads the wishes of a `monitor`, `monitor_cond` or `monitor_cond_since` request.
pub(crate) fn parse(
    database: &Database,
    version: Version,
    requests: &Value,
) -> Result<BTreeMap<usize, Wanted>, Error> {
    let mut tables = BTreeMap::new();
    for (table, schema, requests) in by_table(database, requests, "monitor-requests")? {
        let mut wanted = Wanted::default();
        // A single request may stand without its array.
        let requests = match requests {
            Value::Array(requests) => requests.as_slice(),
            single => core::slice::from_ref(single),
        };
        for request in requests {
            wanted.add(schema, version, request)?;
        }
        tables.insert(table, wanted);
    }
    Ok(tables)
}

impl Monitor {
    /// Reads the new conditions of a `monitor_cond_change` request.
    pub(crate) fn parse_change(
        &self,
        database: &Database,
        requests: &Value,
    ) -> Result<BTreeMap<usize, Condition>, Error> {
        let mut conditions = BTreeMap::new();
        for (table, schema, requests) in
            by_table(database, requests, "monitor-cond-change-requests")?
        {
            if !self.watches(table) {
                let details = format!("no table named {} in monitor session", schema.name);
                return Err(Error::syntax(requests, details));
            }
            let Value::Array(requests) = requests else {
                let details = format!("table {} no monitor-cond-change JSON array", schema.name);
                return Err(Error::syntax(requests, details));
            };
            let mut condition = Condition::default();
            for request in requests {
                let mut members = Members::of(request, "monitor-cond-change-request")?;
                if members.optional("columns").is_some() {
                    return Err(Error::syntax(request, "changing columns is unsupported"));
                }
                condition = where_clauses(&mut members, schema)?;
                members.finish()?;
            }
            conditions.insert(table, condition);
        }
        Ok(conditions)
    }
}

type ByTable<'d, 'r> = Vec<(usize, &'d TableSchema, &'r Value)>;

fn by_table<'d, 'r>(
    database: &'d Database,
    requests: &'r Value,
    what: &str,
) -> Result<ByTable<'d, 'r>, Error> {
    let Value::Object(requests) = requests else {
        return Err(Error::syntax(requests, format!("{what} must be object")));
    };
    let schema = database.schema();
    let find = |name: &str| {
        let table = schema.table(name)?;
        Some((table, schema.tables.get(table)?))
    };
    let found = requests.iter().map(|(name, requests)| match find(name) {
        Some((table, schema)) => Ok((table, schema, requests)),
        None => Err(Error::syntax(requests, format!("no table named {name}"))),
    });
    found.collect()
}

fn where_clauses(members: &mut Members<'_>, schema: &TableSchema) -> Result<Condition, Error> {
    match members.optional("where") {
        None => Ok(Condition::default()),
        Some(Value::Array(clauses)) => Condition::from_json(schema, clauses, None),
        Some(_) => Err(members.wrong("where", "must be an array")),
    }
}

impl Wanted {
    fn add(
        &mut self,
        schema: &TableSchema,
        version: Version,
        request: &Value,
    ) -> Result<(), Error> {
        let mut members = Members::of(request, "monitor-request")?;
        let is_first = self.select == 0 && self.columns.is_empty();
        if version != Version::One {
            let condition = where_clauses(&mut members, schema)?;
            // Without clauses everything is in sight, whatever the other requests say.
            if is_first || !(condition.is_empty() || self.condition.is_empty()) {
                self.condition.extend(condition);
            } else {
                self.condition = Condition::default();
            }
        }
        let columns = match members.optional("columns") {
            Some(columns) => columns_from_json(columns, schema)?,
            None => (0..schema.columns.len()).filter(|&column| column != UUID_COLUMN).collect(),
        };
        let select = match members.optional("select") {
            None => select::ALL,
            Some(chosen) => {
                let mut members = Members::of(chosen, "monitor-select")?;
                let mut select = 0;
                for (name, bit) in [
                    ("initial", select::INITIAL),
                    ("insert", select::INSERT),
                    ("delete", select::DELETE),
                    ("modify", select::MODIFY),
                ] {
                    select |= if members.boolean(name, true)? { bit } else { 0 };
                }
                members.finish()?;
                select
            }
        };
        members.finish()?;
        self.select |= select;
        for column in columns {
            if self.columns.iter().any(|&(known, _)| known == column) {
                let name = schema.columns.get(column).map_or("", |column| &column.name);
                let details = format!("column {name} mentioned more than once");
                return Err(Error::syntax(request, details));
            }
            self.columns.push((column, select));
        }
        Ok(())
    }
}
