//! Database files: ours under stock tools, stock ones under ours.

mod support;

use ovsdb::log::{Loaded, load, snapshot};
use ovsdb::store::FakeDevice;
use ovsdb::{Database, Keeping, Kept, Limits, Schema, Server, Uuids, extract, import, open};
use serde_json::json;
use std::path::Path;
use support::{Ours, Serving, Stock, printed};

fn configure(target: &str) {
    for line in [
        "init",
        "add-br br0 -- set bridge br0 fail_mode=secure other_config:a=\"b~c\"",
        "add-port br0 p1 tag=7 -- set interface p1 type=dummy",
        "add-port br0 p2 trunks=1,2,3",
        "set port p2 trunks=2,3,4",
        "set open_vswitch . external_ids:ä=\\n",
        "del-port p1",
        "add-port br0 p3",
    ] {
        let db = format!("--db={target}");
        let mut words: Vec<&dyn std::fmt::Display> = vec![&db, &"--no-wait"];
        let line: Vec<String> = line.split(' ').map(|word| word.replace('~', " ")).collect();
        words.extend(line.iter().map(|word| word as &dyn std::fmt::Display));
        printed("ovs-vsctl", &words);
    }
}

fn load_file(file: &Path) -> Loaded {
    let bytes = std::fs::read(file).unwrap();
    load(&bytes, Some(&Schema::open_vswitch()), &mut Uuids::new(1)).unwrap()
}

/// All rows as a file would have them, without the time.
fn rows(database: &Database) -> String {
    let records = snapshot(database, "", 0);
    String::from_utf8(records[1].clone()).unwrap()
}

fn show(target: &str) -> Vec<String> {
    let text = printed("ovs-vsctl", &[&format!("--db={target}"), &"show"]);
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn a_file_of_ours_opens_in_stock_tools() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ours.db");
    let ours = Ours::start(folder.path(), Some(&file));
    configure(&ours.target());
    let shown = show(&ours.target());
    drop(ours);
    let name = file.display();
    assert_eq!(
        printed("ovsdb-tool", &[&"db-version", &name]).trim(),
        Schema::open_vswitch().version
    );
    assert_eq!(printed("ovsdb-tool", &[&"db-name", &name]).trim(), "Open_vSwitch");
    printed("ovsdb-tool", &[&"db-is-standalone", &name]);
    let log = printed("ovsdb-tool", &[&"-mmm", &"show-log", &name]);
    assert!(log.contains("ovs-vsctl") && log.contains("p3"), "{log}");
    let query = r#"["Open_vSwitch",{"op":"select","table":"Port","where":[["name","==","p2"]],"columns":["trunks"]}]"#;
    let answer = printed("ovsdb-tool", &[&"query", &name, &query]);
    assert_eq!(answer.trim(), r#"[{"rows":[{"trunks":["set",[2,3,4]]}]}]"#);
    // A stock server goes on with it, and we with its file again.
    let stock = Stock::start(folder.path(), &file);
    assert_eq!(show(&stock.target()), shown);
    printed("ovs-vsctl", &[&format!("--db={}", stock.target()), &"--no-wait", &"add-br", &"br7"]);
    drop(stock);
    let loaded = load_file(&file);
    let bridge = loaded.database.schema().table("Bridge").unwrap();
    assert_eq!((loaded.torn, loaded.database.n_rows(bridge)), (None, 2));
}

#[test]
fn a_stock_file_opens_here() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stock.db");
    let stock = Stock::start(folder.path(), &file);
    configure(&stock.target());
    let shown = show(&stock.target());
    drop(stock);
    let loaded = load_file(&file);
    // A file that it compacted says the same.
    let compact = folder.path().join("compact.db");
    printed("ovsdb-tool", &[&"compact", &file.display(), &compact.display()]);
    assert_eq!(rows(&load_file(&compact).database), rows(&loaded.database));
    let ours = Ours::start(folder.path(), Some(&file));
    assert_eq!(show(&ours.target()), shown);
}

#[test]
fn a_restart_keeps_everything_but_ephemeral_columns() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ours.db");
    let ours = Ours::start(folder.path(), Some(&file));
    configure(&ours.target());
    let set = format!("--db={}", ours.target());
    printed("ovs-vsctl", &[&set, &"--no-wait", &"set", &"interface", &"p3", &"link_state=up"]);
    let shown = show(&ours.target());
    drop(ours);
    std::fs::remove_file(folder.path().join("ours.sock")).unwrap();
    let ours = Ours::start(folder.path(), Some(&file));
    assert_eq!(show(&ours.target()), shown);
    assert_eq!(
        printed("ovs-vsctl", &[&set, &"get", &"interface", &"p3", &"link_state"]).trim(),
        "[]"
    );
}

#[test]
fn a_disk_gives_a_file_and_takes_one() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::open_vswitch();
    let mut disk = FakeDevice::new(2_000);
    // A stock file goes in; the switch goes on with it; a file comes out that stock tools read.
    let file = folder.path().join("stock.db");
    let stock = Stock::start(folder.path(), &file);
    configure(&stock.target());
    drop(stock);
    import(&mut disk, &std::fs::read(&file).unwrap(), &schema, 1).unwrap();
    let opened = open(&mut disk, &schema, &mut Uuids::new(1), 2).unwrap();
    let Kept { database, mut store, is_new } = opened;
    assert!(!is_new);
    assert_eq!(rows(&database), rows(&load_file(&file).database));
    let mut server = Server::new(Limits::default(), vec![(database, Keeping::Log)], 1);
    let queue = json!({"op": "insert", "table": "Queue", "row": {"dscp": 3}});
    server.transact("Open_vSwitch", &[queue], 3);
    server.keep_in(&mut store, 3).unwrap();
    let out = folder.path().join("out.db");
    std::fs::write(&out, extract(&mut disk).unwrap()).unwrap();
    let query = r#"["Open_vSwitch",{"op":"select","table":"Queue","where":[],"columns":["dscp"]},{"op":"select","table":"Bridge","where":[],"columns":["name"]}]"#;
    let answer = printed("ovsdb-tool", &[&"query", &out.display(), &query]);
    assert_eq!(answer.trim(), r#"[{"rows":[{"dscp":3}]},{"rows":[{"name":"br0"}]}]"#);
    // What is no database file changes nothing.
    assert!(import(&mut disk, b"nonsense", &schema, 4).is_err());
    assert_eq!(extract(&mut disk).unwrap(), std::fs::read(&out).unwrap());
    // A stock server starts with it.
    std::fs::remove_file(folder.path().join("stock.sock")).unwrap();
    let again = Stock::start(folder.path(), &out);
    assert!(show(&again.target()).iter().any(|line| line.contains("p3")));
}
