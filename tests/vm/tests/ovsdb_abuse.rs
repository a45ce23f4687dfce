//! Clients that do their worst to the database, while frames go on: the RFC's error or a closed
//! connection with a reason in the log, nothing lost, and memory that comes back.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use vm::frame::{host, plain};
use vm::{Bench, Config, WAIT};

/// A client that sends what it likes.
struct Raw(TcpStream);

impl Raw {
    fn connect(target: &str) -> Self {
        let stream = TcpStream::connect(target.trim_start_matches("tcp:")).expect("a connection");
        stream.set_read_timeout(Some(WAIT)).expect("an option");
        stream.set_write_timeout(Some(WAIT)).expect("an option");
        Self(stream)
    }

    /// Sends bytes; a server that hangs up may do so before it has taken them all.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// The next reply with this id; nothing when the connection ends before.
    fn reply(&mut self, id: &Value) -> Option<Value> {
        let (mut text, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let mut messages = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
            while let Some(Ok(message)) = messages.next() {
                if message["id"] == *id && message.get("method").is_none() {
                    return Some(message);
                }
            }
            let n = self.0.read(&mut bytes).ok().filter(|n| *n > 0)?;
            text.extend_from_slice(&bytes[..n]);
        }
    }

    fn ask(&mut self, text: &str, id: u64) -> Option<Value> {
        self.send(text.as_bytes());
        self.reply(&json!(id))
    }
}

/// A `transact` of so many inserts, which fail at the end unless all is well.
fn inserts(n: usize) -> String {
    let operation = r#",{"op":"insert","table":"Queue","row":{"dscp":1}}"#;
    format!(r#"{{"method":"transact","id":1,"params":["Open_vSwitch"{}]}}"#, operation.repeat(n))
}

/// Runs `abuse` beside a stream of frames from port 1 to port 2, of which none may be lost.
fn beside_traffic(bench: &Bench, abuse: impl FnOnce() + Send) {
    let frame = plain(host(2), host(1), 100, 1);
    bench.send(2, &plain(host(1), host(2), 100, 2));
    bench.settle();
    bench.send(1, &frame);
    bench.settle();
    for port in 1..=2 {
        let _ = bench.arrivals(port).take();
    }
    thread::scope(|scope| {
        let abusing = scope.spawn(abuse);
        let mut n_sent = 0;
        // At least some, however quick the abuse is.
        while n_sent < 64 || !abusing.is_finished() {
            bench.send(1, &frame);
            n_sent += 1;
            if n_sent % 16 == 0 {
                bench.settle();
            }
        }
        bench.settle();
        let arrived = bench.arrivals(2).take();
        let n_arrived = arrived.iter().filter(|got| **got == frame).count();
        if let Err(panic) = abusing.join() {
            std::panic::resume_unwind(panic);
        }
        assert_eq!(n_arrived, n_sent);
    });
}

/// Bytes of the heap that are in use.
fn heap_used(bench: &Bench) -> u64 {
    let text = bench.appctl("memory/show", &[]);
    let used = text.split_whitespace().find_map(|word| word.strip_prefix("heap-used:"));
    used.and_then(|n| n.parse().ok()).unwrap_or_else(|| bench.fail(text))
}

/// The same, when the database is there and has told how the switch fares.
fn settled_heap(bench: &Bench) -> u64 {
    bench.vsctl(&["wait-until", "Interface", "p2", "link_state=up"]);
    bench.forwards(1, &plain(host(2), host(1), 100, 1), &[2]);
    heap_used(bench)
}

/// Memory is what it was, but for so much.
#[track_caller]
fn comes_back(bench: &Bench, before: u64, slack: u64) {
    let mut used = 0;
    let is_back = bench.wait_until(|| {
        used = heap_used(bench);
        used <= before + slack
    });
    assert!(is_back, "{used} bytes in use, {before} before");
}

#[test]
fn bad_messages() {
    let bench = Bench::boot(Config::new(2));
    let target = bench.ovsdb();
    let before = settled_heap(&bench);
    let serial = bench.serial();
    beside_traffic(&bench, || {
        let deep = |n: usize| {
            format!(r#"{{"method":"echo","id":1,"params":[{}{}]}}"#, "[".repeat(n), "]".repeat(n))
        };
        let long = format!(r#"{{"method":"echo","id":1,"params":["{}"]}}"#, "x".repeat(3 << 20));
        let many = format!(r#"{{"method":"echo","id":1,"params":[0{}]}}"#, ",0".repeat(700_000));
        let digits = format!(r#"{{"method":"echo","id":1,"params":[{}]}}"#, "7".repeat(1 << 16));
        let deepest = deep(100_000);
        let closing: [(&str, &[u8], &str); 11] = [
            ("not JSON", b"GET / HTTP/1.1\r\n\r\n", "not a JSON object"),
            ("malformed", b"{\"method\" \"echo\"}", "malformed JSON"),
            ("a lone bracket", b"{\"method\":\"echo\",\"params\":[}]}", "malformed JSON"),
            ("broken UTF-8", b"{\"method\":\"\xff\xfe\",\"id\":1}", "malformed JSON"),
            ("half a surrogate", b"{\"method\":\"\\ud800\",\"id\":1}", "malformed JSON"),
            ("deep", deepest.as_bytes(), "nested deeper"),
            ("long", long.as_bytes(), "message longer"),
            ("many values", many.as_bytes(), "values"),
            ("a huge number", digits.as_bytes(), "malformed JSON"),
            (
                "beyond a double",
                b"{\"method\":\"echo\",\"id\":1,\"params\":[1e999]}",
                "malformed JSON",
            ),
            ("no request", b"{\"hello\":1}", "not a JSON-RPC message"),
        ];
        for (name, bytes, reason) in closing {
            let n_before = serial.text().matches("closing the connection").count();
            let mut client = Raw::connect(&target);
            client.send(bytes);
            assert_eq!(client.reply(&json!(1)), None, "{name}");
            let is_told = serial.wait_until(WAIT, |text| {
                let mut lines = text.lines().filter(|line| line.contains("closing the connection"));
                lines.nth(n_before).is_some_and(|line| line.contains(reason))
            });
            assert!(is_told, "{name}: no line with {reason:?}");
        }

        let mut client = Raw::connect(&target);
        assert!(client.ask(&deep(50), 1).is_some(), "what is not too deep");
        for (operations, error) in [
            (r#"{"op":"insert","table":"Nonesuch","row":{}}"#, "syntax error"),
            (r#"{"op":"insert","table":"Queue","row":{"nonesuch":1}}"#, "unknown column"),
            (r#"{"op":"insert","table":"Queue","row":{"dscp":64}}"#, "constraint violation"),
            (
                r#"{"op":"insert","table":"Queue","row":{"dscp":99999999999999999999}}"#,
                "syntax error",
            ),
            (r#"{"op":"insert","table":"Queue","row":{"dscp":1e308}}"#, "syntax error"),
            (r#"{"op":"fly"}"#, "syntax error"),
            (r#""insert""#, "syntax error"),
            ("null", "syntax error"),
        ] {
            let text =
                format!(r#"{{"method":"transact","id":2,"params":["Open_vSwitch",{operations}]}}"#);
            let reply = client.ask(&text, 2).expect("an answer");
            assert_eq!(reply["result"][0]["error"], error, "{operations}");
        }
        let unknown = client.ask(r#"{"method":"transact","id":3,"params":["Nonesuch"]}"#, 3);
        assert_eq!(unknown.expect("an answer")["error"]["error"], "unknown database");
    });
    comes_back(&bench, before, 1 << 20);
    bench.shutdown();
}

/// A transaction of a hundred thousand operations is more than this machine takes: the connection ends.
/// One of as many as it takes is done, beside frames on the same processor.
#[test]
fn a_hundred_thousand_operations() {
    const MOST: usize = 4_000;
    let bench = Bench::boot(Config::new(2));
    let target = bench.ovsdb();
    let before = settled_heap(&bench);
    beside_traffic(&bench, || {
        assert_eq!(Raw::connect(&target).ask(&inserts(100_000), 1), None);
        let mut client = Raw::connect(&target);
        let reply = client.ask(&inserts(MOST), 1).expect("an answer");
        assert_eq!(reply["result"].as_array().map(Vec::len), Some(MOST));
        let delete = r#"{"op":"delete","table":"Queue","where":[]}"#;
        let text = format!(r#"{{"method":"transact","id":2,"params":["Open_vSwitch",{delete}]}}"#);
        let reply = client.ask(&text, 2).expect("an answer");
        assert_eq!(reply["result"][0]["count"], MOST);
    });
    assert!(bench.serial().wait_for("closing the connection: message", WAIT));
    assert_eq!(bench.vsctl(&["--bare", "--columns=dscp", "list", "Queue"]), "");
    comes_back(&bench, before, 2 << 20);
    bench.shutdown();
}

/// 64 clients; those beyond are refused, and those that do not read are not fed.
#[test]
fn many_clients_and_slow_readers() {
    let bench = Bench::boot(Config::new(2));
    let target = bench.ovsdb();
    // Clients here do not answer probes.
    bench.vsctl(&["--inactivity-probe=0", "set-manager", "ptcp:6640"]);
    bench.vsctl(&["wait-until", "Manager", "ptcp:6640", "status:bound_port=6640"]);
    let before = settled_heap(&bench);
    beside_traffic(&bench, || {
        let list_dbs = r#"{"method":"list_dbs","id":1,"params":[]}"#;
        let mut clients: Vec<Raw> = Vec::new();
        let mut last = Instant::now();
        while clients.len() < 64 {
            // A client that has just gone may count for a moment still, and then one more is too many.
            assert!(last.elapsed() < WAIT, "only {} clients are served", clients.len());
            let mut client = Raw::connect(&target);
            let Some(reply) = client.ask(list_dbs, 1) else { continue };
            assert_eq!(reply["result"], json!(["_Server", "Open_vSwitch"]));
            clients.push(client);
            last = Instant::now();
        }
        assert_eq!(Raw::connect(&target).ask(list_dbs, 1), None);
        // All watch everything, none reads, all but one ask for the schema again and again.
        let monitor = r#"{"method":"monitor","id":2,"params":["Open_vSwitch",null,{"Queue":{},"Open_vSwitch":{}}]}"#;
        for client in &mut clients {
            client.send(monitor.as_bytes());
        }
        let schema = r#"{"method":"get_schema","id":3,"params":["Open_vSwitch"]}"#.repeat(100);
        for client in &mut clients[1..] {
            client
                .0
                .set_write_timeout(Some(std::time::Duration::from_millis(20)))
                .expect("an option");
            client.send(schema.as_bytes());
        }
        let first = &mut clients[0];
        for k in 0..200 {
            let insert = format!(
                r#"{{"method":"transact","id":{},"params":["Open_vSwitch",{{"op":"insert","table":"Queue","row":{{"external_ids":["map",[["k","{}"]]]}}}}]}}"#,
                k + 10,
                "x".repeat(1000)
            );
            assert!(first.ask(&insert, k + 10).is_some(), "change {k}");
        }
    });
    // They are gone, with all that was kept for them.
    bench.vsctl(&["--all", "destroy", "Queue"]);
    comes_back(&bench, before, 2 << 20);
    bench.shutdown();
}
