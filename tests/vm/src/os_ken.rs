//! The os-ken controller framework and its stock learning switches, from PyPI.
//!
//! The framework of today no longer carries the applications, so they come out of an older release of
//! it. Everything is kept in the build folder and made once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::spawned::Spawned;
use crate::tool;

/// The framework that runs.
const FRAMEWORK: &str = "os-ken==2.8.1";
/// The release whose applications are used.
const APPLICATIONS: &str = "os-ken==1.4.1";

/// The stock learning switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// `simple_switch.py`, for OpenFlow 1.0.
    SimpleSwitch,
    /// `simple_switch_13.py`, for OpenFlow 1.3.
    SimpleSwitch13,
}

impl Application {
    fn file(self) -> &'static str {
        match self {
            Self::SimpleSwitch => "simple_switch.py",
            Self::SimpleSwitch13 => "simple_switch_13.py",
        }
    }
}

/// Starts `osken-manager` with an application, listening on TCP port `port`. `folder` is the caller's
/// `CARGO_TARGET_TMPDIR`.
///
/// # Panics
/// When it cannot be had, in one line that says why.
#[must_use]
pub fn start(application: Application, port: u16, folder: &Path) -> Spawned {
    let folder = folder.join("os-ken");
    if let Err(why) = install(&folder) {
        panic!("os-ken is not there and could not be installed from PyPI: {why}");
    }
    let mut command = Command::new(folder.join("venv/bin/python"));
    command.arg(folder.join("venv/bin/osken-manager"));
    command.args(["--verbose", "--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port"]);
    command.arg(port.to_string()).arg(folder.join("apps/os_ken/app").join(application.file()));
    Spawned::new(command)
}

/// Makes the folder, unless it is whole already. Other processes wait meanwhile.
fn install(folder: &Path) -> Result<(), String> {
    let text = |why: std::io::Error| why.to_string();
    fs::create_dir_all(folder).map_err(text)?;
    let lock = File::create(folder.join("lock")).map_err(text)?;
    lock.lock().map_err(text)?;
    let done = folder.join("done");
    if fs::read_to_string(&done).is_ok_and(|what| what == wanted()) {
        return Ok(());
    }
    let (venv, wheels, apps) = (folder.join("venv"), folder.join("wheels"), folder.join("apps"));
    for old in [&venv, &wheels, &apps] {
        let _ = fs::remove_dir_all(old);
    }
    let python = tool::need("python3", "python3-venv");
    let pip = venv.join("bin/pip");
    let quiet = ["--quiet", "--disable-pip-version-check"];
    if run(Command::new(&python).args(["-m", "venv"]).arg(&venv)).is_err() {
        // Debian keeps what a venv needs in a package of its own.
        tool::install("python3-venv");
        run(Command::new(&python).args(["-m", "venv"]).arg(&venv))?;
    }
    run(Command::new(&pip).arg("install").args(quiet).arg(FRAMEWORK))?;
    let mut download = Command::new(&pip);
    download.arg("download").args(quiet).args(["--no-deps", APPLICATIONS, "-d"]).arg(&wheels);
    run(&mut download)?;
    let wheel = fs::read_dir(&wheels).map_err(text)?.flatten().map(|entry| entry.path()).next();
    let wheel: PathBuf = wheel.ok_or("pip downloaded nothing")?;
    run(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&apps))?;
    fs::write(done, wanted()).map_err(text)
}

fn wanted() -> String {
    format!("{FRAMEWORK} {APPLICATIONS}\n")
}

/// Runs a command to its end; its last words when it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|why| why.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason").to_owned())
}
