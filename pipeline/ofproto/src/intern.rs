//! Numbers for things that a datapath action can only name: frozen translations (recirculation ids)
//! and what a packet-in has to say (upcall cookies).
//!
//! # Why a number is a hash
//! Translation is pure: it may look into this table but not add to it. It takes the hash of the
//! content as the number, steps on while another content holds that number, and hands the pair out
//! with its result; whoever installs the result [`acquire`](Interned::acquire)s it. Because the
//! number follows from the content, translating the same packet again yields the same actions,
//! and the revalidator finds them unchanged.
//!
//! # Lifetime
//! Each installed megaflow that names a number holds a reference. When the last one goes the
//! number lives [`GRACE`] longer, for packets that carry it already.
//!
//! # Bounded
//! At most `capacity` numbers exist, those in grace included; beyond that `acquire` refuses and the
//! caller does not install.
//!
//! # Concurrency
//! Part of the bridge's state: changed by the control core alone, read by every core that translates.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::hash::{Hash, Hasher};
use sync::time::Nanos;

/// How long a number outlives its last megaflow.
pub(crate) const GRACE: Nanos = Nanos::from_secs(2);
/// How many numbers translation tries before it gives up.
const MAX_PROBES: u32 = 64;

/// A content with the number that names it.
pub(crate) type Named<T> = (u32, Arc<T>);

#[derive(Debug)]
struct Slot<T> {
    value: Arc<T>,
    n_refs: u32,
    /// Counts the times that the slot fell to zero references, so that an old entry of the
    /// retirement queue does not free a slot that was used again since.
    retirement: u64,
}

/// A table from number to content; see the module.
#[derive(Debug)]
pub(crate) struct Interned<T> {
    slots: BTreeMap<u32, Slot<T>>,
    retired: VecDeque<(Nanos, u32, u64)>,
    n_retirements: u64,
    capacity: usize,
    /// Contents whose number is not their hash, because another had it.
    n_displaced: usize,
}

/// The table holds all the numbers that it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<T: Eq + Hash> Interned<T> {
    /// An empty table for `capacity` numbers.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            retired: VecDeque::new(),
            n_retirements: 0,
            capacity,
            n_displaced: 0,
        }
    }

    /// The content that `id` names.
    #[must_use]
    pub(crate) fn get(&self, id: u32) -> Option<&Arc<T>> {
        self.slots.get(&id).map(|slot| &slot.value)
    }

    /// The number of `value`, given those that the same translation has `proposed` before; `None`
    /// when its neighbourhood is crowded. Never 0.
    #[must_use]
    pub(crate) fn propose(&self, value: &T, proposed: &[Named<T>]) -> Option<u32> {
        let first = hash_of(value);
        let numbers = || (0..MAX_PROBES).map(|step| first.wrapping_add(step));
        if self.n_displaced > 0 {
            // What stood between the hash and the number that it has may be gone since.
            let is_held = |id: &u32| self.slots.get(id).is_some_and(|slot| *slot.value == *value);
            if let Some(id) = numbers().find(is_held) {
                return Some(id);
            }
        }
        numbers().find(|&id| {
            let held = self.slots.get(&id).map(|slot| &*slot.value);
            let named = proposed.iter().find(|(other, _)| *other == id).map(|(_, v)| &**v);
            id != 0 && held.is_none_or(|held| held == value) && named.is_none_or(|v| v == value)
        })
    }

    /// Takes a reference to `id`, which names `value`.
    pub(crate) fn acquire(&mut self, id: u32, value: &Arc<T>) -> Result<(), Full> {
        if let Some(slot) = self.slots.get_mut(&id) {
            if slot.value != *value {
                return Err(Full);
            }
            slot.n_refs += 1;
            return Ok(());
        }
        if self.slots.len() >= self.capacity {
            return Err(Full);
        }
        self.n_displaced += usize::from(id != hash_of(&**value));
        self.slots.insert(id, Slot { value: Arc::clone(value), n_refs: 1, retirement: 0 });
        Ok(())
    }

    /// Gives a reference to `id` back.
    pub(crate) fn release(&mut self, id: u32, now: Nanos) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        slot.n_refs = slot.n_refs.saturating_sub(1);
        if slot.n_refs == 0 {
            self.n_retirements += 1;
            slot.retirement = self.n_retirements;
            self.retired.push_back((now + GRACE, id, slot.retirement));
        }
    }

    /// Whether [`run`](Self::run) has anything to do.
    #[must_use]
    pub(crate) fn is_due(&self, now: Nanos) -> bool {
        self.retired.front().is_some_and(|(deadline, ..)| *deadline <= now)
    }

    /// Forgets the numbers whose grace is over.
    pub(crate) fn run(&mut self, now: Nanos) {
        while self.is_due(now) {
            let Some((_, id, retirement)) = self.retired.pop_front() else {
                return;
            };
            let over = |slot: &Slot<T>| slot.n_refs == 0 && slot.retirement == retirement;
            if self.slots.get(&id).is_some_and(over)
                && let Some(slot) = self.slots.remove(&id)
            {
                self.n_displaced -= usize::from(id != hash_of(&*slot.value));
            }
        }
    }

    /// Number of numbers in use.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// The number that a content has unless another has it.
fn hash_of<T: Hash>(value: &T) -> u32 {
    let mut hasher = Fnv::default();
    value.hash(&mut hasher);
    hasher.folded()
}

/// FNV-1a, because a `no_std` program has no default hasher and the numbers must be the same in
/// every run.
#[derive(Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn folded(&self) -> u32 {
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u32::try_from(mixed >> 32).unwrap_or(0)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: fn(u64) -> Nanos = Nanos::from_millis;

    #[test]
    fn the_same_content_has_the_same_number() {
        let mut table = Interned::new(10);
        let a = table.propose(&"a", &[]).unwrap();
        table.acquire(a, &Arc::new("a")).unwrap();
        assert_eq!(table.propose(&"a", &[]), Some(a));
        assert_ne!(table.propose(&"b", &[]), Some(a));
        assert_eq!(table.get(a).map(|value| **value), Some("a"));
    }

    #[test]
    fn a_taken_number_is_stepped_over() {
        let mut table = Interned::new(10);
        let a = table.propose(&"a", &[]).unwrap();
        table.acquire(a, &Arc::new("other")).unwrap();
        let b = table.propose(&"a", &[]).unwrap();
        assert_ne!(a, b);
        let c = table.propose(&"a", &[(b, Arc::new("proposed"))]).unwrap();
        assert!(c != a && c != b);
        assert_eq!(table.acquire(a, &Arc::new("a")), Err(Full));
    }

    #[test]
    fn keeps_its_number_when_the_one_it_stepped_over_goes() {
        let mut table = Interned::new(10);
        let a = table.propose(&"a", &[]).unwrap();
        table.acquire(a, &Arc::new("other")).unwrap();
        let b = table.propose(&"a", &[]).unwrap();
        table.acquire(b, &Arc::new("a")).unwrap();
        table.release(a, T(0));
        table.run(T(2_000));
        assert_eq!(table.propose(&"a", &[]), Some(b));
        table.release(b, T(2_000));
        table.run(T(4_000));
        assert_eq!((table.len(), table.n_displaced), (0, 0));
        assert_eq!(table.propose(&"a", &[]), Some(a));
    }

    #[test]
    fn lives_a_grace_longer_than_its_references() {
        let mut table = Interned::new(1);
        let value = Arc::new("a");
        table.acquire(7, &value).unwrap();
        assert_eq!(table.acquire(8, &Arc::new("b")), Err(Full));
        table.acquire(7, &value).unwrap();
        table.release(7, T(0));
        table.run(T(10_000));
        assert_eq!(table.len(), 1);
        table.release(7, T(10_000));
        table.run(T(11_999));
        assert_eq!(table.len(), 1);
        // Used again within the grace: the old retirement must not count.
        table.acquire(7, &value).unwrap();
        table.release(7, T(11_999));
        table.run(T(12_000));
        assert_eq!(table.len(), 1);
        table.run(T(13_999));
        assert_eq!(table.len(), 0);
    }
}
