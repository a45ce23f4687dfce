//! The back end of both ports.

use super::super::CONTROL_CORE;
use super::{Case, Result};
use crate::daemon::{Killed, wait_for};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program.
pub(super) const NAME: &str = "dpdk-testpmd";
/// The package that has it.
pub(super) const PACKAGE: &str = "dpdk-dev";

pub(super) fn is_there() -> bool {
    qemu::probe::find_program(NAME).is_some()
}

/// The socket of a port.
pub(super) fn socket(dir: &Path, port: usize) -> PathBuf {
    dir.join(format!("v{port}"))
}

/// testpmd, ended with us.
#[derive(Debug)]
pub(super) struct Testpmd {
    _child: Killed,
    log: PathBuf,
}

impl Testpmd {
    /// Starts it; it listens then.
    pub(super) fn start(dir: &Path, case: &Case, has_huge_pages: bool) -> Result<Self> {
        let log = dir.join("testpmd.log");
        let memory: &[&str] = if has_huge_pages { &["--in-memory"] } else { &["--no-huge"] };
        let vdev = |k: usize| {
            format!("--vdev=net_vhost{k},iface={},queues={}", socket(dir, k).display(), case.pairs)
        };
        let out = File::create(&log)?;
        let child = Command::new(NAME)
            .args(["--no-pci", "-m", "256"])
            .args(memory)
            // The command line's thread and the one that forwards, on one core.
            .arg(format!("--lcores=0@{CONTROL_CORE},1@{CONTROL_CORE}"))
            .args([vdev(0), vdev(1), "--".into()])
            .args(["--forward-mode=flowgen", "--no-mlockall", "--total-num-mbufs=8192"])
            .args(["--mbuf-size=10240", "--max-pkt-len=9018", "--stats-period=1"])
            .arg(format!("--txpkts={}", case.frame_len))
            .arg(format!("--rxq={}", case.pairs))
            .arg(format!("--txq={}", case.pairs))
            // It takes what it is told from the environment, too, and that is meant for us.
            .env_remove("GLIBC_TUNABLES")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let testpmd = Self { _child: Killed(child), log };
        for k in 0..2 {
            wait_for(&socket(dir, k)).map_err(|why| format!("{why}\n{}", testpmd.last_words()))?;
        }
        Ok(testpmd)
    }

    /// The end of what it printed.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}
