//! The machine that the switch runs on.

use std::process::{Command, ExitStatus};

use qemu::Vm;
use qemu::qmp::Qmp;
use qemu::serial::Log;
use serde_json::json;

use super::{Bench, WAIT};

impl Bench {
    /// What the image wrote on its serial port.
    #[must_use]
    pub fn serial(&self) -> Log {
        self.running.borrow().serial().clone()
    }

    /// Types a line at the image's serial port.
    #[track_caller]
    pub fn type_line(&self, line: &str) {
        let typed = self.running.borrow_mut().type_line(line);
        typed.unwrap_or_else(|why| self.fail(why.to_string()));
    }

    /// QEMU's control.
    #[track_caller]
    pub fn qmp(&self) -> Qmp {
        let qmp = self.running.borrow().qmp();
        qmp.unwrap_or_else(|why| self.fail(why.to_string()))
    }

    /// Stops the guest's time, as `stop` in QEMU's monitor does.
    #[track_caller]
    pub fn pause(&self) {
        self.qmp().execute("stop", json!({})).unwrap_or_else(|why| self.fail(why.to_string()));
    }

    /// Lets the guest's time go on.
    #[track_caller]
    pub fn resume(&self) {
        self.qmp().execute("cont", json!({})).unwrap_or_else(|why| self.fail(why.to_string()));
    }

    /// Takes the processor away from QEMU as a whole, as a host that sleeps or has no time: the guest's
    /// clock goes on.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Gives it back.
    #[track_caller]
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    #[track_caller]
    fn signal(&self, signal: &str) {
        let id = self.running.borrow().id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        if !status.is_ok_and(|status| status.success()) {
            self.fail(format!("kill {signal} {id}"));
        }
    }

    /// QEMU's process.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.running.borrow().id()
    }

    /// Ends a machine of which nothing can be asked any more.
    pub fn kill(self) {
        self.is_over.set(true);
    }

    /// Waits until QEMU is gone by itself and its whole serial output is there; what the exit status
    /// was.
    #[track_caller]
    pub fn wait_for_end(&self) -> ExitStatus {
        self.is_over.set(true);
        let status = self.running.borrow_mut().wait(WAIT);
        let status = status.unwrap_or_else(|| self.fail("the machine does not end"));
        // Its last words may still be in the pipe, whose end ends this wait.
        self.serial().wait_until(WAIT, |_| false);
        status
    }

    /// Whether QEMU still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.borrow_mut().try_wait().is_none()
    }

    /// A folder that lasts as long as the bench.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The machine's description.
    #[must_use]
    pub fn vm(&self) -> &Vm {
        &self.vm
    }
}
