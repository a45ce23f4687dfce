//! The notation in which the built-in schemas are written, one column a line.
//!
//! ```text
//! database NAME VERSION
//! table NAME [root] [max=N] [index=COLUMN,…]…
//!   COLUMN: TYPE [-> TYPE] [COUNT] [| ephemeral] [| immutable]
//! ```
//! A type is the name of a kind of atom, alone or with what narrows it: `integer(0..255)` (either end
//! may be left out), `string{a,b}`, `ref TABLE` and `weak TABLE` for references. A count is `?` for at
//! most one, `*` for any number, or `1..`, `0..4096`; without one it is exactly one.

use super::{Column, Schema, TableSchema};
use crate::atom::{Atom, AtomKind};
use crate::types::{BaseType, ColumnType, Constraint, Strength, UNLIMITED};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The schema that a text of this crate describes.
pub(super) fn built_in(text: &str) -> Schema {
    // The texts are part of the program, and a test reads them.
    parse(text).unwrap_or_else(|| unreachable!("a built-in schema is broken"))
}

fn parse(text: &str) -> Option<Schema> {
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut words = lines.next()?.strip_prefix("database ")?.split(' ');
    let (name, version) = (words.next()?.to_string(), words.next()?.to_string());
    let mut tables: Vec<(&str, Vec<Column>)> = Vec::new();
    for line in lines {
        match line.strip_prefix("table ") {
            Some(heading) => tables.push((heading, Vec::new())),
            None => tables.last_mut()?.1.push(column(line.trim_start())?),
        }
    }
    let tables = tables.into_iter().map(|(heading, columns)| table(heading, columns));
    let tables = tables.collect::<Option<Vec<_>>>()?;
    Schema { name, version, cksum: "".to_string(), tables, sha1: None }.tie().ok()
}

fn table(heading: &str, columns: Vec<Column>) -> Option<TableSchema> {
    let mut words = heading.split(' ');
    let mut table = TableSchema::new(words.next()?, columns);
    for word in words {
        if word == "root" {
            table.is_root = true;
        } else if let Some(max) = word.strip_prefix("max=") {
            table.max_rows = max.parse().ok()?;
        } else {
            let names = word.strip_prefix("index=")?.split(',');
            let columns = names.map(|name| table.column(name)).collect::<Option<Vec<_>>>()?;
            table.indexes.push(columns);
        }
    }
    Some(table)
}

fn column(line: &str) -> Option<Column> {
    let (name, rest) = line.split_once(": ")?;
    let (kind, flags) = rest.split_once(" | ").unwrap_or((rest, ""));
    let flags: Vec<&str> = flags.split(" | ").filter(|flag| !flag.is_empty()).collect();
    let (mutable, persistent) = (!flags.contains(&"immutable"), !flags.contains(&"ephemeral"));
    if flags.len() != usize::from(!mutable) + usize::from(!persistent) {
        return None;
    }
    // A count is the last word, and no type ends like one.
    let (types, count) = match kind.rsplit_once(' ') {
        Some((types, count)) if count.starts_with(['?', '*', '0', '1']) => (types, count),
        _ => (kind, "1..1"),
    };
    let (min, max) = match count {
        "?" => (0, 1),
        "*" => (0, UNLIMITED),
        range => {
            let (min, max) = range.split_once("..")?;
            (min.parse().ok()?, if max.is_empty() { UNLIMITED } else { max.parse().ok()? })
        }
    };
    let (key, value) = match types.split_once(" -> ") {
        Some((key, value)) => (base(key)?, Some(base(value)?)),
        None => (base(types)?, None),
    };
    let kind = ColumnType { key, value, min, max };
    Some(Column { name: name.to_string(), kind, mutable, persistent })
}

fn base(text: &str) -> Option<BaseType> {
    let reference = |table: &str, strength| {
        let constraint = Constraint::Row { table: Arc::from(table), index: usize::MAX, strength };
        Some(BaseType { kind: AtomKind::Uuid, constraint })
    };
    if let Some(table) = text.strip_prefix("ref ") {
        return reference(table, Strength::Strong);
    }
    if let Some(table) = text.strip_prefix("weak ") {
        return reference(table, Strength::Weak);
    }
    if let Some((kind, range)) = text.split_once('(') {
        let (min, max) = range.strip_suffix(')')?.split_once("..")?;
        let end = |text: &str, open| if text.is_empty() { Some(open) } else { text.parse().ok() };
        let constraint = Constraint::Integers(end(min, i64::MIN)?, end(max, i64::MAX)?);
        return (kind == "integer").then_some(BaseType { kind: AtomKind::Integer, constraint });
    }
    if let Some((kind, values)) = text.split_once('{') {
        let mut values: Vec<Atom> = values.strip_suffix('}')?.split(',').map(Atom::from).collect();
        values.sort();
        let constraint = Constraint::Enum(values);
        return (kind == "string").then_some(BaseType { kind: AtomKind::String, constraint });
    }
    AtomKind::from_name(text).map(BaseType::any)
}
