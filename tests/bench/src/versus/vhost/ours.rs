//! Our switch between the two ports, with its own driver.

use super::super::measured::Found;
use super::super::ours::{found, less};
use super::super::{CONTROL_CORE, POLLING_CORE, Terms, WARM_UP, cpu_time};
use super::{Case, Result, Ring, Run};
use crate::daemon::run as run_command;
use crate::testpmd::{self, socket};
use core_affinity::CoreId;
use openflow::{FlowModCommand, OfPort, Version};
use packet::{Pool, PoolConfig};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use switch::{Control, Pmd, PortParts, Switch, SwitchParts};
use sync::time::Nanos;
use vhost_front::{Device, Front, Memory};
use virtio_net::{VirtioNet, feature};

/// Buffers: four rings of 1,024 of either kind, and what is under way.
const BUFFERS: PoolConfig = PoolConfig { small: 16_384, jumbo: 6_144 };
/// For rings, beside buffers, in bytes.
const RINGS: usize = 4 << 20;

/// Runs this program for one run, since what is mapped for a back end stays mapped until the end.
pub(super) fn in_a_child(dir: &Path, case: &Case, ring: Ring, terms: &Terms) -> Result<Run> {
    let text = run_command(
        Command::new(std::env::current_exe()?)
            .args(["versus-ovs", "--case", case.name, "--vhost-run"])
            .arg(dir)
            .args((ring == Ring::Packed).then_some("--vhost-packed"))
            .args(["--vhost-seconds", &terms.seconds.to_string()]),
    )?;
    let told: serde_json::Value = serde_json::from_str(&text)?;
    let count = |name: &str| told[name].as_u64().ok_or_else(|| format!("no {name} in {text}"));
    let nanos = |name: &str| count(name).map(Duration::from_nanos);
    Ok(Run {
        packets: count("packets")?,
        elapsed: nanos("elapsed")?,
        time: nanos("time")?,
        busy: told["busy"].as_f64().unwrap_or(1.0),
        burst: told["burst"].as_f64().unwrap_or(f64::NAN),
        found: Found {
            emc: count("emc")?,
            smc: count("smc")?,
            megaflow: count("megaflow")?,
            simple: 0,
            upcalls: count("upcalls")?,
        },
        is_near: true,
    })
}

/// What the child does: runs and tells.
pub(in super::super) fn run_and_tell(
    dir: &Path,
    case: &Case,
    is_packed: bool,
    seconds: f64,
) -> Result<()> {
    let refused = if is_packed { 0 } else { feature::RING_PACKED } | virtio_net::SEGMENTATION;
    let Run { packets, elapsed, time, busy, burst, found, .. } = run(dir, case, refused, seconds)?;
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let Found { emc, smc, megaflow, upcalls, .. } = found;
    println!(
        "{}",
        serde_json::json!({
            "packets": packets, "elapsed": nanos(elapsed), "time": nanos(time), "busy": busy, "burst": burst,
            "emc": emc, "smc": smc, "megaflow": megaflow, "upcalls": upcalls,
        })
    );
    Ok(())
}

fn run(dir: &Path, case: &Case, refused: u64, seconds: f64) -> Result<Run> {
    let region_bytes = Pool::required_bytes(&BUFFERS);
    let memory = Memory::new(region_bytes + RINGS)?;
    let region = memory.region(region_bytes).ok_or("too little memory")?;
    let pool = Pool::new(BUFFERS, region).map_err(|why| format!("pool: {why:?}"))?;
    let mut ports = Vec::new();
    for k in 0..2_u8 {
        let mac = [2, 0, 0, 0, 2, k];
        let device =
            Device { mac, mtu: case.mtu(), pairs: case.pairs, is_mergeable: case.is_mergeable };
        let front = Front::connect(&socket(dir, k.into()), memory.clone(), device)?;
        let name = format!("v{k}");
        let net = VirtioNet::new(name.clone(), front, memory.clone(), refused)
            .map_err(|why| format!("{name}: {why:?}"))?;
        ports.push(PortParts { name, of: OfPort(u32::from(k) + 1), netdev: Box::new(net) });
    }
    let parts = SwitchParts {
        bridge: ofproto::BridgeConfig {
            fail_mode: ofproto::FailMode::Secure,
            ..Default::default()
        },
        // A polling body for each pair; one thread runs them all.
        n_cores: case.pairs.into(),
        ..SwitchParts::new(ports, pool)
    };
    let Switch { mut control, pmds } = Switch::new(parts, Nanos::ZERO);
    for text in ["in_port=1,actions=output:2", "in_port=2,actions=output:1"] {
        let flow_mod = openflow::text::parse_flow(text, FlowModCommand::Add)
            .map_err(|why| format!("{text}: {why}"))?;
        let done =
            control.configure(|bridge, _| bridge.flow_mod(&flow_mod, Version::V13, Nanos::ZERO));
        done.map_err(|why| format!("{text}: {why:?}"))?;
    }
    testpmd::begin(dir, case.frame_len)?;
    let run = measure(&Mutex::new(control), pmds, seconds)?;
    match run.packets {
        0 => Err("nothing came in".into()),
        _ => Ok(run),
    }
}

/// Bursts that came in.
fn bursts(control: &Mutex<Control>) -> u64 {
    control.lock().map_or(0, |control| control.hits().bursts)
}

fn measure(control: &Mutex<Control>, mut pmds: Vec<Pmd>, seconds: f64) -> Result<Run> {
    let begin = Instant::now();
    let now = move || Nanos(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: CONTROL_CORE });
            while !done.load(Ordering::Relaxed) {
                let worked = control.lock().is_ok_and(|mut control| control.poll(now()));
                if !worked {
                    thread::sleep(Duration::from_micros(500));
                }
            }
        });
        let polled = scope.spawn(move || {
            core_affinity::set_for_current(CoreId { id: POLLING_CORE });
            poll_for(&mut pmds, now, WARM_UP);
            let before = found(control);
            let bursts_before = bursts(control);
            let cpu = cpu_time("/proc/thread-self/schedstat");
            let (elapsed, busy) = poll_for(&mut pmds, now, seconds);
            let time = cpu_time("/proc/thread-self/schedstat") - cpu;
            let found = less(found(control), before);
            let Found { emc, smc, megaflow, simple, upcalls } = found;
            let packets = emc + smc + megaflow + simple + upcalls;
            let bursts = bursts(control) - bursts_before;
            let burst = packets as f64 / bursts.max(1) as f64;
            Run { packets, elapsed, time, busy, burst, found, is_near: true }
        });
        let outcome = polled.join();
        done.store(true, Ordering::Relaxed);
        Ok(outcome.map_err(|_| "the polling thread panicked")?)
    })
}

/// Polls for so many seconds: how long that was, and in which share of it there was work.
fn poll_for(pmds: &mut [Pmd], now: impl Fn() -> Nanos, seconds: f64) -> (Duration, f64) {
    let begun = Instant::now();
    let (first, mut busy) = (now(), 0);
    let mut at = first;
    while begun.elapsed().as_secs_f64() < seconds {
        for _ in 0..256 {
            let worked = pmds.iter_mut().fold(false, |worked, pmd| pmd.poll(at) | worked);
            let later = now();
            if worked {
                busy += later.0 - at.0;
            }
            at = later;
        }
    }
    let all = at.0 - first.0;
    (Duration::from_nanos(all), busy as f64 / all.max(1) as f64)
}
