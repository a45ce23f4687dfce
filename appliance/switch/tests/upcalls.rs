//! Storms of new flows: what they cost the port that sends them, and what they cost the others.
//! All by a clock of the test's own.

use datapath::{DropReason, PortNo};
use flow::{Field, Flow, compose};
use netdev::fake::{Replay, ReplayHandle};
use openflow::OfPort;
use packet::{Pool, PoolConfig};
use switch::{PortParts, Switch, SwitchParts, UpcallConfig, UpcallMode};
use sync::time::Nanos;

/// Between two rounds.
const STEP: Nanos = Nanos::from_micros(10);
/// The port that storms.
const STORM: usize = 1;
/// Two ports that talk to each other.
const ALICE: usize = 2;
const BOB: usize = 3;
/// A port that is talked to.
const SINK: usize = 4;
const MODES: [UpcallMode; 3] = [UpcallMode::Callback, UpcallMode::Thread, UpcallMode::Budget];

struct Bench {
    switch: Switch,
    ports: Vec<ReplayHandle>,
    now: Nanos,
    n_rounds: u64,
    /// The control core has a round in so many of the polling cores'.
    control_one_in: u64,
}

impl Bench {
    fn new(n_cores: usize, upcalls: UpcallConfig) -> Self {
        let mut handles = Vec::new();
        let ports = (1..=4_u32).map(|k| {
            let name = format!("p{k}");
            let (netdev, handle) = Replay::new(&name, [2, 0, 0, 0, 0, 1], Vec::new());
            handles.push(handle);
            PortParts { name, of: OfPort(k), netdev: Box::new(netdev) }
        });
        let parts = SwitchParts {
            bridge: ofproto::BridgeConfig { datapath_id: 0xdead, ..Default::default() },
            listen: 6653,
            n_cores,
            self_check_one_in: 0,
            upcalls,
            random: 0x1234_5678_9abc_def0,
            ..SwitchParts::new(
                ports.collect(),
                Pool::on_heap(PoolConfig { small: 16_384, jumbo: 64 }),
            )
        };
        let switch = Switch::new(parts, Nanos::ZERO);
        let mut bench = Self {
            switch,
            ports: handles,
            now: Nanos::from_secs(1),
            n_rounds: 0,
            control_one_in: 1,
        };
        bench.rounds(600);
        bench
    }

    fn round(&mut self) {
        self.now += STEP;
        self.n_rounds += 1;
        for pmd in &mut self.switch.pmds {
            pmd.poll(self.now);
        }
        if self.n_rounds.is_multiple_of(self.control_one_in) {
            self.switch.control.poll(self.now);
        }
    }

    fn rounds(&mut self, n: usize) {
        (0..n).for_each(|_| self.round());
    }

    fn send(&self, port: usize, frame: &[u8]) {
        assert!(self.ports[port - 1].inject(frame), "port {port} takes the frame");
    }

    fn captured(&self, port: usize) -> usize {
        self.ports[port - 1].captured().len()
    }

    fn drops(&self, port: usize) -> Vec<(DropReason, u64)> {
        self.switch.control.port_stats(number(port)).drops.iter().collect()
    }

    fn assert_accounted(&mut self) {
        self.control_one_in = 1;
        self.rounds(3_000);
        let sums = self.switch.control.accounting();
        assert!(sums.holds(), "{sums:?}");
    }
}

fn number(port: usize) -> PortNo {
    PortNo(u32::try_from(port).unwrap())
}

/// A frame from one station to another; stations of a port are numbered from its own base.
fn frame(from: (usize, u64), to: (usize, u64)) -> Vec<u8> {
    let mac = |(port, n): (usize, u64)| 0x0200_0000_0000 + ((port as u128) << 24) + u128::from(n);
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, mac(from));
    flow.set(Field::EthDst, mac(to));
    flow.set(Field::EthType, 0x88b5);
    compose(&flow, 46)
}

/// Alice and Bob are known and their flows are cached; so is the sink's station.
fn acquainted(n_cores: usize, upcalls: UpcallConfig) -> Bench {
    let mut bench = Bench::new(n_cores, upcalls);
    for _ in 0..3 {
        bench.send(ALICE, &frame((ALICE, 0), (BOB, 0)));
        bench.send(SINK, &frame((SINK, 0), (BOB, 0)));
        bench.rounds(50);
        bench.send(BOB, &frame((BOB, 0), (ALICE, 0)));
        bench.rounds(50);
        // What was flooded before they knew each other is judged again.
        bench.now += Nanos::from_millis(600);
        bench.rounds(50);
    }
    // What their frames taught comes in force within the spacing of the revalidator's rounds.
    bench.rounds(1_000);
    for port in 1..=4 {
        bench.captured(port);
    }
    bench
}

/// What the others saw of a storm.
struct Seen {
    /// Of Alice's frames of a cached flow to Bob, those that were late by more than a round.
    late: usize,
    cached: usize,
    fresh: usize,
}

/// Rounds in which Alice sends cached frames and now and then one of a new flow, while another port
/// sends nothing but new flows.
fn storm(bench: &mut Bench, n_rounds: u64, storm_per_round: u64) -> Seen {
    let (mut seen, mut n_sent) = (Seen { late: 0, cached: 0, fresh: 0 }, 0);
    for round in 0..n_rounds {
        for k in 0..storm_per_round {
            let source = 1 + round * storm_per_round + k;
            bench.send(STORM, &frame((STORM, source), (SINK, 0)));
        }
        for _ in 0..8 {
            bench.send(ALICE, &frame((ALICE, 0), (BOB, 0)));
        }
        if round % 10 == 0 {
            bench.send(ALICE, &frame((ALICE, 1 + round), (SINK, 0)));
        }
        n_sent += 8;
        bench.round();
        for bytes in bench.ports[SINK - 1].captured() {
            seen.fresh += usize::from(bytes[6..9] == frame((ALICE, 0), (SINK, 0))[6..9]);
        }
        seen.cached += bench.captured(BOB);
        seen.late += n_sent - seen.cached;
    }
    bench.control_one_in = 1;
    bench.rounds(2_000);
    for bytes in bench.ports[SINK - 1].captured() {
        seen.fresh += usize::from(bytes[6..9] == frame((ALICE, 0), (SINK, 0))[6..9]);
    }
    seen.cached += bench.captured(BOB);
    seen
}

#[test]
fn a_storm_leaves_other_ports_alone() {
    const ROUNDS: u64 = 600;
    for n_cores in [1, 2] {
        for mode in MODES {
            let mut bench = acquainted(n_cores, UpcallConfig { mode, ..Default::default() });
            // The control core is too slow for the storm.
            bench.control_one_in = 8;
            let seen = storm(&mut bench, ROUNDS, 32);
            let what = format!("{n_cores} cores, {mode}");
            assert_eq!(seen.cached as u64, ROUNDS * 8, "{what}");
            // Frames for a queue of another core take a round or two more.
            assert!(seen.late as u64 <= ROUNDS * 8 * 2, "{what}: {} late", seen.late);
            assert_eq!(seen.fresh as u64, ROUNDS / 10, "{what}: no new flow of hers is lost");
            assert_eq!(bench.drops(ALICE), [], "{what}");
            bench.assert_accounted();

            let stats = bench.switch.control.upcall_stats(number(STORM));
            let answered = stats.inline + stats.by_ring + stats.cached + stats.dropped;
            assert_eq!(answered, ROUNDS * 32, "{what}: {stats:?}");
            let reasons: Vec<_> =
                bench.drops(STORM).into_iter().map(|(reason, _)| reason).collect();
            match mode {
                UpcallMode::Callback => {
                    assert_eq!(stats.over_budget, 0);
                    assert!(stats.inline > ROUNDS * 32 / 2, "{what}: {stats:?}");
                }
                UpcallMode::Thread => {
                    assert_eq!((stats.inline, stats.over_budget), (0, 0));
                    assert_eq!(reasons, [DropReason::UpcallPortShare], "{what}");
                }
                UpcallMode::Budget => {
                    // Each core polls a queue of each of the four ports.
                    let config = UpcallConfig::default();
                    let rate = u64::from(config.rate.min(config.core_rate / 4));
                    let tokens = ROUNDS * STEP.as_micros() * rate / 1_000_000;
                    let bound = n_cores as u64 * (u64::from(config.burst) + 2 + tokens);
                    assert!(stats.inline <= bound, "{what}: {stats:?}, bound {bound}");
                    assert!(stats.inline >= u64::from(config.burst), "{what}: {stats:?}");
                    assert_eq!(reasons, [DropReason::UpcallBudget], "{what}");
                }
            }
        }
    }
}

#[test]
fn a_burst_of_one_new_flow_is_translated_once_and_stays_in_order() {
    for mode in MODES {
        let mut bench = acquainted(1, UpcallConfig { mode, ..Default::default() });
        for n in 0..32_u8 {
            let mut bytes = frame((STORM, 1), (SINK, 0));
            bytes[20] = n;
            bench.send(STORM, &bytes);
        }
        bench.rounds(100);
        let numbers: Vec<u8> = bench.ports[SINK - 1].captured().iter().map(|b| b[20]).collect();
        assert_eq!(numbers, (0..32).collect::<Vec<u8>>(), "{mode}");
        let stats = bench.switch.control.upcall_stats(number(STORM));
        let expected = if mode == UpcallMode::Thread { (0, 0, 32) } else { (1, 31, 0) };
        assert_eq!((stats.inline, stats.cached, stats.by_ring), expected, "{mode}");
        bench.assert_accounted();
    }
}

#[test]
fn protocols_pass_a_storm() {
    let lldp = {
        let mut bytes = frame((ALICE, 0), (SINK, 0));
        bytes[..6].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, 0x0e]);
        bytes[12..14].copy_from_slice(&[0x88, 0xcc]);
        bytes
    };
    for mode in MODES {
        let mut bench = acquainted(2, UpcallConfig { mode, ..Default::default() });
        bench.control_one_in = 1_000_000;
        storm_only(&mut bench, 100);
        // The ring is full of the storm, of the same port too.
        bench.send(STORM, &lldp);
        bench.round();
        let before = bench.switch.control.upcall_stats(number(STORM));
        assert_eq!(before.protocol, 1, "{mode}");
        assert_eq!(
            bench.switch.control.port_stats(number(STORM)).drops.get(DropReason::ReservedMulticast),
            0
        );
        bench.now += STEP;
        bench.switch.control.poll(bench.now);
        bench.control_one_in = 1_000_000;
        bench.rounds(2);
        let drops = bench.switch.control.port_stats(number(STORM)).drops;
        assert_eq!(drops.get(DropReason::ReservedMulticast), 1, "{mode}: answered at once");
        bench.assert_accounted();
    }
}

#[test]
fn a_storm_of_protocols_is_a_storm() {
    let mut bench = acquainted(1, UpcallConfig { protocol_rate: 50, ..Default::default() });
    for n in 0..100 {
        let mut bytes = frame((STORM, n), (SINK, 0));
        bytes[..6].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, 0x02]);
        bench.send(STORM, &bytes);
        bench.round();
    }
    let stats = bench.switch.control.upcall_stats(number(STORM));
    assert_eq!(stats.protocol, 10, "a fifth of a second's worth");
    assert_eq!(stats.inline + stats.by_ring, 90);
    bench.assert_accounted();
}

/// Rounds in which one port sends new flows only.
fn storm_only(bench: &mut Bench, n_rounds: u64) {
    for n in 0..n_rounds * 32 {
        bench.send(STORM, &frame((STORM, 1_000_000 + n), (SINK, 0)));
        if n % 32 == 31 {
            bench.round();
            bench.captured(SINK);
        }
    }
}

#[test]
fn the_mode_can_be_changed_while_traffic_flows_and_every_packet_counts_once() {
    let mut bench = acquainted(2, UpcallConfig::default());
    let now = bench.now;
    let rule_packets = |bench: &mut Bench| {
        let request = openflow::FlowStatsRequest {
            table_id: openflow::TABLE_ALL,
            out_port: OfPort::ANY,
            out_group: openflow::GROUP_ANY,
            cookie: 0,
            cookie_mask: 0,
            match_: flow::Match::CATCHALL,
            format: openflow::FlowFormat::Standard,
        };
        bench.switch.control.configure(|bridge, _| {
            let rules = bridge.flow_stats(&request, now).unwrap();
            rules.iter().map(|rule| rule.stats().packets()).sum::<u64>()
        })
    };
    bench.rounds(100);
    let before = rule_packets(&mut bench);
    let (mut n_sent, mut n_got) = (0, 0);
    for turn in 0..30 {
        let mode = MODES[turn % 3];
        // A budget so small that some of each burst goes by ring.
        let config = UpcallConfig {
            mode,
            rate: 1_000_000,
            core_rate: 4_000_000,
            burst: 3,
            ..Default::default()
        };
        bench.switch.control.set_upcall_config(config);
        assert_eq!(bench.switch.control.upcall_config().mode, mode);
        for k in 0..20_u64 {
            // New flows, each of several packets, of which some are concluded here and some there.
            for n in 0..6 {
                let station = 100_000 + (turn as u64 * 20 + k) * 6 + n / 3;
                bench.send(STORM, &frame((STORM, station), (SINK, 0)));
                n_sent += 1;
            }
            bench.round();
            n_got += bench.captured(SINK);
        }
    }
    bench.assert_accounted();
    assert_eq!(n_got + bench.captured(SINK), n_sent);
    assert_eq!(rule_packets(&mut bench) - before, n_sent as u64);
    let stats = bench.switch.control.upcall_stats(number(STORM));
    assert!(stats.inline > 0 && stats.by_ring > 0 && stats.cached > 0, "{stats:?}");
    assert_eq!((stats.dropped, stats.under_way), (0, 0));
}
