//! QEMU's control protocol: one JSON object a line, answers between events.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// A connection after its handshake. QEMU serves one at a time.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

/// A connection that QEMU has not greeted yet.
#[derive(Debug)]
pub(crate) struct Dialled {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Dialled {
    /// Waits for the greeting so long; when it does not come, the connection can be asked again.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<(), QmpError> {
        self.stream.get_ref().set_read_timeout(Some(timeout))?;
        if self.stream.read_until(b'\n', &mut self.line)? == 0 {
            return Err(QmpError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    fn greeted(mut self, timeout: Duration) -> Result<Qmp, QmpError> {
        self.wait(timeout)?;
        self.stream.get_ref().set_write_timeout(Some(timeout))?;
        let greeting: Value =
            serde_json::from_slice(&self.line).map_err(|_| QmpError::Malformed)?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Malformed);
        }
        let mut qmp = Qmp { stream: self.stream };
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }
}

/// Why a command had no result.
#[derive(Debug)]
pub enum QmpError {
    /// The connection failed, ended or took too long.
    Io(io::Error),
    /// QEMU said something that is no answer.
    Malformed,
    /// QEMU refused; its words.
    Refused(String),
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(why) => write!(f, "QMP: {why}"),
            Self::Malformed => f.write_str("QMP: not an answer"),
            Self::Refused(why) => write!(f, "QMP: {why}"),
        }
    }
}

impl core::error::Error for QmpError {}

impl From<io::Error> for QmpError {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}

impl Qmp {
    /// Connects and shakes hands; no answer takes longer than `timeout`.
    ///
    /// # Errors
    /// When nobody listens or nobody answers in time.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, QmpError> {
        Self::dial(path)?.greeted(timeout)
    }

    /// Connects without waiting for QEMU to notice: until all its devices are there it does not,
    /// and connections beyond its backlog would block.
    pub(crate) fn dial(path: &Path) -> Result<Dialled, QmpError> {
        Ok(Dialled { stream: BufReader::new(UnixStream::connect(path)?), line: Vec::new() })
    }

    /// Runs a command, passing over events.
    ///
    /// # Errors
    /// When QEMU refuses it or the connection fails.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{line}")?;
        loop {
            let mut answer = self.receive()?;
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(QmpError::Refused(error["desc"].as_str().unwrap_or("error").into()));
            }
            if answer.get("event").is_none() {
                return Err(QmpError::Malformed);
            }
        }
    }

    /// Takes a NIC's cable out or puts it back.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub fn set_link(&mut self, nic_id: &str, is_up: bool) -> Result<(), QmpError> {
        self.execute("set_link", json!({ "name": nic_id, "up": is_up })).map(drop)
    }

    fn receive(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(QmpError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line).map_err(|_| QmpError::Malformed)
    }
}
