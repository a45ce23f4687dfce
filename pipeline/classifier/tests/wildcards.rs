//! Which bits a lookup examines: the megaflows that Open vSwitch 3.1 reports for the same rules and
//! packets (`ofproto/trace`), less the fields that its translation always examines.

use std::sync::Arc;

use classifier::{Classifier, Cursor, Version};
use flow::{Field, Flow, Mask, Match};

/// A field, its value and its mask.
type Part = (Field, u128, u128);

const ONES: u128 = u128::MAX;
const IPV4: Part = (Field::EthType, 0x0800, ONES);
const IPV6: Part = (Field::EthType, 0x86dd, ONES);
const ARP: Part = (Field::EthType, 0x0806, ONES);
const TCP: Part = (Field::IpProto, 6, ONES);
const UDP: Part = (Field::IpProto, 17, ONES);

fn port(value: u128) -> Part {
    (Field::InPort, value, ONES)
}

fn nw_dst(address: [u8; 4], len: u32) -> Part {
    let mask = u128::from(!u32::MAX.checked_shr(len).unwrap_or(0));
    (Field::Ipv4Dst, u128::from(u32::from_be_bytes(address)), mask)
}

fn ipv6_dst(top: u128, low: u128, len: u32) -> Part {
    (Field::Ipv6Dst, top << 96 | low, !ONES.checked_shr(len).unwrap_or(0))
}

fn tp_src(value: u128, mask: u128) -> Part {
    (Field::TcpSrc, value, mask)
}

fn tp_dst(value: u128, mask: u128) -> Part {
    (Field::TcpDst, value, mask)
}

fn dl_dst(value: u128) -> Part {
    (Field::EthDst, value, ONES)
}

fn match_of(parts: &[Part]) -> Match {
    let mut match_ = Match::CATCHALL;
    for &(field, value, mask) in parts {
        match_.set(field, value, mask);
    }
    match_
}

/// A table of rules, each named by its index.
struct Table(Classifier<usize>);

impl Table {
    fn new(rules: &[(i32, &[Part])]) -> Self {
        let mut table = Classifier::new(1);
        for (index, &(priority, parts)) in rules.iter().enumerate() {
            let match_ = match_of(parts);
            table.insert(&match_, priority, Version(1), Arc::new(index)).expect("rules differ");
        }
        Self(table)
    }

    /// Looks a packet up, and expects a rule and a megaflow's match.
    #[track_caller]
    fn check(&self, packet: &[Part], rule: Option<usize>, megaflow: &[Part]) {
        let flow: Flow = *match_of(packet).flow();
        let mut mask = Mask::ZERO;
        let found = self.0.lookup(Version(1), &flow, Some(&mut mask)).map(|rule| **rule);
        assert_eq!(found, rule);
        assert_eq!(Match::new(&flow, &mask), match_of(megaflow));
    }
}

fn web_table() -> Table {
    let d24 = nw_dst([10, 20, 30, 0], 24);
    Table::new(&[
        (40, &[TCP, IPV4, port(1), d24, tp_dst(443, ONES)]),
        (40, &[TCP, IPV4, port(1), d24, tp_dst(80, ONES)]),
        (30, &[IPV4, port(1), nw_dst([10, 20, 0, 0], 16)]),
        (20, &[IPV4, port(1), nw_dst([172, 16, 0, 0], 12)]),
        (20, &[IPV6, port(1), ipv6_dst(0x2001_0db8, 0, 32)]),
        (10, &[IPV4, UDP, port(1), tp_src(5000, ONES)]),
        (5, &[port(2), dl_dst(0x5000_0000_0001)]),
        (0, &[]),
    ])
}

#[test]
fn a_match_examines_its_mask() {
    let packet =
        [port(1), IPV4, TCP, nw_dst([10, 20, 30, 5], 32), tp_src(9, ONES), tp_dst(443, ONES)];
    let d24 = nw_dst([10, 20, 30, 0], 24);
    web_table().check(&packet, Some(0), &[port(1), IPV4, TCP, d24, tp_dst(443, ONES)]);
}

#[test]
fn a_miss_on_ports_examines_the_leading_bits_that_differ() {
    let packet = [port(1), IPV4, TCP, nw_dst([10, 20, 30, 5], 32), tp_dst(22, ONES)];
    let d24 = nw_dst([10, 20, 30, 0], 24);
    web_table().check(&packet, Some(2), &[port(1), IPV4, TCP, d24, tp_dst(0, 0xffc0)]);

    let mut packet = [port(1), IPV4, UDP, nw_dst([192, 168, 1, 1], 32), tp_src(4999, ONES)];
    let d2 = nw_dst([192, 0, 0, 0], 2);
    web_table().check(&packet, Some(7), &[port(1), IPV4, UDP, d2, tp_src(0x1380, 0xfff8)]);
    packet[4] = tp_src(60000, ONES);
    web_table().check(&packet, Some(7), &[port(1), IPV4, UDP, d2, tp_src(0x8000, 0x8000)]);
}

#[test]
fn a_miss_in_the_network_layer_leaves_ports_alone() {
    let packet = [port(1), IPV4, UDP, nw_dst([10, 20, 30, 5], 32), tp_dst(443, ONES)];
    let d24 = nw_dst([10, 20, 30, 0], 24);
    web_table().check(&packet, Some(2), &[port(1), IPV4, UDP, d24]);
}

#[test]
fn a_trie_rules_a_subtable_out_by_few_address_bits() {
    let mut packet = [port(1), IPV4, TCP, nw_dst([10, 20, 99, 5], 32), tp_dst(443, ONES)];
    let table = web_table();
    // The /24 is out after 18 bits, before its protocol and ports are looked at.
    table.check(&packet, Some(2), &[port(1), IPV4, nw_dst([10, 20, 64, 0], 18)]);
    packet[3] = nw_dst([10, 21, 99, 5], 32);
    table.check(&packet, Some(7), &[port(1), IPV4, TCP, nw_dst([10, 21, 0, 0], 16)]);
    packet[3] = nw_dst([172, 20, 1, 1], 32);
    table.check(&packet, Some(3), &[port(1), IPV4, nw_dst([172, 16, 0, 0], 12)]);
}

#[test]
fn ipv6_addresses_have_tries_too() {
    let table = web_table();
    let mut packet = [port(1), IPV6, UDP, ipv6_dst(0x2001_0db8, 1, 128)];
    table.check(&packet, Some(4), &[port(1), IPV6, ipv6_dst(0x2001_0db8, 0, 32)]);
    packet[3] = ipv6_dst(0x2001_0db9, 1, 128);
    table.check(&packet, Some(7), &[port(1), IPV6, ipv6_dst(0x2001_0db9, 0, 32)]);
    packet[3] = ipv6_dst(0xff02_0000, 1, 128);
    table.check(&packet, Some(7), &[port(1), IPV6, ipv6_dst(0x8000_0000, 0, 1)]);
}

#[test]
fn an_early_stage_that_misses_is_all_that_is_examined() {
    let table = web_table();
    // Port 1 has no ARP rules: the type is examined, no address is.
    table.check(&[port(1), ARP], Some(7), &[port(1), ARP]);
    // No rule for port 3 at all.
    let packet = [port(3), IPV4, TCP, nw_dst([10, 20, 30, 5], 32), tp_dst(443, ONES)];
    table.check(&packet, Some(7), &[port(3)]);
}

#[test]
fn subtables_after_the_best_rule_are_not_asked() {
    let table = Table::new(&[
        (10, &[IPV4, port(1)]),
        (10, &[IPV4, TCP, tp_dst(80, ONES)]),
        (9, &[dl_dst(7)]),
    ]);
    let packet = [port(1), IPV4, TCP, tp_dst(80, ONES), dl_dst(7)];
    table.check(&packet, Some(0), &[port(1), IPV4]);
}

#[test]
fn a_trie_charges_no_bits_that_only_other_subtables_need() {
    // The trie knows a /32 next to the packet's address, so it looks at all 32 bits; but for the
    // subtable of the /8 eight bits are enough.
    let table = Table::new(&[
        (10, &[port(1), nw_dst([10, 0, 0, 0], 8)]),
        (1, &[port(2), nw_dst([11, 0, 0, 6], 32)]),
    ]);
    let packet = [port(1), nw_dst([11, 0, 0, 7], 32)];
    table.check(&packet, None, &[port(1), nw_dst([11, 0, 0, 0], 8)]);
}

#[test]
fn masks_that_are_no_prefixes_are_examined_whole() {
    let odd = (Field::Ipv4Dst, 0x0a00_0001, 0xff00_00ff);
    let table = Table::new(&[(1, &[odd])]);
    let packet = [nw_dst([10, 1, 1, 2], 32)];
    table.check(&packet, None, &[(Field::Ipv4Dst, 0x0a00_0002, 0xff00_00ff)]);
}

#[test]
fn removed_rules_stop_costing_wildcards_when_they_are_purged() {
    let table = web_table();
    let Table(mut classifier) = table;
    let mut places = Vec::new();
    let (mut cursor, mut max) = (Cursor::default(), usize::MAX);
    classifier.walk(&mut cursor, &Match::CATCHALL, Version(1), &mut max, |place, entry| {
        places.extend((entry.priority() > 0).then_some(place));
    });
    for place in places {
        assert!(classifier.remove_at(place, Version(2)).is_some());
        assert!(classifier.remove_at(place, Version(2)).is_none());
    }
    let lookup = |classifier: &Classifier<usize>, version| {
        let flow = *match_of(&[port(1), IPV4, TCP, nw_dst([10, 20, 30, 5], 32)]).flow();
        let mut mask = Mask::ZERO;
        let rule = classifier.lookup(version, &flow, Some(&mut mask)).map(|rule| **rule);
        (rule, mask)
    };
    let (before, _) = lookup(&classifier, Version(1));
    let (after, mask) = lookup(&classifier, Version(2));
    assert_eq!((before, after), (Some(2), Some(7)));
    assert!(!mask.is_catchall(), "the removed rules are still in the tables");
    assert_eq!(classifier.purge(Version(2), usize::MAX), 7);
    assert_eq!(lookup(&classifier, Version(2)), (Some(7), Mask::ZERO));
    assert_eq!((classifier.len(), classifier.n_subtables()), (1, 1));
}
