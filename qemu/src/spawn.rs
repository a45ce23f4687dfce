//! Starts QEMU so that it cannot outlive us.
//!
//! A guard that kills on drop does for returns and panics, signal handlers for Ctrl-C; neither for
//! SIGKILL. The kernel can do that (`PR_SET_PDEATHSIG`), and `setpriv` of util-linux sets it without
//! unsafe code of ours. The signal comes when the *thread* that started the child ends, so children
//! are started by one thread that lives as long as the process.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

pub(crate) fn spawn(command: &[std::ffi::OsString]) -> io::Result<Child> {
    let mut child = if has_setpriv() {
        let mut child = Command::new("setpriv");
        child.args(["--pdeathsig", "KILL", "--"]).args(command);
        child
    } else {
        let mut child = Command::new(&command[0]);
        child.args(&command[1..]);
        child
    };
    child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C at the terminal is for us: we shut the guest down, QEMU must not just die.
        .process_group(0);
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, received) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in received {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    spawner.send((child, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

fn has_setpriv() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "--", "true"]);
        probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    })
}
