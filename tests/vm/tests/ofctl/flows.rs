//! Rules added, shown, changed and deleted.

use vm::Ofctl;

pub(crate) fn flows(t: &Ofctl<'_>) {
    t.case("add-flow: what goes in comes out");
    t.only(&[]);
    let mut flows = vec![
        "priority=9,tcp,in_port=1,dl_vlan=5,nw_src=10.0.0.0/8,tp_dst=80 actions=strip_vlan,output:2",
        "priority=8,udp6,ipv6_src=fe80::/64,tp_dst=0x1000/0xf000 actions=output:3",
        "priority=7,arp,arp_spa=10.0.0.1,arp_op=1 actions=FLOOD",
        "priority=6,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=ALL",
        "cookie=0x1234, priority=5,icmp,icmp_type=8,icmp_code=0 actions=IN_PORT",
        "priority=4,mpls,mpls_label=16,mpls_bos=1 actions=pop_mpls:0x0800,output:1",
        "priority=3,ip,nw_tos=64,nw_frag=later actions=LOCAL",
        "priority=2,reg1=0x7 actions=load:0x5->NXM_NX_REG2[],resubmit(,3)",
        "priority=1 actions=CONTROLLER:100",
        "priority=0 actions=drop",
    ];
    // OpenFlow 1.1 has its own match, without Nicira's fields and those that came later.
    let later = ["udp6", "mpls_bos", "nw_frag", "reg1="];
    flows.retain(|flow| !t.is(1) || later.iter().all(|field| !flow.contains(field)));
    for flow in &flows {
        t.run(&["add-flow", flow]);
    }
    // What the standard has a way for of its own is shown so.
    let strip = if t.is_from(1) { "pop_vlan" } else { "strip_vlan" };
    let load = if t.is_from(5) { "set_field:0x5->reg2" } else { "load:0x5->NXM_NX_REG2[]" };
    let shown =
        |flow: &&str| flow.replace("strip_vlan", strip).replace("load:0x5->NXM_NX_REG2[]", load);
    let flows: Vec<_> = flows.iter().map(shown).collect();
    t.has_flows(&flows.iter().map(String::as_str).collect::<Vec<_>>());

    t.case("add-flow replaces a rule with the same match and priority");
    t.run(&["add-flow", "priority=0,actions=NORMAL"]);
    let text = t.run(&["dump-flows", "--no-stats"]);
    assert!(text.contains("priority=0 actions=NORMAL") && !text.contains("actions=drop"), "{text}");
    t.case("check_overlap");
    t.refused(&["add-flow", "check_overlap,priority=9,tcp,actions=1"], "OFPFMFC_OVERLAP");
    t.case("dump-flows with a filter");
    let text = t.run(&["dump-flows", "--no-stats", "arp"]);
    assert_eq!(text.lines().count(), 1, "{text}");
    let text = t.run(&["dump-flows", "--no-stats", "out_port=2"]);
    assert!(text.lines().count() == 1 && text.contains("dl_vlan=5"), "{text}");
    let text = t.run(&["dump-flows", "--no-stats", "cookie=0x1234/-1"]);
    assert!(text.lines().count() == 1 && text.contains("icmp"), "{text}");
    if t.is_from(1) {
        t.case("instructions");
        // 1.1 sets the VLAN by an action of its own.
        let vid = if t.is(1) { "set_vlan_vid:9" } else { "set_field:4105->vlan_vid" };
        let flows = [
            "priority=3,tcp actions=write_metadata:0x5/0xff,goto_table:7",
            "priority=2 actions=clear_actions,write_actions(output:2),goto_table:9",
            &format!("priority=1,ip actions=push_vlan:0x8100,{vid},dec_ttl,goto_table:200"),
        ];
        t.only(&flows);
        t.has_flows(&flows);
    }
}

pub(crate) fn changes(t: &Ofctl<'_>) {
    let start = [
        "cookie=0x10, table=1, priority=8,udp actions=output:2",
        "cookie=0x11, table=1, priority=7,tcp actions=output:3",
        "cookie=0x20, table=2, ip,nw_dst=10.0.0.0/8 actions=output:1,output:2",
    ];
    t.only(&start);
    t.has_flows(&start);
    // OpenFlow 1.0 gives a modified rule the cookie of the change, later versions do not.
    let cookie = |kept: &'static str| if t.is(0) { "" } else { kept };
    t.case("mod-flows, loose");
    t.run(&["mod-flows", "table=1,actions=1"]);
    let udp = format!("{}table=1, priority=8,udp actions=output:1", cookie("cookie=0x10, "));
    let tcp = format!("{}table=1, priority=7,tcp actions=output:1", cookie("cookie=0x11, "));
    t.has_flows(&[&udp, &tcp, start[2]]);
    t.case("mod-flows, strict: another priority is another rule");
    t.run(&["mod-flows", "--strict", "table=1,priority=8,udp,actions=drop"]);
    let text = t.run(&["dump-flows", "--no-stats"]);
    assert!(
        text.contains("priority=8,udp actions=drop") && text.contains("tcp actions=output:1"),
        "{text}"
    );
    t.run(&["mod-flows", "--strict", "table=1,priority=9,tcp,actions=drop"]);
    let text = t.run(&["dump-flows", "--no-stats"]);
    assert!(text.contains("priority=7,tcp actions=output:1"), "{text}");

    if t.is(1) {
        // Deletes are for one table, and the tool takes the first where none is said.
        t.case("del-flows");
        t.only(&start);
        t.run(&["del-flows", "table=1,out_port=3"]);
        t.has_flows(&[start[0], start[2]]);
        t.run(&["del-flows"]);
        t.has_flows(&[start[0], start[2]]);
        return;
    }
    t.case("del-flows by out_port");
    t.only(&start);
    t.run(&["del-flows", "out_port=3"]);
    t.has_flows(&[start[0], start[2]]);
    t.case("del-flows by cookie and mask");
    t.run(&["del-flows", "cookie=0x10/0x10"]);
    t.has_flows(&[start[2]]);
    t.case("del-flows of a table");
    t.only(&start);
    t.run(&["del-flows", "table=1"]);
    t.has_flows(&[start[2]]);
    t.case("del-flows, strict");
    t.only(&start);
    t.run(&["del-flows", "--strict", "table=1,priority=9,udp"]);
    t.has_flows(&start);
    t.run(&["del-flows", "--strict", "table=1,priority=8,udp"]);
    t.has_flows(&start[1..]);
    t.case("del-flows, loose: all that the match covers");
    t.run(&["del-flows", "ip"]);
    t.has_flows(&[]);
}
