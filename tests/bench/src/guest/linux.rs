//! A Linux guest that does nothing but forward: the distribution's kernel for clouds, and the host's own
//! dpdk-testpmd with the libraries that it needs, in a root that lives in memory.
//!
//! The kernel binds both NICs to `uio_pci_generic` (that kernel is built without an IOMMU-less VFIO); testpmd drives them
//! from user space, by polling, with rings as long as the switch's own, and gives each frame to the other port
//! untouched (`--forward-mode=io`). Its memory is in huge pages. Nothing else runs in the guest.

use super::archive::Archive;
use crate::daemon::run;
use crate::testpmd;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Names the newest kernel.
const KERNEL: &str = "linux-image-cloud-amd64";
/// A shell that needs no libraries.
const SHELL: &str = "busybox-static";
/// Drivers that testpmd loads: of the NICs, and of the pool of its buffers.
const DRIVERS: [&str; 2] = ["librte_net_virtio.so", "librte_mempool_ring.so"];
/// Where they are, in a folder by version.
const PLUGINS: &str = "/usr/lib/x86_64-linux-gnu/dpdk";
/// Kernel modules, in the order in which they are loaded.
const MODULES: [&str; 2] = ["uio.ko", "uio_pci_generic.ko"];
/// What testpmd says when it forwards.
pub(super) const READY: &str = "Press enter to exit";
/// `panic` and `-no-reboot` end QEMU when the guest's only program ends.
pub(super) const CMDLINE: &str = "console=ttyS0 quiet mitigations=off panic=-1";

/// What the guest boots.
#[derive(Clone, Debug)]
pub(super) struct Linux {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    /// The package of the kernel.
    pub(super) name: String,
}

/// Fetches what is missing into `cache` and makes the root for so many vCPUs in `dir`.
pub(super) fn prepare(cache: &Path, dir: &Path, smp: u16) -> Result<Linux> {
    fs::create_dir_all(cache)?;
    let name = newest_kernel()?;
    let tree = unpacked(cache, &name)?;
    let busybox = unpacked(cache, SHELL)?.join("bin/busybox");
    let of_name = |start: &str| {
        let release = name.trim_start_matches("linux-image-");
        tree.join(format!("{start}{release}"))
    };
    let mut archive = Archive::default();
    for folder in ["proc", "sys", "dev", "tmp", "var/run"] {
        archive.folder(folder);
    }
    archive.file("init", init(smp).as_bytes());
    archive.file("bin/busybox", &read(&busybox)?);
    for module in MODULES {
        let path = of_name("lib/modules/").join("kernel/drivers/uio").join(module);
        archive.file(&format!("lib/modules/{module}"), &read(&path)?);
    }
    let program = qemu::probe::find_program(testpmd::NAME).ok_or("no dpdk-testpmd")?;
    archive.file("bin/testpmd", &read(&program)?);
    let plugins = plugins()?;
    let mut libraries = libraries(&program)?;
    for driver in DRIVERS {
        let path = plugins.join(driver);
        archive.file(&format!("drivers/{driver}"), &read(&path)?);
        libraries.extend(self::libraries(&path)?);
    }
    for (name, path) in libraries {
        archive.file(&name, &read(&path)?);
    }
    let initrd = dir.join("initrd");
    fs::write(&initrd, archive.finish())?;
    Ok(Linux { kernel: of_name("boot/vmlinuz-"), initrd, name })
}

/// The first and only script. testpmd forwards until something can be read from its input, which is never.
fn init(smp: u16) -> String {
    let workers = smp.saturating_sub(1).max(1);
    // The thread of the command line sleeps; with one vCPU it shares that with the one that forwards.
    let cores: String = (1..=workers).map(|k| format!(",{k}@{}", k.min(smp - 1))).collect();
    format!(
        "#!/bin/busybox sh\n\
         b=/bin/busybox\n\
         $b chmod 755 /\n\
         $b mount -t proc none /proc; $b mount -t sysfs none /sys; $b mount -t devtmpfs none /dev\n\
         $b mkdir /dev/hugepages; echo 64 > /proc/sys/vm/nr_hugepages\n\
         $b mount -t hugetlbfs none /dev/hugepages\n\
         $b insmod /lib/modules/uio.ko; $b insmod /lib/modules/uio_pci_generic.ko\n\
         for nic in 0000:00:02.0 0000:00:03.0; do\n\
         echo uio_pci_generic > /sys/bus/pci/devices/$nic/driver_override\n\
         echo $nic > /sys/bus/pci/drivers_probe\n\
         done\n\
         export LD_LIBRARY_PATH=/lib\n\
         $b mkfifo /tmp/quiet; exec 9<>/tmp/quiet\n\
         /bin/testpmd -d /drivers/{} -d /drivers/{} -m 96 --lcores=0@0{cores} \
         -a 0000:00:02.0 -a 0000:00:03.0 -- --forward-mode=io --nb-cores={workers} --rxd=1024 --txd=1024 \
         --total-num-mbufs=8192 --no-mlockall <&9\n",
        DRIVERS[0], DRIVERS[1]
    )
}

/// The package that the distribution's name for its newest kernel leads to.
fn newest_kernel() -> Result<String> {
    let ask = || -> Option<String> {
        let text = run(Command::new("apt-cache").args(["depends", "--important", KERNEL])).ok()?;
        let mut names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        names.find(|name| name.starts_with("linux-image-")).map(ToOwned::to_owned)
    };
    if let Some(name) = ask() {
        return Ok(name);
    }
    eprintln!("fetching the distribution's lists of packages …");
    let updated =
        run(Command::new("sh").args(["-c", "apt-get update -q || sudo -n apt-get update -q"]));
    let known = ask();
    known.ok_or_else(|| {
        let why = updated.err().map_or_else(String::new, |why| format!(": {why}"));
        format!("the Linux guest needs Debian's package {KERNEL}, which apt does not know{why}")
            .into()
    })
}

/// The content of a package, which is fetched if it is not there.
fn unpacked(cache: &Path, package: &str) -> Result<PathBuf> {
    let tree = cache.join(package);
    if tree.is_dir() {
        return Ok(tree);
    }
    eprintln!("fetching {package} …");
    let dir = tempfile::tempdir_in(cache)?;
    run(Command::new("apt-get").current_dir(dir.path()).args(["download", "-q", package]))?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|end| end == "deb");
    let mut files = fs::read_dir(dir.path())?.filter_map(|file| Some(file.ok()?.path()));
    let file = files.find(is_package).ok_or_else(|| format!("apt-get gave no {package}"))?;
    let part = dir.path().join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&part))?;
    // Whole or not at all.
    fs::rename(&part, &tree)?;
    Ok(tree)
}

fn plugins() -> Result<PathBuf> {
    let folders = fs::read_dir(PLUGINS).map_err(|why| format!("{PLUGINS}: {why}"))?;
    let mut folders = folders.filter_map(|folder| Some(folder.ok()?.path()));
    let has_all = |folder: &PathBuf| DRIVERS.iter().all(|driver| folder.join(driver).exists());
    let found = folders.find(has_all);
    found.ok_or_else(|| format!("no {} below {PLUGINS}", DRIVERS.join(" and ")).into())
}

/// The libraries of a program, by the place that they get in the guest.
fn libraries(program: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let text = run(Command::new("ldd").arg(program))?;
    let place = |line: &str| {
        let mut words = line.split_whitespace();
        match (words.next()?, words.next()?, words.next()) {
            (name, "=>", Some(path)) => Some((format!("lib/{name}"), PathBuf::from(path))),
            // The loader has its place in the program.
            (path, ..) => Some((path.strip_prefix('/')?.to_owned(), PathBuf::from(path))),
        }
    };
    Ok(text.lines().filter_map(place).collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|why| format!("{}: {why}", path.display()).into())
}
