//! How the image ends when something is broken: a clear report, then what its owner chose.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use qemu::Boot;
use seed::{BootConfig, NicMatch, OnPanic, PortSeed};
use serde_json::Value;
use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config, WAIT, elf};

/// QEMU's events, from before the guest's first instruction on.
struct Events(BufReader<UnixStream>);

impl Events {
    /// Connects to a machine that was started with `-S`, and lets it run.
    fn follow(bench: &Bench) -> Self {
        let path = bench.vm().qmp.as_ref().expect("a control socket");
        let stream = UnixStream::connect(path).expect("QEMU listens");
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        let mut events = Self(BufReader::new(stream));
        for command in ["qmp_capabilities", "cont"] {
            writeln!(events.0.get_mut(), r#"{{"execute":"{command}"}}"#).expect("QEMU reads");
            // The greeting and events come in between.
            while events.next().get("return").is_none() {}
        }
        events
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("QEMU speaks");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Why the machine ended: `guest-shutdown`, `guest-reset`, ….
    fn reason_of_end(mut self) -> String {
        loop {
            let event = self.next();
            if event["event"] == "SHUTDOWN" {
                return event["data"]["reason"].as_str().unwrap_or("none").to_owned();
            }
        }
    }
}

/// A machine with nothing attached that gets these words.
fn told(words: &str) -> Config {
    let words = format!("mgmt=none {words}");
    let boot = Boot::Kernel { path: elf(), cmdline: words };
    Config::new(0).unmanaged().memory(64).boot(boot).extra(&["-S"])
}

/// Boots, and gives the serial log and why the machine ended.
fn end_of(case: &str, config: Config) -> (Bench, String, String) {
    let bench = Bench::start(config);
    bench.case(case);
    let reason = Events::follow(&bench).reason_of_end();
    let status = bench.wait_for_end();
    if !status.success() {
        bench.fail(format!("QEMU: {status}"));
    }
    let text = bench.serial().text();
    (bench, text, reason)
}

#[track_caller]
fn contains(bench: &Bench, text: &str, wanted: &[&str]) {
    for wanted in wanted {
        if !text.contains(wanted) {
            bench.fail(format!("the report does not say {wanted:?}"));
        }
    }
}

#[test]
fn self_tests_are_reported_with_names() {
    let cases: [(&str, &[&str]); 5] = [
        ("panic", &["panic on cpu0: self test", "selftest.rs", "SelfTest::run"]),
        ("null", &["page fault", "0x8", "read_null"]),
        ("stack-overflow", &["stack overflow", "recurse"]),
        ("write-text", &["page fault", "write", "write_text"]),
        ("exec-data", &["page fault", "execut", "execute_data"]),
    ];
    for (name, wanted) in cases {
        let config = told(&format!("selftest={name} on-panic=poweroff"));
        let (bench, text, reason) = end_of(name, config);
        contains(&bench, &text, wanted);
        contains(&bench, &text, &["backtrace", "powering off"]);
        assert_eq!(reason, "guest-shutdown", "{text}");
        assert!(!text.contains("was not stopped"), "{text}");
    }
}

#[test]
fn another_cpu_can_report_too() {
    let config = told("selftest=stack-overflow selftest-cpu=1 on-panic=poweroff").smp(2);
    let (bench, text, reason) = end_of("a fault on the second CPU", config);
    contains(&bench, &text, &["cpu1", "recurse", "powering off"]);
    assert_eq!(reason, "guest-shutdown", "{text}");
}

#[test]
fn then_what_the_owner_chose() {
    let (bench, text, reason) = end_of("reset", told("selftest=panic on-panic=reset"));
    contains(&bench, &text, &["self test", "resetting"]);
    assert_eq!(reason, "guest-reset", "{text}");
    let (_, text, reason) = end_of("reset is the default", told("selftest=null"));
    assert_eq!(reason, "guest-reset", "{text}");

    let bench = Bench::start(told("selftest=panic on-panic=halt").smp(2));
    bench.case("halt");
    drop(Events::follow(&bench));
    if !bench.serial().wait_for("halted", WAIT) {
        bench.fail("no report");
    }
    let is_halted = bench.wait_until(|| {
        let asked = serde_json::json!({ "command-line": "info registers -a" });
        let registers = bench.qmp().execute("human-monitor-command", asked).expect("registers");
        registers.as_str().is_some_and(|text| text.matches("HLT=1").count() == 2)
    });
    assert!(is_halted && bench.is_running(), "both CPUs halt and the machine stays");
    bench.kill();
}

#[test]
fn a_seed_that_cannot_be_read_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = BootConfig { on_panic: OnPanic::PowerOff, ..BootConfig::default() };
    let good = good.encode().expect("a blob");
    let changed = |at: usize| {
        let mut blob = good.clone();
        blob[at] ^= 0x40;
        blob
    };
    let cases = [
        ("another version", changed(5), "format"),
        ("not a seed", changed(0), "not"),
        ("a wrong checksum", changed(good.len() - 1), "checksum"),
        ("a byte changed on the way", changed(good.len() / 2), "checksum"),
        ("cut short", good[..7].to_vec(), "ends after 7 bytes"),
    ];
    for (case, blob, wanted) in cases {
        let path = dir.path().join(case.replace(' ', "-"));
        fs::write(&path, blob).expect("a file");
        let item = format!("name=opt/uniswitch/config,file={}", path.display());
        let config = told("").extra(&["-fw_cfg", &item]);
        refused(case, config, &["opt/uniswitch/config", wanted]);
    }
    refused("a word that is not understood", told("fail-mode=sometimes"), &["fail-mode"]);
}

#[test]
fn a_nic_that_is_not_there_is_named() {
    let port = |nic| PortSeed { nic, name: "uplink".into(), ofport: None };
    let missing = seed::Mac([2, 0, 0, 0, 0xab, 0xcd]);
    let absent = |nic| {
        let config = Config::new(1).memory(64).extra(&["-S"]);
        config.seed(|seed| seed.ports = vec![port(nic)])
    };
    refused("by MAC", absent(NicMatch::Mac(missing)), &["02:00:00:00:ab:cd"]);
    refused("by number", absent(NicMatch::Index(9)), &["NIC number 9"]);
}

#[test]
fn too_little_memory_is_said() {
    let config = told("on-panic=poweroff").memory(7);
    refused("7 MiB", config, &["too little memory"]);
    let config = Config::new(24).unmanaged().memory(12).extra(&["-S"]);
    refused("24 ports in 12 MiB", config, &["too little memory", "packet buffers"]);
}

#[test]
fn whatever_the_memory_it_runs_or_says_why_not() {
    let mut n_running = 0;
    for mib in [7, 8, 10, 14, 16, 18, 20, 24, 32, 40] {
        let bench = Bench::start(Config::new(12).unmanaged().memory(mib));
        bench.case(format!("12 ports in {mib} MiB"));
        let ends = ["ready ", "cannot start", "panic on"];
        let log = bench.serial();
        log.wait_until(WAIT, |text| ends.iter().any(|end| text.contains(end)));
        if log.text().contains("ready ") {
            n_running += 1;
            bench.wait_ready();
            bench.forwards(1, &plain(BROADCAST, host(1), 1514, 1), &(2..=12).collect::<Vec<_>>());
            bench.shutdown();
        } else {
            bench.wait_for_end();
            let text = log.text();
            let is_said = text.contains("too little memory") && text.contains("give");
            assert!(is_said && !text.contains("panic on"), "{mib} MiB: {text}");
        }
    }
    assert!(n_running >= 4, "20 MiB are enough");
}

#[test]
fn where_the_image_itself_has_no_room_it_says_so_without_any() {
    let config = told("on-panic=poweroff").memory(5);
    let bench = Bench::start(config);
    bench.case("5 MiB");
    drop(Events::follow(&bench));
    if !bench.serial().wait_for("too little memory for the image itself", WAIT) {
        bench.fail("nothing is said");
    }
    // There is nothing left that could switch the machine off.
    bench.kill();
}

/// The image says so in one line and switches off.
fn refused(case: &str, config: Config, wanted: &[&str]) {
    let (bench, text, reason) = end_of(case, config);
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("cannot start")).collect();
    assert_eq!(lines.len(), 1, "{case}: {text}");
    contains(&bench, lines[0], wanted);
    assert_eq!(reason, "guest-shutdown", "{case}: {text}");
    assert!(!text.contains("panic on"), "{case}: {text}");
}
