//! Lookups: which rule speaks, and what happens when none does.

use super::TranslateError;
use super::machine::{Machine, Speaker, Stale};
use super::report::NodeKind;
use super::step::{LookupKind, Origin, Run, Step};
use crate::bridge::Fragments;
use crate::events::MissKind;
use crate::rule::Rule;
use crate::table_mod::TableMiss;
use crate::ukey::Credit;
use alloc::string::ToString;
use alloc::sync::Arc;
use datapath::DropReason;
use flow::Field;
use flow::layout::PACKET_TYPE;
use flow::proto::FRAG_ANY;
use openflow::{ControllerAction, OfPort, PacketInReason, PortConfig};

/// Lookups that may be nested.
const MAX_DEPTH: u32 = 64;
/// Lookups in one translation.
const MAX_RESUBMITS: u32 = 4096;

impl<'a> Machine<'a> {
    /// A lookup in the course of the pipeline.
    pub(crate) fn pipeline(&self, table_id: u8) -> Step {
        let in_port = OfPort(self.flow.in_port());
        Step::Lookup { table_id, kind: LookupKind::Pipeline, in_port }
    }

    pub(crate) fn lookup(&mut self, table_id: u8, kind: LookupKind, in_port: OfPort) {
        if self.stale != Stale::No {
            self.steps.push(Step::Lookup { table_id, kind, in_port });
            self.freeze(None);
            return;
        }
        if let Some(error) = self.exhausted() {
            self.error = Some(error);
            return;
        }
        self.n_resubmits += 1;
        let state = self.input.state;
        let Some(table) = state.tables.get(table_id) else {
            self.miss(table_id, kind, in_port);
            return;
        };
        let is_fragment = self.flow.nw_frag() & FRAG_ANY != 0;
        let mut changed;
        let key = if is_fragment || in_port.0 != self.flow.in_port() {
            changed = *self.flow;
            changed.set_in_port(in_port.0);
            &mut changed
        } else {
            &mut *self.flow
        };
        if is_fragment {
            match state.options.fragments {
                Fragments::NxMatch => {}
                Fragments::Normal => {
                    key.set_tp_src(0);
                    key.set_tp_dst(0);
                }
                Fragments::Drop => {
                    self.drop.get_or_insert(DropReason::FragmentDropped);
                    self.report.say(
                        NodeKind::Table,
                        format_args!(
                            "{table_id:2}. Packets are IP fragments and the fragment handling mode is \"drop\"."
                        ),
                    );
                    return;
                }
            }
        }
        let version = state.tables.version();
        let found = table.rules.lookup_entry(version, key, Some(&mut *self.mask));
        // What a conjunctive match found, a rule of a lower priority than its own may displace.
        let is_conjoined = |rule: &Rule| {
            let mask = rule.match_.mask();
            // Few look at that word at all.
            mask.is_some_and(|mask| mask.map().contains(PACKET_TYPE))
                && rule.match_.examines(Field::ConjId)
        };
        let priority =
            found.filter(|entry| !is_conjoined(entry.rule())).map(|entry| entry.priority());
        self.deps.note_lookup(table_id, key, self.input.flow, priority);
        let found = found.map(|entry| entry.rule());
        self.credits.push(Credit::Table { id: table_id, matched: found.is_some() });
        match found {
            Some(rule) => self.enter(rule, table_id),
            None => self.miss(table_id, kind, in_port),
        }
    }

    pub(crate) fn exhausted(&self) -> Option<TranslateError> {
        if self.depth >= MAX_DEPTH {
            Some(TranslateError::TooDeep)
        } else if self.n_resubmits >= MAX_RESUBMITS {
            Some(TranslateError::TooManyResubmits)
        } else {
            None
        }
    }

    /// Begins the execution of a rule.
    fn enter(&mut self, rule: &'a Arc<Rule>, table_id: u8) {
        self.report_rule(rule, table_id);
        self.credits.push_rule(&rule.stats);
        self.deps.note_rule(rule.stats());
        self.steps.push(Step::Return { origin: self.origin, depth: self.depth });
        if table_id <= self.origin.table_id && self.n_resubmits > 1 {
            self.depth += 1;
        }
        self.origin = Origin {
            table_id,
            cookie: rule.cookie,
            is_table_miss: rule.is_table_miss(),
            is_action_set: false,
            is_bucket: false,
        };
        if rule.instructions.is_empty() {
            self.report.say(NodeKind::Action, format_args!("drop"));
            return;
        }
        if let Some(meter) = rule.instructions.meter {
            self.report.say(NodeKind::Action, format_args!("meter:{meter}"));
            self.meter(meter);
        }
        if rule.instructions.has_more() {
            self.steps.push(Step::Instructions(Arc::clone(rule)));
        }
        if !rule.instructions.apply.is_empty() && self.error.is_none() {
            self.rule = Speaker::Found(rule);
            self.run_list(Run::Rule(rule), 0);
        }
    }

    fn report_rule(&mut self, rule: &Rule, table_id: u8) {
        if !self.report.is_on() {
            return;
        }
        let match_ = rule.match_.expand().to_string();
        let comma = if match_.is_empty() { "" } else { ", " };
        let priority = rule.priority;
        if rule.cookie == 0 {
            self.report.open(
                NodeKind::Table,
                format_args!("{table_id:2}. {match_}{comma}priority {priority}"),
            );
        } else {
            let cookie = rule.cookie;
            self.report.open(
                NodeKind::Table,
                format_args!(
                    "{table_id:2}. {match_}{comma}priority {priority}, cookie {cookie:#x}"
                ),
            );
        }
    }

    /// No rule matched (OpenFlow 1.3.5 §5.4, 1.0.1 §3.4).
    fn miss(&mut self, table_id: u8, kind: LookupKind, in_port: OfPort) {
        let state = self.input.state;
        self.deps.note_port(in_port);
        // Lookups of a resubmit end where they began (as in Open vSwitch).
        let config = match kind {
            LookupKind::Pipeline => state.tables.get(table_id).map(|table| table.miss),
            _ => None,
        };
        if config == Some(TableMiss::Continue) && table_id + 1 < state.tables.n_tables() {
            self.report.open(NodeKind::Table, format_args!("{table_id:2}. No match."));
            self.report.close();
            self.steps.push(Step::Lookup { table_id: table_id + 1, kind, in_port });
            return;
        }
        let is_configured = match config {
            Some(TableMiss::Controller) => true,
            Some(TableMiss::Drop) => false,
            _ => state.options.miss_to_controllers,
        };
        let is_asked = is_configured
            && kind == LookupKind::Pipeline
            && state
                .ports
                .get(in_port)
                .is_none_or(|port| !port.config().contains(PortConfig::NO_PACKET_IN));
        if !is_asked {
            self.report.open(NodeKind::Table, format_args!("{table_id:2}. No match."));
            self.report.say(NodeKind::Action, format_args!("drop"));
            self.report.close();
            self.drop.get_or_insert(DropReason::NoRule);
            return;
        }
        self.report.open(
            NodeKind::Table,
            format_args!("{table_id:2}. No match, and a \"packet-in\" is called for."),
        );
        let origin = self.origin;
        self.origin = Origin { table_id, cookie: u64::MAX, ..origin };
        let reason = PacketInReason::NoMatch;
        self.controller(&ControllerAction { reason, ..Default::default() }, MissKind::Implicit);
        self.origin = origin;
        self.report.close();
    }
}
