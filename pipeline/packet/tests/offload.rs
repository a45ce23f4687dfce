//! A frame that is finished here equals the one that its sender would have finished.

#![expect(
    clippy::cast_possible_truncation,
    reason = "test values are cut to the width of a field on purpose"
)]

use packet::build::{self, Ip, Ipv4, Ipv6};
use packet::checksum::{finish, is_valid, pseudo_ipv4, pseudo_ipv6, sum};
use packet::edit::{self, Masked, SetIpv4, SetPorts};
use packet::wire::ethernet::ethertype;
use packet::wire::{proto, tcp};
use packet::{
    BadOffload, Covered, HEADROOM, Large, LargeKind, MAX_SEGMENTS, NoBuffer, Offload, OffloadSet,
    Offsets, Packet, Pool, PoolCache, PoolConfig, Segments, Unfinished,
};
use proptest::prelude::*;

/// A stream of TCP, or a datagram, that a guest sends.
#[derive(Clone, Debug)]
struct Sent {
    ip: Ip,
    tags: usize,
    is_tcp: bool,
    flags: u16,
    seq: u32,
    payload: Vec<u8>,
}

impl Sent {
    fn proto(&self) -> u8 {
        if self.is_tcp { proto::TCP } else { proto::UDP }
    }

    fn l3(&self) -> usize {
        14 + 4 * self.tags
    }

    fn l4(&self) -> usize {
        self.l3() + if matches!(self.ip, Ip::V4(_)) { 20 } else { 40 }
    }

    fn place(&self) -> usize {
        if self.is_tcp { 16 } else { 6 }
    }

    fn header_len(&self) -> usize {
        self.l4() + if self.is_tcp { 20 } else { 8 }
    }

    /// Finished, with `payload` from `seq` on and the identification counted on.
    fn segment(&self, payload: &[u8], seq: u32, flags: u16, n: u16) -> Vec<u8> {
        let packet = if self.is_tcp {
            let segment = tcp::Repr { src: 1000, dst: 2000, seq, ack: 7, flags, window: 9 };
            build::tcp(&self.ip, segment, payload)
        } else {
            build::udp(&self.ip, 1000, 2000, payload)
        };
        let kind = if matches!(self.ip, Ip::V4(_)) { ethertype::IPV4 } else { ethertype::IPV6 };
        let mut frame = build::ethernet([2; 6], [4; 6], kind, &packet);
        for tag in 0..self.tags {
            frame = build::vlan(ethertype::VLAN, tag as u16 + 5, &frame);
        }
        if matches!(self.ip, Ip::V4(_)) && n > 0 {
            let header = &mut frame[self.l3()..][..20];
            header[4..6].copy_from_slice(&(1 + n).to_be_bytes());
            header[10..12].fill(0);
            let total = finish(sum(header, 0));
            header[10..12].copy_from_slice(&total.to_be_bytes());
        }
        frame
    }

    fn finished(&self) -> Vec<u8> {
        self.segment(&self.payload, self.seq, self.flags, 0)
    }

    /// As a guest sends it that leaves the checksum to its device.
    fn bytes(&self) -> Vec<u8> {
        let mut frame = self.finished();
        let len = frame.len() - self.l4();
        let pseudo = match &self.ip {
            Ip::V4(ip) => pseudo_ipv4(ip.src, ip.dst, self.proto(), len as u16),
            Ip::V6(ip) => pseudo_ipv6(ip.src, ip.dst, self.proto(), len as u32),
        };
        let at = self.l4() + self.place();
        frame[at..at + 2].copy_from_slice(&(!finish(pseudo)).to_be_bytes());
        frame
    }

    fn kind(&self) -> LargeKind {
        if matches!(self.ip, Ip::V4(_)) { LargeKind::TcpV4 } else { LargeKind::TcpV6 }
    }

    fn wishes(&self, size: Option<u16>) -> Unfinished {
        Unfinished {
            checksum_start: self.l4(),
            checksum_offset: self.place(),
            large: size.map(|size| Large {
                kind: self.kind(),
                has_cwr: self.flags & 0x80 != 0,
                size,
            }),
        }
    }

    fn packet(&self, cache: &mut PoolCache, size: Option<u16>) -> Packet {
        let mut packet = cache.from_bytes(&self.bytes()).unwrap();
        packet.leave_unfinished(&self.wishes(size)).unwrap();
        packet
    }

    fn offsets(&self) -> Offsets {
        Offsets::new(None, Some(self.l3() as u16), Some(self.l4() as u16))
    }

    /// What is on the wire when it is cut into pieces of `size`.
    fn model(&self, size: usize) -> Vec<Vec<u8>> {
        let parts: Vec<_> = self.payload.chunks(size).collect();
        let n = parts.len();
        let cut = parts.into_iter().enumerate().map(|(k, part)| {
            let mut flags = self.flags;
            flags &= if k > 0 { !0x80 } else { !0 };
            flags &= if k + 1 < n { !0x09 } else { !0 };
            let seq = self.seq.wrapping_add((k * size) as u32);
            self.segment(part, seq, flags, k as u16)
        });
        cut.collect()
    }

    /// All ones and zero are one checksum to TCP, and both are written.
    fn assert_same(&self, got: &[u8], wanted: &[u8]) {
        let at = self.l4() + self.place();
        let blank = |frame: &[u8]| {
            let mut frame = frame.to_vec();
            if frame[at..at + 2] == [0xff; 2] {
                frame[at..at + 2].fill(0);
            }
            frame
        };
        assert!(blank(got) == blank(wanted), "{:02x?}\n{:02x?}", &got[..60], &wanted[..60]);
    }
}

fn cache() -> PoolCache {
    PoolCache::new(Pool::on_heap_with_large(PoolConfig { small: 512, jumbo: 64 }, 32))
}

fn segments(whole: &Packet, cache: &mut PoolCache) -> Vec<Vec<u8>> {
    let mut segments = Segments::of(whole).unwrap();
    let mut cut = Vec::new();
    while let Some(mut segment) = segments.next(cache).unwrap() {
        assert!(segment.finish_checksum() && segment.offload() == Offload::NONE);
        cut.push(segment.data().to_vec());
        cache.free(segment);
    }
    cut
}

fn sent(max: usize) -> impl Strategy<Value = Sent> {
    let v4 = (any::<u32>(), any::<u32>())
        .prop_map(|(src, dst)| Ip::V4(Ipv4 { src, dst, ..Ipv4::default() }));
    let v6 = (any::<u128>(), any::<u128>())
        .prop_map(|(src, dst)| Ip::V6(Ipv6 { src, dst, ..Ipv6::default() }));
    let payload = (0..max, any::<u8>()).prop_map(|(len, seed)| {
        (0..len).map(|at| (at as u32).wrapping_mul(2_654_435_761) as u8 ^ seed).collect()
    });
    (prop_oneof![v4, v6], 0..3_usize, any::<bool>(), 0..0x200_u16, any::<u32>(), payload).prop_map(
        |(ip, tags, is_tcp, flags, seq, payload)| Sent { ip, tags, is_tcp, flags, seq, payload },
    )
}

proptest! {
    #[test]
    fn a_checksum_that_is_finished_here_is_the_senders(sent in sent(3000)) {
        let mut cache = cache();
        let mut packet = sent.packet(&mut cache, None);
        prop_assert_eq!(packet.unfinished(), Some(sent.wishes(None)));
        prop_assert!(packet.passes(OffloadSet::CHECKSUM) && !packet.passes(OffloadSet::NONE));
        prop_assert_eq!(packet.wire_len(), packet.len());
        prop_assert!(packet.finish_checksum());
        sent.assert_same(packet.data(), &sent.finished());
        prop_assert!(packet.offload().is_none() && packet.passes(OffloadSet::NONE));
    }

    #[test]
    fn segments_are_what_the_sender_would_have_sent(
        sent in sent(20_000),
        size in prop_oneof![100..3000_u16, Just(1460), Just(9000)],
    ) {
        let sent = Sent { is_tcp: true, ..sent };
        let mut cache = cache();
        let whole = sent.packet(&mut cache, Some(size));
        prop_assert_eq!(whole.is_large(), sent.payload.len() > usize::from(size));
        if whole.is_large() {
            prop_assert_eq!(whole.large_header_len(), Some(sent.header_len()));
            prop_assert_eq!(whole.wire_len(), sent.header_len() + usize::from(size));
            let (cut, model) = (segments(&whole, &mut cache), sent.model(size.into()));
            prop_assert_eq!(cut.len(), model.len());
            cut.iter().zip(&model).for_each(|(cut, model)| sent.assert_same(cut, model));
        } else {
            prop_assert_eq!(whole.unfinished(), Some(sent.wishes(None)));
        }
    }

    #[test]
    fn edits_before_and_after_finishing_are_the_same(
        sent in sent(200),
        addresses in any::<[u32; 4]>(),
        ports in any::<[u16; 4]>(),
        ttl in any::<u8>(),
    ) {
        let at = sent.offsets();
        let edit_addresses = |packet: &mut Packet| match sent.ip {
            Ip::V4(_) => {
                let [src, dst, mask, _] = addresses;
                let src = Masked { value: src, mask };
                let to = SetIpv4 { src, dst: dst.into(), ttl: ttl.into(), ..SetIpv4::default() };
                edit::set_ipv4(packet, &at, &to)
            }
            Ip::V6(_) => {
                let wide = |k: usize| u128::from(addresses[k]) << 70 | u128::from(addresses[k + 1]);
                edit::set_ipv6_src(packet, &at, wide(0).into())
                    && edit::set_ipv6_dst(packet, &at, wide(2).into())
            }
        };
        let edit_ports = |packet: &mut Packet| {
            let [src, dst, mask, flags] = ports;
            let to = SetPorts { src: src.into(), dst: Masked { value: dst, mask } };
            match sent.is_tcp {
                true => {
                    let flags = Masked { value: flags, mask: 0xf7f };
                    edit::set_tcp(packet, &at, &to) && edit::set_tcp_flags(packet, &at, flags)
                }
                false => edit::set_udp(packet, &at, &to),
            }
        };
        let mut cache = cache();
        let mut later = sent.packet(&mut cache, None);
        let mut first = cache.from_bytes(&sent.finished()).unwrap();
        prop_assert!(edit_addresses(&mut first) && edit_ports(&mut first));
        prop_assert!(later.edit_unfinished(Covered::Addresses, edit_addresses));
        prop_assert!(later.edit_unfinished(Covered::Bytes, edit_ports));
        prop_assert!(later.finish_checksum());
        sent.assert_same(later.data(), first.data());
    }

    /// Whatever a hostile sender wishes: nothing is read or written outside, and what is accepted ends.
    #[test]
    fn any_wish_is_refused_or_carried_out(
        frame in prop::collection::vec(any::<u8>(), 14..400),
        base in sent(600),
        is_frame in any::<bool>(),
        start in prop_oneof![0..700_usize, any::<usize>()],
        offset in prop_oneof![Just(16_usize), Just(6), 0..700_usize, any::<usize>()],
        is_right_start in any::<bool>(),
        large in prop::option::of((any::<bool>(), any::<bool>(), any::<u16>())),
        pulled in 0..200_usize,
        cut in 0..800_usize,
    ) {
        let mut cache = cache();
        let bytes = if is_frame { base.bytes() } else { frame };
        let mut packet = cache.from_bytes(&bytes).unwrap();
        let wishes = Unfinished {
            checksum_start: if is_right_start { base.l4() } else { start },
            checksum_offset: offset,
            large: large.map(|(is_v4, has_cwr, size)| {
                let kind = if is_v4 { LargeKind::TcpV4 } else { LargeKind::TcpV6 };
                Large { kind, has_cwr, size }
            }),
        };
        match packet.leave_unfinished(&wishes) {
            Err(BadOffload) => prop_assert!(packet.data() == bytes && packet.offload().is_none()),
            Ok(()) => {
                // Somebody takes bytes away at either end.
                let _ = packet.pull_front(pulled);
                let _ = packet.set_len(cut.min(packet.len()));
                let _ = packet.wire_len();
                let _ = packet.passes(OffloadSet::CHECKSUM.and(OffloadSet::TCP_V4));
                match Segments::of(&packet) {
                    Some(mut segments) => {
                        while let Some(segment) = segments.next(&mut cache).unwrap() {
                            cache.free(segment);
                        }
                    }
                    None => drop(packet.finish_checksum()),
                }
            }
        }
    }
}

fn stream(len: usize) -> Sent {
    let payload = (0..len).map(|at| at as u8).collect();
    let ip = Ip::V4(Ipv4::default());
    Sent { ip, tags: 0, is_tcp: true, flags: 0x99, seq: u32::MAX - 999, payload }
}

#[test]
fn sixty_four_kilobytes_are_cut() {
    let sent = stream(65_535 - 40);
    let mut cache = cache();
    let whole = sent.packet(&mut cache, Some(1448));
    assert_eq!(whole.len(), 65_549);
    let cut = segments(&whole, &mut cache);
    assert_eq!(cut.len(), 46);
    for frame in &cut {
        let (tcp, len) = (&frame[34..], (frame.len() - 34) as u16);
        assert!(is_valid(sum(tcp, pseudo_ipv4(0x0a00_0001, 0x0a00_0002, proto::TCP, len))));
    }
    cut.iter().zip(&sent.model(1448)).for_each(|(cut, model)| sent.assert_same(cut, model));
}

#[test]
fn copies_are_as_unfinished() {
    let mut cache = cache();
    for (len, size) in [(100, None), (5000, Some(1000)), (60_000, Some(1448))] {
        let sent = stream(len);
        let whole = sent.packet(&mut cache, size);
        let copy = cache.copy(&whole).unwrap();
        assert_eq!((copy.unfinished(), copy.data()), (Some(sent.wishes(size)), whole.data()));
    }
}

#[test]
fn headers_in_front_come_and_go() {
    let sent = Sent { tags: 1, ..stream(3000) };
    let mut cache = cache();
    let mut whole = sent.packet(&mut cache, Some(1000));
    let all = OffloadSet::CHECKSUM.and(OffloadSet::TCP_V4).and(OffloadSet::CWR);
    assert!(whole.passes(all) && !whole.passes(OffloadSet::CHECKSUM.and(OffloadSet::TCP_V4)));
    let mut at = sent.offsets();
    assert!(edit::push_mpls(&mut whole, &mut at, ethertype::MPLS, 0x1140));
    assert!(!whole.passes(all), "no device cuts what stands behind labels");
    assert_eq!(segments(&whole, &mut cache).len(), 3, "but here it is cut");
    assert!(edit::pop_mpls(&mut whole, &mut at, ethertype::IPV4));
    assert!(edit::pop_vlan(&mut whole, &mut at).is_some());
    assert!(whole.passes(all));
    let bare = Sent { tags: 0, ..sent };
    let (cut, model) = (segments(&whole, &mut cache), bare.model(1000));
    cut.iter().zip(&model).for_each(|(cut, model)| bare.assert_same(cut, model));
}

#[test]
fn what_no_flow_sees_is_finished_at_once() {
    let mut cache = cache();
    let sent = stream(100);
    let mut packet = cache.from_bytes(&sent.bytes()).unwrap();
    // Into the source address: it must be there before anybody matches it.
    let wishes = Unfinished { checksum_start: 20, checksum_offset: 6, large: None };
    assert_eq!(packet.leave_unfinished(&wishes), Ok(()));
    assert!(packet.offload().is_none());
    assert_ne!(&packet.data()[26..28], &sent.bytes()[26..28]);
    assert_eq!(&packet.data()[28..], &sent.bytes()[28..]);
}

#[test]
fn wishes_that_make_no_sense() {
    let mut cache = cache();
    let sent = stream(3000);
    let right = sent.wishes(Some(1000));
    let large = right.large.unwrap();
    let v6 = Some(Large { kind: LargeKind::TcpV6, ..large });
    let none = Some(Large { size: 0, ..large });
    let len = sent.bytes().len();
    for wishes in [
        Unfinished { large: v6, ..right },
        Unfinished { large: none, ..right },
        Unfinished { checksum_start: 33, ..right },
        Unfinished { checksum_offset: 6, ..right },
        Unfinished { checksum_start: len - 1, large: None, ..right },
        Unfinished { checksum_start: usize::MAX, large: None, ..right },
        Unfinished { checksum_offset: len - 35, large: None, ..right },
    ] {
        let mut packet = cache.from_bytes(&sent.bytes()).unwrap();
        assert_eq!(packet.leave_unfinished(&wishes), Err(BadOffload), "{wishes:?}");
    }
    for spoil in [(14, 0x46), (20, 0x20), (23, 17), (46, 0x40), (46, 0xf0), (12, 0x86)] {
        let mut bytes = sent.bytes();
        bytes[spoil.0] = spoil.1;
        let mut packet = cache.from_bytes(&bytes[..60]).unwrap();
        assert_eq!(packet.leave_unfinished(&right), Err(BadOffload), "{spoil:?}");
    }
}

#[test]
fn too_many_segments_are_none() {
    let mut cache = cache();
    for (len, is_cut) in [(MAX_SEGMENTS * 10, true), (MAX_SEGMENTS * 10 + 1, false)] {
        let whole = stream(len).packet(&mut cache, Some(10));
        assert_eq!(Segments::of(&whole).is_some(), is_cut);
    }
}

#[test]
fn without_a_buffer_the_segment_waits() {
    let mut cache = PoolCache::new(Pool::on_heap(PoolConfig { small: 1, jumbo: 2 }));
    let sent = stream(3000);
    let whole = sent.packet(&mut cache, Some(1460));
    let mut segments = Segments::of(&whole).unwrap();
    let first = segments.next(&mut cache).unwrap().unwrap();
    let second = segments.next(&mut cache);
    assert_eq!(second.err(), Some(NoBuffer));
    cache.free(first);
    let seq = |packet: Packet| u32::from_be_bytes(packet.data()[38..42].try_into().unwrap());
    let second = segments.next(&mut cache).unwrap().unwrap();
    assert_eq!(seq(second), sent.seq.wrapping_add(1460));
}

#[test]
fn large_buffers_are_home_again() {
    let pool = Pool::on_heap_with_large(PoolConfig { small: 4, jumbo: 4 }, 3);
    let mut cache = PoolCache::new(pool.clone());
    let all: Vec<_> = (0..3).map(|_| cache.alloc_for(65_557).unwrap()).collect();
    assert!(cache.alloc_for(65_557).is_none() && cache.alloc_for(70_000).is_none());
    assert!(all.iter().all(|packet| packet.tailroom() >= 65_557 && packet.headroom() == HEADROOM));
    all.into_iter().for_each(|packet| cache.free(packet));
    cache.flush();
    assert_eq!((pool.available_large(), pool.available()), ((3, 3), (4, 4)));
}
