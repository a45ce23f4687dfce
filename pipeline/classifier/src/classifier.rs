//! The classifier: which rule of the highest priority matches a packet, and what did that depend on?
//!
//! # What
//! A set of rules, each a match (value and mask), a priority and a range of versions. [`lookup`]
//! finds the visible rule of the highest priority that matches a flow. Of several with that
//! priority it may return any (OpenFlow 1.3.5 §5.3 leaves it undefined), but for an unchanged
//! classifier always the same one.
//!
//! # Un-wildcarding
//! The result of a lookup is remembered as a megaflow, for *all* packets that it is the right
//! answer for. So a lookup also reports which bits of the flow its answer depends on, by setting
//! them in a mask. Two properties matter:
//!
//! - *Sound*: any flow that agrees with this one on the reported bits gets the same rule. A bit
//!   missing here is a wrong forwarding decision for somebody else's packets.
//! - *Small*: a bit too many is only slow. But it makes more megaflows, each seeing fewer packets,
//!   so all the machinery below exists to report few bits, as much as to be fast.
//!
//! The argument for soundness is the same in each step: a flow that agrees on the bits reported so
//! far takes the same path through the lookup so far. Therefore a step reports every bit that its
//! own outcome depends on, and nothing else.
//!
//! # Design: tuple-space search
//! Rules with the same mask form a *subtable*: a hash table keyed by the masked flow. A lookup asks
//! one subtable after another and keeps the best rule. A match reports the whole mask of the
//! subtable (that is what it compared). A miss would have to report the same; the refinements:
//!
//! 1. *Priority sorting.* Subtables are visited by descending maximum priority. When the best rule
//!    found is at least as good as the next subtable's maximum, the rest are never asked and report
//!    nothing.
//! 2. *Staged lookup.* A subtable's mask is cut into up to four stages (metadata, L2, L3, L4) and
//!    knows the hashes of its rules up to each stage. A miss in an early stage reports only the
//!    bits up to that stage: a rule on TCP ports does not make every ARP packet depend on ports.
//! 3. *Prefix tries.* For the IP addresses the classifier counts, over all its rules, which prefixes
//!    exist (`trie.rs`). A subtable whose prefix length is not among those that the packet's
//!    address lies in cannot match; the few leading bits that prove so are reported, not the prefix.
//! 4. *Ports trie.* The same for transport ports within one subtable (`subtable.rs`).
//!
//! A lookup that does not ask for wildcards skips 2 to 4: one hash and one probe a subtable.
//!
//! # Versions
//! Rules carry the version in which they were added and, once removed, the version in which they
//! went. Lookups name the version that they want to see, so a change of many rules becomes visible
//! at once. Removed rules stay in all structures, where they can only cause "perhaps" answers and
//! so extra bits, until [`purge`] forgets them.
//!
//! # Cost
//! A lookup is O(subtables visited); an insertion or removal O(1) hash operations plus one walk of
//! each trie that applies, plus O(subtables) moves when a subtable's maximum priority changes.
//! Rules that differ in priority alone are in an ordered set: O(log n) among them.
//! Memory is about 50 bytes a rule plus 8 for each word in which its mask has bits, plus 40 to 64
//! for each distinct prefix.
//!
//! # Concurrency
//! One owner, changed through `&mut`; lookups take `&self`. There is no interior mutability, so
//! later a reader core can be given a snapshot. Rules are `Arc`s: what a lookup returned may
//! outlive the rule's removal.
//!
//! # Conjunctive matches
//! Rules that are parts of them are collected on the way and put together at the end
//! (`conjunction.rs`).
//!
//! [`lookup`]: Classifier::lookup
//! [`purge`]: Classifier::purge

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use flow::{Flow, Mask, Match, MatchWords, PackedMatch};
use gradual::{Index, Queue};

use crate::prefix::{TrieWalk, Tries};
use crate::rank::Rank;
use crate::subtable::{Key, Subtable};
use crate::version::{Lifetime, Version};
use crate::{Clause, Entry, Priority};

/// Why a rule was not inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertError {
    /// A rule with the same match and priority is visible in this version or a later one.
    Duplicate,
    /// The classifier cannot number another rule (some four thousand millions of one mask).
    Full,
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate => "a rule with this match and priority is there already",
            Self::Full => "the table is full",
        })
    }
}

impl core::error::Error for InsertError {}

/// Where a rule is: its subtable and its slot there. It stays there until it is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    subtable: u32,
    slot: u32,
}

impl Place {
    /// No rule is here.
    pub(crate) const NOWHERE: Self = Self { subtable: u32::MAX, slot: u32::MAX };
}

/// Where a rule is, or would be: what [`Classifier::replace_at`] need not look for again.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    /// The subtable of its mask.
    subtable: Option<u32>,
    /// The place of the rule with its match and priority that is not removed.
    place: Option<Place>,
    /// Whether some rule has its match.
    has_key: bool,
}

impl Spot {
    /// The place of the rule that is there.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }
}

/// A set of rules. See the head of the file.
pub struct Classifier<R> {
    /// By index; freed places are `None`.
    pub(crate) subtables: Vec<Option<Box<Subtable<R>>>>,
    /// The places that are `None`.
    pub(crate) free_subtables: Vec<u32>,
    /// Highest priority first; among equals, the lower index.
    pub(crate) order: Vec<Rank>,
    tries: Tries,
    /// The indices of the subtables by mask.
    pub(crate) by_mask: Index,
    /// The subtable to which a rule was added last.
    pub(crate) recent: u32,
    /// Rules that were removed and not yet purged, in the order of removal.
    removed: Queue<Place>,
    /// How many were purged.
    n_purged: u64,
    n_rules: usize,
    pub(crate) seed: u64,
}

impl<R> Classifier<R> {
    /// An empty classifier. The `seed` of its hashes should be hard to guess where rules come from
    /// people who do not trust each other.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            subtables: Vec::new(),
            free_subtables: Vec::new(),
            order: Vec::new(),
            tries: Tries::default(),
            by_mask: Index::default(),
            recent: 0,
            removed: Queue::new(),
            n_purged: 0,
            n_rules: 0,
            seed,
        }
    }

    /// The number of rules that are not removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n_rules
    }

    /// Whether no rule is left that is not removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n_rules == 0
    }

    /// The number of different masks: what a lookup's cost depends on.
    #[must_use]
    pub fn n_subtables(&self) -> usize {
        self.order.len()
    }

    // ---- Lookup ----

    /// The rule of the highest priority that matches `flow` in `version`.
    ///
    /// With `wildcards`, every bit of `flow` that the answer depends on is set there; bits already
    /// set stay set.
    #[must_use]
    pub fn lookup(
        &self,
        version: Version,
        flow: &Flow,
        wildcards: Option<&mut Mask>,
    ) -> Option<&Arc<R>> {
        self.lookup_entry(version, flow, wildcards).map(|entry| entry.rule())
    }

    /// As [`lookup`](Self::lookup), with the rule's match and priority.
    #[must_use]
    pub fn lookup_entry(
        &self,
        version: Version,
        flow: &Flow,
        mut wildcards: Option<&mut Mask>,
    ) -> Option<Entry<'_, R>> {
        let mut soft = Vec::new();
        let hard = self.search(version, flow, wildcards.as_deref_mut(), |place, _| {
            soft.push(place);
            None
        });
        if soft.is_empty() { hard } else { self.conjoin(version, flow, wildcards, hard, soft) }
    }

    /// As [`lookup_entry`](Self::lookup_entry) where parts of conjunctive matches do not count.
    pub(crate) fn lookup_hard(
        &self,
        version: Version,
        flow: &Flow,
        wildcards: Option<&mut Mask>,
    ) -> Option<Entry<'_, R>> {
        self.search(version, flow, wildcards, |place, best| {
            // Behind the part there may be a rule with the very same match that is none.
            let mut next = self.next_visible(place, version);
            while let Some(entry) = next.and_then(|next| self.entry_at(next)) {
                if best.is_some_and(|best| entry.priority() <= best) {
                    return None;
                }
                if entry.clauses().is_empty() {
                    return Some(entry);
                }
                next = next.and_then(|next| self.next_visible(next, version));
            }
            None
        })
    }

    /// The best rule that matches and is no part. What becomes of parts that may be better than the
    /// best so far, `soft` decides.
    fn search<'a>(
        &'a self,
        version: Version,
        flow: &Flow,
        mut wildcards: Option<&mut Mask>,
        mut soft: impl FnMut(Place, Option<Priority>) -> Option<Entry<'a, R>>,
    ) -> Option<Entry<'a, R>> {
        let mut tries = TrieWalk::new(&self.tries);
        let mut best: Option<Entry<'a, R>> = None;
        for rank in &self.order {
            if best.is_some_and(|best| best.priority() >= rank.max_priority) {
                break;
            }
            let Some(subtable) = self.subtable(rank.subtable) else {
                continue;
            };
            let slot = match &mut wildcards {
                Some(wildcards) => subtable.lookup_examining(version, flow, &mut tries, wildcards),
                None => subtable.lookup(version, flow),
            };
            let Some(slot) = slot else { continue };
            let Some(found) = subtable.entry(slot) else { continue };
            if best.is_some_and(|best| found.priority() <= best.priority()) {
                continue;
            }
            if found.clauses().is_empty() {
                best = Some(found);
            } else {
                let place = Place { subtable: rank.subtable, slot };
                best = soft(place, best.map(|best| best.priority())).or(best);
            }
        }
        best
    }

    /// The rule with exactly this match and priority that is visible in `version`.
    #[must_use]
    pub fn find_exact(
        &self,
        match_: &Match,
        priority: Priority,
        version: Version,
    ) -> Option<Entry<'_, R>> {
        self.find_words(PackedMatch::of(match_).words(), priority, version)
    }

    /// As [`find_exact`](Self::find_exact), of a match in its words.
    #[must_use]
    pub fn find_words(
        &self,
        match_: MatchWords<'_>,
        priority: Priority,
        version: Version,
    ) -> Option<Entry<'_, R>> {
        let place = self.place_of(match_, priority, |lifetime| lifetime.includes(version))?;
        self.subtable(place.subtable)?.entry(place.slot)
    }

    // ---- Changes ----

    /// Adds a rule, visible from `version` on.
    ///
    /// # Errors
    /// When a rule with the same match and priority is still visible then: [`replace`] is for that.
    ///
    /// [`replace`]: Self::replace
    pub fn insert(
        &mut self,
        match_: &Match,
        priority: Priority,
        version: Version,
        rule: Arc<R>,
    ) -> Result<(), InsertError> {
        let match_ = PackedMatch::of(match_);
        let same = self.place_of(match_.words(), priority, |lifetime| {
            lifetime.added < lifetime.removed && lifetime.removed > version
        });
        if same.is_some() {
            return Err(InsertError::Duplicate);
        }
        let spot = self.spot_of(match_.words(), priority);
        self.add_in(spot, match_.words(), priority, &[], version, rule)
    }

    /// Adds a rule, visible from `version` on, in place of the one with the same match and priority,
    /// if there is one, which is visible before `version` only. Returns the replaced one.
    ///
    /// # Errors
    /// [`InsertError::Full`]; nothing is changed.
    pub fn replace(
        &mut self,
        match_: &Match,
        priority: Priority,
        version: Version,
        rule: Arc<R>,
    ) -> Result<Option<Arc<R>>, InsertError> {
        self.replace_part(PackedMatch::of(match_).words(), priority, &[], version, rule)
    }

    /// As [`replace`](Self::replace), of a match in its words, with the clauses of conjunctive matches that
    /// the rule is part of.
    ///
    /// # Errors
    /// [`InsertError::Full`]; nothing is changed.
    pub fn replace_part(
        &mut self,
        match_: MatchWords<'_>,
        priority: Priority,
        clauses: &[Clause],
        version: Version,
        rule: Arc<R>,
    ) -> Result<Option<Arc<R>>, InsertError> {
        let spot = self.spot_of(match_, priority);
        self.replace_at(spot, match_, priority, clauses, version, rule)
    }

    /// Where the rule with exactly this match and priority is that is not removed, or would be.
    #[must_use]
    pub fn spot_of(&self, match_: MatchWords<'_>, priority: Priority) -> Spot {
        let index = self.subtable_of(match_);
        let subtable = index.and_then(|index| Some((index, self.subtable(index)?)));
        let Some((index, subtable)) = subtable else {
            return Spot { subtable: None, place: None, has_key: false };
        };
        let head = subtable.head_of(match_.values());
        let slot = head.and_then(|head| subtable.find_from(head, priority, Lifetime::is_open));
        let place = slot.map(|slot| Place { subtable: index, slot });
        Spot { subtable: Some(index), place, has_key: head.is_some() }
    }

    /// Asks for the places of the hash tables to which a rule with this match would be added, if one that looks
    /// like it was added last.
    pub fn prefetch(&self, match_: MatchWords<'_>) {
        if let Some(subtable) = self.subtable(self.recent)
            && subtable.shape().is_of(match_)
        {
            subtable.prefetch(match_.values());
        }
    }

    /// As [`replace_part`](Self::replace_part), where the same match and priority have their
    /// [spot](Self::spot_of); since then no rule was added or purged.
    ///
    /// # Errors
    /// [`InsertError::Full`]; nothing is changed.
    pub fn replace_at(
        &mut self,
        spot: Spot,
        match_: MatchWords<'_>,
        priority: Priority,
        clauses: &[Clause],
        version: Version,
        rule: Arc<R>,
    ) -> Result<Option<Arc<R>>, InsertError> {
        self.add_in(spot, match_, priority, clauses, version, rule)?;
        Ok(spot.place.and_then(|place| self.close(place, version)).cloned())
    }

    /// Removes the rule with exactly this match and priority: from `version` on it is not visible.
    pub fn remove(
        &mut self,
        match_: &Match,
        priority: Priority,
        version: Version,
    ) -> Option<Arc<R>> {
        let place = self.place_of_open(PackedMatch::of(match_).words(), priority)?;
        self.close(place, version).cloned()
    }

    /// Where the rule with exactly this match and priority is that is not removed.
    #[must_use]
    pub fn place_of_open(&self, match_: MatchWords<'_>, priority: Priority) -> Option<Place> {
        self.spot_of(match_, priority).place
    }

    /// Removes the rule at `place`, unless it is removed already.
    pub fn remove_at(&mut self, place: Place, version: Version) -> Option<&Arc<R>> {
        let is_open = self.subtable(place.subtable).is_some_and(|s| s.is_open(place.slot));
        is_open.then(|| self.close(place, version)).flatten()
    }

    /// Forgets the removed rules that no lookup can see any more: those removed in `oldest` or
    /// before, where `oldest` is the oldest version that anybody still looks up. Returns how many.
    ///
    /// Does at most `max` of them, so that a caller can purge in steps. Versions in which rules are
    /// removed must not decrease.
    pub fn purge(&mut self, oldest: Version, max: usize) -> usize {
        let mut n_purged = 0;
        while n_purged < max
            && let Some(&place) = self.removed.front()
        {
            let lifetime =
                self.subtable(place.subtable).map(|subtable| subtable.lifetime(place.slot));
            if lifetime.is_some_and(|lifetime| lifetime.removed > oldest) {
                break;
            }
            self.removed.pop_front();
            self.n_purged += 1;
            self.forget(place);
            n_purged += 1;
        }
        n_purged
    }

    /// Takes back the last [`insert`](Self::insert) or [`replace`](Self::replace) of a rule with this
    /// match and priority in `version`, which no lookup asks for yet: the new rule is forgotten, and the
    /// one that it replaced, if any, is as it was. Changes must be taken back from the last to the
    /// first.
    pub fn take_back_add(&mut self, match_: MatchWords<'_>, priority: Priority, replaced: bool) {
        let Some(place) = self.place_of(match_, priority, |lifetime| lifetime.is_open()) else {
            return;
        };
        self.n_rules -= 1;
        self.forget(place);
        if replaced {
            self.take_back_removal();
        }
    }

    /// Takes back the last removal: the rule is as it was. See [`take_back_add`](Self::take_back_add).
    pub fn take_back_removal(&mut self) {
        if let Some(place) = self.removed.pop_back()
            && let Some(Some(subtable)) = self.subtables.get_mut(place.subtable as usize)
        {
            subtable.reopen(place.slot);
            self.n_rules += 1;
        }
    }

    /// The number of the next removal, counted from the first of all; those that were taken back do not
    /// count.
    #[must_use]
    pub fn n_removals(&self) -> u64 {
        self.n_purged + self.removed.len() as u64
    }

    /// The rule whose removal has this number, unless it is purged.
    #[must_use]
    pub fn removal(&self, number: u64) -> Option<&Arc<R>> {
        let at = usize::try_from(number.checked_sub(self.n_purged)?).ok()?;
        self.removed.get(at).and_then(|place| self.entry_at(*place)).map(|entry| entry.rule())
    }

    /// The number of removed rules that wait for [`purge`](Self::purge).
    #[must_use]
    pub fn n_removed(&self) -> usize {
        self.removed.len()
    }

    // ---- Places ----

    pub(crate) fn subtable(&self, index: u32) -> Option<&Subtable<R>> {
        self.subtables.get(index as usize)?.as_deref()
    }

    /// The rule at `place`.
    #[must_use]
    pub fn entry_at(&self, place: Place) -> Option<Entry<'_, R>> {
        self.subtable(place.subtable)?.entry(place.slot)
    }

    pub(crate) fn priority_at(&self, place: Place) -> Option<Priority> {
        self.entry_at(place).map(|entry| entry.priority())
    }

    /// The next visible rule with the very same match.
    pub(crate) fn next_visible(&self, place: Place, version: Version) -> Option<Place> {
        let slot = self.subtable(place.subtable)?.next_visible(place.slot, version)?;
        Some(Place { slot, ..place })
    }

    fn place_of(
        &self,
        match_: MatchWords<'_>,
        priority: Priority,
        wanted: impl Fn(Lifetime) -> bool,
    ) -> Option<Place> {
        let subtable = self.subtable_of(match_)?;
        let slot = self.subtable(subtable)?.find(match_.values(), priority, wanted)?;
        Some(Place { subtable, slot })
    }

    /// Adds a rule where its match has its spot.
    fn add_in(
        &mut self,
        spot: Spot,
        match_: MatchWords<'_>,
        priority: Priority,
        clauses: &[Clause],
        version: Version,
        rule: Arc<R>,
    ) -> Result<(), InsertError> {
        let index = match spot.subtable {
            Some(index) => index,
            None => self.create_subtable(match_)?,
        };
        let Some(Some(subtable)) = self.subtables.get_mut(index as usize) else {
            return Err(InsertError::Full);
        };
        self.recent = index;
        let before = subtable.max_priority();
        let key = Key { words: match_.values(), is_known: spot.has_key };
        let inserted = subtable.insert(key, priority, clauses, version, rule);
        inserted.ok_or(InsertError::Full)?;
        let after = subtable.max_priority();
        let (lens, shape) = (subtable.lens, subtable.shape());
        self.tries.insert(lens, |word| shape.word_of(match_.values(), word));
        self.rank(index, before, after);
        self.n_rules += 1;
        Ok(())
    }

    /// Marks the rule as removed in `version`.
    pub(crate) fn close(&mut self, place: Place, version: Version) -> Option<&Arc<R>> {
        let subtable = self.subtables.get_mut(place.subtable as usize)?.as_mut()?;
        let rule = subtable.close(place.slot, version)?;
        self.removed.push_back(place);
        self.n_rules -= 1;
        Some(rule)
    }

    pub(crate) fn place(subtable: u32, slot: u32) -> Place {
        Place { subtable, slot }
    }

    /// Takes a rule out of every structure.
    fn forget(&mut self, place: Place) {
        let Some(Some(subtable)) = self.subtables.get_mut(place.subtable as usize) else {
            return;
        };
        let before = subtable.max_priority();
        self.tries.remove(subtable.lens, |word| subtable.word_of(place.slot, word));
        subtable.forget(place.slot);
        let after = subtable.max_priority();
        self.rank(place.subtable, before, after);
        if after.is_none() {
            self.delete_subtable(place.subtable);
        }
    }
}

impl<R> fmt::Debug for Classifier<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier")
            .field("n_rules", &self.n_rules)
            .field("n_subtables", &self.order.len())
            .field("n_removed", &self.removed.len())
            .finish_non_exhaustive()
    }
}
