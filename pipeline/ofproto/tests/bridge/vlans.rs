//! VLAN modes of ports and mirrors: what Open vSwitch does, and that caches know what it depends on.

use crate::lab::{Lab, ether, output};
use datapath::DropReason;
use ofproto::mac_learning::Station;
use ofproto::mirror::{MirrorConfig, MirrorOutput, Selected};
use ofproto::vlan::{PortVlan, PriorityTags, VlanMode};
use openflow::OfPort;
use sync::time::Nanos;

/// A tag: type, VLAN, priority.
type Tag = (u16, u16, u16);

fn set(vlans: &[u16]) -> Option<ofproto::vlan::VlanSet> {
    Some(vlans.iter().copied().collect())
}

fn port(mode: VlanMode, tag: u16) -> PortVlan {
    PortVlan { mode, tag, ..PortVlan::default() }
}

/// The ports of `vlans.txt`.
fn ports() -> Vec<PortVlan> {
    use VlanMode::{Access, Dot1qTunnel, NativeTagged, NativeUntagged, Trunk};
    vec![
        PortVlan::default(),
        PortVlan { trunks: set(&[10, 12]), ..port(Trunk, 0) },
        port(Access, 10),
        port(Access, 12),
        port(NativeTagged, 10),
        PortVlan { trunks: set(&[10, 12]), ..port(NativeTagged, 10) },
        port(NativeUntagged, 12),
        PortVlan { trunks: set(&[0, 10]), ..port(NativeUntagged, 12) },
        port(Dot1qTunnel, 10),
        PortVlan { cvlans: set(&[12, 20]), qinq_ethtype: 0x8100, ..port(Dot1qTunnel, 10) },
        PortVlan { priority_tags: PriorityTags::IfNonzero, ..port(Access, 10) },
        PortVlan { priority_tags: PriorityTags::Always, ..port(Access, 10) },
        PortVlan { trunks: set(&[0, 10]), ..port(Trunk, 10) },
        port(Access, 0),
    ]
}

fn parse(text: &str) -> Vec<Tag> {
    let tag = |text: &str| {
        let [tpid, vid, pcp] = text.split('.').collect::<Vec<_>>()[..] else { panic!("{text}") };
        (u16::from_str_radix(tpid, 16).unwrap(), vid.parse().unwrap(), pcp.parse().unwrap())
    };
    text.split('+').filter(|text| *text != "-").map(tag).collect()
}

fn frame(tags: &[Tag]) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend([0x50, 0x54, 0, 0, 0, 5]);
    for (tpid, vid, pcp) in tags {
        bytes.extend(tpid.to_be_bytes());
        bytes.extend((pcp << 13 | vid).to_be_bytes());
    }
    bytes.extend([0x12, 0x34]);
    bytes.resize(80, 0);
    bytes
}

fn tags(frame: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    let half = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    while matches!(half(12 + 4 * tags.len()), 0x8100 | 0x88a8) {
        let at = 12 + 4 * tags.len();
        tags.push((half(at), half(at + 2) & 0xfff, half(at + 2) >> 13));
    }
    tags
}

fn lab() -> Lab {
    let ports = ports();
    let mut lab = Lab::standalone(u32::try_from(ports.len()).unwrap());
    for (number, vlan) in (1..).zip(ports) {
        lab.bridge.set_port_vlan(OfPort(number), vlan);
    }
    lab
}

/// What leaves, by port.
fn sent(lab: &mut Lab, port: u32, frame: &[u8]) -> Vec<(u32, Vec<Tag>)> {
    let mut sent: Vec<_> =
        lab.send(port, frame).into_iter().map(|(port, frame)| (port, tags(&frame))).collect();
    sent.sort();
    sent
}

/// Two cases are ours: an empty tag leaves alone, without the one behind it; and a frame of two tags is
/// refused by a tunnel port instead of losing the inner one.
fn is_ours(port: u32, tags: &[Tag]) -> bool {
    let is_empty_outside = matches!(tags, [(_, 0, 0), _]);
    tags.len() == 2 && (matches!(port, 9 | 10) || is_empty_outside)
}

#[test]
fn ports_carry_vlans_as_in_open_vswitch() {
    let lines = include_str!("vlans.txt").lines().filter(|line| !line.starts_with('#'));
    // All frames through one switch: what is cached for one must not be used for another.
    let mut lab = lab();
    let mut n = 0;
    for _ in 0..2 {
        for line in lines.clone() {
            let (from, to) = line.split_once(" -> ").unwrap();
            let (port, text) = from.split_once(' ').unwrap();
            let (port, came) = (port.parse().unwrap(), parse(text));
            let to: Vec<(u32, Vec<Tag>)> = to
                .split(' ')
                .filter(|to| *to != "drop")
                .map(|to| to.split_once(':').unwrap())
                .map(|(port, tags)| (port.parse().unwrap(), parse(tags)))
                .collect();
            let sent = sent(&mut lab, port, &frame(&came));
            if !is_ours(port, &came) {
                assert_eq!(sent, to, "{line}");
                n += 1;
            }
        }
    }
    assert!(n > 240, "{n}");
    assert!(lab.drops(DropReason::VlanNotAllowed) > 0);
    lab.settle();
}

#[test]
fn a_tunnel_refuses_a_frame_that_has_two_tags() {
    let mut lab = lab();
    let came = [(0x8100, 12, 0), (0x8100, 10, 0)];
    assert_eq!(sent(&mut lab, 9, &frame(&came)), []);
    assert_eq!(lab.drops(DropReason::VlanNotAllowed), 1);
    // An empty tag goes alone.
    let came = [(0x8100, 0, 0), (0x8100, 12, 0)];
    assert_eq!(sent(&mut lab, 1, &frame(&came)), [(13, vec![(0x8100, 12, 0)])]);
}

#[test]
fn stations_are_learned_in_the_vlan_of_the_port_and_forgotten_with_it() {
    let mut lab = lab();
    lab.send(3, &frame(&[]));
    let expected = " port  VLAN  MAC                Age\n    3    10  50:54:00:00:00:05    0\n";
    assert_eq!(lab.bridge.fdb_show(lab.now), expected);
    lab.bridge.set_port_vlan(OfPort(3), port(VlanMode::Access, 12));
    assert!(!lab.bridge.fdb_show(lab.now).contains("50:54"));
    lab.bridge.set_flood_vlans(set(&[12]));
    lab.send(3, &frame(&[]));
    assert!(!lab.bridge.fdb_show(lab.now).contains("50:54"), "nothing is learned in such a VLAN");
}

#[test]
fn protected_ports_do_not_reach_each_other() {
    let mut lab = Lab::standalone(3);
    for number in [1, 2] {
        let vlan = PortVlan { is_protected: true, ..PortVlan::default() };
        lab.bridge.set_port_vlan(OfPort(number), vlan);
    }
    assert_eq!(lab.ports(1, &frame(&[])), [3]);
    assert_eq!(lab.ports(3, &frame(&[])), [1, 2]);
}

fn mirror(name: &str, output: MirrorOutput) -> MirrorConfig {
    let none = || Selected::Ports(Vec::new());
    MirrorConfig {
        name: name.into(),
        sources: none(),
        destinations: none(),
        vlans: None,
        output,
        snaplen: 0,
    }
}

/// The ports that a frame leaves by, in order.
fn ports_of(lab: &mut Lab, port: u32) -> Vec<u32> {
    ports_of_frame(lab, port, &frame(&[]))
}

fn ports_of_frame(lab: &mut Lab, port: u32, frame: &[u8]) -> Vec<u32> {
    let mut ports = lab.ports(port, frame);
    ports.sort_unstable();
    ports
}

fn these(ports: &[u32]) -> Selected {
    Selected::Ports(ports.iter().copied().map(OfPort).collect())
}

#[test]
fn a_mirror_copies_what_comes_in_and_what_leaves() {
    let mut lab = Lab::standalone(4);
    let to = MirrorOutput::Port(OfPort(4));
    lab.bridge.set_mirrors(vec![MirrorConfig { sources: these(&[1]), ..mirror("m", to) }]);
    lab.settle();
    assert_eq!(ports_of(&mut lab, 1), [2, 3, 4]);
    assert_eq!(lab.ports(2, &frame(&[])), [1, 3], "port 4 is the mirror's alone");
    assert_eq!(lab.ports(4, &frame(&[])), [], "so is what it receives");
    assert_eq!(lab.drops(DropReason::MirrorPort), 1);
    lab.bridge.set_mirrors(vec![MirrorConfig { destinations: these(&[2, 3]), ..mirror("m", to) }]);
    lab.settle();
    // Once, however often it is selected.
    assert_eq!(ports_of(&mut lab, 1), [2, 3, 4]);
    assert_eq!(ports_of(&mut lab, 2), [1, 3, 4]);
    lab.bridge.set_mirrors(Vec::new());
    lab.settle();
    assert_eq!(lab.ports(1, &frame(&[])), [2, 3, 4], "an ordinary port again");
}

#[test]
fn mirrored_packets_are_counted_from_the_cache_too() {
    let mut lab = Lab::standalone(3);
    let to = MirrorOutput::Port(OfPort(3));
    let sources = Selected::All;
    lab.bridge.set_mirrors(vec![MirrorConfig { sources, snaplen: 20, ..mirror("m", to) }]);
    lab.settle();
    for _ in 0..5 {
        let lens: Vec<_> =
            lab.send(1, &frame(&[])).iter().map(|(port, frame)| (*port, frame.len())).collect();
        assert!(lens.contains(&(3, 20)) && lens.contains(&(2, 80)), "{lens:?}");
    }
    lab.settle();
    lab.bridge.credit_cached(lab.now);
    assert_eq!(lab.bridge.mirror_stats("m"), Some((5, 400)));
    assert_eq!(lab.bridge.mirror_stats("n"), None);
}

#[test]
fn a_mirror_selects_by_vlan_and_may_send_to_one() {
    let mut lab = Lab::standalone(4);
    lab.bridge.set_port_vlan(OfPort(1), port(VlanMode::Access, 10));
    lab.bridge.set_port_vlan(OfPort(2), port(VlanMode::Access, 12));
    lab.bridge.set_port_vlan(OfPort(4), port(VlanMode::Access, 99));
    let sources = || Selected::All;
    let span = MirrorConfig {
        sources: sources(),
        vlans: set(&[10]),
        ..mirror("span", MirrorOutput::Vlan(99))
    };
    lab.bridge.set_mirrors(vec![span]);
    lab.settle();
    let tagged = |vlan| vec![(0x8100, vlan, 0)];
    assert_eq!(
        sent(&mut lab, 1, &frame(&[])),
        [(3, tagged(10)), (3, tagged(99)), (4, vec![])],
        "on the trunk in both VLANs"
    );
    assert_eq!(sent(&mut lab, 2, &frame(&[])), [(3, tagged(12))], "not selected");
}

#[test]
fn mirrors_of_mirrors_end() {
    let mut lab = Lab::secure(4);
    lab.rule(1, "", vec![output(2)]);
    let (a, b) = (MirrorOutput::Port(OfPort(3)), MirrorOutput::Port(OfPort(4)));
    let all = || Selected::All;
    let both = |name, to| MirrorConfig { sources: all(), destinations: all(), ..mirror(name, to) };
    lab.bridge.set_mirrors(vec![both("a", a), both("b", b), both("c", a)]);
    lab.settle();
    assert_eq!(ports_of(&mut lab, 1), [2, 3, 4]);
}

#[test]
fn a_station_that_was_put_stays_until_its_port_goes() {
    let mut lab = Lab::standalone(3);
    let station = Station { vlan: 0, mac: flow::EtherAddr([2, 0, 0, 0, 0, 1]) };
    assert_eq!(lab.bridge.fdb_add(station, OfPort(3)), Ok(None));
    assert!(lab.bridge.fdb_add(station, OfPort(9)).is_err(), "no such port");
    // It speaks elsewhere, ages and is flushed: nothing moves it.
    assert_eq!(ports_of_frame(&mut lab, 1, &ether(1, 2)), [2, 3]);
    lab.bridge.fdb_flush();
    lab.advance(Nanos::from_secs(4000));
    assert_eq!(lab.ports(2, &ether(2, 1)), [3]);
    let shown = lab.bridge.fdb_show(lab.now);
    assert!(shown.contains("    3     0  02:00:00:00:00:01  static\n"), "{shown}");
    assert_eq!(lab.bridge.fdb_add(station, OfPort(1)), Ok(Some(OfPort(3))), "put elsewhere");
    lab.settle();
    assert_eq!(lab.ports(2, &ether(2, 1)), [1]);
    assert!(lab.bridge.fdb_stats_show().contains("Current static MAC entries in the table : 1"));
    assert!(lab.bridge.fdb_del(station) && !lab.bridge.fdb_del(station));
    lab.settle();
    assert_eq!(ports_of_frame(&mut lab, 2, &ether(2, 1)), [1, 3]);
    lab.bridge.fdb_add(station, OfPort(3)).unwrap();
    lab.bridge.remove_port(OfPort(3));
    assert!(!lab.bridge.fdb_show(lab.now).contains("static"));
}
