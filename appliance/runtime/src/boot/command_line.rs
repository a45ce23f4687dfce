//! The kernel command line: words, some of the form `key=value`.

use core::fmt;

/// The longest command line that is kept; the rest is cut off.
pub const MAX_COMMAND_LINE: usize = 2048;

/// The kernel command line, copied from the loader.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine {
    bytes: [u8; MAX_COMMAND_LINE],
    len: usize,
}

impl CommandLine {
    /// An empty command line.
    #[must_use]
    pub const fn empty() -> Self {
        Self { bytes: [0; MAX_COMMAND_LINE], len: 0 }
    }

    /// The command line in `bytes`: up to the first NUL, what is not printable ASCII as `?`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut line = Self::empty();
        for &byte in bytes.iter().take_while(|&&byte| byte != 0) {
            if !line.push(byte) {
                break;
            }
        }
        line
    }

    /// Appends one byte; false when the line is full.
    pub(super) fn push(&mut self, byte: u8) -> bool {
        let printable = byte == b'\t' || (b' '..=b'~').contains(&byte);
        match self.bytes.get_mut(self.len) {
            Some(slot) => {
                *slot = if printable { byte } else { b'?' };
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The whole line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// The words of the line.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.as_str().split_ascii_whitespace()
    }

    /// The value of the last `key=value` word with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let matching =
            |word: &&str| word.strip_prefix(key).is_some_and(|rest| rest.starts_with('='));
        self.words().filter(matching).last().and_then(|word| word.get(key.len() + 1..))
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
