//! A person at a terminal instead of `ovs-appctl`: a line is a command, its answer is text.
//!
//! ```text
//! uniswitch> dpctl/show
//! …
//! uniswitch> ofproto/trace br0 "in_port=1, ip"
//! ```
//! What is typed is echoed; backspace takes a character back, ^U and ^C the line. Sequences that keys
//! send (arrows and such) are passed over. Nothing is said before the first key, so that a log on the
//! same line stays a log.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

const PROMPT: &[u8] = b"uniswitch> ";
/// Longest line in bytes; what is typed beyond it is refused with a bell.
const MAX_LINE: usize = 1024;
/// Lines that may wait for their turn; what is typed meanwhile is lost with a bell.
const MAX_LINES: usize = 16;

/// What is being typed.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    line: Vec<u8>,
    lines: VecDeque<String>,
    keys: Keys,
}

/// Where in a sequence of a special key the input is (ECMA-48 §5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Keys {
    #[default]
    Plain,
    /// Behind a carriage return, of which a line feed is the second half.
    Return,
    Escape,
    Control,
}

impl Terminal {
    /// Takes a byte that was typed, and gives back to `echo` what is to be seen of it.
    pub(super) fn typed(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let before = core::mem::take(&mut self.keys);
        match (before, byte) {
            (Keys::Escape, b'[' | b'O') => self.keys = Keys::Control,
            (Keys::Escape, _) | (Keys::Control, 0x40..=0x7e) | (Keys::Return, b'\n') => {}
            (Keys::Control, _) => self.keys = Keys::Control,
            (_, 0x1b) => self.keys = Keys::Escape,
            (_, b'\r' | b'\n') => {
                if byte == b'\r' {
                    self.keys = Keys::Return;
                }
                self.entered(echo);
            }
            (_, 0x08 | 0x7f) => self.took_back(echo),
            (_, 0x03 | 0x15) => {
                self.line.clear();
                echo.extend_from_slice(b"^C\n");
                echo.extend_from_slice(PROMPT);
            }
            (_, b' '..=b'~') if self.line.len() < MAX_LINE => {
                self.line.push(byte);
                echo.push(byte);
            }
            (_, b' '..=b'~') => echo.push(0x07),
            _ => {}
        }
    }

    fn took_back(&mut self, echo: &mut Vec<u8>) {
        if self.line.pop().is_some() {
            echo.extend_from_slice(b"\x08 \x08");
        }
    }

    fn entered(&mut self, echo: &mut Vec<u8>) {
        echo.push(b'\n');
        let line = core::mem::take(&mut self.line);
        // Only printable ASCII was taken in.
        let text = String::from_utf8(line).unwrap_or_default();
        if text.trim().is_empty() {
            echo.extend_from_slice(PROMPT);
        } else if self.lines.len() < MAX_LINES {
            self.lines.push_back(text);
        } else {
            echo.push(0x07);
        }
    }

    /// The words of the next line: a command and its arguments.
    pub(super) fn next_words(&mut self) -> Option<Vec<String>> {
        self.lines.pop_front().map(|line| words(&line))
    }

    /// What the answer to a command looks like.
    pub(super) fn show(outcome: Result<String, String>, output: &mut Vec<u8>) {
        let text = match outcome {
            Ok(text) | Err(text) => super::whole_lines(text),
        };
        output.extend_from_slice(text.as_bytes());
        output.extend_from_slice(PROMPT);
    }
}

/// Words are divided by blanks; quotation marks keep blanks in.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for c in line.chars() {
        match c {
            '"' | '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// What is seen of it, and the lines that come of it.
    fn typed(terminal: &mut Terminal, keys: &[u8]) -> (String, Vec<Vec<String>>) {
        let mut echo = Vec::new();
        keys.iter().for_each(|&key| terminal.typed(key, &mut echo));
        let lines = core::iter::from_fn(|| terminal.next_words()).collect();
        (String::from_utf8(echo).expect("text"), lines)
    }

    #[test]
    fn lines_are_commands() {
        let cases: [(&[u8], &str, &[&str]); 9] = [
            (b"version\r", "version\n", &["version"]),
            (b"version\r\n", "version\n", &["version"]),
            (b"  fdb/show   br0 \n", "  fdb/show   br0 \n", &["fdb/show", "br0"]),
            (b"verx\x08\x7frsion\r", "verx\x08 \x08\x08 \x08rsion\n", &["version"]),
            (b"no\x15version\r", "no^C\nuniswitch> version\n", &["version"]),
            (b"ver\x1b[A\x1b[1;5Cs\x1bOHion\r", "version\n", &["version"]),
            (b"a \"in_port=1, ip\" ''\r", "a \"in_port=1, ip\" ''\n", &["a", "in_port=1, ip", ""]),
            (b"\r", "\nuniswitch> ", &[]),
            (b"\x00\xff\x7f \r", " \nuniswitch> ", &[]),
        ];
        for (keys, echo, line) in cases {
            let (seen, lines) = typed(&mut Terminal::default(), keys);
            assert_eq!(seen, echo, "{keys:?}");
            let expected: Vec<String> = line.iter().map(ToString::to_string).collect();
            let expected = if expected.is_empty() { Vec::new() } else { Vec::from([expected]) };
            assert_eq!(lines, expected, "{keys:?}");
        }
    }

    #[test]
    fn what_nobody_reads_is_bounded() {
        let mut terminal = Terminal::default();
        let mut echo = Vec::new();
        for _ in 0..10 * MAX_LINE {
            terminal.typed(b'x', &mut echo);
        }
        assert_eq!(terminal.line.len(), MAX_LINE);
        for _ in 0..10 * MAX_LINES {
            terminal.typed(b'x', &mut echo);
            terminal.typed(b'\n', &mut echo);
        }
        assert_eq!(terminal.lines.len(), MAX_LINES);
        assert!(echo.ends_with(b"\x07"));
    }
}
