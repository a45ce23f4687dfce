//! What a second polling vCPU brings the image in QEMU: frames a second with 1, 2 and 3 vCPUs.
//!
//! # Load
//! Four vhost-user ports in two pairs that have a VLAN each; both ports of a pair are polled by the same vCPU. One
//! thread is behind all of them: it fills each port's receive ring as far as there is room and empties its transmit ring.
//! So that all have the same to do, all vCPUs forward for both pairs where only one of them polls.
//!
//! # Figures
//! Two polling vCPUs, the control vCPU and the generator have no host with four processors to themselves as a rule. So beside
//! the frames that were forwarded in a second stands what they are for a second of each polling vCPU: of the processor time
//! that its thread had, the share in which it was not idle by its own counts (`pmd-stats-show`).

use crate::boot::wait_ready;
use crate::machine::Machine;
use crate::report::{Report, median};
use crate::versus::cpu_time;
use qemu::{Backend, Nic, Role, Running};
use seed::Mac;
use serde_json::json;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use vhost_back::{Back, Traffic};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PORTS: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(120);
const WARM_UP: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(10);
/// Frames given and taken at once.
const BURST: u16 = 32;
const ROUNDS: usize = 3;
/// The pairs: p1 and p3, p2 and p4.
const WORDS: &str = "mgmt=none log=error vsctl=\"add-br br0 -- add-port br0 p1 tag=10 -- \
    add-port br0 p2 tag=20 -- add-port br0 p3 tag=10 -- add-port br0 p4 tag=20\"";

/// What was seen with some number of vCPUs.
struct Seen {
    /// Frames a second.
    rate: f64,
    /// For a second of each polling vCPU.
    capacity: f64,
}

/// Measures it with each number of vCPUs, by turns.
pub(crate) fn vcpus(machine: &Machine, seconds: u64, report: &mut Report) -> Result<()> {
    let numbers: [u16; 3] = [1, 2, 3];
    let mut seen = numbers.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (n_vcpus, seen) in numbers.iter().zip(&mut seen) {
            seen.push(run(machine, *n_vcpus, Duration::from_secs(seconds))?);
        }
    }
    let middle = |seen: &[Seen], of: fn(&Seen) -> f64| median(seen.iter().map(of).collect());
    for (n_vcpus, seen) in numbers.iter().zip(&seen) {
        let n_polling = n_polling(*n_vcpus);
        let what = format!("{n_vcpus} vCPUs, {n_polling} polling: forwarded");
        report.add(what, middle(seen, |seen| seen.rate) / 1e3, "kpps");
        let what = "  for a second of each that polls";
        report.add(what, middle(seen, |seen| seen.capacity) / 1e3, "kpps");
    }
    let [_, one, two] = seen.map(|seen| middle(&seen, |seen| seen.capacity));
    report.add("two polling vCPUs over one, for a second of each", 100.0 * two / one, "%");
    Ok(())
}

fn n_polling(n_vcpus: u16) -> u16 {
    n_vcpus.saturating_sub(1).max(1)
}

fn run(machine: &Machine, n_vcpus: u16, time: Duration) -> Result<Seen> {
    let dir = tempfile::tempdir()?;
    let mut vm = machine.vm(dir.path(), WORDS);
    vm.smp = n_vcpus;
    let mut backs = Vec::new();
    for k in 0..PORTS {
        let path = dir.path().join(format!("v{k}"));
        backs.push(Back::listen(&path)?);
        let backend = Backend::VhostUser { path, role: Role::Client };
        vm.nics.push(Nic::new(format!("p{}", k + 1), Mac([2, 0, 0, 0, 1, k]), backend));
    }
    let mut running = machine.start(&vm)?;
    wait_ready(&running)?;
    if !backs.iter().all(|back| back.wait_up(PATIENCE)) {
        return Err("the guest does not come to its ports".into());
    }
    let is_over = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        scope.spawn(|| generate(&backs, &is_over));
        thread::sleep(WARM_UP);
        let seen = measure(&running, n_vcpus, time);
        is_over.store(true, Ordering::Relaxed);
        seen
    });
    running.shutdown(Duration::from_secs(5));
    seen
}

/// Keeps the ports busy; leaves the processor to others when there is nothing to do.
fn generate(backs: &[Back], is_over: &AtomicBool) {
    let mut traffic: Vec<_> = (0..PORTS).map(|k| Traffic::new(k / 2, 64)).collect();
    while !is_over.load(Ordering::Relaxed) {
        let mut n = 0;
        for (back, traffic) in backs.iter().zip(&mut traffic) {
            n += back.give_many(traffic, BURST) + back.swallow(BURST);
        }
        if n == 0 {
            thread::yield_now();
        }
    }
}

fn measure(running: &Running, n_vcpus: u16, time: Duration) -> Result<Seen> {
    let threads = polling_threads(running, n_vcpus)?;
    let on_cpu = || -> Vec<f64> {
        let path = |thread| format!("/proc/{}/task/{thread}/schedstat", running.id());
        threads.iter().map(|thread| cpu_time(&path(thread)).as_secs_f64()).collect()
    };
    running.unixctl()?.call("dpif-netdev/pmd-stats-clear", &[], ANSWER)?;
    let (begun, before) = (Instant::now(), on_cpu());
    thread::sleep(time);
    let (after, elapsed) = (on_cpu(), begun.elapsed().as_secs_f64());
    let cores = cores(&running.unixctl()?.call("dpif-netdev/pmd-stats-show", &[], ANSWER)?);
    if cores.len() != threads.len() {
        return Err("not as many polling cores as vCPUs for it".into());
    }
    let n: f64 = cores.iter().map(|core| core.n_received).sum();
    let spent = before.iter().zip(after).map(|(before, after)| after - before);
    let capacity =
        cores.iter().zip(spent).map(|(core, spent)| core.n_received / (core.busy * spent));
    Ok(Seen { rate: n / elapsed, capacity: capacity.sum() })
}

/// The threads of QEMU that run the polling vCPUs.
fn polling_threads(running: &Running, n_vcpus: u16) -> Result<Vec<u64>> {
    let told = running.qmp()?.execute("query-cpus-fast", json!({}))?;
    let all = told.as_array().ok_or("no vCPUs")?;
    let skipped = usize::from(n_vcpus - n_polling(n_vcpus));
    let ids = all.iter().skip(skipped).map(|cpu| cpu["thread-id"].as_u64().ok_or("no thread"));
    Ok(ids.collect::<std::result::Result<_, _>>()?)
}

/// A polling core by its own counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Core {
    n_received: f64,
    /// The share of its cycles in which it had work.
    busy: f64,
}

fn cores(text: &str) -> Vec<Core> {
    let mut found: Vec<Core> = Vec::new();
    let mut idle = 0.0;
    for line in text.lines() {
        if line.starts_with("pmd thread") {
            found.push(Core::default());
        } else if line.starts_with("main thread") {
            break;
        }
        let Some(core) = found.last_mut() else { continue };
        let value = |name: &str| -> Option<f64> {
            line.trim().strip_prefix(name)?.split_whitespace().next()?.parse().ok()
        };
        if let Some(n) = value("packets received:") {
            core.n_received = n;
        } else if let Some(cycles) = value("idle cycles:") {
            idle = cycles;
        } else if let Some(cycles) = value("processing cycles:") {
            core.busy = cycles / (cycles + idle);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cores_tell_is_understood() {
        let text = "pmd thread numa_id 0 core_id 0:\n  packets received: 30\n  idle cycles: 25 (25.00%)\n  \
                    processing cycles: 75 (75.00%)\npmd thread numa_id 0 core_id 1:\n  packets received: 4\n  \
                    idle cycles: 1 (50.00%)\n  processing cycles: 1 (50.00%)\nmain thread:\n  packets received: 7\n";
        let [first, second] = cores(text)[..] else { panic!("two cores") };
        assert_eq!(first, Core { n_received: 30.0, busy: 0.75 });
        assert_eq!(second, Core { n_received: 4.0, busy: 0.5 });
    }
}
