//! Every column of the schema has its lot: it acts, it is a status, it is the clients' own, or it has no
//! effect and a status says so. And rows with whatever the schema allows in every column do not disturb
//! the others.

use super::super::status::{self, Extent};
use super::*;
use agent::bridge_config::Applied;
use alloc::boxed::Box;
use alloc::vec;
use ovsdb::{
    AtomKind, BaseType, ColumnType, Constraint, Keeping, Limits, Schema, Server, TableSchema,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Table, column, its lot, and for what acts or is said something to set it to (with other columns where
/// it needs them):
///
/// * `acts`: the wanted state is another then.
/// * `said`: it has no effect, and a remark says so.
/// * `with T.C`: nothing of such rows has an effect, which is said of column C that refers to them.
/// * `manager`: acts, on the connections of the database itself (`managers.rs`).
/// * `status`: the switch writes it, or leaves it empty because what it tells of is not built in.
/// * `free`: whatever clients like.
const LOTS: &str = r#"
Open_vSwitch bridges acts ["set",[]]
Open_vSwitch cur_cfg status
Open_vSwitch datapath_types status
Open_vSwitch datapaths said ["map",[["netdev",["named-uuid","d"]]]]
Open_vSwitch db_version status
Open_vSwitch dpdk_initialized status
Open_vSwitch dpdk_version status
Open_vSwitch external_ids free
Open_vSwitch iface_types status
Open_vSwitch manager_options manager
Open_vSwitch next_cfg acts 5
Open_vSwitch other_config acts ["map",[["max-idle","5000"]]]
Open_vSwitch ovs_version status
Open_vSwitch ssl said ["named-uuid","s"]
Open_vSwitch statistics status
Open_vSwitch system_type status
Open_vSwitch system_version status
Bridge auto_attach said ["named-uuid","a"]
Bridge controller acts ["set",[]]
Bridge datapath_id status
Bridge datapath_type said "netmap"
Bridge datapath_version status
Bridge external_ids free
Bridge fail_mode acts "secure"
Bridge flood_vlans acts 7
Bridge flow_tables acts ["map",[]]
Bridge ipfix said ["named-uuid","x"]
Bridge mcast_snooping_enable said true
Bridge mirrors acts ["set",[]]
Bridge name acts "br9"
Bridge netflow said ["named-uuid","n"]
Bridge other_config acts ["map",[["hwaddr","02:00:00:00:00:09"]]]
Bridge other_config said ["map",[["rstp-priority","1"]]]
Bridge ports acts ["set",[]]
Bridge protocols acts "OpenFlow15"
Bridge rstp_enable said true
Bridge rstp_status status
Bridge sflow said ["named-uuid","l"]
Bridge status status
Bridge stp_enable said true
Port bond_active_slave status
Port bond_downdelay said 5
Port bond_fake_iface said true
Port bond_mode said "balance-slb"
Port bond_updelay said 5
Port cvlans acts 7
Port external_ids free
Port fake_bridge free
Port interfaces acts ["set",[["named-uuid","i"],["named-uuid","j"]]]
Port interfaces said ["set",[["named-uuid","i"],["named-uuid","j"]]]
Port lacp said "active"
Port mac said "02:00:00:00:00:09"
Port name acts "p9"
Port other_config acts ["map",[["priority-tags","always"]]]
Port other_config said ["map",[["bond-hash-basis","1"]]]
Port protected acts true
Port rstp_statistics status
Port rstp_status status
Port statistics status
Port status status
Port tag acts 7
Port trunks acts 7
Port vlan_mode acts "native-tagged"
Interface admin_state status
Interface bfd said ["map",[["enable","true"]]]
Interface bfd_status status
Interface cfm_fault status
Interface cfm_fault_status status
Interface cfm_flap_count status
Interface cfm_health status
Interface cfm_mpid said 1
Interface cfm_remote_mpids status
Interface cfm_remote_opstate status
Interface duplex status
Interface error status
Interface external_ids free
Interface ifindex status
Interface ingress_policing_burst acts 10
Interface ingress_policing_burst said {"type":"internal","ingress_policing_burst":10}
Interface ingress_policing_kpkts_burst said 10
Interface ingress_policing_kpkts_rate said 10
Interface ingress_policing_rate acts 1000
Interface ingress_policing_rate said {"type":"internal","ingress_policing_rate":10}
Interface lacp_current status
Interface link_resets status
Interface link_speed status
Interface link_state status
Interface lldp said ["map",[["enable","true"]]]
Interface mac acts {"type":"internal","mac":"02:00:00:00:00:09"}
Interface mac said "02:00:00:00:00:09"
Interface mac_in_use status
Interface mtu status
Interface mtu_request acts 1400
Interface mtu_request said {"type":"patch","mtu_request":1400}
Interface name acts "p9"
Interface ofport acts 9
Interface ofport_request acts 9
Interface options acts ["map",[["device","index:1"]]]
Interface options acts ["map",[["n_rxq","2"]]]
Interface options said ["map",[["n_rxq","many"]]]
Interface options said {"type":"internal","options":["map",[["n_rxq","2"]]]}
Interface options said ["map",[["n_rxq_desc","512"]]]
Interface other_config acts ["map",[["admin-state","down"],["pmd-rxq-affinity","0:1"]]]
Interface other_config said ["map",[["lacp-port-id","1"]]]
Interface statistics status
Interface status status
Interface type acts "internal"
Flow_Table external_ids free
Flow_Table flow_limit acts 5
Flow_Table groups acts "in_port"
Flow_Table name acts "t"
Flow_Table overflow_policy acts "evict"
Flow_Table prefixes said "nw_dst"
QoS external_ids free
QoS other_config acts ["map",[["max-rate","8000"]]]
QoS other_config said ["map",[["r2q","1"]]]
QoS queues acts ["map",[]]
QoS type acts "linux-codel"
Queue dscp said 5
Queue external_ids free
Queue other_config acts ["map",[["max-rate","8000"]]]
Queue other_config said ["map",[["priority","1"]]]
Mirror external_ids free
Mirror filter said "tcp"
Mirror name acts "m9"
Mirror output_port acts ["set",[]]
Mirror output_vlan acts 7
Mirror select_all acts false
Mirror select_dst_port acts ["named-uuid","p"]
Mirror select_src_port acts ["named-uuid","p"]
Mirror select_vlan acts 7
Mirror snaplen acts 100
Mirror statistics status
NetFlow active_timeout with Bridge.netflow
NetFlow add_id_to_interface with Bridge.netflow
NetFlow engine_id with Bridge.netflow
NetFlow engine_type with Bridge.netflow
NetFlow external_ids free
NetFlow targets with Bridge.netflow
sFlow agent with Bridge.sflow
sFlow external_ids free
sFlow header with Bridge.sflow
sFlow polling with Bridge.sflow
sFlow sampling with Bridge.sflow
sFlow targets with Bridge.sflow
IPFIX cache_active_timeout with Bridge.ipfix
IPFIX cache_max_flows with Bridge.ipfix
IPFIX external_ids free
IPFIX obs_domain_id with Bridge.ipfix
IPFIX obs_point_id with Bridge.ipfix
IPFIX other_config with Bridge.ipfix
IPFIX sampling with Bridge.ipfix
IPFIX stats_interval with Bridge.ipfix
IPFIX targets with Bridge.ipfix
IPFIX template_interval with Bridge.ipfix
Flow_Sample_Collector_Set bridge said ["named-uuid","b"]
Flow_Sample_Collector_Set external_ids free
Flow_Sample_Collector_Set id with Flow_Sample_Collector_Set.bridge
Flow_Sample_Collector_Set ipfix with Flow_Sample_Collector_Set.bridge
Flow_Sample_Collector_Set local_group_id with Flow_Sample_Collector_Set.bridge
Controller connection_mode said "in-band"
Controller controller_burst_limit acts 50
Controller controller_queue_size said 100
Controller controller_rate_limit acts 200
Controller enable_async_messages acts false
Controller external_ids free
Controller inactivity_probe acts 9000
Controller is_connected status
Controller local_gateway said "10.0.0.9"
Controller local_ip said "10.0.0.9"
Controller local_netmask said "255.0.0.0"
Controller max_backoff acts 9000
Controller other_config said ["map",[["dscp","10"]]]
Controller role status
Controller status status
Controller target acts "tcp:10.0.0.3:1"
Controller target said "ssl:10.0.0.3:1"
Controller type acts "service"
Manager connection_mode said "in-band"
Manager external_ids free
Manager inactivity_probe manager
Manager is_connected status
Manager max_backoff manager
Manager other_config said ["map",[["dscp","10"]]]
Manager status status
Manager target manager
Manager target said "ssl:10.0.0.3:1"
Datapath capabilities with Open_vSwitch.datapaths
Datapath ct_zone_default_limit with Open_vSwitch.datapaths
Datapath ct_zones with Open_vSwitch.datapaths
Datapath datapath_version with Open_vSwitch.datapaths
Datapath external_ids free
CT_Zone external_ids free
CT_Zone limit with Open_vSwitch.datapaths
CT_Zone timeout_policy with Open_vSwitch.datapaths
CT_Timeout_Policy external_ids free
CT_Timeout_Policy timeouts with Open_vSwitch.datapaths
SSL bootstrap_ca_cert with Open_vSwitch.ssl
SSL ca_cert with Open_vSwitch.ssl
SSL certificate with Open_vSwitch.ssl
SSL external_ids free
SSL private_key with Open_vSwitch.ssl
AutoAttach mappings with Bridge.auto_attach
AutoAttach system_description with Bridge.auto_attach
AutoAttach system_name with Bridge.auto_attach
Port qos acts ["set",[]]
"#;

/// A line of [`LOTS`].
struct Lot<'a> {
    table: &'a str,
    column: &'a str,
    kind: &'a str,
    rest: &'a str,
}

fn lots() -> impl Iterator<Item = Lot<'static>> {
    LOTS.trim().lines().map(|line| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        Lot { table: word(), column: word(), kind: word(), rest: word() }
    })
}

fn server() -> Server {
    let database = Database::new(Schema::open_vswitch(), Uuid::ZERO);
    Server::new(Limits::default(), vec![(database, Keeping::Memory)], 1)
}

fn extracted(server: &Server) -> Extracted {
    extract(server.database("Open_vSwitch").expect("a database"))
}

/// What is extracted of a row of each table, the one of `table` with these cells.
fn with(table: &str, cells: &Map<String, Value>) -> Extracted {
    let rows = [
        ("i", "Interface", json!({"name": "p1"})),
        ("j", "Interface", json!({"name": "p2"})),
        (
            "p",
            "Port",
            json!({"name": "p1", "interfaces": ["named-uuid", "i"], "qos": ["named-uuid", "q"]}),
        ),
        ("c", "Controller", json!({"target": "tcp:10.0.0.1:6653"})),
        (
            "m",
            "Mirror",
            json!({"name": "m", "select_all": true, "output_port": ["named-uuid", "p"]}),
        ),
        ("f", "Flow_Table", json!({})),
        ("g", "Manager", json!({"target": "tcp:10.0.0.1:6640"})),
        ("q", "QoS", json!({"type": "linux-htb", "queues": ["map", [[1, ["named-uuid", "u"]]]]})),
        ("u", "Queue", json!({})),
        ("n", "NetFlow", json!({"targets": "10.0.0.2:1"})),
        ("l", "sFlow", json!({"targets": "10.0.0.2:1"})),
        ("x", "IPFIX", json!({"targets": "10.0.0.2:1"})),
        ("s", "SSL", json!({})),
        ("a", "AutoAttach", json!({})),
        ("d", "Datapath", json!({})),
        (
            "b",
            "Bridge",
            json!({"name": "br0", "ports": ["named-uuid", "p"], "controller": ["named-uuid", "c"],
                "mirrors": ["named-uuid", "m"], "flow_tables": ["map", [[1, ["named-uuid", "f"]]]]}),
        ),
        (
            "o",
            "Open_vSwitch",
            json!({"bridges": ["named-uuid", "b"], "manager_options": ["named-uuid", "g"]}),
        ),
    ];
    let mut changed = false;
    let mut operations: Vec<Value> = Vec::new();
    for (name, of, mut row) in rows {
        if of == table && !changed {
            changed = true;
            row.as_object_mut().expect("an object").extend(cells.clone());
        }
        operations.push(json!({"op": "insert", "table": of, "uuid-name": name, "row": row}));
    }
    if !changed && !cells.is_empty() {
        operations.push(json!({"op": "insert", "table": table, "row": cells}));
    }
    let mut server = server();
    for result in server.transact("Open_vSwitch", &operations, 0) {
        assert!(result.get("error").is_none(), "{table}: {result}");
    }
    extracted(&server)
}

#[test]
fn every_column_has_its_lot() {
    let schema = Schema::open_vswitch();
    for table in &schema.tables {
        for (_, column) in table.named_columns() {
            let is_listed =
                lots().any(|lot| (lot.table, lot.column) == (&*table.name, &*column.name));
            assert!(is_listed, "{}.{} has no lot", table.name, column.name);
        }
    }
    let nothing = with("", &Map::new());
    assert_eq!(nothing.remarks, BTreeMap::new(), "a plain configuration is not remarked on");
    for Lot { table, column, kind, rest } in lots() {
        let of = schema.tables.iter().find(|of| of.name == table).expect(table);
        assert!(of.column(column).is_some(), "{table}.{column} is not there");
        let said_of = |cells: &Map<String, Value>| {
            let remarks: Vec<_> = with(table, cells).remarks.into_values().flatten().collect();
            remarks.join("; ")
        };
        let cells = || match serde_json::from_str(rest).expect(rest) {
            Value::Object(cells) => cells,
            cell => Map::from_iter([(column.to_string(), cell)]),
        };
        match kind {
            "acts" => {
                let with_it = cells();
                let mut without = with_it.clone();
                without.remove(column);
                assert_ne!(with(table, &with_it), with(table, &without), "{table}.{column}");
            }
            "said" => {
                let said = said_of(&cells());
                // The name of the column, or of the table that it makes useless.
                let is_meant = said.contains(column)
                    || said.contains(table)
                    || (column, said.contains("no bonds here")) == ("interfaces", true);
                assert!(is_meant, "{table}.{column}: {said:?}");
            }
            "with" => {
                let (of, by) = rest.split_once('.').expect(rest);
                let is_said =
                    lots().any(|lot| (lot.table, lot.column, lot.kind) == (of, by, "said"));
                assert!(is_said, "{table}.{column}: {rest} is not said");
            }
            "status" | "free" | "manager" => assert_eq!(rest, "", "{table}.{column}"),
            other => panic!("{table}.{column}: {other}"),
        }
    }
}

/// Chance from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % n.max(1)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }

    fn atom(&mut self, base: &BaseType, rows: &BTreeMap<String, Vec<String>>) -> Option<Value> {
        const TEXTS: [&str; 26] = [
            "",
            "p1",
            "br0",
            "good",
            "tcp:10.0.0.1:6653",
            "tcp:[::1]:1",
            "ptcp:",
            "ptcp:6640",
            "ptcp:65536",
            "ssl:x",
            "tcp:",
            "02:00:00:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "true",
            "-1",
            "18446744073709551616",
            "0x",
            "00000000000000ab",
            "\u{1f600}\u{7f}",
            "internal",
            "patch",
            "dpdk",
            "gre",
            "down",
            "peer",
            "in_port,,[",
        ];
        const KEYS: [&str; 14] = [
            "peer",
            "device",
            "hwaddr",
            "datapath-id",
            "mac-aging-time",
            "mac-table-size",
            "max-idle",
            "stats-update-interval",
            "admin-state",
            "priority-tags",
            "enable",
            "dp-desc",
            "",
            "\u{e9}",
        ];
        Some(match &base.constraint {
            Constraint::Enum(atoms) => self.pick(atoms).to_json(),
            Constraint::Integers(least, most) => {
                let middle = least.saturating_add(i64::try_from(self.roll(70_000)).expect("small"));
                (*self.pick(&[*least, *most, middle.min(*most)])).into()
            }
            Constraint::Row { table, .. } => {
                let of = rows.get(&**table).filter(|of| !of.is_empty())?;
                json!(["uuid", self.pick(of)])
            }
            _ => match base.kind {
                AtomKind::Integer => {
                    (*self.pick(&[i64::MIN, -1, 0, 1, 4096, 65_536, i64::MAX])).into()
                }
                AtomKind::Real => (*self.pick(&[-1e300, 0.5, 1e300])).into(),
                AtomKind::Boolean => (self.roll(2) == 0).into(),
                AtomKind::String if self.roll(40) == 0 => "x".repeat(3_000).into(),
                AtomKind::String if self.roll(2) == 0 => (*self.pick(&KEYS)).into(),
                AtomKind::String => (*self.pick(&TEXTS)).into(),
                AtomKind::Uuid => json!(["uuid", Uuid(7).to_string()]),
            },
        })
    }

    fn cell(&mut self, kind: &ColumnType, rows: &BTreeMap<String, Vec<String>>) -> Option<Value> {
        let least = usize::try_from(kind.min).expect("small");
        let n = (least + self.roll(4)).min(usize::try_from(kind.max).unwrap_or(usize::MAX));
        let mut atoms: BTreeMap<String, Value> = BTreeMap::new();
        for _ in 0..n {
            let key = self.atom(&kind.key, rows)?;
            let element = match &kind.value {
                Some(value) => json!([key, self.atom(value, rows)?]),
                None => key.clone(),
            };
            atoms.insert(key.to_string(), element);
        }
        let tag = if kind.value.is_some() { "map" } else { "set" };
        Some(json!([tag, atoms.into_values().collect::<Vec<_>>()]))
    }

    /// A row with something in every column; `name` where there is a column of that name.
    fn row(
        &mut self,
        table: &TableSchema,
        rows: &BTreeMap<String, Vec<String>>,
        name: String,
    ) -> Value {
        let mut row = Map::new();
        for (_, column) in table.named_columns() {
            if let Some(cell) = self.cell(&column.kind, rows) {
                row.insert(column.name.clone(), cell);
            }
        }
        if table.column("name").is_some() && table.name != "Flow_Table" && table.name != "Mirror" {
            row.insert("name".into(), name.into());
        }
        Value::Object(row)
    }
}

/// Rows of every table with hostile values in every column, all in use; beside them one bridge as people
/// make it.
fn hostile(seed: u64) -> Server {
    let schema = Schema::open_vswitch();
    let mut dice = Dice(seed);
    let mut server = server();
    let start = json!([
        {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": "p1"}},
        {"op": "insert", "table": "Port", "uuid-name": "p", "row": {"name": "p1", "interfaces": ["named-uuid", "i"], "tag": 7}},
        {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "good", "ports": ["named-uuid", "p"]}},
        {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"], "next_cfg": 3}}]);
    for result in server.transact("Open_vSwitch", start.as_array().expect("operations"), 0) {
        assert!(result.get("error").is_none(), "{result}");
    }
    // Everything in one transaction, so that nothing goes before something refers to it.
    let order = [
        "CT_Timeout_Policy",
        "CT_Zone",
        "Datapath",
        "SSL",
        "AutoAttach",
        "IPFIX",
        "NetFlow",
        "sFlow",
        "Queue",
        "QoS",
        "Flow_Table",
        "Controller",
        "Manager",
        "Interface",
        "Port",
        "Mirror",
        "Bridge",
        "Flow_Sample_Collector_Set",
    ];
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut operations = Vec::new();
    for table in order {
        let schema = schema.tables.iter().find(|of| of.name == table).expect(table);
        for k in 0..3u128 {
            let row = dice.row(schema, &rows, format!("{table}{k}"));
            let uuid = Uuid(u128::from(seed) << 64 | (operations.len() as u128) << 8 | k | 1 << 60);
            operations.push(
                json!({"op": "insert", "table": table, "uuid": uuid.to_string(), "row": row}),
            );
            rows.entry(table.to_string()).or_default().push(uuid.to_string());
        }
    }
    let all = |table: &str| {
        let of = rows[table].iter().map(|uuid| json!(["uuid", uuid]));
        json!(["set", of.collect::<Vec<_>>()])
    };
    for (column, table) in [("bridges", "Bridge"), ("manager_options", "Manager")] {
        operations.push(json!({"op": "mutate", "table": "Open_vSwitch", "where": [],
            "mutations": [[column, "insert", all(table)]]}));
    }
    let root = schema.tables.iter().find(|of| of.name == "Open_vSwitch").expect("a root");
    let mut row = dice.row(root, &rows, String::new());
    for kept in ["bridges", "manager_options", "next_cfg"] {
        row.as_object_mut().expect("an object").remove(kept);
    }
    operations.push(json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": row}));
    let results = server.transact("Open_vSwitch", &operations, 0);
    let is_taken = results.iter().all(|result| result.get("error").is_none());
    if !is_taken {
        // Rows that collide in an index: each by itself, as far as it goes.
        let mut single = Box::new(server);
        for operation in operations {
            let _ = single.transact("Open_vSwitch", &[operation], 0);
        }
        return *single;
    }
    server
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn hostile_rows_spoil_only_themselves(seed in any::<u64>()) {
        let server = hostile(seed);
        let extracted = extracted(&server);
        let good = extracted.wanted.bridges.iter().find(|bridge| bridge.name == "good");
        let good = good.expect("the good bridge is still wanted");
        prop_assert_eq!(good.ports.len(), 1);
        prop_assert_eq!((good.ports[0].name.as_str(), good.ports[0].tag), ("p1", Some(7)));
        prop_assert_eq!(extracted.next_cfg, 3);
        // The status can be written beside it, and says what is ignored.
        let database = server.database("Open_vSwitch").expect("a database");
        let extent = (Extent::Everything, Some(3));
        let changes = status::changes(database, &extracted, &Applied::default(), extent, "here");
        prop_assert!(!changes.is_empty());
        let mut server = server;
        prop_assert_eq!(server.write_cells("Open_vSwitch", changes, 0), Ok(true));
    }
}
