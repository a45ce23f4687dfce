//! What an idle switch costs its host, and what its rest costs the first frame after a pause.

use crate::boot::{Port, broadcast, wait_ready};
use crate::machine::Machine;
use crate::report::{Report, median};
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

/// Ticks of `/proc/PID/stat` in a second, on every Linux that this runs on.
const TICKS: f64 = 100.0;
/// After the boot, until the switch has come to rest.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two frames: far longer than a core stays awake without work.
const PAUSE: Duration = Duration::from_millis(30);
const FRAMES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(10);

/// CPU time of the idle VM, and latency of single frames, resting as by default and not at all.
pub(crate) fn rest(
    machine: &Machine,
    seconds: u64,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    for (how, n_vcpus, words) in [
        ("resting", 1, ""),
        ("4 vCPUs, resting", 4, ""),
        ("resting 4 ms at the most", 1, " other_config:pmd-sleep-max=4000"),
        ("never resting", 1, " other_config:pmd-sleep-max=0"),
    ] {
        let dir = tempfile::tempdir()?;
        let mut vm = machine.vm(dir.path(), &format!("mgmt=none log=error{words}"));
        vm.smp = n_vcpus;
        let ports = (1..=4).map(|k| Port::add(&mut vm, dir.path(), k));
        let ports = ports.collect::<Result<Vec<_>, _>>()?;
        let mut running = machine.start(&vm)?;
        wait_ready(&running)?;
        thread::sleep(SETTLE);

        let (begun, before) = (Instant::now(), cpu_ticks(running.id())?);
        thread::sleep(Duration::from_secs(seconds));
        let spent = (cpu_ticks(running.id())? - before) / TICKS;
        let share = 100.0 * spent / begun.elapsed().as_secs_f64();
        report.add(format!("host CPU of the idle VM, {how}"), share, "% of a core");

        let [first, second, others @ ..] = ports.as_slice() else { return Err("no ports".into()) };
        second.ours.set_nonblocking(false)?;
        second.ours.set_read_timeout(Some(PATIENCE))?;
        let (mut latencies, mut buffer) = (Vec::new(), [0; 2048]);
        for _ in 0..FRAMES {
            thread::sleep(PAUSE);
            let sent = Instant::now();
            first.ours.send_to(&broadcast(), &first.guest)?;
            let arrived = second.ours.recv(&mut buffer);
            arrived.map_err(|why| format!("a frame was lost after a pause: {why}"))?;
            latencies.push(sent.elapsed().as_secs_f64() * 1e6);
            // QEMU does not come to rest while a copy waits for a socket that is full.
            for other in others {
                while other.ours.recv(&mut buffer).is_ok() {}
            }
        }
        report.add(format!("a frame after a pause, {how}"), median(latencies), "us");
        running.shutdown(Duration::from_secs(5));
    }
    Ok(())
}

/// User and system time of a process, in ticks (proc(5), fields 14 and 15).
fn cpu_ticks(process: u32) -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may have blanks.
    let (_, rest) = stat.rsplit_once(')').ok_or("/proc/PID/stat: no name")?;
    let fields: Vec<f64> = rest.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    match fields.as_slice() {
        [user, system] => Ok(user + system),
        _ => Err("/proc/PID/stat: no times".into()),
    }
}
