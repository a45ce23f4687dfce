//! A JSON parser that can stop after any token and go on later.
//!
//! # What
//! [`Parser`] turns the bytes of one message into the tree that `serde_json` has for it. A message of
//! megabytes takes longer than the control core may be away from everything else, so each call of
//! [`Parser::step`] does what its budget allows. What is JSON is decided as `serde_json` does: UTF-8, no
//! control characters in strings, no lone surrogates, numbers within a double's range; of equal keys the
//! last one counts.
//!
//! # Bounds
//! The stack of open brackets lives on the heap and is as deep as the message, which the framer has
//! bounded. A string is copied piece by piece; a number is one piece, of at most [`MAX_NUMBER`] bytes.

use crate::budget::Budget;
use crate::json::JsonError;
use crate::trash::Trash;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// Longest number, in bytes.
const MAX_NUMBER: usize = 1024;
/// Bytes of text that cost a unit.
const BYTES_A_UNIT: usize = 16;
/// What a token costs beside its bytes: a node in the tree.
const TOKEN: usize = 1;
/// What an object costs.
const OBJECT: usize = 8;

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    Value,
    /// A value, or the end of an array that is empty so far.
    ValueOrEnd,
    Key,
    /// A key, or the end of an object that is empty so far.
    KeyOrEnd,
    Colon,
    /// A comma, or the end of what is open.
    CommaOrEnd,
    Nothing,
}

/// Something whose closing bracket has not come.
#[derive(Debug)]
enum Open {
    Array(Vec<Value>),
    Object(Map<String, Value>, String),
}

/// A string whose closing quote has not come.
#[derive(Debug)]
struct Quoted {
    bytes: Vec<u8>,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

/// One message on its way to a tree.
#[derive(Debug)]
pub(crate) struct Parser {
    text: Vec<u8>,
    at: usize,
    open: Vec<Open>,
    quoted: Option<Quoted>,
    expect: Expect,
    whole: Option<Value>,
}

impl Parser {
    /// A parser of a whole message.
    pub(crate) const fn new(text: Vec<u8>) -> Self {
        let open = Vec::new();
        Self { text, at: 0, open, quoted: None, expect: Expect::Value, whole: None }
    }

    /// Bytes of the message.
    pub(crate) const fn len(&self) -> usize {
        self.text.len()
    }

    /// Goes on until the message is parsed or the budget spent; `None` in the latter case. After an error
    /// there is nothing to go on with.
    pub(crate) fn step(&mut self, budget: &mut Budget) -> Result<Option<Value>, JsonError> {
        while !budget.is_spent() {
            if let Some(quoted) = self.quoted.take() {
                self.string(quoted, budget)?;
                continue;
            }
            let Some(&byte) = self.text.get(self.at) else {
                if self.expect == Expect::Nothing {
                    return Ok(self.whole.take());
                }
                return Err(self.malformed());
            };
            self.at += 1;
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                if self.at.is_multiple_of(BYTES_A_UNIT) {
                    budget.spend(1);
                }
                continue;
            }
            budget.spend(if byte == b'{' { OBJECT } else { TOKEN });
            self.token(byte)?;
        }
        Ok(None)
    }

    /// What was built of a message that will not be finished.
    pub(crate) fn discard(self, trash: &mut Trash) {
        for open in self.open {
            match open {
                Open::Array(elements) => trash.add(Value::Array(elements)),
                Open::Object(members, _) => trash.add(Value::Object(members)),
            }
        }
        self.whole.into_iter().for_each(|value| trash.add(value));
    }

    fn token(&mut self, byte: u8) -> Result<(), JsonError> {
        use Expect::{Colon, CommaOrEnd, Key, KeyOrEnd, Nothing, Value as AValue, ValueOrEnd};
        match (byte, self.expect) {
            (b'"', Key | KeyOrEnd | AValue | ValueOrEnd) => {
                self.quoted = Some(Quoted { bytes: Vec::new(), high: None });
            }
            (b':', Colon) => self.expect = AValue,
            (b',', CommaOrEnd) => {
                self.expect = match self.open.last() {
                    Some(Open::Object(..)) => Key,
                    Some(Open::Array(_)) | None => AValue,
                };
            }
            (b'{', AValue | ValueOrEnd) => {
                self.open.push(Open::Object(Map::new(), String::new()));
                self.expect = KeyOrEnd;
            }
            (b'[', AValue | ValueOrEnd) => {
                self.open.push(Open::Array(Vec::new()));
                self.expect = ValueOrEnd;
            }
            (b'}', CommaOrEnd | KeyOrEnd) => match self.open.pop() {
                Some(Open::Object(members, _)) => self.value(Value::Object(members)),
                other => return Err(self.reopen(other)),
            },
            (b']', CommaOrEnd | ValueOrEnd) => match self.open.pop() {
                Some(Open::Array(elements)) => self.value(Value::Array(elements)),
                other => return Err(self.reopen(other)),
            },
            (b'-' | b'0'..=b'9' | b'a'..=b'z', AValue | ValueOrEnd) => self.word()?,
            (_, Nothing | _) => return Err(self.malformed()),
        }
        Ok(())
    }

    /// A value is whole: it goes into what is open.
    fn value(&mut self, value: Value) {
        self.expect = Expect::CommaOrEnd;
        match self.open.last_mut() {
            Some(Open::Array(elements)) => elements.push(value),
            Some(Open::Object(members, key)) => {
                members.insert(core::mem::take(key), value);
            }
            None => {
                self.whole = Some(value);
                self.expect = Expect::Nothing;
            }
        }
    }

    /// A number, or one of the three words; its first byte is taken.
    fn word(&mut self) -> Result<(), JsonError> {
        let from = self.at - 1;
        let rest = self.text.get(from..).unwrap_or_default();
        let is_part = |b: &&u8| matches!(b, b'+' | b'-' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E');
        let length = rest.iter().take(MAX_NUMBER + 1).take_while(is_part).count();
        let word = rest.get(..length).filter(|word| word.len() <= MAX_NUMBER);
        match word.and_then(|word| serde_json::from_slice::<Value>(word).ok()) {
            Some(value) => {
                self.at = from + length;
                self.value(value);
                Ok(())
            }
            None => Err(self.malformed()),
        }
    }

    /// A piece of a string.
    fn string(&mut self, mut quoted: Quoted, budget: &mut Budget) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let most = budget.left().saturating_mul(BYTES_A_UNIT);
        let plain = |b: &&u8| !matches!(b, b'"' | b'\\' | 0..0x20);
        let length = rest.iter().take(most).take_while(plain).count();
        budget.spend(1 + length / BYTES_A_UNIT);
        if length > 0 && quoted.high.is_some() {
            return Err(self.malformed());
        }
        quoted.bytes.extend_from_slice(rest.get(..length).unwrap_or_default());
        let next = rest.get(length).copied();
        self.at += length;
        if length == most {
            self.quoted = Some(quoted);
            return Ok(());
        }
        match next {
            Some(b'"') if quoted.high.is_none() => {
                self.at += 1;
                let text = String::from_utf8(quoted.bytes).map_err(|_| self.malformed())?;
                self.text_is_whole(text);
            }
            Some(b'\\') => {
                self.at += 1;
                self.escape(&mut quoted)?;
                self.quoted = Some(quoted);
            }
            _ => {
                self.at += 1;
                return Err(self.malformed());
            }
        }
        Ok(())
    }

    fn text_is_whole(&mut self, text: String) {
        if !matches!(self.expect, Expect::Key | Expect::KeyOrEnd) {
            return self.value(Value::String(text));
        }
        if let Some(Open::Object(_, key)) = self.open.last_mut() {
            *key = text;
            self.expect = Expect::Colon;
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, quoted: &mut Quoted) -> Result<(), JsonError> {
        let byte = self.text.get(self.at).copied();
        self.at += 1;
        if quoted.high.is_some() && byte != Some(b'u') {
            return Err(self.malformed());
        }
        let plain = match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.code_unit(quoted),
            _ => return Err(self.malformed()),
        };
        quoted.bytes.push(plain);
        Ok(())
    }

    /// The four digits of `\u`: a character of UTF-16, or half of one.
    fn code_unit(&mut self, quoted: &mut Quoted) -> Result<(), JsonError> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        let unit = digits
            .iter()
            .try_fold(0u32, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?));
        let unit = unit.filter(|_| digits.len() == 4).and_then(|unit| u16::try_from(unit).ok());
        self.at += digits.len();
        let Some(unit) = unit else { return Err(self.malformed()) };
        let pair = match quoted.high.take() {
            Some(high) => [high, unit],
            None if (0xd800..0xdc00).contains(&unit) => {
                quoted.high = Some(unit);
                return Ok(());
            }
            None => [unit, 0],
        };
        let n = if pair[0] == unit { 1 } else { 2 };
        let mut characters = char::decode_utf16(pair.into_iter().take(n));
        let (Some(Ok(character)), None) = (characters.next(), characters.next()) else {
            return Err(self.malformed());
        };
        quoted.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// A bracket does not fit what is open, which is kept for [`Self::discard`].
    fn reopen(&mut self, open: Option<Open>) -> JsonError {
        self.open.extend(open);
        self.malformed()
    }

    /// The error, at the byte that was looked at last.
    fn malformed(&self) -> JsonError {
        let read = self.text.get(..self.at).unwrap_or(&self.text);
        let line = 1 + read.iter().filter(|&&byte| byte == b'\n').count();
        let column = read.iter().rev().take_while(|&&byte| byte != b'\n').count();
        JsonError::Malformed { line, column }
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
