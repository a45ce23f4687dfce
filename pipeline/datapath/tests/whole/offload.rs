//! Packets that their sender left unfinished: through any program, what is on the wires in the end is what
//! would have been there had the sender finished them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::{DST, SRC, catch_all, out};
use datapath::{
    Accounting, CheckPktLen, Command, CoreCounters, CoreId, DpAction, DropReason, EmcConfig,
    HashAction, HashKind, Masked, MeterTable, Output, PacketInReason, PmdConfig, PmdDatapath,
    PortCounters, PortNo, PushMpls, PushVlan, SetEth, SetIpv4, SetIpv6, SetMeta, SetPorts,
    SmcEnable, TableLimits, TtlCopy, Upcall, UpcallAction, UpcallReason,
};
use packet::build::{Ip, Ipv4, Ipv6, ethernet, tcp, udp, vlan};
use packet::checksum::{finish, pseudo_ipv4, pseudo_ipv6, sum};
use packet::wire::tcp::Repr;
use packet::{
    Batch, Large, LargeKind, OffloadSet, Packet, Pool, PoolCache, PoolConfig, Segments, Unfinished,
};
use proptest::{collection::vec, prelude::*};
use sync::time::Nanos;

/// What the devices of the ports do: those of 1 and 2 nothing.
fn offloads(port: u32) -> OffloadSet {
    let checksum = OffloadSet::CHECKSUM;
    match port {
        3 => checksum,
        4 => checksum.and(OffloadSet::TCP_V4).and(OffloadSet::TCP_V6).and(OffloadSet::CWR),
        _ => OffloadSet::NONE,
    }
}

/// Wires behind devices that finish what they have promised to, and controllers, which have not.
struct Outside {
    cache: PoolCache,
    /// Where devices cut.
    device: PoolCache,
    counters: BTreeMap<u32, Arc<PortCounters>>,
    /// By port; 0 for the controllers.
    wires: BTreeMap<u32, Vec<Vec<u8>>>,
    /// Packets that were given to devices unfinished, and of those the large ones.
    n_unfinished: u64,
    n_large: u64,
}

impl Outside {
    fn wire(&mut self, port: u32, packet: &Packet) {
        self.wires.entry(port).or_default().push(packet.data().to_vec());
    }
}

impl Output for Outside {
    fn transmit(&mut self, port: PortNo, mut packet: Packet) {
        let port = port.0;
        assert!(packet.passes(offloads(port)), "given to a device that does not finish it");
        self.counters[&port].transmitted(1, packet.len() as u64);
        self.n_unfinished += u64::from(!packet.offload().is_none());
        if packet.is_large() {
            self.n_large += 1;
            let mut segments = Segments::of(&packet).unwrap();
            while let Some(mut segment) = segments.next(&mut self.device).unwrap() {
                assert!(segment.finish_checksum());
                self.wire(port, &segment);
                self.device.free(segment);
            }
        } else {
            assert!(packet.finish_checksum());
            self.wire(port, &packet);
        }
        self.cache.free(packet);
    }

    fn upcall(&mut self, upcall: Upcall) -> Result<(), (Upcall, DropReason)> {
        assert!(
            matches!(upcall.reason, UpcallReason::Action(_)) && upcall.packet.offload().is_none()
        );
        self.wire(0, &upcall.packet);
        self.cache.free(upcall.packet);
        Ok(())
    }

    fn cache(&mut self) -> &mut PoolCache {
        &mut self.cache
    }
}

struct Lab {
    pmd: PmdDatapath,
    core: Arc<CoreCounters>,
    outside: Outside,
}

impl Lab {
    /// Ports 1 to 5, of which 5 is where frames come in, with programs by recirculation id.
    fn new(programs: &[Vec<DpAction>], buffers: PoolConfig, n_large: usize) -> Self {
        let config = PmdConfig {
            core: CoreId(0),
            limits: TableLimits::default(),
            emc: EmcConfig::OFF,
            smc_enable: SmcEnable::Off,
            hash_basis: 1,
            sample_one_in: 0,
        };
        let core = Arc::new(CoreCounters::default());
        let outside = Outside {
            cache: PoolCache::new(Pool::on_heap_with_large(buffers, n_large)),
            device: PoolCache::new(Pool::on_heap(PoolConfig { small: 16, jumbo: 16 })),
            counters: (1..=5).map(|port| (port, Arc::default())).collect(),
            wires: BTreeMap::new(),
            n_unfinished: 0,
            n_large: 0,
        };
        let pmd = PmdDatapath::new(config, core.clone(), Arc::new(MeterTable::default()));
        let mut lab = Self { pmd, core, outside };
        for port in 1..=5 {
            let counters = lab.outside.counters[&port].clone();
            lab.apply(Command::AddPort(PortNo(port), counters));
            let offloads = offloads(port);
            lab.apply(Command::SetLink { port: PortNo(port), has_link: true, offloads });
        }
        for (recirc_id, program) in programs.iter().enumerate() {
            let megaflow = catch_all(5, u32::try_from(recirc_id).unwrap(), program);
            assert_eq!(lab.pmd.put(megaflow), Ok(()));
        }
        lab
    }

    fn apply(&mut self, command: Command) {
        self.pmd.apply(command, Nanos::ZERO, &mut self.outside);
    }

    fn receive(&mut self, packets: Vec<Packet>) {
        let mut packets = packets.into_iter().peekable();
        while packets.peek().is_some() {
            let mut batch: Batch = packets.by_ref().take(32).collect();
            self.pmd.input(PortNo(5), &mut batch, Nanos::from_secs(1), &mut self.outside);
        }
    }

    fn accounting(&self) -> Accounting {
        let mut sums = Accounting::default();
        sums.add_core(&self.core);
        self.outside.counters.values().for_each(|port| sums.add_port(&port.read()));
        sums
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.outside.counters.values().map(|port| port.read().drops.get(reason)).sum()
    }
}

#[derive(Clone, Debug)]
struct Sent {
    is_v4: bool,
    is_tcp: bool,
    is_tagged: bool,
    between: Between,
    payload: Vec<u8>,
}

/// What stands between the network header that every packet has and the transport header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    /// Options of IPv4 that do nothing; of IPv6, options for each hop.
    Options,
    /// A source route in IPv6, of which a station is left; in IPv4 longer options.
    Route,
}

impl Between {
    fn len(self, is_v4: bool) -> usize {
        match (self, is_v4) {
            (Self::Nothing, _) => 0,
            (Self::Options, true) => 4,
            (Self::Options, false) => 8,
            (Self::Route, true) => 40,
            (Self::Route, false) => 24,
        }
    }

    /// Puts it into an IP packet.
    fn put(self, is_v4: bool, mut packet: Vec<u8>) -> Vec<u8> {
        let n = self.len(is_v4);
        if n == 0 {
            return packet;
        }
        let (at, length) = if is_v4 { (20, 2) } else { (40, 4) };
        let mut more = vec![1; n];
        if !is_v4 {
            more.fill(0);
            (more[0], more[1]) = (packet[6], u8::try_from(n / 8 - 1).unwrap());
            // Six bytes of padding (RFC 8200 §4.2), or type 0 with one segment left (RFC 2460 §4.4).
            (packet[6], more[2], more[3]) =
                if self == Self::Options { (0, 1, 4) } else { (43, 0, 1) };
        }
        packet.splice(at..at, more);
        let says = u16::from_be_bytes([packet[length], packet[length + 1]]);
        let says = (says + u16::try_from(n).unwrap()).to_be_bytes();
        packet[length..length + 2].copy_from_slice(&says);
        if is_v4 {
            packet[0] = 0x45 + u8::try_from(n / 4).unwrap();
            seal(&mut packet[..20 + n]);
        }
        packet
    }
}

/// Makes the checksum of an IPv4 header right.
fn seal(header: &mut [u8]) {
    header[10..12].fill(0);
    let total = finish(sum(header, 0));
    header[10..12].copy_from_slice(&total.to_be_bytes());
}

impl Sent {
    fn ip(&self) -> Ip {
        if self.is_v4 { Ipv4::default().into() } else { Ipv6::default().into() }
    }

    fn l3(&self) -> usize {
        14 + if self.is_tagged { 4 } else { 0 }
    }

    fn l4(&self) -> usize {
        self.l3() + if self.is_v4 { 20 } else { 40 } + self.between.len(self.is_v4)
    }

    /// As the sender would finish it: the part of the stream from `at` on.
    fn finished(&self, at: usize, part: &[u8]) -> Vec<u8> {
        let seq = 77 + u32::try_from(at).unwrap();
        let packet = match self.is_tcp {
            true => {
                let segment = Repr { src: 1, dst: 2, seq, ack: 5, flags: 0x10, window: 9 };
                tcp(&self.ip(), segment, part)
            }
            false => udp(&self.ip(), 1, 2, part),
        };
        let packet = self.between.put(self.is_v4, packet);
        let frame = ethernet(DST, SRC, if self.is_v4 { 0x0800 } else { 0x86dd }, &packet);
        if self.is_tagged { vlan(0x8100, 7, &frame) } else { frame }
    }

    fn unfinished(&self, size: Option<u16>, cache: &mut PoolCache) -> Packet {
        let mut frame = self.finished(0, &self.payload);
        let len = frame.len() - self.l4();
        let (proto, place) = if self.is_tcp { (6, 16) } else { (17, 6) };
        let pseudo = match self.ip() {
            Ip::V4(ip) => pseudo_ipv4(ip.src, ip.dst, proto, u16::try_from(len).unwrap()),
            Ip::V6(ip) => pseudo_ipv6(ip.src, ip.dst, proto, u32::try_from(len).unwrap()),
        };
        frame[self.l4() + place..][..2].copy_from_slice(&(!finish(pseudo)).to_be_bytes());
        let kind = if self.is_v4 { LargeKind::TcpV4 } else { LargeKind::TcpV6 };
        let wishes = Unfinished {
            checksum_start: self.l4(),
            checksum_offset: place,
            large: size.map(|size| Large { kind, has_cwr: false, size }),
        };
        let mut packet = cache.from_bytes(&frame).unwrap();
        packet.leave_unfinished(&wishes).unwrap();
        packet
    }

    /// The frames that a sender makes who cuts them itself.
    fn cut(&self, size: usize, cache: &mut PoolCache) -> Vec<Packet> {
        let parts = self.payload.chunks(size).enumerate();
        let frames = parts.map(|(n, part)| {
            let mut frame = self.finished(n * size, part);
            if self.is_v4 {
                let header = &mut frame[self.l3()..self.l4()];
                header[4..6].copy_from_slice(&(1 + u16::try_from(n).unwrap()).to_be_bytes());
                seal(header);
            }
            cache.from_bytes(&frame).unwrap()
        });
        frames.collect()
    }
}

/// Whether frames are the same, but for a checksum of which zero has two spellings.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ: Vec<_> = (0..one.len().min(other.len())).filter(|&k| one[k] != other[k]).collect();
    one.len() == other.len()
        && match *differ {
            [] => true,
            [a, b] => {
                b == a + 1
                    && [[0; 2], [0xff; 2]].contains(&[one[a], one[b]])
                    && one[a] == !other[a]
                    && one[b] == !other[b]
            }
            _ => false,
        }
}

/// Whether the same frames left by each port. Their order is that of the batches in which they were looked
/// up again, which segments fill faster.
fn assert_same(one: &Lab, other: &Lab) {
    let (one, other) = (&one.outside.wires, &other.outside.wires);
    assert!(one.keys().eq(other.keys()), "{:?} {:?}", one.keys(), other.keys());
    for (port, frames) in one {
        let mut others: Vec<_> = other[port].iter().collect();
        assert_eq!(frames.len(), others.len(), "by port {port}");
        for frame in frames {
            let twin = others.iter().position(|other| same(frame, other));
            let twin =
                twin.unwrap_or_else(|| panic!("by port {port}: {frame:02x?}, not {others:02x?}"));
            others.remove(twin);
        }
    }
}

/// A program as a translation could make it for such a packet: it changes headers that are there.
fn program(sent: &Sent, number: u32) -> impl Strategy<Value = Vec<DpAction>> + use<> {
    let Sent { is_v4, is_tcp, .. } = *sent;
    let inner_type = if is_v4 { 0x0800 } else { 0x86dd };
    let upcall = UpcallAction {
        reason: PacketInReason::Action,
        cookie: 0,
        rule_cookie: 0,
        controller_id: 0,
        max_len: 128,
    };
    let masked16 = || any::<(u16, u16)>().prop_map(|(value, mask)| Masked { value, mask });
    let masked128 = || any::<(u128, u128)>().prop_map(|(value, mask)| Masked { value, mask });
    let edit = prop_oneof![
        1 => Just(DpAction::CopyTtl(TtlCopy::In)),
        1 => any::<[u8; 6]>().prop_map(|mac| {
            DpAction::SetEth(SetEth { src: Masked::exact(mac), dst: Masked::default() })
        }),
        4 => (masked128(), masked128(), any::<u8>()).prop_map(move |(src, dst, ttl)| {
            let low = |to: Masked<u128>| {
                let [value, mask] = [to.value, to.mask].map(|bits| (bits >> 96) as u32);
                Masked { value, mask }
            };
            let (tos, ttl) = (Masked { value: ttl, mask: 0xfc }, Masked::exact(ttl));
            match is_v4 {
                true => DpAction::SetIpv4(SetIpv4 { src: low(src), dst: low(dst), tos, ttl }),
                false => {
                    DpAction::SetIpv6(SetIpv6 { src, dst, hlimit: ttl, ..SetIpv6::default() })
                }
            }
        }),
        3 => (masked16(), masked16()).prop_map(move |(src, dst)| match is_tcp {
            true => DpAction::SetTcp(SetPorts { src, dst }),
            false => DpAction::SetUdp(SetPorts { src, dst }),
        }),
    ];
    // Not so many that the headers behind are out of sight when the packet is looked up again.
    let push = prop_oneof![
        (1_u16..0xfff).prop_map(|tci| DpAction::PushVlan(PushVlan { tpid: 0x8100, tci })),
        Just(DpAction::PushMpls(PushMpls { ethertype: 0x8847, lse: 0x140 })),
        Just(DpAction::PushPbb(7)),
    ];
    let pop = prop_oneof![
        Just(DpAction::PopVlan),
        Just(DpAction::PopPbb),
        Just(DpAction::PopMpls(inner_type)),
    ];
    let pushed = (push, pop, 1_u32..5, 1_u32..5)
        .prop_map(|(push, pop, a, b)| DpAction::Clone([push, out(a), pop, out(b)].into()));
    let leaf = prop_oneof![
        8 => (1_u32..5).prop_map(out),
        8 => edit,
        3 => pushed,
        1 => Just(DpAction::PopVlan),
        1 => Just(DpAction::Upcall(upcall)),
        2 => Just(if number < 2 { DpAction::Recirc(number + 1) } else { out(1) }),
        1 => (0_u32..2000).prop_map(DpAction::Truncate),
        1 => masked16().prop_map(move |flags| match is_tcp {
            // Of FIN, PSH and CWR, which not every segment has, it matters when they are set.
            true => DpAction::SetTcpFlags(Masked { mask: flags.mask & 0xf76, ..flags }),
            false => DpAction::SetMeta(SetMeta::PktMark(Masked::exact(7))),
        }),
        1 => Just(DpAction::Police(1)),
        1 => (100_u8..110).prop_map(DpAction::SetIpProto),
        1 => Just(DpAction::Hash(HashAction { kind: HashKind::L4, basis: 1 })),
    ];
    let inner = leaf.prop_recursive(2, 12, 4, |inner| {
        let inner = || vec(inner.clone(), 0..4);
        let check = (40_u16..1600, inner(), inner());
        prop_oneof![
            2 => inner().prop_map(|inner| DpAction::Clone(Arc::from(inner))),
            1 => check.prop_map(|(len, greater, less_equal)| {
                let (greater, less_equal) = (greater.into(), less_equal.into());
                DpAction::CheckPktLen(CheckPktLen { len, greater, less_equal })
            }),
        ]
    });
    vec(inner, 1..7)
}

const PLENTY: PoolConfig = PoolConfig { small: 4096, jumbo: 128 };

fn sent(len: core::ops::Range<usize>) -> impl Strategy<Value = Sent> {
    let between = prop_oneof![2 => Just(Between::Nothing), 1 => Just(Between::Options), 1 => Just(Between::Route)];
    (any::<[bool; 3]>(), between, len, any::<u8>()).prop_map(
        |([is_v4, is_tcp, is_tagged], between, len, seed)| {
            let payload = (seed..=255).cycle().take(len).collect();
            Sent { is_v4, is_tcp, is_tagged, between, payload }
        },
    )
}

fn with_programs(
    sent: impl Strategy<Value = Sent>,
) -> impl Strategy<Value = (Sent, Vec<Vec<DpAction>>)> {
    sent.prop_flat_map(|sent| {
        let programs = [0, 1, 2].map(|number| program(&sent, number));
        (Just(sent), programs.prop_map(Vec::from))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn unfinished_checksums((sent, programs) in with_programs(sent(1..1400))) {
        let mut labs = [Lab::new(&programs, PLENTY, 0), Lab::new(&programs, PLENTY, 0)];
        let packets = {
            let frame = sent.finished(0, &sent.payload);
            let [one, other] = &mut labs;
            let unfinished = sent.unfinished(None, &mut one.outside.cache);
            [unfinished, other.outside.cache.from_bytes(&frame).unwrap()]
        };
        for (lab, packet) in labs.iter_mut().zip(packets) {
            lab.receive(vec![packet]);
            prop_assert!(lab.accounting().holds(), "{:?}", lab.accounting());
        }
        let [one, other] = labs;
        assert_same(&one, &other);
        prop_assert_eq!(one.accounting(), other.accounting());
    }

    /// A large frame does as its segments would. All are of one length here: a program that asks for it takes
    /// the large one for its longest; and none so short that a pop fills it up.
    #[test]
    fn large_frames(
        (sent, programs) in with_programs(sent(20..400).prop_map(|s| Sent { is_tcp: true, ..s })),
        n in 2..6_usize,
    ) {
        let size = sent.payload.len();
        let payload = (0_u8..=255).cycle().take(n * size).collect();
        let sent = Sent { payload, ..sent };
        let mut one = Lab::new(&programs, PLENTY, 8);
        let mut other = Lab::new(&programs, PLENTY, 8);
        let whole = sent.unfinished(u16::try_from(size).ok(), &mut one.outside.cache);
        one.receive(vec![whole]);
        let cut = sent.cut(size, &mut other.outside.cache);
        other.receive(cut);
        prop_assert!(one.accounting().holds(), "{:?}", one.accounting());
        // Segments fill the stage faster, too.
        prop_assume!(other.drops(DropReason::RecirculationQueueFull) == 0);
        assert_same(&one, &other);
    }

    /// With few buffers segments are lost, and counted.
    #[test]
    fn shortages(
        (sent, programs) in with_programs((2..40_usize).prop_map(|n| stream(n * 300))),
        small in 1..24_usize,
    ) {
        let mut lab = Lab::new(&programs, PoolConfig { small, jumbo: 3 }, 3);
        let whole = sent.unfinished(Some(300), &mut lab.outside.cache);
        lab.receive(vec![whole]);
        prop_assert!(lab.accounting().holds(), "{:?}", lab.accounting());
    }
}

fn stream(len: usize) -> Sent {
    let payload = (0_u8..=255).cycle().take(len).collect();
    Sent { is_v4: true, is_tcp: true, is_tagged: false, between: Between::Nothing, payload }
}

#[test]
fn what_a_device_does_is_left_to_it() {
    for (port, n_unfinished, n_large) in [(1, 0, 0), (3, 42, 0), (4, 1, 1)] {
        let mut lab = Lab::new(&[vec![out(port)]], PLENTY, 8);
        let whole = stream(60_000).unfinished(Some(1448), &mut lab.outside.cache);
        lab.receive(vec![whole]);
        let Outside { wires, n_unfinished: unfinished, n_large: large, counters, .. } =
            &lab.outside;
        assert_eq!((wires[&port].len(), *unfinished, *large), (42, n_unfinished, n_large));
        let stats = counters[&port].read();
        assert_eq!(stats.tx_packets, if port == 4 { 1 } else { 42 }, "what entered the ring");
        assert_eq!(lab.core.copies.get(), if port == 4 { 0 } else { 41 });
        assert!(lab.accounting().holds());
    }
}

#[test]
fn a_copy_that_is_cut_needs_no_copy_of_the_whole() {
    // One large buffer only: for the frame itself.
    let mut lab = Lab::new(&[vec![out(1), out(4), out(2)]], PLENTY, 1);
    let whole = stream(20_000).unfinished(Some(1000), &mut lab.outside.cache);
    lab.receive(vec![whole]);
    let lens: Vec<_> = lab.outside.wires.iter().map(|(port, all)| (*port, all.len())).collect();
    assert_eq!(lens, [(1, 20), (2, 20)]);
    assert_eq!(lab.drops(DropReason::PoolExhausted), 1, "by port 4 it would leave whole");
    assert!(lab.accounting().holds());
}

#[test]
fn the_rest_of_a_frame_that_finds_no_buffers_is_one_drop() {
    let mut lab = Lab::new(&[vec![out(1)]], PoolConfig { small: 4, jumbo: 2 }, 1);
    let whole = stream(8000).unfinished(Some(1000), &mut lab.outside.cache);
    lab.receive(vec![whole]);
    let n_sent = lab.outside.wires.get(&1).map_or(0, Vec::len);
    assert!(n_sent < 8);
    assert_eq!(lab.drops(DropReason::NoSegmentBuffer), 1);
    assert!(lab.accounting().holds());
}

#[test]
fn what_has_lost_its_header_dies_by_name() {
    // The address of the backbone takes the whole header along.
    let mut lab = Lab::new(&[vec![out(1)]], PLENTY, 1);
    let mut packet = stream(100).unfinished(None, &mut lab.outside.cache);
    assert!(packet.pull_front(40));
    lab.receive(vec![packet]);
    let whole = stream(3000).unfinished(Some(10), &mut lab.outside.cache);
    lab.receive(vec![whole]);
    assert_eq!(lab.drops(DropReason::OffloadLost), 2);
    assert!(lab.outside.wires.is_empty() && lab.accounting().holds());
}
