//! A running machine: its output, its control sockets, its end.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::backend::Backend;
use crate::qmp::{Dialled, Qmp, QmpError};
use crate::serial::Log;
use crate::spawn;
use crate::unixctl::{Unixctl, UnixctlError};
use crate::vm::Vm;

/// How often a condition without a wake-up is looked at.
const POLL: Duration = Duration::from_millis(5);
/// Until the end of what an ended QEMU said has come through the pipe.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What QEMU gets to answer, and to end when it is told to: a busy host may have no time for it for seconds.
const ANSWER: Duration = Duration::from_secs(20);
/// What QEMU gets for its greeting when its end is wanted: where it waits for a back end, none comes.
const GREETING: Duration = Duration::from_secs(2);
/// The kernel's limit on the name of a Unix socket, final zero included.
const MAX_SOCKET_PATH_BYTES: usize = 108;

/// Why a machine is not running.
#[derive(Debug)]
pub enum StartError {
    /// A socket's path is longer than the kernel takes.
    SocketPath(PathBuf),
    /// The program did not start.
    Spawn(io::Error),
    /// QEMU ended at once; what it said.
    Exited(String),
    /// QEMU runs but does not answer.
    Silent,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SocketPath(path) => write!(
                f,
                "{}: longer than a Unix socket's name can be ({} bytes): use a shorter path",
                path.display(),
                MAX_SOCKET_PATH_BYTES - 1
            ),
            Self::Spawn(why) => write!(f, "QEMU did not start: {why}"),
            Self::Exited(said) => write!(f, "QEMU ended at once: {said}"),
            Self::Silent => f.write_str("QEMU does not answer on its control socket"),
        }
    }
}

impl core::error::Error for StartError {}

/// How a machine came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The guest switched itself off.
    Guest,
    /// QEMU was told to quit.
    Quit,
    /// The process was killed.
    Killed,
}

/// A machine that runs until it ends or this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    status: Option<ExitStatus>,
    serial: Log,
    said: Log,
    consoles: Vec<PathBuf>,
    qmp: Option<PathBuf>,
    /// The connection on which the end of the start is awaited.
    dialled: Option<Dialled>,
    is_ready: bool,
    /// Sockets that QEMU made and leaves behind when it is killed.
    sockets: Vec<PathBuf>,
    started: Instant,
}

impl Vm {
    /// Starts the machine and waits until QEMU answers, at most `timeout`.
    ///
    /// A vhost-user port makes QEMU wait for its back end first; then use [`Vm::spawn`].
    ///
    /// # Errors
    /// When QEMU does not start, ends or stays silent; nothing is left running.
    pub fn start(&self, timeout: Duration) -> Result<Running, StartError> {
        let mut running = self.spawn(|_| ())?;
        running.wait_ready(timeout)?;
        Ok(running)
    }

    /// Starts the machine without waiting. Serial output also goes to `tee`, piece by piece.
    ///
    /// # Errors
    /// When QEMU cannot be started.
    pub fn spawn(&self, tee: impl FnMut(&str) + Send + 'static) -> Result<Running, StartError> {
        let sockets = self.sockets();
        for path in &sockets {
            if path.as_os_str().len() >= MAX_SOCKET_PATH_BYTES {
                return Err(StartError::SocketPath(path.clone()));
            }
        }
        let started = Instant::now();
        let mut child = spawn::spawn(&self.command()).map_err(StartError::Spawn)?;
        let serial = child.stdout.take().map(|pipe| Log::follow(pipe, tee)).unwrap_or_default();
        let said = child.stderr.take().map(|pipe| Log::follow(pipe, |_| ())).unwrap_or_default();
        Ok(Running {
            child,
            status: None,
            serial,
            said,
            consoles: self.consoles.clone(),
            qmp: self.qmp.clone(),
            dialled: None,
            is_ready: false,
            sockets,
            started,
        })
    }

    /// Every socket that QEMU makes.
    fn sockets(&self) -> Vec<PathBuf> {
        let made_by_nics = self.nics.iter().filter_map(|nic| match &nic.backend {
            Backend::Dgram { local, .. } => Some(local),
            Backend::Stream { path, role } | Backend::VhostUser { path, role } => {
                (*role == crate::Role::Server).then_some(path)
            }
            Backend::User { .. } | Backend::Tap { .. } => None,
        });
        self.consoles.iter().chain(&self.qmp).chain(made_by_nics).cloned().collect()
    }
}

impl Running {
    /// What the guest wrote on its serial port.
    pub fn serial(&self) -> &Log {
        &self.serial
    }

    /// Types a line at the guest's serial port.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn type_line(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(line.as_bytes())?;
        stdin.write_all(b"\r")
    }

    /// What QEMU itself had to say.
    pub fn said(&self) -> &Log {
        &self.said
    }

    /// Process id of QEMU.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When QEMU was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Socket of a virtio console on which the image serves unixctl.
    pub fn console(&self, i: usize) -> Option<&Path> {
        self.consoles.get(i).map(PathBuf::as_path)
    }

    /// A connection to the image's control console.
    ///
    /// # Errors
    /// When there is none, or QEMU does not listen on it.
    pub fn unixctl(&self) -> Result<Unixctl, UnixctlError> {
        let path = self.console(0).ok_or(UnixctlError::Io(io::ErrorKind::NotFound.into()))?;
        Unixctl::connect(path)
    }

    /// A connection to QEMU's control socket.
    ///
    /// # Errors
    /// When there is none, or QEMU does not answer on it.
    pub fn qmp(&self) -> Result<Qmp, QmpError> {
        let path = self.qmp.as_deref().ok_or(QmpError::Io(io::ErrorKind::NotFound.into()))?;
        Qmp::connect(path, ANSWER)
    }

    /// Waits until QEMU has answered once on its control socket, which it does once all devices are there.
    ///
    /// # Errors
    /// When it ends before, or `timeout` passes.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<(), StartError> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.try_wait().is_some() {
                return Err(StartError::Exited(self.last_words()));
            }
            if self.is_greeted() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(StartError::Silent);
            }
            thread::sleep(POLL);
        }
    }

    /// Looks for QEMU's greeting for a moment, on one connection that is kept until it comes.
    fn is_greeted(&mut self) -> bool {
        let Some(path) = &self.qmp else { return true };
        if self.is_ready {
            return true;
        }
        if self.dialled.is_none() {
            self.dialled = Qmp::dial(path).ok();
        }
        self.is_ready = self.dialled.as_mut().is_some_and(|dialled| dialled.wait(POLL).is_ok());
        if self.is_ready {
            self.dialled = None;
        }
        self.is_ready
    }

    /// The end of what QEMU said, in one line.
    pub fn last_words(&self) -> String {
        // The process is gone, but its last words may still be in the pipe.
        self.said.wait_until(LAST_WORDS, |_| false);
        let lines = self.said.tail(3);
        let plain = lines.iter().map(|line| {
            line.split_once(": ").map_or(line.as_str(), |(program, rest)| {
                if program.contains("qemu") { rest } else { line }
            })
        });
        let text = plain.collect::<Vec<_>>().join("; ");
        if text.is_empty() { "it said nothing".into() } else { text }
    }

    /// The exit status, once there is one.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits for the end, at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            let status = self.try_wait();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            thread::sleep(POLL);
        }
    }

    /// Brings the machine to its end: asks the guest, then QEMU, then the kernel. The guest has `grace` to
    /// answer, and as much to end.
    pub fn shutdown(&mut self, grace: Duration) -> Ended {
        if self.try_wait().is_some() {
            return Ended::Guest;
        }
        if self.wait_ready(GREETING).is_err() {
            // Still waiting for a back end: nobody is there to be asked.
            self.kill();
            return Ended::Killed;
        }
        let asked = self.unixctl().and_then(|mut ctl| ctl.call("exit", &[], grace));
        // An end in the middle of the answer is an end as well.
        let is_ending = matches!(asked, Ok(_) | Err(UnixctlError::Io(_)));
        if is_ending && self.wait(grace).is_some() {
            return Ended::Guest;
        }
        let told = self.qmp().and_then(|mut qmp| qmp.execute("quit", json!({})));
        if told.is_ok() && self.wait(ANSWER).is_some() {
            return Ended::Quit;
        }
        self.kill();
        Ended::Killed
    }

    /// Ends the process at once.
    pub fn kill(&mut self) {
        if self.try_wait().is_none() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        for socket in &self.sockets {
            let _ = fs::remove_file(socket);
        }
    }
}
