//! What the ports themselves cost: the same pair in memory, forwarded by dpdk-testpmd without a switch,
//! and ours taken and given back without one.

use super::frames::Frames;
use super::memory::Memory;
use super::{CONTROL_CORE, POLLING_CORE, Terms, cpu_time};
use crate::daemon::Killed;
use crate::report::median;
use core_affinity::CoreId;
use netdev::Netdev;
use packet::{Batch, Pool, PoolCache, PoolConfig};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TESTPMD: &str = "dpdk-testpmd";
/// Bursts between two looks at the clock for the end.
const ROUNDS: u32 = 256;
/// Until testpmd forwards.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints both, in cycles for a packet.
pub(super) fn compare(terms: &Terms) -> Result<Value> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..terms.n_rounds {
        if qemu::probe::find_program(TESTPMD).is_some() {
            theirs.push(testpmd(terms)?);
        }
        ours.push(alone(terms)?);
    }
    let json = json!({"testpmd": theirs, "ours": ours});
    let known = if theirs.is_empty() {
        format!("no {TESTPMD}: package dpdk-dev has it")
    } else {
        format!("{:.0} by testpmd", median(theirs))
    };
    println!("the ports in memory alone, cycles/packet: {known}, {:.0} ours", median(ours));
    Ok(json)
}

fn alone(terms: &Terms) -> Result<f64> {
    let seconds = terms.seconds;
    let polled = std::thread::spawn(move || -> Option<(u64, Duration)> {
        core_affinity::set_for_current(CoreId { id: POLLING_CORE });
        let frames: Arc<[Box<[u8]>]> =
            Frames::by_source(1).make().iter().map(|frame| Box::from(&frame[..])).collect();
        let pool = Pool::on_heap(PoolConfig { small: 16_384, jumbo: 16 });
        let mut cache = PoolCache::new(pool.clone());
        let mut pair =
            Memory::new(1, frames, &Arc::new(AtomicU64::new(0))).open(1, &pool).ok()?.pop()?;
        let mut batch = Batch::new();
        let (begun, before) = (Instant::now(), cpu_time("/proc/thread-self/schedstat"));
        while begun.elapsed().as_secs_f64() < seconds {
            for _ in 0..ROUNDS {
                pair.rx.receive(&mut batch, &mut cache).ok()?;
                pair.tx.transmit(&mut batch, &mut cache).ok()?;
            }
        }
        Some((pair.rx.stats().frames, cpu_time("/proc/thread-self/schedstat") - before))
    });
    let (packets, time) = polled.join().ok().flatten().ok_or("the port in memory failed")?;
    Ok(time.as_secs_f64() * terms.hertz / packets as f64)
}

fn testpmd(terms: &Terms) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let (pcap, log) = (dir.path().join("frames.pcap"), dir.path().join("log"));
    Frames::by_source(1).write_pcap(&pcap)?;
    let memory: &[&str] = if terms.has_huge_pages { &[] } else { &["--no-huge"] };
    let child = Command::new(TESTPMD)
        .args(["--no-pci", "--in-memory", "-m", "512"])
        .args(["-l", &format!("{CONTROL_CORE},{POLLING_CORE}")])
        .args(memory)
        .arg(format!("--vdev=net_pcap0,rx_pcap={},infinite_rx=1", pcap.display()))
        .args(["--vdev=net_null0,no-rx=1", "--", "--forward-mode=io", "--no-mlockall"])
        .args(["--total-num-mbufs=16384", "--stats-period=1"])
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(Stdio::null())
        .spawn()?;
    let testpmd = Killed(child);
    let thread = worker(testpmd.0.id())?;
    let n_received = || rx_packets(&fs::read_to_string(&log).unwrap_or_default());
    let next = |after: u64| -> Result<(u64, Duration)> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let n = n_received();
            if n > after {
                return Ok((n, cpu_time(&thread)));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!("testpmd does not forward: {}", fs::read_to_string(&log)?).into())
    };
    // Its counts come once a second.
    let first = next(next(0)?.0)?;
    let begun = Instant::now();
    let mut last = next(first.0)?;
    while begun.elapsed().as_secs_f64() < terms.seconds {
        last = next(last.0)?;
    }
    Ok((last.1 - first.1).as_secs_f64() * terms.hertz / (last.0 - first.0) as f64)
}

/// The `schedstat` file of the thread that forwards.
fn worker(process: u32) -> Result<String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let tasks = fs::read_dir(format!("/proc/{process}/task"))?;
        for path in tasks.filter_map(|task| Some(task.ok()?.path())) {
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            if name.contains("worker") {
                return Ok(path.join("schedstat").display().to_string());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("testpmd has no worker".into())
}

/// The newest count in what testpmd printed.
fn rx_packets(text: &str) -> u64 {
    let label = "RX-packets:";
    let counts = text.lines().filter_map(|line| line.trim_start().strip_prefix(label));
    let counts = counts.filter_map(|rest| rest.split_whitespace().next()?.parse().ok());
    counts.max().unwrap_or(0)
}
