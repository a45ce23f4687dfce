//! A request of a hundred thousand operations is served in steps of bounded work, at one moment for
//! everybody else.

use ovsdb::{
    Bounds, CellChange, ClientId, Database, Datum, JsonLimits, Keeping, Limits, Schema, Server,
    Uuid,
};
use serde_json::{Value, json};
use std::cell::Cell;
use sync::time::Nanos;

const N: usize = 100_000;
/// Work of one step, with its last piece: an operation, a request or a row.
const STEP: usize = 8192 + 1024;
/// Rows that one operation looks at before the others have a turn.
const ROWS: usize = 256;

const WRITER: ClientId = ClientId(1);
const OTHER: ClientId = ClientId(2);

thread_local! {
    /// Turns of the others within steps.
    static BREATHS: Cell<usize> = const { Cell::new(0) };
}

fn schema() -> Schema {
    Schema::from_json(&json!({"name": "d", "tables": {
        "t": {"isRoot": true, "indexes": [["n"]], "columns": {
            "n": {"type": "integer"},
            "kid": {"type": {"key": {"type": "uuid", "refTable": "kid"}, "min": 0}}}},
        "kid": {"columns": {"x": {"type": "integer"}}},
        "s": {"isRoot": true, "columns": {"state": {"type": "integer", "ephemeral": true}}}}}))
    .unwrap()
}

struct Bench {
    server: Server,
    n_polls: usize,
}

impl Bench {
    fn new() -> Self {
        let limits = Limits {
            json: JsonLimits { max_bytes: 64 << 20, max_depth: 64, max_values: 100_000_000 },
            max_input: 128 << 20,
            bounds: Bounds { max_operations: 2 * N, max_weight: 1 << 30, ..Bounds::default() },
            probe: None,
            ..Limits::default()
        };
        let database = Database::new(schema(), Uuid(7));
        let mut server = Server::new(limits, vec![(database, Keeping::Memory)], 1);
        server.set_breathe(|| {
            BREATHS.with(|breaths| breaths.set(breaths.get() + 1));
        });
        for id in [WRITER, OTHER] {
            assert!(server.accepted(id, format!("{id:?}"), Nanos::ZERO));
        }
        let mut bench = Self { server, n_polls: 0 };
        bench.send(WRITER, "transact", json!(["d", {"op": "insert", "table": "s", "row": {}}]));
        while bench.poll() {}
        bench.read(WRITER);
        bench
    }

    fn send(&mut self, id: ClientId, method: &str, params: Value) {
        let text = json!({"method": method, "params": params, "id": 0}).to_string();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let taken = self.server.received(id, rest, Nanos::ZERO);
            rest = &rest[taken..];
            if taken == 0 {
                self.poll();
            }
        }
    }

    fn poll(&mut self) -> bool {
        let before = BREATHS.with(Cell::get);
        let worked = self.server.poll(Nanos::ZERO, 0);
        self.n_polls += 1;
        let n_breaths = BREATHS.with(Cell::get) - before;
        let work = self.server.last_work();
        assert!(work <= STEP + ROWS * n_breaths, "a step of {work} with {n_breaths} breaths");
        worked
    }

    fn read(&mut self, id: ClientId) -> Vec<Value> {
        let outbox = self.server.output(id).unwrap();
        let bytes = outbox.pending().to_vec();
        outbox.consume(bytes.len());
        let messages = serde_json::Deserializer::from_slice(&bytes).into_iter();
        messages.map(|message| message.unwrap()).collect()
    }

    fn n_rows(&self) -> usize {
        self.server.database("d").unwrap().n_rows(table("t"))
    }
}

fn table(name: &str) -> usize {
    schema().table(name).unwrap()
}

/// Inserts with references, so that every phase has something to do.
fn inserts(n: usize) -> Vec<Value> {
    let mut params = vec![json!("d")];
    for k in 0..n / 2 {
        params.push(
            json!({"op": "insert", "table": "kid", "uuid-name": format!("k{k}"), "row": {"x": k}}),
        );
        params.push(
            json!({"op": "insert", "table": "t", "row": {"n": k, "kid": ["named-uuid", format!("k{k}")]}}),
        );
    }
    params
}

#[test]
fn a_hundred_thousand_operations() {
    let mut bench = Bench::new();
    bench.send(OTHER, "monitor", json!(["d", "m", {"t": {"columns": ["n"]}}]));
    while bench.poll() {}
    bench.read(OTHER);

    bench.send(WRITER, "transact", Value::Array(inserts(N)));
    // Another client's transaction, and the switch's own status, come in the middle.
    let count =
        json!(["d", {"op": "select", "table": "t", "where": [["n", "<", 10]], "columns": ["n"]}]);
    bench.send(OTHER, "transact", count);
    while !bench.server.is_transacting() {
        assert!(bench.poll(), "parsing ends");
    }
    let before = bench.n_polls;
    let state = {
        let database = bench.server.database("d").unwrap();
        let row = database.rows(table("s")).next().unwrap().uuid();
        let column = schema().tables[table("s")].column("state").unwrap();
        CellChange { table: table("s"), row, column, value: Datum::of(5) }
    };
    while bench.n_rows() == 0 {
        assert_eq!(bench.read(OTHER), Vec::<Value>::new(), "another request is answered before");
        assert_eq!(bench.server.write_cells("d", vec![state.clone()], 0), Ok(false));
        assert!(bench.poll());
        assert!([0, N / 2].contains(&bench.n_rows()), "half a transaction is seen");
    }
    let steps = bench.n_polls - before;
    assert!(steps > N * 64 / 8192, "{steps} steps");
    assert!(BREATHS.with(Cell::get) > N / 64, "nobody had a turn while it was applied");
    while bench.poll() {}
    assert_eq!(bench.n_rows(), N / 2);
    assert_eq!(bench.server.write_cells("d", vec![state], 0), Ok(true));

    let reply = bench.read(WRITER).remove(0);
    assert_eq!(reply["result"].as_array().map(Vec::len), Some(N));
    let heard = bench.read(OTHER);
    assert_eq!(heard.len(), 2, "one update of all rows, and the answer after it");
    assert_eq!(heard[0]["params"][1]["t"].as_object().map(serde_json::Map::len), Some(N / 2));
    assert_eq!(heard[1]["result"][0]["rows"].as_array().map(Vec::len), Some(10));

    // What fails at its end has done nothing.
    let mut params = vec![json!("d"), json!({"op": "delete", "table": "t", "where": []})];
    params.extend((0..N / 10).map(|k| json!({"op": "insert", "table": "t", "row": {"n": k}})));
    params.push(json!({"op": "insert", "table": "t", "row": {"n": 1}}));
    bench.send(WRITER, "transact", Value::Array(params));
    while bench.poll() {}
    let reply = bench.read(WRITER).remove(0);
    let error = reply["result"].as_array().unwrap().last().unwrap();
    assert_eq!(error["error"], "constraint violation");
    assert_eq!(bench.n_rows(), N / 2);
}

/// A client that goes away in the middle takes its transaction with it, and others are served.
#[test]
fn a_client_that_goes_takes_its_transaction_along() {
    let mut bench = Bench::new();
    bench.send(WRITER, "transact", Value::Array(inserts(N / 10)));
    while !bench.server.is_transacting() {
        bench.poll();
    }
    bench.poll();
    bench.server.closed(WRITER);
    assert!(!bench.server.is_transacting());
    bench.send(OTHER, "echo", json!([1]));
    while bench.poll() {}
    assert_eq!(bench.read(OTHER).len(), 1);
    assert_eq!(bench.n_rows(), 0);
    // In the middle of a message, too.
    assert!(bench.server.accepted(WRITER, "again".into(), Nanos::ZERO));
    bench.send(WRITER, "transact", Value::Array(inserts(N / 10)));
    bench.poll();
    bench.server.closed(WRITER);
    bench.send(OTHER, "echo", json!([2]));
    while bench.poll() {}
    assert_eq!(bench.read(OTHER).len(), 1);
}
