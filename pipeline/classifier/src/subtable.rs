//! A subtable: all rules that share one mask, in a hash table keyed by what they match under it.
//!
//! # Layout
//! A rule costs a 32-byte slot, its key words (8 bytes for each word in which the mask has a bit)
//! and some 15 bytes of hash table; no allocation of its own. All of it is `gradual`: a table of a million
//! rules comes and goes by some KiB at a time. The hash table holds, for each key, the rule of the highest
//! priority; other rules with the same key (of other priorities, or of other versions) are in one ordered set by
//! the hash of the key and priority, so that thousands of priorities under one match cost a logarithm.
//!
//! # Stages
//! For every stage but the last a set of short hashes tells whether some rule has the packet's
//! values up to that stage. It may say "perhaps" wrongly (a collision, or a rule of another
//! version), never "no": a wrong "perhaps" only costs wildcards.
//!
//! # Ports trie
//! When a packet gets as far as the last stage and misses there, and that stage is nothing but the
//! transport ports, a trie over the subtable's port pairs tells how many leading bits of the pair
//! prove the miss. So one rule for port 80 does not make every other port a megaflow of its own.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use flow::layout::TP;
use flow::{Flow, Mask};
use gradual::{Index, Slab};
use sync::prefetch::prefetch_whole;

use crate::hash::{Hash, short};
use crate::prefix::{FieldLens, StageTries, TrieWalk};
use crate::shape::{Shape, examine};
use crate::trie::Trie;
use crate::version::{Lifetime, Version};
use crate::{Clause, Entry, Priority};

/// "No slot", as a link.
pub(crate) const NONE: u32 = u32::MAX;

/// One rule, or a free place for one.
#[derive(Debug)]
struct Slot<R> {
    /// `None` when the slot is free.
    rule: Option<Arc<R>>,
    lifetime: Lifetime,
    priority: Priority,
    /// Its clauses among the parts, or [`NONE`].
    part: u32,
}

impl<R> Default for Slot<R> {
    fn default() -> Self {
        let lifetime = Lifetime::from(Version::NEVER);
        Self { rule: None, lifetime, priority: Priority::MIN, part: NONE }
    }
}

/// The key of a rule that comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) words: &'a [u64],
    /// Whether some rule has it.
    pub(crate) is_known: bool,
}

/// A rule that is not the first of its key: the hash of the key, then the highest priority first.
type Other = (u64, Reverse<Priority>, u32);

/// The port pairs of a subtable whose last stage is ports and nothing else.
#[derive(Debug)]
struct Ports {
    /// The mask of the pair, in the upper half of the word.
    mask: u32,
    /// The pair's leading bits up to the last mask bit.
    len: u32,
    trie: Trie<u32>,
}

impl Ports {
    fn of(shape: &Shape) -> Option<Self> {
        let bits = shape.mask_word(TP);
        let mask = (bits >> 32) as u32;
        let only_ports = bits << 32 == 0 && shape.last_stage().map.0 == 1 << TP;
        (mask != 0 && only_ports).then(|| Self {
            mask,
            len: u32::BITS - mask.trailing_zeros(),
            trie: Trie::default(),
        })
    }

    fn pair(&self, word: u64) -> u32 {
        (word >> 32) as u32 & self.mask
    }

    /// Sets in `wildcards` the port bits that prove that no rule has the ports of `flow`.
    fn examine(&self, flow: &Flow, wildcards: &mut Mask) {
        let examined = self.trie.lookup(self.pair(flow.words()[TP])).examined;
        let prefix = !u32::MAX.checked_shr(examined).unwrap_or(0);
        examine(wildcards, TP, u64::from(prefix & self.mask) << 32);
    }
}

/// The rules with one mask. See the head of the file.
#[derive(Debug)]
pub(crate) struct Subtable<R> {
    shape: Shape,
    /// Prefix lengths for the classifier's tries.
    pub(crate) lens: FieldLens,
    /// Which of them are asked in which stage.
    stage_tries: Vec<StageTries>,
    seed: u64,
    /// Of every key the rule of the highest priority: its slot.
    heads: Index,
    /// The rules that are not the first of their key.
    others: BTreeSet<Other>,
    /// For every stage but the last, the hashes up to and with it, each with how many rules have it.
    stages: Vec<Index>,
    ports: Option<Ports>,
    /// The rules, each with its key beside it.
    slots: Slab<Slot<R>>,
    /// The clauses of the rules that are parts of conjunctive matches.
    parts: Slab<Option<Box<[Clause]>>>,
    /// How many rules have each priority: the last key is the subtable's rank.
    priorities: BTreeMap<Priority, u32>,
}

impl<R> Subtable<R> {
    pub(crate) fn new(mask: &Mask, seed: u64) -> Self {
        let (shape, lens) = (Shape::of(mask), FieldLens::of(mask));
        let stages = shape.early_stages().iter().chain([shape.last_stage()]);
        Self {
            lens,
            stage_tries: stages.map(|stage| lens.in_stage(stage.map)).collect(),
            seed,
            heads: Index::default(),
            others: BTreeSet::new(),
            stages: shape.early_stages().iter().map(|_| Index::default()).collect(),
            ports: Ports::of(&shape),
            slots: Slab::with_words(shape.n_words()),
            parts: Slab::default(),
            priorities: BTreeMap::new(),
            shape,
        }
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The highest priority of any rule here, removed ones included until they are purged.
    pub(crate) fn max_priority(&self) -> Option<Priority> {
        self.priorities.last_key_value().map(|(&priority, _)| priority)
    }

    /// Whether some rule, perhaps a removed one, has this priority.
    pub(crate) fn has_priority(&self, priority: Priority) -> bool {
        self.priorities.contains_key(&priority)
    }

    // ---- Lookup ----

    /// The best rule for `flow` in `version`.
    pub(crate) fn lookup(&self, version: Version, flow: &Flow) -> Option<u32> {
        let hash = Shape::hash_key(self.shape.key_of(flow), self.seed);
        self.visible(hash, flow, version)
    }

    /// As [`lookup`](Self::lookup), and sets in `wildcards` what the answer depends on.
    pub(crate) fn lookup_examining(
        &self,
        version: Version,
        flow: &Flow,
        tries: &mut TrieWalk<'_>,
        wildcards: &mut Mask,
    ) -> Option<u32> {
        let mut hash = Hash::new(self.seed);
        let mut asked = self.stage_tries.iter();
        for (n, (stage, hashes)) in self.shape.early_stages().iter().zip(&self.stages).enumerate() {
            if let Some(asked) = asked.next()
                && tries.rules_out(*asked, self.lens, flow, wildcards)
            {
                self.shape.examine_stages(n, wildcards);
                return None;
            }
            hash = self.shape.hash_stage(stage, flow, hash);
            if hashes.find(hash.finish_short(), |_| true).is_none() {
                self.shape.examine_stages(n + 1, wildcards);
                return None;
            }
        }
        let last = self.shape.last_stage();
        let n_early = self.stages.len();
        if let Some(asked) = asked.next()
            && tries.rules_out(*asked, self.lens, flow, wildcards)
        {
            self.shape.examine_stages(n_early, wildcards);
            return None;
        }
        hash = self.shape.hash_stage(last, flow, hash);
        let found = self.visible(hash.finish(), flow, version);
        match &self.ports {
            Some(ports) if found.is_none() => {
                ports.examine(flow, wildcards);
                self.shape.examine_stages(n_early, wildcards);
            }
            _ => self.shape.examine(wildcards),
        }
        found
    }

    /// The first rule with the key of `flow`.
    fn head(&self, hash: u64, flow: &Flow) -> Option<u32> {
        self.heads.find(short(hash), |slot| self.shape.key_matches(self.key(slot), flow))
    }

    /// The first rule with the key of `flow` that is visible.
    fn visible(&self, hash: u64, flow: &Flow, version: Version) -> Option<u32> {
        let head = self.head(hash, flow)?;
        if self.slots[head].lifetime.includes(version) {
            return Some(head);
        }
        self.others_in(hash, Priority::MAX, Priority::MIN, head)
            .find(|&slot| self.slots[slot].lifetime.includes(version))
    }

    /// The rule after this one with the same key that is visible.
    pub(crate) fn next_visible(&self, slot: u32, version: Version) -> Option<u32> {
        let below = self.slots[slot].priority.checked_sub(1)?;
        let hash = Shape::hash_key(self.key(slot).iter().copied(), self.seed);
        self.others_in(hash, below, Priority::MIN, slot)
            .find(|&slot| self.slots[slot].lifetime.includes(version))
    }

    /// The rules with the key of `like`, but for the first one, with priorities from `highest` down to
    /// `lowest`.
    fn others_in(
        &self,
        hash: u64,
        highest: Priority,
        lowest: Priority,
        like: u32,
    ) -> impl Iterator<Item = u32> {
        let range = (hash, Reverse(highest), 0)..=(hash, Reverse(lowest), u32::MAX);
        // Keys whose hashes are equal are together here.
        self.others
            .range(range)
            .map(|other| other.2)
            .filter(move |&slot| self.key(slot) == self.key(like))
    }

    fn key(&self, slot: u32) -> &[u64] {
        self.slots.words(slot)
    }

    // ---- Single rules ----

    /// The first rule with exactly this key and priority for which `wanted` holds.
    pub(crate) fn find(
        &self,
        key: &[u64],
        priority: Priority,
        wanted: impl Fn(Lifetime) -> bool,
    ) -> Option<u32> {
        self.find_from(self.head_of(key)?, priority, wanted)
    }

    /// The first rule with exactly this key.
    pub(crate) fn head_of(&self, key: &[u64]) -> Option<u32> {
        // Who asks for the place of a key is about to change what is there.
        let hash = self.prefetch_stages(key);
        self.heads.find(hash, |slot| self.key(slot) == key)
    }

    /// Asks for the places where this key is, or would be.
    pub(crate) fn prefetch(&self, key: &[u64]) {
        self.heads.prefetch(self.prefetch_stages(key));
    }

    /// The hash of the whole key.
    fn prefetch_stages(&self, key: &[u64]) -> u32 {
        let mut hash = Hash::new(self.seed);
        for (stage, hashes) in self.shape.early_stages().iter().zip(&self.stages) {
            hash = Shape::hash_stage_of(stage, key, hash);
            hashes.prefetch(hash.finish_short());
        }
        Shape::hash_stage_of(self.shape.last_stage(), key, hash).finish_short()
    }

    /// The first rule with this priority for which `wanted` holds, among those with the key of `head`, the first
    /// of them.
    pub(crate) fn find_from(
        &self,
        head: u32,
        priority: Priority,
        wanted: impl Fn(Lifetime) -> bool,
    ) -> Option<u32> {
        let is_it = |slot: u32| {
            let slot = &self.slots[slot];
            slot.priority == priority && wanted(slot.lifetime)
        };
        if is_it(head) {
            return Some(head);
        }
        let hash = Shape::hash_key(self.key(head).iter().copied(), self.seed);
        self.others_in(hash, priority, priority, head).find(|&slot| is_it(slot))
    }

    /// Adds a rule. `None` when the subtable cannot number another one.
    pub(crate) fn insert(
        &mut self,
        Key { words: key, is_known }: Key<'_>,
        priority: Priority,
        clauses: &[Clause],
        added: Version,
        rule: Arc<R>,
    ) -> Option<u32> {
        let part = match clauses {
            [] => NONE,
            clauses => self.parts.insert(Some(clauses.into()), [])?,
        };
        let place = Slot { rule: Some(rule), lifetime: Lifetime::from(added), priority, part };
        let Some(slot) = self.slots.insert(place, key.iter().copied()) else {
            self.parts.remove(part);
            return None;
        };
        let mut hash = Hash::new(self.seed);
        for (stage, hashes) in self.shape.early_stages().iter().zip(&mut self.stages) {
            hash = Shape::hash_stage_of(stage, key, hash);
            let short = hash.finish_short();
            match hashes.find_mut(short, |_| true) {
                Some(n_rules) => *n_rules += 1,
                None => hashes.insert(short, 1),
            }
        }
        hash = Shape::hash_stage_of(self.shape.last_stage(), key, hash);
        match is_known {
            true => self.link(slot, hash.finish()),
            false => self.heads.insert(hash.finish_short(), slot),
        }
        if let Some(ports) = &mut self.ports {
            ports.trie.insert(ports.pair(self.shape.word_of(key, TP)), ports.len);
        }
        *self.priorities.entry(priority).or_insert(0) += 1;
        Some(slot)
    }

    /// Marks the rule as gone from `version` on.
    pub(crate) fn close(&mut self, slot: u32, version: Version) -> Option<&Arc<R>> {
        let slot = &mut self.slots[slot];
        slot.lifetime.removed = version;
        slot.rule.as_ref()
    }

    /// Takes back [`close`](Self::close).
    pub(crate) fn reopen(&mut self, slot: u32) {
        self.slots[slot].lifetime.removed = Version::NEVER;
    }

    /// Whether a rule is here that is not removed.
    pub(crate) fn is_open(&self, slot: u32) -> bool {
        let slot = self.slots.get(slot);
        slot.is_some_and(|slot| slot.rule.is_some() && slot.lifetime.is_open())
    }

    /// One more than the last slot that was ever used.
    pub(crate) fn end(&self) -> u32 {
        self.slots.end()
    }

    pub(crate) fn lifetime(&self, slot: u32) -> Lifetime {
        self.slots[slot].lifetime
    }

    /// The word at `index` of what the rule matches.
    pub(crate) fn word_of(&self, slot: u32, index: usize) -> u64 {
        self.shape.word_of(self.key(slot), index)
    }

    /// Forgets the rule for good.
    pub(crate) fn forget(&mut self, slot: u32) {
        let key = self.slots.words(slot);
        let mut hash = Hash::new(self.seed);
        for (stage, hashes) in self.shape.early_stages().iter().zip(&mut self.stages) {
            hash = Shape::hash_stage_of(stage, key, hash);
            let short = hash.finish_short();
            if let Some(n_rules) = hashes.find_mut(short, |_| true) {
                *n_rules -= 1;
                if *n_rules == 0 {
                    hashes.remove(short, 0);
                }
            }
        }
        let hash = Shape::hash_stage_of(self.shape.last_stage(), key, hash).finish();
        if let Some(ports) = &mut self.ports {
            ports.trie.remove(ports.pair(self.shape.word_of(key, TP)), ports.len);
        }
        self.unlink(slot, hash);
        let Slot { priority, part, .. } = self.slots.remove(slot).unwrap_or_default();
        self.parts.remove(part);
        if let Some(n_rules) = self.priorities.get_mut(&priority) {
            *n_rules -= 1;
            if *n_rules == 0 {
                self.priorities.remove(&priority);
            }
        }
    }

    // ---- All rules ----

    /// Asks for the rule in `slot`, if there is one.
    #[inline]
    pub(crate) fn prefetch_rule(&self, slot: u32) {
        if let Some(Slot { rule: Some(rule), .. }) = self.slots.get(slot) {
            prefetch_whole(&**rule);
        }
    }

    /// The rule in `slot`.
    pub(crate) fn entry(&self, slot: u32) -> Option<Entry<'_, R>> {
        let place = self.slots.get(slot)?;
        Some(Entry {
            shape: &self.shape,
            key: self.key(slot),
            rule: place.rule.as_ref()?,
            priority: place.priority,
            lifetime: place.lifetime,
            clauses: self.clauses(place.part),
        })
    }

    /// The slots whose rules are visible in `version`.
    pub(crate) fn visible_slots(&self, version: Version) -> impl Iterator<Item = u32> {
        (0..self.slots.end()).filter(move |slot| {
            let slot = self.slots.get(*slot);
            slot.is_some_and(|slot| slot.rule.is_some() && slot.lifetime.includes(version))
        })
    }

    /// The rules visible in `version`.
    pub(crate) fn entries(&self, version: Version) -> impl Iterator<Item = Entry<'_, R>> {
        self.visible_slots(version).filter_map(|slot| self.entry(slot))
    }

    /// Whether every rule here examines at least the bits of `mask`.
    pub(crate) fn is_at_least_as_specific_as(&self, mask: &Mask) -> bool {
        (mask.words().iter().enumerate())
            .all(|(index, &bits)| bits & !self.shape.mask_word(index) == 0)
    }

    /// Whether every rule here examines at most the bits of `mask`.
    pub(crate) fn is_at_most_as_specific_as(&self, mask: &Mask) -> bool {
        self.shape.words().iter().all(|word| word.bits & !mask.word(word.index) == 0)
    }

    /// Whether a rule of this priority with the key of `flow` is visible.
    pub(crate) fn has_rule_of(&self, flow: &Flow, priority: Priority, version: Version) -> bool {
        let hash = Shape::hash_key(self.shape.key_of(flow), self.seed);
        let head = self.head(hash, flow);
        let is_visible = |lifetime: Lifetime| lifetime.includes(version);
        head.is_some_and(|head| self.find_from(head, priority, is_visible).is_some())
    }

    // ---- Rules with one key ----

    /// Puts a rule among those with its key, which has this hash.
    fn link(&mut self, new: u32, hash: u64) {
        let Self { heads, others, slots, .. } = self;
        let key = slots.words(new);
        let Some(head) = heads.find_mut(short(hash), |head| slots.words(head) == key) else {
            heads.insert(short(hash), new);
            return;
        };
        let priority_of = |slot: u32| slots[slot].priority;
        let other = if priority_of(new) >= priority_of(*head) {
            core::mem::replace(head, new)
        } else {
            new
        };
        others.insert((hash, Reverse(priority_of(other)), other));
    }

    /// Takes a rule out from among those with its key, which has this hash.
    fn unlink(&mut self, old: u32, hash: u64) {
        let Self { heads, others, slots, .. } = self;
        let Some(head) = heads.find_mut(short(hash), |head| head == old) else {
            let was_there = others.remove(&(hash, Reverse(slots[old].priority), old));
            debug_assert!(was_there, "every rule has a key");
            return;
        };
        let range = (hash, Reverse(Priority::MAX), 0)..=(hash, Reverse(Priority::MIN), u32::MAX);
        let next = others.range(range).find(|other| slots.words(other.2) == slots.words(old));
        match next.copied() {
            Some(next) => {
                others.remove(&next);
                *head = next.2;
            }
            None => {
                heads.remove(short(hash), old);
            }
        }
    }

    /// The clauses of a rule that is a part.
    fn clauses(&self, part: u32) -> &[Clause] {
        self.parts.get(part).and_then(Option::as_deref).unwrap_or_default()
    }
}
