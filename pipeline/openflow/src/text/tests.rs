//! Texts and what becomes of them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::{FlowMod, FlowModCommand, FlowStats, OfErrorKind};
use flow::text::NoNames;

/// Reads actions and prints them again.
fn actions(text: &str) -> String {
    parse_instructions(text, &NoNames).map_or_else(|error| format!("! {error}"), |i| i.to_string())
}

#[test]
fn actions_print_as_ovs_ofctl_prints_them() {
    for same in [
        "drop",
        "output:2",
        "NORMAL",
        "FLOOD",
        "ALL",
        "LOCAL",
        "IN_PORT",
        "CONTROLLER:65535",
        "CONTROLLER:100",
        "controller(reason=no_match,max_len=50,id=7)",
        "controller(userdata=01.02,pause)",
        "controller(max_len=100,meter_id=3)",
        "output:NXM_NX_REG0[0..15]",
        "output(port=3,max_len=100)",
        "enqueue:3:4",
        "group:1",
        "mod_vlan_vid:5,mod_vlan_pcp:6",
        "push_vlan:0x8100,set_field:4101->vlan_vid",
        "push_mpls:0x8847,set_field:5->mpls_label,set_mpls_ttl(4),dec_mpls_ttl,pop_mpls:0x0800",
        "set_field:aa:bb:cc:dd:ee:ff->eth_src",
        "set_field:1.2.0.0/16->ip_dst",
        "set_field:0x10/0xff->reg1",
        "set_field:fe80::1->ipv6_src",
        "load:0x1->NXM_NX_REG0[]",
        "load:0x1->NXM_NX_REG0[3]",
        "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],push:NXM_NX_REG1[],pop:NXM_NX_REG2[3..4]",
        "resubmit(,1),resubmit:3,resubmit(3,4)",
        "set_queue:3,pop_queue,exit,dec_ttl,dec_ttl(1,2),mod_nw_ttl:3",
        "note:11.22.33.00.00.00",
        "fin_timeout(idle_timeout=3,hard_timeout=4)",
        "meter:1,output:3,clear_actions,write_actions(output:2,set_queue:2),\
         write_metadata:0x1/0xf,goto_table:3",
        "write_metadata:0x1,goto_table:3",
        "stat_trigger(packet_count=10)",
        "output:1,goto_table:3,stat_trigger(periodic,only_first,duration=1.5,idle_time=3,byte_count=9)",
        "clear_actions",
        "copy_ttl_out,copy_ttl_in,push_pbb:0x88e7,pop_pbb",
        "learn(table=1,hard_timeout=10,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
         output:NXM_OF_IN_PORT[])",
        "learn(table=2,idle_timeout=5,fin_idle_timeout=1,fin_hard_timeout=2,priority=7,send_flow_rem,\
         delete_learned,cookie=0x9,limit=3,result_dst=NXM_NX_REG0[0],eth_type=0x800,nw_proto=6,\
         NXM_NX_REG1[0..7]=0x1f,load:0x5->NXM_NX_REG2[],load:NXM_OF_ETH_SRC[]->NXM_NX_XXREG0[0..47])",
        "conjunction(1,1/2),conjunction(7,64/64)",
        "multipath(symmetric_l4,1024,hrw,4,0,NXM_NX_REG0[0..7])",
        "bundle(eth_src,0,active_backup,ofport,members:1,LOCAL)",
        "bundle_load(symmetric_l3l4+udp,50,hrw,ofport,NXM_NX_REG0[16..31],members:1,2,3)",
        "clone(set_field:0x1->reg0,clone(output:1),output:2),output:3",
        "check_pkt_larger(1500)->NXM_NX_REG0[3]",
        "check_pkt_larger(1500)->NXM_NX_REG0[3],output:1",
        "sample(probability=12345,collector_set_id=23456,obs_domain_id=34567,obs_point_id=45678)",
        "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,sampling_port=1,ingress)",
        "sample(probability=1,collector_set_id=2,obs_domain_id=3,obs_point_id=4,egress)",
        "push_pbb:0x88e7,set_field:4660->pbb_isid,set_field:1->pbb_uca,pop_pbb",
        "copy_ttl_in,copy_ttl_out",
        "delete_field:reg0",
        "set_field:0x806->eth_type,set_field:17->nw_proto,set_field:1->mpls_bos",
        "set_field:4/0x6->vlan_pcp",
    ] {
        assert_eq!(actions(same), same);
    }
}

#[test]
fn actions_have_other_spellings() {
    for (text, printed) in [
        ("", "drop"),
        ("2", "output:2"),
        ("normal, output:local", "NORMAL,LOCAL"),
        ("controller", "CONTROLLER:65535"),
        ("controller(max_len=9)", "CONTROLLER:9"),
        ("output:controller", "CONTROLLER:65535"),
        ("mod_dl_dst:01:02:03:04:05:06", "set_field:01:02:03:04:05:06->eth_dst"),
        ("mod_nw_src:1.2.3.4", "set_field:1.2.3.4->ip_src"),
        ("mod_nw_tos:16", "set_field:16->nw_tos"),
        ("set_tunnel:5", "set_field:0x5->tun_id"),
        ("strip_vlan", "pop_vlan"),
        ("resubmit(3,)", "resubmit:3"),
        ("enqueue(3,4)", "enqueue:3:4"),
        ("set_vlan_vid:3", "set_field:4099->vlan_vid"),
        ("note:1122", "note:11.22.00.00.00.00"),
        ("load:5->reg0[0..3]", "load:0x5->NXM_NX_REG0[0..3]"),
        ("write_actions(drop)", "drop"),
    ] {
        assert_eq!(actions(text), printed, "{text}");
    }
}

#[test]
fn bad_actions_say_what_is_wrong() {
    for (text, problem) in [
        ("foo", "unknown action foo: use a name as in ovs-actions(7), like output:1"),
        ("output:foo", "foo: unknown port: use a port number or name"),
        ("output:2,drop", "\"drop\" must not be accompanied by any other action or instruction"),
        ("mod_vlan_vid:4096", "4096: not a number, or too large for its place"),
        ("load:16->reg0[0..3]", "reg0: not a number, or too large for its place"),
        ("load:1->reg0[30..40]", "no such field or bits: write NXM_NX_REG0[] or reg0[0..15]"),
        ("move:reg0[0..3]->reg1[]", "bad argument: write two fields of the same width"),
        ("set_field:1.2.3->ip_src", "bad value for ip_src"),
        ("goto_table:1,goto_table:2", "goto_table: instruction given twice"),
        ("write_actions(goto_table:1)", "instruction given twice or inside an action list"),
        ("resubmit(,)", "bad argument"),
        ("note:1", "not a number"),
        ("note:é", "not a number"),
        ("set_field:0x1->ipv6_exthdr", "bad argument: write a field that can be written"),
        ("output(port=1,max_len=13)", "with at least 14 bytes"),
        ("sample(collector_set_id=1)", "a probability above zero"),
        ("sample(probability=1,colour=2)", "unknown keyword colour"),
    ] {
        let printed = actions(text);
        assert!(printed.starts_with("! ") && printed.contains(problem), "{text}: {printed}");
    }
}

fn flow(text: &str, command: FlowModCommand) -> String {
    parse_flow(text, command).map_or_else(|error| format!("! {error}"), |flow| flow.to_string())
}

#[test]
fn flows_are_read() {
    use FlowModCommand::{Add, Delete, DeleteStrict, Modify};
    for (text, command, printed) in [
        (
            "table=0,priority=10,tcp,nw_dst=1.2.3.4 idle_timeout=60 cookie=0x1 \
             actions=mod_vlan_vid:5,output:2",
            Add,
            "ADD priority=10,tcp,nw_dst=1.2.3.4 cookie:0x1 idle:60 actions=mod_vlan_vid:5,output:2",
        ),
        ("actions=drop", Add, "ADD actions=drop"),
        ("priority=0,actions=NORMAL", Add, "ADD priority=0 actions=NORMAL"),
        ("table=3,action=2", Modify, "MOD table:3 actions=output:2"),
        ("", Delete, "DEL table:255 actions=drop"),
        ("cookie=0x5/-1,ip", Delete, "DEL table:255 ip cookie:0x5/0xffffffffffffffff actions=drop"),
        (
            "in_port=3,out_port=4",
            DeleteStrict,
            "DEL_STRICT table:255 in_port=3 out_port:4 actions=drop",
        ),
        ("tcp,actions=mod_tp_dst:80", Add, "ADD tcp actions=set_field:80->tcp_dst"),
        ("udp,actions=mod_tp_dst:80", Add, "ADD udp actions=set_field:80->udp_dst"),
        ("actions=mod_tp_dst:80", Add, "ADD actions=mod_tp_dst:80"),
        (
            "send_flow_rem,check_overlap,actions=1",
            Add,
            "ADD send_flow_rem check_overlap actions=output:1",
        ),
    ] {
        assert_eq!(flow(text, command), printed, "{text}");
    }
}

#[test]
fn bad_flows_say_what_is_wrong() {
    use FlowModCommand::{Add, Delete};
    for (text, command, problem) in [
        ("ip", Add, "must specify an action"),
        ("foo=3,actions=drop", Add, "unknown keyword foo"),
        ("priority=65536,actions=drop", Add, "65536: not a number, or too large"),
        ("cookie=1/1,actions=drop", Add, "an add sets a cookie"),
        ("cookie=1", Delete, "a delete matches one"),
        ("nw_src=1.2.3.400,actions=drop", Add, "bad value"),
        ("actions=output:0", Add, "actions are invalid with specified match"),
    ] {
        let printed = flow(text, command);
        assert!(printed.starts_with("! ") && printed.contains(problem), "{text}: {printed}");
    }
    let kind = OfErrorKind::ActionBadOutPort;
    let error = parse_flow("actions=output:0", Add).map_err(|error| error.problem);
    assert_eq!(error, Err(TextProblem::Inconsistent(kind)));
}

#[test]
fn lines_of_flow_files_name_their_command() {
    for (text, command) in [
        ("delete_strict table=0", FlowModCommand::DeleteStrict),
        ("delete", FlowModCommand::Delete),
        ("modify in_port=3,actions=2", FlowModCommand::Modify),
        ("modify_strict actions=2", FlowModCommand::ModifyStrict),
        ("add ip,actions=2", FlowModCommand::Add),
        ("  ip,actions=2", FlowModCommand::Add),
    ] {
        let command_read = parse_flow_line(text, &NoNames).map(|flow: FlowMod| flow.command);
        assert_eq!(command_read, Ok(command), "{text}");
    }
}

#[test]
fn statistics_print_as_dump_flows_does() {
    let rule = |text: &str| {
        let flow = parse_flow(text, FlowModCommand::Add).expect("a flow");
        FlowStats {
            table_id: flow.table_id,
            priority: flow.priority,
            idle_timeout: flow.idle_timeout,
            hard_timeout: flow.hard_timeout,
            cookie: flow.new_cookie.unwrap_or(0),
            match_: flow.match_,
            instructions: flow.instructions,
            flags: flow.flags,
            ..FlowStats::default()
        }
    };
    let plain =
        FlowStats { duration_sec: 12, duration_nsec: 345_000_000, ..rule("actions=NORMAL") };
    let aged = FlowStats {
        packet_count: 7,
        byte_count: 420,
        idle_age: Some(3),
        hard_age: Some(0),
        ..rule("table=2,tcp,in_port=1,idle_timeout=60,cookie=0xab,send_flow_rem,actions=output:2")
    };
    let unknown =
        FlowStats { packet_count: u64::MAX, byte_count: u64::MAX, ..rule("priority=3,actions=") };
    let lines: Vec<String> =
        [plain.clone(), aged, unknown].iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "cookie=0x0, duration=12.345s, table=0, n_packets=0, n_bytes=0, actions=NORMAL",
            "cookie=0xab, duration=0s, table=2, n_packets=7, n_bytes=420, idle_timeout=60, \
             send_flow_rem idle_age=3, tcp,in_port=1 actions=output:2",
            "cookie=0x0, duration=0s, table=0, n_packets=?, n_bytes=?, priority=3 actions=drop",
        ]
    );
    let quiet = FlowStatsText { stats: &plain, ports: &NoNames, show_stats: false };
    assert_eq!(quiet.to_string(), "actions=NORMAL");
}
