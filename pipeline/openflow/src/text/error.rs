//! What can be wrong with the text of a flow.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use flow::text::ParseError;

use crate::OfErrorKind;

/// Why a text is not a flow or a list of actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    /// What is wrong.
    pub problem: TextProblem,
    /// The piece of text.
    pub text: String,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextProblem {
    /// No keyword or field has this name.
    UnknownKeyword,
    /// No action has this name.
    UnknownAction,
    /// The value of a keyword is missing, no number, or too large.
    BadNumber,
    /// The argument of an action is not in its form; here is the form.
    BadArgument(&'static str),
    /// No port has this name or number.
    UnknownPort,
    /// No field has this name, or no such bits.
    BadSubfield,
    /// `actions=` is missing.
    NoActions,
    /// `drop` stands with other actions.
    DropNotAlone,
    /// An instruction came twice or where it may not be.
    MisplacedInstruction,
    /// An add has a cookie mask, or a delete a cookie without one.
    BadCookie,
    /// The match is wrong.
    Match(ParseError),
    /// The actions do not fit the match.
    Inconsistent(OfErrorKind),
}

impl TextError {
    pub(super) fn new(problem: TextProblem, text: &str) -> TextError {
        TextError { problem, text: text.to_owned() }
    }
}

impl From<ParseError> for TextError {
    fn from(error: ParseError) -> TextError {
        TextError { text: error.text.clone(), problem: TextProblem::Match(error) }
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match &self.problem {
            TextProblem::UnknownKeyword => write!(f, "unknown keyword {text}"),
            TextProblem::UnknownAction => {
                write!(f, "unknown action {text}: use a name as in ovs-actions(7), like output:1")
            }
            TextProblem::BadNumber => write!(f, "{text}: not a number, or too large for its place"),
            TextProblem::BadArgument(form) => write!(f, "{text}: bad argument: write {form}"),
            TextProblem::UnknownPort => {
                write!(f, "{text}: unknown port: use a port number or name")
            }
            TextProblem::BadSubfield => {
                write!(f, "{text}: no such field or bits: write NXM_NX_REG0[] or reg0[0..15]")
            }
            TextProblem::NoActions => f.write_str("must specify an action: add actions=…"),
            TextProblem::DropNotAlone => {
                f.write_str("\"drop\" must not be accompanied by any other action or instruction")
            }
            TextProblem::MisplacedInstruction => {
                write!(f, "{text}: instruction given twice or inside an action list")
            }
            TextProblem::BadCookie => write!(
                f,
                "cookie={text}: an add sets a cookie (no mask), a delete matches one (with mask, \
                 as cookie={text}/-1)"
            ),
            TextProblem::Match(error) => error.fmt(f),
            TextProblem::Inconsistent(kind) => {
                write!(f, "actions are invalid with specified match ({kind})")
            }
        }
    }
}

impl core::error::Error for TextError {}
