//! Each case is a run of transactions in JSON over one small schema, and what comes of them.

use super::*;
use crate::schema::Schema;
use crate::uuid::Uuids;
use serde_json::json;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

struct Anyone;

impl Client for Anyone {
    fn owns(&self, lock: &str) -> bool {
        lock == "mine"
    }
    fn may_write(&self) -> bool {
        true
    }
    fn waited_ms(&self) -> u64 {
        0
    }
}

struct World {
    database: Database,
    uuids: Uuids,
}

impl World {
    fn new() -> Self {
        let schema = Schema::from_json(&json!({"name": "w", "tables": {
            "root": {"isRoot": true, "maxRows": 3, "indexes": [["name"], ["n", "b"]], "columns": {
                "name": {"type": "string"},
                "n": {"type": "integer"},
                "b": {"type": "boolean"},
                "r": {"type": "real"},
                "ints": {"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 99}, "min": 0, "max": 4}},
                "reals": {"type": {"key": "real", "min": 0, "max": "unlimited"}},
                "opt": {"type": {"key": "integer", "min": 0}},
                "map": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
                "choice": {"type": {"key": {"type": "string", "enum": ["set", ["", "x", "y"]]}}},
                "short": {"type": {"key": {"type": "string", "maxLength": 3}, "min": 0}},
                "fixed": {"type": "integer", "mutable": false},
                "kids": {"type": {"key": {"type": "uuid", "refTable": "kid"}, "min": 0, "max": "unlimited"}},
                "weak": {"type": {"key": {"type": "uuid", "refTable": "kid", "refType": "weak"}, "min": 0, "max": "unlimited"}},
                "named": {"type": {"key": "string", "value": {"type": "uuid", "refTable": "kid"}, "min": 0, "max": "unlimited"}}}},
            "one": {"isRoot": true, "columns": {
                "must": {"type": {"key": {"type": "uuid", "refTable": "kid", "refType": "weak"}, "min": 1, "max": 2}}}},
            "kid": {"columns": {
                "x": {"type": "integer"},
                "next": {"type": {"key": {"type": "uuid", "refTable": "kid"}, "min": 0}}}}}}))
        .unwrap();
        let mut uuids = Uuids::new(1);
        let id = uuids.fresh();
        Self { database: Database::new(schema, id), uuids }
    }

    fn try_run(&mut self, operations: Value, bounds: &Bounds) -> Executed {
        let operations = operations.as_array().unwrap().clone();
        let executed = execute(&self.database, &operations, &Anyone, bounds, &mut self.uuids);
        if let Executed::Finished(_, Some(commit)) = &executed {
            self.database.apply(commit);
        }
        executed
    }

    #[track_caller]
    fn run(&mut self, operations: Value) -> Vec<Value> {
        match self.try_run(operations, &Bounds::default()) {
            Executed::Finished(results, _) => results.to_vec(),
            Executed::Waiting(_) => panic!("waits"),
        }
    }

    /// The names of the errors among the results; of those without one, the empty text.
    #[track_caller]
    fn errors(&mut self, operations: Value) -> Vec<String> {
        let results = self.run(operations);
        results.iter().map(|r| r["error"].as_str().unwrap_or("").to_string()).collect()
    }

    /// The only error, at the end.
    #[track_caller]
    fn error(&mut self, operations: Value) -> String {
        let n = self.database.n_commits();
        let errors = self.errors(operations);
        let error = errors.into_iter().find(|error| !error.is_empty());
        assert!(error.is_none() || self.database.n_commits() == n);
        error.unwrap_or_default()
    }

    #[track_caller]
    fn select(&mut self, table: &str, columns: &[&str]) -> Value {
        let select = json!([{"op": "select", "table": table, "where": [], "columns": columns, "sort": columns}]);
        self.run(select)[0]["rows"].clone()
    }

    fn count(&self, table: &str) -> usize {
        self.database.n_rows(self.database.schema().table(table).unwrap())
    }
}

fn insert(row: Value) -> Value {
    json!({"op": "insert", "table": "root", "row": row})
}

#[test]
fn insert_gives_defaults_and_a_name() {
    let mut world = World::new();
    let results = world.run(json!([insert(json!({"name": "a"}))]));
    assert!(Uuid::parse(results[0]["uuid"][1].as_str().unwrap()).is_some());
    let columns = ["name", "n", "b", "r", "ints", "map", "choice", "kids"];
    let expected = json!([{"name": "a", "n": 0, "b": false, "r": 0, "ints": ["set", []],
        "map": ["map", []], "choice": "", "kids": ["set", []]}]);
    assert_eq!(world.select("root", &columns), expected);
}

#[test]
fn values_outside_their_type() {
    let mut world = World::new();
    for (row, error) in [
        (json!({"name": 1}), "syntax error"),
        (json!({"nothing": 1}), "unknown column"),
        (json!({"n": 1.5}), "syntax error"),
        (json!({"n": 1e300}), "syntax error"),
        (json!({"n": ["set", [1, 2]]}), "syntax error"),
        (json!({"ints": ["set", [1, 1]]}), "ovsdb error"),
        (json!({"ints": ["set", [1, 2, 3, 4, 5]]}), "syntax error"),
        (json!({"ints": 100}), "constraint violation"),
        (json!({"ints": ["set", [-1]]}), "constraint violation"),
        (json!({"map": ["map", [["a", 1], ["a", 2]]]}), "ovsdb error"),
        (json!({"map": ["set", []]}), "syntax error"),
        (json!({"map": ["map", [["a"]]]}), "syntax error"),
        (json!({"choice": "z"}), "constraint violation"),
        (json!({"short": "four"}), "constraint violation"),
        (json!({"name": "nul\u{0}"}), "constraint violation"),
        (json!({"kids": ["uuid", "no"]}), "syntax error"),
        (json!({"kids": ["named-uuid", "1x"]}), "syntax error"),
    ] {
        assert_eq!(world.error(json!([insert(row.clone())])), error, "{row}");
    }
    assert_eq!(world.error(json!([insert(json!({"n": 1.0, "short": "äöü"}))])), "");
}

#[test]
fn results_stop_at_the_error() {
    let mut world = World::new();
    let errors = world.run(json!([
        insert(json!({"name": "a"})),
        {"op": "abort"},
        insert(json!({"name": "b"})),
    ]));
    assert_eq!(errors[1], json!({"error": "aborted", "details": "aborted by request"}));
    assert_eq!(errors[2], Value::Null);
    assert_eq!(world.count("root"), 0);
    // An error of the commit itself follows all results.
    let twice = json!([insert(json!({"name": "a"})), insert(json!({"name": "a", "n": 1}))]);
    assert_eq!(world.errors(twice), ["", "", "constraint violation"]);
}

#[test]
fn malformed_operations() {
    let mut world = World::new();
    for (operation, error) in [
        (json!(1), "syntax error"),
        (json!({}), "syntax error"),
        (json!({"op": "fly"}), "syntax error"),
        (json!({"op": "insert", "table": "root"}), "syntax error"),
        (json!({"op": "insert", "table": "none", "row": {}}), "syntax error"),
        (json!({"op": "insert", "table": "root", "row": {}, "more": 1}), "syntax error"),
        (json!({"op": "insert", "table": "root", "row": []}), "syntax error"),
        (json!({"op": "insert", "table": "root", "row": {}, "uuid": "x"}), "syntax error"),
        (json!({"op": "select", "table": "root"}), "syntax error"),
        (json!({"op": "select", "table": "root", "where": [["n", "~", 1]]}), "unknown function"),
        (json!({"op": "select", "table": "root", "where": [["no", "==", 1]]}), "unknown column"),
        (json!({"op": "select", "table": "root", "where": [["n", "=="]]}), "syntax error"),
        (json!({"op": "select", "table": "root", "where": [["name", "<", "a"]]}), "syntax error"),
        (json!({"op": "select", "table": "root", "where": [["ints", ">", 1]]}), "syntax error"),
        (
            json!({"op": "select", "table": "root", "where": [], "columns": ["n", "n"]}),
            "syntax error",
        ),
        (
            json!({"op": "mutate", "table": "root", "where": [], "mutations": [["n", "^=", 1]]}),
            "unknown mutator",
        ),
        (
            json!({"op": "mutate", "table": "root", "where": [], "mutations": [["name", "+=", 1]]}),
            "syntax error",
        ),
        (
            json!({"op": "mutate", "table": "root", "where": [], "mutations": [["r", "%=", 1]]}),
            "syntax error",
        ),
        (
            json!({"op": "mutate", "table": "root", "where": [], "mutations": [["n", "insert", 1]]}),
            "syntax error",
        ),
        (
            json!({"op": "mutate", "table": "root", "where": [], "mutations": [["fixed", "+=", 1]]}),
            "constraint violation",
        ),
        (
            json!({"op": "update", "table": "root", "where": [], "row": {"fixed": 1}}),
            "constraint violation",
        ),
        (
            json!({"op": "update", "table": "root", "where": [], "row": {"_version": ["uuid", "550e8400-e29b-41d4-a716-446655440000"]}}),
            "constraint violation",
        ),
        (
            json!({"op": "wait", "table": "root", "where": [], "until": "~", "rows": []}),
            "syntax error",
        ),
        (
            json!({"op": "wait", "table": "root", "where": [], "until": "==", "rows": [], "timeout": -1}),
            "syntax error",
        ),
        (
            json!({"op": "wait", "table": "root", "where": [], "until": "!=", "rows": [], "timeout": 0}),
            "timed out",
        ),
        (json!({"op": "commit"}), "syntax error"),
        (json!({"op": "comment", "comment": 1}), "syntax error"),
        (json!({"op": "assert", "lock": "theirs"}), "not owner"),
    ] {
        assert_eq!(world.error(json!([operation.clone()])), error, "{operation}");
    }
    assert_eq!(
        world.error(json!([{"op": "assert", "lock": "mine"}, {"op": "commit", "durable": true}])),
        ""
    );
}

#[test]
fn conditions() {
    let mut world = World::new();
    world.run(json!([
        insert(json!({"name": "a", "n": 1, "ints": ["set", [1, 2]], "opt": 5, "map": ["map", [["k", 1], ["l", 2]]]})),
        insert(json!({"name": "b", "n": 2, "ints": 3, "map": ["map", [["k", 2]]]})),
        insert(json!({"name": "c", "n": 3})),
    ]));
    for (condition, expected) in [
        (json!([]), "abc"),
        (json!([true]), "abc"),
        (json!([false]), ""),
        (json!([["n", "<", 2]]), "a"),
        (json!([["n", "<=", 2]]), "ab"),
        (json!([["n", "==", 2]]), "b"),
        (json!([["n", "!=", 2]]), "ac"),
        (json!([["n", ">=", 2], ["n", "<", 3]]), "b"),
        (json!([["n", ">", 1.0]]), "bc"),
        (json!([["n", "includes", 1]]), "a"),
        (json!([["n", "excludes", 1]]), "bc"),
        (json!([["ints", "==", ["set", [2, 1]]]]), "a"),
        (json!([["ints", "includes", 2]]), "a"),
        (json!([["ints", "includes", ["set", []]]]), "abc"),
        (json!([["ints", "excludes", ["set", [2, 3]]]]), "c"),
        (json!([["opt", ">", 4]]), "a"),
        (json!([["opt", "==", ["set", []]]]), "bc"),
        (json!([["opt", "!=", 5]]), "bc"),
        (json!([["opt", "includes", 5]]), "a"),
        (json!([["map", "includes", ["map", [["k", 2]]]]]), "b"),
        (json!([["map", "excludes", ["map", [["k", 2]]]]]), "ac"),
        (json!([["map", "==", ["map", [["l", 2], ["k", 1]]]]]), "a"),
        (json!([["name", "==", "b"], ["n", "==", 2]]), "b"),
    ] {
        let rows = world.run(json!([{"op": "select", "table": "root", "where": condition, "columns": ["name"], "sort": ["name"]}]));
        let names: String = rows[0]["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, expected, "{condition}");
    }
}

#[test]
fn mutations() {
    let start = json!({"n": 10, "r": 1.5, "ints": ["set", [1, 2, 3]], "reals": ["set", [1, 2]],
        "opt": 7, "map": ["map", [["a", 1], ["b", 2]]]});
    for (mutation, column, expected) in [
        (json!(["n", "+=", 5]), "n", json!(15)),
        (json!(["n", "-=", 5]), "n", json!(5)),
        (json!(["n", "*=", 5]), "n", json!(50)),
        (json!(["n", "/=", 3]), "n", json!(3)),
        (json!(["n", "%=", 3]), "n", json!(1)),
        (json!(["n", "/=", 0]), "", json!("domain error")),
        (json!(["n", "%=", 0]), "", json!("domain error")),
        (json!(["n", "*=", i64::MAX]), "", json!("range error")),
        (json!(["r", "+=", 1]), "r", json!(2.5)),
        (json!(["r", "/=", 0]), "", json!("domain error")),
        (json!(["r", "*=", 1.7e308]), "", json!("range error")),
        (json!(["ints", "+=", 1]), "ints", json!(["set", [2, 3, 4]])),
        (json!(["ints", "+=", 97]), "", json!("constraint violation")),
        (json!(["ints", "*=", 0]), "", json!("constraint violation")),
        (json!(["reals", "*=", 2]), "reals", json!(["set", [2, 4]])),
        (json!(["ints", "insert", ["set", [3, 4]]]), "ints", json!(["set", [1, 2, 3, 4]])),
        (json!(["ints", "insert", ["set", [4, 5]]]), "", json!("constraint violation")),
        (json!(["ints", "delete", ["set", [1, 9]]]), "ints", json!(["set", [2, 3]])),
        (json!(["ints", "delete", ["set", [1, 2, 3, 4, 5, 6]]]), "ints", json!(["set", []])),
        (json!(["opt", "delete", 7]), "opt", json!(["set", []])),
        (
            json!(["map", "insert", ["map", [["a", 9], ["c", 3]]]]),
            "map",
            json!(["map", [["a", 1], ["b", 2], ["c", 3]]]),
        ),
        (
            json!(["map", "delete", ["map", [["a", 9], ["b", 2]]]]),
            "map",
            json!(["map", [["a", 1]]]),
        ),
        (json!(["map", "delete", ["set", ["a", "z"]]]), "map", json!(["map", [["b", 2]]])),
        (json!(["map", "delete", "b"]), "map", json!(["map", [["a", 1]]])),
    ] {
        let mut world = World::new();
        world.run(json!([insert(start.clone())]));
        let results =
            world.run(json!([{"op": "mutate", "table": "root", "where": [], "mutations": [mutation.clone()]}]));
        let actual = match column {
            "" => results[0]["error"].clone(),
            _ => world.select("root", &[column])[0][column].clone(),
        };
        assert_eq!(actual, expected, "{mutation}");
    }
}

#[test]
fn strong_references_keep_rows_and_rows_without_them_go() {
    let mut world = World::new();
    // Nobody refers to it: it does not outlive its transaction.
    world.run(json!([{"op": "insert", "table": "kid", "row": {}}]));
    assert_eq!((world.count("kid"), world.database.n_commits()), (0, 0));
    // A chain, by names used before they are defined.
    world.run(json!([
        insert(json!({"name": "a", "kids": ["named-uuid", "k1"], "named": ["map", [["m", ["named-uuid", "k3"]]]]})),
        {"op": "insert", "table": "kid", "row": {"x": 1, "next": ["named-uuid", "k2"]}, "uuid-name": "k1"},
        {"op": "insert", "table": "kid", "row": {"x": 2, "next": ["named-uuid", "k2"]}, "uuid-name": "k2"},
        {"op": "insert", "table": "kid", "row": {"x": 3}, "uuid-name": "k3"},
    ]));
    assert_eq!(world.select("kid", &["x"]), json!([{"x": 1}, {"x": 2}, {"x": 3}]));
    // What is referred to cannot be deleted alone.
    let delete = |x: i64| json!({"op": "delete", "table": "kid", "where": [["x", "==", x]]});
    assert_eq!(world.error(json!([delete(3)])), "referential integrity violation");
    let unlink =
        json!({"op": "update", "table": "root", "where": [], "row": {"named": ["map", []]}});
    world.run(json!([delete(3), unlink]));
    assert_eq!(world.select("kid", &["x"]), json!([{"x": 1}, {"x": 2}]));
    // A reference to nothing.
    let nowhere = "550e8400-e29b-41d4-a716-446655440000";
    let dangling = json!([insert(json!({"name": "b", "n": 1, "kids": ["uuid", nowhere]}))]);
    assert_eq!(world.error(dangling), "referential integrity violation");
    let undefined = json!([insert(json!({"name": "b", "n": 1, "kids": ["named-uuid", "who"]}))]);
    assert_eq!(world.error(undefined), "referential integrity violation");
    // The end of the chain's only holder is the end of the chain, of the row that holds itself too.
    world.run(json!([{"op": "delete", "table": "root", "where": []}]));
    assert_eq!(world.count("kid"), 0);
}

#[test]
fn weak_references_go_with_their_row() {
    let mut world = World::new();
    world.run(json!([
        insert(json!({"name": "a", "kids": ["set", [["named-uuid", "k1"], ["named-uuid", "k2"]]],
            "weak": ["set", [["named-uuid", "k1"], ["named-uuid", "k2"], ["named-uuid", "nobody"]]]})),
        {"op": "insert", "table": "kid", "row": {"x": 1}, "uuid-name": "k1"},
        {"op": "insert", "table": "kid", "row": {"x": 2}, "uuid-name": "k2"},
        {"op": "insert", "table": "one", "row": {"must": ["named-uuid", "k2"]}},
    ]));
    let n_weak = |world: &mut World| {
        world.select("root", &["weak"])[0]["weak"].as_array().map_or(0, |set| match &set[1] {
            Value::Array(elements) => elements.len(),
            _ => 1,
        })
    };
    assert_eq!(n_weak(&mut world), 2);
    let kid = |world: &mut World, x: i64| {
        let rows = world.run(json!([{"op": "select", "table": "kid", "where": [["x", "==", x]], "columns": ["_uuid"]}]));
        rows[0]["rows"][0]["_uuid"].clone()
    };
    let (one, two) = (kid(&mut world, 1), kid(&mut world, 2));
    let drop = |kid: Value| json!([{"op": "mutate", "table": "root", "where": [], "mutations": [["kids", "delete", kid]]}]);
    world.run(drop(one));
    assert_eq!(n_weak(&mut world), 1);
    // The column of `one` may not be empty.
    assert_eq!(world.error(drop(two.clone())), "constraint violation");
    world.run(json!([{"op": "delete", "table": "one", "where": []}]));
    world.run(drop(two));
    assert_eq!((n_weak(&mut world), world.count("kid")), (0, 0));
    // All zeros, the default, is nobody either.
    assert_eq!(
        world.error(json!([{"op": "insert", "table": "one", "row": {}}])),
        "constraint violation"
    );
}

#[test]
fn limits_and_indexes() {
    let mut world = World::new();
    let row = |name: &str, n: i64| insert(json!({"name": name, "n": n}));
    world.run(json!([row("a", 1), row("b", 2), row("c", 3)]));
    assert_eq!(world.error(json!([row("d", 4)])), "constraint violation");
    let rename = |from: &str, to: &str| json!({"op": "update", "table": "root", "where": [["name", "==", from]], "row": {"name": to}});
    assert_eq!(world.error(json!([rename("a", "b")])), "constraint violation");
    // Names may be swapped within a transaction.
    world.run(json!([rename("a", "x"), rename("b", "a"), rename("x", "b")]));
    assert_eq!(world.select("root", &["name", "n"])[0], json!({"name": "a", "n": 2}));
    // A deleted row's name is free in the same transaction.
    let delete = json!({"op": "delete", "table": "root", "where": [["name", "==", "c"]]});
    assert_eq!(world.errors(json!([delete, row("c", 3)])), ["", ""]);
    assert_eq!(world.count("root"), 3);
    assert_eq!(
        world.error(json!([{"op": "update", "table": "root", "where": [], "row": {"n": 1}}])),
        "constraint violation"
    );
}

#[test]
fn names_of_rows() {
    let mut world = World::new();
    let uuid = "550e8400-e29b-41d4-a716-446655440000";
    let with = |name: &str, n: i64| json!({"op": "insert", "table": "root", "uuid": uuid, "row": {"name": name, "n": n}});
    world.run(json!([with("a", 1)]));
    assert_eq!(world.error(json!([with("b", 2)])), "duplicate uuid");
    let delete = json!({"op": "delete", "table": "root", "where": []});
    assert_eq!(world.error(json!([delete, with("b", 2)])), "duplicate uuid");
    let named =
        json!({"op": "insert", "table": "root", "uuid-name": "r", "row": {"name": "z", "n": 9}});
    assert_eq!(world.error(json!([named, named])), "duplicate uuid-name");
}

#[test]
fn select_is_distinct_and_sorted() {
    let mut world = World::new();
    world.run(json!([
        insert(json!({"name": "a", "n": 1, "opt": 2})),
        insert(json!({"name": "b", "n": 2, "opt": 2})),
        insert(json!({"name": "c", "n": 3, "opt": 1})),
    ]));
    assert_eq!(world.select("root", &["opt"]), json!([{"opt": 1}, {"opt": 2}]));
    let by_n = world.run(json!([{"op": "select", "table": "root", "where": [], "columns": ["name"], "sort": ["opt", "n"]}]));
    assert_eq!(by_n[0]["rows"], json!([{"name": "c"}, {"name": "a"}, {"name": "b"}]));
    let all = world.run(json!([{"op": "select", "table": "kid", "where": []}]));
    assert_eq!(all[0], json!({"rows": []}));
}

#[test]
fn waiting() {
    let mut world = World::new();
    let wait = |timeout: Value| {
        let mut wait = json!({"op": "wait", "table": "root", "where": [["name", "==", "a"]],
            "columns": ["n"], "until": "==", "rows": [{"n": 5}]});
        if !timeout.is_null() {
            wait["timeout"] = timeout;
        }
        json!([wait])
    };
    let outcome = |world: &mut World, timeout: Value| match world
        .try_run(wait(timeout), &Bounds::default())
    {
        Executed::Waiting(ms) => format!("waits {ms:?}"),
        Executed::Finished(results, _) => results.to_vec()[0].to_string(),
    };
    assert_eq!(outcome(&mut world, Value::Null), "waits None");
    assert_eq!(outcome(&mut world, json!(100)), "waits Some(100)");
    world.run(json!([insert(json!({"name": "a", "n": 5}))]));
    assert_eq!(outcome(&mut world, json!(0)), "{}");
}

#[test]
fn bounds() {
    let bounds =
        Bounds { max_operations: 4, max_steps: 10, max_selected: 4_000, max_weight: 6_000 };
    let mut world = World::new();
    let mut error = |operations: Value| match world.try_run(operations, &bounds) {
        Executed::Finished(results, _) => {
            let results = results.to_vec();
            results.iter().find_map(|r| r["error"].as_str()).unwrap_or("").to_string()
        }
        Executed::Waiting(_) => "waits".to_string(),
    };
    let select = json!({"op": "select", "table": "root", "where": []});
    assert_eq!(error(json!([insert(json!({"name": "a"}))])), "");
    assert_eq!(error(json!([select, select, select, select, select])), "resources exhausted");
    assert_eq!(error(json!([select, select, select])), "resources exhausted");
    let long = "x".repeat(6_000);
    assert_eq!(error(json!([insert(json!({"name": long, "n": 2}))])), "resources exhausted");
    assert_eq!(error(json!([insert(json!({"name": "b", "n": 2}))])), "");
}

#[test]
fn what_changes_nothing_is_no_commit() {
    let mut world = World::new();
    world.run(json!([insert(json!({"name": "a", "n": 1}))]));
    let (n, id) = (world.database.n_commits(), world.database.last_commit());
    world.run(json!([
        {"op": "update", "table": "root", "where": [], "row": {"n": 1}},
        {"op": "mutate", "table": "root", "where": [], "mutations": [["n", "+=", 1], ["n", "-=", 1]]},
        {"op": "comment", "comment": "nothing"},
        {"op": "insert", "table": "kid", "row": {}},
    ]));
    assert_eq!((world.database.n_commits(), world.database.last_commit()), (n, id));
}
