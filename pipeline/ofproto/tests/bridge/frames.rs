//! Each action on real frames: what leaves has exactly the headers that the action says
//! (OpenFlow 1.0.1 §5.2.4, 1.3.5 §5.12, §7.2.5).

use crate::lab::{Lab, add, flow, frame, output};
use flow::text::NoNames;
use flow::{Field, FlowMeta, extract};
use openflow::text::parse_group;
use openflow::{Action, FlowMod, GroupModCommand, Instructions, Subfield, Version};

/// A field in the text of a case: `eth_src=02:...`.
fn set(text: &str) -> Action {
    let (name, value) = text.split_once('=').unwrap();
    let field = Field::from_name(name).unwrap();
    let (value, mask) = flow::text::parse_value(field, value, &flow::text::NoNames).unwrap();
    Action::SetField { field, value, mask: mask & field.ones() }
}

/// Sends a frame of `before` through a rule with these actions and an output; what leaves is
/// `after`. The rule matches these frames and comes from OpenFlow 1.0, where actions may find nothing to do.
fn check(before: &str, actions: &[Action], after: &str) {
    let mut lab = Lab::secure(2);
    let mut actions = actions.to_vec();
    actions.push(output(2));
    let flow_mod = FlowMod { instructions: Instructions::apply(actions.clone()), ..add(1, before) };
    lab.bridge.flow_mod(&flow_mod, Version::V10, lab.now).unwrap();
    lab.settle();
    let sent = frame(before);
    // The first is translated, the second hits the cache (or what could be cached of it).
    for pass in ["slow", "cached"] {
        let received = lab.send(1, &sent);
        assert_eq!(received.len(), 1, "{before} {actions:?} {pass}");
        let got = extract(&received[0].1, &FlowMeta::of_port(u32::MAX));
        assert_eq!(got.malformed, None, "{before} {actions:?} {pass}");
        let want = flow(after);
        assert_eq!(got.flow, want, "{before} {actions:?} {pass}\n got {}\nwant {want}", got.flow);
        assert!(has_right_checksums(&received[0].1), "{before} {actions:?} {pass}");
    }
}

/// Checks the sums of an untagged IPv4 frame; others pass.
fn has_right_checksums(frame: &[u8]) -> bool {
    if frame[12..14] != [8, 0] {
        return true;
    }
    let header = &frame[14..34];
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let l4 = &frame[34..14 + total];
    let pseudo = |proto: u8| {
        let mut bytes = header[12..20].to_vec();
        bytes.extend([0, proto]);
        bytes.extend(u16::try_from(l4.len()).unwrap().to_be_bytes());
        bytes.extend(l4);
        bytes
    };
    let is_fragment = header[6] & 0x3f != 0 || header[7] != 0;
    let l4_is_right = match header[9] {
        _ if is_fragment => true,
        proto @ (6 | 17) => sum(&pseudo(proto)) == 0xffff,
        1 => sum(l4) == 0xffff,
        _ => true,
    };
    sum(header) == 0xffff && l4_is_right
}

fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

const TCP: &str = "tcp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.0.0.1,\
                   nw_dst=10.0.0.2,nw_tos=32,nw_ecn=1,nw_ttl=64,tp_src=1000,tp_dst=80,tcp_flags=syn";

/// `TCP` with one piece replaced.
fn tcp(from: &str, to: &str) -> String {
    assert!(TCP.contains(from), "{from}");
    TCP.replace(from, to)
}

#[test]
fn ethernet_addresses() {
    check(TCP, &[], TCP);
    let cases = [
        ("eth_src=02:00:00:00:00:99", tcp("dl_src=02:00:00:00:00:01", "dl_src=02:00:00:00:00:99")),
        ("eth_dst=ff:ff:ff:ff:ff:ff", tcp("dl_dst=02:00:00:00:00:02", "dl_dst=ff:ff:ff:ff:ff:ff")),
        (
            "eth_dst=0e:00:00:00:00:00/0f:00:00:00:00:00",
            tcp("dl_dst=02:00:00:00:00:02", "dl_dst=0e:00:00:00:00:02"),
        ),
    ];
    for (action, after) in cases {
        check(TCP, &[set(action)], &after);
    }
}

/// A bucket may set fields that not every packet of its group has.
#[test]
fn fields_that_are_not_there_are_left_alone() {
    for action in ["udp_dst=443", "ipv6_dst=::1", "arp_op=2", "mpls_label=5", "vlan_vid=0x1005"] {
        let mut lab = Lab::secure(2);
        let text = format!("group_id=1,type=indirect,bucket=actions=set_field:{},output:2", {
            let (field, value) = action.split_once('=').unwrap();
            format!("{value}->{field}")
        });
        let group = parse_group(&text, GroupModCommand::Add, &NoNames).expect(&text);
        lab.bridge.group_mod(&group, Version::V13, lab.now).unwrap();
        lab.rule(1, "", vec![Action::Group(1)]);
        let sent = frame(TCP);
        for _ in ["slow", "cached"] {
            assert_eq!(lab.send(1, &sent), [(2, sent.clone())], "{action}");
        }
    }
}

#[test]
fn ipv4_and_transport() {
    let cases = [
        ("ip_src=1.2.3.4", tcp("nw_src=10.0.0.1", "nw_src=1.2.3.4")),
        ("ip_dst=10.9.0.0/255.255.0.0", tcp("nw_dst=10.0.0.2", "nw_dst=10.9.0.2")),
        ("ip_dscp=11", tcp("nw_tos=32", "nw_tos=44")),
        ("nw_tos=64", tcp("nw_tos=32", "nw_tos=64")),
        ("nw_ecn=2", tcp("nw_ecn=1", "nw_ecn=2")),
        ("nw_ttl=9", tcp("nw_ttl=64", "nw_ttl=9")),
        ("tcp_src=4242", tcp("tp_src=1000", "tp_src=4242")),
        ("tcp_dst=443", tcp("tp_dst=80", "tp_dst=443")),
        // Fields that the packet does not have are left alone.
        ("udp_dst=443", TCP.to_owned()),
        ("mpls_label=5", TCP.to_owned()),
    ];
    for (action, after) in cases {
        check(TCP, &[set(action)], &after);
    }
    check(TCP, &[Action::SetTpDst(81)], &tcp("tp_dst=80", "tp_dst=81"));
    check(TCP, &[Action::DecTtl(vec![0])], &tcp("nw_ttl=64", "nw_ttl=63"));
    check(TCP, &[Action::SetNwTtl(3)], &tcp("nw_ttl=64", "nw_ttl=3"));
    let udp = "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=7,tp_dst=8";
    check(
        udp,
        &[Action::SetTpSrc(9), set("ip_dst=10.0.0.3")],
        &udp.replace("tp_src=7", "tp_src=9").replace("10.0.0.2", "10.0.0.3"),
    );
    let sctp = "sctp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=7,tp_dst=8";
    check(sctp, &[set("sctp_dst=99")], &sctp.replace("tp_dst=8", "tp_dst=99"));
    let icmp = "icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,icmp_type=8,icmp_code=0";
    check(
        icmp,
        &[set("icmp_type=0"), set("icmp_code=3")],
        &icmp.replace("type=8", "type=0").replace("code=0", "code=3"),
    );
    // Later fragments have no ports to set.
    let later = "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,nw_frag=later";
    check(later, &[set("tcp_dst=1"), Action::SetTpSrc(5)], later);
}

#[test]
fn ipv6_and_neighbour_discovery() {
    let tcp6 = "tcp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,ipv6_label=0x12345,nw_tos=0,nw_ttl=64,tp_src=1,tp_dst=2";
    let cases = [
        ("ipv6_src=fd00::9", "ipv6_src=fd00::1", "ipv6_src=fd00::9"),
        ("ipv6_dst=fe80::/16", "ipv6_dst=fd00::2", "ipv6_dst=fe80::2"),
        ("ipv6_label=0x54321", "0x12345", "0x54321"),
        ("nw_ttl=2", "nw_ttl=64", "nw_ttl=2"),
        ("ip_dscp=1", "nw_tos=0", "nw_tos=4"),
        ("tcp_src=77", "tp_src=1", "tp_src=77"),
    ];
    for (action, from, to) in cases {
        check(tcp6, &[set(action)], &tcp6.replace(from, to));
    }
    check(tcp6, &[Action::DecTtl(vec![0])], &tcp6.replace("nw_ttl=64", "nw_ttl=63"));
    let solicit = "icmp6,ipv6_src=fd00::1,ipv6_dst=ff02::1,nw_ttl=255,icmp_type=135,icmp_code=0,\
                   nd_target=fd00::2,nd_sll=02:00:00:00:00:01,nd_options_type=1";
    check(
        solicit,
        &[set("nd_target=fd00::3"), set("nd_sll=02:00:00:00:00:05")],
        &solicit
            .replace("nd_target=fd00::2", "nd_target=fd00::3")
            .replace("sll=02:00:00:00:00:01", "sll=02:00:00:00:00:05"),
    );
}

#[test]
fn arp() {
    let before = "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_sha=02:00:00:00:00:01,arp_tha=02:00:00:00:00:02";
    let cases = [
        ("arp_op=2", "arp_op=1", "arp_op=2"),
        ("arp_spa=10.0.0.9", "arp_spa=10.0.0.1", "arp_spa=10.0.0.9"),
        ("arp_tpa=10.0.0.9", "arp_tpa=10.0.0.2", "arp_tpa=10.0.0.9"),
        ("arp_sha=02:00:00:00:00:09", "arp_sha=02:00:00:00:00:01", "arp_sha=02:00:00:00:00:09"),
        ("arp_tha=02:00:00:00:00:09", "arp_tha=02:00:00:00:00:02", "arp_tha=02:00:00:00:00:09"),
    ];
    for (action, from, to) in cases {
        check(before, &[set(action)], &before.replace(from, to));
    }
}

#[test]
fn vlan_tags() {
    let plain = "dl_type=0x1234,dl_src=02:00:00:00:00:01";
    let tagged = format!("dl_vlan=5,dl_vlan_pcp=3,{plain}");
    let cases: [(&str, Vec<Action>, String); 10] = [
        (plain, vec![Action::SetVlanVid(9)], format!("dl_vlan=9,dl_vlan_pcp=0,{plain}")),
        (plain, vec![Action::SetVlanPcp(6)], format!("dl_vlan=0,dl_vlan_pcp=6,{plain}")),
        (&tagged, vec![Action::SetVlanVid(9)], format!("dl_vlan=9,dl_vlan_pcp=3,{plain}")),
        (&tagged, vec![set("vlan_vid=0x1009")], format!("dl_vlan=9,dl_vlan_pcp=3,{plain}")),
        (&tagged, vec![set("vlan_pcp=1")], format!("dl_vlan=5,dl_vlan_pcp=1,{plain}")),
        (&tagged, vec![Action::PopVlan], plain.to_owned()),
        (plain, vec![Action::PopVlan], plain.to_owned()),
        (
            plain,
            vec![Action::PushVlan(0x8100), set("vlan_vid=0x1007")],
            format!("dl_vlan=7,dl_vlan_pcp=0,{plain}"),
        ),
        (&tagged, vec![Action::SetVlanVid(5)], tagged.clone()),
        (
            &tagged,
            vec![Action::PopVlan, Action::PushVlan(0x8100), set("vlan_vid=0x1005")],
            format!("dl_vlan=5,dl_vlan_pcp=0,{plain}"),
        ),
    ];
    for (before, actions, after) in cases {
        check(before, &actions, &after);
    }
}

/// Sends a frame through actions; the tags of what leaves, outermost first.
fn tags_after(before: &str, actions: &[Action]) -> Vec<(u16, u16)> {
    let mut lab = Lab::secure(2);
    let mut actions = actions.to_vec();
    actions.push(output(2));
    let flow_mod = FlowMod { instructions: Instructions::apply(actions), ..add(1, "") };
    lab.bridge.flow_mod(&flow_mod, Version::V10, lab.now).unwrap();
    lab.settle();
    let received = lab.send(1, &frame(before));
    let got = extract(&received[0].1, &FlowMeta::of_port(0)).flow;
    let tags = [(got.vlan_tpid(), got.vlan_tci()), (got.vlan_tpid1(), got.vlan_tci1())];
    tags[..got.n_vlans()].to_vec()
}

#[test]
fn a_second_tag_copies_the_first() {
    let tagged = "dl_vlan=5,dl_vlan_pcp=3,dl_type=0x1234";
    let tags = tags_after(tagged, &[Action::PushVlan(0x88a8)]);
    assert_eq!(tags, [(0x88a8, 0x7005), (0x8100, 0x7005)]);
    let tags = tags_after(
        tagged,
        &[Action::PushVlan(0x88a8), set("vlan_vid=0x1064"), Action::SetVlanPcp(1)],
    );
    assert_eq!(tags, [(0x88a8, 0x3064), (0x8100, 0x7005)]);
}

#[test]
fn mpls_labels() {
    let inner = "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos=32,nw_ttl=64,tp_src=1,tp_dst=2";
    let one = "mpls,mpls_label=100,mpls_tc=1,mpls_bos=1,mpls_ttl=33";
    let cases: [(&str, Vec<Action>, &str); 7] = [
        (
            inner,
            vec![Action::PushMpls(0x8847)],
            "mpls,mpls_label=0,mpls_tc=0,mpls_bos=1,mpls_ttl=64",
        ),
        (
            inner,
            vec![Action::PushMpls(0x8847), set("mpls_label=77"), set("mpls_tc=5")],
            "mpls,mpls_label=77,mpls_tc=5,mpls_bos=1,mpls_ttl=64",
        ),
        (one, vec![set("mpls_label=101")], "mpls,mpls_label=101,mpls_tc=1,mpls_bos=1,mpls_ttl=33"),
        (one, vec![Action::DecMplsTtl], "mpls,mpls_label=100,mpls_tc=1,mpls_bos=1,mpls_ttl=32"),
        (one, vec![Action::SetMplsTtl(4)], "mpls,mpls_label=100,mpls_tc=1,mpls_bos=1,mpls_ttl=4"),
        (one, vec![Action::PushMpls(0x8847), Action::PopMpls(0x8847)], one),
        (
            one,
            vec![
                Action::PushMpls(0x8847),
                set("mpls_label=5"),
                Action::PopMpls(0x8847),
                set("mpls_label=6"),
            ],
            "mpls,mpls_label=6,mpls_tc=1,mpls_bos=1,mpls_ttl=33",
        ),
    ];
    for (before, actions, after) in cases {
        check(before, &actions, after);
    }
    // Around a whole packet: what is below comes to light again, and can be changed then.
    let changed = inner.replace("nw_ttl=64", "nw_ttl=62").replace("tp_dst=2", "tp_dst=443");
    check(
        inner,
        &[
            Action::DecTtl(vec![0]),
            Action::PushMpls(0x8847),
            Action::PopMpls(0x0800),
            Action::DecTtl(vec![0]),
            set("tcp_dst=443"),
        ],
        &changed,
    );
    check(
        inner,
        &[
            Action::PushMpls(0x8847),
            Action::PushMpls(0x8847),
            Action::PopMpls(0x8847),
            Action::PopMpls(0x0800),
        ],
        inner,
    );
}

#[test]
fn moves_loads_and_registers() {
    let part = |name, offset, n_bits| {
        Subfield::new(Field::from_name(name).unwrap(), offset, n_bits).unwrap()
    };
    let moved = Action::Move { src: part("ip_src", 0, 32), dst: part("ip_dst", 0, 32) };
    check(TCP, &[moved], &tcp("nw_dst=10.0.0.2", "nw_dst=10.0.0.1"));
    let to_reg = Action::Move { src: part("tcp_dst", 0, 16), dst: part("reg0", 16, 16) };
    let from_reg = Action::Move { src: part("reg0", 16, 16), dst: part("tcp_src", 0, 16) };
    check(TCP, &[to_reg, from_reg], &tcp("tp_src=1000", "tp_src=80"));
    let load = Action::Load { dst: part("ip_dst", 8, 8), value: 7 };
    check(TCP, &[load], &tcp("nw_dst=10.0.0.2", "nw_dst=10.0.7.2"));
    let (src, dst) = (part("eth_src", 0, 48), part("eth_dst", 0, 48));
    let swap = [Action::StackPush(src), Action::Move { src: dst, dst: src }, Action::StackPop(dst)];
    let swapped = TCP.replace(
        "dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02",
        "dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01",
    );
    check(TCP, &swap, &swapped);
}
