//! A stock Open vSwitch on the host, with ports that lead nowhere: what the image is compared with.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bench::WAIT;
use crate::spawned::Spawned;
use crate::tool;

/// Between two looks at whether something is there.
const LOOK: Duration = Duration::from_millis(10);
/// Where Debian and Ubuntu keep the schema of its database.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// A running `ovs-vswitchd` with one bridge, `br0`, that speaks every version.
#[derive(Debug)]
pub struct Reference {
    /// Dropped first.
    _switch: Spawned,
    _database: Spawned,
    dir: TempDir,
}

impl Reference {
    /// Starts it with ports `p1`, `p2`, … as the bench names them.
    ///
    /// # Panics
    /// When it cannot be had or does not start.
    #[must_use]
    pub fn start(n_ports: usize) -> Self {
        let dir = tempfile::Builder::new().prefix("ovs-").tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let make = |program: &str| {
            let mut command = Command::new(tool::need(program, "openvswitch-switch"));
            for name in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
                command.env(name, dir.path());
            }
            command
        };
        finish(make("ovsdb-tool").arg("create").arg(at("conf.db")).arg(SCHEMA));
        let remote = format!("unix:{}", at("db.sock").display());
        let mut command = make("ovsdb-server");
        command.arg(at("conf.db")).arg(format!("--remote=p{remote}")).arg("--no-chdir");
        let database = Spawned::new(command);
        wait_for(&at("db.sock"), &database);
        let vsctl = || {
            let mut command = make("ovs-vsctl");
            command.arg(format!("--db={remote}")).arg("--timeout=60");
            command
        };
        finish(vsctl().args(["--no-wait", "init"]));
        let mut command = make("ovs-vswitchd");
        command.args(["--enable-dummy=override", "--disable-system", "--no-chdir"]).arg(&remote);
        let switch = Spawned::new(command);
        let mut add = vsctl();
        add.args(["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy"]);
        add.arg("other-config:datapath-id=0000525400000000");
        let all = (10..=15).map(|n| format!("OpenFlow{n}")).collect::<Vec<_>>().join(",");
        add.arg(format!("protocols={all}"));
        for port in 1..=n_ports {
            let name = format!("p{port}");
            add.args(["--", "add-port", "br0", &name, "--", "set", "interface", &name]);
            add.arg("type=dummy").arg(format!("ofport_request={port}"));
        }
        finish(&mut add);
        wait_for(&at("br0.mgmt"), &switch);
        Self { _switch: switch, _database: database, dir }
    }

    /// Where stock tools reach it.
    #[must_use]
    pub fn target(&self) -> String {
        format!("unix:{}", self.dir.path().join("br0.mgmt").display())
    }
}

#[track_caller]
fn finish(command: &mut Command) {
    let output = command.output().expect("a program that starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

#[track_caller]
fn wait_for(path: &Path, who: &Spawned) {
    let deadline = Instant::now() + WAIT;
    while fs::metadata(path).is_err() {
        assert!(Instant::now() < deadline, "no {}: {}", path.display(), who.errors().text());
        thread::sleep(LOOK);
    }
}
