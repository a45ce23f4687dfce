//! Dialogues: lines of clients, and what each client reads.

use super::*;
use crate::schema::Schema;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

struct Bench {
    server: Server,
    now: Nanos,
}

const A: ClientId = ClientId(1);
const B: ClientId = ClientId(2);

fn schema() -> Schema {
    Schema::from_json(&json!({"name": "db", "tables": {"t": {"isRoot": true, "columns": {
        "k": {"type": "integer"},
        "v": {"type": {"key": "string", "min": 0}},
        "e": {"type": "integer", "ephemeral": true},
        "set": {"type": {"key": "integer", "min": 0, "max": "unlimited"}},
        "map": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}}}}}}))
    .unwrap()
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default(), Keeping::Memory)
    }

    fn with(limits: Limits, keeping: Keeping) -> Self {
        let database = Database::new(schema(), Uuid(7));
        let mut server = Server::new(limits, vec![(database, keeping)], 1);
        for id in [A, B] {
            assert!(server.accepted(id, format!("{id:?}"), Nanos::ZERO));
        }
        Self { server, now: Nanos::ZERO }
    }

    fn run(&mut self) {
        while self.server.poll(self.now, 1_000) {}
    }

    fn read(&mut self, id: ClientId) -> Vec<Value> {
        let Some(outbox) = self.server.output(id) else { return Vec::new() };
        let bytes = outbox.pending().to_vec();
        outbox.consume(bytes.len());
        let stream = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        stream.map(|message| message.unwrap()).collect()
    }

    fn tell(&mut self, id: ClientId, message: Value) {
        let text = message.to_string();
        assert_eq!(self.server.received(id, text.as_bytes(), self.now), text.len());
        self.run();
    }

    /// A request, and all that the client reads after it.
    fn ask(&mut self, id: ClientId, method: &str, params: Value) -> Vec<Value> {
        self.tell(id, json!({"method": method, "params": params, "id": 0}));
        self.read(id)
    }

    /// A request with one message for an answer: its result, or error.
    #[track_caller]
    fn call(&mut self, id: ClientId, method: &str, params: Value) -> Value {
        let mut messages = self.ask(id, method, params);
        assert_eq!(messages.len(), 1, "{messages:?}");
        let reply = messages.remove(0);
        if reply["error"].is_null() { reply["result"].clone() } else { reply["error"].clone() }
    }

    #[track_caller]
    fn insert(&mut self, id: ClientId, k: i64) -> Uuid {
        let insert = json!(["db", {"op": "insert", "table": "t", "row": {"k": k}}]);
        let reply = self.ask(id, "transact", insert).pop().unwrap();
        Uuid::parse(reply["result"][0]["uuid"][1].as_str().unwrap()).unwrap()
    }

    fn update(&mut self, id: ClientId, k: i64, row: Value) -> Vec<Value> {
        let update =
            json!(["db", {"op": "update", "table": "t", "where": [["k", "==", k]], "row": row}]);
        self.ask(id, "transact", update)
    }
}

#[test]
fn simple_methods() {
    let mut bench = Bench::new();
    assert_eq!(bench.call(A, "list_dbs", json!([])), json!(["_Server", "db"]));
    assert_eq!(bench.call(A, "echo", json!([1, {"a": 2}])), json!([1, {"a": 2}]));
    assert_eq!(bench.call(A, "get_schema", json!(["db"])), schema().to_json());
    assert_eq!(bench.call(A, "get_schema", json!(["no"]))["error"], "unknown database");
    assert_eq!(bench.call(A, "get_schema", json!([1]))["error"], "syntax error");
    assert_eq!(bench.call(A, "fly", json!([])), "unknown method");
    assert_eq!(bench.call(A, "set_db_change_aware", json!([true])), json!({}));
    assert_eq!(bench.call(A, "set_db_change_aware", json!([1]))["error"], "syntax error");
    assert_eq!(bench.call(A, "convert", json!(["db", {}]))["error"], "not supported");
    let id = bench.call(A, "get_server_id", json!([]));
    assert_eq!(bench.call(B, "get_server_id", json!([])), id);
    let names = json!(["_Server", {"op": "select", "table": "Database", "where": [], "columns": ["name"], "sort": ["name"]}]);
    assert_eq!(
        bench.call(A, "transact", names)[0]["rows"],
        json!([{"name": "_Server"}, {"name": "db"}])
    );
    let write = json!(["_Server", {"op": "delete", "table": "Database", "where": []}]);
    assert_eq!(bench.call(A, "transact", write)[0]["error"], "not allowed");
    // Replies and unknown notifications are not answered.
    bench.tell(A, json!({"result": [], "error": null, "id": "echo"}));
    bench.tell(A, json!({"method": "fly", "params": [], "id": null}));
    assert_eq!(bench.read(A), Vec::<Value>::new());
}

#[test]
fn monitor_tells_before_the_reply() {
    let mut bench = Bench::new();
    let one = bench.insert(A, 1);
    let first = bench.call(B, "monitor", json!(["db", "m", {"t": {"columns": ["k", "v"]}}]));
    assert_eq!(first, json!({"t": {one.to_string(): {"new": {"k": 1, "v": ["set", []]}}}}));
    // Who changes hears of it before the reply; who does not, too.
    assert_eq!(bench.ask(A, "monitor", json!(["db", 9, {"t": [{"columns": ["k"], "select": {"initial": false, "modify": false}}]}]))[0]["result"], json!({}));
    let heard = bench.update(B, 1, json!({"v": "x", "e": 5}));
    let old_and_new = json!({"old": {"v": ["set", []]}, "new": {"k": 1, "v": "x"}});
    assert_eq!(
        heard[0],
        json!({"method": "update", "id": null, "params": ["m", {"t": {one.to_string(): old_and_new}}]})
    );
    assert_eq!(heard[1]["result"], json!([{"count": 1}]));
    assert_eq!(bench.read(A), Vec::<Value>::new());
    // Columns that it does not look at.
    assert_eq!(bench.update(B, 1, json!({"e": 6})).len(), 1);
    let gone = bench.ask(B, "transact", json!(["db", {"op": "delete", "table": "t", "where": []}]));
    assert_eq!(gone[0]["params"][1]["t"][one.to_string()], json!({"old": {"k": 1, "v": "x"}}));
    assert_eq!(bench.read(A)[0]["params"], json!([9, {"t": {one.to_string(): {"old": {"k": 1}}}}]));
    assert_eq!(bench.call(B, "monitor_cancel", json!(["m"])), json!({}));
    assert_eq!(bench.call(B, "monitor_cancel", json!(["m"])), "unknown monitor");
    bench.insert(B, 2);
    assert_eq!(bench.read(B), Vec::<Value>::new());
}

#[test]
fn bad_monitors() {
    let mut bench = Bench::new();
    for params in [
        json!([]),
        json!(["db"]),
        json!(["db", 1]),
        json!(["db", 1, []]),
        json!(["db", 1, {"no": {}}]),
        json!(["db", 1, {"t": 1}]),
        json!(["db", 1, {"t": {"columns": ["no"]}}]),
        json!(["db", 1, {"t": [{"columns": ["k"]}, {"columns": ["k"]}]}]),
        json!(["db", 1, {"t": {"select": {"never": true}}}]),
        json!(["db", 1, {"t": {"where": []}}]),
    ] {
        assert_eq!(bench.call(A, "monitor", params.clone())["error"], "syntax error", "{params}");
    }
    assert_eq!(bench.call(A, "monitor", json!(["db", 1, {}])), json!({}));
    assert_eq!(bench.call(A, "monitor", json!(["db", 1, {}]))["details"], "duplicate monitor ID");
    for k in 2..17 {
        assert_eq!(bench.call(A, "monitor", json!(["db", k, {}])), json!({}));
    }
    assert_eq!(bench.call(A, "monitor", json!(["db", 17, {}]))["error"], "resources exhausted");
}

#[test]
fn conditional_monitors() {
    let mut bench = Bench::new();
    let (one, two) = (bench.insert(A, 1).to_string(), bench.insert(A, 2).to_string());
    let request =
        json!(["db", "m", {"t": [{"columns": ["k", "set", "map"], "where": [["k", "==", 1]]}]}]);
    assert_eq!(bench.call(B, "monitor_cond", request), json!({"t": {&one: {"initial": {"k": 1}}}}));
    let tells = |bench: &mut Bench, k: i64, row: Value| {
        bench.update(A, k, row);
        bench.read(B).iter().map(|m| m["params"][1]["t"].clone()).collect::<Vec<_>>()
    };
    // Changes inside; differences of sets and maps.
    let row = json!({"set": ["set", [1, 2]], "map": ["map", [["a", 1], ["b", 2]]]});
    assert_eq!(tells(&mut bench, 1, row.clone()), [json!({&one: {"modify": row}})]);
    let row = json!({"set": ["set", [2, 3]], "map": ["map", [["b", 3], ["c", 4]]]});
    let difference =
        json!({"set": ["set", [1, 3]], "map": ["map", [["a", 1], ["b", 3], ["c", 4]]]});
    assert_eq!(tells(&mut bench, 1, row.clone()), [json!({&one: {"modify": difference}})]);
    // Out of sight, and into it.
    assert_eq!(tells(&mut bench, 1, json!({"k": 3})), [json!({&one: {"delete": null}})]);
    assert_eq!(tells(&mut bench, 3, json!({"e": 3})), Vec::<Value>::new());
    assert_eq!(tells(&mut bench, 2, json!({"k": 1})), [json!({&two: {"insert": {"k": 1}}})]);
    // Another condition: what comes and goes is told before the reply.
    let heard =
        bench.ask(B, "monitor_cond_change", json!(["m", "n", {"t": [{"where": [["k", ">", 2]]}]}]));
    let update = json!({&one: {"insert": {"k": 3, "set": ["set", [2, 3]], "map": ["map", [["b", 3], ["c", 4]]]}}, &two: {"delete": null}});
    assert_eq!(heard[0], json!({"method": "update2", "id": null, "params": ["n", {"t": update}]}));
    assert_eq!(heard[1]["result"], json!({}));
    for params in [
        json!(["m", "m", {}]),
        json!(["n", "n"]),
        json!(["n", "n", []]),
        json!(["n", "n", {"no": []}]),
        json!(["n", "n", {"t": {}}]),
        json!(["n", "n", {"t": [{"columns": ["k"]}]}]),
        json!(["n", "n", {"t": [{"where": [["k"]]}]}]),
    ] {
        assert_eq!(
            bench.call(B, "monitor_cond_change", params.clone())["error"],
            "syntax error",
            "{params}"
        );
    }
}

#[test]
fn since_tells_what_was_missed() {
    let mut bench = Bench::new();
    let one = bench.insert(A, 1).to_string();
    let ask = |bench: &mut Bench, id: ClientId, name: &str, last: &str| {
        bench.call(id, "monitor_cond_since", json!(["db", name, {"t": [{"columns": ["k"]}]}, last]))
    };
    let zero = Uuid::ZERO.to_string();
    let first = ask(&mut bench, B, "m", &zero);
    assert_eq!(
        (&first[0], &first[2]),
        (&json!(false), &json!({"t": {&one: {"initial": {"k": 1}}}}))
    );
    let last = first[1].as_str().unwrap().to_string();
    // Nothing missed.
    assert_eq!(ask(&mut bench, A, "same", &last), json!([true, last, {}]));
    bench.server.closed(B);
    bench.update(A, 1, json!({"k": 5}));
    let two = bench.insert(A, 2).to_string();
    let three = bench.insert(A, 3).to_string();
    bench.ask(
        A,
        "transact",
        json!(["db", {"op": "delete", "table": "t", "where": [["k", "==", 3]]}]),
    );
    bench.server.accepted(B, "again".into(), bench.now);
    let missed = ask(&mut bench, B, "m", &last);
    assert_eq!(missed[0], true);
    assert_eq!(
        missed[2],
        json!({"t": {&one: {"modify": {"k": 5}}, &two: {"insert": {"k": 2}}}}),
        "{three}"
    );
    // Updates go on with the name of the state.
    bench.update(A, 2, json!({"k": 7}));
    let update = bench.read(B).remove(0);
    let newest = bench.server.database("db").unwrap().last_commit().to_string();
    assert_eq!(
        update,
        json!({"method": "update3", "id": null, "params": ["m", newest, {"t": {&two: {"modify": {"k": 7}}}}]})
    );
    // An unknown state: everything.
    let all = ask(&mut bench, B, "x", "550e8400-e29b-41d4-a716-446655440000");
    assert_eq!((&all[0], all[2]["t"].as_object().unwrap().len()), (&json!(false), 2));
    assert_eq!(ask(&mut bench, B, "y", "no")["error"], "syntax error");
}

#[test]
fn history_is_bounded() {
    let mut bench = Bench::new();
    bench.insert(A, 1);
    let old = bench.server.database("db").unwrap().last_commit().to_string();
    for k in 0..200 {
        bench.update(A, k + 1, json!({"k": k + 2}));
    }
    let reply = bench.call(B, "monitor_cond_since", json!(["db", 1, {"t": [{}]}, old]));
    assert_eq!(reply[0], false);
}

#[test]
fn waits_come_true_time_out_and_are_cancelled() {
    let mut bench = Bench::new();
    let wait = |id: i64, timeout: Value| {
        let mut wait = json!({"op": "wait", "table": "t", "where": [], "columns": ["k"], "until": "==", "rows": [{"k": 1}]});
        if !timeout.is_null() {
            wait["timeout"] = timeout;
        }
        json!({"method": "transact", "id": id, "params": ["db", wait, {"op": "update", "table": "t", "where": [], "row": {"v": "seen"}}]})
    };
    bench.tell(A, wait(1, Value::Null));
    bench.tell(A, wait(2, json!(50)));
    bench.tell(A, wait(3, Value::Null));
    assert_eq!(bench.ask(A, "echo", json!([])).len(), 1);
    assert_eq!(bench.server.next_deadline(), Some(Nanos::from_millis(50)));
    bench.now = Nanos::from_millis(50);
    bench.run();
    let reply = bench.read(A).remove(0);
    assert_eq!((&reply["id"], &reply["result"][0]["error"]), (&json!(2), &json!("timed out")));
    bench.tell(A, json!({"method": "cancel", "params": [3], "id": null}));
    assert_eq!(bench.read(A), [json!({"id": 3, "result": null, "error": "canceled"})]);
    // Duplicate name of a request that still waits.
    bench.tell(A, wait(1, Value::Null));
    assert_eq!(bench.read(A)[0]["error"]["error"], "syntax error");
    bench.insert(B, 1);
    bench.run();
    assert_eq!(bench.read(A), [json!({"id": 1, "result": [{}, {"count": 1}], "error": null})]);
    // Only so many may wait.
    for id in 10..26 {
        let mut wait = wait(id, Value::Null);
        wait["params"][1]["rows"] = json!([]);
        bench.tell(A, wait.clone());
        wait["id"] = json!("more");
        if id == 25 {
            bench.tell(A, wait);
        }
    }
    assert_eq!(bench.read(A)[0]["result"][0]["error"], "resources exhausted");
}

#[test]
fn locks() {
    let mut bench = Bench::new();
    let assert_lock = |bench: &mut Bench, id| {
        bench.call(id, "transact", json!(["db", {"op": "assert", "lock": "l"}]))[0]["error"].clone()
    };
    assert_eq!(bench.call(A, "lock", json!(["l"])), json!({"locked": true}));
    assert_eq!(bench.call(B, "lock", json!(["l"])), json!({"locked": false}));
    assert_eq!(
        (assert_lock(&mut bench, A), assert_lock(&mut bench, B)),
        (Value::Null, json!("not owner"))
    );
    assert_eq!(bench.call(A, "lock", json!(["l"]))["error"], "syntax error");
    assert_eq!(bench.call(A, "unlock", json!(["l"])), json!({}));
    assert_eq!(bench.read(B), [json!({"method": "locked", "params": ["l"], "id": null})]);
    assert_eq!(bench.call(A, "unlock", json!(["l"]))["error"], "syntax error");
    assert_eq!(bench.call(A, "steal", json!(["l"])), json!({"locked": true}));
    assert_eq!(bench.read(B), [json!({"method": "stolen", "params": ["l"], "id": null})]);
    assert_eq!(assert_lock(&mut bench, B), json!("not owner"));
    // A stolen lock is to be unlocked before it is asked for again.
    assert_eq!(bench.call(B, "lock", json!(["l"]))["error"], "syntax error");
    assert_eq!(bench.call(B, "unlock", json!(["l"])), json!({}));
    assert_eq!(bench.call(B, "lock", json!(["l"])), json!({"locked": false}));
    bench.server.closed(A);
    assert_eq!(bench.read(B), [json!({"method": "locked", "params": ["l"], "id": null})]);
    assert_eq!(bench.call(B, "lock", json!(["1"]))["error"], "syntax error");
}

#[test]
fn nothing_is_told_before_it_is_durable() {
    let mut bench = Bench::with(Limits::default(), Keeping::Log);
    bench.call(B, "monitor", json!(["db", 1, {"t": {}}]));
    let insert = json!(["db", {"op": "insert", "table": "t", "row": {"k": 1}}, {"op": "comment", "comment": "c"}]);
    assert_eq!(bench.ask(A, "transact", insert), Vec::<Value>::new());
    // Others who could have seen it wait too.
    let select = json!(["db", {"op": "select", "table": "t", "where": [], "columns": ["k"]}]);
    assert_eq!(bench.ask(B, "transact", select), Vec::<Value>::new());
    let records = bench.server.take_records();
    assert_eq!(records.len(), 1);
    let text = String::from_utf8(records[0].clone()).unwrap();
    assert!(text.starts_with("OVSDB JSON ") && text.contains("\"_comment\":\"c\",\"_date\":1000"));
    bench.server.records_durable(1);
    assert_eq!(bench.read(A).len(), 1);
    assert_eq!(bench.read(B).len(), 2);
    // A change of what is not kept needs no record.
    bench.update(A, 1, json!({"e": 9}));
    assert_eq!((bench.server.take_records().len(), bench.read(B).len()), (0, 1));
    // A broken log: who waits for it is closed, who comes later is refused.
    bench.update(A, 1, json!({"k": 2}));
    bench.server.log_failed();
    let mut closed: Vec<_> = core::iter::from_fn(|| bench.server.next_close()).collect();
    closed.sort_by_key(|(id, _)| *id);
    assert_eq!(closed, [(A, CloseReason::LogFailed), (B, CloseReason::LogFailed)]);
    bench.server.accepted(A, "again".into(), bench.now);
    assert_eq!(bench.update(A, 2, json!({"k": 3}))[0]["result"][1]["error"], "I/O error");
}

#[test]
fn broken_streams_end_with_a_reason() {
    for (bytes, reason) in [
        (&b"{\"a\":1}"[..], CloseReason::NotJsonRpc),
        (b"[1]", CloseReason::Json(JsonError::NotAnObject)),
        (b"{\"method\":\"echo\",\"params\":{},\"id\":1}", CloseReason::NotJsonRpc),
        (
            b"{\"method\":\"\xff\",\"params\":[],\"id\":1}",
            CloseReason::Json(JsonError::Malformed { line: 1, column: 13 }),
        ),
    ] {
        let mut bench = Bench::new();
        bench.server.received(A, bytes, bench.now);
        bench.run();
        assert_eq!(bench.server.next_close(), Some((A, reason)));
        assert_eq!((bench.server.next_close(), bench.server.n_clients()), (None, 1));
        // Bytes that are still under way go nowhere.
        assert_eq!(bench.server.received(A, b"x", bench.now), 1);
    }
}

#[test]
fn silent_clients_are_asked_and_then_closed() {
    let mut bench = Bench::new();
    bench.now = Nanos::from_secs(5);
    bench.run();
    let probe = [json!({"method": "echo", "params": [], "id": "echo"})];
    assert_eq!((bench.read(A), bench.read(B)), (probe.to_vec(), probe.to_vec()));
    bench.tell(A, json!({"result": [], "error": null, "id": "echo"}));
    bench.now = Nanos::from_secs(10);
    bench.run();
    assert_eq!(bench.server.next_close(), Some((B, CloseReason::Idle)));
    assert_eq!(bench.server.next_close(), None);
    assert_eq!(bench.read(A), probe);
}

#[test]
fn a_slow_reader_gets_fewer_updates_and_no_more_answers() {
    let limits = Limits { high_water: 400, ..Limits::default() };
    let mut bench = Bench::with(limits, Keeping::Memory);
    bench.insert(A, 0);
    bench.call(B, "monitor", json!(["db", 1, {"t": {"columns": ["k"]}}]));
    for k in 0..1000 {
        bench.update(A, k, json!({"k": k + 1}));
    }
    // B has not read: its outbox is just beyond its mark, however much happened.
    assert!(bench.server.output(B).unwrap().len() < 700);
    let first = bench.read(B);
    assert!(first.len() < 5);
    bench.run();
    let rest = bench.read(B);
    assert_eq!(rest.len(), 1);
    let row = rest[0]["params"][1]["t"].as_object().unwrap().values().next().unwrap();
    assert_eq!(row["new"]["k"], 1000);
    // Requests wait until answers are read.
    let echo = json!({"method": "echo", "params": ["x".repeat(300)], "id": 1}).to_string();
    for _ in 0..10 {
        bench.server.received(B, echo.as_bytes(), bench.now);
    }
    bench.run();
    assert_eq!(bench.read(B).len(), 2);
    bench.run();
    assert_eq!(bench.read(B).len(), 2);
}

#[test]
fn clients_and_their_bytes_are_bounded() {
    let limits = Limits { max_clients: 2, max_input: 3_000, ..Limits::default() };
    let mut bench = Bench::with(limits, Keeping::Memory);
    assert!(!bench.server.accepted(ClientId(3), "third".into(), bench.now));
    let unfinished = format!("{{\"a\":\"{}", "x".repeat(2_000));
    assert_eq!(bench.server.received(A, unfinished.as_bytes(), bench.now), unfinished.len());
    bench.server.received(B, unfinished.as_bytes(), bench.now);
    bench.run();
    assert_eq!(bench.server.next_close(), Some((B, CloseReason::TooMuchInput)));
}

#[test]
fn the_switch_itself_writes_what_clients_may_not() {
    let mut bench = Bench::new();
    let insert = json!({"op": "insert", "table": "t", "row": {"k": 4}});
    assert!(bench.server.transact("db", &[insert], 0)[0]["uuid"].is_array());
    let wait = json!({"op": "wait", "table": "t", "where": [], "columns": ["k"], "until": "==", "rows": []});
    assert_eq!(bench.server.transact("db", &[wait], 0)[0]["error"], "timed out");
    assert_eq!(bench.server.transact("no", &[], 0)[0]["error"], "unknown database");
}
