use super::*;
use alloc::vec;
use proptest::prelude::*;
use std::string::ToString;

/// Parses with a budget of so many units a step; the tree and the number of steps.
fn parse(text: &[u8], units: usize) -> (Result<Value, JsonError>, usize) {
    let mut parser = Parser::new(text.to_vec());
    for n in 1.. {
        let mut budget = Budget::new(units);
        match parser.step(&mut budget) {
            Ok(None) => assert!(budget.is_spent() && n <= 2 * text.len() + 2, "it does not end"),
            Ok(Some(value)) => return (Ok(value), n),
            Err(error) => return (Err(error), n),
        }
    }
    unreachable!()
}

/// Texts right and wrong: what the reference says of each, we say too, in steps of any size.
#[test]
fn as_the_reference_parses() {
    let texts: &[&str] = &[
        "{}",
        "[]",
        " { \"a\" : [ 1 , 2.5, -3e2, true, false, null, \"x\" ] } ",
        "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":[[],{}]}}",
        r#""\"\\\/\b\f\n\r\t\u00e4\u20ac\ud83d\ude00ä€😀""#,
        r#""\u0000""#,
        r#""\ud83d""#,
        r#""\ud83dx""#,
        r#""\ud83d\n""#,
        r#""\ude00""#,
        r#""\ud83d\u0041""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\x""#,
        "\"a\u{1}\"",
        "\"",
        "\"\\",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{1:1}",
        "{a:1}",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "[1]]",
        "{} {}",
        "",
        " ",
        "01",
        "1.",
        ".5",
        "-",
        "-0",
        "1e",
        "1e999",
        "1e-999",
        "18446744073709551616",
        "9223372036854775807",
        "-9223372036854775808",
        "nul",
        "nulll",
        "True",
        "NaN",
        "+1",
        "1 2",
        "[1 2]",
        "{\"a\" 1}",
    ];
    for text in texts {
        let expected = serde_json::from_str::<Value>(text).ok();
        for units in [1, 2, 3, 7, 1 << 20] {
            let (found, _) = parse(text.as_bytes(), units);
            assert_eq!(found.ok(), expected, "{text} by {units}");
        }
    }
}

#[test]
fn bad_bytes_and_huge_numbers() {
    for text in [&b"\"\xff\""[..], b"\"\xc3\"", b"\xff", b"\"\xed\xa0\x80\""] {
        assert!(parse(text, 100).0.is_err(), "{text:?}");
    }
    let digits = |n: usize| vec![b'7'; n];
    assert!(parse(&digits(300), 100).0.is_ok());
    assert!(parse(&digits(MAX_NUMBER + 1), 100).0.is_err());
    assert!(parse(&digits(1 << 20), 100).0.is_err());
}

/// A long string and many small values take their steps.
#[test]
fn large_messages_are_cut_up() {
    let long = serde_json::json!(["x".repeat(100_000)]).to_string();
    let (value, steps) = parse(long.as_bytes(), 100);
    assert_eq!(value, Ok(serde_json::from_str(&long).unwrap()));
    assert!((100_000 / 16 / 100..1000).contains(&steps), "{steps}");
    let many = serde_json::json!(vec![serde_json::json!({"a": 1}); 5_000]).to_string();
    let (value, steps) = parse(many.as_bytes(), 1000);
    assert_eq!(value.unwrap().as_array().map(Vec::len), Some(5_000));
    assert!((40..200).contains(&steps), "{steps}");
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(|real: f64| Value::from(real)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in json(), units in 1usize..50) {
        let text = value.to_string();
        let expected: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(parse(text.as_bytes(), units).0, Ok(expected));
    }

    /// Bytes in the middle of a message replaced by any others: what the reference says, we say.
    #[test]
    fn damaged_text(value in json(), at in any::<prop::sample::Index>(), with in any::<Vec<u8>>(), units in 1usize..50) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        text.splice(at..(at + with.len()).min(text.len()), with);
        let expected = serde_json::from_slice::<Value>(&text).ok();
        prop_assert_eq!(parse(&text, units).0.ok(), expected);
    }
}
