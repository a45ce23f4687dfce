//! A thousand transactions on a disk that loses power at every write and flush of theirs: whatever is
//! lost, torn or reordered, the database opens with all that was acknowledged and nothing half.

use ovsdb::log::snapshot;
use ovsdb::store::{BlockDevice, DeviceError, FakeDevice, PowerCut, SECTOR};
use ovsdb::{Database, Keeping, Kept, Limits, Schema, Server, Uuids, open};
use serde_json::{Value, json};
use std::cell::RefCell;

fn schema() -> Schema {
    Schema::from_json(&json!({"name": "d", "tables": {
        "t": {"isRoot": true, "columns": {
            "k": {"type": "integer"},
            "v": {"type": {"key": "string", "min": 0}},
            "kid": {"type": {"key": {"type": "uuid", "refTable": "kid"}, "min": 0}}}},
        "kid": {"columns": {"x": {"type": "integer"}}}}}))
    .unwrap()
}

/// All rows, as a text.
fn state(database: &Database) -> String {
    let records = snapshot(database, "", 0);
    records.get(1).map_or(String::new(), |rows| String::from_utf8(rows.clone()).unwrap())
}

/// The states that were, and how many commits were acknowledged.
struct Past {
    states: Vec<String>,
    n_acknowledged: usize,
    n_checks: usize,
}

/// A disk that is looked at, as a power cut would leave it, before each step.
struct Watched<'a> {
    disk: FakeDevice,
    past: &'a RefCell<Past>,
}

impl Watched<'_> {
    fn check(&self, under_way: Option<(u64, &[u8; SECTOR])>) {
        let mut past = self.past.borrow_mut();
        past.n_checks += 1;
        let seed = u64::try_from(past.n_checks).unwrap();
        // All kinds of cuts by turns: each would open some hundred logs a second.
        let cut = match past.n_checks % 4 {
            0 => PowerCut::Lost,
            1 => PowerCut::Torn(seed),
            2 => PowerCut::Reordered(seed),
            _ => PowerCut::Kept,
        };
        let mut disk = self.disk.clone();
        if let Some((sector, bytes)) = under_way {
            disk.write(sector, bytes).unwrap();
        }
        disk.power_on(cut);
        let opened = open(&mut disk, &schema(), &mut Uuids::new(seed), 0);
        let Kept { database, is_new, .. } = match opened {
            Ok(kept) => kept,
            Err(error) => panic!("check {seed}, {cut:?}: does not open: {error}"),
        };
        let found = state(&database);
        let possible = &past.states[past.n_acknowledged.min(past.states.len() - 1)..];
        assert!(
            possible.contains(&found),
            "check {seed}, {cut:?}: {found} is not among {possible:?}"
        );
        assert!(!is_new || past.n_acknowledged == 0);
        // It opens again, without having to be mended a second time.
        if seed % 16 == 0 {
            let again = open(&mut disk, &schema(), &mut Uuids::new(seed), 0).unwrap();
            assert_eq!(state(&again.database), found);
        }
    }
}

impl BlockDevice for Watched<'_> {
    fn n_sectors(&self) -> u64 {
        self.disk.n_sectors()
    }
    fn read(&mut self, sector: u64, into: &mut [u8; SECTOR]) -> Result<(), DeviceError> {
        self.disk.read(sector, into)
    }
    fn write(&mut self, sector: u64, from: &[u8; SECTOR]) -> Result<(), DeviceError> {
        self.check(Some((sector, from)));
        self.disk.write(sector, from)
    }
    fn flush(&mut self) -> Result<(), DeviceError> {
        self.check(None);
        self.disk.flush()
    }
}

fn operation(n: u64) -> Vec<Value> {
    let k = n * 7 % 11;
    match n % 5 {
        0 | 1 => vec![
            json!({"op": "insert", "table": "kid", "uuid-name": "c", "row": {"x": n}}),
            json!({"op": "insert", "table": "t", "row": {"k": k, "kid": ["named-uuid", "c"]}}),
        ],
        2 => vec![
            json!({"op": "update", "table": "t", "where": [["k", "==", k]], "row": {"v": "x".repeat(usize::try_from(n % 90).unwrap())}}),
        ],
        3 => vec![
            json!({"op": "mutate", "table": "t", "where": [["k", ">", k]], "mutations": [["k", "-=", 1]]}),
        ],
        _ => vec![
            json!({"op": "delete", "table": "t", "where": [["k", "<=", k], ["k", "!=", 0]]}),
            json!({"op": "comment", "comment": format!("step {n}")}),
        ],
    }
}

#[test]
fn a_thousand_transactions() {
    let past = RefCell::new(Past { states: vec![String::new()], n_acknowledged: 0, n_checks: 0 });
    let watched = Watched { disk: FakeDevice::new(402), past: &past };
    let Kept { database, mut store, is_new } =
        open(watched, &schema(), &mut Uuids::new(1), 0).unwrap();
    assert!(is_new);
    let mut server = Server::new(Limits::default(), vec![(database, Keeping::Log)], 1);
    for n in 0..1_000 {
        let results = server.transact("d", &operation(n), 0);
        assert!(results.iter().all(|result| result.get("error").is_none()), "{results:?}");
        let now = state(server.database("d").unwrap());
        {
            let mut past = past.borrow_mut();
            // Only the last state acknowledged and the one under way can be found.
            let n_old = past.states.len() - 1;
            past.states.drain(..n_old);
            past.n_acknowledged = 0;
            past.states.push(now);
        }
        server.keep_in(&mut store, 0).unwrap();
        past.borrow_mut().n_acknowledged = 1;
    }
    let past = past.borrow();
    assert!(past.n_checks > 1_500, "{}", past.n_checks);
    assert!(store.generation() > 5, "{}", store.generation());
}

#[test]
fn a_disk_that_fails_refuses_changes_and_keeps_what_was() {
    let mut disk = FakeDevice::new(402);
    {
        let Kept { database, mut store, .. } =
            open(&mut disk, &schema(), &mut Uuids::new(1), 0).unwrap();
        let mut server = Server::new(Limits::default(), vec![(database, Keeping::Log)], 1);
        server.transact("d", &operation(0), 0);
        server.keep_in(&mut store, 0).unwrap();
        let before = state(server.database("d").unwrap());
        server.transact("d", &operation(1), 0);
        // Its record never reached the disk.
        drop(server);
        let _: &mut FakeDevice = store.into_device();
        let again = open(&mut disk, &schema(), &mut Uuids::new(2), 0).unwrap();
        assert_eq!(state(&again.database), before);
    }
    disk.cut_at(disk.n_steps() + 1);
    let Kept { database, mut store, .. } =
        open(&mut disk, &schema(), &mut Uuids::new(3), 0).unwrap();
    let mut server = Server::new(Limits::default(), vec![(database, Keeping::Log)], 1);
    server.transact("d", &operation(6), 0);
    assert!(server.keep_in(&mut store, 0).is_err());
    let refused = server.transact("d", &operation(5), 0);
    assert_eq!(refused.last().unwrap()["error"], "I/O error");
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let mut disk = FakeDevice::new(402);
    drop(open(&mut disk, &schema(), &mut Uuids::new(1), 0).unwrap());
    let other = Schema::server();
    assert!(open(&mut disk, &other, &mut Uuids::new(1), 0).is_err());
    assert!(!open(&mut disk, &schema(), &mut Uuids::new(1), 0).unwrap().is_new);
    assert!(open(FakeDevice::new(10), &schema(), &mut Uuids::new(1), 0).is_err());
}
