//! The classifier against a list of rules: random changes, random packets, every version.
//!
//! Laws:
//! 1. A lookup finds a rule of the highest priority that matches, as a walk of the list does.
//! 2. The wildcards are sound: a flow that agrees on the examined bits gets the very same rule.
//! 3. The wildcards are small: no bit is examined that no rule's mask has.
//! 4. Asking for wildcards does not change the result.
//! 5. Conjunctive matches are what trying all of them one after another says.
//! 6. What is taken back leaves no trace.
//! 7. Dumps, loose queries, exact finds and overlap checks agree with the list.

use std::sync::Arc;

use classifier::{Classifier, Clause, Cursor, InsertError, Overlap, Priority, Version};
use flow::{FLOW_WORDS, Field, Flow, Mask, Match, PackedMatch};
use proptest::prelude::*;

/// What the tests store: enough to recognise a rule.
#[derive(Debug, PartialEq, Eq)]
struct Rule(u32);

/// A rule as the twin keeps it.
#[derive(Debug, Clone)]
struct Listed {
    match_: Match,
    priority: Priority,
    added: Version,
    removed: Version,
    clauses: Vec<Clause>,
    rule: Arc<Rule>,
}

impl Listed {
    fn is_visible(&self, version: Version) -> bool {
        self.added <= version && version < self.removed
    }

    fn is(&self, match_: &Match, priority: Priority) -> bool {
        self.match_ == *match_ && self.priority == priority
    }
}

/// The stupid twin.
#[derive(Debug, Default)]
struct List(Vec<Listed>);

impl List {
    fn visible(&self, version: Version) -> impl Iterator<Item = &Listed> {
        self.0.iter().filter(move |listed| listed.is_visible(version))
    }

    /// All rules that a lookup may return.
    fn best(&self, version: Version, flow: &Flow) -> Vec<&Listed> {
        let hard = self.best_hard(version, flow);
        let floor = hard.first().map(|listed| listed.priority);
        let parts: Vec<_> = self
            .visible(version)
            .filter(|listed| !listed.clauses.is_empty() && listed.match_.matches(flow))
            .filter(|listed| floor.is_none_or(|floor| listed.priority > floor))
            .collect();
        for level in (0..6).rev() {
            let at_level: Vec<_> = parts.iter().filter(|part| part.priority == level).collect();
            let mut found = Vec::new();
            for id in 1..4 {
                let clauses = at_level.iter().flat_map(|part| &part.clauses);
                let mine: Vec<&Clause> = clauses
                    .filter(|clause| clause.id == id)
                    .filter(|clause| usize::from(clause.n_clauses) <= at_level.len())
                    .collect();
                let Some(first) = mine.first() else { continue };
                let is_whole = (0..first.n_clauses)
                    .all(|index| mine.iter().any(|clause| clause.index == index));
                if is_whole {
                    let mut named = *flow;
                    named.set(Field::ConjId, id.into());
                    found.extend(self.best_hard(version, &named));
                }
            }
            if !found.is_empty() {
                return found;
            }
        }
        hard
    }

    fn best_hard(&self, version: Version, flow: &Flow) -> Vec<&Listed> {
        let matching: Vec<_> = self
            .visible(version)
            .filter(|listed| listed.clauses.is_empty() && listed.match_.matches(flow))
            .collect();
        let best = matching.iter().map(|listed| listed.priority).max();
        matching.into_iter().filter(|listed| Some(listed.priority) == best).collect()
    }

    fn open(&mut self, match_: &Match, priority: Priority) -> Option<&mut Listed> {
        self.0
            .iter_mut()
            .find(|listed| listed.removed == Version::NEVER && listed.is(match_, priority))
    }
}

#[derive(Debug, Clone)]
enum Op {
    Insert(Match, Priority),
    Replace(Match, Priority, Vec<Clause>),
    /// Replaces, and takes it back.
    Try(Match, Priority),
    /// Removes the rule at this index, and takes it back.
    TryRemove(usize),
    /// Removes the rule at this index of the list, modulo its length.
    Remove(usize),
    RemoveMatching(Match, Priority),
    /// The changes that follow belong to the next version.
    Publish,
    /// Forgets all but this many versions.
    Purge(u64),
}

// ---- Random matches and flows over few values, so that they meet ----

/// The fields that rules match on, with the masks that occur and the bits in which values differ.
const FIELDS: &[(Field, &[u128], u128)] = &[
    (Field::InPort, &[u32::MAX as u128], 0x1),
    (Field::ConjId, &[u32::MAX as u128], 0x3),
    (Field::Metadata, &[0xff, u64::MAX as u128], 0x8000_0000_0000_0003),
    (Field::Reg3, &[1, u32::MAX as u128], 0x3),
    (Field::EthDst, &[0x0100_0000_0000, (1 << 48) - 1], 0x0100_0000_0001),
    (Field::EthType, &[0xffff], 0x0800),
    (Field::VlanTci, &[0x1000, 0x1fff, 0xffff], 0x1003),
    (
        Field::Ipv4Src,
        &[0x8000_0000, 0xff00_0000, 0xffff_0000, 0xffff_fff8, 0xffff_ffff, 0xff],
        0x8101_0009,
    ),
    (Field::Ipv4Dst, &[0xff00_0000, 0xffff_0000, 0xffff_ffff, 0xff00_00ff], 0x0103_0301),
    (
        Field::Ipv6Src,
        &[u128::MAX << 96, u128::MAX << 63, u128::MAX << 64, u128::MAX, 0xffff],
        1 << 97 | 3 << 63 | 1,
    ),
    (Field::Ipv6Dst, &[1 << 127, u128::MAX << 32, u128::MAX], 1 << 127 | 1 << 64 | 1 << 33 | 1),
    (Field::IpProto, &[0xff], 0x1),
    (Field::TcpSrc, &[0xfff0, 0xffff], 0x8011),
    (Field::TcpDst, &[0x8000, 0xffff, 0x00ff], 0x8003),
    (Field::NdReserved, &[0xffff_ffff], 0x1),
];

/// Values of all fields, each from the bits in which the field's values differ.
fn values() -> impl Strategy<Value = Vec<u128>> {
    let bits: Vec<_> =
        FIELDS.iter().map(|&(_, _, bits)| any::<u128>().prop_map(move |v| v & bits)).collect();
    bits
}

fn flows() -> impl Strategy<Value = Flow> {
    values().prop_map(|values| {
        let mut flow = Flow::ZERO;
        for (&(field, _, _), value) in FIELDS.iter().zip(values) {
            flow.set(field, value);
        }
        flow
    })
}

/// Matches on up to four fields.
fn matches() -> impl Strategy<Value = Match> {
    let chosen = prop::collection::vec((0..FIELDS.len(), any::<prop::sample::Index>()), 0..4);
    (values(), chosen).prop_map(|(values, chosen)| {
        let mut match_ = Match::CATCHALL;
        for (field, mask) in chosen {
            let (field, masks, value) = (FIELDS[field].0, FIELDS[field].1, values[field]);
            match_.set(field, value, masks[mask.index(masks.len())]);
        }
        match_
    })
}

/// Clauses of conjunctive matches 1 to 3 with two or three clauses, few enough to become whole.
fn clauses() -> impl Strategy<Value = Vec<Clause>> {
    let clause = (1..4u32, any::<u8>()).prop_map(|(id, index)| {
        let n_clauses = if id == 3 { 3 } else { 2 };
        Clause { id, index: index % n_clauses, n_clauses }
    });
    prop::collection::vec(clause, 0..3)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => (matches(), 0..6i32).prop_map(|(match_, priority)| Op::Insert(match_, priority)),
        10 => (matches(), 0..6i32, clauses()).prop_map(|(m, priority, clauses)| Op::Replace(m, priority, clauses)),
        2 => (matches(), 0..3i32).prop_map(|(match_, priority)| Op::Try(match_, priority)),
        2 => any::<usize>().prop_map(Op::TryRemove),
        3 => any::<usize>().prop_map(Op::Remove),
        1 => (matches(), 0..6i32).prop_map(|(m, priority)| Op::RemoveMatching(m, priority)),
        4 => Just(Op::Publish),
        1 => (0..4u64).prop_map(Op::Purge),
    ];
    prop::collection::vec(op, 0..80)
}

// ---- Running ----

/// Classifier and twin side by side.
struct Pair {
    classifier: Classifier<Rule>,
    list: List,
    version: Version,
    oldest: Version,
    n_made: u32,
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self {
            classifier: Classifier::new(seed),
            list: List::default(),
            version: Version(10),
            oldest: Version(10),
            n_made: 0,
        }
    }

    fn make(&mut self, match_: Match, priority: Priority) -> Listed {
        self.n_made += 1;
        let rule = Arc::new(Rule(self.n_made));
        let clauses = Vec::new();
        Listed { match_, priority, added: self.version, removed: Version::NEVER, clauses, rule }
    }

    fn run(&mut self, op: &Op) {
        let version = self.version;
        match op {
            Op::Insert(match_, priority) => {
                let new = self.make(*match_, *priority);
                let result =
                    self.classifier.insert(match_, *priority, version, Arc::clone(&new.rule));
                if self.list.open(match_, *priority).is_some() {
                    assert_eq!(result, Err(InsertError::Duplicate));
                } else {
                    assert_eq!(result, Ok(()));
                    self.list.0.push(new);
                }
            }
            Op::Try(match_, priority) => {
                let rule = self.make(*match_, *priority).rule;
                let replaced = self.classifier.replace(match_, *priority, version, rule).unwrap();
                let words = PackedMatch::of(match_);
                self.classifier.take_back_add(words.words(), *priority, replaced.is_some());
            }
            Op::TryRemove(index) => {
                let Some(index) = index.checked_rem(self.list.0.len()) else {
                    return;
                };
                let Listed { match_, priority, .. } = &self.list.0[index];
                if self.classifier.remove(match_, *priority, version).is_some() {
                    self.classifier.take_back_removal();
                }
            }
            Op::Replace(match_, priority, clauses) => {
                let clauses = clauses.clone();
                let new = Listed { clauses, ..self.make(*match_, *priority) };
                let rule = Arc::clone(&new.rule);
                let words = PackedMatch::of(match_);
                let replaced = self
                    .classifier
                    .replace_part(words.words(), *priority, &new.clauses, version, rule)
                    .expect("there is room");
                let old = self.list.open(match_, *priority);
                assert_eq!(replaced, old.as_ref().map(|old| Arc::clone(&old.rule)));
                if let Some(old) = old {
                    old.removed = version;
                }
                self.list.0.push(new);
            }
            Op::Remove(index) => {
                let Some(index) = index.checked_rem(self.list.0.len()) else {
                    return;
                };
                let listed = &mut self.list.0[index];
                let (match_, priority) = (listed.match_, listed.priority);
                let expected = self.list.open(&match_, priority).map(|open| {
                    open.removed = version;
                    Arc::clone(&open.rule)
                });
                assert_eq!(self.classifier.remove(&match_, priority, version), expected);
            }
            Op::RemoveMatching(criteria, min_priority) => {
                let removed = self.remove_matching(criteria, *min_priority);
                let mut expected = Vec::new();
                for listed in &mut self.list.0 {
                    if listed.removed == Version::NEVER
                        && criteria.covers(&listed.match_)
                        && listed.priority >= *min_priority
                    {
                        listed.removed = version;
                        expected.push(&*listed.rule);
                    }
                }
                assert_same_set(removed.iter().map(|rule| &**rule), expected.into_iter());
            }
            Op::Publish => self.version = version.next(),
            Op::Purge(n_kept) => {
                self.oldest = self.oldest.max(Version(version.0.saturating_sub(*n_kept)));
                let before = self.list.0.len();
                let oldest = self.oldest;
                self.list.0.retain(|listed| listed.removed > oldest);
                let n_past = before - self.list.0.len();
                assert_eq!(self.classifier.purge(oldest, n_past / 2), n_past / 2);
                assert_eq!(self.classifier.purge(oldest, usize::MAX), n_past - n_past / 2);
            }
        }
        let open = self.list.0.iter().filter(|listed| listed.removed == Version::NEVER).count();
        assert_eq!(self.classifier.len(), open);
        assert_eq!(self.classifier.n_removed(), self.list.0.len() - open);
    }

    /// Removes what a walk in small parts finds.
    fn remove_matching(&mut self, criteria: &Match, min_priority: Priority) -> Vec<Arc<Rule>> {
        let (mut cursor, mut places) = (Cursor::default(), Vec::new());
        while self.classifier.walk(&mut cursor, criteria, self.version, &mut 3, |place, entry| {
            if entry.removed() == Version::NEVER && entry.priority() >= min_priority {
                places.push(place);
            }
        }) {}
        let removed = places.into_iter();
        removed
            .filter_map(|place| self.classifier.remove_at(place, self.version).cloned())
            .collect()
    }

    fn versions(&self) -> impl Iterator<Item = Version> + use<> {
        (self.oldest.0..=self.version.0).map(Version)
    }

    /// Laws 1 to 4.
    fn check_lookup(&self, version: Version, flow: &Flow, others: &[Flow]) {
        let mut wildcards = Mask::ZERO;
        let found = self.classifier.lookup(version, flow, Some(&mut wildcards));
        let allowed = self.list.best(version, flow);
        assert_eq!(found.is_some(), !allowed.is_empty(), "{version:?} {flow:?}");
        if let Some(found) = found {
            let is_allowed = allowed.iter().any(|listed| Arc::ptr_eq(&listed.rule, found));
            assert!(is_allowed, "{found:?} is none of {allowed:?}");
        }
        assert_eq!(self.classifier.lookup(version, flow, None), found);

        let all =
            self.list.0.iter().fold(Mask::ZERO, |all, listed| all.union(listed.match_.mask()));
        assert!(all.covers(&wildcards), "{wildcards:?} is more than any rule looks at");

        let check_twin = |twin: &Flow| {
            let mut twin_wildcards = Mask::ZERO;
            let twin_found = self.classifier.lookup(version, twin, Some(&mut twin_wildcards));
            assert_eq!(
                twin_found, found,
                "{twin:?} agrees with {flow:?} on {wildcards:?} in {version:?}"
            );
        };
        for &other in others {
            check_twin(&mixed(flow, &wildcards, &other));
        }
        for index in 0..FLOW_WORDS {
            let mut free = all.word(index) & !wildcards.word(index);
            while free != 0 {
                let bit = free & free.wrapping_neg();
                free ^= bit;
                let mut twin = *flow;
                twin.set_word(index, flow.word(index) ^ bit);
                check_twin(&twin);
            }
        }
    }

    /// Law 5.
    fn check_queries(&self, version: Version, criteria: &Match, priority: Priority) {
        let rules = |iter: &mut dyn Iterator<Item = &Listed>| -> Vec<Arc<Rule>> {
            iter.map(|listed| Arc::clone(&listed.rule)).collect()
        };
        let all = rules(&mut self.list.visible(version));
        assert_same_set(
            self.classifier.iter(version).map(|entry| &**entry.rule()),
            all.iter().map(|rule| &**rule),
        );
        for entry in self.classifier.iter(version) {
            let listed = self.list.0.iter().find(|listed| listed.rule == *entry.rule());
            let listed = listed.expect("checked above");
            assert!(listed.is(&entry.to_match(), entry.priority()));
            assert_eq!((entry.added(), entry.removed()), (listed.added, listed.removed));
            let exact = self.classifier.find_exact(&listed.match_, listed.priority, version);
            assert_eq!(exact.map(|exact| exact.rule()), Some(&listed.rule));
        }
        let loose = rules(&mut self.list.visible(version).filter(|l| criteria.covers(&l.match_)));
        assert_same_set(
            self.classifier.iter_matching(criteria, version).map(|entry| &**entry.rule()),
            loose.iter().map(|rule| &**rule),
        );
        let exact = self.list.visible(version).find(|listed| listed.is(criteria, priority));
        let found = self.classifier.find_exact(criteria, priority, version);
        assert_eq!(found.map(|entry| entry.rule()), exact.map(|listed| &listed.rule));
        let overlaps =
            |listed: &Listed| listed.priority == priority && listed.match_.overlaps(criteria);
        let has_overlap = self.list.visible(version).any(overlaps);
        for at_once in [1, 3, usize::MAX] {
            let mut cursor = Cursor::default();
            let found = loop {
                let mut max = at_once;
                let found =
                    self.classifier.overlap_on(&mut cursor, criteria, priority, version, &mut max);
                if found != Overlap::Unknown {
                    break found;
                }
                assert_eq!(max, 0, "it stops where it may not go on");
            };
            assert_eq!(found == Overlap::Found, has_overlap);
        }
    }
}

/// The examined bits of one flow with the other bits of another.
fn mixed(flow: &Flow, wildcards: &Mask, other: &Flow) -> Flow {
    let mut mixed = *flow;
    for index in 0..FLOW_WORDS {
        let kept = wildcards.word(index);
        mixed.set_word(index, flow.word(index) & kept | other.word(index) & !kept);
    }
    mixed
}

#[track_caller]
fn assert_same_set<'a>(a: impl Iterator<Item = &'a Rule>, b: impl Iterator<Item = &'a Rule>) {
    let sorted = |iter: &mut dyn Iterator<Item = &'a Rule>| {
        let mut ids: Vec<u32> = iter.map(|rule| rule.0).collect();
        ids.sort_unstable();
        ids
    };
    let (mut a, mut b) = (a, b);
    assert_eq!(sorted(&mut a), sorted(&mut b));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_a_list_of_rules(
        seed in any::<u64>(),
        ops in ops(),
        flows in prop::collection::vec(flows(), 6),
        criteria in matches(),
        priority in 0..6i32,
    ) {
        let mut pair = Pair::new(seed);
        for op in &ops {
            pair.run(op);
        }
        for version in pair.versions() {
            for flow in &flows {
                pair.check_lookup(version, flow, &flows);
            }
            // Flows that do match something: a rule's values with other bits from elsewhere.
            for listed in pair.list.visible(version).step_by(3) {
                let flow = mixed(listed.match_.flow(), listed.match_.mask(), &flows[0]);
                pair.check_lookup(version, &flow, &flows);
            }
            pair.check_queries(version, &criteria, priority);
        }
        // Nothing is left of rules that are removed and purged.
        pair.remove_matching(&Match::CATCHALL, Priority::MIN);
        pair.classifier.purge(pair.version, usize::MAX);
        prop_assert_eq!(pair.classifier.n_subtables(), 0);
        let mut wildcards = Mask::ZERO;
        prop_assert!(pair.classifier.lookup(pair.version, &flows[0], Some(&mut wildcards)).is_none());
        prop_assert_eq!(wildcards, Mask::ZERO);
    }
}
