//! Schemas out of JSON (RFC 7047 §3.2), with Open vSwitch's checks.

use super::{Column, Schema, TableSchema};
use crate::error::Error;
use crate::json::{Members, integer, is_id};
use crate::types::{ColumnType, UNLIMITED};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Map, Value};

impl Schema {
    /// Reads a `<database-schema>`.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        let mut members = Members::of(value, "database schema")?;
        let name = members.id("name")?.to_string();
        let mut text = |name: &str| match members.optional(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(Error::syntax(other, format!("{name} must be a string"))),
        };
        let (version, cksum) = (text("version")?, text("cksum")?);
        let parts = version.split('.').filter(|part| part.parse::<u32>().is_ok());
        if !version.is_empty() && (parts.count() != 3 || version.split('.').count() != 3) {
            return Err(Error::syntax(value, format!("schema version \"{version}\" is not x.y.z")));
        }
        let mut tables = Vec::new();
        for (name, table) in object(members.required("tables")?)? {
            check_name(name, value)?;
            tables.push(TableSchema::from_json(name, table)?);
        }
        members.finish()?;
        let schema = Self { name, version, cksum, tables, sha1: None };
        schema.tie().map_err(|table| {
            Error::syntax(value, format!("a column refers to undefined table {table}"))
        })
    }
}

impl TableSchema {
    fn from_json(name: &str, value: &Value) -> Result<Self, Error> {
        let what = format!("table schema for table {name}");
        let mut members = Members::of(value, &what)?;
        let table_is_mutable = members.boolean("mutable", true)?;
        let mut columns = Vec::new();
        for (name, column) in object(members.required("columns")?)? {
            check_name(name, value)?;
            let mut column = Column::from_json(name, column)?;
            column.mutable &= table_is_mutable;
            columns.push(column);
        }
        if columns.is_empty() {
            return Err(Error::syntax(value, "table must have at least one column"));
        }
        let mut table = Self::new(name, columns);
        if let Some(max) = members.optional("maxRows") {
            let n = integer(max).filter(|&n| n > 0);
            let n = n.ok_or_else(|| Error::syntax(value, "maxRows must be at least 1"))?;
            table.max_rows = u32::try_from(n).unwrap_or(UNLIMITED);
        }
        table.is_root = members.boolean("isRoot", false)?;
        if let Some(indexes) = members.optional("indexes") {
            let bad = || Error::syntax(indexes, "indexes must be arrays of names of columns");
            for index in indexes.as_array().ok_or_else(bad)? {
                let columns = crate::transaction::columns_from_json(index, &table)?;
                if columns.is_empty() {
                    return Err(Error::syntax(value, "index must have at least one column"));
                }
                let is_ephemeral =
                    |&at: &usize| table.columns.get(at).is_none_or(|column| !column.persistent);
                if columns.iter().any(is_ephemeral) {
                    return Err(Error::syntax(value, "ephemeral columns may not be indexed"));
                }
                table.indexes.push(columns);
            }
        }
        members.finish()?;
        Ok(table)
    }
}

impl Column {
    fn from_json(name: &str, value: &Value) -> Result<Self, Error> {
        let what = format!("schema for column {name}");
        let mut members = Members::of(value, &what)?;
        let mutable = members.boolean("mutable", true)?;
        let persistent = !members.boolean("ephemeral", false)?;
        let kind = ColumnType::from_json(members.required("type")?)?;
        members.finish()?;
        Ok(Self { name: name.to_string(), kind, mutable, persistent })
    }
}

fn object(value: &Value) -> Result<&Map<String, Value>, Error> {
    value.as_object().ok_or_else(|| Error::syntax(value, "object expected"))
}

fn check_name(name: &str, at: &Value) -> Result<(), Error> {
    if name.starts_with('_') {
        return Err(Error::syntax(at, "names beginning with \"_\" are reserved"));
    }
    if is_id(name) { Ok(()) } else { Err(Error::syntax(at, "name must be a valid id")) }
}
