//! What the switch refuses, and how the tool tells.

use vm::Ofctl;

pub(crate) fn refusals(t: &Ofctl<'_>) {
    t.case("what is refused");
    let flows = ["priority=3,in_port=3 actions=output:1"];
    t.only(&flows);
    let add = |flow: &str, expected: &str| {
        t.refused(&["add-flow", flow], expected);
        t.has_flows(&flows);
    };
    add("actions=group:5", "OFPBAC_BAD_OUT_GROUP");
    add("actions=output:65280", "OFPBAC_BAD_OUT_PORT");
    add("ip,actions=ct(commit)", "NXBAC_CT_DATAPATH_SUPPORT");
    if !t.is(1) {
        add("ip,ct_state=+trk,actions=1", "NXBMC_CT_DATAPATH_SUPPORT");
    }
    if t.is_from(3) {
        add("actions=meter:1,output:1", "OFPMMFC_INVALID_METER");
    }
    if t.is_from(1) {
        add("table=4,actions=goto_table:255", "goto");
        add("table=4,actions=write_actions(group:1)", "OFPBAC_BAD_OUT_GROUP");
    }
    t.case("the refused request is quoted whole, so the tool can show it");
    let whole = "ADD priority=5,tcp actions=group:5";
    t.refused(&["add-flow", "tcp,priority=5,actions=group:5"], whole);
    t.refused(&["mod-port", "99", "down"], "99");
    if t.is_from(1) {
        t.refused(&["mod-group", "group_id=1,type=all,bucket=output:1"], "OFPGMFC_");
    }
    if t.is_from(3) {
        t.refused(&["mod-meter", "meter=1,kbps,bands=type=drop,rate=1"], "OFPMMFC_");
    }
    t.has_flows(&flows);
}
