//! Schemas: which tables a database has, and what their columns hold (RFC 7047 §3.2).

mod notation;
mod read;

use crate::atom::AtomKind;
use crate::types::{ColumnType, Strength, UNLIMITED};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// The place of `_uuid` in every table.
pub const UUID_COLUMN: usize = 0;
/// The place of `_version` in every table.
pub const VERSION_COLUMN: usize = 1;
/// The first place that a schema gives out.
pub const FIRST_COLUMN: usize = 2;

/// SHA-1 of the line that [`Schema::open_vswitch`] is in a log: what begins with it is known without
/// being read. A test computes it.
const OPEN_VSWITCH_SHA1: &str = "aadb9bdf3e9022061884878f9286c2766a194b1d";

/// A column of a table.
#[derive(Clone, PartialEq, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// May change after the insert.
    pub mutable: bool,
    /// Survives a restart.
    pub persistent: bool,
}

/// A table of a database.
#[derive(Clone, PartialEq, Debug)]
pub struct TableSchema {
    /// Its name.
    pub name: String,
    /// `_uuid`, `_version`, then the others in the order of their names.
    pub columns: Vec<Column>,
    /// Rows at most.
    pub max_rows: u32,
    /// Its rows live without being referred to.
    pub is_root: bool,
    /// Sets of columns whose values together differ between all rows.
    pub indexes: Vec<Vec<usize>>,
}

impl TableSchema {
    /// The place of a column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        match name {
            "_uuid" => Some(UUID_COLUMN),
            "_version" => Some(VERSION_COLUMN),
            _ => {
                let named = self.columns.get(FIRST_COLUMN..)?;
                let at = named.binary_search_by(|column| column.name.as_str().cmp(name)).ok()?;
                Some(at + FIRST_COLUMN)
            }
        }
    }

    /// The columns that the schema names, with their places.
    pub fn named_columns(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns.iter().enumerate().skip(FIRST_COLUMN)
    }

    fn new(name: &str, mut columns: Vec<Column>) -> Self {
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        let standard = |name: &str| Column {
            name: name.to_string(),
            kind: ColumnType::scalar(AtomKind::Uuid),
            mutable: false,
            persistent: name == "_uuid",
        };
        columns.splice(0..0, [standard("_uuid"), standard("_version")]);
        Self {
            name: name.to_string(),
            columns,
            max_rows: UNLIMITED,
            is_root: false,
            indexes: Vec::new(),
        }
    }

    fn to_json(&self, default_is_root: bool) -> Value {
        let mut columns = Map::new();
        for (_, column) in self.named_columns() {
            let mut object = Map::new();
            object.insert("type".to_string(), column.kind.to_json());
            if !column.mutable {
                object.insert("mutable".to_string(), false.into());
            }
            if !column.persistent {
                object.insert("ephemeral".to_string(), true.into());
            }
            columns.insert(column.name.clone(), Value::Object(object));
        }
        let mut table = Map::new();
        table.insert("columns".to_string(), Value::Object(columns));
        if self.is_root != default_is_root {
            table.insert("isRoot".to_string(), self.is_root.into());
        }
        if self.max_rows != UNLIMITED {
            table.insert("maxRows".to_string(), self.max_rows.into());
        }
        if !self.indexes.is_empty() {
            let names = |index: &Vec<usize>| {
                let names = index.iter().filter_map(|&at| self.columns.get(at));
                Value::Array(names.map(|column| column.name.as_str().into()).collect())
            };
            table.insert("indexes".to_string(), self.indexes.iter().map(names).collect());
        }
        Value::Object(table)
    }
}

/// A database's schema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The name of the database.
    pub name: String,
    /// Three numbers with points; empty when there is none.
    pub version: String,
    /// Open vSwitch's guard against edits without a new version; empty when there is none.
    pub cksum: String,
    /// The tables, in the order of their names.
    pub tables: Vec<TableSchema>,
    /// What is known of its text without writing it.
    pub(crate) sha1: Option<&'static str>,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, version, cksum, tables, sha1: _ } = self;
        *name == other.name
            && *version == other.version
            && *cksum == other.cksum
            && *tables == other.tables
    }
}

impl Schema {
    /// The schema that configures a switch, as `ovs-vsctl` of current releases expects it.
    #[must_use]
    pub fn open_vswitch() -> Self {
        Self {
            sha1: Some(OPEN_VSWITCH_SHA1),
            ..notation::built_in(include_str!("open_vswitch.txt"))
        }
    }

    /// The schema of the database in which a server tells about its databases.
    #[must_use]
    pub fn server() -> Self {
        notation::built_in(include_str!("server.txt"))
    }

    /// The place of a table.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<usize> {
        self.tables.binary_search_by(|table| table.name.as_str().cmp(name)).ok()
    }

    /// As `get_schema` answers.
    #[must_use]
    pub fn to_json(&self) -> Value {
        // Schemas from before garbage collection name no root table; they are written as they came.
        let default_is_root = self.tables.iter().all(|table| table.is_root);
        let tables = self.tables.iter();
        let tables = tables.map(|table| (table.name.clone(), table.to_json(default_is_root)));
        let mut schema = Map::new();
        schema.insert("name".to_string(), self.name.as_str().into());
        if !self.version.is_empty() {
            schema.insert("version".to_string(), self.version.as_str().into());
        }
        if !self.cksum.is_empty() {
            schema.insert("cksum".to_string(), self.cksum.as_str().into());
        }
        schema.insert("tables".to_string(), Value::Object(tables.collect()));
        Value::Object(schema)
    }

    /// Puts the tables in order, ties references to them, and settles what follows from that; the name
    /// of a table that does not exist, if one is referred to.
    fn tie(mut self) -> Result<Self, String> {
        self.tables.sort_by(|a, b| a.name.cmp(&b.name));
        if self.tables.iter().all(|table| !table.is_root) {
            self.tables.iter_mut().for_each(|table| table.is_root = true);
        }
        let targets: Vec<(String, bool)> =
            self.tables.iter().map(|table| (table.name.clone(), table.is_root)).collect();
        for column in self.tables.iter_mut().flat_map(|table| &mut table.columns) {
            for base in core::iter::once(&mut column.kind.key).chain(&mut column.kind.value) {
                let crate::types::Constraint::Row { table, index, strength } = &mut base.constraint
                else {
                    continue;
                };
                let Some(at) = targets.iter().position(|(name, _)| **name == **table) else {
                    return Err(table.to_string());
                };
                *index = at;
                match strength {
                    // The only reference to a row must not be lost by a restart.
                    Strength::Strong if !targets.get(at).is_some_and(|&(_, root)| root) => {
                        column.persistent = true;
                    }
                    Strength::Strong => {}
                    // When the row goes, the reference must be able to.
                    Strength::Weak => column.mutable = true,
                }
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
