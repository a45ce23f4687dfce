//! Megaflows look at no more than they must, and at no less: ovs-facts C7, and the packets of three of
//! Open vSwitch's vulnerabilities in which a mask was too wide.

use crate::lab::*;
use flow::text::NoNames;
use openflow::text::parse_instructions;

fn rules(lab: &mut Lab, lines: &[(u16, &str, &str)]) {
    for (priority, match_, actions) in lines {
        lab.rule_in(0, *priority, match_, parse_instructions(actions, &NoNames).unwrap());
    }
    lab.settle();
}

fn ip(rest: &str) -> Vec<u8> {
    frame(&format!("dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,{rest}"))
}

#[test]
fn a_subnet_rule_makes_a_megaflow_of_the_subnet() {
    let mut lab = Lab::secure(3);
    rules(&mut lab, &[(1, "ip,nw_src=192.168.1.0/24", "3")]);
    let from = |host: u32| ip(&format!("ip,nw_src=192.168.1.{host},nw_dst=10.0.0.1,nw_proto=17"));
    // The first goes through the upcall.
    assert_eq!(lab.ports(1, &from(5)), [3]);
    assert_eq!(lab.bridge.stats().upcalls, 1);
    assert_eq!(
        lab.megaflows(),
        ["recirc_id=0,eth,ip,in_port=101,nw_src=192.168.1.0/24,nw_frag=no actions:103"]
    );
    // Another host of the subnet hits it, and so does a third.
    assert_eq!(lab.ports(1, &from(6)), [3]);
    assert_eq!(lab.ports(1, &from(7)), [3]);
    assert_eq!(lab.bridge.stats().upcalls, 1);
    // A host outside does not, and is told apart by no more bits than needed.
    assert!(lab.ports(1, &ip("ip,nw_src=192.168.2.5,nw_dst=10.0.0.1,nw_proto=17")).is_empty());
    assert_eq!(lab.bridge.stats().upcalls, 2);
    assert!(lab.megaflows().iter().any(|text| text.contains("nw_src=192.168.2.0/23")));
}

#[test]
fn masks_are_those_of_open_vswitch() {
    let mut lab = Lab::secure(3);
    rules(
        &mut lab,
        &[
            (10, "ip,nw_src=192.168.1.0/24", "3"),
            (20, "tcp,tp_dst=80", "2"),
            (30, "tcp,nw_dst=10.0.0.0/8,tp_src=1024/0xfc00", "1,2"),
            (40, "icmp,icmp_type=8", "drop"),
            (15, "ipv6,ipv6_dst=2001:db8::/32", "3"),
            (16, "ipv6,ipv6_dst=2001:db8:1::/48", "2"),
            (5, "arp", "flood"),
        ],
    );
    // What `ofproto/trace` of ovs-vswitchd 3.1 says for the same rules, but for a longer prefix of
    // IPv6 addresses that are in no rule.
    for (packet, mask) in [
        (
            "ip,nw_src=192.168.1.5,nw_dst=10.0.0.1",
            "ip,in_port=1,nw_src=192.168.1.0/24,nw_dst=10.0.0.0/8,nw_proto=0,nw_frag=no",
        ),
        (
            "tcp,nw_src=192.168.1.5,nw_dst=11.0.0.1,tp_src=5,tp_dst=81",
            "tcp,in_port=1,nw_src=192.168.1.0/24,nw_dst=11.0.0.0/8,nw_frag=no,tp_dst=81",
        ),
        (
            "tcp,nw_src=192.168.1.5,nw_dst=10.0.0.1,tp_src=4,tp_dst=443",
            "tcp,in_port=1,nw_src=192.168.1.0/24,nw_dst=10.0.0.0/8,nw_frag=no,tp_src=0x0/0xfc00,\
             tp_dst=0x100/0xff00",
        ),
        (
            "icmp,nw_src=192.168.1.5,nw_dst=10.0.0.1,icmp_type=0",
            "icmp,in_port=1,nw_src=192.168.1.0/24,nw_dst=10.0.0.0/8,nw_frag=no,icmp_type=0x0/0xf8",
        ),
        (
            "ipv6,ipv6_src=fe80::9,ipv6_dst=2001:db8:1::5,nw_proto=59",
            "ipv6,in_port=1,ipv6_dst=2001:db8:1::/48,nw_frag=no",
        ),
        ("arp,arp_spa=1.2.3.4,arp_tpa=1.2.3.5,arp_op=1", "arp,in_port=1"),
        (
            "tcp,nw_src=192.168.1.5,nw_dst=10.0.0.1,nw_frag=later",
            "tcp,in_port=1,nw_src=192.168.1.0/24,nw_dst=10.0.0.0/8,nw_frag=later",
        ),
    ] {
        let trace = lab.bridge.trace(&flow(&format!("in_port=1,{packet}")));
        let line = trace.lines().find_map(|line| line.strip_prefix("Megaflow: recirc_id=0,eth,"));
        assert_eq!(line, Some(mask), "{packet}");
    }
}

/// CVE-2020-35498: bytes behind the end of the IP packet are padding and say nothing.
#[test]
fn padding_says_nothing() {
    let mut lab = Lab::secure(3);
    rules(&mut lab, &[(2, "tcp,tp_dst=80", "2"), (1, "ip", "3")]);
    let web = ip("tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1000,tp_dst=80");
    let mut padded = web.clone();
    padded.extend([0xff; 300]);
    assert_eq!(lab.ports(1, &padded), [2]);
    assert_eq!(lab.ports(1, &web), [2]);
    // An IP length that leaves no room for ports: what follows is padding, whatever it looks like.
    let mut short = web.clone();
    short[16..18].copy_from_slice(&20u16.to_be_bytes());
    assert_eq!(lab.ports(1, &short), [3]);
    assert_eq!(lab.ports(1, &web), [2]);
    assert_eq!(lab.ports(1, &short), [3]);
}

/// CVE-2023-1668: a protocol of 0 is a protocol, and a megaflow of it no other's.
#[test]
fn protocol_zero_is_a_protocol() {
    let mut lab = Lab::secure(3);
    rules(&mut lab, &[(2, "tcp,tp_dst=80", "2"), (1, "ip", "mod_nw_ttl:5,mod_nw_dst:9.9.9.9,3")]);
    let of = |proto: &str| ip(&format!("{proto},nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64"));
    for _ in 0..2 {
        assert_eq!(lab.ports(1, &of("ip,nw_proto=0")), [3]);
        let web = ip("tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1000,tp_dst=80");
        assert_eq!(lab.ports(1, &web), [2]);
        assert_eq!(lab.ports(1, &of("ip,nw_proto=253")), [3]);
    }
    assert!(
        lab.megaflows().iter().any(|text| text.contains("nw_proto=0")),
        "{:?}",
        lab.megaflows()
    );
}

/// CVE-2023-5366: a rule on the target of neighbour discovery is asked for each target.
#[test]
fn each_nd_target_is_its_own() {
    let mut lab = Lab::secure(3);
    rules(
        &mut lab,
        &[
            (10, "icmp6,icmpv6_type=135,nd_target=fe80::1", "2"),
            (5, "icmp6,icmpv6_type=136,nd_target=fe80::2", "2"),
            (1, "icmp6", "3"),
        ],
    );
    let nd = |kind: u32, target: &str| {
        ip(&format!(
            "icmp6,ipv6_src=fe80::9,ipv6_dst=ff02::1,nw_ttl=255,icmpv6_type={kind},icmpv6_code=0,\
             nd_target={target}"
        ))
    };
    let echo =
        ip("icmp6,ipv6_src=fe80::9,ipv6_dst=ff02::1,nw_ttl=255,icmpv6_type=128,icmpv6_code=0");
    for _ in 0..2 {
        assert_eq!(lab.ports(1, &echo), [3]);
        assert_eq!(lab.ports(1, &nd(135, "fe80::3")), [3]);
        assert_eq!(lab.ports(1, &nd(135, "fe80::1")), [2]);
        assert_eq!(lab.ports(1, &nd(136, "fe80::1")), [3]);
        assert_eq!(lab.ports(1, &nd(136, "fe80::2")), [2]);
        assert_eq!(lab.ports(1, &nd(135, "fe80::2")), [3]);
        assert_eq!(lab.ports(1, &nd(135, "::")), [3]);
    }
}
