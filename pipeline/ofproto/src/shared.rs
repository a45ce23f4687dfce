//! What many rules have in common, kept once: instructions, and the bits that matches examine.
//!
//! # Why
//! A large table has many matches and few things to do: a router of a hundred thousand routes has a few
//! dozen next hops. Instructions of one action take some 150 bytes; a reference to them takes 8. And it
//! asks for the same few fields in all its matches.
//!
//! # Design
//! A direct-mapped cache of what was seen last, by hash. What is not found there is kept anew, so two
//! rules may have equals of their own: nothing depends on it.
//!
//! # Cost
//! A hash and a comparison for each rule that is added; [`PLACES`] references for good, from the first
//! one on.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

/// How many are remembered.
const PLACES: usize = 1024;

/// What was seen last; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Shared<T>(Box<[Option<Arc<T>>]>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T: Eq + Hash> Shared<T> {
    /// Bytes of its places.
    pub(crate) const N_BYTES: usize = PLACES * size_of::<Option<Arc<T>>>();

    /// This content, in common with others where possible.
    pub(crate) fn keep(&mut self, content: &T) -> Arc<T>
    where
        T: Clone,
    {
        self.find(content, |known| known == content, || Arc::new(content.clone()))
    }

    /// The same for what is kept already, perhaps in common with others elsewhere.
    pub(crate) fn keep_arc(&mut self, content: &Arc<T>) -> Arc<T> {
        self.find(&**content, |known| known == &**content, || Arc::clone(content))
    }

    /// What was seen and `is_it`, found by the hash of `like`; else what `make` makes.
    pub(crate) fn find(
        &mut self,
        like: &(impl Hash + ?Sized),
        is_it: impl Fn(&T) -> bool,
        make: impl FnOnce() -> Arc<T>,
    ) -> Arc<T> {
        if self.0.is_empty() {
            let none: Vec<Option<Arc<T>>> = (0..PLACES).map(|_| None).collect();
            self.0 = none.into();
        }
        let mut hasher = Mixer(0);
        like.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0);
        let Some(place) = self.0.get_mut(place) else { return make() };
        match place {
            Some(known) if is_it(known) => Arc::clone(known),
            _ => Arc::clone(place.insert(make())),
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
    use alloc::vec;
    use openflow::{Action, Instructions, OfPort};

    #[test]
    fn equal_instructions_are_kept_once_and_others_apart() {
        let mut shared = Shared::<Instructions>::default();
        let to = |port| Instructions::apply(vec![Action::output(OfPort(port))]);
        let first = shared.keep(&to(1));
        assert!(Arc::ptr_eq(&first, &shared.keep(&to(1))));
        for port in 2..3000 {
            assert_eq!(*shared.keep(&to(port)), to(port));
        }
        assert_eq!(*shared.keep(&to(1)), *first);
        let mut other = Shared::default();
        assert!(Arc::ptr_eq(&first, &other.keep_arc(&first)));
        assert!(Arc::ptr_eq(&first, &other.keep(&to(1))));
    }
}
