//! Column types: what may stand in a cell (RFC 7047 §3.2, `<type>` and `<base-type>`).

use crate::atom::{Atom, AtomKind};
use crate::datum::Datum;
use crate::error::Error;
use crate::json::{Members, integer};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// No upper bound on the number of elements, or on a length.
pub const UNLIMITED: u32 = u32::MAX;

/// How a reference keeps its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strength {
    /// The row must exist, and lives as long as it is referred to.
    Strong,
    /// The reference goes when its row does.
    Weak,
}

/// What an atom must be beside its kind.
#[derive(Clone, PartialEq, Debug)]
pub enum Constraint {
    /// Anything.
    None,
    /// One of these, in order.
    Enum(Vec<Atom>),
    /// An integer in this range, both ends included.
    Integers(i64, i64),
    /// A real in this range, both ends included.
    Reals(f64, f64),
    /// A string of so many characters.
    Length(u32, u32),
    /// The UUID of a row.
    Row {
        /// The table that the row is in.
        table: Arc<str>,
        /// The same by its place in the schema.
        index: usize,
        /// How the row is kept.
        strength: Strength,
    },
}

/// The type of a key or value.
#[derive(Clone, PartialEq, Debug)]
pub struct BaseType {
    /// The kind of atom.
    pub kind: AtomKind,
    /// What else it must be.
    pub constraint: Constraint,
}

impl BaseType {
    /// Any atom of a kind.
    #[must_use]
    pub const fn any(kind: AtomKind) -> Self {
        Self { kind, constraint: Constraint::None }
    }

    /// The table that it refers to with this strength, by place in the schema.
    #[must_use]
    pub fn refers_to(&self, wanted: Strength) -> Option<usize> {
        match self.constraint {
            Constraint::Row { index, strength, .. } if strength == wanted => Some(index),
            _ => None,
        }
    }

    fn from_json(value: &Value) -> Result<Self, Error> {
        if let Value::String(_) = value {
            return Ok(Self::any(kind_from_json(value)?));
        }
        let mut members = Members::of(value, "ovsdb type")?;
        let kind = kind_from_json(members.required("type")?)?;
        let constraint = if let Some(values) = members.optional("enum") {
            let any = ColumnType { key: Self::any(kind), value: None, min: 1, max: UNLIMITED };
            Constraint::Enum(Datum::from_json(&any, values, None)?.keys)
        } else {
            constraint_from_json(kind, &mut members)?
        };
        members.finish()?;
        Ok(Self { kind, constraint })
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| {
            object.insert(name.to_string(), value);
        };
        match &self.constraint {
            Constraint::None => return self.kind.name().into(),
            Constraint::Enum(values) => {
                put("enum", Datum { keys: values.clone(), values: Vec::new() }.set_to_json());
            }
            Constraint::Integers(min, max) => {
                if *min != i64::MIN {
                    put("minInteger", (*min).into());
                }
                if *max != i64::MAX {
                    put("maxInteger", (*max).into());
                }
            }
            Constraint::Reals(min, max) => {
                if *min != f64::MIN {
                    put("minReal", Atom::Real(*min).to_json());
                }
                if *max != f64::MAX {
                    put("maxReal", Atom::Real(*max).to_json());
                }
            }
            Constraint::Length(min, max) => {
                if *min != 0 {
                    put("minLength", (*min).into());
                }
                if *max != UNLIMITED {
                    put("maxLength", (*max).into());
                }
            }
            Constraint::Row { table, strength, .. } => {
                put("refTable", Value::from(&**table));
                if *strength == Strength::Weak {
                    put("refType", "weak".into());
                }
            }
        }
        put("type", self.kind.name().into());
        Value::Object(object)
    }

    /// Complains of an atom that the constraint forbids. References are looked at when a transaction
    /// commits, not here.
    pub fn check(&self, atom: &Atom) -> Result<(), Error> {
        match (&self.constraint, atom) {
            (Constraint::Enum(allowed), _) if !allowed.contains(atom) => {
                let allowed = allowed.iter().map(Atom::to_string).collect::<Vec<_>>().join(", ");
                Err(Error::constraint(format!(
                    "{atom} is not one of the allowed values ({allowed})"
                )))
            }
            (&Constraint::Integers(min, max), &Atom::Integer(value)) => {
                let allowed = (min <= value && value <= max, min > i64::MIN, max < i64::MAX);
                in_range(allowed, value, min, max)
            }
            (&Constraint::Reals(min, max), &Atom::Real(value)) => {
                let allowed = (min <= value && value <= max, min > f64::MIN, max < f64::MAX);
                in_range(allowed, value, min, max)
            }
            (&Constraint::Length(min, max), Atom::String(text)) => {
                let length = text.chars().count();
                let bounded = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
                if length < bounded(min) {
                    return Err(Error::constraint(format!(
                        "{atom} length {length} is less than minimum allowed length {min}"
                    )));
                }
                if max != UNLIMITED && length > bounded(max) {
                    return Err(Error::constraint(format!(
                        "{atom} length {length} is greater than maximum allowed length {max}"
                    )));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// `allowed`: whether the value is, and whether there is a bound below and above.
fn in_range<T: core::fmt::Display>(
    allowed: (bool, bool, bool),
    value: T,
    min: T,
    max: T,
) -> Result<(), Error> {
    Err(Error::constraint(match allowed {
        (true, ..) => return Ok(()),
        (_, true, true) => format!("{value} is not in the valid range {min} to {max} (inclusive)"),
        (_, true, false) => format!("{value} is less than minimum allowed value {min}"),
        _ => format!("{value} is greater than maximum allowed value {max}"),
    }))
}

fn kind_from_json(value: &Value) -> Result<AtomKind, Error> {
    let kind = value.as_str().and_then(AtomKind::from_name);
    kind.ok_or_else(|| Error::syntax(value, "atomic type expected"))
}

fn constraint_from_json(kind: AtomKind, members: &mut Members<'_>) -> Result<Constraint, Error> {
    let value = members.value();
    let exceeds = || Error::syntax(value, "minimum exceeds maximum");
    let mut whole = |name: &str| match members.optional(name) {
        None => Ok(None),
        Some(bound) => match integer(bound) {
            Some(bound) => Ok(Some(bound)),
            None => Err(Error::syntax(bound, format!("{name} must be an integer"))),
        },
    };
    match kind {
        AtomKind::Integer => {
            let (min, max) = (whole("minInteger")?, whole("maxInteger")?);
            match (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX)) {
                (i64::MIN, i64::MAX) => Ok(Constraint::None),
                (min, max) if min > max => Err(exceeds()),
                (min, max) => Ok(Constraint::Integers(min, max)),
            }
        }
        AtomKind::Real => {
            let mut real = |name: &str| match members.optional(name) {
                None => Ok(None),
                Some(bound) => match bound.as_f64() {
                    Some(bound) => Ok(Some(bound)),
                    None => Err(Error::syntax(bound, format!("{name} must be a number"))),
                },
            };
            match (real("minReal")?, real("maxReal")?) {
                (None, None) => Ok(Constraint::None),
                (min, max) => match (min.unwrap_or(f64::MIN), max.unwrap_or(f64::MAX)) {
                    (min, max) if min > max => Err(exceeds()),
                    (min, max) => Ok(Constraint::Reals(min, max)),
                },
            }
        }
        AtomKind::Boolean => Ok(Constraint::None),
        AtomKind::String => {
            let (min, max) = (whole("minLength")?, whole("maxLength")?);
            let length = |bound: Option<i64>, default| match bound.map(u32::try_from) {
                None => Ok(default),
                Some(Ok(bound)) => Ok(bound),
                Some(Err(_)) => Err(Error::syntax(value, "length out of range")),
            };
            match (length(min, 0)?, length(max, UNLIMITED)?) {
                (0, UNLIMITED) => Ok(Constraint::None),
                (min, max) if min > max => Err(exceeds()),
                (min, max) => Ok(Constraint::Length(min, max)),
            }
        }
        AtomKind::Uuid => {
            let Some(table) = members.optional("refTable") else {
                return Ok(Constraint::None);
            };
            let table =
                table.as_str().ok_or_else(|| members.wrong("refTable", "must be a table"))?;
            let strength = match members.optional("refType").map(Value::as_str) {
                None | Some(Some("strong")) => Strength::Strong,
                Some(Some("weak")) => Strength::Weak,
                Some(_) => return Err(members.wrong("refType", "must be \"strong\" or \"weak\"")),
            };
            // The schema puts in the index when it knows all its tables.
            Ok(Constraint::Row { table: Arc::from(table), index: usize::MAX, strength })
        }
    }
}

/// The type of a column: a scalar, a set, or with `value` a map.
#[derive(Clone, PartialEq, Debug)]
pub struct ColumnType {
    /// Of elements, or of keys.
    pub key: BaseType,
    /// Of values, in a map.
    pub value: Option<BaseType>,
    /// Elements at least: 0 or 1.
    pub min: u32,
    /// Elements at most, or [`UNLIMITED`].
    pub max: u32,
}

impl ColumnType {
    /// Exactly one atom of a kind.
    #[must_use]
    pub const fn scalar(kind: AtomKind) -> Self {
        Self { key: BaseType::any(kind), value: None, min: 1, max: 1 }
    }

    /// Exactly one element that is not a pair.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        self.min == 1 && self.max == 1 && self.value.is_none()
    }

    /// At most one element that is not a pair.
    #[must_use]
    pub fn is_optional_scalar(&self) -> bool {
        self.min == 0 && self.max == 1 && self.value.is_none()
    }

    /// Neither a scalar nor a map.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.value.is_none() && (self.min != 1 || self.max != 1)
    }

    /// Pairs.
    #[must_use]
    pub fn is_map(&self) -> bool {
        self.value.is_some()
    }

    /// True when some part refers to rows with this strength.
    #[must_use]
    pub fn has_references(&self, strength: Strength) -> bool {
        let refers = |base: &BaseType| base.refers_to(strength).is_some();
        refers(&self.key) || self.value.as_ref().is_some_and(refers)
    }

    /// Reads a `<type>`.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        if let Value::String(_) = value {
            return Ok(Self { key: BaseType::from_json(value)?, value: None, min: 1, max: 1 });
        }
        let mut members = Members::of(value, "ovsdb type")?;
        let key = BaseType::from_json(members.required("key")?)?;
        let pair = members.optional("value").map(BaseType::from_json).transpose()?;
        let count = |n: Option<&Value>| match n.map(|n| integer(n).map(u32::try_from)) {
            None => Ok(1),
            Some(Some(Ok(n))) if n < UNLIMITED => Ok(n),
            Some(_) => Err(Error::syntax(value, "bad min or max value")),
        };
        let min = count(members.optional("min"))?;
        let max = match members.optional("max") {
            Some(Value::String(text)) if text == "unlimited" => UNLIMITED,
            max => count(max)?,
        };
        members.finish()?;
        if min > 1 || max == 0 {
            return Err(Error::syntax(value, "ovsdb type fails constraint checks"));
        }
        Ok(Self { key, value: pair, min, max })
    }

    /// As it stands in a schema.
    #[must_use]
    pub fn to_json(&self) -> Value {
        if self.is_scalar() && self.key.constraint == Constraint::None {
            return self.key.to_json();
        }
        let mut object = Map::new();
        object.insert("key".to_string(), self.key.to_json());
        if let Some(value) = &self.value {
            object.insert("value".to_string(), value.to_json());
        }
        if self.min != 1 {
            object.insert("min".to_string(), self.min.into());
        }
        match self.max {
            1 => {}
            UNLIMITED => {
                object.insert("max".to_string(), "unlimited".into());
            }
            max => {
                object.insert("max".to_string(), max.into());
            }
        }
        Value::Object(object)
    }

    /// In words, for error texts.
    #[must_use]
    pub fn english(&self) -> String {
        let key = self.key.kind.name();
        if self.is_scalar() {
            return key.to_string();
        }
        let count = match (self.min, self.max) {
            (0, UNLIMITED) => "of".to_string(),
            (min, UNLIMITED) => format!("of {min} or more"),
            (0, max) => format!("of up to {max}"),
            (min, max) => format!("of {min} to {max}"),
        };
        match &self.value {
            None => format!("set {count} {key}s"),
            Some(value) => format!("map {count} ({key}, {}) pairs", value.kind.name()),
        }
    }
}
