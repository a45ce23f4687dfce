//! Gets QEMU from the distribution when it is missing and we may.

use std::io;
use std::process::{Command, Stdio};

use qemu::probe::{self, NoQemu, Qemu};

use crate::ui::{Event, Ui};

const PACKAGE: &str = "qemu-system-x86";

/// The QEMU of this host; installs it first when it is missing and that needs no question.
///
/// The error is one line that says what to do.
pub(crate) fn qemu(ui: &mut Ui) -> Result<Qemu, String> {
    match probe::find_qemu() {
        Ok(qemu) => Ok(qemu),
        Err(NoQemu::Missing) => {
            install(ui)?;
            probe::find_qemu().map_err(|why| format!("{why} after its installation"))
        }
        Err(why) => Err(why.to_string()),
    }
}

fn install(ui: &mut Ui) -> Result<(), String> {
    let missing = NoQemu::Missing;
    if probe::find_program("apt-get").is_none() {
        return Err(format!("{missing}: install it with your system's package manager"));
    }
    let by_hand = format!("{missing}, run: sudo apt-get install --no-install-recommends {PACKAGE}");
    let sudo: &[&str] = if rustix::process::geteuid().is_root() {
        &[]
    } else if runs_quietly(&["sudo", "-n", "true"]) {
        &["sudo", "-n"]
    } else {
        return Err(by_hand);
    };
    ui.show(&Event::Note { text: format!("{missing}: installing {PACKAGE}") });
    let get = ["apt-get", "install", "-y", "--no-install-recommends", PACKAGE];
    if run(ui, sudo, &get).is_ok() {
        return Ok(());
    }
    // A fresh machine or container has no package lists yet.
    let again = run(ui, sudo, &["apt-get", "update"]).and_then(|()| run(ui, sudo, &get));
    again.map_err(|why| format!("{by_hand} (it failed when tried: {why})"))
}

fn runs_quietly(command: &[&str]) -> bool {
    let mut command_line = Command::new(command[0]);
    command_line.args(&command[1..]).stdin(Stdio::null());
    command_line.stdout(Stdio::null()).stderr(Stdio::null());
    command_line.status().is_ok_and(|status| status.success())
}

/// Runs a command, showing its lines as they come.
fn run(ui: &mut Ui, sudo: &[&str], command: &[&str]) -> Result<(), String> {
    use io::BufRead as _;
    let words: Vec<_> = sudo.iter().chain(command).collect();
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|why| why.to_string())?;
    let errors = child
        .stderr
        .take()
        .map(|pipe| std::thread::spawn(move || io::read_to_string(pipe).unwrap_or_default()));
    if let Some(pipe) = child.stdout.take() {
        for line in io::BufReader::new(pipe).lines().map_while(Result::ok) {
            ui.show(&Event::Building { what: line });
        }
    }
    let status = child.wait().map_err(|why| why.to_string())?;
    let errors = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let first = errors.lines().find(|line| line.starts_with("E:")).unwrap_or("apt-get failed");
    Err(first.to_owned())
}
