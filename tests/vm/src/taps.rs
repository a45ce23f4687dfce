//! Taps, with network stacks of the host behind them.
//!
//! Taps want a network namespace of the test's own, so a test runs itself again in one, and says so and is done
//! where it may not: without `/dev/net/tun` or without the right to make namespaces.

use std::path::Path;
use std::process::Command;

use crate::{Spawned, WAIT, tool};

/// Set for the run in the namespace.
const INSIDE: &str = "UNISWITCH_TEST_NAMESPACE";

/// Runs the test `name` again in a network namespace of its own; `true` in there.
///
/// # Panics
/// When that run fails.
#[must_use]
pub fn is_inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        for (program, package) in [("ip", "iproute2"), ("nsenter", "util-linux")] {
            tool::need(program, package);
        }
        run("ip", &["link", "set", "lo", "up"]);
        return true;
    }
    let mut probe = Command::new("unshare");
    let probe =
        probe.args(["--net", "--", "ip", "tuntap", "add", "dev", "t0", "mode", "tap", "vnet_hdr"]);
    let can = probe.output().is_ok_and(|done| done.status.success());
    if !can {
        eprintln!("no network namespace with a tap can be had here: taps were not tried");
        return false;
    }
    let this = std::env::current_exe().expect("a path");
    let mut again = Command::new("unshare");
    again.args(["--net", "--"]).arg(this).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let done = again.output().expect("it runs");
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    false
}

/// Makes a tap for QEMU to open, with one queue or as many as it likes. Gives its name.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn make(number: u8, has_several_queues: bool) -> String {
    let name = format!("tap{number}");
    let mut args = vec!["tuntap", "add", "dev", &name, "mode", "tap", "vnet_hdr"];
    args.extend(has_several_queues.then_some("multi_queue"));
    run("ip", &args);
    name
}

/// Runs a program to its end and gives what it said.
///
/// # Panics
/// When it fails.
pub fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().expect("it runs");
    let said = String::from_utf8_lossy(&[&done.stdout[..], &done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{program} {args:?}: {said}");
    said
}

/// A stack of the host: a namespace with one end of a tap, `10.7.0.N` and `fd07::N`.
#[derive(Debug)]
pub struct Stack {
    /// N.
    pub number: u8,
    /// Holds the namespace.
    _holder: Spawned,
    namespace: String,
}

impl Stack {
    /// Takes the tap of this number, which QEMU has open.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn new(number: u8) -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sh", "-c", "echo it is $$ here; exec sleep 1000"]);
        let holder = Spawned::new(holder);
        assert!(holder.output().wait_for("here", WAIT));
        let said = holder.output().text();
        let pid = said.split_whitespace().nth(2).expect("a number").to_string();
        let namespace = format!("--net=/proc/{pid}/ns/net");
        run("ip", &["link", "set", &format!("tap{number}"), "netns", &pid]);
        let stack = Self { number, _holder: holder, namespace };
        stack.ip(&["link", "set", "lo", "up"]);
        for args in up(number) {
            stack.ip(&args.iter().map(String::as_str).collect::<Vec<_>>());
        }
        stack
    }

    fn ip(&self, args: &[&str]) {
        self.run("ip", args);
    }

    /// Runs a program in there to its end and gives what it said.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, args: &[&str]) -> String {
        run("nsenter", &[&[&self.namespace[..], "--", program], args].concat())
    }

    /// A command that is to run in there.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&self.namespace, "--"]).arg(program.as_ref());
        command
    }
}

/// As [`Stack::new`], for the test's own namespace.
///
/// # Panics
/// When there is no such tap.
pub fn take(number: u8) {
    for args in up(number) {
        run("ip", &args.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// What gives a tap its addresses: arguments of `ip`.
fn up(number: u8) -> [Vec<String>; 3] {
    let words = |text: String| text.split_whitespace().map(ToOwned::to_owned).collect();
    [
        words(format!("addr add 10.7.0.{number}/24 dev tap{number}")),
        words(format!("addr add fd07::{number}/64 dev tap{number} nodad")),
        words(format!("link set tap{number} up")),
    ]
}
