//! Laws of fields, masks, matches, hashes and miniflows.

use crate::field::Field;
use crate::flow::Flow;
use crate::hash::{finish, hash_in_mask, hash_segment, start};
use crate::layout::{FLOW_WORDS, Segment, WordMap};
use crate::mask::{Mask, prefix_len, prefix_mask};
use crate::matching::{Match, OFP10_VLAN_NONE};
use crate::miniflow::Miniflow;
use crate::prereq::Prereq;
use crate::testing::{any_flow, legal_flow, legal_match};
use crate::text::{NoNames, parse_match};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

fn any_field() -> impl Strategy<Value = Field> {
    proptest::sample::select(Field::all().collect::<Vec<_>>())
}

fn any_mask() -> impl Strategy<Value = Mask> {
    (any_flow(), any::<u32>()).prop_map(|(bits, words)| {
        let mut mask = Mask::ZERO;
        for word in (0..FLOW_WORDS).filter(|word| words >> word & 1 != 0) {
            mask.set_word(word, bits.word(word));
        }
        mask
    })
}

#[test]
fn the_registry_is_consistent() {
    let mut names = BTreeSet::new();
    let mut wire = BTreeSet::new();
    for field in Field::all() {
        let spec = field.spec();
        assert_eq!(spec.field, field);
        assert_eq!(Field::from_name(spec.name), Some(field));
        for name in core::iter::once(spec.name).chain(spec.extra_name) {
            assert!(names.insert(name), "{name} is used twice");
            assert_eq!(Field::from_name(name), Some(field));
        }
        for id in spec.wire_ids() {
            assert!(
                wire.insert((id.class, id.experimenter, id.field)),
                "{} is used twice",
                id.name
            );
            assert_eq!(Field::from_wire(id.class, id.experimenter, id.field), Some(field));
            assert_eq!(Field::from_wire_name(id.name), Some(field));
        }
        let at = spec.location;
        let words = usize::from(at.bits).div_ceil(64);
        assert!(usize::from(at.word) + words <= FLOW_WORDS);
        assert!(words == 2 || at.shift + at.bits <= 64);
        assert!(usize::from(spec.n_bits) <= usize::from(spec.n_bytes) * 8);
    }
}

#[test]
fn headers_depend_on_the_version() {
    let name = |field: Field, version| field.wire_id(version).map(|id| id.name);
    assert_eq!(name(Field::EthSrc, 1), Some("NXM_OF_ETH_SRC"));
    assert_eq!(name(Field::EthSrc, 4), Some("OXM_OF_ETH_SRC"));
    assert_eq!(name(Field::TcpFlags, 1), Some("NXM_NX_TCP_FLAGS"));
    assert_eq!(name(Field::TcpFlags, 4), Some("ONFOXM_ET_TCP_FLAGS"));
    assert_eq!(name(Field::TcpFlags, 6), Some("OXM_OF_TCP_FLAGS"));
    assert_eq!(name(Field::Metadata, 1), Some("OXM_OF_METADATA"));
    assert_eq!(name(Field::DlVlan, 4), None);
    assert_eq!(Field::from_oxm(0x8000, 3), Some(Field::EthDst));
    assert_eq!(Field::from_oxm(0x0001, 111), Some(Field::Xxreg0));
    assert_eq!(Field::from_oxm(0x8000, 127), None);
    let lens = [Field::InPort, Field::VlanVid].map(|f| f.wire_id(4).map(|id| id.len));
    assert_eq!(lens, [Some(4), Some(2)]);
    assert_eq!(Field::InPort.wire_id(1).map(|id| id.len), Some(2));
}

#[test]
fn wide_registers_overlap_narrow_ones() {
    let mut flow = Flow::ZERO;
    flow.set(Field::Xxreg1, 0x1111_1111_2222_2222_3333_3333_4444_4444);
    let regs = [Field::Reg4, Field::Reg5, Field::Reg6, Field::Reg7].map(|reg| flow.get(reg));
    assert_eq!(regs, [0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444]);
    assert_eq!(flow.get(Field::Xreg3), 0x3333_3333_4444_4444);
    assert_eq!([4, 7].map(|n| flow.reg(n)), [0x1111_1111, 0x4444_4444]);
    assert_eq!(Field::reg(16), None);
    assert_eq!(Field::xreg(7), Some(Field::Xreg7));
}

#[test]
fn vlan_fields_are_views_of_one_tag() {
    let mut flow = Flow::ZERO;
    flow.set(Field::DlVlan, 5);
    assert_eq!((flow.vlan_tci(), flow.vlan_tpid()), (0x1005, 0x8100));
    flow.set(Field::VlanPcp, 3);
    assert_eq!((flow.vlan_tci(), flow.get(Field::VlanVid)), (0x7005, 0x1005));
    flow.push_vlan(0x88a8, 7);
    assert_eq!((flow.vlan_tci(), flow.vlan_tci1(), flow.n_vlans()), (0x1007, 0x7005, 2));
    flow.pop_vlan();
    flow.set(Field::DlVlan, OFP10_VLAN_NONE);
    assert_eq!(flow, Flow::ZERO);

    let mut match_ = Match::CATCHALL;
    match_.set_exact(Field::VlanPcp, 3);
    assert_eq!((match_.flow().vlan_tci(), match_.mask().vlan_tci()), (0x7000, 0xf000));
    match_.set_exact(Field::DlVlan, 5);
    assert_eq!((match_.flow().vlan_tci(), match_.mask().vlan_tci()), (0x7005, 0xffff));
    match_.set_exact(Field::DlVlan, OFP10_VLAN_NONE);
    assert_eq!((match_.flow().vlan_tci(), match_.mask().vlan_tci()), (0, 0xffff));
}

#[test]
fn values_and_masks_are_judged_by_their_width() {
    for (field, good, bad) in [
        (Field::ArpOp, 0xff, 0x100),
        (Field::MplsLabel, 0xf_ffff, 0x10_0000),
        (Field::VlanVid, 0x1fff, 0x2000),
        (Field::VlanPcp, 7, 8),
        (Field::IpDscp, 0xfc, 0x01),
        (Field::IpDscpShifted, 0x3f, 0x40),
        (Field::Icmpv4Type, 0xff, 0x100),
        (Field::TcpFlags, 0xfff, 0x1000),
    ] {
        assert!(field.is_valid(good) && !field.is_valid(bad), "{field:?}");
    }
    assert!(Match::mask_is_allowed(Field::Icmpv4Type, 0xff));
    assert!(!Match::mask_is_allowed(Field::Icmpv4Type, 0xf));
    assert!(Match::mask_is_allowed(Field::TcpDst, 0xf));
    let mut match_ = Match::CATCHALL;
    match_.set(Field::Icmpv4Type, 8, 0xff);
    assert!(match_.mask().is_exact(Field::Icmpv4Type));
}

#[test]
fn segments_cover_every_word_once() {
    let all = Segment::ALL.map(Segment::map);
    assert_eq!(all.iter().map(|map| map.count()).sum::<usize>(), FLOW_WORDS);
    assert_eq!(all.into_iter().fold(WordMap(0), WordMap::or).count(), FLOW_WORDS);
}

#[test]
fn prefixes() {
    for (mask, len) in [(0, Some(0)), (0xff00, Some(8)), (0xffff, Some(16)), (0xff, None)] {
        assert_eq!(prefix_len(mask, 16), len, "{mask:#x}");
        assert!(len.is_none_or(|len| prefix_mask(len, 16) == mask));
    }
    let mut mask = Mask::ZERO;
    mask.add_prefix(Field::Ipv6Src, 65);
    assert_eq!(mask.prefix_len(Field::Ipv6Src), Some(65));
    mask.add_prefix(Field::Ipv4Dst, 8);
    assert_eq!(mask.nw_dst(), 0xff00_0000);
    assert_eq!(mask.prefix_len(Field::Ipv4Src), Some(0));
}

proptest! {
    #[test]
    fn adding_bits_of_a_field_is_setting_them_too(
        flow in any_flow(), field in any_field(), value in any::<u128>(),
    ) {
        let mut added = flow;
        added.words.add(field, value);
        let mut set = flow;
        set.words.set(field, flow.get(field) | value);
        prop_assert_eq!(added, set);
        added.words.fill(field);
        set.words.set(field, u128::MAX);
        prop_assert_eq!(added, set);
    }

    #[test]
    fn setting_a_field_leaves_its_neighbours_alone(
        flow in any_flow(), field in any_field(), value in any::<u128>(),
    ) {
        let mut mask = Mask::ZERO;
        mask.set_exact(field);
        let value = value & field.ones();
        let mut changed = flow;
        changed.words.set(field, value);
        prop_assert_eq!(changed.get(field), value);
        prop_assert_eq!(mask.get(field), field.ones());
        // Everything outside the field's bits is as it was.
        let mut outside = Mask::EXACT;
        outside.set(field, 0);
        prop_assert!(flow.eq_in(&changed, &outside));
        changed.words.set(field, flow.get(field));
        prop_assert_eq!(changed, flow);
    }

    #[test]
    fn masks_are_sets(a in any_mask(), b in any_mask(), flow in any_flow()) {
        let union = a.union(&b);
        prop_assert!(union.covers(&a) && union.covers(&b));
        prop_assert!(a.covers(&a.intersection(&b)));
        prop_assert_eq!(a.covers(&b), a.union(&b) == a);
        prop_assert_eq!(flow.masked(&a).masked(&b), flow.masked(&a.intersection(&b)));
        prop_assert_eq!(union.map(), a.map().or(b.map()));
    }

    #[test]
    fn matching_agrees_with_the_definition(rule in legal_match(), flow in legal_flow()) {
        let expected = flow.masked(rule.mask()) == *rule.flow();
        prop_assert_eq!(rule.matches(&flow), expected);
        prop_assert_eq!(rule.flow().eq_in_map(&flow, rule.mask(), rule.mask().map()), expected);
        prop_assert!(rule.covers(&rule) && rule.overlaps(&rule));
        prop_assert!(Match::CATCHALL.covers(&rule));
        // A legal match is what normalizing and validation leave alone.
        let mut normal = rule;
        normal.normalize();
        prop_assert_eq!(normal, rule);
    }

    #[test]
    fn hashes_of_equal_bits_are_equal(flow in any_flow(), other in any_flow(), mask in any_mask()) {
        // Differ only where the mask does not look.
        let mut same = other;
        for word in 0..FLOW_WORDS {
            let bits = mask.word(word);
            same.set_word(word, flow.word(word) & bits | other.word(word) & !bits);
        }
        prop_assert_eq!(hash_in_mask(&flow, &mask, 7), hash_in_mask(&same, &mask, 7));
        // Stage by stage is the same as at once.
        let state = Segment::ALL.iter().fold(start(7), |state, segment| {
            hash_segment(&flow, &mask, *segment, state)
        });
        prop_assert_eq!(finish(state), hash_in_mask(&flow, &mask, 7));
    }

    #[test]
    fn miniflows_are_flows(flow in legal_flow(), other in legal_flow()) {
        let mini = Miniflow::from(&flow);
        prop_assert_eq!(mini.expand(), flow);
        prop_assert!(mini.is_of(&flow));
        prop_assert_eq!(mini.hash(3), flow.hash(3));
        prop_assert_eq!(mini == Miniflow::from(&other), flow == other);
        let short = Miniflow::<4>::new(&flow);
        prop_assert_eq!(short.is_some(), flow.map().count() <= 4);
    }

    #[test]
    fn both_directions_hash_alike(flow in legal_flow()) {
        let mut back = flow;
        back.set_eth_src(flow.eth_dst());
        back.set_eth_dst(flow.eth_src());
        back.set_nw_src(flow.nw_dst());
        back.set_nw_dst(flow.nw_src());
        back.set_ipv6_src(flow.ipv6_dst());
        back.set_ipv6_dst(flow.ipv6_src());
        back.set_tp_src(flow.tp_dst());
        back.set_tp_dst(flow.tp_src());
        prop_assert_eq!(flow.hash_symmetric_l4(9), back.hash_symmetric_l4(9));
    }

    #[test]
    fn text_reads_back(match_ in legal_match()) {
        let text = match_.to_string();
        let again = parse_match(&text, &NoNames);
        prop_assert_eq!(again, Ok(match_), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z_0-9=,:/+|()\"x. -]{0,40}") {
        let _ = parse_match(&text, &NoNames);
        let _ = crate::text::parse_flow(&text, &NoNames);
    }

    #[test]
    fn prerequisites_depend_on_what_they_unwildcard(a in legal_flow(), bits in any_flow()) {
        for field in Field::all() {
            let prereq: Prereq = field.spec().prereq;
            let mut mask = Mask::ZERO;
            prereq.unwildcard(&mut mask);
            let mut b = bits;
            for word in 0..FLOW_WORDS {
                let seen = mask.word(word);
                b.set_word(word, a.word(word) & seen | bits.word(word) & !seen);
            }
            prop_assert_eq!(prereq.holds(&a), prereq.holds(&b), "{:?}", prereq);
        }
    }
}

/// Flows that differ little must not hash alike: sequential addresses and ports over 2^12 buckets.
#[test]
fn hashes_spread() {
    let mut buckets = alloc::vec![0u32; 4096];
    let mut flow = Flow::ZERO;
    flow.set_eth_type(0x0800);
    for n in 0..65536u32 {
        flow.set_nw_src(0x0a00_0000 + (n >> 8));
        flow.set_tp_src((n & 0xff) as u16);
        buckets[flow.hash(1) as usize & 4095] += 1;
    }
    // 16 expected in each; a Poisson tail beyond 48 has a probability below 10^-9.
    assert!(buckets.iter().all(|n| (1..48).contains(n)));
}
