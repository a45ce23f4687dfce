//! `ovs-vswitchd` with ports that are made up, in a directory of its own.

use crate::daemon::{Killed, SCHEMA, run, wait_for};
use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A running Open vSwitch. Its processes end with it.
#[derive(Debug)]
pub(crate) struct Ovs {
    pub(crate) socket: PathBuf,
    // In this order: the daemon goes before its database.
    daemon: Killed,
    _database: Killed,
}

impl Ovs {
    /// Starts it with an empty bridge of two ports.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let file = |name: &str| dir.join(name);
        let log = || File::create(dir.join("ovs.out"));
        run(Command::new("ovsdb-tool").arg("create").args([&file("conf.db"), Path::new(SCHEMA)]))?;
        let database = Command::new("ovsdb-server")
            .arg(file("conf.db"))
            .arg(format!("--remote=punix:{}", file("db.sock").display()))
            .arg(format!("--unixctl={}", file("db.ctl").display()))
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .spawn()?;
        let _database = Killed(database);
        wait_for(&file("db.sock"))?;
        let daemon = Command::new("ovs-vswitchd")
            .arg("--enable-dummy")
            .arg("--disable-system")
            .arg(format!("unix:{}", file("db.sock").display()))
            .arg(format!("--unixctl={}", file("ovs.ctl").display()))
            .arg(format!("--log-file={}", file("ovs.log").display()))
            .env("OVS_RUNDIR", dir)
            .env_remove("GLIBC_TUNABLES")
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .spawn()
            .map_err(|why| format!("ovs-vswitchd (package openvswitch-switch): {why}"))?;
        let daemon = Killed(daemon);
        wait_for(&file("ovs.ctl"))?;
        let mut words = vec!["add-br", "br0", "--", "set", "bridge", "br0"];
        words.extend(["datapath_type=dummy", "fail_mode=secure"]);
        words.push("protocols=[OpenFlow13,OpenFlow14]");
        for (port, number) in [("p1", "ofport_request=1"), ("p2", "ofport_request=2")] {
            words.extend(["--", "add-port", "br0", port, "--", "set", "Interface", port]);
            words.extend(["type=dummy", number]);
        }
        run(Command::new("ovs-vsctl")
            .arg(format!("--db=unix:{}", file("db.sock").display()))
            .arg("--timeout=30")
            .args(words))?;
        let socket = file("br0.mgmt");
        wait_for(&socket)?;
        Ok(Self { socket, daemon, _database })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.0.id()
    }
}
