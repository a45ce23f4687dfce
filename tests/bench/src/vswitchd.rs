//! Open vSwitch's database server, and a daemon with it, in a directory of their own; configured by the stock tools.

use crate::daemon::{Killed, SCHEMA, run, wait_for};
use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A running database server, of which an `ovs-vswitchd` may take its configuration. It ends with this: drop the
/// daemon before.
#[derive(Debug)]
pub(crate) struct Database {
    dir: PathBuf,
    _server: Killed,
}

impl Database {
    /// Starts it with an empty database.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let file = |name: &str| dir.join(name);
        run(Command::new("ovsdb-tool").arg("create").args([&file("conf.db"), Path::new(SCHEMA)]))?;
        let mut server = Command::new("ovsdb-server");
        server
            .arg(file("conf.db"))
            .arg(format!("--remote=punix:{}", file("db.sock").display()))
            .arg(format!("--unixctl={}", file("db.ctl").display()));
        let _server = spawn(server, dir)?;
        wait_for(&file("db.sock"))?;
        Ok(Self { dir: dir.into(), _server })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Changes the configuration.
    pub(crate) fn vsctl(&self, words: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<String> {
        run(Command::new("ovs-vsctl")
            .arg(format!("--db=unix:{}", self.file("db.sock").display()))
            .arg("--timeout=30")
            .args(words))
    }

    /// Starts an `ovs-vswitchd` on this database, which answers `ovs-appctl` at `ovs.ctl` then and writes `ovs.log`.
    pub(crate) fn daemon(&self, mut command: Command) -> Result<Killed> {
        command
            .arg(format!("unix:{}", self.file("db.sock").display()))
            .arg(format!("--unixctl={}", self.file("ovs.ctl").display()))
            .arg(format!("--log-file={}", self.file("ovs.log").display()))
            .env("OVS_RUNDIR", &self.dir);
        let daemon = spawn(command, &self.dir)?;
        wait_for(&self.file("ovs.ctl"))?;
        Ok(daemon)
    }
}

fn spawn(mut command: Command, dir: &Path) -> Result<Killed> {
    let log = || File::options().create(true).append(true).open(dir.join("ovs.out"));
    let child = command.stdin(Stdio::null()).stdout(log()?).stderr(log()?).spawn();
    let child = child.map_err(|why| format!("{}: {why}", command.get_program().display()))?;
    Ok(Killed(child))
}
