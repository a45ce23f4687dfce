//! Processes of others that a comparison needs.

use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The schema of Open vSwitch's database.
pub(crate) const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// Until a daemon answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|why| format!("{command:?}: {why}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {} {said}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

pub(crate) fn wait_for(path: &Path) -> Result<()> {
    let begun = Instant::now();
    while !path.exists() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{} does not appear", path.display()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Installs packages of the distribution, telling so, so that what is wanted `is_there`.
pub(crate) fn install(packages: &[&str], is_there: impl Fn() -> bool) -> Result<()> {
    let names = packages.join(" ");
    eprintln!("installing {names} …");
    // The answer 101 keeps a package from starting a switch of its own on this machine.
    let script = format!(
        "set -e; s=; [ $(id -u) = 0 ] || s='sudo -n'; p=/usr/sbin/policy-rc.d; \
         [ -e $p ] || {{ printf '#!/bin/sh\\nexit 101\\n' | $s tee $p >/dev/null; $s chmod +x $p; \
         trap \"$s rm -f $p\" EXIT; }}; $s apt-get update -q; \
         DEBIAN_FRONTEND=noninteractive $s apt-get install -q -y --no-install-recommends {names}",
    );
    let output = Command::new("sh").args(["-c", &script]).output()?;
    if is_there() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("packages {names} cannot be installed: {said}").into())
}
