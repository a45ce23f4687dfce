//! Stock tools against our server, and the same commands against a stock `ovsdb-server`: same answers.

mod support;

use ovsdb::{Schema, Uuid};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::{Ours, Serving, Stock, printed, run};

/// Both servers with an empty database each.
struct Pair {
    folder: tempfile::TempDir,
    ours: Ours,
    stock: Stock,
}

impl Pair {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ours = Ours::start(folder.path(), None);
        let stock = Stock::start(folder.path(), &folder.path().join("stock.db"));
        Self { folder, ours, stock }
    }

    fn both(&self) -> [(&'static str, String); 2] {
        [("ours", self.ours.target()), ("stock", self.stock.target())]
    }
}

/// UUIDs by the order in which they appear: the only thing in which two servers may differ.
#[derive(Default)]
struct Normal(BTreeMap<String, usize>);

impl Normal {
    fn text(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let word = rest.get(..36).filter(|word| Uuid::parse(word).is_some());
            if let Some(word) = word {
                let n = self.0.len();
                let n = *self.0.entry(word.to_string()).or_insert(n);
                out += &format!("<{n}>");
                rest = &rest[36..];
            } else {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                out += &rest[..next];
                rest = &rest[next..];
            }
        }
        out
    }
}

/// `ovs-vsctl` with a line of arguments: exit status and sorted lines of both outputs.
fn vsctl(target: &str, line: &str) -> String {
    let mut args: Vec<String> =
        vec![format!("--db={target}"), "--no-wait".into(), "--timeout=60".into()];
    // Its warnings without the time: the two are asked one after the other.
    args.push("-vPATTERN:console:%c|%p|%m".into());
    args.extend(line.split(' ').map(|word| word.replace('~', " ")));
    let args: Vec<&dyn std::fmt::Display> = args.iter().map(|arg| arg as _).collect();
    let output = run("ovs-vsctl", &args);
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        // Rows and columns of sets come in an order that UUIDs decide.
        let lines = text.lines().filter(|line| !line.contains("terminating with signal"));
        let mut lines: Vec<String> = lines.map(|l| Normal::default().text(l)).collect();
        lines.sort();
        lines.join("\n")
    };
    format!("{:?}\n{}\n{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn vsctl_answers_are_the_same() {
    let pair = Pair::start();
    let script = "init
show
get-manager
add-br br0
add-br br0
--may-exist add-br br0
add-br br1 -- set bridge br1 fail_mode=secure protocols=OpenFlow10,OpenFlow13
list-br
br-exists br0
br-exists br9
add-port br0 net1 -- set interface net1 type=dummy ofport_request=7
add-port br0 net2 tag=10 -- set port net2 vlan_mode=access
add-port br0 net1
--may-exist add-port br0 net1
--may-exist add-port br1 net1
add-port br0 net3 trunks=1,2,3 other_config:a=b
add-port br1 net4 tag=5000
add-port br1 net4 vlan_mode=sideways
add-bond br1 bond0 e0 e1 bond_mode=active-backup lacp=active
add-bond-iface br1 bond0 e2
list-ports br0
list-ports br1
list-ifaces br1
port-to-br net2
port-to-br nothing
iface-to-br e1
iface-to-br nothing
set-controller br0 tcp:127.0.0.1:6653 ptcp:6654
get-controller br0
set-fail-mode br0 standalone
get-fail-mode br0
get-fail-mode br1
del-fail-mode br0
get-fail-mode br0
set-manager ptcp:6640
get-manager
get bridge br0 name fail_mode datapath_id controller
--if-exists get bridge br9 name
get bridge br9 name
get bridge br0 nonsense
get port net2 tag
get port net3 trunks other_config:a
get port net3 other_config:nothing
--if-exists get port net3 other_config:nothing
set open_vswitch . other_config:n-handler-threads=2 external_ids:hostname=\"a~b\"
get open_vswitch . other_config external_ids
set bridge br0 flood_vlans=[1,2,5000]
set bridge br0 name=other
add bridge br0 flood_vlans 10 20
remove bridge br0 flood_vlans 10
get bridge br0 flood_vlans
clear bridge br0 flood_vlans
remove port net3 other_config a=c
remove port net3 other_config a
get port net3 other_config
--columns=name,tag,trunks list port
--columns=name,type,ofport_request find interface type=dummy
--columns=name find port tag=10
--columns=name find port tag!=10
--columns=name find port trunks{>=}1,2
--format=json --columns=name,tag list port net2
--format=csv --columns=name,fail_mode list bridge
-- --id=@m create mirror name=m0 select_all=true output_port=net9 -- set bridge br0 mirrors=@m
-- --id=@p get port net2 -- --id=@m create mirror name=m0 select_all=true output-port=@p -- set bridge br0 mirrors=@m
get mirror m0 name select_all
del-port net2
--columns=name,output_port list mirror
destroy mirror m0
clear bridge br0 mirrors
--columns=name list mirror
-- --id=@q create qos type=linux-htb queues:1=@a -- --id=@a create queue dscp=10
--columns=type,other_config list qos
--columns=dscp list queue
--all destroy qos
--all destroy queue
set interface net1 options:peer=x lldp:enable=true ingress_policing_rate=1000 mtu_request=9000
get interface net1 options lldp ingress_policing_rate mtu_request
set interface net1 ingress_policing_rate=-1
set interface net1 mtu_request=0
set interface net1 admin_state=sideways
br-set-external-id br0 k v
br-get-external-id br0
br-get-external-id br0 k
br-to-vlan br0
br-to-parent br0
add-br fake br0 20
br-to-parent fake
br-to-vlan fake
list-br --real
del-br fake
del-port br0 net3
del-port nothing
--if-exists del-port nothing
--with-iface del-port e0
del-br br9
--if-exists del-br br9
set-ssl a b c
get-ssl
del-ssl
wait-until bridge br0
--timeout=1 wait-until bridge br9
set bridge br0 stp_enable=true rstp_enable=yes
get bridge br0 stp_enable
comment hello -- list-br
create bridge name=lonely
list bridge lonely
emer-reset
del-br br1
del-br br0
--columns=name list interface
show
get open_vswitch . cur_cfg next_cfg";
    for line in script.lines() {
        let [ours, stock] = pair.both().map(|(_, target)| vsctl(&target, line));
        assert_eq!(ours, stock, "ovs-vsctl {line}");
    }
    drop(pair.folder);
}

/// A reply without what is only for people, and without an order where there is none.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members = members.clone();
            if members.contains_key("error") {
                members.remove("details");
                members.remove("syntax");
            }
            if let Some(Value::Array(rows)) = members.get_mut("rows") {
                rows.sort_by_key(|row| {
                    let mut row = row.clone();
                    if let Some(row) = row.as_object_mut() {
                        row.retain(|name, _| !name.starts_with('_'));
                    }
                    row.to_string()
                });
            }
            Value::Object(
                members.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
            )
        }
        Value::Array(elements) => elements.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn transact(target: &str, transaction: &Value) -> String {
    let output = run("ovsdb-client", &[&"transact", &target, transaction]);
    let text = String::from_utf8_lossy(&output.stdout);
    let reply: Value = serde_json::from_str(&text).unwrap_or_else(|_| {
        // An error of the request itself is printed for people.
        json!(String::from_utf8_lossy(&output.stderr).contains("returned error"))
    });
    Normal::default().text(&plain(&reply).to_string())
}

#[test]
fn transactions_are_answered_the_same() {
    let pair = Pair::start();
    let with = |operations: Value| {
        let mut all = vec![json!("Open_vSwitch")];
        all.extend(operations.as_array().unwrap().iter().cloned());
        Value::Array(all)
    };
    let queue = |row: Value| json!({"op": "insert", "table": "Queue", "row": row});
    let select = |table: &str, condition: Value, columns: Value| json!({"op": "select", "table": table, "where": condition, "columns": columns});
    let mutate = |mutations: Value| json!({"op": "mutate", "table": "Queue", "where": [], "mutations": mutations});
    let all = |columns: Value| select("Queue", json!([]), columns);
    let transactions = [
        json!([]),
        json!(["Nothing"]),
        json!(["Open_vSwitch"]),
        json!(["_Server", {"op": "select", "table": "Database", "where": [], "columns": ["name", "model", "connected", "leader", "cid", "sid", "index"]}]),
        json!(["_Server", {"op": "delete", "table": "Database", "where": []}]),
        json!(["_Server", {"op": "comment", "comment": "x"}]),
        with(json!([1])),
        with(json!([{"op": "fly"}, {"op": "select"}])),
        with(json!([{"op": "insert", "table": "No", "row": {}}])),
        with(json!([{"op": "insert", "table": "Queue", "row": {}, "surplus": 1}])),
        with(json!([
            queue(json!({"dscp": 3})),
            queue(json!({"dscp": 5, "external_ids": ["map", [["k", "v"]]]})),
            queue(json!({}))
        ])),
        with(json!([all(json!(["dscp", "external_ids"]))])),
        with(json!([queue(json!({"dscp": 64}))])),
        with(json!([queue(json!({"dscp": 1.0})), {"op": "abort"}, queue(json!({}))])),
        with(json!([queue(json!({"dscp": 1.5}))])),
        with(json!([queue(json!({"dscp": "x"}))])),
        with(json!([queue(json!({"dscp": ["set", [1, 2]]}))])),
        with(json!([queue(json!({"dscp": ["set", []]}))])),
        with(json!([queue(json!({"nope": 1}))])),
        with(json!([queue(json!({"external_ids": ["map", [["a", "b"], ["a", "c"]]]}))])),
        with(json!([queue(json!({"external_ids": ["set", []]}))])),
        with(json!([queue(json!({"external_ids": ["map", [["a"]]]}))])),
        with(json!([select("Queue", json!([["dscp", "==", 3]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["dscp", "!=", 3]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["dscp", "<", 5]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["dscp", ">=", 3]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["dscp", "includes", ["set", []]]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["dscp", "excludes", 3]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["dscp", "==", ["set", []]]]), json!(["dscp"]))])),
        with(json!([select(
            "Queue",
            json!([["external_ids", "includes", ["map", [["k", "v"]]]]]),
            json!(["dscp"])
        )])),
        with(json!([select("Queue", json!([["external_ids", "<", 1]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["dscp", "~", 1]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([["nope", "==", 1]]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([false]), json!(["dscp"]))])),
        with(json!([select("Queue", json!([]), json!(["dscp", "dscp"]))])),
        with(json!([select("Queue", json!([]), json!(["nope"]))])),
        with(json!([select("Queue", json!([]), json!([]))])),
        with(json!([mutate(json!([["dscp", "+=", 1]])), all(json!(["dscp"]))])),
        with(json!([mutate(json!([["dscp", "*=", 100]]))])),
        with(json!([mutate(json!([["dscp", "/=", 0]]))])),
        with(json!([mutate(json!([["dscp", "%=", 0]]))])),
        with(json!([mutate(json!([["dscp", "*=", 9223372036854775807i64]]))])),
        with(json!([mutate(json!([["dscp", "insert", 9]]))])),
        with(json!([mutate(json!([["dscp", "delete", 4]])), all(json!(["dscp"]))])),
        with(json!([
            mutate(json!([["external_ids", "insert", ["map", [["k", "w"], ["l", "x"]]]]])),
            all(json!(["external_ids"]))
        ])),
        with(json!([
            mutate(json!([["external_ids", "delete", ["set", ["k"]]]])),
            all(json!(["external_ids"]))
        ])),
        with(json!([
            mutate(json!([["external_ids", "delete", ["map", [["l", "z"]]]]])),
            all(json!(["external_ids"]))
        ])),
        with(json!([mutate(json!([["external_ids", "+=", 1]]))])),
        with(json!([mutate(json!([["dscp", "^=", 1]]))])),
        with(json!([mutate(json!([["_uuid", "insert", 1]]))])),
        with(json!([mutate(json!([]))])),
        with(
            json!([{"op": "update", "table": "Queue", "where": [["dscp", "==", 6]], "row": {"dscp": 7}}, all(json!(["dscp"]))]),
        ),
        with(
            json!([{"op": "update", "table": "Queue", "where": [], "row": {"_version": ["uuid", "550e8400-e29b-41d4-a716-446655440000"]}}]),
        ),
        with(
            json!([{"op": "wait", "table": "Queue", "where": [], "columns": ["dscp"], "until": "==", "rows": [], "timeout": 0}]),
        ),
        with(
            json!([{"op": "wait", "table": "Queue", "where": [["dscp", "==", 7]], "columns": ["dscp"], "until": "==", "rows": [{"dscp": 7}], "timeout": 0}]),
        ),
        with(
            json!([{"op": "wait", "table": "Queue", "where": [["dscp", "==", 7]], "columns": ["dscp"], "until": "!=", "rows": [{"dscp": 7}], "timeout": 20}]),
        ),
        with(
            json!([{"op": "wait", "table": "Queue", "where": [], "until": "~", "rows": [], "timeout": 0}]),
        ),
        with(json!([{"op": "commit", "durable": true}, {"op": "comment", "comment": "x"}])),
        with(json!([{"op": "commit"}])),
        with(json!([{"op": "assert", "lock": "l"}])),
        with(json!([{"op": "assert", "lock": "1l"}])),
        with(
            json!([{"op": "insert", "table": "Bridge", "row": {"name": "orphan"}}, {"op": "select", "table": "Bridge", "where": [], "columns": ["name"]}]),
        ),
        with(json!([{"op": "select", "table": "Bridge", "where": [], "columns": ["name"]}])),
        with(
            json!([{"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}}]),
        ),
        with(
            json!([{"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}}, {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br"}}]),
        ),
        with(json!([{"op": "insert", "table": "Open_vSwitch", "row": {}}])),
        with(json!([{"op": "delete", "table": "Bridge", "where": []}])),
        with(
            json!([{"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br"}}, {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["bridges", "insert", ["named-uuid", "b"]]]}]),
        ),
        with(
            json!([{"op": "insert", "table": "Queue", "uuid-name": "q", "row": {}}, {"op": "insert", "table": "Queue", "uuid-name": "q", "row": {}}]),
        ),
        with(
            json!([{"op": "insert", "table": "Queue", "uuid": "550e8400-e29b-41d4-a716-446655440000", "row": {}}]),
        ),
        with(
            json!([{"op": "insert", "table": "Queue", "uuid": "550e8400-e29b-41d4-a716-446655440000", "row": {}}]),
        ),
        with(json!([{"op": "insert", "table": "Queue", "uuid": "zzz", "row": {}}])),
        with(json!([{"op": "insert", "table": "Queue", "uuid-name": "1", "row": {}}])),
        with(json!([{"op": "insert", "table": "NetFlow", "row": {}}])),
        with(json!([{"op": "insert", "table": "Controller", "row": {"controller_rate_limit": 1}}])),
        with(json!([{"op": "delete", "table": "Queue", "where": []}, all(json!(["dscp"]))])),
    ];
    for transaction in transactions {
        let [ours, stock] = pair.both().map(|(_, target)| transact(&target, &transaction));
        assert_eq!(ours, stock, "{transaction}");
    }
}

#[test]
fn backup_and_restore() {
    let pair = Pair::start();
    let [(_, ours), (_, stock)] = pair.both();
    for line in ["init", "add-br br0 -- set bridge br0 external_ids:a=b", "add-port br0 p1 tag=3"] {
        vsctl(&ours, line);
    }
    let backup = printed("ovsdb-client", &[&"backup", &ours]);
    let restore = |target: &str| {
        let file = std::fs::File::open(pair.folder.path().join("backup")).unwrap();
        let mut command = std::process::Command::new("ovsdb-client");
        let output = command.args(["--force", "restore", target]).stdin(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    std::fs::write(pair.folder.path().join("backup"), &backup).unwrap();
    restore(&stock);
    vsctl(&ours, "del-br br0");
    restore(&ours);
    for line in ["show", "list bridge", "list port", "list interface"] {
        assert_eq!(vsctl(&ours, line), vsctl(&stock, line), "{line}");
    }
    assert!(vsctl(&ours, "show").contains("tag: 3"));
}

/// What a monitor of `ovsdb-client` prints, with rows in an order of their own.
fn monitored(line: &str) -> String {
    let Some(at) = line.find('{') else {
        return Normal::default().text(line.trim());
    };
    let mut table: Value = serde_json::from_str(&line[at..]).unwrap();
    for row in table["data"].as_array_mut().unwrap() {
        row[0] = json!("uuid");
    }
    let is_change = table["data"][0][1] == "old";
    if !is_change {
        table["data"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    }
    format!("{}{table}", Normal::default().text(&line[..at]))
}

#[test]
fn monitors_of_the_stock_client() {
    let pair = Pair::start();
    let [ours, stock] = pair.both().map(|(_, target)| {
        vsctl(&target, "init");
        vsctl(&target, "add-br br0");
        let none = "00000000-0000-0000-0000-000000000000";
        let database = "Open_vSwitch";
        let monitors: [&[&str]; 3] = [
            &["monitor", database, "Port", "name,tag"],
            &["monitor-cond", database, "[[\"name\",\"!=\",\"p2\"]]", "Port", "name,tag"],
            &["monitor-cond-since", database, none, "[true]", "Port", "name,tag"],
        ];
        monitors.map(|args| {
            let mut command = std::process::Command::new("ovsdb-client");
            command.args(["--format=json", "--timeout=60", args[0], &target]).args(&args[1..]);
            command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
            let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
            let mut lines = std::io::BufReader::new(child.stdout.take().unwrap());
            let mut seen: Vec<String> = Vec::new();
            let mut read_to = |what: &str| {
                while !seen.last().is_some_and(|line| line.contains(what)) {
                    let mut line = String::new();
                    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
                    assert!(!line.is_empty(), "the monitor ended: {seen:?}");
                    seen.push(monitored(&line));
                }
            };
            read_to("br0");
            vsctl(&target, "add-port br0 p1 tag=1 -- add-port br0 p2");
            vsctl(&target, "set port p1 tag=2");
            vsctl(&target, "clear port p1 tag");
            vsctl(&target, "del-port p1 -- del-port p2");
            vsctl(&target, "add-port br0 p3");
            read_to("p3");
            vsctl(&target, "del-port p3");
            child.kill().unwrap();
            child.wait().unwrap();
            seen
        })
    });
    assert_eq!(ours, stock);
}

#[test]
fn client_commands() {
    let pair = Pair::start();
    let schema = pair.folder.path().join("schema");
    let other = pair.folder.path().join("other");
    let text = Schema::open_vswitch().to_json().to_string();
    std::fs::write(&other, text.replacen("\"ovs_version\"", "\"ovs_wersion\"", 1)).unwrap();
    for (_, target) in pair.both() {
        printed("ovs-vsctl", &[&format!("--db={target}"), &"--no-wait", &"init"]);
        printed("ovs-vsctl", &[&format!("--db={target}"), &"--no-wait", &"add-br", &"br0"]);
    }
    let same = |args: &[&dyn std::fmt::Display]| {
        let [ours, stock] = pair.both().map(|(_, target)| {
            let mut all: Vec<&dyn std::fmt::Display> = vec![args[0], &target];
            all.extend(&args[1..]);
            let mut lines: Vec<String> = printed("ovsdb-client", &all)
                .lines()
                .map(|line| {
                    Normal::default().text(line).split_whitespace().collect::<Vec<_>>().join(" ")
                })
                .collect();
            lines.sort();
            lines
        });
        assert_eq!(ours, stock);
        ours
    };
    assert_eq!(same(&[&"list-dbs"]), ["Open_vSwitch", "_Server"]);
    assert_eq!(same(&[&"get-schema-version", &"Open_vSwitch"]), [Schema::open_vswitch().version]);
    same(&[&"list-tables", &"Open_vSwitch"]);
    same(&[&"list-columns", &"Open_vSwitch"]);
    same(&[&"list-columns", &"_Server"]);
    same(&[&"get-schema", &"Open_vSwitch"]);
    same(&[&"dump", &"Open_vSwitch", &"Bridge"]);
    same(&[&"dump", &"Open_vSwitch"]);
    let target = pair.ours.target();
    let ours = printed("ovsdb-client", &[&"get-schema", &target, &"Open_vSwitch"]);
    std::fs::write(&schema, ours).unwrap();
    assert_eq!(same(&[&"needs-conversion", &schema.display()]), ["no"]);
    assert_eq!(same(&[&"needs-conversion", &other.display()]), ["yes"]);
    let converted = run("ovsdb-client", &[&"convert", &target, &other.display()]);
    assert!(!converted.status.success());
    same(&[&"wait", &"Open_vSwitch", &"connected"]);
}
