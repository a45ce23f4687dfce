//! Runs cases on both and counts.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use flow::{Field, FlowMeta, Mask, extract};
use oracle::random::Rng;

use crate::effects::effects;
use crate::judge::{Verdict, judge};
use crate::ours::Ours;
use crate::ovs::{OTHER_PORT, Ovs};
use crate::random::{Packet, RuleSet, without_exthdr};
use crate::trace::{self, Pass};

/// Packets of one set of rules.
const PACKETS: usize = 16;

/// What to compare.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Cases, at least.
    pub cases: u64,
    /// Where they come from.
    pub seed: u64,
    /// Only this set of rules.
    pub set: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Sets of rules.
    pub sets: u64,
    /// Rules that were not taken, by what was said.
    pub refused: BTreeMap<String, u64>,
    /// Packets traced on both.
    pub cases: u64,
    /// Sets at which Open vSwitch aborted.
    pub crashes: Vec<u64>,
    /// Packets that could not be said in words.
    pub unsaid: u64,
    /// Passes through the tables that they made.
    pub passes: u64,
    /// Passes in which both said the same.
    pub same: u64,
    /// Passes that differ as they should, by the reason.
    pub explained: BTreeMap<&'static str, u64>,
    /// Fields of which only we looked at some bits, in how many passes, and those of which only Open
    /// vSwitch did.
    pub looked: (BTreeMap<&'static str, u64>, BTreeMap<&'static str, u64>),
    /// Packets that were asked about because they differ in such bits.
    pub asked: u64,
    /// The others.
    pub unexplained: u64,
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            sets,
            refused,
            cases,
            unsaid,
            crashes,
            passes,
            same,
            explained,
            looked,
            asked,
            unexplained,
        } = self;
        writeln!(f, "{sets} sets of rules, {passes} passes through the tables, {same} told alike")?;
        for (why, n) in refused {
            writeln!(f, "{n} rules refused {why}")?;
        }
        for (why, n) in explained {
            writeln!(f, "{n} explained: {why}")?;
        }
        if !crashes.is_empty() {
            writeln!(f, "Open vSwitch aborted {} times, at sets {crashes:#x?}", crashes.len())?;
        }
        writeln!(f, "{unsaid} packets left out, for which there are no words")?;
        writeln!(f, "only we looked at: {:?}", looked.0)?;
        writeln!(f, "only Open vSwitch looked at: {:?}", looked.1)?;
        writeln!(f, "asked about {asked} more packets that differ in such bits")?;
        write!(f, "compared {cases} cases: {unexplained} unexplained differences")
    }
}

/// Compares; each unexplained difference is told.
///
/// # Errors
/// When Open vSwitch cannot be run.
pub fn compare(plan: &Plan, mut tell: impl FnMut(&str)) -> Result<Tally, String> {
    let mut ovs = Ovs::start()?;
    let mut tally = Tally::default();
    let mut seeds = Rng::new(plan.seed);
    while tally.cases < plan.cases {
        let seed = plan.set.unwrap_or_else(|| seeds.next_u64());
        tally.sets += 1;
        let set = RuleSet::new(seed, PACKETS);
        if let Err(difference) = compare_set(&mut ovs, &set, &mut tally) {
            let is_gone = ["end of file", "refused", "pipe", "reset"]
                .iter()
                .any(|word| difference.contains(word));
            if !is_gone || !ovs.has_ended() {
                tally.unexplained += 1;
                tell(&format!("set {seed:#x}: {difference}"));
            } else {
                tally.crashes.push(seed);
                ovs = Ovs::start()?;
            }
        }
        if plan.set.is_some() {
            break;
        }
    }
    Ok(tally)
}

/// Loads Open vSwitch; gives the rules that both take. Those that only one takes are told apart.
fn agree(ovs: &mut Ovs, set: &RuleSet, tally: &mut Tally) -> Result<RuleSet, String> {
    let mut both = set.clone();
    let mut drop = |line: &String| {
        both.groups.retain(|other| other != line);
        both.flows.retain(|other| other != line);
    };
    let by_us = Ours::start()?.load(set);
    let mut wrong = Vec::new();
    for (line, why) in &by_us {
        drop(line);
        if line.starts_with("group") || ovs.check_flow(set.version, line).is_ok() {
            wrong.push(format!("only we refuse it: {why}\n{line}"));
        }
        *tally.refused.entry(format!("by us: {}", shape(why))).or_default() += 1;
    }
    let by_them = ovs.load(&both)?;
    let mut drop = |line: &String| {
        both.groups.retain(|other| other != line);
        both.flows.retain(|other| other != line);
    };
    for (line, why) in &by_them {
        drop(line);
        wrong.push(format!("only Open vSwitch refuses it: {why}\n{line}"));
        *tally.refused.entry(format!("by them: {}", shape(why))).or_default() += 1;
    }
    if wrong.is_empty() { Ok(both) } else { Err(wrong.join("\n")) }
}

/// A message without its numbers, which tell one from the other.
fn shape(why: &str) -> String {
    let why: String = why.chars().filter(|c| !c.is_ascii_digit()).collect();
    why.chars().take(120).collect()
}

/// Compares one set of rules up to its first difference.
fn compare_set(ovs: &mut Ovs, set: &RuleSet, tally: &mut Tally) -> Result<(), String> {
    let set = &agree(ovs, set, tally)?;
    let mut ours = Ours::start()?;
    let refused = ours.load(set);
    if let Some((line, why)) = refused.first() {
        return Err(format!("at first we did not refuse it: {why}\n{line}"));
    }
    let mut rng = Rng::new(set.packets.len() as u64);
    for packet in &set.packets {
        let Some((place, flow)) = packet.words() else {
            tally.unsaid += 1;
            continue;
        };
        tally.cases += 1;
        let texts = (ours.trace(packet), ovs.trace(place, &flow)?);
        let both = (trace::passes(&texts.0), trace::passes(&texts.1));
        let in_full = |what: &str| {
            let rules = [&set.groups[..], &set.flows[..]].concat().join("\n");
            let (ours, theirs) = &texts;
            format!(
                "{what}\n--- rules\n{rules}\n--- packet\n{place} {flow}\n--- ours\n{ours}\n--- theirs\n{theirs}"
            )
        };
        if let Packet::Frame { bytes, .. } = packet {
            let mine = extract(bytes, &FlowMeta::of_port(OTHER_PORT)).flow.to_string();
            let mine = without_exthdr(&mine);
            let theirs = ovs.extract(bytes)?;
            if mine != theirs {
                return Err(format!("extract of {bytes:02x?}\n  ours   {mine}\n  theirs {theirs}"));
            }
        }
        for (index, verdict) in judge(&both.0, &both.1, &packet.key()).into_iter().enumerate() {
            tally.passes += 1;
            match verdict {
                Verdict::Same => tally.same += 1,
                Verdict::Explained(why) => *tally.explained.entry(why).or_default() += 1,
                Verdict::Different(what) => return Err(in_full(&what)),
                Verdict::Ask(masks) => {
                    note_fields(&masks.0, &mut tally.looked.0);
                    note_fields(&masks.1, &mut tally.looked.1);
                    if index > 0 {
                        *tally.explained.entry(AFTER).or_default() += 1;
                        continue;
                    }
                    let sides = [(&masks.0, Side::Theirs), (&masks.1, Side::Ours)];
                    for (mask, side) in sides {
                        ask(ovs, &ours, (packet, mask), (&both, side), &mut rng, tally)
                            .map_err(|what| in_full(&what))?;
                    }
                    *tally.explained.entry(LOOKUPS).or_default() += 1;
                }
            }
        }
    }
    Ok(())
}

/// Why masks differ.
const LOOKUPS: &str =
    "a lookup ruled out other rules by other bits; packets that differ in them are treated alike";
/// What is not our fault.
const TOO_WIDE: &str = "a megaflow of Open vSwitch has packets that its own tables treat otherwise";
/// The same after a recirculation, where no packet can be sent by itself.
const AFTER: &str = "the same in a later pass, of which no packet can be asked about alone";

fn note_fields(mask: &Mask, counts: &mut BTreeMap<&'static str, u64>) {
    for field in Field::all().filter(|field| mask.get(*field) != 0) {
        *counts.entry(field.name()).or_default() += 1;
    }
}

/// Whose megaflow takes packets together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

/// Asks both about packets that differ from this one in bits of the mask, at which one side does not
/// look: what its megaflow has done to them must be what it would do itself, and the other too.
fn ask(
    ovs: &mut Ovs,
    ours: &Ours,
    (packet, mask): (&Packet, &Mask),
    (both, side): (&(Vec<Pass>, Vec<Pass>), Side),
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    let fields: Vec<Field> = Field::all().filter(|field| mask.get(*field) != 0).collect();
    let n_questions = if fields.is_empty() { 0 } else { QUESTIONS };
    for round in 0..n_questions {
        let mut key = packet.key();
        for field in &fields {
            let random = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
            // Once all bits, then some.
            let flipped = if round == 0 { u128::MAX } else { random };
            key.set(*field, key.get(*field) ^ mask.get(*field) & flipped);
        }
        let Some(other) = packet.with_key(&key) else { continue };
        let Some((place, flow)) = other.words() else { continue };
        // Not all keys can be said; then there is nothing to ask.
        let Ok(text) = ovs.trace(place, &flow) else { continue };
        tally.asked += 1;
        let (mine, theirs) = (trace::passes(&ours.trace(&other)), trace::passes(&text));
        if mine.first().map(|pass| &pass.flow) != theirs.first().map(|pass| &pass.flow) {
            // Words of a flow say no more than a packet of its kind can have.
            continue;
        }
        let (cached, itself) = match side {
            Side::Ours => (&both.0, &mine),
            Side::Theirs => (&both.1, &theirs),
        };
        // One pass, as a megaflow is of one.
        let done = |passes: &[Pass]| effects(&passes[..1.min(passes.len())], &key);
        let is_alike = cached.first().map(|pass| &pass.actions)
            == itself.first().map(|pass| &pass.actions)
            || matches!((done(cached), done(itself)), (Ok(a), Ok(b)) if a == b);
        if !is_alike && side == Side::Theirs {
            *tally.explained.entry(TOO_WIDE).or_default() += 1;
            return Ok(());
        }
        if !is_alike {
            let actions = |passes: &[Pass]| passes.first().map(|pass| pass.actions.clone());
            return Err(format!(
                "{side:?}: packets of one megaflow are not treated alike\n  {:?}\n  {:?}\n  {:?}\n  {key}",
                cached.first().map(|pass| &pass.megaflow),
                actions(cached),
                actions(itself)
            ));
        }
        for verdict in judge(&mine, &theirs, &other.key()) {
            if let Verdict::Different(what) = verdict {
                return Err(format!("a packet of the same megaflow: {what}\n  {key}"));
            }
        }
    }
    Ok(())
}

/// Packets to ask about for each mask.
const QUESTIONS: usize = 3;
