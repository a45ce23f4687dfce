use super::*;
use crate::error::ErrorKind;
use serde_json::json;

#[test]
fn built_in_schemas_are_what_they_write() {
    for schema in [Schema::open_vswitch(), Schema::server()] {
        assert_eq!(Schema::from_json(&schema.to_json()).as_ref(), Ok(&schema));
    }
    let schema = Schema::open_vswitch();
    assert_eq!(schema.tables.len(), 19);
    let n_columns: usize = schema.tables.iter().map(|t| t.named_columns().count()).sum();
    assert_eq!(n_columns, 190);
}

#[test]
fn the_text_of_the_built_in_schema_is_known_by_its_sum() {
    let record = crate::log::write_record(&Schema::open_vswitch().to_json());
    let heading =
        core::str::from_utf8(record.split(|&byte| byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(heading.rsplit(' ').next(), Some(OPEN_VSWITCH_SHA1));
}

#[test]
fn columns_are_written_as_the_rfc_says() {
    let schema = Schema::open_vswitch().to_json();
    let column = |table: &str, name: &str| schema["tables"][table]["columns"][name].clone();
    let cases = [
        (column("Open_vSwitch", "next_cfg"), json!({"type": "integer"})),
        (
            column("Bridge", "fail_mode"),
            json!({"type": {"key": {"type": "string", "enum": ["set", ["secure", "standalone"]]}, "min": 0}}),
        ),
        (
            column("Bridge", "flood_vlans"),
            json!({"type": {"key": {"type": "integer", "minInteger": 0, "maxInteger": 4095}, "min": 0, "max": 4096}}),
        ),
        (column("Bridge", "name"), json!({"type": "string", "mutable": false})),
        (
            column("Mirror", "output_port"),
            json!({"type": {"key": {"type": "uuid", "refTable": "Port", "refType": "weak"}, "min": 0}}),
        ),
        (
            column("Port", "interfaces"),
            json!({"type": {"key": {"type": "uuid", "refTable": "Interface"}, "max": "unlimited"}}),
        ),
        (
            column("Interface", "statistics"),
            json!({"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}, "ephemeral": true}),
        ),
        (schema["tables"]["Open_vSwitch"]["maxRows"].clone(), json!(1)),
        (schema["tables"]["Open_vSwitch"]["isRoot"].clone(), json!(true)),
        (schema["tables"]["Bridge"]["indexes"].clone(), json!([["name"]])),
        (schema["tables"]["Bridge"]["isRoot"].clone(), Value::Null),
    ];
    for (actual, expected) in cases {
        assert_eq!(actual, expected);
    }
}

#[test]
fn broken_schemas_are_refused() {
    let with = |columns: Value| json!({"name": "s", "tables": {"t": {"columns": columns}}});
    let typed = |kind: Value| with(json!({"c": {"type": kind}}));
    for bad in [
        json!([]),
        json!({"name": "s"}),
        json!({"name": "1s", "tables": {}}),
        json!({"name": "s", "tables": {}, "extra": 1}),
        json!({"name": "s", "version": "1.2", "tables": {}}),
        json!({"name": "s", "tables": {"_t": {"columns": {"c": {"type": "integer"}}}}}),
        with(json!({})),
        with(json!({"_c": {"type": "integer"}})),
        typed(json!("void")),
        typed(json!({"key": "integer", "min": 2, "max": 3})),
        typed(json!({"key": "integer", "max": 0})),
        typed(json!({"key": {"type": "integer", "minInteger": 2, "maxInteger": 1}})),
        typed(json!({"key": {"type": "string", "minLength": -1}})),
        typed(json!({"key": {"type": "uuid", "refTable": "nowhere"}})),
        typed(json!({"key": {"type": "uuid", "refTable": "t", "refType": "loose"}})),
        typed(json!({"key": {"type": "boolean", "minInteger": 0}})),
        json!({"name": "s", "tables": {"t": {"columns": {"c": {"type": "integer"}}, "maxRows": 0}}}),
        json!({"name": "s", "tables": {"t": {"columns": {"c": {"type": "integer", "ephemeral": true}}, "indexes": [["c"]]}}}),
        json!({"name": "s", "tables": {"t": {"columns": {"c": {"type": "integer"}}, "indexes": [[]]}}}),
        json!({"name": "s", "tables": {"t": {"columns": {"c": {"type": "integer"}}, "indexes": [["d"]]}}}),
    ] {
        let kind = Schema::from_json(&bad).map_err(|e| e.kind);
        assert_eq!(kind, Err(ErrorKind::SyntaxError), "{bad}");
    }
}

#[test]
fn references_settle_persistence_and_mutability() {
    let schema = Schema::from_json(&json!({"name": "s", "tables": {
        "a": {"isRoot": true, "columns": {
            "strong": {"ephemeral": true, "type": {"key": {"type": "uuid", "refTable": "b"}}},
            "weak": {"mutable": false, "type": {"key": {"type": "uuid", "refTable": "b", "refType": "weak"}, "min": 0}}}},
        "b": {"columns": {"x": {"type": "integer"}}}}}))
    .unwrap();
    let a = &schema.tables[0];
    assert!(a.columns[a.column("strong").unwrap()].persistent);
    assert!(a.columns[a.column("weak").unwrap()].mutable);
    assert!(!schema.tables[1].is_root);
}
