//! Files of 100,000 rules by the stock `ovs-ofctl`: added in one bundle, compared, replaced, deleted; and a
//! file that goes rule by rule, for each of which the tool waits.

use std::fmt::Write as _;
use std::fs;

use vm::frame::{IPV4, UDP, ethernet, host, ipv4, udp};
use vm::{Bench, Config};

const RULES: u32 = 100_000;
/// Each costs a round trip, which on a busy host takes milliseconds.
const ONE_BY_ONE: u32 = 3_000;

/// A file of rules of which each is for one address; some have other actions in world `odd`.
fn file(bench: &Bench, name: &str, n_rules: u32, odd: bool) -> String {
    let mut text = String::new();
    for k in 0..n_rules {
        let [_, b, c, d] = k.to_be_bytes();
        let port = 2 + (k + u32::from(odd && k % 100 == 0)) % 2;
        let priority = 1 + k % 7;
        let line = format!("priority={priority},ip,nw_src=10.{b}.{c}.{d},actions=output:{port}");
        writeln!(text, "{line}").expect("room");
    }
    let path = bench.dir().join(name);
    fs::write(&path, text).expect("a file");
    path.to_string_lossy().into_owned()
}

#[test]
fn files_of_100_000_rules() {
    let bench = Bench::boot(Config::new(3).memory(512));
    let run = |case: &str, command: &str, args: &[&str]| {
        bench.case(case);
        let mut tool = bench.ofctl_command("OpenFlow14", command, args);
        // The bound of the ordinary commands is for ordinary commands.
        let output = tool.arg("--timeout=600").output().expect("ovs-ofctl");
        if !output.status.success() {
            bench.fail(String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let has = |n: u32| {
        let text = run("dump-aggregate", "dump-aggregate", &[]);
        assert!(text.contains(&format!("flow_count={n}\n")), "{text}");
    };
    let from = |k: u32| {
        let [_, b, c, d] = k.to_be_bytes();
        let packet = ipv4([10, b, c, d], [10, 200, 0, 1], UDP, &udp(1, 2, b""));
        ethernet(host(2), host(1), IPV4, &packet)
    };
    let (first, second) =
        (file(&bench, "first", RULES, false), file(&bench, "second", RULES, true));

    bench.set_flows(&[]);
    run("a bundle of them", "add-flows", &[&first, "--bundle"]);
    has(RULES);
    assert_eq!(run("the same as the file", "diff-flows", &[&first]), "");
    for k in [0, 1, 50_000, RULES - 1] {
        bench.forwards(1, &from(k), &[2 + k as usize % 2]);
    }
    run("a hundredth replaced", "replace-flows", &[&second]);
    has(RULES);
    assert_eq!(run("the same as the other file", "diff-flows", &[&second]), "");
    for k in [0, 1, 50_000, 50_001] {
        bench.forwards(1, &from(k), &[2 + (k as usize + usize::from(k % 100 == 0)) % 2]);
    }
    run("and back in a bundle", "replace-flows", &[&first, "--bundle"]);
    assert_eq!(run("the same as the file", "diff-flows", &[&first]), "");
    run("all of them gone", "del-flows", &[]);
    has(0);
    bench.forwards(1, &from(50_000), &[]);

    let few = file(&bench, "few", ONE_BY_ONE, false);
    run("one by one", "add-flows", &[&few]);
    has(ONE_BY_ONE);
    assert_eq!(run("the same as the file", "diff-flows", &[&few]), "");
    bench.shutdown();
}
