//! The stock `ovs-ofctl`, in every version, against the agent over a real bridge and real sockets.

mod common;

use agent::{Agent, AgentConfig, ConnId};
use common::{DOOR, Stage};
use datapath::LocalDpif;
use ofproto::qos::{QosConfig, QueueSpec, Rate};
use ofproto::{Bridge, BridgeConfig, OfPort};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use sync::time::Nanos;

/// Longest time for what is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
const VERSIONS: [&str; 6] =
    ["OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"];

/// A bridge, its agent, and the sockets of those who talk to it.
struct Switch {
    agent: Agent,
    bridge: Bridge,
    dpif: LocalDpif,
    listener: TcpListener,
    streams: Vec<(ConnId, TcpStream, Vec<u8>)>,
    started: Instant,
    n_accepted: u32,
}

impl Switch {
    fn start() -> Switch {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not wait");
        let config =
            BridgeConfig { fail_mode: ofproto::FailMode::Secure, ..BridgeConfig::default() };
        let Stage { agent, bridge, dpif, .. } = Stage::of(AgentConfig::default(), config, 2);
        Switch {
            agent,
            bridge,
            dpif,
            listener,
            streams: Vec::new(),
            started: Instant::now(),
            n_accepted: 0,
        }
    }

    fn target(&self) -> String {
        format!("tcp:{}", self.listener.local_addr().expect("its address"))
    }

    /// Everybody works once around.
    fn work(&mut self) {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).expect("not that long");
        let now = Nanos::from_secs(1).saturating_add(Nanos(elapsed));
        self.dpif.set_now(now);
        if let Ok((stream, peer)) = self.listener.accept() {
            stream.set_nonblocking(true).expect("a socket that does not wait");
            self.n_accepted += 1;
            let id = ConnId(self.n_accepted);
            assert!(self.agent.accepted(id, peer, DOOR, now));
            self.streams.push((id, stream, Vec::new()));
        }
        let mut ended = Vec::new();
        for (id, stream, unread) in &mut self.streams {
            let mut chunk = [0; 65536];
            match stream.read(&mut chunk) {
                Ok(0) => ended.push(*id),
                Ok(n) => unread.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => ended.push(*id),
            }
            let taken = self.agent.received(*id, unread, now);
            unread.drain(..taken);
        }
        self.agent.poll(now, &mut self.bridge, &mut self.dpif);
        while let Some(upcall) = self.dpif.next_upcall() {
            self.bridge.handle_upcall(upcall, &mut self.dpif, now);
        }
        self.bridge.run(&mut self.dpif, now);
        self.agent.poll(now, &mut self.bridge, &mut self.dpif);
        for (id, stream, _) in &mut self.streams {
            let Some(outbox) = self.agent.output(*id) else { continue };
            if let Ok(n) = stream.write(outbox.pending()) {
                outbox.consume(n);
            }
        }
        for id in ended {
            self.agent.closed(id, now);
            self.streams.retain(|(other, ..)| *other != id);
        }
    }

    /// Starts the tool.
    fn spawn(&self, version: &str, args: &[&str]) -> Child {
        let target = self.target();
        let args = args.iter().map(|arg| arg.replace("BR", &target));
        Command::new("ovs-ofctl")
            .env("OVS_RUNDIR", std::env::temp_dir())
            .args(["-O", version, "--timeout=60"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs")
    }

    /// Runs the tool to its end: what it said, and whether it was content.
    fn run(&mut self, version: &str, args: &[&str]) -> (String, bool) {
        let mut child = self.spawn(version, args);
        let mut out = child.stdout.take().expect("piped");
        let mut problems = child.stderr.take().expect("piped");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).expect("text");
            problems.read_to_string(&mut text).expect("text");
            text
        });
        while child.try_wait().expect("a child").is_none() {
            self.work();
            std::thread::sleep(Duration::from_micros(100));
        }
        let ok = child.wait().expect("a child").success();
        (reader.join().expect("read"), ok)
    }

    /// Works until a tool has said what is `wanted`.
    fn work_until(&mut self, said: &Mutex<Vec<u8>>, wanted: &str) {
        let begun = Instant::now();
        loop {
            let text = String::from_utf8_lossy(&said.lock().expect("not poisoned")).into_owned();
            if text.contains(wanted) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no {wanted:?} in {text}");
            self.work();
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn ok(&mut self, version: &str, args: &[&str]) -> String {
        let (text, ok) = self.run(version, args);
        assert!(ok && !text.contains("ERROR"), "{version} {args:?}: {text}");
        text
    }
}

/// Has what comes by a pipe added to `said`.
fn collect(mut pipe: impl Read + Send + 'static, said: &Arc<Mutex<Vec<u8>>>) {
    let said = said.clone();
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            said.lock().expect("not poisoned").extend_from_slice(&chunk[..n]);
        }
    });
}

fn has_tool() -> bool {
    let has = Command::new("ovs-ofctl").arg("--version").output().is_ok();
    if !has {
        eprintln!("skipped: ovs-ofctl is not installed (package openvswitch-common)");
    }
    has
}

#[test]
fn every_version_reads_and_writes_rules() {
    if !has_tool() {
        return;
    }
    for version in VERSIONS {
        let mut switch = Switch::start();
        switch.ok(
            version,
            &["add-flow", "BR", "priority=7,in_port=1,ip,nw_dst=10.0.0.0/8,actions=2"],
        );
        switch.ok(version, &["add-flow", "BR", "cookie=5,table=3,tcp,tp_dst=80,actions=drop"]);
        let dump = switch.ok(version, &["dump-flows", "BR"]);
        assert!(
            dump.contains("priority=7,ip,in_port=1,nw_dst=10.0.0.0/8 actions=output:2"),
            "{dump}"
        );
        assert!(dump.contains("table=3") && dump.contains("tp_dst=80 actions=drop"), "{dump}");
        let sum = switch.ok(version, &["dump-aggregate", "BR"]);
        assert!(sum.contains("flow_count=2"), "{version}: {sum}");
        switch.ok(
            version,
            &["--strict", "mod-flows", "BR", "priority=7,in_port=1,ip,nw_dst=10.0.0.0/8,actions=1"],
        );
        assert!(switch.ok(version, &["dump-flows", "BR", "table=0"]).contains("actions=output:1"));
        // What a modify that finds nothing does changed with 1.2.
        switch.ok(version, &["mod-flows", "BR", "table=0,udp,actions=2"]);
        let has_added = switch.ok(version, &["dump-flows", "BR"]).contains("udp");
        assert_eq!(has_added, matches!(version, "OpenFlow10" | "OpenFlow11"), "{version}");
        switch.ok(version, &["del-flows", "BR", "table=3,tcp"]);
        let left = switch.ok(version, &["dump-flows", "BR"]);
        assert!(!left.contains("tcp"), "{version}: {left}");
        let (refused, _) = switch.run(version, &["add-flow", "BR", "actions=group:999"]);
        assert!(refused.contains("OFPBAC_BAD_OUT_GROUP"), "{version}: {refused}");
    }
}

#[test]
fn every_version_describes_the_switch() {
    if !has_tool() {
        return;
    }
    for version in VERSIONS {
        let mut switch = Switch::start();
        let show = switch.ok(version, &["show", "BR"]);
        assert!(show.contains("1(p1): addr:02:00:00:00:00:01"), "{version}: {show}");
        let tables = switch.ok(version, &["dump-tables", "BR"]);
        assert!(tables.contains("table 0"), "{version}: {tables}");
        let ports = switch.ok(version, &["dump-ports", "BR"]);
        assert!(ports.contains("rx pkts=0"), "{version}: {ports}");
        switch.ok(version, &["dump-ports-desc", "BR"]);
        switch.ok(version, &["queue-stats", "BR"]);
        switch.ok(version, &["dump-desc", "BR"]);
        switch.ok(version, &["mod-port", "BR", "1", "no-forward"]);
        assert!(switch.ok(version, &["show", "BR"]).contains("NO_FWD"), "{version}");
        switch.ok(
            version,
            &[
                "packet-out",
                "BR",
                "in_port=controller packet=ffffffffffff02000000000108060001 actions=1",
            ],
        );
        switch.ok(version, &["get-frags", "BR"]);
        if version >= "OpenFlow13" {
            switch.ok(version, &["dump-table-features", "BR"]);
        }
        if version >= "OpenFlow14" {
            assert!(
                switch.ok(version, &["dump-table-desc", "BR"]).contains("table 254"),
                "{version}"
            );
        }
    }
}

#[test]
fn importance_is_kept_and_shown() {
    if !has_tool() {
        return;
    }
    for version in ["OpenFlow14", "OpenFlow15"] {
        let mut switch = Switch::start();
        switch.ok(version, &["add-flow", "BR", "importance=17,actions=2"]);
        assert!(switch.ok(version, &["dump-flows", "BR"]).contains("importance=17"), "{version}");
    }
}

#[test]
fn bundles_are_carried_out_whole_or_not_at_all() {
    if !has_tool() {
        return;
    }
    let file = |name: &str, lines: &[String]| {
        let path = std::env::temp_dir().join(format!("uniswitch-{}-{name}", std::process::id()));
        std::fs::write(&path, lines.join("\n")).expect("a temporary file");
        path
    };
    let rules =
        |n: u32| (0..n).map(|k| format!("priority=1,reg0={k},actions=2")).collect::<Vec<_>>();
    let good = file("good", &rules(3000));
    let mut lines = rules(20);
    lines.push("priority=1,reg0=77,table=3,actions=group:9".into());
    let bad = file("bad", &lines);
    for version in ["OpenFlow13", "OpenFlow14", "OpenFlow15"] {
        let mut switch = Switch::start();
        let (text, ok) =
            switch.run(version, &["--bundle", "add-flows", "BR", bad.to_str().expect("a path")]);
        assert!(!ok || text.contains("Error"), "{version}: {text}");
        let sum = switch.ok(version, &["dump-aggregate", "BR"]);
        assert!(sum.contains("flow_count=0"), "{version}: nothing is left: {sum}");
        switch.ok(version, &["--bundle", "add-flows", "BR", good.to_str().expect("a path")]);
        let sum = switch.ok(version, &["dump-aggregate", "BR"]);
        assert!(sum.contains("flow_count=3000"), "{version}: {sum}");
        // All but one go and one changes, in one bundle.
        let one = file("one", &["priority=1,reg0=5,actions=1".into()]);
        switch.ok(version, &["--bundle", "replace-flows", "BR", one.to_str().expect("a path")]);
        let dump = switch.ok(version, &["dump-flows", "BR"]);
        assert!(dump.contains("reg0=0x5 actions=output:1"), "{version}: {dump}");
        assert!(switch.ok(version, &["dump-aggregate", "BR"]).contains("flow_count=1"));
        let _ = std::fs::remove_file(one);
    }
    let _ = (std::fs::remove_file(good), std::fs::remove_file(bad));
}

#[test]
fn groups_are_bundled_with_the_rules_that_use_them() {
    if !has_tool() {
        return;
    }
    let path = |name: &str, text: &str| {
        let path = std::env::temp_dir().join(format!("uniswitch-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a temporary file");
        path.to_str().expect("a path").to_owned()
    };
    let groups = path("groups", "group_id=1,type=indirect,bucket=actions=2\ngroup_id=2,type=all\n");
    let mixed = "group add group_id=3,type=select,bucket=weight=1,actions=1\n\
                 flow add priority=5,in_port=1,actions=group:3\n\
                 group insert_bucket group_id=3,command_bucket_id=last,bucket=bucket_id:9,actions=2\n\
                 group modify group_id=1,type=indirect,bucket=actions=1\n\
                 packet-out in_port=controller packet=ffffffffffff02000000000108060001 actions=1\n";
    let good = path("mixed", mixed);
    let bad = path("mixed-bad", &format!("group delete group_id=1\n{mixed}"));
    for version in ["OpenFlow13", "OpenFlow14", "OpenFlow15"] {
        let mut switch = Switch::start();
        switch.ok(version, &["--bundle", "add-groups", "BR", &groups]);
        assert!(switch.ok(version, &["dump-groups", "BR"]).contains("group_id=2,type=all"));
        let (text, _) = switch.run(version, &["bundle", "BR", &bad]);
        if version == "OpenFlow15" {
            assert!(text.contains("OFPGMFC_UNKNOWN_GROUP"), "{version}: {text}");
            assert!(switch.ok(version, &["dump-aggregate", "BR"]).contains("flow_count=0"));
            assert!(!switch.ok(version, &["dump-groups", "BR"]).contains("group_id=3"));
            switch.ok(version, &["bundle", "BR", &good]);
            let groups = switch.ok(version, &["dump-groups", "BR"]);
            assert!(groups.contains("bucket=bucket_id:9,"), "{version}: {groups}");
            assert!(switch.ok(version, &["dump-flows", "BR"]).contains("actions=group:3"));
        }
    }
    for path in [groups, good, bad] {
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn a_monitor_is_told_of_each_change() {
    if !has_tool() {
        return;
    }
    for version in VERSIONS {
        let mut switch = Switch::start();
        switch.ok(version, &["add-flow", "BR", "priority=1,in_port=1,actions=2"]);
        let mut monitor = switch.spawn(version, &["monitor", "BR", "watch:"]);
        let said = Arc::new(Mutex::new(Vec::new()));
        // What it was told it prints on one of the two.
        let (out, problems) = (monitor.stdout.take(), monitor.stderr.take());
        collect(out.expect("piped"), &said);
        collect(problems.expect("piped"), &said);
        let initial = if version >= "OpenFlow14" { "event=INITIAL" } else { "event=ADDED" };
        let first = format!("{initial} table=0 cookie=0 in_port=1 actions=output:2");
        switch.work_until(&said, &first);
        switch.ok(version, &["add-flow", "BR", "priority=2,in_port=2,actions=1"]);
        switch.ok(version, &["--strict", "mod-flows", "BR", "priority=2,in_port=2,actions=drop"]);
        switch.ok(version, &["del-flows", "BR", "in_port=1"]);
        for wanted in [
            "event=ADDED table=0 cookie=0 in_port=2 actions=output:1",
            "event=MODIFIED table=0 cookie=0 in_port=2",
            "event=DELETED reason=delete table=0 cookie=0 in_port=1",
        ] {
            switch.work_until(&said, wanted);
        }
        monitor.kill().expect("a child");
        let _ = monitor.wait();
    }
}

/// The map of options, and fields that are there while they are mapped.
#[test]
fn options_of_tunnels_are_mapped() {
    if !has_tool() {
        return;
    }
    // What the fixed match of 1.1 cannot say the tool does not send.
    for version in VERSIONS.into_iter().filter(|version| *version != "OpenFlow11") {
        let mut switch = Switch::start();
        let unmapped = ["add-flow", "BR", "actions=set_field:0x5->tun_metadata1,1"];
        let (refused, _) = switch.run(version, &unmapped);
        assert!(refused.contains("NXFMFC_INVALID_TLV_FIELD"), "{version}: {refused}");
        let map = "{class=0xffff,type=7,len=4}->tun_metadata1";
        switch.ok(version, &["add-tlv-map", "BR", map]);
        let table = switch.ok(version, &["dump-tlv-map", "BR"]);
        assert!(table.contains("max option space=8 max fields=2"), "{version}: {table}");
        assert!(table.contains("tun_metadata1"), "{version}: {table}");

        switch.ok(version, &["add-flow", "BR", "tun_metadata1=0x1234,actions=2"]);
        switch.ok(version, &unmapped);
        let dump = switch.ok(version, &["dump-flows", "BR"]);
        assert!(dump.contains("tun_metadata1=0x1234 actions=output:2"), "{version}: {dump}");
        assert!(dump.contains("set_field:0x5->tun_metadata1"), "{version}: {dump}");
        for (args, error) in [
            (["del-tlv-map", "BR", map], "NXTTMFC_INVALID_TLV_DEL"),
            (["add-tlv-map", "BR", map], "NXTTMFC_ALREADY_MAPPED"),
            (
                ["add-tlv-map", "BR", "{class=0xffff,type=7,len=4}->tun_metadata0"],
                "NXTTMFC_DUP_ENTRY",
            ),
            (
                ["add-tlv-map", "BR", "{class=0xffff,type=8,len=8}->tun_metadata0"],
                "NXTTMFC_TABLE_FULL",
            ),
            (
                ["add-tlv-map", "BR", "{class=0xffff,type=8,len=4}->tun_metadata2"],
                "NXTTMFC_BAD_FIELD_IDX",
            ),
        ] {
            let (refused, _) = switch.run(version, &args);
            assert!(refused.contains(error), "{version} {args:?}: {refused}");
        }
        switch.ok(version, &["del-flows", "BR"]);
        switch.ok(version, &["del-tlv-map", "BR", map]);
    }
}

/// What the tool sends comes back as it says it itself.
#[test]
fn actions_on_packets_come_back() {
    if !has_tool() {
        return;
    }
    for version in VERSIONS {
        let mut switch = Switch::start();
        for actions in [
            "check_pkt_larger(1500)->NXM_NX_REG0[3],output:2",
            "sample(probability=9,collector_set_id=1,obs_domain_id=2,obs_point_id=3),output:2",
            "sample(probability=9,collector_set_id=1,obs_domain_id=2,obs_point_id=3,sampling_port=1,egress),output:2",
            "output(port=2,max_len=64)",
            "note:01.02.03.04.05.06,output:2",
        ] {
            switch.ok(version, &["add-flow", "BR", &format!("priority=9,actions={actions}")]);
            let dump = switch.ok(version, &["dump-flows", "BR"]);
            assert!(dump.contains(&format!("actions={actions}")), "{version} {actions}: {dump}");
        }
        for (actions, error) in [
            ("ip,actions=ct(commit),2", "NXBAC_CT_DATAPATH_SUPPORT"),
            ("ip,actions=ct_clear,2", "NXBAC_CT_DATAPATH_SUPPORT"),
        ] {
            let (refused, _) = switch.run(version, &["add-flow", "BR", actions]);
            assert!(refused.contains(error), "{version} {actions}: {refused}");
        }
    }
}

#[test]
fn tables_get_names_and_queues_are_told() {
    if !has_tool() {
        return;
    }
    for version in ["OpenFlow13", "OpenFlow14", "OpenFlow15"] {
        let mut switch = Switch::start();
        switch.ok(version, &["mod-table", "BR", "3", "name:acl"]);
        let (text, _) = switch.run(version, &["dump-table-features", "BR"]);
        assert!(text.contains("table 3 (\"acl\")"), "{version}: {text}");
        switch.ok(version, &["add-flow", "BR", "table=acl,priority=7,actions=drop"]);
        let (text, _) = switch.run(version, &["dump-flows", "BR", "table=3"]);
        assert!(text.contains("priority=7"), "{version}: {text}");
        let (text, _) = switch.run(version, &["--names", "dump-flows", "BR"]);
        assert!(text.contains("table=acl"), "{version}: {text}");
    }
    let mut switch = Switch::start();
    let slow = Rate { bytes_per_s: 125_000, burst_bytes: 3000 };
    let queue = QueueSpec { min_rate_bps: Some(1_000_000), max: Some(slow) };
    let config = QosConfig { total: None, queues: [(5, queue)].into() };
    let Switch { bridge, dpif, .. } = &mut switch;
    bridge.set_qos(OfPort(2), &config, dpif, Nanos::from_secs(1)).expect("meters are free");
    for version in VERSIONS {
        let (text, is_ok) = switch.run(version, &["queue-stats", "BR"]);
        assert!(is_ok && text.contains("port 2 queue 5: bytes=0, pkts=0, errors=0"), "{text}");
        let (text, is_ok) = switch.run(version, &["queue-get-config", "BR", "2"]);
        assert!(is_ok && text.contains("5") && text.contains("rate"), "{version}: {text}");
        let (text, _) = switch.run(version, &["queue-stats", "BR", "2", "4"]);
        assert!(text.contains("OFPQOFC_BAD_QUEUE"), "{version}: {text}");
        for command in ["dump-ipfix-bridge", "dump-ipfix-flow"] {
            let (text, _) = switch.run(version, &[command, "BR"]);
            assert!(text.contains("NXST_NOT_CONFIGURED"), "{version}: {text}");
        }
    }
}

#[test]
fn the_ingress_port_is_written_as_the_tool_reads_it() {
    if !has_tool() {
        return;
    }
    for version in VERSIONS {
        let mut switch = Switch::start();
        switch.ok(version, &["add-flow", "BR", "ip,actions=load:1->NXM_OF_IN_PORT[],output:2"]);
        let (text, _) = switch.run(version, &["dump-flows", "BR"]);
        assert!(text.contains("1->NXM_OF_IN_PORT[]") || text.contains("in_port"), "{text}");
        assert!(!text.contains("error") && text.contains("output:2"), "{version}: {text}");
    }
}
