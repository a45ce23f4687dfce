//! Byte vectors and laws of extraction.

use super::{Extracted, FlowMeta, Malformed, Offsets, extract, usual};
use crate::compose::compose;
use crate::layout::WordMap;
use crate::proto::eth_type;
use crate::testing::legal_flow;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

/// Frames and what Open vSwitch makes of them.
const GOLDEN: &str = include_str!("../../tests/data/ovs-extract.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| core::str::from_utf8(pair).map(|text| u8::from_str_radix(text, 16));
    digits.chunks(2).map(|chunk| pair(chunk).unwrap().unwrap()).collect()
}

fn of(hex: &str) -> Extracted {
    extract(&bytes(hex), &FlowMeta::of_port(1))
}

fn golden() -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (frame, flow) = line.split_once(' ').unwrap();
        (bytes(frame), flow)
    })
}

#[test]
fn agrees_with_open_vswitch() {
    let mut n = 0;
    for (frame, flow) in golden() {
        let mut found = extract(&frame, &FlowMeta::of_port(u32::MAX));
        // Open vSwitch has no such field.
        found.flow.set_ipv6_exthdr(0);
        assert_eq!(found.flow.to_string(), flow, "{frame:02x?}");
        n += 1;
    }
    assert!(n > 100);
}

const ETH: &str = "00112233445566778899aabb";
const IPV4_TCP: &str = "0800 45b90030 00004000 40060000 0a000001 0a000002
    1234 0050 00000000 00000000 5012 ffff 0000 0000 0102030405060708";

#[test]
fn tcp_over_ipv4() {
    let found = of(&[ETH, IPV4_TCP].concat());
    assert_eq!(
        found.flow.to_string(),
        "tcp,in_port=1,vlan_tci=0x0000,dl_src=66:77:88:99:aa:bb,dl_dst=00:11:22:33:44:55,\
         nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos=184,nw_ecn=1,nw_ttl=64,nw_frag=no,tp_src=4660,\
         tp_dst=80,tcp_flags=syn|ack"
    );
    assert_eq!(found.offsets, Offsets::new(None, Some(14), Some(34)));
    assert_eq!(found.malformed, None);
}

#[test]
fn two_tags_are_kept_and_a_third_is_the_type() {
    let two = of(&[ETH, "88a8 6064 8100 2005", IPV4_TCP].concat());
    assert_eq!((two.flow.vlan_tpid(), two.flow.vlan_tci()), (0x88a8, 0x7064));
    assert_eq!((two.flow.vlan_tpid1(), two.flow.vlan_tci1()), (0x8100, 0x3005));
    assert_eq!((two.flow.eth_type(), two.flow.tp_dst()), (eth_type::IPV4, 80));
    assert_eq!(two.offsets.l4(), Some(42));

    let three = of(&[ETH, "8100 0001 8100 0002 8100 0003", IPV4_TCP].concat());
    assert_eq!((three.flow.eth_type(), three.flow.nw_src()), (eth_type::VLAN, 0));
    assert_eq!(three.offsets.l3(), Some(22));
}

#[test]
fn more_labels_than_the_key_holds_are_skipped() {
    let found = of(&[ETH, "8847 00001040 00002040 00003040 00004040 00005140 45"].concat());
    assert_eq!(
        [0, 1, 2].map(|n| found.flow.mpls_lse(n)),
        [0x1040, 0x2040, 0x3040],
        "three are kept"
    );
    assert_eq!(found.offsets, Offsets::new(Some(14), Some(34), None));
    assert_eq!(found.malformed, None);
    assert_eq!(of(&[ETH, "8847 00001040 0000"].concat()).malformed, Some(Malformed::Mpls));
}

#[test]
fn contradicting_lengths_leave_no_l3() {
    for header in [
        "0800 44000014 00000000 40060000 0a000001 0a000002", // header length below 20
        "0800 46000014 00000000 40060000 0a000001 0a000002", // header longer than the total
        "0800 45000013 00000000 40060000 0a000001 0a000002", // total below the header
        "0800 45000015 00000000 40060000 0a000001 0a000002", // total beyond the frame
        "0800 45000014 00000000 40060000 0a000001 0a0000",   // header cut off
    ] {
        let found = of(&[ETH, header].concat());
        assert_eq!((found.flow.eth_type(), found.flow.nw_src()), (eth_type::IPV4, 0), "{header}");
        assert_eq!(found.malformed, Some(Malformed::Ipv4));
        assert_eq!(found.offsets.l4(), None);
    }
}

#[test]
fn padding_is_no_header() {
    // A UDP packet of which the IP length leaves only 4 bytes; the rest of the frame is padding.
    let frame = "0800 45000018 00000000 40110000 0a000001 0a000002 1234 0035 0008 0000";
    let found = of(&[ETH, frame, "00000000"].concat());
    assert_eq!((found.flow.nw_proto(), found.flow.tp_src()), (17, 0));
    assert_eq!((found.malformed, found.offsets.l4()), (Some(Malformed::Transport), None));
}

#[test]
fn tcp_data_offset_is_checked() {
    for (offset, port) in [("4002", 0), ("6002", 0), ("f002", 0), ("5002", 80)] {
        let tcp = ["1234 0050 00000000 00000000", offset, "ffff 0000 0000"].concat();
        let ip = "0800 45000028 00000000 40060000 0a000001 0a000002";
        assert_eq!(of(&[ETH, ip, &tcp].concat()).flow.tp_dst(), port, "{offset}");
    }
}

#[test]
fn later_fragments_have_no_ports() {
    for (frag, bits, port) in [("2000", 1, 80), ("2001", 3, 0), ("0001", 3, 0), ("4000", 0, 80)] {
        let ip = ["0800 45000028 0000", frag, "40060000 0a000001 0a000002"].concat();
        let tcp = "1234 0050 00000000 00000000 5002 ffff 0000 0000";
        let found = of(&[ETH, &ip, tcp].concat());
        assert_eq!((found.flow.nw_frag(), found.flow.tp_dst()), (bits, port), "{frag}");
        assert_eq!(found.offsets.l4().is_some(), bits != 3);
    }
}

const IPV6: &str = "86dd 6b012345 LLLL NN 40
    20010db8000000000000000000000001 20010db8000000000000000000000002";

fn ipv6(next: &str, payload: &str) -> Extracted {
    let len = std::format!("{:04x}", bytes(payload).len());
    of(&[ETH, &IPV6.replace("LLLL", &len).replace("NN", next), payload].concat())
}

#[test]
fn extension_headers_are_walked() {
    let udp = "1234 0035 0008 0000";
    let plain = ipv6("11", udp);
    assert_eq!((plain.flow.nw_tos(), plain.flow.ipv6_label()), (0xb0, 0x12345));
    assert_eq!((plain.flow.nw_proto(), plain.flow.tp_dst()), (17, 53));
    for (next, headers, frag, l4) in [
        ("00", "11 00 0000 00000000", 0, 62),
        ("3c", "11 01 0000 00000000 00000000 00000000", 0, 70),
        ("2b", "3c 00 0000 00000000 11 00 0000 00000000", 0, 70),
        ("33", "11 01 0000 00000000 00000000", 0, 66),
        ("2c", "11 00 0001 00000000", 1, 62),
        ("2c", "11 00 0000 00000000", 0, 62),
    ] {
        let found = ipv6(next, &[headers, udp].concat());
        assert_eq!((found.flow.nw_proto(), found.flow.tp_dst()), (17, 53), "{headers}");
        assert_eq!((found.flow.nw_frag(), found.offsets.l4()), (frag, Some(l4)), "{headers}");
    }
    let later = ipv6("2c", &["11 00 0009 00000000", udp].concat());
    assert_eq!((later.flow.nw_frag(), later.flow.nw_proto(), later.flow.tp_dst()), (3, 44, 0));

    // Cut off in an extension header: the addresses stay, the rest is unknown.
    let cut = ipv6("00", "11 05 0000 00000000");
    assert_eq!(cut.malformed, Some(Malformed::Ipv6Extension));
    assert_eq!((cut.flow.nw_proto(), cut.flow.nw_ttl()), (0, 0));
    assert_eq!(cut.flow.ipv6_dst().to_string(), "2001:db8::2");
}

#[test]
fn the_extension_headers_of_ipv6_have_a_field_of_their_own() {
    use crate::proto::ext_hdr::*;
    // The next header goes into the first byte of each.
    let header = |proto: u8| match proto {
        44 => [0, 0, 0, 0, 0, 0, 0, 7],
        _ => [0, 0, 1, 4, 0, 0, 0, 0],
    };
    for (protos, bits) in [
        (&[17][..], 0),
        (&[0, 17], HOP),
        (&[0, 60, 43, 44, 51, 60, 17], HOP | DEST | ROUTER | FRAG | AUTH),
        (&[60, 60, 17], DEST),
        (&[60, 60, 60, 17], DEST | UNREP),
        (&[43, 43, 17], ROUTER | UNREP),
        (&[43, 0, 17], ROUTER | UNSEQ),
        (&[0, 0, 17], HOP | UNREP),
        (&[51, 43, 17], AUTH | ROUTER | UNSEQ),
        (&[60, 60, 43, 17], DEST | ROUTER | UNSEQ),
        (&[0, 50], HOP | ESP),
        (&[50], ESP),
        (&[59], NO_NEXT),
        (&[60, 59], DEST | NO_NEXT),
    ] {
        let mut bytes = Vec::new();
        for pair in protos.windows(2) {
            let mut header = header(pair[0]);
            header[0] = pair[1];
            if pair[0] == 51 {
                header[1] = 0;
            }
            bytes.extend(header);
        }
        let hex: alloc::string::String =
            bytes.iter().chain(&[0; 8]).map(|byte| alloc::format!("{byte:02x}")).collect();
        let found = ipv6(&alloc::format!("{:02x}", protos[0]), &hex);
        assert_eq!(found.flow.ipv6_exthdr(), bits, "{protos:?}");
        assert_eq!(found.flow.nw_proto(), *protos.last().unwrap(), "{protos:?}");
    }
}

#[test]
fn a_pbb_tag_says_its_service() {
    let tag = "88e7 e8123456 0a0b0c0d0e0f 101112131415 0800";
    let found = of(&[ETH, tag].concat());
    assert_eq!((found.flow.eth_type(), found.flow.pbb_isid()), (0x88e7, 0x12_3456));
    assert_eq!((found.flow.pbb_uca(), found.malformed), (1, None));
    assert_eq!(found.offsets.l3(), Some(14));
    let tagged = of(&[ETH, "88a8 0064", tag].concat());
    assert_eq!((tagged.flow.vlan_vid(), tagged.flow.pbb_isid()), (100, 0x12_3456));
    let other = of(&[ETH, &tag.replace("e8123456", "e7000001")].concat());
    assert_eq!((other.flow.pbb_uca(), other.flow.pbb_isid()), (0, 1));
    let cut = of(&[ETH, &tag[..tag.len() - 2]].concat());
    assert_eq!((cut.flow.eth_type(), cut.flow.pbb_isid()), (0x88e7, 0));
    assert_eq!(cut.malformed, Some(Malformed::Pbb));
}

const TARGET: &str = "fe800000000000000000000000000001";

#[test]
fn neighbour_discovery() {
    let solicit = |options: &str| ipv6("3a", &["87 00 0000 00000000", TARGET, options].concat());
    let found = solicit("01 01 0a0b0c0d0e0f");
    assert_eq!(found.flow.nd_target().to_string(), "fe80::1");
    assert_eq!(found.flow.arp_sha().to_string(), "0a:0b:0c:0d:0e:0f");
    assert_eq!(found.flow.nd_options_type(), 1);

    // An option without a length ends the walk; an unknown one is skipped.
    assert_eq!(solicit("01 00 0a0b0c0d0e0f").flow.nd_options_type(), 0);
    assert_eq!(solicit("05 01 000000000000 02 01 0a0b0c0d0e0f").flow.nd_options_type(), 2);
    assert_eq!(solicit("05 09 000000000000").malformed, None);

    let twice = solicit("01 01 0a0b0c0d0e0f 01 01 0a0b0c0d0e0f");
    assert_eq!(twice.malformed, Some(Malformed::NdOption));
    assert_eq!((twice.flow.get(crate::Field::NdTarget), twice.flow.tp_src()), (0, 135));

    // Another code is no neighbour discovery.
    let other = ipv6("3a", &["87 01 0000 00000000", TARGET].concat());
    assert_eq!((other.flow.get(crate::Field::NdTarget), other.flow.tp_src()), (0, 135));
}

#[test]
fn arp_for_other_than_ipv4_over_ethernet_is_only_arp() {
    let arp = "0001 0800 06 04 0001 0a0b0c0d0e0f 01020304 000000000000 05060708";
    let good = of(&[ETH, "0806", arp].concat());
    assert_eq!((good.flow.nw_proto(), good.flow.nw_src()), (1, 0x0102_0304));
    for bad in [arp.replacen("0800", "0801", 1), arp.replace("06 04", "06 05")] {
        let found = of(&[ETH, "0806", &bad].concat());
        assert_eq!((found.flow.eth_type(), found.flow.nw_src()), (eth_type::ARP, 0));
        assert_eq!(found.malformed, Some(Malformed::Arp));
    }
    let large = of(&[ETH, "0806", &arp.replace("04 0001", "04 0101")].concat());
    assert_eq!((large.flow.nw_proto(), large.flow.nw_src()), (0, 0x0102_0304));
}

#[test]
fn snap_has_a_type_and_other_802_2_has_none() {
    for (llc, ty) in [
        ("0008 aaaa03000000 0800", eth_type::IPV4),
        ("0008 aaaa03000001 0800", eth_type::NONE),
        ("0008 aaaa03000000 0500", eth_type::NONE),
        ("0003 424203", eth_type::NONE),
        ("0000", eth_type::NONE),
    ] {
        assert_eq!(of(&[ETH, llc].concat()).flow.eth_type(), ty, "{llc}");
    }
}

#[test]
fn every_truncation_has_a_key() {
    for (frame, _) in golden() {
        let whole = extract(&frame, &FlowMeta::default());
        for len in 0..frame.len() {
            let cut = extract(&frame[..len], &FlowMeta::default());
            check_offsets(len, cut.offsets);
            if len < 14 {
                assert_eq!(cut.flow, crate::Flow::ZERO);
            } else {
                assert_eq!(cut.flow.eth_src(), whole.flow.eth_src());
            }
        }
    }
}

fn check_offsets(len: usize, offsets: Offsets) {
    let all = [offsets.l2_5(), offsets.l3(), offsets.l4()];
    let present: Vec<usize> = all.into_iter().flatten().map(usize::from).collect();
    assert!(present.is_sorted() && present.iter().all(|at| *at <= len), "{offsets:?} in {len}");
}

/// Frames of all kinds, whole, damaged and cut.
pub(super) fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let damage = (any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>());
    let composed = (legal_flow(), prop::option::of(damage)).prop_map(|(flow, damage)| {
        let mut frame = compose(&flow, 30);
        if let Some((at, byte, cut)) = damage {
            let at = at.index(frame.len());
            frame[at] = byte;
            frame.truncate(cut.index(frame.len() + 1));
        }
        frame
    });
    prop_oneof![composed, proptest::collection::vec(any::<u8>(), 0..200)]
}

/// Frames of the usual kind, some of them with a byte that makes them unusual, or cut.
fn nearly_usual() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::option::of((12usize..58, any::<u8>()));
    let addresses = proptest::collection::vec(any::<u8>(), 60);
    let total = prop_oneof![9 => 38u8..60, 1 => 0u8..38];
    let kind = (any::<bool>(), any::<bool>(), total, 0usize..60);
    (addresses, kind, damage).prop_map(|(mut frame, (is_tcp, is_tagged, total, cut), damage)| {
        let l3 = if is_tagged { 18 } else { 14 };
        if is_tagged {
            frame[12..14].copy_from_slice(&[0x81, 0]);
            frame.extend([0; 4]);
        }
        frame[l3 - 2..l3 + 9].copy_from_slice(&[8, 0, 0x45, 3, 0, total, 1, 2, 0x40, 0, 64]);
        frame[l3 + 9] = if is_tcp { 6 } else { 17 };
        frame[l3 + 32] = 0x50;
        if let Some((at, byte)) = damage {
            frame[at] = byte;
        }
        let len = frame.len();
        frame.truncate(if cut < 15 { len - cut } else { len });
        frame
    })
}

/// As [`nearly_usual`], of IPv6.
fn nearly_usual_ipv6() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::option::of((12usize..76, any::<u8>()));
    let bytes = proptest::collection::vec(any::<u8>(), 80);
    let kind = (any::<bool>(), any::<bool>(), 6u8..30, 0usize..60);
    (bytes, kind, damage).prop_map(|(mut frame, (is_tcp, is_tagged, payload, cut), damage)| {
        let l3 = if is_tagged { 18 } else { 14 };
        if is_tagged {
            frame[12..14].copy_from_slice(&[0x81, 0]);
        }
        frame[l3 - 2..l3].copy_from_slice(&[0x86, 0xdd]);
        frame[l3 + 4..l3 + 6].copy_from_slice(&[0, payload]);
        frame[l3 + 6] = if is_tcp { 6 } else { 17 };
        frame[l3 + 52] = 0x50;
        if let Some((at, byte)) = damage {
            frame[at] = byte;
        }
        let len = frame.len();
        frame.truncate(if cut < 20 { len - cut } else { len });
        frame
    })
}

#[test]
fn usual_frames_are_seen_as_such() {
    let ip = |proto: &str| {
        let header = ["4500 002e 0000 4000 40", proto, "0000 0a000001 0a000002"].concat();
        [&header, "1388 0050 001a 0000", "00000000 5012 000000000000000000000000"].concat()
    };
    let (udp, tcp) = (ip("11"), ip("06"));
    let ip6 = |len: &str, proto: &str, transport: &str| {
        let addresses = "20010db8000000000000000000000001 20010db8000000000000000000000002";
        ["86dd 6a512345", len, proto, "40", addresses, transport].concat()
    };
    let (udp6, tcp6) = ("1388 0050 0008 0000", "1388 0050 0000000000000000 5012 000000000000");
    for (frame, is_usual) in [
        (["0800", &udp].concat(), true),
        (["0800", &tcp].concat(), true),
        (["8100 2064 0800", &udp].concat(), true),
        (["88a8 2064 0800", &udp].concat(), false),
        (["0800", &udp.replacen("4500", "4600", 1)].concat(), false),
        (["0800", &udp.replacen("4000", "2000", 1)].concat(), false),
        (["0800", &tcp.replacen("5012", "4012", 1)].concat(), false),
        (["0800", &tcp.replacen("002e", "0009", 1)].concat(), false),
        (["0800", &udp.replacen("002e", "0009", 1)].concat(), false),
        (["0800", &ip("01")].concat(), false),
        (ip6("0008", "11", udp6), true),
        (ip6("0014", "06", tcp6), true),
        (["8100 2064", &ip6("0014", "06", tcp6)].concat(), true),
        (ip6("0007", "11", udp6), false),
        (ip6("0009", "11", udp6), false),
        (ip6("0013", "06", tcp6), false),
        (ip6("0014", "06", &tcp6.replacen("5012", "4012", 1)), false),
        (ip6("0008", "00", udp6), false),
        (ip6("0008", "3a", udp6), false),
    ] {
        let mut key = Extracted::EMPTY;
        let found = usual(&bytes(&[ETH, &frame].concat()), &mut key);
        assert_eq!(found.is_some(), is_usual, "{frame}");
    }
}

proptest! {
    #[test]
    fn a_key_refilled_is_a_key_made_anew(frames in proptest::collection::vec(any_frame(), 1..6)) {
        let mut key = Extracted::EMPTY;
        for (frame, in_port) in frames.iter().zip(1..) {
            let meta = FlowMeta { recirc_id: in_port % 2, ..FlowMeta::of_port(in_port) };
            key.refill(frame, &meta);
            let anew = extract(frame, &meta);
            prop_assert_eq!(key.flow, anew.flow);
            prop_assert_eq!((key.offsets, key.malformed), (anew.offsets, anew.malformed));
            prop_assert_eq!(key.map, anew.map);
            prop_assert_eq!(key.flow.map().and(key.map), key.flow.map());
        }
    }

    /// What reads usual frames at one look against what reads header by header.
    #[test]
    fn usual_frames_are_read_like_all_others(frame in prop_oneof![4 => nearly_usual(), 4 => nearly_usual_ipv6(), 1 => any_frame()]) {
        let (mut usual, mut general) = (Extracted::EMPTY, Extracted::EMPTY);
        general.refill_generally(&frame);
        if let Some(offsets) = super::usual(&frame, &mut usual) {
            prop_assert_eq!(usual.flow, general.flow);
            prop_assert_eq!((offsets, None), (general.offsets, general.malformed));
            prop_assert_eq!(usual.map, general.map);
        } else {
            prop_assert_eq!((usual.flow, usual.map), (crate::Flow::ZERO, WordMap(0)));
        }
    }

    #[test]
    fn any_bytes_have_a_key(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_offsets(frame.len(), extract(&frame, &FlowMeta::default()).offsets);
    }

    #[test]
    fn damaged_frames_have_a_key(
        flow in legal_flow(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = compose(&flow, 30);
        let at = at.index(frame.len());
        frame[at] = byte;
        frame.truncate(cut.index(frame.len() + 1));
        check_offsets(frame.len(), extract(&frame, &FlowMeta::default()).offsets);
    }

    #[test]
    fn composing_is_the_inverse(flow in legal_flow(), payload_len in 0usize..100) {
        let found = extract(&compose(&flow, payload_len), &FlowMeta::of_flow(&flow));
        prop_assert_eq!(found.flow, flow, "{} is not {}", found.flow, flow);
        prop_assert_eq!(found.malformed, None);
    }

    #[test]
    fn padding_changes_nothing_of_ip(flow in legal_flow(), padding in 1usize..60) {
        if !flow.is_ip() {
            return Ok(());
        }
        let mut frame = compose(&flow, 0);
        frame.extend(core::iter::repeat_n(0xff, padding));
        prop_assert_eq!(extract(&frame, &FlowMeta::of_flow(&flow)).flow, flow);
    }
}
