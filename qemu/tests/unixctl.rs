//! The client of the control console against a server that behaves, and some that do not.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use qemu::unixctl::{Unixctl, UnixctlError};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A console that reads one request and answers with the pieces that `answer` makes of it.
fn console(
    answer: impl FnOnce(Value) -> Vec<String> + Send + 'static,
) -> (tempfile::TempDir, PathBuf, JoinHandle<Value>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        let request: Value = loop {
            let mut some = [0; 64];
            let n = stream.read(&mut some).unwrap();
            bytes.extend_from_slice(&some[..n]);
            if let Ok(request) = serde_json::from_slice(&bytes) {
                break request;
            }
        };
        for piece in answer(request.clone()) {
            stream.write_all(piece.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        // Held open until the client leaves: the end of a connection is not part of an answer.
        let _ = stream.read(&mut [0; 64]);
        request
    });
    (dir, path, thread)
}

fn result(id: &Value, text: &str) -> String {
    json!({ "id": id, "result": text, "error": null }).to_string()
}

#[test]
fn an_answer_in_pieces() {
    let (_dir, path, thread) = console(|request| {
        let answer = result(&request["id"], "a\nb");
        let (one, two) = answer.split_at(7);
        vec![one.into(), two.into()]
    });
    let mut ctl = Unixctl::connect(&path).unwrap();
    assert_eq!(ctl.call("fdb/show", &["br0"], PATIENCE).unwrap(), "a\nb");
    drop(ctl);
    let request = thread.join().unwrap();
    assert_eq!(request["method"], "fdb/show");
    assert_eq!(request["params"], json!(["br0"]));
}

#[test]
fn the_answer_to_somebody_else_is_passed_over() {
    let (_dir, path, _thread) = console(|request| {
        vec![result(&json!(0), "for a client that is gone") + &result(&request["id"], "for us")]
    });
    let mut ctl = Unixctl::connect(&path).unwrap();
    assert_eq!(ctl.call("version", &[], PATIENCE).unwrap(), "for us");
}

#[test]
fn a_refusal_is_its_text() {
    let (_dir, path, _thread) = console(|request| {
        let error = "\"x\" is not a valid command\n";
        vec![json!({ "id": request["id"], "result": null, "error": error }).to_string()]
    });
    let why = Unixctl::connect(&path).unwrap().call("x", &[], PATIENCE).unwrap_err();
    assert_eq!(why.to_string(), "\"x\" is not a valid command");
}

#[test]
fn silence_ends_in_time() {
    let (_dir, path, _thread) = console(|_| vec!["{\"id\":".into()]);
    let mut ctl = Unixctl::connect(&path).unwrap();
    let why = ctl.call("version", &[], Duration::from_millis(50)).unwrap_err();
    assert!(matches!(why, UnixctlError::TimedOut), "{why}");
}

#[test]
fn noise_is_no_answer() {
    let (_dir, path, _thread) = console(|_| vec!["panic on cpu0".into()]);
    let why = Unixctl::connect(&path).unwrap().call("version", &[], PATIENCE).unwrap_err();
    assert!(matches!(why, UnixctlError::Malformed), "{why}");
}

#[test]
fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    let why = Unixctl::connect(&dir.path().join("ctl")).unwrap_err();
    assert!(matches!(why, UnixctlError::Io(_)), "{why}");
}
