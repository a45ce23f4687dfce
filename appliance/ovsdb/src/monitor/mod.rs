//! Monitors: a client is told what changes in the rows and columns that it asked for (RFC 7047 §4.1.5,
//! ovsdb-server.7 §4.1.12–16).
//!
//! # What
//! A [`Monitor`] belongs to one session. Each commit is merged into what it still has to tell: per row
//! the version that the client knows and the newest. When the client can take it, the difference is
//! written as one notification. A client that reads slowly thereby gets fewer and larger updates, not
//! a longer queue.
//!
//! # Cost
//! By the rows of a commit for each monitor of their table; old versions are shared with the history.

mod request;
mod update;

pub(crate) use request::parse;

use crate::budget::Breath;
use crate::database::Database;
use crate::history::{Merged, merge};
use crate::row::{Row, RowChange};
use crate::transaction::Condition;
use crate::uuid::Uuid;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use serde_json::{Value, json};
use update::{Moment, TableUpdates};

/// Which request made a monitor: they differ in what is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    /// `monitor`, `update`.
    One,
    /// `monitor_cond`, `update2`.
    Two,
    /// `monitor_cond_since`, `update3`.
    Three,
}

/// Kinds of changes, as bits: what `<monitor-select>` chooses from.
pub(crate) mod select {
    pub(crate) const INITIAL: u8 = 1;
    pub(crate) const INSERT: u8 = 2;
    pub(crate) const DELETE: u8 = 4;
    pub(crate) const MODIFY: u8 = 8;
    pub(crate) const ALL: u8 = 15;
}

/// What a monitor wants of a table.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Columns, and for which kinds of changes each.
    columns: Vec<(usize, u8)>,
    /// The kinds of changes that any column wants.
    select: u8,
    /// Rows, by any of the clauses.
    condition: Condition,
}

/// One monitor of a session.
#[derive(Debug)]
pub(crate) struct Monitor {
    /// The client's name for it.
    pub(crate) id: Value,
    /// The database, by its place in the server.
    pub(crate) database: usize,
    version: Version,
    tables: BTreeMap<usize, Wanted>,
    untold: Merged,
}

impl Monitor {
    pub(crate) fn new(
        id: Value,
        database: usize,
        version: Version,
        tables: BTreeMap<usize, Wanted>,
    ) -> Self {
        Self { id, database, version, tables, untold: Merged::new() }
    }

    /// The reply to the request that made it. `last` is the state that the client says it has.
    pub(crate) fn first_reply(
        &self,
        database: &Database,
        last: Option<Uuid>,
        breath: Breath,
    ) -> Value {
        let missed = last.filter(|&id| id != Uuid::ZERO).and_then(|id| database.history.since(id));
        let mut updates = TableUpdates::new(database, self.version, breath);
        match &missed {
            Some(missed) => self.tell(&mut updates, missed.values()),
            None => {
                for (&table, wanted) in &self.tables {
                    for row in database.rows(table) {
                        updates.add(table, wanted, row.uuid(), Moment::Initial(row));
                    }
                }
            }
        }
        match self.version {
            Version::One | Version::Two => updates.into_json(),
            Version::Three => {
                json!([missed.is_some(), database.last_commit().to_string(), updates.into_json()])
            }
        }
    }

    fn tell<'c>(
        &self,
        updates: &mut TableUpdates<'_>,
        changes: impl Iterator<Item = &'c RowChange>,
    ) {
        for change in changes {
            if let Some(wanted) = self.tables.get(&change.table) {
                let (old, new) = (change.old.as_deref(), change.new.as_deref());
                let conditions = (wanted.matches(old), wanted.matches(new));
                let moment = Moment::Change { old, new, conditions };
                updates.add(change.table, wanted, change.uuid, moment);
            }
        }
    }

    /// Takes note of a commit of its database.
    pub(crate) fn committed(&mut self, changes: &[RowChange], mut breath: Breath) {
        for change in changes {
            breath.row();
            if self.tables.get(&change.table).is_some_and(|wanted| wanted.cares(change)) {
                merge(&mut self.untold, core::slice::from_ref(change));
            }
        }
    }

    /// The notification of what was not told so far; `None` when there is nothing to tell.
    pub(crate) fn take_update(&mut self, database: &Database, breath: Breath) -> Option<Value> {
        if self.untold.is_empty() {
            return None;
        }
        let untold = core::mem::take(&mut self.untold);
        let mut updates = TableUpdates::new(database, self.version, breath);
        self.tell(&mut updates, untold.values());
        self.notification(database, updates)
    }

    /// Changes conditions and the name, after everything was told; the notification of the rows that
    /// come into sight or leave it (`monitor_cond_change`).
    pub(crate) fn change_conditions(
        &mut self,
        database: &Database,
        id: Value,
        conditions: BTreeMap<usize, Condition>,
        breath: Breath,
    ) -> Option<Value> {
        let mut updates = TableUpdates::new(database, self.version, breath);
        for (table, condition) in conditions {
            let Some(wanted) = self.tables.get_mut(&table) else { continue };
            let old = core::mem::replace(&mut wanted.condition, condition);
            for row in database.rows(table) {
                let conditions = (old.matches_any(row), wanted.condition.matches_any(row));
                let row: &Row = row;
                let moment = Moment::Change { old: Some(row), new: Some(row), conditions };
                updates.add(table, wanted, row.uuid(), moment);
            }
        }
        self.id = id;
        self.notification(database, updates)
    }

    /// True when the monitor may have conditions.
    pub(crate) fn is_conditional(&self) -> bool {
        self.version != Version::One
    }

    /// True when it looks at the table.
    pub(crate) fn watches(&self, table: usize) -> bool {
        self.tables.contains_key(&table)
    }

    fn notification(&self, database: &Database, updates: TableUpdates<'_>) -> Option<Value> {
        if updates.is_empty() {
            return None;
        }
        let (method, params) = match self.version {
            Version::One => ("update", json!([self.id, updates.into_json()])),
            Version::Two => ("update2", json!([self.id, updates.into_json()])),
            Version::Three => {
                let last = database.last_commit().to_string();
                ("update3", json!([self.id, last, updates.into_json()]))
            }
        };
        Some(json!({"method": method, "params": params, "id": null}))
    }
}

impl Wanted {
    fn matches(&self, row: Option<&Row>) -> bool {
        row.is_some_and(|row| self.condition.matches_any(row))
    }

    /// False for a change of columns that the monitor does not look at.
    fn cares(&self, change: &RowChange) -> bool {
        let (Some(old), Some(new)) = (&change.old, &change.new) else {
            return true;
        };
        !self.condition.is_empty()
            || self.columns.iter().any(|&(column, _)| old.cell(column) != new.cell(column))
    }
}
