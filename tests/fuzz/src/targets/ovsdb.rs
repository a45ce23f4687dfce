//! The configuration database: what a client sends, what a transaction does, what a log says.

use crate::corpus::Input;
use crate::{Behaviour, behaviour};
use ::ovsdb::log::{load_text, snapshot};
use ::ovsdb::{ClientId, CloseReason, Database, Keeping, Limits, Schema, Server, Uuids};
use serde_json::{Value, json};
use sync::time::Nanos;

/// Pieces of messages, operations and records.
pub(super) const WORDS: &[&[u8]] = &[
    b"{\"id\":1,\"method\":\"transact\",\"params\":[\"d\",",
    b"{\"id\":2,\"method\":\"monitor_cond_since\",\"params\":[\"d\",1,{\"t\":[{}]},\"",
    b"{\"op\":\"insert\",\"table\":\"t\",\"row\":{",
    b"{\"op\":\"update\",\"table\":\"t\",\"where\":[],\"row\":{",
    b"{\"op\":\"mutate\",\"table\":\"t\",\"where\":[],\"mutations\":[[",
    b"{\"op\":\"delete\",\"table\":\"kid\",\"where\":[",
    b"{\"op\":\"wait\",\"table\":\"t\",\"where\":[],\"until\":\"==\",\"rows\":[",
    b"\"uuid-name\":\"a\",",
    b"[\"named-uuid\",\"a\"]",
    b"[\"uuid\",\"550e8400-e29b-41d4-a716-446655440000\"]",
    b"[\"set\",[",
    b"[\"map\",[[",
    b"[\"n\",\"+=\",9223372036854775807]",
    b"\"insert\",",
    b"\"includes\",",
    b"1e308",
    b"\\u0000",
    b"\xff",
    b"}]",
    b"]]",
    b"null",
];

fn schema() -> Schema {
    let text = r#"{"name":"d","tables":{
        "t":{"isRoot":true,"maxRows":9,"indexes":[["n"]],"columns":{
            "n":{"type":"integer"},"r":{"type":"real"},"e":{"type":"integer","ephemeral":true},
            "s":{"type":{"key":{"type":"string","maxLength":9},"min":0,"max":3}},
            "m":{"type":{"key":"string","value":"integer","min":0,"max":"unlimited"}},
            "k":{"type":{"key":{"type":"uuid","refTable":"kid"},"min":0,"max":"unlimited"}},
            "w":{"type":{"key":{"type":"uuid","refTable":"kid","refType":"weak"},"min":0,"max":2}}}},
        "kid":{"columns":{"x":{"type":"boolean"},"k":{"type":{"key":{"type":"uuid","refTable":"kid"},"min":0}}}}}}"#;
    Schema::from_json(&serde_json::from_str(text).expect("JSON")).expect("a schema")
}

fn rows(database: &Database) -> Vec<Vec<u8>> {
    snapshot(database, "", 0)
}

/// Everything committed can be read again out of the records, and out of a snapshot.
fn check(server: &mut Server, log: &mut Vec<u8>) {
    let records = server.take_records();
    records.iter().for_each(|record| log.extend_from_slice(record));
    server.records_durable(records.len());
    let database = server.database("d").expect("a database");
    let loaded = load_text(log, &mut Uuids::new(1)).expect("our own log");
    assert_eq!(loaded.torn, None);
    assert_eq!(rows(&loaded.database), rows(database), "the log says something else");
    let text = rows(database).concat();
    let loaded = load_text(&text, &mut Uuids::new(1)).expect("our own snapshot");
    assert_eq!(rows(&loaded.database), rows(database), "the snapshot says something else");
}

struct Talk {
    answers: Vec<Value>,
    closed: Option<CloseReason>,
    n_commits: u64,
}

const CLIENT: ClientId = ClientId(1);

fn talk(stream: &[u8], piece: usize) -> Talk {
    let database = Database::new(schema(), Uuids::new(7).fresh());
    let mut log = rows(&database).concat();
    let mut server = Server::new(Limits::default(), vec![(database, Keeping::Log)], 3);
    assert!(server.accepted(CLIENT, "fuzz".into(), Nanos::ZERO));
    let mut output = Vec::new();
    let mut closed = None;
    for bytes in stream.chunks(piece.min(stream.len().max(1))) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = server.received(CLIENT, rest, Nanos::ZERO);
            rest = &rest[taken..];
            while server.poll(Nanos::ZERO, 0) {}
        }
        server.poll(Nanos::ZERO, 0);
        let records = server.take_records();
        records.iter().for_each(|record| log.extend_from_slice(record));
        server.records_durable(records.len());
        if let Some(outbox) = server.output(CLIENT) {
            output.extend_from_slice(outbox.pending());
            outbox.consume(usize::MAX);
        }
        if let Some((_, reason)) = server.next_close() {
            closed = Some(reason);
        }
    }
    check(&mut server, &mut log);
    let answers = serde_json::Deserializer::from_slice(&output).into_iter();
    Talk {
        answers: answers.map(|answer| answer.expect("answers are JSON")).collect(),
        closed,
        n_commits: server.database("d").expect("a database").n_commits(),
    }
}

/// Any stream of a client. The first byte says how it is cut: pieces and the whole are answered the
/// same; answers are JSON-RPC; what was committed is in the log.
pub fn ovsdb_client(data: &[u8]) -> Behaviour {
    let (&cut, stream) = data.split_first().unwrap_or((&1, &[]));
    let whole = talk(stream, usize::MAX);
    let pieces = talk(stream, usize::from(cut).max(1));
    assert_eq!((&whole.answers, whole.closed), (&pieces.answers, pieces.closed), "cut by {cut}");
    let mut words = vec![u64::from(whole.closed.is_some()), whole.n_commits.min(2)];
    for answer in &whole.answers {
        let object = answer.as_object().expect("messages are objects");
        assert!(object.contains_key("id") && object.len() == 3, "{answer}");
        words.push(kind(&answer["result"][0]) ^ kind(&answer["error"]));
    }
    words.truncate(5);
    behaviour(&words)
}

/// Any operations over a database with some rows.
pub fn ovsdb_transaction(data: &[u8]) -> Behaviour {
    let Ok(Value::Array(operations)) = serde_json::from_slice(data) else {
        return 0;
    };
    let database = Database::new(schema(), Uuids::new(7).fresh());
    let mut log = rows(&database).concat();
    let mut server = Server::new(Limits::default(), vec![(database, Keeping::Log)], 3);
    let start = json!([
        {"op": "insert", "table": "kid", "uuid-name": "a", "row": {"x": true}},
        {"op": "insert", "table": "kid", "uuid-name": "b", "row": {"k": ["named-uuid", "a"]}},
        {"op": "insert", "table": "t", "row": {"n": 1, "k": ["named-uuid", "b"], "w": ["named-uuid", "a"], "s": "x"}},
        {"op": "insert", "table": "t", "row": {"n": 2, "m": ["map", [["k", 1]]], "r": 0.5}}]);
    server.transact("d", start.as_array().expect("an array"), 0);
    let results = server.transact("d", &operations, 0);
    assert!(results.len() <= operations.len() + 1);
    let failed = results.iter().any(|result| result.get("error").is_some());
    let n_commits = server.database("d").expect("a database").n_commits();
    assert!(!failed || n_commits == 1, "a failed transaction changed something");
    check(&mut server, &mut log);
    let mut words: Vec<u64> = results.iter().map(kind).collect();
    words.truncate(4);
    words.push(n_commits);
    behaviour(&words)
}

/// Any log. What is read of it can be written and read again; a part of it is not more.
pub fn ovsdb_log(data: &[u8]) -> Behaviour {
    let loaded = match load_text(data, &mut Uuids::new(1)) {
        Ok(loaded) => loaded,
        Err(error) => return behaviour(&[kind(&json!(format!("{error:.20}")))]),
    };
    let again = load_text(&data[..loaded.length], &mut Uuids::new(1)).expect("it was whole");
    assert_eq!((again.torn, again.n_records), (None, loaded.n_records));
    let text = rows(&loaded.database);
    let written = load_text(&text.concat(), &mut Uuids::new(1)).expect("our own snapshot");
    assert_eq!(rows(&written.database), text);
    let torn = loaded.torn.map_or(0, |torn| kind(&json!(torn.to_string())));
    behaviour(&[torn, loaded.n_records.min(5) as u64, text.len() as u64])
}

/// Makes lengths and sums of records right: of each line that follows a line of a record's head.
pub(super) fn repair(data: &mut [u8]) {
    const HEAD: &[u8] = b"OVSDB JSON ";
    let mut at = 0;
    while data.get(at..).is_some_and(|rest| rest.starts_with(HEAD)) {
        let line_end =
            |from: usize| data[from..].iter().position(|&b| b == b'\n').map(|n| from + n);
        let Some(head_end) = line_end(at) else { return };
        let end = line_end(head_end + 1).map_or(data.len(), |end| end + 1);
        let body = head_end + 1..end;
        // The length keeps its place: as many digits as there were.
        let room = (head_end - at).saturating_sub(HEAD.len() + 41);
        let length = format!("{:0room$}", body.len());
        let sum = sha1(&data[body]);
        if length.len() == room {
            let digits = at + HEAD.len();
            data[digits..digits + room].copy_from_slice(length.as_bytes());
            data[digits + room] = b' ';
            data[digits + room + 1..head_end].copy_from_slice(sum.as_bytes());
        }
        at = end;
    }
}

fn sha1(bytes: &[u8]) -> String {
    sha1_smol::Sha1::from(bytes).digest().to_string()
}

/// A log of a few records.
pub(super) fn written() -> Vec<Input> {
    let schema = schema().to_json();
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let records = [
        schema,
        json!({"_date": 1, "t": {uuid: {"n": 3, "s": ["set", ["a", "b"]]}}}),
        json!({"_is_diff": true, "_comment": "c", "t": {uuid: {"s": "a", "m": ["map", [["k", 1]]]}}}),
        json!({"t": {uuid: null}}),
    ];
    let log: Vec<u8> = records.iter().flat_map(::ovsdb::log::write_record).collect();
    vec![Input { origin: "a log of four records".into(), bytes: log }]
}

/// What kind of value it is, and if an error, which.
fn kind(value: &Value) -> u64 {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => 3,
        Value::String(text) => behaviour(&[text.len().min(30) as u64]),
        Value::Array(_) => 4,
        Value::Object(object) => match object.get("error").and_then(Value::as_str) {
            Some(error) => behaviour(&[error.len() as u64, u64::from(error.as_bytes()[0])]),
            None => 5 + object.len().min(3) as u64,
        },
    }
}
