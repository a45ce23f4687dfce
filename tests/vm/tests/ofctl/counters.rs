//! Counters of rules, tables and ports; timeouts.

use vm::Ofctl;
use vm::frame::{host, plain};

pub(crate) fn counters(t: &Ofctl<'_>) {
    t.case("packet and byte counts are exact");
    t.only(&["cookie=0x5,priority=2,in_port=1,actions=2", "priority=1,in_port=2,actions=drop"]);
    forget_arrivals(t);
    let before: Vec<_> = t.bench.telemetry()["ports"].as_array().expect("ports").clone();
    for k in 0..40_u32 {
        let len = 60 + usize::try_from(k).expect("small");
        t.bench.send(1, &plain(host(2), host(1), len, k));
    }
    for k in 0..3 {
        t.bench.send(2, &plain(host(1), host(2), 1000, k));
    }
    t.bench.settle();
    let bytes: usize = (60..100).sum();
    let text = t.run(&["dump-flows"]);
    // 1.5 tells it in the standard, 1.0 by an extension.
    let age = if t.is(0) || t.is(5) { ", idle_age=N" } else { "" };
    for line in [
        format!(
            " cookie=0x5, duration=D, table=0, n_packets=40, n_bytes={bytes}{age}, priority=2,in_port=1 actions=output:2\n"
        ),
        format!(
            " cookie=0x0, duration=D, table=0, n_packets=3, n_bytes=3000{age}, priority=1,in_port=2 actions=drop\n"
        ),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
    let aggregate = if t.is(0) { "NXST_AGGREGATE" } else { "OFPST_AGGREGATE" };
    t.prints(
        &["dump-aggregate"],
        &format!(
            "{aggregate} reply V (xid=X): packet_count=43 byte_count={} flow_count=2",
            bytes + 3000
        ),
    );
    t.prints(
        &["dump-aggregate", "in_port=1"],
        &format!("{aggregate} reply V (xid=X): packet_count=40 byte_count={bytes} flow_count=1"),
    );
    let text = t.run(&["dump-tables"]);
    assert!(text.contains("active=2, lookup="), "{text}");

    t.case("dump-ports");
    let count = |port: usize, what: &str| before[port - 1][what].as_u64().expect("a counter");
    let text = t.run(&["dump-ports", "1"]);
    let received = format!(
        "  port  1: rx pkts={}, bytes={}, drop=0, errs=0, frame=0, over=0, crc=0\n",
        count(1, "rx_packets") + 40,
        count(1, "rx_bytes") + u64::try_from(bytes).expect("few"),
    );
    // Drops at ingress belong to earlier cases.
    let received = received.split(" drop=").next().expect("a part");
    assert!(text.contains(received), "{received}: {text}");
    let text = t.run(&["dump-ports"]);
    let sent = format!(
        "tx pkts={}, bytes={}, drop=0, errs=0, coll=0\n",
        count(2, "tx_packets") + 40,
        count(2, "tx_bytes") + u64::try_from(bytes).expect("few"),
    );
    assert!(text.contains(&sent) && text.contains("  port LOCAL:"), "{sent}: {text}");
    assert!(text.starts_with(&t.tagged("OFPST_PORT reply V (xid=X): 4 ports\n")), "{text}");

    t.case("mod-flows keeps the counts, and shows when it was");
    t.run(&["mod-flows", "in_port=1,actions=3"]);
    let text = t.run(&["dump-flows", "in_port=1"]);
    assert!(text.contains("n_packets=40") && text.contains("actions=output:3"), "{text}");
    t.case("add-flow over a rule");
    t.run(&["add-flow", "priority=2,in_port=1,actions=2"]);
    let text = t.run(&["dump-flows", "in_port=1"]);
    // Up to 1.1 it starts anew (§3.4 of 1.0.1 "counters cleared"); later only with reset_counts.
    let n = if t.is_from(2) { 40 } else { 0 };
    assert!(text.contains(&format!("n_packets={n},")), "{text}");
    for port in [1, 2, 3] {
        let _ = t.bench.arrivals(port).take();
    }
}

fn forget_arrivals(t: &Ofctl<'_>) {
    t.bench.settle();
    for port in [1, 2, 3] {
        let _ = t.bench.arrivals(port).take();
    }
}

pub(crate) fn timeouts(t: &Ofctl<'_>) {
    t.case("timeouts, and flow-removed to a monitor");
    t.only(&[]);
    let monitor = t.monitor(&["65534"]);
    // On a busy machine a rule may be gone before its frame is there.
    let frame = plain(host(2), host(1), 60, 1);
    let has_met = (0..20).any(|_| {
        let flow = "cookie=0x9,priority=4,in_port=1,idle_timeout=1,send_flow_rem,actions=2";
        t.run(&["add-flow", flow]);
        t.bench.send(1, &frame);
        t.bench.settle();
        t.bench.arrivals(2).take() == [frame.clone()]
    });
    assert!(has_met, "no frame met its rule");
    t.run(&["add-flow", "cookie=0xa,priority=3,in_port=3,hard_timeout=1,send_flow_rem,actions=2"]);
    t.run(&["add-flow", "cookie=0xb,priority=2,in_port=2,send_flow_rem,actions=1"]);
    let text = t.run(&["dump-flows", "--no-stats"]);
    assert!(text.contains("cookie=0xb"), "{text}");
    monitor.says(&t.tagged("OFPT_FLOW_REMOVED V"), "priority=4,in_port=1 reason=idle");
    monitor.says("priority=4,in_port=1 reason=idle", "cookie:0x9");
    monitor.says("priority=4,in_port=1 reason=idle", "pkts1 bytes60");
    monitor.says("priority=3,in_port=3 reason=hard", "pkts0 bytes0");
    t.run(&["del-flows", "in_port=2"]);
    monitor.says("priority=2,in_port=2 reason=delete", "cookie:0xb");
    t.has_flows(&[]);
    monitor.exit();
}
