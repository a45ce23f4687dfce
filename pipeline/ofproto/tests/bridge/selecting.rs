//! The actions `multipath` and `bundle`.

use crate::lab::*;
use flow::text::NoNames;
use ofproto::Link;
use openflow::text::parse_instructions;
use openflow::{OfErrorKind, OfPort};
use std::collections::BTreeSet;

fn text_rule(lab: &mut Lab, priority: u16, match_: &str, actions: &str) {
    lab.rule_in(0, priority, match_, parse_instructions(actions, &NoNames).unwrap());
}

fn tcp(src: u32, port: u32) -> Vec<u8> {
    frame(&format!(
        "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,tcp,nw_src=10.0.0.{src},nw_dst=10.9.9.9,\
         nw_ttl=64,tp_src={port},tp_dst=80"
    ))
}

#[test]
fn multipath_spreads_and_looks_at_what_it_hashes() {
    for (fields, ports_matter) in [
        ("symmetric_l3l4", true),
        ("nw_src", false),
        ("symmetric_l3", false),
        ("symmetric_l4", true),
    ] {
        let mut lab = Lab::secure(4);
        let actions =
            format!("multipath({fields},7,hrw,3,0,NXM_NX_REG0[0..15]),output:NXM_NX_REG0[]");
        text_rule(&mut lab, 1, "tcp", &actions);
        // Links are numbered from 0, ports from 1.
        let more = format!("multipath({fields},7,modulo_n,3,0,NXM_NX_REG0[0..15]),resubmit(,1)");
        text_rule(&mut lab, 2, "tcp", &more);
        for link in 0..3 {
            let match_ = format!("reg0={link}");
            let out = parse_instructions(&format!("output:{}", link + 2), &NoNames).unwrap();
            lab.rule_in(1, 1, &match_, out);
        }
        let mut by_port = BTreeSet::new();
        let mut by_host = BTreeSet::new();
        for n in 1..40 {
            let ports = lab.ports(1, &tcp(1, 1000 + n));
            assert_eq!(lab.ports(1, &tcp(1, 1000 + n)), ports, "the same again");
            by_port.extend(ports);
            by_host.extend(lab.ports(1, &tcp(n, 1000)));
        }
        assert_eq!(by_host, BTreeSet::from([2, 3, 4]), "{fields}");
        assert_eq!(by_port.len() > 1, ports_matter, "{fields}");
        let has_ports = lab.megaflows().iter().any(|text| text.contains("tp_src="));
        assert_eq!(has_ports, ports_matter, "{fields}");
    }
}

#[test]
fn a_bundle_takes_the_first_port_that_is_up() {
    let mut lab = Lab::secure(3);
    text_rule(&mut lab, 1, "in_port=1", "bundle(eth_src,0,active_backup,ofport,members:2,3)");
    let down = Link { up: false, ..Link::UP };
    assert_eq!(lab.ports(1, &ether(1, 9)), [2]);
    lab.bridge.port_changed(OfPort(2), down);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 9)), [3]);
    lab.bridge.port_changed(OfPort(3), down);
    lab.settle();
    assert!(lab.ports(1, &ether(1, 9)).is_empty());
    lab.bridge.port_changed(OfPort(2), Link::UP);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 9)), [2]);
    let masks = lab.megaflows();
    assert!(masks.iter().all(|text| !text.contains("dl_src")), "nothing is hashed: {masks:?}");
}

#[test]
fn a_bundle_spreads_over_what_is_up() {
    let mut lab = Lab::secure(4);
    text_rule(
        &mut lab,
        1,
        "in_port=1",
        "bundle_load(eth_src,0,hrw,ofport,NXM_NX_REG1[],members:2,3,4),output:NXM_NX_REG1[]",
    );
    let spread = |lab: &mut Lab| -> Vec<u32> {
        (1..60).flat_map(|station| lab.ports(1, &ether(station, 99))).collect()
    };
    let all = spread(&mut lab);
    assert_eq!(all.len(), 59);
    assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([2, 3, 4]));
    lab.bridge.port_changed(OfPort(3), Link { up: false, ..Link::UP });
    lab.settle();
    let rest = spread(&mut lab);
    for (before, after) in all.iter().zip(&rest) {
        assert!(*before == 3 || before == after, "only the flows of the lost port move");
        assert_ne!(*after, 3);
    }
}

#[test]
fn impossible_members_are_refused() {
    let mut lab = Lab::secure(2);
    let text = "bundle(eth_src,0,hrw,ofport,members:CONTROLLER)";
    let instructions = parse_instructions(text, &NoNames).unwrap();
    let flow_mod = openflow::FlowMod { instructions, ..add(1, "") };
    assert_eq!(lab.flow_mod(&flow_mod), Err(OfErrorKind::ActionBadOutPort));
}
