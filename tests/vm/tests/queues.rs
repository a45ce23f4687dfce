//! NICs with several queue pairs on three processors, two of which poll: taps, and DPDK's vhost-user.
//!
//! Ports 1 and 2 are the bench's and lose nothing, whatever happens to 3 and 4. Those are taps: this process sends to one
//! of them, and what stands behind the other sends everything back, so each datagram that comes back went through the
//! switch twice, whichever queues it took.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Instant;

use qemu::{Backend, Machine, Role};
use vm::frame::{host, plain};
use vm::taps::{self, Stack, is_inside};
use vm::{Bench, Config, Spawned, WAIT, tool};

/// Set for the run of a test that sends back what it gets: the address.
const ECHO: &str = "UNISWITCH_TEST_ECHO";
const ECHO_ADDRESS: &str = "10.7.0.4:7007";
/// Said by it when it is ready.
const LISTENING: &str = "sends back";
/// Queue pairs of the devices.
const PAIRS: u16 = 4;
/// Flows at once: that one of few queues gets none of them is out of the question.
const FLOWS: usize = 64;
/// Frames that go from port 1 to port 2 in one go.
const WINDOW: u32 = 16;

/// Sends everything back, for ever; the test ends this process.
fn echo(address: &str) -> ! {
    let socket = UdpSocket::bind(address).expect("an address");
    println!("it {LISTENING}");
    let mut bytes = [0; 2048];
    loop {
        if let Ok((n, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..n], from);
        }
    }
}

/// Sockets that send to the echo, each a flow.
struct Flows {
    sockets: Vec<UdpSocket>,
    n_sent: u64,
    n_back: u64,
}

impl Flows {
    fn new() -> Self {
        let socket = |_| {
            let socket = UdpSocket::bind("10.7.0.3:0").expect("a socket");
            socket.connect(ECHO_ADDRESS).expect("a way");
            socket
        };
        Self { sockets: (0..FLOWS).map(socket).collect(), n_sent: 0, n_back: 0 }
    }

    /// Sends one datagram by each, and looks for none.
    fn send(&mut self, tag: u32) {
        for socket in &self.sockets {
            let sent = socket.send(&tag.to_be_bytes());
            self.n_sent += u64::from(sent.is_ok());
        }
    }

    /// Takes what is back by now.
    fn take(&mut self) {
        let mut bytes = [0; 2048];
        for socket in &self.sockets {
            socket.set_nonblocking(true).expect("a socket");
            while socket.recv(&mut bytes).is_ok() {
                self.n_back += 1;
            }
            socket.set_nonblocking(false).expect("a socket");
        }
    }

    /// Sends one by each; all come back. What was sent before may be lost.
    fn all_come_back(&mut self, tag: u32, bench: &Bench) {
        self.send(tag);
        for (flow, socket) in self.sockets.iter().enumerate() {
            let deadline = Instant::now() + WAIT;
            let mut bytes = [0; 2048];
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    bench.fail(format!("flow {flow}: datagram {tag} does not come back"));
                }
                socket.set_read_timeout(Some(left)).expect("a socket");
                match socket.recv(&mut bytes) {
                    Ok(n) => {
                        self.n_back += 1;
                        if bytes[..n] == tag.to_be_bytes() {
                            break;
                        }
                    }
                    Err(why) if why.kind() == ErrorKind::WouldBlock => {}
                    Err(why) => bench.fail(format!("flow {flow}: {why}")),
                }
            }
        }
    }

    /// Of those that were sent and did not come back.
    fn n_lost(&mut self) -> u64 {
        self.take();
        self.n_sent - self.n_back
    }
}

/// Queues of a port, each with the core that polls it.
fn places(bench: &Bench, port: &str) -> Vec<(usize, usize)> {
    let text = bench.appctl("dpif-netdev/pmd-rxq-show", &[]);
    let mut core = 0;
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["pmd", "thread", .., number] => {
                core = number.trim_end_matches(':').parse().expect("a core");
            }
            ["port:", name, "queue-id:", queue, "(enabled)", ..] if name == port => {
                found.push((queue.parse().expect("a queue"), core));
            }
            _ => {}
        }
    }
    found.sort_unstable();
    found
}

fn cores(places: &[(usize, usize)]) -> BTreeSet<usize> {
    places.iter().map(|(_, core)| *core).collect()
}

/// Packets that a core received since the statistics were cleared.
fn received(bench: &Bench, core: usize) -> u64 {
    let text = bench.appctl("dpif-netdev/pmd-stats-show", &["-pmd", &core.to_string()]);
    let count = text.lines().find_map(|line| line.trim().strip_prefix("packets received: "));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| bench.fail(text))
}

/// Arguments of `ip` by which it tells of all devices.
const IP: [&str; 4] = ["-statistics", "-json", "link", "show"];

/// Packets that taps have not given to QEMU.
fn n_dropped(text: &str) -> u64 {
    let devices: serde_json::Value = serde_json::from_str(text).expect("what was asked for");
    let of = |device: &serde_json::Value| device["stats64"]["tx"]["dropped"].as_u64();
    devices.as_array().into_iter().flatten().filter_map(of).sum()
}

fn told(bench: &Bench, port: &str, key: &str) -> String {
    let column = format!("status:{key}");
    bench.vsctl(&["get", "Interface", port, &column]).trim_matches('"').to_owned()
}

/// Waits until the database tells of so many queues of a port, and whoever polls shows as many.
fn has_queues(bench: &Bench, port: &str, n: usize, most: u16) {
    let came = bench.wait_until(|| {
        places(bench, port).len() == n && told(bench, port, "n_rxq") == n.to_string()
    });
    if !came {
        let text = bench.appctl("dpif-netdev/pmd-rxq-show", &[]);
        bench.fail(format!("{port} does not get {n} queues:\n{text}"));
    }
    assert_eq!(told(bench, port, "n_txq"), n.to_string());
    assert_eq!(told(bench, port, "max_rx_queues"), most.to_string());
    assert_eq!(told(bench, port, "max_tx_queues"), most.to_string());
}

/// Frames from port 1 to port 2: all arrive, as they are, in their order.
fn others_lose_nothing(bench: &Bench, tag: &mut u32) {
    for _ in 0..WINDOW {
        bench.send(1, &plain(host(2), host(1), 60, *tag));
        *tag += 1;
    }
    for tag in *tag - WINDOW..*tag {
        let frame = bench.arrivals(2).next(WAIT);
        assert!(frame == Some(plain(host(2), host(1), 60, tag)), "frame {tag} of port 1");
    }
}

#[test]
fn taps_with_several_queues() {
    taps_on(Machine::Q35, "taps_with_several_queues");
}

#[test]
fn taps_with_several_queues_without_pci() {
    taps_on(Machine::Microvm, "taps_with_several_queues_without_pci");
}

/// The test `name`.
fn taps_on(machine: Machine, name: &str) {
    if let Ok(address) = std::env::var(ECHO) {
        echo(&address);
    }
    if !is_inside(name) {
        return;
    }
    let config = Config::new(4).smp(3).machine(machine);
    let mut config = config.seed(|seed| seed.self_check_one_in = 1);
    for port in [3, 4] {
        let ifname = taps::make(port, true);
        config = config.plug(port.into(), Backend::Tap { ifname }).pairs(port.into(), PAIRS);
    }
    let bench = Bench::boot(config);
    bench.others_send();
    bench.set_flows(&[
        "in_port=1 actions=output:2",
        "in_port=2 actions=output:1",
        "in_port=3 actions=output:4",
        "in_port=4 actions=output:3",
    ]);
    taps::take(3);
    let stack = Stack::new(4);
    let mut server = stack.command(std::env::current_exe().expect("a path"));
    server.args(["--exact", name, "--nocapture"]).env(ECHO, ECHO_ADDRESS);
    let server = Spawned::new(server);
    assert!(server.output().wait_for(LISTENING, WAIT), "{}", server.errors().text());

    let mut flows = Flows::new();
    let (mut tag, mut round) = (0, 0);
    bench.case("as many queues as cores poll, each with its own");
    for port in ["p3", "p4"] {
        has_queues(&bench, port, 2, PAIRS);
        assert_eq!(cores(&places(&bench, port)), BTreeSet::from([0, 1]), "{port}");
    }
    flows.all_come_back(round, &bench);
    assert_eq!(flows.n_lost(), 0);
    spreads(&bench);

    // A number of queues that is asked for, and how many there are then.
    for (asked, n) in [(Some("4"), 4), (Some("1"), 1), (Some("3"), 3), (Some("9"), 4), (None, 2)] {
        for port in ["p3", "p4"] {
            bench.case(format!("{port} with n_rxq {asked:?}"));
            let command = match asked {
                Some(asked) => format!("set Interface {port} options:n_rxq={asked}"),
                None => format!("remove Interface {port} options n_rxq"),
            };
            // Without waiting for it: traffic goes on meanwhile.
            let words = ["--no-wait"].into_iter().chain(command.split(' '));
            bench.vsctl(&words.collect::<Vec<_>>());
            let deadline = Instant::now() + WAIT;
            while places(&bench, port).len() != n {
                if Instant::now() > deadline {
                    bench.fail("its queues do not change");
                }
                flows.send(round);
                others_lose_nothing(&bench, &mut tag);
                flows.take();
            }
            has_queues(&bench, port, n, PAIRS);
            let ignored = told_if(&bench, port, "ignored");
            assert_eq!(ignored.contains("n_rxq: it has 4"), asked == Some("9"), "{ignored}");
            round += 1;
            flows.all_come_back(round, &bench);
            others_lose_nothing(&bench, &mut tag);
        }
    }
    let before = flows.n_lost();
    let dropped = bench.telemetry()["accounting"]["dropped"].as_u64().expect("a number");
    let of_taps = n_dropped(&taps::run("ip", &IP)) + n_dropped(&stack.run("ip", &IP));
    eprintln!(
        "{before} of {} lost while devices were reset: {dropped} by the switch, {of_taps} by taps",
        flows.n_sent
    );

    bench.case("queues are pinned, and nothing is lost");
    for affinity in ["0:0,1:0", "0:1,1:1", "0:1,1:0"] {
        let setting = format!("other_config:pmd-rxq-affinity=\"{affinity}\"");
        bench.vsctl(&["set", "Interface", "p4", &setting]);
        let wanted: Vec<(usize, usize)> = affinity
            .split(',')
            .filter_map(|pin| pin.split_once(':'))
            .map(|(queue, core)| (queue.parse().expect("0 or 1"), core.parse().expect("0 or 1")))
            .collect();
        // No more are under way than sockets hold, whoever has to wait for a processor.
        let mut moves = || {
            flows.all_come_back(round, &bench);
            others_lose_nothing(&bench, &mut tag);
            places(&bench, "p4") == wanted
        };
        let deadline = Instant::now() + WAIT;
        while !moves() {
            assert!(Instant::now() < deadline, "{affinity}: {:?}", places(&bench, "p4"));
        }
        let text = bench.appctl("dpif-netdev/pmd-rxq-show", &[]);
        let n_isolated = text.matches("isolated : true").count();
        assert_eq!(n_isolated, cores(&wanted).len(), "{text}");
        round += 1;
        flows.all_come_back(round, &bench);
    }
    bench.vsctl(&["remove", "Interface", "p4", "other_config", "pmd-rxq-affinity"]);

    bench.case("queues are assigned anew, and nothing is lost");
    for assign in ["roundrobin", "cycles", "group"] {
        let setting = format!("other_config:pmd-rxq-assign={assign}");
        bench.vsctl(&["set", "Open_vSwitch", ".", &setting]);
        bench.appctl("dpif-netdev/pmd-rxq-rebalance", &[]);
        round += 1;
        flows.all_come_back(round, &bench);
        others_lose_nothing(&bench, &mut tag);
        let text = bench.appctl("dpif-netdev/pmd-rxq-show", &[]);
        assert_eq!(text.matches("queue-id:").count(), 6, "{text}");
    }
    assert_eq!(flows.n_lost(), before);
    bench.shutdown();
}

/// Frames that must have passed by each port after a change.
const PASSED: u64 = 10_000;

#[test]
fn vhost_user_with_several_queues() {
    let Some(testpmd) = tool::find("dpdk-testpmd") else {
        eprintln!("dpdk-testpmd is not installed (Debian: dpdk-dev): vhost-user was not tried");
        return;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let paths = [1, 2].map(|port| dir.path().join(format!("vhost{port}")));
    let mut command = Command::new(&testpmd);
    command.args(["--no-huge", "--no-pci", "--no-telemetry", "-m", "512", "-l", "0,1"]);
    command.arg(format!("--file-prefix=vmq{}", std::process::id()));
    for (k, path) in paths.iter().enumerate() {
        command.arg(format!("--vdev=net_vhost{k},iface={},queues=2", path.display()));
    }
    command.args(["--", "-i", "--total-num-mbufs=16384", "--rxq=2", "--txq=2"]);
    command.arg("--forward-mode=flowgen");
    let mut pmd = Spawned::new(command);
    let is_there =
        pmd.output().wait_for("testpmd>", WAIT) && paths.iter().all(|path| path.exists());
    assert!(is_there, "{}{}", pmd.output().text(), pmd.errors().text());
    let mut config = Config::new(3).smp(3);
    for (port, path) in (1..).zip(&paths) {
        let backend = Backend::VhostUser { path: path.clone(), role: Role::Client };
        config = config.plug(port, backend).pairs(port, 2);
    }
    let bench = Bench::start(config);
    bench.wait_ready();
    bench.set_flows(&["in_port=1 actions=output:2", "in_port=2 actions=output:1"]);
    bench.others_send();
    pmd.type_line("start");
    // Both queues of both ports bring frames: each has a core of its own, with its like of the other port.
    let pins = "other_config:pmd-rxq-affinity=\"0:0,1:1\"";
    bench.vsctl(&["set", "Interface", "p1", pins, "--", "set", "Interface", "p2", pins]);
    for (asked, n) in [(2, 2), (1, 1), (2, 2), (5, 2)] {
        bench.case(format!("vhost-user, n_rxq {asked}"));
        let setting = format!("options:n_rxq={asked}");
        bench.vsctl(&[
            "set",
            "Interface",
            "p1",
            &setting,
            "--",
            "set",
            "Interface",
            "p2",
            &setting,
        ]);
        for port in ["p1", "p2"] {
            has_queues(&bench, port, n, 2);
            let pinned = || places(&bench, port).iter().all(|(queue, core)| queue == core);
            assert!(bench.wait_until(pinned), "{port}: {:?}", places(&bench, port));
        }
        bench.appctl("dpif-netdev/pmd-stats-clear", &[]);
        for core in 0..n {
            let came = bench.wait_until(|| received(&bench, core) > PASSED);
            assert!(came, "core {core} receives nothing with {n} queues");
        }
        for port in 0..2 {
            let sent = || bench.telemetry()["ports"][port]["tx_packets"].as_u64().unwrap_or(0);
            let before = sent();
            assert!(bench.wait_until(|| sent() > before + PASSED), "port {}", port + 1);
        }
    }
    pmd.type_line("stop");
    bench.case("vhost-user with several queues: the books close");
    // What waits for a device is in no book: somebody has to take it.
    pmd.type_line("set fwd rxonly");
    pmd.type_line("start");
    bench.settle();
    pmd.type_line("quit");
    bench.shutdown();
}

/// A status that there may be or not.
fn told_if(bench: &Bench, port: &str, key: &str) -> String {
    let column = format!("status:{key}");
    bench.vsctl(&["--if-exists", "get", "Interface", port, &column])
}

/// Flows of port 3 take both of its queues: with those of port 4 on the second core, the first one receives what the first
/// queue brings.
fn spreads(bench: &Bench) {
    bench.case("flows spread over queues");
    bench.vsctl(&["set", "Interface", "p4", "other_config:pmd-rxq-affinity=\"0:1,1:1\""]);
    bench.vsctl(&["set", "Interface", "p3", "other_config:pmd-rxq-affinity=\"0:0,1:1\""]);
    let is_so =
        || places(bench, "p4") == [(0, 1), (1, 1)] && places(bench, "p3") == [(0, 0), (1, 1)];
    assert!(bench.wait_until(is_so), "{:?} {:?}", places(bench, "p3"), places(bench, "p4"));
    // What was never there is dealt by its hash.
    let mut flows = Flows::new();
    bench.appctl("dpif-netdev/pmd-stats-clear", &[]);
    flows.all_come_back(7, bench);
    let (first, second) = (received(bench, 0), received(bench, 1));
    let n = FLOWS as u64;
    assert!((1..n).contains(&first) && second > n, "{first} and {second} of twice {n}");
    for port in ["p3", "p4"] {
        bench.vsctl(&["remove", "Interface", port, "other_config", "pmd-rxq-affinity"]);
    }
}
