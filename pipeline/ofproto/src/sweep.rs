//! Sweeps: requests that concern every rule of a kind, done in slices.
//!
//! # What
//! A loose modify or delete, an add that is to be refused where it overlaps another rule, the rules that go with a group or a meter, those that nobody teaches any more, those
//! beyond a limit that was lowered, and all of them where controllers come or go. A [`Sweep`] first walks over
//! the rules and notes where those stand that are meant, then changes one after another. Both are
//! part of a change of the tables ([`crate::change`]) that is not visible yet, so the sweep can pause
//! anywhere and is atomic for packets all the same; while it pauses nobody else changes the tables.
//!
//! # Why two steps
//! A modified rule stands in another place than the one that it was, where the walk might find it again. What only
//! goes is taken out as soon as a few are found, while they are at hand.
//!
//! # Cost
//! A step of the budget is one rule changed, or [`PLACES_A_STEP`] places looked at. A rule that is meant
//! takes 12 bytes until the sweep is over.

use crate::bridge::Bridge;
use crate::change::{Change, Use};
use crate::check::{Known, check_instructions};
use crate::flow_mod::{Addend, Addition};
use crate::group::groups_of;
use crate::meter::meters_of;
use crate::rule::{Rule, RuleTimeouts};
use alloc::boxed::Box;
use alloc::sync::Arc;
use classifier::{Cursor, Overlap, Place, Priority};
use core::ops::Range;
use flow::{Match, PackedMatch};
use gradual::Queue;
use openflow::{
    FlowMod, FlowModFlags, FlowRemovedReason, GROUP_ALL, METER_ALL, OfErrorKind, TABLE_ALL, Version,
};
use sync::time::Nanos;

/// Places of rules looked at for one step.
const PLACES_A_STEP: usize = 8;
/// Places looked at in one part of a walk.
const PLACES_AT_ONCE: usize = 128;
/// Rules that are found before they are taken out.
const FOUND_AT_ONCE: usize = 64;

/// What becomes of which rules.
#[derive(Debug)]
enum What {
    Modify(Box<FlowMod>, Version),
    Delete(Box<FlowMod>),
    /// Those that use a group, or any, go.
    GroupGoes(u32),
    /// Those that use a meter, or any, go.
    MeterGoes(u32),
    /// Those with a cookie that nobody teaches any more go.
    Orphaned(u64),
    /// A table evicts until it has no more than it may.
    Evict(u8),
    /// A rule comes, if it overlaps none.
    Add(Box<(Addend, Match)>),
    /// All go, hidden ones too, and what a bridge of its own begins with comes.
    Empty,
}

impl What {
    fn criteria(&self) -> &Match {
        match self {
            What::Modify(flow_mod, _) | What::Delete(flow_mod) => &flow_mod.match_,
            _ => &Match::CATCHALL,
        }
    }

    fn means(&self, rule: &Rule) -> bool {
        let has_cookie = |wanted: &FlowMod| (rule.cookie ^ wanted.cookie) & wanted.cookie_mask == 0;
        (!rule.is_hidden() || matches!(self, What::Empty))
            && match self {
                // The port and group filters are for deletes only (1.3.5 §6.4).
                What::Modify(wanted, _) => has_cookie(wanted),
                What::Delete(wanted) => {
                    has_cookie(wanted) && rule.leads_to(wanted.out_port, wanted.out_group)
                }
                What::GroupGoes(id) => {
                    groups_of(rule).any(|group| *id == GROUP_ALL || group == *id)
                }
                What::MeterGoes(id) => {
                    meters_of(rule).any(|meter| *id == METER_ALL || meter == *id)
                }
                What::Orphaned(cookie) => rule.cookie == *cookie,
                What::Evict(_) | What::Add(_) => false,
                What::Empty => true,
            }
    }
}

/// A sweep under way; see the module.
#[derive(Debug)]
pub(crate) struct Sweep {
    what: What,
    /// The tables to walk over, the first of them from `cursor` on.
    tables: Range<u8>,
    cursor: Cursor,
    /// The rules that are meant, in the order of their tables.
    chosen: Queue<(u8, Place)>,
    /// Whether any was.
    has_chosen: bool,
    /// The table for which the instructions were found right.
    checked: Option<u8>,
}

impl Sweep {
    fn new(what: What, tables: Range<u8>) -> Self {
        let (cursor, chosen) = (Cursor::default(), Queue::new());
        Self { what, tables, cursor, chosen, has_chosen: false, checked: None }
    }

    /// The sweep that looks for an overlap before it adds.
    pub(crate) fn of_addition(addend: Addend) -> Self {
        let match_ = addend.match_.expand();
        Self::new(What::Add(Box::new((addend, match_))), 0..0)
    }
}

impl Bridge {
    /// The sweep that a loose modify or delete is.
    pub(crate) fn sweep_of(&self, flow_mod: &FlowMod, version: Version) -> Sweep {
        let flow_mod = Box::new(flow_mod.clone());
        let tables = self.state.tables.named(flow_mod.table_id);
        let what = match flow_mod.command.is_delete() {
            true => What::Delete(flow_mod),
            false => What::Modify(flow_mod, version),
        };
        Sweep::new(what, tables)
    }

    /// The sweep that takes the rules out which use a group.
    pub(crate) fn sweep_of_group(&self, id: u32) -> Sweep {
        Sweep::new(What::GroupGoes(id), self.state.tables.named(TABLE_ALL))
    }

    /// The sweep that takes the rules out which use a meter.
    pub(crate) fn sweep_of_meter(&self, id: u32) -> Sweep {
        Sweep::new(What::MeterGoes(id), self.state.tables.named(TABLE_ALL))
    }

    /// The sweep that takes out what nobody teaches any more.
    pub(crate) fn sweep_of_orphans(&self, table_id: u8, cookie: u64) -> Sweep {
        Sweep::new(What::Orphaned(cookie), self.state.tables.named(table_id))
    }

    /// The sweep that brings a table to its limit.
    pub(crate) fn sweep_of_eviction(table_id: u8) -> Sweep {
        Sweep::new(What::Evict(table_id), 0..0)
    }

    /// The sweep that makes the bridge as it began.
    pub(crate) fn sweep_of_all(&self) -> Sweep {
        Sweep::new(What::Empty, self.state.tables.named(TABLE_ALL))
    }

    /// Evicts until a table has no more rules than it may, or none can go. Returns whether it is done.
    fn evict_beyond_limit(
        &mut self,
        change: &mut Change,
        table_id: u8,
        budget: &mut usize,
    ) -> bool {
        let is_over = |bridge: &Self| {
            let table = bridge.state.tables.get(table_id);
            table.is_some_and(|table| table.n_rules() > table.max_rules)
        };
        while is_over(self) {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            if self.make_room(change, table_id).is_err() {
                return true;
            }
        }
        true
    }

    /// Goes on with a sweep for up to `budget` steps. Returns whether it is done.
    ///
    /// # Errors
    /// The reason to refuse the request; the change is to be taken back then.
    pub(crate) fn go_on_sweeping(
        &mut self,
        sweep: &mut Sweep,
        change: &mut Change,
        budget: &mut usize,
        now: Nanos,
    ) -> Result<bool, OfErrorKind> {
        if let What::Evict(table_id) = sweep.what {
            return Ok(self.evict_beyond_limit(change, table_id, budget));
        }
        if let What::Add(added) = &sweep.what {
            let (addend, match_) = &**added;
            let cursor = &mut sweep.cursor;
            if !self.has_rule_of(addend)
                && !self.is_without_overlap(cursor, &addend.addition, match_, change, budget)?
            {
                return Ok(false);
            }
            // From here on there is nothing to be looked for.
            if let What::Add(added) = core::mem::replace(&mut sweep.what, What::Evict(0)) {
                let Addend { addition, match_, instructions } = added.0;
                self.place_rule(change, addition, match_, instructions, now)?;
            }
            *budget = budget.saturating_sub(1);
            return Ok(true);
        }
        while !self.choose(sweep, change, budget) {
            if *budget == 0 || matches!(sweep.what, What::Modify(..)) {
                return Ok(false);
            }
            self.change_chosen(sweep, change, budget, now)?;
        }
        if !sweep.has_chosen
            && let What::Modify(flow_mod, version) = &sweep.what
            // Before OpenFlow 1.2 a modify that finds nothing adds (1.0.1 §4.6); the decoder gives
            // those a cookie.
            && flow_mod.new_cookie.is_some()
            && flow_mod.cookie_mask == 0
        {
            *budget = budget.saturating_sub(1);
            let Some(addition) = self.add(change, flow_mod, *version, now)? else {
                return Ok(true);
            };
            *sweep = *addition;
            return Ok(false);
        }
        self.change_chosen(sweep, change, budget, now)?;
        if !sweep.chosen.is_empty() {
            return Ok(false);
        }
        if matches!(sweep.what, What::Empty) {
            self.stage_default_rule(change, now);
        }
        Ok(true)
    }

    /// Goes on to look for rules that overlap one that is to be added; whether there is none.
    fn is_without_overlap(
        &self,
        cursor: &mut Cursor,
        addition: &Addition,
        match_: &Match,
        change: &Change,
        budget: &mut usize,
    ) -> Result<bool, OfErrorKind> {
        let Some(table) = self.state.tables.get(addition.table_id) else { return Ok(true) };
        let priority = Priority::from(addition.priority);
        let most = budget.saturating_mul(PLACES_A_STEP);
        let mut left = most;
        let found = table.rules.overlap_on(cursor, match_, priority, change.version(), &mut left);
        *budget = budget.saturating_sub((most - left).div_ceil(PLACES_A_STEP));
        match found {
            Overlap::Found => Err(OfErrorKind::FlowModOverlap),
            Overlap::Absent => Ok(true),
            Overlap::Unknown => Ok(false),
        }
    }

    /// Changes the rules that were found, as far as the budget goes.
    fn change_chosen(
        &mut self,
        sweep: &mut Sweep,
        change: &mut Change,
        budget: &mut usize,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        let reason = match &sweep.what {
            What::Modify(flow_mod, version) => {
                while *budget > 0 {
                    let Some((table_id, place)) = sweep.chosen.pop_front() else { break };
                    *budget -= 1;
                    if sweep.checked.replace(table_id) != Some(table_id) {
                        let known = Known::after(change, &self.state);
                        let FlowMod { match_, instructions, .. } = &**flow_mod;
                        let words = PackedMatch::of(match_);
                        check_instructions(words.words(), instructions, table_id, *version, known)?;
                    }
                    let table = self.state.tables.get(table_id);
                    let old = table.and_then(|table| table.rules.entry_at(place));
                    if let Some(old) = old.map(|entry| Arc::clone(entry.rule())) {
                        self.put_modified(change, &old, flow_mod, *version, now)?;
                    }
                }
                return Ok(());
            }
            What::Delete(_) | What::Orphaned(_) | What::Empty => FlowRemovedReason::Delete,
            What::Evict(_) | What::Add(_) => FlowRemovedReason::Eviction,
            What::GroupGoes(_) => FlowRemovedReason::GroupDelete,
            What::MeterGoes(_) => FlowRemovedReason::MeterDelete,
        };
        let mut state = self.state.write();
        while *budget > 0 {
            let Some((table_id, place)) = sweep.chosen.pop_front() else { break };
            *budget -= 1;
            if let Some(table) = state.tables.get_mut(table_id) {
                change.take_out_of(table, table_id, place, reason);
            }
        }
        Ok(())
    }

    /// Goes on to look for the rules that are meant; whether all are found. Where they go at once, it stops when
    /// there are some.
    fn choose(&self, sweep: &mut Sweep, change: &Change, budget: &mut usize) -> bool {
        let Sweep { what, tables, cursor, chosen, has_chosen, .. } = sweep;
        let goes_at_once = !matches!(what, What::Modify(..));
        while tables.start < tables.end {
            if *budget == 0 || goes_at_once && chosen.len() >= FOUND_AT_ONCE {
                return false;
            }
            let table_id = tables.start;
            let most = budget.saturating_mul(PLACES_A_STEP).min(PLACES_AT_ONCE);
            let mut left = most;
            let goes_on = self.state.tables.get(table_id).is_some_and(|table| {
                let (rules, version) = (&table.rules, change.version());
                rules.walk(cursor, what.criteria(), version, &mut left, |place, entry| {
                    if what.means(entry.rule()) {
                        chosen.push_back((table_id, place));
                        *has_chosen = true;
                    }
                })
            });
            *budget = budget.saturating_sub((most - left).div_ceil(PLACES_A_STEP));
            if !goes_on {
                tables.start += 1;
                *cursor = Cursor::default();
            }
        }
        true
    }

    /// Puts what a modify makes of a rule in its place.
    pub(crate) fn put_modified(
        &mut self,
        change: &mut Change,
        old: &Rule,
        flow_mod: &FlowMod,
        version: Version,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        // A modify of 1.1 has a cookie for what it may add; what it finds keeps its own (1.1 §4.6).
        let gives_cookie = version != Version::V11;
        let keeps_counts = !flow_mod.flags.contains(FlowModFlags::RESET_COUNTS);
        let rule = Rule {
            table_id: old.table_id,
            priority: old.priority,
            match_: old.match_.clone(),
            cookie: flow_mod.new_cookie.filter(|_| gives_cookie).unwrap_or(old.cookie),
            importance: old.importance,
            flags: old.flags,
            instructions: self.instructions.keep(&flow_mod.instructions),
            created: old.created,
            seq: old.seq,
            timeouts: RuleTimeouts::new(old.idle_timeout(), old.hard_timeout(), now),
            stats: match keeps_counts {
                true => old.stats.clone(),
                false => self.tallies.begin(now),
            },
        };
        self.put(change, rule, Use::Keep)
    }
}
