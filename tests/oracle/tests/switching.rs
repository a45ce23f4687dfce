//! The naive switch's pipeline, ports and learning, case by case.

use flow::proto::eth_type as ethertype;
use flow::{Field, Match};
use openflow::{Action, Instructions, OfPort, PacketInReason};
use oracle::{Oracle, Rule, TableMiss, Verdict};
use packet::build::{self, Ipv4};

const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
const BROADCAST: [u8; 6] = [0xff; 6];

fn ports() -> [OfPort; 4] {
    [OfPort(1), OfPort(2), OfPort(3), OfPort::LOCAL]
}

fn to(port: u32) -> Action {
    Action::output(OfPort(port))
}

fn special(port: OfPort) -> Action {
    Action::output(port)
}

fn rule(table_id: u8, priority: u16, match_: Match, instructions: Instructions) -> Rule {
    Rule { table_id, priority, match_, instructions, cookie: u64::from(priority) }
}

fn matching(field: Field, value: u128) -> Match {
    let mut match_ = Match::CATCHALL;
    match_.set_exact(field, value);
    match_
}

fn switch(rules: &[Rule]) -> Oracle {
    let mut switch = Oracle::new(ports());
    for rule in rules {
        switch.add(rule.clone()).expect("the actions are known");
    }
    switch
}

fn frame(dst: [u8; 6], src: [u8; 6]) -> Vec<u8> {
    build::ethernet(dst, src, 0x9000, b"payload")
}

fn sent_to(verdict: &Verdict) -> Vec<u32> {
    verdict.outputs.iter().map(|output| output.port.0).collect()
}

const LOCAL: u32 = OfPort::LOCAL.0;

#[test]
fn a_learning_switch_learns() {
    // ovs-facts B1 to B6.
    let mut switch = Oracle::standalone(ports());
    let mut check = |port: u32, dst, src, expected: &[u32]| {
        assert_eq!(sent_to(&switch.receive(OfPort(port), &frame(dst, src))), expected);
    };
    check(1, B, A, &[2, 3, LOCAL]);
    check(2, A, B, &[1]);
    check(1, B, A, &[2]);
    check(1, BROADCAST, A, &[2, 3, LOCAL]);
    // The station is where the frame comes from: nothing is sent.
    check(2, B, A, &[]);
    // A has moved with that.
    check(3, A, B, &[2]);
    assert_eq!(switch.macs().len(), 2);
    // Another VLAN is another world.
    let tagged = build::vlan(ethertype::VLAN, 5, &frame(A, B));
    assert_eq!(sent_to(&switch.receive(OfPort(1), &tagged)), [2, 3, LOCAL]);
    // Frames for the bridge itself are not forwarded.
    let reserved = frame([0x01, 0x80, 0xc2, 0, 0, 3], A);
    assert_eq!(sent_to(&switch.receive(OfPort(1), &reserved)), [0; 0]);
}

#[test]
fn normal_drops_a_tag_that_says_nothing() {
    let mut switch = Oracle::standalone([OfPort(1), OfPort(2)]);
    // Long enough that nothing is filled up when the tag goes.
    let bare = [&frame(B, A)[..], &[7; 60]].concat();
    let empty = build::vlan(ethertype::VLAN, 0, &bare);
    assert_eq!(switch.receive(OfPort(1), &empty).outputs[0].frame, bare);
    let priority = build::vlan(ethertype::VLAN, 0xe000, &bare);
    assert_eq!(switch.receive(OfPort(1), &priority).outputs[0].frame, priority);
}

#[test]
fn outputs_of_every_kind() {
    let check = |action: Action, expected: &[u32]| {
        let all = Instructions::apply(vec![action.clone()]);
        let mut switch = switch(&[rule(0, 1, Match::CATCHALL, all)]);
        switch.ports[2].no_flood = true;
        let verdict = switch.receive(OfPort(2), &frame(B, A));
        assert_eq!(sent_to(&verdict), expected, "{action:?}");
    };
    check(to(1), &[1]);
    check(to(2), &[]);
    check(to(9), &[]);
    check(special(OfPort::IN_PORT), &[2]);
    check(special(OfPort::ALL), &[1, 3, LOCAL]);
    check(special(OfPort::FLOOD), &[1, LOCAL]);
    check(special(OfPort::NORMAL), &[1, LOCAL]);
    check(special(OfPort::LOCAL), &[LOCAL]);
    check(special(OfPort::ANY), &[]);
}

#[test]
fn port_configuration_counts() {
    let all = Instructions::apply(vec![special(OfPort::ALL)]);
    let mut switch = switch(&[rule(0, 1, Match::CATCHALL, all)]);
    switch.ports[0].no_recv = true;
    switch.ports[1].no_fwd = true;
    assert_eq!(sent_to(&switch.receive(OfPort(1), &frame(B, A))), [0; 0]);
    assert_eq!(sent_to(&switch.receive(OfPort(3), &frame(B, A))), [1, LOCAL]);
    assert_eq!(sent_to(&switch.receive(OfPort(9), &frame(B, A))), [0; 0]);
}

#[test]
fn the_highest_priority_wins_and_equals_are_told() {
    let mut switch = switch(&[
        rule(0, 1, Match::CATCHALL, Instructions::apply(vec![to(1)])),
        rule(0, 9, matching(Field::EthType, 0x9000), Instructions::apply(vec![to(3)])),
    ]);
    let verdict = switch.receive(OfPort(2), &frame(B, A));
    assert_eq!((sent_to(&verdict), verdict.is_ambiguous), (vec![3], false));
    let equal = rule(0, 9, matching(Field::InPort, 2), Instructions::apply(vec![to(1)]));
    switch.add(equal.clone()).unwrap();
    assert!(switch.receive(OfPort(2), &frame(B, A)).is_ambiguous);
    switch.remove(|rule| *rule == equal);
    // The same match and priority is the same rule.
    let drop = rule(0, 9, matching(Field::EthType, 0x9000), Instructions::default());
    switch.add(drop).unwrap();
    assert_eq!(switch.rules().len(), 2);
    assert_eq!(sent_to(&switch.receive(OfPort(2), &frame(B, A))), [0; 0]);
}

#[test]
fn tables_hand_on_packet_metadata_and_action_set() {
    let first = Instructions {
        apply: vec![Action::set_field(Field::EthSrc, 7), to(1)],
        write: vec![to(2), Action::set_field(Field::EthDst, 9)],
        metadata: Some((0xab, 0xf0)),
        goto_table: Some(4),
        ..Instructions::default()
    };
    let mut second = matching(Field::Metadata, 0xa0);
    second.set_exact(Field::EthSrc, 7);
    let last = Instructions { write: vec![to(3)], ..Instructions::default() };
    let mut switch = switch(&[rule(0, 1, Match::CATCHALL, first), rule(4, 5, second, last)]);
    let verdict = switch.receive(OfPort(2), &frame(B, A));
    // The later output took the earlier one's place in the set; set-field is executed before it.
    assert_eq!(sent_to(&verdict), [1, 3]);
    let field = |n: usize, field| Oracle::field(OfPort(1), &verdict.outputs[n].frame, field);
    assert_eq!((field(0, Field::EthSrc), field(1, Field::EthSrc)), (7, 7));
    assert_eq!(field(1, Field::EthDst), 9);
    assert_ne!(field(0, Field::EthDst), 9);
    assert_eq!(verdict.rules, [0, 1]);
}

#[test]
fn clear_actions_empties_the_set() {
    let first = Instructions { write: vec![to(1)], goto_table: Some(1), ..Instructions::default() };
    let clear = Instructions { clear: true, write: vec![to(3)], ..Instructions::default() };
    let mut two =
        switch(&[rule(0, 1, Match::CATCHALL, first.clone()), rule(1, 1, Match::CATCHALL, clear)]);
    assert_eq!(sent_to(&two.receive(OfPort(2), &frame(B, A))), [3]);
    // As Open vSwitch: a miss in a later table does not empty it.
    let mut one = switch(&[rule(0, 1, Match::CATCHALL, first)]);
    assert_eq!(sent_to(&one.receive(OfPort(2), &frame(B, A))), [1]);
}

#[test]
fn an_action_set_is_ordered_and_needs_an_output() {
    let tagging = vec![
        to(1),
        Action::set_field(Field::VlanVid, 0x1005),
        Action::PushVlan(ethertype::VLAN),
        Action::PopVlan,
    ];
    // Long enough that nothing is filled up when a tag goes.
    let long = [&frame(B, A)[..], &[7; 60]].concat();
    let write = |write: &[Action]| {
        let instructions = Instructions { write: write.to_vec(), ..Instructions::default() };
        let mut switch = switch(&[rule(0, 1, Match::CATCHALL, instructions)]);
        let tagged = build::vlan(ethertype::VLAN, 7, &long);
        switch.receive(OfPort(2), &tagged).outputs
    };
    let outputs = write(&tagging);
    assert_eq!(outputs[0].frame, build::vlan(ethertype::VLAN, 5, &long));
    assert_eq!(write(&tagging[1..]), []);
}

#[test]
fn the_controller_is_told_why() {
    let to_controller = |max_len| Action::Output { port: OfPort::CONTROLLER, max_len };
    let miss = rule(0, 0, Match::CATCHALL, Instructions::apply(vec![to_controller(128)]));
    let by_action =
        rule(0, 7, matching(Field::InPort, 1), Instructions::apply(vec![to_controller(60)]));
    let in_set = Instructions { write: vec![to_controller(60)], ..Instructions::default() };
    let in_set = rule(0, 8, matching(Field::InPort, 3), in_set);
    let mut switch = switch(&[miss, by_action, in_set]);
    let mut check = |port: u32, reason, cookie, max_len| {
        let verdict = switch.receive(OfPort(port), &frame(B, A));
        let [packet_in] = &verdict.packet_ins[..] else { panic!("{verdict:?}") };
        assert_eq!(packet_in.reason, reason);
        assert_eq!((packet_in.cookie, packet_in.max_len), (cookie, max_len));
        assert_eq!((packet_in.in_port, packet_in.table_id), (OfPort(port), 0));
        assert_eq!(packet_in.frame, frame(B, A));
    };
    check(1, PacketInReason::Action, 7, 60);
    check(2, PacketInReason::NoMatch, 0, 128);
    check(3, PacketInReason::ActionSet, 8, 60);
}

#[test]
fn a_miss_is_dropped_or_announced() {
    let mut switch = switch(&[]);
    assert_eq!(switch.receive(OfPort(1), &frame(B, A)), Verdict::default());
    switch.table_miss = TableMiss::Controller;
    let verdict = switch.receive(OfPort(1), &frame(B, A));
    assert_eq!(verdict.packet_ins[0].reason, PacketInReason::NoMatch);
    switch.ports[0].no_packet_in = true;
    assert_eq!(switch.receive(OfPort(1), &frame(B, A)), Verdict::default());
}

#[test]
fn a_ttl_that_runs_out_ends_the_rule() {
    let instructions = Instructions {
        apply: vec![Action::DecTtl(vec![0]), to(1)],
        write: vec![to(3)],
        goto_table: Some(1),
        ..Instructions::default()
    };
    let mut switch = switch(&[
        rule(0, 1, Match::CATCHALL, instructions),
        rule(1, 1, Match::CATCHALL, Instructions::default()),
    ]);
    let packet = |ttl| {
        let ip = Ipv4 { ttl, ..Ipv4::default() }.into();
        build::ethernet(B, A, ethertype::IPV4, &build::udp(&ip, 1, 2, b""))
    };
    assert_eq!(sent_to(&switch.receive(OfPort(2), &packet(2))), [1, 3]);
    let verdict = switch.receive(OfPort(2), &packet(1));
    assert_eq!(sent_to(&verdict), [0; 0]);
    assert_eq!(verdict.packet_ins[0].reason, PacketInReason::InvalidTtl);
    assert_eq!(verdict.packet_ins[0].frame, packet(1));
}

#[test]
fn packet_out_runs_actions_or_tables() {
    let mut switch =
        switch(&[rule(0, 1, Match::CATCHALL, Instructions::apply(vec![special(OfPort::ALL)]))]);
    let sent = |switch: &mut Oracle, in_port, action: Action| {
        sent_to(&switch.packet_out(in_port, &[action], &frame(B, A)))
    };
    assert_eq!(sent(&mut switch, OfPort::CONTROLLER, to(2)), [2]);
    assert_eq!(sent(&mut switch, OfPort(1), to(1)), [0; 0]);
    assert_eq!(sent(&mut switch, OfPort::CONTROLLER, special(OfPort::TABLE)), [1, 2, 3, LOCAL]);
    assert_eq!(sent(&mut switch, OfPort(3), special(OfPort::TABLE)), [1, 2, LOCAL]);
}

#[test]
fn unknown_actions_are_refused() {
    let unknown = Action::FinTimeout { idle_timeout: 1, hard_timeout: 1 };
    let pushing = rule(0, 1, Match::CATCHALL, Instructions::apply(vec![unknown.clone()]));
    let mut switch = Oracle::new(ports());
    assert_eq!(switch.add(pushing).unwrap_err().0, unknown);
    assert!(switch.rules().is_empty());
}
