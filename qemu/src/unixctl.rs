//! The client side of unixctl, the protocol of `ovs-appctl`: JSON-RPC 1.0 over a socket.
//!
//! The socket is the host's end of a virtio console, which knows no connections: an answer to a
//! client that went away reaches the next one. So answers are matched by id, and ids are not
//! reused by later processes.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Largest answer taken.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A connection to the image's control console.
#[derive(Debug)]
pub struct Unixctl {
    stream: UnixStream,
    received: Vec<u8>,
    next_id: u64,
}

/// Why a method had no result.
#[derive(Debug)]
pub enum UnixctlError {
    /// The connection failed or ended.
    Io(io::Error),
    /// No answer in time.
    TimedOut,
    /// Not JSON, or without end.
    Malformed,
    /// The image refused; its words.
    Refused(String),
}

impl fmt::Display for UnixctlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(why) => write!(f, "control console: {why}"),
            Self::TimedOut => f.write_str("control console: no answer in time"),
            Self::Malformed => f.write_str("control console: not an answer"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for UnixctlError {}

impl Unixctl {
    /// Connects. That the socket takes a connection does not mean that the guest listens yet.
    ///
    /// # Errors
    /// When QEMU does not listen.
    pub fn connect(path: &Path) -> Result<Self, UnixctlError> {
        let stream = UnixStream::connect(path).map_err(UnixctlError::Io)?;
        let next_id = u64::from(std::process::id()) << 32;
        Ok(Self { stream, received: Vec::new(), next_id })
    }

    /// Calls a method and waits for its text.
    ///
    /// # Errors
    /// When the image refuses, or no answer comes within `timeout`.
    pub fn call(
        &mut self,
        method: &str,
        params: &[&str],
        timeout: Duration,
    ) -> Result<String, UnixctlError> {
        let deadline = Instant::now() + timeout;
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({ "id": id, "method": method, "params": params }).to_string();
        self.stream.set_write_timeout(Some(timeout)).map_err(UnixctlError::Io)?;
        self.stream.write_all(request.as_bytes()).map_err(timed)?;
        loop {
            let answer = self.receive(deadline)?;
            if answer["id"] != id {
                continue;
            }
            return match (&answer["result"], &answer["error"]) {
                (Value::String(text), _) => Ok(text.clone()),
                (_, Value::String(text)) => Err(UnixctlError::Refused(text.trim().into())),
                _ => Err(UnixctlError::Malformed),
            };
        }
    }

    /// The next whole JSON value.
    fn receive(&mut self, deadline: Instant) -> Result<Value, UnixctlError> {
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.received).into_iter();
            match values.next() {
                Some(Ok(value)) => {
                    let used = values.byte_offset();
                    self.received.drain(..used);
                    return Ok(value);
                }
                Some(Err(why)) if !why.is_eof() => {
                    self.received.clear();
                    return Err(UnixctlError::Malformed);
                }
                _ => {}
            }
            if self.received.len() > MAX_ANSWER_BYTES {
                self.received.clear();
                return Err(UnixctlError::Malformed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(UnixctlError::TimedOut);
            }
            self.stream.set_read_timeout(Some(left)).map_err(UnixctlError::Io)?;
            let mut bytes = [0; 16 * 1024];
            let n = self.stream.read(&mut bytes).map_err(timed)?;
            if n == 0 {
                return Err(UnixctlError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.received.extend_from_slice(&bytes[..n]);
        }
    }
}

fn timed(why: io::Error) -> UnixctlError {
    match why.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => UnixctlError::TimedOut,
        _ => UnixctlError::Io(why),
    }
}
