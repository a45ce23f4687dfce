//! Files of rules: added, compared, put in place of others.

use vm::Ofctl;

pub(crate) fn files_of_flows(t: &Ofctl<'_>) {
    let first = t.file(
        "first",
        &["priority=1,in_port=1,actions=2", "table=1,priority=8,udp,cookie=0x11,actions=2"],
    );
    let second = t.file("second", &["priority=1,in_port=1,actions=3", "table=3,arp,actions=drop"]);
    t.case("add-flows");
    t.only(&[]);
    t.run(&["add-flows", &first]);
    t.case("diff-flows");
    t.prints(&["diff-flows", &first], "");
    // The tool's exit status tells that there are differences; its output which.
    let output = t.command("diff-flows", &[&second]).output();
    let output = output.expect("ovs-ofctl");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "-priority=1,in_port=1 actions=output:2\n+priority=1,in_port=1 actions=output:3\n\
         -table=1 priority=8,udp cookie=0x11 actions=output:2\n+table=3 arp actions=drop\n"
    );
    t.case("replace-flows");
    // The tool names no tables in OpenFlow 1.0.
    t.only(&["priority=1,in_port=1,actions=2", "udp,actions=2", "tcp,actions=1"]);
    let third =
        t.file("third", &["priority=1,in_port=1,actions=3", "tcp,actions=1", "arp,actions=drop"]);
    t.run(&["replace-flows", &third]);
    t.prints(&["diff-flows", &third], "");
    t.case("add-flows: the tool stops at the first error, what came before stays");
    let bad = t.file(
        "bad",
        &["priority=5,actions=1", "priority=6,actions=group:4", "priority=7,actions=3"],
    );
    t.only(&[]);
    t.refused(&["add-flows", &bad], "OFPBAC_BAD_OUT_GROUP");
    t.has_flows(&["priority=5 actions=output:1"]);
}
