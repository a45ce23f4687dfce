//! Our switch in this process: the polling body on the measured core, the control body on the other.
#![expect(
    clippy::cast_possible_truncation,
    reason = "a run is shorter than 500 years, and has few ports"
)]

use super::case::Case;
use super::{CONTROL_CORE, Measured, POLLING_CORE, cpu_time};
use core_affinity::CoreId;
use netdev::{
    LinkState, Netdev, NetdevInfo, OpenError, QueueFault, QueuePair, RxQueue, RxStats, TxQueue,
    TxStats, take_front,
};
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Batch, Packet, Pool, PoolCache, PoolConfig};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use switch::{PortParts, Switch, SwitchParts};
use sync::time::Nanos;

/// Rounds between two looks at the clock for the end.
const ROUNDS: u32 = 256;

/// Runs one case for `seconds`, after as long a time to warm up.
pub(crate) fn run(case: &Case, seconds: f64) -> Result<Measured, Box<dyn Error>> {
    let frames: Arc<[Box<[u8]>]> = case.frames.make().iter().map(|f| Box::from(&f[..])).collect();
    let received = Arc::new(AtomicU64::new(0));
    let ports = (1..=3_u32).map(|k| PortParts {
        name: format!("p{k}"),
        of: OfPort(k),
        netdev: Box::new(Memory::new(
            k,
            if k == 1 { frames.clone() } else { Arc::new([]) },
            &received,
        )),
    });
    let parts = SwitchParts {
        bridge: ofproto::BridgeConfig {
            fail_mode: ofproto::FailMode::Secure,
            ..Default::default()
        },
        agent: agent::AgentConfig::default(),
        listen: 0,
        n_cores: 1,
        ports: ports.collect(),
        management: None,
        channels: Vec::new(),
        pool: Pool::on_heap(PoolConfig { small: 16_384, jumbo: 16 }),
        self_check_one_in: 10_000,
        datapath: Default::default(),
        upcalls: switch::UpcallConfig::default(),
        database: switch::DatabaseParts::default(),
        random: 7,
        memory: || (0, 0),
        cycles: || 0,
    };
    let begin = Instant::now();
    let now = move || Nanos(begin.elapsed().as_nanos() as u64);
    let Switch { mut control, mut pmds } = Switch::new(parts, Nanos::ZERO);
    let mut flows = Vec::new();
    for text in &case.flows {
        flows.push(
            openflow::text::parse_flow(text, FlowModCommand::Add)
                .map_err(|why| format!("{text}: {why}"))?,
        );
    }
    control.configure(|bridge, _| -> Result<(), String> {
        for flow in &flows {
            bridge.flow_mod(flow, Version::V13, Nanos::ZERO).map_err(|why| format!("{why:?}"))?;
        }
        Ok(())
    })?;
    let done = AtomicBool::new(false);
    let mut pmd = pmds.remove(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
            while !done.load(Ordering::Relaxed) {
                if !control.poll(now()) {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        });
        let polled = scope.spawn(|| {
            core_affinity::set_for_current(CoreId { id: POLLING_CORE });
            let mut poll_for = |seconds: f64| {
                let (begun, before) = (Instant::now(), received.load(Ordering::Relaxed));
                let cpu = cpu_time("/proc/thread-self/schedstat");
                let mut stretches = Vec::new();
                let (mut at, mut n) = (begun, before);
                while begun.elapsed().as_secs_f64() < seconds {
                    for _ in 0..ROUNDS {
                        pmd.poll(now());
                    }
                    let (later, more) = (Instant::now(), received.load(Ordering::Relaxed));
                    stretches.push((later - at).as_secs_f64() / (more - n).max(1) as f64);
                    (at, n) = (later, more);
                }
                let packets = n - before;
                let time = cpu_time("/proc/thread-self/schedstat") - cpu;
                stretches.sort_unstable_by(f64::total_cmp);
                let undisturbed = stretches.get(stretches.len() / 10).copied();
                Measured { packets, time, undisturbed }
            };
            poll_for(seconds);
            poll_for(seconds)
        });
        let outcome = polled.join();
        done.store(true, Ordering::Relaxed);
        Ok(outcome.map_err(|_| "the polling thread panicked")?)
    })
}

/// A port in memory: gives frames without end, one copy each, and swallows what it gets.
#[derive(Debug)]
struct Memory {
    info: NetdevInfo,
    frames: Arc<[Box<[u8]>]>,
    received: Arc<AtomicU64>,
}

impl Memory {
    fn new(k: u32, frames: Arc<[Box<[u8]>]>, received: &Arc<AtomicU64>) -> Self {
        let info = NetdevInfo {
            name: format!("memory{k}"),
            mac: [2, 0, 0, 0, 1, k as u8],
            mtu: 1500,
            max_queue_pairs: 1,
            driver: "memory",
            features: Vec::new(),
        };
        Self { info, frames, received: received.clone() }
    }
}

impl Netdev for Memory {
    fn info(&self) -> &NetdevInfo {
        &self.info
    }

    fn open(&mut self, _n_pairs: u16, _pool: &Arc<Pool>) -> Result<Vec<QueuePair>, OpenError> {
        let (frames, received) = (self.frames.clone(), self.received.clone());
        let rx = Box::new(Feed { frames, next: 0, n_received: 0, received });
        Ok(vec![QueuePair { rx, tx: Box::new(Sink { frames: 0 }) }])
    }

    fn link(&mut self) -> LinkState {
        LinkState { up: true, speed_mbps: Some(10_000) }
    }

    fn reset(&mut self, _returned: Vec<QueuePair>) -> Result<(), OpenError> {
        Ok(())
    }
}

#[derive(Debug)]
struct Feed {
    frames: Arc<[Box<[u8]>]>,
    next: usize,
    n_received: u64,
    /// Read by the measurement.
    received: Arc<AtomicU64>,
}

impl RxQueue for Feed {
    fn receive(&mut self, into: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let before = into.len();
        while !into.is_full() {
            let Some(frame) = self.frames.get(self.next) else { break };
            let Some(packet) = cache.from_bytes(frame) else { break };
            // There is room.
            let _ = into.push(packet);
            self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
        }
        let n = into.len() - before;
        if n > 0 {
            self.n_received += n as u64;
            self.received.store(self.n_received, Ordering::Relaxed);
        }
        Ok(n)
    }

    fn stats(&self) -> RxStats {
        RxStats { frames: self.n_received, ..RxStats::default() }
    }
}

#[derive(Debug)]
struct Sink {
    frames: u64,
}

impl TxQueue for Sink {
    fn transmit(&mut self, from: &mut Batch, cache: &mut PoolCache) -> Result<usize, QueueFault> {
        let n = from.len();
        self.frames += n as u64;
        take_front(from, n).for_each(|packet: Packet| cache.free(packet));
        Ok(n)
    }

    fn reclaim(&mut self, _cache: &mut PoolCache) -> Result<(), QueueFault> {
        Ok(())
    }

    fn stats(&self) -> TxStats {
        TxStats { frames: self.frames, ..TxStats::default() }
    }
}
