//! The os-ken controller framework and its stock applications, from PyPI.
//!
//! The framework of today no longer carries the applications, so they come out of an older release of
//! it. The learning switches run on the framework of today; those with a REST interface need the older one,
//! whole. Everything is kept in the build folder and made once.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::WAIT;
use crate::lease::Lease;
use crate::spawned::Spawned;
use crate::tool;

/// The framework that runs.
const FRAMEWORK: &str = "os-ken==2.8.1";
/// The release whose applications are used.
const APPLICATIONS: &str = "os-ken==1.4.1";
/// What that release needs besides.
const ITS_RPC: &str = "tinyrpc==1.1.7";
/// Starts the older framework on libraries of today, of which one no longer has a mark that is looked for,
/// and one no longer a function that it is handed, and has no need to call.
const OLDER_FRAMEWORK: &str = "import eventlet; eventlet.monkey_patch(); import eventlet.wsgi; \
                               eventlet.wsgi.ALREADY_HANDLED = []; \
                               import ovs.db.idl; ovs.db.idl._uuid_to_row = lambda atom, base: atom; \
                               from os_ken.cmd.manager import main; main()";

/// Stock applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// `simple_switch.py`, for OpenFlow 1.0.
    SimpleSwitch,
    /// `simple_switch_12.py`, for OpenFlow 1.2.
    SimpleSwitch12,
    /// `simple_switch_13.py`, for OpenFlow 1.3.
    SimpleSwitch13,
    /// `simple_switch_14.py`, for OpenFlow 1.4.
    SimpleSwitch14,
    /// `simple_switch_15.py`, for OpenFlow 1.5.
    SimpleSwitch15,
    /// `rest_firewall.py`, which speaks OpenFlow up to 1.3.
    Firewall,
    /// `rest_router.py`, which speaks OpenFlow up to 1.3.
    Router,
    /// `rest_qos.py`, which speaks OpenFlow up to 1.3, with `rest_conf_switch.py`, which tells it where the
    /// switch's database is.
    Qos,
    /// `ofctl_rest.py`, which speaks OpenFlow up to 1.5.
    Ofctl,
}

impl Application {
    fn name(self) -> &'static str {
        match self {
            Self::SimpleSwitch => "simple_switch",
            Self::SimpleSwitch12 => "simple_switch_12",
            Self::SimpleSwitch13 => "simple_switch_13",
            Self::SimpleSwitch14 => "simple_switch_14",
            Self::SimpleSwitch15 => "simple_switch_15",
            Self::Firewall => "rest_firewall",
            Self::Router => "rest_router",
            Self::Qos => "rest_qos",
            Self::Ofctl => "ofctl_rest",
        }
    }

    fn has_rest(self) -> bool {
        matches!(self, Self::Firewall | Self::Router | Self::Qos | Self::Ofctl)
    }
}

/// A running application.
#[derive(Debug)]
pub struct OsKen {
    process: Spawned,
    rest: Option<Lease>,
}

impl OsKen {
    /// Starts an application that listens for switches on the leased port, and waits until it does.
    /// `folder` is the caller's `CARGO_TARGET_TMPDIR`.
    ///
    /// # Panics
    /// When it cannot be had, in one line that says why, or does not listen.
    #[must_use]
    #[track_caller]
    pub fn start(application: Application, port: &Lease, folder: &Path) -> Self {
        let folder = folder.join("os-ken");
        if let Err(why) = install(&folder) {
            panic!("os-ken is not there and could not be installed from PyPI: {why}");
        }
        let rest = application.has_rest().then(Lease::take);
        let mut command = Command::new(folder.join("venv/bin/python"));
        match &rest {
            None => command.arg(folder.join("venv/bin/osken-manager")),
            Some(_) => command.env("PYTHONPATH", folder.join("apps")).args(["-c", OLDER_FRAMEWORK]),
        };
        command.args(["--verbose", "--ofp-listen-host", "127.0.0.1", "--ofp-tcp-listen-port"]);
        command.arg(port.port.to_string());
        match &rest {
            None => {
                let file = format!("apps/os_ken/app/{}.py", application.name());
                command.arg(folder.join(file));
            }
            Some(rest) => {
                command.args(["--wsapi-host", "127.0.0.1", "--wsapi-port"]);
                command.arg(rest.port.to_string());
                command.arg(format!("os_ken.app.{}", application.name()));
                if application == Application::Qos {
                    command.arg("os_ken.app.rest_conf_switch");
                }
            }
        }
        let os_ken = Self { process: Spawned::new(command), rest };
        let ports = [Some(port.port), os_ken.rest.as_ref().map(|rest| rest.port)];
        let deadline = Instant::now() + WAIT;
        for port in ports.into_iter().flatten() {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                let said = os_ken.process.errors();
                assert!(Instant::now() < deadline, "os-ken does not listen: {}", said.text());
                thread::sleep(Duration::from_millis(50));
            }
        }
        os_ken
    }

    /// A request to its REST interface: the status and what came with it, null where that is no JSON.
    ///
    /// # Panics
    /// When it has no such interface, or does not answer.
    #[track_caller]
    pub fn rest(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let port = self.rest.as_ref().expect("a REST interface").port;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        let request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.errors().text()
    }
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
    run(Command::new(&pip).arg("install").args(quiet).args([FRAMEWORK, ITS_RPC]))?;
    let mut download = Command::new(&pip);
    download.arg("download").args(quiet).args(["--no-deps", APPLICATIONS, "-d"]).arg(&wheels);
    run(&mut download)?;
    let wheel = fs::read_dir(&wheels).map_err(text)?.flatten().map(|entry| entry.path()).next();
    let wheel: PathBuf = wheel.ok_or("pip downloaded nothing")?;
    run(Command::new(&python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&apps))?;
    fs::write(done, wanted()).map_err(text)
}

fn wanted() -> String {
    format!("{FRAMEWORK} {APPLICATIONS} {ITS_RPC}\n")
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
