//! What a storm of new flows leaves of another port's traffic: of all that it can send, of a steady part of
//! that, and of its own new flows.

use super::cases::{Outcome, figure, middle, percent, unlimited};
use super::machine::{Machine, Plan, Stretch, with};
use super::sources::{Pace, Paced, Strangers, Visited, repeat};
use super::{Figure, Terms};
use crate::versus::frames::Frames;
use netdev::fake::Source;
use std::error::Error;
use switch::UpcallMode;

pub(super) const CACHED_TOO: &str = "share left beside as much cached traffic";
/// Each new host becomes a megaflow of its own.
const EACH: &str = "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[],output:3";

/// Rules for cached traffic of port 1, and what becomes of packets of port 2.
pub(super) fn beside(rules: &[&str], source: impl Source + 'static) -> Plan {
    let own = "in_port=1,ip,actions=output:3";
    let rules = [own].into_iter().chain(rules.iter().copied()).map(str::to_string);
    Plan::new(rules).receiving(repeat(Frames::by_source(1_000))).receiving(source)
}

/// The throughput of port 1's cached traffic alone, and while packets come in on port 2 too.
pub(super) fn alone_and_beside(terms: &Terms, plan: Plan) -> Result<(f64, f64), Box<dyn Error>> {
    with(plan, |machine| {
        machine.set_flowing(0, true);
        machine.warm_up();
        let alone = middle(&terms.stretches(machine), |s| s.rate(0));
        machine.set_flowing(1, true);
        machine.run(terms.seconds);
        (alone, middle(&terms.stretches(machine), |s| s.rate(0)))
    })
}

pub(super) fn shares(terms: &Terms, plans: [(&'static str, Plan); 2]) -> Outcome {
    let mut figures = Vec::new();
    for (what, plan) in plans {
        let (alone, beside) = alone_and_beside(terms, plan)?;
        figures.push(figure(what, 100.0 * beside / alone, "%"));
    }
    Ok(figures)
}

fn storming() -> Plan {
    beside(&[&format!("in_port=2,ip,actions={EACH}")], Strangers::new())
}

/// The modes with the parts of what the port can send alone that it then sends steadily, in percent, and
/// what the figure is called.
const STEADY: [(UpcallMode, &[(u32, &str)]); 3] = [
    (
        UpcallMode::Budget,
        &[
            (25, "of a steady 25 %, what gets through beside the storm"),
            (40, "of a steady 40 %"),
            (60, "of a steady 60 %"),
        ],
    ),
    (UpcallMode::Callback, &[(40, "of a steady 40 %, all answered where they come in")]),
    (UpcallMode::Thread, &[(40, "of a steady 40 %, all answered by the control core")]),
];

/// How much of a steady stream of cached traffic gets through while port 2 storms.
fn steady(terms: &Terms) -> Outcome {
    let mut figures = Vec::new();
    for (mode, parts) in STEADY {
        let (own, pace) = Paced::new(repeat(Frames::by_source(1_000)), terms.hertz);
        let rules = ["in_port=1,ip,actions=output:3".to_string()];
        let rules = rules.into_iter().chain([format!("in_port=2,ip,actions={EACH}")]);
        let plan = Plan::new(rules).receiving(own).receiving(Strangers::new());
        let upcalls = match mode {
            UpcallMode::Budget => plan.upcalls,
            mode => unlimited(mode),
        };
        figures.extend(with(Plan { upcalls, ..plan }, |machine| {
            machine.set_flowing(0, true);
            machine.warm_up();
            let alone = middle(&terms.stretches(machine), |s| s.rate(0));
            machine.set_flowing(1, true);
            let through = |&(percent, what): &(u32, &'static str)| {
                pace.set(alone * f64::from(percent) / 100.0);
                machine.run(terms.seconds);
                pace.take();
                machine.run(terms.seconds * terms.n_stretches as f64);
                let Pace { offered, lost } = pace.take();
                figure(what, 100.0 - 100.0 * lost as f64 / offered.max(1) as f64, "%")
            };
            parts.iter().map(through).collect::<Vec<_>>()
        })?);
    }
    Ok(figures)
}

pub(super) fn storm(terms: &Terms) -> Outcome {
    let cached = beside(&["in_port=2,ip,actions=output:3"], repeat(Frames::by_source(1_000)));
    let mut figures =
        shares(terms, [(CACHED_TOO, cached), ("share left beside the storm", storming())])?;
    for (what, mode) in [
        ("share left, all answered where they come in", UpcallMode::Callback),
        ("share left, all answered by the control core", UpcallMode::Thread),
    ] {
        let plan = Plan { upcalls: unlimited(mode), ..storming() };
        let (alone, beside) = alone_and_beside(terms, plan)?;
        figures.push(figure(what, 100.0 * beside / alone, "%"));
    }
    figures.extend(steady(terms)?);
    figures.extend(own_new_flows(terms)?);
    Ok(figures)
}

/// Of the new flows that port 1 brings among its cached traffic: how many are answered, alone and while
/// port 2 storms.
fn own_new_flows(terms: &Terms) -> Result<[Figure; 2], Box<dyn Error>> {
    let rules = [
        format!("priority=2,in_port=1,ip,nw_src={},actions={EACH}", Visited::NETWORK),
        "priority=1,in_port=1,ip,actions=output:3".to_string(),
        format!("in_port=2,ip,actions={EACH}"),
    ];
    let own = Visited::new(repeat(Frames::by_source(1_000)));
    let plan = Plan::new(rules).receiving(own).receiving(Strangers::new());
    with(plan, |machine| {
        let answered = |machine: &mut Machine<'_>| {
            let share = |s: &Stretch| {
                percent(s.n_answered, s.received[0] as f64 / f64::from(Visited::ONE_IN))
            };
            middle(&terms.stretches(machine), share)
        };
        machine.set_flowing(0, true);
        machine.run(terms.seconds);
        let alone = answered(machine);
        machine.set_flowing(1, true);
        machine.run(terms.seconds);
        [
            figure("new flows of the port itself that are answered, alone", alone, "%"),
            figure("new flows of the port itself, beside the storm", answered(machine), "%"),
        ]
    })
}
