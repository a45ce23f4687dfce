//! A program that runs beside the switch: what it says, and its end with the test.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use qemu::serial::Log;

/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Spawned {
    child: Child,
    stdin: Option<ChildStdin>,
    output: Log,
    errors: Log,
}

impl Spawned {
    /// Starts it with its input and outputs in the test's hands.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    #[track_caller]
    pub fn new(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(why) => panic!("{command:?}: {why}"),
        };
        let output = child.stdout.take().map(|pipe| Log::follow(pipe, |_| ())).unwrap_or_default();
        let errors = child.stderr.take().map(|pipe| Log::follow(pipe, |_| ())).unwrap_or_default();
        Self { stdin: child.stdin.take(), child, output, errors }
    }

    /// What it printed.
    #[must_use]
    pub fn output(&self) -> &Log {
        &self.output
    }

    /// What it printed as errors and log.
    #[must_use]
    pub fn errors(&self) -> &Log {
        &self.errors
    }

    /// Types a line.
    ///
    /// # Panics
    /// When it does not read any more.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("an input");
        writeln!(stdin, "{line}").expect("a program that reads");
    }

    /// Waits for its end, at most `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            let status = self.child.try_wait().ok().flatten();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
