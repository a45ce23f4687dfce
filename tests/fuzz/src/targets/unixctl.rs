//! The byte channel of `ovs-appctl`.
//!
//! The first byte says how the rest is cut into pieces. Asserted: pieces give the same requests and
//! answers as the whole; every answer is JSON with the three members of JSON-RPC 1.0; requests and
//! answers are no more than the objects in the input.

use agent::unixctl::{MAX_REQUEST, Unixctl};
use sync::time::Nanos;

use crate::{Behaviour, behaviour};

/// Pieces of requests.
pub(super) const WORDS: &[&[u8]] = &[
    b"{\"id\":0,\"method\":\"",
    b"\"method\":",
    b"\"params\":[",
    b"\"id\":",
    b"\"}",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\\u0000",
    b"\\ud800",
    b"\\\"",
    b"\xff",
    b"1e999",
    b"null",
    b"]}",
];

/// Runs the target.
pub fn unixctl(data: &[u8]) -> Behaviour {
    let (&cut, text) = data.split_first().unwrap_or((&1, &[]));
    let (requests, answers) = talk(text, usize::MAX);
    let (again, same) = talk(text, usize::from(cut).max(1));
    if text.len() < MAX_REQUEST {
        assert_eq!(requests, again, "cut into pieces of {cut}");
        assert_eq!(answers, same, "cut into pieces of {cut}");
    }
    let n_objects = text.iter().filter(|byte| **byte == b'{').count();
    let mut n_answers = 0;
    for answer in serde_json::Deserializer::from_slice(&answers).into_iter() {
        let answer: serde_json::Value = answer.expect("answers are JSON");
        let object = answer.as_object().expect("answers are objects");
        assert_eq!(object.len(), 3);
        let is_error = object["result"].is_null();
        assert_ne!(is_error, object["error"].is_null());
        assert!(object.contains_key("id"));
        n_answers += 1;
    }
    assert!(n_answers <= n_objects.max(usize::from(text.len() > MAX_REQUEST)));
    behaviour(&[
        requests.len().min(3) as u64,
        n_answers.min(3) as u64,
        requests.first().map_or(9, |request| request.len().min(4)) as u64,
        answers.len().min(400) as u64 / 8,
    ])
}

/// Requests with method and parameters, and all bytes of the answers.
fn talk(text: &[u8], piece: usize) -> (Vec<Vec<String>>, Vec<u8>) {
    let mut channel = Unixctl::new();
    let mut requests = Vec::new();
    for bytes in text.chunks(piece.min(text.len().max(1))) {
        channel.received(bytes, Nanos::from_secs(1));
        while let Some(request) = channel.next_request() {
            let mut words = vec![request.method.clone()];
            words.extend(request.params.iter().cloned());
            requests.push(words);
            let is_odd = requests.len() % 2 == 1;
            let outcome = Ok("done\n".to_owned()).and_then(|text| {
                if is_odd { Ok(text) } else { Err("no \"such\" thing".to_owned()) }
            });
            channel.reply(&request, outcome);
        }
    }
    let answers = core::mem::take(channel.output());
    (requests, answers)
}
