//! The OpenFlow state of a bridge at one instant, to be kept somewhere else.
//!
//! # What
//! A [`Capture`] is what controllers made of a bridge: the map of tunnel options, meters, groups, the
//! configuration of tables and the rules. It comes out as [`Piece`]s, each of which is a request of
//! OpenFlow that would make it, in an order in which each finds what it names. Statistics are not part of
//! it, nor are the switch's own rules, ports and what was learned from packets.
//!
//! # At one instant, in slices
//! Groups and rules are immutable: who holds an `Arc` of each has the state of one version, and may
//! turn it into pieces as slowly as he likes. Only gathering the `Arc`s must not be disturbed.
//! [`Bridge::capture`] does a bounded part of that in a call and begins anew when the bridge was changed
//! in between ([`Edits`]); after [`MAX_RESTARTS`] it does all that is left in one go, so that a controller
//! without rest does not keep it from ever ending.
//!
//! # Cost
//! Eight bytes for each rule and group while it lasts, and their memory if they go meanwhile. A piece
//! costs what a line of a statistics reply does.

use crate::bridge::{Bridge, Fragments};
use crate::group::Group;
use crate::rule::Rule;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use classifier::Cursor;
use flow::Match;
use gradual::Queue;
use openflow::{
    FlowMod, FlowModCommand, GroupMod, MeterMod, MeterModCommand, TableMod, TlvTableCommand,
    TlvTableMod, Version,
};
use sync::time::Nanos;

/// Times that gathering begins anew before it is done in one go.
const MAX_RESTARTS: u32 = 8;

/// Says whether the OpenFlow state of a bridge is the same as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edits {
    version: classifier::Version,
    objects: (u64, u64),
    n_others: u64,
}

/// A part of the OpenFlow state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// How fragments are handled.
    Fragments(Fragments),
    /// Which options of tunnels are which fields.
    Tlvs(TlvTableMod),
    /// A meter.
    Meter(MeterMod),
    /// A group.
    Group(GroupMod),
    /// The configuration of a table, as a version has it.
    Table(TableMod, Version),
    /// A rule.
    Rule(RulePiece),
}

/// A rule, and how long it has been there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePiece {
    /// The request that adds it.
    pub flow_mod: Box<FlowMod>,
    /// Since it was added.
    pub age: Nanos,
    /// Since its hard timeout counts.
    pub unmodified: Nanos,
}

/// How far gathering is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathering {
    /// Groups from this number on.
    Groups(u32),
    Rules(u8, Cursor),
    Done,
}

/// The OpenFlow state of a bridge at one instant; see the module.
#[derive(Debug)]
pub struct Capture {
    edits: Edits,
    taken: Nanos,
    gathering: Gathering,
    n_restarts: u32,
    /// What there are few of.
    first: VecDeque<Piece>,
    groups: Vec<Arc<Group>>,
    tables: VecDeque<Piece>,
    rules: Queue<Arc<Rule>>,
    /// Groups that were given.
    n_given: usize,
}

impl Capture {
    /// The state of which it is.
    #[must_use]
    pub fn edits(&self) -> Edits {
        self.edits
    }

    /// The next piece, once all is gathered.
    pub fn next_piece(&mut self) -> Option<Piece> {
        if self.gathering != Gathering::Done {
            return None;
        }
        if let Some(piece) = self.first.pop_front() {
            return Some(piece);
        }
        if let Some(group) = self.groups.get(self.n_given) {
            self.n_given += 1;
            return Some(group_piece(group));
        }
        if let Some(piece) = self.tables.pop_front() {
            return Some(piece);
        }
        Some(rule_piece(&*self.rules.pop_front()?, self.taken))
    }
}

impl Bridge {
    /// Tells whether a capture would be another than one before.
    #[must_use]
    pub fn edits(&self) -> Edits {
        Edits {
            version: self.state.tables.version,
            objects: self.changes.of_objects(),
            n_others: self.n_edits,
        }
    }

    /// Begins to gather the OpenFlow state.
    #[must_use]
    pub fn begin_capture(&self, now: Nanos) -> Capture {
        let mut first = VecDeque::new();
        let fragments = self.state.options.fragments;
        if fragments != Fragments::default() {
            first.push_back(Piece::Fragments(fragments));
        }
        let mappings = self.tlv_table().mappings;
        if !mappings.is_empty() {
            let command = TlvTableCommand::Add;
            first.push_back(Piece::Tlvs(TlvTableMod { command, mappings }));
        }
        let meters = self.state.meters.iter().map(|(_, meter)| meter.config.clone());
        first.extend(
            meters.map(|config| Piece::Meter(MeterMod { command: MeterModCommand::Add, config })),
        );
        let ids = 0..self.state.tables.n_tables();
        let tables = ids.flat_map(|id| self.table_mods(id));
        Capture {
            edits: self.edits(),
            taken: now,
            gathering: Gathering::Groups(0),
            n_restarts: 0,
            first,
            groups: Vec::new(),
            tables: tables.map(|(table_mod, version)| Piece::Table(table_mod, version)).collect(),
            rules: Queue::new(),
            n_given: 0,
        }
    }

    /// Goes on gathering, looking at some `budget` rules and groups. Returns whether all is there.
    pub fn capture(&self, capture: &mut Capture, mut budget: usize, now: Nanos) -> bool {
        if capture.gathering == Gathering::Done {
            return true;
        }
        if capture.edits != self.edits() {
            let n_restarts = capture.n_restarts + 1;
            *capture = Capture { n_restarts, ..self.begin_capture(now) };
        }
        if capture.n_restarts > MAX_RESTARTS {
            budget = usize::MAX;
        }
        while let Gathering::Groups(next) = capture.gathering {
            let before = capture.groups.len();
            capture.groups.extend(self.state.groups.from(next).take(budget).cloned());
            budget -= capture.groups.len() - before;
            let last = capture.groups.last().map(|group| group.id);
            capture.gathering = match last.and_then(|id| id.checked_add(1)) {
                Some(next) if budget == 0 => Gathering::Groups(next),
                _ => Gathering::Rules(0, Cursor::default()),
            };
            if budget == 0 {
                return false;
            }
        }
        while let Gathering::Rules(id, mut place) = capture.gathering {
            let Some(table) = self.state.tables.get(id) else {
                capture.gathering = Gathering::Done;
                break;
            };
            let version = self.state.tables.version;
            let rules = &mut capture.rules;
            let found = |_, entry: classifier::Entry<'_, Rule>| {
                if !entry.rule().is_hidden() {
                    rules.push_back(Arc::clone(entry.rule()));
                }
            };
            let all = &Match::CATCHALL;
            if table.rules.walk(&mut place, all, version, &mut budget, found) {
                capture.gathering = Gathering::Rules(id, place);
                return false;
            }
            capture.gathering = match id.checked_add(1) {
                Some(next) => Gathering::Rules(next, Cursor::default()),
                None => Gathering::Done,
            };
        }
        true
    }
}

fn group_piece(group: &Group) -> Piece {
    let desc = group.desc();
    Piece::Group(GroupMod {
        group_type: desc.group_type,
        group_id: desc.group_id,
        buckets: desc.buckets,
        selection: desc.selection,
        ..GroupMod::default()
    })
}

fn rule_piece(rule: &Rule, taken: Nanos) -> Piece {
    let stats = rule.flow_stats(taken);
    let flow_mod = FlowMod {
        command: FlowModCommand::Add,
        new_cookie: Some(stats.cookie),
        table_id: stats.table_id,
        idle_timeout: stats.idle_timeout,
        hard_timeout: stats.hard_timeout,
        priority: stats.priority,
        flags: stats.flags,
        importance: stats.importance,
        match_: stats.match_,
        instructions: stats.instructions,
        ..FlowMod::default()
    };
    Piece::Rule(RulePiece {
        flow_mod: flow_mod.into(),
        age: taken.saturating_sub(rule.created),
        unmodified: taken.saturating_sub(rule.modified()),
    })
}
