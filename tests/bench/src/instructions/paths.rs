//! The paths whose instructions are counted.
//!
//! # New flows
//! `new-flows*` count what a flow takes that was never seen, on both cores: its packet is received, missed,
//! translated and sent, its megaflow installed, and its ukey made. `delete-flows` counts what it takes to find
//! that a cached flow is idle, and to take it out: the same flows are cached in both runs, so many of
//! them in vain.

use super::rules;
use crate::versus::case::{self, Cache, Case, Kind};
use crate::versus::frames::Frames;
use crate::versus::ours::assemble;
use flow::{Extracted, Field, Flow, FlowMeta, compose};
use std::error::Error;
use std::hint::black_box;
use std::mem::forget;
use switch::Switch;
use sync::time::Nanos;

/// Packets of a round.
pub(super) const BURST: u32 = 32;
/// Rounds until caches are filled, and what is new is installed.
const WARM_UP: u32 = 1_600;
/// Rounds for each of the control core, while warming up.
const CONTROL_EVERY: u32 = 4;
/// Rounds of new flows that are cached before some of them are deleted: as many as a long run has.
const CACHED: u32 = super::LONG;
/// After which time without packets a flow goes.
const MAX_IDLE: Nanos = Nanos::from_secs(10);
/// Rounds of the control core in which all flows that are idle go.
const DELETING: u32 = 4_000;
/// What a round takes.
const ROUND: Nanos = Nanos::from_micros(2);

/// What all paths are called.
pub(super) fn names() -> Vec<String> {
    let switched = switched().into_iter().map(|(name, ..)| name);
    let switched = switched.chain(["delete-flows".into()]);
    let switched = switched.chain(rules::NAMES.map(String::from));
    switched.chain(extracted().into_iter().map(|(name, _)| format!("extract-{name}"))).collect()
}

/// Runs a path for so many rounds.
pub(super) fn run(name: &str, rounds: u32) -> Result<(), Box<dyn Error>> {
    if name == "delete-flows" {
        let mut case =
            case::all().into_iter().find(|case| case.name == "new-flows").ok_or("no new flows")?;
        case.frames = Frames { is_endless: false, ..Frames::by_source(CACHED * BURST) };
        return delete(&case, rounds);
    }
    if rules::NAMES.contains(&name) {
        return rules::run(name, rounds);
    }
    if let Some((_, case, cache)) = switched().into_iter().find(|(known, ..)| known == name) {
        return forward(&case, cache, rounds);
    }
    let wanted = name.strip_prefix("extract-").unwrap_or(name);
    let of_name = extracted().into_iter().find(|(known, _)| *known == wanted);
    let (_, flow) = of_name.ok_or("no such path")?;
    extract(&flow, rounds);
    Ok(())
}

/// The cases of the comparison with Open vSwitch, and some of them with one cache alone.
fn switched() -> Vec<(String, Case, Cache)> {
    let cases = case::all();
    let of_name = |name: &str| cases.iter().find(|case| case.name == name).cloned();
    let with = |name: &str, cache: Cache, suffix: &str| {
        of_name(name).map(|case| (format!("{name}-{suffix}"), case, cache))
    };
    let alone = [
        with("flows-4k", Cache::Exact, "emc"),
        with("masks-20", Cache::Signature, "smc"),
        with("masks-20", Cache::Off, "no-cache"),
    ];
    let usual = cases.iter().map(|case| (case.name.to_string(), case.clone(), Cache::Default));
    usual.chain(alone.into_iter().flatten()).collect()
}

fn forward(case: &Case, cache: Cache, rounds: u32) -> Result<(), Box<dyn Error>> {
    let (Switch { mut control, mut pmds }, _) = assemble(case, cache)?;
    let pmd = pmds.first_mut().ok_or("a switch without a polling core")?;
    let mut now = Nanos::ZERO;
    // What is new is new once, and concerns both cores.
    let (warm_up, rounds) = match case.kind {
        Kind::Packets => (WARM_UP, rounds),
        Kind::NewFlows => (rounds, 0),
    };
    for round in 0..warm_up {
        now += ROUND;
        pmd.poll(now);
        if round % CONTROL_EVERY == 0 {
            control.poll(now);
        }
    }
    for _ in 0..rounds {
        now += ROUND;
        pmd.poll(now);
    }
    // Taking it down is not what is counted.
    forget((control, pmds));
    Ok(())
}

/// Caches flows, and lets those of the first `rounds` rounds go.
fn delete(case: &Case, rounds: u32) -> Result<(), Box<dyn Error>> {
    let (Switch { mut control, mut pmds }, _) = assemble(case, Cache::Default)?;
    let pmd = pmds.first_mut().ok_or("a switch without a polling core")?;
    let mut now = Nanos::ZERO;
    for _ in 0..CACHED {
        now += ROUND;
        pmd.poll(now);
        control.poll(now);
    }
    let n_cached = control.configure(|bridge, _| bridge.ukeys().len());
    now = Nanos(ROUND.0 * (u64::from(rounds) + 1)) + MAX_IDLE;
    for _ in 0..DELETING {
        control.poll(now);
        pmd.poll(now);
    }
    let n_left = control.configure(|bridge, _| bridge.ukeys().len());
    let n_gone = n_cached - n_left;
    if n_gone.abs_diff((rounds * BURST) as usize) > 2 * BURST as usize {
        return Err(format!("{n_gone} flows of {n_cached} went").into());
    }
    forget((control, pmds));
    Ok(())
}

/// Keys of frames of every kind that extraction treats differently.
fn extracted() -> Vec<(&'static str, Flow)> {
    let flow = |fields: &[(Field, u128)]| {
        let mut flow = Flow::ZERO;
        flow.set(Field::EthSrc, 0x0200_0000_0001);
        flow.set(Field::EthDst, 0x0200_0000_0002);
        fields.iter().for_each(|(field, value)| flow.set(*field, *value));
        flow
    };
    const IPV4: (Field, u128) = (Field::EthType, 0x0800);
    const IPV6: (Field, u128) = (Field::EthType, 0x86dd);
    const TCP: (Field, u128) = (Field::IpProto, 6);
    const UDP: (Field, u128) = (Field::IpProto, 17);
    const TAG: (Field, u128) = (Field::VlanTci, 0x100a);
    vec![
        ("ipv4-udp", flow(&[IPV4, UDP])),
        ("ipv4-tcp", flow(&[IPV4, TCP])),
        ("ipv4-icmp", flow(&[IPV4, (Field::IpProto, 1)])),
        ("vlan-ipv4-udp", flow(&[IPV4, UDP, TAG])),
        ("ipv6-udp", flow(&[IPV6, UDP])),
        ("ipv6-tcp", flow(&[IPV6, TCP])),
        ("vlan-ipv6-udp", flow(&[IPV6, UDP, TAG])),
        ("arp", flow(&[(Field::EthType, 0x0806), (Field::ArpOp, 1)])),
        ("other", flow(&[(Field::EthType, 0x88b5)])),
    ]
}

fn extract(flow: &Flow, rounds: u32) {
    let frame = compose(flow, 18);
    let mut key = Extracted::EMPTY;
    for _ in 0..rounds * BURST {
        key.refill(black_box(&frame), &FlowMeta::of_port(1));
        black_box(&key);
    }
}
