//! Incremental revalidation: a change judges the cached flows that it can touch and no others, and
//! what it leaves alone is still true.

use crate::lab::{DP_OFFSET, Lab, change, ether, frame, normal, output};
use crate::soundness::{RuleText, add, lab_with, legal, packet, priority, rule};
use datapath::{Check, PortNo};
use flow::{Flow, compose};
use ofproto::{CheckResult, Link};
use openflow::{FlowModCommand, OfPort, PortConfig, PortFeatures, PortMod};
use proptest::collection::vec;
use proptest::prelude::*;

/// Something that changes what translations conclude, or learn.
#[derive(Clone, Debug)]
enum Event {
    Add(RuleText),
    Modify(RuleText),
    Delete(&'static str, bool),
    Packets(Vec<Flow>),
    NoFlood(u32),
    LinkFlaps(u32),
    PortFlaps(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => rule().prop_map(Event::Add),
        2 => rule().prop_map(Event::Modify),
        2 => (rule(), any::<bool>()).prop_map(|(rule, strict)| Event::Delete(rule.2, strict)),
        6 => vec(packet(), 1..6).prop_map(Event::Packets),
        1 => (1..4_u32).prop_map(Event::NoFlood),
        1 => (1..4_u32).prop_map(Event::LinkFlaps),
        1 => (1..4_u32).prop_map(Event::PortFlaps),
    ]
}

fn happen(lab: &mut Lab, event: &Event) {
    match event {
        Event::Add(rule) => add(lab, rule),
        Event::Modify(rule) => {
            let instructions =
                openflow::text::parse_instructions(&rule.3, &flow::text::NoNames).unwrap();
            let modify =
                openflow::FlowMod { instructions, ..change(FlowModCommand::Modify, rule.2) };
            // What a rule may not do is refused.
            let _ = lab.flow_mod(&modify);
        }
        Event::Delete(match_, is_strict) => {
            let strict = FlowModCommand::DeleteStrict;
            let command = if *is_strict { strict } else { FlowModCommand::Delete };
            let delete =
                openflow::FlowMod { priority: priority(1, match_), ..change(command, match_) };
            lab.flow_mod(&delete).unwrap();
        }
        Event::Packets(packets) => {
            for flow in packets {
                lab.send(flow.in_port() - DP_OFFSET, &compose(flow, 46));
            }
        }
        Event::NoFlood(number) => {
            let port = lab.bridge.ports().find(|port| port.number() == OfPort(*number));
            let config = port.map(|port| port.config()).unwrap();
            let toggled = config.symmetric_difference(PortConfig::NO_FLOOD | PortConfig::NO_FWD);
            let change = PortMod {
                port: OfPort(*number),
                hw_addr: [2, 0xaa, 0, 0, 0, u8::try_from(*number).unwrap()],
                config: toggled,
                mask: PortConfig::NO_FLOOD | PortConfig::NO_FWD,
                advertise: PortFeatures::empty(),
            };
            lab.bridge.port_mod(&change).unwrap();
        }
        Event::LinkFlaps(number) => {
            lab.bridge.port_changed(OfPort(*number), Link::DOWN);
            lab.bridge.port_changed(OfPort(*number), Link::UP);
        }
        Event::PortFlaps(number) => {
            lab.dpif.remove_port(PortNo(number + DP_OFFSET));
            lab.bridge.remove_port(OfPort(*number));
            lab.add_port(*number);
        }
    }
}

/// Asks the tables about each cached flow: its bare key, and its key filled up from `packets`.
fn all_are_true(lab: &mut Lab, packets: &[Flow]) {
    let cached: Vec<_> = lab.bridge.ukeys().iter().map(|ukey| ukey.megaflow.clone()).collect();
    for megaflow in cached {
        let fill = |other: &Flow| {
            let mut flow = megaflow.key;
            for word in 0..flow::FLOW_WORDS {
                let bits = other.word(word) & !megaflow.mask.word(word);
                flow.set_word(word, flow.word(word) | bits);
            }
            let port = flow.in_port() - DP_OFFSET;
            // Only what a frame can look like; a recirculated packet is not made of one frame.
            let legal = if flow.recirc_id() == 0 { legal(&flow, port) } else { flow };
            legal.eq_in(&megaflow.key, &megaflow.mask).then_some(legal)
        };
        let filled = packets.iter().filter_map(fill);
        for flow in filled.chain([megaflow.key]).collect::<Vec<_>>() {
            let (ufid, core) = (megaflow.ufid, datapath::CoreId(0));
            let check = Check { flow, ufid, core, packet: None };
            let result = lab.bridge.self_check(check, &mut lab.dpif, lab.now);
            assert_eq!(result, CheckResult::Same, "{flow}\n{:?}", megaflow.actions);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_alone_is_what_a_fresh_translation_says(
        rules in vec(rule(), 1..10),
        events in vec(event(), 1..12),
        packets in vec(packet(), 1..6),
    ) {
        let mut lab = lab_with(&rules);
        happen(&mut lab, &Event::Packets(packets.clone()));
        for event in &events {
            happen(&mut lab, event);
            lab.settle();
            all_are_true(&mut lab, &packets);
        }
    }
}

/// Cached flows of 100 stations that do not concern each other, then a change; how many of them
/// were translated again because of it.
fn n_translated(change: impl FnOnce(&mut Lab)) -> u64 {
    let mut lab = Lab::secure(4);
    for station in 0..100_u8 {
        let match_ = format!("ip,nw_src=10.0.0.{station}");
        lab.rule(100, &match_, vec![output(2)]);
    }
    lab.rule_in(1, 0, "", openflow::Instructions::apply(vec![output(3)]));
    let tagged = openflow::text::parse_instructions(
        "load:5->NXM_NX_REG0[],mod_nw_dst:10.9.9.9,resubmit(,1)",
        &flow::text::NoNames,
    );
    lab.rule_in(0, 10, "udp", tagged.unwrap());
    lab.rule(1, "dl_type=0x1234", vec![normal()]);
    lab.settle();
    for station in 0..100_u8 {
        lab.send(1, &frame(&format!("tcp,nw_src=10.0.0.{station},nw_dst=10.1.0.1,nw_ttl=64")));
        lab.send(1, &frame(&format!("udp,nw_src=10.0.1.{station},nw_dst=10.1.0.1,nw_ttl=64")));
        lab.send(1, &ether(station, station.wrapping_add(1)));
    }
    lab.settle();
    assert_eq!(lab.bridge.ukeys().len(), 100 + 1 + 100, "{:#?}", lab.megaflows());
    let before = lab.bridge.revalidator().stats().translated;
    change(&mut lab);
    lab.settle();
    lab.bridge.revalidator().stats().translated - before
}

#[test]
fn a_change_judges_what_it_can_touch() {
    let delete = |match_: &'static str| {
        move |lab: &mut Lab| lab.flow_mod(&change(FlowModCommand::Delete, match_)).unwrap()
    };
    let add = |table, priority, match_: &'static str| {
        move |lab: &mut Lab| {
            lab.rule_in(table, priority, match_, openflow::Instructions::apply(vec![output(4)]));
        }
    };
    // One rule goes: the flow that it forwarded.
    assert_eq!(n_translated(delete("ip,nw_src=10.0.0.7")), 1);
    // A rule that wins over one other.
    assert_eq!(n_translated(add(0, 200, "ip,nw_src=10.0.0.7")), 1);
    // A rule that loses to all that are found.
    assert_eq!(n_translated(add(0, 0, "ip")), 0);
    // A rule in a table where only one cached flow was looked up,
    assert_eq!(n_translated(add(1, 5, "ip")), 1);
    // ... with a register and an address that its rule wrote: others cannot match.
    assert_eq!(n_translated(add(1, 5, "ip,reg0=5")), 1);
    assert_eq!(n_translated(add(1, 5, "ip,reg0=6")), 0);
    assert_eq!(n_translated(add(1, 5, "ip,nw_dst=10.9.9.9")), 1);
    assert_eq!(n_translated(add(1, 5, "ip,nw_dst=10.1.0.1")), 0);
    // In a table where nothing was looked up.
    assert_eq!(n_translated(add(2, 5, "")), 0);
    // A station comes: flows to it are flooded no more. Its own first packet adds a cached flow.
    let sends = |lab: &mut Lab| drop(lab.send(2, &ether(200, 201)));
    assert_eq!(n_translated(sends), 0);
    let sends = |lab: &mut Lab| drop(lab.send(2, &ether(100, 201)));
    assert_eq!(n_translated(sends), 1);
    // A port that only some flows lead to.
    let closes = |lab: &mut Lab| {
        let change = PortMod {
            port: OfPort(3),
            hw_addr: [2, 0xaa, 0, 0, 0, 3],
            config: PortConfig::NO_FWD,
            mask: PortConfig::NO_FWD,
            advertise: PortFeatures::empty(),
        };
        lab.bridge.port_mod(&change).unwrap();
    };
    let n_flooded = 1;
    assert_eq!(n_translated(closes), 1 + n_flooded);
}

#[test]
fn more_rules_than_are_remembered_concern_the_flows_of_their_table() {
    let add_many = |lab: &mut Lab| {
        for n in 0..200 {
            lab.rule(200, &format!("ip,nw_src=10.7.0.{n}"), vec![output(4)]);
        }
    };
    assert_eq!(n_translated(add_many), 201);
    let remove_many = |lab: &mut Lab| {
        lab.flow_mod(&change(FlowModCommand::Delete, "ip,nw_src=10.0.0.0/26")).unwrap();
    };
    assert_eq!(n_translated(remove_many), 64);
}
