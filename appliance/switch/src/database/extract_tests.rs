use super::*;
use agent::bridge_config::{QosWanted, QueueWanted, RateWanted};
use ovsdb::{Keeping, Limits, Schema, Server};
use serde_json::{Value, json};

/// What is extracted after these operations.
fn after(operations: &Value) -> (Extracted, Server) {
    let database = Database::new(Schema::open_vswitch(), Uuid::ZERO);
    let mut server = Server::new(Limits::default(), alloc::vec![(database, Keeping::Memory)], 1);
    let operations = operations.as_array().expect("operations").clone();
    for result in server.transact("Open_vSwitch", &operations, 0) {
        assert!(result.get("error").is_none(), "{result}");
    }
    let extracted = extract(server.database("Open_vSwitch").expect("a database"));
    (extracted, server)
}

/// A bridge with these columns, one port with these, its interface with these.
fn bridge(bridge: Value, port: Value, interface: Value) -> Extracted {
    let with = |mut row: Value, more: Value| {
        let (Value::Object(row_map), Value::Object(more)) = (&mut row, more) else {
            panic!("objects")
        };
        row_map.extend(more);
        row
    };
    let interface = with(json!({"name": "p1"}), interface);
    let port = with(json!({"name": "p1", "interfaces": ["named-uuid", "i"]}), port);
    let bridge = with(json!({"name": "br0", "ports": ["named-uuid", "p"]}), bridge);
    after(&json!([
        {"op": "insert", "table": "Interface", "uuid-name": "i", "row": interface},
        {"op": "insert", "table": "Port", "uuid-name": "p", "row": port},
        {"op": "insert", "table": "Bridge", "uuid-name": "b", "row": bridge},
        {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}},
    ]))
    .0
}

fn remarks(extracted: &Extracted) -> Vec<String> {
    extracted.remarks.values().flatten().cloned().collect()
}

#[test]
fn nothing_wants_nothing() {
    assert_eq!(after(&json!([])).0, Extracted::default());
    let (extracted, _) = after(&json!([{"op": "insert", "table": "Open_vSwitch",
        "row": {"next_cfg": 7, "other_config": ["map", [["max-idle", "5"], [STATS_INTERVAL, "1"]]]}}]));
    assert_eq!(extracted.next_cfg, 7);
    let wanted: Vec<_> = extracted.wanted.other_config.into_iter().collect();
    assert_eq!(wanted, [("max-idle".into(), "5".into())]);
}

#[test]
fn columns_become_fields() {
    let extracted = bridge(
        json!({"fail_mode": "secure", "protocols": ["set", ["OpenFlow10", "OpenFlow13"]],
            "flood_vlans": ["set", [1, 2]], "other_config": ["map", [["datapath-id", "00000000000000ab"],
            ["hwaddr", "02:00:00:00:00:07"], ["mac-aging-time", "60"], ["forward-bpdu", "true"]]]}),
        json!({"tag": 5, "vlan_mode": "native-untagged", "trunks": ["set", [5, 6]], "protected": true,
            "other_config": ["map", [["priority-tags", "always"], ["qinq-ethtype", "802.1q"]]]}),
        json!({"type": "patch", "options": ["map", [["peer", "q1"]]], "ofport_request": 9,
            "mtu_request": 1400, "ingress_policing_rate": 1000}),
    );
    // Of a cable.
    assert_eq!(remarks(&extracted), ["ingress_policing_rate", "mtu_request"]);
    let bridge = &extracted.wanted.bridges[0];
    assert_eq!(bridge.datapath_id, Some(0xab));
    assert_eq!(bridge.mac, Some([2, 0, 0, 0, 0, 7]));
    assert_eq!(bridge.fail_mode, FailMode::Secure);
    assert_eq!(bridge.protocols, [Version::V10, Version::V13]);
    assert_eq!((bridge.mac_aging_time_s, bridge.forward_bpdu), (Some(60), true));
    assert_eq!(bridge.flood_vlans, [1, 2]);
    let port = &bridge.ports[0];
    assert_eq!((port.tag, port.vlan_mode), (Some(5), Some(VlanMode::NativeUntagged)));
    assert_eq!((port.trunks.as_slice(), port.is_protected), (&[5, 6][..], true));
    assert_eq!((port.priority_tags, port.qinq_is_8100), (PriorityTags::Always, true));
    let interface = &port.interfaces[0];
    assert_eq!(interface.kind, InterfaceKind::Patch { peer: "q1".into() });
    assert_eq!((interface.ofport_request, interface.mtu_request), (Some(9), Some(1400)));
    assert_eq!(interface.ingress_policing_rate_kbps, 1000);
}

/// What a port with this QoS row, and this one as its queue 3, comes to.
fn port_with_qos(qos: Value, queue: Value) -> (Option<QosWanted>, Vec<String>) {
    let mut qos = qos;
    qos["queues"] = json!(["map", [[3, ["named-uuid", "q3"]]]]);
    let (extracted, _) = after(&json!([
        {"op": "insert", "table": "Queue", "uuid-name": "q3", "row": queue},
        {"op": "insert", "table": "QoS", "uuid-name": "q", "row": qos},
        {"op": "insert", "table": "Interface", "uuid-name": "i", "row": {"name": "p1"}},
        {"op": "insert", "table": "Port", "uuid-name": "p",
            "row": {"name": "p1", "interfaces": ["named-uuid", "i"], "qos": ["named-uuid", "q"]}},
        {"op": "insert", "table": "Bridge", "uuid-name": "b",
            "row": {"name": "br0", "ports": ["named-uuid", "p"]}},
        {"op": "insert", "table": "Open_vSwitch", "row": {"bridges": ["named-uuid", "b"]}},
    ]));
    (extracted.wanted.bridges[0].ports[0].qos.clone(), remarks(&extracted))
}

#[test]
fn qos_and_queues() {
    let map = |pairs: &[(&str, &str)]| json!(["map", pairs]);
    let (qos, told) = port_with_qos(
        json!({"type": "egress-policer", "other_config": map(&[("cir", "46000"), ("cbs", "2048")])}),
        json!({"other_config": map(&[("max-rate", "8000000"), ("min-rate", "1000"), ("priority", "1")])}),
    );
    let qos = qos.expect("it is known");
    assert_eq!(qos.total, Some(RateWanted { bytes_per_s: 46000, burst_bytes: 2048 }));
    let max = RateWanted { bytes_per_s: 1_000_000, burst_bytes: 100_000 };
    let queue = QueueWanted { min_rate_bps: Some(1000), max: Some(max) };
    assert_eq!(qos.queues.into_iter().collect::<Vec<_>>(), [(3, queue)]);
    assert_eq!(told, ["qos: other_config:priority"]);
    let (qos, told) = port_with_qos(
        json!({"type": "linux-htb", "other_config": map(&[("max-rate", "800")])}),
        json!({}),
    );
    let total = qos.expect("it is known").total;
    assert_eq!(total, Some(RateWanted { bytes_per_s: 100, burst_bytes: 15_140 }));
    assert_eq!(told, [""; 0]);
    let (qos, told) = port_with_qos(json!({"type": "linux-codel"}), json!({}));
    assert_eq!(qos, None);
    assert_eq!(told, ["qos: type linux-codel is not built in, nothing is bounded"]);
}

#[test]
fn what_has_no_effect_is_told() {
    let extracted = bridge(
        json!({"stp_enable": true, "datapath_type": "netmap",
            "other_config": ["map", [["datapath-id", "x"], ["in-band-queue", "1"]]]}),
        json!({"lacp": "active", "other_config": ["map", [["rstp-enable", "true"]]]}),
        json!({"bfd": ["map", [["enable", "true"]]], "ingress_policing_kpkts_rate": 1}),
    );
    let told = remarks(&extracted).join("|");
    for expected in [
        "other_config:in-band-queue",
        "stp_enable",
        "datapath_type netmap: there is one datapath",
        "other_config:datapath-id: bad value",
        "lacp",
        "other_config:rstp-enable",
        "bfd:enable",
        "ingress_policing_kpkts_rate",
    ] {
        assert!(told.split('|').any(|remark| remark == expected), "{expected} in {told}");
    }
}

#[test]
fn targets() {
    let connect = |text: &str| Some(Remote::Connect(text.parse().expect("an address")));
    for (target, expected) in [
        ("tcp:10.0.0.1:6633", connect("10.0.0.1:6633")),
        ("tcp:10.0.0.1", connect("10.0.0.1:6653")),
        ("tcp:[fe80::1]:99", connect("[fe80::1]:99")),
        ("tcp:[fe80::1]", connect("[fe80::1]:6653")),
        ("ptcp:", Some(Remote::Listen(6653))),
        ("ptcp:6640", Some(Remote::Listen(6640))),
        ("ptcp:6640:127.0.0.1", Some(Remote::Listen(6640))),
        ("ptcp:0", None),
        ("tcp:10.0.0.1:0", None),
        ("tcp:10.0.0.1:99999", None),
        ("tcp:host:1", None),
        ("tcp:[::1", None),
        ("ssl:10.0.0.1", None),
        ("unix:/x", None),
        ("", None),
    ] {
        assert_eq!(remote(target, 6653), expected, "{target}");
    }
}

#[test]
fn identifiers() {
    for (text, expected) in [
        ("00000000000000ab", Some(0xab)),
        ("0xab", Some(0xab)),
        ("ab", None),
        ("0x", None),
        ("+000000000000001", None),
        ("0000000000000000", None),
    ] {
        assert_eq!(datapath_id(text), expected, "{text}");
    }
    for (text, expected) in [
        ("02:00:00:00:00:01", Some([2, 0, 0, 0, 0, 1])),
        ("2:0:0:0:0:1", Some([2, 0, 0, 0, 0, 1])),
        ("03:00:00:00:00:01", None),
        ("00:00:00:00:00:00", None),
        ("02:00:00:00:00:01:00", None),
        ("02:00:00:00:00", None),
        ("02:00:00:00:00:é", None),
    ] {
        assert_eq!(ethernet(text), expected, "{text}");
    }
}

#[test]
fn ports_beyond_the_limit_are_told_of() {
    let n = MAX_PORTS + 3;
    let mut operations = Vec::new();
    for k in 0..n {
        operations.push(json!({"op": "insert", "table": "Interface", "uuid-name": format!("i{k}"),
            "row": {"name": format!("p{k}")}}));
        operations.push(json!({"op": "insert", "table": "Port", "uuid-name": format!("p{k}"),
            "row": {"name": format!("p{k}"), "interfaces": ["named-uuid", format!("i{k}")]}}));
    }
    let ports: Vec<_> = (0..n).map(|k| json!(["named-uuid", format!("p{k}")])).collect();
    operations.push(json!({"op": "insert", "table": "Bridge", "uuid-name": "b",
        "row": {"name": "br0", "ports": ["set", ports]}}));
    operations.push(json!({"op": "insert", "table": "Open_vSwitch",
        "row": {"bridges": ["named-uuid", "b"]}}));
    let (extracted, _) = after(&Value::Array(operations));
    assert_eq!(extracted.wanted.bridges[0].ports.len(), MAX_PORTS);
    assert_eq!(remarks(&extracted), ["ports: beyond 1024 of the switch"]);
}
