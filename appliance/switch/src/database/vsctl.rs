//! A seed in the statements of `ovs-vsctl`: `add-br br0 -- add-port br0 p1 tag=5 -- set Bridge br0 …`.
//!
//! What builds a configuration up is understood (`add-br`, `add-port`, `set`, `set-controller`,
//! `set-fail-mode`, `set-manager`, with columns and keys as `ovs-vsctl` writes them); what
//! asks, waits or takes away has no use on a database that is empty, and is refused by name.

use super::seeding::{SeedBridge, SeedPort, Seeding};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use ovsdb::{AtomKind, Schema};
use serde_json::{Value, json};

/// Reads statements.
///
/// # Errors
/// The first that is not understood, with what is wrong.
pub(crate) fn parse(text: &str) -> Result<Seeding, String> {
    let schema = Schema::open_vswitch();
    let mut seeding = Seeding::default();
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    for statement in words.split(|word| *word == "--").filter(|words| !words.is_empty()) {
        one(&mut seeding, &schema, statement)
            .map_err(|why| format!("{}: {why}", statement.join(" ")))?;
    }
    Ok(seeding)
}

fn one(seeding: &mut Seeding, schema: &Schema, words: &[&str]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().copied().filter(|word| *word != "--may-exist").collect();
    match words.as_slice() {
        ["add-br", name] => {
            if seeding.bridge(name).is_none() {
                seeding.bridges.push(SeedBridge { name: (*name).into(), ..SeedBridge::default() });
            }
            Ok(())
        }
        ["add-port", bridge, port, columns @ ..] => {
            if seeding.has_port(port) {
                return Err("there is a port of that name".into());
            }
            let bridge = seeding.bridge(bridge).ok_or("no such bridge")?;
            bridge.ports.push(SeedPort { name: (*port).into(), ..SeedPort::default() });
            set(seeding, schema, "Port", port, columns)
        }
        ["set-controller", bridge, targets @ ..] => {
            let bridge = seeding.bridge(bridge).ok_or("no such bridge")?;
            bridge.controllers = targets.iter().map(ToString::to_string).collect();
            Ok(())
        }
        ["set-fail-mode", bridge, mode] => {
            let mode = match *mode {
                "standalone" => "standalone",
                "secure" => "secure",
                _ => return Err("expected standalone or secure".into()),
            };
            seeding.bridge(bridge).ok_or("no such bridge")?.fail_mode = Some(mode);
            Ok(())
        }
        ["set-manager", targets @ ..] => {
            seeding.managers = targets.iter().map(ToString::to_string).collect();
            Ok(())
        }
        ["set", table, record, columns @ ..] if !columns.is_empty() => {
            let is_there = match *table {
                "Open_vSwitch" | "open" => *record == ".",
                "Bridge" | "bridge" => seeding.bridge(record).is_some(),
                "Port" | "port" | "Interface" | "interface" => {
                    seeding.has_port(record) || seeding.bridge(record).is_some()
                }
                _ => return Err("only Open_vSwitch, Bridge, Port and Interface can be set".into()),
            };
            if !is_there {
                return Err("no such record".into());
            }
            let table = match *table {
                "open" => "Open_vSwitch",
                "bridge" => "Bridge",
                "port" => "Port",
                "interface" => "Interface",
                table => table,
            };
            set(seeding, schema, table, record, columns)
        }
        [command, ..] => Err(format!("\"{command}\" with these arguments is nothing for a seed")),
        [] => Ok(()),
    }
}

/// Sets `COLUMN=VALUE` or `COLUMN:KEY=VALUE`, each a word.
fn set(
    seeding: &mut Seeding,
    schema: &Schema,
    table: &str,
    record: &str,
    words: &[&str],
) -> Result<(), String> {
    let table_schema = schema.table(table).and_then(|at| schema.tables.get(at));
    let table_schema = table_schema.ok_or("no such table")?;
    for word in words {
        let (left, value) = word.split_once('=').ok_or("expected COLUMN=VALUE")?;
        let (column, key) = match left.split_once(':') {
            Some((column, key)) => (column, Some(key)),
            None => (left, None),
        };
        let column = column.replace('-', "_");
        let place = table_schema.column(&column).ok_or_else(|| format!("no column {column}"))?;
        let kind = table_schema.columns.get(place).map(|column| &column.kind);
        let kind = kind.filter(|_| !column.starts_with('_')).ok_or("no such column")?;
        let row = seeding.columns.entry((table.into(), record.into())).or_default();
        match (&kind.value, key) {
            (Some(base), _) => {
                let pairs = match key {
                    Some(key) => alloc::vec![(key, value)],
                    None => {
                        let pairs = elements(value).map(|pair| pair.split_once('='));
                        pairs.collect::<Option<Vec<_>>>().ok_or("expected KEY=VALUE,…")?
                    }
                };
                let map = row.entry(column).or_insert_with(|| json!(["map", []]));
                let old = map.get_mut(1).and_then(Value::as_array_mut).ok_or("a map")?;
                for (key, value) in pairs {
                    let pair = json!([atom(kind.key.kind, key)?, atom(base.kind, value)?]);
                    old.retain(|other| other.get(0) != pair.get(0));
                    old.push(pair);
                }
            }
            (None, Some(_)) => return Err(format!("column {column} has no keys")),
            (None, None) => {
                let atoms = elements(value).map(|value| atom(kind.key.kind, value));
                let atoms = atoms.collect::<Result<Vec<_>, _>>()?;
                row.insert(column, json!(["set", atoms]));
            }
        }
    }
    Ok(())
}

/// The elements of `a,b` or `[a,b]` or `{a,b}`.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    let inside = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    let text = inside('[', ']').or_else(|| inside('{', '}')).unwrap_or(text);
    text.split(',').filter(|element| !element.is_empty())
}

fn atom(kind: AtomKind, text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text);
    Ok(match kind {
        AtomKind::String => text.into(),
        AtomKind::Integer => {
            text.parse::<i64>().map_err(|_| format!("{text} is no integer"))?.into()
        }
        AtomKind::Boolean => {
            text.parse::<bool>().map_err(|_| format!("{text} is neither true nor false"))?.into()
        }
        AtomKind::Real | AtomKind::Uuid => return Err("a column that a seed cannot set".into()),
    })
}

impl Seeding {
    fn bridge(&mut self, name: &str) -> Option<&mut SeedBridge> {
        self.bridges.iter_mut().find(|bridge| bridge.name == name)
    }

    fn has_port(&self, name: &str) -> bool {
        let mut ports = self.bridges.iter().flat_map(|bridge| &bridge.ports);
        ports.any(|port| port.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ovsdb::{Database, Keeping, Limits, Server, Uuid};

    /// What a new database holds after these statements.
    fn seeded(text: &str) -> Server {
        let seeding = parse(text).expect("statements");
        let database = Database::new(Schema::open_vswitch(), Uuid::ZERO);
        let mut server =
            Server::new(Limits::default(), alloc::vec![(database, Keeping::Memory)], 1);
        for result in server.transact("Open_vSwitch", &seeding.operations(), 0) {
            assert!(result.get("error").is_none(), "{result}");
        }
        server
    }

    fn select(server: &mut Server, table: &str, name: &str, column: &str) -> Value {
        let condition = if name == "." { json!([]) } else { json!([["name", "==", name]]) };
        let select =
            json!({"op": "select", "table": table, "where": condition, "columns": [column]});
        let results = server.transact("Open_vSwitch", &[select], 0);
        results[0]["rows"][0][column].clone()
    }

    #[test]
    fn statements_become_rows() {
        let mut server = seeded(
            "--may-exist add-br br0 -- add-port br0 net1 tag=5 trunks=[1,2] -- add-port br0 net2 \
             -- set Interface net1 type=patch options:peer=net2 mtu-request=1400 \
             -- set bridge br0 other-config:datapath-id=00000000000000ab other_config:hwaddr=02:00:00:00:00:01 \
             protocols=OpenFlow10,OpenFlow13 -- set-controller br0 tcp:10.0.0.1:6653 ptcp:6654 \
             -- set-fail-mode br0 secure -- set open . other_config={max-idle=20000} \
             -- set Port net2 protected=true -- set-manager ptcp:6641",
        );
        for (table, name, column, expected) in [
            ("Port", "net1", "tag", json!(5)),
            ("Port", "net1", "trunks", json!(["set", [1, 2]])),
            ("Port", "net2", "protected", json!(true)),
            ("Interface", "net1", "type", json!("patch")),
            ("Interface", "net1", "options", json!(["map", [["peer", "net2"]]])),
            ("Interface", "net1", "mtu_request", json!(1400)),
            ("Interface", "br0", "type", json!("internal")),
            ("Bridge", "br0", "fail_mode", json!("secure")),
            ("Bridge", "br0", "protocols", json!(["set", ["OpenFlow10", "OpenFlow13"]])),
            ("Open_vSwitch", ".", "other_config", json!(["map", [["max-idle", "20000"]]])),
            ("Manager", ".", "target", json!("ptcp:6641")),
        ] {
            assert_eq!(
                select(&mut server, table, name, column),
                expected,
                "{table} {name} {column}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, expected) in [
            ("add-port br0 p1", "add-port br0 p1: no such bridge"),
            (
                "add-br a -- del-br a",
                "del-br a: \"del-br\" with these arguments is nothing for a seed",
            ),
            (
                "add-br a -- add-port a p -- add-port a p",
                "add-port a p: there is a port of that name",
            ),
            ("add-br a -- set Bridge b x=1", "set Bridge b x=1: no such record"),
            ("add-br a -- set Bridge a x=1", "set Bridge a x=1: no column x"),
            ("add-br a -- set Port a tag=x", "set Port a tag=x: x is no integer"),
            ("add-br a -- set Port a tag:x=1", "set Port a tag:x=1: column tag has no keys"),
            ("add-br a -- set Port a _uuid=1", "set Port a _uuid=1: no such column"),
            (
                "set QoS x y=1",
                "set QoS x y=1: only Open_vSwitch, Bridge, Port and Interface can be set",
            ),
            ("add-br a -- set-fail-mode a x", "set-fail-mode a x: expected standalone or secure"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
        assert_eq!(parse("").map(|seeding| seeding.bridges.len()), Ok(0));
    }
}
