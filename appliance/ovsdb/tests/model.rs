//! Random transactions against a plain model, and monitors replayed on a client's copy.
//!
//! The model knows nothing of transactions under way, counts of references or indexes: it keeps whole
//! tables, works on a copy, and looks at everything when a transaction ends.

use ovsdb::{ClientId, Database, Keeping, Limits, Schema, Server, Uuid};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use sync::time::Nanos;

const KINDS: [&str; 2] = ["root", "kid"];

fn schema() -> Schema {
    Schema::from_json(&json!({"name": "m", "tables": {
        "root": {"isRoot": true, "maxRows": 6, "indexes": [["name"]], "columns": {
            "name": {"type": "string"},
            "n": {"type": {"key": {"type": "integer", "minInteger": -50, "maxInteger": 50}}},
            "set": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
            "map": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
            "kids": {"type": {"key": {"type": "uuid", "refTable": "kid"}, "min": 0, "max": "unlimited"}},
            "weak": {"type": {"key": {"type": "uuid", "refTable": "kid", "refType": "weak"}, "min": 0, "max": "unlimited"}}}},
        "kid": {"columns": {
            "x": {"type": "integer"},
            "next": {"type": {"key": {"type": "uuid", "refTable": "kid"}, "min": 0}}}}}}))
    .unwrap()
}

/// A row of the model: all its columns, plainly.
#[derive(Clone, PartialEq, Debug, Default)]
struct Plain {
    name: String,
    n: i64,
    set: BTreeSet<i64>,
    map: BTreeMap<String, i64>,
    kids: BTreeSet<Uuid>,
    weak: BTreeSet<Uuid>,
    x: i64,
    next: Option<Uuid>,
}

type Rows = BTreeMap<Uuid, Plain>;

#[derive(Clone, PartialEq, Debug, Default)]
struct Model {
    roots: Rows,
    kids: Rows,
}

/// One operation of a transaction; rows are meant by their place among those that there are.
#[derive(Clone, Debug)]
enum Op {
    Root { name: u8, n: i64, set: BTreeSet<i64>, kids: Vec<usize> },
    Kid { x: i64, next: Option<usize>, holder: Option<usize> },
    Set { root: usize, n: i64, set: BTreeSet<i64> },
    Rename { root: usize, name: u8 },
    Add { n: i64 },
    Insert { root: usize, keys: BTreeMap<u8, i64> },
    Delete { root: usize, keys: BTreeSet<u8> },
    Link { root: usize, kid: usize },
    Unlink { root: usize, kid: usize },
    Weak { root: usize, kid: usize },
    Next { kid: usize, next: Option<usize> },
    DropRoot { root: usize },
    DropKid { kid: usize },
    Abort,
}

fn op() -> impl Strategy<Value = Op> {
    let set = || prop::collection::btree_set(0i64..5, 0..4);
    let some = || any::<prop::sample::Index>().prop_map(|k| k.index(8));
    prop_oneof![
        4 => (0u8..8, -60i64..60, set(), prop::collection::vec(some(), 0..3))
            .prop_map(|(name, n, set, kids)| Op::Root { name, n, set, kids }),
        6 => (0i64..9, prop::option::of(some()), prop::option::weighted(0.9, some()))
            .prop_map(|(x, next, holder)| Op::Kid { x, next, holder }),
        2 => (some(), -60i64..60, set()).prop_map(|(root, n, set)| Op::Set { root, n, set }),
        1 => (some(), 0u8..8).prop_map(|(root, name)| Op::Rename { root, name }),
        1 => (-30i64..30).prop_map(|n| Op::Add { n }),
        2 => (some(), prop::collection::btree_map(0u8..4, 0i64..4, 0..3))
            .prop_map(|(root, keys)| Op::Insert { root, keys }),
        2 => (some(), prop::collection::btree_set(0u8..4, 0..3))
            .prop_map(|(root, keys)| Op::Delete { root, keys }),
        2 => (some(), some()).prop_map(|(root, kid)| Op::Link { root, kid }),
        2 => (some(), some()).prop_map(|(root, kid)| Op::Unlink { root, kid }),
        2 => (some(), some()).prop_map(|(root, kid)| Op::Weak { root, kid }),
        1 => (some(), prop::option::of(some())).prop_map(|(kid, next)| Op::Next { kid, next }),
        1 => some().prop_map(|root| Op::DropRoot { root }),
        1 => some().prop_map(|kid| Op::DropKid { kid }),
        1 => Just(Op::Abort),
    ]
}

/// A transaction being put together: JSON for the server, effects for the model.
struct Draft<'a> {
    model: Model,
    json: Vec<Value>,
    fails: bool,
    fresh: &'a mut u128,
}

fn uuid_json(uuid: Uuid) -> Value {
    json!(["uuid", uuid.to_string()])
}

impl Draft<'_> {
    fn fresh(&mut self) -> Uuid {
        *self.fresh += 1;
        Uuid(*self.fresh << 96 | 0x4000_8000_0000_0000_0000)
    }

    fn pick(rows: &Rows, k: usize) -> Option<Uuid> {
        rows.keys().nth(k % rows.len().max(1)).copied()
    }

    fn update(&mut self, table: &str, uuid: Uuid, row: Value) {
        let condition = json!([["_uuid", "==", uuid_json(uuid)]]);
        self.json.push(json!({"op": "update", "table": table, "where": condition, "row": row}));
    }

    fn mutate(&mut self, condition: Value, mutation: Value) {
        self.json.push(
            json!({"op": "mutate", "table": "root", "where": condition, "mutations": [mutation]}),
        );
    }

    fn set_json(set: impl IntoIterator<Item = Value>) -> Value {
        json!(["set", set.into_iter().collect::<Vec<_>>()])
    }

    fn add(&mut self, op: &Op) {
        if self.fails {
            // What follows an error is not run.
            self.json.push(json!({"op": "comment", "comment": "never"}));
            return;
        }
        let root = |model: &Model, k: usize| Self::pick(&model.roots, k);
        let kid = |model: &Model, k: usize| Self::pick(&model.kids, k);
        let by_uuid = |uuid: Uuid| json!([["_uuid", "==", uuid_json(uuid)]]);
        match op {
            Op::Root { name, n, set, kids } => {
                let uuid = self.fresh();
                let kids: BTreeSet<Uuid> =
                    kids.iter().filter_map(|&k| kid(&self.model, k)).collect();
                let row = json!({"name": format!("r{name}"), "n": n,
                    "set": Self::set_json(set.iter().map(|&v| v.into())),
                    "kids": Self::set_json(kids.iter().map(|&k| uuid_json(k)))});
                self.json.push(
                    json!({"op": "insert", "table": "root", "uuid": uuid.to_string(), "row": row}),
                );
                self.fails |= n.abs() > 50;
                let row = Plain {
                    name: format!("r{name}"),
                    n: *n,
                    set: set.clone(),
                    kids,
                    ..Plain::default()
                };
                self.model.roots.insert(uuid, row);
            }
            Op::Kid { x, next, holder } => {
                let uuid = self.fresh();
                let next = next.and_then(|k| kid(&self.model, k));
                let mut row = json!({"x": x});
                if let Some(next) = next {
                    row["next"] = uuid_json(next);
                }
                self.json.push(
                    json!({"op": "insert", "table": "kid", "uuid": uuid.to_string(), "row": row}),
                );
                self.model.kids.insert(uuid, Plain { x: *x, next, ..Plain::default() });
                if let Some(holder) = holder.and_then(|k| root(&self.model, k)) {
                    self.mutate(by_uuid(holder), json!(["kids", "insert", uuid_json(uuid)]));
                    self.model.roots.get_mut(&holder).unwrap().kids.insert(uuid);
                }
            }
            Op::Set { root: k, n, set } => {
                let Some(uuid) = root(&self.model, *k) else { return };
                self.update(
                    "root",
                    uuid,
                    json!({"n": n, "set": Self::set_json(set.iter().map(|&v| v.into()))}),
                );
                self.fails |= n.abs() > 50;
                let row = self.model.roots.get_mut(&uuid).unwrap();
                (row.n, row.set) = (*n, set.clone());
            }
            Op::Rename { root: k, name } => {
                let Some(uuid) = root(&self.model, *k) else { return };
                self.update("root", uuid, json!({"name": format!("r{name}")}));
                self.model.roots.get_mut(&uuid).unwrap().name = format!("r{name}");
            }
            Op::Add { n } => {
                self.mutate(json!([["n", ">=", 0]]), json!(["n", "+=", n]));
                for row in self.model.roots.values_mut().filter(|row| row.n >= 0) {
                    row.n += n;
                    self.fails |= row.n.abs() > 50;
                }
            }
            Op::Insert { root: k, keys } => {
                let Some(uuid) = root(&self.model, *k) else { return };
                let pairs: Vec<Value> =
                    keys.iter().map(|(k, v)| json!([format!("k{k}"), v])).collect();
                self.mutate(by_uuid(uuid), json!(["map", "insert", ["map", pairs]]));
                let map = &mut self.model.roots.get_mut(&uuid).unwrap().map;
                for (k, v) in keys {
                    map.entry(format!("k{k}")).or_insert(*v);
                }
            }
            Op::Delete { root: k, keys } => {
                let Some(uuid) = root(&self.model, *k) else { return };
                let names = Self::set_json(keys.iter().map(|k| format!("k{k}").into()));
                self.mutate(by_uuid(uuid), json!(["map", "delete", names]));
                let map = &mut self.model.roots.get_mut(&uuid).unwrap().map;
                map.retain(|name, _| !keys.iter().any(|k| *name == format!("k{k}")));
            }
            Op::Link { root: k, kid: j }
            | Op::Unlink { root: k, kid: j }
            | Op::Weak { root: k, kid: j } => {
                let (Some(uuid), Some(kid)) = (root(&self.model, *k), kid(&self.model, *j)) else {
                    return;
                };
                let (column, mutator) = match op {
                    Op::Link { .. } => ("kids", "insert"),
                    Op::Unlink { .. } => ("kids", "delete"),
                    _ => ("weak", "insert"),
                };
                self.mutate(by_uuid(uuid), json!([column, mutator, uuid_json(kid)]));
                let row = self.model.roots.get_mut(&uuid).unwrap();
                match op {
                    Op::Link { .. } => row.kids.insert(kid),
                    Op::Unlink { .. } => row.kids.remove(&kid),
                    _ => row.weak.insert(kid),
                };
            }
            Op::Next { kid: k, next } => {
                let Some(uuid) = kid(&self.model, *k) else { return };
                let next = next.and_then(|k| kid(&self.model, k));
                self.update(
                    "kid",
                    uuid,
                    json!({"next": next.map_or(json!(["set", []]), uuid_json)}),
                );
                self.model.kids.get_mut(&uuid).unwrap().next = next;
            }
            Op::DropRoot { root: k } => {
                let Some(uuid) = root(&self.model, *k) else { return };
                self.json.push(json!({"op": "delete", "table": "root", "where": by_uuid(uuid)}));
                self.model.roots.remove(&uuid);
            }
            Op::DropKid { kid: k } => {
                let Some(uuid) = kid(&self.model, *k) else { return };
                self.json.push(json!({"op": "delete", "table": "kid", "where": by_uuid(uuid)}));
                self.model.kids.remove(&uuid);
            }
            Op::Abort => {
                self.json.push(json!({"op": "abort"}));
                self.fails = true;
            }
        }
    }

    /// What the end of the transaction makes of it; `None` when it must fail.
    fn settle(mut self, before: &Model) -> Option<Model> {
        if self.fails {
            return None;
        }
        let model = &mut self.model;
        // Strong references must hold before garbage is collected.
        let holds = |model: &Model| {
            let strong = model.roots.values().flat_map(|row| &row.kids);
            let next = model.kids.values().filter_map(|row| row.next.as_ref());
            strong.chain(next).all(|kid| model.kids.contains_key(kid))
        };
        if !holds(model) {
            return None;
        }
        // A row that nobody refers to goes, if the transaction has anything to do with it: what a commit
        // leaves is all referred to, so only rows that lost a reference or are new can be garbage. Two
        // rows that only refer to each other stay, as in Open vSwitch.
        loop {
            let referred: BTreeSet<Uuid> = model
                .roots
                .values()
                .flat_map(|row| row.kids.iter().copied())
                .chain(
                    model
                        .kids
                        .iter()
                        .filter_map(|(uuid, row)| row.next.filter(|next| next != uuid)),
                )
                .collect();
            let n = model.kids.len();
            model.kids.retain(|uuid, _| referred.contains(uuid));
            if model.kids.len() == n {
                break;
            }
        }
        if *model == *before {
            return Some(self.model);
        }
        let names: BTreeSet<&String> = model.roots.values().map(|row| &row.name).collect();
        if names.len() < model.roots.len() || model.roots.len() > 6 {
            return None;
        }
        let kids = &model.kids;
        for row in model.roots.values_mut() {
            row.weak.retain(|kid| kids.contains_key(kid));
        }
        Some(self.model)
    }
}

fn uuids_of(value: &Value) -> BTreeSet<Uuid> {
    let one = |value: &Value| Uuid::parse(value[1].as_str()?);
    match value[0].as_str() {
        Some("set") => value[1].as_array().unwrap().iter().filter_map(one).collect(),
        _ => one(value).into_iter().collect(),
    }
}

fn plain(row: &Map<String, Value>) -> Plain {
    let get = |name: &str| row.get(name).cloned().unwrap_or(Value::Null);
    let set = match get("set") {
        Value::Array(set) => {
            set[1].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
        }
        one => one.as_i64().into_iter().collect(),
    };
    let map = get("map");
    let map = map[1].as_array().into_iter().flatten();
    let map = map.map(|pair| (pair[0].as_str().unwrap().to_string(), pair[1].as_i64().unwrap()));
    Plain {
        name: get("name").as_str().unwrap_or("").to_string(),
        n: get("n").as_i64().unwrap_or(0),
        set,
        map: map.collect(),
        kids: uuids_of(&get("kids")),
        weak: uuids_of(&get("weak")),
        x: get("x").as_i64().unwrap_or(0),
        next: uuids_of(&get("next")).into_iter().next(),
    }
}

/// A client's copy of the tables, kept up by what its monitor tells.
#[derive(Default)]
struct Copy {
    tables: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
}

impl Copy {
    fn apply(&mut self, schema: &Schema, updates: &Value) {
        for (table, rows) in updates.as_object().unwrap() {
            let copy = self.tables.entry(table.clone()).or_default();
            for (uuid, update) in rows.as_object().unwrap() {
                let known = copy.contains_key(uuid);
                if let Some(new) = update.get("new") {
                    assert_eq!(update.get("old").is_some(), known, "{update}");
                    copy.insert(uuid.clone(), new.as_object().unwrap().clone());
                } else if update.get("old").is_some() || update.get("delete").is_some() {
                    assert!(copy.remove(uuid).is_some(), "{update}");
                } else if let Some(row) = update.get("initial").or(update.get("insert")) {
                    assert!(!known, "{update}");
                    let defaults = schema.tables[schema.table(table).unwrap()].named_columns();
                    let mut all: Map<String, Value> = defaults
                        .map(|(_, c)| {
                            (c.name.clone(), ovsdb::Datum::default_of(&c.kind).to_json(&c.kind))
                        })
                        .collect();
                    all.extend(row.as_object().unwrap().clone());
                    copy.insert(uuid.clone(), all);
                } else {
                    let row = copy.get_mut(uuid).expect("a row that is known");
                    for (name, difference) in update["modify"].as_object().unwrap() {
                        if name == "_version" {
                            continue;
                        }
                        let columns = &schema.tables[schema.table(table).unwrap()];
                        let kind = &columns.columns[columns.column(name).unwrap()].kind;
                        let unbounded = ovsdb::ColumnType { min: 0, ..kind.clone() };
                        let read = |value: &Value| {
                            ovsdb::Datum::from_json(&unbounded, value, None).unwrap()
                        };
                        let mut datum = read(&row[name]);
                        datum.apply_difference(&read(difference), kind);
                        row.insert(name.clone(), datum.to_json(kind));
                    }
                }
            }
        }
    }

    fn model(&self) -> Model {
        let [roots, kids] = KINDS.map(|table| {
            let rows = self.tables.get(table).into_iter().flatten();
            rows.map(|(uuid, row)| (Uuid::parse(uuid).unwrap(), plain(row))).collect()
        });
        Model { roots, kids }
    }
}

/// Clients that monitor: the first three everything, in the three ways there are, the others what
/// conditions say, which change.
const N: usize = 5;

/// Which rows a client wants to see: roots with a larger `n`, kids with a smaller `x`.
type Sight = (i64, i64);

/// A server with these clients.
struct World {
    server: Server,
    copies: [Copy; N],
    sights: [Option<Sight>; N],
    model: Model,
    last: String,
}

const WRITER: ClientId = ClientId(9);

impl World {
    fn new() -> Self {
        let database = Database::new(schema(), Uuid(1));
        let limits = Limits { probe: None, ..Limits::default() };
        let mut server = Server::new(limits, vec![(database, Keeping::Memory)], 5);
        for id in (0..5).map(ClientId).chain([WRITER]) {
            server.accepted(id, "client".into(), Nanos::ZERO);
        }
        let mut world = Self {
            server,
            copies: Default::default(),
            sights: [None, None, None, Some((0, 5)), Some((-10, 2))],
            model: Model::default(),
            last: String::new(),
        };
        for k in 0..N {
            world.monitor(k, &Uuid::ZERO.to_string());
        }
        world
    }

    fn ask(&mut self, id: ClientId, method: &str, params: Value) -> Vec<Value> {
        let text = json!({"method": method, "params": params, "id": 1}).to_string();
        self.server.received(id, text.as_bytes(), Nanos::ZERO);
        while self.server.poll(Nanos::ZERO, 0) {}
        self.read(id)
    }

    fn read(&mut self, id: ClientId) -> Vec<Value> {
        let outbox = self.server.output(id).unwrap();
        let bytes = outbox.pending().to_vec();
        outbox.consume(bytes.len());
        serde_json::Deserializer::from_slice(&bytes).into_iter().map(Result::unwrap).collect()
    }

    fn monitor(&mut self, k: usize, last: &str) {
        let requests = match self.sights[k] {
            None => json!({"root": [{}], "kid": [{}]}),
            Some(sight) => conditions(sight),
        };
        let (method, params) = [
            ("monitor", json!(["m", "m", requests])),
            ("monitor_cond", json!(["m", "m", requests])),
            ("monitor_cond_since", json!(["m", "m", requests, last])),
            ("monitor_cond", json!(["m", "m", requests])),
            ("monitor_cond_since", json!(["m", "m", requests, last])),
        ][k]
            .clone();
        let reply = self.ask(ClientId(u32::try_from(k).unwrap()), method, params).pop().unwrap();
        assert!(reply["error"].is_null(), "{reply}");
        let updates = if [2, 4].contains(&k) { &reply["result"][2] } else { &reply["result"] };
        if k == 2 {
            self.last = reply["result"][1].as_str().unwrap().to_string();
            if reply["result"][0] == false {
                self.copies[2] = Copy::default();
            }
        }
        self.copies[k].apply(&schema(), updates);
    }

    /// Reads what the clients were told; `who` says which of them do.
    fn hear(&mut self, who: [bool; N]) {
        while self.server.poll(Nanos::ZERO, 0) {}
        for k in (0..N).filter(|&k| who[k]) {
            let messages = self.read(ClientId(u32::try_from(k).unwrap()));
            self.take(k, &messages);
        }
    }

    /// What a client makes of messages: notifications, and perhaps a reply at the end.
    fn take(&mut self, k: usize, messages: &[Value]) {
        for message in messages.iter().filter(|message| message["method"].is_string()) {
            let params = message["params"].as_array().unwrap();
            self.copies[k].apply(&schema(), params.last().unwrap());
            if k == 2 {
                self.last = params[1].as_str().unwrap().to_string();
            }
        }
    }

    /// A client wants to see other rows.
    fn look(&mut self, k: usize, sight: Sight) {
        self.sights[k] = Some(sight);
        let params = json!(["m", "m", conditions(sight)]);
        let messages = self.ask(ClientId(u32::try_from(k).unwrap()), "monitor_cond_change", params);
        assert_eq!(messages.last().unwrap()["result"], json!({}), "{messages:?}");
        self.take(k, &messages);
    }

    /// What a client is to know.
    fn seen_by(&self, k: usize) -> Model {
        let mut model = self.model.clone();
        if let Some((n, x)) = self.sights[k] {
            model.roots.retain(|_, root| root.n > n);
            model.kids.retain(|_, kid| kid.x < x);
        }
        model
    }

    /// The third client loses its connection and comes back with what it knew last.
    fn reconnect(&mut self) {
        self.server.closed(ClientId(2));
        self.server.accepted(ClientId(2), "again".into(), Nanos::ZERO);
        let last = self.last.clone();
        self.monitor(2, &last);
    }
}

fn conditions((n, x): Sight) -> Value {
    json!({"root": [{"where": [["n", ">", n]]}], "kid": [{"where": [["x", "<", x]]}]})
}

#[derive(Clone, Debug)]
struct Step {
    ops: Vec<Op>,
    hear: [bool; N],
    reconnect: bool,
    look: Option<(usize, Sight)>,
}

fn step() -> impl Strategy<Value = Step> {
    let look = prop::option::weighted(0.3, (3..N, (-50i64..50, -1i64..9)));
    (prop::collection::vec(op(), 1..6), any::<[bool; N]>(), prop::bool::weighted(0.1), look)
        .prop_map(|(ops, hear, reconnect, look)| Step { ops, hear, reconnect, look })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn transactions_do_what_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let mut fresh = 0;
        for step in steps {
            let mut draft = Draft { model: world.model.clone(), json: vec![json!("m")], fails: false, fresh: &mut fresh };
            step.ops.iter().for_each(|op| draft.add(op));
            let json = Value::Array(draft.json.clone());
            let expected = draft.settle(&world.model);
            let reply = world.ask(WRITER, "transact", json.clone()).pop().unwrap();
            let results = reply["result"].as_array().unwrap();
            let failed = results.iter().any(|result| result.get("error").is_some());
            prop_assert_eq!(failed, expected.is_none(), "{} {}", json, reply);
            if let Some(model) = expected {
                world.model = model;
            }
            if step.reconnect {
                world.reconnect();
            }
            if let Some((k, sight)) = step.look {
                world.look(k, sight);
            }
            world.hear(step.hear);
            for k in (0..N).filter(|&k| step.hear[k]) {
                prop_assert_eq!(world.copies[k].model(), world.seen_by(k), "client {}", k);
            }
        }
        world.hear([true; N]);
        for k in 0..N {
            prop_assert_eq!(world.copies[k].model(), world.seen_by(k));
        }
        // What a log's reader would see is the same again.
        let database = world.server.database("m").unwrap();
        let text = ovsdb::log::snapshot(database, "", 0).concat();
        let loaded = ovsdb::log::load_text(&text, &mut ovsdb::Uuids::new(1)).unwrap();
        let again = Server::new(Limits::default(), vec![(loaded.database, Keeping::Memory)], 5);
        let select = |table: &str, server: &mut Server| {
            let all = json!({"op": "select", "table": table, "where": []});
            let rows = server.transact("m", &[all], 0).remove(0);
            let rows = rows["rows"].as_array().unwrap().clone();
            rows.iter().map(|row| (uuids_of(&row["_uuid"]), plain(row.as_object().unwrap()))).collect::<Vec<_>>()
        };
        let mut servers = [world.server, again];
        for table in KINDS {
            let [ours, read] = servers.each_mut().map(|server| select(table, server));
            prop_assert_eq!(ours, read);
        }
    }
}
