use super::*;
use crate::budget::Budget;
use crate::parse::Parser;
use alloc::vec;

fn cut(pieces: &[&[u8]], limits: JsonLimits) -> Result<Vec<Value>, JsonError> {
    let mut framer = Framer::new(limits);
    let mut found = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(message) = framer.next_message()? {
            let value = Parser::new(message).step(&mut Budget::endless())?;
            found.push(value.expect("an endless budget is enough"));
        }
    }
    Ok(found)
}

#[test]
fn objects_are_found_wherever_the_stream_is_cut() {
    let stream = br#" {"a":"}\"{"}{"b":[{},{"c":"\\"}]}
 {"d":1}"#;
    let whole = cut(&[stream], JsonLimits::default()).unwrap();
    assert_eq!(whole.len(), 3);
    assert_eq!(whole[0]["a"], "}\"{");
    for k in 0..stream.len() {
        let (a, b) = stream.split_at(k);
        assert_eq!(cut(&[a, b], JsonLimits::default()).unwrap(), whole, "cut at {k}");
    }
}

#[test]
fn bad_streams_have_a_reason() {
    let limits = JsonLimits { max_bytes: 200, max_depth: 4, max_values: 60 };
    let long = vec![b'{'; 1].into_iter().chain(core::iter::repeat_n(b' ', 300));
    let cases: [(Vec<u8>, JsonError); 9] = [
        (b"[1]".to_vec(), JsonError::NotAnObject),
        (b"}".to_vec(), JsonError::NotAnObject),
        (b"{\"a\":[[[[".to_vec(), JsonError::TooDeep(4)),
        (b"{\"a\":[{},{},{}".to_vec(), JsonError::TooManyValues(60)),
        (long.collect(), JsonError::TooLong(200)),
        (b"{\"a\":\"\xff\"}".to_vec(), JsonError::Malformed { line: 1, column: 8 }),
        (b"{\"a\":\"\\ud800\"}".to_vec(), JsonError::Malformed { line: 1, column: 13 }),
        (b"{\"a\":1e999}".to_vec(), JsonError::Malformed { line: 1, column: 6 }),
        (b"{\"a\" 1]".to_vec(), JsonError::Malformed { line: 1, column: 6 }),
    ];
    for (stream, reason) in cases {
        assert_eq!(cut(&[&stream], limits), Err(reason), "{stream:?}");
    }
}

#[test]
fn whole_numbers() {
    for (text, expected) in [
        ("1", Some(1)),
        ("1.0", Some(1)),
        ("-1e3", Some(-1000)),
        ("1.5", None),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("1e300", None),
        ("\"1\"", None),
    ] {
        assert_eq!(integer(&serde_json::from_str(text).unwrap()), expected, "{text}");
    }
}
