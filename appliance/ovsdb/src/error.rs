//! What goes wrong in a request, in the words of RFC 7047.

use alloc::string::{String, ToString};
use core::fmt;
use serde_json::{Value, json};

/// The `error` member of an error object: RFC 7047 §3.1 and the additions of `ovsdb-server.7`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// The request is not built as it must be.
    SyntaxError,
    /// A column that the table does not have.
    UnknownColumn,
    /// A table that the database does not have.
    UnknownTable,
    /// A database that the server does not have.
    UnknownDatabase,
    /// An operator of a condition that does not exist.
    UnknownFunction,
    /// An operator of a mutation that does not exist.
    UnknownMutator,
    /// Two elements of a set, or two keys of a map, are equal.
    OvsdbError,
    /// Two inserts of a transaction have one `uuid-name`.
    DuplicateUuidName,
    /// The UUID that an insert asks for is taken.
    DuplicateUuid,
    /// A value is outside its type, or too many rows, or not unique.
    ConstraintViolation,
    /// A strong reference to a row that is not there.
    ReferentialIntegrityViolation,
    /// Division by zero.
    DomainError,
    /// Arithmetic overflow.
    RangeError,
    /// A `wait` did not come true in its time.
    TimedOut,
    /// The `abort` operation.
    Aborted,
    /// An `assert` of a lock that the client does not own.
    NotOwner,
    /// The database may not be written by clients.
    NotAllowed,
    /// The server does not do this.
    NotSupported,
    /// A bound of this server.
    ResourcesExhausted,
    /// The disk refused.
    IoError,
    /// The request was cancelled.
    Canceled,
}

impl ErrorKind {
    /// The text of the `error` member.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SyntaxError => "syntax error",
            Self::UnknownColumn => "unknown column",
            Self::UnknownTable => "unknown table",
            Self::UnknownDatabase => "unknown database",
            Self::UnknownFunction => "unknown function",
            Self::UnknownMutator => "unknown mutator",
            Self::OvsdbError => "ovsdb error",
            Self::DuplicateUuidName => "duplicate uuid-name",
            Self::DuplicateUuid => "duplicate uuid",
            Self::ConstraintViolation => "constraint violation",
            Self::ReferentialIntegrityViolation => "referential integrity violation",
            Self::DomainError => "domain error",
            Self::RangeError => "range error",
            Self::TimedOut => "timed out",
            Self::Aborted => "aborted",
            Self::NotOwner => "not owner",
            Self::NotAllowed => "not allowed",
            Self::NotSupported => "not supported",
            Self::ResourcesExhausted => "resources exhausted",
            Self::IoError => "I/O error",
            Self::Canceled => "canceled",
        }
    }
}

/// Longest `syntax` member in bytes: enough to find the place, whatever the request's size.
const MAX_SYNTAX: usize = 1024;

/// An error object (RFC 7047 §3.1, `<error>`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// What it is.
    pub kind: ErrorKind,
    /// For people.
    pub details: String,
    /// The piece of the request that is meant.
    pub syntax: Option<String>,
}

impl Error {
    /// An error without a place.
    pub fn new(kind: ErrorKind, details: impl Into<String>) -> Self {
        Self { kind, details: details.into(), syntax: None }
    }

    /// A `syntax error` at a piece of the request.
    pub fn syntax(at: &Value, details: impl Into<String>) -> Self {
        Self::new(ErrorKind::SyntaxError, details).at(at)
    }

    /// A `constraint violation`.
    pub fn constraint(details: impl Into<String>) -> Self {
        Self::new(ErrorKind::ConstraintViolation, details)
    }

    /// The same error with its place.
    #[must_use]
    pub fn at(mut self, at: &Value) -> Self {
        self.syntax = Some(text(at, MAX_SYNTAX));
        self
    }

    /// The error object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = json!({"error": self.kind.name()});
        if let Value::Object(members) = &mut object {
            if !self.details.is_empty() {
                members.insert("details".to_string(), self.details.as_str().into());
            }
            if let Some(syntax) = &self.syntax {
                members.insert("syntax".to_string(), syntax.as_str().into());
            }
        }
        object
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.details)?;
        match &self.syntax {
            Some(syntax) => write!(f, " (at {syntax})"),
            None => Ok(()),
        }
    }
}

/// The text of a value, cut at a character at most `max` bytes from its start.
fn text(value: &Value, max: usize) -> String {
    struct Bounded {
        text: String,
        max: usize,
    }
    impl fmt::Write for Bounded {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            let room = self.max - self.text.len();
            let fits =
                if piece.len() <= room { piece.len() } else { piece.floor_char_boundary(room) };
            self.text.push_str(&piece[..fits]);
            if fits < piece.len() {
                // Nothing that follows may close the gap.
                self.max = self.text.len();
            }
            Ok(())
        }
    }
    let mut bounded = Bounded { text: String::new(), max };
    // Writing into memory does not fail.
    let _ = fmt::write(&mut bounded, format_args!("{value}"));
    bounded.text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert_eq!(text(&json!(["äöü"]), 5), "[\"ä");
        assert_eq!(text(&json!([1]), 100), "[1]");
    }
}
