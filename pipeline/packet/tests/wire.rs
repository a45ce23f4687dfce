//! Views take any bytes without a panic; meanings survive being written and read.

#![expect(
    clippy::cast_possible_truncation,
    reason = "test values are cut to the width of a field on purpose"
)]

use packet::build::{self, Ipv4};
use packet::checksum;
use packet::wire::{
    Malformed, arp, ethernet, icmp, icmpv6, ipv4, ipv6, mpls, proto, sctp, tcp, udp, vlan,
};
use proptest::prelude::*;
use std::hint::black_box;

/// Calls every accessor of every view that takes the bytes.
fn read_all(bytes: &[u8]) {
    if let Ok(v) = ethernet::View::new_checked(bytes) {
        black_box((ethernet::Repr::parse(&v), v.payload()));
    }
    if let Ok(v) = vlan::View::new_checked(bytes) {
        black_box((vlan::Repr::parse(&v), v.vid(), v.pcp(), v.payload()));
    }
    if let Ok(v) = mpls::View::new_checked(bytes) {
        black_box((mpls::Repr::from_lse(v.lse()), v.payload()));
    }
    if let Ok(v) = arp::View::new_checked(bytes) {
        black_box(arp::Repr::parse(&v));
    }
    if let Ok(v) = ipv4::View::new_checked(bytes) {
        assert!(v.header_len() + v.payload().len() == v.total_len());
        black_box((ipv4::Repr::parse(&v), v.is_checksum_valid(), v.is_later_fragment()));
    }
    if let Ok(v) = ipv6::View::new_checked(bytes) {
        assert_eq!(v.payload().len(), v.payload_len());
        if let Ok(upper) = v.upper() {
            assert!(upper.offset >= ipv6::LEN && upper.offset <= ipv6::LEN + v.payload_len());
        }
        black_box(ipv6::Repr::parse(&v));
    }
    if let Ok(v) = tcp::View::new_checked(bytes) {
        black_box((tcp::Repr::parse(&v), v.checksum(), v.payload()));
    }
    if let Ok(v) = udp::View::new_checked(bytes) {
        assert_eq!(v.payload().len() + udp::LEN, v.length());
        black_box((udp::Repr::parse(&v), v.checksum()));
    }
    if let Ok(v) = sctp::View::new_checked(bytes) {
        black_box((sctp::Repr::parse(&v), v.checksum(), v.payload()));
    }
    if let Ok(v) = icmp::View::new_checked(bytes) {
        black_box((icmp::Repr::parse(&v), v.checksum(), v.payload()));
    }
    if let Ok(v) = icmpv6::View::new_checked(bytes) {
        black_box((v.checksum(), v.payload()));
        if let Some(nd) = v.neighbor() {
            let mut options = nd.options();
            let end = options.by_ref().map(|option| option.offset + option.len).last();
            assert!(end.unwrap_or(0) <= bytes.len());
            black_box((nd.target(), nd.reserved(), options.is_malformed()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_view_panics(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        read_all(&bytes);
    }

    /// As above, with first bytes that get further.
    #[test]
    fn no_view_panics_on_near_misses(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        start in prop_oneof![
            Just(vec![0x45]), Just(vec![0x60, 0, 0, 0, 0, 40, 43]), Just(vec![0x60, 0, 0, 0, 0, 60, 0]),
            Just(vec![0, 1, 8, 0, 6, 4]), Just(vec![135, 0]), Just(vec![0x4f, 0, 0, 70]),
        ],
    ) {
        read_all(&[start, bytes].concat());
    }

    #[test]
    fn meanings_survive_the_wire(words in any::<[u32; 8]>(), wide in any::<[u128; 2]>()) {
        let [a, b, c, d, e, ..] = words;
        let half = |word: u32| (word >> 16) as u16;
        let mac = [a as u8, b as u8, c as u8, d as u8, e as u8, 1];
        let mut bytes = [0_u8; 60];

        let repr = ethernet::Repr { dst: mac, src: [7; 6], ethertype: half(a) };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(ethernet::Repr::parse(&ethernet::View::new_checked(&bytes).unwrap()), repr);

        let repr = vlan::Repr { tpid: half(a), tci: half(b) };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(vlan::Repr::parse(&vlan::View::new_checked(&bytes).unwrap()), repr);

        prop_assert_eq!(mpls::Repr::from_lse(a).to_lse(), a);

        let repr = arp::Repr { op: half(a), sha: mac, spa: b, tha: [3; 6], tpa: c };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(arp::Repr::parse(&arp::View::new_checked(&bytes).unwrap()), repr);

        let repr = ipv4::Repr {
            tos: a as u8, ident: half(a), fragment: half(b), ttl: c as u8, proto: d as u8,
            src: b, dst: c, payload_len: 40,
        };
        repr.emit(&mut bytes).unwrap();
        let view = ipv4::View::new_checked(&bytes).unwrap();
        prop_assert!(view.is_checksum_valid());
        prop_assert_eq!(ipv4::Repr::parse(&view), Some(repr));

        let repr = ipv6::Repr {
            traffic_class: a as u8, flow_label: b & ipv6::LABEL_MASK, payload_len: 20,
            next_header: c as u8, hop_limit: d as u8, src: wide[0], dst: wide[1],
        };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(ipv6::Repr::parse(&ipv6::View::new_checked(&bytes).unwrap()), repr);

        let repr = tcp::Repr {
            src: half(a), dst: half(b), seq: c, ack: d, flags: half(e) & tcp::FLAGS_MASK, window: 5,
        };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(tcp::Repr::parse(&tcp::View::new_checked(&bytes).unwrap()), repr);

        let repr = udp::Repr { src: half(a), dst: half(b), length: 60 };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(udp::Repr::parse(&udp::View::new_checked(&bytes).unwrap()), repr);

        let repr = sctp::Repr { src: half(a), dst: half(b), tag: c };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(sctp::Repr::parse(&sctp::View::new_checked(&bytes).unwrap()), repr);

        let repr = icmp::Repr { kind: a as u8, code: b as u8, rest: c };
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(icmp::Repr::parse(&icmp::View::new_checked(&bytes).unwrap()), repr);
    }

    #[test]
    fn an_updated_checksum_is_the_new_sum(
        data in prop::collection::vec(any::<u16>(), 1..40), at in any::<prop::sample::Index>(),
        value in any::<u16>(),
    ) {
        // A leading 1 keeps the sum from being all zeros, which no real header's is.
        let bytes = |words: &[u16]| -> Vec<u8> {
            [&[0, 1][..], &words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>()].concat()
        };
        let before = checksum::finish(checksum::sum(&bytes(&data), 0));
        let mut changed = data.clone();
        let at = at.index(data.len());
        changed[at] = value;
        let after = checksum::finish(checksum::sum(&bytes(&changed), 0));
        let updated = checksum::update(before, &data[at].to_be_bytes(), &value.to_be_bytes());
        prop_assert_eq!(updated, after);
    }
}

#[test]
fn known_checksums() {
    // RFC 1071 §3.
    assert_eq!(checksum::sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), 0xddf2);
    assert_eq!(checksum::sum(&[0xab], 0), 0xab00);
    // RFC 3720 appendix B.4 and the customary check value.
    assert_eq!(checksum::crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(checksum::crc32c(b"123456789"), 0xe306_9283);
    // A header as seen on the wire.
    let header = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];
    assert!(checksum::is_valid(checksum::sum(&header, 0)));
}

#[test]
fn impossible_headers_are_refused() {
    let udp = build::udp(&Ipv4::default().into(), 1, 2, b"abc");
    let mutated = |at: usize, value: u8| {
        let mut bytes = udp.clone();
        bytes[at] = value;
        bytes
    };
    assert!(ipv4::View::new_checked(&udp).is_ok());
    for bad in [
        mutated(0, 0x44),   // header of 16 bytes
        mutated(0, 0x65),   // version 6
        mutated(0, 0x4f),   // options beyond the end
        mutated(3, 32),     // longer than what is there
        mutated(3, 19),     // shorter than the header
        udp[..30].to_vec(), // cut off
        udp[..19].to_vec(),
    ] {
        assert_eq!(ipv4::View::new_checked(&bad).err(), Some(Malformed), "{bad:02x?}");
    }
    assert!(udp::View::new_checked(&[0, 1, 0, 2, 0, 7, 0, 0]).is_err());
    assert!(udp::View::new_checked(&[0, 1, 0, 2, 0, 9, 0, 0]).is_err());
    let mut segment = [0; 20];
    segment[12] = 0x40;
    assert!(tcp::View::new_checked(&segment).is_err());
    segment[12] = 0x60;
    assert!(tcp::View::new_checked(&segment).is_err());
}

#[test]
fn extension_headers_are_walked() {
    let walk = |first: u8, payload: &[u8]| {
        let ip = build::Ipv6::default();
        let bytes = build::ip(&ip.into(), first, payload);
        ipv6::View::new_checked(&bytes).unwrap().upper()
    };
    let plain = walk(proto::TCP, &[]).unwrap();
    assert_eq!((plain.proto, plain.offset, plain.fragment), (proto::TCP, 40, None));

    // Hop-by-hop (8), routing with one segment left (8), first fragment (8), destination (16).
    let mut chain = vec![proto::ROUTING, 0, 0, 0, 0, 0, 0, 0];
    chain.extend([proto::FRAGMENT, 0, 0, 1, 0, 0, 0, 0]);
    chain.extend([proto::DESTINATION, 0, 0, 1, 0, 0, 0, 9]);
    chain.extend([proto::UDP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let end = walk(proto::HOP_BY_HOP, &chain).unwrap();
    assert_eq!((end.proto, end.offset), (proto::UDP, 80));
    assert!(end.has_segments_left && end.fragment == Some(1) && !end.is_later_fragment());

    // A later fragment ends the walk: what follows is data, whatever its number says.
    let later = walk(proto::FRAGMENT, &[proto::DESTINATION, 0, 0, 8, 0, 0, 0, 9, 1, 2]).unwrap();
    assert_eq!((later.proto, later.offset), (proto::DESTINATION, 48));
    assert!(later.is_later_fragment());

    // Authentication counts in fours.
    let auth = walk(
        proto::AUTHENTICATION,
        &[proto::TCP, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    assert_eq!(auth.map(|upper| (upper.proto, upper.offset)), Ok((proto::TCP, 64)));

    assert_eq!(walk(proto::HOP_BY_HOP, &[6, 0, 0]), Err(Malformed));
    assert_eq!(walk(proto::HOP_BY_HOP, &[6, 9, 0, 0, 0, 0, 0, 0]), Err(Malformed));
}
