//! A booted switch with the test's hands on every port.

mod controllers;
mod database;
mod frames;
mod machine;
mod ofctl;
mod questions;

pub use database::vsctl;

use core::cell::{Cell, RefCell};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use qemu::backend::Forward;
use qemu::unixctl::Unixctl;
use qemu::{Backend, Boot, Ended, Nic, Running, StartError, Vm, probe};
use tempfile::TempDir;

use crate::config::{ACCEL, Config, Plug};
use crate::lease::Lease;
use crate::port::{Port, mac};
use crate::tool;

/// Upper bound for everything that is waited for. Reaching it is a failure.
pub const WAIT: Duration = Duration::from_secs(120);
/// A host port may be taken by somebody who knows of no leases.
const ATTEMPTS: usize = 5;
/// TCP port on which the image takes controllers.
const GUEST_OPENFLOW: u16 = 6653;
/// TCP port on which the image takes clients of its database.
const GUEST_OVSDB: u16 = 6640;
const SHUTDOWN_GRACE: Duration = Duration::from_secs(120);

/// The image to test: built from this tree once for each process, or the one that `UNISWITCH_ELF`
/// names.
///
/// # Panics
/// When it cannot be built.
pub fn elf() -> PathBuf {
    static ELF: OnceLock<PathBuf> = OnceLock::new();
    ELF.get_or_init(|| {
        if let Some(path) = std::env::var_os("UNISWITCH_ELF") {
            return path.into();
        }
        match image::build(&image::BuildOptions::default(), &mut |_| ()) {
            Ok(built) => built.elf,
            Err(why) => panic!("{why}"),
        }
    })
    .clone()
}

/// What a program said that ended with an error.
#[derive(Debug)]
pub struct Refused(pub String);

/// A running switch and all ends of its wires.
///
/// It is ended by [`Self::shutdown`], which looks at the books a last time, or by a method that says that
/// there is nothing to look at any more. A bench that is dropped before fails its test.
#[derive(Debug)]
pub struct Bench {
    running: RefCell<Running>,
    console: RefCell<Option<Unixctl>>,
    ports: RefCell<Vec<Option<Port>>>,
    /// Frames sent, for [`Self::settle`]; none when others send as well.
    n_sent: Cell<Option<u64>>,
    case: RefCell<String>,
    /// The end has been looked at.
    is_over: Cell<bool>,
    openflow: Lease,
    ovsdb: Lease,
    /// What was started; last but one, the folder outlives the process.
    vm: Vm,
    dir: TempDir,
}

impl Bench {
    /// Boots and waits until the switch is ready: links up, management reachable.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn boot(config: Config) -> Self {
        let bench = Self::start(config);
        bench.wait_ready();
        bench
    }

    /// Waits until the switch is ready: links up, management reachable.
    #[track_caller]
    pub fn wait_ready(&self) {
        self.case("boot");
        if !self.serial().wait_for("ready ", WAIT) {
            self.fail("the image does not get ready");
        }
        let n_ports = self.ports.borrow().len() - 1;
        self.until("all links up", |state| {
            let ports = state["ports"].as_array().map_or(&[][..], Vec::as_slice);
            ports.iter().filter(|port| port["link"] == true).count() == n_ports
        });
        if self.vm.nics.len() > n_ports {
            self.until("a management address", |state| state["management"]["address"].is_string());
        }
    }

    /// Starts the machine and waits for nothing: for boots that are to fail, or back ends that QEMU
    /// waits for.
    ///
    /// # Panics
    /// When QEMU does not start.
    #[must_use]
    pub fn start(config: Config) -> Self {
        tool::need("qemu-system-x86_64", "qemu-system-x86");
        let qemu = match probe::find_qemu() {
            Ok(qemu) => qemu,
            Err(why) => panic!("{why}"),
        };
        for _ in 0..ATTEMPTS {
            match Self::attempt(&config, &qemu) {
                Ok(bench) => return bench,
                Err(StartError::Exited(said)) if said.contains("host forwarding") => {}
                Err(why) => panic!("QEMU: {why}"),
            }
        }
        panic!("no free TCP port in {ATTEMPTS} attempts");
    }

    fn attempt(config: &Config, qemu: &probe::Qemu) -> Result<Self, StartError> {
        let dir = tempfile::Builder::new().prefix("uniswitch-").tempdir().expect("a folder");
        let boot = config.boot.clone();
        let boot = boot.unwrap_or_else(|| Boot::Kernel { path: elf(), cmdline: String::new() });
        let reads_seed = matches!(&boot, Boot::Kernel { cmdline, .. } if cmdline.is_empty());
        let mut vm = Vm::new(boot, dir.path());
        vm.qemu.clone_from(&qemu.path);
        vm.version = qemu.version;
        vm.accel = ACCEL;
        vm.machine = config.machine;
        vm.smp = config.smp;
        vm.memory_mib = config.memory_mib;
        vm.extra.clone_from(&config.extra);
        vm.database.clone_from(&config.database);
        vm.config_drive.clone_from(&config.config_drive);
        let reads_seed = reads_seed && vm.config_drive.is_none();
        if reads_seed && !vm.extra.iter().any(|arg| arg.contains("opt/uniswitch/config")) {
            vm.write_seed(&config.seed, dir.path()).expect("a seed");
        }
        let (openflow, ovsdb) = (Lease::take(), Lease::take());
        if config.has_management {
            let address = Ipv4Addr::LOCALHOST;
            let services = [(openflow.port, GUEST_OPENFLOW), (ovsdb.port, GUEST_OVSDB)];
            let forwards = services.map(|(host, guest)| Forward { address, host, guest }).to_vec();
            vm.nics.push(Nic::new("mgmt", mac(0), Backend::User { forwards }));
        }
        let mut ports = vec![None];
        for (number, plug) in (1..).zip(&config.ports) {
            let port = (*plug == Plug::Bench)
                .then(|| Port::new(number, dir.path()).expect("a socket for a port"));
            let backend = match (plug, &port) {
                (Plug::Other(backend), _) => backend.clone(),
                (Plug::Bench, Some(port)) => {
                    Backend::Dgram { local: port.qemu.clone(), remote: port.ours.clone() }
                }
                (Plug::Bench, None) => unreachable!("made above"),
            };
            let mut nic = Nic::new(format!("p{number}"), mac(number), backend);
            nic.mtu = config.mtus.get(&number).copied();
            nic.n_queue_pairs = config.pairs.get(&number).copied().unwrap_or(1);
            vm.nics.push(nic);
            ports.push(port);
        }
        let first = usize::from(!config.has_management);
        for (number, nic) in (first..).zip(&mut vm.nics) {
            nic.is_packed = config.packed.contains(&number);
        }
        let holds = vm.nics.iter().any(|nic| nic.backend.holds_start());
        let running = if holds { vm.spawn(|_| ())? } else { vm.start(WAIT)? };
        Ok(Self {
            running: RefCell::new(running),
            console: RefCell::new(None),
            ports: RefCell::new(ports),
            n_sent: Cell::new(Some(0)),
            case: RefCell::new(String::from("start")),
            is_over: Cell::new(false),
            openflow,
            ovsdb,
            vm,
            dir,
        })
    }

    /// Names what is tested from here on, for messages.
    pub fn case(&self, name: impl Into<String>) {
        *self.case.borrow_mut() = name.into();
    }

    /// Ends the test with `why`; the case and the logs are shown as the bench goes.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail(&self, why: impl AsRef<str>) -> ! {
        panic!("[{}] {}", self.case.borrow(), why.as_ref())
    }

    /// Ends the machine as its owner would: the books are looked at a last time, the image is asked and
    /// must switch itself off.
    ///
    /// # Panics
    /// When the law of accounting does not hold, a cached conclusion was wrong, the image does not end,
    /// or when it reported a fault.
    pub fn shutdown(self) {
        self.case(format!("shutdown after {}", self.case.borrow()));
        self.settle();
        let state = self.telemetry();
        if state["self_check"]["failed"] != 0 {
            self.fail(format!("cached conclusions were wrong: {}", state["self_check"]));
        }
        self.is_over.set(true);
        let ended = self.running.borrow_mut().shutdown(SHUTDOWN_GRACE);
        if ended != Ended::Guest {
            self.fail(format!("the image did not switch itself off: {ended:?}"));
        }
        let text = self.serial().text();
        if text.contains("panicked") || text.contains("ERROR") {
            self.fail("the image reported a fault");
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if thread::panicking() {
            let running = self.running.borrow();
            eprintln!(
                "--- in case: {}\n--- serial log:\n{}--- QEMU said:\n{}---",
                self.case.borrow(),
                running.serial().tail(200).join("\n") + "\n",
                running.said().text(),
            );
        } else if !self.is_over.get() {
            panic!("[{}] the test ends without a look at the books", self.case.borrow());
        }
    }
}
