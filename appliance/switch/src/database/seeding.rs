//! What a new database begins with: the boot configuration as rows.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde_json::{Map, Value, json};

/// Columns of rows, by table and name of the row.
pub(crate) type Columns = BTreeMap<(String, String), BTreeMap<String, Value>>;

/// The boot configuration in the words of the database.
#[derive(Clone, Debug, Default)]
pub struct Seeding {
    /// The bridges; without any, a new database has none.
    pub bridges: Vec<SeedBridge>,
    /// `Open_vSwitch:other_config`.
    pub other_config: BTreeMap<String, String>,
    /// Targets of `Open_vSwitch:manager_options`.
    pub managers: Vec<String>,
    /// Further columns of rows, by table and name of the row (`.` is the root's): what stands here goes
    /// before what the fields say.
    pub columns: Columns,
}

/// A bridge that a new database has.
#[derive(Clone, Debug, Default)]
pub struct SeedBridge {
    /// Its name.
    pub name: String,
    /// `fail_mode`, if it is to be said.
    pub fail_mode: Option<&'static str>,
    /// `protocols`, by names.
    pub protocols: Vec<String>,
    /// `controller`, by targets.
    pub controllers: Vec<String>,
    /// `other_config`.
    pub other_config: BTreeMap<String, String>,
    /// Its ports but its own, each with one interface of the same name.
    pub ports: Vec<SeedPort>,
}

/// A port that a new database has.
#[derive(Clone, Debug, Default)]
pub struct SeedPort {
    /// Its name.
    pub name: String,
    /// The OpenFlow number that it asks for.
    pub ofport_request: Option<u16>,
    /// `options:device`, where its name does not say which NIC it is.
    pub device: Option<String>,
}

impl Seeding {
    /// What the root's `other_config` will say of `key`.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        let root = self.columns.get(&("Open_vSwitch".into(), ".".into()));
        let Some(cell) = root.and_then(|root| root.get("other_config")) else {
            return self.other_config.get(key).map(String::as_str);
        };
        let pairs = cell.get(1)?.as_array()?;
        pairs.iter().find(|pair| pair.get(0).is_some_and(|name| name == key))?.get(1)?.as_str()
    }

    /// The operations that make the rows.
    pub(crate) fn operations(&self) -> Vec<Value> {
        let mut operations = Vec::new();
        let bridges = self.bridges.iter().enumerate();
        let bridges: Vec<Value> =
            bridges.map(|(k, bridge)| bridge.insert(k, &self.columns, &mut operations)).collect();
        let mut managers = Vec::new();
        for (k, target) in self.managers.iter().enumerate() {
            let (name, row) = (format!("m{k}"), json!({"target": target}));
            managers.push(json!(["named-uuid", name]));
            operations
                .push(json!({"op": "insert", "table": "Manager", "uuid-name": name, "row": row}));
        }
        let row = json!({
            "bridges": ["set", bridges],
            "manager_options": ["set", managers],
            "other_config": map(&self.other_config),
        });
        let row = with(row, &self.columns, "Open_vSwitch", ".");
        operations.push(json!({"op": "insert", "table": "Open_vSwitch", "row": row}));
        operations.push(json!({"op": "comment", "comment": "seed"}));
        operations
    }
}

impl SeedBridge {
    fn insert(&self, number: usize, columns: &Columns, operations: &mut Vec<Value>) -> Value {
        let mut insert = |table: &str, name: String, row: Value| {
            operations.push(json!({"op": "insert", "table": table, "uuid-name": name, "row": row}));
            json!(["named-uuid", name])
        };
        let own = SeedPort { name: self.name.clone(), ..SeedPort::default() };
        let mut ports = Vec::new();
        for (k, port) in core::iter::once(&own).chain(&self.ports).enumerate() {
            let mut interface = Map::new();
            interface.insert("name".into(), port.name.as_str().into());
            if k == 0 {
                interface.insert("type".into(), "internal".into());
            }
            if let Some(number) = port.ofport_request {
                interface.insert("ofport_request".into(), number.into());
            }
            if let Some(device) = &port.device {
                interface.insert("options".into(), json!(["map", [["device", device]]]));
            }
            let interface = with(Value::Object(interface), columns, "Interface", &port.name);
            let interface = insert("Interface", format!("i{number}_{k}"), interface);
            let row = json!({"name": port.name, "interfaces": interface});
            let row = with(row, columns, "Port", &port.name);
            ports.push(insert("Port", format!("p{number}_{k}"), row));
        }
        let targets = self.controllers.iter().enumerate();
        let controllers: Vec<Value> = targets
            .map(|(k, target)| {
                insert("Controller", format!("c{number}_{k}"), json!({"target": target}))
            })
            .collect();
        let fail_mode = self.fail_mode.map_or(json!(["set", []]), Value::from);
        let row = json!({
            "name": self.name,
            "ports": ["set", ports],
            "controller": ["set", controllers],
            "fail_mode": fail_mode,
            "protocols": ["set", self.protocols],
            "other_config": map(&self.other_config),
        });
        let row = with(row, columns, "Bridge", &self.name);
        insert("Bridge", format!("b{number}"), row)
    }
}

/// A row with the further columns that are given for it.
fn with(mut row: Value, columns: &Columns, table: &str, name: &str) -> Value {
    let more = columns.get(&(String::from(table), String::from(name)));
    if let Value::Object(row) = &mut row {
        row.extend(
            more.into_iter().flatten().map(|(column, value)| (column.clone(), value.clone())),
        );
    }
    row
}

fn map(pairs: &BTreeMap<String, String>) -> Value {
    let pairs: Vec<Value> = pairs.iter().map(|(key, value)| json!([key, value])).collect();
    Value::Array(vec!["map".into(), pairs.into()])
}
