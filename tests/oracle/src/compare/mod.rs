//! The whole switch against the oracle, on random lives.
//!
//! A *life* is a switch with random rules, ports and cache sizes, and what happens to it: frames that
//! hit, nearly hit and miss the caches, alone and in bursts, and between them flow-mods with and
//! without a barrier, ports that come, go and change, hours that pass, cached flows that are lost,
//! packet-outs. Every frame that leaves is compared byte by byte, and so is every packet-in; in the
//! end every rule's counters, and at every step the law of accounting. On the way cached flows
//! are checked by flipping bits outside their masks, and by the switch's own self check. In half of
//! the lives senders leave checksums to their devices, and some ports' devices finish them.
//!
//! The oracle has no caches, so this is the proof that caches change speed and never forwarding
//! (DESIGN §2). Where the switch may do one of two things the comparison says which two: a frame
//! behind a flow-mod without barrier is handled by the old rules or by the new ones, never by a
//! mixture.
//!
//! The oracle is slow, so what it says of a frame is remembered until a rule, a port or a station
//! changes; the switch handles each frame anew.

mod act;
mod left;
mod life;
mod masks;
mod pair;
mod shrink;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::life::Life;
use crate::random::Rng;

/// The life that is being lived, for whoever reports a panic.
static CURRENT_LIFE: AtomicU64 = AtomicU64::new(0);

/// How much to compare.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// At least so many packets, unless time is over before.
    pub packets: u64,
    /// Where lives are drawn from.
    pub seed: u64,
    /// No new life is begun after this time.
    pub time: Option<Duration>,
}

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames and packet-outs.
    pub packets: u64,
    /// Lives that ended in a difference.
    pub differences: u64,
    /// Lives.
    pub lives: u64,
    /// Changes with a barrier.
    pub changes: u64,
    /// Changes without one.
    pub races: u64,
    /// Jumps of time.
    pub waits: u64,
    /// Times that cached flows were lost.
    pub losses: u64,
    /// Bits flipped outside masks.
    pub flips: u64,
    /// Self checks.
    pub self_checks: u64,
    /// Lookups that a cache answered.
    pub hits: u64,
    /// Of these, those that the exact-match cache answered.
    pub emc_hits: u64,
    /// Lookups that went up.
    pub misses: u64,
    /// Misses answered on the polling core.
    pub inline: u64,
    /// Megaflows installed.
    pub megaflows: u64,
    /// Frames that came in with their checksum left to do.
    pub unfinished: u64,
    /// Packets of which the oracle could not say for certain what should become of them.
    pub excused: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.differences += other.differences;
        self.lives += other.lives;
        self.changes += other.changes;
        self.races += other.races;
        self.waits += other.waits;
        self.losses += other.losses;
        self.flips += other.flips;
        self.self_checks += other.self_checks;
        self.hits += other.hits;
        self.emc_hits += other.emc_hits;
        self.misses += other.misses;
        self.inline += other.inline;
        self.megaflows += other.megaflows;
        self.unfinished += other.unfinished;
        self.excused += other.excused;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lives, changes, races, waits, losses, flips, self_checks, .. } = self;
        let Self { hits, emc_hits, misses, inline, megaflows, unfinished, .. } = self;
        writeln!(f, "{lives} lives, {changes} changes, {races} more without barrier")?;
        writeln!(f, "{waits} jumps of time, {losses} losses of cached flows")?;
        writeln!(f, "{hits} cache hits ({emc_hits} exact), {misses} misses ({inline} inline)")?;
        writeln!(f, "{megaflows} megaflows, {unfinished} unfinished frames")?;
        writeln!(f, "{self_checks} self checks")?;
        write!(f, "{flips} bits flipped outside masks, {} packets excused", self.excused)
    }
}

/// Compares until the plan is fulfilled. `report` is told of each difference, and `progress` of the
/// sum after each life.
pub fn compare(
    plan: &Plan,
    mut report: impl FnMut(&str),
    mut progress: impl FnMut(&Tally),
) -> Tally {
    let started = Instant::now();
    let mut seeds = Rng::new(plan.seed);
    let mut sum = Tally::default();
    while sum.packets < plan.packets && plan.time.is_none_or(|time| started.elapsed() < time) {
        match live(seeds.next_u64()) {
            Ok(tally) => sum.add(&tally),
            Err(text) => {
                sum.lives += 1;
                sum.differences += 1;
                report(&text);
            }
        }
        progress(&sum);
    }
    sum
}

/// Lives one life.
///
/// # Errors
/// With a difference: its text, with the shortest life found that ends in it.
pub fn live(seed: u64) -> Result<Tally, String> {
    CURRENT_LIFE.store(seed, Ordering::Relaxed);
    let life = Life::of(seed);
    match act::live(&life) {
        Ok(tally) => Ok(Tally { lives: 1, ..tally }),
        Err(difference) => {
            let first = format!("step {}: {}", difference.step, difference.text);
            let (life, difference) = shrink::shrink(&life, difference);
            let mut text = format!("life {seed:#x} differs\n{first}\n\nin short: {:?}", life.setup);
            for change in &life.groups {
                text += &format!("\n  {change:?}");
            }
            for change in &life.meters {
                text += &format!("\n  {change:?}");
            }
            for rule in &life.rules {
                text += &format!("\n  rule {}", show_rule(rule));
            }
            for (step, op) in life.ops.iter().enumerate() {
                text += &format!("\n  step {step}: {op:?}");
            }
            text += &format!("\nstep {}: {}", difference.step, difference.text);
            text += &format!("\nagain: cargo run --release -p oracle -- compare --life {seed:#x}");
            Err(text)
        }
    }
}

/// The seed of the life that is being lived.
#[must_use]
pub fn current_life() -> u64 {
    CURRENT_LIFE.load(Ordering::Relaxed)
}

fn show_rule(rule: &crate::Rule) -> String {
    let crate::Rule { table_id, priority, match_, instructions, cookie } = rule;
    format!("{cookie}: table {table_id}, priority {priority}, {match_}: {instructions:?}")
}
