//! The tuple-space explosion against the real switch: masks stay few, nobody's forwarding changes, and no
//! frame is lost without a reason.

use datapath::{LocalConfig, LocalDpif, PortNo, TableLimits, census};
use flow::{EtherAddr, Field, Flow, Match, compose};
use ofproto::{Bridge, BridgeConfig, FailMode, Link, PortSpec};
use openflow::{Action, Instructions, OfPort, Version};
use oracle::{Oracle, Rule, explosion};
use sync::time::Nanos;

/// What the list allows.
const ALLOWED: [(Field, u128); 3] =
    [(Field::Ipv4Src, 0x0a00_0001), (Field::UdpSrc, 12_345), (Field::UdpDst, 80)];
/// Who attacks, whose traffic is to go on, and where it goes.
const ATTACKER: OfPort = OfPort(1);
const VICTIM: OfPort = OfPort(2);
const SINK: OfPort = OfPort(3);

/// The switch and the oracle.
struct Both {
    bridge: Bridge,
    dpif: LocalDpif,
    oracle: Oracle,
    now: Nanos,
}

impl Both {
    /// The list, for all ports: three allowed values, and the default denies.
    fn new(masks_per_port: usize) -> Self {
        let now = Nanos::from_secs(1);
        let config = BridgeConfig { fail_mode: FailMode::Secure, ..BridgeConfig::default() };
        let limits = TableLimits { masks_per_port, ..TableLimits::default() };
        let mut both = Self {
            bridge: Bridge::new(config, now),
            dpif: LocalDpif::with(LocalConfig { limits, ..LocalConfig::default() }),
            oracle: Oracle::new([ATTACKER, VICTIM, SINK]),
            now,
        };
        both.dpif.set_now(now);
        for of in [ATTACKER, VICTIM, SINK] {
            let dp = PortNo(of.0);
            both.dpif.add_port(dp);
            let spec = PortSpec {
                dp: Some(dp),
                of,
                name: format!("p{}", of.0),
                hw_addr: EtherAddr([2, 0xaa, 0, 0, 0, 1]),
                mtu: 1500,
                link: Link::UP,
            };
            both.bridge.add_port(spec, now).expect("ports differ");
        }
        for (priority, (field, value)) in (1..).zip(ALLOWED) {
            let mut match_ = Match::CATCHALL;
            match_.set_exact(Field::EthType, 0x0800);
            match_.set_exact(Field::IpProto, 17);
            match_.set_exact(field, value);
            let instructions = Instructions::apply(vec![Action::output(SINK)]);
            let rule =
                Rule { table_id: 0, priority, match_, instructions, cookie: priority.into() };
            let done = both.bridge.flow_mod(&rule.to_flow_mod(), Version::V13, now);
            assert_eq!(done, Ok(()));
            both.oracle.add(rule).expect("the oracle knows these actions");
        }
        both.settle();
        both
    }

    fn pump(&mut self) {
        while let Some(upcall) = self.dpif.next_upcall() {
            self.bridge.handle_upcall(upcall, &mut self.dpif, self.now);
        }
    }

    fn settle(&mut self) {
        for _ in 0..1_000 {
            self.pump();
            if self.bridge.run(&mut self.dpif, self.now) > self.now {
                return;
            }
        }
        panic!("the bridge does not come to rest");
    }

    fn wait(&mut self, time: Nanos) {
        self.now += time;
        self.dpif.set_now(self.now);
        self.settle();
    }

    /// A frame comes in; the switch does what the oracle says.
    fn check(&mut self, port: OfPort, frame: &[u8]) {
        let verdict = self.oracle.receive(port, frame);
        let expected: Vec<_> = (verdict.outputs.iter())
            .map(|output| (PortNo(output.port.0), output.frame.clone()))
            .collect();
        self.dpif.receive(PortNo(port.0), frame);
        self.pump();
        assert_eq!(self.dpif.take_transmitted(), expected, "of a frame on port {port}");
    }

    fn n_masks(&self, port: OfPort) -> usize {
        self.dpif.pmd().n_masks(PortNo(port.0))
    }
}

fn base() -> Flow {
    let mut base = Flow::ZERO;
    base.set(Field::EthSrc, 0x0200_0000_0001);
    base.set(Field::EthDst, 0x0200_0000_0002);
    base.set(Field::EthType, 0x0800);
    base.set(Field::Ipv4Dst, 0x0b00_0001);
    base.set(Field::IpProto, 17);
    base.set(Field::IpTtl, 64);
    base
}

fn attack() -> Vec<Vec<u8>> {
    explosion(&base(), &ALLOWED).iter().map(|flow| compose(flow, 18)).collect()
}

/// Ordinary traffic, some of it allowed.
fn ordinary() -> Vec<Vec<u8>> {
    let frame = |n: u128| {
        let mut flow = base();
        flow.set(Field::Ipv4Src, 0x0a00_0000 + n);
        flow.set(Field::UdpSrc, 2_000 + n % 7);
        flow.set(Field::UdpDst, if n.is_multiple_of(3) { 80 } else { 443 });
        compose(&flow, 18)
    };
    (0..60).map(frame).collect()
}

#[test]
fn there_is_a_packet_for_each_combination_of_bits() {
    let packets = explosion(&base(), &ALLOWED);
    assert_eq!(packets.len(), 32 * 16 * 16);
    for packet in &packets {
        for (field, value) in ALLOWED {
            assert_eq!((packet.get(field) ^ value).count_ones(), 1, "{packet}");
        }
    }
}

#[test]
fn an_attack_costs_few_masks_and_changes_nobodys_forwarding() {
    let mut both = Both::new(census::DEFAULT_LIMIT);
    let ordinary = ordinary();
    for _ in 0..2 {
        ordinary.iter().for_each(|frame| both.check(VICTIM, frame));
    }
    let n_own = both.n_masks(VICTIM);
    let attack = attack();
    for (n, frame) in attack.iter().enumerate() {
        both.check(ATTACKER, frame);
        let upcalls = both.bridge.stats().upcalls;
        both.check(VICTIM, &ordinary[n % ordinary.len()]);
        assert_eq!(both.bridge.stats().upcalls, upcalls, "what was cached stays so");
        if n % 500 == 0 {
            // The revalidator is at work meanwhile.
            both.wait(Nanos::from_millis(600));
        }
    }
    let bound = census::DEFAULT_LIMIT + census::N_ROUNDED;
    let n = both.n_masks(ATTACKER);
    assert!((census::DEFAULT_LIMIT..=bound).contains(&n), "{n} masks");
    assert_eq!(both.n_masks(VICTIM), n_own, "each port has masks of its own");
    // Cached or not, the list decides for the attacker as it would without caches.
    for frame in attack.iter().step_by(97).chain(&ordinary) {
        both.check(ATTACKER, frame);
    }
    both.settle();
    let sums = both.dpif.accounting();
    assert!(sums.holds(), "{sums:?}");
}

/// Without a bound this close the attack does what its name says.
#[test]
fn the_attack_is_one() {
    let mut both = Both::new(census::MAX_LIMIT);
    for frame in attack() {
        both.check(ATTACKER, &frame);
    }
    assert!(both.n_masks(ATTACKER) >= census::MAX_LIMIT, "{} masks", both.n_masks(ATTACKER));
}
