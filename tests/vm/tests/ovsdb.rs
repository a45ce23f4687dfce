//! The configuration database in the image, by the stock tools.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use vm::frame::{host, plain};
use vm::{Bench, Config, Spawned, WAIT};

/// What `ovs-vsctl get` prints.
#[track_caller]
fn get(bench: &Bench, table: &str, record: &str, column: &str) -> String {
    bench.vsctl(&["get", table, record, column])
}

/// Runs commands that print these texts.
#[track_caller]
fn prints(bench: &Bench, cases: &[(&str, &str)]) {
    for (command, expected) in cases {
        bench.case(*command);
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(bench.vsctl(&words), *expected, "ovs-vsctl {command}");
    }
}

#[test]
fn the_seed_stands_in_the_database() {
    let bench = Bench::boot(Config::new(2));
    prints(
        &bench,
        &[
            ("list-br", "br0"),
            ("list-ports br0", "p1\np2"),
            ("wait-until Interface p2 link_state=up", ""),
            ("get Interface p1 ofport", "1"),
            ("get Interface br0 ofport", "65534"),
            ("get Interface p1 link_state", "up"),
            ("get Interface p1 admin_state", "up"),
            ("get Interface p1 mtu", "1500"),
            ("get Interface p1 mac_in_use", "\"52:54:00:00:00:01\""),
            ("get Interface p1 error", "[]"),
            ("get Open_vSwitch . statistics", "{database=\"in memory\"}"),
            ("get Open_vSwitch . db_version", "\"8.8.0\""),
            ("get Open_vSwitch . system_type", "uniswitch"),
        ],
    );
    let show = bench.vsctl(&["show"]);
    for expected in ["Bridge br0", "Port p1", "Interface p2", "type: internal", "ovs_version:"] {
        assert!(show.contains(expected), "{show}");
    }
    bench.shutdown();
}

#[test]
fn ovs_vsctl() {
    let bench = Bench::boot(Config::new(3));
    prints(
        &bench,
        &[
            ("del-port p3", ""),
            ("list-ports br0", "p1\np2"),
            ("--may-exist add-br br1", ""),
            ("--may-exist add-br br1", ""),
            ("add-port br1 p3", ""),
            ("list-br", "br0\nbr1"),
            ("port-to-br p3", "br1"),
            ("get Interface p3 ofport", "1"),
            ("get Interface p3 error", "[]"),
            ("set Port p1 tag=7", ""),
            ("get Port p1 tag", "7"),
            ("clear Port p1 tag", ""),
            ("get Port p1 tag", "[]"),
            ("set-fail-mode br1 secure", ""),
            ("get-fail-mode br1", "secure"),
            ("del-fail-mode br1", ""),
            ("set-controller br1 tcp:10.0.2.2:1", ""),
            ("get-controller br1", "tcp:10.0.2.2:1"),
            ("get Controller br1 is_connected", "false"),
            ("del-controller br1", ""),
            ("set Bridge br1 other-config:datapath-id=00000000000000ab", ""),
            ("wait-until Bridge br1 datapath_id=00000000000000ab", ""),
            ("br-set-external-id br1 a b", ""),
            ("br-get-external-id br1 a", "b"),
            ("set Interface p3 ofport_request=9", ""),
            ("wait-until Interface p3 ofport=9", ""),
            ("--columns=name --bare find Bridge name=br1 fail_mode=[]", "br1"),
            ("--if-exists del-br none", ""),
            ("set Open_vSwitch . other_config:max-idle=20000", ""),
            ("get Open_vSwitch . other_config:max-idle", "\"20000\""),
            ("del-br br1", ""),
            ("list-br", "br0"),
            ("add-port br0 p3 -- set Interface p3 ofport_request=5", ""),
            ("get Interface p3 ofport", "5"),
            ("emer-reset", ""),
            ("list-br", "br0"),
        ],
    );
    bench.case("a mirror by name");
    let mirror = "-- --id=@p get Port p1 -- --id=@m create Mirror name=m select_all=true output_port=@p \
                  -- set Bridge br0 mirrors=@m";
    let uuid = bench.vsctl(&mirror.split(' ').collect::<Vec<_>>());
    assert_eq!(uuid.lines().next().map(str::len), Some(36), "{uuid}");
    bench.case("what is not there is told of");
    bench.vsctl(&["--no-wait", "add-port", "br0", "nonesuch"]);
    bench.vsctl(&["wait-until", "Interface", "nonesuch", "ofport=-1"]);
    assert!(!get(&bench, "Interface", "nonesuch", "error").is_empty());
    bench.vsctl(&["set", "Bridge", "br0", "stp_enable=true"]);
    assert!(get(&bench, "Bridge", "br0", "status").contains("stp_enable"));
    bench.vsctl(&["set", "Open_vSwitch", ".", "other_config:nonsense=1"]);
    assert!(get(&bench, "Open_vSwitch", ".", "statistics").contains("nonsense"));
    bench.case("wrong commands are refused");
    for wrong in
        [&["add-br", "br0"][..], &["set", "Port", "p1", "tag=4096"], &["get", "Port", "x", "tag"]]
    {
        assert!(bench.try_vsctl(wrong).is_err(), "{wrong:?}");
    }
    bench.shutdown();
}

#[test]
fn ovsdb_client() {
    let bench = Bench::boot(Config::new(2));
    assert_eq!(bench.ovsdb_client("list-dbs", &[]), "Open_vSwitch\n_Server");
    assert_eq!(bench.ovsdb_client("get-schema-version", &["Open_vSwitch"]), "8.8.0");
    assert!(bench.ovsdb_client("dump", &["Open_vSwitch", "Bridge", "name"]).contains("br0"));
    bench.case("several monitors see a change");
    let arguments = ["Open_vSwitch", "Bridge", "name"];
    let monitors: Vec<_> =
        (0..8).map(|_| Spawned::new(bench.ovsdb_client_command("monitor", &arguments))).collect();
    for monitor in &monitors {
        assert!(monitor.output().wait_for("br0", WAIT), "{:?}", monitor.errors());
    }
    bench.vsctl(&["add-br", "br9"]);
    for monitor in &monitors {
        assert!(monitor.output().wait_for("br9", WAIT), "{:?}", monitor.errors());
    }
    drop(monitors);
    bench.case("backup and restore");
    let backup = bench.ovsdb_client("backup", &["Open_vSwitch"]);
    bench.vsctl(&["del-br", "br9"]);
    let file = bench.dir().join("backup");
    fs::write(&file, backup + "\n").expect("a file");
    let mut restore = bench.ovsdb_client_command("restore", &["Open_vSwitch"]);
    let restored = restore.stdin(File::open(file).expect("the file")).output().expect("a tool");
    assert!(restored.status.success(), "{restored:?}");
    bench.vsctl(&["wait-until", "Interface", "br9", "ofport=65534"]);
    bench.case("a transaction, and one that is refused");
    let insert =
        r#"["Open_vSwitch",{"op":"select","table":"Bridge","where":[],"columns":["name"]}]"#;
    assert!(bench.ovsdb_client("transact", &[insert]).contains("br9"));
    let many = ",0".repeat(20_000);
    let many = format!(r#"{{"method":"transact","id":1,"params":["Open_vSwitch"{many}]}}"#);
    let answer = ask(&bench, &many);
    assert!(answer.contains("resources exhausted"), "{answer}");
    // Beyond what a message may be, the connection ends, and no other notices.
    let long = format!(r#"{{"method":"echo","id":2,"params":["{}"]}}"#, "x".repeat(3 << 20));
    assert_eq!(ask(&bench, &long), "");
    assert_eq!(bench.vsctl(&["br-exists", "br9"]), "");
    bench.shutdown();
}

/// What the server answers to a message: to its end or that of the connection.
fn ask(bench: &Bench, message: &str) -> String {
    let address = bench.ovsdb();
    let stream = TcpStream::connect(address.trim_start_matches("tcp:")).expect("a connection");
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    // A server that hangs up does so while much of the message is still to come.
    let _ = (&stream).write_all(message.as_bytes());
    let mut answer = String::new();
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = (&stream).read(&mut bytes) {
        answer += &String::from_utf8_lossy(&bytes[..n]);
        if serde_json::from_str::<serde_json::Value>(&answer).is_ok() {
            break;
        }
    }
    answer
}

/// Ports, tags and bridges come and go beside a stream of frames between two ports that are not touched.
#[test]
fn untouched_ports_lose_nothing() {
    let bench = Bench::boot(Config::new(4));
    let frame = plain(host(2), host(1), 100, 1);
    bench.vsctl(&["wait-until", "Interface", "p4", "link_state=up"]);
    // Both stations are known.
    bench.send(2, &plain(host(1), host(2), 100, 2));
    bench.settle();
    bench.send(1, &frame);
    bench.settle();
    for port in 1..=4 {
        let _ = bench.arrivals(port).take();
    }
    let changes: &[&[&str]] = &[
        &["del-port", "p3"],
        &["add-br", "br1", "--", "add-port", "br1", "p3"],
        &["set", "Port", "p4", "tag=9"],
        &["set", "Port", "p4", "vlan_mode=trunk", "trunks=9,10"],
        &["del-br", "br1", "--", "add-port", "br0", "p3", "tag=4"],
        &["set", "Bridge", "br0", "flood-vlans=9"],
        &["clear", "Port", "p4", "tag", "vlan_mode", "trunks"],
        &["add-br", "br2", "--", "set-controller", "br2", "tcp:10.0.2.2:1"],
        &["del-br", "br2"],
    ];
    thread::scope(|scope| {
        // The tool runs beside the stream; the bench itself is one thread's.
        let target = bench.ovsdb();
        let changing = scope.spawn(move || {
            for change in changes {
                vm::vsctl(&target, change).unwrap_or_else(|why| panic!("{change:?}: {}", why.0));
            }
        });
        let mut n_sent = 0;
        while !changing.is_finished() {
            bench.send(1, &frame);
            n_sent += 1;
            if n_sent % 32 == 0 {
                bench.settle();
            }
        }
        changing.join().expect("changes");
        bench.settle();
        let arrived = bench.arrivals(2).take();
        assert_eq!(arrived.iter().filter(|got| **got == frame).count(), n_sent);
    });
    bench.shutdown();
}

#[test]
fn statements_are_a_seed() {
    let statements = "add-br sw -- add-port sw p2 tag=7 -- set Interface p2 ofport_request=4 \
                      -- set-fail-mode sw secure -- set open . other_config:max-idle=20000";
    let bench = Bench::boot(Config::new(2).seed(|seed| seed.vsctl = statements.into()));
    prints(
        &bench,
        &[
            ("list-br", "sw"),
            ("list-ports sw", "p2"),
            ("get Interface p2 ofport", "4"),
            ("get Port p2 tag", "7"),
            ("get-fail-mode sw", "secure"),
        ],
    );
    bench.shutdown();
}

#[test]
fn the_switch_connects_to_a_manager() {
    let bench = Bench::boot(Config::new(1));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    bench.vsctl(&["set-manager", &format!("tcp:10.0.2.2:{port}"), "ptcp:6641", "ssl:10.0.2.2"]);
    let (mut stream, _) = listener.accept().expect("the switch");
    stream.set_read_timeout(Some(WAIT)).expect("an option");
    stream.write_all(br#"{"method":"list_dbs","params":[],"id":0}"#).expect("a switch that reads");
    let (mut answer, mut bytes) = (String::new(), [0; 1024]);
    while !answer.contains("Open_vSwitch") {
        let n = stream.read(&mut bytes).expect("an answer");
        assert!(n > 0, "hung up after {answer}");
        answer += &String::from_utf8_lossy(&bytes[..n]);
    }
    let target = format!("tcp:10.0.2.2:{port}");
    bench.vsctl(&["wait-until", "Manager", &target, "is_connected=true"]);
    let ignored = bench.vsctl(&["get", "Manager", "ssl:10.0.2.2", "status"]);
    assert!(ignored.contains("ignored"), "{ignored}");
    bench.case("it comes back");
    drop(stream);
    let again = listener.accept().expect("the switch again");
    bench.vsctl(&["del-manager"]);
    let mut end = again.0;
    end.set_read_timeout(Some(WAIT)).expect("an option");
    // Probes may come before.
    while !matches!(end.read(&mut bytes), Ok(0) | Err(_)) {}
    bench.shutdown();
}
