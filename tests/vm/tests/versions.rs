//! The main commands of the stock `ovs-ofctl` in the versions between 1.0 and 1.3 and after it.

use std::fs;

use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Config, Refused};

#[test]
fn ovs_ofctl_in_the_other_versions() {
    let bench = Bench::boot(Config::new(3));
    for version in ["OpenFlow11", "OpenFlow12", "OpenFlow14", "OpenFlow15"] {
        bench.case(version);
        let run = |args: &[&str]| match bench.try_ofctl(version, args) {
            Ok(text) => text,
            Err(Refused(why)) => bench.fail(format!("{version} {args:?}: {why}")),
        };
        assert!(run(&["show"]).contains("1(p1)"), "{version}");
        run(&["del-flows"]);
        run(&["add-flow", "priority=9,in_port=1,actions=2"]);
        let dump = run(&["dump-flows"]);
        assert!(dump.contains("priority=9,in_port=1 actions=output:2"), "{version}: {dump}");
        bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2]);
        assert!(run(&["dump-flows"]).contains("n_packets=1"), "{version}");
        run(&["mod-flows", "priority=9,in_port=1,actions=3", "--strict"]);
        bench.forwards(1, &plain(BROADCAST, host(1), 60, 2), &[3]);
        assert!(run(&["dump-aggregate"]).contains("flow_count=1"), "{version}");
        assert!(run(&["dump-tables"]).contains("table 0"), "{version}");
        assert!(run(&["dump-ports", "1"]).contains("port"), "{version}");
        run(&[
            "packet-out",
            "in_port=controller packet=ffffffffffff02000000000108060001 actions=drop",
        ]);
        if version >= "OpenFlow14" {
            let lines: Vec<String> =
                (0..500).map(|k| format!("priority=1,reg0={k},actions=2")).collect();
            let path = bench.dir().join("rules");
            fs::write(&path, lines.join("\n")).expect("a file");
            let path = path.to_string_lossy().into_owned();
            run(&["add-flows", &path, "--bundle"]);
            assert!(run(&["dump-aggregate"]).contains("flow_count=501"), "{version}");
            assert!(run(&["dump-table-desc"]).contains("table 0"), "{version}");
        }
        run(&["del-flows"]);
    }
    bench.shutdown();
}
