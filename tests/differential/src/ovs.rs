//! The real Open vSwitch: a database server and a daemon of our own in a directory of our own, on
//! its dummy datapath, so that it needs neither root nor the kernel.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use qemu::unixctl::{Unixctl, UnixctlError};
use tempfile::TempDir;

use crate::random::{METERS, N_PORTS, RuleSet, STATIONS};

/// Until a daemon or a tool answers. Far more than they need: only a broken one takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where the distribution keeps the schema of the database.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The port of the bridge that has no rules.
pub const OTHER_PORT: u32 = 7;

/// A running Open vSwitch with bridge `br0` and ports `p1`, `p2`, …. It ends when this is dropped.
#[derive(Debug)]
pub struct Ovs {
    control: Unixctl,
    // In this order: the daemon goes before its database, and the directory last.
    daemon: Killed,
    _database: Killed,
    dir: TempDir,
}

/// Whether the programs are there.
#[must_use]
pub fn is_installed() -> bool {
    let runs = |program: &str| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    ["ovs-vswitchd", "ovsdb-server", "ovs-ofctl"].into_iter().all(runs)
        && Path::new(SCHEMA).exists()
}

impl Ovs {
    /// Starts it.
    ///
    /// # Errors
    /// When a program is missing or does not answer, with what it said.
    pub fn start() -> Result<Self, String> {
        let dir = tempfile::Builder::new().prefix("differential-").tempdir();
        let dir = dir.map_err(|why| format!("a temporary directory: {why}"))?;
        let file = |name: &str| dir.path().join(name);
        run(Command::new("ovsdb-tool").arg("create").args([&file("conf.db"), Path::new(SCHEMA)]))?;
        let database = spawn(
            Command::new("ovsdb-server")
                .arg(file("conf.db"))
                .arg(format!("--remote=punix:{}", file("db.sock").display()))
                .arg(format!("--unixctl={}", file("db.ctl").display())),
            &file("ovsdb.out"),
        )?;
        wait_for(&file("db.sock"))?;
        let vsctl = |words: &[&str]| {
            run(Command::new("ovs-vsctl")
                .arg(format!("--db=unix:{}", file("db.sock").display()))
                .arg("--timeout=120")
                .args(words))
        };
        vsctl(&["--no-wait", "init"])?;
        let daemon = spawn(
            Command::new("ovs-vswitchd")
                .arg(format!("unix:{}", file("db.sock").display()))
                .arg(format!("--unixctl={}", file("ovs.ctl").display()))
                .arg(format!("--log-file={}", file("ovs.log").display()))
                .args(["--enable-dummy", "--disable-system", "-vconsole:off"])
                .env("OVS_RUNDIR", dir.path()),
            &file("ovs.out"),
        )?;
        wait_for(&file("ovs.ctl"))?;
        // Two tags, as we have them: unless told so, Open vSwitch looks at one.
        let mut words: Vec<String> = "set Open_vSwitch . other_config:vlan-limit=2 -- add-br br0 -- set bridge br0 datapath_type=dummy \
            fail_mode=secure other-config:hwaddr=02:aa:00:00:00:00 \
            protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        for port in 1..=N_PORTS {
            let more = format!(
                "-- add-port br0 p{port} -- set interface p{port} type=dummy ofport_request={port}"
            );
            words.extend(more.split_whitespace().map(str::to_owned));
        }
        let other = format!(
            "-- add-br br1 -- set bridge br1 datapath_type=dummy fail_mode=secure \
             -- add-port br1 q -- set interface q type=dummy ofport_request={OTHER_PORT}"
        );
        words.extend(other.split_whitespace().map(str::to_owned));
        vsctl(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
        let control = Unixctl::connect(&file("ovs.ctl")).map_err(|why| why.to_string())?;
        let mut ovs = Self { control, daemon, _database: database, dir };
        for (port, mac) in STATIONS {
            let mac = mac.to_string();
            ovs.call("fdb/add", &["br0", &format!("p{port}"), "0", &mac])?;
        }
        for meter in METERS {
            ovs.ofctl(&["-O", "OpenFlow13", "add-meter", "br0", meter])?;
        }
        Ok(ovs)
    }

    /// Forgets all rules and groups and learns those of `set`, at one instant; leaves out lines that
    /// the tool refuses, and says which and why.
    ///
    /// # Errors
    /// What the daemon says against one of them.
    pub fn load(&mut self, set: &RuleSet) -> Result<Vec<(String, String)>, String> {
        let groups = set.groups.iter().map(|line| ("group", line));
        let flows = set.flows.iter().map(|line| ("flow", line));
        let mut lines: Vec<(&str, &String)> = groups.chain(flows).collect();
        let mut refused: Vec<(String, String)> = Vec::new();
        loop {
            let mut text = String::from("flow delete\ngroup delete\n");
            for (kind, line) in &lines {
                writeln!(text, "{kind} add {line}").expect("a string takes it");
            }
            let path = self.dir.path().join("bundle.txt");
            fs::write(&path, text).map_err(|why| why.to_string())?;
            let path = path.display().to_string();
            let Err(why) = self.ofctl(&["-O", set.version, "bundle", "br0", &path]) else {
                return Ok(refused);
            };
            // `ovs-ofctl: PATH:NUMBER: what is wrong`, and two lines come before ours.
            let at = why.split_once("bundle.txt:").and_then(|(_, rest)| rest.split_once(": "));
            let number = at.and_then(|(number, what)| Some((number.parse::<usize>().ok()?, what)));
            let dropped = match number {
                Some((number, what)) if (3..lines.len() + 3).contains(&number) => {
                    Some((number - 3, what.trim().to_owned()))
                }
                _ => self.find_unsaid(set.version, &lines),
            };
            let Some((index, what)) = dropped else { return Err(why) };
            refused.push((lines.remove(index).1.clone(), what));
        }
    }

    /// The first rule that the tool cannot say in this version.
    fn find_unsaid(&self, version: &str, lines: &[(&str, &String)]) -> Option<(usize, String)> {
        lines.iter().enumerate().find_map(|(index, (kind, line))| {
            let result = (*kind == "flow").then(|| self.check_flow(version, line))?;
            result.err().map(|why| (index, why))
        })
    }

    /// Whether the tool takes a rule in this version.
    ///
    /// # Errors
    /// Why not.
    pub fn check_flow(&self, version: &str, line: &str) -> Result<(), String> {
        let result = self.ofctl(&["-O", version, "parse-flow", line]);
        result.map(drop).map_err(|why| why.lines().last().unwrap_or_default().to_owned())
    }

    /// What `ofproto/trace` says of a packet of [`Packet::words`](crate::random::Packet::words).
    ///
    /// # Errors
    /// When it says that this cannot be traced.
    pub fn trace(&mut self, place: &str, flow: &str) -> Result<String, String> {
        self.call("ofproto/trace", &[place, flow])
    }

    /// What key Open vSwitch takes out of a frame that came in on [`OTHER_PORT`].
    ///
    /// # Errors
    /// When it does not answer with a flow.
    pub fn extract(&mut self, frame: &[u8]) -> Result<String, String> {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        // On a bridge without rules nothing comes of it.
        let text = self.call("ofproto/trace", &["br1", &format!("in_port={OTHER_PORT}"), &hex])?;
        let flow = text.lines().find_map(|line| line.strip_prefix("Flow: "));
        flow.map(str::to_owned).ok_or_else(|| format!("no flow in: {text}"))
    }

    /// Calls a command of `ovs-appctl`.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub fn call(&mut self, method: &str, params: &[&str]) -> Result<String, String> {
        self.control.call(method, params, PATIENCE).map_err(|why: UnixctlError| why.to_string())
    }

    /// Runs `ovs-ofctl`.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ofctl(&self, words: &[&str]) -> Result<String, String> {
        run(Command::new("ovs-ofctl")
            .arg("--timeout=120")
            .env("OVS_RUNDIR", self.dir.path())
            .args(words))
    }

    /// Whether the daemon is no more, now that it does not answer: there are rules and packets at
    /// which Open vSwitch 3.1 aborts.
    pub fn has_ended(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if !matches!(self.daemon.0.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

/// A child that ends when it is dropped.
#[derive(Debug)]
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Killed, String> {
    let file = || File::create(log).map_err(|why| format!("{}: {why}", log.display()));
    let child = command.stdin(Stdio::null()).stdout(file()?).stderr(file()?).spawn();
    child.map(Killed).map_err(|why| format!("{command:?}: {why}"))
}

/// Runs a command to its end and gives what it printed.
fn run(command: &mut Command) -> Result<String, String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|why| format!("{command:?}: {why}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{command:?}: {} {said}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait_for(path: &Path) -> Result<(), String> {
    let begun = Instant::now();
    while !path.exists() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{} does not appear", path.display()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
