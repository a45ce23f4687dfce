use super::*;
use crate::transaction::{Bounds, Client, Executed, execute};
use crate::uuid::{Uuid, Uuids};
use serde_json::json;
use std::format;
use std::string::ToString;
use std::vec::Vec;

struct Anyone;

impl Client for Anyone {
    fn owns(&self, _lock: &str) -> bool {
        false
    }
    fn may_write(&self) -> bool {
        true
    }
    fn waited_ms(&self) -> u64 {
        0
    }
}

fn run(database: &mut Database, uuids: &mut Uuids, operations: Value) -> Vec<u8> {
    let operations = operations.as_array().unwrap().clone();
    let executed = execute(database, &operations, &Anyone, &Bounds::default(), uuids);
    let Executed::Finished(results, commit) = executed else { panic!("waits") };
    let Some(commit) = commit else { panic!("no commit: {results:?}") };
    database.apply(&commit);
    commit_record(database.schema(), &commit, 123).unwrap_or_default()
}

type Contents = Vec<(usize, Uuid, Value)>;

/// Persistent cells of all rows, by table and name.
fn contents(database: &Database) -> Contents {
    let schema = database.schema();
    let tables = schema.tables.iter().enumerate();
    let rows = tables.flat_map(|(at, table)| database.rows(at).map(move |row| (at, table, row)));
    rows.map(|(at, table, row)| (at, row.uuid(), new_row(table, row))).collect()
}

/// A database, its log, and what it held after each record.
fn example() -> (Database, Vec<Vec<u8>>, Vec<Contents>) {
    let mut uuids = Uuids::new(9);
    let mut database = Database::new(Schema::open_vswitch(), uuids.fresh());
    let mut records = snapshot(&database, "", 0);
    let mut states = alloc::vec![contents(&database)];
    let add = |name: &str| {
        json!([
            {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": name, "type": "dummy", "link_state": "up"}},
            {"op": "insert", "table": "Port", "uuid-name": "p", "row": {"name": name, "interfaces": ["named-uuid", "i"]}},
            {"op": "mutate", "table": "Bridge", "where": [], "mutations": [["ports", "insert", ["named-uuid", "p"]]]},
            {"op": "comment", "comment": format!("add {name}")}])
    };
    for operations in [
        json!([{"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br0"}},
            {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}}]),
        add("p1"),
        add("p2"),
        json!([{"op": "update", "table": "Port", "where": [["name", "==", "p1"]], "row": {"tag": 3, "other_config": ["map", [["ä\n", "\"b\""]]]}}]),
        json!([{"op": "update", "table": "Bridge", "where": [], "row": {"ports": ["set", []]}}]),
        add("p3"),
    ] {
        records.push(run(&mut database, &mut uuids, operations));
        states.push(contents(&database));
    }
    (database, records, states)
}

#[test]
fn a_log_replays_to_the_same_database() {
    let (database, records, _) = example();
    let text = records.concat();
    let loaded = load_text(&text, &mut Uuids::new(1)).unwrap();
    assert_eq!(contents(&loaded.database), contents(&database));
    assert_eq!((loaded.length, loaded.n_records, loaded.torn), (text.len(), records.len(), None));
    // A snapshot says the same in fewer records.
    let short = snapshot(&database, "compacted", 5).concat();
    assert!(short.len() < text.len());
    let loaded = load(&short, Some(&Schema::open_vswitch()), &mut Uuids::new(1)).unwrap();
    assert_eq!((contents(&loaded.database), loaded.converted), (contents(&database), false));
}

#[test]
fn a_log_cut_anywhere_gives_the_state_before() {
    let (_, records, states) = example();
    let text = records.concat();
    let ends: Vec<usize> = records
        .iter()
        .scan(0, |end, record| {
            *end += record.len();
            Some(*end)
        })
        .collect();
    for cut in (0..text.len()).step_by(7).chain(ends.iter().flat_map(|&end| [end - 1, end])) {
        let loaded = load_text(&text[..cut], &mut Uuids::new(1));
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        match whole {
            0 => assert_eq!(loaded.err(), Some(LoadError::NoSchema(ReadError::Short)), "{cut}"),
            _ => {
                let loaded = loaded.unwrap();
                assert_eq!(contents(&loaded.database), states[whole - 1], "{cut}");
                assert_eq!(loaded.length, ends[whole - 1]);
                assert_eq!(loaded.torn.is_some(), cut != ends[whole - 1], "{cut}");
            }
        }
    }
}

#[test]
fn a_changed_byte_ends_the_log() {
    let (_, records, states) = example();
    let first_two = records[..2].concat().len();
    let mut text = records.concat();
    for at in first_two..first_two + records[2].len() {
        text[at] ^= 1;
        let loaded = load_text(&text, &mut Uuids::new(1)).unwrap();
        assert!(loaded.torn.is_some());
        assert_eq!(contents(&loaded.database), states[1]);
        text[at] ^= 1;
    }
}

#[test]
fn differences_are_read() {
    let (database, ..) = example();
    let mut text = snapshot(&database, "", 0).concat();
    let bridge = database.schema().table("Bridge").unwrap();
    let uuid = database.rows(bridge).next().unwrap().uuid().to_string();
    let changed = |cells: Value| {
        write_record(&json!({"_is_diff": true, "_date": 1, "Bridge": {&uuid: cells}}))
    };
    text.extend(changed(json!({"fail_mode": "secure", "flood_vlans": ["set", [1, 2]]})));
    text.extend(changed(json!({"fail_mode": ["set", []], "flood_vlans": ["set", [2, 3]], "other_config": ["map", [["a", "b"]]]})));
    text.extend(changed(json!({"other_config": ["map", [["a", "c"], ["d", "e"]]]})));
    text.extend(changed(json!({"other_config": ["map", [["d", "e"]]], "stp_enable": true})));
    let loaded = load_text(&text, &mut Uuids::new(1)).unwrap();
    let found = contents(&loaded.database).into_iter().find(|(at, ..)| *at == bridge).unwrap().2;
    assert_eq!(found["flood_vlans"], json!(["set", [1, 3]]));
    assert_eq!(found["other_config"], json!(["map", [["a", "c"]]]));
    assert_eq!((&found["fail_mode"], &found["stp_enable"]), (&Value::Null, &json!(true)));
}

#[test]
fn what_cannot_be_is_refused() {
    let schema = write_record(&Schema::open_vswitch().to_json());
    let with = |record: Value| [schema.clone(), write_record(&record)].concat();
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    for record in [
        json!([]),
        json!({"No": {}}),
        json!({"Queue": []}),
        json!({"Queue": {"no": {}}}),
        json!({"Queue": {uuid: null}}),
        json!({"Queue": {uuid: 1}}),
        json!({"Queue": {uuid: {"no": 1}}}),
        json!({"Queue": {uuid: {"dscp": 64}}}),
        json!({"Queue": {uuid: {"_version": ["uuid", uuid]}}}),
        json!({"Open_vSwitch": {uuid: {"bridges": ["uuid", uuid]}}}),
    ] {
        let loaded = load_text(&with(record.clone()), &mut Uuids::new(1));
        assert!(matches!(loaded, Err(LoadError::BadRecord(2, _))), "{record}");
    }
    for (text, error) in [
        (&b""[..], LoadError::NoSchema(ReadError::Short)),
        (b"hello, this is not a log of any kind", LoadError::NoSchema(ReadError::Short)),
        (b"OVSDB CLUSTER 1 2\n", LoadError::NoSchema(ReadError::Clustered)),
        (b"OVSDB JSON x y\n", LoadError::NoSchema(ReadError::Header)),
        (
            b"OVSDB JSON 99999999999999999999 0123456789012345678901234567890123456789\n",
            LoadError::NoSchema(ReadError::Header),
        ),
    ] {
        assert_eq!(load_text(text, &mut Uuids::new(1)).err(), Some(error));
    }
}

#[test]
fn another_schema_takes_what_it_knows() {
    let (database, records, _) = example();
    let mut older = Schema::open_vswitch().to_json();
    older["version"] = "8.0.0".into();
    older["tables"]["Port"]["columns"].as_object_mut().unwrap().remove("tag");
    older["tables"].as_object_mut().unwrap().remove("SSL");
    older["tables"]["Open_vSwitch"]["columns"].as_object_mut().unwrap().remove("ssl");
    let older = Schema::from_json(&older).unwrap();
    let loaded = load(&records.concat(), Some(&older), &mut Uuids::new(1)).unwrap();
    assert!(loaded.converted);
    let port = database.schema().table("Port").unwrap();
    assert_eq!(loaded.database.n_rows(older.table("Port").unwrap()), database.n_rows(port));
    let other = Schema::server();
    assert!(matches!(
        load(&records.concat(), Some(&other), &mut Uuids::new(1)),
        Err(LoadError::BadSchema(_))
    ));
}
