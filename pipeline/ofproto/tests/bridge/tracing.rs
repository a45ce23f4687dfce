//! `trace` in Open vSwitch's words.

use crate::lab::{Lab, add, ether, flow, normal, output};
use openflow::{Action, FlowMod, Instructions, OfPort};

#[test]
fn a_rule_with_an_output() {
    let mut lab = Lab::secure(3);
    let instructions = Instructions::apply(vec![output(3)]);
    lab.flow_mod(&FlowMod {
        new_cookie: Some(0x5),
        instructions,
        ..add(10, "ip,nw_src=192.168.1.0/24")
    })
    .unwrap();
    let text = lab
        .bridge
        .trace(&flow("in_port=1,udp,nw_src=192.168.1.1,nw_dst=10.0.0.1,tp_src=1,tp_dst=2"));
    let expected = "\
Flow: udp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,nw_src=192.168.1.1,nw_dst=10.0.0.1,nw_tos=0,nw_ecn=0,nw_ttl=0,nw_frag=no,tp_src=1,tp_dst=2

bridge(\"br0\")
-------------
 0. ip,nw_src=192.168.1.0/24, priority 10, cookie 0x5
    output:3

Final flow: unchanged
Megaflow: recirc_id=0,eth,ip,in_port=1,nw_src=192.168.1.0/24,nw_frag=no
Datapath actions: 103
";
    assert_eq!(text, expected);
}

#[test]
fn normal_says_why() {
    let mut lab = Lab::standalone(3);
    let text = lab
        .bridge
        .trace(&flow("in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_type=0x1234"));
    assert!(text.contains(" 0. priority 0\n    NORMAL\n     -> no learned MAC for destination, flooding\n\nFinal flow: unchanged\n"), "{text}");
    assert!(text.ends_with("Datapath actions: 102,103\n"), "{text}");
    assert!(lab.bridge.state().macs.is_empty(), "a trace has no side effects");
    lab.send(2, &ether(2, 1));
    let text = lab
        .bridge
        .trace(&flow("in_port=1,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,dl_type=0x1234"));
    assert!(text.contains(" -> forwarding to learned port\n"), "{text}");
}

#[test]
fn nested_lookups_are_indented_and_the_last_is_not() {
    let mut lab = Lab::secure(3);
    let resubmit = |table| Action::Resubmit { port: OfPort::IN_PORT, table };
    lab.rule(1, "", vec![resubmit(1), output(2), resubmit(2)]);
    lab.rule_in(1, 7, "in_port=1", Instructions::apply(vec![normal()]));
    let text = lab.bridge.trace(&flow("in_port=1,dl_type=0x1234"));
    let expected = "
bridge(\"br0\")
-------------
 0. priority 1
    resubmit(,1)
     1. in_port=1, priority 7
            NORMAL
             -> learned port is input port, dropping
    output:2
    resubmit(,2)
 2. No match.
    drop

Final flow: unchanged
";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn action_sets_errors_and_recirculations() {
    let mut lab = Lab::secure(3);
    let write =
        Instructions { write: vec![output(2)], goto_table: Some(1), ..Instructions::default() };
    lab.rule_in(0, 1, "", write);
    lab.rule_in(
        1,
        1,
        "mpls",
        Instructions {
            apply: vec![Action::PopMpls(0x0800)],
            goto_table: Some(2),
            ..Instructions::default()
        },
    );
    let text = lab.bridge.trace(&flow("in_port=1,dl_type=0x1234"));
    assert!(
        text.contains(
            " 0. priority 1\n    write_actions(output:2)\n     -> action set is: output:2\n    goto_table:1\n     1. No match.\n            drop\n--. Executing action set:\n    output:2\n"
        ),
        "{text}"
    );
    let text = lab.bridge.trace(&flow("in_port=1,mpls,mpls_label=5,mpls_bos=1,mpls_ttl=3"));
    assert_eq!(text.matches("bridge(\"br0\")").count(), 2, "{text}");
    assert!(text.contains("recirc("), "{text}");
    lab.rule(9, "", vec![Action::Resubmit { port: OfPort::IN_PORT, table: 0 }]);
    let text = lab.bridge.trace(&flow("in_port=1,dl_type=0x1234"));
    assert!(text.contains(">>>> Recursion too deep <<<<\n"), "{text}");
    assert!(
        text.ends_with("Translation failed (Recursion too deep), packet is dropped.\n"),
        "{text}"
    );
}
