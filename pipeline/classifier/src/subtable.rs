//! A subtable: all rules that share one mask, in a hash table keyed by what they match under it.
//!
//! # Layout
//! A rule costs a 32-byte slot, its key words (8 bytes for each word in which the mask has a bit)
//! and 9 bytes of hash table; no allocation of its own. Slots and keys are two parallel vectors;
//! freed slots form a list. The hash table holds, for each key, the rule of the highest priority; other
//! rules with the same key (of other priorities, or of other versions) are in one ordered set by the
//! hash of the key and priority, so that thousands of priorities under one match cost a logarithm.
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
use hashbrown::HashTable;
use hashbrown::hash_table;

use crate::hash::{Hash, spread};
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
    /// Of a rule: its place among the parts, or [`NONE`]. Of a free slot: the next free one.
    link: u32,
}

/// The rules with one key.
#[derive(Debug, Clone, Copy)]
struct Head {
    /// The one of the highest priority.
    slot: u32,
    /// How many others there are in [`Subtable::others`].
    n_others: u32,
}

/// A rule that is not the first of its key: the hash of the key, then the highest priority first.
type Other = (u64, Reverse<Priority>, u32);

/// How many rules share a hash up to a stage.
#[derive(Debug)]
struct StageHash {
    short: u32,
    n_rules: u32,
}

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

    fn pair(&self, flow: &Flow) -> u32 {
        (flow.words()[TP] >> 32) as u32 & self.mask
    }

    /// Sets in `wildcards` the port bits that prove that no rule has the ports of `flow`.
    fn examine(&self, flow: &Flow, wildcards: &mut Mask) {
        let examined = self.trie.lookup(self.pair(flow)).examined;
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
    /// The first rule of every key.
    heads: HashTable<Head>,
    /// The rules that are not the first of their key.
    others: BTreeSet<Other>,
    /// For every stage but the last, the hashes up to and with it.
    stages: Vec<HashTable<StageHash>>,
    ports: Option<Ports>,
    slots: Vec<Slot<R>>,
    /// `shape.n_words()` words for each slot.
    keys: Vec<u64>,
    free: u32,
    /// The clauses of the rules that are parts of conjunctive matches, and places without.
    parts: Vec<Option<Box<[Clause]>>>,
    /// Those without.
    free_parts: Vec<u32>,
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
            heads: HashTable::new(),
            others: BTreeSet::new(),
            stages: shape.early_stages().iter().map(|_| HashTable::new()).collect(),
            ports: Ports::of(&shape),
            slots: Vec::new(),
            keys: Vec::new(),
            free: NONE,
            parts: Vec::new(),
            free_parts: Vec::new(),
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
            let short = hash.finish_short();
            if hashes.find(spread(short), |entry| entry.short == short).is_none() {
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

    fn head(&self, hash: u64, flow: &Flow) -> Option<Head> {
        let has_key = |head: &Head| self.shape.key_matches(self.key(head.slot), flow);
        self.heads.find(hash, has_key).copied()
    }

    /// The first rule with the key of `flow` that is visible.
    fn visible(&self, hash: u64, flow: &Flow, version: Version) -> Option<u32> {
        let head = self.head(hash, flow)?;
        if self.slots[head.slot as usize].lifetime.includes(version) {
            return Some(head.slot);
        }
        if head.n_others == 0 {
            return None;
        }
        self.others_in(hash, Priority::MAX, Priority::MIN, head.slot)
            .find(|&slot| self.slots[slot as usize].lifetime.includes(version))
    }

    /// The rule after this one with the same key that is visible.
    pub(crate) fn next_visible(&self, slot: u32, version: Version) -> Option<u32> {
        let below = self.slots[slot as usize].priority.checked_sub(1)?;
        let hash = Shape::hash_key(self.key(slot).iter().copied(), self.seed);
        self.others_in(hash, below, Priority::MIN, slot)
            .find(|&slot| self.slots[slot as usize].lifetime.includes(version))
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
        key_of(&self.keys, self.shape.n_words(), slot)
    }

    // ---- Single rules ----

    /// The first rule with exactly this match value and priority for which `wanted` holds.
    pub(crate) fn find(
        &self,
        flow: &Flow,
        priority: Priority,
        wanted: impl Fn(Lifetime) -> bool,
    ) -> Option<u32> {
        let hash = Shape::hash_key(self.shape.key_of(flow), self.seed);
        let head = self.head(hash, flow)?;
        let is_it = |slot: u32| {
            let slot = &self.slots[slot as usize];
            slot.priority == priority && wanted(slot.lifetime)
        };
        if is_it(head.slot) {
            return Some(head.slot);
        }
        if head.n_others == 0 {
            return None;
        }
        self.others_in(hash, priority, priority, head.slot).find(|&slot| is_it(slot))
    }

    /// Adds a rule. `None` when the subtable cannot number another one, or has no memory to grow: what
    /// grows by leaps is asked for first.
    pub(crate) fn insert(
        &mut self,
        flow: &Flow,
        priority: Priority,
        clauses: &[Clause],
        added: Version,
        rule: Arc<R>,
    ) -> Option<u32> {
        self.reserve()?;
        let slot = self.occupy(
            flow,
            Slot { rule: Some(rule), lifetime: Lifetime::from(added), priority, link: NONE },
        )?;
        self.slots[slot as usize].link = self.keep_clauses(clauses);
        self.link(slot, flow);
        let mut hash = Hash::new(self.seed);
        for (stage, hashes) in self.shape.early_stages().iter().zip(&mut self.stages) {
            hash = self.shape.hash_stage(stage, flow, hash);
            let short = hash.finish_short();
            hashes
                .entry(spread(short), |entry| entry.short == short, |entry| spread(entry.short))
                .or_insert(StageHash { short, n_rules: 0 })
                .get_mut()
                .n_rules += 1;
        }
        if let Some(ports) = &mut self.ports {
            ports.trie.insert(ports.pair(flow), ports.len);
        }
        *self.priorities.entry(priority).or_insert(0) += 1;
        Some(slot)
    }

    /// Marks the rule as gone from `version` on.
    pub(crate) fn close(&mut self, slot: u32, version: Version) {
        self.slots[slot as usize].lifetime.removed = version;
    }

    /// Takes back [`close`](Self::close).
    pub(crate) fn reopen(&mut self, slot: u32) {
        self.slots[slot as usize].lifetime.removed = Version::NEVER;
    }

    /// Whether a rule is here that is not removed.
    pub(crate) fn is_open(&self, slot: u32) -> bool {
        let slot = self.slots.get(slot as usize);
        slot.is_some_and(|slot| slot.rule.is_some() && slot.lifetime.is_open())
    }

    /// One more than the last slot that was ever used.
    pub(crate) fn end(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(NONE)
    }

    pub(crate) fn lifetime(&self, slot: u32) -> Lifetime {
        self.slots[slot as usize].lifetime
    }

    /// Forgets the rule for good, and returns its match value for the classifier's tries.
    pub(crate) fn forget(&mut self, slot: u32) -> Flow {
        let flow = self.shape.to_flow(self.key(slot));
        self.unlink(slot, &flow);
        let mut hash = Hash::new(self.seed);
        for (stage, hashes) in self.shape.early_stages().iter().zip(&mut self.stages) {
            hash = self.shape.hash_stage(stage, &flow, hash);
            let short = hash.finish_short();
            if let Ok(mut entry) = hashes.find_entry(spread(short), |entry| entry.short == short) {
                entry.get_mut().n_rules -= 1;
                if entry.get().n_rules == 0 {
                    entry.remove();
                }
            }
        }
        if let Some(ports) = &mut self.ports {
            ports.trie.remove(ports.pair(&flow), ports.len);
        }
        let priority = self.slots[slot as usize].priority;
        if let Some(n_rules) = self.priorities.get_mut(&priority) {
            *n_rules -= 1;
            if *n_rules == 0 {
                self.priorities.remove(&priority);
            }
        }
        let freed = &mut self.slots[slot as usize];
        freed.rule = None;
        let part = core::mem::replace(&mut freed.link, self.free);
        self.free = slot;
        if let Some(place) = self.parts.get_mut(part as usize) {
            *place = None;
            self.free_parts.push(part);
        }
        flow
    }

    // ---- All rules ----

    /// The rule in `slot`.
    pub(crate) fn entry(&self, slot: u32) -> Option<Entry<'_, R>> {
        let place = self.slots.get(slot as usize)?;
        Some(Entry {
            shape: &self.shape,
            key: self.key(slot),
            rule: place.rule.as_ref()?,
            priority: place.priority,
            lifetime: place.lifetime,
            clauses: self.clauses(place.link),
        })
    }

    /// The slots whose rules are visible in `version`.
    pub(crate) fn visible_slots(&self, version: Version) -> impl Iterator<Item = u32> {
        (0u32..).zip(&self.slots).filter_map(move |(index, slot)| {
            (slot.rule.is_some() && slot.lifetime.includes(version)).then_some(index)
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

    // ---- Slots and chains ----

    /// Makes room for one more rule, if there is memory.
    fn reserve(&mut self) -> Option<()> {
        let Self { shape, heads, slots, keys, free, seed, .. } = self;
        let n_words = shape.n_words();
        if *free == NONE {
            slots.try_reserve(1).ok()?;
            keys.try_reserve(n_words).ok()?;
        }
        let rehash =
            |head: &Head| Shape::hash_key(key_of(keys, n_words, head.slot).iter().copied(), *seed);
        heads.try_reserve(1, rehash).ok()
    }

    fn occupy(&mut self, flow: &Flow, slot: Slot<R>) -> Option<u32> {
        if let Some(place) = self.slots.get_mut(self.free as usize) {
            let index = self.free;
            self.free = place.link;
            *place = slot;
            let start = index as usize * self.shape.n_words();
            for (to, word) in self.keys[start..].iter_mut().zip(self.shape.key_of(flow)) {
                *to = word;
            }
            return Some(index);
        }
        let index = u32::try_from(self.slots.len()).ok().filter(|&index| index != NONE)?;
        self.slots.push(slot);
        self.keys.extend(self.shape.key_of(flow));
        Some(index)
    }

    /// Puts the slot among the rules with its key.
    fn link(&mut self, new: u32, flow: &Flow) {
        let Self { shape, heads, others, slots, keys, .. } = self;
        let n_words = shape.n_words();
        let hash = Shape::hash_key(shape.key_of(flow), self.seed);
        let entry = heads.entry(
            hash,
            |head| shape.key_matches(key_of(keys, n_words, head.slot), flow),
            |head| Shape::hash_key(key_of(keys, n_words, head.slot).iter().copied(), self.seed),
        );
        let mut entry = match entry {
            hash_table::Entry::Vacant(entry) => {
                entry.insert(Head { slot: new, n_others: 0 });
                return;
            }
            hash_table::Entry::Occupied(entry) => entry,
        };
        let head = entry.get_mut();
        head.n_others += 1;
        let priority_of = |slot: u32| slots[slot as usize].priority;
        let other = if priority_of(new) >= priority_of(head.slot) {
            core::mem::replace(&mut head.slot, new)
        } else {
            new
        };
        others.insert((hash, Reverse(priority_of(other)), other));
    }

    /// Takes the slot out from among the rules with its key.
    fn unlink(&mut self, old: u32, flow: &Flow) {
        let Self { shape, heads, others, slots, keys, .. } = self;
        let n_words = shape.n_words();
        let hash = Shape::hash_key(shape.key_of(flow), self.seed);
        let has_key = |head: &Head| shape.key_matches(key_of(keys, n_words, head.slot), flow);
        let Ok(mut entry) = heads.find_entry(hash, has_key) else {
            debug_assert!(false, "every rule has a key");
            return;
        };
        let head = entry.get_mut();
        if head.slot != old {
            others.remove(&(hash, Reverse(slots[old as usize].priority), old));
            head.n_others -= 1;
            return;
        }
        let range = (hash, Reverse(Priority::MAX), 0)..=(hash, Reverse(Priority::MIN), u32::MAX);
        let next = (others.range(range))
            .find(|other| key_of(keys, n_words, other.2) == key_of(keys, n_words, old))
            .copied();
        match next {
            Some(next) => {
                others.remove(&next);
                *head = Head { slot: next.2, n_others: head.n_others - 1 };
            }
            None => {
                entry.remove();
            }
        }
    }

    // ---- Parts of conjunctive matches ----

    fn keep_clauses(&mut self, clauses: &[Clause]) -> u32 {
        if clauses.is_empty() {
            return NONE;
        }
        let clauses = Some(clauses.into());
        if let Some(part) = self.free_parts.pop()
            && let Some(place) = self.parts.get_mut(part as usize)
        {
            *place = clauses;
            return part;
        }
        self.parts.push(clauses);
        u32::try_from(self.parts.len() - 1).unwrap_or(NONE)
    }

    fn clauses(&self, part: u32) -> &[Clause] {
        self.parts.get(part as usize).and_then(Option::as_deref).unwrap_or_default()
    }
}

/// The key words of `slot`.
fn key_of(keys: &[u64], n_words: usize, slot: u32) -> &[u64] {
    let start = slot as usize * n_words;
    &keys[start..start + n_words]
}
