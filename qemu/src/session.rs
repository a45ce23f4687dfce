//! One run of the VM: from QEMU's start to its end, with hosts and captures at the ports.
//!
//! # Concurrency
//! The thread of [`run`] owns the VM and the screen. The hosts, the captures and the telemetry each
//! have threads of their own that send through one channel; the loop takes from it, and looks at the
//! VM and at the signals between. Everything ends by guards, in the reverse order of its start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use qemu::hosts::{HostEvent, Hosts, Traffic};
use qemu::pcap::PcapRun;
use qemu::ports::Plan;
use qemu::serial::Cursor;
use qemu::telemetry::{self, Telemetry};
use qemu::unixctl::{Unixctl, UnixctlError};
use qemu::{Backend, Ended, Nic, Running, StartError, Vm};

use crate::cli::RunArgs;
use crate::launch::Stop;
use crate::ui::{Event, PortLine, Ui};

/// Longest time without a look at the VM and the signals.
const LOOK: Duration = Duration::from_millis(50);
/// How long an image may take to answer for the first time: TCG on a busy machine is slow.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);
/// After so long QEMU waits for somebody.
const START_PATIENCE: Duration = Duration::from_secs(2);
/// Links that are not up after so long are down for a reason.
const LINK_PATIENCE: Duration = Duration::from_secs(2);
/// What an answer of the image may take.
const ANSWER: Duration = Duration::from_secs(2);
const TELEMETRY_EVERY: Duration = Duration::from_secs(1);
/// What the guest gets to switch itself off.
const GRACE: Duration = Duration::from_secs(3);
/// Lines of the serial port that a failure shows.
const SHOWN_LINES: usize = 15;

enum Message {
    Host(HostEvent),
    Telemetry(Box<Telemetry>),
}

pub(crate) fn run(
    args: &RunArgs,
    (vm, ovsdb): (&Vm, u16),
    plan: &Plan,
    ui: &mut Ui,
    stop: &AtomicBool,
) -> Result<(), Stop> {
    let go = Arc::new(AtomicBool::new(false));
    let (sender, messages) = mpsc::channel();
    // The hosts' sockets stand before QEMU sends to them.
    let hosts = start_hosts(plan, &go, &sender)?;
    let pcaps = plan.pcaps.iter().map(|port| port.start(go.clone()));
    let pcaps = pcaps.collect::<Result<Vec<_>, _>>()?;
    let mut running = vm.spawn(|_| ())?;
    ui.show(&started(vm, plan));
    let mut session = Session {
        args,
        ovsdb,
        plan,
        ui,
        go,
        cursor: Cursor::default(),
        ready: None,
        has_forwarded: false,
        pcaps,
        n_replayed: 0,
    };
    session.wait_for_qemu(vm, &mut running, stop)?;
    let poller = Poller::start(&running, session.go.clone(), sender);
    let ending = session.follow(&mut running, &messages, stop);
    // The console takes one connection at a time; the shutdown needs it.
    drop(poller);
    drop(hosts);
    session.finish(running, ending)
}

fn start_hosts(
    plan: &Plan,
    go: &Arc<AtomicBool>,
    sender: &Sender<Message>,
) -> Result<Option<Hosts>, Stop> {
    if plan.hosts.is_empty() {
        return Ok(None);
    }
    let (events, told) = mpsc::channel();
    let sender = sender.clone();
    thread::spawn(move || {
        for event in told {
            if sender.send(Message::Host(event)).is_err() {
                return;
            }
        }
    });
    let hosts = Hosts::start(&plan.hosts, Traffic::default(), go.clone(), events);
    hosts.map(Some).map_err(|why| Stop::Failed(format!("the built-in hosts cannot start: {why}")))
}

/// How the loop came to its end.
enum Ending {
    /// A signal, or the time that was asked for.
    Asked,
    /// QEMU ended on its own.
    Gone,
    /// The image never answered.
    Silent,
}

struct Session<'a> {
    args: &'a RunArgs,
    /// Port of the host on which OVSDB listens.
    ovsdb: u16,
    plan: &'a Plan,
    ui: &'a mut Ui,
    go: Arc<AtomicBool>,
    cursor: Cursor,
    ready: Option<Instant>,
    has_forwarded: bool,
    pcaps: Vec<PcapRun>,
    n_replayed: usize,
}

impl Session<'_> {
    /// A vhost-user back end may have to come first; that is said once.
    fn wait_for_qemu(
        &mut self,
        vm: &Vm,
        running: &mut Running,
        stop: &AtomicBool,
    ) -> Result<(), Stop> {
        let begin = Instant::now();
        let mut has_said = false;
        loop {
            match running.wait_ready(LOOK) {
                Ok(()) => return Ok(()),
                Err(StartError::Silent) if stop.load(Ordering::Acquire) => return Err(Stop::Asked),
                Err(StartError::Silent) => {}
                Err(why) => return Err(why.into()),
            }
            let held = vm.nics.iter().find_map(|nic| match &nic.backend {
                Backend::VhostUser { path, .. } => Some((nic, path)),
                _ => None,
            });
            match held {
                Some((nic, path)) if !has_said && begin.elapsed() > START_PATIENCE => {
                    let text = format!(
                        "QEMU waits for the vhost-user back end of {} at {}",
                        nic.id,
                        path.display()
                    );
                    self.ui.show(&Event::Note { text });
                    has_said = true;
                }
                None if begin.elapsed() > BOOT_PATIENCE => return Err(StartError::Silent.into()),
                _ => {}
            }
        }
    }

    fn follow(
        &mut self,
        running: &mut Running,
        messages: &Receiver<Message>,
        stop: &AtomicBool,
    ) -> Ending {
        let begin = Instant::now();
        loop {
            match messages.recv_timeout(LOOK) {
                Ok(Message::Host(event)) => self.host(event),
                Ok(Message::Telemetry(now)) => self.telemetry(running, *now),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.serial(running);
            self.replayed();
            let duration = self.args.duration.map(Duration::from_secs);
            let is_over = self.ready.zip(duration).is_some_and(|(at, d)| at.elapsed() >= d);
            if stop.load(Ordering::Acquire) || is_over {
                return Ending::Asked;
            }
            if running.try_wait().is_some() {
                return Ending::Gone;
            }
            if self.ready.is_none() && begin.elapsed() > BOOT_PATIENCE {
                return Ending::Silent;
            }
        }
    }

    fn telemetry(&mut self, running: &Running, now: Telemetry) {
        let is_first = self.ready.is_none();
        let ready = *self.ready.get_or_insert_with(Instant::now);
        // Hosts that talk into a port without a link lose their first words.
        let is_linked = now.ports.len() >= self.plan.nics.len() && now.ports.iter().all(|p| p.link);
        if is_linked || ready.elapsed() > LINK_PATIENCE {
            self.go.store(true, Ordering::Release);
        } else if !is_first {
            return;
        }
        if is_first {
            let appctl = running.console(1).unwrap_or(Path::new("")).display().to_string();
            self.ui.show(&Event::Ready {
                qemu_us: micros(running.started().elapsed()),
                guest_us: now.boot.ready_us,
                openflow: format!("tcp:127.0.0.1:{}", self.args.listen),
                ovsdb: format!("tcp:127.0.0.1:{}", self.ovsdb),
                appctl,
            });
        }
        if let Some(guest_us) = now.boot.first_forward_us
            && !self.has_forwarded
        {
            self.has_forwarded = true;
            self.ui.show(&Event::FirstForward { guest_us });
        }
        self.ui.show(&Event::Telemetry(now));
    }

    fn host(&mut self, event: HostEvent) {
        let name = |i: usize| self.plan.hosts[i].name.clone();
        let event = match event {
            HostEvent::Ping { from, to, rtt } => {
                Event::Ping { from: name(from), to: name(to), rtt_us: rtt.map(micros) }
            }
            HostEvent::Udp { from, to, rtt } => {
                Event::Udp { from: name(from), to: name(to), rtt_us: rtt.map(micros) }
            }
            HostEvent::Stream { from, to, bytes, elapsed, is_complete } => Event::Stream {
                from: name(from),
                to: name(to),
                bytes,
                elapsed_us: micros(elapsed),
                complete: is_complete,
            },
        };
        self.ui.show(&event);
    }

    fn serial(&mut self, running: &Running) {
        if self.args.serial {
            for line in running.serial().new_lines(&mut self.cursor) {
                self.ui.show(&Event::Serial { line: plain(&line) });
            }
        }
    }

    fn replayed(&mut self) {
        let n_done = self.pcaps.iter().filter(|pcap| pcap.is_replayed()).count();
        if n_done == self.n_replayed {
            return;
        }
        self.n_replayed = n_done;
        for pcap in self.pcaps.iter().filter(|pcap| pcap.is_replayed()) {
            let (frames, lost) = (pcap.counts().0, pcap.n_lost());
            self.ui.show(&Event::Replayed { port: pcap.port().to_owned(), frames, lost });
        }
    }

    fn finish(mut self, mut running: Running, ending: Ending) -> Result<(), Stop> {
        match ending {
            Ending::Asked => {
                let how = match running.shutdown(GRACE) {
                    Ended::Guest => "the switch has shut down",
                    Ended::Quit => "the switch did not answer; QEMU was told to quit",
                    Ended::Killed => "the switch did not answer; QEMU was killed",
                };
                self.serial(&running);
                self.ui.show(&Event::Ended { how: how.into() });
                Ok(())
            }
            Ending::Gone => self.gone(&mut running),
            Ending::Silent => {
                self.last_lines(&running);
                Err(Stop::Failed(format!(
                    "the image did not answer within {} s; its last lines are above",
                    BOOT_PATIENCE.as_secs()
                )))
            }
        }
    }

    /// QEMU ended without being asked: the guest switched itself off, or something went wrong.
    fn gone(&mut self, running: &mut Running) -> Result<(), Stop> {
        let status = running.try_wait();
        // The last lines may still be on their way through the pipe.
        running.serial().wait_until(Duration::from_secs(1), |_| false);
        let text = running.serial().text();
        let is_bad = ["panic on cpu", "cannot start:", "fatal trap on cpu"]
            .iter()
            .any(|bad| text.contains(bad));
        if status.is_some_and(|status| status.success()) && !is_bad && self.ready.is_some() {
            self.serial(running);
            self.ui.show(&Event::Ended { how: "the switch has switched itself off".into() });
            return Ok(());
        }
        self.last_lines(running);
        let said = running.last_words();
        Err(Stop::Failed(match text.lines().find(|line| line.contains("cannot start:")) {
            Some(line) => format!("the image cannot start: {}", after(line, "cannot start: ")),
            None if is_bad => "the image stopped on an error; its report is above".into(),
            None => format!("the VM ended by itself; QEMU says: {said}"),
        }))
    }

    fn last_lines(&mut self, running: &Running) {
        if self.args.serial {
            return self.serial(running);
        }
        for line in running.serial().tail(SHOWN_LINES) {
            self.ui.show(&Event::Serial { line: plain(&line) });
        }
    }
}

/// A line without what would move a terminal's cursor: boot loaders clear the screen.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            // ESC [ parameters letter
            let _ = chars.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else if !c.is_control() || c == '\t' {
            out.push(c);
        }
    }
    out
}

fn after<'a>(line: &'a str, mark: &str) -> &'a str {
    line.split_once(mark).map_or(line, |(_, rest)| rest)
}

/// Asks the image once a second how it is.
struct Poller {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    fn start(running: &Running, go: Arc<AtomicBool>, sender: Sender<Message>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = stop.clone();
        let path = running.console(0).map(Path::to_path_buf);
        let thread = thread::spawn(move || {
            let Some(path) = path else { return };
            let Ok(mut console) = Unixctl::connect(&path) else { return };
            while !is_stopped.load(Ordering::Acquire) {
                let begin = Instant::now();
                match console.call(telemetry::METHOD, &[], ANSWER) {
                    Ok(text) => {
                        let told = serde_json::from_str::<Telemetry>(&text).unwrap_or_default();
                        if sender.send(Message::Telemetry(Box::new(told))).is_err() {
                            return;
                        }
                    }
                    Err(UnixctlError::Io(_)) => return,
                    // Not up yet, or busy: ask again.
                    Err(_) => continue,
                }
                // Until the ports are up it is asked more often.
                let is_due = || begin.elapsed() >= TELEMETRY_EVERY || !go.load(Ordering::Acquire);
                loop {
                    thread::sleep(LOOK);
                    if is_due() || is_stopped.load(Ordering::Acquire) {
                        break;
                    }
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn started(vm: &Vm, plan: &Plan) -> Event {
    let line = |nic: &Nic| PortLine { name: nic.id.clone(), behind: behind(nic, plan) };
    Event::Started {
        machine: vm.machine.name().into(),
        accel: vm.accel.name().into(),
        smp: vm.smp,
        memory_mib: vm.memory_mib,
        ports: plan.nics.iter().map(line).collect(),
    }
}

/// What stands behind a port, in a few words.
fn behind(nic: &Nic, plan: &Plan) -> String {
    match &nic.backend {
        Backend::Tap { ifname } => format!("tap {ifname}"),
        Backend::VhostUser { path, .. } => format!("vhost-user {}", path.display()),
        Backend::Stream { path, .. } => format!("stream {}", path.display()),
        Backend::User { .. } => "user network".to_owned(),
        Backend::Dgram { local, remote } => {
            if let Some(host) = plan.hosts.iter().find(|host| &host.local == remote) {
                format!("host {} {} {}", host.name, host.mac, host.address)
            } else if let Some(pcap) = plan.pcaps.iter().find(|pcap| pcap.port == nic.id) {
                let file = |path: &Option<PathBuf>| {
                    path.as_ref().map_or("-".into(), |path| path.display().to_string())
                };
                format!("pcap in {}, out {}", file(&pcap.input), file(&pcap.output))
            } else {
                format!("socket {} to {}", local.display(), remote.display())
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
