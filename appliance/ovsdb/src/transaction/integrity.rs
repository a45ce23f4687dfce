//! What follows from the changes of a transaction, and whether they may be: the rules, row by row. Their
//! order is [`super::settle`]'s.
//!
//! # Cost
//! By the rows and references that changed. Counts of strong references stand beside the rows, weak
//! ones can be found from the row that they refer to ([`crate::database`]).

use super::{Change, Transaction, differ};
use crate::atom::Atom;
use crate::database::{index_key, references};
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::row::Row;
use crate::types::{BaseType, Strength, UNLIMITED};
use crate::uuid::Uuid;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Transaction<'_> {
    /// Every row that is changed, by table.
    pub(super) fn touched(&self) -> Vec<(usize, Uuid)> {
        let tables = self.changes.iter().enumerate();
        tables.flat_map(|(table, changes)| changes.keys().map(move |&uuid| (table, uuid))).collect()
    }

    /// Forgets a change that is none.
    pub(super) fn leave_out_unchanged(&mut self, (table, uuid): (usize, Uuid)) {
        if let Some(changes) = self.changes.get_mut(table)
            && changes.get(&uuid).is_some_and(|change| !change.is_real())
        {
            changes.remove(&uuid);
        }
    }

    fn change(&self, table: usize, uuid: Uuid) -> Option<&Change> {
        self.changes.get(table)?.get(&uuid)
    }

    /// The strong references of a row to other rows, with the column that holds each.
    fn strong_references(&self, table: usize, row: &Row) -> Vec<(usize, usize, Uuid)> {
        let columns =
            self.database.schema().tables.get(table).into_iter().flat_map(|t| t.named_columns());
        let strong = columns.flat_map(|(place, column)| {
            references(&column.kind, row.cell(place), Strength::Strong)
                .map(move |(target_table, target)| (place, target_table, target))
        });
        // A row does not keep itself.
        strong.filter(|&(_, to, target)| (to, target) != (table, row.uuid())).collect()
    }

    /// Counts the strong references of a row as it is now.
    pub(super) fn count_new(&mut self, (table, uuid): (usize, Uuid)) -> Result<(), Error> {
        let Some(new) = self.change(table, uuid).and_then(|change| change.new.clone()) else {
            return Ok(());
        };
        for (column, target_table, target) in self.strong_references(table, &new) {
            match self.touch(target_table, target) {
                Some(Change { old: None, new: None, .. }) | None => {
                    return Err(self.dangling((table, uuid), column, (target_table, target)));
                }
                Some(change) => change.references += 1,
            }
        }
        Ok(())
    }

    /// Takes off those that it had.
    pub(super) fn count_old(&mut self, (table, uuid): (usize, Uuid)) {
        let Some(old) = self.change(table, uuid).and_then(|change| change.old.clone()) else {
            return;
        };
        for (_, target_table, target) in self.strong_references(table, &old) {
            if let Some(change) = self.touch(target_table, target) {
                change.references = change.references.saturating_sub(1);
            }
        }
    }

    /// A row that is gone has no references to it.
    pub(super) fn check_gone(&self, (table, uuid): (usize, Uuid)) -> Result<(), Error> {
        let Some(change) = self.change(table, uuid) else { return Ok(()) };
        if change.new.is_none() && change.references > 0 {
            let details = format!(
                "cannot delete {} row {uuid} because of {} remaining reference(s)",
                self.table_name(table),
                change.references
            );
            return Err(Error::new(ErrorKind::ReferentialIntegrityViolation, details));
        }
        Ok(())
    }

    fn dangling(&self, from: (usize, Uuid), column: usize, to: (usize, Uuid)) -> Error {
        let schema = self.database.schema().tables.get(from.0);
        let column = schema.and_then(|schema| schema.columns.get(column));
        let details = format!(
            "Table {} column {} row {} references nonexistent row {} in table {}.",
            self.table_name(from.0),
            column.map_or("", |column| &column.name),
            from.1,
            to.1,
            self.table_name(to.0)
        );
        Error::new(ErrorKind::ReferentialIntegrityViolation, details)
    }

    fn table_name(&self, table: usize) -> &str {
        self.database.schema().tables.get(table).map_or("", |table| &table.name)
    }

    fn is_garbage(&self, table: usize, uuid: Uuid) -> bool {
        let is_root = self.database.schema().tables.get(table).is_none_or(|table| table.is_root);
        let change = self.change(table, uuid);
        !is_root && change.is_some_and(|change| change.new.is_some() && change.references == 0)
    }

    /// Deletes a row outside the root set that nobody refers to; the rows that it referred to are
    /// suspects then.
    pub(super) fn collect(
        &mut self,
        (table, uuid): (usize, Uuid),
        suspects: &mut Vec<(usize, Uuid)>,
    ) {
        if !self.is_garbage(table, uuid) {
            return;
        }
        let Some(row) = self.touch(table, uuid).and_then(|change| change.new.take()) else {
            return;
        };
        for (_, target_table, target) in self.strong_references(table, &row) {
            if let Some(change) = self.touch(target_table, target) {
                change.references = change.references.saturating_sub(1);
                suspects.push((target_table, target));
            }
        }
    }

    /// Tables have no more rows than they may.
    pub(super) fn check_sizes(&self) -> Result<(), Error> {
        for (table, changes) in self.changes.iter().enumerate() {
            let Some(schema) = self.database.schema().tables.get(table) else { continue };
            let came =
                changes.values().filter(|change| change.old.is_none() && change.new.is_some());
            let went =
                changes.values().filter(|change| change.old.is_some() && change.new.is_none());
            let n_rows = self.database.n_rows(table) + came.count() - went.count();
            let fits = u32::try_from(n_rows).is_ok_and(|n_rows| n_rows <= schema.max_rows);
            if schema.max_rows != UNLIMITED && !fits && !changes.is_empty() {
                return Err(Error::constraint(format!(
                    "transaction causes \"{}\" table to contain {n_rows} rows, greater than the \
                     schema-defined limit of {} row(s)",
                    schema.name, schema.max_rows
                )));
            }
        }
        Ok(())
    }

    /// Rows that refer weakly to one that goes are looked at too.
    pub(super) fn touch_sources(&mut self, (table, uuid): (usize, Uuid)) {
        let Some(change) = self.change(table, uuid) else { return };
        if change.old.is_some() && change.new.is_none() {
            let sources = self.database.tables.get(table).and_then(|table| table.weak.get(&uuid));
            for &(source_table, source) in sources.into_iter().flatten() {
                self.touch(source_table, source);
            }
        }
    }

    /// Takes the weak references to rows that are gone out of a row.
    pub(super) fn drop_weak(&mut self, (table, uuid): (usize, Uuid)) -> Result<(), Error> {
        let Some(row) = self.change(table, uuid).and_then(|change| change.new.clone()) else {
            return Ok(());
        };
        let Some(schema) = self.database.schema().tables.get(table) else { return Ok(()) };
        for (place, column) in schema.named_columns() {
            if !column.kind.has_references(Strength::Weak) {
                continue;
            }
            let cell = row.cell(place);
            let kept = self.without_dangling(cell, &column.kind.key, column.kind.value.as_ref());
            let (before, after) = (cell.len(), kept.len());
            if before == after {
                continue;
            }
            if column.kind.min > 0 && after == 0 {
                return Err(Error::constraint(format!(
                    "Deletion of {before} weak reference(s) to deleted (or never-existing) rows from \
                     column \"{}\" in \"{}\" row {uuid} caused this column to become empty, but \
                     constraints on this column disallow an empty column.",
                    column.name, schema.name
                )));
            }
            if let Some(row) = self.modify(table, uuid)
                && let Some(cell) = row.cells.get_mut(place)
            {
                *cell = kept;
            }
        }
        Ok(())
    }

    fn without_dangling(&self, cell: &Datum, key: &BaseType, value: Option<&BaseType>) -> Datum {
        let stands = |base: &BaseType, atom: &Atom| match (base.refers_to(Strength::Weak), atom) {
            (Some(table), &Atom::Uuid(uuid)) => self.row(table, uuid).is_some(),
            _ => true,
        };
        let mut kept = Datum::empty();
        for (k, atom) in cell.keys.iter().enumerate() {
            let of_pair = cell.values.get(k);
            let pair_stands = of_pair.zip(value).is_none_or(|(atom, base)| stands(base, atom));
            if stands(key, atom) && pair_stands {
                kept.keys.push(atom.clone());
                kept.values.extend(of_pair.cloned());
            }
        }
        kept
    }

    /// No other row has the values of this one in the columns of an index. `mine` are the values of
    /// changed rows so far.
    pub(super) fn check_indexes(
        &self,
        (table, uuid): (usize, Uuid),
        mine: &mut BTreeMap<(usize, usize, Vec<Datum>), Uuid>,
    ) -> Result<(), Error> {
        let Some(schema) = self.database.schema().tables.get(table) else { return Ok(()) };
        let Some(stored) = self.database.tables.get(table) else { return Ok(()) };
        let Some(changes) = self.changes.get(table) else { return Ok(()) };
        let Some(row) = self.change(table, uuid).and_then(|change| change.new.as_ref()) else {
            return Ok(());
        };
        for (k, (columns, index)) in schema.indexes.iter().zip(&stored.indexes).enumerate() {
            let key = index_key(row, columns);
            let theirs = index.get(&key).filter(|other| !changes.contains_key(other)).copied();
            let key = (table, k, key);
            if let Some(other) = mine.get(&key).copied().or(theirs) {
                return Err(self.duplicate(table, columns, &key.2, [other, uuid]));
            }
            mine.insert(key, uuid);
        }
        Ok(())
    }

    fn duplicate(&self, table: usize, columns: &[usize], key: &[Datum], rows: [Uuid; 2]) -> Error {
        let schema = self.database.schema().tables.get(table);
        let name = |&column: &usize| {
            let column = schema.and_then(|schema| schema.columns.get(column));
            format!("\"{}\"", column.map_or("", |column| &column.name))
        };
        let names = columns.iter().map(name).collect::<Vec<_>>();
        let values = key.iter().flat_map(|datum| &datum.keys).map(|atom| format!("{atom}"));
        let values = values.collect::<Vec<_>>().join(", ");
        let [first, second] = rows.map(|uuid| self.origin(table, uuid, columns));
        let plural = if columns.len() > 1 { "s" } else { "" };
        Error::constraint(format!(
            "Transaction causes multiple rows in \"{}\" table to have identical values ({values}) for \
             index on column{plural} {}.  First row, {first}.  Second row, {second}.",
            self.table_name(table),
            names.join(" and "),
        ))
    }

    /// What a transaction did to a row, in words.
    fn origin(&self, table: usize, uuid: Uuid, columns: &[usize]) -> String {
        let what = match self.change(table, uuid) {
            None => {
                "existed in the database before this transaction and was not modified by the transaction"
            }
            Some(Change { old: None, .. }) => "was inserted by this transaction",
            Some(Change { old: Some(old), new, .. }) => {
                let same = |&column: &usize| {
                    new.as_ref().is_some_and(|new| new.cell(column) == old.cell(column))
                };
                if columns.iter().all(same) {
                    "existed in the database before this transaction, which modified some of the row's \
                     columns but not any columns in this index"
                } else {
                    "had other index values before the transaction"
                }
            }
        };
        format!("with UUID {uuid}, {what}")
    }

    /// Memory that a row takes now, and that it took, in bytes.
    pub(super) fn weigh(&self, (table, uuid): (usize, Uuid)) -> [usize; 2] {
        let weigh = |row: Option<&Arc<Row>>| row.map_or(0, |row| row.weight());
        self.change(table, uuid)
            .map_or([0; 2], |change| [&change.new, &change.old].map(|row| weigh(row.as_ref())))
    }

    pub(super) fn check_weight(&self, [more, less]: [usize; 2], most: usize) -> Result<(), Error> {
        if more <= less || self.database.weight() + (more - less) <= most {
            return Ok(());
        }
        let details = format!("the database would take more than {most} bytes");
        Err(Error::new(ErrorKind::ResourcesExhausted, details))
    }
}

impl Change {
    /// True when the row comes, goes, or is another.
    pub(super) fn is_real(&self) -> bool {
        match (&self.old, &self.new) {
            (None, None) => false,
            (Some(old), Some(new)) => !Arc::ptr_eq(old, new) && differ(old, new),
            _ => true,
        }
    }
}
