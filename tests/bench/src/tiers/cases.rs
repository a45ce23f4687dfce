//! The cases.

use super::cores::scaling;
use super::gaps::gaps;
use super::machine::{Machine, Plan, Stretch, memory, with};
use super::sources::{Strangers, explosion, mixed, repeat};
use super::storm::{CACHED_TOO, alone_and_beside, beside, shares, storm};
use super::{Figure, Terms};
use crate::report::median;
use crate::versus::frames::Frames;
use datapath::{DatapathConfig, SmcEnable};
use netdev::fake::Repeat;
use std::error::Error;
use switch::{UpcallConfig, UpcallMode};

pub(super) type Outcome = Result<Vec<Figure>, Box<dyn Error>>;

/// One case.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Terms) -> Outcome,
}

/// All cases, in the order of the table.
pub(super) fn all() -> Vec<Case> {
    let case = |name, about, run| Case { name, about, run };
    vec![
        case("flow-1", "1 flow: the switch asks the exact-match cache where that pays", |terms| {
            hits(terms, exact(), forward(1))
        }),
        case("emc-50", "exact-match cache, 50 flows of 50 masks", |terms| {
            hits(terms, exact(), behind_masks(50))
        }),
        case("emc-1k", "exact-match cache, 1,000 flows of 50 masks", |terms| {
            hits(terms, exact(), behind_masks(1_000))
        }),
        case("emc-8k", "exact-match cache, 8,000 flows of 50 masks", |terms| {
            hits(terms, exact(), behind_masks(8_000))
        }),
        case("smc-8k", "signature cache, 8,000 flows", |terms| {
            hits(terms, signature(), forward(8_000))
        }),
        case("smc-100k", "signature cache, 100,000 flows", |terms| {
            hits(terms, signature(), forward(100_000))
        }),
        case("mega-1", "100,000 megaflows of 1 mask", |terms| hits(terms, neither(), spread(1))),
        case("mega-5", "100,000 megaflows of 5 masks", |terms| hits(terms, neither(), spread(5))),
        case("mega-20", "100,000 megaflows of 20 masks", |terms| {
            hits(terms, neither(), spread(20))
        }),
        case("mega-50", "100,000 megaflows of 50 masks", |terms| {
            hits(terms, neither(), spread(50))
        }),
        case("mega-1m", "1,000,000 megaflows of 1 mask", million),
        case("upcall-inline", "a new flow with each packet, answered where it comes in", |terms| {
            upcalls(terms, UpcallMode::Callback)
        }),
        case("upcall-ring", "a new flow with each packet, answered by the control core", |terms| {
            upcalls(terms, UpcallMode::Thread)
        }),
        case("storm", "cached traffic of one port while another sends new flows only", storm),
        case("explosion", "cached traffic while the tuple-space explosion comes in", explode),
        case("cores", "cached traffic of four ports on one polling core, and on two", scaling),
        case("gaps", "one processor for polling and control, while rules come", gaps),
        case("memory", "what a cached flow takes", |_| flow_memory(100_000)),
        case("memory-1m", "what each of a million cached flows takes", |_| flow_memory(1_000_000)),
    ]
}

// ---- Settings and rules ----

/// The exact-match cache takes in every packet, as long as it pays.
fn exact() -> DatapathConfig {
    DatapathConfig { emc_insert_inv_prob: 1, smc_enable: SmcEnable::Off, ..Default::default() }
}

fn neither() -> DatapathConfig {
    DatapathConfig { emc_insert_inv_prob: 0, smc_enable: SmcEnable::Off, ..Default::default() }
}

fn signature() -> DatapathConfig {
    DatapathConfig { smc_enable: SmcEnable::On, ..neither() }
}

/// One megaflow.
fn forward(n_flows: u32) -> Plan {
    let rule = "ip,in_port=1,actions=output:2".to_string();
    Plan::new([rule]).receiving(repeat(Frames::by_source(n_flows)))
}

/// A megaflow for each of 100,000 sources, of `n_masks` masks. Each destination has a table of its own, in
/// which a rule looks at other bits of the destination port, and the whole source goes into a register.
fn spread(n_masks: u32) -> Plan {
    by_masks(n_masks, 100_000, EACH)
}

/// The source goes into a register, so that each is a megaflow of its own.
const EACH: &str = "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:2";

/// Few megaflows of 50 masks, so that it pays to ask the exact-match cache first.
fn behind_masks(n_flows: u32) -> Plan {
    by_masks(50, n_flows, "output:2")
}

fn by_masks(n_masks: u32, n_flows: u32, actions: &str) -> Plan {
    let table = |k: u32| {
        let (next, bits) = (k + 1, k + 1);
        let value = 2_000 & bits;
        [
            format!("table=0,ip,in_port=1,nw_dst=11.0.0.{k},actions=resubmit(,{next})"),
            format!("table={next},udp,tp_dst={value:#x}/{bits:#x},actions={actions}"),
        ]
    };
    let frames = Frames { n_destinations: n_masks, ..Frames::by_source(n_flows) };
    let plan = Plan::new((0..n_masks).flat_map(table)).receiving(repeat(frames));
    // All are to be cached at once.
    Plan { upcalls: unlimited(UpcallMode::Callback), ..plan }
}

pub(super) fn unlimited(mode: UpcallMode) -> UpcallConfig {
    UpcallConfig { mode, ..UpcallConfig::default() }
}

/// New flows on port 1, each a megaflow of its own.
fn strangers() -> Plan {
    let rule = "in_port=1,ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:2".to_string();
    Plan::new([rule]).receiving(Strangers::new())
}

// ---- Measuring ----

impl Terms {
    /// Several stretches, and what each gave.
    pub(super) fn stretches(&self, machine: &mut Machine<'_>) -> Vec<Stretch> {
        (0..self.n_stretches).map(|_| machine.run(self.seconds)).collect()
    }

    fn cycles(&self, stretch: &Stretch) -> f64 {
        stretch.polling.as_secs_f64() * self.hertz / stretch.packets().max(1.0)
    }
}

pub(super) fn middle(stretches: &[Stretch], value: impl Fn(&Stretch) -> f64) -> f64 {
    median(stretches.iter().map(value).collect())
}

pub(super) fn figure(what: &'static str, value: f64, unit: &'static str) -> Figure {
    Figure { what, value, unit }
}

pub(super) fn percent(part: u64, all: f64) -> f64 {
    100.0 * part as f64 / all.max(1.0)
}

// ---- Cases ----

fn hits(terms: &Terms, datapath: DatapathConfig, plan: Plan) -> Outcome {
    let stretches = with(Plan { datapath, ..plan }, |machine| {
        machine.set_flowing(0, true);
        machine.warm_up();
        terms.stretches(machine)
    })?;
    let share = |of: fn(&Stretch) -> u64| middle(&stretches, |s| percent(of(s), s.packets()));
    Ok(vec![
        figure("cycles a packet", middle(&stretches, |s| terms.cycles(s)), "cycles"),
        figure("found in the exact-match cache", share(|s| s.hits.emc), "%"),
        figure("found in the signature cache", share(|s| s.hits.smc), "%"),
        figure("found in megaflows", share(|s| s.hits.megaflow), "%"),
        figure(
            "subtables searched for one found there",
            middle(&stretches, |s| s.hits.probes as f64 / s.hits.megaflow.max(1) as f64),
            "",
        ),
        figure(
            "allocations a packet",
            middle(&stretches, |s| s.n_allocations as f64 / s.packets().max(1.0)),
            "",
        ),
    ])
}

fn upcalls(terms: &Terms, mode: UpcallMode) -> Outcome {
    let plan = Plan { upcalls: unlimited(mode), ..strangers() };
    let stretches = with(plan, |machine| {
        machine.set_flowing(0, true);
        machine.run(terms.seconds);
        terms.stretches(machine)
    })?;
    let answered = |s: &Stretch| s.n_answered.max(1) as f64;
    let cycles = |time: std::time::Duration| time.as_secs_f64() * terms.hertz;
    Ok(vec![
        figure(
            "answered a second of the polling thread",
            middle(&stretches, |s| s.n_answered as f64 / s.polling.as_secs_f64()),
            "/s",
        ),
        figure(
            "of the packets that came",
            middle(&stretches, |s| percent(s.n_answered, s.packets())),
            "%",
        ),
        figure(
            "cycles of the polling core for one answered",
            middle(&stretches, |s| cycles(s.polling) / answered(s)),
            "cycles",
        ),
        figure(
            "cycles of the control core for one answered",
            middle(&stretches, |s| cycles(s.control) / answered(s)),
            "cycles",
        ),
        figure(
            "allocations of the polling core for one answered",
            middle(&stretches, |s| s.n_allocations as f64 / answered(s)),
            "",
        ),
    ])
}

/// A list that allows three values and denies the rest.
const LIST: [&str; 3] = [
    "priority=30,udp,nw_src=10.0.0.1,actions=output:3",
    "priority=20,udp,tp_dst=80,actions=output:3",
    "priority=10,udp,tp_src=12345,actions=output:3",
];

fn explode(terms: &Terms) -> Outcome {
    let cached = || repeat(Frames::by_source(1_000));
    let attack = || Repeat::new(explosion());
    let own_first: Vec<String> = LIST
        .iter()
        .map(|rule| (*rule).to_string())
        .chain(["priority=40,in_port=1,ip,actions=output:3".to_string()])
        .collect();
    let two = |source: Repeat| Plan::new(own_first.clone()).receiving(cached()).receiving(source);
    let attacked = ("share left beside the attack", two(attack()));
    let mut figures = shares(terms, [(CACHED_TOO, two(cached())), attacked])?;
    // As many ordinary flows, each a megaflow of its own, cost their port's neighbours something too.
    let each = "in_port=2,priority=40,ip,actions=move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:3";
    let (alone, beside) =
        alone_and_beside(terms, beside(&[each], repeat(Frames::by_source(8_192))))?;
    figures.push(figure("share left beside 8,192 ordinary megaflows", 100.0 * beside / alone, "%"));
    // The attack on the port of the cached traffic itself: half of the packets.
    let ordinary: Vec<Vec<u8>> =
        Frames::by_source(1_000).make().iter().map(|frame| frame.to_vec()).collect();
    let allowed = LIST.map(str::to_string);
    let mut on_one = Vec::new();
    for other in [ordinary.clone(), explosion()] {
        let plan = Plan::new(allowed.clone()).receiving(mixed(ordinary.clone(), other));
        let upcalls = unlimited(UpcallMode::Callback);
        let stretches = with(Plan { datapath: neither(), upcalls, ..plan }, |machine| {
            machine.set_flowing(0, true);
            machine.warm_up();
            terms.stretches(machine)
        })?;
        let cycles = middle(&stretches, |s| terms.cycles(s));
        let probes = middle(&stretches, |s| s.hits.probes as f64 / s.hits.megaflow.max(1) as f64);
        on_one.push((cycles, probes));
    }
    let [(cycles, probes), (attacked, more_probes)] = on_one[..] else { unreachable!("two runs") };
    figures.push(figure("one port, ordinary: a packet", cycles, "cycles"));
    figures.push(figure("one port, ordinary: subtables searched", probes, ""));
    figures.push(figure("one port, half of it the attack: a packet", attacked, "cycles"));
    figures.push(figure("one port, half of it the attack: subtables", more_probes, ""));
    Ok(figures)
}

/// As many megaflows as a core is ever configured for.
fn million(terms: &Terms) -> Outcome {
    let plan = Plan { datapath: neither(), ..by_masks(1, 1_000_000, EACH) };
    let (stretches, (n_flows, dump)) = with(plan, |machine| {
        machine.set_flowing(0, true);
        machine.warm_up();
        (terms.stretches(machine), machine.cached())
    })?;
    let found = middle(&stretches, |s| percent(s.hits.megaflow, s.packets()));
    Ok(vec![
        figure("cycles a packet", middle(&stretches, |s| terms.cycles(s)), "cycles"),
        figure("found in megaflows", found, "%"),
        figure("cached flows", n_flows as f64, ""),
        figure("a full look of the revalidator at them", dump.as_secs_f64() * 1e3, "ms"),
    ])
}

fn flow_memory(n_packets: u64) -> Outcome {
    let plan = Plan { upcalls: unlimited(UpcallMode::Callback), ..strangers() };
    let (bytes, n_flows) = memory(plan, n_packets)?;
    Ok(vec![
        figure("cached flows", n_flows as f64, ""),
        figure("heap for each, in the datapath and above it", bytes, "bytes"),
    ])
}
