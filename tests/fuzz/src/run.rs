//! The fuzzer: replays the files of a target, then mutates.
//!
//! The pool of inputs starts as the corpus. An input with a new [`Behaviour`]
//! joins it, up to `MAX_POOL`; so the search follows whatever opens a new path in the code. All
//! choices come from one seeded generator: the same seed, corpus and code give the same run.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::corpus::{Input, load, to_hex};
use crate::mutate::{Rng, mutate};
use crate::{Behaviour, Target};

/// Inputs that are mutated further, at most.
const MAX_POOL: usize = 20_000;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Mutated inputs to try.
    pub iterations: u64,
    /// Where the generator starts.
    pub seed: u64,
}

impl Effort {
    /// What `UNISWITCH_FUZZ_ITERATIONS` and `UNISWITCH_FUZZ_SEED` say, else this default.
    ///
    /// # Panics
    ///
    /// When one of them is not a number.
    #[must_use]
    pub fn from_env(iterations: u64) -> Self {
        let number = |name: &str| {
            std::env::var(name)
                .ok()
                .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
        };
        Self {
            iterations: number("UNISWITCH_FUZZ_ITERATIONS").unwrap_or(iterations),
            seed: number("UNISWITCH_FUZZ_SEED").unwrap_or(0),
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Inputs from files.
    pub replayed: usize,
    /// Different behaviours seen.
    pub behaviours: usize,
}

/// Replays and mutates.
///
/// # Panics
///
/// When an input breaks a law, with that input as hexadecimal text; or when there is no corpus.
pub fn run(target: &Target, effort: Effort) -> Summary {
    let mut inputs = load("regressions", target.name);
    inputs.extend(load("corpus", target.name));
    inputs.extend((target.more)());
    assert!(!inputs.is_empty(), "{}: no corpus", target.name);
    let mut seen = HashSet::new();
    for Input { origin, bytes } in &inputs {
        match attempt(target, bytes) {
            Ok(behaviour) => drop(seen.insert(behaviour)),
            Err(problem) => fail(target, bytes, origin, &problem),
        }
    }
    let replayed = inputs.len();
    let mut pool: Vec<Vec<u8>> = inputs.into_iter().map(|input| input.bytes).collect();
    let mut rng = Rng::new(effort.seed);
    for iteration in 0..effort.iterations {
        let mut bytes = pool[rng.below(pool.len())].clone();
        let other = rng.below(pool.len());
        mutate(&mut bytes, &pool[other], target.words, &mut rng);
        // Most inputs should get past checksums and lengths, a few should not.
        if rng.below(8) != 0 {
            (target.repair)(&mut bytes);
        }
        match attempt(target, &bytes) {
            Ok(behaviour) => {
                if pool.len() < MAX_POOL && seen.insert(behaviour) {
                    pool.push(bytes);
                }
            }
            Err(problem) => {
                let origin = format!("seed {} iteration {iteration}", effort.seed);
                fail(target, &bytes, &origin, &problem);
            }
        }
    }
    Summary { replayed, behaviours: seen.len() }
}

fn attempt(target: &Target, bytes: &[u8]) -> Result<Behaviour, String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

/// Makes the input smaller as long as it fails, and reports it.
fn fail(target: &Target, bytes: &[u8], origin: &str, problem: &str) -> ! {
    let small = shrink(target, bytes);
    panic!(
        "{}: {problem}\n{origin}, input of {} bytes, smaller one of {}:\n{}\n",
        target.name,
        bytes.len(),
        small.len(),
        to_hex(&small),
    );
}

fn shrink(target: &Target, bytes: &[u8]) -> Vec<u8> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut best = bytes.to_vec();
    let mut part = best.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < best.len() {
            let mut fewer = best.clone();
            fewer.drain(at..(at + part).min(best.len()));
            if attempt(target, &fewer).is_err() {
                best = fewer;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    for at in 0..best.len() {
        let mut zeroed = best.clone();
        zeroed[at] = 0;
        if attempt(target, &zeroed).is_err() {
            best = zeroed;
        }
    }
    std::panic::set_hook(hook);
    best
}
