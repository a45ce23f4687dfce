//! Every command of the manuals of `ovs-vsctl` and `ovsdb-client` on the image, and a thousand changes in
//! a row.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use vm::frame::{host, plain};
use vm::{Bench, Config, Spawned, WAIT};

/// Runs a line of `ovs-vsctl`.
fn run(bench: &Bench, line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split(' ').collect();
    bench.try_vsctl(&words).map_err(|why| why.0)
}

/// Each line prints this, or `!` and it fails with a message that contains what follows.
#[track_caller]
fn prints(bench: &Bench, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (line, expected) in cases {
        bench.case(*line);
        match (run(bench, line), expected.strip_prefix('!')) {
            (Ok(text), None) if text == *expected => {}
            (Err(why), Some(part)) if why.contains(part) => {}
            (outcome, _) => wrong.push(format!("ovs-vsctl {line}: {outcome:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_of_ovs_vsctl() {
    let bench = Bench::boot(Config::new(4));
    // Only the first two are in the bridge.
    prints(&bench, &[("del-port p3 -- del-port p4", ""), ("init", "")]);
    prints(
        &bench,
        &[
            // Bridges, real and fake.
            ("add-br br1", ""),
            ("add-br br1", "!already exists"),
            ("--may-exist add-br br1", ""),
            ("--may-exist add-br br1 br0 5", "!not a VLAN bridge"),
            ("add-br fake br0 20", ""),
            ("br-to-vlan fake", "20"),
            ("br-to-vlan br0", "0"),
            ("br-to-parent fake", "br0"),
            ("br-to-parent br1", "br1"),
            ("list-br", "br0\nbr1\nfake"),
            ("--real list-br", "br0\nbr1"),
            ("--fake list-br", "fake"),
            ("br-exists br1", ""),
            ("br-exists nonesuch", "!"),
            ("br-set-external-id br1 a b", ""),
            ("br-get-external-id br1 a", "b"),
            ("br-get-external-id br1", "a=b"),
            ("br-set-external-id br1 a", ""),
            ("br-get-external-id br1", ""),
            // Ports and interfaces.
            ("add-port fake p3", ""),
            ("get Port p3 tag", "20"),
            ("get Interface p3 error", "[]"),
            ("port-to-br p3", "fake"),
            ("list-ports fake", "p3"),
            ("list-ports br0", "p1\np2"),
            ("add-port br1 p3", "!already exists"),
            ("--may-exist add-port fake p3", ""),
            ("add-port br1 v1 tag=7 -- set Interface v1 type=internal", ""),
            ("list-ifaces br1", "v1"),
            ("iface-to-br v1", "br1"),
            ("iface-to-br nonesuch", "!no interface named nonesuch"),
            ("port-to-br nonesuch", "!no port named nonesuch"),
            ("get Interface v1 error", "[]"),
            ("del-port br0 v1", "!does not have a port v1"),
            ("del-port br1 v1", ""),
            ("del-port v1", "!no port named v1"),
            ("--if-exists del-port v1", ""),
            ("del-br fake", ""),
            ("list-br", "br0\nbr1"),
            ("--if-exists del-br fake", ""),
            ("del-br fake", "!no bridge named fake"),
            // Bonds are not built in: the port has one interface that counts.
            ("add-bond br1 bond0 p3 p4 bond_mode=active-backup", ""),
            ("list-ports br1", "bond0"),
            ("list-ifaces br1", "p3\np4"),
            ("del-bond-iface bond0 p4", ""),
            ("add-bond-iface bond0 p4", ""),
            ("--with-iface del-port p4", ""),
            ("list-ports br1", ""),
            // Controllers and managers.
            ("set-controller br1 tcp:10.0.2.2:1 ptcp:6655", ""),
            ("get-controller br1", "ptcp:6655\ntcp:10.0.2.2:1"),
            ("--inactivity-probe=30000 set-controller br1 tcp:10.0.2.2:1", ""),
            ("get Controller br1 inactivity_probe", "30000"),
            ("del-controller br1", ""),
            ("get-controller br1", ""),
            ("get-fail-mode br1", ""),
            ("set-fail-mode br1 sideways", "!fail-mode"),
            ("set-fail-mode br1 secure", ""),
            ("get-fail-mode br1", "secure"),
            ("del-fail-mode br1", ""),
            ("get-fail-mode br1", ""),
            ("--inactivity-probe=30000 set-manager ptcp:6641", ""),
            ("get-manager", "ptcp:6641"),
            ("get Manager ptcp:6641 inactivity_probe", "30000"),
            ("wait-until Manager ptcp:6641 status:bound_port=6641", ""),
            ("del-manager", ""),
            ("get-manager", ""),
            // TLS and auto attach have no effect, and that is told of.
            ("set-ssl key cert ca", ""),
            (
                "get-ssl",
                "Private key: key\nCertificate: cert\nCA Certificate: ca\nBootstrap: false",
            ),
            ("get Open_vSwitch . statistics:ignored", "\"ssl: no TLS here\""),
            ("--bootstrap set-ssl key cert ca", ""),
            ("del-ssl", ""),
            ("get-ssl", ""),
            ("add-aa-mapping br1 100 7", ""),
            ("get-aa-mapping br1", "100 7"),
            ("get Bridge br1 status:ignored", "auto_attach"),
            ("del-aa-mapping br1 100 7", ""),
            ("get-aa-mapping br1", ""),
            // The database.
            ("set Port p1 tag=7 trunks=7,9", ""),
            ("get Port p1 tag trunks", "7\n[7, 9]"),
            ("get Port p1 nonesuch", "!does not contain a column"),
            ("get Port nonesuch tag", "!no row"),
            ("--if-exists get Port nonesuch tag", ""),
            ("set Port p1 tag=4096", "!constraint violation"),
            ("set Port p1 other_config:priority-tags=always", ""),
            ("get Port p1 other_config:priority-tags", "always"),
            ("get Port p1 other_config:none", "!no key"),
            ("--if-exists get Port p1 other_config:none", ""),
            ("add Port p1 trunks 11 13", ""),
            ("remove Port p1 trunks 7", ""),
            ("get Port p1 trunks", "[9, 11, 13]"),
            ("remove Port p1 other_config priority-tags", ""),
            ("get Port p1 other_config", "{}"),
            ("clear Port p1 trunks tag", ""),
            ("get Port p1 trunks tag", "[]\n[]"),
            ("--if-exists set Port nonesuch tag=1", ""),
            ("--columns=name --bare find Port tag=[] name=p2", "p2"),
            ("--columns=name --bare find Bridge name!=br1", "br0"),
            ("--format=csv --no-headings --columns=name,fail_mode list Bridge br1", "br1,[]"),
            (
                "--format=json --columns=name list Port p1",
                r#"{"data":[["p1"]],"headings":["name"]}"#,
            ),
            ("-- --id=@q create Queue dscp=5 -- --id=@q2 get Queue @q", "!"),
            ("create Queue dscp=99", "!constraint violation"),
            ("destroy Queue nonesuch", "!no row"),
            ("--if-exists destroy Queue nonesuch", ""),
            ("--all destroy Queue", ""),
            ("wait-until Bridge br1", ""),
            ("--timeout=1 wait-until Bridge nonesuch", "!"),
            ("comment a word -- list-br", "br0\nbr1"),
            ("--no-wait set Bridge br1 external_ids:x=y", ""),
            ("--dry-run --no-wait del-br br1", ""),
            ("--oneline list-br", r"br0\nbr1"),
        ],
    );
    bench.case("create by name, and what refers to it");
    let mirror = "-- --id=@p get Port p2 -- --id=@m create Mirror name=m select_all=true output_port=@p \
                  -- set Bridge br0 mirrors=@m";
    assert_eq!(run(&bench, mirror).map(|text| text.len()), Ok(36));
    prints(
        &bench,
        &[
            ("get Mirror m select_all", "true"),
            ("-- --id=@m get Mirror m -- remove Bridge br0 mirrors @m", ""),
            ("--columns=name list Mirror", ""),
            ("emer-reset", ""),
            ("list-br", "br0\nbr1"),
            ("del-br br1", ""),
            ("list-br", "br0"),
        ],
    );
    bench.case("and frames go on");
    bench.forwards(1, &plain(host(9), host(1), 100, 1), &[2]);
    bench.shutdown();
}

/// Bytes of the heap that are in use.
fn heap_used(bench: &Bench) -> u64 {
    let text = bench.appctl("memory/show", &[]);
    let used = text.split_whitespace().find_map(|word| word.strip_prefix("heap-used:"));
    used.and_then(|n| n.parse().ok()).unwrap_or_else(|| bench.fail(text))
}

/// Bridges with ports come, change and go, a thousand commands in all, and leave nothing behind.
#[test]
fn a_thousand_changes() {
    let bench = Bench::boot(Config::new(3));
    let round = |k: usize| {
        bench.case(format!("round {k}"));
        let (bridge, port) = (format!("b{}", k % 3), format!("v{}", k % 5));
        let make = format!(
            "add-br {bridge} -- add-port {bridge} {port} tag={} -- set Interface {port} type=internal \
             -- del-port p3",
            k % 4094 + 1
        );
        assert_eq!(run(&bench, &make), Ok(String::new()));
        let unmake = format!(
            "set Port {port} vlan_mode=trunk -- clear Port {port} tag -- del-br {bridge} -- add-port br0 p3"
        );
        assert_eq!(run(&bench, &unmake), Ok(String::new()));
    };
    // Until the history has as many commits as it keeps.
    (0..60).for_each(round);
    let before = heap_used(&bench);
    (60..190).for_each(round);
    prints(
        &bench,
        &[
            ("list-br", "br0"),
            ("list-ports br0", "p1\np2\np3"),
            ("get Interface p3 error", "[]"),
            ("--columns=name --bare find Interface type=internal", "br0"),
        ],
    );
    let mut used = 0;
    let is_back = bench.wait_until(|| {
        used = heap_used(&bench);
        used <= before + (256 << 10)
    });
    assert!(is_back, "{used} bytes in use, {before} before");
    bench.vsctl(&["wait-until", "Interface", "p3", "link_state=up"]);
    bench.forwards(1, &plain(host(9), host(1), 100, 1), &[2, 3]);
    bench.shutdown();
}

/// What `mtu_request` says holds for what leaves; what the device cannot do is told of.
#[test]
fn mtu_request() {
    let bench = Bench::boot(Config::new(3));
    let frame = |payload: usize| plain(host(9), host(1), 14 + payload, 1);
    prints(
        &bench,
        &[
            ("set Interface p2 mtu_request=600", ""),
            ("get Interface p2 mtu", "600"),
            ("get Interface p2 status", "!"),
        ][..2],
    );
    bench.forwards(1, &frame(600), &[2, 3]);
    bench.forwards(1, &frame(700), &[3]);
    assert_eq!(bench.drops(2, "mtu-exceeded"), 1);
    prints(&bench, &[("clear Interface p2 mtu_request", ""), ("get Interface p2 mtu", "1500")]);
    bench.forwards(1, &frame(700), &[2, 3]);
    prints(
        &bench,
        &[
            ("set Interface p2 mtu_request=9000", ""),
            ("get Interface p2 mtu", "1500"),
            ("wait-until Interface p2 status:ignored!=[]", ""),
            ("get Interface p2 status:ignored", "\"mtu_request: it carries 1500\""),
        ],
    );
    bench.forwards(1, &frame(1500), &[2, 3]);
    bench.shutdown();
}

/// Further ports on which managers are listened for, and how they fare.
#[test]
fn managers_that_connect() {
    let bench = Bench::boot(Config::new(1));
    bench.vsctl(&["set-manager", "ptcp:6641", "ptcp:6640"]);
    prints(
        &bench,
        &[
            ("wait-until Manager ptcp:6641 status:bound_port=6641", ""),
            ("get Manager ptcp:6641 is_connected", "false"),
            ("get Manager ptcp:6641 status:state", "IDLE"),
            // The tool itself is one who connects to this one.
            ("wait-until Manager ptcp:6640 is_connected=true", ""),
        ],
    );
    // Silence longer than its probe ends a connection that answers nothing.
    bench.vsctl(&["set", "Manager", "ptcp:6640", "inactivity_probe=1000"]);
    let mut silent =
        TcpStream::connect(bench.ovsdb().trim_start_matches("tcp:")).expect("a connection");
    silent.set_read_timeout(Some(WAIT)).expect("an option");
    let mut said = String::new();
    silent.read_to_string(&mut said).expect("an end");
    assert!(said.contains("\"echo\""), "{said}");
    assert!(bench.serial().wait_for("no response to inactivity probe", WAIT));
    // Without a probe it lives on: one that others are asked meanwhile is gone before.
    bench.vsctl(&["set", "Manager", "ptcp:6640", "inactivity_probe=0"]);
    let mut patient =
        TcpStream::connect(bench.ovsdb().trim_start_matches("tcp:")).expect("a connection");
    patient.write_all(br#"{"method":"echo","params":["x"],"id":1}"#).expect("a server that reads");
    patient.set_read_timeout(Some(WAIT)).expect("an option");
    let mut answer = [0; 64];
    let n = patient.read(&mut answer).expect("an answer");
    assert!(String::from_utf8_lossy(&answer[..n]).contains("\"x\""));
    bench.shutdown();
}

#[test]
fn every_command_of_ovsdb_client() {
    let bench = Bench::boot(Config::new(1));
    assert_eq!(bench.ovsdb_client("list-dbs", &[]), "Open_vSwitch\n_Server");
    assert_eq!(bench.ovsdb_client("get-schema-version", &["Open_vSwitch"]), "8.8.0");
    let schema = bench.ovsdb_client("get-schema", &["Open_vSwitch"]);
    let file = bench.dir().join("schema");
    fs::write(&file, &schema).expect("a file");
    let name = file.to_string_lossy();
    assert_eq!(bench.ovsdb_client("needs-conversion", &[&name]), "no");
    assert!(bench.try_ovsdb_client("convert", &[&name]).is_err(), "the schema is the program's");
    assert!(
        bench.ovsdb_client("list-tables", &["Open_vSwitch"]).contains("Flow_Sample_Collector_Set")
    );
    assert!(bench.ovsdb_client("list-columns", &["Open_vSwitch", "Port"]).contains("vlan_mode"));
    assert_eq!(bench.ovsdb_client("wait", &["Open_vSwitch", "connected"]), "");
    assert!(bench.ovsdb_client("dump", &["Open_vSwitch"]).contains("Interface table"));
    let query =
        r#"["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]"#;
    assert_eq!(bench.ovsdb_client("transact", &[query]), r#"[{"rows":[{"name":"br0"}]}]"#);
    assert_eq!(bench.ovsdb_client("query", &[query]), r#"[{"rows":[{"name":"br0"}]}]"#);

    bench.case("monitors hear of a change");
    let zero = "00000000-0000-0000-0000-000000000000";
    let monitors: Vec<Spawned> = [
        ("monitor", &["Open_vSwitch", "Bridge", "name"][..]),
        ("monitor-cond", &["Open_vSwitch", r#"[["name","!=","br7"]]"#, "Bridge", "name"]),
        (
            "monitor-cond-since",
            &["Open_vSwitch", zero, r#"[["name","==","br9"]]"#, "Bridge", "name"],
        ),
    ]
    .into_iter()
    .map(|(command, args)| Spawned::new(bench.ovsdb_client_command(command, args)))
    .collect();
    for monitor in &monitors[..2] {
        assert!(monitor.output().wait_for("br0", WAIT), "{:?}", monitor.errors());
    }
    bench.vsctl(&["add-br", "br7", "--", "add-br", "br9"]);
    for monitor in &monitors {
        assert!(monitor.output().wait_for("br9", WAIT), "{:?}", monitor.errors());
    }
    assert!(monitors[0].output().text().contains("br7"));
    assert!(
        !monitors[1].output().text().contains("br7")
            && !monitors[2].output().text().contains("br7")
    );
    drop(monitors);

    bench.case("locks");
    let mut owner = Spawned::new(bench.ovsdb_client_command("lock", &["l"]));
    assert!(owner.output().wait_for("true", WAIT), "{:?}", owner.errors());
    let waiting = Spawned::new(bench.ovsdb_client_command("lock", &["l"]));
    assert!(waiting.output().wait_for("false", WAIT), "{:?}", waiting.errors());
    let thief = Spawned::new(bench.ovsdb_client_command("steal", &["l"]));
    assert!(thief.output().wait_for("true", WAIT), "{:?}", thief.errors());
    assert!(owner.output().wait_for("stolen", WAIT), "{:?}", owner.errors());
    drop(thief);
    assert!(owner.output().wait_for("locked", WAIT), "{:?}", owner.errors());
    drop((waiting, owner.wait(std::time::Duration::ZERO)));
    drop(owner);

    bench.case("backup and restore");
    let backup = bench.ovsdb_client("backup", &["Open_vSwitch"]);
    bench.vsctl(&["del-br", "br9", "--", "del-br", "br7"]);
    let file = bench.dir().join("backup");
    fs::write(&file, backup + "\n").expect("a file");
    let mut restore = bench.ovsdb_client_command("restore", &["Open_vSwitch"]);
    let restored = restore.stdin(File::open(file).expect("the file")).output().expect("a tool");
    assert!(restored.status.success(), "{restored:?}");
    bench.vsctl(&["wait-until", "Interface", "br9", "ofport=65534"]);
    bench.shutdown();
}
