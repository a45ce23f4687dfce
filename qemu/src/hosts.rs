//! Small hosts behind the ports: each has a MAC and an address of its own, answers ARP, ping and UDP
//! echo, and together they keep some traffic going: every host pings and echoes to the others in
//! turn, and now and then one streams to another by TCP. So a person sees the switch at work, and a
//! script has numbers, without root and without any network of the machine.
//!
//! # Cost and concurrency
//! One thread serves all hosts: it sleeps in `poll` until a frame or a deadline comes. A stream has
//! a fixed size and a pause after it, so the hosts never take a core for long. Results go out
//! through a channel.

mod device;
mod host;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use seed::Mac;

use host::Host;

/// Longest sleep: so often the thread looks whether it is to stop.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostConfig {
    /// Name in reports.
    pub name: String,
    /// Its MAC.
    pub mac: Mac,
    /// Its address.
    pub address: Ipv4Addr,
    /// Prefix of the network that all hosts share.
    pub prefix_len: u8,
    /// Where it receives.
    pub local: PathBuf,
    /// Where it sends: QEMU's end.
    pub remote: PathBuf,
}

/// How much the hosts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Time between two pings of one host; each ping goes to the next peer.
    pub ping_every: Duration,
    /// Bytes of a stream; 0 for none.
    pub stream_bytes: usize,
    /// Time between the starts of two streams.
    pub stream_every: Duration,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(1),
            stream_bytes: 1024 * 1024,
            stream_every: Duration::from_secs(5),
        }
    }
}

/// What a host saw. Hosts are named by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// A ping came back, or did not.
    Ping {
        /// Who asked.
        from: usize,
        /// Who answered, or should have.
        to: usize,
        /// Time of the way there and back.
        rtt: Option<Duration>,
    },
    /// A UDP datagram was echoed, or was not.
    Udp {
        /// Who asked.
        from: usize,
        /// Who answered, or should have.
        to: usize,
        /// Time of the way there and back.
        rtt: Option<Duration>,
    },
    /// A TCP stream ended.
    Stream {
        /// Who sent.
        from: usize,
        /// Who received.
        to: usize,
        /// Bytes that the receiver confirmed.
        bytes: usize,
        /// From the first SYN to the last confirmation.
        elapsed: Duration,
        /// False when it was given up.
        is_complete: bool,
    },
}

/// Hosts at work; dropping them ends their thread and removes their sockets.
#[derive(Debug)]
pub struct Hosts {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    sockets: Vec<PathBuf>,
}

impl Hosts {
    /// Binds the hosts' sockets, so that nothing sent to them is lost, and starts them; they begin
    /// to talk when `go` becomes true.
    ///
    /// # Errors
    /// When a socket cannot be made.
    pub fn start(
        configs: &[HostConfig],
        traffic: Traffic,
        go: Arc<AtomicBool>,
        events: Sender<HostEvent>,
    ) -> io::Result<Self> {
        let epoch = Instant::now();
        let peers: Vec<_> = configs.iter().map(|config| config.address).collect();
        let hosts: io::Result<Vec<_>> =
            (0..configs.len()).map(|i| Host::new(&configs[i], i, &peers, traffic)).collect();
        let mut network =
            Network { hosts: hosts?, traffic, epoch, next_stream: None, stream_turn: 0 };
        let stop = Arc::new(AtomicBool::new(false));
        let is_stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !is_stopped.load(Ordering::Acquire) {
                let is_open = network.turn(go.load(Ordering::Acquire), &events);
                if !is_open {
                    break;
                }
                network.sleep();
            }
        });
        let sockets = configs.iter().map(|config| config.local.clone()).collect();
        Ok(Self { stop, thread: Some(thread), sockets })
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for socket in &self.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// All hosts, and whose turn it is to stream.
struct Network {
    hosts: Vec<Host>,
    traffic: Traffic,
    epoch: Instant,
    next_stream: Option<Duration>,
    stream_turn: usize,
}

impl Network {
    /// One round of all hosts. False when nobody listens to the events any more.
    fn turn(&mut self, may_talk: bool, events: &Sender<HostEvent>) -> bool {
        let now = self.epoch.elapsed();
        if may_talk && self.hosts.len() > 1 {
            self.maybe_stream(now);
        }
        let mut is_open = true;
        for host in &mut self.hosts {
            host.turn(now, may_talk, &mut |event| is_open &= events.send(event).is_ok());
        }
        is_open
    }

    /// Streams go from each host in turn to the next, one at a time, with a pause between.
    fn maybe_stream(&mut self, now: Duration) {
        let due = *self.next_stream.get_or_insert(now + self.traffic.ping_every);
        let is_busy = self.hosts.iter().any(Host::is_streaming);
        if self.traffic.stream_bytes == 0 || now < due || is_busy {
            return;
        }
        self.next_stream = Some(now + self.traffic.stream_every);
        let n = self.hosts.len();
        let from = self.stream_turn % n;
        self.hosts[from].stream_to((from + 1) % n, now);
        self.stream_turn += 1;
    }

    fn sleep(&mut self) {
        let now = self.epoch.elapsed();
        let wait = self.hosts.iter_mut().map(|host| host.idle_for(now)).min();
        let wait = wait.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
        let Ok(wait) = Timespec::try_from(wait) else { return };
        let mut fds: Vec<_> =
            self.hosts.iter().map(|host| PollFd::new(host.socket(), PollFlags::IN)).collect();
        // An interrupted sleep is a short one.
        let _ = poll(&mut fds, Some(&wait));
    }
}

#[cfg(test)]
mod tests;
