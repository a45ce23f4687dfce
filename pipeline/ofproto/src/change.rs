//! Changes of the tables: prepared unseen, visible at one instant, or taken back.
//!
//! # Life of a change
//! ```text
//! begin ─ put, take_out (many) ─ flip ─ settle (in slices) ─ done
//!                              └ roll_back (in slices) ─ as if it had never been
//! ```
//! Until the flip all happens in the version after the one that lookups ask for: translation, timeouts
//! and statistics see nothing of it. The flip is one store. What it made necessary follows in slices:
//! the timeouts of the rules that are new, and reports of those that are gone. Their memory follows later
//! ([`crate::purge`]).
//!
//! # One at a time
//! Between begin and the end of settling or rolling back nothing else may change the tables: whoever
//! wants to, has the bundle under way finished first ([`Bridge::finish_bundles`]).
//!
//! # Cost
//! A step is 24 bytes, and removals that nobody hears of are one step together ([`crate::steps`]). A flip is O(1) but for what the log of changes wants to know of each rule; a
//! change of more than [`MAX_NOTED`] rules concerns every cached conclusion instead.

use crate::bridge::{Bridge, BridgeState};
use crate::group::{Group, Groups};
use crate::meter::{Meter, Meters};
use crate::rule::Rule;
use crate::steps::{Run, Step, Steps};
use crate::table::Table;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use classifier::{Clause, Place, Spot, Version};
use openflow::{FlowEvent, FlowModFlags, FlowRemovedReason, OfErrorKind};
use sync::time::Nanos;

/// Rules of one change that the log of changes is told of one by one.
const MAX_NOTED: usize = 1024;

/// Steps between the one that is done and the one whose rule is asked for.
const AHEAD: usize = 6;

/// Removed rules of one change that are purged right behind it.
const MAX_PURGED_AT_ONCE: usize = 16;

/// What is to become of the "used" time of a rule that takes another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// An add counts as a use.
    Touch,
    /// A modification does not.
    Keep,
}

/// Numbers of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableSet([u64; 4]);

impl TableSet {
    pub(crate) fn insert(&mut self, id: u8) {
        if let Some(word) = self.0.get_mut(usize::from(id / 64)) {
            *word |= 1 << (id % 64);
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn or(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
        self
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u8> + use<> {
        let words = [0u8, 64, 128, 192].into_iter().zip(self.0);
        words.flat_map(|(first, mut word)| {
            core::iter::from_fn(move || {
                let bit = u8::try_from(word.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
                word &= word - 1;
                Some(first + bit)
            })
        })
    }
}

/// A change of the tables; see the module.
#[derive(Debug)]
pub(crate) struct Change {
    /// The version in which it happens.
    version: Version,
    /// The order number of rules when it began.
    first_seq: u64,
    /// Those that have not settled.
    steps: Steps,
    /// The tables that it is about.
    tables: TableSet,
    /// Whether it has parts of conjunctive matches, which matter to flows that they do not end at.
    has_parts: bool,
    /// Whether rules go.
    removes: bool,
    /// Whether nobody wants to hear of rules that end quietly. Known from the flip on.
    is_quiet: bool,
    objects: Option<Box<Objects>>,
}

/// Groups and meters as they will be, where a change is about them too. What has no versions takes
/// the place of what was there.
#[derive(Debug)]
struct Objects {
    groups: Groups,
    meters: Meters,
    changed_groups: Vec<u32>,
    changed_meters: Vec<u32>,
    /// Meters of the datapath that the change made.
    fresh: Vec<u32>,
    /// Those to which nothing leads after it.
    unused: Vec<u32>,
}

impl Change {
    /// Groups and meters as they will be, if the change is about them.
    pub(crate) fn objects(&self) -> Option<(&Groups, &Meters)> {
        self.objects.as_ref().map(|objects| (&objects.groups, &objects.meters))
    }

    /// The version in which it happens: what its own lookups ask for.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// How many rules it touches, before it settles.
    pub(crate) fn len(&self) -> usize {
        self.steps.n_rules()
    }

    fn note(&mut self, table_id: u8, is_part: bool, step: Step) {
        self.tables.insert(table_id);
        self.has_parts |= is_part;
        self.removes |= !matches!(step, Step::Put { old: None, .. });
        self.steps.push_back(step);
    }
}

impl Change {
    /// Takes the rule out that stands at `place` of a table, if one does.
    pub(crate) fn take_out_of(
        &mut self,
        table: &mut Table,
        table_id: u8,
        place: Place,
        reason: FlowRemovedReason,
    ) {
        let number = table.rules.n_removals();
        let Some(rule) = table.rules.remove_at(place, self.version) else { return };
        if table.evictable.is_none() && rule.ends_quietly() {
            self.tables.insert(table_id);
            self.removes = true;
            self.steps.push_removal(table_id, reason, number);
            return;
        }
        table.n_hidden -= usize::from(rule.is_hidden());
        if let Some(evictable) = &mut table.evictable {
            evictable.remove(rule);
        }
        let (is_part, rule) = (rule.is_part(), Arc::clone(rule));
        self.note(table_id, is_part, Step::TakeOut { rule, reason });
    }
}

impl Bridge {
    /// Begins a change of the tables.
    pub(crate) fn begin_change(&self) -> Change {
        Change {
            version: self.state.tables.version.next(),
            first_seq: self.rule_seq,
            steps: Steps::default(),
            tables: TableSet::default(),
            has_parts: false,
            removes: false,
            is_quiet: false,
            objects: None,
        }
    }

    /// Groups and meters as they are, to be changed. This costs a copy of both lists, once.
    fn objects_of<'a>(&self, change: &'a mut Change) -> &'a mut Objects {
        change.objects.get_or_insert_with(|| {
            Box::new(Objects {
                groups: self.state.groups.clone(),
                meters: self.state.meters.clone(),
                changed_groups: Vec::new(),
                changed_meters: Vec::new(),
                fresh: Vec::new(),
                unused: Vec::new(),
            })
        })
    }

    /// Puts a group in its place.
    pub(crate) fn stage_group(&self, change: &mut Change, group: Group) {
        let objects = self.objects_of(change);
        objects.changed_groups.push(group.id);
        objects.groups.put(Arc::new(group));
    }

    /// Takes groups out.
    pub(crate) fn stage_group_removal(&self, change: &mut Change, ids: &[u32]) {
        let objects = self.objects_of(change);
        for id in ids {
            objects.groups.remove(*id);
        }
        objects.changed_groups.extend(ids);
    }

    /// Puts a meter in its place, or takes it out.
    pub(crate) fn stage_meter(&self, change: &mut Change, id: u32, meter: Option<Meter>) {
        let objects = self.objects_of(change);
        objects.changed_meters.push(id);
        objects.fresh.extend(meter.as_ref().map(|meter| meter.dp));
        let old = match meter {
            Some(meter) => objects.meters.put(id, meter),
            None => objects.meters.remove(id),
        };
        objects.unused.extend(old.map(|old| old.dp));
    }

    /// Makes groups and meters what a change wants, at the instant of its flip.
    pub(crate) fn show_objects(change: &mut Change, state: &mut BridgeState) {
        if let Some(objects) = &mut change.objects {
            core::mem::swap(&mut state.groups, &mut objects.groups);
            core::mem::swap(&mut state.meters, &mut objects.meters);
        }
    }

    /// Tells the log of changes of them, once they are visible.
    pub(crate) fn note_objects(&mut self, change: &mut Change) {
        let Some(objects) = change.objects.take() else { return };
        for id in objects.changed_groups {
            self.changes.group_changed(id);
        }
        for id in objects.changed_meters {
            self.changes.meter_changed(id);
        }
        self.give_back_meters(&objects.unused);
    }

    /// Puts a rule in its table, in place of the same one if there is one.
    pub(crate) fn put(
        &mut self,
        change: &mut Change,
        rule: Rule,
        used: Use,
    ) -> Result<(), OfErrorKind> {
        let table = self.state.tables.get(rule.table_id).ok_or(OfErrorKind::FlowModBadTableId)?;
        let spot = table.rules.spot_of(rule.match_.words(), rule.priority);
        self.put_at(change, spot, rule, used)
    }

    /// The same, where the rule has its spot.
    pub(crate) fn put_at(
        &mut self,
        change: &mut Change,
        spot: Spot,
        rule: Rule,
        used: Use,
    ) -> Result<(), OfErrorKind> {
        if spot.place().is_none() && self.room.is_out_of_rules() && !rule.is_hidden() {
            return Err(OfErrorKind::FlowModTableFull);
        }
        let rule = Arc::new(rule);
        let match_ = rule.match_.words();
        let clauses: Vec<Clause> = rule.clauses().collect();
        let mut state = self.state.write();
        let table = state.tables.get_mut(rule.table_id).ok_or(OfErrorKind::FlowModBadTableId)?;
        let old = table
            .rules
            .replace_at(spot, match_, rule.priority, &clauses, change.version, Arc::clone(&rule))
            .map_err(|_| OfErrorKind::FlowModTableFull)?;
        if rule.is_hidden() && old.is_none() {
            table.n_hidden += 1;
        }
        if old.is_none() {
            self.room.take_rule();
        }
        if let Some(evictable) = &mut table.evictable {
            old.iter().for_each(|old| evictable.remove(old));
            evictable.insert(&rule);
        }
        drop(state);
        change.has_parts |= old.as_ref().is_some_and(|old| old.is_part());
        change.note(rule.table_id, rule.is_part(), Step::Put { rule, old, used });
        Ok(())
    }

    /// Takes a rule out of its table, if it is there.
    pub(crate) fn take_out(
        &mut self,
        change: &mut Change,
        rule: &Arc<Rule>,
        reason: FlowRemovedReason,
    ) {
        let table = self.state.tables.get(rule.table_id);
        let match_ = rule.match_.words();
        let place = table.and_then(|t| t.rules.place_of_open(match_, rule.priority));
        if let Some(place) = place {
            self.take_out_at(change, rule.table_id, place, reason);
        }
    }

    /// Takes the rule out that stands at `place`, if one does.
    pub(crate) fn take_out_at(
        &mut self,
        change: &mut Change,
        table_id: u8,
        place: Place,
        reason: FlowRemovedReason,
    ) {
        let mut state = self.state.write();
        if let Some(table) = state.tables.get_mut(table_id) {
            change.take_out_of(table, table_id, place, reason);
        }
    }

    /// Makes the change visible.
    pub(crate) fn flip(&mut self, change: &mut Change) {
        self.state.write().tables.version = change.version;
        self.note_change(change);
    }

    /// Tells the log of changes, once the change is visible.
    pub(crate) fn note_change(&mut self, change: &mut Change) {
        change.is_quiet = !self.watched.is_on()
            && self.triggers.is_empty()
            && self.state.tables.has_no_cookies()
            && self.state.tlvs.is_empty();
        // Who hears of rules that are gone is told what they were.
        self.purging.hold(!change.is_quiet);
        if change.has_parts || change.steps.n_rules() > MAX_NOTED {
            self.changes.everything_changed();
            return;
        }
        for step in change.steps.iter() {
            match step {
                // The new one matches what the old one did: whom it concerns, the old one was
                // found by.
                Step::Put { old: Some(old), .. } => self.changes.stage_changed(&old.stats),
                Step::Put { rule, old: None, .. } => self.changes.stage_added(rule),
                Step::TakeOut { rule, .. } => self.changes.stage_changed(&rule.stats),
                Step::Run(run) => {
                    let table = self.state.tables.get(run.table_id);
                    for number in run.first..run.first + u64::from(run.n) {
                        if let Some(rule) = table.and_then(|table| table.rules.removal(number)) {
                            self.changes.stage_changed(&rule.stats);
                        }
                    }
                }
            }
        }
        self.changes.commit();
    }

    /// Does up to `budget` of what follows from a visible change, of which `now` is the time. Returns
    /// whether all is done.
    pub(crate) fn settle(&mut self, change: &mut Change, budget: &mut usize, now: Nanos) -> bool {
        while !change.steps.is_empty() {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let Some(step) = change.steps.pop_front() else { break };
            if let Some(ahead) = change.steps.ahead(AHEAD).and_then(Step::rule) {
                ahead.prefetch();
            }
            match &step {
                Step::Put { rule, old, used } => {
                    self.note_cookies(change.version, Some(rule), old.as_deref());
                    self.count_option_users(rule, 1);
                    old.iter().for_each(|old| self.count_option_users(old, -1));
                    if let Some(old) = old {
                        if *used == Use::Touch {
                            rule.stats.touch(now);
                        }
                        self.timeouts.remove(old);
                        self.triggers.remove(old);
                    }
                    self.timeouts.insert(rule);
                    self.triggers.insert(rule, now);
                    let event = if old.is_some() { FlowEvent::Modified } else { FlowEvent::Added };
                    self.watched.push(event, rule, old.as_ref());
                }
                Step::Run(_) if change.is_quiet => {}
                Step::Run(run) => {
                    let table = self.state.tables.get(run.table_id);
                    let rule = table.and_then(|table| table.rules.removal(run.first));
                    if let Some(rule) = rule.cloned() {
                        self.note_cookies(change.version, None, Some(&rule));
                        self.count_option_users(&rule, -1);
                        self.triggers.remove(&rule);
                        self.watched.push(FlowEvent::Removed(run.reason), &rule, None);
                    }
                    if run.n > 1 {
                        let rest = Run { first: run.first + 1, n: run.n - 1, ..*run };
                        change.steps.put_back_front(Step::Run(rest));
                    }
                }
                Step::TakeOut { rule, reason } => {
                    self.note_cookies(change.version, None, Some(rule));
                    self.count_option_users(rule, -1);
                    self.timeouts.remove(rule);
                    self.triggers.remove(rule);
                    self.watched.push(FlowEvent::Removed(*reason), rule, None);
                    if rule.flags.contains(FlowModFlags::SEND_FLOW_REM) && !rule.is_hidden() {
                        self.farewells.push(Arc::clone(rule), *reason, now, self.changes.seq());
                        // The report waits until this is in force.
                        self.reval.wanted.set(self.changes.seq());
                    }
                }
            }
        }
        for id in change.tables.iter() {
            self.check_vacancy(id);
        }
        self.purging.hold(false);
        if change.removes {
            self.purging.add(change.tables);
        }
        true
    }

    /// Takes up to `budget` steps of a change back that is not visible yet, the last first. Returns
    /// whether nothing is left of it.
    pub(crate) fn roll_back(&mut self, change: &mut Change, budget: &mut usize) -> bool {
        while *budget > 0 {
            let Some(step) = change.steps.pop_back() else {
                self.forget_change(change);
                return true;
            };
            let table_id = match &step {
                Step::Put { rule, .. } | Step::TakeOut { rule, .. } => rule.table_id,
                Step::Run(run) => run.table_id,
            };
            let mut state = self.state.write();
            let Some(table) = state.tables.get_mut(table_id) else { continue };
            *budget -= 1;
            match &step {
                Step::Run(run) => {
                    table.rules.take_back_removal();
                    let n = run.n.saturating_sub(1);
                    if n > 0 {
                        change.steps.push_back(Step::Run(Run { n, ..*run }));
                    }
                }
                Step::Put { rule, old, .. } => {
                    let match_ = rule.match_.words();
                    table.rules.take_back_add(match_, rule.priority, old.is_some());
                    table.n_hidden -= usize::from(rule.is_hidden() && old.is_none());
                    if let Some(evictable) = &mut table.evictable {
                        evictable.remove(rule);
                        old.iter().for_each(|old| evictable.insert(old));
                    }
                }
                Step::TakeOut { rule, .. } => {
                    table.rules.take_back_removal();
                    table.n_hidden += usize::from(rule.is_hidden());
                    if let Some(evictable) = &mut table.evictable {
                        evictable.insert(rule);
                    }
                }
            }
        }
        let is_done = change.steps.is_empty();
        if is_done {
            self.forget_change(change);
        }
        is_done
    }

    /// Nothing is left of a change but its groups and meters, which nobody saw.
    fn forget_change(&mut self, change: &mut Change) {
        self.rule_seq = change.first_seq;
        if let Some(objects) = change.objects.take() {
            self.give_back_meters(&objects.fresh);
        }
    }

    /// Makes a small change visible and does all that follows.
    pub(crate) fn commit(&mut self, mut change: Change, now: Nanos) {
        if change.len() == 0 {
            return;
        }
        self.flip(&mut change);
        let n_rules = change.len();
        self.settle(&mut change, &mut usize::MAX.clone(), now);
        if n_rules <= MAX_PURGED_AT_ONCE {
            self.purge(2 * MAX_PURGED_AT_ONCE);
        }
    }

    /// Commits a change, or takes it back if making it failed.
    pub(crate) fn end_change(
        &mut self,
        mut change: Change,
        result: Result<(), OfErrorKind>,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        match result {
            Ok(()) => self.commit(change, now),
            Err(_) => {
                self.roll_back(&mut change, &mut usize::MAX.clone());
            }
        }
        result
    }

    /// Removes rules at one instant, and tells of those that asked for it.
    pub(crate) fn remove_rules(
        &mut self,
        rules: &[Arc<Rule>],
        reason: FlowRemovedReason,
        now: Nanos,
    ) {
        self.finish_bundles(now);
        let mut change = self.begin_change();
        for rule in rules {
            self.take_out(&mut change, rule, reason);
        }
        self.commit(change, now);
    }
}
