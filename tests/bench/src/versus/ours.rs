//! Our switch in this process: the polling body on the measured core, the control body on the other.
use super::case::{Cache, Case, Kind};
use super::measured::{Found, Measured};
use super::memory::Memory;
use super::pass::Passage;
use super::{CONTROL_CORE, POLLING_CORE, WARM_UP, cpu_time};
use core_affinity::CoreId;
use datapath::{DatapathConfig, PortNo, SmcEnable};
use openflow::{FlowModCommand, MeterMod, MeterModCommand, OfPort, Version};
use packet::{Pool, PoolConfig};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use switch::{Control, Pmd, PortParts, Switch, SwitchParts, UpcallConfig, UpcallMode, UpcallStats};
use sync::time::Nanos;

/// Rounds of the control body before frames come in, at most.
const SETTLING: u32 = 10_000;
/// Rounds between two looks at the clock for the end.
const ROUNDS: u32 = 256;

/// Flows that both may keep: the default of both, which they come to by and by.
pub(super) const FLOW_LIMIT: usize = 200_000;
/// What the polling core spends on upcalls is no question where all packets are upcalls: it answers all.
const UNLIMITED: UpcallConfig = UpcallConfig {
    mode: UpcallMode::Callback,
    rate: u32::MAX,
    burst: u32::MAX,
    per_burst: u32::MAX,
    core_rate: u32::MAX,
    weight: 1,
    protocol_rate: u32::MAX,
};

/// The settings of ours for `cache`.
pub(crate) fn config(cache: Cache) -> DatapathConfig {
    let default = DatapathConfig::default();
    let (emc_insert_inv_prob, smc_enable) = match cache {
        // The signature cache is asked where it pays: each switch is compared at its best.
        Cache::Default => (default.emc_insert_inv_prob, SmcEnable::Auto),
        Cache::Exact => (default.emc_insert_inv_prob.max(1), SmcEnable::Off),
        Cache::Off => (0, SmcEnable::Off),
        Cache::Signature => (0, SmcEnable::On),
    };
    DatapathConfig { emc_insert_inv_prob, smc_enable, ..default }
}

/// A switch with the rules of `case`, and the count of frames that have come in.
pub(crate) fn assemble(
    case: &Case,
    cache: Cache,
) -> Result<(Switch, Arc<AtomicU64>), Box<dyn Error>> {
    assemble_with(case, config(cache), || 0)
}

/// The same with these settings and this counter of cycles.
pub(super) fn assemble_with(
    case: &Case,
    datapath: DatapathConfig,
    cycles: fn() -> u64,
) -> Result<(Switch, Arc<AtomicU64>), Box<dyn Error>> {
    let frames: Arc<[Box<[u8]>]> = case.frames.make().iter().map(|f| Box::from(&f[..])).collect();
    let received = Arc::new(AtomicU64::new(0));
    let ports = (1..=3_u32).map(|k| PortParts {
        name: format!("p{k}"),
        of: OfPort(k),
        netdev: Box::new(
            Memory::new(k, if k == 1 { frames.clone() } else { Arc::new([]) }, &received)
                .with_end(case.frames.is_endless),
        ),
    });
    let parts = SwitchParts {
        bridge: ofproto::BridgeConfig {
            fail_mode: ofproto::FailMode::Secure,
            ..Default::default()
        },
        datapath,
        cycles,
        upcalls: if case.kind == Kind::NewFlows { UNLIMITED } else { UpcallConfig::default() },
        ..SwitchParts::new(ports.collect(), Pool::on_heap(PoolConfig { small: 16_384, jumbo: 16 }))
    };
    let mut switch = Switch::new(parts, Nanos::ZERO);
    // It would grow to that by and by.
    switch.control.configure(|bridge, _| bridge.set_flow_limit(FLOW_LIMIT));
    for text in &case.meters {
        let config = openflow::text::parse_meter(text).map_err(|why| format!("{text}: {why}"))?;
        let meter_mod = MeterMod { command: MeterModCommand::Add, config };
        let done = switch
            .control
            .configure(|bridge, dpif| bridge.meter_mod(&meter_mod, dpif, Nanos::ZERO));
        done.map_err(|why| format!("{text}: {why:?}"))?;
    }
    for text in &case.flows {
        let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add)
            .map_err(|why| format!("{text}: {why}"))?;
        let done = switch
            .control
            .configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, Nanos::ZERO));
        done.map_err(|why| format!("{text}: {why:?}"))?;
    }
    Ok((switch, received))
}

/// Runs one case for `seconds`, after [`WARM_UP`]; or until new flows have become known.
pub(crate) fn run(case: &Case, cache: Cache, seconds: f64) -> Result<Measured, Box<dyn Error>> {
    let (Switch { mut control, mut pmds }, received) = assemble(case, cache)?;
    let mut pmd = pmds.remove(0);
    let begin = Instant::now();
    let now = move || Nanos(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
    // The tables are as they will be before the first frame comes in.
    let _ = (0..SETTLING).find(|_| !control.poll(now()));
    let (control, done) = (Mutex::new(control), AtomicBool::new(false));
    // Whether the measurement waits for the control core, which else might not let go of it.
    let asks = AtomicBool::new(false);
    let (control, done, asks, received) = (&control, &done, &asks, &*received);
    let (tell_time, time) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
            while !done.load(Ordering::Relaxed) {
                let worked = control.lock().is_ok_and(|mut control| control.poll(now()));
                if !worked || asks.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_micros(100));
                }
            }
        });
        let polled = scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: POLLING_CORE });
            let thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
            // Heard where new flows are counted.
            let _ = tell_time.send(format!("/proc/{}/schedstat", thread.display()));
            if case.kind == Kind::NewFlows {
                while !done.load(Ordering::Relaxed) {
                    for _ in 0..ROUNDS {
                        pmd.poll(now());
                    }
                }
                return None;
            }
            poll_for(&mut pmd, now, received, WARM_UP);
            let before = found(control);
            let measured = poll_for(&mut pmd, now, received, seconds);
            Some(Measured { found: less(found(control), before), ..measured })
        });
        let new_flows = (case.kind == Kind::NewFlows).then(|| -> Result<_, Box<dyn Error>> {
            let thread = time.recv()?;
            let known = || {
                asks.store(true, Ordering::Relaxed);
                let n = n_answered(control);
                asks.store(false, Ordering::Relaxed);
                Ok((n, cpu_time(&thread)))
            };
            Passage::of(case.frames.n.into()).watch(|| Ok(received.load(Ordering::Relaxed)), known)
        });
        if new_flows.is_some() {
            done.store(true, Ordering::Relaxed);
        }
        let outcome = polled.join();
        done.store(true, Ordering::Relaxed);
        match (new_flows, outcome) {
            (Some(measured), _) => measured,
            (None, Ok(Some(measured))) => Ok(measured),
            _ => Err("the polling thread panicked".into()),
        }
    })
}

fn poll_for(
    pmd: &mut Pmd,
    now: impl Fn() -> Nanos,
    received: &AtomicU64,
    seconds: f64,
) -> Measured {
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
    let time = cpu_time("/proc/thread-self/schedstat") - cpu;
    stretches.sort_unstable_by(f64::total_cmp);
    let undisturbed = stretches.get(stretches.len() / 10).copied();
    Measured { packets: n - before, time, undisturbed, found: Found::default() }
}

pub(super) fn found(control: &Mutex<Control>) -> Found {
    let hits = control.lock().expect("the control thread lives").hits();
    let switch::Hits { emc, smc, megaflow, misses, .. } = hits;
    Found { emc, smc, megaflow, simple: 0, upcalls: misses }
}

/// Upcalls of port 1 that were answered.
fn n_answered(control: &Mutex<Control>) -> u64 {
    let control = control.lock().expect("the control thread lives");
    let UpcallStats { inline, cached, by_ring, under_way, .. } = control.upcall_stats(PortNo(1));
    inline + cached + by_ring - under_way
}

pub(super) fn less(after: Found, before: Found) -> Found {
    Found {
        emc: after.emc - before.emc,
        smc: after.smc - before.smc,
        megaflow: after.megaflow - before.megaflow,
        simple: after.simple - before.simple,
        upcalls: after.upcalls - before.upcalls,
    }
}
