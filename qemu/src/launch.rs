//! The launcher's story: check, get QEMU, build, describe the VM, run it, end it.

use std::fmt::Display;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use image::{BuildError, BuildOptions, Built, Progress, disk};
use qemu::backend::Forward;
use qemu::database;
use qemu::ports::{Plan, PortError, guest_mac};
use qemu::probe::{self, Qemu};
use qemu::{Backend, Boot, DiskFormat, Machine, Nic, Vm, command};
use seed::{Address, BootConfig, Management, NicMatch, OnPanic};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::cli::{Cli, Command, DbCommand, RunArgs};
use crate::install;
use crate::session;
use crate::ui::{Event, Ui};

/// OpenFlow's port inside the guest.
const GUEST_OPENFLOW: u16 = 6653;
/// OVSDB's port inside the guest, and on the host unless something else has it.
const GUEST_OVSDB: u16 = 6640;

/// Why the launcher ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A line that says what is wrong and what to do.
    Failed(String),
    /// A signal asked for it.
    Asked,
}

impl<E: Display> From<E> for Stop {
    fn from(why: E) -> Self {
        Self::Failed(why.to_string())
    }
}

/// Does what the options say.
pub(crate) fn run(cli: &Cli, ui: &mut Ui) -> Result<(), Stop> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    match &cli.command {
        Some(Command::Image { out, cmdline }) => make_images(out.as_deref(), cmdline, ui, &stop),
        Some(Command::Db(command)) => db(command, ui),
        None => run_vm(&cli.run, ui, &stop),
    }
}

fn run_vm(args: &RunArgs, ui: &mut Ui, stop: &Arc<AtomicBool>) -> Result<(), Stop> {
    args.check()?;
    let specs = args.port_specs()?;
    let (controllers, notes) = args.controllers()?;
    let machine = Machine::from(args.machine);
    let dir = StateDir::new(args)?;
    let plan = Plan::new(&specs, dir.path());
    check_count(&plan, machine, args)?;
    plan.check()?;
    let mut ovsdb = args.ovsdb.unwrap_or(GUEST_OVSDB);
    if !args.print {
        check_listen(args.listen, "--listen")?;
        match args.ovsdb {
            Some(port) => check_listen(port, "--ovsdb")?,
            // An Open vSwitch on this host may have the usual one.
            None => ovsdb = usual_or_free(ovsdb)?,
        }
    }
    let qemu = install::qemu(ui)?;
    let elf = match &args.image {
        Some(path) => checked(path)?,
        None => build(ui, stop)?.elf,
    };
    let boot = boot(args, elf, dir.path())?;
    notes.into_iter().for_each(|text| ui.show(&Event::Note { text }));

    let mut vm = describe(args, &qemu, boot, &plan, (ovsdb, dir.path()));
    let mut seed = args.seed.as_deref();
    if let Some(file) = seed {
        database::check(file)?;
    }
    if let Some(name) = &args.db {
        let (disk, is_new) = database_disk(name, ui)?;
        if let Some(file) = seed.take().filter(|_| is_new) {
            database::import(&disk, file)?;
        }
        vm.database = Some(disk);
    }
    if let Some(file) = seed {
        vm.database_seed = Some(handed_in(file)?);
    }
    if vm.accel == qemu::Accel::Tcg
        && let Some(why) = probe::accelerator().1
    {
        ui.show(&Event::Note { text: format!("no KVM, {why}: running under TCG, which is slow") });
    }
    let config = BootConfig {
        fail_mode: args.fail_mode.into(),
        controllers,
        listen: Some(GUEST_OPENFLOW),
        management: Some(Management {
            nic: NicMatch::Mac(guest_mac(0)),
            // What QEMU's DHCP server would say, without the time to ask.
            address: Address::Static {
                address: Ipv4Addr::new(10, 0, 2, 15),
                prefix_len: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
            },
        }),
        ports: plan.seeds.clone(),
        self_check_one_in: args.self_check,
        other_config: other_config(args),
        vsctl: args.vsctl.join(" -- "),
        nic_without: args.nic_without.clone(),
        log: args.log.into(),
        on_panic: OnPanic::PowerOff,
        ..BootConfig::default()
    };
    match &args.config_drive {
        Some(drive) => vm.config_drive = Some(config_drive(drive)?),
        None => vm.write_seed(&config, dir.path())?,
    }
    if args.print {
        ui.show(&Event::Command { line: command::shell_quoted(&vm.command()) });
        return Ok(());
    }
    session::run(args, (&vm, ovsdb), &plan, ui, stop)
}

fn db(command: &DbCommand, ui: &mut Ui) -> Result<(), Stop> {
    let (path, bytes) = match command {
        DbCommand::Extract { disk, file } => {
            let text = database::extract(&database::path(disk)?)?;
            write(file, &text)?;
            (file.clone(), text.len())
        }
        DbCommand::Import { disk, file } => {
            let disk = database::path(disk)?;
            database::import(&disk, file)?;
            let size = fs::metadata(file).map_or(0, |data| data.len());
            (disk, usize::try_from(size).unwrap_or(usize::MAX))
        }
    };
    ui.show(&Event::Wrote { path: path.display().to_string(), bytes });
    Ok(())
}

/// The disk for the database, made if it is not there, and whether it was.
fn database_disk(name: &str, ui: &mut Ui) -> Result<(PathBuf, bool), Stop> {
    let path = database::path(name)?;
    let is_new = database::create(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let what = if is_new { "goes to the new disk" } else { "comes from the disk" };
    ui.show(&Event::Note { text: format!("the configuration {what} {}", path.display()) });
    Ok((path, is_new))
}

/// A database file as the image takes it from fw_cfg.
fn handed_in(file: &Path) -> Result<PathBuf, String> {
    const MOST: u64 = 1 << 20;
    let told = |why| format!("--seed {}: {why}", file.display());
    match fs::metadata(file).map_err(|why| told(why.to_string()))?.len() {
        0..=MOST => Ok(file.to_path_buf()),
        n => Err(told(format!(
            "{} KiB are more than the 1024 that are handed in: add --db",
            n >> 10
        ))),
    }
}

/// A config drive that is there. What is on it is the image's to judge.
fn config_drive(file: &Path) -> Result<PathBuf, String> {
    let told = |why: &str| format!("--config-drive {}: {why}", file.display());
    let data = fs::metadata(file).map_err(|why| told(&why.to_string()))?;
    if data.is_file() && data.len() < 512 {
        return Err(told("too short for a volume"));
    }
    Ok(file.to_path_buf())
}

fn check_count(plan: &Plan, machine: Machine, args: &RunArgs) -> Result<(), PortError> {
    // One NIC is management; a disk takes a place of its own kind, but for machines without PCI.
    let database = usize::from(args.db.is_some() && machine == Machine::Microvm);
    let max = machine.max_nics() - 1 - database - usize::from(args.config_drive.is_some());
    if plan.nics.len() > max {
        return Err(PortError::TooMany { n: plan.nics.len(), max, machine: machine.name() });
    }
    Ok(())
}

/// QEMU would refuse as well, but later and in other words.
fn check_listen(port: u16, option: &str) -> Result<(), String> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
            Err(format!("port {port} needs root: choose one from 1024 on with {option} PORT"))
        }
        Err(_) => {
            Err(format!("port {port} of 127.0.0.1 is in use: choose another with {option} PORT"))
        }
    }
}

/// The port if it is free, else one that is.
fn usual_or_free(port: u16) -> Result<u16, String> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(port).or_else(|_| bind(0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|why| format!("no free TCP port: {why}"))
}

fn describe(
    args: &RunArgs,
    qemu: &Qemu,
    boot: Boot,
    plan: &Plan,
    (ovsdb, dir): (u16, &Path),
) -> Vm {
    let mut vm = Vm::new(boot, dir);
    vm.qemu.clone_from(&qemu.path);
    vm.version = qemu.version;
    vm.name.clone_from(&args.name);
    vm.machine = args.machine.into();
    vm.smp = args.smp;
    vm.memory_mib = args.memory;
    vm.cpu.clone_from(&args.cpu);
    vm.accel = probe::accelerator().0;
    let services = [(args.listen, GUEST_OPENFLOW), (ovsdb, GUEST_OVSDB)];
    let forward = |(host, guest)| Forward { address: Ipv4Addr::LOCALHOST, host, guest };
    let management = Backend::User { forwards: services.map(forward).to_vec() };
    vm.nics.push(Nic::new("mgmt", guest_mac(0), management));
    vm.nics.extend(plan.nics.iter().cloned());
    vm.nics.iter_mut().for_each(|nic| nic.is_packed = args.packed);
    vm
}

fn build(ui: &mut Ui, stop: &Arc<AtomicBool>) -> Result<Built, Stop> {
    let options = BuildOptions { cancel: stop.clone(), ..BuildOptions::default() };
    let built = image::build(&options, &mut |progress| {
        let what = match progress {
            Progress::Waiting => "waiting for another build of the image".to_owned(),
            Progress::Cargo { verb, what } => format!("{verb} {what}"),
            Progress::Checking => "checking the image".to_owned(),
            // The status lines say it already.
            Progress::Compiled { .. } => return,
        };
        ui.show(&Event::Building { what });
    });
    match built {
        Ok(built) => {
            let elf = built.elf.display().to_string();
            let (bytes, symbols) = (built.stripped_size, built.n_symbols);
            ui.show(&Event::Built { elf, bytes, symbols });
            Ok(built)
        }
        Err(BuildError::Cancelled) => Err(Stop::Asked),
        Err(why) if stop.load(Ordering::Acquire) => {
            drop(why);
            Err(Stop::Asked)
        }
        Err(why) => Err(why.into()),
    }
}

/// A file that is given instead of a built image must at least be an ELF.
fn checked(path: &Path) -> Result<PathBuf, String> {
    let elf = fs::read(path).map_err(|why| format!("--image {}: {why}", path.display()))?;
    image::strip(&elf).map_err(|why| format!("--image {}: {why}", path.display()))?;
    Ok(path.to_path_buf())
}

fn boot(args: &RunArgs, elf: PathBuf, dir: &Path) -> Result<Boot, Stop> {
    let Some(format) = args.disk.map(DiskFormat::from) else {
        return Ok(Boot::Kernel { path: elf, cmdline: String::new() });
    };
    let path = dir.join("disk").with_extension(format.name());
    write(&path, &disk_bytes(&elf, format, "")?)?;
    Ok(Boot::Disk { path, format })
}

fn disk_bytes(elf: &Path, format: DiskFormat, cmdline: &str) -> Result<Vec<u8>, Stop> {
    let elf = fs::read(elf).map_err(|why| format!("{}: {why}", elf.display()))?;
    let options = disk::DiskOptions { cmdline: cmdline.into(), ..disk::DiskOptions::default() };
    let raw = disk::raw(&elf, &options)?;
    Ok(match format {
        DiskFormat::Raw => raw,
        DiskFormat::Qcow2 => disk::qcow2(&raw),
    })
}

fn make_images(
    out: Option<&Path>,
    cmdline: &str,
    ui: &mut Ui,
    stop: &Arc<AtomicBool>,
) -> Result<(), Stop> {
    // What the image would refuse at boot is refused here.
    seed::BootConfig::from_text(cmdline).map_err(|why| format!("--cmdline: {why}"))?;
    let built = build(ui, stop)?;
    let folder = out.or(built.elf.parent()).unwrap_or(Path::new(".")).to_path_buf();
    fs::create_dir_all(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let elf = fs::read(&built.elf).map_err(|why| format!("{}: {why}", built.elf.display()))?;
    let files = [
        ("elf", elf),
        ("raw", disk_bytes(&built.elf, DiskFormat::Raw, cmdline)?),
        ("qcow2", disk_bytes(&built.elf, DiskFormat::Qcow2, cmdline)?),
    ];
    for (kind, bytes) in files {
        let path = folder.join(format!("uniswitch.{kind}"));
        write(&path, &bytes)?;
        ui.show(&Event::Wrote { path: path.display().to_string(), bytes: bytes.len() });
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    image::put(path, bytes).map_err(|why| why.to_string())
}

/// Where the VM's sockets and seed stand.
enum StateDir {
    /// Removed with the launcher.
    Temporary(tempfile::TempDir),
    /// Stays, since a printed command line refers to it.
    Kept(PathBuf),
}

impl StateDir {
    fn new(args: &RunArgs) -> Result<Self, String> {
        if args.print {
            let path = BuildOptions::default().root.join(".uniswitch").join(&args.name);
            fs::create_dir_all(&path).map_err(|why| format!("{}: {why}", path.display()))?;
            return Ok(Self::Kept(path));
        }
        let made = tempfile::Builder::new().prefix(&format!("{}-", args.name)).tempdir();
        made.map(Self::Temporary).map_err(|why| {
            format!("{}: {why}: set TMPDIR to a folder of yours", std::env::temp_dir().display())
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(path) => path,
        }
    }
}

/// The settings of the image by their names; the versions of OpenFlow are one of them.
fn other_config(args: &crate::cli::RunArgs) -> Vec<(String, String)> {
    let protocols =
        (!args.protocols.is_empty()).then(|| ("protocols".to_owned(), args.protocols.join(",")));
    args.other_config.iter().cloned().chain(protocols).collect()
}
