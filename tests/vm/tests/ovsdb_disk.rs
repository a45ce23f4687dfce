//! The database on a disk: over the end of the machine, orderly or not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qemu::{Machine, database};
use serde_json::{Value, json};
use vm::{Bench, Config, WAIT};

/// A client that changes one cell again and again.
struct Counter(TcpStream);

impl Counter {
    fn new(bench: &Bench) -> Self {
        let address = bench.ovsdb();
        let stream = TcpStream::connect(address.trim_start_matches("tcp:")).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(WAIT)).expect("an option");
        Self(stream)
    }

    fn ask(&mut self, operations: &[Value]) -> Option<Value> {
        let mut params = vec![json!("Open_vSwitch")];
        params.extend_from_slice(operations);
        let request = json!({"method": "transact", "id": 1, "params": params});
        self.0.write_all(request.to_string().as_bytes()).ok()?;
        let (mut answer, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            let n = self.0.read(&mut bytes).ok().filter(|n| *n > 0)?;
            answer.extend_from_slice(&bytes[..n]);
            if let Ok(answer) = serde_json::from_slice::<Value>(&answer) {
                return answer["result"].is_array().then(|| answer["result"].clone());
            }
        }
    }

    /// Writes a number; true when that was acknowledged.
    fn write(&mut self, n: u64) -> bool {
        let row = json!({"external_ids": ["map", [["n", n.to_string()]]]});
        let update = json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": row});
        self.ask(&[update]).is_some_and(|result| result[0]["count"] == 1)
    }

    fn read(&mut self) -> Option<u64> {
        let columns = ["external_ids"];
        let select =
            json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": columns});
        let result = self.ask(&[select])?;
        let pairs = result[0]["rows"][0]["external_ids"][1].as_array()?.first()?[1].clone();
        pairs.as_str()?.parse().ok()
    }
}

#[test]
fn a_configuration_outlives_the_machine() {
    for machine in [Machine::Q35, Machine::Microvm] {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = folder.path().join("disk");
        let config = || Config::new(3).machine(machine).database(&disk);
        let bench = Bench::boot(config());
        assert_eq!(
            bench.vsctl(&["get", "Open_vSwitch", ".", "statistics"]),
            "{database=\"on disk\"}"
        );
        bench.vsctl(&["del-port", "p1", "--", "add-br", "br1", "--", "add-port", "br1", "p1"]);
        bench.vsctl(&["set", "Port", "p2", "tag=7", "--", "set-fail-mode", "br1", "secure"]);
        bench.vsctl(&["set", "Interface", "p3", "ofport_request=30"]);
        bench.vsctl(&["wait-until", "Interface", "p3", "ofport=30"]);
        let show = bench.vsctl(&["show"]);
        bench.kill();

        let bench = Bench::boot(config());
        bench.case(format!("after the end, {}", machine.name()));
        bench.vsctl(&["wait-until", "Interface", "p3", "link_state=up"]);
        assert_eq!(bench.vsctl(&["show"]), show);
        assert_eq!(bench.vsctl(&["get", "Interface", "p3", "ofport"]), "30");
        assert_eq!(bench.vsctl(&["get", "Port", "p2", "tag"]), "7");
        assert_eq!(bench.vsctl(&["list-ports", "br1"]), "p1");
        bench.shutdown();

        // What stands there is a file of Open vSwitch, and one of those stands there after.
        let text = database::extract(&disk).expect("a database");
        let file = folder.path().join("conf.db");
        std::fs::write(&file, &text).expect("a file");
        let other = folder.path().join("other");
        database::import(&other, &file).expect("a database");
        let bench = Bench::boot(Config::new(3).machine(machine).database(&other));
        assert_eq!(bench.vsctl(&["list-ports", "br1"]), "p1");
        bench.shutdown();
    }
}

/// How often the machine is killed: a number that the environment may raise.
fn n_kills() -> u64 {
    std::env::var("UNISWITCH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10)
}

#[test]
fn nothing_acknowledged_is_lost_when_the_machine_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = folder.path().join("disk");
    let mut random =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| u64::from(t.subsec_nanos()));
    let (mut acknowledged, mut asked) = (0, 0);
    for round in 0..n_kills() {
        let bench = Bench::boot(Config::new(1).database(&disk));
        bench.case(format!("round {round}: {acknowledged} acknowledged, {asked} asked"));
        let mut counter = Counter::new(&bench);
        if round > 0 {
            let kept = counter.read().unwrap_or_else(|| bench.fail("no number"));
            assert!((acknowledged..=asked).contains(&kept), "{acknowledged}..={asked}: {kept}");
        }
        // One is acknowledged at rest; then others follow, until the end comes.
        asked += 1;
        assert!(counter.write(asked), "{asked} is not acknowledged");
        acknowledged = asked;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pause = Duration::from_micros(random >> 33 & 0x3_ffff);
        let process = bench.process_id().to_string();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(pause);
            let _ = std::process::Command::new("kill").args(["-KILL", &process]).status();
        });
        loop {
            asked += 1;
            if !counter.write(asked) {
                break;
            }
            acknowledged = asked;
        }
        killer.join().expect("an end");
        bench.kill();
        check(&disk);
    }
    let bench = Bench::boot(Config::new(1).database(&disk));
    let kept = Counter::new(&bench).read().unwrap_or(0);
    assert!((acknowledged..=asked).contains(&kept), "{acknowledged}..={asked}: {kept}");
    bench.shutdown();
}

/// The disk opens, whatever was cut off.
fn check(disk: &Path) {
    if let Err(why) = database::extract(disk) {
        panic!("{why}");
    }
}
