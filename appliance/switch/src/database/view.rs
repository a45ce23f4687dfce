//! Rows as the reconciler reads them: by the names of tables and columns, whatever they hold.
//!
//! A column of another type, or one that there is not, reads as empty: what the schema promises is
//! checked when rows are written, and nothing here can fail.

use alloc::string::String;
use alloc::vec::Vec;
use ovsdb::{Atom, Database, Datum, Row, Uuid};

/// Tables by their names.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) database: &'a Database,
}

/// A row and what its columns are called.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    view: View<'a>,
    pub(super) table: usize,
    row: &'a Row,
}

impl<'a> View<'a> {
    /// The rows of a table, at most so many.
    pub(super) fn rows(self, table: &str, limit: usize) -> impl Iterator<Item = Record<'a>> {
        let at = self.database.schema().table(table);
        let rows = at.into_iter().flat_map(move |at| {
            self.database.rows(at).map(move |row| Record { view: self, table: at, row })
        });
        rows.take(limit)
    }

    /// The one row of the table that is the root of the configuration.
    pub(super) fn root(self) -> Option<Record<'a>> {
        self.rows("Open_vSwitch", 1).next()
    }
}

impl<'a> Record<'a> {
    pub(super) fn uuid(self) -> Uuid {
        self.row.uuid()
    }

    /// The place of a column.
    pub(super) fn column(self, name: &str) -> Option<usize> {
        self.view.database.schema().tables.get(self.table)?.column(name)
    }

    pub(super) fn cell(self, column: &str) -> &'a Datum {
        const EMPTY: &Datum = &Datum::empty();
        self.column(column).map_or(EMPTY, |place| self.row.cell(place))
    }

    /// A column of one string; of none, or an empty one, nothing.
    pub(super) fn string(self, column: &str) -> Option<&'a str> {
        as_str(self.cell(column).keys.first()?).filter(|text| !text.is_empty())
    }

    pub(super) fn strings(self, column: &str) -> impl Iterator<Item = &'a str> {
        self.cell(column).keys.iter().filter_map(as_str)
    }

    pub(super) fn integer(self, column: &str) -> Option<i64> {
        as_integer(self.cell(column).keys.first()?)
    }

    /// A column of one integer as a type that has less room; what does not fit is its largest value.
    pub(super) fn number<T: TryFrom<i64>>(self, column: &str, most: T) -> Option<T> {
        self.integer(column).map(|value| T::try_from(value).unwrap_or(most))
    }

    /// The integers of a column that are VLANs.
    pub(super) fn vlans(self, column: &str) -> Vec<u16> {
        let integers = self.cell(column).keys.iter().filter_map(as_integer);
        integers.filter_map(|vlan| u16::try_from(vlan).ok().filter(|vlan| *vlan < 4096)).collect()
    }

    pub(super) fn boolean(self, column: &str) -> bool {
        self.cell(column).keys.first() == Some(&Atom::Boolean(true))
    }

    /// The pairs of a column of strings by strings.
    pub(super) fn pairs(self, column: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.cell(column).pairs();
        pairs.filter_map(|(key, value)| Some((as_str(key)?, as_str(value)?)))
    }

    /// The value under a key of such a column.
    pub(super) fn pair(self, column: &str, key: &str) -> Option<&'a str> {
        self.cell(column).get(&Atom::from(key)).and_then(as_str)
    }

    pub(super) fn has_pair(self, column: &str, key: &str, value: &str) -> bool {
        self.pair(column, key) == Some(value)
    }

    /// The rows that a column refers to, at most so many.
    pub(super) fn refs(
        self,
        column: &str,
        table: &str,
        limit: usize,
    ) -> impl Iterator<Item = Record<'a>> {
        let at = self.view.database.schema().table(table);
        let atoms = self.cell(column).keys.iter().take(limit);
        atoms.filter_map(move |atom| self.view.at(at?, atom))
    }

    /// The numbered rows that a column refers to.
    pub(super) fn numbered_refs(
        self,
        column: &str,
        table: &str,
    ) -> impl Iterator<Item = (i64, Record<'a>)> {
        let at = self.view.database.schema().table(table);
        let pairs = self.cell(column).pairs();
        pairs.filter_map(move |(key, atom)| Some((as_integer(key)?, self.view.at(at?, atom)?)))
    }

    pub(super) fn name(self) -> String {
        self.string("name").unwrap_or_default().into()
    }

    /// The version of the schema.
    pub(super) fn schema_version(self) -> &'a str {
        &self.view.database.schema().version
    }

    pub(super) fn is_set(self, column: &str) -> bool {
        !self.cell(column).is_empty()
    }
}

impl<'a> View<'a> {
    fn at(self, table: usize, atom: &Atom) -> Option<Record<'a>> {
        let Atom::Uuid(uuid) = atom else { return None };
        Some(Record { view: self, table, row: self.database.row(table, *uuid)? })
    }
}

fn as_str(atom: &Atom) -> Option<&str> {
    match atom {
        Atom::String(text) => Some(text),
        _ => None,
    }
}

fn as_integer(atom: &Atom) -> Option<i64> {
    match atom {
        Atom::Integer(value) => Some(*value),
        _ => None,
    }
}
