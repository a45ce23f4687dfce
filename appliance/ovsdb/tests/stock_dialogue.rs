//! JSON-RPC by hand: the same requests, right and wrong, to our server and to a stock `ovsdb-server`, by
//! two clients each; every message that comes back is the same, but for UUIDs and words for people.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{Ours, Serving, Stock};

/// One connection.
struct Client {
    stream: UnixStream,
    text: Vec<u8>,
}

impl Client {
    fn connect(target: &str) -> Self {
        let path = target.trim_start_matches("unix:");
        let stream = UnixStream::connect(path).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("an option");
        Self { stream, text: Vec::new() }
    }

    /// Sends a message; a server that has hung up is noticed by who reads.
    fn send(&mut self, message: &Value) {
        let _ = self.stream.write_all(message.to_string().as_bytes());
    }

    /// The next message; `None` when the server hung up.
    fn next(&mut self) -> Option<Value> {
        let mut bytes = vec![0; 1 << 16];
        loop {
            let mut messages = serde_json::Deserializer::from_slice(&self.text).into_iter();
            if let Some(Ok(message)) = messages.next() {
                let n = messages.byte_offset();
                self.text.drain(..n);
                return Some(message);
            }
            let n = self.stream.read(&mut bytes).ok().filter(|n| *n > 0)?;
            self.text.extend_from_slice(&bytes[..n]);
        }
    }

    /// All messages until the answer to an `echo` that is sent now.
    fn heard(&mut self) -> Vec<Value> {
        self.send(&json!({"method": "echo", "params": [], "id": "mark"}));
        let mut heard = Vec::new();
        while let Some(message) = self.next() {
            if message["method"] == "echo" {
                // The server wants to know whether we are there.
                self.send(&json!({"id": message["id"], "result": [], "error": null}));
            } else if message["id"] == "mark" {
                return heard;
            } else {
                heard.push(message);
            }
        }
        heard.push(json!("hung up"));
        heard
    }
}

/// UUIDs by the order in which they appear.
#[derive(Default)]
struct Normal(BTreeMap<String, usize>);

impl Normal {
    /// A message without UUIDs and words for people, and without an order where there is none.
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) if ovsdb::Uuid::parse(text).is_some() => {
                if text.starts_with("00000000-0000") {
                    return json!(text);
                }
                let n = self.0.len();
                json!(format!("<{}>", self.0.entry(text.clone()).or_insert(n)))
            }
            // The last transaction of `monitor_cond_since`, which a standalone stock server does not name.
            Value::Array(elements)
                if matches!(elements.as_slice(), [_, Value::String(_), Value::Object(_)]) =>
            {
                json!([self.value(&elements[0]), "<last>", self.value(&elements[2])])
            }
            Value::Array(elements) if elements.contains(&json!("_Server")) => {
                let mut names: Vec<String> = elements.iter().map(Value::to_string).collect();
                names.sort();
                json!(names)
            }
            Value::Array(elements) => elements.iter().map(|element| self.value(element)).collect(),
            Value::Object(members) => {
                let is_error = members.get("error").is_some_and(Value::is_string);
                // Of result and error a stock server leaves out the one that is null.
                let is_null =
                    |name: &str| matches!(name, "result" | "error") && members[name].is_null();
                let is_said = |name: &str| {
                    !is_null(name)
                        && name != "cksum"
                        && (!is_error || !matches!(name, "details" | "syntax"))
                };
                // Rows by what they say, since their names are chance.
                let mut members: Vec<(&String, &Value)> =
                    members.iter().filter(|(name, _)| is_said(name)).collect();
                members.sort_by_key(|(name, value)| match ovsdb::Uuid::parse(name) {
                    Some(_) => (String::new(), value.to_string()),
                    None => ((*name).clone(), String::new()),
                });
                let members = members.into_iter().map(|(name, value)| {
                    let name = self.value(&json!(name));
                    (name.as_str().unwrap_or_default().to_string(), self.value(value))
                });
                Value::Object(members.collect())
            }
            other => other.clone(),
        }
    }
}

/// What both clients hear after each line of a script: `A` or `B`, then a message.
fn play(target: &str, script: &[(usize, Value)]) -> Vec<String> {
    let mut clients = [Client::connect(target), Client::connect(target)];
    let mut normal = Normal::default();
    let mut all = Vec::new();
    for (who, message) in script {
        clients[*who].send(message);
        // Who sent it first: then the others have heard what it did.
        for k in [*who, 1 - *who] {
            let client = &mut clients[k];
            let mut heard = client.heard();
            // Monitors of a client are told in an order of no meaning.
            heard.sort_by_key(|m| m["params"][0].to_string());
            all.extend(
                heard.iter().map(|m| format!("after {message} {k} hears {}", normal.value(m))),
            );
        }
    }
    all
}

fn request(method: &str, params: Value) -> Value {
    json!({"method": method, "params": params, "id": 1})
}

fn transact(operations: Value) -> Value {
    let mut params = vec![json!("Open_vSwitch")];
    params.extend(operations.as_array().expect("operations").iter().cloned());
    request("transact", Value::Array(params))
}

/// Plays the script to both servers.
fn same(script: &[(usize, Value)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Ours::start(folder.path(), None);
    let stock = Stock::start(folder.path(), &folder.path().join("stock.db"));
    let (ours, stock) = (play(&ours.target(), script), play(&stock.target(), script));
    for (ours, stock) in ours.iter().zip(&stock) {
        assert_eq!(ours, stock);
    }
    assert_eq!(ours.len(), stock.len());
}

const A: usize = 0;
const B: usize = 1;

#[test]
fn methods_right_and_wrong() {
    let mut script: Vec<(usize, Value)> = Vec::new();
    for (method, params) in [
        ("list_dbs", json!([])),
        ("echo", json!(["a", 1, {"b": null}])),
        ("get_schema", json!(["_Server"])),
        ("get_schema", json!(["Open_vSwitch"])),
        ("get_schema", json!(["Nonesuch"])),
        ("get_schema", json!([])),
        ("get_schema", json!([1])),
        ("fly", json!([])),
        ("set_db_change_aware", json!([true])),
        ("set_db_change_aware", json!([1])),
        ("set_db_change_aware", json!([])),
        ("transact", json!([])),
        ("transact", json!([1])),
        ("transact", json!(["Nonesuch", {"op": "abort"}])),
        ("monitor", json!([])),
        ("monitor", json!(["Nonesuch", 1, {}])),
        ("monitor", json!(["Open_vSwitch", 1, []])),
        ("monitor", json!(["Open_vSwitch", 1, {"Nonesuch": {}}])),
        ("monitor", json!(["Open_vSwitch", 1, {"Queue": {"columns": ["nonesuch"]}}])),
        ("monitor", json!(["Open_vSwitch", 1, {"Queue": {"columns": ["dscp", "dscp"]}}])),
        ("monitor", json!(["Open_vSwitch", 1, {"Queue": {"columns": 1}}])),
        ("monitor", json!(["Open_vSwitch", 1, {"Queue": {"select": {"insert": 1}}}])),
        ("monitor", json!(["Open_vSwitch", 1, {"Queue": {"surplus": 1}}])),
        ("monitor", json!(["Open_vSwitch", 1, {"Queue": 1}])),
        ("monitor_cond", json!(["Open_vSwitch", 1, {"Queue": {"where": [["dscp", "~", 1]]}}])),
        ("monitor_cond", json!(["Open_vSwitch", 1, {"Queue": {"where": [["x", "==", 1]]}}])),
        ("monitor_cond", json!(["Open_vSwitch", 1, {"Queue": {"where": 1}}])),
        ("monitor_cond_since", json!(["Open_vSwitch", 1, {"Queue": {}}, "zzz"])),
        ("monitor_cond_change", json!([1, 1, {}])),
        ("monitor_cond_change", json!([1])),
        ("monitor_cancel", json!([1])),
        ("monitor_cancel", json!([])),
        ("lock", json!([])),
        ("lock", json!([1])),
        ("lock", json!(["1x"])),
        ("unlock", json!(["never"])),
        ("steal", json!([])),
    ] {
        script.push((A, request(method, params)));
    }
    // Notifications, and requests with other ids.
    script.push((A, json!({"method": "fly", "params": [], "id": null})));
    script.push((A, json!({"method": "cancel", "params": [7], "id": null})));
    script.push((A, json!({"method": "list_dbs", "params": [], "id": {"a": [1]}})));
    script.push((A, json!({"method": "list_dbs", "params": [], "id": "x"})));
    same(&script);
}

#[test]
fn locks_between_clients() {
    let assert = || transact(json!([{"op": "assert", "lock": "l"}]));
    same(&[
        (A, request("lock", json!(["l"]))),
        (A, request("lock", json!(["l"]))),
        (B, request("lock", json!(["l"]))),
        (A, assert()),
        (B, assert()),
        (A, request("unlock", json!(["l"]))),
        (B, assert()),
        (A, request("steal", json!(["l"]))),
        (A, assert()),
        (B, assert()),
        (A, request("unlock", json!(["l"]))),
        (B, assert()),
        (B, request("unlock", json!(["l"]))),
        (B, request("unlock", json!(["l"]))),
        (B, request("steal", json!(["m"]))),
        (B, request("steal", json!(["m"]))),
        (A, request("lock", json!(["m"]))),
        (B, request("unlock", json!(["m"]))),
    ]);
}

#[test]
fn monitors_between_clients() {
    let insert = |dscp: u64| {
        transact(json!([{"op": "insert", "table": "Queue", "row":
            {"dscp": dscp, "external_ids": ["map", [["k", "v"]]]}}]))
    };
    let update = |from: u64, row: Value| {
        transact(
            json!([{"op": "update", "table": "Queue", "where": [["dscp", "==", from]], "row": row}]),
        )
    };
    let zero = "00000000-0000-0000-0000-000000000000";
    same(&[
        (A, insert(1)),
        (A, insert(2)),
        (B, request("monitor", json!(["Open_vSwitch", "one", {"Queue": [{"columns": ["dscp"]}]}]))),
        (B, request("monitor", json!(["Open_vSwitch", "one", {"Queue": {}}]))),
        (
            B,
            request(
                "monitor",
                json!(["Open_vSwitch", {"two": 2}, {"Queue": [
                    {"columns": ["dscp"], "select": {"initial": false, "modify": false}},
                    {"columns": ["external_ids"], "select": {"insert": false, "delete": false}}]}]),
            ),
        ),
        (
            B,
            request(
                "monitor_cond",
                json!(["Open_vSwitch", "cond", {"Queue": [{"columns": ["dscp", "external_ids"],
                    "where": [["dscp", "==", 1], ["dscp", "==", 3]]}]}]),
            ),
        ),
        (
            B,
            request(
                "monitor_cond_since",
                json!(["Open_vSwitch", "since", {"Queue": [{"columns": ["dscp"], "where": [true]}]}, zero]),
            ),
        ),
        (A, insert(3)),
        (A, update(2, json!({"dscp": 4}))),
        (A, update(4, json!({"dscp": 1, "external_ids": ["map", [["k", "w"]]]}))),
        (
            B,
            request(
                "monitor_cond_change",
                json!(["cond", "cond2", {"Queue": [{"where": [["dscp", ">", 2]]}]}]),
            ),
        ),
        (B, request("monitor_cond_change", json!(["cond", "cond3", {}]))),
        (
            B,
            request(
                "monitor_cond_change",
                json!(["cond2", "cond2", {"Nonesuch": [{"where": []}]}]),
            ),
        ),
        (
            B,
            request(
                "monitor_cond_change",
                json!(["cond2", "cond2", {"Queue": [{"where": [["nope", "==", 1]]}]}]),
            ),
        ),
        (A, update(3, json!({"dscp": 5}))),
        (A, update(5, json!({"external_ids": ["map", []]}))),
        (
            B,
            request(
                "monitor_cond_change",
                json!(["cond2", "cond2", {"Queue": [{"where": [false]}]}]),
            ),
        ),
        (A, insert(6)),
        (
            B,
            request(
                "monitor_cond_change",
                json!(["cond2", "cond2", {"Queue": [{"where": [true]}]}]),
            ),
        ),
        (B, request("monitor_cancel", json!(["one"]))),
        (A, transact(json!([{"op": "delete", "table": "Queue", "where": [["dscp", "==", 6]]}]))),
        (B, request("monitor_cancel", json!([{"two": 2}]))),
        (B, request("monitor_cancel", json!(["cond2"]))),
        (B, request("monitor_cancel", json!(["since"]))),
        (A, transact(json!([{"op": "delete", "table": "Queue", "where": []}]))),
    ]);
}

/// A `wait` that comes true by another client's change, and one that never does.
#[test]
fn waits_between_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Ours::start(folder.path(), None);
    let stock = Stock::start(folder.path(), &folder.path().join("stock.db"));
    let wait = |timeout: Value| {
        let mut wait = json!({"op": "wait", "table": "Queue", "where": [], "columns": ["dscp"],
            "until": "==", "rows": [{"dscp": 9}]});
        if !timeout.is_null() {
            wait["timeout"] = timeout;
        }
        transact(
            json!([wait, {"op": "select", "table": "Queue", "where": [], "columns": ["dscp"]}]),
        )
    };
    let replies = [ours.target(), stock.target()].map(|target| {
        let mut a = Client::connect(&target);
        let mut b = Client::connect(&target);
        a.send(&wait(json!(50)));
        let late = a.next().expect("an answer");
        assert_eq!(late["result"][0]["error"], "timed out");
        a.send(&wait(Value::Null));
        assert_eq!(a.heard(), Vec::<Value>::new(), "it waits");
        b.send(&transact(json!([{"op": "insert", "table": "Queue", "row": {"dscp": 8}}])));
        assert_eq!(b.heard().len(), 1);
        assert_eq!(a.heard(), Vec::<Value>::new(), "it still waits");
        b.send(&transact(
            json!([{"op": "update", "table": "Queue", "where": [], "row": {"dscp": 9}}]),
        ));
        assert_eq!(b.heard().len(), 1);
        let answer = a.next().expect("an answer");
        Normal::default().value(&answer)
    });
    assert_eq!(replies[0], replies[1]);
}
