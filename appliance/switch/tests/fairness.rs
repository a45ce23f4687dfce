//! The time of a core is shared by the ports that it polls, whatever their frames cost: evenly by those whose
//! frames are cached, and new flows have one eighth of the right of those. The cycle counter is the
//! test's own: frames of each port move it on as they are received, and a steady port receives by it.

use flow::{Field, Flow, compose};
use netdev::fake::{Source, Stream, StreamHandle};
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Pool, PoolConfig};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use switch::{PortParts, Switch, SwitchParts, UpcallConfig, UpcallMode};
use sync::time::Nanos;

thread_local! {
    static CYCLES: Cell<u64> = const { Cell::new(0) };
}

fn cycles() -> u64 {
    CYCLES.get()
}

/// A frame of a cached flow costs so much; one of the storm fifty times that.
const CHEAP: u64 = 100;
const DEAR: u64 = 5_000;
const MODES: [UpcallMode; 3] = [UpcallMode::Callback, UpcallMode::Thread, UpcallMode::Budget];
const FRIEND: usize = 0;
const STORM: usize = 1;

/// Frames of one host, or of ever new ones.
#[derive(Debug)]
struct Hosts {
    frame: Vec<u8>,
    n: Option<u32>,
    cost: u64,
    /// One frame in so many cycles waits, in a ring of [`RING`].
    steady: Option<Steady>,
}

/// Places of a device's ring.
const RING: u64 = 1_024;

#[derive(Debug)]
struct Steady {
    every: u64,
    /// Up to when frames have come.
    until: u64,
    n_waiting: u64,
    n_lost: Arc<AtomicU64>,
}

impl Steady {
    fn take(&mut self) -> bool {
        let n_came = (cycles() - self.until) / self.every;
        self.until += n_came * self.every;
        self.n_waiting += n_came;
        let n_lost = self.n_waiting.saturating_sub(RING);
        self.n_lost.fetch_add(n_lost, Relaxed);
        self.n_waiting -= n_lost;
        let has_one = self.n_waiting > 0;
        self.n_waiting -= u64::from(has_one);
        has_one
    }
}

impl Source for Hosts {
    fn next(&mut self) -> Option<&[u8]> {
        if self.steady.as_mut().is_some_and(|steady| !steady.take()) {
            return None;
        }
        CYCLES.set(CYCLES.get() + self.cost);
        if let Some(n) = &mut self.n {
            *n += 1;
            self.frame[26..30].copy_from_slice(&(0x0a00_0000 + *n).to_be_bytes());
        }
        Some(&self.frame)
    }
}

struct Bench {
    switch: Switch,
    ports: Vec<StreamHandle>,
    now: Nanos,
}

impl Bench {
    /// Port 1 with cached traffic, port 2 with new flows, and port 3, where all of it goes.
    fn new(mode: UpcallMode) -> Self {
        Self::with(mode, None)
    }

    fn with(mode: UpcallMode, mut steady: Option<Steady>) -> Self {
        let sources = [(None, CHEAP), (Some(0), DEAR), (None, 0)].map(|(n, cost)| Hosts {
            frame: frame(),
            n,
            cost,
            steady: steady.take(),
        });
        let (mut ports, mut handles) = (Vec::new(), Vec::new());
        for (k, source) in (1_u8..).zip(sources) {
            let (netdev, handle) = Stream::new(&format!("p{k}"), [2, 0, 0, 0, 0, k], source);
            handle.set_burst(0);
            handles.push(handle);
            let (name, of) = (format!("p{k}"), OfPort(k.into()));
            ports.push(PortParts { name, of, netdev: Box::new(netdev) });
        }
        let parts = SwitchParts {
            bridge: ofproto::BridgeConfig {
                fail_mode: ofproto::FailMode::Secure,
                ..Default::default()
            },
            self_check_one_in: 0,
            upcalls: UpcallConfig { mode, ..UpcallConfig::default() },
            cycles,
            ..SwitchParts::new(ports, Pool::on_heap(PoolConfig { small: 8_192, jumbo: 16 }))
        };
        let switch = Switch::new(parts, Nanos::ZERO);
        let mut bench = Self { switch, ports: handles, now: Nanos::from_secs(1) };
        for text in [
            "in_port=1,ip,actions=output:3",
            "in_port=2,ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:3",
        ] {
            let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add).expect(text);
            let control = &mut bench.switch.control;
            let done = control
                .configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, Nanos::ZERO));
            assert_eq!(done, Ok(()), "{text}");
        }
        bench.rounds(300);
        bench
    }

    fn rounds(&mut self, n: usize) {
        (0..n).for_each(|_| self.round());
    }

    fn round(&mut self) {
        self.now += Nanos::from_micros(5);
        self.switch.pmds[0].poll(self.now);
        self.switch.control.poll(self.now);
    }

    /// Runs until so many cycles have passed, and tells how many frames each port received meanwhile.
    fn run(&mut self, n_cycles: u64) -> [u64; 2] {
        let received = |bench: &Self| [FRIEND, STORM].map(|k| bench.ports[k].n_received());
        let (before, end) = (received(self), cycles() + n_cycles);
        while cycles() < end {
            let begun = cycles();
            self.round();
            assert!(cycles() > begun, "frames wait, and the core rests");
        }
        let after = received(self);
        [after[0] - before[0], after[1] - before[1]]
    }

    fn set_bursts(&self, friend: usize, storm: usize) {
        self.ports[FRIEND].set_burst(friend);
        self.ports[STORM].set_burst(storm);
    }
}

fn frame() -> Vec<u8> {
    let mut flow = Flow::ZERO;
    flow.set(Field::EthSrc, 0x0200_0000_0001);
    flow.set(Field::EthDst, 0x0200_0000_0002);
    flow.set(Field::EthType, 0x0800);
    flow.set(Field::Ipv4Src, 0x0c00_0001);
    flow.set(Field::Ipv4Dst, 0x0b00_0001);
    flow.set(Field::IpProto, 17);
    flow.set(Field::IpTtl, 64);
    compose(&flow, 18)
}

#[test]
fn a_storm_leaves_cached_traffic_eight_parts_in_nine_of_the_core() {
    const CYCLES: u64 = 50_000_000;
    for mode in MODES {
        let mut bench = Bench::new(mode);
        bench.set_bursts(32, 0);
        bench.rounds(100);
        let [alone, _] = bench.run(CYCLES);
        bench.set_bursts(32, 32);
        let [beside, storm] = bench.run(CYCLES);
        // But for what a port may be ahead.
        assert!(beside * 100 >= alone * 87, "{mode}: {beside} of {alone}");
        assert!(storm * DEAR * 100 >= CYCLES * 10, "{mode}: the storm has its part, {storm}");
        bench.set_bursts(0, 0);
        bench.rounds(3_000);
        let sums = bench.switch.control.accounting();
        assert!(sums.holds(), "{mode}: {sums:?}");
    }
}

#[test]
fn a_steady_port_loses_nothing_to_a_storm() {
    const CYCLES: u64 = 50_000_000;
    for (mode, percent) in MODES.into_iter().flat_map(|m| [(m, 25), (m, 40), (m, 60)]) {
        let n_lost = Arc::<AtomicU64>::default();
        let every = CHEAP * 100 / percent;
        let steady = Steady { every, until: cycles(), n_waiting: 0, n_lost: n_lost.clone() };
        let mut bench = Bench::with(mode, Some(steady));
        bench.set_bursts(32, 32);
        bench.run(CYCLES / 10);
        n_lost.store(0, Relaxed);
        let [through, storm] = bench.run(CYCLES);
        assert_eq!(n_lost.load(Relaxed), 0, "{mode}, {percent} %");
        assert!(through * every + RING * every >= CYCLES, "{mode}, {percent} %: {through}");
        // What is left is the storm's: the core never rests.
        let left = CYCLES * (100 - percent) / 100;
        assert!(storm * DEAR + 500_000 >= left, "{mode}, {percent} %: {storm}");
    }
}

#[test]
fn who_needs_less_than_half_gets_it_and_the_rest_is_the_storms() {
    let mut bench = Bench::new(UpcallMode::Budget);
    bench.set_bursts(1, 32);
    bench.rounds(100);
    let n_rounds = 10_000;
    let before = bench.ports[FRIEND].n_received();
    bench.rounds(n_rounds);
    let friend = bench.ports[FRIEND].n_received() - before;
    assert_eq!(friend, n_rounds as u64, "none of its rounds is missed");
}

#[test]
fn a_storm_alone_has_the_core_alone() {
    let mut bench = Bench::new(UpcallMode::Budget);
    bench.set_bursts(0, 32);
    bench.rounds(10);
    let before = bench.ports[STORM].n_received();
    bench.rounds(1_000);
    assert_eq!(bench.ports[STORM].n_received() - before, 32_000, "a burst each round");
    // What it had while nobody else wanted it is not held against it.
    bench.set_bursts(32, 32);
    let [friend, storm] = bench.run(10_000_000);
    assert!(friend * CHEAP * 100 >= 10_000_000 * 80, "{friend}");
    assert!(storm * DEAR * 100 >= 10_000_000 * 9, "{storm}");
}
