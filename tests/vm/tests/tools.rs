//! The stock tools against a running image: every `ovs-ofctl` command in OpenFlow 1.0 and 1.3, and
//! `ovs-appctl`. Texts are compared whole, with what changes from run to run masked.

use std::fs;
use std::process::Command;

use vm::frame::{self, BROADCAST, host, plain};
use vm::{Bench, Config, Refused, Spawned, WAIT, masked, tool};

const V10: &str = "OpenFlow10";
const V13: &str = "OpenFlow13";
const VERSIONS: [&str; 2] = [V10, V13];

#[test]
fn ovs_ofctl() {
    let bench = Bench::boot(Config::new(3));
    for version in VERSIONS {
        let tools = Tools { bench: &bench, version };
        tools.descriptions();
        tools.statistics_of_nothing();
        tools.flows();
        tools.changes();
        tools.files_of_flows();
        tools.counters();
        tools.timeouts();
        tools.fragments();
        tools.ports();
        tools.packet_out();
        tools.monitor();
        tools.liveness();
        tools.refusals();
    }
    bench.shutdown();
}

#[test]
fn ovs_appctl() {
    let bench = Bench::boot(Config::new(3));
    let console = Console { bench: &bench };
    console.commands();
    console.tables();
    console.trace();
    console.refusals();
    console.log_levels();
    bench.shutdown();
}

/// `ovs-ofctl` in one version.
struct Tools<'a> {
    bench: &'a Bench,
    version: &'static str,
}

impl Tools<'_> {
    fn case(&self, name: &str) {
        self.bench.case(format!("{}: {name}", self.version));
    }

    /// What a command prints, masked.
    #[track_caller]
    fn run(&self, command_and_args: &[&str]) -> String {
        match self.bench.try_ofctl(self.version, command_and_args) {
            Ok(text) => masked(&text),
            Err(Refused(why)) => self.bench.fail(format!("{command_and_args:?}: {why}")),
        }
    }

    /// A command prints `expected`, in which `V` stands for how the tool names the version.
    #[track_caller]
    fn prints(&self, command_and_args: &[&str], expected: &str) {
        let tag = if self.version == V13 { " (OF1.3)" } else { "" };
        let printed = self.run(command_and_args);
        assert_eq!(
            printed.trim_end(),
            expected.replace(" V", tag).trim_end(),
            "{command_and_args:?}"
        );
    }

    /// The rules, in the form that takes no part in time.
    #[track_caller]
    fn has_flows(&self, expected: &[&str]) {
        let text = self.run(&["dump-flows", "--no-stats"]);
        let flows: Vec<&str> = text.lines().skip_while(|line| line.contains("reply")).collect();
        let flows: Vec<&str> = flows.iter().map(|line| line.trim()).collect();
        assert_eq!(flows, expected);
    }

    fn file(&self, name: &str, lines: &[&str]) -> String {
        let path = self.bench.dir().join(name);
        fs::write(&path, lines.join("\n") + "\n").expect("a file");
        path.to_string_lossy().into_owned()
    }

    fn only(&self, flows: &[&str]) {
        self.run(&["del-flows"]);
        let file = self.file("only", flows);
        self.run(&["add-flows", &file]);
    }

    fn is_v10(&self) -> bool {
        self.version == V10
    }

    fn descriptions(&self) {
        self.case("show");
        let live = if self.is_v10() { "0" } else { "LIVE" };
        let port = |number: &str, mac: u8, state: &str| {
            format!(
                " {number}: addr:52:54:00:00:00:{mac:02x}\n     config:     0\n     state:      {state}\n     speed: 0 Mbps now, 0 Mbps max\n"
            )
        };
        let ports = [("1(p1)", 1, live), ("2(p2)", 2, live), ("3(p3)", 3, live)];
        let mut ports: String =
            ports.iter().map(|&(name, mac, state)| port(name, mac, state)).collect();
        ports += &port("LOCAL(br0)", 0, "LINK_DOWN");
        let features = if self.is_v10() {
            "capabilities: FLOW_STATS TABLE_STATS PORT_STATS ARP_MATCH_IP\n\
             actions: output set_vlan_vid set_vlan_pcp strip_vlan mod_dl_src mod_dl_dst mod_nw_src mod_nw_dst mod_nw_tos mod_tp_src mod_tp_dst\n"
        } else {
            "capabilities: FLOW_STATS TABLE_STATS PORT_STATS GROUP_STATS\nOFPST_PORT_DESC reply V (xid=X):\n"
        };
        self.prints(
            &["show"],
            &format!(
                "OFPT_FEATURES_REPLY V (xid=X): dpid:0000525400000000\nn_tables:255, n_buffers:0\n\
                 {features}{ports}OFPT_GET_CONFIG_REPLY V (xid=X): frags=normal miss_send_len=128"
            ),
        );
        self.case("dump-ports-desc");
        self.prints(&["dump-ports-desc"], &format!("OFPST_PORT_DESC reply V (xid=X):\n{ports}"));
        let one = if self.is_v10() { ports.clone() } else { port("2(p2)", 2, live) };
        if !self.is_v10() {
            let text = self.run(&["dump-ports-desc", "2"]);
            assert!(text.contains(&one), "{text}");
        }

        self.case("dump-desc");
        self.prints(
            &["dump-desc"],
            &format!(
                "OFPST_DESC reply V (xid=X):\nManufacturer: Uniswitch\nHardware: virtio\nSoftware: {}\n\
                 Serial Num: None\nDP Description: None",
                env!("CARGO_PKG_VERSION")
            ),
        );
    }

    fn statistics_of_nothing(&self) {
        self.only(&[]);
        self.case("dump-tables");
        let text = self.run(&["dump-tables"]);
        assert!(
            text.starts_with(
                &self.tagged("OFPST_TABLE reply V (xid=X):\n  table 0:\n    active=0")
            ),
            "{text}"
        );
        assert!(text.contains("...254: ditto\n"), "{text}");
        self.case("dump-table-features");
        if !self.is_v10() {
            let text = self.run(&["dump-table-features"]);
            for line in [
                "  table 0:\n",
                "    metadata: match=0xffffffffffffffff write=0xffffffffffffffff\n",
                "    max_entries=1000000\n",
                "      next tables: 1-254\n",
                "      instructions: meter apply_actions clear_actions write_actions write_metadata goto_table\n",
                "  tables 1...253: ditto\n",
                "  table 254:\n",
            ] {
                assert!(text.contains(line), "{line}: {text}");
            }
        }
        self.case("dump-flows, dump-aggregate");
        let flow = if self.is_v10() { "NXST_FLOW" } else { "OFPST_FLOW" };
        self.prints(&["dump-flows"], &format!("{flow} reply V (xid=X):"));
        let aggregate = if self.is_v10() { "NXST_AGGREGATE" } else { "OFPST_AGGREGATE" };
        self.prints(
            &["dump-aggregate"],
            &format!("{aggregate} reply V (xid=X): packet_count=0 byte_count=0 flow_count=0"),
        );
        self.case("queue-stats");
        self.prints(&["queue-stats"], "OFPST_QUEUE reply V (xid=X): 0 queues");
        self.case("groups and meters");
        if self.is_v10() {
            return;
        }
        self.prints(&["dump-groups"], "OFPST_GROUP_DESC reply V (xid=X):");
        self.prints(&["dump-group-stats"], "OFPST_GROUP reply V (xid=X):");
        self.prints(&["dump-meters"], "OFPST_METER_CONFIG reply V (xid=X):");
        self.prints(&["meter-stats"], "OFPST_METER reply V (xid=X):");
        self.run(&["dump-group-features"]);
        self.run(&["meter-features"]);
    }

    fn tagged(&self, text: &str) -> String {
        text.replace(" V", if self.is_v10() { "" } else { " (OF1.3)" })
    }

    fn flows(&self) {
        self.case("add-flow: what goes in comes out");
        self.only(&[]);
        let flows = [
            "priority=9,tcp,in_port=1,dl_vlan=5,nw_src=10.0.0.0/8,tp_dst=80 actions=strip_vlan,output:2",
            "priority=8,udp6,ipv6_src=fe80::/64,tp_dst=0x1000/0xf000 actions=output:3",
            "priority=7,arp,arp_spa=10.0.0.1,arp_op=1 actions=FLOOD",
            "priority=6,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=ALL",
            "cookie=0x1234, priority=5,icmp,icmp_type=8,icmp_code=0 actions=IN_PORT",
            "priority=4,mpls,mpls_label=16,mpls_bos=1 actions=pop_mpls:0x0800,output:1",
            "priority=3,ip,nw_tos=64,nw_frag=later actions=LOCAL",
            "priority=2,reg1=0x7 actions=load:0x5->NXM_NX_REG2[],resubmit(,3)",
            "priority=1 actions=CONTROLLER:100",
            "priority=0 actions=drop",
        ];
        for flow in flows {
            self.run(&["add-flow", flow]);
        }
        let name = if self.is_v10() { "strip_vlan" } else { "pop_vlan" };
        let flows = flows.map(|flow| flow.replace("strip_vlan", name));
        self.has_flows(&flows.each_ref().map(String::as_str));

        self.case("add-flow replaces a rule with the same match and priority");
        self.run(&["add-flow", "priority=0,actions=NORMAL"]);
        let text = self.run(&["dump-flows", "--no-stats"]);
        assert!(
            text.contains("priority=0 actions=NORMAL") && !text.contains("actions=drop"),
            "{text}"
        );
        self.case("check_overlap");
        self.refused(&["add-flow", "check_overlap,priority=9,tcp,actions=1"], "OFPFMFC_OVERLAP");
        self.case("dump-flows with a filter");
        let text = self.run(&["dump-flows", "--no-stats", "arp"]);
        assert_eq!(text.lines().count(), 1, "{text}");
        let text = self.run(&["dump-flows", "--no-stats", "out_port=3"]);
        assert!(text.lines().count() == 1 && text.contains("udp6"), "{text}");
        let text = self.run(&["dump-flows", "--no-stats", "cookie=0x1234/-1"]);
        assert!(text.lines().count() == 1 && text.contains("icmp"), "{text}");
        if !self.is_v10() {
            self.case("instructions");
            let flows = [
                "priority=3,tcp actions=write_metadata:0x5/0xff,goto_table:7",
                "priority=2 actions=clear_actions,write_actions(output:2),goto_table:9",
                "priority=1,ip actions=push_vlan:0x8100,set_field:4105->vlan_vid,dec_ttl,goto_table:200",
            ];
            self.only(&flows);
            self.has_flows(&flows);
        }
    }

    fn changes(&self) {
        let start = [
            "cookie=0x10, table=1, priority=8,udp actions=output:2",
            "cookie=0x11, table=1, priority=7,tcp actions=output:3",
            "cookie=0x20, table=2, ip,nw_dst=10.0.0.0/8 actions=output:1,output:2",
        ];
        self.only(&start);
        self.has_flows(&start);
        // OpenFlow 1.0 gives a modified rule the cookie of the change, later versions do not.
        let cookie = |kept: &'static str| if self.is_v10() { "" } else { kept };
        self.case("mod-flows, loose");
        self.run(&["mod-flows", "table=1,actions=1"]);
        let udp = format!("{}table=1, priority=8,udp actions=output:1", cookie("cookie=0x10, "));
        let tcp = format!("{}table=1, priority=7,tcp actions=output:1", cookie("cookie=0x11, "));
        self.has_flows(&[&udp, &tcp, start[2]]);
        self.case("mod-flows, strict: another priority is another rule");
        self.run(&["mod-flows", "--strict", "table=1,priority=8,udp,actions=drop"]);
        let text = self.run(&["dump-flows", "--no-stats"]);
        assert!(
            text.contains("priority=8,udp actions=drop") && text.contains("tcp actions=output:1"),
            "{text}"
        );
        self.run(&["mod-flows", "--strict", "table=1,priority=9,tcp,actions=drop"]);
        let text = self.run(&["dump-flows", "--no-stats"]);
        assert!(text.contains("priority=7,tcp actions=output:1"), "{text}");

        self.case("del-flows by out_port");
        self.only(&start);
        self.run(&["del-flows", "out_port=3"]);
        self.has_flows(&[start[0], start[2]]);
        self.case("del-flows by cookie and mask");
        self.run(&["del-flows", "cookie=0x10/0x10"]);
        self.has_flows(&[start[2]]);
        self.case("del-flows of a table");
        self.only(&start);
        self.run(&["del-flows", "table=1"]);
        self.has_flows(&[start[2]]);
        self.case("del-flows, strict");
        self.only(&start);
        self.run(&["del-flows", "--strict", "table=1,priority=9,udp"]);
        self.has_flows(&start);
        self.run(&["del-flows", "--strict", "table=1,priority=8,udp"]);
        self.has_flows(&start[1..]);
        self.case("del-flows, loose: all that the match covers");
        self.run(&["del-flows", "ip"]);
        self.has_flows(&[]);
    }

    fn files_of_flows(&self) {
        let first = self.file(
            "first",
            &["priority=1,in_port=1,actions=2", "table=1,priority=8,udp,cookie=0x11,actions=2"],
        );
        let second =
            self.file("second", &["priority=1,in_port=1,actions=3", "table=3,arp,actions=drop"]);
        self.case("add-flows");
        self.only(&[]);
        self.run(&["add-flows", &first]);
        self.case("diff-flows");
        self.prints(&["diff-flows", &first], "");
        // The tool's exit status tells that there are differences; its output which.
        let output = self.bench.ofctl_command(self.version, "diff-flows", &[&second]).output();
        let output = output.expect("ovs-ofctl");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "-priority=1,in_port=1 actions=output:2\n+priority=1,in_port=1 actions=output:3\n\
             -table=1 priority=8,udp cookie=0x11 actions=output:2\n+table=3 arp actions=drop\n"
        );
        self.case("replace-flows");
        // The tool names no tables in OpenFlow 1.0.
        self.only(&["priority=1,in_port=1,actions=2", "udp,actions=2", "tcp,actions=1"]);
        let third = self.file(
            "third",
            &["priority=1,in_port=1,actions=3", "tcp,actions=1", "arp,actions=drop"],
        );
        self.run(&["replace-flows", &third]);
        self.prints(&["diff-flows", &third], "");
        self.case("add-flows: the tool stops at the first error, what came before stays");
        let bad = self.file(
            "bad",
            &["priority=5,actions=1", "priority=6,actions=group:4", "priority=7,actions=3"],
        );
        self.only(&[]);
        self.refused(&["add-flows", &bad], "OFPBAC_BAD_OUT_GROUP");
        self.has_flows(&["priority=5 actions=output:1"]);
    }

    fn counters(&self) {
        self.case("packet and byte counts are exact");
        self.only(&[
            "cookie=0x5,priority=2,in_port=1,actions=2",
            "priority=1,in_port=2,actions=drop",
        ]);
        self.clear_port_counters();
        let before: Vec<_> = self.bench.telemetry()["ports"].as_array().expect("ports").clone();
        for k in 0..40_u32 {
            let len = 60 + usize::try_from(k).expect("small");
            self.bench.send(1, &plain(host(2), host(1), len, k));
        }
        for k in 0..3 {
            self.bench.send(2, &plain(host(1), host(2), 1000, k));
        }
        self.bench.settle();
        let bytes: usize = (60..100).sum();
        let text = self.run(&["dump-flows"]);
        let age = if self.is_v10() { ", idle_age=N" } else { "" };
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
        let aggregate = if self.is_v10() { "NXST_AGGREGATE" } else { "OFPST_AGGREGATE" };
        self.prints(
            &["dump-aggregate"],
            &format!(
                "{aggregate} reply V (xid=X): packet_count=43 byte_count={} flow_count=2",
                bytes + 3000
            ),
        );
        self.prints(
            &["dump-aggregate", "in_port=1"],
            &format!(
                "{aggregate} reply V (xid=X): packet_count=40 byte_count={bytes} flow_count=1"
            ),
        );
        let text = self.run(&["dump-tables"]);
        assert!(text.contains("active=2, lookup="), "{text}");

        self.case("dump-ports");
        let count = |port: usize, what: &str| before[port - 1][what].as_u64().expect("a counter");
        let text = self.run(&["dump-ports", "1"]);
        let received = format!(
            "  port  1: rx pkts={}, bytes={}, drop=0, errs=0, frame=0, over=0, crc=0\n",
            count(1, "rx_packets") + 40,
            count(1, "rx_bytes") + u64::try_from(bytes).expect("few"),
        );
        // Drops at ingress belong to earlier cases.
        let received = received.split(" drop=").next().expect("a part");
        assert!(text.contains(received), "{received}: {text}");
        let text = self.run(&["dump-ports"]);
        let sent = format!(
            "tx pkts={}, bytes={}, drop=0, errs=0, coll=0\n",
            count(2, "tx_packets") + 40,
            count(2, "tx_bytes") + u64::try_from(bytes).expect("few"),
        );
        assert!(text.contains(&sent) && text.contains("  port LOCAL:"), "{sent}: {text}");
        assert!(text.starts_with(&self.tagged("OFPST_PORT reply V (xid=X): 4 ports\n")), "{text}");

        self.case("mod-flows keeps the counts, and shows when it was");
        self.run(&["mod-flows", "in_port=1,actions=3"]);
        let text = self.run(&["dump-flows", "in_port=1"]);
        assert!(text.contains("n_packets=40") && text.contains("actions=output:3"), "{text}");
        self.case("add-flow over a rule");
        self.run(&["add-flow", "priority=2,in_port=1,actions=2"]);
        let text = self.run(&["dump-flows", "in_port=1"]);
        // OpenFlow 1.0 starts anew (§3.4 of 1.0.1 "counters cleared"); 1.3 only with reset_counts.
        let n = if self.is_v10() { 0 } else { 40 };
        assert!(text.contains(&format!("n_packets={n},")), "{text}");
        for port in [1, 2, 3] {
            let _ = self.bench.arrivals(port).take();
        }
    }

    fn clear_port_counters(&self) {
        self.bench.settle();
        for port in [1, 2, 3] {
            let _ = self.bench.arrivals(port).take();
        }
    }

    fn timeouts(&self) {
        self.case("timeouts, and flow-removed to a monitor");
        self.only(&[]);
        let monitor = self.start_monitor(&["65534"]);
        self.run(&[
            "add-flow",
            "cookie=0x9,priority=4,in_port=1,idle_timeout=1,send_flow_rem,actions=2",
        ]);
        self.run(&[
            "add-flow",
            "cookie=0xa,priority=3,in_port=3,hard_timeout=1,send_flow_rem,actions=2",
        ]);
        self.run(&["add-flow", "cookie=0xb,priority=2,in_port=2,send_flow_rem,actions=1"]);
        let text = self.run(&["dump-flows", "--no-stats"]);
        assert!(text.contains("cookie=0xb"), "{text}");
        self.bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2]);
        monitor.says(&self.tagged("OFPT_FLOW_REMOVED V"), "priority=4,in_port=1 reason=idle");
        monitor.says("priority=4,in_port=1 reason=idle", "cookie:0x9");
        monitor.says("priority=4,in_port=1 reason=idle", "pkts1 bytes60");
        monitor.says("priority=3,in_port=3 reason=hard", "pkts0 bytes0");
        self.run(&["del-flows", "in_port=2"]);
        monitor.says("priority=2,in_port=2 reason=delete", "cookie:0xb");
        self.has_flows(&[]);
        monitor.exit();
    }

    fn fragments(&self) {
        self.case("get-frags, set-frags");
        for mode in ["drop", "nx-match", "normal"] {
            self.run(&["set-frags", mode]);
            self.prints(&["get-frags"], mode);
        }
        let error =
            if self.is_v10() { "doesn't support mode \"reassemble\"" } else { "OFPSCFC_BAD_FLAGS" };
        self.refused(&["set-frags", "reassemble"], error);
        self.prints(&["get-frags"], "normal");
    }

    fn ports(&self) {
        let to = |tag| plain(BROADCAST, host(1), 60, tag);
        self.only(&["priority=1,actions=NORMAL"]);
        let monitor = self.start_monitor(&[]);
        self.case("mod-port down: nothing in, nothing out, and the ports' description says so");
        self.run(&["mod-port", "p2", "down"]);
        self.bench.forwards(1, &to(1), &[3]);
        self.bench.forwards(2, &plain(BROADCAST, host(2), 60, 2), &[]);
        let text = self.run(&["dump-ports-desc"]);
        let down = text.split(" 2(p2)").nth(1).expect("port 2");
        assert!(
            down.trim_start_matches(|c| c != '\n').starts_with("\n     config:     PORT_DOWN\n"),
            "{text}"
        );
        monitor.says(&self.tagged("OFPT_PORT_STATUS V"), "MOD: 2(p2)");
        self.run(&["mod-port", "2", "up"]);
        self.bench.forwards(1, &to(3), &[2, 3]);

        self.case("mod-port no-receive");
        self.run(&["mod-port", "2", "no-receive"]);
        self.bench.forwards(2, &plain(BROADCAST, host(2), 60, 4), &[]);
        self.bench.forwards(1, &to(5), &[2, 3]);
        self.run(&["mod-port", "2", "receive"]);
        self.case("mod-port no-forward");
        self.run(&["mod-port", "2", "no-forward"]);
        self.bench.forwards(1, &to(6), &[3]);
        self.bench.forwards(2, &plain(BROADCAST, host(2), 60, 7), &[1, 3]);
        self.run(&["mod-port", "2", "forward"]);
        if self.is_v10() {
            self.case("mod-port no-flood");
            self.run(&["mod-port", "2", "no-flood"]);
            self.bench.forwards(1, &to(8), &[3]);
            self.only(&["actions=FLOOD"]);
            self.bench.forwards(1, &to(9), &[3]);
            self.only(&["actions=ALL"]);
            self.bench.forwards(1, &to(10), &[2, 3]);
            self.only(&["actions=2"]);
            self.bench.forwards(1, &to(11), &[2]);
            assert!(self.run(&["show"]).contains("config:     NO_FLOOD"));
            self.run(&["mod-port", "2", "flood"]);
        }
        self.case("mod-port no-packet-in");
        self.only(&["priority=0,actions=controller"]);
        self.run(&["mod-port", "1", "no-packet-in"]);
        self.bench.forwards(1, &plain(BROADCAST, host(1), 61, 12), &[]);
        self.bench.forwards(2, &plain(BROADCAST, host(2), 62, 13), &[]);
        self.run(&["mod-port", "1", "packet-in"]);
        self.bench.forwards(1, &plain(BROADCAST, host(1), 63, 14), &[]);
        // A table miss of 1.3 is asked for at "monitor MISS_LEN" alone.
        monitor.exit();
        assert!(!self.run(&["show"]).contains("config:     NO"));
    }

    fn packet_out(&self) {
        self.only(&["priority=2,in_port=2,actions=3", "priority=1,actions=NORMAL"]);
        let frame = plain(BROADCAST, host(7), 77, 1);
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let out = |in_port: &str, actions: &str| {
            self.run(&["packet-out", &format!("in_port={in_port},packet={hex},actions={actions}")]);
        };
        self.case("packet-out to a port");
        out("controller", "output:2");
        self.bench.expect(&[(2, &frame)]);
        self.case("packet-out to several, in order, with changes between");
        out("controller", "output:2,mod_dl_src:02:00:00:00:00:09,output:3");
        let changed = [&frame[..6], &host(9), &frame[12..]].concat();
        self.bench.expect(&[(2, &frame), (3, &changed)]);
        self.case("packet-out FLOOD, ALL: not to its ingress port");
        out("1", "FLOOD");
        self.bench.expect(&[(2, &frame), (3, &frame)]);
        out("controller", "ALL");
        self.bench.expect(&[(1, &frame), (2, &frame), (3, &frame)]);
        self.case("packet-out IN_PORT");
        out("1", "in_port");
        self.bench.expect(&[(1, &frame)]);
        self.case("packet-out TABLE: through the rules");
        out("2", "TABLE");
        self.bench.expect(&[(3, &frame)]);
        self.case("packet-out CONTROLLER");
        let monitor = self.start_monitor(&["65534"]);
        out("1", "controller");
        monitor.says("PACKET_IN", "total_len=77 in_port=1 (via action) data_len=77 (unbuffered)");
        monitor.exit();
        self.case("packet-out without actions");
        out("1", "drop");
        self.bench.expect_nothing();
    }

    fn monitor(&self) {
        let frame = plain(host(2), host(1), 60, 5);
        let other = plain(host(1), host(2), 60, 6);
        let flows = [
            "cookie=0x77,priority=3,in_port=1,actions=load:7->NXM_NX_REG1[],controller:20",
            "priority=0,actions=controller",
        ];
        for format in ["standard", "nxt_packet_in", "nxt_packet_in2"] {
            self.case(&format!("monitor -P {format}"));
            self.only(&flows);
            let mut command = self.bench.ofctl_command(self.version, "monitor", &["65534"]);
            let monitor = Monitor::start(self.bench, command.args(["-P", format]));
            self.bench.forwards(1, &frame, &[]);
            self.bench.forwards(2, &other, &[]);
            let name = match format {
                "standard" => "OFPT_PACKET_IN V",
                "nxt_packet_in" => "NXT_PACKET_IN V",
                _ => "NXT_PACKET_IN2 V",
            };
            let is_plain = self.is_v10() && format == "standard";
            let (seven, zero) = match is_plain {
                true => ("total_len=60 in_port=1", "total_len=60 in_port=2"),
                false => (
                    "cookie=0x77 total_len=60 reg1=0x7,in_port=1",
                    "cookie=0x0 total_len=60 in_port=2",
                ),
            };
            // From 1.3 on the controller action of a table-miss entry is a miss.
            let miss = if self.is_v10() { "action" } else { "no_match" };
            let name = self.tagged(name);
            monitor.says(&name, &format!("{seven} (via action) data_len=20 (unbuffered)"));
            monitor.says(&name, &format!("{zero} (via {miss}) data_len=60 (unbuffered)"));
            let fields =
                "vlan_tci=0x0000,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01,dl_type=0x88b5";
            monitor.says(fields, "");
            monitor.exit();
        }
        self.case(
            "snoop: the connection that would be told what others say stays open, and silent",
        );
        let snoop =
            Monitor::start(self.bench, &mut self.bench.ofctl_command(self.version, "snoop", &[]));
        self.run(&["add-flow", "priority=1,actions=1"]);
        snoop.exit();
    }

    fn liveness(&self) {
        self.case("probe");
        self.run(&["probe"]);
        self.case("ping");
        for size in ["0", "64", "60000"] {
            let text = self.run(&["ping", size]);
            assert_eq!(text.lines().count(), 10, "{text}");
            assert!(!text.contains("differs"), "{text}");
        }
        self.case("benchmark");
        let text = self.run(&["benchmark", "100", "50"]);
        assert!(
            text.contains("Sending 50 packets * 108 bytes") && text.contains("Finished in"),
            "{text}"
        );
    }

    /// The tool fails, its words have `expected` in them, and the rules are as before.
    #[track_caller]
    fn refused(&self, command_and_args: &[&str], expected: &str) {
        match self.bench.try_ofctl(self.version, command_and_args) {
            Ok(said) => self.bench.fail(format!("{command_and_args:?} was taken: {said}")),
            Err(Refused(why)) => assert!(why.contains(expected), "{command_and_args:?}: {why}"),
        }
    }

    fn refusals(&self) {
        self.case("what is refused");
        let flows = ["priority=3,in_port=3 actions=output:1"];
        self.only(&flows);
        let add = |flow: &str, expected: &str| {
            self.refused(&["add-flow", flow], expected);
            self.has_flows(&flows);
        };
        add("actions=group:5", "OFPBAC_BAD_OUT_GROUP");
        add("actions=output:65280", "OFPBAC_BAD_OUT_PORT");
        add("actions=check_pkt_larger(100)->NXM_NX_REG0[0],output:1", "OFPBAC_BAD_TYPE");
        add("ip,actions=ct(commit)", "OFPBAC_BAD_VENDOR_TYPE");
        add("ip,ct_state=+trk,actions=1", "OFPBMC_BAD_FIELD");
        if !self.is_v10() {
            add("actions=meter:1,output:1", "OFPMMFC_INVALID_METER");
            add("table=4,actions=goto_table:255", "goto");
            add("table=4,actions=write_actions(group:1)", "OFPBAC_BAD_OUT_GROUP");
        }
        self.case("the refused request is quoted whole, so the tool can show it");
        let Err(Refused(why)) =
            self.bench.try_ofctl(self.version, &["add-flow", "tcp,priority=5,actions=group:5"])
        else {
            self.bench.fail("taken");
        };
        assert!(why.contains("ADD priority=5,tcp actions=group:5"), "{why}");
        self.refused(&["mod-port", "99", "down"], "99");
        if !self.is_v10() {
            self.refused(&["mod-group", "group_id=1,type=all,bucket=output:1"], "OFPGMFC_");
            self.refused(&["mod-meter", "meter=1,kbps,bands=type=drop,rate=1"], "OFPMMFC_");
        }
        self.has_flows(&flows);
    }

    fn start_monitor(&self, args: &[&str]) -> Monitor {
        Monitor::start(self.bench, &mut self.bench.ofctl_command(self.version, "monitor", args))
    }
}

/// A running `ovs-ofctl monitor` or `snoop`.
struct Monitor {
    process: Spawned,
    control: std::path::PathBuf,
}

impl Monitor {
    /// Starts it, and waits until all that it asks for at the start is in force: then it opens its own
    /// control socket.
    fn start(bench: &Bench, command: &mut Command) -> Self {
        let control = bench.dir().join("monitor");
        let _ = fs::remove_file(&control);
        command.arg(format!("--unixctl={}", control.display()));
        let mut ready = Command::new(command.get_program());
        ready.args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                ready.env(name, value);
            }
        }
        let monitor = Self { process: Spawned::new(ready), control };
        if !bench.wait_until(|| monitor.control.exists()) {
            bench.fail(format!("no monitor: {}", monitor.process.errors().text()));
        }
        monitor
    }

    /// Waits until a line has both parts in it.
    #[track_caller]
    fn says(&self, first: &str, second: &str) {
        let has = |text: &str| {
            text.lines().any(|line| {
                let line = line.replace("xid=0x0", "xid=X");
                line.contains(first) && line.contains(second)
            })
        };
        let said = self.process.errors();
        assert!(
            said.wait_until(WAIT, has),
            "{first} … {second}: {}{}",
            said.text(),
            self.process.output().text()
        );
    }

    fn exit(mut self) {
        let mut command = Command::new(tool::need("ovs-appctl", "openvswitch-common"));
        let status = command.arg("-t").arg(&self.control).arg("exit").output().expect("ovs-appctl");
        assert!(status.status.success(), "{status:?}");
        let status = self.process.wait(WAIT);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
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
