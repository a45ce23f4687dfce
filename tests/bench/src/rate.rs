//! Frames a second between two vhost-user ports, with dpdk-testpmd as source and sink.

use crate::boot::wait_ready;
use crate::machine::{Machine, telemetry};
use crate::report::Report;
use qemu::{Backend, Nic, Role};
use seed::Mac;
use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program, and the package that has it.
const TESTPMD: (&str, &str) = ("dpdk-testpmd", "dpdk-dev");
const PATIENCE: Duration = Duration::from_secs(60);

/// testpmd, ended with us.
struct Testpmd(Child);

impl Testpmd {
    /// Starts it as the back end of two ports whose sockets are in `dir`.
    fn start(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let log = std::fs::File::create(dir.join("testpmd.log"))?;
        let vdev = |k: u8| format!("net_vhost{k},iface={}", dir.join(format!("v{k}")).display());
        let child = Command::new(TESTPMD.0)
            .args(["--no-pci", "--no-huge", "-m", "512", "-l", "0,1"])
            .arg(format!("--file-prefix=bench{}", std::process::id()))
            .args(["--vdev", &vdev(0), "--vdev", &vdev(1), "--"])
            .args(["--forward-mode=flowgen", "--no-mlockall", "--total-num-mbufs=16384"])
            .args(["--stats-period", "1"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut testpmd = Self(child);
        let begun = Instant::now();
        while !(dir.join("v0").exists() && dir.join("v1").exists()) {
            if let Some(status) = testpmd.0.try_wait()? {
                let said = std::fs::read_to_string(dir.join("testpmd.log")).unwrap_or_default();
                return Err(format!("{} ended ({status}): {said}", TESTPMD.0).into());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("{} does not open its sockets", TESTPMD.0).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(testpmd)
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// 60-byte frames both ways at once; the figure is the sum of the two directions.
pub(crate) fn vhost_user(
    machine: &Machine,
    seconds: u64,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    if qemu::probe::find_program(TESTPMD.0).is_none() {
        let (program, package) = TESTPMD;
        eprintln!("no {program}: `apt-get install -y {package}` gets it; the rate is left out");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let _testpmd = Testpmd::start(dir.path())?;
    let mut vm = machine.vm(dir.path(), "mgmt=none log=error");
    for k in 0..2_u8 {
        let path = dir.path().join(format!("v{k}"));
        let backend = Backend::VhostUser { path, role: Role::Client };
        vm.nics.push(Nic::new(format!("p{k}"), Mac([2, 0, 0, 0, 1, k]), backend));
    }
    let mut running = machine.start(&vm)?;
    wait_ready(&running)?;
    let before = sample(&running)?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = sample(&running)?;
    let rate = (after.0 - before.0) / (after.1 - before.1);
    running.shutdown(Duration::from_secs(5));
    let what = format!("vhost-user to vhost-user, 60 bytes, both ways, {}", machine.accel.name());
    report.add(what, rate / 1e3, "kpps");
    Ok(())
}

/// Frames forwarded so far, and the time in seconds.
fn sample(running: &qemu::Running) -> Result<(f64, f64), Box<dyn Error>> {
    let told = telemetry(running)?;
    let frames = told["accounting"]["transmitted"].as_f64().ok_or("no count in the telemetry")?;
    let time = told["uptime_us"].as_f64().ok_or("no time in the telemetry")?;
    Ok((frames, time / 1e6))
}
