//! Cells: a set of atoms, or a map, sorted; a scalar is a set of one (RFC 7047 §5.1, `<value>`).
//!
//! # Why one form for all
//! Everything that OVSDB does with values (compare, include, insert, delete, difference) is an
//! operation on sorted sequences, so scalars, optional values, sets and maps share it. Keys stand in
//! one vector and, in a map, values at the same places in another.
//!
//! # Cost
//! Union, difference and inclusion are merges, linear in the two sizes.

use crate::atom::{Atom, Names};
use crate::error::{Error, ErrorKind};
use crate::types::{ColumnType, UNLIMITED};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;
use serde_json::{Value, json};

/// The contents of a cell.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Datum {
    /// Elements or keys, ascending, all different.
    pub keys: Vec<Atom>,
    /// In a map the values, by the place of their keys; in a set nothing.
    pub values: Vec<Atom>,
}

/// How strictly a value is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// As a client's request: everything counts.
    All,
    /// As a difference in a log record: neither the number of elements nor constraints count.
    Difference,
}

/// Sorts by key; once in the image, not for each kind of iterator.
#[inline(never)]
fn sort_pairs(pairs: &mut [(Atom, Atom)]) {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
}

impl Datum {
    /// Nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self { keys: Vec::new(), values: Vec::new() }
    }

    /// One element.
    pub fn of(atom: impl Into<Atom>) -> Self {
        Self { keys: vec![atom.into()], values: Vec::new() }
    }

    /// A set of these.
    pub fn set(atoms: impl IntoIterator<Item = Atom>) -> Self {
        let mut set = Self { keys: atoms.into_iter().collect(), values: Vec::new() };
        set.normalize();
        set
    }

    /// A map of these; of equal keys the first stays.
    pub fn map(pairs: impl IntoIterator<Item = (Atom, Atom)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        sort_pairs(&mut pairs);
        pairs.dedup_by(|b, a| a.0 == b.0);
        let (keys, values) = pairs.into_iter().unzip();
        Self { keys, values }
    }

    /// What a column holds that an insert does not mention (RFC 7047 §5.2.1).
    #[must_use]
    pub fn default_of(of: &ColumnType) -> Self {
        if of.min == 0 {
            return Self::empty();
        }
        let values = of.value.iter().map(|value| value.kind.default_atom()).collect();
        Self { keys: vec![of.key.kind.default_atom()], values }
    }

    /// Elements or pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The only element, of a scalar or an optional value.
    #[must_use]
    pub fn single(&self) -> Option<&Atom> {
        match self.keys.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The value of a key of a map.
    #[must_use]
    pub fn get(&self, key: &Atom) -> Option<&Atom> {
        self.values.get(self.keys.binary_search(key).ok()?)
    }

    /// True when an element or key is there.
    #[must_use]
    pub fn contains(&self, key: &Atom) -> bool {
        self.keys.binary_search(key).is_ok()
    }

    /// The pairs of a map; of a set, nothing.
    pub fn pairs(&self) -> impl Iterator<Item = (&Atom, &Atom)> {
        self.keys.iter().zip(&self.values)
    }

    /// Reads a client's `<value>`.
    pub fn from_json(
        of: &ColumnType,
        value: &Value,
        names: Option<&mut Names<'_>>,
    ) -> Result<Self, Error> {
        Self::read(of, value, names, Strictness::All)
    }

    /// Reads the difference between two values of a column, as log records hold it.
    pub fn difference_from_json(of: &ColumnType, value: &Value) -> Result<Self, Error> {
        Self::read(of, value, None, Strictness::Difference)
    }

    fn read(
        of: &ColumnType,
        value: &Value,
        mut names: Option<&mut Names<'_>>,
        strictness: Strictness,
    ) -> Result<Self, Error> {
        let mut datum = Self::empty();
        let mut keep = |base: &crate::types::BaseType, json: &Value, into: &mut Vec<Atom>| {
            let atom = Atom::from_json(base.kind, json, names.as_deref_mut())?;
            if strictness == Strictness::All {
                base.check(&atom)?;
            }
            into.push(atom);
            Ok::<(), Error>(())
        };
        let tagged = |wanted: &str| match value.as_array().map(Vec::as_slice) {
            Some([Value::String(tag), Value::Array(elements)]) if tag == wanted => Some(elements),
            _ => None,
        };
        match &of.value {
            Some(pair) => {
                let Some(elements) = tagged("map") else {
                    return Err(Error::syntax(value, "expected [\"map\", <array>]"));
                };
                for element in elements {
                    let Some([key, item]) = element.as_array().map(Vec::as_slice) else {
                        return Err(Error::syntax(element, "expected 2-element array"));
                    };
                    keep(&of.key, key, &mut datum.keys)?;
                    keep(pair, item, &mut datum.values)?;
                }
            }
            None if is_tagged(value, "set") => {
                let Some(elements) = tagged("set") else {
                    return Err(Error::syntax(value, "expected [\"set\", <array>]"));
                };
                for element in elements {
                    keep(&of.key, element, &mut datum.keys)?;
                }
            }
            // A set of one may stand without its wrapping.
            None => keep(&of.key, value, &mut datum.keys)?,
        }
        let n = u32::try_from(datum.len()).unwrap_or(UNLIMITED);
        if strictness == Strictness::All && !(of.min..=of.max).contains(&n) {
            let class = if of.is_map() { "map" } else { "set" };
            let wanted = match (of.min, of.max) {
                (1, 1) => "exactly one member".into(),
                (min, max) => format!("{min} to {max} members"),
            };
            let details = format!("{class} must have {wanted} but {n} are present");
            return Err(Error::syntax(value, details));
        }
        datum.sort().map_err(|error| error.at(value))?;
        Ok(datum)
    }

    /// Puts keys in order; complains of equal ones.
    fn sort(&mut self) -> Result<(), Error> {
        if self.values.is_empty() {
            self.keys.sort();
        } else {
            let keys = core::mem::take(&mut self.keys);
            let values = core::mem::take(&mut self.values);
            let mut pairs: Vec<_> = keys.into_iter().zip(values).collect();
            sort_pairs(&mut pairs);
            (self.keys, self.values) = pairs.into_iter().unzip();
        }
        if self.keys.is_sorted_by(|a, b| a < b) {
            return Ok(());
        }
        let what = if self.values.is_empty() {
            "set contains duplicate"
        } else {
            "map contains duplicate key"
        };
        Err(Error::new(ErrorKind::OvsdbError, what))
    }

    /// The same after its elements were changed one by one: equal ones become one.
    pub(crate) fn normalize(&mut self) {
        self.keys.sort();
        self.keys.dedup();
    }

    /// As it stands in a message.
    #[must_use]
    pub fn to_json(&self, of: &ColumnType) -> Value {
        if of.is_map() {
            let pairs = self.pairs().map(|(key, value)| json!([key.to_json(), value.to_json()]));
            return json!(["map", pairs.collect::<Vec<_>>()]);
        }
        self.set_to_json()
    }

    /// As a set, or bare when it has one element.
    pub(crate) fn set_to_json(&self) -> Value {
        match self.keys.as_slice() {
            [one] => one.to_json(),
            many => json!(["set", many.iter().map(Atom::to_json).collect::<Vec<_>>()]),
        }
    }

    /// Complains of an element that the type forbids.
    pub fn check(&self, of: &ColumnType) -> Result<(), Error> {
        self.keys.iter().try_for_each(|key| of.key.check(key))?;
        match &of.value {
            Some(base) => self.values.iter().try_for_each(|value| base.check(value)),
            None => Ok(()),
        }
    }

    /// True when every element, or pair, of `other` is here.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        other.keys.iter().enumerate().all(|(k, key)| match self.keys.binary_search(key) {
            Ok(at) => self.values.get(at) == other.values.get(k),
            Err(_) => false,
        })
    }

    /// True when no element, or pair, of `other` is here.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        !other.keys.iter().enumerate().any(|(k, key)| match self.keys.binary_search(key) {
            Ok(at) => self.values.get(at) == other.values.get(k),
            Err(_) => false,
        })
    }

    /// Adds what is in `other` under keys that are not here.
    pub fn insert(&mut self, other: &Self) {
        *self = merge(self, other, |mine, theirs| mine.or(theirs));
    }

    /// Takes away what is in `other`; when that has no values, whatever stands under its keys.
    pub fn delete(&mut self, other: &Self) {
        let by_key = other.values.is_empty();
        *self = merge(self, other, |mine, theirs| match (mine, theirs) {
            (mine, None) => mine,
            (Some(mine), Some(theirs)) if !by_key && mine.1 != theirs.1 => Some(mine),
            _ => None,
        });
    }

    /// The difference from `old` to `new` as `update2` tells it (ovsdb-server.7 §4.1.14).
    /// Of a column that holds one element at most it is the new value.
    #[must_use]
    pub fn difference(old: &Self, new: &Self, of: &ColumnType) -> Self {
        if of.max == 1 {
            return new.clone();
        }
        merge(old, new, |old, new| match (old, new) {
            (Some(old), Some(new)) if old.1 == new.1 => None,
            (old, new) => new.or(old),
        })
    }

    /// Applies a difference that [`Datum::difference`] made.
    pub fn apply_difference(&mut self, difference: &Self, of: &ColumnType) {
        if of.max == 1 {
            *self = difference.clone();
            return;
        }
        *self = merge(self, difference, |mine, theirs| match (mine, theirs) {
            (Some(mine), Some(theirs)) if mine.1 == theirs.1 => None,
            (mine, theirs) => theirs.or(mine),
        });
    }

    /// Memory that it takes, in bytes, about.
    pub(crate) fn weight(&self) -> usize {
        let atoms = self.keys.iter().chain(&self.values);
        atoms.map(|atom| size_of::<Atom>() + atom.weight()).sum()
    }
}

/// True for `[tag, …]`.
fn is_tagged(value: &Value, tag: &str) -> bool {
    value.as_array().and_then(|array| array.first()).and_then(Value::as_str) == Some(tag)
}

type Entry<'a> = (&'a Atom, Option<&'a Atom>);

/// Walks two sorted sequences side by side; `choose` says what becomes of each key.
fn merge<'a>(
    a: &'a Datum,
    b: &'a Datum,
    choose: impl Fn(Option<Entry<'a>>, Option<Entry<'a>>) -> Option<Entry<'a>>,
) -> Datum {
    let entry = |of: &'a Datum, k: usize| of.keys.get(k).map(|key| (key, of.values.get(k)));
    let mut merged = Datum::empty();
    let (mut i, mut j) = (0, 0);
    loop {
        let (mine, theirs) = (entry(a, i), entry(b, j));
        let order = match (mine, theirs) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(mine), Some(theirs)) => mine.0.cmp(theirs.0),
        };
        let chosen = match order {
            Ordering::Less => choose(mine, None),
            Ordering::Greater => choose(None, theirs),
            Ordering::Equal => choose(mine, theirs),
        };
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
        if let Some((key, value)) = chosen {
            merged.keys.push(key.clone());
            merged.values.extend(value.cloned());
        }
    }
}
