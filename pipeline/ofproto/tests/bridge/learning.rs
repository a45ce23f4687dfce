//! The actions `learn` and `fin_timeout`.

use crate::lab::*;
use flow::text::NoNames;
use ofproto::BridgeEvent;
use openflow::text::parse_instructions;
use openflow::{FlowMod, FlowModCommand, OfErrorKind};
use sync::time::Nanos;

fn text_rule(lab: &mut Lab, table: u8, priority: u16, match_: &str, actions: &str) {
    let does = parse_instructions(actions, &NoNames).unwrap();
    lab.rule_in(table, priority, match_, does);
}

/// Rules of a table, without counters.
fn table(lab: &mut Lab, table_id: u8) -> Vec<String> {
    let now = lab.now;
    let rules = lab.rules().into_iter().filter(|rule| rule.table_id == table_id);
    let text = rules.map(|rule| {
        let stats = rule.flow_stats(now);
        let text =
            openflow::text::FlowStatsText { stats: &stats, ports: &NoNames, show_stats: false };
        text.to_string()
    });
    text.collect()
}

/// The MAC learning of ovs-actions(7).
fn mac_learning(lab: &mut Lab, more: &str) {
    let learn = format!(
        "learn(table=1,{more}NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],\
         output:NXM_OF_IN_PORT[]),resubmit(,1)"
    );
    text_rule(lab, 0, 1, "", &learn);
    text_rule(lab, 1, 0, "", "flood");
}

#[test]
fn a_bridge_can_be_built_of_learn() {
    let mut lab = Lab::secure(3);
    mac_learning(&mut lab, "hard_timeout=10,");
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3]);
    let learned = "table=1, hard_timeout=10, priority=32768,vlan_tci=0x0000/0x0fff,\
                   dl_dst=02:00:00:00:00:01 actions=output:1";
    let learned = learned.replace("priority=32768,", "");
    assert_eq!(table(&mut lab, 1), [learned.as_str(), "table=1, priority=0 actions=FLOOD"]);
    assert_eq!(lab.ports(2, &ether(2, 1)), [1]);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    // A station that moves is learned anew.
    assert_eq!(lab.ports(3, &ether(1, 2)), [2]);
    lab.settle();
    assert_eq!(lab.ports(2, &ether(2, 1)), [3]);
}

#[test]
fn cached_traffic_keeps_what_it_taught() {
    let mut lab = Lab::secure(3);
    mac_learning(&mut lab, "hard_timeout=3,");
    lab.ports(1, &ether(1, 2));
    for _ in 0..20 {
        lab.advance(Nanos::from_millis(500));
        lab.ports(1, &ether(1, 2));
    }
    assert_eq!(table(&mut lab, 1).len(), 2, "10 s after a timeout of 3 s it is there");
    lab.advance(Nanos::from_secs(5));
    assert_eq!(table(&mut lab, 1).len(), 1, "and without traffic it is not");
    // What comes again is learned again, by the megaflow that is still there or a new one.
    lab.ports(1, &ether(1, 2));
    lab.advance(Nanos::from_millis(700));
    assert_eq!(table(&mut lab, 1).len(), 2);
}

#[test]
fn what_is_gone_teaches_nothing() {
    let mut lab = Lab::secure(3);
    mac_learning(&mut lab, "");
    lab.ports(1, &ether(1, 2));
    lab.settle();
    lab.ports(1, &ether(1, 2));
    // The packets of the megaflow are credited after the rules are gone.
    lab.flow_mod(&change(FlowModCommand::Delete, "")).unwrap();
    lab.advance(Nanos::from_secs(2));
    assert_eq!(lab.rules().len(), 0);
}

#[test]
fn a_limit_holds() {
    let mut lab = Lab::secure(3);
    text_rule(
        &mut lab,
        0,
        1,
        "",
        "learn(table=1,cookie=0x7,limit=2,result_dst=NXM_NX_REG0[0],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[]),\
         resubmit(,2)",
    );
    text_rule(&mut lab, 2, 1, "reg0=1", "2");
    text_rule(&mut lab, 2, 1, "reg0=0", "3");
    for (station, port) in [(1, 2), (2, 2), (1, 2), (3, 3), (4, 3), (2, 2), (3, 3)] {
        assert_eq!(lab.ports(1, &ether(station, 9)), [port], "station {station}");
        lab.advance(Nanos::from_millis(600));
    }
    assert_eq!(table(&mut lab, 1).len(), 2);
    // Room makes room, for cached flows as well.
    let one = FlowMod { table_id: 1, ..change(FlowModCommand::Delete, "dl_dst=02:00:00:00:00:01") };
    lab.flow_mod(&one).unwrap();
    lab.settle();
    assert_eq!(lab.ports(1, &ether(3, 9)), [2]);
    lab.advance(Nanos::from_millis(600));
    assert_eq!(table(&mut lab, 1).len(), 2);
}

#[test]
fn learned_rules_go_with_their_teacher() {
    let mut lab = Lab::secure(2);
    let learn = |cookie: u32| {
        format!("learn(table=1,cookie={cookie},delete_learned,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])")
    };
    text_rule(&mut lab, 0, 1, "in_port=1", &learn(5));
    text_rule(&mut lab, 0, 1, "in_port=2", &learn(5));
    text_rule(&mut lab, 0, 1, "in_port=3", &learn(6));
    lab.ports(1, &ether(1, 9));
    lab.ports(2, &ether(2, 9));
    assert_eq!(table(&mut lab, 1).len(), 2);
    lab.flow_mod(&change(FlowModCommand::Delete, "in_port=1")).unwrap();
    assert_eq!(table(&mut lab, 1).len(), 2, "another teaches with this cookie");
    text_rule(&mut lab, 0, 1, "in_port=2", &learn(6));
    assert_eq!(table(&mut lab, 1).len(), 0);
    lab.advance(Nanos::from_secs(2));
    assert_eq!(table(&mut lab, 1).len(), 0);
}

#[test]
fn specs_make_matches_and_actions() {
    let mut lab = Lab::secure(3);
    text_rule(
        &mut lab,
        0,
        1,
        "tcp",
        "learn(table=1,idle_timeout=60,priority=9,fin_idle_timeout=5,send_flow_rem,eth_type=0x800,nw_proto=6,\
         NXM_OF_IP_SRC[]=NXM_OF_IP_DST[],NXM_OF_TCP_SRC[]=NXM_OF_TCP_DST[],load:0x2a->NXM_NX_REG1[],\
         load:NXM_OF_IP_SRC[0..15]->NXM_NX_REG2[16..31],output:NXM_OF_IN_PORT[])",
    );
    let packet = frame(
        "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,tcp,nw_src=10.0.1.2,nw_dst=10.0.0.9,\
         nw_ttl=64,tp_src=1000,tp_dst=80",
    );
    lab.ports(2, &packet);
    assert_eq!(
        table(&mut lab, 1),
        ["table=1, idle_timeout=60, send_flow_rem priority=9,tcp,nw_src=10.0.0.9,tp_src=80 \
          actions=fin_timeout(idle_timeout=5),set_field:0x2a->reg1,\
          set_field:0x1020000/0xffff0000->reg2,output:2"]
    );
    let masks = lab.megaflows();
    assert!(masks[0].contains("nw_src=0.0.1.2/0.0.255.255"), "{masks:?}");
}

#[test]
fn the_end_of_a_connection_shortens_timeouts() {
    let mut lab = Lab::secure(2);
    let actions = parse_instructions("fin_timeout(idle_timeout=2),2", &NoNames).unwrap();
    let flow_mod = FlowMod {
        idle_timeout: 20,
        instructions: actions.clone(),
        flags: openflow::FlowModFlags::SEND_FLOW_REM,
        ..add(1, "tcp")
    };
    lab.flow_mod(&flow_mod).unwrap();
    let no_tcp = FlowMod { instructions: actions, ..add(1, "udp") };
    assert_eq!(lab.flow_mod(&no_tcp), Err(OfErrorKind::ActionMatchInconsistent));
    let tcp = |flags: &str| {
        frame(&format!(
            "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,tcp,nw_src=10.0.1.2,nw_dst=10.0.0.9,\
             nw_ttl=64,tp_src=1000,tp_dst=80,tcp_flags={flags}"
        ))
    };
    for _ in 0..3 {
        assert_eq!(lab.ports(1, &tcp("ack")), [2]);
        lab.advance(Nanos::from_secs(5));
    }
    assert_eq!(lab.rules()[0].idle_timeout(), 20);
    assert_eq!(lab.ports(1, &tcp("fin|ack")), [2]);
    assert_eq!(lab.rules()[0].idle_timeout(), 2);
    lab.advance(Nanos::from_secs(4));
    assert_eq!(lab.rules().len(), 0);
    assert!(matches!(lab.events()[..], [BridgeEvent::FlowRemoved(_)]));
}
