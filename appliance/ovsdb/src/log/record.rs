//! Records: `OVSDB JSON <length> <sha1>`, then the JSON text of that length with its line end.

use crate::budget::Breath;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use serde_json::Value;

/// Longest header line: the words, a length, 40 digits.
const MAX_HEADER: usize = 80;
/// Longest record read, in bytes.
const MAX_RECORD: usize = 64 * 1024 * 1024;
/// The magic of clustered databases, which are not read here.
const CLUSTER: &[u8] = b"OVSDB CLUSTER ";

/// The bytes of a record.
#[must_use]
pub fn write_record(value: &Value) -> Vec<u8> {
    record_text(value, Breath::none())
}

pub(super) fn record_text(value: &Value, mut breath: Breath) -> Vec<u8> {
    let mut text = breath.text(value);
    text.push('\n');
    let mut sum = sha1_smol::Sha1::new();
    for piece in text.as_bytes().chunks(1024) {
        sum.update(piece);
        breath.row();
    }
    let sum = sum.digest();
    let mut record = format!("OVSDB JSON {} {sum}\n", text.len()).into_bytes();
    record.extend_from_slice(text.as_bytes());
    record
}

/// Why a log ends before its bytes do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// The line before the record is not `OVSDB JSON <length> <sha1>`.
    Header,
    /// Fewer bytes than the header says.
    Short,
    /// The bytes are not those that were written.
    Checksum,
    /// Whole, but not JSON.
    Json,
    /// A clustered database.
    Clustered,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "bad record header",
            Self::Short => "record is not whole",
            Self::Checksum => "checksum of a record is wrong",
            Self::Json => "record is not JSON",
            Self::Clustered => "clustered databases are not supported",
        })
    }
}

/// The text of a record that is whole.
struct Text<'a> {
    sha1: &'a str,
    json: &'a [u8],
    /// Where the next one begins.
    end: usize,
}

/// Reads records one after another.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the first record.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes of the records read so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next record; `None` at the end. After an error the reader stays before the bad record.
    pub fn next_record(&mut self) -> Result<Option<Value>, ReadError> {
        let Some(text) = self.peek()? else { return Ok(None) };
        let value = serde_json::from_slice(text.json).map_err(|_| ReadError::Json)?;
        self.at = text.end;
        Ok(Some(value))
    }

    /// Passes the next record over without reading its JSON, if its text has this SHA-1.
    pub(super) fn skip(&mut self, sha1: &str) -> Result<bool, ReadError> {
        let found = self.peek()?.filter(|text| text.sha1 == sha1);
        if let Some(text) = &found {
            self.at = text.end;
        }
        Ok(found.is_some())
    }

    fn peek(&self) -> Result<Option<Text<'a>>, ReadError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        if rest.starts_with(CLUSTER) {
            return Err(ReadError::Clustered);
        }
        let head = rest.get(..MAX_HEADER).unwrap_or(rest);
        let Some(end) = head.iter().position(|&byte| byte == b'\n') else {
            return Err(if head.len() < MAX_HEADER { ReadError::Short } else { ReadError::Header });
        };
        let (length, sha1) =
            header(head.get(..end).unwrap_or_default()).ok_or(ReadError::Header)?;
        let json = rest.get(end + 1..end + 1 + length).ok_or(ReadError::Short)?;
        if sha1_smol::Sha1::from(json).digest().to_string() != sha1 {
            return Err(ReadError::Checksum);
        }
        Ok(Some(Text { sha1, json, end: self.at + end + 1 + length }))
    }
}

fn header(line: &[u8]) -> Option<(usize, &str)> {
    let mut words = core::str::from_utf8(line).ok()?.strip_prefix("OVSDB JSON ")?.split(' ');
    let (length, sum) = (words.next()?, words.next()?);
    let is_plain = words.next().is_none() && length.bytes().all(|b| b.is_ascii_digit());
    let length: usize = length.parse().ok()?;
    (is_plain && sum.len() == 40 && length <= MAX_RECORD).then_some((length, sum))
}
