//! The stock `ovs-ofctl` in one version, and what is expected of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::bench::{Bench, Refused, WAIT};
use crate::masked::masked;
use crate::spawned::Spawned;
use crate::tool;

/// OpenFlow versions in the tool's words.
pub const VERSIONS: [&str; 6] =
    ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"];

/// `ovs-ofctl` in one version.
#[derive(Clone, Copy, Debug)]
pub struct Ofctl<'a> {
    /// The switch.
    pub bench: &'a Bench,
    version: &'static str,
}

impl<'a> Ofctl<'a> {
    /// The tool in `version`, one of [`VERSIONS`].
    #[must_use]
    pub fn new(bench: &'a Bench, version: &'static str) -> Self {
        Self { bench, version }
    }

    /// Names what is tested from here on.
    pub fn case(&self, name: &str) {
        self.bench.case(format!("{}: {name}", self.version));
    }

    /// Whether the version is 1.`minor` or a later one.
    #[must_use]
    pub fn is_from(&self, minor: u8) -> bool {
        self.minor() >= minor
    }

    /// Whether the version is 1.`minor`.
    #[must_use]
    pub fn is(&self, minor: u8) -> bool {
        self.minor() == minor
    }

    fn minor(&self) -> u8 {
        self.version.as_bytes()[self.version.len() - 1] - b'0'
    }

    /// `text` with how the tool names the version in place of ` V`.
    #[must_use]
    pub fn tagged(&self, text: &str) -> String {
        match self.minor() {
            0 => text.replace(" V", ""),
            minor => text.replace(" V", &format!(" (OF1.{minor})")),
        }
    }

    /// What a command prints, masked.
    #[track_caller]
    pub fn run(&self, command_and_args: &[&str]) -> String {
        match self.bench.try_ofctl(self.version, command_and_args) {
            Ok(text) => masked(&text),
            Err(Refused(why)) => self.bench.fail(format!("{command_and_args:?}: {why}")),
        }
    }

    /// A command prints `expected`, in which ` V` stands for how the tool names the version.
    #[track_caller]
    pub fn prints(&self, command_and_args: &[&str], expected: &str) {
        let printed = self.run(command_and_args);
        let expected = self.tagged(expected);
        assert_eq!(printed.trim_end(), expected.trim_end(), "{command_and_args:?}");
    }

    /// The tool fails, and its words have `expected` in them.
    #[track_caller]
    pub fn refused(&self, command_and_args: &[&str], expected: &str) -> String {
        match self.bench.try_ofctl(self.version, command_and_args) {
            Ok(said) => self.bench.fail(format!("{command_and_args:?} was taken: {said}")),
            Err(Refused(why)) if why.contains(expected) => why,
            Err(Refused(why)) => self.bench.fail(format!("{command_and_args:?}: {why}")),
        }
    }

    /// A command to be run as the caller likes.
    #[must_use]
    pub fn command(&self, command: &str, args: &[&str]) -> Command {
        self.bench.ofctl_command(self.version, command, args)
    }

    /// Replaces all rules by `flows`.
    #[track_caller]
    pub fn only(&self, flows: &[&str]) {
        // Not in 1.1, in which the tool deletes from one table alone.
        self.bench.ofctl(&["del-flows"]);
        let file = self.file("only", flows);
        self.run(&["add-flows", &file]);
    }

    /// The rules are these, in the form that takes no part in time.
    #[track_caller]
    pub fn has_flows(&self, expected: &[&str]) {
        let text = self.run(&["dump-flows", "--no-stats"]);
        let flows = text.lines().skip_while(|line| line.contains("reply")).map(str::trim);
        assert_eq!(flows.collect::<Vec<_>>(), expected);
    }

    /// A file of these lines that lasts as long as the bench; its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, lines: &[&str]) -> String {
        let path = self.bench.dir().join(name);
        fs::write(&path, lines.join("\n") + "\n").expect("a file");
        path.to_string_lossy().into_owned()
    }

    /// A running `ovs-ofctl monitor`.
    #[track_caller]
    pub fn monitor(&self, args: &[&str]) -> Monitor {
        Monitor::start(self.bench, &mut self.command("monitor", args))
    }
}

/// A running `ovs-ofctl monitor` or `snoop`.
#[derive(Debug)]
pub struct Monitor {
    process: Spawned,
    control: PathBuf,
}

impl Monitor {
    /// Starts it, and waits until all that it asks for at the start is in force: then it opens its own
    /// control socket.
    #[track_caller]
    pub fn start(bench: &Bench, command: &mut Command) -> Self {
        let control = bench.dir().join("monitor");
        let _ = fs::remove_file(&control);
        command.arg(format!("--unixctl={}", control.display()));
        let mut ready = Command::new(command.get_program());
        ready.args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                ready.env(name, value);
            }
        }
        let monitor = Self { process: Spawned::new(ready), control };
        if !bench.wait_until(|| monitor.control.exists()) {
            bench.fail(format!("no monitor: {}", monitor.process.errors().text()));
        }
        monitor
    }

    /// Waits until a line has both parts in it.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn says(&self, first: &str, second: &str) {
        let has = |text: &str| {
            text.lines().any(|line| {
                let line = line.replace("xid=0x0", "xid=X");
                line.contains(first) && line.contains(second)
            })
        };
        let said = self.process.errors();
        assert!(
            said.wait_until(WAIT, has),
            "{first} … {second}: {}{}",
            said.text(),
            self.process.output().text()
        );
    }

    /// Ends it as its owner would; what it printed as answers.
    ///
    /// # Panics
    /// When it does not end well.
    #[track_caller]
    pub fn exit(mut self) -> String {
        let mut command = Command::new(tool::need("ovs-appctl", "openvswitch-common"));
        let status = command.arg("-t").arg(&self.control).arg("exit").output().expect("ovs-appctl");
        assert!(status.status.success(), "{status:?}");
        let status = self.process.wait(WAIT);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        // Its last words may still be in the pipe, whose end ends this wait.
        self.process.output().wait_until(WAIT, |_| false);
        self.process.output().text()
    }
}
