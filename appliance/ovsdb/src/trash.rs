//! What is not needed any more, dropped in pieces: to free the tree of a large message takes as long as to
//! build it.

use crate::budget::Budget;
use crate::row::Row;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::{self, Vec};
use serde_json::{Value, map};

/// What dropping one value or row costs.
const PIECE: usize = 1;

/// Trees that are half dropped: what is left of an array or object at each depth.
#[derive(Debug)]
enum Half {
    Array(vec::IntoIter<Value>),
    Object(map::IntoIter),
    Rows(vec::IntoIter<Arc<Row>>),
}

/// What is to be dropped.
#[derive(Debug, Default)]
pub(crate) struct Trash(Vec<Half>);

impl Trash {
    /// Has a tree dropped.
    pub(crate) fn add(&mut self, value: Value) {
        match value {
            Value::Array(elements) => self.0.push(Half::Array(elements.into_iter())),
            Value::Object(members) => self.0.push(Half::Object(members.into_iter())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Has rows dropped.
    pub(crate) fn add_rows(&mut self, rows: Vec<Arc<Row>>) {
        self.0.push(Half::Rows(rows.into_iter()));
    }

    /// Drops as much as the budget allows; true when there was anything.
    pub(crate) fn sweep(&mut self, budget: &mut Budget) -> bool {
        let is_empty = self.0.is_empty();
        while !budget.is_spent()
            && let Some(half) = self.0.last_mut()
        {
            budget.spend(PIECE);
            let value = match half {
                Half::Array(elements) => elements.next(),
                Half::Object(members) => members.next().map(|(_, value): (String, Value)| value),
                Half::Rows(rows) => rows.next().map(|_| Value::Null),
            };
            match value {
                Some(value) => self.add(value),
                None => drop(self.0.pop()),
            }
        }
        !is_empty
    }
}
