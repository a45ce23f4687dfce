//! The learning bridge, fact by fact (ovs-facts B1 to B6, F2).

use crate::lab::{Lab, ether, frame, normal, output};
use datapath::DropReason;
use ofproto::{BridgeConfig, FailMode};
use openflow::OfPort;
use sync::time::Nanos;

#[test]
fn b1_a_frame_never_returns_to_its_port() {
    let mut lab = Lab::standalone(1);
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
    let mut lab = Lab::standalone(3);
    for port in 1..=3 {
        assert!(!lab.ports(port, &ether(9, 8)).contains(&port));
    }
}

#[test]
fn b2_sources_are_learned_per_vlan() {
    let mut lab = Lab::standalone(3);
    lab.send(1, &ether(1, 2));
    let tagged = "dl_vlan=7,dl_type=0x1234,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02";
    lab.send(2, &frame(tagged));
    let expected = " port  VLAN  MAC                Age
    1     0  02:00:00:00:00:01    0
    2     7  02:00:00:00:00:01    0
";
    assert_eq!(lab.bridge.fdb_show(lab.now), expected);
    assert_eq!(lab.ports(3, &ether(2, 1)), [1]);
    let back = "dl_vlan=7,dl_type=0x1234,dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01";
    assert_eq!(lab.ports(3, &frame(back)), [2]);
}

#[test]
fn b3_broadcast_and_multicast_go_to_all_others() {
    let mut lab = Lab::standalone(4);
    for dst in ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
        let text = format!("dl_src=02:00:00:00:00:01,dl_dst={dst},dl_type=0x1234");
        assert_eq!(lab.ports(2, &frame(&text)), [1, 3, 4], "{dst}");
    }
}

#[test]
fn b4_unknown_destinations_are_flooded() {
    let mut lab = Lab::standalone(4);
    assert_eq!(lab.ports(3, &ether(1, 2)), [1, 2, 4]);
}

#[test]
fn b5_known_destinations_get_it_alone_and_never_on_the_same_port() {
    let mut lab = Lab::standalone(4);
    lab.send(1, &ether(1, 9));
    assert_eq!(lab.ports(2, &ether(2, 1)), [1]);
    lab.send(1, &ether(3, 9));
    assert_eq!(lab.ports(1, &ether(3, 1)), []);
    assert_eq!(lab.drops(DropReason::MacOnInPort), 1);
}

#[test]
fn b6_any_unicast_destination_is_taken() {
    let mut lab = Lab::standalone(2);
    assert_eq!(lab.ports(1, &ether(0x77, 0x88)), [2]);
}

#[test]
fn a_flood_becomes_unicast_once_the_other_end_speaks() {
    let mut lab = Lab::standalone(3);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2, 3]);
    assert_eq!(lab.ports(2, &ether(2, 1)), [1]);
    lab.settle();
    // Cached, and revalidated without a miss.
    let misses = lab.bridge.stats().upcalls;
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    assert_eq!(lab.bridge.stats().upcalls, misses);
}

#[test]
fn a_station_that_moves_is_followed() {
    let mut lab = Lab::standalone(3);
    lab.send(1, &ether(1, 9));
    lab.send(3, &ether(3, 1));
    assert_eq!(lab.ports(3, &ether(3, 1)), [1]);
    lab.send(2, &ether(1, 9));
    lab.settle();
    assert_eq!(lab.ports(3, &ether(3, 1)), [2]);
}

#[test]
fn stations_age_unless_cached_traffic_refreshes_them() {
    let config = BridgeConfig { mac_max_age: Nanos::from_secs(15), ..BridgeConfig::default() };
    let mut lab = Lab::with(config, 3);
    lab.send(1, &ether(1, 9));
    lab.send(2, &ether(2, 9));
    for _ in 0..10 {
        lab.advance(Nanos::from_secs(2));
        lab.send(1, &ether(1, 9));
    }
    let macs = &lab.bridge.state().macs;
    assert_eq!(macs.len(), 1);
    assert_eq!(macs.stats().expired, 1);
    assert_eq!(macs.stats().learned, 2);
    lab.advance(Nanos::from_secs(16));
    assert!(lab.bridge.state().macs.is_empty());
    lab.settle();
    assert_eq!(lab.ports(3, &ether(3, 1)), [1, 2]);
}

#[test]
fn link_local_frames_stay_unless_told_otherwise() {
    let bpdu = "dl_src=02:00:00:00:00:01,dl_dst=01:80:c2:00:00:00,dl_type=0x1234";
    let mut lab = Lab::standalone(2);
    assert_eq!(lab.ports(1, &frame(bpdu)), []);
    assert_eq!(lab.drops(DropReason::ReservedMulticast), 1);
    let mut lab = Lab::with(BridgeConfig { forward_bpdu: true, ..BridgeConfig::default() }, 2);
    assert_eq!(lab.ports(1, &frame(bpdu)), [2]);
}

#[test]
fn the_table_is_bounded_and_flushed() {
    let config = BridgeConfig { mac_table_size: 10, ..BridgeConfig::default() };
    let mut lab = Lab::with(config, 2);
    for src in 1..100 {
        lab.send(1, &ether(src, 0xee));
    }
    assert_eq!(lab.bridge.state().macs.len(), 10);
    lab.bridge.fdb_flush();
    assert!(lab.bridge.state().macs.is_empty());
    lab.settle();
    assert_eq!(lab.ports(2, &ether(0xee, 99)), [1]);
}

#[test]
fn fail_modes() {
    // No controllers: the rule of a learning bridge is there to be seen, or there is none.
    let mut lab = Lab::standalone(2);
    assert_eq!(lab.rules().len(), 1);
    assert_eq!(lab.rules()[0].priority, 0);
    assert_eq!(lab.rules()[0].instructions.apply, [normal()]);
    let mut secure = Lab::secure(2);
    assert_eq!(secure.rules().len(), 0);
    assert_eq!(secure.ports(1, &ether(1, 2)), []);
    assert_eq!(secure.drops(DropReason::NoRule), 1);

    // Controllers, connected: nothing but what they install.
    lab.bridge.set_controllers(true, lab.now);
    lab.settle();
    assert_eq!(lab.rules().len(), 0);
    assert_eq!(lab.ports(1, &ether(1, 2)), []);

    // Unreachable for long: a learning bridge, by a rule that is not shown and cannot be deleted.
    lab.rule(100, "", vec![output(1)]);
    lab.bridge.set_controllers_connected(false, lab.now);
    lab.settle();
    assert!(lab.bridge.is_fail_open());
    assert_eq!(lab.rules().len(), 1);
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);
    let delete = crate::lab::change(openflow::FlowModCommand::Delete, "");
    lab.flow_mod(&delete).unwrap();
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);

    // Back again.
    lab.bridge.set_controllers_connected(true, lab.now);
    lab.settle();
    assert!(!lab.bridge.is_fail_open());
    assert_eq!(lab.ports(1, &ether(1, 2)), []);
    lab.bridge.set_controllers(false, lab.now);
    lab.settle();
    assert_eq!(lab.ports(1, &ether(1, 2)), [2]);

    // Secure stays closed.
    secure.bridge.set_controllers(true, secure.now);
    secure.bridge.set_controllers_connected(false, secure.now);
    assert!(!secure.bridge.is_fail_open());
    assert_eq!(secure.bridge.config().fail_mode, FailMode::Secure);
}

#[test]
fn normal_from_a_controller_learns_nothing() {
    let mut lab = Lab::standalone(2);
    let packet_out = openflow::PacketOut {
        buffer_id: None,
        in_port: OfPort::CONTROLLER,
        metadata: None,
        actions: vec![normal()],
        data: ether(5, 6),
    };
    let version = openflow::Version::V13;
    lab.bridge.packet_out(&packet_out, version, &mut lab.dpif, lab.now).unwrap();
    let sent: Vec<u32> = lab.sent().into_iter().map(|(port, _)| port).collect();
    assert_eq!(sent, [1, 2]);
    assert!(lab.bridge.state().macs.is_empty());
}
