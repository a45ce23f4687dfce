//! Ports: events, statistics, LOCAL (OpenFlow 1.3.5 §7.3.5.6, §7.4.3).

use crate::lab::{DP_OFFSET, Lab, ether, normal, output};
use datapath::PortNo;
use flow::EtherAddr;
use ofproto::{BridgeEvent, Link, PortSpec};
use openflow::{OfErrorKind, OfPort, PortReason, PortState};

fn reasons(lab: &mut Lab) -> Vec<(PortReason, OfPort)> {
    let events = lab.events().into_iter();
    events
        .map(|event| match event {
            BridgeEvent::PortStatus(status) => (status.reason, status.desc.port),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn changes_are_told() {
    let mut lab = Lab::standalone(2);
    lab.add_port(3);
    lab.bridge.port_changed(OfPort(3), Link::UP);
    lab.bridge.port_changed(OfPort(3), Link::DOWN);
    assert_eq!(
        lab.bridge.ports().find(|port| port.number() == OfPort(3)).unwrap().state(),
        PortState::LINK_DOWN
    );
    lab.bridge.remove_port(OfPort(3));
    lab.dpif.remove_port(PortNo(3 + DP_OFFSET));
    let port = OfPort(3);
    assert_eq!(
        reasons(&mut lab),
        [(PortReason::Add, port), (PortReason::Modify, port), (PortReason::Delete, port)]
    );
}

#[test]
fn what_was_learned_on_a_port_goes_with_its_link() {
    let mut lab = Lab::standalone(3);
    lab.send(1, &ether(1, 9));
    assert_eq!(lab.ports(2, &ether(2, 1)), [1]);
    lab.bridge.port_changed(OfPort(1), Link::DOWN);
    lab.settle();
    assert_eq!(lab.ports(2, &ether(2, 1)), [1, 3]);
}

#[test]
fn statistics_are_those_of_the_datapath() {
    let mut lab = Lab::standalone(3);
    for _ in 0..4 {
        lab.send(1, &ether(1, 2));
    }
    lab.advance(sync::time::Nanos::from_secs(3));
    let stats = lab.bridge.port_stats(OfPort::ANY, &lab.dpif, lab.now).unwrap();
    let numbers: Vec<_> =
        stats.iter().map(|port| (port.port.0, port.rx_packets, port.tx_packets)).collect();
    assert_eq!(numbers, [(1, 4, 0), (2, 0, 4), (3, 0, 4)]);
    let one = lab.bridge.port_stats(OfPort(1), &lab.dpif, lab.now).unwrap();
    assert_eq!((one[0].rx_bytes, one[0].duration_sec), (4 * ether(1, 2).len() as u64, 3));
    let none = lab.bridge.port_stats(OfPort(9), &lab.dpif, lab.now);
    assert_eq!(none, Err(OfErrorKind::RequestBadPort));
}

#[test]
fn local_is_a_port_like_others_where_something_listens() {
    let mut lab = Lab::standalone(2);
    let local = |dp| PortSpec {
        dp,
        of: OfPort::LOCAL,
        name: "br0".into(),
        hw_addr: EtherAddr([2, 0, 0, 0, 0, 0xee]),
        mtu: 1500,
        link: Link::DOWN,
    };
    lab.bridge.add_port(local(None), lab.now).unwrap();
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    lab.bridge.remove_port(OfPort::LOCAL);
    let dp = PortNo(50 + DP_OFFSET);
    lab.dpif.add_port(dp);
    lab.bridge.add_port(local(Some(dp)), lab.now).unwrap();
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 50]);
    // It learns as any port does.
    lab.send(50, &ether(7, 1));
    lab.settle();
    assert_eq!(lab.ports(2, &ether(2, 7)), [50]);
    assert!(lab.bridge.fdb_show(lab.now).contains("LOCAL     0  02:00:00:00:00:07    0\n"));
    lab.rule(5, "", vec![openflow::Action::output(OfPort::LOCAL), normal(), output(1)]);
    lab.settle();
    assert_eq!(lab.ports(2, &ether(2, 7)), [50, 50, 1]);
}

#[test]
fn frames_of_a_port_that_the_bridge_does_not_know_are_dropped() {
    let mut lab = Lab::standalone(2);
    let stray = PortNo(77 + DP_OFFSET);
    lab.dpif.add_port(stray);
    assert_eq!(lab.ports(77, &ether(1, 2)), []);
    // And cached as such; when the port comes, it is forwarded.
    lab.bridge
        .add_port(
            PortSpec {
                dp: Some(stray),
                of: OfPort(7),
                name: "late".into(),
                hw_addr: EtherAddr::ZERO,
                mtu: 1500,
                link: Link::UP,
            },
            lab.now,
        )
        .unwrap();
    lab.settle();
    assert_eq!(lab.ports(77, &ether(1, 2)), [1, 2]);
}
