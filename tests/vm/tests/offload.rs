//! Two network stacks of the host behind the switch, on taps that leave checksums and segmentation to it.
//!
//! Taps want a network namespace of the test's own, so each test runs itself again in one, and says so and
//! is done where it may not: without `/dev/net/tun` or without the right to make namespaces.

use std::path::Path;
use std::process::Command;

use qemu::Backend;
use vm::{Bench, Config, Spawned, WAIT, tool};

/// Set for the run in the namespace.
const INSIDE: &str = "UNISWITCH_TEST_NAMESPACE";
/// What goes one way, in bytes.
const AMOUNT: usize = 6_000_000;
const WORD: &str = "userspace-tso-enable";

/// Runs the test `name` again in a network namespace of its own; `true` in there.
fn is_inside(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let mut probe = Command::new("unshare");
    let probe =
        probe.args(["--net", "--", "ip", "tuntap", "add", "dev", "t0", "mode", "tap", "vnet_hdr"]);
    let can = probe.output().is_ok_and(|done| done.status.success());
    if !can {
        eprintln!("no network namespace with a tap can be had here: taps were not tried");
        return false;
    }
    let this = std::env::current_exe().expect("a path");
    let mut again = Command::new("unshare");
    again.args(["--net", "--"]).arg(this).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let done = again.output().expect("it runs");
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    false
}

fn run(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().expect("it runs");
    let said = String::from_utf8_lossy(&[&done.stdout[..], &done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{program} {args:?}: {said}");
    said
}

/// A stack of the host: a namespace with one end of a tap.
struct Stack {
    number: u8,
    /// Holds the namespace.
    _holder: Spawned,
    namespace: String,
}

impl Stack {
    /// Takes the tap, which QEMU has open.
    fn new(number: u8) -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sh", "-c", "echo it is $$ here; exec sleep 1000"]);
        let holder = Spawned::new(holder);
        assert!(holder.output().wait_for("here", WAIT));
        let said = holder.output().text();
        let pid = said.split_whitespace().nth(2).expect("a number").to_string();
        let namespace = format!("--net=/proc/{pid}/ns/net");
        let dev = format!("tap{number}");
        run("ip", &["link", "set", &dev, "netns", &pid]);
        let stack = Self { number, _holder: holder, namespace };
        stack.ip(&["link", "set", "lo", "up"]);
        stack.ip(&["addr", "add", &format!("10.7.0.{number}/24"), "dev", &dev]);
        stack.ip(&["addr", "add", &format!("fd07::{number}/64"), "dev", &dev, "nodad"]);
        stack.ip(&["link", "set", &dev, "up"]);
        stack
    }

    fn ip(&self, args: &[&str]) {
        run("nsenter", &[&[&self.namespace[..], "--", "ip"], args].concat());
    }

    fn socat(&self, args: &[&str]) -> Spawned {
        let mut socat = Command::new("nsenter");
        socat.args([&self.namespace, "--", "socat", "-d", "-d"]).args(args);
        Spawned::new(socat)
    }

    /// Sends a file to another stack, which hears nothing of packets with wrong checksums.
    fn send(&self, to: &Self, version: u8, dir: &Path) {
        let (from, into) = (dir.join("sent"), dir.join("received"));
        let data: Vec<u8> =
            (0..AMOUNT).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        std::fs::write(&from, &data).expect("a file");
        let listen = format!("TCP{version}-LISTEN:7007,reuseaddr");
        let mut receiver = to.socat(&["-u", &listen, &format!("CREATE:{}", into.display())]);
        assert!(receiver.errors().wait_for("listening on", WAIT), "{}", receiver.errors().text());
        let address = match version {
            4 => format!("TCP4:10.7.0.{}:7007", to.number),
            _ => format!("TCP6:[fd07::{}]:7007", to.number),
        };
        let mut sender = self.socat(&["-u", &format!("OPEN:{}", from.display()), &address]);
        for socat in [&mut sender, &mut receiver] {
            let done = socat.wait(WAIT).is_some_and(|status| status.success());
            assert!(done, "{}", socat.errors().text());
        }
        assert!(std::fs::read(&into).expect("a file") == data, "what arrived is what was sent");
    }
}

/// Streams both ways between two taps, of which the second's device does without `refused`. Gives the bytes in a packet
/// that the switch received from the first, on average, and sent by the second, and the copies that it made.
fn streams(takes_large: bool, refused: &[&str]) -> ([u64; 2], u64) {
    for (program, package) in [("socat", "socat"), ("ip", "iproute2"), ("nsenter", "util-linux")] {
        tool::need(program, package);
    }
    run("ip", &["link", "set", "lo", "up"]);
    let mut config = Config::new(2);
    config.seed.other_config.push((WORD.into(), takes_large.to_string()));
    for number in 1..=2 {
        let ifname = format!("tap{number}");
        run("ip", &["tuntap", "add", "dev", &ifname, "mode", "tap", "vnet_hdr"]);
        config = config.plug(number, Backend::Tap { ifname });
    }
    for name in refused {
        config.extra.extend(["-set".into(), format!("device.p2-nic.{name}=off")]);
    }
    let bench = Bench::boot(config);
    bench.others_send();
    let stacks = [1, 2].map(Stack::new);
    let dir = tempfile::tempdir().expect("a folder");
    let [one, two] = &stacks;
    for version in [4, 6] {
        bench.case(format!("a stream by IPv{version} and one back"));
        one.send(two, version, dir.path());
        two.send(one, version, dir.path());
    }
    let state = bench.telemetry();
    eprintln!("{}", state["ports"]);
    let mean = |port: usize, way: &str| {
        let of =
            |what: &str| state["ports"][port][format!("{way}_{what}")].as_u64().expect("a number");
        of("bytes") / of("packets")
    };
    let means = [mean(0, "rx"), mean(1, "tx")];
    eprintln!("bytes in a packet: {means:?}");
    let copies = state["accounting"]["copies"].as_u64().expect("a number");
    bench.shutdown();
    (means, copies)
}

/// Everything that a device does beyond taking finished frames.
const ALL: [&str; 11] = [
    "csum",
    "gso",
    "guest_csum",
    "guest_tso4",
    "guest_tso6",
    "guest_ecn",
    "guest_ufo",
    "host_tso4",
    "host_tso6",
    "host_ecn",
    "host_ufo",
];

#[test]
fn large_frames_go_through() {
    if is_inside("large_frames_go_through") {
        let ([received, sent], copies) = streams(true, &[]);
        assert!(received > 1514 && sent > 1514 && copies < 100, "as they are");
    }
}

#[test]
fn large_frames_are_cut_for_a_device_that_does_not() {
    if is_inside("large_frames_are_cut_for_a_device_that_does_not") {
        let ([received, sent], copies) = streams(true, &ALL);
        // Of each frame that is cut, all segments but one.
        assert!(copies > 500 && sent < 1515, "in segments of {received} bytes on average");
    }
}

#[test]
fn checksums_are_computed_for_a_device_that_does_not() {
    if is_inside("checksums_are_computed_for_a_device_that_does_not") {
        let ([received, sent], copies) = streams(false, &ALL);
        assert!(received < 1515 && sent < 1515 && copies < 100, "large frames are not agreed on");
    }
}
