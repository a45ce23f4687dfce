//! Flow-mods: adding, modifying and deleting rules (OpenFlow 1.0.1 §4.6, 1.3.5 §6.4 and §7.3.4.1).
//!
//! # All or nothing
//! A flow-mod is one change of the tables ([`crate::change`]): visible at one instant, or taken back
//! where it turns out half-way that it cannot be.
//!
//! # Counts
//! A modify keeps the counts unless the flow-mod resets them: the new rule shares the old one's
//! [`RuleStats`](crate::RuleStats). An add that replaces the same rule does likewise in OpenFlow 1.3 and starts from
//! zero in 1.0, where the decoder sets the reset flag. The replaced rule is not reported as
//! removed.

use crate::bridge::Bridge;
use crate::change::{Change, Use};
use crate::check::{Known, check_instructions};
use crate::rule::{Rule, RuleTimeouts, compact};
use crate::sweep::Sweep;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use classifier::Priority;
use flow::CompactMatch;
use openflow::{
    FlowMod, FlowModCommand, FlowModFlags, FlowRemovedReason, GROUP_ANY, Instructions, OfErrorKind,
    OfPort, PatternRule, TABLE_ALL,
};
use sync::time::Nanos;

/// What a flow-mod that adds a rule says besides match and instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addition {
    pub(crate) table_id: u8,
    pub(crate) priority: u16,
    pub(crate) cookie: u64,
    pub(crate) importance: u16,
    pub(crate) flags: FlowModFlags,
    pub(crate) idle_timeout: u16,
    pub(crate) hard_timeout: u16,
}

/// A rule to be added.
#[derive(Debug)]
pub(crate) struct Addend {
    pub(crate) addition: Addition,
    pub(crate) match_: CompactMatch,
    pub(crate) instructions: Arc<Instructions>,
}

impl Addition {
    pub(crate) fn of(flow_mod: &FlowMod) -> Self {
        Self {
            table_id: flow_mod.table_id,
            priority: flow_mod.priority,
            cookie: flow_mod.new_cookie.unwrap_or(0),
            importance: flow_mod.importance,
            flags: flow_mod.flags,
            idle_timeout: flow_mod.idle_timeout,
            hard_timeout: flow_mod.hard_timeout,
        }
    }

    pub(crate) fn read(rule: &PatternRule<'_>) -> Self {
        Self {
            table_id: rule.table_id,
            priority: rule.priority,
            cookie: rule.cookie,
            importance: rule.importance,
            flags: rule.flags,
            idle_timeout: rule.idle_timeout,
            hard_timeout: rule.hard_timeout,
        }
    }
}

impl Bridge {
    /// Executes a flow-mod of a peer that speaks `version`.
    ///
    /// # Errors
    /// The reason to refuse it; nothing has changed then.
    pub fn flow_mod(
        &mut self,
        flow_mod: &FlowMod,
        version: openflow::Version,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        self.finish_bundles(now);
        let mut change = self.begin_change();
        let result = self.stage_flow_mod(&mut change, flow_mod, version, now);
        let result = self.sweep_at_once(&mut change, result, now);
        let result = self.end_change(change, result, now);
        self.forget_orphans(now);
        result
    }

    /// Executes the flow-mod in a whole message of a peer that speaks `version`, if it adds a rule that looks
    /// like one of the last ([`Self::remember`]): then it need not be decoded, and the result is that of
    /// [`Self::flow_mod`].
    pub fn add_alike(
        &mut self,
        message: &[u8],
        version: openflow::Version,
        now: Nanos,
    ) -> Option<Result<(), OfErrorKind>> {
        let mut patterns = self.patterns.take()?;
        let read = patterns.read(message, version);
        // What has to be looked for first may take long: the caller asks how long.
        let read = read.filter(|rule| !rule.flags.contains(FlowModFlags::CHECK_OVERLAP));
        let result = read.map(|rule| {
            self.finish_bundles(now);
            let mut change = self.begin_change();
            let staged = self.add_read(&mut change, &rule, version, now);
            let result = self.sweep_at_once(&mut change, staged, now);
            let result = self.end_change(change, result, now);
            self.forget_orphans(now);
            result
        });
        self.patterns = Some(patterns);
        result
    }

    fn add_read(
        &mut self,
        change: &mut Change,
        rule: &PatternRule<'_>,
        version: openflow::Version,
        now: Nanos,
    ) -> Result<Option<Box<Sweep>>, OfErrorKind> {
        let PatternRule { table_id, mask, values, instructions, .. } = *rule;
        self.check_table(table_id, version)?;
        let (match_, instructions) = (CompactMatch::new(mask, values), Arc::clone(instructions));
        self.add_rule(change, Addition::read(rule), match_, instructions, version, now)
    }

    /// Keeps in mind how a message looks that was decoded to a flow-mod, so that others like it are
    /// carried out faster.
    pub fn remember(&mut self, message: &[u8], flow_mod: &FlowMod, version: openflow::Version) {
        let patterns = self.patterns.get_or_insert_default();
        if patterns.wants(message, flow_mod, version)
            && let Some(mask) = compact(&flow_mod.match_, &mut self.masks).mask()
        {
            let instructions = self.instructions.keep(&flow_mod.instructions);
            patterns.learn(message, flow_mod, mask, &instructions);
        }
    }

    /// Executes a flow-mod as part of a change. One that concerns every rule of a kind comes to a
    /// sweep that is to be made.
    ///
    /// # Errors
    /// The reason to refuse it; the change is to be taken back then.
    pub(crate) fn stage_flow_mod(
        &mut self,
        change: &mut Change,
        flow_mod: &FlowMod,
        version: openflow::Version,
        now: Nanos,
    ) -> Result<Option<Box<Sweep>>, OfErrorKind> {
        if flow_mod.buffer_id.is_some() {
            // No frames are kept, so no number names one (FeaturesReply says n_buffers = 0).
            return Err(OfErrorKind::RequestBufferUnknown);
        }
        self.check_table(flow_mod.table_id, version)?;
        match flow_mod.command {
            FlowModCommand::Add => self.add(change, flow_mod, version, now),
            FlowModCommand::ModifyStrict => self.modify_strict(change, flow_mod, version, now),
            FlowModCommand::DeleteStrict => {
                self.delete_strict(change, flow_mod);
                Ok(None)
            }
            FlowModCommand::Modify | FlowModCommand::Delete => {
                Ok(Some(Box::new(self.sweep_of(flow_mod, version))))
            }
        }
    }

    /// Whether a flow-mod that is carried out in one go may look at more than `n` places of rules.
    #[must_use]
    pub fn is_long(&self, flow_mod: &FlowMod, n: usize) -> bool {
        let tables = &self.state.tables;
        if flow_mod.command.is_strict() || flow_mod.command == FlowModCommand::Add {
            let table_id = if flow_mod.table_id == TABLE_ALL { 0 } else { flow_mod.table_id };
            return flow_mod.flags.contains(FlowModFlags::CHECK_OVERLAP)
                && tables.get(table_id).is_some_and(|table| {
                    let priority = Priority::from(flow_mod.priority);
                    table.rules.is_long_to_overlap(&flow_mod.match_, priority, n)
                });
        }
        tables.n_rules() > n
    }

    /// Whether a flow-mod may name this table.
    pub(crate) fn check_table(
        &self,
        table_id: u8,
        version: openflow::Version,
    ) -> Result<(), OfErrorKind> {
        if table_id < self.state.tables.n_tables() || table_id == TABLE_ALL {
            return Ok(());
        }
        Err(match version {
            openflow::Version::V10 => OfErrorKind::RequestBadTableId,
            _ => OfErrorKind::FlowModBadTableId,
        })
    }

    /// Makes the sweep that a request came to, without a pause.
    pub(crate) fn sweep_at_once(
        &mut self,
        change: &mut Change,
        staged: Result<Option<Box<Sweep>>, OfErrorKind>,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        if let Some(mut sweep) = staged? {
            while !self.go_on_sweeping(&mut sweep, change, &mut usize::MAX.clone(), now)? {}
        }
        Ok(())
    }

    pub(crate) fn add(
        &mut self,
        change: &mut Change,
        flow_mod: &FlowMod,
        version: openflow::Version,
        now: Nanos,
    ) -> Result<Option<Box<Sweep>>, OfErrorKind> {
        let match_ = compact(&flow_mod.match_, &mut self.masks);
        let instructions = self.instructions.keep(&flow_mod.instructions);
        self.add_rule(change, Addition::of(flow_mod), match_, instructions, version, now)
    }

    /// Adds a rule. One that asks to be refused where it overlaps another comes to a sweep that looks for
    /// that one.
    pub(crate) fn add_rule(
        &mut self,
        change: &mut Change,
        addition: Addition,
        match_: CompactMatch,
        instructions: Arc<Instructions>,
        version: openflow::Version,
        now: Nanos,
    ) -> Result<Option<Box<Sweep>>, OfErrorKind> {
        let table_id = if addition.table_id == TABLE_ALL { 0 } else { addition.table_id };
        let known = Known::after(change, &self.state);
        check_instructions(match_.words(), &instructions, table_id, version, known)?;
        let addition = Addition { table_id, ..addition };
        if addition.flags.contains(FlowModFlags::CHECK_OVERLAP) {
            let addend = Addend { addition, match_, instructions };
            return Ok(Some(Box::new(Sweep::of_addition(addend))));
        }
        self.place_rule(change, addition, match_, instructions, now)?;
        Ok(None)
    }

    /// Whether there is the very rule that is to be added, of this match and priority.
    pub(crate) fn has_rule_of(&self, addend: &Addend) -> bool {
        let Addition { table_id, priority, .. } = addend.addition;
        let table = self.state.tables.get(table_id);
        let spot =
            table.map(|table| table.rules.spot_of(addend.match_.words(), Priority::from(priority)));
        spot.is_some_and(|spot| spot.place().is_some())
    }

    /// Puts a rule in its table that was found right.
    #[inline]
    pub(crate) fn place_rule(
        &mut self,
        change: &mut Change,
        addition: Addition,
        match_: CompactMatch,
        instructions: Arc<Instructions>,
        now: Nanos,
    ) -> Result<(), OfErrorKind> {
        let table_id = addition.table_id;
        let tables = &self.state.tables;
        let table = tables.get(table_id).ok_or(OfErrorKind::FlowModBadTableId)?;
        let priority = Priority::from(addition.priority);
        let spot = table.rules.spot_of(match_.words(), priority);
        let old =
            spot.place().and_then(|place| table.rules.entry_at(place)).map(|entry| entry.rule());
        let keeps_counts = !addition.flags.contains(FlowModFlags::RESET_COUNTS);
        let stats = old.filter(|_| keeps_counts).map(|old| old.stats.clone());
        if spot.place().is_none() && table.n_rules() >= table.max_rules {
            self.make_room(change, table_id)?;
        }
        let rule = Rule {
            table_id,
            priority,
            match_,
            cookie: addition.cookie,
            importance: addition.importance,
            flags: kept_flags(addition.flags),
            instructions,
            created: now,
            seq: self.next_seq(),
            timeouts: RuleTimeouts::new(addition.idle_timeout, addition.hard_timeout, now),
            stats: stats.unwrap_or_else(|| self.tallies.begin(now)),
        };
        self.put_at(change, spot, rule, Use::Touch)
    }

    fn modify_strict(
        &mut self,
        change: &mut Change,
        flow_mod: &FlowMod,
        version: openflow::Version,
        now: Nanos,
    ) -> Result<Option<Box<Sweep>>, OfErrorKind> {
        // The port and group filters are for deletes only (1.3.5 §6.4).
        let named = self.named(change, flow_mod, OfPort::ANY, GROUP_ANY);
        if named.is_empty() {
            // Before OpenFlow 1.2 a modify that finds nothing adds (1.0.1 §4.6); the decoder gives
            // those a cookie.
            let may_add = flow_mod.new_cookie.is_some() && flow_mod.cookie_mask == 0;
            return if may_add { self.add(change, flow_mod, version, now) } else { Ok(None) };
        }
        for old in named {
            let known = Known::after(change, &self.state);
            let instructions = &flow_mod.instructions;
            check_instructions(old.match_.words(), instructions, old.table_id, version, known)?;
            self.put_modified(change, &old, flow_mod, version, now)?;
        }
        Ok(None)
    }

    fn delete_strict(&mut self, change: &mut Change, flow_mod: &FlowMod) {
        for rule in self.named(change, flow_mod, flow_mod.out_port, flow_mod.out_group) {
            self.take_out(change, &rule, FlowRemovedReason::Delete);
        }
    }

    /// The rules of this very match and priority that a strict modify or delete means: one in a table.
    fn named(
        &self,
        change: &Change,
        flow_mod: &FlowMod,
        out_port: OfPort,
        out_group: u32,
    ) -> Vec<Arc<Rule>> {
        let tables = &self.state.tables;
        let priority = Priority::from(flow_mod.priority);
        let find = |id: u8| {
            let rules = &tables.get(id)?.rules;
            rules.find_exact(&flow_mod.match_, priority, change.version())
        };
        let found = tables.named(flow_mod.table_id).filter_map(find).map(|entry| entry.rule());
        let is_meant = |rule: &&Arc<Rule>| {
            !rule.is_hidden()
                && (rule.cookie ^ flow_mod.cookie) & flow_mod.cookie_mask == 0
                && rule.leads_to(out_port, out_group)
        };
        found.filter(is_meant).cloned().collect()
    }
}

/// The flags that stay with a rule, which its statistics show (1.3.5 §7.3.5.2): those of its
/// flow-mod, but for the order to send it as emergency entry that 1.0 had.
pub(crate) fn kept_flags(flags: FlowModFlags) -> FlowModFlags {
    flags
        & (FlowModFlags::SEND_FLOW_REM
            | FlowModFlags::CHECK_OVERLAP
            | FlowModFlags::RESET_COUNTS
            | FlowModFlags::NO_PKT_COUNTS
            | FlowModFlags::NO_BYT_COUNTS)
}
