//! A small machine does not run out of memory, whoever asks for it: a controller with rules, with bundles
//! of them, a sender with flows.

use std::fmt::Write;

use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config, WAIT};

/// Enough to start with two ports, and little more.
const MIB: u32 = 24;
/// More than fit: some 400 bytes each.
const RULES: usize = 60_000;

#[test]
fn rules_are_refused_before_memory_ends() {
    let bench = Bench::boot(Config::new(2).memory(MIB));
    let mut rules = String::new();
    for k in 0..RULES {
        let (a, b) = (k >> 8, k & 0xff);
        let _ = writeln!(rules, "priority=9,ip,nw_dst=10.1.{a}.{b},actions=output:2");
    }
    let path = bench.dir().join("rules");
    std::fs::write(&path, rules).expect("a file");
    let path = path.to_str().expect("a name in UTF-8");

    bench.case("more rules than there is memory for, one by one");
    let refused = bench.try_ofctl("OpenFlow13", &["add-flows", path]);
    let why = refused.expect_err("refused").0;
    assert!(why.contains("OFPFMFC_TABLE_FULL"), "{why}");
    assert!(bench.serial().wait_for("short of memory", WAIT), "{}", bench.serial().text());

    bench.case("it forwards, and what there is can be changed");
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 0), &[2]);
    bench.forwards(2, &plain(host(1), host(2), 60, 1), &[1]);
    bench.ofctl(&["mod-flows", "ip,nw_dst=10.1.0.7,actions=drop"]);
    assert!(bench.ofctl(&["dump-flows", "ip,nw_dst=10.1.0.7"]).contains("actions=drop"));

    bench.case("and all of it again in a bundle, which leaves no trace");
    let n = count(&bench);
    assert!(n > 1_000, "{n} rules");
    let refused = bench.try_ofctl("OpenFlow14", &["add-flows", path, "--bundle"]);
    let why = refused.expect_err("refused").0;
    let reasons = ["OFPBFC_MSG_TOO_MANY", "OFPBFC_MSG_FAILED", "OFPFMFC_TABLE_FULL", "OFPBFC_"];
    assert!(reasons.iter().any(|reason| why.contains(reason)), "{why}");
    assert_eq!(count(&bench), n);

    bench.case("deleted rules make room");
    bench.ofctl(&["del-flows", "ip"]);
    bench.until("memory is free again", |_| {
        bench.try_ofctl("OpenFlow13", &["add-flow", "priority=9,ip,actions=drop"]).is_ok()
    });
    bench.shutdown();
}

#[test]
fn flows_are_not_cached_beyond_memory() {
    let bench = Bench::boot(Config::new(2).memory(MIB));
    bench.case("more flows than there is memory for");
    // Normal forwarding looks at both addresses, so each pair is a flow of its own.
    let frame = |k: u16| {
        let [high, low] = k.to_be_bytes();
        plain([2, 0, 0, 9, high, low], host(1), 60, k.into())
    };
    let frames: Vec<Vec<u8>> = (0..12_000).map(frame).collect();
    for window in frames.chunks(16) {
        for frame in window {
            bench.send(1, frame);
        }
        bench.settle();
    }
    let told = bench.appctl("upcall/show", &[]);
    println!("{told}");
    let number = |name: &str| -> usize {
        let rest = told.split(name).nth(1).and_then(|rest| rest.split(')').next());
        rest.and_then(|n| n.parse().ok()).unwrap_or_else(|| bench.fail(&told))
    };
    let (cached, limit) = (number("(max "), number("(limit "));
    assert!(cached > 1_000 && limit < 10_000, "memory is not what bounds them: {told}");
    let arrived = bench.arrivals(2).take().len();
    let lost = ["upcall-budget", "upcall-queue-full", "upcall-port-share"]
        .map(|reason| usize::try_from(bench.drops(1, reason)).expect("few"));
    assert_eq!(arrived + lost.iter().sum::<usize>(), frames.len(), "{lost:?}");
    bench.case("it forwards what is new, cached or not");
    bench.forwards(1, &frame(50_000), &[2]);
    bench.shutdown();
}

/// Rules that there are.
fn count(bench: &Bench) -> usize {
    let text = bench.ofctl(&["dump-aggregate"]);
    let count = text.split("flow_count=").nth(1).and_then(|rest| rest.split_whitespace().next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| bench.fail(text))
}
