//! Runs every scenario: with caches, whoever fills them, and without.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use scenarios::{Mode, read, run};

fn check(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name);
    let text = fs::read_to_string(&file).expect("a file of cases");
    let scenarios = read(&text).unwrap_or_else(|line| panic!("{name}:{line}: out of place"));
    assert!(!scenarios.is_empty(), "{name}: no scenario");
    let mut problems = String::new();
    let mut n_failed = 0;
    for scenario in &scenarios {
        for mode in [Mode::Cached, Mode::Inline, Mode::Uncached] {
            if let Err(failure) = run(scenario, mode) {
                n_failed += 1;
                let _ = writeln!(
                    problems,
                    "\n{} ({mode:?})\n{name}:{}: {}\n  {}",
                    scenario.title, failure.line, failure.statement, failure.problem
                );
                break;
            }
        }
    }
    assert!(problems.is_empty(), "{n_failed} of {} scenarios:\n{problems}", scenarios.len());
}

/// What goes wrong, with its line.
fn failure(text: &str) -> (usize, String) {
    let scenarios = read(text).expect("well placed");
    let failure = run(&scenarios[0], Mode::Cached).expect_err(text);
    (failure.line, failure.problem)
}

#[test]
fn what_goes_another_way_is_reported() {
    let head = "scenario s\nport 1 p1\nport 2 p2\npacket in=1 dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_type=0x1234\n";
    let cases = [
        ("expect out none", "out\n  expected: none\n  got:      2"),
        ("expect drop no-rule", "drops\n  expected: no-rule x1\n  got:      none"),
        ("expect drop no-such-reason", "there is no drop reason \"no-such-reason\""),
        ("expect flows:", "flows\n  expected:\n  got:\n    cookie=0x0, duration=0s"),
        ("expect flow n_packets=2, priority=0 actions=NORMAL", "no such flow"),
        ("expect fdb none", "fdb\n  expected:\n  got:\n    1 0 02:00:00:00:00:01 0"),
        ("expect packet-in in_port=1", "event\n  expected: packet-in in_port=1\n  got:      none"),
        ("expect megaflows:", "megaflows\n  expected:\n  got:\n    recirc_id=0,eth,in_port=101"),
        ("expect cached 7", "cached flows\n  expected: 7\n  got:      1"),
        ("expect frame 2 dl_type=0x1234", "no such frame left by 2"),
        (
            "expect actions in_port=1,dl_src=02:00:00:00:00:03 => drop",
            "datapath actions\n  expected: drop\n  got:      102",
        ),
        ("expect table 0 lookups=9", "table statistics"),
        ("expect port 1 rx_packets=9", "port statistics"),
        ("refused OFPFMFC_OVERLAP flow actions=1", "expected: OFPFMFC_OVERLAP\n  got:      done"),
        ("flow actions=nonsense", "nonsense"),
        ("dance", "there is no such statement"),
        ("expect rain", "there is no expectation \"rain\""),
        ("config tables=3", "the bridge is there already"),
    ];
    for (statement, problem) in cases {
        let (line, got) = failure(&format!("{head}{statement}\n"));
        assert_eq!(line, 5, "{statement}");
        assert!(got.contains(problem), "{statement}: {got}");
    }
    assert_eq!(read("port 1 p1\n"), Err(1));
    assert_eq!(read("scenario s\n  indented\n"), Err(2));
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(concat!(stringify!($name), ".txt")); })*

        #[test]
        fn every_file_is_run() {
            let run = [$(concat!(stringify!($name), ".txt")),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
            for entry in fs::read_dir(folder).expect("the folder of cases") {
                let name = entry.expect("a file of cases").file_name();
                let name = name.to_string_lossy();
                assert!(run.contains(&&*name), "{name} is not run");
            }
        }
    };
}

cases! {
    learning caching flow_mods outputs tables edits matching packet_io tracing groups meters
    extensions ahead
}
