//! Two network stacks of the host behind the switch, on taps that leave checksums and segmentation to it.

use std::net::Ipv4Addr;
use std::path::Path;

use qemu::Backend;
use seed::{Address, Management, NicMatch};
use vm::taps::{self, Stack, is_inside};
use vm::{Bench, Config, Spawned, WAIT, tool};

/// What goes one way, in bytes.
const AMOUNT: usize = 6_000_000;
const WORD: &str = "userspace-tso-enable";

fn socat(stack: &Stack, args: &[&str]) -> Spawned {
    let mut socat = stack.command("socat");
    socat.args(["-d", "-d"]).args(args);
    Spawned::new(socat)
}

/// Sends a file to another stack, which hears nothing of packets with wrong checksums.
fn send(from: &Stack, to: &Stack, version: u8, dir: &Path) {
    let (sent, into) = (dir.join("sent"), dir.join("received"));
    let data: Vec<u8> =
        (0..AMOUNT).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    std::fs::write(&sent, &data).expect("a file");
    let listen = format!("TCP{version}-LISTEN:7007,reuseaddr");
    let mut receiver = socat(to, &["-u", &listen, &format!("CREATE:{}", into.display())]);
    assert!(receiver.errors().wait_for("listening on", WAIT), "{}", receiver.errors().text());
    let address = match version {
        4 => format!("TCP4:10.7.0.{}:7007", to.number),
        _ => format!("TCP6:[fd07::{}]:7007", to.number),
    };
    let mut sender = socat(from, &["-u", &format!("OPEN:{}", sent.display()), &address]);
    for socat in [&mut sender, &mut receiver] {
        let done = socat.wait(WAIT).is_some_and(|status| status.success());
        assert!(done, "{}", socat.errors().text());
    }
    assert!(std::fs::read(&into).expect("a file") == data, "what arrived is what was sent");
}

/// Streams both ways between two taps, of which the second's device does without `refused`. Gives the bytes in a packet
/// that the switch received from the first, on average, and sent by the second, and the copies that it made.
fn streams(takes_large: bool, refused: &[&str]) -> ([u64; 2], u64) {
    tool::need("socat", "socat");
    let mut config = Config::new(2);
    config.seed.other_config.push((WORD.into(), takes_large.to_string()));
    for number in 1..=2 {
        let ifname = taps::make(number, false);
        config = config.plug(number.into(), Backend::Tap { ifname });
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
        send(one, two, version, dir.path());
        send(two, one, version, dir.path());
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

/// The management NIC on a tap: a stack of the host that leaves checksums, and large frames where it may, to its device
/// installs rules and reads them back.
#[test]
fn management_hears_what_its_device_did_not_finish() {
    const RULES: usize = 3_000;
    // Before the namespace, from which nothing can be fetched.
    let ethtool = tool::need("ethtool", "ethtool");
    let ethtool = ethtool.to_str().expect("text");
    if !is_inside("management_hears_what_its_device_did_not_finish") {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let rules = dir.path().join("rules");
    let rule = |k: usize| format!("priority={},in_port={k},actions=output:1\n", 1 + k % 7);
    std::fs::write(&rules, (1..=RULES).map(rule).collect::<String>()).expect("a file");
    for (number, takes_large) in [(1, false), (2, true)] {
        let mut config = Config::new(2).unmanaged();
        let address = Address::Static {
            address: Ipv4Addr::new(10, 7, 0, 100),
            prefix_len: 24,
            gateway: None,
        };
        config.seed.management = Some(Management { nic: NicMatch::Index(0), address });
        config.seed.other_config.push((WORD.into(), takes_large.to_string()));
        let config = config.plug(1, Backend::Tap { ifname: taps::make(number, false) });
        let bench = Bench::start(config);
        // One of its two NICs is the management's.
        bench.until("a management address and a port", |state| {
            state["management"]["address"].is_string() && state["ports"][0]["link"] == true
        });
        bench.case(format!("large frames: {takes_large}"));
        let stack = Stack::new(number);
        let tap = format!("tap{number}");
        let features = stack.run(ethtool, &["-k", &tap]);
        let has = |feature: &str, state: bool| {
            let state = if state { "on" } else { "off" };
            features.lines().any(|line| line.trim().starts_with(&format!("{feature}: {state}")))
        };
        assert!(has("tx-checksumming", true), "{features}");
        assert!(has("tcp-segmentation-offload", takes_large), "{features}");
        let ofctl = |args: &[&str]| {
            stack.run("ovs-ofctl", &[&["-O", "OpenFlow13", "--timeout=300"], args].concat())
        };
        let switch = "tcp:10.7.0.100:6653";
        ofctl(&["add-flows", switch, rules.to_str().expect("text")]);
        let told = ofctl(&["dump-flows", switch]);
        assert_eq!(told.lines().filter(|line| line.contains("in_port=")).count(), RULES);
        // No frame went through the switch: there are no books to look at.
        bench.kill();
    }
}

/// The database on a disk decides how devices are opened, from the next boot on.
#[test]
fn a_disk_turns_large_frames_on_and_off() {
    if !is_inside("a_disk_turns_large_frames_on_and_off") {
        return;
    }
    let ifname = taps::make(1, false);
    let dir = tempfile::tempdir().expect("a folder");
    let disk = dir.path().join("disk");
    let config = || Config::new(1).plug(1, Backend::Tap { ifname: ifname.clone() }).database(&disk);
    let setting = format!("other_config:{WORD}");
    for (before, wanted) in [("false", "true"), ("true", "false")] {
        let bench = Bench::boot(config());
        bench.case(format!("{before}, to be {wanted}"));
        let does =
            |status: &str| bench.vsctl(&["get", "Interface", "p1", &format!("status:{status}")]);
        bench.vsctl(&["wait-until", "Interface", "p1", "link_state=up"]);
        assert_eq!(does("tx_tcp_seg_offload").trim_matches('"'), before);
        assert_eq!(does("tx_tcp_csum_offload").trim_matches('"'), "true");
        assert_eq!(bench.appctl("uniswitch/get", &[WORD]).trim(), before);
        bench.vsctl(&["set", "Open_vSwitch", ".", &format!("{setting}={wanted}")]);
        let said = bench.vsctl(&["get", "Open_vSwitch", ".", "statistics:ignored"]);
        assert!(said.contains(&format!("{WORD}={wanted}: acts at the next boot")), "{said}");
        assert_eq!(bench.appctl("uniswitch/get", &[WORD]).trim(), before);
        bench.shutdown();
    }
    // It acts: nothing is left to be told.
    let bench = Bench::boot(config());
    assert_eq!(bench.appctl("uniswitch/get", &[WORD]).trim(), "false");
    let told = bench.vsctl(&["get", "Open_vSwitch", ".", "statistics"]);
    assert_eq!(told, "{database=\"on disk\"}");
    bench.shutdown();
}
