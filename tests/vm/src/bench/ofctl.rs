//! The stock `ovs-ofctl` against the switch.

use std::fs;
use std::process::{Command, Stdio};

use super::{Bench, Refused};
use crate::spawned::Spawned;
use crate::tool;

impl Bench {
    /// Where stock tools reach the switch: `tcp:127.0.0.1:PORT`.
    #[must_use]
    pub fn target(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.openflow.port)
    }

    /// Runs `ovs-ofctl -O OpenFlow13 COMMAND TARGET ARGS` and gives what it printed.
    #[track_caller]
    pub fn ofctl(&self, command_and_args: &[&str]) -> String {
        match self.try_ofctl("OpenFlow13", command_and_args) {
            Ok(text) => text,
            Err(Refused(why)) => self.fail(format!("ovs-ofctl {command_and_args:?}: {why}")),
        }
    }

    /// Runs `ovs-ofctl -O VERSION COMMAND TARGET ARGS`.
    ///
    /// # Errors
    /// When it fails; then what it printed as an error.
    pub fn try_ofctl(&self, version: &str, command_and_args: &[&str]) -> Result<String, Refused> {
        let (command, args) = command_and_args.split_first().expect("a command");
        let output = self
            .ofctl_command(version, command, args)
            .output()
            .map_err(|why| Refused(why.to_string()))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Refused(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }

    /// `ovs-ofctl -O VERSION COMMAND TARGET ARGS`, to be run as the caller likes.
    #[must_use]
    pub fn ofctl_command(&self, version: &str, command: &str, args: &[&str]) -> Command {
        let mut run = Command::new(tool::need("ovs-ofctl", "openvswitch-common"));
        run.args(["-O", version, "--timeout=60", command, &self.target()]).args(args);
        run.stdin(Stdio::null()).env("OVS_RUNDIR", self.dir.path());
        run
    }

    /// The same with OpenFlow 1.3, started and left running.
    #[track_caller]
    pub fn spawn_ofctl(&self, command_and_args: &[&str]) -> Spawned {
        let (command, args) = command_and_args.split_first().expect("a command");
        Spawned::new(self.ofctl_command("OpenFlow13", command, args))
    }

    /// Replaces all flows by `flows`, in force when this returns.
    #[track_caller]
    pub fn set_flows(&self, flows: &[&str]) {
        let file = self.dir.path().join("flows");
        fs::write(&file, flows.join("\n") + "\n").expect("a file of flows");
        self.ofctl(&["del-flows"]);
        if !flows.is_empty() {
            self.ofctl(&["add-flows", &file.to_string_lossy()]);
        }
    }

    /// Waits until every conclusion that the switch has cached knows of all changes so far, what was
    /// learned included: by the barrier behind a change that changes nothing.
    #[track_caller]
    pub fn barrier(&self) {
        self.ofctl(&["del-flows", "table=253,cookie=0x5eed/-1"]);
    }

    /// The TCP port of the host that leads to the switch's OpenFlow.
    #[must_use]
    pub fn openflow_port(&self) -> u16 {
        self.openflow.port
    }
}
