//! Learned rules: what the action `learn` makes of packets.
//!
//! # Pure translation, later effects
//! A translation only says which rule the packet would make ([`Learned`], a credit like any other). It
//! may run on a polling core, or again and again for one cached flow. The rule is made when packets
//! are credited: at once for a packet that was handled, and later, with the time of the last packet,
//! for those of a cached flow. So a learned rule lives as long as the traffic that teaches it.
//!
//! # What learning does
//! It is a strict modify that adds if there is nothing (Open vSwitch's `learn`). If the rule is there
//! as it should be, only the time from which its hard timeout counts moves on: no change of the tables.
//! Lookups of the translation that learns do not see what it learns.
//!
//! # Limits
//! With a limit, the table may have so many rules with the cookie. Translation reads the number that
//! is kept for such pairs of table and cookie, and writes the answer into `result_dst`; what is learned
//! asks again. A conclusion that read it depends on more than it can name and is judged again in every
//! round.
//!
//! # Who forgets
//! `delete_learned`: when the last rule with such an action for a table and cookie goes, the rules with
//! that cookie in that table go with it. And a rule that is gone teaches nothing any more, although
//! packets of its cached flows may be credited after it.
//!
//! # Bounded
//! What waits to be learned is at most [`MAX_WAITING`]; what finds no room is counted, and learned from
//! the next packet. While a bundle is on its way into the tables, learning waits.

use crate::bridge::Bridge;
use crate::cookies::UserOfCookie;
use crate::rule::Rule;
use crate::table::Tables;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use classifier::{Priority, Version};
use core::fmt;
use flow::{CompactMatch, Flow, Match};
use openflow::{
    Action, FlowMod, FlowModCommand, FlowModFlags, Instructions, Learn, LearnSource, LearnTarget,
    OfPort, Subfield,
};
use sync::time::Nanos;

/// Rules that wait to be learned.
const MAX_WAITING: usize = 4096;

/// A rule that packets teach.
#[derive(Debug)]
pub struct Learned {
    table_id: u8,
    priority: u16,
    match_: CompactMatch,
    cookie: u64,
    idle_timeout: u16,
    hard_timeout: u16,
    flags: FlowModFlags,
    instructions: Instructions,
    /// How many rules with its cookie its table may have; 0 is any number.
    limit: u32,
    /// The rule that teaches it; a packet-out has none.
    by: Option<Arc<Rule>>,
}

impl Learned {
    /// What `learn` makes of a packet with `flow`.
    pub(crate) fn from(learn: &Learn, flow: &Flow, by: Option<Arc<Rule>>) -> Self {
        let mut match_ = Match::CATCHALL;
        let mut actions = Vec::new();
        if learn.fin_idle_timeout != 0 || learn.fin_hard_timeout != 0 {
            actions.push(Action::FinTimeout {
                idle_timeout: learn.fin_idle_timeout,
                hard_timeout: learn.fin_hard_timeout,
            });
        }
        for spec in &learn.specs {
            let value = match spec.src {
                LearnSource::Field(src) => src.get(flow.get(src.field)),
                LearnSource::Immediate(value) => value,
            };
            match spec.dst {
                LearnTarget::Match(dst) => {
                    let (old, old_mask) = match_.get(dst.field);
                    let value = match (dst.put(old, value), u16::try_from(value)) {
                        (_, Ok(port)) if dst == Subfield::SHORT_IN_PORT => {
                            OfPort::from_u16(port).0.into()
                        }
                        (value, _) => value,
                    };
                    match_.set(dst.field, value, old_mask | dst.mask());
                }
                LearnTarget::Load(dst) => {
                    let mask = dst.mask();
                    actions.push(Action::SetField {
                        field: dst.field,
                        value: (value << dst.offset) & mask,
                        mask,
                    });
                }
                LearnTarget::Output => {
                    let port = u16::try_from(value).ok().map(OfPort::from_u16);
                    let may_be = |port: &OfPort| {
                        port.is_physical()
                            || matches!(
                                *port,
                                OfPort::IN_PORT | OfPort::FLOOD | OfPort::LOCAL | OfPort::ALL
                            )
                    };
                    actions.extend(port.filter(may_be).map(Action::output));
                }
            }
        }
        let mut flags = FlowModFlags::empty();
        flags.set(FlowModFlags::SEND_FLOW_REM, learn.send_flow_rem);
        Self {
            table_id: learn.table_id,
            priority: learn.priority,
            match_: CompactMatch::of(&match_),
            cookie: learn.cookie,
            idle_timeout: learn.idle_timeout,
            hard_timeout: learn.hard_timeout,
            flags,
            instructions: Instructions::apply(actions),
            limit: learn.limit,
            by,
        }
    }

    fn flow_mod(&self) -> FlowMod {
        FlowMod {
            command: FlowModCommand::ModifyStrict,
            new_cookie: Some(self.cookie),
            table_id: self.table_id,
            idle_timeout: self.idle_timeout,
            hard_timeout: self.hard_timeout,
            priority: self.priority,
            flags: self.flags,
            match_: self.match_.expand(),
            instructions: self.instructions.clone(),
            ..FlowMod::default()
        }
    }

    /// The rule in place of which it would be.
    fn existing<'a>(&self, tables: &'a Tables) -> Option<&'a Arc<Rule>> {
        let table = tables.get(self.table_id)?;
        let priority = Priority::from(self.priority);
        let found = table.rules.find_words(self.match_.words(), priority, tables.version());
        found.map(|entry| entry.rule())
    }

    /// Whether a rule is what it would make.
    fn is(&self, rule: &Rule) -> bool {
        *rule.instructions == self.instructions && rule.cookie == self.cookie
    }

    /// Whether the limit lets it be there.
    pub(crate) fn fits(&self, tables: &Tables) -> bool {
        self.limit == 0
            || self.existing(tables).is_some()
            || tables
                .n_with_cookie(self.table_id, self.cookie)
                .is_some_and(|n| n < u64::from(self.limit))
    }
}

impl fmt::Display for Learned {
    /// As `ofproto/trace` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table_id, match_, priority, idle_timeout, hard_timeout, cookie, flags, .. } =
            self;
        write!(f, "table={table_id} ")?;
        if !match_.is_catchall() {
            write!(f, "{} ", match_.expand())?;
        }
        write!(f, "priority={priority}")?;
        if *cookie != 0 {
            write!(f, " cookie={cookie:#x}")?;
        }
        if *idle_timeout != 0 {
            write!(f, " idle={idle_timeout}")?;
        }
        if *hard_timeout != 0 {
            write!(f, " hard={hard_timeout}")?;
        }
        if flags.contains(FlowModFlags::SEND_FLOW_REM) {
            f.write_str(" send_flow_rem")?;
        }
        write!(f, " actions={}", self.instructions)
    }
}

/// What packets asked to be done to the tables.
#[derive(Debug)]
enum Lesson {
    Learn {
        learned: Arc<Learned>,
        used: Nanos,
    },
    /// A TCP connection ended.
    Fin {
        rule: Arc<Rule>,
        idle_timeout: u16,
        hard_timeout: u16,
    },
}

/// Lessons that wait for somebody who may change the tables.
#[derive(Debug, Default)]
pub(crate) struct Lessons {
    waiting: VecDeque<Lesson>,
    /// Those that found no room.
    n_lost: u64,
}

impl Lessons {
    /// Packets, the last at `used`, teach a rule. Where it is there already, nothing is left to do.
    pub(crate) fn learn(&mut self, learned: &Arc<Learned>, tables: &Tables, used: Nanos) {
        if let Some(rule) = learned.existing(tables)
            && learned.is(rule)
        {
            rule.refresh(used);
            return;
        }
        self.push(Lesson::Learn { learned: Arc::clone(learned), used });
    }

    /// Packets ended a TCP connection that `rule` matches.
    pub(crate) fn fin(&mut self, rule: &Arc<Rule>, idle_timeout: u16, hard_timeout: u16) {
        if rule.may_reduce(idle_timeout, hard_timeout) {
            self.push(Lesson::Fin { rule: Arc::clone(rule), idle_timeout, hard_timeout });
        }
    }

    fn push(&mut self, lesson: Lesson) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(lesson);
        } else {
            self.n_lost += 1;
        }
    }

    pub(crate) fn n_lost(&self) -> u64 {
        self.n_lost
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Bridge {
    /// Does what packets asked for, unless a bundle holds the tables.
    pub(crate) fn apply_lessons(&mut self, now: Nanos) {
        self.go_on_counting();
        while !self.bundles.holds_tables()
            && let Some(lesson) = self.lessons.waiting.pop_front()
        {
            match lesson {
                Lesson::Learn { learned, used } => self.learn(&learned, used, now),
                Lesson::Fin { rule, idle_timeout, hard_timeout } => {
                    self.timeouts.remove(&rule);
                    rule.reduce(idle_timeout, hard_timeout);
                    if self.is_in_table(&rule) {
                        self.timeouts.insert(&rule);
                    }
                }
            }
        }
        if !self.bundles.holds_tables() {
            self.forget_orphans(now);
        }
    }

    /// Deletes the rules that nobody teaches any more, of those that are to go then.
    pub(crate) fn forget_orphans(&mut self, now: Nanos) {
        while let Some((table_id, cookie)) = self.orphaned_cookies.pop() {
            let sweep = self.sweep_of_orphans(table_id, cookie);
            self.begin_sweep(sweep, now);
        }
    }

    fn is_in_table(&self, rule: &Arc<Rule>) -> bool {
        let tables = &self.state.tables;
        let found = tables.get(rule.table_id).and_then(|table| {
            table.rules.find_words(rule.match_.words(), rule.priority, tables.version())
        });
        found.is_some_and(|entry| Arc::ptr_eq(entry.rule(), rule))
    }

    fn learn(&mut self, learned: &Learned, used: Nanos, now: Nanos) {
        let tables = &self.state.tables;
        if let Some(rule) = learned.existing(tables) {
            if learned.is(rule) {
                rule.refresh(used);
                return;
            }
            // Something younger is there.
            if rule.modified() > used {
                return;
            }
        }
        let is_taught = learned.by.as_ref().is_none_or(|by| self.is_in_table(by));
        if !is_taught || !learned.fits(tables) {
            return;
        }
        // What cannot be, because the table is full or the actions make no sense there, is not learned.
        let version = openflow::Version::V10;
        let done = self.flow_mod(&learned.flow_mod(), version, now);
        self.stats.learned += u64::from(done.is_ok());
        if done.is_ok()
            && let Some(rule) = learned.existing(&self.state.tables).cloned()
        {
            rule.refresh(used);
        }
    }

    /// Counts users and members of cookies that learn actions name, once a rule is in its table or gone
    /// from it.
    pub(crate) fn note_cookies(
        &mut self,
        version: Version,
        new: Option<&Rule>,
        old: Option<&Rule>,
    ) {
        let is_idle = self.state.tables.has_no_cookies();
        let uses = |rule: &Rule| users_of_cookies(&rule.instructions).next().is_some();
        if is_idle && !new.is_some_and(uses) {
            return;
        }
        let mut wanted = Vec::new();
        let mut state = self.state.write();
        if let Some(rule) = new {
            state.tables.count_cookie(rule, 1, version);
            for user in users_of_cookies(&rule.instructions) {
                if state.tables.use_cookie(user) {
                    wanted.push((user.table_id, user.cookie));
                }
            }
        }
        if let Some(rule) = old {
            state.tables.count_cookie(rule, -1, version);
            for user in users_of_cookies(&rule.instructions) {
                if state.tables.disuse_cookie(user) {
                    self.orphaned_cookies.push((user.table_id, user.cookie));
                }
            }
        }
        drop(state);
        self.begin_counts(wanted);
    }
}

/// The cookies that a rule's learn actions limit or delete.
fn users_of_cookies(instructions: &Instructions) -> impl Iterator<Item = UserOfCookie> {
    instructions.apply.iter().filter_map(|action| match action {
        Action::Learn(learn) if learn.limit != 0 || learn.delete_learned => Some(UserOfCookie {
            table_id: learn.table_id,
            cookie: learn.cookie,
            limits: learn.limit != 0,
            deletes: learn.delete_learned,
        }),
        _ => None,
    })
}
