//! The server side of unixctl, the protocol of `ovs-appctl`: JSON-RPC 1.0 without any framing.
//!
//! A request is `{"id":0,"method":"fdb/show","params":["br0"]}`; the answer carries either `result`
//! or `error`, a text. Messages follow one another with nothing between them, so the end of one is
//! found by counting braces outside strings.
//!
//! The byte channel is a virtio console, which does not tell when a client goes. A request cut off in
//! the middle is therefore forgotten after [`QUIET`], and the next client starts clean.
//!
//! On a serial line there is a person instead, who types commands and reads text (`terminal.rs`).

mod terminal;

use self::terminal::Terminal;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::{Value, json};
use sync::time::Nanos;

/// Longest request in bytes; what is longer is refused and skipped.
pub const MAX_REQUEST: usize = 64 * 1024;
/// Answers that may wait for a client that does not read, in bytes. Beyond it no request is taken.
pub const MAX_PENDING: usize = 4 * 1024 * 1024;
/// An unfinished request is dropped after so long without another byte.
pub const QUIET: Nanos = Nanos::from_secs(1);

/// One command from a client.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    id: Value,
    /// The command's name, as `list-commands` prints it.
    pub method: String,
    /// Its arguments.
    pub params: Vec<String>,
}

/// One byte channel on which clients come and go, one after another.
#[derive(Debug, Default)]
pub struct Unixctl {
    input: Vec<u8>,
    scan: Scan,
    output: Vec<u8>,
    last_byte: Nanos,
    /// A whole request was found at the last look, so another one may follow it in `input`.
    has_more: bool,
    /// Where a person is at the other end.
    terminal: Option<Terminal>,
}

/// How far the search for the end of the message has come.
#[derive(Debug, Default)]
struct Scan {
    at: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// The length of the first whole message in `input`, looking at each byte once.
    fn message_end(&mut self, input: &[u8]) -> Option<usize> {
        while let Some(&byte) = input.get(self.at) {
            self.at += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

impl Unixctl {
    /// A channel with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A channel with a person at a terminal.
    pub fn on_terminal() -> Self {
        Self { terminal: Some(Terminal::default()), ..Self::default() }
    }

    /// True when bytes may be read from the channel: neither answers nor requests are piling up.
    pub fn wants_input(&self) -> bool {
        self.output.len() < MAX_PENDING && !self.has_more
    }

    /// Takes bytes that arrived on the channel.
    pub fn received(&mut self, bytes: &[u8], now: Nanos) {
        if bytes.is_empty() {
            // Silence goes on.
            return;
        }
        if let Some(terminal) = &mut self.terminal {
            bytes.iter().for_each(|&byte| terminal.typed(byte, &mut self.output));
            return;
        }
        if !self.input.is_empty() && now.saturating_sub(self.last_byte) > QUIET {
            self.forget_input();
        }
        self.last_byte = now;
        self.input.extend_from_slice(bytes);
        if self.input.len() > MAX_REQUEST && self.scan.message_end(&self.input).is_none() {
            self.forget_input();
            self.answer(&Value::Null, Err(format!("request longer than {MAX_REQUEST} bytes")));
        }
    }

    /// The next whole request, unless answers pile up. Broken ones are answered here.
    pub fn next_request(&mut self) -> Option<Request> {
        if self.output.len() >= MAX_PENDING {
            return None;
        }
        let request = self.parse_next();
        self.has_more = request.is_some();
        request
    }

    fn parse_next(&mut self) -> Option<Request> {
        if let Some(terminal) = &mut self.terminal {
            let mut words = terminal.next_words()?.into_iter();
            let (method, params) = (words.next()?, words.collect());
            return Some(Request { id: Value::Null, method, params });
        }
        loop {
            self.skip_to_object();
            let end = match self.scan.at {
                // Found by `received`, when it looked for the end of a long input.
                at if at > 0 && self.scan.depth == 0 && self.ends_at(at) => at,
                _ => self.scan.message_end(&self.input)?,
            };
            let parsed = serde_json::from_slice::<Value>(self.input.get(..end)?);
            self.input.drain(..end);
            self.scan = Scan::default();
            match parsed.map_err(|error| error.to_string()).and_then(|value| request(&value)) {
                Ok(request) => return Some(request),
                Err(problem) => self.answer(&Value::Null, Err(problem)),
            }
        }
    }

    /// Queues the answer to a request.
    pub fn reply(&mut self, request: &Request, outcome: Result<String, String>) {
        self.answer(&request.id, outcome);
    }

    /// Bytes for the client; the caller drains what it could send.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Bytes there are to send.
    pub fn n_pending(&self) -> usize {
        self.output.len()
    }

    fn answer(&mut self, id: &Value, outcome: Result<String, String>) {
        if self.terminal.is_some() {
            return Terminal::show(outcome, &mut self.output);
        }
        let message = match outcome {
            Ok(result) => json!({"id": id, "result": whole_lines(result), "error": null}),
            Err(error) => json!({"id": id, "result": null, "error": whole_lines(error)}),
        };
        self.output.extend_from_slice(message.to_string().as_bytes());
    }

    fn ends_at(&self, at: usize) -> bool {
        matches!(self.input.get(at - 1), Some(b'}' | b']'))
    }

    /// Drops what cannot begin a message, white space above all.
    fn skip_to_object(&mut self) {
        if self.scan.at == 0 {
            let start = self.input.iter().position(|&byte| byte == b'{');
            self.input.drain(..start.unwrap_or(self.input.len()));
        }
    }

    fn forget_input(&mut self) {
        self.input.clear();
        self.scan = Scan::default();
    }
}

/// `ovs-appctl` prints a text as it comes and goes on with words of its own.
fn whole_lines(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn request(value: &Value) -> Result<Request, String> {
    let method = value.get("method").and_then(Value::as_str);
    let method = method.ok_or("a request needs a \"method\" that is a string")?;
    let params = match value.get("params") {
        None => Vec::new(),
        Some(Value::Array(params)) => params
            .iter()
            .map(|param| param.as_str().map(String::from))
            .collect::<Option<Vec<_>>>()
            .ok_or("\"params\" must be strings")?,
        Some(_) => return Err("\"params\" must be an array of strings".into()),
    };
    let id = value.get("id").cloned().unwrap_or(Value::Null);
    Ok(Request { id, method: method.into(), params })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(channel: &mut Unixctl) -> Vec<(String, Vec<String>)> {
        core::iter::from_fn(|| channel.next_request()).map(|r| (r.method, r.params)).collect()
    }

    #[test]
    fn requests_follow_one_another_in_any_cut() {
        let text =
            br#"{"id":0,"method":"a","params":[]} {"id":1,"method":"b","params":["x}","\"{"]}"#;
        let want = alloc::vec![
            ("a".to_string(), alloc::vec![]),
            ("b".to_string(), alloc::vec!["x}".to_string(), "\"{".to_string()]),
        ];
        for cut in 0..text.len() {
            let mut channel = Unixctl::new();
            let (head, tail) = text.split_at(cut);
            channel.received(head, Nanos::ZERO);
            let mut got = requests(&mut channel);
            channel.received(tail, Nanos::ZERO);
            got.extend(requests(&mut channel));
            assert_eq!(got, want, "cut at {cut}");
        }
    }

    #[test]
    fn the_answer_carries_the_id_of_the_request() {
        let mut channel = Unixctl::new();
        channel.received(br#"{"id":7,"method":"version","params":[]}"#, Nanos::ZERO);
        let request = channel.next_request().expect("whole");
        channel.reply(&request, Ok("1.0\n".into()));
        channel.reply(&request, Err("no".into()));
        let answers = core::str::from_utf8(channel.output()).expect("text");
        assert_eq!(
            answers,
            r#"{"error":null,"id":7,"result":"1.0\n"}{"error":"no\n","id":7,"result":null}"#
        );
    }

    #[test]
    fn a_request_cut_off_by_its_client_does_not_spoil_the_next() {
        let mut channel = Unixctl::new();
        channel.received(br#"{"id":0,"method":"half"#, Nanos::ZERO);
        assert_eq!(channel.next_request(), None);
        // A poll that brings nothing is no sign of life.
        channel.received(b"", Nanos::from_millis(1500));
        channel.received(br#"{"id":0,"method":"whole"}"#, Nanos::from_secs(2));
        assert_eq!(requests(&mut channel), [("whole".to_string(), alloc::vec![])]);
    }

    #[test]
    fn many_requests_with_long_answers_cost_bounded_memory() {
        let mut channel = Unixctl::new();
        let flood = br#"{"method":"a"}"#.repeat(4096 / 14);
        for _ in 0..1000 {
            if channel.wants_input() {
                channel.received(&flood, Nanos::ZERO);
            }
            if let Some(request) = channel.next_request() {
                channel.reply(&request, Ok("x".repeat(MAX_PENDING / 3)));
            }
        }
        assert!(channel.input.len() <= 2 * 4096, "{} bytes wait", channel.input.len());
        assert!(channel.output.len() <= 2 * MAX_PENDING, "{} bytes", channel.output.len());
        channel.output().clear();
        assert!(channel.next_request().is_some(), "goes on when the answers are read");
    }

    #[test]
    fn broken_requests_are_answered_with_an_error() {
        for text in [r#"{"id":0}"#, r#"{"method":1}"#, r#"{"method":"a","params":{}}"#, "{]"] {
            let mut channel = Unixctl::new();
            channel.received(text.as_bytes(), Nanos::ZERO);
            assert_eq!(channel.next_request(), None, "{text}");
            let answer = core::str::from_utf8(channel.output()).expect("text");
            assert!(answer.contains(r#""result":null"#), "{text}: {answer}");
        }
    }

    #[test]
    fn a_person_types_and_reads_text() {
        let mut channel = Unixctl::on_terminal();
        assert!(channel.output().is_empty(), "nothing is said before the first key");
        channel.received(b"\rfdb/show br0\rnonsense\r", Nanos::ZERO);
        let first = channel.next_request().expect("a line");
        assert_eq!(
            (first.method.as_str(), first.params.as_slice()),
            ("fdb/show", &["br0".into()][..])
        );
        channel.reply(&first, Ok(" port  VLAN".into()));
        let second = channel.next_request().expect("a line");
        channel.reply(&second, Err("no such command".into()));
        assert_eq!(channel.next_request(), None);
        let seen = core::str::from_utf8(channel.output()).expect("text");
        assert_eq!(
            seen,
            "\nuniswitch> fdb/show br0\nnonsense\n port  VLAN\nuniswitch> no such command\nuniswitch> "
        );
    }

    #[test]
    fn endless_input_is_bounded() {
        let mut channel = Unixctl::new();
        for _ in 0..100 {
            channel.received(&alloc::vec![b'{'; 4096], Nanos::ZERO);
            assert!(channel.input.len() <= MAX_REQUEST + 4096);
            assert_eq!(channel.next_request(), None);
        }
    }
}
