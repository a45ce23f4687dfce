#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod bytes;
pub mod corpus;
pub mod mutate;
mod rig;
pub mod run;
pub mod sums;
pub mod targets;

pub use targets::{TARGETS, Target};

/// What kind of input a target was given. Only whether two are equal means anything.
pub type Behaviour = u64;

/// The behaviour that these words say, by FNV-1a.
#[must_use]
pub fn behaviour(words: &[u64]) -> Behaviour {
    words.iter().flat_map(|word| word.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
