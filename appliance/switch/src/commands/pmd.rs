//! `dpif-netdev/…`: what the polling cores do, core by core, as Open vSwitch prints it.
//!
//! A core is named as Open vSwitch names the processor of a thread: `core_id` is the polling core's
//! number from zero. "main thread" is the control core's own small datapath, for packets that it
//! executes itself. Lines that have no meaning here (hardware offload, the parsers and the simple match
//! of Open vSwitch) are printed with zeros, because scripts count on them.

use super::Outcome;
use crate::control::Control;
use crate::dpif::{Reading, lost};
use crate::order;
use crate::placement::Balance;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use datapath::{CoreId, Cycles, Dpif, PortNo, Stage};
use flow::Mask;
use sync::time::Nanos;

/// The cores that `-pmd n` leaves: that one, or all.
fn chosen(control: &Control, params: &[String]) -> Result<Vec<usize>, String> {
    let n_cores = control.dpif.n_cores();
    let Some(at) = params.iter().position(|param| param == "-pmd") else {
        return Ok((0..=n_cores).collect());
    };
    let number = params.get(at + 1).and_then(|number| number.parse().ok());
    match number.filter(|core| *core < n_cores) {
        Some(core) => Ok([core].into()),
        None => Err("invalid core specified".to_string()),
    }
}

fn title(control: &Control, core: usize) -> String {
    match core < control.dpif.n_cores() {
        true => format!("pmd thread numa_id 0 core_id {core}:\n"),
        false => "main thread:\n".to_string(),
    }
}

/// `a / b`, where nothing by nothing is nothing.
fn per(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

fn percent(a: u64, b: u64) -> f64 {
    100.0 * per(a, b)
}

/// `dpif-netdev/pmd-stats-show [-pmd core] [dp]`.
pub(super) fn stats_show(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let mut text = String::new();
    for core in chosen(control, params)? {
        let Some(read) = control.dpif.reading(core) else { continue };
        text += &title(control, core);
        let passes = per(read.passes(), read.rx_packets);
        let probes = per(read.hit_probes, read.megaflow_hits);
        let _ = writeln!(text, "  packets received: {}", read.rx_packets);
        let _ = writeln!(text, "  packet recirculations: {}", read.recirculated);
        let _ = writeln!(text, "  avg. datapath passes per packet: {passes:.2}");
        text += "  phwol hits: 0\n  mfex opt hits: 0\n  simple match hits: 0\n";
        let _ = writeln!(text, "  emc hits: {}", read.emc_hits);
        let _ = writeln!(text, "  smc hits: {}", read.smc_hits);
        let _ = writeln!(text, "  megaflow hits: {}", read.megaflow_hits);
        let _ = writeln!(text, "  avg. subtable lookups per megaflow hit: {probes:.2}");
        let answered = read.misses.saturating_sub(read.upcalls_lost);
        let _ = writeln!(text, "  miss with success upcall: {answered}");
        let _ = writeln!(text, "  miss with failed upcall: {}", read.upcalls_lost);
        let per_batch = per(read.tx_packets, read.tx_batches);
        let _ = writeln!(text, "  avg. packets per output batch: {per_batch:.2}");
        let (busy, idle) = (read.busy, read.idle);
        let all = busy.wrapping_add(idle);
        if all == 0 {
            continue;
        }
        let _ = writeln!(text, "  idle cycles: {idle} ({:.2}%)", percent(idle, all));
        let _ = writeln!(text, "  processing cycles: {busy} ({:.2}%)", percent(busy, all));
        let n = read.rx_packets;
        if n > 0 {
            let _ = writeln!(text, "  avg cycles per packet: {:.2} ({all}/{n})", per(all, n));
            let _ = writeln!(
                text,
                "  avg processing cycles per packet: {:.2} ({busy}/{n})",
                per(busy, n)
            );
        }
    }
    Ok(text)
}

/// `dpif-netdev/pmd-stats-clear [dp]`: the statistics of the two commands count from here.
pub(super) fn stats_clear(control: &mut Control, _: &[String], now: Nanos) -> Outcome {
    control.dpif.begin_readings(now);
    Ok(String::new())
}

/// `dpif-netdev/pmd-perf-show [-pmd core] [dp]`.
pub(super) fn perf_show(control: &mut Control, params: &[String], now: Nanos) -> Outcome {
    let since = control.dpif.readings_since();
    let micros = (now - since).as_micros().max(1);
    let mut text = format!("\nTime: {now}\nMeasurement duration: {}\n", now - since);
    for core in chosen(control, params)? {
        let Some(read) = control.dpif.reading(core) else { continue };
        if core < control.dpif.n_cores() {
            let _ = write!(text, "\n{}\n{}", title(control, core), perf(&read, micros));
        }
    }
    Ok(text)
}

/// One core's part; `micros` is how long it was watched.
fn perf(read: &Reading, micros: u64) -> String {
    let mut text = String::new();
    let mut line = |name: &str, n: u64, rest: &str| {
        let _ = writeln!(text, "  {name:<20}{n:>12}  {rest}");
    };
    let rounds = read.busy_rounds + read.idle_rounds;
    let cycles = read.busy.wrapping_add(read.idle);
    let kilo = |n: u64| n.saturating_mul(1000) / micros;
    line("Iterations:", rounds, &format!("({:.2} us/it)", per(micros, rounds)));
    line("- Used TSC cycles:", cycles, "(100.0 % of total cycles)");
    let idle = format!("({:5.1} % of used cycles)", percent(read.idle, cycles));
    line("- idle iterations:", read.idle_rounds, &idle);
    let busy = format!("({:5.1} % of used cycles)", percent(read.busy, cycles));
    line("- busy iterations:", read.busy_rounds, &busy);
    let rests = format!("({:5.1} % of iterations)", percent(read.rests, rounds));
    line("- sleep iterations:", read.rests, &rests);
    let rested = format!("({:3.0} us/iteration avg.)", per(read.rested_us, read.rests));
    line("Sleep time (us):", read.rested_us, &rested);
    let late = format!(
        "(us from one iteration to the next; {} times over {})",
        read.long_gaps,
        Cycles::GAP_BUDGET.as_micros()
    );
    line("- longest gap:", read.longest_gap / 1000, &late);
    let n = read.rx_packets;
    let cost = read.busy.checked_div(n).unwrap_or(0);
    line("Rx packets:", n, &format!("({} Kpps, {cost} cycles/pkt)", kilo(n)));
    let passes = read.passes();
    line("Datapath passes:", passes, &format!("({:.2} passes/pkt)", per(passes, n)));
    let share = |n: u64| format!("({:5.1} %)", percent(n, passes));
    for name in ["- PHWOL hits:", "- MFEX Opt hits:", "- Simple Match hits:"] {
        line(name, 0, &share(0));
    }
    line("- EMC hits:", read.emc_hits, &share(read.emc_hits));
    line("- SMC hits:", read.smc_hits, &share(read.smc_hits));
    let hits = read.megaflow_hits;
    let probes = per(read.hit_probes, hits);
    let megaflow = format!("({:5.1} %, {probes:.2} subtbl lookups/hit)", percent(hits, passes));
    line("- Megaflow hits:", hits, &megaflow);
    let answered = read.misses.saturating_sub(read.upcalls_lost);
    line("- Upcalls:", answered, &share(answered));
    line("- Lost upcalls:", read.upcalls_lost, &share(read.upcalls_lost));
    line("Tx packets:", read.tx_packets, &format!("({} Kpps)", kilo(read.tx_packets)));
    let per_batch = per(read.tx_packets, read.tx_batches);
    line("Tx batches:", read.tx_batches, &format!("({per_batch:.2} pkts/batch)"));
    let contended = format!(
        "({:5.1} % of turns)",
        percent(read.tx_contended, read.tx_batches + read.tx_contended)
    );
    line("- Tx contention:", read.tx_contended, &contended);
    if read.measured > 0 {
        let all = read.stages.iter().sum();
        line("Measured passes:", read.measured, "(pmd-perf-metrics)");
        for (stage, spent) in Stage::ALL.into_iter().zip(read.stages) {
            let name = format!("- {}:", stage.name());
            let cost = per(spent, read.measured);
            line(&name, spent, &format!("({:5.1} %, {cost:.1} cycles/pass)", percent(spent, all)));
        }
    }
    text
}

/// `dpif-netdev/pmd-rxq-show [-pmd core] [-secs secs] [dp]`: who polls what, and which share of its time goes
/// there, of the last minute or less.
pub(super) fn rxq_show(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let mut secs = 60;
    if let Some(at) = params.iter().position(|param| param == "-secs") {
        let given = params.get(at + 1).and_then(|secs| secs.parse().ok());
        secs = given.filter(|secs| *secs <= 60).ok_or("invalid value of seconds: 0 to 60")?;
    }
    let (n, secs) = Balance::intervals(secs);
    let mut text = format!("Displaying last {secs} seconds pmd usage %\n");
    let isolated = control.balance.isolated(&control.dpif);
    for core in chosen(control, params)? {
        if core >= control.dpif.n_cores() {
            continue;
        }
        text += &title(control, core);
        let is_isolated = isolated.get(core) == Some(&true);
        let _ = writeln!(text, "  isolated : {is_isolated}");
        let (busy, all) = control.balance.of_core(core, n);
        let usage = |cycles: u64| match u128::from(all) {
            0 => "NOT AVAIL".to_string(),
            all => format!("{:2} %", u128::from(cycles) * 100 / all),
        };
        let mut of_queues = 0_u64;
        let places = control.dpif.rx_places().iter().filter(|place| place.core == core);
        let mut places: Vec<_> = places.map(|place| (place.port, place.number)).collect();
        order::sort(&mut places, Ord::cmp);
        for (port, queue) in places {
            let name = control.bridges.port_name(port);
            let cycles = control.balance.of_queue(port, queue, n);
            let _ = writeln!(
                text,
                "  port: {name:<16}  queue-id: {queue:>2} (enabled)   pmd usage: {}",
                usage(cycles)
            );
            of_queues = of_queues.saturating_add(cycles);
        }
        let _ = writeln!(text, "  overhead: {}", usage(busy.saturating_sub(of_queues)));
    }
    Ok(text)
}

/// `dpif-netdev/pmd-rxq-rebalance [dp]`: has queues assigned to cores anew.
pub(super) fn rxq_rebalance(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    control.balance.ask();
    Ok(String::new())
}

/// `dpif-netdev/subtable-show [dp]` (ours): the masks of each port on each core, with how many megaflows
/// have them and how many packets those took, most packets first.
pub(super) fn subtable_show(control: &mut Control, _: &[String], _: Nanos) -> Outcome {
    let mut of: BTreeMap<(CoreId, PortNo), BTreeMap<Mask, (u64, u64)>> = BTreeMap::new();
    for ukey in control.bridges.ukeys() {
        let megaflow = &ukey.megaflow;
        let masks = of.entry((ukey.core, megaflow.in_port())).or_default();
        let (flows, packets) = masks.entry(*megaflow.mask).or_default();
        *flows += 1;
        *packets += megaflow.stats.read().packets;
    }
    let mut text = String::new();
    for ((core, port), masks) in of {
        let name = control.bridges.port_name(port);
        let limit = control.dpif.mask_limit(core, port);
        let (n, core) = (masks.len(), usize::from(core.0));
        let _ = writeln!(text, "core {core} port {name}: {n} masks (limit {limit})");
        let mut masks: Vec<_> = masks.into_iter().collect();
        order::sort(&mut masks, |(_, (_, a)), (_, (_, b))| b.cmp(a));
        for (mask, (flows, packets)) in masks {
            let _ = writeln!(text, "  flows:{flows} hits:{packets} {}", Examined(&mask));
        }
    }
    Ok(text)
}

/// The fields that a mask examines, as a match on ones.
struct Examined<'a>(&'a Mask);

impl core::fmt::Display for Examined<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut separator = "";
        for field in flow::Field::all() {
            let bits = self.0.get(field);
            // Fields that share their bits go by the name of the first.
            let is_first = flow::Field::all()
                .find(|other| other.spec().location == field.spec().location)
                .is_none_or(|other| other == field);
            if bits == 0 || !is_first {
                continue;
            }
            f.write_str(separator)?;
            f.write_str(field.name())?;
            if !self.0.is_exact(field) {
                write!(f, "/{bits:#x}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

/// The name of the datapath: that of the first bridge, as long as there is one.
fn datapath_name(control: &Control) -> &str {
    control.bridges.iter().next().map_or("none", |member| member.bridge.name())
}

/// `dpctl/show [-s] [dp]`.
pub(super) fn dpctl_show(control: &mut Control, params: &[String], _: Nanos) -> Outcome {
    let is_detailed = params.iter().any(|param| param == "-s" || param == "--statistics");
    let dpif = &control.dpif;
    let sum = |counter: super::Counter| super::sum(control, counter);
    let lost: u64 = control.ports.iter().map(|(port, ..)| lost(&dpif.port_stats(port))).sum();
    let (hit, missed) = (sum(|core| core.hits.get()), sum(|core| core.misses.get()));
    let probes = sum(|core| core.subtable_probes.get());
    let caches = [sum(|core| core.emc_hits.get()), sum(|core| core.smc_hits.get())];
    let cached: u64 = caches.iter().sum();
    let mut text = format!("uniswitch@{}:\n", datapath_name(control));
    let _ = writeln!(text, "  lookups: hit:{hit} missed:{missed} lost:{lost}");
    let _ = writeln!(text, "  flows: {}", control.bridges.ukeys().count());
    let n_masks = n_masks(control);
    let per_packet = per(probes, hit + missed);
    let _ = writeln!(text, "  masks: hit:{probes} total:{n_masks} hit/pkt:{per_packet:.2}");
    let rate = percent(cached, hit + missed);
    let _ = writeln!(text, "  cache: hit:{cached} hit-rate:{rate:.2}%");
    for (number, netdev, ..) in control.ports.iter() {
        let name = control.bridges.port_name(number);
        let info = netdev.info();
        let _ = writeln!(text, "  port {number}: {name} ({} {})", info.driver, info.name);
        if is_detailed {
            let stats = dpif.port_stats(number);
            let _ = writeln!(
                text,
                "    RX packets:{} errors:{} dropped:{} overruns:? frame:?\n    \
                 TX packets:{} errors:? dropped:{} aborted:? carrier:?\n    \
                 collisions:?\n    RX bytes:{}  TX bytes:{}",
                stats.rx_packets,
                stats.rx_errors(),
                stats.rx_dropped(),
                stats.tx_packets,
                stats.tx_dropped(),
                stats.rx_bytes,
                stats.tx_bytes
            );
        }
    }
    Ok(text)
}

/// Distinct masks of a core's port, over all of them.
fn n_masks(control: &Control) -> usize {
    let ukeys = control.bridges.ukeys();
    let mut masks: Vec<_> =
        ukeys.map(|ukey| (ukey.core, ukey.megaflow.in_port(), &*ukey.megaflow.mask)).collect();
    order::sort(&mut masks, Ord::cmp);
    masks.dedup();
    masks.len()
}

/// The names of datapath ports.
struct DpNames<'a>(&'a Control);

impl datapath::PortNames for DpNames<'_> {
    fn port_name(&self, port: PortNo) -> Option<&str> {
        self.0.bridges.port(port).map(ofproto::Port::name)
    }
}

/// `dpctl/dump-flows [-m] [--names] [dp] [pmd=core]`.
pub(super) fn dump_flows(control: &mut Control, params: &[String], now: Nanos) -> Outcome {
    let has = |options: &[&str]| params.iter().any(|param| options.contains(&param.as_str()));
    let is_verbose = has(&["-m", "--more"]);
    let names = DpNames(control);
    let names: Option<&dyn datapath::PortNames> =
        (has(&["--names"]) || is_verbose && !has(&["--no-names"])).then_some(&names);
    let ufid = if is_verbose { datapath::UfidShown::Yes } else { datapath::UfidShown::No };
    let only: Option<u16> =
        params.iter().find_map(|param| param.strip_prefix("pmd=")?.parse().ok());
    let mut by_core: BTreeMap<CoreId, Vec<&ofproto::Ukey>> = BTreeMap::new();
    for ukey in control.bridges.ukeys().take(super::MAX_DUMPED) {
        by_core.entry(ukey.core).or_default().push(ukey);
    }
    let mut text = String::new();
    for (core, ukeys) in by_core {
        if only.is_some_and(|only| only != core.0) {
            continue;
        }
        match usize::from(core.0) < control.dpif.n_cores() {
            true => {
                let _ = writeln!(text, "flow-dump from pmd on cpu core: {core}");
            }
            false => text += "flow-dump from the main thread:\n",
        }
        for ukey in ukeys {
            let (megaflow, actions) = (&*ukey.megaflow, &*ukey.megaflow.actions);
            let line = datapath::DumpLine { megaflow, actions, now, names, ufid };
            let _ = writeln!(text, "{line}");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_named_by_their_fields() {
        let mut mask = Mask::ZERO;
        mask.set_exact(flow::Field::InPort);
        mask.set_exact(flow::Field::TcpDst);
        mask.set(flow::Field::Ipv4Src, 0xffff_ff00);
        assert_eq!(Examined(&mask).to_string(), "in_port,ip_src/0xffffff00,tcp_dst");
    }

    #[test]
    fn shares_of_nothing_are_nothing() {
        let text = perf(&Reading::default(), 1);
        assert!(
            text.contains("Rx packets:                    0  (0 Kpps, 0 cycles/pkt)"),
            "{text}"
        );
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
