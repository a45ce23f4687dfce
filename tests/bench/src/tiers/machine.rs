//! A switch in this process whose ports are streams, and what it does in a stretch of time.

use crate::versus::{CONTROL_CORE, POLLING_CORE, cpu_time};
use allocation_counter::measure;
use core_affinity::CoreId;
use datapath::{DatapathConfig, PortNo};
use netdev::fake::{Repeat, Source, Stream, StreamHandle};
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Pool, PoolConfig};
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use switch::{Control, Hits, Pmd, PortParts, Switch, SwitchParts, UpcallConfig, UpcallStats};
use sync::time::Nanos;

/// Rounds between two looks at the clock for the end.
const ROUNDS: u32 = 64;
/// Longest time to wait for caches to fill.
const WARM_UP: Duration = Duration::from_secs(60);
/// Megaflows that a core may hold, and a bridge: one port alone may have a million, which is 8/9 of it.
const MOST_FLOWS: usize = 1_125_000;

/// What is built.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Rules in `ovs-ofctl`'s text.
    pub(crate) rules: Vec<String>,
    /// What comes in on ports 1, 2 … ; behind them comes one port that only swallows.
    pub(crate) sources: Vec<Box<dyn Source>>,
    pub(crate) datapath: DatapathConfig,
    pub(crate) upcalls: UpcallConfig,
    /// Polling cores; none said is one.
    pub(crate) n_cores: usize,
}

impl Plan {
    pub(crate) fn new(rules: impl IntoIterator<Item = String>) -> Self {
        Self { rules: rules.into_iter().collect(), ..Self::default() }
    }

    /// One more port, with what comes in on it.
    pub(crate) fn receiving(mut self, source: impl Source + 'static) -> Self {
        self.sources.push(Box::new(source));
        self
    }
}

/// What a stretch of time brought.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    /// Frames that came in, port by port.
    pub(crate) received: Vec<u64>,
    /// Time that the polling thread ran, and the control thread.
    pub(crate) polling: Duration,
    pub(crate) control: Duration,
    /// Allocations of the polling thread.
    pub(crate) n_allocations: u64,
    pub(crate) hits: Hits,
    /// Upcalls of port 1 that were answered.
    pub(crate) n_answered: u64,
}

impl Stretch {
    /// Packets of all ports.
    pub(crate) fn packets(&self) -> f64 {
        self.received.iter().sum::<u64>() as f64
    }

    /// Packets of port `k` for each second that the polling thread ran.
    pub(crate) fn rate(&self, k: usize) -> f64 {
        self.received[k] as f64 / self.polling.as_secs_f64()
    }
}

/// The two threads at work.
pub(crate) struct Machine<'a> {
    pmd: Pmd,
    control: &'a Mutex<Control>,
    /// The control thread's file of times.
    control_time: String,
    ports: Vec<StreamHandle>,
    begin: Instant,
}

impl Machine<'_> {
    /// Lets frames come in, or no more, on port `k`.
    pub(crate) fn set_flowing(&self, k: usize, is_flowing: bool) {
        self.ports[k].set_burst(if is_flowing { packet::BATCH } else { 0 });
    }

    /// Runs until what comes in is cached, or it seems that it never is.
    pub(crate) fn warm_up(&mut self) {
        let begun = Instant::now();
        let mut quiet = 0;
        while quiet < 5 && begun.elapsed() < WARM_UP {
            // On a machine with other work the control thread waits for its turn, rounds of the revalidator
            // seem long, and the limit falls: that is not what is measured here.
            if let Ok(mut control) = self.control.lock() {
                control.configure(|bridge, _| bridge.set_flow_limit(MOST_FLOWS));
            }
            let stretch = self.run(0.1);
            quiet = if stretch.hits.misses == 0 { quiet + 1 } else { 0 };
        }
    }

    /// Runs for so long.
    pub(crate) fn run(&mut self, seconds: f64) -> Stretch {
        let before = self.now();
        let (control_before, polling_before) =
            (cpu_time(&self.control_time), cpu_time("/proc/thread-self/schedstat"));
        let begun = Instant::now();
        let allocated = measure(|| {
            while begun.elapsed().as_secs_f64() < seconds {
                for _ in 0..ROUNDS {
                    self.pmd.poll(Nanos(since(self.begin)));
                }
            }
        });
        let polling = cpu_time("/proc/thread-self/schedstat") - polling_before;
        let control = cpu_time(&self.control_time) - control_before;
        let after = self.now();
        let hits = Hits {
            emc: after.hits.emc - before.hits.emc,
            smc: after.hits.smc - before.hits.smc,
            megaflow: after.hits.megaflow - before.hits.megaflow,
            probes: after.hits.probes - before.hits.probes,
            misses: after.hits.misses - before.hits.misses,
            bursts: after.hits.bursts - before.hits.bursts,
        };
        let received = after.received.iter().zip(&before.received).map(|(a, b)| a - b).collect();
        let n_answered = after.n_answered - before.n_answered;
        Stretch {
            received,
            polling,
            control,
            n_allocations: allocated.count_total,
            hits,
            n_answered,
        }
    }

    /// Cached flows, and how long the last full look of the revalidator at them took.
    pub(crate) fn cached(&self) -> (usize, Duration) {
        let mut control = self.control.lock().expect("the control thread lives");
        control.configure(|bridge, _| {
            let took = bridge.revalidator().last_duration();
            (bridge.ukeys().len(), Duration::from_nanos(took.as_nanos()))
        })
    }

    fn now(&self) -> Totals {
        let control = self.control.lock().expect("the control thread lives");
        let stats = control.upcall_stats(PortNo(1));
        let UpcallStats { inline, cached, by_ring, under_way, .. } = stats;
        Totals {
            received: self.ports.iter().map(StreamHandle::n_received).collect(),
            hits: control.hits(),
            n_answered: inline + cached + by_ring - under_way,
        }
    }
}

struct Totals {
    received: Vec<u64>,
    hits: Hits,
    n_answered: u64,
}

fn since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// A switch as planned, with all streams at rest.
pub(super) fn assemble(plan: Plan) -> Result<(Switch, Vec<StreamHandle>), Box<dyn Error>> {
    let Plan { rules, sources, datapath, upcalls, n_cores } = plan;
    let nothing: Box<dyn Source> = Box::new(Repeat::new([]));
    let (mut ports, mut handles) = (Vec::new(), Vec::new());
    for (k, source) in (1_u8..).zip(sources.into_iter().chain([nothing])) {
        let (netdev, handle) = Stream::new(&format!("stream{k}"), [2, 0, 0, 0, 1, k], source);
        handle.set_burst(0);
        handles.push(handle);
        let (name, of) = (format!("p{k}"), OfPort(k.into()));
        ports.push(PortParts { name, of, netdev: Box::new(netdev) });
    }
    let parts = SwitchParts {
        // What is cached stays so.
        bridge: ofproto::BridgeConfig {
            fail_mode: ofproto::FailMode::Secure,
            flow_limit: MOST_FLOWS,
            max_idle: Nanos::from_secs(600),
            ..Default::default()
        },
        n_cores: n_cores.max(1),
        self_check_one_in: 0,
        datapath: DatapathConfig { max_megaflows: MOST_FLOWS, ..datapath },
        upcalls,
        cycles: tick_counter::x86_64_tick_counter,
        ..SwitchParts::new(ports, Pool::on_heap(PoolConfig { small: 16_384, jumbo: 16 }))
    };
    let mut switch = Switch::new(parts, Nanos::ZERO);
    // It would grow to that by and by.
    switch.control.configure(|bridge, _| bridge.set_flow_limit(MOST_FLOWS));
    for text in &rules {
        let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add)
            .map_err(|why| format!("{text}: {why}"))?;
        let done = switch
            .control
            .configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, Nanos::ZERO));
        done.map_err(|why| format!("{text}: {why:?}"))?;
    }
    Ok((switch, handles))
}

/// Builds the switch, and lets `work` use it on the polling core while the control body runs on the
/// other.
pub(crate) fn with<R: Send>(
    plan: Plan,
    work: impl FnOnce(&mut Machine<'_>) -> R + Send,
) -> Result<R, Box<dyn Error>> {
    let (switch, ports) = assemble(plan)?;
    let Switch { control, mut pmds } = switch;
    let (control, done) = (Mutex::new(control), AtomicBool::new(false));
    let (tell_time, control_time) = std::sync::mpsc::channel();
    let begin = Instant::now();
    thread::scope(|scope| {
        let (control, done) = (&control, &done);
        scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
            let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
            // Nobody listens any more only when all is over.
            let _ = tell_time.send(format!("/proc/{}/schedstat", thread.display()));
            while !done.load(Ordering::Relaxed) {
                let worked = control.lock().map(|mut control| control.poll(Nanos(since(begin))));
                if !worked.unwrap_or(false) {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        });
        let pmd = pmds.remove(0);
        let worker = scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: POLLING_CORE });
            let control_time = control_time.recv().unwrap_or_default();
            work(&mut Machine { pmd, control, control_time, ports, begin })
        });
        let outcome = worker.join();
        done.store(true, Ordering::Relaxed);
        outcome.map_err(|_| "the polling thread panicked".into())
    })
}

/// Bytes that the heap holds more for each flow when `n_packets` that came in on port 1 are cached, and
/// how many flows that are.
pub(crate) fn memory(plan: Plan, n_packets: u64) -> Result<(f64, usize), Box<dyn Error>> {
    let (mut switch, ports) = assemble(plan)?;
    let mut now = Nanos::ZERO;
    let mut round = |switch: &mut Switch| {
        now += Nanos::from_micros(20);
        switch.pmds[0].poll(now);
        switch.control.poll(now);
    };
    (0..1_000).for_each(|_| round(&mut switch));
    let n_flows = |switch: &mut Switch| switch.control.configure(|bridge, _| bridge.ukeys().len());
    let before = n_flows(&mut switch);
    let spent = measure(|| {
        ports[0].set_burst(packet::BATCH);
        while ports[0].n_received() < n_packets {
            round(&mut switch);
        }
        ports[0].set_burst(0);
        (0..2_000).for_each(|_| round(&mut switch));
    });
    let n = n_flows(&mut switch) - before;
    Ok((spent.bytes_current as f64 / n.max(1) as f64, n))
}
