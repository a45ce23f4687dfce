//! Control flow: tables, resubmits, instructions, outputs, limits.

use crate::lab::{Lab, add, ether, frame, normal, output};
use datapath::DropReason;
use flow::Field;
use openflow::{Action, FlowMod, Instructions, OfPort, PortConfig, PortFeatures, PortMod};

fn to(port: OfPort) -> Action {
    Action::output(port)
}

fn resubmit(table: u8) -> Action {
    Action::Resubmit { port: OfPort::IN_PORT, table }
}

fn goto(table: u8) -> Instructions {
    Instructions { goto_table: Some(table), ..Instructions::default() }
}

fn port_mod(lab: &mut Lab, number: u32, config: PortConfig) {
    let port = OfPort(number);
    let hw_addr = lab.bridge.state().ports.get(port).unwrap().hw_addr().0;
    let advertise = PortFeatures::empty();
    let change = PortMod { port, hw_addr, config, mask: PortConfig::all(), advertise };
    lab.bridge.port_mod(&change).unwrap();
    lab.settle();
}

#[test]
fn every_kind_of_output() {
    let cases: [(Vec<Action>, &[u32]); 14] = [
        (vec![output(3)], &[3]),
        (vec![output(3), output(2), output(3)], &[3, 2, 3]),
        (vec![output(1)], &[]),
        (vec![to(OfPort::IN_PORT)], &[1]),
        (vec![to(OfPort::ALL)], &[2, 3, 4]),
        (vec![to(OfPort::FLOOD)], &[2, 3]),
        (vec![normal()], &[2, 3]),
        (vec![output(9)], &[]),
        (vec![to(OfPort::LOCAL)], &[]),
        (vec![], &[]),
        (vec![Action::Enqueue { port: OfPort(2), queue: 5 }, output(3)], &[2, 3]),
        (vec![Action::SetQueue(1), output(2), Action::PopQueue, output(3)], &[2, 3]),
        (vec![Action::Note(vec![1, 2]), output(2)], &[2]),
        (vec![output(2), Action::Exit, output(3)], &[2]),
    ];
    for (actions, expected) in cases {
        let mut lab = Lab::secure(4);
        port_mod(&mut lab, 4, PortConfig::NO_FLOOD);
        lab.rule(1, "", actions.clone());
        lab.settle();
        assert_eq!(lab.ports(1, &ether(1, 2)), expected, "{actions:?}");
        assert_eq!(lab.ports(1, &ether(1, 2)), expected, "{actions:?}, cached");
    }
}

#[test]
fn queues_are_metadata_of_the_output() {
    let mut lab = Lab::secure(3);
    lab.rule(1, "", vec![Action::Enqueue { port: OfPort(2), queue: 5 }, output(3)]);
    lab.send(1, &ether(1, 2));
    let megaflow = lab.megaflows().remove(0);
    assert!(
        megaflow.ends_with("actions:set(skb_priority(0x5)),102,set(skb_priority(0)),103"),
        "{megaflow}"
    );
}

#[test]
fn port_configuration_is_honoured() {
    let stp = "dl_src=02:00:00:00:00:01,dl_dst=01:80:c2:00:00:00,dl_type=0x1234";
    let plain = "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_type=0x1234";
    // Configuration of port 1 (in), of port 2 (out), frame, what leaves, why not.
    let none = PortConfig::empty();
    let cases = [
        (none, none, plain, vec![2], None),
        (PortConfig::NO_RECV, none, plain, vec![], Some(DropReason::RxPortDown)),
        (PortConfig::NO_RECV, none, stp, vec![2], None),
        (PortConfig::NO_RECV_STP, none, stp, vec![], Some(DropReason::RxPortDown)),
        (PortConfig::NO_RECV_STP, none, plain, vec![2], None),
        (PortConfig::PORT_DOWN, none, plain, vec![], Some(DropReason::RxPortDown)),
        (none, PortConfig::NO_FWD, plain, vec![], Some(DropReason::ForwardingDisabled)),
        (none, PortConfig::PORT_DOWN, plain, vec![], Some(DropReason::ForwardingDisabled)),
        (none, PortConfig::NO_FLOOD, plain, vec![2], None),
        (none, PortConfig::NO_RECV, plain, vec![2], None),
    ];
    for (first, second, text, expected, reason) in cases {
        let mut lab = Lab::secure(2);
        lab.rule(1, "", vec![output(2)]);
        port_mod(&mut lab, 1, first);
        port_mod(&mut lab, 2, second);
        let case = format!("{first:?} {second:?} {text}");
        assert_eq!(lab.ports(1, &frame(text)), expected, "{case}");
        assert_eq!(lab.ports(1, &frame(text)), expected, "{case}, cached");
        if let Some(reason) = reason {
            assert_eq!(lab.drops(reason), 2, "{case}");
        }
    }
}

#[test]
fn an_unknown_destination_skips_ports_excluded_from_flooding() {
    let mut lab = Lab::standalone(3);
    port_mod(&mut lab, 2, PortConfig::NO_FLOOD);
    assert_eq!(lab.ports(1, &ether(1, 2)), [3]);
    lab.send(2, &ether(2, 1));
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
}

#[test]
fn instructions_are_executed_in_the_specifications_order() {
    // 1.3.5 §5.9: apply, clear, write, metadata, goto; the action set at the end of the pipeline.
    let mut lab = Lab::secure(4);
    let first = Instructions {
        apply: vec![output(2)],
        write: vec![output(3), Action::set_field(Field::EthSrc, 0x0200_0000_0055)],
        metadata: Some((0xab00, 0xff00)),
        goto_table: Some(1),
        ..Instructions::default()
    };
    lab.rule_in(0, 1, "", first);
    lab.rule_in(1, 1, "metadata=0xab00/0xff00", Instructions { write: vec![output(4)], ..goto(2) });
    let sent = lab.send(1, &ether(1, 2));
    assert_eq!(sent.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(sent[0].1[6..12], [2, 0, 0, 0, 0, 1]);
    assert_eq!(sent[1].1[6..12], [2, 0, 0, 0, 0, 0x55]);
    // A later clear empties the set before the same rule's write.
    let third = Instructions { clear: true, write: vec![output(3)], ..Instructions::default() };
    lab.rule_in(2, 1, "", third);
    lab.settle();
    let sent = lab.send(1, &ether(1, 2));
    assert_eq!(sent.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(sent[1].1[6..12], [2, 0, 0, 0, 0, 1]);
}

#[test]
fn a_miss_in_a_later_table_drops_unless_there_is_a_miss_rule() {
    let mut lab = Lab::secure(2);
    lab.rule_in(0, 1, "", goto(1));
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
    assert_eq!(lab.drops(DropReason::NoRule), 1);
    lab.rule_in(1, 0, "", Instructions::apply(vec![output(2)]));
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
}

#[test]
fn resubmits_nest_and_come_back() {
    let mut lab = Lab::secure(4);
    let load = |reg, value| Action::set_field(Field::reg(reg).unwrap(), value);
    lab.rule(1, "", vec![load(1, 7), resubmit(1), output(4)]);
    let inner = Instructions::apply(vec![output(2), load(1, 8), resubmit(2)]);
    lab.rule_in(1, 1, "reg1=7", inner);
    lab.rule_in(2, 1, "reg1=8", Instructions::apply(vec![output(3)]));
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3, 4]);
    // As if from another port, for the lookup alone.
    let mut lab = Lab::secure(4);
    lab.rule(1, "in_port=1", vec![Action::Resubmit { port: OfPort(3), table: 0xff }]);
    lab.rule(1, "in_port=3", vec![to(OfPort::IN_PORT), output(3)]);
    assert_eq!(lab.ports(1, &ether(1, 2)), [1, 3]);
    // A resubmit that finds nothing does nothing.
    let mut lab = Lab::secure(2);
    lab.rule(1, "", vec![resubmit(5), output(2)]);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    // Exit ends all of it.
    let mut lab = Lab::secure(4);
    lab.rule(1, "", vec![resubmit(1), output(4)]);
    lab.rule_in(1, 1, "", Instructions::apply(vec![output(2), Action::Exit, output(3)]));
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
}

#[test]
fn endless_programs_end() {
    // Into itself.
    let mut lab = Lab::secure(2);
    lab.rule(1, "", vec![output(2), resubmit(0)]);
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
    assert_eq!(lab.drops(DropReason::TranslationError), 1);
    assert_eq!(lab.bridge.stats().translation_errors, 1);
    // Two to the 254th.
    let mut lab = Lab::secure(2);
    for table in 0..254 {
        let twice = vec![resubmit(table + 1), resubmit(table + 1)];
        lab.rule_in(table, 1, "", Instructions::apply(twice));
    }
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
    assert_eq!(lab.drops(DropReason::TranslationError), 1);
    // Actions without end.
    let mut lab = Lab::secure(2);
    lab.rule(1, "", vec![output(2); 5000]);
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
    // A chain of all tables is no problem.
    let mut lab = Lab::secure(2);
    for table in 0..254 {
        lab.rule_in(table, 1, "", goto(table + 1));
    }
    lab.rule_in(254, 1, "", Instructions::apply(vec![output(2)]));
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    let lookups: u64 =
        lab.bridge.table_stats(lab.now).iter().map(|table| table.matched_count).sum();
    assert_eq!(lookups, 255);
}

#[test]
fn headers_that_come_to_light_can_be_matched() {
    // The tables see what is below the label after it is popped: the packet recirculates.
    let mut lab = Lab::secure(3);
    let pop = Instructions { apply: vec![Action::PopMpls(0x0800)], ..goto(1) };
    lab.rule_in(0, 1, "mpls", pop);
    lab.rule_in(
        1,
        10,
        "ip,nw_dst=10.0.0.2",
        Instructions::apply(vec![Action::DecTtl(vec![0]), output(2)]),
    );
    lab.rule_in(1, 1, "", Instructions::apply(vec![output(3)]));
    let inner = frame("udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1,tp_dst=2");
    let mut labelled = inner[..12].to_vec();
    labelled.extend([0x88, 0x47, 0, 0x06, 0x41, 0x40]);
    labelled.extend(&inner[14..]);
    for _ in 0..3 {
        let sent = lab.send(1, &labelled);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, 2);
        assert_eq!(sent[0].1[22], 63);
    }
    assert_eq!(lab.bridge.ukeys().len(), 2);
    assert_eq!(lab.bridge.stats().upcalls, 2);
    // The number lives as long as its megaflows.
    lab.advance(sync::time::Nanos::from_secs(8));
    assert_eq!(lab.send(1, &labelled).len(), 1);
    lab.advance(sync::time::Nanos::from_secs(15));
    assert_eq!(lab.bridge.ukeys().len(), 0);
    assert!(
        lab.bridge.memory_show().contains("recirculation-ids:0 "),
        "{}",
        lab.bridge.memory_show()
    );
    assert_eq!(lab.send(1, &labelled).len(), 1);
}

#[test]
fn recirculation_without_end_ends_cached_or_not() {
    let mut lab = Lab::secure(2);
    let pop = vec![output(2), Action::PopMpls(0x8847), resubmit(0)];
    lab.rule(1, "mpls", pop);
    let mut labels = frame("mpls,mpls_label=7,mpls_bos=1,mpls_ttl=9");
    labels.truncate(14);
    labels.extend([0, 0, 0x10, 9].repeat(40));
    let n_first = lab.ports(1, &labels).len();
    assert!(n_first > 1 && n_first < 40, "{n_first}");
    assert_eq!(lab.ports(1, &labels).len(), n_first);
    assert_eq!(lab.drops(DropReason::TranslationError), 2);
}

#[test]
fn ttl_that_runs_out_ends_the_rule() {
    let dying = "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=1,tp_src=1,tp_dst=2";
    let mut lab = Lab::secure(3);
    let instructions =
        Instructions { apply: vec![output(3), Action::DecTtl(vec![0]), output(2)], ..goto(1) };
    lab.rule_in(0, 1, "ip", instructions);
    lab.rule_in(1, 1, "", Instructions::apply(vec![output(2)]));
    assert_eq!(lab.ports(1, &frame(dying)), [3]);
    // A parent that resubmitted goes on.
    let mut lab = Lab::secure(3);
    lab.rule(1, "ip", vec![resubmit(1), output(3)]);
    lab.rule_in(1, 1, "ip", Instructions::apply(vec![Action::DecTtl(vec![0]), output(2)]));
    assert_eq!(lab.ports(1, &frame(dying)), [3]);
    let mut lab = Lab::secure(2);
    lab.rule(1, "ip", vec![Action::DecTtl(vec![0]), output(2)]);
    assert_eq!(lab.ports(1, &frame(dying)), []);
    assert_eq!(lab.drops(DropReason::TtlExceeded), 1);
}

#[test]
fn fragments() {
    let first = "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,nw_frag=first,tp_src=1,tp_dst=53";
    let whole = "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1,tp_dst=53";
    use ofproto::Fragments::{Drop, Normal, NxMatch};
    for (mode, expected) in [(Normal, vec![3]), (NxMatch, vec![2]), (Drop, vec![])] {
        let mut lab = Lab::secure(3);
        lab.rule(2, "udp,tp_dst=53", vec![output(2)]);
        lab.rule(1, "", vec![output(3)]);
        lab.bridge.set_fragments(mode);
        lab.settle();
        assert_eq!(lab.ports(1, &frame(first)), expected, "{mode:?}");
        assert_eq!(lab.ports(1, &frame(whole)), [2], "{mode:?}");
    }
}

#[test]
fn truncation_is_for_one_output() {
    let mut lab = Lab::secure(3);
    let cut = Action::OutputTrunc { port: OfPort(2), max_len: 20 };
    lab.rule(1, "", vec![cut, output(3)]);
    let sent = lab.send(1, &ether(1, 2));
    assert_eq!(
        sent.iter().map(|(port, frame)| (*port, frame.len())).collect::<Vec<_>>(),
        [(2, 20), (3, ether(1, 2).len())]
    );
    let mut lab = Lab::secure(3);
    let nowhere = Action::OutputTrunc { port: OfPort(9), max_len: 20 };
    lab.rule(1, "", vec![nowhere, output(3)]);
    assert_eq!(lab.send(1, &ether(1, 2))[0].1.len(), ether(1, 2).len());
    for back in [OfPort(1), OfPort::IN_PORT] {
        let mut lab = Lab::secure(3);
        lab.rule(1, "", vec![Action::OutputTrunc { port: back, max_len: 20 }, output(3)]);
        assert_eq!(lab.ports(1, &ether(1, 2)), [3], "{back}");
    }
}

#[test]
fn changes_between_outputs_concern_the_later_ones() {
    let mut lab = Lab::secure(4);
    let mac = |n| Action::set_field(Field::EthDst, n);
    let flow_mod = FlowMod {
        instructions: Instructions::apply(vec![output(2), mac(3), output(3), mac(4), output(4)]),
        ..add(1, "")
    };
    lab.flow_mod(&flow_mod).unwrap();
    let sent = lab.send(1, &ether(1, 2));
    let last: Vec<u8> = sent.iter().map(|(_, frame)| frame[5]).collect();
    assert_eq!(last, [2, 3, 4]);
}
