//! The programs that the tests need: found, or installed when that is allowed, else named.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use qemu::probe;

/// One installation at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The program `name`, which Debian and Ubuntu have in `package`.
///
/// # Panics
/// When it is neither there nor can be installed, in one line that says what to run.
pub fn need(name: &str, package: &str) -> PathBuf {
    if let Some(path) = find(name) {
        return path;
    }
    let _one = INSTALLING.lock();
    if find(name).is_none() {
        install(package);
    }
    find(name).unwrap_or_else(|| {
        panic!(
            "{name} is not installed, run: sudo apt-get install --no-install-recommends {package}"
        )
    })
}

/// The program `name`, wherever programs are, administrators' folders included.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    probe::find_program(name)
        .or_else(|| folders.into_iter().map(|dir| dir.join(name)).find(|file| file.is_file()))
}

/// Installs a package without asking anybody anything; what went wrong shows in the program's absence.
pub fn install(package: &str) {
    let is_root = output("id", &["-u"]).is_some_and(|id| id.trim() == "0");
    let mut words = if is_root { Vec::new() } else { vec!["sudo", "-n"] };
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let run = |args: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(args).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    };
    let wanted = ["install", "-y", "-q", "--no-install-recommends", package];
    if !run(&wanted) && run(&["update", "-q"]) {
        run(&wanted);
    }
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
