//! The stock `ovs-appctl` on the image's console.

use std::process::Command;

use vm::frame::{self, host, plain};
use vm::{Bench, Config, tool};

#[test]
fn ovs_appctl() {
    let bench = Bench::boot(Config::new(3));
    let console = Console { bench: &bench };
    console.commands();
    console.tables();
    console.trace();
    console.refusals();
    console.log_levels();
    console.serial_line();
    bench.shutdown();
}

/// The stock `ovs-appctl` on a console.
struct Console<'a> {
    bench: &'a Bench,
}

impl Console<'_> {
    /// Exit code, output and errors.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(tool::need("ovs-appctl", "openvswitch-common"));
        // The first console; the bench itself holds the second.
        let output =
            command.arg("-T60").arg("-t").arg(&self.bench.vm().consoles[0]).args(args).output();
        let output = output.expect("ovs-appctl");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        let (code, said, errors) = self.run(args);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{args:?}: {said}");
        said
    }

    fn serial_line(&self) {
        self.bench.case("the same commands, typed at the serial line");
        let version = self.says(&["version"]);
        for (line, answer) in [
            ("version", version.as_str()),
            ("fdb/sohw br0", "\"fdb/sohw\" is not a valid command"),
            ("dpctl/show", "lookups: hit:"),
            ("coverage/show", "Event coverage"),
        ] {
            let before = self.bench.serial().text().len();
            self.bench.type_line(line);
            let answered = self.bench.serial().wait_until(vm::WAIT, |text| {
                let said = text.get(before..).unwrap_or_default();
                said.split_once(answer).is_some_and(|(_, rest)| rest.contains("uniswitch> "))
            });
            assert!(answered, "{line}: {}", self.bench.serial().tail(20).join("\n"));
        }
    }

    fn commands(&self) {
        self.bench.case("list-commands, version");
        let text = self.says(&["list-commands"]);
        for name in [
            "coverage/read-counter",
            "coverage/show",
            "dpctl/dump-flows",
            "dpctl/show",
            "exit",
            "fdb/flush",
            "fdb/show",
            "list-commands",
            "memory/show",
            "ofproto/list",
            "ofproto/trace",
            "revalidator/wait",
            "uniswitch/get",
            "uniswitch/self-check",
            "uniswitch/set",
            "upcall/show",
            "version",
            "vlog/list",
            "vlog/set",
            "uniswitch/telemetry",
        ] {
            assert!(
                text.lines().any(|line| line.split_whitespace().next() == Some(name)),
                "{name}: {text}"
            );
        }
        assert_eq!(self.says(&["version"]), format!("uniswitch {}\n", env!("CARGO_PKG_VERSION")));
        assert_eq!(self.says(&["ofproto/list"]), "br0\n");
    }

    fn tables(&self) {
        self.bench.case("fdb, dpctl, coverage, memory, upcall");
        let empty = " port  VLAN  MAC                Age\n";
        assert_eq!(self.says(&["fdb/show", "br0"]), empty);
        self.bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2, 3]);
        self.bench.forwards(2, &plain(host(1), host(2), 60, 2), &[1]);
        self.bench.forwards(2, &plain(host(1), host(2), 60, 3), &[1]);
        let text = self.says(&["fdb/show", "br0"]);
        assert!(text.starts_with(empty) && text.lines().count() == 3, "{text}");
        assert!(text.contains("    1     0  02:00:00:00:00:01"), "{text}");

        let text = self.says(&["dpctl/show"]);
        assert!(text.contains("  lookups: hit:1 missed:2 lost:0\n  flows: 2\n"), "{text}");
        assert!(text.contains("  port 2: p2 (virtio-net "), "{text}");
        let text = self.says(&["dpctl/dump-flows"]);
        let flow = "in_port(2),eth(src=02:00:00:00:00:02,dst=02:00:00:00:00:01)";
        let line =
            text.lines().find(|line| line.contains(flow)).unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("packets:1, bytes:60") && line.ends_with("actions:1"), "{line}");
        let text = self.says(&["coverage/show"]);
        let miss = text.lines().find(|line| line.starts_with("datapath_miss "));
        assert!(miss.is_some_and(|line| line.ends_with("total: 2")), "{text}");
        assert!(self.says(&["memory/show"]).contains("udpif keys:2"));
        assert!(self.says(&["upcall/show"]).contains("(current 2)"));

        self.bench.case("fdb/flush");
        assert_eq!(self.says(&["fdb/flush", "br0"]), "table successfully flushed\n");
        assert_eq!(self.says(&["fdb/show", "br0"]), empty);
    }

    fn trace(&self) {
        self.bench.case("ofproto/trace of a flow");
        self.bench.set_flows(&[
            "table=0,priority=9,tcp,in_port=1,actions=set_field:10.0.0.9->ip_dst,goto_table:1",
            "table=1,priority=1,ip,nw_dst=10.0.0.0/8,actions=output:2,output:1",
        ]);
        let packet = "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_dst=80";
        let expected = "\
Flow: tcp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=0,tp_dst=80,tcp_flags=0

bridge(\"br0\")
-------------
 0. tcp,in_port=1, priority 9
    set_field:10.0.0.9->ip_dst
    goto_table:1
 1. ip,nw_dst=10.0.0.0/8, priority 1
    output:2
    output:1
     >> skipping output to input port

Final flow: tcp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=10.0.0.1,nw_dst=10.0.0.9,nw_tos=0,nw_ecn=0,nw_ttl=64,nw_frag=no,tp_src=0,tp_dst=80,tcp_flags=0
Megaflow: recirc_id=0,eth,tcp,in_port=1,nw_dst=10.0.0.2,nw_frag=no
Datapath actions: set(ipv4(dst=10.0.0.9)),2
";
        assert_eq!(self.says(&["ofproto/trace", "br0", packet]), expected);
        // The bridge may be left out.
        assert_eq!(self.says(&["ofproto/trace", packet]), expected);

        self.bench.case("ofproto/trace of a frame");
        let segment = frame::tcp(1000, 80, 2, b"");
        let frame = frame::ethernet(
            host(2),
            host(1),
            frame::IPV4,
            &frame::ipv4([10, 0, 0, 1], [10, 0, 0, 2], frame::TCP, &segment),
        );
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = self.says(&["ofproto/trace", "br0", "in_port=1", &hex]);
        assert!(text.starts_with("Flow: tcp,in_port=1,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1"), "{text}");
        assert!(text.ends_with("Datapath actions: set(ipv4(dst=10.0.0.9)),2\n"), "{text}");

        self.bench.case("what trace says is what happens");
        self.bench.send(1, &frame);
        let mut rewritten = frame.clone();
        rewritten[33] = 9;
        self.bench.expect(&[(2, &frame::completed(&rewritten))]);
    }

    fn refusals(&self) {
        self.bench.case("wrong commands: one line, exit status 2");
        for (args, words) in [
            (
                &["nonsense"][..],
                "\"nonsense\" is not a valid command (use \"list-commands\" to see a list of valid commands)",
            ),
            (&["fdb/show", "br9"], "no such bridge"),
            (&["fdb/show", "a", "b", "c"], "\"fdb/show\" command takes at most 1 arguments"),
            (&["ofproto/trace"], "\"ofproto/trace\" command requires at least 1 arguments"),
            (&["ofproto/trace", "br9", "in_port=1"], "br9: unknown bridge"),
            (&["ofproto/trace", "br0", "bogus=1"], "unknown field bogus"),
            (&["ofproto/trace", "br0", "in_port=1", "0z"], "hexadecimal"),
            (&["vlog/set", "loud"], "no destination, level, or module \"loud\""),
        ] {
            let (code, said, errors) = self.run(args);
            assert_eq!((code, said.as_str()), (Some(2), ""), "{args:?}");
            let mut lines = errors.lines();
            assert!(lines.next().is_some_and(|line| line.contains(words)), "{args:?}: {errors}");
            assert!(
                lines.next().is_some_and(|line| line.contains("server returned an error")),
                "{errors}"
            );
        }
        self.bench.case("and the console goes on");
        for _ in 0..10 {
            assert_eq!(self.says(&["ofproto/list"]), "br0\n");
        }
    }

    fn log_levels(&self) {
        self.bench.case("vlog");
        let level = |name: &str| {
            let text = self.says(&["vlog/list"]);
            assert!(
                text.lines().any(|line| line.starts_with("all") && line.contains(name)),
                "{name}: {text}"
            );
        };
        level("INFO");
        self.says(&["vlog/set", "dbg"]);
        level("DBG");
        self.says(&["vlog/set", "ANY:console:warn"]);
        level("WARN");
        self.says(&["vlog/set", "info"]);
        level("INFO");
    }
}
