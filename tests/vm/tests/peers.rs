//! Peers that misbehave: what they do to their own connection is not felt on the others.

use std::io::Write as _;
use std::time::Duration;

use openflow::{Message, Version};
use serde_json::Value;
use vm::frame::{BROADCAST, host, plain};
use vm::{Bench, Client, Config, WAIT};

#[test]
fn peers_that_misbehave() {
    let bench = Bench::boot(Config::new(3));
    broken_streams(&bench);
    a_peer_that_never_reads(&bench);
    one_too_many(&bench);
    bench.shutdown();
}

fn broken_streams(bench: &Bench) {
    bench.set_flows(&["priority=0,actions=NORMAL"]);
    let mut good = bench.client(Version::V13);
    let alive = |good: &mut Client| {
        let reply = good.ask(&Message::EchoRequest(vec![1, 2, 3]));
        assert_eq!(reply, Message::EchoReply(vec![1, 2, 3]));
    };
    bench.case("a stream that is no OpenFlow is closed, the others do not notice");
    for bytes in [&b"GET / HTTP/1.0\r\n\r\n"[..], &[0xff; 100], &[4, 5, 0, 8, 0, 0, 0, 1]] {
        let mut stream = Client::dial(&bench.target()).expect("a connection");
        stream.write_all(bytes).expect("sent");
        let mut rest = Vec::new();
        stream.set_read_timeout(Some(WAIT)).expect("a timeout");
        // The switch's hello, then its end.
        let end = std::io::Read::read_to_end(&mut stream, &mut rest);
        assert!(
            end.is_ok() || end.is_err_and(|why| why.kind() == std::io::ErrorKind::ConnectionReset)
        );
        alive(&mut good);
    }
    bench.case("a message shorter than its header ends the connection");
    let mut bad = bench.client(Version::V13);
    bad.send_bytes(&[4, 2, 0, 7, 0, 0, 0, 1]).expect("sent");
    assert!(bad.is_closed(WAIT));
    alive(&mut good);
    bench.case("half a message, then nothing");
    let mut half = bench.client(Version::V13);
    half.send_bytes(&[4, 2, 0, 100, 0, 0]).expect("sent");
    alive(&mut good);
    bench.case("versions that are not spoken");
    let mut stream = Client::dial(&bench.target()).expect("a connection");
    stream.write_all(&[9, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 2, 0]).expect("sent");
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(WAIT)).expect("a timeout");
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("no common versions"), "OFPHFC_INCOMPATIBLE with a text: {answer:02x?}");
    alive(&mut good);
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2, 3]);
}

fn a_peer_that_never_reads(bench: &Bench) {
    bench.case("a peer that asks and never reads");
    bench.set_flows(&["priority=1,in_port=3,actions=controller", "priority=0,actions=NORMAL"]);
    let mut good = bench.client(Version::V13);
    let mut dead = bench.client(Version::V13);
    good.barrier();
    let used = |state: &Value| state["memory"]["used"].as_u64().expect("a number");
    let before = used(&bench.telemetry());
    dead.stream().set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let mut n_taken = 0;
    while dead.send(&Message::EchoRequest(vec![0; 60_000])).is_ok() {
        n_taken += 1;
        assert!(n_taken < 100_000, "the switch takes requests without end");
    }
    bench.case("… while thousands of packet-ins are for it as well");
    for tag in 0..3000 {
        bench.send(3, &plain(BROADCAST, host(3), 1000, tag));
        if tag % 64 == 0 {
            bench.settle();
            good.barrier();
        }
    }
    bench.settle();
    let grown = used(&bench.telemetry()).saturating_sub(before);
    assert!(grown < 4 << 20, "memory in use grew by {grown} bytes");
    bench.case("… others are served");
    let reply = good.ask(&Message::EchoRequest(vec![9; 1000]));
    assert_eq!(reply, Message::EchoReply(vec![9; 1000]));
    bench.forwards(1, &plain(BROADCAST, host(1), 60, 1), &[2, 3]);
    bench.case("… and it is given up");
    drop(good);
    bench.until("the dead peer to be gone", |state| n_controllers(state) == 0);
    let kept = used(&bench.telemetry()).saturating_sub(before);
    assert!(kept < 1 << 20, "{kept} bytes stay in use");
}

fn one_too_many(bench: &Bench) {
    bench.case("64 connections, and one more");
    bench.until("nobody to be connected", |state| n_controllers(state) == 0);
    let mut clients: Vec<Client> = (0..64).map(|_| bench.client(Version::V13)).collect();
    bench.until("all of them", |state| n_controllers(state) == 64);
    assert!(Client::connect(&bench.target(), Version::V13).is_err(), "a 65th was served");
    for client in &mut clients {
        client.barrier();
    }
    bench.case("room again");
    clients.pop();
    bench.until("one to be gone", |state| n_controllers(state) == 63);
    bench.client(Version::V13).barrier();
}

fn n_controllers(state: &Value) -> usize {
    state["controllers"].as_array().map_or(0, Vec::len)
}
