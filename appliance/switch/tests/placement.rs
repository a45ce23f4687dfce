//! Receive queues move between cores: by what they took, where they are pinned, by themselves; and under
//! traffic, of which nothing is lost, doubled or overtaken.

mod line;

use agent::bridge_config::{
    BridgeWanted, FailMode, InterfaceKind, InterfaceWanted, PortWanted, Wanted,
};
use flow::{Field, Flow, compose};
use line::Line;
use netdev::fake::{Replay, ReplayHandle, Source, Stream, StreamHandle};
use netdev::{LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, TxQueue, TxStats};
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Batch, Pool, PoolCache, PoolConfig};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use switch::{PortParts, Switch, SwitchParts, UpcallConfig, UpcallMode};
use sync::time::Nanos;

thread_local! {
    static CYCLES: Cell<u64> = const { Cell::new(0) };
}

/// Frames of one host, each of which costs so much.
#[derive(Debug)]
struct Host {
    frame: Vec<u8>,
    cost: u64,
}

impl Source for Host {
    fn next(&mut self) -> Option<&[u8]> {
        CYCLES.set(CYCLES.get() + self.cost);
        Some(&self.frame)
    }
}

/// A frame that can be told from all others, of one of [`HOSTS`] hosts.
fn frame(id: u32) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, 0x0200_0000_0001 + u128::from(id % HOSTS));
    flow.set(Field::EthDst, 0x0200_0000_0002);
    flow.set(Field::EthType, 0x88b5);
    let mut bytes = compose(&flow, 46);
    bytes[20..24].copy_from_slice(&id.to_be_bytes());
    bytes
}

const HOSTS: u32 = 8;

struct Bench {
    switch: Switch,
    line: Line,
    now: Nanos,
    step: Nanos,
}

impl Bench {
    /// Two cores. What comes in on a port goes to `to`.
    fn new(netdevs: Vec<Box<dyn Netdev>>, to: fn(u32) -> u32, upcalls: UpcallConfig) -> Self {
        let line = Line::default();
        let n = u32::try_from(netdevs.len()).expect("few");
        let ports = (1..).zip(netdevs).map(|(k, netdev)| {
            let (name, of) = (format!("p{k}"), OfPort(k));
            PortParts { name, of, netdev }
        });
        let parts = SwitchParts {
            bridge: ofproto::BridgeConfig {
                fail_mode: ofproto::FailMode::Secure,
                ..Default::default()
            },
            n_cores: 2,
            channels: vec![Box::new(line.clone())],
            self_check_one_in: 0,
            upcalls,
            cycles: || CYCLES.get(),
            ..SwitchParts::new(
                ports.collect(),
                Pool::on_heap(PoolConfig { small: 8_192, jumbo: 16 }),
            )
        };
        let mut switch = Switch::new(parts, Nanos::ZERO);
        for port in 1..=n {
            let text = format!("in_port={port},actions=output:{}", to(port));
            let flow_mod = openflow::text::parse_flow(&text, FlowModCommand::Add).expect(&text);
            let done = switch
                .control
                .configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, Nanos::ZERO));
            assert_eq!(done, Ok(()), "{text}");
        }
        let (now, step) = (Nanos::from_secs(1), Nanos::from_millis(50));
        let mut bench = Self { switch, line, now, step };
        bench.rounds(20);
        bench
    }

    fn round(&mut self) {
        self.now = self.now.saturating_add(self.step);
        for pmd in &mut self.switch.pmds {
            pmd.poll(self.now);
        }
        self.switch.control.poll(self.now);
    }

    fn rounds(&mut self, n: usize) {
        (0..n).for_each(|_| self.round());
    }

    fn ask(&mut self, method: &str, params: &[&str]) -> String {
        let params: Vec<_> = params.iter().map(|param| format!("\"{param}\"")).collect();
        let params = params.join(",");
        let request = format!("{{\"id\":0,\"method\":\"{method}\",\"params\":[{params}]}}");
        self.line.to.lock().expect("not poisoned").extend(request.bytes());
        for _ in 0..100 {
            self.round();
            let answer = core::mem::take(&mut *self.line.from.lock().expect("not poisoned"));
            if !answer.is_empty() {
                return String::from_utf8(answer).expect("text").replace("\\n", "\n");
            }
        }
        panic!("{method} is not answered");
    }

    /// Core by core: the queues that it polls, `!` before a core that is isolated.
    fn placed(&mut self) -> String {
        let text = self.ask("dpif-netdev/pmd-rxq-show", &[]);
        let mut short = String::new();
        for line in text.lines() {
            if line.starts_with("pmd thread") {
                short += " |";
            } else if line.trim() == "isolated : true" {
                short += " !";
            } else if let Some(rest) = line.strip_prefix("  port: ") {
                let words: Vec<_> = rest.split_whitespace().collect();
                short += &format!(" {}.{}", words[0], words[2]);
            }
        }
        short
    }
}

/// Ports 1 to 4 take 40, 10, 40 and 10 % of the cycles that pass on both cores; port 5 swallows.
fn busy() -> (Bench, Vec<StreamHandle>) {
    let mut handles = Vec::new();
    let netdevs = (1_u8..).zip([40_000, 10_000, 40_000, 10_000, 0]).map(|(k, cost)| {
        let source = Host { frame: frame(0), cost };
        let (netdev, handle) = Stream::new(&format!("nic{k}"), [2, 0, 0, 0, 0, k], source);
        handle.set_burst(usize::from(cost > 0));
        handles.push(handle);
        Box::new(netdev) as Box<dyn Netdev>
    });
    let bench = Bench::new(netdevs.collect(), |_| 5, UpcallConfig::default());
    (bench, handles)
}

/// So many rounds are a minute.
const MINUTE: usize = 1_200;

#[test]
fn queues_are_shown_with_what_they_took_and_assigned_anew_when_asked() {
    let (mut bench, _) = busy();
    bench.rounds(MINUTE + 100);
    let text = bench.ask("dpif-netdev/pmd-rxq-show", &[]);
    let want = "Displaying last 60 seconds pmd usage %\n\
        pmd thread numa_id 0 core_id 0:\n  \
        isolated : false\n  \
        port: p2                queue-id:  0 (enabled)   pmd usage: 10 %\n  \
        port: p4                queue-id:  0 (enabled)   pmd usage: 10 %\n  \
        overhead:  0 %\n\
        pmd thread numa_id 0 core_id 1:\n  \
        isolated : false\n  \
        port: p1                queue-id:  0 (enabled)   pmd usage: 40 %\n  \
        port: p3                queue-id:  0 (enabled)   pmd usage: 40 %\n  \
        port: p5                queue-id:  0 (enabled)   pmd usage:  0 %\n  \
        overhead:  0 %\n";
    assert!(text.contains(want), "{text}");
    let one = bench.ask("dpif-netdev/pmd-rxq-show", &["-pmd", "1", "-secs", "7"]);
    assert!(one.contains("last 10 seconds") && !one.contains("core_id 0"), "{one}");
    let refused = bench.ask("dpif-netdev/pmd-rxq-show", &["-secs", "61"]);
    assert!(refused.contains("invalid value of seconds"), "{refused}");

    bench.ask("dpif-netdev/pmd-rxq-rebalance", &[]);
    bench.rounds(MINUTE + 100);
    assert_eq!(bench.placed(), " | p1.0 p4.0 p5.0 | p2.0 p3.0");
    // A setting that says how acts at once.
    bench.ask("uniswitch/set", &["pmd-rxq-assign", "roundrobin"]);
    bench.rounds(MINUTE + 100);
    assert_eq!(bench.placed(), " | p1.0 p3.0 p5.0 | p2.0 p4.0");
    let sums = bench.switch.control.accounting();
    assert!(sums.holds(), "{sums:?}");
}

#[test]
fn an_overloaded_core_is_relieved_by_itself() {
    let before = " | p2.0 p4.0 | p1.0 p3.0 p5.0";
    let (mut bench, _) = busy();
    bench.rounds(3 * MINUTE);
    assert_eq!(bench.placed(), before, "nobody asked for it");
    bench.ask("uniswitch/set", &["pmd-auto-lb", "true"]);
    bench.rounds(3 * MINUTE);
    assert_eq!(bench.placed(), before, "80 % is less than 95");
    bench.ask("uniswitch/set", &["pmd-auto-lb-load-threshold", "70"]);
    bench.rounds(3 * MINUTE);
    let after = " | p1.0 p4.0 p5.0 | p2.0 p3.0";
    assert_eq!(bench.placed(), after);
    // What brings little is left alone.
    bench.ask("uniswitch/set", &["pmd-auto-lb-load-threshold", "0"]);
    bench.rounds(5 * MINUTE);
    assert_eq!(bench.placed(), after);
}

/// Of ports 1 to `n_ports`, the queues of `pinned` are pinned: queue and core of each.
fn wanted(n_ports: usize, pinned: usize, pins: &[(usize, usize)]) -> Wanted {
    let port = |k: usize| {
        let name = format!("p{k}");
        let rxq_affinity = if k == pinned { pins.to_vec() } else { Vec::new() };
        let kind = InterfaceKind::Nic;
        let interface =
            InterfaceWanted { name: name.clone(), kind, rxq_affinity, ..Default::default() };
        PortWanted { name, interfaces: vec![interface], ..Default::default() }
    };
    let bridge = BridgeWanted {
        name: "br0".into(),
        ports: (1..=n_ports).map(port).collect(),
        fail_mode: FailMode::Secure,
        ..Default::default()
    };
    Wanted { bridges: vec![bridge], ..Default::default() }
}

#[test]
fn pinned_queues_go_where_they_are_pinned() {
    let (mut bench, _) = busy();
    let wanted = |pins: &[(usize, usize)]| wanted(5, 3, pins);
    bench.switch.control.reconfigure(wanted(&[(0, 0)]), bench.now);
    bench.rounds(MINUTE + 100);
    assert_eq!(bench.placed(), " | ! p3.0 | p1.0 p2.0 p4.0 p5.0");
    // Beside it goes what finds no better place.
    bench.ask("uniswitch/set", &["pmd-rxq-isolate", "false"]);
    bench.ask("uniswitch/set", &["pmd-rxq-assign", "roundrobin"]);
    bench.rounds(10);
    assert_eq!(bench.placed(), " | p1.0 p3.0 p4.0 | p2.0 p5.0");
    bench.switch.control.reconfigure(wanted(&[(0, 7), (3, 1)]), bench.now);
    bench.rounds(10);
    assert_eq!(bench.placed(), " | p1.0 p3.0 p5.0 | p2.0 p4.0", "no such core, no such queue");
}

/// A sequence that looks like none.
struct Random(u32);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % n
    }
}

/// Frames of three ports, which go round, while queues move without end and cores run in any order.
fn move_under_traffic(mode: UpcallMode, seed: u32) {
    let mut handles: Vec<ReplayHandle> = Vec::new();
    let netdevs = (1..=3_u8).map(|k| {
        let (netdev, handle) = Replay::new(&format!("nic{k}"), [2, 0, 0, 0, 0, k], Vec::new());
        handles.push(handle);
        Box::new(netdev) as Box<dyn Netdev>
    });
    let upcalls = UpcallConfig { mode, ..UpcallConfig::default() };
    let mut bench = Bench::new(netdevs.collect(), |port| port % 3 + 1, upcalls);
    bench.step = Nanos::from_micros(20);
    let mut random = Random(seed);
    let (mut n_sent, mut got) = ([0_u32; 3], [const { Vec::<u32>::new() }; 3]);
    let mut places = std::collections::HashSet::new();
    for turn in 0..4_000 {
        for (port, n) in n_sent.iter_mut().enumerate() {
            for _ in 0..random.below(20) {
                if handles[port].inject(&frame(*n)) {
                    *n += 1;
                }
            }
        }
        for _ in 0..random.below(6) {
            bench.now = bench.now.saturating_add(bench.step);
            match random.below(3) {
                2 => drop(bench.switch.control.poll(bench.now)),
                core => drop(bench.switch.pmds[core].poll(bench.now)),
            }
        }
        if turn % 40 == 0 {
            let how = ["roundrobin", "cycles", "group"][random.below(3)];
            bench.ask("uniswitch/set", &["pmd-rxq-assign", how]);
            // One of the ports takes more than the others for a while.
            CYCLES.set(CYCLES.get() + random.below(100_000) as u64);
            bench.now = bench.now.saturating_add(Nanos::from_secs(5));
            bench.ask("dpif-netdev/pmd-rxq-rebalance", &[]);
            places.insert(bench.placed());
        }
        for (port, got) in got.iter_mut().enumerate() {
            let frames = handles[port].captured();
            got.extend(frames.iter().map(|f| u32::from_be_bytes(f[20..24].try_into().expect("4"))));
        }
    }
    for _ in 0..3_000 {
        bench.round();
        for (port, got) in got.iter_mut().enumerate() {
            let frames = handles[port].captured();
            got.extend(frames.iter().map(|f| u32::from_be_bytes(f[20..24].try_into().expect("4"))));
        }
    }
    let sums = bench.switch.control.accounting();
    assert!(sums.holds(), "{mode}: {sums:?}");
    assert_eq!(sums.received, n_sent.iter().map(|n| u64::from(*n)).sum::<u64>(), "{mode}");
    assert!(n_sent.iter().all(|n| *n > 10_000), "{n_sent:?}");
    assert!(places.len() > 1, "{mode}: they moved: {places:?}");
    let n_got: u64 = got.iter().map(|got| got.len() as u64).sum();
    assert_eq!(n_got + sums.dropped, sums.received, "{mode}: {sums:?}");
    for (port, got) in got.into_iter().enumerate() {
        if mode == UpcallMode::Callback {
            // Where the control core answers none, none overtakes another of its flow.
            for host in 0..HOSTS {
                let of_host = got.iter().filter(|id| *id % HOSTS == host);
                assert!(of_host.is_sorted(), "port {port}, host {host}");
            }
        }
        let mut distinct = got.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), got.len(), "{mode}: port {port}: one came twice");
    }
}

#[test]
fn queues_that_move_lose_double_and_reorder_nothing() {
    for mode in [UpcallMode::Callback, UpcallMode::Budget, UpcallMode::Thread] {
        for seed in 1..=3 {
            move_under_traffic(mode, seed);
        }
    }
}

/// A device with one pair of queues, which takes no frames while it is shut.
#[derive(Debug)]
struct Gate(Box<dyn Netdev>, Arc<AtomicBool>, NetdevInfo);

impl Gate {
    fn new(inner: Replay, is_shut: &Arc<AtomicBool>) -> Box<Self> {
        let info = NetdevInfo { max_queue_pairs: 1, ..inner.info().clone() };
        Box::new(Self(Box::new(inner), is_shut.clone(), info))
    }
}

impl Netdev for Gate {
    fn info(&self) -> &NetdevInfo {
        &self.2
    }

    fn open(&mut self, n_pairs: u16, pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        let behind = |QueuePair { rx, tx }: QueuePair| QueuePair {
            rx,
            tx: Box::new(GateTx(tx, self.1.clone())),
        };
        Ok(self.0.open(n_pairs, pool)?.into_iter().map(behind).collect())
    }

    fn link(&mut self) -> LinkState {
        self.0.link()
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        self.0.stop()
    }

    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError> {
        self.0.reset(returned)
    }
}

#[derive(Debug)]
struct GateTx(Box<dyn TxQueue>, Arc<AtomicBool>);

impl TxQueue for GateTx {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        if self.1.load(Ordering::Relaxed) { Ok(0) } else { self.0.transmit(from, cache) }
    }

    fn reclaim(&mut self, cache: &mut PoolCache) -> Result<(), QueueFault> {
        self.0.reclaim(cache)
    }

    fn stats(&self) -> TxStats {
        self.0.stats()
    }
}

/// A queue is to go in the round that brings a frame of a new flow: that frame is answered before, and the queue
/// stays until it has left.
#[test]
fn a_queue_stays_until_a_new_flow_that_it_brought_has_left() {
    let replay = |k: u8| Replay::new(&format!("nic{k}"), [2, 0, 0, 0, 0, k], Vec::new());
    let ((from, sender), (to, receiver)) = (replay(1), replay(2));
    let is_shut = Arc::new(AtomicBool::new(false));
    let netdevs: Vec<Box<dyn Netdev>> =
        vec![Gate::new(from, &Arc::default()), Gate::new(to, &is_shut)];
    let upcalls = UpcallConfig { mode: UpcallMode::Callback, ..UpcallConfig::default() };
    let mut bench = Bench::new(netdevs, |_| 2, upcalls);
    bench.switch.control.reconfigure(wanted(2, 1, &[(0, 0)]), bench.now);
    bench.rounds(100);
    assert!(bench.placed().contains("| ! p1.0 |"), "{}", bench.placed());

    is_shut.store(true, Ordering::Relaxed);
    bench.switch.control.reconfigure(wanted(2, 1, &[(0, 1)]), bench.now);
    for _ in 0..20 {
        bench.now = bench.now.saturating_add(bench.step);
        bench.switch.control.poll(bench.now);
    }
    // The core sees the order now; and the device of port 2 does not try its patience.
    bench.step = Nanos::from_micros(20);
    let ids = [HOSTS, 2 * HOSTS].map(frame);
    assert!(sender.inject(&ids[0]));
    bench.switch.pmds[0].poll(bench.now);
    assert_eq!(sender.waiting(), 0, "it was received in the round of the order");
    assert!(sender.inject(&ids[1]));
    for _ in 0..100 {
        bench.now = bench.now.saturating_add(bench.step);
        bench.switch.control.poll(bench.now);
        bench.switch.pmds[0].poll(bench.now);
        bench.switch.pmds[1].poll(bench.now);
    }
    assert_eq!(sender.waiting(), 1, "nobody polls it before the first has left");
    is_shut.store(false, Ordering::Relaxed);
    for _ in 0..100 {
        bench.now = bench.now.saturating_add(bench.step);
        bench.switch.pmds[1].poll(bench.now);
        bench.switch.pmds[0].poll(bench.now);
        bench.switch.control.poll(bench.now);
    }
    assert!(receiver.captured() == ids, "in their order");
    assert!(bench.placed().ends_with("! p1.0"), "{}", bench.placed());
    assert!(bench.switch.control.accounting().holds());
}
