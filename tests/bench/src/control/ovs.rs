//! `ovs-vswitchd` with ports that are made up, in a directory of its own.

use crate::daemon::{Killed, wait_for};
use crate::vswitchd::Database;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A running Open vSwitch. Its processes end with it.
#[derive(Debug)]
pub(crate) struct Ovs {
    pub(crate) socket: PathBuf,
    // In this order: the daemon goes before its database.
    daemon: Killed,
    _database: Database,
}

impl Ovs {
    /// Starts it with an empty bridge of two ports.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let database = Database::start(dir)?;
        let mut daemon = Command::new("ovs-vswitchd");
        daemon.args(["--enable-dummy", "--disable-system"]).env_remove("GLIBC_TUNABLES");
        let daemon = database
            .daemon(daemon)
            .map_err(|why| format!("{why} (ovs-vswitchd is of the package openvswitch-switch)"))?;
        let mut words = vec!["add-br", "br0", "--", "set", "bridge", "br0"];
        words.extend(["datapath_type=dummy", "fail_mode=secure"]);
        words.push("protocols=[OpenFlow13,OpenFlow14]");
        for (port, number) in [("p1", "ofport_request=1"), ("p2", "ofport_request=2")] {
            words.extend(["--", "add-port", "br0", port, "--", "set", "Interface", port]);
            words.extend(["type=dummy", number]);
        }
        database.vsctl(words)?;
        let socket = database.file("br0.mgmt");
        wait_for(&socket)?;
        Ok(Self { socket, daemon, _database: database })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.0.id()
    }
}
