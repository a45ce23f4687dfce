//! Conditions: which rows an operation or a monitor means (RFC 7047 §5.1, `<condition>`).

use super::find_column;
use crate::atom::{Atom, AtomKind, Names};
use crate::datum::Datum;
use crate::error::{Error, ErrorKind};
use crate::row::Row;
use crate::schema::{TableSchema, UUID_COLUMN};
use crate::types::UNLIMITED;
use crate::uuid::Uuid;
use alloc::format;
use alloc::vec::Vec;
use serde_json::Value;

/// How a cell is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Function {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    Includes,
    Excludes,
}

impl Function {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            ">=" => Self::GreaterOrEqual,
            ">" => Self::Greater,
            "includes" => Self::Includes,
            "excludes" => Self::Excludes,
            _ => return None,
        })
    }

    const fn is_ordering(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::GreaterOrEqual | Self::Greater)
    }
}

#[derive(Clone, PartialEq, Debug)]
enum Clause {
    Always(bool),
    Compare { column: usize, has_single: bool, function: Function, value: Datum },
}

/// Clauses that an operation wants all of, and a monitor any of.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Condition(Vec<Clause>);

impl Condition {
    /// Reads an array of clauses.
    pub(crate) fn from_json(
        table: &TableSchema,
        clauses: &[Value],
        mut names: Option<&mut Names<'_>>,
    ) -> Result<Self, Error> {
        let clauses =
            clauses.iter().map(|clause| Clause::from_json(table, clause, names.as_deref_mut()));
        clauses.collect::<Result<_, _>>().map(Self)
    }

    /// True when there are no clauses.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Clauses that a row is held against.
    pub(crate) const fn n_clauses(&self) -> usize {
        self.0.len()
    }

    /// Adds the clauses of another condition.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Every clause holds.
    pub(crate) fn matches_all(&self, row: &Row) -> bool {
        self.0.iter().all(|clause| clause.matches(row))
    }

    /// There is no clause, or one holds.
    pub(crate) fn matches_any(&self, row: &Row) -> bool {
        self.is_empty() || self.0.iter().any(|clause| clause.matches(row))
    }

    /// The only row that all clauses can hold for, when one of them says its `_uuid`.
    pub(crate) fn names_row(&self) -> Option<Uuid> {
        self.0.iter().find_map(|clause| match clause {
            Clause::Compare {
                column: UUID_COLUMN,
                function: Function::Equal | Function::Includes,
                value,
                ..
            } => match value.single() {
                Some(&Atom::Uuid(uuid)) => Some(uuid),
                _ => None,
            },
            _ => None,
        })
    }
}

impl Clause {
    fn from_json(
        table: &TableSchema,
        clause: &Value,
        names: Option<&mut Names<'_>>,
    ) -> Result<Self, Error> {
        let (name, function, value) = match clause {
            Value::Bool(value) => return Ok(Self::Always(*value)),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(name), Value::String(function), value] => (name, function, value),
                _ => return Err(Error::syntax(clause, "Parse error in condition.")),
            },
            _ => return Err(Error::syntax(clause, "Parse error in condition.")),
        };
        let (column, schema) = find_column(table, name).map_err(|error| error.at(clause))?;
        let name_of_function = function;
        let function = Function::from_name(function).ok_or_else(|| {
            Error::new(ErrorKind::UnknownFunction, format!("No function named {function}."))
                .at(clause)
        })?;
        let mut kind = schema.kind.clone();
        let has_single = kind.is_scalar() || kind.is_optional_scalar();
        let is_scalar = kind.is_scalar();
        match function {
            Function::Less
            | Function::LessOrEqual
            | Function::GreaterOrEqual
            | Function::Greater => {
                let is_number = matches!(kind.key.kind, AtomKind::Integer | AtomKind::Real);
                if !has_single || !is_number {
                    let details = format!(
                        "Type mismatch: \"{name_of_function}\" operator may not be applied to column \
                         {name} of type {}.",
                        kind.english()
                    );
                    return Err(Error::syntax(clause, details));
                }
                kind.min = 1;
            }
            Function::Equal | Function::NotEqual => {}
            Function::Excludes if !is_scalar => (kind.min, kind.max) = (0, UNLIMITED),
            Function::Includes if !is_scalar => kind.min = 0,
            Function::Excludes | Function::Includes => {}
        }
        let value = Datum::from_json(&kind, value, names)?;
        Ok(Self::Compare { column, has_single, function, value })
    }

    fn matches(&self, row: &Row) -> bool {
        let (column, has_single, function, value) = match self {
            Self::Always(holds) => return *holds,
            Self::Compare { column, has_single, function, value } => {
                (*column, *has_single, *function, value)
            }
        };
        let cell = row.cell(column);
        if has_single && let (Some(cell), Some(value)) = (cell.single(), value.single()) {
            let order = cell.cmp(value);
            return match function {
                Function::Less => order.is_lt(),
                Function::LessOrEqual => order.is_le(),
                Function::Equal | Function::Includes => order.is_eq(),
                Function::NotEqual | Function::Excludes => order.is_ne(),
                Function::GreaterOrEqual => order.is_ge(),
                Function::Greater => order.is_gt(),
            };
        }
        match function {
            Function::Equal => cell == value,
            Function::NotEqual => cell != value,
            Function::Includes => cell.includes(value),
            Function::Excludes => cell.excludes(value),
            // An empty cell has no order.
            ordering => !ordering.is_ordering(),
        }
    }
}
