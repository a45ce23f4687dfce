//! What every case needs: the image, QEMU, and a place for sockets.

use image::BuildOptions;
use qemu::probe::{self, Qemu};
use qemu::{Accel, Boot, Running, Vm};
use serde_json::Value;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// QEMU may take its time on a busy host.
const START: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);

/// The prepared machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) qemu: Qemu,
    pub(crate) accel: Accel,
    pub(crate) image: PathBuf,
    pub(crate) image_bytes: usize,
}

impl Machine {
    /// Builds the image and finds QEMU.
    pub(crate) fn prepare() -> Result<Self, Box<dyn Error>> {
        let qemu = probe::find_qemu().map_err(|why| {
            format!("{why}; `apt-get install -y --no-install-recommends qemu-system-x86` gets it")
        })?;
        let (accel, _) = probe::accelerator();
        eprintln!("building the image …");
        let built = image::build(&BuildOptions::default(), &mut |_| {})?;
        Ok(Self { qemu, accel, image: built.elf, image_bytes: built.stripped_size })
    }

    /// A VM with its files in `dir`; NICs are the caller's to add.
    pub(crate) fn vm(&self, dir: &Path, cmdline: &str) -> Vm {
        let boot = Boot::Kernel { path: self.image.clone(), cmdline: cmdline.into() };
        let mut vm = Vm::new(boot, dir);
        vm.qemu = self.qemu.path.clone();
        vm.version = self.qemu.version;
        vm.accel = self.accel;
        vm
    }

    pub(crate) fn start(&self, vm: &Vm) -> Result<Running, Box<dyn Error>> {
        Ok(vm.start(START)?)
    }
}

/// What the switch says of itself.
pub(crate) fn telemetry(vm: &Running) -> Result<Value, Box<dyn Error>> {
    let text = vm.unixctl()?.call("uniswitch/telemetry", &[], ANSWER)?;
    Ok(serde_json::from_str(&text)?)
}
