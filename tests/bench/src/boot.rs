//! From power on to the first forwarded frame, and memory in use.

use crate::machine::{Machine, telemetry};
use crate::report::{Report, median};
use qemu::{Backend, Nic, Running, Vm};
use seed::Mac;
use std::error::Error;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A boot that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames are offered so often until one comes through.
const OFFER_EVERY: Duration = Duration::from_micros(500);

/// A broadcast of a local experimental type (IEEE 802 EtherType 0x88b5), 60 bytes.
pub(crate) fn broadcast() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 0x99, 0x88, 0xb5]);
    frame.resize(60, 0);
    frame
}

/// A data port whose other end is ours.
pub(crate) struct Port {
    pub(crate) ours: UnixDatagram,
    pub(crate) guest: PathBuf,
}

impl Port {
    pub(crate) fn add(vm: &mut Vm, dir: &Path, k: u8) -> Result<Self, Box<dyn Error>> {
        let (local, remote) = (dir.join(format!("vm{k}")), dir.join(format!("us{k}")));
        let ours = UnixDatagram::bind(&remote)?;
        ours.set_nonblocking(true)?;
        let backend = Backend::Dgram { local: local.clone(), remote };
        vm.nics.push(Nic::new(format!("p{k}"), Mac([2, 0, 0, 0, 1, k]), backend));
        Ok(Self { ours, guest: local })
    }
}

/// Guest part and whole way to the first forwarded frame, medians over `runs` boots.
pub(crate) fn first_frame(
    machine: &Machine,
    runs: u16,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let (mut guest, mut ready, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let dir = tempfile::tempdir()?;
        let mut vm = machine.vm(dir.path(), "mgmt=none log=error");
        let mut ports = Vec::new();
        for k in 1..=4 {
            ports.push(Port::add(&mut vm, dir.path(), k)?);
        }
        let begun = Instant::now();
        let mut running = vm.spawn(|_| ())?;
        let (frame, mut buffer) = (broadcast(), [0; 2048]);
        let [first, second, ..] = ports.as_slice() else { return Err("no ports".into()) };
        while second.ours.recv(&mut buffer).is_err() {
            // The guest's socket appears when QEMU has come so far; until then nobody listens.
            let _ = first.ours.send_to(&frame, &first.guest);
            if begun.elapsed() > PATIENCE {
                return Err(format!("no frame came through: {}", running.last_words()).into());
            }
            std::thread::sleep(OFFER_EVERY);
        }
        whole.push(begun.elapsed().as_secs_f64() * 1e3);
        let told = telemetry(&running)?;
        let us = |key: &str| told["boot"][key].as_f64().unwrap_or(f64::NAN) / 1e3;
        guest.push(us("first_forward_us"));
        ready.push(us("ready_us"));
        running.shutdown(Duration::from_secs(5));
    }
    report.add("guest entry to ready, 4 ports", median(ready), "ms");
    report.add("guest entry to first forwarded frame, 4 ports", median(guest), "ms");
    report.add("QEMU start to first forwarded frame, 4 ports", median(whole), "ms");
    Ok(())
}

/// Memory in use with `n_ports` idle ports, in a VM of `mib` MiB.
pub(crate) fn memory(
    machine: &Machine,
    n_ports: u8,
    mib: u32,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut vm = machine.vm(dir.path(), "mgmt=none log=error");
    vm.memory_mib = mib;
    let mut ports = Vec::new();
    for k in 1..=n_ports {
        ports.push(Port::add(&mut vm, dir.path(), k)?);
    }
    let mut running = machine.start(&vm)?;
    let told = wait_ready(&running)?;
    let used = told["memory"]["used"].as_f64().unwrap_or(f64::NAN);
    running.shutdown(Duration::from_secs(5));
    let what = format!("memory in use, {n_ports} ports, VM of {mib} MiB");
    report.add(what, used / f64::from(1 << 20), "MiB");
    Ok(())
}

/// The first telemetry of a VM that comes up.
pub(crate) fn wait_ready(running: &Running) -> Result<serde_json::Value, Box<dyn Error>> {
    let begun = Instant::now();
    loop {
        match telemetry(running) {
            Ok(told) => return Ok(told),
            Err(why) if begun.elapsed() > PATIENCE => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
