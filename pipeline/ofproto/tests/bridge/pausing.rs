//! Packets that wait for a controller, and actions on copies.

use crate::lab::*;
use flow::Field;
use flow::text::NoNames;
use ofproto::BridgeEvent;
use openflow::text::parse_instructions;
use openflow::{OfErrorKind, PacketIn};

fn text_rule(lab: &mut Lab, table: u8, priority: u16, match_: &str, actions: &str) {
    let does = parse_instructions(actions, &NoNames).unwrap();
    lab.rule_in(table, priority, match_, does);
}

fn packet_in(lab: &mut Lab) -> PacketIn {
    match &lab.events()[..] {
        [BridgeEvent::PacketIn(event)] => event.packet_in.clone(),
        events => panic!("not one packet-in: {events:?}"),
    }
}

fn resume(lab: &mut Lab, packet: &PacketIn) -> Vec<u32> {
    lab.bridge.resume(packet, &mut lab.dpif, lab.now).unwrap();
    lab.pump();
    lab.sent().into_iter().map(|(port, _)| port).collect()
}

#[test]
fn a_paused_packet_goes_on_where_it_stopped() {
    let mut lab = Lab::secure(3);
    text_rule(
        &mut lab,
        0,
        1,
        "",
        "set_field:5->reg0,controller(pause,userdata=01.02),2,resubmit(,1)",
    );
    text_rule(&mut lab, 1, 1, "reg0=5", "3");
    // The second comes by the cached flow.
    for station in [7, 8] {
        assert!(lab.ports(1, &ether(station, 9)).is_empty());
        let packet = packet_in(&mut lab);
        assert_eq!(packet.userdata, [1, 2]);
        assert!(!packet.continuation.is_empty());
        assert_eq!(packet.metadata.get(Field::Reg0).0, 5);
        assert_eq!(resume(&mut lab, &packet), [2, 3]);
        assert_eq!(resume(&mut lab, &packet), [2, 3], "and once more");
    }
    assert_eq!(lab.bridge.stats().upcalls, 1);
}

#[test]
fn the_controller_may_change_the_packet() {
    let mut lab = Lab::secure(3);
    text_rule(&mut lab, 0, 1, "", "controller(pause),resubmit(,1)");
    text_rule(&mut lab, 1, 1, "", "2");
    text_rule(&mut lab, 1, 2, "reg0=7,dl_dst=02:00:00:00:00:09", "3");
    assert!(lab.ports(1, &ether(1, 2)).is_empty());
    let mut packet = packet_in(&mut lab);
    assert_eq!(resume(&mut lab, &packet), [2]);
    packet.metadata.set_exact(Field::Reg0, 7);
    assert_eq!(resume(&mut lab, &packet), [2]);
    packet.data = ether(1, 9);
    assert_eq!(resume(&mut lab, &packet), [3]);
    // The tables are those of the moment.
    lab.flow_mod(&change(openflow::FlowModCommand::Delete, "reg0=7")).unwrap();
    assert_eq!(resume(&mut lab, &packet), [2]);
}

#[test]
fn what_does_not_wait_cannot_go_on() {
    let mut lab = Lab::secure(2);
    text_rule(&mut lab, 0, 1, "", "controller(pause),2");
    lab.ports(1, &ether(1, 2));
    let good = packet_in(&mut lab);
    let mut cut = good.continuation.clone();
    cut.pop();
    let mut other = good.continuation.clone();
    *other.last_mut().unwrap() ^= 1;
    for continuation in [vec![], vec![0; 16], cut, other] {
        let packet = PacketIn { continuation, ..good.clone() };
        let result = lab.bridge.resume(&packet, &mut lab.dpif, lab.now);
        assert_eq!(result, Err(OfErrorKind::NxResumeStale));
    }
    let empty = PacketIn { data: Vec::new(), ..good };
    lab.bridge.resume(&empty, &mut lab.dpif, lab.now).unwrap();
}

#[test]
fn a_pause_may_follow_a_pause() {
    let mut lab = Lab::secure(2);
    text_rule(&mut lab, 0, 2, "", &format!("{}2", "controller(pause),".repeat(40)));
    lab.ports(1, &ether(1, 2));
    for _ in 0..39 {
        let packet = packet_in(&mut lab);
        assert!(resume(&mut lab, &packet).is_empty());
    }
    let packet = packet_in(&mut lab);
    assert_eq!(resume(&mut lab, &packet), [2]);
}

#[test]
fn a_clone_leaves_nothing_behind() {
    for (actions, ports, dst) in [
        ("clone(mod_dl_dst:02:00:00:00:00:77,2),3", &[2, 3][..], [0x77, 2]),
        ("clone(exit),3", &[3], [2, 0]),
        ("clone(set_field:1->reg0,2,exit,3),3", &[2, 3], [2, 2]),
        ("clone(clone(mod_dl_dst:02:00:00:00:00:77,2),3),3", &[2, 3, 3], [0x77, 2]),
        (
            "push:NXM_OF_ETH_SRC[],clone(pop:NXM_OF_ETH_DST[],2),pop:NXM_OF_ETH_DST[],3",
            &[2, 3],
            [1, 1],
        ),
        ("set_field:9->reg0,clone(set_field:3->reg0),output:NXM_NX_REG0[],3", &[3], [2, 0]),
        ("clone(push_vlan:0x8100,set_field:4100->vlan_vid,2),3", &[2, 3], [2, 2]),
    ] {
        let mut lab = Lab::secure(3);
        text_rule(&mut lab, 0, 1, "", actions);
        for _ in 0..2 {
            let sent = lab.send(1, &ether(1, 2));
            let to: Vec<u32> = sent.iter().map(|(port, _)| *port).collect();
            assert_eq!(to, ports, "{actions}");
            for ((_, frame), last) in sent.iter().zip(dst) {
                assert_eq!(frame[5], last, "{actions}");
            }
            if let Some((_, last)) = sent.last().filter(|_| actions.contains("push_vlan")) {
                assert_eq!(last, &ether(1, 2), "{actions}");
            }
        }
    }
}
