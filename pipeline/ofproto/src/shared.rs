//! Instructions that many rules have in common, kept once.
//!
//! # Why
//! A large table has many matches and few things to do: a router of a hundred thousand routes has a few
//! dozen next hops. Instructions of one action take some 150 bytes; a reference to them takes 8.
//!
//! # Design
//! A direct-mapped cache of the instructions seen last, by hash. What is not found there is kept anew,
//! so two rules may have equal instructions of their own: nothing depends on it.
//!
//! # Cost
//! A hash and a comparison for each rule that is added; [`PLACES`] references for good.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use core::hash::{Hash, Hasher};
use openflow::Instructions;

/// How many are remembered.
const PLACES: usize = 1024;

/// The instructions seen last; see the module.
#[derive(Debug)]
pub(crate) struct SharedInstructions(Box<[Option<Arc<Instructions>>]>);

impl Default for SharedInstructions {
    fn default() -> Self {
        Self(vec![None; PLACES].into())
    }
}

impl SharedInstructions {
    /// These instructions, in common with other rules where possible.
    pub(crate) fn keep(&mut self, instructions: &Instructions) -> Arc<Instructions> {
        let mut hasher = Mixer(0);
        instructions.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0);
        let Some(place) = self.0.get_mut(place) else {
            return Arc::new(instructions.clone());
        };
        match place {
            Some(known) if **known == *instructions => Arc::clone(known),
            _ => Arc::clone(place.insert(Arc::new(instructions.clone()))),
        }
    }
}

/// Multiplies and rotates; good enough for a cache.
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::{Action, OfPort};

    #[test]
    fn equal_instructions_are_kept_once_and_others_apart() {
        let mut shared = SharedInstructions::default();
        let to = |port| Instructions::apply(vec![Action::output(OfPort(port))]);
        let first = shared.keep(&to(1));
        assert!(Arc::ptr_eq(&first, &shared.keep(&to(1))));
        for port in 2..3000 {
            assert_eq!(*shared.keep(&to(port)), to(port));
        }
        assert_eq!(*shared.keep(&to(1)), *first);
    }
}
