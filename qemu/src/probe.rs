//! What this host has: which QEMU, and whether KVM works.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::vm::Accel;

/// A version of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
}

impl Version {
    /// The oldest that has datagram and stream back ends on Unix sockets.
    pub const OLDEST: Self = Self { major: 7, minor: 2 };

    /// Reads the output of `--version`.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("version ")?;
        let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
    }

    /// How a socket is told to connect again when it is lost.
    pub(crate) fn reconnect_of_socket(self) -> &'static str {
        if self >= (Self { major: 9, minor: 2 }) { "reconnect-ms=1000" } else { "reconnect=1" }
    }

    /// The same for `-netdev stream`, which learned it later.
    pub(crate) fn reconnect_of_stream(self) -> String {
        if self >= (Self { major: 8, minor: 0 }) {
            format!(",{}", self.reconnect_of_socket())
        } else {
            String::new()
        }
    }
}

/// The QEMU of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// Where it is.
    pub path: PathBuf,
    /// Which it is.
    pub version: Version,
}

/// Why there is no usable QEMU.
#[derive(Debug)]
pub enum NoQemu {
    /// Not found.
    Missing,
    /// It does not run.
    Broken(PathBuf, io::Error),
    /// It tells no version.
    Unknown(PathBuf),
    /// Older than [`Version::OLDEST`].
    TooOld(Version),
}

impl core::fmt::Display for NoQemu {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing => f.write_str("qemu-system-x86_64 is not installed"),
            Self::Broken(path, why) => write!(
                f,
                "{} does not run ({why}): set QEMU to one that does, or unset it",
                path.display()
            ),
            Self::Unknown(path) => write!(f, "{} tells no version", path.display()),
            Self::TooOld(v) => write!(
                f,
                "QEMU {}.{} is too old: version {}.{} or later has the socket ports \
                 (-netdev dgram) that the hosts are attached by",
                v.major,
                v.minor,
                Version::OLDEST.major,
                Version::OLDEST.minor
            ),
        }
    }
}

impl core::error::Error for NoQemu {}

/// Finds QEMU on the `PATH`, or where `QEMU` names it.
///
/// # Errors
/// When there is none that can be used.
pub fn find_qemu() -> Result<Qemu, NoQemu> {
    let path = match std::env::var_os("QEMU") {
        Some(path) => PathBuf::from(path),
        None => find_program("qemu-system-x86_64").ok_or(NoQemu::Missing)?,
    };
    let output = match Command::new(&path).arg("--version").output() {
        Err(why) => return Err(NoQemu::Broken(path, why)),
        Ok(output) => output,
    };
    match Version::parse(&String::from_utf8_lossy(&output.stdout)) {
        None => Err(NoQemu::Unknown(path)),
        Some(version) if version < Version::OLDEST => Err(NoQemu::TooOld(version)),
        Some(version) => Ok(Qemu { path, version }),
    }
}

/// Looks for a program on the `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The accelerator that works here, and when it is not KVM, why.
///
/// A `/dev/kvm` is no proof: machines without hardware virtualisation have one too, and then
/// guests fail in strange ways. So the processor must have the feature besides.
pub fn accelerator() -> (Accel, Option<&'static str>) {
    accelerator_of(Path::new("/dev/kvm"), Path::new("/proc/cpuinfo"))
}

fn accelerator_of(kvm: &Path, cpuinfo: &Path) -> (Accel, Option<&'static str>) {
    let has_feature = fs::read_to_string(cpuinfo).is_ok_and(|text| {
        let mut flags = text.lines().filter(|line| line.starts_with("flags"));
        flags.any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"))
    });
    let is_open = fs::OpenOptions::new().read(true).write(true).open(kvm).map(drop);
    let why = match is_open {
        Err(why) if why.kind() == io::ErrorKind::NotFound => "this host has no /dev/kvm",
        Err(_) => "/dev/kvm cannot be opened (are you in group kvm?)",
        Ok(()) if !has_feature => "this processor offers neither VMX nor SVM",
        Ok(()) => return (Accel::Kvm, None),
    };
    (Accel::Tcg, Some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let version = |text| Version::parse(text).map(|v| (v.major, v.minor));
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg)"), Some((7, 2)));
        assert_eq!(version("QEMU emulator version 10.0.0"), Some((10, 0)));
        assert_eq!(version("bash: qemu: command not found"), None);
        assert!(Version { major: 10, minor: 0 } > Version { major: 9, minor: 2 });
    }

    #[test]
    fn a_device_node_is_no_proof_of_kvm() {
        let dir = tempfile::tempdir().unwrap();
        let (kvm, cpuinfo) = (dir.path().join("kvm"), dir.path().join("cpuinfo"));
        fs::write(&cpuinfo, "flags\t\t: fpu sse svm_lock\nbugs: svm\n").unwrap();
        assert_eq!(accelerator_of(&kvm, &cpuinfo).1, Some("this host has no /dev/kvm"));
        fs::write(&kvm, "").unwrap();
        assert_eq!(accelerator_of(&kvm, &cpuinfo).0, Accel::Tcg);
        fs::write(&cpuinfo, "flags\t\t: fpu svm sse\n").unwrap();
        assert_eq!(accelerator_of(&kvm, &cpuinfo), (Accel::Kvm, None));
    }
}
