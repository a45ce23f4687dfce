//! A packet that hits is forwarded without the heap: no allocation, and none given back.
//!
//! In a binary of its own, because counting takes the place of the heap of all that is linked with it.
//! Counted is what the measuring thread does, samples for the self check included.

use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use datapath::{
    BandKind, Check, Command, CoreCounters, CoreId, DpAction, DropReason, EmcConfig, HashAction,
    HashKind, Masked, Megaflow, MeterBand, MeterConfig, MeterTable, MeterUnit, Output, PmdConfig,
    PmdDatapath, PortCounters, PortNo, PushVlan, SetEth, SetIpv4, SetMeta, SetPorts, SmcEnable,
    TableLimits, Upcall,
};
use flow::{Field, Flow, Mask};
use packet::build::{Ipv4, ethernet, udp, vlan};
use packet::{BATCH, Batch, OffloadSet, Packet, Pool, PoolCache, PoolConfig};
use sync::time::Nanos;

/// One hit in so many is sampled for the self check.
const SAMPLED: u32 = 100;

/// Where packets leave: they are counted and freed.
struct Outside {
    cache: PoolCache,
    n_sent: u64,
    n_upcalls: u64,
    n_checks: u64,
    /// The control case: each packet goes through the heap.
    is_wasteful: bool,
}

impl Output for Outside {
    fn transmit(&mut self, _port: PortNo, packet: Packet) {
        self.n_sent += 1;
        if self.is_wasteful {
            black_box(packet.data().to_vec());
        }
        self.cache.free(packet);
    }

    fn upcall(&mut self, upcall: Upcall) -> Result<(), (Upcall, DropReason)> {
        self.n_upcalls += 1;
        self.cache.free(upcall.packet);
        Ok(())
    }

    fn has_room_for_check(&self) -> bool {
        true
    }

    fn check(&mut self, check: Check) {
        self.n_checks += 1;
        check.packet.into_iter().for_each(|packet| self.cache.free(packet));
    }

    fn cache(&mut self) -> &mut PoolCache {
        &mut self.cache
    }
}

/// Which table finds the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    Exact,
    Signature,
    Megaflow,
}

struct Lab {
    pmd: PmdDatapath,
    outside: Outside,
    now: Nanos,
}

impl Lab {
    /// Ports 1 to 4, of which 3 has no link, and megaflows for packets of port 1.
    fn new(tier: Tier, megaflows: Vec<Megaflow>) -> Self {
        let emc = match tier {
            Tier::Exact => EmcConfig { insert_inv_prob: 1, ..EmcConfig::default() },
            _ => EmcConfig::OFF,
        };
        let config = PmdConfig {
            core: CoreId(0),
            limits: TableLimits::default(),
            emc,
            smc_enable: if tier == Tier::Signature { SmcEnable::On } else { SmcEnable::Off },
            hash_basis: 7,
            sample_one_in: SAMPLED,
        };
        let meters = Arc::new(MeterTable::default());
        let band = MeterBand { kind: BandKind::Drop, rate: 1, burst: 1 };
        let meter = MeterConfig { unit: MeterUnit::Pktps, bands: vec![band] };
        assert_eq!(meters.set(1, &meter, Nanos::ZERO), Ok(()));
        let pool = Pool::on_heap(PoolConfig { small: 4096, jumbo: 16 });
        let cache = PoolCache::new(pool);
        let outside = Outside { cache, n_sent: 0, n_upcalls: 0, n_checks: 0, is_wasteful: false };
        let pmd = PmdDatapath::new(config, Arc::new(CoreCounters::default()), meters);
        let mut lab = Self { pmd, outside, now: Nanos::from_secs(1) };
        for port in 1..=4 {
            lab.apply(Command::AddPort(PortNo(port), Arc::new(PortCounters::default())));
        }
        lab.apply(Command::SetLink {
            port: PortNo(3),
            has_link: false,
            offloads: OffloadSet::NONE,
        });
        for megaflow in megaflows {
            assert_eq!(lab.pmd.put(Arc::new(megaflow)), Ok(()));
        }
        lab
    }

    fn apply(&mut self, command: Command) {
        self.pmd.apply(command, self.now, &mut self.outside);
    }

    /// A burst comes in on port 1.
    fn burst(&mut self, frames: &[Vec<u8>], batch: &mut Batch) {
        for frame in frames.iter().cycle().take(BATCH) {
            let packet = self.outside.cache.from_bytes(frame).expect("the pool has buffers");
            assert!(batch.push(packet).is_ok(), "room for a burst");
        }
        self.now += Nanos::from_micros(10);
        self.pmd.tick(self.now);
        self.pmd.input(PortNo(1), batch, self.now, &mut self.outside);
    }
}

/// What one more burst does, after some to warm up: its allocations, and hits of each tier.
fn steady(lab: &mut Lab, frames: &[Vec<u8>]) -> (u64, i64, [u64; 3]) {
    let mut batch = Batch::new();
    for _ in 0..400 {
        lab.burst(frames, &mut batch);
    }
    let hits = |lab: &Lab| {
        let counters = lab.pmd.counters();
        [counters.emc_hits.get(), counters.smc_hits.get(), counters.megaflow_hits.get()]
    };
    let before = hits(lab);
    let n_bursts = 200;
    let spent = measure(|| {
        for _ in 0..n_bursts {
            lab.burst(frames, &mut batch);
        }
    });
    let after = hits(lab);
    let of_tier = core::array::from_fn(|k| after[k] - before[k]);
    (spent.count_total, spent.count_current, of_tier)
}

/// Megaflows that run `actions`, one after the other, each when the one before has recirculated.
fn program(programs: &[Vec<DpAction>]) -> Vec<Megaflow> {
    let of = |(id, actions): (u32, &Vec<DpAction>)| {
        let mut key = Flow::ZERO;
        key.set_in_port(1);
        key.set_recirc_id(id);
        Megaflow::new(&key, Mask::ZERO, Arc::from(&actions[..]))
    };
    (0..).zip(programs).map(of).collect()
}

fn out(port: u32) -> DpAction {
    DpAction::Output(PortNo(port))
}

/// UDP frames from eight source ports.
fn frames() -> Vec<Vec<u8>> {
    let frame = |port| {
        let datagram = udp(&Ipv4::default().into(), port, 53, b"hello");
        ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], 0x0800, &datagram)
    };
    (1000..1008).map(frame).collect()
}

/// Eight megaflows of eight masks, each for one of [`frames`].
fn eight_masks() -> Vec<Megaflow> {
    let of = |n: u16| {
        let mut key = Flow::ZERO;
        key.set_in_port(1);
        key.set_eth_type(0x0800);
        key.set_nw_proto(17);
        key.set_tp_src(1000 + n);
        let mut mask = Mask::ZERO;
        for field in [Field::EthType, Field::IpProto, Field::UdpSrc] {
            mask.set_exact(field);
        }
        let more = [
            Field::EthSrc,
            Field::EthDst,
            Field::Ipv4Src,
            Field::Ipv4Dst,
            Field::IpTtl,
            Field::UdpDst,
            Field::IpDscp,
        ];
        if let Some(field) = more.get(usize::from(n)) {
            mask.set_exact(*field);
        }
        let frame = flow::extract(&frames()[usize::from(n)], &flow::FlowMeta::of_port(1));
        let mut whole = frame.flow;
        whole.set_in_port(1);
        Megaflow::new(&whole, mask, Arc::from([out(2)]))
    };
    (0..8).map(of).collect()
}

#[test]
fn a_hit_in_any_tier_needs_no_heap() {
    for tier in [Tier::Exact, Tier::Signature, Tier::Megaflow] {
        let mut lab = Lab::new(tier, eight_masks());
        let (n_allocated, n_kept, hits) = steady(&mut lab, &frames());
        assert_eq!((n_allocated, n_kept), (0, 0), "{tier:?}");
        assert_eq!(lab.outside.n_upcalls, 0, "{tier:?}");
        // Nearly all of them; the caches may lose an entry to another now and then.
        let n_all = 200 * BATCH as u64;
        assert_eq!(hits.iter().sum::<u64>(), n_all, "{tier:?}: {hits:?}");
        assert!(hits[tier as usize] * 10 >= n_all * 9, "{tier:?}: {hits:?}");
        // Groups are counted, and a group has several packets.
        let n_checks = lab.outside.n_checks;
        assert!(n_checks * u64::from(SAMPLED) >= n_all, "{tier:?}: {n_checks} samples");
    }
}

/// A name, the programs, and how many frames leave for each that comes (a meter decides itself).
type Case = (&'static str, Vec<Vec<DpAction>>, Option<u64>);

#[test]
fn no_action_needs_the_heap() {
    let eth = DpAction::SetEth(SetEth { src: Masked::exact([2; 6]), dst: Masked::exact([4; 6]) });
    let ip = DpAction::SetIpv4(SetIpv4 {
        src: Masked::exact(0x0a00_0001),
        ttl: Masked::exact(63),
        ..SetIpv4::default()
    });
    let ports =
        DpAction::SetUdp(SetPorts { src: Masked::exact(7), dst: Masked { value: 9, mask: 0xf } });
    let push = DpAction::PushVlan(PushVlan { tpid: 0x8100, tci: 0x100a });
    let mark = DpAction::SetMeta(SetMeta::PktMark(Masked::exact(5)));
    let hash = DpAction::Hash(HashAction { kind: HashKind::L4, basis: 1 });
    let clone = DpAction::Clone(Arc::from([push.clone(), out(4)]));
    let cases: [Case; 12] = [
        ("output", vec![vec![out(2)]], Some(1)),
        ("drop", vec![vec![DpAction::Drop(DropReason::ActionDrop)]], Some(0)),
        ("flood", vec![vec![out(1), out(2), out(4)]], Some(3)),
        ("flood, one without link", vec![vec![out(2), out(3), out(4)]], Some(2)),
        ("no such port", vec![vec![out(9)]], Some(0)),
        ("edits", vec![vec![eth.clone(), ip, ports, mark, out(2)]], Some(1)),
        ("push", vec![vec![push.clone(), out(2)]], Some(1)),
        ("push and pop", vec![vec![push.clone(), out(2), DpAction::PopVlan, out(4)]], Some(2)),
        ("clone", vec![vec![clone, eth.clone(), out(2)]], Some(2)),
        ("truncate", vec![vec![DpAction::Truncate(20), out(2), out(4)]], Some(2)),
        ("meter", vec![vec![DpAction::Meter(1), out(2)]], None),
        (
            "hash, recirculate twice",
            vec![
                vec![hash, DpAction::Recirc(1)],
                vec![push, DpAction::Recirc(2)],
                vec![eth, out(2)],
            ],
            Some(1),
        ),
    ];
    for (name, programs, leaving) in cases {
        for tier in [Tier::Exact, Tier::Megaflow] {
            let mut lab = Lab::new(tier, program(&programs));
            let (n_allocated, n_kept, _) = steady(&mut lab, &frames());
            assert_eq!((n_allocated, n_kept), (0, 0), "{name}, {tier:?}");
            let n_came = 600 * BATCH as u64;
            let sent = lab.outside.n_sent;
            assert!(leaving.is_none_or(|each| sent == each * n_came), "{name}: {sent} of {n_came}");
            assert_eq!(lab.outside.n_upcalls, 0, "{name}");
        }
    }
}

#[test]
fn popping_a_tag_needs_no_heap() {
    let frames: Vec<_> = frames().iter().map(|frame| vlan(0x8100, 0x1001, frame)).collect();
    let mut lab = Lab::new(Tier::Exact, program(&[vec![DpAction::PopVlan, out(2)]]));
    let (n_allocated, n_kept, _) = steady(&mut lab, &frames);
    assert_eq!((n_allocated, n_kept), (0, 0));
    assert_eq!(lab.outside.n_sent, 600 * BATCH as u64);
}

#[test]
fn a_miss_that_is_passed_up_needs_no_heap() {
    let mut lab = Lab::new(Tier::Exact, Vec::new());
    let (n_allocated, n_kept, _) = steady(&mut lab, &frames());
    assert_eq!((n_allocated, n_kept), (0, 0));
    assert_eq!(lab.outside.n_upcalls, 600 * BATCH as u64);
}

/// What these tests can see: one allocation a packet.
#[test]
fn what_does_need_it_is_seen() {
    let mut lab = Lab::new(Tier::Exact, program(&[vec![out(2)]]));
    lab.outside.is_wasteful = true;
    let (n_allocated, n_kept, _) = steady(&mut lab, &frames());
    assert_eq!((n_allocated, n_kept), (200 * BATCH as u64, 0));
}
