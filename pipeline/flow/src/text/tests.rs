//! Text vectors and the round-trip law. The right column is what `ovs-ofctl parse-flow` prints.

use super::{
    KeyValues, NoNames, PortNames, Problem, ValueText, apply, parse_flow, parse_match, parse_value,
};
use crate::field::Field;
use crate::matching::Match;
use crate::proto::eth_type;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Texts and how they are written back.
const MATCHES: &[(&str, &str)] = &[
    ("ip,in_port=1,nw_src=10.0.0.0/8", "ip,in_port=1,nw_src=10.0.0.0/8"),
    ("tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80", "tcp,in_port=1,nw_src=10.0.0.0/8,tp_dst=80"),
    ("tcp6,ipv6_src=2001:db8::/32,tcp_dst=443", "tcp6,ipv6_src=2001:db8::/32,tp_dst=443"),
    ("udp,udp_src=0x35/0xff", "udp,tp_src=0x35/0xff"),
    ("sctp,sctp_dst=7", "sctp,tp_dst=7"),
    ("icmp,icmp_type=8,icmp_code=0", "icmp,icmp_type=8,icmp_code=0"),
    (
        "icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=00:11:22:33:44:55",
        "icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1,nd_sll=00:11:22:33:44:55",
    ),
    (
        "icmp6,icmpv6_type=136,icmpv6_code=0,nd_target=fe80::/10,nd_tll=00:11:22:33:44:55/ff:ff:ff:00:00:00",
        "icmp6,icmp_type=136,icmp_code=0,nd_target=fe80::/10,nd_tll=00:11:22:00:00:00/ff:ff:ff:00:00:00",
    ),
    (
        "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_sha=00:00:00:00:00:01,arp_tha=00:00:00:00:00:02",
        "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1,arp_sha=00:00:00:00:00:01,arp_tha=00:00:00:00:00:02",
    ),
    ("rarp,arp_op=3", "rarp,arp_op=3"),
    ("dl_vlan=5,dl_vlan_pcp=3", "dl_vlan=5,dl_vlan_pcp=3"),
    ("dl_vlan=0xffff", "vlan_tci=0x0000"),
    ("vlan_tci=0x1000/0x1000", "vlan_tci=0x1000/0x1000"),
    ("vlan_tci=0", "vlan_tci=0x0000"),
    ("vlan_tci=0x1005", "dl_vlan=5,dl_vlan_pcp=0"),
    ("vlan_vid=0x1000/0x1000", "vlan_tci=0x1000/0x1000"),
    ("vlan_vid=0x1005/0x1fff", "dl_vlan=5"),
    ("vlan_vid=0x1001/0x1001", "vlan_tci=0x1001/0x1001"),
    ("vlan_tci=0x1005,vlan_pcp=3", "dl_vlan=5,dl_vlan_pcp=3"),
    ("dl_vlan_pcp=7", "dl_vlan_pcp=7"),
    (
        "dl_src=00:11:22:33:44:55/ff:ff:ff:00:00:00,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
        "dl_src=00:11:22:00:00:00/ff:ff:ff:00:00:00,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00",
    ),
    ("dl_type=0x1234", "dl_type=0x1234"),
    ("dl_type=0x05ff", "dl_type=0x05ff"),
    ("dl_type=0x0800", "ip"),
    ("ip,nw_proto=47", "ip,nw_proto=47"),
    ("ipv6,nw_proto=89,ipv6_label=0x12345", "ipv6,ipv6_label=0x12345,nw_proto=89"),
    (
        "ipv6,ipv6_label=0x12340/0xffff0,ipv6_dst=::1.2.3.4",
        "ipv6,ipv6_dst=::1.2.3.4,ipv6_label=0x12340/0xffff0",
    ),
    ("dl_type=0x88e7,pbb_isid=0x123,pbb_uca=1", "dl_type=0x88e7,pbb_isid=291,pbb_uca=1"),
    ("eth_type=0x88e7,pbb_isid=0x100/0xf00", "dl_type=0x88e7,pbb_isid=0x100/0xf00"),
    ("ipv6,ipv6_exthdr=0x40/0x41", "ipv6,ipv6_exthdr=0x40/0x41"),
    ("icmp6,ipv6_exthdr=0", "icmp6,ipv6_exthdr=0"),
    ("ipv6,ipv6_src=::ffff:1.2.3.4,ipv6_dst=::5", "ipv6,ipv6_src=::ffff:1.2.3.4,ipv6_dst=::5"),
    ("ip,nw_tos=0x20,nw_ecn=2,nw_ttl=64", "ip,nw_tos=32,nw_ecn=2,nw_ttl=64"),
    ("ip,ip_dscp=10", "ip,nw_tos=40"),
    ("ip,nw_frag=no", "ip,nw_frag=no"),
    ("ip,nw_frag=yes", "ip,nw_frag=yes"),
    ("ip,nw_frag=first", "ip,nw_frag=first"),
    ("ip,nw_frag=later", "ip,nw_frag=later"),
    ("ip,ip_frag=not_later", "ip,nw_frag=not_later"),
    ("tcp,tcp_flags=+syn-ack", "tcp,tcp_flags=+syn-ack"),
    ("tcp,tcp_flags=0x12", "tcp,tcp_flags=syn|ack"),
    ("tcp,tcp_flags=0x12/0x3f", "tcp,tcp_flags=-fin+syn-rst-psh+ack-urg"),
    ("tcp,tcp_flags=0", "tcp,tcp_flags=0"),
    ("tcp,tcp_flags=0/0xfff", "tcp,tcp_flags=0"),
    ("metadata=0x1/0xff", "metadata=0x1/0xff"),
    ("metadata=0", "metadata=0"),
    ("tun_id=0x5,tun_src=1.2.3.4,tun_dst=5.6.7.8", "tun_id=0x5,tun_src=1.2.3.4,tun_dst=5.6.7.8"),
    ("reg0=0x1,reg15=5/0xf", "reg0=0x1,reg15=0x5/0xf"),
    ("xreg1=0x100000002", "reg2=0x1,reg3=0x2"),
    ("xxreg0=0x1234567812345678aaaaaaaa", "reg0=0,reg1=0x12345678,reg2=0x12345678,reg3=0xaaaaaaaa"),
    ("pkt_mark=0x5/0xff", "pkt_mark=0x5/0xff"),
    (
        "mpls,mpls_label=100,mpls_tc=3,mpls_bos=1,mpls_ttl=64",
        "mpls,mpls_label=100,mpls_tc=3,mpls_ttl=64,mpls_bos=1",
    ),
    ("mplsm,mpls_label=5", "mplsm,mpls_label=5"),
    ("in_port=LOCAL", "in_port=LOCAL"),
    ("in_port=controller", "in_port=CONTROLLER"),
    ("actset_output=3", "actset_output=3"),
    ("dp_hash=1/0xf", "dp_hash=0x1/0xf"),
    ("recirc_id=0,eth,ip", "recirc_id=0,eth,ip"),
    ("eth,recirc_id=5", "recirc_id=0x5,eth"),
    ("eth", ""),
    ("ip,nw_src=10.0.0.1/255.0.255.0", "ip,nw_src=10.0.0.0/255.0.255.0"),
    ("ip,nw_dst=10.1.2.3/0.0.0.0", "ip"),
    ("arp", "arp"),
    ("mpls", "mpls"),
    ("ip,nw_proto=6,tp_src=1000/0xfff8", "tcp,tp_src=0x3e8/0xfff8"),
    ("packet_type=(1,0x800),nw_src=1.2.3.4", "packet_type=(1,0x800),nw_src=1.2.3.4"),
    ("icmp,tp_src=8", "icmp,icmp_type=8"),
    ("tcp,tcp_flags=syn|ack", "tcp,tcp_flags=syn|ack"),
    ("tcp,tcp_flags=0x2/0xfff", "tcp,tcp_flags=syn"),
    ("in_port=65534", "in_port=LOCAL"),
    ("ipv4_src=10.0.0.1,ip", "ip,nw_src=10.0.0.1"),
    ("eth_src=00:00:00:00:00:01", "dl_src=00:00:00:00:00:01"),
    ("ip_proto=6,ip", "tcp"),
    (" tcp\ttp_dst:80 , in_port(3)", "tcp,in_port=3,tp_dst=80"),
    ("dl_vlan=5,dl_vlan1=6", "dl_vlan=5,dl_vlan1=6"),
    ("dl_vlan=5,vlan_tci1=0", "dl_vlan=5,vlan_tci1=0x0000"),
    ("mpls,mpls_lse1=5,mpls_lse2=0x100/0x1ff", "mpls,mpls_lse1=5,mpls_lse2=0x00000100/0x000001ff"),
    ("ip,nw_src=*", "ip"),
    ("skb_priority=0", "skb_priority=0"),
    (
        "icmp6,icmp_type=136,icmp_code=0,nd_reserved=5,nd_options_type=2",
        "icmp6,icmp_type=136,icmp_code=0,nd_reserved=5,nd_options_type=2",
    ),
    ("", ""),
];

fn read(text: &str) -> Match {
    parse_match(text, &NoNames).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn matches_are_written_as_ovs_ofctl_does() {
    for (text, expected) in MATCHES {
        assert_eq!(read(text).to_string(), *expected, "{text}");
    }
}

#[test]
fn what_is_written_reads_back() {
    for (text, _) in MATCHES {
        let match_ = read(text);
        assert_eq!(read(&match_.to_string()), match_, "{text}");
    }
}

#[test]
fn normalizing_drops_what_has_no_protocol() {
    for (text, expected) in [
        ("nw_src=10.0.0.1", ""),
        ("tp_src=80", ""),
        ("nw_proto=6", ""),
        ("ipv6,tp_src=5", "ipv6"),
        ("ipv6,nw_src=1.2.3.4,ipv6_src=::1", "ipv6,ipv6_src=::1"),
        ("arp,nw_tos=4,arp_spa=1.2.3.4,arp_op=1", "arp,arp_spa=1.2.3.4,arp_op=1"),
        (
            "icmp6,icmp_type=135,nd_sll=00:00:00:00:00:01,nd_tll=00:00:00:00:00:02",
            "icmp6,icmp_type=135,nd_sll=00:00:00:00:00:01",
        ),
        ("ip,mpls_label=5", "ip"),
        ("mpls,mpls_label=5,nw_src=1.2.3.4", "mpls,mpls_label=5"),
        ("ip,nw_proto=50,tp_src=1", "ip,nw_proto=50"),
        ("tcp,tp_src=1,dl_vlan=3,in_port=1", "tcp,in_port=1,dl_vlan=3,tp_src=1"),
    ] {
        let mut match_ = read(text);
        match_.normalize();
        assert_eq!(match_.to_string(), expected, "{text}");
    }
}

#[test]
fn bad_texts_are_explained() {
    use Problem::*;
    for (text, problem) in [
        ("foo=1", UnknownField),
        ("nw_src=10.0.0", BadValue),
        ("nw_src=10.0.0.1/33", BadValue),
        ("ipv6_src=::1/129", BadValue),
        ("dl_src=00:11:22", BadValue),
        ("dl_src=00:11:22:33:44:55:66", BadValue),
        ("tp_dst=http", BadValue),
        ("tp_dst=65536", OutOfRange),
        ("mpls_label=0x100000", OutOfRange),
        ("arp_op=256", OutOfRange),
        ("icmp_type=256", OutOfRange),
        ("dl_vlan=4096", OutOfRange),
        ("dl_vlan1=4096", OutOfRange),
        ("nw_tos=1", OutOfRange),
        ("nw_proto=6/0xf", BadMask),
        ("dl_type=0x800/0xff", BadMask),
        ("in_port=nosuch", UnknownPort),
        ("in_port=0x100000000", UnknownPort),
        ("nw_frag=maybe", BadValue),
        ("tcp_flags=+syn+syn", BadValue),
        ("tcp_flags=+foo", BadValue),
        ("packet_type=5", BadValue),
        ("metadata=0x10000000000000000", OutOfRange),
    ] {
        let error = parse_match(text, &NoNames).unwrap_err();
        assert_eq!(error.problem, problem, "{text}: {error}");
        assert!(!error.to_string().is_empty());
    }
}

struct TwoPorts;

impl PortNames for TwoPorts {
    fn name(&self, port: u32) -> Option<&str> {
        match port {
            1 => Some("eth0"),
            2 => Some("two words"),
            _ => None,
        }
    }

    fn number(&self, name: &str) -> Option<u32> {
        (1..=2).find(|port| self.name(*port) == Some(name))
    }
}

#[test]
fn ports_have_names() {
    for (text, expected) in [
        ("in_port=eth0", "in_port=eth0"),
        ("in_port=2", "in_port=\"two words\""),
        ("in_port=3", "in_port=3"),
    ] {
        let match_ = parse_match(text, &TwoPorts).unwrap();
        let written = super::MatchText { match_: &match_, ports: &TwoPorts }.to_string();
        assert_eq!(written, expected);
        assert_eq!(parse_match(&written, &TwoPorts).unwrap(), match_);
    }
}

#[test]
fn keys_and_values_are_split_outside_of_brackets() {
    let all = |text: &'static str| -> Vec<_> { KeyValues::new(text).collect() };
    assert_eq!(all("a=1,b:2 c(3,4),d"), [("a", "1"), ("b", "2"), ("c", "3,4"), ("d", "")]);
    assert_eq!(all("a=(1,2),b=\"x,y\""), [("a", "(1,2)"), ("b", "\"x,y\"")]);
    assert_eq!(all("a=f(x(1),2),,  b"), [("a", "f(x(1),2)"), ("b", "")]);
    assert_eq!(all(""), []);
    assert_eq!(all("a((("), [("a", "((")]);
}

#[test]
fn other_keys_are_left_to_the_caller() {
    let mut match_ = Match::CATCHALL;
    assert_eq!(apply(&mut match_, "priority", "5", &NoNames), Ok(false));
    assert_eq!(apply(&mut match_, "tcp", "", &NoNames), Ok(true));
    assert_eq!(match_, read("tcp"));
}

#[test]
fn flows_are_exact() {
    let flow = parse_flow("in_port=1,tcp,nw_src=10.0.0.1,tp_dst=80,dl_vlan=5", &NoNames).unwrap();
    assert_eq!((flow.in_port(), flow.eth_type(), flow.nw_proto()), (1, eth_type::IPV4, 6));
    assert_eq!((flow.tp_dst(), flow.vlan_tci(), flow.vlan_tpid()), (80, 0x1005, 0x8100));
    assert_eq!(
        flow.to_string(),
        "tcp,in_port=1,dl_vlan=5,dl_vlan_pcp=0,vlan_tci1=0x0000,dl_src=00:00:00:00:00:00,\
         dl_dst=00:00:00:00:00:00,nw_src=10.0.0.1,nw_dst=0.0.0.0,nw_tos=0,nw_ecn=0,nw_ttl=0,\
         nw_frag=no,tp_src=0,tp_dst=80,tcp_flags=0"
    );
    assert_eq!(parse_flow("", &NoNames).unwrap().in_port(), u32::MAX);
    for (text, problem) in [
        ("nw_src=10.0.0.1", Problem::Prerequisite),
        ("ip,tcp", Problem::Twice),
        ("tcp,tp_src=1,tp_src=1", Problem::Twice),
        ("ip,nw_src=10.0.0.0/8", Problem::Masked),
        ("ip,nw_frag=yes", Problem::Masked),
        ("ip,nonsense=1", Problem::UnknownField),
    ] {
        assert_eq!(parse_flow(text, &NoNames).unwrap_err().problem, problem, "{text}");
    }
}

#[test]
fn flow_lines_are_those_of_trace() {
    for (text, expected) in [
        (
            "in_port=1,icmp,nw_src=192.168.0.1,nw_dst=192.168.0.2,nw_ttl=128,icmp_type=8",
            "icmp,in_port=1,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,\
             nw_src=192.168.0.1,nw_dst=192.168.0.2,nw_tos=0,nw_ecn=0,nw_ttl=128,nw_frag=no,\
             icmp_type=8,icmp_code=0",
        ),
        (
            "in_port=2,arp,arp_op=1,arp_spa=1.2.3.4",
            "arp,in_port=2,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00,\
             arp_spa=1.2.3.4,arp_tpa=0.0.0.0,arp_op=1,arp_sha=00:00:00:00:00:00,\
             arp_tha=00:00:00:00:00:00",
        ),
        (
            "in_port=2,dl_type=0x1234,reg3=7",
            "reg3=0x7,in_port=2,vlan_tci=0x0000,dl_src=00:00:00:00:00:00,\
             dl_dst=00:00:00:00:00:00,dl_type=0x1234",
        ),
    ] {
        assert_eq!(parse_flow(text, &NoNames).unwrap().to_string(), expected);
    }
}

#[test]
fn single_values_read_back() {
    for (field, text) in [
        (Field::EthDst, "01:00:00:00:00:00/01:00:00:00:00:00"),
        (Field::Ipv4Dst, "10.0.0.0/255.0.255.0"),
        (Field::Ipv6Dst, "2001:db8::/32"),
        (Field::TcpDst, "80"),
        (Field::Reg5, "0x5/0xff"),
        (Field::VlanVid, "4101"),
        (Field::InPort, "CONTROLLER"),
        (Field::TcpFlags, "+syn-ack"),
        (Field::PacketType, "(1,0x800)"),
    ] {
        let (value, mask) = parse_value(field, text, &NoNames).unwrap();
        let written: String = ValueText { field, value, mask, ports: &NoNames }.to_string();
        assert_eq!(written, text);
    }
    assert_eq!(ValueText::exact(Field::IpFrag, 1).to_string(), "first");
    assert_eq!(
        ValueText { field: Field::Reg0, value: 0, mask: 0, ports: &NoNames }.to_string(),
        "ANY"
    );
}
