//! The stock tools of the database, against a bench.

use std::process::{Command, Stdio};

use super::{Bench, Refused};
use crate::tool;

impl Bench {
    /// Where stock tools reach the switch's database: `tcp:127.0.0.1:PORT`.
    #[must_use]
    pub fn ovsdb(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.ovsdb.port)
    }

    /// Runs `ovs-vsctl` with these arguments and gives what it printed, without the last line's end.
    #[track_caller]
    pub fn vsctl(&self, args: &[&str]) -> String {
        match self.try_vsctl(args) {
            Ok(text) => text,
            Err(Refused(why)) => self.fail(format!("ovs-vsctl {args:?}: {why}")),
        }
    }

    /// Runs `ovs-vsctl` with these arguments.
    ///
    /// # Errors
    /// When it fails; then what it printed as an error.
    pub fn try_vsctl(&self, args: &[&str]) -> Result<String, Refused> {
        vsctl(&self.ovsdb(), args)
    }

    /// Runs `ovsdb-client COMMAND TARGET ARGS`.
    ///
    /// # Errors
    /// When it fails; then what it printed as an error.
    pub fn try_ovsdb_client(&self, command: &str, args: &[&str]) -> Result<String, Refused> {
        output(self.ovsdb_client_command(command, args))
    }

    /// `ovsdb-client COMMAND TARGET ARGS`, to be run as the caller likes.
    #[must_use]
    pub fn ovsdb_client_command(&self, command: &str, args: &[&str]) -> Command {
        let mut run = Command::new(tool::need("ovsdb-client", "openvswitch-common"));
        run.args(["--timeout=60", command, &self.ovsdb()]).args(args).stdin(Stdio::null());
        run
    }

    /// The same, to its end.
    #[track_caller]
    pub fn ovsdb_client(&self, command: &str, args: &[&str]) -> String {
        match self.try_ovsdb_client(command, args) {
            Ok(text) => text,
            Err(Refused(why)) => self.fail(format!("ovsdb-client {command} {args:?}: {why}")),
        }
    }
}

/// Runs `ovs-vsctl` with these arguments on the database at `target`.
///
/// # Errors
/// When it fails; then what it printed as an error.
pub fn vsctl(target: &str, args: &[&str]) -> Result<String, Refused> {
    let mut run = Command::new(tool::need("ovs-vsctl", "openvswitch-switch"));
    run.arg(format!("--db={target}")).args(["--timeout=60", "--no-syslog"]).args(args);
    run.stdin(Stdio::null());
    output(run)
}

fn output(mut command: Command) -> Result<String, Refused> {
    let output = command.output().map_err(|why| Refused(why.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        Err(Refused(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
