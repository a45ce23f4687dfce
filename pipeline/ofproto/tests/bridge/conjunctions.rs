//! Conjunctive matches in the whole: translation, megaflows, revalidation.

use crate::lab::*;
use openflow::{Action, FlowModCommand};

fn part(id: u32, clause: u8, n_clauses: u8) -> Action {
    Action::Conjunction { id, clause, n_clauses }
}

/// (10.0.0.1 or 10.0.0.2) and (port 80 or port 443) go to 2, all else to 3.
fn web(lab: &mut Lab) {
    lab.rule(10, "ip,nw_src=10.0.0.1", vec![part(7, 0, 2)]);
    lab.rule(10, "ip,nw_src=10.0.0.2", vec![part(7, 0, 2)]);
    lab.rule(10, "tcp,tp_dst=80", vec![part(7, 1, 2)]);
    lab.rule(10, "tcp,tp_dst=443", vec![part(7, 1, 2)]);
    lab.rule(10, "ip,conj_id=7", vec![output(2)]);
    lab.rule(1, "", vec![output(3)]);
    lab.settle();
}

fn tcp(src: &str, port: u16) -> Vec<u8> {
    frame(&format!(
        "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,tcp,nw_src={src},nw_dst=10.9.9.9,nw_ttl=64,\
         tp_src=1000,tp_dst={port}"
    ))
}

#[test]
fn all_clauses_must_match() {
    let mut lab = Lab::secure(3);
    web(&mut lab);
    for (src, port, out) in [
        ("10.0.0.1", 80, 2),
        ("10.0.0.1", 443, 2),
        ("10.0.0.2", 80, 2),
        ("10.0.0.1", 81, 3),
        ("10.0.0.3", 80, 3),
    ] {
        assert_eq!(lab.ports(1, &tcp(src, port)), [out], "{src} {port}");
        assert_eq!(lab.ports(1, &tcp(src, port)), [out], "{src} {port} cached");
    }
}

#[test]
fn megaflows_follow_each_part() {
    let mut lab = Lab::secure(3);
    web(&mut lab);
    assert_eq!(lab.ports(1, &tcp("10.0.0.1", 80)), [2]);
    // A part that goes changes what ends at another rule.
    lab.flow_mod(&change(FlowModCommand::Delete, "tcp,tp_dst=80")).unwrap();
    lab.settle();
    assert_eq!(lab.ports(1, &tcp("10.0.0.1", 80)), [3]);
    lab.rule(10, "tcp,tp_dst=80", vec![part(7, 1, 2)]);
    lab.settle();
    assert_eq!(lab.ports(1, &tcp("10.0.0.1", 80)), [2]);
    // A hard match above the parts wins, although it is below the rule that the parts lead to.
    lab.rule(100, "ip,conj_id=7", vec![output(2)]);
    lab.settle();
    assert_eq!(lab.ports(1, &tcp("10.0.0.1", 80)), [2]);
    lab.rule(50, "ip,nw_src=10.0.0.1", vec![output(1), output(3)]);
    lab.settle();
    assert_eq!(lab.ports(1, &tcp("10.0.0.1", 80)), [3], "to its own port nothing goes");
    assert_eq!(lab.ports(1, &tcp("10.0.0.2", 80)), [2]);
}

#[test]
fn conjunctions_stand_alone_in_a_rule() {
    let mut lab = Lab::secure(2);
    let texts = [
        ("conjunction(1,1/2)", true),
        ("conjunction(1,1/2),conjunction(2,2/2)", true),
        ("conjunction(1,1/2),note:11.22.33.44.55.66", true),
    ];
    for (text, is_fine) in texts {
        let actions = openflow::text::parse_actions(text, &flow::text::NoNames).unwrap();
        let flow_mod = openflow::FlowMod {
            instructions: openflow::Instructions::apply(actions),
            ..add(1, "")
        };
        assert_eq!(lab.flow_mod(&flow_mod).is_ok(), is_fine, "{text}");
    }
    assert!(
        openflow::text::parse_actions("conjunction(1,1/2),output:1", &flow::text::NoNames).is_err()
    );
}
