//! dpdk-testpmd as the back end of two vhost-user ports, in one of two ways.
//!
//! *Generating* (`flowgen`), it makes frames of 1,024 flows on each port, and takes what comes back: frames come in
//! without end, and many are lost when what is between the ports is slow.
//!
//! *Circulating*, it sends some hundreds of frames, of up to 256 flows, on each port once, and from then on what comes back
//! on one port out of the other (`io`): a closed loop, in which nothing is made anew and nothing is lost. Frames gather
//! before who is slower: a switch that is slower than testpmd always finds full bursts.

use crate::daemon::{Killed, run, wait_for};
use crate::versus::CONTROL_CORE;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The program.
pub(crate) const NAME: &str = "dpdk-testpmd";
/// The package that has it.
pub(crate) const PACKAGE: &str = "dpdk-dev";
/// Until its counts change.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a port is connected, until the rings of its further queues are.
const SETTLED: Duration = Duration::from_millis(200);
/// Between two looks at them.
const STEP: Duration = Duration::from_millis(5);

pub(crate) fn is_there() -> bool {
    qemu::probe::find_program(NAME).is_some()
}

/// The socket of a port.
pub(crate) fn socket(dir: &Path, port: usize) -> PathBuf {
    dir.join(format!("v{port}"))
}

/// The pipe by which it takes commands, when it circulates.
fn commands(dir: &Path) -> PathBuf {
    dir.join("testpmd.in")
}

/// Frames that it takes and sends at once, at most.
const BURST: u16 = 32;
/// Bursts that circulate on each queue, if their frames are short: enough that some wait while others are under way.
const BURSTS: u16 = 8;
/// Receive buffers that frames under way on one queue may take up, at most: half of a ring, so that none is lost.
const UNDER_WAY: u16 = 512;
/// Bytes of a receive buffer, of those that either switch has.
const BUFFER: u16 = 2_048 - 128;
/// Bytes in front of a frame there.
const HEADER: u16 = 12;

/// Where what it prints goes.
fn log(dir: &Path) -> PathBuf {
    dir.join("testpmd.log")
}

/// Tells the one that circulates in this directory to begin, when both its ports are connected: what is between them
/// forwards. Does nothing where another back end is.
pub(crate) fn begin(dir: &Path, frame_len: u16) -> Result<()> {
    let commands = commands(dir);
    if !commands.exists() {
        return Ok(());
    }
    // What it sends before would be lost.
    let begun = Instant::now();
    while !fs::read_to_string(log(dir)).is_ok_and(|text| are_up(&text)) {
        if begun.elapsed() > PATIENCE {
            return Err("testpmd does not say that its ports are connected".into());
        }
        std::thread::sleep(STEP);
    }
    std::thread::sleep(SETTLED);
    let n_bursts = UNDER_WAY / (frame_len + HEADER).div_ceil(BUFFER) / BURST;
    let mut commands = OpenOptions::new().write(true).open(commands)?;
    Ok(writeln!(commands, "start tx_first {}", n_bursts.clamp(1, BURSTS))?)
}

/// Whether both ports have told of a change of their links, which are down at first.
fn are_up(text: &str) -> bool {
    (0..2).all(|port| text.contains(&format!("Port {port}: link state change event")))
}

/// What it sends, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Bytes of a frame without checksum.
    pub(crate) frame_len: u16,
    /// Queue pairs of each port.
    pub(crate) pairs: u16,
    pub(crate) has_huge_pages: bool,
}

/// testpmd, ended with us.
#[derive(Debug)]
pub(crate) struct Testpmd {
    _child: Killed,
    log: PathBuf,
}

impl Testpmd {
    /// Starts it, generating; it listens then.
    pub(crate) fn start(dir: &Path, traffic: Traffic) -> Result<Self> {
        Self::spawn(dir, traffic, &["--forward-mode=flowgen", "--stats-period=1"], Stdio::null())
    }

    /// Starts it, to circulate when told to ([`begin`]); it listens then.
    pub(crate) fn circulating(dir: &Path, traffic: Traffic) -> Result<Self> {
        let commands = commands(dir);
        run(Command::new("mkfifo").arg(&commands))?;
        // Open for both, so that it never ends.
        let commands = OpenOptions::new().read(true).write(true).open(commands)?;
        let burst = format!("--burst={BURST}");
        let how = ["-i", "--forward-mode=io", "--txonly-multi-flow", &burst];
        Self::spawn(dir, traffic, &how, commands.into())
    }

    fn spawn(dir: &Path, traffic: Traffic, how: &[&str], commands: Stdio) -> Result<Self> {
        let Traffic { frame_len, pairs, has_huge_pages } = traffic;
        let log = log(dir);
        let memory: &[&str] = if has_huge_pages { &["--in-memory"] } else { &["--no-huge"] };
        let vdev = |k: usize| {
            format!("--vdev=net_vhost{k},iface={},queues={pairs}", socket(dir, k).display())
        };
        let out = File::create(&log)?;
        let child = Command::new(NAME)
            .args(["--no-pci", "-m", "256"])
            .args(memory)
            // The command line's thread and the one that forwards, on one core.
            .arg(format!("--lcores=0@{CONTROL_CORE},1@{CONTROL_CORE}"))
            .args([vdev(0), vdev(1), "--".into()])
            .args(how)
            .args(["--no-mlockall", "--total-num-mbufs=8192"])
            .args(["--mbuf-size=10240", "--max-pkt-len=9018"])
            .arg(format!("--txpkts={frame_len}"))
            .arg(format!("--rxq={pairs}"))
            .arg(format!("--txq={pairs}"))
            // It takes what it is told from the environment, too, and that is meant for us.
            .env_remove("GLIBC_TUNABLES")
            .stdin(commands)
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        let testpmd = Self { _child: Killed(child), log };
        for k in 0..2 {
            wait_for(&socket(dir, k)).map_err(|why| format!("{why}\n{}", testpmd.last_words()))?;
        }
        Ok(testpmd)
    }

    /// Frames a second that come back on both ports together, over so many seconds after others to warm up.
    pub(crate) fn rate(&self, warm_up: f64, seconds: f64) -> Result<f64> {
        self.tick()?;
        std::thread::sleep(Duration::from_secs_f64(warm_up));
        let first = self.tick()?;
        let mut last = first;
        while last.0 - first.0 < Duration::from_secs_f64(seconds) {
            last = self.tick()?;
        }
        Ok((last.1 - first.1) as f64 / (last.0 - first.0).as_secs_f64())
    }

    /// Waits until it tells, which it does once a second, that more have come back: when, and how many.
    fn tick(&self) -> Result<(Instant, u64)> {
        let begun = Instant::now();
        let count = || fs::read_to_string(&self.log).ok().and_then(|text| received(&text));
        let before = count().unwrap_or(0);
        while begun.elapsed() < PATIENCE {
            if let Some(n) = count().filter(|&n| n > before) {
                return Ok((Instant::now(), n));
            }
            std::thread::sleep(STEP);
        }
        Err(format!("no frames come back:\n{}", self.last_words()).into())
    }

    /// The end of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Frames that both ports received, by the last table that was printed whole.
fn received(text: &str) -> Option<u64> {
    let of = |table: &str| -> Option<u64> {
        let counts = table.lines().filter_map(|line| {
            let (count, rest) =
                line.trim_start().strip_prefix("RX-packets:")?.split_once("RX-missed")?;
            rest.starts_with(':').then(|| count.trim().parse::<u64>().ok()).flatten()
        });
        let counts: Vec<_> = counts.collect();
        (counts.len() == 2).then(|| counts.iter().sum())
    };
    text.rsplit("Port statistics =").find_map(of)
}

#[cfg(test)]
mod tests {
    use super::{are_up, received};

    #[test]
    fn the_last_whole_table_counts() {
        let port = |n: u64| format!("  RX-packets: {n}   RX-missed: 0   RX-bytes:  64\n");
        let table = |a, b| format!("Port statistics ====\n{}{}", port(a), port(b));
        assert_eq!(received(""), None);
        assert_eq!(received(&table(1, 2)), Some(3));
        let cut = format!("{}Port statistics ====\n{}", table(1, 2), port(5));
        assert_eq!(received(&cut), Some(3));
        assert_eq!(received(&format!("{}{}", table(1, 2), table(10, 20))), Some(30));
    }

    #[test]
    fn ports_are_up_when_both_have_said_so() {
        let said = |port| format!("testpmd> \nPort {port}: link state change event\n");
        assert!(!are_up(""));
        assert!(!are_up(&said(1).repeat(2)));
        assert!(are_up(&(said(1) + &said(0))));
    }
}
