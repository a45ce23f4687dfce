//! The description of a virtual machine, complete enough to write its command line from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use seed::BootConfig;

use crate::backend::Nic;
use crate::probe::Version;

/// The machine types of QEMU that the image boots on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// i440FX: PCI.
    Pc,
    /// Q35: PCI Express.
    Q35,
    /// microvm: virtio over MMIO, no PCI, no BIOS disk.
    Microvm,
}

impl Machine {
    /// QEMU's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Q35 => "q35",
            Self::Microvm => "microvm",
        }
    }

    /// NICs at most, management included: one slot (PCI) or one transport (MMIO) each, those kept
    /// for consoles and the disk taken off. A config drive takes the place of one, on microvm the disk of the
    /// database as well.
    pub fn max_nics(self) -> usize {
        match self {
            Self::Pc | Self::Q35 => 25,
            Self::Microvm => 22,
        }
    }
}

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The processor's own virtualisation.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accel {
    /// QEMU's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// Format of a disk file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// Bytes as they are.
    Raw,
    /// QEMU's own.
    Qcow2,
}

impl DiskFormat {
    /// QEMU's word for it, and the usual end of a file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// What is booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Boot {
    /// An ELF with a PVH note, given directly.
    Kernel {
        /// The ELF.
        path: PathBuf,
        /// Its command line, in the seed's text form.
        cmdline: String,
    },
    /// A disk, by BIOS. It is not written to.
    Disk {
        /// The disk.
        path: PathBuf,
        /// Its format.
        format: DiskFormat,
    },
}

/// A virtual machine. People and tests write the same one; [`Vm::command`] is its command line.
#[derive(Clone, Debug)]
pub struct Vm {
    /// The program.
    pub qemu: PathBuf,
    /// Its version: some options are spelled differently.
    pub version: Version,
    /// Name, shown in process lists.
    pub name: String,
    /// Machine type.
    pub machine: Machine,
    /// Number of vCPUs.
    pub smp: u16,
    /// Memory.
    pub memory_mib: u32,
    /// CPU model; none for the best of the accelerator.
    pub cpu: Option<String>,
    /// What runs the guest.
    pub accel: Accel,
    /// What it boots.
    pub boot: Boot,
    /// File with the boot configuration, for fw_cfg.
    pub seed: Option<PathBuf>,
    /// NICs in location order; the management NIC is one of them.
    pub nics: Vec<Nic>,
    /// Sockets of virtio consoles on which the image serves unixctl. Each console is a device of
    /// its own with one port. The library uses the first.
    pub consoles: Vec<PathBuf>,
    /// Socket of QEMU's own control protocol.
    pub qmp: Option<PathBuf>,
    /// The disk on which the image keeps its database, a raw file; it is written to.
    pub database: Option<PathBuf>,
    /// A disk with a volume `config-2` or `cidata`, a raw file; it is not written to. The image reads it
    /// when there is neither a seed nor a command line.
    pub config_drive: Option<PathBuf>,
    /// A database file of Open vSwitch, which a new database begins as, for fw_cfg.
    pub database_seed: Option<PathBuf>,
    /// Further arguments, as they are.
    pub extra: Vec<String>,
}

impl Vm {
    /// A machine with no NICs, with its sockets in `dir`.
    pub fn new(boot: Boot, dir: &Path) -> Self {
        Self {
            qemu: "qemu-system-x86_64".into(),
            version: Version::OLDEST,
            name: "uniswitch".into(),
            machine: Machine::Q35,
            smp: 1,
            memory_mib: 128,
            cpu: None,
            accel: Accel::Tcg,
            boot,
            seed: None,
            nics: Vec::new(),
            consoles: vec![dir.join("ctl"), dir.join("appctl")],
            qmp: Some(dir.join("qmp")),
            database: None,
            config_drive: None,
            database_seed: None,
            extra: Vec::new(),
        }
    }

    /// Writes the boot configuration to `dir` and attaches it.
    ///
    /// # Errors
    /// When the configuration is not valid or the file cannot be written.
    pub fn write_seed(&mut self, config: &BootConfig, dir: &Path) -> io::Result<()> {
        let path = dir.join("seed");
        let blob = config.encode().map_err(io::Error::other)?;
        fs::write(&path, blob)?;
        self.seed = Some(path);
        Ok(())
    }
}
