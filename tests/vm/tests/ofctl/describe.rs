//! What the switch says of itself, its tables and what is in them when nothing is.

use vm::Ofctl;

pub(crate) fn descriptions(t: &Ofctl<'_>) {
    t.case("show");
    let live = if t.is(0) { "0" } else { "LIVE" };
    let port = |number: &str, mac: u8, state: &str| {
        format!(
            " {number}: addr:52:54:00:00:00:{mac:02x}\n     config:     0\n     state:      {state}\n     speed: 0 Mbps now, 0 Mbps max\n"
        )
    };
    let ports = [("1(p1)", 1, live), ("2(p2)", 2, live), ("3(p3)", 3, live)];
    let mut ports: String =
        ports.iter().map(|&(name, mac, state)| port(name, mac, state)).collect();
    ports += &port("LOCAL(br0)", 0, "LINK_DOWN");
    let text = t.run(&["show"]);
    let head = "OFPT_FEATURES_REPLY V (xid=X): dpid:0000525400000000\nn_tables:255, n_buffers:0\n\
                capabilities: FLOW_STATS TABLE_STATS PORT_STATS ";
    assert!(text.starts_with(&t.tagged(head)), "{text}");
    let tail = "OFPT_GET_CONFIG_REPLY V (xid=X): frags=normal miss_send_len=128\n";
    let tail = t.tagged(&format!("{ports}{tail}"));
    assert!(text.ends_with(&tail), "{text}");
    let capabilities = text.lines().nth(2).unwrap_or_default();
    for (name, is_there) in
        [("GROUP_STATS", t.is_from(1)), ("ARP_MATCH_IP", !t.is_from(2)), ("IP_REASM", false)]
    {
        assert_eq!(capabilities.contains(name), is_there, "{name}: {text}");
    }
    assert_eq!(text.contains("actions: output"), t.is(0), "{text}");
    assert_eq!(text.contains("OFPST_PORT_DESC reply"), t.is_from(3), "{text}");
    t.case("dump-ports-desc");
    t.prints(&["dump-ports-desc"], &format!("OFPST_PORT_DESC reply V (xid=X):\n{ports}"));
    // Only 1.5 can ask for one.
    let some = if t.is_from(5) { port("2(p2)", 2, live) } else { ports };
    t.prints(&["dump-ports-desc", "2"], &format!("OFPST_PORT_DESC reply V (xid=X):\n{some}"));

    t.case("dump-desc");
    t.prints(
        &["dump-desc"],
        &format!(
            "OFPST_DESC reply V (xid=X):\nManufacturer: Uniswitch\nHardware: virtio\nSoftware: {}\n\
             Serial Num: None\nDP Description: None",
            env!("CARGO_PKG_VERSION")
        ),
    );
}

pub(crate) fn statistics_of_nothing(t: &Ofctl<'_>) {
    t.only(&[]);
    t.case("dump-tables");
    let text = t.run(&["dump-tables"]);
    assert!(
        text.starts_with(&t.tagged("OFPST_TABLE reply V (xid=X):\n  table 0:\n    active=0")),
        "{text}"
    );
    assert!(text.contains("...254: ditto\n"), "{text}");
    t.case("dump-table-features");
    if t.is_from(3) {
        let text = t.run(&["dump-table-features"]);
        for line in [
            "  table 0:\n",
            "    metadata: match=0xffffffffffffffff write=0xffffffffffffffff\n",
            "    max_entries=1000000\n",
            "      next tables: 1-254\n",
            "apply_actions clear_actions write_actions write_metadata goto_table\n",
            "  tables 1...253: ditto\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
    t.case("dump-flows, dump-aggregate");
    let flow = if t.is(0) { "NXST_FLOW" } else { "OFPST_FLOW" };
    t.prints(&["dump-flows"], &format!("{flow} reply V (xid=X):"));
    let aggregate = if t.is(0) { "NXST_AGGREGATE" } else { "OFPST_AGGREGATE" };
    t.prints(
        &["dump-aggregate"],
        &format!("{aggregate} reply V (xid=X): packet_count=0 byte_count=0 flow_count=0"),
    );
    t.case("groups and meters");
    if t.is(0) {
        return;
    }
    t.prints(&["dump-groups"], "OFPST_GROUP_DESC reply V (xid=X):");
    t.prints(&["dump-group-stats"], "OFPST_GROUP reply V (xid=X):");
    t.run(&["dump-group-features"]);
    if !t.is_from(3) {
        return;
    }
    t.prints(&["dump-meters"], "OFPST_METER_CONFIG reply V (xid=X):");
    t.prints(&["meter-stats"], "OFPST_METER reply V (xid=X):");
    t.run(&["meter-features"]);
}
