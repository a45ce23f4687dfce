//! Atoms: the single values that sets and maps are made of (RFC 7047 §3.1, `<atom>`).

use crate::error::Error;
use crate::json::{integer, is_id};
use crate::uuid::{Uuid, Uuids};
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use serde_json::{Number, Value, json};

/// The five kinds of atoms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AtomKind {
    /// 64 bits, signed.
    Integer,
    /// A double.
    Real,
    /// True or false.
    Boolean,
    /// UTF-8 without NUL.
    String,
    /// A UUID.
    Uuid,
}

impl AtomKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Integer, Self::Real, Self::Boolean, Self::String, Self::Uuid];

    /// The name in a schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Uuid => "uuid",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The default value (RFC 7047 §5.2.1).
    #[must_use]
    pub fn default_atom(self) -> Atom {
        match self {
            Self::Integer => Atom::Integer(0),
            Self::Real => Atom::Real(0.0),
            Self::Boolean => Atom::Boolean(false),
            Self::String => Atom::String(Arc::from("")),
            Self::Uuid => Atom::Uuid(Uuid::ZERO),
        }
    }
}

/// A single value.
#[derive(Clone, Debug)]
pub enum Atom {
    /// An integer.
    Integer(i64),
    /// A finite real; never negative zero.
    Real(f64),
    /// A Boolean.
    Boolean(bool),
    /// A string.
    String(Arc<str>),
    /// A UUID.
    Uuid(Uuid),
}

/// Atoms of one kind are ordered by value; kinds never mix in one column.
impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Atom {}

impl From<i64> for Atom {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for Atom {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Atom {
    fn from(value: &str) -> Self {
        Self::String(Arc::from(value))
    }
}

impl From<Uuid> for Atom {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl Atom {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> AtomKind {
        match self {
            Self::Integer(_) => AtomKind::Integer,
            Self::Real(_) => AtomKind::Real,
            Self::Boolean(_) => AtomKind::Boolean,
            Self::String(_) => AtomKind::String,
            Self::Uuid(_) => AtomKind::Uuid,
        }
    }

    /// A real; `None` for what is not finite.
    #[must_use]
    pub fn real(value: f64) -> Option<Self> {
        // Adding zero makes the two zeros one.
        value.is_finite().then_some(Self::Real(value + 0.0))
    }

    /// Reads an atom; with `names`, a UUID may also be a `named-uuid`.
    pub fn from_json(
        kind: AtomKind,
        value: &Value,
        names: Option<&mut Names<'_>>,
    ) -> Result<Self, Error> {
        let atom = match (kind, value) {
            (AtomKind::Integer, _) => integer(value).map(Self::Integer),
            (AtomKind::Real, Value::Number(number)) => number.as_f64().and_then(Self::real),
            (AtomKind::Boolean, Value::Bool(value)) => Some(Self::Boolean(*value)),
            (AtomKind::String, Value::String(text)) => {
                if text.contains('\0') {
                    return Err(
                        Error::constraint("a string must not contain a null byte").at(value)
                    );
                }
                Some(Self::from(text.as_str()))
            }
            (AtomKind::Uuid, _) => return uuid_from_json(value, names).map(Self::Uuid),
            _ => None,
        };
        atom.ok_or_else(|| Error::syntax(value, alloc::format!("expected {}", kind.name())))
    }

    /// As it stands in a message.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Integer(value) => (*value).into(),
            Self::Real(value) => real_to_json(*value),
            Self::Boolean(value) => (*value).into(),
            Self::String(text) => Value::from(&**text),
            Self::Uuid(uuid) => json!(["uuid", uuid.to_string()]),
        }
    }

    /// Memory that it holds beyond itself, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            // The length, the counters, and what an allocator adds.
            Self::String(text) => text.len() + 32,
            _ => 0,
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value}"),
            Self::Boolean(value) => write!(f, "{value}"),
            // Words are written bare and other text quoted, as in Open vSwitch's messages.
            Self::String(text) if is_id(text) => f.write_str(text),
            Self::String(text) => write!(f, "{}", Value::from(&**text)),
            Self::Uuid(uuid) => write!(f, "{uuid}"),
        }
    }
}

/// Whole reals are written as integers, as Open vSwitch does.
fn real_to_json(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "below 2^53, and compared")]
        let whole = value as i64;
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        if whole as f64 == value {
            return whole.into();
        }
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn uuid_from_json(value: &Value, names: Option<&mut Names<'_>>) -> Result<Uuid, Error> {
    if let Some([Value::String(tag), Value::String(text)]) = value.as_array().map(Vec::as_slice) {
        if tag == "uuid" {
            return Uuid::parse(text).ok_or_else(|| {
                Error::syntax(value, alloc::format!("\"{text}\" is not a valid UUID"))
            });
        }
        if let (true, Some(names)) = (tag == "named-uuid", names) {
            if !is_id(text) {
                return Err(Error::syntax(value, "a named-uuid must be an identifier"));
            }
            return Ok(names.resolve(text));
        }
    }
    Err(Error::syntax(value, "expected [\"uuid\", <string>]"))
}

/// The names that a transaction gives to rows it inserts (`uuid-name`, RFC 7047 §5.2.1). A name may be
/// used before the insert that defines it.
#[derive(Debug)]
pub struct Names<'a> {
    uuids: &'a mut Uuids,
    known: KnownNames,
}

/// Names so far: the row of each, and whether an insert has defined it.
pub(crate) type KnownNames = BTreeMap<String, (Uuid, bool)>;

impl<'a> Names<'a> {
    /// Names of a transaction that goes on; new UUIDs come from `uuids`.
    pub(crate) fn with(uuids: &'a mut Uuids, known: KnownNames) -> Self {
        Self { uuids, known }
    }

    /// The names, for [`Self::with`].
    pub(crate) fn into_known(self) -> KnownNames {
        self.known
    }

    /// A new UUID without a name.
    pub fn fresh(&mut self) -> Uuid {
        self.uuids.fresh()
    }

    /// The UUID of a name, made at its first use.
    pub fn resolve(&mut self, name: &str) -> Uuid {
        if let Some(&(uuid, _)) = self.known.get(name) {
            return uuid;
        }
        let uuid = self.uuids.fresh();
        self.known.insert(name.to_string(), (uuid, false));
        uuid
    }

    /// The UUID for the insert that defines the name, `wanted` if given; `None` when another insert did.
    pub fn define(&mut self, name: &str, wanted: Option<Uuid>) -> Option<Uuid> {
        let known = self.resolve(name);
        let entry = self.known.get_mut(name)?;
        if entry.1 {
            return None;
        }
        *entry = (wanted.unwrap_or(known), true);
        Some(entry.0)
    }
}

use alloc::vec::Vec;
