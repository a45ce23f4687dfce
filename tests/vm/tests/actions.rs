//! Each OpenFlow action on real frames, written with the stock `ovs-ofctl`.
//!
//! A case is a flow for port 1, a frame and what must come out. Each frame is sent twice: the first
//! meets tables that have just changed, the second the cached conclusion of the first. Checksums of
//! changed packets are recomputed here, without the switch's code.

use std::net::{Ipv4Addr, Ipv6Addr};

use vm::frame::{
    ARP, BROADCAST, ICMP, ICMP6, IPV4, IPV6, MPLS, SCTP, TCP, UDP, arp, completed, ethernet, host,
    icmp, ipv4, ipv6, labelled, plain, sctp, tagged, tcp, udp,
};
use vm::{Bench, Config};

const A4: [u8; 4] = [10, 0, 0, 1];
const B4: [u8; 4] = [10, 0, 0, 2];
const A6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const B6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// Where things stand in an untagged frame.
const IP: usize = 14;
const L4: usize = 34;
const L4_OF_IP6: usize = 54;

fn udp4() -> Vec<u8> {
    ethernet(host(2), host(1), IPV4, &ipv4(A4, B4, UDP, &udp(1000, 2000, b"some payload of it")))
}

fn tcp4() -> Vec<u8> {
    ethernet(host(2), host(1), IPV4, &ipv4(A4, B4, TCP, &tcp(1000, 2000, 0x18, b"odd")))
}

fn sctp4() -> Vec<u8> {
    ethernet(host(2), host(1), IPV4, &ipv4(A4, B4, SCTP, &sctp(1000, 2000, b"some chunk bytes")))
}

fn ping4() -> Vec<u8> {
    ethernet(host(2), host(1), IPV4, &ipv4(A4, B4, ICMP, &icmp(8, 0, &[0, 1, 0, 2, 7, 8, 9])))
}

fn udp6() -> Vec<u8> {
    ethernet(host(2), host(1), IPV6, &ipv6(A6, B6, UDP, &udp(1000, 2000, b"payload")))
}

fn tcp6() -> Vec<u8> {
    ethernet(host(2), host(1), IPV6, &ipv6(A6, B6, TCP, &tcp(1000, 2000, 2, b"")))
}

/// A neighbour message with one link-layer address option.
fn neighbour(kind: u8, option: u8) -> Vec<u8> {
    let mut rest = vec![0; 4];
    rest.extend(B6.octets());
    rest.extend([option, 1]);
    rest.extend(host(1));
    let mut packet = ipv6(A6, B6, ICMP6, &icmp(kind, 0, &rest));
    packet[7] = 255;
    ethernet(host(2), host(1), IPV6, &packet)
}

fn arp_request() -> Vec<u8> {
    let (a, b) = (Ipv4Addr::from(A4), Ipv4Addr::from(B4));
    ethernet(BROADCAST, host(1), ARP, &arp(1, host(1), a, [0; 6], b))
}

/// The frame with other bytes at some places, checksums completed again.
fn with(frame: &[u8], changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for (at, bytes) in changes {
        frame[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    completed(&frame)
}

struct Switch(Bench);

impl Switch {
    /// `actions` on whatever comes in on port 1: `frame` becomes `out`.
    #[track_caller]
    fn case(&self, actions: &str, frame: &[u8], out: &[(usize, Vec<u8>)]) {
        self.case_of("OpenFlow13", "", actions, frame, out);
    }

    /// The same where the match must have the prerequisites of the actions.
    #[track_caller]
    fn case_on(&self, prereq: &str, actions: &str, frame: &[u8], out: &[(usize, Vec<u8>)]) {
        self.case_of("OpenFlow13", prereq, actions, frame, out);
    }

    #[track_caller]
    fn case_of(
        &self,
        version: &str,
        prereq: &str,
        actions: &str,
        frame: &[u8],
        out: &[(usize, Vec<u8>)],
    ) {
        let bench = &self.0;
        bench.case(format!("{version} {prereq} actions={actions}"));
        let comma = if prereq.is_empty() { "" } else { "," };
        let flow = format!("priority=100,in_port=1{comma}{prereq} actions={actions}");
        for command in [vec!["del-flows", "in_port=1"], vec!["add-flow", &flow]] {
            if let Err(vm::Refused(why)) = bench.try_ofctl(version, &command) {
                bench.fail(why);
            }
        }
        for _ in 0..2 {
            bench.send(1, frame);
            let out: Vec<(usize, &[u8])> = out.iter().map(|(port, f)| (*port, &f[..])).collect();
            bench.expect(&out);
        }
    }

    /// `set_field` and its like: the frame leaves by port 2, with other bytes.
    #[track_caller]
    fn changes(&self, prereq: &str, action: &str, frame: &[u8], changes: &[(usize, &[u8])]) {
        let out = with(frame, changes);
        assert_ne!(out, frame, "{action}: nothing to see");
        self.case_on(prereq, &format!("{action},output:2"), frame, &[(2, out)]);
    }
}

#[test]
fn actions() {
    let switch = Switch(Bench::boot(Config::new(4)));
    outputs(&switch);
    ethernet_fields(&switch);
    ip_fields(&switch);
    transport_fields(&switch);
    neighbour_fields(&switch);
    vlans(&switch);
    mpls(&switch);
    ttl(&switch);
    openflow10(&switch);
    switch.0.shutdown();
}

#[test]
fn tables() {
    let bench = Bench::boot(Config::new(4));
    priorities(&bench);
    instructions(&bench);
    counters(&bench);
    packet_outs(&bench);
    packet_ins(&bench);
    bench.shutdown();
}

fn outputs(s: &Switch) {
    let f = plain(host(2), host(1), 60, 1);
    let to = |ports: &[usize]| ports.iter().map(|&port| (port, f.clone())).collect::<Vec<_>>();
    s.case("output:2", &f, &to(&[2]));
    s.case("output:2,output:4", &f, &to(&[2, 4]));
    s.case("output:3,output:3", &f, &to(&[3, 3]));
    s.case("in_port", &f, &to(&[1]));
    s.case("output:2,in_port", &f, &to(&[2, 1]));
    s.case("output:1", &f, &[]);
    s.case("flood", &f, &to(&[2, 3, 4]));
    s.case("all", &f, &to(&[2, 3, 4]));
    s.case("normal", &plain(BROADCAST, host(1), 60, 1), &{
        let f = plain(BROADCAST, host(1), 60, 1);
        [2, 3, 4].map(|port| (port, f.clone()))
    });
    s.case("drop", &f, &[]);
    s.case("local", &f, &[]);
    s.case("output:99", &f, &[]);
    s.0.case("drop reasons name what happened");
    let drops = &s.0.telemetry()["ports"][0]["drops"];
    assert_eq!(drops["action-drop"], 2, "{drops}");
    assert_eq!(drops["output-to-in-port"], 2, "{drops}");

    // A change between two outputs shows in the second only.
    let changed = with(&f, &[(0, &host(9))]);
    let out = [(2, f.clone()), (3, changed)];
    s.case("output:2,set_field:02:00:00:00:00:09->eth_dst,output:3", &f, &out);
}

fn ethernet_fields(s: &Switch) {
    let f = plain(host(2), host(1), 64, 1);
    s.changes("", "set_field:02:00:00:00:00:09->eth_src", &f, &[(6, &host(9))]);
    s.changes("", "set_field:02:00:00:00:00:09->eth_dst", &f, &[(0, &host(9))]);
    s.changes("", "set_field:00:00:00:00:aa:00/00:00:00:00:ff:00->eth_src", &f, &[(10, &[0xaa])]);
    s.changes("", "mod_dl_src:02:00:00:00:00:09", &f, &[(6, &host(9))]);
    s.changes("", "mod_dl_dst:02:00:00:00:00:09", &f, &[(0, &host(9))]);
    let both = "set_field:02:00:00:00:00:08->eth_src,set_field:02:00:00:00:00:09->eth_dst";
    s.changes("", both, &f, &[(6, &host(8)), (0, &host(9))]);
}

fn ip_fields(s: &Switch) {
    let new = [192, 168, 7, 9];
    for (name, f) in [("udp", udp4()), ("tcp", tcp4()), ("sctp", sctp4()), ("icmp", ping4())] {
        s.changes(name, "set_field:192.168.7.9->ip_src", &f, &[(IP + 12, &new)]);
        s.changes(name, "set_field:192.168.7.9->ip_dst", &f, &[(IP + 16, &new)]);
    }
    let f = udp4();
    s.changes("ip", "set_field:0.0.3.0/0.0.255.0->ip_src", &f, &[(IP + 14, &[3])]);
    s.changes("ip", "set_field:11->ip_dscp", &f, &[(IP + 1, &[11 << 2])]);
    s.changes("ip", "set_field:2->ip_ecn", &f, &[(IP + 1, &[2])]);
    s.changes("ip", "set_field:9->nw_ttl", &f, &[(IP + 8, &[9])]);
    s.changes("ip", "mod_nw_tos:44", &f, &[(IP + 1, &[44])]);

    s.0.case("a UDP datagram without a checksum keeps none");
    let mut none = udp4();
    none[L4 + 6..L4 + 8].fill(0);
    let mut out = with(&none, &[(IP + 12, &new)]);
    out[L4 + 6..L4 + 8].fill(0);
    s.case_on("udp", "set_field:192.168.7.9->ip_src,output:2", &none, &[(2, out)]);

    s.0.case("a later fragment has no ports to change, nor a checksum of them");
    let mut fragment = udp4();
    fragment[IP + 6..IP + 8].copy_from_slice(&[0, 5]);
    let body = fragment[L4..].to_vec();
    fragment = completed(&fragment);
    fragment[L4..].copy_from_slice(&body);
    let mut out = with(&fragment, &[(IP + 12, &new)]);
    out[L4..].copy_from_slice(&body);
    s.case_on("ip", "set_field:192.168.7.9->ip_src,output:2", &fragment, &[(2, out)]);

    let new: Ipv6Addr = "fd00::77".parse().expect("an address");
    for (name, f) in [("udp6", udp6()), ("tcp6", tcp6()), ("icmp6", neighbour(135, 1))] {
        s.changes(name, "set_field:fd00::77->ipv6_src", &f, &[(IP + 8, &new.octets())]);
        s.changes(name, "set_field:fd00::77->ipv6_dst", &f, &[(IP + 24, &new.octets())]);
    }
    let f = udp6();
    s.changes("ipv6", "set_field:0x12345->ipv6_label", &f, &[(IP + 1, &[1, 0x23, 0x45])]);
    s.changes("ipv6", "set_field:11->ip_dscp", &f, &[(IP, &[0x62, 0xc0])]);
    s.changes("ipv6", "set_field:2->ip_ecn", &f, &[(IP + 1, &[0x20])]);
    s.changes("ipv6", "set_field:9->nw_ttl", &f, &[(IP + 7, &[9])]);
}

fn transport_fields(s: &Switch) {
    let port = 4321_u16.to_be_bytes();
    let kinds = [
        ("tcp", L4, tcp4()),
        ("udp", L4, udp4()),
        ("sctp", L4, sctp4()),
        ("tcp6", L4_OF_IP6, tcp6()),
        ("udp6", L4_OF_IP6, udp6()),
    ];
    for (name, l4, f) in kinds {
        let field = name.trim_end_matches('6');
        s.changes(name, &format!("set_field:4321->{field}_src"), &f, &[(l4, &port)]);
        s.changes(name, &format!("set_field:4321->{field}_dst"), &f, &[(l4 + 2, &port)]);
    }
    s.changes("tcp", "mod_tp_src:4321", &tcp4(), &[(L4, &port)]);
    s.changes("udp", "mod_tp_dst:4321", &udp4(), &[(L4 + 2, &port)]);
    s.changes("icmp", "set_field:13->icmp_type", &ping4(), &[(L4, &[13])]);
    s.changes("icmp", "set_field:5->icmp_code", &ping4(), &[(L4 + 1, &[5])]);
    let f = neighbour(135, 1);
    s.changes("icmp6", "set_field:136->icmpv6_type", &f, &[(L4_OF_IP6, &[136])]);
    s.changes("icmp6", "set_field:5->icmpv6_code", &f, &[(L4_OF_IP6 + 1, &[5])]);
    let all = "set_field:10.9.9.1->ip_src,set_field:10.9.9.2->ip_dst,\
               set_field:4321->tcp_src,set_field:4321->tcp_dst";
    let changes: [(usize, &[u8]); 2] =
        [(IP + 12, &[10, 9, 9, 1, 10, 9, 9, 2]), (L4, &[0x10, 0xe1, 0x10, 0xe1])];
    s.changes("tcp", all, &tcp4(), &changes);
}

fn neighbour_fields(s: &Switch) {
    let f = arp_request();
    s.changes("arp", "set_field:2->arp_op", &f, &[(20, &[0, 2])]);
    s.changes("arp", "set_field:10.0.0.7->arp_spa", &f, &[(28, &[10, 0, 0, 7])]);
    s.changes("arp", "set_field:10.0.0.7->arp_tpa", &f, &[(38, &[10, 0, 0, 7])]);
    s.changes("arp", "set_field:02:00:00:00:00:09->arp_sha", &f, &[(22, &host(9))]);
    s.changes("arp", "set_field:02:00:00:00:00:09->arp_tha", &f, &[(32, &host(9))]);

    let (target, option) = (L4_OF_IP6 + 8, L4_OF_IP6 + 26);
    let new: Ipv6Addr = "fd00::77".parse().expect("an address");
    let (ns, na) = (neighbour(135, 1), neighbour(136, 2));
    let is_ns = "icmp6,icmp_type=135,icmp_code=0";
    let is_na = "icmp6,icmp_type=136,icmp_code=0";
    s.changes(is_ns, "set_field:fd00::77->nd_target", &ns, &[(target, &new.octets())]);
    s.changes(is_ns, "set_field:02:00:00:00:00:09->nd_sll", &ns, &[(option, &host(9))]);
    s.changes(is_na, "set_field:02:00:00:00:00:09->nd_tll", &na, &[(option, &host(9))]);
}

fn vlans(s: &Switch) {
    let f = udp4();
    let one = tagged(&f, 0x8100, 5, 3);
    let bare = |tpid, vid, pcp| vec![(2, tagged(&f, tpid, vid, pcp))];
    s.case("push_vlan:0x8100,set_field:4101->vlan_vid,output:2", &f, &bare(0x8100, 5, 0));
    s.case(
        "push_vlan:0x8100,set_field:4101->vlan_vid,set_field:6->vlan_pcp,output:2",
        &f,
        &bare(0x8100, 5, 6),
    );
    s.case("push_vlan:0x88a8,set_field:4101->vlan_vid,output:2", &f, &bare(0x88a8, 5, 0));
    s.case_on("dl_vlan=5", "pop_vlan,output:2", &one, &[(2, f.clone())]);
    s.case_on("dl_vlan=5", "strip_vlan,output:2", &one, &[(2, f.clone())]);
    s.case_on(
        "dl_vlan=5",
        "set_field:4102->vlan_vid,output:2",
        &one,
        &[(2, tagged(&f, 0x8100, 6, 3))],
    );
    s.case_on(
        "dl_vlan=5",
        "set_field:1->vlan_pcp,output:2",
        &one,
        &[(2, tagged(&f, 0x8100, 5, 1))],
    );
    let pushed_and_popped = "push_vlan:0x8100,set_field:4101->vlan_vid,output:2,pop_vlan,output:3";
    s.case(pushed_and_popped, &f, &[(2, tagged(&f, 0x8100, 5, 0)), (3, f.clone())]);

    // QinQ.
    // A new tag starts with the outer one's values (OpenFlow 1.3.5 §5.12.1).
    let two = tagged(&one, 0x88a8, 100, 3);
    let action = "push_vlan:0x88a8,set_field:4196->vlan_vid,output:2";
    s.case_on("dl_vlan=5", action, &one, &[(2, two.clone())]);
    s.case_on("dl_vlan=100", "pop_vlan,output:2", &two, &[(2, one.clone())]);
    // ovs-ofctl thinks that nothing is left after the first tag is gone, except in OpenFlow 1.0.
    let action = "strip_vlan,strip_vlan,output:2";
    s.case_of("OpenFlow10", "dl_vlan=100", action, &two, &[(2, f.clone())]);
    let (action, out) = ("strip_vlan,mod_vlan_vid:7,output:2", tagged(&f, 0x8100, 7, 3));
    s.case_of("OpenFlow10", "dl_vlan=100", action, &two, &[(2, out)]);

    // A change behind a tag.
    let changed = tagged(&with(&f, &[(IP + 12, &[10, 0, 0, 9])]), 0x8100, 5, 3);
    s.case_on("dl_vlan=5,ip", "set_field:10.0.0.9->ip_src,output:2", &one, &[(2, changed)]);
}

fn mpls(s: &Switch) {
    let f = udp4();
    let is_mpls = "dl_type=0x8847";
    let one = labelled(&f, MPLS, 20, 0, 1, 64);
    s.case_on("ip", "push_mpls:0x8847,set_field:20->mpls_label,output:2", &f, &[(2, one.clone())]);
    let out = labelled(&f, 0x8848, 20, 3, 1, 64);
    let action = "push_mpls:0x8848,set_field:20->mpls_label,set_field:3->mpls_tc,output:2";
    s.case_on("ip", action, &f, &[(2, out)]);
    s.case_on(is_mpls, "pop_mpls:0x0800,output:2", &one, &[(2, f.clone())]);
    let out = labelled(&f, MPLS, 21, 0, 1, 64);
    s.case_on(is_mpls, "set_field:21->mpls_label,output:2", &one, &[(2, out)]);
    let out = labelled(&f, MPLS, 20, 5, 1, 64);
    s.case_on(is_mpls, "set_field:5->mpls_tc,output:2", &one, &[(2, out)]);
    let out = labelled(&f, MPLS, 20, 0, 1, 9);
    s.case_on(is_mpls, "set_mpls_ttl(9),output:2", &one, &[(2, out)]);
    let out = labelled(&f, MPLS, 20, 0, 1, 63);
    s.case_on(is_mpls, "dec_mpls_ttl,output:2", &one, &[(2, out)]);
    // The second label is not the bottom, and takes over TTL and traffic class.
    let two = labelled(&one, MPLS, 30, 0, 0, 64);
    let action = "push_mpls:0x8847,set_field:30->mpls_label,output:2";
    s.case_on(is_mpls, action, &one, &[(2, two.clone())]);
    s.case_on(is_mpls, "pop_mpls:0x8847,output:2", &two, &[(2, one.clone())]);
    // What is under the last label can be changed once it is gone.
    let out = with(&f, &[(IP + 12, &[10, 0, 0, 9])]);
    let action = "pop_mpls:0x0800,set_field:10.0.0.9->ip_src,output:2";
    s.case_on(is_mpls, action, &one, &[(2, out)]);
    let tagged_label = tagged(&one, 0x8100, 5, 0);
    let out = tagged(&f, 0x8100, 5, 0);
    s.case_on("dl_vlan=5,dl_type=0x8847", "pop_mpls:0x0800,output:2", &tagged_label, &[(2, out)]);
    // The last label's TTL cannot go below one.
    let dying = labelled(&f, MPLS, 20, 0, 1, 1);
    s.case_on(is_mpls, "dec_mpls_ttl,output:2", &dying, &[]);
}

fn ttl(s: &Switch) {
    s.changes("ip", "dec_ttl", &udp4(), &[(IP + 8, &[63])]);
    s.changes("ip", "dec_ttl,dec_ttl", &tcp4(), &[(IP + 8, &[62])]);
    s.changes("ipv6", "dec_ttl", &udp6(), &[(IP + 7, &[63])]);
    for ttl in [0, 1] {
        let dying = with(&udp4(), &[(IP + 8, &[ttl])]);
        s.case_on("ip", "dec_ttl,output:2", &dying, &[]);
    }
    // Up to the point where it dies, actions count.
    let dying = with(&udp4(), &[(IP + 8, &[1])]);
    s.case_on("ip", "output:3,dec_ttl,output:2", &dying, &[(3, dying.clone())]);
}

fn openflow10(s: &Switch) {
    let f = udp4();
    let one = tagged(&f, 0x8100, 5, 3);
    let case = |actions: &str, frame: &[u8], out: Vec<u8>| {
        s.case_of("OpenFlow10", "", &format!("{actions},output:2"), frame, &[(2, out)]);
    };
    case("mod_vlan_vid:7", &f, tagged(&f, 0x8100, 7, 0));
    case("mod_vlan_pcp:4", &f, tagged(&f, 0x8100, 0, 4));
    case("mod_vlan_vid:7", &one, tagged(&f, 0x8100, 7, 3));
    case("mod_vlan_pcp:4", &one, tagged(&f, 0x8100, 5, 4));
    case("strip_vlan", &one, f.clone());
    case("strip_vlan", &f, f.clone());
    case("mod_dl_src:02:00:00:00:00:09", &f, with(&f, &[(6, &host(9))]));
    let on_ip = |actions: &str, frame: &[u8], out: Vec<u8>| {
        s.case_of("OpenFlow10", "udp", &format!("{actions},output:2"), frame, &[(2, out)]);
    };
    on_ip("mod_nw_src:10.0.0.9", &f, with(&f, &[(IP + 12, &[10, 0, 0, 9])]));
    on_ip("mod_nw_dst:10.0.0.9", &f, with(&f, &[(IP + 16, &[10, 0, 0, 9])]));
    on_ip("mod_nw_tos:8", &f, with(&f, &[(IP + 1, &[8])]));
    on_ip("mod_tp_src:4321", &f, with(&f, &[(L4, &[0x10, 0xe1])]));
    on_ip("mod_tp_dst:4321", &f, with(&f, &[(L4 + 2, &[0x10, 0xe1])]));
}

fn priorities(bench: &Bench) {
    let (f, g) = (udp4(), tcp4());
    bench.case("the highest priority wins, whatever the order in which rules came");
    bench.set_flows(&[
        "priority=1 actions=output:4",
        "priority=10,udp actions=output:3",
        "priority=20,udp,tp_dst=2000 actions=output:2",
        "priority=15,in_port=1 actions=output:3",
    ]);
    for _ in 0..2 {
        bench.forwards(1, &f, &[2]);
        bench.forwards(1, &g, &[3]);
        bench.forwards(2, &g, &[4]);
        bench.forwards(2, &udp6(), &[4]);
    }
    bench.case("a rule that comes later and is more specific changes cached conclusions");
    bench.ofctl(&["add-flow", "priority=30,udp,nw_src=10.0.0.1 actions=output:4"]);
    bench.forwards(1, &f, &[4]);
    bench.case("and its deletion changes them back");
    bench.ofctl(&["del-flows", "priority=30,udp,nw_src=10.0.0.1", "--strict"]);
    bench.forwards(1, &f, &[2]);

    bench.case("without a rule a frame is dropped under its reason");
    bench.set_flows(&["priority=5,tcp actions=output:2"]);
    let before = bench.drops(1, "no-rule");
    bench.forwards(1, &f, &[]);
    bench.forwards(1, &f, &[]);
    assert_eq!(bench.drops(1, "no-rule"), before + 2);
}

fn instructions(bench: &Bench) {
    let f = udp4();
    let to_9 = with(&f, &[(0, &host(9))]);

    bench.case("goto_table goes on in the next table, with the packet as it is");
    bench.set_flows(&[
        "table=0,in_port=1 actions=set_field:02:00:00:00:00:09->eth_dst,goto_table:7",
        "table=7,dl_dst=02:00:00:00:00:09 actions=output:2",
        "table=7,priority=1 actions=output:3",
    ]);
    for _ in 0..2 {
        bench.send(1, &f);
        bench.expect(&[(2, &to_9)]);
    }

    bench.case("write_actions run at the end, in the order of the action set");
    bench.set_flows(&[
        "table=0,in_port=1 actions=write_actions(output:2,set_field:02:00:00:00:00:09->eth_dst),goto_table:1",
        "table=1 actions=output:3",
    ]);
    for _ in 0..2 {
        bench.send(1, &f);
        bench.expect(&[(2, &to_9), (3, &f)]);
    }

    bench.case("a later write_actions replaces what is of its kind");
    bench.set_flows(&[
        "table=0,in_port=1 actions=write_actions(output:2),goto_table:1",
        "table=1 actions=write_actions(output:4)",
    ]);
    bench.forwards(1, &f, &[4]);

    bench.case("clear_actions empties the set");
    bench.set_flows(&[
        "table=0,in_port=1 actions=write_actions(output:2),goto_table:1",
        "table=1 actions=output:3,clear_actions",
    ]);
    bench.forwards(1, &f, &[3]);

    bench.case("metadata is carried to later tables, under its mask");
    bench.set_flows(&[
        "table=0,in_port=1 actions=write_metadata:0x12,goto_table:1",
        "table=0,in_port=2 actions=write_metadata:0xff/0xf0,goto_table:1",
        "table=1,metadata=0x12 actions=output:3",
        "table=1,metadata=0xf0 actions=output:4",
    ]);
    for _ in 0..2 {
        bench.forwards(1, &f, &[3]);
        bench.forwards(2, &f, &[4]);
    }

    bench.case("registers and resubmit");
    bench.set_flows(&[
        "table=0,in_port=1 actions=load:0x5->NXM_NX_REG0[0..15],resubmit(,3),output:4",
        "table=3,reg0=5 actions=output:2",
    ]);
    bench.forwards(1, &f, &[2, 4]);

    bench.case("move copies one field to another");
    bench.set_flows(&["ip,in_port=1 actions=move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],output:2"]);
    let out = with(&f, &[(IP + 16, &A4)]);
    bench.send(1, &f);
    bench.expect(&[(2, &out)]);
}

fn counters(bench: &Bench) {
    bench.case("dump-flows counts exactly");
    bench.set_flows(&["priority=5,udp actions=output:2", "priority=1 actions=drop"]);
    let (f, g) = (udp4(), plain(BROADCAST, host(1), 100, 0));
    for _ in 0..20 {
        bench.send(1, &f);
    }
    for _ in 0..7 {
        bench.send(2, &g);
    }
    bench.settle();
    let _ = bench.arrivals(2).take();
    let dump = bench.ofctl(&["dump-flows", "--no-names"]);
    let line = |what: &str| dump.lines().find(|line| line.contains(what)).unwrap_or("");
    let expected = format!("n_packets=20, n_bytes={},", 20 * f.len());
    assert!(line("priority=5").contains(&expected), "{expected} not in: {dump}");
    assert!(line("priority=1").contains("n_packets=7, n_bytes=700,"), "{dump}");
    let aggregate = bench.ofctl(&["dump-aggregate"]);
    assert!(aggregate.contains("packet_count=27"), "{aggregate}");
    assert!(aggregate.contains("flow_count=2"), "{aggregate}");
}

fn packet_outs(bench: &Bench) {
    let f = udp4();
    let hex: String = f.iter().map(|byte| format!("{byte:02x}")).collect();
    let out = |in_port_and_actions: &str| format!("packet={hex} in_port={in_port_and_actions}");
    bench.set_flows(&["priority=5,in_port=1,udp actions=output:3"]);
    bench.case("packet-out to a port");
    bench.ofctl(&["packet-out", &out("controller actions=output:2")]);
    bench.expect(&[(2, &f)]);
    bench.case("packet-out with changes, to several ports");
    let to = "controller actions=set_field:02:00:00:00:00:09->eth_dst,output:2,output:4";
    bench.ofctl(&["packet-out", &out(to)]);
    let changed = with(&f, &[(0, &host(9))]);
    bench.expect(&[(2, &changed), (4, &changed)]);
    bench.case("packet-out through the tables, as if it had come in on port 1");
    bench.ofctl(&["packet-out", &out("1 actions=table")]);
    bench.expect(&[(3, &f)]);
    bench.case("packet-out by FLOOD spares the port it is said to come from");
    bench.ofctl(&["packet-out", &out("2 actions=flood")]);
    bench.expect(&[(1, &f), (3, &f), (4, &f)]);
}

fn packet_ins(bench: &Bench) {
    let f = udp4();
    bench.case("CONTROLLER: a packet-in with frame, port, table, cookie and reason");
    bench.set_flows(&[
        "table=0,cookie=0xabc,in_port=1 actions=goto_table:2",
        "table=2,cookie=0xdef actions=controller",
    ]);
    let monitor = bench.spawn_ofctl(&["monitor", "65535"]);
    // From some moment on that it does not tell, the monitor gets packet-ins; it prints them where
    // others print errors.
    let has_heard = bench.wait_until(|| {
        bench.send(1, &f);
        bench.settle();
        monitor.errors().text().contains("tp_dst=2000")
    });
    if !has_heard {
        bench.fail(format!("no packet-in: {}", monitor.errors().text()));
    }
    let text = monitor.errors().text();
    let wanted = [
        format!("total_len={}", f.len()),
        "table_id=2".into(),
        "cookie=0xdef".into(),
        "in_port=1".into(),
        "(via action)".into(),
        "nw_src=10.0.0.1".into(),
    ];
    for wanted in wanted {
        assert!(text.contains(&wanted), "{wanted} not in {text}");
    }
    assert_ne!(bench.telemetry()["accounting"]["consumed"], 0);
}
