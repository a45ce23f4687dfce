//! JSON from a stranger: where a message ends, and whether it is small enough to be looked at.
//!
//! # What
//! OVSDB's JSON-RPC has no framing: objects follow one another on the stream (RFC 7047 §4). The
//! [`Framer`] finds their ends by counting brackets outside strings, each byte once, and refuses what
//! is too long, too deep, or would take too much memory as a tree, before any of it is parsed
//! ([`crate::parse`]).
//!
//! # Cost
//! One pass over the bytes here, as they come, one in the parser. A tree costs some 32 bytes a value and some 650
//! an object, hence the budget in "values" in which an object counts as [`OBJECT_WEIGHT`].

use crate::error::Error;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde_json::{Map, Value};

/// An object in units of plain values, by the memory that its tree takes.
const OBJECT_WEIGHT: usize = 20;

/// What a message may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JsonLimits {
    /// Bytes of one message.
    pub max_bytes: usize,
    /// Brackets inside brackets.
    pub max_depth: usize,
    /// Values in one message; an object counts as 20.
    pub max_values: usize,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { max_bytes: 4 * 1024 * 1024, max_depth: 64, max_values: 600_000 }
    }
}

/// Why a stream cannot be read further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonError {
    /// A message of more than so many bytes.
    TooLong(usize),
    /// Deeper than so many brackets.
    TooDeep(usize),
    /// More than so many values.
    TooManyValues(usize),
    /// A message that does not begin with `{`.
    NotAnObject,
    /// Not JSON: line and column in the message.
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(n) => write!(f, "message longer than {n} bytes"),
            Self::TooDeep(n) => write!(f, "JSON nested deeper than {n}"),
            Self::TooManyValues(n) => write!(f, "message of more than {n} values"),
            Self::NotAnObject => write!(f, "message is not a JSON object"),
            Self::Malformed { line, column } => {
                write!(f, "malformed JSON at line {line}, column {column}")
            }
        }
    }
}

/// Cuts a stream of bytes into JSON objects.
#[derive(Debug)]
pub(crate) struct Framer {
    limits: JsonLimits,
    input: Vec<u8>,
    at: usize,
    depth: usize,
    values: usize,
    in_string: bool,
    escaped: bool,
}

impl Framer {
    /// A framer at the beginning of a stream.
    #[must_use]
    pub(crate) fn new(limits: JsonLimits) -> Self {
        let input = Vec::new();
        Self { limits, input, at: 0, depth: 0, values: 0, in_string: false, escaped: false }
    }

    /// Bytes held.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.input.len()
    }

    /// Takes more of the stream. The caller bounds what it hands over by [`Framer::len`].
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next whole message; `None` when it has not all come. Its end was found, no more: whether it
    /// is JSON is the parser's matter. After an error the stream is lost.
    pub(crate) fn next_message(&mut self) -> Result<Option<Vec<u8>>, JsonError> {
        if self.at == 0 {
            let space = self.input.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.input.drain(..space);
        }
        let Some(end) = self.find_end()? else {
            return Ok(None);
        };
        let rest = self.input.split_off(end);
        let message = core::mem::replace(&mut self.input, rest);
        (self.at, self.depth, self.values) = (0, 0, 0);
        Ok(Some(message))
    }

    fn find_end(&mut self) -> Result<Option<usize>, JsonError> {
        while let Some(&byte) = self.input.get(self.at) {
            if self.at >= self.limits.max_bytes {
                return Err(JsonError::TooLong(self.limits.max_bytes));
            }
            if self.at == 0 && byte != b'{' {
                return Err(JsonError::NotAnObject);
            }
            self.at += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.values += if byte == b'{' { OBJECT_WEIGHT } else { 1 };
                }
                b',' | b':' => self.values += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Ok(Some(self.at));
                    }
                }
                _ => {}
            }
            if self.depth > self.limits.max_depth {
                return Err(JsonError::TooDeep(self.limits.max_depth));
            }
            if self.values > self.limits.max_values {
                return Err(JsonError::TooManyValues(self.limits.max_values));
            }
        }
        Ok(None)
    }
}

/// True for an `<id>` of RFC 7047 §3.1: a letter or underscore, then those and digits.
#[must_use]
pub(crate) fn is_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Takes the members of an object one by one, and complains of those that are missing, of the wrong
/// kind, or left over: OVSDB's requests have no room for surprises.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    value: &'a Value,
    object: &'a Map<String, Value>,
    what: &'a str,
    taken: usize,
}

impl<'a> Members<'a> {
    /// The members of `value`, which is called `what` in errors.
    pub(crate) fn of(value: &'a Value, what: &'a str) -> Result<Self, Error> {
        match value {
            Value::Object(object) => Ok(Self { value, object, what, taken: 0 }),
            _ => Err(Error::syntax(value, alloc::format!("{what}: object expected"))),
        }
    }

    /// The whole object.
    #[must_use]
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// A member that may be absent.
    pub(crate) fn optional(&mut self, name: &str) -> Option<&'a Value> {
        let member = self.object.get(name);
        self.taken += usize::from(member.is_some());
        member
    }

    /// A member that must be there.
    pub(crate) fn required(&mut self, name: &str) -> Result<&'a Value, Error> {
        self.optional(name).ok_or_else(|| self.wrong(name, "is required"))
    }

    /// A member that is an array.
    pub(crate) fn array(&mut self, name: &str) -> Result<&'a Vec<Value>, Error> {
        self.required(name)?.as_array().ok_or_else(|| self.wrong(name, "must be an array"))
    }

    /// A member that is a string.
    pub(crate) fn string(&mut self, name: &str) -> Result<&'a str, Error> {
        self.required(name)?.as_str().ok_or_else(|| self.wrong(name, "must be a string"))
    }

    /// A member that is an `<id>`.
    pub(crate) fn id(&mut self, name: &str) -> Result<&'a str, Error> {
        let id = self.string(name)?;
        if is_id(id) { Ok(id) } else { Err(self.wrong(name, "must be an identifier")) }
    }

    /// A Boolean member, or what stands for it when it is absent.
    pub(crate) fn boolean(&mut self, name: &str, default: bool) -> Result<bool, Error> {
        match self.optional(name) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// Complains of members that nobody took.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.taken == self.object.len() {
            return Ok(());
        }
        let what = self.what;
        Err(Error::syntax(self.value, alloc::format!("{what}: it has members unknown here")))
    }

    /// An error about a member.
    #[must_use]
    pub(crate) fn wrong(&self, name: &str, problem: &str) -> Error {
        Error::syntax(self.value, alloc::format!("{}: member \"{name}\" {problem}", self.what))
    }
}

/// A whole number of a JSON value; `1.0` and `1e3` are whole, as in Open vSwitch.
#[must_use]
pub(crate) fn integer(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else {
        return None;
    };
    if let Some(integer) = number.as_i64() {
        return Some(integer);
    }
    let real = number.as_f64()?;
    // 2^63 is the first double beyond the range.
    #[expect(clippy::cast_possible_truncation, reason = "in range and whole")]
    let whole = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
        .contains(&real)
        .then_some(real as i64)?;
    #[expect(clippy::cast_precision_loss, reason = "compared, to see whether anything was lost")]
    let same = whole as f64 == real;
    same.then_some(whole)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
