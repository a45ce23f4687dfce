//! Flow-mods: what they change, what they refuse (OpenFlow 1.0.1 §4.6, 1.3.5 §6.4, §7.5.4).

use crate::lab::{Lab, add, change, everything, flow, frame, output};
use flow::Field;
use ofproto::BridgeConfig;
use openflow::{
    Action, FlowMod, FlowModCommand, FlowModFlags, FlowStatsRequest, Instructions, OfErrorKind,
    OfPort, Subfield, Version,
};

/// The rules as table, priority, match and cookie.
fn dump(lab: &mut Lab) -> Vec<String> {
    let rules = lab.rules();
    let text = |rule: &ofproto::Rule| {
        let match_ = rule.match_.expand();
        format!("{} {} {match_} {:#x}", rule.table_id, rule.priority, rule.cookie)
    };
    rules.iter().map(|rule| text(rule)).collect()
}

/// Rules in two tables for deletes and modifies to choose from.
fn populated() -> Lab {
    let mut lab = Lab::secure(4);
    let rules = [
        (0, 10, "ip", 0x1, 1),
        (0, 10, "ip,nw_src=10.0.0.0/8", 0x2, 2),
        (0, 20, "ip,nw_src=10.0.0.0/8", 0x12, 3),
        (0, 10, "tcp,nw_src=10.1.0.0/16", 0x3, 2),
        (1, 10, "arp", 0x4, 2),
    ];
    for (table_id, priority, match_, cookie, port) in rules {
        let instructions = Instructions::apply(vec![output(port)]);
        let new_cookie = Some(cookie);
        lab.flow_mod(&FlowMod { table_id, new_cookie, instructions, ..add(priority, match_) })
            .unwrap();
    }
    lab
}

#[test]
fn deletes_choose_by_table_match_priority_cookie_port() {
    use FlowModCommand::{Delete, DeleteStrict};
    // What the delete says, and the cookies that are left.
    let cases: [(FlowMod, &[u64]); 12] = [
        (change(Delete, ""), &[]),
        (FlowMod { table_id: 1, ..change(Delete, "") }, &[0x12, 0x1, 0x2, 0x3]),
        (change(Delete, "ip"), &[0x4]),
        (change(Delete, "ip,nw_src=10.0.0.0/8"), &[0x1, 0x4]),
        (change(Delete, "ip,nw_src=10.1.0.0/16"), &[0x12, 0x1, 0x2, 0x4]),
        (change(Delete, "ip,nw_src=11.0.0.0/8"), &[0x12, 0x1, 0x2, 0x3, 0x4]),
        (change(DeleteStrict, "ip,nw_src=10.0.0.0/8"), &[0x12, 0x1, 0x2, 0x3, 0x4]),
        (
            FlowMod { priority: 20, ..change(DeleteStrict, "ip,nw_src=10.0.0.0/8") },
            &[0x1, 0x2, 0x3, 0x4],
        ),
        (FlowMod { cookie: 2, cookie_mask: 0xf, ..change(Delete, "") }, &[0x1, 0x3, 0x4]),
        (
            FlowMod { cookie: 2, cookie_mask: u64::MAX, ..change(Delete, "") },
            &[0x12, 0x1, 0x3, 0x4],
        ),
        (FlowMod { out_port: OfPort(2), ..change(Delete, "ip") }, &[0x12, 0x1, 0x4]),
        (FlowMod { out_group: 7, ..change(Delete, "") }, &[0x12, 0x1, 0x2, 0x3, 0x4]),
    ];
    for (flow_mod, left) in cases {
        let mut lab = populated();
        lab.flow_mod(&flow_mod).unwrap();
        let cookies: Vec<u64> = lab.rules().iter().map(|rule| rule.cookie).collect();
        assert_eq!(cookies, left, "{flow_mod:?}");
    }
}

#[test]
fn statistics_choose_alike() {
    let mut lab = populated();
    let mut count = |request: FlowStatsRequest| {
        let rules = lab.bridge.flow_stats(&request, lab.now).unwrap().len();
        let sum = lab.bridge.aggregate_stats(&request, lab.now).unwrap();
        assert_eq!(sum.flow_count as usize, rules);
        rules
    };
    assert_eq!(count(everything()), 5);
    assert_eq!(count(FlowStatsRequest { table_id: 0, ..everything() }), 4);
    assert_eq!(count(FlowStatsRequest { out_port: OfPort(2), ..everything() }), 3);
    assert_eq!(count(FlowStatsRequest { cookie: 3, cookie_mask: u64::MAX, ..everything() }), 1);
    assert_eq!(count(FlowStatsRequest { match_: add(0, "tcp").match_, ..everything() }), 1);
    let mut lab = Lab::with(BridgeConfig { n_tables: 3, ..BridgeConfig::default() }, 1);
    let beyond = FlowStatsRequest { table_id: 3, ..everything() };
    let error = lab.bridge.flow_stats(&beyond, lab.now).map(|_| ());
    assert_eq!(error, Err(OfErrorKind::RequestBadTableId));
}

#[test]
fn modifies_change_instructions_alone() {
    use FlowModCommand::{Modify, ModifyStrict};
    let actions = vec![output(4)];
    let instructions = Instructions::apply(actions.clone());
    let modify = |command, match_: &str| FlowMod {
        instructions: instructions.clone(),
        idle_timeout: 77,
        ..change(command, match_)
    };
    let mut lab = populated();
    let before = dump(&mut lab);
    lab.flow_mod(&modify(Modify, "ip,nw_src=10.0.0.0/8")).unwrap();
    assert_eq!(dump(&mut lab), before);
    let changed: Vec<u64> = lab
        .rules()
        .iter()
        .filter(|rule| rule.instructions.apply == actions)
        .map(|rule| rule.cookie)
        .collect();
    assert_eq!(changed, [0x12, 0x2, 0x3]);
    assert!(lab.rules().iter().all(|rule| rule.idle_timeout() == 0));
    // The strict one, and one that gives a cookie (OpenFlow 1.0).
    let mut lab = populated();
    let strict = FlowMod {
        priority: 20,
        new_cookie: Some(0x99),
        ..modify(ModifyStrict, "ip,nw_src=10.0.0.0/8")
    };
    lab.flow_mod(&strict).unwrap();
    let changed: Vec<u64> = lab
        .rules()
        .iter()
        .filter(|rule| rule.instructions.apply == actions)
        .map(|rule| rule.cookie)
        .collect();
    assert_eq!(changed, [0x99]);
    // The cookie of a modify of OpenFlow 1.1 is for what it may add.
    let mut lab = populated();
    let before = dump(&mut lab);
    lab.bridge.flow_mod(&strict, openflow::Version::V11, lab.now).unwrap();
    assert_eq!(dump(&mut lab), before);
    // The port filter is for deletes.
    let mut lab = populated();
    lab.flow_mod(&FlowMod { out_port: OfPort(1), ..modify(Modify, "arp") }).unwrap();
    assert_eq!(lab.rules()[4].instructions.apply, actions);
}

#[test]
fn a_modify_that_finds_nothing_adds_in_openflow_1_0_only() {
    for command in [FlowModCommand::Modify, FlowModCommand::ModifyStrict] {
        let mut lab = Lab::secure(2);
        lab.flow_mod(&FlowMod { table_id: 0, ..change(command, "ip") }).unwrap();
        assert_eq!(lab.rules().len(), 0);
        let with_cookie = FlowMod { table_id: 0, new_cookie: Some(5), ..change(command, "ip") };
        lab.flow_mod(&FlowMod { cookie_mask: 1, ..with_cookie.clone() }).unwrap();
        assert_eq!(lab.rules().len(), 0);
        lab.flow_mod(&with_cookie).unwrap();
        assert_eq!(dump(&mut lab), ["0 32768 ip 0x5"]);
    }
}

#[test]
fn an_add_of_the_same_match_and_priority_replaces() {
    let mut lab = Lab::secure(2);
    let rule = |cookie, flags| FlowMod {
        new_cookie: Some(cookie),
        flags,
        instructions: Instructions::apply(vec![output(2)]),
        ..add(5, "ip")
    };
    lab.flow_mod(&rule(1, FlowModFlags::empty())).unwrap();
    let ping = frame("icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64");
    lab.send(1, &ping);
    lab.flow_mod(&rule(2, FlowModFlags::SEND_FLOW_REM)).unwrap();
    lab.settle();
    assert_eq!(lab.counts(2).0, 1);
    lab.flow_mod(&rule(3, FlowModFlags::RESET_COUNTS)).unwrap();
    lab.settle();
    assert_eq!(lab.counts(3).0, 0);
    lab.send(1, &ping);
    assert_eq!(lab.counts(3).0, 1);
    assert_eq!(lab.events(), [], "replacing is not removing");
    lab.flow_mod(&FlowMod { priority: 6, ..rule(4, FlowModFlags::empty()) }).unwrap();
    assert_eq!(lab.rules().len(), 2);
}

#[test]
fn overlaps_are_found_when_asked() {
    let cases = [
        ("ip", 10, true),
        ("ip,nw_src=10.0.0.0/8", 10, true),
        ("tcp", 10, true),
        ("arp", 10, false),
        ("ip", 11, false),
        ("", 10, true),
        ("in_port=1", 10, true),
        ("ip,nw_src=11.0.0.0/8", 10, false),
        // The very same rule is replaced.
        ("ip,nw_src=10.1.0.0/16", 10, false),
    ];
    for (match_, priority, overlaps) in cases {
        let mut lab = Lab::secure(1);
        lab.rule(10, "ip,nw_src=10.1.0.0/16", vec![]);
        let checked = FlowMod { flags: FlowModFlags::CHECK_OVERLAP, ..add(priority, match_) };
        let expected = if overlaps { Err(OfErrorKind::FlowModOverlap) } else { Ok(()) };
        assert_eq!(lab.flow_mod(&checked), expected, "{match_} {priority}");
        let n_rules = if overlaps || match_ == "ip,nw_src=10.1.0.0/16" { 1 } else { 2 };
        assert_eq!(lab.rules().len(), n_rules, "{match_} {priority}");
        lab.flow_mod(&add(priority, match_)).unwrap();
    }
}

#[test]
fn tables_are_chosen_and_bounded() {
    let mut lab = Lab::with(BridgeConfig { n_tables: 3, ..BridgeConfig::default() }, 1);
    let in_table = |table_id| FlowMod { table_id, ..add(7, "") };
    lab.flow_mod(&in_table(0xff)).unwrap();
    lab.flow_mod(&in_table(2)).unwrap();
    assert_eq!(lab.flow_mod(&in_table(3)), Err(OfErrorKind::FlowModBadTableId));
    let old = lab.bridge.flow_mod(&in_table(3), Version::V10, lab.now);
    assert_eq!(old, Err(OfErrorKind::RequestBadTableId));
    assert_eq!(dump(&mut lab), ["0 7  0x0", "0 0  0x0", "2 7  0x0"]);
    let stats = lab.bridge.table_stats(lab.now);
    assert_eq!(stats.len(), 3);
    assert_eq!((stats[0].active_count, stats[0].max_entries), (2, 1_000_000));
    assert_eq!(stats[1].active_count, 0);
}

#[test]
fn bad_instructions_are_refused_and_change_nothing() {
    let apply = |actions: Vec<Action>| Instructions::apply(actions);
    let set = |field| Action::set_field(field, 1);
    let whole = Subfield::whole;
    // Match, instructions, the error for OpenFlow 1.3, and for 1.0 where it differs.
    let inconsistent = OfErrorKind::ActionMatchInconsistent;
    let strict = [
        ("", apply(vec![set(Field::Ipv4Src)])),
        ("ip", apply(vec![set(Field::TcpSrc)])),
        ("tcp6", apply(vec![set(Field::Ipv4Src)])),
        ("", apply(vec![Action::PopVlan])),
        ("", apply(vec![Action::DecTtl(vec![0])])),
        ("ip", apply(vec![Action::DecMplsTtl])),
        ("ip", apply(vec![Action::PopMpls(0x0800)])),
        ("ip", apply(vec![Action::PushMpls(0x8847), set(Field::Ipv4Src)])),
        ("", apply(vec![Action::SetTpDst(80)])),
    ];
    // What Nicira added is as strict in 1.0.
    let everywhere = [
        ("", apply(vec![Action::set_field(Field::VlanVid, 0x1005)])),
        ("dl_vlan=5", apply(vec![Action::PopVlan, set(Field::VlanPcp)])),
        ("", apply(vec![Action::Move { src: whole(Field::Ipv4Src), dst: whole(Field::Reg0) }])),
    ];
    let of_10 = strict.iter().map(|_| Ok(())).chain(everywhere.iter().map(|_| Err(inconsistent)));
    for ((match_, instructions), of_10) in strict.iter().chain(&everywhere).zip(of_10) {
        let flow_mod = FlowMod { instructions: instructions.clone(), ..add(1, match_) };
        let mut lab = Lab::secure(2);
        assert_eq!(lab.flow_mod(&flow_mod), Err(inconsistent), "{flow_mod:?}");
        assert_eq!(lab.rules().len(), 0);
        let done = lab.bridge.flow_mod(&flow_mod, Version::V10, lab.now);
        assert_eq!(done, of_10, "{flow_mod:?}");
    }
    let always = [
        (apply(vec![output(0)]), OfErrorKind::ActionBadOutPort),
        (apply(vec![Action::output(OfPort::ANY)]), OfErrorKind::ActionBadOutPort),
        (
            apply(vec![Action::Enqueue { port: OfPort::FLOOD, queue: 1 }]),
            OfErrorKind::ActionBadOutPort,
        ),
        (apply(vec![Action::Group(1)]), OfErrorKind::ActionBadOutGroup),
        (
            Instructions { write: vec![Action::Group(1)], ..Instructions::default() },
            OfErrorKind::ActionBadOutGroup,
        ),
        (
            Instructions { meter: Some(1), ..Instructions::default() },
            OfErrorKind::MeterModInvalidMeter,
        ),
        (
            Instructions { goto_table: Some(0), ..Instructions::default() },
            OfErrorKind::InstructionBadTableId,
        ),
        (
            Instructions { goto_table: Some(255), ..Instructions::default() },
            OfErrorKind::InstructionBadTableId,
        ),
        (
            Instructions { write: vec![Action::Exit], ..Instructions::default() },
            OfErrorKind::ActionBadType,
        ),
        (apply(vec![Action::PushVlan(0x0800)]), OfErrorKind::ActionBadArgument),
        (apply(vec![Action::PushMpls(0x0800)]), OfErrorKind::ActionBadArgument),
        (apply(vec![Action::SetVlanVid(0x1000)]), OfErrorKind::ActionBadArgument),
        (apply(vec![Action::SetVlanPcp(8)]), OfErrorKind::ActionBadArgument),
        (apply(vec![set(Field::IpFrag)]), OfErrorKind::ActionBadSetArgument),
        (
            apply(vec![Action::SetField { field: Field::IpDscpShifted, value: 64, mask: 64 }]),
            OfErrorKind::ActionBadSetArgument,
        ),
        (
            apply(vec![Action::Move { src: whole(Field::Reg0), dst: whole(Field::EthSrc) }]),
            OfErrorKind::ActionBadArgument,
        ),
        (apply(vec![Action::DeleteField(Field::Reg0)]), OfErrorKind::ActionBadArgument),
        (apply(vec![Action::Clone(vec![Action::PushPbb(0x88a8)])]), OfErrorKind::ActionBadArgument),
    ];
    for (instructions, error) in always {
        let flow_mod = FlowMod { instructions, ..add(1, "ip") };
        for version in [Version::V10, Version::V13] {
            let mut lab = Lab::secure(2);
            lab.rule(1, "ip", vec![output(2)]);
            let result = lab.bridge.flow_mod(&flow_mod, version, lab.now);
            assert_eq!(result, Err(error), "{flow_mod:?}");
            assert_eq!(lab.rules()[0].instructions.apply, [output(2)]);
            let modify = FlowMod { command: FlowModCommand::Modify, ..flow_mod.clone() };
            assert_eq!(lab.bridge.flow_mod(&modify, version, lab.now), Err(error), "{modify:?}");
        }
    }
    let mut lab = Lab::secure(2);
    let buffered = FlowMod { buffer_id: Some(1), ..add(1, "") };
    assert_eq!(lab.flow_mod(&buffered), Err(OfErrorKind::RequestBufferUnknown));
    assert_eq!(lab.rules().len(), 0);
}

#[test]
fn right_instructions_are_taken() {
    let pop_and_set = vec![Action::PopMpls(0x0800), Action::DecTtl(vec![0]), output(2)];
    let tag = vec![
        Action::PushVlan(0x8100),
        Action::set_field(Field::VlanVid, 0x1005),
        Action::set_field(Field::VlanPcp, 1),
    ];
    for (match_, actions) in
        [("mpls", pop_and_set), ("", tag), ("dl_vlan=5", vec![Action::PopVlan])]
    {
        let mut lab = Lab::secure(2);
        lab.rule(1, match_, actions);
    }
}

#[test]
fn hidden_rules_are_neither_shown_nor_touched() {
    let mut lab = Lab::standalone(2);
    lab.bridge.set_controllers(true, lab.now);
    lab.bridge.set_controllers_connected(false, lab.now);
    assert_eq!(lab.rules().len(), 0);
    assert_eq!(lab.bridge.table_stats(lab.now)[0].active_count, 0);
    lab.flow_mod(&change(FlowModCommand::Modify, "")).unwrap();
    lab.flow_mod(&change(FlowModCommand::Delete, "")).unwrap();
    assert!(lab.bridge.is_fail_open());
    lab.settle();
}

#[test]
fn one_lookup_sees_one_version() {
    // Two tables that are changed together: whoever enters the first finds the second as it was
    // made for it. A translation happens at one version, so there is nothing in between.
    let mut lab = Lab::secure(3);
    for turn in 0..20_u32 {
        let port = 2 + turn % 2;
        lab.rule(1, "", vec![output(port)]);
        let text = lab.bridge.trace(&flow("in_port=1,dl_type=0x1234"));
        assert!(text.ends_with(&format!("Datapath actions: 10{port}\n")), "{text}");
    }
}
