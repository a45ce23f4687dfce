//! A booted switch with the test's hands on every port.

use core::cell::{Cell, RefCell};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use qemu::backend::Forward;
use qemu::qmp::Qmp;
use qemu::serial::Log;
use qemu::unixctl::Unixctl;
use qemu::{Backend, Boot, Ended, Nic, Running, StartError, Vm, probe};
use serde_json::Value;
use tempfile::TempDir;

use crate::config::{ACCEL, Config, Plug};
use crate::port::{Arrivals, Port, mac};
use crate::spawned::Spawned;
use crate::tool;

/// Upper bound for everything that is waited for. Reaching it is a failure.
pub const WAIT: Duration = Duration::from_secs(60);
/// Between two looks at a condition that has no wake-up.
const LOOK: Duration = Duration::from_millis(2);
/// A host port may be taken between its choice and its use.
const ATTEMPTS: usize = 5;
/// TCP port on which the image takes controllers.
const GUEST_OPENFLOW: u16 = 6653;
const SHUTDOWN_GRACE: Duration = Duration::from_secs(20);

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
#[derive(Debug)]
pub struct Bench {
    running: RefCell<Running>,
    console: RefCell<Option<Unixctl>>,
    ports: RefCell<Vec<Option<Port>>>,
    /// Frames sent, for [`Self::settle`].
    n_sent: Cell<u64>,
    case: RefCell<String>,
    openflow: u16,
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
        if reads_seed && !vm.extra.iter().any(|arg| arg.contains("opt/uniswitch/config")) {
            vm.write_seed(&config.seed, dir.path()).expect("a seed");
        }
        let openflow = free_port();
        if config.has_management {
            let address = Ipv4Addr::LOCALHOST;
            let forward = Forward { address, host: openflow, guest: GUEST_OPENFLOW };
            vm.nics.push(Nic::new("mgmt", mac(0), Backend::User { forwards: vec![forward] }));
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
            vm.nics.push(nic);
            ports.push(port);
        }
        let holds = vm.nics.iter().any(|nic| nic.backend.holds_start());
        let running = if holds { vm.spawn(|_| ())? } else { vm.start(WAIT)? };
        Ok(Self {
            running: RefCell::new(running),
            console: RefCell::new(None),
            ports: RefCell::new(ports),
            n_sent: Cell::new(0),
            case: RefCell::new(String::from("start")),
            openflow,
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

    // Frames.

    /// Puts a frame on port `port` (from 1).
    #[track_caller]
    pub fn send(&self, port: usize, frame: &[u8]) {
        let ports = self.ports.borrow();
        let Some(Some(wire)) = ports.get(port) else {
            self.fail(format!("port {port} is not the bench's"));
        };
        if let Err(why) = wire.send(frame, WAIT) {
            self.fail(format!("port {port} takes no frame: {why}"));
        }
        self.n_sent.set(self.n_sent.get() + 1);
    }

    /// Waits until every frame that was sent has met its end and whatever came out has arrived.
    ///
    /// # Panics
    /// When the switch's books do not close.
    #[track_caller]
    pub fn settle(&self) {
        let mut last = Value::Null;
        let n_sent = self.n_sent.get();
        let is_settled = self.wait_until(|| {
            last = self.telemetry();
            let n_ports = self.ports.borrow().len();
            books_close(&last["accounting"], n_sent)
                && (1..n_ports).all(|port| self.has_arrived(port, &last))
        });
        if !is_settled {
            self.fail(format!(
                "{n_sent} frames sent, and the books do not close: {} {}; arrived: {:?}",
                last["accounting"],
                last["ports"],
                self.port_numbers().iter().map(|&port| self.n_arrived(port)).collect::<Vec<_>>(),
            ));
        }
    }

    fn has_arrived(&self, port: usize, state: &Value) -> bool {
        let ports = self.ports.borrow();
        let said = state["ports"][port - 1]["tx_packets"].as_u64();
        ports[port].as_ref().is_none_or(|port| said == Some(port.n_before + port.arrivals.total()))
    }

    fn n_arrived(&self, port: usize) -> u64 {
        self.ports.borrow()[port].as_ref().map_or(0, |port| port.arrivals.total())
    }

    /// Waits until all is settled; then exactly these frames must have come out, on these ports, in
    /// this order on each.
    #[track_caller]
    pub fn expect(&self, expected: &[(usize, &[u8])]) {
        self.settle();
        for port in self.port_numbers() {
            let arrived = self.arrivals(port).take();
            let wanted: Vec<&[u8]> =
                expected.iter().filter(|(p, _)| *p == port).map(|(_, frame)| *frame).collect();
            if arrived != wanted {
                self.fail(format!("port {port}: expected {}, got {}", hex(&wanted), hex(&arrived)));
            }
        }
    }

    /// Waits until all is settled; then nothing must have come out.
    #[track_caller]
    pub fn expect_nothing(&self) {
        self.expect(&[]);
    }

    /// Sends `frame` on `port` and expects it unchanged on each of `out` and nowhere else.
    #[track_caller]
    pub fn forwards(&self, port: usize, frame: &[u8], out: &[usize]) {
        self.send(port, frame);
        let expected: Vec<(usize, &[u8])> = out.iter().map(|&out| (out, frame)).collect();
        self.expect(&expected);
    }

    /// What arrived on a port and was not taken yet.
    ///
    /// # Panics
    /// When the port is not the bench's.
    #[track_caller]
    pub fn arrivals(&self, port: usize) -> Arrivals {
        match self.ports.borrow().get(port) {
            Some(Some(port)) => port.arrivals.clone(),
            _ => self.fail(format!("port {port} is not the bench's")),
        }
    }

    /// Numbers of the ports on the bench.
    #[must_use]
    pub fn port_numbers(&self) -> Vec<usize> {
        let ports = self.ports.borrow();
        (1..ports.len()).filter(|&port| ports[port].is_some()).collect()
    }

    /// Takes the bench's end of a port away, socket and all. What QEMU sends there is lost.
    #[track_caller]
    pub fn unplug(&self, port: usize) {
        match self.ports.borrow_mut().get_mut(port).and_then(Option::take) {
            Some(port) => {
                fs::remove_file(&port.ours).unwrap_or_else(|why| self.fail(why.to_string()));
            }
            None => self.fail(format!("port {port} is not plugged in")),
        }
    }

    /// Puts the bench's end of a port back.
    #[track_caller]
    pub fn replug(&self, port: usize) {
        let mut new = Port::new(port, self.dir()).unwrap_or_else(|why| self.fail(why.to_string()));
        let sent = &self.telemetry()["ports"][port - 1]["tx_packets"];
        new.n_before = sent.as_u64().unwrap_or(0);
        self.ports.borrow_mut()[port] = Some(new);
    }

    /// Tells [`Self::settle`] of frames that came in by another way than [`Self::send`].
    pub fn sent_besides(&self, n: u64) {
        self.n_sent.set(self.n_sent.get() + n);
    }

    // Asking the switch.

    /// Runs a command of the image's console and gives its text.
    #[track_caller]
    pub fn appctl(&self, method: &str, params: &[&str]) -> String {
        self.try_appctl(method, params).unwrap_or_else(|why| self.fail(format!("{method}: {why}")))
    }

    /// Runs a command of the image's console that may be refused.
    ///
    /// # Errors
    /// When it is refused or there is no answer; the words of either.
    pub fn try_appctl(&self, method: &str, params: &[&str]) -> Result<String, String> {
        let mut console = self.console.borrow_mut();
        let connected = match console.take() {
            Some(console) => console,
            // The first console is kept for the shutdown.
            None => {
                let running = self.running.borrow();
                let path = running.console(1).ok_or("no console")?;
                Unixctl::connect(path).map_err(|why| why.to_string())?
            }
        };
        let answer = console.insert(connected).call(method, params, WAIT);
        answer.map_err(|why| why.to_string())
    }

    /// The state of the switch as it describes itself.
    #[track_caller]
    pub fn telemetry(&self) -> Value {
        let text = self.appctl("uniswitch/telemetry", &[]);
        serde_json::from_str(&text).unwrap_or_else(|why| self.fail(format!("{why}: {text}")))
    }

    /// How many frames a port dropped for a reason.
    #[track_caller]
    pub fn drops(&self, port: usize, reason: &str) -> u64 {
        self.telemetry()["ports"][port - 1]["drops"][reason].as_u64().unwrap_or(0)
    }

    /// Waits until the telemetry is as `is_so` wants it.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let came = self.wait_until(|| {
            last = self.telemetry();
            is_so(&last)
        });
        if !came {
            self.fail(format!("waited in vain for {what}: {last}"));
        }
        last
    }

    /// Waits for a condition; false when it does not come.
    pub fn wait_until(&self, mut is_so: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + WAIT;
        loop {
            if is_so() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(LOOK);
        }
    }

    // OpenFlow.

    /// Where stock tools reach the switch: `tcp:127.0.0.1:PORT`.
    #[must_use]
    pub fn target(&self) -> String {
        format!("tcp:127.0.0.1:{}", self.openflow)
    }

    /// Runs `ovs-ofctl -O OpenFlow13 COMMAND TARGET ARGS` and gives what it printed.
    #[track_caller]
    pub fn ofctl(&self, command_and_args: &[&str]) -> String {
        match self.try_ofctl("OpenFlow13", command_and_args) {
            Ok(text) => text,
            Err(Refused(why)) => self.fail(format!("ovs-ofctl {command_and_args:?}: {why}")),
        }
    }

    /// Runs `ovs-ofctl -O VERSION COMMAND TARGET ARGS`.
    ///
    /// # Errors
    /// When it fails; then what it printed as an error.
    pub fn try_ofctl(&self, version: &str, command_and_args: &[&str]) -> Result<String, Refused> {
        let (command, args) = command_and_args.split_first().expect("a command");
        let output = self
            .ofctl_command(version, command, args)
            .output()
            .map_err(|why| Refused(why.to_string()))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Refused(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }

    /// `ovs-ofctl -O VERSION COMMAND TARGET ARGS`, to be run as the caller likes.
    #[must_use]
    pub fn ofctl_command(&self, version: &str, command: &str, args: &[&str]) -> Command {
        let mut run = Command::new(tool::need("ovs-ofctl", "openvswitch-common"));
        run.args(["-O", version, "--timeout=60", command, &self.target()]).args(args);
        run.stdin(Stdio::null()).env("OVS_RUNDIR", self.dir.path());
        run
    }

    /// The same with OpenFlow 1.3, started and left running.
    #[track_caller]
    pub fn spawn_ofctl(&self, command_and_args: &[&str]) -> Spawned {
        let (command, args) = command_and_args.split_first().expect("a command");
        Spawned::new(self.ofctl_command("OpenFlow13", command, args))
    }

    /// Replaces all flows by `flows`, in force when this returns.
    #[track_caller]
    pub fn set_flows(&self, flows: &[&str]) {
        let file = self.dir.path().join("flows");
        fs::write(&file, flows.join("\n") + "\n").expect("a file of flows");
        self.ofctl(&["del-flows"]);
        if !flows.is_empty() {
            self.ofctl(&["add-flows", &file.to_string_lossy()]);
        }
    }

    /// Waits until every conclusion that the switch has cached knows of all changes so far, what was
    /// learned included: by the barrier behind a change that changes nothing.
    #[track_caller]
    pub fn barrier(&self) {
        self.ofctl(&["del-flows", "table=253,cookie=0x5eed/-1"]);
    }

    /// The TCP port of the host that leads to the switch's OpenFlow.
    #[must_use]
    pub fn openflow_port(&self) -> u16 {
        self.openflow
    }

    // The machine.

    /// What the image wrote on its serial port.
    #[must_use]
    pub fn serial(&self) -> Log {
        self.running.borrow().serial().clone()
    }

    /// QEMU's control.
    #[track_caller]
    pub fn qmp(&self) -> Qmp {
        let qmp = self.running.borrow().qmp();
        qmp.unwrap_or_else(|why| self.fail(why.to_string()))
    }

    /// Waits until QEMU is gone by itself and its whole serial output is there; what the exit status
    /// was.
    #[track_caller]
    pub fn wait_for_end(&self) -> std::process::ExitStatus {
        let status = self.running.borrow_mut().wait(WAIT);
        let status = status.unwrap_or_else(|| self.fail("the machine does not end"));
        // Its last words may still be in the pipe, whose end ends this wait.
        self.serial().wait_until(WAIT, |_| false);
        status
    }

    /// Whether QEMU still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.borrow_mut().try_wait().is_none()
    }

    /// A folder that lasts as long as the bench.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// The machine's description.
    #[must_use]
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Ends the machine as its owner would: the image is asked and must switch itself off.
    ///
    /// # Panics
    /// When it does not, or when it reported a fault.
    pub fn shutdown(self) {
        self.case("shutdown");
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
        }
    }
}

/// The law of accounting on exactly `n_sent` frames.
fn books_close(books: &Value, n_sent: u64) -> bool {
    let book = |name: &str| books[name].as_u64().unwrap_or(0);
    let into = book("received") + book("originated") + book("copies");
    let out = book("transmitted") + book("dropped") + book("consumed");
    book("received") == n_sent && into == out
}

/// A port of the loopback that nobody uses at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a TCP port");
    listener.local_addr().expect("an address").port()
}

fn hex<T: AsRef<[u8]>>(frames: &[T]) -> String {
    let one = |frame: &T| {
        let bytes = frame.as_ref();
        let shown = bytes.iter().take(96).map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{} bytes {shown}", bytes.len())
    };
    if frames.is_empty() {
        return String::from("nothing");
    }
    frames.iter().map(one).collect::<Vec<_>>().join(" | ")
}
