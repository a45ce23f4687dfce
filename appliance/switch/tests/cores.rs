//! Polling cores in threads of their own that send by the same transmit queues: while receive queues move, ports
//! come and go, devices break and get other numbers of queues, nothing is lost without a count, nothing is
//! doubled, and where queues only move no frame overtakes another of its flow.

mod line;

use agent::bridge_config::{BridgeWanted, FailMode, InterfaceWanted, PortWanted, Wanted};
use datapath::PortNo;
use flow::{Field, Flow, compose};
use line::Line;
use netdev::fake::{Fault, FaultPlan, Replay, ReplayHandle};
use netdev::{LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, TxQueue, TxStats};
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Batch, Pool, PoolCache, PoolConfig};
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use switch::{Control, PortParts, Switch, SwitchParts, UpcallConfig, UpcallMode};
use sync::time::Nanos;

const CORES: usize = 3;
const PORTS: u32 = 4;
/// Flows of a port at a time, and frames until there are others: cores always have some to answer.
const HOSTS: u32 = 8;
const FRAMES: u32 = 16 * HOSTS;
/// Times that a core reads its clock until it makes room for the others, wherever it is.
const READINGS: u32 = 61;
/// Changes made in one run, at the least.
const CHANGES: usize = 30;
/// Times that cores found a queue in use, at the least, in one run.
const CONTENTIONS: u64 = 200;
/// Longest time for all that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where frames of a port go: those of 1 and 2 to one port, which two cores send to. All sources are looked at.
const RULES: [&str; 5] = [
    "priority=65535,dl_src=06:00:00:00:00:01,actions=drop",
    "in_port=1,actions=output:3",
    "in_port=2,actions=output:3",
    "in_port=3,actions=output:4,output:1",
    "in_port=4,actions=output:3",
];

/// Ways from port to port that [`RULES`] open.
const N_WAYS: usize = 5;

/// A device that is slow to take frames, so that others come while one core is at a queue of it; and that
/// notices when two are.
#[derive(Debug)]
struct Slow {
    inner: Box<dyn Netdev>,
    info: NetdevInfo,
    /// Queues that are out.
    n_open: usize,
}

impl Slow {
    fn new(inner: Box<dyn Netdev>, max_queue_pairs: u16) -> Self {
        let info = NetdevInfo { max_queue_pairs, ..inner.info().clone() };
        Self { inner, info, n_open: 0 }
    }
}

impl Netdev for Slow {
    fn info(&self) -> &NetdevInfo {
        &self.info
    }

    fn open(&mut self, n_pairs: u16, pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        assert!((1..=self.info.max_queue_pairs).contains(&n_pairs));
        let slow = |QueuePair { rx, tx }: QueuePair| {
            let tx = SlowTx { inner: tx, is_used: AtomicBool::new(false), n_bursts: 0 };
            QueuePair { rx, tx: Box::new(tx) }
        };
        let pairs: Vec<_> = self.inner.open(n_pairs, pool)?.into_iter().map(slow).collect();
        self.n_open = pairs.len();
        Ok(pairs)
    }

    fn link(&mut self) -> LinkState {
        self.inner.link()
    }

    fn stop(&mut self) -> Result<(), OpenError> {
        self.inner.stop()
    }

    fn reset(&mut self, returned: Vec<QueuePair>) -> Result<(), OpenError> {
        assert_eq!(core::mem::take(&mut self.n_open), returned.len(), "queues got lost");
        self.inner.reset(returned)
    }
}

#[derive(Debug)]
struct SlowTx {
    inner: Box<dyn TxQueue>,
    is_used: AtomicBool,
    n_bursts: u32,
}

impl TxQueue for SlowTx {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        assert!(!self.is_used.swap(true, Ordering::SeqCst), "two cores at one queue");
        self.n_bursts += 1;
        if self.n_bursts.is_multiple_of(2) {
            thread::yield_now();
        }
        let sent = self.inner.transmit(from, cache);
        self.is_used.store(false, Ordering::SeqCst);
        sent
    }

    fn reclaim(&mut self, cache: &mut PoolCache) -> Result<(), QueueFault> {
        self.inner.reclaim(cache)
    }

    fn stats(&self) -> TxStats {
        self.inner.stats()
    }
}

/// The flow of the `id`-th frame of a port.
fn flow_of(id: u32) -> u32 {
    HOSTS * (id / FRAMES) + id % HOSTS
}

/// A frame that can be told from all others: the `id`-th of a port, of one of its flows.
fn frame(port: u32, id: u32) -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, 0x0200_0000_0000 + u128::from(port << 24 | flow_of(id)));
    flow.set(Field::EthDst, 0x0200_0000_ffff);
    flow.set(Field::EthType, 0x88b5);
    let mut bytes = compose(&flow, 46);
    bytes[20..24].copy_from_slice(&port.to_be_bytes());
    bytes[24..28].copy_from_slice(&id.to_be_bytes());
    bytes
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four"))
}

/// A sequence that looks like none.
struct Random(u32);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % n
    }
}

/// Ten times as fast as the machine's: what the switch waits for need not be waited for so long.
fn clock(begun: Instant) -> Nanos {
    let micros = u64::try_from(begun.elapsed().as_micros()).expect("not so long");
    Nanos::from_secs(1) + Nanos::from_micros(10 * micros)
}

/// The cycle counter of cores: it stands still, and a core may stop whenever it looks at it.
fn cycles() -> u64 {
    thread_local! {
        static READINGS_LEFT: Cell<u32> = const { Cell::new(READINGS) };
    }
    READINGS_LEFT.with(|left| match left.get() {
        0 => {
            left.set(READINGS);
            thread::yield_now();
        }
        n => left.set(n - 1),
    });
    0
}

struct Run {
    control: Control,
    line: Line,
    ports: Vec<ReplayHandle>,
    begun: Instant,
    n_sent: [u32; PORTS as usize],
    /// What left, by the port that it left by and the one where it came in.
    got: BTreeMap<(usize, u32), Vec<u32>>,
}

impl Run {
    fn step(&mut self) {
        assert!(self.begun.elapsed() < PATIENCE, "{:?}", self.control.accounting());
        self.control.poll(clock(self.begun));
        for (port, bytes) in (0..)
            .zip(&self.ports)
            .flat_map(|(k, port)| port.captured().into_iter().map(move |bytes| (k, bytes)))
        {
            let (from, id) = (number(&bytes[20..24]), number(&bytes[24..28]));
            self.got.entry((port, from)).or_default().push(id);
        }
        thread::yield_now();
    }

    fn inject(&mut self) {
        for (k, port) in (1..).zip(&self.ports) {
            let n_sent = &mut self.n_sent[k as usize - 1];
            for _ in 0..16 {
                if port.waiting() >= 128 || !port.inject(&frame(k, *n_sent)) {
                    break;
                }
                *n_sent += 1;
            }
        }
    }

    fn ask(&mut self, method: &str, params: &[&str]) -> String {
        let params: Vec<_> = params.iter().map(|param| format!("\"{param}\"")).collect();
        let params = params.join(",");
        let request = format!("{{\"id\":0,\"method\":\"{method}\",\"params\":[{params}]}}");
        self.line.to.lock().expect("not poisoned").extend(request.bytes());
        loop {
            self.step();
            let answer = core::mem::take(&mut *self.line.from.lock().expect("not poisoned"));
            if !answer.is_empty() {
                return String::from_utf8(answer).expect("text").replace("\\n", "\n");
            }
        }
    }

    /// How often an event happened.
    fn n_events(&mut self, name: &str) -> u64 {
        let text = self.ask("coverage/read-counter", &[name]);
        let digits: String = text
            .split("result\":\"")
            .nth(1)
            .expect("an answer")
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().expect("a number")
    }

    /// Becomes what is wanted, and is that then.
    fn become_(&mut self, ports: impl Iterator<Item = InterfaceWanted>) {
        self.begin_to_become(ports);
        while !self.control.status(clock(self.begun)).is_settled {
            self.inject();
            self.step();
        }
    }

    fn begin_to_become(&mut self, ports: impl Iterator<Item = InterfaceWanted>) {
        let ports = ports.map(|interface| PortWanted {
            name: interface.name.clone(),
            interfaces: vec![interface],
            ..PortWanted::default()
        });
        let bridge = BridgeWanted {
            name: "br0".into(),
            ports: ports.collect(),
            fail_mode: FailMode::Secure,
            ..BridgeWanted::default()
        };
        let wanted = Wanted { bridges: vec![bridge], ..Wanted::default() };
        let now = clock(self.begun);
        self.control.reconfigure(wanted, now);
    }

    /// Everything that came in has left or was counted.
    fn drain(&mut self) {
        loop {
            self.step();
            let sums = self.control.accounting();
            let n_sent: u64 = self.n_sent.iter().map(|n| u64::from(*n)).sum();
            if sums.received == n_sent && sums.holds() {
                return;
            }
        }
    }

    /// None came twice, and what left is what was counted.
    fn check(&mut self) {
        self.step();
        let sums = self.control.accounting();
        let n_got: usize = self.got.values().map(Vec::len).sum();
        assert_eq!(n_got as u64, sums.transmitted, "{sums:?}");
        for (way, got) in &self.got {
            let distinct: HashSet<_> = got.iter().collect();
            assert_eq!(distinct.len(), got.len(), "{way:?}: one came twice");
        }
    }
}

/// One interface, as it is at boot.
fn interface(port: u32) -> InterfaceWanted {
    let ofport_request = u16::try_from(port).ok();
    InterfaceWanted { name: format!("p{port}"), ofport_request, ..InterfaceWanted::default() }
}

/// Has `work` done while the cores forward.
fn run(max_queue_pairs: u16, plan: FaultPlan, work: impl FnOnce(&mut Run)) {
    let (mut handles, line) = (Vec::new(), Line::default());
    let ports = (1..=PORTS).map(|k| {
        let name = format!("p{k}");
        let mac = [2, 0, 0, 0, 0, u8::try_from(k).expect("few")];
        let (netdev, handle) = Replay::new(&name, mac, Vec::new());
        handles.push(handle);
        let netdev = Box::new(Fault::new(Box::new(netdev), plan));
        PortParts { name, of: OfPort(k), netdev: Box::new(Slow::new(netdev, max_queue_pairs)) }
    });
    let mode = UpcallMode::Callback;
    let parts = SwitchParts {
        bridge: ofproto::BridgeConfig {
            fail_mode: ofproto::FailMode::Secure,
            ..Default::default()
        },
        n_cores: CORES,
        channels: vec![Box::new(line.clone())],
        self_check_one_in: 0,
        cycles,
        upcalls: UpcallConfig { mode, ..UpcallConfig::default() },
        ..SwitchParts::new(ports.collect(), Pool::on_heap(PoolConfig { small: 16_384, jumbo: 16 }))
    };
    let begun = Instant::now();
    let Switch { mut control, pmds } = Switch::new(parts, Nanos::ZERO);
    for text in RULES {
        let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add).expect(text);
        let now = clock(begun);
        let done = control.configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, now));
        assert_eq!(done, Ok(()), "{text}");
    }
    let (n_sent, got) = ([0; PORTS as usize], BTreeMap::new());
    let mut run = Run { control, line, ports: handles, begun, n_sent, got };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for mut pmd in pmds {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    if !pmd.poll(clock(begun)) {
                        thread::yield_now();
                    }
                }
            });
        }
        // Cores end also where a check fails.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut run)));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
    });
}

/// The longest part of `ids` that is in order.
fn n_in_order(ids: impl Iterator<Item = u32>) -> usize {
    let mut ends: Vec<u32> = Vec::new();
    for id in ids {
        match ends.partition_point(|end| *end < id) {
            at if at < ends.len() => ends[at] = id,
            _ => ends.push(id),
        }
    }
    ends.len()
}

#[test]
fn queues_that_move_keep_the_order_of_flows_though_cores_share_transmit_queues() {
    for n_pairs in [1, 2] {
        run(n_pairs, FaultPlan::default(), |run| {
            let mut random = Random(u32::from(n_pairs));
            let mut n_changes = 0;
            while n_changes < CHANGES
                || run.n_events("datapath_tx_contended") < CONTENTIONS
                || run.got.len() < N_WAYS
                || run.got.values().any(|got| got.len() <= 1_000)
            {
                n_changes += 1;
                let pins: Vec<(usize, usize)> =
                    (0..4).map(|queue| (queue % 2, random.below(CORES))).collect();
                run.become_((1..=PORTS).map(|port| {
                    let own = pins[port as usize - 1].1;
                    let rxq_affinity = vec![(0, own), (1, pins[0].1)];
                    InterfaceWanted { rxq_affinity, ..interface(port) }
                }));
                for _ in 0..20 {
                    run.inject();
                    run.step();
                }
            }
            run.drain();
            run.check();
            let text = run.ask("dpif-netdev/pmd-perf-show", &[]);
            let told: Vec<&str> = text.split("- Tx contention:").skip(1).collect();
            let n_told =
                told.iter().filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
            assert!(told.len() == CORES && n_told.sum::<u64>() >= CONTENTIONS, "{text}");
            for ((to, from), got) in &run.got {
                // What the control core answered may be late, nothing else.
                let n_late = run.control.upcall_stats(PortNo(*from)).by_ring;
                let mut flows: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
                for id in got {
                    flows.entry(flow_of(*id)).or_default().push(*id);
                }
                let in_order: usize =
                    flows.into_values().map(|flow| n_in_order(flow.into_iter())).sum();
                assert!((got.len() - in_order) as u64 <= n_late, "from {from} to {to}: {n_late}");
            }
        });
    }
}

#[test]
fn ports_that_come_and_go_break_and_change_lose_nothing_uncounted() {
    let plan = FaultPlan { tx_fault_after: Some(300), seed: 5, ..FaultPlan::default() };
    run(4, plan, |run| {
        let mut random = Random(11);
        let mut n_changes = 0;
        // A device that broke rests for a while: changes go on until every way was open at some time.
        while n_changes < CHANGES || run.n_events("drop_tx_fault") == 0 || run.got.len() < N_WAYS {
            n_changes += 1;
            let is_there = [true, random.below(4) > 0, true, random.below(4) > 0];
            let changed: Vec<_> = (1..=PORTS)
                .filter(|port| is_there[*port as usize - 1])
                .map(|port| {
                    let n_rxq = u16::try_from(random.below(6)).ok().filter(|n| *n > 0);
                    let rxq_affinity = vec![(0, random.below(CORES))];
                    InterfaceWanted { n_rxq, rxq_affinity, ..interface(port) }
                })
                .collect();
            // Now and then before the last change has come to its end.
            match random.below(3) {
                0 => run.begin_to_become(changed.into_iter()),
                _ => run.become_(changed.into_iter()),
            }
            for _ in 0..20 {
                run.inject();
                run.step();
            }
        }
        // All there, with one queue each: frames pass as at the beginning.
        run.become_((1..=PORTS).map(|port| InterfaceWanted { n_rxq: Some(1), ..interface(port) }));
        let ways: Vec<_> = run.got.iter().map(|(way, got)| (*way, got.len())).collect();
        assert_eq!(ways.len(), N_WAYS, "{ways:?}");
        while !ways.iter().all(|(way, n)| run.got[way].len() > n + 100) {
            run.inject();
            run.step();
        }
        run.drain();
        run.check();
    });
}
