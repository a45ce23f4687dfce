//! The OpenFlow state over the end of the machine: a switch that boots again forwards as before, without a
//! controller to tell it.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ovsdb::store::{Crc32, SECTOR};
use qemu::{Machine, database};
use vm::frame::{host, plain};
use vm::{Bench, Config, masked};

const FLOWS: [&str; 5] = [
    "table=0,priority=9,in_port=1,actions=meter:7,group:3",
    "table=0,priority=8,in_port=2,actions=goto_table:5",
    "table=5,importance=3,send_flow_rem,cookie=0xfeed,idle_timeout=3600,hard_timeout=7200,in_port=2,actions=load:5->NXM_NX_REG0[],resubmit(,6)",
    "table=6,reg0=5,actions=output:3",
    "table=7,in_port=77,actions=output:99",
];
const GROUPS: [&str; 2] = [
    "group_id=3,type=all,bucket=bucket_id:4,actions=output:2,bucket=bucket_id:9,actions=output:3",
    "group_id=8,type=select,selection_method=hash,fields(ip_src),bucket=bucket_id:0,weight:3,actions=output:2",
];

fn fill(bench: &Bench) {
    bench.ofctl(&["del-flows"]);
    bench.ofctl(&["add-meter", "meter=7,pktps,burst,band=type=drop,rate=100000,burst_size=1000"]);
    for group in GROUPS {
        bench.try_ofctl("OpenFlow15", &["add-group", group]).expect("a group");
    }
    for flow in FLOWS {
        bench.try_ofctl("OpenFlow15", &["add-flow", flow]).expect("a flow");
    }
    bench.try_ofctl("OpenFlow15", &["mod-table", "9", "evict"]).expect("a table");
}

/// What controllers made of the switch, without counts.
fn state(bench: &Bench) -> Vec<String> {
    let ask = |args: &[&str]| {
        let text = bench.try_ofctl("OpenFlow15", args).unwrap_or_else(|why| bench.fail(why.0));
        // The order of rules is nobody's promise.
        let mut lines: Vec<String> = masked(&text).lines().skip(1).map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    let tables = ask(&["dump-table-desc"]);
    let table: String = tables.lines().filter(|line| line.contains("eviction=on")).collect();
    let flows = ask(&["dump-flows", "--no-stats"]);
    vec![flows, ask(&["dump-groups"]), ask(&["dump-meters"]), table]
}

/// Frames go where the rules of [`fill`] send them.
fn forwards(bench: &Bench) {
    bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2, 3]);
    bench.forwards(2, &plain(host(1), host(2), 60, 2), &[3]);
    bench.forwards(3, &plain(host(1), host(3), 60, 3), &[]);
}

fn ask_to_keep(bench: &Bench) {
    bench.vsctl(&["set", "Open_vSwitch", ".", "other_config:keep-openflow-state=true"]);
}

#[test]
fn rules_groups_and_meters_outlive_the_machine() {
    for machine in [Machine::Q35, Machine::Microvm] {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = folder.path().join("disk");
        let config = || Config::new(3).machine(machine).database(&disk);
        let bench = Bench::boot(config());
        bench.case(format!("{}: kept, and killed", machine.name()));
        ask_to_keep(&bench);
        fill(&bench);
        forwards(&bench);
        let before = state(&bench);
        assert!(before.iter().all(|part| !part.is_empty()), "{before:?}");
        bench.appctl("uniswitch/keep", &[]);
        bench.kill();

        let bench = Bench::boot(config());
        bench.case(format!("{}: after the end", machine.name()));
        // No controller has spoken yet.
        forwards(&bench);
        assert_eq!(state(&bench), before);
        assert!(bench.serial().text().contains("OpenFlow state restored: 5 rules"));
        bench.case(format!("{}: a change, and an end by request", machine.name()));
        bench.ofctl(&["del-flows", "in_port=2"]);
        bench.ofctl(&["add-flow", "priority=7,in_port=3,actions=output:1"]);
        let before = state(&bench);
        bench.shutdown();

        let bench = Bench::boot(config());
        bench.case(format!("{}: after the request", machine.name()));
        bench.forwards(3, &plain(host(1), host(3), 60, 3), &[1]);
        bench.forwards(2, &plain(host(1), host(2), 60, 2), &[]);
        assert_eq!(state(&bench), before);
        // Who does not want it any more has a switch that begins anew.
        bench.vsctl(&["remove", "Open_vSwitch", ".", "other_config", "keep-openflow-state"]);
        bench.shutdown();
        let bench = Bench::boot(config());
        bench.case(format!("{}: begun anew", machine.name()));
        bench.forwards(2, &plain(host(1), host(2), 60, 2), &[1, 3]);
        bench.shutdown();
    }
}

/// Writes a log on a disk as it was laid out when it had the disk to itself.
fn write_undivided(disk: &Path, text: &[u8]) {
    const BYTES: u64 = 32 << 20;
    const TEXT: usize = SECTOR - 26;
    let half = (BYTES / SECTOR as u64 - 2) / 2;
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(disk);
    let file = file.expect("a disk");
    file.set_len(BYTES).expect("room");
    let sum = |bytes: &[u8]| Crc32::new().with(bytes).value();
    let generation = 1_u64;
    let mut chain = sum(&generation.to_le_bytes());
    for (place, piece) in (0_u64..).zip(text.chunks(TEXT)) {
        let mut sector = [0; SECTOR];
        sector[4..8].copy_from_slice(&chain.to_le_bytes());
        sector[8..16].copy_from_slice(&generation.to_le_bytes());
        sector[16..24].copy_from_slice(&place.to_le_bytes());
        sector[24..26].copy_from_slice(&u16::try_from(piece.len()).expect("few").to_le_bytes());
        sector[26..26 + piece.len()].copy_from_slice(piece);
        chain = sum(&sector[4..]);
        sector[..4].copy_from_slice(&chain.to_le_bytes());
        file.write_all_at(&sector, (2 + half + place) * SECTOR as u64).expect("a sector");
    }
    let mut head = [0; SECTOR];
    head[..8].copy_from_slice(b"USWDBHD1");
    head[8..16].copy_from_slice(&generation.to_le_bytes());
    head[16..24].copy_from_slice(&half.to_le_bytes());
    let sum = sum(&head[..SECTOR - 4]);
    head[SECTOR - 4..].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&head, SECTOR as u64).expect("a head");
}

#[test]
fn a_disk_of_the_older_layout_keeps_its_database_and_takes_the_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    let bench = Bench::boot(Config::new(2).database(&new));
    bench.vsctl(&["set", "Port", "p2", "tag=7"]);
    ask_to_keep(&bench);
    bench.shutdown();
    write_undivided(&old, &database::extract(&new).expect("a database"));

    let bench = Bench::boot(Config::new(2).database(&old));
    assert_eq!(bench.vsctl(&["get", "Port", "p2", "tag"]), "7");
    bench.ofctl(&["add-flow", "priority=7,in_port=1,actions=output:2"]);
    let before = state(&bench);
    bench.appctl("uniswitch/keep", &[]);
    bench.kill();
    database::extract(&old).expect("a database");
    let bench = Bench::boot(Config::new(2).database(&old));
    assert_eq!(bench.vsctl(&["get", "Port", "p2", "tag"]), "7");
    assert_eq!(state(&bench), before);
    bench.shutdown();
}

#[test]
fn without_a_disk_it_is_said_that_nothing_is_kept() {
    let bench = Bench::boot(Config::new(2));
    ask_to_keep(&bench);
    bench.ofctl(&["add-flow", "priority=7,in_port=1,actions=output:2"]);
    bench.until("a line in the log", |_| {
        bench.serial().text().contains("nothing is kept: there is no disk")
    });
    let refused = bench.try_appctl("uniswitch/keep", &[]);
    assert!(refused.is_err_and(|why| why.contains("no disk")));
    bench.forwards(1, &plain(host(2), host(1), 60, 1), &[2]);
    bench.shutdown();
}
