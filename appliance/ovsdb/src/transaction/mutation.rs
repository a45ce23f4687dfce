//! Mutations: changes relative to what stands in a cell (RFC 7047 §5.1, `<mutation>`).

use super::find_column;
use crate::atom::{Atom, AtomKind, Names};
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::row::Row;
use crate::schema::TableSchema;
use crate::types::{BaseType, ColumnType, UNLIMITED};
use alloc::format;
use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mutator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Insert,
    Delete,
}

impl Mutator {
    const ALL: [Self; 7] = [
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::Remainder,
        Self::Insert,
        Self::Delete,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Subtract => "-=",
            Self::Multiply => "*=",
            Self::Divide => "/=",
            Self::Remainder => "%=",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// A change of one column.
#[derive(Debug)]
pub(super) struct Mutation<'a> {
    column: usize,
    kind: &'a ColumnType,
    mutator: Mutator,
    value: Datum,
}

impl<'a> Mutation<'a> {
    /// Reads `[column, mutator, value]`.
    pub(super) fn from_json(
        table: &'a TableSchema,
        json: &Value,
        names: &mut Names<'_>,
    ) -> Result<Self, Error> {
        let Some([Value::String(name), Value::String(mutator), value]) =
            json.as_array().map(alloc::vec::Vec::as_slice)
        else {
            return Err(Error::syntax(json, "Parse error in mutation."));
        };
        let (column, schema) = find_column(table, name).map_err(|error| error.at(json))?;
        if !schema.mutable {
            let details = format!("Cannot mutate immutable column {name} in table {}.", table.name);
            return Err(Error::constraint(details).at(json));
        }
        let Some(mutator) = Mutator::ALL.into_iter().find(|m| m.name() == mutator) else {
            let details = format!("No mutator named {mutator}.");
            return Err(Error::new(ErrorKind::UnknownMutator, details));
        };
        let kind = &schema.kind;
        let mut wanted = kind.clone();
        let fits = match mutator {
            Mutator::Insert | Mutator::Delete => kind.is_set() || kind.is_map(),
            arithmetic => match kind.key.kind {
                AtomKind::Integer => !kind.is_map(),
                AtomKind::Real => !kind.is_map() && arithmetic != Mutator::Remainder,
                _ => false,
            },
        };
        if !fits {
            let details = format!(
                "Type mismatch: \"{}\" operator may not be applied to column {name} of type {}.",
                mutator.name(),
                kind.english()
            );
            return Err(Error::syntax(json, details));
        }
        let value = match mutator {
            Mutator::Insert => {
                wanted.min = 0;
                Datum::from_json(&wanted, value, Some(names))?
            }
            Mutator::Delete => {
                (wanted.min, wanted.max) = (0, UNLIMITED);
                match Datum::from_json(&wanted, value, Some(names)) {
                    // From a map, keys alone will do.
                    Err(_) if kind.is_map() => {
                        wanted.value = None;
                        Datum::from_json(&wanted, value, Some(names))?
                    }
                    read => read?,
                }
            }
            _ => {
                let wanted =
                    ColumnType { key: BaseType::any(kind.key.kind), value: None, min: 1, max: 1 };
                Datum::from_json(&wanted, value, Some(names))?
            }
        };
        Ok(Self { column, kind, mutator, value })
    }

    /// Changes a row.
    pub(super) fn apply(&self, row: &mut Row) -> Result<(), Error> {
        let Some(cell) = row.cells.get_mut(self.column) else {
            return Ok(());
        };
        match self.mutator {
            Mutator::Insert => cell.insert(&self.value),
            Mutator::Delete => cell.delete(&self.value),
            arithmetic => return self.calculate(arithmetic, cell),
        }
        let n = u32::try_from(cell.len()).unwrap_or(UNLIMITED);
        if (self.kind.min..=self.kind.max).contains(&n) {
            return Ok(());
        }
        let details = format!("Attempted to store {n} elements in {}.", self.kind.english());
        Err(Error::constraint(details))
    }

    fn calculate(&self, mutator: Mutator, cell: &mut Datum) -> Result<(), Error> {
        let Some(operand) = self.value.single() else {
            return Ok(());
        };
        for atom in &mut cell.keys {
            *atom = calculate(mutator, atom, operand)?;
            self.kind.key.check(atom)?;
        }
        let n = cell.len();
        cell.normalize();
        if cell.len() == n {
            return Ok(());
        }
        let details = format!("Result of \"{}\" operation contains duplicates.", mutator.name());
        Err(Error::constraint(details))
    }
}

fn calculate(mutator: Mutator, left: &Atom, right: &Atom) -> Result<Atom, Error> {
    let out_of_range = || {
        let details = format!("Result of \"{}\" operation is out of range.", mutator.name());
        Error::new(ErrorKind::RangeError, details)
    };
    let by_zero = || Error::new(ErrorKind::DomainError, "Division by zero.");
    match (left, right) {
        (&Atom::Integer(a), &Atom::Integer(b)) => {
            let result = match mutator {
                Mutator::Add => a.checked_add(b),
                Mutator::Subtract => a.checked_sub(b),
                Mutator::Multiply => a.checked_mul(b),
                Mutator::Divide | Mutator::Remainder if b == 0 => return Err(by_zero()),
                Mutator::Divide => a.checked_div(b),
                Mutator::Remainder => a.checked_rem(b),
                Mutator::Insert | Mutator::Delete => Some(a),
            };
            result.map(Atom::Integer).ok_or_else(out_of_range)
        }
        (&Atom::Real(a), &Atom::Real(b)) => {
            let result = match mutator {
                Mutator::Add => a + b,
                Mutator::Subtract => a - b,
                Mutator::Multiply => a * b,
                Mutator::Divide if b == 0.0 => return Err(by_zero()),
                Mutator::Divide => a / b,
                Mutator::Remainder | Mutator::Insert | Mutator::Delete => a,
            };
            Atom::real(result).ok_or_else(out_of_range)
        }
        _ => Ok(left.clone()),
    }
}
